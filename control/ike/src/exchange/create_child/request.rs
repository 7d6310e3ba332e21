//! Our request for a Child SA, new or rekeyed, from its first computation to the peer's answer (RFC 7296, 1.3.1, 1.3.3, 2.8).

use std::time::Duration;

use super::EXCHANGE;
use super::begin::is_served;
use crate::child::{Agreed, Child, Keying, Offer, Phase};
use crate::config::ChildConfig;
use crate::crypto::kex::{Group, PrivateValue};
use crate::crypto::keys::Nonces;
use crate::crypto::suite::{Esn, EspChoice, EspSuite, accept_esp, esp_proposals};
use crate::error::{IkeError, Stage};
use crate::established::{Answering, Established, LeftOut, Pending, Task};
use crate::event::{ChildId, OutboundUse, RemoveReason, Role, Spi};
use crate::exchange::auth::selectors;
use crate::job::{JobResult, Outcome, Work};
use crate::notice::What;
use crate::rekey::{Lowest, lowest};
use crate::resource::{self, Share};
use crate::sa::Cx;
use crate::secret::Secret;
use crate::wire::{GroupId, KeyExchangeData, Message, Notify, NotifyType, Payload, PayloadType, ProtocolId};

/// Most groups that a request tries.
const MAX_GROUPS: u32 = 3;
/// Most deletes that are remembered while a request is under way.
const MAX_DELETED: usize = 16;
/// Wait before a pair that could not be replaced is looked at again.
const AGAIN_WAIT: Duration = Duration::from_secs(10);

/// Our request.
#[derive(Debug)]
pub(crate) struct ChildRequest {
    pub(super) policy: usize,
    pub(super) replaces: Option<ChildId>,
    /// It is for a part of the policy that has no Child SA while others have.
    pub(super) left_out: Option<LeftOut>,
    pub(super) offer: Offer,
    /// For which of our resources it is, unless the peer's answer to a first one says otherwise.
    pub(crate) share: Share,
    /// The only ones that are offered, where others are in use for the same traffic.
    pub(super) algorithms: Option<(EspSuite, Esn)>,
    pub(crate) spi: Spi,
    pub(super) nonce: Vec<u8>,
    private: Option<PrivateValue>,
    tries: u32,
    pub(crate) serial: Option<u64>,
    /// The peer's answer, while the shared secret is computed.
    answered: Option<(EspChoice, Message)>,
    /// SPIs of the peer that it deleted while its answer was on its way: one of them may be the new pair's.
    deleted: Vec<Spi>,
    /// The pair that the peer made in place of the same one meanwhile.
    pub(super) rival: Option<(ChildId, Lowest)>,
}

impl ChildRequest {
    /// One without SPI and nonce, which are drawn when it begins.
    pub(super) const fn new(policy: usize, offer: Offer) -> Self {
        Self {
            policy,
            replaces: None,
            left_out: None,
            offer,
            share: Share::Alone,
            algorithms: None,
            spi: Spi(0),
            nonce: Vec::new(),
            private: None,
            tries: 0,
            serial: None,
            answered: None,
            deleted: Vec::new(),
            rival: None,
        }
    }

    pub(crate) const fn stage(&self) -> Stage {
        if self.replaces.is_some() { Stage::RekeyChild } else { Stage::NewChild }
    }

    /// The peer deletes a pair that is not here: perhaps the one that this request asks for, if its answer came late.
    pub(crate) fn note_deleted(&mut self, spi: Spi) {
        if self.deleted.len() < MAX_DELETED {
            self.deleted.push(spi);
        }
    }

    pub(crate) fn task(&self) -> Task {
        let policy = self.policy;
        match (self.replaces, &self.left_out, self.share) {
            (Some(old), ..) => Task::RekeyChild(old),
            (None, _, Share::Own(_)) => Task::ForResource { policy, offer: self.offer.clone() },
            (None, Some(left_out), _) => Task::LeftOut(left_out.clone()),
            (None, None, _) => Task::NewChild { policy },
        }
    }

    /// Whether it is for traffic that has no Child SA.
    pub(super) const fn is_first(&self) -> bool {
        self.replaces.is_none() && self.share.number().is_none()
    }

