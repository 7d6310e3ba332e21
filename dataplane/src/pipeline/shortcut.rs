//! Shortcut: a packet of a known flow goes from its frame (or out of its tunnel) to the list that the route stage would have put it
//! on, by one look into the [`FlowTable`](crate::flow::FlowTable). Called by the receive and open stages for every packet, before anything general.
//!
//! It takes plain packets only: IPv4 without options, IPv6 without extension headers, whole, hops left, no TCP handshake (its MSS may have to be
//! lowered), small enough. Whatever it does not take goes to the general stages unchanged, and those drop, answer or cut it. It
//! decides nothing by itself: on a flow's first packet [`decide`] asks the same functions as the general stages.
//!
//! Order: what the general stages have got before is routed before the next packet of a known flow goes on.

use std::net::IpAddr;

use dpdk_sys::Mbuf;

use super::receive::{addresses_v4, addresses_v6};
use super::{Context, Lists, Tables, leave, local, route, seal, trim_to};
use crate::esp::Inner;
use crate::flow::{Action, Addresses, Egress, Key};
use crate::forwarding::{Forwarding, InterfaceId, NextHop, TunnelId, VrfId};
use crate::header::{Protocol, be16, checksum, ipv4, ipv6};
use crate::icmp::Delivery;
use crate::packet::{Entering, Family, Origin, put};
use crate::pmtu::Fit;
use crate::selector::Flow;

/// The way that a packet came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// On an interface, in a frame to our MAC address.
    Interface(InterfaceId),
    /// Out of a tunnel, authentic.
    Tunnel(TunnelId),
}

/// A plain packet, by its header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plain {
    key: Key,
    way: Way,
    protocol: Protocol,
    inner: Inner,
    /// By its own header, in bytes.
    total_bytes: u16,
}

impl Plain {
    /// Reads an IP header. `None`: not a plain packet (or a broken one: the general stages will find out).
    #[inline(always)] // as a call, its result is read back from memory in other pieces than it was written: 20 cycles a packet
    pub(super) fn new(packet: &[u8], way: Way, checksum_known: bool) -> Option<Self> {
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
        let key = match way {
            Way::Interface(interface) => Key::from_interface(interface, addresses),
            Way::Tunnel(tunnel) => Key::from_tunnel(tunnel, addresses)?,
        };
        Some(Self { key, way, protocol, inner, total_bytes })
    }

    /// Where the flow table would have it.
    #[inline]
    pub(super) fn key(&self) -> &Key {
        &self.key
    }
}

/// The tunnel that the last packet entered, and what fits into it: bursts are runs of few flows.
#[derive(Default)]
pub(super) struct Run {
    entered: Option<(TunnelId, u16)>,
}

/// Takes a plain packet onward, whose IP header is at `link_bytes` of the mbuf's data.
///
/// # Errors
/// The packet, unchanged: one for the general stages.
#[inline]
pub(super) fn take(
    mbuf: Mbuf,
    link_bytes: u16,
    plain: &Plain,
    run: &mut Run,
    lists: &mut Lists,
    tables: &mut Tables,
    cx: &mut Context,
) -> Result<(), Mbuf> {
    if !lists.clear.is_empty() {
        route::route(lists, tables, cx);
    }
    if !lists.leaving.is_empty() {
        leave::leave(&mut lists.leaving, &mut tables.neighbours, cx);
    }
    let now = tables.now(cx.now_us);
    if tables.flows.find(&plain.key, now).is_none() {
        learn(&mbuf, link_bytes, plain, tables, cx);
    }
    let Some(flow) = tables.flows.find(&plain.key, now) else { return Err(mbuf) };
    match flow.action {
        Action::General => Err(mbuf),
        Action::Ours => ours(mbuf, link_bytes, plain, lists, cx),
        Action::Enter(tunnel, df) => {
            let room = match run.entered {
                Some((last, room)) if last == tunnel => Some(room),
                _ => tables.outbound_of(tunnel).map(|sa| sa.inner_mtu_bytes()),
            };
            let Some(room) = room.filter(|&room| plain.total_bytes <= room) else { return Err(mbuf) };
            run.entered = Some((tunnel, room));
            if lists.entering.is_full() {
                seal::seal(&mut lists.entering, &mut lists.leaving, tables, cx);
            }
            let mbuf = hop(mbuf, link_bytes, plain)?;
            let dont_fragment = df.outer(plain.inner.dont_fragment);
            let inner = Inner { dont_fragment, ..plain.inner };
            let packet = Entering { mbuf, tunnel, inner, fit: Fit::Whole };
            put(&mut lists.entering, packet, &mut cx.counters);
            Ok(())
        }
        Action::Forward => {
            if plain.total_bytes > flow.egress.mtu_bytes {
                return Err(mbuf);
            }
            let mbuf = hop(mbuf, link_bytes, plain)?;
            cx.send_by(mbuf, &flow.egress);
            Ok(())
        }
    }
}

/// Link header and padding off, and one hop.
#[inline]
fn hop(mut mbuf: Mbuf, link_bytes: u16, plain: &Plain) -> Result<Mbuf, Mbuf> {
    if mbuf.adjust(link_bytes).is_none() {
        return Err(mbuf);
    }
    trim_to(&mut mbuf, usize::from(plain.total_bytes));
    let data = mbuf.data_mut();
    let left = match plain.inner.family {
        Family::V4 => data.first_chunk_mut().map(ipv4::decrement_ttl),
        Family::V6 => data.first_chunk_mut().map(ipv6::decrement_hop_limit),
    };
    debug_assert!(left.is_some_and(|left| left > 0), "a plain packet has hops left");
    Ok(mbuf)
}

