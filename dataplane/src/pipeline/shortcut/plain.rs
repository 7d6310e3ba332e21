//! What the shortcut reads of a burst before it looks anything up: which packets are plain, and which of them in a row are of one flow ([`Run`]), so
//! that a run is looked up once.
//!
//! Whatever is read goes from registers to its place at once: as a result of several calls, it would be packed and taken apart again, or written and read
//! back in other pieces, for which a CPU waits.

use arrayvec::ArrayVec;
use dpdk_sys::BURST_PACKETS;

use crate::esp::{self, Inner};
use crate::flow::{Key, WayNumber};
use crate::header::{Protocol, be16, checksum, ipv4, ipv6};
use crate::packet::Family;

/// A plain packet, by its header.
#[derive(Clone, Copy, Debug)]
pub(in crate::pipeline) struct Plain {
    /// By its own header, in bytes; 0: it is no plain packet.
    pub(super) total_bytes: u16,
    /// Where it begins in the mbuf's data, in bytes.
    pub(super) at: u16,
    pub(super) protocol: Protocol,
    pub(in crate::pipeline) inner: Inner,
}

const _: () = assert!(size_of::<Plain>() == 8, "a burst's are few lines");

/// Packets in a row that are of one flow; or none of which is plain ([`Key::NONE`]).
#[derive(Clone, Copy)]
pub(in crate::pipeline) struct Run {
    pub(in crate::pipeline) key: Key,
    pub(in crate::pipeline) packets: u8,
}

/// What begins with a packet.
pub(in crate::pipeline) enum Begins {
    Run,
    /// It is one more of the last run.
    Nothing,
}

/// A burst's packets, in its order, and the runs that they make.
pub(in crate::pipeline) struct Plains {
    packets: ArrayVec<Plain, BURST_PACKETS>,
    runs: ArrayVec<Run, BURST_PACKETS>,
}

impl Plain {
    /// No plain packet.
    const NONE: Self = Self {
        total_bytes: 0,
        at: 0,
        protocol: Protocol(0),
        inner: Inner { family: Family::V4, traffic_class: 0, dont_fragment: false },
    };

    /// Whether it is one.
    #[inline(always)]
    pub(super) fn is_some(&self) -> bool {
        self.total_bytes != 0
    }

    /// Whether it is neither longer than what is there nor a TCP handshake.
    #[inline(always)]
    fn is_whole(&self, packet: &[u8], header_bytes: usize) -> bool {
        let total_bytes = usize::from(self.total_bytes);
        // Bytes of a TCP header up to its flags, of which SYN marks a handshake.
        let flags_at = header_bytes + 13;
        let may_pass = self.protocol != Protocol::TCP
            || flags_at < total_bytes && packet.get(flags_at).is_some_and(|flags| flags & 2 == 0);
        total_bytes >= header_bytes && total_bytes <= packet.len() && may_pass
    }
}

/// Where a packet is, and how it came.
#[derive(Clone, Copy)]
pub(in crate::pipeline) struct Arrival {
    pub(in crate::pipeline) way: WayNumber,
    /// Where it begins in the mbuf's data, in bytes.
    pub(in crate::pipeline) at: u16,
    /// Whether its header's checksum is known to be right (IPv4).
    pub(in crate::pipeline) checksum_known: bool,
    /// DSCP and ECN of the outer header, whose news the inner one has to take over; 0 for what came without.
    pub(in crate::pipeline) outer_class: u8,
}

impl Arrival {
    /// Whether the outer header has nothing to say that this traffic class does not (RFC 6040).
    #[inline(always)]
    fn keeps(&self, traffic_class: u8) -> bool {
        self.outer_class & 3 == 0
            || esp::inner_traffic_class(self.outer_class, traffic_class) == Ok(traffic_class)
    }
}

impl Plains {
    /// None yet.
    pub(in crate::pipeline) const fn new() -> Self {
        Self { packets: ArrayVec::new_const(), runs: ArrayVec::new_const() }
    }

