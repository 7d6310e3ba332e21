//! The AES rounds of several packets' counter blocks at once, with other work between them. Called by [`super::short`] and
//! [`super::long`].
//!
//! AES rounds are a chain: each waits some cycles for the one before. Eight or so chains at a time keep the AES units busy; the
//! carry-less products of GHASH fill what is left. They are written between the rounds, because a CPU looks only a few
//! hundred instructions ahead and would not reach them before the rounds are over.

use super::lanes::Lanes;
use super::material::Material;

/// Work that is done in [`SLOTS`] portions, one after each of the first nine AES rounds.
pub(super) trait Beside<L: Lanes> {
    /// Portion `SLOT`, 0 to 8.
    fn portion<const SLOT: usize>(&mut self, lanes: L);
}

/// Portions, as many as AES-128 has rounds before the last.
pub(super) const SLOTS: usize = 9;

/// No other work.
pub(super) struct Nothing;

impl<L: Lanes> Beside<L> for Nothing {
    #[inline(always)]
    fn portion<const SLOT: usize>(&mut self, _: L) {}
}

/// The work without AES rounds beside it.
#[inline(always)]
pub(super) fn alone<L: Lanes, B: Beside<L>>(lanes: L, work: &mut B) {
    macro_rules! portions {
        ($($slot:literal)*) => {$(
            work.portion::<$slot>(lanes);
        )*};
    }
    portions!(0 1 2 3 4 5 6 7 8);
}

/// Encrypts `R` registers of counter blocks for each of `P` keys, all of which have the same number of rounds. The blocks
/// have the first round key added already.
#[inline(always)]
pub(super) fn encrypt<L: Lanes, B: Beside<L>, const P: usize, const R: usize>(
    lanes: L,
    keys: &[&Material; P],
    state: &mut [[L::V; R]; P],
    beside: &mut B,
) {
    // What AES-192 and AES-256 have more comes first, so that the rest is one stretch of code for all.
    let rounds = keys[0].rounds();
    if rounds > 10 {
        round(lanes, keys, state, 1);
        round(lanes, keys, state, 2);
        if rounds > 12 {
            round(lanes, keys, state, 3);
            round(lanes, keys, state, 4);
        }
    }
    macro_rules! rounds_with_portions {
        ($($slot:literal)*) => {$(
            round(lanes, keys, state, rounds - 9 + $slot);
            beside.portion::<$slot>(lanes);
        )*};
    }
    rounds_with_portions!(0 1 2 3 4 5 6 7 8);
    for (key, state) in keys.iter().zip(state) {
        let key = lanes.broadcast(key.round_key(rounds));
        for v in state {
            *v = lanes.aes_last_round(*v, key);
        }
    }
}

#[inline(always)]
fn round<L: Lanes, const P: usize, const R: usize>(
    lanes: L,
    keys: &[&Material; P],
    state: &mut [[L::V; R]; P],
    round: usize,
) {
    for (key, state) in keys.iter().zip(state) {
        let key = lanes.broadcast(key.round_key(round));
        for v in &mut *state {
            *v = lanes.aes_round(*v, key);
        }
        if R > 0 {
            state[0] = lanes.pin(state[0]);
        }
    }
}
