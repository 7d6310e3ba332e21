//! strongSwan 5.9 and newer: `swanctl.conf` (its manual page has every word).

use std::fmt::{self, Write as _};

use ipnet::IpNet;

use super::crossgate::some_space;
use super::{Far, Stop, each_choice, joined};
use crate::policy::algorithm::{
    DhGroup, IkeEncryption, IkeIntegrity, IpsecEncryption, IpsecIntegrity, PfsGroup, Prf,
};
use crate::policy::{Esn, IkeProposal};
use crate::{ConnectionMode, Identity};

pub(super) fn write(far: &Far<'_>, out: &mut String) -> Result<(), Stop> {
    far.names_pairs("strongswan")?;
    far.head("#", out)?;
    writeln!(out, "# Save it as /etc/swanctl/conf.d/{}.conf (mode 600), then: swanctl --load-all", far.name)?;
    if far.certificates().is_some() {
        let [own, key, authority] = far.certificate_files();
        writeln!(
            out,
            "# Save {own} in /etc/swanctl/x509, {key} (mode 600) in /etc/swanctl/private, and {authority}, and the intermediates of {own} if it has some, in /etc/swanctl/x509ca, first."
        )?;
    }
    if far.connection.second_address.is_some() {
        interface(far, out)?;
    }
    let (name, policy) = (&far.name, far.policy);
    let local = far.local.map_or_else(|| "%any".to_owned(), |address| address.to_string());
    let ike: Vec<String> = policy.ike.iter().flat_map(|proposal| ike_proposals(far, proposal)).collect();
    let start = match far.mode() {
        ConnectionMode::ResponderOnly => "none",
        _ if far.begins_on_traffic() => "trap",
        ConnectionMode::Default | ConnectionMode::InitiatorOnly => "start",
    };
    writeln!(out, "connections {{\n    {name} {{")?;
    for (key, value) in [
        ("version", if far.is_ikev1() { "1" } else { "2" }.to_owned()),
        ("mobike", "no".to_owned()),
        ("local_addrs", local),
        ("remote_addrs", far.remote.to_string()),
        ("proposals", ike.join(",")),
        ("dpd_delay", format!("{}s", far.connection.dpd_timeout.as_secs())),
        ("rekey_time", format!("{}s", policy.ike_lifetime.as_secs())),
        ("keyingtries", "0".to_owned()),
    ] {
        writeln!(out, "        {key} = {value}")?;
    }
    if far.certificates().is_some() {
        writeln!(out, "        send_cert = always")?;
    }
    if let Some((ppk, _)) = far.ppk() {
        let required = if ppk.required { "yes" } else { "no" };
        writeln!(out, "        ppk_id = {}\n        ppk_required = {required}", key_id(ppk.id.as_bytes()))?;
    }
    if far.connection.request_addresses {
        writeln!(out, "        pools = {name}")?;
    }
    let [local, remote] = proofs(far);
    for (side, proof, id) in [("local", local, far.local_id), ("remote", remote, &far.remote_id)] {
        let id = identity(id);
        writeln!(out, "        {side} {{\n{proof}            id = {id}\n        }}")?;
    }
    writeln!(out, "        children {{")?;
    children(far, start, out)?;
    writeln!(out, "        }}\n    }}\n}}\nsecrets {{")?;
    if let Some(key) = far.key() {
        let (local, remote) = (identity(far.local_id), identity(&far.remote_id));
        writeln!(out, "    ike-{name} {{\n        id-1 = {local}\n        id-2 = {remote}")?;
        writeln!(out, "        secret = {}\n    }}", secret(&key))?;
    }
    if let Some((ppk, key)) = far.ppk() {
        writeln!(
            out,
            "    ppk-{name} {{\n        id = {}\n        secret = {}\n    }}",
            key_id(ppk.id.as_bytes()),
            secret(&key)
        )?;
    }
    writeln!(out, "}}")?;
    if far.connection.request_addresses {
        pool(far, out)?;
    }
    Ok(())
}

/// How each side proves itself: this one, then ours.
fn proofs(far: &Far<'_>) -> [String; 2] {
    if far.certificates().is_none() {
        return ["            auth = psk\n"; 2].map(str::to_owned);
    }
    let [own, _, authority] = far.certificate_files();
    [("certs", own), ("cacerts", authority)]
        .map(|(key, file)| format!("            auth = pubkey\n            {key} = {file}\n"))
}

/// Where the address comes from that is assigned to us.
fn pool(far: &Far<'_>, out: &mut String) -> fmt::Result {
    let known: Vec<IpNet> = far.local_prefixes.iter().chain(&far.remote_prefixes).copied().collect();
    let addresses = some_space(&known).map_or_else(String::new, |space| space.to_string());
    writeln!(out, "# CHANGE: one address that is nobody else's behind this side is enough.")?;
    writeln!(out, "pools {{\n    {} {{\n        addrs = {addresses}\n    }}\n}}", far.name)
}

