//! The initiator of quick mode.

use super::{ACTIVATION_DELAY, Deal, Quick, Step, groups, id, is_about_algorithms, refusal, stage};
use crate::crypto::kex::{Group, PrivateValue};
use crate::crypto::keys::Nonces;
use crate::environment::Instant;
use crate::error::{IkeError, Stage};
use crate::event::{DownReason, OutboundUse, Spi};
use crate::job::{JobResult, Outcome, Work};
use crate::notice::What;
use crate::sa::{Arrived, Cx};
use crate::secret::Secret;
use crate::selector::TrafficSelector;
use crate::v1::established::{Established, Fate, Task};
use crate::v1::protect::Repeat;
use crate::v1::suite::{EspAnswer, accept_esp, offer_esp};
use crate::v1::wire::{self, ExchangeType, Notify, Payload};
use crate::window::{Due, Retransmission};
use crate::wire::Role;

/// What is asked for.
#[derive(Debug)]
pub(super) struct Plan {
    task: Task,
    policy: usize,
    group: Option<Group>,
    /// Ours.
    pub(super) spi: Spi,
    nonce: Vec<u8>,
    local: TrafficSelector,
    remote: TrafficSelector,
    began_at: Instant,
}

/// Message 1 is out.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) plan: Plan,
    private: Option<PrivateValue>,
    pub(super) sending: Retransmission,
}

/// The shared secret is being computed.
#[derive(Debug)]
pub(super) struct Sharing {
    pub(super) plan: Plan,
    answer: Answer,
}

impl Sharing {
    /// The policy, if the peer receives on this SPI.
    pub(super) fn policy_of(&self, spi: Spi) -> Option<usize> {
        (self.answer.choice.spi == spi.0).then_some(self.plan.policy)
    }
}

/// What message 2 brought.
#[derive(Debug)]
struct Answer {
    choice: EspAnswer,
    nonce: Vec<u8>,
    local: TrafficSelector,
    remote: TrafficSelector,
    iv: Vec<u8>,
    received: Vec<u8>,
}

/// Begins one, unless there is nothing to do any more.
pub(in crate::v1) fn begin(state: &mut Established, task: Task, cx: &mut Cx<'_>) {
    if state.is_pointless(&task) {
        return;
    }
    let found = match task {
        Task::New { policy, group } => {
            let child = &state.config.children[policy];
            Some((policy, group, child.local_selectors[0], child.remote_selectors[0]))
        }
        Task::Rekey { child, group } => state.pair(child).map(|pair| {
            let (local, remote) = pair.child.selectors();
            (pair.child.policy, group, local, remote)
        }),
    };
    let Some((policy, group, local, remote)) = found else { return };
    let Some(child) = state.config.children.get(policy) else { return };
    let Some(group) = attempts(groups(child), state.agreed_group).nth(group) else {
        return failed(state, &task, policy, IkeError::NoProposalAccepted(stage(&task)), cx);
    };
    let spi = match cx.esp_spi(state.config.id) {
        Ok(spi) => spi,
        Err(error) => return failed(state, &task, policy, error, cx),
    };
    let plan = Plan { task, policy, group, spi, nonce: cx.nonce(), local, remote, began_at: cx.now };
    let id = state.draw_id(cx);
    let iv = state.isakmp.iv(id);
    match group {
        Some(group) => {
            let private = PrivateValue::draw(group, &mut |out| cx.env.random(out));
            let serial = cx.compute(Work::Public(private));
            state.quicks.push(Quick { id, iv, step: Step::Preparing(plan, serial) });
        }
        None => send(state, id, iv, plan, None, cx),
    }
}

/// The groups of a policy in the order in which they are asked for, one an attempt.
fn attempts(
    groups: &[Option<Group>],
    agreed: Option<Option<Group>>,
) -> impl Iterator<Item = Option<Group>> + '_ {
    let first = agreed.filter(|group| groups.contains(group));
    first.into_iter().chain(groups.iter().copied().filter(move |group| Some(*group) != first))
}

pub(super) fn on_public(
    state: &mut Established,
    id: u32,
    iv: Vec<u8>,
    plan: Plan,
    result: JobResult,
    cx: &mut Cx<'_>,
) {
    match result.outcome {
        Outcome::Public(private, public) => send(state, id, iv, plan, Some((private, public)), cx),
        _ => cx.env.release_spi(plan.spi),
    }
}

fn send(
    state: &mut Established,
    id: u32,
    mut iv: Vec<u8>,
    plan: Plan,
    key: Option<(PrivateValue, Vec<u8>)>,
    cx: &mut Cx<'_>,
) {
    let Some(policy) = state.config.children.get(plan.policy) else {
        return cx.env.release_spi(plan.spi);
    };
    let mut payloads = vec![
        Payload::SecurityAssociation(offer_esp(&state.offer(policy, plan.group, plan.spi))),
        Payload::Nonce(plan.nonce.clone()),
    ];
    let (private, public) = key.unzip();
    payloads.extend(public.map(Payload::KeyExchange));
    payloads.extend([&plan.local, &plan.remote].map(|of| Payload::Identification(id::of_selector(of))));
    let datagram = state.isakmp.seal(ExchangeType::QUICK_MODE, id, &mut iv, &[&id.to_be_bytes()], payloads);
    state.send(datagram.clone(), cx);
    let sending = Retransmission::start(vec![datagram], cx.now, cx.settings);
    state.quicks.push(Quick { id, iv, step: Step::Sent(Sent { plan, private, sending }) });
}

