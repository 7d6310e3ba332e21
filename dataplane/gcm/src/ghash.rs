//! GHASH (SP 800-38D, 6.4) over lanes: products of blocks and powers of H summed up unreduced, one reduction for many.
//!
//! Blocks are byte-reversed and multiplied as POLYVAL does (RFC 8452, appendix A): with `h = x * reversed(H)`, the product in that
//! field is `a * b / x^128` modulo `x^128 + x^127 + x^126 + x^121 + 1`, and needs no shift afterwards. Powers of `h` are powers
//! under that product.

use std::arch::x86_64::__m128i;

use super::aesni::Aesni;
use super::lanes::{Lanes, halves};

/// A power of `h` in each lane, and the XOR of its halves (in the low half), which Karatsuba's middle product needs.
#[derive(Clone, Copy)]
pub(super) struct Power<V> {
    pub(super) whole: V,
    pub(super) middle: V,
}

/// Sum of 256-bit products, a lane each, by Karatsuba's three parts: `low + (middle + low + high) * x^64 + high * x^128`.
#[derive(Clone, Copy)]
pub(super) struct Sum<V> {
    low: V,
    middle: V,
    high: V,
}

impl<V: Copy> Sum<V> {
    #[inline(always)]
    pub(super) fn zero<L: Lanes<V = V>>(lanes: L) -> Self {
        let zero = lanes.zero();
        Self { low: zero, middle: zero, high: zero }
    }

    /// Adds `block * power` in each lane. Both are byte-reversed.
    #[inline(always)]
    pub(super) fn add_product<L: Lanes<V = V>>(&mut self, lanes: L, block: V, power: Power<V>) {
        let block_middle = lanes.xor(block, lanes.swap_halves(block));
        self.low = lanes.xor(self.low, lanes.multiply_low(block, power.whole));
        self.high = lanes.xor(self.high, lanes.multiply_high(block, power.whole));
        self.middle = lanes.xor(self.middle, lanes.multiply_low(block_middle, power.middle));
    }

    /// See [`Lanes::pin`].
    #[inline(always)]
    pub(super) fn pin<L: Lanes<V = V>>(&mut self, lanes: L) {
        self.low = lanes.pin(self.low);
        self.middle = lanes.pin(self.middle);
        self.high = lanes.pin(self.high);
    }

    /// Reduces each lane to a (byte-reversed) block.
    ///
    /// The modulus is `1 + c x^64 + x^128` with `c = x^57 + x^62 + x^63`: adding it `low` times clears the lowest 64 bits, moves
    /// what was there up by 128 and adds `c` times it at 64. Twice, and the product is divided by `x^128`.
    #[inline(always)]
    pub(super) fn reduce<L: Lanes<V = V>>(self, lanes: L) -> V {
        let c = lanes.broadcast(halves(0, 0xc200_0000_0000_0000));
        let middle = lanes.xor(self.middle, lanes.xor(self.low, self.high));
        let folded = lanes.xor(lanes.multiply_low(self.low, c), lanes.swap_halves(self.low));
        let middle = lanes.xor(middle, folded);
        let folded = lanes.xor(lanes.multiply_low(middle, c), lanes.swap_halves(middle));
        lanes.xor(self.high, folded)
    }
}

/// `a * b / x^128` for one block.
#[inline(always)]
pub(super) fn multiply(token: Aesni, a: __m128i, b: __m128i) -> __m128i {
    let power = Power { whole: b, middle: token.xor(b, token.swap_halves(b)) };
    let mut sum = Sum::zero(token);
    sum.add_product(token, a, power);
    sum.reduce(token)
}
