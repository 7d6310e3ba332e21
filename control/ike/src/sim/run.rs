//! Virtual time of a simulated pair: the next thing that happens, until something is so.

use std::time::Duration;

use super::link::Carried;
use super::{Pair, Side};
use crate::environment::Instant;
use crate::event::Input;

/// With nothing under way and no timer nearer than this, a pair is idle: no retransmission waits longer.
const QUIET: Duration = Duration::from_secs(17);
/// Packets that follow each other on a tunnel after each IKE message or timer.
const PROBES: u32 = 8;
/// Steps without progress in time after which a run is stuck.
const MAX_STEPS_AT_ONCE: u32 = 20_000;

impl Pair {
    /// The next thing that happens, if it does before `limit`.
    ///
    /// # Panics
    /// When time does not move any more.
    pub fn step(&mut self, limit: Instant) -> bool {
        let flying = self.flying.keys().next().map(|(at, _)| *at);
        let timers = self.sides.iter().filter(|side| side.alive).filter_map(Side::next_timeout);
        let Some(at) = flying.into_iter().chain(timers).min().filter(|at| *at <= limit) else { return false };
        self.now = self.now.max(at);
        let due =
            self.flying.first_entry().filter(|entry| entry.key().0 <= self.now).map(|entry| entry.remove());
        match due {
            Some(packet) => {
                // A probe's arrival sends another a few times only: between two IKE messages, not for ever.
                match packet.carried {
                    Carried::Ike(_) | Carried::Computed(_) => self.probes_left = PROBES,
                    Carried::Esp(..) => self.probes_left = self.probes_left.saturating_sub(1),
                }
                self.arrive(packet);
            }
            None => {
                self.probes_left = PROBES;
                for index in [0, 1] {
                    self.input(index, Input::Timeout);
                }
            }
        }
        if self.probing && self.probes_left > 0 {
            self.probe();
        }
        true
    }

    /// Runs for some time.
    ///
    /// # Panics
    /// When time does not move any more.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        self.run(|_| false, end);
        self.now = end;
    }

    /// Runs until nothing is under way and nothing happens soon, at most for an hour.
    ///
    /// # Panics
    /// When it does not come to rest.
    pub fn run_until_idle(&mut self) {
        let end = self.now + Duration::from_secs(3600);
        self.run(Self::is_idle, end);
        assert!(self.is_idle(), "the pair does not come to rest\n{}", self.trace());
    }

    /// Runs until `done` or until `end`; whether it was done.
    ///
    /// # Panics
    /// When time does not move any more.
    pub fn run(&mut self, done: impl Fn(&Self) -> bool, end: Instant) -> bool {
        let (mut last, mut steps) = (self.now, 0);
        while !done(self) {
            if !self.step(end) {
                return done(self);
            }
            steps = if self.now == last { steps + 1 } else { 0 };
            last = self.now;
            assert!(steps < MAX_STEPS_AT_ONCE, "stuck at {last:?}\n{}", self.trace());
        }
        true
    }

    fn is_idle(&self) -> bool {
        let quiet = |at: Instant| at > self.now + QUIET;
        !self.flying.values().any(|packet| matches!(packet.carried, Carried::Ike(_) | Carried::Computed(_)))
            && self.sides.iter().filter(|s| s.alive).all(|s| s.next_timeout().is_none_or(quiet))
    }
}
