//! IKE_SESSION_RESUME (RFC 5723, 4.3): a ticket instead of IKE_SA_INIT. The keys come from the lost IKE SA's SK_d and fresh nonces; IKE_AUTH proves that both have
//! them, and that the peer is the one that it was. Here is the exchange in both roles, and how tickets are asked for, issued and kept.
//!
//! A ticket that is refused costs a round trip: the initiator goes on with IKE_SA_INIT at once, whoever it is that refuses.

use std::sync::Arc;

use crate::config::ConnectionConfig;
use crate::crypto::keys::IkeKeys;
use crate::effect::Effect;
use crate::endpoint::Endpoint;
use crate::environment::{Environment, Instant};
use crate::error::{IkeError, Stage};
use crate::established::{Established, Pending};
use crate::event::{ConnectionId, DownReason, Encapsulation, IkeId, Path};
use crate::exchange::auth::{self, AuthAwaited};
use crate::exchange::init::{self, Transcript};
use crate::exchange::intermediate::Mixing;
use crate::identity::Identity;
use crate::notice::What;
use crate::place::PLACE_PATIENCE;
use crate::sa::{Arrived, Cx, IkeSa, State};
use crate::secret::Secret;
use crate::secured::Secured;
use crate::ticket::{self, Held, LIFE, Resumable, TicketId};
use crate::window::{Due, Retransmission};
use crate::wire::{
    ExchangeType, Header, IkeSpi, Message, MessageId, MessageKind, Notify, NotifyType, Payload, Role,
};

/// Most cookies that an attempt follows.
const MAX_ROUNDS: u32 = 3;
/// Longest cookie (RFC 7296, 2.6).
const MAX_COOKIE_BYTES: usize = 64;

/// Initiator: the ticket is out.
#[derive(Debug)]
pub(crate) struct Resuming {
    pub(crate) config: Arc<ConnectionConfig>,
    pub(crate) path: Path,
    spi: IkeSpi,
    nonce: Vec<u8>,
    cookie: Option<Vec<u8>>,
    rounds: u32,
    held: Held,
    request: Vec<u8>,
    retransmission: Retransmission,
}

/// Responder: which ticket brought a half-open IKE SA about.
#[derive(Debug)]
pub(crate) struct Resumed {
    pub(crate) ticket: TicketId,
    pub(crate) expires_at: Instant,
    /// Who it was issued to.
    pub(crate) peer: Identity,
    pub(crate) epoch: u64,
}

fn header(spis: (IkeSpi, IkeSpi), sender: Role, kind: MessageKind) -> Header {
    let (initiator_spi, responder_spi) = spis;
    let (exchange, id) = (ExchangeType::IKE_SESSION_RESUME, MessageId(0));
    Header { initiator_spi, responder_spi, exchange, sender, kind, id }
}

/// Begins with a ticket, with the peer at the end of `path`.
pub(crate) fn begin(config: Arc<ConnectionConfig>, path: Path, held: Held, cx: &mut Cx<'_>) -> Box<IkeSa> {
    let id = IkeId(cx.shared.next_id());
    cx.ike = Some(id);
    cx.note_from(What::Initiating, path.remote);
    let (spi, nonce) = (cx.ike_spi(), cx.nonce());
    let retransmission = Retransmission::start(Vec::new(), cx.now, cx.settings);
    let (cookie, request) = (None, Vec::new());
    let resuming = Resuming { config, path, spi, nonce, cookie, rounds: 0, held, request, retransmission };
    let state = Box::new(resuming).send(cx);
    IkeSa::new(id, spi, None, state, cx)
}

impl Resuming {
    fn send(mut self: Box<Self>, cx: &mut Cx<'_>) -> State {
        let Path { local, remote, .. } = self.path;
        let notify = |kind, data| Payload::Notify(Notify::new(kind, data));
        let mut payloads: Vec<Payload> =
            self.cookie.iter().map(|cookie| notify(NotifyType::COOKIE, cookie.clone())).collect();
        payloads.push(Payload::Nonce(self.nonce.clone()));
        payloads.push(notify(NotifyType::TICKET_OPAQUE, self.held.opaque.clone()));
        let spis = (self.spi, IkeSpi::NONE);
        payloads.extend(init::nat_payloads(spis, local, remote, self.config.force_encapsulation));
        let header = header(spis, Role::Initiator, MessageKind::Request);
        let request = Message { header, payloads }.build().expect("a ticket fits a datagram");
        cx.transmit(local, remote, request.clone());
        let packets = vec![request.clone()];
        self.retransmission = Retransmission::limited(packets, cx.now, cx.settings, PLACE_PATIENCE);
        self.request = request;
        State::Resuming(self)
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.retransmission.deadline()
    }

