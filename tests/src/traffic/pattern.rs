//! Bytes that a receiver can foretell: any part of the pattern of a seed, from any place in it. Every 1024 bytes of
//! it begin with a mark in clear, by which a capture knows what was not encrypted.

use crate::random::{STEP, mix};

/// What clear text of the lab shows on a wire (16 bytes, so that ping can carry it too).
pub const MARK: &[u8; 16] = b"crossgate in lab";

/// Bytes from one mark to the next.
const PERIOD_BYTES: usize = 1024;

/// Fills `bytes` with the pattern of `seed` from `offset` on; both the offset and the length are multiples of 8, but
/// for the last part.
pub(super) fn fill(seed: u64, offset: u64, bytes: &mut [u8]) {
    for (word, chunk) in (offset / 8..).zip(bytes.chunks_mut(8)) {
        chunk.copy_from_slice(&value(seed, word).to_be_bytes()[..chunk.len()]);
    }
}

/// Whether `bytes` are the pattern of `seed` from `offset` on.
pub(super) fn matches(seed: u64, offset: u64, bytes: &[u8]) -> bool {
    let mut parts = (offset / 8..).zip(bytes.chunks(8));
    parts.all(|(word, chunk)| chunk == &value(seed, word).to_be_bytes()[..chunk.len()])
}

/// The pattern's 8 bytes at `word`: the mark's halves at the begin of a period, else seed and place mixed.
fn value(seed: u64, word: u64) -> u64 {
    const PERIOD_WORDS: u64 = (PERIOD_BYTES / 8) as u64;
    const MARK_FRONT: u64 = u64::from_be_bytes(*MARK.first_chunk().expect("16 bytes"));
    const MARK_BACK: u64 = u64::from_be_bytes(*MARK.last_chunk().expect("16 bytes"));
    match word % PERIOD_WORDS {
        0 => MARK_FRONT,
        1 => MARK_BACK,
        _ => mix((seed ^ word).wrapping_mul(STEP).wrapping_add(seed)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_part_is_foretold_and_any_change_is_seen() {
        let mut whole = vec![0; 3000];
        fill(7, 0, &mut whole);
        assert!(whole.starts_with(MARK));
        assert!(matches(7, 1016, &whole[1016..2555]));
        assert!(!matches(8, 1016, &whole[1016..2555]));
        assert!(!matches(7, 1024, &whole[1016..2555]));
        for at in [0, 1023, 1024, 2999] {
            whole[at] ^= 1;
            assert!(!matches(7, 0, &whole), "byte {at}");
            whole[at] ^= 1;
        }
    }
}
