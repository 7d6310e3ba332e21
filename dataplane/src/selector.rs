//! Traffic selectors (RFC 4301, 4.4.1; RFC 7296, 3.13.1): which packets a tunnel may carry, checked against both sides'
//! address ranges, the protocol and the ports. Called by the pipeline: outbound before ESP, inbound after it.
//!
//! Ports follow RFC 4301, 4.4.1.1: ICMP's type and code stand where ports stand; a fragment that is not the first has none.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use crate::forwarding::is_link_local;
use crate::header::Protocol;

pub(crate) mod index;

/// A range of addresses of one family, both ends included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressRange {
    /// IPv4 addresses.
    V4(RangeInclusive<Ipv4Addr>),
    /// IPv6 addresses.
    V6(RangeInclusive<Ipv6Addr>),
}

impl AddressRange {
    /// Whether the range has the address; never true across families.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self, address) {
            (Self::V4(range), IpAddr::V4(address)) => range.contains(&address),
            (Self::V6(range), IpAddr::V6(address)) => range.contains(&address),
            _ => false,
        }
    }

    /// Its first address.
    #[must_use]
    pub fn first(&self) -> IpAddr {
        match self {
            Self::V4(range) => (*range.start()).into(),
            Self::V6(range) => (*range.start()).into(),
        }
    }

    /// Whether the range has every address of its family.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        match self {
            Self::V4(range) => range.start().is_unspecified() && range.end().is_broadcast(),
            Self::V6(range) => range.start().is_unspecified() && range.end().to_bits() == u128::MAX,
        }
    }
}

impl From<ipnet::IpNet> for AddressRange {
    fn from(prefix: ipnet::IpNet) -> Self {
        match prefix {
            ipnet::IpNet::V4(prefix) => Self::V4(prefix.network()..=prefix.broadcast()),
            ipnet::IpNet::V6(prefix) => Self::V6(prefix.network()..=prefix.broadcast()),
        }
    }
}

/// Which ports (or ICMP types and codes: type in the upper eight bits) a selector takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ports {
    /// All, and packets without ports too (start 0, end 65535 in IKE).
    Any,
    /// Packets whose port is known and lies in the range.
    Range(RangeInclusive<u16>),
    /// Only packets whose ports cannot be seen: fragments that are not the first (start 65535, end 0 in IKE).
    Opaque,
}

impl Ports {
    /// From the two numbers of an IKE traffic selector; none where they mean nothing (start above end).
    #[must_use]
    pub fn from_wire(start: u16, end: u16) -> Option<Self> {
        match (start, end) {
            (0, u16::MAX) => Some(Self::Any),
            (u16::MAX, 0) => Some(Self::Opaque),
            _ if start <= end => Some(Self::Range(start..=end)),
            _ => None,
        }
    }

    fn contains(&self, port: Option<u16>) -> bool {
        match (self, port) {
            (Self::Any, _) | (Self::Opaque, None) => true,
            (Self::Range(range), Some(port)) => range.contains(&port),
            (Self::Range(_), None) | (Self::Opaque, Some(_)) => false,
        }
    }
}

/// One side of one traffic selector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrafficSelector {
    /// Addresses on this side.
    pub addresses: AddressRange,
    /// None for any protocol.
    pub protocol: Option<Protocol>,
    /// Ports on this side.
    pub ports: Ports,
}

impl TrafficSelector {
    /// Every protocol and port of a prefix.
    #[must_use]
    pub fn of_prefix(prefix: ipnet::IpNet) -> Self {
        Self { addresses: prefix.into(), protocol: None, ports: Ports::Any }
    }

    fn matches(&self, address: IpAddr, protocol: Protocol, port: Option<u16>) -> bool {
        self.addresses.contains(address)
            && self.protocol.is_none_or(|wanted| wanted == protocol)
            && self.ports.contains(port)
    }
}

/// What selectors look at in a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// Upper-layer protocol (IPv6: behind the extension headers).
    pub protocol: Protocol,
    /// Source port, or ICMP type and code; none where the packet has none (not the first fragment, other protocols).
    pub source_port: Option<u16>,
    /// Destination port; ICMP has the same type and code here as in `source_port`.
    pub destination_port: Option<u16>,
}

impl Flow {
    /// Whether source or destination means something on one link only.
    #[must_use]
    pub fn is_link_local(&self) -> bool {
        is_link_local(self.source) || is_link_local(self.destination)
    }

    /// Whether the packet is an ICMP error: it tells about a packet that went the other way, and any router on that way may have sent it
    /// (RFC 792; RFC 4443, 2.1).
    #[must_use]
    pub fn is_icmp_error(&self) -> bool {
        let Some(kind) = self.source_port.map(|kind_and_code| kind_and_code >> 8) else { return false };
        match self.protocol {
            Protocol::ICMP => matches!(kind, 3 | 11 | 12),
            Protocol::ICMPV6 => kind < 128,
            _ => false,
        }
    }
}

/// The selectors of one tunnel: any pair of a local and a remote one (RFC 7296, 2.9).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Selectors {
    /// Our side: sources of outbound, destinations of inbound packets.
    pub local: Vec<TrafficSelector>,
    /// The peer's side.
    pub remote: Vec<TrafficSelector>,
}

impl Selectors {
    /// Whether every packet between two addresses meets the same fate, whatever its protocol and ports.
    #[must_use]
    pub fn look_at_addresses_only(&self) -> bool {
        self.local.iter().chain(&self.remote).all(|s| s.protocol.is_none() && s.ports == Ports::Any)
    }

    /// Whether a packet from our side may enter the tunnel.
    #[must_use]
    pub fn matches_outbound(&self, flow: &Flow) -> bool {
        self.local.iter().any(|s| s.matches(flow.source, flow.protocol, flow.source_port))
            && self.remote.iter().any(|s| s.matches(flow.destination, flow.protocol, flow.destination_port))
    }

    /// The selector of the peer's side that covers a packet which came out of the tunnel, if our side has one for it, too (RFC 4301, 5.2, step 4).
    #[must_use]
    pub fn match_inbound(&self, flow: &Flow) -> Option<&TrafficSelector> {
        let to_us =
            self.local.iter().any(|s| s.matches(flow.destination, flow.protocol, flow.destination_port));
        let from_them =
            || self.remote.iter().find(|s| s.matches(flow.source, flow.protocol, flow.source_port));
        if to_us { from_them() } else { None }
    }
}

#[cfg(test)]
mod tests;
