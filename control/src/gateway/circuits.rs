//! Private circuits: has their routers asked for, and gives the workers another snapshot when one goes down or comes back.

use crossgate_config::{ExpressRouteCircuit, ExpressRouteConnection, VirtualNetwork};
use crossgate_ike::environment::Instant;

use super::Gateway;
use crate::circuits::Question;
use crate::console::protocol::{Connection, Failure};

impl Gateway {
    /// Asks for routers, if it is time.
    pub(super) fn tend_circuits(&mut self, now: Instant) -> bool {
        let fleet = &self.fleet;
        let (questions, changed) = self.circuits.ask(now, |port| fleet.has_link(port));
        // As of answers: one snapshot a turn.
        self.is_stale |= changed;
        for Question { interface, address } in &questions {
            self.workers.solicit(*interface, *address);
        }
        !questions.is_empty()
    }

    /// A connection of type `ExpressRoute` as the console shows it.
    pub(super) fn circuit_view(
        &self,
        connection: &ExpressRouteConnection,
        circuit: &ExpressRouteCircuit,
        network: &VirtualNetwork,
    ) -> Connection {
        let (name, now) = (&connection.name, self.clock.now());
        let local = circuit.addresses.first().map_or_else(String::new, |own| own.address.to_string());
        let hop = [true, false].into_iter().find_map(|ipv4| self.circuits.next_hop(name, ipv4));
        let remote = hop.or(circuit.next_hops.first().copied());
        let ago = |at: Instant| now.saturating_since(at).as_secs();
        Connection {
            name: name.to_string(),
            gateway: connection.gateway.to_string(),
            virtual_network: network.name.to_string(),
            peer: circuit.name.to_string(),
            local,
            remote: remote.map_or_else(String::new, |remote| remote.to_string()),
            places: Vec::new(),
            mode: "ExpressRoute".to_owned(),
            state: self.circuits.state(name).word().to_owned(),
            up_s: self.circuits.up_since(name).map(ago),
            peer_id: None,
            role: None,
            ike_suite: None,
            esp_suite: None,
            encapsulation: Some("none".to_owned()),
            ike_rekey_in_s: None,
            remote_prefixes: circuit.prefixes.iter().map(ToString::to_string).collect(),
            tunnels: Vec::new(),
            part: None,
            nat_rules: Vec::new(),
            assigned: Vec::new(),
            traffic: self.circuits.traffic(name),
            failure: self.circuits.problem(name).map(|(problem, since)| Failure {
                problem,
                remedy: "look at the port (crossgate ports), the VLAN and the provider's router".to_owned(),
                ago_s: since.map_or(0, ago),
                retry_in_s: None,
            }),
        }
    }
}
