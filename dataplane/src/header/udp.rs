//! UDP (RFC 768; over IPv6 RFC 8200 8.1), as IKE and ESP in UDP (RFC 3948) use it.

use super::be16;
use super::checksum::Sum;
use crate::counter::Counter;

/// Length of the header in bytes.
pub const HEADER_BYTES: usize = 8;

/// A received datagram, cut to its length.
#[derive(Clone, Copy, Debug)]
pub struct UdpView<'a> {
    head: &'a [u8; HEADER_BYTES],
    datagram: &'a [u8],
}

impl<'a> UdpView<'a> {
    /// Checks the length.
    ///
    /// # Errors
    /// The drop reason: `UdpRunt`, `UdpBadLength`.
    pub fn new(bytes: &'a [u8]) -> Result<Self, Counter> {
        Self::of_front(bytes, bytes.len())
    }

    /// Like [`UdpView::new`] where no more than the front may be at hand, of so many bytes: [`UdpView::payload`] ends where that does.
    pub(crate) fn of_front(bytes: &'a [u8], datagram_bytes: usize) -> Result<Self, Counter> {
        let head: &[u8; HEADER_BYTES] = bytes.first_chunk().ok_or(Counter::UdpRunt)?;
        let length = usize::from(be16(head, 4));
        if length < HEADER_BYTES || length > datagram_bytes {
            return Err(Counter::UdpBadLength);
        }
        Ok(Self { head, datagram: &bytes[..length.min(bytes.len())] })
    }

    /// From which port.
    #[must_use]
    pub fn source_port(&self) -> u16 {
        be16(self.head, 0)
    }

    /// To which port.
    #[must_use]
    pub fn destination_port(&self) -> u16 {
        be16(self.head, 2)
    }

    /// Header and payload, in bytes.
    #[must_use]
    pub fn length_bytes(&self) -> u16 {
        be16(self.head, 4)
    }

    /// Checks the checksum against the pseudo header. Zero means that the sender left it out, which is its right over IPv4 and
    /// for tunnels over IPv6 (RFC 6935); the caller says whether it is accepted.
    #[must_use]
    pub fn checksum(&self, pseudo: Sum) -> UdpChecksum {
        if be16(self.head, 6) == 0 {
            UdpChecksum::Absent
        } else if pseudo.plus(self.datagram).is_valid() {
            UdpChecksum::Right
        } else {
            UdpChecksum::Wrong
        }
    }

    /// What follows the header.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        &self.datagram[HEADER_BYTES..]
    }
}

/// What a UDP checksum field says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UdpChecksum {
    /// Zero: not computed by the sender.
    Absent,
    /// It fits.
    Right,
    /// It does not.
    Wrong,
}

/// A header to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Udp {
    /// From which port.
    pub source_port: u16,
    /// To which port.
    pub destination_port: u16,
    /// Header and payload, in bytes.
    pub length_bytes: u16,
}

impl Udp {
    /// Fills the header with a zero checksum, as RFC 3948, 2.1 wants it for ESP.
    pub fn write(&self, out: &mut [u8; HEADER_BYTES]) {
        out[..2].copy_from_slice(&self.source_port.to_be_bytes());
        out[2..4].copy_from_slice(&self.destination_port.to_be_bytes());
        out[4..6].copy_from_slice(&self.length_bytes.to_be_bytes());
        out[6..].fill(0);
    }
}

/// Computes the checksum of a datagram (header and payload) from nothing.
///
/// # Panics
/// If `datagram` is shorter than a UDP header.
pub fn write_checksum(datagram: &mut [u8], pseudo: Sum) {
    datagram[6..8].fill(0);
    let checksum = match pseudo.plus(datagram).finish() {
        0 => u16::MAX, // zero is kept for "not computed"
        checksum => checksum,
    };
    datagram[6..8].copy_from_slice(&checksum.to_be_bytes());
}
