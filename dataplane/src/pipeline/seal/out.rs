//! Step 4 of the seal stage for packets that are not all frames of one run: by what is known of the way out, else by the outer packet's route.

use dpdk_sys::{Burst, Mbuf};

use super::{Outbound, Refused, at};
use crate::counter::Counter;
use crate::esp;
use crate::forwarding::{NextHop, VrfId};
use crate::neighbour::Neighbours;
use crate::packet::{Batch, Entering, Leaving, Sealed, discard, put};
use crate::pipeline::{Context, Tables, leave};
use crate::pmtu::Fit;
use crate::sa::{OutboundSa, Outer};

/// One packet; `number` is its place in the burst.
#[inline(never)]
pub(super) fn out(
    number: u8,
    packet: Entering,
    refused: &Refused,
    leaving: &mut Batch<Leaving>,
    tables: &mut Tables,
    cx: &mut Context,
) {
    if let Some(&(_, reason)) = refused.iter().find(|(place, _)| *place == number) {
        return discard(packet.mbuf, reason, &mut cx.counters);
    }
    if !packet.framed {
        return send(packet, leaving, tables, cx);
    }
    if !leaving.is_empty() {
        leave::leave(leaving, &mut tables.neighbours, cx); // what came before
    }
    match tables.outbound.get(at(packet.tunnel)) {
        Some(place) => cx.send_frame(packet.mbuf, place.egress.port),
        None => discard(packet.mbuf, Counter::TunnelDown, &mut cx.counters),
    }
}

/// A packet without a link header.
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
    if egress.is_valid(now) && mbuf.len_bytes() <= u32::from(egress.mtu_bytes) && mbuf.is_contiguous() {
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
            let outer_class = esp::traffic_class(mbuf.data());
            let sealed = Sealed { mbuf, at: 0, esp_at, end, in_udp, outer_class };
            cx.handover.send(home, sealed, &mut cx.counters);
        }
        NextHop::Unreachable | NextHop::CircuitDown | NextHop::Tunnel(_) | NextHop::Group(_) => {
            discard(mbuf, Counter::NoRoute, &mut cx.counters);
        }
        NextHop::Blackhole => discard(mbuf, Counter::RouteBlackhole, &mut cx.counters),
    }
}
