//! What a burst has beyond its gateways' bandwidth ([`crate::meter`]). Asked by the seal stage before sequence numbers are taken and by the open stage
//! once packets are accepted, authentic and new, so that a stranger cannot use bandwidth up; only where some gateway is limited at all.
//!
//! A run of packets of one tunnel asks once. A run that does not fit asks packet by packet, so that a burst need not fit as a whole.

use arrayvec::ArrayVec;
use dpdk_sys::BURST_PACKETS;

use super::Context;
use super::open::Accepted;
use crate::counter::Counter;
use crate::forwarding::TunnelId;
use crate::header::esp::TRAILER_BYTES;
use crate::packet::{Batch, Entering, Opening, discard};
use crate::sa::Direction;
use crate::transform::Shape;

/// A packet that asks: its place in the burst, its tunnel, and the bytes of its inner IP packet.
type Asking = (u8, TunnelId, u32);

/// Drops what exceeds the bandwidth on its way into tunnels.
pub(super) fn outbound(entering: &mut Batch<Entering>, cx: &mut Context) {
    let asking = (0..).zip(&*entering).map(|(place, packet)| (place, packet.tunnel, u32::from(packet.bytes)));
    let refused = refused(asking.collect(), Direction::Outbound, cx);
    if refused == 0 {
        return;
    }
    let mut passed = Batch::new();
    for (place, packet) in entering.drain(..).enumerate() {
        if refused >> place & 1 == 1 {
            discard(packet.mbuf, Counter::SkuBandwidthOutbound, &mut cx.counters);
        } else {
            passed.push(packet);
        }
    }
    *entering = passed;
}

/// Takes those of the packets out of tunnels back that exceed the bandwidth. What was accepted is deciphered by now.
pub(super) fn inbound(opening: &Batch<Opening>, accepted: &mut [Accepted], cx: &Context) {
    let asking = (0..).zip(opening).zip(&*accepted);
    let asking = asking.filter_map(|((place, packet), accepted)| {
        let inside = accepted.as_ref().ok()?;
        Some((place, inside.tunnel, inner_bytes(packet, inside.shape)))
    });
    let refused = refused(asking.collect(), Direction::Inbound, cx);
    for (place, accepted) in accepted.iter_mut().enumerate() {
        if refused >> place & 1 == 1 {
            *accepted = Err(Counter::SkuBandwidthInbound);
        }
    }
}

fn inner_bytes(packet: &Opening, shape: Shape) -> u32 {
    let esp = packet.packet.esp();
    let trailer_at = esp.len().saturating_sub(usize::from(shape.icv_bytes) + TRAILER_BYTES);
    let pad_bytes = esp.get(trailer_at).map_or(0, |pad| usize::from(*pad));
    u32::try_from(trailer_at.saturating_sub(shape.front_bytes() + pad_bytes)).unwrap_or(0)
}

fn refused(asking: ArrayVec<Asking, BURST_PACKETS>, direction: Direction, cx: &Context) -> u64 {
    let mut refused = 0;
    for run in asking.chunk_by(|(_, one, _), (_, other, _)| one == other) {
        let Some(share) = run.first().and_then(|(_, tunnel, _)| cx.forwarding.share(*tunnel)) else {
            continue;
        };
        let bytes = run.iter().map(|(.., bytes)| u64::from(*bytes)).sum();
        if share.take(direction, bytes, cx.now_us) {
            continue;
        }
        for (place, _, bytes) in run {
            refused |= u64::from(!share.take_packet(direction, u64::from(*bytes), cx.now_us)) << place;
        }
    }
    refused
}
