//! ICMPv6 (RFC 4443): header, types that the gateway knows, the packet that an error quotes. Neighbour discovery's bodies
//! are in [`super::ndp`].

use std::net::Ipv6Addr;

use super::checksum::Sum;
use super::{Protocol, be32};
use crate::counter::Counter;

/// Length of the header in bytes: type, code, checksum and one word.
pub const HEADER_BYTES: usize = 8;

/// Type and code of a message. Unknown ones are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Kind {
    /// The type.
    pub kind: u8,
    /// The code.
    pub code: u8,
}

impl Kind {
    /// No route to destination.
    pub const NO_ROUTE: Self = Self { kind: 1, code: 0 };
    /// Communication administratively prohibited.
    pub const PROHIBITED: Self = Self { kind: 1, code: 1 };
    /// Beyond scope of source address.
    pub const BEYOND_SCOPE: Self = Self { kind: 1, code: 2 };
    /// Address unreachable.
    pub const ADDRESS_UNREACHABLE: Self = Self { kind: 1, code: 3 };
    /// Port unreachable.
    pub const PORT_UNREACHABLE: Self = Self { kind: 1, code: 4 };
    /// Packet too big.
    pub const PACKET_TOO_BIG: Self = Self { kind: 2, code: 0 };
    /// Hop limit exceeded in transit.
    pub const HOP_LIMIT_EXCEEDED: Self = Self { kind: 3, code: 0 };
    /// Parameter problem: unrecognised next header.
    pub const UNKNOWN_NEXT_HEADER: Self = Self { kind: 4, code: 1 };
    /// Echo request.
    pub const ECHO_REQUEST: Self = Self { kind: 128, code: 0 };
    /// Echo reply.
    pub const ECHO_REPLY: Self = Self { kind: 129, code: 0 };
    /// Neighbour solicitation (RFC 4861, 4.3).
    pub const NEIGHBOUR_SOLICITATION: Self = Self { kind: 135, code: 0 };
    /// Neighbour advertisement (RFC 4861, 4.4).
    pub const NEIGHBOUR_ADVERTISEMENT: Self = Self { kind: 136, code: 0 };

    /// Whether the message reports an error (RFC 4443, 2.1): then no error may be sent about it.
    #[must_use]
    pub fn is_error(self) -> bool {
        self.kind < 128
    }

    /// Whether the message belongs to a link and is never forwarded: neighbour and router discovery, redirects (RFC 4861).
    #[must_use]
    pub fn is_neighbour_discovery(self) -> bool {
        (133..=137).contains(&self.kind)
    }
}

/// A received message with a right checksum.
#[derive(Clone, Copy, Debug)]
pub struct Icmpv6View<'a> {
    head: &'a [u8; HEADER_BYTES],
    payload: &'a [u8],
}

impl<'a> Icmpv6View<'a> {
    /// Checks length and checksum of the whole message.
    ///
    /// # Errors
    /// The drop reason: `IcmpMalformed`.
    pub fn new(message: &'a [u8], source: Ipv6Addr, destination: Ipv6Addr) -> Result<Self, Counter> {
        let (head, payload) = message.split_first_chunk().ok_or(Counter::IcmpMalformed)?;
        if !pseudo(source, destination, message.len()).plus(message).is_valid() {
            return Err(Counter::IcmpMalformed);
        }
        Ok(Self { head, payload })
    }

    /// Type and code.
    #[must_use]
    pub fn kind(&self) -> Kind {
        Kind { kind: self.head[0], code: self.head[1] }
    }

    /// The second word: the MTU in bytes of [`Kind::PACKET_TOO_BIG`], flags of an advertisement.
    #[must_use]
    pub fn word(&self) -> u32 {
        be32(self.head, 4)
    }

    /// What follows the header: echo data, the front of the packet that an error is about, discovery's body.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

/// A header to be written in front of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Icmpv6 {
    /// Type and code.
    pub kind: Kind,
    /// The second word: identifier and sequence of an echo, MTU in bytes, flags, else 0.
    pub word: u32,
}

impl Icmpv6 {
    /// Fills the header, with the checksum over pseudo header, header and payload.
    pub fn write(
        &self,
        out: &mut [u8; HEADER_BYTES],
        payload: &[u8],
        source: Ipv6Addr,
        destination: Ipv6Addr,
    ) {
        out[0] = self.kind.kind;
        out[1] = self.kind.code;
        out[2..4].fill(0);
        out[4..].copy_from_slice(&self.word.to_be_bytes());
        let sum = pseudo(source, destination, HEADER_BYTES + payload.len()).plus(out).plus(payload);
        out[2..4].copy_from_slice(&sum.finish().to_be_bytes());
    }
}

fn pseudo(source: Ipv6Addr, destination: Ipv6Addr, length_bytes: usize) -> Sum {
    Sum::pseudo_v6(source, destination, Protocol::ICMPV6, length_bytes)
}
