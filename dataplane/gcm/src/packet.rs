//! A job as the SIMD kernel text works on it. Made by [`super::burst`].

use std::arch::x86_64::{__m128i, _mm_loadu_si128};
use std::ptr::NonNull;

use super::Job;
use super::burst::Direction;
use super::lanes::Lanes;
use super::material::Material;

/// A job with a SIMD key, while its burst is worked on. Several may stand for the same job.
#[derive(Clone, Copy)]
pub(super) struct Packet<'a> {
    /// Live, and touched by nobody but these packets: [`super::burst::run`] has the only reference, and does not use it meanwhile.
    job: NonNull<Job<'a>>,
    pub(super) key: &'a Material,
    /// `length` bytes of payload, the tag's 16 behind them.
    pub(super) payload: *mut u8,
    pub(super) length: usize,
}

impl<'a> Packet<'a> {
    /// # Safety
    /// `job` is live, has a SIMD key, and nothing else touches it as long as the packet, or a copy, is used.
    #[inline(always)]
    pub(super) unsafe fn new(job: NonNull<Job<'a>>) -> Self {
        // SAFETY: live, says the caller.
        let at = unsafe { job.as_ref() };
        // SAFETY: a SIMD key, says the caller.
        let key = unsafe { at.key.simd().unwrap_unchecked() };
        Self { job, key, payload: at.payload.as_ptr(), length: at.length }
    }

    #[inline(always)]
    fn job(&self) -> &Job<'a> {
        // SAFETY: live and not written to but through `finish`, as `new` was promised.
        unsafe { self.job.as_ref() }
    }

    /// Payload blocks, the last of which may be partial.
    #[inline(always)]
    pub(super) fn blocks(&self) -> usize {
        self.length.div_ceil(16)
    }

    /// The nonce and the counter 0, with the first round key added: what all counter blocks are made of.
    #[inline(always)]
    pub(super) fn start<L: Lanes>(&self, lanes: L) -> L::V {
        lanes.xor(lanes.broadcast(words(&self.job().nonce)), lanes.broadcast(self.key.round_key(0)))
    }

    /// The additional data, padded with zeros.
    #[inline(always)]
    pub(super) fn aad(&self) -> __m128i {
        words(&self.job().aad)
    }

    /// GHASH's last block, byte-reversed.
    #[inline(always)]
    pub(super) fn lengths(&self) -> __m128i {
        words(&self.job().lengths)
    }

    /// A mask of what belongs to the payload from byte `at` on.
    #[inline(always)]
    pub(super) fn keep<L: Lanes>(&self, lanes: L, at: usize) -> L::V {
        lanes.keep(at, self.length)
    }

    /// Writes the tag or checks it.
    #[inline(always)]
    pub(super) fn finish<D: Direction>(mut self, tag: __m128i) {
        // SAFETY: live and touched by nobody else, as `new` was promised; the reference ends here.
        D::finish(unsafe { self.job.as_mut() }, tag);
    }
}

/// Two integers as a block, the first one lowest.
#[inline(always)]
pub(super) fn words(words: &[u64; 2]) -> __m128i {
    // SAFETY: the reference covers the 16 bytes that are read; the load has no alignment requirement; every x86-64 has SSE2.
    unsafe { _mm_loadu_si128(words.as_ptr().cast()) }
}
