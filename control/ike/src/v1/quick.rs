//! Quick mode (RFC 2409, 5.5): a pair of ESP SAs in three messages, each with a hash under the keys of phase 1. One pair of selectors at a time (RFC 2407, 4.6.2).
//!
//! No packet is lost on the way: the responder receives on the new pair before its answer leaves, and sends on it once the initiator has said that it can receive, or is
//! heard on it. The initiator sends at once where there was nothing before; where there was, after a moment, for some responders receive on the new pair only from
//! the third message on.

use std::time::Duration;

use super::established::{Established, Task};
use super::pair::Pair;
use super::suite::{EspAnswer, EspOffer};
use super::wire::{Header, Notify, NotifyType};
use crate::child::Agreed;
use crate::config::ChildConfig;
use crate::crypto::kex::Group;
use crate::crypto::keys::Nonces;
use crate::crypto::suite::Esn;
use crate::environment::Instant;
use crate::error::{IkeError, Stage};
use crate::event::{ChildId, Encapsulation, OutboundUse, Spi};
use crate::job::JobResult;
use crate::notice::What;
use crate::rekey::lowest;
use crate::resource::Share;
use crate::sa::{Arrived, Cx};
use crate::secret::Secret;
use crate::selector::TrafficSelector;
use crate::wire::Role;

mod id;
mod initiator;
mod responder;

pub(super) use initiator::{begin, on_error};

/// Most quick modes of a peer that are under way at once.
const ANSWERED_MAX: usize = 64;
/// How long the third message may take to a responder that receives on the new pair only after it.
const ACTIVATION_DELAY: Duration = Duration::from_secs(1);

/// A quick mode under way.
#[derive(Debug)]
pub(super) struct Quick {
    /// Its message ID.
    id: u32,
    /// That of its next message.
    iv: Vec<u8>,
    step: Step,
}

#[derive(Debug)]
enum Step {
    /// Ours: the public value is being computed.
    Preparing(initiator::Plan, u64),
    /// Ours: message 1 is out.
    Sent(initiator::Sent),
    /// Ours: the shared secret is being computed.
    Sharing(Box<initiator::Sharing>, u64),
    /// The peer's: our public value and the shared secret are being computed.
    Answering(Box<responder::Answering>, u64),
    /// The peer's: message 2 is out.
    Answered(responder::Answered),
}

/// What both sides agreed on.
struct Deal<'a> {
    policy: usize,
    role: Role,
    inbound: Spi,
    choice: &'a EspAnswer,
    local: TrafficSelector,
    remote: TrafficSelector,
    replaces: Option<ChildId>,
    outbound_use: OutboundUse,
    shared: Option<&'a Secret<Vec<u8>>>,
    nonces: Nonces<'a>,
}

impl Quick {
    /// Whether we began it.
    pub(super) const fn is_ours(&self) -> bool {
        matches!(self.step, Step::Preparing(..) | Step::Sent(_) | Step::Sharing(..))
    }

    /// Whether message 2 is out for this pair.
    pub(super) fn has_answered(&self, id: ChildId) -> bool {
        matches!(&self.step, Step::Answered(answered) if answered.child == id)
    }

    pub(super) const fn serial(&self) -> Option<u64> {
        match &self.step {
            Step::Preparing(_, serial) | Step::Sharing(_, serial) | Step::Answering(_, serial) => {
                Some(*serial)
            }
            Step::Sent(_) | Step::Answered(_) => None,
        }
    }

    pub(super) const fn deadline(&self) -> Option<Instant> {
        match &self.step {
            Step::Sent(sent) => Some(sent.sending.deadline()),
            Step::Answered(answered) => Some(answered.sending.deadline()),
            Step::Preparing(..) | Step::Sharing(..) | Step::Answering(..) => None,
        }
    }

    /// It will get no answer: gives its SPI back, unless a pair has it.
    pub(super) fn abandon(self, _state: &mut Established, cx: &mut Cx<'_>) {
        match self.step {
            Step::Preparing(plan, _) => cx.env.release_spi(plan.spi),
            Step::Sent(sent) => cx.env.release_spi(sent.plan.spi),
            Step::Sharing(sharing, _) => cx.env.release_spi(sharing.plan.spi),
            Step::Answering(answering, _) => cx.env.release_spi(answering.spi),
            Step::Answered(_) => {}
        }
    }
}

pub(super) fn on_datagram(state: &mut Established, arrived: &Arrived<'_>, header: &Header, cx: &mut Cx<'_>) {
    let Some(at) = state.quicks.iter().position(|quick| quick.id == header.id) else {
        return responder::on_first(state, arrived, header, cx);
    };
    let quick = state.quicks.remove(at);
    let Quick { id, iv, step } = quick;
    match step {
        Step::Sent(sent) => initiator::on_answer(state, id, iv, sent, arrived, cx),
        Step::Answered(answered) => responder::on_third(state, id, iv, answered, arrived, cx),
        step => {
            cx.note_from(What::DropUnexpected, arrived.remote);
            state.quicks.push(Quick { id, iv, step });
        }
    }
}

