//! Neighbours: which MAC address an IP address has, per interface. One table for each worker, with the states of RFC 4861, 7.3
//! for IPv6 and for IPv4 alike (ARP, RFC 826, has no reachability of its own: RFC 1122, 2.3.2.1 asks for one). The
//! pipeline's next-hop stage asks [`Neighbours::mac`], and parks a packet with [`Neighbours::wait`] where nothing is known.
//!
//! The table is a machine without clock and ports: what is to be done comes out as [`Action`]s. It never allocates after
//! [`Neighbours::new`] and is bounded in every direction: entries, unresolved entries, packets that wait for one of them.
//! `neighbour/hear.rs` takes and answers what others ask, `neighbour/frame.rs` writes our own questions, `neighbour/change.rs` is asked after a change of configuration.

use std::net::IpAddr;

use crate::counter::Counter;
use crate::forwarding::InterfaceId;
use crate::header::ethernet::Mac;
use crate::message::NeighbourEntry;

pub(crate) use frame::LINK_BYTES;
pub use frame::{FRAME_BYTES, announcement, link_header, solicitation};
pub use hear::{Heard, Link};
use table::{Entry, Key, Table};
use waiting::Waiting;

mod change;
mod frame;
mod hear;
mod table;
mod waiting;

/// How often an unknown neighbour is asked for, and a known one probed (RFC 4861, 10: `MAX_MULTICAST_SOLICIT`,
/// `MAX_UNICAST_SOLICIT`).
pub const TRIES: u8 = 3;
/// Time between two questions (`RETRANS_TIMER`), in microseconds.
pub const RETRY_US: u64 = 1_000_000;
/// How long an answer proves that the way works (`REACHABLE_TIME`), before it is spread by half of it either way.
pub const REACHABLE_US: u64 = 30_000_000;
/// How long a stale neighbour is used before it is probed (`DELAY_FIRST_PROBE_TIME`).
pub const DELAY_US: u64 = 5_000_000;
/// An entry that nobody has used for this long is forgotten.
pub const FORGET_US: u64 = 600_000_000;

/// Packets that one unresolved neighbour may hold (RFC 4861, 7.2.2 asks for at least one).
pub const WAITING_PACKETS: usize = 4;

/// Entries looked at in one [`Neighbours::tick`], which does so at most once in [`SWEEP_US`]: bounded work for the worker.
const SWEEP_ENTRIES: usize = 32;
const SWEEP_US: u64 = 1_000;

/// Bounds of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Neighbours in all states.
    pub entries: u32,
    /// Neighbours that have not answered yet; each may hold [`WAITING_PACKETS`] packets.
    pub unresolved: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { entries: 4096, unresolved: 256 }
    }
}

/// What the worker has to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Action<P> {
    /// Ask for `target`: see [`solicitation`].
    Solicit {
        /// Where to ask.
        interface: InterfaceId,
        /// The address asked for.
        target: IpAddr,
        /// Where the neighbour was last seen, to ask it alone; none to ask all.
        probe: Option<Mac>,
    },
    /// Send a packet that waited.
    Release {
        /// Where to.
        interface: InterfaceId,
        /// To whom.
        mac: Mac,
        /// The packet.
        packet: P,
    },
    /// Drop a packet that waited in vain, or had to make room.
    Drop {
        /// Why.
        reason: Counter,
        /// The packet.
        packet: P,
    },
    /// Tell the control thread, which tells the other workers.
    Learned(NeighbourEntry),
}

/// What a message proves about its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// The sender answered our question (solicited advertisement, ARP reply to us). `overrides` as in RFC 4861, 4.4.
    Answered { overrides: bool },
    /// The sender speaks of itself unasked.
    Announced { overrides: bool },
    /// The sender asked for us and will want an answer.
    Asked,
}

/// Where an entry stands (RFC 4861, 7.3.2). Deadlines are in [`Entry::deadline_us`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Asked for; packets wait in this slot.
    Incomplete(u32),
    /// Answered a short while ago; stale at the deadline.
    Reachable,
    /// Known, not proven; the next packet starts the delay.
    Stale,
    /// In use; probed at the deadline.
    Delay,
    /// Being probed; again, or given up, at the deadline.
    Probe,
}

/// A worker's table. `P` is what waits: the mbuf with what the worker remembers about it.
pub struct Neighbours<P> {
    table: Table,
    waiting: Waiting<P>,
    swept_us: u64,
    random: u64,
    epoch: u32,
}

impl<P> Neighbours<P> {
    /// An empty table; all memory is taken here. `seed` spreads timers and hides the hash from those who would fill a bucket.
    #[must_use]
    pub fn new(limits: Limits, seed: u64) -> Self {
        Self {
            table: Table::new(limits.entries.max(1), seed),
            waiting: Waiting::new(limits.unresolved),
            swept_us: 0,
            random: seed | 1,
            epoch: 0,
        }
    }

