use proptest::prelude::*;

use super::*;
use crate::header::captured::*;
use crate::pmtu::TooBig;

const OURS_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

fn ours_v6() -> Ipv6Addr {
    "2001:db8::2".parse().expect("an address")
}

fn error(kind: icmp::Kind, word: u32) -> Icmp {
    Icmp { kind, word }
}

#[test]
fn an_echo_request_becomes_the_reply_that_linux_sends() {
    let mut request = packet(&ECHO_REQUEST_V4).to_vec();
    assert_eq!(answer_echo_v4(&mut request), Ok(true));
    let view = Ipv4View::new(&request).expect("header checksum right");
    assert_eq!((view.source(), view.destination(), view.ttl()), (OURS_V4, [192, 0, 2, 1].into(), 64));
    assert_eq!(view.payload(), &packet(&ECHO_REPLY_V4)[20..]);

    let mut request = packet(&ECHO_REQUEST_V6).to_vec();
    assert_eq!(answer_echo_v6(&mut request), Ok(true));
    assert_eq!(request[8..], packet(&ECHO_REPLY_V6)[8..]);
}

#[test]
fn request_to_a_group_becomes_one_to_us_with_its_checksum() {
    let one = packet(&ECHO_REQUEST_V6).to_vec();
    let mut group = one.clone();
    let all = crate::header::ndp::ALL_NODES;
    assert!(ask_one_v6(&mut group, all));
    let view = Ipv6View::new(&group).expect("a packet");
    assert_eq!(view.destination(), all);
    assert!(Icmpv6View::new(view.payload(), view.source(), all).is_ok());
    assert!(ask_one_v6(&mut group, ours_v6()));
    assert_eq!(group, one);
    group[60] ^= 1;
    assert!(ask_one_v6(&mut group, all) && ask_one_v6(&mut group, ours_v6()));
    assert_eq!(answer_echo_v6(&mut group), Err(Counter::IcmpMalformed));
    assert!(!ask_one_v6(&mut [0x60; 43], all) && !ask_one_v6(&mut [], all));
}

#[test]
fn other_messages_stay_as_they_are_and_damaged_ones_are_dropped() {
    for frame in [&ECHO_REPLY_V4[..], &UDP_4500, &LAST_FRAGMENT] {
        let mut bytes = packet(frame).to_vec();
        assert_eq!(answer_echo_v4(&mut bytes), Ok(false));
        assert_eq!(bytes, packet(frame));
    }
    let mut bytes = packet(&SOLICITATION).to_vec();
    assert_eq!(answer_echo_v6(&mut bytes), Ok(false));
    let mut damaged = packet(&ECHO_REQUEST_V4).to_vec();
    damaged[40] ^= 1;
    assert_eq!(answer_echo_v4(&mut damaged), Err(Counter::IcmpMalformed));
    let mut damaged = packet(&ECHO_REQUEST_V6).to_vec();
    damaged[60] ^= 1;
    assert_eq!(answer_echo_v6(&mut damaged), Err(Counter::IcmpMalformed));
}

#[test]
fn errors_are_the_bytes_that_linux_sends() {
    let mut out = [0; ERROR_V4_BYTES];
    let expired = error(icmp::Kind::TTL_EXCEEDED, 0);
    let length =
        error_v4(packet(&TTL_ONE_V4), Delivery::Unicast, expired, OURS_V4, &mut out).expect("allowed");
    let view = Ipv4View::new(&out[..length]).expect("header right");
    assert_eq!((view.source(), view.destination()), (OURS_V4, [192, 0, 2, 1].into()));
    assert_eq!((view.traffic_class(), view.payload()), (0xc0, &packet(&TTL_EXCEEDED_V4)[20..]));

    let big = with_pattern(&BIG_V4, 1428);
    let needed = error(icmp::Kind::FRAGMENTATION_NEEDED, 1300);
    assert_eq!(error_v4(&big, Delivery::Unicast, needed, OURS_V4, &mut out), Some(576));
    assert_eq!((&out[20..28], &out[28..]), (&TOO_BIG_V4[20..], &big[..548]));

    let mut out = [0; ERROR_V6_BYTES];
    let expired = Icmpv6 { kind: icmpv6::Kind::HOP_LIMIT_EXCEEDED, word: 0 };
    let length = error_v6(packet(&HOP_LIMIT_ONE_V6), Delivery::Unicast, expired, ours_v6(), &mut out);
    assert_eq!(length, Some(104));
    assert_eq!(out[4..104], packet(&HOP_LIMIT_EXCEEDED_V6)[4..]);

    let big = with_pattern(&BIG_V6, 1448);
    let too_big = Icmpv6 { kind: icmpv6::Kind::PACKET_TOO_BIG, word: 1300 };
    assert_eq!(error_v6(&big, Delivery::Unicast, too_big, ours_v6(), &mut out), Some(1280));
    assert_eq!((&out[4..48], &out[48..]), (&TOO_BIG_V6[4..], &big[..1232]));
}

