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

/// One part after the other in the same guest, since a boot takes longer than any of them.
#[test]
fn kernel_esp_works_with_esn_and_rekeys_path_mtu_and_fragments() {
    parts_in_turn().unwrap();
}

fn parts_in_turn() -> Result<()> {
    let (site, guest) = site_and_guest()?;
    let (plan, settings) = ends("esn");
    let mut strongswan = StrongSwan::start_in_guest(&guest, &settings)?;
    extended_sequence_numbers_work_and_survive_rekeys(&site, &guest, &strongswan, plan)?;
    let (plan, settings) = ends("noesn");
    strongswan.reconfigure(&settings)?;
    let gateway = Gateway::start(&site.gateway, plan.with_mode("InitiatorOnly"))?;
    gateway.is("peer", "up")?;
    strongswan.is_up()?;
    ping_until_answered(site.ipv4(), FAR, PATIENCE)?;
    fragments_and_path_mtu_work(&site, &guest)?;
    esp_that_the_kernel_fragmented_arrives(&site, &guest)?;
    gateway.stop()
}

fn extended_sequence_numbers_work_and_survive_rekeys(
    site: &Site,
    guest: &Guest,
    strongswan: &StrongSwan<'_>,
    plan: Plan,
) -> Result<()> {
    let gateway = Gateway::start(&site.gateway, plan.with_mode("ResponderOnly"))?;
    strongswan.initiate()?;
    gateway.is("peer", "up")?;
    let wire = Capture::start(&site.gateway, "wan", 20_000)?;
    for (host, far) in [(site.ipv4(), FAR), (site.ipv6(), FAR_IPV6)] {
        ping_until_answered(host, far, PATIENCE)?;
        ping(host, far, 20, 1000, false)?.all_answered()?;
    }
    let wire = wire.stop()?;
    ensure(wire.count(Kind::Esp) >= 80 && wire.count(Kind::EspInUdp) == 0, || wire.summary())?;
    let state = guest.run("ip xfrm state")?;
    ensure(state.contains("esn") && state.contains("rfc4106(gcm(aes))"), || state.clone())?;
    let sa = gateway.only_sa()?;
    ensure(sa["esn"] == true && sa["encapsulation"] == "esp", || sa.to_string())?;

    // Pings go on while both sides rekey both kinds of SA.
    std::thread::scope(|scope| {
        let pings = scope.spawn(|| ping(site.ipv4(), FAR, 1000, 200, false));
        gateway.rekey_child("peer")?;
        strongswan.rekey_child()?;
        strongswan.rekey_ike()?;
        strongswan.gets_another_ike_sa(|| gateway.rekey_ike("peer"))?;
        pings.join().expect("pings do not panic")?.all_answered()
    })?;
    strongswan.terminate()?;
    gateway.is("peer", "down")?;
    gateway.stop()
}

fn fragments_and_path_mtu_work(site: &Site, guest: &Guest) -> Result<()> {
    // Inner packets that do not fit and may be fragmented: whoever fragments, they arrive, in both directions.
    let wire = Capture::start(&site.gateway, "wan", 20_000)?;
    ping(site.ipv4(), FAR, 10, 1472, false)?.all_answered()?;
    guest_pings(guest, "-c 10 -s 1472 -M dont", "10.1.0.10", "10.2.0.1")?.all_answered()?;
    let wire = wire.stop()?;
    ensure(wire.longest_bytes() <= 1514, || wire.summary())?;
    // 20 pings and 20 answers, each in two frames, whether it was cut before or after ESP.
    let frames = wire.count(Kind::Esp) + wire.count(Kind::Fragment);
    ensure(frames >= 80, || wire.summary())?;

    // One that may not is answered by "too big" with the tunnel's MTU; the host learns it, and then it fits.
    ping(site.ipv4(), FAR, 3, 1472, true)?.none_answered()?;
    let mtu = learned_mtu(site, "10.2.0.1")?;
    ensure((1400..1500).contains(&mtu), || mtu.to_string())?;
    ping(site.ipv4(), FAR, 5, mtu - 28, true)?.all_answered()?;
    ping(site.ipv6(), FAR_IPV6, 3, 1452, true)?;
    let mtu = learned_mtu(site, "fd00:2::1")?;
    ensure((1400..1500).contains(&mtu), || mtu.to_string())?;
    ping(site.ipv6(), FAR_IPV6, 5, mtu - 48, true)?.all_answered()
}

fn esp_that_the_kernel_fragmented_arrives(site: &Site, guest: &Guest) -> Result<()> {
    // A narrow link at the guest's side: its kernel fragments what it has sealed.
    guest.run("sysctl -q net.ipv4.ip_no_pmtu_disc=1; ip link set eth0 mtu 600")?;
    // DPDK has the kernel put together what AF_PACKET receives, as long as it fits the port's buffers.
    let wire = Capture::start(&site.gateway, "wan", 20_000)?;
    guest_pings(guest, "-c 20 -s 1200 -M dont", "10.1.0.10", "10.2.0.1")?.all_answered()?;
    let wire = wire.stop()?;
    ensure(wire.count(Kind::Fragment) >= 20, || wire.summary())
}

/// The path MTU that the site's host has learned towards an address.
fn learned_mtu(site: &Site, to: &str) -> Result<u16> {
    until(&format!("a path MTU to {to}"), Duration::from_secs(10), || {
        let route = site.host.ip(&format!("route get {to}"))?;
        let mtu = route.split(" mtu ").nth(1).and_then(|rest| rest.split_whitespace().next()?.parse().ok());
        Ok(mtu.map_or(Look::NotYet(route), Look::Holds))
    })
}
