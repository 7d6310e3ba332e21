//! Key exchange methods (RFC 7296, 3.4): MODP (RFC 2409, 3526, 5114), ECP (RFC 5903) and Curve25519 (RFC 8031).
//!
//! A [`PrivateValue`] is drawn where the randomness is; its public value and the agreement are slow maths that the caller
//! may run on another thread. Every public value from a peer is checked before it is used.

use std::fmt;

use thiserror::Error;

use crate::secret::Secret;
use crate::wire::GroupId;

use ml_kem::Kem;

mod ecp;

mod ml_kem;

mod modp;

mod primes;

/// A key exchange method that this gateway speaks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Group {
    /// Group 1. Broken.
    Modp768,
    /// Group 2. Weak.
    Modp1024,
    /// Group 5. Weak.
    Modp1536,
    /// Group 14.
    Modp2048,
    /// Group 15.
    Modp3072,
    /// Group 16.
    Modp4096,
    /// Group 24, with a subgroup of 256 bits. Of unknown origin.
    Modp2048Subgroup256,
    /// Group 19, NIST P-256.
    Ecp256,
    /// Group 20, NIST P-384.
    Ecp384,
    /// Group 21, NIST P-521.
    Ecp521,
    /// Group 31, X25519.
    Curve25519,
    /// Method 35, ML-KEM-512 (FIPS 203): beside another group only, as an additional key exchange (RFC 9370).
    MlKem512,
    /// Method 36, ML-KEM-768, likewise.
    MlKem768,
    /// Method 37, ML-KEM-1024, likewise.
    MlKem1024,
}

impl Group {
    /// Every group that can stand alone.
    pub const ALL: [Self; 11] = [
        Self::Modp768,
        Self::Modp1024,
        Self::Modp1536,
        Self::Modp2048,
        Self::Modp3072,
        Self::Modp4096,
        Self::Modp2048Subgroup256,
        Self::Ecp256,
        Self::Ecp384,
        Self::Ecp521,
        Self::Curve25519,
    ];

    /// Its number on the wire.
    pub fn id(self) -> GroupId {
        match self {
            Self::Modp768 => GroupId::MODP_768,
            Self::Modp1024 => GroupId::MODP_1024,
            Self::Modp1536 => GroupId::MODP_1536,
            Self::Modp2048Subgroup256 => GroupId::MODP_2048_256,
            Self::Modp2048 => GroupId::MODP_2048,
            Self::Modp3072 => GroupId::MODP_3072,
            Self::Modp4096 => GroupId::MODP_4096,
            Self::Ecp256 => GroupId::ECP_256,
            Self::Ecp384 => GroupId::ECP_384,
            Self::Ecp521 => GroupId::ECP_521,
            Self::Curve25519 => GroupId::CURVE25519,
            Self::MlKem512 => GroupId::ML_KEM_512,
            Self::MlKem768 => GroupId::ML_KEM_768,
            Self::MlKem1024 => GroupId::ML_KEM_1024,
        }
    }

    /// The group with that number, if we speak it and it can stand alone.
    pub fn from_id(id: GroupId) -> Option<Self> {
        Self::ALL.into_iter().find(|group| group.id() == id)
    }

    /// Exact length of a public value in bytes: MODP values are padded to their prime (RFC 7296, 3.4), ECP values are
    /// x and y (RFC 5903, 7), Curve25519 values are u (RFC 8031, 3.1). For ML-KEM it is the initiator's; the responder's ciphertext has its own length.
    pub fn public_bytes(self) -> usize {
        match self {
            Self::Modp768 => 96,
            Self::Modp1024 => 128,
            Self::Modp1536 => 192,
            Self::Modp2048 | Self::Modp2048Subgroup256 => 256,
            Self::Modp3072 => 384,
            Self::Modp4096 => 512,
            Self::Ecp256 => 64,
            Self::Ecp384 => 96,
            Self::Ecp521 => 132,
            Self::Curve25519 => 32,
            Self::MlKem512 => Kem::MlKem512.key_bytes(),
            Self::MlKem768 => Kem::MlKem768.key_bytes(),
            Self::MlKem1024 => Kem::MlKem1024.key_bytes(),
        }
    }

    /// Exact length of what the responder answers with.
    fn answer_bytes(self) -> usize {
        match self {
            Self::MlKem512 => Kem::MlKem512.ciphertext_bytes(),
            Self::MlKem768 => Kem::MlKem768.ciphertext_bytes(),
            Self::MlKem1024 => Kem::MlKem1024.ciphertext_bytes(),
            _ => self.public_bytes(),
        }
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.id(), f)
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.id(), f)
    }
}

/// The peer's public value cannot be used: its fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum KexError {
    /// Not as long as the group's values are.
    #[error("a public value of {group} has {expected} bytes, this one has {got}")]
    Length {
        /// The group.
        group: Group,
        /// Bytes that it takes.
        expected: usize,
        /// Bytes that came.
        got: usize,
    },
    /// 0, 1, p - 1 or above for MODP (RFC 6989, 2.1), or outside the subgroup where there is one (RFC 6989, 2.2); a point that is not on the curve (RFC 6989, 2.3).
    #[error("the public value is not an element of {group}")]
    NotInGroup {
        /// The group.
        group: Group,
    },
    /// The agreement gave zero: a value of small order (RFC 8031, 5).
    #[error("the agreement in {group} gave nothing but zeros")]
    AllZero {
        /// The group.
        group: Group,
    },
}

