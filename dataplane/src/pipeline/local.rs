//! Packets to our own addresses: ESP (bare and in UDP), IKE, keepalives and path MTU messages in the underlay; echo requests
//! everywhere. Everything else is dropped; a datagram's sender is told that nothing listens.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use dpdk_sys::{Mbuf, Reassembly, tsc_cycles};

use super::route::{self, PORT_UNREACHABLE};
use super::{Context, Lists, bytes_of, push_own, trim_to, view_v4, view_v6};
use crate::counter::Counter;
use crate::esp;
use crate::forwarding::{InterfaceId, VrfId};
use crate::header::Protocol;
use crate::header::checksum::Sum;
use crate::header::icmp::IcmpView;
use crate::header::icmpv6::Icmpv6View;
use crate::header::ipv4::{self, Ipv4View};
use crate::header::ipv6::Ipv6View;
use crate::header::udp::{self, UdpChecksum, UdpView};
use crate::icmp;
use crate::message::{Event, Punt};
use crate::packet::{Batch, Clear, Family, Sealed, describe_v4, describe_v6, discard, put};
use crate::pmtu::{TooBig, one_segment};

/// IKE (RFC 7296, 2), and IKE beside ESP (RFC 3948).
const IKE_PORT: u16 = 500;
const NAT_T_PORT: u16 = 4500;
/// In front of IKE on port 4500 (RFC 3948, 2.2): no ESP packet has SPI 0.
const NON_ESP_MARKER: [u8; 4] = [0; 4];
const KEEPALIVE: u8 = 0xff;

/// A packet from the underlay to one of our addresses there.
pub(super) fn underlay(packet: Clear, interface: InterfaceId, lists: &mut Lists, cx: &mut Context) {
    if !packet.mbuf.is_contiguous() {
        return in_segments(packet, interface, lists, cx);
    }
    let header_bytes = header_bytes(&packet);
    if is_fragment(&packet) {
        if let Some(whole) = reassemble(packet, cx) {
            underlay(whole, interface, lists, cx);
        }
        return;
    }
    match packet.flow.protocol {
        Protocol::ESP => sealed(packet.mbuf, header_bytes, false, lists, cx),
        Protocol::UDP => datagram(packet, header_bytes, interface, lists, cx),
        Protocol::ICMP | Protocol::ICMPV6 => control(packet, lists, cx),
        _ => discard(packet.mbuf, Counter::LocalNotServed, &mut cx.counters),
    }
}

/// The same of a packet in several buffers: ESP stays in them, all else is brought together first.
#[cold]
fn in_segments(packet: Clear, interface: InterfaceId, lists: &mut Lists, cx: &mut Context) {
    let at = header_bytes(&packet);
    let esp = match packet.flow.protocol {
        _ if is_fragment(&packet) => None,
        Protocol::ESP => Some((at, bytes_of(&packet.mbuf))),
        Protocol::UDP => {
            let front = packet.mbuf.data().get(at..).unwrap_or_default();
            let udp = UdpView::of_front(front, bytes_of(&packet.mbuf).saturating_sub(at));
            let esp = udp.ok().and_then(|udp| esp_of(&udp));
            esp.map(|(esp_at, end)| (at + usize::from(esp_at), at + usize::from(end)))
        }
        _ => None,
    };
    let Some((esp_at, end)) = esp else {
        if let Some(mbuf) = cx.whole(packet.mbuf) {
            underlay(Clear { mbuf, ..packet }, interface, lists, cx);
        }
        return;
    };
    let mut mbuf = packet.mbuf;
    trim_to(&mut mbuf, end);
    sealed(mbuf, esp_at, packet.flow.protocol == Protocol::UDP, lists, cx);
}

fn is_fragment(packet: &Clear) -> bool {
    match packet.inner.family {
        Family::V4 => view_v4(&packet.mbuf).is_ok_and(|view| view.is_fragment()),
        Family::V6 => view_v6(&packet.mbuf).is_ok_and(|view| view.fragment().is_some()),
    }
}

