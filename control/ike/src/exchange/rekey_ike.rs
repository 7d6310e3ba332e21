//! CREATE_CHILD_SA that replaces the IKE SA, in both roles (RFC 7296, 1.3.2, 2.8.2, 2.18, 2.25.2). Child SAs move to the new IKE SA as soon as it is known which one
//! stays: at once without a collision, otherwise when both exchanges are through (`rekey.rs` says who wins).

use std::sync::Arc;
use std::time::Duration;

use crate::crypto::kex::{Group, PrivateValue};
use crate::crypto::keys::Nonces;
use crate::crypto::suite::{IkeChoice, accept_ike, choose_ike, ike_proposals};
use crate::effect::Effect;
use crate::error::{IkeError, Stage};
use crate::established::{Answering, Closing, Established, Fate, Pending, Task};
use crate::event::{DownReason, Event, IkeId, IkeUp, Role};
use crate::exchange::init::spi_pair;
use crate::job::{JobResult, Outcome, Work};
use crate::notice::What;
use crate::rekey::{Lowest, lowest};
use crate::sa::{Cx, IkeSa, State};
use crate::secret::Secret;
use crate::secured::Secured;
use crate::wire::{
    ExchangeType, GroupId, IkeSpi, KeyExchangeData, Message, Notify, NotifyType, Payload, PayloadType,
    Proposal,
};

const EXCHANGE: ExchangeType = ExchangeType::CREATE_CHILD_SA;
/// Wait before a failed rekey is tried again.
const RETRY_WAIT: Duration = Duration::from_secs(10);

/// Our request.
#[derive(Debug)]
pub(crate) struct IkeRequest {
    spi: IkeSpi,
    nonce: Vec<u8>,
    private: Option<PrivateValue>,
    tries: u32,
    pub(crate) serial: Option<u64>,
    /// The peer's answer, while the shared secret is computed.
    answered: Option<(IkeChoice, IkeSpi, Vec<u8>)>,
}

/// The peer's request, while its answer is computed.
#[derive(Debug)]
pub(crate) struct IkeAnswering {
    choice: IkeChoice,
    spis: (IkeSpi, IkeSpi),
    nonces: (Vec<u8>, Vec<u8>),
    pub(crate) serial: u64,
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
        let request = IkeRequest {
            spi: cx.ike_spi(),
            nonce: cx.nonce(),
            private: None,
            tries: 0,
            serial: None,
            answered: None,
        };
        prepare(state, request, state.secured.suite.group, cx);
    }
}

fn prepare(state: &mut Established, mut request: IkeRequest, group: Group, cx: &mut Cx<'_>) {
    let private = PrivateValue::draw(group, &mut |out| cx.env.random(out));
    request.serial = Some(cx.compute(Work::Public(private)));
    state.pending = Some(Pending::Ike(request));
}

