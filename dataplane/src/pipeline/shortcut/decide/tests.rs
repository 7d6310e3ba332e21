use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;
use crate::forwarding::{DontFragment, GroupId, Interface, Member, MssClamp, PortIndex, Tunnel};
use crate::header::ethernet::Mac;
use crate::nat::{Mapping, Nat};
use crate::selector::{AddressRange, Ports, Selectors, TrafficSelector};

const SITE: VrfId = VrfId(1);

fn net(text: &str) -> ipnet::IpNet {
    text.parse().expect("a prefix")
}

/// A selector of one of eight small prefixes, with or without a protocol and ports.
fn selector() -> impl Strategy<Value = TrafficSelector> {
    (0u8..8, prop::option::weighted(0.2, Just(Protocol::TCP)), prop::bool::weighted(0.2)).prop_map(
        |(third, protocol, has_ports)| {
            let (first, last) = (Ipv4Addr::new(10, 0, third, 0), Ipv4Addr::new(10, 0, 7, 255));
            let ports = if has_ports { Ports::Range(80..=90) } else { Ports::Any };
            TrafficSelector { addresses: AddressRange::V4(first..=last), protocol, ports }
        },
    )
}

fn tunnel() -> impl Strategy<Value = Selectors> {
    (prop::collection::vec(selector(), 1..3), prop::collection::vec(selector(), 1..3))
        .prop_map(|(local, remote)| Selectors { local, remote })
}

/// A rule between two of the eight prefixes and two beside them.
fn rule() -> impl Strategy<Value = Vec<Mapping>> {
    let prefix = |third| ipnet::Ipv4Net::new_assert(Ipv4Addr::new(10, 0, third, 0), 24).into();
    prop::option::of((0u8..10, 0u8..10)).prop_map(move |rule| {
        rule.and_then(|(from, to)| Mapping::new(prefix(from), prefix(to))).into_iter().collect()
    })
}

/// Two networks and the underlay; tunnels 1, 2 and 3 in a row with their translation, and routes to them, to a group of
/// them, to neighbours and to nowhere.
fn forwarding(tunnels: &[Selectors], nat: &Nat, routes: &[(u8, u8, u8)]) -> Forwarding {
    let mut builder = Forwarding::builder();
    for (id, vrf, address) in [(0, VrfId::UNDERLAY, "192.0.2.1/24"), (1, SITE, "10.0.0.1/24")] {
        let interface = Interface {
            port: PortIndex(id),
            vlan: None,
            vrf,
            mac: Mac([2, 0, 0, 0, 0, 1]),
            mtu_bytes: 1500,
            addresses: vec![net(address)],
        };
        builder.interface(InterfaceId(id), interface);
    }
    for (id, selectors) in (1..).zip(tunnels) {
        let is_last = id as usize == tunnels.len();
        let tunnel = Tunnel {
            vrf: SITE,
            selectors: selectors.clone(),
            alternative: (!is_last).then_some(TunnelId(id + 1)),
            mss_clamp: MssClamp::Auto,
            dont_fragment: DontFragment::Copy,
            nat: nat.clone(),
        };
        builder.tunnel(TunnelId(id), tunnel);
    }
    // The last one alone, and all of them in a row.
    let members = [tunnels.len(), 1].map(|id| {
        let id = u32::try_from(id).expect("few");
        Member { tunnel: TunnelId(id), weight: 10, number: id.into() }
    });
    builder.group(GroupId(0), members.to_vec());
    for (third, length, kind) in routes {
        let prefix = ipnet::Ipv4Net::new(Ipv4Addr::new(10, 0, *third, 0), *length).expect("a length");
        let next_hop = match kind {
            0 => NextHop::Tunnel(TunnelId(1)),
            1 => NextHop::Via(InterfaceId(1), IpAddr::from([10, 0, 0, 9])),
            2 => NextHop::Blackhole,
            3 => NextHop::Group(GroupId(0)),
            _ => NextHop::Connected(InterfaceId(1)),
        };
        builder.route(SITE, prefix.trunc().into(), next_hop);
    }
    builder.build().expect("consistent")
}

fn is_up(tunnel: TunnelId, up: &[bool]) -> bool {
    up[tunnel.0 as usize - 1]
}

