//! Short packets side by side: lane `i` of every register belongs to packet `i`, all packets of a group having the same number of
//! payload blocks. No lane is idle, a whole group shares each reduction, and groups run interleaved to hide latency. Called by
//! [`super::burst`].

#![expect(clippy::needless_range_loop, reason = "an index names the same place in several arrays")]

use std::arch::x86_64::{__m128i, _mm_loadu_si128, _mm_storeu_si128};

use super::Job;
use super::burst::{Direction, encrypt, keep_bytes};
use super::ghash::Sum;
use super::lanes::{Lanes, block, halves};
use super::material::Material;

/// One packet of a group.
#[derive(Clone, Copy)]
struct Packet<'a> {
    key: &'a Material,
    payload: *mut u8,
    length: usize,
    counter: __m128i,
    aad: __m128i,
    aad_bits: u64,
}

/// Transforms the `G * L::COUNT` jobs that `group` names. Each has `N - 1` payload blocks (the last may be partial), all have
/// SIMD keys with the same number of rounds.
#[inline(always)]
pub(super) fn run<L: Lanes, D: Direction, const N: usize, const G: usize>(
    lanes: L,
    jobs: &mut [Job<'_>],
    group: &[u8],
) {
    // Filled by loops: `array::from_fn` is not inlined here, and its closures become calls per register.
    let mut packets = [[Packet::new(&jobs[usize::from(group[0])]); 4]; G];
    for g in 0..G {
        for i in 0..L::COUNT {
            packets[g][i] = Packet::new(&jobs[usize::from(group[g * L::COUNT + i])]);
        }
    }
    let rounds = packets[0][0].key.rounds();
    // Counters stay below 256, so that the big-endian counter's last byte can be added to in place.
    let mut stream = [[lanes.broadcast(halves(0, 0)); N]; G];
    for g in 0..G {
        let first = lanes.combine(|i| packets[g][i].counter);
        for k in 0..N {
            stream[g][k] = lanes.add_words(first, lanes.broadcast(halves((k as u64) << 56, 0)));
        }
    }
    encrypt(lanes, &mut stream, rounds, |g, round| lanes.combine(|i| packets[g][i].key.round_key(round)));
    for g in 0..G {
        let tags = transform::<L, D, N>(lanes, &packets[g], &stream[g]);
        for i in 0..L::COUNT {
            D::finish(&mut jobs[usize::from(group[g * L::COUNT + i])], lanes.lane(tags, i));
        }
    }
}

/// XORs the key stream over the payloads and returns the tags.
#[inline(always)]
fn transform<L: Lanes, D: Direction, const N: usize>(
    lanes: L,
    packets: &[Packet<'_>; 4],
    stream: &[L::V; N],
) -> L::V {
    let power = |exponent| lanes.combine(|i| packets[i].key.power(exponent));
    let mut sum = Sum::zero(lanes);
    sum.add_product(lanes, lanes.reverse_bytes(lanes.combine(|i| packets[i].aad)), power(N + 1));
    for k in 1..N {
        let at = 16 * (k - 1);
        // SAFETY: block `k - 1` begins inside the payload, which has `N - 1` blocks and the tag's 16 bytes behind it.
        let before = lanes.combine(|i| unsafe { _mm_loadu_si128(packets[i].payload.add(at).cast()) });
        let last = k == N - 1;
        let keep = |v| {
            if last { lanes.and(v, lanes.combine(|i| keep_bytes(packets[i].length - at))) } else { v }
        };
        let after = lanes.xor(before, keep(stream[k]));
        for i in 0..L::COUNT {
            // SAFETY: as above; bytes behind the payload are written as they were read.
            unsafe { _mm_storeu_si128(packets[i].payload.add(at).cast(), lanes.lane(after, i)) };
        }
        let ciphertext = keep(D::ciphertext::<L>(before, after));
        sum.add_product(lanes, lanes.reverse_bytes(ciphertext), power(N + 1 - k));
    }
    let lengths = lanes.combine(|i| halves(packets[i].aad_bits, 8 * packets[i].length as u64));
    sum.add_product(lanes, lengths, power(1));
    lanes.xor(lanes.reverse_bytes(sum.reduce(lanes)), stream[0])
}

impl<'a> Packet<'a> {
    #[inline(always)]
    fn new(job: &Job<'a>) -> Self {
        Self {
            key: job.key.simd().expect("the burst takes keys of other kernels out"),
            payload: job.payload.as_ptr(),
            length: job.length,
            counter: block(&job.counter),
            aad: block(&job.aad.bytes),
            aad_bits: 8 * u64::from(job.aad.length),
        }
    }
}
