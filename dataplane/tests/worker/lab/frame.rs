//! Frames and packets to put through a gateway.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crossgate_dataplane::header::Protocol;
use crossgate_dataplane::header::checksum::Sum;
use crossgate_dataplane::header::ethernet::{EtherType, Ethernet, Mac};
use crossgate_dataplane::header::ipv4::Ipv4;
use crossgate_dataplane::header::ipv6::Ipv6;
use crossgate_dataplane::header::udp::write_checksum;

use super::{OURS, PEER, Site, WAN};

pub(crate) fn frame(to: Mac, from: Mac, packet: &[u8]) -> Vec<u8> {
    let ether_type =
        if packet.first().is_some_and(|first| first >> 4 == 6) { EtherType::IPV6 } else { EtherType::IPV4 };
    framed(to, from, ether_type, packet)
}

pub(crate) fn framed(to: Mac, from: Mac, ether_type: EtherType, packet: &[u8]) -> Vec<u8> {
    let mut head = [0; 14];
    Ethernet { destination: to, source: from, ether_type }.write(&mut head);
    [&head, packet].concat()
}

/// A whole IP packet with a payload of that protocol.
pub(crate) fn packet(
    source: IpAddr,
    destination: IpAddr,
    protocol: Protocol,
    hops: u8,
    payload: &[u8],
) -> Vec<u8> {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => v4(source, destination, protocol, hops, payload),
        (IpAddr::V6(source), IpAddr::V6(destination)) => v6(source, destination, protocol, hops, payload),
        _ => panic!("one family"),
    }
}

fn v4(source: Ipv4Addr, destination: Ipv4Addr, protocol: Protocol, ttl: u8, payload: &[u8]) -> Vec<u8> {
    let mut head = [0; 20];
    let total_bytes = u16::try_from(20 + payload.len()).expect("short");
    Ipv4 {
        traffic_class: 0,
        total_bytes,
        identification: 1,
        dont_fragment: true,
        ttl,
        protocol,
        source,
        destination,
    }
    .write(&mut head);
    [&head, payload].concat()
}

fn v6(
    source: Ipv6Addr,
    destination: Ipv6Addr,
    next_header: Protocol,
    hop_limit: u8,
    payload: &[u8],
) -> Vec<u8> {
    let mut head = [0; 40];
    let payload_bytes = u16::try_from(payload.len()).expect("short");
    Ipv6 { traffic_class: 0, flow_label: 0, payload_bytes, next_header, hop_limit, source, destination }
        .write(&mut head);
    [&head, payload].concat()
}

/// A packet of a host of `site` to one of the other, with a payload that tells its number.
pub(crate) fn across(site: Site, v6: bool, hops: u8, number: u8, bytes: usize) -> Vec<u8> {
    packet(site.host(v6), site.other().host(v6), Protocol(253), hops, &vec![number; bytes])
}

/// An ICMPv6 packet of an echo's type (RFC 4443, 4), with a right checksum: request or reply 1/1 without data.
pub(crate) fn echo(kind: u8, source: IpAddr, destination: IpAddr, hops: u8) -> Vec<u8> {
    let (IpAddr::V6(from), IpAddr::V6(to)) = (source, destination) else { panic!("IPv6") };
    let mut message = [kind, 0, 0, 0, 0, 1, 0, 1];
    let sum = Sum::pseudo_v6(from, to, Protocol::ICMPV6, message.len()).plus(&message).finish();
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    packet(source, destination, Protocol::ICMPV6, hops, &message)
}

/// The frame as it arrives at the other gateway.
pub(crate) fn forwarded(mut esp: Vec<u8>) -> Vec<u8> {
    assert_eq!((&esp[..6], &esp[6..12]), (&PEER.0[..], &OURS[WAN].0[..]));
    esp[..6].copy_from_slice(&OURS[WAN].0);
    esp[6..12].copy_from_slice(&PEER.0);
    esp
}

/// A datagram with a right checksum, from port 9 to `port`.
pub(crate) fn udp(source: IpAddr, destination: IpAddr, port: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + payload.len()).expect("short");
    let mut datagram: Vec<u8> = [9, port, length, 0].into_iter().flat_map(u16::to_be_bytes).collect();
    datagram.extend(payload);
    let bytes = usize::from(length);
    let pseudo = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            Sum::pseudo_v4(source, destination, Protocol::UDP, bytes)
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            Sum::pseudo_v6(source, destination, Protocol::UDP, bytes)
        }
        _ => panic!("one family"),
    };
    write_checksum(&mut datagram, pseudo);
    datagram
}
