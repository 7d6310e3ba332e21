//! How far the measurements of a case lie apart, in TSC cycles per packet.

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use serde::Serialize;

use crate::machine::report_precision;

/// The least disturbed, the middle one, and how far the worse ones are from the best.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    /// The figure to compare: what it costs undisturbed.
    #[serde(rename = "net_cycles_per_packet")]
    pub(crate) min: f64,
    #[serde(rename = "median_net_cycles_per_packet")]
    pub(crate) median: f64,
    /// Nine of ten are at most so far above the least.
    #[serde(rename = "spread_cycles_per_packet")]
    pub(crate) spread: f64,
}

impl Spread {
    /// Of windows, each with its cycles per packet.
    pub(crate) fn of(windows: &[f64]) -> Result<Self> {
        let mut sorted = windows.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let at = |ninths: usize| sorted.get(sorted.len().saturating_sub(1) * ninths / 10).copied();
        let (min, median, most) = (at(0), at(5), at(9));
        let (min, median, most) =
            min.zip(median).zip(most).map(|((a, b), c)| (a, b, c)).context("nothing was measured")?;
        Ok(Self { min, median, spread: most - min })
    }

    /// Of bursts, each with the cycles for all of its packets.
    pub(crate) fn of_bursts(bursts: &Histogram<u64>, packets: f64) -> Self {
        let per_packet = |cycles| report_precision(cycles) / packets;
        let min = per_packet(bursts.min());
        Self {
            min,
            median: per_packet(bursts.value_at_quantile(0.5)),
            spread: per_packet(bursts.value_at_quantile(0.9)) - min,
        }
    }

    /// Without what source and sink cost.
    pub(crate) fn minus(self, cycles: f64) -> Self {
        Self { min: self.min - cycles, median: self.median - cycles, ..self }
    }

    /// Million packets and gigabits (of inner packets) a second that the median comes to.
    pub(crate) fn rates(self, tsc_hz: f64, inner_bytes: u16) -> (f64, f64) {
        let mpps = tsc_hz / self.median / 1e6;
        (mpps, mpps * f64::from(inner_bytes) * 8.0 / 1e3)
    }

    /// Least, median, spread.
    pub(crate) fn cells(self) -> [String; 3] {
        [self.min, self.median, self.spread].map(|cycles| format!("{cycles:.0}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_give_least_median_and_spread() {
        let spread = Spread::of(&[120.0, 100.0, 110.0]).expect("three windows");
        assert_eq!(spread, Spread { min: 100.0, median: 110.0, spread: 10.0 });
        assert!(Spread::of(&[]).is_err());
    }

    #[test]
    fn rates_follow_from_the_median() {
        let net = Spread { min: 90.0, median: 100.0, spread: 20.0 };
        assert_eq!(net.rates(2e9, 1000), (20.0, 160.0));
        assert_eq!(net.minus(10.0), Spread { min: 80.0, median: 90.0, spread: 20.0 });
    }

    #[test]
    fn rows_have_the_three_figures_beside_their_own() {
        let net = Spread { min: 1.0, median: 2.0, spread: 3.0 };
        let json = serde_json::to_value(net).expect("JSON");
        assert_eq!(json["net_cycles_per_packet"], 1.0);
        assert_eq!(json["median_net_cycles_per_packet"], 2.0);
        assert_eq!(json["spread_cycles_per_packet"], 3.0);
    }
}
