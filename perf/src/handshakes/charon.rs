//! strongSwan's charon as the responder, with what its documentation advises for many peers (hash tables sized for them, no log, no limits of half-open
//! SAs, no routes), and its own ESP, since the kernel's is not everywhere. Its one connection is with anybody.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::case::{Case, Certificates, NAMES, PEER_NETWORKS, RESPONDER, RESPONDER_NETWORK, SHARED_KEY};

/// The first version with ML-KEM.
const ML_KEM_VERSION: u32 = 6;

/// Its version; `Err` says what to install.
pub(super) fn version() -> Result<String> {
    let told = Command::new("swanctl").arg("--version").output();
    let told = told.context(
        "strongSwan is not here: install charon-systemd, strongswan-swanctl and libcharon-extra-plugins",
    )?;
    // It tells on standard error.
    let text = [told.stdout, told.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let version = text.split_whitespace().find(|word| word.starts_with(|first: char| first.is_ascii_digit()));
    Ok(version.context("swanctl tells no version")?.to_owned())
}

/// Whether that version can do it.
pub(super) fn knows(version: &str, case: Case) -> bool {
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    case != Case::PskMlKem768 || major.is_some_and(|major| major >= ML_KEM_VERSION)
}

/// Asks it something through swanctl.
pub(super) fn ask(folder: &Path, verb: &str) -> Result<String> {
    let told = Command::new("swanctl")
        .args([verb, "--uri", &format!("unix://{}/vici", folder.display())])
        .env("STRONGSWAN_CONF", folder.join("strongswan.conf"))
        .env("SWANCTL_DIR", folder)
        .output()?;
    let text = [told.stdout, told.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    ensure!(told.status.success(), "swanctl {verb}: {text}");
    Ok(text)
}

/// Writes its files.
pub(super) fn write(folder: &Path, case: Case) -> Result<()> {
    private(&folder.join("strongswan.conf"), &daemon(folder, case))?;
    private(&folder.join("swanctl.conf"), &connection(case))?;
    if case.has_certificates() {
        let Certificates { root, ends: [own, _] } = Certificates::new();
        for part in ["x509", "x509ca", "private"] {
            fs::create_dir_all(folder.join(part))?;
        }
        private(&folder.join("x509/own.pem"), &own.pem())?;
        private(&folder.join("x509ca/root.pem"), &root.pem())?;
        private(&folder.join("private/own.key"), &own.key_pem)?;
    }
    Ok(())
}

fn private(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text)
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o600)))
        .with_context(|| format!("write {}", path.display()))
}

fn connection(case: Case) -> String {
    let (local, remote) = if case.has_certificates() {
        let [own, peer] = NAMES;
        (format!("auth = pubkey\ncerts = own.pem\nid = {own}"), format!("auth = pubkey\nid = {peer}"))
    } else {
        (format!("auth = psk\nid = {RESPONDER}"), "auth = psk\nid = %any".to_owned())
    };
    format!(
        "connections {{
    anybody {{
        version = 2
        mobike = no
        unique = never
        local_addrs = {RESPONDER}
        remote_addrs = %any
        proposals = {}
        rekey_time = 0
        local {{
{local}
        }}
        remote {{
{remote}
        }}
        children {{
            net {{
                local_ts = {RESPONDER_NETWORK}
                remote_ts = {PEER_NETWORKS}
                esp_proposals = aes256gcm16
                rekey_time = 0
            }}
        }}
    }}
}}
secrets {{
    ike-anybody {{
        secret = \"{SHARED_KEY}\"
    }}
}}
",
        case.proposal()
    )
}

fn daemon(folder: &Path, case: Case) -> String {
    let folder = folder.display();
    let more = if case == Case::PskMlKem768 { "ml" } else { "" };
    format!(
        "charon-systemd {{
    filelog {{
        log {{
            path = {folder}/log
            flush_line = yes
            default = 0
        }}
    }}
    journal {{
        default = -1
    }}
}}
charon {{
    load = random nonce openssl pem pkcs1 pkcs8 x509 pubkey constraints aes sha1 sha2 hmac kdf gcm curve25519 {more} kernel-libipsec kernel-netlink socket-default vici
    install_routes = no
    dos_protection = no
    cookie_threshold = 0
    block_threshold = 0
    ikesa_table_size = 16384
    ikesa_table_segments = 16
    plugins {{
        vici {{
            socket = unix://{folder}/vici
        }}
    }}
}}
swanctl {{
    load = random openssl pem pkcs1 pkcs8 x509 pubkey
}}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn post_quantum_is_for_versions_that_have_it() {
        assert!(knows("6.0.1", Case::PskMlKem768) && knows("5.9.8", Case::PskEcp256));
        assert!(!knows("5.9.8", Case::PskMlKem768));
    }
}
