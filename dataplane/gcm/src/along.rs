//! One packet by itself: the lanes of a register are consecutive blocks of it. Called by [`super::burst`].
//!
//! Position 0 is the counter block of the tag mask for AES and the AAD for GHASH; positions 1 to n are the payload; position n + 1 is
//! the block of lengths, for GHASH alone. So counters and hash blocks lie in the same lanes.

#![expect(clippy::needless_range_loop, reason = "an index names the same place in several arrays")]

use std::arch::x86_64::{__m128i, _mm_loadu_si128, _mm_storeu_si128};

use super::Job;
use super::burst::{Direction, encrypt, keep_bytes};
use super::ghash::{self, Sum};
use super::lanes::{Lanes, block, halves};
use super::material::{Material, POWERS};

/// Registers in a step: as many chains of AES rounds as hide their latency, no more blocks than there are powers of H.
const fn step_registers<L: Lanes>() -> usize {
    if 8 * L::COUNT > POWERS { POWERS / L::COUNT } else { 8 }
}

struct Packet<'a, L: Lanes> {
    lanes: L,
    key: &'a Material,
    payload: *mut u8,
    length: usize,
    blocks: usize,
    aad: __m128i,
    lengths: __m128i,
    /// Counter blocks of the first register, byte-reversed, so that the counter is the lowest word.
    counters: L::V,
}

/// Transforms one job with a SIMD key.
#[inline(always)]
pub(super) fn run<L: Lanes, D: Direction>(lanes: L, job: &mut Job<'_>) {
    let packet = Packet::new(lanes, job);
    let registers = (packet.blocks + 1).div_ceil(L::COUNT);
    let mut state = State { hash: halves(0, 0), mask: halves(0, 0) };
    let mut at = 0;
    while registers - at > step_registers::<L>() {
        match step_registers::<L>() {
            4 => packet.step::<D, 4>(&mut state, at, false),
            _ => packet.step::<D, 8>(&mut state, at, false),
        }
        at += step_registers::<L>();
    }
    match registers - at {
        1 => packet.step::<D, 1>(&mut state, at, true),
        2 => packet.step::<D, 2>(&mut state, at, true),
        3 => packet.step::<D, 3>(&mut state, at, true),
        4 => packet.step::<D, 4>(&mut state, at, true),
        5 => packet.step::<D, 5>(&mut state, at, true),
        6 => packet.step::<D, 6>(&mut state, at, true),
        7 => packet.step::<D, 7>(&mut state, at, true),
        _ => packet.step::<D, 8>(&mut state, at, true),
    }
    let token = lanes.single();
    D::finish(job, token.xor(token.reverse_bytes(state.hash), state.mask));
}

/// What goes from step to step.
struct State {
    /// GHASH so far, byte-reversed.
    hash: __m128i,
    /// The encrypted counter block for the tag.
    mask: __m128i,
}

impl<'a, L: Lanes> Packet<'a, L> {
    #[inline(always)]
    fn new(lanes: L, job: &Job<'a>) -> Self {
        let counter = lanes.reverse_bytes(lanes.broadcast(block(&job.counter)));
        Self {
            lanes,
            key: job.key.simd().expect("the burst takes keys of other kernels out"),
            payload: job.payload.as_ptr(),
            length: job.length,
            blocks: job.length.div_ceil(16),
            aad: block(&job.aad.bytes),
            lengths: halves(8 * u64::from(job.aad.length), 8 * job.length as u64),
            counters: lanes.add_words(counter, lanes.combine(|i| halves(0, i as u64))),
        }
    }

    /// The `W` registers from register `at` on. `last`: they are the packet's last, and the lengths follow.
    #[inline(always)]
    fn step<D: Direction, const W: usize>(&self, state: &mut State, at: usize, last: bool) {
        let lanes = self.lanes;
        let base = lanes.add_words(self.counters, lanes.broadcast(halves(0, (at * L::COUNT) as u64)));
        let mut stream = [[base; W]];
        for w in 0..W {
            let counters = lanes.add_words(base, lanes.broadcast(halves(0, (w * L::COUNT) as u64)));
            stream[0][w] = lanes.reverse_bytes(counters);
        }
        encrypt(lanes, &mut stream, self.key.rounds(), |_, round| lanes.broadcast(self.key.round_key(round)));
        let [stream] = stream;

        // Blocks that this step's sum is about, the lengths among them if they fit.
        let all = W * L::COUNT;
        let count = if last { (self.blocks + 2 - at * L::COUNT).min(all) } else { all };
        let mut sum = Sum::zero(lanes);
        for w in 0..W {
            let edge = (at == 0 && w == 0) || (last && w == W - 1);
            let position = (at + w) * L::COUNT;
            let mut hashed =
                if edge { self.edge::<D>(position, stream[w]) } else { self.whole::<D>(position, stream[w]) };
            if w == 0 {
                hashed = lanes.xor(hashed, lanes.combine(|i| if i == 0 { state.hash } else { halves(0, 0) }));
            }
            sum.add_product(lanes, hashed, self.key.powers(lanes, count - w * L::COUNT));
        }
        let token = lanes.single();
        state.hash = sum.fold(lanes).reduce(token);
        if at == 0 {
            state.mask = lanes.lane(stream[0], 0);
        }
        if last && at * L::COUNT + count < self.blocks + 2 {
            state.hash = ghash::multiply(token, token.xor(state.hash, self.lengths), self.key.power(1));
        }
    }

    /// A register of whole payload blocks: XORs the key stream, returns what GHASH gets.
    #[inline(always)]
    fn whole<D: Direction>(&self, position: usize, stream: L::V) -> L::V {
        let lanes = self.lanes;
        // SAFETY: all of the register's positions are among the payload's blocks, and a partial last block has the tag's 16
        // bytes behind it; it never comes here, but to `edge`.
        unsafe {
            let to = self.payload.add(16 * (position - 1));
            let before = lanes.load(to);
            let after = lanes.xor(before, stream);
            lanes.store(to, after);
            lanes.reverse_bytes(D::ciphertext::<L>(before, after))
        }
    }

    /// A register at either end of the packet: as [`Packet::whole`], with AAD, partial block and lengths.
    #[inline(always)]
    fn edge<D: Direction>(&self, position: usize, stream: L::V) -> L::V {
        let lanes = self.lanes;
        let payload_block = |i: usize| (position + i).wrapping_sub(1);
        let keep = lanes.combine(|i| {
            let at = payload_block(i);
            keep_bytes(if at < self.blocks { self.length - 16 * at } else { 0 })
        });
        let before = lanes.combine(|i| {
            let at = payload_block(i);
            if at >= self.blocks {
                return halves(0, 0);
            }
            // SAFETY: the block begins inside the payload and the tag's 16 bytes lie behind that.
            unsafe { _mm_loadu_si128(self.payload.add(16 * at).cast()) }
        });
        let after = lanes.xor(before, lanes.and(stream, keep));
        for i in 0..L::COUNT {
            let at = payload_block(i);
            if at < self.blocks {
                // SAFETY: as for the load; what lies behind the payload is written as it was read.
                unsafe { _mm_storeu_si128(self.payload.add(16 * at).cast(), lanes.lane(after, i)) };
            }
        }
        let ciphertext = lanes.reverse_bytes(lanes.and(D::ciphertext::<L>(before, after), keep));
        let around = lanes.combine(|i| {
            if position + i == 0 {
                lanes.single().reverse_bytes(self.aad)
            } else if position + i == self.blocks + 1 {
                self.lengths
            } else {
                halves(0, 0)
            }
        });
        lanes.xor(ciphertext, around)
    }
}
