//! Which of many ranges have an address, without asking each of them: the ends of all ranges cut the addresses of a family into pieces, and each piece
//! knows which items it belongs to, a bit each ("bit vectors", T. V. Lakshman and D. Stiliadis, 1998). A look is a binary search.
//!
//! Where there are two sides, as with traffic selectors, the items of both are those of one AND the other, in their order. Built by the control thread, with the
//! snapshot.

use std::net::IpAddr;

use super::{AddressRange, Flow, Selectors, TrafficSelector};

/// Fewer items than this are as well asked one by one.
pub(crate) const MANY: usize = 9;

/// Sets of items by address. Items are numbered from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AddressIndex {
    v4: Pieces,
    v6: Pieces,
}

impl AddressIndex {
    /// From the ranges of `items` items.
    pub(crate) fn new<'a>(items: usize, ranges: impl Iterator<Item = (usize, &'a AddressRange)>) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for (item, range) in ranges {
            match range {
                AddressRange::V4(range) => {
                    v4.push((u128::from(range.start().to_bits()), u128::from(range.end().to_bits()), item));
                }
                AddressRange::V6(range) => v6.push((range.start().to_bits(), range.end().to_bits(), item)),
            }
        }
        Self { v4: Pieces::new(items, &v4), v6: Pieces::new(items, &v6) }
    }

    /// The items that have the address: words of 64 bits, the first item in the lowest bit of the first.
    #[inline]
    pub(crate) fn of(&self, address: IpAddr) -> &[u64] {
        match address {
            IpAddr::V4(address) => self.v4.of(address.to_bits().into()),
            IpAddr::V6(address) => self.v6.of(address.to_bits()),
        }
    }
}

/// The addresses of one family, cut where a range begins or ends.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pieces {
    /// Where each piece begins; the first at 0.
    starts: Box<[u128]>,
    /// `words` words for each piece.
    sets: Box<[u64]>,
    words: usize,
}

impl Pieces {
    fn new(items: usize, ranges: &[(u128, u128, usize)]) -> Self {
        let words = items.div_ceil(64);
        let ends = ranges.iter().filter_map(|(_, last, _)| last.checked_add(1));
        let mut starts: Vec<u128> = ranges.iter().map(|(first, ..)| *first).chain(ends).chain([0]).collect();
        starts.sort_unstable();
        starts.dedup();
        let mut sets = vec![0; starts.len() * words];
        for (first, last, item) in ranges {
            let from = starts.partition_point(|start| start < first);
            let to = starts.partition_point(|start| start <= last);
            for piece in from..to {
                sets[piece * words + item / 64] |= 1 << (item % 64);
            }
        }
        Self { starts: starts.into(), sets: sets.into(), words }
    }

    fn of(&self, address: u128) -> &[u64] {
        let piece = self.starts.partition_point(|start| *start <= address) - 1; // the first begins at 0
        self.sets.get(piece * self.words..(piece + 1) * self.words).unwrap_or_default()
    }
}

/// The items that are in both sets, in their order.
pub(crate) fn common<'a>(one: &'a [u64], other: &'a [u64]) -> impl Iterator<Item = usize> + 'a {
    one.iter().zip(other).enumerate().flat_map(|(word, (one, other))| {
        let mut left = one & other;
        std::iter::from_fn(move || {
            let bit = left.trailing_zeros();
            left &= left.wrapping_sub(1);
            (bit < u64::BITS).then(|| word * 64 + bit as usize)
        })
    })
}

/// A tunnel's selectors by their addresses, where a side has many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sides {
    local: AddressIndex,
    remote: AddressIndex,
}

impl Sides {
    /// `None`: there are so few that each can be asked.
    pub(crate) fn of(selectors: &Selectors) -> Option<Box<Self>> {
        let side = |selectors: &[TrafficSelector]| {
            AddressIndex::new(selectors.len(), selectors.iter().map(|one| &one.addresses).enumerate())
        };
        let is_long = selectors.local.len().max(selectors.remote.len()) >= MANY;
        is_long.then(|| Box::new(Self { local: side(&selectors.local), remote: side(&selectors.remote) }))
    }

    /// [`Selectors::matches_outbound`] of the selectors that this was made from.
    pub(crate) fn matches_outbound(&self, selectors: &Selectors, flow: &Flow) -> bool {
        let first = |index: &AddressIndex, selectors: &[TrafficSelector], address, port| {
            let found = index.of(address);
            common(found, found).any(|at| selectors[at].matches(address, flow.protocol, port))
        };
        first(&self.local, &selectors.local, flow.source, flow.source_port)
            && first(&self.remote, &selectors.remote, flow.destination, flow.destination_port)
    }

    /// [`Selectors::match_inbound`] of the selectors that this was made from.
    pub(crate) fn match_inbound<'s>(
        &self,
        selectors: &'s Selectors,
        flow: &Flow,
    ) -> Option<&'s TrafficSelector> {
        let to_us = self.local.of(flow.destination);
        common(to_us, to_us).find(|at| {
            selectors.local[*at].matches(flow.destination, flow.protocol, flow.destination_port)
        })?;
        let from_them = self.remote.of(flow.source);
        let selector = common(from_them, from_them)
            .find(|at| selectors.remote[*at].matches(flow.source, flow.protocol, flow.source_port))?;
        Some(&selectors.remote[selector])
    }
}
