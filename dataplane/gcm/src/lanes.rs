//! What the SIMD kernels need from a vector register that holds one or more 16-byte blocks side by side ("lanes"). The kernel text
//! ([`super::across`], [`super::along`]) is written once over [`Lanes`]; `aesni.rs`, `vaes256.rs` and `vaes512.rs` give it 1, 2 and
//! 4 lanes.
//!
//! An implementor is a token: a value that exists only where the CPU has the instructions, so that its methods are safe to call.
//! Everything here and in the kernel text is `#[inline(always)]`, because only code that ends up inside the `#[target_feature]`
//! entry of a kernel may use its instructions; anything left outside becomes a call per instruction.

use std::arch::x86_64::{__m128i, _mm_loadu_si128, _mm_set_epi64x};

use super::aesni::Aesni;

/// A register of [`Lanes::COUNT`] blocks, and the instructions that work on all of them at once.
pub(super) trait Lanes: Copy {
    /// Blocks in a register.
    const COUNT: usize;
    /// The register.
    type V: Copy;

    /// The same block in every lane.
    fn broadcast(self, block: __m128i) -> Self::V;
    /// A register whose lane `i` is `lane(i)`.
    fn combine(self, lane: impl Fn(usize) -> __m128i) -> Self::V;
    /// Lane `i`; `i` is less than [`Lanes::COUNT`].
    fn lane(self, v: Self::V, i: usize) -> __m128i;
    /// The same instructions on a single block.
    fn single(self) -> Aesni;
    /// XOR of all lanes.
    fn fold(self, v: Self::V) -> __m128i;

    /// Reads a whole register.
    ///
    /// # Safety
    /// `16 * COUNT` bytes from `from` are readable.
    unsafe fn load(self, from: *const u8) -> Self::V;
    /// Writes a whole register.
    ///
    /// # Safety
    /// `16 * COUNT` bytes from `to` are writable.
    unsafe fn store(self, to: *mut u8, v: Self::V);

    fn xor(self, a: Self::V, b: Self::V) -> Self::V;
    fn and(self, a: Self::V, b: Self::V) -> Self::V;
    /// Adds 32-bit words.
    fn add_words(self, a: Self::V, b: Self::V) -> Self::V;
    /// Reverses the 16 bytes of each block.
    fn reverse_bytes(self, v: Self::V) -> Self::V;
    /// Exchanges the 64-bit halves of each block.
    fn swap_halves(self, v: Self::V) -> Self::V;
    /// One AES round (FIPS 197, 5.1) on each block, with its lane's round key.
    fn aes_round(self, state: Self::V, round_key: Self::V) -> Self::V;
    /// The last AES round.
    fn aes_last_round(self, state: Self::V, round_key: Self::V) -> Self::V;
    /// Carry-less product of the low halves of each block.
    fn multiply_low(self, a: Self::V, b: Self::V) -> Self::V;
    /// Carry-less product of the high halves of each block.
    fn multiply_high(self, a: Self::V, b: Self::V) -> Self::V;
}

/// The 16 bytes as a block.
#[inline(always)]
pub(super) fn block(bytes: &[u8; 16]) -> __m128i {
    // SAFETY: the reference covers the 16 bytes that are read; the load has no alignment requirement.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

/// A block of two 64-bit halves.
#[inline(always)]
pub(super) fn halves(high: u64, low: u64) -> __m128i {
    // SAFETY: every x86-64 has SSE2.
    unsafe { _mm_set_epi64x(high.cast_signed(), low.cast_signed()) }
}
