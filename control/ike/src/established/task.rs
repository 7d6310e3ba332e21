//! What an authenticated IKE SA has to do, does, and how it ends: one request of ours at a time, one answer of ours at a time (RFC 7296, 2.3).

use std::time::Duration;

use super::Established;
use crate::child::Offer;
use crate::connection::jittered;
use crate::environment::Instant;
use crate::error::{IkeError, Stage};
use crate::event::{ChildId, DownReason, Path, RemoveReason, Spi};
use crate::exchange::create_child::{self, ChildAnswering, ChildRequest};
use crate::exchange::rekey_ike::{self, IkeAnswering, IkeRequest};
use crate::exchange::{informational, mobike, resume};
use crate::notice::What;
use crate::sa::Cx;
use crate::wire::ExchangeType;

/// Shortest wait after TEMPORARY_FAILURE or a failed Child SA (RFC 7296, 2.25: some time).
const BUSY_WAIT: Duration = Duration::from_secs(2);
/// The same for a Child SA for one resource.
const RESOURCE_WAIT: Duration = Duration::from_secs(30);
/// How often a pair of selectors is asked for again, each time after twice the wait: for some minutes.
const LEFT_OUT_TRIES: u32 = 7;

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    NewChild {
        policy: usize,
    },
    /// Ask for what the peer left out of a Child SA, or for what was lost with one.
    LeftOut(LeftOut),
    /// Ask for the next Child SA for a resource of ours, beside the one with these selectors (RFC 9611).
    ForResource {
        policy: usize,
        offer: Offer,
    },
    RekeyChild(ChildId),
    DeleteChild(ChildId, RemoveReason),
    /// Delete a pair that the peer made by an answer which we did not take; it was to receive for us under this SPI.
    Disown(Spi),
    RekeyIke,
    /// Hand the peer our token for this IKE SA (RFC 6290, 4.3).
    Token,
    Liveness,
    /// Tell the peer which path is used from now on (RFC 4555, 3.5).
    UpdateAddresses,
    /// Ask along the path that the peer decided on whether it is there (RFC 4555, 3.7).
    CheckPath,
    /// Tell the peer our other addresses (RFC 4555, 3.6).
    TellAddresses,
    /// Send the peer to another gateway (RFC 5685, 5).
    Redirect,
    /// Ask for a ticket (RFC 5723, 4.1).
    Ticket,
}

/// A part of a policy that has no Child SA while others have.
#[derive(Clone, Debug)]
pub(crate) struct LeftOut {
    pub(crate) policy: usize,
    pub(crate) offer: Offer,
    /// It had a Child SA: a peer that refuses it is asked again. Who left it out may not want it at all.
    pub(crate) is_lost: bool,
    /// How often it was asked for in vain.
    tries: u32,
}

impl PartialEq for LeftOut {
    /// What it is about counts, not what became of it so far.
    fn eq(&self, other: &Self) -> bool {
        self.policy == other.policy && self.offer == other.offer
    }
}

impl Eq for LeftOut {}

impl LeftOut {
    pub(crate) const fn new(policy: usize, offer: Offer) -> Self {
        Self { policy, offer, is_lost: false, tries: 0 }
    }

    pub(crate) const fn lost(policy: usize, offer: Offer) -> Self {
        Self { policy, offer, is_lost: true, tries: 0 }
    }
}

/// Our request, from its first computation to its answer.
#[derive(Debug)]
pub(crate) enum Pending {
    Child(ChildRequest),
    Ike(IkeRequest),
    DeleteChild(ChildId, RemoveReason),
    Disown(Spi),
    Token,
    Liveness,
    /// The path that the peer is told.
    UpdateAddresses(Path),
    /// The cookie that the peer must give back.
    CheckPath(Vec<u8>),
    Ticket,
}

/// The peer's request whose answer is being computed.
#[derive(Debug)]
pub(crate) enum Answering {
    Child(ChildAnswering),
    Ike(IkeAnswering),
}

/// How an IKE SA ends.
#[derive(Clone, Debug)]
pub(crate) enum Fate {
    /// Tell the peer by DELETE.
    Close(DownReason, Option<IkeError>),
    /// The peer knows, but may repeat its last request.
    GoneAnswered(DownReason, Option<IkeError>),
}

