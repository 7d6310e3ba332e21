//! Known flows: what the route stage found out for one packet holds for all packets that came the same way between the same two
//! addresses, until the tables change. A worker's [`FlowTable`] remembers it, so that steady traffic costs one look instead of
//! two routes, the selectors and a neighbour. Asked and filled by the pipeline's shortcut (`pipeline/shortcut.rs`), nobody else.
//!
//! Only what addresses alone decide is remembered. A flow that also depends on protocol or ports (selectors that name them), or that is
//! to be dropped, is remembered as one for the general stages ([`Action::General`]).
//!
//! Entries die by the numbers in them: each carries the epoch of the snapshot it was made from, and what was copied from the neighbour table
//! ([`Egress`]) the epoch of both and a time. Outbound SAs are not copied at all, a tunnel's number leads to the present one.

use std::net::IpAddr;

use dpdk_sys::Mbuf;

use crate::forwarding::{DontFragment, Forwarding, InterfaceId, PortIndex, TunnelId};
use crate::header::ethernet::{self, EtherType};
use crate::neighbour::{LINK_BYTES, Neighbours, link_header};
use crate::packet::Family;

/// What packets of one flow have in common: the way they came, and their addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    /// IPv4: both addresses in the first word. IPv6: source, then destination, as they stand in the packet.
    addresses: [u64; 4],
    origin: u32,
}

/// The way that a packet came: the upper half of a [`Key::origin`].
const FROM_TUNNEL: u32 = 1 << 31;
const IS_V6: u32 = 1 << 30;

impl Key {
    /// Of a packet that arrived on an interface.
    #[inline]
    pub(crate) fn from_interface(interface: InterfaceId, addresses: Addresses) -> Self {
        Self::new(u32::from(interface.0), addresses)
    }

    /// Of a packet that came out of a tunnel. Beyond 2^30 tunnels, which no table holds, none.
    #[inline]
    pub(crate) fn from_tunnel(tunnel: TunnelId, addresses: Addresses) -> Option<Self> {
        (tunnel.0 < IS_V6).then(|| Self::new(FROM_TUNNEL | tunnel.0, addresses))
    }

    #[inline]
    fn new(origin: u32, addresses: Addresses) -> Self {
        match addresses {
            Addresses::V4(both) => Self { addresses: [both, 0, 0, 0], origin },
            Addresses::V6(addresses) => Self { addresses, origin: origin | IS_V6 },
        }
    }

    /// A few bits of it: of two keys that differ here, no more need be compared.
    #[inline]
    pub(crate) fn gist(&self) -> u64 {
        self.addresses[0] ^ self.addresses[3] ^ u64::from(self.origin) << 32
    }

    #[inline]
    fn hash(&self, seed: u64) -> u64 {
        let [a, b, c, d] = self.addresses;
        let mut hash = (a ^ seed ^ u64::from(self.origin)).wrapping_mul(MIX);
        if self.origin & IS_V6 != 0 {
            for part in [b, c, d] {
                hash = (hash.rotate_left(29) ^ part).wrapping_mul(MIX);
            }
        }
        hash ^ hash >> 32
    }
}

/// Source and destination as they stand in the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Addresses {
    /// Both in one word.
    V4(u64),
    /// Two words each.
    V6([u64; 4]),
}

/// What becomes of a flow's packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// The general stages decide for each packet.
    General,
    /// ESP for us, if the protocol says so too; else as [`Action::General`].
    Ours,
    /// Into this tunnel, whose selectors take every packet between these addresses.
    Enter(TunnelId, DontFragment),
    /// In clear text to a neighbour.
    Forward,
}

/// How to leave: port and link header, ready to be written. A copy of what snapshot and neighbour table say, with the time until which it
/// may be used without asking them again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Egress {
    until_us: u64,
    epoch: u32,
    pub(crate) port: PortIndex,
    /// Longest IP packet, in bytes.
    pub(crate) mtu_bytes: u16,
    link: [u8; LINK_BYTES],
    link_bytes: u8,
}

impl Egress {
    /// None.
    pub(crate) const NONE: Self = Self {
        until_us: 0,
        epoch: 0,
        port: PortIndex(0),
        mtu_bytes: 0,
        link: [0; LINK_BYTES],
        link_bytes: 0,
    };

    /// Looks a neighbour up; none if its address is not known yet.
    pub(crate) fn find<P>(
        interface: InterfaceId,
        next_hop: IpAddr,
        family: Family,
        forwarding: &Forwarding,
        neighbours: &mut Neighbours<P>,
        now: Now,
    ) -> Option<Self> {
        let mac = neighbours.mac(interface, next_hop, now.us)?;
        let interface = forwarding.interface(interface)?;
        let ether_type = match family {
            Family::V4 => EtherType::IPV4,
            Family::V6 => EtherType::IPV6,
        };
        let mut link = [0; LINK_BYTES];
        let link_bytes = link_header(interface, mac, ether_type, &mut link).to_le_bytes()[0]; // at most 18
        let (port, mtu_bytes) = (interface.port, interface.mtu_bytes);
        Some(Self { until_us: now.us + ASK_AGAIN_US, epoch: now.epoch, port, mtu_bytes, link, link_bytes })
    }

