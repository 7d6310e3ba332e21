//! Receive stage: frames to packets. Link header off, ARP and neighbour discovery answered, IP headers checked; what the underlay
//! brings for us goes to `local`, what it brings for others is dropped, and what a virtual network brings is clear and to be routed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use dpdk_sys::{Burst, Checksum, Mbuf};

use super::shortcut::{self, Plains};
use super::{Context, Lists, Tables, local, segments, trim_to, view_v4, view_v6};
use crate::counter::Counter;
use crate::forwarding::{Forwarding, InterfaceId, NextHop, PortIndex, VrfId};
use crate::header::Protocol;
use crate::header::ethernet::{self, EtherType, EthernetView, Mac};
use crate::header::icmpv6;
use crate::header::ipv4::{self, Ipv4View};
use crate::header::ipv6::Ipv6View;
use crate::header::ndp;
use crate::header::vlan::{self, VlanId, VlanView};
use crate::icmp::{self, Delivery};
use crate::neighbour::{FRAME_BYTES, Heard, Link, Neighbours};
use crate::packet::{Clear, Origin, describe_v4, describe_v6, discard, put};
use crate::selector::Flow;

mod frames;

/// A frame's link header.
struct Frame {
    interface: InterfaceId,
    vrf: VrfId,
    delivery: Delivery,
    source: Mac,
    ether_type: EtherType,
    /// Length of Ethernet header and VLAN tag, in bytes.
    link_bytes: u16,
}

pub(super) fn receive(
    port: PortIndex,
    arrived: &mut Burst,
    lists: &mut Lists,
    tables: &mut Tables,
    cx: &mut Context,
) {
    for mbuf in arrived.iter() {
        mbuf.prefetch_data();
    }
    // All headers before the first lookup, so that the places of their flows are under way.
    let mut plains = Plains::new();
    let (bytes, flows) = frames::read(port, arrived, &mut plains, &tables.flows, &cx.forwarding);
    if flows > frames::FEW_FLOWS {
        shortcut::warm(plains.runs(), tables, cx.now_us);
    }
    cx.counters.add(Counter::RxPackets, arrived.len() as u64);
    cx.counters.add(Counter::RxBytes, bytes);
    shortcut::take(arrived.drain(), &plains, lists, tables, cx, |mbuf, _, lists, tables, cx| {
        general(mbuf, port, lists, &mut tables.neighbours, cx);
    });
}

/// A frame that the shortcut did not take.
fn general(
    mbuf: Mbuf,
    port: PortIndex,
    lists: &mut Lists,
    neighbours: &mut Neighbours<Mbuf>,
    cx: &mut Context,
) {
    let mbuf = match mbuf.is_contiguous() {
        true => Some(mbuf),
        false => segments::with_headers(mbuf, &mut cx.counters),
    };
    let Some(mbuf) = mbuf else { return };
    let frame = match link(&mbuf, port, &cx.forwarding) {
        Ok(frame) => frame,
        Err(reason) => return discard(mbuf, reason, &mut cx.counters),
    };
    match frame.ether_type {
        EtherType::IPV4 => ipv4(mbuf, &frame, lists, cx),
        EtherType::IPV6 => ipv6(mbuf, &frame, lists, neighbours, cx),
        EtherType::ARP => arp(mbuf, &frame, neighbours, cx),
        _ => discard(mbuf, Counter::EthernetUnknownType, &mut cx.counters),
    }
}

/// Reads Ethernet header and VLAN tag, and finds the interface.
fn link(mbuf: &Mbuf, port: PortIndex, forwarding: &Forwarding) -> Result<Frame, Counter> {
    let ethernet = EthernetView::new(mbuf.data())?;
    let (vlan, ether_type, link_bytes) = tag(&ethernet, mbuf.stripped_vlan_tci())?;
    let id = forwarding.interface_at(port, vlan).ok_or(Counter::InterfaceUnknown)?;
    let interface = forwarding.interface(id).ok_or(Counter::InterfaceUnknown)?;
    let destination = ethernet.destination();
    let delivery = match destination {
        _ if destination == interface.mac => Delivery::Unicast,
        _ if destination.is_multicast() => Delivery::Group,
        _ => return Err(Counter::EthernetNotForUs),
    };
    let link_bytes = u16::try_from(link_bytes).map_err(|_| Counter::EthernetRunt)?;
    let (vrf, source) = (interface.vrf, ethernet.source());
    Ok(Frame { interface: id, vrf, delivery, source, ether_type, link_bytes })
}

