//! ESP tunnel mode on bytes: outer header, ESP header, IV and trailer on (outbound), trailer and padding off (inbound), and
//! what outer and inner headers owe each other. The seal and inbound stages call this around [`crate::gcm`] and [`crate::transform`].
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
use crate::header::{Protocol, be16, ethernet, udp};
use crate::packet::{Entering, Family};
use crate::sa::{DscpPolicy, Esn, Hot, Outer, OuterDscp, TEMPLATE_BYTES};
use crate::transform::Shape;

pub(crate) mod segments;
pub(crate) mod shaped;

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

/// Puts a packet into ESP with AES-GCM, not yet sealed, by one change of the mbuf ([`shaped`] does so for other transforms):
///
/// 1. padding, trailer and room for the tag behind it; what was there before goes,
/// 2. IV, ESP header and outer header in front of it, the outer one from the SA's template,
/// 3. in the outer header: lengths, DSCP and ECN, DF and identification, and over IPv4 the checksum.
///
/// A UDP checksum over IPv6 needs the ciphertext: see [`finish`]. Returns what is to be sealed, the tag's room included.
///
/// # Errors
/// The drop reason: `EspNoRoom` or `EspTooLong`; the packet is then not to be used any more.
pub(crate) fn encapsulate<'a>(
    packet: &'a mut Entering,
    hot: &Hot,
    sequence: u64,
) -> Result<&'a mut [u8], Counter> {
    packet.framed = false;
    match hot.outer {
        Outer::V4 => put_on::<0, 24, 36>(packet, hot, &[], sequence),
        Outer::V4Udp => put_on::<0, 32, 44>(packet, hot, &[], sequence),
        Outer::V6 => put_on::<0, 44, 56>(packet, hot, &[], sequence),
        Outer::V6Udp => put_on::<0, 52, 64>(packet, hot, &[], sequence),
    }
}

/// Like [`encapsulate`], and puts a plain Ethernet header in front of the outer one. For a template of that length, all of which is known when this is
/// compiled, and so is where everything in front goes: it is written by a few wide stores. `FRONT` is the length of all of it.
#[inline(always)] // a result that is returned through memory is read back in other pieces than it was written
pub(crate) fn frame<'a, const TEMPLATE: usize, const FRONT: usize>(
    packet: &'a mut Entering,
    hot: &Hot,
    link: &[u8; ethernet::HEADER_BYTES],
    sequence: u64,
) -> Result<&'a mut [u8], Counter> {
    packet.framed = true;
    put_on::<{ ethernet::HEADER_BYTES }, TEMPLATE, FRONT>(packet, hot, link, sequence)
}

/// Length of the outer packet around so many bytes, in bytes, with a template of that length.
#[inline(always)]
pub(crate) fn total_bytes<const TEMPLATE: usize>(inner_bytes: u16) -> u32 {
    let (_, tail_bytes) = tail(inner_bytes);
    let front_bytes = const { TEMPLATE.to_le_bytes()[0] as u32 + SEQUENCE_AND_IV_BYTES };
    front_bytes + u32::from(inner_bytes) + u32::from(tail_bytes)
}

#[inline(always)]
fn put_on<'a, const LINK: usize, const TEMPLATE: usize, const FRONT: usize>(
    packet: &'a mut Entering,
    hot: &Hot,
    link: &[u8; LINK],
    sequence: u64,
) -> Result<&'a mut [u8], Counter> {
    const { assert!(FRONT == LINK + TEMPLATE + 12 && FRONT < 256 && TEMPLATE <= TEMPLATE_BYTES) };
    const IS_V4: [usize; 2] = [24, 32];
    let (inner, inner_bytes) = (packet.inner, usize::from(packet.bytes));
    let (pad_bytes, tail_bytes) = tail(packet.bytes);
    let total = u16::try_from(total_bytes::<TEMPLATE>(packet.bytes)).map_err(|_| Counter::EspTooLong)?;
    let sealed_bytes = packet.bytes + tail_bytes; // less than the total
    let (front, sealed) = front::<LINK, TEMPLATE, FRONT>(packet, sealed_bytes, link, sequence)?;
    let outer: &mut [u8; TEMPLATE] = front[LINK..].first_chunk_mut().ok_or(Counter::EspNoRoom)?;
    let template: &[u8; TEMPLATE] = hot.template.first_chunk().ok_or(Counter::EspNoRoom)?;
    let traffic_class = hot.dscp.outer(inner.traffic_class);
    if TEMPLATE == IS_V4[0] || TEMPLATE == IS_V4[1] {
        write_v4(outer, template, hot.sum, total, traffic_class, inner.dont_fragment, sequence);
        if TEMPLATE == IS_V4[1] {
            write_udp_bytes(&mut outer[ipv4::HEADER_BYTES..], total - 20);
        }
    } else {
        *outer = *template;
        write_v6(outer, total - 40, traffic_class);
        if TEMPLATE == TEMPLATE_BYTES {
            write_udp_bytes(&mut outer[ipv6::HEADER_BYTES..], total - 40);
        }
    }
    // One store for all: padding 1, 2, 3, its length, next header; the tag will overwrite the rest.
    let trailer = TRAILERS[usize::from(inner.family == Family::V6)][usize::from(pad_bytes & 3)];
    let tail = sealed.get_mut(inner_bytes..).and_then(|tail| tail.first_chunk_mut());
    *tail.ok_or(Counter::EspNoRoom)? = trailer.to_le_bytes();
    Ok(sealed)
}

