//! An ISAKMP SA whose peers know each other: its pairs of ESP SAs, the exchanges of phase 2 under way, what is to be done, time (RFC 2408, 2409, 3706).
//!
//! Phase 2 has no order of its own: any exchange may come at any time under a message ID that its initiator drew. Ours go one after the other; the peer's are answered
//! as they come, up to a limit. What replaces this ISAKMP SA is another main mode, and the pairs move to it.

use std::collections::{HashSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::Phase;
use super::closing::Closing;
use super::pair::Pair;
use super::protect::{Isakmp, Repeat};
use super::quick::Quick;
use super::wire::{ExchangeType, Header};
use super::{informational, main_mode, quick};
use crate::config::ConnectionConfig;
use crate::crypto::kex::Group;
use crate::environment::Instant;
use crate::error::IkeError;
use crate::event::{ChildId, DownReason, Event, IkeId, RemoveReason};
use crate::identity::Identity;
use crate::job::JobResult;
use crate::notice::What;
use crate::sa::{Arrived, Cx};

mod pairs;
mod timers;

/// How long the peer has to delete what it must delete, before we do; and how long its repeats are answered.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// Message IDs of the peer after which the ISAKMP SA is replaced: they must all be remembered.
const MESSAGE_IDS_MAX: usize = 8192;
/// Answers that are kept for repeats.
const ANSWERS_MAX: usize = 16;

/// An authenticated ISAKMP SA.
#[derive(Debug)]
pub(crate) struct Established {
    pub(super) isakmp: Isakmp,
    pub(crate) config: Arc<ConnectionConfig>,
    pub(crate) peer: Identity,
    pub(super) pairs: Vec<Pair>,
    pub(super) quicks: Vec<Quick>,
    /// To be done in this order, one after the other.
    pub(super) tasks: VecDeque<Task>,
    /// To be done later.
    later: Vec<(Instant, Task)>,
    pub(crate) since: Instant,
    pub(crate) rekey_at: Instant,
    expires_at: Instant,
    pub(super) heard_at: Instant,
    /// Message IDs that were used: none is good for another exchange.
    pub(super) used: HashSet<u32>,
    answers: VecDeque<(Instant, u32, Repeat)>,
    pub(super) liveness: super::dpd::Liveness,
    /// Another ISAKMP SA has taken over; this one is deleted at this time.
    leaving_at: Option<Instant>,
    /// The one that has.
    heir: Option<IkeId>,
    /// What the peer took in the last quick mode that we began: the first to ask for in the next one, which then needs no second attempt.
    pub(super) agreed_group: Option<Option<Group>>,
    pub(super) fate: Option<Fate>,
}

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// A pair for a policy; with which of its groups.
    New { policy: usize, group: usize },
    /// One that replaces another.
    Rekey { child: ChildId, group: usize },
}

/// How it ends.
#[derive(Clone, Debug)]
pub(super) enum Fate {
    /// Tell the peer.
    Close(DownReason, Option<IkeError>),
    /// The peer knows, or is dead.
    Gone(DownReason, Option<IkeError>),
}

impl Established {
    pub(super) fn new(
        isakmp: Isakmp,
        config: Arc<ConnectionConfig>,
        peer: Identity,
        life: Option<Duration>,
        cx: &mut Cx<'_>,
    ) -> Self {
        let lifetime = main_mode::shorter(config.ike_lifetime, life);
        let soft = lifetime.soft(cx.random_u32());
        // Who only answers leaves it to the peer, as long as there is time.
        let soft = if config.mode.initiates() { soft } else { soft + lifetime.hard.saturating_sub(soft) / 2 };
        Self {
            isakmp,
            peer,
            pairs: Vec::new(),
            quicks: Vec::new(),
            tasks: VecDeque::new(),
            later: Vec::new(),
            since: cx.now,
            rekey_at: cx.now + soft,
            expires_at: cx.now + lifetime.hard,
            heard_at: cx.now,
            used: HashSet::new(),
            answers: VecDeque::new(),
            liveness: super::dpd::Liveness::new(cx.random_u32()),
            leaving_at: None,
            heir: None,
            agreed_group: None,
            fate: None,
            config,
        }
    }

