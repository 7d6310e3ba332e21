//! How packets leave: port and link header of a neighbour, ready to be written ([`Egress`]), and the neighbours through which known flows do
//! ([`Adjacencies`]): one entry for all flows of a neighbour, so that it is asked for again once and not once a flow.
//!
//! Asked by the pipeline's shortcut; the seal stage keeps an egress for each tunnel.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;

use dpdk_sys::Mbuf;

use super::Now;
use crate::forwarding::{Forwarding, InterfaceId, PortIndex};
use crate::header::ethernet::{self, EtherType};
use crate::neighbour::{LINK_BYTES, Neighbours, link_header};
use crate::packet::Family;

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

    /// Whether there is room for the link header in front of what begins at `at` in the mbuf's data.
    #[inline]
    pub(crate) fn has_room(&self, mbuf: &Mbuf, at: u16) -> bool {
        u32::from(mbuf.headroom_bytes()) + u32::from(at) >= u32::from(self.link_bytes)
    }

    /// Makes the mbuf a frame with the IP packet of `bytes` bytes that begins at `at` in its data; returns the IP packet. `None`: there is no room.
    #[inline]
    pub(crate) fn frame<'a>(&self, mbuf: &'a mut Mbuf, at: u16, bytes: u16) -> Option<&'a mut [u8]> {
        let link_bytes = u16::from(self.link_bytes);
        let start = i32::from(at) - i32::from(link_bytes);
        let frame = mbuf.reframe(start, bytes.checked_add(link_bytes)?)?;
        // The usual length is a constant, and so a few wide stores.
        if usize::from(self.link_bytes) == ethernet::HEADER_BYTES {
            let (head, packet) = frame.split_first_chunk_mut::<{ ethernet::HEADER_BYTES }>()?;
            *head = *self.link.first_chunk()?;
            return Some(packet);
        }
        let (head, packet) = frame.split_at_mut_checked(usize::from(link_bytes))?;
        head.copy_from_slice(self.link.get(..head.len())?);
        Some(packet)
    }

    /// The link header, if it is a plain Ethernet header.
    #[inline]
    pub(crate) fn ethernet(&self) -> Option<&[u8; ethernet::HEADER_BYTES]> {
        self.link.first_chunk().filter(|_| usize::from(self.link_bytes) == ethernet::HEADER_BYTES)
    }
}

/// A neighbour, as packets of one family reach it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Neighbour {
    interface: InterfaceId,
    next_hop: IpAddr,
    family: Family,
}

/// A neighbour's place in [`Adjacencies`], as long as no other neighbour has taken it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AdjacencyId {
    at: u16,
    generation: u32,
}

#[derive(Clone, Copy)]
struct Adjacency {
    neighbour: Option<Neighbour>,
    /// How many neighbours have had this place.
    generation: u32,
    egress: Egress,
}

/// The neighbours through which known flows leave. Each has a place in one set of four; it loses it to another neighbour if it is the one of its set that was
/// longest out of use.
pub(crate) struct Adjacencies {
    /// Set by set.
    places: Box<[Adjacency]>,
    seed: u64,
}

impl Adjacencies {
    /// None yet. `seed` hides the hash.
    pub(crate) fn new(seed: u64) -> Self {
        let none = Adjacency { neighbour: None, generation: 0, egress: Egress::NONE };
        Self { places: vec![none; usize::from(PLACES)].into(), seed }
    }

    /// Takes a neighbour in.
    pub(crate) fn adopt(&mut self, interface: InterfaceId, next_hop: IpAddr, family: Family) -> AdjacencyId {
        let neighbour = Neighbour { interface, next_hop, family };
        let mut hasher = DefaultHasher::new();
        (self.seed, neighbour).hash(&mut hasher);
        let [a, b, ..] = hasher.finish().to_le_bytes();
        let first = u16::from_le_bytes([a, b]) % (PLACES / WAYS) * WAYS;
        let set = || first..first + WAYS;
        let is_its = |at: &u16| self.places[usize::from(*at)].neighbour == Some(neighbour);
        let at = set().find(is_its).or_else(|| set().min_by_key(|at| self.use_of(*at))).unwrap_or(first);
        let place = &mut self.places[usize::from(at)];
        if place.neighbour != Some(neighbour) {
            let generation = place.generation.wrapping_add(1);
            *place = Adjacency { neighbour: Some(neighbour), generation, egress: Egress::NONE };
        }
        AdjacencyId { at, generation: place.generation }
    }

    /// Orders places by how well they are used: free ones, neighbours that do not answer, then by the time until which an address may be used,
    /// which moves with use.
    fn use_of(&self, at: u16) -> (bool, u64) {
        let place = &self.places[usize::from(at)];
        (place.neighbour.is_some(), place.egress.until_us)
    }

