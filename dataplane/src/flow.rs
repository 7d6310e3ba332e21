//! Known flows: what the route stage found out for one packet holds for all packets that came the same way between the same two
//! addresses, until the tables change. A worker's [`FlowTable`] remembers it, so that steady traffic costs one look instead of
//! two routes, the selectors and a neighbour. Asked and filled by the pipeline's shortcut (`pipeline/shortcut.rs`), nobody else.
//!
//! Only what addresses alone decide is remembered. A flow that also depends on protocol or ports (selectors that name them), or that is
//! to be dropped, is remembered as one for the general stages ([`Action::General`]).
//!
//! Entries die by the epoch of the snapshot that they were made from. How to reach a neighbour is not copied into them but shared
//! ([`Adjacencies`]), and dies with time, too. Outbound SAs are not copied either, a tunnel's number leads to the present one.

use std::net::IpAddr;

use crate::forwarding::{DontFragment, InterfaceId, TunnelId};
use crate::packet::Family;

pub(crate) use egress::{Adjacencies, AdjacencyId, Egress};

mod egress;

/// The way that a packet came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// On an interface, in a frame to our MAC address.
    Interface(InterfaceId),
    /// Out of a tunnel, authentic.
    Tunnel(TunnelId),
}

/// A [`Way`] as a number: what a [`Key`] has of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WayNumber(u32);

impl Way {
    /// Its number. `None`: beyond 2^30 tunnels, which no table holds, there is none.
    #[inline(always)]
    pub(crate) fn number(self) -> Option<WayNumber> {
        match self {
            Self::Interface(interface) => Some(WayNumber(u32::from(interface.0))),
            Self::Tunnel(tunnel) if tunnel.0 < IS_V6 => Some(WayNumber(FROM_TUNNEL | tunnel.0)),
            Self::Tunnel(_) => None,
        }
    }
}

/// What packets of one flow have in common: the way they came, and their addresses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    /// As they stand in the packet. IPv4: both addresses in the first word. IPv6: source, then destination.
    addresses: [u64; 4],
    origin: u32,
}

/// The way that a packet came, in a [`Key::origin`].
const FROM_TUNNEL: u32 = 1 << 31;
const IS_V6: u32 = 1 << 30;

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        // Of IPv4 addresses the first word is all.
        self.origin == other.origin
            && self.addresses[0] == other.addresses[0]
            && (self.origin & IS_V6 == 0 || self.addresses == other.addresses)
    }
}

impl Eq for Key {}

impl Key {
    /// The key of no packet.
    pub(crate) const NONE: Self = Self { addresses: [0; 4], origin: u32::MAX };

    /// Of an IPv4 packet, by its source and destination in one word.
    #[inline(always)]
    pub(crate) fn v4(way: WayNumber, both: u64) -> Self {
        Self { addresses: [both, 0, 0, 0], origin: way.0 }
    }

    /// Of an IPv6 packet, by its source and destination.
    #[inline(always)]
    pub(crate) fn v6(way: WayNumber, addresses: [u64; 4]) -> Self {
        Self { addresses, origin: way.0 | IS_V6 }
    }

    /// Whether it is [`Key::v4`] of these.
    #[inline(always)]
    pub(crate) fn is_v4(&self, way: WayNumber, both: u64) -> bool {
        self.addresses[0] == both && self.origin == way.0
    }

    /// Whether it is [`Key::v6`] of these. Word by word, as they have just been written: wider, a CPU would wait for them.
    #[inline(always)]
    pub(crate) fn is_v6(&self, way: WayNumber, [a, b, c, d]: [u64; 4]) -> bool {
        let [e, f, g, h] = self.addresses;
        a == e && b == f && c == g && d == h && self.origin == way.0 | IS_V6
    }

    /// The way that the packet came.
    pub(crate) fn way(&self) -> Way {
        let number = self.origin & (IS_V6 - 1);
        match self.origin & FROM_TUNNEL {
            0 => Way::Interface(InterfaceId(u16::try_from(number).unwrap_or(u16::MAX))),
            _ => Way::Tunnel(TunnelId(number)),
        }
    }

