//! The Child SAs of an IKE SA: found, expired, sent on, handed over, replaced after a change of the configuration (RFC 7296, 1.3, 2.8).

use std::sync::Arc;
use std::time::Duration;

use super::{Established, LeftOut, Task};
use crate::assigned;
use crate::auth::Authentication;
use crate::child::{Child, Offer, Phase};
use crate::client::{self, Leased};
use crate::config::ConnectionConfig;
use crate::effect::Effect;
use crate::error::IkeError;
use crate::event::{ChildId, DownReason, Event, IkeId, RemoveReason};
use crate::exchange::rekey_ike;
use crate::notice::What;
use crate::resource::Share;
use crate::sa::Cx;
use crate::status::ChildStatus;

/// Wait before a Child SA that the peer deleted or refused is asked for again.
const CHILD_WAIT: Duration = Duration::from_secs(10);

/// What an IKE SA leaves to the winner of a collision.
#[derive(Debug)]
pub(crate) struct Estate {
    pub(crate) children: Vec<Child>,
    pub(crate) lease: Vec<Leased>,
    /// What was still to be done, and is not about that IKE SA.
    pub(crate) tasks: Vec<Task>,
}

impl Established {
    /// A Child SA failed for good: tell, and try again after a while if we are the one who begins.
    pub(crate) fn child_failed(&mut self, policy: usize, error: IkeError, cx: &mut Cx<'_>) {
        let again =
            self.config.mode.initiates() && policy < self.config.children.len() && !self.has_live(policy);
        let retry_at = again.then(|| self.want_later(Task::NewChild { policy }, CHILD_WAIT, cx));
        cx.child_failed(self.config.id, error, retry_at);
    }

    /// We asked for all of a policy: what the peer's answer left out is asked for pair by pair. A peer that wants none of it says so, and that is all.
    pub(crate) fn want_left_out_of_policy(&mut self, policy: usize, cx: &mut Cx<'_>) {
        if let Some(config) = self.config.children.get(policy) {
            self.want_left_out(policy, &Offer::whole(config), cx);
        }
    }

    /// The same where we asked for this.
    pub(crate) fn want_left_out(&mut self, policy: usize, asked: &Offer, cx: &mut Cx<'_>) {
        if self.single_pairs.contains(&policy) {
            return;
        }
        let children = self.children.iter().filter(|child| child.policy == policy);
        for offer in asked.left_out(children) {
            cx.note(What::PairLeftOut);
            self.want(Task::LeftOut(LeftOut::new(policy, offer)));
        }
    }

    /// A Child SA is lost: what it carried is asked for again, as far as no other one carries it. Where the policy has none left, and that one carried all
    /// of it, it is asked for as at first.
    pub(crate) fn want_again(&mut self, policy: usize, carried: Offer, wait: Duration, cx: &mut Cx<'_>) {
        let Some(config) = self.config.children.get(policy).filter(|_| !self.is_leaving()) else { return };
        let whole = Offer::whole(config);
        let has_live = self.has_live(policy);
        for offer in carried.missing(self.children.iter().filter(|child| child.policy == policy)) {
            let task = if offer == whole && !has_live {
                Task::NewChild { policy }
            } else {
                Task::LeftOut(LeftOut::lost(policy, offer))
            };
            if wait.is_zero() {
                self.want(task);
            } else {
                self.want_later(task, wait, cx);
            }
        }
    }

    /// The peer refused a part of a policy. Should nothing of the policy be left, the whole is asked for, and its refusal is told.
    pub(crate) fn left_out_refused(&mut self, left_out: LeftOut, cx: &mut Cx<'_>) {
        if left_out.is_lost && self.has_live(left_out.policy) {
            self.ask_again(left_out, CHILD_WAIT, cx);
        } else {
            self.give_up_left_out(&left_out);
        }
    }

    pub(super) fn give_up_left_out(&mut self, left_out: &LeftOut) {
        if !self.has_live(left_out.policy) {
            self.want(Task::NewChild { policy: left_out.policy });
        }
    }

