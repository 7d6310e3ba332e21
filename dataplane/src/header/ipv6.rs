//! IPv6 (RFC 8200) with its chain of extension headers, walked once when the view is made.

use std::net::Ipv6Addr;

use super::{Protocol, be16, be32};
use crate::counter::Counter;

/// Length of the fixed header in bytes.
pub const HEADER_BYTES: usize = 40;
/// Every IPv6 link carries this much (RFC 8200, 5), in bytes.
pub const MINIMUM_MTU_BYTES: u16 = 1280;
/// More extension headers than this are dropped: no honest packet has as many, and walking costs time.
pub const MAXIMUM_EXTENSIONS: usize = 8;

/// A fragment header (RFC 8200, 4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Where the piece stands in the fragmentable part, in bytes.
    pub offset_bytes: u16,
    /// Whether more pieces follow.
    pub more: bool,
    /// Shared by the fragments of a packet.
    pub identification: u32,
    /// Where the fragment header itself stands in the packet, in bytes.
    pub at: usize,
}

/// A received packet, cut to its payload length.
#[derive(Clone, Copy, Debug)]
pub struct Ipv6View<'a> {
    head: &'a [u8; HEADER_BYTES],
    packet: &'a [u8],
    upper: Upper,
}

/// What the walk over the extension headers found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Upper {
    /// The protocol behind them.
    pub(crate) protocol: Protocol,
    /// Where it begins in the packet, in bytes.
    pub(crate) at: usize,
    pub(crate) fragment: Option<Fragment>,
    /// Whether one of them vouches for the addresses (AH), or holds the destination that checksums are about (a routing header with segments left).
    pub(crate) has_bound_addresses: bool,
}

impl<'a> Ipv6View<'a> {
    /// Checks version and lengths, and walks the extension headers. The walk ends at the first header that it
    /// cannot skip (ESP, no next header, an upper layer) and behind a fragment header that is not the first.
    ///
    /// # Errors
    /// The drop reason: `Ipv6Runt`, `Ipv6BadVersion`, `Ipv6BadLength`, `Ipv6ExtensionHeader`.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Result<Self, Counter> {
        Self::of_front(bytes, bytes.len())
    }

    /// Like [`Ipv6View::new`] where no more than the front may be at hand, with all extension headers, of so many bytes: of a packet that lies in several buffers.
    /// [`Ipv6View::payload`] and [`Ipv6View::packet`] end where the front does.
    #[inline]
    pub(crate) fn of_front(bytes: &'a [u8], packet_bytes: usize) -> Result<Self, Counter> {
        let head: &[u8; HEADER_BYTES] = bytes.first_chunk().ok_or(Counter::Ipv6Runt)?;
        if head[0] >> 4 != 6 {
            return Err(Counter::Ipv6BadVersion);
        }
        let total_bytes = HEADER_BYTES + usize::from(be16(head, 4));
        if total_bytes > packet_bytes {
            return Err(Counter::Ipv6BadLength);
        }
        let packet = &bytes[..total_bytes.min(bytes.len())];
        let upper = upper_of(packet, Protocol(head[6])).ok_or(Counter::Ipv6ExtensionHeader)?;
        Ok(Self { head, packet, upper })
    }

    /// DSCP (upper six bits) and ECN (lower two).
    #[must_use]
    pub fn traffic_class(&self) -> u8 {
        traffic_class(self.head)
    }

    /// The flow label, 20 bits.
    #[must_use]
    pub fn flow_label(&self) -> u32 {
        be32(self.head, 0) & 0x000f_ffff
    }

    /// Everything behind the fixed header, in bytes.
    #[must_use]
    pub fn payload_bytes(&self) -> u16 {
        be16(self.head, 4)
    }

    /// Header and payload, in bytes.
    #[must_use]
    pub fn total_bytes(&self) -> usize {
        HEADER_BYTES + usize::from(self.payload_bytes())
    }

    /// What follows the fixed header itself: an extension header or the upper layer.
    #[must_use]
    pub fn next_header(&self) -> Protocol {
        Protocol(self.head[6])
    }

    /// Hop limit, in hops.
    #[must_use]
    pub fn hop_limit(&self) -> u8 {
        self.head[7]
    }

    /// The sender.
    #[must_use]
    pub fn source(&self) -> Ipv6Addr {
        address(self.head, 8)
    }

    /// The receiver.
    #[must_use]
    pub fn destination(&self) -> Ipv6Addr {
        address(self.head, 24)
    }

    /// The protocol behind the extension headers.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.upper.protocol
    }

    /// Where [`Ipv6View::payload`] begins in the packet: 40 bytes, or more with extension headers.
    #[must_use]
    pub fn header_bytes(&self) -> usize {
        self.upper.at
    }

    /// The fragment header, if there is one.
    #[must_use]
    pub fn fragment(&self) -> Option<Fragment> {
        self.upper.fragment
    }

    /// What follows the extension headers.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        &self.packet[self.upper.at..]
    }

    /// Header and payload, without link padding.
    #[must_use]
    pub fn packet(&self) -> &'a [u8] {
        self.packet
    }
}

