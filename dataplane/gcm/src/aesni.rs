//! AES-NI and PCLMULQDQ: one block a register. Entries for [`super::Kernel`]; the kernel text is in `burst.rs`.

use std::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_aesenc_si128, _mm_aesenclast_si128, _mm_and_si128, _mm_clmulepi64_si128,
    _mm_loadu_si128, _mm_shuffle_epi8, _mm_shuffle_epi32, _mm_storeu_si128, _mm_xor_si128,
};

use super::Job;
use super::burst::{self, Open, Seal};
use super::lanes::{Lanes, block};
use super::limit::{self, Work};
use super::material::Material;

/// Proof that this CPU has AES-NI, PCLMULQDQ, SSSE3 and SSE4.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Aesni(());

impl Aesni {
    pub(super) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("aes")
            && is_x86_feature_detected!("pclmulqdq")
            && is_x86_feature_detected!("ssse3")
            && is_x86_feature_detected!("sse4.1"))
        .then_some(Self(()))
    }

    pub(super) fn seal(self, jobs: &mut [Job<'_>]) {
        // SAFETY: the token proves the features.
        unsafe { seal(self, jobs) }
    }

    pub(super) fn open(self, jobs: &mut [Job<'_>]) {
        // SAFETY: the token proves the features.
        unsafe { open(self, jobs) }
    }

    pub(super) fn limit(self, key: &Material, blocks: usize, work: Work) {
        // SAFETY: the token proves the features.
        unsafe { limit(self, key, blocks, work) }
    }
}

#[target_feature(enable = "aes,pclmulqdq,ssse3,sse4.1")]
fn seal(token: Aesni, jobs: &mut [Job<'_>]) {
    burst::run::<_, Seal>(token, jobs);
}

#[target_feature(enable = "aes,pclmulqdq,ssse3,sse4.1")]
fn open(token: Aesni, jobs: &mut [Job<'_>]) {
    burst::run::<_, Open>(token, jobs);
}

#[target_feature(enable = "aes,pclmulqdq,ssse3,sse4.1")]
fn limit(token: Aesni, key: &Material, blocks: usize, work: Work) {
    limit::run(token, key, blocks, work);
}

impl Lanes for Aesni {
    const COUNT: usize = 1;
    type V = __m128i;

    #[inline(always)]
    fn broadcast(self, block: __m128i) -> __m128i {
        block
    }

    #[inline(always)]
    fn combine(self, lane: impl Fn(usize) -> __m128i) -> __m128i {
        lane(0)
    }

    #[inline(always)]
    fn lane(self, v: __m128i, _: usize) -> __m128i {
        v
    }

    #[inline(always)]
    fn single(self) -> Aesni {
        self
    }

    #[inline(always)]
    fn fold(self, v: __m128i) -> __m128i {
        v
    }

    #[inline(always)]
    unsafe fn load(self, from: *const u8) -> __m128i {
        // SAFETY: the caller vouches for the bytes; the load has no alignment requirement.
        unsafe { _mm_loadu_si128(from.cast()) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut u8, v: __m128i) {
        // SAFETY: the caller vouches for the bytes; the store has no alignment requirement.
        unsafe { _mm_storeu_si128(to.cast(), v) }
    }

    #[inline(always)]
    fn xor(self, a: __m128i, b: __m128i) -> __m128i {
        // SAFETY: every x86-64 has SSE2.
        unsafe { _mm_xor_si128(a, b) }
    }

    #[inline(always)]
    fn and(self, a: __m128i, b: __m128i) -> __m128i {
        // SAFETY: every x86-64 has SSE2.
        unsafe { _mm_and_si128(a, b) }
    }

    #[inline(always)]
    fn add_words(self, a: __m128i, b: __m128i) -> __m128i {
        // SAFETY: every x86-64 has SSE2.
        unsafe { _mm_add_epi32(a, b) }
    }

    #[inline(always)]
    fn reverse_bytes(self, v: __m128i) -> __m128i {
        // SAFETY: the token proves SSSE3.
        unsafe { _mm_shuffle_epi8(v, reversed()) }
    }

    #[inline(always)]
    fn swap_halves(self, v: __m128i) -> __m128i {
        // SAFETY: every x86-64 has SSE2.
        unsafe { _mm_shuffle_epi32::<0b01_00_11_10>(v) }
    }

    #[inline(always)]
    fn aes_round(self, state: __m128i, round_key: __m128i) -> __m128i {
        // SAFETY: the token proves AES-NI.
        unsafe { _mm_aesenc_si128(state, round_key) }
    }

    #[inline(always)]
    fn aes_last_round(self, state: __m128i, round_key: __m128i) -> __m128i {
        // SAFETY: the token proves AES-NI.
        unsafe { _mm_aesenclast_si128(state, round_key) }
    }

    #[inline(always)]
    fn multiply_low(self, a: __m128i, b: __m128i) -> __m128i {
        // SAFETY: the token proves PCLMULQDQ.
        unsafe { _mm_clmulepi64_si128::<0x00>(a, b) }
    }

    #[inline(always)]
    fn multiply_high(self, a: __m128i, b: __m128i) -> __m128i {
        // SAFETY: the token proves PCLMULQDQ.
        unsafe { _mm_clmulepi64_si128::<0x11>(a, b) }
    }
}

/// Shuffle control that reverses 16 bytes.
#[inline(always)]
pub(super) fn reversed() -> __m128i {
    block(&[15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0])
}
