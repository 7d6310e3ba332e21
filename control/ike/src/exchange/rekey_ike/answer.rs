//! The peer's request to replace the IKE SA, and our answer (RFC 7296, 1.3.2, 2.18, 2.25.2; RFC 9370, 2.2.4).

use super::{EXCHANGE, IkeRequest, Rival, Secrets, Step, adopt, hand_over, heir, successor};
use crate::crash;
use crate::crypto::kex::{Group, PrivateValue};
use crate::crypto::keys::Nonces;
use crate::crypto::suite::{IkeChoice, choose_ike_mixed};
use crate::error::{IkeError, Stage};
use crate::established::{Answering, Established, Pending};
use crate::event::{DownReason, IkeId, Role};
use crate::exchange::followup::{self, Following};
use crate::job::{JobResult, Outcome, Work};
use crate::notice::What;
use crate::rekey::lowest;
use crate::sa::{Cx, State};
use crate::secret::Secret;
use crate::wire::{
    ExchangeType, IkeSpi, KeyExchangeData, Message, Notify, NotifyType, Payload, PayloadType, Proposal,
};

/// The peer's request, while its answer is computed.
#[derive(Debug)]
pub(crate) struct IkeAnswering {
    pub(in crate::exchange) choice: IkeChoice,
    pub(in crate::exchange) spis: (IkeSpi, IkeSpi),
    pub(in crate::exchange) nonces: (Vec<u8>, Vec<u8>),
    pub(crate) serial: u64,
    /// The secret of the first exchange, when this is the additional one.
    pub(in crate::exchange) first: Option<Secret<Vec<u8>>>,
}

/// The peer wants a successor of the IKE SA.
pub(crate) fn on_request(state: &mut Established, message: &Message, cx: &mut Cx<'_>) {
    let busy = matches!(state.pending, Some(Pending::Child(_) | Pending::DeleteChild(..)))
        || state.children.iter().any(|child| !child.is_live())
        || followup::is_under_way(state);
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
    let choice = choose_ike_mixed(&state.config.ike_suites, &state.config.additional, sa, ke.group);
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
    // One that the peer did not follow up is given up.
    state.following = None;
    state.answering = Some(Answering::Ike(IkeAnswering { choice, spis, nonces, serial, first: None }));
}

/// The shared secret for our answer is computed.
pub(crate) fn on_computed_answer(
    state: &mut Established,
    answer: IkeAnswering,
    result: JobResult,
    cx: &mut Cx<'_>,
) {
    let exchange = if answer.first.is_some() { ExchangeType::IKE_FOLLOWUP_KE } else { EXCHANGE };
    let Outcome::Answered(Ok((public, shared))) = result.outcome else {
        return state.refuse(exchange, &IkeError::BadPublicKey(Stage::RekeyIke), cx);
    };
    let IkeAnswering { choice, spis, nonces, first, .. } = answer;
    let ke = |group: Group, public| Payload::KeyExchange(KeyExchangeData { group: group.id(), public });
    if let (Some(first), Some(method)) = (&first, choice.additional) {
        commit(state, &choice, spis, &nonces, (first, Some(&shared)), cx);
        let payloads = std::iter::once(ke(method, public)).chain(crash::token_for(cx.settings, spis));
        return state.secured.answer(exchange, payloads.collect(), cx);
    }
    let proposal = Proposal { spi: spis.1.to_bytes().to_vec(), ..choice.proposal.clone() };
    let mut payloads = vec![
        Payload::SecurityAssociation(vec![proposal]),
        Payload::Nonce(nonces.1.clone()),
        ke(choice.suite.group, public),
    ];
    if choice.additional.is_none() {
        commit(state, &choice, spis, &nonces, (&shared, None), cx);
        payloads.extend(crash::token_for(cx.settings, spis));
    } else if followup::is_under_way(state) {
        // Ours was answered while this was computed, and is further.
        return state.refuse(exchange, &IkeError::Collision, cx);
    } else {
        payloads.push(followup::await_it(state, Following::new(choice, spis, nonces, shared, cx)));
    }
    state.secured.answer(exchange, payloads, cx);
}

/// The peer's request is through but for the answer: the new IKE SA takes over, or waits for what comes of ours.
fn commit(
    state: &mut Established,
    choice: &IkeChoice,
    spis: (IkeSpi, IkeSpi),
    nonces: &(Vec<u8>, Vec<u8>),
    secrets: Secrets<'_>,
    cx: &mut Cx<'_>,
) {
    let both = Nonces { initiator: &nonces.0, responder: &nonces.1 };
    let fresh = successor(state, choice, spis, Role::Responder, both, secrets, cx);
    let id = IkeId(cx.shared.next_id());
    // Ours counts once it is sent; before that it is not worth a collision.
    let counts = |request: &IkeRequest| !matches!(request.step, Step::Preparing(_));
    if matches!(&state.pending, Some(Pending::Ike(request)) if counts(request)) {
        let mut next = heir(state, fresh, cx);
        next.undecided = true;
        state.rival = Some(Rival { ike: id, lowest: lowest(&nonces.0, &nonces.1) });
        adopt(state, id, spis.1, State::Established(Box::new(next)), cx);
    } else {
        hand_over(state, id, spis.1, fresh, (None, None), cx);
        state.await_delete(cx);
        state.leaving_for = DownReason::Rekeyed;
    }
}
