//! Libreswan as the peer, in a guest: it needs the kernel's ESP, and its package would drive strongSwan's out of this machine, so that it is fetched, unpacked
//! and laid over the guest's root.

use crate::certificates::Certificates;
use crate::failure::{Failure, Result, Tried, ensure};
use crate::guest::Guest;
use crate::namespace::Namespace;
use crate::strongswan::tail;
use crate::wait::{Look, until};
use crate::{met, process, store};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// For its start, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);
/// Its database of certificates and keys.
const NSS: &str = "sql:/var/lib/ipsec/nss";

/// A guest in which Libreswan can run.
pub struct Libreswan {
    guest: Guest,
}

impl Libreswan {
    /// Boots the guest; see [`Guest::boot`].
    pub fn boot(namespace: &Namespace, taps: &[&str]) -> Result<Self> {
        let guest = Guest::boot_with_layer(namespace, taps, &unpacked()?)?;
        // The kernel loads and tests a cipher with the first SA that wants it. On a busy machine that takes an emulated processor longer than an SPI is kept that
        // Libreswan has reserved, so it comes before. Libreswan's script for routes takes it seconds for each Child SA; the guest has routes already, as sites do
        // whose default route leads there.
        guest.run(
            "set -e
             modprobe -a esp4 esp6 xfrm_user
             warm() {
                 state='src 192.0.2.2 dst 192.0.2.1 proto esp spi 0x100'
                 ip xfrm state add $state mode tunnel \"$@\"
                 ip xfrm state delete $state
             }
             key() { printf 0x; head -c $1 /dev/zero | od -An -v -tx1 | tr -d ' \\n'; }
             warm aead 'rfc4106(gcm(aes))' $(key 36) 128
             warm auth-trunc 'hmac(sha256)' $(key 32) 128 enc 'cbc(aes)' $(key 32)
             warm auth-trunc 'hmac(sha512)' $(key 64) 256 enc 'cbc(aes)' $(key 32)
             printf 'conn %%default\n    leftupdown=%%disabled\ninclude /etc/ipsec.d/*.conf\n' > /etc/ipsec.conf
             ipsec checknss",
        )?;
        Ok(Self { guest })
    }

    /// The guest.
    #[must_use]
    pub fn guest(&self) -> &Guest {
        &self.guest
    }

    /// Has it trust an authority (PEM). Like [`Self::keeps`] before it is started: it reads its database once.
    pub fn trusts(&self, authority: &str) -> Result<()> {
        let place = self.guest.share().join("authority.pem");
        fs::write(&place, authority).tried(|| place.display().to_string())?;
        self.guest
            .run(&format!("certutil -A -d {NSS} -n authority -t CT,, -i /share/authority.pem"))
            .map(drop)
    }

    /// Gives it a certificate with its key, as `leftcert=NAME` means them.
    pub fn keeps(&self, name: &str, own: &Certificates) -> Result<()> {
        let place = |kind: &str| self.guest.share().join(format!("{name}.{kind}"));
        for (kind, text) in [("pem", &own.own), ("key", &own.key)] {
            fs::write(place(kind), text).tried(|| place(kind).display().to_string())?;
        }
        // NSS takes keys in no other form, and none without a password.
        let mut openssl = Command::new("openssl");
        openssl.args(["pkcs12", "-export", "-passout", "pass:lab", "-name", name, "-in"]).arg(place("pem"));
        openssl.arg("-inkey").arg(place("key")).arg("-out").arg(place("p12"));
        process::run(&mut openssl)?;
        self.guest.run(&format!("pk12util -d {NSS} -W lab -i /share/{name}.p12")).map(drop)
    }

