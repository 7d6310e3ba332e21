//! Connections of type `ExpressRoute`: a circuit that a gateway of that type uses. No peer, no key, no tunnel.

use std::collections::BTreeMap;

use ipnet::IpNet;

use crate::choice::Choice as _;
use crate::circuit::{ExpressRouteCircuit, ExpressRouteGateway};
use crate::connection::{Connection, Remote};
use crate::document::Section;
use crate::gateway::VirtualNetworkGateway;
use crate::local_network_gateway::LocalNetworkGateway;
use crate::name::Name;
use crate::network::VirtualNetwork;
use crate::prefix::{overlap, taken_by};
use crate::report::{Located, Place, Report};
use crate::shelf::Shelf;

/// A circuit in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpressRouteConnection {
    /// Name, unique among connections of all types.
    pub name: Name,
    /// The gateway, of type `ExpressRoute`.
    pub gateway: Name,
    /// The circuit; no other connection uses it.
    pub circuit: Name,
    /// Of several circuits to one prefix the one with the greatest weight is used while it is alive; 0 to 32000.
    pub routing_weight: u16,
}

/// The resources that such connections refer to.
pub(crate) struct Around<'a> {
    pub(crate) networks: &'a Shelf<VirtualNetwork>,
    pub(crate) gateways: &'a Shelf<ExpressRouteGateway>,
    pub(crate) circuits: &'a Shelf<ExpressRouteCircuit>,
}

/// What the connections read so far use.
#[derive(Default)]
pub(crate) struct Used {
    /// The connection of each circuit.
    circuits: BTreeMap<Name, Name>,
    /// Of each gateway, its circuits and the prefixes behind them.
    gateways: BTreeMap<Name, (usize, usize)>,
}

/// Reads what a connection of this type has besides name and type. `gateway` is what it names.
pub(crate) fn read(
    section: &mut Section<'_>,
    name: Option<&Located<Name>>,
    gateway: Option<&Located<Name>>,
    around: &Around<'_>,
    used: &mut Used,
    report: &mut Report<'_>,
) -> Option<ExpressRouteConnection> {
    for key in OF_TUNNELS {
        if section.has(key) {
            let problem = format!("{key} is of tunnels, and a connection of type ExpressRoute is none");
            report.error(&section.place_of(key), problem, "leave it out, or take type = \"IPsec\"");
            section.skip(key);
        }
    }
    let reference = section.required::<Name>("express_route_circuit", "\"circuit-a\"", report);
    let routing_weight = section.integer("routing_weight", 0..=WEIGHT_MAX, 0, report);
    let found = gateway.and_then(|gateway| {
        let found = around.gateways.sound().get(&gateway.value);
        if found.is_none()
            && around.gateways.declared().all(|(name, _)| *name != gateway.value)
            && around.gateways.is_complete()
        {
            let problem = format!("there is no gateway \"{}\" of type ExpressRoute", gateway.value);
            report.error(
                &gateway.place,
                problem,
                "name a [[virtual_network_gateway]] with type = \"ExpressRoute\"",
            );
        }
        found
    });
    let circuit = reference.as_ref().and_then(|reference| around.circuits.find(reference, report));
    let (name, reference) = (name?, reference?);
    if let Some(other) = used.circuits.insert(reference.value.clone(), name.value.clone()) {
        let problem = format!("the circuit \"{}\" is used by \"{other}\" already", reference.value);
        let remedy =
            "give each network a circuit (a VLAN) of its own, or peer the networks with gateway transit";
        report.error(&reference.place, problem, remedy);
    }
    let (gateway, circuit) = (found?, circuit?);
    check_limits(gateway, circuit, around, used, &reference.place, report);
    if let Some(network) = around.networks.sound().get(&gateway.virtual_network) {
        check_prefixes(network, circuit, &reference.place, report);
    }
    Some(ExpressRouteConnection {
        name: name.value.clone(),
        gateway: gateway.name.clone(),
        circuit: circuit.name.clone(),
        routing_weight,
    })
}

