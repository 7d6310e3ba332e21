//! Packets of known flows: whatever changes (routes, selectors, SAs, neighbours) takes effect with the very next packet, and packets of one
//! flow keep their order however they are handled.

use std::sync::Arc;

use crate::lab::{
    self, Gateway, HOST, LAN, OURS, Options, PEER, SITE, Site, TUNNEL, WAN, across, frame, inbound, ip,
    outbound, outbound_to, packet, pair, raw_spi,
};

use crossgate_dataplane::counter::Counter::{self, *};
use crossgate_dataplane::forwarding::{
    DontFragment, Forwarding, Interface, InterfaceId, MssClamp, NextHop, PortIndex, Tunnel, VrfId,
};
use crossgate_dataplane::header::Protocol;
use crossgate_dataplane::header::ethernet::Mac;
use crossgate_dataplane::message::{Command, NeighbourEntry, Replaced};
use crossgate_dataplane::nat::Nat;
use crossgate_dataplane::selector::{Selectors, TrafficSelector};

const BOTH: [bool; 2] = [false, true];

/// A packet of site 1's host through site 1's gateway, twice, so that its flow is known; returns the second ESP frame.
fn known(one: &mut Gateway, v6: bool) -> Vec<u8> {
    for _ in 0..2 {
        one.arrive(LAN, &frame(OURS[LAN], HOST, &across(Site(1), v6, 64, 7, 100)));
        one.run();
    }
    one.moved();
    one.sent(WAN).pop().expect("sent")
}

/// One more packet of that flow: what left, and what moved.
fn again(one: &mut Gateway, v6: bool) -> (Vec<Vec<u8>>, Vec<(Counter, u64)>) {
    one.arrive(LAN, &frame(OURS[LAN], HOST, &across(Site(1), v6, 64, 7, 100)));
    one.run();
    (one.sent(WAN), one.moved())
}

/// Site 1's snapshot with another remote selector, and perhaps without the route into the tunnel.
fn changed(remote: &str, is_routed: bool) -> Arc<Forwarding> {
    let net = |text: &str| text.parse::<ipnet::IpNet>().expect("a prefix");
    let interface = |port: u16, vrf, addresses: [&str; 2]| Interface {
        port: PortIndex(port),
        vlan: None,
        vrf,
        mac: OURS[usize::from(port)],
        mtu_bytes: 1500,
        addresses: addresses.map(net).to_vec(),
    };
    let any = |prefixes: [&str; 2]| prefixes.map(|text| TrafficSelector::of_prefix(net(text))).to_vec();
    let mut builder = Forwarding::builder();
    builder
        .interface(InterfaceId(0), interface(0, VrfId::UNDERLAY, ["192.0.2.1/24", "2001:db8::1/64"]))
        .interface(InterfaceId(1), interface(1, SITE, ["10.1.0.1/24", "fd00:1::1/64"]));
    let tunnel = Tunnel {
        vrf: SITE,
        selectors: Selectors { local: any(["10.1.0.0/16", "fd00:1::/32"]), remote: any([remote, remote]) },
        alternative: None,
        mss_clamp: MssClamp::Auto,
        dont_fragment: DontFragment::Copy,
        nat: Nat::default(),
    };
    builder.tunnel(TUNNEL, tunnel);
    if is_routed {
        builder.route(SITE, net("10.2.0.0/16"), NextHop::Tunnel(TUNNEL));
        builder.route(SITE, net("fd00:2::/32"), NextHop::Tunnel(TUNNEL));
    }
    Arc::new(builder.build().expect("consistent"))
}

#[test]
fn removed_sa_stops_a_known_flow_at_once() {
    for v6 in BOTH {
        let [mut one, two] = pair(&Options::default());
        known(&mut one, v6);
        let spi = lab::spi(Site(2), 0);
        let removed = one.command(0, Command::RemoveOutbound { tunnel: TUNNEL, spi });
        assert!(matches!(removed, Replaced::Outbound(_)));
        let (sent, moved) = again(&mut one, v6);
        assert!(sent.is_empty() && moved.contains(&(TunnelDown, 1)), "{moved:?}");
        one.finish();
        two.finish();
    }
}

#[test]
fn new_sa_seals_the_next_packet_of_a_known_flow() {
    let [mut one, two] = pair(&Options::default());
    known(&mut one, false);
    let next = outbound_to(Site(1), &Options::default(), raw_spi(9));
    one.command(0, Command::InstallOutbound(Arc::new(next)));
    let (sent, _) = again(&mut one, false);
    assert_eq!(sent[0][34..38], raw_spi(9).get().to_be_bytes());
    // And one over the other family of addresses, so by another way out.
    let next = outbound(Site(1), &Options { outer_v6: true, ..Options::default() }, 0);
    one.command(0, Command::InstallOutbound(Arc::new(next)));
    let (sent, _) = again(&mut one, false);
    assert_eq!(sent[0][12..14], [0x86, 0xdd]);
    one.finish();
    two.finish();
}

#[test]
fn changed_selector_and_route_reach_a_known_flow_at_once() {
    for (forwarding, reason) in
        [(changed("10.99.0.0/16", true), SelectorOutbound), (changed("10.2.0.0/16", false), NoRoute)]
    {
        let [mut one, two] = pair(&Options::default());
        known(&mut one, false);
        one.command(0, Command::SetForwarding(forwarding));
        let (sent, moved) = again(&mut one, false);
        assert!(sent.is_empty() && moved.contains(&(reason, 1)), "{moved:?}");
        one.command(0, Command::SetForwarding(changed("10.2.0.0/16", true)));
        assert_eq!(again(&mut one, false).0.len(), 1);
        one.finish();
        two.finish();
    }
}

