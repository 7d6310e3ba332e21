//! The pairs of an ISAKMP SA: made, used, replaced, handed over (RFC 2409, 5.5).

use std::sync::Arc;
use std::time::Duration;

use super::{Established, PATIENCE, Task};
use crate::child::Child;
use crate::config::ConnectionConfig;
use crate::connection::jittered;
use crate::effect::Effect;
use crate::error::IkeError;
use crate::event::{ChildId, Event, IkeId, RemoveReason, Spi};
use crate::notice::What;
use crate::sa::Cx;
use crate::selector::TrafficSelector;
use crate::status::ChildStatus;
use crate::v1::pair::Pair;
use crate::v1::{informational, quick};
use crate::wire::Role;

/// Wait before a pair that the peer deleted, refused or has not asked for is asked for.
const PAIR_WAIT: Duration = Duration::from_secs(10);

impl Established {
    /// Just established, with the pairs that it took over: whoever began asks for the others.
    pub(crate) fn want_missing_of_new(&mut self, _cx: &mut Cx<'_>) {
        if self.isakmp.role == Role::Initiator {
            self.want_missing();
        }
    }

    /// Asks for a pair for every policy that has none.
    pub(in crate::v1) fn want_missing(&mut self) {
        for policy in 0..self.config.children.len() {
            if self.config.mode.initiates() && !self.has_live(policy) && !self.is_leaving() {
                self.want(Task::New { policy, group: 0 });
            }
        }
    }

    /// The same, once the peer had time to ask: it began.
    pub(in crate::v1) fn want_missing_later(&mut self, cx: &mut Cx<'_>) {
        for policy in 0..self.config.children.len() {
            if self.config.mode.initiates() {
                self.want_later(policy, cx);
            }
        }
    }

    pub(super) fn want_later(&mut self, policy: usize, cx: &mut Cx<'_>) -> crate::Instant {
        self.want_after(PAIR_WAIT, policy, cx)
    }

    fn want_after(&mut self, wait: Duration, policy: usize, cx: &mut Cx<'_>) -> crate::Instant {
        let at = cx.now + jittered(wait, cx.env);
        let task = Task::New { policy, group: 0 };
        self.later.retain(|(_, other)| *other != task);
        self.later.push((at, task));
        at
    }

    /// The last pair of a policy ended here. Nothing answers a deletion (RFC 2408, 3.15), so the peer may believe that there is one: who only answers leaves the next one
    /// to it for a while, and then asks for it all the same.
    fn want_again(&mut self, policy: usize, cx: &mut Cx<'_>) {
        if self.has_live(policy) || self.is_leaving() {
            return;
        }
        if self.config.mode.initiates() {
            self.want(Task::New { policy, group: 0 });
        } else {
            self.want_after(PATIENCE, policy, cx);
        }
    }

    /// A pair could not be made: tell, and try again after a while if we are one who begins.
    pub(in crate::v1) fn pair_failed(&mut self, policy: usize, error: IkeError, cx: &mut Cx<'_>) {
        let is_policy = policy < self.config.children.len();
        let again = self.config.mode.initiates() && is_policy && !self.has_live(policy) && !self.is_leaving();
        let retry_at = again.then(|| self.want_later(policy, cx));
        cx.child_failed(self.config.id, error, retry_at);
    }

    /// Files a pair that was just installed.
    pub(in crate::v1) fn add(&mut self, pair: Pair) {
        self.pairs.push(pair);
    }

    /// The peer has a pair, too: of several alike one stays.
    pub(in crate::v1) fn confirm(&mut self, id: ChildId, cx: &mut Cx<'_>) {
        let Some(pair) = self.pair_mut(id).filter(|pair| !pair.is_confirmed) else { return };
        pair.is_confirmed = true;
        self.settle_alike(id, cx);
    }

    /// Of confirmed pairs for the same traffic one stays; the others go after a while.
    fn settle_alike(&mut self, id: ChildId, cx: &mut Cx<'_>) {
        let Some(at) = self.pairs.iter().position(|pair| pair.child.id == id) else { return };
        let mut pair = self.pairs.remove(at);
        for other in self.pairs.iter_mut().filter(|other| other.is_up()) {
            if !pair.is_up() || !other.child.is_like(&pair.child) {
                continue;
            }
            let is_younger = pair.outlives(other);
            let (old, new) = if is_younger { (other, &mut pair) } else { (&mut pair, other) };
            let is_collision = old.replaces == new.replaces;
            let reason = if is_collision { RemoveReason::LostCollision } else { RemoveReason::Replaced };
            // Who made the new one deletes the old one; the other side does if that does not happen. Not both at the same moment, whatever each holds for new.
            let wait = match new.role {
                Role::Initiator => cx.settings.linger,
                Role::Responder => PATIENCE,
            };
            let at = cx.now + wait + wait.mul_f64(f64::from(cx.random_u32()) / f64::from(u32::MAX) / 4.0);
            old.delete_at = Some((at, reason));
        }
        self.pairs.push(pair);
    }

