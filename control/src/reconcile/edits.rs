//! Whatever networks, peerings, sites and sizes two configurations have: to apply the one, then the other, is to apply the other to a fresh gateway; and what a site's prefix holds never
//! has a way in clear.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::LazyLock;

use crossgate_config::Source;
use crossgate_dataplane::forwarding::{Forwarding, NextHop, VrfId};
use crossgate_dataplane::header::Protocol;
use crossgate_dataplane::header::ethernet::Mac;
use crossgate_dataplane::selector::Flow;
use crossgate_ike::environment::Instant;
use crossgate_pki::KeyKind;
use crossgate_pki::testing::{Issued, Template, key_pem};
use proptest::prelude::*;
use zeroize::Zeroizing;

use super::forwarding::PortFacts;
use super::*;
use crate::circuits::Circuits;
use crate::meters::Meters;

/// A site: its prefixes are 10.(20 + number).0.0/24 and on.
#[derive(Debug, Clone)]
struct Site {
    number: u8,
    network: u8,
    prefixes: u8,
    dpd_timeout_s: u16,
    mode: &'static str,
    /// The `routing_weight` of a second connection to it (number + 100), and of its own, if there is one.
    second_weight: Option<u8>,
    /// Whether the network knows its prefixes by others, 100.(64 + number).0.0/24 and on. Of meaning for sizes with NAT rules.
    translated: bool,
}

/// A configuration of two networks at most.
#[derive(Debug, Clone)]
struct Edit {
    second_network: bool,
    peered: bool,
    sku: &'static str,
    static_route: Option<u8>,
    /// Where the addresses of each network's clients come from, 172.16.(10 * this + network).0/24; none without clients.
    pools: [Option<u8>; 2],
    /// A circuit of the first network, to 10.8.0.0/16 and, if it says so, 10.16.0.0/12, in which the sites' prefixes lie.
    circuit: Option<bool>,
    sites: Vec<Site>,
}

/// The certificate of the gateways, in a file that is there as long as this process.
pub(crate) static OWN: LazyLock<(tempfile::TempDir, String)> = LazyLock::new(|| {
    let root = Issued::root(&Template::authority("Root"), &key_pem(KeyKind::P256, 1));
    let own = root.issue(&Template::peer("vpn.example.net"), &key_pem(KeyKind::P256, 2));
    let place = tempfile::tempdir().expect("a directory");
    std::fs::write(place.path().join("vpn.pem"), own.pem()).expect("a file");
    (place, own.key_pem)
});

pub(crate) fn config(text: &str) -> Config {
    let variable = |name: &str| {
        Some(Zeroizing::new(match name {
            "OWN" => OWN.1.clone(),
            "USERS" => "anna:secret of anna".to_owned(),
            _ => "vB7.qzN2_kTfW9xR4mYh6LdC".to_owned(),
        }))
    };
    let environment = Environment { cores: [0, 1].into(), user_id: 0, variable: &variable };
    match Config::parse(Source { file: Path::new("test.toml"), text }, &environment) {
        Ok(checked) => checked.config,
        Err(findings) => panic!("{findings}\nof\n{text}"),
    }
}

fn site() -> impl Strategy<Value = Site> {
    let mode = prop::sample::select(vec!["Default", "InitiatorOnly", "ResponderOnly"]);
    let second = prop::option::of(0..3_u8);
    (0..5_u8, 0..2_u8, 1..4_u8, 9..12_u16, mode, any::<bool>(), second).prop_map(
        |(number, network, prefixes, dpd_timeout_s, mode, translated, second_weight)| Site {
            number,
            network,
            prefixes,
            dpd_timeout_s,
            mode,
            second_weight,
            translated,
        },
    )
}

fn edit() -> impl Strategy<Value = Edit> {
    let sku = prop::sample::select(vec!["VpnGw1", "VpnGw2"]);
    let sites = prop::collection::vec(site(), 0..5);
    let pool = || prop::option::of(0..3_u8);
    let circuit = prop::option::of(any::<bool>());
    let switches = (any::<bool>(), any::<bool>(), prop::option::of(0..3_u8), (pool(), pool()), circuit);
    (switches, sku, sites).prop_map(
        |((second_network, peered, static_route, (first, second), circuit), sku, mut sites)| {
            sites.sort_by_key(|site| site.number);
            sites.dedup_by_key(|site| site.number);
            sites.retain(|site| site.network == 0 || second_network);
            let pools = [first, second.filter(|_| second_network)];
            Edit {
                second_network,
                peered: peered && second_network,
                sku,
                static_route,
                pools,
                circuit,
                sites,
            }
        },
    )
}