#[test]
fn known_flow_out_of_a_tunnel_is_checked_by_the_new_selectors() {
    let [mut one, mut two] = pair(&Options::default());
    let mut come = |one: &mut Gateway| {
        two.arrive(LAN, &frame(OURS[LAN], HOST, &across(Site(2), false, 64, 7, 100)));
        two.run();
        let mut esp = two.sent(WAN).pop().expect("sealed");
        esp[..6].copy_from_slice(&OURS[WAN].0);
        one.arrive(WAN, &esp);
        one.run();
        (one.sent(LAN).len(), one.moved())
    };
    for _ in 0..2 {
        assert_eq!(come(&mut one).0, 1);
    }
    one.command(0, Command::SetForwarding(changed("10.99.0.0/16", true)));
    let (sent, moved) = come(&mut one);
    assert!(sent == 0 && moved.contains(&(EspSelectorMismatch, 1)), "{moved:?}");
    one.finish();
    two.finish();
}

#[test]
fn neighbour_that_moves_is_followed_by_known_flows_both_ways() {
    const MOVED: Mac = Mac([2, 0, 0, 0, 9, 9]);
    for v6 in BOTH {
        let [mut one, mut two] = pair(&Options::default());
        let esp = known(&mut one, v6);
        let addresses = [Site(2).public(false), Site(1).host(v6)];
        for (interface, address) in [InterfaceId(0), InterfaceId(1)].into_iter().zip(addresses) {
            let neighbour = NeighbourEntry { interface, address, mac: MOVED };
            one.command(0, Command::LearnNeighbour(neighbour));
        }
        assert_eq!(esp[..6], PEER.0);
        let (sent, _) = again(&mut one, v6);
        assert_eq!(sent[0][..6], MOVED.0);
        two.arrive(LAN, &frame(OURS[LAN], HOST, &across(Site(2), v6, 64, 7, 100)));
        two.run();
        let mut esp = two.sent(WAN).pop().expect("sealed");
        esp[..6].copy_from_slice(&OURS[WAN].0);
        one.arrive(WAN, &esp);
        one.run();
        assert_eq!(one.sent(LAN)[0][..6], MOVED.0);
        one.finish();
        two.finish();
    }
}

#[test]
fn path_mtu_that_shrinks_is_heeded_by_the_next_packet_of_a_known_flow() {
    let mut one = Gateway::new(Site(1), 1);
    let sa = Arc::new(outbound(Site(1), &Options::default(), 0));
    one.command(0, Command::InstallOutbound(Arc::clone(&sa)));
    one.command(0, Command::InstallInbound(Box::new(inbound(Site(1), &Options::default(), 0))));
    let big = across(Site(1), false, 64, 7, 1300);
    for _ in 0..2 {
        one.arrive(LAN, &frame(OURS[LAN], HOST, &big));
        one.run();
    }
    assert_eq!(one.sent(WAN).len(), 2);
    one.moved();
    sa.set_path_mtu_bytes(1200);
    one.arrive(LAN, &frame(OURS[LAN], HOST, &big));
    one.run();
    assert!(one.sent(WAN).is_empty());
    assert!(one.moved().contains(&(TooBig, 1)));
    assert_eq!(one.sent(LAN).len(), 1, "the sender is told");
    one.finish();
}

#[test]
fn hops_that_run_out_on_a_known_flow_are_reported() {
    for v6 in BOTH {
        let [mut one, two] = pair(&Options::default());
        known(&mut one, v6);
        one.arrive(LAN, &frame(OURS[LAN], HOST, &across(Site(1), v6, 1, 7, 100)));
        one.run();
        let reason = if v6 { Ipv6HopLimitExpired } else { Ipv4TtlExpired };
        assert!(one.moved().contains(&(reason, 1)));
        assert!(one.sent(WAN).is_empty());
        one.finish();
        two.finish();
    }
}

/// TCP handshakes take the general stages, what stands between them the shortcut.
#[test]
fn packets_of_one_flow_leave_in_the_order_in_which_they_came() {
    let [mut one, mut two] = pair(&Options::default());
    known(&mut one, false);
    for number in 0..40_u8 {
        let mut tcp = [0; 24];
        tcp[4] = number;
        tcp[12] = 0x60;
        tcp[13] = if number % 3 == 0 { 2 } else { 16 };
        tcp[20..].copy_from_slice(&[2, 4, 5, 0xb4]);
        let clear = packet(ip("10.1.0.99"), ip("10.2.0.99"), Protocol::TCP, 64, &tcp);
        one.arrive(LAN, &frame(OURS[LAN], HOST, &clear));
    }
    one.run();
    for mut esp in one.sent(WAN) {
        esp[..6].copy_from_slice(&OURS[WAN].0);
        two.arrive(WAN, &esp);
    }
    two.run();
    let numbers: Vec<u8> = two.sent(LAN).iter().map(|packet| packet[14 + 20 + 4]).collect();
    assert_eq!(numbers, (0..40).collect::<Vec<_>>());
    one.finish();
    two.finish();
}
