//! `crossgate workers --stages`: what each stage of a worker takes of a packet's cycles. Two of the gateway's answers make it, as only one turn in
//! sixteen is measured: how the measured turns are divided among stages says how all of the time is.

use serde::Serialize;

use super::protocol::{StageCycles, WorkerStages};

/// One worker between two answers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StageShares {
    /// Its number.
    pub index: usize,
    /// Its core.
    pub core: u16,
    /// Packets received meanwhile.
    pub packets: u64,
    /// What a packet took, waiting for it not included; 0 if none came.
    pub cycles_per_packet: f64,
    /// In the order of a packet; no part of anything if no turn was measured.
    pub stages: Vec<StageShare>,
}

/// One stage.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StageShare {
    /// Its name.
    pub name: String,
    /// Of the cycles spent on packets.
    pub percent: f64,
    /// That part of [`StageShares::cycles_per_packet`].
    pub cycles_per_packet: f64,
}

/// What happened between two answers, by worker.
#[must_use]
pub fn shares(before: &[WorkerStages], after: &[WorkerStages]) -> Vec<StageShares> {
    let pairs =
        after.iter().filter_map(|now| Some((before.iter().find(|then| then.index == now.index)?, now)));
    pairs.map(|(then, now)| of_worker(then, now)).collect()
}

fn of_worker(then: &WorkerStages, now: &WorkerStages) -> StageShares {
    let packets = now.packets.saturating_sub(then.packets);
    let cycles_per_packet = ratio(now.busy_cycles.saturating_sub(then.busy_cycles), packets);
    let moved = |now: &StageCycles| {
        let then = then.stages.iter().find(|then| then.name == now.name).map_or(0, |then| then.cycles);
        now.cycles.saturating_sub(then)
    };
    let all = now.stages.iter().map(moved).sum();
    let share = |stage: &StageCycles| {
        let part = ratio(moved(stage), all);
        StageShare {
            name: stage.name.clone(),
            percent: 100.0 * part,
            cycles_per_packet: part * cycles_per_packet,
        }
    };
    let stages = now.stages.iter().map(share).collect();
    StageShares { index: now.index, core: now.core, packets, cycles_per_packet, stages }
}

#[expect(clippy::cast_precision_loss, reason = "a share for people: 53 bits of a cycle count are plenty")]
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(busy_cycles: u64, packets: u64, receive: u64, encrypt: u64) -> WorkerStages {
        let stage = |(name, cycles): (&str, u64)| StageCycles { name: name.to_owned(), cycles };
        let stages = [("receive", receive), ("encrypt", encrypt)].map(stage).to_vec();
        WorkerStages { index: 0, core: 1, busy_cycles, packets, stages }
    }

    #[test]
    fn sampled_turns_divide_what_all_packets_took() {
        let shares = shares(&[worker(1_000, 10, 70, 30)], &[worker(21_000, 110, 170, 330)]);
        let stage = |name: &str, percent, cycles_per_packet| StageShare {
            name: name.to_owned(),
            percent,
            cycles_per_packet,
        };
        let stages = vec![stage("receive", 25.0, 50.0), stage("encrypt", 75.0, 150.0)];
        let expected = StageShares { index: 0, core: 1, packets: 100, cycles_per_packet: 200.0, stages };
        assert_eq!(shares, [expected]);
    }

    #[test]
    fn nothing_is_divided_where_no_packet_came() {
        let same = [worker(1_000, 10, 70, 30)];
        let shares = shares(&same, &same);
        assert_eq!(shares[0].packets, 0);
        assert!(shares[0].stages.iter().all(|stage| stage.percent == 0.0 && stage.cycles_per_packet == 0.0));
    }

    #[test]
    fn a_worker_that_was_not_there_before_is_left_out() {
        assert_eq!(shares(&[], &[worker(1, 1, 1, 1)]), []);
    }
}
