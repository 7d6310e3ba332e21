//! The workers' snapshot from the configuration and what was negotiated: interfaces, routes, tunnels.
//!
//! The underlay is VRF 0. Each virtual network is a VRF of its own with no route into the underlay, so that a packet of a network can
//! leave the machine in a tunnel, inside the network or over a private circuit of the network, and in no other way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crossgate_config::{
    Config, Connection, InterfaceAddress, MssClamp, Name, Port, StaticRoute, VirtualNetworkPeering,
};
use crossgate_dataplane::forwarding::{
    BuildError, Builder, DontFragment, Forwarding, GroupId, Interface, InterfaceId, Member,
    MssClamp as Clamp, NextHop, Reach, Tunnel, TunnelId, VrfId,
};
use crossgate_dataplane::header::ethernet::Mac;
use crossgate_dataplane::header::vlan::VlanId;
use crossgate_dataplane::nat::Nat;
use crossgate_dataplane::selector::{AddressRange, Selectors, TrafficSelector};
use crossgate_ike::event::ConnectionId;
use ipnet::{IpNet, Ipv4Subnets, Ipv6Subnets};

use super::learned;
use crate::circuits::Circuits;
use crate::identifiers::Identifiers;
use crate::meters::Meters;
use crate::nat_pools::NatPools;
use crate::tunnels::Tunnels;

/// What a started port says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortFacts {
    /// Its MAC address.
    pub mac: Mac,
    /// The MTU that it really took, in bytes.
    pub mtu_bytes: u16,
}

/// What lasts longer than a snapshot and is in it.
#[derive(Debug, Clone, Copy)]
pub struct Lasting<'l> {
    /// The gateways' bandwidth.
    pub meters: &'l Meters,
    /// The sessions of dynamic NAT rules.
    pub nat_pools: &'l NatPools,
    /// Which circuits are up.
    pub circuits: &'l Circuits,
}

#[cfg(test)]
impl Lasting<'static> {
    /// Nothing is limited, no rule is dynamic, and there is no circuit.
    pub(crate) fn none() -> Self {
        Self {
            meters: Box::leak(Box::default()),
            nat_pools: Box::leak(Box::default()),
            circuits: Box::leak(Box::default()),
        }
    }
}

/// Builds the snapshot. `facts` has one entry a port, by [`Identifiers::port`].
///
/// # Errors
/// What contradicts itself in spite of the configuration's own checks.
pub fn build(
    config: &Config,
    identifiers: &Identifiers,
    tunnels: &Tunnels,
    lasting: Lasting<'_>,
    facts: &[PortFacts],
) -> Result<Forwarding, BuildError> {
    let mut builder = Forwarding::builder();
    for port in config.underlay_ports() {
        underlay(&mut builder, port, identifiers, facts);
    }
    for network in config.virtual_networks().values() {
        let (Some(id), Some(vrf)) =
            (identifiers.network_interface(&network.name), identifiers.vrf(&network.name))
        else {
            continue;
        };
        let vlan = network.vlan.and_then(|vlan| VlanId::new(vlan.get()));
        let port = &config.ports()[&network.port];
        interface(&mut builder, id, vrf, vlan, port, &network.addresses, identifiers, facts);
        routes(&mut builder, id, vrf, &network.routes);
    }
    circuit_routes(&mut builder, config, identifiers, lasting.circuits, facts);
    keep_inside(&mut builder, config, identifiers);
    let mut learned = BTreeMap::new();
    let shared = shared_sites(&mut builder, config, identifiers, tunnels);
    for connection in config.connections().values() {
        let is_shared = shared.contains(&connection.name);
        let pools = lasting.nat_pools;
        tunnel_routes(&mut builder, config, connection, is_shared, identifiers, tunnels, pools, &mut learned);
        bandwidth(&mut builder, connection, identifiers, tunnels, lasting.meters);
    }
    for peering in config.peerings().values() {
        peer(&mut builder, config, peering, identifiers);
    }
    builder.build()
}

