//! Juniper SRX, Junos 20 and newer: commands of its configuration mode, with a secure tunnel interface (`st0`) and routes into it.

use std::fmt::{self, Write as _};

use crossgate_pki::KeyKind;

use super::{Far, PeerConfigError, Stop, numbered_group};
use crate::policy::algorithm::{IkeEncryption, IpsecEncryption, IpsecIntegrity, PfsGroup, Prf};
use crate::{ConnectionMode, Identity, MssClamp};

pub(super) fn write(far: &Far<'_>, out: &mut String) -> Result<(), Stop> {
    far.head("#", out)?;
    writeln!(
        out,
        "# Replace CHANGE-OUTER-INTERFACE by the outer interface, such as ge-0/0/0.0, and ZONE by the tunnel's security zone."
    )?;
    let name = far.name.to_uppercase();
    let proposals = ike_proposals(far, &name, out)?;
    let policy = format!("set security ike policy {name}");
    writeln!(out, "{policy} mode main")?;
    for proposal in &proposals {
        writeln!(out, "{policy} proposals {proposal}")?;
    }
    if let Some(key) = far.key_without("juniper-srx", "\"\\")? {
        writeln!(out, "{policy} pre-shared-key ascii-text \"{key}\"")?;
    } else {
        writeln!(out, "{policy} certificate local-certificate {name}")?;
        certificates(far, &name, out)?;
    }
    gateway(far, &name, out)?;
    let proposals = ipsec_proposals(far, &name, out)?;
    let policy = format!("set security ipsec policy {name}");
    if let Some(group) = pfs(far)? {
        writeln!(out, "{policy} perfect-forward-secrecy keys {group}")?;
    }
    for proposal in &proposals {
        writeln!(out, "{policy} proposals {proposal}")?;
    }
    vpn(far, &name, out)
}

/// The authority's profile, and how the files are loaded once it is there.
fn certificates(far: &Far<'_>, name: &str, out: &mut String) -> fmt::Result {
    let [certificate, key, authority] = far.certificate_files();
    writeln!(out, "set security pki ca-profile {name} ca-identity {name}")?;
    writeln!(out, "# After a commit, outside of the configuration mode:")?;
    writeln!(out, "#   request security pki ca-certificate load ca-profile {name} filename {authority}")?;
    writeln!(
        out,
        "#   request security pki local-certificate load certificate-id {name} filename {certificate} key {key}"
    )
}

