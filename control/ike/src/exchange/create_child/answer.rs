//! The peer's request for a Child SA, and our answer (RFC 7296, 1.3.1, 1.3.3, 2.8, 2.25.1).

use super::EXCHANGE;
use crate::child::{Agreed, CHILDREN_AT_MOST, Child, Keying, Offer, Phase, choose_policy, most_children};
use crate::crypto::kex::{Group, PrivateValue};
use crate::crypto::keys::Nonces;
use crate::crypto::suite::{Esn, EspSuite, choose_esp};
use crate::error::{IkeError, Stage};
use crate::established::{Answering, Established, Pending};
use crate::event::{ChildId, OutboundUse, Role, Spi};
use crate::exchange::auth::selectors;
use crate::exchange::rekey_ike;
use crate::job::{JobResult, Outcome, Work};
use crate::notice::What;
use crate::rekey::lowest;
use crate::resource::{self, Share};
use crate::sa::Cx;
use crate::secret::Secret;
use crate::selector::TrafficSelector;
use crate::wire::{KeyExchangeData, Message, Notify, NotifyType, Payload, PayloadType, Proposal, ProtocolId};

/// The peer's request, while its answer is computed.
#[derive(Debug)]
pub(crate) struct ChildAnswering {
    pub(crate) agreed: Agreed,
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
    let Terms { policy, local, remote, share, suites, esn } = terms(state, stage, replaces, message)?;
    let config = &state.config.children[policy];
    let ke = message.ke();
    let choice = choose_esp(&suites, &config.pfs_groups, &esn, sa, ke.map(|ke| ke.group))
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
    let spi = cx.esp_spi_for(state.config.id, share)?;
    let mut proposal = choice.proposal;
    proposal.spi = spi.0.to_be_bytes().to_vec();
    // Until our answer is there, the peer receives nothing on it, while there is another one to send on.
    let is_relieving = replaces.is_some() || share.number().is_some();
    let outbound_use = if is_relieving { OutboundUse::Standby } else { OutboundUse::Now };
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
        share,
    };
    let nonces = (nonce, cx.nonce());
    Ok(Some((
        ChildAnswering { agreed, spi, proposal, group: choice.group, nonces, serial: 0, lost: false },
        ke,
    )))
}

/// What there may be.
struct Terms {
    policy: usize,
    local: Vec<TrafficSelector>,
    remote: Vec<TrafficSelector>,
    share: Share,
    suites: Vec<EspSuite>,
    esn: Vec<Esn>,
}

fn terms(
    state: &Established,
    stage: Stage,
    replaces: Option<ChildId>,
    message: &Message,
) -> Result<Terms, IkeError> {
    let old = replaces.and_then(|id| state.child(id));
    if let Some(old) = old.filter(|old| old.share.number().is_some()) {
        return terms_again(state, stage, old, message);
    }
    if let Some(of) = resource::fallback_for(state, message).filter(|_| old.is_none()) {
        let number = resource::free_number(state, of).ok_or(IkeError::TooManyForTraffic)?;
        return Ok(Terms::same_as(of, Share::Own(number)));
    }
    let (policy, local, remote) =
        choose_policy(stage, &state.config, old.map(|old| old.policy), message, |policy| {
            state.has_live(policy)
        })?;
    let both_ask = matches!(&state.pending, Some(Pending::Child(request))
        if request.is_first() && request.policy == policy && request.offer.meets(&local, &remote));
    if old.is_none() && both_ask {
        return Err(IkeError::Collision);
    }
    let config = &state.config.children[policy];
    let share = old.map_or_else(|| Share::agreed(config.resources, message), |old| old.share);
    let is_counted = |child: &&Child| child.policy == policy && child.share.number().is_none();
    if state.children.iter().filter(is_counted).count() >= most_children(config) {
        return Err(IkeError::TooManyChildren);
    }
    let (suites, esn) = (config.esp_suites.clone(), config.esn.offered().to_vec());
    Ok(Terms { policy, local, remote, share, suites, esn })
}

/// What the successor of a Child SA for one resource may be: the same for the same resource (RFC 9611, 3).
fn terms_again(state: &Established, stage: Stage, old: &Child, message: &Message) -> Result<Terms, IkeError> {
    if !resource::is_asked_for(old, message) {
        return Err(IkeError::NoCommonSelectors(stage));
    }
    if resource::count(state, old.policy) >= CHILDREN_AT_MOST {
        return Err(IkeError::TooManyForTraffic);
    }
    Ok(Terms::same_as(old, old.share))
}

impl Terms {
    /// All that another Child SA has, for a share of the resources.
    fn same_as(of: &Child, share: Share) -> Self {
        let ((local, remote), (suite, esn)) = (of.selector_lists(), of.algorithms());
        Self {
            policy: of.policy,
            local: local.to_vec(),
            remote: remote.to_vec(),
            share,
            suites: vec![suite],
            esn: vec![esn],
        }
    }
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
    let traffic = Offer { local: answer.agreed.local.clone(), remote: answer.agreed.remote.clone() };
    // The policy may be gone, be another one or allow less since the peer asked.
    if !state.config.children.get(answer.agreed.policy).is_some_and(|policy| traffic.is_within(policy)) {
        cx.env.release_spi(answer.spi);
        return state.refuse(EXCHANGE, &IkeError::Reconfigured, cx);
    }
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
    payloads.extend(agreed.share.payload());
    let config = std::sync::Arc::clone(&state.config);
    let keying = Keying {
        prf: state.secured.prf(),
        sk_d: state.secured.sk_d(),
        shared: secret.as_ref(),
        nonces: Nonces { initiator: &nonces.0, responder: &nonces.1 },
    };
    let share = agreed.share;
    let mut child = agreed.install(&config, state.secured.path, &keying, cx);
    child.lost = lost;
    let is_beside = replaces.is_none() && share.number().is_some();
    child.send_at = is_beside.then(|| cx.now + resource::ANSWER_WAIT);
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
    if !is_beside {
        // What it replaces may have ended while this was computed.
        state.ensure_sending(policy, (&traffic, share), cx);
    }
    if replaces.is_none() {
        state.want_for_resources(id, Role::Responder, cx);
    }
    state.secured.answer(EXCHANGE, payloads, cx);
}