    pub(crate) fn on_timeout(mut self: Box<Self>, cx: &mut Cx<'_>) -> State {
        match self.retransmission.due(cx.now, cx.settings) {
            Due::Nothing => {}
            Due::Resend => {
                cx.note_stage(What::Retransmit, Stage::Init);
                cx.transmit(self.path.local, self.path.remote, self.request.clone());
            }
            Due::GiveUp => {
                // Nobody took the ticket: it is as good for the next attempt.
                cx.effect(Effect::Ticket(self.config.id, Box::new(self.held)));
                let error = IkeError::NoAnswer { stage: Stage::Init, hint: None };
                cx.note_stage(What::ExchangeFailed, Stage::Init);
                cx.ended(DownReason::Error(error.clone()), Some(error), false);
                return State::Gone;
            }
        }
        State::Resuming(self)
    }

    pub(crate) fn on_datagram(mut self: Box<Self>, arrived: &Arrived<'_>, cx: &mut Cx<'_>) -> State {
        let Ok(message) = Message::parse(arrived.bytes) else {
            cx.note_from(What::DropMalformed, arrived.remote);
            return State::Resuming(self);
        };
        let header = message.header;
        let fits = header.exchange == ExchangeType::IKE_SESSION_RESUME
            && header.kind == MessageKind::Response
            && header.id == MessageId(0)
            && arrived.remote == self.path.remote;
        if !fits {
            cx.note_from(What::DropUnexpected, arrived.remote);
            return State::Resuming(self);
        }
        if let Some(cookie) = message.notify(NotifyType::COOKIE) {
            self.rounds += 1;
            let is_usable = (1..=MAX_COOKIE_BYTES).contains(&cookie.data.len()) && self.rounds <= MAX_ROUNDS;
            if is_usable && self.cookie.as_ref() != Some(&cookie.data) {
                cx.note(What::CookieReturned);
                self.cookie = Some(cookie.data.clone());
                return self.send(cx);
            }
            return State::Resuming(self);
        }
        let connection = cx.connections.get(&self.config.id);
        let is_outdated = connection.is_none_or(|connection| connection.epoch != self.held.epoch);
        if is_outdated || message.error().is_some() || message.notify(NotifyType::TICKET_NACK).is_some() {
            cx.note_from(What::TicketRefused, arrived.remote);
            return init::begin_anew(self.config, self.path, self.spi, cx);
        }
        match message.nonce().filter(|_| header.responder_spi != IkeSpi::NONE) {
            Some(nonce) => self.on_answer(arrived, &message, nonce.clone(), cx),
            None => {
                cx.note_from(What::DropUnexpected, arrived.remote);
                State::Resuming(self)
            }
        }
    }

    fn on_answer(
        self: Box<Self>,
        arrived: &Arrived<'_>,
        message: &Message,
        nonce: Vec<u8>,
        cx: &mut Cx<'_>,
    ) -> State {
        let Self { config, path, spi, nonce: own, held, request, .. } = *self;
        let spis = (spi, message.header.responder_spi);
        let path = init::detect_nat(message, spis, arrived, path, Role::Initiator, &config, cx);
        let transcript = transcript((request, arrived.bytes.to_vec()), (own, nonce));
        let fragments = message.notify(NotifyType::IKEV2_FRAGMENTATION_SUPPORTED).is_some();
        let keys = IkeKeys::resume(held.suite, &held.sk_d, transcript.nonces(), init::spi_pair(spis));
        let mut secured = Secured::new(spis, Role::Initiator, keys, path, fragments);
        (secured.additional, secured.ppk) = (held.additional, held.ppk);
        auth::begin_resumed(secured, config, transcript, held.peer, cx)
    }
}

