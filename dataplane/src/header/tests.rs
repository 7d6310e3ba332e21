//! Every header both ways on captured frames, and every view on random and mutated bytes.

use proptest::prelude::*;

use super::captured::*;
use super::checksum::{self, Sum};
use super::*;
use crate::counter::Counter;
use arp::{Arp, Operation};
use ethernet::{EtherType, Ethernet, EthernetView, Mac};
use ipv4::{Ipv4, Ipv4View};
use ipv6::{Ipv6, Ipv6View};
use ndp::{Advertisement, Message, Solicitation};
use tcp::TcpView;
use udp::{Udp, UdpChecksum, UdpView};

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
    let vlan = view.vlan().expect("a number");
    let mut out = [0; 4];
    vlan::Vlan { vlan, ether_type: EtherType::IPV6 }.write(&mut out);
    assert_eq!(out, [0, 10, 0x86, 0xdd]);
    assert_eq!(vlan::VlanView::new(&[0, 0, 8, 0]).expect("valid").vlan(), None);
    assert_eq!(vlan::VlanId::new(4095), None);
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
    assert_eq!(
        (view.spi().get(), view.sequence_low(), view.iv(), view.sealed().len()),
        (0x0102_0304, 9, [7; 8], 20)
    );
    assert_eq!(esp::EspView::new(&packet[..35]).err(), Some(Counter::EspRunt));
    assert_eq!(esp::EspView::new(&[7; 37]).err(), Some(Counter::EspMisaligned));
    packet[..4].copy_from_slice(&[0, 0, 0, 255]);
    assert_eq!(esp::EspView::new(&packet).err(), Some(Counter::EspUnknownSpi));
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

fn ndp_of(frame: &[u8]) -> Result<Option<Message>, Counter> {
    Message::new(&Ipv6View::new(packet(frame)).expect("valid"))
}

#[test]
fn neighbour_discovery_both_ways() {
    let mut out = [0; ndp::PACKET_BYTES];
    let Ok(Some(Message::Solicitation(question))) = ndp_of(&SOLICITATION) else { panic!("a question") };
    assert_eq!(question.source_mac, Some(MAC_A));
    assert_eq!(question.write(&mut out), 72);
    assert_eq!(out[40..], packet(&SOLICITATION)[40..]);
    let Ok(Some(Message::Advertisement(answer))) = ndp_of(&ADVERTISEMENT) else { panic!("an answer") };
    assert_eq!(
        (answer.target_mac, answer.router, answer.solicited, answer.overrides),
        (Some(MAC_B), true, true, true)
    );
    assert_eq!(answer.write(&mut out), 72);
    assert_eq!(out[40..], packet(&ADVERTISEMENT)[40..]);
    let Ok(Some(Message::Solicitation(probe))) = ndp_of(&DAD_PROBE) else { panic!("a probe") };
    assert!(probe.source.is_unspecified() && probe.source_mac.is_none());
    assert_eq!(ndp_of(&ECHO_REQUEST_V6), Ok(None));
}

#[test]
fn neighbour_discovery_refuses_what_rfc_4861_7_1_refuses() {
    let question = Solicitation {
        source: v6("2001:db8::1"),
        destination: v6("ff02::1:ff00:2"),
        target: v6("2001:db8::2"),
        source_mac: Some(MAC_A),
    };
    let answer = Advertisement {
        source: v6("2001:db8::2"),
        destination: v6("2001:db8::1"),
        target: v6("2001:db8::2"),
        target_mac: Some(MAC_B),
        router: false,
        solicited: true,
        overrides: true,
    };
    let unspecified = v6("::");
    let read = |write: &dyn Fn(&mut [u8; 72]) -> usize, change: &dyn Fn(&mut [u8])| {
        let mut out = [0; 72];
        let length = write(&mut out);
        change(&mut out);
        Message::new(&Ipv6View::new(&out[..length]).expect("valid"))
    };
    let asked = |question: Solicitation| read(&|out| question.write(out), &|_| {});
    assert!(matches!(asked(question), Ok(Some(_))));
    let refused = Err(Counter::NdMalformed);
    assert_eq!(read(&|out| question.write(out), &|out| out[7] = 254), refused, "forwarded");
    assert_eq!(asked(Solicitation { source: unspecified, ..question }), refused, "probe with a MAC address");
    let probe = Solicitation { source: unspecified, source_mac: None, ..question };
    assert!(matches!(asked(probe), Ok(Some(_))));
    assert_eq!(asked(Solicitation { destination: question.target, ..probe }), refused, "unicast probe");
    assert_eq!(asked(Solicitation { target: v6("ff02::1"), ..question }), refused, "multicast target");
    let to_all = Advertisement { destination: ndp::ALL_NODES, ..answer };
    assert_eq!(read(&|out| to_all.write(out), &|_| {}), refused, "solicited to all");
    let group_mac = Solicitation { source_mac: Some(Mac::BROADCAST), ..question };
    assert_eq!(asked(group_mac), refused, "a group has no MAC address of its own");
}

