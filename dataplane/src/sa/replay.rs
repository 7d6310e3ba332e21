//! The replay window (RFC 4303, 3.4.3 and appendix A): a ring of bits over the sequence numbers up to the highest
//! authentic one, extended sequence numbers included.
//!
//! The inbound pipeline asks [`ReplayWindow::extend`] and [`ReplayWindow::check`] before it spends a decryption, and
//! [`ReplayWindow::accept`] once the tag is known to fit; only the last one changes anything. The bits lie in a ring of
//! words with one word to spare, so that moving the window clears words instead of shifting (the idea of RFC 6479).

use crate::counter::Counter;
use crate::sa::Esn;

/// Smallest window, in packets (RFC 4303, 3.4.3 asks for at least this).
pub const WINDOW_MIN_PACKETS: u32 = 32;
/// Largest window, in packets.
pub const WINDOW_MAX_PACKETS: u32 = 4096;

/// Window of one inbound SA.
#[derive(Debug, Clone)]
pub struct ReplayWindow {
    top: u64, // highest authentic sequence number; 0 before the first packet
    ring: Box<[u64]>,
    packets: u32,
}

impl ReplayWindow {
    /// A window of that many packets, brought into [`WINDOW_MIN_PACKETS`]..=[`WINDOW_MAX_PACKETS`].
    #[must_use]
    pub fn new(packets: u32) -> Self {
        let packets = packets.clamp(WINDOW_MIN_PACKETS, WINDOW_MAX_PACKETS);
        let words = (packets.div_ceil(64) + 1).next_power_of_two();
        Self { top: 0, ring: vec![0; words as usize].into_boxed_slice(), packets }
    }

    /// Width in packets.
    #[must_use]
    pub fn packets(&self) -> u32 {
        self.packets
    }

    /// The highest authentic sequence number so far, 0 if none.
    #[must_use]
    pub fn top(&self) -> u64 {
        self.top
    }

    /// The full sequence number that a packet's 32 bits stand for (RFC 4303, A2.2): the one nearest to the window.
    ///
    /// # Errors
    /// [`Counter::EspSequenceZero`] for the number 0, [`Counter::EspTooOld`] where the full number would lie before the
    /// SA's first or beyond its last.
    pub fn extend(&self, low: u32, esn: Esn) -> Result<u64, Counter> {
        let sequence = match esn {
            Esn::Off => u64::from(low),
            Esn::On => self.extend_64(low).ok_or(Counter::EspTooOld)?,
        };
        if sequence == 0 { Err(Counter::EspSequenceZero) } else { Ok(sequence) }
    }

    fn extend_64(&self, low: u32) -> Option<u64> {
        let [a, b, c, d, e, f, g, h] = self.top.to_be_bytes();
        let (top_high, top_low) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
        let bottom = top_low.wrapping_sub(self.packets - 1);
        let high = if top_low >= self.packets - 1 {
            // The window lies in one subspace: what is below it must be of the next.
            if low >= bottom { Some(top_high) } else { top_high.checked_add(1) }
        } else if low >= bottom {
            // The window spans two subspaces, and this is in its older part.
            top_high.checked_sub(1)
        } else {
            Some(top_high)
        };
        high.map(|high| u64::from(high) << 32 | u64::from(low))
    }

    /// Asks the CPU for the bits around the top.
    #[inline]
    pub(crate) fn prefetch(&self) {
        let (word, _) = self.place(self.top);
        dpdk_sys::prefetch(&self.ring[word]);
    }

    /// Whether a packet of that number could still be accepted.
    ///
    /// # Errors
    /// [`Counter::EspTooOld`] left of the window, [`Counter::EspReplayed`] if it was accepted before.
    #[inline]
    pub fn check(&self, sequence: u64) -> Result<(), Counter> {
        if sequence > self.top {
            return Ok(());
        }
        if self.top - sequence >= u64::from(self.packets) {
            return Err(Counter::EspTooOld);
        }
        let (word, bit) = self.place(sequence);
        if self.ring[word] & bit == 0 { Ok(()) } else { Err(Counter::EspReplayed) }
    }

    /// Checks again and marks the number as seen. Call this for authentic packets alone.
    ///
    /// # Errors
    /// As [`ReplayWindow::check`]; nothing has changed then.
    #[inline(always)] // once a packet, in one loop
    pub fn accept(&mut self, sequence: u64) -> Result<(), Counter> {
        self.check(sequence)?;
        if sequence > self.top {
            let (old, new) = (self.top / 64, sequence / 64);
            for word in 1..=(new - old).min(self.ring.len() as u64) {
                let (place, _) = self.place((old + word) * 64);
                self.ring[place] = 0;
            }
            self.top = sequence;
        }
        let (word, bit) = self.place(sequence);
        self.ring[word] |= bit;
        Ok(())
    }

