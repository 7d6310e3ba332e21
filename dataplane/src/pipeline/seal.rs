//! Seal stage: clear packets on their way into tunnels to ESP packets on their way out. RFC 4303, 3.3.
//!
//! 0. what exceeds the gateway's bandwidth is dropped (`pipeline/police.rs`),
//! 1. sequence numbers: for each SA of the burst all that it needs, by one atomic add; the tunnel's port and link header, should they be out of date,
//! 2. ESP, outer and link headers on, by one change of the mbuf,
//! 3. AES-GCM over the whole burst; packets of other transforms were sealed one by one in step 2,
//! 4. out: what is a frame by now at once, else by the outer packet's route in the underlay; in fragments, where not even the
//!    least packet of its family would fit whole.

use std::cell::Cell;
use std::sync::Arc;

use arrayvec::ArrayVec;
use dpdk_sys::{BURST_PACKETS, Burst, Mbuf};

use super::{Context, Tables, leave, police};
use crate::counter::Counter;
use crate::esp::{self, shaped};
use crate::flow::{Egress, Now};
use crate::forwarding::{Forwarding, NextHop, TunnelId, VrfId};
use crate::gcm::{Job, Nonce};
use crate::message::Event;
use crate::neighbour::Neighbours;
use crate::packet::{Batch, Entering, Family, Leaving, Sealed, discard, put};
use crate::pmtu::Fit;
use crate::sa::{Direction, Expiry, Hot, OutboundSa, Outer, SealKeys, Writers};
use crate::transform::Shape;
use crate::worker::Stage;

/// A tunnel's place in a worker's table: its SA, how its packets leave, and what the burst at hand wants of it. One cache line.
#[repr(align(64))]
pub(crate) struct Outbound {
    sa: Option<Arc<OutboundSa>>,
    egress: Egress,
    /// Packets of this burst that still need a number, and the ESP payload bytes of those that asked.
    wanted: Cell<u16>,
    granted: Cell<u16>,
    bytes: Cell<u32>,
    next: Cell<u64>,
}

const _: () = assert!(size_of::<Outbound>() == 64, "a tunnel's place is one cache line");

impl Outbound {
    /// Without an SA.
    pub(crate) const fn new() -> Self {
        Self {
            sa: None,
            egress: Egress::NONE,
            wanted: Cell::new(0),
            granted: Cell::new(0),
            bytes: Cell::new(0),
            next: Cell::new(0),
        }
    }

    /// The SA to seal with.
    pub(crate) fn sa(&self) -> Option<&Arc<OutboundSa>> {
        self.sa.as_ref()
    }

    /// Puts another SA in; the former one comes back.
    pub(crate) fn replace(&mut self, sa: Arc<OutboundSa>) -> Option<Arc<OutboundSa>> {
        self.egress = Egress::NONE; // the peer may be elsewhere now
        self.sa.replace(sa)
    }

    /// Takes the SA out, provided that it is the right one.
    pub(crate) fn take_if(&mut self, is_it: impl FnOnce(&OutboundSa) -> bool) -> Option<Arc<OutboundSa>> {
        self.sa.take_if(|sa| is_it(sa))
    }

    /// The next of the numbers that the burst was granted.
    #[inline]
    fn number(&self) -> Result<u64, Counter> {
        match self.granted.get().checked_sub(1) {
            Some(left) => {
                self.granted.set(left);
                let next = self.next.get();
                self.next.set(next + 1);
                Ok(next)
            }
            None => Err(self.refusal()),
        }
    }

    #[cold]
    fn refusal(&self) -> Counter {
        match self.sa.as_ref().map(|sa| sa.refusal()) {
            None => Counter::TunnelDown,
            Some(Expiry::Sequence) => Counter::SequenceExhausted,
            Some(_) => Counter::SaExpiredOutbound,
        }
    }
}

