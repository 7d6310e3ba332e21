//! Route stage: where a clear packet goes, and whether it may and fits. Drops that a sender should hear of make an ICMP
//! error, which is itself routed.

use std::net::IpAddr;

use dpdk_sys::Burst;

use super::{Context, Lists, Tables, bytes_of, described_v4, leave, local, push_own, seal, source};
use crate::counter::Counter;
use crate::esp::Inner;
use crate::forwarding::{
    Entrance, Forwarding, InterfaceId, MssClamp, NextHop, TunnelId, VrfId, is_link_local,
};
use crate::header::Protocol;
use crate::header::icmp::{self, Icmp};
use crate::header::icmpv6::{self, Icmpv6};
use crate::header::ipv4;
use crate::header::ipv6;
use crate::icmp::{Delivery, ERROR_V4_BYTES, ERROR_V6_BYTES, error_v4, error_v6};
use crate::message::Event;
use crate::nat;
use crate::packet::{Batch, Clear, Entering, Family, Leaving, Origin, discard, put};
use crate::pmtu::{self, Fit};
use crate::sa::Direction;
use crate::selector::Flow;

/// What an ICMP error tells, for both families.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told {
    v4: Icmp,
    v6: Icmpv6,
}

const UNREACHABLE: Told = told(icmp::Kind::NETWORK_UNREACHABLE, icmpv6::Kind::NO_ROUTE, 0);
const PROHIBITED: Told = told(icmp::Kind::PROHIBITED, icmpv6::Kind::PROHIBITED, 0);
/// Nothing listens at this port of ours (RFC 1122, 4.1.3.1; RFC 4443, 3.1).
pub(super) const PORT_UNREACHABLE: Told =
    told(icmp::Kind::PORT_UNREACHABLE, icmpv6::Kind::PORT_UNREACHABLE, 0);
/// A link-local source and a destination beyond its link (RFC 4443, 3.1; RFC 4007, 9). Of IPv6 alone.
const BEYOND_SCOPE: Told = told(icmp::Kind::PROHIBITED, icmpv6::Kind::BEYOND_SCOPE, 0);
const TTL_EXCEEDED: Told = told(icmp::Kind::TTL_EXCEEDED, icmpv6::Kind::HOP_LIMIT_EXCEEDED, 0);

const fn told(v4: icmp::Kind, v6: icmpv6::Kind, word: u32) -> Told {
    Told { v4: Icmp { kind: v4, word }, v6: Icmpv6 { kind: v6, word } }
}

pub(super) fn route(lists: &mut Lists, tables: &mut Tables, cx: &mut Context) {
    let Lists { clear, errors, entering, leaving, .. } = lists;
    for packet in clear.drain(..) {
        one(packet, errors, entering, leaving, tables, cx);
    }
    if errors.is_empty() {
        return;
    }
    let mut again = std::mem::take(errors);
    for packet in again.drain(..) {
        one(packet, errors, entering, leaving, tables, cx);
    }
}

