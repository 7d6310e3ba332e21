//! The algorithms this gateway speaks, their transforms (RFC 7296, 3.3), and choosing among what a peer offers.
//!
//! A suite is complete: whatever has one needs no "unless" later on. Preferences are lists of suites, best first; the
//! configuration builds them, `exchange` and `child` hand them to the functions of [`negotiate`].

use std::fmt;

use crate::wire::{EncryptionId, EsnId, IntegrityId, Transform, TransformType};

pub mod negotiate;

pub use super::kex::Group;
pub use super::prf::Prf;
pub use negotiate::{
    EspChoice, IkeChoice, NotOurs, accept_esp, accept_ike, accept_ike_mixed, choose_esp, choose_ike,
    choose_ike_mixed, esp_proposals, ike_proposals, offer_ike,
};

/// Everything negotiated for an IKE SA.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct IkeSuite {
    /// Protects the messages.
    pub cipher: IkeCipher,
    /// Derives keys and computes AUTH.
    pub prf: Prf,
    /// Agrees on the secret.
    pub group: Group,
}

/// How messages of an IKE SA are protected.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum IkeCipher {
    /// AES-GCM with a 16-byte tag (RFC 5282): no integrity algorithm beside it.
    AesGcm16(KeyBits),
    /// AES-CBC and then HMAC over the whole message (RFC 3602; RFC 4868).
    AesCbc(KeyBits, Integrity),
    /// Triple DES in CBC mode (RFC 2451), with HMAC. Weak: 64-bit blocks.
    TripleDesCbc(Integrity),
    /// DES in CBC mode (RFC 2405), with HMAC. Broken: 56-bit keys.
    DesCbc(Integrity),
}

/// How packets of a Child SA are protected. What a data plane cannot do must not stand in a policy.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum EspSuite {
    /// AES-GCM with a 16-byte tag (RFC 4106).
    AesGcm16(KeyBits),
    /// ChaCha20-Poly1305 (RFC 7634).
    ChaCha20Poly1305,
    /// AES-CBC (RFC 3602) with HMAC.
    AesCbc(KeyBits, Integrity),
    /// Triple DES in CBC mode (RFC 2451) with HMAC. Weak: 64-bit blocks.
    TripleDesCbc(Integrity),
    /// DES in CBC mode (RFC 2405) with HMAC. Broken: 56-bit keys.
    DesCbc(Integrity),
    /// No encryption (RFC 2410), integrity alone.
    Null(Integrity),
}

/// Length of an AES key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KeyBits {
    /// AES-128.
    B128,
    /// AES-192.
    B192,
    /// AES-256.
    B256,
}

/// Integrity algorithm beside a cipher that has none of its own (RFC 4868; RFC 2403, 2404).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Integrity {
    /// HMAC-MD5, first 12 bytes. Weak.
    HmacMd5_96,
    /// HMAC-SHA-1, first 12 bytes. Weak.
    HmacSha1_96,
    /// HMAC-SHA-256, first 16 bytes.
    HmacSha2_256_128,
    /// HMAC-SHA-384, first 24 bytes.
    HmacSha2_384_192,
    /// HMAC-SHA-512, first 32 bytes.
    HmacSha2_512_256,
}

/// Whether sequence numbers of ESP have 64 bits (RFC 4303, 2.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Esn {
    /// 64 bits.
    On,
    /// 32 bits.
    Off,
}

/// Bytes of the salt that follows an AES-GCM key in the keying material (RFC 5282, 7.1; RFC 4106, 8.1).
pub const GCM_SALT_BYTES: usize = 4;
/// Bytes of a ChaCha20 key and the salt that follows it (RFC 7634, 2).
const CHACHA20_KEY_BYTES: usize = 32 + 4;
/// Bytes of a DES key, parity bits included (RFC 2405, 2.2).
const DES_KEY_BYTES: usize = 8;
/// Bytes of a triple DES key: three DES keys (RFC 2451, 2.2).
const TRIPLE_DES_KEY_BYTES: usize = 3 * DES_KEY_BYTES;

impl KeyBits {
    /// As in the Key Length attribute.
    pub fn bits(self) -> u16 {
        match self {
            Self::B128 => 128,
            Self::B192 => 192,
            Self::B256 => 256,
        }
    }

    /// Length of the key in bytes.
    pub fn bytes(self) -> usize {
        usize::from(self.bits() / 8)
    }
}

