//! Usage as clouds bill it: for how long each gateway and connection was there, and how many bytes were sent into their tunnels, by day (UTC).
//!
//! A [`Tally`] makes amounts of counts that only grow, so that neither a rekey nor a second look counts a byte twice. Every [`EVERY`] they go to the
//! store and onto the disk: who is killed loses the time and the bytes since then, and nothing is ever counted again. `gateway/usage.rs` feeds it
//! and `console::methods` asks.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::time::Duration;

use crossgate_ike::environment::Instant;
use crossgate_ike::event::ConnectionId;

use crate::console::protocol::{Period, UsageRow};
use crate::store::{Amount, Key};

pub use calendar::{day_of, days};

mod calendar;

/// How often amounts go to the disk: a killed gateway loses no more than that.
pub const EVERY: Duration = Duration::from_secs(10);

/// A connection as it is counted.
#[derive(Debug, Clone)]
pub struct Counted<'a> {
    /// Its gateway.
    pub gateway: &'a str,
    /// Its name.
    pub name: &'a str,
    /// All bytes that it has sent since it was configured from each of our ends, by their numbers, which no later connection of its name has.
    pub sent_bytes: Vec<(ConnectionId, u64)>,
}

/// What is counted and not yet on the disk.
#[derive(Debug)]
pub struct Tally {
    /// What of a connection's bytes is in some amount already.
    seen: BTreeMap<ConnectionId, u64>,
    since: Instant,
    due: Instant,
    pending: BTreeMap<Key, Amount>,
    /// When amounts were last put onto the disk, in seconds since 1970 UTC; 0 for never.
    pub(crate) recorded_at: u64,
    /// Whether the last attempt failed: said once.
    pub(crate) fails: bool,
}

impl Tally {
    /// Counts from `now` on.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            seen: BTreeMap::new(),
            since: now,
            due: now + EVERY,
            pending: BTreeMap::new(),
            recorded_at: 0,
            fails: false,
        }
    }

    /// Whether amounts should go to the disk; then not again for [`EVERY`].
    pub fn is_due(&mut self, now: Instant) -> bool {
        let is_due = self.due <= now;
        if is_due {
            self.due = now + EVERY;
        }
        is_due
    }

    /// Puts down, under `day`, the time since the last call for these gateways and connections, and what was sent since then.
    pub fn count<'a>(
        &mut self,
        now: Instant,
        day: u32,
        gateways: impl IntoIterator<Item = &'a str>,
        connections: &[Counted<'a>],
    ) {
        let ms = u64::try_from(now.saturating_since(self.since).as_millis()).unwrap_or(u64::MAX);
        // What is less than a millisecond is left for the next time.
        self.since = self.since + Duration::from_millis(ms);
        for gateway in gateways {
            self.add(day, gateway, None, Amount { ms, egress_bytes: 0 });
        }
        for one in connections {
            let more = one.sent_bytes.iter().map(|&(id, sent)| {
                let before = self.seen.insert(id, sent).unwrap_or(0);
                sent.saturating_sub(before)
            });
            let egress_bytes = more.sum();
            self.add(day, one.gateway, Some(one.name), Amount { ms, egress_bytes });
            self.add(day, one.gateway, None, Amount { ms: 0, egress_bytes });
        }
        let present: BTreeSet<ConnectionId> =
            connections.iter().flat_map(|one| &one.sent_bytes).map(|(id, _)| *id).collect();
        self.seen.retain(|id, _| present.contains(id));
    }

    fn add(&mut self, day: u32, gateway: &str, connection: Option<&str>, amount: Amount) {
        let key = Key { day, gateway: gateway.to_owned(), connection: connection.map(str::to_owned) };
        self.pending.entry(key).or_default().add(amount);
    }

    /// What is not on the disk.
    #[must_use]
    pub fn pending(&self) -> &BTreeMap<Key, Amount> {
        &self.pending
    }

    /// It is now.
    pub fn recorded(&mut self, at: u64) {
        self.pending.clear();
        self.recorded_at = at;
        self.fails = false;
    }
}

/// Sums of what is on the disk and what is not yet, by period, gateway and connection, in that order.
#[must_use]
pub fn rows(
    stored: Vec<(Key, Amount)>,
    pending: &BTreeMap<Key, Amount>,
    days: &RangeInclusive<u32>,
    by: Period,
) -> Vec<UsageRow> {
    let pending = pending.iter().filter(|(key, _)| days.contains(&key.day));
    let pending = pending.map(|(key, amount)| (key.clone(), *amount));
    let mut sums: BTreeMap<(String, String, Option<String>), Amount> = BTreeMap::new();
    for (key, amount) in stored.into_iter().chain(pending) {
        let period = calendar::period(key.day, by);
        sums.entry((period, key.gateway, key.connection)).or_default().add(amount);
    }
    let row = |((period, gateway, connection), Amount { ms, egress_bytes })| {
        let seconds = ms / 1000;
        UsageRow { period, gateway, connection, seconds, egress_bytes }
    };
    sums.into_iter().map(row).collect()
}

#[cfg(test)]
mod tests;
