//! Shortcut: a packet of a known flow goes from its frame (or out of its tunnel) to the list that the route stage would have put it
//! on, by one look into the [`FlowTable`](crate::flow::FlowTable). Called by the receive and open stages for every packet, before anything general.
//!
//! It takes plain packets only: IPv4 without options, IPv6 without extension headers, whole, hops left, no TCP handshake (its MSS may have to be
//! lowered), small enough. Whatever it does not take goes to the general stages unchanged, and those drop, answer or cut it. It
//! decides nothing by itself: on a flow's first packet [`decide`] asks the same functions as the general stages.
//!
//! Packets of one flow in a row are looked up once and then taken one after the other, by a loop that knows what they have in common.
//!
//! Order: what the general stages have got before is routed before the next packet of a known flow goes on.

use arrayvec::ArrayVec;
use dpdk_sys::{BURST_PACKETS, Mbuf};

use super::seal::Outbound;
use super::{Context, Lists, Tables, leave, local, route, seal};
use crate::esp::Inner;
use crate::flow::{Action, Egress, Key, Way};
use crate::forwarding::{DontFragment, Forwarding, InterfaceId, TunnelId};
use crate::header::{Protocol, ipv4, ipv6};
use crate::packet::{Batch, Entering, Family, Sealed, put};
use crate::pmtu::Fit;
use crate::sa::Direction;
use decide::{Decision, decide};
use translation::Translation;

use plain::Plain;
pub(super) use plain::{Arrival, Begins, Plains, Run};

mod decide;
mod plain;
mod translation;

/// What becomes of a run.
enum Path {
    General,
    Ours,
    /// Into a tunnel, which takes packets up to so many bytes whole.
    Enter(TunnelId, DontFragment, u16),
    Forward(Egress, Option<Toll>),
}

/// A circuit that a run passes, and which way.
#[derive(Clone, Copy)]
struct Toll(InterfaceId, Direction);

impl Path {
    /// That of a flow's packets, and what their addresses have to become.
    #[inline(never)]
    fn of(key: &Key, tables: &mut Tables, cx: &Context) -> (Self, Option<Translation>) {
        const GENERAL: (Path, Option<Translation>) = (Path::General, None);
        let now = tables.now(cx.now_us);
        let known = match tables.flows.find(key, now) {
            Some(Action::Forward(id)) if !tables.adjacencies.has(id) => None,
            known => known,
        };
        let action = known.unwrap_or_else(|| learn(key, tables, cx));
        let path = match action {
            Action::General => return GENERAL,
            Action::Ours => return (Self::Ours, None),
            Action::Enter(tunnel, df) => {
                Self::Enter(tunnel, df, tables.outbound_of(tunnel).map_or(0, |sa| sa.inner_mtu_bytes()))
            }
            Action::Forward(id) => {
                let Tables { adjacencies, neighbours, .. } = tables;
                match adjacencies.egress(id, &cx.forwarding, neighbours, now) {
                    Some(egress) => {
                        let egress = *egress;
                        let toll = cx
                            .forwarding
                            .has_circuits()
                            .then(|| Toll::of(key, tables.adjacencies.interface(id), &cx.forwarding));
                        Self::Forward(egress, toll.flatten())
                    }
                    // The leave stage asks for its address.
                    None => return GENERAL,
                }
            }
        };
        if !cx.forwarding.translates() {
            return (path, None);
        }
        match Translation::of(key, action, &cx.forwarding) {
            Ok(translation) => (path, translation),
            Err(_) => GENERAL, // the general stages drop it
        }
    }
}

/// Has what a burst of many flows will need under way: each tunnel's place, its SA, its key, all of one kind before any of the next.
pub(super) fn warm(runs: &[Run], tables: &Tables, now_us: u64) {
    let now = tables.now(now_us);
    let mut places: ArrayVec<&Outbound, BURST_PACKETS> = ArrayVec::new();
    for run in runs {
        if let Some(Action::Enter(tunnel, _)) = tables.flows.find(&run.key, now)
            && let Some(place) = usize::try_from(tunnel.0).ok().and_then(|at| tables.outbound.get(at))
        {
            dpdk_sys::prefetch(place);
            places.push(place);
        }
    }
    for sa in places.iter().filter_map(|place| place.sa()) {
        dpdk_sys::prefetch(&sa.hot);
    }
    for sa in places.iter().filter_map(|place| place.sa()) {
        sa.prefetch();
    }
}

