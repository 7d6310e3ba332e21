//! Open stage: ESP packets for us to clear packets. RFC 4303, 3.4; RFC 4301, 5.2.
//!
//! 1. SPI: home worker (else handed over), slot, SA; lifetime; sequence number and a first look at the replay window,
//! 2. AES-GCM over the whole burst,
//! 3. per packet, authentic ones only: the window again, and moved (one burst can hold a number twice); counts and limits; of what was accepted,
//!    what exceeds the gateway's bandwidth is dropped (`pipeline/police.rs`),
//! 4. padding and trailer off, ECN, traffic selectors, whether the source may be out of this tunnel, and the addresses that the packet has in the
//!    network; for a plain packet of a known flow all of that is one look, and one change of the mbuf.

use arrayvec::ArrayVec;
use dpdk_sys::{BURST_PACKETS, Mbuf};

use super::receive::{forwardable_v4, forwardable_v6};
use super::shortcut::{self, Plains};
use super::{Context, Lists, Tables, described_v4, police, segments, trim_to, view_v4, view_v6};
use crate::counter::Counter;
use crate::esp::{self, Stripped};
use crate::forwarding::TunnelId;
use crate::gcm::{Job, Kernel, Key, Nonce, Verdict};
use crate::header::esp::{EspView, HEADER_BYTES, IV_BYTES};
use crate::icmp::Delivery;
use crate::message::Event;
use crate::nat;
use crate::packet::{Batch, Clear, Family, Opening, Origin, Sealed, describe_v4, describe_v6, discard, put};
use crate::sa::{Direction, Esn, InboundSa, OpenKeys};
use crate::spi::Spi;
use crate::transform::Shape;
use crate::worker::Stage;

mod accept;

type Inbound = [Option<Box<InboundSa>>];

const FRONT_BYTES: usize = HEADER_BYTES + IV_BYTES;
const FRONT: u16 = const { FRONT_BYTES.to_le_bytes()[0] as u16 };

pub(super) fn open(lists: &mut Lists, tables: &mut Tables, cx: &mut Context) {
    if lists.sealed.is_empty() {
        return;
    }
    prefetch(&lists.sealed, &tables.inbound);
    let mut opening = Batch::new();
    find(&mut lists.sealed, &mut opening, &tables.inbound, cx);
    let authentic = decrypt(&mut opening, &tables.inbound, cx);
    let mut insides = Plains::new();
    let mut accepted = accept::all(&opening, authentic, &mut insides, tables, cx);
    if cx.forwarding.is_metered() {
        police::inbound(&opening, &mut accepted, cx);
        let refused = accepted.iter().enumerate().filter(|(_, accepted)| accepted.is_err());
        refused.for_each(|(place, _)| insides.forget(place));
    }
    let mbufs = opening.drain(..).map(|opening| opening.packet.mbuf);
    shortcut::take(mbufs, &insides, lists, tables, cx, |mbuf, place, lists, _, cx| {
        match accepted.get(place).copied().unwrap_or(Err(Counter::StageFull)) {
            Ok(inside) => general(mbuf, &inside, lists, cx),
            Err(reason) => discard(mbuf, reason, &mut cx.counters),
        }
    });
}

/// Out of which tunnel a packet came, and what is around its payload.
#[derive(Clone, Copy)]
pub(super) struct Inside {
    pub(super) tunnel: TunnelId,
    pub(super) shape: Shape,
    /// The ESP header and the first byte behind the tag, as in [`Sealed`].
    pub(super) esp_at: u16,
    pub(super) end: u16,
    /// Traffic class of the outer header.
    pub(super) outer_class: u8,
}

/// Whether a packet is to be taken.
pub(super) type Accepted = Result<Inside, Counter>;

fn spi(packet: &Sealed) -> Option<Spi> {
    packet.esp().first_chunk().and_then(|spi| Spi::new(u32::from_be_bytes(*spi)))
}

/// Has SAs' lines under way when they are needed: one look at all slots, one at all SAs. Not where the first, middle and last packet are of one SA, for which it would
/// bring nothing.
fn prefetch(sealed: &Batch<Sealed>, inbound: &Inbound) {
    let [first, middle, last] =
        [0, sealed.len() / 2, sealed.len() - 1].map(|at| sealed.get(at).and_then(spi));
    if first == middle && middle == last {
        return;
    }
    let mut slots: ArrayVec<&Option<Box<InboundSa>>, BURST_PACKETS> = ArrayVec::new();
    let mut last = None;
    for spi in sealed.iter().map(spi) {
        if spi == last {
            continue;
        }
        last = spi;
        if let Some(slot) = spi.and_then(|spi| inbound.get(spi.slot().index())) {
            dpdk_sys::prefetch(slot);
            slots.push(slot);
        }
    }
    for sa in slots.iter().filter_map(|slot| slot.as_deref()) {
        dpdk_sys::prefetch(sa);
    }
    for sa in slots.iter().filter_map(|slot| slot.as_deref()) {
        sa.prefetch();
    }
}