    pub(super) fn on_datagram(
        mut self: Box<Self>,
        arrived: &Arrived<'_>,
        header: &Header,
        cx: &mut Cx<'_>,
    ) -> Phase {
        if !self.isakmp.is_of(header) {
            cx.note_from(What::DropUnexpected, arrived.remote);
        } else if !self.is_repeat(arrived, header, cx) {
            match header.exchange {
                ExchangeType::QUICK_MODE if header.is_encrypted && header.id != 0 => {
                    quick::on_datagram(&mut self, arrived, header, cx);
                }
                ExchangeType::INFORMATIONAL if header.is_encrypted && header.id != 0 => {
                    informational::on_datagram(&mut self, arrived, header, cx);
                }
                ExchangeType::INFORMATIONAL => cx.note_from(What::UnprovenError, arrived.remote),
                _ => cx.note_from(What::DropUnexpected, arrived.remote),
            }
        }
        self.settle(cx)
    }

    /// Says the same again if a message that was answered comes again; whether that was so.
    fn is_repeat(&mut self, arrived: &Arrived<'_>, header: &Header, cx: &mut Cx<'_>) -> bool {
        self.answers.retain(|(until, _, _)| *until > cx.now);
        let same =
            |(_, id, repeat): &&(Instant, u32, Repeat)| *id == header.id && repeat.is_of(arrived.bytes);
        let Some((_, _, repeat)) = self.answers.iter().find(same) else { return false };
        cx.note(What::AnswerRepeated);
        self.send(repeat.answer.clone(), cx);
        true
    }

    /// Keeps an answer for repeats of what it answers.
    pub(super) fn keep_answer(&mut self, id: u32, repeat: Repeat, cx: &Cx<'_>) {
        if self.answers.len() == ANSWERS_MAX {
            self.answers.pop_front();
        }
        self.answers.push_back((cx.now + PATIENCE * 2, id, repeat));
    }

    pub(super) fn send(&self, datagram: Vec<u8>, cx: &mut Cx<'_>) {
        cx.transmit(self.isakmp.path.local, self.isakmp.path.remote, datagram);
    }

    /// A message of the peer's is authentic and new.
    pub(super) fn heard(&mut self, arrived: &Arrived<'_>, cx: &mut Cx<'_>) {
        self.heard_at = cx.now;
        self.follow(arrived.local, arrived.remote, cx);
    }

    /// The peer's ESP came from there.
    pub(crate) fn follow_esp(&mut self, remote: SocketAddr, cx: &mut Cx<'_>) {
        self.follow(self.isakmp.path.local, remote, cx);
    }

    /// Follows a peer whose NAT changed its mapping.
    fn follow(&mut self, local: SocketAddr, remote: SocketAddr, cx: &mut Cx<'_>) {
        let path = &mut self.isakmp.path;
        if path.remote == remote || !path.follows_nat() {
            return;
        }
        (path.local, path.remote) = (local, remote);
        let path = *path;
        cx.note_from(What::PeerMoved, remote);
        for pair in &self.pairs {
            cx.event(Event::MoveChild { child: pair.child.id, path });
        }
    }

    /// A message ID for an exchange of ours: unlike every other one, and never 0.
    pub(super) fn draw_id(&mut self, cx: &mut Cx<'_>) -> u32 {
        loop {
            let id = cx.random_u32();
            if id != 0 && self.used.insert(id) {
                return id;
            }
        }
    }

    /// Whether the message ID of an exchange that the peer begins is new; from then on it is not.
    pub(super) fn is_new_id(&mut self, id: u32) -> bool {
        if self.used.len() >= MESSAGE_IDS_MAX {
            self.rekey_at = self.since;
        }
        self.used.len() < 2 * MESSAGE_IDS_MAX && self.used.insert(id)
    }

