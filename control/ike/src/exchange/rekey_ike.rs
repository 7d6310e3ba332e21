//! CREATE_CHILD_SA that replaces the IKE SA, in both roles (RFC 7296, 1.3.2, 2.8.2, 2.18, 2.25.2). Child SAs move to the new IKE SA as soon as it is known which one
//! stays: at once without a collision, otherwise when both exchanges are through (`rekey.rs` says who wins). Where an additional key exchange is agreed on,
//! `followup.rs` takes over between the answer and the new IKE SA.

use std::sync::Arc;
use std::time::Duration;

use crate::crash::Token;
use crate::crypto::kex::{Group, PrivateValue};
use crate::crypto::keys::Nonces;
use crate::crypto::suite::{IkeChoice, accept_ike_mixed, offer_ike};
use crate::effect::Effect;
use crate::error::{IkeError, Stage};
use crate::established::{Closing, Established, Fate, Pending, Task};
use crate::event::{DownReason, Event, IkeId, IkeUp, Role};
use crate::exchange::followup::{self, Asking};
use crate::exchange::init::spi_pair;
use crate::job::{JobResult, Outcome, Work};
use crate::mobility::Mobility;
use crate::notice::What;
use crate::rekey::{Lowest, lowest};
use crate::sa::{Cx, IkeSa, State};
use crate::secret::Secret;
use crate::secured::Secured;
use crate::wire::{ExchangeType, GroupId, IkeSpi, KeyExchangeData, Message, Notify, NotifyType, Payload};

mod answer;

pub(crate) use answer::{IkeAnswering, on_computed_answer, on_request};

const EXCHANGE: ExchangeType = ExchangeType::CREATE_CHILD_SA;
/// Wait before a failed rekey is tried again.
const RETRY_WAIT: Duration = Duration::from_secs(10);

/// Wait before the peer is called at its first place after it was the first to rekey: long enough that nobody takes the call and the rekey for two peers that began at once.
const RETURN_WAIT: Duration = Duration::from_secs(20);

/// Our request.
#[derive(Debug)]
pub(crate) struct IkeRequest {
    pub(super) spi: IkeSpi,
    pub(super) nonce: Vec<u8>,
    tries: u32,
    pub(super) step: Step,
}

/// How far it is.
#[derive(Debug)]
pub(super) enum Step {
    /// Our value is being computed.
    Preparing(u64),
    /// It is out.
    Sent(PrivateValue),
    /// It is answered; the shared secret is being computed.
    Sharing(u64, Answered),
    /// The secret is there; an additional key exchange follows.
    Following(Answered, Secret<Vec<u8>>, Asking),
}

/// The peer's answer.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) choice: IkeChoice,
    spi: IkeSpi,
    nonce: Vec<u8>,
    /// What the peer knows this exchange by when it is followed up.
    pub(super) link: Vec<u8>,
}

impl IkeRequest {
    /// The job under way.
    pub(crate) const fn serial(&self) -> Option<u64> {
        match &self.step {
            Step::Preparing(serial) | Step::Sharing(serial, _) => Some(*serial),
            Step::Following(_, _, asking) => asking.serial(),
            Step::Sent(_) => None,
        }
    }

    /// Whether the peer has answered, and an additional key exchange is on its way: nothing is made of it before that is done.
    pub(crate) const fn is_followed_up(&self) -> bool {
        match &self.step {
            Step::Sharing(_, answered) => answered.choice.additional.is_some(),
            Step::Following(..) => true,
            Step::Preparing(_) | Step::Sent(_) => false,
        }
    }
}

/// The IKE SA that the peer made of this one, while ours is under way.
#[derive(Debug)]
pub(crate) struct Rival {
    pub(crate) ike: IkeId,
    lowest: Lowest,
}

/// Asks for a successor of the IKE SA.
pub(crate) fn begin(state: &mut Established, cx: &mut Cx<'_>) {
    if !state.is_leaving() {
        let (spi, nonce) = (cx.ike_spi(), cx.nonce());
        prepare(state, (spi, nonce, 0), state.secured.suite.group, cx);
    }
}

/// What was mixed in once can be mixed in again.
fn offered_additional(state: &Established) -> &[Option<Group>] {
    state.config.offered_additional(state.secured.additional.is_some())
}

