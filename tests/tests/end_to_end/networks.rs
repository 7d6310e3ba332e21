//! Several networks behind one gateway, and networks that reach each other: kept apart, peered, and connected by tunnels on one appliance and on two.

use crossgate_tests::capture::{Capture, Kind};
use crossgate_tests::failure::Result;
use crossgate_tests::gateway::{Gateway, Plan, example_key};
use crossgate_tests::namespace::{Namespace, Stack, cable};
use crossgate_tests::sites::{self, Site};
use crossgate_tests::traffic::{Host, MARK, Stream, ping, ping_until_answered};
use crossgate_tests::wait::{Look, until};
use serde_json::json;
use std::path::Path;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

/// A host of a second network behind a site's gateway, on the interface "lan2" there.
fn second_host(site: &Site, address: &str, router: &str) -> Result<Namespace> {
    let host = Namespace::new("second", Stack::Kernel)?;
    cable((&site.gateway, "lan2"), (&host, "lan"), 1500)?;
    host.address("lan", address)?;
    host.route("default", router)?;
    Ok(host)
}

/// The plan's file with more in it.
fn with(plan: Plan, more: &str) -> Plan {
    Plan { instead: Some(plan.text(Path::new("FOLDER")) + more), ..plan }
}

/// An example on the interfaces that a site of the lab has.
fn example(text: &str, keys: &[&str]) -> Plan {
    let text = ["wan0 wan", "lan0 lan", "lan1 lan2"].into_iter().fold(text.to_owned(), |text, names| {
        let (theirs, ours) = names.split_once(' ').unwrap_or_default();
        text.replace(&format!("iface={theirs}\""), &format!("iface={ours}\""))
    });
    Plan::example(&text, keys)
}

