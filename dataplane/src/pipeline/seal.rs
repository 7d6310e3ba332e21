//! Seal stage: clear packets on their way into tunnels to ESP packets on their way out. RFC 4303, 3.3.
//!
//! 1. sequence numbers: for each SA of the burst all that it needs, by one atomic add,
//! 2. ESP and outer headers on,
//! 3. AES-GCM over the whole burst,
//! 4. the outer packet's route in the underlay; in fragments, where not even the least packet of its family would fit whole.

use std::sync::Arc;

use arrayvec::ArrayVec;
use dpdk_sys::{BURST_PACKETS, Burst, Mbuf};

use super::{Context, Tables};
use crate::counter::Counter;
use crate::esp::{self, Sealing};
use crate::forwarding::{DontFragment, NextHop, TunnelId, VrfId};
use crate::gcm::Job;
use crate::message::Event;
use crate::neighbour::Neighbours;
use crate::packet::{Batch, Entering, Leaving, Sequence, discard, put};
use crate::pmtu::Fit;
use crate::sa::{Direction, Expiry, OutboundSa};

type Outbound = [Option<Arc<OutboundSa>>];

/// A packet with ESP and outer headers on, and its SA.
struct Ready<'a> {
    mbuf: Mbuf,
    sa: &'a OutboundSa,
    sealing: Sealing,
    fit: Fit,
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
    take_sequences(entering, &tables.outbound, cx);
    let mut ready: ArrayVec<Ready<'_>, BURST_PACKETS> = ArrayVec::new();
    for packet in entering.drain(..) {
        match encapsulate(packet, &tables.outbound, cx) {
            Ok(packet) => ready.push(packet),
            Err((mbuf, reason)) => discard(mbuf, reason, &mut cx.counters),
        }
    }
    encrypt(&mut ready, cx);
    for Ready { mut mbuf, sa, fit, .. } in ready {
        esp::finish(&mut mbuf, sa.hot.outer);
        if fit == Fit::FragmentOuter {
            in_fragments(mbuf, sa, leaving, &mut tables.neighbours, cx);
            continue;
        }
        if leaving.is_full() {
            super::leave::leave(leaving, &mut tables.neighbours, cx);
        }
        outer_route(mbuf, sa, leaving, cx);
    }
}

/// A path that takes less than IP promises to carry: the ESP packet itself is cut (RFC 4303, 3.3.4), and its peer puts it together before opening it.
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
            super::leave::leave(leaving, neighbours, cx);
        }
        outer_route(piece, sa, leaving, cx);
    }
}

fn sa_of(outbound: &Outbound, tunnel: TunnelId) -> Option<&OutboundSa> {
    outbound.get(usize::try_from(tunnel.0).ok()?)?.as_deref()
}

/// Step 1.
fn take_sequences(entering: &mut Batch<Entering>, outbound: &Outbound, cx: &mut Context) {
    for at in 0..entering.len() {
        if entering[at].sequence != Sequence::NotAsked {
            continue;
        }
        let tunnel = entering[at].tunnel;
        let same = |packet: &&mut Entering| packet.tunnel == tunnel;
        let Some(sa) = sa_of(outbound, tunnel) else {
            for packet in entering[at..].iter_mut().filter(same) {
                packet.sequence = Sequence::Refused(Counter::TunnelDown);
            }
            continue;
        };
        let (mut packets, mut bytes) = (0_u32, 0_u64);
        for packet in entering[at..].iter_mut().filter(same) {
            packets += 1;
            bytes += (packet.mbuf.data().len() + 2).next_multiple_of(4) as u64;
        }
        let grant = sa.reserve(packets);
        let refused = match grant.refused {
            Some(Expiry::Sequence) => Counter::SequenceExhausted,
            _ => Counter::SaExpiredOutbound,
        };
        let mut numbers = grant.first..grant.first + u64::from(grant.granted);
        for packet in entering[at..].iter_mut().filter(same) {
            packet.sequence = numbers.next().map_or(Sequence::Refused(refused), Sequence::Taken);
        }
        let over = if grant.granted > 0 { sa.account(bytes, cx.now_ms()) } else { None };
        for expiry in [grant.reached, over].into_iter().flatten() {
            let (direction, spi) = (Direction::Outbound, sa.spi());
            cx.tell(Event::Expired { direction, tunnel, spi, expiry });
        }
    }
}

/// Step 2.
fn encapsulate<'a>(
    packet: Entering,
    outbound: &'a Outbound,
    cx: &mut Context,
) -> Result<Ready<'a>, (Mbuf, Counter)> {
    let Entering { mut mbuf, tunnel, inner, sequence, fit } = packet;
    let sequence = match sequence {
        Sequence::Taken(sequence) => sequence,
        Sequence::Refused(reason) => return Err((mbuf, reason)),
        Sequence::NotAsked => return Err((mbuf, Counter::TunnelDown)),
    };
    let Some(sa) = sa_of(outbound, tunnel) else { return Err((mbuf, Counter::TunnelDown)) };
    let df = match fit {
        Fit::FragmentOuter => DontFragment::Clear,
        _ => cx.forwarding.tunnel(tunnel).map_or(DontFragment::Copy, |tunnel| tunnel.dont_fragment),
    };
    let bytes = mbuf.data().len() as u64;
    match esp::encapsulate(&mut mbuf, &sa.hot, inner, df, sequence) {
        Ok(sealing) => {
            cx.counters.count(Counter::EspSealed);
            cx.counters.add(Counter::EspSealedBytes, bytes);
            Ok(Ready { mbuf, sa, sealing, fit })
        }
        Err(reason) => Err((mbuf, reason)),
    }
}

/// Step 3.
fn encrypt(ready: &mut ArrayVec<Ready<'_>, BURST_PACKETS>, cx: &Context) {
    let mut jobs: ArrayVec<Job<'_>, BURST_PACKETS> = ArrayVec::new();
    for Ready { mbuf, sa, sealing, .. } in ready {
        let sealed = &mut mbuf.data_mut()[usize::from(sealing.at)..];
        let job = Job::new(&sa.hot.key, sealing.nonce, sealing.aad, sealed);
        // Nothing may leave unsealed: `encapsulate` made room for the tag, and no packet exceeds 64 KiB.
        jobs.push(job.expect("an encapsulated packet has a tag and at most 65535 bytes"));
    }
    cx.kernel.seal(&mut jobs);
}

/// Step 4. Never into a tunnel again.
fn outer_route(mbuf: Mbuf, sa: &OutboundSa, leaving: &mut Batch<Leaving>, cx: &mut Context) {
    let remote = sa.hot.remote();
    match cx.forwarding.route(VrfId::UNDERLAY, remote) {
        NextHop::Connected(interface) => {
            put(leaving, Leaving { mbuf, interface, next_hop: remote }, &mut cx.counters);
        }
        NextHop::Via(interface, next_hop) => {
            put(leaving, Leaving { mbuf, interface, next_hop }, &mut cx.counters);
        }
        NextHop::Unreachable | NextHop::Local(_) | NextHop::Tunnel(_) => {
            discard(mbuf, Counter::NoRoute, &mut cx.counters);
        }
        NextHop::Blackhole => discard(mbuf, Counter::RouteBlackhole, &mut cx.counters),
    }
}
