//! ESP with AES-GCM around packets that lie in several segments: sealed and opened where they are, without bringing them together. All headers are in the
//! first segment, as the receive stage saw to. Called by the seal and open stages.

use arrayvec::ArrayVec;
use dpdk_sys::{Mbuf, Mempool};

use super::shaped::write_outer;
use super::{Stripped, TRAILERS, aad, strip as strip_ends, tail};
use crate::counter::Counter;
use crate::gcm::{Kernel, Key, Nonce, Verdict};
use crate::header::esp::{HEADER_BYTES, IV_BYTES, TAG_BYTES, TRAILER_BYTES};
use crate::packet::{Entering, Family, Sealed};
use crate::sa::{Esn, Hot};

/// The most segments that a packet arrives in: 64 KiB in buffers of 1 KiB.
pub(crate) const SEGMENTS_MAX: usize = 64;

/// A segment more than arrives, for a trailer that the last one had no room for.
type Pieces<'a> = ArrayVec<&'a mut [u8], { SEGMENTS_MAX + 1 }>;

/// Puts a whole packet into ESP and seals it, and puts no link header on:
///
/// 1. padding, trailer and room for the tag behind it, in a segment of their own (of `pool`) where the last one has no room,
/// 2. IV, ESP header and outer header in front of it,
/// 3. AES-GCM from segment to segment.
///
/// # Errors
/// The drop reason: `EspNoRoom` or `EspTooLong`; the packet is then not to be used any more.
pub(crate) fn seal(
    packet: &mut Entering,
    hot: &Hot,
    (key, salt): (&Key, [u8; 4]),
    sequence: u64,
    kernel: Kernel,
    pool: &Mempool,
) -> Result<(), Counter> {
    packet.framed = false;
    let Entering { mbuf, bytes, inner, .. } = packet;
    let front_bytes = u16::from(hot.template_bytes) + SEQUENCE_AND_IV_BYTES;
    let (pad_bytes, tail_bytes) = tail(*bytes);
    let total_bytes = bytes.checked_add(front_bytes + tail_bytes).ok_or(Counter::EspTooLong)?;
    let trailer = TRAILERS[usize::from(inner.family == Family::V6)][usize::from(pad_bytes & 3)];
    let room = append(mbuf, tail_bytes, pool).and_then(|tail| tail.first_chunk_mut());
    *room.ok_or(Counter::EspNoRoom)? = trailer.to_le_bytes();
    let front = mbuf.prepend(front_bytes).ok_or(Counter::EspNoRoom)?;
    let (outer, esp) = front.split_at_mut(hot.esp_at().into());
    outer.copy_from_slice(&hot.template[..outer.len()]);
    write_outer(outer, hot, *inner, total_bytes, sequence).ok_or(Counter::EspNoRoom)?;
    let iv = sequence.to_be_bytes();
    let (header, rest) = esp.split_at_mut(HEADER_BYTES);
    header[..4].copy_from_slice(&hot.spi);
    header[4..].copy_from_slice(&iv[4..]);
    rest.copy_from_slice(&iv);
    mbuf.clear_offloads();
    let to = usize::from(total_bytes) - TAG_BYTES;
    let mut payload = pieces(mbuf, front_bytes.into(), to).ok_or(Counter::EspNoRoom)?;
    let aad = aad(hot.spi, sequence, hot.esn);
    let tag = kernel.seal_pieces(key, Nonce::new(salt, iv), aad, &mut payload);
    drop(payload);
    let room = mbuf.segments_mut().last().and_then(|segment| segment.last_chunk_mut());
    *room.ok_or(Counter::EspNoRoom)? = tag;
    Ok(())
}

/// Bytes behind the packet, all of them in one segment.
fn append<'a>(mbuf: &'a mut Mbuf, bytes: u16, pool: &Mempool) -> Option<&'a mut [u8]> {
    if mbuf.tailroom_bytes() < bytes {
        mbuf.chain(pool.take()?).ok()?;
    }
    mbuf.append(bytes)
}

/// Opens a packet where it is; says whether it is authentic. If not, its payload is zeros.
pub(crate) fn open(
    packet: &mut Sealed,
    (key, salt): (&Key, [u8; 4]),
    sequence: u64,
    esn: Esn,
    kernel: Kernel,
) -> bool {
    let (esp_at, end) = (usize::from(packet.esp_at), usize::from(packet.end));
    let mut tag = [0; TAG_BYTES];
    let front = packet.mbuf.data().get(esp_at..).and_then(|esp| esp.first_chunk::<FRONT_BYTES>());
    let (Some(&[s0, s1, s2, s3, _, _, _, _, ref iv @ ..]), Some(to)) = (front, end.checked_sub(TAG_BYTES))
    else {
        return false;
    };
    let (nonce, aad) = (Nonce::new(salt, *iv), aad([s0, s1, s2, s3], sequence, esn));
    if packet.mbuf.read(to, &mut tag).is_none() {
        return false;
    }
    let payload = pieces(&mut packet.mbuf, esp_at + FRONT_BYTES, to);
    payload.is_some_and(|mut payload| {
        kernel.open_pieces(key, nonce, aad, &mut payload, &tag) == Verdict::Authentic
    })
}

/// As [`super::strip`], for the payload between these two places.
pub(crate) fn strip(mbuf: &Mbuf, from: usize, to: usize) -> Result<Stripped, Counter> {
    let mut back = [0; LONGEST_TRAILER_BYTES];
    let payload_bytes = to.saturating_sub(from);
    let back = &mut back[..payload_bytes.min(LONGEST_TRAILER_BYTES)];
    mbuf.read(to - back.len(), back).ok_or(Counter::EspBadPadding)?;
    strip_ends(mbuf.data().get(from..).unwrap_or_default(), back, payload_bytes)
}

/// What segments have of the bytes between two places. `None`: they are too many.
fn pieces(mbuf: &mut Mbuf, from: usize, to: usize) -> Option<Pieces<'_>> {
    let (mut pieces, mut start) = (Pieces::new(), 0);
    for segment in mbuf.segments_mut() {
        let bytes = segment.len();
        let within = |place: usize| place.saturating_sub(start).min(bytes);
        if within(from) < within(to) {
            pieces.try_push(&mut segment[within(from)..within(to)]).ok()?;
        }
        start += bytes;
    }
    Some(pieces)
}

const FRONT_BYTES: usize = HEADER_BYTES + IV_BYTES;
/// What the template does not have.
const SEQUENCE_AND_IV_BYTES: u16 = 12;
/// As much padding as its length can tell of.
const LONGEST_TRAILER_BYTES: usize = 255 + TRAILER_BYTES;
