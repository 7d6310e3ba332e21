//! VyOS 1.4 and newer: commands of its configuration mode.

use std::fmt::{self, Write as _};

use super::{ANY_TO_ANY, Far, PeerConfigError, Stop};
use crate::ConnectionMode;
use crate::Identity;
use crate::policy::algorithm::{IkeEncryption, IpsecEncryption, IpsecIntegrity, PfsGroup, Prf};

pub(super) fn write(far: &Far<'_>, out: &mut String) -> Result<(), Stop> {
    far.head("#", out)?;
    writeln!(out, "# In configuration mode; then: commit; save")?;
    let name = far.name.to_uppercase();
    ike_group(far, &name, out)?;
    esp_group(far, &name, out)?;
    let (local_id, remote_id) = (identity(far.local_id)?, identity(&far.remote_id)?);
    let peer = format!("set vpn ipsec site-to-site peer {name}");
    if let Some(key) = far.key_without("vyos", "'\"\\")? {
        let psk = format!("set vpn ipsec authentication psk {name}");
        writeln!(out, "{psk} id '{local_id}'\n{psk} id '{remote_id}'\n{psk} secret '{key}'")?;
        writeln!(out, "{peer} authentication mode 'pre-shared-secret'")?;
    } else {
        certificates(far, &name, &peer, out)?;
    }
    let kind = match far.mode() {
        ConnectionMode::ResponderOnly => "respond",
        ConnectionMode::Default | ConnectionMode::InitiatorOnly => "initiate",
    };
    let local = far.local.map_or_else(|| "any".to_owned(), |address| address.to_string());
    for (key, value) in [
        ("authentication local-id", local_id.as_str()),
        ("authentication remote-id", &remote_id),
        ("connection-type", kind),
        ("ike-group", &name),
        ("local-address", &local),
        ("remote-address", &far.remote.to_string()),
    ] {
        writeln!(out, "{peer} {key} '{value}'")?;
    }
    if far.is_any_to_any() {
        return routed(far, &name, &peer, out);
    }
    far.one_tunnel("vyos", ANY_TO_ANY)?;
    writeln!(out, "{peer} default-esp-group '{name}'")?;
    for (index, pair) in far.pairs().iter().enumerate() {
        let tunnel = format!("{peer} tunnel {}", index + 1);
        writeln!(out, "{tunnel} local prefix '{}'\n{tunnel} remote prefix '{}'", pair.local, pair.remote)?;
    }
    Ok(())
}

/// Certificates stand in the configuration itself, each on one line without its first and last one.
fn certificates(far: &Far<'_>, name: &str, peer: &str, out: &mut String) -> fmt::Result {
    let [certificate, key, authority] = far.certificate_files();
    let body = |file: &str| format!("\"$(sed '/-----/d' {file} | tr -d '\\n')\"");
    writeln!(out, "set pki ca {name} certificate {}", body(&authority))?;
    writeln!(out, "set pki certificate {name} certificate {}", body(&certificate))?;
    writeln!(out, "set pki certificate {name} private key {}", body(&key))?;
    writeln!(out, "{peer} authentication mode 'x509'\n{peer} authentication x509 ca-certificate '{name}'")?;
    writeln!(out, "{peer} authentication x509 certificate '{name}'")
}

/// A tunnel interface, and routes into it.
fn routed(far: &Far<'_>, name: &str, peer: &str, out: &mut String) -> Result<(), Stop> {
    let vti = format!("vti{}", far.number);
    writeln!(out, "{peer} vti bind '{vti}'\n{peer} vti esp-group '{name}'")?;
    writeln!(out, "set interfaces vti {vti} description '{}'", far.name)?;
    writeln!(out, "set interfaces vti {vti} ip adjust-mss 'clamp-mss-to-pmtu'")?;
    for prefix in &far.remote_prefixes {
        let route = if prefix.addr().is_ipv4() { "route" } else { "route6" };
        writeln!(out, "set protocols static {route} {prefix} interface {vti}")?;
    }
    Ok(())
}

