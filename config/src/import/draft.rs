//! The configuration being drafted: resources as the input names them, written out as TOML with `CHANGE` where somebody has to decide.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;

use ipnet::IpNet;

use super::{Imported, LeftOut};
use crate::{Name, PeerAddress, Region};

pub(super) use circuit::{Circuit, CircuitConnection, CircuitGateway};

mod circuit;

/// What has been taken over so far.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) networks: Vec<Network>,
    pub(super) gateways: Vec<Gateway>,
    pub(super) nat_rules: Vec<NatRule>,
    pub(super) peers: Vec<Peer>,
    pub(super) connections: Vec<Connection>,
    pub(super) peerings: Vec<Peering>,
    pub(super) circuits: Vec<Circuit>,
    pub(super) circuit_gateways: Vec<CircuitGateway>,
    pub(super) circuit_connections: Vec<CircuitConnection>,
    left_out: Vec<LeftOut>,
    names: BTreeSet<(&'static str, String)>,
}

pub(super) struct Network {
    pub(super) name: String,
    pub(super) region: Option<Region>,
    pub(super) address_space: Vec<IpNet>,
    pub(super) gateway_subnet: Option<IpNet>,
}

pub(super) struct Gateway {
    pub(super) name: String,
    pub(super) network: String,
    pub(super) vpn_type: Option<String>,
    pub(super) sku: Option<String>,
    pub(super) generation: Option<String>,
    pub(super) public_address: Option<IpAddr>,
    /// BGP settings, values as TOML.
    pub(super) bgp: Vec<(&'static str, String)>,
    /// What it has for clients, values as TOML.
    pub(super) clients: Vec<(&'static str, String)>,
}

/// Values as TOML.
pub(super) struct NatRule {
    pub(super) name: String,
    pub(super) settings: Vec<(&'static str, String)>,
}

pub(super) struct Peer {
    pub(super) name: String,
    pub(super) address: Option<PeerAddress>,
    pub(super) prefixes: Vec<IpNet>,
    /// BGP settings, values as TOML.
    pub(super) bgp: Vec<(&'static str, String)>,
}

/// Where a connection leads.
pub(super) enum End {
    /// To a local network gateway, by name.
    Peer(String),
    /// To the gateway of another network, by name.
    Gateway(String),
}

/// One direction of a peering, between networks by name.
pub(super) struct Peering {
    pub(super) name: String,
    pub(super) network: String,
    pub(super) remote: String,
    pub(super) allow_gateway_transit: bool,
    pub(super) use_remote_gateways: bool,
}

/// Keys with values as TOML, for the connection itself and for its tables.
pub(super) struct Connection {
    pub(super) name: String,
    pub(super) gateway: String,
    pub(super) end: End,
    pub(super) settings: Vec<(&'static str, String)>,
    pub(super) policy: Vec<(&'static str, String)>,
    pub(super) selectors: Vec<(Vec<IpNet>, Vec<IpNet>)>,
}

impl Draft {
    pub(super) fn leave_out(
        &mut self,
        place: impl Into<String>,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let (place, problem, remedy) = (place.into(), problem.into(), remedy.into());
        self.left_out.push(LeftOut { place, problem, remedy });
    }

    /// A name that our configuration takes, the same for the same input: of letters, digits, `-`, `_` and `.`. A name that has to change is told.
    pub(super) fn name(&mut self, kind: &'static str, wanted: &str) -> String {
        let name = plain(wanted);
        if name != wanted && self.names.insert((kind, wanted.to_owned())) {
            self.leave_out(
                format!("{kind}[{}]", shown(wanted)),
                format!("the name is written as {name}"),
                "rename it if two names became one",
            );
        }
        name
    }

    /// Prefixes of a list of texts; what is none is told.
    pub(super) fn prefixes<'t>(&mut self, place: &str, texts: impl Iterator<Item = &'t str>) -> Vec<IpNet> {
        let mut prefixes = Vec::new();
        for text in texts {
            match text.trim().parse::<IpNet>() {
                Ok(prefix) => prefixes.push(prefix.trunc()),
                Err(_) => self.leave_out(place, format!("{} is not a prefix", shown(text)), "add it by hand"),
            }
        }
        prefixes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.networks.is_empty()
            && self.gateways.is_empty()
            && self.peers.is_empty()
            && self.connections.is_empty()
            && self.circuits.is_empty()
            && self.circuit_gateways.is_empty()
    }

    /// The file of a connection's key: the two ends of a tunnel between networks have one in common, that
    /// of the earlier.
    pub(super) fn key_file(&self, connection: &Connection) -> String {
        let End::Gateway(far) = &connection.end else { return format!("{}.psk", connection.name) };
        let is_other_end = |other: &&Connection| {
            other.gateway == *far && matches!(&other.end, End::Gateway(back) if *back == connection.gateway)
        };
        let mut earlier = self.connections.iter().take_while(|other| other.name != connection.name);
        format!("{}.psk", earlier.find(is_other_end).map_or(&connection.name, |other| &other.name))
    }

    /// Takes out peerings with networks that are not here.
    fn drop_lonely_peerings(&mut self) {
        let (whole, lonely): (Vec<_>, Vec<_>) = std::mem::take(&mut self.peerings)
            .into_iter()
            .partition(|peering| self.networks.iter().any(|network| network.name == peering.remote));
        self.peerings = whole;
        for Peering { name, network, remote, .. } in lonely {
            let problem = format!("the network {remote} is not in the template");
            let remedy =
                "import both networks together; one on another appliance takes a Vnet2Vnet connection";
            self.leave_out(
                format!("virtualNetworks[{network}].virtualNetworkPeerings[{name}]"),
                problem,
                remedy,
            );
        }
    }

    /// The draft as TOML.
    pub(super) fn finish(mut self) -> Imported {
        self.drop_lonely_peerings();
        self.settle_circuits();
        let mut text = String::from(HEAD);
        self.ports(&mut text);
        if !self.circuits.is_empty() {
            text.push_str(circuit::PORT);
        }
        let several = self.networks.len() > 1;
        for (index, network) in self.networks.iter().enumerate() {
            self::network(network, several.then_some(index * 10 + 10), &mut text);
        }
        circuit::circuits(&self.circuits, &mut text);
        self.gateways.iter().enumerate().for_each(|(index, one)| gateway(one, index, &mut text));
        self.circuit_gateways.iter().for_each(|one| circuit::gateway(one, &mut text));
        self.nat_rules.iter().for_each(|one| nat_rule(one, &mut text));
        self.peers.iter().for_each(|one| peer(one, &mut text));
        self.connections.iter().for_each(|one| self.connection(one, &mut text));
        self.circuit_connections.iter().for_each(|one| circuit::connection(one, &mut text));
        self.peerings.iter().for_each(|one| peering(one, &mut text));
        let place = "[[port]]";
        self.leave_out(
            place,
            "neither a template nor a network configuration knows this machine's interfaces and addresses",
            "set the devices, the public addresses and the next hop that are marked CHANGE",
        );
        Imported { toml: text, left_out: self.left_out }
    }

    fn ports(&self, text: &mut String) {
        let addresses: Vec<String> = (0..self.gateways.len().max(1))
            .map(|index| format!("\"{}/24\"", self.public_address(index)))
            .collect();
        write(
            text,
            format!(
                "[[port]]\nname = \"wan\"\ndevice = \"net_af_packet0,iface=wan\" # CHANGE\n\
                 addresses = [{}] # CHANGE\n\
                 routes = [{{ prefix = \"0.0.0.0/0\", next_hop = \"{NEXT_HOP}\" }}] # CHANGE\n\n\
                 [[port]]\nname = \"lan\"\ndevice = \"net_af_packet1,iface=lan\" # CHANGE\n\n",
                addresses.join(", ")
            ),
        );
    }

    fn connection(&self, connection: &Connection, text: &mut String) {
        let Connection { name, gateway, .. } = connection;
        let (kind, end) = match &connection.end {
            End::Peer(peer) => ("IPsec", format!("local_network_gateway = \"{peer}\"")),
            End::Gateway(far) if self.gateways.iter().any(|one| one.name == *far) => {
                ("Vnet2Vnet", format!("remote_gateway = \"{far}\""))
            }
            End::Gateway(far) => (
                "Vnet2Vnet",
                format!("remote_gateway = \"{ELSEWHERE}\" # CHANGE: the public address of {far}"),
            ),
        };
        let key = self.key_file(connection);
        write(
            text,
            format!("[[connection]]\nname = \"{name}\"\ntype = \"{kind}\"\ngateway = \"{gateway}\"\n"),
        );
        write(text, format!("{end}\nshared_key = {{ file = \"{key}\" }}\n"));
        for (key, value) in &connection.settings {
            write(text, format!("{key} = {value}\n"));
        }
        if !connection.policy.is_empty() {
            write(text, "[connection.policy]\n".to_owned());
        }
        for (key, value) in &connection.policy {
            write(text, format!("{key} = {value}\n"));
        }
        let several = connection.selectors.len() > 1;
        for (local, remote) in &connection.selectors {
            let head =
                if several { "[[connection.traffic_selectors]]" } else { "[connection.traffic_selectors]" };
            write(text, format!("{head}\n"));
            write(text, format!("local = {}\nremote = {}\n", list(local), list(remote)));
        }
        text.push('\n');
    }

    fn public_address(&self, index: usize) -> IpAddr {
        self.gateways.get(index).and_then(|gateway| gateway.public_address).unwrap_or(placeholder(index))
    }
}

/// An address that nobody has (RFC 5737), another one for each gateway.
fn placeholder(index: usize) -> IpAddr {
    let last = u8::try_from(index % 200).unwrap_or(0) + 10;
    IpAddr::from([203, 0, 113, last])
}

fn network(network: &Network, vlan: Option<usize>, text: &mut String) {
    let hosts = network.address_space.iter().filter_map(|space| {
        let first = usize::from(space.addr().is_ipv6() && space.prefix_len() < 127);
        space.hosts().nth(first).map(|host| format!("\"{host}/{}\"", space.prefix_len()))
    });
    let hosts: Vec<String> = hosts.collect();
    write(text, format!("[[virtual_network]]\nname = \"{}\"\n", network.name));
    if let Some(region) = &network.region {
        write(text, format!("region = \"{region}\"\n"));
    }
    write(text, format!("address_space = {}\n", list(&network.address_space)));
    match network.gateway_subnet {
        Some(subnet) => write(text, format!("gateway_subnet = \"{subnet}\"\n")),
        None => write(text, "# CHANGE: gateway_subnet = \"..\", a /27 of the address space\n".to_owned()),
    }
    write(text, "port = \"lan\"\n".to_owned());
    if let Some(vlan) = vlan {
        write(text, format!("vlan = {} # CHANGE\n", vlan.min(4094)));
    }
    write(text, format!("addresses = [{}] # CHANGE: the next hop of its hosts\n\n", hosts.join(", ")));
}

fn gateway(gateway: &Gateway, index: usize, text: &mut String) {
    write(text, format!("[[virtual_network_gateway]]\nname = \"{}\"\n", gateway.name));
    write(text, format!("virtual_network = \"{}\"\ntype = \"Vpn\"\n", gateway.network));
    let optional =
        [("vpn_type", &gateway.vpn_type), ("sku", &gateway.sku), ("generation", &gateway.generation)];
    for (key, value) in optional {
        if let Some(value) = value {
            write(text, format!("{key} = {}\n", quoted(value)));
        }
    }
    let address = gateway.public_address.unwrap_or(placeholder(index));
    write(text, format!("public_addresses = [\"{address}\"] # CHANGE\n"));
    bgp("virtual_network_gateway", &gateway.bgp, text);
    if !gateway.clients.is_empty() {
        write(text, "[virtual_network_gateway.vpn_client_configuration]\n".to_owned());
    }
    for (key, value) in &gateway.clients {
        write(text, format!("{key} = {value}\n"));
    }
    text.push('\n');
}

fn nat_rule(rule: &NatRule, text: &mut String) {
    write(text, format!("[[nat_rule]]\nname = \"{}\"\n", rule.name));
    for (key, value) in &rule.settings {
        write(text, format!("{key} = {value}\n"));
    }
    text.push('\n');
}

fn peer(peer: &Peer, text: &mut String) {
    write(text, format!("[[local_network_gateway]]\nname = \"{}\"\n", peer.name));
    let address = peer
        .address
        .as_ref()
        .map_or_else(|| "\"any\" # CHANGE".to_owned(), |address| format!("\"{address}\""));
    write(text, format!("address = {address}\nprefixes = {}\n", list(&peer.prefixes)));
    bgp("local_network_gateway", &peer.bgp, text);
    text.push('\n');
}

fn bgp(section: &str, settings: &[(&str, String)], text: &mut String) {
    if !settings.is_empty() {
        write(text, format!("[{section}.bgp_settings] # kept, but BGP is not spoken\n"));
    }
    for (key, value) in settings {
        write(text, format!("{key} = {value}\n"));
    }
}

fn peering(peering: &Peering, text: &mut String) {
    let Peering { name, network, remote, .. } = peering;
    write(text, format!("[[virtual_network_peering]]\nname = \"{name}\"\nvirtual_network = \"{network}\"\n"));
    write(text, format!("remote_virtual_network = \"{remote}\"\n"));
    let flags = [
        ("allow_gateway_transit", peering.allow_gateway_transit),
        ("use_remote_gateways", peering.use_remote_gateways),
    ];
    for (key, _) in flags.into_iter().filter(|(_, set)| *set) {
        write(text, format!("{key} = true\n"));
    }
    text.push('\n');
}

/// A name of ours for any text.
pub(super) fn plain(wanted: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let changed: String = wanted.chars().map(|c| if fits(c) { c } else { '-' }).take(80).collect();
    let name = changed.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    Name::new(name).map_or_else(|| "unnamed".to_owned(), |name| name.to_string())
}

/// Text of the input, short and harmless, for people.
pub(super) fn shown(text: &str) -> String {
    let short: String = text.chars().take(60).collect();
    format!("{short:?}")
}

/// Text as a TOML string.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn list(prefixes: &[IpNet]) -> String {
    let quoted: Vec<String> = prefixes.iter().map(|prefix| format!("\"{prefix}\"")).collect();
    format!("[{}]", quoted.join(", "))
}

fn write(text: &mut String, more: String) {
    let _ = text.write_str(&more); // writing to a String cannot fail
}

const HEAD: &str = "# A draft: see to every CHANGE, write the keys' files, then: crossgate check FILE\n\
                    [appliance]\nname = \"imported\"\n\n";
const NEXT_HOP: &str = "203.0.113.1";
/// The public address of a gateway on another appliance (RFC 5737): nobody has it.
const ELSEWHERE: &str = "198.51.100.1";
