//! Where a worker's cycles go, stage by stage: while somebody wants to know, the cycle counter is read at the end of each stage of a burst, in
//! every turn or, for less than a hundredth of the time, in one of sixteen. Else all that it costs is one predictable branch a stage and burst.
//!
//! The pipeline's stages call [`Watch::lap`]; the worker begins a turn and publishes it at its end ([`super::Stats`]).

use dpdk_sys::tsc_cycles;

/// What a worker spends its time with, in the order of a packet. See [`crate::pipeline`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Stage {
    /// Taking frames from the port, reading their headers, looking their flows up.
    Receive,
    /// Finding SAs of ESP packets, a first look at replay windows, jobs for the cipher.
    Admit,
    /// AES-GCM of ESP packets that came in.
    Decrypt,
    /// Replay windows, limits, ESP off, forwarding by flow.
    Accept,
    /// Packets that no flow stands for: routes, selectors, ICMP errors.
    Route,
    /// Sequence numbers, headers, jobs for the cipher.
    Encapsulate,
    /// AES-GCM of ESP packets that go out.
    Encrypt,
    /// Neighbours, link headers, handing frames to the port.
    Leave,
    /// The rest of the turn: messages, timers, counters.
    Upkeep,
}

impl Stage {
    /// Number of stages.
    pub const COUNT: usize = Self::ALL.len();
    /// All stages, in the order of a packet.
    pub const ALL: [Self; 9] = [
        Self::Receive,
        Self::Admit,
        Self::Decrypt,
        Self::Accept,
        Self::Route,
        Self::Encapsulate,
        Self::Encrypt,
        Self::Leave,
        Self::Upkeep,
    ];

    /// Its name in tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Receive => "receive",
            Self::Admit => "admit",
            Self::Decrypt => "decrypt",
            Self::Accept => "accept",
            Self::Route => "route",
            Self::Encapsulate => "encapsulate",
            Self::Encrypt => "encrypt",
            Self::Leave => "leave",
            Self::Upkeep => "upkeep",
        }
    }

    /// Its place in [`Stage::ALL`].
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self as u8)
    }
}

/// In which turns stages are measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum StageTurns {
    /// In none.
    #[default]
    None,
    /// In one of sixteen on average, picked at random: traffic that comes in a rhythm is met in all of its phases.
    Sampled,
    /// In all.
    Every,
}

impl StageTurns {
    /// As [`super::Stats`] keeps it: the value of `self as u8`.
    pub(super) fn of_byte(byte: u8) -> Self {
        match byte {
            0 => Self::None,
            1 => Self::Sampled,
            _ => Self::Every,
        }
    }
}

/// The stages of one turn.
#[derive(Default)]
pub(crate) struct Watch {
    is_on: bool,
    last: u64,
    cycles: [u64; Stage::COUNT],
    /// Turns until the next sample.
    left: u32,
    random: u32,
}

/// Distances between samples are 1 to so many turns, sixteen on average.
const DISTANCES: u32 = 31;

impl Watch {
    /// A turn begins, at that reading of the cycle counter.
    #[inline]
    pub(crate) fn begin(&mut self, turns: StageTurns, now_cycles: u64) {
        self.is_on = match turns {
            StageTurns::None => false,
            StageTurns::Sampled => self.is_due(now_cycles),
            StageTurns::Every => true,
        };
        self.last = now_cycles;
    }

    /// A stage is over.
    #[inline]
    pub(crate) fn lap(&mut self, stage: Stage) {
        if self.is_on {
            self.note(stage);
        }
    }

    /// What was measured in this turn, if anything: a turn in which no packet came says nothing about packets.
    #[inline]
    pub(crate) fn take(&mut self) -> Option<[u64; Stage::COUNT]> {
        if !self.is_on {
            return None;
        }
        let cycles = std::mem::take(&mut self.cycles);
        let packets_came =
            cycles.iter().zip(Stage::ALL).any(|(cycles, stage)| *cycles > 0 && stage != Stage::Upkeep);
        packets_came.then_some(cycles)
    }

    fn is_due(&mut self, now_cycles: u64) -> bool {
        if self.left > 1 {
            self.left -= 1;
            return false;
        }
        // A linear congruential generator (Knuth's MMIX constants, their low half) stirred by the time: no more than a rhythm has to be avoided.
        let time = u32::try_from(now_cycles & u64::from(u32::MAX)).unwrap_or(0);
        self.random = (self.random ^ time).wrapping_mul(1_284_865_837).wrapping_add(4_150_755_663);
        self.left = 1 + (self.random >> 16) % DISTANCES;
        true
    }

    #[inline(never)]
    fn note(&mut self, stage: Stage) {
        let now = tsc_cycles();
        self.cycles[stage.index()] += now.wrapping_sub(self.last);
        self.last = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of so many turns are measured.
    fn measured(turns: StageTurns, count: u64) -> usize {
        let mut watch = Watch::default();
        let mut measured = 0;
        for turn in 0..count {
            watch.begin(turns, 1000 * turn);
            watch.lap(Stage::Receive);
            measured += usize::from(watch.take().is_some());
        }
        measured
    }

    #[test]
    fn one_turn_in_sixteen_is_sampled_and_none_when_nobody_asks() {
        assert_eq!(measured(StageTurns::None, 1000), 0);
        assert_eq!(measured(StageTurns::Every, 1000), 1000);
        let sampled = measured(StageTurns::Sampled, 160_000);
        assert!((9_500..10_500).contains(&sampled), "{sampled} of 160000");
    }

    #[test]
    fn samples_meet_odd_and_even_turns_alike() {
        let mut watch = Watch::default();
        let mut met = [0_u32; 2];
        for turn in 0..160_000_u64 {
            watch.begin(StageTurns::Sampled, 1000 * turn);
            watch.lap(Stage::Receive);
            met[usize::from(turn % 2 == 1)] += u32::from(watch.take().is_some());
        }
        assert!(met.iter().all(|met| (4500..5500).contains(met)), "{met:?}");
    }

    #[test]
    fn turns_without_packets_are_left_out() {
        let mut watch = Watch::default();
        watch.begin(StageTurns::Every, 0);
        watch.lap(Stage::Upkeep);
        assert_eq!(watch.take(), None);
        watch.begin(StageTurns::Every, 0);
        watch.lap(Stage::Decrypt);
        let cycles = watch.take().expect("a turn with packets");
        assert_eq!(cycles[Stage::Upkeep.index()], 0, "nothing is left of the turn before");
    }

    #[test]
    fn how_stages_are_measured_survives_being_kept_as_a_byte() {
        for turns in [StageTurns::None, StageTurns::Sampled, StageTurns::Every] {
            assert_eq!(StageTurns::of_byte(turns as u8), turns);
        }
    }
}
