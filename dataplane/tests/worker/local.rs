//! What is for the gateway itself, and what is for nobody: answered, refused, counted, never fatal.

use crate::lab::{
    self, Gateway, HOST, LAN, OURS, Options, PEER, Site, TUNNEL, WAN, across, forwarded, frame, framed,
    inbound, outbound, packet,
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
use std::net::IpAddr;
use std::time::{Duration, Instant};

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

/// A packet in two pieces, as its sender cuts it: the first with `first_bytes` of the payload.
fn cut(packet: &[u8], first_bytes: usize) -> [Vec<u8>; 2] {
    let is_v6 = packet[0] >> 4 == 6;
    let (head, payload) = packet.split_at(if is_v6 { 40 } else { 20 });
    let piece = |at: usize, more: bool, payload: &[u8]| {
        let at = u16::try_from(at / 8).expect("short");
        let mut piece = head.to_vec();
        if is_v6 {
            let field = at << 3 | u16::from(more);
            let next = std::mem::replace(&mut piece[6], 44);
            piece.extend([&[next, 0][..], &field.to_be_bytes(), &[0, 0, 0, 7]].concat());
        }
        piece.extend_from_slice(payload);
        if is_v6 {
            let bytes = u16::try_from(piece.len() - 40).expect("short");
            piece[4..6].copy_from_slice(&bytes.to_be_bytes());
        } else {
            let total_bytes = u16::try_from(piece.len()).expect("short");
            piece[2..4].copy_from_slice(&total_bytes.to_be_bytes());
            piece[6..8].copy_from_slice(&(at | u16::from(more) << 13).to_be_bytes());
            write_checksum(&mut piece[..20]);
        }
        piece
    };
    let (first, last) = payload.split_at(first_bytes);
    [piece(0, true, first), piece(first_bytes, false, last)]
}

/// An echo message of 1800 bytes: a request, or the reply to it.
fn long_echo(is_reply: bool, fill: u8, source: IpAddr, destination: IpAddr) -> Vec<u8> {
    let mut message = vec![fill; 1800];
    message[..8].fill(0);
    let sum = match (source, destination) {
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            message[0] = 128 + u8::from(is_reply);
            Sum::pseudo_v6(source, destination, Protocol::ICMPV6, message.len())
        }
        _ => {
            message[0] = if is_reply { 0 } else { 8 };
            Sum::new()
        }
    };
    message[7] = fill;
    let checksum = sum.plus(&message).finish();
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
    message
}

const TWIN: VrfId = VrfId(2);

/// Site 1's gateway, with a second network of the same addresses on a VLAN.
fn with_twin() -> Gateway {
    let mut builder = lab::builder(Site(1));
    let twin = Interface {
        port: PortIndex(1),
        vlan: VlanId::new(20),
        vrf: TWIN,
        mac: OURS[LAN],
        mtu_bytes: 1500,
        addresses: vec![lab::net("10.1.0.1/24"), lab::net("fd00:1::1/64")],
    };
    builder.interface(InterfaceId(2), twin);
    let mut one = Gateway::with(Site(1), 1, builder.build().expect("consistent"));
    for (interface, v6) in [(1, false), (1, true), (2, false), (2, true)] {
        let entry =
            NeighbourEntry { interface: InterfaceId(interface), address: Site(1).host(v6), mac: HOST };
        one.command(0, Command::LearnNeighbour(entry));
    }
    one.moved();
    one
}

