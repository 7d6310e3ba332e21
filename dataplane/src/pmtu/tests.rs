use proptest::prelude::*;

use super::*;
use crate::header::captured::*;
use crate::header::checksum::Sum;
use crate::header::icmp::{self, Icmp, IcmpView};
use crate::header::icmpv6::{self, Icmpv6, Icmpv6View};
use crate::transform::{Cipher, Integrity, Transform};

#[test]
fn the_longest_inner_packet_fills_the_path_and_one_byte_more_does_not_fit() {
    let cases =
        [(Overhead::Ipv4, 20), (Overhead::Ipv4Udp, 28), (Overhead::Ipv6, 40), (Overhead::Ipv6Udp, 48)];
    let cbc = Transform::Separate(Cipher::AesCbc256, Integrity::HmacSha2_256_128).shape();
    let null = Transform::Separate(Cipher::Null, Integrity::HmacSha1_96).shape();
    let shapes = [(Shape::AES_GCM, 4, 24), (cbc, 16, 32), (null, 4, 12)];
    for ((overhead, outer), (shape, block, around)) in
        cases.into_iter().flat_map(|case| shapes.map(|shape| (case, shape)))
    {
        for path in 1280..=1500u16 {
            let sealed = |inner: u16| (inner + 2).next_multiple_of(block) + outer + 8 + around;
            let inner = overhead.inner_mtu_bytes(shape, path);
            assert!(
                sealed(inner) <= path && sealed(inner + 1) > path,
                "{overhead:?} {shape:?} {path}: {inner}"
            );
        }
        assert_eq!(overhead.inner_mtu_bytes(shape, 0), 0);
    }
    assert_eq!(Overhead::Ipv4.inner_mtu_bytes(Shape::AES_GCM, 1500), 1446);
    assert_eq!(Overhead::Ipv4.inner_mtu_bytes(cbc, 1500), 1438);
    assert_eq!(Overhead::Ipv4.inner_mtu_bytes(null, 1500), 1458);
}

#[test]
fn what_does_not_fit_is_cut_refused_or_left_to_the_outer_packet() {
    assert_eq!(fit_v4(1446, true, 1446), Fit::Whole);
    assert_eq!(fit_v4(1447, true, 1446), Fit::TooBig(1446));
    assert_eq!(fit_v4(1447, false, 1446), Fit::FragmentInner(1446));
    assert_eq!(fit_v4(60, true, 40), Fit::FragmentOuter);
    assert_eq!(fit_v6(1446, 1446), Fit::Whole);
    assert_eq!(fit_v6(1447, 1446), Fit::TooBig(1446));
    assert_eq!(fit_v6(1280, 1226), Fit::FragmentOuter);
    assert_eq!(fit_v6(1281, 1226), Fit::TooBig(1280));
}

fn tcp_is_right_v4(packet: &[u8]) -> bool {
    let view = Ipv4View::new(packet).expect("valid");
    let pseudo = Sum::pseudo_v4(view.source(), view.destination(), Protocol::TCP, view.payload().len());
    pseudo.plus(view.payload()).is_valid()
}

#[test]
fn a_syn_is_clamped_and_stays_valid() {
    let mut syn = packet(&SYN_V4).to_vec();
    assert!(tcp_is_right_v4(&syn));
    assert!(clamp_mss_v4(&mut syn, 1406) && tcp_is_right_v4(&syn));
    assert_eq!(TcpView::new(&syn[20..]).expect("valid").mss(), Some((22, 1406)));
    assert!(!clamp_mss_v4(&mut syn, 1406), "low enough by now");

    let mut syn = packet(&SYN_V6).to_vec();
    assert!(clamp_mss_v6(&mut syn, 1386));
    let view = Ipv6View::new(&syn).expect("valid");
    let pseudo = Sum::pseudo_v6(view.source(), view.destination(), Protocol::TCP, view.payload().len());
    assert!(pseudo.plus(view.payload()).is_valid());
    assert_eq!(TcpView::new(view.payload()).expect("valid").mss(), Some((22, 1386)));
}