pub(super) fn seal(
    entering: &mut Batch<Entering>,
    leaving: &mut Batch<Leaving>,
    tables: &mut Tables,
    cx: &mut Context,
) {
    if entering.is_empty() {
        return;
    }
    if cx.forwarding.is_metered() {
        police::outbound(entering, cx);
    }
    let now = tables.now(cx.now_us);
    if take_numbers(entering, &tables.outbound, now, cx) == Egresses::Outdated {
        renew(entering, tables, now, &cx.forwarding);
    }
    let mut refused = ArrayVec::new();
    encapsulate(entering, &tables.outbound, &mut refused, cx);
    for (number, packet) in (0..).zip(entering.drain(..)) {
        match refused.iter().find(|(place, _)| *place == number) {
            Some(&(_, reason)) => discard(packet.mbuf, reason, &mut cx.counters),
            None if packet.framed => {
                if !leaving.is_empty() {
                    leave::leave(leaving, &mut tables.neighbours, cx); // what came before
                }
                match tables.outbound.get(at(packet.tunnel)) {
                    Some(place) => cx.send_frame(packet.mbuf, place.egress.port),
                    None => discard(packet.mbuf, Counter::TunnelDown, &mut cx.counters),
                }
            }
            None => send(packet, leaving, tables, cx),
        }
    }
}

/// Whether all tunnels of a burst know how their packets leave.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Egresses {
    Known,
    Outdated,
}

/// Looks up again how packets leave, for tunnels that do not know any more: once for a run of packets, since it may well stay unknown.
#[cold]
fn renew(entering: &Batch<Entering>, tables: &mut Tables, now: Now, forwarding: &Forwarding) {
    let Tables { outbound, neighbours, .. } = tables;
    for run in entering.chunk_by(|one, other| one.tunnel == other.tunnel) {
        if let Some(Outbound { sa: Some(sa), egress, .. }) = outbound.get_mut(at(run[0].tunnel))
            && !egress.is_valid(now)
        {
            *egress = find_egress(sa, forwarding, neighbours, now).unwrap_or(Egress::NONE);
        }
    }
}

fn at(tunnel: TunnelId) -> usize {
    usize::try_from(tunnel.0).unwrap_or(usize::MAX)
}

/// Step 1. Two looks at the burst, so that an SA's lines are under way when they are needed.
fn take_numbers(entering: &Batch<Entering>, outbound: &[Outbound], now: Now, cx: &mut Context) -> Egresses {
    let writers = if cx.workers.get() == 1 { Writers::One } else { Writers::Many };
    let mut egresses = Egresses::Known;
    let mut tunnels: ArrayVec<&Outbound, BURST_PACKETS> = ArrayVec::new();
    for packet in entering {
        let Some(place) = outbound.get(at(packet.tunnel)) else { continue };
        let bytes = u32::from(packet.bytes);
        if place.wanted.get() == 0 {
            place.bytes.set(0);
            tunnels.push(place);
            if let Some(sa) = &place.sa {
                dpdk_sys::prefetch(&sa.hot);
            }
            if !place.egress.is_valid(now) {
                egresses = Egresses::Outdated;
            }
        }
        place.wanted.set(place.wanted.get() + 1);
        place.bytes.set(place.bytes.get() + (bytes + 2).next_multiple_of(4));
    }
    if tunnels.len() > 1 {
        for sa in tunnels.iter().filter_map(|place| place.sa.as_ref()) {
            sa.prefetch();
        }
    }
    for place in tunnels {
        let wanted = place.wanted.replace(0);
        place.granted.set(0);
        let Some(sa) = &place.sa else { continue };
        let grant = sa.reserve(u32::from(wanted), writers);
        place.next.set(grant.first);
        place.granted.set(u16::try_from(grant.granted).unwrap_or(wanted));
        let bytes = match &sa.hot.keys {
            SealKeys::AesGcm { .. } => u64::from(place.bytes.get()),
            SealKeys::Other(sealer) => payload_bytes(entering, sa.tunnel(), sealer.shape()),
        };
        let over = if grant.granted > 0 { sa.account(bytes, cx.now_ms(), writers) } else { None };
        for expiry in [grant.reached, over].into_iter().flatten() {
            let (direction, tunnel, spi) = (Direction::Outbound, sa.tunnel(), sa.spi());
            cx.tell(Event::Expired { direction, tunnel, spi, expiry });
        }
    }
    egresses
}