fn one(
    mut packet: Clear,
    errors: &mut Batch<Clear>,
    entering: &mut Batch<Entering>,
    leaving: &mut Batch<Leaving>,
    tables: &mut Tables,
    cx: &mut Context,
) {
    if leaving.is_full() {
        leave::leave(leaving, &mut tables.neighbours, cx);
    }
    if let Origin::Tunnel(tunnel) = packet.origin {
        clamp_arrived(&mut packet, tunnel, tables, cx);
    }
    let next = match next_hop(&cx.forwarding, packet.vrf, packet.origin, &packet.flow) {
        Ok(NextHop::Local(_)) if packet.flow.protocol == Protocol::UDP => {
            return local::refuse_datagram(packet, errors, cx);
        }
        Ok(NextHop::Local(_)) => {
            let Some(answer) = local::echo(packet, cx) else { return };
            let (source, destination) = (answer.flow.destination, answer.flow.source);
            packet = Clear { origin: Origin::Ourselves(answer.origin.link()), ..answer };
            (packet.flow.source, packet.flow.destination) = (source, destination);
            next_hop(&cx.forwarding, packet.vrf, packet.origin, &packet.flow)
        }
        next => next,
    };
    match next {
        Err(reason @ Counter::Ipv6LinkLocal) if !is_link_local(packet.flow.destination) => {
            refuse(packet, reason, BEYOND_SCOPE, errors, cx);
        }
        Err(reason) => discard(packet.mbuf, reason, &mut cx.counters),
        Ok(NextHop::Local(_)) => discard(packet.mbuf, Counter::LocalNotServed, &mut cx.counters),
        Ok(NextHop::Blackhole) => discard(packet.mbuf, Counter::RouteBlackhole, &mut cx.counters),
        Ok(NextHop::Unreachable) => refuse(packet, Counter::NoRoute, UNREACHABLE, errors, cx),
        Ok(NextHop::CircuitDown) => refuse(packet, Counter::CircuitDown, UNREACHABLE, errors, cx),
        Ok(NextHop::Connected(interface)) => {
            let next_hop = packet.flow.destination;
            forward(packet, interface, next_hop, errors, leaving, cx);
        }
        Ok(NextHop::Via(interface, next_hop)) => forward(packet, interface, next_hop, errors, leaving, cx),
        Ok(routed @ (NextHop::Tunnel(_) | NextHop::Group(_))) => {
            enter(packet, routed, errors, entering, leaving, tables, cx);
        }
    }
}

/// The route, and the check that nobody pretends to be somebody else: neither in the packet's network nor in the one that it goes to.
pub(super) fn next_hop(
    forwarding: &Forwarding,
    vrf: VrfId,
    origin: Origin,
    flow: &Flow,
) -> Result<NextHop, Counter> {
    if let Origin::Interface(on, _) = origin {
        source::check_clear(forwarding, vrf, on, flow)?;
    }
    if flow.is_link_local() {
        return on_link(forwarding, origin, flow.destination);
    }
    let next = forwarding.route(vrf, flow.destination);
    if forwarding.has_circuits() {
        source::check_transit(forwarding, origin, next)?;
    }
    match forwarding.network_of(next) {
        Some(to) if to != vrf => source::check_crossing(forwarding, vrf, to, origin, flow).map(|()| next),
        _ => Ok(next),
    }
}

/// A link-local address means something on its link only (RFC 4291, 2.5.6; RFC 4007, 9): what has one is for us, or our answer to a
/// neighbour there, or goes nowhere.
fn on_link(forwarding: &Forwarding, origin: Origin, destination: IpAddr) -> Result<NextHop, Counter> {
    let link = origin.link().ok_or(Counter::Ipv6LinkLocal)?;
    match (origin, forwarding.route_from(link, destination)) {
        (_, next @ NextHop::Local(_)) => Ok(next),
        (Origin::Ourselves(_), next @ NextHop::Connected(on)) if on == link => Ok(next),
        _ => Err(Counter::Ipv6LinkLocal),
    }
}

/// The reason to drop a packet that exceeds the bandwidth of a circuit's gateway: of the circuit that it came from, or goes to.
fn beyond_circuit(packet: &Clear, to: InterfaceId, cx: &Context) -> Option<Counter> {
    let bytes = u16::try_from(packet.mbuf.len_bytes()).unwrap_or(u16::MAX);
    let passes = |on: InterfaceId, direction| {
        cx.forwarding.circuit(on).is_none_or(|circuit| circuit.pass(direction, bytes, cx.now_us))
    };
    match packet.origin {
        Origin::Interface(from, _) if !passes(from, Direction::Inbound) => Some(Counter::SkuBandwidthInbound),
        _ => (!passes(to, Direction::Outbound)).then_some(Counter::SkuBandwidthOutbound),
    }
}

