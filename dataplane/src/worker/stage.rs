//! Where a worker's cycles go, stage by stage: the cycle counter is read at the end of each stage of a burst, while somebody wants to know. Else all
//! that it costs is one predictable branch a stage and burst.
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

/// The stages of one turn.
#[derive(Default)]
pub(crate) struct Watch {
    is_on: bool,
    last: u64,
    cycles: [u64; Stage::COUNT],
}

impl Watch {
    /// A turn begins, at that reading of the cycle counter.
    #[inline]
    pub(crate) fn begin(&mut self, is_on: bool, now_cycles: u64) {
        self.is_on = is_on;
        self.last = now_cycles;
    }

    /// A stage is over.
    #[inline]
    pub(crate) fn lap(&mut self, stage: Stage) {
        if self.is_on {
            self.note(stage);
        }
    }

    /// What was measured in this turn, if anything.
    #[inline]
    pub(crate) fn take(&mut self) -> Option<[u64; Stage::COUNT]> {
        self.is_on.then(|| std::mem::take(&mut self.cycles))
    }

    #[inline(never)]
    fn note(&mut self, stage: Stage) {
        let now = tsc_cycles();
        self.cycles[stage.index()] += now.wrapping_sub(self.last);
        self.last = now;
    }
}
