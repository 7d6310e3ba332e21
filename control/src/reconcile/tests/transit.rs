//! Networks that use the gateway of another one by a peering: both ends of a connection between networks serve them.

use crossgate_dataplane::counter::Counter;
use crossgate_dataplane::forwarding::NextHop;
use crossgate_dataplane::header::Protocol;
use crossgate_dataplane::header::ethernet::Mac;
use crossgate_dataplane::selector::{Flow, Selectors};
use crossgate_ike::selector::TrafficSelector;

use super::*;

const FACTS: [PortFacts; 3] = [PortFacts { mac: Mac([2, 0, 0, 0, 0, 1]), mtu_bytes: 1500 }; 3];

/// The network 10.`number`.0.0/16, which uses the gateway of `hub`.
fn spoke(name: &str, number: u8, hub: &str) -> String {
    format!(
        "[[virtual_network]]\nname = \"{name}\"\naddress_space = [\"10.{number}.0.0/16\"]\nport = \"lan\"\nvlan = {number}\n\
         addresses = [\"10.{number}.0.1/24\"]\n\
         [[virtual_network_peering]]\nname = \"{name}-there\"\nvirtual_network = \"{name}\"\nremote_virtual_network = \"{hub}\"\n\
         use_remote_gateways = true\n\
         [[virtual_network_peering]]\nname = \"{name}-back\"\nvirtual_network = \"{hub}\"\nremote_virtual_network = \"{name}\"\n\
         allow_gateway_transit = true\n"
    )
}

#[test]
fn spokes_of_two_connected_networks_reach_each_other_through_both_gateways() {
    let text = two_networks() + &spoke("spoke", 4, "net") + &spoke("far-spoke", 5, "net-2");
    let wanted = config(&text);
    let prepared = Prepared::new(&Identifiers::default(), &wanted, &from_nothing(&wanted)).unwrap();
    let tunnels = prepared.tunnels(&Tunnels::default());
    let built = forwarding::build(&wanted, &prepared.identifiers, &tunnels, Lasting::none(), &FACTS).unwrap();
    let vrf = |network: &str| prepared.identifiers.vrf(&name(network)).unwrap();
    let way = |from: &str, to: u8| built.route(vrf(from), [10, to, 0, 9].into());
    let into = |connection: &str| {
        let id = prepared.identifiers.connection(connection).unwrap();
        tunnels.policy(id, &Selectors::default())[0].0
    };
    let (there, back) = (into("a-there"), into("b-back"));
    for (from, to, tunnel) in [
        ("net", 3, there),
        ("net", 5, there),
        ("spoke", 5, there),
        ("net-2", 4, back),
        ("far-spoke", 4, back),
    ] {
        assert_eq!(way(from, to), NextHop::Tunnel(tunnel), "{from} to 10.{to}.0.9");
    }
    let out_of = |source: u8| {
        let flow = Flow {
            source: [10, source, 0, 9].into(),
            destination: [10, 5, 0, 9].into(),
            protocol: Protocol::UDP,
            source_port: None,
            destination_port: None,
        };
        built.tunnel_of_inbound(back, &flow).map(drop)
    };
    assert_eq!((out_of(1), out_of(4)), (Ok(()), Ok(())));
    assert_eq!(out_of(6), Err(Counter::EspWrongSource), "of nobody behind that gateway");
}

#[test]
fn a_network_that_both_are_peered_with_is_reached_without_the_tunnel() {
    let beside = "[[virtual_network_peering]]\nname = \"x-there\"\nvirtual_network = \"net-2\"\nremote_virtual_network = \"spoke\"\n\
                  [[virtual_network_peering]]\nname = \"x-back\"\nvirtual_network = \"spoke\"\nremote_virtual_network = \"net-2\"\n";
    let wanted = config(&(two_networks() + &spoke("spoke", 4, "net") + beside));
    let behind = |connection: &str| wanted.prefixes_behind(&wanted.connections()[&name(connection)]);
    assert_eq!(behind("b-back"), ["10.1.0.0/16".parse::<ipnet::IpNet>().unwrap()]);
}

#[test]
fn the_gateway_of_another_appliance_is_asked_for_what_spokes_send_too() {
    let there = "[[connection]]\nname = \"there\"\ntype = \"Vnet2Vnet\"\ngateway = \"gw\"\nremote_gateway = \"192.0.2.8\"\nshared_key = { env = \"KEY\" }\n";
    let alone = FILE.to_owned() + there;
    let (before, after) = (config(&alone), config(&(alone + &spoke("spoke", 4, "net"))));
    let locals = |wanted: &Config| {
        let prepared = Prepared::new(&Identifiers::default(), wanted, &from_nothing(wanted)).unwrap();
        let asked = prepared.configured.iter().find(|one| &*one.name == "there").unwrap();
        asked.children[0].local_selectors.clone()
    };
    let all_of = |network: [u8; 4]| TrafficSelector::from_prefix(network.into(), 16).unwrap();
    assert_eq!(locals(&before), [all_of([10, 1, 0, 0])]);
    assert_eq!(locals(&after), [all_of([10, 1, 0, 0]), all_of([10, 4, 0, 0])]);
    let changes = differences(&before, &after);
    assert!(changes.contains(&Change::Change(name("there"))), "{changes:?}");
    assert!(!changes.contains(&Change::Change(name("to-b"))), "any-to-any has room for a spoke: {changes:?}");
}
