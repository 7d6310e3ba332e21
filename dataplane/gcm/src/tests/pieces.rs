//! Payloads in pieces, by every kernel that this CPU can run and by the four-lane text on emulated registers, against the `aes-gcm` crate.

use proptest::prelude::*;

use super::oracle::{Packet, any_packet};
use crate::{Aad, Kernel, Key, TAG_BYTES, Verdict};

struct Subject {
    name: String,
    keys_for: Kernel,
    transform: Box<Transform>,
}

/// Seals; or opens, with the tag that came.
type Transform =
    dyn Fn(&Key, &Packet, &mut [&mut [u8]], Option<&[u8; TAG_BYTES]>) -> ([u8; TAG_BYTES], Verdict);

fn subjects() -> Vec<Subject> {
    let mut subjects: Vec<_> = Kernel::available()
        .map(|kernel| Subject {
            name: kernel.name().to_string(),
            keys_for: kernel,
            transform: Box::new(move |key, packet, pieces, tag| match tag {
                None => (kernel.seal_pieces(key, packet.nonce, packet.aad(), pieces), Verdict::Pending),
                Some(tag) => (*tag, kernel.open_pieces(key, packet.nonce, packet.aad(), pieces, tag)),
            }),
        })
        .collect();
    #[cfg(target_arch = "x86_64")]
    subjects.extend(emulated());
    subjects
}

/// The four-lane text; it tells the tag, and whether that is the one that came.
#[cfg(target_arch = "x86_64")]
fn emulated() -> Option<Subject> {
    use super::emulated::Emulated512;
    use crate::aesni::Aesni;
    use crate::pieces::{run, simd::Simd};
    let token = Emulated512(Aesni::detect()?);
    Some(Subject {
        name: "emulated four lanes".to_owned(),
        keys_for: Kernel::named(crate::KernelName::Aesni).ok()?,
        transform: Box::new(move |key, packet, pieces, tag| {
            let work = Simd::new(token, key.simd().expect("a SIMD key"), packet.nonce.into());
            let aad: Aad = packet.aad();
            let Some(came) = tag else { return (run::<_, false>(work, aad, pieces), Verdict::Pending) };
            let tag = run::<_, true>(work, aad, pieces);
            if tag == *came {
                return (tag, Verdict::Authentic);
            }
            pieces.iter_mut().for_each(|piece| piece.fill(0));
            (tag, Verdict::Forged)
        }),
    })
}

/// The bytes as pieces of these lengths, over and over; the last one takes what is left.
fn cut<'a>(mut bytes: &'a mut [u8], lengths: &[usize]) -> Vec<&'a mut [u8]> {
    let mut pieces = Vec::new();
    for &length in lengths.iter().cycle().take(4096) {
        let (piece, rest) = bytes.split_at_mut(length.min(bytes.len()));
        pieces.push(piece);
        bytes = rest;
        if bytes.is_empty() {
            break;
        }
    }
    pieces.push(bytes);
    pieces
}

/// Seals, opens, and opens with each of `flipped` bits (of payload and tag) wrong.
fn check(subject: &Subject, packet: &Packet, lengths: &[usize], flipped: &[usize]) {
    let place = format!("{}: {} bytes in pieces of {lengths:?}", subject.name, packet.payload.len());
    let key = Key::new(subject.keys_for, &packet.key).expect("key length");
    let mut bytes = packet.payload.clone();
    let (tag, _) = (subject.transform)(&key, packet, &mut cut(&mut bytes, lengths), None);
    let sealed = [&bytes[..], &tag].concat();
    assert_eq!(sealed, packet.expected(), "sealed, {place}");
    let (_, verdict) = (subject.transform)(&key, packet, &mut cut(&mut bytes, lengths), Some(&tag));
    assert_eq!((verdict, &bytes), (Verdict::Authentic, &packet.payload), "opened, {place}");
    for bit in flipped.iter().map(|bit| bit % (8 * sealed.len())) {
        let mut sealed = sealed.clone();
        sealed[bit / 8] ^= 1 << (bit % 8);
        let (payload, tag) = sealed.split_at_mut(packet.payload.len());
        let tag = *tag.first_chunk().expect("a tag");
        let (_, verdict) = (subject.transform)(&key, packet, &mut cut(payload, lengths), Some(&tag));
        assert_eq!(verdict, Verdict::Forged, "bit {bit} is wrong, {place}");
        assert!(payload.iter().all(|byte| *byte == 0), "plaintext is left, {place}");
    }
}

#[test]
fn every_length_to_2048_matches_the_oracle_wherever_it_is_cut() {
    for subject in subjects() {
        for length in 0..=2048 {
            let packet = Packet::new(length, [16, 24, 32][length % 3], length, 0);
            for lengths in [&[length % 23, 1, 0, length % 311][..], &[length.div_ceil(2)], &[length]] {
                check(&subject, &packet, lengths, &[length * 7]);
            }
        }
    }
}

#[test]
fn every_cut_of_a_payload_matches_the_oracle() {
    for subject in subjects() {
        let packet = Packet::new(1, 32, 300, 0);
        for at in 0..=300 {
            check(&subject, &packet, &[at, 300], &[]);
        }
        check(&subject, &packet, &[1], &[0, 8 * 300]);
    }
}

#[test]
fn jumbo_payloads_match_the_oracle() {
    for subject in subjects() {
        for length in [4064, 8999, 9216, 65_535] {
            check(&subject, &Packet::new(length, 32, length, 0), &[2034, 2048], &[5]);
        }
    }
}

#[test]
fn key_of_another_kernel_serves() {
    for keys_for in Kernel::available() {
        for mut subject in subjects().into_iter().filter(|subject| !subject.name.contains("emulated")) {
            subject.keys_for = keys_for;
            check(&subject, &Packet::new(3, 16, 500, 0), &[99], &[1]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_payload_in_any_pieces_matches_the_oracle(
        packet in any_packet(),
        lengths in prop::collection::vec(prop_oneof![0..40_usize, 0..700_usize], 1..12),
        flipped in prop::collection::vec(0..100_000_usize, 0..4),
    ) {
        for subject in subjects() {
            check(&subject, &packet, &lengths, &flipped);
        }
    }
}
