//! Libreswan 4 and newer: `ipsec.conf` (its manual page has every word) and the secret beside it.

use std::fmt::Write as _;

use super::{Far, PeerConfigError, Stop};
use crate::policy::algorithm::{
    DhGroup, IkeEncryption, IkeIntegrity, IpsecEncryption, IpsecIntegrity, PfsGroup, Prf,
};
use crate::policy::{Esn, IkeProposal};
use crate::{ConnectionMode, Identity};

pub(super) fn write(far: &Far<'_>, out: &mut String) -> Result<(), Stop> {
    far.one_tunnel("libreswan", "leave active_active out, or take another system")?;
    far.head("#", out)?;
    let (name, policy) = (&far.name, far.policy);
    writeln!(out, "# Save this part as /etc/ipsec.d/{name}.conf:")?;
    let local = far.local.map_or_else(|| "%defaultroute".to_owned(), |address| address.to_string());
    let auto = match far.mode() {
        ConnectionMode::ResponderOnly => "add",
        ConnectionMode::Default | ConnectionMode::InitiatorOnly => "start",
    };
    let ike: Vec<String> = policy.ike.iter().map(ike_proposal).collect();
    let (left_id, right_id) = (identity(far.local_id)?, identity(&far.remote_id)?);
    let dpd = far.connection.dpd_timeout.as_secs();
    writeln!(out, "conn {name}")?;
    for (key, value) in [
        ("authby", "secret".to_owned()),
        ("ikev2", "insist".to_owned()),
        ("left", local),
        ("leftid", left_id.clone()),
        ("right", far.remote.to_string()),
        ("rightid", right_id.clone()),
        ("ike", ike.join(",")),
        ("esp", esp(far)?),
        ("pfs", if pfs(far).is_empty() { "no" } else { "yes" }.to_owned()),
        ("esn", esn(policy.ipsec.esn).to_owned()),
        ("ikelifetime", format!("{}s", policy.ike_lifetime.as_secs())),
        ("salifetime", format!("{}s", policy.sa_lifetime.as_secs())),
        ("replay-window", policy.replay_window_packets.to_string()),
        ("dpddelay", format!("{dpd}s")),
        // Without it the delay is ignored (Libreswan 4). IKEv2 gives up after the retransmissions all the same.
        ("dpdtimeout", format!("{}s", dpd.saturating_add(RETRANSMIT_S))),
        ("dpdaction", if auto == "start" { "restart" } else { "clear" }.to_owned()),
        ("retransmit-timeout", format!("{RETRANSMIT_S}s")),
    ] {
        writeln!(out, "    {key}={value}")?;
    }
    for (index, pair) in far.pairs().iter().enumerate() {
        writeln!(out, "conn {name}-{}\n    also={name}", index + 1)?;
        writeln!(out, "    leftsubnet={}\n    rightsubnet={}\n    auto={auto}", pair.local, pair.remote)?;
    }
    writeln!(out, "# Save this line as /etc/ipsec.d/{name}.secrets (mode 600):")?;
    writeln!(out, "{left_id} {right_id} : PSK {}", secret(far))?;
    Ok(())
}

fn esn(esn: Esn) -> &'static str {
    match esn {
        Esn::Prefer => "either",
        Esn::Require => "yes",
        Esn::Off => "no",
    }
}

/// In quotes, whatever it begins with. A quote would end it, so that a key that holds one is written as bytes, which stand without quotes.
fn secret(far: &Far<'_>) -> String {
    let key = far.key();
    if !key.contains('"') {
        return format!("\"{key}\"");
    }
    key.bytes().fold("0x".to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // writing to a String cannot fail
        text
    })
}

/// Ciphers and hashes joined by `+`: Libreswan takes any of each.
fn ike_proposal(proposal: &IkeProposal) -> String {
    let ciphers = proposal.encryption.iter().map(|cipher| match cipher {
        IkeEncryption::GcmAes128 => "aes_gcm128",
        IkeEncryption::TripleDes => "3des",
        IkeEncryption::Des => "des",
        IkeEncryption::GcmAes192 => "aes_gcm192",
        IkeEncryption::GcmAes256 => "aes_gcm256",
        IkeEncryption::Aes128 => "aes128",
        IkeEncryption::Aes192 => "aes192",
        IkeEncryption::Aes256 => "aes256",
    });
    let hash = |integrity: &IkeIntegrity| match integrity {
        IkeIntegrity::Sha256 => "sha2_256",
        IkeIntegrity::Sha384 => "sha2_384",
        IkeIntegrity::Sha512 => "sha2_512",
        IkeIntegrity::Sha1 => "sha1",
        IkeIntegrity::Md5 => "md5",
    };
    let hashes = proposal.prf.iter().map(|prf: &Prf| hash(&prf.integrity()));
    let groups = proposal.dh_groups.iter().map(|dh| group(*dh));
    let plus = |words: Vec<&str>| words.join("+");
    format!("{}-{}-{}", plus(ciphers.collect()), plus(hashes.collect()), plus(groups.collect()))
}