/// Step 1.
#[inline(never)] // a loop needs the registers for itself
fn find(sealed: &mut Batch<Sealed>, opening: &mut Batch<Opening>, inbound: &Inbound, cx: &mut Context) {
    // That of the packet before, which is at home here.
    let mut known: Option<&InboundSa> = None;
    for mut packet in sealed.drain(..) {
        let view =
            EspView::new(packet.esp()).map(|view| (view.spi(), view.sequence_low(), view.rest_bytes()));
        let (spi, sequence_low, rest_bytes) = match view {
            Ok(view) => view,
            Err(reason) => {
                let Some((as_it_can_be, view)) = segments::to_be_opened(packet, reason, inbound, cx) else {
                    continue;
                };
                packet = as_it_can_be;
                view
            }
        };
        if known.is_none_or(|sa| sa.spi != spi) {
            known = None;
            let home = spi.bucket().home(cx.workers);
            if home != cx.handover.me() {
                cx.handover.send(home, packet, &mut cx.counters);
                continue;
            }
            let sa = inbound.get(spi.slot().index()).and_then(Option::as_deref);
            known = sa.filter(|sa| sa.spi == spi);
        }
        let Some(sa) = known else {
            tell_unknown(spi, &packet, cx);
            discard(packet.mbuf, Counter::EspUnknownSpi, &mut cx.counters);
            continue;
        };
        let whole = sa.keys.holds(rest_bytes);
        match whole.and_then(|()| admit(sa, sequence_low, packet.in_udp)) {
            Ok(sequence) => {
                let slot = spi.slot();
                put(opening, Opening { packet, slot, sequence }, &mut cx.counters);
            }
            Err(reason) => discard(packet.mbuf, reason, &mut cx.counters),
        }
    }
}

