//! Private circuits: packets of a network leave there in clear, to what is behind the circuit alone; beside a tunnel to the same prefixes the circuit comes first while it is
//! up; and nothing goes from a tunnel to a circuit or back.

use std::num::NonZeroU64;
use std::sync::Arc;

use crate::lab::{
    self, Gateway, HOST, LAN, OURS, Options, PEER, SITE, Setup, Site, TUNNEL, WAN, authentic, frame, framed,
    inbound, ip, net, outbound, packet, padded, spi, udp,
};
use crossgate_dataplane::circuit::Circuit;
use crossgate_dataplane::counter::Counter::*;
use crossgate_dataplane::forwarding::{Builder, Interface, InterfaceId, PortIndex, Reach, Tunnel, VrfId};
use crossgate_dataplane::header::Protocol;
use crossgate_dataplane::header::ethernet::{EtherType, Mac};
use crossgate_dataplane::header::vlan::VlanId;
use crossgate_dataplane::message::{Command, Event, NeighbourEntry};
use crossgate_dataplane::meter::{Meter, Share};
use crossgate_dataplane::sa::{Direction, Esn};
use crossgate_dataplane::selector::{Selectors, TrafficSelector};
use dpdk_sys::HEADROOM_BYTES;

const CIRCUIT: InterfaceId = InterfaceId(2);
const EDGE: Mac = Mac([2, 0, 0, 0, 9, 9]);
const VLAN: u16 = 100;
const SPOKE: VrfId = VrfId(2);

/// Prefixes behind the circuit: that of the tunnel's site, and one that no tunnel leads to.
const BEHIND: [&str; 2] = ["10.2.0.0/16", "10.7.0.0/16"];

/// Site 1's gateway, whose tunnel is any-to-any, with a circuit on VLAN 100 of its first port.
fn builder(is_up: bool, circuit: &Circuit) -> Builder {
    behind(&BEHIND, is_up, circuit)
}

/// The same with these prefixes behind the circuit.
fn behind(prefixes: &[&str], is_up: bool, circuit: &Circuit) -> Builder {
    let any = vec![TrafficSelector::of_prefix(net("0.0.0.0/0"))];
    let selectors = Selectors { local: any.clone(), remote: any };
    let mut builder = lab::builder(Site(1));
    builder.tunnel(TUNNEL, Tunnel { selectors, ..lab::tunnel(Site(1)) });
    let (port, vlan, mac) = (PortIndex(0), VlanId::new(VLAN), OURS[WAN]);
    let addresses = vec![net("172.31.0.1/30")];
    builder.interface(CIRCUIT, Interface { port, vlan, vrf: SITE, mac, mtu_bytes: 1500, addresses });
    builder.circuit(CIRCUIT, circuit.clone());
    for prefix in prefixes {
        builder.circuit_route(SITE, net(prefix), CIRCUIT, is_up.then(|| ip("172.31.0.2")));
    }
    builder
}

fn started(builder: &Builder) -> Gateway {
    let mut one = Gateway::with(Site(1), 1, builder.build().expect("consistent"));
    let options = Options { esn: Esn::Off, ..Options::default() };
    one.install(outbound(Site(1), &options, 0), inbound(Site(1), &options, 0));
    know_edge(&mut one);
    one.moved();
    one
}

fn know_edge(one: &mut Gateway) {
    let (interface, address, mac) = (CIRCUIT, ip("172.31.0.2"), EDGE);
    one.command(0, Command::LearnNeighbour(NeighbourEntry { interface, address, mac }));
}

fn between(source: &str, destination: &str, hops: u8) -> Vec<u8> {
    packet(ip(source), ip(destination), Protocol(253), hops, &[7; 64])
}

/// The frame of a packet on the circuit.
fn tagged(to: Mac, from: Mac, packet: &[u8]) -> Vec<u8> {
    let tag = [VLAN.to_be_bytes(), [8, 0]].concat();
    framed(to, from, EtherType::VLAN, &[&tag, packet].concat())
}

/// An authentic packet of the peer, out of the tunnel.
fn sealed(sequence: u64, source: &str, destination: &str) -> Vec<u8> {
    authentic(Site(1), spi(Site(1), 0), Esn::Off, sequence, &padded(&between(source, destination, 64)))
}

