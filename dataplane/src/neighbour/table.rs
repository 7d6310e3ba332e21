//! Storage of neighbours: a fixed array of entries, found by a chained hash over indices. No allocation after `new`, no
//! tombstones, and a hand that goes round for timers and for making room.

use std::net::IpAddr;

use super::State;
use crate::forwarding::InterfaceId;
use crate::header::ethernet::Mac;
use crate::route;

/// No entry.
const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) interface: InterfaceId,
    pub(super) address: IpAddr,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) key: Key,
    pub(super) mac: Mac,
    pub(super) state: State,
    /// Questions asked since the state began.
    pub(super) tries: u8,
    /// When the state wants something to happen.
    pub(super) deadline_us: u64,
    /// When a packet last went to it.
    pub(super) used_us: u64,
    /// The next one in the same bucket.
    next: u32,
}

impl Entry {
    pub(super) fn new(key: Key, mac: Mac, state: State, now_us: u64) -> Self {
        Self { key, mac, state, tries: 0, deadline_us: now_us, used_us: now_us, next: NONE }
    }
}

pub(super) struct Table {
    entries: Box<[Option<Entry>]>,
    free: Vec<u32>,
    buckets: Box<[u32]>,
    hand: u32,
    seed: u64,
}

impl Table {
    pub(super) fn new(entries: u32, seed: u64) -> Self {
        let buckets = (entries as usize).next_power_of_two();
        Self {
            entries: vec![None; entries as usize].into(),
            free: (0..entries).rev().collect(),
            buckets: vec![NONE; buckets].into(),
            hand: 0,
            seed,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    pub(super) fn capacity(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn find(&self, key: &Key) -> Option<u32> {
        let mut at = self.buckets[self.bucket(key)];
        while let Some(entry) = self.get(at) {
            if entry.key == *key {
                return Some(at);
            }
            at = entry.next;
        }
        None
    }

    pub(super) fn get(&self, at: u32) -> Option<&Entry> {
        self.entries.get(at as usize)?.as_ref()
    }

    /// An entry that `find` or `insert` has just named.
    pub(super) fn entry(&self, at: u32) -> &Entry {
        self.entries[at as usize].as_ref().expect("named by `find`, and nothing was removed since")
    }

    /// An entry that `find` or `insert` has just named.
    pub(super) fn entry_mut(&mut self, at: u32) -> &mut Entry {
        self.entries[at as usize].as_mut().expect("named by `find`, and nothing was removed since")
    }

    /// Adds an entry whose key is not there yet. The caller has made sure that there is room.
    pub(super) fn insert(&mut self, mut entry: Entry) -> u32 {
        let at = self.free.pop().expect("the caller made room");
        let bucket = self.bucket(&entry.key);
        entry.next = self.buckets[bucket];
        self.buckets[bucket] = at;
        self.entries[at as usize] = Some(entry);
        at
    }

    pub(super) fn remove(&mut self, at: u32) -> Option<Entry> {
        let removed = self.entries.get_mut(at as usize)?.take()?;
        let bucket = self.bucket(&removed.key);
        if self.buckets[bucket] == at {
            self.buckets[bucket] = removed.next;
        } else {
            let mut before = self.buckets[bucket];
            while let Some(Some(entry)) = self.entries.get_mut(before as usize) {
                if entry.next == at {
                    entry.next = removed.next;
                    break;
                }
                before = entry.next;
            }
        }
        self.free.push(at); // within the capacity that `new` took: every index was in the list then
        Some(removed)
    }

    pub(super) fn indices(&self) -> std::ops::Range<u32> {
        0..u32::try_from(self.entries.len()).unwrap_or(NONE)
    }

    /// The next index, round and round.
    pub(super) fn advance_hand(&mut self) -> u32 {
        let at = self.hand;
        self.hand = if at + 1 < self.indices().end { at + 1 } else { 0 };
        at
    }

    fn bucket(&self, key: &Key) -> usize {
        let address = route::key(key.address);
        let family = u64::from(key.address.is_ipv4());
        let [upper, lower] = route::halves(address);
        // Multiply and fold: every bit of the product depends on the secret seed.
        let hash =
            [upper, lower, u64::from(key.interface.0) << 1 | family].iter().fold(self.seed, |hash, part| {
                let [upper, lower] = route::halves(u128::from(hash ^ part) * u128::from(MIX));
                upper ^ lower ^ self.seed
            });
        // The greatest number of buckets fits into 32 bits, as does the number of entries.
        let [.., a, b, c, d] = hash.to_be_bytes();
        u32::from_be_bytes([a, b, c, d]) as usize & (self.buckets.len() - 1)
    }
}

/// An odd constant with evenly spread bits: 2^64 divided by the golden ratio.
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn behaves_like_a_map(operations in prop::collection::vec((0u8..3, 0u8..12), 0..200), seed: u64) {
            let mut table = Table::new(8, seed);
            let mut model = HashMap::new();
            for (step, (operation, host)) in operations.into_iter().enumerate() {
                let address = IpAddr::from([10, 0, 0, host]);
                let key = Key { interface: InterfaceId(u16::from(host % 2)), address };
                match (operation, table.find(&key)) {
                    (0, None) if table.len() < 8 => {
                        let mac = Mac([0, 0, 0, 0, host, u8::try_from(step).unwrap_or(0)]);
                        table.insert(Entry::new(key, mac, State::Stale, 0));
                        model.insert(host, mac);
                    }
                    (1, Some(at)) => {
                        prop_assert_eq!(table.remove(at).map(|entry| entry.mac), model.remove(&host));
                    }
                    (_, found) => {
                        prop_assert_eq!(found.map(|at| table.entry(at).mac), model.get(&host).copied());
                    }
                }
                prop_assert_eq!(table.len(), model.len());
            }
        }
    }
}
