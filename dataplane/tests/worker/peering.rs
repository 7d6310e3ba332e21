//! Networks that are peered: routed to each other without a tunnel, through each other's tunnels where that is allowed, and never mixed otherwise.

use crate::lab::{
    self, Gateway, HOST, LAN, OURS, Options, PEER, SITE, Site, TUNNEL, WAN, authentic, frame, framed,
    inbound, ip, net, outbound, packet, padded, spi,
};
use crossgate_dataplane::counter::Counter::*;
use crossgate_dataplane::forwarding::{
    Builder, Interface, InterfaceId, NextHop, PortIndex, Reach, Tunnel, TunnelId, VrfId,
};
use crossgate_dataplane::header::Protocol;
use crossgate_dataplane::header::ethernet::{EtherType, Mac};
use crossgate_dataplane::header::vlan::VlanId;
use crossgate_dataplane::message::{Command, NeighbourEntry};
use crossgate_dataplane::sa::Esn;
use crossgate_dataplane::selector::{Selectors, TrafficSelector};

const SPOKE: VrfId = VrfId(2);
const BRANCH: VrfId = VrfId(3);
const SPOKE_HOST: &str = "10.3.0.99";
const VLAN: u16 = 20;

/// A network of the second one's kind: an interface on a VLAN, with this address.
fn on_vlan(vlan: u16, vrf: VrfId, address: &str) -> Interface {
    let (port, vlan, mac) = (PortIndex(1), VlanId::new(vlan), OURS[LAN]);
    Interface { port, vlan, vrf, mac, mtu_bytes: 1500, addresses: vec![net(address)] }
}

/// Site 1's gateway, whose tunnel is any-to-any, with a second network on a VLAN: peered with the first one, if `reach` says how far.
fn gateway(reach: Option<Reach>) -> Gateway {
    started(&builder(reach))
}

fn builder(reach: Option<Reach>) -> Builder {
    let any = vec![TrafficSelector::of_prefix(net("0.0.0.0/0"))];
    let selectors = Selectors { local: any.clone(), remote: any };
    let mut builder = lab::builder(Site(1));
    builder.tunnel(TUNNEL, Tunnel { selectors, ..lab::tunnel(Site(1)) });
    builder.interface(InterfaceId(2), on_vlan(VLAN, SPOKE, "10.3.0.1/24"));
    if let Some(reach) = reach {
        builder.peer(SPOKE, SITE, &[net("10.1.0.0/16")], reach);
        builder.peer(SITE, SPOKE, &[net("10.3.0.0/16")], Reach::Network);
    }
    builder
}

fn started(builder: &Builder) -> Gateway {
    let mut one = Gateway::with(Site(1), 1, builder.build().expect("consistent"));
    let (interface, address, mac) = (InterfaceId(2), ip(SPOKE_HOST), HOST);
    one.command(0, Command::LearnNeighbour(NeighbourEntry { interface, address, mac }));
    let options = Options { esn: Esn::Off, ..Options::default() };
    one.install(outbound(Site(1), &options, 0), inbound(Site(1), &options, 0));
    one.moved();
    one
}

fn between(source: &str, destination: &str, hops: u8) -> Vec<u8> {
    packet(ip(source), ip(destination), Protocol(253), hops, &[7; 64])
}

/// The frame of a packet on the second network's VLAN.
fn tagged(to: Mac, from: Mac, packet: &[u8]) -> Vec<u8> {
    let tag = [VLAN.to_be_bytes(), [8, 0]].concat();
    framed(to, from, EtherType::VLAN, &[&tag, packet].concat())
}

#[test]
fn peered_networks_reach_each_other_in_clear_and_others_do_not() {
    let there = frame(OURS[LAN], HOST, &between("10.1.0.99", SPOKE_HOST, 64));
    let back = tagged(OURS[LAN], HOST, &between(SPOKE_HOST, "10.1.0.99", 64));
    for reach in [Reach::Network, Reach::Gateways] {
        let mut one = gateway(Some(reach));
        let expected = tagged(HOST, OURS[LAN], &between("10.1.0.99", SPOKE_HOST, 63));
        assert_eq!(one.pass(LAN, &there), [vec![], vec![expected; 2]]);
        let expected = frame(HOST, OURS[LAN], &between(SPOKE_HOST, "10.1.0.99", 63));
        assert_eq!(one.pass(LAN, &back), [vec![], vec![expected; 2]]);
        assert_eq!(one.drops(), []);
        one.finish();
    }
    let mut one = gateway(None);
    for frame in [&there, &back] {
        one.pass(LAN, frame);
        assert_eq!(one.drops(), [(NoRoute, 2)]);
    }
    one.finish();
}

