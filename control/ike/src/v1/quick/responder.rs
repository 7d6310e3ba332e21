//! The responder of quick mode.

use super::{ANSWERED_MAX, Deal, Quick, Step, groups, id};
use crate::child::{CHILDREN_AT_MOST, most_children};
use crate::crypto::kex::PrivateValue;
use crate::crypto::keys::Nonces;
use crate::error::{IkeError, Stage};
use crate::event::{ChildId, OutboundUse, RemoveReason, Spi};
use crate::job::{JobResult, Outcome, Work};
use crate::notice::What;
use crate::sa::{Arrived, Cx};
use crate::secret::Secret;
use crate::selector::TrafficSelector;
use crate::v1::established::Established;
use crate::v1::informational;
use crate::v1::protect::Repeat;
use crate::v1::suite::{EspAnswer, choose_esp};
use crate::v1::wire::{self, ExchangeType, Header, NotifyType, Payload};
use crate::window::{Due, Retransmission};
use crate::wire::{Identification, Role};

/// Our public value and the shared secret are being computed.
#[derive(Debug)]
pub(super) struct Answering {
    policy: usize,
    choice: EspAnswer,
    /// Ours.
    pub(super) spi: Spi,
    nonces: (Vec<u8>, Vec<u8>),
    local: TrafficSelector,
    remote: TrafficSelector,
    /// As they came.
    ids: Vec<Identification>,
    received: Vec<u8>,
}

/// Message 2 is out.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) child: ChildId,
    policy: usize,
    nonces: (Vec<u8>, Vec<u8>),
    first: Repeat,
    pub(super) sending: Retransmission,
}

/// Message 1 of a quick mode that the peer begins.
pub(super) fn on_first(state: &mut Established, arrived: &Arrived<'_>, header: &Header, cx: &mut Cx<'_>) {
    if state.used.contains(&header.id) || state.quicks.len() >= ANSWERED_MAX {
        return cx.note_from(What::DropMessageId, arrived.remote);
    }
    let (message_id, iv) = (header.id.to_be_bytes(), state.isakmp.iv(header.id));
    let opened = state.isakmp.open_authentic(&iv, arrived.bytes, &[&message_id]);
    let Some(opened) = opened.filter(|_| state.is_new_id(header.id)) else {
        return cx.note_from(What::DropUnauthentic, arrived.remote);
    };
    state.heard(arrived, cx);
    let payloads = opened.payloads();
    let answering = match agree(state, payloads, arrived, cx) {
        Ok(answering) => answering,
        Err((error, kind)) => {
            let spi = wire::sa(payloads).and_then(|sa| sa.proposals.first());
            let spi = spi.map_or_else(Vec::new, |proposal| proposal.spi.clone());
            return refuse(state, spi, error, kind, cx);
        }
    };
    match (answering.choice.group, wire::ke(payloads)) {
        (Some(group), Some(public)) => {
            let private = PrivateValue::draw(group, &mut |out| cx.env.random(out));
            let serial = cx.compute(Work::Answer(private, public.clone()));
            let step = Step::Answering(Box::new(answering), serial);
            state.quicks.push(Quick { id: header.id, iv: opened.last_block, step });
        }
        (Some(_), None) => {
            cx.env.release_spi(answering.spi);
            let error = IkeError::Misbehaved { stage: Stage::QuickMode, what: "sent no public value" };
            refuse(state, Vec::new(), error, NotifyType::INVALID_KEY_INFORMATION, cx);
        }
        (None, _) => answer(state, header.id, opened.last_block, answering, None, cx),
    }
}

fn refuse(state: &mut Established, spi: Vec<u8>, error: IkeError, kind: NotifyType, cx: &mut Cx<'_>) {
    cx.note_stage(What::ExchangeFailed, Stage::QuickMode);
    informational::refuse(state, kind, spi, cx);
    // Whoever asked has to ask again: nothing of ours was wanted.
    state.pair_failed(usize::MAX, error, cx);
}

