//! Every header both ways on captured frames, and every view on random and mutated bytes.

use super::captured::*;
use super::checksum::{self, Sum};
use super::*;
use crate::counter::Counter;
use crate::transform::{Cipher, Integrity, Shape, Transform};
use arp::{Arp, Operation};
use ethernet::{EtherType, Ethernet, EthernetView, Mac};
use ipv4::{Ipv4, Ipv4View};
use ipv6::{Ipv6, Ipv6View};
use ndp::{Advertisement, Message, Solicitation};
use tcp::TcpView;
use udp::{Udp, UdpChecksum, UdpView};

mod discovery;
mod properties;

const MAC_A: Mac = Mac([2, 0, 0, 0, 0, 10]);
const MAC_B: Mac = Mac([2, 0, 0, 0, 0, 11]);

fn v6(address: &str) -> std::net::Ipv6Addr {
    address.parse().expect("an address")
}

#[test]
fn ethernet_both_ways() {
    let view = EthernetView::new(&ECHO_REQUEST_V4).expect("valid");
    let header =
        Ethernet { destination: view.destination(), source: view.source(), ether_type: view.ether_type() };
    assert_eq!(header, Ethernet { destination: MAC_B, source: MAC_A, ether_type: EtherType::IPV4 });
    let mut out = [0; 14];
    header.write(&mut out);
    assert_eq!(out, ECHO_REQUEST_V4[..14]);
    assert_eq!(EthernetView::new(&ECHO_REQUEST_V4[..13]).err(), Some(Counter::EthernetRunt));
}

#[test]
fn vlan_both_ways_and_without_a_number() {
    let tag = [0x60, 0x0a, 0x86, 0xdd, 1];
    let view = vlan::VlanView::new(&tag).expect("valid");
    assert_eq!((view.priority(), view.ether_type(), view.payload()), (3, EtherType::IPV6, &[1u8][..]));
    assert_eq!(view.tci(), 0x600a);
    let vlan = vlan::VlanId::new(10).expect("a number");
    let mut out = [0; 4];
    vlan::Vlan { vlan, ether_type: EtherType::IPV6 }.write(&mut out);
    assert_eq!(out, [0, 10, 0x86, 0xdd]);
    assert_eq!((vlan::VlanId::new(0), vlan::VlanId::new(4095)), (None, None));
    assert!(vlan::VlanView::new(&tag[..3]).is_err());
}

#[test]
fn ipv4_both_ways() {
    let packet = packet(&ECHO_REQUEST_V4);
    let view = Ipv4View::new(packet).expect("valid");
    let header = Ipv4 {
        traffic_class: view.traffic_class(),
        total_bytes: view.total_bytes(),
        identification: view.identification(),
        dont_fragment: view.dont_fragment(),
        ttl: view.ttl(),
        protocol: view.protocol(),
        source: view.source(),
        destination: view.destination(),
    };
    assert_eq!((header.ttl, header.protocol, header.dont_fragment), (64, Protocol::ICMP, true));
    let mut out = [0; 20];
    header.write(&mut out);
    assert_eq!(out, packet[..20]);
    assert_eq!(view.payload(), &packet[20..]);
}

#[test]
fn ipv4_refuses_each_wrong_field_by_name() {
    let broken = |at: usize, value: u8| {
        let mut bytes = packet(&ECHO_REQUEST_V4).to_vec();
        bytes[at] = value;
        Ipv4View::new(&bytes).err()
    };
    assert_eq!(broken(0, 0x65), Some(Counter::Ipv4BadVersion));
    assert_eq!(broken(0, 0x44), Some(Counter::Ipv4BadHeaderLength));
    assert_eq!(broken(0, 0x4f), Some(Counter::Ipv4BadHeaderLength));
    assert_eq!(broken(3, 0x2d), Some(Counter::Ipv4BadTotalLength));
    assert_eq!(broken(3, 0x13), Some(Counter::Ipv4BadTotalLength));
    assert_eq!(broken(8, 63), Some(Counter::Ipv4BadChecksum));
    assert_eq!(Ipv4View::new(&[0x45; 19]).err(), Some(Counter::Ipv4Runt));
}

#[test]
fn ipv4_fragment_is_seen() {
    let view = Ipv4View::new(packet(&LAST_FRAGMENT)).expect("valid");
    assert_eq!(
        (view.fragment_offset_bytes(), view.more_fragments(), view.is_fragment()),
        (2960, false, true)
    );
}

