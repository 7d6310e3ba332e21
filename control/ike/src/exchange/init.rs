//! IKE_SA_INIT (RFC 7296, 1.2, 2.6, 2.7, 2.23): algorithms, keys, NATs. Initiator: prepare, send, share. Responder: cookies and refusals without state, then answer.
//!
//! Nothing here is authenticated. An initiator takes an answer that fits its request, believes no error (it is remembered for the operator), and follows
//! COOKIE and INVALID_KE_PAYLOAD a few times only.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::config::ConnectionConfig;
use crate::crypto::kex::{Group, PrivateValue};
use crate::crypto::keys::{IkeKeys, IkeSpis, Nonces};
use crate::crypto::suite::{IkeSuite, accept_ike, choose_ike, ike_proposals};
use crate::effect::Effect;
use crate::endpoint::{Endpoint, IKE_PORT, NAT_PORT};
use crate::environment::{Environment, Instant};
use crate::error::{IkeError, Stage};
use crate::event::{ConnectionId, DownReason, Encapsulation, IkeId, Path};
use crate::exchange::auth;
use crate::job::{JobResult, Outcome, Work};
use crate::nat;
use crate::notice::What;
use crate::sa::{Arrived, Cx, IkeSa, State};
use crate::secret::Secret;
use crate::secured::Secured;
use crate::window::{Due, Retransmission};
use crate::wire::{
    ExchangeType, GroupId, Header, IkeSpi, KeyExchangeData, Message, MessageId, MessageKind, Notify,
    NotifyType, Payload, Role,
};

/// Most answers COOKIE and INVALID_KE_PAYLOAD that an attempt follows; more are the work of somebody who guesses.
const MAX_ROUNDS: u32 = 6;
/// Longest cookie (RFC 7296, 2.6).
const MAX_COOKIE_BYTES: usize = 64;

/// What an initiator keeps from round to round.
#[derive(Debug)]
pub(crate) struct Attempt {
    spi: IkeSpi,
    nonce: Vec<u8>,
    cookie: Option<Vec<u8>>,
    rounds: u32,
    hint: Option<NotifyType>,
    path: Path,
}

/// Initiator: the public value is being computed.
#[derive(Debug)]
pub(crate) struct InitPreparing {
    pub(crate) config: Arc<ConnectionConfig>,
    attempt: Attempt,
    serial: u64,
}

/// Initiator: the request is out.
#[derive(Debug)]
pub(crate) struct InitSent {
    pub(crate) config: Arc<ConnectionConfig>,
    attempt: Attempt,
    private: PrivateValue,
    public: Vec<u8>,
    request: Vec<u8>,
    retransmission: Retransmission,
}

/// Initiator: the shared secret is being computed.
#[derive(Debug)]
pub(crate) struct InitSharing {
    pub(crate) sent: Sent,
    serial: u64,
    suite: IkeSuite,
    responder_spi: IkeSpi,
    answer: Vec<u8>,
    nonce: Vec<u8>,
    path: Path,
    fragments: bool,
}

/// What is left of [`InitSent`] once its private value is used.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) config: Arc<ConnectionConfig>,
    spi: IkeSpi,
    nonce: Vec<u8>,
    request: Vec<u8>,
}

/// Responder: public value and shared secret are being computed.
#[derive(Debug)]
pub(crate) struct InitAnswering {
    serial: u64,
    pub(crate) spis: (IkeSpi, IkeSpi),
    suite: IkeSuite,
    proposal: crate::wire::Proposal,
    request: Vec<u8>,
    nonces: (Vec<u8>, Vec<u8>),
    candidates: Vec<ConnectionId>,
    path: Path,
    fragments: bool,
}

/// What IKE_AUTH signs and derives from (RFC 7296, 2.15).
#[derive(Debug)]
pub(crate) struct Transcript {
    pub(crate) request: Vec<u8>,
    pub(crate) answer: Vec<u8>,
    pub(crate) nonce_initiator: Vec<u8>,
    pub(crate) nonce_responder: Vec<u8>,
}

impl Transcript {
    pub(crate) fn nonces(&self) -> Nonces<'_> {
        Nonces { initiator: &self.nonce_initiator, responder: &self.nonce_responder }
    }
}