    /// Whether it may still be used.
    #[inline]
    pub(crate) fn is_valid(&self, now: Now) -> bool {
        self.epoch == now.epoch && now.us < self.until_us
    }

    /// Puts the link header in front of an IP packet. `None`: there is no room.
    #[inline]
    pub(crate) fn put(&self, mbuf: &mut Mbuf) -> Option<()> {
        // The usual length is a constant, and so a few wide stores.
        let head = mbuf.prepend(u16::from(self.link_bytes))?;
        match head.first_chunk_mut::<{ ethernet::HEADER_BYTES }>() {
            Some(ethernet) if usize::from(self.link_bytes) == ethernet::HEADER_BYTES => {
                *ethernet = *self.link.first_chunk()?;
            }
            _ => head.copy_from_slice(self.link.get(..head.len())?),
        }
        Some(())
    }
}

/// What validity is measured by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Now {
    /// The worker's clock, in microseconds.
    pub(crate) us: u64,
    /// Changes whenever the one below or a neighbour's address changes.
    pub(crate) epoch: u32,
    /// Changes whenever a snapshot is swapped or a tunnel comes up or goes down.
    pub(crate) snapshot: u32,
}

/// One flow: all that IPv4 needs in one cache line.
#[derive(Clone, Copy)]
#[repr(C, align(128))]
pub(crate) struct Flow {
    first: u64,
    origin: u32,
    snapshot: u32,
    pub(crate) action: Action,
    /// For [`Action::Forward`] alone.
    pub(crate) egress: Egress,
    more: [u64; 3],
}

const _: () = assert!(std::mem::offset_of!(Flow, more) <= 64 && size_of::<Flow>() == 128);

impl Flow {
    const NONE: Self = Self {
        first: 0,
        origin: u32::MAX,
        snapshot: u32::MAX, // outdated
        action: Action::General,
        egress: Egress::NONE,
        more: [0; 3],
    };

    #[inline]
    fn has(&self, key: &Key) -> bool {
        let [first, ref more @ ..] = key.addresses;
        self.first == first && self.origin == key.origin && (key.origin & IS_V6 == 0 || self.more == *more)
    }
}

/// The flows that a worker remembers: a fixed number of sets of two.
pub(crate) struct FlowTable {
    sets: Box<[[Flow; 2]]>,
    seed: u64,
}

impl FlowTable {
    /// A table for about `flows` flows (128 bytes each), within [`FLOWS_MIN`] and [`FLOWS_MAX`]. `seed` hides the hash.
    pub(crate) fn new(flows: u32, seed: u64) -> Self {
        let sets = (flows.clamp(FLOWS_MIN, FLOWS_MAX) / 2).next_power_of_two();
        Self { sets: vec![[Flow::NONE; 2]; sets as usize].into(), seed }
    }

    /// What is known of a flow. `None`: ask the tables, then [`FlowTable::learn`].
    #[inline(always)] // as a call, its result goes through memory
    pub(crate) fn find(&self, key: &Key, now: Now) -> Option<&Flow> {
        let [one, other] = &self.sets[self.set(key)];
        let flow = if one.has(key) {
            one
        } else if other.has(key) {
            other
        } else {
            return None;
        };
        let is_valid =
            flow.snapshot == now.snapshot && (flow.action != Action::Forward || flow.egress.is_valid(now));
        is_valid.then_some(flow)
    }

    /// Asks the CPU for the place where a flow would stand.
    #[inline]
    pub(crate) fn prefetch(&self, key: &Key) {
        let set = &self.sets[self.set(key)];
        dpdk_sys::prefetch(&set[0].first);
        dpdk_sys::prefetch(&set[1].first);
    }

    /// Remembers a flow, in the place of the same one, of an outdated one, or of the less lucky of the two in its set.
    pub(crate) fn learn(&mut self, key: &Key, action: Action, egress: Option<Egress>, now: Now) {
        let hash = key.hash(self.seed);
        let at = self.set(key);
        let set = &mut self.sets[at];
        let place = match set {
            [one, _] if one.has(key) || one.snapshot != now.snapshot => 0,
            [_, other] if other.has(key) || other.snapshot != now.snapshot => 1,
            _ => usize::from(hash >> 63 == 1),
        };
        let [first, more @ ..] = key.addresses;
        let egress = egress.unwrap_or(Egress::NONE);
        set[place] = Flow { first, origin: key.origin, snapshot: now.snapshot, action, egress, more };
    }

    #[inline]
    fn set(&self, key: &Key) -> usize {
        let [.., a, b, c, d] = key.hash(self.seed).to_be_bytes();
        u32::from_be_bytes([a, b, c, d]) as usize & (self.sets.len() - 1)
    }
}

/// Fewest flows of a table.
pub(crate) const FLOWS_MIN: u32 = 4096;
/// Most flows of a table.
pub(crate) const FLOWS_MAX: u32 = 1 << 18;

/// How long a neighbour's address is used without telling the neighbour table that it is: short against all of its timers.
const ASK_AGAIN_US: u64 = 500_000;

/// An odd constant with evenly spread bits: 2^64 divided by the golden ratio.
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests;
