//! Next hops through a whole worker: asked for, answered, given up; and VLAN tags on all of it.

use crossgate_dataplane::counter::Counter::{self, *};
use crossgate_dataplane::forwarding::{Interface, InterfaceId, PortIndex};
use crossgate_dataplane::header::Protocol;
use crossgate_dataplane::header::ethernet::{EtherType, Mac};
use crossgate_dataplane::header::ndp::{Advertisement, PACKET_BYTES, Solicitation, solicited_node};
use crossgate_dataplane::header::vlan::VlanId;

use crate::lab::{
    Gateway, HOST, LAN, OURS, Options, SITE, Setup, Site, WAN, across, builder, forwarded, frame, framed,
    inbound, ip, outbound, packet, pair,
};

/// From the host to another one of the same network, whom nobody knows yet.
fn to_stranger(address: &str) -> Vec<u8> {
    let source = Site(1).host(address.contains(':'));
    frame(OURS[LAN], HOST, &packet(source, ip(address), Protocol(253), 64, &[1; 20]))
}

fn count(gateway: &mut Gateway, counter: Counter) -> u64 {
    let moved = gateway.moved();
    moved.iter().find(|(moved, _)| *moved == counter).map_or(0, |(_, count)| *count)
}

#[test]
fn unknown_next_hop_keeps_some_packets_for_a_while() {
    let mut setup = Setup::of(Site(1));
    setup.launch.sizes.neighbours.entries = 16; // looked at often: some at each turn
    let mut one = setup.build();
    for _ in 0..20 {
        one.arrive(LAN, &to_stranger("10.1.0.50"));
    }
    one.run();
    let overflow = count(&mut one, NeighbourQueueFull);
    let waiting = one.workers[0].waiting_packets();
    assert!(waiting > 0 && overflow == 20 - u64::try_from(waiting).expect("few"), "{waiting} wait");
    let mut unresolved = 0;
    for _ in 0..200 {
        one.now_us += 100_000;
        one.run();
        unresolved += count(&mut one, NeighbourUnresolved);
    }
    assert_eq!((unresolved + overflow, one.workers[0].waiting_packets()), (20, 0));
    one.finish();
}

#[test]
fn scan_of_a_network_fills_the_table_and_not_the_memory() {
    let mut setup = Setup::of(Site(1));
    setup.launch.sizes.neighbours.unresolved = 2;
    let mut one = setup.build();
    for host in 50..60 {
        one.arrive(LAN, &to_stranger(&format!("10.1.0.{host}")));
    }
    one.run();
    assert_eq!((count(&mut one, NeighbourTableFull), one.workers[0].waiting_packets()), (8, 2));
    one.finish();
}

#[test]
fn neighbour_solicitation_for_our_address_is_answered() {
    let mut one = Gateway::new(Site(1), 1);
    let (std::net::IpAddr::V6(source), std::net::IpAddr::V6(target)) =
        (Site(1).host(true), Site(1).own(true))
    else {
        panic!("IPv6")
    };
    let mut out = [0; PACKET_BYTES];
    let destination = solicited_node(target);
    let bytes = Solicitation { source, destination, target, source_mac: Some(HOST) }.write(&mut out);
    one.arrive(LAN, &frame(Mac::of_multicast_v6(destination), HOST, &out[..bytes]));
    one.run();
    let answer = Advertisement {
        source: target,
        destination: source,
        target,
        target_mac: Some(OURS[LAN]),
        router: true,
        solicited: true,
        overrides: true,
    };
    let bytes = answer.write(&mut out);
    assert_eq!(one.sent(LAN), [frame(HOST, OURS[LAN], &out[..bytes])]);
    assert_eq!(one.moved(), [(RxPackets, 1), (TxPackets, 1), (Originated, 1), (NdConsumed, 1)]);
    one.finish();
}

#[test]
fn packet_waits_for_its_next_hop_and_leaves_when_that_answers() {
    let mut one = Gateway::new(Site(1), 1);
    let stranger = Mac([2, 0, 0, 0, 1, 50]);
    one.arrive(LAN, &to_stranger("10.1.0.50"));
    one.run();
    let asked = one.sent(LAN);
    assert_eq!((asked.len(), &asked[0][12..14], &asked[0][38..42]), (1, &[8, 6][..], &[10, 1, 0, 50][..]));
    let reply =
        [&[0, 1, 8, 0, 6, 4, 0, 2][..], &stranger.0, &[10, 1, 0, 50], &OURS[LAN].0, &[10, 1, 0, 1]].concat();
    one.arrive(LAN, &framed(OURS[LAN], stranger, EtherType::ARP, &reply));
    one.run();
    let expected = packet(Site(1).host(false), ip("10.1.0.50"), Protocol(253), 63, &[1; 20]);
    assert_eq!(one.sent(LAN), [frame(stranger, OURS[LAN], &expected)]);
    one.finish();
}

/// A tag of VLAN 10 in a frame.
fn tagged(mut frame: Vec<u8>) -> Vec<u8> {
    frame.splice(12..12, [0x81, 0, 0, 10]);
    frame
}

#[test]
fn network_on_a_vlan_goes_through_a_worker_with_its_tags() {
    let options = Options::default();
    let mut forwarding = builder(Site(1));
    let addresses = [(Site(1).own(false), 24), (Site(1).own(true), 64)]
        .map(|(own, length)| ipnet::IpNet::new(own, length).expect("a length"));
    let lan = Interface {
        port: PortIndex(1),
        vlan: VlanId::new(10),
        vrf: SITE,
        mac: OURS[LAN],
        mtu_bytes: 1500,
        addresses: addresses.to_vec(),
    };
    forwarding.interface(InterfaceId(1), lan);
    let mut one = Gateway::with(Site(1), 1, forwarding.build().expect("consistent"));
    one.install(outbound(Site(1), &options, 0), inbound(Site(1), &options, 0));
    let [spare, mut two] = pair(&options);
    one.moved();
    for v6 in [false, true] {
        one.arrive(LAN, &tagged(frame(OURS[LAN], HOST, &across(Site(1), v6, 64, 7, 64))));
        one.arrive(LAN, &frame(OURS[LAN], HOST, &across(Site(1), v6, 64, 7, 64)));
        one.run();
        let expected = [(RxPackets, 2), (TxPackets, 1), (InterfaceUnknown, 1), (EspSealed, 1)];
        assert_eq!(one.moved(), expected, "without its tag a frame is of no network");
        for esp in one.sent(WAN) {
            two.arrive(WAN, &forwarded(esp));
        }
        two.run();
        assert_eq!(two.sent(LAN), [frame(HOST, OURS[LAN], &across(Site(1), v6, 62, 7, 64))]);

        two.arrive(LAN, &frame(OURS[LAN], HOST, &across(Site(2), v6, 64, 9, 64)));
        two.run();
        for esp in two.sent(WAN) {
            one.arrive(WAN, &forwarded(esp));
        }
        one.run();
        assert_eq!(one.sent(LAN), [tagged(frame(HOST, OURS[LAN], &across(Site(2), v6, 62, 9, 64)))]);
        assert_eq!(one.moved(), [(RxPackets, 1), (TxPackets, 1), (EspOpened, 1)]);
    }
    one.finish();
    two.finish();
    spare.finish();
}
