//! Packets in several buffers: sealed and opened where they are, in their place among the others, byte by byte as if they were in one; brought together where they have to
//! be; and their buffers back in the pool, whatever becomes of them (`Gateway::finish`).

use crossgate_dataplane::counter::Counter::{self, *};
use crossgate_dataplane::gcm::Kernel;
use crossgate_dataplane::header::Protocol;
use crossgate_dataplane::header::checksum::Sum;
use crossgate_dataplane::header::ipv4::write_checksum;
use crossgate_dataplane::message::Event;
use crossgate_dataplane::sa::Esn;
use crossgate_dataplane::transform::{Cipher, Integrity, Transform};
use dpdk_sys::{Burst, HEADROOM_BYTES, Mbuf, Mempool, MempoolOptions, Port, PortOptions};

use crate::lab::{
    self, Gateway, HOST, LAN, OURS, Options, PEER, Setup, Site, WAN, across, authentic, builder_with_mtu,
    eal, forwarded, frame, inbound, outbound, packet, padded, spi, udp,
};

const CBC: Transform = Transform::Separate(Cipher::AesCbc256, Integrity::HmacSha2_256_128);

fn jumbo() -> Options {
    Options { path_mtu: 9000, ..Options::default() }
}

fn setup(site: Site) -> Setup {
    Setup { forwarding: builder_with_mtu(site, 9000).build().expect("consistent"), ..Setup::of(site) }
}

fn gateway(setup: Setup, options: &Options) -> Gateway {
    let site = setup.site;
    let mut gateway = setup.build();
    gateway.install(outbound(site, options, 0), inbound(site, options, 0));
    gateway.moved();
    gateway
}

fn pair(options: &Options) -> [Gateway; 2] {
    [Site(1), Site(2)].map(|site| gateway(setup(site), options))
}

fn from_host(bytes: usize) -> Vec<u8> {
    frame(OURS[LAN], HOST, &across(Site(1), false, 64, 0x77, bytes))
}

fn to_host(bytes: usize) -> Vec<u8> {
    frame(HOST, OURS[LAN], &across(Site(1), false, 62, 0x77, bytes))
}

/// Out of one gateway, as it arrives at the other.
fn seal_in(one: &mut Gateway, clear: &[u8], lengths: &[usize]) -> Vec<u8> {
    one.arrive_in(LAN, clear, lengths);
    one.run();
    let mut sent = one.sent(WAN);
    assert_eq!(sent.len(), 1, "{:?}", one.moved());
    forwarded(sent.remove(0))
}

/// Lengths of buffers, over and over: the first holds no headers, or some; tags, trailers and blocks lie across borders.
const CUTS: [&[usize]; 8] =
    [&[2048], &[300], &[1, 1000], &[14, 20, 7, 900], &[299, 1, 0, 500], &[40, 4000], &[4096], &[257, 131]];

#[test]
fn what_is_in_segments_becomes_the_same_bytes_as_what_is_not() {
    for kernel in Kernel::available() {
        for outer in 0..8 {
            let bit = |at: u32| outer >> at & 1 == 1;
            let esn = if bit(2) { Esn::On } else { Esn::Off };
            let options = Options { kernel, outer_v6: bit(0), in_udp: bit(1), esn, ..jumbo() };
            let start = |site| {
                let mut setup = setup(site);
                setup.launch.kernel = kernel;
                gateway(setup, &options)
            };
            let [mut one, mut two, mut plain] = [Site(1), Site(2), Site(1)].map(start);
            for (number, cut) in (0_usize..).zip(CUTS) {
                let bytes = 2000 + 251 * number;
                let v6 = number % 2 == 1;
                let clear = frame(OURS[LAN], HOST, &across(Site(1), v6, 64, 0x77, bytes));
                plain.arrive(LAN, &clear);
                plain.run();
                let expected: Vec<_> = plain.sent(WAN).into_iter().map(forwarded).collect();
                let esp = seal_in(&mut one, &clear, cut);
                assert_eq!(std::slice::from_ref(&esp), expected.as_slice(), "{cut:?} {options:?}");
                // The checksum of UDP in IPv6 needs all of it at once.
                let is_merged = options.outer_v6 && options.in_udp && clear.len() > cut[0];
                let merged = is_merged.then_some((SegmentsMerged, 1));
                let sealed: Vec<_> = [(RxPackets, 1), (TxPackets, 1)]
                    .into_iter()
                    .chain(merged)
                    .chain([(EspSealed, 1)])
                    .collect();
                assert_eq!(one.moved(), sealed, "{cut:?} {options:?}");
                two.arrive_in(WAN, &esp, cut);
                two.run();
                let clear = frame(HOST, OURS[LAN], &across(Site(1), v6, 62, 0x77, bytes));
                assert_eq!(two.sent(LAN), [clear], "{cut:?} {options:?}");
                assert_eq!(two.moved(), [(RxPackets, 1), (TxPackets, 1), (EspOpened, 1)], "{cut:?}");
            }
            [one, two, plain].into_iter().for_each(Gateway::finish);
        }
    }
}