    /// The wait of a pair that was replaced is over: it goes, unless it is the last by now.
    pub(super) fn delete_replaced(&mut self, id: ChildId, cx: &mut Cx<'_>) {
        let Some(pair) = self.pair_mut(id) else { return };
        let Some((_, reason)) = pair.delete_at.take() else { return };
        let policy = pair.child.policy;
        let is_other = |other: &&Pair| other.child.id != id && other.is_up() && other.child.policy == policy;
        if self.pairs.iter().any(|other| is_other(&other)) {
            self.delete(id, reason, cx);
        }
    }

    /// Sends on this pair from now on.
    pub(in crate::v1) fn activate(&mut self, id: ChildId, cx: &mut Cx<'_>) {
        let Some(pair) = self.pair(id).filter(|pair| !pair.child.sends) else { return };
        let policy = pair.child.policy;
        let like: Vec<ChildId> = {
            let alike = self.pairs.iter().filter(|other| other.child.is_like(&pair.child));
            alike.map(|other| other.child.id).collect()
        };
        for pair in self.pairs.iter_mut().filter(|pair| pair.child.policy == policy) {
            if pair.child.id == id {
                pair.activate_at = None;
                pair.child.sends = true;
            } else if like.contains(&pair.child.id) {
                pair.child.sends = false;
            }
        }
        cx.event(Event::ActivateOutbound(id));
    }

    /// Sends on something of a policy, if there is anything and nothing is sent on.
    fn ensure_sending(&mut self, gone: &Child, cx: &mut Cx<'_>) {
        let alike = || self.pairs.iter().filter(|pair| pair.child.is_like(gone));
        if alike().any(|pair| pair.child.sends) {
            return;
        }
        let best =
            alike().filter(|pair| pair.is_confirmed).max_by_key(|pair| (pair.is_live(), pair.child.id));
        if let Some(id) = best.map(|pair| pair.child.id) {
            self.activate(id, cx);
        }
    }

    /// A packet came in on this pair: the peer uses it, so may we.
    pub(crate) fn inbound_activity(&mut self, id: ChildId, cx: &mut Cx<'_>) {
        self.heard_at = cx.now;
        self.confirm(id, cx);
        let is_waiting = |pair: &Pair| pair.is_live() && !pair.child.sends;
        if self.pair(id).is_some_and(is_waiting) {
            self.activate(id, cx);
        }
    }

    pub(crate) fn want_rekey(&mut self, id: ChildId) {
        if self.pair(id).is_some_and(Pair::is_up) {
            self.want(Task::Rekey { child: id, group: 0 });
        }
    }

    /// It reached its end: the peer is told, and it goes at once.
    pub(crate) fn expire(&mut self, id: ChildId, cx: &mut Cx<'_>) {
        let Some(policy) = self.pair(id).map(|pair| pair.child.policy) else { return };
        self.delete(id, RemoveReason::Expired, cx);
        self.want_again(policy, cx);
    }

    /// Deletes a pair on both sides.
    pub(in crate::v1) fn delete(&mut self, id: ChildId, reason: RemoveReason, cx: &mut Cx<'_>) {
        if let Some(spi) = self.pair(id).map(|pair| pair.child.inbound) {
            self.used.extend(informational::delete_esp(&self.isakmp, &[spi], cx));
            self.drop_pair(id, reason, cx);
        }
    }

    /// The peer sends under an SPI that is not here: it did not hear that the pair is gone.
    pub(crate) fn deny(&mut self, spi: Spi, cx: &mut Cx<'_>) {
        if self.pairs.iter().all(|pair| pair.child.inbound != spi) {
            cx.note(What::UnknownSpiDenied);
            self.used.extend(informational::delete_esp(&self.isakmp, &[spi], cx));
        }
    }

    /// The peer no longer receives on its SPI `spi`.
    pub(in crate::v1) fn deleted_by_peer(&mut self, spi: Spi, cx: &mut Cx<'_>) {
        let pair = self.pairs.iter().find(|pair| pair.child.outbound == spi);
        let policy = match pair.map(|pair| (pair.child.id, pair.child.policy)) {
            Some((id, policy)) => {
                self.drop_pair(id, RemoveReason::DeletedByPeer, cx);
                policy
            }
            None => match quick::deleted_by_peer(self, spi, cx) {
                Some(policy) => policy,
                None => return,
            },
        };
        if self.config.mode.initiates() && !self.has_live(policy) && !self.is_leaving() {
            self.want_later(policy, cx);
        }
    }

    pub(in crate::v1) fn drop_pair(&mut self, id: ChildId, reason: RemoveReason, cx: &mut Cx<'_>) {
        let Some(at) = self.pairs.iter().position(|pair| pair.child.id == id) else { return };
        let pair = self.pairs.remove(at);
        // Our answer, repeated, would have the peer make what is gone.
        self.quicks.retain(|quick| !quick.has_answered(id));
        if pair.child.sends {
            self.ensure_sending(&pair.child, cx);
        }
        pair.child.let_go(reason, cx);
    }

