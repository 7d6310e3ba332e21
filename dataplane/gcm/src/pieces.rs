//! One packet whose payload lies in several buffers: sealed and opened where it is, piece by piece. Key stream and GHASH go on over the borders, wherever in
//! a block these are. For the few packets that a port spreads over buffers; the others are [`super::Job`]s.
//!
//! What is common to all kernels is here; `pieces/simd.rs` and `portable.rs` have the blocks.

use super::{Aad, Kernel, Key, Nonce, TAG_BYTES, Verdict, portable};
#[cfg(target_arch = "x86_64")]
use {super::Engine, simd::Simd};

#[cfg(target_arch = "x86_64")]
pub(super) mod simd;

pub(super) const BLOCK_BYTES: usize = 16;
pub(super) type Block = [u8; BLOCK_BYTES];

impl Kernel {
    /// Encrypts a payload in place, whose bytes are those of the pieces in turn, and returns its tag.
    ///
    /// The caller answers for nonces, as with [`Kernel::seal`].
    #[must_use = "a packet without its tag cannot be opened"]
    pub fn seal_pieces(
        self,
        key: &Key,
        nonce: impl Into<Nonce>,
        aad: Aad,
        payload: &mut [&mut [u8]],
    ) -> [u8; TAG_BYTES] {
        transform::<false>(self, key, nonce.into(), aad, payload)
    }

    /// Checks a tag and decrypts a payload in place, whose bytes are those of the pieces in turn. A forged one is zeros then, in all its pieces.
    #[must_use = "a forged payload has to be told from an authentic one"]
    pub fn open_pieces(
        self,
        key: &Key,
        nonce: impl Into<Nonce>,
        aad: Aad,
        payload: &mut [&mut [u8]],
        tag: &[u8; TAG_BYTES],
    ) -> Verdict {
        let expected = transform::<true>(self, key, nonce.into(), aad, payload);
        // Constant time: all bytes are compared at once.
        if u128::from_ne_bytes(expected) ^ u128::from_ne_bytes(*tag) == 0 {
            return Verdict::Authentic;
        }
        payload.iter_mut().for_each(|piece| piece.fill(0));
        Verdict::Forged
    }
}

fn transform<const OPENS: bool>(
    kernel: Kernel,
    key: &Key,
    nonce: Nonce,
    aad: Aad,
    payload: &mut [&mut [u8]],
) -> [u8; TAG_BYTES] {
    #[cfg(target_arch = "x86_64")]
    if let Some(key) = key.simd() {
        match kernel.0 {
            Engine::Vaes512(token) => return run::<_, OPENS>(Simd::new(token, key, nonce), aad, payload),
            Engine::Vaes256(token) => return run::<_, OPENS>(Simd::new(token, key, nonce), aad, payload),
            Engine::Aesni(token) => return run::<_, OPENS>(Simd::new(token, key, nonce), aad, payload),
            Engine::Portable => {}
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = kernel;
    portable::pieces::<OPENS>(key, nonce, aad, payload)
}

/// A key and a nonce at work: the counter (from 1 on, SP 800-38D, 7.1) and GHASH.
pub(super) trait Blocks {
    /// The key stream's next block.
    fn stream(&mut self) -> Block;
    /// Adds the key stream's next blocks to these, and takes them into GHASH as they are before (if it is opening) or after.
    fn blocks<const OPENS: bool>(&mut self, blocks: &mut [Block]);
    /// Takes a block into GHASH.
    fn hash(&mut self, block: &Block);
    /// GHASH so far.
    fn ghash(&mut self) -> Block;
}

/// Encrypts or decrypts; the tag that belongs to it.
pub(super) fn run<B: Blocks, const OPENS: bool>(
    mut work: B,
    aad: Aad,
    payload: &mut [&mut [u8]],
) -> [u8; TAG_BYTES] {
    let mask = work.stream();
    let (aad, aad_bytes) = aad.to_bytes();
    work.hash(&aad);
    let (mut bytes, mut begun) = (0, Begun::NONE);
    for piece in payload {
        bytes += piece.len();
        let (front, rest) = piece.split_at_mut(begun.wants().min(piece.len()));
        begun.take::<OPENS>(front);
        if begun.is_complete() {
            work.hash(&begun.ciphertext);
            begun = Begun::NONE;
        }
        if rest.is_empty() {
            continue;
        }
        let (blocks, back) = rest.as_chunks_mut();
        work.blocks::<OPENS>(blocks);
        if !back.is_empty() {
            begun = Begun { stream: work.stream(), ..Begun::NONE };
            begun.take::<OPENS>(back);
        }
    }
    if begun.filled > 0 {
        work.hash(&begun.ciphertext);
    }
    let bits = |bytes: usize| u128::from(8 * bytes as u64);
    work.hash(&(bits(aad_bytes) << 64 | bits(bytes)).to_be_bytes());
    (u128::from_ne_bytes(work.ghash()) ^ u128::from_ne_bytes(mask)).to_ne_bytes()
}

/// A block that lies in two pieces, or more.
struct Begun {
    stream: Block,
    /// Zeros behind what there is of it.
    ciphertext: Block,
    /// Bytes that there are of it: 0 for no block at all.
    filled: usize,
}

impl Begun {
    const NONE: Self = Self { stream: [0; BLOCK_BYTES], ciphertext: [0; BLOCK_BYTES], filled: 0 };

    fn is_complete(&self) -> bool {
        self.filled == BLOCK_BYTES
    }

    /// Bytes that it lacks.
    fn wants(&self) -> usize {
        if self.filled == 0 { 0 } else { BLOCK_BYTES - self.filled }
    }

    /// Transforms its next bytes.
    fn take<const OPENS: bool>(&mut self, bytes: &mut [u8]) {
        let places = self.stream.iter().zip(&mut self.ciphertext).skip(self.filled);
        for ((stream, ciphertext), byte) in places.zip(&mut *bytes) {
            let before = *byte;
            *byte ^= stream;
            *ciphertext = if OPENS { before } else { *byte };
        }
        self.filled += bytes.len();
    }
}
