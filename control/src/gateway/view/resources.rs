//! Networks, gateways and local network gateways as the operator configured them, with what is to be said of them now.

use std::collections::HashSet;

use crossgate_config::{Choice as _, Name, Sku};

use super::Gateway;
use crate::console::protocol::{
    Clients, Connection, LocalNetworkGateway, NatRule, Peering, Route, Traffic, VirtualNetwork,
    VirtualNetworkGateway,
};

impl Gateway {
    /// Every virtual network, by name.
    #[must_use]
    pub fn virtual_networks(&self) -> Vec<VirtualNetwork> {
        let config = &self.config;
        let views = config.virtual_networks().values().map(|network| {
            let vpn = config.gateways().values().map(|gateway| (&gateway.name, &gateway.virtual_network));
            let of_circuits = config.circuit_gateways().values();
            let of_circuits = of_circuits.map(|gateway| (&gateway.name, &gateway.virtual_network));
            let own = vpn.chain(of_circuits).filter(|(_, serves)| **serves == network.name);
            let peerings = config.peerings().values().filter(|one| one.virtual_network == network.name);
            let routes = network.routes.iter();
            VirtualNetwork {
                name: network.name.to_string(),
                region: network.region.as_ref().map(ToString::to_string),
                address_space: texts(&network.address_space),
                gateway_subnet: network.gateway_subnet.as_ref().map(ToString::to_string),
                port: network.port.to_string(),
                vlan: network.vlan.map(|vlan| vlan.get()),
                addresses: network
                    .addresses
                    .iter()
                    .map(|own| format!("{}/{}", own.address, own.network.prefix_len()))
                    .collect(),
                routes: routes
                    .map(|route| Route {
                        prefix: route.prefix.to_string(),
                        next_hop: route.next_hop.to_string(),
                    })
                    .collect(),
                gateways: own.map(|(gateway, _)| gateway.to_string()).collect(),
                peerings: peerings
                    .map(|peering| Peering {
                        name: peering.name.to_string(),
                        remote_virtual_network: peering.remote_virtual_network.to_string(),
                        allow_gateway_transit: peering.allow_gateway_transit,
                        use_remote_gateways: peering.use_remote_gateways,
                    })
                    .collect(),
            }
        });
        views.collect()
    }

    /// Every gateway of either type, by name.
    #[must_use]
    pub fn virtual_network_gateways(&self) -> Vec<VirtualNetworkGateway> {
        let connections = self.connections();
        let vpn = self.config.gateways().keys().filter_map(|name| self.vpn_gateway(name, &connections));
        let circuits = self.config.circuit_gateways().values().map(|gateway| {
            let carried = Carried::of(&gateway.name, &connections);
            VirtualNetworkGateway {
                name: gateway.name.to_string(),
                gateway_type: "ExpressRoute".to_owned(),
                virtual_network: gateway.virtual_network.to_string(),
                vpn_type: None,
                sku: gateway.sku.word().to_owned(),
                generation: None,
                public_addresses: Vec::new(),
                active_active: false,
                bandwidth_mbit_per_s: Some(gateway.bandwidth_mbit_per_s()),
                tunnels_max: None,
                asn: None,
                connections: carried.names,
                connections_up: carried.up,
                clients: None,
                nat_rules: Vec::new(),
                traffic: carried.traffic,
            }
        });
        let mut views: Vec<_> = vpn.chain(circuits).collect();
        views.sort_by(|one, other| one.name.cmp(&other.name));
        views
    }

    fn vpn_gateway(&self, name: &Name, connections: &[Connection]) -> Option<VirtualNetworkGateway> {
        let gateway = self.config.gateways().get(name)?;
        let of_clients =
            self.config.connections().values().find(|one| one.gateway == *name && one.is_of_clients());
        let mut carried = Carried::of(name, connections);
        let clients = gateway.vpn_client.as_ref().zip(of_clients).map(|(clients, connection)| {
            carried.leave_out(connections.iter().find(|one| one.name == connection.name.as_str()));
            let ends = self.identifiers.ends(connection.name.as_str());
            let users: HashSet<_> =
                ends.flat_map(|end| self.endpoint.leases(end)).map(|(_, user)| user).collect();
            Clients {
                connection: connection.name.to_string(),
                address_pool: texts(&clients.address_pool),
                sessions: users.len(),
                sessions_max: clients.sessions_max,
            }
        });
        let rules = self.config.nat_rules().values().filter(|rule| rule.gateway == *name);
        let nat_rules: Vec<NatRule> = rules.map(|rule| self.nat_rule(rule)).collect();
        Some(VirtualNetworkGateway {
            name: name.to_string(),
            gateway_type: "Vpn".to_owned(),
            virtual_network: gateway.virtual_network.to_string(),
            vpn_type: Some(gateway.vpn_type.word().to_owned()),
            sku: gateway.sku.word().to_owned(),
            generation: (gateway.sku != Sku::Custom).then(|| gateway.generation.word().to_owned()),
            public_addresses: texts(&gateway.public_addresses),
            active_active: gateway.active_active,
            bandwidth_mbit_per_s: gateway.limits.bandwidth_mbit_per_s,
            tunnels_max: Some(gateway.limits.tunnels),
            asn: gateway.bgp.as_ref().map(|bgp| bgp.asn),
            connections: carried.names,
            connections_up: carried.up,
            clients,
            nat_rules,
            traffic: carried.traffic,
        })
    }

    /// Every local network gateway, by name.
    #[must_use]
    pub fn local_network_gateways(&self) -> Vec<LocalNetworkGateway> {
        let views = self.config.local_network_gateways().values().map(|peer| {
            let connections = self.config.connections().values();
            let ways = connections.filter(|one| one.local_network_gateway() == Some(&peer.name));
            LocalNetworkGateway {
                name: peer.name.to_string(),
                address: peer.address.to_string(),
                backup_addresses: texts(&peer.backup_addresses),
                prefixes: texts(&peer.prefixes),
                asn: peer.bgp.as_ref().map(|bgp| bgp.asn),
                bgp_peering_address: peer.bgp.as_ref().map(|bgp| bgp.peering_address.to_string()),
                connections: ways.map(|one| one.name.to_string()).collect(),
            }
        });
        views.collect()
    }
}

/// The connections of a gateway.
struct Carried {
    names: Vec<String>,
    up: usize,
    traffic: Traffic,
}

impl Carried {
    fn of(gateway: &Name, connections: &[Connection]) -> Self {
        let own = || connections.iter().filter(|connection| connection.gateway == gateway.as_str());
        let mut traffic = Traffic::default();
        for Connection { traffic: more, .. } in own() {
            traffic.in_packets += more.in_packets;
            traffic.in_bytes += more.in_bytes;
            traffic.out_packets += more.out_packets;
            traffic.out_bytes += more.out_bytes;
        }
        let names = own().map(|connection| connection.name.clone()).collect();
        Self { names, up: own().filter(|connection| connection.state == "up").count(), traffic }
    }

    /// Clients come and go: their connection is up or not, and that says nothing. What it carried counts.
    fn leave_out(&mut self, of_clients: Option<&Connection>) {
        let Some(connection) = of_clients else { return };
        self.names.retain(|name| *name != connection.name);
        self.up -= usize::from(connection.state == "up");
    }
}

fn texts(values: &[impl ToString]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}