/// What the size and the subnet of the gateway have room for; the first that is too much is reported.
fn check_limits(
    gateway: &ExpressRouteGateway,
    circuit: &ExpressRouteCircuit,
    around: &Around<'_>,
    used: &mut Used,
    place: &Place,
    report: &mut Report<'_>,
) {
    let (circuits, prefixes) = used.gateways.entry(gateway.name.clone()).or_default();
    let most = usize::try_from(gateway.sku.size().routes).unwrap_or(usize::MAX);
    let had_room = *prefixes <= most;
    *circuits += 1;
    *prefixes += circuit.prefixes.len();
    if had_room && *prefixes > most {
        let problem = format!(
            "with \"{}\" there are {prefixes} prefixes behind the circuits of \"{}\": {} has at most {most}",
            circuit.name,
            gateway.name,
            gateway.sku.word()
        );
        report.error(place, problem, "join prefixes that lie side by side, or take a larger sku");
    }
    if *circuits == CIRCUITS_MAX + 1 {
        let problem = format!("\"{}\" has more than {CIRCUITS_MAX} circuits", gateway.name);
        report.error(place, problem, "leave circuits out, or connect them to a gateway of another network");
    }
    let network = around.networks.sound().get(&gateway.virtual_network);
    if let Some(subnet) = network.and_then(|network| network.gateway_subnet)
        && *circuits == CIRCUITS_MAX
        && subnet.prefix_len() > SUBNET_LENGTH_OF_ALL
    {
        let problem =
            format!("{subnet} of \"{}\" is too small for {CIRCUITS_MAX} circuits", gateway.virtual_network);
        report.error(place, problem, "enlarge gateway_subnet to a /26 or more");
    }
}

/// Reports what of tunnels keeps circuits from their network: a peer whose prefixes are learned, since they may lie inside those of a circuit and would leave in clear
/// while the tunnel is down; and what a circuit's prefixes or link would take from a tunnel, or from another circuit.
pub(crate) fn check_beside(
    of_circuits: &Shelf<ExpressRouteConnection>,
    around: &Around<'_>,
    (connections, gateways, peers): (
        &Shelf<Connection>,
        &Shelf<VirtualNetworkGateway>,
        &Shelf<LocalNetworkGateway>,
    ),
    report: &mut Report<'_>,
) {
    let tunnels: Vec<_> = connections
        .sound()
        .values()
        .filter_map(|connection| Tunnelled::of(connection, gateways, peers))
        .collect();
    let mut earlier: Vec<(&Name, &ExpressRouteCircuit)> = Vec::new();
    for (name, line) in of_circuits.declared() {
        let Some(connection) = of_circuits.sound().get(name) else { continue };
        let gateway = around.gateways.sound().get(&connection.gateway);
        let circuit = around.circuits.sound().get(&connection.circuit);
        let Some((gateway, circuit)) = gateway.zip(circuit) else { continue };
        let network = &gateway.virtual_network;
        let place = Place { line, key: format!("connection[{name}].express_route_circuit") };
        for tunnel in tunnels.iter().filter(|tunnel| tunnel.network == network) {
            check_tunnel(circuit, tunnel, &place, report);
        }
        let others = earlier.iter().filter(|(of, other)| *of == network && other.name != circuit.name);
        for (_, other) in others {
            check_links(circuit, other, &place, report);
        }
        earlier.push((network, circuit));
    }
}

/// Each circuit of a network has a link of its own.
fn check_links(
    circuit: &ExpressRouteCircuit,
    other: &ExpressRouteCircuit,
    place: &Place,
    report: &mut Report<'_>,
) {
    let clash = circuit.addresses.iter().find_map(|own| {
        let theirs = other.addresses.iter().find(|theirs| overlap(own.network, theirs.network))?;
        Some((own.network, theirs.network))
    });
    if let Some((own, theirs)) = clash {
        let problem = format!(
            "the link {own} of \"{}\" overlaps the link {theirs} of \"{}\"",
            circuit.name, other.name
        );
        report.error(place, problem, "give each circuit of a network a link of its own");
    }
}

/// What a tunnel of a network leads to.
struct Tunnelled<'a> {
    connection: &'a Name,
    network: &'a Name,
    prefixes: Vec<IpNet>,
    /// Whether more is learned when it is negotiated.
    learns: bool,
    /// Whether the prefixes are addresses of clients.
    is_of_clients: bool,
}