/// In clear text to a neighbour.
fn forward(
    mut packet: Clear,
    interface: InterfaceId,
    next_hop: IpAddr,
    errors: &mut Batch<Clear>,
    leaving: &mut Batch<Leaving>,
    cx: &mut Context,
) {
    let Some(mtu_bytes) = cx.forwarding.interface(interface).map(|interface| interface.mtu_bytes) else {
        return discard(packet.mbuf, Counter::InterfaceUnknown, &mut cx.counters);
    };
    if let Err(reason) = take_hop(&mut packet) {
        return refuse(packet, reason, TTL_EXCEEDED, errors, cx);
    }
    let fits = packet.mbuf.len_bytes() <= u32::from(mtu_bytes);
    // IPv6 is cut by whoever made the packet (RFC 8200, 4.5): by the leave stage, if that is us.
    let may_be_cut = match packet.inner.family {
        Family::V4 => !packet.inner.dont_fragment,
        Family::V6 => matches!(packet.origin, Origin::Ourselves(_)),
    };
    if !fits && !may_be_cut {
        return refuse(packet, Counter::TooBig, too_big(mtu_bytes), errors, cx);
    }
    if cx.forwarding.has_circuits()
        && let Some(reason) = beyond_circuit(&packet, interface, cx)
    {
        return discard(packet.mbuf, reason, &mut cx.counters);
    }
    put(leaving, Leaving { mbuf: packet.mbuf, interface, next_hop }, &mut cx.counters);
}

/// Into a tunnel, whole or in fragments.
fn enter(
    mut packet: Clear,
    routed: NextHop,
    errors: &mut Batch<Clear>,
    entering: &mut Batch<Entering>,
    leaving: &mut Batch<Leaving>,
    tables: &mut Tables,
    cx: &mut Context,
) {
    let forwarding = std::sync::Arc::clone(&cx.forwarding);
    let is_up = |id| tables.outbound_of(id).is_some();
    let Entrance { id, tunnel, flow } = match forwarding.tunnel_for(routed, &packet.flow, is_up) {
        Ok(entrance) if forwarding.may_enter(packet.vrf, entrance.tunnel) => entrance,
        Ok(_) => return refuse(packet, Counter::SelectorOutbound, PROHIBITED, errors, cx),
        Err(reason) => return refuse(packet, reason, PROHIBITED, errors, cx),
    };
    let Some(inner_mtu_bytes) = tables.outbound_of(id).map(|sa| sa.inner_mtu_bytes()) else {
        ask_for(id, &flow, &mut tables.asked_s, cx);
        return refuse(packet, Counter::TunnelDown, UNREACHABLE, errors, cx);
    };
    if let Err(reason) = take_hop(&mut packet) {
        return refuse(packet, reason, TTL_EXCEEDED, errors, cx);
    }
    if packet.flow.protocol == Protocol::TCP {
        clamp(&mut packet, tunnel.mss_clamp, inner_mtu_bytes, cx);
    }
    let bytes = bytes_of(&packet.mbuf);
    let fit = match packet.inner.family {
        Family::V4 => {
            let bytes = u16::try_from(bytes).unwrap_or(u16::MAX);
            pmtu::fit_v4(bytes, packet.inner.dont_fragment, inner_mtu_bytes)
        }
        Family::V6 => match pmtu::fit_v6(bytes, inner_mtu_bytes) {
            // Cut by whoever made the packet (RFC 8200, 4.5).
            Fit::TooBig(mtu_bytes) if matches!(packet.origin, Origin::Ourselves(_)) => {
                Fit::FragmentInner(mtu_bytes)
            }
            fit => fit,
        },
    };
    let dont_fragment = fit != Fit::FragmentOuter && tunnel.dont_fragment.outer(packet.inner.dont_fragment);
    let inner = Inner { dont_fragment, ..packet.inner };
    let cut_to_bytes = match fit {
        Fit::TooBig(mtu_bytes) => {
            return refuse(packet, Counter::TooBig, too_big(mtu_bytes), errors, cx);
        }
        Fit::FragmentInner(mtu_bytes) => Some(mtu_bytes),
        Fit::Whole | Fit::InSegments | Fit::FragmentOuter => None,
    };
    // Last, so that whatever the sender is told is about the packet that it knows; and before it is cut.
    if !tunnel.nat.is_empty() {
        match nat::translate(packet.mbuf.data_mut(), &tunnel.nat, Direction::Outbound, cx.now_us) {
            Ok(translated) => {
                cx.counters.add(Counter::NatTranslated, translated.has_changed.into());
                // Of a pool's addresses the selectors were asked about one.
                let is_allowed = !translated.is_dynamic
                    || described_v4(packet.mbuf.data()).is_some_and(|flow| forwarding.takes(id, &flow));
                if !is_allowed {
                    return discard(packet.mbuf, Counter::SelectorOutbound, &mut cx.counters);
                }
            }
            Err(reason) => return refuse(packet, reason, PROHIBITED, errors, cx),
        }
    }
    let Some(mtu_bytes) = cut_to_bytes else {
        if entering.is_full() {
            seal::seal(entering, leaving, tables, cx);
        }
        let sa = tables.outbound_of(id);
        let Some((mbuf, fit)) = cx.sealable(packet.mbuf, fit, sa) else { return };
        return put(entering, Entering::whole(mbuf, id, inner, fit), &mut cx.counters);
    };
    let mut pieces = Burst::new();
    if !cx.cut(packet.mbuf, mtu_bytes, &mut pieces) {
        return;
    }
    for mbuf in pieces.drain() {
        if entering.is_full() {
            seal::seal(entering, leaving, tables, cx);
        }
        // No piece is shorter than the family's least MTU: through a narrower tunnel its ESP packet is cut.
        let (inner, fit) = match mbuf.data().len() <= usize::from(inner_mtu_bytes) {
            true => (inner, Fit::Whole),
            false => (Inner { dont_fragment: false, ..inner }, Fit::FragmentOuter),
        };
        put(entering, Entering::whole(mbuf, id, inner, fit), &mut cx.counters);
    }
}

