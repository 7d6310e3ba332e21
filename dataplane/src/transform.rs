//! Every ESP transform but AES-GCM: the names, what each adds to a packet, and sealing and opening one packet at a time. AES-GCM has kernels for whole
//! bursts ([`crate::gcm`]); the transforms here serve peers that have nothing better, with the arithmetic of well-known crates.
//!
//! | transform | IV | padded to | ICV | defined by |
//! | --- | --- | --- | --- | --- |
//! | ChaCha20-Poly1305 | 8, the sequence number | 4 | 16 | RFC 7634 |
//! | AES-CBC | 16 | 16 | of the integrity algorithm | RFC 3602 |
//! | triple DES, DES in CBC mode | 8 | 8 | of the integrity algorithm | RFC 2451, RFC 2405 |
//! | NULL | none | 4 | of the integrity algorithm | RFC 2410 |
//!
//! Integrity beside a cipher: HMAC-MD5-96 (RFC 2403), HMAC-SHA-1-96 (RFC 2404), HMAC-SHA-256-128, -384-192 and -512-256 (RFC 4868). It covers header,
//! IV and ciphertext, and under ESN the upper half of the sequence number behind them (RFC 4303, 2.2.1 and 3.3.2.1). What arrives is decrypted only
//! if its ICV, compared in constant time, is right (3.4.4.1).
//!
//! [`Sealer`] and [`Opener`] are made by the control thread; the seal and open stages call them, and nothing here allocates after that.

mod cipher;
mod integrity;

use std::fmt;

use aes::Aes128Enc;
use aes::cipher::{Array, BlockCipherEncrypt, KeyInit};
use chacha20poly1305::ChaCha20Poly1305;
use chacha20poly1305::aead::AeadInOut;

use crate::counter::Counter;
use crate::header::esp::{HEADER_BYTES, TRAILER_BYTES};
use crate::sa::Esn;
use cipher::{Decryptor, Encryptor};
use integrity::Hmac;

/// What protects the packets of an SA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transform {
    /// ChaCha20-Poly1305 (RFC 7634): encryption and integrity in one.
    ChaCha20Poly1305,
    /// A cipher, or none, and an integrity algorithm beside it (RFC 4303, 3.3.2.1).
    Separate(Cipher, Integrity),
}

/// A cipher that has no integrity of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cipher {
    /// AES-CBC with a 128-bit key (RFC 3602).
    AesCbc128,
    /// AES-CBC with a 192-bit key.
    AesCbc192,
    /// AES-CBC with a 256-bit key.
    AesCbc256,
    /// Triple DES in CBC mode (RFC 2451). Weak: 64-bit blocks.
    TripleDesCbc,
    /// DES in CBC mode (RFC 2405). Broken: 56-bit keys.
    DesCbc,
    /// No encryption (RFC 2410).
    Null,
}

/// An integrity algorithm; its key is as long as the hash (RFC 4868, 2.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Integrity {
    /// HMAC-MD5, first 12 bytes (RFC 2403). Broken hash.
    HmacMd5_96,
    /// HMAC-SHA-1, first 12 bytes (RFC 2404). Weak.
    HmacSha1_96,
    /// HMAC-SHA-256, first 16 bytes (RFC 4868).
    HmacSha2_256_128,
    /// HMAC-SHA-384, first 24 bytes (RFC 4868).
    HmacSha2_384_192,
    /// HMAC-SHA-512, first 32 bytes (RFC 4868).
    HmacSha2_512_256,
}

/// What a transform adds to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The explicit IV behind the ESP header, in bytes.
    pub iv_bytes: u8,
    /// What is sealed (inner packet, padding, trailer) fills a multiple of this, a power of two.
    pub block_bytes: u8,
    /// The integrity check value at the end, in bytes.
    pub icv_bytes: u8,
}

/// The keying material has another length than the transform's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{transform:?} takes {} bytes of keying material, not {bytes}", transform.key_bytes())]
pub struct MaterialError {
    /// The transform.
    pub transform: Transform,
    /// The length that was given, in bytes.
    pub bytes: usize,
}

/// The packet is forged, damaged, or under another key. Nothing of it was decrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAuthentic;

/// Keys for sealing, zeroized on drop.
pub struct Sealer {
    shape: Shape,
    keys: SealKeys,
}