/// The frame's VLAN, what is behind the tag, and where that begins, in bytes. The tag may be in the frame, or be taken out of it by the port
/// (`stripped_tci`, host order). There is at most one: behind another, the frame is of a VLAN inside a VLAN, which is no interface's, and must not
/// pass for the inner one's.
#[inline]
fn tag(
    ethernet: &EthernetView<'_>,
    stripped_tci: Option<u16>,
) -> Result<(Option<VlanId>, EtherType, usize), Counter> {
    if let Some(tci) = stripped_tci {
        return Ok((vlan_of(tci)?, ethernet.ether_type(), ethernet::HEADER_BYTES));
    }
    if ethernet.ether_type() != EtherType::VLAN {
        return Ok((None, ethernet.ether_type(), ethernet::HEADER_BYTES));
    }
    let tag = VlanView::new(ethernet.payload())?;
    Ok((vlan_of(tag.tci())?, tag.ether_type(), ethernet::HEADER_BYTES + vlan::TAG_BYTES))
}

/// None for a tag that carries only a priority (VLAN 0). VLAN 4095 is reserved, and no interface's (IEEE 802.1Q, table 9-2).
fn vlan_of(tci: u16) -> Result<Option<VlanId>, Counter> {
    match tci & 0x0fff {
        0 => Ok(None),
        number => VlanId::new(number).map(Some).ok_or(Counter::InterfaceUnknown),
    }
}

fn arp(mut mbuf: Mbuf, frame: &Frame, neighbours: &mut Neighbours<Mbuf>, cx: &mut Context) {
    let mut answer = [0; FRAME_BYTES];
    let heard = {
        let forwarding = std::sync::Arc::clone(&cx.forwarding);
        let Some(interface) = forwarding.interface(frame.interface) else {
            return discard(mbuf, Counter::InterfaceUnknown, &mut cx.counters);
        };
        let link = Link { id: frame.interface, interface, source_mac: frame.source };
        let packet = mbuf.data().get(usize::from(frame.link_bytes)..).unwrap_or_default();
        let now_us = cx.now_us;
        neighbours.hear_arp(link, packet, now_us, &mut answer, &mut |action| cx.act(action))
    };
    match heard {
        Err(reason) => discard(mbuf, reason, &mut cx.counters),
        Ok(heard) => {
            cx.counters.count(Counter::ArpConsumed);
            if let Heard::Answer(bytes) = heard {
                cx.answer(&mut mbuf, frame.interface, &answer[..bytes]);
                cx.send_own(mbuf, frame.interface);
            }
        }
    }
}

fn ipv4(mut mbuf: Mbuf, frame: &Frame, lists: &mut Lists, cx: &mut Context) {
    let known = mbuf.ip_checksum() == Checksum::Good;
    let checked = match mbuf.adjust(frame.link_bytes) {
        None => Err(Counter::EthernetRunt),
        Some(()) if known => view_v4(&mbuf),
        Some(()) => view_v4(&mbuf).and_then(Ipv4View::with_checksum_checked),
    };
    let checked = checked.and_then(|view| {
        forwardable_v4(&view, frame.delivery)?;
        let (inner, flow) = describe_v4(&view);
        Ok((inner, flow, usize::from(view.total_bytes())))
    });
    let (inner, flow, total_bytes) = match checked {
        Ok(checked) => checked,
        Err(reason) => return discard(mbuf, reason, &mut cx.counters),
    };
    trim_to(&mut mbuf, total_bytes);
    let origin = Origin::Interface(frame.interface, frame.delivery);
    clear(Clear { mbuf, vrf: frame.vrf, origin, inner, flow }, frame, lists, cx);
}