fn prepare(
    state: &mut Established,
    (spi, nonce, tries): (IkeSpi, Vec<u8>, u32),
    group: Group,
    cx: &mut Cx<'_>,
) {
    let private = PrivateValue::draw(group, &mut |out| cx.env.random(out));
    let step = Step::Preparing(cx.compute(Work::Public(private)));
    state.pending = Some(Pending::Ike(IkeRequest { spi, nonce, tries, step }));
}

/// Our public value, or a secret shared with the peer, is computed.
pub(crate) fn on_computed(
    state: &mut Established,
    mut request: IkeRequest,
    result: JobResult,
    cx: &mut Cx<'_>,
) {
    match (request.step, result.outcome) {
        (Step::Preparing(_), Outcome::Public(private, public)) => {
            if state.is_leaving() {
                return; // the peer's rekey was through first
            }
            let (suites, additional) = (&state.config.ike_suites, offered_additional(state));
            let payloads = vec![
                Payload::SecurityAssociation(offer_ike(suites, additional, Some(request.spi))),
                Payload::Nonce(request.nonce.clone()),
                Payload::KeyExchange(KeyExchangeData { group: private.group().id(), public }),
            ];
            request.step = Step::Sent(private);
            state.pending = Some(Pending::Ike(request));
            state.secured.request(EXCHANGE, payloads, cx);
        }
        (Step::Sharing(_, answered), Outcome::Agreed(Ok(shared))) => match answered.choice.additional {
            None => complete(state, (request.spi, request.nonce), answered, (&shared, None), cx),
            Some(method) => {
                request.step = Step::Following(answered, shared, followup::prepare(method, cx));
                state.pending = Some(Pending::Ike(request));
            }
        },
        (Step::Following(answered, shared, Asking::Preparing(_)), Outcome::Public(private, public)) => {
            followup::send(state, &answered, &private, public, cx);
            request.step = Step::Following(answered, shared, Asking::Sent(private));
            state.pending = Some(Pending::Ike(request));
        }
        (Step::Following(answered, shared, Asking::Sharing(_)), Outcome::Agreed(Ok(more))) => {
            complete(state, (request.spi, request.nonce), answered, (&shared, Some(&more)), cx);
        }
        _ => reject(state, IkeError::BadPublicKey(Stage::RekeyIke), cx),
    }
}

/// Ours came to nothing; if the peer's is there, it is the successor.
fn give_up(state: &mut Established, cx: &mut Cx<'_>) {
    cx.note_stage(What::ExchangeFailed, Stage::RekeyIke);
    if !yield_to_rival(state, cx) {
        state.want_later(Task::RekeyIke, RETRY_WAIT, cx);
    }
}

/// The peer has a successor that we do not take, and with it our Child SAs: only a new beginning brings both sides together again.
pub(super) fn reject(state: &mut Established, error: IkeError, cx: &mut Cx<'_>) {
    cx.note_stage(What::ExchangeFailed, Stage::RekeyIke);
    if !yield_to_rival(state, cx) {
        state.fate = Some(Fate::Close(DownReason::Error(error.clone()), Some(error)));
    }
}

fn yield_to_rival(state: &mut Established, cx: &mut Cx<'_>) -> bool {
    let Some(rival) = state.rival.take() else { return false };
    let estate = state.bequeath();
    cx.effect(Effect::Inherit { heir: rival.ike, from: cx.ike_id(), estate });
    state.await_delete(cx);
    state.leaving_for = DownReason::Rekeyed;
    true
}

/// The peer's answer.
pub(crate) fn on_response(
    state: &mut Established,
    mut request: IkeRequest,
    message: &Message,
    cx: &mut Cx<'_>,
) {
    match request.step {
        Step::Sent(private) => match message.error() {
            Some(notify) => on_error(state, (request.spi, request.nonce, request.tries), notify, cx),
            None => on_answer(state, (request.spi, request.nonce, request.tries), private, message, cx),
        },
        Step::Following(answered, shared, Asking::Sent(private)) => {
            if let Some(asking) = followup::on_response(state, private, message, cx) {
                request.step = Step::Following(answered, shared, asking);
                state.pending = Some(Pending::Ike(request));
            }
        }
        // Nothing of ours is under way then: the window lets no answer through.
        step => {
            request.step = step;
            state.pending = Some(Pending::Ike(request));
        }
    }
}

