//! Random operations on a whole worker (SAs installed, replaced and removed, routes swapped, time, packets in between) against two laws: every packet
//! that entered has left, was dropped or waits; and nothing protected ever leaves in clear.

use std::sync::Arc;

use crossgate_dataplane::counter::Counter;
use crossgate_dataplane::forwarding::{Forwarding, NextHop};
use crossgate_dataplane::message::Command;
use crossgate_dataplane::sa::{Esn, Lifetime, Limits};
use proptest::prelude::*;

use crate::lab::{
    Gateway, HOST, LAN, OURS, Options, PEER, SITE, Site, TUNNEL, WAN, across, authentic, builder, frame,
    inbound_at, outbound_to, padded, raw_spi,
};

/// What a test does next.
#[derive(Debug, Clone)]
enum Operation {
    InstallOutbound { slot: u32, packets: u64 },
    RemoveOutbound { slot: u32 },
    InstallInbound { slot: u32, packets: u64 },
    RemoveInbound { slot: u32 },
    Routes(u8),
    FromHost { v6: bool, bytes: usize },
    FromPeer { slot: u32, sequence: u64 },
    Garbage(Vec<u8>),
    Pass(u64),
}

fn operation() -> impl Strategy<Value = Operation> {
    use Operation::*;
    let slot = || 10_u32..14;
    prop_oneof![
        2 => (slot(), 1_u64..40).prop_map(|(slot, packets)| InstallOutbound { slot, packets }),
        1 => slot().prop_map(|slot| RemoveOutbound { slot }),
        2 => (slot(), 1_u64..40).prop_map(|(slot, packets)| InstallInbound { slot, packets }),
        1 => slot().prop_map(|slot| RemoveInbound { slot }),
        1 => (0_u8..3).prop_map(Routes),
        8 => (any::<bool>(), 16_usize..1450).prop_map(|(v6, bytes)| FromHost { v6, bytes }),
        8 => (slot(), 1_u64..300).prop_map(|(slot, sequence)| FromPeer { slot, sequence }),
        2 => proptest::collection::vec(any::<u8>(), 0..120).prop_map(Garbage),
        1 => (0_u64..3_000_000).prop_map(Pass),
    ]
}

/// The usual routes; none to the other site; or the other site's prefixes blackholed.
fn routes(kind: u8) -> Forwarding {
    let mut routes = builder(Site(1));
    let next_hop = match kind {
        0 => NextHop::Tunnel(TUNNEL),
        1 => NextHop::Unreachable,
        _ => NextHop::Blackhole,
    };
    for prefix in Site(2).prefixes() {
        routes.route(SITE, prefix, next_hop);
    }
    routes.build().expect("consistent")
}

fn options(packets: u64) -> Options {
    let limits = |packets| Limits { packets, bytes: u64::MAX };
    let lifetime = Lifetime { soft: limits(packets / 2), hard: limits(packets) };
    Options { esn: Esn::Off, lifetime, ..Options::default() }
}

/// The mark of what the host sends: long enough that no ciphertext has it by chance.
const MARK: u8 = 0xc5;

fn apply(one: &mut Gateway, operation: Operation) {
    match operation {
        Operation::InstallOutbound { slot, packets } => {
            let sa = Arc::new(outbound_to(Site(1), &options(packets), raw_spi(slot)));
            one.command(0, Command::InstallOutbound(sa));
        }
        Operation::RemoveOutbound { slot } => {
            one.command(0, Command::RemoveOutbound { tunnel: TUNNEL, spi: raw_spi(slot) });
        }
        Operation::InstallInbound { slot, packets } => {
            let sa = Box::new(inbound_at(Site(1), &options(packets), raw_spi(slot)));
            one.command(0, Command::InstallInbound(sa));
        }
        Operation::RemoveInbound { slot } => {
            one.command(0, Command::RemoveInbound(raw_spi(slot)));
        }
        Operation::Routes(kind) => {
            one.command(0, Command::SetForwarding(Arc::new(routes(kind))));
        }
        Operation::FromHost { v6, bytes } => {
            one.arrive(LAN, &frame(OURS[LAN], HOST, &across(Site(1), v6, 64, MARK, bytes)));
        }
        Operation::FromPeer { slot, sequence } => {
            let plain = padded(&across(Site(2), false, 64, 7, 40));
            one.arrive(WAN, &authentic(Site(1), raw_spi(slot), Esn::Off, sequence, &plain));
        }
        Operation::Garbage(bytes) => one.arrive(WAN, &frame(OURS[WAN], PEER, &bytes)),
        Operation::Pass(us) => one.now_us += us,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_uncounted_and_nothing_leaves_in_clear(
        turns in proptest::collection::vec(proptest::collection::vec(operation(), 1..12), 1..16),
    ) {
        let mut one = Gateway::new(Site(1), 1);
        let (mut sealed, mut public) = (0, 0);
        for turn in turns {
            for operation in turn {
                apply(&mut one, operation);
            }
            one.run();
            for left in one.sent(WAN) {
                prop_assert!(!left.windows(16).any(|window| window == [MARK; 16]), "{left:02x?}");
                public += u64::from(left[12..14] == [8, 0] && left[14 + 9] == 50);
            }
            for left in one.sent(LAN) {
                let is_to_host = left[..6] == HOST.0 || left[0] & 1 == 1;
                prop_assert!(is_to_host, "{left:02x?}");
            }
            let waiting = one.workers[0].waiting_packets();
            prop_assert_eq!(one.counters().balance(), i64::try_from(waiting).expect("few"));
            sealed = one.counters().get(Counter::EspSealed);
            drop(one.events());
        }
        prop_assert_eq!(sealed, public, "every sealed packet left as ESP");
        one.finish();
    }
}
