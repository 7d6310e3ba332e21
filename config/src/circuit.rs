//! Private circuits: a port or a VLAN that leads to a provider's edge, and what is reached there without encryption. A gateway of type `ExpressRoute` and a connection of
//! that type bring a circuit into a network.

mod connection;
mod gateway;

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

pub use connection::ExpressRouteConnection;
pub(crate) use connection::{Around, Used, check_beside, read as read_connection};
pub use gateway::{CIRCUIT_SIZES, CircuitSize, CircuitSku, ExpressRouteGateway};
pub(crate) use gateway::{check_coexistence, read as read_gateway};

use crate::document::Section;
use crate::name::Name;
use crate::network::{self, VlanId};
use crate::port::{self, Port};
use crate::prefix::{InterfaceAddress, is_link_local, overlap, without_overlaps};
use crate::report::{Located, Report};
use crate::shelf::Shelf;

/// A way out that a provider keeps private. Packets leave it in clear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpressRouteCircuit {
    /// Name, unique among circuits.
    pub name: Name,
    /// The port that leads to the provider's edge.
    pub port: Name,
    /// The VLAN on that port, or untagged. Nothing else uses port and VLAN.
    pub vlan: Option<VlanId>,
    /// Our addresses on the link to the provider's edge; at least one.
    pub addresses: Vec<InterfaceAddress>,
    /// The provider's routers, each on the link; the first that is alive is used.
    pub next_hops: Vec<IpAddr>,
    /// What is behind the circuit; at least one prefix, and they do not overlap.
    pub prefixes: Vec<IpNet>,
}

impl ExpressRouteCircuit {
    /// The first of its prefixes and links that overlaps one of `spaces`, with that; a default route may contain them.
    pub(crate) fn clash_with(&self, spaces: &[IpNet]) -> Option<(IpNet, IpNet)> {
        let behind = self.prefixes.iter().copied().filter(|prefix| prefix.prefix_len() > 0);
        let links = self.addresses.iter().map(|own| own.network);
        behind.chain(links).find_map(|prefix| {
            let space = spaces.iter().find(|space| overlap(**space, prefix))?;
            Some((prefix, *space))
        })
    }
}

/// Reads each `[[express_route_circuit]]`.
pub(crate) fn read(
    root: &mut Section<'_>,
    ports: &Shelf<Port>,
    attachments: &mut BTreeMap<(Name, Option<VlanId>), usize>,
    report: &mut Report<'_>,
) -> Shelf<ExpressRouteCircuit> {
    let mut circuits = Shelf::new("express route circuit");
    for section in root.sections("express_route_circuit", report) {
        let Some(mut section) = section else {
            circuits.put(None, None);
            continue;
        };
        let name = section.name("express_route_circuit", report);
        if let Some(name) = &name {
            circuits.declare(name, report);
        }
        let attachment = network::attachment(&mut section, ports, attachments, report);
        let addresses = addresses(&mut section, report);
        let next_hops = next_hops(&mut section, &addresses, report);
        let prefixes = prefixes(&mut section, &next_hops, report);
        section.finish(report);
        let circuit = name.as_ref().zip(attachment).map(|(name, (port, vlan))| {
            let name = name.value.clone();
            ExpressRouteCircuit { name, port, vlan, addresses, next_hops, prefixes }
        });
        circuits.put(name, circuit);
    }
    circuits
}

fn addresses(section: &mut Section<'_>, report: &mut Report<'_>) -> Vec<InterfaceAddress> {
    let place = section.place_of("addresses");
    let none = !section.has("addresses") || section.has_empty_list("addresses");
    let addresses = port::addresses(section, report);
    if none {
        let remedy = "add addresses = [\"172.31.0.1/30\"], the gateway's own addresses on the link to the provider's edge";
        report.error(&place, "the gateway has no address on the circuit", remedy);
    }
    addresses.into_iter().map(|address| address.value).collect()
}

fn next_hops(
    section: &mut Section<'_>,
    addresses: &[InterfaceAddress],
    report: &mut Report<'_>,
) -> Vec<IpAddr> {
    let place = section.place_of("next_hops");
    let found = section.required_list::<IpAddr>("next_hops", "[\"172.31.0.2\"]", report).unwrap_or_default();
    if found.len() > NEXT_HOPS_MAX {
        let problem = format!("{} routers are more than {NEXT_HOPS_MAX}", found.len());
        report.error(&place, problem, "keep the nearest ones");
    }
    let mut sound = Vec::with_capacity(found.len());
    for Located { value: next_hop, place } in found {
        if sound.contains(&next_hop) {
            report.error(&place, format!("{next_hop} is listed twice"), "leave one of them out");
        } else if addresses.iter().any(|own| own.address == next_hop) {
            let problem = format!("{next_hop} is an address of the gateway itself");
            report.error(&place, problem, "name the provider's router");
        } else if !addresses.is_empty()
            && !is_link_local(next_hop)
            && !addresses.iter().any(|own| own.network.contains(&next_hop))
        {
            let problem = format!("{next_hop} is in none of the networks of addresses");
            report.error(
                &place,
                problem,
                "name a router on the link, or add the address that connects to it",
            );
        }
        sound.push(next_hop);
    }
    sound
}

fn prefixes(section: &mut Section<'_>, next_hops: &[IpAddr], report: &mut Report<'_>) -> Vec<IpNet> {
    let place = section.place_of("prefixes");
    let mut found =
        section.required_list::<IpNet>("prefixes", "[\"10.2.0.0/16\"]", report).unwrap_or_default();
    if found.len() > PREFIXES_MAX {
        let problem = format!("{} prefixes are more than {PREFIXES_MAX}", found.len());
        report.error(&place, problem, "join prefixes that lie side by side");
        found.truncate(PREFIXES_MAX);
    }
    let stranded = found.iter().find(|prefix| {
        !next_hops.is_empty() && !next_hops.iter().any(|hop| hop.is_ipv4() == prefix.value.addr().is_ipv4())
    });
    if let Some(Located { value, place }) = stranded {
        let problem = format!("no router of next_hops is of the address family of {value}");
        report.error(place, problem, "add one to next_hops, with an address of ours on its link");
    }
    without_overlaps(found, report)
}

/// Routers at the provider's edge: two are usual.
const NEXT_HOPS_MAX: usize = 8;
/// Prefixes of a circuit: those of the largest gateway.
const PREFIXES_MAX: usize = 9500;
