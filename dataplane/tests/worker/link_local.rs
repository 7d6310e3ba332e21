//! Link-local addresses (RFC 4291, 2.5.6; RFC 4007): answered on the link where they mean something, and never taken beyond it.

use std::net::{IpAddr, Ipv6Addr};

use crossgate_dataplane::counter::Counter::*;
use crossgate_dataplane::forwarding::{InterfaceId, NextHop};
use crossgate_dataplane::header::Protocol;
use crossgate_dataplane::header::ethernet::Mac;
use crossgate_dataplane::header::icmpv6::Kind;
use crossgate_dataplane::header::ndp::{ALL_NODES, Advertisement, PACKET_BYTES};
use crossgate_dataplane::message::{Command, NeighbourEntry};
use crossgate_dataplane::sa::Esn;
use crossgate_dataplane::selector::{Selectors, TrafficSelector};

use crate::lab::{
    Gateway, HOST, LAN, OURS, Options, PEER, SITE, Site, TUNNEL, WAN, authentic, builder, echo, frame,
    inbound, ip, net, outbound, packet, padded, spi, tunnel, udp,
};

/// A neighbour's, on both sides.
const NEIGHBOUR: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x99));
const SIDES: [(usize, Mac); 2] = [(WAN, PEER), (LAN, HOST)];
const PING: u8 = Kind::ECHO_REQUEST.kind;
const PONG: u8 = Kind::ECHO_REPLY.kind;

/// Our link-local address on a side, from its MAC address.
fn own(port: usize) -> IpAddr {
    ip(&format!("fe80::ff:fe00:{}", OURS[port].0[5]))
}

/// Another address of the neighbour's, which is of its network.
fn global(port: usize) -> IpAddr {
    if port == WAN { Site(2).public(true) } else { Site(1).host(true) }
}

fn own_global(port: usize) -> IpAddr {
    if port == WAN { Site(1).public(true) } else { Site(1).own(true) }
}

/// Site 1's gateway, which knows the neighbours.
fn gateway() -> Gateway {
    let mut one = Gateway::new(Site(1), 1);
    for (id, (_, mac)) in (0..).zip(SIDES) {
        let entry = NeighbourEntry { interface: InterfaceId(id), address: NEIGHBOUR, mac };
        one.command(0, Command::LearnNeighbour(entry));
    }
    one.moved();
    one
}

#[test]
fn ping_between_any_addresses_of_a_link_is_answered_there() {
    for (port, mac) in SIDES {
        let ours = [(NEIGHBOUR, own(port)), (NEIGHBOUR, own_global(port)), (global(port), own(port))];
        for (from, to) in ours {
            let mut one = gateway();
            one.arrive(port, &frame(OURS[port], mac, &echo(PING, from, to, 1)));
            one.run();
            assert_eq!(one.sent(port), [frame(mac, OURS[port], &echo(PONG, to, from, 64))], "{from} to {to}");
            let moved = one.moved();
            assert_eq!(moved, [(RxPackets, 1), (TxPackets, 1), (Originated, 1), (IcmpEchoConsumed, 1)]);
            one.finish();
        }
    }
}

#[test]
fn answer_to_an_unknown_neighbour_waits_until_that_is_found_on_its_link() {
    let (IpAddr::V6(source), IpAddr::V6(destination)) = (NEIGHBOUR, own(LAN)) else { panic!("IPv6") };
    let mut one = Gateway::new(Site(1), 1);
    one.arrive(LAN, &frame(OURS[LAN], HOST, &echo(PING, NEIGHBOUR, own(LAN), 64)));
    one.run();
    let asked = one.sent(LAN);
    assert_eq!(
        (asked.len(), &asked[0][22..38]),
        (1, &destination.octets()[..]),
        "from the link-local address"
    );
    let mut out = [0; PACKET_BYTES];
    let advertisement = Advertisement {
        source,
        destination,
        target: source,
        target_mac: Some(HOST),
        router: false,
        solicited: true,
        overrides: true,
    };
    let bytes = advertisement.write(&mut out);
    one.arrive(LAN, &frame(OURS[LAN], HOST, &out[..bytes]));
    one.run();
    assert_eq!(one.sent(LAN), [frame(HOST, OURS[LAN], &echo(PONG, own(LAN), NEIGHBOUR, 64))]);
    one.finish();
}

