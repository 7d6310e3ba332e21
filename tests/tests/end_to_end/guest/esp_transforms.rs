//! Child SAs with transforms other than AES-GCM, towards two other implementations of ESP: strongSwan's own in a namespace, and a Linux kernel's in a
//! guest, which has what strongSwan's lacks (extended sequence numbers, plain ESP). Each side begins in turn; packets of many sizes pass each way.

use crossgate_tests::capture::{Capture, Kind};
use crossgate_tests::failure::{Result, ensure};
use crossgate_tests::gateway::{Gateway, Plan};
use crossgate_tests::sites;
use crossgate_tests::strongswan::{Settings, StrongSwan};
use crossgate_tests::traffic::{Host, MARK, Stream, ping, ping_until_answered};
use crossgate_tests::wait::{Look, until};
use std::net::IpAddr;
use std::time::Duration;

use super::{FAR, FAR_IPV6, PATIENCE, site_and_guest};

/// A transform: Azure's words (and ours beyond them), strongSwan's, and the name that `crossgate sas` shows.
struct Case {
    encryption: &'static str,
    integrity: Option<&'static str>,
    theirs: &'static str,
    shown: &'static str,
}

const fn case(
    encryption: &'static str,
    integrity: Option<&'static str>,
    theirs: &'static str,
    shown: &'static str,
) -> Case {
    Case { encryption, integrity, theirs, shown }
}

const AES_CBC: [Case; 5] = [
    case("AES128", Some("SHA1"), "aes128-sha1", "AES_CBC_128/HMAC_SHA1_96"),
    case("AES192", Some("SHA384"), "aes192-sha384", "AES_CBC_192/HMAC_SHA2_384_192"),
    case("AES256", Some("SHA256"), "aes256-sha256", "AES_CBC_256/HMAC_SHA2_256_128"),
    case("AES256", Some("SHA512"), "aes256-sha512", "AES_CBC_256/HMAC_SHA2_512_256"),
    case("AES256", Some("SHA1"), "aes256-sha1", "AES_CBC_256/HMAC_SHA1_96"),
];
const OTHERS: [Case; 4] = [
    case("ChaCha20Poly1305", None, "chacha20poly1305", "CHACHA20_POLY1305"),
    case("None", Some("SHA256"), "null-sha256", "NULL/HMAC_SHA2_256_128"),
    case("DES3", Some("SHA1"), "3des-sha1", "3DES_CBC/HMAC_SHA1_96"),
    case("DES3", Some("SHA256"), "3des-sha256", "3DES_CBC/HMAC_SHA2_256_128"),
];

impl Case {
    fn plan(&self, mode: &str, esn: &str) -> Plan {
        let plan = Plan::site(1).with_mode(mode).with_policy("esn", &format!("\"{esn}\""));
        let plan = plan.with_policy("ipsec_encryption", &format!("\"{}\"", self.encryption));
        match self.integrity {
            Some(integrity) => plan.with_policy("ipsec_integrity", &format!("\"{integrity}\"")),
            None => plan,
        }
    }

    fn settings(&self, tail: &str) -> Settings {
        Settings { esp: format!("{}-ecp384{tail}", self.theirs), ..Settings::default() }
    }
}

/// Waits until all of `count` pings of this size are answered: on a busy machine some answers come too late for ping.
fn passes(from: Host<'_>, to: IpAddr, count: u32, size_bytes: u16) -> Result<()> {
    until(&format!("{count} pings of {size_bytes} bytes to {to} to be answered"), PATIENCE, || {
        let pings = ping(from, to, count, size_bytes, false)?;
        Ok(Look::when(pings.answered == count, || format!("{pings:?}")))
    })
}

/// Both families, sizes around the blocks' ends and one that fills the path; nothing in the clear, unless that is the transform.
fn userspace_esp_carries(cases: &[Case]) -> Result<()> {
    let (site, peer) = sites::with_peer()?;
    let mut strongswan = StrongSwan::start(&peer.gateway, &Settings::default())?;
    for (number, case) in cases.iter().enumerate() {
        let we_begin = number % 2 == 0;
        let mode = if we_begin { "InitiatorOnly" } else { "ResponderOnly" };
        strongswan.reconfigure(&case.settings(""))?;
        let gateway = Gateway::start(&site.gateway, case.plan(mode, "Off"))?;
        if !we_begin {
            strongswan.initiate()?;
        }
        gateway.is("peer", "up")?;
        strongswan.is_up()?;
        let sa = gateway.only_sa()?;
        ensure(sa["suite"] == case.shown, || format!("{sa}"))?;
        let wire = Capture::start(&site.gateway, "wan", 100_000)?;
        for (near, far) in [(site.ipv4(), peer.ipv4()), (site.ipv6(), peer.ipv6())] {
            ping_until_answered(near, far.address, Duration::from_secs(20))?;
            for size_bytes in [8, 9, 14, 15, 16, 17, 200, 1300] {
                passes(near, far.address, 3, size_bytes)?;
            }
            let there = Stream::start(near, far, 1000, 1000)?;
            let back = Stream::start(far, near, 1000, 700)?;
            there.flows(300)?;
            back.flows(300)?;
            there.stop()?.whole()?;
            back.stop()?.whole()?;
        }
        let wire = wire.stop()?;
        let clear = wire.clear(MARK, &[site.ipv4().address, peer.ipv4().address]);
        let hidden = case.encryption != "None";
        ensure(!hidden || clear == 0, || format!("{clear} frames in the clear: {}", wire.summary()))?;
        ensure(wire.count(Kind::EspInUdp) > 600, || format!("too little ESP: {}", wire.summary()))?;
        // Both sides rekey; the new pair has the same transform.
        gateway.rekey_child("peer")?;
        strongswan.rekey_child()?;
        ping_until_answered(site.ipv4(), peer.ipv4().address, Duration::from_secs(20))?;
        for forged in ["esp_auth_failed", "esp_misaligned", "esp_bad_padding"] {
            ensure(gateway.counter(forged)? == 0, || format!("{forged} moved under {}", case.shown))?;
        }
        gateway.stop()?;
        strongswan.is_down()?;
    }
    Ok(())
}