impl Edit {
    fn text(&self) -> String {
        let mut text = String::from(
            "[appliance]\nname = \"gw\"\nworkers = [0]\ncontrol_core = 0\n\
             [[port]]\nname = \"wan\"\ndevice = \"net_null0\"\naddresses = [\"192.0.2.1/24\", \"192.0.2.2/24\"]\n\
             [[port]]\nname = \"lan\"\ndevice = \"net_null1\"\n",
        );
        let route =
            |next: u8| format!("{{ prefix = \"10.9.0.0/16\", next_hop = \"10.0.0.{}\" }}", next + 100);
        for network in 0..=u8::from(self.second_network) {
            let routes = self.static_route.filter(|_| network == 0).map(route).unwrap_or_default();
            text += &format!(
                "[[virtual_network]]\nname = \"n{network}\"\naddress_space = [\"10.{network}.0.0/16\"]\n\
                 gateway_subnet = \"10.{network}.255.0/27\"\nport = \"lan\"\nvlan = {}\n\
                 addresses = [\"10.{network}.0.1/24\"]\nroutes = [{routes}]\n\
                 [[virtual_network_gateway]]\nname = \"g{network}\"\nvirtual_network = \"n{network}\"\n\
                 sku = \"{}\"\npublic_addresses = [\"192.0.2.{}\"]\n",
                network + 10,
                self.sku,
                network + 1
            );
            if let Some(third) = self.pool(network) {
                text += &format!(
                    "[virtual_network_gateway.vpn_client_configuration]\nvpn_client_address_pool = [\"172.16.{third}.0/24\"]\n\
                     vpn_client_protocols = [\"IkeV2\"]\nvpn_authentication_types = [\"Password\"]\ncertificate = {:?}\n\
                     private_key = {{ env = \"OWN\" }}\nusers = {{ env = \"USERS\" }}\n",
                    OWN.0.path().join("vpn.pem")
                );
            }
        }
        if let Some(is_wide) = self.circuit {
            let wide = if is_wide { ", \"10.16.0.0/12\"" } else { "" };
            text += &format!(
                "[[express_route_circuit]]\nname = \"line\"\nport = \"lan\"\nvlan = 100\n\
                 addresses = [\"172.31.0.1/30\"]\nnext_hops = [\"172.31.0.2\"]\nprefixes = [\"10.8.0.0/16\"{wide}]\n\
                 [[virtual_network_gateway]]\nname = \"er\"\nvirtual_network = \"n0\"\ntype = \"ExpressRoute\"\n\
                 [[connection]]\nname = \"by-line\"\ntype = \"ExpressRoute\"\ngateway = \"er\"\n\
                 express_route_circuit = \"line\"\n"
            );
        }
        for (from, to) in [(0, 1), (1, 0)].into_iter().filter(|_| self.peered) {
            text += &format!(
                "[[virtual_network_peering]]\nname = \"p{from}\"\nvirtual_network = \"n{from}\"\n\
                 remote_virtual_network = \"n{to}\"\n"
            );
        }
        for site in &self.sites {
            let Site { number, network, dpd_timeout_s, mode, .. } = site;
            let prefixes: Vec<String> = self.prefixes(*number);
            let rules: Vec<String> = match self.translates(site) {
                true => (0..site.prefixes).map(|third| format!("r{number}-{third}")).collect(),
                false => Vec::new(),
            };
            for (rule, third) in rules.iter().zip(0..) {
                text += &format!(
                    "[[nat_rule]]\nname = \"{rule}\"\ngateway = \"g{network}\"\nmode = \"IngressSnat\"\n\
                     internal_mapping = \"10.{}.{third}.0/24\"\nexternal_mapping = \"100.{}.{third}.0/24\"\n",
                    number + 20,
                    number + 64
                );
            }
            let weight = site.second_weight.map(|weight| format!("routing_weight = {weight}\n"));
            let ways = 1 + u8::from(weight.is_some());
            for way in (0..ways).map(|way| number + way * 100) {
                let weight = weight.as_deref().unwrap_or_default();
                text += &format!(
                    "[[local_network_gateway]]\nname = \"s{way}\"\naddress = \"192.0.2.{}\"\nprefixes = {prefixes:?}\n\
                     [[connection]]\nname = \"c{way}\"\ngateway = \"g{network}\"\nlocal_network_gateway = \"s{way}\"\n{weight}\
                     dpd_timeout_s = {dpd_timeout_s}\nmode = \"{mode}\"\ningress_nat_rules = {rules:?}\nshared_key = {{ env = \"KEY\" }}\n",
                    way + 10
                );
            }
        }
        text
    }