    /// In the order of the burst.
    pub(in crate::pipeline) fn packets(&self) -> &[Plain] {
        &self.packets
    }

    /// In the order of the burst.
    pub(in crate::pipeline) fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Adds the burst's next packet, by its header, if it is a plain IPv4 packet; says whether a run begins with it. `None`: not a plain packet, or a broken
    /// one: the general stages will find out.
    #[inline(always)]
    pub(in crate::pipeline) fn add_v4(&mut self, packet: &[u8], arrival: Arrival) -> Option<Begins> {
        let head: &[u8; ipv4::HEADER_BYTES] = packet.first_chunk()?;
        let fragment = be16(head, 6);
        let inner = Inner {
            family: Family::V4,
            traffic_class: head[1],
            dont_fragment: fragment & ipv4::DONT_FRAGMENT != 0,
        };
        let plain = Plain { total_bytes: be16(head, 2), at: arrival.at, protocol: Protocol(head[9]), inner };
        let is_plain = head[0] == 0x45
            && fragment & !ipv4::DONT_FRAGMENT == 0
            && head[8] > 1
            && plain.is_whole(packet, ipv4::HEADER_BYTES)
            && arrival.keeps(inner.traffic_class)
            && (arrival.checksum_known || checksum::is_valid_header(head));
        if !is_plain {
            return None;
        }
        let [_, _, _, _, _, _, _, _, _, _, _, _, both @ ..] = *head;
        let both = u64::from_ne_bytes(both);
        self.packets.push(plain);
        if let Some(run) = self.runs.last_mut()
            && run.key.is_v4(arrival.way, both)
        {
            run.packets += 1;
            return Some(Begins::Nothing);
        }
        self.runs.push(Run { key: Key::v4(arrival.way, both), packets: 1 });
        Some(Begins::Run)
    }

    /// Like [`Plains::add_v4`], for IPv6.
    #[inline(always)]
    pub(in crate::pipeline) fn add_v6(&mut self, packet: &[u8], arrival: Arrival) -> Option<Begins> {
        let head: &[u8; ipv6::HEADER_BYTES] = packet.first_chunk()?;
        let protocol = Protocol(head[6]);
        let total_bytes = be16(head, 4).checked_add(40)?;
        let traffic_class = head[0] << 4 | head[1] >> 4;
        let inner = Inner { family: Family::V6, traffic_class, dont_fragment: true };
        let plain = Plain { total_bytes, at: arrival.at, protocol, inner };
        let is_plain = head[0] >> 4 == 6
            && head[7] > 1
            && protocol != Protocol::ICMPV6
            && !ipv6::is_extension(protocol)
            && plain.is_whole(packet, ipv6::HEADER_BYTES)
            && arrival.keeps(traffic_class);
        if !is_plain {
            return None;
        }
        let (words, _) = head[8..].as_chunks::<8>();
        let addresses = std::array::from_fn(|at| u64::from_ne_bytes(words[at]));
        self.packets.push(plain);
        if let Some(run) = self.runs.last_mut()
            && run.key.is_v6(arrival.way, addresses)
        {
            run.packets += 1;
            return Some(Begins::Nothing);
        }
        self.runs.push(Run { key: Key::v6(arrival.way, addresses), packets: 1 });
        Some(Begins::Run)
    }

    /// Adds a packet that is not plain.
    pub(in crate::pipeline) fn add_other(&mut self) {
        self.packets.push(Plain::NONE);
        match self.runs.last_mut() {
            Some(run) if run.key == Key::NONE => run.packets += 1,
            _ => self.runs.push(Run { key: Key::NONE, packets: 1 }),
        }
    }

    /// Has the so-manieth packet be none for the shortcut after all.
    pub(in crate::pipeline) fn forget(&mut self, place: usize) {
        if let Some(plain) = self.packets.get_mut(place) {
            *plain = Plain::NONE;
        }
    }
}
