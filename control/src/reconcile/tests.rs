use std::path::Path;

use crossgate_config::Source;
use zeroize::Zeroizing;

use super::*;
use crate::meters::Meters;

pub(super) const FILE: &str = r#"
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

pub(super) fn config(text: &str) -> Config {
    let environment = Environment {
        cores: [0, 1].into(),
        user_id: 0,
        variable: &|_| Some(Zeroizing::new("vB7.qzN2_kTfW9xR4mYh6LdC".to_owned())),
    };
    match Config::parse(Source { file: Path::new("test.toml"), text }, &environment) {
        Ok(checked) => checked.config,
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
    let built = forwarding::build(&config, &numbers, &tunnels, &Meters::default(), &[fact, fact]).unwrap();
    let vrf = numbers.vrf(&name("net")).unwrap();
    assert!(matches!(built.route(vrf, [10, 2, 0, 1].into()), NextHop::Tunnel(_)));
    assert_eq!(built.route(vrf, [192, 0, 2, 2].into()), NextHop::Unreachable, "no way into the underlay");
}