#[test]
fn long_ping_to_our_address_is_put_together_in_its_own_network() {
    for v6 in [false, true] {
        let mut one = with_twin();
        let (host, own) = (Site(1).host(v6), Site(1).own(v6));
        let protocol = if v6 { Protocol::ICMPV6 } else { Protocol::ICMP };
        let request = |fill| packet(host, own, protocol, 7, &long_echo(false, fill, host, own));
        let ether_type = if v6 { [0x86, 0xdd] } else { [8, 0] };
        let tagged = |packet: &[u8]| {
            framed(OURS[LAN], HOST, EtherType::VLAN, &[&[0, 20][..], &ether_type, packet].concat())
        };
        // The same addresses and identification in two networks, and pieces that come by turns.
        let [first, last] = cut(&request(0xa1), 1440);
        let [twin_first, twin_last] = cut(&request(0xb2), 1440);
        one.arrive(LAN, &frame(OURS[LAN], HOST, &first));
        one.arrive(LAN, &tagged(&twin_last));
        one.arrive(LAN, &tagged(&twin_first));
        one.arrive(LAN, &frame(OURS[LAN], HOST, &last));
        one.run();
        let answers = one.sent(LAN);
        assert_eq!(answers.len(), 4, "{:?}", one.moved());
        let header = if v6 { 48 } else { 20 };
        let payload = |pieces: &[Vec<u8>], at: usize| [&pieces[0][at..], &pieces[1][at..]].concat();
        assert_eq!(payload(&answers[..2], 14 + 4 + header), long_echo(true, 0xb2, own, host));
        assert_eq!(payload(&answers[2..], 14 + header), long_echo(true, 0xa1, own, host));
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
}

#[test]
fn long_ping_out_of_a_narrow_tunnel_is_answered_into_it() {
    let narrow = Options { path_mtu: 1300, ..Options::default() };
    let [mut one, mut two] = lab::pair(&narrow);
    for v6 in [false, true] {
        let (far, own) = (Site(2).host(v6), Site(1).own(v6));
        let protocol = if v6 { Protocol::ICMPV6 } else { Protocol::ICMP };
        let request = packet(far, own, protocol, 7, &long_echo(false, 0xc3, far, own));
        for piece in cut(&request, 1000) {
            two.arrive(LAN, &frame(OURS[LAN], HOST, &piece));
        }
        two.run();
        for esp in two.sent(WAN) {
            one.arrive(WAN, &forwarded(esp));
        }
        one.run();
        let answers = one.sent(WAN);
        assert!(!answers.is_empty() && answers.iter().all(|esp| esp.len() <= 14 + 1300), "{:?}", one.moved());
        for esp in answers {
            two.arrive(WAN, &forwarded(esp));
        }
        two.run();
        let header = 14 + if v6 { 48 } else { 20 };
        let payload: Vec<u8> = two.sent(LAN).iter().flat_map(|piece| piece[header..].to_vec()).collect();
        assert_eq!(payload, long_echo(true, 0xc3, own, far));
    }
    one.finish();
    two.finish();
}

#[test]
fn flood_of_fragments_in_a_network_leaves_the_underlay_its_room() {
    let mut one = with_twin();
    let (host, own) = (Site(1).host(false), Site(1).own(false));
    let [mut first, _] = cut(&packet(host, own, Protocol::ICMP, 7, &long_echo(false, 1, host, own)), 1440);
    for number in 0..400_u16 {
        first[4..6].copy_from_slice(&number.to_be_bytes());
        write_checksum(&mut first[..20]);
        one.arrive(LAN, &frame(OURS[LAN], HOST, &first));
    }
    one.run();
    let (peer, public) = (Site(2).public(false), Site(1).public(false));
    for piece in cut(&packet(peer, public, Protocol::ICMP, 7, &long_echo(false, 2, peer, public)), 1440) {
        one.arrive(WAN, &frame(OURS[WAN], PEER, &piece));
    }
    one.run();
    assert_eq!(one.sent(WAN).len(), 2, "{:?}", one.moved());
    // The rest is given up in time.
    let given_up = |one: &Gateway| one.counters().get(FragmentTimeout);
    assert!(given_up(&one) >= 300, "{:?}", one.moved());
    let began = Instant::now();
    while given_up(&one) < 400 && began.elapsed() < Duration::from_secs(30) {
        one.run();
    }
    assert_eq!(given_up(&one), 400);
    one.finish();
}

#[test]
fn answers_that_wait_for_hosts_which_are_not_there_leave_long_packets_their_buffers() {
    let mut one = with_twin();
    for number in 100..140 {
        let (host, own) = (lab::ip(&format!("10.1.0.{number}")), Site(1).own(false));
        for piece in cut(&packet(host, own, Protocol::ICMP, 7, &long_echo(false, 1, host, own)), 1440) {
            one.arrive(LAN, &frame(OURS[LAN], HOST, &piece));
        }
    }
    one.run();
    assert!(one.workers[0].waiting_packets() >= 40, "{:?}", one.moved());
    let (peer, public) = (Site(2).public(false), Site(1).public(false));
    let mut message = long_echo(false, 2, peer, public);
    message.resize(4200, 0);
    message[2..4].fill(0);
    let checksum = Sum::new().plus(&message).finish();
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
    let [first, rest] = cut(&packet(peer, public, Protocol::ICMP, 7, &message), 1440);
    for piece in [first, rest] {
        one.arrive(WAN, &frame(OURS[WAN], PEER, &piece));
    }
    one.run();
    assert_eq!(one.sent(WAN).len(), 3, "{:?}", one.moved());
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
