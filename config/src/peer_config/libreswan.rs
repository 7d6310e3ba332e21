//! Libreswan 4 and newer: `ipsec.conf` (its manual page has every word) and the secret beside it.

use std::fmt::{self, Write as _};

use crossgate_pki::KeyKind;

use super::{Far, PeerConfigError, Stop, each_choice};
use crate::policy::algorithm::{
    DhGroup, IkeEncryption, IkeIntegrity, IpsecEncryption, IpsecIntegrity, PfsGroup, Prf,
};
use crate::policy::{Esn, IkeProposal};
use crate::{ConnectionMode, Identity};

pub(super) fn write(far: &Far<'_>, out: &mut String) -> Result<(), Stop> {
    far.one_tunnel("libreswan", "leave active_active out, or take another system")?;
    far.names_pairs("libreswan")?;
    let narrows = narrows(far)?;
    far.head("#", out)?;
    database(far, out)?;
    let (name, policy) = (&far.name, far.policy);
    if narrows && far.pairs().len() > 1 {
        writeln!(
            out,
            "# Where {} begins, one pair of prefixes comes up and the others when this side begins.",
            far.remote
        )?;
        writeln!(out, "# With use_policy_based_traffic_selectors = true there, all come up whoever begins.")?;
    }
    writeln!(out, "# Save this part as /etc/ipsec.d/{name}.conf:")?;
    let local = far.local.map_or_else(|| "%defaultroute".to_owned(), |address| address.to_string());
    let auto = match far.mode() {
        ConnectionMode::ResponderOnly => "add",
        _ if far.begins_on_traffic() => "route",
        ConnectionMode::Default | ConnectionMode::InitiatorOnly => "start",
    };
    let ike: Vec<String> = policy.ike.iter().flat_map(|proposal| ike_proposals(far, proposal)).collect();
    if ike.is_empty() {
        return Err(no_common_ground("ike_encryption or dh_group", "AES256 and DHGroup14").into());
    }
    let (left_id, right_id) = (identity(far, far.local_id)?, identity(far, &far.remote_id)?);
    let dpd = far.connection.dpd_timeout.as_secs();
    if far.is_ikev1() {
        writeln!(
            out,
            "# Libreswan drops IKEv1 unless it is told otherwise.\nconfig setup\n    ikev1-policy=accept"
        )?;
    }
    writeln!(out, "conn {name}")?;
    for (key, value) in [
        ("authby", authby(far)?.to_owned()),
        ("ikev2", if far.is_ikev1() { "never" } else { "insist" }.to_owned()),
        ("left", local),
        ("leftid", left_id.clone()),
        ("right", far.remote.to_string()),
        ("rightid", right_id.clone()),
        ("ike", ike.join(",")),
        ("esp", esp(far)?),
        ("pfs", if pfs(far).is_empty() { "no" } else { "yes" }.to_owned()),
        ("esn", if far.is_ikev1() { "no" } else { esn(policy.ipsec.esn) }.to_owned()),
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
    if far.certificates().is_some() {
        writeln!(out, "    leftcert={}\n    leftsendcert=always\n    rightrsasigkey=%cert", far.key_name)?;
    }
    if narrows {
        // The other side may begin by asking for everything: without this word that is refused.
        writeln!(out, "    narrowing=yes")?;
    }
    for (index, pair) in far.pairs().iter().enumerate() {
        writeln!(out, "conn {name}-{}\n    also={name}", index + 1)?;
        writeln!(out, "    leftsubnet={}\n    rightsubnet={}\n    auto={auto}", pair.local, pair.remote)?;
    }
    if let Some(key) = far.key() {
        writeln!(out, "# Save this line as /etc/ipsec.d/{name}.secrets (mode 600):")?;
        writeln!(out, "{left_id} {right_id} : PSK {}", secret(&key))?;
    }
    Ok(())
}

/// How the files of certificates come into its database, where `leftcert` finds them.
fn database(far: &Far<'_>, out: &mut String) -> fmt::Result {
    if far.certificates().is_none() || far.number > 1 {
        return Ok(());
    }
    let ([own, key, authority], name) = (far.certificate_files(), &far.key_name);
    writeln!(out, "# They are kept in its database:")?;
    writeln!(
        out,
        "#   openssl pkcs12 -export -name {name} -in {own} -inkey {key} -out {name}.p12 && ipsec import {name}.p12"
    )?;
    writeln!(out, "#   certutil -A -d sql:/var/lib/ipsec/nss -n {name}-ca -t CT,, -a -i {authority}")
}

fn authby(far: &Far<'_>) -> Result<&'static str, PeerConfigError> {
    Ok(match (far.rsa_or_ecdsa("libreswan")?, far.is_ikev1()) {
        (None, _) => "secret",
        (Some(KeyKind::Rsa { .. }), true) => "rsasig",
        (Some(kind), true) => {
            return Err(PeerConfigError::CertificateKey { system: "libreswan", takes: "RSA in IKEv1", kind });
        }
        (Some(_), false) => "rsasig,ecdsa",
    })
}

fn esn(esn: Esn) -> &'static str {
    match esn {
        Esn::Prefer => "either",
        Esn::Require => "yes",
        Esn::Off => "no",
    }
}

/// In quotes, whatever it begins with. A quote would end it, so that a key that holds one is written as bytes, which stand without quotes.
fn secret(key: &str) -> String {
    if !key.contains('"') {
        return format!("\"{key}\"");
    }
    key.bytes().fold("0x".to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // writing to a String cannot fail
        text
    })
}