/// Interfaces and prefixes of the circuits in use, the preferred ones of a network first.
fn circuit_routes(
    builder: &mut Builder,
    config: &Config,
    identifiers: &Identifiers,
    circuits: &Circuits,
    facts: &[PortFacts],
) {
    for (connection, circuit, network) in config.circuits_in_use() {
        let (Some(id), Some(vrf)) =
            (identifiers.circuit_interface(&connection.name), identifiers.vrf(&network.name))
        else {
            continue;
        };
        let vlan = circuit.vlan.and_then(|vlan| VlanId::new(vlan.get()));
        let port = &config.ports()[&circuit.port];
        interface(builder, id, vrf, vlan, port, &circuit.addresses, identifiers, facts);
        builder.circuit(id, circuits.plane(&connection.name));
        for prefix in &circuit.prefixes {
            let next_hop = circuits.next_hop(&connection.name, prefix.addr().is_ipv4());
            builder.circuit_route(vrf, *prefix, id, next_hop);
        }
    }
}

/// Keeps inside what no circuit's larger prefix may take, come what may of the routes to it: addresses of the networks that a circuit's network, or one that uses its gateway, is or is
/// peered with, and what is behind the tunnels there.
fn keep_inside(builder: &mut Builder, config: &Config, identifiers: &Identifiers) {
    let with_circuit: BTreeSet<&Name> = config.circuits_in_use().map(|(.., network)| &network.name).collect();
    let own = with_circuit.iter().map(|network| (*network, *network));
    let users = config.peerings().values().filter(|peering| {
        peering.use_remote_gateways && with_circuit.contains(&peering.remote_virtual_network)
    });
    let users = users.map(|peering| (&peering.virtual_network, &peering.remote_virtual_network));
    for (name, hub) in own.chain(users) {
        let Some(vrf) = identifiers.vrf(name) else { continue };
        let peerings = config.peerings().values().filter(|peering| peering.virtual_network == *name);
        let peered = peerings.map(|peering| &peering.remote_virtual_network);
        for network in peered.chain([name]) {
            for space in &config.virtual_networks()[network].address_space {
                builder.keep_inside(vrf, *space);
            }
        }
        for connection in config.connections().values().filter(|one| config.network_of(one).name == *hub) {
            let behind = config.prefixes_behind(connection);
            for prefix in behind.into_iter().filter(|prefix| prefix.prefix_len() > 0) {
                builder.keep_inside(vrf, prefix);
            }
        }
    }
}

/// A network's way into one that it is peered with.
fn peer(builder: &mut Builder, config: &Config, peering: &VirtualNetworkPeering, identifiers: &Identifiers) {
    let far = &config.virtual_networks()[&peering.remote_virtual_network];
    let vrfs = identifiers.vrf(&peering.virtual_network).zip(identifiers.vrf(&far.name));
    let Some((vrf, remote)) = vrfs else { return };
    let reach = if peering.use_remote_gateways { Reach::Gateways } else { Reach::Network };
    builder.peer(vrf, remote, &far.address_space, reach);
}

fn underlay(builder: &mut Builder, port: &Port, identifiers: &Identifiers, facts: &[PortFacts]) {
    let Some(id) = identifiers.underlay_interface(&port.name) else { return };
    interface(builder, id, VrfId::UNDERLAY, None, port, &port.addresses, identifiers, facts);
    routes(builder, id, VrfId::UNDERLAY, &port.routes);
}

#[expect(clippy::too_many_arguments, reason = "an interface is made of that many independent facts")]
fn interface(
    builder: &mut Builder,
    id: InterfaceId,
    vrf: VrfId,
    vlan: Option<VlanId>,
    port: &Port,
    addresses: &[InterfaceAddress],
    identifiers: &Identifiers,
    facts: &[PortFacts],
) {
    let Some(index) = identifiers.port(&port.name) else { return };
    let Some(fact) = facts.get(usize::from(index.0)) else { return };
    let addresses = addresses
        .iter()
        .map(|own| IpNet::new(own.address, own.network.prefix_len()).expect("the length is that of a prefix"))
        .collect();
    let mtu_bytes = fact.mtu_bytes.min(port.mtu_bytes);
    builder.interface(id, Interface { port: index, vlan, vrf, mac: fact.mac, mtu_bytes, addresses });
}

fn routes(builder: &mut Builder, id: InterfaceId, vrf: VrfId, routes: &[StaticRoute]) {
    for route in routes {
        builder.route(vrf, route.prefix, NextHop::Via(id, route.next_hop));
    }
}

