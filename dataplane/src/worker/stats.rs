//! How busy a worker is: cycles and bursts, for the control thread to read at any time, and histograms that it takes by message.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use hdrhistogram::Histogram;

use super::stage::{Stage, StageTurns};

/// A worker's use of its time; written by it alone, but for the wish to measure stages.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Stats {
    busy_cycles: AtomicU64,
    idle_cycles: AtomicU64,
    busy_turns: AtomicU64,
    idle_turns: AtomicU64,
    handled: AtomicU64,
    stages: [AtomicU64; Stage::COUNT],
    stage_turns: AtomicU8,
}

impl Stats {
    /// A turn of the loop is over.
    pub(super) fn turn(&self, handled: u64, cycles: u64) {
        let (cell, turns) = match handled {
            0 => (&self.idle_cycles, &self.idle_turns),
            _ => (&self.busy_cycles, &self.busy_turns),
        };
        add(cell, cycles);
        add(turns, 1);
        add(&self.handled, handled);
    }

    /// TSC cycles of turns that had something to do.
    #[must_use]
    pub fn busy_cycles(&self) -> u64 {
        self.busy_cycles.load(Ordering::Relaxed)
    }

    /// TSC cycles of turns that had not; sleep is not counted.
    #[must_use]
    pub fn idle_cycles(&self) -> u64 {
        self.idle_cycles.load(Ordering::Relaxed)
    }

    /// Turns that had something to do.
    #[must_use]
    pub fn busy_turns(&self) -> u64 {
        self.busy_turns.load(Ordering::Relaxed)
    }

    /// Turns that had not. Both kinds standing still means that the worker is.
    #[must_use]
    pub fn idle_turns(&self) -> u64 {
        self.idle_turns.load(Ordering::Relaxed)
    }

    /// Has the worker measure from its next turn on, in these turns, how many cycles each stage takes.
    pub fn measure_stages(&self, turns: StageTurns) {
        self.stage_turns.store(turns as u8, Ordering::Relaxed);
    }

    /// In which turns it does.
    #[must_use]
    pub fn measures_stages(&self) -> StageTurns {
        StageTurns::of_byte(self.stage_turns.load(Ordering::Relaxed))
    }

    /// TSC cycles that a stage has taken in the turns with packets in which stages were measured.
    #[must_use]
    pub fn stage_cycles(&self, stage: Stage) -> u64 {
        self.stages[stage.index()].load(Ordering::Relaxed)
    }

    pub(super) fn add_stages(&self, cycles: &[u64; Stage::COUNT]) {
        for (cell, cycles) in self.stages.iter().zip(cycles) {
            add(cell, *cycles);
        }
    }

    /// Packets and messages handled.
    #[must_use]
    pub fn handled(&self) -> u64 {
        self.handled.load(Ordering::Relaxed)
    }
}

fn add(cell: &AtomicU64, amount: u64) {
    cell.store(cell.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
}

/// What a worker records once per burst.
#[derive(Debug, Clone)]
pub struct Histograms {
    /// Packets in a received burst.
    pub burst_packets: Histogram<u64>,
    /// From a burst's arrival to its transmission, in TSC cycles (residence of each of its packets).
    pub residence_cycles: Histogram<u64>,
}

/// The longest residence that is told apart, in cycles: a tenth of a second or so.
const RESIDENCE_MAX: u64 = 1 << 28;

impl Default for Histograms {
    /// Empty. Allocates: for the control thread.
    fn default() -> Self {
        let histogram =
            |max| Histogram::new_with_max(max, 2).expect("the bounds are constants that are allowed");
        Self { burst_packets: histogram(64), residence_cycles: histogram(RESIDENCE_MAX) }
    }
}

impl Histograms {
    pub(super) fn record(&mut self, packets: u64, cycles: u64) {
        self.burst_packets.saturating_record(packets);
        self.residence_cycles.saturating_record(cycles);
    }
}
