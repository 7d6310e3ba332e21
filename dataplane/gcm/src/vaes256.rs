//! AVX2 with VAES and VPCLMULQDQ: two blocks a register. Entries for [`super::Kernel`]; the kernel text is in `burst.rs`.

use std::arch::asm;
use std::arch::x86_64::{
    __m128i, __m256i, _mm256_aesenc_epi128, _mm256_aesenclast_epi128, _mm256_and_si256,
    _mm256_broadcastsi128_si256, _mm256_castsi128_si256, _mm256_castsi256_si128, _mm256_clmulepi64_epi128,
    _mm256_extracti128_si256, _mm256_inserti128_si256, _mm256_loadu_si256, _mm256_shuffle_epi8,
    _mm256_shuffle_epi32, _mm256_storeu_si256, _mm256_xor_si256,
};

use super::Job;
use super::aesni::{Aesni, reversed};
use super::burst::{self, Open, Seal};
use super::lanes::{Lanes, Task};
use super::limit::{Limit, Work};
use super::material::Material;

/// Proof that this CPU has AVX2, VAES and VPCLMULQDQ (and what [`Aesni`] proves).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Vaes256(Aesni);

impl Vaes256 {
    pub(super) fn detect() -> Option<Self> {
        let has = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("vaes")
            && is_x86_feature_detected!("vpclmulqdq");
        Aesni::detect().filter(|_| has).map(Self)
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

#[target_feature(enable = "avx2,vaes,vpclmulqdq,aes,pclmulqdq")]
#[inline(never)]
fn enter<T: Task<Vaes256>>(token: Vaes256, task: T) {
    task.run(token);
}

#[target_feature(enable = "avx")]
#[inline]
fn pin(mut v: __m256i) -> __m256i {
    // SAFETY: no instruction, and the register is left as it was.
    unsafe { asm!("/* {v} */", v = inout(ymm_reg) v, options(nomem, nostack, preserves_flags)) }
    v
}

impl Lanes for Vaes256 {
    const COUNT: usize = 2;
    type V = __m256i;

    #[inline(always)]
    fn enter<T: Task<Self>>(self, task: T) {
        // SAFETY: the token proves the features.
        unsafe { enter(self, task) }
    }

    #[inline(always)]
    fn broadcast(self, block: __m128i) -> __m256i {
        // SAFETY: the token proves AVX2.
        unsafe { _mm256_broadcastsi128_si256(block) }
    }

    #[inline(always)]
    fn combine(self, lane: impl Fn(usize) -> __m128i) -> __m256i {
        // SAFETY: the token proves AVX2.
        unsafe { _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(lane(0)), lane(1)) }
    }

    #[inline(always)]
    fn lane(self, v: __m256i, i: usize) -> __m128i {
        // SAFETY: the token proves AVX2.
        unsafe {
            match i {
                0 => _mm256_castsi256_si128(v),
                _ => _mm256_extracti128_si256::<1>(v),
            }
        }
    }

    #[inline(always)]
    fn with_last(self, v: __m256i, block: __m128i) -> __m256i {
        // SAFETY: the token proves AVX2.
        unsafe { _mm256_inserti128_si256::<1>(v, block) }
    }

    #[inline(always)]
    fn single(self) -> Aesni {
        self.0
    }

    #[inline(always)]
    fn fold(self, v: __m256i) -> __m128i {
        self.0.xor(self.lane(v, 0), self.lane(v, 1))
    }

    #[inline(always)]
    unsafe fn load(self, from: *const u8) -> __m256i {
        // SAFETY: the token proves AVX; the caller vouches for the bytes; the load has no alignment requirement.
        unsafe { _mm256_loadu_si256(from.cast()) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut u8, v: __m256i) {
        // SAFETY: the token proves AVX; the caller vouches for the bytes; the store has no alignment requirement.
        unsafe { _mm256_storeu_si256(to.cast(), v) }
    }

    #[inline(always)]
    fn pin(self, v: __m256i) -> __m256i {
        // SAFETY: the token proves the feature.
        unsafe { pin(v) }
    }

    #[inline(always)]
    fn xor(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: the token proves AVX2.
        unsafe { _mm256_xor_si256(a, b) }
    }

    #[inline(always)]
    fn and(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: the token proves AVX2.
        unsafe { _mm256_and_si256(a, b) }
    }

    #[inline(always)]
    fn reverse_bytes(self, v: __m256i) -> __m256i {
        // SAFETY: the token proves AVX2.
        unsafe { _mm256_shuffle_epi8(v, self.broadcast(reversed())) }
    }

    #[inline(always)]
    fn swap_halves(self, v: __m256i) -> __m256i {
        // SAFETY: the token proves AVX2.
        unsafe { _mm256_shuffle_epi32::<0b01_00_11_10>(v) }
    }

    #[inline(always)]
    fn aes_round(self, state: __m256i, round_key: __m256i) -> __m256i {
        // SAFETY: the token proves VAES.
        unsafe { _mm256_aesenc_epi128(state, round_key) }
    }

    #[inline(always)]
    fn aes_last_round(self, state: __m256i, round_key: __m256i) -> __m256i {
        // SAFETY: the token proves VAES.
        unsafe { _mm256_aesenclast_epi128(state, round_key) }
    }

    #[inline(always)]
    fn multiply_low(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: the token proves VPCLMULQDQ.
        unsafe { _mm256_clmulepi64_epi128::<0x00>(a, b) }
    }

    #[inline(always)]
    fn multiply_high(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: the token proves VPCLMULQDQ.
        unsafe { _mm256_clmulepi64_epi128::<0x11>(a, b) }
    }
}

impl From<Vaes256> for Aesni {
    fn from(token: Vaes256) -> Self {
        token.0
    }
}
