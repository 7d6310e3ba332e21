//! Long packets: one at a time, a chunk of registers after the other, the GHASH of one chunk beside the AES of the next. When sealing,
//! the last chunk's GHASH goes beside the first chunk of the next packet. Called by [`super::burst`].
//!
//! Counter blocks are numbered by their counters. Number 1 is the tag mask's, and in its place GHASH has the additional data;
//! payload begins at number 2, and the block of lengths follows it. The first chunk begins with number 0, which is not used, so that
//! later chunks begin with a multiple of their length: counters of a chunk differ from its first in the last byte alone, and
//! are made by XOR. A chunk has 16 blocks (8 with one lane), as many as there are powers of H.

#![expect(clippy::needless_range_loop, reason = "an index names the same place in several arrays")]

use std::arch::x86_64::{__m128i, _mm_loadu_si128, _mm_storeu_si128};
use std::marker::PhantomData;
use std::ptr::NonNull;

use super::Job;
use super::burst::{AHEAD, Direction, fetch_key};
use super::cipher::{alone, encrypt};
use super::ghash::Sum;
use super::lanes::{Lanes, Task, halves};
use super::material::Material;
use super::packet::Packet;

use hash::{Hash, front_registers};

mod hash;

/// Transforms the jobs that `list` names. Each has more blocks than the first chunk takes.
pub(super) struct Long<'s, 'a, D> {
    /// The burst's.
    pub(super) jobs: NonNull<Job<'a>>,
    /// Numbers of live jobs with SIMD keys.
    pub(super) list: &'s [u8],
    pub(super) direction: PhantomData<D>,
}

/// Payload blocks in the first chunk.
const fn first_blocks<L: Lanes>() -> usize {
    L::CHUNK * L::COUNT - 2
}

impl<L: Lanes, D: Direction> Task<L> for Long<'_, '_, D> {
    #[inline(always)]
    fn run(self, lanes: L) {
        if L::CHUNK == 8 { self.all::<L, 8>(lanes) } else { self.all::<L, 4>(lanes) }
    }
}

impl<'a, D: Direction> Long<'_, 'a, D> {
    #[inline(always)]
    fn all<L: Lanes, const C: usize>(self, lanes: L) {
        let mut progress = Progress::<L, C>::new(lanes);
        for (at, &number) in self.list.iter().enumerate() {
            // SAFETY: the list names live jobs.
            unsafe { fetch_key(self.jobs, self.list, at + AHEAD) };
            // SAFETY: the list names live jobs, which are ours while the task runs.
            let packet = unsafe { Packet::new(self.jobs.add(usize::from(number))) };
            let rest = packet.blocks() - first_blocks::<L>();
            // The last chunk has a block at least, for that may be a partial one.
            let wholes = (rest - 1) / (C * L::COUNT);
            let tail = rest - wholes * C * L::COUNT;
            let progress = &mut progress;
            lanes.enter(Begin { progress, packet, direction: PhantomData::<D> });
            if wholes > 0 {
                lanes.enter(Middle { progress, packet, count: wholes, direction: PhantomData::<D> });
            }
            progress.tail_blocks = tail;
            macro_rules! by_registers {
                ($($w:literal)*) => {
                    match tail.div_ceil(L::COUNT) {
                        $($w if $w <= L::CHUNK => {
                            lanes.enter(Tail::<_, D, C, $w> { progress, packet, direction: PhantomData });
                        })*
                        _ => {}
                    }
                };
            }
            by_registers!(1 2 3 4 5 6 7 8);
        }
        if !D::OPENS {
            lanes.enter(End { progress: &mut progress, direction: PhantomData::<D> });
        }
    }
}

/// What goes from chunk to chunk, and from packet to packet.
struct Progress<'a, L: Lanes, const C: usize> {
    packet: Option<Packet<'a>>,
    /// What the packet's counter blocks are made of.
    start: L::V,
    /// The encrypted counter block for the tag.
    mask: __m128i,
    /// GHASH so far, byte-reversed.
    hash: __m128i,
    /// The next chunk.
    chunk: usize,
    /// What GHASH has in place of the first chunk's first two blocks.
    front: [L::V; 2],
    /// Payload blocks in the last chunk.
    tail_blocks: usize,
    /// The last chunk's ciphertext, the lengths and zeros behind it.
    tail: [L::V; C],
}

