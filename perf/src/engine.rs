//! The AES-GCM engines that are compared, behind one face: a burst of equal packets, sealed or opened in place.

use anyhow::{Result, anyhow, ensure};
use crossgate_dataplane::gcm::{Aad, Job, Kernel, Key, TAG_BYTES, Verdict, Work};
use ring::aead::{self, LessSafeKey, UnboundKey};

/// Packets in a burst.
pub(crate) const BURST_PACKETS: usize = 32;
/// Where in its buffer a payload begins: behind Ethernet, IPv4, ESP and IV.
const OFFSET: usize = 14 + 20 + 8 + 8;
const AAD: [u8; 8] = [0, 0, 1, 0, 0, 0, 0, 1];

/// An engine with its keys, one an SA.
pub(crate) enum Engine {
    Ours(Kernel, Vec<Key>),
    Ring(Vec<LessSafeKey>),
    Limit(Kernel, Box<Key>, Work),
}

/// The packets that an engine works on; each has its own buffer.
pub(crate) struct Packets {
    payload_bytes: usize,
    buffers: Vec<Vec<u8>>,
}

impl Engine {
    pub(crate) fn ours(kernel: Kernel, sas: usize, key_bits: usize) -> Result<Self> {
        let keys = (0..sas).map(|sa| Key::new(kernel, &raw_key(sa, key_bits))).collect::<Result<_, _>>()?;
        Ok(Self::Ours(kernel, keys))
    }

    pub(crate) fn ring(sas: usize, key_bits: usize) -> Result<Self> {
        let algorithm = if key_bits == 128 { &aead::AES_128_GCM } else { &aead::AES_256_GCM };
        let key = |sa| UnboundKey::new(algorithm, &raw_key(sa, key_bits)).map(LessSafeKey::new);
        let keys = (0..sas).map(key).collect::<Result<_, _>>();
        Ok(Self::Ring(keys.map_err(|_| anyhow!("ring refuses a key of {key_bits} bits"))?))
    }

    pub(crate) fn limit(kernel: Kernel, key_bits: usize, work: Work) -> Result<Self> {
        Ok(Self::Limit(kernel, Box::new(Key::new(kernel, &raw_key(0, key_bits))?), work))
    }

    /// The name in reports.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Ours(kernel, _) => kernel.name().as_str(),
            Self::Ring(_) => "ring",
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
            Self::Ring(keys) => {
                let length = packets.payload_bytes;
                let (cycles, sealed) = timed(|| {
                    packets.buffers.iter_mut().enumerate().try_for_each(|(i, buffer)| {
                        let (payload, tag) = buffer[OFFSET..].split_at_mut(length);
                        let key = &keys[i % keys.len()];
                        let nonce = aead::Nonce::assume_unique_for_key(nonce(i));
                        let made = key.seal_in_place_separate_tag(nonce, aead::Aad::from(AAD), payload)?;
                        tag[..TAG_BYTES].copy_from_slice(made.as_ref());
                        Ok::<_, ring::error::Unspecified>(())
                    })
                });
                sealed.map_err(|_| anyhow!("ring did not seal"))?;
                Ok(cycles)
            }
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
            Self::Ring(keys) => {
                let length = packets.payload_bytes;
                let (cycles, opened) = timed(|| {
                    packets.buffers.iter_mut().enumerate().try_for_each(|(i, buffer)| {
                        let data = &mut buffer[OFFSET..OFFSET + length + TAG_BYTES];
                        let nonce = aead::Nonce::assume_unique_for_key(nonce(i));
                        keys[i % keys.len()].open_in_place(nonce, aead::Aad::from(AAD), data).map(|_| ())
                    })
                });
                opened.map_err(|_| anyhow!("ring did not open"))?;
                Ok(cycles)
            }
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
