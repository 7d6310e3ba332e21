//! How the SIMD kernels go through a burst, and what both ways through a packet share. Called by the kernels' entries.
//!
//! Packets of up to seven blocks wait in a bucket by size until there are enough of them for a group that fills all lanes
//! ([`super::across`]); longer ones, and those that find no company, are done by themselves ([`super::along`]).

use std::arch::x86_64::{__m128i, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_storeu_si128};

use super::lanes::Lanes;
use super::{Job, Verdict, across, along, portable};

/// Seal or open: which side of the cipher GHASH reads, and what becomes of the tag.
pub(super) trait Direction {
    /// Of what was read and what is written, the ciphertext.
    fn ciphertext<L: Lanes>(before: L::V, after: L::V) -> L::V;
    /// Writes or checks the tag.
    fn finish(job: &mut Job<'_>, tag: __m128i);
    /// The whole job by the portable kernel.
    fn portable(job: &mut Job<'_>);
}

pub(super) struct Seal;
pub(super) struct Open;

/// Longest payload, in blocks, that goes side by side with others.
const SHORT_BLOCKS: usize = 7;
/// One bucket for each number of payload blocks and of AES rounds.
const BUCKETS: usize = 3 * (SHORT_BLOCKS + 1);
/// Jobs in the largest group: four registers of four lanes.
const GROUP_MAX: usize = 16;
/// Jobs that are looked at together.
const CHUNK: usize = 64;

/// Short jobs that wait for company, by bucket; indices into the chunk.
struct Waiting {
    jobs: [[u8; GROUP_MAX]; BUCKETS],
    counts: [u8; BUCKETS],
}

/// Transforms all jobs.
#[inline(always)]
pub(super) fn run<L: Lanes, D: Direction>(lanes: L, jobs: &mut [Job<'_>]) {
    for chunk in jobs.chunks_mut(CHUNK) {
        let mut waiting = Waiting { jobs: [[0; GROUP_MAX]; BUCKETS], counts: [0; BUCKETS] };
        for (index, at) in (0_u8..).zip(0..chunk.len()) {
            let job = &mut chunk[at];
            let blocks = job.length.div_ceil(16);
            let Some(key) = job.key.simd() else {
                D::portable(job);
                continue;
            };
            if blocks > SHORT_BLOCKS {
                along::run::<L, D>(lanes, job);
                continue;
            }
            let bucket = (key.rounds() / 2 - 5) * (SHORT_BLOCKS + 1) + blocks;
            let count = usize::from(waiting.counts[bucket]);
            waiting.jobs[bucket][count] = index;
            if count + 1 == L::COUNT * interleave(blocks) {
                waiting.counts[bucket] = 0;
                group::<L, D>(lanes, chunk, &waiting.jobs[bucket], blocks);
            } else {
                waiting.counts[bucket] += 1;
            }
        }
        leftovers::<L, D>(lanes, chunk, &waiting);
    }
}

/// Registers of packets in a group: enough for some eight chains of AES rounds, which is what hides their latency.
#[inline(always)]
fn interleave(blocks: usize) -> usize {
    match blocks {
        0 | 1 => 4,
        2..=5 => 2,
        _ => 1,
    }
}

#[inline(always)]
fn group<L: Lanes, D: Direction>(lanes: L, chunk: &mut [Job<'_>], group: &[u8], blocks: usize) {
    match blocks {
        0 => across::run::<L, D, 1, 4>(lanes, chunk, group),
        1 => across::run::<L, D, 2, 4>(lanes, chunk, group),
        2 => across::run::<L, D, 3, 2>(lanes, chunk, group),
        3 => across::run::<L, D, 4, 2>(lanes, chunk, group),
        4 => across::run::<L, D, 5, 2>(lanes, chunk, group),
        5 => across::run::<L, D, 6, 2>(lanes, chunk, group),
        6 => across::run::<L, D, 7, 1>(lanes, chunk, group),
        _ => across::run::<L, D, 8, 1>(lanes, chunk, group),
    }
}

/// What did not fill a group: a register at a time, then packet by packet.
#[inline(always)]
fn leftovers<L: Lanes, D: Direction>(lanes: L, chunk: &mut [Job<'_>], waiting: &Waiting) {
    for bucket in 0..BUCKETS {
        let count = usize::from(waiting.counts[bucket]);
        let jobs = &waiting.jobs[bucket][..count];
        let mut registers = jobs.chunks_exact(L::COUNT);
        for register in &mut registers {
            match bucket % (SHORT_BLOCKS + 1) {
                0 => across::run::<L, D, 1, 1>(lanes, chunk, register),
                1 => across::run::<L, D, 2, 1>(lanes, chunk, register),
                2 => across::run::<L, D, 3, 1>(lanes, chunk, register),
                3 => across::run::<L, D, 4, 1>(lanes, chunk, register),
                4 => across::run::<L, D, 5, 1>(lanes, chunk, register),
                5 => across::run::<L, D, 6, 1>(lanes, chunk, register),
                6 => across::run::<L, D, 7, 1>(lanes, chunk, register),
                _ => across::run::<L, D, 8, 1>(lanes, chunk, register),
            }
        }
        for &index in registers.remainder() {
            along::run::<L, D>(lanes, &mut chunk[usize::from(index)]);
        }
    }
}

impl Direction for Seal {
    #[inline(always)]
    fn ciphertext<L: Lanes>(_: L::V, after: L::V) -> L::V {
        after
    }

    #[inline(always)]
    fn finish(job: &mut Job<'_>, tag: __m128i) {
        // SAFETY: a job has room for the tag behind its payload.
        unsafe { _mm_storeu_si128(job.payload.as_ptr().add(job.length).cast(), tag) }
    }

    fn portable(job: &mut Job<'_>) {
        portable::seal(std::slice::from_mut(job));
    }
}

impl Direction for Open {
    #[inline(always)]
    fn ciphertext<L: Lanes>(before: L::V, _: L::V) -> L::V {
        before
    }

    /// Constant time: all 16 bytes are compared, whatever the first ones are.
    #[inline(always)]
    fn finish(job: &mut Job<'_>, tag: __m128i) {
        // SAFETY: a job has a tag behind its payload; every x86-64 has SSE2.
        let equal = unsafe {
            let received = _mm_loadu_si128(job.payload.as_ptr().add(job.length).cast());
            _mm_movemask_epi8(_mm_cmpeq_epi8(received, tag))
        };
        if equal == 0xffff {
            job.verdict = Verdict::Authentic;
        } else {
            job.reject();
        }
    }

    fn portable(job: &mut Job<'_>) {
        portable::open(std::slice::from_mut(job));
    }
}

/// Encrypts `G` times `N` registers of counter blocks, all interleaved; `round_key(g, round)` is the round key of register
/// group `g`.
#[inline(always)]
pub(super) fn encrypt<L: Lanes, const N: usize, const G: usize>(
    lanes: L,
    state: &mut [[L::V; N]; G],
    rounds: usize,
    round_key: impl Fn(usize, usize) -> L::V,
) {
    for (g, group) in state.iter_mut().enumerate() {
        let key = round_key(g, 0);
        for v in group {
            *v = lanes.xor(*v, key);
        }
    }
    for round in 1..rounds {
        for (g, group) in state.iter_mut().enumerate() {
            let key = round_key(g, round);
            for v in group {
                *v = lanes.aes_round(*v, key);
            }
        }
    }
    for (g, group) in state.iter_mut().enumerate() {
        let key = round_key(g, rounds);
        for v in group {
            *v = lanes.aes_last_round(*v, key);
        }
    }
}

/// A mask of the first `bytes` bytes of a block; 16 and more are all of it.
#[inline(always)]
pub(super) fn keep_bytes(bytes: usize) -> __m128i {
    const EDGE: [u8; 32] = {
        let mut edge = [0; 32];
        let mut i = 0;
        while i < 16 {
            edge[i] = 0xff;
            i += 1;
        }
        edge
    };
    let start = 16 - bytes.min(16);
    // SAFETY: 16 bytes from any of the first 17 are inside the 32.
    unsafe { _mm_loadu_si128(EDGE.as_ptr().add(start).cast()) }
}