/// Tells control of a peer that has kept an SA which is not here, but not of every packet.
#[cold]
fn tell_unknown(spi: Spi, packet: &Sealed, cx: &mut Context) {
    if cx.unknown_limit.take(cx.now_us)
        && let Some((remote, local)) = packet.ends()
    {
        cx.tell(Event::UnknownSpi { spi, local, remote });
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

/// Step 2. Says by bit which packets are authentic; one for which no job could be made is not.
fn decrypt(opening: &mut Batch<Opening>, inbound: &Inbound, cx: &mut Context) -> u64 {
    const { assert!(BURST_PACKETS <= 64) };
    let (mut jobs, mut places) = (Jobs::new(), ArrayVec::new());
    let opened = make_jobs(opening, inbound, cx.kernel, &mut jobs, &mut places);
    cx.watch.lap(Stage::Admit);
    cx.kernel.open(&mut jobs);
    cx.watch.lap(Stage::Decrypt);
    let bit = |(job, place): (&Job<'_>, u8)| u64::from(job.verdict() == Verdict::Authentic) << place;
    jobs.iter().zip(places).map(bit).fold(opened, |all, one| all | one)
}

type Jobs<'a> = ArrayVec<Job<'a>, BURST_PACKETS>;

/// Jobs for AES-GCM, and the places of their packets in the burst. Packets of other transforms, and those that lie in several segments, are opened one by one: says by
/// bit which ones are authentic.
#[inline(never)] // a loop needs the registers for itself
fn make_jobs<'a>(
    opening: &'a mut Batch<Opening>,
    inbound: &'a Inbound,
    kernel: Kernel,
    jobs: &mut Jobs<'a>,
    places: &mut ArrayVec<u8, BURST_PACKETS>,
) -> u64 {
    let (mut opened, mut place) = (0, 0);
    for run in opening.chunk_by_mut(|one, other| one.slot == other.slot) {
        let Some(sa) = inbound.get(run[0].slot.index()).and_then(Option::as_deref) else {
            place += run.len().to_le_bytes()[0]; // at most a burst
            continue;
        };
        for packet in run {
            if packet.packet.mbuf.data().len() < packet.packet.end.into() {
                opened |= u64::from(open_segments(packet, sa, kernel)) << place;
                place += 1;
                continue;
            }
            let Sealed { mbuf, esp_at, end, .. } = &mut packet.packet;
            let esp = mbuf.data_mut().get_mut(usize::from(*esp_at)..usize::from(*end)).unwrap_or_default();
            match &sa.keys {
                OpenKeys::AesGcm { salt, key } => {
                    if let Some(job) = job(esp, packet.sequence, sa.esn, *salt, key) {
                        jobs.push(job);
                        places.push(place);
                    }
                }
                OpenKeys::Other(_) => opened |= u64::from(open_one(esp, sa, packet.sequence)) << place,
            }
            place += 1;
        }
    }
    opened
}

/// What AES-GCM has to do. `None`: there is no room for header, IV and tag.
#[inline(always)] // a job that is returned through memory is read back in other pieces than it was written
fn job<'a>(esp: &'a mut [u8], sequence: u64, esn: Esn, salt: [u8; 4], key: &'a Key) -> Option<Job<'a>> {
    let (front, sealed) = esp.split_first_chunk_mut::<FRONT_BYTES>()?;
    let [s0, s1, s2, s3, _, _, _, _, iv @ ..] = *front;
    Job::new(key, Nonce::new(salt, iv), esp::aad([s0, s1, s2, s3], sequence, esn), sealed)
}

/// Step 2 for a packet that lies in several segments: whether it is authentic.
#[cold]
#[inline(never)]
fn open_segments(opening: &mut Opening, sa: &InboundSa, kernel: Kernel) -> bool {
    let OpenKeys::AesGcm { salt, key } = &sa.keys else { return false };
    esp::segments::open(&mut opening.packet, (key, *salt), opening.sequence, sa.esn, kernel)
}

/// Step 2 for a packet whose transform is not AES-GCM: whether it is authentic.
#[cold]
#[inline(never)]
fn open_one(esp: &mut [u8], sa: &InboundSa, sequence: u64) -> bool {
    let OpenKeys::Other(opener) = &sa.keys else { return false };
    opener.open(esp, sequence, sa.esn).is_ok()
}

/// Step 4, first half: takes the inner packet out, header checked, and makes it all of the mbuf's data. Says of which family it is.
fn decapsulate(mut mbuf: Mbuf, inside: &Inside) -> Result<(Mbuf, Family), (Mbuf, Counter)> {
    let Inside { shape, esp_at, end, outer_class, .. } = *inside;
    let front = usize::from(esp_at) + shape.front_bytes();
    let end = usize::from(end).saturating_sub(usize::from(shape.icv_bytes));
    let stripped = match mbuf.data().get(front..end) {
        Some(payload) => esp::strip(payload, payload, payload.len()),
        None => esp::segments::strip(&mbuf, front, end),
    };
    let Stripped { family, bytes: inner_bytes, traffic_class: inner } = match stripped {
        Ok(stripped) => stripped,
        Err(reason) => return Err((mbuf, reason)),
    };
    let traffic_class = match esp::inner_traffic_class(outer_class, inner) {
        Ok(traffic_class) => traffic_class,
        Err(reason) => return Err((mbuf, reason)),
    };
    if u16::try_from(front).ok().and_then(|front| mbuf.adjust(front)).is_none() {
        return Err((mbuf, Counter::EspInnerMalformed));
    }
    trim_to(&mut mbuf, inner_bytes);
    mbuf.clear_offloads();
    if traffic_class != inner {
        esp::set_traffic_class(mbuf.data_mut(), family, traffic_class);
    }
    Ok((mbuf, family))
}

/// Step 4, for packets that the shortcut does not take: checks the inner packet against the tunnel's selectors, and translates its addresses.
#[inline(never)]
fn general(mbuf: Mbuf, inside: &Inside, lists: &mut Lists, cx: &mut Context) {
    let checked = decapsulate(mbuf, inside).and_then(|(mbuf, family)| check(mbuf, family, inside.tunnel, cx));
    match checked {
        Ok(clear) => put(&mut lists.clear, clear, &mut cx.counters),
        Err((mbuf, reason)) => discard(mbuf, reason, &mut cx.counters),
    }
}

fn check(
    mut mbuf: Mbuf,
    family: Family,
    tunnel: TunnelId,
    cx: &mut Context,
) -> Result<Clear, (Mbuf, Counter)> {
    let checked = match family {
        Family::V4 => view_v4(&mbuf)
            .and_then(|view| forwardable_v4(&view, Delivery::Unicast).map(|()| describe_v4(&view))),
        Family::V6 => view_v6(&mbuf)
            .and_then(|view| forwardable_v6(&view, Delivery::Unicast).map(|()| describe_v6(&view))),
    };
    let (inner, flow) = match checked {
        Ok(checked) => checked,
        Err(reason) => return Err((mbuf, reason)),
    };
    if flow.is_link_local() {
        return Err((mbuf, Counter::Ipv6LinkLocal));
    }
    let (known, mut flow) = match cx.forwarding.tunnel_of_inbound(tunnel, &flow) {
        Ok(found) => found,
        Err(reason) => return Err((mbuf, reason)),
    };
    if !known.nat.is_empty() {
        match nat::translate(mbuf.data_mut(), &known.nat, Direction::Inbound, cx.now_us) {
            Ok(translated) => {
                cx.counters.add(Counter::NatTranslated, translated.has_changed.into());
                if translated.is_dynamic {
                    let Some(translated) = described_v4(mbuf.data()) else {
                        return Err((mbuf, Counter::NatUntranslatable));
                    };
                    flow = translated;
                }
            }
            Err(reason) => return Err((mbuf, reason)),
        }
    }
    Ok(Clear { mbuf, vrf: known.vrf, origin: Origin::Tunnel(tunnel), inner, flow })
}
