//! Address translation: site 1 translates, site 2 is a peer that knows nothing of it.
//!
//! ```text
//!             site 1's network      tunnel and site 2
//! host 1      10.1.0.99             100.64.1.99         egress rule
//! host 2      172.16.2.99           10.2.0.99           ingress rule
//! ```

use std::net::IpAddr;
use std::sync::Arc;

use crate::lab::{
    self, Gateway, HOST, LAN, OURS, Options, SITE, Site, TUNNEL, WAN, cross, forwarded, frame, inbound, ip,
    net, outbound, packet, udp,
};
use crossgate_dataplane::counter::Counter::*;
use crossgate_dataplane::forwarding::{Forwarding, NextHop, Tunnel};
use crossgate_dataplane::header::Protocol;
use crossgate_dataplane::header::checksum::Sum;
use crossgate_dataplane::header::ipv4;
use crossgate_dataplane::message::{Command, Event};
use crossgate_dataplane::nat::{Mapping, Nat};
use crossgate_dataplane::selector::{Selectors, TrafficSelector};

const BOTH: [bool; 2] = [false, true];

/// By which site 2 knows the hosts of site 1, and site 1's network those of site 2.
fn external(site: Site, v6: bool, last: &str) -> IpAddr {
    let prefix = match (site.0, v6) {
        (1, false) => "100.64.1.",
        (_, false) => "172.16.2.",
        (1, true) => "2001:db8:a1::",
        (_, true) => "2001:db8:b2::",
    };
    ip(&format!("{prefix}{last}"))
}

fn any_to_any() -> Selectors {
    let any = || ["0.0.0.0/0", "::/0"].map(|any| TrafficSelector::of_prefix(net(any))).to_vec();
    Selectors { local: any(), remote: any() }
}

/// Site 1, whose network's hosts are `100.64.third.x` in the tunnel.
fn translating(third: u8) -> Forwarding {
    let mapping =
        |internal: &str, external: &str| Mapping::new(net(internal), net(external)).expect("of one length");
    let nat = Nat {
        egress: vec![
            mapping("10.1.0.0/24", &format!("100.64.{third}.0/24")),
            mapping("fd00:1::/64", "2001:db8:a1::/64"),
        ],
        ingress: vec![mapping("10.2.0.0/24", "172.16.2.0/24"), mapping("fd00:2::/64", "2001:db8:b2::/64")],
        ..Nat::default()
    };
    let mut builder = lab::builder(Site(1));
    builder.tunnel(TUNNEL, Tunnel { selectors: any_to_any(), nat, ..lab::tunnel(Site(1)) });
    for external in ["172.16.2.0/24", "2001:db8:b2::/64"] {
        builder.route(SITE, net(external), NextHop::Tunnel(TUNNEL));
    }
    builder.build().expect("consistent")
}

fn pair_with(options: &Options) -> [Gateway; 2] {
    let mut builder = lab::builder(Site(2));
    builder.tunnel(TUNNEL, Tunnel { selectors: any_to_any(), ..lab::tunnel(Site(2)) });
    for prefix in ["100.64.0.0/16", "2001:db8:a1::/64"] {
        builder.route(SITE, net(prefix), NextHop::Tunnel(TUNNEL));
    }
    let peer = builder.build().expect("consistent");
    [(Site(1), translating(1)), (Site(2), peer)].map(|(site, forwarding)| {
        let mut gateway = Gateway::with(site, 1, forwarding);
        gateway.install(outbound(site, options, 0), inbound(site, options, 0));
        gateway.moved();
        gateway
    })
}

fn pair() -> [Gateway; 2] {
    pair_with(&Options::default())
}

/// A datagram with a right checksum.
fn datagram(source: IpAddr, destination: IpAddr, hops: u8, payload: &[u8]) -> Vec<u8> {
    packet(source, destination, Protocol::UDP, hops, &udp(source, destination, 7, payload))
}

/// A segment with these flags and a right checksum.
fn segment(source: IpAddr, destination: IpAddr, hops: u8, flags: u8) -> Vec<u8> {
    let mut tcp = [0; 23];
    (tcp[12], tcp[13], tcp[20]) = (0x50, flags, 0x77);
    let pseudo = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            Sum::pseudo_v4(source, destination, Protocol::TCP, tcp.len())
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            Sum::pseudo_v6(source, destination, Protocol::TCP, tcp.len())
        }
        _ => panic!("one family"),
    };
    let sum = pseudo.plus(&tcp).finish();
    tcp[16..18].copy_from_slice(&sum.to_be_bytes());
    packet(source, destination, Protocol::TCP, hops, &tcp)
}

