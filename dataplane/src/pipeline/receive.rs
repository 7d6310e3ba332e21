//! Receive stage: frames to packets. Link header off, ARP and neighbour discovery answered, IP headers checked; what the underlay
//! brings for us goes to `local`, what it brings for others is dropped, and what a virtual network brings is clear and to be routed.

use std::net::{Ipv4Addr, Ipv6Addr};

use dpdk_sys::{Checksum, Mbuf};

use super::{Context, Lists, local, trim_to};
use crate::counter::Counter;
use crate::forwarding::{Forwarding, InterfaceId, NextHop, PortIndex, VrfId};
use crate::header::Protocol;
use crate::header::ethernet::{self, EtherType, EthernetView, Mac};
use crate::header::ipv4::{self, Ipv4View};
use crate::header::ipv6::Ipv6View;
use crate::header::vlan::{self, VlanId, VlanView};
use crate::icmp::Delivery;
use crate::neighbour::{FRAME_BYTES, Heard, Link, Neighbours};
use crate::packet::{Clear, Origin, describe_v4, describe_v6, discard, put};

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
    lists: &mut Lists,
    neighbours: &mut Neighbours<Mbuf>,
    cx: &mut Context,
) {
    let mut arrived = std::mem::take(&mut lists.arrived);
    for mbuf in arrived.drain() {
        cx.counters.count(Counter::RxPackets);
        cx.counters.add(Counter::RxBytes, u64::from(mbuf.len_bytes()));
        let frame = match link(&mbuf, port, &cx.forwarding) {
            Ok(frame) => frame,
            Err(reason) => {
                discard(mbuf, reason, &mut cx.counters);
                continue;
            }
        };
        match frame.ether_type {
            EtherType::IPV4 => ipv4(mbuf, &frame, lists, cx),
            EtherType::IPV6 => ipv6(mbuf, &frame, lists, neighbours, cx),
            EtherType::ARP => arp(mbuf, &frame, neighbours, cx),
            _ => discard(mbuf, Counter::EthernetUnknownType, &mut cx.counters),
        }
    }
}

/// Reads Ethernet header and VLAN tag, and finds the interface.
fn link(mbuf: &Mbuf, port: PortIndex, forwarding: &Forwarding) -> Result<Frame, Counter> {
    if !mbuf.is_contiguous() {
        return Err(Counter::EthernetSegmented);
    }
    let ethernet = EthernetView::new(mbuf.data())?;
    let mut ether_type = ethernet.ether_type();
    let mut link_bytes = ethernet::HEADER_BYTES;
    let mut vlan = mbuf.stripped_vlan_tci().and_then(|tci| VlanId::new(tci & 0x0fff));
    if ether_type == EtherType::VLAN {
        let tag = VlanView::new(ethernet.payload())?;
        (vlan, ether_type) = (tag.vlan(), tag.ether_type());
        link_bytes += vlan::TAG_BYTES;
    }
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
        Some(()) if known => Ipv4View::with_checksum_known(mbuf.data()),
        Some(()) => Ipv4View::new(mbuf.data()),
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
    let (inner, flow, total_bytes) = match Ipv6View::new(mbuf.data()) {
        Ok(view) => {
            let (inner, flow) = describe_v6(&view);
            (inner, flow, view.packet().len())
        }
        Err(reason) => return discard(mbuf, reason, &mut cx.counters),
    };
    trim_to(&mut mbuf, total_bytes);
    if flow.protocol == Protocol::ICMPV6
        && flow.source_port.is_some_and(|kind| matches!(kind >> 8, 133..=137))
    {
        return discovery(mbuf, frame, neighbours, cx);
    }
    let checked = Ipv6View::new(mbuf.data()).and_then(|view| forwardable_v6(&view, frame.delivery));
    if let Err(reason) = checked {
        return discard(mbuf, reason, &mut cx.counters);
    }
    let origin = Origin::Interface(frame.interface, frame.delivery);
    clear(Clear { mbuf, vrf: frame.vrf, origin, inner, flow }, frame, lists, cx);
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
        _ => discard(packet.mbuf, Counter::ClearText, &mut cx.counters),
    }
}

/// Whether a router may touch this packet at all (RFC 1812, 4.2.3 and 5.3.7).
pub(super) fn forwardable_v4(view: &Ipv4View<'_>, delivery: Delivery) -> Result<(), Counter> {
    if view.header_bytes() != ipv4::HEADER_BYTES {
        return Err(Counter::Ipv4Options);
    }
    let (source, destination) = (view.source(), view.destination());
    if delivery == Delivery::Group || destination.is_multicast() || destination == Ipv4Addr::BROADCAST {
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
    let (source, destination) = (view.source(), view.destination());
    if delivery == Delivery::Group || destination.is_multicast() {
        return Err(Counter::Ipv6Multicast);
    }
    let is_bad = |address: Ipv6Addr| address.is_unspecified() || address.is_loopback();
    let leaves_its_link = source.is_unicast_link_local() && !destination.is_unicast_link_local();
    if source.is_multicast() || is_bad(source) || is_bad(destination) || leaves_its_link {
        return Err(Counter::Ipv6BadAddress);
    }
    Ok(())
}
