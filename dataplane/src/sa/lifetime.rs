//! Limits of an SA in packets and bytes (RFC 4301, 4.4.2.1): the soft one tells the control thread in time, the hard one
//! stops traffic. Seconds are the control thread's: it has the timers and removes the SA.

/// How much an SA may carry until something happens. `u64::MAX` means never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Packets.
    pub packets: u64,
    /// Bytes of ESP payload: inner packet with padding and trailer.
    pub bytes: u64,
}

impl Limits {
    /// No limit.
    pub const NONE: Self = Self { packets: u64::MAX, bytes: u64::MAX };

    /// Whether an SA that has carried this much has reached one of the limits.
    #[must_use]
    #[inline]
    pub fn reached(&self, packets: u64, bytes: u64) -> bool {
        packets >= self.packets || bytes >= self.bytes
    }
}

/// Both limits of an SA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    /// When this is reached, one event goes to the control thread: time to rekey.
    pub soft: Limits,
    /// When this is reached, no packet passes any more. Exact in packets; bytes may exceed it by the burst at hand.
    pub hard: Limits,
}

impl Lifetime {
    /// No limits but those of the sequence number.
    pub const UNLIMITED: Self = Self { soft: Limits::NONE, hard: Limits::NONE };
}

/// Which limit an SA has reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Expiry {
    /// The soft limit: rekey now, traffic goes on.
    Soft,
    /// The hard limit: traffic has stopped.
    Hard,
    /// The sequence numbers are used up (RFC 4303, 3.3.3): traffic has stopped.
    Sequence,
}
