//! AVX-512 with VAES and VPCLMULQDQ: four blocks a register. Entries for [`super::Kernel`]; the kernel text is in `burst.rs`.
//!
//! What has run: the kernel text at four lanes, in the tests, on emulated registers. The instructions of this file have been
//! compiled, but no CPU with AVX-512 has run them yet; there, the oracle tests pick this kernel up by themselves.

use std::arch::asm;
use std::arch::x86_64::{
    __m128i, __m512i, __mmask64, _mm512_aesenc_epi128, _mm512_aesenclast_epi128, _mm512_and_si512,
    _mm512_broadcast_i32x4, _mm512_castsi128_si512, _mm512_castsi512_si128, _mm512_clmulepi64_epi128,
    _mm512_extracti32x4_epi32, _mm512_inserti32x4, _mm512_loadu_si512, _mm512_mask_storeu_epi8,
    _mm512_maskz_loadu_epi8, _mm512_shuffle_epi8, _mm512_shuffle_epi32, _mm512_storeu_si512,
    _mm512_xor_si512,
};

use super::Job;
use super::aesni::{Aesni, reversed};
use super::burst::{self, Open, Seal};
use super::lanes::{Lanes, Task};
use super::limit::{Limit, Work};
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
        burst::run::<_, Seal>(self, jobs);
    }

    pub(super) fn open(self, jobs: &mut [Job<'_>]) {
        burst::run::<_, Open>(self, jobs);
    }

    pub(super) fn limit(self, key: &Material, blocks: usize, work: Work) {
        self.enter(Limit { key, blocks, work });
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,vaes,vpclmulqdq,aes,pclmulqdq")]
#[inline(never)]
fn enter<T: Task<Vaes512>>(token: Vaes512, task: T) {
    task.run(token);
}

#[target_feature(enable = "avx512f")]
#[inline]
fn pin(mut v: __m512i) -> __m512i {
    // SAFETY: no instruction, and the register is left as it was.
    unsafe { asm!("/* {v} */", v = inout(zmm_reg) v, options(nomem, nostack, preserves_flags)) }
    v
}

impl Lanes for Vaes512 {
    const COUNT: usize = 4;
    type V = __m512i;

    #[inline(always)]
    fn enter<T: Task<Self>>(self, task: T) {
        // SAFETY: the token proves the features.
        unsafe { enter(self, task) }
    }

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
    fn with_last(self, v: __m512i, block: __m128i) -> __m512i {
        // SAFETY: the token proves AVX-512.
        unsafe { _mm512_inserti32x4::<3>(v, block) }
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
    unsafe fn load_edge(self, payload: *const u8, at: usize, length: usize, count: usize) -> __m512i {
        // SAFETY: the token proves AVX-512; bytes that are masked out are not read, the others belong to the payload.
        unsafe { _mm512_maskz_loadu_epi8(first_bytes(at, length, count), payload.wrapping_add(at).cast()) }
    }

    #[inline(always)]
    unsafe fn store_edge(self, payload: *mut u8, at: usize, length: usize, count: usize, v: __m512i) {
        // SAFETY: the token proves AVX-512; bytes that are masked out are not written, the others belong to the payload.
        unsafe {
            _mm512_mask_storeu_epi8(payload.wrapping_add(at).cast(), first_bytes(at, length, count), v);
        }
    }

    #[inline(always)]
    fn pin(self, v: __m512i) -> __m512i {
        // SAFETY: the token proves the feature.
        unsafe { pin(v) }
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

/// A mask of the bytes from `at` on that belong to a payload of `length` bytes, at most `count` blocks of them.
#[inline(always)]
fn first_bytes(at: usize, length: usize, count: usize) -> __mmask64 {
    let bytes = length.saturating_sub(at).min(16 * count);
    if bytes == 0 { 0 } else { u64::MAX >> (64 - bytes) }
}

impl From<Vaes512> for Aesni {
    fn from(token: Vaes512) -> Self {
        token.0
    }
}

#[cfg(test)]
mod tests {
    use super::first_bytes;

    #[test]
    fn masks_name_just_the_payloads_bytes_of_the_blocks() {
        for length in 0..=200 {
            for at in 0..=length + 64 {
                for count in 1..=4 {
                    let is_named = |byte: usize| byte < 16 * count && at + byte < length;
                    let expected =
                        (0..64).filter(|byte| is_named(*byte)).fold(0_u64, |mask, byte| mask | 1 << byte);
                    assert_eq!(
                        first_bytes(at, length, count),
                        expected,
                        "{count} blocks at {at} of {length}"
                    );
                }
            }
        }
    }
}
