//! The SPI: what it says when we chose it (steering bucket, table slot, generation), and who chooses it.
//!
//! An inbound SPI is ours to choose (RFC 4303, 2.1), so it carries what a worker wants to know: the bucket tells which
//! worker is the SA's home, the slot is its index in that worker's table. The generation changes whenever a slot is used
//! again, so that a late packet to the slot's former SA finds an SA of another SPI and is dropped, not mistaken.
//! Workers read; the control thread allocates.

use std::fmt;

/// A security parameters index, in host order: 256 or more, for RFC 4303 reserves 0 to 255.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Spi(u32);

/// Index of an SA in a worker's inbound table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SaSlot(u32);

/// Steering bucket of an inbound SPI: its top [`BUCKET_BITS`] bits, which a NIC rule can match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Bucket(u8);

/// Bits of an SPI that hold the bucket, counted from the top.
pub const BUCKET_BITS: u32 = 6;
/// Bits of an SPI that hold the slot, below the bucket.
pub const SLOT_BITS: u32 = 18;
/// Bits of an SPI that hold the generation, at the bottom.
pub const GENERATION_BITS: u32 = 8;
/// Number of buckets; also the greatest useful number of workers.
pub const BUCKETS: u8 = 1 << BUCKET_BITS;
/// Number of slots, the never used slot 0 included.
pub const SLOTS: u32 = 1 << SLOT_BITS;

const _: () = assert!(BUCKET_BITS + SLOT_BITS + GENERATION_BITS == 32);

impl Spi {
    /// The SPI of that value, or `None` for the reserved values 0 to 255.
    #[must_use]
    pub const fn new(value: u32) -> Option<Self> {
        if value > 255 { Some(Self(value)) } else { None }
    }

    /// Its value in host order.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The steering bucket, if the SPI is one of ours.
    #[must_use]
    pub const fn bucket(self) -> Bucket {
        Bucket((self.0 >> (SLOT_BITS + GENERATION_BITS)) as u8)
    }

    /// The table slot, if the SPI is one of ours.
    #[must_use]
    pub const fn slot(self) -> SaSlot {
        SaSlot((self.0 >> GENERATION_BITS) & (SLOTS - 1))
    }

    const fn compose(bucket: u8, slot: u32, generation: u8) -> Self {
        Self((bucket as u32) << (SLOT_BITS + GENERATION_BITS) | slot << GENERATION_BITS | generation as u32)
    }
}

impl fmt::Display for Spi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl SaSlot {
    /// The index that it is.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl Bucket {
    /// Which of `workers` is home to this bucket's SAs. The SPI does not change when the number of workers does.
    #[must_use]
    pub const fn home(self, workers: std::num::NonZeroU8) -> u8 {
        self.0 % workers.get()
    }
}

/// Hands out inbound SPIs; owned by the control thread.
///
/// Slots are used again as late as possible (first freed, first reused), each time under the next generation. Buckets
/// are dealt in turn, which spreads SAs evenly over workers.
#[derive(Debug)]
pub struct SpiAllocator {
    free: std::collections::VecDeque<u32>,
    generations: Vec<u8>,
    taken: Vec<bool>,
    next_bucket: u8,
}

/// All slots are in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("all {0} inbound SA slots are in use: raise the number of SAs")]
pub struct SpisExhausted(pub u32);

impl SpiAllocator {
    /// An allocator over `slots` table slots (the same number that the workers' tables were made with; at most
    /// [`SLOTS`], more are not used). `first_generation` should be random, so that a restarted gateway does not repeat
    /// the SPIs of its former life.
    #[must_use]
    pub fn new(slots: u32, first_generation: u8) -> Self {
        let slots = slots.min(SLOTS);
        Self {
            free: (1..slots).collect(),
            generations: vec![first_generation; slots as usize],
            taken: vec![false; slots as usize],
            next_bucket: 0,
        }
    }

    /// Takes a slot and makes its next SPI.
    ///
    /// # Errors
    /// [`SpisExhausted`] if every slot is taken.
    pub fn allocate(&mut self) -> Result<Spi, SpisExhausted> {
        let slot = self
            .free
            .pop_front()
            .ok_or(SpisExhausted(u32::try_from(self.taken.len()).unwrap_or(u32::MAX)))?;
        let index = slot as usize;
        self.taken[index] = true;
        let bucket = self.next_bucket;
        self.next_bucket = (bucket + 1) % BUCKETS;
        Ok(Spi::compose(bucket, slot, self.generations[index]))
    }

    /// Gives a slot back once its SA has left the worker's table (or was never installed). An SPI that is not out, or
    /// whose slot has a newer one out, is left alone.
    pub fn release(&mut self, spi: Spi) {
        let index = spi.slot().index();
        let current = self.taken.get(index).copied().unwrap_or(false)
            && self.generations[index] == (spi.get() & ((1 << GENERATION_BITS) - 1)).to_le_bytes()[0];
        if current {
            self.taken[index] = false;
            self.generations[index] = self.generations[index].wrapping_add(1);
            self.free.push_back(spi.slot().0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::num::NonZeroU8;

    #[test]
    fn reserved_values_are_refused() {
        assert_eq!(Spi::new(0), None);
        assert_eq!(Spi::new(255), None);
        assert_eq!(Spi::new(256).map(Spi::get), Some(256));
    }

    #[test]
    fn allocated_spis_are_never_reserved_and_never_out_twice() {
        let mut allocator = SpiAllocator::new(64, 250);
        let mut seen = std::collections::HashSet::new();
        let first: Vec<_> = (0..63).map(|_| allocator.allocate().expect("room")).collect();
        assert_eq!(allocator.allocate(), Err(SpisExhausted(64)));
        for spi in &first {
            assert!(spi.get() > 255 && seen.insert(*spi));
            allocator.release(*spi);
            allocator.release(*spi);
        }
        let second: Vec<_> = (0..63).map(|_| allocator.allocate().expect("room again")).collect();
        assert!(second.iter().all(|spi| seen.insert(*spi)), "a released SPI came back at once");
        assert_eq!(allocator.allocate(), Err(SpisExhausted(64)));
    }

    #[test]
    fn buckets_spread_evenly_over_workers() {
        let mut allocator = SpiAllocator::new(SLOTS, 0);
        let workers = NonZeroU8::new(4).expect("not zero");
        let mut homes = [0; 4];
        for _ in 0..BUCKETS {
            homes[usize::from(allocator.allocate().expect("room").bucket().home(workers))] += 1;
        }
        assert_eq!(homes, [16; 4]);
    }

    proptest! {
        #[test]
        fn parts_survive_composition(bucket in 0..BUCKETS, slot in 1..SLOTS, generation: u8) {
            let spi = Spi::compose(bucket, slot, generation);
            prop_assert_eq!((spi.bucket(), spi.slot()), (Bucket(bucket), SaSlot(slot)));
            prop_assert!(Spi::new(spi.get()).is_some());
        }
    }
}