/// What of the peer's offer we take.
fn agree(
    state: &mut Established,
    payloads: &[Payload],
    arrived: &Arrived<'_>,
    cx: &mut Cx<'_>,
) -> Result<Answering, (IkeError, NotifyType)> {
    let stage = Stage::QuickMode;
    let wrong = |what| (IkeError::Misbehaved { stage, what }, NotifyType::PAYLOAD_MALFORMED);
    let sa = wire::sa(payloads).ok_or(wrong("sent no SA payload"))?;
    let nonce = wire::nonce(payloads).ok_or(wrong("sent no nonce"))?;
    let ids: Vec<Identification> = wire::ids(payloads).cloned().collect();
    let (policy, local, remote) = choose_policy(state, &ids)
        .ok_or((IkeError::NoCommonSelectors(stage), NotifyType::INVALID_ID_INFORMATION))?;
    let child = &state.config.children[policy];
    let under_way = state.quicks.iter().filter(|quick| matches!(quick.step, Step::Answering(..))).count();
    let of_policy = state.pairs.iter().filter(|pair| pair.child.policy == policy).count();
    if of_policy + under_way >= most_children(child) || state.pairs.len() + under_way >= CHILDREN_AT_MOST {
        return Err((IkeError::TooManyChildren, NotifyType::NO_PROPOSAL_CHOSEN));
    }
    let choice = choose_esp(&child.esp_suites, groups(child), state.is_in_udp(), sa)
        .ok_or((IkeError::NoProposalChosen(stage), NotifyType::NO_PROPOSAL_CHOSEN))?;
    let spi = cx.esp_spi(state.config.id).map_err(|error| (error, NotifyType::NO_PROPOSAL_CHOSEN))?;
    let nonces = (nonce.clone(), cx.nonce());
    Ok(Answering { policy, choice, spi, nonces, local, remote, ids, received: arrived.bytes.to_vec() })
}

/// The policy that covers what the peer names, and our part and the peer's of it; without names it is the two gateways themselves. IKEv1 narrows nothing.
fn choose_policy(
    state: &Established,
    ids: &[Identification],
) -> Option<(usize, TrafficSelector, TrafficSelector)> {
    let host = |address: std::net::IpAddr| {
        TrafficSelector::from_prefix(address, if address.is_ipv4() { 32 } else { 128 }).ok()
    };
    let path = state.isakmp.path;
    let (remote, local) = match ids {
        [] => (host(path.remote.ip())?, host(path.local.ip())?),
        [theirs, ours, ..] => (id::to_selector(theirs)?, id::to_selector(ours)?),
        [_] => return None,
    };
    let covers = |selectors: &[TrafficSelector], wanted| selectors.iter().any(|ours| ours.covers(wanted));
    let policies = state.config.children.iter().enumerate();
    let fitting = policies.filter(|(_, policy)| {
        covers(&policy.local_selectors, &local) && covers(&policy.remote_selectors, &remote)
    });
    let rank = |(index, policy): &(usize, &crate::config::ChildConfig)| {
        let is_whole = policy.local_selectors.contains(&local) && policy.remote_selectors.contains(&remote);
        (!is_whole, state.has_live(*index))
    };
    fitting.min_by_key(rank).map(|(index, _)| (index, local, remote))
}

pub(super) fn on_answer(
    state: &mut Established,
    id: u32,
    iv: Vec<u8>,
    answering: Answering,
    result: JobResult,
    cx: &mut Cx<'_>,
) {
    match result.outcome {
        Outcome::Answered(Ok((public, shared))) => {
            answer(state, id, iv, answering, Some((public, shared)), cx);
        }
        _ => {
            cx.env.release_spi(answering.spi);
            let error = IkeError::BadPublicKey(Stage::QuickMode);
            refuse(state, Vec::new(), error, NotifyType::INVALID_KEY_INFORMATION, cx);
        }
    }
}