/// Both sides prove themselves in the same way, and its own certificate has a key of ours' kind.
fn method(far: &Far<'_>) -> Result<&'static str, PeerConfigError> {
    Ok(match far.rsa_or_ecdsa("juniper-srx")? {
        None => "pre-shared-keys",
        Some(KeyKind::P384) => "ecdsa-signatures-384",
        Some(KeyKind::P521) => "ecdsa-signatures-521",
        Some(KeyKind::P256) => "ecdsa-signatures-256",
        Some(_) => "rsa-signatures",
    })
}

/// One proposal for each cipher with the best hash and group: a proposal of Junos holds one of each.
fn ike_proposals(far: &Far<'_>, name: &str, out: &mut String) -> Result<Vec<String>, Stop> {
    let mut names = Vec::new();
    for proposal in &far.policy.ike {
        let group = proposal.dh_groups.iter().find_map(|dh| numbered_group(*dh, "group"));
        let group = group.ok_or_else(|| no_group("dh_group"))?;
        for cipher in &proposal.encryption {
            let own = format!("{name}-{}", names.len() + 1);
            let line = format!("set security ike proposal {own}");
            let cipher = match cipher {
                IkeEncryption::GcmAes128 => "aes-128-gcm",
                IkeEncryption::GcmAes192 => {
                    let (system, what) = ("juniper-srx", "ike_encryption");
                    return Err(PeerConfigError::NoCommonGround { system, what, remedy: "GCMAES256" }.into());
                }
                IkeEncryption::TripleDes => "3des-cbc",
                IkeEncryption::Des => "des-cbc",
                IkeEncryption::GcmAes256 => "aes-256-gcm",
                IkeEncryption::Aes128 => "aes-128-cbc",
                IkeEncryption::Aes192 => "aes-192-cbc",
                IkeEncryption::Aes256 => "aes-256-cbc",
            };
            let hash = match proposal.prf.first() {
                Some(Prf::HmacSha384) => "sha-384",
                Some(Prf::HmacSha512) => "sha-512",
                Some(Prf::HmacSha1) => "sha1",
                Some(Prf::HmacMd5) => "md5",
                Some(Prf::HmacSha256) | None => "sha-256",
            };
            writeln!(out, "{line} authentication-method {}\n{line} dh-group {group}", method(far)?)?;
            writeln!(out, "{line} authentication-algorithm {hash}\n{line} encryption-algorithm {cipher}")?;
            writeln!(
                out,
                "{line} lifetime-seconds {}",
                far.policy.ike_lifetime.as_secs().min(LIFETIME_MAX_S)
            )?;
            names.push(own);
        }
    }
    Ok(names)
}

fn gateway(far: &Far<'_>, name: &str, out: &mut String) -> Result<(), Stop> {
    let gateway = format!("set security ike gateway {name}");
    writeln!(out, "{gateway} ike-policy {name}\n{gateway} address {}", far.remote)?;
    let interval = far.connection.dpd_timeout.as_secs().clamp(10, 60);
    writeln!(
        out,
        "{gateway} dead-peer-detection always-send\n{gateway} dead-peer-detection interval {interval}"
    )?;
    writeln!(out, "{gateway} local-identity {}", identity(far.local_id)?)?;
    writeln!(out, "{gateway} remote-identity {}", identity(&far.remote_id)?)?;
    writeln!(out, "{gateway} external-interface CHANGE-OUTER-INTERFACE")?;
    if let Some(local) = far.local {
        writeln!(out, "{gateway} local-address {local}")?;
    }
    writeln!(out, "{gateway} version v2-only")?;
    Ok(())
}

/// One proposal for each cipher that Junos has, with the best integrity algorithm.
fn ipsec_proposals(far: &Far<'_>, name: &str, out: &mut String) -> Result<Vec<String>, Stop> {
    let mut names = Vec::new();
    for (cipher, integrity) in far.esp_pairs() {
        let own = format!("{name}-{}", names.len() + 1);
        let line = format!("set security ipsec proposal {own}");
        let cipher = match cipher {
            IpsecEncryption::GcmAes128 => "aes-128-gcm",
            IpsecEncryption::GcmAes192 => "aes-192-gcm",
            IpsecEncryption::GcmAes256 => "aes-256-gcm",
            IpsecEncryption::Aes128 => "aes-128-cbc",
            IpsecEncryption::Aes192 => "aes-192-cbc",
            IpsecEncryption::Aes256 => "aes-256-cbc",
            IpsecEncryption::TripleDes => "3des-cbc",
            IpsecEncryption::Des => "des-cbc",
            IpsecEncryption::ChaCha20Poly1305 | IpsecEncryption::Null => continue,
        };
        let hash = integrity.map(|integrity| match integrity {
            IpsecIntegrity::Sha256 => "hmac-sha-256-128",
            IpsecIntegrity::Sha384 => "hmac-sha-384",
            IpsecIntegrity::Sha512 => "hmac-sha-512",
            IpsecIntegrity::Sha1 => "hmac-sha1-96",
            IpsecIntegrity::Md5 => "hmac-md5-96",
        });
        let kilobytes = far.policy.sa_data_size_kib.clamp(64, 4_294_967_294);
        writeln!(out, "{line} protocol esp\n{line} encryption-algorithm {cipher}")?;
        if let Some(hash) = hash {
            writeln!(out, "{line} authentication-algorithm {hash}")?;
        }
        writeln!(out, "{line} lifetime-seconds {}", far.policy.sa_lifetime.as_secs().min(LIFETIME_MAX_S))?;
        writeln!(out, "{line} lifetime-kilobytes {kilobytes}")?;
        names.push(own);
    }
    if names.is_empty() {
        let what = "ipsec_encryption";
        return Err(
            PeerConfigError::NoCommonGround { system: "juniper-srx", what, remedy: "GCMAES256" }.into()
        );
    }
    Ok(names)
}

fn pfs(far: &Far<'_>) -> Result<Option<String>, PeerConfigError> {
    let groups = &far.policy.ipsec.pfs_groups;
    let found = groups.iter().find_map(|pfs| match pfs {
        PfsGroup::Group(dh) => numbered_group(*dh, "group"),
        PfsGroup::None => None,
    });
    if found.is_none() && !groups.contains(&PfsGroup::None) {
        return Err(no_group("pfs_group"));
    }
    Ok(found)
}

fn vpn(far: &Far<'_>, name: &str, out: &mut String) -> Result<(), Stop> {
    let vpn = format!("set security ipsec vpn {name}");
    let establish = match far.mode() {
        ConnectionMode::ResponderOnly => "responder-only",
        _ if far.begins_on_traffic() => "on-traffic",
        ConnectionMode::Default | ConnectionMode::InitiatorOnly => "immediately",
    };
    let unit = far.number - 1;
    writeln!(
        out,
        "{vpn} bind-interface st0.{unit}\n{vpn} ike gateway {name}\n{vpn} ike ipsec-policy {name}"
    )?;
    writeln!(out, "{vpn} establish-tunnels {establish}")?;
    if !far.is_any_to_any() {
        for (index, pair) in far.pairs().iter().enumerate() {
            let selector = format!("{vpn} traffic-selector TS{}", index + 1);
            writeln!(out, "{selector} local-ip {}\n{selector} remote-ip {}", pair.local, pair.remote)?;
        }
    }
    for (ipv4, family) in [(true, "inet"), (false, "inet6")] {
        if far.has(ipv4) {
            writeln!(out, "set interfaces st0 unit {unit} family {family}")?;
        }
    }
    writeln!(out, "set security zones security-zone ZONE interfaces st0.{unit}")?;
    let mss = match far.connection.mss_clamp {
        MssClamp::Bytes(bytes) => bytes,
        MssClamp::Auto | MssClamp::Off => MSS_BYTES,
    };
    writeln!(out, "set security flow tcp-mss ipsec-vpn mss {mss}")?;
    // Junos makes the routes of traffic selectors itself.
    if far.is_any_to_any() {
        for prefix in &far.remote_prefixes {
            let table = if prefix.addr().is_ipv4() { "" } else { "rib inet6.0 " };
            writeln!(out, "set routing-options {table}static route {prefix} next-hop st0.{unit}")?;
        }
    }
    Ok(())
}

fn identity(identity: &Identity) -> Result<String, PeerConfigError> {
    match identity {
        Identity::Ipv4(address) => Ok(format!("inet {address}")),
        Identity::Ipv6(address) => Ok(format!("inet6 {address}")),
        Identity::Fqdn(name) => Ok(format!("hostname {name}")),
        Identity::Email(name) => Ok(format!("user-at-hostname {name}")),
        Identity::Name(_) => {
            Err(PeerConfigError::Identity { system: "juniper-srx", identity: identity.clone() })
        }
        Identity::KeyId(bytes) => {
            let text = std::str::from_utf8(bytes).ok();
            let text =
                text.filter(|text| text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)));
            let refused = || PeerConfigError::Identity { system: "juniper-srx", identity: identity.clone() };
            text.map(|text| format!("key-id {text}")).ok_or_else(refused)
        }
    }
}

fn no_group(what: &'static str) -> PeerConfigError {
    PeerConfigError::NoCommonGround { system: "juniper-srx", what, remedy: "ECP384 or DHGroup14" }
}

/// Junos keeps no SA longer than a day.
const LIFETIME_MAX_S: u64 = 86_400;
/// What fits into ESP in UDP over 1500 bytes with room to spare.
const MSS_BYTES: u16 = 1350;