/// Whether the other side takes its own pair of what we ask for: one, of the others it would hear nothing.
fn narrows(far: &Far<'_>) -> Result<bool, PeerConfigError> {
    let ours = far.connection.mode;
    if far.is_ikev1() || !far.is_any_to_any() || ours == ConnectionMode::ResponderOnly {
        return Ok(false);
    }
    if ours == ConnectionMode::InitiatorOnly && far.pairs().len() > 1 {
        return Err(PeerConfigError::AnyToAny { system: "libreswan" });
    }
    Ok(true)
}

/// Ciphers, hashes and groups joined by `+`: Libreswan takes any of each. In IKEv1 it takes one of each. What it lacks is left out.
fn ike_proposals(far: &Far<'_>, proposal: &IkeProposal) -> Vec<String> {
    let ciphers: Vec<&str> = proposal.encryption.iter().filter_map(|cipher| ike_cipher(*cipher)).collect();
    let hash = |integrity: &IkeIntegrity| match integrity {
        IkeIntegrity::Sha256 => "sha2_256",
        IkeIntegrity::Sha384 => "sha2_384",
        IkeIntegrity::Sha512 => "sha2_512",
        IkeIntegrity::Sha1 => "sha1",
        IkeIntegrity::Md5 => "md5",
    };
    let hashes = proposal.prf.iter().map(|prf: &Prf| hash(&prf.integrity())).collect();
    let groups: Vec<&str> = proposal.dh_groups.iter().filter_map(|dh| group(*dh)).collect();
    if ciphers.is_empty() || groups.is_empty() {
        return Vec::new();
    }
    proposals(far, &[ciphers, hashes, groups])
}

/// One proposal with all algorithms of each kind, in IKEv1 one for each choice.
fn proposals(far: &Far<'_>, lists: &[Vec<&str>]) -> Vec<String> {
    if far.is_ikev1() {
        return each_choice(lists);
    }
    let kinds = lists.iter().filter(|list| !list.is_empty()).map(|list| list.join("+"));
    vec![kinds.collect::<Vec<_>>().join("-")]
}

/// DES it has forgotten.
fn ike_cipher(cipher: IkeEncryption) -> Option<&'static str> {
    match cipher {
        IkeEncryption::GcmAes128 => Some("aes_gcm128"),
        IkeEncryption::GcmAes192 => Some("aes_gcm192"),
        IkeEncryption::GcmAes256 => Some("aes_gcm256"),
        IkeEncryption::Aes128 => Some("aes128"),
        IkeEncryption::Aes192 => Some("aes192"),
        IkeEncryption::Aes256 => Some("aes256"),
        IkeEncryption::TripleDes => Some("3des"),
        IkeEncryption::Des => None,
    }
}

