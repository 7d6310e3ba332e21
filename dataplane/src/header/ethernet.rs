//! Ethernet II (IEEE 802.3 clause 3): fourteen bytes in front of every frame.

use super::be16;
use crate::counter::Counter;

/// Length of the header in bytes, without a VLAN tag.
pub const HEADER_BYTES: usize = 14;

/// A MAC address.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// ff:ff:ff:ff:ff:ff.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// Whether the group bit is set: broadcast and multicast.
    #[must_use]
    pub const fn is_multicast(self) -> bool {
        self.0[0] & 1 != 0
    }

    /// Whether a station may have this address: neither a group address nor all zeroes.
    #[must_use]
    pub fn is_unicast(self) -> bool {
        !self.is_multicast() && self.0 != [0; 6]
    }

    /// Where a multicast IPv6 packet goes (RFC 2464, 7).
    #[must_use]
    pub const fn of_multicast_v6(group: std::net::Ipv6Addr) -> Self {
        let g = group.octets();
        Self([0x33, 0x33, g[12], g[13], g[14], g[15]])
    }
}

impl std::fmt::Display for Mac {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl std::fmt::Debug for Mac {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// What follows an Ethernet header or a VLAN tag. Unknown values are kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct EtherType(pub u16);

impl EtherType {
    /// IPv4.
    pub const IPV4: Self = Self(0x0800);
    /// ARP.
    pub const ARP: Self = Self(0x0806);
    /// A VLAN tag (IEEE 802.1Q).
    pub const VLAN: Self = Self(0x8100);
    /// IPv6.
    pub const IPV6: Self = Self(0x86dd);
}

impl std::fmt::Debug for EtherType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Self::IPV4 => f.write_str("IPv4"),
            Self::ARP => f.write_str("ARP"),
            Self::VLAN => f.write_str("VLAN"),
            Self::IPV6 => f.write_str("IPv6"),
            Self(number) => write!(f, "EtherType {number:#06x}"),
        }
    }
}

/// A received frame.
#[derive(Clone, Copy, Debug)]
pub struct EthernetView<'a> {
    head: &'a [u8; HEADER_BYTES],
    payload: &'a [u8],
}

impl<'a> EthernetView<'a> {
    /// Checks the length.
    ///
    /// # Errors
    /// [`Counter::EthernetRunt`].
    pub fn new(frame: &'a [u8]) -> Result<Self, Counter> {
        let (head, payload) = frame.split_first_chunk().ok_or(Counter::EthernetRunt)?;
        Ok(Self { head, payload })
    }

    /// To whom the frame is.
    #[must_use]
    pub fn destination(&self) -> Mac {
        let [a, b, c, d, e, f, ..] = *self.head;
        Mac([a, b, c, d, e, f])
    }

    /// From whom the frame is.
    #[must_use]
    pub fn source(&self) -> Mac {
        let [_, _, _, _, _, _, a, b, c, d, e, f, ..] = *self.head;
        Mac([a, b, c, d, e, f])
    }

    /// What the payload is; an 802.3 length field (below 1536) comes out as it stands.
    #[must_use]
    pub fn ether_type(&self) -> EtherType {
        EtherType(be16(self.head, 12))
    }

    /// Everything behind the header, padding included.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

/// A header to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ethernet {
    /// To whom the frame is.
    pub destination: Mac,
    /// From whom the frame is.
    pub source: Mac,
    /// What follows.
    pub ether_type: EtherType,
}

impl Ethernet {
    /// Fills the header.
    pub fn write(&self, out: &mut [u8; HEADER_BYTES]) {
        out[..6].copy_from_slice(&self.destination.0);
        out[6..12].copy_from_slice(&self.source.0);
        out[12..].copy_from_slice(&self.ether_type.0.to_be_bytes());
    }
}
