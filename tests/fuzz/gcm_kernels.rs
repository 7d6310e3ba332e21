//! Bursts of any keys, sizes and alignments: every AES-GCM kernel of this CPU seals what the portable one seals, opens it, and
//! finds the packets in which a bit was flipped, without touching their neighbours. In pieces, each packet is the same.

#![no_main]

use arbitrary::Arbitrary;
use crossgate_dataplane::gcm::{Aad, Job, Kernel, KernelName, Key, TAG_BYTES, Verdict};
use libfuzzer_sys::fuzz_target;

/// What a jumbo frame holds.
const LONGEST_PAYLOAD_BYTES: usize = 9216;

#[derive(Arbitrary, Debug)]
struct Packet {
    key: [u8; 32],
    /// AES-128, 192 or 256.
    key_size: u8,
    nonce: [u8; 12],
    with_esn: bool,
    aad: [u8; 12],
    length: u16,
    offset: u8,
    fill: u8,
    flip: Option<u16>,
    /// Length of the pieces that it is cut into, in bytes, less one.
    piece: u16,
}

impl Packet {
    fn key(&self, kernel: Kernel) -> Key {
        let bytes = [16, 24, 32][usize::from(self.key_size % 3)];
        Key::new(kernel, &self.key[..bytes]).expect("key length")
    }

    fn aad(&self) -> Aad {
        if self.with_esn {
            Aad::new(&self.aad)
        } else {
            Aad::new(self.aad.first_chunk::<8>().expect("8 of 12"))
        }
    }

    fn payload(&self) -> usize {
        usize::from(self.length) % (LONGEST_PAYLOAD_BYTES + 1)
    }

    fn buffer(&self) -> Vec<u8> {
        let bytes = usize::from(self.offset % 64) + self.payload() + TAG_BYTES;
        (0..bytes).map(|i| self.fill.wrapping_add(i.to_le_bytes()[0])).collect()
    }
}

fuzz_target!(|packets: Vec<Packet>| {
    let packets = &packets[..packets.len().min(80)];
    let portable = Kernel::named(KernelName::Portable).expect("everywhere");
    let expected = sealed(portable, packets);
    for (packet, expected) in packets.iter().zip(&expected) {
        Kernel::available().for_each(|kernel| check_pieces(kernel, packet, expected));
    }
    for kernel in Kernel::available().filter(|&kernel| kernel != portable) {
        let mut buffers = sealed(kernel, packets);
        assert_eq!(buffers, expected, "{}", kernel.name());
        for (packet, buffer) in packets.iter().zip(&mut buffers) {
            let data = &mut buffer[usize::from(packet.offset % 64)..];
            if let Some(bit) = packet.flip.map(usize::from).map(|bit| bit % (8 * data.len())) {
                data[bit / 8] ^= 1 << (bit % 8);
            }
        }
        let verdicts = run(kernel, packets, &mut buffers, Kernel::open);
        for ((packet, buffer), verdict) in packets.iter().zip(&buffers).zip(verdicts) {
            let at = usize::from(packet.offset % 64);
            let payload = at..at + packet.payload();
            if packet.flip.is_some() {
                assert_eq!(verdict, Verdict::Forged, "{}", kernel.name());
                assert!(buffer[payload].iter().all(|&byte| byte == 0), "{}", kernel.name());
            } else {
                assert_eq!(verdict, Verdict::Authentic, "{}", kernel.name());
                assert_eq!(buffer[payload.clone()], packet.buffer()[payload], "{}", kernel.name());
            }
        }
    }
});

fn check_pieces(kernel: Kernel, packet: &Packet, expected: &[u8]) {
    let (key, at) = (packet.key(kernel), usize::from(packet.offset % 64));
    let mut buffer = packet.buffer();
    let payload = &mut buffer[at..][..packet.payload()];
    let piece_bytes = usize::from(packet.piece) + 1;
    let mut pieces: Vec<_> = payload.chunks_mut(piece_bytes).collect();
    let mut tag = kernel.seal_pieces(&key, packet.nonce, packet.aad(), &mut pieces);
    assert_eq!([&*payload, &tag].concat(), expected[at..], "{}", kernel.name());
    if let Some(bit) = packet.flip.map(|bit| bit % 128) {
        tag[usize::from(bit / 8)] ^= 1 << (bit % 8);
    }
    let mut pieces: Vec<_> = payload.chunks_mut(piece_bytes).collect();
    let verdict = kernel.open_pieces(&key, packet.nonce, packet.aad(), &mut pieces, &tag);
    if packet.flip.is_some() {
        assert_eq!(verdict, Verdict::Forged, "{}", kernel.name());
        assert!(payload.iter().all(|&byte| byte == 0), "{}", kernel.name());
    } else {
        assert_eq!(verdict, Verdict::Authentic, "{}", kernel.name());
        assert_eq!(*payload, packet.buffer()[at..][..packet.payload()], "{}", kernel.name());
    }
}

fn sealed(kernel: Kernel, packets: &[Packet]) -> Vec<Vec<u8>> {
    let mut buffers: Vec<_> = packets.iter().map(Packet::buffer).collect();
    run(kernel, packets, &mut buffers, Kernel::seal);
    buffers
}

fn run(
    kernel: Kernel,
    packets: &[Packet],
    buffers: &mut [Vec<u8>],
    work: impl Fn(Kernel, &mut [Job<'_>]),
) -> Vec<Verdict> {
    let keys: Vec<_> = packets.iter().map(|packet| packet.key(kernel)).collect();
    let mut jobs: Vec<_> = packets
        .iter()
        .zip(&keys)
        .zip(buffers)
        .map(|((packet, key), buffer)| {
            let data = &mut buffer[usize::from(packet.offset % 64)..];
            Job::new(key, packet.nonce, packet.aad(), data).expect("room for the tag")
        })
        .collect();
    work(kernel, &mut jobs);
    jobs.iter().map(Job::verdict).collect()
}