/// A second network on the interface "lan2".
fn second_network(space: &str, own: &str, subnet: &str) -> String {
    format!(
        "
[[port]]
name = \"lan2\"
device = \"net_af_packet2,iface=lan2,blocksz=4096,framesz=2048,framecnt=4096,qdisc_bypass=0\"

[[virtual_network]]
name = \"second\"
address_space = [\"{space}\"]
gateway_subnet = \"{subnet}\"
port = \"lan2\"
addresses = [\"{own}\"]
"
    )
}

/// The second network uses the first one's gateway.
const SPOKE: &str = "
[[virtual_network_peering]]
name = \"hub-to-second\"
virtual_network = \"network-a\"
remote_virtual_network = \"second\"
allow_gateway_transit = true

[[virtual_network_peering]]
name = \"second-to-hub\"
virtual_network = \"second\"
remote_virtual_network = \"network-a\"
use_remote_gateways = true
";

#[test]
fn two_networks_with_the_same_addresses_never_mix() {
    let (one, two) = sites::both_ours().unwrap();
    let host = second_host(&one, "10.1.0.20/24", "10.1.0.1").unwrap();
    let second = Host::new(&host, "10.1.0.20");
    let plan = with(Plan::site(1), &second_network("10.1.0.0/16", "10.1.0.1/24", "10.1.255.0/27"));
    let far = Gateway::start(&two.gateway, Plan::site(2)).unwrap();
    let gateway = Gateway::start(&one.gateway, plan).unwrap();
    gateway.is("peer", "up").unwrap();
    ping_until_answered(one.ipv4(), two.ipv4().address, PATIENCE).unwrap();
    // Each network has its gateway under the same address, and only the first one has the tunnel.
    ping_until_answered(second, "10.1.0.1".parse().unwrap(), PATIENCE).unwrap();
    ping_until_answered(one.ipv4(), "10.1.0.1".parse().unwrap(), PATIENCE).unwrap();
    for (from, to) in [(second, two.ipv4()), (second, one.ipv4()), (one.ipv4(), second), (two.ipv4(), second)]
    {
        ping(from, to.address, 5, 56, false).unwrap().none_answered().unwrap();
    }
    gateway.stop().unwrap();
    far.stop().unwrap();
}

#[test]
fn peered_networks_reach_each_other_and_the_sites_behind_the_hub() {
    let (one, two) = sites::both_ours().unwrap();
    let host = second_host(&one, "10.3.0.10/24", "10.3.0.1").unwrap();
    let spoke = Host::new(&host, "10.3.0.10");
    let mut far = Plan::site(2);
    far.connections[0].prefixes.push("10.3.0.0/16".to_owned());
    far.connections[0].shared_key = example_key("to-branch");
    let far = Gateway::start(&two.gateway, far).unwrap();
    let plan = example(include_str!("../../../config/examples/peering.toml"), &["to-branch"]);
    let gateway = Gateway::start(&one.gateway, plan).unwrap();
    gateway.is("to-branch", "up").unwrap();
    ping_until_answered(one.ipv4(), two.ipv4().address, PATIENCE).unwrap();
    for (from, to) in [(spoke, one.ipv4()), (one.ipv4(), spoke), (spoke, two.ipv4()), (two.ipv4(), spoke)] {
        ping_until_answered(from, to.address, PATIENCE).unwrap();
    }
    let stream = Stream::start(spoke, two.ipv4(), 1000, 1000).unwrap();
    stream.flows(300).unwrap();
    // As the console tells of them.
    let networks = gateway.ask(&["networks"]).unwrap();
    let uses = |at: usize| networks[at]["peerings"][0]["use_remote_gateways"].clone();
    assert_eq!((uses(0), uses(1)), (json!(false), json!(true)), "{networks}");
    let own = gateway.ask(&["gateway", "gw"]).unwrap();
    assert_eq!((&own["connections"], &own["connections_up"]), (&json!(["to-branch"]), &json!(1)), "{own}");
    let sites = gateway.ask(&["local-network-gateways"]).unwrap();
    assert_eq!(sites[0]["connections"], json!(["to-branch"]), "{sites}");

    // Without transit the hub is still reached, the site behind it is not; the hub's tunnel stays.
    let spi = gateway.only_sa().unwrap()["inbound_spi"].clone();
    let text = std::fs::read_to_string(gateway.file()).unwrap();
    let without = text.replace("use_remote_gateways = true", "use_remote_gateways = false");
    gateway.write_file(&without).unwrap();
    let applied = gateway.ask(&["apply", gateway.file().to_str().unwrap()]).unwrap();
    assert_eq!(applied["changes"].as_array().map(Vec::len), Some(1), "{applied}");
    ping(spoke, one.ipv4().address, 5, 56, false).unwrap().all_answered().unwrap();
    ping(spoke, two.ipv4().address, 5, 56, false).unwrap().none_answered().unwrap();
    stream.stop().unwrap();
    assert_eq!(gateway.only_sa().unwrap()["inbound_spi"], spi);
    let exported = gateway.client(&["export"]).unwrap().output;
    assert!(exported.contains("[[virtual_network_peering]]"), "{exported}");
    gateway.stop().unwrap();
    far.stop().unwrap();
}

#[test]
fn two_networks_of_one_appliance_are_connected_by_a_tunnel() {
    let (one, two) = sites::both_ours().unwrap();
    let host = second_host(&one, "10.2.0.20/24", "10.2.0.1").unwrap();
    let second = Host::new(&host, "10.2.0.20");
    let plan = example(include_str!("../../../config/examples/two-networks.toml"), &["a-b"]);
    let wire = Capture::start(&two.gateway, "wan", 10_000).unwrap();
    let gateway = Gateway::start(&one.gateway, plan).unwrap();
    for connection in ["a-to-b", "b-to-a"] {
        gateway.is(connection, "up").unwrap();
    }
    ping_until_answered(one.ipv4(), second.address, PATIENCE).unwrap();
    ping_until_answered(second, one.ipv4().address, PATIENCE).unwrap();
    let there = Stream::start(one.ipv4(), second, 1000, 1200).unwrap();
    let back = Stream::start(second, one.ipv4(), 1000, 1200).unwrap();
    there.flows(300).unwrap();
    for connection in ["a-to-b", "b-to-a"] {
        gateway.ask(&["rekey", connection]).unwrap();
        back.flows(500).unwrap();
    }
    there.stop().unwrap().whole().unwrap();
    back.stop().unwrap().whole().unwrap();
    let wire = wire.stop().unwrap();
    let clear = wire.clear(MARK, &[one.ipv4().address, second.address]);
    assert_eq!((wire.count(Kind::Esp), clear), (0, 0), "nothing leaves the appliance: {}", wire.summary());
    assert!(gateway.counter("esp_sealed").unwrap() > 1000);
    let exported = gateway.client(&["export"]).unwrap().output;
    assert!(exported.contains("remote_gateway = \"gw-b\""), "{exported}");
    gateway.stop().unwrap();
}

#[test]
fn networks_of_two_appliances_learn_each_other_s_prefixes() {
    let (one, two) = sites::both_ours().unwrap();
    let host = second_host(&one, "10.3.0.10/24", "10.3.0.1").unwrap();
    let spoke = Host::new(&host, "10.3.0.10");
    let [a, b] = [
        include_str!("../../../config/examples/two-appliances-a.toml"),
        include_str!("../../../config/examples/two-appliances-b.toml"),
    ]
    .map(|text| example(text, &["a-b"]));
    let a = with(a, &(second_network("10.3.0.0/16", "10.3.0.1/24", "10.3.255.0/27") + SPOKE));
    let second = Gateway::start(&two.gateway, b).unwrap();
    let first = Gateway::start(&one.gateway, a).unwrap();
    first.is("a-to-b", "up").unwrap();
    second.is("b-to-a", "up").unwrap();
    for (near, far) in [(one.ipv4(), two.ipv4()), (two.ipv6(), one.ipv6())] {
        ping_until_answered(near, far.address, PATIENCE).unwrap();
        let stream = Stream::start(near, far, 1000, 1200).unwrap();
        stream.flows(300).unwrap();
        first.rekey_child("a-to-b").unwrap();
        stream.flows(300).unwrap();
        stream.stop().unwrap().whole().unwrap();
    }
    let sa = first.only_sa().unwrap();
    // In any order: the peer gives it.
    let mut locals: Vec<_> = sa["local_selectors"].as_array().into_iter().flatten().collect();
    locals.sort_by_key(|selector| selector.as_str());
    assert_eq!(locals, ["10.1.0.0/16", "10.3.0.0/16", "fd00:1::/48"], "{sa}");
    assert_eq!(sa["remote_selectors"], serde_json::json!(["10.2.0.0/16", "fd00:2::/48"]), "{sa}");
    for (from, to) in [(spoke, two.ipv4()), (two.ipv4(), spoke)] {
        ping(from, to.address, 20, 900, false).unwrap().all_answered().unwrap();
    }

    // Without transit the tunnel carries the network alone, and with it the spoke again.
    let text = std::fs::read_to_string(first.file()).unwrap();
    let without = text.replace("use_remote_gateways = true", "use_remote_gateways = false");
    for (text, is_carried) in [(&without, false), (&text, true)] {
        first.write_file(text).unwrap();
        first.ask(&["apply", first.file().to_str().unwrap()]).unwrap();
        until("the other selectors", PATIENCE, || {
            let sas = second.sas()?;
            let carry = |sa: &serde_json::Value| sa["remote_selectors"].to_string().contains("10.3.0.0/16");
            Ok(Look::when(!sas.is_empty() && sas.iter().all(|sa| carry(sa) == is_carried), || {
                format!("{sas:?}")
            }))
        })
        .unwrap();
        ping_until_answered(one.ipv4(), two.ipv4().address, PATIENCE).unwrap();
        if is_carried {
            ping_until_answered(spoke, two.ipv4().address, PATIENCE).unwrap();
        } else {
            ping(spoke, two.ipv4().address, 5, 56, false).unwrap().none_answered().unwrap();
        }
    }
    first.stop().unwrap();
    second.stop().unwrap();
}
