use std::num::NonZeroU64;

use super::*;
use crate::forwarding::TunnelId;
use crate::gcm::{Kernel, Key};
use crate::spi::Spi;

fn endpoints() -> Endpoints {
    Endpoints::V4 { local: [192, 0, 2, 1].into(), remote: [192, 0, 2, 2].into() }
}

fn outbound(esn: Esn, first: u64, lifetime: Lifetime) -> OutboundSa {
    OutboundSa::new(OutboundParameters {
        tunnel: TunnelId(0),
        spi: Spi::new(256).expect("not reserved"),
        keys: Keys::AesGcm { key: Key::new(Kernel::detect(), &[0; 16]).expect("a length"), salt: [0; 4] },
        endpoints: endpoints(),
        encapsulation: Encapsulation::Plain,
        esn,
        first_sequence: NonZeroU64::new(first).expect("not zero"),
        lifetime,
        dscp: DscpPolicy::Copy,
        path_mtu_bytes: 1500,
        keepalive: None,
    })
}

fn inbound(lifetime: Lifetime) -> InboundSa {
    InboundSa::new(InboundParameters {
        tunnel: TunnelId(0),
        spi: Spi::new(256).expect("not reserved"),
        keys: Keys::AesGcm { key: Key::new(Kernel::detect(), &[0; 16]).expect("a length"), salt: [0; 4] },
        endpoints: endpoints(),
        encapsulation: Encapsulation::Plain,
        esn: Esn::Off,
        replay_window_packets: 64,
        lifetime,
    })
}

const PACKETS: Lifetime =
    Lifetime { soft: Limits { packets: 3, bytes: u64::MAX }, hard: Limits { packets: 5, bytes: u64::MAX } };
const BYTES: Lifetime = Lifetime {
    soft: Limits { packets: u64::MAX, bytes: 300 },
    hard: Limits { packets: u64::MAX, bytes: 500 },
};

#[test]
fn limits_of_an_outbound_sa_can_be_read_off_its_counts() {
    for lifetime in [PACKETS, BYTES] {
        let sa = outbound(Esn::On, 1000, lifetime);
        let mut told = Vec::new();
        for _ in 0..7 {
            let grant = sa.reserve(1, Writers::Many);
            let over = if grant.granted > 0 { sa.account(100, 1, Writers::Many) } else { None };
            told.extend(grant.reached.or(over));
            assert_eq!(sa.reached(), told.last().copied(), "as the events said");
        }
        assert_eq!(told, [Expiry::Soft, Expiry::Hard]);
    }
    let sa = outbound(Esn::Off, u64::from(u32::MAX), Lifetime::UNLIMITED);
    assert_eq!(sa.reached(), Some(Expiry::Soft), "an eighth of the numbers is left at most");
    sa.reserve(1, Writers::Many);
    assert_eq!(sa.reached(), Some(Expiry::Sequence));
}

#[test]
fn threads_that_reserve_at_once_never_get_a_number_twice_nor_one_beyond_the_end() {
    const NUMBERS: u64 = 2_000_000;
    for (esn, last) in [(Esn::Off, u64::from(u32::MAX)), (Esn::On, 1 << 63)] {
        let sa = outbound(esn, last - NUMBERS + 1, Lifetime::UNLIMITED);
        let together = std::sync::Barrier::new(2);
        let reserve = |width: u32| {
            together.wait();
            let mut taken = Vec::new();
            for _ in 0..NUMBERS {
                let grant = sa.reserve(width, Writers::Many);
                taken.extend((0..u64::from(grant.granted)).map(|number| grant.first + number));
                if grant.granted < width {
                    break;
                }
            }
            taken
        };
        let (mut all, other) = std::thread::scope(|scope| {
            let other = scope.spawn(|| reserve(2));
            (reserve(3), other.join().expect("it does not die"))
        });
        for taken in [&all, &other] {
            assert!(taken.is_sorted(), "what one thread got grows");
        }
        all.extend(other);
        all.sort_unstable();
        assert!(all.iter().copied().eq(last - NUMBERS + 1..=last), "{} of {NUMBERS}", all.len());
    }
}

#[test]
fn limits_of_an_inbound_sa_are_kept_for_control() {
    for lifetime in [PACKETS, BYTES] {
        let mut sa = inbound(lifetime);
        let stats = sa.stats();
        let mut told = None;
        for _ in 0..7 {
            told = sa.account(100).or(told);
            assert_eq!(stats.reached(), told);
        }
        assert_eq!(told, Some(Expiry::Hard));
    }
    let mut sa = inbound(Lifetime::UNLIMITED);
    sa.window.accept(u64::from(u32::MAX)).expect("the newest");
    assert!(sa.is_near_the_end(true));
    assert_eq!(sa.stats().reached(), Some(Expiry::Soft));
}

#[test]
fn only_what_was_sent_lately_counts_as_sent() {
    let first = (7 << 32) - 2;
    let sa = outbound(Esn::On, first, Lifetime::UNLIMITED);
    let low = |sequence: u64| u32::try_from(sequence & 0xffff_ffff).expect("32 bits");
    assert!(!sa.sent_recently(low(first)), "nothing was sent yet");
    sa.reserve(5, Writers::One);
    for (sequence, sent) in [(first - 1, false), (first, true), (first + 4, true), (first + 5, false)] {
        assert_eq!(sa.sent_recently(low(sequence)), sent, "{sequence:x}");
    }
    sa.reserve(1 << 23, Writers::One);
    let last = first + 4 + (1 << 23);
    assert!(sa.sent_recently(low(last)) && sa.sent_recently(low(last - (1 << 22) + 1)));
    assert!(!sa.sent_recently(low(last - (1 << 22))) && !sa.sent_recently(low(first)));
}

#[test]
fn packets_that_are_counted_together_bring_nothing_about() {
    let at = |packets, bytes| Limits { packets, bytes };
    let soft = [at(40, u64::MAX), at(u64::MAX, 6 << 16), at(u64::MAX, u64::MAX)];
    for (soft, already, more) in soft.into_iter().flat_map(|soft| {
        [0, 1, 7, 36, 39, 41].into_iter().flat_map(move |already| [1, 3, 5].map(|more| (soft, already, more)))
    }) {
        let of = || {
            let mut sa = inbound(Lifetime { soft, hard: Limits::NONE });
            for _ in 0..already {
                sa.account(9000);
            }
            sa
        };
        let (mut together, mut apart) = (of(), of());
        if !together.is_quiet_for(more) {
            continue;
        }
        assert!(already > 0, "the first packet is told of");
        let told: Vec<_> = (0..more).map(|_| (apart.account(9000), apart.is_first())).collect();
        assert!(told.iter().all(|told| *told == (None, false)), "{soft:?} {already} {more}: {told:?}");
        together.add(more, 9000 * more);
        together.publish(1);
        apart.publish(1);
        let counts = |sa: &InboundSa| (sa.stats().packets(), sa.stats().bytes());
        assert_eq!(counts(&together), counts(&apart));
    }
    let mut far = inbound(Lifetime::UNLIMITED);
    assert_eq!(far.account(100), None);
    assert!(far.is_quiet_for(64));
}
