//! Cisco IOS XE 16.12 and newer: commands of its configuration mode. Any-to-any connections become a tunnel interface with routes, others a
//! crypto map with an access list of the pairs.

use std::fmt::{self, Write as _};

use crossgate_pki::KeyKind;
use ipnet::IpNet;

use super::{ANY_TO_ANY, Far, PeerConfigError, Stop, numbered_group};
use crate::policy::IkeProposal;
use crate::policy::algorithm::{IkeEncryption, IpsecEncryption, IpsecIntegrity, PfsGroup, Prf};
use crate::{Identity, MssClamp};

pub(super) fn write(far: &Far<'_>, out: &mut String) -> Result<(), Stop> {
    far.head("!", out)?;
    writeln!(out, "! Replace CHANGE-OUTER-INTERFACE by the name of this router's outer interface.")?;
    let name = far.name.to_uppercase();
    let mut proposals = Vec::new();
    for (index, proposal) in far.policy.ike.iter().enumerate() {
        let proposal_name = if index == 0 { name.clone() } else { format!("{name}-{}", index + 1) };
        ike_proposal(proposal, &proposal_name, out)?;
        proposals.push(proposal_name);
    }
    writeln!(out, "crypto ikev2 policy {name}")?;
    for proposal in &proposals {
        writeln!(out, " proposal {proposal}")?;
    }
    if let Some(key) = far.key_without("cisco-ios", "?\"")? {
        writeln!(out, "crypto ikev2 keyring {name}\n peer {name}\n  address {}", far.remote)?;
        writeln!(out, "  pre-shared-key {key}")?;
    } else {
        trustpoint(far, &name, out)?;
    }
    writeln!(out, "crypto ikev2 profile {name}")?;
    writeln!(out, " match identity remote {}", matched(&far.remote_id)?)?;
    writeln!(out, " identity local {}", identity(far.local_id)?)?;
    let (proof, source) = match far.rsa_or_ecdsa("cisco-ios")? {
        None => ("pre-share", "keyring local"),
        Some(KeyKind::Rsa { .. }) => ("rsa-sig", "pki trustpoint"),
        Some(_) => ("ecdsa-sig", "pki trustpoint"),
    };
    writeln!(out, " authentication remote {proof}\n authentication local {proof}")?;
    writeln!(out, " {source} {name}\n lifetime {}", far.policy.ike_lifetime.as_secs())?;
    writeln!(out, " dpd {} 5 periodic", far.connection.dpd_timeout.as_secs())?;
    let sets = transform_sets(far, &name, out)?;
    if far.is_any_to_any() { routed(far, &name, &sets, out) } else { mapped(far, &name, &sets, out) }
}

/// Where the router keeps certificates. It asks for its own and the authority's when they are imported.
fn trustpoint(far: &Far<'_>, name: &str, out: &mut String) -> fmt::Result {
    let [certificate, key, authority] = far.certificate_files();
    writeln!(
        out,
        "! Its own key is of the same kind as the gateway's; else change \"authentication local\" below."
    )?;
    writeln!(out, "! Then, outside of the configuration mode, with {authority}, {key} and {certificate}:")?;
    writeln!(out, "!   crypto pki import {name} pem terminal password CHANGE")?;
    writeln!(out, "crypto pki trustpoint {name}\n enrollment terminal pem\n revocation-check crl none")
}

fn ike_proposal(proposal: &IkeProposal, name: &str, out: &mut String) -> Result<(), Stop> {
    let cipher = |cipher: &IkeEncryption| match cipher {
        IkeEncryption::GcmAes128 => Some("aes-gcm-128"),
        IkeEncryption::GcmAes192 => None,
        IkeEncryption::GcmAes256 => Some("aes-gcm-256"),
        IkeEncryption::Aes128 => Some("aes-cbc-128"),
        IkeEncryption::Aes192 => Some("aes-cbc-192"),
        IkeEncryption::Aes256 => Some("aes-cbc-256"),
        IkeEncryption::TripleDes => Some("3des"),
        IkeEncryption::Des => Some("des"),
    };
    let ciphers: Vec<&str> = proposal.encryption.iter().filter_map(cipher).collect();
    if ciphers.is_empty() {
        let what = "ike_encryption";
        return Err(PeerConfigError::NoCommonGround { system: "cisco-ios", what, remedy: "GCMAES256" }.into());
    }
    let hashes: Vec<&str> = proposal
        .prf
        .iter()
        .map(|prf| match prf {
            Prf::HmacSha256 => "sha256",
            Prf::HmacSha384 => "sha384",
            Prf::HmacSha512 => "sha512",
            Prf::HmacSha1 => "sha1",
            Prf::HmacMd5 => "md5",
        })
        .collect();
    let groups: Vec<String> = proposal.dh_groups.iter().filter_map(|dh| numbered_group(*dh, "")).collect();
    if groups.is_empty() {
        return Err(no_group("dh_group").into());
    }
    writeln!(out, "crypto ikev2 proposal {name}")?;
    writeln!(out, " encryption {}", ciphers.join(" "))?;
    if proposal.integrity.is_empty() {
        writeln!(out, " prf {}", hashes.join(" "))?;
    } else {
        writeln!(out, " integrity {}", hashes.join(" "))?;
    }
    writeln!(out, " group {}", groups.join(" "))?;
    Ok(())
}

