//! An IKE SA whose peers know each other: its Child SAs, what is to be done, our one request under way, the peer's one request being computed. Messages go to the exchange's file; here are the duties that belong to none: order, timers, the end (RFC 7296, 1.3, 1.4, 2.4, 2.8).

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::child::Child;
pub(crate) use crate::closing::Closing;
use crate::config::ConnectionConfig;
use crate::connection::jittered;
use crate::crash::{self, Answer, Token};
use crate::environment::Instant;
use crate::error::{IkeError, Stage};
use crate::event::{ChildId, DownReason, Event, RemoveReason, Spi};
use crate::exchange::create_child::{ChildAnswering, ChildRequest};
use crate::exchange::followup::Following;
use crate::exchange::rekey_ike::{IkeAnswering, IkeRequest};
use crate::exchange::{create_child, followup, informational, rekey_ike};
use crate::identity::Identity;
use crate::job::JobResult;
use crate::notice::What;
use crate::sa::{Arrived, Cx, State};
use crate::secured::{Received, Secured};
use crate::wire::{ExchangeType, Header, Message, MessageKind, Notify, NotifyType, Payload};

mod children;
mod ending;
mod timers;

/// How long the peer has to delete what it must delete, before we do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// Shortest wait after TEMPORARY_FAILURE or a failed Child SA (RFC 7296, 2.25: some time).
const BUSY_WAIT: Duration = Duration::from_secs(2);