/// ESP payload of all packets that enter a tunnel, in bytes.
#[cold]
fn payload_bytes(entering: &Batch<Entering>, tunnel: TunnelId, shape: Shape) -> u64 {
    let own = entering.iter().filter(|packet| packet.tunnel == tunnel);
    own.map(|packet| shape.payload_bytes(packet.bytes.into()) as u64).sum()
}

/// Steps 2 and 3. Says which packets, by their place, cannot be sent and why.
fn encapsulate(
    entering: &mut Batch<Entering>,
    outbound: &[Outbound],
    refused: &mut ArrayVec<(u8, Counter), BURST_PACKETS>,
    cx: &mut Context,
) {
    let mut jobs: ArrayVec<Job<'_>, BURST_PACKETS> = ArrayVec::new();
    let (mut bytes, mut sealed) = (0, 0);
    for (number, packet) in (0..).zip(entering.iter_mut()) {
        let (place, inner_bytes) = (outbound.get(at(packet.tunnel)), u64::from(packet.bytes));
        match job(packet, place) {
            Ok(job) => {
                bytes += inner_bytes;
                match job {
                    Some(job) => jobs.push(job),
                    None => sealed += 1,
                }
            }
            Err(reason) => refused.push((number, reason)),
        }
    }
    cx.counters.add(Counter::EspSealed, sealed + jobs.len() as u64);
    cx.counters.add(Counter::EspSealedBytes, bytes);
    cx.watch.lap(Stage::Encapsulate);
    cx.kernel.seal(&mut jobs);
    cx.watch.lap(Stage::Encrypt);
}

/// What AES-GCM has to do; `None` if the packet's transform is another one: then it is sealed.
#[inline(always)] // a job that is returned through memory is read back in other pieces than it was written: 10 cycles a packet
fn job<'a>(packet: &'a mut Entering, place: Option<&'a Outbound>) -> Result<Option<Job<'a>>, Counter> {
    let Some((place, sa)) = place.and_then(|place| Some((place, place.sa.as_deref()?))) else {
        return Err(Counter::TunnelDown);
    };
    let (sequence, hot) = (place.number()?, &sa.hot);
    let SealKeys::AesGcm { salt, key } = &hot.keys else {
        return seal_one(packet, hot, sequence).map(|()| None);
    };
    let sealed = esp::encapsulate(packet, hot, &place.egress, sequence)?;
    let aad = esp::aad(hot.spi, sequence, hot.esn);
    let job = Job::new(key, Nonce::new(*salt, sequence.to_be_bytes()), aad, sealed);
    // Nothing may leave unsealed: `encapsulate` made room for the tag, and no packet exceeds 64 KiB.
    Ok(Some(job.expect("an encapsulated packet has a tag and at most 65535 bytes")))
}

/// Steps 2 and 3 for a packet whose transform is not AES-GCM.
#[cold]
#[inline(never)]
fn seal_one(packet: &mut Entering, hot: &Hot, sequence: u64) -> Result<(), Counter> {
    let SealKeys::Other(sealer) = &hot.keys else { return Err(Counter::TunnelDown) };
    sealer.seal(shaped::encapsulate(packet, hot, sealer.shape(), sequence)?, sequence, hot.esn);
    Ok(())
}

