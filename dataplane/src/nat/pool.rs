//! The sessions of a dynamic rule: many internal addresses behind few external ones, told apart by ports ("NAPT", RFC 2663, 4.1.2; RFC 4787, RFC 5382, RFC 5508).
//!
//! A session is what one inside port says to one peer's port. It is begun by the inside alone, and has an external port of its own for as long as it
//! lives; a host has one external address for all its sessions ("paired", RFC 4787, 4.1).
//!
//! All workers share a pool, since a session's answers may come in by another worker than its questions. There is one place for each external port, and
//! the place is one word of 128 bits that says all there is to know of the session that has the port:
//!
//! ```text
//! bits     0        32       48       80      96        104    107         128
//!          | inside | inside | peer   | peer  | protocol | phase | last used |
//!          | address| port   | address| port  |          |       | (seconds) |
//! ```
//!
//! So whatever happens to a session is one compare-and-swap, and nobody ever waits. From outside a session is found by its place, which is the port. From inside it is found by
//! trying the places of a sequence that follows from the session's identity (`pool/search.rs`); a new one takes the first of them that is free, or else that of the
//! session which nobody will miss.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, Ordering};

use ipnet::Ipv4Net;
use portable_atomic::AtomicU128;

use crate::counter::Counter;
use crate::header::Protocol;

use fragments::Fragments;
use phase::Phase;
pub(crate) use phase::Seen;
use search::{Found, Reach};
pub use sweep::{Sweep, Usage};
use word::Word;
pub(crate) use word::{Endpoint, Seconds, Session};

mod fragments;
mod phase;
mod search;
mod sweep;
mod word;

/// Ports below it are not given away.
const FIRST_PORT: u32 = 1024;
const PORTS: u32 = 65536 - FIRST_PORT;
/// Sessions of a pool at most: 16 bytes each.
const SESSIONS_MAX: u32 = 1 << 20;
/// External addresses of a pool at most: as many as leave each enough ports.
pub const POOL_ADDRESSES_MAX: u32 = 4096;
/// Places in a row, which share a line of the cache.
const ROW: usize = 4;
/// How often a place that another worker has just taken is looked for anew.
const ATTEMPTS: usize = 8;

#[repr(align(64))]
struct Row([AtomicU128; ROW]);

/// The place of a session in its pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(u32);

/// The addresses, ports and sessions of one dynamic rule.
pub struct Pool {
    internal: Ipv4Net,
    external: Ipv4Net,
    ports_per_address: u32,
    rows: Box<[Row]>,
    fragments: Fragments,
    seed: u64,
    reach: Reach,
    counts: Counts,
}

/// What new sessions write, on a line of the cache that known ones do not read.
#[repr(align(64))]
#[derive(Default)]
struct Counts {
    begun: AtomicU64,
    refused: AtomicU64,
}

impl Pool {
    /// Hides the hosts of `internal` behind the addresses of `external`. Allocates 16 bytes for each port: for the control thread. `None` if there are more than
    /// [`POOL_ADDRESSES_MAX`] external addresses.
    #[must_use]
    pub fn new(internal: Ipv4Net, external: Ipv4Net, seed: u64) -> Option<Self> {
        let hosts = u32::from(external.max_prefix_len() - external.prefix_len());
        let addresses = 1_u32.checked_shl(hosts).filter(|addresses| *addresses <= POOL_ADDRESSES_MAX)?;
        let ports = (SESSIONS_MAX / addresses).min(PORTS);
        Some(Self::with_ports(internal, external, ports, seed))
    }

    /// One without a port or a table, for snapshots that no worker gets: those that are only built to see whether they can be.
    #[must_use]
    pub fn stand_in(internal: Ipv4Net, external: Ipv4Net) -> Self {
        Self::with_ports(internal, external, 0, 0)
    }

