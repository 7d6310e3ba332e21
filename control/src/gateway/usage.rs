//! Usage: feeds the tally ([`crate::usage`]) with what connections have sent, has it kept in the store, and answers what it was.

use std::collections::BTreeMap;

use super::Gateway;
use crate::clock::unix_seconds;
use crate::console::protocol::{Period, Usage};
use crate::reconcile::HistoryError;
use crate::usage::{Counted, day_of, rows};

/// Rows in one answer: fewer than fill a line of the console.
const ROWS_MAX: usize = 4000;

impl Gateway {
    /// Puts down what was used since the last time.
    pub(crate) fn count_usage(&mut self) {
        let mut sent = BTreeMap::new();
        for (_, pair) in self.sad.iter() {
            *sent.entry(pair.connection).or_insert(0_u64) += pair.outbound.bytes();
        }
        let mut connections = Vec::new();
        for connection in self.config.connections().values() {
            let name = connection.name.as_str();
            let of_end = |id| {
                let before = self.carried.get(&id).map_or(0, |traffic| traffic.out_bytes);
                (id, before + sent.get(&id).copied().unwrap_or(0))
            };
            let sent_bytes = self.identifiers.ends(name).map(of_end).collect();
            connections.push(Counted { gateway: connection.gateway.as_str(), name, sent_bytes });
        }
        for connection in self.config.circuit_connections().values() {
            let (gateway, name) = (connection.gateway.as_str(), connection.name.as_str());
            let sent_bytes = self.circuits.sent_bytes(&connection.name).into_iter().collect();
            connections.push(Counted { gateway, name, sent_bytes });
        }
        let gateways = self.config.gateways().keys().chain(self.config.circuit_gateways().keys());
        let gateways = gateways.map(|name| name.as_str());
        self.usage.count(self.clock.now(), day_of(unix_seconds()), gateways, &connections);
    }

    /// Has it kept, if it is time.
    pub(super) fn keep_usage(&mut self) {
        if self.usage.is_due(self.clock.now()) {
            self.record_usage();
        }
    }

    /// Has it kept now.
    pub(super) fn record_usage(&mut self) {
        self.count_usage();
        let Ok(store) = &self.store else { return };
        match store.add_usage(self.usage.pending()) {
            Ok(()) => self.usage.recorded(unix_seconds()),
            Err(error) if !std::mem::replace(&mut self.usage.fails, true) => {
                tracing::error!("usage cannot be kept and is in memory only: {error}; {}", error.remedy());
            }
            Err(_) => {}
        }
    }

    /// What was used in a span of days, with what is not on the disk yet; without the first `skip` rows.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn usage(
        &mut self,
        days: std::ops::RangeInclusive<u32>,
        by: Period,
        skip: usize,
    ) -> Result<Usage, HistoryError> {
        self.count_usage();
        let stored = self.store()?.usage(days.clone())?;
        let mut rows = rows(stored, self.usage.pending(), &days, by);
        rows.drain(..skip.min(rows.len()));
        let more = rows.len() > ROWS_MAX;
        rows.truncate(ROWS_MAX);
        Ok(Usage { rows, more, recorded_at: self.usage.recorded_at })
    }
}
