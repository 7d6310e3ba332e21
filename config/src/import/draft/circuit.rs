//! Private circuits of a draft, as TOML.

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::{Draft, quoted, write};
use crate::prefix::overlap;

/// A circuit.
pub(in crate::import) struct Circuit {
    pub(in crate::import) name: String,
    pub(in crate::import) vlan: Option<u16>,
    /// The link to the provider's edge: its first host is the other side's router, its second one the cloud's, which we stand for.
    pub(in crate::import) link: Option<IpNet>,
}

/// A gateway of type `ExpressRoute`.
pub(in crate::import) struct CircuitGateway {
    pub(in crate::import) name: String,
    pub(in crate::import) network: String,
    pub(in crate::import) sku: Option<String>,
    pub(in crate::import) scale_units: Option<u32>,
}

/// A connection of that type.
pub(in crate::import) struct CircuitConnection {
    pub(in crate::import) name: String,
    pub(in crate::import) gateway: String,
    pub(in crate::import) circuit: String,
    pub(in crate::import) routing_weight: Option<u32>,
}

/// The port that leads to the provider's edge.
pub(super) const PORT: &str =
    "[[port]]\nname = \"edge\"\ndevice = \"net_af_packet2,iface=edge\" # CHANGE\n\n";

impl Draft {
    /// Makes circuits of those that connections name and the template has not, and takes out connections to a circuit that has one already.
    pub(super) fn settle_circuits(&mut self) {
        let mut kept: Vec<CircuitConnection> = Vec::new();
        for connection in std::mem::take(&mut self.circuit_connections) {
            let CircuitConnection { name, circuit, .. } = &connection;
            let place = format!("connections[{name}].properties.peer");
            if let Some(first) = kept.iter().find(|other| other.circuit == *circuit) {
                let problem = format!(
                    "the circuit {circuit} has a connection here, {}: it serves one network",
                    first.name
                );
                let remedy =
                    "peer the networks with gateway transit, or give this one a circuit (a VLAN) of its own";
                self.leave_out(place, problem, remedy);
                continue;
            }
            if !self.circuits.iter().any(|known| known.name == *circuit) {
                let problem = format!("the circuit {circuit} is not in the template");
                self.leave_out(place, problem, "set VLAN, addresses, next_hops and prefixes of the circuit");
                self.circuits.push(Circuit { name: circuit.clone(), vlan: None, link: None });
            }
            kept.push(connection);
        }
        self.circuit_connections = kept;
    }
}

/// All circuits on one port: each with a VLAN and a link of its own, the template's where they can be had.
pub(super) fn circuits(circuits: &[Circuit], text: &mut String) {
    let of_templates: BTreeSet<u16> = circuits.iter().filter_map(Circuit::vlan).collect();
    let mut placeholders = (2..=VLAN_MAX).filter(|vlan| !of_templates.contains(vlan));
    let (mut vlans, mut links) = (BTreeSet::new(), Vec::new());
    for (index, one) in circuits.iter().enumerate() {
        let vlan = one.vlan().filter(|vlan| vlans.insert(*vlan));
        let link = one.link().filter(|link| links.iter().all(|other| !overlap(*other, *link)));
        links.extend(link);
        write(text, format!("[[express_route_circuit]]\nname = \"{}\"\nport = \"edge\"\n", one.name));
        match (vlan, one.vlan()) {
            (Some(vlan), _) => write(text, format!("vlan = {vlan}\n")),
            (None, before) => {
                let vlan = placeholders.next().unwrap_or(VLAN_MAX);
                let why = if before.is_some() { ANOTHER_HAS_IT } else { "" };
                write(text, format!("vlan = {vlan} # CHANGE{why}\n"));
            }
        }
        let hosts = link.and_then(|link| {
            let mut hosts = link.hosts();
            Some((hosts.next()?, hosts.next()?, link.prefix_len()))
        });
        match hosts {
            Some((theirs, ours, length)) => {
                write(text, format!("addresses = [\"{ours}/{length}\"]\nnext_hops = [\"{theirs}\"]\n"));
            }
            None => {
                let (number, why) = (index % 250, if one.link().is_some() { ANOTHER_HAS_IT } else { "" });
                let line = format!(
                    "addresses = [\"169.254.{number}.2/30\"] # CHANGE{why}\nnext_hops = [\"169.254.{number}.1\"] # CHANGE\n"
                );
                write(text, line);
            }
        }
        prefixes(index, text);
    }
}

impl Circuit {
    /// The template's VLAN, if there is such a VLAN.
    fn vlan(&self) -> Option<u16> {
        self.vlan.filter(|vlan| (1..=VLAN_MAX).contains(vlan))
    }

    /// The template's link, if it has room for two.
    fn link(&self) -> Option<IpNet> {
        self.link.filter(|link| link.hosts().nth(1).is_some())
    }
}

fn prefixes(index: usize, text: &mut String) {
    // Of the addresses for benchmarks (RFC 2544): nobody has them.
    write(text, format!("prefixes = [\"198.18.{}.0/24\"] # CHANGE: what is behind it\n\n", index % 250));
}

pub(super) fn gateway(gateway: &CircuitGateway, text: &mut String) {
    let CircuitGateway { name, network, sku, scale_units } = gateway;
    write(text, format!("[[virtual_network_gateway]]\nname = \"{name}\"\nvirtual_network = \"{network}\"\n"));
    write(text, "type = \"ExpressRoute\"\n".to_owned());
    if let Some(sku) = sku {
        write(text, format!("sku = {}\n", quoted(sku)));
    }
    if let Some(units) = scale_units {
        write(text, format!("scale_units = {}\n", (*units).clamp(1, 40)));
    }
    text.push('\n');
}

pub(super) fn connection(connection: &CircuitConnection, text: &mut String) {
    let CircuitConnection { name, gateway, circuit, routing_weight } = connection;
    write(
        text,
        format!("[[connection]]\nname = \"{name}\"\ntype = \"ExpressRoute\"\ngateway = \"{gateway}\"\n"),
    );
    write(text, format!("express_route_circuit = \"{circuit}\"\n"));
    if let Some(weight) = routing_weight {
        write(text, format!("routing_weight = {weight}\n"));
    }
    text.push('\n');
}

const VLAN_MAX: u16 = 4094;
const ANOTHER_HAS_IT: &str = ": the template gives it to another circuit, too";