#[test]
fn what_must_not_be_answered_is_not() {
    let expired = error(icmp::Kind::TTL_EXCEEDED, 0);
    let mut out = [0; ERROR_V4_BYTES];
    let mut answered =
        |bytes: &[u8], delivery| error_v4(bytes, delivery, expired, OURS_V4, &mut out).is_some();
    assert!(answered(packet(&UDP_4500), Delivery::Unicast));
    assert!(!answered(packet(&UDP_4500), Delivery::Group), "group frame");
    assert!(!answered(packet(&TTL_EXCEEDED_V4), Delivery::Unicast), "an error");
    assert!(!answered(packet(&LAST_FRAGMENT), Delivery::Unicast), "not the first fragment");
    let mut with = |at: usize, octets: [u8; 4]| {
        let mut bytes = packet(&UDP_4500).to_vec();
        bytes[at..at + 4].copy_from_slice(&octets);
        answered(&bytes, Delivery::Unicast)
    };
    for source in [[0; 4], [127, 0, 0, 1], [224, 0, 0, 1], [255; 4], [240, 0, 0, 1]] {
        assert!(!with(12, source), "source {source:?}");
    }
    for destination in [[224, 0, 0, 1], [255; 4]] {
        assert!(!with(16, destination), "destination {destination:?}");
    }
}

#[test]
fn ipv6_groups_are_told_only_of_size() {
    let expired = Icmpv6 { kind: icmpv6::Kind::HOP_LIMIT_EXCEEDED, word: 0 };
    let too_big = Icmpv6 { kind: icmpv6::Kind::PACKET_TOO_BIG, word: 1280 };
    let mut out = [0; ERROR_V6_BYTES];
    let mut answered =
        |bytes: &[u8], error| error_v6(bytes, Delivery::Group, error, ours_v6(), &mut out).is_some();
    let mut to_group = packet(&UDP_V6).to_vec();
    to_group[24] = 0xff;
    assert!(!answered(&to_group, expired));
    assert!(answered(&to_group, too_big));
    assert!(!answered(packet(&HOP_LIMIT_EXCEEDED_V6), too_big), "an error");
    assert!(!answered(packet(&SOLICITATION), too_big), "neighbour discovery");
    to_group[8..24].fill(0);
    assert!(!answered(&to_group, too_big), "unspecified source");
}

proptest! {
    #[test]
    fn what_is_written_is_valid_and_random_input_never_panics(mut bytes in prop::collection::vec(any::<u8>(), 20..700), six: bool) {
        bytes[0] = if six { 0x60 } else { 0x45 };
        let length = u16::try_from(bytes.len()).expect("short");
        let needed = error(icmp::Kind::FRAGMENTATION_NEEDED, 1300);
        if six {
            let payload = length.saturating_sub(40);
            bytes[4..6].copy_from_slice(&payload.to_be_bytes());
            let mut out = [0; ERROR_V6_BYTES];
            let too_big = Icmpv6 { kind: icmpv6::Kind::PACKET_TOO_BIG, word: 1300 };
            if let Some(length) = error_v6(&bytes, Delivery::Unicast, too_big, ours_v6(), &mut out) {
                let view = Ipv6View::new(&out[..length]).expect("valid");
                let icmp = Icmpv6View::new(view.payload(), view.source(), view.destination()).expect("valid");
                let _ = TooBig::of_v6(&icmp);
            }
            let _ = answer_echo_v6(&mut bytes);
        } else {
            bytes[2..4].copy_from_slice(&length.to_be_bytes());
            let mut out = [0; ERROR_V4_BYTES];
            if let Some(length) = error_v4(&bytes, Delivery::Unicast, needed, OURS_V4, &mut out) {
                let view = Ipv4View::new(&out[..length]).expect("valid");
                let _ = TooBig::of_v4(&IcmpView::new(view.payload()).expect("valid"));
            }
            let _ = answer_echo_v4(&mut bytes);
        }
    }
}
