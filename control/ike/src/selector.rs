//! Traffic selectors (RFC 7296, 3.13.1) as values, and how a responder narrows what it was offered (RFC 7296, 2.9).
//!
//! The wire form is in [`crate::wire`]; `child` calls [`narrow`]; the configuration hands in prefixes.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use thiserror::Error;

/// Most selectors a narrowing returns: as many as a payload counts (RFC 7296, 3.13). It multiplies two lists, one of which the peer wrote.
pub const MAX_NARROWED: usize = 255;

/// A set of packets: one range of addresses, one range of ports, one protocol or all.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrafficSelector {
    addresses: AddressRange,
    protocol: u8,
    ports: PortRange,
}

/// Consecutive addresses of one family, both ends included. The first is never above the last.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AddressRange {
    /// IPv4, `TS_IPV4_ADDR_RANGE`.
    V4 {
        /// Lowest address.
        first: Ipv4Addr,
        /// Highest address.
        last: Ipv4Addr,
    },
    /// IPv6, `TS_IPV6_ADDR_RANGE`.
    V6 {
        /// Lowest address.
        first: Ipv6Addr,
        /// Highest address.
        last: Ipv6Addr,
    },
}

/// Ports that a selector covers; for ICMP these 16 bits are type and code (RFC 7296, 3.13.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PortRange {
    /// From the first to the last, both included; 0 to 65535 is every port.
    Span {
        /// Lowest port.
        first: u16,
        /// Highest port.
        last: u16,
    },
    /// Packets whose ports are not visible (65535 to 0 on the wire; RFC 4301, 4.4.1.2).
    Opaque,
}

impl PortRange {
    /// Every port.
    pub const ANY: Self = Self::Span { first: 0, last: u16::MAX };

    fn intersect(self, other: Self) -> Option<Self> {
        match (self, other) {
            (Self::Span { first: a, last: b }, Self::Span { first: c, last: d }) => {
                let (first, last) = (a.max(c), b.min(d));
                (first <= last).then_some(Self::Span { first, last })
            }
            (Self::Opaque, Self::Opaque) => Some(Self::Opaque),
            // "Any port" covers packets without visible ports, too (RFC 4301, 4.4.1.1: ANY includes OPAQUE).
            (Self::Opaque, any) | (any, Self::Opaque) => (any == Self::ANY).then_some(Self::Opaque),
        }
    }
}

/// Why a prefix or range is not a selector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SelectorError {
    /// The prefix is longer than the address.
    #[error("a prefix of {prefix_bits} bits does not fit an address of {address_bits}")]
    PrefixLength {
        /// Bits asked for.
        prefix_bits: u8,
        /// Bits there are.
        address_bits: u8,
    },
    /// First address above the last, or of another family.
    #[error("{first} to {last} is not a range of addresses")]
    Range {
        /// Lower end.
        first: IpAddr,
        /// Upper end.
        last: IpAddr,
    },
}

impl AddressRange {
    /// The range from `first` to `last`, both included.
    ///
    /// # Errors
    /// [`SelectorError::Range`] when they are of two families or in the wrong order.
    pub fn new(first: IpAddr, last: IpAddr) -> Result<Self, SelectorError> {
        match (first, last) {
            (IpAddr::V4(first), IpAddr::V4(last)) if first <= last => Ok(Self::V4 { first, last }),
            (IpAddr::V6(first), IpAddr::V6(last)) if first <= last => Ok(Self::V6 { first, last }),
            _ => Err(SelectorError::Range { first, last }),
        }
    }

    /// All addresses of a prefix; host bits of `address` are ignored.
    ///
    /// # Errors
    /// [`SelectorError::PrefixLength`] when `prefix_bits` exceeds the address.
    pub fn from_prefix(address: IpAddr, prefix_bits: u8) -> Result<Self, SelectorError> {
        let address_bits: u8 = if address.is_ipv4() { 32 } else { 128 };
        let host_bits = u32::from(
            address_bits
                .checked_sub(prefix_bits)
                .ok_or(SelectorError::PrefixLength { prefix_bits, address_bits })?,
        );
        Ok(match address {
            IpAddr::V4(address) => {
                let hosts = u32::MAX.checked_shr(32 - host_bits).unwrap_or(0);
                let first = u32::from(address) & !hosts;
                Self::V4 { first: first.into(), last: (first | hosts).into() }
            }
            IpAddr::V6(address) => {
                let hosts = u128::MAX.checked_shr(128 - host_bits).unwrap_or(0);
                let first = u128::from(address) & !hosts;
                Self::V6 { first: first.into(), last: (first | hosts).into() }
            }
        })
    }

    /// Lowest address.
    pub fn first(&self) -> IpAddr {
        match *self {
            Self::V4 { first, .. } => first.into(),
            Self::V6 { first, .. } => first.into(),
        }
    }

    /// Highest address.
    pub fn last(&self) -> IpAddr {
        match *self {
            Self::V4 { last, .. } => last.into(),
            Self::V6 { last, .. } => last.into(),
        }
    }

    /// Length of the prefix that is exactly this range, if there is one.
    pub fn prefix_bits(&self) -> Option<u8> {
        let (first, last, address_bits) = match *self {
            Self::V4 { first, last } => (u128::from(u32::from(first)), u128::from(u32::from(last)), 32),
            Self::V6 { first, last } => (first.into(), last.into(), 128),
        };
        let hosts = first ^ last;
        let host_bits = 128 - hosts.leading_zeros();
        let aligned = hosts & first == 0 && hosts.count_ones() == host_bits;
        aligned.then(|| u8::try_from(address_bits - host_bits).expect("no address is longer than 128 bits"))
    }

