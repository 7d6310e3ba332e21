//! The GHASH of one chunk of a long packet. Made by [`super::Progress`].

use std::arch::x86_64::__m128i;

use crate::cipher::{Beside, SLOTS};
use crate::ghash::Sum;
use crate::lanes::{Lanes, halves};
use crate::material::Powers;

/// GHASH over a run of registers, in steps.
pub(super) struct Hash<'a, L: Lanes, const C: usize, const WHOLE: bool> {
    /// Where the registers with the first two blocks are, and from where on the others would be if these were before them.
    pub(super) front: *const u8,
    pub(super) others: *const u8,
    /// At most `C`; `C` if `WHOLE`.
    pub(super) registers: usize,
    /// From the first block's on.
    pub(super) powers: Powers<'a>,
    pub(super) hash: __m128i,
    pub(super) sum: Sum<L::V>,
}

impl<L: Lanes, const C: usize, const WHOLE: bool> Hash<'_, L, C, WHOLE> {
    /// Step 0 to `C`: a register each, the first one last because it waits for the run before; then the reduction.
    #[inline(always)]
    fn step(&mut self, lanes: L, step: usize) {
        if step == C {
            self.hash = lanes.single().pin(lanes.fold(self.sum.reduce(lanes)));
            return;
        }
        let j = (step + 1) % C;
        if !WHOLE && j >= self.registers {
            return;
        }
        let from = if j < front_registers::<L>() { self.front } else { self.others };
        // SAFETY: whoever made this run had these registers in mind.
        let mut block = unsafe { lanes.load(from.wrapping_add(16 * L::COUNT * j)) };
        block = lanes.reverse_bytes(block);
        if j == 0 {
            block = lanes.xor(block, lanes.combine(|i| if i == 0 { self.hash } else { halves(0, 0) }));
        }
        self.sum.add_product(lanes, block, self.powers.at(lanes, L::COUNT * j));
        self.sum.pin(lanes);
    }
}

impl<L: Lanes, const C: usize, const WHOLE: bool> Beside<L> for Hash<'_, L, C, WHOLE> {
    #[inline(always)]
    fn portion<const SLOT: usize>(&mut self, lanes: L) {
        for step in SLOT * (C + 1) / SLOTS..(SLOT + 1) * (C + 1) / SLOTS {
            self.step(lanes, step);
        }
    }
}

/// Registers that have numbers 0 and 1 in them.
pub(super) const fn front_registers<L: Lanes>() -> usize {
    if L::COUNT == 1 { 2 } else { 1 }
}
