//! Local network gateways: the peers and the prefixes behind them.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::name::Name;

/// Where a peer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PeerAddress {
    /// At this address, and nowhere else (until NAT moves its port).
    At(IpAddr),
    /// Anywhere (`"any"`): it must call us, and is known by its identity.
    Any,
}

/// A peer and the networks behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalNetworkGateway {
    /// Name, unique among local network gateways.
    pub name: Name,
    /// Where it is.
    pub address: PeerAddress,
    /// The prefixes behind it; at least one, none twice.
    pub prefixes: Vec<IpNet>,
}
