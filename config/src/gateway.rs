//! Virtual network gateways: where a network's tunnels begin.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::bgp::{self, BgpSettings};
use crate::choice::Choice;
use crate::circuit::{self, ExpressRouteGateway};
use crate::document::Section;
use crate::environment::Environment;
use crate::name::Name;
use crate::network::VirtualNetwork;
use crate::port::Port;
use crate::region::Region;
use crate::report::{Located, Place, Report, alternatives};
use crate::shelf::Shelf;
use crate::sku::{self, Generation, Limits, Sku};
use crate::vpn_client::{self, VpnClientConfiguration};

/// What a gateway carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GatewayType {
    /// IPsec tunnels.
    Vpn,
    /// Private circuits.
    ExpressRoute,
}

impl Choice for GatewayType {
    const WORDS: &'static [(&'static str, Self)] =
        &[("Vpn", Self::Vpn), ("ExpressRoute", Self::ExpressRoute)];
    const REFUSED: &'static [(&'static str, &'static str, &'static str)] = &[(
        "LocalGateway",
        "gateways at an extended location are not supported by this version",
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

/// A gateway of a virtual network, for tunnels; [`ExpressRouteGateway`] is the one for circuits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VirtualNetworkGateway {
    /// Name, unique among gateways.
    pub name: Name,
    /// The network that it serves; that network has no other gateway of this type.
    pub virtual_network: Name,
    /// Routes or pairs of prefixes.
    pub vpn_type: VpnType,
    /// Its size.
    pub sku: Sku,
    /// Its generation; of no meaning for a custom size.
    pub generation: Generation,
    /// What it may have at most, by its size.
    pub limits: Limits,
    /// Public addresses, at least one; each is an address of an underlay port.
    pub public_addresses: Vec<IpAddr>,
    /// Whether each connection has a tunnel from each of the first two addresses of a family, and not from the first alone.
    pub active_active: bool,
    /// Its settings for BGP, which is not spoken.
    pub bgp: Option<BgpSettings>,
    /// Its clients, if it has any.
    pub vpn_client: Option<VpnClientConfiguration>,
}

/// Reads each `[[virtual_network_gateway]]`.
pub(crate) fn read(
    root: &mut Section<'_>,
    ports: &Shelf<Port>,
    networks: &Shelf<VirtualNetwork>,
    environment: &Environment<'_>,
    report: &mut Report<'_>,
) -> (Shelf<VirtualNetworkGateway>, Shelf<ExpressRouteGateway>) {
    let mut gateways = Shelf::new("virtual network gateway");
    let mut of_circuits = Shelf::new("ExpressRoute gateway");
    let (mut served, mut public) = (BTreeMap::new(), BTreeMap::new());
    for section in root.sections("virtual_network_gateway", report) {
        let Some(mut section) = section else {
            gateways.put(None, None);
            of_circuits.put(None, None);
            continue;
        };
        let name = section.name("virtual_network_gateway", report);
        if let Some(name) = &name {
            gateways.declare(name, report);
        }
        let network = section.required::<Name>("virtual_network", "\"site-a\"", report);
        let gateway_type = section.choice("type", report).unwrap_or(GatewayType::Vpn);
        if let Some(network) = &network {
            check_network(network, networks, report);
            check_single(network, gateway_type, &mut served, section.place.line, report);
        }
        let serves = network.as_ref().and_then(|network| networks.sound().get(&network.value));
        region(&mut section, serves, report);
        if gateway_type == GatewayType::ExpressRoute {
            let own = name.as_ref().map(|name| &name.value);
            let of = network.as_ref().map(|network| &network.value);
            let gateway = circuit::read_gateway(&mut section, own, of, report);
            section.finish(report);
            if let Some(name) = &name {
                gateways.is_elsewhere(&name.value, OF_CIRCUITS, TAKE_VPN);
                of_circuits.note(name);
            }
            of_circuits.put(name, gateway);
            continue;
        }
        let (vpn_type, size) = size(&mut section, report);
        let place = section.place_of("public_addresses");
        let public_addresses = public_addresses(&mut section, ports, &mut public, report);
        let active_active = active_active(&mut section, &public_addresses, size.sku, &place, report);
        let bgp = bgp::of_gateway(&mut section, (vpn_type, size.sku, active_active), serves, report);
        let kind = (vpn_type, size.sku, size.limits.ikev2_sessions);
        let vpn_client = vpn_client::read(&mut section, kind, serves, environment, report);
        section.finish(report);
        let gateway = name.as_ref().zip(network).map(|(name, network)| {
            let (name, virtual_network) = (name.value.clone(), network.value);
            let Size { sku, generation, limits } = size;
            VirtualNetworkGateway {
                name,
                virtual_network,
                vpn_type,
                sku,
                generation,
                limits,
                public_addresses,
                active_active,
                bgp,
                vpn_client,
            }
        });
        gateways.put(name, gateway);
    }
    for (name, line) in of_circuits.declared() {
        let network = of_circuits.sound().get(name).map(|gateway| &gateway.virtual_network);
        let beside = gateways.sound().values().find(|vpn| Some(&vpn.virtual_network) == network);
        if let Some(vpn) = beside {
            let place = Place { line, key: format!("virtual_network_gateway[{name}]") };
            circuit::check_coexistence(vpn, networks, &place, report);
        }
    }
    (gateways, of_circuits)
}

/// A network has one gateway of each type.
fn check_single(
    network: &Located<Name>,
    gateway_type: GatewayType,
    served: &mut BTreeMap<(Name, GatewayType), usize>,
    line: usize,
    report: &mut Report<'_>,
) {
    let key = (network.value.clone(), gateway_type);
    if let Some(line) = served.get(&key) {
        let problem = format!(
            "the network \"{}\" has a gateway of type {} already, on line {line}",
            network.value,
            gateway_type.word()
        );
        let remedy =
            "leave one out: a network has one gateway of each type, and that carries many connections";
        report.error(&network.place, problem, remedy);
    } else {
        served.insert(key, line);
    }
}

/// What is said of whoever wants tunnels of a gateway of circuits.
const OF_CIRCUITS: &str = "is of type ExpressRoute, which has no tunnels";
const TAKE_VPN: &str = "name a gateway of type Vpn; a circuit has a connection with type = \"ExpressRoute\"";

/// Stands for a size that was meant and cannot be read: the largest, so that nothing else in the file is held against a size that was not meant.
const ANY_SIZE: Sku = Sku::VpnGw5;

/// A size with what follows from it.
struct Size {
    sku: Sku,
    generation: Generation,
    limits: Limits,
}

/// The kind and the size, which depend on each other.
fn size(section: &mut Section<'_>, report: &mut Report<'_>) -> (VpnType, Size) {
    let vpn_type = section.optional::<VpnType>("vpn_type", report);
    let has_sku = section.has("sku");
    let sku = section.optional::<Sku>("sku", report);
    let is_unreadable = has_sku && sku.is_none();
    let kind = vpn_type.as_ref().map_or(VpnType::RouteBased, |found| found.value);
    let default = match kind {
        VpnType::PolicyBased => Sku::Basic,
        VpnType::RouteBased if is_unreadable => ANY_SIZE,
        VpnType::RouteBased => Sku::VpnGw1,
    };
    let word = sku.as_ref().map_or(default, |found| found.value);
    let place = sku.as_ref().map_or_else(|| section.place.clone(), |sku| sku.place.clone());
    if sku.is_some() && kind == VpnType::PolicyBased && word != Sku::Basic {
        let problem = format!("a gateway of size {} cannot be PolicyBased", word.word());
        report.error(&place, problem, "take sku = \"Basic\", or vpn_type = \"RouteBased\"");
    }
    let generation = section.optional::<Generation>("generation", report).filter(|_| !is_unreadable);
    let custom = section.section("custom", report).filter(|_| !is_unreadable);
    let size = match (word, custom) {
        (Sku::Custom, Some(custom)) => {
            if let Some(generation) = generation {
                let problem = "a custom size has no generation";
                report.error(&generation.place, problem, "leave the key out");
            }
            Size { sku: word, generation: Generation::One, limits: sku::read_custom(custom, report) }
        }
        (Sku::Custom, None) => {
            let remedy = "add a table [virtual_network_gateway.custom] with tunnels = 500";
            report.error(&place, "a custom size needs limits of its own", remedy);
            built_in(ANY_SIZE, None, report)
        }
        (_, custom) => {
            if let Some(custom) = custom {
                let problem =
                    format!("limits of its own are for sku = \"custom\", and it is {}", word.word());
                report.error(&custom.place, problem, "take sku = \"custom\", or leave the table out");
            }
            built_in(word, generation, report)
        }
    };
    (kind, size)
}

/// A built-in size, which exists in one generation or in both.
fn built_in(sku: Sku, generation: Option<Located<Generation>>, report: &mut Report<'_>) -> Size {
    let default = sku.default_generation();
    let wanted = generation.as_ref().map_or(default, |found| found.value);
    let row = sku.row(wanted).or_else(|| {
        let place = &generation.as_ref()?.place;
        let problem = format!("there is no {} of {}", sku.word(), wanted.word());
        report.error(place, problem, format!("take generation = \"{}\", or another sku", default.word()));
        sku.row(default)
    });
    let row = row.expect("each built-in size has a row for its default generation");
    Size { sku, generation: row.generation, limits: row.limits }
}

/// Reads `active_active`, and reports what does not fit the addresses and the size: two public addresses of one family are for active-active gateways.
fn active_active(
    section: &mut Section<'_>,
    addresses: &[IpAddr],
    sku: Sku,
    place: &Place,
    report: &mut Report<'_>,
) -> bool {
    let wanted = section.optional::<bool>("active_active", report).filter(|wanted| wanted.value);
    let of_family = |ipv4| addresses.iter().filter(move |address| address.is_ipv4() == ipv4);
    let nth =
        |at| [true, false].into_iter().find_map(|ipv4| of_family(ipv4).next().zip(of_family(ipv4).nth(at)));
    let (second, third) = (nth(1), nth(2));
    match (&wanted, second) {
        (Some(wanted), _) if !sku.is_active_active() => {
            let problem = format!("a gateway of size {} cannot be active-active", sku.word());
            report.error(&wanted.place, problem, "leave it out, or take a larger sku");
        }
        (Some(wanted), None) if !addresses.is_empty() => {
            let problem = "an active-active gateway has two public addresses of one family";
            report.error(
                &wanted.place,
                problem,
                "add a second one to public_addresses, or leave active_active out",
            );
        }
        (None, Some(_)) if !sku.is_active_active() => {
            let problem = format!(
                "a gateway of size {} cannot be active-active, with two public addresses",
                sku.word()
            );
            report.error(place, problem, "leave one address of each family, or take a larger sku");
        }
        (None, Some((first, second))) => {
            let problem = format!(
                "no tunnel begins at {second}: of each family the first address is used, {first}, and others by MOBIKE alone"
            );
            let remedy = "take active_active = true, or leave it out if no peer speaks MOBIKE, or give it to a gateway of another network";
            report.warning(place, problem, remedy);
        }
        _ => {}
    }
    if let Some((_, third)) = third.filter(|_| wanted.is_some()) {
        let problem = format!(
            "no tunnel begins at {third}: of each family the first two addresses are used, and others by MOBIKE alone"
        );
        report.warning(place, problem, "leave it out, or give it to a gateway of another network");
    }
    wanted.is_some()
}

/// Reads `public_addresses`. As in the cloud, an address belongs to one gateway: who calls it, a client or a peer from anywhere, means that one. `taken` has those of the
/// gateways before, with their lines.
fn public_addresses(
    section: &mut Section<'_>,
    ports: &Shelf<Port>,
    taken: &mut BTreeMap<IpAddr, usize>,
    report: &mut Report<'_>,
) -> Vec<IpAddr> {
    let found =
        section.required_list::<IpAddr>("public_addresses", "[\"192.0.2.1\"]", report).unwrap_or_default();
    let mut sound: Vec<IpAddr> = Vec::with_capacity(found.len());
    let underlay: Vec<String> = ports
        .sound()
        .values()
        .flat_map(|port| port.addresses.iter().map(|own| own.address.to_string()))
        .collect();
    for Located { value: address, place } in found {
        if sound.contains(&address) {
            report.error(&place, format!("{address} is listed twice"), "leave one of them out");
            continue;
        }
        if ports.is_complete() && !underlay.contains(&address.to_string()) {
            let remedy = match underlay.is_empty() {
                true => "give a [[port]] of the public side this address".to_owned(),
                false => format!(
                    "add it to the addresses of a [[port]], or take one that is there: {}",
                    alternatives(underlay.iter().map(String::as_str))
                ),
            };
            report.error(&place, format!("{address} is an address of no underlay port"), remedy);
        }
        if let Some(line) = taken.get(&address) {
            let problem = format!("{address} belongs to another gateway already, on line {line}");
            let remedy =
                "give each gateway a public address of its own: add one to the addresses of the [[port]]";
            report.error(&place, problem, remedy);
        } else {
            taken.insert(address, place.line);
        }
        sound.push(address);
    }
    sound
}

/// Reads `region`: a gateway is where its network is.
fn region(section: &mut Section<'_>, network: Option<&VirtualNetwork>, report: &mut Report<'_>) {
    let Some(found) = section.optional::<Region>("region", report) else { return };
    if let Some(network) = network.filter(|network| network.region.as_ref() != Some(&found.value)) {
        let other = network.region.as_ref().map_or_else(|| "has none".to_owned(), |own| format!("is {own}"));
        let problem =
            format!("a gateway is in the region of its network, and that of \"{}\" {other}", network.name);
        report.error(&found.place, problem, "leave it out here, and write region at the network");
    }
}

fn check_network(reference: &Located<Name>, networks: &Shelf<VirtualNetwork>, report: &mut Report<'_>) {
    let Some(network) = networks.find(reference, report) else { return };
    if network.gateway_subnet.is_none() {
        let problem = format!("the network \"{}\" has no gateway subnet", network.name);
        report.error(
            &reference.place,
            problem,
            "add gateway_subnet to the network, a /27 of its address space",
        );
    }
}
