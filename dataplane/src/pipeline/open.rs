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
use super::shortcut::{self, Plain, Run};
use super::{Context, Lists, Tables, police, trim_to};
use crate::counter::Counter;
use crate::esp;
use crate::flow::{Key, Way};
use crate::forwarding::TunnelId;
use crate::gcm::{Job, Nonce, Verdict};
use crate::header::esp::{EspView, HEADER_BYTES, IV_BYTES, TAG_BYTES};
use crate::header::ipv4::Ipv4View;
use crate::header::ipv6::Ipv6View;
use crate::icmp::Delivery;
use crate::message::Event;
use crate::nat;
use crate::packet::{Batch, Clear, Family, Opening, Origin, Sealed, describe_v4, describe_v6, discard, put};
use crate::sa::{Direction, Expiry, InboundSa, OpenKeys};
use crate::spi::{SaSlot, Spi};
use crate::transform::Shape;
use crate::worker::Stage;

type Inbound = [Option<Box<InboundSa>>];

const FRONT_BYTES: usize = HEADER_BYTES + IV_BYTES;
const FRONT: u16 = const { FRONT_BYTES.to_le_bytes()[0] as u16 };

pub(super) fn open(lists: &mut Lists, tables: &mut Tables, cx: &mut Context) {
    if lists.sealed.is_empty() {
        return;
    }
    prefetch(&lists.sealed, &tables.inbound);
    let mut opening = Batch::new();
    find(&mut lists.sealed, &mut opening, &mut tables.inbound, cx);
    let authentic = decrypt(&mut opening, &tables.inbound, cx);
    let mut insides = [const { Plain::NONE }; BURST_PACKETS];
    let mut accepted = accept_all(&opening, authentic, &mut insides, tables, cx);
    if cx.forwarding.is_metered() {
        police::inbound(&opening, &mut accepted, cx);
    }
    let mut run = Run::new();
    for ((packet, accepted), inside) in opening.drain(..).zip(accepted).zip(&insides) {
        let mut packet = packet.packet;
        let (tunnel, shape) = match accepted {
            Ok(accepted) => accepted,
            Err(reason) => {
                discard(packet.mbuf, reason, &mut cx.counters);
                continue;
            }
        };
        if inside.is_some() {
            let Sealed { mbuf, at, esp_at, end, in_udp } = packet;
            match shortcut::take(mbuf, inside, &mut run, lists, tables, cx) {
                Ok(()) => continue,
                Err(mbuf) => packet = Sealed { mbuf, at, esp_at, end, in_udp },
            }
        }
        general(packet, tunnel, shape, lists, cx);
    }
}

/// Whether a packet is to be taken, and then out of which tunnel it came and what is around its payload.
pub(super) type Accepted = Result<(TunnelId, Shape), Counter>;

/// Step 3 up to the bandwidth (by bit, which packets are authentic), and for the shortcut the inner packets that are plain and
/// whose traffic class the outer header does not change. All of them before the first one's flow is looked up, so that the places of their flows are
/// under way.
fn accept_all(
    opening: &Batch<Opening>,
    authentic: u64,
    insides: &mut [Plain; BURST_PACKETS],
    tables: &mut Tables,
    cx: &mut Context,
) -> ArrayVec<Accepted, BURST_PACKETS> {
    let (mut all, mut opened, mut latest) = (ArrayVec::new(), Opened::default(), Key::NONE);
    for ((number, packet), plain) in opening.iter().enumerate().zip(insides) {
        let accepted = accept(packet, authentic >> number & 1 == 1, &mut opened, &mut tables.inbound, cx);
        if let Ok((tunnel, shape)) = accepted {
            // Packets of another shape go the long way.
            if shape != Shape::AES_GCM || read(&packet.packet, tunnel, plain).is_none() {
                *plain = Plain::NONE;
            } else if latest != plain.key {
                latest = plain.key;
                tables.flows.prefetch(&latest);
            }
        }
        all.push(accepted);
    }
    opened.publish(&tables.inbound, cx);
    all
}

/// `None`: `plain` may hold anything.
#[inline(always)] // as [`Plain::read`]
fn read(packet: &Sealed, tunnel: TunnelId, plain: &mut Plain) -> Option<()> {
    let data = packet.mbuf.data();
    let (front, end) = (packet.esp_at.checked_add(FRONT)?, usize::from(packet.end));
    let (family, inner) = esp::unpad(data.get(usize::from(front)..end.checked_sub(TAG_BYTES)?)?)?;
    plain.read(inner, front, Way::Tunnel(tunnel), false)?;
    let outer = esp::traffic_class(data.get(usize::from(packet.at)..)?);
    let is_unchanged = outer & 3 == 0
        || esp::inner_traffic_class(outer, plain.inner.traffic_class) == Ok(plain.inner.traffic_class);
    (plain.inner.family == family && is_unchanged).then_some(())
}

