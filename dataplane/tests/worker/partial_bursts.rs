//! Bursts that are not full: nothing waits for more packets, whatever the SA's transform is. A turn is one step of a worker; no time passes in it.

use crate::lab::{
    Gateway, HOST, LAN, OURS, Options, Site, WAN, across, forwarded, frame, inbound, outbound, pair,
};
use crossgate_dataplane::counter::Counter::*;
use crossgate_dataplane::transform::{Cipher, Integrity, Transform};

const TRANSFORMS: [Option<Transform>; 5] = [
    None,
    Some(Transform::Separate(Cipher::AesCbc128, Integrity::HmacSha1_96)),
    Some(Transform::Separate(Cipher::AesCbc256, Integrity::HmacSha2_256_128)),
    Some(Transform::Separate(Cipher::Null, Integrity::HmacSha2_256_128)),
    Some(Transform::ChaCha20Poly1305),
];
/// Packets of each turn: strangers, then those of a flow that is known.
const COUNTS: [u8; 4] = [3, 3, 1, 2];

fn turn(gateway: &mut Gateway, worker: usize) {
    let now_us = gateway.now_us;
    gateway.workers[worker].step_at(now_us);
}

/// Packets from site 1 to site 2, that many.
fn clear(count: u8) -> impl Iterator<Item = Vec<u8>> {
    (0..count).map(|number| across(Site(1), false, 64, number, 100))
}

/// What the host of site 2 gets of them.
fn delivered(count: u8) -> Vec<Vec<u8>> {
    (0..count).map(|number| frame(HOST, OURS[LAN], &across(Site(1), false, 62, number, 100))).collect()
}

#[test]
fn few_packets_leave_in_the_turn_in_which_they_came() {
    for (transform, in_udp) in
        TRANSFORMS.into_iter().flat_map(|transform| [(transform, false), (transform, true)])
    {
        let [mut one, mut two] = pair(&Options { transform, in_udp, ..Options::default() });
        for count in COUNTS {
            clear(count).for_each(|packet| one.arrive(LAN, &frame(OURS[LAN], HOST, &packet)));
            turn(&mut one, 0);
            let sealed = one.sent(WAN);
            assert_eq!(sealed.len(), usize::from(count), "sealed: {transform:?}, in UDP {in_udp}");
            sealed.into_iter().for_each(|esp| two.arrive(WAN, &forwarded(esp)));
            turn(&mut two, 0);
            assert_eq!(two.sent(LAN), delivered(count), "opened: {transform:?}, in UDP {in_udp}");
        }
        one.finish();
        two.finish();
    }
}

#[test]
fn few_packets_of_both_directions_leave_in_one_turn() {
    let options = Options::default();
    let [mut one, mut two] = pair(&options);
    one.arrive(LAN, &frame(OURS[LAN], HOST, &across(Site(1), false, 64, 1, 100)));
    turn(&mut one, 0);
    one.sent(WAN).into_iter().for_each(|esp| two.arrive(WAN, &forwarded(esp)));
    two.arrive(LAN, &frame(OURS[LAN], HOST, &across(Site(2), false, 64, 2, 100)));
    two.moved();
    turn(&mut two, 0);
    assert_eq!((two.sent(WAN).len(), two.sent(LAN).len()), (1, 1));
    assert_eq!(two.moved(), [(RxPackets, 2), (TxPackets, 2), (EspSealed, 1), (EspOpened, 1)]);
    one.finish();
    two.finish();
}

#[test]
fn few_packets_that_are_handed_over_leave_in_the_next_turn_of_their_home() {
    for transform in TRANSFORMS {
        let options = Options { transform, ..Options::default() };
        let (mut one, mut two) = (Gateway::new(Site(1), 1), Gateway::new(Site(2), 2));
        one.install(outbound(Site(1), &options, 1), inbound(Site(1), &options, 0));
        two.install(outbound(Site(2), &options, 0), inbound(Site(2), &options, 1));
        for count in COUNTS {
            clear(count).for_each(|packet| one.arrive(LAN, &frame(OURS[LAN], HOST, &packet)));
            turn(&mut one, 0);
            one.sent(WAN).into_iter().for_each(|esp| two.arrive(WAN, &forwarded(esp)));
            turn(&mut two, 0);
            turn(&mut two, 1);
            assert_eq!(two.sent(LAN), delivered(count), "{transform:?}");
        }
        one.finish();
        two.finish();
    }
}