/// ESP for us, in the underlay: bare or in UDP (RFC 3948, 2).
fn ours(
    mut mbuf: Mbuf,
    link_bytes: u16,
    plain: &Plain,
    lists: &mut Lists,
    cx: &mut Context,
) -> Result<(), Mbuf> {
    let header_bytes = match plain.inner.family {
        Family::V4 => ipv4::HEADER_BYTES,
        Family::V6 => ipv6::HEADER_BYTES,
    };
    let total = usize::from(plain.total_bytes);
    let packet = mbuf.data().get(usize::from(link_bytes)..).and_then(|packet| packet.get(..total));
    let payload = packet.and_then(|packet| packet.get(header_bytes..)).unwrap_or_default();
    let at = match plain.protocol {
        Protocol::ESP => Some((header_bytes, total, false)),
        Protocol::UDP => {
            local::esp_in_udp(payload).map(|(at, end)| (header_bytes + at, header_bytes + end, true))
        }
        _ => None,
    };
    let Some((esp_at, end, in_udp)) = at else { return Err(mbuf) };
    if mbuf.adjust(link_bytes).is_none() {
        return Err(mbuf);
    }
    trim_to(&mut mbuf, end);
    local::sealed(mbuf, esp_at, in_udp, lists, cx);
    Ok(())
}

/// The first packet of a flow, or the first one after a change: asks the tables, and remembers the answer.
#[cold]
fn learn(mbuf: &Mbuf, link_bytes: u16, plain: &Plain, tables: &mut Tables, cx: &Context) {
    let packet = mbuf.data().get(usize::from(link_bytes)..).unwrap_or_default();
    let Some((source, destination)) = addresses(packet, plain.inner.family) else { return };
    let now = tables.now(cx.now_us);
    let is_up = |id| tables.outbound_of(id).is_some();
    let (action, egress) = match decide(plain.way, source, destination, &cx.forwarding, is_up) {
        Decision::General => (Action::General, None),
        Decision::Ours => (Action::Ours, None),
        Decision::Enter(tunnel) => match cx.forwarding.tunnel(tunnel) {
            Some(known) => (Action::Enter(tunnel, known.dont_fragment), None),
            None => (Action::General, None),
        },
        Decision::Forward(interface, next_hop) => {
            let (forwarding, neighbours) = (&cx.forwarding, &mut tables.neighbours);
            match Egress::find(interface, next_hop, plain.inner.family, forwarding, neighbours, now) {
                Some(egress) => (Action::Forward, Some(egress)),
                // Its address is not known yet: the leave stage asks, and nothing is worth remembering.
                None => return,
            }
        }
    };
    tables.flows.learn(&plain.key, action, egress, now);
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

/// What addresses alone decide about a plain packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    /// Not they alone, or to drop it.
    General,
    /// It is for us, in the underlay.
    Ours,
    /// It goes into this tunnel, whatever its protocol and ports.
    Enter(TunnelId),
    /// It goes to this neighbour.
    Forward(InterfaceId, IpAddr),
}

fn decide(
    way: Way,
    source: IpAddr,
    destination: IpAddr,
    forwarding: &Forwarding,
    is_up: impl Fn(TunnelId) -> bool,
) -> Decision {
    // Protocol and ports do not matter where selectors are asked that look at addresses only, and ICMP errors may only do more.
    let protocol = Protocol::UDP;
    let flow = Flow { source, destination, protocol, source_port: None, destination_port: None };
    if !may_be_forwarded(source, destination) {
        return Decision::General;
    }
    let (vrf, origin) = match way {
        Way::Interface(id) => match forwarding.interface(id) {
            Some(interface) if interface.vrf == VrfId::UNDERLAY => {
                return match forwarding.route_from(id, destination) {
                    NextHop::Local(_) => Decision::Ours,
                    _ => Decision::General,
                };
            }
            Some(interface) => (interface.vrf, Origin::Interface(id, Delivery::Unicast)),
            None => return Decision::General,
        },
        Way::Tunnel(id) => match forwarding.tunnel_of_inbound(id, &flow) {
            Ok(tunnel) if tunnel.selectors.look_at_addresses_only() => (tunnel.vrf, Origin::Tunnel(id)),
            _ => return Decision::General,
        },
    };
    match route::next_hop(forwarding, vrf, origin, &flow) {
        Ok(NextHop::Connected(interface)) => Decision::Forward(interface, destination),
        Ok(NextHop::Via(interface, next_hop)) => Decision::Forward(interface, next_hop),
        Ok(NextHop::Tunnel(routed)) => enter(routed, vrf, &flow, forwarding, is_up),
        _ => Decision::General,
    }
}

/// The tunnel that takes the flow, provided that all asked before it and itself look at addresses only, and that one is up.
fn enter(
    routed: TunnelId,
    vrf: VrfId,
    flow: &Flow,
    forwarding: &Forwarding,
    is_up: impl Fn(TunnelId) -> bool,
) -> Decision {
    let mut next = Some(routed);
    while let Some(id) = next {
        let Some(tunnel) = forwarding.tunnel(id) else { return Decision::General };
        if !tunnel.selectors.look_at_addresses_only() {
            return Decision::General;
        }
        if tunnel.selectors.matches_outbound(flow) && is_up(id) {
            return if tunnel.vrf == vrf { Decision::Enter(id) } else { Decision::General };
        }
        next = tunnel.alternative;
    }
    Decision::General
}

fn may_be_forwarded(source: IpAddr, destination: IpAddr) -> bool {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => addresses_v4(source, destination).is_ok(),
        (IpAddr::V6(source), IpAddr::V6(destination)) => addresses_v6(source, destination).is_ok(),
        _ => false,
    }
}

const DONT_FRAGMENT: u16 = 0x4000;

#[cfg(test)]
mod tests;
