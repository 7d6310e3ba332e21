//! AES-NI, PCLMULQDQ and AVX's encoding (three operands, any alignment): one block a register. Entries for [`super::Kernel`]; the kernel text is in `burst.rs`.

use std::arch::asm;
use std::arch::x86_64::{
    __m128i, _mm_aesenc_si128, _mm_aesenclast_si128, _mm_and_si128, _mm_clmulepi64_si128, _mm_loadu_si128,
    _mm_shuffle_epi8, _mm_shuffle_epi32, _mm_storeu_si128, _mm_xor_si128,
};

use super::Job;
use super::burst::{self, Open, Seal};
use super::lanes::{Lanes, Task, block};
use super::limit::{Limit, Work};
use super::material::Material;

/// Proof that this CPU has AES-NI, PCLMULQDQ and AVX.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Aesni(());

impl Aesni {
    pub(super) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("aes")
            && is_x86_feature_detected!("pclmulqdq")
            && is_x86_feature_detected!("avx"))
        .then_some(Self(()))
    }

    pub(super) fn seal(self, jobs: &mut [Job<'_>]) {
        burst::run::<_, Seal>(self, jobs);
    }

    pub(super) fn open(self, jobs: &mut [Job<'_>]) {
        burst::run::<_, Open>(self, jobs);
    }

    pub(super) fn limit(self, key: &Material, blocks: usize, work: Work) {
        self.enter(Limit { key, blocks, work });
    }
}

#[target_feature(enable = "aes,pclmulqdq,avx")]
#[inline(never)]
fn enter<T: Task<Aesni>>(token: Aesni, task: T) {
    task.run(token);
}

#[target_feature(enable = "sse2")]
#[inline]
fn pin(mut v: __m128i) -> __m128i {
    // SAFETY: no instruction, and the register is left as it was.
    unsafe { asm!("/* {v} */", v = inout(xmm_reg) v, options(nomem, nostack, preserves_flags)) }
    v
}

impl Lanes for Aesni {
    const COUNT: usize = 1;
    type V = __m128i;

    #[inline(always)]
    fn enter<T: Task<Self>>(self, task: T) {
        // SAFETY: the token proves the features.
        unsafe { enter(self, task) }
    }

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
    fn with_last(self, _: __m128i, block: __m128i) -> __m128i {
        block
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
    fn pin(self, v: __m128i) -> __m128i {
        // SAFETY: the token proves the feature.
        unsafe { pin(v) }
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
    fn reverse_bytes(self, v: __m128i) -> __m128i {
        // SAFETY: the token proves AVX, hence SSSE3.
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