#[test]
fn ipv6_both_ways() {
    let packet = packet(&ECHO_REQUEST_V6);
    let view = Ipv6View::new(packet).expect("valid");
    let header = Ipv6 {
        traffic_class: view.traffic_class(),
        flow_label: view.flow_label(),
        payload_bytes: view.payload_bytes(),
        next_header: view.next_header(),
        hop_limit: view.hop_limit(),
        source: view.source(),
        destination: view.destination(),
    };
    assert_eq!((header.flow_label, header.source), (0xb5a7c, v6("2001:db8::1")));
    let mut out = [0; 40];
    header.write(&mut out);
    assert_eq!(out, packet[..40]);
    ipv6::set_traffic_class(&mut out, 0xb9);
    let mut changed = packet.to_vec();
    changed[..40].copy_from_slice(&out);
    let view = Ipv6View::new(&changed).expect("valid");
    assert_eq!((view.traffic_class(), view.flow_label()), (0xb9, 0xb5a7c));
}

#[test]
fn ipv6_extension_headers_are_walked() {
    let view = Ipv6View::new(packet(&HOP_BY_HOP)).expect("valid");
    assert_eq!(
        (view.next_header(), view.protocol(), view.header_bytes()),
        (Protocol::HOP_BY_HOP, Protocol::ICMPV6, 48)
    );

    let with_fragment = |offset: u16, behind: &[u8]| {
        let mut bytes = packet(&ECHO_REQUEST_V6)[..40].to_vec();
        bytes[4..6].copy_from_slice(&u16::try_from(8 + behind.len()).expect("short").to_be_bytes());
        bytes[6] = Protocol::FRAGMENT.0;
        bytes.extend([Protocol::DESTINATION_OPTIONS.0, 0]);
        bytes.extend((offset | 1).to_be_bytes());
        bytes.extend([0, 0, 0, 7]);
        bytes.extend(behind);
        bytes
    };
    let first = with_fragment(0, &[17, 0, 1, 4, 0, 0, 0, 0]);
    let view = Ipv6View::new(&first).expect("valid");
    let fragment = view.fragment().expect("there");
    assert_eq!(
        (fragment.offset_bytes, fragment.more, fragment.identification, fragment.at),
        (0, true, 7, 40)
    );
    assert_eq!((view.protocol(), view.header_bytes()), (Protocol::UDP, 56));
    let later = with_fragment(16, &[0xff; 8]);
    let view = Ipv6View::new(&later).expect("the middle of a packet is not parsed");
    assert_eq!((view.protocol(), view.header_bytes()), (Protocol::DESTINATION_OPTIONS, 48));
    assert_eq!(Ipv6View::new(&with_fragment(0, &[17, 9])).err(), Some(Counter::Ipv6ExtensionHeader));
    assert_eq!(Ipv6View::new(&first[..50]).err(), Some(Counter::Ipv6BadLength));

    let mut endless = packet(&ECHO_REQUEST_V6)[..40].to_vec();
    endless[6] = Protocol::DESTINATION_OPTIONS.0;
    endless[5] = 160;
    endless.extend([Protocol::DESTINATION_OPTIONS.0, 0, 1, 4, 0, 0, 0, 0].repeat(20));
    assert_eq!(Ipv6View::new(&endless).err(), Some(Counter::Ipv6ExtensionHeader));
}

#[test]
fn udp_both_ways_with_both_pseudo_headers() {
    let ip = Ipv4View::new(packet(&UDP_4500)).expect("valid");
    let view = UdpView::new(ip.payload()).expect("valid");
    let pseudo = Sum::pseudo_v4(ip.source(), ip.destination(), Protocol::UDP, 17);
    assert_eq!(view.checksum(pseudo), UdpChecksum::Right);
    let mut out = [0; 17];
    let header =
        Udp { source_port: view.source_port(), destination_port: 4500, length_bytes: view.length_bytes() };
    header.write(out.first_chunk_mut().expect("long enough"));
    out[8..].copy_from_slice(view.payload());
    assert_eq!(UdpView::new(&out).expect("valid").checksum(pseudo), UdpChecksum::Absent);
    udp::write_checksum(&mut out, pseudo);
    assert_eq!(out, ip.payload());
    out[16] ^= 1;
    assert_eq!(UdpView::new(&out).expect("valid").checksum(pseudo), UdpChecksum::Wrong);

    let ip = Ipv6View::new(packet(&UDP_V6)).expect("valid");
    let pseudo = Sum::pseudo_v6(ip.source(), ip.destination(), Protocol::UDP, ip.payload().len());
    assert_eq!(UdpView::new(ip.payload()).expect("valid").checksum(pseudo), UdpChecksum::Right);
    assert_eq!(UdpView::new(&ip.payload()[..7]).err(), Some(Counter::UdpRunt));
    assert_eq!(UdpView::new(&ip.payload()[..10]).err(), Some(Counter::UdpBadLength));
}

