//! Time in an ISAKMP SA: repeats, lives, tasks that waited, liveness. Called by the endpoint's timer.

use super::{Established, Fate, PATIENCE, Task};
use crate::effect::Effect;
use crate::environment::Instant;
use crate::error::{IkeError, Stage};
use crate::event::{ChildId, DownReason};
use crate::sa::Cx;
use crate::v1::dpd::Alive;
use crate::v1::pair::Pair;
use crate::v1::{Phase, quick};

impl Established {
    pub(in crate::v1) fn on_timeout(mut self: Box<Self>, cx: &mut Cx<'_>) -> Phase {
        if self.check_liveness(cx) == Alive::No {
            let error = IkeError::NoAnswer { stage: Stage::Liveness, hint: None };
            self.fate = Some(Fate::Gone(DownReason::PeerDead, Some(error)));
            return self.settle(cx);
        }
        quick::on_timeout(&mut self, cx);
        if self.leaving_at.is_some_and(|at| at <= cx.now) {
            let reason = DownReason::Superseded;
            self.fate.get_or_insert(Fate::Close(reason, None));
        } else if self.expires_at <= cx.now {
            self.fate.get_or_insert(Fate::Close(DownReason::Expired, Some(IkeError::Expired)));
        } else {
            self.run_timers(cx);
        }
        self.settle(cx)
    }

    fn run_timers(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now;
        if self.rekey_at <= now && !self.is_leaving() {
            self.renew(cx);
        }
        let (due, later): (Vec<_>, Vec<_>) = self.later.drain(..).partition(|(at, _)| *at <= now);
        self.later = later;
        for (_, task) in due {
            self.want(task);
        }
        for id in self.due(|pair| pair.activate_at, now) {
            self.activate_waiting(id, cx);
        }
        for id in self.due(|pair| pair.delete_at.map(|(at, _)| at), now) {
            self.delete_replaced(id, cx);
        }
        for id in self.due(|pair| Some(pair.child.expires_at), now) {
            self.expire(id, cx);
        }
        for id in self.due(|pair| Some(pair.child.rekey_at), now) {
            if let Some(pair) = self.pair_mut(id) {
                pair.child.rekey_at = pair.child.expires_at;
            }
            self.want_rekey(id);
        }
    }

    fn due(&self, of: impl Fn(&Pair) -> Option<Instant>, now: Instant) -> Vec<ChildId> {
        let is_due = |pair: &&Pair| of(pair).is_some_and(|at| at <= now);
        self.pairs.iter().filter(is_due).map(|pair| pair.child.id).collect()
    }

    /// Asks for another main mode, which takes over when it is done. If it is not, again in half of the time that is left.
    fn renew(&mut self, cx: &mut Cx<'_>) {
        let left = self.expires_at.saturating_since(cx.now) / 2;
        self.rekey_at = if left < PATIENCE { self.expires_at } else { cx.now + left };
        self.renew_now(cx);
    }

    /// Replaces it. In every mode: the peer is here, and with this SA its pairs would end.
    pub(crate) fn renew_now(&mut self, cx: &mut Cx<'_>) {
        if !self.is_leaving() {
            let (connection, path) = (self.config.id, self.isakmp.path);
            cx.effect(Effect::Renew { connection, ike: cx.ike_id(), path });
        }
    }

    pub(in crate::v1) fn deadline(&self) -> Option<Instant> {
        let of_pair = |pair: &Pair| {
            let deletes = pair.delete_at.map(|(at, _)| at);
            let lives = [Some(pair.child.rekey_at.min(pair.child.expires_at)), pair.activate_at, deletes];
            lives.into_iter().flatten()
        };
        let pairs = self.pairs.iter().flat_map(of_pair);
        let later = self.later.iter().map(|(at, _)| *at);
        let quicks = self.quicks.iter().filter_map(quick::Quick::deadline);
        let rekey = Some(self.rekey_at).filter(|_| !self.is_leaving());
        let own = [rekey, Some(self.expires_at), self.leaving_at, self.liveness_deadline()];
        own.into_iter().flatten().chain(pairs).chain(later).chain(quicks).min()
    }

    /// A policy's pair was asked for while there is one already, or its policy is gone.
    pub(in crate::v1) fn is_pointless(&self, task: &Task) -> bool {
        match task {
            Task::New { policy, .. } => self.has_live(*policy) || *policy >= self.config.children.len(),
            Task::Rekey { child, .. } => !self.pair(*child).is_some_and(Pair::is_up),
        }
    }
}
