//! What the cloud has rules for and an edit here does freely; and what no edit brings about.

use crossgate_dataplane::forwarding::NextHop;
use crossgate_dataplane::header::ethernet::Mac;

use super::*;

#[test]
fn a_gateway_becomes_policy_based_and_its_connection_follows() {
    let second = FILE.replace("RouteBased", "PolicyBased").replace("VpnGw1", "Basic");
    assert_eq!(changes(&second)[..1], [Change::Change(name("to-b"))], "its selectors are others");
    assert!(!changes(&second).contains(&Change::Remove(name("to-b"))));
}

#[test]
fn any_size_becomes_any_other_and_only_from_and_to_basic_is_a_connection_touched() {
    let sizes = [
        ("Basic", ""),
        ("Standard", ""),
        ("HighPerformance", ""),
        ("VpnGw1", ""),
        ("VpnGw2", "Generation1"),
        ("VpnGw2", "Generation2"),
        ("VpnGw3", "Generation1"),
        ("VpnGw3", "Generation2"),
        ("VpnGw4", "Generation2"),
        ("VpnGw5", "Generation2"),
    ];
    let text = |(size, generation): (&str, &str)| {
        let generation = match generation {
            "" => String::new(),
            generation => format!("\ngeneration = \"{generation}\""),
        };
        FILE.replace("sku = \"VpnGw1\"", &format!("sku = \"{size}\"{generation}"))
    };
    for (from, to) in sizes.into_iter().flat_map(|from| sizes.map(|to| (from, to))) {
        let changes = differences(&config(&text(from)), &config(&text(to)));
        // Basic offers something else where there is no policy.
        let is_other_offer = (from.0 == "Basic") != (to.0 == "Basic");
        let touched = changes.iter().filter(|change| **change != Change::Definitions).count();
        assert_eq!(changes.is_empty(), from == to, "{from:?} to {to:?}");
        assert_eq!(touched, usize::from(is_other_offer), "{from:?} to {to:?}: {changes:?}");
    }
}

#[test]
fn a_size_in_several_zones_is_the_same_size() {
    assert_eq!(changes(&FILE.replace("VpnGw1", "VpnGw1AZ")), []);
}

#[test]
fn two_networks_that_a_third_is_peered_with_do_not_reach_each_other() {
    let network = |name: &str, number: u8| {
        format!(
            "[[virtual_network]]\nname = \"{name}\"\naddress_space = [\"10.{number}.0.0/16\"]\nport = \"lan\"\nvlan = {number}\n\
             addresses = [\"10.{number}.0.1/24\"]\n"
        )
    };
    let peered = |with: &str| {
        let one_way = |from: &str, to: &str| {
            format!(
                "[[virtual_network_peering]]\nname = \"{from}-{to}\"\nvirtual_network = \"{from}\"\nremote_virtual_network = \"{to}\"\n"
            )
        };
        one_way("net", with) + &one_way(with, "net")
    };
    let text = FILE.to_owned() + &network("one", 11) + &network("two", 12) + &peered("one") + &peered("two");
    let config = config(&text);
    let numbers = Identifiers::default().extended(&config, &BTreeSet::new());
    let fact = PortFacts { mac: Mac([2, 0, 0, 0, 0, 1]), mtu_bytes: 1500 };
    let built =
        forwarding::build(&config, &numbers, &Tunnels::default(), Lasting::none(), &[fact, fact]).unwrap();
    let way = |from: &str, to: [u8; 4]| built.route(numbers.vrf(&name(from)).unwrap(), to.into());
    for (from, other) in [("one", 12), ("two", 11)] {
        assert!(matches!(way(from, [10, 1, 0, 7]), NextHop::Connected(_)), "the hub");
        assert_eq!(way(from, [10, other, 0, 7]), NextHop::Unreachable, "{from}");
    }
    assert!(matches!(way("net", [10, 11, 0, 7]), NextHop::Connected(_)));
}
