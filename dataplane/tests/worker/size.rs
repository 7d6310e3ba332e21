//! Packets and the size of the path: outer and inner fragments, MSS clamping.

use std::net::IpAddr;

use crate::lab::{
    self, Gateway, HOST, LAN, OURS, Options, PEER, Site, TUNNEL, WAN, across, forwarded, frame, inbound,
    outbound, packet, pair,
};
use crossgate_dataplane::counter::Counter::*;
use crossgate_dataplane::forwarding::{MssClamp, Tunnel};
use crossgate_dataplane::header::Protocol;
use crossgate_dataplane::header::checksum::Sum;
use crossgate_dataplane::header::ipv4::write_checksum;

#[test]
fn path_below_what_ipv6_promises_gets_the_outer_packet_in_fragments() {
    for (outer_v6, path_mtu, pieces) in [(false, 1300, 2), (false, 576, 3), (true, 1280, 2)] {
        for in_udp in [false, true] {
            let options = Options { outer_v6, in_udp, path_mtu, ..Options::default() };
            let [mut one, mut two] = pair(&options);
            one.arrive(LAN, &frame(OURS[LAN], HOST, &across(Site(1), true, 64, 0x77, 1240)));
            one.run();
            let sent = one.sent(WAN);
            assert_eq!(sent.len(), pieces, "{:?}", one.moved());
            assert!(sent.iter().all(|piece| piece.len() <= 14 + usize::from(path_mtu)));
            let identity = |piece: &Vec<u8>| match outer_v6 {
                true => (piece[14 + 6], piece[14 + 44..14 + 48].to_vec()),
                false => (piece[14 + 6] & 0x40, piece[14 + 4..14 + 6].to_vec()),
            };
            let identities: Vec<_> = sent.iter().map(identity).collect();
            assert!(identities.windows(2).all(|pair| pair[0] == pair[1]), "{identities:02x?}");
            assert_eq!(identities[0].0, if outer_v6 { 44 } else { 0 }, "fragments, and none with DF");
            let count = u64::try_from(pieces).expect("few");
            let expected =
                [(RxPackets, 1), (TxPackets, count), (Originated, count), (Fragmented, 1), (EspSealed, 1)];
            assert_eq!(one.moved(), expected);

            for piece in sent.into_iter().rev() {
                two.arrive(WAN, &forwarded(piece));
            }
            two.run();
            assert_eq!(two.sent(LAN), [frame(HOST, OURS[LAN], &across(Site(1), true, 62, 0x77, 1240))]);
            let expected = [
                (RxPackets, count),
                (TxPackets, 1),
                (FragmentsHeld, count),
                (FragmentsMerged, count),
                (Reassembled, 1),
                (EspOpened, 1),
            ];
            assert_eq!(two.moved(), expected);
            one.finish();
            two.finish();
        }
    }
}

#[test]
fn ipv4_that_may_be_cut_is_cut_before_it_is_sealed() {
    let [mut one, mut two] = pair(&Options::default());
    let mut clear = across(Site(1), false, 64, 0x77, 1460);
    clear[6] = 0;
    write_checksum(&mut clear[..20]);
    one.arrive(LAN, &frame(OURS[LAN], HOST, &clear));
    one.run();
    let sent = one.sent(WAN);
    assert!(sent.len() == 2 && sent.iter().all(|esp| esp.len() <= 1514 && esp[14 + 9] == 50));
    let expected = [(RxPackets, 1), (TxPackets, 2), (Originated, 2), (Fragmented, 1), (EspSealed, 2)];
    assert_eq!(one.moved(), expected);
    for esp in sent {
        two.arrive(WAN, &forwarded(esp));
    }
    two.run();
    let pieces = two.sent(LAN);
    let payload: Vec<u8> = pieces.iter().flat_map(|piece| &piece[34..]).copied().collect();
    assert_eq!(payload, clear[20..], "the receiving host puts it together");
    assert_eq!(two.moved(), [(RxPackets, 2), (TxPackets, 2), (EspOpened, 2)]);
    one.finish();
    two.finish();
}

/// A SYN with an MSS option.
fn syn(source: IpAddr, destination: IpAddr, mss: u16) -> Vec<u8> {
    let mut segment =
        [&[0x12, 0x34, 0, 80][..], &[0; 8], &[6 << 4, 2, 0xff, 0xff, 0, 0, 0, 0, 2, 4]].concat();
    segment.extend(mss.to_be_bytes());
    let sum = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            Sum::pseudo_v4(source, destination, Protocol::TCP, segment.len())
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            Sum::pseudo_v6(source, destination, Protocol::TCP, segment.len())
        }
        _ => panic!("one family"),
    };
    let checksum = sum.plus(&segment).finish();
    segment[16..18].copy_from_slice(&checksum.to_be_bytes());
    segment
}

#[test]
fn mss_is_lowered_both_ways_to_what_fits_the_tunnel() {
    for v6 in [false, true] {
        let headers = if v6 { 60 } else { 40 };
        let options = Options { path_mtu: 1400, ..Options::default() };
        let (source, destination) = (Site(1).host(v6), Site(2).host(v6));
        // Site 1 leaves everything as it is: what site 2 gets, it has to lower on arrival.
        let mut builder = lab::builder(Site(1));
        builder.tunnel(TUNNEL, Tunnel { mss_clamp: MssClamp::Off, ..lab::tunnel(Site(1)) });
        let mut one = Gateway::with(Site(1), 1, builder.build().expect("consistent"));
        one.install(outbound(Site(1), &options, 0), inbound(Site(1), &options, 0));
        let mut two = Gateway::new(Site(2), 1);
        two.install(outbound(Site(2), &options, 0), inbound(Site(2), &options, 0));
        two.moved();
        let clear = packet(source, destination, Protocol::TCP, 64, &syn(source, destination, 1460));
        one.arrive(LAN, &frame(OURS[LAN], HOST, &clear));
        one.run();
        for esp in one.sent(WAN) {
            two.arrive(WAN, &forwarded(esp));
        }
        two.run();
        // 1400 - 20 (IPv4) - 8 (ESP) - 8 (IV) - 16 (tag) = 1348 bytes, 2 of them trailer.
        let lowered = syn(source, destination, 1346 - headers);
        let expected = packet(source, destination, Protocol::TCP, 62, &lowered);
        assert_eq!(two.sent(LAN), [frame(HOST, OURS[LAN], &expected)]);
        assert_eq!(two.moved(), [(RxPackets, 1), (TxPackets, 1), (MssClamped, 1), (EspOpened, 1)]);

        // And the other way: site 2 lowers on departure.
        let clear = packet(destination, source, Protocol::TCP, 64, &syn(destination, source, 9000));
        two.arrive(LAN, &frame(OURS[LAN], HOST, &clear));
        two.run();
        for esp in two.sent(WAN) {
            one.arrive(WAN, &forwarded(esp));
        }
        one.run();
        let lowered = syn(destination, source, 1346 - headers);
        let expected = packet(destination, source, Protocol::TCP, 62, &lowered);
        assert_eq!(one.sent(LAN), [frame(HOST, OURS[LAN], &expected)]);
        assert_eq!(two.moved(), [(RxPackets, 1), (TxPackets, 1), (MssClamped, 1), (EspSealed, 1)]);
        one.finish();
        two.finish();
    }
    assert_ne!(PEER, HOST);
}