    /// Changes whenever an address that [`Neighbours::mac`] told is no longer what it would tell: whoever keeps one compares.
    #[inline]
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The MAC address to send to, if it is known well enough to be used. Using a stale one starts its probing.
    pub fn mac(&mut self, interface: InterfaceId, address: IpAddr, now_us: u64) -> Option<Mac> {
        let at = self.table.find(&Key { interface, address })?;
        let entry = self.table.entry_mut(at);
        entry.used_us = now_us;
        match entry.state {
            State::Incomplete(_) => return None,
            State::Reachable if now_us < entry.deadline_us => {}
            State::Reachable | State::Stale => {
                entry.state = State::Delay;
                entry.deadline_us = now_us.saturating_add(DELAY_US);
            }
            State::Delay | State::Probe => {}
        }
        Some(entry.mac)
    }

    /// Keeps a packet until its neighbour is known, and asks for the neighbour if nobody has yet. Call it where
    /// [`Neighbours::mac`] said `None`. The packet comes back by an action, at once if there is no room.
    pub fn wait(
        &mut self,
        interface: InterfaceId,
        address: IpAddr,
        packet: P,
        now_us: u64,
        act: &mut impl FnMut(Action<P>),
    ) {
        let key = Key { interface, address };
        if let Some(at) = self.table.find(&key) {
            match self.table.entry(at).state {
                State::Incomplete(slot) => {
                    if let Some(packet) = self.waiting.push(slot, packet) {
                        act(Action::Drop { reason: Counter::NeighbourQueueFull, packet });
                    }
                }
                _ => act(Action::Release { interface, mac: self.table.entry(at).mac, packet }),
            }
            return;
        }
        let room = self.waiting.has_room() && self.make_room(now_us);
        let Some(slot) = room.then(|| self.waiting.take()).flatten() else {
            return act(Action::Drop { reason: Counter::NeighbourTableFull, packet });
        };
        self.waiting.push(slot, packet);
        let mut entry = Entry::new(key, Mac::default(), State::Incomplete(slot), now_us);
        entry.deadline_us = now_us.saturating_add(RETRY_US);
        entry.tries = 1;
        self.table.insert(entry);
        act(Action::Solicit { interface, target: address, probe: None });
    }

    /// Takes a neighbour over from the control thread: another worker had an answer.
    pub fn install(&mut self, neighbour: NeighbourEntry, now_us: u64, act: &mut impl FnMut(Action<P>)) {
        let key = Key { interface: neighbour.interface, address: neighbour.address };
        match self.table.find(&key) {
            Some(at) => self.set(at, neighbour.mac, State::Reachable, now_us, act),
            None if self.make_room(now_us) => {
                let at = self.table.insert(Entry::new(key, neighbour.mac, State::Stale, now_us));
                self.set(at, neighbour.mac, State::Reachable, now_us, act);
            }
            None => {}
        }
    }

    /// Lets time pass: retries, probes, gives up, forgets. Call it every turn of the worker's loop; it looks at a few
    /// entries each time.
    pub fn tick(&mut self, now_us: u64, act: &mut impl FnMut(Action<P>)) {
        if now_us.saturating_sub(self.swept_us) < SWEEP_US {
            return;
        }
        self.swept_us = now_us;
        for _ in 0..SWEEP_ENTRIES.min(self.table.capacity()) {
            let at = self.table.advance_hand();
            if self.table.get(at).is_some() {
                self.expire(at, now_us, act);
            }
        }
    }

    /// The MAC address of a neighbour in any state but incomplete, without using it.
    fn known_mac(&self, interface: InterfaceId, address: IpAddr) -> Option<Mac> {
        let entry = self.table.entry(self.table.find(&Key { interface, address })?);
        (!matches!(entry.state, State::Incomplete(_))).then_some(entry.mac)
    }

    /// Entries in all states.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether no neighbour is known or asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Packets that wait for an answer.
    #[must_use]
    pub fn waiting_packets(&self) -> usize {
        self.waiting.packets()
    }