/// An authenticated IKE SA.
#[derive(Debug)]
pub(crate) struct Established {
    pub(crate) secured: Secured,
    pub(crate) config: Arc<ConnectionConfig>,
    pub(crate) peer: Identity,
    pub(crate) children: Vec<Child>,
    pub(crate) since: Instant,
    pub(crate) rekey_at: Instant,
    pub(crate) expires_at: Instant,
    pub(crate) heard_at: Instant,
    /// To be done in this order, one after the other.
    pub(crate) tasks: VecDeque<Task>,
    /// To be done later.
    pub(crate) later: Vec<(Instant, Task)>,
    pub(crate) pending: Option<Pending>,
    pub(crate) answering: Option<Answering>,
    /// The peer's rekey of this IKE SA, of which the additional key exchange is to come.
    pub(crate) following: Option<Following>,
    /// The new IKE SA that the peer made of this one, while ours is under way.
    pub(crate) rival: Option<rekey_ike::Rival>,
    /// Another IKE SA has taken over or will; the peer deletes this one, or we do at this time.
    pub(crate) leaving_at: Option<Instant>,
    /// What it leaves for.
    pub(crate) leaving_for: DownReason,
    /// It came out of a rekey that is not decided yet: the peer's requests wait.
    pub(crate) undecided: bool,
    /// Policies of which the peer takes a single pair of addresses only (SINGLE_PAIR_REQUIRED).
    pub(crate) single_pairs: BTreeSet<usize>,
    /// What the peer would prove with that it has lost this IKE SA.
    pub(crate) token: Option<Token>,
    /// The same of the IKE SA that replaces this one.
    pub(crate) next_token: Option<Token>,
    /// Whether the peer was called at its first place before this IKE SA is replaced.
    pub(crate) is_returning: bool,
    /// When the peer was asked because somebody said that it has lost a Child SA.
    pub(crate) doubted_at: Option<Instant>,
    /// Set by an exchange that ends it; [`Established::settle`] carries it out.
    pub(crate) fate: Option<Fate>,
}

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    NewChild {
        policy: usize,
    },
    RekeyChild(ChildId),
    DeleteChild(ChildId, RemoveReason),
    /// Delete a pair that the peer made by an answer which we did not take; it was to receive for us under this SPI.
    Disown(Spi),
    RekeyIke,
    /// Hand the peer our token for this IKE SA (RFC 6290, 4.3).
    Token,
    Liveness,
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
    pub(crate) fn new(
        secured: Secured,
        config: Arc<ConnectionConfig>,
        peer: Identity,
        cx: &mut Cx<'_>,
    ) -> Self {
        let soft = config.ike_lifetime.soft(cx.random_u32());
        Self {
            secured,
            peer,
            children: Vec::new(),
            since: cx.now,
            rekey_at: cx.now + soft,
            expires_at: cx.now + config.ike_lifetime.hard,
            heard_at: cx.now,
            tasks: VecDeque::new(),
            later: Vec::new(),
            pending: None,
            answering: None,
            following: None,
            rival: None,
            leaving_at: None,
            leaving_for: DownReason::Superseded,
            undecided: false,
            single_pairs: BTreeSet::new(),
            token: None,
            next_token: None,
            is_returning: false,
            doubted_at: None,
            fate: None,
            config,
        }
    }

    pub(crate) fn on_datagram(
        mut self: Box<Self>,
        arrived: &Arrived<'_>,
        header: &Header,
        cx: &mut Cx<'_>,
    ) -> State {
        if self.undecided && header.kind == MessageKind::Request {
            // It will come again once we know which of two rekeys won.
            cx.note(What::DropUnexpected);
            return State::Established(self);
        }
        match crash::judge(self.token.as_ref(), self.secured.spis, arrived, header) {
            Answer::Proven => {
                cx.note_from(What::PeerRestarted, arrived.remote);
                return self.gone(DownReason::PeerRestarted, Some(IkeError::PeerRestarted), cx);
            }
            Answer::Unproven => {
                cx.note_from(What::DropToken, arrived.remote);
                return State::Established(self);
            }
            Answer::Other => {}
        }
        match self.secured.receive(arrived, header, cx) {
            Received::Nothing => return State::Established(self),
            Received::Malformed(malformed) => {
                self.heard_at = cx.now;
                self.fail_syntax(header, malformed.into(), cx);
            }
            Received::Message(message) => {
                self.heard_at = cx.now;
                self.follow_peer(arrived, header, cx);
                match header.kind {
                    MessageKind::Request => self.on_request(&message, cx),
                    MessageKind::Response => self.on_response(&message, cx),
                }
            }
        }
        self.settle(cx)
    }

    /// What authenticates but cannot be read ends the IKE SA (RFC 7296, 2.21.3).
    fn fail_syntax(&mut self, header: &Header, error: IkeError, cx: &mut Cx<'_>) {
        if header.kind == MessageKind::Request {
            self.refuse(header.exchange, &error, cx);
            self.fate = Some(Fate::GoneAnswered(DownReason::Error(error.clone()), Some(error)));
        } else {
            self.fate = Some(Fate::Close(DownReason::Error(error.clone()), Some(error)));
        }
    }

    /// Follows a peer whose NAT changed its mapping, unless a NAT is before us: then the change may be our own (RFC 7296, 2.23).
    fn follow_peer(&mut self, arrived: &Arrived<'_>, header: &Header, cx: &mut Cx<'_>) {
        let path = &mut self.secured.path;
        let news = header.kind == MessageKind::Request && path.remote != arrived.remote;
        if !news || !path.nat_before_peer || path.nat_before_us {
            return;
        }
        path.remote = arrived.remote;
        path.local = arrived.local;
        let path = *path;
        cx.note_from(What::PeerMoved, arrived.remote);
        for child in &self.children {
            cx.event(Event::MoveChild { child: child.id, path });
        }
    }

    fn on_request(&mut self, message: &Message, cx: &mut Cx<'_>) {
        if let Some(kind) = message.unsupported_critical() {
            return self.refuse(message.header.exchange, &IkeError::UnsupportedCritical(kind), cx);
        }
        match message.header.exchange {
            ExchangeType::CREATE_CHILD_SA => create_child::on_request(self, message, cx),
            ExchangeType::IKE_FOLLOWUP_KE => followup::on_request(self, message, cx),
            ExchangeType::INFORMATIONAL => informational::on_request(self, message, cx),
            other => self.refuse(other, &IkeError::Unexpected(other), cx),
        }
    }

    fn on_response(&mut self, message: &Message, cx: &mut Cx<'_>) {
        self.secured.window.answered();
        let error = message.error().map(|notify| notify.kind);
        if error == Some(NotifyType::INVALID_SYNTAX) {
            let error = IkeError::Refused { stage: Stage::NewChild, notify: NotifyType::INVALID_SYNTAX };
            self.fate = Some(Fate::Close(DownReason::Error(error.clone()), Some(error)));
            return;
        }
        match self.pending.take() {
            Some(Pending::Child(request)) => create_child::on_response(self, request, message, cx),
            Some(Pending::Ike(request)) => {
                self.next_token = Token::of(message).or(self.next_token.take());
                rekey_ike::on_response(self, request, message, cx);
            }
            Some(Pending::DeleteChild(child, reason)) => self.drop_child(child, reason, cx),
            Some(Pending::Disown(spi)) => cx.env.release_spi(spi),
            Some(Pending::Liveness | Pending::Token) | None => {}
        }
    }

    pub(crate) fn on_computed(mut self: Box<Self>, result: JobResult, cx: &mut Cx<'_>) -> State {
        if self.answering.as_ref().is_some_and(|answering| answering.serial() == result.serial) {
            match self.answering.take() {
                Some(Answering::Child(answer)) => {
                    create_child::on_computed_answer(&mut self, answer, result, cx)
                }
                Some(Answering::Ike(answer)) => rekey_ike::on_computed_answer(&mut self, answer, result, cx),
                None => {}
            }
        } else if self.pending.as_ref().and_then(Pending::serial) == Some(result.serial) {
            match self.pending.take() {
                Some(Pending::Child(request)) => create_child::on_computed(&mut self, request, result, cx),
                Some(Pending::Ike(request)) => rekey_ike::on_computed(&mut self, request, result, cx),
                other => self.pending = other,
            }
        }
        self.settle(cx)
    }

    /// Carries out what the last input decided and starts the next task.
    pub(crate) fn settle(mut self: Box<Self>, cx: &mut Cx<'_>) -> State {
        loop {
            match self.fate.take() {
                Some(Fate::Close(reason, error)) => return self.into_closing(reason, error, cx),
                Some(Fate::GoneAnswered(reason, error)) => return self.into_answered(reason, error, cx),
                None => {}
            }
            // While the answer to the peer's IKE rekey is computed, our tasks wait for the successor, which takes them over.
            let is_handing_over =
                matches!(self.answering, Some(Answering::Ike(_))) || self.following.is_some();
            let is_busy = self.pending.is_some() || self.secured.window.is_busy();
            if is_busy || self.undecided || is_handing_over {
                return State::Established(self);
            }
            let Some(task) = self.tasks.pop_front() else { return State::Established(self) };
            self.begin(task, cx);
        }
    }

    fn begin(&mut self, task: Task, cx: &mut Cx<'_>) {
        match task {
            Task::NewChild { policy } => create_child::begin_new(self, policy, cx),
            Task::RekeyChild(child) => create_child::begin_rekey(self, child, cx),
            Task::DeleteChild(child, reason) => informational::delete_child(self, child, reason, cx),
            Task::Disown(spi) => informational::disown(self, spi, cx),
            Task::RekeyIke => rekey_ike::begin(self, cx),
            Task::Token => informational::give_token(self, cx),
            Task::Liveness => {
                cx.note(What::LivenessAsked);
                self.pending = Some(Pending::Liveness);
                let limit = self.config.dpd.timeout;
                self.secured.request_within(ExchangeType::INFORMATIONAL, Vec::new(), limit, cx);
            }
        }
    }

    /// Adds a task unless it is there already.
    pub(crate) fn want(&mut self, task: Task) {
        if !self.tasks.contains(&task) {
            self.tasks.push_back(task);
        }
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
        self.want_later(task, BUSY_WAIT + spread, cx);
    }

    pub(crate) fn want_ike_rekey(&mut self) {
        if !self.is_leaving() {
            self.want(Task::RekeyIke);
        }
    }

    pub(crate) const fn is_leaving(&self) -> bool {
        self.leaving_at.is_some() || self.undecided || self.fate.is_some()
    }

    /// Answers a request with an error.
    pub(crate) fn refuse(&mut self, exchange: ExchangeType, error: &IkeError, cx: &mut Cx<'_>) {
        cx.note(What::ErrorAnswered);
        self.secured.answer(exchange, vec![error_payload(error)], cx);
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
            Some(Pending::Liveness | Pending::Token) | None => Stage::Liveness,
        }
    }
}

/// The NOTIFY that tells the peer of an error.
pub(crate) fn error_payload(error: &IkeError) -> Payload {
    let data = match error {
        IkeError::UnsupportedCritical(kind) => vec![kind.0],
        _ => Vec::new(),
    };
    Payload::Notify(Notify::new(error.notify(), data))
}

impl Pending {
    const fn serial(&self) -> Option<u64> {
        match self {
            Self::Child(request) => request.serial,
            Self::Ike(request) => request.serial(),
            Self::DeleteChild(..) | Self::Disown(_) | Self::Token | Self::Liveness => None,
        }
    }
}

impl Answering {
    const fn serial(&self) -> u64 {
        match self {
            Self::Child(answer) => answer.serial,
            Self::Ike(answer) => answer.serial,
        }
    }
}
