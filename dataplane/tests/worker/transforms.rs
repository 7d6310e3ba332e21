//! Tunnels with transforms other than AES-GCM: every one through two gateways, in every encapsulation; sizes, forgeries, and bursts that mix transforms.

use std::sync::Arc;

use crate::lab::{
    Gateway, HOST, LAN, OURS, Options, PEER, Site, WAN, across, forwarded, frame, inbound, inbound_at,
    outbound, outbound_to, pair, raw_spi,
};
use crossgate_dataplane::counter::Counter::*;
use crossgate_dataplane::message::Command;
use crossgate_dataplane::sa::Esn;
use crossgate_dataplane::transform::{Cipher, Integrity, Transform};

const CIPHERS: [Cipher; 6] = [
    Cipher::AesCbc128,
    Cipher::AesCbc192,
    Cipher::AesCbc256,
    Cipher::TripleDesCbc,
    Cipher::DesCbc,
    Cipher::Null,
];
const INTEGRITIES: [Integrity; 5] = [
    Integrity::HmacMd5_96,
    Integrity::HmacSha1_96,
    Integrity::HmacSha2_256_128,
    Integrity::HmacSha2_384_192,
    Integrity::HmacSha2_512_256,
];
const CBC_SHA256: Transform = Transform::Separate(Cipher::AesCbc256, Integrity::HmacSha2_256_128);
const NULL_SHA1: Transform = Transform::Separate(Cipher::Null, Integrity::HmacSha1_96);

fn all() -> impl Iterator<Item = Transform> {
    let separate =
        CIPHERS.into_iter().flat_map(|cipher| INTEGRITIES.map(|with| Transform::Separate(cipher, with)));
    separate.chain([Transform::ChaCha20Poly1305])
}

fn options(transform: Transform) -> Options {
    Options { transform: Some(transform), ..Options::default() }
}

/// Sends one packet from a site's host and returns the ESP frame.
fn seal(one: &mut Gateway, clear: &[u8]) -> Vec<u8> {
    one.arrive(LAN, &frame(OURS[LAN], HOST, clear));
    one.run();
    let mut sent = one.sent(WAN);
    assert_eq!(sent.len(), 1, "{:?}", one.moved());
    sent.remove(0)
}

#[test]
fn every_transform_carries_packets_in_every_encapsulation() {
    for (case, transform) in (0_u32..).zip(all().flat_map(|transform| [transform; 4])) {
        let bit = |at: u32| case >> at & 1 == 1;
        let esn = if bit(2) { Esn::On } else { Esn::Off };
        let options = Options { outer_v6: bit(0), in_udp: bit(1), esn, ..options(transform) };
        let [mut one, mut two] = pair(&options);
        for (number, bytes) in (0..).zip([0, 1, 2, 3, 7, 15, 16, 64, 200, 1300]) {
            let v6 = number % 2 == 1;
            let esp = seal(&mut one, &across(Site(1), v6, 64, 0x77, bytes));
            assert_eq!(one.moved(), [(RxPackets, 1), (TxPackets, 1), (EspSealed, 1)], "{transform:?}");
            let shows = esp.windows(16).any(|window| window == [0x77; 16]);
            let is_null = matches!(transform, Transform::Separate(Cipher::Null, _));
            assert!(bytes < 64 || shows == is_null, "{transform:?}: clear text on the wire, {shows}");
            two.arrive(WAN, &forwarded(esp));
            two.run();
            let expected = frame(HOST, OURS[LAN], &across(Site(1), v6, 62, 0x77, bytes));
            assert_eq!(two.sent(LAN), [expected], "{transform:?} {options:?}");
            assert_eq!(two.moved(), [(RxPackets, 1), (TxPackets, 1), (EspOpened, 1)], "{transform:?}");
        }
        one.finish();
        two.finish();
    }
}

#[test]
fn both_ends_count_the_payload_as_the_transform_pads_it() {
    for (transform, payload) in [(CBC_SHA256, 144), (NULL_SHA1, 132)] {
        let (mut one, mut two) = (Gateway::new(Site(1), 1), Gateway::new(Site(2), 1));
        let (sends, opens) =
            (outbound(Site(1), &options(transform), 0), inbound(Site(2), &options(transform), 0));
        let (sends, stats) = (Arc::new(sends), opens.stats());
        one.command(0, Command::InstallOutbound(Arc::clone(&sends)));
        two.command(0, Command::InstallInbound(Box::new(opens)));
        // 128 bytes with the header.
        let esp = seal(&mut one, &across(Site(1), false, 64, 0x77, 108));
        two.arrive(WAN, &forwarded(esp));
        two.run();
        assert_eq!((sends.bytes(), stats.bytes()), (payload, payload), "{transform:?}");
        drop(two.sent(LAN));
        one.finish();
        two.finish();
    }
}

