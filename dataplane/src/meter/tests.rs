use super::*;
use Direction::{Inbound, Outbound};
use proptest::prelude::*;

const MBIT: u64 = 1_000_000 / 8;

fn gateway(bytes_per_s: u64, tunnels: usize) -> Vec<Share> {
    let meter = Arc::new(Meter::new(NonZeroU64::new(bytes_per_s).unwrap()));
    (0..tunnels).map(|_| Share::new(Arc::clone(&meter))).collect()
}

/// Offers packets of `bytes` at each tunnel's rate (in bytes a second) from `from_us` on for a second; what each got through, in bytes.
fn offer(shares: &[Share], rates: &[u64], bytes: u64, from_us: u64) -> Vec<u64> {
    let mut passed = vec![0; shares.len()];
    let mut owed = vec![0; shares.len()];
    for us in (0..1_000_000).step_by(50) {
        for (at, share) in shares.iter().enumerate() {
            owed[at] += rates[at] * 50;
            while owed[at] >= bytes * 1_000_000 {
                owed[at] -= bytes * 1_000_000;
                if share.take(Outbound, bytes, from_us + us) {
                    passed[at] += bytes;
                }
            }
        }
    }
    passed
}

fn within(value: u64, target: u64, percent: u64) -> bool {
    value.abs_diff(target) * 100 <= target * percent
}

#[test]
fn greedy_tunnel_gets_the_gateways_rate_exact_to_a_percent() {
    for rate in [MBIT, 10 * MBIT, 100 * MBIT, 1250 * MBIT] {
        let shares = gateway(rate, 1);
        let _warm = offer(&shares, &[3 * rate], 1400, 1_000_000);
        let passed = offer(&shares, &[3 * rate], 1400, 2_000_000);
        assert!(within(passed[0], rate, 1), "{} of {rate}", passed[0]);
    }
}

#[test]
fn ten_greedy_tunnels_get_a_tenth_each_however_much_they_offer() {
    let rate = 100 * MBIT;
    let shares = gateway(rate, 10);
    let rates: Vec<u64> = (0..10).map(|tunnel| rate / 5 + tunnel * rate / 4).collect();
    let _warm = offer(&shares, &rates, 1400, 1_000_000);
    let passed = offer(&shares, &rates, 1400, 2_000_000);
    assert!(within(passed.iter().sum(), rate, 1), "{passed:?}");
    assert!(passed.iter().all(|passed| within(*passed, rate / 10, 10)), "{passed:?}");
}

#[test]
fn modest_tunnel_loses_nothing_beside_greedy_ones_and_they_take_what_it_leaves() {
    let rate = 100 * MBIT;
    let shares = gateway(rate, 4);
    let rates = [rate / 20, 2 * rate, 2 * rate, 2 * rate];
    let _warm = offer(&shares, &rates, 1400, 1_000_000);
    let passed = offer(&shares, &rates, 1400, 2_000_000);
    assert!(within(passed[0], rate / 20, 1), "{passed:?}");
    assert!(within(passed.iter().sum(), rate, 1), "{passed:?}");
}

#[test]
fn workers_clocks_that_differ_by_a_little_make_no_tunnel_two() {
    let shares = gateway(100 * MBIT, 2);
    let window_us = WINDOW / TICKS_PER_US;
    for window in 20..40 {
        // One worker is in the window already, the other one not yet.
        for _ in 0..5 {
            for us in [window * window_us + 2, window * window_us - 3] {
                assert!(shares.iter().all(|share| share.take(Outbound, 100, us)));
            }
        }
        let meter = shares[0].meter();
        let count = |count: &AtomicU32| count.load(Ordering::Relaxed);
        assert_eq!(count(&meter.seen), 2, "window {window}");
        assert!(window == 20 || count(&meter.active) == 2, "window {window}");
    }
}

