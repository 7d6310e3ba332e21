//! Whose sessions go on after which change, and what a sweep costs a turn.

use std::net::IpAddr;

use crossgate_dataplane::counter::Counter;
use crossgate_dataplane::sa::Direction;
use crossgate_dataplane::selector::TrafficSelector;

use super::*;
use crate::reconcile::tests::{FILE, config};

fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

fn rule(gateway: &str, mode: &str, internal: &str, external: &str) -> String {
    format!(
        "[[nat_rule]]\nname = \"own\"\ngateway = \"{gateway}\"\nmode = \"{mode}\"\ntype = \"Dynamic\"\n\
         internal_mapping = \"{internal}\"\nexternal_mapping = \"{external}\"\n"
    )
}

/// The connection to-b with an egress rule.
fn with_rule(external: &str, other: &str) -> Config {
    let named = FILE.replacen(
        "type = \"IPsec\"",
        &format!("type = \"IPsec\"\negress_nat_rules = [\"own\"]\n{other}"),
        1,
    );
    let larger = named.replacen("sku = \"VpnGw1\"", "sku = \"VpnGw2\"", 1);
    config(&(larger + &rule("gw", "EgressSnat", "10.1.0.0/16", external)))
}

fn own(pools: &NatPools) -> &Arc<Pool> {
    pools.of(&name("own")).expect("a pool")
}

#[test]
fn sessions_outlive_every_change_but_that_of_their_own_rule() {
    let first = NatPools::default().following(&with_rule("100.64.1.1/32", ""));
    let clamped = first.following(&with_rule("100.64.1.1/32", "mss_clamp = 1300"));
    assert!(Arc::ptr_eq(own(&first), own(&clamped)));
    let other = clamped.following(&with_rule("100.64.1.2/32", ""));
    assert!(!Arc::ptr_eq(own(&first), own(&other)));
    assert!(other.following(&config(FILE)).of(&name("own")).is_none(), "nobody names it");
}

/// A second network with the same hosts, and a gateway of its own; the rule is of one of the two, and to-b, too.
fn moved(gateway: &str) -> Config {
    let second = "[[virtual_network]]\nname = \"second\"\naddress_space = [\"10.1.0.0/16\"]\ngateway_subnet = \"10.1.255.0/27\"\n\
                  port = \"lan\"\nvlan = 7\naddresses = [\"10.1.0.1/24\"]\n\
                  [[virtual_network_gateway]]\nname = \"gw-2\"\nvirtual_network = \"second\"\ntype = \"Vpn\"\nvpn_type = \"RouteBased\"\n\
                  sku = \"VpnGw2\"\npublic_addresses = [\"192.0.2.7\"]\n";
    let addresses = "[\"192.0.2.1/24\", \"192.0.2.7/24\"]";
    let text =
        FILE.replacen("sku = \"VpnGw1\"", "sku = \"VpnGw2\"", 1).replacen("[\"192.0.2.1/24\"]", addresses, 1);
    let text = text.replacen(
        "type = \"IPsec\"\ngateway = \"gw\"",
        &format!("type = \"IPsec\"\negress_nat_rules = [\"own\"]\ngateway = \"{gateway}\""),
        1,
    );
    config(&(text + second + &rule(gateway, "EgressSnat", "10.1.0.0/16", "100.64.1.1/32")))
}

#[test]
fn a_rule_that_moves_to_another_network_takes_no_sessions_along() {
    let here = NatPools::default().following(&moved("gw"));
    assert!(Arc::ptr_eq(own(&here), own(&here.following(&moved("gw")))));
    assert!(!Arc::ptr_eq(own(&here), own(&here.following(&moved("gw-2")))));
}

/// Two sites with the same hosts, whose connections name the rule or not.
fn at_sites(named_by: [bool; 2]) -> Config {
    let mut text = FILE.replacen("sku = \"VpnGw1\"", "sku = \"VpnGw2\"", 1);
    let named = |is_named| if is_named { "ingress_nat_rules = [\"own\"]\n" } else { "" };
    text = text.replacen(
        "gateway = \"gw\"\nlocal",
        &format!("gateway = \"gw\"\n{}routing_weight = 10\nlocal", named(named_by[0])),
        1,
    );
    let second = format!(
        "[[local_network_gateway]]\nname = \"site-c\"\naddress = \"192.0.2.3\"\nprefixes = [\"10.2.0.0/16\"]\n\
         [[connection]]\nname = \"to-c\"\ntype = \"IPsec\"\ngateway = \"gw\"\n{}routing_weight = 10\nlocal_network_gateway = \"site-c\"\n\
         shared_key = {{ env = \"KEY\" }}\n",
        named(named_by[1])
    );
    // Where one of them alone has the rule, the other has no way.
    let (text, second) = match named_by {
        [true, false] => (text, String::new()),
        [false, true] => {
            let before = text.find("[[local_network_gateway]]").expect("there");
            (text[..before].to_owned(), second)
        }
        _ => (text, second),
    };
    config(&(text + &second + &rule("gw", "IngressSnat", "10.2.0.0/16", "100.64.2.1/32")))
}

