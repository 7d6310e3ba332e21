//! Reassembly: a worker's tables of incomplete packets, and what comes out of them, made into a packet like any other: one segment, with a right
//! header checksum.

use std::time::Duration;

use dpdk_sys::{Eal, Error, MAX_FRAGMENTS, Mbuf, Mempool, Reassembler, ReassemblyOptions};

use crate::counter::Counter;
use crate::forwarding::VrfId;
use crate::header::ipv4;

/// Packets from the underlay that may be incomplete at a time, and for how long: strangers can fill the table, and 512 of them a second have to, all the time.
const UNDERLAY_PACKETS: u32 = 512;
const INCOMPLETE: Duration = Duration::from_secs(1);
/// The same of all networks together, where fragments are for our own addresses only.
const NETWORK_PACKETS: u32 = 32;
/// Packets of a pool that a worker's incomplete packets hold at most, whoever floods it.
pub const FRAGMENTS_HELD_MAX: u32 = (UNDERLAY_PACKETS + NETWORK_PACKETS) * (MAX_FRAGMENTS - 1);

/// A worker's incomplete packets: of the underlay, and of the networks, whose hosts take no room from IKE and ESP.
pub struct Reassemblers {
    underlay: Reassembler,
    networks: Reassembler,
}

impl Reassemblers {
    /// Makes empty tables.
    ///
    /// # Errors
    /// Too little memory.
    pub fn new(eal: &Eal) -> Result<Self, Error> {
        let table = |max_packets| {
            let options =
                ReassemblyOptions { max_packets, timeout: INCOMPLETE, ..ReassemblyOptions::default() };
            Reassembler::new(eal, &options)
        };
        Ok(Self { underlay: table(UNDERLAY_PACKETS)?, networks: table(NETWORK_PACKETS)? })
    }

    /// The table for packets of `vrf`.
    pub fn of(&mut self, vrf: VrfId) -> &mut Reassembler {
        if vrf == VrfId::UNDERLAY { &mut self.underlay } else { &mut self.networks }
    }

    /// Discards what has been incomplete for too long; call it now and then.
    pub fn expire(&mut self, now_cycles: u64) {
        self.underlay.expire(now_cycles);
        self.networks.expire(now_cycles);
    }

    /// Fragments discarded so far: too late, too many, overlapping, or no room in a table.
    #[must_use]
    pub fn discarded(&self) -> u64 {
        self.underlay.discarded() + self.networks.discarded()
    }
}

/// Copies a reassembled packet, whose data begins with its IP header, into one segment of `usual`, or of `long` if it is too long for that, and
/// computes the IPv4 header checksum that reassembly leaves open. Few packets are so long, and so few buffers are in `long`: others, which
/// may wait long for a neighbour or in a port's queue, take none of them.
///
/// # Errors
/// The drop reason and the packet: `ReassemblyTooLong` if the pool's buffers are too short or used up.
pub fn one_segment(whole: Mbuf, usual: &Mempool, long: &Mempool) -> Result<Mbuf, (Counter, Mbuf)> {
    let mut packet = if whole.is_contiguous() {
        whole
    } else {
        copied(&whole, usual, long).ok_or((Counter::ReassemblyTooLong, whole))?
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

/// A packet of several segments in one, of `usual` or, if it is too long for that, of `long`. `None`: that is too short, too, or used up.
pub(crate) fn copied(segments: &Mbuf, usual: &Mempool, long: &Mempool) -> Option<Mbuf> {
    let pool = if segments.len_bytes() <= u32::from(usual.room_bytes()) { usual } else { long };
    let mut into = pool.take()?;
    segments.linearize_into(&mut into)?;
    Some(into)
}