/// Begins to initiate. `None` if the peer's address is not known.
pub(crate) fn begin(config: Arc<ConnectionConfig>, cx: &mut Cx<'_>) -> Option<Box<IkeSa>> {
    let remote = SocketAddr::new(config.remote_address?, IKE_PORT);
    let local = SocketAddr::new(config.local_address, IKE_PORT);
    let path = Path {
        local,
        remote,
        encapsulation: Encapsulation::None,
        nat_before_us: false,
        nat_before_peer: false,
    };
    let id = IkeId(cx.shared.next_id());
    cx.ike = Some(id);
    cx.note_from(What::Initiating, remote);
    let spi = cx.ike_spi();
    let attempt = Attempt { spi, nonce: cx.nonce(), cookie: None, rounds: 0, hint: None, path };
    let group = config.ike_suites[0].group;
    let state = prepare(config, attempt, group, cx);
    Some(Box::new(IkeSa { id, local_spi: spi, first_message: None, state }))
}

fn prepare(config: Arc<ConnectionConfig>, attempt: Attempt, group: Group, cx: &mut Cx<'_>) -> State {
    let private = PrivateValue::draw(group, &mut |out| cx.env.random(out));
    let serial = cx.compute(Work::Public(private));
    State::InitPreparing(Box::new(InitPreparing { config, attempt, serial }))
}

impl InitPreparing {
    pub(crate) fn on_computed(self: Box<Self>, result: JobResult, cx: &mut Cx<'_>) -> State {
        match result.outcome {
            Outcome::Public(private, public) if result.serial == self.serial => {
                send(self.config, self.attempt, private, public, cx)
            }
            _ => State::InitPreparing(self),
        }
    }
}

fn send(
    config: Arc<ConnectionConfig>,
    attempt: Attempt,
    private: PrivateValue,
    public: Vec<u8>,
    cx: &mut Cx<'_>,
) -> State {
    let Path { local, remote, .. } = attempt.path;
    let mut payloads = Vec::new();
    if let Some(cookie) = &attempt.cookie {
        payloads.push(Payload::Notify(Notify::new(NotifyType::COOKIE, cookie.clone())));
    }
    payloads.push(Payload::SecurityAssociation(ike_proposals(&config.ike_suites, None)));
    payloads
        .push(Payload::KeyExchange(KeyExchangeData { group: private.group().id(), public: public.clone() }));
    payloads.push(Payload::Nonce(attempt.nonce.clone()));
    let spis = (attempt.spi, IkeSpi::NONE);
    payloads.extend(nat_payloads(spis, local, remote, config.force_encapsulation));
    let header = header(spis, Role::Initiator, MessageKind::Request);
    let request = Message { header, payloads }.build().expect("our own IKE_SA_INIT fits a datagram");
    cx.transmit(local, remote, request.clone());
    let retransmission = Retransmission::start(vec![request.clone()], cx.now, cx.settings);
    State::InitSent(Box::new(InitSent { config, attempt, private, public, request, retransmission }))
}

impl InitSent {
    pub(crate) fn deadline(&self) -> Instant {
        self.retransmission.deadline()
    }

    pub(crate) fn on_timeout(mut self: Box<Self>, cx: &mut Cx<'_>) -> State {
        match self.retransmission.due(cx.now, cx.settings) {
            Due::Nothing => {}
            Due::Resend => {
                cx.note_stage(What::Retransmit, Stage::Init);
                cx.transmit(self.attempt.path.local, self.attempt.path.remote, self.request.clone());
            }
            Due::GiveUp => {
                let error = IkeError::NoAnswer { stage: Stage::Init, hint: self.attempt.hint };
                return failed(error, cx);
            }
        }
        State::InitSent(self)
    }

    pub(crate) fn on_datagram(self: Box<Self>, arrived: &Arrived<'_>, cx: &mut Cx<'_>) -> State {
        let Ok(message) = Message::parse(arrived.bytes) else {
            cx.note_from(What::DropMalformed, arrived.remote);
            return State::InitSent(self);
        };
        let header = message.header;
        let fits = header.exchange == ExchangeType::IKE_SA_INIT
            && header.kind == MessageKind::Response
            && header.id == MessageId(0)
            && arrived.remote == self.attempt.path.remote;
        if !fits {
            cx.note_from(What::DropUnexpected, arrived.remote);
            return State::InitSent(self);
        }
        if let Some(cookie) = message.notify(NotifyType::COOKIE) {
            return self.on_cookie(&cookie.data, cx);
        }
        match message.error() {
            Some(notify) if notify.kind == NotifyType::INVALID_KE_PAYLOAD => {
                self.on_other_group(&notify.data, cx)
            }
            Some(notify) => self.remember(notify.kind, cx),
            None => self.on_answer(arrived, &message, cx),
        }
    }

