//! Waiting for a condition up to a deadline, the only way in which anything in the lab waits.

use crate::failure::{Failure, Result};
use std::time::{Duration, Instant};

/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What a look at a condition shows.
pub enum Look<T> {
    /// It holds, and this is what came with it.
    Holds(T),
    /// Not yet; the text says what is the case instead and is shown when time runs out.
    NotYet(String),
}

impl Look<()> {
    /// `Holds` if `holds`, else `NotYet` with what is the case instead.
    pub fn when(holds: bool, instead: impl FnOnce() -> String) -> Self {
        if holds { Self::Holds(()) } else { Self::NotYet(instead()) }
    }
}

/// Looks until the condition holds, a look fails, or `limit` has passed. Looks at least once.
pub fn until<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Result<Look<T>>) -> Result<T> {
    let start = Instant::now();
    loop {
        let seen = match look()? {
            Look::Holds(value) => return Ok(value),
            Look::NotYet(seen) => seen,
        };
        let waited = start.elapsed();
        if waited >= limit {
            return Err(Failure::Deadline { what: what.to_owned(), waited, seen });
        }
        std::thread::sleep(LOOK_EVERY.min(limit - waited));
    }
}
