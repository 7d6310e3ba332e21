//! A pair of ESP SAs and what IKEv1 needs to know of it besides: which pair it replaces, and which of two that were made at once stays.
//!
//! IKEv1 has no word for a rekey: a new quick mode with the same selectors is one. If both peers make one at once, both know both exchanges' nonces, and keep the
//! pair of the exchange without the lowest of the four, as IKEv2 does (RFC 7296, 2.8.1).

use crate::child::Child;
use crate::environment::Instant;
use crate::event::{ChildId, RemoveReason};
use crate::rekey::Lowest;
use crate::wire::Role;

/// A pair of ESP SAs.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) child: Child,
    /// Who began its quick mode.
    pub(super) role: Role,
    /// The pair that was in use when its quick mode began.
    pub(super) replaces: Option<ChildId>,
    pub(super) lowest: Lowest,
    /// Whether the peer has it: nothing is sent on one of which nobody knows that.
    pub(super) is_confirmed: bool,
    /// When to begin to send on it at the latest.
    pub(super) activate_at: Option<Instant>,
    /// When to delete it, since it was replaced.
    pub(super) delete_at: Option<(Instant, RemoveReason)>,
}

impl Pair {
    /// Whether it is to stay.
    pub(crate) const fn is_live(&self) -> bool {
        self.child.is_live() && self.delete_at.is_none()
    }

    /// Whether of two pairs for the same traffic this one stays: the one that replaces the other; of two that replace the same, the one without the lowest
    /// nonce; else the younger.
    pub(super) fn outlives(&self, other: &Self) -> bool {
        let replaces = |one: &Self, other: &Self| one.replaces == Some(other.child.id);
        match (replaces(self, other), replaces(other, self)) {
            (true, false) => true,
            (false, true) => false,
            _ if self.replaces == other.replaces => self.lowest > other.lowest,
            _ => self.child.id > other.child.id,
        }
    }

    /// Whether it is to stay and the peer has it.
    pub(crate) const fn is_up(&self) -> bool {
        self.is_live() && self.is_confirmed
    }
}
