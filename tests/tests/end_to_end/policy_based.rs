//! A policy-based gateway, and a route-based one with the selectors of one: what the policy names travels, pair of prefixes by pair, and nothing else.

use std::path::Path;
use std::time::Duration;

use crossgate_tests::capture::{Capture, Kind};
use crossgate_tests::failure::Result;
use crossgate_tests::gateway::{Gateway, Plan, example_key};
use crossgate_tests::namespace::Namespace;
use crossgate_tests::sites;
use crossgate_tests::strongswan::{Settings, StrongSwan};
use crossgate_tests::traffic::{Host, MARK, ping, ping_until_answered};
use crossgate_tests::wait::{Look, until};

const PATIENCE: Duration = Duration::from_secs(20);
/// A host in each of the peer's prefixes, and one that no pair covers.
const HOSTS: [&str; 3] = ["10.2.0.1", "10.2.1.1", "10.2.2.1"];
const OUTSIDE: &str = "10.2.3.1";

/// The example on the interfaces that a site of the lab has, with three prefixes behind the peer: three pairs. By IKEv2, from the start on.
fn policy_based(mode: &str) -> Plan {
    let text = include_str!("../../../config/examples/policy-based.toml")
        .replace("iface=wan0", "iface=wan")
        .replace("iface=lan0", "iface=lan")
        .replace(
            "type = \"IPsec\"",
            &format!("type = \"IPsec\"\nprotocol = \"IKEv2\"\nstart = \"OnLoad\"\nmode = {mode:?}"),
        );
    Plan::example(&text, &["peer"])
}

/// The same pairs on a route-based gateway.
fn by_policy(mode: &str) -> Plan {
    let plan = policy_based(mode);
    let text = plan
        .text(Path::new("FOLDER"))
        .replace("\"PolicyBased\"", "\"RouteBased\"")
        .replace("\"Basic\"", "\"VpnGw1\"")
        .replace("type = \"IPsec\"", "type = \"IPsec\"\nuse_policy_based_traffic_selectors = true");
    Plan { instead: Some(text), ..plan }
}

/// The site's first host is there already.
fn hosts(peer: &Namespace) -> Result<[Host<'_>; 3]> {
    for address in HOSTS.into_iter().skip(1).chain([OUTSIDE]) {
        peer.address("lo", &format!("{address}/32"))?;
    }
    Ok(HOSTS.map(|address| Host::new(peer, address)))
}

#[test]
fn three_pairs_that_the_peer_negotiates_one_by_one_travel_each_in_its_own_sa() {
    one_by_one(policy_based("ResponderOnly")).unwrap();
}

#[test]
fn three_pairs_of_a_route_based_gateway_travel_each_in_its_own_sa() {
    one_by_one(by_policy("ResponderOnly")).unwrap();
}

fn one_by_one(plan: Plan) -> Result<()> {
    let (site, peer) = sites::with_peer()?;
    let hosts = hosts(&peer.gateway)?;
    let gateway = Gateway::start(&site.gateway, plan)?;
    let settings = Settings {
        local_prefixes: vec!["10.2.0.0/24".to_owned()],
        remote_prefixes: vec!["10.1.0.0/16".to_owned()],
        shared_key: example_key("peer"),
        more_children: vec![("second", "10.2.1.0/24"), ("third", "10.2.2.0/24")],
        ..Settings::default()
    };
    let strongswan = StrongSwan::start(&peer.gateway, &settings)?;
    strongswan.initiate()?;
    for child in ["second", "third"] {
        strongswan.swanctl(&format!("--initiate --child {child} --timeout 30"))?;
    }
    for host in hosts {
        ping_until_answered(site.ipv4(), host.address, PATIENCE)?;
        ping(host, site.ipv4().address, 10, 900, false)?.all_answered()?;
    }
    let sas = gateway.sas()?;
    let remote = |prefix: &str| sas.iter().find(|sa| sa["remote_selectors"].to_string().contains(prefix));
    for prefix in ["10.2.0.0/24", "10.2.1.0/24", "10.2.2.0/24"] {
        let sa = remote(prefix).unwrap_or_else(|| panic!("no SA for {prefix}: {sas:?}"));
        assert!(sa["traffic"]["in_bytes"].as_u64() > Some(9000), "{sa}");
    }
    assert_eq!(sas.len(), 3, "{sas:?}");

    // One of the three goes: its pair is down, the others stay.
    strongswan.swanctl("--terminate --child second --timeout 20")?;
    until("two SAs", PATIENCE, || {
        let left = gateway.sas()?.len();
        Ok(Look::when(left == 2, || format!("{left} SAs")))
    })?;
    ping(site.ipv4(), hosts[1].address, 3, 64, false)?.none_answered()?;
    for host in [hosts[0], hosts[2]] {
        ping(host, site.ipv4().address, 5, 64, false)?.all_answered()?;
    }
    gateway.stop()
}

