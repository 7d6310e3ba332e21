//! The AES-GCM engines that are compared, behind one face: a burst of equal packets, sealed or opened in place.

mod library;

use anyhow::{Result, anyhow, ensure};
use crossgate_dataplane::gcm::{Aad, Job, Kernel, Key, TAG_BYTES, Verdict, Work};

pub(crate) use library::Library;

/// Packets in a burst.
pub(crate) const BURST_PACKETS: usize = 32;
/// Where in its buffer a payload begins: behind Ethernet, IPv4, ESP and IV.
const OFFSET: usize = 14 + 20 + 8 + 8;
const AAD: [u8; 8] = [0, 0, 1, 0, 0, 0, 0, 1];

/// An engine with its keys, one an SA.
pub(crate) enum Engine {
    Ours(Kernel, Vec<Key>),
    Library(Box<dyn Library>),
    Limit(Kernel, Box<Key>, Work),
}

/// The packets that an engine works on; each has its own buffer.
#[derive(Clone)]
pub(crate) struct Packets {
    payload_bytes: usize,
    buffers: Vec<Vec<u8>>,
}

impl Engine {
    pub(crate) fn ours(kernel: Kernel, sas: usize, key_bits: usize) -> Result<Self> {
        let keys = (0..sas).map(|sa| Key::new(kernel, &raw_key(sa, key_bits))).collect::<Result<_, _>>()?;
        Ok(Self::Ours(kernel, keys))
    }

    /// Every other library that this program was built with, and that knows keys of that length.
    pub(crate) fn libraries(sas: usize, key_bits: usize) -> Vec<Self> {
        library::all(sas, key_bits).into_iter().map(Self::Library).collect()
    }

    pub(crate) fn limit(kernel: Kernel, key_bits: usize, work: Work) -> Result<Self> {
        Ok(Self::Limit(kernel, Box::new(Key::new(kernel, &raw_key(0, key_bits))?), work))
    }

    /// The name in reports.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Ours(kernel, _) => kernel.name().as_str(),
            Self::Library(library) => library.name(),
            Self::Limit(_, _, Work::Rounds) => "limit",
            Self::Limit(_, _, Work::RoundsAndProducts) => "limit-with-ghash",
        }
    }

    /// Seals the burst; TSC cycles for all of it.
    pub(crate) fn seal(&self, packets: &mut Packets) -> Result<u64> {
        match self {
            Self::Ours(kernel, keys) => {
                let mut jobs = packets.jobs(keys)?;
                Ok(timed(|| kernel.seal(&mut jobs)).0)
            }
            Self::Library(library) => library.seal(packets),
            Self::Limit(kernel, key, work) => {
                let blocks = BURST_PACKETS * (packets.payload_bytes.div_ceil(16) + 1);
                let (cycles, worked) = timed(|| kernel.limit(key, blocks, *work));
                ensure!(worked, "no limit for the kernel {}", kernel.name());
                Ok(cycles)
            }
        }
    }

    /// Opens the burst, which was sealed by the same engine; TSC cycles for all of it.
    pub(crate) fn open(&self, packets: &mut Packets) -> Result<u64> {
        match self {
            Self::Ours(kernel, keys) => {
                let mut jobs = packets.jobs(keys)?;
                let cycles = timed(|| kernel.open(&mut jobs)).0;
                ensure!(
                    jobs.iter().all(|job| job.verdict() == Verdict::Authentic),
                    "a packet was not authentic"
                );
                Ok(cycles)
            }
            Self::Library(library) => library.open(packets),
            Self::Limit(..) => self.seal(packets),
        }
    }
}

impl Packets {
    pub(crate) fn new(payload_bytes: usize) -> Self {
        let buffers = vec![vec![0x5a; OFFSET + payload_bytes + TAG_BYTES]; BURST_PACKETS];
        Self { payload_bytes, buffers }
    }

    /// Makes the bytes those of `other`, in place.
    pub(crate) fn restore(&mut self, other: &Self) {
        for (buffer, other) in self.buffers.iter_mut().zip(&other.buffers) {
            buffer.copy_from_slice(other);
        }
    }

    /// Payload and tag of a packet.
    pub(crate) fn sealed(&self, packet: usize) -> &[u8] {
        &self.buffers[packet][OFFSET..]
    }

    /// All bytes of a packet's buffer.
    pub(crate) fn buffer(&self, packet: usize) -> &[u8] {
        &self.buffers[packet]
    }

    /// How many those are.
    pub(crate) fn buffer_bytes(&self) -> usize {
        OFFSET + self.payload_bytes + TAG_BYTES
    }

    /// Puts a buffer of that length in the place of a packet's; the one that was there.
    pub(crate) fn exchange(&mut self, packet: usize, buffer: Vec<u8>) -> Vec<u8> {
        std::mem::replace(&mut self.buffers[packet], buffer)
    }

    fn jobs<'a>(&'a mut self, keys: &'a [Key]) -> Result<Vec<Job<'a>>> {
        let jobs = self.buffers.iter_mut().enumerate().map(|(i, buffer)| {
            Job::new(&keys[i % keys.len()], nonce(i), Aad::new(&AAD), &mut buffer[OFFSET..])
        });
        jobs.collect::<Option<_>>().ok_or_else(|| anyhow!("a payload is too long"))
    }
}

fn timed<T>(work: impl FnOnce() -> T) -> (u64, T) {
    let start = dpdk_sys::tsc_cycles();
    let result = work();
    (dpdk_sys::tsc_cycles() - start, result)
}

fn nonce(packet: usize) -> [u8; 12] {
    let mut nonce = [9; 12];
    nonce[4..].copy_from_slice(&packet.to_be_bytes());
    nonce
}

fn raw_key(sa: usize, key_bits: usize) -> Vec<u8> {
    sa.to_le_bytes().into_iter().cycle().take(key_bits / 8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every engine that makes packets.
    fn engines(sas: usize, key_bits: usize) -> Vec<Engine> {
        let ours = Kernel::available().map(|kernel| Engine::ours(kernel, sas, key_bits));
        let mut engines: Vec<_> = ours.collect::<Result<_>>().expect("keys");
        engines.extend(Engine::libraries(sas, key_bits));
        engines
    }

    #[test]
    fn every_engine_seals_alike_and_opens_again() {
        for (key_bits, sas, payload_bytes) in
            [(128, 1, 64), (192, 1, 64), (256, 32, 68), (192, 32, 256), (256, 1, 1400), (128, 32, 8900)]
        {
            let mut first: Option<Vec<Vec<u8>>> = None;
            for engine in engines(sas, key_bits) {
                let mut packets = Packets::new(payload_bytes);
                engine.seal(&mut packets).expect("sealed");
                let sealed = first.get_or_insert_with(|| packets.buffers.clone());
                assert!(packets.buffers == *sealed, "{}, {payload_bytes} bytes", engine.name());
                engine.open(&mut packets).expect("authentic");
                for buffer in &packets.buffers {
                    let payload = &buffer[OFFSET..OFFSET + payload_bytes];
                    assert!(payload.iter().all(|byte| *byte == 0x5a), "{}", engine.name());
                }
            }
        }
    }

    #[test]
    fn every_engine_refuses_a_packet_that_changed() {
        for engine in engines(1, 256) {
            let mut packets = Packets::new(64);
            engine.seal(&mut packets).expect("sealed");
            packets.buffers[7][OFFSET] ^= 1;
            assert!(engine.open(&mut packets).is_err(), "{}", engine.name());
        }
    }
}
