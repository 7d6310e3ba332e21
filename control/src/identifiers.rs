//! Numbers for names: what the data plane and the IKE core call a resource. A name keeps its number for as long as it is configured, so that
//! an edit of one resource touches no other; a number is used again only after its name is gone.

use std::collections::{BTreeMap, BTreeSet};

use crossgate_config::{Config, Name};
use crossgate_dataplane::forwarding::{InterfaceId, PortIndex, VrfId};
use crossgate_ike::event::ConnectionId;

/// The numbers in use.
#[derive(Debug, Clone, Default)]
pub struct Identifiers {
    ports: BTreeMap<Name, u32>,
    underlay: BTreeMap<Name, u32>,
    networks: BTreeMap<Name, u32>,
    /// By connection of type `ExpressRoute`.
    circuits: BTreeMap<Name, u32>,
    /// A number for each of our ends.
    connections: BTreeMap<Name, Vec<u32>>,
    /// The same the other way round.
    names: BTreeMap<u32, Name>,
    last_connection: u32,
}

impl Identifiers {
    /// The numbers for `config`: names that `self` knows keep theirs, apart from connections that are `gone` and may have come back as
    /// another connection of the same name.
    #[must_use]
    pub fn extended(&self, config: &Config, gone: &BTreeSet<Name>) -> Self {
        let mut next = self.clone();
        let underlay: BTreeSet<Name> = config.underlay_ports().map(|port| port.name.clone()).collect();
        // Interfaces of networks, of the underlay and of circuits share one space of numbers, in turns.
        assign(&mut next.ports, config.ports().keys());
        assign(&mut next.underlay, underlay.iter());
        assign(&mut next.networks, config.virtual_networks().keys());
        assign(&mut next.circuits, config.circuit_connections().keys());
        next.connections.retain(|name, _| config.connections().contains_key(name) && !gone.contains(name));
        for (name, connection) in config.connections() {
            let numbers = next.connections.entry(name.clone()).or_default();
            let ends = connection.local_ends().count();
            numbers.truncate(ends);
            // The IKE core never sees a number twice: a late result must not meet another connection.
            let fresh = (next.last_connection + 1..).take(ends - numbers.len());
            numbers.extend(fresh);
            next.last_connection = numbers.iter().copied().fold(next.last_connection, u32::max);
        }
        let ends = next
            .connections
            .iter()
            .flat_map(|(name, numbers)| numbers.iter().map(move |number| (*number, name.clone())));
        next.names = ends.collect();
        next
    }

    /// Every number of a connection.
    pub fn all_connections(&self) -> impl Iterator<Item = ConnectionId> {
        self.connections.values().flatten().copied().map(ConnectionId)
    }

    /// Position of a port in every worker's list.
    #[must_use]
    pub fn port(&self, name: &Name) -> Option<PortIndex> {
        self.ports.get(name).and_then(|n| u16::try_from(*n).ok()).map(PortIndex)
    }

    /// The interface of an underlay port.
    #[must_use]
    pub fn underlay_interface(&self, port: &Name) -> Option<InterfaceId> {
        self.underlay.get(port).and_then(|n| u16::try_from(n * 3 + 1).ok()).map(InterfaceId)
    }

    /// The interface of a virtual network.
    #[must_use]
    pub fn network_interface(&self, network: &Name) -> Option<InterfaceId> {
        self.networks.get(network).and_then(|n| u16::try_from(n * 3).ok()).map(InterfaceId)
    }

    /// The interface of the circuit that a connection of type `ExpressRoute` uses.
    #[must_use]
    pub fn circuit_interface(&self, connection: &Name) -> Option<InterfaceId> {
        self.circuits.get(connection).and_then(|n| u16::try_from(n * 3 + 2).ok()).map(InterfaceId)
    }

    /// The VRF of a virtual network; never the underlay's.
    #[must_use]
    pub fn vrf(&self, network: &Name) -> Option<VrfId> {
        self.networks.get(network).and_then(|n| u16::try_from(n + 1).ok()).map(VrfId)
    }

    /// The number of a connection, of its first end if it has two.
    #[must_use]
    pub fn connection(&self, name: &str) -> Option<ConnectionId> {
        self.ends(name).next()
    }

    /// The numbers of a connection, one for each of our ends, in the order of [`crossgate_config::Connection::local_ends`]. What the IKE core calls a connection is one
    /// of them: it has one address on our side.
    pub fn ends(&self, name: &str) -> impl Iterator<Item = ConnectionId> {
        self.connections.get(name).into_iter().flatten().copied().map(ConnectionId)
    }

    /// The name of a connection.
    #[must_use]
    pub fn connection_name(&self, id: ConnectionId) -> Option<&Name> {
        self.names.get(&id.0)
    }
}

/// Drops names that are gone and gives new ones the smallest free numbers.
fn assign<'a>(numbers: &mut BTreeMap<Name, u32>, names: impl Iterator<Item = &'a Name>) {
    let names: BTreeSet<&Name> = names.collect();
    numbers.retain(|name, _| names.contains(name));
    let taken: BTreeSet<u32> = numbers.values().copied().collect();
    let mut free = (0..).filter(|number| !taken.contains(number));
    for name in names {
        if !numbers.contains_key(name) {
            let number = free.next().expect("more numbers than names");
            numbers.insert(name.clone(), number);
        }
    }
}