#[test]
fn network_uses_the_tunnels_of_another_where_the_peering_says_so() {
    let out = tagged(OURS[LAN], HOST, &between(SPOKE_HOST, "10.2.0.99", 64));
    let inner = padded(&between("10.2.0.99", SPOKE_HOST, 64));
    let mut one = gateway(Some(Reach::Gateways));
    let [sealed, _] = one.pass(LAN, &out);
    assert_eq!((sealed.len(), one.drops()), (2, vec![]));
    for sequence in 1..=2 {
        one.arrive(WAN, &authentic(Site(1), spi(Site(1), 0), Esn::Off, sequence, &inner));
    }
    one.run();
    let expected = tagged(HOST, OURS[LAN], &between("10.2.0.99", SPOKE_HOST, 63));
    assert_eq!(one.sent(LAN), vec![expected; 2]);
    assert_eq!(one.drops(), []);
    one.finish();

    for reach in [Some(Reach::Network), None] {
        let mut one = gateway(reach);
        let [sealed, _] = one.pass(LAN, &out);
        assert_eq!((sealed.len(), one.drops()), (0, vec![(NoRoute, 2)]), "{reach:?}");
        one.finish();
    }
}

#[test]
fn host_that_takes_an_address_of_a_peered_network_is_dropped() {
    let mut one = gateway(Some(Reach::Gateways));
    let spoofs = [
        frame(OURS[LAN], HOST, &between(SPOKE_HOST, "10.2.0.99", 64)),
        frame(OURS[LAN], PEER, &between("10.3.0.1", "10.2.0.99", 64)),
        tagged(OURS[LAN], HOST, &between("10.1.0.99", "10.2.0.99", 64)),
    ];
    for spoof in spoofs {
        assert_eq!(one.pass(LAN, &spoof), [vec![], vec![]] as [Vec<Vec<u8>>; 2]);
        assert_eq!(one.drops(), [(PeeringWrongSource, 2)]);
    }
    let spoof = tagged(OURS[LAN], HOST, &between("10.2.0.99", "10.1.0.99", 64));
    one.pass(LAN, &spoof);
    assert_eq!(one.drops(), [(ClearText, 2)]);
    one.finish();
}

/// A third network, peered with the first one only; and prefixes of the second one that its peering does not tell, on its link and behind a router.
fn three_networks(reach: Reach) -> Gateway {
    let mut builder = builder(Some(reach));
    builder.interface(InterfaceId(3), on_vlan(VLAN + 1, BRANCH, "10.4.0.1/24"));
    builder.peer(BRANCH, SITE, &[net("10.1.0.0/16")], reach);
    builder.peer(SITE, BRANCH, &[net("10.4.0.0/16")], Reach::Network);
    builder.route(SPOKE, net("10.78.0.0/24"), NextHop::Connected(InterfaceId(2)));
    builder.route(SPOKE, net("10.79.0.0/24"), NextHop::Via(InterfaceId(2), ip(SPOKE_HOST)));
    started(&builder)
}

#[test]
fn host_that_takes_an_address_that_only_the_destinations_network_knows_is_dropped() {
    for reach in [Reach::Network, Reach::Gateways] {
        let mut one = three_networks(reach);
        let expected = [
            ("10.2.0.99", ClearText),          // behind the first network's tunnel
            ("10.4.0.99", PeeringWrongSource), // of the third network
            ("10.1.0.99", PeeringWrongSource),
        ];
        for (source, reason) in expected {
            let spoof = tagged(OURS[LAN], HOST, &between(source, "10.1.0.99", 64));
            assert_eq!(one.pass(LAN, &spoof), [vec![], vec![]] as [Vec<Vec<u8>>; 2]);
            assert_eq!(one.drops(), [(reason, 2)], "{source}, {reach:?}");
            // To our own address there, which would answer.
            let ping = [8, 0, 0xf7, 0xff, 0, 0, 0, 0];
            let ping = packet(ip(source), ip("10.1.0.1"), Protocol::ICMP, 64, &ping);
            let spoof = tagged(OURS[LAN], HOST, &ping);
            assert_eq!(one.pass(LAN, &spoof), [vec![], vec![]] as [Vec<Vec<u8>>; 2]);
            assert_eq!(one.drops(), [(reason, 2)], "{source}, {reach:?}");
        }
        one.finish();
    }
}

