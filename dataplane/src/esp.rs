//! ESP tunnel mode on bytes: outer header, ESP header, IV and trailer on (outbound), trailer and padding off (inbound), and
//! what outer and inner headers owe each other. The seal and inbound stages call this around [`crate::gcm`].
//!
//! RFC 4303, 2 and 3.3/3.4 (format, processing), RFC 4106 (AES-GCM: the IV is the sequence number), RFC 3948 (in UDP), RFC
//! 6040 (ECN), RFC 4301, 5.1.2 and 8.1 (DSCP, DF).

use dpdk_sys::{Mbuf, Mempool};

use crate::counter::Counter;
use crate::forwarding::DontFragment;
use crate::gcm::Aad;
use crate::header::checksum::{self, Sum};
use crate::header::esp::{HEADER_BYTES, IV_BYTES, TAG_BYTES, TRAILER_BYTES};
use crate::header::ipv4::{self, Ipv4View};
use crate::header::ipv6::{self, Ipv6View};
use crate::header::{Protocol, be16, udp};
use crate::packet::Family;
use crate::sa::{DscpPolicy, Esn, Hot, Outer, TEMPLATE_BYTES};

/// What the outer header takes over from the inner one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Inner {
    /// Family, and so the next header.
    pub(crate) family: Family,
    /// DSCP and ECN.
    pub(crate) traffic_class: u8,
    /// The DF bit; set for IPv6. Once the tunnel is known, the outer header's ([`DontFragment::outer`]).
    pub(crate) dont_fragment: bool,
}

/// Puts an inner packet (the mbuf's data) into ESP, not yet sealed:
///
/// 1. padding, trailer and room for the tag behind it,
/// 2. IV, ESP header and outer header in front of it, the outer one from the SA's template,
/// 3. in the outer header: lengths, DSCP and ECN, DF and identification, and over IPv4 the checksum.
///
/// A UDP checksum over IPv6 needs the ciphertext: see [`finish`]. Returns the offset of what is to be sealed, in bytes.
///
/// # Errors
/// The drop reason: `EspNoRoom` or `EspTooLong`; the packet is then not to be used any more.
#[inline]
pub(crate) fn encapsulate(mbuf: &mut Mbuf, hot: &Hot, inner: Inner, sequence: u64) -> Result<u16, Counter> {
    let inner_bytes = u16::try_from(mbuf.data().len()).map_err(|_| Counter::EspTooLong)?;
    let front_bytes = u16::from(hot.template_bytes) + 4 + 8;
    let pad_bytes = inner_bytes.wrapping_add(2).wrapping_neg() & 3; // trailer included, a multiple of four
    let tail_bytes = pad_bytes + 2 + 16;
    let total_bytes = front_bytes
        .checked_add(tail_bytes)
        .and_then(|around| around.checked_add(inner_bytes))
        .ok_or(Counter::EspTooLong)?;
    let tail = mbuf.append(tail_bytes).ok_or(Counter::EspNoRoom)?;
    let next = match inner.family {
        Family::V4 => Protocol::IPV4.0,
        Family::V6 => Protocol::IPV6.0,
    };
    // One store for all: padding 1, 2, 3, its length, next header; the tag will overwrite the rest.
    let trailer = TRAILERS[usize::from(pad_bytes)] | u64::from(next) << (8 * pad_bytes + 8);
    *tail.first_chunk_mut().ok_or(Counter::EspNoRoom)? = trailer.to_le_bytes();
    let (traffic_class, df) = (outer_traffic_class(hot.dscp, inner.traffic_class), inner.dont_fragment);
    // Lengths of template and front are constants in each arm, so that they are written by a few wide stores.
    match hot.outer {
        Outer::V4 => {
            let outer = front::<24, 36>(mbuf, hot, sequence)?;
            write_v4(outer, hot.sum, total_bytes, traffic_class, df, sequence);
        }
        Outer::V4Udp => {
            let outer = front::<32, 44>(mbuf, hot, sequence)?;
            write_v4(outer, hot.sum, total_bytes, traffic_class, df, sequence);
            write_udp_bytes(&mut outer[ipv4::HEADER_BYTES..], total_bytes - 20);
        }
        Outer::V6 => {
            let outer = front::<44, 56>(mbuf, hot, sequence)?;
            write_v6(outer, total_bytes - 40, traffic_class);
        }
        Outer::V6Udp => {
            let outer = front::<52, 64>(mbuf, hot, sequence)?;
            write_v6(outer, total_bytes - 40, traffic_class);
            write_udp_bytes(&mut outer[ipv6::HEADER_BYTES..], total_bytes - 40);
        }
    }
    Ok(front_bytes)
}

