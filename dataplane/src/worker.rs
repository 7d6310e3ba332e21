//! A worker: the loop of one pinned thread over its queues. Messages, injections, handed-over packets, one burst of each port through the
//! [`crate::pipeline`], neighbour timers, keepalives, transmit, counters; then again, or a short rest if there was nothing to do.
//!
//! The worker owns its tables and queues outright. It does not block, lock, allocate, free or make a system call while there is
//! traffic (an idle one sleeps, if it may). `worker/set.rs` starts and stops several of them; [`Worker::step`] alone is enough for
//! tests and benchmarks.

mod apply;
mod set;
mod stage;
mod stats;

pub use set::{Launch, LaunchError, Part, WorkerGone, WorkerHandle, WorkerSet};
pub(crate) use stage::Watch;
pub use stage::{Stage, StageTurns};
pub use stats::{Histograms, Stats};

use std::num::NonZeroU8;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dpdk_sys::{Burst, Eal, Mempool, RxQueue, TxQueue, tsc_cycles};

use crate::counter::{Counter, Counters, Local};
use crate::esp;
use crate::flow::{Adjacencies, FlowTable};
use crate::forwarding::{Forwarding, PortIndex};
use crate::gcm::{self, Kernel};
use crate::handover::Handover;
use crate::icmp::TokenBucket;
use crate::message::WorkerEnd;
use crate::neighbour::{self, Neighbours};
use crate::pipeline::leave::Transmit;
use crate::pipeline::seal::Outbound;
use crate::pipeline::{self, Context, Lists, Tables};
use crate::pmtu::Reassemblers;

/// What a worker does when there is nothing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Idle {
    /// Polls on, then pauses, then sleeps for tens of microseconds: for shared cores.
    #[default]
    Adaptive,
    /// Polls on: for dedicated cores.
    Poll,
}

/// Sizes of a worker's tables, the same for all workers of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Inbound SA slots: what [`crate::spi::SpiAllocator`] was made with.
    pub inbound_sas: u32,
    /// Greatest tunnel number, and one.
    pub tunnels: u32,
    /// Neighbour table.
    pub neighbours: neighbour::Limits,
    /// ICMP errors a worker sends in a second.
    pub icmp_errors_per_s: u32,
}

impl Default for Sizes {
    fn default() -> Self {
        Self {
            inbound_sas: 16_384,
            tunnels: 8192,
            neighbours: neighbour::Limits::default(),
            icmp_errors_per_s: 1000,
        }
    }
}

/// A worker. Made by [`WorkerSet::prepare`] or [`WorkerSet::launch`].
pub struct Worker {
    rx: Vec<(PortIndex, RxQueue)>,
    lists: Box<Lists>,
    tables: Tables,
    cx: Context,
    counters: Arc<Counters>,
    stats: Arc<Stats>,
    histograms: Box<Histograms>,
    epoch: Instant,
    keepalive_hand: usize,
    keepalive_us: u64,
    fragments_us: u64,
    clock_cycles: u64,
}

/// Age at which the clock is read again, in TSC cycles: some tens of microseconds.
const CLOCK_CYCLES: u64 = 100_000;
/// Flows that a worker remembers for each tunnel: some host pairs each way.
const FLOWS_PER_TUNNEL: u32 = 8;
/// Packets that one step takes from control's ring: no more than a list holds.
const INJECTIONS: usize = 32;
/// Packets of unknown SAs that a worker tells control of, in a second and in one go: enough for every peer to hear of a restart soon.
const UNKNOWN_SPIS_PER_S: u32 = 100;
const UNKNOWN_SPIS_AT_ONCE: u32 = 20;
/// Tunnels looked at for a keepalive, at most once in so many microseconds.
const KEEPALIVE_TUNNELS: usize = 64;
const KEEPALIVE_TURN_US: u64 = 1000;
/// Time between two looks at incomplete packets, in microseconds.
const FRAGMENTS_TURN_US: u64 = 100_000;
/// Empty steps until an adaptive worker pauses, and until it sleeps; its shortest and longest sleep.
const STEPS_TO_PAUSE: u32 = 64;
const STEPS_TO_SLEEP: u32 = 512;
const SLEEP_MIN: Duration = Duration::from_micros(20);
const SLEEP_MAX: Duration = Duration::from_micros(200);

