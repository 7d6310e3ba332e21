//! What is for the gateway itself, and what is for nobody: answered, refused, counted, never fatal.

use crate::lab::{
    self, Gateway, HOST, LAN, OURS, Options, PEER, Site, TUNNEL, WAN, across, frame, framed, inbound,
    outbound, packet,
};
use crossgate_dataplane::counter::Counter::{self, *};
use crossgate_dataplane::forwarding::{Interface, InterfaceId, PortIndex, VrfId};
use crossgate_dataplane::header::Protocol;
use crossgate_dataplane::header::checksum::Sum;
use crossgate_dataplane::header::ethernet::{EtherType, Mac};
use crossgate_dataplane::header::ipv4::write_checksum;
use crossgate_dataplane::header::vlan::VlanId;
use crossgate_dataplane::message::{Command, Event, NeighbourEntry};
use proptest::prelude::*;

/// Echo request 1/1 without data.
const ECHO: [u8; 8] = [8, 0, 0xf7, 0xfd, 0, 1, 0, 1];

#[test]
fn arp_request_for_our_address_is_answered() {
    let mut one = Gateway::new(Site(1), 1);
    let request =
        [&[0, 1, 8, 0, 6, 4, 0, 1][..], &PEER.0, &[192, 0, 2, 2], &[0; 6], &[192, 0, 2, 1]].concat();
    one.arrive(WAN, &framed(Mac::BROADCAST, PEER, EtherType::ARP, &request));
    one.run();
    let answer =
        [&[0, 1, 8, 0, 6, 4, 0, 2][..], &OURS[WAN].0, &[192, 0, 2, 1], &PEER.0, &[192, 0, 2, 2]].concat();
    assert_eq!(one.sent(WAN), [framed(PEER, OURS[WAN], EtherType::ARP, &answer)]);
    assert_eq!(one.moved(), [(RxPackets, 1), (TxPackets, 1), (Originated, 1), (ArpConsumed, 1)]);
    one.finish();
}

#[test]
fn ping_to_our_address_is_answered_on_both_sides() {
    let mut one = Gateway::new(Site(1), 1);
    for (port, mac, source, own) in [
        (WAN, PEER, Site(2).public(false), Site(1).public(false)),
        (LAN, HOST, Site(1).host(false), Site(1).own(false)),
    ] {
        one.arrive(port, &frame(OURS[port], mac, &packet(source, own, Protocol::ICMP, 7, &ECHO)));
        one.run();
        let reply = [0, 0, 0xff, 0xfd, 0, 1, 0, 1];
        let expected = packet(own, source, Protocol::ICMP, 64, &reply);
        assert_eq!(one.sent(port), [frame(mac, OURS[port], &expected)]);
        assert_eq!(one.moved(), [(RxPackets, 1), (TxPackets, 1), (Originated, 1), (IcmpEchoConsumed, 1)]);
    }
    one.finish();
}

/// An IPv4 packet in two pieces, as its sender cuts it: the first with `first_bytes` of the payload.
fn cut(packet: &[u8], first_bytes: usize) -> [Vec<u8>; 2] {
    let (head, payload) = packet.split_at(20);
    let piece = |field: u16, payload: &[u8]| {
        let mut piece = [head, payload].concat();
        let total_bytes = u16::try_from(piece.len()).expect("short");
        piece[2..4].copy_from_slice(&total_bytes.to_be_bytes());
        piece[6..8].copy_from_slice(&field.to_be_bytes());
        write_checksum(&mut piece[..20]);
        piece
    };
    let (first, last) = payload.split_at(first_bytes);
    [piece(0x2000, first), piece(u16::try_from(first_bytes / 8).expect("short"), last)]
}

