//! Packets through tunnels: bytes on the wire, and the exact set of counters that moved.

use crossgate_dataplane::counter::Counter::{self, *};
use std::sync::Arc;

use crate::lab::{
    Gateway, HOST, LAN, OURS, Options, Site, WAN, across, forwarded, frame, inbound, inbound_at, outbound,
    outbound_to, packet, pair, raw_spi, spi,
};
use crossgate_dataplane::header::Protocol;
use crossgate_dataplane::message::{Command, Event, Inject, Replaced};
use crossgate_dataplane::sa::{Direction, Esn, Expiry, Lifetime, Limits};

/// What a good packet moves at the gateway that seals it, and at the one that opens it.
const SEALED: [(Counter, u64); 3] = [(RxPackets, 1), (TxPackets, 1), (EspSealed, 1)];
const OPENED: [(Counter, u64); 3] = [(RxPackets, 1), (TxPackets, 1), (EspOpened, 1)];

/// Sends one packet from site 1's host and returns the ESP frame.
fn seal(one: &mut Gateway, clear: &[u8]) -> Vec<u8> {
    one.arrive(LAN, &frame(OURS[LAN], HOST, clear));
    one.run();
    let mut sent = one.sent(WAN);
    assert_eq!(sent.len(), 1, "{:?}", one.moved());
    sent.remove(0)
}

#[test]
fn clear_packet_comes_out_with_two_hops_less_in_every_combination() {
    for case in 0..32 {
        let bit = |at: u32| case >> at & 1 == 1;
        let esn = if bit(2) { Esn::On } else { Esn::Off };
        let key_bytes = if bit(3) { 16 } else { 32 };
        let options = Options { outer_v6: bit(0), in_udp: bit(1), esn, key_bytes, ..Options::default() };
        let v6 = bit(4);
        let [mut one, mut two] = pair(&options);
        for bytes in [0, 1, 2, 3, 64, 1300] {
            let esp = seal(&mut one, &across(Site(1), v6, 64, 0x77, bytes));
            assert_eq!(one.moved(), SEALED, "case {case}");
            assert!(
                bytes < 64 || !esp.windows(16).any(|window| window == [0x77; 16]),
                "clear text on the wire"
            );
            two.arrive(WAN, &forwarded(esp));
            two.run();
            assert_eq!(
                two.sent(LAN),
                [frame(HOST, OURS[LAN], &across(Site(1), v6, 62, 0x77, bytes))],
                "case {case}"
            );
            assert_eq!(two.moved(), OPENED, "case {case}");
        }
        one.finish();
        two.finish();
    }
}

#[test]
fn replayed_packet_moves_only_the_replay_counter() {
    let [mut one, mut two] = pair(&Options::default());
    let esp = forwarded(seal(&mut one, &across(Site(1), false, 64, 1, 100)));
    two.arrive(WAN, &esp);
    two.run();
    two.moved();
    two.arrive(WAN, &esp);
    two.run();
    assert_eq!(two.moved(), [(RxPackets, 1), (EspReplayed, 1)]);
    one.finish();
    two.finish();
}

#[test]
fn packet_twice_in_one_burst_passes_once() {
    let [mut one, mut two] = pair(&Options::default());
    let esp = forwarded(seal(&mut one, &across(Site(1), false, 64, 1, 100)));
    two.arrive(WAN, &esp);
    two.arrive(WAN, &esp);
    two.run();
    assert_eq!(two.moved(), [(RxPackets, 2), (TxPackets, 1), (EspReplayed, 1), (EspOpened, 1)]);
    one.finish();
    two.finish();
}