impl Integrity {
    /// Its number on the wire.
    pub fn id(self) -> IntegrityId {
        match self {
            Self::HmacMd5_96 => IntegrityId::HMAC_MD5_96,
            Self::HmacSha1_96 => IntegrityId::HMAC_SHA1_96,
            Self::HmacSha2_256_128 => IntegrityId::HMAC_SHA2_256_128,
            Self::HmacSha2_384_192 => IntegrityId::HMAC_SHA2_384_192,
            Self::HmacSha2_512_256 => IntegrityId::HMAC_SHA2_512_256,
        }
    }

    /// The HMAC that it truncates; its key is as long as that HMAC's output (RFC 4868, 2.1.1).
    pub fn prf(self) -> Prf {
        match self {
            Self::HmacMd5_96 => Prf::HmacMd5,
            Self::HmacSha1_96 => Prf::HmacSha1,
            Self::HmacSha2_256_128 => Prf::HmacSha2_256,
            Self::HmacSha2_384_192 => Prf::HmacSha2_384,
            Self::HmacSha2_512_256 => Prf::HmacSha2_512,
        }
    }

    /// Length of the integrity check value: 96 bits (RFC 2403, 2404), or half of the HMAC (RFC 4868).
    pub fn icv_bytes(self) -> usize {
        match self {
            Self::HmacMd5_96 | Self::HmacSha1_96 => 12,
            Self::HmacSha2_256_128 | Self::HmacSha2_384_192 | Self::HmacSha2_512_256 => {
                self.prf().output_bytes() / 2
            }
        }
    }

    /// Length of its key: that of the HMAC's output.
    pub fn key_bytes(self) -> usize {
        self.prf().output_bytes()
    }
}

impl IkeCipher {
    /// Length of SK_ei and SK_er: the key, and for AES-GCM its salt.
    pub fn encryption_key_bytes(self) -> usize {
        match self {
            Self::AesGcm16(bits) => bits.bytes() + GCM_SALT_BYTES,
            Self::AesCbc(bits, _) => bits.bytes(),
            Self::TripleDesCbc(_) => TRIPLE_DES_KEY_BYTES,
            Self::DesCbc(_) => DES_KEY_BYTES,
        }
    }

    /// Length of SK_ai and SK_ar: none for AES-GCM.
    pub fn integrity_key_bytes(self) -> usize {
        self.integrity().map_or(0, Integrity::key_bytes)
    }

    /// The integrity algorithm beside it: none for AES-GCM.
    pub fn integrity(self) -> Option<Integrity> {
        match self {
            Self::AesGcm16(_) => None,
            Self::AesCbc(_, integrity) | Self::TripleDesCbc(integrity) | Self::DesCbc(integrity) => {
                Some(integrity)
            }
        }
    }

    fn transforms(self) -> Vec<Transform> {
        let cipher = match self {
            Self::AesGcm16(bits) => encryption(EncryptionId::AES_GCM_16, bits),
            Self::AesCbc(bits, _) => encryption(EncryptionId::AES_CBC, bits),
            Self::TripleDesCbc(_) => Transform::new(TransformType::ENCR, EncryptionId::TRIPLE_DES.0),
            Self::DesCbc(_) => Transform::new(TransformType::ENCR, EncryptionId::DES.0),
        };
        with_integrity(cipher, self.integrity())
    }
}

impl IkeSuite {
    /// One transform of each kind, in the order of their numbers.
    pub fn transforms(&self) -> Vec<Transform> {
        let mut transforms = self.cipher.transforms();
        transforms.push(Transform::new(TransformType::PRF, self.prf.id().0));
        transforms.push(Transform::new(TransformType::DH, self.group.id().0));
        transforms.sort_by_key(|transform| transform.kind);
        transforms
    }
}

/// Bytes under one key of a cipher with 64-bit blocks: 2^27 of them, among which two are alike once in two thousand times.
const SHORT_BLOCK_BYTES: u64 = 1 << 30;

impl EspSuite {
    /// Length of the keying material of one direction: the cipher's key with its salt, then the integrity key (RFC 7296, 2.17).
    pub fn key_bytes(self) -> usize {
        self.encryption_key_bytes() + self.integrity().map_or(0, Integrity::key_bytes)
    }