#[test]
fn only_a_syn_with_the_option_is_touched() {
    let mut no_syn = packet(&SYN_V4).to_vec();
    no_syn[33] = 0x10;
    let mut later_fragment = packet(&SYN_V4).to_vec();
    later_fragment[6..8].copy_from_slice(&[0, 9]);
    let udp = packet(&UDP_4500).to_vec();
    for mut bytes in [no_syn, later_fragment, udp] {
        let before = bytes.clone();
        assert!(!clamp_mss_v4(&mut bytes, 500));
        assert_eq!(bytes, before);
    }
}

proptest! {
    #[test]
    fn the_updated_checksum_equals_a_full_one(mss: u16, limit: u16, nops in 0usize..8, data in prop::collection::vec(any::<u8>(), 0..40)) {
        let mut bytes = packet(&SYN_V4)[..40].to_vec();
        let mut options = vec![1; nops];
        options.extend([2, 4]);
        options.extend(mss.to_be_bytes());
        options.resize(options.len().next_multiple_of(4), 0);
        bytes[32] = u8::try_from((20 + options.len()) / 4).expect("few") << 4;
        bytes.extend(options);
        bytes.extend(data);
        let total = u16::try_from(bytes.len()).expect("short");
        ipv4::set_total_bytes(bytes.first_chunk_mut().expect("20"), total);
        bytes[36..38].fill(0);
        let view = Ipv4View::new(&bytes).expect("valid");
        let pseudo = Sum::pseudo_v4(view.source(), view.destination(), Protocol::TCP, view.payload().len());
        let right = pseudo.plus(view.payload()).finish();
        bytes[36..38].copy_from_slice(&right.to_be_bytes());
        prop_assert_eq!(clamp_mss_v4(&mut bytes, limit), mss > limit);
        prop_assert!(tcp_is_right_v4(&bytes));
        prop_assert_eq!(TcpView::new(&bytes[20..]).expect("valid").mss(), Some((22 + nops, mss.min(limit))));
    }

    #[test]
    fn random_segments_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 40..120), limit: u16) {
        let length = u8::try_from(bytes.len()).expect("short");
        bytes[0] = 0x45;
        bytes[2..4].copy_from_slice(&[0, length]);
        bytes[6..8].fill(0);
        bytes[9] = Protocol::TCP.0;
        clamp_mss_v4(&mut bytes, limit);
        bytes[0] = 0x60;
        bytes[4..6].copy_from_slice(&[0, length - 40]);
        bytes[6] = Protocol::TCP.0;
        clamp_mss_v6(&mut bytes, limit);
    }
}

/// An ICMP error about an ESP packet, in UDP or not, as a router would send it.
fn told_v4(udp: bool, mtu: u32, spi: u32) -> Option<TooBig> {
    let protocol = if udp { Protocol::UDP } else { Protocol::ESP };
    let header = ipv4::Ipv4 {
        traffic_class: 0,
        total_bytes: 1500,
        identification: 0,
        dont_fragment: true,
        ttl: 60,
        protocol,
        source: [192, 0, 2, 1].into(),
        destination: [198, 51, 100, 7].into(),
    };
    let mut quote = vec![0; 20];
    header.write(quote.first_chunk_mut().expect("20"));
    if udp {
        quote.extend([0x11, 0x94, 0x11, 0x94, 5, 0xc8, 0, 0]);
    }
    quote.extend(spi.to_be_bytes());
    quote.extend([0, 0, 0, 9]);
    let mut message = vec![0; 8];
    let error = Icmp { kind: icmp::Kind::FRAGMENTATION_NEEDED, word: mtu };
    error.write(message.first_chunk_mut().expect("8"), &quote);
    message.extend(quote);
    TooBig::of_v4(&IcmpView::new(&message).expect("valid"))
}

