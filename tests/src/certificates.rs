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
    /// OCSP responses (DER) about its own certificate that our gateway is given.
    pub responses: Vec<Vec<u8>>,
    /// More lines of our gateway's table.
    pub extra: String,
}

impl Certificates {
    /// Writes the files of a connection of our gateway.
    pub fn write_for_gateway(&self, folder: &Path, name: &str) -> Result<()> {
        write(&folder.join(format!("{name}.pem")), &[&self.own, &self.intermediates.concat()])?;
        write(&folder.join(format!("{name}.key")), &[&self.key])?;
        write(&folder.join(format!("{name}-ca.pem")), &[&self.anchors.concat()])?;
        let binary = [(&self.lists, "crl"), (&self.responses, "ocsp")];
        for (file, bytes) in binary.into_iter().flat_map(|(files, kind)| named(files, name, kind)) {
            let path = folder.join(file);
            fs::write(&path, bytes).tried(|| path.display().to_string())?;
        }
        Ok(())
    }

    /// The table of a connection of our gateway, whose files are in `folder`.
    #[must_use]
    pub fn table(&self, folder: &Path, name: &str) -> String {
        let folder = folder.display();
        let mut text = format!(
            "[connection.authentication]
certificate = \"{folder}/{name}.pem\"
private_key = {{ file = \"{folder}/{name}.key\" }}
trust_anchors = [\"{folder}/{name}-ca.pem\"]
{}
",
            self.extra
        );
        for (key, files, kind) in [("crls", &self.lists, "crl"), ("ocsp_responses", &self.responses, "ocsp")]
        {
            let files = named(files, name, kind);
            let paths: Vec<String> = files.map(|(file, _)| format!("{folder}/{file}")).collect();
            if !paths.is_empty() {
                let _ = writeln!(text, "{key} = {paths:?}"); // writing to a String cannot fail
            }
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

/// Files of a kind, by the names that they get.
fn named<'a>(
    files: &'a [Vec<u8>],
    name: &'a str,
    kind: &'a str,
) -> impl Iterator<Item = (String, &'a Vec<u8>)> {
    files.iter().enumerate().map(move |(index, bytes)| (format!("{name}-{index}.{kind}"), bytes))
}

fn write(path: &Path, parts: &[&str]) -> Result<()> {
    fs::write(path, parts.concat())
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o600)))
        .tried(|| path.display().to_string())
}
