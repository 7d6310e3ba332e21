//! Open stage: ESP packets for us to clear packets. RFC 4303, 3.4; RFC 4301, 5.2.
//!
//! 1. SPI: home worker (else handed over), slot, SA; lifetime; sequence number and a first look at the replay window,
//! 2. AES-GCM over the whole burst,
//! 3. per packet, authentic ones only: the window again, and moved (one burst can hold a number twice); counts and limits,
//! 4. padding and trailer off, ECN, traffic selectors, and whether the source may be out of this tunnel.

use arrayvec::ArrayVec;
use dpdk_sys::BURST_PACKETS;

use super::receive::{forwardable_v4, forwardable_v6};
use super::{Context, Lists, trim_to};
use crate::counter::Counter;
use crate::esp;
use crate::gcm::{Job, Verdict};
use crate::header::esp::{EspView, HEADER_BYTES, IV_BYTES, TAG_BYTES};
use crate::header::ipv4::{self, Ipv4View};
use crate::header::ipv6::{self, Ipv6View};
use crate::icmp::Delivery;
use crate::message::Event;
use crate::packet::{Batch, Clear, Family, Opening, Origin, Sealed, describe_v4, describe_v6, discard, put};
use crate::sa::{Direction, Expiry, InboundSa};

type Inbound = [Option<Box<InboundSa>>];

const FRONT_BYTES: usize = HEADER_BYTES + IV_BYTES;

pub(super) fn open(lists: &mut Lists, inbound: &mut Inbound, cx: &mut Context) {
    if lists.sealed.is_empty() {
        return;
    }
    find(&mut lists.sealed, &mut lists.opening, inbound, cx);
    let verdicts = decrypt(&mut lists.opening, inbound, cx);
    for (packet, verdict) in lists.opening.drain(..).zip(verdicts) {
        if let Some(clear) = accept(packet, verdict, inbound, cx) {
            put(&mut lists.clear, clear, &mut cx.counters);
        }
    }
}

/// Step 1.
fn find(sealed: &mut Batch<Sealed>, opening: &mut Batch<Opening>, inbound: &mut Inbound, cx: &mut Context) {
    for packet in sealed.drain(..) {
        let esp = packet.mbuf.data().get(usize::from(packet.esp_at)..).unwrap_or_default();
        let (spi, sequence_low) = match EspView::new(esp) {
            Ok(view) => (view.spi(), view.sequence_low()),
            Err(reason) => {
                discard(packet.mbuf, reason, &mut cx.counters);
                continue;
            }
        };
        let home = spi.bucket().home(cx.workers);
        if home != cx.handover.me() {
            cx.handover.send(home, packet, &mut cx.counters);
            continue;
        }
        let slot = spi.slot().index();
        let sa = inbound.get_mut(slot).and_then(Option::as_mut).filter(|sa| sa.spi == spi);
        let Some(sa) = sa else {
            discard(packet.mbuf, Counter::EspUnknownSpi, &mut cx.counters);
            continue;
        };
        match admit(sa, sequence_low, packet.remote_port.is_some()) {
            Ok(sequence) => put(opening, Opening { packet, slot, sequence }, &mut cx.counters),
            Err(reason) => discard(packet.mbuf, reason, &mut cx.counters),
        }
    }
}

fn admit(sa: &InboundSa, sequence_low: u32, in_udp: bool) -> Result<u64, Counter> {
    if sa.in_udp != in_udp {
        return Err(Counter::EspWrongEncapsulation);
    }
    if sa.is_expired() {
        return Err(Counter::SaExpiredInbound);
    }
    let sequence = sa.window.extend(sequence_low, sa.esn).and_then(|sequence| {
        sa.window.check(sequence)?;
        Ok(sequence)
    });
    sequence.inspect_err(|_| sa.count_replayed())
}

/// Step 2. A packet for which no job could be made counts as forged.
fn decrypt(
    opening: &mut Batch<Opening>,
    inbound: &Inbound,
    cx: &Context,
) -> ArrayVec<Verdict, BURST_PACKETS> {
    let mut verdicts: ArrayVec<Verdict, BURST_PACKETS> = opening.iter().map(|_| Verdict::Forged).collect();
    let mut jobs: ArrayVec<Job<'_>, BURST_PACKETS> = ArrayVec::new();
    let mut places: ArrayVec<usize, BURST_PACKETS> = ArrayVec::new();
    for (place, packet) in opening.iter_mut().enumerate() {
        let Some(sa) = inbound.get(packet.slot).and_then(Option::as_ref) else { continue };
        let esp = packet.packet.mbuf.data_mut().get_mut(usize::from(packet.packet.esp_at)..);
        let Some((front, sealed)) = esp.and_then(|esp| esp.split_first_chunk_mut::<FRONT_BYTES>()) else {
            continue;
        };
        let [s0, s1, s2, s3, _, _, _, _, iv @ ..] = *front;
        let aad = esp::aad([s0, s1, s2, s3], packet.sequence, sa.esn);
        if let Some(job) = Job::new(&sa.key, esp::nonce(sa.salt, iv), aad, sealed) {
            jobs.push(job);
            places.push(place);
        }
    }
    cx.kernel.open(&mut jobs);
    for (job, place) in jobs.iter().zip(places) {
        verdicts[place] = job.verdict();
    }
    verdicts
}