#[test]
fn the_longest_packet_fills_the_path_and_a_longer_one_is_told_so() {
    // 1500 - 20 - 8 - 16 - 16, whole blocks, trailer; the same with 8, 0 and 12.
    for (transform, longest, filled) in [(CBC_SHA256, 1438, 1500), (NULL_SHA1, 1458, 1500)] {
        let [mut one, two] = pair(&options(transform));
        let esp = seal(&mut one, &across(Site(1), false, 64, 0x77, longest - 20));
        assert_eq!(esp.len(), 14 + filled, "{transform:?}");
        one.arrive(LAN, &frame(OURS[LAN], HOST, &across(Site(1), false, 64, 0x77, longest - 19)));
        one.run();
        let told = one.sent(LAN);
        assert_eq!(one.sent(WAN).len() + told.len(), 1, "{transform:?}: {:?}", one.moved());
        // ICMP "fragmentation needed": the MTU stands behind type, code, checksum and two unused bytes.
        let mtu_bytes = u16::from_be_bytes([told[0][14 + 26], told[0][14 + 27]]);
        assert_eq!(usize::from(mtu_bytes), longest, "{transform:?}");
        one.finish();
        two.finish();
    }
}

#[test]
fn a_forged_packet_moves_its_counter_and_not_the_window() {
    for transform in [CBC_SHA256, NULL_SHA1, Transform::ChaCha20Poly1305] {
        let [mut one, mut two] = pair(&Options { esn: Esn::Off, ..options(transform) });
        let esp = forwarded(seal(&mut one, &across(Site(1), false, 64, 9, 100)));
        // In the number, the payload, the ICV; none may keep the true packet out. ESP begins at 34.
        for at in [34 + 7, esp.len() - 50, esp.len() - 1] {
            let mut bad = esp.clone();
            bad[at] ^= 0x40;
            two.arrive(WAN, &bad);
            two.run();
            assert_eq!(two.moved(), [(RxPackets, 1), (EspAuthFailed, 1)], "{transform:?} {at}");
        }
        for (cut_bytes, reason) in [(1, EspMisaligned), (esp.len() - 34 - 16, EspRunt)] {
            two.arrive(WAN, &shorter(&esp, cut_bytes));
            two.run();
            assert_eq!(two.moved(), [(RxPackets, 1), (reason, 1)], "{transform:?}");
        }
        two.arrive(WAN, &esp);
        two.arrive(WAN, &esp);
        two.run();
        assert_eq!(two.sent(LAN), [frame(HOST, OURS[LAN], &across(Site(1), false, 62, 9, 100))]);
        assert_eq!(two.moved(), [(RxPackets, 2), (TxPackets, 1), (EspReplayed, 1), (EspOpened, 1)]);
        one.finish();
        two.finish();
    }
}

/// The frame without its last bytes; the outer IPv4 header says so.
fn shorter(esp: &[u8], cut_bytes: usize) -> Vec<u8> {
    let packet = &esp[14..esp.len() - cut_bytes];
    let mut packet = packet.to_vec();
    let total = u16::try_from(packet.len()).expect("short");
    packet[2..4].copy_from_slice(&total.to_be_bytes());
    crossgate_dataplane::header::ipv4::write_checksum(&mut packet[..20]);
    frame(OURS[WAN], PEER, &packet)
}

#[test]
fn one_burst_can_hold_packets_of_several_transforms() {
    let kinds = [None, Some(CBC_SHA256), Some(NULL_SHA1), Some(Transform::ChaCha20Poly1305)];
    let mut two = Gateway::new(Site(2), 1);
    let mut burst = Vec::new();
    for (slot, transform) in (3..).zip(kinds) {
        let options = Options { transform, ..Options::default() };
        let mut one = Gateway::new(Site(1), 1);
        one.install(outbound_to(Site(1), &options, raw_spi(slot)), inbound(Site(1), &options, 0));
        two.install(outbound(Site(2), &options, 0), inbound_at(Site(2), &options, raw_spi(slot)));
        for number in 0..4 {
            let fill = u8::try_from(slot * 10 + number).expect("small");
            burst.push((fill, forwarded(seal(&mut one, &across(Site(1), false, 64, fill, 200)))));
        }
        one.finish();
    }
    two.moved();
    burst.sort_by_key(|(fill, _)| (fill % 10, *fill)); // interleaved
    for (_, esp) in &burst {
        two.arrive(WAN, esp);
    }
    two.run();
    let expected: Vec<_> = burst
        .iter()
        .map(|(fill, _)| frame(HOST, OURS[LAN], &across(Site(1), false, 62, *fill, 200)))
        .collect();
    assert_eq!(two.sent(LAN), expected);
    assert_eq!(two.moved(), [(RxPackets, 16), (TxPackets, 16), (EspOpened, 16)]);
    two.finish();
}
