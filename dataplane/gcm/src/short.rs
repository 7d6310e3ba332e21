//! Short packets: a packet has at most a chunk of registers, several go together, and the GHASH of one group runs beside the AES
//! of the next. Called by [`super::burst`].
//!
//! A packet of `n` blocks takes `R` registers for `n + 1` counter blocks: payload from the first lane on, and in the very last lane the
//! counter block of the tag's mask. GHASH has the additional data in that lane, and the block of lengths in the lane behind the
//! payload; where there is none between, it goes by itself.
//!
//! Groups are made of packets and not of lanes of one kind, so each packet has its own key at no more cost than loading it.

#![expect(clippy::needless_range_loop, reason = "an index names the same place in several arrays")]

use std::arch::x86_64::__m128i;
use std::marker::PhantomData;
use std::ptr::NonNull;

use super::Job;
use super::burst::{AHEAD, Direction, fetch_key};
use super::cipher::{Beside, Nothing, SLOTS, alone, encrypt};
use super::ghash::{Power, Sum};
use super::lanes::{Lanes, Task, halves};
use super::material::Powers;
use super::packet::Packet;

/// Transforms the jobs that `list` names, `P` at a time; each takes `R` registers.
pub(super) struct Short<'s, 'a, D, const P: usize, const R: usize> {
    /// The burst's.
    pub(super) jobs: NonNull<Job<'a>>,
    /// Numbers of live jobs with SIMD keys, all with the same number of AES rounds. Not empty.
    pub(super) list: &'s [u8],
    pub(super) direction: PhantomData<D>,
}

impl<L: Lanes, D: Direction, const P: usize, const R: usize> Task<L> for Short<'_, '_, D, P, R> {
    #[inline(always)]
    fn run(self, lanes: L) {
        let mut groups = self.list.chunks(P).zip((0..).step_by(P)).map(|(group, at)| {
            for ahead in at + AHEAD * P..at + (AHEAD + 1) * P {
                // SAFETY: the list names live jobs.
                unsafe { fetch_key(self.jobs, self.list, ahead) };
            }
            group
        });
        if D::OPENS {
            for group in groups {
                let group = self.group(group);
                let edges = before::<L, D, P, R>(lanes, &group);
                let mut hash = Hash::<L, P, R>::new(lanes, group, edges);
                let after = transform::<L, D, _, P, R>(lanes, &group, &mut hash);
                for p in 0..P {
                    hash.edges[p].mask = after[p].mask;
                }
                hash.finish::<D>(lanes);
            }
            return;
        }
        let Some(group) = groups.next() else { return };
        let group = self.group(group);
        let edges = transform::<L, D, _, P, R>(lanes, &group, &mut Nothing);
        let mut hash = Hash::<L, P, R>::new(lanes, group, edges);
        for group in groups {
            let group = self.group(group);
            let edges = transform::<L, D, _, P, R>(lanes, &group, &mut hash);
            hash.finish::<D>(lanes);
            hash = Hash::new(lanes, group, edges);
        }
        alone(lanes, &mut hash);
        hash.finish::<D>(lanes);
    }
}

impl<'a, D, const P: usize, const R: usize> Short<'_, 'a, D, P, R> {
    /// The packets of those numbers; the last one again for each that is missing.
    #[inline(always)]
    fn group(&self, numbers: &[u8]) -> [Packet<'a>; P] {
        // SAFETY: the list names live jobs, which are ours while the task runs.
        let packet = |at: usize| unsafe { Packet::new(self.jobs.add(usize::from(numbers[at]))) };
        let mut packets = [packet(0); P];
        for p in 1..P {
            packets[p] = packet(p.min(numbers.len() - 1));
        }
        packets
    }
}

/// What GHASH needs of a packet's ends.
#[derive(Clone, Copy)]
struct Edges<V> {
    /// Ciphertext of the last register that has nothing but payload in it; zeros behind the payload.
    whole: V,
    /// Ciphertext of the last register, likewise.
    part: V,
    /// In its last lane, the encrypted counter block for the tag.
    mask: V,
}

