//! The packet path, top to bottom: what a worker does with a burst. Each stage handles the whole burst before the next begins, and
//! moves every packet on to a later stage's list, out (sent, punted, handed over), or into a named counter.
//!
//! A packet of a known flow takes a shortcut past the parts that looked its way up before: same lists, same order.
//!
//! | stage | file | takes, gives |
//! | --- | --- | --- |
//! | shortcut | `pipeline/shortcut.rs` | plain packets, of receive and open; by `flow.rs` to `sealed`, `entering`, or out; the others stay |
//! | receive | `pipeline/receive.rs` | frames; to `sealed` (ESP for us), `clear`, IKE to control, answers ARP and ND |
//! | open | `pipeline/open.rs` | `sealed`; SPI, home worker, replay, AES-GCM or another transform, ESP off, selectors; to `clear` |
//! | (police) | `pipeline/police.rs` | asked by open and seal where a gateway's bandwidth is limited: which packets exceed it |
//! | route | `pipeline/route.rs`, `source.rs` | `clear`; route, source, selectors, TTL, size; to `entering` a tunnel, `leaving`, ICMP errors |
//! | seal | `pipeline/seal.rs` | `entering`; sequence numbers, ESP on, AES-GCM or another transform; outer route; to `leaving` |
//! | (segments) | `pipeline/segments.rs` | asked by all of them about packets that lie in several buffers |
//! | leave | `pipeline/leave.rs` | `leaving`; neighbour, link header, transmit queue |
//!
//! Called by [`crate::worker`].

pub(crate) mod leave;
mod local;
mod open;
mod police;
mod receive;
mod route;
pub(crate) mod seal;
mod segments;
mod shortcut;
mod source;

use std::num::NonZeroU8;
use std::sync::Arc;

use dpdk_sys::{Burst, Mbuf, Mempool};

use crate::counter::{Counter, Local};
use crate::flow::{Adjacencies, FlowTable, Now};
use crate::forwarding::{Forwarding, InterfaceId, PortIndex, TunnelId, VrfId};
use crate::gcm::Kernel;
use crate::handover::Handover;
use crate::header::ipv4::Ipv4View;
use crate::header::ipv6::Ipv6View;
use crate::icmp::TokenBucket;
use crate::message::{Event, Full, WorkerEnd};
use crate::neighbour::Neighbours;
use crate::packet::{
    Batch, Clear, Entering, Leaving, Origin, Sealed, describe_v4, describe_v6, discard, put,
};
use crate::pmtu::Reassemblers;
use crate::sa::{InboundSa, OutboundSa};
use crate::selector::Flow;
use crate::worker::{Stage, Watch};
use leave::Transmit;
use seal::Outbound;

/// The lists between the stages; empty between two bursts.
#[derive(Default)]
pub(crate) struct Lists {
    pub(crate) sealed: Batch<Sealed>,
    pub(crate) clear: Batch<Clear>,
    errors: Batch<Clear>,
    entering: Batch<Entering>,
    leaving: Batch<Leaving>,
}

/// SAs, neighbours: what a worker looks up and changes.
pub(crate) struct Tables {
    pub(crate) inbound: Box<[Option<Box<InboundSa>>]>,
    pub(crate) outbound: Box<[Outbound]>,
    /// Which tunnels' SAs want keepalives, a bit each: others need not be looked at.
    pub(crate) keepalives: Box<[u64]>,
    /// When control was last told that a tunnel has no SA, in seconds.
    pub(crate) asked_s: Box<[u32]>,
    pub(crate) neighbours: Neighbours<Mbuf>,
    /// What the tables say about flows that were here before.
    pub(crate) flows: FlowTable,
    /// The neighbours that those of them lead to which leave in clear text.
    pub(crate) adjacencies: Adjacencies,
    /// Counts snapshots, and tunnels that came up or went down: what flows depend on. A new SA for the old one is not such a change.
    pub(crate) snapshot: u32,
}

impl Tables {
    /// The SA to seal with for a tunnel.
    #[inline]
    pub(crate) fn outbound_of(&self, tunnel: TunnelId) -> Option<&OutboundSa> {
        self.outbound.get(usize::try_from(tunnel.0).ok()?)?.sa().map(|sa| &**sa)
    }

    /// Changes whenever a snapshot, a tunnel's state or a neighbour's address does.
    #[inline]
    pub(crate) fn epoch(&self) -> u32 {
        // Both only grow, so the sum changes whenever one of them does.
        self.snapshot.wrapping_add(self.neighbours.epoch())
    }

    /// Notes whether a tunnel's present SA wants keepalives.
    pub(crate) fn note_keepalive(&mut self, tunnel: TunnelId) {
        let wanted = self.outbound_of(tunnel).is_some_and(|sa| sa.keepalive_ms != 0);
        let word = usize::try_from(tunnel.0 / 64).ok().and_then(|at| self.keepalives.get_mut(at));
        if let Some(word) = word {
            let bit = 1 << (tunnel.0 % 64);
            *word = if wanted { *word | bit } else { *word & !bit };
        }
    }

    /// What the validity of remembered things is measured by.
    #[inline]
    pub(crate) fn now(&self, us: u64) -> Now {
        Now { us, epoch: self.epoch(), snapshot: self.snapshot }
    }
}