#[test]
fn aes_cbc_with_hmac_works_with_strongswans_esp_whoever_begins() {
    userspace_esp_carries(&AES_CBC).unwrap();
}

#[test]
fn chacha20_null_and_triple_des_work_with_strongswans_esp_whoever_begins() {
    userspace_esp_carries(&OTHERS).unwrap();
}

/// A peer of the old kind that offers what Azure's default policies offer, and a gateway that names no policy: AES-CBC with SHA-2 is found.
#[test]
fn without_a_policy_a_peer_that_lacks_aes_gcm_and_pfs_is_met_and_rekeyed_by_both_sides() {
    let (site, peer) = sites::with_peer().unwrap();
    let settings =
        Settings { esp: "aes256-sha256,aes256-sha1,aes128-sha1,3des-sha1".to_owned(), ..Settings::default() };
    let strongswan = StrongSwan::start(&peer.gateway, &settings).unwrap();
    let gateway = Gateway::start(&site.gateway, Plan::site(1).with_mode("InitiatorOnly")).unwrap();
    gateway.is("peer", "up").unwrap();
    strongswan.is_up().unwrap();
    assert_eq!(gateway.only_sa().unwrap()["suite"], "AES_CBC_256/HMAC_SHA2_256_128");
    gateway.rekey_child("peer").unwrap();
    strongswan.rekey_child().unwrap();
    ping_until_answered(site.ipv4(), peer.ipv4().address, Duration::from_secs(20)).unwrap();
    gateway.stop().unwrap();
}

/// One case after the other in the same guest, with plain ESP; extended sequence numbers in each second one.
fn kernel_esp_carries(cases: &[Case]) -> Result<()> {
    let (site, guest) = site_and_guest()?;
    let mut strongswan = StrongSwan::start_in_guest(&guest, &Settings::default())?;
    for (number, case) in cases.iter().enumerate() {
        let (ours, theirs) = if number % 2 == 0 { ("Require", "-esn") } else { ("Off", "-noesn") };
        let we_begin = number % 4 < 2;
        let mode = if we_begin { "InitiatorOnly" } else { "ResponderOnly" };
        strongswan.reconfigure(&case.settings(theirs))?;
        let gateway = Gateway::start(&site.gateway, case.plan(mode, ours))?;
        if !we_begin {
            strongswan.initiate()?;
        }
        gateway.is("peer", "up")?;
        strongswan.is_up()?;
        let sa = gateway.only_sa()?;
        ensure(sa["suite"] == case.shown && sa["esn"] == (number % 2 == 0), || format!("{sa}"))?;
        let state = guest.run("ip xfrm state")?;
        ensure(state.contains("flag af-unspec esn") == (number % 2 == 0), || state.clone())?;
        let wire = Capture::start(&site.gateway, "wan", 20_000)?;
        for (host, far) in [(site.ipv4(), FAR), (site.ipv6(), FAR_IPV6)] {
            ping_until_answered(host, far, PATIENCE)?;
            // Only its sender may cut an IPv6 packet: this one is answered by "too big".
            ping(host, far, 1, 1452, false)?;
            for size_bytes in [8, 9, 16, 17, 1300, 1452] {
                passes(host, far, 3, size_bytes)?;
            }
        }
        let wire = wire.stop()?;
        ensure(wire.count(Kind::Esp) >= 72, || wire.summary())?;
        ensure(wire.longest_bytes() <= 1514, || wire.summary())?;
        gateway.rekey_child("peer")?;
        strongswan.rekey_child()?;
        ping_until_answered(site.ipv4(), FAR, PATIENCE)?;
        gateway.stop()?;
        strongswan.is_down()?;
    }
    Ok(())
}

#[test]
fn every_transform_works_with_the_kernels_esp_with_and_without_esn() {
    let [one, two, three, four, _] = AES_CBC;
    let [chacha20, null, _, triple_des] = OTHERS;
    kernel_esp_carries(&[one, two, three, four, chacha20, null, triple_des]).unwrap();
}
