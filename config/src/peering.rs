//! Peerings: two virtual networks of this appliance that reach each other by routes, without a gateway between them and without encryption. One for
//! each direction, as in Azure; both have to be there.

use std::collections::BTreeMap;

use crate::circuit::{ExpressRouteCircuit, ExpressRouteConnection, ExpressRouteGateway};
use crate::connection::{Connection, NAME_WHAT_IS_THERE};
use crate::document::Section;
use crate::gateway::VirtualNetworkGateway;
use crate::local_network_gateway::LocalNetworkGateway;
use crate::name::Name;
use crate::network::VirtualNetwork;
use crate::prefix::{overlap, taken_by};
use crate::report::{Located, Place, Report};
use crate::shelf::Shelf;

/// One direction of a peering.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VirtualNetworkPeering {
    /// Name, unique among peerings.
    pub name: Name,
    /// The network from which the other one is reached.
    pub virtual_network: Name,
    /// The other one; their address spaces do not overlap, and there is a peering back.
    pub remote_virtual_network: Name,
    /// Whether the other network may use this one's gateway.
    pub allow_gateway_transit: bool,
    /// Whether this network uses the other one's gateway, which allows it; it has none of its own then.
    pub use_remote_gateways: bool,
}

/// The resources that peerings have to fit.
pub(crate) struct Around<'a> {
    pub(crate) networks: &'a Shelf<VirtualNetwork>,
    pub(crate) gateways: &'a Shelf<VirtualNetworkGateway>,
    pub(crate) circuits: &'a Shelf<ExpressRouteCircuit>,
    pub(crate) circuit_gateways: &'a Shelf<ExpressRouteGateway>,
    pub(crate) circuit_connections: &'a Shelf<ExpressRouteConnection>,
    pub(crate) peers: &'a Shelf<LocalNetworkGateway>,
    pub(crate) connections: &'a Shelf<Connection>,
}

impl Around<'_> {
    /// A gateway of a network, of either type.
    fn gateway_of(&self, network: &Name) -> Option<&Name> {
        let vpn = self.gateways.sound().values().find(|gateway| gateway.virtual_network == *network);
        let of_circuits =
            || self.circuit_gateways.sound().values().find(|gateway| gateway.virtual_network == *network);
        vpn.map(|gateway| &gateway.name).or_else(|| Some(&of_circuits()?.name))
    }

    /// The circuits of a network.
    fn circuits_of<'a>(&'a self, network: &'a Name) -> impl Iterator<Item = &'a ExpressRouteCircuit> {
        self.circuit_connections.sound().values().filter_map(move |connection| {
            let gateway = self.circuit_gateways.sound().get(&connection.gateway)?;
            let circuit = self.circuits.sound().get(&connection.circuit)?;
            (gateway.virtual_network == *network).then_some(circuit)
        })
    }
}

/// Where the file has the peering from one network to another.
pub(crate) type Places = BTreeMap<(Name, Name), Place>;

/// Reads each `[[virtual_network_peering]]`.
pub(crate) fn read(
    root: &mut Section<'_>,
    networks: &Shelf<VirtualNetwork>,
    report: &mut Report<'_>,
) -> (Shelf<VirtualNetworkPeering>, Places) {
    let mut peerings = Shelf::new("virtual network peering");
    let mut places = Places::new();
    for section in root.sections("virtual_network_peering", report) {
        let Some(mut section) = section else {
            peerings.put(None, None);
            continue;
        };
        let name = section.name("virtual_network_peering", report);
        if let Some(name) = &name {
            peerings.declare(name, report);
        }
        let ends = ends(&mut section, networks, report);
        let mut flag = |key| section.optional::<bool>(key, report).is_some_and(|flag| flag.value);
        let (allow_gateway_transit, use_remote_gateways) =
            (flag("allow_gateway_transit"), flag("use_remote_gateways"));
        if let Some(ends) = &ends {
            if let Some(other) = places.get(ends) {
                let problem =
                    format!("\"{}\" is peered with \"{}\" on line {} already", ends.0, ends.1, other.line);
                report.error(&section.place, problem, "leave one of the two out");
            } else {
                places.insert(ends.clone(), section.place.clone());
            }
        }
        section.finish(report);
        let peering = name.as_ref().zip(ends).map(|(name, (virtual_network, remote_virtual_network))| {
            let name = name.value.clone();
            VirtualNetworkPeering {
                name,
                virtual_network,
                remote_virtual_network,
                allow_gateway_transit,
                use_remote_gateways,
            }
        });
        peerings.put(name, peering);
    }
    (peerings, places)
}

