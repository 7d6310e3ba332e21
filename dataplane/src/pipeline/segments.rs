//! Packets in several buffers, as ports hand them over where a frame is longer than a buffer. They go through the same stages as all others, in their place in the
//! order, but never by the shortcut: AES-GCM seals and opens them where they are (`esp/segments.rs`), and ports send them so. Where something needs all of a packet
//! (what is for ourselves, fragments to be collected, other transforms, checksums of UDP in IPv6, ports that cannot gather) it is brought together in one buffer.
//!
//! Packets in one buffer meet no more of this than a look at that in the general stages, and nothing on the shortcut.

use dpdk_sys::Mbuf;

use super::Context;
use crate::counter::{Counter, Local};
use crate::esp::segments::SEGMENTS_MAX;
use crate::forwarding::PortIndex;
use crate::header::esp::{EspView, HEADER_BYTES};
use crate::packet::{Sealed, discard};
use crate::pmtu::{Fit, reassembly};
use crate::sa::{InboundSa, OpenKeys, OutboundSa, Outer, SealKeys};
use crate::spi::Spi;

/// What the first segment has to have: link header, outer headers, ESP, and the inner packet's headers.
const HEAD_BYTES: u16 = 256;

/// A frame in several buffers, with all its headers in the first one. `None`: it was dropped.
#[cold]
pub(super) fn with_headers(mut frame: Mbuf, counters: &mut Local) -> Option<Mbuf> {
    if usize::from(frame.segment_count()) <= SEGMENTS_MAX && frame.pull(HEAD_BYTES).is_some() {
        return Some(frame);
    }
    discard(frame, Counter::EthernetSegmented, counters);
    None
}

/// SPI, lower half of the sequence number, and bytes behind the ESP header.
pub(super) type Front = (Spi, u32, usize);

/// A packet whose ESP is not all in its first segment, as its SA (if that is at home here) can take it. `None`: it was dropped, for this reason if it is in one segment.
#[cold]
pub(super) fn to_be_opened(
    packet: Sealed,
    reason: Counter,
    inbound: &[Option<Box<InboundSa>>],
    cx: &mut Context,
) -> Option<(Sealed, Front)> {
    let front = if packet.mbuf.is_contiguous() { Err(reason) } else { front(&packet) };
    let front = match front {
        Ok(front) => front,
        Err(reason) => {
            discard(packet.mbuf, reason, &mut cx.counters);
            return None;
        }
    };
    let sa = inbound.get(front.0.slot().index()).and_then(Option::as_deref);
    match sa.filter(|sa| sa.spi == front.0).map(|sa| &sa.keys) {
        Some(OpenKeys::Other(_)) => Some((Sealed { mbuf: cx.whole(packet.mbuf)?, ..packet }, front)),
        Some(OpenKeys::AesGcm { .. }) | None => Some((packet, front)),
    }
}

fn front(packet: &Sealed) -> Result<Front, Counter> {
    let (esp_at, end) = (usize::from(packet.esp_at), usize::from(packet.end));
    let view = EspView::new(packet.mbuf.data().get(esp_at..).unwrap_or_default())?;
    let rest_bytes = end.checked_sub(esp_at + HEADER_BYTES).ok_or(Counter::EspRunt)?;
    let is_there = u32::from(packet.end) <= packet.mbuf.len_bytes();
    if is_there { Ok((view.spi(), view.sequence_low(), rest_bytes)) } else { Err(Counter::EspRunt) }
}

impl Context {
    /// The packet in one buffer. `None`: it was dropped.
    #[inline]
    pub(super) fn whole(&mut self, packet: Mbuf) -> Option<Mbuf> {
        if packet.is_contiguous() { Some(packet) } else { self.brought_together(packet) }
    }

    #[cold]
    fn brought_together(&mut self, packet: Mbuf) -> Option<Mbuf> {
        let whole = reassembly::copied(&packet, &self.pool, &self.whole_pool);
        match whole {
            Some(_) => self.counters.count(Counter::SegmentsMerged),
            None => discard(packet, Counter::SegmentsNotMerged, &mut self.counters),
        }
        whole
    }

    /// A packet on its way into a tunnel, as its SA can take it. `None`: it was dropped.
    #[inline]
    pub(super) fn sealable(
        &mut self,
        packet: Mbuf,
        fit: Fit,
        sa: Option<&OutboundSa>,
    ) -> Option<(Mbuf, Fit)> {
        if packet.is_contiguous() {
            return Some((packet, fit));
        }
        let in_place = sa
            .is_some_and(|sa| matches!(sa.hot.keys, SealKeys::AesGcm { .. }) && sa.hot.outer != Outer::V6Udp);
        match fit {
            Fit::Whole if in_place => Some((packet, Fit::InSegments)),
            _ => Some((self.brought_together(packet)?, fit)),
        }
    }

    /// A frame in several buffers as its port can send it. `None`: it was dropped.
    #[cold]
    pub(super) fn sendable(&mut self, frame: Mbuf, port: PortIndex) -> Option<Mbuf> {
        let can_gather = frame.segment_count() <= self.transmit.segments_max(port);
        if can_gather { Some(frame) } else { self.whole(frame) }
    }
}