/// What ten tunnels get through in a second if each offers the gateway's whole rate, and the first one also `first_out` bytes a second the other way.
fn offer_both_ways(rate: u64, first_out: u64) -> (Vec<u64>, u64) {
    let shares = gateway(rate, 10);
    let mut passed = (vec![0; 10], 0);
    for us in (0..2_000_000_u64).step_by(100) {
        if us == 1_000_000 {
            passed = (vec![0; 10], 0);
        }
        for (share, passed) in shares.iter().zip(&mut passed.0) {
            let packets = rate * (us + 100) / 1_400_000_000 - rate * us / 1_400_000_000;
            for _ in 0..packets {
                *passed += if share.take(Inbound, 1400, 1_000_000 + us) { 1400 } else { 0 };
            }
        }
        for _ in 0..first_out * (us + 100) / 100_000_000 - first_out * us / 100_000_000 {
            passed.1 += if shares[0].take(Outbound, 100, 1_000_000 + us) { 100 } else { 0 };
        }
    }
    passed
}

#[test]
fn answers_of_a_tunnel_pass_beside_its_own_flood_and_cost_it_little_of_its_part() {
    let rate = 100 * MBIT;
    let (flood, answers) = offer_both_ways(rate, rate / 100);
    assert!(within(answers, rate / 100, 15), "{answers}");
    assert!(within(flood[0] + answers, rate / 10, 15), "{flood:?}");
    let (flood, answers) = offer_both_ways(rate, rate);
    assert!(flood[0] + answers > rate / 10 * 8 / 10, "{flood:?}, {answers}");
    assert!(answers > rate / 40, "{flood:?}, {answers}");
}

#[test]
fn lone_tunnel_gets_everything_when_the_others_fall_silent() {
    let rate = 100 * MBIT;
    let shares = gateway(rate, 10);
    let _all = offer(&shares, &[rate; 10], 1400, 1_000_000);
    let mut one = [0; 10];
    one[3] = 2 * rate;
    let passed = offer(&shares, &one, 1400, 2_000_000);
    assert!(within(passed[3], rate, 5), "{passed:?}");
    let passed = offer(&shares, &one, 1400, 3_000_000);
    assert!(within(passed[3], rate, 1), "{passed:?}");
}

#[test]
fn resized_gateway_sends_at_its_new_rate() {
    let shares = gateway(10 * MBIT, 1);
    let _warm = offer(&shares, &[300 * MBIT], 1400, 1_000_000);
    shares[0].meter().resize(NonZeroU64::new(100 * MBIT).unwrap());
    let passed = offer(&shares, &[300 * MBIT], 1400, 2_000_000);
    assert!(within(passed[0], 100 * MBIT, 2), "{passed:?}");
}

#[test]
fn workers_that_take_at_once_take_no_more_than_the_rate() {
    let rate = 100 * MBIT;
    let shares = gateway(rate, 4);
    let clock = AtomicU64::new(1_000_000);
    let passed: u64 = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut passed = 0;
                    loop {
                        let now_us = clock.fetch_add(1, Ordering::Relaxed);
                        if now_us >= 2_000_000 {
                            return passed;
                        }
                        for share in &shares {
                            passed += if share.take(Outbound, 1400, now_us) { 1400 } else { 0 };
                        }
                    }
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).sum()
    });
    assert!(within(passed, rate, 2), "{passed} of {rate}");
}

proptest! {
    /// In no second does a gateway send more than a second's worth and a bucket.
    #[test]
    fn never_exceeds_rate_and_depth(
        rate in 1_000u64..10_000_000_000,
        steps in prop::collection::vec((0u64..2_000, 0usize..3, 40u64..9_000), 1..400),
    ) {
        let shares = gateway(rate, 3);
        let (mut now_us, mut passed) = (5_000_000, 0);
        let began_us = now_us;
        for (us, tunnel, bytes) in steps {
            now_us += us;
            passed += if shares[tunnel].take(Outbound, bytes, now_us) { bytes } else { 0 };
        }
        let depth = (rate / 125).max(DEPTH_MIN_BYTES);
        let most = u128::from(now_us - began_us) * u128::from(rate) / 1_000_000 + u128::from(depth) + 3;
        prop_assert!(u128::from(passed) <= most, "{passed} > {most}");
    }
}