    /// The same with so many ports an address, the highest ones: a multiple of four.
    #[must_use]
    pub(crate) fn with_ports(internal: Ipv4Net, external: Ipv4Net, ports: u32, seed: u64) -> Self {
        let addresses = 1_usize << (external.max_prefix_len() - external.prefix_len());
        let row = |_| Row(std::array::from_fn(|_| AtomicU128::new(Word::UNTOUCHED.0)));
        Self {
            internal: internal.trunc(),
            external: external.trunc(),
            ports_per_address: ports,
            rows: (0..addresses * ports as usize / ROW).map(row).collect(),
            fragments: Fragments::new(seed),
            seed,
            reach: Reach::default(),
            counts: Counts::default(),
        }
    }

    /// The prefix of the hosts.
    #[must_use]
    pub fn internal(&self) -> Ipv4Net {
        self.internal
    }

    /// The prefix that the other side knows.
    #[must_use]
    pub fn external(&self) -> Ipv4Net {
        self.external
    }

    /// The session's place, which it may begin by this packet of its inside (`may_begin`).
    ///
    /// # Errors
    /// The drop reason: `NatNoSession`, `NatPortsExhausted`.
    pub(crate) fn enter(
        &self,
        session: Session,
        seen: Seen,
        may_begin: bool,
        now: Seconds,
    ) -> Result<Place, Counter> {
        for _ in 0..ATTEMPTS {
            let vacancy = match self.search(session, now) {
                Found::Session(place, word) => {
                    self.advance(place, word, seen, now);
                    return Ok(place);
                }
                _ if !may_begin => return Err(Counter::NatNoSession),
                Found::Vacancy(vacancy) => vacancy,
                Found::Nothing => break,
            };
            let new = Word::new(session.identity(), Phase::begin(seen), now);
            // Before, so that nobody looks for it in vain; and after, since a sweep may have ended in between.
            self.reach.extend(vacancy.rows);
            if self.exchange(vacancy.place, vacancy.word, new).is_ok() {
                self.reach.extend(vacancy.rows);
                self.counts.begun.fetch_add(1, Ordering::Relaxed);
                return Ok(vacancy.place);
            }
        }
        self.counts.refused.fetch_add(1, Ordering::Relaxed);
        Err(Counter::NatPortsExhausted)
    }

    /// The place of a session that there is.
    pub(crate) fn find(&self, session: Session, now: Seconds) -> Option<Place> {
        match self.search(session, now) {
            Found::Session(place, _) => Some(place),
            Found::Vacancy(_) | Found::Nothing => None,
        }
    }

    /// The session that has this external port and this peer.
    pub(crate) fn answered(
        &self,
        protocol: Protocol,
        external: Endpoint,
        peer: Endpoint,
        now: Seconds,
    ) -> Option<(Place, Endpoint)> {
        let place = self.place(external)?;
        let word = self.load(place)?;
        let is_theirs = word.protocol() == protocol && word.peer() == peer && word.is_taken(now);
        is_theirs.then(|| (place, word.inside()))
    }

    /// A packet of the session has come from its peer.
    pub(crate) fn note(&self, place: Place, seen: Seen, now: Seconds) {
        if let Some(word) = self.load(place) {
            self.advance(place, word, seen, now);
        }
    }

    /// The external address and port of a place.
    pub(crate) fn external_of(&self, Place(place): Place) -> Endpoint {
        let (address, port) = (place / self.ports_per_address, place % self.ports_per_address);
        let port = u16::try_from(65536 - self.ports_per_address + port).unwrap_or(u16::MAX);
        Endpoint { address: Ipv4Addr::from_bits(self.external.network().to_bits() + address), port }
    }

    /// The external address of a host.
    pub(crate) fn address_of(&self, inside: Ipv4Addr) -> Ipv4Addr {
        let number = u32::try_from(self.address_number(inside)).unwrap_or(0); // below the number of addresses
        Ipv4Addr::from_bits(self.external.network().to_bits() + number)
    }

    fn address_number(&self, inside: Ipv4Addr) -> u64 {
        scaled(mix(u64::from(inside.to_bits()) ^ self.seed), self.addresses())
    }

