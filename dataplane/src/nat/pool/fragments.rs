//! Whose later fragments are: they have no ports, so what the first one was tells. One word a packet, in a small table that all workers share; a packet whose word another
//! one has taken loses its later fragments.

use std::net::Ipv4Addr;
use std::sync::atomic::Ordering;

use portable_atomic::AtomicU128;

use super::{halves, mix, scaled};
use crate::header::Protocol;

/// Packets of a pool of which fragments are under way at a time.
const PACKETS: u64 = 2048;
/// As long as a receiver waits for them, or less (RFC 1122, 3.3.2).
const PATIENCE_S: u32 = 30;
const SECONDS: u32 = (1 << 20) - 1;
const KEY: u128 = (1 << 88) - 1;

/// What fragments of a packet have in common: identification, protocol, source and destination (RFC 791, 3.2).
pub(super) type Packet = (u16, Protocol, (Ipv4Addr, Ipv4Addr));

/// Words of addresses (64 bits), identification (16), protocol (8); place (20) and time in seconds (20).
pub(super) struct Fragments {
    words: Box<[AtomicU128]>,
    seed: u64,
}

impl Fragments {
    pub(super) fn new(seed: u64) -> Self {
        Self { words: (0..PACKETS).map(|_| AtomicU128::new(0)).collect(), seed }
    }

    pub(super) fn note(&self, packet: Packet, place: u32, now_s: u32) {
        let (key, Some(word)) = self.at(packet) else { return };
        let new = key | u128::from(place) << 88 | u128::from(now_s & SECONDS) << 108;
        word.store(new, Ordering::Relaxed);
    }

    pub(super) fn find(&self, packet: Packet, now_s: u32) -> Option<u32> {
        let (key, word) = self.at(packet);
        let word = word?.load(Ordering::Relaxed);
        let then_s = u32::try_from(word >> 108).ok()?;
        // The clocks of two workers may differ by a second.
        let passed_s = now_s.wrapping_sub(then_s).wrapping_add(1) & SECONDS;
        (word & KEY == key && passed_s <= PATIENCE_S)
            .then(|| u32::try_from(word >> 88 & u128::from(SECONDS)).unwrap_or(0))
    }

    fn at(&self, (id, protocol, (source, destination)): Packet) -> (u128, Option<&AtomicU128>) {
        let key = u128::from(source.to_bits())
            | u128::from(destination.to_bits()) << 32
            | u128::from(id) << 64
            | u128::from(protocol.0) << 80;
        let [low, high] = halves(key);
        let at = scaled(mix(mix(low ^ self.seed) ^ high), PACKETS);
        (key, usize::try_from(at).ok().and_then(|at| self.words.get(at)))
    }
}
