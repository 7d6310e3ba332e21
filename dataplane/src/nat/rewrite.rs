//! New addresses for the packets of one flow, written in place, with every checksum that covers them brought up to date (RFC 1624).

use std::net::IpAddr;

use crate::header::checksum::Difference;
use crate::header::{Protocol, be16, ipv4, ipv6};

/// Source and destination as they stand in a header.
#[derive(Clone, Copy, Debug)]
enum Octets {
    V4([u8; 8]),
    V6([u8; 32]),
}

/// New addresses, and how much they move a checksum over the old ones.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rewrite {
    octets: Octets,
    difference: Difference,
}

impl Rewrite {
    /// From one pair of source and destination to another. `None`: they are the same.
    pub(crate) fn new(old: (IpAddr, IpAddr), new: (IpAddr, IpAddr)) -> Option<Self> {
        if old == new {
            return None;
        }
        let (old, octets) = (octets(old)?, octets(new)?);
        let difference = Difference::default().bytes(old.as_slice(), octets.as_slice());
        Some(Self { octets, difference })
    }

    /// Whether [`Rewrite::write_plain`] is all that a plain packet needs: not for ICMP, whose errors quote packets, nor where the header that has the
    /// checksum is cut off.
    #[inline]
    pub(crate) fn takes(&self, protocol: Protocol, total_bytes: u16) -> bool {
        let upper_bytes = usize::from(total_bytes).saturating_sub(self.header_bytes());
        match protocol {
            Protocol::ICMP | Protocol::ICMPV6 | Protocol::AH => false,
            _ => checksum_at(protocol).is_none_or(|at| upper_bytes >= at + 2),
        }
    }

    /// Changes a packet without options and extension headers that is no fragment.
    #[inline]
    pub(crate) fn write_plain(&self, packet: &mut [u8], protocol: Protocol) {
        let upper_at = self.header_bytes();
        self.write(packet, checksum_at(protocol).map(|at| Covering { at: upper_at + at, protocol }));
    }

    /// Changes a packet, with the upper layer's checksum, if that covers the addresses. Tells how much all of it moves a checksum over the
    /// whole packet.
    pub(super) fn write(&self, packet: &mut [u8], covering: Option<Covering>) -> Difference {
        let mut moved = self.difference;
        match &self.octets {
            Octets::V4(new) => {
                let Some(head) = packet.first_chunk_mut::<{ ipv4::HEADER_BYTES }>() else { return moved };
                let old = be16(head, 10);
                let updated = self.difference.apply(old);
                head[10..12].copy_from_slice(&updated.to_be_bytes());
                head[12..].copy_from_slice(new);
                moved = moved.word(old, updated);
            }
            Octets::V6(new) => {
                let Some(head) = packet.first_chunk_mut::<{ ipv6::HEADER_BYTES }>() else { return moved };
                head[8..].copy_from_slice(new);
            }
        }
        let Some(Covering { at, protocol }) = covering else { return moved };
        let Some(field) = packet.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<2>()) else {
            return moved;
        };
        let old = u16::from_be_bytes(*field);
        let updated = updated(self.difference, protocol, old);
        *field = updated.to_be_bytes();
        moved.word(old, updated)
    }

    fn header_bytes(&self) -> usize {
        match self.octets {
            Octets::V4(_) => ipv4::HEADER_BYTES,
            Octets::V6(_) => ipv6::HEADER_BYTES,
        }
    }
}

/// A checksum that covers the addresses: where it stands in the packet, in bytes, and whose it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Covering {
    pub(super) at: usize,
    pub(super) protocol: Protocol,
}

/// Where in the upper layer the checksum stands that covers the addresses by a pseudo header, in bytes. Others have none, or one of
/// their own (ICMP, SCTP).
pub(super) fn checksum_at(protocol: Protocol) -> Option<usize> {
    match protocol {
        Protocol::TCP => Some(16),
        Protocol::UDP | Protocol::UDP_LITE | Protocol::DCCP => Some(6),
        Protocol::ICMPV6 => Some(2),
        _ => None,
    }
}

/// A checksum of the upper layer after the change. In UDP, zero says that there is none, and stands for nothing else.
pub(super) fn updated(difference: Difference, protocol: Protocol, old: u16) -> u16 {
    let is_udp = matches!(protocol, Protocol::UDP | Protocol::UDP_LITE);
    match difference.apply(old) {
        _ if is_udp && old == 0 => 0,
        0 if is_udp => u16::MAX,
        updated => updated,
    }
}

impl Octets {
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::V4(octets) => octets,
            Self::V6(octets) => octets,
        }
    }
}

/// `None`: of two families.
fn octets((source, destination): (IpAddr, IpAddr)) -> Option<Octets> {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let mut both = [0; 8];
            both[..4].copy_from_slice(&source.octets());
            both[4..].copy_from_slice(&destination.octets());
            Some(Octets::V4(both))
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let mut both = [0; 32];
            both[..16].copy_from_slice(&source.octets());
            both[16..].copy_from_slice(&destination.octets());
            Some(Octets::V6(both))
        }
        _ => None,
    }
}
