//! Step 3 of the open stage: what becomes of opened packets. The replay window again, and moved; counts and limits of the SA.
//!
//! Packets of one SA in a row are counted together, unless a limit is near.

use arrayvec::ArrayVec;
use dpdk_sys::BURST_PACKETS;

use super::{Accepted, FRONT, Inside};
use crate::counter::Counter;
use crate::esp;
use crate::flow::{FlowTable, Way, WayNumber};
use crate::header::esp::TAG_BYTES;
use crate::message::Event;
use crate::packet::{Batch, Family, Opening, Sealed};
use crate::pipeline::shortcut::{Arrival, Begins, Plains};
use crate::pipeline::{Context, Tables};
use crate::sa::{Direction, Expiry, InboundSa};
use crate::transform::Shape;

/// All packets of a burst, of which `authentic` says by bit which ones are; and for the shortcut the inner packets that are plain and
/// whose traffic class the outer header does not change. All of them before the first one's flow is looked up, so that the places of their flows are
/// under way.
pub(super) fn all(
    opening: &Batch<Opening>,
    authentic: u64,
    insides: &mut Plains,
    tables: &mut Tables,
    cx: &mut Context,
) -> All {
    let (mut all, mut opened) = (All::new(), Sums::default());
    for run in opening.chunk_by(|one, other| one.slot == other.slot) {
        let first = all.len();
        let sa = tables.inbound.get_mut(run[0].slot.index()).and_then(Option::as_deref_mut);
        let Some(sa) = sa else {
            for _ in run {
                all.push(Err(Counter::EspUnknownSpi));
                insides.add_other();
            }
            continue;
        };
        let sums = sa_run(run, authentic >> first, sa, &mut all, cx);
        opened.packets += sums.packets;
        opened.bytes += sums.bytes;
        read_run(run, &all[first..], insides, &tables.flows);
    }
    cx.counters.add(Counter::EspOpened, opened.packets);
    cx.counters.add(Counter::EspOpenedBytes, opened.bytes);
    all
}

type All = ArrayVec<Accepted, BURST_PACKETS>;

/// Packets, and bytes of their ESP payload.
#[derive(Default)]
struct Sums {
    packets: u64,
    bytes: u64,
}

/// Packets of one SA in a row.
#[inline(never)] // a loop needs the registers for itself
fn sa_run(run: &[Opening], authentic: u64, sa: &mut InboundSa, all: &mut All, cx: &mut Context) -> Sums {
    let (tunnel, shape) = (sa.tunnel, sa.keys.shape());
    let around = shape.front_bytes() + usize::from(shape.icv_bytes);
    let is_quiet = sa.is_quiet_for(run.len() as u64);
    let mut sums = Sums::default();
    for (number, packet) in run.iter().enumerate() {
        let Sealed { esp_at, end, outer_class, .. } = packet.packet;
        let bytes = (usize::from(end) - usize::from(esp_at) - around) as u64; // `Shape::holds` says that there is so much
        let accepted = match authentic >> number & 1 {
            1 if is_quiet => sa.window.accept(packet.sequence).inspect_err(|_| sa.count_replayed()),
            1 => accept(packet, bytes, sa, cx),
            _ => {
                sa.count_forged();
                Err(Counter::EspAuthFailed)
            }
        };
        match accepted {
            Ok(()) => {
                sums.packets += 1;
                sums.bytes += bytes;
                all.push(Ok(Inside { tunnel, shape, esp_at, end, outer_class }));
            }
            Err(reason) => all.push(Err(reason)),
        }
    }
    if is_quiet {
        sa.add(sums.packets, sums.bytes);
        tell_end(sa, sums.packets > 0, cx);
    }
    if sums.packets > 0 {
        sa.publish(cx.now_ms());
    }
    sums
}

/// Their inner packets.
#[inline(never)] // a loop needs the registers for itself
fn read_run(run: &[Opening], accepted: &[Accepted], insides: &mut Plains, flows: &FlowTable) {
    let mut way = None;
    for (packet, accepted) in run.iter().zip(accepted) {
        let begins = match accepted {
            // Packets of another shape go the long way.
            Ok(Inside { tunnel, shape, .. }) if *shape == Shape::AES_GCM => {
                way = way.or_else(|| Way::Tunnel(*tunnel).number());
                way.and_then(|way| read(&packet.packet, way, insides))
            }
            _ => None,
        };
        match begins {
            None => insides.add_other(),
            Some(Begins::Run) => insides.runs().last().into_iter().for_each(|run| flows.prefetch(&run.key)),
            Some(Begins::Nothing) => {}
        }
    }
}

/// A plain inner packet; says whether a run begins with it.
#[inline(always)] // called in one place, once a packet
fn read(packet: &Sealed, way: WayNumber, insides: &mut Plains) -> Option<Begins> {
    let (data, at, end) = (packet.mbuf.data(), packet.esp_at.checked_add(FRONT)?, usize::from(packet.end));
    // With its tag, so that it is not taken for a packet in one segment if that lies in another.
    let sealed = data.get(usize::from(at)..end)?;
    let (family, inner) = esp::unpad(sealed.get(..sealed.len().checked_sub(TAG_BYTES)?)?)?;
    let arrival = Arrival { way, at, checksum_known: false, outer_class: packet.outer_class };
    match family {
        Family::V4 => insides.add_v4(inner, arrival),
        Family::V6 => insides.add_v6(inner, arrival),
    }
}

/// One authentic packet of an SA that may have something to tell.
#[inline(never)]
fn accept(opening: &Opening, bytes: u64, sa: &mut InboundSa, cx: &mut Context) -> Result<(), Counter> {
    let is_newest = opening.sequence > sa.window.top();
    sa.window.accept(opening.sequence).inspect_err(|_| sa.count_replayed())?;
    if sa.is_expired() {
        return Err(Counter::SaExpiredInbound);
    }
    count(&opening.packet, bytes, sa, is_newest, cx);
    Ok(())
}

/// Counts it and tells control what that brought about.
fn count(packet: &Sealed, bytes: u64, sa: &mut InboundSa, is_newest: bool, cx: &mut Context) {
    let (tunnel, spi) = (sa.tunnel, sa.spi);
    if let Some(expiry) = sa.account(bytes) {
        cx.tell(Event::Expired { direction: Direction::Inbound, tunnel, spi, expiry });
    } else {
        tell_end(sa, is_newest, cx);
    }
    if sa.is_first() {
        cx.tell(Event::FirstInbound { tunnel, spi });
    }
    if is_newest
        && let Some(remote) = packet.socket()
        && sa.has_moved(remote, cx.now_s())
    {
        cx.tell(Event::RemoteMoved { tunnel, spi, remote });
    }
}

/// Tells control when the peer is about to run out of sequence numbers.
fn tell_end(sa: &mut InboundSa, is_newest: bool, cx: &mut Context) {
    if sa.is_near_the_end(is_newest) {
        let (tunnel, spi) = (sa.tunnel, sa.spi);
        cx.tell(Event::Expired { direction: Direction::Inbound, tunnel, spi, expiry: Expiry::Soft });
    }
}
