//! What of a gateway is not DPDK, with the words of the core's configuration instead of the core.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crossgate_config::Config;
use crossgate_dataplane::forwarding::{Forwarding, NextHop, VrfId};
use crossgate_dataplane::header::Protocol;
use crossgate_dataplane::header::ethernet::Mac;
use crossgate_dataplane::selector::Flow;
use crossgate_ike::environment::Instant;
use crossgate_ike::event::ConnectionId;

use super::super::forwarding::{self, Lasting, PortFacts};
use super::super::{Change, Prepared, differences, from_nothing};
use super::generate::addresses;
use crate::circuits::Circuits;
use crate::identifiers::Identifiers;
use crate::meters::Meters;
use crate::nat_pools::NatPools;
use crate::tunnels::Tunnels;

pub(super) struct Appliance {
    pub(super) config: Config,
    pub(super) identifiers: Identifiers,
    tunnels: Tunnels,
    nat_pools: NatPools,
    core: BTreeMap<ConnectionId, String>,
}

impl Appliance {
    pub(super) fn fresh(wanted: &Config) -> Self {
        let mut appliance = Self {
            config: wanted.clone(),
            identifiers: Identifiers::default(),
            tunnels: Tunnels::default(),
            nat_pools: NatPools::default(),
            core: BTreeMap::new(),
        };
        appliance.carry_out(wanted, &from_nothing(wanted));
        appliance
    }

    pub(super) fn apply(&mut self, wanted: &Config) {
        let changes = differences(&self.config, wanted);
        self.carry_out(wanted, &changes);
    }

    fn carry_out(&mut self, wanted: &Config, changes: &[Change]) {
        let prepared = Prepared::new(&self.identifiers, wanted, changes).expect("it can be applied");
        for id in &prepared.removed {
            assert!(self.core.remove(id).is_some(), "the core never had {id:?}");
        }
        self.tunnels = prepared.tunnels(&self.tunnels);
        for mut connection in prepared.configured {
            let id = std::mem::replace(&mut connection.id, ConnectionId(0));
            self.core.insert(id, format!("{connection:?}"));
        }
        self.identifiers = prepared.identifiers;
        // No packet needs the room of a pool.
        self.nat_pools = self.nat_pools.planned(wanted);
        self.config = wanted.clone();
    }

    pub(super) fn forwarding(&self) -> Forwarding {
        let fact = PortFacts { mac: Mac([2, 0, 0, 0, 0, 1]), mtu_bytes: 1500 };
        let (meters, facts) = (Meters::default(), [fact, fact]);
        // The circuit is up: it takes what it may.
        let mut circuits = Circuits::default();
        circuits.follow(&self.config, &self.identifiers, &meters);
        for connection in self.config.circuit_connections().keys() {
            let on = self.identifiers.circuit_interface(connection).expect("it has a number");
            circuits.hear(on, [172, 31, 0, 2].into(), Instant::default());
        }
        let lasting = Lasting { meters: &meters, nat_pools: &self.nat_pools, circuits: &circuits };
        forwarding::build(&self.config, &self.identifiers, &self.tunnels, lasting, &facts)
            .expect("consistent")
    }

    /// The connections whose tunnels a packet goes into; which of them it prefers depends on numbers. None if it goes into no tunnel.
    pub(super) fn tunnels(&self, built: &Forwarding, vrf: VrfId, to: IpAddr) -> Option<BTreeSet<String>> {
        let flow = Flow {
            source: [10, 0, 0, 9].into(),
            destination: to,
            protocol: Protocol::UDP,
            source_port: None,
            destination_port: None,
        };
        let name = |tunnel| {
            let id = self.tunnels.connection(tunnel).expect("a tunnel of a connection");
            self.identifiers.connection_name(id).expect("a connection that is there").to_string()
        };
        match built.route(vrf, to) {
            next @ NextHop::Group(_) => {
                Some(built.candidates(next, &flow).map(|(tunnel, _)| name(tunnel)).collect())
            }
            NextHop::Tunnel(tunnel) => Some(BTreeSet::from([name(tunnel)])),
            _ => None,
        }
    }

    /// Where a packet goes, in names.
    pub(super) fn way(&self, built: &Forwarding, vrf: VrfId, to: IpAddr) -> String {
        match built.route(vrf, to) {
            NextHop::Group(_) => format!("tunnels of {:?}", self.tunnels(built, vrf, to)),
            NextHop::Tunnel(tunnel) => {
                let nat = &built.tunnel(tunnel).expect("it is there").nat;
                format!("tunnel of {:?} {nat:?}", self.tunnels(built, vrf, to))
            }
            NextHop::Local(on) | NextHop::Connected(on) | NextHop::Via(on, _) => {
                let interface = built.interface(on).expect("an interface that is there");
                let next = match built.route(vrf, to) {
                    NextHop::Via(_, address) => address.to_string(),
                    _ => String::new(),
                };
                format!("on {:?} {:?} {next}", interface.vlan, interface.addresses)
            }
            next => format!("{next:?}"),
        }
    }

    /// Everything about it that does not depend on numbers.
    pub(super) fn said(&self) -> Vec<String> {
        let built = self.forwarding();
        let mut said = Vec::new();
        for (name, connection) in self.config.connections() {
            let ids = self.identifiers.ends(name.as_str());
            said.extend(connection.local_ends().zip(ids).map(|(_, id)| self.core[&id].clone()));
        }
        assert_eq!(said.len(), self.core.len(), "the core has a connection that is not configured");
        for network in self.config.virtual_networks().keys() {
            let vrf = self.identifiers.vrf(network).expect("it has a number");
            said.extend(addresses().map(|to| format!("{network} {to} {}", self.way(&built, vrf, to.into()))));
        }
        said
    }
}
