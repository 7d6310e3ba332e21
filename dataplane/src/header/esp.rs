//! Front of an ESP packet with its explicit IV (RFC 4303, 2; RFC 4106, 3). Trailer and tag are the business of `esp`,
//! since they can be read only after decryption.

use super::be32;
use crate::counter::Counter;
use crate::spi::Spi;

/// SPI and sequence number, in bytes.
pub const HEADER_BYTES: usize = 8;
/// Explicit IV of AES-GCM, in bytes.
pub const IV_BYTES: usize = 8;
/// Pad length and next header at the end of the sealed part, in bytes.
pub const TRAILER_BYTES: usize = 2;
/// Tag of AES-GCM-16, in bytes.
pub const TAG_BYTES: usize = 16;

const FRONT_BYTES: usize = HEADER_BYTES + IV_BYTES;
/// What is sealed is padded to a multiple of this (RFC 4303, 2.4), in bytes.
const ALIGNMENT_BYTES: usize = 4;

/// A received packet.
#[derive(Clone, Copy, Debug)]
pub struct EspView<'a> {
    head: &'a [u8; FRONT_BYTES],
    spi: Spi,
    sealed: &'a [u8],
}

impl<'a> EspView<'a> {
    /// Checks that header, IV, trailer and tag are there, and that the SPI is not a reserved one.
    ///
    /// # Errors
    /// The drop reason: `EspRunt`, `EspMisaligned`, or `EspUnknownSpi` for SPIs 0 to 255.
    pub fn new(packet: &'a [u8]) -> Result<Self, Counter> {
        let (head, sealed) = packet.split_first_chunk::<FRONT_BYTES>().ok_or(Counter::EspRunt)?;
        if sealed.len() < ALIGNMENT_BYTES + TAG_BYTES {
            return Err(Counter::EspRunt);
        }
        if sealed.len() % ALIGNMENT_BYTES != 0 {
            return Err(Counter::EspMisaligned);
        }
        let spi = Spi::new(be32(head, 0)).ok_or(Counter::EspUnknownSpi)?;
        Ok(Self { head, spi, sealed })
    }

    /// The SPI.
    #[must_use]
    pub fn spi(&self) -> Spi {
        self.spi
    }

    /// Lower 32 bits of the sequence number.
    #[must_use]
    pub fn sequence_low(&self) -> u32 {
        be32(self.head, 4)
    }

    /// The explicit IV.
    #[must_use]
    pub fn iv(&self) -> [u8; IV_BYTES] {
        let [.., a, b, c, d, e, f, g, h] = *self.head;
        [a, b, c, d, e, f, g, h]
    }

    /// Ciphertext and tag.
    #[must_use]
    pub fn sealed(&self) -> &'a [u8] {
        self.sealed
    }
}

/// A header to be written; the IV follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Esp {
    /// The SPI.
    pub spi: Spi,
    /// Lower 32 bits of the sequence number.
    pub sequence_low: u32,
}

impl Esp {
    /// Fills the header.
    pub fn write(&self, out: &mut [u8; HEADER_BYTES]) {
        out[..4].copy_from_slice(&self.spi.get().to_be_bytes());
        out[4..].copy_from_slice(&self.sequence_low.to_be_bytes());
    }
}
