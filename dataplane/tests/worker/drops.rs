//! Every drop reason, moved by a packet that deserves it: alone, and all of them in one burst with good ones between.

use std::collections::BTreeSet;

use crossgate_dataplane::counter::Counter::{self, *};
use crossgate_dataplane::counter::Kind;
use crossgate_dataplane::forwarding::NextHop;
use crossgate_dataplane::gcm::Kernel;
use crossgate_dataplane::header::Protocol;
use crossgate_dataplane::header::checksum::Sum;
use crossgate_dataplane::header::ethernet::{EtherType, Mac};
use crossgate_dataplane::header::ipv4::write_checksum;
use crossgate_dataplane::header::ndp::{PACKET_BYTES, Solicitation, solicited_node};
use crossgate_dataplane::sa::{Esn, Lifetime, Limits};
use crossgate_dataplane::worker::Launch;

use crate::lab::{
    Gateway, HOST, LAN, OURS, Options, PEER, SITE, Setup, Site, TUNNEL, WAN, across, authentic, builder,
    frame, framed, inbound, ip, launch, net, outbound, packet, padded, spi, udp,
};

const SITE_1: Site = Site(1);
const SITE_2: Site = Site(2);

/// Site 2's gateway with its tunnel, which has had packet 1000.
pub(crate) fn gateway() -> Gateway {
    gateway_with(Kernel::detect())
}

fn gateway_with(kernel: Kernel) -> Gateway {
    let options = Options { kernel, esn: Esn::Off, window: 256, ..Options::default() };
    let mut forwarding = builder(SITE_2);
    forwarding.route(SITE, net("10.7.0.0/16"), NextHop::Tunnel(TUNNEL)); // which the selectors do not cover
    let forwarding = forwarding.build().expect("consistent");
    let launch = Launch { kernel, ..launch() };
    let mut two = Setup { forwarding, launch, ..Setup::of(SITE_2) }.build();
    two.install(outbound(SITE_2, &options, 0), inbound(SITE_2, &options, 0));
    two.arrive(WAN, &good(1000));
    two.run();
    assert_eq!(two.sent(LAN).len(), 1);
    two.moved();
    two
}

/// A good packet of the peer's.
pub(crate) fn good(sequence: u64) -> Vec<u8> {
    esp(sequence, &padded(&across(SITE_1, false, 64, 0x77, 40)))
}

fn esp(sequence: u64, plain: &[u8]) -> Vec<u8> {
    authentic(SITE_2, spi(SITE_2, 0), Esn::Off, sequence, plain)
}

/// An IPv4 frame with other bytes at some place of the packet, and a right header checksum.
fn with_v4(mut frame: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    frame[14 + at..14 + at + bytes.len()].copy_from_slice(bytes);
    write_checksum(&mut frame[14..34]);
    frame
}

fn with(mut bytes: Vec<u8>, at: usize, new: &[u8]) -> Vec<u8> {
    bytes[at..at + new.len()].copy_from_slice(new);
    bytes
}

/// Leaves `bytes` of payload behind the outer IPv4 header.
fn cut(mut frame: Vec<u8>, bytes: usize) -> Vec<u8> {
    frame.truncate(14 + 20 + bytes);
    let total = u16::try_from(20 + bytes).expect("short").to_be_bytes();
    with_v4(frame, 2, &total)
}

fn icmp(kind: u8) -> Vec<u8> {
    let message = [kind, 0, 0, 0, 0, 1, 0, 1];
    with(message.to_vec(), 2, &Sum::new().plus(&message).finish().to_be_bytes())
}

