//! What the SIMD kernels need from a vector register that holds one or more 16-byte blocks side by side ("lanes"). The kernel text
//! ([`super::burst`] and below) is written once over [`Lanes`]; `aesni.rs`, `vaes256.rs` and `vaes512.rs` give it 1, 2 and 4 lanes.
//!
//! An implementor is a token: a value that exists only where the CPU has the instructions, so that its methods are safe to call.
//! The kernel text is cut into [`Task`]s, and each becomes one function with its kernel's instructions ([`Lanes::enter`]).
//! All that a task calls is `#[inline(always)]`: code that is left outside such a function may not use its instructions, and
//! would become a call per instruction.

use std::arch::x86_64::{
    __m128i, _MM_HINT_T0, _mm_loadu_si128, _mm_prefetch, _mm_set_epi64x, _mm_storeu_si128,
};

use super::aesni::Aesni;

/// A part of the kernel text that is compiled as one function.
pub(super) trait Task<L> {
    /// Does it. Called by [`Lanes::enter`] alone.
    fn run(self, lanes: L);
}

/// A register of [`Lanes::COUNT`] blocks, and the instructions that work on all of them at once.
pub(super) trait Lanes: Copy {
    /// Blocks in a register: 1, 2 or 4.
    const COUNT: usize;
    /// Registers that are encrypted together at most: enough to hide the latency of an AES round, no more than there are
    /// registers, and no more blocks than there are powers of H.
    const CHUNK: usize = if 8 * Self::COUNT > 16 { 16 / Self::COUNT } else { 8 };
    /// The register.
    type V: Copy;

    /// Runs the task in a function of its own, which may use this kernel's instructions.
    fn enter<T: Task<Self>>(self, task: T);

    /// The same block in every lane.
    fn broadcast(self, block: __m128i) -> Self::V;
    /// A register whose lane `i` is `lane(i)`.
    fn combine(self, lane: impl Fn(usize) -> __m128i) -> Self::V;
    /// Lane `i`; `i` is less than [`Lanes::COUNT`].
    fn lane(self, v: Self::V, i: usize) -> __m128i;
    /// `v` with another last lane.
    fn with_last(self, v: Self::V, block: __m128i) -> Self::V;
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

    /// Reads the first `count` lanes from byte `at` of the payload on. What belongs to no payload byte is anything.
    ///
    /// # Safety
    /// `length + 16` bytes from `payload` are readable.
    #[inline(always)]
    unsafe fn load_edge(self, payload: *const u8, at: usize, length: usize, count: usize) -> Self::V {
        self.combine(|i| {
            if i >= count {
                return halves(0, 0);
            }
            // SAFETY: the block begins at the payload's end at the latest, and 16 bytes lie behind that.
            unsafe { _mm_loadu_si128(payload.add((at + 16 * i).min(length)).cast()) }
        })
    }

    /// Writes what [`Lanes::load_edge`] reads. What belongs to no payload byte must be as it was read.
    ///
    /// # Safety
    /// `length + 16` bytes from `payload` are writable.
    #[inline(always)]
    unsafe fn store_edge(self, payload: *mut u8, at: usize, length: usize, count: usize, v: Self::V) {
        for i in 0..count {
            // SAFETY: as for `load_edge`.
            unsafe {
                _mm_storeu_si128(payload.add((at + 16 * i).min(length)).cast(), self.lane(v, i));
            }
        }
    }

    /// `v`, made before whatever is pinned after it: the compiler keeps pins in order, and would else bring together again what is
    /// written interleaved. No instruction.
    fn pin(self, v: Self::V) -> Self::V;

    fn xor(self, a: Self::V, b: Self::V) -> Self::V;
    fn and(self, a: Self::V, b: Self::V) -> Self::V;
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

    /// All zeros.
    #[inline(always)]
    fn zero(self) -> Self::V {
        self.broadcast(halves(0, 0))
    }

    /// A mask of the bytes from `at` on that belong to a payload of `length` bytes. The payload ends at most a block before the
    /// register, and less than a register behind it: with limits to check, this would cost as much as a product.
    #[inline(always)]
    fn keep(self, at: usize, length: usize) -> Self::V {
        const ALL: usize = 128;
        const EDGE: &[u8; ALL + 80] = &{
            let mut edge = [0; ALL + 80];
            let mut i = 0;
            while i < ALL {
                edge[i] = 0xff;
                i += 1;
            }
            edge
        };
        debug_assert!(length + 16 >= at && length <= at + 32 * Self::COUNT);
        let from = EDGE.as_ptr().wrapping_add(ALL).wrapping_add(at).wrapping_sub(length);
        // SAFETY: as described, `from` is at most 128 bytes before the zeros and 16 bytes behind the first of them, and a register
        // has at most 64 bytes.
        unsafe { self.load(from) }
    }

    /// Blocks that are zero but for their last byte: `first` and the following numbers. `first` is at most 28.
    #[inline(always)]
    fn counters(self, first: usize) -> Self::V {
        const COUNTERS: &[[u8; 16]; 32] = &{
            let mut blocks = [[0; 16]; 32];
            let mut i = 0;
            while i < 32 {
                #[expect(clippy::cast_possible_truncation, reason = "below 32")]
                {
                    blocks[i][15] = i as u8;
                }
                i += 1;
            }
            blocks
        };
        assert!(first + Self::COUNT <= COUNTERS.len());
        // SAFETY: a register's worth of blocks from `first` on is there.
        unsafe { self.load(COUNTERS.as_ptr().add(first).cast()) }
    }
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

/// Asks for the cache line of `at`; harmless whatever `at` is.
#[inline(always)]
pub(super) fn prefetch(at: *const u8) {
    // SAFETY: every x86-64 has SSE; a prefetch does not fault.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
}
