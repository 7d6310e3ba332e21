//! A gateway's bandwidth, shared by all its tunnels and by all workers: what a SKU promises, and no more.
//!
//! A [`Meter`] belongs to a gateway, a [`Share`] of it to each connection, whatever the number of its tunnels; the seal and open stages ask
//! [`Share::take`] once for a run of packets (`pipeline/police.rs`). Both are a few atomic words, moved by compare-and-swap: no lock, and no worker
//! waits for another. The control thread hands shares out in a snapshot ([`crate::forwarding::Builder::share`]) and keeps them from one to the next.
//!
//! What counts is inner IP packets, whole, in both directions together: a packet that is refused counts for nothing.
//!
//! The bucket is kept as the time at which it will be full again (the generic cell rate algorithm, ITU-T I.371, annex A), so that nobody has to refill
//! it. It holds 8 ms worth of traffic: little enough that a second's total is exact to one percent, enough for a burst of each worker.
//!
//! Fairness: while the gateway is overloaded, a tunnel that stays within an equal part of the rate (among the tunnels that sent anything in the
//! last 50 ms) may take the bucket to its bottom. One that wants more gets what the others leave: only from the upper half. No
//! tunnel can starve another, and none is held back while there is room.
//!
//! The two directions of a tunnel share its part in the same way, so that what comes in cannot keep everything from going out.
//!
//! DPDK's `rte_meter` is not used: its token buckets have one owner each, and this one has as many as there are workers.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::sa::Direction;

/// Ticks of the meters' clock in a microsecond: sixteen in a nanosecond, so that the smallest packet's time at 100 Gbit/s is exact to a percent.
const TICKS_PER_US: u64 = 16_000;
const TICKS_PER_S: u64 = TICKS_PER_US * 1_000_000;
/// What the bucket holds, as time at the full rate.
const DEPTH: u64 = TICKS_PER_S / 125;
/// The least that it holds, in bytes: some full packets, or slow gateways could send none.
const DEPTH_MIN_BYTES: u64 = 6000;
/// How long a tunnel counts as active.
const WINDOW: u64 = TICKS_PER_S / 20;
/// Number of the first window. Neither 0, which stands for never, nor the one behind that.
const FIRST_WINDOW: u64 = 2;

/// The bandwidth of a gateway. Both directions of its tunnels share it.
#[derive(Debug)]
#[repr(align(128))]
pub struct Meter {
    bytes_per_s: AtomicU64,
    /// When the bucket is full again.
    full_at: AtomicU64,
    /// Number of the present window, and how many tunnels were active in the last and are in this one.
    window: AtomicU64,
    active: AtomicU32,
    seen: AtomicU32,
}

/// A tunnel's part in a gateway's bandwidth.
#[derive(Debug)]
#[repr(align(64))]
pub struct Share {
    meter: Arc<Meter>,
    full_at: AtomicU64,
    window: AtomicU64,
    /// By [`Direction`].
    ways: [Way; 2],
}

const _: () = assert!(size_of::<Share>() == 64, "a tunnel's part is one cache line");

/// One direction of a tunnel.
#[derive(Debug, Default)]
struct Way {
    full_at: AtomicU64,
    /// The last window in which something went this way; 0 for none.
    window: AtomicU64,
}

impl Meter {
    /// A full bucket. The rate is in bytes a second.
    #[must_use]
    pub fn new(bytes_per_s: NonZeroU64) -> Self {
        Self {
            bytes_per_s: AtomicU64::new(bytes_per_s.get()),
            full_at: AtomicU64::new(0),
            window: AtomicU64::new(0),
            active: AtomicU32::new(1),
            seen: AtomicU32::new(0),
        }
    }

    /// Another rate from now on, in bytes a second: a gateway that was resized.
    pub fn resize(&self, bytes_per_s: NonZeroU64) {
        self.bytes_per_s.store(bytes_per_s.get(), Ordering::Relaxed);
    }

    /// The present rate, in bytes a second.
    #[must_use]
    pub fn bytes_per_s(&self) -> u64 {
        self.bytes_per_s.load(Ordering::Relaxed)
    }

