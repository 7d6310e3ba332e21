//! A token bucket in integers. It limits the ICMP errors of a worker (RFC 1812, 4.3.2.8; RFC 4443, 2.4 (f)); time is handed in.

/// Lets through `burst` events at once and `per_s` a second on the long run.
#[derive(Clone, Debug)]
pub struct TokenBucket {
    /// Tokens times a million: exact at every rate.
    micro_tokens: u64,
    micro_burst: u64,
    per_s: u32,
    updated_us: u64,
}

const MICRO: u64 = 1_000_000;

impl TokenBucket {
    /// A full bucket.
    #[must_use]
    pub fn new(per_s: u32, burst: u32) -> Self {
        let micro_burst = u64::from(burst) * MICRO;
        Self { micro_tokens: micro_burst, micro_burst, per_s, updated_us: 0 }
    }

    /// Takes a token, if there is one. `now_us` is a monotonic time in microseconds; a step back counts as no time.
    pub fn take(&mut self, now_us: u64) -> bool {
        let passed_us = now_us.saturating_sub(self.updated_us);
        self.updated_us = self.updated_us.max(now_us);
        let gained = passed_us.saturating_mul(u64::from(self.per_s)); // per second, times a million, per microsecond
        self.micro_tokens = self.micro_tokens.saturating_add(gained).min(self.micro_burst);
        let granted = self.micro_tokens >= MICRO;
        if granted {
            self.micro_tokens -= MICRO;
        }
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_then_the_rate() {
        let mut bucket = TokenBucket::new(10, 3);
        let granted = |bucket: &mut TokenBucket, now_us| (0..100).filter(|_| bucket.take(now_us)).count();
        assert_eq!(granted(&mut bucket, 0), 3);
        assert_eq!(granted(&mut bucket, 99_999), 0);
        assert_eq!(granted(&mut bucket, 100_000), 1);
        assert_eq!(granted(&mut bucket, 50_000), 0, "a clock that steps back gives nothing");
        assert_eq!(granted(&mut bucket, 60_000_000), 3, "no more than a burst gathers");
        assert_eq!(granted(&mut bucket, u64::MAX), 3);
    }

    #[test]
    fn a_rate_of_zero_ends_after_the_burst() {
        let mut bucket = TokenBucket::new(0, 1);
        assert!(bucket.take(5));
        assert!(!bucket.take(u64::MAX));
    }
}
