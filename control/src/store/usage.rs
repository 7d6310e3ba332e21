//! Usage in the store: for each day, gateway and connection how long it was there and what it sent into tunnels. `crate::usage` adds, the console
//! reads. An addition is on the disk (fsync) when [`Store::add_usage`] returns, all of it or nothing.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use redb::{ReadableDatabase as _, ReadableTable as _, TableDefinition, TableError};

use super::{Store, StoreError};

/// Days that are kept: thirteen months.
const DAYS_MAX: u32 = 400;

/// Day, gateway, connection (empty for the gateway itself) to milliseconds and bytes.
pub(super) const USAGE: TableDefinition<'_, (u32, &str, &str), (u64, u64)> = TableDefinition::new("usage");

/// Whose usage on which day.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// In days since 1970-01-01 UTC.
    pub day: u32,
    /// The gateway's name.
    pub gateway: String,
    /// The connection's name; `None` for the gateway itself, with what all its connections sent.
    pub connection: Option<String>,
}

/// What was used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// Time for which it was configured and the gateway ran, in milliseconds.
    pub ms: u64,
    /// Bytes sent into tunnels.
    pub egress_bytes: u64,
}

impl Amount {
    /// Adds another amount.
    pub fn add(&mut self, more: Self) {
        self.ms = self.ms.saturating_add(more.ms);
        self.egress_bytes = self.egress_bytes.saturating_add(more.egress_bytes);
    }
}

impl Store {
    /// Adds to what is there, and forgets what is more than 400 days older than the latest of the days.
    ///
    /// # Errors
    /// [`StoreError::Use`]; nothing was added then.
    pub fn add_usage(&self, amounts: &BTreeMap<Key, Amount>) -> Result<(), StoreError> {
        Ok(self.add_amounts(amounts)?)
    }

    fn add_amounts(&self, amounts: &BTreeMap<Key, Amount>) -> Result<(), redb::Error> {
        let Some(latest) = amounts.keys().map(|key| key.day).max() else { return Ok(()) };
        let transaction = self.0.begin_write()?;
        {
            let mut table = transaction.open_table(USAGE)?;
            for (key, amount) in amounts {
                let row = (key.day, key.gateway.as_str(), key.connection.as_deref().unwrap_or(""));
                let mut sum = table.get(row)?.map_or(Amount::default(), |found| amount_of(found.value()));
                sum.add(*amount);
                table.insert(row, (sum.ms, sum.egress_bytes))?;
            }
            let oldest = latest.saturating_sub(DAYS_MAX);
            table.retain_in(..(oldest, "", ""), |_, _| false)?;
        }
        Ok(transaction.commit()?)
    }

    /// What was used on these days, in their order.
    ///
    /// # Errors
    /// [`StoreError::Use`].
    pub fn usage(&self, days: RangeInclusive<u32>) -> Result<Vec<(Key, Amount)>, StoreError> {
        Ok(self.amounts(days)?)
    }

    fn amounts(&self, days: RangeInclusive<u32>) -> Result<Vec<(Key, Amount)>, redb::Error> {
        let transaction = self.0.begin_read()?;
        let table = match transaction.open_table(USAGE) {
            // A store of a version that kept none.
            Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
            table => table?,
        };
        let mut amounts = Vec::new();
        for row in table.range((*days.start(), "", "")..(days.end().saturating_add(1), "", ""))? {
            let (key, value) = row?;
            let (day, gateway, connection) = key.value();
            let connection = (!connection.is_empty()).then(|| connection.to_owned());
            amounts.push((Key { day, gateway: gateway.to_owned(), connection }, amount_of(value.value())));
        }
        Ok(amounts)
    }
}

fn amount_of((ms, egress_bytes): (u64, u64)) -> Amount {
    Amount { ms, egress_bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(day: u32, connection: Option<&str>) -> Key {
        Key { day, gateway: "gw".to_owned(), connection: connection.map(str::to_owned) }
    }

    fn amounts(day: u32, egress_bytes: u64) -> BTreeMap<Key, Amount> {
        let amount = Amount { ms: 10_000, egress_bytes };
        [(key(day, None), amount), (key(day, Some("a")), amount)].into()
    }

    #[test]
    fn amounts_add_up_over_openings_and_days_are_told_apart() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("gw.redb");
        for (day, bytes) in [(20_000, 7), (20_000, 8), (20_001, 1)] {
            Store::open(&path).unwrap().add_usage(&amounts(day, bytes)).unwrap();
        }
        let store = Store::open(&path).unwrap();
        let twice = Amount { ms: 20_000, egress_bytes: 15 };
        assert_eq!(
            store.usage(20_000..=20_000).unwrap(),
            [(key(20_000, None), twice), (key(20_000, Some("a")), twice)]
        );
        assert_eq!(store.usage(20_000..=20_001).unwrap().len(), 4);
        assert_eq!(store.usage(20_002..=u32::MAX).unwrap(), []);
    }

    #[test]
    fn days_of_long_ago_are_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("gw.redb")).unwrap();
        store.add_usage(&amounts(20_000, 1)).unwrap();
        store.add_usage(&amounts(20_000 + DAYS_MAX, 1)).unwrap();
        assert_eq!(store.usage(0..=u32::MAX).unwrap().len(), 4);
        store.add_usage(&amounts(20_001 + DAYS_MAX, 1)).unwrap();
        let days: Vec<u32> = store.usage(0..=u32::MAX).unwrap().into_iter().map(|(key, _)| key.day).collect();
        assert_eq!(days, [400, 400, 401, 401].map(|day| 20_000 + day));
    }
}
