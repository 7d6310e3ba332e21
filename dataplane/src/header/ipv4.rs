//! IPv4 (RFC 791, RFC 1812 5.2.2), and the changes that a router makes in place (TTL, ECN and DSCP), each with the checksum
//! updated in step.

use std::net::Ipv4Addr;

use super::checksum::{self, Sum};
use super::{Protocol, be16};
use crate::counter::Counter;

/// Length of a header without options, in bytes.
pub const HEADER_BYTES: usize = 20;
/// Every IPv4 link carries this much (RFC 791, 3.2), in bytes.
pub const MINIMUM_MTU_BYTES: u16 = 68;

pub(crate) const DONT_FRAGMENT: u16 = 0x4000;
const MORE_FRAGMENTS: u16 = 0x2000;
const OFFSET: u16 = 0x1fff;

/// A received packet, cut to its total length (Ethernet pads short frames).
#[derive(Clone, Copy, Debug)]
pub struct Ipv4View<'a> {
    head: &'a [u8; HEADER_BYTES],
    packet: &'a [u8],
}

impl<'a> Ipv4View<'a> {
    /// Checks version, lengths and header checksum.
    ///
    /// # Errors
    /// The drop reason: `Ipv4Runt`, `Ipv4BadVersion`, `Ipv4BadHeaderLength`, `Ipv4BadTotalLength`, `Ipv4BadChecksum`.
    pub fn new(bytes: &'a [u8]) -> Result<Self, Counter> {
        Self::with_checksum_known(bytes)?.with_checksum_checked()
    }

    /// The view, if the header checksum is right.
    pub(crate) fn with_checksum_checked(self) -> Result<Self, Counter> {
        let is_valid = match self.header_bytes() {
            HEADER_BYTES => checksum::is_valid_header(self.head),
            length => Sum::new().plus(&self.packet[..length]).is_valid(),
        };
        if !is_valid {
            return Err(Counter::Ipv4BadChecksum);
        }
        Ok(self)
    }

    /// Like [`Ipv4View::new`] for packets whose header checksum the port has found good, or whose integrity ESP vouches for.
    ///
    /// # Errors
    /// Those of [`Ipv4View::new`] but for `Ipv4BadChecksum`.
    #[inline]
    pub fn with_checksum_known(bytes: &'a [u8]) -> Result<Self, Counter> {
        Self::of_front(bytes, bytes.len())
    }

    /// Like [`Ipv4View::with_checksum_known`] where no more than the front may be at hand, with the whole header, of so many bytes: of a packet that lies in several buffers.
    /// [`Ipv4View::payload`] and [`Ipv4View::packet`] end where the front does.
    #[inline]
    pub(crate) fn of_front(bytes: &'a [u8], packet_bytes: usize) -> Result<Self, Counter> {
        let head: &[u8; HEADER_BYTES] = bytes.first_chunk().ok_or(Counter::Ipv4Runt)?;
        if head[0] >> 4 != 4 {
            return Err(Counter::Ipv4BadVersion);
        }
        let header_bytes = usize::from(head[0] & 15) * 4;
        if header_bytes < HEADER_BYTES || header_bytes > bytes.len() {
            return Err(Counter::Ipv4BadHeaderLength);
        }
        let total_bytes = usize::from(be16(head, 2));
        if total_bytes < header_bytes || total_bytes > packet_bytes {
            return Err(Counter::Ipv4BadTotalLength);
        }
        Ok(Self { head, packet: &bytes[..total_bytes.min(bytes.len())] })
    }

    /// Header with options, in bytes: 20 to 60.
    #[must_use]
    pub fn header_bytes(&self) -> usize {
        usize::from(self.head[0] & 15) * 4
    }

    /// DSCP (upper six bits) and ECN (lower two), once the type of service.
    #[must_use]
    pub fn traffic_class(&self) -> u8 {
        self.head[1]
    }

    /// Header and payload, in bytes.
    #[must_use]
    pub fn total_bytes(&self) -> u16 {
        be16(self.head, 2)
    }

    /// Identification, shared by the fragments of a packet.
    #[must_use]
    pub fn identification(&self) -> u16 {
        be16(self.head, 4)
    }

    /// The DF bit.
    #[must_use]
    pub fn dont_fragment(&self) -> bool {
        be16(self.head, 6) & DONT_FRAGMENT != 0
    }

    /// The MF bit.
    #[must_use]
    pub fn more_fragments(&self) -> bool {
        be16(self.head, 6) & MORE_FRAGMENTS != 0
    }

    /// Where the payload stands in that of the whole packet, in bytes.
    #[must_use]
    pub fn fragment_offset_bytes(&self) -> usize {
        usize::from(be16(self.head, 6) & OFFSET) * 8
    }