    #[inline]
    fn place(&self, sequence: u64) -> (usize, u64) {
        let mask = self.ring.len() - 1; // at most 127, so that the low bits of the word's number are enough
        (usize::from((sequence / 64).to_le_bytes()[0]) & mask, 1 << (sequence % 64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// What the window must do, by the letter: a set of everything seen.
    #[derive(Default)]
    struct Naive {
        seen: BTreeSet<u64>,
    }

    impl Naive {
        fn accept(&mut self, sequence: u64, packets: u32) -> Result<(), Counter> {
            let top = self.seen.last().copied().unwrap_or(0);
            if sequence + u64::from(packets) <= top {
                return Err(Counter::EspTooOld);
            }
            if self.seen.insert(sequence) { Ok(()) } else { Err(Counter::EspReplayed) }
        }
    }

    proptest! {
        #[test]
        fn window_agrees_with_a_set_of_all_numbers(
            packets in 32_u32..=4096,
            steps in proptest::collection::vec((-5000_i64..5000, 0_u8..10), 1..400),
        ) {
            let mut window = ReplayWindow::new(packets);
            let mut naive = Naive::default();
            for (offset, kind) in steps {
                // Mostly near the top, sometimes a leap.
                let offset = if kind == 0 { offset * 1000 } else if kind < 6 { offset / 100 } else { offset };
                let sequence = window.top().saturating_add_signed(offset).max(1);
                let checked = window.check(sequence);
                let accepted = window.accept(sequence);
                prop_assert_eq!(checked, accepted);
                prop_assert_eq!(accepted, naive.accept(sequence, packets));
            }
        }

        #[test]
        fn esn_is_recovered_within_half_a_subspace(
            packets in 32_u32..=4096, top in 1_u64..u64::MAX / 4, offset in -4095_i64..(1 << 31),
        ) {
            let mut window = ReplayWindow::new(packets);
            window.accept(top).expect("first packet");
            let sequence = top.saturating_add_signed(offset.max(1 - i64::from(packets)));
            prop_assume!(sequence > 0);
            prop_assert_eq!(window.extend(u32::try_from(sequence & 0xffff_ffff).expect("32 bits"), Esn::On), Ok(sequence));
        }
    }

    #[test]
    fn every_number_of_the_widest_window_is_accepted_once() {
        let mut window = ReplayWindow::new(WINDOW_MAX_PACKETS);
        window.accept(10_000).expect("new top");
        for sequence in 10_000 - 4095..10_000 {
            assert_eq!(window.accept(sequence), Ok(()));
            assert_eq!(window.accept(sequence), Err(Counter::EspReplayed));
        }
        assert_eq!(window.accept(10_000 - 4096), Err(Counter::EspTooOld));
    }

    #[test]
    fn esn_crosses_into_the_next_subspace_and_back() {
        let mut window = ReplayWindow::new(64);
        window.accept(0xffff_fff0).expect("first");
        assert_eq!(window.extend(5, Esn::On), Ok(0x1_0000_0005));
        window.accept(0x1_0000_0005).expect("next subspace");
        assert_eq!(window.extend(0xffff_fff1, Esn::On), Ok(0xffff_fff1));
        assert_eq!(window.check(0xffff_fff0), Err(Counter::EspReplayed));
        assert_eq!(window.extend(0, Esn::On), Ok(0x1_0000_0000));
    }

    #[test]
    fn beyond_the_last_number_of_64_bits_there_is_none() {
        let mut window = ReplayWindow::new(64);
        window.accept(u64::MAX - 10).expect("a leap");
        let low = |sequence: u64| u32::try_from(sequence & 0xffff_ffff).expect("32 bits");
        assert_eq!(window.extend(low(u64::MAX), Esn::On), Ok(u64::MAX));
        window.accept(u64::MAX).expect("the last one");
        assert_eq!(window.accept(u64::MAX), Err(Counter::EspReplayed));
        assert_eq!(window.extend(5, Esn::On), Err(Counter::EspTooOld), "it would be of the 2^32nd subspace");
        assert_eq!(window.extend(low(u64::MAX - 63), Esn::On), Ok(u64::MAX - 63));
        assert_eq!(window.extend(low(u64::MAX - 64), Esn::On), Err(Counter::EspTooOld));
    }

    #[test]
    fn before_the_first_packet_nothing_is_of_a_former_subspace() {
        let window = ReplayWindow::new(64);
        assert_eq!(window.extend(u32::MAX, Esn::On), Err(Counter::EspTooOld));
        assert_eq!(window.extend(0, Esn::On), Err(Counter::EspSequenceZero));
        assert_eq!(window.extend(0, Esn::Off), Err(Counter::EspSequenceZero));
        assert_eq!(window.extend(u32::MAX, Esn::Off), Ok(0xffff_ffff));
    }
}