#[test]
fn jumbo_frames_cross_that_fit_into_no_buffer() {
    let [mut one, mut two] = pair(&jumbo());
    // At 8192 bytes the last buffer has no room for the trailer.
    for bytes in [8192 - 34, 8192 - 33, 8192 - 50, 8800] {
        let esp = seal_in(&mut one, &from_host(bytes), &[4096]);
        assert!(esp.len() > bytes + 34 && !esp.windows(8).any(|window| window == [0x77; 8]));
        two.arrive_in(WAN, &esp, &[2048]);
        two.arrive_in(WAN, &esp, &[1500]);
        two.run();
        assert_eq!(two.sent(LAN), [to_host(bytes)]);
        assert_eq!(two.drops(), [(EspReplayed, 1)]);
        assert_eq!(one.drops(), []);
    }
    one.finish();
    two.finish();
}

#[test]
fn burst_of_all_kinds_keeps_its_order_and_each_forgery_is_dropped_alone() {
    let [mut one, mut two] = pair(&jumbo());
    let sizes = [40, 3000, 1400, 2999, 5000, 64, 300, 8000];
    let mut esp = Vec::new();
    for bytes in sizes {
        esp.push(seal_in(&mut one, &from_host(bytes), &[900]));
    }
    let mut forged = 0;
    for (frame, cut) in esp.iter().zip(CUTS) {
        // In the payload's first byte, around borders, and in the tag: of a packet that comes right afterwards.
        for at in [50, 256, 257, 900, frame.len() - 17, frame.len() - 16, frame.len() - 1] {
            let mut bad = frame.clone();
            let at = at.clamp(50, frame.len() - 1);
            bad[at] ^= 1;
            two.arrive_in(WAN, &bad, &[if cut[0] < 40 { 700 } else { cut[0] }]);
            forged += 1;
        }
        two.arrive_in(WAN, frame, &[700]);
    }
    two.run();
    assert_eq!(two.sent(LAN), sizes.map(to_host), "every good one, in order");
    assert_eq!(two.drops(), [(EspAuthFailed, forged)]);
    one.finish();
    two.finish();
}

#[test]
fn other_transforms_get_their_packets_in_one_buffer_if_there_is_one() {
    let options = Options { transform: Some(CBC), ..jumbo() };
    let [mut one, mut two] = pair(&options);
    let esp = seal_in(&mut one, &from_host(3000), &[1000]);
    assert_eq!(one.moved(), [(RxPackets, 1), (TxPackets, 1), (SegmentsMerged, 1), (EspSealed, 1)]);
    two.arrive_in(WAN, &esp, &[700]);
    two.run();
    assert_eq!(two.sent(LAN), [to_host(3000)]);
    assert_eq!(two.moved(), [(RxPackets, 1), (TxPackets, 1), (SegmentsMerged, 1), (EspOpened, 1)]);
    one.arrive_in(LAN, &from_host(8000), &[4000]);
    one.run();
    assert_eq!(one.moved(), [(RxPackets, 1), (SegmentsNotMerged, 1)]);
    one.finish();
    two.finish();
}

#[test]
fn port_that_cannot_gather_gets_its_frames_in_one_buffer() {
    let [mut one, mut two] =
        [Site(1), Site(2)].map(|site| gateway(Setup { gathers: false, ..setup(site) }, &jumbo()));
    let esp = seal_in(&mut one, &from_host(3000), &[1000]);
    assert_eq!(one.moved(), [(RxPackets, 1), (TxPackets, 1), (SegmentsMerged, 1), (EspSealed, 1)]);
    two.arrive_in(WAN, &esp, &[700]);
    two.run();
    assert_eq!(two.sent(LAN), [to_host(3000)]);
    assert_eq!(two.moved(), [(RxPackets, 1), (TxPackets, 1), (SegmentsMerged, 1), (EspOpened, 1)]);
    one.arrive_in(LAN, &from_host(8000), &[4000]);
    one.run();
    assert_eq!(one.moved(), [(RxPackets, 1), (SegmentsNotMerged, 1), (EspSealed, 1)]);
    one.finish();
    two.finish();
}

