//! How far a session has come, as its packets tell, and how long it is kept without any. TCP's by its flags; what else there is has no phases.

use crate::header::Protocol;

/// Which way a packet goes, and what of it matters: TCP's flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// From the inside, which began; else from the peer.
    pub(crate) from_inside: bool,
    /// TCP's (RFC 9293, 3.1); 0 for other protocols.
    pub(crate) flags: u8,
}

impl Seen {
    pub(crate) const FIN: u8 = 1;
    pub(crate) const SYN: u8 = 2;
    pub(crate) const RST: u8 = 4;
}

/// A phase of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Only the inside has spoken.
    Opening,
    /// Both have.
    Open,
    /// One side is done.
    Half(ClosedBy),
    /// Both are, or one has broken it off.
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClosedBy {
    Inside,
    Peer,
}

/// RFC 5382, REQ-5: at least two hours and four minutes; four minutes before both have spoken and after one has said goodbye.
const TCP_OPEN_S: u32 = 7440;
const TCP_TRANSITORY_S: u32 = 240;
/// RFC 4787, REQ-5: five minutes. One that nobody has answered is kept for less than its two, as most do it: else who asks a prefix through has all ports.
const UDP_OPEN_S: u32 = 300;
const UDP_UNANSWERED_S: u32 = 30;
/// RFC 5508, REQ-1.
const ICMP_S: u32 = 60;

impl Phase {
    /// That of a session that begins with this packet. Without SYN it began before we knew of it.
    pub(super) fn begin(seen: Seen) -> Self {
        if seen.flags & Seen::SYN != 0 { Self::Opening } else { Self::Opening.after(seen) }
    }

    pub(super) fn after(self, seen: Seen) -> Self {
        if seen.flags & Seen::RST != 0 {
            return Self::Closed;
        }
        if seen.flags & Seen::SYN != 0 && seen.from_inside {
            // Again, after the last one is over (RFC 9293, 3.6.1) or one side believes so, or the same once more.
            return if matches!(self, Self::Closed | Self::Half(_)) { Self::Opening } else { self };
        }
        let by = if seen.from_inside { ClosedBy::Inside } else { ClosedBy::Peer };
        match self {
            Self::Closed => Self::Closed,
            Self::Half(other) if seen.flags & Seen::FIN != 0 && other != by => Self::Closed,
            Self::Half(_) => self,
            _ if seen.flags & Seen::FIN != 0 => Self::Half(by),
            Self::Opening if !seen.from_inside => Self::Open,
            Self::Opening | Self::Open => self,
        }
    }

    /// How long a session is kept that says nothing, in seconds.
    pub(super) fn patience_s(self, protocol: Protocol) -> u32 {
        match (protocol, self) {
            (Protocol::TCP, Self::Open) => TCP_OPEN_S,
            (Protocol::TCP, _) => TCP_TRANSITORY_S,
            (Protocol::UDP, Self::Opening) => UDP_UNANSWERED_S,
            (Protocol::UDP, _) => UDP_OPEN_S,
            _ => ICMP_S,
        }
    }

    /// In three bits.
    pub(super) fn number(self) -> u8 {
        match self {
            Self::Opening => 0,
            Self::Open => 1,
            Self::Half(ClosedBy::Inside) => 2,
            Self::Half(ClosedBy::Peer) => 3,
            Self::Closed => 4,
        }
    }

    pub(super) fn of(number: u32) -> Self {
        match number {
            0 => Self::Opening,
            1 => Self::Open,
            2 => Self::Half(ClosedBy::Inside),
            3 => Self::Half(ClosedBy::Peer),
            _ => Self::Closed,
        }
    }
}