#[test]
fn ping_to_all_nodes_is_answered_from_the_address_that_the_sender_can_use() {
    let all = IpAddr::V6(ALL_NODES);
    for (port, mac) in SIDES {
        for (from, answers) in [(NEIGHBOUR, own(port)), (global(port), own_global(port))] {
            let mut one = gateway();
            one.arrive(port, &frame(Mac::of_multicast_v6(ALL_NODES), mac, &echo(PING, from, all, 1)));
            one.run();
            assert_eq!(one.sent(port), [frame(mac, OURS[port], &echo(PONG, answers, from, 64))]);
            let moved = one.moved();
            assert_eq!(moved, [(RxPackets, 1), (TxPackets, 1), (Originated, 1), (IcmpEchoConsumed, 1)]);
            one.finish();
        }
        let mut one = gateway();
        let stranger = ip("2001:db8:9::9");
        for packet in [echo(PING, stranger, all, 1), echo(PONG, NEIGHBOUR, all, 1)] {
            one.arrive(port, &frame(Mac::of_multicast_v6(ALL_NODES), mac, &packet));
        }
        one.run();
        assert_eq!(one.moved(), [(RxPackets, 2), (Ipv6Multicast, 2)], "no neighbour, and no request");
        one.finish();
    }
}

#[test]
fn datagram_to_a_closed_port_is_refused_on_the_link() {
    for (port, mac) in SIDES {
        let mut one = gateway();
        let datagram = packet(NEIGHBOUR, own(port), Protocol::UDP, 1, &udp(NEIGHBOUR, own(port), 53, b"?"));
        one.arrive(port, &frame(OURS[port], mac, &datagram));
        one.run();
        let sent = one.sent(port);
        let back = packet(own(port), NEIGHBOUR, Protocol::ICMPV6, 64, &[]);
        assert_eq!((sent.len(), &sent[0][22..54]), (1, &back[8..40]), "{:?}", one.moved());
        assert_eq!((&sent[0][54..56], &sent[0][62..]), (&[1, 4][..], &datagram[..]));
        one.finish();
    }
}

/// Site 1's gateway with a tunnel that takes everything, and a route to it for everything.
fn gateway_with_default_tunnel() -> Gateway {
    let everything = || vec![TrafficSelector::of_prefix(net("::/0"))];
    let mut tunnel = tunnel(Site(1));
    tunnel.selectors = Selectors { local: everything(), remote: everything() };
    let mut forwarding = builder(Site(1));
    forwarding.tunnel(TUNNEL, tunnel).route(SITE, net("::/0"), NextHop::Tunnel(TUNNEL));
    let mut one = Gateway::with(Site(1), 1, forwarding.build().expect("consistent"));
    let options = Options { esn: Esn::Off, ..Options::default() };
    one.install(outbound(Site(1), &options, 0), inbound(Site(1), &options, 0));
    let entry = NeighbourEntry { interface: InterfaceId(1), address: NEIGHBOUR, mac: HOST };
    one.command(0, Command::LearnNeighbour(entry));
    one.moved();
    one
}

#[test]
fn nothing_link_local_leaves_its_link() {
    let mut one = gateway_with_default_tunnel();
    let other = ip("fe80::77");
    let to = |source, destination| {
        frame(OURS[LAN], HOST, &packet(source, destination, Protocol(253), 64, &[1; 20]))
    };
    // More than once: the second packet of a flow may be remembered from the first.
    for _ in 0..3 {
        one.arrive(LAN, &to(NEIGHBOUR, other));
        one.arrive(LAN, &to(Site(1).host(true), other));
        one.run();
        assert_eq!(one.moved(), [(RxPackets, 2), (Ipv6LinkLocal, 2)]);
        assert!(
            one.sent(LAN).is_empty(),
            "not even back on the link: neighbours reach each other without us"
        );

        one.arrive(LAN, &to(NEIGHBOUR, Site(2).host(true)));
        one.run();
        let sent = one.sent(LAN);
        assert_eq!((sent.len(), &sent[0][54..56]), (1, &[1, 2][..]), "beyond the scope of its source");
        let moved = one.moved();
        let expected =
            [(RxPackets, 1), (TxPackets, 1), (Originated, 1), (Ipv6LinkLocal, 1), (IcmpErrorSent, 1)];
        assert_eq!(moved, expected);
    }
    assert!(one.sent(WAN).is_empty());
    one.finish();
}

#[test]
fn nothing_link_local_comes_out_of_a_tunnel() {
    let mut one = gateway_with_default_tunnel();
    let inner = [
        (NEIGHBOUR, Site(1).host(true)),
        (Site(2).host(true), NEIGHBOUR),
        (Site(2).host(true), own(LAN)),
        (NEIGHBOUR, own(LAN)),
    ];
    for (sequence, (source, destination)) in (1..).zip(inner) {
        let inner = echo(PING, source, destination, 64);
        one.arrive(WAN, &authentic(Site(1), spi(Site(1), 0), Esn::Off, sequence, &padded(&inner)));
        one.run();
        let drops: Vec<_> = one.moved().into_iter().filter(|(counter, _)| counter.is_drop()).collect();
        assert_eq!(drops, [(Ipv6LinkLocal, 1)], "{source} to {destination}");
    }
    assert!(one.sent(LAN).is_empty() && one.sent(WAN).is_empty());
    one.finish();
}