impl<'a> Tunnelled<'a> {
    fn of(
        connection: &'a Connection,
        gateways: &'a Shelf<VirtualNetworkGateway>,
        peers: &Shelf<LocalNetworkGateway>,
    ) -> Option<Self> {
        let peer = match &connection.remote {
            Remote::LocalNetworkGateway(name) => peers.sound().get(name)?,
            Remote::Gateway { described, .. } => described,
        };
        Some(Self {
            connection: &connection.name,
            network: &gateways.sound().get(&connection.gateway)?.virtual_network,
            prefixes: connection.nat.site_prefixes(&peer.prefixes),
            learns: connection.learns_prefixes(),
            is_of_clients: connection.is_of_clients(),
        })
    }
}

fn check_tunnel(
    circuit: &ExpressRouteCircuit,
    tunnel: &Tunnelled<'_>,
    place: &Place,
    report: &mut Report<'_>,
) {
    let name = tunnel.connection;
    if tunnel.learns {
        let problem = format!(
            "\"{name}\" learns its prefixes from its peer, and they might lie in those of the circuit \"{}\", in clear",
            circuit.name
        );
        let remedy = "take an \"IPsec\" connection with a local network gateway that lists them, or a network of its own for the circuit";
        report.error(place, problem, remedy);
    }
    let theirs = || tunnel.prefixes.iter().filter(|prefix| prefix.prefix_len() > 0);
    let find = |own: &IpNet| theirs().find(|prefix| overlap(**prefix, *own)).map(|prefix| (*own, *prefix));
    let behind = circuit.prefixes.iter().filter(|prefix| prefix.prefix_len() > 0 && tunnel.is_of_clients);
    let mut behind = behind.filter_map(find);
    let mut links = circuit.addresses.iter().filter_map(|own| find(&own.network));
    if let Some((own, prefix)) = behind.next().or_else(|| links.next()) {
        let problem = format!(
            "{own} of the circuit \"{}\" overlaps {prefix} behind \"{name}\", which is for tunnels alone",
            circuit.name
        );
        report.error(place, problem, "give the circuit, or what is behind the tunnel, addresses of its own");
    }
}

/// What is behind a circuit, and its link, cannot be in the network too; nor may a static route take packets away from it.
fn check_prefixes(
    network: &VirtualNetwork,
    circuit: &ExpressRouteCircuit,
    place: &Place,
    report: &mut Report<'_>,
) {
    if let Some((prefix, space)) = circuit.clash_with(&network.address_space) {
        let problem = format!(
            "{prefix} of the circuit \"{}\" overlaps {space} of the network \"{}\"",
            circuit.name, network.name
        );
        report.error(place, problem, "a network and what is behind its circuits need addresses of their own");
    }
    let taken =
        circuit.prefixes.iter().find_map(|prefix| Some((taken_by(*prefix, &network.routes)?, prefix)));
    if let Some((route, prefix)) = taken {
        let problem = format!(
            "the route to {route} of the network \"{}\" would take packets for {prefix} past the circuit \"{}\"",
            network.name, circuit.name
        );
        report.error(place, problem, "take the route out of the network, or the prefix out of the circuit");
    }
}

/// Keys of the other types.
const OF_TUNNELS: [&str; 25] = [
    "local_network_gateway",
    "remote_gateway",
    "shared_key",
    "authentication",
    "protocol",
    "ppk",
    "local_id",
    "remote_id",
    "mode",
    "start",
    "idle_timeout_s",
    "dpd_timeout_s",
    "mobike",
    "session_resumption",
    "per_resource_child_sas",
    "request_addresses",
    "follow_redirects",
    "redirect_to",
    "mtu_bytes",
    "mss_clamp",
    "policy",
    "traffic_selectors",
    "use_policy_based_traffic_selectors",
    "ingress_nat_rules",
    "egress_nat_rules",
];
/// Azure's bound of routingWeight.
const WEIGHT_MAX: u16 = 32_000;
/// Circuits of a gateway, for which Azure asks a /26.
const CIRCUITS_MAX: usize = 16;
const SUBNET_LENGTH_OF_ALL: u8 = 26;
