//! What runs out: rings, queues, buffers, room in a packet, sequence numbers, time. Counted, and over when there is room again; `Gateway::finish` finds
//! every packet back in its pool.

use crossgate_dataplane::counter::Counter::*;
use crossgate_dataplane::header::Protocol;
use crossgate_dataplane::header::ipv4::write_checksum;
use crossgate_dataplane::sa::Esn;

use crate::drops::{gateway, good};
use crate::lab::{
    Gateway, HOST, LAN, OURS, Options, PEER, Setup, Site, WAN, across, authentic, frame, inbound, outbound,
    packet, padded, pair, spi, udp,
};

const SITE_2: Site = Site(2);

fn ping() -> Vec<u8> {
    let (peer, own) = (Site(1).public(false), SITE_2.public(false));
    frame(OURS[WAN], PEER, &packet(peer, own, Protocol::ICMP, 64, &[8, 0, 0xf7, 0xfd, 0, 1, 0, 1]))
}

#[test]
fn full_handover_ring_drops_and_is_usable_again() {
    let mut setup = Setup { workers: 2, ..Setup::of(SITE_2) };
    setup.launch.handover_packets = 2;
    let mut two = setup.build();
    let options = Options { esn: Esn::Off, ..Options::default() };
    two.install(outbound(SITE_2, &options, 0), inbound(SITE_2, &options, 1));
    two.moved();
    let plain = padded(&across(Site(1), false, 64, 1, 40));
    for round in 0..3 {
        for number in 1..=10 {
            two.arrive(WAN, &authentic(SITE_2, spi(SITE_2, 1), Esn::Off, round * 10 + number, &plain));
        }
        let now_us = two.now_us;
        two.workers[0].step_at(now_us);
        assert_eq!(two.moved(), [(RxPackets, 10), (HandoverSent, 2), (HandoverFull, 8)]);
        two.run();
        assert_eq!(two.moved(), [(TxPackets, 2), (HandoverReceived, 2), (EspOpened, 2)]);
    }
    two.finish();
}

/// A port's queue, as the lab makes it, holds 511 packets: what does not fit is lost in front of the worker, as in a device (`rx_missed`).
#[test]
fn worker_that_stood_still_for_a_second_loses_only_what_its_queue_did_not_hold() {
    let mut two = Gateway::new(SITE_2, 1);
    let options = Options { esn: Esn::Off, ..Options::default() };
    two.install(outbound(SITE_2, &options, 0), inbound(SITE_2, &options, 0));
    two.moved();
    let plain = padded(&across(Site(1), false, 64, 1, 40));
    let mut held = 0;
    for number in 1..=2000 {
        let esp = authentic(SITE_2, spi(SITE_2, 0), Esn::Off, number, &plain);
        let packet = two.pool.take_copy(&esp).expect("a packet");
        held += u64::from(two.wires[WAN][0].push(packet).is_ok());
    }
    assert!((256..1000).contains(&held), "{held}");
    two.now_us += 1_000_000;
    two.run();
    assert_eq!(two.moved(), [(RxPackets, held), (TxPackets, held), (EspOpened, held)]);
    assert_eq!(two.sent(LAN).len() as u64, held);
    two.arrive(WAN, &authentic(SITE_2, spi(SITE_2, 0), Esn::Off, 2001, &plain));
    two.run();
    assert_eq!(two.moved(), [(RxPackets, 1), (TxPackets, 1), (EspOpened, 1)], "and goes on");
    two.finish();
}

#[test]
fn home_worker_that_stood_still_gets_what_its_ring_held_and_in_order() {
    let mut setup = Setup { workers: 2, ..Setup::of(SITE_2) };
    setup.launch.handover_packets = 64;
    let mut two = setup.build();
    let options = Options { esn: Esn::Off, ..Options::default() };
    two.install(outbound(SITE_2, &options, 0), inbound(SITE_2, &options, 1));
    two.moved();
    for number in 1..=100 {
        let plain = padded(&across(Site(1), false, 64, number, 40));
        two.arrive(WAN, &authentic(SITE_2, spi(SITE_2, 1), Esn::Off, number.into(), &plain));
    }
    for _ in 0..10 {
        two.now_us += 100_000;
        let now_us = two.now_us;
        two.workers[0].step_at(now_us);
    }
    assert_eq!(two.moved(), [(RxPackets, 100), (HandoverSent, 64), (HandoverFull, 36)]);
    two.run();
    assert_eq!(two.moved(), [(TxPackets, 64), (HandoverReceived, 64), (EspOpened, 64)]);
    let expected: Vec<_> =
        (1..=64).map(|number| frame(HOST, OURS[LAN], &across(Site(1), false, 63, number, 40))).collect();
    assert_eq!(two.sent(LAN), expected);
    two.finish();
}

#[test]
fn full_event_ring_drops_ike_and_takes_it_again_when_control_has_read() {
    let mut setup = Setup::of(SITE_2);
    setup.launch.rings.events = 4;
    let mut two = setup.build();
    for _ in 0..3 {
        for _ in 0..10 {
            two.arrive(WAN, &ike(1));
        }
        two.run();
        assert_eq!(two.moved(), [(RxPackets, 10), (PuntedIke, 4), (PuntRingFull, 6)]);
        assert_eq!(two.events().len(), 4);
    }
    two.finish();
}

/// A message of an IKE SA whose responder has that SPI; 0: the first one.
fn ike(responder_spi: u64) -> Vec<u8> {
    let (peer, own) = (Site(1).public(false), SITE_2.public(false));
    let mut message = [7; 28];
    message[8..16].copy_from_slice(&responder_spi.to_be_bytes());
    frame(OURS[WAN], PEER, &packet(peer, own, Protocol::UDP, 64, &udp(peer, own, 500, &message)))
}