    /// Whether this is a piece of a packet, the first included.
    #[must_use]
    pub fn is_fragment(&self) -> bool {
        be16(self.head, 6) & (MORE_FRAGMENTS | OFFSET) != 0
    }

    /// Time to live, in hops.
    #[must_use]
    pub fn ttl(&self) -> u8 {
        self.head[8]
    }

    /// What the payload is.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        Protocol(self.head[9])
    }

    /// The sender.
    #[must_use]
    pub fn source(&self) -> Ipv4Addr {
        let [.., a, b, c, d, _, _, _, _] = *self.head;
        Ipv4Addr::new(a, b, c, d)
    }

    /// The receiver.
    #[must_use]
    pub fn destination(&self) -> Ipv4Addr {
        let [.., a, b, c, d] = *self.head;
        Ipv4Addr::new(a, b, c, d)
    }

    /// Options, 0 to 40 bytes.
    #[must_use]
    pub fn options(&self) -> &'a [u8] {
        &self.packet[HEADER_BYTES..self.header_bytes()]
    }

    /// What follows the header.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        &self.packet[self.header_bytes()..]
    }

    /// Header and payload, without link padding.
    #[must_use]
    pub fn packet(&self) -> &'a [u8] {
        self.packet
    }
}

/// A header without options, to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv4 {
    /// DSCP and ECN.
    pub traffic_class: u8,
    /// Header and payload, in bytes.
    pub total_bytes: u16,
    /// Identification.
    pub identification: u16,
    /// The DF bit.
    pub dont_fragment: bool,
    /// Time to live, in hops.
    pub ttl: u8,
    /// What the payload is.
    pub protocol: Protocol,
    /// The sender.
    pub source: Ipv4Addr,
    /// The receiver.
    pub destination: Ipv4Addr,
}

impl Ipv4 {
    /// Fills the header, checksum included.
    pub fn write(&self, out: &mut [u8; HEADER_BYTES]) {
        out[0] = 0x45;
        out[1] = self.traffic_class;
        out[2..4].copy_from_slice(&self.total_bytes.to_be_bytes());
        out[4..6].copy_from_slice(&self.identification.to_be_bytes());
        out[6..8].copy_from_slice(&(if self.dont_fragment { DONT_FRAGMENT } else { 0 }).to_be_bytes());
        out[8] = self.ttl;
        out[9] = self.protocol.0;
        out[12..16].copy_from_slice(&self.source.octets());
        out[16..].copy_from_slice(&self.destination.octets());
        write_checksum(out);
    }
}

/// Computes the checksum of a header (options included) from nothing.
///
/// # Panics
/// If `header` is shorter than 20 bytes.
pub fn write_checksum(header: &mut [u8]) {
    header[10..12].fill(0);
    let checksum = Sum::new().plus(header).finish();
    header[10..12].copy_from_slice(&checksum.to_be_bytes());
}

/// Takes one hop off the TTL (RFC 1812, 5.3.1). Returns what is left; at 0 or 1 nothing is changed and 0 returned:
/// the packet must not be forwarded.
#[inline]
pub fn decrement_ttl(header: &mut [u8; HEADER_BYTES]) -> u8 {
    let ttl = header[8];
    if ttl <= 1 {
        return 0;
    }
    take_hop(header);
    header[8]
}

/// As [`decrement_ttl`], of a header whose TTL is known to be above 1.
#[inline(always)]
pub fn take_hop(header: &mut [u8; HEADER_BYTES]) {
    // The word of TTL and protocol gets less by 1 in its first byte: what RFC 1624, equation 3 adds for that is the same for any word, and
    // in any byte order (RFC 1071, 2 (B)).
    const CHANGE: u16 = !u16::from_ne_bytes([1, 0]);
    let checksum = be16(header, 10).to_be(); // as it stands there
    let sum = u32::from(!checksum) + u32::from(CHANGE);
    let [low, high, _, _] = (!((sum & 0xffff) + (sum >> 16))).to_le_bytes();
    header[10..12].copy_from_slice(&u16::from_le_bytes([low, high]).to_ne_bytes());
    header[8] = header[8].wrapping_sub(1);
}

/// Sets DSCP and ECN.
pub fn set_traffic_class(header: &mut [u8; HEADER_BYTES], traffic_class: u8) {
    replace(header, 0, [header[0], traffic_class]);
}

/// Sets the total length, in bytes.
pub fn set_total_bytes(header: &mut [u8; HEADER_BYTES], total_bytes: u16) {
    replace(header, 2, total_bytes.to_be_bytes());
}

/// Replaces the word at an even place and updates the checksum.
fn replace(header: &mut [u8; HEADER_BYTES], at: usize, new: [u8; 2]) {
    let updated = checksum::update(be16(header, 10), be16(header, at), u16::from_be_bytes(new));
    header[at..at + 2].copy_from_slice(&new);
    header[10..12].copy_from_slice(&updated.to_be_bytes());
}