    /// The algorithms that are offered.
    fn offered(&self, policy: &ChildConfig) -> (Vec<EspSuite>, Vec<Esn>) {
        match self.algorithms {
            Some((suite, esn)) => (vec![suite], vec![esn]),
            None => (policy.esp_suites.clone(), policy.esn.offered().to_vec()),
        }
    }
}

/// Has our public value computed, from which on it is as with the next group that is tried.
pub(super) fn prepare(state: &mut Established, mut request: ChildRequest, group: Group, cx: &mut Cx<'_>) {
    let private = PrivateValue::draw(group, &mut |out| cx.env.random(out));
    request.serial = Some(cx.compute(Work::Public(private)));
    state.pending = Some(Pending::Child(request));
}

pub(super) fn send(
    state: &mut Established,
    request: ChildRequest,
    ke: Option<KeyExchangeData>,
    cx: &mut Cx<'_>,
) {
    let policy = &state.config.children[request.policy];
    let mut payloads = Vec::new();
    if let Some(old) = request.replaces.and_then(|id| state.child(id)) {
        let about = Notify::about_child(NotifyType::REKEY_SA, ProtocolId::ESP, old.inbound.0);
        payloads.push(Payload::Notify(about));
    }
    let (suites, esn) = request.offered(policy);
    let proposals = esp_proposals(&suites, &policy.pfs_groups, &esn, request.spi.0);
    let share =
        if request.is_first() && policy.resources.is_some() { Share::Fallback } else { request.share };
    payloads.push(Payload::SecurityAssociation(proposals));
    payloads.push(Payload::Nonce(request.nonce.clone()));
    payloads.extend(ke.map(Payload::KeyExchange));
    payloads.push(Payload::TsInitiator(selectors(&request.offer.local)));
    payloads.push(Payload::TsResponder(selectors(&request.offer.remote)));
    payloads.extend(share.payload());
    state.pending = Some(Pending::Child(request));
    state.secured.request(EXCHANGE, payloads, cx);
}

/// Our public value, or the secret shared with the peer, is computed.
pub(crate) fn on_computed(
    state: &mut Established,
    mut request: ChildRequest,
    result: JobResult,
    cx: &mut Cx<'_>,
) {
    request.serial = None;
    match result.outcome {
        Outcome::Public(private, public) => {
            // The pair may be gone by now, or its policy; or the peer made one first.
            let stale = match request.replaces {
                Some(id) => state.child(id).is_none_or(|child| !child.is_live()),
                None => is_served(state, &request.task(), cx),
            };
            if stale || request.policy >= state.config.children.len() {
                return cx.env.release_spi(request.spi);
            }
            let ke = KeyExchangeData { group: private.group().id(), public };
            request.private = Some(private);
            send(state, request, Some(ke), cx);
        }
        Outcome::Agreed(Ok(shared)) => {
            if let Some((choice, message)) = request.answered.take() {
                complete(state, request, &choice, &message, Some(&shared), cx);
            }
        }
        Outcome::Agreed(Err(_))
        | Outcome::Answered(_)
        | Outcome::Proven(_)
        | Outcome::Tls(_)
        | Outcome::Relayed(_) => {
            let error = IkeError::BadPublicKey(request.stage());
            reject(state, &request, error, cx);
        }
    }
}

/// The peer refused, or we do.
fn give_up(state: &mut Established, request: &ChildRequest, error: IkeError, cx: &mut Cx<'_>) {
    cx.env.release_spi(request.spi);
    failed(state, request, error, cx);
}

/// The peer's answer made a pair there that we do not take: it is deleted again.
fn reject(state: &mut Established, request: &ChildRequest, error: IkeError, cx: &mut Cx<'_>) {
    state.want(Task::Disown(request.spi));
    failed(state, request, error, cx);
}

fn failed(state: &mut Established, request: &ChildRequest, error: IkeError, cx: &mut Cx<'_>) {
    cx.note_stage(What::ExchangeFailed, request.stage());
    if request.share.number().is_some() && (request.replaces.is_none() || resource::is_full(&error)) {
        return state.no_more_for_resources(request.replaces, cx);
    }
    if let Some(left_out) = &request.left_out {
        return state.left_out_refused(left_out.clone(), cx);
    }
    if request.rival.is_none() {
        if let Some(id) = request.replaces.filter(|id| state.child(*id).is_some()) {
            state.want_later(Task::RekeyChild(id), AGAIN_WAIT, cx);
        }
        state.child_failed(request.policy, error, cx);
    }
}

