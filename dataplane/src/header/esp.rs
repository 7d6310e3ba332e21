//! Front of an ESP packet (RFC 4303, 2). What follows the header depends on the SA's transform ([`crate::transform::Shape`]); trailer and ICV are the
//! business of `esp`, since they can be read only after decryption.

use super::be32;
use crate::counter::Counter;
use crate::spi::Spi;

/// SPI and sequence number, in bytes.
pub const HEADER_BYTES: usize = 8;
/// Explicit IV of AES-GCM (RFC 4106, 3), in bytes.
pub const IV_BYTES: usize = 8;
/// Pad length and next header at the end of the sealed part, in bytes.
pub const TRAILER_BYTES: usize = 2;
/// Tag of AES-GCM-16, in bytes.
pub const TAG_BYTES: usize = 16;

/// A received packet.
#[derive(Clone, Copy, Debug)]
pub struct EspView<'a> {
    head: &'a [u8; HEADER_BYTES],
    spi: Spi,
    rest: &'a [u8],
}

impl<'a> EspView<'a> {
    /// Checks that the header is there, and that the SPI is not a reserved one.
    ///
    /// # Errors
    /// The drop reason: `EspRunt`, or `EspUnknownSpi` for SPIs 0 to 255.
    pub fn new(packet: &'a [u8]) -> Result<Self, Counter> {
        let (head, rest) = packet.split_first_chunk::<HEADER_BYTES>().ok_or(Counter::EspRunt)?;
        let spi = Spi::new(be32(head, 0)).ok_or(Counter::EspUnknownSpi)?;
        Ok(Self { head, spi, rest })
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

    /// Bytes behind the header: IV, what is sealed, ICV.
    #[must_use]
    pub fn rest_bytes(&self) -> usize {
        self.rest.len()
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
