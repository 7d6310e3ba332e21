//! Message IDs (RFC 7296, 2.2 and 2.3): one request of ours under way and sent again until it is answered, the answers to the peer's requests kept for
//! repeats. Used by every IKE SA; the clock is the caller's.
//!
//! Our window is one in both directions. A peer that allows more (SET_WINDOW_SIZE) is understood, but nothing here needs it: a gateway's exchanges on one
//! IKE SA are rare and depend on each other.

use std::time::Duration;

use crate::config::EndpointConfig;
use crate::environment::Instant;

/// A request under way, as datagrams (more than one if fragmented, RFC 7383).
#[derive(Debug)]
pub(crate) struct Retransmission {
    datagrams: Vec<Vec<u8>>,
    wait: Duration,
    /// Waits that are over. Counted, not read from the clock: a clock that jumps must not make a peer dead that was asked only once.
    spent: Duration,
    limit: Duration,
    next_at: Instant,
    /// How often it was sent again.
    repeats: u32,
}

/// What a retransmission wants at a moment.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Nothing yet.
    Nothing,
    /// The datagrams must be sent again.
    Resend,
    /// It was sent often enough.
    GiveUp,
}

impl Retransmission {
    /// Begins with datagrams that are being sent now.
    pub(crate) fn start(datagrams: Vec<Vec<u8>>, now: Instant, settings: &EndpointConfig) -> Self {
        let mut limit = Duration::ZERO;
        let mut wait = settings.retransmit_initial;
        for _ in 0..settings.retransmit_tries {
            limit += wait;
            wait = (wait * 2).min(settings.retransmit_maximum);
        }
        Self::limited(datagrams, now, settings, limit)
    }

    /// The same, but giving up after `limit`.
    pub(crate) fn limited(
        datagrams: Vec<Vec<u8>>,
        now: Instant,
        settings: &EndpointConfig,
        limit: Duration,
    ) -> Self {
        let wait = settings.retransmit_initial.min(limit);
        Self { datagrams, wait, spent: Duration::ZERO, limit, next_at: now + wait, repeats: 0 }
    }

    /// Begins again, now: the peer is elsewhere.
    fn restart(&mut self, now: Instant, settings: &EndpointConfig) {
        self.wait = settings.retransmit_initial.min(self.limit);
        (self.spent, self.repeats, self.next_at) = (Duration::ZERO, 0, now);
    }

    /// When to call [`Self::due`].
    pub(crate) const fn deadline(&self) -> Instant {
        self.next_at
    }

    /// What was sent.
    pub(crate) fn datagrams(&self) -> &[Vec<u8>] {
        &self.datagrams
    }

    /// What to do now; moves the deadline on.
    pub(crate) fn due(&mut self, now: Instant, settings: &EndpointConfig) -> Due {
        if now < self.next_at {
            return Due::Nothing;
        }
        self.spent += self.wait;
        if self.spent >= self.limit {
            return Due::GiveUp;
        }
        self.wait =
            (self.wait * 2).min(settings.retransmit_maximum).min(self.limit.saturating_sub(self.spent));
        self.next_at = now + self.wait;
        self.repeats = self.repeats.saturating_add(1);
        Due::Resend
    }
}

/// Both directions of one IKE SA.
#[derive(Debug, Default)]
pub(crate) struct Window {
    next_request: u32,
    outstanding: Option<(u32, Retransmission)>,
    expected: u32,
    /// Answer to request `expected - 1`.
    answer: Vec<Vec<u8>>,
}

/// Where a request's message ID stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// The one that is due.
    New,
    /// The one before it, again.
    Repeat,
    /// Neither.
    Outside,
}

impl Window {
    /// After IKE_SA_INIT, which used ID 0 in the direction of the initiator.
    pub(crate) fn after_init(initiator: bool) -> Self {
        Self { next_request: u32::from(initiator), expected: u32::from(!initiator), ..Self::default() }
    }

    /// Whether a request of ours is under way.
    pub(crate) const fn is_busy(&self) -> bool {
        self.outstanding.is_some()
    }

    /// The ID for our next request, which must then be handed to [`Self::sent`].
    pub(crate) const fn next_id(&self) -> u32 {
        self.next_request
    }

