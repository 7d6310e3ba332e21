//! What no kernel of its width can beat on this CPU: the AES rounds alone, or with the carry-less products of GHASH. For
//! benchmarks; called by [`super::Kernel::limit`].

use std::hint::black_box;

use super::burst::encrypt;
use super::ghash::Sum;
use super::lanes::{Lanes, halves};
use super::material::{Material, POWERS};

/// What to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// The AES rounds of all blocks.
    Rounds,
    /// The same, and one product a block, unreduced.
    RoundsAndProducts,
}

/// Eight independent registers at a time, nothing loaded but keys, nothing stored.
#[inline(always)]
pub(super) fn run<L: Lanes>(lanes: L, key: &Material, blocks: usize, work: Work) {
    let mut state = [[lanes.broadcast(halves(1, 2)); 8]];
    let mut sum = Sum::zero(lanes);
    for _ in 0..blocks.div_ceil(8 * L::COUNT) {
        encrypt(lanes, &mut state, key.rounds(), |_, round| lanes.broadcast(key.round_key(round)));
        if work == Work::RoundsAndProducts {
            for v in state[0] {
                sum.add_product(lanes, v, key.powers(lanes, POWERS));
            }
        }
    }
    black_box((state, sum));
}