/// The peer's answer.
pub(crate) fn on_response(
    state: &mut Established,
    mut request: ChildRequest,
    message: &Message,
    cx: &mut Cx<'_>,
) {
    let stage = request.stage();
    if let Some(notify) = message.error().filter(|_| message.sa().is_none()) {
        return on_error(state, request, notify, cx);
    }
    let Some(policy) = state.config.children.get(request.policy) else {
        return state.want(Task::Disown(request.spi));
    };
    let missing = |payload| IkeError::Missing { stage, payload };
    let checked = message.sa().ok_or(missing(PayloadType::SA)).and_then(|sa| {
        let (suites, esn) = request.offered(policy);
        accept_esp(&suites, &policy.pfs_groups, &esn, sa)
            .map_err(|_| IkeError::Misbehaved { stage, what: "chose ESP algorithms that were not offered" })
    });
    let choice = match checked {
        Ok(choice) => choice,
        Err(error) => return reject(state, &request, error, cx),
    };
    match (choice.group, request.private.take(), message.ke()) {
        (None, _, _) => complete(state, request, &choice, message, None, cx),
        (Some(group), Some(private), Some(ke)) if group == private.group() && ke.group == group.id() => {
            request.serial = Some(cx.compute(Work::Agree(private, ke.public.clone())));
            request.answered = Some((choice, message.clone()));
            state.pending = Some(Pending::Child(request));
        }
        _ => reject(state, &request, missing(PayloadType::KE), cx),
    }
}

fn on_error(state: &mut Established, mut request: ChildRequest, notify: &Notify, cx: &mut Cx<'_>) {
    let stage = request.stage();
    match notify.kind {
        NotifyType::INVALID_KE_PAYLOAD => {
            let id = <[u8; 2]>::try_from(notify.data.as_slice()).map(u16::from_be_bytes).unwrap_or(0);
            let ours = state.config.children.get(request.policy).map_or(&[][..], |policy| &policy.pfs_groups);
            let group = ours.iter().copied().flatten().find(|group| group.id() == GroupId(id));
            request.tries += 1;
            match group.filter(|_| request.tries < MAX_GROUPS) {
                Some(group) => {
                    cx.note(What::GroupChanged);
                    prepare(state, request, group, cx);
                }
                None => give_up(state, &request, IkeError::GroupDispute(stage), cx),
            }
        }
        NotifyType::TEMPORARY_FAILURE => {
            cx.env.release_spi(request.spi);
            state.try_again(request.task(), stage, cx);
        }
        NotifyType::CHILD_SA_NOT_FOUND => {
            cx.env.release_spi(request.spi);
            let old = request.replaces.and_then(|id| state.child(id)).filter(|old| old.is_live());
            if let Some((old, carried)) = old.map(|old| (old.id, Offer::same_as(old))) {
                state.drop_child(old, RemoveReason::DeletedByPeer, cx);
                want_again(state, &request, carried, cx);
            }
        }
        NotifyType::SINGLE_PAIR_REQUIRED if state.single_pairs.insert(request.policy) => {
            cx.env.release_spi(request.spi);
            cx.note_stage(What::SinglePair, stage);
            state.want(request.task());
        }
        kind => give_up(state, &request, IkeError::from_peer(stage, kind), cx),
    }
}

