//! The binary search of RFC 2544, 26.1: the highest rate at which nothing is lost.

use anyhow::Result;

/// Halvings after which a search ends, whatever the resolution.
const STEPS: usize = 20;

/// The highest rate from 0 to `most` for which `passes` said yes, to within `resolution` (a fraction of `most`). 0: none did.
pub(crate) fn highest(
    most: f64,
    resolution: f64,
    mut passes: impl FnMut(f64) -> Result<bool>,
) -> Result<f64> {
    if passes(most)? {
        return Ok(most);
    }
    let (mut low, mut high) = (0.0, most);
    for _ in 0..STEPS {
        if high - low <= resolution * most {
            break;
        }
        let middle = low.midpoint(high);
        if passes(middle)? {
            low = middle;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(limit: f64, resolution: f64) -> (f64, usize) {
        let mut trials = 0;
        let rate = highest(100.0, resolution, |rate| {
            trials += 1;
            Ok(rate <= limit)
        });
        (rate.expect("no trial fails"), trials)
    }

    #[test]
    fn rate_is_below_the_limit_by_at_most_the_resolution() {
        for limit in 1..100 {
            let limit = f64::from(limit) + 0.5;
            let (rate, trials) = found(limit, 0.01);
            assert!(rate <= limit && limit - rate <= 1.0, "{rate} for {limit}");
            assert!(trials <= 9, "{trials} trials");
        }
    }

    #[test]
    fn whoever_never_loses_gets_the_most_after_one_trial() {
        assert_eq!(found(1000.0, 0.01), (100.0, 1));
    }

    #[test]
    fn whoever_always_loses_gets_nothing() {
        assert_eq!(found(-1.0, 0.01).0, 0.0);
    }

    #[test]
    fn a_trial_that_cannot_be_run_ends_the_search() {
        assert!(highest(100.0, 0.01, |_| anyhow::bail!("no generator")).is_err());
    }
}