/// Sends message 1 again if it is time; `None` when that was often enough.
pub(super) fn on_timeout(state: &mut Established, mut sent: Sent, cx: &mut Cx<'_>) -> Option<Sent> {
    match sent.sending.due(cx.now, cx.settings) {
        Due::Nothing => Some(sent),
        Due::Resend => {
            cx.note_stage(What::Retransmit, stage(&sent.plan.task));
            for datagram in sent.sending.datagrams() {
                state.send(datagram.clone(), cx);
            }
            Some(sent)
        }
        Due::GiveUp => {
            cx.env.release_spi(sent.plan.spi);
            let error = IkeError::NoAnswer { stage: stage(&sent.plan.task), hint: None };
            let can_be_asked = state.isakmp.abilities.dpd && !state.pairs.is_empty();
            if state.heard_at < sent.plan.began_at && !can_be_asked {
                // Not a word since: the peer does not have the ISAKMP SA any more, or is dead. Where pairs may carry traffic and it can be asked
                // whether it lives, that decides: a peer need not answer what it does not want.
                state.fate = Some(Fate::Gone(DownReason::PeerDead, Some(error)));
            } else {
                failed(state, &sent.plan.task, sent.plan.policy, error, cx);
            }
            None
        }
    }
}

pub(super) fn on_answer(
    state: &mut Established,
    id: u32,
    iv: Vec<u8>,
    sent: Sent,
    arrived: &Arrived<'_>,
    cx: &mut Cx<'_>,
) {
    let before: [&[u8]; 2] = [&id.to_be_bytes(), &sent.plan.nonce];
    let Some(opened) = state.isakmp.open_authentic(&iv, arrived.bytes, &before) else {
        cx.note_from(What::DropUnauthentic, arrived.remote);
        return state.quicks.push(Quick { id, iv, step: Step::Sent(sent) });
    };
    state.heard(arrived, cx);
    let Sent { plan, private, .. } = sent;
    let payloads = opened.payloads();
    let answer = match read(state, &plan, payloads) {
        Ok((choice, nonce, local, remote)) => {
            let (iv, received) = (opened.last_block.clone(), arrived.bytes.to_vec());
            Answer { choice, nonce, local, remote, iv, received }
        }
        Err(error) => {
            cx.env.release_spi(plan.spi);
            return failed(state, &plan.task, plan.policy, error, cx);
        }
    };
    match (private, wire::ke(payloads)) {
        (None, _) => finish(state, id, &plan, answer, None, cx),
        (Some(private), Some(public)) => {
            let serial = cx.compute(Work::Agree(private, public.clone()));
            let step = Step::Sharing(Box::new(Sharing { plan, answer }), serial);
            state.quicks.push(Quick { id, iv: Vec::new(), step });
        }
        (Some(_), None) => {
            cx.env.release_spi(plan.spi);
            let error =
                IkeError::Misbehaved { stage: stage(&plan.task), what: "answered without its public value" };
            failed(state, &plan.task, plan.policy, error, cx);
        }
    }
}

type Found = (EspAnswer, Vec<u8>, TrafficSelector, TrafficSelector);

/// What the peer chose, checked against what we offered.
fn read(state: &Established, plan: &Plan, payloads: &[Payload]) -> Result<Found, IkeError> {
    let stage = stage(&plan.task);
    let wrong = |what| IkeError::Misbehaved { stage, what };
    let policy = state.config.children.get(plan.policy).ok_or(IkeError::Reconfigured)?;
    let offer = state.offer(policy, plan.group, plan.spi);
    let choice = wire::sa(payloads).and_then(|sa| accept_esp(&offer, sa));
    let choice = choice.ok_or(wrong("answered with algorithms that were not offered"))?;
    let nonce = wire::nonce(payloads).ok_or(wrong("answered without its nonce"))?;
    let mut ids = wire::ids(payloads).map(id::to_selector);
    let (local, remote) = match (ids.next(), ids.next()) {
        // Nothing said is nothing changed (RFC 2409, 5.5).
        (None, _) | (_, None) => (plan.local, plan.remote),
        (Some(Some(local)), Some(Some(remote)))
            if plan.local.covers(&local) && plan.remote.covers(&remote) =>
        {
            (local, remote)
        }
        _ => return Err(wrong("answered with selectors that were not offered")),
    };
    Ok((choice, nonce.clone(), local, remote))
}

pub(super) fn on_shared(
    state: &mut Established,
    id: u32,
    sharing: Sharing,
    result: JobResult,
    cx: &mut Cx<'_>,
) {
    let Sharing { plan, answer } = sharing;
    match result.outcome {
        Outcome::Agreed(Ok(shared)) => finish(state, id, &plan, answer, Some(&shared), cx),
        _ => {
            cx.env.release_spi(plan.spi);
            failed(state, &plan.task, plan.policy, IkeError::BadPublicKey(stage(&plan.task)), cx);
        }
    }
}

