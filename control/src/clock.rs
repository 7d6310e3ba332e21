//! The control thread's clock: the only place where the core's virtual time meets the machine's.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossgate_ike::environment::Instant as IkeInstant;

/// A monotonic clock with an epoch of its own.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    epoch: Instant,
}

impl Clock {
    /// A clock that starts an hour after its epoch, so that "a while ago" never falls before it.
    #[must_use]
    pub fn start() -> Self {
        let now = Instant::now();
        Self { epoch: now.checked_sub(Duration::from_secs(3600)).unwrap_or(now) }
    }

    /// Now, as the IKE core counts.
    #[must_use]
    pub fn now(&self) -> IkeInstant {
        IkeInstant::from_epoch(self.epoch.elapsed())
    }
}

/// Seconds since 1970 UTC, for people and files; 0 if the machine's clock stands before that.
#[must_use]
pub fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