/// Bytes of padding, and of all that is behind a packet of that many bytes: padding, trailer and tag. With the trailer, it is a multiple of four.
#[inline]
pub(crate) fn tail(bytes: u16) -> (u16, u16) {
    let pad_bytes = bytes.wrapping_add(2).wrapping_neg() & 3;
    (pad_bytes, pad_bytes + 18)
}

/// Makes room on both sides; writes link header, sequence number and IV, but not what is between them.
#[inline(always)]
fn front<'a, const LINK: usize, const TEMPLATE: usize, const FRONT: usize>(
    packet: &'a mut Entering,
    sealed_bytes: u16,
    link: &[u8; LINK],
    sequence: u64,
) -> Result<(&'a mut [u8; FRONT], &'a mut [u8]), Counter> {
    let front_bytes = const { FRONT.to_le_bytes()[0] as u16 };
    let start = i32::from(packet.at) - i32::from(front_bytes);
    let bytes = sealed_bytes.checked_add(front_bytes).ok_or(Counter::EspTooLong)?;
    let all = packet.mbuf.reframe(start, bytes).ok_or(Counter::EspNoRoom)?;
    let (front, sealed) = all.split_first_chunk_mut::<FRONT>().ok_or(Counter::EspNoRoom)?;
    front[..LINK].copy_from_slice(link);
    let iv = sequence.to_be_bytes();
    front[LINK + TEMPLATE..][..4].copy_from_slice(&iv[4..]);
    front[LINK + TEMPLATE + 4..].copy_from_slice(&iv);
    Ok((front, sealed))
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
            let outer: &mut [u8; ipv4::HEADER_BYTES] = packet.first_chunk_mut()?;
            write_v4(outer, hot.template.first_chunk()?, hot.sum, 29, 0, false, 0);
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
pub(crate) struct Stripped {
    /// Family of the inner packet.
    pub(crate) family: Family,
    /// Length of the packet, in bytes, as its own header says.
    pub(crate) bytes: usize,
    /// Its DSCP and ECN.
    pub(crate) traffic_class: u8,
}

/// Finds the inner packet in a decrypted payload of so many bytes: padding and trailer checked (RFC 4303, 2.4 to 2.6), padding for
/// traffic flow confidentiality behind the packet left out (2.7), the packet's header checked. `front` has the packet's headers, `back` padding and trailer; both are the
/// payload itself, but where it lies in several buffers.
///
/// # Errors
/// The drop reason: `EspBadPadding`, `EspDummy`, `EspBadNextHeader`, `EspInnerMalformed`.
pub(crate) fn strip(front: &[u8], back: &[u8], payload_bytes: usize) -> Result<Stripped, Counter> {
    let (body, [pad_bytes, next]) = back.split_last_chunk().ok_or(Counter::EspBadPadding)?;
    let pad_bytes = usize::from(*pad_bytes);
    let padding_at = body.len().checked_sub(pad_bytes).ok_or(Counter::EspBadPadding)?;
    let inner_bytes = payload_bytes.saturating_sub(TRAILER_BYTES + pad_bytes);
    if !body[padding_at..].iter().zip(1..=u8::MAX).all(|(byte, expected)| *byte == expected) {
        return Err(Counter::EspBadPadding);
    }
    let inner = front.get(..inner_bytes).unwrap_or(front);
    match Protocol(*next) {
        Protocol::IPV4 => {
            let view = Ipv4View::of_front(inner, inner_bytes).and_then(Ipv4View::with_checksum_checked);
            let view = view.map_err(|_| Counter::EspInnerMalformed)?;
            let (bytes, traffic_class) = (view.total_bytes().into(), view.traffic_class());
            Ok(Stripped { family: Family::V4, bytes, traffic_class })
        }
        Protocol::IPV6 => {
            let view = Ipv6View::of_front(inner, inner_bytes).map_err(|_| Counter::EspInnerMalformed)?;
            let (bytes, traffic_class) = (view.total_bytes(), view.traffic_class());
            Ok(Stripped { family: Family::V6, bytes, traffic_class })
        }
        Protocol::NO_NEXT_HEADER => Err(Counter::EspDummy),
        _ => Err(Counter::EspBadNextHeader),
    }
}

/// The same for the padding that nearly all have, at most three bytes, without a look at the inner packet. `None`: ask [`strip`].
#[inline(always)]
pub(crate) fn unpad(payload: &[u8]) -> Option<(Family, &[u8])> {
    // For 0 to 3 bytes of padding, those of the last three bytes that are padding, and its length behind them; and what they have to be.
    const PADDED: [(u32, u32); 4] = [
        (0xff00_0000, 0x0000_0000),
        (0xffff_0000, 0x0101_0000),
        (0xffff_ff00, 0x0202_0100),
        (0xffff_ffff, 0x0303_0201),
    ];
    let tail: &[u8; 3 + TRAILER_BYTES] = payload.last_chunk()?;
    let [a, b, c, pad_bytes, next] = *tail;
    let family = match Protocol(next) {
        Protocol::IPV4 => Family::V4,
        Protocol::IPV6 => Family::V6,
        _ => return None,
    };
    let (mask, padded) = PADDED.get(usize::from(pad_bytes))?;
    let inner_bytes = payload.len() - TRAILER_BYTES - usize::from(pad_bytes);
    let is_right = u32::from_le_bytes([a, b, c, pad_bytes]) & mask == *padded;
    payload.get(..inner_bytes).filter(|_| is_right).map(|inner| (family, inner))
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

/// Additional authenticated data (RFC 4106, 5): SPI and sequence number, of which 64 bits under ESN.
#[inline(always)]
pub(crate) fn aad(spi: [u8; 4], sequence: u64, esn: Esn) -> Aad {
    let [_, _, _, _, low @ ..] = sequence.to_be_bytes();
    match esn {
        Esn::On => Aad::esp_extended(spi, sequence),
        Esn::Off => Aad::esp(spi, u32::from_be_bytes(low)),
    }
}

impl OuterDscp {
    /// ECN as RFC 6040, 4.1 (normal mode): the inner one. DSCP by policy.
    #[inline(always)]
    fn outer(self, inner: u8) -> u8 {
        inner & self.kept | self.set
    }
}

impl From<DscpPolicy> for OuterDscp {
    fn from(policy: DscpPolicy) -> Self {
        match policy {
            DscpPolicy::Copy => Self { kept: u8::MAX, set: 0 },
            DscpPolicy::Fixed(dscp) => Self { kept: ECN, set: dscp << 2 },
        }
    }
}

/// The identification is the sequence number's low 16 bits: unique for as long as 64K packets are under way (RFC 6864).
/// `sum` is the template's, to which the words written here are added (RFC 1071). Two words are put together in registers, the rest is the template's.
#[inline(always)]
fn write_v4<const N: usize>(
    outer: &mut [u8; N],
    template: &[u8; N],
    sum: u32,
    total_bytes: u16,
    traffic_class: u8,
    dont_fragment: bool,
    sequence: u64,
) {
    const { assert!(N >= ipv4::HEADER_BYTES) };
    let identification = sequence & 0xffff;
    let flags: u16 = if dont_fragment { ipv4::DONT_FRAGMENT } else { 0 };
    let first = 0x45 << 56
        | u64::from(traffic_class) << 48
        | u64::from(total_bytes) << 32
        | identification << 16
        | u64::from(flags);
    let added = u64::from(traffic_class) + u64::from(total_bytes) + identification + u64::from(flags);
    let checksum = checksum::fold(sum + u32::try_from(added).unwrap_or(0)); // four words of 16 bits
    // Its checksum is zero.
    let second =
        template[8..].first_chunk().map_or(0, |word| u64::from_be_bytes(*word)) | u64::from(checksum) << 32;
    outer[..8].copy_from_slice(&first.to_be_bytes());
    outer[8..16].copy_from_slice(&second.to_be_bytes());
    outer[16..].copy_from_slice(&template[16..]);
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

/// Sets DSCP and ECN of an IP packet.
pub(crate) fn set_traffic_class(packet: &mut [u8], family: Family, traffic_class: u8) {
    match family {
        Family::V4 => {
            if let Some(head) = packet.first_chunk_mut() {
                ipv4::set_traffic_class(head, traffic_class);
            }
        }
        Family::V6 => {
            if let Some(head) = packet.first_chunk_mut() {
                ipv6::set_traffic_class(head, traffic_class);
            }
        }
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

/// Sequence number and IV: what the template does not have.
const SEQUENCE_AND_IV_BYTES: u32 = 12;

const _: () = assert!(HEADER_BYTES + IV_BYTES == 16 && TAG_BYTES == 16);
const _: () = assert!(Shape::AES_GCM.front_bytes() == 16 && Shape::AES_GCM.icv_bytes == 16);

const KEEPALIVE: u8 = 0xff;

/// Padding, its length and the next header, for IPv4 and IPv6 and 0 to 3 bytes of padding, first byte lowest (RFC 4303, 2.4 to 2.6).
const TRAILERS: [[u64; 4]; 2] = {
    const fn of(next: Protocol) -> [u64; 4] {
        let next = next.0 as u64;
        [next << 8, 0x0101 | next << 16, 0x02_0201 | next << 24, 0x0303_0201 | next << 32]
    }
    [of(Protocol::IPV4), of(Protocol::IPV6)]
};

/// The ECN field and its values (RFC 3168, 5).
const ECN: u8 = 3;
const NOT_ECT: u8 = 0;
const ECT_1: u8 = 1;
const ECT_0: u8 = 2;
const CE: u8 = 3;

#[cfg(test)]
mod tests;