fn transcript((request, answer): (Vec<u8>, Vec<u8>), nonces: (Vec<u8>, Vec<u8>)) -> Transcript {
    let (nonce_initiator, nonce_responder) = nonces;
    Transcript { request, answer, nonce_initiator, nonce_responder, intermediate: Vec::new(), ppk: false }
}

/// A peer shows a ticket. Until that is good, and for every refusal, no state is kept.
pub(crate) fn accept(
    endpoint: &mut Endpoint,
    arrived: &Arrived<'_>,
    now: Instant,
    env: &mut dyn Environment,
) {
    let Ok(message) = Message::parse(arrived.bytes) else {
        return endpoint.cx(now, env).note_from(What::DropMalformed, arrived.remote);
    };
    let shown = message.notify(NotifyType::TICKET_OPAQUE).filter(|_| message.header.id == MessageId(0));
    let (Some(nonce), Some(shown)) = (message.nonce(), shown) else {
        return endpoint.cx(now, env).note_from(What::DropUnexpected, arrived.remote);
    };
    if endpoint.stopping {
        return endpoint.cx(now, env).note_from(What::DropStopping, arrived.remote);
    }
    if !init::has_place(endpoint, arrived, &message, now, env) {
        return;
    }
    let mut cx = endpoint.cx(now, env);
    let found = cx.shared.tickets.open(&shown.data, now);
    let found = found.and_then(|(id, what)| Some((id, in_force(&what, arrived, &cx)?, what)));
    let Some((ticket, config, what)) = found else {
        cx.note_from(What::TicketRefused, arrived.remote);
        return init::refuse(arrived, &message, NotifyType::TICKET_NACK, Vec::new(), &mut cx);
    };
    let (suite, additional) =
        (config.ike_suites[usize::from(what.suite)], config.additional[usize::from(what.additional)]);
    let id = IkeId(cx.shared.next_id());
    cx.ike = Some(id);
    cx.is_stranger = true;
    cx.note_from(What::Responding, arrived.remote);
    let spis = (message.header.initiator_spi, cx.ike_spi());
    let (local, remote) = (arrived.local, arrived.remote);
    let encapsulation = Encapsulation::None;
    let path = Path { local, remote, encapsulation, nat_before_us: false, nat_before_peer: false };
    let seen = (spis.0, IkeSpi::NONE);
    let path = init::detect_nat(&message, seen, arrived, path, Role::Responder, &config, &mut cx);
    let own = cx.nonce();
    let mut payloads = vec![Payload::Nonce(own.clone())];
    payloads.extend(init::nat_payloads(spis, local, remote, config.force_encapsulation));
    let header = header(spis, Role::Responder, MessageKind::Response);
    let answer = Message { header, payloads }.build().expect("a nonce fits a datagram");
    cx.transmit(local, remote, answer.clone());
    let transcript = transcript((arrived.bytes.to_vec(), answer), (nonce.clone(), own));
    let keys = IkeKeys::resume(suite, &what.sk_d, transcript.nonces(), init::spi_pair(spis));
    let fragments = message.notify(NotifyType::IKEV2_FRAGMENTATION_SUPPORTED).is_some();
    let mut secured = Secured::new(spis, Role::Responder, keys, path, fragments);
    (secured.additional, secured.ppk) = (additional, what.ppk);
    let resumed = Resumed { ticket, expires_at: what.expires_at, peer: what.peer, epoch: what.epoch };
    let state = State::AuthAwaited(Box::new(AuthAwaited {
        secured,
        transcript,
        candidates: vec![config.id],
        mixing: Mixing::Done,
        expires_at: now + cx.settings.half_open_timeout,
        called_from: remote.ip(),
        resumed: Some(resumed),
    }));
    let sa = IkeSa::new(id, spis.1, Some((remote, spis.0)), state, &cx);
    endpoint.register(sa);
}

/// The configuration that a ticket was issued under, if it is the one that counts, and the peer may call from there.
fn in_force(what: &Resumable, arrived: &Arrived<'_>, cx: &Cx<'_>) -> Option<Arc<ConnectionConfig>> {
    let config = current(what.connection, what.epoch, arrived, cx)?;
    let has_suite = usize::from(what.suite) < config.ike_suites.len();
    (has_suite && usize::from(what.additional) < config.additional.len()).then_some(config)
}