#[test]
fn hosts_reach_each_other_by_their_external_addresses() {
    type Build = fn(IpAddr, IpAddr, u8) -> Vec<u8>;
    // Of a flow that is new, of one that is known, and one that takes the general stages.
    let kinds: [Build; 4] = [
        |from, to, hops| datagram(from, to, hops, &[1; 33]),
        |from, to, hops| datagram(from, to, hops, &[2; 100]),
        |from, to, hops| segment(from, to, hops, 2),
        |from, to, hops| segment(from, to, hops, 16),
    ];
    for v6 in BOTH {
        let [mut one, mut two] = pair();
        let (first, second) = (Site(1).host(v6), Site(2).host(v6));
        let (first_there, second_here) = (external(Site(1), v6, "99"), external(Site(2), v6, "99"));
        for build in kinds {
            let got = cross(&mut one, &mut two, &build(first, second_here, 64));
            assert_eq!(got, [build(first_there, second, 62)]);
            assert_eq!(one.moved(), [(RxPackets, 1), (TxPackets, 1), (NatTranslated, 1), (EspSealed, 1)]);
            let got = cross(&mut two, &mut one, &build(second, first_there, 64));
            assert_eq!(got, [build(second_here, first, 62)]);
            assert_eq!(one.moved(), [(RxPackets, 1), (TxPackets, 1), (NatTranslated, 1), (EspOpened, 1)]);
        }
        one.finish();
        two.finish();
    }
}

#[test]
fn prefix_without_a_rule_passes_as_it_is() {
    let [mut one, mut two] = pair();
    // Beyond the /24 of the rules, on both sides.
    let (far, near) = (ip("10.2.9.9"), ip("10.1.0.99"));
    for number in 0..2 {
        one.arrive(LAN, &frame(OURS[LAN], HOST, &datagram(near, far, 64, &[number; 9])));
        one.run();
        let expected = [(RxPackets, 1), (TxPackets, 1), (NatTranslated, 1), (EspSealed, 1)];
        assert_eq!(one.moved(), expected, "the source alone is translated");
    }
    let got =
        cross(&mut two, &mut one, &datagram(ip("10.2.9.9"), external(Site(1), false, "99"), 64, &[7; 9]));
    assert_eq!(got, [datagram(ip("10.2.9.9"), near, 62, &[7; 9])]);
    one.sent(WAN);
    one.finish();
    two.finish();
}

#[test]
fn changed_rule_reaches_a_known_flow_with_its_next_packet() {
    let [mut one, mut two] = pair();
    let (host, there) = (Site(1).host(false), external(Site(2), false, "99"));
    let mut from = |one: &mut Gateway| -> Vec<u8> {
        cross(one, &mut two, &datagram(host, there, 64, &[1; 20]))[0][12..16].to_vec()
    };
    assert_eq!(from(&mut one), [100, 64, 1, 99]);
    assert_eq!(from(&mut one), [100, 64, 1, 99]);
    one.command(0, Command::SetForwarding(Arc::new(translating(77))));
    assert_eq!(from(&mut one), [100, 64, 77, 99]);
    one.finish();
    two.finish();
}

#[test]
fn packet_is_translated_before_it_is_cut() {
    let [mut one, mut two] = pair_with(&Options { path_mtu: 1000, ..Options::default() });
    let (host, there) = (Site(1).host(false), external(Site(2), false, "99"));
    let mut clear = datagram(host, there, 64, &[0x5c; 1301]);
    clear[6] = 0; // may be cut
    ipv4::write_checksum(&mut clear[..20]);
    let pieces = cross(&mut one, &mut two, &clear);
    assert_eq!(pieces.len(), 2);
    let whole = [&pieces[0][20..], &pieces[1][20..]].concat();
    assert_eq!(whole, udp(external(Site(1), false, "99"), Site(2).host(false), 7, &[0x5c; 1301]));
    one.finish();
    two.finish();
}