/// A proposal for ciphers with their own integrity and one for others. DES it has forgotten.
fn esp(far: &Far<'_>) -> Result<String, PeerConfigError> {
    let cipher = |cipher: &IpsecEncryption| match cipher {
        IpsecEncryption::GcmAes128 => Some("aes_gcm128"),
        IpsecEncryption::GcmAes192 => Some("aes_gcm192"),
        IpsecEncryption::GcmAes256 => Some("aes_gcm256"),
        IpsecEncryption::ChaCha20Poly1305 => Some("chacha20_poly1305"),
        IpsecEncryption::Aes128 => Some("aes128"),
        IpsecEncryption::Aes192 => Some("aes192"),
        IpsecEncryption::Aes256 => Some("aes256"),
        IpsecEncryption::TripleDes => Some("3des"),
        IpsecEncryption::Des => None,
        IpsecEncryption::Null => Some("null"),
    };
    let hash = |integrity: &IpsecIntegrity| match integrity {
        IpsecIntegrity::Sha256 => "sha2_256",
        IpsecIntegrity::Sha384 => "sha2_384",
        IpsecIntegrity::Sha512 => "sha2_512",
        IpsecIntegrity::Sha1 => "sha1",
        IpsecIntegrity::Md5 => "md5",
    };
    let groups = pfs(far).join("+");
    let mut proposals = Vec::new();
    for (ciphers, integrity) in far.esp_kinds() {
        let ciphers = ciphers.iter().filter_map(cipher).collect::<Vec<_>>().join("+");
        if ciphers.is_empty() {
            continue;
        }
        let hashes = integrity.iter().map(hash).collect::<Vec<_>>().join("+");
        // The integrity algorithm has its place even where there is none: the group would be taken for it.
        proposals.push(match (hashes.is_empty(), groups.is_empty()) {
            (true, true) => ciphers,
            (true, false) => format!("{ciphers}-none-{groups}"),
            (false, true) => format!("{ciphers}-{hashes}"),
            (false, false) => format!("{ciphers}-{hashes}-{groups}"),
        });
    }
    if proposals.is_empty() {
        let what = "ipsec_encryption";
        return Err(PeerConfigError::NoCommonGround { system: "libreswan", what, remedy: "GCMAES256" });
    }
    Ok(proposals.join(","))
}

fn pfs(far: &Far<'_>) -> Vec<&'static str> {
    let groups = far.policy.ipsec.pfs_groups.iter();
    groups.filter_map(|pfs| if let PfsGroup::Group(dh) = pfs { Some(group(*dh)) } else { None }).collect()
}

fn group(group: DhGroup) -> &'static str {
    match group {
        DhGroup::Modp768 => "dh1",
        DhGroup::Modp1024 => "dh2",
        DhGroup::Modp1536 => "dh5",
        DhGroup::Modp2048Subgroup256 => "dh24",
        DhGroup::Modp2048 => "dh14",
        DhGroup::Modp3072 => "dh15",
        DhGroup::Modp4096 => "dh16",
        DhGroup::Ecp256 => "dh19",
        DhGroup::Ecp384 => "dh20",
        DhGroup::Ecp521 => "dh21",
        DhGroup::Curve25519 => "dh31",
    }
}

/// Names behind `@`; key-ids in brackets (`@[..]`), which hold printable text only.
fn identity(identity: &Identity) -> Result<String, PeerConfigError> {
    match identity {
        Identity::Fqdn(name) => Ok(format!("@{name}")),
        Identity::KeyId(bytes) => {
            let plain = bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte));
            let text = std::str::from_utf8(bytes).ok().filter(|_| plain);
            let refused = || PeerConfigError::Identity { system: "libreswan", identity: identity.clone() };
            text.map(|text| format!("@[{text}]")).ok_or_else(refused)
        }
        Identity::Name(_) => {
            Err(PeerConfigError::Identity { system: "libreswan", identity: identity.clone() })
        }
        Identity::Email(_) | Identity::Ipv4(_) | Identity::Ipv6(_) => Ok(identity.to_string()),
    }
}

const RETRANSMIT_S: u64 = 60;
