//! Private circuits beside a tunnel.

use crossgate_dataplane::forwarding::{InterfaceId, NextHop};
use crossgate_dataplane::header::ethernet::Mac;
use crossgate_ike::environment::Instant;

use super::*;

const ROUTER: [u8; 4] = [172, 31, 0, 2];
const FACTS: [PortFacts; 3] = [PortFacts { mac: Mac([2, 0, 0, 0, 0, 1]), mtu_bytes: 1500 }; 3];
const BESIDE_A_CIRCUIT: &str = r#"
[[port]]
name = "edge"
device = "net_null2"
[[express_route_circuit]]
name = "line"
port = "edge"
addresses = ["172.31.0.1/30"]
next_hops = ["172.31.0.2"]
prefixes = ["10.2.0.0/17", "10.7.0.0/16"]
[[virtual_network_gateway]]
name = "gw-er"
virtual_network = "net"
type = "ExpressRoute"
[[connection]]
name = "by-line"
type = "ExpressRoute"
gateway = "gw-er"
express_route_circuit = "line"
"#;

fn lasting(circuits: &Circuits) -> Lasting<'_> {
    Lasting { circuits, ..Lasting::none() }
}

/// The numbers of a configuration, the tunnel of to-b, and the circuit of by-line, which is down, with its interface.
fn beside(config: &Config) -> (Identifiers, Tunnels, Circuits, InterfaceId) {
    let numbers = Identifiers::default().extended(config, &BTreeSet::new());
    let mut tunnels = Tunnels::default();
    tunnels.add(numbers.connection("to-b").unwrap());
    let mut circuits = Circuits::default();
    circuits.follow(config, &numbers, &Meters::default());
    let on = numbers.circuit_interface(&name("by-line")).unwrap();
    (numbers, tunnels, circuits, on)
}

fn bring_up(circuits: &mut Circuits, on: InterfaceId) {
    assert!(circuits.hear(on, ROUTER.into(), Instant::default()));
}

#[test]
fn a_circuit_comes_before_the_tunnel_while_it_is_up_and_only_for_what_is_behind_it() {
    let config = config(&format!("{FILE}{BESIDE_A_CIRCUIT}"));
    let (numbers, tunnels, mut circuits, on) = beside(&config);
    let vrf = numbers.vrf(&name("net")).unwrap();
    let ways = |circuits: &Circuits| {
        let built = forwarding::build(&config, &numbers, &tunnels, lasting(circuits), &FACTS).unwrap();
        [[10, 2, 0, 1], [10, 2, 128, 1], [10, 7, 0, 1]].map(|to| built.route(vrf, to.into()))
    };
    let [both, of_tunnel, of_circuit] = ways(&circuits);
    assert!(both.is_tunnel() && of_tunnel == both);
    assert_eq!(of_circuit, NextHop::CircuitDown);
    bring_up(&mut circuits, on);
    let by_circuit = NextHop::Via(on, ROUTER.into());
    assert_eq!(ways(&circuits), [by_circuit, of_tunnel, by_circuit]);
}

#[test]
fn a_circuit_changes_the_snapshot_and_no_tunnel() {
    let first = format!("{FILE}{BESIDE_A_CIRCUIT}");
    assert_eq!(changes(&first), [Change::Forwarding]);
    let told = |second: &str| {
        let (first, second) = (config(&first), config(second));
        let steps = plan::steps(&first, &second, &differences(&first, &second));
        steps.into_iter().flat_map(|step| step.details).collect::<Vec<_>>()
    };
    let second = first
        .replace("10.7.0.0/16", "10.9.0.0/16")
        .replace("\"gw-er\"\nexpress", "\"gw-er\"\nrouting_weight = 5\nexpress");
    assert_eq!(
        told(&second),
        [
            "express_route_circuit[line].prefixes: [\"10.2.0.0/17\", \"10.7.0.0/16\"] -> [\"10.2.0.0/17\", \"10.9.0.0/16\"]",
            "connection[by-line].routing_weight: 0 -> 5",
        ]
    );
    let gone = first.split_once("[[connection]]\nname = \"by-line\"").unwrap().0;
    assert_eq!(told(gone), ["connection[by-line]: gone"]);
}

#[test]
fn addresses_of_the_network_stay_inside_beside_a_circuit_to_everywhere() {
    let text = format!("{FILE}{BESIDE_A_CIRCUIT}").replace("\"10.7.0.0/16\"", "\"0.0.0.0/0\"");
    let config = config(&text.replace("\"10.2.0.0/17\", ", ""));
    let (numbers, tunnels, mut circuits, on) = beside(&config);
    bring_up(&mut circuits, on);
    let vrf = numbers.vrf(&name("net")).unwrap();
    let built = forwarding::build(&config, &numbers, &tunnels, lasting(&circuits), &FACTS).unwrap();
    let way = |to: [u8; 4]| built.route(vrf, to.into());
    let inside = NextHop::Connected(numbers.network_interface(&name("net")).unwrap());
    assert_eq!(way([10, 1, 0, 9]), inside);
    assert_eq!(way([10, 1, 9, 9]), NextHop::Unreachable, "of the network, and nowhere there");
    assert!(way([10, 2, 0, 9]).is_tunnel());
    assert_eq!(way([198, 51, 100, 9]), NextHop::Via(on, ROUTER.into()));
}

