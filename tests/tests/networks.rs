//! Several networks behind one gateway, and networks that reach each other: kept apart, peered, and connected by tunnels on one appliance and on two.

use crossgate_tests::capture::{Capture, Kind};
use crossgate_tests::failure::Result;
use crossgate_tests::gateway::{Connection, Gateway, Plan};
use crossgate_tests::namespace::{Namespace, Stack, cable};
use crossgate_tests::sites::{self, Site};
use crossgate_tests::traffic::{Host, MARK, Stream, ping, ping_until_answered};
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
    let text = plan.text(Path::new("FOLDER")) + more;
    // The file of the key stays, whoever refers to it.
    let connections = vec![Connection::to_site(2)];
    Plan { instead: Some(text), connections, ..plan }
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
    let peerings = "
[[virtual_network_peering]]
name = \"hub-to-spoke\"
virtual_network = \"site\"
remote_virtual_network = \"second\"
allow_gateway_transit = true

[[virtual_network_peering]]
name = \"spoke-to-hub\"
virtual_network = \"second\"
remote_virtual_network = \"site\"
use_remote_gateways = true
";
    let network = second_network("10.3.0.0/16", "10.3.0.1/24", "10.3.255.0/27");
    let mut far = Plan::site(2);
    far.connections[0].prefixes.push("10.3.0.0/16".to_owned());
    let far = Gateway::start(&two.gateway, far).unwrap();
    let gateway = Gateway::start(&one.gateway, with(Plan::site(1), &(network.clone() + peerings))).unwrap();
    gateway.is("peer", "up").unwrap();
    ping_until_answered(one.ipv4(), two.ipv4().address, PATIENCE).unwrap();
    for (from, to) in [(spoke, one.ipv4()), (one.ipv4(), spoke), (spoke, two.ipv4()), (two.ipv4(), spoke)] {
        ping_until_answered(from, to.address, PATIENCE).unwrap();
    }
    let stream = Stream::start(spoke, two.ipv4(), 1000, 1000).unwrap();
    stream.flows(300).unwrap();

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
    let more = "
[[virtual_network_gateway]]
name = \"gw-2\"
virtual_network = \"second\"
public_addresses = [\"192.0.2.3\"]

[[connection]]
name = \"there\"
type = \"Vnet2Vnet\"
gateway = \"gw\"
remote_gateway = \"gw-2\"
shared_key = { file = \"FOLDER/peer.psk\" }

[[connection]]
name = \"back\"
type = \"Vnet2Vnet\"
gateway = \"gw-2\"
remote_gateway = \"gw\"
shared_key = { file = \"FOLDER/peer.psk\" }
";
    let plan = Plan {
        wan: vec!["192.0.2.1/24".to_owned(), "192.0.2.3/24".to_owned()],
        connections: Vec::new(),
        ..Plan::site(1)
    };
    let network = second_network("10.2.0.0/16", "10.2.0.1/24", "10.2.255.0/27");
    let wire = Capture::start(&two.gateway, "wan", 10_000).unwrap();
    let gateway = Gateway::start(&one.gateway, with(plan, &(network + more))).unwrap();
    for connection in ["there", "back"] {
        gateway.is(connection, "up").unwrap();
    }
    ping_until_answered(one.ipv4(), second.address, PATIENCE).unwrap();
    ping_until_answered(second, one.ipv4().address, PATIENCE).unwrap();
    let there = Stream::start(one.ipv4(), second, 1000, 1200).unwrap();
    let back = Stream::start(second, one.ipv4(), 1000, 1200).unwrap();
    there.flows(300).unwrap();
    for connection in ["there", "back"] {
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
    assert!(exported.contains("remote_gateway = \"gw-2\""), "{exported}");
    gateway.stop().unwrap();
}

#[test]
fn networks_of_two_appliances_learn_each_other_s_prefixes() {
    let (one, two) = sites::both_ours().unwrap();
    let plan = |number: u8| {
        let more = format!(
            "
[[connection]]
name = \"other\"
type = \"Vnet2Vnet\"
gateway = \"gw\"
remote_gateway = \"192.0.2.{}\"
shared_key = {{ file = \"FOLDER/peer.psk\" }}
",
            3 - number
        );
        with(Plan { connections: Vec::new(), ..Plan::site(number) }, &more)
    };
    let second = Gateway::start(&two.gateway, plan(2)).unwrap();
    let first = Gateway::start(&one.gateway, plan(1)).unwrap();
    for gateway in [&first, &second] {
        gateway.is("other", "up").unwrap();
    }
    for (near, far) in [(one.ipv4(), two.ipv4()), (two.ipv6(), one.ipv6())] {
        ping_until_answered(near, far.address, PATIENCE).unwrap();
        let stream = Stream::start(near, far, 1000, 1200).unwrap();
        stream.flows(300).unwrap();
        first.rekey_child("other").unwrap();
        stream.flows(300).unwrap();
        stream.stop().unwrap().whole().unwrap();
    }
    let sa = first.only_sa().unwrap();
    assert_eq!(sa["local_selectors"], serde_json::json!(["10.1.0.0/16", "fd00:1::/48"]), "{sa}");
    assert_eq!(sa["remote_selectors"], serde_json::json!(["10.2.0.0/16", "fd00:2::/48"]), "{sa}");
    first.stop().unwrap();
    second.stop().unwrap();
}
