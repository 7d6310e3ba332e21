//! Pseudorandom functions and prf+ (RFC 7296, 2.13; RFC 2104, 4868).
//!
//! Used by [`super::keys`], by AUTH and by [`super::cipher`] for integrity.

use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use sha1::Sha1;
use sha2::{Sha256, Sha384, Sha512};
use std::fmt;

use crate::secret::Secret;
use crate::wire::PrfId;

/// Most blocks that prf+ can make: its counter is one byte.
const MAX_BLOCKS: usize = 255;

/// A pseudorandom function.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Prf {
    /// PRF_HMAC_MD5. Weak.
    HmacMd5,
    /// PRF_HMAC_SHA1. Weak.
    HmacSha1,
    /// PRF_HMAC_SHA2_256.
    HmacSha2_256,
    /// PRF_HMAC_SHA2_384.
    HmacSha2_384,
    /// PRF_HMAC_SHA2_512.
    HmacSha2_512,
}

impl Prf {
    /// Its number on the wire.
    pub fn id(self) -> PrfId {
        match self {
            Self::HmacMd5 => PrfId::HMAC_MD5,
            Self::HmacSha1 => PrfId::HMAC_SHA1,
            Self::HmacSha2_256 => PrfId::HMAC_SHA2_256,
            Self::HmacSha2_384 => PrfId::HMAC_SHA2_384,
            Self::HmacSha2_512 => PrfId::HMAC_SHA2_512,
        }
    }

    /// Length of its output, and of the keys it prefers, in bytes.
    pub fn output_bytes(self) -> usize {
        match self {
            Self::HmacMd5 => 16,
            Self::HmacSha1 => 20,
            Self::HmacSha2_256 => 32,
            Self::HmacSha2_384 => 48,
            Self::HmacSha2_512 => 64,
        }
    }

    /// prf(key, data), where data is the parts one after the other.
    pub fn compute(self, key: &[u8], data: &[&[u8]]) -> Secret<Vec<u8>> {
        match self {
            Self::HmacMd5 => hmac::<Hmac<Md5>>(key, data),
            Self::HmacSha1 => hmac::<Hmac<Sha1>>(key, data),
            Self::HmacSha2_256 => hmac::<Hmac<Sha256>>(key, data),
            Self::HmacSha2_384 => hmac::<Hmac<Sha384>>(key, data),
            Self::HmacSha2_512 => hmac::<Hmac<Sha512>>(key, data),
        }
    }

    /// The first `length` bytes of prf+(key, seed), where seed is the parts one after the other (RFC 7296, 2.13).
    ///
    /// # Panics
    /// When `length` exceeds 255 outputs: no suite of this crate needs a tenth of that.
    pub fn plus(self, key: &[u8], seed: &[&[u8]], length: usize) -> Secret<Vec<u8>> {
        assert!(length <= MAX_BLOCKS * self.output_bytes(), "prf+ ends after 255 blocks");
        let mut stream = Vec::with_capacity(length); // exact: a vector that grows leaves copies of keys behind
        let mut block = Secret::new(Vec::new());
        for counter in 1..=u8::MAX {
            if stream.len() == length {
                break;
            }
            let counter = [counter];
            let mut parts: Vec<&[u8]> = vec![block.expose()];
            parts.extend_from_slice(seed);
            parts.push(&counter);
            let next = self.compute(key, &parts);
            let wanted = next.expose().len().min(length - stream.len());
            stream.extend_from_slice(&next.expose()[..wanted]);
            block = next;
        }
        Secret::new(stream)
    }
}

fn hmac<M: Mac + KeyInit>(key: &[u8], data: &[&[u8]]) -> Secret<Vec<u8>> {
    let mut mac = <M as KeyInit>::new_from_slice(key).expect("HMAC takes a key of any length");
    for part in data {
        mac.update(part);
    }
    Secret::from(mac.finalize().into_bytes().as_slice())
}

impl fmt::Debug for Prf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.id(), f)
    }
}

#[cfg(test)]
mod tests;
