//! What those may cost who have not shown who they are: answers that refuse them, and lines of the log. What goes beyond is counted by name. Owned by the
//! endpoint; the first messages of either version ask here, and so does the one door for notices.

use std::time::Duration;

use crate::allowance::Allowance;
use crate::environment::Instant;
use crate::notice::{Level, What};

/// How often each may be.
#[derive(Debug)]
pub(crate) struct Strangers {
    /// Answers that refuse, for which no state is kept.
    refusals: Allowance,
    /// Lines about datagrams that anybody could have sent, from wherever it says.
    of_anybody: Allowance,
    /// Lines about whoever has got an answer of ours, and so is where it says: a flood of the others must not silence them.
    of_callers: Allowance,
}

impl Default for Strangers {
    fn default() -> Self {
        let of = |every_ms, burst| Allowance::new(Duration::from_millis(every_ms), burst);
        Self { refusals: of(10, 100), of_anybody: of(200, 50), of_callers: of(50, 200) }
    }
}

impl Strangers {
    /// Whether one more may be refused by an answer; then it counts.
    pub(crate) fn may_be_answered(&mut self, now: Instant) -> bool {
        self.refusals.take(now)
    }

    /// Whether so many were refused of late that the next has to show first that it is where it says (RFC 7296, 2.6).
    pub(crate) fn are_many(&self, now: Instant) -> bool {
        self.refusals.is_short(now)
    }

    /// Whether there may be a line about `what`, of somebody for whom there is state or not; then it counts.
    pub(crate) fn may_be_told(&mut self, what: What, has_state: bool, now: Instant) -> bool {
        if what.level() == Level::Debug {
            return true;
        }
        if has_state { self.of_callers.take(now) } else { self.of_anybody.take(now) }
    }
}

/// Whether somebody who has not shown who it is can bring it about as often as it likes.
pub(crate) const fn is_by_strangers(what: What) -> bool {
    matches!(
        what,
        What::TicketRefused
            | What::Responding
            | What::GroupDemanded
            | What::NatFound
            | What::Redirecting
            | What::LoginFailed
            | What::LoginLocked
            | What::UnprovenError
            | What::DropNoConnection
            | What::DropOtherVersion
            | What::DropAggressiveMode
            | What::DropHalfOpenLimit
            | What::DropSourceLimit
            | What::DropStopping
            | What::HalfOpenExpired
            | What::HalfOpenGivenUp
            | What::ExchangeFailed
    )
}
