use super::*;
use crate::counter::Counter;
use crate::header::Protocol;
use crate::nat::{Mapping, Nat};
use crate::selector::{Flow, Selectors, TrafficSelector};

const WAN: InterfaceId = InterfaceId(1);
const LAN: InterfaceId = InterfaceId(2);
const SITE: VrfId = VrfId(3);

fn net(text: &str) -> IpNet {
    text.parse().expect("a prefix")
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn interface(vrf: VrfId, vlan: Option<u16>, addresses: &[&str]) -> Interface {
    Interface {
        port: PortIndex(0),
        vlan: vlan.and_then(VlanId::new),
        vrf,
        mac: Mac([2, 0, 0, 0, 0, 10]),
        mtu_bytes: 1500,
        addresses: addresses.iter().map(|address| net(address)).collect(),
    }
}

fn tunnel(remote: &str, alternative: Option<TunnelId>) -> Tunnel {
    Tunnel {
        vrf: SITE,
        selectors: Selectors {
            local: vec![TrafficSelector::of_prefix(net("10.1.0.0/16"))],
            remote: vec![TrafficSelector::of_prefix(net(remote))],
        },
        alternative,
        mss_clamp: MssClamp::Auto,
        dont_fragment: DontFragment::Copy,
        nat: Nat::default(),
    }
}

fn example() -> Builder {
    let mut builder = Forwarding::builder();
    builder
        .interface(WAN, interface(VrfId::UNDERLAY, None, &["192.0.2.1/24", "2001:db8::1/64"]))
        .interface(LAN, interface(SITE, Some(10), &["10.1.0.1/24"]))
        .route(VrfId::UNDERLAY, net("0.0.0.0/0"), NextHop::Via(WAN, ip("192.0.2.254")))
        .tunnel(TunnelId(4), tunnel("10.2.0.0/24", Some(TunnelId(6))))
        .tunnel(TunnelId(6), tunnel("10.2.0.0/16", None))
        .route(SITE, net("10.2.0.0/16"), NextHop::Tunnel(TunnelId(4)));
    builder
}

#[test]
fn frames_find_their_interface_by_port_and_vlan() {
    let forwarding = example().build().expect("consistent");
    let at = |port, vlan: Option<u16>| forwarding.interface_at(PortIndex(port), vlan.and_then(VlanId::new));
    assert_eq!((at(0, None), at(0, Some(10))), (Some(WAN), Some(LAN)));
    assert_eq!((at(0, Some(11)), at(1, None)), (None, None));
    let ids: Vec<_> = forwarding.interfaces().map(|(id, _)| id).collect();
    assert_eq!(ids, [WAN, LAN]);
}

#[test]
fn routes_of_networks_are_apart_and_addresses_make_routes() {
    let forwarding = example().build().expect("consistent");
    let underlay = |to| forwarding.route(VrfId::UNDERLAY, ip(to));
    assert_eq!(underlay("192.0.2.1"), NextHop::Local(WAN));
    assert_eq!(underlay("192.0.2.7"), NextHop::Connected(WAN));
    assert_eq!(underlay("192.0.2.255"), NextHop::Blackhole);
    assert_eq!(underlay("10.2.0.1"), NextHop::Via(WAN, ip("192.0.2.254")));
    assert_eq!(underlay("224.0.0.5"), NextHop::Blackhole);
    assert_eq!(underlay("2001:db8::1"), NextHop::Local(WAN));
    assert_eq!(underlay("2001:db9::1"), NextHop::Unreachable);
    let site = |to| forwarding.route(SITE, ip(to));
    assert_eq!(site("10.2.3.4"), NextHop::Tunnel(TunnelId(4)));
    assert_eq!(site("10.1.0.1"), NextHop::Local(LAN));
    assert_eq!(site("192.0.2.1"), NextHop::Unreachable);
    assert_eq!(forwarding.route(VrfId(9), ip("10.1.0.1")), NextHop::Unreachable);
}

#[test]
fn link_local_destinations_stay_on_their_link() {
    let forwarding = example().build().expect("consistent");
    assert_eq!(forwarding.route_from(LAN, ip("fe80::ff:fe00:a")), NextHop::Local(LAN));
    assert_eq!(forwarding.route_from(LAN, ip("fe80::1")), NextHop::Connected(LAN));
    assert_eq!(forwarding.route_from(LAN, ip("10.1.0.9")), NextHop::Connected(LAN));
    assert_eq!(forwarding.route_from(InterfaceId(9), ip("fe80::1")), NextHop::Unreachable);
}

fn flow(from: &str, to: &str) -> Flow {
    Flow {
        source: ip(from),
        destination: ip(to),
        protocol: Protocol::UDP,
        source_port: Some(1),
        destination_port: Some(2),
    }
}

#[test]
fn a_tunnel_whose_selectors_refuse_or_that_is_down_passes_on_to_its_alternative() {
    let forwarding = example().build().expect("consistent");
    let chosen = |from, to, up: &[u32]| {
        let entrance =
            forwarding.tunnel_for(NextHop::Tunnel(TunnelId(4)), &flow(from, to), |id| up.contains(&id.0));
        entrance.ok().map(|entrance| entrance.id.0)
    };
    assert_eq!(chosen("10.1.0.5", "10.2.0.5", &[4, 6]), Some(4));
    assert_eq!(chosen("10.1.0.5", "10.2.9.5", &[4, 6]), Some(6));
    assert_eq!(chosen("10.9.0.5", "10.2.9.5", &[4, 6]), None);
    assert_eq!(chosen("10.1.0.5", "10.2.0.5", &[6]), Some(6), "the first one has no SA");
    assert_eq!(chosen("10.1.0.5", "10.2.0.5", &[]), Some(4), "none has: the first one asks");
    assert_eq!(chosen("10.1.0.5", "10.2.9.5", &[4]), Some(6), "up, but it does not cover the packet");
}

/// A hub with a LAN and tunnels of any-to-any selectors: 1 and its alternative 2 to site B (10.2.0.0/16), 3 to site C (10.3.0.0/16), 4 and 5 both to site
/// D (10.4.0.0/16), 6 with selectors that name 10.6.0.0/16, which nobody routes.
fn hub() -> Forwarding {
    hub_builder().build().expect("consistent")
}

fn hub_builder() -> Builder {
    let any = |alternative| Tunnel {
        selectors: Selectors {
            local: vec![TrafficSelector::of_prefix(net("0.0.0.0/0"))],
            remote: vec![TrafficSelector::of_prefix(net("0.0.0.0/0"))],
        },
        ..tunnel("0.0.0.0/0", alternative)
    };
    let mut builder = Forwarding::builder();
    builder.interface(LAN, interface(SITE, None, &["10.1.0.1/24"]));
    builder.tunnel(TunnelId(1), any(Some(TunnelId(2))));
    for id in 2..6 {
        builder.tunnel(TunnelId(id), any(None));
    }
    builder.tunnel(TunnelId(6), tunnel("10.6.0.0/16", None));
    for (prefix, id) in [("10.2.0.0/16", 1), ("10.3.0.0/16", 3), ("10.4.0.0/16", 4), ("10.4.0.0/16", 5)] {
        builder.route(SITE, net(prefix), NextHop::Tunnel(TunnelId(id)));
    }
    builder.route(SITE, net("10.2.7.0/24"), NextHop::Tunnel(TunnelId(3)));
    builder.route(SITE, net("10.1.9.0/24"), NextHop::Via(LAN, ip("10.1.0.9")));
    builder
}

#[test]
fn a_peer_speaks_for_its_own_prefixes_only() {
    let hub = hub();
    let from = |id, source| {
        hub.tunnel_of_inbound(TunnelId(id), &flow(source, "10.1.0.5")).map(|(tunnel, _)| tunnel.vrf)
    };
    for (id, source) in [(1, "10.2.0.5"), (2, "10.2.0.5"), (3, "10.3.0.5"), (4, "10.4.0.5"), (5, "10.4.0.5")]
    {
        assert_eq!(from(id, source), Ok(SITE), "{source} out of tunnel {id}");
    }
    assert_eq!(from(3, "10.2.7.5"), Ok(SITE), "the longest prefix decides");
    let foreign = [
        (1, "10.1.0.5"),  // our LAN's
        (1, "10.1.0.1"),  // our own
        (1, "10.1.9.5"),  // behind a router of ours
        (1, "10.2.7.5"),  // a part of the prefix that is another's
        (3, "10.2.0.5"),  // another site's
        (1, "10.4.0.5"),  // another site's with two tunnels
        (1, "127.0.0.1"), // nobody's, ever
        (1, "8.8.8.8"),   // not routed, and selectors that name everything
    ];
    for (id, source) in foreign {
        assert_eq!(from(id, source), Err(Counter::EspWrongSource), "{source} out of tunnel {id}");
    }
    assert_eq!(from(6, "10.6.0.5"), Ok(SITE), "nobody's, but agreed by name");
    assert_eq!(from(6, "10.2.0.5"), Err(Counter::EspSelectorMismatch));
    assert_eq!(from(9, "10.2.0.5"), Err(Counter::EspSelectorMismatch), "no such tunnel");
}

#[test]
fn routers_without_a_route_may_still_send_errors() {
    let hub = hub();
    let icmp = |kind: u16, source| Flow {
        protocol: Protocol::ICMP,
        source_port: Some(kind << 8 | 4),
        destination_port: Some(kind << 8 | 4),
        ..flow(source, "10.1.0.5")
    };
    let passes = |flow: &Flow| hub.tunnel_of_inbound(TunnelId(1), flow).is_ok();
    assert!(passes(&icmp(3, "203.0.113.7")) && passes(&icmp(11, "203.0.113.7")));
    assert!(!passes(&icmp(8, "203.0.113.7")), "an echo request is no error");
    assert!(!passes(&icmp(3, "10.1.0.7")), "not in our own network's name");
}

/// Two sites with the prefix of our own network, behind tunnels 1 and 2.
fn overlapping() -> Forwarding {
    let mapping = |internal, external| Mapping::new(net(internal), net(external)).expect("of one length");
    let mut builder = Forwarding::builder();
    builder.interface(LAN, interface(SITE, None, &["10.1.0.1/24"]));
    for (id, external) in [(1, "100.64.2.0/24"), (2, "100.64.3.0/24")] {
        let nat = Nat {
            egress: vec![mapping("10.1.0.0/24", "100.64.1.0/24")],
            ingress: vec![mapping("10.1.0.0/24", external)],
            ..Nat::default()
        };
        let any = || vec![TrafficSelector::of_prefix(net("0.0.0.0/0"))];
        let selectors = Selectors { local: any(), remote: any() };
        builder.tunnel(TunnelId(id), Tunnel { nat, selectors, ..tunnel("0.0.0.0/0", None) });
        builder.route(SITE, net(external), NextHop::Tunnel(TunnelId(id)));
    }
    builder.build().expect("consistent")
}

#[test]
fn selectors_see_a_translated_packet_as_it_is_in_the_tunnel_and_routes_as_it_is_in_the_network() {
    let forwarding = overlapping();
    assert!(forwarding.translates() && !hub().translates());
    let into = |from, to| {
        forwarding
            .tunnel_for(NextHop::Tunnel(TunnelId(1)), &flow(from, to), |_| true)
            .map(|entrance| entrance.flow)
    };
    assert_eq!(into("10.1.0.5", "100.64.2.7"), Ok(flow("100.64.1.5", "10.1.0.7")));
    assert_eq!(into("10.9.0.5", "100.64.2.7"), Ok(flow("10.9.0.5", "10.1.0.7")), "no rule for the source");
    assert_eq!(into("100.64.1.5", "100.64.2.7"), Err(Counter::NatNoMapping), "another host's address there");
    let out =
        |id, from, to| forwarding.tunnel_of_inbound(TunnelId(id), &flow(from, to)).map(|(_, inside)| inside);
    assert_eq!(out(1, "10.1.0.7", "100.64.1.5"), Ok(flow("100.64.2.7", "10.1.0.5")));
    assert_eq!(out(2, "10.1.0.7", "100.64.1.5"), Ok(flow("100.64.3.7", "10.1.0.5")), "another site's host");
    assert_eq!(
        out(1, "10.1.0.7", "10.1.0.5"),
        Err(Counter::NatNoMapping),
        "an address that is its own there"
    );
    assert_eq!(out(1, "100.64.2.7", "100.64.1.5"), Err(Counter::NatNoMapping));
    assert_eq!(out(1, "100.64.3.7", "100.64.1.5"), Err(Counter::EspWrongSource), "the other site's");
}

#[test]
fn an_interface_knows_its_addresses_and_groups() {
    let wan = interface(VrfId::UNDERLAY, None, &["192.0.2.1/24", "198.51.100.1/24", "2001:db8::1/64"]);
    assert_eq!(wan.source_towards(ip("198.51.100.9")), Some(ip("198.51.100.1")));
    assert_eq!(wan.source_towards(ip("203.0.113.1")), Some(ip("192.0.2.1")));
    assert_eq!(wan.source_towards(ip("fe80::1")), Some(ip("fe80::ff:fe00:a")));
    assert!(wan.owns(ip("fe80::ff:fe00:a")) && !wan.owns(ip("fe80::ff:fe00:b")));
    let mac = |last: [u8; 4]| Mac([0x33, 0x33, last[0], last[1], last[2], last[3]]);
    assert!(wan.listens_to(wan.mac) && wan.listens_to(Mac::BROADCAST) && wan.listens_to(mac([0, 0, 0, 1])));
    assert!(wan.listens_to(mac([0xff, 0, 0, 1])) && wan.listens_to(mac([0xff, 0, 0, 10])));
    assert!(!wan.listens_to(mac([0xff, 0, 0, 2])) && !wan.listens_to(Mac([2, 0, 0, 0, 0, 11])));
}

#[test]
fn contradictions_are_refused_by_name() {
    let refused = |change: &dyn Fn(&mut Builder)| {
        let mut builder = example();
        change(&mut builder);
        builder.build().err()
    };
    let twin = interface(SITE, Some(10), &[]);
    let same = refused(&|b| {
        b.interface(InterfaceId(7), twin.clone());
    });
    assert_eq!(same, Some(BuildError::SameFrames(LAN, InterfaceId(7))));
    let route = |vrf, next_hop| {
        refused(&|b| {
            b.route(vrf, net("10.9.0.0/16"), next_hop);
        })
    };
    let elsewhere = InterfaceId(8);
    assert_eq!(route(SITE, NextHop::Connected(elsewhere)), Some(BuildError::NoInterface(elsewhere)));
    assert_eq!(
        route(SITE, NextHop::Connected(WAN)),
        Some(BuildError::OtherNetwork(SITE, NextHop::Connected(WAN)))
    );
    assert_eq!(route(SITE, NextHop::Tunnel(TunnelId(5))), Some(BuildError::NoTunnel(TunnelId(5))));
    let off_link = ip("10.8.0.1");
    assert_eq!(route(SITE, NextHop::Via(LAN, off_link)), Some(BuildError::NextHopOffLink(off_link, LAN)));
    let backwards = refused(&|b| {
        b.tunnel(TunnelId(7), tunnel("10.2.0.0/16", Some(TunnelId(6))));
    });
    assert_eq!(backwards, Some(BuildError::AlternativeOrder(TunnelId(7), TunnelId(6))));
}

#[test]
fn an_empty_snapshot_answers_nothing() {
    let forwarding = Forwarding::empty();
    assert_eq!(forwarding.route(VrfId::UNDERLAY, ip("192.0.2.1")), NextHop::Unreachable);
    assert!(forwarding.interface(WAN).is_none() && forwarding.tunnel(TunnelId(u32::MAX)).is_none());
}

/// The hub with another site, E (10.5.0.0/16), behind tunnel 2's policy (1 and 2), behind 4 and behind 5, of which only the last has a standby's weight.
fn hub_with_group() -> Builder {
    let mut builder = hub_builder();
    let member = |id, weight| Member { tunnel: TunnelId(id), weight, number: id.into() };
    builder.group(GroupId(2), vec![member(1, 10), member(4, 10), member(5, 0)]);
    builder.route(SITE, net("10.5.0.0/16"), NextHop::Group(GroupId(2)));
    builder
}

#[test]
fn a_flow_takes_another_member_of_its_group_only_where_its_own_has_no_tunnel_up() {
    let hub = hub_with_group().build().expect("consistent");
    let group = hub.route(SITE, ip("10.5.0.1"));
    assert_eq!((group, hub.network_of(group)), (NextHop::Group(GroupId(2)), Some(SITE)));
    let flows: Vec<Flow> = (0..200).map(|last| flow("10.1.0.5", &format!("10.5.0.{last}"))).collect();
    let taken = |flow: &Flow, up: &[u32]| {
        hub.tunnel_for(group, flow, |id| up.contains(&id.0)).expect("the selectors take everything").id.0
    };
    let (mut ones, mut fours) = (0, 0);
    for flow in &flows {
        match taken(flow, &[1, 2, 4, 5]) {
            1 => {
                ones += 1;
                assert_eq!(taken(flow, &[2, 4, 5]), 2, "an alternative of the same policy comes first");
                assert_eq!(taken(flow, &[4, 5]), 4);
            }
            4 => {
                fours += 1;
                assert_eq!(taken(flow, &[1, 5]), 1);
                assert_eq!(taken(flow, &[2, 5]), 2);
            }
            other => panic!("{flow:?} in {other}"),
        }
        assert_eq!(taken(flow, &[5]), 5, "the standby");
        assert!([1, 4].contains(&taken(flow, &[])), "none is up: it asks for its own");
    }
    assert!(ones > 70 && fours > 70, "{ones} and {fours}");
}

#[test]
fn every_member_of_a_group_speaks_for_its_site() {
    let hub = hub_with_group().build().expect("consistent");
    let from = |id, source| hub.tunnel_of_inbound(TunnelId(id), &flow(source, "10.1.0.5")).map(drop);
    for id in [1, 2, 4, 5] {
        assert_eq!(from(id, "10.5.0.7"), Ok(()), "tunnel {id}");
        assert!(hub.is_feasible(TunnelId(id), SITE, ip("10.5.0.7")), "tunnel {id}");
    }
    assert_eq!(from(3, "10.5.0.7"), Err(Counter::EspWrongSource));
}

#[test]
fn groups_that_contradict_themselves_are_refused() {
    let member = |id| Member { tunnel: TunnelId(id), weight: 1, number: id.into() };
    let built = |members: Vec<Member>| hub_builder().group(GroupId(0), members).build().map(drop);
    assert_eq!(built(vec![]), Err(BuildError::GroupSize(GroupId(0), 0)));
    assert_eq!(built(vec![member(1); 17]), Err(BuildError::GroupSize(GroupId(0), 17)));
    assert_eq!(built(vec![member(1), member(9)]), Err(BuildError::NoTunnel(TunnelId(9))));
    let mut builder = hub_builder();
    builder.tunnel(TunnelId(7), Tunnel { vrf: VrfId(2), ..tunnel("10.2.0.0/16", None) });
    let other = builder.group(GroupId(0), vec![member(1), member(7)]).build().map(drop);
    assert_eq!(other, Err(BuildError::OtherNetwork(SITE, NextHop::Tunnel(TunnelId(7)))));
    let missing = hub_builder().route(SITE, net("10.5.0.0/16"), NextHop::Group(GroupId(1))).build().map(drop);
    assert_eq!(missing, Err(BuildError::NoGroup(GroupId(1))));
}
