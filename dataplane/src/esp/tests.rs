use super::*;
use proptest::prelude::*;

fn inner_v4(bytes: usize) -> Vec<u8> {
    let mut packet = vec![0; bytes];
    let header = ipv4::Ipv4 {
        traffic_class: 0xb8,
        total_bytes: u16::try_from(bytes).expect("short"),
        identification: 7,
        dont_fragment: false,
        ttl: 9,
        protocol: Protocol::UDP,
        source: [10, 1, 0, 1].into(),
        destination: [10, 2, 0, 1].into(),
    };
    header.write(packet.first_chunk_mut().expect("a header"));
    packet
}

fn padded(mut inner: Vec<u8>, pad: &[u8], next: Protocol) -> Vec<u8> {
    inner.extend(pad);
    inner.extend([u8::try_from(pad.len()).expect("short"), next.0]);
    inner
}

/// A payload in one buffer.
fn whole(payload: &[u8]) -> Result<Stripped, Counter> {
    strip(payload, payload, payload.len())
}

#[test]
fn padding_must_count_up_from_one() {
    let payload = padded(inner_v4(28), &[1, 2, 3], Protocol::IPV4);
    let good = whole(&payload);
    assert_eq!(good, Ok(Stripped { family: Family::V4, bytes: 28, traffic_class: 0xb8 }));
    for pad in [&[0, 0][..], &[1, 3], &[2, 3], &[1, 2, 4]] {
        assert_eq!(whole(&padded(inner_v4(28), pad, Protocol::IPV4)), Err(Counter::EspBadPadding), "{pad:?}");
    }
    let mut beyond = padded(Vec::new(), &[], Protocol::IPV4);
    beyond[0] = 1;
    assert_eq!(whole(&beyond), Err(Counter::EspBadPadding));
}

#[test]
fn longest_padding_is_taken() {
    let pad: Vec<u8> = (1..=255).collect();
    assert_eq!(whole(&padded(inner_v4(20), &pad, Protocol::IPV4)).map(|inner| inner.bytes), Ok(20));
}

#[test]
fn confidentiality_padding_behind_the_inner_packet_is_cut_off() {
    let mut inner = inner_v4(40);
    inner.extend([0xee; 500]);
    assert_eq!(whole(&padded(inner, &[1, 2], Protocol::IPV4)).map(|inner| inner.bytes), Ok(40));
}

#[test]
fn next_header_decides_and_must_agree_with_the_version() {
    assert_eq!(whole(&padded(vec![0xaa; 8], &[1, 2], Protocol::NO_NEXT_HEADER)), Err(Counter::EspDummy));
    assert_eq!(whole(&padded(inner_v4(28), &[1, 2], Protocol::TCP)), Err(Counter::EspBadNextHeader));
    assert_eq!(whole(&padded(inner_v4(60), &[1, 2], Protocol::IPV6)), Err(Counter::EspInnerMalformed));
    assert_eq!(whole(&padded(vec![0x45; 10], &[], Protocol::IPV4)), Err(Counter::EspInnerMalformed));
}

/// RFC 6040, figure 4: rows inner, columns outer, in the order Not-ECT, ECT(0), ECT(1), CE.
#[test]
fn decapsulation_follows_the_table_of_rfc_6040() {
    let order = [NOT_ECT, ECT_0, ECT_1, CE];
    let table = [
        [Some(NOT_ECT), Some(NOT_ECT), Some(NOT_ECT), None],
        [Some(ECT_0), Some(ECT_0), Some(ECT_1), Some(CE)],
        [Some(ECT_1), Some(ECT_1), Some(ECT_1), Some(CE)],
        [Some(CE), Some(CE), Some(CE), Some(CE)],
    ];
    for (inner, row) in order.into_iter().zip(table) {
        for (outer, expected) in order.into_iter().zip(row) {
            let got = inner_traffic_class(0xfc | outer, 0x28 | inner);
            assert_eq!(got.ok(), expected.map(|ecn| 0x28 | ecn), "inner {inner} outer {outer}");
        }
    }
}

#[test]
fn outer_dscp_is_copied_or_fixed_and_ecn_always_copied() {
    assert_eq!(OuterDscp::from(DscpPolicy::Copy).outer(0xb9), 0xb9);
    assert_eq!(OuterDscp::from(DscpPolicy::Fixed(10)).outer(0xb9), 10 << 2 | 1);
}

proptest! {
    #[test]
    fn any_payload_is_refused_or_stays_within_its_bounds(payload in proptest::collection::vec(any::<u8>(), 0..600)) {
        if let Ok(inner) = whole(&payload) {
            prop_assert!(inner.bytes + TRAILER_BYTES <= payload.len());
        }
    }

    #[test]
    fn short_padding_is_seen_as_any_padding_is(pad in prop::collection::vec(0u8..4, 0..5), told in 0u8..6, next in 0u8..64, good: bool) {
        let pad: Vec<u8> = if good { (1..=told).collect() } else { pad };
        let mut payload = inner_v4(40);
        payload.extend(pad);
        payload.extend([told, next]);
        let stripped = whole(&payload);
        if let Some((family, inner)) = unpad(&payload) {
            prop_assert!(told <= 3);
            match stripped {
                Ok(stripped) => {
                    prop_assert_eq!(family, stripped.family);
                    prop_assert!(stripped.bytes <= inner.len());
                    prop_assert_eq!(inner.len(), payload.len() - TRAILER_BYTES - usize::from(told));
                }
                Err(reason) => prop_assert_eq!(reason, Counter::EspInnerMalformed),
            }
        } else {
            let is_usual = told <= 3 && [4, 41].contains(&next);
            prop_assert!(!is_usual || stripped == Err(Counter::EspBadPadding));
        }
    }
}
