//! IKE messages as IP packets: what the control thread injects into a worker.

use std::net::{IpAddr, SocketAddr};

use crossgate_dataplane::header::{Protocol, checksum, ipv4, ipv6, udp};
use dpdk_sys::{Mbuf, Mempool};

/// The non-ESP marker (RFC 3948, 2.2).
const MARKER: [u8; 4] = [0; 4];
/// Where the marker is used.
const NAT_PORT: u16 = 4500;

/// Why a datagram could not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DatagramError {
    /// Every packet buffer is in use.
    #[error("no packet buffer is free: raise memory_mib")]
    NoBuffer,
    /// Longer than a packet buffer.
    #[error("{0} bytes do not fit into a packet buffer")]
    TooLong(usize),
    /// One address is IPv4 and the other IPv6.
    #[error("{0} cannot be reached from {1}: the families differ")]
    Families(IpAddr, IpAddr),
}

/// Makes the IP packet that carries `message` from `local` to `remote` (RFC 7296, 2): UDP, with the non-ESP marker where `local` is port 4500.
/// `identification` is the IPv4 header's; such packets may be fragmented on their way, since a peer without RFC 7383 can need it.
///
/// # Errors
/// If there is no buffer, or none long enough.
pub fn packet(
    buffers: &Mempool,
    identification: u16,
    local: SocketAddr,
    remote: SocketAddr,
    message: &[u8],
) -> Result<Mbuf, DatagramError> {
    let marker: &[u8] = if local.port() == NAT_PORT { &MARKER } else { &[] };
    let udp_bytes = udp::HEADER_BYTES + marker.len() + message.len();
    let ip_bytes = if local.is_ipv4() { ipv4::HEADER_BYTES } else { ipv6::HEADER_BYTES };
    let too_long = || DatagramError::TooLong(ip_bytes + udp_bytes);
    let total = u16::try_from(ip_bytes + udp_bytes).map_err(|_| too_long())?;
    let length_bytes = total - u16::try_from(ip_bytes).map_err(|_| too_long())?;

    let mut packet = buffers.take().ok_or(DatagramError::NoBuffer)?;
    let data = packet.append(total).ok_or_else(too_long)?;
    let (ip, datagram) = data.split_at_mut(ip_bytes);
    let (header, payload) = datagram.split_first_chunk_mut().expect("a datagram has a header");
    udp::Udp { source_port: local.port(), destination_port: remote.port(), length_bytes }.write(header);
    payload[..marker.len()].copy_from_slice(marker);
    payload[marker.len()..].copy_from_slice(message);

    let pseudo = match (local.ip(), remote.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let header = ipv4::Ipv4 {
                traffic_class: 0,
                total_bytes: total,
                identification,
                dont_fragment: false,
                ttl: HOPS,
                protocol: Protocol::UDP,
                source,
                destination,
            };
            header.write(ip.first_chunk_mut().expect("room for the IPv4 header"));
            checksum::Sum::pseudo_v4(source, destination, Protocol::UDP, udp_bytes)
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let header = ipv6::Ipv6 {
                traffic_class: 0,
                flow_label: 0,
                payload_bytes: length_bytes,
                next_header: Protocol::UDP,
                hop_limit: HOPS,
                source,
                destination,
            };
            header.write(ip.first_chunk_mut().expect("room for the IPv6 header"));
            checksum::Sum::pseudo_v6(source, destination, Protocol::UDP, udp_bytes)
        }
        (local, remote) => return Err(DatagramError::Families(local, remote)),
    };
    udp::write_checksum(datagram, pseudo);
    Ok(packet)
}

/// Hops that an IKE packet may take.
const HOPS: u8 = 64;