    /// Takes in what a message proved about `neighbour` (RFC 4861, 7.2.3 and 7.2.5; RFC 826).
    fn hear(
        &mut self,
        neighbour: NeighbourEntry,
        proof: Proof,
        now_us: u64,
        act: &mut impl FnMut(Action<P>),
    ) {
        let key = Key { interface: neighbour.interface, address: neighbour.address };
        let Some(at) = self.table.find(&key) else {
            match proof {
                // Not our question, then perhaps that of another worker.
                Proof::Answered { .. } => act(Action::Learned(neighbour)),
                Proof::Announced { .. } => {}
                Proof::Asked => {
                    if self.make_room(now_us) {
                        self.table.insert(Entry::new(key, neighbour.mac, State::Stale, now_us));
                        act(Action::Learned(neighbour));
                    }
                }
            }
            return;
        };
        let entry = self.table.entry_mut(at);
        let is_incomplete = matches!(entry.state, State::Incomplete(_));
        let is_same = entry.mac == neighbour.mac && !is_incomplete;
        let overrides = match proof {
            Proof::Answered { overrides } | Proof::Announced { overrides } => overrides,
            Proof::Asked => true,
        };
        if !is_same && !is_incomplete && !overrides {
            if entry.state == State::Reachable {
                entry.state = State::Stale;
            }
            return;
        }
        match proof {
            Proof::Answered { .. } => self.set(at, neighbour.mac, State::Reachable, now_us, act),
            _ if is_same => return,
            _ => self.set(at, neighbour.mac, State::Stale, now_us, act),
        }
        act(Action::Learned(neighbour));
    }

    /// Gives an entry a MAC address and sends what waited for it.
    fn set(&mut self, at: u32, mac: Mac, state: State, now_us: u64, act: &mut impl FnMut(Action<P>)) {
        let lasts_us = REACHABLE_US / 2 + self.next_random() % REACHABLE_US;
        let entry = self.table.entry_mut(at);
        let (before, interface) = (entry.state, entry.key.interface);
        if entry.mac != mac && !matches!(before, State::Incomplete(_)) {
            self.epoch = self.epoch.wrapping_add(1);
        }
        entry.mac = mac;
        entry.state = state;
        entry.deadline_us = now_us.saturating_add(lasts_us);
        entry.tries = 0;
        if let State::Incomplete(slot) = before {
            self.waiting.release(slot, |packet| act(Action::Release { interface, mac, packet }));
        }
    }

    /// What the deadline of one entry asks for.
    fn expire(&mut self, at: u32, now_us: u64, act: &mut impl FnMut(Action<P>)) {
        let entry = self.table.entry_mut(at);
        let (interface, target) = (entry.key.interface, entry.key.address);
        let is_idle = now_us.saturating_sub(entry.used_us) >= FORGET_US;
        let is_due = now_us >= entry.deadline_us;
        match entry.state {
            State::Reachable | State::Stale if is_idle => self.remove(at, act),
            State::Reachable if is_due => entry.state = State::Stale,
            State::Delay if is_due => {
                entry.state = State::Probe;
                entry.tries = 1;
                entry.deadline_us = now_us.saturating_add(RETRY_US);
                act(Action::Solicit { interface, target, probe: Some(entry.mac) });
            }
            State::Incomplete(_) | State::Probe if is_due && entry.tries >= TRIES => self.remove(at, act),
            State::Incomplete(_) | State::Probe if is_due => {
                entry.tries += 1;
                entry.deadline_us = now_us.saturating_add(RETRY_US);
                let probe = (entry.state == State::Probe).then_some(entry.mac);
                act(Action::Solicit { interface, target, probe });
            }
            _ => {}
        }
    }

    fn remove(&mut self, at: u32, act: &mut impl FnMut(Action<P>)) {
        self.epoch = self.epoch.wrapping_add(1);
        if let Some(entry) = self.table.remove(at)
            && let State::Incomplete(slot) = entry.state
        {
            let reason = Counter::NeighbourUnresolved;
            self.waiting.release(slot, |packet| act(Action::Drop { reason, packet }));
        }
    }

    /// Whether an entry can be added; a full table first forgets a stale entry that has not been used for a while, if one is
    /// near the hand.
    fn make_room(&mut self, now_us: u64) -> bool {
        if self.table.len() < self.table.capacity() {
            return true;
        }
        for _ in 0..SWEEP_ENTRIES {
            let at = self.table.advance_hand();
            let is_spare = self.table.get(at).is_some_and(|entry| {
                let is_lapsed = entry.state == State::Reachable && now_us >= entry.deadline_us;
                (entry.state == State::Stale || is_lapsed) && now_us.saturating_sub(entry.used_us) >= RETRY_US
            });
            if is_spare {
                self.epoch = self.epoch.wrapping_add(1);
                self.table.remove(at);
                return true;
            }
        }
        false
    }

    /// Xorshift: spreads timers, guards nothing.
    fn next_random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}

impl<P> std::fmt::Debug for Neighbours<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (len, waiting) = (self.len(), self.waiting_packets());
        f.debug_struct("Neighbours").field("entries", &len).field("waiting_packets", &waiting).finish()
    }
}

#[cfg(test)]
mod tests;