fn ipv6(
    mut mbuf: Mbuf,
    frame: &Frame,
    lists: &mut Lists,
    neighbours: &mut Neighbours<Mbuf>,
    cx: &mut Context,
) {
    if mbuf.adjust(frame.link_bytes).is_none() {
        return discard(mbuf, Counter::EthernetRunt, &mut cx.counters);
    }
    let (inner, mut flow, total_bytes) = match view_v6(&mbuf) {
        Ok(view) => {
            let (inner, flow) = describe_v6(&view);
            (inner, flow, view.total_bytes())
        }
        Err(reason) => return discard(mbuf, reason, &mut cx.counters),
    };
    trim_to(&mut mbuf, total_bytes);
    if flow.protocol == Protocol::ICMPV6
        && flow.source_port.is_some_and(|kind| matches!(kind >> 8, 133..=137))
    {
        return discovery(mbuf, frame, neighbours, cx);
    }
    let asked = asked_of_all_nodes(&flow, frame, &cx.forwarding).filter(|_| mbuf.is_contiguous());
    let checked = match asked.filter(|(_, own)| icmp::ask_one_v6(mbuf.data_mut(), *own)) {
        Some((source, own)) => {
            flow.destination = own.into();
            addresses_v6(source, own)
        }
        None => view_v6(&mbuf).and_then(|view| forwardable_v6(&view, frame.delivery)),
    };
    if let Err(reason) = checked {
        return discard(mbuf, reason, &mut cx.counters);
    }
    let origin = Origin::Interface(frame.interface, frame.delivery);
    clear(Clear { mbuf, vrf: frame.vrf, origin, inner, flow }, frame, lists, cx);
}

/// For an echo request of a neighbour to all nodes of the link: its source, and the address of ours that answers (RFC 4443, 4.2).
fn asked_of_all_nodes(flow: &Flow, frame: &Frame, forwarding: &Forwarding) -> Option<(Ipv6Addr, Ipv6Addr)> {
    let is_asked = flow.destination == IpAddr::V6(ndp::ALL_NODES)
        && flow.protocol == Protocol::ICMPV6
        && flow.source_port == Some(u16::from(icmpv6::Kind::ECHO_REQUEST.kind) << 8);
    let interface = forwarding.interface(frame.interface).filter(|_| is_asked)?;
    match (flow.source, interface.source_towards(flow.source)?) {
        (IpAddr::V6(source), IpAddr::V6(own)) => interface.is_on_link(flow.source).then_some((source, own)),
        _ => None,
    }
}

/// Neighbour discovery (RFC 4861), to whichever address.
fn discovery(mut mbuf: Mbuf, frame: &Frame, neighbours: &mut Neighbours<Mbuf>, cx: &mut Context) {
    let mut answer = [0; FRAME_BYTES];
    let forwarding = std::sync::Arc::clone(&cx.forwarding);
    let heard = match (forwarding.interface(frame.interface), Ipv6View::new(mbuf.data())) {
        (Some(interface), Ok(view)) => {
            let link = Link { id: frame.interface, interface, source_mac: frame.source };
            let now_us = cx.now_us;
            neighbours.hear_ndp(link, &view, now_us, &mut answer, &mut |action| cx.act(action))
        }
        _ => Err(Counter::NdIgnored),
    };
    match heard {
        Err(reason) => discard(mbuf, reason, &mut cx.counters),
        Ok(Heard::NotNeighbour) => discard(mbuf, Counter::NdIgnored, &mut cx.counters),
        Ok(Heard::Consumed) => cx.counters.count(Counter::NdConsumed),
        Ok(Heard::Answer(bytes)) => {
            cx.counters.count(Counter::NdConsumed);
            cx.answer(&mut mbuf, frame.interface, &answer[..bytes]);
            cx.send_own(mbuf, frame.interface);
        }
    }
}