#[test]
fn each_malformed_esp_packet_moves_its_own_counter_and_its_neighbours_pass() {
    type Damage = fn(&mut Vec<u8>);
    let kinds: [(Counter, Damage); 6] = [
        (EspAuthFailed, |esp| *esp.last_mut().expect("a tag") ^= 1),
        (EspAuthFailed, |esp| esp[14 + 20 + 20] ^= 1),
        (EspUnknownSpi, |esp| esp[14 + 20 + 3] ^= 0xff),
        (EspSequenceZero, |esp| esp[14 + 24..14 + 28].fill(0)),
        (EspRunt, |esp| cut(esp, 20)),
        (EspMisaligned, |esp| {
            let bytes = esp.len() - 14 - 20 - 1;
            cut(esp, bytes);
        }),
    ];
    for (reason, damage) in kinds {
        let [mut one, mut two] = pair(&Options { esn: Esn::Off, ..Options::default() });
        let esps =
            [1, 2, 3].map(|number| forwarded(seal(&mut one, &across(Site(1), false, 64, number, 100))));
        let mut bad = esps[1].clone();
        damage(&mut bad);
        for esp in [&esps[0], &bad, &esps[2]] {
            two.arrive(WAN, esp);
        }
        two.run();
        let expected = [1, 3].map(|number| frame(HOST, OURS[LAN], &across(Site(1), false, 62, number, 100)));
        assert_eq!(two.sent(LAN), expected, "{reason:?}");
        let mut moved = two.moved();
        moved.sort_unstable();
        let mut counters = [(RxPackets, 3), (TxPackets, 2), (reason, 1), (EspOpened, 2)];
        counters.sort_unstable();
        assert_eq!(moved, counters);
        one.finish();
        two.finish();
    }
}

/// Leaves `bytes` of ESP behind the outer IPv4 header.
fn cut(frame: &mut Vec<u8>, bytes: usize) {
    frame.truncate(14 + 20 + bytes);
    let total = u16::try_from(20 + bytes).expect("short");
    frame[16..18].copy_from_slice(&total.to_be_bytes());
    crossgate_dataplane::header::ipv4::write_checksum(&mut frame[14..34]);
}

#[test]
fn hard_lifetime_stops_traffic_exactly_and_soft_tells_once() {
    let soft = Limits { packets: 3, bytes: u64::MAX };
    let hard = Limits { packets: 5, bytes: u64::MAX };
    let [mut one, two] = pair(&Options { lifetime: Lifetime { soft, hard }, ..Options::default() });
    for number in 0..8 {
        one.arrive(LAN, &frame(OURS[LAN], HOST, &across(Site(1), false, 64, number, 100)));
        one.run();
    }
    assert_eq!(one.sent(WAN).len(), 5);
    assert!(one.moved().contains(&(SaExpiredOutbound, 3)));
    assert_eq!(expiries(&mut one), [Expiry::Soft, Expiry::Hard]);
    one.finish();
    two.finish();
}

fn expiries(gateway: &mut Gateway) -> Vec<Expiry> {
    let expired = |event| match event {
        Event::Expired { direction: Direction::Outbound, expiry, .. } => Some(expiry),
        _ => None,
    };
    gateway.events().into_iter().filter_map(expired).collect()
}

#[test]
fn sequence_numbers_never_wrap_without_esn() {
    let first = u64::from(u32::MAX) - 2;
    let [mut one, two] = pair(&Options { esn: Esn::Off, first, ..Options::default() });
    for number in 0..6 {
        one.arrive(LAN, &frame(OURS[LAN], HOST, &across(Site(1), false, 64, number, 100)));
    }
    one.run();
    let sent = one.sent(WAN);
    let sequences: Vec<_> =
        sent.iter().map(|esp| u32::from_be_bytes([esp[38], esp[39], esp[40], esp[41]])).collect();
    assert_eq!(sequences, [u32::MAX - 2, u32::MAX - 1, u32::MAX]);
    assert!(one.moved().contains(&(SequenceExhausted, 3)));
    assert_eq!(expiries(&mut one), [Expiry::Sequence]);
    one.finish();
    two.finish();
}

