//! Timers by key on a hierarchical timer wheel (Varghese and Lauck, 1987), with the time handed in: setting, moving and clearing one costs the same however many there are.
//!
//! A level has 64 slots, a slot of one level is as long as the 64 of the level below: a timer stands in the level of the highest digit in which its time differs from
//! the wheel's, and moves down when time reaches its slot. Slots only sort: times stay exact.

use std::collections::HashMap;
use std::hash::Hash;

use slab::Slab;

use crate::environment::Instant;

/// Bits of a level's digit.
const DIGIT_BITS: usize = 6;
const SLOTS: usize = 1 << DIGIT_BITS;
/// As many as 64 bits of milliseconds have digits.
const LEVELS: usize = 64_usize.div_ceil(DIGIT_BITS);

/// One timer for each key. Owned by the endpoint.
#[derive(Debug)]
pub(crate) struct Wheel<K> {
    /// The millisecond that the wheel has turned to.
    turned_to: u64,
    /// Slots that are not empty, a bit each.
    occupied: [u64; LEVELS],
    slots: Vec<Slot>,
    timers: Slab<Timer<K>>,
    by_key: HashMap<K, usize>,
}

/// A list of timers.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    first: Option<usize>,
    /// None of them is due before.
    not_before: Instant,
}

#[derive(Debug)]
struct Timer<K> {
    at: Instant,
    key: K,
    /// Its slot, and its neighbours there.
    level: usize,
    digit: usize,
    previous: Option<usize>,
    next: Option<usize>,
}

