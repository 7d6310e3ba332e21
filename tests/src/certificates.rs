//! Certificates of one side, as files of our gateway or of strongSwan.

use crate::failure::{Result, Tried};
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// What one side proves itself with and whom it trusts, in PEM.
#[derive(Clone, Debug, Default)]
pub struct Certificates {
    /// Its own certificate.
    pub own: String,
    /// Its intermediates.
    pub intermediates: Vec<String>,
    /// Its private key.
    pub key: String,
    /// Whom it trusts.
    pub anchors: Vec<String>,
    /// CRLs (DER) that our gateway is given.
    pub lists: Vec<Vec<u8>>,
    /// More lines of our gateway's table.
    pub extra: String,
}

impl Certificates {
    /// Writes the files of a connection of our gateway.
    pub fn write_for_gateway(&self, folder: &Path, name: &str) -> Result<()> {
        write(&folder.join(format!("{name}.pem")), &[&self.own, &self.intermediates.concat()])?;
        write(&folder.join(format!("{name}.key")), &[&self.key])?;
        write(&folder.join(format!("{name}-ca.pem")), &[&self.anchors.concat()])?;
        for (index, list) in self.lists.iter().enumerate() {
            let path = folder.join(format!("{name}-{index}.crl"));
            fs::write(&path, list).tried(|| path.display().to_string())?;
        }
        Ok(())
    }

    /// The table of a connection of our gateway, whose files are in `folder`.
    #[must_use]
    pub fn table(&self, folder: &Path, name: &str) -> String {
        let folder = folder.display();
        let lists: Vec<String> =
            (0..self.lists.len()).map(|index| format!("{folder}/{name}-{index}.crl")).collect();
        let mut text = format!(
            "[connection.authentication]
certificate = \"{folder}/{name}.pem\"
private_key = {{ file = \"{folder}/{name}.key\" }}
trust_anchors = [\"{folder}/{name}-ca.pem\"]
{}
",
            self.extra
        );
        if !lists.is_empty() {
            let _ = writeln!(text, "crls = {lists:?}"); // writing to a String cannot fail
        }
        text
    }

    /// Writes the files of strongSwan, one certificate each, called as `crossgate peer-config` calls those of the connection "peer".
    pub fn write_for_strongswan(&self, folder: &Path) -> Result<()> {
        for part in ["x509", "x509ca", "private"] {
            let path = folder.join(part);
            fs::create_dir_all(&path).tried(|| path.display().to_string())?;
        }
        write(&folder.join("x509/peer.pem"), &[&self.own])?;
        write(&folder.join("private/peer.key"), &[&self.key])?;
        for (index, authority) in self.anchors.iter().chain(&self.intermediates).enumerate() {
            let number = if index == 0 { String::new() } else { format!("-{index}") };
            write(&folder.join(format!("x509ca/peer-ca{number}.pem")), &[authority])?;
        }
        Ok(())
    }
}

fn write(path: &Path, parts: &[&str]) -> Result<()> {
    fs::write(path, parts.concat())
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o600)))
        .tried(|| path.display().to_string())
}