    /// The packet's family.
    pub(crate) fn family(&self) -> Family {
        if self.origin & IS_V6 == 0 { Family::V4 } else { Family::V6 }
    }

    /// Source and destination.
    pub(crate) fn ends(&self) -> (IpAddr, IpAddr) {
        let [first, second, third, fourth] = self.addresses.map(u64::to_ne_bytes);
        match self.family() {
            Family::V4 => {
                let [a, b, c, d, e, f, g, h] = first;
                ([a, b, c, d].into(), [e, f, g, h].into())
            }
            Family::V6 => {
                let address = |high: [u8; 8], low: [u8; 8]| {
                    IpAddr::from(std::array::from_fn::<u8, 16, _>(|at| {
                        if at < 8 { high[at] } else { low[at - 8] }
                    }))
                };
                (address(first, second), address(third, fourth))
            }
        }
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

/// What becomes of a flow's packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// The general stages decide for each packet.
    General,
    /// ESP for us, if the protocol says so too; else as [`Action::General`].
    Ours,
    /// Into this tunnel, whose selectors take every packet between these addresses.
    Enter(TunnelId, DontFragment),
    /// In clear text to this neighbour.
    Forward(AdjacencyId),
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

/// One flow: one cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Flow {
    first: u64,
    origin: u32,
    snapshot: u32,
    action: Action,
    more: [u64; 3],
}

const _: () = assert!(size_of::<Flow>() == 64);

impl Flow {
    const NONE: Self = Self {
        first: 0,
        origin: u32::MAX,
        snapshot: u32::MAX, // outdated
        action: Action::General,
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
    /// A table for about `flows` flows (64 bytes each), within [`FLOWS_MIN`] and [`FLOWS_MAX`]. `seed` hides the hash.
    pub(crate) fn new(flows: u32, seed: u64) -> Self {
        let sets = (flows.clamp(FLOWS_MIN, FLOWS_MAX) / 2).next_power_of_two();
        let mut table = Vec::with_capacity(sets as usize);
        dpdk_sys::prefer_huge_pages(table.spare_capacity_mut());
        table.resize(sets as usize, [Flow::NONE; 2]);
        Self { sets: table.into(), seed }
    }

    /// What becomes of a flow's packets. `None`: ask the tables, then [`FlowTable::learn`].
    #[inline(always)] // as a call, its result goes through memory
    pub(crate) fn find(&self, key: &Key, now: Now) -> Option<Action> {
        let [one, other] = &self.sets[self.set(key)];
        let flow = if one.has(key) {
            one
        } else if other.has(key) {
            other
        } else {
            return None;
        };
        (flow.snapshot == now.snapshot).then_some(flow.action)
    }

    /// Asks the CPU for the place where a flow would stand.
    #[inline]
    pub(crate) fn prefetch(&self, key: &Key) {
        let set = &self.sets[self.set(key)];
        dpdk_sys::prefetch(&set[0].first);
        dpdk_sys::prefetch(&set[1].first);
    }

    /// Remembers a flow, in the place of the same one, of an outdated one, or of the less lucky of the two in its set.
    pub(crate) fn learn(&mut self, key: &Key, action: Action, now: Now) {
        let hash = key.hash(self.seed);
        let at = self.set(key);
        let set = &mut self.sets[at];
        let place = match set {
            [one, _] if one.has(key) || one.snapshot != now.snapshot => 0,
            [_, other] if other.has(key) || other.snapshot != now.snapshot => 1,
            _ => usize::from(hash >> 63 == 1),
        };
        let [first, more @ ..] = key.addresses;
        set[place] = Flow { first, origin: key.origin, snapshot: now.snapshot, action, more };
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
pub(crate) const FLOWS_MAX: u32 = 1 << 20;

/// An odd constant with evenly spread bits: 2^64 divided by the golden ratio.
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests;