/// Checks each peering against what is around it.
pub(crate) fn check(
    peerings: &Shelf<VirtualNetworkPeering>,
    places: &Places,
    around: &Around<'_>,
    report: &mut Report<'_>,
) {
    for peering in peerings.sound().values() {
        let key = (peering.virtual_network.clone(), peering.remote_virtual_network.clone());
        let Some(place) = places.get(&key) else { continue };
        check_pair(peering, peerings, place, report);
        check_transit(peering, peerings, around, place, report);
        check_others(peering, peerings, around, place, report);
        check_prefixes(peering, around, place, report);
        check_routes(peering, around, place, report);
    }
}

/// The two networks, whose address spaces do not overlap.
fn ends(
    section: &mut Section<'_>,
    networks: &Shelf<VirtualNetwork>,
    report: &mut Report<'_>,
) -> Option<(Name, Name)> {
    let near = section.required::<Name>("virtual_network", "\"hub\"", report);
    let far = section.required::<Name>("remote_virtual_network", "\"spoke\"", report);
    let mut find = |reference: &Option<Located<Name>>| {
        reference.as_ref().and_then(|reference| networks.find(reference, report))
    };
    let (near, far) = (find(&near), find(&far));
    let (near, far) = near.zip(far)?;
    if near.name == far.name {
        let problem = format!("the network \"{}\" cannot be peered with itself", near.name);
        report.error(&section.place, problem, "name another network in remote_virtual_network");
        return None;
    }
    for own in &near.address_space {
        if let Some(other) = far.address_space.iter().find(|other| overlap(*own, **other)) {
            let problem = format!("{own} of \"{}\" overlaps {other} of \"{}\"", near.name, far.name);
            let remedy = "networks that are peered need address spaces of their own";
            report.error(&section.place, problem, remedy);
        }
    }
    Some((near.name.clone(), far.name.clone()))
}

fn counterpart<'a>(
    peering: &VirtualNetworkPeering,
    peerings: &'a Shelf<VirtualNetworkPeering>,
) -> Option<&'a VirtualNetworkPeering> {
    peerings.sound().values().find(|other| {
        other.virtual_network == peering.remote_virtual_network
            && other.remote_virtual_network == peering.virtual_network
    })
}

/// A peering of one direction carries nothing.
fn check_pair(
    peering: &VirtualNetworkPeering,
    peerings: &Shelf<VirtualNetworkPeering>,
    place: &Place,
    report: &mut Report<'_>,
) {
    if counterpart(peering, peerings).is_none() && peerings.is_complete() {
        let (near, far) = (&peering.virtual_network, &peering.remote_virtual_network);
        let problem = format!("there is no peering from \"{far}\" back to \"{near}\", so nothing could pass");
        let remedy = format!(
            "add a [[virtual_network_peering]] with virtual_network = \"{far}\" and remote_virtual_network = \"{near}\""
        );
        report.error(place, problem, remedy);
    }
}