#[test]
fn packets_to_ourselves_are_brought_together() {
    let mut two = gateway(setup(Site(2)), &jumbo());
    let (peer, own) = (Site(1).public(false), Site(2).public(false));
    let to_own = |protocol, payload: &[u8]| frame(OURS[WAN], PEER, &packet(peer, own, protocol, 64, payload));
    two.arrive_in(WAN, &to_own(Protocol::UDP, &udp(peer, own, 500, &[7; 2000])), &[600]);
    two.run();
    assert_eq!(two.moved(), [(RxPackets, 1), (PuntedIke, 1), (SegmentsMerged, 1)]);
    let payloads: Vec<_> = two
        .events()
        .into_iter()
        .filter_map(
            |event| if let Event::Punted(punt) = event { Some(punt.packet.data().to_vec()) } else { None },
        )
        .collect();
    assert_eq!(payloads, [[7; 2000]]);
    let mut ping = [&[8, 0, 0, 0, 0, 1, 0, 1][..], &[9; 2000]].concat();
    let sum = Sum::new().plus(&ping).finish();
    ping[2..4].copy_from_slice(&sum.to_be_bytes());
    two.arrive_in(WAN, &to_own(Protocol::ICMP, &ping), &[600]);
    two.arrive_in(WAN, &to_own(Protocol::UDP, &udp(peer, own, 9, &[7; 900])), &[600]);
    two.run();
    let moved = two.moved();
    for told in [(SegmentsMerged, 2), (IcmpEchoConsumed, 1), (IcmpErrorSent, 1)] {
        assert!(moved.contains(&told), "{told:?} {moved:?}");
    }
    let mut lengths: Vec<_> = two.sent(WAN).iter().map(Vec::len).collect();
    lengths.sort_unstable();
    assert_eq!(lengths, [14 + 576, 14 + 20 + 2008]);
    two.finish();
}

#[test]
fn packet_that_does_not_fit_is_cut_or_its_sender_told() {
    let [mut one, mut two] = pair(&Options::default());
    let mut clear = across(Site(1), false, 64, 0x77, 4000);
    one.arrive_in(LAN, &frame(OURS[LAN], HOST, &clear), &[900]);
    one.run();
    assert_eq!(one.drops(), [(TooBig, 1)]);
    let told = one.sent(LAN);
    assert_eq!((told.len(), told[0][14 + 20], told[0][14 + 21]), (1, 3, 4), "fragmentation needed");
    clear[6] = 0;
    write_checksum(&mut clear[..20]);
    one.arrive_in(LAN, &frame(OURS[LAN], HOST, &clear), &[900]);
    one.run();
    let sent = one.sent(WAN);
    assert_eq!(sent.len(), 3);
    assert_eq!(one.drops(), []);
    for esp in sent {
        two.arrive_in(WAN, &forwarded(esp), &[400]);
    }
    two.run();
    let payload: Vec<u8> = two.sent(LAN).iter().flat_map(|piece| piece[34..].to_vec()).collect();
    assert_eq!(payload, clear[20..]);
    one.finish();
    two.finish();
}

#[test]
fn packet_in_segments_goes_to_its_sas_home() {
    let mut two = Setup { workers: 2, ..setup(Site(2)) }.build();
    let options = Options { esn: Esn::Off, ..jumbo() };
    two.install(outbound(Site(2), &options, 0), inbound(Site(2), &options, 1));
    two.moved();
    let plain = padded(&across(Site(1), false, 63, 0x77, 3000));
    two.arrive_in(WAN, &authentic(Site(2), spi(Site(2), 1), Esn::Off, 1, &plain), &[1000]);
    two.run();
    assert_eq!(two.sent(LAN), [to_host(3000)]);
    let expected = [(RxPackets, 1), (TxPackets, 1), (HandoverReceived, 1), (HandoverSent, 1), (EspOpened, 1)];
    assert_eq!(two.moved(), expected);
    two.finish();
}