/// One transform set for each cipher that IOS has, with the best integrity algorithm; their names.
fn transform_sets(far: &Far<'_>, name: &str, out: &mut String) -> Result<String, Stop> {
    let mut names = Vec::new();
    for (cipher, integrity) in far.esp_pairs() {
        let (short, cipher) = match cipher {
            IpsecEncryption::GcmAes128 => ("GCM128", "esp-gcm 128"),
            IpsecEncryption::GcmAes192 => ("GCM192", "esp-gcm 192"),
            IpsecEncryption::GcmAes256 => ("GCM256", "esp-gcm 256"),
            IpsecEncryption::ChaCha20Poly1305 => continue,
            IpsecEncryption::Aes128 => ("AES128", "esp-aes"),
            IpsecEncryption::Aes192 => ("AES192", "esp-aes 192"),
            IpsecEncryption::Aes256 => ("AES256", "esp-aes 256"),
            IpsecEncryption::TripleDes => ("3DES", "esp-3des"),
            IpsecEncryption::Des => ("DES", "esp-des"),
            IpsecEncryption::Null => ("NULL", "esp-null"),
        };
        let hash = match integrity {
            Some(IpsecIntegrity::Sha256) => " esp-sha256-hmac",
            Some(IpsecIntegrity::Sha384) => " esp-sha384-hmac",
            Some(IpsecIntegrity::Sha512) => " esp-sha512-hmac",
            Some(IpsecIntegrity::Sha1) => " esp-sha-hmac",
            Some(IpsecIntegrity::Md5) => " esp-md5-hmac",
            None => "",
        };
        let set = format!("{name}-{short}");
        writeln!(out, "crypto ipsec transform-set {set} {cipher}{hash}\n mode tunnel")?;
        names.push(set);
    }
    if names.is_empty() {
        let what = "ipsec_encryption";
        return Err(PeerConfigError::NoCommonGround { system: "cisco-ios", what, remedy: "GCMAES256" }.into());
    }
    Ok(names.join(" "))
}

/// What a profile and a crypto map say alike, without the blank before it.
fn common(far: &Far<'_>, name: &str, sets: &str) -> Result<Vec<String>, Stop> {
    let policy = far.policy;
    let kilobytes = policy.sa_data_size_kib.clamp(2560, 4_294_967_295);
    let mut lines = vec![
        format!("set security-association lifetime seconds {}", policy.sa_lifetime.as_secs()),
        format!("set security-association lifetime kilobytes {kilobytes}"),
        format!(
            "set security-association replay window-size {}",
            policy.replay_window_packets.clamp(64, 1024)
        ),
        format!("set transform-set {sets}"),
    ];
    let groups = &policy.ipsec.pfs_groups;
    let pfs = groups.iter().find_map(|pfs| match pfs {
        PfsGroup::Group(dh) => numbered_group(*dh, "group"),
        PfsGroup::None => None,
    });
    match pfs {
        Some(group) => lines.push(format!("set pfs {group}")),
        None if groups.contains(&PfsGroup::None) => {}
        None => return Err(no_group("pfs_group").into()),
    }
    lines.push(format!("set ikev2-profile {name}"));
    Ok(lines)
}