impl Established {
    pub(super) fn begin(&mut self, task: Task, cx: &mut Cx<'_>) {
        match task {
            Task::NewChild { policy } => create_child::begin_new(self, policy, cx),
            Task::LeftOut(left_out) => create_child::begin_left_out(self, left_out, cx),
            Task::ForResource { policy, offer } => create_child::begin_for_resource(self, policy, &offer, cx),
            Task::RekeyChild(child) => create_child::begin_rekey(self, child, cx),
            Task::DeleteChild(child, reason) => informational::delete_child(self, child, reason, cx),
            Task::Disown(spi) => informational::disown(self, spi, cx),
            Task::RekeyIke => rekey_ike::begin(self, cx),
            Task::Token => informational::give_token(self, cx),
            Task::Liveness => {
                cx.note(What::LivenessAsked);
                self.pending = Some(Pending::Liveness);
                let limit = self.config.dpd.timeout;
                self.secured.request_within(
                    ExchangeType::INFORMATIONAL,
                    mobike::with_liveness(self),
                    limit,
                    cx,
                );
            }
            Task::UpdateAddresses => mobike::begin_update(self, cx),
            Task::CheckPath => mobike::check_path(self, cx),
            Task::Redirect => informational::send_elsewhere(self, cx),
            Task::Ticket => resume::ask(self, cx),
            Task::TellAddresses => mobike::tell_addresses(self, cx),
        }
    }

    /// Adds a task unless it is there already. New Child SAs come last, those for what was left out behind the others: what replaces a pair has an end, and traffic.
    pub(crate) fn want(&mut self, task: Task) {
        if self.tasks.contains(&task) {
            return;
        }
        let rank = task.rank();
        let at = self.tasks.iter().position(|other| other.rank() > rank);
        self.tasks.insert(at.unwrap_or(self.tasks.len()), task);
    }

    /// Adds a task for later, with some randomness so that two peers do not meet again.
    pub(crate) fn want_later(&mut self, task: Task, wait: Duration, cx: &mut Cx<'_>) -> Instant {
        let at = cx.now + jittered(wait, cx.env);
        self.later.retain(|(_, other)| *other != task);
        self.later.push((at, task));
        at
    }

    /// The peer said TEMPORARY_FAILURE.
    pub(crate) fn try_again(&mut self, task: Task, stage: Stage, cx: &mut Cx<'_>) {
        cx.note_stage(What::TryAgain, stage);
        // Up to three times as long, so that two peers that both wait part.
        let spread = BUSY_WAIT.mul_f64(2.0 * f64::from(cx.random_u32()) / f64::from(u32::MAX));
        match task {
            Task::LeftOut(left_out) => self.ask_again(left_out, BUSY_WAIT + spread, cx),
            // There is no hurry: the one for all serves every resource.
            task @ Task::ForResource { .. } => {
                self.want_later(task, RESOURCE_WAIT + spread, cx);
            }
            task => {
                self.want_later(task, BUSY_WAIT + spread, cx);
            }
        }
    }

    /// Asks for a part of a policy again, but neither again and again nor for ever.
    pub(crate) fn ask_again(&mut self, mut left_out: LeftOut, wait: Duration, cx: &mut Cx<'_>) {
        if left_out.tries == LEFT_OUT_TRIES {
            cx.note(What::PairGivenUp);
            return self.give_up_left_out(&left_out);
        }
        let wait = wait * (1 << left_out.tries);
        left_out.tries += 1;
        self.want_later(Task::LeftOut(left_out), wait, cx);
    }

    /// The job under way; of two the older one.
    pub(crate) fn job(&self) -> Option<u64> {
        let pending = self.pending.as_ref().and_then(Pending::serial);
        let answering = self.answering.as_ref().map(Answering::serial);
        pending.into_iter().chain(answering).min()
    }

    /// The task under way, in the operator's words.
    pub(crate) fn stage(&self) -> Stage {
        match &self.pending {
            Some(Pending::Child(request)) => request.stage(),
            Some(Pending::Ike(_)) => Stage::RekeyIke,
            Some(Pending::DeleteChild(..) | Pending::Disown(_)) => Stage::Delete,
            Some(Pending::UpdateAddresses(_) | Pending::CheckPath(_)) => Stage::Move,
            Some(Pending::Liveness | Pending::Token | Pending::Ticket) | None => Stage::Liveness,
        }
    }
}

impl Task {
    /// Its place in the order of tasks.
    const fn rank(&self) -> u8 {
        match self {
            Self::ForResource { .. } => 3,
            Self::LeftOut(_) => 2,
            Self::NewChild { .. } => 1,
            _ => 0,
        }
    }

    /// Whether another IKE SA that takes over has to do it, too.
    pub(super) const fn outlives_ike_sa(&self) -> bool {
        self.rank() > 0
    }
}

impl Pending {
    pub(super) const fn serial(&self) -> Option<u64> {
        match self {
            Self::Child(request) => request.serial,
            Self::Ike(request) => request.serial(),
            Self::DeleteChild(..)
            | Self::Disown(_)
            | Self::Token
            | Self::Ticket
            | Self::Liveness
            | Self::UpdateAddresses(_)
            | Self::CheckPath(_) => None,
        }
    }
}

impl Answering {
    pub(super) const fn serial(&self) -> u64 {
        match self {
            Self::Child(answer) => answer.serial,
            Self::Ike(answer) => answer.serial,
        }
    }
}