/// A child for each policy of selectors; in IKEv1, where a Child SA has one pair of prefixes, a child for each pair.
fn children(far: &Far<'_>, start: &str, out: &mut String) -> fmt::Result {
    let sides: Vec<(String, String)> = match far.is_ikev1() {
        true => far.pairs().iter().map(|pair| (pair.local.to_string(), pair.remote.to_string())).collect(),
        false => {
            let remote = |prefixes: &[IpNet]| match far.connection.request_addresses {
                true => "dynamic".to_owned(),
                false => joined(prefixes, ","),
            };
            let policies = far.policies();
            policies.iter().map(|one| (joined(&one.local, ","), remote(&one.remote))).collect()
        }
    };
    for (number, (local, remote)) in (1..).zip(&sides) {
        let name = if number == 1 { "net".to_owned() } else { format!("net-{number}") };
        child(far, &name, (local, remote), start, out)?;
    }
    Ok(())
}

fn child(
    far: &Far<'_>,
    name: &str,
    (local, remote): (&str, &str),
    start: &str,
    out: &mut String,
) -> fmt::Result {
    let policy = far.policy;
    let dead = match start {
        "none" => "clear",
        "trap" => "trap",
        _ => "restart",
    };
    writeln!(out, "            {name} {{")?;
    for (key, value) in [
        ("local_ts", local.to_owned()),
        ("remote_ts", remote.to_owned()),
        ("esp_proposals", esp_proposals(far)),
        ("rekey_time", format!("{}s", policy.sa_lifetime.as_secs())),
        ("rekey_bytes", policy.sa_data_size_kib.saturating_mul(1024).to_string()),
        ("replay_window", policy.replay_window_packets.to_string()),
        ("start_action", start.to_owned()),
        ("dpd_action", dead.to_owned()),
        ("close_action", start.to_owned()),
    ] {
        writeln!(out, "                {key} = {value}")?;
    }
    if far.connection.second_address.is_some() {
        let number = far.number;
        writeln!(out, "                if_id_in = {number}\n                if_id_out = {number}")?;
    }
    writeln!(out, "            }}")
}

/// How to make the interface of one of two tunnels: of two policies for the same prefixes the kernel would look at the first alone.
fn interface(far: &Far<'_>, out: &mut String) -> fmt::Result {
    let number = far.number;
    writeln!(
        out,
        "# Each tunnel has an interface:\n#   ip link add xfrm{number} type xfrm dev CHANGE-OUTER-INTERFACE if_id {number} && ip link set xfrm{number} up"
    )?;
    if number == 1 {
        return Ok(());
    }
    writeln!(
        out,
        "# Routes into both, of which one whose tunnel is down has to be taken out (a script: updown):"
    )?;
    for prefix in &far.remote_prefixes {
        let six = if prefix.addr().is_ipv4() { "" } else { " -6" };
        writeln!(out, "#   ip{six} route add {prefix} nexthop dev xfrm1 nexthop dev xfrm2")?;
    }
    Ok(())
}

/// Algorithms of each kind one after the other: strongSwan takes any of each. In IKEv1 it takes the first of each, and the hash is the pseudorandom function.
fn ike_proposals(far: &Far<'_>, proposal: &IkeProposal) -> Vec<String> {
    let ciphers = proposal.encryption.iter().map(|cipher| match cipher {
        IkeEncryption::GcmAes128 => "aes128gcm16",
        IkeEncryption::TripleDes => "3des",
        IkeEncryption::Des => "des",
        IkeEncryption::GcmAes192 => "aes192gcm16",
        IkeEncryption::GcmAes256 => "aes256gcm16",
        IkeEncryption::Aes128 => "aes128",
        IkeEncryption::Aes192 => "aes192",
        IkeEncryption::Aes256 => "aes256",
    });
    let integrity = proposal.integrity.iter().map(|integrity| match integrity {
        IkeIntegrity::Sha256 => "sha256",
        IkeIntegrity::Sha384 => "sha384",
        IkeIntegrity::Sha512 => "sha512",
        IkeIntegrity::Sha1 => "sha1",
        IkeIntegrity::Md5 => "md5",
    });
    let prfs = proposal.prf.iter().map(|prf| match prf {
        Prf::HmacSha256 => "prfsha256",
        Prf::HmacSha384 => "prfsha384",
        Prf::HmacSha512 => "prfsha512",
        Prf::HmacSha1 => "prfsha1",
        Prf::HmacMd5 => "prfmd5",
    });
    let groups = proposal.dh_groups.iter().map(|dh| group(*dh));
    if far.is_ikev1() {
        return each_choice(&[ciphers.collect(), integrity.collect(), groups.collect()]);
    }
    vec![ciphers.chain(integrity).chain(prfs).chain(groups).collect::<Vec<_>>().join("-")]
}

