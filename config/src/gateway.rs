//! Virtual network gateways: where a network's tunnels begin.

use std::net::IpAddr;

use crate::choice::Choice;
use crate::name::Name;
use crate::sku::Sku;

/// What a gateway carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GatewayType {
    /// IPsec tunnels.
    Vpn,
}

impl Choice for GatewayType {
    const WORDS: &'static [(&'static str, Self)] = &[("Vpn", Self::Vpn)];
    const REFUSED: &'static [(&'static str, &'static str, &'static str)] = &[(
        "ExpressRoute",
        "gateways of private circuits are not supported by this version",
        "leave the gateway out, or make it a \"Vpn\" gateway",
    )];
}

/// How a gateway decides what enters a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VpnType {
    /// By routes; any number of tunnels.
    RouteBased,
    /// By pairs of prefixes; one tunnel.
    PolicyBased,
}

impl Choice for VpnType {
    const WORDS: &'static [(&'static str, Self)] =
        &[("RouteBased", Self::RouteBased), ("PolicyBased", Self::PolicyBased)];
}

/// A gateway of a virtual network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VirtualNetworkGateway {
    /// Name, unique among gateways.
    pub name: Name,
    /// The network that it serves; that network has no other gateway of this type.
    pub virtual_network: Name,
    /// What it carries.
    pub gateway_type: GatewayType,
    /// Routes or pairs of prefixes.
    pub vpn_type: VpnType,
    /// Its size.
    pub sku: Sku,
    /// Public addresses, at least one; each is an address of an underlay port.
    pub public_addresses: Vec<IpAddr>,
}
