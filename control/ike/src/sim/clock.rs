//! The clock of one side: true at first, it can jump while the other side's goes on.

use std::time::Duration;

use super::{Pair, Side};
use crate::environment::Instant;

/// How wrong a side's clock is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    ahead: Duration,
    behind: Duration,
}

impl Clock {
    /// What it shows at this moment.
    #[must_use]
    pub fn shows(&self, now: Instant) -> Instant {
        now + self.ahead - self.behind
    }

    /// The moment at which it will show this, or showed it.
    fn moment(&self, shown: Instant) -> Instant {
        shown + self.behind - self.ahead
    }
}

impl Side {
    /// When it is to be called, on the true clock.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.endpoint.poll_timeout().map(|at| self.clock.moment(at))
    }
}

impl Pair {
    /// The clock of one side jumps ahead.
    pub fn jump_ahead(&mut self, index: usize, by: Duration) {
        self.log(format!("{index} clock jumps ahead by {by:?}"));
        self.sides[index].clock.ahead += by;
    }

    /// The clock of one side jumps back: what it waits for is that much later.
    pub fn jump_back(&mut self, index: usize, by: Duration) {
        self.log(format!("{index} clock jumps back by {by:?}"));
        self.sides[index].clock.behind += by;
    }
}