#[test]
fn circuit_carries_both_ways_in_clear_and_counts_what_it_carries() {
    let circuit = Circuit::default();
    let mut one = started(&builder(true, &circuit));
    for far in ["10.2.0.99", "10.7.0.99"] {
        let there = frame(OURS[LAN], HOST, &between("10.1.0.99", far, 64));
        let expected = tagged(EDGE, OURS[WAN], &between("10.1.0.99", far, 63));
        assert_eq!(one.pass(LAN, &there), [vec![expected; 2], vec![]]);
        let back = tagged(OURS[WAN], EDGE, &between(far, "10.1.0.99", 64));
        let expected = frame(HOST, OURS[LAN], &between(far, "10.1.0.99", 63));
        assert_eq!(one.pass(WAN, &back), [vec![], vec![expected; 2]]);
    }
    assert_eq!(one.drops(), []);
    for direction in [Direction::Inbound, Direction::Outbound] {
        assert_eq!(circuit.traffic.read(direction), (4, 4 * 84), "{direction:?}");
    }
    one.finish();
}

#[test]
fn packet_whose_buffer_has_no_room_for_the_tag_is_counted_once() {
    let circuit = Circuit::default();
    let mut one = started(&builder(true, &circuit));
    let there = frame(OURS[LAN], HOST, &between("10.1.0.99", "10.7.0.99", 64));
    assert_eq!(one.pass(LAN, &there)[0].len(), 2);
    let mut tight = one.pool.take().expect("a packet");
    let all = tight.reframe(-i32::from(HEADROOM_BYTES), u16::try_from(there.len()).expect("short"));
    all.expect("it fits").copy_from_slice(&there);
    one.wires[LAN][0].push(tight).ok().expect("room");
    one.run();
    assert_eq!(one.drops(), [(EspNoRoom, 1)]);
    assert_eq!(circuit.traffic.read(Direction::Outbound), (3, 3 * 84));
    one.finish();
}

#[test]
fn tunnel_takes_over_from_a_circuit_that_is_down_and_gives_back() {
    let circuit = Circuit::default();
    let mut one = started(&builder(true, &circuit));
    let there = frame(OURS[LAN], HOST, &between("10.1.0.99", "10.2.0.99", 64));
    let alone = frame(OURS[LAN], HOST, &between("10.1.0.99", "10.7.0.99", 64));
    let clear = tagged(EDGE, OURS[WAN], &between("10.1.0.99", "10.2.0.99", 63));
    assert_eq!(one.pass(LAN, &there), [vec![clear.clone(); 2], vec![]]);
    one.moved();
    one.command(0, Command::SetForwarding(Arc::new(builder(false, &circuit).build().expect("consistent"))));
    let [out, _] = one.pass(LAN, &there);
    assert!(out.len() == 2 && out.iter().all(|frame| *frame != clear), "sealed");
    let moved = one.moved();
    assert!(moved.contains(&(EspSealed, 2)), "{moved:?}");
    // No tunnel leads to the other prefix: it is dropped, and the sender told, whatever other routes there are.
    assert_eq!(one.pass(LAN, &alone)[0], Vec::<Vec<u8>>::new());
    assert_eq!(one.drops(), [(CircuitDown, 2)]);
    // The site may be later to notice: what comes from the circuit is taken.
    let back = tagged(OURS[WAN], EDGE, &between("10.2.0.99", "10.1.0.99", 64));
    assert_eq!(one.pass(WAN, &back)[1].len(), 2);
    one.command(0, Command::SetForwarding(Arc::new(builder(true, &circuit).build().expect("consistent"))));
    assert_eq!(one.pass(LAN, &there), [vec![clear; 2], vec![]]);
    // As is what still comes out of the tunnel.
    one.arrive(WAN, &sealed(1, "10.2.0.99", "10.1.0.99"));
    one.run();
    assert_eq!((one.sent(LAN).len(), one.drops()), (1, vec![]));
    one.finish();
}

#[test]
fn what_waits_for_a_circuits_router_does_not_leave_in_clear_once_its_prefix_is_a_tunnels() {
    let circuit = Circuit::default();
    let mut one = Gateway::with(Site(1), 1, builder(true, &circuit).build().expect("consistent"));
    let options = Options { esn: Esn::Off, ..Options::default() };
    one.install(outbound(Site(1), &options, 0), inbound(Site(1), &options, 0));
    // Nobody knows the router yet; a neighbour in the network is asked for, too.
    for far in ["10.2.0.99", "10.7.0.99", "10.2.0.98", "10.1.0.50"] {
        one.arrive(LAN, &frame(OURS[LAN], HOST, &between("10.1.0.99", far, 64)));
    }
    one.run();
    assert_eq!((one.workers[0].waiting_packets(), one.drops()), (4, vec![]));
    assert_eq!([WAN, LAN].map(|port| one.sent(port).len()), [1, 1], "questions");
    let changed = behind(&BEHIND[1..], true, &circuit).build().expect("consistent");
    one.command(0, Command::SetForwarding(Arc::new(changed)));
    one.run();
    assert_eq!((one.workers[0].waiting_packets(), one.drops()), (2, vec![(NeighbourRouteChanged, 2)]));
    know_edge(&mut one);
    let clear = tagged(EDGE, OURS[WAN], &between("10.1.0.99", "10.7.0.99", 63));
    one.run();
    assert_eq!(one.sent(WAN), [clear], "what still belongs to the circuit");
    one.finish();
}