/// Steps 3 and 4.
fn accept(opening: Opening, verdict: Verdict, inbound: &mut Inbound, cx: &mut Context) -> Option<Clear> {
    let Opening { packet, slot, sequence } = opening;
    let Some(sa) = inbound.get_mut(slot).and_then(Option::as_mut) else {
        discard(packet.mbuf, Counter::EspUnknownSpi, &mut cx.counters);
        return None;
    };
    if verdict != Verdict::Authentic {
        sa.count_forged();
        discard(packet.mbuf, Counter::EspAuthFailed, &mut cx.counters);
        return None;
    }
    let is_newest = sequence > sa.window.top();
    if let Err(reason) = sa.window.accept(sequence) {
        sa.count_replayed();
        discard(packet.mbuf, reason, &mut cx.counters);
        return None;
    }
    if sa.is_expired() {
        discard(packet.mbuf, Counter::SaExpiredInbound, &mut cx.counters);
        return None;
    }
    count(&packet, sa, is_newest, cx);
    let tunnel = sa.tunnel;
    match decapsulate(packet, tunnel, cx) {
        Ok(clear) => Some(clear),
        Err((mbuf, reason)) => {
            discard(mbuf, reason, &mut cx.counters);
            None
        }
    }
}

/// Counts an authentic packet and tells control what that brought about.
fn count(packet: &Sealed, sa: &mut InboundSa, is_newest: bool, cx: &mut Context) {
    let around = usize::from(packet.esp_at) + FRONT_BYTES + TAG_BYTES;
    let bytes = packet.mbuf.data().len().saturating_sub(around) as u64;
    cx.counters.count(Counter::EspOpened);
    cx.counters.add(Counter::EspOpenedBytes, bytes);
    let (tunnel, spi) = (sa.tunnel, sa.spi);
    if let Some(expiry) = sa.account(bytes) {
        cx.tell(Event::Expired { direction: Direction::Inbound, tunnel, spi, expiry });
    } else if sa.is_near_the_end(is_newest) {
        cx.tell(Event::Expired { direction: Direction::Inbound, tunnel, spi, expiry: Expiry::Soft });
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
    sa.publish(cx.now_ms());
}

/// Takes the inner packet out and checks it against the tunnel's selectors.
fn decapsulate(
    packet: Sealed,
    tunnel: crate::forwarding::TunnelId,
    cx: &mut Context,
) -> Result<Clear, (dpdk_sys::Mbuf, Counter)> {
    let Sealed { mut mbuf, esp_at, .. } = packet;
    let outer = esp::traffic_class(mbuf.data());
    let front = usize::from(esp_at) + FRONT_BYTES;
    let end = mbuf.data().len().saturating_sub(TAG_BYTES);
    let stripped = esp::strip(mbuf.data().get(front..end).unwrap_or_default());
    let stripped = match stripped {
        Ok(stripped) => stripped,
        Err(reason) => return Err((mbuf, reason)),
    };
    let traffic_class = match esp::inner_traffic_class(outer, stripped.traffic_class) {
        Ok(traffic_class) => traffic_class,
        Err(reason) => return Err((mbuf, reason)),
    };
    if u16::try_from(front).ok().and_then(|front| mbuf.adjust(front)).is_none() {
        return Err((mbuf, Counter::EspInnerMalformed));
    }
    trim_to(&mut mbuf, usize::from(stripped.inner_bytes));
    mbuf.clear_offloads();
    if traffic_class != stripped.traffic_class {
        set_traffic_class(mbuf.data_mut(), stripped.family, traffic_class);
    }
    let checked = match stripped.family {
        Family::V4 => Ipv4View::with_checksum_known(mbuf.data())
            .and_then(|view| forwardable_v4(&view, Delivery::Unicast).map(|()| describe_v4(&view))),
        Family::V6 => Ipv6View::new(mbuf.data())
            .and_then(|view| forwardable_v6(&view, Delivery::Unicast).map(|()| describe_v6(&view))),
    };
    let (inner, flow) = match checked {
        Ok(checked) => checked,
        Err(reason) => return Err((mbuf, reason)),
    };
    match cx.forwarding.tunnel_of_inbound(tunnel, &flow).map(|tunnel| tunnel.vrf) {
        Ok(vrf) => Ok(Clear { mbuf, vrf, origin: Origin::Tunnel(tunnel), inner, flow }),
        Err(reason) => Err((mbuf, reason)),
    }
}

fn set_traffic_class(packet: &mut [u8], family: Family, traffic_class: u8) {
    match family {
        Family::V4 => {
            if let Some(head) = packet.first_chunk_mut() {
                ipv4::set_traffic_class(head, traffic_class);
            }
        }
        Family::V6 => {
            if let Some(head) = packet.first_chunk_mut() {
                ipv6::set_traffic_class(head, traffic_class);
            }
        }
    }
}
