//! ICMP for IPv4 (RFC 792): header, types that the gateway knows, the packet that an error quotes.

use super::be16;
use super::checksum::Sum;
use crate::counter::Counter;

/// Length of the header in bytes.
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
    /// Echo reply.
    pub const ECHO_REPLY: Self = Self { kind: 0, code: 0 };
    /// Destination network unreachable.
    pub const NETWORK_UNREACHABLE: Self = Self { kind: 3, code: 0 };
    /// Destination host unreachable.
    pub const HOST_UNREACHABLE: Self = Self { kind: 3, code: 1 };
    /// Protocol unreachable.
    pub const PROTOCOL_UNREACHABLE: Self = Self { kind: 3, code: 2 };
    /// Port unreachable.
    pub const PORT_UNREACHABLE: Self = Self { kind: 3, code: 3 };
    /// Fragmentation needed and DF set (RFC 1191, 4).
    pub const FRAGMENTATION_NEEDED: Self = Self { kind: 3, code: 4 };
    /// Communication administratively prohibited (RFC 1812, 5.2.7.1).
    pub const PROHIBITED: Self = Self { kind: 3, code: 13 };
    /// Echo request.
    pub const ECHO_REQUEST: Self = Self { kind: 8, code: 0 };
    /// TTL exceeded in transit.
    pub const TTL_EXCEEDED: Self = Self { kind: 11, code: 0 };

    /// Whether the message reports an error: then no error may be sent about it (RFC 1122, 3.2.2). Types that nobody knows
    /// count as errors, so that two of us never answer each other for ever.
    #[must_use]
    pub fn is_error(self) -> bool {
        !matches!(self.kind, 0 | 8 | 9 | 10 | 13..=18)
    }
}

/// A received message with a right checksum.
#[derive(Clone, Copy, Debug)]
pub struct IcmpView<'a> {
    head: &'a [u8; HEADER_BYTES],
    payload: &'a [u8],
}

impl<'a> IcmpView<'a> {
    /// Checks length and checksum of the whole message.
    ///
    /// # Errors
    /// The drop reason: `IcmpMalformed`.
    pub fn new(message: &'a [u8]) -> Result<Self, Counter> {
        let (head, payload) = message.split_first_chunk().ok_or(Counter::IcmpMalformed)?;
        if !Sum::new().plus(message).is_valid() {
            return Err(Counter::IcmpMalformed);
        }
        Ok(Self { head, payload })
    }

    /// Type and code.
    #[must_use]
    pub fn kind(&self) -> Kind {
        Kind { kind: self.head[0], code: self.head[1] }
    }

    /// The next hop's MTU in bytes, in [`Kind::FRAGMENTATION_NEEDED`]; 0 from routers older than RFC 1191.
    #[must_use]
    pub fn next_hop_mtu_bytes(&self) -> u16 {
        be16(self.head, 6)
    }

    /// What follows the header: echo data, or the front of the packet that an error is about.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

/// A header to be written in front of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Icmp {
    /// Type and code.
    pub kind: Kind,
    /// The second word: identifier and sequence of an echo, the MTU in the lower half of "fragmentation needed", else 0.
    pub word: u32,
}

impl Icmp {
    /// Fills the header, with the checksum over it and the payload.
    pub fn write(&self, out: &mut [u8; HEADER_BYTES], payload: &[u8]) {
        out[0] = self.kind.kind;
        out[1] = self.kind.code;
        out[2..4].fill(0);
        out[4..].copy_from_slice(&self.word.to_be_bytes());
        let checksum = Sum::new().plus(out).plus(payload).finish();
        out[2..4].copy_from_slice(&checksum.to_be_bytes());
    }
}