#[test]
fn prefix_of_a_tunnel_alone_never_leaves_over_a_circuit() {
    for is_up in [true, false] {
        let mut builder = lab::builder(Site(1));
        let (port, vlan, mac) = (PortIndex(0), VlanId::new(VLAN), OURS[WAN]);
        let addresses = vec![net("172.31.0.1/30")];
        builder.interface(CIRCUIT, Interface { port, vlan, vrf: SITE, mac, mtu_bytes: 1500, addresses });
        builder.circuit(CIRCUIT, Circuit::default());
        // A longer prefix wins, whichever it is of: 10.2.0.0/16 is the tunnel's, all of 10 the circuit's, and 10.2.7.0/24 too.
        for prefix in ["10.0.0.0/8", "10.2.7.0/24"] {
            builder.circuit_route(SITE, net(prefix), CIRCUIT, is_up.then(|| ip("172.31.0.2")));
        }
        let mut one = Gateway::with(Site(1), 1, builder.build().expect("consistent"));
        know_edge(&mut one);
        one.moved();
        // The tunnel has no SA.
        let there = frame(OURS[LAN], HOST, &between("10.1.0.99", "10.2.0.99", 64));
        assert_eq!(one.pass(LAN, &there)[0], Vec::<Vec<u8>>::new());
        assert_eq!(one.drops(), [(TunnelDown, 2)]);
        // Nor may the circuit speak for it.
        let back = tagged(OURS[WAN], EDGE, &between("10.2.0.99", "10.1.0.99", 64));
        assert_eq!(one.pass(WAN, &back), [vec![], vec![]] as [Vec<Vec<u8>>; 2]);
        assert_eq!(one.drops(), [(ClearText, 2)]);
        let there = frame(OURS[LAN], HOST, &between("10.1.0.99", "10.2.7.99", 64));
        assert_eq!(one.pass(LAN, &there)[0].len(), if is_up { 2 } else { 0 });
        assert_eq!(one.drops(), if is_up { vec![] } else { vec![(TunnelDown, 2)] });
        one.finish();
    }
}

#[test]
fn nothing_passes_from_a_tunnel_to_a_circuit_or_back() {
    for is_up in [true, false] {
        let mut one = started(&builder(is_up, &Circuit::default()));
        one.arrive(WAN, &sealed(1, "10.2.0.99", "10.7.0.99"));
        one.arrive(WAN, &sealed(2, "10.2.0.99", "10.7.0.99"));
        one.run();
        assert_eq!(one.sent(WAN), Vec::<Vec<u8>>::new());
        assert_eq!(one.drops(), [(CircuitTransit, 2)]);
        for destination in ["10.2.0.99", "10.7.0.98"] {
            let through = tagged(OURS[WAN], EDGE, &between("10.7.0.99", destination, 64));
            assert_eq!(one.pass(WAN, &through)[0], Vec::<Vec<u8>>::new());
            assert_eq!(one.drops(), [(CircuitTransit, 2)]);
        }
        one.finish();
    }
}

#[test]
fn whoever_pretends_to_be_somewhere_else_is_dropped() {
    for is_up in [true, false] {
        let mut one = started(&builder(is_up, &Circuit::default()));
        // From the circuit: a host of the network, somebody whom nobody knows.
        for source in ["10.1.0.98", "10.99.0.1"] {
            let spoof = tagged(OURS[WAN], EDGE, &between(source, "10.1.0.99", 64));
            assert_eq!(one.pass(WAN, &spoof), [vec![], vec![]] as [Vec<Vec<u8>>; 2]);
            assert_eq!(one.drops(), [(CircuitWrongSource, 2)], "{source}");
        }
        // In the network: a host behind the circuit.
        let spoof = frame(OURS[LAN], HOST, &between("10.7.0.99", "10.1.0.98", 64));
        assert_eq!(one.pass(LAN, &spoof), [vec![], vec![]] as [Vec<Vec<u8>>; 2]);
        assert_eq!(one.drops(), [(CircuitWrongSource, 2)]);
        let spoof = frame(OURS[LAN], HOST, &between("10.2.0.99", "10.1.0.98", 64));
        one.pass(LAN, &spoof);
        let reason = if is_up { CircuitWrongSource } else { ClearText };
        assert_eq!(one.drops(), [(reason, 2)]);
        // A router beyond the circuit tells of an error, under an address that nobody routes.
        let quoted = between("10.1.0.99", "10.7.0.99", 60);
        let error = [&[3, 4, 0, 0, 0, 0, 5, 0][..], &quoted[..28]].concat();
        let mut error = error;
        let sum = error.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum::<u32>();
        let sum = !u16::try_from((sum & 0xffff) + (sum >> 16)).expect("folded");
        error[2..4].copy_from_slice(&sum.to_be_bytes());
        let error = packet(ip("198.18.0.1"), ip("10.1.0.99"), Protocol::ICMP, 64, &error);
        assert_eq!(one.pass(WAN, &tagged(OURS[WAN], EDGE, &error))[1].len(), 2);
        assert_eq!(one.drops(), []);
        one.finish();
    }
}

