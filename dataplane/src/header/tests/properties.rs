//! Any bytes: no view panics, what is written is read again, and checksums stay right.

use proptest::prelude::*;

use super::*;
use crate::transform::Shape;

/// Runs every view over bytes, and every accessor that could go wrong.
fn read_everything(bytes: &[u8]) {
    let _ = EthernetView::new(bytes).map(|v| (v.source(), v.payload().len()));
    let _ = vlan::VlanView::new(bytes).map(|v| v.tci());
    let _ = Arp::new(bytes);
    let _ =
        Ipv4View::with_checksum_known(bytes).map(|v| (v.options().len(), v.payload().len(), v.destination()));
    if let Ok(view) = Ipv6View::new(bytes) {
        assert!(view.header_bytes() + view.payload().len() == view.packet().len());
        let _ = Message::new(&view);
    }
    let _ = UdpView::new(bytes).map(|v| (v.payload().len(), v.checksum(Sum::new())));
    let _ = TcpView::new(bytes).map(|v| (v.mss(), v.payload().len()));
    let _ = esp::EspView::new(bytes).map(|v| Shape::AES_GCM.holds(v.rest_bytes()));
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
    fn a_header_is_valid_just_if_its_words_add_up(mut head: [u8; 20], ones in 0usize..=20, zeros in 0usize..=20, repaired: bool) {
        head[..ones].fill(0xff);
        head[zeros..].fill(0);
        if repaired {
            ipv4::write_checksum(&mut head);
        }
        let is_valid = checksum::is_valid_header(&head);
        prop_assert_eq!(is_valid, Sum::new().plus(&head).is_valid());
        prop_assert!(is_valid || !repaired || head[..10] == [0; 10] && head[12..] == [0; 8]);
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
