//! The gateway as a member of its own links: addresses, neighbours, hop limits; and that it is closed while there is
//! no tunnel.

use crossgate_tests::capture::{Capture, Kind};
use crossgate_tests::gateway::{Gateway, Plan};
use crossgate_tests::sites;
use crossgate_tests::strongswan::{Settings, StrongSwan};
use crossgate_tests::traffic::{Host, MARK, bulk, ping, ping_until_answered};
use crossgate_tests::wait::{Look, until};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

#[test]
fn its_own_addresses_answer_on_both_sides_in_both_families() {
    let (site, peer) = sites::with_peer().unwrap();
    let mut plan = Plan::site(1).with_mode("ResponderOnly");
    plan.wan.push("2001:db8::1/64".to_owned());
    let gateway = Gateway::start(&site.gateway, plan).unwrap();
    let outside = |address| Host::new(&peer.gateway, address);
    let pairs = [
        (site.ipv4(), "10.1.0.1"),
        (site.ipv6(), "fd00:1::1"),
        (outside("192.0.2.2"), "192.0.2.1"),
        (outside("2001:db8::2"), "2001:db8::1"),
    ];
    for (host, own) in pairs {
        ping_until_answered(host, own.parse().unwrap(), Duration::from_secs(20)).unwrap();
        ping(host, own.parse().unwrap(), 20, 56, false).unwrap().all_answered().unwrap();
        ping(host, own.parse().unwrap(), 5, 1400, false).unwrap().all_answered().unwrap();
        // In fragments: as ESP and IKE may come on the public side, and as operators try it on both. A packet socket has
        // the kernel join those of IPv4 and cuts the whole to a frame's 2,048 bytes, so IPv6 alone shows more than two.
        let own: IpAddr = own.parse().unwrap();
        let sizes: &[_] = if own.is_ipv4() { &[1800] } else { &[1800, 8000] };
        for &bytes in sizes {
            ping(host, own, 5, bytes, false).unwrap().all_answered().unwrap();
        }
    }
    let mac = |device| {
        let bytes = site.gateway.mac(device).unwrap();
        bytes.map(|byte| format!("{byte:02x}")).join(":")
    };
    for (namespace, device) in [(&site.host, "lan"), (&peer.gateway, "wan")] {
        let neighbours = namespace.ip("neighbour show").unwrap();
        assert_eq!(neighbours.matches(&mac(device)).count(), 2, "{neighbours}");
    }
    for (namespace, device) in [(&site.host, "lan"), (&peer.gateway, "wan")] {
        let own = link_local(site.gateway.mac(device).unwrap());
        let answers = |to: &str| {
            let line = format!("ping -n -c 5 -i 0.2 -W 2 {to}%{device}");
            namespace.finish(&line, Duration::from_secs(20)).unwrap().output
        };
        let told = answers(&own.to_string());
        assert!(told.contains("5 received"), "{told}");
        let told = answers("ff02::1");
        assert!(told.contains(&format!("from {own}%{device}")), "{told}");
    }
    gateway.stop().unwrap();
}

/// The link-local address that follows from a MAC address (RFC 4291, appendix A).
fn link_local([a, b, c, d, e, f]: [u8; 6]) -> Ipv6Addr {
    Ipv6Addr::from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f])
}

#[test]
fn packet_whose_hops_are_used_up_is_answered() {
    let (site, peer) = sites::with_peer().unwrap();
    let _strongswan = StrongSwan::start(&peer.gateway, &Settings::default()).unwrap();
    let gateway = Gateway::start(&site.gateway, Plan::site(1)).unwrap();
    gateway.is("peer", "up").unwrap();
    for (to, from) in [("10.2.0.1", "10.1.0.1"), ("fd00:2::1", "fd00:1::1")] {
        until(&format!("an answer from {from}"), Duration::from_secs(20), || {
            let told =
                site.host.finish(&format!("ping -n -c 1 -W 1 -t 1 {to}"), Duration::from_secs(20))?.output;
            let answered = told.lines().any(|line| {
                line.to_lowercase().contains(&format!("from {from}"))
                    && line.to_lowercase().contains("exceeded")
            });
            Ok(Look::when(answered, || told))
        })
        .unwrap();
    }
}

#[test]
fn without_a_tunnel_nothing_leaves() {
    let (site, peer) = sites::with_peer().unwrap();
    let gateway = Gateway::start(&site.gateway, Plan::site(1).with_mode("ResponderOnly")).unwrap();
    ping_until_answered(site.ipv4(), [10, 1, 0, 1].into(), Duration::from_secs(20)).unwrap();
    let dropped = || gateway.ask(&["status"]).map(|status| status["dropped_packets"].as_u64().unwrap_or(0));
    let before = dropped().unwrap();
    let wire = Capture::start(&peer.gateway, "wan", 1000).unwrap();
    ping(site.ipv4(), peer.ipv4().address, 10, 64, false).unwrap().none_answered().unwrap();
    ping(site.ipv6(), peer.ipv6().address, 10, 64, false).unwrap().none_answered().unwrap();
    until("20 packets to be counted as dropped", Duration::from_secs(10), || {
        let dropped = dropped()? - before;
        Ok(Look::when(dropped >= 20, || format!("{dropped} dropped")))
    })
    .unwrap();
    let wire = wire.stop().unwrap();
    assert_eq!(wire.clear(MARK, &[site.ipv4().address, site.ipv6().address]), 0, "{}", wire.summary());
    assert_eq!(wire.count(Kind::Other), 0, "{}", wire.summary());
}

#[test]
fn segments_of_tcp_are_clamped_to_what_the_tunnel_takes() {
    let (site, peer) = sites::with_peer().unwrap();
    let _strongswan = StrongSwan::start(&peer.gateway, &Settings::default()).unwrap();
    let gateway = Gateway::start(&site.gateway, Plan::site(1)).unwrap();
    gateway.is("peer", "up").unwrap();
    // The peer must not learn the path's MTU: what it sends then fits by the clamped segments alone.
    peer.gateway.set("ipv4/ip_no_pmtu_disc", "1").unwrap();
    let wire = Capture::start(&site.gateway, "wan", 50_000).unwrap();
    for (near, far) in [(site.ipv4(), peer.ipv4()), (peer.ipv4(), site.ipv4()), (site.ipv6(), peer.ipv6())] {
        ping_until_answered(near, far.address, Duration::from_secs(20)).unwrap();
        bulk(near, far, Duration::from_millis(300)).unwrap();
    }
    let wire = wire.stop().unwrap();
    assert_eq!(wire.count(Kind::Fragment), 0, "{}", wire.summary());
    assert!(wire.longest_bytes() <= 1514, "{}", wire.longest_bytes());
}
