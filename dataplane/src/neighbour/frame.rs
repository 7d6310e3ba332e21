//! Whole frames of ARP and neighbour discovery, to be sent on the interface that they are written for.

use std::net::IpAddr;

use crate::forwarding::Interface;
use crate::header::arp::{self, Arp, Operation};
use crate::header::ethernet::{self, EtherType, Ethernet, Mac};
use crate::header::ndp::{self, Advertisement, Solicitation};
use crate::header::vlan::{self, Vlan};

/// The longest front of a frame, in bytes: Ethernet and a VLAN tag.
pub(crate) const LINK_BYTES: usize = ethernet::HEADER_BYTES + vlan::TAG_BYTES;
/// The longest frame that these functions write, in bytes. Shorter than Ethernet's minimum: ports pad.
pub const FRAME_BYTES: usize = LINK_BYTES + ndp::PACKET_BYTES;

/// Writes an interface's Ethernet header, and VLAN tag if it has one, to the front of `out`; returns the length in bytes.
pub fn link_header(
    interface: &Interface,
    destination: Mac,
    packet: EtherType,
    out: &mut [u8; LINK_BYTES],
) -> usize {
    let ether_type = if interface.vlan.is_some() { EtherType::VLAN } else { packet };
    let (tag, ethernet) =
        out.split_last_chunk_mut().map_or((None, None), |(head, tag)| (Some(tag), head.first_chunk_mut()));
    if let Some(ethernet) = ethernet {
        Ethernet { destination, source: interface.mac, ether_type }.write(ethernet);
    }
    if let (Some(vlan), Some(tag)) = (interface.vlan, tag) {
        Vlan { vlan, ether_type: packet }.write(tag);
        return LINK_BYTES;
    }
    ethernet::HEADER_BYTES
}

/// Writes the question for [`super::Action::Solicit`] and returns its length in bytes. None if the interface has no address
/// to ask from.
#[must_use]
pub fn solicitation(
    interface: &Interface,
    target: IpAddr,
    probe: Option<Mac>,
    out: &mut [u8; FRAME_BYTES],
) -> Option<usize> {
    match (target, interface.source_towards(target)?) {
        (IpAddr::V4(target), IpAddr::V4(sender)) => {
            let question = Arp {
                operation: Operation::Request,
                sender_mac: interface.mac,
                sender,
                target_mac: Mac::default(),
                target,
            };
            Some(write_arp(interface, probe.unwrap_or(Mac::BROADCAST), &question, out))
        }
        (IpAddr::V6(target), IpAddr::V6(source)) => {
            let group = ndp::solicited_node(target);
            let destination = if probe.is_some() { target } else { group };
            let question = Solicitation { source, destination, target, source_mac: Some(interface.mac) };
            let mac = probe.unwrap_or(Mac::of_multicast_v6(group));
            Some(write_ndp(interface, mac, |packet| question.write(packet), out))
        }
        _ => None,
    }
}

/// Writes a frame that tells all neighbours where one of our own addresses is (RFC 5227, 2.3; RFC 4861, 7.2.6), for interfaces that
/// came up or changed their MAC address; returns its length in bytes.
pub fn announcement(interface: &Interface, own: IpAddr, out: &mut [u8; FRAME_BYTES]) -> usize {
    match own {
        IpAddr::V4(own) => {
            let operation = Operation::Request;
            let target_mac = Mac::default();
            let claim = Arp { operation, sender_mac: interface.mac, sender: own, target_mac, target: own };
            write_arp(interface, Mac::BROADCAST, &claim, out)
        }
        IpAddr::V6(own) => {
            let claim = Advertisement {
                source: own,
                destination: ndp::ALL_NODES,
                target: own,
                target_mac: Some(interface.mac),
                router: true,
                solicited: false,
                overrides: true,
            };
            let mac = Mac::of_multicast_v6(ndp::ALL_NODES);
            write_ndp(interface, mac, |packet| claim.write(packet), out)
        }
    }
}

pub(super) fn write_arp(interface: &Interface, to: Mac, packet: &Arp, out: &mut [u8; FRAME_BYTES]) -> usize {
    let mut body = [0; arp::PACKET_BYTES];
    packet.write(&mut body);
    write_frame(interface, to, EtherType::ARP, &body, out)
}

pub(super) fn write_ndp(
    interface: &Interface,
    to: Mac,
    write: impl FnOnce(&mut [u8; ndp::PACKET_BYTES]) -> usize,
    out: &mut [u8; FRAME_BYTES],
) -> usize {
    let mut body = [0; ndp::PACKET_BYTES];
    let length = write(&mut body);
    write_frame(interface, to, EtherType::IPV6, &body[..length], out)
}

fn write_frame(
    interface: &Interface,
    to: Mac,
    kind: EtherType,
    body: &[u8],
    out: &mut [u8; FRAME_BYTES],
) -> usize {
    let mut link = [0; LINK_BYTES];
    let front = link_header(interface, to, kind, &mut link);
    out[..front].copy_from_slice(&link[..front]);
    out[front..front + body.len()].copy_from_slice(body);
    front + body.len()
}
