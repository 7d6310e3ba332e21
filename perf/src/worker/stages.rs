//! Which stage of a worker takes how many cycles, and what it costs to count them.
//!
//! Turns with counters off, with sampled turns counted (what an operator may leave on) and with every turn counted alternate, so that a
//! disturbance meets all three. Each kind is judged by its median burst, since a difference of less than a percent drowns in sums, in which
//! disturbances are; a stage by its best burst.

use std::fmt;

use anyhow::{Context, Result};
use crossgate_dataplane::worker::{Stage, StageTurns};
use dpdk_sys::Mempool;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::{Contender, DIRECTIONS, Direction, Load, TURN_BURSTS, WARM_BURSTS, bursts_of};
use crate::bed::stepped::{Bypass, Gateway};
use crate::engine::BURST_PACKETS;
use crate::machine::{packets_f64, report_precision};

/// What each stage took for a burst, in TSC cycles.
pub(super) type Laps = [u64; Stage::COUNT];

/// TSC cycles a packet of each stage in its best burst; and by how many percent bursts take longer on average with sampled counters.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stages {
    cycles: [f64; Stage::COUNT],
    counters_on_percent: f64,
}

/// TSC cycles of each burst, by direction.
type Bursts = [Vec<u64>; 3];

/// In this order: [`MODES`].
#[derive(Default)]
struct Measured {
    modes: [Bursts; 3],
    /// Each stage in the burst in which it took least, by direction; of turns that were all counted.
    least: [Laps; 3],
}

const MODES: [StageTurns; 3] = [StageTurns::None, StageTurns::Sampled, StageTurns::Every];

/// Measures one contender at one size.
pub(super) fn measure(
    contender: &mut Contender,
    turns: usize,
    pool: &Mempool,
    load: &Load,
    bypass: &mut Bypass,
) -> Result<[Stages; 3]> {
    let mut measured = Measured { least: [[u64::MAX; Stage::COUNT]; 3], ..Measured::default() };
    for _ in 0..turns {
        for (mode, turns) in MODES.into_iter().enumerate() {
            contender.measure_stages(turns);
            measured.block(mode, contender, pool, load, bypass)?;
        }
    }
    contender.measure_stages(StageTurns::None);
    let stages: Vec<Stages> = DIRECTIONS
        .into_iter()
        .enumerate()
        .map(|(at, direction)| measured.of(at, direction))
        .collect::<Result<_>>()?;
    stages.try_into().ok().context("a direction is missing")
}

impl Measured {
    /// Bursts in a row, in a mode that has been set.
    fn block(
        &mut self,
        mode: usize,
        contender: &mut Contender,
        pool: &Mempool,
        load: &Load,
        bypass: &mut Bypass,
    ) -> Result<()> {
        contender.refresh()?;
        for number in 0..WARM_BURSTS + TURN_BURSTS {
            let passes = contender.burst(pool, load, bypass, number)?;
            if number < WARM_BURSTS {
                continue;
            }
            for (bursts, cycles) in self.modes[mode].iter_mut().zip(passes.directions) {
                bursts.push(cycles);
            }
            if MODES[mode] == StageTurns::Every {
                for (least, cycles) in
                    self.least.iter_mut().flatten().zip(passes.stages.into_iter().flatten())
                {
                    *least = (*least).min(cycles);
                }
            }
        }
        contender.check()
    }

    fn of(&mut self, at: usize, direction: Direction) -> Result<Stages> {
        let packets = bursts_of(direction) * packets_f64(BURST_PACKETS);
        let mut medians = [0; 3];
        for (median, bursts) in medians.iter_mut().zip(&mut self.modes) {
            *median = middle(&mut bursts[at])?;
        }
        Ok(Stages {
            cycles: self.least[at].map(|cycles| report_precision(cycles) / packets),
            counters_on_percent: sampling_percent(medians),
        })
    }
}

/// By how many percent bursts take longer on average where one in sixteen is counted: the median burst of each of [`MODES`] is known, and
/// that of the sampled ones is one that was not counted itself.
fn sampling_percent(medians: [u64; 3]) -> f64 {
    let [off, not_counted, counted] = medians.map(report_precision);
    let sampled = (15.0 * not_counted + counted) / 16.0;
    100.0 * (sampled / off - 1.0)
}

/// What each stage of a gateway has taken so far, as far as it was measured.
pub(super) fn so_far(gateway: &Gateway) -> Laps {
    Stage::ALL.map(|stage| gateway.engine.handle.stats.stage_cycles(stage))
}

pub(super) fn between(before: Laps, after: Laps) -> Laps {
    std::array::from_fn(|stage| after[stage].wrapping_sub(before[stage]))
}

fn middle(bursts: &mut [u64]) -> Result<u64> {
    let middle = bursts.len() / 2;
    bursts.sort_unstable();
    bursts.get(middle).copied().context("nothing was measured")
}

impl Stages {
    /// Names and cycles of the stages that a packet comes by.
    fn named(&self) -> impl Iterator<Item = (&'static str, f64)> {
        Stage::ALL.into_iter().map(Stage::as_str).zip(self.cycles).filter(|(_, cycles)| *cycles > 0.0)
    }
}

impl fmt::Display for Stages {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.named().try_for_each(|(stage, cycles)| write!(out, "{stage} {cycles:.0}, "))?;
        write!(out, "counting them {:+.1} %", self.counters_on_percent)
    }
}

impl Serialize for Stages {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (stage, cycles) in self.named() {
            map.serialize_entry(stage, &cycles)?;
        }
        map.serialize_entry(COUNTERS_ON, &self.counters_on_percent)?;
        map.end()
    }
}

/// Beside the stages' cycles: what it costs to count them.
pub(crate) const COUNTERS_ON: &str = "counters_on_percent";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_told_by_name_without_those_that_no_packet_came_by() {
        let mut cycles = [0.0; Stage::COUNT];
        cycles[Stage::Receive.index()] = 57.4;
        cycles[Stage::Encrypt.index()] = 52.0;
        let stages = Stages { cycles, counters_on_percent: 0.44 };
        assert_eq!(stages.to_string(), "receive 57, encrypt 52, counting them +0.4 %");
        let json = serde_json::to_value(stages).expect("JSON");
        assert_eq!(
            json,
            serde_json::json!({ "receive": 57.4, "encrypt": 52.0, "counters_on_percent": 0.44 })
        );
    }

    #[test]
    fn a_mode_is_judged_by_its_middle_burst() {
        assert_eq!(middle(&mut [9, 1, 5]).ok(), Some(5));
        assert!(middle(&mut []).is_err());
    }

    #[test]
    fn one_burst_in_sixteen_pays_for_being_counted() {
        assert!((sampling_percent([1000, 1000, 1160]) - 1.0).abs() < 1e-9);
    }
}
