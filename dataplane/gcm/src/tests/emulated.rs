//! A register of four blocks made of four registers of one: the kernel text for `vaes512` runs on any CPU with AES-NI.

use std::arch::x86_64::__m128i;
use std::array::from_fn;

use crate::aesni::Aesni;
use crate::lanes::{Lanes, Task};

#[derive(Clone, Copy)]
pub(super) struct Emulated512(pub(super) Aesni);

impl Emulated512 {
    fn each(self, work: impl Fn(Aesni, usize) -> __m128i) -> [__m128i; 4] {
        from_fn(|i| work(self.0, i))
    }
}

#[target_feature(enable = "aes,pclmulqdq,avx")]
fn enter<T: Task<Emulated512>>(token: Emulated512, task: T) {
    task.run(token);
}

impl Lanes for Emulated512 {
    const COUNT: usize = 4;
    type V = [__m128i; 4];

    fn enter<T: Task<Self>>(self, task: T) {
        // SAFETY: the token proves AES-NI, PCLMULQDQ and AVX.
        unsafe { enter(self, task) }
    }

    fn broadcast(self, block: __m128i) -> Self::V {
        [block; 4]
    }

    fn combine(self, lane: impl Fn(usize) -> __m128i) -> Self::V {
        from_fn(lane)
    }

    fn lane(self, v: Self::V, i: usize) -> __m128i {
        v[i]
    }

    fn with_last(self, v: Self::V, block: __m128i) -> Self::V {
        [v[0], v[1], v[2], block]
    }

    fn single(self) -> Aesni {
        self.0
    }

    fn fold(self, v: Self::V) -> __m128i {
        let token = self.0;
        token.xor(token.xor(v[0], v[1]), token.xor(v[2], v[3]))
    }

    unsafe fn load(self, from: *const u8) -> Self::V {
        // SAFETY: the caller vouches for 64 bytes.
        self.each(|token, i| unsafe { token.load(from.add(16 * i)) })
    }

    unsafe fn store(self, to: *mut u8, v: Self::V) {
        for (i, block) in v.into_iter().enumerate() {
            // SAFETY: the caller vouches for 64 bytes.
            unsafe { self.0.store(to.add(16 * i), block) };
        }
    }

    fn pin(self, v: Self::V) -> Self::V {
        v
    }

    fn xor(self, a: Self::V, b: Self::V) -> Self::V {
        self.each(|token, i| token.xor(a[i], b[i]))
    }

    fn and(self, a: Self::V, b: Self::V) -> Self::V {
        self.each(|token, i| token.and(a[i], b[i]))
    }

    fn reverse_bytes(self, v: Self::V) -> Self::V {
        self.each(|token, i| token.reverse_bytes(v[i]))
    }

    fn swap_halves(self, v: Self::V) -> Self::V {
        self.each(|token, i| token.swap_halves(v[i]))
    }

    fn aes_round(self, state: Self::V, round_key: Self::V) -> Self::V {
        self.each(|token, i| token.aes_round(state[i], round_key[i]))
    }

    fn aes_last_round(self, state: Self::V, round_key: Self::V) -> Self::V {
        self.each(|token, i| token.aes_last_round(state[i], round_key[i]))
    }

    fn multiply_low(self, a: Self::V, b: Self::V) -> Self::V {
        self.each(|token, i| token.multiply_low(a[i], b[i]))
    }

    fn multiply_high(self, a: Self::V, b: Self::V) -> Self::V {
        self.each(|token, i| token.multiply_high(a[i], b[i]))
    }
}