/// What an ICMP error says of itself: sender, receiver, and of the packet that it quotes: sender, receiver. Its checksum is right.
fn read_error(error: &[u8]) -> [IpAddr; 4] {
    let address = |at: usize, v6: bool| -> IpAddr {
        if v6 {
            <[u8; 16]>::try_from(&error[at..at + 16]).expect("there").into()
        } else {
            <[u8; 4]>::try_from(&error[at..at + 4]).expect("there").into()
        }
    };
    if error[0] >> 4 == 4 {
        assert!(Sum::new().plus(&error[..20]).is_valid() && Sum::new().plus(&error[20..]).is_valid());
        assert!(Sum::new().plus(&error[28..48]).is_valid(), "the header that it quotes");
        return [12, 16, 40, 44].map(|at| address(at, false));
    }
    let all = [8, 24, 56, 72].map(|at| address(at, true));
    let (IpAddr::V6(source), IpAddr::V6(destination)) = (all[0], all[1]) else { panic!("IPv6") };
    let message = &error[40..];
    assert!(Sum::pseudo_v6(source, destination, Protocol::ICMPV6, message.len()).plus(message).is_valid());
    all
}

#[test]
fn errors_of_the_gateway_are_about_the_packet_that_the_sender_knows() {
    for v6 in BOTH {
        let [mut one, mut two] = pair();
        let (first, second) = (Site(1).host(v6), Site(2).host(v6));
        let (first_there, second_here) = (external(Site(1), v6, "99"), external(Site(2), v6, "99"));
        // To our own host: a traceroute, and a packet that is too long.
        for clear in [datagram(first, second_here, 1, &[1; 20]), datagram(first, second_here, 64, &[1; 1440])]
        {
            one.arrive(LAN, &frame(OURS[LAN], HOST, &clear));
            one.run();
            let sent = one.sent(LAN);
            assert_eq!(read_error(&sent[0][14..]), [Site(1).own(v6), first, first, second_here]);
        }
        // To the peer's: our gateway is a hop on its way, too.
        two.arrive(LAN, &frame(OURS[LAN], HOST, &datagram(second, first_there, 2, &[1; 20])));
        two.run();
        for esp in two.sent(WAN) {
            one.arrive(WAN, &forwarded(esp));
        }
        one.run();
        for esp in one.sent(WAN) {
            two.arrive(WAN, &forwarded(esp));
        }
        two.run();
        let sent = two.sent(LAN);
        let gateway = external(Site(1), v6, "1");
        assert_eq!(read_error(&sent[0][14..]), [gateway, second, second, first_there]);
        one.finish();
        two.finish();
    }
}

#[test]
fn address_without_a_counterpart_is_dropped_by_name() {
    let [mut one, mut two] = pair();
    let second_here = external(Site(2), false, "99");
    // From our side: a host with an address that is another host's in the tunnel. It cannot be told of it either.
    for _ in 0..2 {
        assert!(cross(&mut one, &mut two, &datagram(ip("100.64.1.7"), second_here, 64, &[1; 9])).is_empty());
        assert_eq!(one.drops(), [(NoRoute, 1), (NatNoMapping, 1)]);
    }
    // From the peer: to an address that our host has in our network only.
    for _ in 0..2 {
        assert!(
            cross(&mut two, &mut one, &datagram(Site(2).host(false), ip("10.1.0.99"), 64, &[1; 9]))
                .is_empty()
        );
        assert_eq!(one.drops(), [(NatNoMapping, 1)]);
    }
    one.finish();
    two.finish();
}

#[test]
fn packet_that_cannot_be_translated_is_dropped_by_name_and_its_sender_told() {
    let [mut one, mut two] = pair();
    let (first, second) = (Site(1).host(false), Site(2).host(false));
    let ah = |from, to| packet(from, to, Protocol::AH, 64, &[6; 40]);
    for _ in 0..2 {
        assert!(cross(&mut one, &mut two, &ah(first, external(Site(2), false, "99"))).is_empty());
        assert_eq!(read_error(&one.sent(LAN)[0][14..])[1], first);
        assert_eq!(one.drops(), [(NatUntranslatable, 1)]);
        assert!(cross(&mut two, &mut one, &ah(second, external(Site(1), false, "99"))).is_empty());
        assert_eq!(one.drops(), [(NatUntranslatable, 1)]);
    }
    one.finish();
    two.finish();
}

#[test]
fn tunnel_without_an_sa_is_asked_for_by_addresses_in_the_tunnel() {
    let mut one = Gateway::with(Site(1), 1, translating(1));
    let clear = datagram(Site(1).host(false), external(Site(2), false, "99"), 64, &[1; 9]);
    one.arrive(LAN, &frame(OURS[LAN], HOST, &clear));
    one.run();
    let asked = one.events().into_iter().find_map(|event| match event {
        Event::NoSa { tunnel: TUNNEL, source, destination } => Some((source, destination)),
        _ => None,
    });
    assert_eq!(asked, Some((external(Site(1), false, "99"), Site(2).host(false))));
    one.sent(LAN);
    one.finish();
}