    /// Length of the cipher's share, which comes first: the key and, for combined modes, its salt.
    pub fn encryption_key_bytes(self) -> usize {
        match self {
            Self::AesGcm16(bits) => bits.bytes() + GCM_SALT_BYTES,
            Self::ChaCha20Poly1305 => CHACHA20_KEY_BYTES,
            Self::AesCbc(bits, _) => bits.bytes(),
            Self::TripleDesCbc(_) => TRIPLE_DES_KEY_BYTES,
            Self::DesCbc(_) => DES_KEY_BYTES,
            Self::Null(_) => 0,
        }
    }

    /// The integrity algorithm beside the cipher: none for combined modes.
    pub fn integrity(self) -> Option<Integrity> {
        match self {
            Self::AesGcm16(_) | Self::ChaCha20Poly1305 => None,
            Self::AesCbc(_, integrity)
            | Self::TripleDesCbc(integrity)
            | Self::DesCbc(integrity)
            | Self::Null(integrity) => Some(integrity),
        }
    }

    /// Bytes that one key may protect. Blocks of 64 bits begin to repeat after 2^32 of them, and then give plaintext away (RFC 7296 leaves it
    /// open; Bhargavan and Leurent, "Sweet32", 2016): far fewer are sent.
    pub fn most_bytes(self) -> u64 {
        match self {
            Self::TripleDesCbc(_) | Self::DesCbc(_) => SHORT_BLOCK_BYTES,
            Self::AesGcm16(_) | Self::ChaCha20Poly1305 | Self::AesCbc(..) | Self::Null(_) => u64::MAX,
        }
    }

    fn transforms(self) -> Vec<Transform> {
        let plain = |id: EncryptionId| Transform::new(TransformType::ENCR, id.0);
        let cipher = match self {
            Self::AesGcm16(bits) => encryption(EncryptionId::AES_GCM_16, bits),
            Self::ChaCha20Poly1305 => plain(EncryptionId::CHACHA20_POLY1305),
            Self::AesCbc(bits, _) => encryption(EncryptionId::AES_CBC, bits),
            Self::TripleDesCbc(_) => plain(EncryptionId::TRIPLE_DES),
            Self::DesCbc(_) => plain(EncryptionId::DES),
            Self::Null(_) => plain(EncryptionId::NULL),
        };
        with_integrity(cipher, self.integrity())
    }
}

fn with_integrity(cipher: Transform, integrity: Option<Integrity>) -> Vec<Transform> {
    let integrity = integrity.map(|integrity| Transform::new(TransformType::INTEG, integrity.id().0));
    [cipher].into_iter().chain(integrity).collect()
}

impl Esn {
    /// Its number on the wire.
    pub fn id(self) -> EsnId {
        match self {
            Self::On => EsnId::ESN,
            Self::Off => EsnId::NO_ESN,
        }
    }
}

fn encryption(id: EncryptionId, bits: KeyBits) -> Transform {
    Transform::with_key_bits(TransformType::ENCR, id.0, bits.bits())
}

impl fmt::Display for IkeCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AesGcm16(bits) => write!(f, "AES_GCM_16_{}", bits.bits()),
            Self::AesCbc(bits, integrity) => write!(f, "AES_CBC_{}/{}", bits.bits(), integrity.id()),
            Self::TripleDesCbc(integrity) => write!(f, "3DES_CBC/{}", integrity.id()),
            Self::DesCbc(integrity) => write!(f, "DES_CBC/{}", integrity.id()),
        }
    }
}

impl fmt::Display for EspSuite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AesGcm16(bits) => write!(f, "AES_GCM_16_{}", bits.bits()),
            Self::ChaCha20Poly1305 => f.write_str("CHACHA20_POLY1305"),
            Self::AesCbc(bits, integrity) => write!(f, "AES_CBC_{}/{}", bits.bits(), integrity.id()),
            Self::TripleDesCbc(integrity) => write!(f, "3DES_CBC/{}", integrity.id()),
            Self::DesCbc(integrity) => write!(f, "DES_CBC/{}", integrity.id()),
            Self::Null(integrity) => write!(f, "NULL/{}", integrity.id()),
        }
    }
}

impl fmt::Display for IkeSuite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/PRF_{}/{}", self.cipher, self.prf.id(), self.group.id())
    }
}

impl fmt::Debug for IkeCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for EspSuite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for IkeSuite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Integrity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.id(), f)
    }
}
