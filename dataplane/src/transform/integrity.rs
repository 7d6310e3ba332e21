//! Integrity beside a cipher: HMAC over MD5, SHA-1 and SHA-2, the first bytes of it (RFC 2403, RFC 2404, RFC 4868). A keyed state is made once and cloned
//! for each packet. Called by [`super::Sealer`] and [`super::Opener`].

use hmac::{KeyInit, Mac};
use md5::Md5;
use sha1::Sha1;
use sha2::{Sha256, Sha384, Sha512};

use super::{Integrity, NotAuthentic};

/// A keyed HMAC.
pub(super) enum Hmac {
    Md5(hmac::Hmac<Md5>),
    Sha1(hmac::Hmac<Sha1>),
    Sha256(hmac::Hmac<Sha256>),
    Sha384(hmac::Hmac<Sha384>),
    Sha512(hmac::Hmac<Sha512>),
}

impl Hmac {
    pub(super) fn new(integrity: Integrity, key: &[u8]) -> Self {
        match integrity {
            Integrity::HmacMd5_96 => Self::Md5(keyed(key)),
            Integrity::HmacSha1_96 => Self::Sha1(keyed(key)),
            Integrity::HmacSha2_256_128 => Self::Sha256(keyed(key)),
            Integrity::HmacSha2_384_192 => Self::Sha384(keyed(key)),
            Integrity::HmacSha2_512_256 => Self::Sha512(keyed(key)),
        }
    }

    /// Fills `icv` with the first bytes of the HMAC over the parts, one after the other.
    pub(super) fn sign(&self, parts: &[&[u8]], icv: &mut [u8]) {
        match self {
            Self::Md5(keyed) => first_bytes(over(keyed, parts), icv),
            Self::Sha1(keyed) => first_bytes(over(keyed, parts), icv),
            Self::Sha256(keyed) => first_bytes(over(keyed, parts), icv),
            Self::Sha384(keyed) => first_bytes(over(keyed, parts), icv),
            Self::Sha512(keyed) => first_bytes(over(keyed, parts), icv),
        }
    }

    /// Compares in constant time.
    pub(super) fn verify(&self, parts: &[&[u8]], icv: &[u8]) -> Result<(), NotAuthentic> {
        match self {
            Self::Md5(keyed) => over(keyed, parts).verify_truncated_left(icv),
            Self::Sha1(keyed) => over(keyed, parts).verify_truncated_left(icv),
            Self::Sha256(keyed) => over(keyed, parts).verify_truncated_left(icv),
            Self::Sha384(keyed) => over(keyed, parts).verify_truncated_left(icv),
            Self::Sha512(keyed) => over(keyed, parts).verify_truncated_left(icv),
        }
        .map_err(|_| NotAuthentic)
    }
}

fn keyed<M: Mac + KeyInit>(key: &[u8]) -> M {
    <M as KeyInit>::new_from_slice(key).expect("HMAC takes a key of any length")
}

fn over<M: Mac + Clone>(keyed: &M, parts: &[&[u8]]) -> M {
    let mut mac = keyed.clone();
    for part in parts {
        mac.update(part);
    }
    mac
}

fn first_bytes<M: Mac>(mac: M, icv: &mut [u8]) {
    let whole = mac.finalize().into_bytes();
    icv.copy_from_slice(&whole[..icv.len()]);
}