    /// Whether the neighbour still has its place.
    #[inline]
    pub(crate) fn has(&self, id: AdjacencyId) -> bool {
        self.places[usize::from(id.at)].generation == id.generation
    }

    /// Where the neighbour is.
    pub(crate) fn interface(&self, id: AdjacencyId) -> Option<InterfaceId> {
        let place = self.places.get(usize::from(id.at)).filter(|place| place.generation == id.generation)?;
        Some(place.neighbour?.interface)
    }

    /// How to reach a neighbour. `None`: its address is not known, or it has lost its place.
    #[inline]
    pub(crate) fn egress<P>(
        &mut self,
        id: AdjacencyId,
        forwarding: &Forwarding,
        neighbours: &mut Neighbours<P>,
        now: Now,
    ) -> Option<&Egress> {
        let place =
            self.places.get_mut(usize::from(id.at)).filter(|place| place.generation == id.generation)?;
        if !place.egress.is_valid(now) {
            place.renew(forwarding, neighbours, now)?;
        }
        Some(&place.egress)
    }
}

impl Adjacency {
    #[cold]
    fn renew<P>(&mut self, forwarding: &Forwarding, neighbours: &mut Neighbours<P>, now: Now) -> Option<()> {
        let Neighbour { interface, next_hop, family } = self.neighbour?;
        self.egress = Egress::find(interface, next_hop, family, forwarding, neighbours, now)?;
        Some(())
    }
}

/// Places for neighbours (80 bytes each): routers, and hosts on a gateway's own links.
const PLACES: u16 = 4096;
/// Places of a set.
const WAYS: u16 = 4;

/// How long a neighbour's address is used without telling the neighbour table that it is: short against all of its timers.
const ASK_AGAIN_US: u64 = 500_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn way_out_is_forgotten_with_time_and_with_every_change() {
        let (now, egress) =
            (Now { us: 10, epoch: 5, snapshot: 2 }, Egress { until_us: 20, epoch: 5, ..Egress::NONE });
        assert!(egress.is_valid(now));
        assert!(egress.is_valid(Now { us: 19, ..now }));
        assert!(!egress.is_valid(Now { us: 20, ..now }));
        assert!(!egress.is_valid(Now { epoch: 6, ..now }));
    }

    #[test]
    fn neighbour_that_takes_anothers_place_is_never_taken_for_it() {
        let mut adjacencies = Adjacencies::new(7);
        let of = |number: u32| (InterfaceId(1), IpAddr::from(number.to_be_bytes()), Family::V4);
        let first: Vec<_> =
            (0..4000).map(of).map(|(i, hop, family)| adjacencies.adopt(i, hop, family)).collect();
        for (number, id) in (0..4000).zip(&first) {
            let place = adjacencies.places[usize::from(id.at)];
            let is_it = place.neighbour.is_some_and(|neighbour| neighbour.next_hop == of(number).1);
            assert_eq!(adjacencies.has(*id), is_it);
        }
        let kept = first.iter().filter(|id| adjacencies.has(**id)).count();
        assert!((3000..=3500).contains(&kept), "{kept}");
        let (interface, next_hop, family) = of(3999);
        assert_eq!(
            adjacencies.adopt(interface, next_hop, family),
            first[3999],
            "the last one kept its place"
        );
        assert_ne!(adjacencies.adopt(interface, next_hop, Family::V6), first[3999]);
    }

    #[test]
    fn all_hosts_of_a_link_have_places_side_by_side() {
        let mut adjacencies = Adjacencies::new(7);
        let mut adopt = |host: u8| {
            let v4 = adjacencies.adopt(InterfaceId(1), IpAddr::from([10, 1, 0, host]), Family::V4);
            let v6 = IpAddr::from([0xfd00, 1, 0, 0, 0, 0, 0, u16::from(host)]);
            [v4, adjacencies.adopt(InterfaceId(1), v6, Family::V6)]
        };
        let first: Vec<_> = (1..=254).flat_map(&mut adopt).collect();
        let again: Vec<_> = (1..=254).flat_map(&mut adopt).collect();
        assert_eq!(first, again);
    }

    #[test]
    fn neighbour_in_use_keeps_its_place_before_those_that_do_not_answer() {
        let mut adjacencies = Adjacencies::new(7);
        let used = adjacencies.adopt(InterfaceId(1), IpAddr::from([10, 0, 0, 1]), Family::V4);
        adjacencies.places[usize::from(used.at)].egress.until_us = 1;
        for number in 0..40_000_u32 {
            adjacencies.adopt(InterfaceId(2), IpAddr::from(number.to_be_bytes()), Family::V4);
        }
        assert!(adjacencies.has(used));
    }
}
