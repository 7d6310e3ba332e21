//! An expanded key as the SIMD kernels read it: powers of H and round keys, 12 cache lines, of which a short packet touches 8. Made
//! by [`super::Key::new`].

use std::arch::x86_64::{
    __m128i, _mm_aeskeygenassist_si128, _mm_cvtsi128_si32, _mm_set1_epi32, _mm_storeu_si128,
};

use std::marker::PhantomData;
use std::num::NonZeroU8;

use zeroize::Zeroize;

use super::Key;
use super::aesni::Aesni;
use super::ghash::{self, Power};
use super::lanes::{Lanes, block, prefetch};

/// Highest power of H at hand, so the most blocks that one reduction can serve.
pub(super) const POWERS: usize = 16;
const ROUND_KEYS: usize = 15;

/// Asks the cache for all of a key, without looking at it.
#[inline(always)]
pub(super) fn fetch(key: &Key) {
    let start = std::ptr::from_ref(key).cast::<u8>();
    for line in 0..size_of::<Material>() / 64 {
        prefetch(start.wrapping_add(64 * line));
    }
}

/// Powers of H, highest first: the powers of a run of blocks lie in memory in the order of the blocks, whatever the width of a
/// register.
#[repr(C, align(64))]
pub(super) struct Material {
    powers: [[u8; 16]; POWERS],
    /// The XOR of each power's halves, twice: what would else be made anew for each block (6 % of a long packet).
    middles: [[u8; 16]; POWERS],
    round_keys: [[u8; 16]; ROUND_KEYS],
    rounds: NonZeroU8,
}

// A kernel may read a register's width from any power on: what lies behind the last power is still inside.
const _: () = assert!(size_of::<Material>() == 768);

impl Material {
    /// Expands a key of 16, 24 or 32 bytes.
    pub(super) fn new(token: Aesni, key: &[u8]) -> Self {
        let mut material = Self {
            powers: [[0; 16]; POWERS],
            middles: [[0; 16]; POWERS],
            round_keys: [[0; 16]; ROUND_KEYS],
            rounds: NonZeroU8::MIN,
        };
        // SAFETY: the token proves the features.
        unsafe { material.expand(key) };
        // SAFETY: the token proves the features.
        unsafe { material.raise(token) };
        material
    }

    pub(super) fn rounds(&self) -> usize {
        usize::from(self.rounds.get())
    }

    /// The raw key: an AES schedule begins with it.
    pub(super) fn key(&self) -> &[u8] {
        let length = 4 * (self.rounds() - 6);
        &self.round_keys.as_flattened()[..length]
    }

    /// Everything in it that nobody may see.
    #[cfg(test)]
    pub(super) fn secrets(&self) -> impl Iterator<Item = [u8; 16]> {
        let round_keys = &self.round_keys[..=self.rounds()];
        self.powers.iter().chain(&self.middles).chain(round_keys).copied()
    }

    /// Round key `round`, 0 to [`Material::rounds`].
    #[inline(always)]
    pub(super) fn round_key(&self, round: usize) -> __m128i {
        debug_assert!(round < ROUND_KEYS);
        // SAFETY: no key has more rounds, and no caller asks for others than those of the key.
        block(unsafe { self.round_keys.get_unchecked(round) })
    }