/// Our public value, or the secret shared with the peer, is computed.
pub(crate) fn on_computed(
    state: &mut Established,
    mut request: IkeRequest,
    result: JobResult,
    cx: &mut Cx<'_>,
) {
    request.serial = None;
    match result.outcome {
        Outcome::Public(private, public) => {
            if state.is_leaving() {
                return; // the peer's rekey was through first
            }
            let payloads = vec![
                Payload::SecurityAssociation(ike_proposals(&state.config.ike_suites, Some(request.spi))),
                Payload::Nonce(request.nonce.clone()),
                Payload::KeyExchange(KeyExchangeData { group: private.group().id(), public }),
            ];
            request.private = Some(private);
            state.pending = Some(Pending::Ike(request));
            state.secured.request(EXCHANGE, payloads, cx);
        }
        Outcome::Agreed(Ok(shared)) => complete(state, request, &shared, cx),
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
fn reject(state: &mut Established, error: IkeError, cx: &mut Cx<'_>) {
    cx.note_stage(What::ExchangeFailed, Stage::RekeyIke);
    if !yield_to_rival(state, cx) {
        state.fate = Some(Fate::Close(DownReason::Error(error.clone()), Some(error)));
    }
}

fn yield_to_rival(state: &mut Established, cx: &mut Cx<'_>) -> bool {
    let Some(rival) = state.rival.take() else { return false };
    let children = std::mem::take(&mut state.children);
    cx.effect(Effect::Inherit { heir: rival.ike, from: cx.ike_id(), children });
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
    if let Some(notify) = message.error() {
        return on_error(state, request, notify, cx);
    }
    let stage = Stage::RekeyIke;
    let parts = (message.sa(), message.nonce(), message.ke(), request.private.take());
    let (Some(sa), Some(nonce), Some(ke), Some(private)) = parts else {
        return reject(state, IkeError::Misbehaved { stage, what: "answered without SA, KE or nonce" }, cx);
    };
    let choice = accept_ike(&state.config.ike_suites, sa).ok();
    let fits = |choice: &IkeChoice| choice.suite.group == private.group() && ke.group == private.group().id();
    let Some((choice, spi)) = choice.filter(fits).and_then(|choice| Some((choice.clone(), choice.spi?)))
    else {
        let what = "chose IKE algorithms that were not offered";
        return reject(state, IkeError::Misbehaved { stage, what }, cx);
    };
    request.answered = Some((choice, spi, nonce.clone()));
    request.serial = Some(cx.compute(Work::Agree(private, ke.public.clone())));
    state.pending = Some(Pending::Ike(request));
}

fn on_error(state: &mut Established, mut request: IkeRequest, notify: &Notify, cx: &mut Cx<'_>) {
    let id = <[u8; 2]>::try_from(notify.data.as_slice()).map(u16::from_be_bytes).unwrap_or(0);
    let group =
        Group::from_id(GroupId(id)).filter(|group| state.config.ike_suites.iter().any(|s| s.group == *group));
    request.tries += 1;
    match (notify.kind, group) {
        (NotifyType::INVALID_KE_PAYLOAD, Some(group)) if request.tries < 3 && state.rival.is_none() => {
            cx.note(What::GroupChanged);
            prepare(state, request, group, cx);
        }
        (NotifyType::TEMPORARY_FAILURE, _) if state.rival.is_none() => {
            state.try_again(Task::RekeyIke, Stage::RekeyIke, cx);
        }
        _ => give_up(state, cx),
    }
}

fn complete(state: &mut Established, mut request: IkeRequest, shared: &Secret<Vec<u8>>, cx: &mut Cx<'_>) {
    let Some((choice, spi, nonce)) = request.answered.take() else { return };
    let spis = (request.spi, spi);
    let nonces = Nonces { initiator: &request.nonce, responder: &nonce };
    let fresh = successor(state, choice, spis, Role::Initiator, nonces, shared);
    let ours = lowest(&request.nonce, &nonce);
    let id = IkeId(cx.shared.next_id());
    if state.rival.as_ref().is_some_and(|rival| ours < rival.lowest) {
        cx.note(What::Collision);
        yield_to_rival(state, cx);
        let closing = State::Closing(Box::new(Closing::deleting(fresh, None, Vec::new(), cx)));
        adopt(state, id, request.spi, closing, cx);
        return;
    }
    if let Some(rival) = state.rival.take() {
        cx.note(What::Collision);
        cx.effect(Effect::Lost(rival.ike));
    }
    hand_over(state, id, request.spi, fresh, cx);
    state.fate = Some(Fate::Close(DownReason::Rekeyed, None));
}

fn successor(
    state: &Established,
    choice: IkeChoice,
    spis: (IkeSpi, IkeSpi),
    role: Role,
    nonces: Nonces<'_>,
    shared: &Secret<Vec<u8>>,
) -> Secured {
    let keys = state.secured.keys.rekey(choice.suite, shared, nonces, spi_pair(spis));
    Secured::rekeyed(spis, role, keys, state.secured.path, state.secured.fragments)
}

/// The new IKE SA gets everything that the old one had to do and to keep.
fn hand_over(state: &mut Established, id: IkeId, local_spi: IkeSpi, fresh: Secured, cx: &mut Cx<'_>) {
    let mut next = Established::new(fresh, Arc::clone(&state.config), state.peer.clone(), cx);
    next.children = std::mem::take(&mut state.children);
    next.tasks = std::mem::take(&mut state.tasks);
    next.tasks.retain(|task| !matches!(task, Task::RekeyIke | Task::Liveness));
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
        spis: next.secured.spis,
        role: next.secured.role,
        path: next.secured.path,
        suite: next.secured.suite,
        peer: next.peer.clone(),
        replaces: Some(replaces),
    })));
}