#[test]
fn sessions_of_one_site_are_not_those_of_another_unless_both_are_ways_to_it() {
    let first = NatPools::default().following(&at_sites([true, false]));
    let other = first.following(&at_sites([false, true]));
    assert!(!Arc::ptr_eq(own(&first), own(&other)), "another site, whose hosts have the same addresses");
    let both = first.following(&at_sites([true, true]));
    assert!(Arc::ptr_eq(own(&first), own(&both)), "a second way");
    assert!(Arc::ptr_eq(own(&first), own(&both.following(&at_sites([false, true])))), "the second way alone");
}

#[test]
fn a_turn_sweeps_a_slice_and_looking_sweeps_nothing() {
    let mut pools = NatPools::default().following(&with_rule("100.64.1.0/28", ""));
    let ports = own(&pools).ports();
    assert_eq!(pools.usage(&name("own")).expect("known").ports, ports, "before the first sweep");
    let slices = ports.div_ceil(SLICE_PLACES as u64);
    for slice in 0..slices {
        assert_eq!(pools.of[&name("own")].1.due_us, 0, "after {slice} slices it is not done");
        pools.sweep_some(1 + slice * SLICE_EVERY_US);
        // A turn that comes too soon.
        pools.sweep_some(2 + slice * SLICE_EVERY_US);
    }
    let done_us = 1 + (slices - 1) * SLICE_EVERY_US;
    assert_eq!(pools.of[&name("own")].1.due_us, done_us + SWEEP_EVERY_US);
    // A sweep under way is not begun anew by an apply.
    pools.sweep_some(done_us + SWEEP_EVERY_US);
    let applied = pools.following(&with_rule("100.64.1.0/28", "mss_clamp = 1300"));
    assert_eq!(
        format!("{:?}", applied.of[&name("own")].1.sweep),
        format!("{:?}", pools.of[&name("own")].1.sweep)
    );
}

/// What the configuration says of a rule's ports is what its pool has.
#[test]
fn pools_have_the_ports_that_a_configuration_counts() {
    for external in ["100.64.1.1/32", "100.64.1.0/28", "100.64.1.0/27", "100.64.16.0/20"] {
        let config = with_rule(external, "");
        let rule = &config.connections()[&name("to-b")].nat.egress[0];
        let pools = NatPools::default().following(&config);
        assert_eq!(rule.ports(), own(&pools).ports(), "{external}");
    }
}

#[test]
fn what_is_only_planned_has_no_room_and_takes_nothing_from_what_runs() {
    let running = NatPools::default().following(&with_rule("100.64.1.1/32", ""));
    let ports = own(&running).ports();
    let planned = running.planned(&with_rule("100.64.16.0/20", ""));
    assert_eq!((own(&planned).ports(), own(&running).ports()), (0, ports));
    let unchanged = running.planned(&with_rule("100.64.1.1/32", "mss_clamp = 1300"));
    assert!(Arc::ptr_eq(own(&running), own(&unchanged)));
    // It fits together as it would if it were applied.
    let config = with_rule("100.64.16.0/20", "");
    let nat = planned.rules(&config.connections()[&name("to-b")]);
    assert_eq!(nat.egress_pools, [Arc::clone(own(&planned))]);
}

#[test]
fn what_goes_out_with_an_address_that_a_peer_assigned_keeps_its_sessions_until_another_one_takes_its_place() {
    let (end, other) = (ConnectionId(7), ConnectionId(8));
    let hidden = |pools: &NatPools, end: ConnectionId, local: &str| {
        let local = vec![TrafficSelector::of_prefix(local.parse().expect("a prefix"))];
        pools.of_tunnel(&Nat::default(), end, &Selectors { local, remote: Vec::new() })
    };
    let (one, two) = (Ipv4Addr::new(10, 9, 0, 1), Ipv4Addr::new(10, 9, 0, 2));
    let mut pools = NatPools::default();
    pools.assign(end, one, |_| false);
    pools.assign(other, one, |_| false);
    let first = hidden(&pools, end, "10.9.0.1/32");
    assert_ne!(hidden(&pools, other, "10.9.0.1/32"), first, "another peer's");
    assert!(hidden(&pools, end, "10.9.0.0/24").is_empty(), "not what the peer assigned");
    let [host, server] = [[10, 1, 0, 10], [10, 2, 0, 1]].map(IpAddr::from);
    assert_eq!(first.translated(Direction::Outbound, host, server), Ok((one.into(), server)));
    assert_eq!(first.translated(Direction::Inbound, server, one.into()), Ok((server, one.into())));
    assert_eq!(first.translated(Direction::Inbound, server, host), Err(Counter::NatNoMapping));

    let mut pools = pools.following(&config(FILE));
    pools.assign(end, one, |_| false);
    assert_eq!(hidden(&pools, end, "10.9.0.1/32"), first, "the same address again");
    pools.assign(end, two, |address| address == one);
    assert_eq!(hidden(&pools, end, "10.9.0.1/32"), first, "a tunnel has it still");
    pools.assign(end, two, |_| false);
    assert!(hidden(&pools, end, "10.9.0.1/32").is_empty());
    assert!(pools.usage_of_assigned(end, two).is_some_and(|usage| usage.ports == 64_512));
    pools.retain_assigned(|asking| asking == other);
    assert!(hidden(&pools, end, "10.9.0.2/32").is_empty());
    assert!(!hidden(&pools, other, "10.9.0.1/32").is_empty(), "nobody else's is touched");
}
