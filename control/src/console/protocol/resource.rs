//! Resources in the words of the configuration, with the state that they are in. Filled in by `gateway/view/resources.rs`.

use serde::{Deserialize, Serialize};

use super::{NatRule, Traffic};

/// A virtual network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VirtualNetwork {
    /// Its name.
    pub name: String,
    /// Where it is, if that is said.
    pub region: Option<String>,
    /// Its prefixes.
    pub address_space: Vec<String>,
    /// What of them is set aside for gateways.
    pub gateway_subnet: Option<String>,
    /// The port that leads into it.
    pub port: String,
    /// The VLAN on that port; null for untagged.
    pub vlan: Option<u16>,
    /// Our addresses in it.
    pub addresses: Vec<String>,
    /// Static routes inside it.
    pub routes: Vec<Route>,
    /// Its gateways, of either type.
    pub gateways: Vec<String>,
    /// Its peerings.
    pub peerings: Vec<Peering>,
}

/// A static route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Where it leads.
    pub prefix: String,
    /// By whom.
    pub next_hop: String,
}

/// A network's side of a peering.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peering {
    /// Its name.
    pub name: String,
    /// The other network.
    pub remote_virtual_network: String,
    /// Whether the other one may use this one's gateways.
    pub allow_gateway_transit: bool,
    /// Whether this one uses the other one's.
    pub use_remote_gateways: bool,
}

/// A gateway of either type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VirtualNetworkGateway {
    /// Its name.
    pub name: String,
    /// `Vpn` or `ExpressRoute`.
    #[serde(rename = "type")]
    pub gateway_type: String,
    /// The network that it serves.
    pub virtual_network: String,
    /// `RouteBased` or `PolicyBased`; null where there are no tunnels.
    pub vpn_type: Option<String>,
    /// Its size.
    pub sku: String,
    /// Its generation, where its size has one.
    pub generation: Option<String>,
    /// Its public addresses.
    pub public_addresses: Vec<String>,
    /// Whether each connection has a tunnel from two of them.
    pub active_active: bool,
    /// What all its connections may carry together; null for no limit.
    pub bandwidth_mbit_per_s: Option<u32>,
    /// Connections that it may have; null where circuits are counted otherwise.
    pub tunnels_max: Option<u32>,
    /// Its autonomous system, if it has settings for BGP.
    pub asn: Option<u32>,
    /// Its connections, without that of its clients.
    pub connections: Vec<String>,
    /// How many of them are up.
    pub connections_up: usize,
    /// Its clients, if it may have any.
    pub clients: Option<Clients>,
    /// Its NAT rules.
    pub nat_rules: Vec<NatRule>,
    /// What all its connections have carried.
    pub traffic: Traffic,
}

/// The clients of a gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clients {
    /// The connection that stands for them.
    pub connection: String,
    /// Where their addresses come from.
    pub address_pool: Vec<String>,
    /// How many are there.
    pub sessions: usize,
    /// How many there may be.
    pub sessions_max: u32,
}

/// A peer and what is behind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalNetworkGateway {
    /// Its name.
    pub name: String,
    /// Its address or name, or "any".
    pub address: String,
    /// Where it is called when nobody answers there.
    pub backup_addresses: Vec<String>,
    /// The prefixes behind it.
    pub prefixes: Vec<String>,
    /// Its autonomous system, if it has settings for BGP.
    pub asn: Option<u32>,
    /// Its address in BGP.
    pub bgp_peering_address: Option<String>,
    /// The connections that lead to it.
    pub connections: Vec<String>,
}