#[test]
fn a_too_big_message_names_peer_spi_and_mtu() {
    for udp in [false, true] {
        let told = told_v4(udp, 1400, 0x1234_5678).expect("ours");
        assert_eq!((told.spi.get(), told.mtu_bytes, told.packet_bytes), (0x1234_5678, 1400, 1500));
        assert_eq!(told.sequence_low, 9);
        assert_eq!((told.local, told.remote), ([192, 0, 2, 1].into(), [198, 51, 100, 7].into()));
    }
    assert_eq!(told_v4(true, 1400, 0), None, "IKE, not ESP");
}

#[test]
fn a_too_big_message_about_something_else_is_none() {
    let whole: Vec<u8> = [&TOO_BIG_V4[..], &with_pattern(&BIG_V4, 548)].concat();
    let icmp = IcmpView::new(&whole[20..]).expect("as captured");
    assert_eq!((icmp.next_hop_mtu_bytes(), TooBig::of_v4(&icmp)), (1300, None));
    let whole: Vec<u8> = [&TOO_BIG_V6[..], &with_pattern(&BIG_V6, 1232)].concat();
    let ip = Ipv6View::new(&whole).expect("as captured");
    let icmp = Icmpv6View::new(ip.payload(), ip.source(), ip.destination()).expect("as captured");
    assert_eq!((icmp.word(), TooBig::of_v6(&icmp)), (1300, None));
}

#[test]
fn ipv6_too_big_about_esp_is_read() {
    let (source, destination) = ("2001:db8::1".parse().expect("v6"), "2001:db8::2".parse().expect("v6"));
    let header = ipv6::Ipv6 {
        traffic_class: 0,
        flow_label: 0,
        payload_bytes: 1460,
        next_header: Protocol::ESP,
        hop_limit: 60,
        source,
        destination,
    };
    let mut quote = vec![0; 40];
    header.write(quote.first_chunk_mut().expect("40"));
    quote.extend([0, 1, 0, 0, 0, 0, 0, 1]);
    let mut message = vec![0; 8];
    let error = Icmpv6 { kind: icmpv6::Kind::PACKET_TOO_BIG, word: 1400 };
    error.write(message.first_chunk_mut().expect("8"), &quote, destination, source);
    message.extend(quote);
    let icmp = Icmpv6View::new(&message, destination, source).expect("valid");
    let told = TooBig::of_v6(&icmp).expect("ours");
    assert_eq!((told.spi.get(), told.mtu_bytes, told.packet_bytes), (0x0001_0000, 1400, 1500));
    assert_eq!(path_mtu_after(&TooBig { mtu_bytes: 68, ..told }, 1500), Some(1280));
}

#[test]
fn a_path_only_shrinks_and_not_below_the_floor() {
    let told = |mtu| told_v4(false, mtu, 0x1234_5678).expect("ours");
    assert_eq!(path_mtu_after(&told(1400), 1500), Some(1400));
    assert_eq!(path_mtu_after(&told(1400), 1400), None);
    assert_eq!(path_mtu_after(&told(9000), 1500), None);
    assert_eq!(path_mtu_after(&told(68), 1500), Some(576));
    assert_eq!(path_mtu_after(&told(0), 1500), Some(1492), "an old router: the next plateau");
}

#[test]
fn a_router_that_says_what_cannot_be_true_is_not_believed() {
    let told = told_v4(false, 1400, 0x1234_5678).expect("ours");
    assert_eq!(path_mtu_after(&TooBig { packet_bytes: 1400, ..told }, 1500), None, "it fits");
    assert_eq!(path_mtu_after(&TooBig { packet_bytes: 1401, ..told }, 1500), Some(1400));
    assert_eq!(path_mtu_after(&TooBig { packet_bytes: 1501, ..told }, 1500), None, "we send none so long");
}
