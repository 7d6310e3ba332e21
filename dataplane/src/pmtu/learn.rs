//! What routers on the path say about the size of our ESP packets (RFC 1191, RFC 8201, RFC 4301 8.2.1). Nobody signs
//! such a message: it counts only if the packet it quotes is one that an SA of ours sent not long ago, which the control
//! thread checks, and never below a floor. What was learned is forgotten after ten minutes (RFC 1191, 6.3).

use std::net::{IpAddr, Ipv6Addr};

use crate::header::icmp::{self, IcmpView};
use crate::header::icmpv6::{self, Icmpv6View};
use crate::header::{Protocol, be16, be32, esp, ipv4, ipv6, udp};
use crate::spi::Spi;

/// UDP port of ESP in UDP on our side (RFC 3948).
const NAT_T_PORT: u16 = 4500;

/// A "too big" message about a packet that looks like our ESP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooBig {
    /// What the next hop carries, in bytes; 0 from routers older than RFC 1191.
    pub mtu_bytes: u16,
    /// Length of the packet that was too big, in bytes.
    pub packet_bytes: u16,
    /// Its source: an address of ours, if the message is honest.
    pub local: IpAddr,
    /// Its destination: the peer.
    pub remote: IpAddr,
    /// Its SPI: the peer's.
    pub spi: Spi,
    /// The low 32 bits of its sequence number.
    pub sequence_low: u32,
}

impl TooBig {
    /// From "fragmentation needed"; none if it is something else, or quotes too little of something else than ESP.
    #[must_use]
    pub fn of_v4(message: &IcmpView<'_>) -> Option<Self> {
        if message.kind() != icmp::Kind::FRAGMENTATION_NEEDED {
            return None;
        }
        let quote = message.payload();
        let head: &[u8; ipv4::HEADER_BYTES] = quote.first_chunk()?;
        let header_bytes = usize::from(head[0] & 15) * 4;
        let is_first = be16(head, 6) & 0x1fff == 0;
        if head[0] >> 4 != 4 || header_bytes < ipv4::HEADER_BYTES || !is_first {
            return None;
        }
        let [.., a, b, c, d, e, f, g, h] = *head;
        let (spi, sequence_low) = front(Protocol(head[9]), quote.get(header_bytes..)?)?;
        Some(Self {
            mtu_bytes: message.next_hop_mtu_bytes(),
            packet_bytes: be16(head, 2),
            local: IpAddr::from([a, b, c, d]),
            remote: IpAddr::from([e, f, g, h]),
            spi,
            sequence_low,
        })
    }

    /// From "packet too big"; none as with [`TooBig::of_v4`]. Our ESP packets have no extension header but that of
    /// fragments.
    #[must_use]
    pub fn of_v6(message: &Icmpv6View<'_>) -> Option<Self> {
        if message.kind().kind != icmpv6::Kind::PACKET_TOO_BIG.kind {
            return None;
        }
        let (head, mut payload) = message.payload().split_first_chunk::<{ ipv6::HEADER_BYTES }>()?;
        if head[0] >> 4 != 6 {
            return None;
        }
        let mut protocol = Protocol(head[6]);
        if protocol == Protocol::FRAGMENT {
            let (fragment, behind) = payload.split_first_chunk::<8>()?;
            if be16(fragment, 2) & !7 != 0 {
                return None;
            }
            (protocol, payload) = (Protocol(fragment[0]), behind);
        }
        let address =
            |at: usize| IpAddr::from(Ipv6Addr::from(std::array::from_fn::<u8, 16, _>(|i| head[at + i])));
        let (spi, sequence_low) = front(protocol, payload)?;
        Some(Self {
            mtu_bytes: u16::try_from(message.word()).unwrap_or(u16::MAX),
            packet_bytes: be16(head, 4).saturating_add(40),
            local: address(8),
            remote: address(24),
            spi,
            sequence_low,
        })
    }
}

/// SPI and sequence number of ESP, bare or in UDP from our port 4500.
fn front(protocol: Protocol, payload: &[u8]) -> Option<(Spi, u32)> {
    let esp = match protocol {
        Protocol::ESP => payload,
        Protocol::UDP if payload.len() >= 2 && be16(payload, 0) == NAT_T_PORT => {
            payload.get(udp::HEADER_BYTES..)?
        }
        _ => return None,
    };
    let head: &[u8; esp::HEADER_BYTES] = esp.first_chunk()?;
    Some((Spi::new(be32(head, 0))?, be32(head, 4)))
}

/// The path MTU after a message that quotes a packet which the SA did send: lower than `current_bytes`, or none if the message says nothing new, or
/// nothing that can be true (a packet that fits, or one longer than we send). Never below 576 bytes (IPv4) or 1280 (IPv6), so that a forged message
/// cannot make a tunnel useless.
#[must_use]
pub fn path_mtu_after(message: &TooBig, current_bytes: u16) -> Option<u16> {
    let floor = if message.remote.is_ipv4() { FLOOR_V4_BYTES } else { ipv6::MINIMUM_MTU_BYTES };
    let told = match message.mtu_bytes {
        0 => PLATEAUS.into_iter().find(|plateau| *plateau < message.packet_bytes).unwrap_or(floor),
        told => told,
    };
    let new = told.max(floor);
    let is_plausible = told < message.packet_bytes && message.packet_bytes <= current_bytes;
    (is_plausible && new < current_bytes).then_some(new)
}

/// What every IPv4 host takes (RFC 791, 3.1), in bytes; some paths carry less, no sane one today.
const FLOOR_V4_BYTES: u16 = 576;
/// Common MTUs, for routers that do not tell theirs (RFC 1191, 7.1), in bytes.
const PLATEAUS: [u16; 7] = [32_000, 17_914, 8166, 4352, 2002, 1492, 1006];