/// What every stage needs: the snapshot, time, counters, rings, queues to send on.
pub(crate) struct Context {
    pub(crate) forwarding: Arc<Forwarding>,
    pub(crate) counters: Local,
    pub(crate) end: WorkerEnd,
    pub(crate) pool: Mempool,
    pub(crate) transmit: Transmit,
    pub(crate) kernel: Kernel,
    pub(crate) handover: Handover,
    pub(crate) workers: NonZeroU8,
    pub(crate) error_limit: TokenBucket,
    /// For telling control of SPIs that are not here.
    pub(crate) unknown_limit: TokenBucket,
    pub(crate) reassemblers: Reassemblers,
    /// For packets out of reassembly.
    pub(crate) whole_pool: Mempool,
    /// Their count of discarded fragments that is already in the counters.
    pub(crate) fragments_lost: u64,
    /// Identification of the next IPv6 packet of ours that is cut; begins at random.
    pub(crate) fragment_id: u32,
    pub(crate) watch: Watch,
    pub(crate) now_us: u64,
}

/// A burst of frames of one port, all the way.
pub(crate) fn frames(
    port: PortIndex,
    arrived: &mut Burst,
    lists: &mut Lists,
    tables: &mut Tables,
    cx: &mut Context,
) {
    receive::receive(port, arrived, lists, tables, cx);
    cx.watch.lap(Stage::Receive);
    onward(lists, tables, cx);
}

/// What the stages after receiving do: also for packets that were handed over, or that control injected.
pub(crate) fn onward(lists: &mut Lists, tables: &mut Tables, cx: &mut Context) {
    open::open(lists, tables, cx);
    cx.watch.lap(Stage::Accept);
    route::route(lists, tables, cx);
    cx.watch.lap(Stage::Route);
    seal::seal(&mut lists.entering, &mut lists.leaving, tables, cx);
    leave::leave(&mut lists.leaving, &mut tables.neighbours, cx);
}

/// Takes a packet that control made; it is routed in the underlay.
pub(crate) fn inject(mbuf: Mbuf, lists: &mut Lists, cx: &mut Context) {
    cx.counters.count(Counter::Injected);
    push_own(mbuf, VrfId::UNDERLAY, None, &mut lists.clear, cx);
}

/// Takes a packet for the underlay that this worker made itself.
pub(crate) fn own_packet(mbuf: Mbuf, lists: &mut Lists, cx: &mut Context) {
    push_own(mbuf, VrfId::UNDERLAY, None, &mut lists.clear, cx);
}

/// Puts a packet that we made on the list of those to be routed; `link` is where what it answers came from.
fn push_own(mbuf: Mbuf, vrf: VrfId, link: Option<InterfaceId>, clear: &mut Batch<Clear>, cx: &mut Context) {
    let described = match mbuf.data().first() {
        Some(first) if first >> 4 == 4 => {
            Ipv4View::with_checksum_known(mbuf.data()).map(|view| describe_v4(&view))
        }
        _ => Ipv6View::new(mbuf.data()).map(|view| describe_v6(&view)),
    };
    match described {
        Err(reason) => discard(mbuf, reason, &mut cx.counters),
        Ok((inner, flow)) => {
            let packet = Clear { mbuf, vrf, origin: Origin::Ourselves(link), inner, flow };
            put(clear, packet, &mut cx.counters);
        }
    }
}

impl Context {
    /// Tells control something; a loss is counted.
    pub(crate) fn tell(&mut self, event: Event) {
        if let Err(Full(event)) = self.end.tell(event) {
            self.lose(event);
        }
    }

    fn lose(&mut self, event: Event) {
        match event {
            Event::Punted(punt) => {
                let reason = if punt.is_first() { Counter::PuntFirstFull } else { Counter::PuntRingFull };
                discard(punt.packet, reason, &mut self.counters);
            }
            _ => self.counters.count(Counter::EventRingFull),
        }
    }

    /// Brings losses in reassembly into the counters.
    pub(crate) fn count_lost_fragments(&mut self) {
        let lost = self.reassemblers.discarded();
        if lost != self.fragments_lost {
            self.counters.add(Counter::FragmentTimeout, lost - self.fragments_lost);
            self.fragments_lost = lost;
        }
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.now_us / 1000
    }

    pub(crate) fn now_s(&self) -> u32 {
        // Wraps after 136 years of running; only compared for equality.
        u32::try_from(self.now_us / 1_000_000 % (u64::from(u32::MAX) + 1)).unwrap_or(0)
    }
}

/// What selectors look at in an IPv4 packet that has just been changed.
fn described_v4(packet: &[u8]) -> Option<Flow> {
    Ipv4View::of_front(packet, usize::MAX).ok().map(|view| describe_v4(&view).1)
}

/// The packet that an mbuf holds, its header's checksum known, if that is IPv4.
#[inline]
fn view_v4(mbuf: &Mbuf) -> Result<Ipv4View<'_>, Counter> {
    Ipv4View::of_front(mbuf.data(), bytes_of(mbuf))
}

/// The packet that an mbuf holds, if that is IPv6.
#[inline]
fn view_v6(mbuf: &Mbuf) -> Result<Ipv6View<'_>, Counter> {
    Ipv6View::of_front(mbuf.data(), bytes_of(mbuf))
}

/// Bytes in all segments.
#[inline]
fn bytes_of(mbuf: &Mbuf) -> usize {
    usize::try_from(mbuf.len_bytes()).unwrap_or(usize::MAX)
}

/// Cuts what is behind the first `bytes` bytes.
#[inline]
fn trim_to(mbuf: &mut Mbuf, bytes: usize) {
    let excess = bytes_of(mbuf).saturating_sub(bytes);
    if excess == 0 {
        return;
    }
    let trimmed = u16::try_from(excess).ok().and_then(|excess| mbuf.trim(excess));
    debug_assert!(trimmed.is_some(), "a packet can be trimmed to what it holds");
}
