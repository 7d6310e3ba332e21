//! What a job needs besides key and payload: additional authenticated data ([`Aad`]) and nonce ([`Nonce`]), put together in registers. Made by the
//! data plane's ESP stages, read by the kernels.

use super::NONCE_BYTES;

/// Additional authenticated data of one packet: 8 bytes without ESN, 12 with it (RFC 4106, section 5); at most 16 are possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aad {
    /// The bytes from the lowest on, zeros behind them: GHASH reads them as one padded block.
    words: Words,
    length: u8,
}

/// The nonce of one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nonce(Words);

/// Sixteen bytes, lowest first, as two integers: an array would be put together in memory and read back at once in another width, for which a CPU
/// waits until the last part has been written (10 cycles a packet).
pub(super) type Words = [u64; 2];

impl Aad {
    /// Takes the bytes as they are authenticated: SPI and sequence number (8 bytes), or SPI and extended sequence number (12).
    /// More than 16 bytes do not compile.
    #[must_use]
    pub fn new<const N: usize>(bytes: &[u8; N]) -> Self {
        const { assert!(N <= 16) };
        let mut padded = [0; 16];
        padded[..N].copy_from_slice(bytes);
        #[expect(clippy::cast_possible_truncation, reason = "N is at most 16, asserted above")]
        Self { words: words(padded), length: N as u8 }
    }

    /// SPI and sequence number (RFC 4106, section 5).
    #[must_use]
    #[inline(always)]
    pub fn esp(spi: [u8; 4], sequence: u32) -> Self {
        let sequence = u64::from(sequence.swap_bytes());
        Self { words: [u64::from(u32::from_le_bytes(spi)) | sequence << 32, 0], length: 8 }
    }

    /// SPI and extended sequence number (RFC 4106, section 5).
    #[must_use]
    #[inline(always)]
    pub fn esp_extended(spi: [u8; 4], sequence: u64) -> Self {
        let sequence = sequence.swap_bytes();
        Self { words: [u64::from(u32::from_le_bytes(spi)) | sequence << 32, sequence >> 32], length: 12 }
    }

    /// `length` of these bytes, behind which are zeros.
    pub(super) fn of_words(words: Words, length: u8) -> Self {
        Self { words, length }
    }

    #[inline(always)]
    pub(super) fn words(&self) -> Words {
        self.words
    }

    /// In bytes.
    #[inline(always)]
    pub(super) fn length(&self) -> u8 {
        self.length
    }

    /// The bytes as given, zeros behind them, and how many were given.
    #[must_use]
    pub fn to_bytes(&self) -> ([u8; 16], usize) {
        (bytes(self.words), usize::from(self.length))
    }
}

impl Nonce {
    /// Salt and IV (RFC 4106, section 4).
    #[must_use]
    #[inline(always)]
    pub fn new(salt: [u8; 4], iv: [u8; 8]) -> Self {
        let iv = u64::from_le_bytes(iv);
        Self([u64::from(u32::from_le_bytes(salt)) | iv << 32, iv >> 32])
    }

    #[inline(always)]
    pub(super) fn words(self) -> Words {
        self.0
    }
}

impl From<[u8; NONCE_BYTES]> for Nonce {
    fn from(bytes: [u8; NONCE_BYTES]) -> Self {
        let mut block = [0; 16];
        block[..NONCE_BYTES].copy_from_slice(&bytes);
        Self(words(block))
    }
}

pub(super) fn words(bytes: [u8; 16]) -> Words {
    let (words, _) = bytes.as_chunks();
    std::array::from_fn(|i| u64::from_le_bytes(words[i]))
}

pub(super) fn bytes([low, high]: Words) -> [u8; 16] {
    (u128::from(high) << 64 | u128::from(low)).to_le_bytes()
}
