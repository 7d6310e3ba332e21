//! Shortcut: a packet of a known flow goes from its frame (or out of its tunnel) to the list that the route stage would have put it
//! on, by one look into the [`FlowTable`](crate::flow::FlowTable). Called by the receive and open stages for every packet, before anything general.
//!
//! It takes plain packets only: IPv4 without options, IPv6 without extension headers, whole, hops left, no TCP handshake (its MSS may have to be
//! lowered), small enough. Whatever it does not take goes to the general stages unchanged, and those drop, answer or cut it. It
//! decides nothing by itself: on a flow's first packet [`decide`] asks the same functions as the general stages.
//!
//! Order: what the general stages have got before is routed before the next packet of a known flow goes on.

use std::net::IpAddr;

use arrayvec::ArrayVec;
use dpdk_sys::{BURST_PACKETS, Mbuf};

use super::seal::Outbound;
use super::{Context, Lists, Tables, leave, local, route, seal};
use crate::esp::Inner;
use crate::flow::{Action, Addresses, Egress, Key, Way};
use crate::header::{Protocol, be16, checksum, ipv4, ipv6};
use crate::packet::{Entering, Family, Sealed, put};
use crate::pmtu::Fit;
use decide::{Decision, decide};
use translation::Translation;

mod decide;
mod translation;

/// A plain packet, by its header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plain {
    pub(super) key: Key,
    pub(super) inner: Inner,
    protocol: Protocol,
    /// By its own header, in bytes.
    total_bytes: u16,
    /// Where it begins in the mbuf's data, in bytes.
    at: u16,
}

impl Plain {
    /// No plain packet.
    pub(super) const NONE: Self = Self {
        key: Key::NONE,
        inner: Inner { family: Family::V4, traffic_class: 0, dont_fragment: false },
        protocol: Protocol(0),
        total_bytes: 0,
        at: 0,
    };

    /// Whether it is one.
    #[inline(always)]
    pub(super) fn is_some(&self) -> bool {
        self.total_bytes != 0
    }

    /// Makes [`Plain::NONE`] the packet at `at` in the mbuf's data, by its IP header. `None`: not a plain packet (or a broken one: the general stages
    /// will find out), and nothing changed.
    ///
    /// Field by field into its place among the burst's: as a result it would be read back from memory in other pieces than it was written, for
    /// which a CPU waits (20 cycles a packet).
    #[inline(always)]
    pub(super) fn read(&mut self, packet: &[u8], at: u16, way: Way, checksum_known: bool) -> Option<()> {
        let version = packet.first()? >> 4;
        let (addresses, protocol, inner, total_bytes, header_bytes) = match version {
            4 => {
                let head: &[u8; ipv4::HEADER_BYTES] = packet.first_chunk()?;
                let is_plain = head[0] == 0x45
                    && be16(head, 6) & !DONT_FRAGMENT == 0
                    && head[8] > 1
                    && (checksum_known || checksum::is_valid_header(head));
                if !is_plain {
                    return None;
                }
                let [.., a, b, c, d, e, f, g, h] = *head;
                let inner = Inner {
                    family: Family::V4,
                    traffic_class: head[1],
                    dont_fragment: be16(head, 6) & DONT_FRAGMENT != 0,
                };
                let addresses = Addresses::V4(u64::from_be_bytes([a, b, c, d, e, f, g, h]));
                (addresses, Protocol(head[9]), inner, be16(head, 2), ipv4::HEADER_BYTES)
            }
            6 => {
                let head: &[u8; ipv6::HEADER_BYTES] = packet.first_chunk()?;
                let protocol = Protocol(head[6]);
                let is_plain = head[7] > 1 && protocol != Protocol::ICMPV6 && !ipv6::is_extension(protocol);
                if !is_plain {
                    return None;
                }
                let total_bytes = be16(head, 4).checked_add(40)?;
                let traffic_class = head[0] << 4 | head[1] >> 4;
                let inner = Inner { family: Family::V6, traffic_class, dont_fragment: true };
                let (words, _) = head[8..].as_chunks::<8>();
                let addresses = Addresses::V6(std::array::from_fn(|at| u64::from_be_bytes(words[at])));
                (addresses, protocol, inner, total_bytes, ipv6::HEADER_BYTES)
            }
            _ => return None,
        };
        let total = usize::from(total_bytes);
        if total < header_bytes || total > packet.len() {
            return None;
        }
        // Bytes of a TCP header up to its flags, of which SYN marks a handshake.
        if protocol == Protocol::TCP && packet[..total].get(header_bytes + 13)? & 2 != 0 {
            return None;
        }
        self.key.set(way, addresses)?;
        (self.inner, self.protocol, self.total_bytes, self.at) = (inner, protocol, total_bytes, at);
        Some(())
    }
}

