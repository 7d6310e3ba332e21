//! What the core is handed: the time, randomness and the data plane's SPIs. Called by the core alone; implemented by the
//! control thread and by the simulator (`sim.rs`).

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use crate::event::Spi;

/// A moment on the caller's monotonic clock: the time since an epoch that the caller picks once.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(Duration);

impl Instant {
    /// The moment `since_epoch` after the caller's epoch.
    #[must_use]
    pub const fn from_epoch(since_epoch: Duration) -> Self {
        Self(since_epoch)
    }

    /// Time since the caller's epoch.
    #[must_use]
    pub const fn since_epoch(self) -> Duration {
        self.0
    }

    /// Time from `earlier` to `self`; zero if `earlier` is later.
    #[must_use]
    pub fn saturating_since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;
    fn add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(by))
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;
    fn sub(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(by))
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}s", self.0.as_secs_f64())
    }
}

/// What the core asks of its caller while it handles an input. Nothing here may block.
///
/// Slow maths does not go this way: it leaves as [`crate::Event::Compute`].
pub trait Environment {
    /// Fills `out` from a cryptographically secure generator (nonces, SPIs, private keys, IVs).
    fn random(&mut self, out: &mut [u8]);

    /// The time of day, which certificates are valid by.
    fn unix_time(&self) -> crossgate_pki::UnixTime;

    /// A free inbound SPI of the data plane, for a Child SA of `connection` that is for all resources or for that one; `None` if it has no free slot, or none for a single
    /// resource. It stays allocated until [`Self::release_spi`] (it was never installed) or [`crate::Event::RemoveChild`] (it was) names it.
    fn allocate_spi(&mut self, connection: crate::event::ConnectionId, resource: Option<u16>) -> Option<Spi>;

    /// Gives back an SPI that was allocated but never appeared in [`crate::Event::InstallChild`].
    fn release_spi(&mut self, spi: Spi);
}