#[test]
fn long_ping_to_our_address_is_put_together_in_its_own_network() {
    const TWIN: VrfId = VrfId(2);
    let mut builder = lab::builder(Site(1));
    let twin = Interface {
        port: PortIndex(1),
        vlan: VlanId::new(20),
        vrf: TWIN,
        mac: OURS[LAN],
        mtu_bytes: 1500,
        addresses: vec![lab::net("10.1.0.1/24")],
    };
    builder.interface(InterfaceId(2), twin);
    let mut one = Gateway::with(Site(1), 1, builder.build().expect("consistent"));
    for interface in [InterfaceId(1), InterfaceId(2)] {
        let entry = NeighbourEntry { interface, address: Site(1).host(false), mac: HOST };
        one.command(0, Command::LearnNeighbour(entry));
    }
    one.moved();
    let (host, own) = (Site(1).host(false), Site(1).own(false));
    let ping = |kind: u8, fill: u8| {
        let mut message = vec![fill; 1800];
        message[..8].copy_from_slice(&[kind, 0, 0, 0, 0, 1, 0, 1]);
        let checksum = Sum::new().plus(&message).finish();
        message[2..4].copy_from_slice(&checksum.to_be_bytes());
        message
    };
    let request = |fill| packet(host, own, Protocol::ICMP, 7, &ping(8, fill));
    let tagged = |to: Mac, from: Mac, packet: &[u8]| {
        framed(to, from, EtherType::VLAN, &[&[0, 20, 8, 0], packet].concat())
    };
    // The same addresses and identification in two networks, and pieces that come by turns.
    let [first, last] = cut(&request(0xa1), 1480);
    let [twin_first, twin_last] = cut(&request(0xb2), 1480);
    one.arrive(LAN, &frame(OURS[LAN], HOST, &first));
    one.arrive(LAN, &tagged(OURS[LAN], HOST, &twin_last));
    one.arrive(LAN, &tagged(OURS[LAN], HOST, &twin_first));
    one.arrive(LAN, &frame(OURS[LAN], HOST, &last));
    one.run();
    let answers = one.sent(LAN);
    assert_eq!(answers.len(), 4, "{:?}", one.moved());
    let payload = |pieces: &[Vec<u8>], at: usize| [&pieces[0][at..], &pieces[1][at..]].concat();
    assert_eq!(payload(&answers[..2], 14 + 4 + 20), ping(0, 0xb2));
    assert_eq!(payload(&answers[2..], 14 + 20), ping(0, 0xa1));
    let expected = [
        (RxPackets, 4),
        (TxPackets, 4),
        (Originated, 6),
        (IcmpEchoConsumed, 2),
        (FragmentsHeld, 4),
        (FragmentsMerged, 4),
        (Reassembled, 2),
        (Fragmented, 2),
    ];
    assert_eq!(sorted(one.moved()), sorted(expected.to_vec()));
    one.finish();
}

fn sorted(mut moved: Vec<(Counter, u64)>) -> Vec<(Counter, u64)> {
    moved.sort();
    moved
}

#[test]
fn ike_is_punted_and_keepalives_are_eaten() {
    let mut one = Gateway::new(Site(1), 1);
    let udp = |port: u16, payload: &[u8]| {
        let length = u16::try_from(8 + payload.len()).expect("short");
        let head = [0x11, 0x94_u16, port, length, 0];
        let bytes: Vec<u8> =
            head[1..].iter().flat_map(|word| word.to_be_bytes()).chain(payload.iter().copied()).collect();
        let packet = packet(Site(2).public(false), Site(1).public(false), Protocol::UDP, 64, &bytes);
        frame(OURS[WAN], PEER, &packet)
    };
    one.arrive(WAN, &udp(500, b"an IKE message"));
    one.arrive(WAN, &udp(4500, b"\0\0\0\0another"));
    one.arrive(WAN, &udp(4500, &[0xff]));
    one.run();
    assert_eq!(one.moved(), [(RxPackets, 3), (PuntedIke, 2), (KeepaliveReceived, 1)]);
    let punts: Vec<_> = one
        .events()
        .into_iter()
        .filter_map(|event| if let Event::Punted(punt) = event { Some(punt) } else { None })
        .map(|punt| (punt.packet.data().to_vec(), punt.local.port(), punt.remote.port()))
        .collect();
    assert_eq!(punts, [(b"an IKE message".to_vec(), 500, 0x94), (b"another".to_vec(), 4500, 0x94)]);
    one.finish();
}