/// Ciphers with their own integrity apart from others; with the groups, and without where the policy does without.
fn esp_proposals(far: &Far<'_>) -> String {
    let groups: Vec<&str> = far
        .policy
        .ipsec
        .pfs_groups
        .iter()
        .filter_map(|pfs| match pfs {
            PfsGroup::Group(dh) => Some(group(*dh)),
            PfsGroup::None => None,
        })
        .collect();
    if far.is_ikev1() {
        return quick_mode_proposals(far);
    }
    let esn = if far.policy.ipsec.esn == Esn::Require { "-esn" } else { "" };
    let mut proposals = Vec::new();
    for (ciphers, integrity) in far.esp_kinds() {
        let words = ciphers.iter().map(|cipher| esp_cipher(*cipher));
        let words = words.chain(integrity.iter().map(|integrity| esp_integrity(*integrity)));
        let words = words.collect::<Vec<_>>().join("-");
        if !groups.is_empty() {
            proposals.push(format!("{words}-{}{esn}", groups.join("-")));
        }
        if far.policy.ipsec.pfs_groups.contains(&PfsGroup::None) {
            proposals.push(format!("{words}{esn}"));
        }
    }
    proposals.join(",")
}

/// One algorithm of each kind, and one group for all; without any where the policy has none.
fn quick_mode_proposals(far: &Far<'_>) -> String {
    let groups: Vec<&str> = far.quick_mode_group(|_| true).map(group).into_iter().collect();
    let kinds = far.esp_kinds().into_iter().flat_map(|(ciphers, integrity)| {
        let ciphers = ciphers.iter().map(|cipher| esp_cipher(*cipher)).collect();
        let integrity = integrity.iter().map(|integrity| esp_integrity(*integrity)).collect();
        each_choice(&[ciphers, integrity, groups.clone()])
    });
    kinds.collect::<Vec<_>>().join(",")
}

fn esp_cipher(cipher: IpsecEncryption) -> &'static str {
    match cipher {
        IpsecEncryption::GcmAes128 => "aes128gcm16",
        IpsecEncryption::GcmAes192 => "aes192gcm16",
        IpsecEncryption::GcmAes256 => "aes256gcm16",
        IpsecEncryption::ChaCha20Poly1305 => "chacha20poly1305",
        IpsecEncryption::Aes128 => "aes128",
        IpsecEncryption::Aes192 => "aes192",
        IpsecEncryption::Aes256 => "aes256",
        IpsecEncryption::TripleDes => "3des",
        IpsecEncryption::Des => "des",
        IpsecEncryption::Null => "null",
    }
}

fn esp_integrity(integrity: IpsecIntegrity) -> &'static str {
    match integrity {
        IpsecIntegrity::Sha256 => "sha256",
        IpsecIntegrity::Sha384 => "sha384",
        IpsecIntegrity::Sha512 => "sha512",
        IpsecIntegrity::Sha1 => "sha1",
        IpsecIntegrity::Md5 => "md5",
    }
}

fn group(group: DhGroup) -> &'static str {
    match group {
        DhGroup::Modp768 => "modp768",
        DhGroup::Modp1024 => "modp1024",
        DhGroup::Modp1536 => "modp1536",
        DhGroup::Modp2048Subgroup256 => "modp2048s256",
        DhGroup::Modp2048 => "modp2048",
        DhGroup::Modp3072 => "modp3072",
        DhGroup::Modp4096 => "modp4096",
        DhGroup::Ecp256 => "ecp256",
        DhGroup::Ecp384 => "ecp384",
        DhGroup::Ecp521 => "ecp521",
        DhGroup::Curve25519 => "x25519",
    }
}

/// Key-ids as hexadecimal bytes (`@#`), the rest as written.
fn identity(identity: &Identity) -> String {
    match identity {
        Identity::KeyId(bytes) => key_id(bytes),
        Identity::Fqdn(name) => format!("\"@{name}\""),
        Identity::Name(name) => format!("\"{name}\""),
        Identity::Email(_) | Identity::Ipv4(_) | Identity::Ipv6(_) => identity.to_string(),
    }
}

/// Bytes that strongSwan is not to read as anything else.
fn key_id(bytes: &[u8]) -> String {
    format!("\"@#{}\"", hexadecimal(bytes))
}

/// As written where that is plain, else as bytes: quotes, backslashes and text that reads like a number mean something there.
fn secret(key: &str) -> String {
    let plain = key.chars().all(|c| c.is_ascii_alphanumeric() || "+/=._-".contains(c));
    match plain && !key.starts_with("0x") && !key.starts_with("0s") {
        true => format!("\"{key}\""),
        false => format!("0x{}", hexadecimal(key.as_bytes())),
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // writing to a String cannot fail
        text
    })
}
