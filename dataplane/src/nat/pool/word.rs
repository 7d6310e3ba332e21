//! A session in one word of 128 bits.

use std::net::Ipv4Addr;

use super::phase::Phase;
use crate::header::Protocol;

/// An address with a port, or with the identifier of an ICMP echo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) address: Ipv4Addr,
    pub(crate) port: u16,
}

/// Which session. The peer is named by its address in the network, on whichever side it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) protocol: Protocol,
    pub(crate) inside: Endpoint,
    pub(crate) peer: Endpoint,
}

impl Session {
    pub(super) fn identity(self) -> u128 {
        u128::from(self.inside.address.to_bits())
            | u128::from(self.inside.port) << 32
            | u128::from(self.peer.address.to_bits()) << 48
            | u128::from(self.peer.port) << 80
            | u128::from(self.protocol.0) << 96
    }
}

/// Seconds of the workers' clock, as far as a place remembers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seconds(pub(super) u32);

impl Seconds {
    const MASK: u32 = (1 << 21) - 1;

    pub(crate) fn of_us(us: u64) -> Self {
        Self(u32::try_from((us / 1_000_000) & u64::from(Self::MASK)).unwrap_or(0))
    }

    /// How long ago `then` was. Clocks of two workers differ a little: what is in the future was just now.
    fn since(self, then: Self) -> u32 {
        let passed = self.0.wrapping_sub(then.0) & Self::MASK;
        if passed > Self::MASK / 2 { 0 } else { passed }
    }
}

/// What a place says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word(pub(super) u128);

const IDENTITY: u128 = (1 << 104) - 1;
/// How long an answer may take: TCP has tried twice by then (RFC 6298, 2.1 and 5.5).
const ANSWER_S: u32 = 5;

impl Word {
    /// Nobody has ever had the place. One that was given back differs in its bits of time.
    pub(super) const UNTOUCHED: Self = Self(0);
    pub(super) const GIVEN_BACK: Self = Self(1 << 107);

    pub(super) fn new(identity: u128, phase: Phase, used: Seconds) -> Self {
        Self(identity | u128::from(phase.number()) << 104 | u128::from(used.0) << 107)
    }

    pub(super) fn identity(self) -> u128 {
        self.0 & IDENTITY
    }

    fn bits(self, from: u32, count: u32) -> u32 {
        u32::try_from(self.0 >> from & ((1 << count) - 1)).unwrap_or(0) // at most 32 of them
    }

    fn port(self, from: u32) -> u16 {
        u16::try_from(self.bits(from, 16)).unwrap_or(0) // 16 bits
    }

    pub(super) fn protocol(self) -> Protocol {
        let [.., protocol] = self.bits(96, 8).to_be_bytes();
        Protocol(protocol)
    }

    pub(super) fn inside(self) -> Endpoint {
        Endpoint { address: Ipv4Addr::from_bits(self.bits(0, 32)), port: self.port(32) }
    }

    pub(super) fn peer(self) -> Endpoint {
        Endpoint { address: Ipv4Addr::from_bits(self.bits(48, 32)), port: self.port(80) }
    }

    pub(super) fn phase(self) -> Phase {
        Phase::of(self.bits(104, 3))
    }

    /// Whether somebody has the place, at that time.
    pub(super) fn is_taken(self, now: Seconds) -> bool {
        let protocol = self.protocol();
        protocol.0 != 0 && self.silent_s(now) < self.phase().patience_s(protocol)
    }

    /// For how many seconds the session has been silent, if it has to give way to a new one where nothing is free: one host that calls everybody must not keep others from
    /// beginning. A session that lives, or whose answer is under way, never has to.
    pub(super) fn gives_way(self, now: Seconds) -> Option<u32> {
        let silent_s = self.silent_s(now);
        let is_expendable = matches!(self.phase(), Phase::Opening | Phase::Closed);
        (is_expendable && silent_s >= ANSWER_S).then_some(silent_s)
    }

    fn silent_s(self, now: Seconds) -> u32 {
        now.since(Seconds(self.bits(107, 21)))
    }
}
