//! The SPI: what it says when we chose it (steering bucket, table slot, generation), and who chooses it.
//!
//! An inbound SPI is ours to choose (RFC 4303, 2.1), so it carries what a worker wants to know: the bucket tells which
//! worker is the SA's home, the slot is its index in that worker's table. The generation changes whenever a slot is used
//! again, so that a late packet to the slot's former SA finds an SA of another SPI and is dropped, not mistaken.
//! Workers read; the control thread allocates.

use std::fmt;
use std::num::NonZeroU8;

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
    /// The bits of an SPI that tell its bucket.
    pub const SPI_MASK: u32 = u32::MAX << (SLOT_BITS + GENERATION_BITS);

    /// The bucket of that number, of which there are [`BUCKETS`]; further ones are the first ones again.
    #[must_use]
    pub const fn new(number: u8) -> Self {
        Self(number % BUCKETS)
    }

    /// What an SPI of this bucket has under [`Bucket::SPI_MASK`].
    #[must_use]
    pub const fn first_spi(self) -> u32 {
        (self.0 as u32) << (SLOT_BITS + GENERATION_BITS)
    }

    /// Which of `workers` is home to this bucket's SAs. The SPI does not change when the number of workers does.
    #[must_use]
    pub const fn home(self, workers: NonZeroU8) -> u8 {
        self.0 % workers.get()
    }
}

/// Hands out inbound SPIs; owned by the control thread.
///
/// Slots are used again as late as possible (first freed, first reused), each time under the next generation. Buckets
/// are dealt like cards, each once before any comes again, which spreads SAs evenly over workers.
///
/// Order of the slots, order of the buckets and first generations are random, so that neither a restart nor the SPIs of one's own SAs tell what those of
/// others are. What remains: the slot is below the table's length, a deal of 64 SPIs has each bucket once, and a slot's generations follow each
/// other. Somebody off the path who wants to hit a live SPI has to try about 2^32 / (number of SAs), like with any other SPIs; what it gains is a
/// packet that fails authentication.
#[derive(Debug)]
pub struct SpiAllocator {
    free: std::collections::VecDeque<u32>,
    generations: Vec<u8>,
    taken: Vec<bool>,
    /// Buckets left of this deal.
    deal: Vec<u8>,
    random: Fill,
}

/// Fills bytes with randomness that nobody can guess.
pub type Fill = fn(&mut [u8]);

/// All slots are in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("all {0} inbound SA slots are in use: raise the number of SAs")]
pub struct SpisExhausted(pub u32);

impl SpiAllocator {
    /// An allocator over `slots` table slots (the same number that the workers' tables were made with; at most
    /// [`SLOTS`], more are not used).
    #[must_use]
    pub fn new(slots: u32, random: Fill) -> Self {
        let slots = slots.min(SLOTS);
        let mut free: Vec<u32> = (1..slots).collect();
        shuffle(&mut free, random);
        let mut generations = vec![0; slots as usize];
        random(&mut generations);
        Self { free: free.into(), generations, taken: vec![false; slots as usize], deal: Vec::new(), random }
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
        if self.deal.is_empty() {
            self.deal.extend(0..BUCKETS);
            shuffle(&mut self.deal, self.random);
        }
        let bucket = self.deal.pop().unwrap_or(0); // never empty: see above
        Ok(Spi::compose(bucket, slot, self.generations[index]))
    }

    /// The same for an SA that is to be at home at one of `workers`. One that is there beside another for the same traffic must not take a tunnel's place: such are
    /// given as long as more than half of the slots are free.
    ///
    /// # Errors
    /// [`SpisExhausted`] if no more than half of the slots are free.
    pub fn allocate_for(&mut self, worker: u8, workers: NonZeroU8) -> Result<Spi, SpisExhausted> {
        if self.free.len() * 2 <= self.taken.len() {
            return Err(SpisExhausted(u32::try_from(self.taken.len()).unwrap_or(u32::MAX)));
        }
        let dealt = self.allocate()?;
        let homes: Vec<u8> =
            (0..BUCKETS).filter(|bucket| Bucket(*bucket).home(workers) == worker % workers.get()).collect();
        let mut byte = [0];
        (self.random)(&mut byte);
        let bucket = homes.get(usize::from(byte[0]) % homes.len().max(1)).copied();
        let slot = dealt.slot().0;
        let generation = self.generations[dealt.slot().index()];
        Ok(bucket.map_or(dealt, |bucket| Spi::compose(bucket, slot, generation)))
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

/// Fisher and Yates: every order is as likely as any other, but for a bias of less than 2^-46.
fn shuffle<T>(cards: &mut [T], random: Fill) {
    for last in (1..cards.len()).rev() {
        let mut bytes = [0; 8];
        random(&mut bytes);
        let count = last as u64 + 1;
        let pick = usize::try_from(u64::from_ne_bytes(bytes) % count).unwrap_or(last);
        cards.swap(last, pick);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// Different bytes at each call: enough to be told apart.
    fn fill(out: &mut [u8]) {
        static STATE: AtomicU64 = AtomicU64::new(1);
        for byte in out {
            let state = STATE.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
            *byte = (state ^ state >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9).to_be_bytes()[0];
        }
    }

    #[test]
    fn two_lives_of_a_gateway_share_no_order() {
        let [first, second]: [Vec<u32>; 2] = std::array::from_fn(|_| {
            let mut allocator = SpiAllocator::new(16_384, fill);
            (0..256).map(|_| allocator.allocate().expect("room").get()).collect()
        });
        let same = |part: fn(Spi) -> u32| {
            let part = |spi: &u32| part(Spi(*spi));
            first.iter().zip(&second).filter(|(a, b)| part(a) == part(b)).count()
        };
        // Of 256 pairs, 4 buckets, 1 generation and no slot are the same by chance.
        assert!(same(|spi| spi.bucket().0.into()) < 32);
        assert!(same(|spi| spi.get() & 0xff) < 32);
        assert!(same(|spi| spi.slot().0) < 8);
        let steps: std::collections::HashSet<u32> =
            first.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
        assert!(steps.len() > 250, "no SPI follows from the one before");
    }

    #[test]
    fn spis_for_a_worker_are_at_home_there_and_leave_half_of_the_slots_to_others() {
        let workers = NonZeroU8::new(3).unwrap();
        let mut allocator = SpiAllocator::new(129, fill);
        let mut taken = Vec::new();
        for worker in (0..3).cycle() {
            let Ok(spi) = allocator.allocate_for(worker, workers) else { break };
            assert_eq!(spi.bucket().home(workers), worker);
            taken.push(spi);
        }
        assert_eq!(taken.len(), 64);
        assert!(allocator.allocate().is_ok(), "the other half is for tunnels");
        taken.into_iter().for_each(|spi| allocator.release(spi));
        assert!(allocator.allocate_for(2, workers).is_ok());
    }

    #[test]
    fn reserved_values_are_refused() {
        assert_eq!(Spi::new(0), None);
        assert_eq!(Spi::new(255), None);
        assert_eq!(Spi::new(256).map(Spi::get), Some(256));
    }

    #[test]
    fn allocated_spis_are_never_reserved_and_never_out_twice() {
        let mut allocator = SpiAllocator::new(64, fill);
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
        let mut allocator = SpiAllocator::new(SLOTS, fill);
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