    pub(crate) fn activate_policy(&mut self, policy: usize, cx: &mut Cx<'_>) {
        let of_policy = |pair: &&Pair| pair.child.policy == policy && pair.is_up();
        let live: Vec<&Pair> = self.pairs.iter().filter(of_policy).collect();
        if let Some(id) = live.iter().find(|pair| pair.child.sends).or(live.last()).map(|pair| pair.child.id)
        {
            match self.pair(id).is_some_and(|pair| pair.child.sends) {
                // The data plane may have been told otherwise by an SA that is gone.
                true => cx.event(Event::ActivateOutbound(id)),
                false => self.activate(id, cx),
            }
        }
    }

    pub(crate) fn reconfigure(&mut self, config: &Arc<ConnectionConfig>, cx: &mut Cx<'_>) {
        let old = std::mem::replace(&mut self.config, Arc::clone(config));
        let changed = |policy: usize| match (old.children.get(policy), config.children.get(policy)) {
            (Some(before), Some(after)) => !before.same_child(after),
            _ => true,
        };
        if old.children.len() != config.children.len() || (0..old.children.len()).any(changed) {
            // What is being negotiated may be of a policy that has another number now.
            self.abandon_exchanges(cx);
        }
        let of_old = self.pairs.iter().filter(|pair| changed(pair.child.policy)).map(|pair| pair.child.id);
        for id in of_old.collect::<Vec<_>>() {
            self.delete(id, RemoveReason::DeletedByUs, cx);
        }
        self.tasks.clear();
        self.later.clear();
        self.want_missing();
    }

    /// Gives all pairs away to the ISAKMP SA that takes over.
    pub(crate) fn give_pairs(&mut self, heir: IkeId) -> Vec<Pair> {
        self.heir = Some(heir);
        let is_ready = |pair: &Pair| pair.is_confirmed;
        let (ready, waiting) = std::mem::take(&mut self.pairs).into_iter().partition(is_ready);
        self.pairs = waiting;
        ready
    }

    /// Those whose exchange was still under way when the others were given away.
    pub(super) fn give_late_pairs(&mut self, cx: &mut Cx<'_>) {
        let Some(heir) = self.heir else { return };
        let pairs = self.give_pairs(heir);
        if !pairs.is_empty() {
            cx.effect(Effect::GivePairs { heir, pairs });
        }
    }

    /// Takes pairs over.
    pub(crate) fn take_pairs(&mut self, pairs: Vec<Pair>, cx: &mut Cx<'_>) {
        let ike = cx.ike_id();
        for pair in pairs {
            cx.effect(Effect::Owned(pair.child.id, pair.child.inbound, ike));
            let id = pair.child.id;
            self.pairs.push(pair);
            self.settle_alike(id, cx);
            self.settle_sending(id, cx);
        }
    }

    /// Both ISAKMP SAs may have sent on a pair of theirs for the same traffic: from now on one is sent on.
    fn settle_sending(&mut self, id: ChildId, cx: &mut Cx<'_>) {
        let Some(at) = self.pairs.iter().position(|pair| pair.child.id == id) else { return };
        let taken = self.pairs.remove(at);
        let mut alike: Vec<&mut Pair> =
            self.pairs.iter_mut().filter(|pair| pair.child.is_like(&taken.child)).collect();
        let is_contested = taken.child.sends && alike.iter().any(|pair| pair.child.sends);
        if is_contested {
            alike.iter_mut().for_each(|pair| pair.child.sends = false);
        }
        self.pairs.push(taken);
        if is_contested && let Some(taken) = self.pairs.last_mut() {
            taken.child.sends = false;
            let best = self
                .pairs
                .iter()
                .filter(|pair| pair.is_up() && pair.child.is_like(&self.pairs[self.pairs.len() - 1].child));
            let best = best.max_by_key(|pair| pair.child.id).map(|pair| pair.child.id);
            self.activate(best.unwrap_or(id), cx);
        }
    }

    /// The wait before sending on a pair is over, if it is still to be sent on.
    pub(super) fn activate_waiting(&mut self, id: ChildId, cx: &mut Cx<'_>) {
        if let Some(pair) = self.pair_mut(id) {
            pair.activate_at = None;
            if pair.is_up() {
                self.activate(id, cx);
            }
        }
    }

    /// Whether a pair for this traffic is sent on.
    pub(in crate::v1) fn is_sending(
        &self,
        policy: usize,
        local: TrafficSelector,
        remote: TrafficSelector,
    ) -> bool {
        self.pairs.iter().any(|pair| pair.child.sends && pair.child.is_between(policy, local, remote))
    }

    pub(in crate::v1) fn pair(&self, id: ChildId) -> Option<&Pair> {
        self.pairs.iter().find(|pair| pair.child.id == id)
    }

    pub(in crate::v1) fn pair_mut(&mut self, id: ChildId) -> Option<&mut Pair> {
        self.pairs.iter_mut().find(|pair| pair.child.id == id)
    }

    pub(crate) fn has_live(&self, policy: usize) -> bool {
        self.pairs.iter().any(|pair| pair.child.policy == policy && pair.is_live())
    }

    pub(crate) fn pair_status(&self) -> Vec<ChildStatus> {
        let known = self.pairs.iter().filter(|pair| pair.is_confirmed);
        known.map(|pair| pair.child.status(&self.config)).collect()
    }
}
