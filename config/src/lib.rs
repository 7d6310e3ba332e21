//! The resources of a gateway: read from TOML, checked as a whole, with every finding at once.
//!
//! [`Config::read`] takes a file and answers either a [`Config`] in which everything fits together (with the warnings
//! beside it) or every [`Finding`] that there is. Nothing in a `Config` has to be checked again: names lead somewhere,
//! addresses are on ports, selectors lie in the network, algorithms exist. Resources compare with `==`, so that the
//! difference between two configurations can be computed; secrets compare in constant time.
//!
//! The entry points:
//! `Config::read(&Path, &Environment) -> Result<Checked, Findings>` for a file and
//! `Config::parse(Source, &Environment) -> Result<Checked, Findings>` for text, where `Checked { config, warnings }`.
//!
//! This crate knows no packet and opens no socket. The control thread and the programs call it.

#![forbid(unsafe_code)]

mod appliance;
mod choice;
mod connection;
mod environment;
mod finding;
mod gateway;
mod identity;
mod local_network_gateway;
mod name;
mod network;
pub mod policy;
mod port;
mod prefix;
mod secret;
mod selectors;
mod sku;

use std::collections::BTreeMap;

pub use appliance::{Appliance, CoreId, Idle, Memory};
pub use choice::Choice;
pub use connection::{Connection, ConnectionMode, ConnectionType, MssClamp};
pub use environment::{Environment, Source};
pub use finding::{Finding, Findings, Severity};
pub use gateway::{GatewayType, VirtualNetworkGateway, VpnType};
pub use identity::Identity;
pub use local_network_gateway::{LocalNetworkGateway, PeerAddress};
pub use name::Name;
pub use network::{VirtualNetwork, VlanId};
pub use policy::Policy;
pub use port::{Device, Port};
pub use prefix::{InterfaceAddress, StaticRoute};
pub use secret::SharedKey;
pub use selectors::TrafficSelectors;
pub use sku::Sku;

/// A configuration in which everything fits together. Made by [`Config::read`] and [`Config::parse`] alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    appliance: Appliance,
    ports: BTreeMap<Name, Port>,
    virtual_networks: BTreeMap<Name, VirtualNetwork>,
    gateways: BTreeMap<Name, VirtualNetworkGateway>,
    local_network_gateways: BTreeMap<Name, LocalNetworkGateway>,
    connections: BTreeMap<Name, Connection>,
}

impl Config {
    /// The machine.
    #[must_use]
    pub fn appliance(&self) -> &Appliance {
        &self.appliance
    }

    /// Ports by name.
    #[must_use]
    pub fn ports(&self) -> &BTreeMap<Name, Port> {
        &self.ports
    }

    /// The ports of the underlay: those that no virtual network names.
    pub fn underlay_ports(&self) -> impl Iterator<Item = &Port> {
        self.ports.values().filter(|port| !self.virtual_networks.values().any(|n| n.port == port.name))
    }

    /// Virtual networks by name.
    #[must_use]
    pub fn virtual_networks(&self) -> &BTreeMap<Name, VirtualNetwork> {
        &self.virtual_networks
    }

    /// Gateways by name.
    #[must_use]
    pub fn gateways(&self) -> &BTreeMap<Name, VirtualNetworkGateway> {
        &self.gateways
    }

    /// Local network gateways by name.
    #[must_use]
    pub fn local_network_gateways(&self) -> &BTreeMap<Name, LocalNetworkGateway> {
        &self.local_network_gateways
    }

    /// Connections by name.
    #[must_use]
    pub fn connections(&self) -> &BTreeMap<Name, Connection> {
        &self.connections
    }

    /// The gateway that `connection`, one of this configuration, begins at.
    ///
    /// # Panics
    /// If `connection` is of another configuration.
    #[must_use]
    pub fn gateway_of(&self, connection: &Connection) -> &VirtualNetworkGateway {
        self.gateways.get(&connection.gateway).expect("the gateway of a checked connection exists")
    }

    /// The network that the gateway of `connection`, one of this configuration, serves.
    ///
    /// # Panics
    /// If `connection` is of another configuration.
    #[must_use]
    pub fn network_of(&self, connection: &Connection) -> &VirtualNetwork {
        let network = &self.gateway_of(connection).virtual_network;
        self.virtual_networks.get(network).expect("the network of a checked gateway exists")
    }

    /// The peer that `connection`, one of this configuration, leads to.
    ///
    /// # Panics
    /// If `connection` is of another configuration.
    #[must_use]
    pub fn peer_of(&self, connection: &Connection) -> &LocalNetworkGateway {
        let peer = &connection.local_network_gateway;
        self.local_network_gateways.get(peer).expect("the peer of a checked connection exists")
    }
}