fn on_answer(
    state: &mut Established,
    (own_spi, own_nonce, tries): (IkeSpi, Vec<u8>, u32),
    private: PrivateValue,
    message: &Message,
    cx: &mut Cx<'_>,
) {
    let stage = Stage::RekeyIke;
    let (Some(sa), Some(nonce), Some(ke)) = (message.sa(), message.nonce(), message.ke()) else {
        return reject(state, IkeError::Misbehaved { stage, what: "answered without SA, KE or nonce" }, cx);
    };
    let choice = accept_ike_mixed(&state.config.ike_suites, offered_additional(state), sa).ok();
    let fits = |choice: &IkeChoice| choice.suite.group == private.group() && ke.group == private.group().id();
    let Some((choice, spi)) = choice.filter(fits).and_then(|choice| Some((choice.clone(), choice.spi?)))
    else {
        let what = "chose IKE algorithms that were not offered";
        return reject(state, IkeError::Misbehaved { stage, what }, cx);
    };
    let link = message.notify(NotifyType::ADDITIONAL_KEY_EXCHANGE).map(|link| link.data.clone());
    if choice.additional.is_some() {
        if followup::yields(state, &own_nonce, nonce, cx) {
            return;
        }
        if link.as_ref().is_none_or(Vec::is_empty) {
            let what = "agreed on an additional key exchange, but gave no link to it";
            return reject(state, IkeError::Misbehaved { stage, what }, cx);
        }
    }
    let serial = cx.compute(Work::Agree(private, ke.public.clone()));
    let answered = Answered { choice, spi, nonce: nonce.clone(), link: link.unwrap_or_default() };
    let step = Step::Sharing(serial, answered);
    state.pending = Some(Pending::Ike(IkeRequest { spi: own_spi, nonce: own_nonce, tries, step }));
}

fn on_error(
    state: &mut Established,
    (spi, nonce, tries): (IkeSpi, Vec<u8>, u32),
    notify: &Notify,
    cx: &mut Cx<'_>,
) {
    let id = <[u8; 2]>::try_from(notify.data.as_slice()).map(u16::from_be_bytes).unwrap_or(0);
    let group =
        Group::from_id(GroupId(id)).filter(|group| state.config.ike_suites.iter().any(|s| s.group == *group));
    let tries = tries + 1;
    match (notify.kind, group) {
        (NotifyType::INVALID_KE_PAYLOAD, Some(group)) if tries < 3 && state.rival.is_none() => {
            cx.note(What::GroupChanged);
            prepare(state, (spi, nonce, tries), group, cx);
        }
        (NotifyType::TEMPORARY_FAILURE | NotifyType::STATE_NOT_FOUND, _) if state.rival.is_none() => {
            state.try_again(Task::RekeyIke, Stage::RekeyIke, cx);
        }
        _ => give_up(state, cx),
    }
}

/// The peer has refused the additional key exchange: it has made nothing.
pub(super) fn on_refusal(state: &mut Established, notify: &Notify, cx: &mut Cx<'_>) {
    match notify.kind {
        NotifyType::TEMPORARY_FAILURE | NotifyType::STATE_NOT_FOUND if state.rival.is_none() => {
            state.try_again(Task::RekeyIke, Stage::RekeyIke, cx);
        }
        _ => give_up(state, cx),
    }
}

/// All secrets are there: the one of the group, and that of the additional key exchange if there is one.
fn complete(
    state: &mut Established,
    (own_spi, own_nonce): (IkeSpi, Vec<u8>),
    answered: Answered,
    secrets: Secrets<'_>,
    cx: &mut Cx<'_>,
) {
    let Answered { choice, spi, nonce, .. } = answered;
    let spis = (own_spi, spi);
    let nonces = Nonces { initiator: &own_nonce, responder: &nonce };
    let fresh = successor(state, &choice, spis, Role::Initiator, nonces, secrets, cx);
    let ours = lowest(&own_nonce, &nonce);
    let id = IkeId(cx.shared.next_id());
    // Whatever the peer began meanwhile is void: it has this one.
    state.following = None;
    if state.rival.as_ref().is_some_and(|rival| ours < rival.lowest) {
        cx.note(What::Collision);
        yield_to_rival(state, cx);
        let closing = State::Closing(Box::new(Closing::deleting(fresh, None, Vec::new(), cx)));
        adopt(state, id, own_spi, closing, cx);
        return;
    }
    if let Some(rival) = state.rival.take() {
        cx.note(What::Collision);
        cx.effect(Effect::Lost(rival.ike));
    }
    let token = state.next_token.take();
    hand_over(state, id, own_spi, fresh, (token, Some(Task::Token)), cx);
    state.fate = Some(Fate::Close(DownReason::Rekeyed, None));
}