/// What a worker is made of.
pub(crate) struct Parts {
    pub(crate) rx: Vec<(PortIndex, RxQueue)>,
    pub(crate) tx: Vec<Option<TxQueue>>,
    pub(crate) pool: Mempool,
    pub(crate) whole_pool: Mempool,
    pub(crate) reassemblers: Reassemblers,
    pub(crate) end: WorkerEnd,
    pub(crate) handover: Handover,
    pub(crate) workers: NonZeroU8,
    pub(crate) kernel: Kernel,
    pub(crate) sizes: Sizes,
    pub(crate) seed: u64,
    pub(crate) counters: Arc<Counters>,
    pub(crate) stats: Arc<Stats>,
    pub(crate) epoch: Instant,
}

impl Worker {
    pub(crate) fn new(parts: Parts) -> Self {
        let sizes = parts.sizes;
        let (slots, tunnels) = (sizes.inbound_sas as usize, sizes.tunnels as usize);
        let tables = Tables {
            inbound: std::iter::repeat_with(|| None).take(slots).collect(),
            outbound: std::iter::repeat_with(Outbound::new).take(tunnels).collect(),
            keepalives: vec![0; tunnels.div_ceil(64)].into_boxed_slice(),
            asked_s: vec![0; tunnels].into_boxed_slice(),
            neighbours: Neighbours::new(sizes.neighbours, parts.seed),
            flows: FlowTable::new(sizes.tunnels.saturating_mul(FLOWS_PER_TUNNEL), parts.seed),
            adjacencies: Adjacencies::new(parts.seed),
            snapshot: 0,
        };
        let cx = Context {
            forwarding: Arc::new(Forwarding::empty()),
            counters: Local::new(),
            end: parts.end,
            pool: parts.pool,
            transmit: Transmit::new(parts.tx),
            kernel: parts.kernel,
            handover: parts.handover,
            workers: parts.workers,
            error_limit: TokenBucket::new(sizes.icmp_errors_per_s, sizes.icmp_errors_per_s / 10 + 1),
            unknown_limit: TokenBucket::new(UNKNOWN_SPIS_PER_S, UNKNOWN_SPIS_AT_ONCE),
            reassemblers: parts.reassemblers,
            whole_pool: parts.whole_pool,
            fragments_lost: 0,
            fragment_id: (parts.seed >> 32 ^ parts.seed & u64::from(u32::MAX)).try_into().unwrap_or(0),
            watch: Watch::default(),
            now_us: 0,
        };
        Self {
            rx: parts.rx,
            lists: Box::default(),
            tables,
            cx,
            counters: parts.counters,
            stats: parts.stats,
            histograms: Box::default(),
            epoch: parts.epoch,
            keepalive_hand: 0,
            keepalive_us: 0,
            fragments_us: 0,
            clock_cycles: 0,
        }
    }

    /// One turn at the present time. Returns how many packets it handled.
    pub fn step(&mut self) -> usize {
        // Timers are milliseconds long: under load the clock is read once in several turns, the cycle counter tells when.
        let cycles = tsc_cycles();
        if cycles.wrapping_sub(self.clock_cycles) >= CLOCK_CYCLES {
            self.clock_cycles = cycles;
            self.cx.now_us = u64::try_from(self.epoch.elapsed().as_micros()).unwrap_or(u64::MAX);
        }
        self.step_at(self.cx.now_us)
    }

    /// One turn at a time of the caller's, in microseconds, which must not go back: for tests in virtual time.
    pub fn step_at(&mut self, now_us: u64) -> usize {
        let began = tsc_cycles();
        self.cx.now_us = now_us;
        self.cx.watch.begin(self.stats.measures_stages(), began);
        let messages = self.apply_commands();
        let Self { rx, lists, tables, cx, histograms, .. } = self;
        let mut handled = messages;
        for _ in 0..INJECTIONS {
            let Some(inject) = cx.end.next_injection() else { break };
            pipeline::inject(inject.packet, lists, cx);
            handled += 1;
        }
        // Each intake gets the lists to itself: together, the two could be more than a list holds.
        if !lists.clear.is_empty() {
            pipeline::onward(lists, tables, cx);
        }
        // As many bursts as may come in by the ports, or the rings would fill up with what this worker itself puts there.
        for _ in 0..rx.len().max(1) {
            cx.handover.receive(&mut lists.sealed, &mut cx.counters);
            if lists.sealed.is_empty() {
                break;
            }
            handled += lists.sealed.len();
            pipeline::onward(lists, tables, cx);
        }
        cx.watch.lap(Stage::Upkeep);
        let mut burst = Burst::new();
        for (port, queue) in rx.iter_mut() {
            let arrived = usize::from(queue.rx_burst(&mut burst));
            if arrived == 0 {
                continue;
            }
            let burst_began = tsc_cycles();
            pipeline::frames(*port, &mut burst, lists, tables, cx);
            cx.transmit.flush(&mut cx.counters);
            cx.watch.lap(Stage::Leave);
            histograms.record(arrived as u64, tsc_cycles().saturating_sub(burst_began));
            handled += arrived;
        }
        tables.neighbours.tick(now_us, &mut |action| cx.act(action));
        self.keepalives();
        self.expire_fragments();
        self.cx.transmit.flush(&mut self.cx.counters);
        self.cx.counters.store(&self.counters);
        self.cx.watch.lap(Stage::Upkeep);
        if let Some(cycles) = self.cx.watch.take() {
            self.stats.add_stages(&cycles);
        }
        self.stats.turn(handled as u64, tsc_cycles().saturating_sub(began));
        handled
    }