    /// Begins a new window if it is time for one, and returns the present one. Whoever sees it first does it; a worker whose clock is a little behind
    /// goes with the others, for windows only move forward.
    fn turn(&self, now: u64) -> u64 {
        let present = now / WINDOW + FIRST_WINDOW;
        let before = self.window.load(Ordering::Relaxed);
        if before < present && self.window.fetch_max(present, Ordering::Relaxed) < present {
            self.active.store(self.seen.swap(0, Ordering::Relaxed).max(1), Ordering::Relaxed);
        }
        present.max(before)
    }
}

impl Share {
    /// A tunnel's share of `meter`; unused shares take nothing from the others.
    #[must_use]
    pub fn new(meter: Arc<Meter>) -> Self {
        Self { meter, full_at: AtomicU64::new(0), window: AtomicU64::new(0), ways: Default::default() }
    }

    /// The gateway's meter.
    #[must_use]
    pub fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }

    /// Takes the bytes of a run of packets, all or none, at a time of the workers' clock in microseconds. `false`: not all of them may be sent; ask for
    /// each.
    #[must_use]
    pub fn take(&self, direction: Direction, bytes: u64, now_us: u64) -> bool {
        self.take_from(direction, bytes, now_us, 0)
    }

    /// Like [`Share::take`] for one packet, which passes now and then however small the bucket is.
    #[must_use]
    pub fn take_packet(&self, direction: Direction, bytes: u64, now_us: u64) -> bool {
        self.take_from(direction, bytes, now_us, bytes.saturating_mul(2))
    }

    /// `room_bytes`: what the bucket holds at least, for this once.
    fn take_from(&self, direction: Direction, bytes: u64, now_us: u64, room_bytes: u64) -> bool {
        let meter = &*self.meter;
        let now = now_us.saturating_mul(TICKS_PER_US);
        let window = meter.turn(now);
        // Reading first spares all but the first of a window the write.
        if self.window.load(Ordering::Relaxed) < window
            && self.window.fetch_max(window, Ordering::Relaxed) < window
        {
            meter.seen.fetch_add(1, Ordering::Relaxed);
        }
        let rate = meter.bytes_per_s();
        // A burst of the longest packets is far from overflowing.
        let ticks = |bytes: u64| bytes.saturating_mul(TICKS_PER_S) / rate;
        let (cost, depth) = (ticks(bytes), DEPTH.max(ticks(DEPTH_MIN_BYTES.max(room_bytes))));
        // A tunnel that was seen first in this window makes one more than the last window had.
        let active = meter.active.load(Ordering::Relaxed).max(meter.seen.load(Ordering::Relaxed));
        let own_cost = cost.saturating_mul(u64::from(active));
        let (own_depth, (way, other)) = (depth.saturating_mul(2), self.ways(direction));
        if way.window.load(Ordering::Relaxed) < window {
            way.window.fetch_max(window, Ordering::Relaxed);
        }
        let is_both = other.window.load(Ordering::Relaxed) + 1 >= window;
        let way_cost = own_cost.saturating_mul(if is_both { 2 } else { 1 });
        let is_due = advance(&way.full_at, way_cost, now, own_depth);
        let is_fair = advance(&self.full_at, own_cost, now, if is_due { own_depth } else { depth / 2 });
        let is_taken = advance(&meter.full_at, cost, now, if is_fair { depth } else { depth / 2 });
        if !is_taken {
            give_back(&way.full_at, if is_due { way_cost } else { 0 });
            give_back(&self.full_at, if is_fair { own_cost } else { 0 });
        }
        is_taken
    }

    /// A direction, and the other one.
    fn ways(&self, direction: Direction) -> (&Way, &Way) {
        let [inbound, outbound] = &self.ways;
        match direction {
            Direction::Inbound => (inbound, outbound),
            Direction::Outbound => (outbound, inbound),
        }
    }
}

/// Moves the time at which a bucket is full on by `cost`, unless it would lie more than `depth` ahead.
fn advance(full_at: &AtomicU64, cost: u64, now: u64, depth: u64) -> bool {
    let next = |full_at: u64| {
        let next = full_at.max(now).saturating_add(cost);
        (next - now <= depth).then_some(next)
    };
    full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok()
}

/// Takes an advance back, which others may have built on meanwhile.
fn give_back(full_at: &AtomicU64, cost: u64) {
    if cost > 0 {
        full_at.fetch_sub(cost, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