/// Keys for opening, zeroized on drop.
pub struct Opener {
    shape: Shape,
    keys: OpenKeys,
}

#[expect(clippy::large_enum_variant, reason = "a sealer is made once and stands behind a pointer")]
enum SealKeys {
    ChaCha(ChaCha20Poly1305, Salt),
    Separate { encryptor: Encryptor, ivs: Aes128Enc, hmac: Hmac },
}

#[expect(clippy::large_enum_variant, reason = "an opener is made once and stands behind a pointer")]
enum OpenKeys {
    ChaCha(ChaCha20Poly1305, Salt),
    Separate { decryptor: Decryptor, hmac: Hmac },
}

impl Transform {
    /// Length of the keying material of one direction in bytes: the cipher's key (and salt) first, then that of the integrity algorithm (RFC 7296, 2.17).
    #[must_use]
    pub fn key_bytes(self) -> usize {
        match self {
            Self::ChaCha20Poly1305 => CHACHA20_KEY_BYTES + SALT_BYTES,
            Self::Separate(cipher, integrity) => cipher.key_bytes() + integrity.key_bytes(),
        }
    }

    /// What it adds to a packet.
    #[must_use]
    pub fn shape(self) -> Shape {
        match self {
            Self::ChaCha20Poly1305 => Shape { iv_bytes: 8, block_bytes: 4, icv_bytes: 16 },
            Self::Separate(cipher, integrity) => {
                let (iv_bytes, block_bytes) = match cipher {
                    Cipher::AesCbc128 | Cipher::AesCbc192 | Cipher::AesCbc256 => (16, 16),
                    Cipher::TripleDesCbc | Cipher::DesCbc => (8, 8),
                    Cipher::Null => (0, 4),
                };
                Shape { iv_bytes, block_bytes, icv_bytes: integrity.icv_bytes() }
            }
        }
    }

    /// The cipher's share of the material and the integrity algorithm's.
    fn cut(self, material: &[u8]) -> Result<(&[u8], &[u8]), MaterialError> {
        let cipher_bytes = match self {
            Self::ChaCha20Poly1305 => CHACHA20_KEY_BYTES,
            Self::Separate(cipher, _) => cipher.key_bytes(),
        };
        let parts = material.split_at_checked(cipher_bytes).filter(|_| material.len() == self.key_bytes());
        parts.ok_or(MaterialError { transform: self, bytes: material.len() })
    }
}

impl Cipher {
    fn key_bytes(self) -> usize {
        match self {
            Self::AesCbc128 => 16,
            Self::AesCbc192 | Self::TripleDesCbc => 24,
            Self::AesCbc256 => 32,
            Self::DesCbc => 8,
            Self::Null => 0,
        }
    }
}

impl Integrity {
    fn key_bytes(self) -> usize {
        match self {
            Self::HmacMd5_96 => 16,
            Self::HmacSha1_96 => 20,
            Self::HmacSha2_256_128 => 32,
            Self::HmacSha2_384_192 => 48,
            Self::HmacSha2_512_256 => 64,
        }
    }

    fn icv_bytes(self) -> u8 {
        match self {
            Self::HmacMd5_96 | Self::HmacSha1_96 => 12,
            Self::HmacSha2_256_128 => 16,
            Self::HmacSha2_384_192 => 24,
            Self::HmacSha2_512_256 => 32,
        }
    }
}

impl Shape {
    /// AES-GCM's with a 16-byte ICV (RFC 4106).
    pub const AES_GCM: Self = Self { iv_bytes: 8, block_bytes: 4, icv_bytes: 16 };

    /// ESP header and IV, in bytes.
    #[inline]
    #[must_use]
    pub const fn front_bytes(self) -> usize {
        HEADER_BYTES + self.iv_bytes as usize
    }

    /// Bytes of inner packet, padding and trailer, for an inner packet of `inner_bytes`.
    #[inline]
    #[must_use]
    pub const fn payload_bytes(self, inner_bytes: usize) -> usize {
        (inner_bytes + TRAILER_BYTES).next_multiple_of(self.block_bytes as usize)
    }