impl<K: Copy + Eq + Hash + Ord> Wheel<K> {
    /// Not later than when the first is due: perhaps earlier if one was moved or cleared that was to be before it.
    pub(crate) fn first(&self) -> Option<Instant> {
        let level = self.occupied.iter().position(|slots| *slots != 0)?;
        Some(self.slots[level * SLOTS + lowest(self.occupied[level])].not_before)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Sets, moves or clears the timer of a key.
    pub(crate) fn set(&mut self, key: K, at: Option<Instant>) {
        match (self.by_key.get(&key).copied(), at) {
            (Some(index), Some(at)) if self.timers[index].at != at => {
                self.unlink(index);
                self.timers[index].at = at;
                self.place(index);
            }
            (Some(index), None) => self.remove(index),
            (None, Some(at)) => {
                let timer = Timer { at, key, level: 0, digit: 0, previous: None, next: None };
                let index = self.timers.insert(timer);
                self.by_key.insert(key, index);
                self.place(index);
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
    }

    /// Takes those that are due, the earliest first.
    pub(crate) fn take_due(&mut self, now: Instant) -> Vec<K> {
        if self.first().is_none_or(|first| first > now) {
            return Vec::new();
        }
        self.turn(milliseconds(now));
        // What is due stands in the slot of this millisecond, as does what comes later within it.
        let present = digit(self.turned_to, 0);
        let mut due = Vec::new();
        let mut not_before = None;
        let mut next = self.slots[present].first;
        while let Some(index) = next {
            let Timer { at, key, next: after, .. } = self.timers[index];
            next = after;
            if at <= now {
                due.push((at, key));
                self.remove(index);
            } else {
                not_before = Some(not_before.map_or(at, |before: Instant| before.min(at)));
            }
        }
        self.slots[present].not_before = not_before.unwrap_or_default();
        due.sort_unstable();
        due.into_iter().map(|(_, key)| key).collect()
    }

    /// Turns to a millisecond: what stands in slots that it reaches or passes moves down.
    fn turn(&mut self, to: u64) {
        let from = self.turned_to;
        if to <= from {
            return;
        }
        self.turned_to = to;
        for level in 0..LEVELS {
            let is_same_round = rest(from, level) == rest(to, level);
            let reached = if is_same_round { u64::MAX >> (SLOTS - 1 - digit(to, level)) } else { u64::MAX };
            let mut passed = self.occupied[level] & reached;
            self.occupied[level] &= !reached;
            while passed != 0 {
                let slot = level * SLOTS + lowest(passed);
                passed &= passed - 1;
                let mut next = std::mem::take(&mut self.slots[slot]).first;
                while let Some(index) = next {
                    next = self.timers[index].next;
                    self.place(index);
                }
            }
            if is_same_round {
                break;
            }
        }
    }

    /// Puts a timer into the slot of its time.
    fn place(&mut self, index: usize) {
        let timer = &mut self.timers[index];
        // What is late stands with what is due now.
        let at = milliseconds(timer.at).max(self.turned_to);
        let highest = (at ^ self.turned_to).checked_ilog2().unwrap_or(0);
        timer.level = usize::try_from(highest).expect("below 64") / DIGIT_BITS;
        timer.digit = digit(at, timer.level);
        let slot = &mut self.slots[timer.level * SLOTS + timer.digit];
        let next = slot.first.replace(index);
        slot.not_before = if next.is_some() { slot.not_before.min(timer.at) } else { timer.at };
        self.occupied[timer.level] |= 1 << timer.digit;
        (timer.previous, timer.next) = (None, next);
        if let Some(next) = next {
            self.timers[next].previous = Some(index);
        }
    }

    fn unlink(&mut self, index: usize) {
        let Timer { level, digit, previous, next, .. } = self.timers[index];
        match previous {
            Some(previous) => self.timers[previous].next = next,
            None => self.slots[level * SLOTS + digit].first = next,
        }
        match next {
            Some(next) => self.timers[next].previous = previous,
            None if previous.is_none() => self.occupied[level] &= !(1 << digit),
            None => {}
        }
    }

    fn remove(&mut self, index: usize) {
        self.unlink(index);
        let timer = self.timers.remove(index);
        self.by_key.remove(&timer.key);
    }
}

impl<K> Default for Wheel<K> {
    fn default() -> Self {
        Self {
            turned_to: 0,
            occupied: [0; LEVELS],
            slots: vec![Slot::default(); LEVELS * SLOTS],
            timers: Slab::new(),
            by_key: HashMap::new(),
        }
    }
}

fn milliseconds(at: Instant) -> u64 {
    u64::try_from(at.since_epoch().as_millis()).unwrap_or(u64::MAX)
}

/// The digit of a level.
fn digit(milliseconds: u64, level: usize) -> usize {
    let digit = (milliseconds >> (level * DIGIT_BITS)) % (1 << DIGIT_BITS);
    usize::try_from(digit).expect("below 64")
}

/// The digits above a level.
fn rest(milliseconds: u64, level: usize) -> u64 {
    let bits = u32::try_from((level + 1) * DIGIT_BITS).expect("below 128");
    milliseconds.checked_shr(bits).unwrap_or(0)
}

/// The lowest bit that is set.
fn lowest(slots: u64) -> usize {
    usize::try_from(slots.trailing_zeros()).expect("at most 64")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    /// What a wheel is to be: a map.
    #[derive(Debug, Default)]
    struct Model(BTreeMap<u8, Instant>);

    impl Model {
        fn first(&self) -> Option<Instant> {
            self.0.values().min().copied()
        }

        fn take_due(&mut self, now: Instant) -> Vec<u8> {
            let mut due: Vec<(Instant, u8)> = self.0.iter().map(|(key, at)| (*at, *key)).collect();
            due.retain(|(at, _)| *at <= now);
            due.sort_unstable();
            self.0.retain(|_, at| *at > now);
            due.into_iter().map(|(_, key)| key).collect()
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Set(u8, Option<Duration>),
        /// So long before the present, as a clock that jumps back would have it.
        SetBehind(u8, Duration),
        Pass(Duration),
        /// To the moment at which the first may be due.
        PassToFirst,
        Back(Duration),
    }

    /// Of every order of magnitude between a part of a millisecond and centuries.
    fn time() -> impl Strategy<Value = Duration> {
        (0u32..43, any::<u64>()).prop_map(|(bits, nanos)| Duration::from_nanos(nanos >> bits))
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (0u8..40, proptest::option::weighted(0.8, time())).prop_map(|(key, at)| Step::Set(key, at)),
            1 => (0u8..40, time()).prop_map(|(key, before)| Step::SetBehind(key, before)),
            3 => time().prop_map(Step::Pass),
            3 => Just(Step::PassToFirst),
            1 => time().prop_map(Step::Back),
        ]
    }

    proptest! {
        #[test]
        fn a_wheel_is_a_map_that_knows_what_is_due(start in time(), steps in proptest::collection::vec(step(), 1..200)) {
            let (mut wheel, mut model) = (Wheel::default(), Model::default());
            let mut now = Instant::from_epoch(start);
            for step in steps {
                match step {
                    Step::Set(key, after) => {
                        let at = after.map(|after| now + after);
                        wheel.set(key, at);
                        match at {
                            Some(at) => model.0.insert(key, at),
                            None => model.0.remove(&key),
                        };
                    }
                    Step::SetBehind(key, before) => {
                        wheel.set(key, Some(now - before));
                        model.0.insert(key, now - before);
                    }
                    Step::Pass(time) => now = now + time,
                    Step::PassToFirst => now = wheel.first().map_or(now, |first| first.max(now)),
                    Step::Back(time) => now = now - time,
                }
                if let Step::Pass(_) | Step::PassToFirst | Step::Back(_) = step {
                    prop_assert_eq!(wheel.take_due(now), model.take_due(now));
                    prop_assert!(wheel.first().is_none_or(|first| first > now), "or it would be asked again and again");
                }
                prop_assert_eq!(wheel.first().is_some(), model.first().is_some());
                prop_assert!(wheel.first() <= model.first());
                prop_assert_eq!(wheel.len(), model.0.len());
            }
            for key in 0..40 {
                wheel.set(key, None);
            }
            prop_assert!(wheel.timers.is_empty() && wheel.occupied == [0; LEVELS]);
        }
    }

    #[test]
    fn the_last_moment_of_all_is_a_time_like_any_other() {
        let mut wheel = Wheel::default();
        let end = Instant::from_epoch(Duration::MAX);
        wheel.set(1, Some(end));
        wheel.set(2, Some(Instant::from_epoch(Duration::from_secs(1))));
        assert_eq!(wheel.take_due(Instant::from_epoch(Duration::from_secs(2))), [2]);
        assert_eq!((wheel.first(), wheel.take_due(end)), (Some(end), vec![1]));
        assert_eq!(wheel.first(), None);
    }

    #[test]
    fn whoever_waits_for_the_first_is_called_a_few_times_in_vain_at_most() {
        let mut wheel = Wheel::default();
        let at = |seconds| Instant::from_epoch(Duration::from_secs(seconds));
        for key in 0..1000 {
            wheel.set(key, Some(at(100_000 + key)));
        }
        for key in 0..999 {
            wheel.set(key, None);
        }
        let calls = std::iter::from_fn(|| {
            let now = wheel.first()?;
            Some((now, wheel.take_due(now)))
        });
        let calls: Vec<_> = calls.collect();
        assert!(calls.len() <= LEVELS, "{calls:?}");
        assert_eq!(calls.last(), Some(&(at(100_999), vec![999])));
    }
}