#[test]
fn strange_segments_and_strange_payloads_are_dropped_under_their_names() {
    let mut two = gateway(setup(Site(2)), &Options { esn: Esn::Off, ..jumbo() });
    let dropped = |two: &mut Gateway, reason: Counter| {
        two.run();
        assert_eq!(two.drops(), [(reason, 1)]);
    };
    let sealed = |sequence, plain: &[u8]| authentic(Site(2), spi(Site(2), 0), Esn::Off, sequence, plain);
    let good = padded(&across(Site(1), false, 63, 0x77, 3000));
    // More buffers than are looked at.
    two.arrive_in(WAN, &sealed(1, &good), &[40]);
    dropped(&mut two, EthernetSegmented);
    // The first one ends where its data does.
    let mut first = two.pool.take_copy(&sealed(1, &good)[..20]).expect("a packet");
    let at = i32::from(two.pool.room_bytes()) - 20;
    first.reframe(at, 20).expect("room").copy_from_slice(&sealed(1, &good)[..20]);
    assert_eq!(
        (first.tailroom_bytes(), first.headroom_bytes()),
        (0, HEADROOM_BYTES + two.pool.room_bytes() - 20)
    );
    let rest = two.pool.take_copy(&sealed(1, &good)[20..]).expect("a packet");
    first.chain(rest).ok().expect("few");
    two.wires[WAN][0].push(first).ok().expect("room");
    dropped(&mut two, EthernetSegmented);
    // An SPI that is not here; padding that counts wrongly, beyond a border; an inner packet that is longer than what there is.
    two.arrive_in(WAN, &authentic(Site(2), spi(Site(2), 0), Esn::Off, 2, &good), &[1000]);
    two.run();
    assert_eq!((two.sent(LAN).len(), two.drops()), (1, vec![]));
    let unknown = lab::raw_spi(99);
    two.arrive_in(WAN, &authentic(Site(2), unknown, Esn::Off, 3, &good), &[1000]);
    dropped(&mut two, EspUnknownSpi);
    let mut wrong = good.clone();
    let end = wrong.len();
    wrong[end - 2] = 200;
    two.arrive_in(WAN, &sealed(4, &wrong), &[3000]);
    dropped(&mut two, EspBadPadding);
    let mut long = good.clone();
    long[2..4].copy_from_slice(&4000_u16.to_be_bytes());
    write_checksum(&mut long[..20]);
    two.arrive_in(WAN, &sealed(5, &long), &[1000]);
    dropped(&mut two, EspInnerMalformed);
    let mut next = good.clone();
    next[end - 1] = 6;
    two.arrive_in(WAN, &sealed(6, &next), &[1000]);
    dropped(&mut two, EspBadNextHeader);
    two.finish();
}

/// What a port of DPDK's `net_pcap` receives from a capture of these frames.
fn received_from_capture(frames: &[Vec<u8>], pool: &Mempool) -> Burst {
    let mut capture: Vec<u8> =
        [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 1].into_iter().flat_map(u32::to_ne_bytes).collect();
    for frame in frames {
        let length = u32::try_from(frame.len()).expect("short");
        capture.extend([0, 0, length, length].into_iter().flat_map(u32::to_ne_bytes));
        capture.extend(frame);
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("jumbo.pcap");
    std::fs::write(&file, capture).expect("a file");
    let mut port =
        Port::attach(eal(), &format!("net_pcap_jumbo,rx_pcap={}", file.display())).expect("a port");
    let mut started = port.start(&PortOptions::default(), pool).expect("the port starts");
    let mut received = Burst::new();
    started.rx[0].rx_burst(&mut received);
    received
}

/// The port gives away all of its file at the first poll, so a worker would have it before its SAs: its buffers come by the wire.
#[test]
fn jumbo_frames_of_a_capture_arrive_in_several_buffers_and_are_opened() {
    let mut two = gateway(setup(Site(2)), &Options { esn: Esn::Off, ..jumbo() });
    let sizes = [1400, 2000, 3000, 8000, 64];
    let sealed = |(sequence, bytes)| {
        let plain = padded(&across(Site(1), false, 63, 0x77, bytes));
        authentic(Site(2), spi(Site(2), 0), Esn::Off, sequence, &plain)
    };
    let frames: Vec<_> = (1..).zip(sizes).map(sealed).collect();
    let options = MempoolOptions {
        name: "capture".into(),
        packets: 255,
        cache_packets: 0,
        ..MempoolOptions::default()
    };
    let pool = Mempool::new(eal(), &options).expect("a pool");
    let mut received = received_from_capture(&frames, &pool);
    let segments: Vec<_> = received.iter().map(Mbuf::segment_count).collect();
    assert_eq!(segments, [1, 2, 2, 4, 1], "of {} bytes", options.room_bytes);
    two.wires[WAN][0].push_burst(&mut received);
    two.run();
    assert_eq!(two.moved(), [(RxPackets, 5), (TxPackets, 5), (EspOpened, 5)]);
    let sent = two.sent(LAN);
    assert_eq!(sent.iter().map(Vec::len).collect::<Vec<_>>(), sizes.map(|bytes| 14 + 20 + bytes));
    assert!(sent == sizes.map(to_host), "other bytes");
    assert_eq!(pool.in_use(), 0, "leaked packets");
    two.finish();
}
