//! Virtual networks: one VRF each, on a port or on a VLAN of a port.

use std::collections::BTreeMap;

use ipnet::IpNet;

use crate::document::Section;
use crate::name::Name;
use crate::port::{self, Port};
use crate::prefix::{InterfaceAddress, StaticRoute, within, without_overlaps};
use crate::region::Region;
use crate::report::{Located, Report};
use crate::shelf::Shelf;

/// A VLAN number, 1 to 4094 (IEEE 802.1Q).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VlanId(u16);

impl VlanId {
    /// The VLAN `number`, unless it is one of the reserved 0 and 4095 or larger.
    #[must_use]
    pub fn new(number: u16) -> Option<Self> {
        (1..=VLAN_MAX).contains(&number).then_some(Self(number))
    }

    /// The number, 1 to 4094.
    #[must_use]
    pub fn get(self) -> u16 {
        self.0
    }
}

/// A network behind this gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VirtualNetwork {
    /// Name, unique among virtual networks.
    pub name: Name,
    /// Where it is, if that is said.
    pub region: Option<Region>,
    /// The prefixes of the network; they do not overlap.
    pub address_space: Vec<IpNet>,
    /// The part of the address space set aside for gateways (Azure's `GatewaySubnet`); always there if the network
    /// has a gateway.
    pub gateway_subnet: Option<IpNet>,
    /// The port that leads into the network.
    pub port: Name,
    /// The VLAN on that port, or untagged. No two networks share port and VLAN.
    pub vlan: Option<VlanId>,
    /// The gateway's own addresses in the network; at least one, inside the address space.
    pub addresses: Vec<InterfaceAddress>,
    /// Static routes inside the network.
    pub routes: Vec<StaticRoute>,
}

/// Reads each `[[virtual_network]]`.
pub(crate) fn read(
    root: &mut Section<'_>,
    ports: &Shelf<Port>,
    attachments: &mut BTreeMap<(Name, Option<VlanId>), usize>,
    report: &mut Report<'_>,
) -> Shelf<VirtualNetwork> {
    let mut networks = Shelf::new("virtual network");
    for section in root.sections("virtual_network", report) {
        let Some(mut section) = section else {
            networks.put(None, None);
            continue;
        };
        let name = section.name("virtual_network", report);
        if let Some(name) = &name {
            networks.declare(name, report);
        }
        let region = section.optional("region", report).map(|region| region.value);
        let space = address_space(&mut section, report);
        let gateway_subnet = gateway_subnet(&mut section, &space, report);
        let attachment = attachment(&mut section, ports, attachments, report);
        let addresses = addresses(&mut section, &space, report);
        let routes = port::routes(&mut section, &addresses, report);
        let routes = without_repeats(routes, report);
        section.finish(report);
        let network = name.as_ref().zip(attachment).map(|(name, (port, vlan))| {
            let (name, address_space) = (name.value.clone(), space);
            VirtualNetwork { name, region, address_space, gateway_subnet, port, vlan, addresses, routes }
        });
        networks.put(name, network);
    }
    networks
}

fn address_space(section: &mut Section<'_>, report: &mut Report<'_>) -> Vec<IpNet> {
    let place = section.place_of("address_space");
    let prefixes = section.required_list("address_space", "[\"10.1.0.0/16\"]", report).unwrap_or_default();
    if prefixes.len() > PREFIXES_MAX {
        let problem = format!("{} prefixes are more than {PREFIXES_MAX}", prefixes.len());
        report.error(&place, problem, "join prefixes that lie side by side");
    }
    let mut sound = without_overlaps(prefixes, report);
    if sound.iter().any(|prefix| prefix.prefix_len() == 0) {
        let remedy = "list the prefixes that the network really has";
        report.error(
            &place,
            "a network cannot hold all addresses: nothing would be left for its peers",
            remedy,
        );
        sound.retain(|prefix| prefix.prefix_len() > 0);
    }
    sound
}