/// The SA's template, sequence number and IV, in front of the packet; returns the outer header.
#[inline]
fn front<'a, const TEMPLATE: usize, const FRONT: usize>(
    mbuf: &'a mut Mbuf,
    hot: &Hot,
    sequence: u64,
) -> Result<&'a mut [u8; TEMPLATE], Counter> {
    const { assert!(FRONT == TEMPLATE + 12 && TEMPLATE <= TEMPLATE_BYTES) };
    let front_bytes = const { FRONT.to_le_bytes()[0] as u16 }; // at most 64
    let head = mbuf.prepend(front_bytes).ok_or(Counter::EspNoRoom)?;
    let (outer, esp) = head.split_first_chunk_mut::<TEMPLATE>().ok_or(Counter::EspNoRoom)?;
    let esp: &mut [u8; 12] = esp.first_chunk_mut().ok_or(Counter::EspNoRoom)?;
    let template: &[u8; TEMPLATE] = hot.template.first_chunk().ok_or(Counter::EspNoRoom)?;
    *outer = *template;
    let iv = sequence.to_be_bytes();
    esp[..4].copy_from_slice(&iv[4..]);
    esp[4..].copy_from_slice(&iv);
    Ok(outer)
}

/// What remains after sealing: the UDP checksum where the outer header is IPv6. RFC 6936 allows zero only where both ends
/// are configured for it, so it is computed.
pub(crate) fn finish(mbuf: &mut Mbuf, outer: Outer) {
    if outer == Outer::V6Udp
        && let Ok(view) = Ipv6View::new(mbuf.data())
    {
        let length = usize::from(view.payload_bytes());
        let pseudo = Sum::pseudo_v6(view.source(), view.destination(), Protocol::UDP, length);
        udp::write_checksum(&mut mbuf.data_mut()[ipv6::HEADER_BYTES..], pseudo);
    }
}

/// A NAT keepalive for an SA in UDP (RFC 3948, 2.3): one byte, no ESP. `None`: the pool is empty, or the SA is not in UDP.
pub(crate) fn keepalive(hot: &Hot, pool: &Mempool) -> Option<Mbuf> {
    let headers = usize::from(hot.template_bytes).checked_sub(4)?;
    let mut packet = [KEEPALIVE; 49];
    packet[..headers].copy_from_slice(hot.template.get(..headers)?);
    match hot.outer {
        Outer::V4Udp => {
            let outer = packet.first_chunk_mut()?;
            write_v4::<{ ipv4::HEADER_BYTES }>(outer, hot.sum, 29, 0, false, 0);
            write_udp_bytes(&mut packet[ipv4::HEADER_BYTES..], 9);
        }
        Outer::V6Udp => {
            write_v6(&mut packet, 9, 0);
            write_udp_bytes(&mut packet[ipv6::HEADER_BYTES..], 9);
        }
        Outer::V4 | Outer::V6 => return None,
    }
    let mut mbuf = pool.take_copy(packet.get(..=headers)?)?;
    finish(&mut mbuf, hot.outer);
    Some(mbuf)
}

/// What an authentic payload holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stripped<'a> {
    /// Family of the inner packet.
    pub(crate) family: Family,
    /// The packet, as long as its own header says.
    pub(crate) packet: &'a [u8],
}

/// Finds the inner packet in a decrypted payload: padding and trailer checked (RFC 4303, 2.4 to 2.6), padding for
/// traffic flow confidentiality behind the packet left out (2.7), the packet's header checked.
///
/// # Errors
/// The drop reason: `EspBadPadding`, `EspDummy`, `EspBadNextHeader`, `EspInnerMalformed`.
#[inline]
pub(crate) fn strip(payload: &[u8]) -> Result<Stripped<'_>, Counter> {
    let (body, trailer) = payload.split_last_chunk::<TRAILER_BYTES>().ok_or(Counter::EspBadPadding)?;
    let pad_bytes = usize::from(trailer[0]);
    let inner_bytes = body.len().checked_sub(pad_bytes).ok_or(Counter::EspBadPadding)?;
    let (inner, padding) = body.split_at(inner_bytes);
    if !padding.iter().zip(1..=u8::MAX).all(|(byte, expected)| *byte == expected) {
        return Err(Counter::EspBadPadding);
    }
    match Protocol(trailer[1]) {
        Protocol::IPV4 => {
            let view = Ipv4View::new(inner).map_err(|_| Counter::EspInnerMalformed)?;
            Ok(Stripped { family: Family::V4, packet: view.packet() })
        }
        Protocol::IPV6 => {
            let view = Ipv6View::new(inner).map_err(|_| Counter::EspInnerMalformed)?;
            Ok(Stripped { family: Family::V6, packet: view.packet() })
        }
        Protocol::NO_NEXT_HEADER => Err(Counter::EspDummy),
        _ => Err(Counter::EspBadNextHeader),
    }
}

