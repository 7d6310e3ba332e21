//! What no kernel of its width can beat on this CPU: the AES rounds alone, or with the carry-less products of GHASH. For
//! benchmarks; called by [`super::Kernel::limit`].

use std::hint::black_box;

use super::cipher::{Beside, Nothing, encrypt};
use super::ghash::Sum;
use super::lanes::{Lanes, Task, halves};
use super::material::{Material, POWERS};

/// What to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// The AES rounds of all blocks.
    Rounds,
    /// The same, and between them one product a block, unreduced.
    RoundsAndProducts,
}

/// Eight independent registers at a time, nothing loaded but keys, nothing stored.
pub(super) struct Limit<'a> {
    pub(super) key: &'a Material,
    pub(super) blocks: usize,
    pub(super) work: Work,
}

struct Products<'a, V> {
    key: &'a Material,
    sum: Sum<V>,
}

impl<L: Lanes> Task<L> for Limit<'_> {
    #[inline(always)]
    fn run(self, lanes: L) {
        let Self { key, blocks, work } = self;
        let mut products = Products { key, sum: Sum::zero(lanes) };
        let mut state = [[lanes.zero(); 8]];
        for (number, v) in (0..).zip(&mut state[0]) {
            *v = lanes.broadcast(halves(number, 0));
        }
        for _ in 0..blocks.div_ceil(8 * L::COUNT) {
            match work {
                Work::Rounds => encrypt(lanes, &[key], &mut state, &mut Nothing),
                Work::RoundsAndProducts => encrypt(lanes, &[key], &mut state, &mut products),
            }
        }
        black_box((state, products.sum));
    }
}

impl<L: Lanes> Beside<L> for Products<'_, L::V> {
    #[inline(always)]
    fn portion<const SLOT: usize>(&mut self, lanes: L) {
        if SLOT < 8 {
            let block = lanes.broadcast(black_box(halves(3, 4)));
            self.sum.add_product(lanes, block, self.key.powers_from(POWERS).at(lanes, 0));
        }
    }
}