/// The routes to sites that several tunnels lead to, and the names of their connections.
fn shared_sites<'c>(
    builder: &mut Builder,
    config: &'c Config,
    identifiers: &Identifiers,
    tunnels: &Tunnels,
) -> BTreeSet<&'c Name> {
    let mut shared = BTreeSet::new();
    for (id, connections) in (0..).map(GroupId).zip(config.shared_sites()) {
        let member = |connection: &Connection, id: ConnectionId| {
            let (tunnel, _) = tunnels.policy(id, &configured_selectors(connection)).into_iter().next()?;
            // A connection keeps its number, whichever of its tunnels comes first.
            let weight = connection.routing_weight.unwrap_or(WEIGHT_ALONE);
            Some(Member { tunnel, weight, number: id.0.into() })
        };
        let ends = connections.iter().flat_map(|connection| {
            identifiers.ends(connection.name.as_str()).map(move |id| (*connection, id))
        });
        let members: Vec<Member> = ends.filter_map(|(connection, id)| member(connection, id)).collect();
        let Some(vrf) = identifiers.vrf(&config.network_of(connections[0]).name) else { continue };
        if members.is_empty() {
            continue;
        }
        builder.group(id, members);
        for prefix in config.prefixes_behind(connections[0]) {
            builder.route(vrf, prefix, NextHop::Group(id));
        }
        shared.extend(connections.iter().map(|connection| &connection.name));
    }
    shared
}

#[expect(clippy::too_many_arguments, reason = "a tunnel is made of that many independent facts")]
fn tunnel_routes(
    builder: &mut Builder,
    config: &Config,
    connection: &Connection,
    is_shared: bool,
    identifiers: &Identifiers,
    tunnels: &Tunnels,
    pools: &NatPools,
    learned_of: &mut BTreeMap<VrfId, Vec<IpNet>>,
) {
    let network = config.network_of(connection);
    let Some(vrf) = identifiers.vrf(&network.name) else { return };
    let rules = pools.rules(connection);
    for id in identifiers.ends(connection.name.as_str()) {
        let policy = tunnels.policy(id, &configured_selectors(connection));
        add_tunnels(builder, connection, vrf, |selectors| pools.of_tunnel(&rules, id, selectors), &policy);
        let Some((first, _)) = policy.first() else { continue };
        for prefix in config.prefixes_behind(connection).into_iter().filter(|_| !is_shared) {
            builder.route(vrf, prefix, NextHop::Tunnel(*first));
        }
        if connection.learns_prefixes() {
            let earlier = learned_of.entry(vrf).or_default();
            let learned = learned::prefixes(config, connection, &policy, earlier);
            for prefix in &learned {
                builder.route(vrf, *prefix, NextHop::Tunnel(*first));
            }
            earlier.extend(learned);
        }
    }
}

/// The tunnels of one of a connection's policies.
fn add_tunnels(
    builder: &mut Builder,
    connection: &Connection,
    vrf: VrfId,
    nat: impl Fn(&Selectors) -> Nat,
    policy: &[(TunnelId, Selectors)],
) {
    let mss_clamp = match connection.mss_clamp {
        MssClamp::Auto => Clamp::Auto,
        MssClamp::Off => Clamp::Off,
        MssClamp::Bytes(bytes) => Clamp::Bytes(bytes),
    };
    let dont_fragment = DontFragment::Copy;
    let next = match connection.is_of_clients() {
        true => client_routes(builder, vrf, policy),
        false => {
            policy.iter().zip(policy.iter().skip(1)).map(|((one, _), (next, _))| (*one, *next)).collect()
        }
    };
    for (tunnel, selectors) in policy {
        let alternative = next.get(tunnel).copied();
        let (selectors, nat) = (selectors.clone(), nat(selectors));
        builder.tunnel(*tunnel, Tunnel { vrf, selectors, alternative, mss_clamp, dont_fragment, nat });
    }
}