impl<'a, L: Lanes, const C: usize> Progress<'a, L, C> {
    #[inline(always)]
    fn new(lanes: L) -> Self {
        let (zero, none) = (lanes.zero(), halves(0, 0));
        Self {
            packet: None,
            start: zero,
            mask: none,
            hash: none,
            chunk: 0,
            front: [zero; 2],
            tail_blocks: 0,
            tail: [zero; C],
        }
    }

    /// Counter blocks of chunk `chunk`, the first round key added.
    #[inline(always)]
    fn counters<const W: usize>(&self, lanes: L, chunk: usize) -> [[L::V; W]; 1] {
        #[expect(clippy::cast_possible_truncation, reason = "a payload has at most 4096 blocks")]
        let first = (chunk * C * L::COUNT) as u32;
        let start = halves(u64::from(first.swap_bytes()) << 32, 0);
        let start = lanes.xor(self.start, lanes.broadcast(start));
        let mut blocks = [start; W];
        for w in 0..W {
            blocks[w] = lanes.xor(start, lanes.counters(L::COUNT * w));
        }
        [blocks]
    }

    /// The GHASH of chunk `chunk`, a whole one.
    #[inline(always)]
    fn hash_whole(&self, lanes: L, packet: &Packet<'a>, chunk: usize) -> Hash<'a, L, C, true> {
        let others = chunk_at::<L, C>(packet, chunk).cast_const();
        let front = if chunk == 0 { self.front.as_ptr().cast() } else { others };
        let powers = packet.key.powers_from(C * L::COUNT);
        Hash { powers, front, others, registers: C, hash: self.hash, sum: Sum::zero(lanes) }
    }

    /// The GHASH of so many blocks of the last chunk.
    #[inline(always)]
    fn hash_tail(&self, lanes: L, key: &'a Material, blocks: usize) -> Hash<'a, L, C, false> {
        let powers = key.powers_from(blocks.max(1));
        let front = self.tail.as_ptr().cast();
        let registers = blocks.div_ceil(L::COUNT);
        Hash { powers, front, others: front, registers, hash: self.hash, sum: Sum::zero(lanes) }
    }

    /// Lays out what GHASH has in place of the first two blocks, and behind them in their register.
    #[inline(always)]
    fn set_front(&mut self, lanes: L, packet: &Packet<'a>) {
        for j in 0..front_registers::<L>() {
            self.front[j] = lanes.combine(|i| match L::COUNT * j + i {
                0 => halves(0, 0),
                1 => packet.aad(),
                // SAFETY: the first chunk's payload blocks are whole.
                number => unsafe { _mm_loadu_si128(packet.payload.add(16 * (number - 2)).cast()) },
            });
        }
    }

    /// Lays out the last chunk for GHASH; `blocks` has zeros behind the payload.
    #[inline(always)]
    fn set_tail<const W: usize>(&mut self, lanes: L, packet: &Packet<'a>, blocks: &[L::V; W]) {
        self.tail[..W].copy_from_slice(blocks);
        if W == C && self.tail_blocks == C * L::COUNT {
            // No room for the lengths.
            let mut hash = self.hash_tail(lanes, packet.key, C * L::COUNT);
            alone(lanes, &mut hash);
            self.hash = hash.hash;
            self.tail_blocks = 0;
        }
        if self.tail_blocks.is_multiple_of(L::COUNT) {
            self.tail[self.tail_blocks / L::COUNT] = lanes.zero();
        }
        let lengths = lanes.single().reverse_bytes(packet.lengths());
        let to = self.tail.as_mut_ptr().cast::<u8>().wrapping_add(16 * self.tail_blocks);
        // SAFETY: the tail's registers have room for a chunk's blocks, and there are fewer.
        unsafe { _mm_storeu_si128(to.cast(), lengths) };
    }

    #[inline(always)]
    fn tag(&self, lanes: L) -> __m128i {
        lanes.single().xor(lanes.single().reverse_bytes(self.hash), self.mask)
    }
}

/// Where in memory number 0 of a chunk would be; of the first chunk, outside the payload.
#[inline(always)]
fn chunk_at<L: Lanes, const C: usize>(packet: &Packet<'_>, chunk: usize) -> *mut u8 {
    packet.payload.wrapping_add(16 * L::COUNT * C * chunk).wrapping_sub(32)
}

/// The first chunk of a packet and, when sealing, the tag of the one before.
struct Begin<'p, 'a, L: Lanes, D, const C: usize> {
    progress: &'p mut Progress<'a, L, C>,
    packet: Packet<'a>,
    direction: PhantomData<D>,
}

impl<L: Lanes, D: Direction, const C: usize> Task<L> for Begin<'_, '_, L, D, C> {
    #[inline(always)]
    fn run(self, lanes: L) {
        let Self { progress, packet, .. } = self;
        let previous = progress.packet.replace(packet);
        progress.start = packet.start(lanes);
        let mut state = progress.counters::<C>(lanes, 0);
        if D::OPENS {
            progress.hash = halves(0, 0);
            progress.set_front(lanes, &packet);
            let mut hash = progress.hash_whole(lanes, &packet, 0);
            encrypt(lanes, &[packet.key], &mut state, &mut hash);
            progress.hash = hash.hash;
        } else {
            let key = previous.map_or(packet.key, |packet| packet.key);
            let blocks = if previous.is_some() { progress.tail_blocks + 1 } else { 0 };
            let mut hash = progress.hash_tail(lanes, key, blocks);
            encrypt(lanes, &[packet.key], &mut state, &mut hash);
            progress.hash = hash.hash;
            if let Some(previous) = previous {
                previous.finish::<D>(progress.tag(lanes));
            }
            progress.hash = halves(0, 0);
        }
        progress.mask = lanes.lane(state[0][1 / L::COUNT], 1 % L::COUNT);
        apply_first(lanes, &packet, &state[0]);
        if !D::OPENS {
            progress.set_front(lanes, &packet);
        }
        progress.chunk = 1;
    }
}

/// XORs the first chunk's key stream over the payload.
#[inline(always)]
fn apply_first<L: Lanes, const C: usize>(lanes: L, packet: &Packet<'_>, stream: &[L::V; C]) {
    for j in 0..C {
        if L::COUNT * j >= 2 {
            // SAFETY: the first chunk's payload blocks are whole.
            unsafe { apply(lanes, packet.payload.add(16 * (L::COUNT * j - 2)), stream[j]) };
            continue;
        }
        for i in 0..L::COUNT {
            if L::COUNT * j + i >= 2 {
                let stream = lanes.lane(stream[j], i);
                // SAFETY: as above.
                unsafe {
                    apply(lanes.single(), packet.payload.add(16 * (L::COUNT * j + i - 2)), stream);
                }
            }
        }
    }
}

/// # Safety
/// A register's bytes from `at` on are readable and writable.
#[inline(always)]
unsafe fn apply<L: Lanes>(lanes: L, at: *mut u8, stream: L::V) {
    // SAFETY: as the caller says.
    unsafe { lanes.store(at, lanes.xor(lanes.load(at), stream)) }
}

/// Whole chunks.
struct Middle<'p, 'a, L: Lanes, D, const C: usize> {
    progress: &'p mut Progress<'a, L, C>,
    packet: Packet<'a>,
    count: usize,
    direction: PhantomData<D>,
}

impl<L: Lanes, D: Direction, const C: usize> Task<L> for Middle<'_, '_, L, D, C> {
    #[inline(always)]
    fn run(self, lanes: L) {
        let Self { progress, packet, count, .. } = self;
        for chunk in progress.chunk..progress.chunk + count {
            let mut state = progress.counters::<C>(lanes, chunk);
            let hashed = if D::OPENS { chunk } else { chunk - 1 };
            let mut hash = progress.hash_whole(lanes, &packet, hashed);
            encrypt(lanes, &[packet.key], &mut state, &mut hash);
            progress.hash = hash.hash;
            for (j, stream) in state[0].into_iter().enumerate() {
                let at = chunk_at::<L, C>(&packet, chunk).wrapping_add(16 * L::COUNT * j);
                // SAFETY: the chunk lies in the payload.
                unsafe { apply(lanes, at, stream) };
            }
        }
        progress.chunk += count;
    }
}

/// The last chunk, of which payload takes `W` registers; when opening, the tag too.
struct Tail<'p, 'a, L: Lanes, D, const C: usize, const W: usize> {
    progress: &'p mut Progress<'a, L, C>,
    packet: Packet<'a>,
    direction: PhantomData<D>,
}

impl<L: Lanes, D: Direction, const C: usize, const W: usize> Task<L> for Tail<'_, '_, L, D, C, W> {
    #[inline(always)]
    fn run(self, lanes: L) {
        let Self { progress, packet, .. } = self;
        let at = 16 * L::COUNT * C * progress.chunk - 32;
        let mut state = progress.counters::<W>(lanes, progress.chunk);
        if D::OPENS {
            let mut blocks = [lanes.zero(); W];
            for w in 0..W {
                blocks[w] = read::<L, W>(lanes, &packet, at, w);
                if w + 1 == W {
                    blocks[w] = lanes.and(blocks[w], packet.keep(lanes, at + 16 * L::COUNT * w));
                }
            }
            progress.set_tail(lanes, &packet, &blocks);
            let mut hash = progress.hash_tail(lanes, packet.key, progress.tail_blocks + 1);
            encrypt(lanes, &[packet.key], &mut state, &mut hash);
            progress.hash = hash.hash;
        } else {
            let mut hash = progress.hash_whole(lanes, &packet, progress.chunk - 1);
            encrypt(lanes, &[packet.key], &mut state, &mut hash);
            progress.hash = hash.hash;
        }
        let mut blocks = state[0];
        for w in 0..W {
            let text = read::<L, W>(lanes, &packet, at, w);
            let to = at + 16 * L::COUNT * w;
            if w + 1 < W {
                blocks[w] = lanes.xor(text, blocks[w]);
                // SAFETY: as in `read`.
                unsafe { lanes.store(packet.payload.add(to), blocks[w]) };
            } else {
                let keep = packet.keep(lanes, to);
                let after = lanes.xor(text, lanes.and(blocks[w], keep));
                // SAFETY: as in `read`.
                unsafe { lanes.store_edge(packet.payload, to, packet.length, L::COUNT, after) };
                blocks[w] = lanes.and(after, keep);
            }
        }
        if D::OPENS {
            packet.finish::<D>(progress.tag(lanes));
        } else {
            progress.set_tail(lanes, &packet, &blocks);
        }
    }
}

/// Register `w` of the last chunk, which begins at byte `at`; the last one is anything behind the payload.
#[inline(always)]
fn read<L: Lanes, const W: usize>(lanes: L, packet: &Packet<'_>, at: usize, w: usize) -> L::V {
    let at = at + 16 * L::COUNT * w;
    if w + 1 < W {
        // SAFETY: registers before the last lie in the payload.
        unsafe { lanes.load(packet.payload.add(at)) }
    } else {
        // SAFETY: a payload has the tag's 16 bytes behind it.
        unsafe { lanes.load_edge(packet.payload, at, packet.length, L::COUNT) }
    }
}

/// When sealing: the last packet's tag.
struct End<'p, 'a, L: Lanes, D, const C: usize> {
    progress: &'p mut Progress<'a, L, C>,
    direction: PhantomData<D>,
}

impl<L: Lanes, D: Direction, const C: usize> Task<L> for End<'_, '_, L, D, C> {
    #[inline(always)]
    fn run(self, lanes: L) {
        let Some(packet) = self.progress.packet.take() else { return };
        let mut hash = self.progress.hash_tail(lanes, packet.key, self.progress.tail_blocks + 1);
        alone(lanes, &mut hash);
        self.progress.hash = hash.hash;
        packet.finish::<D>(self.progress.tag(lanes));
    }
}