/// Both sides have the new pair: install it, and see who is redundant.
fn complete(
    state: &mut Established,
    request: ChildRequest,
    choice: &EspChoice,
    message: &Message,
    shared: Option<&Secret<Vec<u8>>>,
    cx: &mut Cx<'_>,
) {
    let stage = request.stage();
    let config = std::sync::Arc::clone(&state.config);
    // The policy may be gone, be another one or allow less since we asked.
    if !config.children.get(request.policy).is_some_and(|policy| request.offer.is_within(policy)) {
        return state.want(Task::Disown(request.spi));
    }
    let agreed = Agreed::from_answer(stage, choice, request.spi, request.policy, &request.offer, message);
    let nonce = message.nonce().ok_or(IkeError::Missing { stage, payload: PayloadType::NONCE });
    let (mut agreed, nonce) = match agreed.and_then(|agreed| Ok((agreed, nonce?))) {
        Ok(found) => found,
        Err(error) => return reject(state, &request, error, cx),
    };
    // Its worker seals all of the tunnel's traffic with it (RFC 9611, 3: the same selectors).
    if request.share.number().is_some() && !request.offer.is_same(&agreed.local, &agreed.remote) {
        let what = "narrowed the traffic selectors of a Child SA for one resource";
        return reject(state, &request, IkeError::Misbehaved { stage, what }, cx);
    }
    if request.deleted.contains(&agreed.outbound) {
        return already_deleted(state, &request, cx);
    }
    let ours = lowest(&request.nonce, nonce);
    let rival =
        request.rival.clone().map(|(_, theirs)| theirs).or_else(|| rival_being_answered(state, &request));
    let lost = rival.is_some_and(|theirs| ours < theirs);
    agreed.replaces = request.replaces;
    agreed.share = request.share;
    if request.is_first() {
        agreed.share = Share::agreed(config.children[request.policy].resources, message);
    }
    agreed.outbound_use = if lost { OutboundUse::Standby } else { OutboundUse::Now };
    let nonces = Nonces { initiator: &request.nonce, responder: nonce };
    let keying = Keying { prf: state.secured.prf(), sk_d: state.secured.sk_d(), shared, nonces };
    let mut child = agreed.install(&config, state.secured.path, &keying, cx);
    let id = child.id;
    if lost {
        cx.note_child(What::Collision, id);
        child.lost = true;
        child.phase = Phase::Deleting;
        state.children.push(child);
        state.want(Task::DeleteChild(id, RemoveReason::LostCollision));
        return;
    }
    state.children.push(child);
    if let Some(Answering::Child(answer)) = &mut state.answering
        && request.replaces.is_some()
        && answer.agreed.replaces == request.replaces
    {
        answer.lost = true;
    }
    if let Some(other) = request.rival.as_ref().and_then(|(other, _)| state.child_mut(*other)) {
        other.lost = true;
        cx.note_child(What::Collision, id);
    }
    delete_replaced(state, &request);
    if request.is_first() {
        state.want_for_resources(id, Role::Initiator, cx);
    }
    if request.share.number().is_some() {
        if let task @ Task::ForResource { .. } = request.task() {
            state.want(task);
        }
        return;
    }
    let is_other = |child: &Child| child.policy == request.policy && child.serves_all() && child.id != id;
    if request.replaces.is_none() && !state.children.iter().any(is_other) {
        // What was lost last may have been a part of what the peer allows by now.
        state.want_left_out_of_policy(request.policy, cx);
    } else {
        state.want_left_out(request.policy, &request.offer, cx);
    }
}

fn delete_replaced(state: &mut Established, request: &ChildRequest) {
    if let Some(old) = request.replaces.and_then(|old| state.child_mut(old)) {
        old.phase = Phase::Deleting;
        old.sends = false;
        let old = old.id;
        state.want(Task::DeleteChild(old, RemoveReason::Replaced));
    }
}

/// The peer made the pair and deleted it again before its answer came through. What it replaced is nothing to the peer any more.
fn already_deleted(state: &mut Established, request: &ChildRequest, cx: &mut Cx<'_>) {
    cx.env.release_spi(request.spi);
    delete_replaced(state, request);
    want_again(state, request, request.offer.clone(), cx);
}

/// What a Child SA for all carried is asked for again; what the peer deletes of those for a resource is not.
fn want_again(state: &mut Established, request: &ChildRequest, carried: Offer, cx: &mut Cx<'_>) {
    if request.share.number().is_none() {
        state.want_again(request.policy, carried, Duration::ZERO, cx);
    }
}

/// The peer's request to rekey the same pair may still be computed here; its nonces are known.
fn rival_being_answered(state: &Established, request: &ChildRequest) -> Option<Lowest> {
    match &state.answering {
        Some(Answering::Child(answer))
            if request.replaces.is_some() && answer.agreed.replaces == request.replaces =>
        {
            Some(lowest(&answer.nonces.0, &answer.nonces.1))
        }
        _ => None,
    }
}