/// A network that uses another one's gateway has none of its own, uses one only, and is allowed to.
fn check_transit(
    peering: &VirtualNetworkPeering,
    peerings: &Shelf<VirtualNetworkPeering>,
    around: &Around<'_>,
    place: &Place,
    report: &mut Report<'_>,
) {
    if !peering.use_remote_gateways {
        return;
    }
    let (near, far) = (&peering.virtual_network, &peering.remote_virtual_network);
    let gateway_of = |network: &Name| around.gateway_of(network);
    if counterpart(peering, peerings).is_some_and(|other| !other.allow_gateway_transit) {
        let problem = format!("\"{far}\" does not allow \"{near}\" to use its gateway");
        let remedy = format!("add allow_gateway_transit = true to the peering from \"{far}\" to \"{near}\"");
        report.error(place, problem, remedy);
    }
    let circle = circle(peering, peerings);
    if let Some(circle) = circle.as_ref().filter(|circle| circle.iter().all(|network| near <= *network)) {
        let names: Vec<&str> = circle.iter().map(|network| network.as_str()).collect();
        let problem = format!("the networks use each other's gateways in a circle: {}", names.join(", "));
        report.error(
            place,
            problem,
            "take use_remote_gateways out of the peering of the network that has the gateway",
        );
    }
    if circle.is_none()
        && gateway_of(far).is_none()
        && around.gateways.is_complete()
        && around.circuit_gateways.is_complete()
    {
        let problem = format!("the network \"{far}\" has no gateway that could be used");
        report.error(
            place,
            problem,
            "add a [[virtual_network_gateway]] to it, or leave use_remote_gateways out",
        );
    }
    if let Some(own) = gateway_of(near) {
        let problem = format!("the network \"{near}\" has a gateway of its own, \"{own}\"");
        report.error(place, problem, "leave use_remote_gateways out, or that gateway");
    }
    let earlier = peerings.sound().values().find(|other| {
        other.use_remote_gateways && other.virtual_network == *near && other.name < peering.name
    });
    if let Some(other) = earlier {
        let problem = format!("\"{near}\" uses the gateway of \"{}\" already", other.remote_virtual_network);
        report.error(place, problem, "take use_remote_gateways out of one of the two peerings");
    }
}

/// The networks whose gateways are used in turn, from this peering's network back to it, if that is where it leads.
fn circle<'a>(
    peering: &'a VirtualNetworkPeering,
    peerings: &'a Shelf<VirtualNetworkPeering>,
) -> Option<Vec<&'a Name>> {
    let mut networks = vec![&peering.virtual_network];
    let mut far = &peering.remote_virtual_network;
    while *far != peering.virtual_network {
        if networks.contains(&far) {
            return None; // a circle further on
        }
        networks.push(far);
        let mut onward = peerings.sound().values().filter(|next| next.use_remote_gateways);
        far = &onward.find(|next| next.virtual_network == *far)?.remote_virtual_network;
    }
    Some(networks)
}

/// Networks that one network is peered with have addresses of their own: its routes, and its tunnels, could not tell them apart.
fn check_others(
    peering: &VirtualNetworkPeering,
    peerings: &Shelf<VirtualNetworkPeering>,
    around: &Around<'_>,
    place: &Place,
    report: &mut Report<'_>,
) {
    let networks = around.networks.sound();
    let far = |peering: &VirtualNetworkPeering| networks.get(&peering.remote_virtual_network);
    let Some(own) = far(peering) else { return };
    let earlier = peerings
        .sound()
        .values()
        .filter(|other| other.virtual_network == peering.virtual_network && other.name < peering.name);
    for other in earlier.filter_map(far).filter(|other| other.name != own.name) {
        let mut pairs =
            own.address_space.iter().flat_map(|own| other.address_space.iter().map(move |far| (own, far)));
        if let Some((space, taken)) = pairs.find(|(own, far)| overlap(**own, **far)) {
            let problem = format!(
                "{space} of \"{}\" overlaps {taken} of \"{}\", which \"{}\" is peered with, too",
                own.name, other.name, peering.virtual_network
            );
            report.error(
                place,
                problem,
                "networks that are peered with one need address spaces of their own",
            );
        }
    }
}

