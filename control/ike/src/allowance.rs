//! How often something may happen that anybody out there can ask for: a rate, and a burst. Time is handed in.

use std::time::Duration;

use crate::environment::Instant;

/// Lets `burst` things happen at once, and one every `every` on the long run (the generic cell rate algorithm: one moment is all there is to keep).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    every: Duration,
    burst: u32,
    /// When all of the burst may happen again.
    full_at: Instant,
}

impl Allowance {
    pub(crate) fn new(every: Duration, burst: u32) -> Self {
        Self { every, burst, full_at: Instant::default() }
    }

    /// Whether it may happen now; then it counts.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let full_at = self.full_at.max(now) + self.every;
        let is_granted = full_at.saturating_since(now) <= self.every * self.burst;
        if is_granted {
            self.full_at = full_at;
        }
        is_granted
    }

    /// Whether more than half of the burst is used up now.
    pub(crate) fn is_short(&self, now: Instant) -> bool {
        self.full_at.saturating_since(now) > self.every * self.burst / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_then_the_rate() {
        let at = |ms: u64| Instant::from_epoch(Duration::from_millis(1_000_000 + ms));
        let mut allowance = Allowance::new(Duration::from_millis(100), 3);
        let granted =
            |allowance: &mut Allowance, ms: u64| (0..100).filter(|_| allowance.take(at(ms))).count();
        assert!(!allowance.is_short(at(0)));
        assert_eq!(granted(&mut allowance, 0), 3);
        assert!(allowance.is_short(at(0)) && !allowance.is_short(at(200)));
        assert_eq!(granted(&mut allowance, 99), 0);
        assert_eq!(granted(&mut allowance, 100), 1);
        assert_eq!(granted(&mut allowance, 250), 1);
        assert_eq!(granted(&mut allowance, 10_000), 3, "no more than a burst gathers");
        assert_eq!(granted(&mut allowance, 0), 0, "a clock that steps back gives nothing");
    }
}