/// Installs the pair, then tells the peer by message 3.
fn finish(
    state: &mut Established,
    id: u32,
    plan: &Plan,
    answer: Answer,
    shared: Option<&Secret<Vec<u8>>>,
    cx: &mut Cx<'_>,
) {
    let replaces = match plan.task {
        Task::New { .. } => None,
        Task::Rekey { child, .. } => Some(child),
    };
    let nonces = Nonces { initiator: &plan.nonce, responder: &answer.nonce };
    let is_first = !state.is_sending(plan.policy, answer.local, answer.remote);
    let outbound_use = if is_first { OutboundUse::Now } else { OutboundUse::Standby };
    let child = state.install(
        &Deal {
            policy: plan.policy,
            role: Role::Initiator,
            inbound: plan.spi,
            choice: &answer.choice,
            local: answer.local,
            remote: answer.remote,
            replaces,
            outbound_use,
            shared,
            nonces,
        },
        cx,
    );
    let mut iv = answer.iv;
    let before: [&[u8]; 4] = [&[0], &id.to_be_bytes(), nonces.initiator, nonces.responder];
    let third = state.isakmp.seal(ExchangeType::QUICK_MODE, id, &mut iv, &before, Vec::new());
    state.send(third.clone(), cx);
    state.keep_answer(id, Repeat::new(&answer.received, third), cx);
    state.agreed_group = Some(plan.group);
    if let Some(pair) = state.pair_mut(child).filter(|_| outbound_use == OutboundUse::Standby) {
        pair.activate_at = Some(cx.now + ACTIVATION_DELAY);
    }
    state.confirm(child, cx);
}

/// The peer refused: with another group next, or not at all.
pub(in crate::v1) fn on_error(state: &mut Established, notify: &Notify, cx: &mut Cx<'_>) {
    let is_waiting =
        |quick: &Quick| matches!(&quick.step, Step::Sent(sent) if may_be_about(notify, sent.plan.spi));
    let Some(at) = state.quicks.iter().position(is_waiting) else { return };
    let Step::Sent(sent) = state.quicks.remove(at).step else { return };
    cx.env.release_spi(sent.plan.spi);
    let next = match sent.plan.task {
        Task::New { policy, group } => Task::New { policy, group: group + 1 },
        Task::Rekey { child, group } => Task::Rekey { child, group: group + 1 },
    };
    let (Task::New { group, .. } | Task::Rekey { group, .. }) = next;
    let policy = state.config.children.get(sent.plan.policy);
    let has_another = policy.is_some_and(|policy| group < groups(policy).len());
    if has_another && is_about_algorithms(notify) {
        return state.tasks.push_front(next);
    }
    let error = refusal(stage(&sent.plan.task), notify.kind);
    failed(state, &sent.plan.task, sent.plan.policy, error, cx);
}

/// Whether a refusal may be of the quick mode with this SPI of ours: some peers refuse once more what they were sent once more, when the next attempt is under way.
fn may_be_about(notify: &Notify, spi: Spi) -> bool {
    match <[u8; 4]>::try_from(notify.spi.as_slice()).map(u32::from_be_bytes) {
        Ok(named) => named == 0 || named == spi.0,
        Err(_) => true,
    }
}

fn failed(state: &mut Established, task: &Task, policy: usize, error: IkeError, cx: &mut Cx<'_>) {
    let stage: Stage = stage(task);
    cx.note_stage(What::ExchangeFailed, stage);
    if let Task::Rekey { child, .. } = task
        && let Some(pair) = state.pair_mut(*child)
    {
        // Again in half of the time that is left.
        let left = pair.child.expires_at.saturating_since(cx.now) / 2;
        pair.child.rekey_at = cx.now + left;
    }
    state.pair_failed(policy, error, cx);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::wire::NotifyType;
    use crate::wire::ProtocolId;

    #[test]
    fn a_refusal_that_names_an_spi_is_about_that_attempt_alone() {
        let about = |spi: &[u8]| {
            let (protocol, kind) = (ProtocolId::ESP, NotifyType::NO_PROPOSAL_CHOSEN);
            may_be_about(&Notify { protocol, spi: spi.to_vec(), kind, data: Vec::new() }, Spi(0x0102_0304))
        };
        assert!(about(&[1, 2, 3, 4]) && about(&[]) && about(&[0; 4]) && about(&[9; 16]));
        assert!(!about(&[1, 2, 3, 5]));
    }

    #[test]
    fn the_group_that_the_peer_took_last_is_asked_for_first_and_no_other_is_left_out() {
        let groups = [Some(Group::Modp2048), Some(Group::Ecp256), None];
        let order = |agreed| attempts(&groups, agreed).collect::<Vec<_>>();
        assert_eq!(order(None), groups);
        assert_eq!(order(Some(None)), [None, groups[0], groups[1]]);
        assert_eq!(order(Some(groups[1])), [groups[1], groups[0], None]);
        assert_eq!(order(Some(Some(Group::Curve25519))), groups);
    }
}
