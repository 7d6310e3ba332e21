//! Sequence numbers at their edges: never one twice on a key, across 2^32 with ESN, and an end rather than a wrap.

use std::collections::BTreeSet;
use std::sync::Arc;

use crossgate_dataplane::counter::Counter::*;
use crossgate_dataplane::message::{Command, Event};
use crossgate_dataplane::sa::{Esn, Expiry};

use crate::lab::{
    Gateway, HOST, LAN, OURS, Options, Site, WAN, across, authentic, frame, inbound, outbound, padded, spi,
};

/// The IVs, which are the full sequence numbers, of what left.
fn numbers(gateway: &mut Gateway) -> Vec<u64> {
    let iv = |esp: Vec<u8>| u64::from_be_bytes(esp[42..50].try_into().expect("8 bytes"));
    gateway.sent(WAN).into_iter().map(iv).collect()
}

#[test]
fn workers_that_share_an_sa_never_share_a_number_and_stop_at_its_end() {
    for (esn, last) in [(Esn::Off, u64::from(u32::MAX)), (Esn::On, 1 << 63)] {
        let options = Options { esn, first: last - 99, ..Options::default() };
        let mut one = Gateway::new(Site(1), 2);
        let sa = Arc::new(outbound(Site(1), &options, 0));
        for worker in 0..2 {
            one.command(worker, Command::InstallOutbound(Arc::clone(&sa)));
        }
        one.moved();
        let mut seen = Vec::new();
        for round in 0..10 {
            for queue in 0..2 {
                for _ in 0..=round {
                    one.arrive_at(LAN, queue, &frame(OURS[LAN], HOST, &across(Site(1), false, 64, 1, 40)));
                }
            }
            one.run();
            seen.extend(numbers(&mut one));
        }
        assert_eq!(seen.len(), 100, "110 were offered");
        let distinct: BTreeSet<u64> = seen.into_iter().collect();
        assert_eq!(distinct, (last - 99..=last).collect());
        assert!(one.moved().contains(&(SequenceExhausted, 10)));
        for _ in 0..3 {
            one.arrive(LAN, &frame(OURS[LAN], HOST, &across(Site(1), false, 64, 1, 40)));
            one.run();
            assert_eq!(numbers(&mut one), [0; 0], "and never again");
        }
        let ends = one.events().into_iter();
        let ends =
            ends.filter(|event| matches!(event, Event::Expired { expiry: Expiry::Sequence, .. })).count();
        assert_eq!((ends, sa.reached()), (1, Some(Expiry::Sequence)));
        one.finish();
    }
}

#[test]
fn extended_numbers_are_followed_over_their_32_bits_in_both_orders() {
    const WRAP: u64 = 1 << 32;
    let options = Options { window: 64, ..Options::default() };
    let mut two = Gateway::new(Site(2), 1);
    two.install(outbound(Site(2), &options, 0), inbound(Site(2), &options, 0));
    two.moved();
    let plain = padded(&across(Site(1), false, 64, 1, 40));
    // Half a subspace at a time up to the edge; over it; back into the window's older part; on.
    for (sequence, reason) in [
        (1, None),
        (WRAP / 2, None),
        (WRAP - 3, None),
        (WRAP + 2, None),
        (WRAP - 1, None),
        (WRAP, None),
        (WRAP - 3, Some(EspReplayed)),
        (WRAP + 2, Some(EspReplayed)),
        (WRAP + 2 - 63, None),
        // Left of the window, the low bits stand for a number of the next subspace: the tag does not fit it.
        (WRAP + 2 - 64, Some(EspAuthFailed)),
        (WRAP + WRAP / 2, None),
        (2 * WRAP + 1, None),
        (2 * WRAP - 1, None),
    ] {
        two.arrive(WAN, &authentic(Site(2), spi(Site(2), 0), Esn::On, sequence, &plain));
        two.run();
        match reason {
            None => assert_eq!(two.moved(), [(RxPackets, 1), (TxPackets, 1), (EspOpened, 1)], "{sequence:x}"),
            Some(reason) => assert_eq!(two.moved(), [(RxPackets, 1), (reason, 1)], "{sequence:x}"),
        }
    }
    two.finish();
}

#[test]
fn windows_of_every_width_end_where_they_should() {
    for window in [64, 65, 128, 1000, 4096] {
        let options = Options { esn: Esn::Off, window, ..Options::default() };
        let mut two = Gateway::new(Site(2), 1);
        two.install(outbound(Site(2), &options, 0), inbound(Site(2), &options, 0));
        two.moved();
        let plain = padded(&across(Site(1), false, 64, 1, 40));
        let top = 10_000;
        let oldest = top - u64::from(window) + 1;
        for (sequence, reason) in [
            (top, None),
            (oldest, None),
            (oldest - 1, Some(EspTooOld)),
            (oldest, Some(EspReplayed)),
            (top, Some(EspReplayed)),
        ] {
            two.arrive(WAN, &authentic(Site(2), spi(Site(2), 0), Esn::Off, sequence, &plain));
            two.run();
            let expected = match reason {
                None => vec![(RxPackets, 1), (TxPackets, 1), (EspOpened, 1)],
                Some(reason) => vec![(RxPackets, 1), (reason, 1)],
            };
            assert_eq!(two.moved(), expected, "window {window}, number {sequence}");
        }
        two.finish();
    }
}
