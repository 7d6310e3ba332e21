//! The peer's request for a Child SA, and our answer (RFC 7296, 1.3.1, 1.3.3, 2.8, 2.25.1).

use super::EXCHANGE;
use crate::child::{Agreed, Keying, Offer, Phase, choose_policy, most_children};
use crate::crypto::kex::{Group, PrivateValue};
use crate::crypto::keys::Nonces;
use crate::crypto::suite::choose_esp;
use crate::error::{IkeError, Stage};
use crate::established::{Answering, Established, Pending};
use crate::event::{ChildId, OutboundUse, Role, Spi};
use crate::exchange::auth::selectors;
use crate::exchange::rekey_ike;
use crate::job::{JobResult, Outcome, Work};
use crate::notice::What;
use crate::rekey::lowest;
use crate::sa::Cx;
use crate::secret::Secret;
use crate::wire::{KeyExchangeData, Message, Notify, NotifyType, Payload, PayloadType, Proposal, ProtocolId};

/// The peer's request, while its answer is computed.
#[derive(Debug)]
pub(crate) struct ChildAnswering {
    pub(super) agreed: Agreed,
    pub(crate) spi: Spi,
    proposal: Proposal,
    group: Option<Group>,
    pub(super) nonces: (Vec<u8>, Vec<u8>),
    pub(crate) serial: u64,
    /// Ours won while this one was computed.
    pub(super) lost: bool,
}

/// The peer wants a Child SA, a successor of one, or a successor of the IKE SA.
pub(crate) fn on_request(state: &mut Established, message: &Message, cx: &mut Cx<'_>) {
    if state.answering.is_some() {
        return cx.note(What::DropUnexpected);
    }
    let of_ike = |sa: &Vec<Proposal>| sa.iter().any(|proposal| proposal.protocol == ProtocolId::IKE);
    if message.sa().is_some_and(of_ike) {
        return rekey_ike::on_request(state, message, cx);
    }
    match agree(state, message, cx) {
        Ok(Some((answer, ke))) => match ke {
            Some((group, public)) => {
                let private = PrivateValue::draw(group, &mut |out| cx.env.random(out));
                let serial = cx.compute(Work::Answer(private, public));
                state.answering = Some(Answering::Child(ChildAnswering { serial, ..answer }));
            }
            None => answer_with(state, answer, None, cx),
        },
        Ok(None) => {}
        Err(error) => state.refuse(EXCHANGE, &error, cx),
    }
}

type Wanted = (ChildAnswering, Option<(Group, Vec<u8>)>);

/// What the peer wants, if it may have it; `None` if it was asked for another group.
fn agree(state: &mut Established, message: &Message, cx: &mut Cx<'_>) -> Result<Option<Wanted>, IkeError> {
    if state.is_leaving() || state.following.is_some() || matches!(state.pending, Some(Pending::Ike(_))) {
        return Err(IkeError::Collision);
    }
    let replaces = match message.notify(NotifyType::REKEY_SA) {
        Some(notify) => Some(rekeyed(state, notify)?),
        None => None,
    };
    let stage = if replaces.is_some() { Stage::RekeyChild } else { Stage::NewChild };
    let missing = |payload| IkeError::Missing { stage, payload };
    let sa = message.sa().ok_or(missing(PayloadType::SA))?;
    let nonce = message.nonce().ok_or(missing(PayloadType::NONCE))?.clone();
    let old_policy = replaces.and_then(|id| state.child(id)).map(|child| child.policy);
    let (policy, local, remote) =
        choose_policy(stage, &state.config, old_policy, message, |policy| state.has_live(policy))?;
    let both_ask = matches!(&state.pending, Some(Pending::Child(request))
        if request.replaces.is_none() && request.policy == policy && request.offer.meets(&local, &remote));
    if replaces.is_none() && both_ask {
        return Err(IkeError::Collision);
    }
    let config = &state.config.children[policy];
    if state.children.iter().filter(|child| child.policy == policy).count() >= most_children(config) {
        return Err(IkeError::TooManyChildren);
    }
    let ke = message.ke();
    let choice =
        choose_esp(&config.esp_suites, &config.pfs_groups, config.esn.offered(), sa, ke.map(|ke| ke.group))
            .ok_or(IkeError::NoProposalChosen(stage))?;
    let ke = match (choice.group, ke) {
        (None, _) => None,
        (Some(group), Some(ke)) if ke.group == group.id() => Some((group, ke.public.clone())),
        (Some(group), _) => {
            cx.note(What::GroupDemanded);
            let wanted = Notify::new(NotifyType::INVALID_KE_PAYLOAD, group.id().0.to_be_bytes().to_vec());
            state.secured.answer(EXCHANGE, vec![Payload::Notify(wanted)], cx);
            return Ok(None);
        }
    };
    let spi = cx.esp_spi(state.config.id)?;
    let mut proposal = choice.proposal;
    proposal.spi = spi.0.to_be_bytes().to_vec();
    let outbound_use = if replaces.is_some() { OutboundUse::Standby } else { OutboundUse::Now };
    let agreed = Agreed {
        policy,
        role: Role::Responder,
        inbound: spi,
        outbound: Spi(choice.spi),
        suite: choice.suite,
        esn: choice.esn,
        local,
        remote,
        replaces,
        outbound_use,
    };
    let nonces = (nonce, cx.nonce());
    Ok(Some((
        ChildAnswering { agreed, spi, proposal, group: choice.group, nonces, serial: 0, lost: false },
        ke,
    )))
}