#[test]
fn tcp_syn_shows_its_mss() {
    let ip = Ipv4View::new(packet(&SYN_V4)).expect("valid");
    let view = TcpView::new(ip.payload()).expect("valid");
    assert_eq!((view.source_port(), view.destination_port(), view.sequence()), (40330, 443, 2_348_908_415));
    assert_eq!((view.is_syn(), view.mss(), view.header_bytes()), (true, Some((22, 1460)), 40));
    assert!(TcpView::new(&ip.payload()[..39]).is_none());
}

#[test]
fn tcp_option_of_length_zero_or_one_ends_the_search() {
    for length in [0, 1] {
        let mut segment = Ipv4View::new(packet(&SYN_V4)).expect("valid").payload().to_vec();
        segment[20..22].copy_from_slice(&[8, length]);
        assert_eq!(TcpView::new(&segment).expect("valid").mss(), None);
    }
}

#[test]
fn esp_front_is_read_and_reserved_spis_are_not() {
    let mut packet = [7; 36];
    esp::Esp { spi: crate::spi::Spi::new(0x0102_0304).expect("allowed"), sequence_low: 9 }
        .write(packet.first_chunk_mut().expect("long enough"));
    let view = esp::EspView::new(&packet).expect("valid");
    assert_eq!((view.spi().get(), view.sequence_low()), (0x0102_0304, 9));
    assert_eq!(esp::EspView::new(&packet[..7]).err(), Some(Counter::EspRunt));
    packet[..4].copy_from_slice(&[0, 0, 0, 255]);
    assert_eq!(esp::EspView::new(&packet).err(), Some(Counter::EspUnknownSpi));
}

#[test]
fn an_esp_packet_is_whole_and_aligned_as_its_transform_has_it() {
    let cbc = Transform::Separate(Cipher::AesCbc128, Integrity::HmacSha2_256_128).shape();
    let null = Transform::Separate(Cipher::Null, Integrity::HmacSha1_96).shape();
    for (shape, least, block) in [(Shape::AES_GCM, 36, 4), (cbc, 56, 16), (null, 24, 4)] {
        let fits =
            |bytes: usize| shape.holds(esp::EspView::new(&vec![7; bytes]).expect("a header").rest_bytes());
        assert_eq!(fits(least - 1), Err(Counter::EspRunt));
        assert_eq!(fits(least), Ok(()));
        for more in 1..=2 * block {
            let expected = if more % block == 0 { Ok(()) } else { Err(Counter::EspMisaligned) };
            assert_eq!(fits(least + more), expected, "{shape:?} {more}");
        }
    }
}

#[test]
fn icmp_both_ways() {
    let message = &packet(&ECHO_REPLY_V4)[20..];
    let view = icmp::IcmpView::new(message).expect("valid");
    assert_eq!(view.kind(), icmp::Kind::ECHO_REPLY);
    let mut head = [0; 8];
    icmp::Icmp { kind: view.kind(), word: 0x73b6_0001 }.write(&mut head, view.payload());
    assert_eq!(head, message[..8]);

    let ip = Ipv6View::new(packet(&ECHO_REPLY_V6)).expect("valid");
    let view = icmpv6::Icmpv6View::new(ip.payload(), ip.source(), ip.destination()).expect("valid");
    let header = icmpv6::Icmpv6 { kind: view.kind(), word: view.word() };
    header.write(&mut head, view.payload(), ip.source(), ip.destination());
    assert_eq!((view.kind(), &head[..]), (icmpv6::Kind::ECHO_REPLY, &ip.payload()[..8]));
    let damaged = icmpv6::Icmpv6View::new(&ip.payload()[..23], ip.source(), ip.destination());
    assert_eq!(damaged.err(), Some(Counter::IcmpMalformed));
}

#[test]
fn arp_both_ways() {
    for (frame, operation) in [(&ARP_REQUEST, Operation::Request), (&ARP_REPLY, Operation::Reply)] {
        let arp = Arp::new(packet(frame)).expect("valid");
        assert_eq!(arp.operation, operation);
        let mut out = [0; 28];
        arp.write(&mut out);
        assert_eq!(out, packet(frame));
    }
    for (at, value) in [(1, 6), (2, 0x86), (4, 8), (5, 16), (7, 3), (8, 1)] {
        let mut broken = packet(&ARP_REQUEST).to_vec();
        broken[at] = value;
        assert_eq!(Arp::new(&broken), Err(Counter::ArpMalformed), "byte {at}");
    }
}
