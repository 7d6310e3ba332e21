//! Which stage of a worker takes how many cycles, and what it costs to count them.
//!
//! Turns with counters off, with sampled turns counted (what an operator may leave on) and with every turn counted alternate, so that a
//! disturbance meets all three. Sampling is judged by whole blocks of bursts, since most of its bursts cost nothing; a stage by its best burst.

use std::fmt;

use anyhow::{Context, Result};
use crossgate_dataplane::worker::{Stage, StageTurns};
use dpdk_sys::Mempool;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::{Contender, DIRECTIONS, Load, TURN_BURSTS, WARM_BURSTS, bursts_of};
use crate::bed::stepped::{Bypass, Gateway};
use crate::engine::BURST_PACKETS;
use crate::machine::{packets_f64, report_precision};

/// What each stage took for a burst, in TSC cycles.
pub(super) type Laps = [u64; Stage::COUNT];

/// TSC cycles a packet of each stage in its best burst; and by how many percent a block of bursts takes longer with sampled counters,
/// in the median of blocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stages {
    cycles: [f64; Stage::COUNT],
    counters_on_percent: f64,
}

/// Cycles of whole blocks of bursts, by direction, with counters off and with sampled ones.
#[derive(Default)]
struct Blocks {
    off: [Vec<u64>; 3],
    sampled: [Vec<u64>; 3],
}

/// Measures one contender at one size.
pub(super) fn measure(
    contender: &mut Contender,
    turns: usize,
    pool: &Mempool,
    load: &Load,
    bypass: &mut Bypass,
) -> Result<[Stages; 3]> {
    let (mut blocks, mut least) = (Blocks::default(), [[u64::MAX; Stage::COUNT]; 3]);
    for _ in 0..turns {
        for (counted, blocks) in
            [(StageTurns::None, &mut blocks.off), (StageTurns::Sampled, &mut blocks.sampled)]
        {
            contender.measure_stages(counted);
            let block = block(contender, pool, load, bypass)?;
            blocks.iter_mut().zip(block).for_each(|(blocks, cycles)| blocks.push(cycles));
        }
        contender.measure_stages(StageTurns::Every);
        laps(contender, pool, load, bypass, &mut least)?;
    }
    contender.measure_stages(StageTurns::None);
    let mut stages = Vec::new();
    for (at, direction) in DIRECTIONS.into_iter().enumerate() {
        let packets = bursts_of(direction) * packets_f64(BURST_PACKETS);
        let [off, sampled] = [median(&mut blocks.off[at])?, median(&mut blocks.sampled[at])?];
        stages.push(Stages {
            cycles: least[at].map(|cycles| report_precision(cycles) / packets),
            counters_on_percent: 100.0 * (report_precision(sampled) / report_precision(off) - 1.0),
        });
    }
    stages.try_into().ok().context("a direction is missing")
}

/// Bursts in a row; cycles of all that are recorded, by direction.
fn block(contender: &mut Contender, pool: &Mempool, load: &Load, bypass: &mut Bypass) -> Result<[u64; 3]> {
    contender.refresh()?;
    let mut sums = [0; 3];
    for number in 0..WARM_BURSTS + TURN_BURSTS {
        let passes = contender.burst(pool, load, bypass, number)?;
        if number >= WARM_BURSTS {
            sums.iter_mut().zip(passes.directions).for_each(|(sum, cycles)| *sum += cycles);
        }
    }
    contender.check()?;
    Ok(sums)
}

/// Bursts in a row; `least` becomes what a stage took where that is less.
fn laps(
    contender: &mut Contender,
    pool: &Mempool,
    load: &Load,
    bypass: &mut Bypass,
    least: &mut [Laps; 3],
) -> Result<()> {
    contender.refresh()?;
    for number in 0..WARM_BURSTS + TURN_BURSTS {
        let passes = contender.burst(pool, load, bypass, number)?;
        for (least, cycles) in least.iter_mut().flatten().zip(passes.stages.into_iter().flatten()) {
            *least = (*least).min(cycles);
        }
    }
    contender.check()
}

/// What each stage of a gateway has taken so far, as far as it was measured.
pub(super) fn so_far(gateway: &Gateway) -> Laps {
    Stage::ALL.map(|stage| gateway.engine.handle.stats.stage_cycles(stage))
}

pub(super) fn between(before: Laps, after: Laps) -> Laps {
    std::array::from_fn(|stage| after[stage].wrapping_sub(before[stage]))
}

fn median(blocks: &mut [u64]) -> Result<u64> {
    let middle = blocks.len() / 2;
    blocks.sort_unstable();
    blocks.get(middle).copied().context("nothing was measured")
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
    fn a_block_is_judged_by_the_middle_one() {
        assert_eq!(median(&mut [9, 1, 5]).ok(), Some(5));
        assert!(median(&mut []).is_err());
    }
}