#[test]
fn datagram_to_a_port_that_nothing_serves_is_answered_by_port_unreachable() {
    for v6 in [false, true] {
        let [mut one, two] = lab::pair(&Options::default());
        let (kind, header) = if v6 { ([1, 4], 40) } else { ([3, 3], 20) };
        for (port, mac, source, own) in [
            (WAN, PEER, Site(2).public(v6), Site(1).public(v6)),
            (LAN, HOST, Site(1).host(v6), Site(1).own(v6)),
        ] {
            let datagram =
                packet(source, own, Protocol::UDP, 64, &lab::udp(source, own, 53, b"who is there?"));
            one.arrive(port, &frame(OURS[port], mac, &datagram));
            one.run();
            let sent = one.sent(port);
            assert_eq!(sent.len(), 1, "{:?}", one.moved());
            let answer = &sent[0][14..];
            assert_eq!(answer[header..header + 2], kind);
            assert_eq!(answer[header + 8..], datagram, "it quotes all of a short datagram");
            let back = packet(own, source, Protocol::UDP, 64, &[]);
            let addresses = if v6 { 8..40 } else { 12..20 };
            assert_eq!(answer[addresses.clone()], back[addresses], "from the address that was asked");
            let expected =
                [(RxPackets, 1), (TxPackets, 1), (Originated, 1), (IcmpErrorSent, 1), (LocalNotServed, 1)];
            assert_eq!(one.moved(), expected);

            let mut broken = datagram;
            *broken.last_mut().expect("a payload") ^= 1;
            one.arrive(port, &frame(OURS[port], mac, &broken));
            one.run();
            assert_eq!(one.moved(), [(RxPackets, 1), (UdpBadChecksum, 1)]);
        }
        one.finish();
        two.finish();
    }
}

#[test]
fn errors_are_limited_in_rate() {
    let mut one = Gateway::new(Site(1), 1);
    let (source, own) = (Site(2).public(false), Site(1).public(false));
    let datagram = packet(source, own, Protocol::UDP, 64, &lab::udp(source, own, 53, b"who?"));
    for _ in 0..250 {
        one.arrive(WAN, &frame(OURS[WAN], PEER, &datagram));
    }
    one.run();
    // 1000 a second, of which a tenth and one may come at once.
    assert_eq!(one.sent(WAN).len(), 101);
    let moved = one.moved();
    assert!(
        moved.contains(&(LocalNotServed, 250)) && moved.contains(&(IcmpErrorSuppressed, 149)),
        "{moved:?}"
    );
    one.finish();
}

#[test]
fn tunnel_without_sa_drops_and_asks_once_a_second() {
    let mut one = Gateway::new(Site(1), 1);
    for number in 0..3 {
        one.arrive(LAN, &frame(OURS[LAN], HOST, &across(Site(1), false, 64, number, 64)));
    }
    one.run();
    assert!(one.sent(WAN).is_empty());
    assert!(one.moved().contains(&(TunnelDown, 3)));
    let asked = one.events().into_iter().filter(|e| matches!(e, Event::NoSa { tunnel: TUNNEL, .. })).count();
    assert_eq!(asked, 1);
    one.finish();
}

#[test]
fn clear_text_that_wants_protection_is_dropped_on_both_sides() {
    let mut one = Gateway::new(Site(1), 1);
    one.arrive(WAN, &frame(OURS[WAN], PEER, &across(Site(2), false, 64, 1, 64)));
    one.arrive(LAN, &frame(OURS[LAN], HOST, &across(Site(2), false, 64, 1, 64)));
    one.run();
    assert_eq!(one.moved(), [(RxPackets, 2), (ClearText, 2)]);
    one.finish();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// `Gateway::finish` checks that every packet is accounted for and none leaked.
    #[test]
    fn garbage_is_accounted_for(
        frames in proptest::collection::vec((any::<bool>(), 0_u8..6, proptest::collection::vec(any::<u8>(), 0..200)), 1..60),
    ) {
        let mut one = Gateway::new(Site(1), 1);
        let options = Options::default();
        one.install(outbound(Site(1), &options, 0), inbound(Site(1), &options, 0));
        for (lan, kind, bytes) in frames {
            let (port, mac) = if lan { (LAN, HOST) } else { (WAN, PEER) };
            let v6 = bytes.len() % 2 == 1;
            let (source, own) = match port {
                LAN => (Site(1).host(v6), Site(2).host(v6)),
                _ => (Site(2).public(v6), Site(1).public(v6)),
            };
            let to = |protocol| frame(OURS[port], mac, &packet(source, own, protocol, 9, &bytes));
            let garbage = match kind {
                0 => bytes,
                1 => framed(OURS[port], mac, EtherType::IPV4, &bytes),
                2 => framed(Mac::BROADCAST, mac, EtherType::IPV6, &bytes),
                3 => to(Protocol::ESP),
                4 => to(Protocol::UDP),
                _ => to(if v6 { Protocol::ICMPV6 } else { Protocol::ICMP }),
            };
            one.arrive(port, &garbage);
        }
        one.run();
        one.command(0, Command::Barrier);
        one.finish();
    }
}
