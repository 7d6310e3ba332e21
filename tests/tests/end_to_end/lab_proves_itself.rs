//! The lab proves itself before it judges a gateway: two strongSwans, whose tunnel is known to work, and a guest.

use crossgate_tests::capture::{Capture, Kind};
use crossgate_tests::failure::Result;
use crossgate_tests::guest::Guest;
use crossgate_tests::namespace::{Namespace, Stack, cable};
use crossgate_tests::strongswan::{Settings, StrongSwan};
use crossgate_tests::traffic::{Host, MARK, Stream, bulk, ping, ping_until_answered};
use std::time::Duration;

/// Two sites whose gateway is also their only host.
fn sites() -> Result<[Namespace; 2]> {
    let sites = [Namespace::new("a", Stack::Kernel)?, Namespace::new("b", Stack::Kernel)?];
    cable((&sites[0], "wan"), (&sites[1], "wan"), 1500)?;
    for (site, number) in sites.iter().zip(1..) {
        site.address("wan", &format!("192.0.2.{number}/24"))?;
        site.address("lo", &format!("10.{number}.0.1/32"))?;
        site.address("lo", &format!("fd00:{number}::1/128"))?;
    }
    Ok(sites)
}

/// The other end of `Settings::default()`.
fn mirrored() -> Settings {
    let other = Settings::default();
    Settings {
        local: other.remote,
        remote: other.local,
        local_id: other.remote_id,
        remote_id: other.local_id,
        local_prefixes: other.remote_prefixes,
        remote_prefixes: other.local_prefixes,
        ..Settings::default()
    }
}

#[test]
fn two_strongswans_pass_every_check_that_a_gateway_must_pass() {
    let [a, b] = sites().unwrap();
    let (left, right) = (Host::new(&a, "10.1.0.1"), Host::new(&b, "10.2.0.1"));
    let peer_a = StrongSwan::start(&a, &mirrored()).unwrap();
    let peer_b = StrongSwan::start(&b, &Settings::default()).unwrap();
    peer_a.initiate().unwrap();
    let wire = Capture::start(&a, "wan", 50_000).unwrap();
    ping_until_answered(left, right.address, Duration::from_secs(20)).unwrap();
    ping(left, right.address, 20, 500, false).unwrap().all_answered().unwrap();

    let there = Stream::start(left, right, 500, 900).unwrap();
    let back = Stream::start(right, left, 500, 900).unwrap();
    there.flows(100).unwrap();
    peer_a.rekey_child().unwrap();
    there.flows(100).unwrap();
    peer_b.rekey_ike().unwrap();
    back.flows(100).unwrap();
    for report in [there.stop().unwrap(), back.stop().unwrap()] {
        report.whole().unwrap();
    }
    let wire = wire.stop().unwrap();
    assert!(wire.count(Kind::EspInUdp) > 1000, "{}", wire.summary());
    assert_eq!(wire.clear(MARK, &[left.address, right.address]), 0);

    let bulk = bulk(left, right, Duration::from_secs(1)).unwrap();
    assert!(bulk.bytes > 1_000_000, "{bulk:?}");
    peer_b.is_up().unwrap();
    peer_a.terminate().unwrap();
    peer_b.is_down().unwrap();
    ping(left, right.address, 3, 56, false).unwrap().none_answered().unwrap();
}

#[test]
fn a_capture_shows_clear_text_where_there_is_some() {
    let [a, b] = sites().unwrap();
    let wire = Capture::start(&b, "wan", 10_000).unwrap();
    let (left, right) = (Host::new(&a, "192.0.2.1"), Host::new(&b, "192.0.2.2"));
    ping(left, right.address, 5, 100, false).unwrap().all_answered().unwrap();
    let stream = Stream::start(left, right, 1000, 1400).unwrap();
    stream.flows(50).unwrap();
    stream.stop().unwrap().whole().unwrap();
    let wire = wire.stop().unwrap();
    assert!(wire.clear(MARK, &[]) >= 60, "{}", wire.summary());
    assert_eq!(wire.count(Kind::Esp) + wire.count(Kind::EspInUdp), 0);
    assert_eq!(wire.lines(Kind::Other, 3).unwrap().len(), 3);
}

#[test]
fn a_guest_uses_its_kernels_esp() {
    let host = Namespace::new("host", Stack::Kernel).unwrap();
    let guest = Guest::boot(&host, &["tap"]).unwrap();
    host.address("tap", "192.0.2.1/24").unwrap();
    guest.run("ip address add 192.0.2.2/24 dev eth0; ip address add 10.2.0.1/32 dev lo; ip address add fd00:2::1/128 dev lo").unwrap();
    let settings = Settings { esp: "aes256gcm16-ecp384-noesn".to_owned(), ..Settings::default() };
    let far = StrongSwan::start_in_guest(&guest, &settings).unwrap();
    host.address("lo", "10.1.0.1/32").unwrap();
    host.address("lo", "fd00:1::1/128").unwrap();
    let near = StrongSwan::start(&host, &mirrored()).unwrap();
    far.initiate().unwrap();
    near.is_up().unwrap();
    ping_until_answered(Host::new(&host, "10.1.0.1"), [10, 2, 0, 1].into(), Duration::from_secs(20)).unwrap();
    let state = guest.run("ip xfrm state").unwrap();
    assert!(state.contains("rfc4106(gcm(aes))"), "{state}");
}