#[test]
fn extended_sequence_numbers_go_on_beyond_32_bits() {
    let first = u64::from(u32::MAX) - 1;
    let [mut one, two] = pair(&Options { first, ..Options::default() });
    let esps: Vec<_> = (0..4).map(|number| seal(&mut one, &across(Site(1), false, 64, number, 64))).collect();
    let front =
        |esp: &Vec<u8>| (esp[38..42].to_vec(), u64::from_be_bytes(esp[42..50].try_into().expect("8 bytes")));
    let expected = [0, 1, 2, 3].map(|ahead| {
        let sequence = first + ahead;
        (sequence.to_be_bytes()[4..].to_vec(), sequence)
    });
    assert_eq!(
        esps.iter().map(front).collect::<Vec<_>>(),
        expected,
        "low half in the header, all of it in the IV"
    );
    assert_eq!(one.events().len(), 0);
    one.finish();
    two.finish();
}

#[test]
fn sa_replaced_in_mid_traffic_loses_nothing() {
    let options = Options::default();
    let [mut one, mut two] = pair(&options);
    let mut esps = Vec::new();
    for number in 0..40 {
        if number == 20 {
            // The new inbound SA stands beside the old one; the new outbound one takes the old one's place.
            let new = raw_spi(9);
            two.command(0, Command::InstallInbound(Box::new(inbound_at(Site(2), &options, new))));
            let replaced =
                one.command(0, Command::InstallOutbound(Arc::new(outbound_to(Site(1), &options, new))));
            assert!(matches!(replaced, Replaced::Outbound(old) if old.spi() == spi(Site(2), 0)));
        }
        esps.push(forwarded(seal(&mut one, &across(Site(1), false, 64, number, 64))));
    }
    esps.rotate_left(20); // the old SA's packets arrive last
    esps.iter().for_each(|esp| two.arrive(WAN, esp));
    two.run();
    assert_eq!(two.sent(LAN).len(), 40, "{:?}", two.moved());
    one.finish();
    two.finish();
}

#[test]
fn packet_received_by_another_worker_is_handed_over_to_the_home_of_its_sa() {
    let options = Options::default();
    let mut one = Gateway::new(Site(1), 1);
    one.install(outbound(Site(1), &options, 1), inbound(Site(1), &options, 0));
    let mut two = Gateway::new(Site(2), 2);
    two.install(outbound(Site(2), &options, 0), inbound(Site(2), &options, 1));
    assert_eq!(two.home(spi(Site(2), 1)), 1);
    two.moved();
    let esp = forwarded(seal(&mut one, &across(Site(1), false, 64, 1, 100)));
    two.arrive_at(WAN, 0, &esp);
    two.run();
    assert_eq!(two.sent(LAN), [frame(HOST, OURS[LAN], &across(Site(1), false, 62, 1, 100))]);
    let mut moved = two.moved();
    moved.sort_unstable();
    let mut expected =
        [(RxPackets, 1), (TxPackets, 1), (HandoverSent, 1), (HandoverReceived, 1), (EspOpened, 1)];
    expected.sort_unstable();
    assert_eq!(moved, expected);
    one.finish();
    two.finish();
}

#[test]
fn injections_and_a_full_burst_of_handed_over_packets_pass_in_one_step() {
    let options = Options::default();
    let mut one = Gateway::new(Site(1), 1);
    one.install(outbound(Site(1), &options, 1), inbound(Site(1), &options, 0));
    let mut two = Gateway::new(Site(2), 2);
    two.install(outbound(Site(2), &options, 0), inbound(Site(2), &options, 1));
    two.moved();
    for number in 0..64 {
        let esp = seal(&mut one, &across(Site(1), false, 64, number, 100));
        two.arrive_at(WAN, 0, &forwarded(esp));
    }
    let now_us = two.now_us;
    two.workers[0].step_at(now_us);
    let (source, destination) = (Site(2).public(false), Site(1).public(false));
    for number in 0..32 {
        let datagram = packet(source, destination, Protocol(253), 64, &[number; 50]);
        let packet = two.pool.take_copy(&datagram).expect("a packet");
        two.handles[1].control.inject(Inject { packet }).expect("room");
    }
    two.workers[1].step_at(now_us);
    assert_eq!((two.sent(WAN).len(), two.sent(LAN).len()), (32, 64), "{:?}", two.moved());
    one.finish();
    two.finish();
}