fn ike_group(far: &Far<'_>, name: &str, out: &mut String) -> Result<(), Stop> {
    let group = format!("set vpn ipsec ike-group {name}");
    let dpd = far.connection.dpd_timeout.as_secs();
    writeln!(out, "{group} key-exchange 'ikev2'\n{group} lifetime '{}'", far.policy.ike_lifetime.as_secs())?;
    writeln!(out, "{group} dead-peer-detection action 'restart'")?;
    writeln!(out, "{group} dead-peer-detection interval '{dpd}'")?;
    // A proposal of VyOS holds one algorithm of each kind: the best of each cipher.
    let mut number = 0;
    for proposal in &far.policy.ike {
        let (Some(prf), Some(dh)) = (proposal.prf.first(), proposal.dh_groups.first()) else { continue };
        for cipher in &proposal.encryption {
            number += 1;
            let line = format!("{group} proposal {number}");
            let cipher = match cipher {
                IkeEncryption::GcmAes128 => "aes128gcm128",
                IkeEncryption::TripleDes => "3des",
                IkeEncryption::Des => "des",
                IkeEncryption::GcmAes192 => "aes192gcm128",
                IkeEncryption::GcmAes256 => "aes256gcm128",
                IkeEncryption::Aes128 => "aes128",
                IkeEncryption::Aes192 => "aes192",
                IkeEncryption::Aes256 => "aes256",
            };
            let hash = match prf {
                Prf::HmacSha256 => "sha256",
                Prf::HmacSha384 => "sha384",
                Prf::HmacSha512 => "sha512",
                Prf::HmacSha1 => "sha1",
                Prf::HmacMd5 => "md5",
            };
            writeln!(out, "{line} dh-group '{}'\n{line} encryption '{cipher}'", dh.number())?;
            writeln!(out, "{line} hash '{hash}'\n{line} prf 'prf{hash}'")?;
        }
    }
    Ok(())
}

fn esp_group(far: &Far<'_>, name: &str, out: &mut String) -> Result<(), Stop> {
    let group = format!("set vpn ipsec esp-group {name}");
    let pfs = match far.policy.ipsec.pfs_groups.first() {
        Some(PfsGroup::Group(dh)) => format!("dh-group{}", dh.number()),
        Some(PfsGroup::None) | None => "disable".to_owned(),
    };
    writeln!(out, "{group} lifetime '{}'\n{group} mode 'tunnel'", far.policy.sa_lifetime.as_secs())?;
    writeln!(out, "{group} life-bytes '{}'", far.policy.sa_data_size_kib.saturating_mul(1024))?;
    writeln!(out, "{group} pfs '{pfs}'")?;
    for (index, (cipher, integrity)) in far.esp_pairs().iter().enumerate() {
        let line = format!("{group} proposal {}", index + 1);
        let cipher = match cipher {
            IpsecEncryption::GcmAes128 => "aes128gcm128",
            IpsecEncryption::GcmAes192 => "aes192gcm128",
            IpsecEncryption::GcmAes256 => "aes256gcm128",
            IpsecEncryption::ChaCha20Poly1305 => "chacha20poly1305",
            IpsecEncryption::Aes128 => "aes128",
            IpsecEncryption::Aes192 => "aes192",
            IpsecEncryption::Aes256 => "aes256",
            IpsecEncryption::TripleDes => "3des",
            IpsecEncryption::Des => "des",
            IpsecEncryption::Null => "null",
        };
        // VyOS wants a hash there even where the cipher does not use it.
        let hash = match integrity {
            Some(IpsecIntegrity::Sha256) | None => "sha256",
            Some(IpsecIntegrity::Sha384) => "sha384",
            Some(IpsecIntegrity::Sha512) => "sha512",
            Some(IpsecIntegrity::Sha1) => "sha1",
            Some(IpsecIntegrity::Md5) => "md5",
        };
        writeln!(out, "{line} encryption '{cipher}'\n{line} hash '{hash}'")?;
    }
    Ok(())
}

fn identity(identity: &Identity) -> Result<String, PeerConfigError> {
    match identity {
        Identity::KeyId(_) | Identity::Name(_) => {
            Err(PeerConfigError::Identity { system: "vyos", identity: identity.clone() })
        }
        other => Ok(other.to_string()),
    }
}