    /// An error from somebody: a hint for the operator, no reason to stop (RFC 7296, 2.21.1).
    fn remember(mut self: Box<Self>, kind: NotifyType, cx: &mut Cx<'_>) -> State {
        cx.note_stage(What::UnprovenError, Stage::Init);
        self.attempt.hint = Some(kind);
        let error = IkeError::NoAnswer { stage: Stage::Init, hint: Some(kind) };
        cx.effect(Effect::Hint(self.config.id, error));
        State::InitSent(self)
    }

    fn on_cookie(mut self: Box<Self>, cookie: &[u8], cx: &mut Cx<'_>) -> State {
        self.attempt.rounds += 1;
        let usable = (1..=MAX_COOKIE_BYTES).contains(&cookie.len()) && self.attempt.rounds <= MAX_ROUNDS;
        if !usable || self.attempt.cookie.as_deref() == Some(cookie) {
            cx.note(What::DropUnexpected);
            return State::InitSent(self);
        }
        cx.note(What::CookieReturned);
        self.attempt.cookie = Some(cookie.to_vec());
        let Self { config, attempt, private, public, .. } = *self;
        send(config, attempt, private, public, cx)
    }

    fn on_other_group(mut self: Box<Self>, data: &[u8], cx: &mut Cx<'_>) -> State {
        let wanted =
            <[u8; 2]>::try_from(data).ok().and_then(|id| Group::from_id(GroupId(u16::from_be_bytes(id))));
        let offered = |group: &Group| self.config.ike_suites.iter().any(|suite| suite.group == *group);
        let Some(group) = wanted.filter(offered).filter(|group| *group != self.private.group()) else {
            return self.remember(NotifyType::INVALID_KE_PAYLOAD, cx);
        };
        self.attempt.rounds += 1;
        if self.attempt.rounds > MAX_ROUNDS {
            return failed(IkeError::GroupDispute(Stage::Init), cx);
        }
        cx.note(What::GroupChanged);
        let Self { config, attempt, .. } = *self;
        prepare(config, attempt, group, cx)
    }

    fn on_answer(self: Box<Self>, arrived: &Arrived<'_>, message: &Message, cx: &mut Cx<'_>) -> State {
        let header = &message.header;
        let (Some(sa), Some(ke), Some(nonce)) = (message.sa(), message.ke(), message.nonce()) else {
            cx.note_from(What::DropUnexpected, arrived.remote);
            return State::InitSent(self);
        };
        let choice = accept_ike(&self.config.ike_suites, sa).ok();
        let choice = choice
            .filter(|choice| choice.suite.group.id() == ke.group && ke.group == self.private.group().id());
        let Some(choice) = choice.filter(|_| header.responder_spi != IkeSpi::NONE) else {
            cx.note_from(What::DropUnexpected, arrived.remote);
            return State::InitSent(self);
        };
        let spis = (self.attempt.spi, header.responder_spi);
        let path = detect_nat(message, spis, arrived, self.attempt.path, Role::Initiator, &self.config, cx);
        let serial = cx.compute(Work::Agree(self.private, ke.public.clone()));
        let sent = Sent {
            config: self.config,
            spi: self.attempt.spi,
            nonce: self.attempt.nonce,
            request: self.request,
        };
        State::InitSharing(Box::new(InitSharing {
            sent,
            serial,
            suite: choice.suite,
            responder_spi: header.responder_spi,
            answer: arrived.bytes.to_vec(),
            nonce: nonce.clone(),
            path,
            fragments: message.notify(NotifyType::IKEV2_FRAGMENTATION_SUPPORTED).is_some(),
        }))
    }
}