#[test]
fn flood_of_first_messages_leaves_half_of_the_event_ring_to_ike_sas_that_there_are() {
    let mut setup = Setup::of(SITE_2);
    setup.launch.rings.events = 8;
    let mut two = setup.build();
    for responder_spi in [0, 0, 0, 0, 0, 0, 1, 2, 0] {
        two.arrive(WAN, &ike(responder_spi));
    }
    two.run();
    assert_eq!(two.moved(), [(RxPackets, 9), (PuntedIke, 6), (PuntFirstFull, 3)]);
    assert_eq!(two.events().len(), 6);
    two.finish();
}

#[test]
fn full_send_queue_drops_and_goes_on_when_the_port_has_sent() {
    let mut two = Gateway::new(SITE_2, 1);
    for _ in 0..3 {
        for _ in 0..2 {
            for _ in 0..300 {
                two.arrive(WAN, &ping());
            }
            two.run();
        }
        let sent = two.sent(WAN).len();
        let dropped = 600 - u64::try_from(sent).expect("few");
        assert!(sent > 300 && dropped > 0, "{sent}");
        assert!(two.moved().contains(&(TxRingFull, dropped)));
    }
    two.finish();
}

#[test]
fn interface_without_a_send_queue_drops() {
    let setup =
        Setup { edit: |parts| parts.iter_mut().for_each(|part| part.tx[WAN] = None), ..Setup::of(SITE_2) };
    let mut two = setup.build();
    two.arrive(WAN, &ping());
    two.run();
    assert_eq!(two.moved(), [(RxPackets, 1), (Originated, 1), (TxNoQueue, 1), (IcmpEchoConsumed, 1)]);
    two.finish();
}

#[test]
fn exhausted_pool_costs_answers_and_nothing_else() {
    let mut two = gateway();
    for _ in 0..3 {
        // A packet that wants an ICMP error, and a good one that needs no buffer.
        two.arrive(LAN, &frame(OURS[LAN], HOST, &across(SITE_2, false, 1, 1, 64)));
        two.arrive(LAN, &frame(OURS[LAN], HOST, &across(SITE_2, false, 64, 1, 64)));
        let hostages: Vec<_> = std::iter::from_fn(|| two.pool.take()).collect();
        assert!(two.pool.take().is_none());
        two.run();
        let moved = two.moved();
        for expected in [(NoBuffer, 1), (Ipv4TtlExpired, 1), (IcmpErrorSuppressed, 1), (EspSealed, 1)] {
            assert!(moved.contains(&expected), "{moved:?}");
        }
        drop(hostages);
        assert_eq!((two.sent(LAN).len(), two.sent(WAN).len()), (0, 1));
        two.arrive(LAN, &frame(OURS[LAN], HOST, &across(SITE_2, false, 1, 1, 64)));
        two.run();
        assert_eq!(two.sent(LAN).len(), 1, "there are buffers again");
        two.moved();
    }
    two.finish();
}

#[test]
fn packet_that_fills_its_buffer_has_no_room_for_esp() {
    let options = Options { path_mtu: 9000, ..Options::default() };
    let [mut one, two] = pair(&options);
    let room = usize::from(one.pool.room_bytes());
    one.arrive(LAN, &frame(OURS[LAN], HOST, &across(Site(1), false, 64, 1, room - 14 - 20)));
    one.run();
    assert_eq!(one.moved(), [(RxPackets, 1), (EspNoRoom, 1)]);
    one.finish();
    two.finish();
}

/// An IPv4 fragment to site 2 with `bytes` of payload.
fn fragment(identification: u8, offset_words: u16, more: bool, bytes: usize) -> Vec<u8> {
    let (peer, own) = (Site(1).public(false), SITE_2.public(false));
    let mut packet = packet(peer, own, Protocol::ESP, 64, &vec![identification; bytes]);
    packet[5] = identification;
    packet[6..8].copy_from_slice(&(offset_words | u16::from(more) << 13).to_be_bytes());
    write_checksum(&mut packet[..20]);
    frame(OURS[WAN], PEER, &packet)
}

#[test]
fn packets_of_too_many_fragments_or_too_many_bytes_are_given_up() {
    let mut two = gateway();
    // Without its last fragment a packet has room for seven.
    for number in 0..8 {
        two.arrive(WAN, &fragment(1, number * 2, true, 16));
    }
    two.run();
    let moved = two.moved();
    assert!(moved.contains(&(FragmentsHeld, 8)) && moved.contains(&(FragmentTimeout, 8)), "{moved:?}");
    two.arrive(WAN, &fragment(2, 0, true, 2400));
    two.arrive(WAN, &fragment(2, 300, false, 2400));
    two.run();
    let expected =
        [(RxPackets, 2), (FragmentsHeld, 2), (FragmentsMerged, 2), (Reassembled, 1), (ReassemblyTooLong, 1)];
    assert_eq!(two.moved(), expected);
    two.finish();
}

#[test]
fn stalled_worker_loses_only_what_its_queue_does_not_hold() {
    let mut two = gateway();
    let mut taken = 0;
    for sequence in 1001..1601 {
        let packet = two.pool.take_copy(&good(sequence)).expect("a packet");
        taken += usize::from(two.wires[WAN][0].push(packet).is_ok());
    }
    assert!(taken > 500 && taken < 600, "{taken}");
    two.now_us += 1_000_000;
    two.run();
    let all = u64::try_from(taken).expect("few");
    assert_eq!(two.sent(LAN).len(), taken);
    assert_eq!(two.moved(), [(RxPackets, all), (TxPackets, all), (EspOpened, all)], "no drop of ours");
    two.finish();
}
