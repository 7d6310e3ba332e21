//! Every length, count and size field of every payload, wrong in every way: refused or read as something else, no panic.

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

/// Values that length fields are most often mishandled at.
const EXTREMES: [u32; 18] =
    [0, 1, 2, 3, 4, 5, 7, 8, 27, 28, 29, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, u32::MAX];

/// Messages that have every payload between them; the sealed ones need no keys to be read.
fn messages() -> [Message; 3] {
    let sealed = Encrypted { first: PayloadType::IDI, body: vec![3; 60] };
    let fragment = EncryptedFragment { first: PayloadType::NONE, number: 2, total: 3, body: vec![4; 60] };
    let ends_with = |last| Message { payloads: vec![full().payloads[8].clone(), last], ..full() };
    [full(), ends_with(Payload::Encrypted(sealed)), ends_with(Payload::EncryptedFragment(fragment))]
}

/// Offsets and values of the length fields of payloads, from the chain itself.
fn payload_lengths(bytes: &[u8]) -> Vec<usize> {
    let mut offsets = Vec::new();
    let mut at = HEADER_BYTES;
    while at < bytes.len() {
        offsets.push(at + 2);
        at += usize::from(u16::from_be_bytes([bytes[at + 2], bytes[at + 3]]));
    }
    offsets
}

/// What parses must be a value: written again and read again it is the same.
fn check(bytes: &[u8]) {
    if let Ok(message) = Message::parse(bytes) {
        let again = message.build().unwrap();
        assert_eq!(Message::parse(&again), Ok(message));
    }
    let _ = Header::parse(bytes);
}

#[test]
fn every_field_of_one_two_or_four_bytes_survives_every_extreme() {
    for message in messages() {
        let bytes = message.build().unwrap();
        for width in [1, 2, 4] {
            for at in 0..=bytes.len() - width {
                for value in EXTREMES {
                    let mut changed = bytes.clone();
                    changed[at..at + width].copy_from_slice(&value.to_be_bytes()[4 - width..]);
                    check(&changed);
                }
            }
        }
    }
}

#[test]
fn no_other_header_length_is_read() {
    for message in messages() {
        let bytes = message.build().unwrap();
        let right = u32::try_from(bytes.len()).unwrap();
        for value in EXTREMES.into_iter().chain([right - 1, right + 1, right | 1 << 16, right | 1 << 31]) {
            let mut changed = bytes.clone();
            changed[24..28].copy_from_slice(&value.to_be_bytes());
            assert_eq!(Message::parse(&changed).is_ok(), value == right, "{value}");
            assert_eq!(Header::parse(&changed).is_ok(), value == right, "{value}");
        }
    }
}

#[test]
fn payloads_that_do_not_end_where_the_message_does_are_refused() {
    for message in messages() {
        let bytes = message.build().unwrap();
        let lengths = payload_lengths(&bytes);
        assert_eq!(lengths.len(), message.payloads.len());
        for (index, at) in lengths.iter().enumerate() {
            let right = u16::from_be_bytes([bytes[*at], bytes[at + 1]]);
            let rest = u16::try_from(bytes.len() - (at - 2)).unwrap();
            for value in [0, 1, 2, 3, rest + 1, u16::MAX] {
                let mut changed = bytes.clone();
                changed[*at..at + 2].copy_from_slice(&value.to_be_bytes());
                assert!(Message::parse(&changed).is_err(), "payload {index}: {value} instead of {right}");
            }
        }
        let last = *lengths.last().unwrap();
        let right = u16::from_be_bytes([bytes[last], bytes[last + 1]]);
        for value in 0..right {
            let mut changed = bytes.clone();
            changed[last..last + 2].copy_from_slice(&value.to_be_bytes());
            assert!(Message::parse(&changed).is_err(), "last payload: {value} instead of {right}");
        }
    }
}

#[test]
fn every_length_of_every_payload_survives_every_value_of_its_lower_byte() {
    for message in messages() {
        let bytes = message.build().unwrap();
        for at in payload_lengths(&bytes) {
            for low in 0..=u8::MAX {
                let mut changed = bytes.clone();
                (changed[at], changed[at + 1]) = (0, low);
                check(&changed);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn random_values_anywhere_never_panic(
        which in 0usize..3,
        changes in proptest::collection::vec((any::<Index>(), any::<u32>(), 0usize..3), 1..6),
    ) {
        let mut bytes = messages()[which].build().unwrap();
        for (at, value, width) in changes {
            let width = [1, 2, 4][width];
            let at = at.index(bytes.len() - width + 1);
            bytes[at..at + width].copy_from_slice(&value.to_be_bytes()[4 - width..]);
        }
        check(&bytes);
    }

    #[test]
    fn random_payloads_behind_a_right_header_never_panic(
        first in 33u8..=53,
        body in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let empty = Message { payloads: Vec::new(), ..full() };
        let mut bytes = empty.build().unwrap();
        bytes[16] = first;
        bytes.extend_from_slice(&body);
        let length = u32::try_from(bytes.len()).unwrap();
        bytes[24..28].copy_from_slice(&length.to_be_bytes());
        check(&bytes);
        let _ = inner(PayloadType(first), &body);
    }
}