/// The underlay carries only what is for us: nothing that arrives there in clear text gets any further (RFC 4301, 5.2).
fn clear(packet: Clear, frame: &Frame, lists: &mut Lists, cx: &mut Context) {
    if frame.vrf != VrfId::UNDERLAY {
        return put(&mut lists.clear, packet, &mut cx.counters);
    }
    match cx.forwarding.route_from(frame.interface, packet.flow.destination) {
        NextHop::Local(_) => local::underlay(packet, frame.interface, lists, cx),
        _ if packet.flow.is_link_local() => discard(packet.mbuf, Counter::Ipv6LinkLocal, &mut cx.counters),
        _ => discard(packet.mbuf, Counter::ClearText, &mut cx.counters),
    }
}

/// Whether a router may touch this packet at all (RFC 1812, 4.2.3 and 5.3.7).
pub(super) fn forwardable_v4(view: &Ipv4View<'_>, delivery: Delivery) -> Result<(), Counter> {
    if view.header_bytes() != ipv4::HEADER_BYTES {
        return Err(Counter::Ipv4Options);
    }
    if delivery == Delivery::Group {
        return Err(Counter::Ipv4Multicast);
    }
    addresses_v4(view.source(), view.destination())
}

/// The part of [`forwardable_v4`] that addresses alone decide.
pub(super) fn addresses_v4(source: Ipv4Addr, destination: Ipv4Addr) -> Result<(), Counter> {
    if destination.is_multicast() || destination == Ipv4Addr::BROADCAST {
        return Err(Counter::Ipv4Multicast);
    }
    let is_bad_source = source.is_multicast() || source.is_loopback() || source.octets()[0] == 0;
    if is_bad_source || source.octets()[0] >= 240 || destination.is_loopback() || destination.is_unspecified()
    {
        return Err(Counter::Ipv4BadAddress);
    }
    Ok(())
}

/// Like [`forwardable_v4`] (RFC 4291, 2.5 to 2.7).
pub(super) fn forwardable_v6(view: &Ipv6View<'_>, delivery: Delivery) -> Result<(), Counter> {
    if delivery == Delivery::Group {
        return Err(Counter::Ipv6Multicast);
    }
    addresses_v6(view.source(), view.destination())
}

/// The part of [`forwardable_v6`] that addresses alone decide.
pub(super) fn addresses_v6(source: Ipv6Addr, destination: Ipv6Addr) -> Result<(), Counter> {
    if destination.is_multicast() {
        return Err(Counter::Ipv6Multicast);
    }
    let is_bad = |address: Ipv6Addr| address.is_unspecified() || address.is_loopback();
    if source.is_multicast() || is_bad(source) || is_bad(destination) {
        return Err(Counter::Ipv6BadAddress);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(tags: &[u16]) -> Vec<u8> {
        let mut frame = vec![2; 12];
        for tci in tags {
            frame.extend([0x81, 0]);
            frame.extend(tci.to_be_bytes());
        }
        frame.extend([8, 0]);
        frame
    }

    fn tagged(tags: &[u16], stripped_tci: Option<u16>) -> Result<(Option<u16>, EtherType, usize), Counter> {
        let frame = frame(tags);
        let (vlan, ether_type, bytes) = tag(&EthernetView::new(&frame)?, stripped_tci)?;
        Ok((vlan.map(VlanId::number), ether_type, bytes))
    }

    #[test]
    fn tag_counts_the_same_whether_the_port_took_it_out_or_not() {
        for (tci, vlan) in [(0xe00a, Some(10)), (0xe000, None), (4094, Some(4094))] {
            assert_eq!(tagged(&[tci], None), Ok((vlan, EtherType::IPV4, 18)));
            assert_eq!(tagged(&[], Some(tci)), Ok((vlan, EtherType::IPV4, 14)));
        }
        assert_eq!(tagged(&[4095], None), Err(Counter::InterfaceUnknown));
        assert_eq!(tagged(&[], Some(4095)), Err(Counter::InterfaceUnknown));
    }

    #[test]
    fn inner_tag_of_two_is_never_the_frames_vlan() {
        assert_eq!(tagged(&[10, 20], None), Ok((Some(10), EtherType::VLAN, 18)));
        assert_eq!(tagged(&[20], Some(10)), Ok((Some(10), EtherType::VLAN, 14)));
        assert_eq!(tagged(&[20], Some(0)), Ok((None, EtherType::VLAN, 14)));
    }
}