    /// Our request goes out.
    pub(crate) fn sent(&mut self, request: Retransmission) {
        debug_assert!(self.outstanding.is_none(), "one request at a time");
        self.outstanding = Some((self.next_request, request));
        self.next_request = self.next_request.saturating_add(1);
    }

    /// Whether `id` is that of our request under way.
    pub(crate) fn awaits(&self, id: u32) -> bool {
        self.outstanding.as_ref().is_some_and(|(sent, _)| *sent == id)
    }

    /// The path is another one: our request under way gets its whole patience anew (RFC 4555, 3.11).
    pub(crate) fn restart(&mut self, now: Instant, settings: &EndpointConfig) {
        if let Some((_, request)) = &mut self.outstanding {
            request.restart(now, settings);
        }
    }

    /// The datagrams of our request under way.
    pub(crate) fn outstanding(&self) -> &[Vec<u8>] {
        self.outstanding.as_ref().map_or(&[], |(_, request)| request.datagrams())
    }

    /// Whether our request under way was sent again more than once: a single loss does that seldom.
    pub(crate) fn is_late(&self) -> bool {
        self.outstanding.as_ref().is_some_and(|(_, request)| request.repeats > 1)
    }

    /// The answer to our request came.
    pub(crate) fn answered(&mut self) {
        self.outstanding = None;
    }

    /// When to call [`Self::due`].
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.outstanding.as_ref().map(|(_, request)| request.deadline())
    }

    /// What our request under way wants now, and its datagrams.
    pub(crate) fn due(&mut self, now: Instant, settings: &EndpointConfig) -> (Due, &[Vec<u8>]) {
        match &mut self.outstanding {
            None => (Due::Nothing, &[]),
            Some((_, request)) => (request.due(now, settings), request.datagrams()),
        }
    }

    /// Where a request with this ID stands.
    pub(crate) fn arrival(&self, id: u32) -> Arrival {
        if id == self.expected {
            Arrival::New
        } else if id.checked_add(1) == Some(self.expected) {
            Arrival::Repeat
        } else {
            Arrival::Outside
        }
    }

    /// The peer's request `expected` is answered with these datagrams.
    pub(crate) fn answer(&mut self, datagrams: Vec<Vec<u8>>) {
        self.expected = self.expected.saturating_add(1);
        self.answer = datagrams;
    }

    /// The answer to repeat.
    pub(crate) fn last_answer(&self) -> &[Vec<u8>] {
        &self.answer
    }

    /// The ID of the request that is due from the peer.
    pub(crate) const fn expected(&self) -> u32 {
        self.expected
    }

    /// Whether the message IDs are nearly used up, so that the IKE SA must be replaced (RFC 7296, 2.2).
    pub(crate) const fn is_nearly_exhausted(&self) -> bool {
        self.next_request > u32::MAX / 2 || self.expected > u32::MAX / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_epoch(Duration::from_secs(seconds))
    }

    #[test]
    fn waits_double_and_end() {
        let settings = EndpointConfig { retransmit_tries: 3, ..EndpointConfig::default() };
        let mut request = Retransmission::start(vec![vec![1]], at(0), &settings);
        assert_eq!(request.due(at(0), &settings), Due::Nothing);
        assert_eq!(request.due(at(1), &settings), Due::Resend);
        assert_eq!(request.deadline(), at(3));
        assert_eq!(request.due(at(3), &settings), Due::Resend);
        assert_eq!(request.deadline(), at(7));
        assert_eq!(request.due(at(7), &settings), Due::GiveUp);
    }

    #[test]
    fn a_clock_that_jumps_does_not_give_up_at_once() {
        let settings = EndpointConfig::default();
        let mut request = Retransmission::start(vec![vec![1]], at(0), &settings);
        assert_eq!(request.due(at(100_000), &settings), Due::Resend);
    }

    #[test]
    fn only_the_due_request_is_new_and_only_the_last_is_repeated() {
        let mut window = Window::after_init(false);
        assert_eq!(window.arrival(1), Arrival::New);
        assert_eq!(window.arrival(0), Arrival::Repeat);
        window.answer(vec![vec![7]]);
        assert_eq!(window.arrival(1), Arrival::Repeat);
        assert_eq!(window.last_answer(), [vec![7]]);
        assert_eq!(window.arrival(3), Arrival::Outside);
        assert_eq!(window.arrival(0), Arrival::Outside);
    }
}