/// What was found out for the packet before: bursts are runs of few flows.
pub(super) struct Run {
    key: Key,
    epoch: u32,
    action: Action,
    /// For [`Action::Enter`]: the longest packet that fits into the tunnel whole, in bytes.
    room_bytes: u16,
    /// For [`Action::Forward`].
    egress: Egress,
    /// For flows whose addresses are others on the other side.
    translation: Option<Translation>,
}

impl Run {
    /// Of no flow.
    pub(super) const fn new() -> Self {
        Self {
            key: Key::NONE,
            epoch: 0,
            action: Action::General,
            room_bytes: 0,
            egress: Egress::NONE,
            translation: None,
        }
    }

    /// Another flow begins. `false`: its packets are for the general stages.
    #[inline(never)]
    fn begin(&mut self, mbuf: &Mbuf, plain: &Plain, tables: &mut Tables, cx: &Context) -> bool {
        self.key = Key::NONE;
        let now = tables.now(cx.now_us);
        let known = match tables.flows.find(&plain.key, now) {
            Some(Action::Forward(id)) if !tables.adjacencies.has(id) => None,
            known => known,
        };
        let Some(action) = known.or_else(|| learn(mbuf, plain, tables, cx)) else { return false };
        match action {
            Action::Enter(tunnel, _) => {
                self.room_bytes = tables.outbound_of(tunnel).map_or(0, |sa| sa.inner_mtu_bytes());
            }
            Action::Forward(id) => {
                let Tables { adjacencies, neighbours, .. } = tables;
                match adjacencies.egress(id, &cx.forwarding, neighbours, now) {
                    Some(egress) => self.egress = *egress,
                    // The leave stage asks for its address.
                    None => return false,
                }
            }
            Action::General | Action::Ours => {}
        }
        self.translation = match cx.forwarding.translates() {
            false => None,
            true => match Translation::of(mbuf, plain, action, &cx.forwarding) {
                Ok(translation) => translation,
                Err(_) => return false, // the general stages drop it
            },
        };
        (self.key, self.epoch, self.action) = (plain.key, now.epoch, action);
        true
    }
}