/// ESP that deserves to be dropped, each packet for another reason and none of them with a number that a good one has.
pub(crate) fn bad_esp() -> Vec<(Counter, Vec<u8>)> {
    let inner = across(SITE_1, false, 64, 0x77, 40); // 60 bytes, so that two of padding follow
    let plain = |tail: &[u8]| [&inner[..], tail].concat();
    let from = |source: &str| padded(&packet(ip(source), SITE_2.host(false), Protocol(253), 64, &[1; 20]));
    let tagged = good(1050);
    let last = tagged.len() - 1;
    let in_udp = {
        let (source, own) = (SITE_1.public(false), SITE_2.public(false));
        let datagram = udp(source, own, 4500, &good(1051)[34..]);
        frame(OURS[WAN], PEER, &packet(source, own, Protocol::UDP, 64, &datagram))
    };
    vec![
        (EspRunt, cut(good(1052), 20)),
        (EspMisaligned, {
            let bytes = good(1053).len() - 34 - 1;
            cut(good(1053), bytes)
        }),
        (EspUnknownSpi, with(good(1054), 34 + 3, &[0xee])),
        (EspWrongEncapsulation, in_udp),
        (EspReplayed, good(1000)),
        (EspTooOld, good(700)),
        (EspSequenceZero, with(good(1055), 34 + 4, &[0; 4])),
        (EspAuthFailed, {
            let byte = tagged[last] ^ 1;
            with(tagged, last, &[byte])
        }),
        (EspBadPadding, esp(1001, &plain(&[1, 3, 2, 4]))),
        (EspDummy, esp(1002, &plain(&[1, 2, 2, 59]))),
        (EspBadNextHeader, esp(1003, &plain(&[1, 2, 2, 6]))),
        (EspInnerMalformed, esp(1004, &plain(&[1, 2, 2, 41]))),
        (EspSelectorMismatch, esp(1005, &from("192.168.7.7"))),
        (Ipv6LinkLocal, {
            let inner = packet(ip("fe80::9"), SITE_2.host(true), Protocol(253), 64, &[1; 20]);
            esp(1009, &padded(&inner))
        }),
        (EcnIllegal, with_v4(good(1006), 1, &[3])),
        (Ipv4Options, esp(1007, &padded(&with_options(&inner)))),
        (
            Ipv4BadAddress,
            esp(1008, &{
                let mut spoofed = inner.clone();
                spoofed[12..16].copy_from_slice(&[10, 1, 0, 9]);
                spoofed[16..20].copy_from_slice(&[127, 0, 0, 1]);
                write_checksum(&mut spoofed[..20]);
                padded(&spoofed)
            }),
        ),
    ]
}

/// The same IPv4 packet with four bytes of options.
fn with_options(packet: &[u8]) -> Vec<u8> {
    let mut packet = [&packet[..20], &[1; 4], &packet[20..]].concat();
    packet[0] = 0x46;
    let total = u16::try_from(packet.len()).expect("short").to_be_bytes();
    packet[2..4].copy_from_slice(&total);
    write_checksum(&mut packet[..24]);
    packet
}