fn routed(far: &Far<'_>, name: &str, sets: &str, out: &mut String) -> Result<(), Stop> {
    writeln!(out, "crypto ipsec profile {name}")?;
    for line in common(far, name, sets)? {
        writeln!(out, " {line}")?;
    }
    let local = far.local.map_or_else(|| OUTER_INTERFACE.to_owned(), |address| address.to_string());
    let mss = match far.connection.mss_clamp {
        MssClamp::Bytes(bytes) => bytes,
        MssClamp::Auto | MssClamp::Off => MSS_BYTES,
    };
    let mode = match (far.remote.is_ipv4(), far.has(false)) {
        (_, true) if far.has(true) => "ipsec dual-overlay",
        (true, true) => "ipsec ipv4 v6-overlay",
        (true, false) => "ipsec ipv4",
        (false, true) => "ipsec ipv6",
        (false, false) => "ipsec ipv6 v4-overlay",
    };
    let number = far.number;
    writeln!(out, "interface Tunnel{number}\n description {}", far.name)?;
    if far.has(true) {
        writeln!(out, " ip unnumbered {OUTER_INTERFACE}\n ip tcp adjust-mss {mss}")?;
    }
    if far.has(false) {
        writeln!(out, " ipv6 enable\n ipv6 tcp adjust-mss {}", mss - IPV6_MORE_BYTES)?;
    }
    writeln!(out, " tunnel source {local}\n tunnel mode {mode}\n tunnel destination {}", far.remote)?;
    writeln!(out, " tunnel protection ipsec profile {name}")?;
    for prefix in &far.remote_prefixes {
        match prefix {
            IpNet::V4(net) => writeln!(out, "ip route {} {} Tunnel{number}", net.network(), net.netmask())?,
            IpNet::V6(net) => writeln!(out, "ipv6 route {net} Tunnel{number}")?,
        }
    }
    Ok(())
}

fn mapped(far: &Far<'_>, name: &str, sets: &str, out: &mut String) -> Result<(), Stop> {
    far.one_tunnel("cisco-ios", ANY_TO_ANY)?;
    for (ipv4, family) in [(true, "ip"), (false, "ipv6")] {
        if !far.has(ipv4) {
            continue;
        }
        let list = format!("{name}-{}", family.to_uppercase());
        let kind = if ipv4 { "ip access-list extended" } else { "ipv6 access-list" };
        writeln!(out, "{kind} {list}")?;
        for pair in far.pairs().iter().filter(|pair| pair.local.addr().is_ipv4() == ipv4) {
            writeln!(out, " permit {family} {} {}", listed(pair.local), listed(pair.remote))?;
        }
        let map = if ipv4 { "crypto map" } else { "crypto map ipv6" };
        writeln!(out, "{map} {list} 10 ipsec-isakmp\n set peer {}", far.remote)?;
        for line in common(far, name, sets)? {
            writeln!(out, " {line}")?;
        }
        writeln!(out, " match address {}{list}", if ipv4 { "" } else { "ipv6 " })?;
        writeln!(out, "interface {OUTER_INTERFACE}")?;
        writeln!(out, " {}crypto map {list}", if ipv4 { "" } else { "ipv6 " })?;
    }
    Ok(())
}

/// A prefix as an access list has it: IPv4 with the mask upside down.
fn listed(prefix: IpNet) -> String {
    match prefix {
        IpNet::V4(net) => format!("{} {}", net.network(), net.hostmask()),
        IpNet::V6(net) => net.to_string(),
    }
}

fn identity(identity: &Identity) -> Result<String, PeerConfigError> {
    match identity {
        Identity::Ipv4(address) => Ok(format!("address {address}")),
        Identity::Ipv6(address) => Ok(format!("address {address}")),
        Identity::Fqdn(name) => Ok(format!("fqdn {name}")),
        Identity::Email(name) => Ok(format!("email {name}")),
        Identity::Name(_) => {
            Err(PeerConfigError::Identity { system: "cisco-ios", identity: identity.clone() })
        }
        Identity::KeyId(bytes) => {
            let text = std::str::from_utf8(bytes).ok();
            let text =
                text.filter(|text| text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)));
            let refused = || PeerConfigError::Identity { system: "cisco-ios", identity: identity.clone() };
            text.map(|text| format!("key-id {text}")).ok_or_else(refused)
        }
    }
}

/// The same with the mask that a match wants.
fn matched(remote: &Identity) -> Result<String, PeerConfigError> {
    Ok(match remote {
        Identity::Ipv4(address) => format!("address {address} 255.255.255.255"),
        Identity::Ipv6(address) => format!("address {address}/128"),
        other => identity(other)?,
    })
}

fn no_group(what: &'static str) -> PeerConfigError {
    PeerConfigError::NoCommonGround { system: "cisco-ios", what, remedy: "ECP384 or DHGroup14" }
}

/// Its name differs from router to router: what is pasted unchanged is refused rather than bound to the wrong interface.
const OUTER_INTERFACE: &str = "CHANGE-OUTER-INTERFACE";
/// What fits into ESP in UDP over 1500 bytes with room to spare.
const MSS_BYTES: u16 = 1350;
/// The IPv6 header is longer than IPv4's.
const IPV6_MORE_BYTES: u16 = 20;