/// Has what a burst of many flows will need under way: each tunnel's place, its SA, its key, all of one kind before any of the next.
pub(super) fn warm(keys: &[Key], tables: &Tables, now_us: u64) {
    let now = tables.now(now_us);
    let mut places: ArrayVec<&Outbound, BURST_PACKETS> = ArrayVec::new();
    for key in keys {
        if let Some(Action::Enter(tunnel, _)) = tables.flows.find(key, now)
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

/// Takes a plain packet onward.
///
/// # Errors
/// The packet, unchanged: one for the general stages.
#[inline(always)] // an argument list that long goes through memory
pub(super) fn take(
    mbuf: Mbuf,
    plain: &Plain,
    run: &mut Run,
    lists: &mut Lists,
    tables: &mut Tables,
    cx: &mut Context,
) -> Result<(), Mbuf> {
    if !lists.clear.is_empty() || !lists.leaving.is_empty() {
        settle(lists, tables, cx);
    }
    let at = plain.at;
    let is_same = run.key == plain.key && run.epoch == tables.epoch();
    if !is_same && !run.begin(&mbuf, plain, tables, cx) {
        return Err(mbuf);
    }
    if run.translation.as_ref().is_some_and(|translation| !translation.takes(plain)) {
        return Err(mbuf);
    }
    match run.action {
        Action::General => Err(mbuf),
        Action::Ours => ours(mbuf, at, plain, lists, cx),
        Action::Enter(tunnel, df) => {
            let mut mbuf = mbuf;
            let bytes = plain.total_bytes;
            let packet = mbuf.data_mut().get_mut(usize::from(at)..);
            let Some(packet) = packet.filter(|_| bytes <= run.room_bytes) else { return Err(mbuf) };
            hop(packet, plain.inner.family);
            if let Some(translation) = &run.translation {
                translation.write(packet, plain, cx);
            }
            if lists.entering.is_full() {
                seal::seal(&mut lists.entering, &mut lists.leaving, tables, cx);
            }
            let dont_fragment = df.outer(plain.inner.dont_fragment);
            let inner = Inner { dont_fragment, ..plain.inner };
            let packet = Entering { mbuf, tunnel, at, bytes, inner, fit: Fit::Whole, framed: false };
            put(&mut lists.entering, packet, &mut cx.counters);
            Ok(())
        }
        Action::Forward(_) => {
            let mut mbuf = mbuf;
            if plain.total_bytes > run.egress.mtu_bytes {
                return Err(mbuf);
            }
            let Some(packet) = run.egress.frame(&mut mbuf, at, plain.total_bytes) else { return Err(mbuf) };
            hop(packet, plain.inner.family);
            if let Some(translation) = &run.translation {
                translation.write(packet, plain, cx);
            }
            cx.send_frame(mbuf, run.egress.port);
            Ok(())
        }
    }
}

/// Routes and sends what the general stages have got before.
#[cold]
fn settle(lists: &mut Lists, tables: &mut Tables, cx: &mut Context) {
    if !lists.clear.is_empty() {
        route::route(lists, tables, cx);
    }
    if !lists.leaving.is_empty() {
        leave::leave(&mut lists.leaving, &mut tables.neighbours, cx);
    }
}

/// One hop.
#[inline(always)]
fn hop(packet: &mut [u8], family: Family) {
    let left = match family {
        Family::V4 => packet.first_chunk_mut().map(ipv4::decrement_ttl),
        Family::V6 => packet.first_chunk_mut().map(ipv6::decrement_hop_limit),
    };
    debug_assert!(left.is_some_and(|left| left > 0), "a plain packet has hops left");
}

/// ESP for us, in the underlay: bare or in UDP (RFC 3948, 2).
#[inline]
fn ours(mbuf: Mbuf, at: u16, plain: &Plain, lists: &mut Lists, cx: &mut Context) -> Result<(), Mbuf> {
    let header_bytes = match plain.inner.family {
        Family::V4 => 20,
        Family::V6 => 40,
    };
    let (esp_at, end) = (at + header_bytes, at + plain.total_bytes); // both in the mbuf, and so below 64 KiB
    let sealed = match plain.protocol {
        Protocol::ESP => Sealed { mbuf, at, esp_at, end, in_udp: false },
        Protocol::UDP => {
            let datagram = mbuf.data().get(usize::from(esp_at)..usize::from(end)).unwrap_or_default();
            match local::esp_in_udp(datagram) {
                Some((before, bytes)) => {
                    Sealed { mbuf, at, esp_at: esp_at + before, end: esp_at + bytes, in_udp: true }
                }
                None => return Err(mbuf),
            }
        }
        _ => return Err(mbuf),
    };
    put(&mut lists.sealed, sealed, &mut cx.counters);
    Ok(())
}

/// The first packet of a flow, or the first one after a change: asks the tables, and remembers the answer.
#[cold]
fn learn(mbuf: &Mbuf, plain: &Plain, tables: &mut Tables, cx: &Context) -> Option<Action> {
    let packet = mbuf.data().get(usize::from(plain.at)..).unwrap_or_default();
    let (source, destination) = addresses(packet, plain.inner.family)?;
    let now = tables.now(cx.now_us);
    let is_up = |id| tables.outbound_of(id).is_some();
    let action = match decide(plain.key.way(), source, destination, &cx.forwarding, is_up) {
        Decision::General => Action::General,
        Decision::Ours => Action::Ours,
        Decision::Enter(tunnel) => match cx.forwarding.tunnel(tunnel) {
            Some(known) => Action::Enter(tunnel, known.dont_fragment),
            None => Action::General,
        },
        Decision::Forward(interface, next_hop) => {
            Action::Forward(tables.adjacencies.adopt(interface, next_hop, plain.inner.family))
        }
    };
    tables.flows.learn(&plain.key, action, now);
    Some(action)
}

fn addresses(packet: &[u8], family: Family) -> Option<(IpAddr, IpAddr)> {
    match family {
        Family::V4 => {
            let [.., a, b, c, d, e, f, g, h] = *packet.first_chunk::<{ ipv4::HEADER_BYTES }>()?;
            Some(([a, b, c, d].into(), [e, f, g, h].into()))
        }
        Family::V6 => {
            let (source, destination) = (packet.get(8..24)?, packet.get(24..40)?);
            let address = |bytes: &[u8]| bytes.first_chunk::<16>().map(|bytes| IpAddr::from(*bytes));
            Some((address(source)?, address(destination)?))
        }
    }
}

const DONT_FRAGMENT: u16 = 0x4000;