/// Frames from the public side that deserve to be dropped.
fn bad_wan() -> Vec<(Counter, Vec<u8>)> {
    let (peer, own) = (SITE_1.public(false), SITE_2.public(false));
    let (peer_6, own_6) = (SITE_1.public(true), SITE_2.public(true));
    let to_us = |protocol, payload: &[u8]| frame(OURS[WAN], PEER, &packet(peer, own, protocol, 64, payload));
    let ping = || to_us(Protocol::ICMP, &icmp(8));
    let six =
        |protocol, payload: &[u8]| frame(OURS[WAN], PEER, &packet(peer_6, own_6, protocol, 64, payload));
    let arp = |sender: [u8; 4], target: [u8; 4], operation: u8| {
        let packet = [&[0, 1, 8, 0, 6, 4, 0, operation][..], &PEER.0, &sender, &[0; 6], &target].concat();
        framed(Mac::BROADCAST, PEER, EtherType::ARP, &packet)
    };
    let (std::net::IpAddr::V6(source), std::net::IpAddr::V6(target)) = (peer_6, own_6) else {
        panic!("IPv6")
    };
    let solicitation = |target| {
        let destination = solicited_node(target);
        let mut out = [0; PACKET_BYTES];
        let bytes = Solicitation { source, destination, target, source_mac: Some(PEER) }.write(&mut out);
        frame(Mac::of_multicast_v6(destination), PEER, &out[..bytes])
    };
    vec![
        (EthernetRunt, vec![2; 9]),
        (EthernetNotForUs, frame(HOST, PEER, &packet(peer, own, Protocol::ICMP, 64, &icmp(8)))),
        (EthernetUnknownType, framed(OURS[WAN], PEER, EtherType(0x88cc), &[0; 46])),
        (InterfaceUnknown, framed(OURS[WAN], PEER, EtherType::VLAN, &[0, 9, 8, 0, 0x45])),
        (ArpMalformed, framed(Mac::BROADCAST, PEER, EtherType::ARP, &[0; 28])),
        (ArpIgnored, arp([192, 0, 2, 1], [192, 0, 2, 77], 1)),
        (AddressConflict, arp([192, 0, 2, 2], [192, 0, 2, 1], 1)),
        (NdMalformed, with(solicitation(target), 14 + 7, &[64])),
        (NdIgnored, solicitation("2001:db8::77".parse().expect("IPv6"))),
        (Ipv4Runt, framed(OURS[WAN], PEER, EtherType::IPV4, &[0x45; 8])),
        (Ipv4BadVersion, with(ping(), 14, &[0x55])),
        (Ipv4BadHeaderLength, with(ping(), 14, &[0x44])),
        (Ipv4BadTotalLength, with(ping(), 16, &[0, 19])),
        (Ipv4BadChecksum, with(ping(), 22, &[63])),
        (Ipv4Options, frame(OURS[WAN], PEER, &with_options(&ping()[14..]))),
        (Ipv4BadAddress, frame(OURS[WAN], PEER, &packet(ip("127.0.0.9"), own, Protocol::ICMP, 64, &icmp(8)))),
        (Ipv4Multicast, frame(Mac::BROADCAST, PEER, &packet(peer, own, Protocol::ICMP, 64, &icmp(8)))),
        (Ipv6Runt, framed(OURS[WAN], PEER, EtherType::IPV6, &[0x60; 39])),
        (Ipv6BadVersion, with(six(Protocol(253), &[0; 8]), 14, &[0x50])),
        (Ipv6BadLength, with(six(Protocol(253), &[0; 8]), 18, &[1, 0])),
        (Ipv6ExtensionHeader, six(Protocol::DESTINATION_OPTIONS, &[59, 200, 0, 0, 0, 0, 0, 0])),
        (Ipv6BadAddress, frame(OURS[WAN], PEER, &packet(ip("::1"), own_6, Protocol(253), 64, &[0; 8]))),
        (Ipv6Multicast, frame(OURS[WAN], PEER, &packet(peer_6, ip("ff02::5"), Protocol(253), 64, &[0; 8]))),
        (Ipv6LinkLocal, frame(OURS[WAN], PEER, &packet(peer_6, ip("fe80::9"), Protocol(253), 64, &[0; 8]))),
        (UdpRunt, to_us(Protocol::UDP, &[0; 7])),
        (UdpBadLength, to_us(Protocol::UDP, &[0, 9, 1, 0xf4, 0, 99, 0, 0])),
        (UdpBadChecksum, {
            let datagram = with(udp(peer, own, 500, b"IKE"), 6, &[1, 2]);
            to_us(Protocol::UDP, &datagram)
        }),
        (IcmpMalformed, to_us(Protocol::ICMP, &[8, 0, 1, 2, 0, 0, 0, 0])),
        (IcmpIgnored, to_us(Protocol::ICMP, &icmp(13))),
        (LocalNotServed, to_us(Protocol(253), &[0; 8])),
        (FragmentMalformed, with_v4(to_us(Protocol::ESP, &[0; 15]), 6, &[0x20, 0])),
        (ClearText, frame(OURS[WAN], PEER, &across(SITE_1, false, 64, 1, 64))),
    ]
}

/// Frames from the network's side that deserve to be dropped. What a sender is told of comes along with an ICMP error.
fn bad_lan() -> Vec<(Counter, Vec<u8>)> {
    let from_host =
        |to: &str| frame(OURS[LAN], HOST, &packet(SITE_2.host(false), ip(to), Protocol(253), 64, &[1; 20]));
    vec![
        (Ipv4TtlExpired, frame(OURS[LAN], HOST, &across(SITE_2, false, 1, 1, 64))),
        (Ipv6HopLimitExpired, frame(OURS[LAN], HOST, &across(SITE_2, true, 1, 1, 64))),
        (TooBig, frame(OURS[LAN], HOST, &across(SITE_2, false, 64, 1, 1460))),
        (NoRoute, from_host("203.0.113.9")),
        (RouteBlackhole, from_host("10.2.0.255")),
        (SelectorOutbound, from_host("10.7.0.1")),
        (
            Ipv6LinkLocal,
            frame(OURS[LAN], HOST, &packet(ip("fe80::9"), SITE_1.host(true), Protocol(253), 64, &[1; 20])),
        ),
    ]
}

