use std::path::Path;

use crossgate_config::Source;
use zeroize::Zeroizing;

use super::*;
use crate::circuits::Circuits;
use crate::meters::Meters;

mod circuits;
mod rules;
mod selectors;
mod transit;

pub(crate) const FILE: &str = r#"
[appliance]
name = "gw"
workers = [0]
control_core = 0
[[port]]
name = "wan"
device = "net_null0"
addresses = ["192.0.2.1/24"]
[[port]]
name = "lan"
device = "net_null1"
[[virtual_network]]
name = "net"
address_space = ["10.1.0.0/16"]
gateway_subnet = "10.1.255.0/27"
port = "lan"
addresses = ["10.1.0.1/24"]
[[virtual_network_gateway]]
name = "gw"
virtual_network = "net"
type = "Vpn"
vpn_type = "RouteBased"
sku = "VpnGw1"
public_addresses = ["192.0.2.1"]
[[local_network_gateway]]
name = "site-b"
address = "192.0.2.2"
prefixes = ["10.2.0.0/16"]
[[connection]]
name = "to-b"
type = "IPsec"
gateway = "gw"
local_network_gateway = "site-b"
shared_key = { env = "KEY" }
"#;

pub(crate) fn config(text: &str) -> Config {
    checked(text).config
}

pub(crate) fn checked(text: &str) -> Checked {
    let environment = Environment {
        cores: [0, 1].into(),
        user_id: 0,
        variable: &|_| Some(Zeroizing::new("vB7.qzN2_kTfW9xR4mYh6LdC".to_owned())),
    };
    match Config::parse(Source { file: Path::new("test.toml"), text }, &environment) {
        Ok(checked) => checked,
        Err(findings) => panic!("{findings}"),
    }
}

