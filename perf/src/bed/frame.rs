//! The bytes of frames: UDP datagrams of any length, their link headers, and what gateways change of them on their way.

use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use crossgate_dataplane::header::Protocol;
use crossgate_dataplane::header::ethernet::{self, Ethernet};
use crossgate_dataplane::header::ipv4::{self, Ipv4};
use crossgate_dataplane::header::ipv6::{self, Ipv6};
use crossgate_dataplane::header::udp::{self, Udp};

use super::{Family, LAN, OURS, Plan, Site, THEIRS};

/// Hops of a packet before the first gateway; each takes one.
const TTL: u8 = 64;
/// Both ports of every datagram.
pub(crate) const UDP_PORT: u16 = 5001;

/// A frame with a UDP datagram in an inner packet of that many bytes; its link header is still to be written.
pub(crate) fn datagram(source: IpAddr, destination: IpAddr, inner_bytes: u16) -> Result<Vec<u8>> {
    let mut bytes = vec![0x77; ethernet::HEADER_BYTES + usize::from(inner_bytes)];
    let packet = &mut bytes[ethernet::HEADER_BYTES..];
    let datagram = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let (head, rest) = packet.split_first_chunk_mut().context("a runt")?;
            Ipv4 {
                traffic_class: 0,
                total_bytes: inner_bytes,
                identification: 1,
                dont_fragment: true,
                ttl: TTL,
                protocol: Protocol::UDP,
                source,
                destination,
            }
            .write(head);
            rest
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let (head, rest) = packet.split_first_chunk_mut().context("a runt")?;
            Ipv6 {
                traffic_class: 0,
                flow_label: 0,
                payload_bytes: u16::try_from(rest.len())?,
                next_header: Protocol::UDP,
                hop_limit: TTL,
                source,
                destination,
            }
            .write(head);
            rest
        }
        _ => anyhow::bail!("two address families"),
    };
    let length_bytes = u16::try_from(datagram.len())?;
    let head: &mut [u8; udp::HEADER_BYTES] = datagram.first_chunk_mut().context("a runt")?;
    Udp { source_port: UDP_PORT, destination_port: UDP_PORT, length_bytes }.write(head);
    Ok(bytes)
}

impl Plan {
    /// A frame of a site's host to the other site's, as it arrives at the gateway, with an inner packet of that many bytes.
    pub(crate) fn frame(&self, site: Site, sa: u32, inner_bytes: u16) -> Result<Vec<u8>> {
        let (source, destination) = (site.host(self.family, sa), site.other().host(self.family, sa));
        let mut bytes = datagram(source, destination, inner_bytes)?;
        self.arrive(&mut bytes, LAN)?;
        Ok(bytes)
    }

    /// Writes the link header of a frame that arrives at a gateway's port.
    pub(crate) fn arrive(&self, frame: &mut [u8], port: usize) -> Result<()> {
        let head =
            Ethernet { destination: OURS[port], source: THEIRS[port], ether_type: self.family.ether_type() };
        head.write(frame.first_chunk_mut().context("a frame without a header")?);
        Ok(())
    }

    /// Checks that a frame which left the second gateway carries what went into the first one, two hops later.
    pub(crate) fn check_arrived(&self, sent: &[u8], received: &[u8]) -> Result<()> {
        let mut expected = sent.to_vec();
        let head =
            Ethernet { destination: THEIRS[LAN], source: OURS[LAN], ether_type: self.family.ether_type() };
        head.write(expected.first_chunk_mut().context("a frame without a header")?);
        let packet = &mut expected[ethernet::HEADER_BYTES..];
        for _ in 0..2 {
            match self.family {
                Family::V4 => drop(ipv4::decrement_ttl(packet.first_chunk_mut().context("a runt")?)),
                Family::V6 => drop(ipv6::decrement_hop_limit(packet.first_chunk_mut().context("a runt")?)),
            }
        }
        ensure!(received == expected, "a packet changed on its way");
        Ok(())
    }

    /// The part of a packet that no gateway changes: from the source address on. `packet` begins with the IP header.
    pub(crate) fn unchanging<'a>(&self, packet: &'a [u8]) -> &'a [u8] {
        packet.get(self.family.addresses_at()..).unwrap_or_default()
    }
}