    /// The third part of the addresses of a network's clients.
    fn pool(&self, network: u8) -> Option<u8> {
        self.pools[usize::from(network)].map(|pool| 10 * pool + network)
    }

    fn translates(&self, site: &Site) -> bool {
        site.translated && self.sku == "VpnGw2"
    }

    fn prefixes(&self, number: u8) -> Vec<String> {
        let site = self.sites.iter().find(|site| site.number == number);
        let count = site.map_or(0, |site| site.prefixes);
        (0..count).map(|third| format!("10.{}.{third}.0/24", number + 20)).collect()
    }
}

/// What of a gateway is not DPDK, with the words of the core's configuration instead of the core.
struct Appliance {
    config: Config,
    identifiers: Identifiers,
    tunnels: Tunnels,
    core: BTreeMap<ConnectionId, String>,
}

impl Appliance {
    fn fresh(wanted: &Config) -> Self {
        let mut appliance = Self {
            config: wanted.clone(),
            identifiers: Identifiers::default(),
            tunnels: Tunnels::default(),
            core: BTreeMap::new(),
        };
        appliance.carry_out(wanted, &from_nothing(wanted));
        appliance
    }

    fn apply(&mut self, wanted: &Config) {
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
        self.config = wanted.clone();
    }

    fn forwarding(&self) -> Forwarding {
        let fact = PortFacts { mac: Mac([2, 0, 0, 0, 0, 1]), mtu_bytes: 1500 };
        let (meters, facts) = (Meters::default(), [fact, fact]);
        // The circuit is up: it takes what it may.
        let mut circuits = Circuits::default();
        circuits.follow(&self.config, &self.identifiers, &meters);
        for connection in self.config.circuit_connections().keys() {
            let on = self.identifiers.circuit_interface(connection).expect("it has a number");
            circuits.hear(on, [172, 31, 0, 2].into(), Instant::default());
        }
        let lasting = Lasting { circuits: &circuits, ..Lasting::none() };
        forwarding::build(&self.config, &self.identifiers, &self.tunnels, lasting, &facts)
            .expect("consistent")
    }