#[test]
fn tunnel_speaks_for_no_host_of_a_network_that_its_own_is_peered_with() {
    for reach in [Reach::Network, Reach::Gateways] {
        let mut one = three_networks(reach);
        let mut sequence = 0;
        let mut arrive = |one: &mut Gateway, source: &str| {
            sequence += 1;
            let error = packet(ip(source), ip(SPOKE_HOST), Protocol::ICMP, 64, &[3; 36]);
            let error = authentic(Site(1), spi(Site(1), 0), Esn::Off, sequence, &padded(&error));
            one.arrive(WAN, &error);
            one.run();
            (one.sent(LAN).len(), one.drops())
        };
        // A router on the peer's side that nobody routes may have any address, but that of a host.
        assert_eq!(arrive(&mut one, "10.99.0.1"), (1, vec![]));
        assert_eq!(arrive(&mut one, "10.79.0.1"), (1, vec![]));
        assert_eq!(arrive(&mut one, "10.78.0.1"), (0, vec![(PeeringWrongSource, 1)]));
        assert_eq!(arrive(&mut one, "10.3.0.98"), (0, vec![(EspWrongSource, 1)]));
        one.finish();
    }
}

/// The same two networks, not peered, with a tunnel between them whose both ends are here: tunnel 3 of the first, tunnel 4 of the second.
fn tunnel_to_ourselves(workers: u16) -> Gateway {
    let far = TunnelId(4);
    let mut builder = lab::builder(Site(1));
    let wan = Interface {
        port: PortIndex(0),
        vlan: None,
        vrf: VrfId::UNDERLAY,
        mac: OURS[WAN],
        mtu_bytes: 1500,
        addresses: vec![net("192.0.2.1/24"), net("192.0.2.2/24")],
    };
    let lan = on_vlan(VLAN, SPOKE, "10.2.0.1/24");
    builder.interface(InterfaceId(0), wan).interface(InterfaceId(2), lan);
    builder.tunnel(far, Tunnel { vrf: SPOKE, ..lab::tunnel(Site(2)) });
    builder.route(SPOKE, net("10.1.0.0/16"), NextHop::Tunnel(far));
    let mut one = Gateway::with(Site(1), workers, builder.build().expect("consistent"));
    let (interface, address, mac) = (InterfaceId(2), ip("10.2.0.99"), HOST);
    for worker in 0..usize::from(workers) {
        one.command(worker, Command::LearnNeighbour(NeighbourEntry { interface, address, mac }));
    }
    let options = Options { esn: Esn::Off, ..Options::default() };
    one.install(outbound(Site(1), &options, 0), inbound(Site(1), &options, 0));
    let options = Options { tunnel: far, ..options };
    one.install(outbound(Site(2), &options, 0), inbound(Site(2), &options, 0));
    one.moved();
    one
}

#[test]
fn tunnel_between_two_networks_of_one_gateway_is_sealed_and_opened_here_by_any_worker() {
    for workers in [1, 2] {
        let mut one = tunnel_to_ourselves(workers);
        let there = frame(OURS[LAN], HOST, &between("10.1.0.99", "10.2.0.99", 64));
        let expected = tagged(HOST, OURS[LAN], &between("10.1.0.99", "10.2.0.99", 62));
        assert_eq!(one.pass(LAN, &there), [vec![], vec![expected; 2]]);
        let mut moved = one.moved();
        moved.sort_unstable();
        let mut expected = [RxPackets, TxPackets, EspSealed, HandoverSent, HandoverReceived, EspOpened];
        expected.sort_unstable();
        assert_eq!(moved, expected.map(|counter| (counter, 2)));
        let back = tagged(OURS[LAN], HOST, &between("10.2.0.99", "10.1.0.99", 64));
        let expected = frame(HOST, OURS[LAN], &between("10.2.0.99", "10.1.0.99", 62));
        assert_eq!(one.pass(LAN, &back), [vec![], vec![expected.clone(); 2]]);
        // More than a list between two stages holds, from all workers at once: nothing of it is lost.
        for queue in 0..usize::from(workers) {
            for _ in 0..150 {
                one.arrive_at(LAN, queue, &back);
            }
        }
        one.run();
        let all = vec![expected; 150 * usize::from(workers)];
        assert_eq!((one.sent(LAN), one.drops()), (all, vec![]), "{workers} workers");
        one.finish();
    }
}