#[test]
fn neighbour_discovery_option_of_length_zero_is_refused() {
    let mut bytes = packet(&DAD_PROBE).to_vec();
    bytes[65] = 0; // length of the option, and the checksum in step
    let sum = checksum::update(be16(&bytes, 42), 0x0e01, 0x0e00);
    bytes[42..44].copy_from_slice(&sum.to_be_bytes());
    assert_eq!(Message::new(&Ipv6View::new(&bytes).expect("valid")), Err(Counter::NdMalformed));
}

/// Runs every view over bytes, and every accessor that could go wrong.
fn read_everything(bytes: &[u8]) {
    let _ = EthernetView::new(bytes).map(|v| (v.source(), v.payload().len()));
    let _ = vlan::VlanView::new(bytes).map(|v| v.vlan());
    let _ = Arp::new(bytes);
    let _ =
        Ipv4View::with_checksum_known(bytes).map(|v| (v.options().len(), v.payload().len(), v.destination()));
    if let Ok(view) = Ipv6View::new(bytes) {
        assert!(view.header_bytes() + view.payload().len() == view.packet().len());
        let _ = Message::new(&view);
    }
    let _ = UdpView::new(bytes).map(|v| (v.payload().len(), v.checksum(Sum::new())));
    let _ = TcpView::new(bytes).map(|v| (v.mss(), v.payload().len()));
    let _ = esp::EspView::new(bytes).map(|v| v.sealed().len());
    let _ = icmp::IcmpView::new(bytes).map(|v| crate::pmtu::TooBig::of_v4(&v));
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        read_everything(&bytes);
    }

    #[test]
    fn mutated_frames_never_panic(
        which in 0usize..9,
        skip in 0usize..60,
        cut in 0usize..120,
        changes in prop::collection::vec((0usize..120, any::<u8>()), 0..4),
    ) {
        let frames: [&[u8]; 9] = [&ARP_REPLY, &ADVERTISEMENT, &DAD_PROBE, &HOP_BY_HOP, &ECHO_REPLY_V4, &TTL_EXCEEDED_V4,
            &UDP_4500, &SYN_V6, &HOP_LIMIT_EXCEEDED_V6];
        let mut bytes = frames[which].to_vec();
        for (at, value) in changes {
            let at = at % bytes.len();
            bytes[at] = value;
        }
        bytes.truncate(cut.max(1));
        read_everything(&bytes[14.min(bytes.len())..]);
        read_everything(&bytes[skip.min(bytes.len())..]);
    }

    #[test]
    fn ipv4_round_trip(class: u8, length in 20u16.., id: u16, df: bool, ttl: u8, protocol: u8, s: [u8; 4], d: [u8; 4]) {
        let header = Ipv4 {
            traffic_class: class, total_bytes: length, identification: id, dont_fragment: df, ttl,
            protocol: Protocol(protocol), source: s.into(), destination: d.into(),
        };
        let mut bytes = vec![0; usize::from(length)];
        header.write(bytes.first_chunk_mut().expect("20 bytes"));
        let view = Ipv4View::new(&bytes).expect("valid");
        let read = Ipv4 {
            traffic_class: view.traffic_class(), total_bytes: view.total_bytes(),
            identification: view.identification(), dont_fragment: view.dont_fragment(), ttl: view.ttl(),
            protocol: view.protocol(), source: view.source(), destination: view.destination(),
        };
        prop_assert_eq!(read, header);
    }

    #[test]
    fn changes_in_place_keep_the_ipv4_checksum_right(class: u8, ttl: u8, new_class: u8, length in 20u16..200) {
        let mut bytes = [0; 200];
        let header = Ipv4 {
            traffic_class: class, total_bytes: 200, identification: 1, dont_fragment: true, ttl,
            protocol: Protocol::UDP, source: [10, 0, 0, 1].into(), destination: [10, 0, 0, 2].into(),
        };
        let head = bytes.first_chunk_mut().expect("20 bytes");
        header.write(head);
        prop_assert_eq!(ipv4::decrement_ttl(head), if ttl < 2 { 0 } else { ttl - 1 });
        ipv4::set_traffic_class(head, new_class);
        ipv4::set_total_bytes(head, length);
        let view = Ipv4View::new(&bytes).expect("checksum right");
        prop_assert_eq!((view.traffic_class(), view.total_bytes()), (new_class, length));
        prop_assert_eq!(view.ttl(), if ttl < 2 { ttl } else { ttl - 1 });
    }

    #[test]
    fn the_sum_is_that_of_16_bit_words(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        let mut sum = 0u32;
        for pair in bytes.chunks(2) {
            sum += u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
        }
        while sum > 0xffff {
            sum = (sum >> 16) + (sum & 0xffff);
        }
        prop_assert_eq!(Sum::new().plus(&bytes).finish(), !u16::try_from(sum).expect("folded"));
    }

    #[test]
    fn an_update_equals_a_full_computation(mut words in prop::collection::vec(any::<u16>(), 2..20), at: usize, new: u16) {
        let full = |words: &[u16]| {
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
            Sum::new().plus(&bytes).finish()
        };
        words.push(1); // all-zero data, which no header is, has two sums: 0 and 0xffff
        let at = at % (words.len() - 1);
        let (before, old) = (full(&words), words[at]);
        words[at] = new;
        prop_assert_eq!(checksum::update(before, old, new), full(&words));
    }
}