/// Collects fragments until a packet is whole. It comes back as a packet that is no fragment, or not at all.
fn reassemble(mut packet: Clear, cx: &mut Context) -> Option<Clear> {
    let now_cycles = tsc_cycles();
    cx.counters.count(Counter::FragmentsHeld);
    if packet.vrf != VrfId::UNDERLAY {
        set_destination(packet.mbuf.data_mut(), stand_in(packet.vrf, packet.flow.destination));
    }
    let fragment_at = Ipv6View::new(packet.mbuf.data()).ok().and_then(|view| view.fragment()).map(|f| f.at);
    let outcome = match (packet.inner.family, fragment_at.map(u16::try_from)) {
        (Family::V4, _) => cx.reassemblers.of(packet.vrf).feed_ipv4(packet.mbuf, 0, now_cycles),
        (Family::V6, Some(Ok(at))) => {
            cx.reassemblers.of(packet.vrf).feed_ipv6(packet.mbuf, 0, at, now_cycles)
        }
        (Family::V6, _) => Reassembly::Malformed(packet.mbuf),
    };
    cx.count_lost_fragments();
    let mut whole = match outcome {
        Reassembly::Pending => return None,
        Reassembly::Malformed(mbuf) => {
            discard(mbuf, Counter::FragmentMalformed, &mut cx.counters);
            return None;
        }
        Reassembly::Complete(whole) => whole,
    };
    set_destination(whole.data_mut(), packet.flow.destination);
    cx.counters.add(Counter::FragmentsMerged, whole.segments().count() as u64);
    cx.counters.count(Counter::Reassembled);
    let mbuf = match one_segment(whole, &cx.pool, &cx.whole_pool) {
        Ok(mbuf) => mbuf,
        Err((reason, whole)) => {
            discard(whole, reason, &mut cx.counters);
            return None;
        }
    };
    let described = match packet.inner.family {
        Family::V4 => {
            Ipv4View::with_checksum_known(mbuf.data()).map(|view| (describe_v4(&view), view.is_fragment()))
        }
        Family::V6 => Ipv6View::new(mbuf.data()).map(|view| (describe_v6(&view), view.fragment().is_some())),
    };
    match described {
        Ok(((inner, flow), false)) => {
            Some(Clear { mbuf, vrf: packet.vrf, origin: packet.origin, inner, flow })
        }
        _ => {
            discard(mbuf, Counter::FragmentMalformed, &mut cx.counters);
            None
        }
    }
}

/// DPDK tells incomplete packets apart by addresses and identification alone, and networks may have the same addresses: as long as fragments of
/// a network wait for each other, the number of the VRF stands in front of their destination, one of ours, in place of the prefix.
fn stand_in(vrf: VrfId, destination: IpAddr) -> IpAddr {
    match destination {
        IpAddr::V4(own) => Ipv4Addr::from_bits(u32::from(vrf.0) << 16 | own.to_bits() & 0xffff).into(),
        IpAddr::V6(own) => {
            Ipv6Addr::from_bits(u128::from(vrf.0) << 112 | own.to_bits() & (u128::MAX >> 16)).into()
        }
    }
}

/// Overwrites the destination of an IP packet. An IPv4 header's checksum stays as it was: reassembly computes it.
fn set_destination(packet: &mut [u8], destination: IpAddr) {
    let (field, octets) = match &destination {
        IpAddr::V4(address) => (packet.get_mut(16..20), &address.octets()[..]),
        IpAddr::V6(address) => (packet.get_mut(24..40), &address.octets()[..]),
    };
    if let Some(field) = field {
        field.copy_from_slice(octets);
    }
}

/// Puts an ESP packet, whose ESP header is at `esp_at` in the outer packet, on the list of those to be opened.
fn sealed(mbuf: Mbuf, esp_at: usize, in_udp: bool, lists: &mut Lists, cx: &mut Context) {
    let within = |at: usize| u16::try_from(at).unwrap_or(u16::MAX); // of a packet within 64 KiB
    let (esp_at, end) = (within(esp_at), within(bytes_of(&mbuf)));
    let outer_class = esp::traffic_class(mbuf.data());
    let sealed = Sealed { mbuf, at: 0, esp_at, end, in_udp, outer_class };
    put(&mut lists.sealed, sealed, &mut cx.counters);
}

/// Whether a UDP datagram is ESP: where that begins and ends in it.
pub(super) fn esp_in_udp(datagram: &[u8]) -> Option<(u16, u16)> {
    UdpView::new(datagram).ok().and_then(|udp| esp_of(&udp))
}

fn esp_of(udp: &UdpView<'_>) -> Option<(u16, u16)> {
    let payload = udp.payload();
    let is_esp = udp.destination_port() == NAT_T_PORT
        && payload != [KEEPALIVE]
        && !payload.starts_with(&NON_ESP_MARKER);
    is_esp.then(|| (8, udp.length_bytes()))
}

/// UDP: RFC 3948, 2 tells ESP, IKE and keepalives apart.
fn datagram(packet: Clear, at: usize, interface: InterfaceId, lists: &mut Lists, cx: &mut Context) {
    let udp = match UdpView::new(packet.mbuf.data().get(at..).unwrap_or_default()) {
        Ok(udp) => udp,
        Err(reason) => return discard(packet.mbuf, reason, &mut cx.counters),
    };
    let (local_port, remote_port) = (udp.destination_port(), udp.source_port());
    let payload_at = at + udp::HEADER_BYTES;
    let (payload, end) = (udp.payload(), at + usize::from(udp.length_bytes()));
    let ike_at = match (local_port, payload) {
        (IKE_PORT, _) => payload_at,
        (NAT_T_PORT, [KEEPALIVE]) => {
            cx.counters.count(Counter::KeepaliveReceived);
            return;
        }
        (NAT_T_PORT, _) if payload.starts_with(&NON_ESP_MARKER) => payload_at + NON_ESP_MARKER.len(),
        (NAT_T_PORT, _) => {
            // The tag vouches for the packet; the UDP checksum adds nothing (RFC 3948, 2.1).
            let mut mbuf = packet.mbuf;
            trim_to(&mut mbuf, end);
            return sealed(mbuf, payload_at, true, lists, cx);
        }
        _ => return refuse_datagram(packet, &mut lists.errors, cx),
    };
    let (source, destination) = (packet.flow.source, packet.flow.destination);
    if checksum(&udp, source, destination) == UdpChecksum::Wrong {
        return discard(packet.mbuf, Counter::UdpBadChecksum, &mut cx.counters);
    }
    let mut mbuf = packet.mbuf;
    trim_to(&mut mbuf, end);
    if u16::try_from(ike_at).ok().and_then(|bytes| mbuf.adjust(bytes)).is_none() {
        return discard(mbuf, Counter::UdpRunt, &mut cx.counters);
    }
    let punt = Punt {
        packet: mbuf,
        interface,
        local: SocketAddr::new(destination, local_port),
        remote: SocketAddr::new(source, remote_port),
    };
    if let Some(()) = cx.punt(punt) {
        cx.counters.count(Counter::PuntedIke);
    }
}