    fn addresses(&self) -> u64 {
        1 << (self.external.max_prefix_len() - self.external.prefix_len())
    }

    /// By how much the identification of a host's packets moves that may be cut, so that those of two hosts are not taken for pieces of one (RFC 6864, 5.3): hosts count
    /// theirs up, and mostly from like numbers.
    pub(crate) fn id_shift(&self, inside: Ipv4Addr) -> u16 {
        let [low, high, ..] = mix(u64::from(inside.to_bits()) ^ self.seed.rotate_left(32)).to_le_bytes();
        u16::from_le_bytes([low, high])
    }

    /// Remembers whose the later fragments of a packet are, whose first one went by with these addresses.
    pub(crate) fn note_fragments(
        &self,
        id: u16,
        protocol: Protocol,
        ends: (Ipv4Addr, Ipv4Addr),
        place: Place,
        now: Seconds,
    ) {
        self.fragments.note((id, protocol, ends), place.0, now.0);
    }

    /// The session of a later fragment: its place, its inside and its peer.
    pub(crate) fn of_fragment(
        &self,
        id: u16,
        protocol: Protocol,
        ends: (Ipv4Addr, Ipv4Addr),
        now: Seconds,
    ) -> Option<(Place, Endpoint, Endpoint)> {
        let place = Place(self.fragments.find((id, protocol, ends), now.0)?);
        let word = self.load(place).filter(|word| word.protocol() == protocol && word.is_taken(now))?;
        Some((place, word.inside(), word.peer()))
    }

    /// What a packet says about a session goes into its place: mostly nothing, for a second.
    fn advance(&self, place: Place, mut word: Word, seen: Seen, now: Seconds) {
        let identity = word.identity();
        for _ in 0..ATTEMPTS {
            let new = Word::new(identity, word.phase().after(seen), now);
            if new == word {
                return;
            }
            match self.exchange(place, word, new) {
                Err(other) if other.identity() == identity => word = other,
                _ => return,
            }
        }
    }

    /// # Errors
    /// What the place says instead.
    fn exchange(&self, place: Place, old: Word, new: Word) -> Result<(), Word> {
        let Some(cell) = self.cell(place) else { return Err(old) };
        // All there is to know is in the word itself: no order with other memory is needed.
        let exchanged = cell.compare_exchange(old.0, new.0, Ordering::Relaxed, Ordering::Relaxed);
        exchanged.map(|_| ()).map_err(Word)
    }

    fn load(&self, place: Place) -> Option<Word> {
        Some(Word(self.cell(place)?.load(Ordering::Relaxed)))
    }

    fn cell(&self, Place(place): Place) -> Option<&AtomicU128> {
        let place = usize::try_from(place).ok()?;
        Some(&self.rows.get(place / ROW)?.0[place % ROW])
    }

    fn place(&self, external: Endpoint) -> Option<Place> {
        let address = external.address.to_bits().checked_sub(self.external.network().to_bits())?;
        let port = u32::from(external.port).checked_sub(65536 - self.ports_per_address)?;
        self.external.contains(&external.address).then(|| Place(address * self.ports_per_address + port))
    }
}

impl PartialEq for Pool {
    /// Whether they are the same: sessions of one are not those of another.
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for Pool {}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pool({} behind {})", self.internal, self.external)
    }
}

fn halves(word: u128) -> [u64; 2] {
    let [low, high] = *word.to_le_bytes().as_chunks::<8>().0 else { return [0; 2] };
    [u64::from_le_bytes(low), u64::from_le_bytes(high)]
}

/// Spreads a change of any bit over all others (the finalizer of `SplitMix64`).
fn mix(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ word >> 31
}

/// A number below `count` for a hash: the upper half of the product.
fn scaled(hash: u64, count: u64) -> u64 {
    halves(u128::from(hash) * u128::from(count))[1]
}

#[cfg(test)]
mod tests;