    /// Whether `address` is inside.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (*self, address) {
            (Self::V4 { first, last }, IpAddr::V4(address)) => (first..=last).contains(&address),
            (Self::V6 { first, last }, IpAddr::V6(address)) => (first..=last).contains(&address),
            _ => false,
        }
    }

    fn intersect(self, other: Self) -> Option<Self> {
        let (first, last) = match (self, other) {
            (Self::V4 { .. }, Self::V4 { .. }) | (Self::V6 { .. }, Self::V6 { .. }) => {
                (self.first().max(other.first()), self.last().min(other.last()))
            }
            _ => return None,
        };
        Self::new(first, last).ok()
    }
}

impl TrafficSelector {
    /// Packets of `protocol` (an IP protocol number; 0 is every protocol) with an address and a port in these ranges.
    pub fn new(addresses: AddressRange, protocol: u8, ports: PortRange) -> Self {
        Self { addresses, protocol, ports }
    }

    /// Every protocol and port of `addresses`.
    pub fn all_of(addresses: AddressRange) -> Self {
        Self::new(addresses, 0, PortRange::ANY)
    }

    /// Every packet with an address in the prefix.
    ///
    /// # Errors
    /// [`SelectorError::PrefixLength`] when `prefix_bits` exceeds the address.
    pub fn from_prefix(address: IpAddr, prefix_bits: u8) -> Result<Self, SelectorError> {
        Ok(Self::all_of(AddressRange::from_prefix(address, prefix_bits)?))
    }

    /// Every IPv4 packet.
    pub fn any_ipv4() -> Self {
        Self::all_of(AddressRange::V4 { first: Ipv4Addr::UNSPECIFIED, last: Ipv4Addr::BROADCAST })
    }

    /// Every IPv6 packet.
    pub fn any_ipv6() -> Self {
        Self::all_of(AddressRange::V6 { first: Ipv6Addr::UNSPECIFIED, last: u128::MAX.into() })
    }

    /// Every packet with this address.
    pub fn host(address: IpAddr) -> Self {
        Self::all_of(match address {
            IpAddr::V4(host) => AddressRange::V4 { first: host, last: host },
            IpAddr::V6(host) => AddressRange::V6 { first: host, last: host },
        })
    }

    /// The addresses.
    pub fn addresses(&self) -> AddressRange {
        self.addresses
    }

    /// IP protocol number; 0 is every protocol.
    pub fn protocol(&self) -> u8 {
        self.protocol
    }

    /// The ports.
    pub fn ports(&self) -> PortRange {
        self.ports
    }

    /// The packets that both cover, if any.
    pub fn intersect(&self, other: &Self) -> Option<Self> {
        let protocol = match (self.protocol, other.protocol) {
            (0, protocol) | (protocol, 0) => protocol,
            (a, b) if a == b => a,
            _ => return None,
        };
        let addresses = self.addresses.intersect(other.addresses)?;
        Some(Self { addresses, protocol, ports: self.ports.intersect(other.ports)? })
    }

    /// Whether `other` covers no packet that this one does not.
    pub fn covers(&self, other: &Self) -> bool {
        self.intersect(other) == Some(*other)
    }
}

/// What of `offered` our `policy` allows, in the order offered, without duplicates and without what another covers;
/// empty means TS_UNACCEPTABLE (RFC 7296, 2.9).
///
/// The first offered selector may be the single packet that asked for the SA: since everything allowed of everything
/// offered is returned, that packet is covered whenever the policy allows it. At most [`MAX_NARROWED`] are returned;
/// the caller may answer ADDITIONAL_TS_POSSIBLE.
pub fn narrow(offered: &[TrafficSelector], policy: &[TrafficSelector]) -> Vec<TrafficSelector> {
    let mut narrowed: Vec<TrafficSelector> = Vec::new();
    for common in offered.iter().flat_map(|offer| policy.iter().filter_map(|ours| offer.intersect(ours))) {
        if narrowed.iter().any(|known| known.covers(&common)) {
            continue;
        }
        narrowed.retain(|known| !common.covers(known));
        if narrowed.len() == MAX_NARROWED {
            break;
        }
        narrowed.push(common);
    }
    narrowed
}

/// Whether every selector of `reply` stays within one of `sent`: an initiator's check of what the responder narrowed.
pub fn is_narrowing(reply: &[TrafficSelector], sent: &[TrafficSelector]) -> bool {
    !reply.is_empty() && reply.iter().all(|got| sent.iter().any(|ours| ours.covers(got)))
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix_bits() {
            Some(bits) => write!(f, "{}/{bits}", self.first()),
            None => write!(f, "{}-{}", self.first(), self.last()),
        }
    }
}

impl fmt::Display for TrafficSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.addresses)?;
        if self.protocol != 0 || self.ports != PortRange::ANY {
            write!(f, "[{}", self.protocol)?;
            match self.ports {
                PortRange::ANY => {}
                PortRange::Opaque => f.write_str("/opaque")?,
                PortRange::Span { first, last } if first == last => write!(f, "/{first}")?,
                PortRange::Span { first, last } => write!(f, "/{first}-{last}")?,
            }
            f.write_str("]")?;
        }
        Ok(())
    }
}

impl fmt::Debug for TrafficSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Span { first, last } => write!(f, "{first}-{last}"),
            Self::Opaque => f.write_str("opaque"),
        }
    }
}

#[cfg(test)]
mod tests;