    pub(super) fn on_computed(mut self: Box<Self>, result: JobResult, cx: &mut Cx<'_>) -> Phase {
        quick::on_computed(&mut self, result, cx);
        self.settle(cx)
    }

    /// Carries out what the last input decided and starts the next task.
    pub(super) fn settle(mut self: Box<Self>, cx: &mut Cx<'_>) -> Phase {
        self.give_late_pairs(cx);
        loop {
            match self.fate.take() {
                Some(Fate::Close(reason, error)) => return self.into_closing(reason, error, cx),
                Some(Fate::Gone(reason, error)) => return self.gone(reason, error, cx),
                None => {}
            }
            let is_busy = self.quicks.iter().any(Quick::is_ours);
            if is_busy || self.is_leaving() {
                return Phase::Established(self);
            }
            let Some(task) = self.tasks.pop_front() else { return Phase::Established(self) };
            quick::begin(&mut self, task, cx);
        }
    }

    /// Adds a task unless it is there already. What replaces a pair goes first: it has an end, and traffic.
    pub(super) fn want(&mut self, task: Task) {
        if self.tasks.contains(&task) {
            return;
        }
        let is_new = |task: &Task| matches!(task, Task::New { .. });
        let first_new = self.tasks.iter().position(is_new).filter(|_| !is_new(&task));
        self.tasks.insert(first_new.unwrap_or(self.tasks.len()), task);
    }

    /// Whether another ISAKMP SA of the connection carries on.
    pub(crate) const fn is_leaving(&self) -> bool {
        self.leaving_at.is_some() || self.fate.is_some()
    }

    pub(crate) fn is_between(&self, local: IpAddr, remote: IpAddr) -> bool {
        let path = self.isakmp.path;
        (path.local.ip(), path.remote.ip()) == (local, remote)
    }

    pub(super) const fn role(&self) -> crate::wire::Role {
        self.isakmp.role
    }

    /// The job under way; of several the oldest.
    pub(super) fn job(&self) -> Option<u64> {
        self.quicks.iter().filter_map(Quick::serial).min()
    }

    /// Another one has taken over; whoever began this one deletes it.
    pub(super) fn leave(&mut self, wait: Duration, cx: &Cx<'_>) {
        self.leaving_at = Some(cx.now + wait);
        self.tasks.clear();
        self.later.clear();
    }

    /// What is under way and will get no answer gives its SPIs back; pairs that the peer has not confirmed go.
    pub(super) fn abandon_exchanges(&mut self, cx: &mut Cx<'_>) {
        for quick in std::mem::take(&mut self.quicks) {
            quick.abandon(self, cx);
        }
    }

    /// Forgets it: the peer has, or is dead.
    pub(super) fn gone(
        mut self: Box<Self>,
        reason: DownReason,
        error: Option<IkeError>,
        cx: &mut Cx<'_>,
    ) -> Phase {
        self.abandon_exchanges(cx);
        let by_peer = reason == DownReason::DeletedByPeer;
        for pair in self.pairs.drain(..) {
            if by_peer {
                pair.child.let_go(RemoveReason::DeletedByPeer, cx);
            } else {
                pair.child.drop_now(RemoveReason::IkeSaGone, cx);
            }
        }
        cx.ended(reason, error, true);
        Phase::Gone
    }

    /// Tells the peer, once: nothing answers a deletion (RFC 2408, 3.15).
    fn into_closing(
        mut self: Box<Self>,
        reason: DownReason,
        error: Option<IkeError>,
        cx: &mut Cx<'_>,
    ) -> Phase {
        self.abandon_exchanges(cx);
        let spis: Vec<_> = self.pairs.iter().map(|pair| pair.child.inbound).collect();
        if !spis.is_empty() {
            informational::delete_esp(&self.isakmp, &spis, cx);
        }
        for pair in self.pairs.drain(..) {
            pair.child.let_go(RemoveReason::DeletedByUs, cx);
        }
        cx.ended(reason, error, true);
        Phase::Closing(Box::new(Closing::deleting(self.isakmp, Some(self.config.id), cx)))
    }
}
