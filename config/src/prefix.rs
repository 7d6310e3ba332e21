//! Prefixes and addresses: reading them, and what overlaps what.

use std::net::IpAddr;

use ipnet::IpNet;

/// An address of the gateway with the network that it is connected to, `10.1.0.1/24`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct InterfaceAddress {
    /// The gateway's own address.
    pub address: IpAddr,
    /// The connected network; its host bits are 0.
    pub network: IpNet,
}

/// A static route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StaticRoute {
    /// Destinations; host bits are 0.
    pub prefix: IpNet,
    /// A neighbour in one of the connected networks of the same interface.
    pub next_hop: IpAddr,
}