#[test]
fn a_circuit_that_is_up_can_get_another_address_and_keeps_the_routers_that_it_has() {
    let first = config(&format!("{FILE}{BESIDE_A_CIRCUIT}"));
    let (numbers, _, mut circuits, on) = beside(&first);
    bring_up(&mut circuits, on);
    let moved = |address: &str, routers: &str| {
        let text = format!("{FILE}{BESIDE_A_CIRCUIT}").replace("172.31.0.1/30", address);
        config(&text.replace("[\"172.31.0.2\"]", routers))
    };
    let next_hop = |to: &Config| {
        let mut circuits = circuits.clone();
        circuits.follow(to, &numbers, &Meters::default());
        circuits.next_hop(&name("by-line"), true)
    };
    assert_eq!(next_hop(&moved("172.31.1.1/30", "[\"172.31.1.2\"]")), None);
    let another = moved("172.31.0.1/29", "[\"172.31.0.3\", \"172.31.0.2\"]");
    assert_eq!(next_hop(&another), Some(ROUTER.into()));
}

#[test]
fn what_a_tunnel_alone_leads_to_stays_inside_even_without_a_tunnel() {
    let text = format!("{FILE}{BESIDE_A_CIRCUIT}").replace("\"10.7.0.0/16\"", "\"0.0.0.0/0\"");
    let config = config(&text.replace("\"10.2.0.0/17\", ", ""));
    let (numbers, _, mut circuits, on) = beside(&config);
    bring_up(&mut circuits, on);
    // No connection has got a tunnel.
    let built =
        forwarding::build(&config, &numbers, &Tunnels::default(), lasting(&circuits), &FACTS).unwrap();
    let way = |to: [u8; 4]| built.route(numbers.vrf(&name("net")).unwrap(), to.into());
    assert_eq!(way([10, 2, 0, 9]), NextHop::Unreachable);
    assert_eq!(way([198, 51, 100, 9]), NextHop::Via(on, ROUTER.into()));
}

#[test]
fn peered_networks_stay_inside_beside_a_circuit_to_everywhere() {
    let network = |number: u8, port: &str| {
        format!(
            "[[virtual_network]]\nname = \"n{number}\"\naddress_space = [\"10.{number}.0.0/16\"]\nport = \"{port}\"\nvlan = {number}\n\
             addresses = [\"10.{number}.0.1/24\"]\n"
        )
    };
    let peering = |from: &str, to: &str, more: &str| {
        format!(
            "[[virtual_network_peering]]\nname = \"{from}-{to}\"\nvirtual_network = \"{from}\"\nremote_virtual_network = \"{to}\"\n{more}\n"
        )
    };
    // n30 uses the gateways of net and is peered with n31; net is peered with n32.
    let text = format!("{FILE}{BESIDE_A_CIRCUIT}").replace("\"10.7.0.0/16\"", "\"0.0.0.0/0\"")
        + &[30, 31, 32].map(|number| network(number, "edge")).concat()
        + &peering("net", "n30", "allow_gateway_transit = true")
        + &peering("n30", "net", "use_remote_gateways = true")
        + &[("n30", "n31"), ("n31", "n30"), ("net", "n32"), ("n32", "net")]
            .map(|(a, b)| peering(a, b, ""))
            .concat();
    let config = config(&text.replace("\"10.2.0.0/17\", ", ""));
    let (numbers, tunnels, mut circuits, on) = beside(&config);
    bring_up(&mut circuits, on);
    let built = forwarding::build(&config, &numbers, &tunnels, lasting(&circuits), &FACTS).unwrap();
    let way = |from: &str, to: [u8; 4]| built.route(numbers.vrf(&name(from)).unwrap(), to.into());
    let out = NextHop::Via(on, ROUTER.into());
    for (from, inside) in [("net", [1, 30, 32]), ("n30", [1, 30, 31])] {
        for number in inside {
            assert_eq!(
                way(from, [10, number, 9, 9]),
                NextHop::Unreachable,
                "{from}: 10.{number}.9.9 is nowhere"
            );
        }
        assert_eq!(way(from, [198, 51, 100, 9]), out, "{from}");
        assert!(way(from, [10, 2, 0, 9]).is_tunnel(), "{from}");
    }
    for from in ["n31", "n32"] {
        assert_eq!(way(from, [198, 51, 100, 9]), NextHop::Unreachable, "{from}");
    }
}

#[test]
fn a_snapshot_of_another_link_with_the_router_of_before_is_refused() {
    let text = format!("{FILE}{BESIDE_A_CIRCUIT}");
    let (first, second) = (config(&text), config(&text.replace("172.31.0.", "172.31.1.")));
    let (numbers, tunnels, mut circuits, on) = beside(&first);
    bring_up(&mut circuits, on);
    let build =
        |circuits: &Circuits| forwarding::build(&second, &numbers, &tunnels, lasting(circuits), &FACTS);
    assert!(build(&circuits).is_err(), "which is why whoever builds follows first");
    circuits.follow(&second, &numbers, &Meters::default());
    build(&circuits).unwrap();
}