#[test]
fn peered_network_uses_the_circuit_where_the_peering_says_so() {
    for (reach, is_up) in [(Reach::Gateways, true), (Reach::Gateways, false), (Reach::Network, true)] {
        let mut builder = builder(is_up, &Circuit::default());
        let (port, vlan, mac) = (PortIndex(1), VlanId::new(VLAN), OURS[LAN]);
        let addresses = vec![net("10.3.0.1/24")];
        let spoke = Interface { port, vlan, vrf: SPOKE, mac, mtu_bytes: 1500, addresses };
        builder.interface(InterfaceId(4), spoke);
        builder.peer(SPOKE, SITE, &[net("10.1.0.0/16")], reach);
        builder.peer(SITE, SPOKE, &[net("10.3.0.0/16")], Reach::Network);
        let mut one = started(&builder);
        let (interface, address, mac) = (InterfaceId(4), ip("10.3.0.99"), PEER);
        one.command(0, Command::LearnNeighbour(NeighbourEntry { interface, address, mac }));
        let there = tagged(OURS[LAN], PEER, &between("10.3.0.99", "10.7.0.99", 64));
        let out = one.pass(LAN, &there)[0].len();
        let expected = match (reach, is_up) {
            (Reach::Network, _) => (0, vec![(NoRoute, 2)]),
            (Reach::Gateways, true) => (2, vec![]),
            (Reach::Gateways, false) => (0, vec![(CircuitDown, 2)]),
        };
        assert_eq!((out, one.drops()), expected, "{reach:?} {is_up}");
        if reach == Reach::Network {
            let back = tagged(OURS[WAN], EDGE, &between("10.7.0.99", "10.3.0.99", 64));
            assert_eq!(one.pass(WAN, &back)[1], Vec::<Vec<u8>>::new());
            assert_eq!(one.drops(), [(CircuitWrongSource, 2)], "no one-way traffic");
        } else {
            for far in ["10.7.0.99", "10.2.0.99"] {
                let back = tagged(OURS[WAN], EDGE, &between(far, "10.3.0.99", 64));
                assert_eq!(one.pass(WAN, &back)[1].len(), 2);
                assert_eq!(one.drops(), [], "{far} {is_up}");
                let spoof = tagged(OURS[LAN], PEER, &between(far, "10.1.0.99", 64));
                assert_eq!(one.pass(LAN, &spoof)[1], Vec::<Vec<u8>>::new());
                let reason = if !is_up && far == "10.2.0.99" { ClearText } else { CircuitWrongSource };
                assert_eq!(one.drops(), [(reason, 2)], "{far} {is_up}");
            }
        }
        one.finish();
    }
}

#[test]
fn packet_that_is_refused_costs_no_bandwidth_and_is_not_counted() {
    let circuit = Circuit::default();
    let mut builder = builder(true, &circuit);
    let (port, vlan, mac) = (PortIndex(0), VlanId::new(VLAN), OURS[WAN]);
    let addresses = vec![net("172.31.0.1/30")];
    builder.interface(CIRCUIT, Interface { port, vlan, vrf: SITE, mac, mtu_bytes: 900, addresses });
    let mut one = started(&builder);
    one.pass(LAN, &frame(OURS[LAN], HOST, &between("10.1.0.99", "10.7.0.99", 1)));
    one.pass(WAN, &tagged(OURS[WAN], EDGE, &between("10.7.0.99", "10.1.0.99", 1)));
    assert_eq!(one.drops(), [(Ipv4TtlExpired, 4)]);
    let large = packet(ip("10.1.0.99"), ip("10.7.0.99"), Protocol(253), 64, &[7; 980]);
    one.pass(LAN, &frame(OURS[LAN], HOST, &large));
    assert_eq!(one.drops(), [(TooBig, 2)]);
    for direction in [Direction::Inbound, Direction::Outbound] {
        // What the senders are told goes out by the circuit, too.
        let told = if direction == Direction::Outbound { 2 } else { 0 };
        assert_eq!(circuit.traffic.read(direction).0, told, "{direction:?}");
    }
    one.finish();
}