    /// Checks that so many bytes behind the ESP header hold IV, trailer and ICV, and that what is sealed fills whole blocks.
    ///
    /// # Errors
    /// The drop reason: `EspRunt` or `EspMisaligned`.
    #[inline]
    pub(crate) fn holds(self, rest_bytes: usize) -> Result<(), Counter> {
        let block_bytes = usize::from(self.block_bytes);
        match rest_bytes.checked_sub(usize::from(self.iv_bytes) + usize::from(self.icv_bytes)) {
            Some(sealed_bytes) if sealed_bytes >= block_bytes => {
                // A power of two.
                if sealed_bytes & (block_bytes - 1) == 0 { Ok(()) } else { Err(Counter::EspMisaligned) }
            }
            _ => Err(Counter::EspRunt),
        }
    }

    /// Splits a whole ESP packet. `None`: it is too short, or its payload is no multiple of the block.
    fn split(self, packet: &mut [u8]) -> Option<Parts<'_>> {
        let (header, rest) = packet.split_first_chunk_mut::<HEADER_BYTES>()?;
        let (iv, rest) = rest.split_at_mut_checked(usize::from(self.iv_bytes))?;
        let payload_bytes = rest.len().checked_sub(usize::from(self.icv_bytes))?;
        let block_bytes = usize::from(self.block_bytes);
        if payload_bytes < block_bytes || !payload_bytes.is_multiple_of(block_bytes) {
            return None;
        }
        let (payload, icv) = rest.split_at_mut(payload_bytes);
        Some(Parts { header, iv, payload, icv })
    }
}

/// An ESP packet (RFC 4303, 2).
struct Parts<'a> {
    header: &'a mut [u8; HEADER_BYTES],
    iv: &'a mut [u8],
    payload: &'a mut [u8],
    icv: &'a mut [u8],
}

impl Sealer {
    /// Expands the keys. `iv_key` is drawn at random for each SA: IVs of a CBC mode must not be foreseen (RFC 3602, 3), so they are the sequence numbers
    /// encrypted under a key that serves nothing else (NIST SP 800-38A, appendix C). Other transforms do not use it.
    ///
    /// # Errors
    /// [`MaterialError`] unless `material` has [`Transform::key_bytes`].
    pub fn new(transform: Transform, material: &[u8], iv_key: &[u8; 16]) -> Result<Self, MaterialError> {
        let error = MaterialError { transform, bytes: material.len() };
        let (first, second) = transform.cut(material)?;
        let keys = match transform {
            Transform::ChaCha20Poly1305 => {
                let (cipher, salt) = chacha(first, second).ok_or(error)?;
                SealKeys::ChaCha(cipher, salt)
            }
            Transform::Separate(cipher, integrity) => SealKeys::Separate {
                encryptor: Encryptor::new(cipher, first).ok_or(error)?,
                ivs: Aes128Enc::new(&Array::from(*iv_key)),
                hmac: Hmac::new(integrity, second),
            },
        };
        Ok(Self { shape: transform.shape(), keys })
    }

    /// What it adds to a packet.
    #[must_use]
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Seals a whole ESP packet in place: header and padded payload are there, IV and ICV are written.
    ///
    /// The caller answers for sequence numbers that never repeat.
    ///
    /// # Panics
    /// If the packet does not have the transform's shape: nothing may leave unsealed.
    pub fn seal(&self, packet: &mut [u8], sequence: u64, esn: Esn) {
        let Parts { header, iv, payload, icv } =
            self.shape.split(packet).expect("an encapsulated packet has its SA's shape");
        match &self.keys {
            SealKeys::ChaCha(cipher, salt) => {
                iv.copy_from_slice(&sequence.to_be_bytes());
                let (aad, aad_bytes) = aad(header, sequence, esn);
                let tag = cipher
                    .encrypt_inout_detached(&nonce(*salt, iv), &aad[..aad_bytes], payload.into())
                    .expect("a packet is shorter than 256 GiB");
                icv.copy_from_slice(&tag);
            }
            SealKeys::Separate { encryptor, ivs, hmac } => {
                let mut block = Array::from(u128::from(sequence).to_be_bytes());
                ivs.encrypt_block(&mut block);
                iv.copy_from_slice(&block[..iv.len()]);
                encryptor.encrypt(iv, payload);
                hmac.sign(&[header, iv, payload, &upper_half(sequence)[..esn_bytes(esn)]], icv);
            }
        }
    }
}

