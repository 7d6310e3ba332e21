//! The ESP of a Linux kernel, in a guest, as the peer: plain ESP (protocol 50), extended sequence numbers, fragments
//! and path MTU, which strongSwan's userspace ESP does not have.

use crossgate_tests::capture::{Capture, Kind};
use crossgate_tests::failure::{Result, ensure};
use crossgate_tests::gateway::{Gateway, Plan};
use crossgate_tests::guest::Guest;
use crossgate_tests::sites::Site;
use crossgate_tests::strongswan::{Settings, StrongSwan};
use crossgate_tests::traffic::{Pings, ping, ping_until_answered};
use crossgate_tests::wait::{Look, until};
use std::time::Duration;

use super::{FAR, FAR_IPV6, PATIENCE, site_and_guest};

/// The plan and the settings of both ends, with or without extended sequence numbers.
fn ends(esn: &'static str) -> (Plan, Settings) {
    let (ours, theirs) = match esn {
        "esn" => ("\"Require\"", "aes256gcm16-ecp384-esn"),
        _ => ("\"Off\"", "aes256gcm16-ecp384-noesn"),
    };
    (Plan::site(1).with_policy("esn", ours), Settings { esp: theirs.to_owned(), ..Settings::default() })
}

/// Pings from the guest, as ping in the guest counts them.
fn guest_pings(guest: &Guest, options: &str, to: &str, from: &str) -> Result<Pings> {
    let told = guest.run(&format!("ping -n -q -i 0.1 -W 5 {options} -I {from} {to} || true"))?;
    let number = |word: &str| -> Option<u32> {
        told.split(word).next()?.trim_end().rsplit([' ', '\n', ',']).next()?.parse().ok()
    };
    let (sent, answered) = (number("packets transmitted").unwrap_or(0), number("received").unwrap_or(0));
    ensure(sent > 0, || told.clone())?;
    Ok(Pings { sent, answered })
}

#[test]
fn kernel_esp_with_extended_sequence_numbers_works_and_survives_rekeys() {
    let (site, guest) = site_and_guest().unwrap();
    let (plan, settings) = ends("esn");
    let gateway = Gateway::start(&site.gateway, plan.with_mode("ResponderOnly")).unwrap();
    let strongswan = StrongSwan::start_in_guest(&guest, &settings).unwrap();
    strongswan.initiate().unwrap();
    gateway.is("peer", "up").unwrap();
    let wire = Capture::start(&site.gateway, "wan", 20_000).unwrap();
    for (host, far) in [(site.ipv4(), FAR), (site.ipv6(), FAR_IPV6)] {
        ping_until_answered(host, far, PATIENCE).unwrap();
        ping(host, far, 20, 1000, false).unwrap().all_answered().unwrap();
    }
    let wire = wire.stop().unwrap();
    assert!(wire.count(Kind::Esp) >= 80 && wire.count(Kind::EspInUdp) == 0, "{}", wire.summary());
    let state = guest.run("ip xfrm state").unwrap();
    assert!(state.contains("esn") && state.contains("rfc4106(gcm(aes))"), "{state}");
    let sa = gateway.only_sa().unwrap();
    assert_eq!((&sa["esn"], &sa["encapsulation"]), (&true.into(), &"esp".into()), "{sa}");

    // Pings go on while both sides rekey both kinds of SA.
    std::thread::scope(|scope| {
        let pings = scope.spawn(|| ping(site.ipv4(), FAR, 1000, 200, false));
        gateway.rekey_child("peer").unwrap();
        strongswan.rekey_child().unwrap();
        strongswan.rekey_ike().unwrap();
        strongswan.gets_another_ike_sa(|| gateway.rekey_ike("peer")).unwrap();
        pings.join().unwrap().unwrap().all_answered().unwrap();
    });
    strongswan.terminate().unwrap();
    gateway.is("peer", "down").unwrap();
    gateway.stop().unwrap();
}

#[test]
fn fragments_and_path_mtu_work_with_the_kernels_esp() {
    let (site, guest) = site_and_guest().unwrap();
    let (plan, settings) = ends("noesn");
    let strongswan = StrongSwan::start_in_guest(&guest, &settings).unwrap();
    let gateway = Gateway::start(&site.gateway, plan.with_mode("InitiatorOnly")).unwrap();
    gateway.is("peer", "up").unwrap();
    strongswan.is_up().unwrap();
    ping_until_answered(site.ipv4(), FAR, PATIENCE).unwrap();

    // Inner packets that do not fit and may be fragmented: whoever fragments, they arrive, in both directions.
    let wire = Capture::start(&site.gateway, "wan", 20_000).unwrap();
    ping(site.ipv4(), FAR, 10, 1472, false).unwrap().all_answered().unwrap();
    guest_pings(&guest, "-c 10 -s 1472 -M dont", "10.1.0.10", "10.2.0.1").unwrap().all_answered().unwrap();
    let wire = wire.stop().unwrap();
    assert!(wire.longest_bytes() <= 1514, "{}", wire.longest_bytes());
    // 20 pings and 20 answers, each in two frames, whether it was cut before or after ESP.
    let frames = wire.count(Kind::Esp) + wire.count(Kind::Fragment);
    assert!(frames >= 80, "{}", wire.summary());

    // One that may not is answered by "too big" with the tunnel's MTU; the host learns it, and then it fits.
    ping(site.ipv4(), FAR, 3, 1472, true).unwrap().none_answered().unwrap();
    let mtu = learned_mtu(&site, "10.2.0.1").unwrap();
    assert!((1400..1500).contains(&mtu), "{mtu}");
    ping(site.ipv4(), FAR, 5, mtu - 28, true).unwrap().all_answered().unwrap();
    ping(site.ipv6(), FAR_IPV6, 3, 1452, true).unwrap();
    let mtu = learned_mtu(&site, "fd00:2::1").unwrap();
    assert!((1400..1500).contains(&mtu), "{mtu}");
    ping(site.ipv6(), FAR_IPV6, 5, mtu - 48, true).unwrap().all_answered().unwrap();
}

#[test]
fn esp_that_the_kernel_fragmented_arrives() {
    let (site, guest) = site_and_guest().unwrap();
    let (plan, settings) = ends("noesn");
    let strongswan = StrongSwan::start_in_guest(&guest, &settings).unwrap();
    let gateway = Gateway::start(&site.gateway, plan.with_mode("InitiatorOnly")).unwrap();
    gateway.is("peer", "up").unwrap();
    strongswan.is_up().unwrap();
    // A narrow link at the guest's side: its kernel fragments what it has sealed.
    guest.run("sysctl -q net.ipv4.ip_no_pmtu_disc=1; ip link set eth0 mtu 600").unwrap();
    // DPDK has the kernel put together what AF_PACKET receives, as long as it fits the port's buffers.
    let wire = Capture::start(&site.gateway, "wan", 20_000).unwrap();
    guest_pings(&guest, "-c 20 -s 1200 -M dont", "10.1.0.10", "10.2.0.1").unwrap().all_answered().unwrap();
    let wire = wire.stop().unwrap();
    assert!(wire.count(Kind::Fragment) >= 20, "{}", wire.summary());
}

/// The path MTU that the site's host has learned towards an address.
fn learned_mtu(site: &Site, to: &str) -> Result<u16> {
    until(&format!("a path MTU to {to}"), Duration::from_secs(10), || {
        let route = site.host.ip(&format!("route get {to}"))?;
        let mtu = route.split(" mtu ").nth(1).and_then(|rest| rest.split_whitespace().next()?.parse().ok());
        Ok(mtu.map_or(Look::NotYet(route), Look::Holds))
    })
}
