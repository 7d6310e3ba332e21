//! Frames to and from the ports: probes of hosts, answers for neighbours, and what it is that left.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crossgate_dataplane::header::arp::{self, Arp, Operation};
use crossgate_dataplane::header::ethernet::{EtherType, Ethernet, EthernetView, Mac};
use crossgate_dataplane::header::ipv4::{Ipv4, Ipv4View};
use crossgate_dataplane::header::udp::{Udp, UdpView};
use crossgate_dataplane::header::vlan::{Vlan, VlanId, VlanView};
use crossgate_dataplane::header::{Protocol, ethernet, ipv4, udp, vlan};
use crossgate_ike::{IKE_PORT, NAT_PORT};

use super::generate::space;

/// Everybody but the gateway.
const OTHERS: Mac = Mac([2, 0, 0, 0, 9, 9]);
/// The port of probes: UDP, which any rule translates.
const PROBE_PORT: u16 = 9;
/// The VLAN of the first network.
const FIRST_VLAN: u16 = 10;

/// What left by a port.
#[derive(Debug)]
pub(super) enum Left {
    /// The answer to somebody who asks for a neighbour.
    Answer(Vec<u8>),
    /// An IKE message.
    Ike { local: SocketAddr, remote: SocketAddr, bytes: Vec<u8> },
    /// An ESP packet.
    Esp { to: IpAddr, spi: u32 },
    /// A probe of a host of `network`, to `to`, as it was.
    Clear { network: u8, to: Ipv4Addr },
    /// Something that is none of these: an ICMP error, say.
    Other,
}

/// A packet of a host in `network`, as it comes to the gateway.
pub(super) fn probe(gateway: Mac, network: u8, to: Ipv4Addr) -> Vec<u8> {
    let mut datagram = [network; udp::HEADER_BYTES + 5];
    let length_bytes = u16::try_from(datagram.len()).expect("short");
    let (header, payload) = datagram.split_first_chunk_mut().expect("it has one");
    Udp { source_port: PROBE_PORT, destination_port: PROBE_PORT, length_bytes }.write(header);
    payload[1..].copy_from_slice(&to.octets());
    let mut head = [0; ipv4::HEADER_BYTES];
    let total_bytes = u16::try_from(head.len() + datagram.len()).expect("short");
    Ipv4 {
        traffic_class: 0,
        total_bytes,
        identification: 1,
        dont_fragment: true,
        ttl: 64,
        protocol: Protocol::UDP,
        source: Ipv4Addr::new(10, space(network), 0, 9),
        destination: to,
    }
    .write(&mut head);
    let vlan = VlanId::new(FIRST_VLAN + u16::from(network));
    frame(gateway, vlan, EtherType::IPV4, &[&head[..], &datagram].concat())
}

/// A frame of everybody else for the gateway.
pub(super) fn frame(gateway: Mac, vlan: Option<VlanId>, ether_type: EtherType, packet: &[u8]) -> Vec<u8> {
    let mut head = [0; ethernet::HEADER_BYTES];
    let outer = if vlan.is_some() { EtherType::VLAN } else { ether_type };
    Ethernet { destination: gateway, source: OTHERS, ether_type: outer }.write(&mut head);
    let mut bytes = [0; vlan::TAG_BYTES];
    let tag = match vlan {
        Some(vlan) => {
            Vlan { vlan, ether_type }.write(&mut bytes);
            &bytes[..]
        }
        None => &[],
    };
    [&head[..], tag, packet].concat()
}

/// Takes a frame of the gateway apart.
pub(super) fn read(frame: &[u8]) -> Left {
    let view = EthernetView::new(frame).expect("a frame");
    let (vlan, ether_type, payload) = match view.ether_type() {
        EtherType::VLAN => {
            let tag = VlanView::new(view.payload()).expect("a tag");
            (VlanId::new(tag.tci()), tag.ether_type(), tag.payload())
        }
        ether_type => (None, ether_type, view.payload()),
    };
    match ether_type {
        EtherType::ARP => answer(view.source(), vlan, payload),
        EtherType::IPV4 => packet(payload),
        _ => Left::Other,
    }
}

fn answer(gateway: Mac, vlan: Option<VlanId>, payload: &[u8]) -> Left {
    let asked = Arp::new(payload).expect("an ARP packet");
    if asked.operation != Operation::Request || asked.sender == asked.target {
        return Left::Other;
    }
    let mut bytes = [0; arp::PACKET_BYTES];
    Arp {
        operation: Operation::Reply,
        sender_mac: OTHERS,
        sender: asked.target,
        target_mac: gateway,
        target: asked.sender,
    }
    .write(&mut bytes);
    Left::Answer(frame(gateway, vlan, EtherType::ARP, &bytes))
}

fn packet(bytes: &[u8]) -> Left {
    let view = Ipv4View::new(bytes).expect("an IPv4 packet");
    let (from, to) = (IpAddr::V4(view.source()), IpAddr::V4(view.destination()));
    let payload = view.payload();
    match view.protocol() {
        Protocol::ESP => Left::Esp { to, spi: u32::from_be_bytes(*payload.first_chunk().expect("an SPI")) },
        Protocol::UDP => {
            let datagram = UdpView::new(payload).expect("a datagram");
            let local = SocketAddr::new(to, datagram.destination_port());
            let remote = SocketAddr::new(from, datagram.source_port());
            match (datagram.destination_port(), datagram.payload()) {
                (PROBE_PORT, &[network, a, b, c, d]) => Left::Clear { network, to: [a, b, c, d].into() },
                (IKE_PORT, bytes) | (NAT_PORT, [0, 0, 0, 0, bytes @ ..]) => {
                    Left::Ike { local, remote, bytes: bytes.to_vec() }
                }
                _ => Left::Other,
            }
        }
        _ => Left::Other,
    }
}