impl Opener {
    /// Expands the keys.
    ///
    /// # Errors
    /// [`MaterialError`] unless `material` has [`Transform::key_bytes`].
    pub fn new(transform: Transform, material: &[u8]) -> Result<Self, MaterialError> {
        let error = MaterialError { transform, bytes: material.len() };
        let (first, second) = transform.cut(material)?;
        let keys = match transform {
            Transform::ChaCha20Poly1305 => {
                let (cipher, salt) = chacha(first, second).ok_or(error)?;
                OpenKeys::ChaCha(cipher, salt)
            }
            Transform::Separate(cipher, integrity) => OpenKeys::Separate {
                decryptor: Decryptor::new(cipher, first).ok_or(error)?,
                hmac: Hmac::new(integrity, second),
            },
        };
        Ok(Self { shape: transform.shape(), keys })
    }

    /// What it takes off a packet.
    #[must_use]
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Opens a whole ESP packet in place: its ICV first, and only if that is right, the payload is decrypted. `sequence` is the whole number, of which
    /// the packet holds the lower half.
    ///
    /// # Errors
    /// [`NotAuthentic`]; the packet is then as it came.
    pub fn open(&self, packet: &mut [u8], sequence: u64, esn: Esn) -> Result<(), NotAuthentic> {
        let Parts { header, iv, payload, icv } = self.shape.split(packet).ok_or(NotAuthentic)?;
        match &self.keys {
            OpenKeys::ChaCha(cipher, salt) => {
                let (aad, aad_bytes) = aad(header, sequence, esn);
                let tag = chacha20poly1305::Tag::try_from(&*icv).map_err(|_| NotAuthentic)?;
                cipher
                    .decrypt_inout_detached(&nonce(*salt, iv), &aad[..aad_bytes], payload.into(), &tag)
                    .map_err(|_| NotAuthentic)
            }
            OpenKeys::Separate { decryptor, hmac } => {
                hmac.verify(&[header, iv, payload, &upper_half(sequence)[..esn_bytes(esn)]], icv)?;
                decryptor.decrypt(iv, payload);
                Ok(())
            }
        }
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("shape", &self.shape).finish_non_exhaustive()
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener").field("shape", &self.shape).finish_non_exhaustive()
    }
}

fn chacha(key: &[u8], salt: &[u8]) -> Option<(ChaCha20Poly1305, Salt)> {
    Some((ChaCha20Poly1305::new_from_slice(key).ok()?, *salt.first_chunk()?))
}

/// Salt and IV (RFC 7634, 2).
fn nonce(salt: Salt, iv: &[u8]) -> chacha20poly1305::Nonce {
    let mut nonce = chacha20poly1305::Nonce::default();
    nonce[..SALT_BYTES].copy_from_slice(&salt);
    nonce[SALT_BYTES..].copy_from_slice(iv);
    nonce
}

/// SPI and sequence number, of which 64 bits under ESN (RFC 7634, 2.1); and how many bytes that are.
fn aad(header: &[u8; HEADER_BYTES], sequence: u64, esn: Esn) -> ([u8; 12], usize) {
    let [a, b, c, d, low @ ..] = *header;
    let [e, f, g, h] = upper_half(sequence);
    let [i, j, k, l] = low;
    match esn {
        Esn::On => ([a, b, c, d, e, f, g, h, i, j, k, l], 12),
        Esn::Off => ([a, b, c, d, i, j, k, l, 0, 0, 0, 0], 8),
    }
}

/// The half of the sequence number that is not sent.
fn upper_half(sequence: u64) -> [u8; 4] {
    let [a, b, c, d, ..] = sequence.to_be_bytes();
    [a, b, c, d]
}

/// How many of these bytes an HMAC covers.
fn esn_bytes(esn: Esn) -> usize {
    match esn {
        Esn::On => 4,
        Esn::Off => 0,
    }
}

/// The first four bytes of a ChaCha20 nonce; they end the keying material (RFC 7634, 2).
type Salt = [u8; SALT_BYTES];
const SALT_BYTES: usize = 4;
const CHACHA20_KEY_BYTES: usize = 32;

#[cfg(test)]
mod tests;