/// Proposals for ciphers with their own integrity and for others.
fn esp(far: &Far<'_>) -> Result<String, PeerConfigError> {
    let hash = |integrity: &IpsecIntegrity| match integrity {
        IpsecIntegrity::Sha256 => "sha2_256",
        IpsecIntegrity::Sha384 => "sha2_384",
        IpsecIntegrity::Sha512 => "sha2_512",
        IpsecIntegrity::Sha1 => "sha1",
        IpsecIntegrity::Md5 => "md5",
    };
    let groups = pfs(far);
    let does_without = far.policy.ipsec.pfs_groups.contains(&PfsGroup::None);
    if groups.is_empty() && !does_without {
        return Err(no_common_ground("pfs_group", "PFS14"));
    }
    let mut all = Vec::new();
    for (ciphers, integrity) in far.esp_kinds() {
        let is_known = |cipher: &IpsecEncryption| {
            // ChaCha20-Poly1305 it has in IKEv2 only.
            !far.is_ikev1() || *cipher != IpsecEncryption::ChaCha20Poly1305
        };
        let ciphers = ciphers.iter().filter(|cipher| is_known(cipher));
        let ciphers: Vec<&str> = ciphers.filter_map(|cipher| esp_cipher(*cipher)).collect();
        if ciphers.is_empty() {
            continue;
        }
        let mut hashes: Vec<&str> = integrity.iter().map(hash).collect();
        if hashes.is_empty() && !groups.is_empty() {
            // The integrity algorithm has its place even where there is none: the group would be taken for it.
            hashes.push("none");
        }
        all.extend(proposals(far, &[ciphers, hashes, groups.clone()]));
    }
    if all.is_empty() {
        return Err(no_common_ground("ipsec_encryption", "GCMAES256"));
    }
    Ok(all.join(","))
}

fn esp_cipher(cipher: IpsecEncryption) -> Option<&'static str> {
    match cipher {
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
    }
}

/// The groups of Child SAs; in IKEv1 one, and of integers modulo a prime.
fn pfs(far: &Far<'_>) -> Vec<&'static str> {
    if far.is_ikev1() {
        let is_elliptic =
            |dh| matches!(dh, DhGroup::Ecp256 | DhGroup::Ecp384 | DhGroup::Ecp521 | DhGroup::Curve25519);
        let found = far.quick_mode_group(|dh| !is_elliptic(dh) && group(dh).is_some());
        return found.and_then(group).into_iter().collect();
    }
    let groups = far.policy.ipsec.pfs_groups.iter();
    groups.filter_map(|pfs| if let PfsGroup::Group(dh) = pfs { group(*dh) } else { None }).collect()
}

fn no_common_ground(what: &'static str, remedy: &'static str) -> PeerConfigError {
    PeerConfigError::NoCommonGround { system: "libreswan", what, remedy }
}

/// Groups 1, 2 and 24 are left out of Libreswan since version 4.
fn group(group: DhGroup) -> Option<&'static str> {
    match group {
        DhGroup::Modp768 | DhGroup::Modp1024 | DhGroup::Modp2048Subgroup256 => None,
        DhGroup::Modp1536 => Some("dh5"),
        DhGroup::Modp2048 => Some("dh14"),
        DhGroup::Modp3072 => Some("dh15"),
        DhGroup::Modp4096 => Some("dh16"),
        DhGroup::Ecp256 => Some("dh19"),
        DhGroup::Ecp384 => Some("dh20"),
        DhGroup::Ecp521 => Some("dh21"),
        DhGroup::Curve25519 => Some("dh31"),
    }
}

/// Names behind `@`; key-ids in brackets (`@[..]`), which hold printable text only; names of certificates in quotes.
fn identity(far: &Far<'_>, identity: &Identity) -> Result<String, PeerConfigError> {
    match identity {
        Identity::Name(name) if far.certificates().is_some() => Ok(format!("\"{name}\"")),
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