/// Each client's way, by the address that it got: to the first of its tunnels; which of them is tried after which. What is left of the pool leads to the first tunnel of
/// all, whose selectors let nothing through that is not its own.
fn client_routes(
    builder: &mut Builder,
    vrf: VrfId,
    policy: &[(TunnelId, Selectors)],
) -> BTreeMap<TunnelId, TunnelId> {
    let (mut first, mut next) = (BTreeMap::new(), BTreeMap::new());
    for (tunnel, selectors) in policy.iter().rev() {
        let prefixes = selectors.remote.iter().flat_map(|selector| prefixes_of(&selector.addresses));
        for host in prefixes.filter(|prefix| prefix.prefix_len() == prefix.max_prefix_len()) {
            // A selector for each protocol names its host again.
            if let Some(later) = first.insert(host, *tunnel).filter(|later| later != tunnel) {
                next.entry(*tunnel)
                    .and_modify(|next: &mut TunnelId| *next = later.min(*next))
                    .or_insert(later);
            }
        }
    }
    for (host, tunnel) in first {
        builder.route(vrf, host, NextHop::Tunnel(tunnel));
    }
    next
}

pub(super) fn prefixes_of(range: &AddressRange) -> Vec<IpNet> {
    match range {
        AddressRange::V4(range) => Ipv4Subnets::new(*range.start(), *range.end(), 0).map(IpNet::V4).collect(),
        AddressRange::V6(range) => Ipv6Subnets::new(*range.start(), *range.end(), 0).map(IpNet::V6).collect(),
    }
}

/// The tunnels of a connection, or of one of the clients that it stands for, have one share in its gateway's bandwidth: whoever negotiates more of them gets no more.
fn bandwidth(
    builder: &mut Builder,
    connection: &Connection,
    identifiers: &Identifiers,
    tunnels: &Tunnels,
    meters: &Meters,
) {
    for id in identifiers.ends(connection.name.as_str()) {
        for (tunnel, selectors) in tunnels.policy(id, &configured_selectors(connection)) {
            let peer = selectors.remote.first().map(|selector| selector.addresses.first());
            if let Some(share) = meters.share_of_peer(&connection.name, peer) {
                builder.share(tunnel, Arc::clone(share));
            }
        }
    }
}

/// What a connection may carry as far as this side's configuration goes.
#[must_use]
pub fn configured_selectors(connection: &Connection) -> Selectors {
    let side =
        |prefixes: &[IpNet]| prefixes.iter().map(|prefix| TrafficSelector::of_prefix(*prefix)).collect();
    let selectors = &connection.traffic_selectors;
    Selectors { local: side(&selectors.local), remote: side(&selectors.remote) }
}

/// The weight of a connection without one: its tunnels are the only ones to their site.
const WEIGHT_ALONE: u16 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_tunnels_of_a_client_are_tried_and_no_other_one_s() {
        let side = |prefix: &str| vec![TrafficSelector::of_prefix(prefix.parse().unwrap())];
        let of = |number, local: &str, client: &str| {
            (TunnelId(number), Selectors { local: side(local), remote: side(client) })
        };
        let policy = [
            of(0, "10.1.0.0/24", "172.16.0.1/32"),
            of(1, "10.1.0.0/16", "172.16.0.2/32"),
            of(2, "10.1.7.0/24", "172.16.0.1/32"),
        ];
        let (mut builder, vrf) = (Forwarding::builder(), VrfId(1));
        let next = client_routes(&mut builder, vrf, &policy);
        for (tunnel, selectors) in policy {
            let alternative = next.get(&tunnel).copied();
            let (mss_clamp, dont_fragment) = (Clamp::Auto, DontFragment::Copy);
            let nat = Nat::default();
            builder.tunnel(tunnel, Tunnel { vrf, selectors, alternative, mss_clamp, dont_fragment, nat });
        }
        let forwarding = builder.build().unwrap();
        let tried = |client: [u8; 4]| -> Vec<u32> {
            let mut tried = Vec::new();
            let mut at = match forwarding.route(vrf, client.into()) {
                NextHop::Tunnel(tunnel) => Some(tunnel),
                _ => None,
            };
            while let Some(tunnel) = at {
                tried.push(tunnel.0);
                at = forwarding.tunnel(tunnel).unwrap().alternative;
            }
            tried
        };
        assert_eq!((tried([172, 16, 0, 1]), tried([172, 16, 0, 2])), (vec![0, 2], vec![1]));
    }
}