fn adopt(state: &Established, id: IkeId, local_spi: IkeSpi, next: State, cx: &mut Cx<'_>) {
    let sa = IkeSa::new(id, local_spi, None, next, cx);
    cx.effect(Effect::Adopt(sa, state.config.id));
}

/// The peer wants a successor of the IKE SA.
pub(crate) fn on_request(state: &mut Established, message: &Message, cx: &mut Cx<'_>) {
    let busy = matches!(state.pending, Some(Pending::Child(_) | Pending::DeleteChild(..)))
        || state.children.iter().any(|child| !child.is_live());
    if busy || state.is_leaving() || state.rival.is_some() {
        return state.refuse(EXCHANGE, &IkeError::Collision, cx);
    }
    let stage = Stage::RekeyIke;
    let missing = |payload| IkeError::Missing { stage, payload };
    let (sa, nonce, ke) = match (message.sa(), message.nonce(), message.ke()) {
        (Some(sa), Some(nonce), Some(ke)) => (sa, nonce, ke),
        (_, None, _) => return state.refuse(EXCHANGE, &missing(PayloadType::NONCE), cx),
        _ => return state.refuse(EXCHANGE, &missing(PayloadType::KE), cx),
    };
    let choice = choose_ike(&state.config.ike_suites, sa, ke.group);
    let Some((choice, spi)) = choice.and_then(|choice| Some((choice.clone(), choice.spi?))) else {
        return state.refuse(EXCHANGE, &IkeError::NoProposalChosen(stage), cx);
    };
    let group = choice.suite.group;
    if group.id() != ke.group {
        cx.note(What::GroupDemanded);
        let wanted = Notify::new(NotifyType::INVALID_KE_PAYLOAD, group.id().0.to_be_bytes().to_vec());
        return state.secured.answer(EXCHANGE, vec![Payload::Notify(wanted)], cx);
    }
    let private = PrivateValue::draw(group, &mut |out| cx.env.random(out));
    let serial = cx.compute(Work::Answer(private, ke.public.clone()));
    let (spis, nonces) = ((spi, cx.ike_spi()), (nonce.clone(), cx.nonce()));
    state.answering = Some(Answering::Ike(IkeAnswering { choice, spis, nonces, serial }));
}

/// The shared secret for our answer is computed.
pub(crate) fn on_computed_answer(
    state: &mut Established,
    answer: IkeAnswering,
    result: JobResult,
    cx: &mut Cx<'_>,
) {
    let Outcome::Answered(Ok((public, shared))) = result.outcome else {
        return state.refuse(EXCHANGE, &IkeError::BadPublicKey(Stage::RekeyIke), cx);
    };
    let IkeAnswering { choice, spis, nonces, .. } = answer;
    let group = choice.suite.group.id();
    let proposal = Proposal { spi: spis.1.to_bytes().to_vec(), ..choice.proposal.clone() };
    let both = Nonces { initiator: &nonces.0, responder: &nonces.1 };
    let fresh = successor(state, choice, spis, Role::Responder, both, &shared);
    let payloads = vec![
        Payload::SecurityAssociation(vec![proposal]),
        Payload::Nonce(nonces.1.clone()),
        Payload::KeyExchange(KeyExchangeData { group, public }),
    ];
    let id = IkeId(cx.shared.next_id());
    // Ours counts once it is sent; before that it is not worth a collision.
    if matches!(&state.pending, Some(Pending::Ike(request)) if request.private.is_some() || request.answered.is_some())
    {
        let mut next = Established::new(fresh, Arc::clone(&state.config), state.peer.clone(), cx);
        next.undecided = true;
        state.rival = Some(Rival { ike: id, lowest: lowest(&nonces.0, &nonces.1) });
        adopt(state, id, spis.1, State::Established(Box::new(next)), cx);
    } else {
        hand_over(state, id, spis.1, fresh, cx);
        state.await_delete(cx);
        state.leaving_for = DownReason::Rekeyed;
    }
    state.secured.answer(EXCHANGE, payloads, cx);
}