/// The secret of the group, and that of the additional key exchange.
pub(super) type Secrets<'a> = (&'a Secret<Vec<u8>>, Option<&'a Secret<Vec<u8>>>);

fn successor(
    state: &Established,
    choice: &IkeChoice,
    spis: (IkeSpi, IkeSpi),
    role: Role,
    nonces: Nonces<'_>,
    (shared, more): Secrets<'_>,
    cx: &mut Cx<'_>,
) -> Secured {
    if more.is_some() {
        cx.note_stage(What::KeysMixed, Stage::RekeyIke);
    }
    let keys = state.secured.keys.rekey(choice.suite, shared, nonces, spi_pair(spis), more);
    let mut secured = Secured::rekeyed(spis, role, keys, state.secured.path, state.secured.fragments);
    secured.additional = choice.additional;
    // By way of the old SK_d.
    secured.ppk = state.secured.ppk;
    secured
}

/// An IKE SA that replaces this one, with what is known of the peer.
fn heir(state: &Established, fresh: Secured, cx: &mut Cx<'_>) -> Established {
    let mut next = Established::new(fresh, Arc::clone(&state.config), state.peer.clone(), cx);
    next.login.clone_from(&state.login);
    next.watch_login(cx);
    (next.proven_epoch, next.tickets_until) = (state.proven_epoch, state.tickets_until);
    next.is_redirectable = state.is_redirectable;
    next.assigned.clone_from(&state.assigned);
    next.mobility = state.mobility.as_ref().map(Mobility::of_heir);
    next
}

/// The new IKE SA gets everything that the old one had to do and to keep; what comes with it is the peer's token for it, and what it has to do first.
fn hand_over(
    state: &mut Established,
    id: IkeId,
    local_spi: IkeSpi,
    fresh: Secured,
    (token, first): (Option<Token>, Option<Task>),
    cx: &mut Cx<'_>,
) {
    let mut next = heir(state, fresh, cx);
    next.children = std::mem::take(&mut state.children);
    next.tasks = std::mem::take(&mut state.tasks);
    next.tasks.retain(|task| !matches!(task, Task::RekeyIke | Task::Liveness | Task::Token));
    if let Some(first) = first {
        next.tasks.push_front(first);
    }
    next.token = token;
    if next.secured.role == Role::Responder && state.is_elsewhere(cx) {
        next.rekey_at = next.rekey_at.min(cx.now + RETURN_WAIT);
    }
    next.lease = std::mem::take(&mut state.lease);
    next.later = std::mem::take(&mut state.later);
    next.later.retain(|(_, task)| *task != Task::RekeyIke);
    next.single_pairs = std::mem::take(&mut state.single_pairs);
    for child in &next.children {
        cx.effect(Effect::Owned(child.id, child.inbound, id));
    }
    announce(&next, id, cx.ike_id(), cx);
    adopt(state, id, local_spi, State::Established(Box::new(next)), cx);
}

/// Tells of an IKE SA that took over from another.
pub(crate) fn announce(next: &Established, id: IkeId, replaces: IkeId, cx: &mut Cx<'_>) {
    cx.note(What::IkeRekeyed);
    cx.event(Event::IkeUp(Box::new(IkeUp {
        connection: next.config.id,
        ike: id,
        version: next.config.version,
        spis: next.secured.spis,
        role: next.secured.role,
        path: next.secured.path,
        suite: next.secured.suite,
        additional: next.secured.additional,
        ppk: next.secured.ppk,
        peer: next.peer.clone(),
        replaces: Some(replaces),
    })));
}

fn adopt(state: &Established, id: IkeId, local_spi: IkeSpi, next: State, cx: &mut Cx<'_>) {
    let sa = IkeSa::new(id, local_spi, None, next, cx);
    cx.effect(Effect::Adopt(sa, state.config.id));
}