/// Step 4, for a packet without a link header.
#[inline(never)]
fn send(packet: Entering, leaving: &mut Batch<Leaving>, tables: &mut Tables, cx: &mut Context) {
    let Entering { mut mbuf, tunnel, fit, .. } = packet;
    let now = tables.now(cx.now_us);
    let Tables { outbound, neighbours, .. } = tables;
    let Some(Outbound { sa: Some(sa), egress, .. }) = outbound.get(at(tunnel)) else {
        return discard(mbuf, Counter::TunnelDown, &mut cx.counters);
    };
    if sa.hot.outer == Outer::V6Udp {
        esp::finish(&mut mbuf, sa.hot.outer);
    }
    if fit == Fit::FragmentOuter {
        return in_fragments(mbuf, sa, leaving, neighbours, cx);
    }
    if egress.is_valid(now) && mbuf.len_bytes() <= u32::from(egress.mtu_bytes) {
        if !leaving.is_empty() {
            leave::leave(leaving, neighbours, cx); // what came before
        }
        return cx.send_by(mbuf, egress);
    }
    if leaving.is_full() {
        leave::leave(leaving, neighbours, cx);
    }
    outer_route(mbuf, sa, leaving, cx);
}

/// A path that takes less than IP promises to carry: the ESP packet itself is cut (RFC 4303, 3.3.4), and its peer puts it together before opening it.
#[cold]
fn in_fragments(
    mbuf: Mbuf,
    sa: &OutboundSa,
    leaving: &mut Batch<Leaving>,
    neighbours: &mut Neighbours<Mbuf>,
    cx: &mut Context,
) {
    let mut pieces = Burst::new();
    if !cx.cut(mbuf, sa.path_mtu_bytes(), &mut pieces) {
        return;
    }
    for piece in pieces.drain() {
        if leaving.is_full() {
            leave::leave(leaving, neighbours, cx);
        }
        outer_route(piece, sa, leaving, cx);
    }
}

/// How the SA's packets leave; `None` while the neighbour's address is not known, or if there is no way.
#[cold]
fn find_egress(
    sa: &OutboundSa,
    forwarding: &Forwarding,
    neighbours: &mut Neighbours<Mbuf>,
    now: Now,
) -> Option<Egress> {
    let remote = sa.hot.remote();
    let (interface, next_hop) = match forwarding.route(VrfId::UNDERLAY, remote) {
        NextHop::Connected(interface) => (interface, remote),
        NextHop::Via(interface, next_hop) => (interface, next_hop),
        NextHop::Unreachable
        | NextHop::Blackhole
        | NextHop::Local(_)
        | NextHop::Tunnel(_)
        | NextHop::Group(_) => return None,
    };
    let family = if remote.is_ipv4() { Family::V4 } else { Family::V6 };
    Egress::find(interface, next_hop, family, forwarding, neighbours, now)
}

/// The outer packet's route: never into a tunnel again, and to the open stage of the SA's home if the peer is ourselves.
fn outer_route(mbuf: Mbuf, sa: &OutboundSa, leaving: &mut Batch<Leaving>, cx: &mut Context) {
    let remote = sa.hot.remote();
    match cx.forwarding.route(VrfId::UNDERLAY, remote) {
        NextHop::Connected(interface) => {
            put(leaving, Leaving { mbuf, interface, next_hop: remote }, &mut cx.counters);
        }
        NextHop::Via(interface, next_hop) => {
            put(leaving, Leaving { mbuf, interface, next_hop }, &mut cx.counters);
        }
        NextHop::Local(_) => {
            let (in_udp, esp_at) = (sa.hot.is_in_udp(), sa.hot.esp_at());
            let end = u16::try_from(mbuf.len_bytes()).unwrap_or(u16::MAX); // of a packet within 64 KiB
            let home = sa.spi().bucket().home(cx.workers);
            cx.handover.send(home, Sealed { mbuf, at: 0, esp_at, end, in_udp }, &mut cx.counters);
        }
        NextHop::Unreachable | NextHop::Tunnel(_) | NextHop::Group(_) => {
            discard(mbuf, Counter::NoRoute, &mut cx.counters);
        }
        NextHop::Blackhole => discard(mbuf, Counter::RouteBlackhole, &mut cx.counters),
    }
}