    /// Turns until `stop` is set. Registers the thread with DPDK, so that pools keep a cache for it. No trace of keys is left on the stack.
    pub(crate) fn run(mut self, eal: &Eal, idle: Idle, stop: &AtomicBool) -> Self {
        gcm::scrubbed(|| self.turns(eal, idle, stop));
        self
    }

    fn turns(&mut self, eal: &Eal, idle: Idle, stop: &AtomicBool) {
        let registered = eal.register_thread();
        let mut empty_steps = 0_u32;
        while !stop.load(Ordering::Relaxed) {
            if self.step() > 0 {
                empty_steps = 0;
                continue;
            }
            empty_steps = empty_steps.saturating_add(1);
            if idle == Idle::Adaptive {
                rest(empty_steps);
            }
        }
        drop(registered);
    }

    /// Gives the queues back; everything else that the worker owned (tables, packets that waited) is dropped here.
    #[must_use]
    pub fn into_queues(self) -> (Vec<(PortIndex, RxQueue)>, Vec<Option<TxQueue>>) {
        (self.rx, self.cx.transmit.into_queues())
    }

    /// Packets inside: waiting for a neighbour. With them, what entered is what left and was dropped.
    #[must_use]
    pub fn waiting_packets(&self) -> usize {
        self.tables.neighbours.waiting_packets()
    }

    /// Gives up on packets that do not become whole.
    fn expire_fragments(&mut self) {
        if self.cx.now_us >= self.fragments_us {
            self.fragments_us = self.cx.now_us + FRAGMENTS_TURN_US;
            self.cx.reassemblers.expire(tsc_cycles());
            self.cx.count_lost_fragments();
        }
    }

    /// Sends NAT keepalives (RFC 3948, 4) for SAs that have been silent. Tunnels are dealt out among the workers.
    fn keepalives(&mut self) {
        let Self { tables, cx, lists, .. } = self;
        if cx.now_us < self.keepalive_us {
            return;
        }
        self.keepalive_us = cx.now_us + KEEPALIVE_TURN_US;
        let (me, workers) = (usize::from(cx.handover.me()), usize::from(cx.workers.get()));
        let now_ms = cx.now_us / 1000;
        for _ in 0..KEEPALIVE_TUNNELS.min(tables.outbound.len()) {
            let at = self.keepalive_hand;
            self.keepalive_hand = (at + 1) % tables.outbound.len();
            // Most tunnels want none, and their SAs stay out of the cache.
            if tables.keepalives[at / 64] >> (at % 64) & 1 == 0 || at % workers != me {
                continue;
            }
            let Some(sa) = tables.outbound[at].sa().filter(|sa| sa.keepalive_is_due(now_ms)) else {
                continue;
            };
            sa.touch(now_ms);
            match esp::keepalive(&sa.hot, &cx.pool) {
                Some(packet) => {
                    cx.counters.count(Counter::Originated);
                    cx.counters.count(Counter::KeepaliveSent);
                    pipeline::own_packet(packet, lists, cx);
                }
                None => cx.counters.count(Counter::NoBuffer),
            }
            if lists.clear.is_full() {
                break;
            }
        }
        if !lists.clear.is_empty() {
            pipeline::onward(lists, tables, cx);
        }
    }
}

/// The longer nothing happened, the longer the rest.
fn rest(empty_steps: u32) {
    if empty_steps < STEPS_TO_PAUSE {
        return;
    }
    if empty_steps < STEPS_TO_SLEEP {
        std::hint::spin_loop();
        return;
    }
    let doublings = ((empty_steps - STEPS_TO_SLEEP) / 64).min(4);
    std::thread::sleep((SLEEP_MIN * (1 << doublings)).min(SLEEP_MAX));
}