/// The inner packet's ECN after decapsulation, with its DSCP (RFC 6040, 4.2).
///
/// # Errors
/// `EcnIllegal`: the outer header says "congestion experienced" and the inner sender does not understand it.
#[inline]
pub(crate) fn inner_traffic_class(outer: u8, inner: u8) -> Result<u8, Counter> {
    match (inner & ECN, outer & ECN) {
        (NOT_ECT, CE) => Err(Counter::EcnIllegal),
        (NOT_ECT, _) | (CE, _) => Ok(inner),
        (_, CE) => Ok(inner | CE),
        (ECT_0, ECT_1) => Ok(inner & !ECN | ECT_1),
        _ => Ok(inner),
    }
}

/// Nonce of AES-GCM (RFC 4106, 4).
#[inline]
pub(crate) fn nonce(salt: [u8; 4], iv: [u8; IV_BYTES]) -> [u8; 12] {
    let ([a, b, c, d], [e, f, g, h, i, j, k, l]) = (salt, iv);
    [a, b, c, d, e, f, g, h, i, j, k, l]
}

/// Additional authenticated data (RFC 4106, 5): SPI and sequence number, of which 64 bits under ESN.
#[inline]
pub(crate) fn aad(spi: [u8; 4], sequence: u64, esn: Esn) -> Aad {
    let ([a, b, c, d], [e, f, g, h, i, j, k, l]) = (spi, sequence.to_be_bytes());
    match esn {
        Esn::On => Aad::new(&[a, b, c, d, e, f, g, h, i, j, k, l]),
        Esn::Off => Aad::new(&[a, b, c, d, i, j, k, l]),
    }
}

/// ECN as RFC 6040, 4.1 (normal mode): the inner one. DSCP by policy.
fn outer_traffic_class(policy: DscpPolicy, inner: u8) -> u8 {
    match policy {
        DscpPolicy::Copy => inner,
        DscpPolicy::Fixed(dscp) => dscp << 2 | inner & ECN,
    }
}

/// The identification is the sequence number's low 16 bits: unique for as long as 64K packets are under way (RFC 6864).
/// `sum` is the template's, to which the words written here are added (RFC 1071).
#[inline]
fn write_v4<const N: usize>(
    outer: &mut [u8; N],
    sum: u32,
    total_bytes: u16,
    traffic_class: u8,
    dont_fragment: bool,
    sequence: u64,
) {
    let [.., high, low] = sequence.to_be_bytes();
    let identification = u16::from_be_bytes([high, low]);
    let flags: u16 = if dont_fragment { 0x4000 } else { 0 };
    let sum = sum
        + u32::from(traffic_class)
        + u32::from(total_bytes)
        + u32::from(identification)
        + u32::from(flags);
    outer[1] = traffic_class;
    outer[2..4].copy_from_slice(&total_bytes.to_be_bytes());
    outer[4..6].copy_from_slice(&identification.to_be_bytes());
    outer[6..8].copy_from_slice(&flags.to_be_bytes());
    outer[10..12].copy_from_slice(&checksum::fold(sum).to_be_bytes());
}

fn write_v6(outer: &mut [u8], payload_bytes: u16, traffic_class: u8) {
    outer[0] = 0x60 | traffic_class >> 4;
    outer[1] = traffic_class << 4;
    outer[4..6].copy_from_slice(&payload_bytes.to_be_bytes());
}

fn write_udp_bytes(udp: &mut [u8], length_bytes: u16) {
    udp[4..6].copy_from_slice(&length_bytes.to_be_bytes());
}

/// DSCP and ECN of the IP packet that `bytes` begin with, whose header has been checked.
pub(crate) fn traffic_class(bytes: &[u8]) -> u8 {
    match bytes {
        [first, second, ..] if first >> 4 == 4 => *second,
        [_, _, ..] => (be16(bytes, 0) >> 4).to_le_bytes()[0],
        _ => 0,
    }
}

impl DontFragment {
    /// The outer DF bit.
    pub(crate) fn outer(self, inner: bool) -> bool {
        match self {
            Self::Copy => inner,
            Self::Set => true,
            Self::Clear => false,
        }
    }
}

const _: () = assert!(HEADER_BYTES + IV_BYTES == 16 && TAG_BYTES == 16);

const KEEPALIVE: u8 = 0xff;

/// Padding and its length, for 0 to 3 bytes of padding, first byte lowest (RFC 4303, 2.4).
const TRAILERS: [u64; 4] = [0, 0x0101, 0x02_0201, 0x0303_0201];

/// The ECN field and its values (RFC 3168, 5).
const ECN: u8 = 3;
const NOT_ECT: u8 = 0;
const ECT_1: u8 = 1;
const ECT_0: u8 = 2;
const CE: u8 = 3;

#[cfg(test)]
mod tests;