/// Azure's rules for `GatewaySubnet`: /29 or larger, /27 or larger wherever gateways may grow.
fn gateway_subnet(section: &mut Section<'_>, space: &[IpNet], report: &mut Report<'_>) -> Option<IpNet> {
    let Located { value: subnet, place } = section.optional::<IpNet>("gateway_subnet", report)?;
    let IpNet::V4(_) = subnet else {
        report.error(
            &place,
            format!("{subnet} is not an IPv4 prefix"),
            "take an IPv4 prefix of the address space, /27 or larger",
        );
        return None;
    };
    if subnet.prefix_len() > SUBNET_LENGTH_MAX {
        let problem = format!("{subnet} is too small for gateways");
        report.error(&place, problem, "take a /27 or larger; a /29 is the least");
    } else if subnet.prefix_len() > SUBNET_LENGTH_ADVISED {
        let problem = format!("{subnet} leaves no room for a second gateway");
        report.warning(&place, problem, "take a /27 or larger while nothing else uses the addresses");
    }
    if !space.is_empty() && !within(subnet, space) {
        let problem = format!("{subnet} is outside of the address space");
        report.error(&place, problem, "take a part of address_space, or extend that");
    }
    Some(subnet)
}

/// The port and the VLAN that lead into the network or to a circuit, used by no other one and not by the underlay.
pub(crate) fn attachment(
    section: &mut Section<'_>,
    ports: &Shelf<Port>,
    attachments: &mut BTreeMap<(Name, Option<VlanId>), usize>,
    report: &mut Report<'_>,
) -> Option<(Name, Option<VlanId>)> {
    let reference = section.required::<Name>("port", "\"lan\"", report);
    let vlan = match section.has("vlan") {
        true => Some(section.integer("vlan", 1..=VLAN_MAX, 1, report)),
        false => None,
    };
    let vlan = vlan.and_then(VlanId::new);
    let reference = reference?;
    let port = ports.find(&reference, report)?;
    if !port.addresses.is_empty() || !port.routes.is_empty() {
        let problem = format!("the port \"{}\" has addresses or routes of the underlay", port.name);
        let remedy = "name another port; or move its addresses and routes into this network";
        report.error(&reference.place, problem, remedy);
    }
    let key = (reference.value, vlan);
    if let Some(line) = attachments.get(&key) {
        let what = vlan.map_or_else(|| "untagged".to_owned(), |vlan| format!("VLAN {}", vlan.get()));
        let problem = format!("the port \"{}\", {what}, is used on line {line} already", key.0);
        report.error(
            &reference.place,
            problem,
            "give each network and each circuit a port or a VLAN of its own",
        );
    } else {
        attachments.insert(key.clone(), section.place.line);
    }
    Some(key)
}

fn addresses(section: &mut Section<'_>, space: &[IpNet], report: &mut Report<'_>) -> Vec<InterfaceAddress> {
    let place = section.place_of("addresses");
    let none = !section.has("addresses") || section.has_empty_list("addresses");
    let addresses = port::addresses(section, report);
    if none {
        let remedy = "add addresses = [\"10.1.0.1/24\"], the gateway's own addresses in the network";
        report.error(&place, "the gateway has no address in the network", remedy);
    }
    for address in &addresses {
        let host = IpNet::from(address.value.address);
        if !space.is_empty() && !within(host, space) {
            let problem = format!("{} is outside of the address space", address.value.address);
            report.error(&address.place, problem, "take an address of address_space, or extend that");
        }
    }
    addresses.into_iter().map(|address| address.value).collect()
}

fn without_repeats(routes: Vec<Located<StaticRoute>>, report: &mut Report<'_>) -> Vec<StaticRoute> {
    let mut sound: Vec<StaticRoute> = Vec::with_capacity(routes.len());
    for Located { value, place } in routes {
        if sound.iter().any(|earlier| earlier.prefix == value.prefix) {
            let problem = format!("the network has a route to {} already", value.prefix);
            report.error(&place, problem, "leave one of the two out");
        } else {
            sound.push(value);
        }
    }
    sound
}

const VLAN_MAX: u16 = 4094;
/// Prefixes of one network, as in Azure.
const PREFIXES_MAX: usize = 600;
const SUBNET_LENGTH_MAX: u8 = 29;
const SUBNET_LENGTH_ADVISED: u8 = 27;