    /// Whether a Child SA of the policy carries some of what is asked for.
    pub(crate) fn is_carried(&self, policy: usize, offer: &Offer) -> bool {
        self.children.iter().any(|child| child.policy == policy && child.carries_some_of(offer))
    }

    pub(crate) fn want_child_rekey(&mut self, id: ChildId) {
        if self.child(id).is_some_and(Child::is_live) {
            self.want(Task::RekeyChild(id));
        }
    }

    pub(crate) fn expire_child(&mut self, id: ChildId, cx: &mut Cx<'_>) {
        let Some(child) = self.child_mut(id) else { return };
        child.expires_at = cx.now + Duration::from_secs(u64::from(u32::MAX));
        child.rekey_at = child.expires_at;
        if child.phase != Phase::Deleting {
            child.phase = Phase::Deleting;
            let (policy, carried, share) = (child.policy, Offer::same_as(child), child.share);
            self.want(Task::DeleteChild(id, RemoveReason::Expired));
            match share {
                Share::Alone | Share::Fallback => self.want_again(policy, carried, Duration::ZERO, cx),
                Share::Own(_) => self.want(Task::ForResource { policy, offer: carried }),
            }
        }
    }

    pub(crate) fn inbound_activity(&mut self, id: ChildId, cx: &mut Cx<'_>) {
        self.heard_at = cx.now;
        self.send_on(id, cx);
    }

    /// The peer has this Child SA for certain, or has had time enough: no more waiting.
    pub(super) fn send_on(&mut self, id: ChildId, cx: &mut Cx<'_>) {
        if self.child(id).is_some_and(|child| child.is_live() && !child.sends && !child.lost) {
            self.activate(id, cx);
        }
    }

    /// Sends on this Child SA from now on, instead of those for the same traffic. Others of its policy are none of its business.
    pub(crate) fn activate(&mut self, id: ChildId, cx: &mut Cx<'_>) {
        let Some(child) = self.child(id) else { return };
        let is_relieved = |other: &&Child| other.is_like(child) || other.phase == Phase::Replaced(id);
        let relieved: Vec<ChildId> = self.children.iter().filter(is_relieved).map(|other| other.id).collect();
        for child in self.children.iter_mut().filter(|child| relieved.contains(&child.id)) {
            child.sends = child.id == id;
            child.send_at = None;
        }
        cx.event(Event::ActivateOutbound(id));
    }

    /// Sends on one Child SA for each traffic that a policy has any for.
    pub(crate) fn activate_policy(&mut self, policy: usize, cx: &mut Cx<'_>) {
        let is_usable = |child: &&Child| child.policy == policy && child.is_live() && !child.lost;
        let (sending, waiting): (Vec<&Child>, Vec<&Child>) =
            self.children.iter().filter(is_usable).partition(|child| child.sends);
        let mut chosen: Vec<&Child> = Vec::new();
        for child in sending.into_iter().chain(waiting) {
            if !chosen.iter().any(|other| other.is_like(child)) {
                chosen.push(child);
            }
        }
        let chosen: Vec<ChildId> = chosen.iter().map(|child| child.id).collect();
        for id in chosen {
            self.activate(id, cx);
        }
    }

    /// Sends on something for this traffic of a policy and a share of the resources, if there is anything and nothing is sent on.
    pub(crate) fn ensure_sending(
        &mut self,
        policy: usize,
        (traffic, share): (&Offer, Share),
        cx: &mut Cx<'_>,
    ) {
        let mut alike = self.children.iter().filter(|child| {
            child.policy == policy && child.share.number() == share.number() && child.is_for_some_of(traffic)
        });
        if alike.clone().any(|child| child.sends) {
            return;
        }
        if let Some(id) = alike.find(|child| child.is_live() && !child.lost).map(|child| child.id) {
            self.activate(id, cx);
        }
    }

