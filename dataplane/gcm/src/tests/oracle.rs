//! Every kernel that this CPU can run, and the four-lane text on emulated registers, against the `aes-gcm` crate.

use aes_gcm::aead::{AeadInOut, KeyInit, consts::U12};
use aes_gcm::{AesGcm, Nonce, aes};
use proptest::prelude::*;

use crate::{Aad, Job, Kernel, Key, TAG_BYTES, Verdict};

/// Something that seals and opens like a kernel.
pub(super) struct Subject {
    pub(super) name: String,
    pub(super) keys_for: Kernel,
    pub(super) seal: Box<Run>,
    pub(super) open: Box<Run>,
}

pub(super) type Run = dyn Fn(&mut [Job<'_>]);

pub(super) fn subjects() -> Vec<Subject> {
    let mut subjects: Vec<_> = Kernel::available()
        .map(|kernel| Subject {
            name: kernel.name().to_string(),
            keys_for: kernel,
            seal: Box::new(move |jobs| kernel.seal(jobs)),
            open: Box::new(move |jobs| kernel.open(jobs)),
        })
        .collect();
    #[cfg(target_arch = "x86_64")]
    subjects.extend(emulated());
    subjects
}

#[cfg(target_arch = "x86_64")]
fn emulated() -> Option<Subject> {
    use super::emulated::Emulated512;
    use crate::aesni::Aesni;
    use crate::burst::{self, Open, Seal};
    let token = Emulated512(Aesni::detect()?);
    Some(Subject {
        name: "emulated four lanes".to_owned(),
        keys_for: Kernel::named(crate::KernelName::Aesni).ok()?,
        seal: Box::new(move |jobs| burst::run::<_, Seal>(token, jobs)),
        open: Box::new(move |jobs| burst::run::<_, Open>(token, jobs)),
    })
}

/// A packet before it is sealed.
#[derive(Clone, Debug)]
pub(super) struct Packet {
    pub(super) key: Vec<u8>,
    pub(super) nonce: [u8; 12],
    with_esn: bool,
    aad: [u8; 12],
    pub(super) payload: Vec<u8>,
    /// Where in its buffer the payload begins: its alignment.
    offset: usize,
}

impl Packet {
    /// A packet whose bytes follow from its number and length.
    pub(super) fn new(number: usize, key_bytes: usize, length: usize, offset: usize) -> Self {
        let byte = |i: usize, salt: usize| (i * 151 + salt * 197 + number * 59 + 7).to_le_bytes()[0];
        Self {
            key: (0..key_bytes).map(|i| byte(i, 1)).collect(),
            nonce: std::array::from_fn(|i| byte(i, 2)),
            with_esn: number % 2 == 1,
            aad: std::array::from_fn(|i| byte(i, 3)),
            payload: (0..length).map(|i| byte(i, 4)).collect(),
            offset,
        }
    }

    pub(super) fn aad(&self) -> Aad {
        if self.with_esn {
            Aad::new(&self.aad)
        } else {
            Aad::new(self.aad.first_chunk::<8>().expect("8 of 12"))
        }
    }

    /// Ciphertext and tag as the `aes-gcm` crate makes them.
    pub(super) fn expected(&self) -> Vec<u8> {
        fn with<C>(packet: &Packet) -> Vec<u8>
        where
            AesGcm<C, U12>: AeadInOut<NonceSize = U12> + KeyInit,
        {
            let gcm = AesGcm::<C, U12>::new_from_slice(&packet.key).expect("key length");
            let (aad, length) = packet.aad().to_bytes();
            let mut data = packet.payload.clone();
            let tag = gcm
                .encrypt_inout_detached(
                    &Nonce::from(packet.nonce),
                    &aad[..length],
                    data.as_mut_slice().into(),
                )
                .expect("length");
            data.extend_from_slice(&tag);
            data
        }
        match self.key.len() {
            16 => with::<aes::Aes128>(self),
            24 => with::<aes::Aes192>(self),
            _ => with::<aes::Aes256>(self),
        }
    }
}

const GUARD: u8 = 0xa5;

/// Seals and opens the burst with the subject; checks ciphertext, tag, plaintext and that nothing else was written.
/// Packets whose number is in `tampered` get a bit flipped in between.
fn check(subject: &Subject, packets: &[Packet], tampered: &[usize]) {
    let keys: Vec<_> =
        packets.iter().map(|packet| Key::new(subject.keys_for, &packet.key).expect("key length")).collect();
    let mut buffers: Vec<_> = packets
        .iter()
        .map(|packet| {
            let mut buffer = vec![GUARD; packet.offset + packet.payload.len() + TAG_BYTES + 64];
            buffer[packet.offset..][..packet.payload.len()].copy_from_slice(&packet.payload);
            buffer
        })
        .collect();

    let mut jobs = jobs(packets, &keys, &mut buffers);
    (subject.seal)(&mut jobs);
    for (number, (packet, buffer)) in packets.iter().zip(&mut buffers).enumerate() {
        let place = format!("{} packet {number} of {} bytes", subject.name, packet.payload.len());
        let end = packet.offset + packet.payload.len() + TAG_BYTES;
        assert_eq!(buffer[packet.offset..end], packet.expected(), "sealed: {place}");
        assert!(buffer[..packet.offset].iter().all(|&byte| byte == GUARD), "in front: {place}");
        assert!(buffer[end..].iter().all(|&byte| byte == GUARD), "behind: {place}");
        if tampered.contains(&number) {
            buffer[packet.offset + (number * 37) % (packet.payload.len() + TAG_BYTES)] ^= 1 << (number % 8);
        }
    }

    let mut jobs = self::jobs(packets, &keys, &mut buffers);
    (subject.open)(&mut jobs);
    let verdicts: Vec<_> = jobs.iter().map(Job::verdict).collect();
    for (number, (packet, buffer)) in packets.iter().zip(&buffers).enumerate() {
        let place = format!("{} packet {number} of {} bytes", subject.name, packet.payload.len());
        let (verdict, payload) = if tampered.contains(&number) {
            (Verdict::Forged, vec![0; packet.payload.len()])
        } else {
            (Verdict::Authentic, packet.payload.clone())
        };
        let end = packet.offset + packet.payload.len();
        assert_eq!(verdicts[number], verdict, "{place}");
        assert_eq!(buffer[packet.offset..end], payload, "opened: {place}");
        if verdict == Verdict::Authentic {
            assert_eq!(
                buffer[end..end + TAG_BYTES],
                packet.expected()[packet.payload.len()..],
                "tag: {place}"
            );
        }
        assert!(buffer[..packet.offset].iter().all(|&byte| byte == GUARD), "in front: {place}");
        assert!(buffer[end + TAG_BYTES..].iter().all(|&byte| byte == GUARD), "behind: {place}");
    }
}

fn jobs<'a>(packets: &[Packet], keys: &'a [Key], buffers: &'a mut [Vec<u8>]) -> Vec<Job<'a>> {
    packets
        .iter()
        .zip(keys)
        .zip(buffers)
        .map(|((packet, key), buffer)| {
            let data = &mut buffer[packet.offset..][..packet.payload.len() + TAG_BYTES];
            Job::new(key, packet.nonce, packet.aad(), data).expect("room for the tag")
        })
        .collect()
}

#[test]
fn every_length_to_2048_matches_the_oracle() {
    for subject in subjects() {
        for length in 0..=2048 {
            check(&subject, &[Packet::new(length, [16, 24, 32][length % 3], length, length % 64)], &[]);
        }
    }
}

#[test]
fn jumbo_lengths_match_the_oracle() {
    for subject in subjects() {
        for length in (2049..=9216).step_by(61).chain([4064, 4079, 4080, 4081, 4096, 9215, 9216, 65_535]) {
            check(&subject, &[Packet::new(length, 32, length, length % 64)], &[]);
        }
    }
}

#[test]
fn every_alignment_matches_the_oracle() {
    for subject in subjects() {
        for offset in 0..64 {
            let packets: Vec<_> = [0, 1, 15, 16, 68, 100, 112, 113, 300]
                .map(|length| Packet::new(offset, 32, length, offset))
                .into();
            check(&subject, &packets, &[]);
        }
    }
}

#[test]
fn full_groups_of_every_short_size_match_the_oracle() {
    for subject in subjects() {
        for length in 0..=136 {
            for count in [1, 2, 3, 7, 16, 33] {
                let packets: Vec<_> =
                    (0..count).map(|i| Packet::new(i, [32, 16][length % 2], length, i % 7)).collect();
                check(&subject, &packets, if count == 7 { &[0, 5] } else { &[] });
            }
        }
    }
}

#[test]
fn a_forged_packet_leaves_its_neighbours_alone() {
    for subject in subjects() {
        for length in [64, 68, 200, 1400] {
            let packets: Vec<_> = (0..32).map(|i| Packet::new(i, 32, length, i)).collect();
            check(&subject, &packets, &[0, 3, 17, 18, 31]);
        }
        let mixed = [68, 1404, 0, 16, 84, 240, 479, 480, 481, 1404, 68, 31];
        for forged in 0..mixed.len() {
            let packets: Vec<_> = (0..mixed.len()).map(|i| Packet::new(i, 32, mixed[i], i)).collect();
            check(&subject, &packets, &[forged]);
        }
    }
}

pub(super) fn any_packet() -> impl Strategy<Value = Packet> {
    let length = prop_oneof![4 => 0..160_usize, 2 => 0..600_usize, 1 => 0..2000_usize];
    (0..1000_usize, 0..3_usize, length, 0..64_usize)
        .prop_map(|(number, key, length, offset)| Packet::new(number, [16, 24, 32][key], length, offset))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_mix_of_sizes_and_keys_matches_the_oracle(
        packets in prop::collection::vec(any_packet(), 0..80),
        tampered in prop::collection::vec(0..80_usize, 0..6),
    ) {
        for subject in subjects() {
            check(&subject, &packets, &tampered);
        }
    }
}