impl InitSharing {
    pub(crate) fn on_computed(self: Box<Self>, result: JobResult, cx: &mut Cx<'_>) -> State {
        if result.serial != self.serial {
            return State::InitSharing(self);
        }
        let Outcome::Agreed(shared) = result.outcome else { return State::InitSharing(self) };
        let Ok(shared) = shared else { return failed(IkeError::BadPublicKey(Stage::Init), cx) };
        cx.note_stage(What::KeysAgreed, Stage::Init);
        let transcript = Transcript {
            request: self.sent.request,
            answer: self.answer,
            nonce_initiator: self.sent.nonce,
            nonce_responder: self.nonce,
        };
        let spis = (self.sent.spi, self.responder_spi);
        let keys = IkeKeys::derive(self.suite, &shared, transcript.nonces(), spi_pair(spis));
        let secured = Secured::new(spis, Role::Initiator, keys, self.path, self.fragments);
        auth::begin(secured, self.sent.config, transcript, cx)
    }
}

fn failed(error: IkeError, cx: &mut Cx<'_>) -> State {
    cx.note_stage(What::ExchangeFailed, Stage::Init);
    cx.ended(DownReason::Error(error.clone()), Some(error), false);
    State::Gone
}

/// A first message from a peer. Until the cookie is right, and for every refusal, no state is kept.
pub(crate) fn accept(
    endpoint: &mut Endpoint,
    arrived: &Arrived<'_>,
    now: Instant,
    env: &mut dyn Environment,
) {
    let (half_open, limit, threshold) =
        (endpoint.half_open.len(), endpoint.settings.half_open_limit, endpoint.settings.cookie_threshold);
    let Ok(message) = Message::parse(arrived.bytes) else {
        return endpoint.cx(now, env).note_from(What::DropMalformed, arrived.remote);
    };
    let (Some(sa), Some(ke), Some(nonce), MessageId(0)) =
        (message.sa(), message.ke(), message.nonce(), message.header.id)
    else {
        return endpoint.cx(now, env).note_from(What::DropUnexpected, arrived.remote);
    };
    if endpoint.stopping {
        return endpoint.cx(now, env).note_from(What::DropStopping, arrived.remote);
    }
    if half_open >= limit {
        return endpoint.cx(now, env).note_from(What::DropHalfOpenLimit, arrived.remote);
    }
    if half_open >= threshold && !cookie_is_right(endpoint, arrived, &message, now, env) {
        return;
    }
    let mut cx = endpoint.cx(now, env);
    if let Some(kind) = message.unsupported_critical() {
        return refuse(arrived, &message, NotifyType::UNSUPPORTED_CRITICAL_PAYLOAD, vec![kind.0], &mut cx);
    }
    let mut fitting = Vec::new();
    let mut chosen = None;
    let (local, remote) = (arrived.local.ip(), arrived.remote.ip());
    let mut candidates: Vec<_> = cx.connections.values().filter(|c| c.may_answer(local, remote)).collect();
    // A peer with a known address before those from anywhere.
    candidates.sort_by_key(|candidate| candidate.config.remote_address.is_none());
    for candidate in &candidates {
        if let Some(choice) = choose_ike(&candidate.config.ike_suites, sa, ke.group) {
            let first = &*chosen.get_or_insert_with(|| choice.clone());
            if candidate.config.ike_suites.contains(&first.suite) {
                fitting.push(candidate.config.id);
            }
        }
    }
    let unknown = candidates.is_empty();
    let Some(choice) = chosen else {
        cx.note_from(if unknown { What::DropNoConnection } else { What::ExchangeFailed }, arrived.remote);
        if let Some(candidate) = candidates.first().map(|candidate| candidate.config.id) {
            cx.effect(Effect::Hint(candidate, IkeError::NoProposalChosen(Stage::Init)));
        }
        return refuse(arrived, &message, NotifyType::NO_PROPOSAL_CHOSEN, Vec::new(), &mut cx);
    };
    if choice.suite.group.id() != ke.group {
        cx.note_from(What::GroupDemanded, arrived.remote);
        let group = choice.suite.group.id().0.to_be_bytes().to_vec();
        return refuse(arrived, &message, NotifyType::INVALID_KE_PAYLOAD, group, &mut cx);
    }
    let id = IkeId(cx.shared.next_id());
    cx.ike = Some(id);
    cx.note_from(What::Responding, arrived.remote);
    let spis = (message.header.initiator_spi, cx.ike_spi());
    let private = PrivateValue::draw(choice.suite.group, &mut |out| cx.env.random(out));
    let path = Path {
        local: arrived.local,
        remote: arrived.remote,
        encapsulation: Encapsulation::None,
        nat_before_us: false,
        nat_before_peer: false,
    };
    let config = Arc::clone(&cx.connections[&fitting[0]].config);
    let seen = (message.header.initiator_spi, IkeSpi::NONE);
    let path = detect_nat(&message, seen, arrived, path, Role::Responder, &config, &mut cx);
    let state = InitAnswering {
        serial: cx.compute(Work::Answer(private, ke.public.clone())),
        spis,
        suite: choice.suite,
        proposal: choice.proposal,
        request: arrived.bytes.to_vec(),
        nonces: (nonce.clone(), cx.nonce()),
        candidates: fitting,
        path,
        fragments: message.notify(NotifyType::IKEV2_FRAGMENTATION_SUPPORTED).is_some(),
    };
    let first_message = Some((arrived.remote, message.header.initiator_spi));
    endpoint.register(Box::new(IkeSa {
        id,
        local_spi: spis.1,
        first_message,
        state: State::InitAnswering(Box::new(state)),
    }));
}