#[test]
fn circuits_share_their_gateway_s_bandwidth() {
    // The bucket holds 6000 bytes.
    let meter = Arc::new(Meter::new(NonZeroU64::new(1000).expect("not zero")));
    let circuit = Circuit { share: Some(Arc::new(Share::new(meter))), ..Circuit::default() };
    let mut one = started(&builder(true, &circuit));
    let payload = [7; 980];
    let there =
        frame(OURS[LAN], HOST, &packet(ip("10.1.0.99"), ip("10.7.0.99"), Protocol(253), 64, &payload));
    let back = packet(ip("10.7.0.99"), ip("10.1.0.99"), Protocol(253), 64, &payload);
    for _ in 0..3 {
        one.arrive(LAN, &there);
        one.arrive(WAN, &tagged(OURS[WAN], EDGE, &back));
    }
    one.run();
    assert_eq!((one.sent(WAN).len(), one.sent(LAN).len(), one.drops()), (3, 3, vec![]));
    one.arrive(LAN, &there);
    one.arrive(WAN, &tagged(OURS[WAN], EDGE, &back));
    one.run();
    let mut dropped = one.drops();
    dropped.sort_unstable();
    let mut expected = [(SkuBandwidthOutbound, 1), (SkuBandwidthInbound, 1)];
    expected.sort_unstable();
    assert_eq!(dropped, expected);
    assert_eq!(circuit.traffic.read(Direction::Outbound), (3, 3000));
    one.finish();
}

/// The answer to the only question that was sent on the circuit.
fn answer_of_edge(one: &mut Gateway) -> Vec<u8> {
    let sent = one.sent(WAN);
    let [question] = sent.as_slice() else { panic!("one question: {sent:?}") };
    assert_eq!(question[12..18], [0x81, 0, 0, 100, 8, 6]);
    let mut answer = question[18..46].to_vec();
    answer[7] = 2;
    let (ours, theirs) = (answer[8..18].to_vec(), [&EDGE.0[..], &[172, 31, 0, 2]].concat());
    answer[8..18].copy_from_slice(&theirs);
    answer[18..28].copy_from_slice(&ours);
    let tag = [VLAN.to_be_bytes(), [8, 6]].concat();
    framed(OURS[WAN], EDGE, EtherType::VLAN, &[&tag, &answer[..]].concat())
}

fn hears_of_edge(one: &mut Gateway) -> bool {
    one.events().into_iter().any(|event| {
        matches!(event, Event::NeighbourLearned(known)
            if (known.interface, known.address, known.mac) == (CIRCUIT, ip("172.31.0.2"), EDGE))
    })
}

#[test]
fn neighbour_of_a_circuit_is_asked_for_and_its_answer_told() {
    let mut one = started(&builder(false, &Circuit::default()));
    let (interface, address) = (CIRCUIT, ip("172.31.0.2"));
    one.command(0, Command::Solicit { interface, address });
    one.run();
    let answer = answer_of_edge(&mut one);
    one.arrive(WAN, &answer);
    one.run();
    assert!(hears_of_edge(&mut one));
    one.finish();
}

#[test]
fn answer_of_a_circuit_s_neighbour_is_told_in_a_flood_of_ike() {
    let forwarding = builder(false, &Circuit::default()).build().expect("consistent");
    let mut setup = Setup { forwarding, ..Setup::of(Site(1)) };
    setup.launch.rings.events = 32;
    let mut one = setup.build();
    know_edge(&mut one);
    one.command(0, Command::Solicit { interface: CIRCUIT, address: ip("172.31.0.2") });
    one.run();
    let answer = answer_of_edge(&mut one);
    let (peer, own) = (Site(2).public(false), Site(1).public(false));
    let ike = frame(OURS[WAN], PEER, &packet(peer, own, Protocol::UDP, 64, &udp(peer, own, 500, &[7; 28])));
    for _ in 0..64 {
        one.arrive(WAN, &ike);
    }
    one.arrive(WAN, &answer);
    one.run();
    assert!(one.moved().contains(&(PuntRingFull, 34)));
    assert!(hears_of_edge(&mut one));
    one.finish();
}