    /// Starts it anew with the files that `written`, the output of `crossgate peer-config`, names; returns when it has taken each connection and listens.
    pub fn start(&self, written: &str) -> Result<()> {
        met::peer("Libreswan, ESP of the Linux kernel", || self.version())?;
        let folder = self.guest.share().join("ipsec.d");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).tried(|| folder.display().to_string())?;
        let files = files(written);
        ensure(files.len() >= 2, || format!("no files are named in\n{written}"))?;
        for (name, text) in &files {
            fs::write(folder.join(name), text).tried(|| folder.join(name).display().to_string())?;
        }
        // The log goes where this side reads it: a program takes an emulated processor longer to start than Libreswan needs between two lines of it.
        self.guest.run(
            "set -e
             if [ -e /run/pluto/pluto.pid ]; then
                 pid=$(< /run/pluto/pluto.pid)
                 /usr/libexec/ipsec/whack --shutdown > /dev/null
                 while [ -e /proc/$pid ]; do read -rt 0.05 <> <(:) || :; done
             fi
             rm -f /etc/ipsec.d/*.conf /etc/ipsec.d/*.secrets /share/pluto.log
             cp /share/ipsec.d/* /etc/ipsec.d/
             chmod 600 /etc/ipsec.d/*.secrets
             mkdir -p /run/pluto
             /usr/libexec/ipsec/pluto --config /etc/ipsec.conf --logfile /share/pluto.log",
        )?;
        let connections = files.iter().flat_map(|(_, text)| text.lines());
        let connections = connections.filter(|line| line.trim_start().starts_with("leftsubnet=")).count();
        until("Libreswan to have taken its configuration", PATIENCE, || {
            let log = self.log();
            let is_done = log.contains("loading secrets from");
            let added = log.lines().filter(|line| line.contains(": added IKEv")).count();
            let complaint =
                ["error", "cannot", "failed to add"].iter().find(|word| log.to_lowercase().contains(*word));
            match complaint {
                Some(word) => Err(Failure::Untrue(format!("Libreswan says {word:?}:\n{}", tail(&log, 60)))),
                None => Ok(Look::when(is_done && added == connections, || {
                    format!("{added} of {connections} connections:\n{}", tail(&log, 60))
                })),
            }
        })
    }

    /// Its log of this start so far.
    #[must_use]
    pub fn log(&self) -> String {
        let log = fs::read(self.guest.share().join("pluto.log")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    fn version(&self) -> Result<String> {
        let told = self.guest.run("ipsec --version; uname -r")?;
        let words: Vec<&str> = told.split_whitespace().collect();
        match words.as_slice() {
            [.., version, kernel] => Ok(format!("{version}, Linux {kernel}")),
            _ => Err(Failure::Untrue(format!("no version in {told:?}"))),
        }
    }
}

/// The files that a text for pasting names, with what is to be in each.
fn files(written: &str) -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> = Vec::new();
    for line in written.lines() {
        let name = line.strip_prefix("# Save this ").and_then(|rest| rest.split_once("/etc/ipsec.d/"));
        let name = name.and_then(|(_, name)| name.split([' ', ':']).next());
        if let Some(name) = name {
            files.push((name.to_owned(), String::new()));
        } else if let Some((_, text)) = files.last_mut() {
            text.push_str(line);
            text.push('\n');
        }
    }
    files
}

/// Its package and those that it needs and this machine lacks, fetched if they are not there.
fn unpacked() -> Result<PathBuf> {
    let folder = store::folder()?.join("libreswan");
    if !folder.exists() {
        fetch(&folder)?;
    }
    Ok(folder)
}

fn fetch(folder: &Path) -> Result<()> {
    let (place, new) = store::draft(folder)?;
    let archives = place.path().join("archives");
    fs::create_dir_all(archives.join("partial")).tried(|| archives.display().to_string())?;
    let mut apt = Command::new("apt-get");
    apt.args(["-qq", "-y", "--download-only", "--no-install-recommends", "-o"]);
    apt.arg(format!("Dir::Cache::archives={}", archives.display())).args(["install", "libreswan"]);
    process::run(&mut apt)?;
    // Where /lib leads to /usr/lib, a folder of that name would hide it.
    let script = r#"set -eu
        for package in "$1"/*.deb; do dpkg -x "$package" "$2"; done
        for place in bin sbin lib; do
            [ ! -d "$2/$place" ] || { mkdir -p "$2/usr/$place"; cp -r "$2/$place/." "$2/usr/$place/"; rm -r "${2:?}/$place"; }
        done"#;
    process::run(Command::new("sh").args(["-c", script, "sh"]).arg(&archives).arg(&new))?;
    store::keep(&new, folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_has_what_follows_its_name() {
        let written = "# The other side.\n# Save this part as /etc/ipsec.d/a.conf:\nconn a\n\
                       # Save this line as /etc/ipsec.d/a.secrets (mode 600):\n: PSK \"x\"\n";
        let expected = [("a.conf", "conn a\n"), ("a.secrets", ": PSK \"x\"\n")];
        assert_eq!(files(written), expected.map(|(name, text)| (name.to_owned(), text.to_owned())));
    }
}
