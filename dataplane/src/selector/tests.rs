use proptest::prelude::*;

use super::*;

fn range(first: u8, last: u8) -> AddressRange {
    AddressRange::V4([10, 0, 0, first].into()..=[10, 0, 0, last].into())
}

fn flow(source: u8, destination: u8, protocol: Protocol, ports: Option<(u16, u16)>) -> Flow {
    Flow {
        source: [10, 0, 0, source].into(),
        destination: [10, 0, 0, destination].into(),
        protocol,
        source_port: ports.map(|ports| ports.0),
        destination_port: ports.map(|ports| ports.1),
    }
}

#[test]
fn a_range_ends_with_its_last_address_and_port() {
    let local = TrafficSelector {
        addresses: range(5, 9),
        protocol: Some(Protocol::TCP),
        ports: Ports::Range(80..=81),
    };
    let remote = TrafficSelector { addresses: range(20, 20), protocol: None, ports: Ports::Any };
    let selectors = Selectors { local: vec![local], remote: vec![remote] };
    let takes =
        |source, protocol, port| selectors.matches_outbound(&flow(source, 20, protocol, Some((port, 7))));
    assert!(takes(5, Protocol::TCP, 80) && takes(9, Protocol::TCP, 81));
    assert!(!takes(4, Protocol::TCP, 80) && !takes(10, Protocol::TCP, 80));
    assert!(!takes(5, Protocol::TCP, 79) && !takes(5, Protocol::TCP, 82));
    assert!(!takes(5, Protocol::UDP, 80));
    assert!(selectors.match_inbound(&flow(20, 5, Protocol::TCP, Some((7, 80)))).is_some());
    assert!(selectors.match_inbound(&flow(5, 20, Protocol::TCP, Some((80, 7)))).is_none());
}

#[test]
fn a_later_fragment_passes_any_and_opaque_ports_but_no_range() {
    for (ports, passes) in [(Ports::Any, true), (Ports::Opaque, true), (Ports::Range(0..=65535), false)] {
        let side =
            |addresses| TrafficSelector { addresses, protocol: Some(Protocol::UDP), ports: ports.clone() };
        let selectors = Selectors { local: vec![side(range(0, 9))], remote: vec![side(range(10, 19))] };
        assert_eq!(selectors.matches_outbound(&flow(1, 11, Protocol::UDP, None)), passes, "{ports:?}");
    }
}

#[test]
fn numbers_from_ike_become_ports() {
    assert_eq!(Ports::from_wire(0, 65535), Some(Ports::Any));
    assert_eq!(Ports::from_wire(65535, 0), Some(Ports::Opaque));
    assert_eq!(Ports::from_wire(80, 80), Some(Ports::Range(80..=80)));
    assert_eq!(Ports::from_wire(81, 80), None);
}

#[test]
fn families_do_not_mix() {
    let any = |prefix: &str| TrafficSelector::of_prefix(prefix.parse().expect("a prefix"));
    let selectors = Selectors { local: vec![any("::/0")], remote: vec![any("::/0")] };
    assert!(!selectors.matches_outbound(&flow(1, 2, Protocol::TCP, Some((1, 1)))));
}

type Side = (u8, u8, Option<u8>, Option<(u16, u16)>);

fn side() -> impl Strategy<Value = Side> {
    let ports = prop::option::of((0u16..4, 0u16..4));
    (0u8..6, 0u8..6, prop::option::of(Just(6u8)), ports)
}

fn selector(&(first, last, protocol, ports): &Side) -> TrafficSelector {
    let ports = ports.map_or(Ports::Any, |(first, last)| Ports::Range(first..=last));
    TrafficSelector { addresses: range(first, last), protocol: protocol.map(Protocol), ports }
}

proptest! {
    #[test]
    fn agrees_with_a_list_of_everything_that_is_covered(
        local in prop::collection::vec(side(), 0..4),
        remote in prop::collection::vec(side(), 0..4),
        source in 0u8..6, destination in 0u8..6, protocol in 5u8..7, ports: (u8, u8), has_ports: bool,
    ) {
        let ports = has_ports.then_some((u16::from(ports.0 % 5), u16::from(ports.1 % 5)));
        let covered = |sides: &[Side], address: u8, port: Option<u16>| {
            sides.iter().any(|&(first, last, wanted, range)| {
                (first..=last).any(|a| a == address)
                    && (wanted.is_none() || wanted == Some(protocol))
                    && match (range, port) {
                        (None, _) => true,
                        (Some((low, high)), Some(port)) => (low..=high).any(|p| p == port),
                        (Some(_), None) => false,
                    }
            })
        };
        let selectors = Selectors {
            local: local.iter().map(selector).collect(),
            remote: remote.iter().map(selector).collect(),
        };
        let flow = flow(source, destination, Protocol(protocol), ports);
        let (from, to) = (ports.map(|p| p.0), ports.map(|p| p.1));
        prop_assert_eq!(
            selectors.matches_outbound(&flow),
            covered(&local, source, from) && covered(&remote, destination, to)
        );
        prop_assert_eq!(
            selectors.match_inbound(&flow).is_some(),
            covered(&remote, source, from) && covered(&local, destination, to)
        );
    }
}

fn any_selector() -> impl Strategy<Value = TrafficSelector> {
    let protocol = prop::sample::select(vec![None, Some(Protocol::TCP), Some(Protocol::UDP)]);
    let ports = prop::sample::select(vec![Ports::Any, Ports::Opaque, Ports::Range(80..=90)]);
    (any::<(u8, u8)>(), protocol, ports).prop_map(|((one, other), protocol, ports)| TrafficSelector {
        addresses: range(one.min(other), one.max(other)),
        protocol,
        ports,
    })
}

proptest! {
    #[test]
    fn many_selectors_found_by_address_decide_as_asking_each_of_them(
        local in prop::collection::vec(any_selector(), 0..90),
        remote in prop::collection::vec(any_selector(), 9..90),
        flows in prop::collection::vec((any::<u8>(), any::<u8>(), 79..92_u16, any::<bool>()), 1..40),
    ) {
        let selectors = Selectors { local, remote };
        let sides = index::Sides::of(&selectors).expect("many");
        for (source, destination, port, is_tcp) in flows {
            let protocol = if is_tcp { Protocol::TCP } else { Protocol::UDP };
            let flow = flow(source, destination, protocol, (port != 79).then_some((port, port)));
            prop_assert_eq!(sides.matches_outbound(&selectors, &flow), selectors.matches_outbound(&flow));
            prop_assert_eq!(sides.match_inbound(&selectors, &flow), selectors.match_inbound(&flow));
        }
    }
}

#[test]
fn ranges_that_reach_the_last_address_of_a_family_are_found() {
    let any = |prefix: &str| AddressRange::from(prefix.parse::<ipnet::IpNet>().unwrap());
    let ranges = [any("0.0.0.0/0"), any("::/0"), any("ffff::/16"), any("255.255.255.255/32")];
    let index = index::AddressIndex::new(ranges.len(), ranges.iter().enumerate());
    let of = |address: &str| index.of(address.parse().unwrap())[0];
    assert_eq!((of("0.0.0.0"), of("255.255.255.255")), (1, 1 | 8));
    assert_eq!((of("::"), of("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")), (2, 2 | 4));
}