/// A datagram to a port of ours that nothing serves: its sender is told, if the datagram is sound.
pub(super) fn refuse_datagram(packet: Clear, errors: &mut Batch<Clear>, cx: &mut Context) {
    if is_fragment(&packet) {
        return discard(packet.mbuf, Counter::LocalNotServed, &mut cx.counters);
    }
    let Some(mbuf) = cx.whole(packet.mbuf) else { return };
    let packet = Clear { mbuf, ..packet };
    let at = header_bytes(&packet);
    let checked = UdpView::new(packet.mbuf.data().get(at..).unwrap_or_default())
        .map(|udp| checksum(&udp, packet.flow.source, packet.flow.destination));
    match checked {
        Err(reason) => discard(packet.mbuf, reason, &mut cx.counters),
        Ok(UdpChecksum::Wrong) => discard(packet.mbuf, Counter::UdpBadChecksum, &mut cx.counters),
        Ok(_) => route::refuse(packet, Counter::LocalNotServed, PORT_UNREACHABLE, errors, cx),
    }
}

fn header_bytes(packet: &Clear) -> usize {
    match packet.inner.family {
        Family::V4 => ipv4::HEADER_BYTES,
        Family::V6 => view_v6(&packet.mbuf).map_or(0, |view| view.header_bytes()),
    }
}

fn checksum(udp: &UdpView<'_>, source: IpAddr, destination: IpAddr) -> UdpChecksum {
    let bytes = usize::from(udp.length_bytes());
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            udp.checksum(Sum::pseudo_v4(source, destination, Protocol::UDP, bytes))
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            udp.checksum(Sum::pseudo_v6(source, destination, Protocol::UDP, bytes))
        }
        _ => UdpChecksum::Wrong,
    }
}

/// ICMP in the underlay: echo, and path MTU messages about our ESP packets.
fn control(packet: Clear, lists: &mut Lists, cx: &mut Context) {
    let too_big = match (packet.inner.family, packet.flow.source, packet.flow.destination) {
        (Family::V6, IpAddr::V6(source), IpAddr::V6(destination)) => {
            Ipv6View::new(packet.mbuf.data()).ok().and_then(|view| {
                Icmpv6View::new(view.payload(), source, destination).ok().map(|m| TooBig::of_v6(&m))
            })
        }
        _ => Ipv4View::with_checksum_known(packet.mbuf.data())
            .ok()
            .and_then(|view| IcmpView::new(view.payload()).ok().map(|message| TooBig::of_v4(&message))),
    };
    if let Some(Some(too_big)) = too_big {
        cx.counters.count(Counter::IcmpTooBigConsumed);
        return cx.tell(Event::PathTooBig(too_big));
    }
    if let Some(answer) = echo(packet, cx) {
        push_own(answer.mbuf, VrfId::UNDERLAY, answer.origin.link(), &mut lists.clear, cx);
    }
}

/// A packet to one of our addresses in any network: answered if it is an echo request, else dropped. The answer is a new
/// packet by the counters, in the same buffer.
pub(super) fn echo(mut packet: Clear, cx: &mut Context) -> Option<Clear> {
    packet = Clear { mbuf: cx.whole(packet.mbuf)?, ..packet };
    let is_icmp = matches!(packet.flow.protocol, Protocol::ICMP | Protocol::ICMPV6);
    if is_icmp && is_fragment(&packet) {
        packet = reassemble(packet, cx)?;
    }
    let answered = match packet.inner.family {
        _ if !is_icmp => Err(Counter::LocalNotServed),
        Family::V4 => icmp::answer_echo_v4(packet.mbuf.data_mut()),
        Family::V6 => icmp::answer_echo_v6(packet.mbuf.data_mut()),
    };
    match answered {
        Ok(true) => {
            cx.counters.count(Counter::IcmpEchoConsumed);
            cx.counters.count(Counter::Originated);
            packet.mbuf.clear_offloads();
            Some(packet)
        }
        Ok(false) => {
            discard(packet.mbuf, Counter::IcmpIgnored, &mut cx.counters);
            None
        }
        Err(reason) => {
            discard(packet.mbuf, reason, &mut cx.counters);
            None
        }
    }
}