/// XORs the key stream over the group, `beside` in between; returns its edges.
#[inline(always)]
fn transform<L: Lanes, D: Direction, B: Beside<L>, const P: usize, const R: usize>(
    lanes: L,
    packets: &[Packet<'_>; P],
    beside: &mut B,
) -> [Edges<L::V>; P] {
    let mut state = [[lanes.zero(); R]; P];
    let mut keys = [packets[0].key; P];
    for p in 0..P {
        keys[p] = packets[p].key;
        let start = packets[p].start(lanes);
        for r in 0..R {
            // Payload counters begin with 2 (SP 800-38D, 7.1), the mask's is 1.
            let counters = lanes.counters(2 + L::COUNT * r);
            let counters = if r + 1 == R { lanes.with_last(counters, halves(1 << 56, 0)) } else { counters };
            state[p][r] = lanes.xor(start, counters);
        }
    }
    encrypt(lanes, &keys, &mut state, beside);
    // All is read before anything is written, because a packet may fill several places of its group.
    let mut edges = [Edges { whole: lanes.zero(), part: lanes.zero(), mask: lanes.zero() }; P];
    for p in 0..P {
        for r in 0..R.saturating_sub(2) {
            state[p][r] = lanes.xor(read::<L, R>(lanes, &packets[p], r), state[p][r]);
        }
        edges[p].mask = state[p][R - 1];
        if R > 1 {
            (state[p][R - 2], edges[p].whole) =
                transform_edge::<L, D, R>(lanes, &packets[p], R - 2, state[p][R - 2]);
        }
        (state[p][R - 1], edges[p].part) =
            transform_edge::<L, D, R>(lanes, &packets[p], R - 1, state[p][R - 1]);
    }
    for p in 0..P {
        for r in 0..R {
            write::<L, R>(lanes, &packets[p], r, state[p][r]);
        }
    }
    edges
}

/// A register in which payload may end: what is to be written, and the ciphertext with zeros behind the payload.
#[inline(always)]
fn transform_edge<L: Lanes, D: Direction, const R: usize>(
    lanes: L,
    packet: &Packet<'_>,
    r: usize,
    stream: L::V,
) -> (L::V, L::V) {
    let keep = packet.keep(lanes, 16 * L::COUNT * r);
    let before = read::<L, R>(lanes, packet, r);
    let after = lanes.xor(before, lanes.and(stream, keep));
    (after, lanes.and(D::ciphertext::<L>(before, after), keep))
}

/// The edges of packets that are ciphertext still, but for the mask.
#[inline(always)]
fn before<L: Lanes, D: Direction, const P: usize, const R: usize>(
    lanes: L,
    packets: &[Packet<'_>; P],
) -> [Edges<L::V>; P] {
    let zero = lanes.zero();
    let mut edges = [Edges { whole: zero, part: zero, mask: zero }; P];
    for p in 0..P {
        if R > 1 {
            edges[p].whole = transform_edge::<L, D, R>(lanes, &packets[p], R - 2, zero).1;
        }
        edges[p].part = transform_edge::<L, D, R>(lanes, &packets[p], R - 1, zero).1;
    }
    edges
}

#[inline(always)]
fn read<L: Lanes, const R: usize>(lanes: L, packet: &Packet<'_>, r: usize) -> L::V {
    let at = 16 * L::COUNT * r;
    if r + 1 < R {
        // SAFETY: all blocks of registers before the last begin in the payload, which has the tag's 16 bytes behind it.
        unsafe { lanes.load(packet.payload.add(at)) }
    } else {
        // SAFETY: a payload has the tag's 16 bytes behind it.
        unsafe { lanes.load_edge(packet.payload, at, packet.length, L::COUNT - 1) }
    }
}

/// Bytes that belong to no payload must be as [`read`] gave them.
#[inline(always)]
fn write<L: Lanes, const R: usize>(lanes: L, packet: &Packet<'_>, r: usize, v: L::V) {
    let at = 16 * L::COUNT * r;
    if r + 1 < R {
        // SAFETY: as in `read`.
        unsafe { lanes.store(packet.payload.add(at), v) }
    } else {
        // SAFETY: as in `read`.
        unsafe { lanes.store_edge(packet.payload, at, packet.length, L::COUNT - 1, v) }
    }
}

/// The GHASH of a group.
struct Hash<'a, L: Lanes, const P: usize, const R: usize> {
    packets: [Packet<'a>; P],
    /// From the first payload block's on.
    powers: [Powers<'a>; P],
    edges: [Edges<L::V>; P],
    sum: Sum<L::V>,
    /// Without the mask.
    tags: [__m128i; P],
}

impl<'a, L: Lanes, const P: usize, const R: usize> Hash<'a, L, P, R> {
    #[inline(always)]
    fn new(lanes: L, packets: [Packet<'a>; P], edges: [Edges<L::V>; P]) -> Self {
        let mut powers = [packets[0].key.powers_from(packets[0].blocks() + 1); P];
        for p in 1..P {
            powers[p] = packets[p].key.powers_from(packets[p].blocks() + 1);
        }
        Self { packets, powers, edges, sum: Sum::zero(lanes), tags: [halves(0, 0); P] }
    }

    /// Step 0 to `R`: a register each, then the reduction.
    #[inline(always)]
    fn step(&mut self, lanes: L, p: usize, step: usize) {
        let (packet, edges) = (self.packets[p], self.edges[p]);
        if step == 0 {
            self.sum = Sum::zero(lanes);
        }
        if step == R {
            let token = lanes.single();
            self.tags[p] = token.pin(token.reverse_bytes(lanes.fold(self.sum.reduce(lanes))));
        } else if step + 1 == R {
            self.last_register(lanes, p, edges.part);
        } else {
            let block = if step + 2 == R { edges.whole } else { read::<L, R>(lanes, &packet, step) };
            let power = self.powers[p].at(lanes, L::COUNT * step);
            self.sum.add_product(lanes, lanes.reverse_bytes(block), power);
        }
        self.sum.pin(lanes);
    }

    /// The rest of the payload, the additional data, the lengths.
    #[inline(always)]
    fn last_register(&mut self, lanes: L, p: usize, part: L::V) {
        let (packet, powers) = (self.packets[p], self.powers[p]);
        let rest = packet.blocks() - L::COUNT * (R - 1);
        let mut blocks = lanes.reverse_bytes(lanes.with_last(part, packet.aad()));
        let first = powers.before(lanes.single());
        let others = powers.at(lanes, L::COUNT * (R - 1));
        let power = Power {
            whole: lanes.with_last(others.whole, first.whole),
            middle: lanes.with_last(others.middle, first.middle),
        };
        if rest < L::COUNT - 1 {
            let lengths = lanes.combine(|i| if i == rest { packet.lengths() } else { halves(0, 0) });
            blocks = lanes.xor(blocks, lengths);
        } else {
            let lengths = lanes.combine(|i| if i == 0 { packet.lengths() } else { halves(0, 0) });
            self.sum.add_product(lanes, lengths, packet.key.powers_from(1).at(lanes, 0));
        }
        self.sum.add_product(lanes, blocks, power);
    }

    #[inline(always)]
    fn finish<D: Direction>(&self, lanes: L) {
        for p in 0..P {
            let mask = lanes.lane(self.edges[p].mask, L::COUNT - 1);
            self.packets[p].finish::<D>(lanes.single().xor(self.tags[p], mask));
        }
    }
}

impl<L: Lanes, const P: usize, const R: usize> Beside<L> for Hash<'_, L, P, R> {
    #[inline(always)]
    fn portion<const SLOT: usize>(&mut self, lanes: L) {
        // Constants, so that nothing is indexed by variables, which would keep it in memory.
        let first = const { SLOT * P * (R + 1) / SLOTS };
        let end = const { (SLOT + 1) * P * (R + 1) / SLOTS };
        const { assert!(P * (R + 1) <= 2 * SLOTS) };
        if first < end {
            self.step(
                lanes,
                const { SLOT * P * (R + 1) / SLOTS / (R + 1) },
                const { SLOT * P * (R + 1) / SLOTS % (R + 1) },
            );
        }
        if first + 1 < end {
            self.step(
                lanes,
                const { (SLOT * P * (R + 1) / SLOTS + 1) / (R + 1) },
                const { (SLOT * P * (R + 1) / SLOTS + 1) % (R + 1) },
            );
        }
    }
}