#[test]
fn gateway_that_begins_asks_for_all_pairs_and_lets_nothing_else_travel() {
    all_pairs(policy_based("InitiatorOnly")).unwrap();
}

#[test]
fn route_based_gateway_asks_for_all_pairs_and_lets_nothing_else_travel() {
    all_pairs(by_policy("InitiatorOnly")).unwrap();
}

fn all_pairs(plan: Plan) -> Result<()> {
    let (site, peer) = sites::with_peer()?;
    let hosts = hosts(&peer.gateway)?;
    let prefixes = ["10.2.0.0/24", "10.2.1.0/24", "10.2.2.0/24"].map(str::to_owned);
    let settings = Settings {
        shared_key: example_key("peer"),
        local_prefixes: prefixes.to_vec(),
        remote_prefixes: vec!["10.1.0.0/16".to_owned()],
        ..Settings::default()
    };
    let strongswan = StrongSwan::start(&peer.gateway, &settings)?;
    let gateway = Gateway::start(&site.gateway, plan)?;
    gateway.is("peer", "up")?;
    strongswan.is_up()?;
    for host in hosts {
        ping_until_answered(site.ipv4(), host.address, PATIENCE)?;
        ping(host, site.ipv4().address, 10, 900, false)?.all_answered()?;
    }
    let outside = Host::new(&peer.gateway, OUTSIDE);
    let wire = Capture::start(&site.gateway, "wan", 1000)?;
    ping(site.ipv4(), outside.address, 5, 64, false)?.none_answered()?;
    let wire = wire.stop()?;
    assert_eq!(wire.clear(MARK, &[site.ipv4().address, outside.address]), 0, "{}", wire.summary());
    assert_eq!(wire.count(Kind::EspInUdp), 0, "{}", wire.summary());
    gateway.stop()
}

/// Two policies: our first hosts with the first of the peer's prefixes, the next ones with the other two.
fn by_two_policies(mode: &str) -> Plan {
    let policies = "
[[connection.traffic_selectors]]
local = [\"10.1.0.0/28\"]
remote = [\"10.2.0.0/24\"]
[[connection.traffic_selectors]]
local = [\"10.1.0.16/28\"]
remote = [\"10.2.1.0/24\", \"10.2.2.0/24\"]
";
    let plan = by_policy(mode);
    let text = plan.text(Path::new("FOLDER")).replace("use_policy_based_traffic_selectors = true\n", "");
    Plan { instead: Some(text + policies), ..plan }
}

#[test]
fn each_policy_of_selectors_travels_in_an_sa_of_its_own_and_nothing_else_does() {
    for mode in ["InitiatorOnly", "ResponderOnly"] {
        two_policies(mode).unwrap();
    }
}

fn two_policies(mode: &str) -> Result<()> {
    let (site, peer) = sites::with_peer()?;
    let [first, second, third] = hosts(&peer.gateway)?;
    site.host.address("lan", "10.1.0.20/24")?;
    let (one, two) = (site.ipv4(), Host::new(&site.host, "10.1.0.20"));
    let settings = Settings {
        shared_key: example_key("peer"),
        local_prefixes: vec!["10.2.0.0/24".to_owned()],
        remote_prefixes: vec!["10.1.0.0/16".to_owned()],
        more_children: vec![("second", "10.2.1.0/24,10.2.2.0/24")],
        ..Settings::default()
    };
    let strongswan = StrongSwan::start(&peer.gateway, &settings)?;
    let gateway = Gateway::start(&site.gateway, by_two_policies(mode))?;
    if mode == "ResponderOnly" {
        strongswan.initiate()?;
        strongswan.swanctl("--initiate --child second --timeout 30")?;
    }
    gateway.is("peer", "up")?;
    for (ours, theirs) in [(one, first), (two, second), (two, third)] {
        ping_until_answered(ours, theirs.address, PATIENCE)?;
        ping(theirs, ours.address, 10, 900, false)?.all_answered()?;
    }
    let mut selectors: Vec<String> = gateway
        .sas()?
        .iter()
        .map(|sa| format!("{} {}", sa["local_selectors"], sa["remote_selectors"]))
        .collect();
    selectors.sort();
    let expected =
        [r#"["10.1.0.0/28"] ["10.2.0.0/24"]"#, r#"["10.1.0.16/28"] ["10.2.1.0/24","10.2.2.0/24"]"#];
    assert_eq!(selectors, expected, "{mode}");
    let wire = Capture::start(&site.gateway, "wan", 1000)?;
    for (ours, theirs) in [(one, second), (one, third), (two, first)] {
        ping(ours, theirs.address, 3, 64, false)?.none_answered()?;
    }
    let wire = wire.stop()?;
    let sealed = wire.count(Kind::Esp) + wire.count(Kind::EspInUdp);
    let clear = wire.clear(MARK, &[one.address, two.address]);
    assert_eq!((sealed, clear), (0, 0), "{}", wire.summary());
    gateway.stop()
}