    /// Descending powers from `exponent`, 1 to [`POWERS`], on, byte-reversed (see [`super::ghash`]).
    #[inline(always)]
    pub(super) fn powers_from(&self, exponent: usize) -> Powers<'_> {
        debug_assert!((1..=POWERS).contains(&exponent));
        Powers {
            start: std::ptr::from_ref(self).cast::<u8>().wrapping_add(16 * (POWERS - exponent)),
            key: PhantomData,
        }
    }

    /// Asks the cache for what a packet of at most eight blocks needs.
    #[inline(always)]
    pub(super) fn prefetch(&self) {
        let start = std::ptr::from_ref(self).cast::<u8>();
        for line in [2, 3, 6, 7, 8, 9, 10, 11] {
            prefetch(start.wrapping_add(64 * line));
        }
    }

    /// FIPS 197, 5.2, word by word; constant time, for AESKEYGENASSIST looks up S-boxes without memory.
    #[target_feature(enable = "aes,ssse3,sse4.1")]
    fn expand(&mut self, key: &[u8]) {
        let key_words = key.len() / 4;
        // As many rounds as key words and six more.
        self.rounds = NonZeroU8::MIN.saturating_add(if key_words == 8 {
            13
        } else if key_words == 6 {
            11
        } else {
            9
        });
        let schedule = self.round_keys.as_flattened_mut();
        schedule[..key.len()].copy_from_slice(key);
        let word = |schedule: &[u8], i: usize| {
            u32::from_le_bytes([
                schedule[4 * i],
                schedule[4 * i + 1],
                schedule[4 * i + 2],
                schedule[4 * i + 3],
            ])
        };
        let mut constant = 1_u8;
        for i in key_words..4 * (usize::from(self.rounds.get()) + 1) {
            let mut next = word(schedule, i - 1);
            if i % key_words == 0 {
                next = substitute(next).rotate_right(8) ^ u32::from(constant);
                constant = (constant << 1) ^ if constant & 0x80 == 0 { 0 } else { 0x1b };
            } else if key_words == 8 && i % key_words == 4 {
                next = substitute(next);
            }
            next ^= word(schedule, i - key_words);
            schedule[4 * i..4 * i + 4].copy_from_slice(&next.to_le_bytes());
        }
    }

    /// H is the zero block encrypted (SP 800-38D, 6.4); `h = x * reversed(H)` and its powers.
    #[target_feature(enable = "aes,pclmulqdq,ssse3,sse4.1")]
    fn raise(&mut self, token: Aesni) {
        let mut state = self.round_key(0);
        for round in 1..self.rounds() {
            state = token.aes_round(state, self.round_key(round));
        }
        let mut bytes = [0; 16];
        store(&mut bytes, token.aes_last_round(state, self.round_key(self.rounds())));
        let reversed = u128::from_be_bytes(bytes);
        let carried = 0_u128.wrapping_sub(reversed >> 127);
        let mut shifted = (reversed << 1) ^ (carried & 0xc200_0000_0000_0000_0000_0000_0000_0001);
        bytes = shifted.to_le_bytes();
        let first = block(&bytes);
        let mut power = first;
        for (whole, middle) in self.powers.iter_mut().zip(&mut self.middles).rev() {
            store(whole, power);
            store(middle, token.xor(power, token.swap_halves(power)));
            power = ghash::multiply(token, power, first);
        }
        bytes.zeroize();
        shifted.zeroize();
    }
}

/// A place among the powers.
#[derive(Clone, Copy)]
pub(super) struct Powers<'a> {
    /// Where the power is; its middle is as far behind as there are powers.
    start: *const u8,
    key: PhantomData<&'a Material>,
}

impl Powers<'_> {
    /// Descending powers, one a lane, from `later` powers behind the first on. Behind the first power of all, anything.
    #[inline(always)]
    pub(super) fn at<L: Lanes>(self, lanes: L, later: usize) -> Power<L::V> {
        self.load(lanes, self.start.wrapping_add(16 * later))
    }

    /// The power before the first.
    #[inline(always)]
    pub(super) fn before<L: Lanes>(self, lanes: L) -> Power<L::V> {
        self.load(lanes, self.start.wrapping_sub(16))
    }

    #[inline(always)]
    fn load<L: Lanes>(self, lanes: L, at: *const u8) -> Power<L::V> {
        // SAFETY: the powers come first in the struct, then as many middles; from any of either on there are at least 16 + 240
        // more bytes, more than a register; the struct was fully initialised by `new`, but for padding behind `rounds`, out of
        // reach. Callers ask for powers that there are.
        unsafe { Power { whole: lanes.load(at), middle: lanes.load(at.wrapping_add(16 * POWERS)) } }
    }
}

impl Drop for Material {
    fn drop(&mut self) {
        self.powers.zeroize();
        self.middles.zeroize();
        self.round_keys.zeroize();
    }
}

/// The S-box on each byte of a word.
#[target_feature(enable = "aes")]
fn substitute(word: u32) -> u32 {
    let words = _mm_aeskeygenassist_si128::<0>(_mm_set1_epi32(word.cast_signed()));
    _mm_cvtsi128_si32(words).cast_unsigned()
}

#[inline(always)]
pub(super) fn store(bytes: &mut [u8; 16], v: __m128i) {
    // SAFETY: the reference covers the 16 bytes that are written; the store has no alignment requirement.
    unsafe { _mm_storeu_si128(bytes.as_mut_ptr().cast(), v) }
}