/// The pair that the peer wants to rekey, by the SPI that it receives under (RFC 7296, 2.25.1).
fn rekeyed(state: &Established, notify: &Notify) -> Result<ChildId, IkeError> {
    let spi = notify.child_spi().ok_or(IkeError::ChildNotFound)?;
    match state.children.iter().find(|child| child.outbound == Spi(spi)) {
        Some(child) if child.is_live() => Ok(child.id),
        // It may be the one that the peer just made for us, while we compute its keys.
        None if !matches!(state.pending, Some(Pending::Child(_))) => Err(IkeError::ChildNotFound),
        _ => Err(IkeError::Collision),
    }
}

/// The shared secret for our answer is computed.
pub(crate) fn on_computed_answer(
    state: &mut Established,
    answer: ChildAnswering,
    result: JobResult,
    cx: &mut Cx<'_>,
) {
    match result.outcome {
        Outcome::Answered(Ok((public, shared))) => answer_with(state, answer, Some((public, shared)), cx),
        _ => {
            cx.env.release_spi(answer.spi);
            state.refuse(EXCHANGE, &IkeError::BadPublicKey(Stage::RekeyChild), cx);
        }
    }
}

fn answer_with(
    state: &mut Established,
    answer: ChildAnswering,
    shared: Option<(Vec<u8>, Secret<Vec<u8>>)>,
    cx: &mut Cx<'_>,
) {
    let ChildAnswering { agreed, proposal, group, nonces, lost, .. } = answer;
    let (policy, replaces) = (agreed.policy, agreed.replaces);
    let mut payloads = vec![Payload::SecurityAssociation(vec![proposal]), Payload::Nonce(nonces.1.clone())];
    let secret = shared.map(|(public, secret)| {
        if let Some(group) = group {
            payloads.push(Payload::KeyExchange(KeyExchangeData { group: group.id(), public }));
        }
        secret
    });
    payloads.push(Payload::TsInitiator(selectors(&agreed.remote)));
    payloads.push(Payload::TsResponder(selectors(&agreed.local)));
    let config = std::sync::Arc::clone(&state.config);
    let keying = Keying {
        prf: state.secured.prf(),
        sk_d: state.secured.sk_d(),
        shared: secret.as_ref(),
        nonces: Nonces { initiator: &nonces.0, responder: &nonces.1 },
    };
    let traffic = Offer { local: agreed.local.clone(), remote: agreed.remote.clone() };
    let mut child = agreed.install(&config, state.secured.path, &keying, cx);
    child.lost = lost;
    let id = child.id;
    state.children.push(child);
    if let Some(old) = replaces.and_then(|old| state.child_mut(old))
        && old.is_live()
    {
        old.phase = Phase::Replaced(id);
    }
    if let Some(Pending::Child(ours)) = &mut state.pending
        && replaces.is_some()
        && ours.replaces == replaces
    {
        ours.rival = Some((id, lowest(&nonces.0, &nonces.1)));
    }
    // What it replaces may have ended while this was computed.
    state.ensure_sending(policy, &traffic, cx);
    state.secured.answer(EXCHANGE, payloads, cx);
}
