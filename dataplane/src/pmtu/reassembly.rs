//! What comes out of `dpdk_sys`'s reassembly, made into a packet like any other: one segment, with a right header checksum.

use dpdk_sys::{Mbuf, Mempool};

use crate::counter::Counter;
use crate::header::ipv4;

/// Copies a reassembled packet, whose data begins with its IP header, into one segment of `pool` (which has room for long
/// packets), and computes the IPv4 header checksum that reassembly leaves open.
///
/// # Errors
/// The drop reason and the packet: `ReassemblyTooLong` if the pool's buffers are too short or used up.
pub fn one_segment(whole: Mbuf, pool: &Mempool) -> Result<Mbuf, (Counter, Mbuf)> {
    let mut packet = if whole.is_contiguous() {
        whole
    } else {
        let copied = pool.take().and_then(|mut into| whole.linearize_into(&mut into).map(|()| into));
        copied.ok_or((Counter::ReassemblyTooLong, whole))?
    };
    let data = packet.data_mut();
    let header_bytes = data.first().map_or(0, |first| usize::from(first & 15) * 4);
    if data.first().is_some_and(|first| first >> 4 == 4)
        && header_bytes >= ipv4::HEADER_BYTES
        && let Some(header) = data.get_mut(..header_bytes)
    {
        ipv4::write_checksum(header);
    }
    Ok(packet)
}