/// Whether the request carries a cookie of ours; if it carries none, it is answered with one (RFC 7296, 2.6).
fn cookie_is_right(
    endpoint: &mut Endpoint,
    arrived: &Arrived<'_>,
    message: &Message,
    now: Instant,
    env: &mut dyn Environment,
) -> bool {
    let spi = message.header.initiator_spi;
    let nonce = message.nonce().map_or(&[][..], Vec::as_slice);
    endpoint.rotate_cookies(now, env);
    let given = message.notify(NotifyType::COOKIE);
    if given.is_some_and(|notify| endpoint.cookies.is_valid(&notify.data, nonce, arrived.remote, spi)) {
        return true;
    }
    let cookie = endpoint.cookies.issue(nonce, arrived.remote, spi).unwrap_or_default();
    let mut cx = endpoint.cx(now, env);
    cx.note_from(if given.is_some() { What::DropCookie } else { What::CookieDemanded }, arrived.remote);
    refuse(arrived, message, NotifyType::COOKIE, cookie, &mut cx);
    false
}

impl InitAnswering {
    pub(crate) fn on_computed(self: Box<Self>, result: JobResult, cx: &mut Cx<'_>) -> State {
        let Outcome::Answered(answered) = result.outcome else { return State::InitAnswering(self) };
        if result.serial != self.serial {
            return State::InitAnswering(self);
        }
        let Ok((public, shared)) = answered else {
            cx.note_stage(What::ExchangeFailed, Stage::Init);
            return State::Gone;
        };
        self.answer(public, &shared, cx)
    }

    fn answer(self: Box<Self>, public: Vec<u8>, shared: &Secret<Vec<u8>>, cx: &mut Cx<'_>) -> State {
        let Path { local, remote, .. } = self.path;
        let force = self
            .candidates
            .iter()
            .filter_map(|id| cx.connections.get(id))
            .any(|c| c.config.force_encapsulation);
        let mut payloads = vec![
            Payload::SecurityAssociation(vec![self.proposal]),
            Payload::KeyExchange(KeyExchangeData { group: self.suite.group.id(), public }),
            Payload::Nonce(self.nonces.1.clone()),
        ];
        payloads.extend(nat_payloads(self.spis, local, remote, force));
        let header = header(self.spis, Role::Responder, MessageKind::Response);
        let answer = Message { header, payloads }.build().expect("our own IKE_SA_INIT fits a datagram");
        cx.transmit(local, remote, answer.clone());
        cx.note_stage(What::KeysAgreed, Stage::Init);
        let transcript = Transcript {
            request: self.request,
            answer,
            nonce_initiator: self.nonces.0,
            nonce_responder: self.nonces.1,
        };
        let keys = IkeKeys::derive(self.suite, shared, transcript.nonces(), spi_pair(self.spis));
        let secured = Secured::new(self.spis, Role::Responder, keys, self.path, self.fragments);
        State::AuthAwaited(Box::new(auth::AuthAwaited {
            secured,
            transcript,
            candidates: self.candidates,
            expires_at: cx.now + cx.settings.half_open_timeout,
        }))
    }
}