/// Takes a burst onward. Packets that are for the general stages go to `rest`, unchanged, with their place in the burst.
#[inline(never)] // a loop needs the registers for itself
pub(super) fn take(
    mut burst: impl Iterator<Item = Mbuf>,
    plains: &Plains,
    lists: &mut Lists,
    tables: &mut Tables,
    cx: &mut Context,
    mut rest: impl FnMut(Mbuf, usize, &mut Lists, &mut Tables, &mut Context),
) {
    let mut rest_of_plains = plains.packets();
    for run in plains.runs() {
        let first = plains.packets().len() - rest_of_plains.len();
        let (own, others) = rest_of_plains.split_at(run.packets.into());
        rest_of_plains = others;
        let (path, translation) = match run.key == Key::NONE {
            true => (Path::General, None),
            false => {
                settle(lists, tables, cx);
                Path::of(&run.key, tables, cx)
            }
        };
        let translation = translation.as_ref();
        let packets = (first..).zip(own.iter().zip(burst.by_ref()));
        // What a run's packets are not taken for is settled before the next of them.
        let mut exception = |mbuf, place, lists: &mut _, tables: &mut _, cx: &mut _| {
            rest(mbuf, place, lists, tables, cx);
            settle(lists, tables, cx);
        };
        match path {
            Path::General => packets.for_each(|(place, (_, mbuf))| rest(mbuf, place, lists, tables, cx)),
            Path::Ours => {
                for (number, (plain, mbuf)) in packets {
                    match ours(&mbuf, plain) {
                        Some(Place { esp_at, end, in_udp }) => {
                            let outer_class = plain.inner.traffic_class;
                            let sealed = Sealed { mbuf, at: plain.at, esp_at, end, in_udp, outer_class };
                            put(&mut lists.sealed, sealed, &mut cx.counters);
                        }
                        None => exception(mbuf, number, lists, tables, cx),
                    }
                }
            }
            Path::Enter(tunnel, df, room_bytes) => {
                for (number, (plain, mut mbuf)) in packets {
                    let fits = plain.total_bytes <= room_bytes && takes(translation, plain);
                    let bytes = mbuf.data_mut().get_mut(usize::from(plain.at)..);
                    let Some(bytes) = bytes.filter(|_| fits) else {
                        exception(mbuf, number, lists, tables, cx);
                        continue;
                    };
                    hop(bytes, plain.inner.family);
                    if let Some(translation) = translation {
                        translation.write(bytes, plain, cx);
                    }
                    let dont_fragment = df.outer(plain.inner.dont_fragment);
                    let entering = Entering {
                        mbuf,
                        tunnel,
                        at: plain.at,
                        bytes: plain.total_bytes,
                        inner: Inner { dont_fragment, ..plain.inner },
                        fit: Fit::Whole,
                        framed: false,
                    };
                    if let Err(full) = lists.entering.try_push(entering) {
                        seal::seal(&mut lists.entering, &mut lists.leaving, tables, cx);
                        put(&mut lists.entering, full.element(), &mut cx.counters);
                    }
                }
            }
            Path::Forward(egress, toll) => {
                let mut frames = Batch::<Mbuf>::new();
                for (number, (plain, mut mbuf)) in packets {
                    // What pays is framed: the general stages would have it pay again.
                    let pays = |toll: Toll, mbuf| {
                        egress.has_room(mbuf, plain.at) && toll.pays(plain.total_bytes, cx)
                    };
                    let fits = plain.total_bytes <= egress.mtu_bytes
                        && takes(translation, plain)
                        && toll.is_none_or(|toll| pays(toll, &mbuf));
                    let framed =
                        if fits { egress.frame(&mut mbuf, plain.at, plain.total_bytes) } else { None };
                    let Some(bytes) = framed else {
                        cx.send_frames(frames.drain(..), egress.port);
                        exception(mbuf, number, lists, tables, cx);
                        continue;
                    };
                    hop(bytes, plain.inner.family);
                    if let Some(translation) = translation {
                        translation.write(bytes, plain, cx);
                    }
                    frames.push(mbuf);
                }
                cx.send_frames(frames.drain(..), egress.port);
            }
        }
    }
}

