//! An IKE SA whose peers know each other: its Child SAs, what is to be done, our one request under way, the peer's one request being computed. Messages go to the exchange's file; here are the duties that belong to none: order, timers, the end (RFC 7296, 1.3, 1.4, 2.4, 2.8).

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crossgate_eap::Means;

use crate::assigned::Assigned;
use crate::child::Child;
use crate::client::Leased;
pub(crate) use crate::closing::Closing;
use crate::config::ConnectionConfig;
use crate::crash::{self, Answer, Token};
use crate::environment::Instant;
use crate::error::{IkeError, Stage};
use crate::event::{DownReason, Path};
use crate::exchange::followup::Following;
use crate::exchange::{create_child, followup, informational, mobike, rekey_ike, resume};
use crate::identity::Identity;
use crate::job::JobResult;
use crate::mobility::Mobility;
use crate::notice::What;
use crate::sa::{Arrived, Cx, State};
use crate::secured::{Received, Secured};
use crate::wire::{ExchangeType, Header, Message, MessageKind, Notify, NotifyType, Payload};

mod children;
mod ending;
mod task;
mod timers;

pub(crate) use children::Estate;
pub(crate) use task::{Answering, Fate, LeftOut, Pending, Task};

/// How long the peer has to delete what it must delete, before we do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// An authenticated IKE SA.
#[derive(Debug)]
pub(crate) struct Established {
    pub(crate) secured: Secured,
    pub(crate) config: Arc<ConnectionConfig>,
    pub(crate) peer: Identity,
    /// What a client proved itself with; none for a peer that is no client.
    pub(crate) login: Option<Means>,
    /// When to look at that again, where it comes to an end.
    pub(crate) login_due: Option<Instant>,
    /// Whether the peer asked for certificates of one of our CAs, or did not say: what a refusal of our proof would mean.
    pub(crate) trusts_us: bool,
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
    /// The addresses that the client has of us.
    pub(crate) lease: Vec<Leased>,
    /// What we have of the peer's.
    pub(crate) assigned: Assigned,
    /// Whether the peer follows redirects.
    pub(crate) is_redirectable: bool,
    /// What is known of both sides' addresses, if both speak MOBIKE.
    pub(crate) mobility: Option<Mobility>,
    /// When the peer was asked because somebody said that it has lost a Child SA.
    pub(crate) doubted_at: Option<Instant>,
    /// When to ask for another ticket of session resumption, if there is one.
    pub(crate) ticket_at: Option<Instant>,
    /// The configuration under which the peer proved itself ([`crate::connection::Connection::epoch`]): a ticket stands for that proof, so under another
    /// one there is none.
    pub(crate) proven_epoch: u64,
    /// The end of the ticket that this IKE SA came from: none that it gives outlives it, or one proof would do for ever (RFC 5723, 6.2).
    pub(crate) tickets_until: Option<Instant>,
    /// Set by an exchange that ends it; [`Established::settle`] carries it out.
    pub(crate) fate: Option<Fate>,
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
            login: None,
            login_due: None,
            trusts_us: true,
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
            lease: Vec::new(),
            assigned: Assigned::default(),
            is_redirectable: false,
            mobility: None,
            doubted_at: None,
            ticket_at: cx
                .connections
                .get(&config.id)
                .and_then(|connection| connection.ticket.as_ref())
                .map(|held| held.refresh_at),
            proven_epoch: cx.connections.get(&config.id).map_or(0, |connection| connection.epoch),
            tickets_until: None,
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
            // Where the peer does not hear our answers, the path is to be looked at.
            Received::Nothing if self.secured.was_asked_again() && self.decides_on_path() => {
                self.want(Task::Liveness);
            }
            Received::Nothing => return State::Established(self),
            Received::Malformed(malformed) => {
                self.heard_at = cx.now;
                self.fail_syntax(header, malformed.into(), cx);
            }
            Received::Message(message) => {
                self.heard_at = cx.now;
                self.follow_peer(arrived, header, cx);
                match header.kind {
                    MessageKind::Request => self.on_request(arrived, &message, cx),
                    MessageKind::Response => {
                        self.follow_answer(arrived, cx);
                        self.on_response(&message, cx);
                    }
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

    /// Follows a peer whose NAT changed its mapping, where the peer's request came from.
    fn follow_peer(&mut self, arrived: &Arrived<'_>, header: &Header, cx: &mut Cx<'_>) {
        // With MOBIKE the side that moves says so (RFC 4555, 3.8).
        if header.kind == MessageKind::Request && self.mobility.is_none() {
            self.follow(arrived.local, arrived.remote, cx);
        }
    }

    /// The same, where its ESP came from. With MOBIKE, IKE waits for what the peer says, and ESP alone follows.
    pub(crate) fn follow_esp(&mut self, remote: SocketAddr, cx: &mut Cx<'_>) {
        let path = self.secured.path;
        if self.mobility.is_none() {
            self.follow(path.local, remote, cx);
        } else if path.follows_nat() {
            cx.note_from(What::PeerMoved, remote);
            self.move_children(Path { remote, ..path }, cx);
        }
    }

    fn follow(&mut self, local: SocketAddr, remote: SocketAddr, cx: &mut Cx<'_>) {
        let path = self.secured.path;
        if path.remote != remote && path.follows_nat() {
            cx.note_from(What::PeerMoved, remote);
            self.take_path(Path { local, remote, ..path }, cx);
        }
    }

    fn on_request(&mut self, arrived: &Arrived<'_>, message: &Message, cx: &mut Cx<'_>) {
        if let Some(kind) = message.unsupported_critical() {
            return self.refuse(message.header.exchange, &IkeError::UnsupportedCritical(kind), cx);
        }
        match message.header.exchange {
            ExchangeType::CREATE_CHILD_SA => create_child::on_request(self, message, cx),
            ExchangeType::IKE_FOLLOWUP_KE => followup::on_request(self, message, cx),
            ExchangeType::INFORMATIONAL => informational::on_request(self, arrived, message, cx),
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
            Some(Pending::Liveness) => mobike::on_liveness_answer(self, message, cx),
            Some(Pending::UpdateAddresses(told)) => mobike::on_update_answer(self, told, message, cx),
            Some(Pending::CheckPath(cookie)) => mobike::on_check_answer(self, &cookie, message),
            Some(Pending::Ticket) => resume::keep(self, message, cx),
            Some(Pending::Token) | None => {}
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

    pub(crate) fn want_ike_rekey(&mut self) {
        if !self.is_leaving() {
            self.want(Task::RekeyIke);
        }
    }

    pub(crate) const fn is_leaving(&self) -> bool {
        self.leaving_at.is_some() || self.undecided || self.fate.is_some()
    }

    /// Whether a peer that sends us elsewhere is obeyed.
    pub(crate) fn follows_redirects(&self) -> bool {
        self.config.follow_redirects && self.config.mode.initiates() && !self.is_leaving()
    }

    /// Answers a request with an error.
    pub(crate) fn refuse(&mut self, exchange: ExchangeType, error: &IkeError, cx: &mut Cx<'_>) {
        cx.note(What::ErrorAnswered);
        if !error.is_passing() {
            cx.child_failed(self.config.id, error.clone(), None);
        }
        self.secured.answer(exchange, vec![error_payload(error)], cx);
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