/// Drop reasons that no single frame can bring about, and where they are tested.
const ELSEWHERE: &[(Counter, &str)] = &[
    (HandoverFull, "exhaustion.rs"),
    (PuntRingFull, "exhaustion.rs"),
    (PuntFirstFull, "exhaustion.rs"),
    (TxRingFull, "exhaustion.rs"),
    (TxNoQueue, "exhaustion.rs"),
    (EthernetSegmented, "segments.rs"),
    (SegmentsNotMerged, "segments.rs"),
    (NeighbourUnresolved, "neighbours.rs"),
    (NeighbourRouteChanged, "circuits.rs"),
    (NeighbourTableFull, "neighbours.rs"),
    (NeighbourQueueFull, "neighbours.rs"),
    (FragmentTimeout, "exhaustion.rs"),
    (ReassemblyTooLong, "exhaustion.rs"),
    (EspNoRoom, "exhaustion.rs"),
    (EspWrongSource, "policy.rs"),
    (PeeringWrongSource, "peering.rs"),
    (CircuitDown, "circuits.rs"),
    (CircuitTransit, "circuits.rs"),
    (CircuitWrongSource, "circuits.rs"),
    (NatNoMapping, "nat.rs"),
    (NatUntranslatable, "nat.rs"),
    (NatNoSession, "dynamic_nat.rs"),
    (NatPortsExhausted, "dynamic_nat.rs"),
    (NatFragmentUnknown, "dynamic_nat.rs"),
    (TunnelDown, "local.rs"),
    (SaExpiredOutbound, "tunnel.rs"),
    (SequenceExhausted, "tunnel.rs"),
    (SaExpiredInbound, "here"),
    (SkuBandwidthOutbound, "bandwidth.rs"),
    (SkuBandwidthInbound, "bandwidth.rs"),
    // A list between two stages is longer than what the worker takes in, whatever arrives: a defect if it moves.
    (StageFull, "never"),
    // A buffer holds less than 65535 bytes with headroom, so that EspNoRoom comes first; esp_too_long guards the header's field.
    (EspTooLong, "never"),
];

fn reasons() -> impl Iterator<Item = Counter> {
    Counter::table().iter().filter(|row| row.kind == Kind::Drop).map(|row| row.counter)
}

#[test]
fn every_drop_reason_is_moved_by_some_test() {
    let here = [bad_esp(), bad_wan(), bad_lan()].into_iter().flatten().map(|(reason, _)| reason);
    let covered: BTreeSet<Counter> = here.chain(ELSEWHERE.iter().map(|(reason, _)| *reason)).collect();
    let missing: Vec<Counter> = reasons().filter(|reason| !covered.contains(reason)).collect();
    assert!(missing.is_empty(), "write a test for {missing:?}");
}

/// The drop reasons that moved.
fn drops(moved: &[(Counter, u64)]) -> Vec<(Counter, u64)> {
    moved.iter().copied().filter(|(counter, _)| counter.is_drop()).collect()
}

#[test]
fn each_bad_frame_moves_its_own_reason_and_no_other() {
    for (port, frames) in [(WAN, bad_esp()), (WAN, bad_wan()), (LAN, bad_lan())] {
        for (reason, bad) in frames {
            let mut two = gateway();
            two.arrive(port, &bad);
            two.run();
            assert_eq!(drops(&two.moved()), [(reason, 1)], "{bad:02x?}");
            two.finish();
        }
    }
}

#[test]
fn burst_in_which_every_packet_is_bad_in_another_way_leaves_the_good_ones_alone() {
    for kernel in Kernel::available() {
        every_second_packet_is_bad(gateway_with(kernel));
    }
}

fn every_second_packet_is_bad(mut two: Gateway) {
    let bad: Vec<_> = bad_esp().into_iter().chain(bad_wan()).collect();
    let mut counts = std::collections::BTreeMap::new();
    for ((reason, frame), sequence) in bad.iter().zip(1100..) {
        two.arrive(WAN, &good(sequence));
        two.arrive(WAN, frame);
        *counts.entry(*reason).or_insert(0) += 1;
    }
    two.run();
    let mut dropped = drops(&two.moved());
    dropped.sort_unstable();
    assert_eq!(dropped, counts.into_iter().collect::<Vec<_>>());
    let whole = frame(HOST, OURS[LAN], &across(SITE_1, false, 63, 0x77, 40));
    assert_eq!(two.sent(LAN), vec![whole; bad.len()], "every good one, byte by byte");
    two.finish();
}

#[test]
fn inbound_sa_takes_nothing_beyond_its_hard_lifetime() {
    let hard = Limits { packets: 3, bytes: u64::MAX };
    let lifetime = Lifetime { soft: Limits::NONE, hard };
    let options = Options { esn: Esn::Off, lifetime, ..Options::default() };
    let mut two = Gateway::new(SITE_2, 1);
    two.install(outbound(SITE_2, &options, 0), inbound(SITE_2, &options, 0));
    two.moved();
    for sequence in 1..=5 {
        two.arrive(WAN, &good(sequence));
    }
    two.run();
    assert_eq!(drops(&two.moved()), [(SaExpiredInbound, 2)]);
    assert_eq!(two.sent(LAN).len(), 3);
    two.finish();
}
