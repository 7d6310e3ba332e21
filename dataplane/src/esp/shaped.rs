//! ESP tunnel mode for transforms other than AES-GCM: IV, padding and ICV as long as the SA's transform has them. Called by the seal stage, which then
//! seals with [`crate::transform::Sealer`]. RFC 4303, 2 and 3.3.

use super::{Inner, write_udp_bytes, write_v4, write_v6};
use crate::counter::Counter;
use crate::header::esp::{HEADER_BYTES, TRAILER_BYTES};
use crate::header::{Protocol, ipv4, ipv6};
use crate::packet::{Entering, Family};
use crate::sa::{Hot, Outer};
use crate::transform::Shape;

/// Puts a packet into ESP, not yet sealed, by one change of the mbuf: padding, trailer and room for the ICV behind it, room for the IV, ESP header and
/// outer header in front of it, and no link header. Returns the ESP packet.
///
/// # Errors
/// The drop reason: `EspNoRoom` or `EspTooLong`; the packet is then not to be used any more.
pub(crate) fn encapsulate<'a>(
    packet: &'a mut Entering,
    hot: &Hot,
    shape: Shape,
    sequence: u64,
) -> Result<&'a mut [u8], Counter> {
    packet.framed = false;
    let (inner, inner_bytes) = (packet.inner, usize::from(packet.bytes));
    let esp_at = usize::from(hot.template_bytes) - SPI_BYTES;
    let (front_bytes, payload_bytes) = (esp_at + shape.front_bytes(), shape.payload_bytes(inner_bytes));
    let narrow = |bytes: usize| u16::try_from(bytes).map_err(|_| Counter::EspTooLong);
    let total_bytes = narrow(front_bytes + payload_bytes + usize::from(shape.icv_bytes))?;
    let front = narrow(front_bytes)?;
    let start = i32::from(packet.at) - i32::from(front);
    let all = packet.mbuf.reframe(start, total_bytes).ok_or(Counter::EspNoRoom)?;
    let tail = &mut all[front_bytes + inner_bytes..front_bytes + payload_bytes];
    let (padding, trailer) = tail.split_at_mut(payload_bytes - inner_bytes - TRAILER_BYTES);
    for (byte, count) in padding.iter_mut().zip(1..) {
        *byte = count;
    }
    let next = match inner.family {
        Family::V4 => Protocol::IPV4.0,
        Family::V6 => Protocol::IPV6.0,
    };
    let pad_bytes = padding.len().to_le_bytes()[0]; // less than a block
    trailer.copy_from_slice(&[pad_bytes, next]);
    let (outer, esp) = all.split_at_mut(esp_at);
    outer.copy_from_slice(&hot.template[..esp_at]);
    write_outer(outer, hot, inner, total_bytes, sequence).ok_or(Counter::EspNoRoom)?;
    let [.., a, b, c, d] = sequence.to_be_bytes();
    esp[..SPI_BYTES].copy_from_slice(&hot.spi);
    esp[SPI_BYTES..HEADER_BYTES].copy_from_slice(&[a, b, c, d]);
    Ok(esp)
}

/// Lengths, DSCP and ECN, DF, identification and checksum of the outer header.
pub(super) fn write_outer(
    outer: &mut [u8],
    hot: &Hot,
    inner: Inner,
    total_bytes: u16,
    sequence: u64,
) -> Option<()> {
    let traffic_class = hot.dscp.outer(inner.traffic_class);
    let ip_bytes = match hot.outer {
        Outer::V4 | Outer::V4Udp => {
            let header = outer.first_chunk_mut::<{ ipv4::HEADER_BYTES }>()?;
            let (template, df) = (hot.template.first_chunk()?, inner.dont_fragment);
            write_v4(header, template, hot.sum, total_bytes, traffic_class, df, sequence);
            20
        }
        Outer::V6 | Outer::V6Udp => {
            write_v6(outer, total_bytes - 40, traffic_class);
            40
        }
    };
    if matches!(hot.outer, Outer::V4Udp | Outer::V6Udp) {
        write_udp_bytes(&mut outer[usize::from(ip_bytes)..], total_bytes - ip_bytes);
    }
    Some(())
}

const SPI_BYTES: usize = 4;
const _: () = assert!(ipv4::HEADER_BYTES == 20 && ipv6::HEADER_BYTES == 40);