/// Has an SA's lines under way when they are needed: one look at all slots, one at all SAs.
fn prefetch(sealed: &Batch<Sealed>, inbound: &Inbound) {
    let mut slots: ArrayVec<&Option<Box<InboundSa>>, BURST_PACKETS> = ArrayVec::new();
    let mut last = None;
    for packet in sealed {
        let spi = packet.esp().first_chunk();
        let spi = spi.and_then(|spi| Spi::new(u32::from_be_bytes(*spi)));
        if spi == last {
            continue;
        }
        last = spi;
        if let Some(slot) = spi.and_then(|spi| inbound.get(spi.slot().index())) {
            dpdk_sys::prefetch(slot);
            slots.push(slot);
        }
    }
    if slots.len() > 1 {
        for sa in slots.iter().filter_map(|slot| slot.as_deref()) {
            dpdk_sys::prefetch(sa);
        }
        for sa in slots.iter().filter_map(|slot| slot.as_deref()) {
            sa.prefetch();
        }
    }
}

/// Step 1.
fn find(sealed: &mut Batch<Sealed>, opening: &mut Batch<Opening>, inbound: &mut Inbound, cx: &mut Context) {
    for packet in sealed.drain(..) {
        let view =
            EspView::new(packet.esp()).map(|view| (view.spi(), view.sequence_low(), view.rest_bytes()));
        let (spi, sequence_low, rest_bytes) = match view {
            Ok(view) => view,
            Err(reason) => {
                discard(packet.mbuf, reason, &mut cx.counters);
                continue;
            }
        };
        // A division that most gateways need not make.
        let home = if cx.workers.get() == 1 { cx.handover.me() } else { spi.bucket().home(cx.workers) };
        if home != cx.handover.me() {
            cx.handover.send(home, packet, &mut cx.counters);
            continue;
        }
        let sa = inbound.get_mut(spi.slot().index()).and_then(Option::as_mut).filter(|sa| sa.spi == spi);
        let Some(sa) = sa else {
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

/// Step 2. Says by bit which packets are authentic; one for which no job could be made is not. Packets of transforms other than AES-GCM are opened one
/// by one.
fn decrypt(opening: &mut Batch<Opening>, inbound: &Inbound, cx: &mut Context) -> u64 {
    const { assert!(BURST_PACKETS <= 64) };
    let mut jobs: ArrayVec<Job<'_>, BURST_PACKETS> = ArrayVec::new();
    let mut places: ArrayVec<u8, BURST_PACKETS> = ArrayVec::new();
    let mut opened = 0;
    for (place, packet) in (0..).zip(opening.iter_mut()) {
        let Some(sa) = inbound.get(packet.slot.index()).and_then(Option::as_ref) else { continue };
        let Sealed { mbuf, esp_at, end, .. } = &mut packet.packet;
        let esp = mbuf.data_mut().get_mut(usize::from(*esp_at)..usize::from(*end));
        let esp = esp.unwrap_or_default();
        let OpenKeys::AesGcm { salt, key } = &sa.keys else {
            opened |= u64::from(open_one(esp, sa, packet.sequence)) << place;
            continue;
        };
        let Some((front, sealed)) = esp.split_first_chunk_mut::<FRONT_BYTES>() else { continue };
        let [s0, s1, s2, s3, _, _, _, _, iv @ ..] = *front;
        let aad = esp::aad([s0, s1, s2, s3], packet.sequence, sa.esn);
        if let Some(job) = Job::new(key, Nonce::new(*salt, iv), aad, sealed) {
            jobs.push(job);
            places.push(place);
        }
    }
    cx.watch.lap(Stage::Admit);
    cx.kernel.open(&mut jobs);
    cx.watch.lap(Stage::Decrypt);
    let bit = |(job, place): (&Job<'_>, u8)| u64::from(job.verdict() == Verdict::Authentic) << place;
    jobs.iter().zip(places).map(bit).fold(opened, |all, one| all | one)
}

/// Step 2 for a packet whose transform is not AES-GCM: whether it is authentic.
#[cold]
#[inline(never)]
fn open_one(esp: &mut [u8], sa: &InboundSa, sequence: u64) -> bool {
    let OpenKeys::Other(opener) = &sa.keys else { return false };
    opener.open(esp, sequence, sa.esn).is_ok()
}

/// What was opened of the SA at hand, to be told when another one comes or the burst ends.
#[derive(Default)]
struct Opened {
    slot: Option<SaSlot>,
    packets: u64,
    bytes: u64,
}

impl Opened {
    #[inline]
    fn count(&mut self, slot: SaSlot, bytes: u64, inbound: &Inbound, cx: &Context) {
        if self.slot != Some(slot) {
            self.tell(inbound, cx);
            self.slot = Some(slot);
        }
        self.packets += 1;
        self.bytes += bytes;
    }

    fn tell(&self, inbound: &Inbound, cx: &Context) {
        let sa = self.slot.and_then(|slot| inbound.get(slot.index())?.as_deref());
        if let Some(sa) = sa {
            sa.publish(cx.now_ms());
        }
    }

    fn publish(self, inbound: &Inbound, cx: &mut Context) {
        self.tell(inbound, cx);
        cx.counters.add(Counter::EspOpened, self.packets);
        cx.counters.add(Counter::EspOpenedBytes, self.bytes);
    }
}

/// Step 3 for one packet: its tunnel and what is around its payload, if it is to be taken.
#[inline(always)] // called in one place, once a packet
fn accept(
    opening: &Opening,
    authentic: bool,
    opened: &mut Opened,
    inbound: &mut Inbound,
    cx: &mut Context,
) -> Accepted {
    let Opening { packet, slot, sequence } = opening;
    let sa = inbound.get_mut(slot.index()).and_then(Option::as_mut).ok_or(Counter::EspUnknownSpi)?;
    if !authentic {
        sa.count_forged();
        return Err(Counter::EspAuthFailed);
    }
    let is_newest = *sequence > sa.window.top();
    sa.window.accept(*sequence).inspect_err(|_| sa.count_replayed())?;
    if sa.is_expired() {
        return Err(Counter::SaExpiredInbound);
    }
    let shape = sa.keys.shape();
    let around = shape.front_bytes() + usize::from(shape.icv_bytes);
    let bytes = packet.esp().len().saturating_sub(around) as u64;
    count(packet, bytes, sa, is_newest, cx);
    let tunnel = sa.tunnel;
    opened.count(*slot, bytes, inbound, cx);
    Ok((tunnel, shape))
}

/// Counts an authentic packet and tells control what that brought about.
#[inline]
fn count(packet: &Sealed, bytes: u64, sa: &mut InboundSa, is_newest: bool, cx: &mut Context) {
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
}

/// What was inside an authentic packet: the mbuf's data is the inner packet, header checked.
struct Inside {
    mbuf: Mbuf,
    family: Family,
}

/// Step 4, first half: takes the inner packet out.
fn decapsulate(packet: Sealed, shape: Shape) -> Result<Inside, (Mbuf, Counter)> {
    let Sealed { mut mbuf, at, esp_at, end, .. } = packet;
    let outer = esp::traffic_class(mbuf.data().get(usize::from(at)..).unwrap_or_default());
    let front = usize::from(esp_at) + shape.front_bytes();
    let end = usize::from(end).saturating_sub(usize::from(shape.icv_bytes));
    let stripped = esp::strip(mbuf.data().get(front..end).unwrap_or_default());
    let stripped = match stripped {
        Ok(stripped) => stripped,
        Err(reason) => return Err((mbuf, reason)),
    };
    let (family, inner_bytes) = (stripped.family, stripped.packet.len());
    let inner = esp::traffic_class(stripped.packet);
    let traffic_class = match esp::inner_traffic_class(outer, inner) {
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
    Ok(Inside { mbuf, family })
}

/// Step 4, for packets that the shortcut does not take: checks the inner packet against the tunnel's selectors, and translates its addresses.
#[inline(never)]
fn general(packet: Sealed, tunnel: TunnelId, shape: Shape, lists: &mut Lists, cx: &mut Context) {
    let checked =
        decapsulate(packet, shape).and_then(|Inside { mbuf, family }| check(mbuf, family, tunnel, cx));
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
        Family::V4 => Ipv4View::with_checksum_known(mbuf.data())
            .and_then(|view| forwardable_v4(&view, Delivery::Unicast).map(|()| describe_v4(&view))),
        Family::V6 => Ipv6View::new(mbuf.data())
            .and_then(|view| forwardable_v6(&view, Delivery::Unicast).map(|()| describe_v6(&view))),
    };
    let (inner, flow) = match checked {
        Ok(checked) => checked,
        Err(reason) => return Err((mbuf, reason)),
    };
    if flow.is_link_local() {
        return Err((mbuf, Counter::Ipv6LinkLocal));
    }
    let (known, flow) = match cx.forwarding.tunnel_of_inbound(tunnel, &flow) {
        Ok(found) => found,
        Err(reason) => return Err((mbuf, reason)),
    };
    if !known.nat.is_empty() {
        match nat::translate(mbuf.data_mut(), &known.nat, Direction::Inbound) {
            Ok(has_changed) => cx.counters.add(Counter::NatTranslated, has_changed.into()),
            Err(reason) => return Err((mbuf, reason)),
        }
    }
    Ok(Clear { mbuf, vrf: known.vrf, origin: Origin::Tunnel(tunnel), inner, flow })
}