pub(super) fn on_computed(state: &mut Established, result: JobResult, cx: &mut Cx<'_>) {
    let Some(at) = state.quicks.iter().position(|quick| quick.serial() == Some(result.serial)) else {
        return;
    };
    let Quick { id, iv, step } = state.quicks.remove(at);
    match step {
        Step::Preparing(plan, _) => initiator::on_public(state, id, iv, plan, result, cx),
        Step::Sharing(sharing, _) => initiator::on_shared(state, id, *sharing, result, cx),
        Step::Answering(answering, _) => responder::on_answer(state, id, iv, *answering, result, cx),
        Step::Sent(_) | Step::Answered(_) => {}
    }
}

/// The peer deleted what it agreed to while the secret of our quick mode is being computed: there is no pair to install any more. Its policy.
pub(super) fn deleted_by_peer(state: &mut Established, spi: Spi, cx: &mut Cx<'_>) -> Option<usize> {
    let policy_of = |quick: &Quick| match &quick.step {
        Step::Sharing(sharing, _) => sharing.policy_of(spi),
        _ => None,
    };
    let (at, policy) =
        state.quicks.iter().enumerate().find_map(|(at, quick)| Some((at, policy_of(quick)?)))?;
    state.quicks.remove(at).abandon(state, cx);
    Some(policy)
}

pub(super) fn on_timeout(state: &mut Established, cx: &mut Cx<'_>) {
    for quick in std::mem::take(&mut state.quicks) {
        let Quick { id, iv, step } = quick;
        let kept = match step {
            Step::Sent(sent) => initiator::on_timeout(state, sent, cx).map(Step::Sent),
            Step::Answered(answered) => responder::on_timeout(state, answered, cx).map(Step::Answered),
            step => Some(step),
        };
        state.quicks.extend(kept.map(|step| Quick { id, iv, step }));
    }
}

/// The groups of a policy, the most wanted first; an empty list does without.
fn groups(policy: &ChildConfig) -> &[Option<Group>] {
    if policy.pfs_groups.is_empty() { &[None] } else { &policy.pfs_groups }
}

impl Established {
    fn is_in_udp(&self) -> bool {
        self.isakmp.path.encapsulation == Encapsulation::Udp
    }

    fn offer<'a>(&self, policy: &'a ChildConfig, group: Option<Group>, spi: Spi) -> EspOffer<'a> {
        EspOffer {
            suites: &policy.esp_suites,
            group,
            in_udp: self.is_in_udp(),
            life: policy.lifetime.hard,
            life_bytes: policy.lifetime_bytes,
            spi: spi.0,
        }
    }

    /// Keys a pair and has it installed.
    fn install(&mut self, deal: &Deal<'_>, cx: &mut Cx<'_>) -> ChildId {
        let spis = match deal.role {
            Role::Initiator => (deal.inbound.0, deal.choice.spi),
            Role::Responder => (deal.choice.spi, deal.inbound.0),
        };
        let isakmp = &self.isakmp;
        let keys = isakmp.keys.esp(isakmp.prf(), deal.choice.suite, deal.shared, deal.nonces, spis);
        let agreed = Agreed {
            share: Share::Alone,
            policy: deal.policy,
            role: deal.role,
            inbound: deal.inbound,
            outbound: Spi(deal.choice.spi),
            suite: deal.choice.suite,
            esn: Esn::Off,
            local: vec![deal.local],
            remote: vec![deal.remote],
            replaces: deal.replaces,
            outbound_use: deal.outbound_use,
        };
        let policy = &self.config.children[deal.policy.min(self.config.children.len() - 1)];
        let lifetime = super::main_mode::shorter(policy.lifetime, deal.choice.life);
        let mut child = agreed.install_keyed(&self.config, isakmp.path, keys, cx);
        child.rekey_at = cx.now + lifetime.soft(cx.random_u32());
        child.expires_at = cx.now + lifetime.hard;
        let id = child.id;
        self.add(Pair {
            child,
            role: deal.role,
            replaces: deal.replaces,
            lowest: lowest(deal.nonces.initiator, deal.nonces.responder),
            is_confirmed: false,
            activate_at: None,
            delete_at: None,
        });
        id
    }
}

/// The exchange in the operator's words.
const fn stage(task: &Task) -> Stage {
    match task {
        Task::New { .. } => Stage::QuickMode,
        Task::Rekey { .. } => Stage::QuickRekey,
    }
}

/// What the peer's error in a quick mode of ours means.
const fn refusal(stage: Stage, notify: NotifyType) -> IkeError {
    match notify {
        NotifyType::NO_PROPOSAL_CHOSEN => IkeError::NoProposalAccepted(stage),
        notify => IkeError::RefusedV1 { stage, notify },
    }
}

/// Whether a notification may be about another group or algorithms: then another attempt makes sense.
fn is_about_algorithms(notify: &Notify) -> bool {
    matches!(
        notify.kind,
        NotifyType::NO_PROPOSAL_CHOSEN
            | NotifyType::ATTRIBUTES_NOT_SUPPORTED
            | NotifyType::INVALID_KEY_INFORMATION
            | NotifyType::BAD_PROPOSAL_SYNTAX
    )
}