/// Installs the pair, then answers by message 2.
fn answer(
    state: &mut Established,
    message_id: u32,
    mut iv: Vec<u8>,
    answering: Answering,
    key: Option<(Vec<u8>, Secret<Vec<u8>>)>,
    cx: &mut Cx<'_>,
) {
    let Answering { policy, choice, spi, nonces, local, remote, ids, received } = answering;
    if policy >= state.config.children.len() {
        return cx.env.release_spi(spi);
    }
    let alike = state.pairs.iter().filter(|pair| pair.child.is_between(policy, local, remote));
    let replaces = alike.filter(|pair| pair.is_up()).max_by_key(|pair| pair.child.sends);
    let replaces = replaces.map(|pair| pair.child.id);
    let (public, shared) = key.unzip();
    let both = Nonces { initiator: &nonces.0, responder: &nonces.1 };
    let child = state.install(
        &Deal {
            policy,
            role: Role::Responder,
            inbound: spi,
            choice: &choice,
            local,
            remote,
            replaces,
            outbound_use: OutboundUse::Standby,
            shared: shared.as_ref(),
            nonces: both,
        },
        cx,
    );
    let mut sa = choice.answer;
    for proposal in &mut sa.proposals {
        proposal.spi = spi.0.to_be_bytes().to_vec();
    }
    let mut payloads = vec![Payload::SecurityAssociation(sa), Payload::Nonce(nonces.1.clone())];
    payloads.extend(public.map(Payload::KeyExchange));
    payloads.extend(ids.into_iter().map(Payload::Identification));
    let before: [&[u8]; 2] = [&message_id.to_be_bytes(), &nonces.0];
    let second = state.isakmp.seal(ExchangeType::QUICK_MODE, message_id, &mut iv, &before, payloads);
    state.send(second.clone(), cx);
    let answered = Answered {
        child,
        policy,
        nonces,
        first: Repeat::new(&received, second.clone()),
        sending: Retransmission::start(vec![second], cx.now, cx.settings),
    };
    state.quicks.push(Quick { id: message_id, iv, step: Step::Answered(answered) });
}

pub(super) fn on_third(
    state: &mut Established,
    id: u32,
    iv: Vec<u8>,
    answered: Answered,
    arrived: &Arrived<'_>,
    cx: &mut Cx<'_>,
) {
    if answered.first.is_of(arrived.bytes) {
        cx.note(What::AnswerRepeated);
        state.send(answered.first.answer.clone(), cx);
        return state.quicks.push(Quick { id, iv, step: Step::Answered(answered) });
    }
    let before: [&[u8]; 4] = [&[0], &id.to_be_bytes(), &answered.nonces.0, &answered.nonces.1];
    if state.isakmp.open_authentic(&iv, arrived.bytes, &before).is_none() {
        cx.note_from(What::DropUnauthentic, arrived.remote);
        return state.quicks.push(Quick { id, iv, step: Step::Answered(answered) });
    }
    state.heard(arrived, cx);
    state.confirm(answered.child, cx);
    if state.pair(answered.child).is_some_and(crate::v1::pair::Pair::is_live) {
        state.activate(answered.child, cx);
    }
}

/// Sends message 2 again if it is time. When that was often enough, a pair that the peer has not used either is given up.
pub(super) fn on_timeout(
    state: &mut Established,
    mut answered: Answered,
    cx: &mut Cx<'_>,
) -> Option<Answered> {
    let is_used = state.pair(answered.child).is_none_or(|pair| pair.is_confirmed);
    match answered.sending.due(cx.now, cx.settings) {
        Due::Nothing => Some(answered),
        Due::Resend => {
            cx.note_stage(What::Retransmit, Stage::QuickMode);
            for datagram in answered.sending.datagrams() {
                state.send(datagram.clone(), cx);
            }
            Some(answered)
        }
        Due::GiveUp if is_used => None,
        Due::GiveUp => {
            state.delete(answered.child, RemoveReason::Expired, cx);
            let error = IkeError::NoAnswer { stage: Stage::QuickMode, hint: None };
            state.pair_failed(answered.policy, error, cx);
            None
        }
    }
}