/// Whether a header of this number is one of those that stand between the fixed header and the upper layer.
#[must_use]
pub fn is_extension(protocol: Protocol) -> bool {
    matches!(
        protocol,
        Protocol::HOP_BY_HOP
            | Protocol::ROUTING
            | Protocol::DESTINATION_OPTIONS
            | Protocol::AH
            | Protocol::FRAGMENT
    )
}

/// Walks the extension headers of a packet, or of its front, whose fixed header names `first`. `None`: they are broken, or end beyond what is there.
pub(crate) fn upper_of(packet: &[u8], first: Protocol) -> Option<Upper> {
    let mut upper = Upper { protocol: first, at: HEADER_BYTES, fragment: None, has_bound_addresses: false };
    for _ in 0..=MAXIMUM_EXTENSIONS {
        let head = packet.get(upper.at..)?;
        let length = match upper.protocol {
            // Hop-by-hop options may only stand right behind the fixed header (RFC 8200, 4.1).
            Protocol::HOP_BY_HOP if upper.at != HEADER_BYTES => return None,
            Protocol::ROUTING => {
                upper.has_bound_addresses |= *head.get(3)? != 0;
                8 + 8 * usize::from(head[1])
            }
            Protocol::HOP_BY_HOP | Protocol::DESTINATION_OPTIONS => 8 + 8 * usize::from(*head.get(1)?),
            Protocol::AH => {
                upper.has_bound_addresses = true;
                8 + 4 * usize::from(*head.get(1)?)
            }
            Protocol::FRAGMENT if upper.fragment.is_none() => {
                let head: &[u8; 8] = head.first_chunk()?;
                let (word, identification) = (be16(head, 2), be32(head, 4));
                let fragment =
                    Fragment { offset_bytes: word & !7, more: word & 1 != 0, identification, at: upper.at };
                upper.fragment = Some(fragment);
                8
            }
            Protocol::FRAGMENT => return None,
            _ => return Some(upper),
        };
        upper.protocol = Protocol(*head.first()?);
        upper.at += length;
        if upper.at > packet.len() {
            return None;
        }
        if upper.fragment.is_some_and(|fragment| fragment.offset_bytes != 0) {
            return Some(upper); // what follows is the middle of something
        }
    }
    None
}

/// A header to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv6 {
    /// DSCP and ECN.
    pub traffic_class: u8,
    /// Flow label; the upper twelve bits are not used.
    pub flow_label: u32,
    /// Everything behind this header, in bytes.
    pub payload_bytes: u16,
    /// What follows.
    pub next_header: Protocol,
    /// Hop limit, in hops.
    pub hop_limit: u8,
    /// The sender.
    pub source: Ipv6Addr,
    /// The receiver.
    pub destination: Ipv6Addr,
}

impl Ipv6 {
    /// Fills the header.
    pub fn write(&self, out: &mut [u8; HEADER_BYTES]) {
        let word = 6 << 28 | u32::from(self.traffic_class) << 20 | self.flow_label & 0x000f_ffff;
        out[..4].copy_from_slice(&word.to_be_bytes());
        out[4..6].copy_from_slice(&self.payload_bytes.to_be_bytes());
        out[6] = self.next_header.0;
        out[7] = self.hop_limit;
        out[8..24].copy_from_slice(&self.source.octets());
        out[24..].copy_from_slice(&self.destination.octets());
    }
}

/// Takes one hop off the hop limit (RFC 8200, 3). Returns what is left; at 0 or 1 nothing is changed and 0 returned:
/// the packet must not be forwarded.
pub fn decrement_hop_limit(header: &mut [u8; HEADER_BYTES]) -> u8 {
    if header[7] <= 1 {
        return 0;
    }
    header[7] -= 1;
    header[7]
}

/// Sets DSCP and ECN.
pub fn set_traffic_class(header: &mut [u8; HEADER_BYTES], traffic_class: u8) {
    header[0] = header[0] & 0xf0 | traffic_class >> 4;
    header[1] = header[1] & 0x0f | traffic_class << 4;
}

fn traffic_class(header: &[u8; HEADER_BYTES]) -> u8 {
    header[0] << 4 | header[1] >> 4
}

fn address(header: &[u8; HEADER_BYTES], at: usize) -> Ipv6Addr {
    let mut octets = [0; 16];
    octets.copy_from_slice(&header[at..at + 16]);
    octets.into()
}