/// What the general stages would do with a packet, in the shortcut's words; everything that is not passed on is `None`.
fn generally(way: Way, flow: &Flow, forwarding: &Forwarding, up: &[bool]) -> Option<Decision> {
    if !may_be_forwarded(flow.source, flow.destination) {
        return None;
    }
    let (vrf, origin, flow) = match way {
        Way::Interface(id) => {
            let vrf = forwarding.interface(id)?.vrf;
            if vrf == VrfId::UNDERLAY {
                let next = forwarding.route_from(id, flow.destination);
                return matches!(next, NextHop::Local(_)).then_some(Decision::Ours);
            }
            (vrf, Origin::Interface(id, Delivery::Unicast), *flow)
        }
        Way::Tunnel(id) => {
            let (tunnel, inside) = forwarding.tunnel_of_inbound(id, flow).ok()?;
            (tunnel.vrf, Origin::Tunnel(id), inside)
        }
    };
    match route::next_hop(forwarding, vrf, origin, &flow).ok()? {
        NextHop::Connected(interface) => Some(Decision::Forward(interface, flow.destination)),
        NextHop::Via(interface, next_hop) => Some(Decision::Forward(interface, next_hop)),
        routed if routed.is_tunnel() => {
            let id = forwarding.tunnel_for(routed, &flow, |id| is_up(id, up)).ok()?.id;
            is_up(id, up).then_some(Decision::Enter(id))
        }
        _ => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever a flow's packets are, the shortcut sends them where the general stages would, or leaves them to those.
    #[test]
    fn decides_as_the_general_stages_do(
        tunnels in prop::collection::vec(tunnel(), 3), egress in rule(), ingress in rule(),
        routes in prop::collection::vec((0u8..8, 16u8..=26, 0u8..5), 0..8),
        way in prop_oneof![
            (0u16..3).prop_map(|id| Way::Interface(InterfaceId(id))),
            (1u32..5).prop_map(|id| Way::Tunnel(TunnelId(id))),
        ],
        source in (0u8..9, any::<u8>()), destination in (0u8..9, any::<u8>()), in_underlay: bool,
        protocol in prop_oneof![Just(Protocol::TCP), Just(Protocol::UDP)],
        ports in prop::option::of((70u16..100, 70u16..100)),
        up in prop::collection::vec(prop::bool::weighted(0.7), 3),
    ) {
        let forwarding = forwarding(&tunnels, &Nat { egress, ingress, ..Nat::default() }, &routes);
        let source = IpAddr::from([10, 0, source.0, source.1]);
        let destination =
            if in_underlay { [192, 0, 2, destination.0] } else { [10, 0, destination.0, destination.1] };
        let (source_port, destination_port) = ports.unzip();
        let flow = Flow { source, destination: destination.into(), protocol, source_port, destination_port };
        let decision = decide(way, source, destination.into(), &forwarding, |id| is_up(id, &up));
        if decision != Decision::General {
            prop_assert_eq!(Some(decision), generally(way, &flow, &forwarding, &up));
        }
    }
}

#[test]
fn addresses_alone_decide_where_selectors_name_only_them() {
    let any = |prefix| vec![TrafficSelector::of_prefix(net(prefix))];
    let selectors = Selectors { local: any("10.0.1.0/24"), remote: any("10.0.2.0/24") };
    let forwarding = forwarding(&[selectors], &Nat::default(), &[(2, 24, 0), (1, 24, 1)]);
    let (host, peer) = (IpAddr::from([10, 0, 1, 9]), IpAddr::from([10, 0, 2, 9]));
    let decide = |way, source, destination| decide(way, source, destination, &forwarding, |_| true);
    assert_eq!(decide(Way::Interface(InterfaceId(1)), host, peer), Decision::Enter(TunnelId(1)));
    assert_eq!(
        decide(Way::Tunnel(TunnelId(1)), peer, host),
        Decision::Forward(InterfaceId(1), [10, 0, 0, 9].into())
    );
    assert_eq!(decide(Way::Interface(InterfaceId(1)), peer, host), Decision::General, "clear text");
    assert_eq!(decide(Way::Tunnel(TunnelId(1)), host, peer), Decision::General, "outside of the selectors");
    assert_eq!(
        decide(Way::Interface(InterfaceId(0)), peer, [192, 0, 2, 1].into()),
        Decision::Ours,
        "the underlay's own address"
    );
}