/// Takes one hop off, but for packets that we made.
fn take_hop(packet: &mut Clear) -> Result<(), Counter> {
    if matches!(packet.origin, Origin::Ourselves(_)) {
        return Ok(());
    }
    let data = packet.mbuf.data_mut();
    let (left, reason) = match packet.inner.family {
        Family::V4 => (data.first_chunk_mut().map_or(0, ipv4::decrement_ttl), Counter::Ipv4TtlExpired),
        Family::V6 => {
            (data.first_chunk_mut().map_or(0, ipv6::decrement_hop_limit), Counter::Ipv6HopLimitExpired)
        }
    };
    if left == 0 { Err(reason) } else { Ok(()) }
}

/// Lowers the MSS of TCP handshakes that came out of a tunnel to what fits into it the other way.
fn clamp_arrived(packet: &mut Clear, id: TunnelId, tables: &Tables, cx: &mut Context) {
    if packet.flow.protocol != Protocol::TCP {
        return;
    }
    let Some(mss_clamp) = cx.forwarding.tunnel(id).map(|tunnel| tunnel.mss_clamp) else { return };
    // Without an outbound SA nobody knows what fits; what answers will be dropped anyway.
    if let Some(inner_mtu_bytes) = tables.outbound_of(id).map(|sa| sa.inner_mtu_bytes()) {
        clamp(packet, mss_clamp, inner_mtu_bytes, cx);
    }
}

/// Lowers the MSS of a TCP handshake to what fits into a tunnel.
fn clamp(packet: &mut Clear, mss_clamp: MssClamp, inner_mtu_bytes: u16, cx: &mut Context) {
    let fits = match packet.inner.family {
        Family::V4 => pmtu::mss_v4_bytes(inner_mtu_bytes),
        Family::V6 => pmtu::mss_v6_bytes(inner_mtu_bytes),
    };
    let mss_bytes = match mss_clamp {
        MssClamp::Off => return,
        MssClamp::Auto => fits,
        MssClamp::Bytes(bytes) => bytes.min(fits),
    };
    let clamped = match packet.inner.family {
        Family::V4 => pmtu::clamp_mss_v4(packet.mbuf.data_mut(), mss_bytes),
        Family::V6 => pmtu::clamp_mss_v6(packet.mbuf.data_mut(), mss_bytes),
    };
    if clamped {
        cx.counters.count(Counter::MssClamped);
    }
}