fn changes(to: &str) -> Vec<Change> {
    differences(&config(FILE), &config(to))
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

#[test]
fn nothing_differs_from_itself() {
    assert_eq!(changes(FILE), []);
}

#[test]
fn a_peer_s_prefix_changes_its_connection_alone() {
    let second =
        FILE.replace("prefixes = [\"10.2.0.0/16\"]", "prefixes = [\"10.2.0.0/16\", \"10.3.0.0/16\"]");
    assert_eq!(changes(&second), [Change::Change(name("to-b"))]);
}

#[test]
fn an_address_changes_the_snapshot_and_no_connection() {
    let second = FILE.replace("addresses = [\"10.1.0.1/24\"]", "addresses = [\"10.1.0.2/24\"]");
    assert_eq!(changes(&second), [Change::Forwarding]);
}

#[test]
fn a_connection_that_moves_to_another_network_begins_anew() {
    let second = FILE.replace("name = \"net\"", "name = \"other\"").replace("= \"net\"", "= \"other\"");
    let begun_anew = [Change::Forwarding, Change::Remove(name("to-b")), Change::Add(name("to-b"))];
    assert_eq!(changes(&second), begun_anew);
    let (first, second) = (config(FILE), config(&second));
    let numbers = Identifiers::default().extended(&first, &BTreeSet::new());
    let renewed = numbers.extended(&second, &BTreeSet::from([name("to-b")]));
    assert_ne!(
        renewed.connection("to-b"),
        numbers.connection("to-b"),
        "another connection has another number"
    );
}

#[test]
fn a_connection_that_is_gone_is_removed() {
    let (second, _) = FILE.split_once("[[connection]]").unwrap();
    assert_eq!(changes(second), [Change::Remove(name("to-b"))]);
}

#[test]
fn another_size_of_the_gateway_touches_no_connection() {
    let second = FILE.replace("VpnGw1", "VpnGw3");
    assert_eq!(changes(&second), [Change::Definitions]);
    let steps = plan::steps(&config(FILE), &config(&second), &changes(&second));
    assert_eq!(steps[0].details, ["virtual_network_gateway[gw].sku: \"VpnGw1\" -> \"VpnGw3\""]);
}

#[test]
fn another_address_of_the_gateway_is_told_the_peers_of_its_connections() {
    let addresses = |said: &str| format!("public_addresses = [{said}]");
    let second = active_active()
        .replace("\nactive_active = true", "")
        .replace(&addresses("\"192.0.2.1\", \"192.0.2.9\""), &addresses("\"192.0.2.1\""));
    let both = active_active().replace("\nactive_active = true", "");
    assert_ne!(both, second);
    assert_eq!(
        differences(&config(&both), &config(&second)),
        [Change::Change(name("to-b")), Change::Change(name("to-b2")), Change::Definitions]
    );
}

#[test]
fn a_nat_rule_changes_the_connections_that_name_it() {
    let rule = |name: &str, external: &str| {
        format!(
            "[[nat_rule]]\nname = \"{name}\"\ngateway = \"gw\"\nmode = \"IngressSnat\"\ninternal_mapping = \"10.2.0.0/16\"\n\
             external_mapping = \"{external}\"\n"
        )
    };
    let text = |named: &str, idle: &str| {
        let large = FILE.replace("VpnGw1", "VpnGw2");
        large + "ingress_nat_rules = [\"named\"]\n" + &rule("named", named) + &rule("idle", idle)
    };
    let first = text("100.66.0.0/16", "100.67.0.0/16");
    let steps = |second: &str| {
        let (first, second) = (config(&first), config(second));
        let steps = plan::steps(&first, &second, &differences(&first, &second));
        steps.into_iter().map(|step| (step.change, step.details.join("; "))).collect::<Vec<_>>()
    };
    let told = "nat_rule[named].external_mapping: \"100.66.0.0/16\" -> \"100.68.0.0/16\"".to_owned();
    assert_eq!(steps(&text("100.68.0.0/16", "100.67.0.0/16")), [(Change::Change(name("to-b")), told)]);
    let told = "nat_rule[idle].external_mapping: \"100.67.0.0/16\" -> \"100.69.0.0/16\"".to_owned();
    assert_eq!(steps(&text("100.66.0.0/16", "100.69.0.0/16")), [(Change::Definitions, told)]);
}

#[test]
fn another_size_is_another_rate_of_the_same_meter() {
    let custom = |limits: &str| {
        FILE.replace("\"VpnGw1\"", "\"custom\"").replace(
            "[[local_network_gateway]]",
            &format!("[virtual_network_gateway.custom]\ntunnels = 5\n{limits}[[local_network_gateway]]"),
        )
    };
    let share = |meters: &Meters| meters.share(&name("to-b")).map(std::sync::Arc::clone);
    let mut meters = Meters::default();
    meters.follow(&config(FILE));
    let first = share(&meters).unwrap();
    assert_eq!(first.meter().bytes_per_s(), 650_000_000 / 8);
    meters.follow(&config(&custom("bandwidth_mbit_per_s = 100\n")));
    assert!(
        std::sync::Arc::ptr_eq(&first, &share(&meters).unwrap()),
        "running traffic keeps what it is counted by"
    );
    assert_eq!(first.meter().bytes_per_s(), 100_000_000 / 8);
    meters.follow(&config(&custom("")));
    assert!(share(&meters).is_none(), "a custom size without a bandwidth has no limit");
}

#[test]
fn the_plan_tells_the_settings_behind_each_step_in_the_order_of_the_steps() {
    let second = FILE
        .replace("addresses = [\"10.1.0.1/24\"]", "addresses = [\"10.1.0.2/24\"]")
        .replace("prefixes = [\"10.2.0.0/16\"]", "prefixes = [\"10.2.0.0/17\"]")
        .replace("shared_key", "dpd_timeout_s = 30\nshared_key");
    let second = format!(
        "{second}[[local_network_gateway]]\nname = \"site-c\"\naddress = \"192.0.2.3\"\nprefixes = [\"10.3.0.0/16\"]\n\
         [[connection]]\nname = \"to-c\"\ngateway = \"gw\"\nlocal_network_gateway = \"site-c\"\nshared_key = {{ env = \"KEY\" }}\n"
    );
    let steps = plan::steps(&config(FILE), &config(&second), &changes(&second));
    let told: Vec<String> =
        steps.iter().map(|step| format!("{}: {}", step.change.planned(), step.details.join("; "))).collect();
    assert_eq!(
        told,
        [
            "change ports, networks or routes: virtual_network[net].addresses: [\"10.1.0.1/24\"] -> [\"10.1.0.2/24\"]",
            "change connection to-b: local_network_gateway[site-b].prefixes: [\"10.2.0.0/16\"] -> [\"10.2.0.0/17\"]; \
             connection[to-b].dpd_timeout_s: 45 -> 30",
            "add connection to-c: local_network_gateway[site-c]: new",
        ]
    );
}

#[test]
fn every_connection_has_a_route_into_its_tunnel_before_it_has_an_sa() {
    use crossgate_dataplane::forwarding::NextHop;
    use crossgate_dataplane::header::ethernet::Mac;
    let config = config(FILE);
    let numbers = Identifiers::default().extended(&config, &BTreeSet::new());
    let mut tunnels = Tunnels::default();
    tunnels.add(numbers.connection("to-b").unwrap());
    let fact = PortFacts { mac: Mac([2, 0, 0, 0, 0, 1]), mtu_bytes: 1500 };
    let built = forwarding::build(&config, &numbers, &tunnels, Lasting::none(), &[fact, fact]).unwrap();
    let vrf = numbers.vrf(&name("net")).unwrap();
    assert!(matches!(built.route(vrf, [10, 2, 0, 1].into()), NextHop::Tunnel(_)));
    assert_eq!(built.route(vrf, [192, 0, 2, 2].into()), NextHop::Unreachable, "no way into the underlay");
}

const TWO_NETWORKS: &str = r#"
[[port]]
name = "lan-2"
device = "net_null2"
[[virtual_network]]
name = "net-2"
address_space = ["10.3.0.0/16"]
gateway_subnet = "10.3.255.0/27"
port = "lan-2"
addresses = ["10.3.0.1/24"]
[[virtual_network_gateway]]
name = "gw-2"
virtual_network = "net-2"
public_addresses = ["192.0.2.7"]
[[connection]]
name = "a-there"
type = "Vnet2Vnet"
gateway = "gw"
remote_gateway = "gw-2"
shared_key = { env = "KEY" }
[[connection]]
name = "b-back"
type = "Vnet2Vnet"
gateway = "gw-2"
remote_gateway = "gw"
shared_key = { env = "KEY" }
"#;

fn two_networks() -> String {
    FILE.replace("[\"192.0.2.1/24\"]", "[\"192.0.2.1/24\", \"192.0.2.7/24\"]") + TWO_NETWORKS
}

#[test]
fn of_two_ends_on_one_appliance_one_begins_whatever_is_said_of_the_other() {
    use crossgate_ike::config::Mode::{InitiatorOnly, ResponderOnly};
    let modes = |text: &str| {
        let config = config(text);
        ["a-there", "b-back"].map(|end| connections::mode(&config, &config.connections()[&name(end)]))
    };
    let text = two_networks();
    assert_eq!(modes(&text), [InitiatorOnly, ResponderOnly]);
    let back =
        |mode: &str| text.replace("name = \"b-back\"", &format!("name = \"b-back\"\nmode = \"{mode}\""));
    assert_eq!(modes(&back("InitiatorOnly")), [ResponderOnly, InitiatorOnly]);
    assert_eq!(modes(&back("ResponderOnly")), [InitiatorOnly, ResponderOnly]);
}

#[test]
fn an_end_whose_role_changes_with_the_other_end_s_name_is_configured_anew() {
    let (before, after) = (two_networks(), two_networks().replace("b-back", "0-back"));
    let changes = differences(&config(&before), &config(&after));
    assert!(changes.contains(&Change::Change(name("a-there"))), "{changes:?}");
}

#[test]
fn what_a_gateway_elsewhere_says_takes_nobody_s_traffic() {
    use crossgate_dataplane::forwarding::NextHop;
    use crossgate_dataplane::header::ethernet::Mac;
    use crossgate_dataplane::selector::{Selectors, TrafficSelector};
    let elsewhere = |name: &str, address: &str| {
        format!(
            "[[connection]]\nname = \"{name}\"\ntype = \"Vnet2Vnet\"\ngateway = \"gw\"\nremote_gateway = \"{address}\"\nshared_key = {{ env = \"KEY\" }}\n"
        )
    };
    let routed =
        "addresses = [\"10.1.0.1/24\"]\nroutes = [{ prefix = \"10.8.0.0/16\", next_hop = \"10.1.0.254\" }]";
    let text = FILE.replace("addresses = [\"10.1.0.1/24\"]", routed)
        + &elsewhere("x-first", "192.0.2.8")
        + &elsewhere("y-second", "192.0.2.9")
        + &elsewhere("z-third", "192.0.2.10")
        + "traffic_selectors = { local = [\"10.1.0.0/16\"], remote = [\"10.11.0.0/16\"] }\n";
    let config = config(&text);
    let numbers = Identifiers::default().extended(&config, &BTreeSet::new());
    let mut tunnels = Tunnels::default();
    let mut says = |connection: &str, prefixes: &[&str]| {
        let id = numbers.connection(connection).unwrap();
        tunnels.add(id);
        let remote =
            prefixes.iter().map(|prefix| TrafficSelector::of_prefix(prefix.parse().unwrap())).collect();
        let local = vec![TrafficSelector::of_prefix("10.1.0.0/16".parse().unwrap())];
        tunnels.enter(id, None, Selectors { local, remote })
    };
    let first = says("x-first", &["10.9.0.0/16", "10.11.4.0/24", "10.8.0.0/13"]);
    let third = says("z-third", &["10.11.0.0/17"]);
    let greedy = [
        "10.9.5.0/24",
        "10.8.1.0/24",
        "10.2.7.0/24",
        "10.1.4.0/24",
        "127.0.0.0/8",
        "224.0.0.0/4",
        "10.7.0.0/16",
    ];
    let second = says("y-second", &greedy);
    let fact = PortFacts { mac: Mac([2, 0, 0, 0, 0, 1]), mtu_bytes: 1500 };
    let built = forwarding::build(&config, &numbers, &tunnels, Lasting::none(), &[fact, fact]).unwrap();
    let vrf = numbers.vrf(&name("net")).unwrap();
    let way = |address: [u8; 4]| built.route(vrf, address.into());
    assert_eq!(way([10, 9, 5, 1]), NextHop::Tunnel(first), "the first by name keeps what it has");
    assert_eq!(way([10, 12, 0, 1]), NextHop::Tunnel(first), "around what is others'");
    for address in [[10, 11, 4, 1], [10, 11, 200, 1]] {
        assert_eq!(way(address), NextHop::Tunnel(third), "named by our selectors: {address:?}");
    }
    assert_eq!(way([10, 7, 0, 1]), NextHop::Tunnel(second));
    for address in [[10, 8, 1, 1], [10, 2, 7, 1], [10, 1, 4, 1], [127, 0, 0, 1], [224, 0, 0, 1]] {
        assert_ne!(way(address), NextHop::Tunnel(second), "{address:?}");
    }
}

#[test]
fn what_own_selectors_name_behind_a_gateway_elsewhere_leads_there_whatever_is_negotiated() {
    use crossgate_dataplane::forwarding::NextHop;
    use crossgate_dataplane::header::ethernet::Mac;
    use crossgate_dataplane::selector::{Selectors, TrafficSelector};
    let there = "[[connection]]\nname = \"there\"\ntype = \"Vnet2Vnet\"\ngateway = \"gw\"\nremote_gateway = \"192.0.2.8\"\nshared_key = { env = \"KEY\" }\n\
        traffic_selectors = { local = [\"10.1.0.0/16\"], remote = [\"10.0.0.0/8\"] }\n";
    let routed = "addresses = [\"10.1.0.1/24\"]\nroutes = [{ prefix = \"0.0.0.0/0\", next_hop = \"10.1.0.254\" }, { prefix = \"8.0.0.0/6\", next_hop = \"10.1.0.253\" }]";
    let config = config(&(FILE.replace("addresses = [\"10.1.0.1/24\"]", routed) + there));
    let numbers = Identifiers::default().extended(&config, &BTreeSet::new());
    let fact = PortFacts { mac: Mac([2, 0, 0, 0, 0, 1]), mtu_bytes: 1500 };
    let vrf = numbers.vrf(&name("net")).unwrap();
    let mut tunnels = Tunnels::default();
    let id = numbers.connection("there").unwrap();
    tunnels.add(id);
    let side = |prefix: &str| vec![TrafficSelector::of_prefix(prefix.parse().unwrap())];
    let idle = tunnels.policy(id, &Selectors::default())[0].0;
    let check = |tunnels: &Tunnels| {
        let built = forwarding::build(&config, &numbers, tunnels, Lasting::none(), &[fact, fact]).unwrap();
        let way = |address: [u8; 4]| built.route(vrf, address.into());
        for address in [[10, 9, 5, 1], [10, 255, 0, 1], [10, 0, 0, 1]] {
            assert_eq!(way(address), NextHop::Tunnel(idle), "{address:?}");
        }
        // What is ours or a site's stays so, and the Internet is where it was.
        for address in [[10, 1, 4, 1], [10, 2, 7, 1], [198, 51, 100, 1]] {
            assert_ne!(way(address), NextHop::Tunnel(idle), "{address:?}");
        }
    };
    check(&tunnels);
    tunnels.enter(id, None, Selectors { local: side("10.1.0.0/16"), remote: side("10.9.0.0/16") });
    check(&tunnels);
    tunnels.leave(id, idle);
    check(&tunnels);
}

#[test]
fn two_ends_name_each_other_in_whatever_order_their_gateways_list_addresses() {
    let text = two_networks()
        .replace("\"192.0.2.7/24\"]", "\"192.0.2.7/24\", \"2001:db8::1/64\", \"2001:db8::7/64\"]")
        .replace("public_addresses = [\"192.0.2.1\"]", "public_addresses = [\"2001:db8::1\", \"192.0.2.1\"]")
        .replace("public_addresses = [\"192.0.2.7\"]", "public_addresses = [\"192.0.2.7\", \"2001:db8::7\"]");
    let config = config(&text);
    let [there, back] = ["a-there", "b-back"].map(|end| &config.connections()[&name(end)]);
    assert_eq!(config.peer_of(there).address, crossgate_config::PeerAddress::At(back.local_address));
    assert_eq!(config.peer_of(back).address, crossgate_config::PeerAddress::At(there.local_address));
}

/// The gateway with a second address, and a second device at the site.
fn active_active() -> String {
    FILE.replace("addresses = [\"192.0.2.1/24\"]", "addresses = [\"192.0.2.1/24\", \"192.0.2.9/24\"]")
        .replace(
            "public_addresses = [\"192.0.2.1\"]",
            "public_addresses = [\"192.0.2.1\", \"192.0.2.9\"]\nactive_active = true",
        )
        + "routing_weight = 30\n[[local_network_gateway]]\nname = \"site-b2\"\naddress = \"192.0.2.3\"\nprefixes = [\"10.2.0.0/16\"]\n\
         [[connection]]\nname = \"to-b2\"\ngateway = \"gw\"\nlocal_network_gateway = \"site-b2\"\nshared_key = { env = \"KEY\" }\n\
         routing_weight = 10\n"
}

#[test]
fn four_tunnels_lead_to_a_site_of_two_devices() {
    use crossgate_dataplane::forwarding::TunnelId;
    use crossgate_dataplane::header::Protocol;
    use crossgate_dataplane::header::ethernet::Mac;
    use crossgate_dataplane::selector::Flow;
    let config = config(&active_active());
    let prepared = Prepared::new(&Identifiers::default(), &config, &from_nothing(&config)).unwrap();
    let ends: Vec<(String, String)> = prepared
        .configured
        .iter()
        .map(|one| (one.local_address.to_string(), format!("{:?}", one.local_id)))
        .collect();
    assert_eq!(ends.len(), 4);
    for (address, id) in &ends {
        assert!(id.contains(address), "each end is called by its own address: {ends:?}");
    }
    let tunnels = prepared.tunnels(&Tunnels::default());
    let fact = PortFacts { mac: Mac([2, 0, 0, 0, 0, 1]), mtu_bytes: 1500 };
    let built =
        forwarding::build(&config, &prepared.identifiers, &tunnels, Lasting::none(), &[fact, fact]).unwrap();
    let vrf = prepared.identifiers.vrf(&name("net")).unwrap();
    let route = built.route(vrf, [10, 2, 0, 1].into());
    let mut firsts = std::collections::BTreeMap::new();
    for host in 0..200 {
        let flow = Flow {
            source: [10, 1, 0, 9].into(),
            destination: [10, 2, 0, host].into(),
            protocol: Protocol::UDP,
            source_port: None,
            destination_port: None,
        };
        let candidates: Vec<TunnelId> = built.candidates(route, &flow).map(|(id, _)| id).collect();
        assert_eq!(candidates.len(), 4, "{candidates:?}");
        let connection = tunnels.connection(candidates[0]).unwrap();
        let of = prepared.identifiers.connection_name(connection).unwrap().to_string();
        *firsts.entry(of).or_insert(0) += 1;
    }
    assert!((125..175).contains(&firsts["to-b"]), "three quarters of 200: {firsts:?}");
}

#[test]
fn a_second_address_comes_and_goes_without_the_first_one_s_tunnel() {
    let both = active_active();
    let one = both.replace("\nactive_active = true", "");
    let (both, one) = (config(&both), config(&one));
    assert_eq!(
        differences(&one, &both),
        [Change::Change(name("to-b")), Change::Change(name("to-b2")), Change::Definitions]
    );
    let before = Prepared::new(&Identifiers::default(), &one, &from_nothing(&one)).unwrap().identifiers;
    let more = Prepared::new(&before, &both, &differences(&one, &both)).unwrap();
    assert_eq!(more.removed, []);
    assert_eq!(more.identifiers.connection("to-b"), before.connection("to-b"));
    assert_eq!(more.identifiers.ends("to-b").count(), 2);
    let less = Prepared::new(&more.identifiers, &one, &differences(&both, &one)).unwrap();
    let seconds = ["to-b", "to-b2"].map(|name| more.identifiers.ends(name).nth(1).unwrap());
    assert_eq!(less.removed, seconds);
    assert_eq!(less.identifiers.connection("to-b"), before.connection("to-b"));
}