/// A connection's configuration, if it is still that of `epoch` and answers to a peer at that address.
pub(crate) fn current(
    connection: ConnectionId,
    epoch: u64,
    arrived: &Arrived<'_>,
    cx: &Cx<'_>,
) -> Option<Arc<ConnectionConfig>> {
    let found = cx.connections.get(&connection).filter(|found| found.epoch == epoch)?;
    let may = found.may_answer(arrived.local.ip(), arrived.remote.ip()) && is_spoken(&found.config);
    may.then(|| Arc::clone(&found.config))
}

/// Whether tickets are used with a connection: each client of a gateway logs in by itself.
fn is_spoken(config: &ConnectionConfig) -> bool {
    config.resumption && config.clients.is_none()
}

/// What asks for a ticket, if we are one who would show it.
pub(crate) fn request(config: &ConnectionConfig) -> Option<Payload> {
    let wants = is_spoken(config) && config.mode.initiates();
    wants.then(|| Payload::Notify(Notify::new(NotifyType::TICKET_REQUEST, Vec::new())))
}

/// Whether the peer proved itself under the connection's present configuration.
fn is_proven(state: &Established, cx: &Cx<'_>) -> bool {
    cx.connections.get(&state.config.id).is_some_and(|connection| connection.epoch == state.proven_epoch)
}

/// A ticket for the peer, if it asks for one.
pub(crate) fn issue(state: &Established, message: &Message, cx: &mut Cx<'_>) -> Option<Payload> {
    message.notify(NotifyType::TICKET_REQUEST)?;
    let connection = cx.connections.get(&state.config.id)?;
    let (config, epoch) = (&connection.config, connection.epoch);
    let is_proven = state.proven_epoch == epoch;
    if !is_spoken(config) || !config.mode.responds() || state.is_leaving() || !is_proven {
        return None;
    }
    let until = cx.now + LIFE;
    let expires_at = state.tickets_until.map_or(until, |end| end.min(until));
    if expires_at <= cx.now {
        return None;
    }
    let place = |index: Option<usize>| index.and_then(|index| u8::try_from(index).ok());
    let suite = place(config.ike_suites.iter().position(|suite| *suite == state.secured.suite))?;
    let additional = place(config.additional.iter().position(|one| *one == state.secured.additional))?;
    let what = Resumable {
        connection: config.id,
        epoch,
        expires_at,
        suite,
        additional,
        ppk: state.secured.ppk,
        peer: state.peer.clone(),
        sk_d: Secret::from(state.secured.sk_d().expose().as_slice()),
    };
    let issued = cx.shared.tickets.issue(&what, cx.now, cx.env)?;
    Some(Payload::Notify(Notify::new(NotifyType::TICKET_LT_OPAQUE, issued)))
}

/// Keeps the ticket that the peer gave us.
pub(crate) fn keep(state: &mut Established, message: &Message, cx: &mut Cx<'_>) {
    let Some(notify) = message.notify(NotifyType::TICKET_LT_OPAQUE) else { return };
    let is_wanted = request(&state.config).is_some() && is_proven(state, cx);
    let Some((life, opaque)) = ticket::read(&notify.data).filter(|_| is_wanted) else {
        return;
    };
    let refresh_at = cx.now + life / 2;
    state.ticket_at = Some(refresh_at);
    let held = Held {
        opaque: opaque.to_vec(),
        until: cx.now + life,
        refresh_at,
        suite: state.secured.suite,
        additional: state.secured.additional,
        ppk: state.secured.ppk,
        peer: state.peer.clone(),
        epoch: state.proven_epoch,
        sk_d: Secret::from(state.secured.sk_d().expose().as_slice()),
    };
    cx.effect(Effect::Ticket(state.config.id, Box::new(held)));
}

/// Asks for another ticket: the one that we have is half over.
pub(crate) fn ask(state: &mut Established, cx: &mut Cx<'_>) {
    if let Some(request) = request(&state.config).filter(|_| is_proven(state, cx)) {
        state.pending = Some(Pending::Ticket);
        state.secured.request(ExchangeType::INFORMATIONAL, vec![request], cx);
    }
}
