//! The Internet checksum (RFC 1071), its pseudo headers (RFC 768, RFC 9293, RFC 8200 8.1) and its incremental update (RFC
//! 1624). Used by the other header files, [`crate::icmp`] and [`crate::pmtu`].

use std::net::{Ipv4Addr, Ipv6Addr};

use super::Protocol;

/// A sum in the making. Adding bytes in pieces is right as long as every piece but the last has an even length.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum(u64);

impl Sum {
    /// Zero.
    #[must_use]
    pub const fn new() -> Self {
        Self(0)
    }

    /// The pseudo header of UDP, TCP over IPv4; `length_bytes` is that of UDP or TCP header and payload.
    #[must_use]
    pub fn pseudo_v4(
        source: Ipv4Addr,
        destination: Ipv4Addr,
        protocol: Protocol,
        length_bytes: usize,
    ) -> Self {
        Self::pseudo(&source.octets(), &destination.octets(), protocol, length_bytes)
    }

    /// The pseudo header of UDP, TCP and ICMPv6 over IPv6 (RFC 8200, 8.1).
    #[must_use]
    pub fn pseudo_v6(
        source: Ipv6Addr,
        destination: Ipv6Addr,
        protocol: Protocol,
        length_bytes: usize,
    ) -> Self {
        Self::pseudo(&source.octets(), &destination.octets(), protocol, length_bytes)
    }

    fn pseudo(source: &[u8], destination: &[u8], protocol: Protocol, length_bytes: usize) -> Self {
        let Self(sum) = Self::new().plus(source).plus(destination);
        Self(sum + u64::from(protocol.0) + length_bytes as u64)
    }

    /// Adds bytes; an odd last byte is padded with zero.
    #[must_use]
    pub fn plus(self, bytes: &[u8]) -> Self {
        // 32 bits at a time into 64: carries gather in the upper half (RFC 1071, 2 (A) and (C)).
        let (words, rest) = bytes.as_chunks::<4>();
        let mut sum = self.0;
        for word in words {
            sum += u64::from(u32::from_be_bytes(*word));
        }
        let mut last = [0; 4];
        last[..rest.len()].copy_from_slice(rest);
        Self(carry(sum) + u64::from(u32::from_be_bytes(last)))
    }

    /// The checksum field for what was added, with the field itself zero (or not added).
    #[must_use]
    pub fn finish(self) -> u16 {
        !self.fold16()
    }

    /// Whether the bytes, checksum field included, add up.
    #[must_use]
    pub fn is_valid(self) -> bool {
        self.fold16() == u16::MAX
    }

    fn fold16(self) -> u16 {
        let sum = carry(carry(self.0));
        let sum = (sum >> 16) + (sum & 0xffff);
        let sum = (sum >> 16) + (sum & 0xffff);
        u16::try_from(sum).unwrap_or(u16::MAX) // two folds of 33 bits leave 16
    }
}

/// The checksum field for a sum of 16-bit words, none of them the field itself (RFC 1071).
#[must_use]
pub const fn fold(sum: u32) -> u16 {
    // Each half gets the other one added; what the lower half then carries over is the carry around the end that the upper one needs.
    let [high, low, _, _] = (!sum.wrapping_add(sum.rotate_left(16))).to_be_bytes();
    u16::from_be_bytes([high, low])
}

/// One carry round of 64 bits into 33.
const fn carry(sum: u64) -> u64 {
    (sum >> 32) + (sum & 0xffff_ffff)
}

/// Whether an IPv4 header without options, checksum included, adds up.
#[inline(always)] // a dozen instructions, once or twice a packet
#[must_use]
pub fn is_valid_header(head: &[u8; 20]) -> bool {
    // The sum is the same in either byte order, but for the order of its own bytes (RFC 1071, 2 (B)): no swaps. Nor does it matter how wide the words are that
    // are added, as long as carries come round.
    let [first @ .., _, _, _, _, _, _, _, _, _, _, _, _] = *head;
    let [_, _, _, _, _, _, _, _, middle @ .., _, _, _, _, _, _, _, _] = *head;
    let [_, _, _, _, _, _, _, _, _, _, _, _, last @ ..] = *head;
    let (sum, carry) = u64::from_ne_bytes(first).overflowing_add(u64::from_ne_bytes(last));
    let rest = u64::from(u32::from_ne_bytes(middle)) + u64::from(carry);
    let (sum, carry) = sum.overflowing_add(rest);
    let sum = sum + u64::from(carry); // after a carry there is room
    // Folded by adding the halves to each other, of which the upper one gets the carry.
    let [_, sum] = halves_u32(sum.wrapping_add(sum.rotate_left(32)));
    sum.wrapping_add(sum.rotate_left(16)) >> 16 == 0xffff
}

/// Lower and upper half.
const fn halves_u32(word: u64) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = word.to_le_bytes();
    [u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])]
}

/// The checksum after one aligned 16-bit word of what it covers changed (RFC 1624, equation 3). A wrong checksum
/// stays exactly as wrong.
#[must_use]
pub const fn update(checksum: u16, old: u16, new: u16) -> u16 {
    fold(!checksum as u32 + !old as u32 + new as u32)
}

/// How much the words that change in what a checksum covers move it: the sum of RFC 1624, equation 3, over all of them. At most 2^14 words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Difference(u32);

impl Difference {
    /// One aligned 16-bit word more.
    #[must_use]
    pub const fn word(self, old: u16, new: u16) -> Self {
        Self(self.0 + !old as u32 + new as u32)
    }

    /// As many words more as `old` and `new` have in common. Both begin at an even place, as all that a checksum covers.
    #[must_use]
    pub fn bytes(self, old: &[u8], new: &[u8]) -> Self {
        let words = old.as_chunks::<2>().0.iter().zip(new.as_chunks::<2>().0);
        words.fold(self, |sum, (old, new)| sum.word(u16::from_be_bytes(*old), u16::from_be_bytes(*new)))
    }

    /// What both move it.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }

    /// The checksum after the change. A wrong one stays exactly as wrong.
    #[must_use]
    pub const fn apply(self, checksum: u16) -> u16 {
        fold(!checksum as u32 + self.0)
    }
}
