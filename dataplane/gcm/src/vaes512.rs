//! AVX-512 with VAES and VPCLMULQDQ: four blocks a register. Entries for [`super::Kernel`]; the kernel text is in `burst.rs`.
//!
//! What has run: the kernel text at four lanes, in the tests, on emulated registers. The instructions of this file have been
//! compiled, but no CPU with AVX-512 has run them yet; there, the oracle tests pick this kernel up by themselves.

use std::arch::x86_64::{
    __m128i, __m512i, _mm512_add_epi32, _mm512_aesenc_epi128, _mm512_aesenclast_epi128, _mm512_and_si512,
    _mm512_broadcast_i32x4, _mm512_castsi128_si512, _mm512_castsi512_si128, _mm512_clmulepi64_epi128,
    _mm512_extracti32x4_epi32, _mm512_inserti32x4, _mm512_loadu_si512, _mm512_shuffle_epi8,
    _mm512_shuffle_epi32, _mm512_storeu_si512, _mm512_xor_si512,
};

use super::Job;
use super::aesni::{Aesni, reversed};
use super::burst::{self, Open, Seal};
use super::lanes::Lanes;
use super::limit::{self, Work};
use super::material::Material;

/// Proof that this CPU has AVX-512 F, BW and VL, VAES and VPCLMULQDQ (and what [`Aesni`] proves).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Vaes512(Aesni);

impl Vaes512 {
    pub(super) fn detect() -> Option<Self> {
        let has = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("vaes")
            && is_x86_feature_detected!("vpclmulqdq");
        Aesni::detect().filter(|_| has).map(Self)
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

#[target_feature(enable = "avx512f,avx512bw,avx512vl,vaes,vpclmulqdq,aes,pclmulqdq")]
fn seal(token: Vaes512, jobs: &mut [Job<'_>]) {
    burst::run::<_, Seal>(token, jobs);
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,vaes,vpclmulqdq,aes,pclmulqdq")]
fn open(token: Vaes512, jobs: &mut [Job<'_>]) {
    burst::run::<_, Open>(token, jobs);
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,vaes,vpclmulqdq,aes,pclmulqdq")]
fn limit(token: Vaes512, key: &Material, blocks: usize, work: Work) {
    limit::run(token, key, blocks, work);
}

impl Lanes for Vaes512 {
    const COUNT: usize = 4;
    type V = __m512i;

    #[inline(always)]
    fn broadcast(self, block: __m128i) -> __m512i {
        // SAFETY: the token proves AVX-512.
        unsafe { _mm512_broadcast_i32x4(block) }
    }

    #[inline(always)]
    fn combine(self, lane: impl Fn(usize) -> __m128i) -> __m512i {
        // SAFETY: the token proves AVX-512.
        unsafe {
            let v = _mm512_castsi128_si512(lane(0));
            let v = _mm512_inserti32x4::<1>(v, lane(1));
            let v = _mm512_inserti32x4::<2>(v, lane(2));
            _mm512_inserti32x4::<3>(v, lane(3))
        }
    }

    #[inline(always)]
    fn lane(self, v: __m512i, i: usize) -> __m128i {
        // SAFETY: the token proves AVX-512.
        unsafe {
            match i {
                0 => _mm512_castsi512_si128(v),
                1 => _mm512_extracti32x4_epi32::<1>(v),
                2 => _mm512_extracti32x4_epi32::<2>(v),
                _ => _mm512_extracti32x4_epi32::<3>(v),
            }
        }
    }

    #[inline(always)]
    fn single(self) -> Aesni {
        self.0
    }

    #[inline(always)]
    fn fold(self, v: __m512i) -> __m128i {
        let token = self.0;
        token.xor(token.xor(self.lane(v, 0), self.lane(v, 1)), token.xor(self.lane(v, 2), self.lane(v, 3)))
    }

    #[inline(always)]
    unsafe fn load(self, from: *const u8) -> __m512i {
        // SAFETY: the token proves AVX-512; the caller vouches for the bytes; the load has no alignment requirement.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut u8, v: __m512i) {
        // SAFETY: the token proves AVX-512; the caller vouches for the bytes; the store has no alignment requirement.
        unsafe { _mm512_storeu_si512(to.cast(), v) }
    }

    #[inline(always)]
    fn xor(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: the token proves AVX-512.
        unsafe { _mm512_xor_si512(a, b) }
    }

    #[inline(always)]
    fn and(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: the token proves AVX-512.
        unsafe { _mm512_and_si512(a, b) }
    }

    #[inline(always)]
    fn add_words(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: the token proves AVX-512.
        unsafe { _mm512_add_epi32(a, b) }
    }

    #[inline(always)]
    fn reverse_bytes(self, v: __m512i) -> __m512i {
        // SAFETY: the token proves AVX-512.
        unsafe { _mm512_shuffle_epi8(v, self.broadcast(reversed())) }
    }

    #[inline(always)]
    fn swap_halves(self, v: __m512i) -> __m512i {
        // SAFETY: the token proves AVX-512.
        unsafe { _mm512_shuffle_epi32::<0b01_00_11_10>(v) }
    }

    #[inline(always)]
    fn aes_round(self, state: __m512i, round_key: __m512i) -> __m512i {
        // SAFETY: the token proves VAES.
        unsafe { _mm512_aesenc_epi128(state, round_key) }
    }

    #[inline(always)]
    fn aes_last_round(self, state: __m512i, round_key: __m512i) -> __m512i {
        // SAFETY: the token proves VAES.
        unsafe { _mm512_aesenclast_epi128(state, round_key) }
    }

    #[inline(always)]
    fn multiply_low(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: the token proves VPCLMULQDQ.
        unsafe { _mm512_clmulepi64_epi128::<0x00>(a, b) }
    }

    #[inline(always)]
    fn multiply_high(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: the token proves VPCLMULQDQ.
        unsafe { _mm512_clmulepi64_epi128::<0x11>(a, b) }
    }
}

impl From<Vaes512> for Aesni {
    fn from(token: Vaes512) -> Self {
        token.0
    }
}
