//! Libraries that seal and open a packet at a time: ring and, where this program was built with it, aws-lc-rs; alike but of different types.

use anyhow::{Result, ensure};
use crossgate_dataplane::gcm::TAG_BYTES;

use super::{AAD, OFFSET, Packets, nonce, raw_key, timed};

/// A library with its keys, one an SA.
pub(crate) trait Library: Send {
    /// The library's name in reports.
    fn name(&self) -> &'static str;
    /// Seals the burst; TSC cycles for all of it.
    fn seal(&self, packets: &mut Packets) -> Result<u64>;
    /// Opens the burst; TSC cycles for all of it.
    fn open(&self, packets: &mut Packets) -> Result<u64>;
}

/// Every library that knows keys of that length, for so many SAs.
pub(super) fn all(sas: usize, key_bits: usize) -> Vec<Box<dyn Library>> {
    let all = [
        keyed::<ring::aead::LessSafeKey>(sas, key_bits),
        #[cfg(feature = "aws-lc")]
        keyed::<aws_lc_rs::aead::LessSafeKey>(sas, key_bits),
    ];
    all.into_iter().flatten().collect()
}

fn keyed<K: Key + 'static>(sas: usize, key_bits: usize) -> Option<Box<dyn Library>> {
    let keys: Vec<K> = (0..sas).map(|sa| K::new(&raw_key(sa, key_bits))).collect::<Option<_>>()?;
    Some(Box::new(keys))
}

impl<K: Key> Library for Vec<K> {
    fn name(&self) -> &'static str {
        K::LIBRARY
    }

    fn seal(&self, packets: &mut Packets) -> Result<u64> {
        let length = packets.payload_bytes;
        let (cycles, sealed) = timed(|| {
            packets.buffers.iter_mut().enumerate().all(|(i, buffer)| {
                let (payload, tag) = buffer[OFFSET..].split_at_mut(length);
                self[i % self.len()].seal(nonce(i), payload, &mut tag[..TAG_BYTES])
            })
        });
        ensure!(sealed, "{} did not seal", K::LIBRARY);
        Ok(cycles)
    }

    fn open(&self, packets: &mut Packets) -> Result<u64> {
        let length = packets.payload_bytes;
        let (cycles, opened) = timed(|| {
            packets.buffers.iter_mut().enumerate().all(|(i, buffer)| {
                self[i % self.len()].open(nonce(i), &mut buffer[OFFSET..OFFSET + length + TAG_BYTES])
            })
        });
        ensure!(opened, "{} did not open", K::LIBRARY);
        Ok(cycles)
    }
}

/// A key of such a library.
trait Key: Sized + Send {
    /// The library's name in reports.
    const LIBRARY: &'static str;
    /// `None`: the library knows no keys of that length.
    fn new(raw_key: &[u8]) -> Option<Self>;
    /// Seals in place and writes the tag. `false`: refused.
    fn seal(&self, nonce: [u8; 12], payload: &mut [u8], tag: &mut [u8]) -> bool;
    /// Opens payload and tag in place. `false`: not authentic.
    fn open(&self, nonce: [u8; 12], sealed: &mut [u8]) -> bool;
}

/// Their interfaces are the same to the letter.
macro_rules! library {
    ($name:literal, $library:ident, $($key_bytes:literal: $algorithm:ident),*) => {
        const _: () = {
            use $library::aead;
            impl Key for aead::LessSafeKey {
                const LIBRARY: &'static str = $name;

                fn new(raw_key: &[u8]) -> Option<Self> {
                    let algorithm = match raw_key.len() {
                        $($key_bytes => &aead::$algorithm,)*
                        _ => return None,
                    };
                    aead::UnboundKey::new(algorithm, raw_key).map(Self::new).ok()
                }

                #[inline]
                fn seal(&self, nonce: [u8; 12], payload: &mut [u8], tag: &mut [u8]) -> bool {
                    let nonce = aead::Nonce::assume_unique_for_key(nonce);
                    let made = self.seal_in_place_separate_tag(nonce, aead::Aad::from(AAD), payload);
                    made.map(|made| tag.copy_from_slice(made.as_ref())).is_ok()
                }

                #[inline]
                fn open(&self, nonce: [u8; 12], sealed: &mut [u8]) -> bool {
                    let nonce = aead::Nonce::assume_unique_for_key(nonce);
                    self.open_in_place(nonce, aead::Aad::from(AAD), sealed).is_ok()
                }
            }
        };
    };
}

library!("ring", ring, 16: AES_128_GCM, 32: AES_256_GCM);
#[cfg(feature = "aws-lc")]
library!("aws-lc-rs", aws_lc_rs, 16: AES_128_GCM, 24: AES_192_GCM, 32: AES_256_GCM);
