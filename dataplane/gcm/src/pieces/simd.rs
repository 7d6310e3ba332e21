//! The blocks of a payload in pieces, by the instructions of a SIMD kernel: several registers at a time, then several blocks, then one by one.

#![expect(clippy::needless_range_loop, reason = "an index names the same place in several arrays")]

use std::arch::x86_64::__m128i;

use super::{Block, Blocks};
use crate::Nonce;
use crate::aesni::Aesni;
use crate::cipher::{Nothing, encrypt};
use crate::ghash::Sum;
use crate::lanes::{Lanes, Task, block, halves};
use crate::material::{Material, store};
use crate::packet::words;

pub(in crate::pieces) struct State<'k> {
    key: &'k Material,
    /// What counter blocks are made of: the nonce and the counter 0, with the first round key added.
    start: __m128i,
    /// The next counter.
    counter: u32,
    /// Byte-reversed, as in [`crate::ghash`].
    hash: __m128i,
}

/// A kernel at work on one packet.
pub(crate) struct Simd<'k, L> {
    lanes: L,
    state: State<'k>,
}

impl<'k, L: Lanes> Simd<'k, L> {
    pub(crate) fn new(lanes: L, key: &'k Material, nonce: Nonce) -> Self {
        let start = lanes.single().xor(words(&nonce.words()), key.round_key(0));
        Self { lanes, state: State { key, start, counter: 1, hash: halves(0, 0) } }
    }
}

impl<L: Lanes> Blocks for Simd<'_, L> {
    fn stream(&mut self) -> Block {
        let mut block = [0; 16];
        self.lanes.enter(Stream { state: &mut self.state, block: &mut block });
        block
    }

    fn blocks<const OPENS: bool>(&mut self, blocks: &mut [Block]) {
        self.lanes.enter(Whole::<OPENS> { state: &mut self.state, blocks });
    }

    fn hash(&mut self, block: &Block) {
        self.lanes.enter(Hash { state: &mut self.state, block });
    }

    fn ghash(&mut self) -> Block {
        let mut block = [0; 16];
        self.lanes.enter(Told { state: &self.state, block: &mut block });
        block
    }
}

impl State<'_> {
    /// The counter block that comes so many later.
    #[inline(always)]
    fn counter_block(&self, token: Aesni, later: usize) -> __m128i {
        #[expect(clippy::cast_possible_truncation, reason = "a register's number of blocks")]
        let counter = self.counter.wrapping_add(later as u32);
        token.xor(self.start, halves(u64::from(counter.swap_bytes()) << 32, 0))
    }

    /// Transforms as many times `R` registers as there are; what is left comes back.
    #[inline(always)]
    fn registers<'b, L: Lanes, const R: usize, const OPENS: bool>(
        &mut self,
        lanes: L,
        blocks: &'b mut [Block],
    ) -> &'b mut [Block] {
        let count = R * L::COUNT;
        let mut chunks = blocks.chunks_exact_mut(count);
        for chunk in &mut chunks {
            let mut stream = [[lanes.zero(); R]];
            for r in 0..R {
                stream[0][r] = lanes.combine(|i| self.counter_block(lanes.single(), L::COUNT * r + i));
            }
            encrypt(lanes, &[self.key], &mut stream, &mut Nothing);
            #[expect(clippy::cast_possible_truncation, reason = "at most 16 blocks")]
            {
                self.counter = self.counter.wrapping_add(count as u32);
            }
            let (start, powers) = (chunk.as_mut_ptr().cast::<u8>(), self.key.powers_from(count));
            let mut sum = Sum::zero(lanes);
            for r in 0..R {
                // SAFETY: the chunk's bytes are those of `R` registers.
                let (before, after) = unsafe {
                    let at = start.add(16 * L::COUNT * r);
                    let before = lanes.load(at);
                    let after = lanes.xor(before, stream[0][r]);
                    lanes.store(at, after);
                    (before, after)
                };
                let mut ciphertext = lanes.reverse_bytes(if OPENS { before } else { after });
                if r == 0 {
                    let hash = lanes.combine(|i| if i == 0 { self.hash } else { halves(0, 0) });
                    ciphertext = lanes.xor(ciphertext, hash);
                }
                sum.add_product(lanes, ciphertext, powers.at(lanes, L::COUNT * r));
            }
            self.hash = lanes.fold(sum.reduce(lanes));
        }
        chunks.into_remainder()
    }
}

struct Whole<'s, 'k, 'b, const OPENS: bool> {
    state: &'s mut State<'k>,
    blocks: &'b mut [Block],
}

impl<L: Lanes, const OPENS: bool> Task<L> for Whole<'_, '_, '_, OPENS> {
    #[inline(always)]
    fn run(self, lanes: L) {
        let Self { state, blocks } = self;
        let rest = if L::CHUNK == 8 {
            state.registers::<L, 8, OPENS>(lanes, blocks)
        } else {
            state.registers::<L, 4, OPENS>(lanes, blocks)
        };
        let rest = state.registers::<Aesni, 4, OPENS>(lanes.single(), rest);
        state.registers::<Aesni, 1, OPENS>(lanes.single(), rest);
    }
}

struct Stream<'s, 'k, 'b> {
    state: &'s mut State<'k>,
    block: &'b mut Block,
}

impl<L: Lanes> Task<L> for Stream<'_, '_, '_> {
    #[inline(always)]
    fn run(self, lanes: L) {
        let Self { state, block } = self;
        let mut stream = [[state.counter_block(lanes.single(), 0)]];
        encrypt(lanes.single(), &[state.key], &mut stream, &mut Nothing);
        state.counter = state.counter.wrapping_add(1);
        store(block, stream[0][0]);
    }
}

struct Hash<'s, 'k, 'b> {
    state: &'s mut State<'k>,
    block: &'b Block,
}

impl<L: Lanes> Task<L> for Hash<'_, '_, '_> {
    #[inline(always)]
    fn run(self, lanes: L) {
        let (token, state) = (lanes.single(), self.state);
        let mut sum = Sum::zero(token);
        let sealed = token.xor(token.reverse_bytes(block(self.block)), state.hash);
        sum.add_product(token, sealed, state.key.powers_from(1).at(token, 0));
        state.hash = sum.reduce(token);
    }
}

struct Told<'s, 'k, 'b> {
    state: &'s State<'k>,
    block: &'b mut Block,
}

impl<L: Lanes> Task<L> for Told<'_, '_, '_> {
    #[inline(always)]
    fn run(self, lanes: L) {
        store(self.block, lanes.single().reverse_bytes(self.state.hash));
    }
}