/// What is behind a tunnel of a network cannot be in a peered network too.
fn check_prefixes(
    peering: &VirtualNetworkPeering,
    around: &Around<'_>,
    place: &Place,
    report: &mut Report<'_>,
) {
    let Some(far) = around.networks.sound().get(&peering.remote_virtual_network) else { return };
    for circuit in around.circuits_of(&peering.virtual_network) {
        if let Some((prefix, space)) = circuit.clash_with(&far.address_space) {
            let problem =
                format!("{space} of \"{}\" overlaps {prefix} of the circuit \"{}\"", far.name, circuit.name);
            let remedy = "circuits and networks that reach each other need addresses of their own";
            report.error(place, problem, remedy);
        }
    }
    for (connection, peer) in peers_of(&peering.virtual_network, around) {
        let seen = connection.nat.site_prefixes(&peer.prefixes);
        let sites = seen.iter().filter(|prefix| prefix.prefix_len() > 0);
        let mut clashes = sites.flat_map(|site| {
            far.address_space.iter().filter(|space| overlap(**space, *site)).map(move |space| (site, space))
        });
        let externals = connection.nat.egress.iter().map(|rule| (rule, rule.external_mapping));
        let mut taken = externals.flat_map(|(rule, external)| {
            let spaces = far.address_space.iter().filter(move |space| overlap(**space, external));
            spaces.map(move |space| (rule, space))
        });
        if let Some((rule, space)) = taken.next() {
            let problem = format!(
                "{space} of \"{}\" overlaps {} of the NAT rule \"{}\"",
                far.name, rule.external_mapping, rule.name
            );
            report.error(place, problem, "take an external prefix that nobody around the gateway has");
        }
        if let Some((site, space)) = clashes.next() {
            let problem = format!("{space} of \"{}\" overlaps {site} of \"{}\"", far.name, peer.name);
            let remedy = "sites and networks that reach each other need addresses of their own";
            report.error(place, problem, remedy);
        }
    }
}

/// What a network reaches through a peering, and with gateway transit through the other network's tunnels, its own static routes must not take from there.
fn check_routes(
    peering: &VirtualNetworkPeering,
    around: &Around<'_>,
    place: &Place,
    report: &mut Report<'_>,
) {
    let networks = around.networks.sound();
    let ends = networks.get(&peering.virtual_network).zip(networks.get(&peering.remote_virtual_network));
    let Some((near, far)) = ends else { return };
    let mut reached: Vec<_> = far.address_space.iter().map(|space| (*space, &far.name)).collect();
    if peering.use_remote_gateways {
        let sites = peers_of(&far.name, around);
        reached.extend(sites.flat_map(|(connection, peer)| {
            let seen = connection.nat.site_prefixes(&peer.prefixes);
            seen.into_iter().chain(connection.named_prefixes()).map(|site| (site, &peer.name))
        }));
        let circuits = around.circuits_of(&far.name);
        reached.extend(
            circuits.flat_map(|circuit| circuit.prefixes.iter().map(|prefix| (*prefix, &circuit.name))),
        );
    }
    let taken =
        reached.into_iter().find_map(|(prefix, of)| Some((taken_by(prefix, &near.routes)?, prefix, of)));
    if let Some((route, prefix, of)) = taken {
        let problem = format!(
            "the route to {route} of the network \"{}\" would take packets for {prefix} of \"{of}\" elsewhere, in clear",
            near.name
        );
        report.error(place, problem, "take the route out of the network, or the peering out");
    }
    let mut learning = peers_of(&far.name, around).map(|(connection, _)| connection);
    if peering.use_remote_gateways
        && let Some((route, name)) = learning
            .find_map(|connection| Some((connection.taken_before_learnt(&near.routes)?, &connection.name)))
    {
        let problem = format!(
            "until \"{name}\" is up and says what is behind it, packets for that would take the route to {route} of the network \"{}\", in clear",
            near.name
        );
        report.error(place, problem, NAME_WHAT_IS_THERE);
    }
}

/// The connections of a network's gateways, and their peers.
fn peers_of<'a>(
    network: &'a Name,
    around: &Around<'a>,
) -> impl Iterator<Item = (&'a Connection, &'a LocalNetworkGateway)> {
    let (gateways, peers) = (around.gateways.sound(), around.peers.sound());
    around.connections.sound().values().filter_map(move |connection| {
        gateways.get(&connection.gateway).filter(|own| own.virtual_network == *network)?;
        Some((connection, connection.peer(peers)?))
    })
}