/// Answers without keeping state: an error, or a cookie.
fn refuse(arrived: &Arrived<'_>, message: &Message, kind: NotifyType, data: Vec<u8>, cx: &mut Cx<'_>) {
    let spis = (message.header.initiator_spi, IkeSpi::NONE);
    let header = header(spis, Role::Responder, MessageKind::Response);
    let payloads = vec![Payload::Notify(Notify::new(kind, data))];
    let answer = Message { header, payloads }.build().expect("one notification fits a datagram");
    cx.transmit(arrived.local, arrived.remote, answer);
}

/// Tells a peer that speaks another major version which one is spoken here (RFC 7296, 2.5).
pub(crate) fn refuse_version(arrived: &Arrived<'_>, cx: &mut Cx<'_>) {
    let Some((head, _)) = arrived.bytes.split_first_chunk::<28>() else { return };
    let spi = |at: usize| head[at..at + 8].iter().fold(0u64, |spi, byte| spi << 8 | u64::from(*byte));
    let is_newer_request = head[17] >> 4 > 2 && head[19] & 0x20 == 0;
    if !is_newer_request {
        return;
    }
    let header = Header {
        exchange: ExchangeType(head[18]),
        id: MessageId(u32::from_be_bytes([head[20], head[21], head[22], head[23]])),
        ..header((IkeSpi(spi(0)), IkeSpi(spi(8))), Role::Responder, MessageKind::Response)
    };
    let payloads = vec![Payload::Notify(Notify::new(NotifyType::INVALID_MAJOR_VERSION, Vec::new()))];
    if let Ok(answer) = (Message { header, payloads }).build() {
        cx.transmit(arrived.local, arrived.remote, answer);
    }
}

fn header(spis: (IkeSpi, IkeSpi), sender: Role, kind: MessageKind) -> Header {
    let exchange = ExchangeType::IKE_SA_INIT;
    Header { initiator_spi: spis.0, responder_spi: spis.1, exchange, sender, kind, id: MessageId(0) }
}

/// Both SPIs by name.
pub(crate) fn spi_pair(spis: (IkeSpi, IkeSpi)) -> IkeSpis {
    IkeSpis { initiator: spis.0, responder: spis.1 }
}

/// NAT detection and IKE fragmentation, as both sides announce them. Forcing encapsulation means to hash an address that nobody has (RFC 7296, 2.23).
fn nat_payloads(spis: (IkeSpi, IkeSpi), local: SocketAddr, remote: SocketAddr, force: bool) -> Vec<Payload> {
    let source = if force { SocketAddr::new(local.ip(), 0) } else { local };
    let notify = |kind, data| Payload::Notify(Notify::new(kind, data));
    vec![
        notify(NotifyType::NAT_DETECTION_SOURCE_IP, nat::detection(spi_pair(spis), source).to_vec()),
        notify(NotifyType::NAT_DETECTION_DESTINATION_IP, nat::detection(spi_pair(spis), remote).to_vec()),
        notify(NotifyType::IKEV2_FRAGMENTATION_SUPPORTED, Vec::new()),
    ]
}

/// What the peer's hashes say about NATs, and the path that follows from it: UDP encapsulation, and for the initiator the move to port 4500.
fn detect_nat(
    message: &Message,
    spis: (IkeSpi, IkeSpi),
    arrived: &Arrived<'_>,
    mut path: Path,
    role: Role,
    config: &ConnectionConfig,
    cx: &mut Cx<'_>,
) -> Path {
    let of = |kind| message.notifies().filter(move |notify| notify.kind == kind);
    let differs = |kind: NotifyType, address: SocketAddr| {
        let expected = nat::detection(spi_pair(spis), address);
        of(kind).next().is_some() && !of(kind).any(|notify| notify.data == expected)
    };
    path.nat_before_peer = differs(NotifyType::NAT_DETECTION_SOURCE_IP, arrived.remote);
    path.nat_before_us = differs(NotifyType::NAT_DETECTION_DESTINATION_IP, arrived.local);
    let speaks = of(NotifyType::NAT_DETECTION_SOURCE_IP).next().is_some();
    let found = path.nat_before_peer || path.nat_before_us;
    if found || (speaks && config.force_encapsulation) {
        if found {
            cx.note_from(What::NatFound, arrived.remote);
        }
        path.encapsulation = Encapsulation::Udp;
        if role == Role::Initiator {
            path.local.set_port(NAT_PORT);
            path.remote.set_port(NAT_PORT);
        }
    }
    path
}
