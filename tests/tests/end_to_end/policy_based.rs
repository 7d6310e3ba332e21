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