    /// The configuration of this IKE SA's connection, with the addresses that one side has of the other.
    pub(crate) fn narrowed(&self, config: &Arc<ConnectionConfig>) -> Arc<ConnectionConfig> {
        assigned::narrowed(client::narrowed(config, &self.lease), &self.assigned)
    }

    pub(crate) fn reconfigure(&mut self, config: &Arc<ConnectionConfig>, cx: &mut Cx<'_>) {
        let config = &self.narrowed(config);
        let old = std::mem::replace(&mut self.config, Arc::clone(config));
        if let (Authentication::Eap(before), Authentication::Eap(after)) =
            (&old.authentication, &config.authentication)
            && !after.keeps(before, &self.peer, self.login.as_ref(), cx.env.unix_time())
        {
            return self.close(DownReason::DeletedByUs, cx);
        }
        if self.is_redirectable && config.redirect_to.is_some() && old.redirect_to != config.redirect_to {
            self.want(Task::Redirect);
        }
        if self.mobility.is_some() && old.other_addresses != config.other_addresses {
            self.want(Task::TellAddresses);
        }
        let changed = |policy: usize| match (old.children.get(policy), config.children.get(policy)) {
            (Some(before), Some(after)) => !before.same_child(after),
            _ => true,
        };
        let mut deleted = Vec::new();
        for child in self.children.iter_mut().filter(|child| changed(child.policy)) {
            if child.phase != Phase::Deleting {
                child.phase = Phase::Deleting;
                deleted.push(child.id);
            }
        }
        for child in deleted {
            self.want(Task::DeleteChild(child, RemoveReason::DeletedByUs));
        }
        for policy in 0..config.children.len() {
            if config.mode.initiates() && !self.has_live(policy) && !self.is_leaving() {
                self.want(Task::NewChild { policy });
            }
        }
    }

    pub(crate) fn inherit(&mut self, from: IkeId, estate: Estate, cx: &mut Cx<'_>) {
        let Estate { children, lease, tasks } = estate;
        self.lease = lease;
        // The configuration may have changed while the other one had the addresses.
        if let Some(current) = cx.connections.get(&self.config.id) {
            self.config = self.narrowed(&current.config);
        }
        self.undecided = false;
        let ike = cx.ike_id();
        rekey_ike::announce(self, ike, from, cx);
        for child in &children {
            cx.effect(Effect::Owned(child.id, child.inbound, ike));
        }
        for child in children.iter().filter(|child| child.phase == Phase::Deleting) {
            self.want(Task::DeleteChild(child.id, RemoveReason::DeletedByUs));
        }
        self.children.extend(children);
        for policy in 0..self.config.children.len() {
            if self.config.mode.initiates() && !self.has_live(policy) {
                self.want(Task::NewChild { policy });
            }
        }
        tasks.into_iter().for_each(|task| self.want(task));
    }

    /// A Child SA that both sides have deleted.
    pub(crate) fn drop_child(&mut self, id: ChildId, reason: RemoveReason, cx: &mut Cx<'_>) {
        let Some(at) = self.children.iter().position(|child| child.id == id) else { return };
        let child = self.children.remove(at);
        // The peer may have made its successor while it was being deleted: nothing else would ever switch to that one.
        if child.sends {
            self.ensure_sending(child.policy, (&Offer::same_as(&child), child.share), cx);
        }
        child.let_go(reason, cx);
    }

    pub(crate) fn child(&self, id: ChildId) -> Option<&Child> {
        self.children.iter().find(|child| child.id == id)
    }

    pub(crate) fn child_mut(&mut self, id: ChildId) -> Option<&mut Child> {
        self.children.iter_mut().find(|child| child.id == id)
    }

    pub(crate) fn has_live(&self, policy: usize) -> bool {
        self.children.iter().any(|child| child.policy == policy && child.serves_all())
    }

    pub(crate) fn child_status(&self) -> Vec<ChildStatus> {
        self.children.iter().map(|child| child.status(&self.config)).collect()
    }
}