    /// Where a packet goes, in names.
    fn way(&self, built: &Forwarding, vrf: VrfId, to: IpAddr) -> String {
        match built.route(vrf, to) {
            next @ NextHop::Group(_) => {
                let flow = Flow {
                    source: [10, 0, 0, 9].into(),
                    destination: to,
                    protocol: Protocol::UDP,
                    source_port: None,
                    destination_port: None,
                };
                let tunnels = built.candidates(next, &flow).map(|(tunnel, _)| {
                    let id = self.tunnels.connection(tunnel).expect("a tunnel of a connection");
                    self.identifiers.connection_name(id).expect("a connection that is there").to_string()
                });
                // Which of them a flow prefers depends on numbers.
                let names: BTreeSet<String> = tunnels.collect();
                format!("tunnels of {names:?}")
            }
            NextHop::Tunnel(tunnel) => {
                let id = self.tunnels.connection(tunnel).expect("a tunnel of a connection");
                format!(
                    "tunnel of {}",
                    self.identifiers.connection_name(id).expect("a connection that is there")
                ) + &format!(" {:?}", built.tunnel(tunnel).expect("it is there").nat)
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
    fn said(&self) -> Vec<String> {
        let built = self.forwarding();
        let mut said = Vec::new();
        for name in self.config.connections().keys() {
            let id = self.identifiers.connection(name.as_str()).expect("it has a number");
            said.push(self.core[&id].clone());
        }
        assert_eq!(said.len(), self.core.len(), "the core has a connection that is not configured");
        for network in self.config.virtual_networks().keys() {
            let vrf = self.identifiers.vrf(network).expect("it has a number");
            for (second, third, last) in addresses() {
                let to = Ipv4Addr::new(if second < 64 { 10 } else { 100 }, second, third, last).into();
                said.push(format!("{network} {to} {}", self.way(&built, vrf, to)));
            }
            for third in CLIENTS {
                let to = Ipv4Addr::new(172, 16, third, 7).into();
                said.push(format!("{network} {to} {}", self.way(&built, vrf, to)));
            }
        }
        said
    }
}

/// The third parts of clients' addresses, in whatever configuration.
const CLIENTS: [u8; 6] = [0, 1, 10, 11, 20, 21];

fn addresses() -> impl Iterator<Item = (u8, u8, u8)> {
    let seconds = [0, 1, 8, 9, 18, 20, 21, 22, 23, 24, 25, 64, 65, 66, 67, 68];
    seconds.into_iter().flat_map(|second| {
        [(0, 1), (0, 7), (1, 7), (2, 7), (3, 7)].map(|(third, last)| (second, third, last))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn one_configuration_after_another_is_the_other_from_nothing(edits in prop::collection::vec(edit(), 2..5)) {
        let configs: Vec<Config> = edits.iter().map(|edit| config(&edit.text())).collect();
        let mut appliance = Appliance::fresh(&configs[0]);
        for wanted in &configs[1..] {
            appliance.apply(wanted);
            prop_assert_eq!(appliance.said(), Appliance::fresh(wanted).said());
            prop_assert_eq!(differences(&appliance.config, wanted), []);
        }
    }

    #[test]
    fn what_is_behind_a_tunnel_has_no_way_in_clear(edits in prop::collection::vec(edit(), 1..4)) {
        let configs: Vec<Config> = edits.iter().map(|edit| config(&edit.text())).collect();
        let mut appliance = Appliance::fresh(&configs[0]);
        for (edit, wanted) in edits.iter().zip(&configs) {
            appliance.apply(wanted);
            let built = appliance.forwarding();
            for network in 0..=u8::from(edit.second_network) {
                let name = Name::new(&format!("n{network}")).expect("a name");
                let vrf = appliance.identifiers.vrf(&name).expect("it has a number");
                for third in CLIENTS {
                    // A client's address has a way once it is the client's, into its tunnel; until then, and in a network without such clients, it has none.
                    let to = Ipv4Addr::new(172, 16, third, 7).into();
                    let way = appliance.way(&built, vrf, to);
                    let is_covered = way == "Unreachable" || way.starts_with(&format!("tunnel of g{network}-clients "));
                    prop_assert!(is_covered, "{} in {}: {}", to, name, way);
                    prop_assert_eq!(appliance.way(&built, VrfId::UNDERLAY, to), "Unreachable", "nor in the underlay");
                }
            }
            for site in &edit.sites {
                let network = Name::new(&format!("n{}", site.network)).expect("a name");
                let vrf = appliance.identifiers.vrf(&network).expect("it has a number");
                for third in 0..site.prefixes {
                    let to = match edit.translates(site) {
                        true => Ipv4Addr::new(100, site.number + 64, third, 7).into(),
                        false => Ipv4Addr::new(10, site.number + 20, third, 7).into(),
                    };
                    let way = appliance.way(&built, vrf, to);
                    let number = site.number;
                    let wanted = match site.second_weight {
                        None => format!("tunnel of c{number} "),
                        Some(_) => {
                            let names = [number, number + 100].map(|way| format!("c{way}"));
                            format!("tunnels of {:?}", BTreeSet::from(names))
                        }
                    };
                    prop_assert!(way.starts_with(&wanted), "{}", way);
                    let underlay = appliance.way(&built, VrfId::UNDERLAY, to);
                    prop_assert_eq!(underlay, "Unreachable", "the underlay knows no inside");
                }
            }
        }
    }
}