impl Toll {
    /// That of a flow that leaves by `out`: nothing passes from one circuit to another.
    #[cold]
    fn of(key: &Key, out: Option<InterfaceId>, forwarding: &Forwarding) -> Option<Self> {
        if let Way::Interface(on) = key.way()
            && forwarding.circuit(on).is_some()
        {
            return Some(Self(on, Direction::Inbound));
        }
        out.filter(|out| forwarding.circuit(*out).is_some()).map(|out| Self(out, Direction::Outbound))
    }

    /// Whether a packet is within the bandwidth of the circuit's gateway; it is counted then. One that is not is for the general stages to drop.
    fn pays(self, bytes: u16, cx: &Context) -> bool {
        let Self(on, direction) = self;
        cx.forwarding.circuit(on).is_none_or(|circuit| circuit.pass(direction, bytes, cx.now_us))
    }
}

/// Whether it is a plain packet still, and one that can be translated, should that be necessary.
#[inline(always)]
fn takes(translation: Option<&Translation>, plain: &Plain) -> bool {
    plain.is_some() && translation.is_none_or(|translation| translation.takes(plain))
}

/// Routes and sends what the general stages have got before.
#[inline(always)]
fn settle(lists: &mut Lists, tables: &mut Tables, cx: &mut Context) {
    #[cold]
    fn settle(lists: &mut Lists, tables: &mut Tables, cx: &mut Context) {
        if !lists.clear.is_empty() {
            route::route(lists, tables, cx);
        }
        if !lists.leaving.is_empty() {
            leave::leave(&mut lists.leaving, &mut tables.neighbours, cx);
        }
    }
    if !lists.clear.is_empty() || !lists.leaving.is_empty() {
        settle(lists, tables, cx);
    }
}

/// One hop of a plain packet: it has some left.
#[inline(always)]
fn hop(packet: &mut [u8], family: Family) {
    match family {
        Family::V4 => {
            if let Some(head) = packet.first_chunk_mut() {
                ipv4::take_hop(head);
            }
        }
        Family::V6 => {
            if let Some(head) = packet.first_chunk_mut() {
                ipv6::decrement_hop_limit(head);
            }
        }
    }
}

/// Where an ESP packet is in its mbuf: see [`Sealed`].
struct Place {
    esp_at: u16,
    end: u16,
    in_udp: bool,
}

/// ESP for us, in the underlay: bare or in UDP (RFC 3948, 2).
#[inline(always)]
fn ours(mbuf: &Mbuf, plain: &Plain) -> Option<Place> {
    let header_bytes = match plain.inner.family {
        Family::V4 => 20,
        Family::V6 => 40,
    };
    let (esp_at, end) = (plain.at + header_bytes, plain.at + plain.total_bytes); // both in the mbuf, and so below 64 KiB
    match plain.protocol {
        Protocol::ESP => Some(Place { esp_at, end, in_udp: false }),
        Protocol::UDP => {
            let datagram = mbuf.data().get(usize::from(esp_at)..usize::from(end)).unwrap_or_default();
            let (before, bytes) = local::esp_in_udp(datagram)?;
            Some(Place { esp_at: esp_at + before, end: esp_at + bytes, in_udp: true })
        }
        _ => None,
    }
}

/// The first packet of a flow, or the first one after a change: asks the tables, and remembers the answer.
#[cold]
fn learn(key: &Key, tables: &mut Tables, cx: &Context) -> Action {
    let (source, destination) = key.ends();
    let now = tables.now(cx.now_us);
    let is_up = |id| tables.outbound_of(id).is_some();
    let action = match decide(key.way(), source, destination, &cx.forwarding, is_up) {
        Decision::General => Action::General,
        Decision::Ours => Action::Ours,
        Decision::Enter(tunnel) => match cx.forwarding.tunnel(tunnel) {
            Some(known) => Action::Enter(tunnel, known.dont_fragment),
            None => Action::General,
        },
        Decision::Forward(interface, next_hop) => {
            Action::Forward(tables.adjacencies.adopt(interface, next_hop, key.family()))
        }
    };
    tables.flows.learn(key, action, now);
    action
}