/// Our half of one key exchange. Used for one agreement only: [`PrivateValue::agree`] consumes it.
pub struct PrivateValue {
    group: Group,
    value: Value,
}

enum Value {
    Modp(Secret<Vec<u8>>),
    Ecp256(p256::SecretKey),
    Ecp384(p384::SecretKey),
    Ecp521(p521::SecretKey),
    Curve25519(Box<x25519_dalek::StaticSecret>),
    MlKem(Kem, Secret<Vec<u8>>),
}

impl PrivateValue {
    /// Draws a private value; quick. `random` fills its argument from a cryptographically secure generator.
    pub fn draw(group: Group, random: &mut dyn FnMut(&mut [u8])) -> Self {
        let value = match group {
            Group::Modp768
            | Group::Modp1024
            | Group::Modp1536
            | Group::Modp2048
            | Group::Modp3072
            | Group::Modp4096
            | Group::Modp2048Subgroup256 => Value::Modp(modp::draw(group, random)),
            Group::Ecp256 => Value::Ecp256(ecp::draw(random, 0xff)),
            Group::Ecp384 => Value::Ecp384(ecp::draw(random, 0xff)),
            Group::Ecp521 => Value::Ecp521(ecp::draw(random, 0x01)),
            Group::Curve25519 => {
                let mut bytes = zeroize::Zeroizing::new([0; 32]);
                random(bytes.as_mut_slice());
                Value::Curve25519(Box::new(x25519_dalek::StaticSecret::from(*bytes)))
            }
            Group::MlKem512 => Value::MlKem(Kem::MlKem512, ml_kem::draw(random)),
            Group::MlKem768 => Value::MlKem(Kem::MlKem768, ml_kem::draw(random)),
            Group::MlKem1024 => Value::MlKem(Kem::MlKem1024, ml_kem::draw(random)),
        };
        Self { group, value }
    }

    /// The group.
    pub fn group(&self) -> Group {
        self.group
    }

    /// What the KE payload carries; slow.
    pub fn public_value(&self) -> Vec<u8> {
        match &self.value {
            Value::Modp(exponent) => modp::public_value(self.group, exponent),
            Value::Ecp256(key) => ecp::public_value(key),
            Value::Ecp384(key) => ecp::public_value(key),
            Value::Ecp521(key) => ecp::public_value(key),
            Value::Curve25519(secret) => x25519_dalek::PublicKey::from(secret.as_ref()).to_bytes().to_vec(),
            Value::MlKem(kem, seed) => kem.encapsulation_key(seed),
        }
    }

    /// What the responder answers to an initiator's public value, and the shared secret; slow.
    ///
    /// # Errors
    /// [`KexError`] when the value is not one of the group.
    pub fn answer(self, peer: &[u8]) -> Result<(Vec<u8>, Secret<Vec<u8>>), KexError> {
        if let Value::MlKem(kem, seed) = &self.value {
            let (group, expected) = (self.group, self.group.public_bytes());
            if peer.len() != expected {
                return Err(KexError::Length { group, expected, got: peer.len() });
            }
            return kem.encapsulate(seed, peer).ok_or(KexError::NotInGroup { group });
        }
        let public = self.public_value();
        self.agree(peer).map(|shared| (public, shared))
    }

    /// The shared secret g^ir with what the peer sent, the responder's if it is ML-KEM; slow. As long as the group says, zeros in front included.
    ///
    /// # Errors
    /// [`KexError`] when the value is not one of the group.
    pub fn agree(self, peer: &[u8]) -> Result<Secret<Vec<u8>>, KexError> {
        let (group, expected) = (self.group, self.group.answer_bytes());
        if peer.len() != expected {
            return Err(KexError::Length { group, expected, got: peer.len() });
        }
        let shared = match &self.value {
            Value::Modp(exponent) => modp::agree(group, exponent, peer),
            Value::Ecp256(key) => ecp::agree(key, peer),
            Value::Ecp384(key) => ecp::agree(key, peer),
            Value::Ecp521(key) => ecp::agree(key, peer),
            Value::Curve25519(secret) => return curve25519(secret, peer),
            Value::MlKem(kem, seed) => kem.decapsulate(seed, peer),
        };
        shared.ok_or(KexError::NotInGroup { group })
    }
}

impl fmt::Debug for PrivateValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateValue({})", self.group)
    }
}

fn curve25519(secret: &x25519_dalek::StaticSecret, peer: &[u8]) -> Result<Secret<Vec<u8>>, KexError> {
    let group = Group::Curve25519;
    let peer: [u8; 32] = peer.try_into().map_err(|_| KexError::NotInGroup { group })?;
    let shared = secret.diffie_hellman(&x25519_dalek::PublicKey::from(peer));
    if !shared.was_contributory() {
        return Err(KexError::AllZero { group });
    }
    Ok(Secret::from(shared.as_bytes().as_slice()))
}

#[cfg(test)]
mod tests;