/// Asks control for a tunnel's SA, once a second. `flow` is the packet as it would be in the tunnel.
fn ask_for(tunnel: TunnelId, flow: &Flow, asked_s: &mut [u32], cx: &mut Context) {
    let now_s = cx.now_s().wrapping_add(1); // 0 is "never"
    let Some(asked) = usize::try_from(tunnel.0).ok().and_then(|at| asked_s.get_mut(at)) else { return };
    if *asked != now_s {
        *asked = now_s;
        let (source, destination) = (flow.source, flow.destination);
        cx.tell(Event::NoSa { tunnel, source, destination });
    }
}

/// Drops a packet and tells its sender, if that is allowed and not too often.
pub(super) fn refuse(
    packet: Clear,
    reason: Counter,
    told: Told,
    errors: &mut Batch<Clear>,
    cx: &mut Context,
) {
    if !matches!(packet.origin, Origin::Ourselves(_))
        && (errors.is_full() || !cx.error_limit.take(cx.now_us) || !answer(&packet, told, errors, cx))
    {
        cx.counters.count(Counter::IcmpErrorSuppressed);
    }
    discard(packet.mbuf, reason, &mut cx.counters);
}

fn answer(packet: &Clear, told: Told, errors: &mut Batch<Clear>, cx: &mut Context) -> bool {
    let Some(source) = own_address(packet, cx) else { return false };
    let delivery = match packet.origin {
        Origin::Interface(_, delivery) => delivery,
        Origin::Tunnel(_) | Origin::Ourselves(_) => Delivery::Unicast,
    };
    let (mut v4, mut v6) = ([0; ERROR_V4_BYTES], [0; ERROR_V6_BYTES]);
    let offending = packet.mbuf.data();
    let error = match source {
        IpAddr::V4(source) => {
            error_v4(offending, delivery, told.v4, source, &mut v4).map(|bytes| &v4[..bytes])
        }
        IpAddr::V6(source) => {
            error_v6(offending, delivery, told.v6, source, &mut v6).map(|bytes| &v6[..bytes])
        }
    };
    let Some(error) = error else { return false };
    let Some(mbuf) = cx.pool.take_copy(error) else {
        cx.counters.count(Counter::NoBuffer);
        return false;
    };
    cx.counters.count(Counter::Originated);
    cx.counters.count(Counter::IcmpErrorSent);
    push_own(mbuf, packet.vrf, packet.origin.link(), errors, cx);
    true
}

/// Our address towards the sender: the one that the packet was sent to, else of the interface where it came from, else any of ours in its
/// network.
fn own_address(packet: &Clear, cx: &Context) -> Option<IpAddr> {
    let (sender, destination) = (packet.flow.source, packet.flow.destination);
    let to = match packet.origin {
        Origin::Interface(interface, _) => cx.forwarding.route_from(interface, destination),
        Origin::Tunnel(_) | Origin::Ourselves(_) => cx.forwarding.route(packet.vrf, destination),
    };
    if matches!(to, NextHop::Local(_)) {
        return Some(destination);
    }
    if let Origin::Interface(id, _) = packet.origin {
        return cx.forwarding.interface(id)?.source_towards(sender);
    }
    let mut interfaces = cx.forwarding.interfaces().filter(|(_, interface)| interface.vrf == packet.vrf);
    interfaces.find_map(|(_, interface)| {
        interface.addresses.iter().map(ipnet::IpNet::addr).find(|own| own.is_ipv4() == sender.is_ipv4())
    })
}

fn too_big(mtu_bytes: u16) -> Told {
    told(icmp::Kind::FRAGMENTATION_NEEDED, icmpv6::Kind::PACKET_TOO_BIG, u32::from(mtu_bytes))
}
