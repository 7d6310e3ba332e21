//! The initiator of IKE_SA_INIT: prepares, sends, follows COOKIE and INVALID_KE_PAYLOAD, agrees on the secret (RFC 7296, 1.2, 2.6, 2.7).

use std::net::IpAddr;
use std::sync::Arc;

use super::{MIXES_ON_REQUEST, Transcript, detect_nat, header, nat_payloads, spi_pair};
use crate::auth::certificate;
use crate::config::ConnectionConfig;
use crate::connection::Evidence;
use crate::crypto::kex::{Group, PrivateValue};
use crate::crypto::keys::IkeKeys;
use crate::crypto::suite::{IkeSuite, accept_ike_mixed, offer_ike};
use crate::effect::Effect;
use crate::endpoint::NAT_PORT;
use crate::environment::Instant;
use crate::error::{IkeError, Stage};
use crate::event::{DownReason, IkeId, Path};
use crate::exchange::{auth, intermediate};
use crate::job::{JobResult, Outcome, Work};
use crate::mobility::Mobility;
use crate::notice::What;
use crate::place::PLACE_PATIENCE;
use crate::redirect::{self, Redirect};
use crate::sa::{Arrived, Cx, IkeSa, State};
use crate::secured::Secured;
use crate::window::{Due, Retransmission};
use crate::wire::{
    ExchangeType, GroupId, IkeSpi, KeyExchangeData, Message, MessageId, MessageKind, Notify, NotifyType,
    Payload, Role,
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
    /// Who sent us to this peer (RFC 5685).
    sent_by: Option<IpAddr>,
    /// Whether the peer asked for additional key exchanges.
    mixes: bool,
}

/// Initiator: the public value is being computed.
#[derive(Debug)]
pub(crate) struct InitPreparing {
    pub(crate) config: Arc<ConnectionConfig>,
    pub(crate) attempt: Attempt,
    pub(crate) serial: u64,
}

/// Initiator: the request is out.
#[derive(Debug)]
pub(crate) struct InitSent {
    pub(crate) config: Arc<ConnectionConfig>,
    pub(crate) attempt: Attempt,
    private: PrivateValue,
    public: Vec<u8>,
    request: Vec<u8>,
    retransmission: Retransmission,
}

/// Initiator: the shared secret is being computed.
#[derive(Debug)]
pub(crate) struct InitSharing {
    pub(crate) sent: Sent,
    pub(crate) serial: u64,
    suite: IkeSuite,
    responder_spi: IkeSpi,
    answer: Vec<u8>,
    nonce: Vec<u8>,
    pub(crate) path: Path,
    fragments: bool,
    /// The additional key exchange that follows.
    additional: Option<Group>,
    /// Whether both sides announced USE_PPK.
    ppk: bool,
}

/// What is left of [`InitSent`] once its private value is used.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) config: Arc<ConnectionConfig>,
    spi: IkeSpi,
    nonce: Vec<u8>,
    request: Vec<u8>,
}

/// Begins to initiate, with the peer at the end of `path`, to which another one may have sent us.
pub(crate) fn begin(
    config: Arc<ConnectionConfig>,
    path: Path,
    sent_by: Option<IpAddr>,
    cx: &mut Cx<'_>,
) -> Box<IkeSa> {
    let id = IkeId(cx.shared.next_id());
    cx.ike = Some(id);
    cx.note_from(What::Initiating, path.remote);
    let spi = cx.ike_spi();
    let attempt = Attempt::new(spi, path, sent_by, cx);
    let group = config.ike_suites[0].group;
    let state = prepare(config, attempt, group, cx);
    IkeSa::new(id, spi, None, state, cx)
}

/// Begins under an SPI that a ticket was refused for (RFC 5723, 4.3.3), with the peer at the end of `path`.
pub(crate) fn begin_anew(config: Arc<ConnectionConfig>, path: Path, spi: IkeSpi, cx: &mut Cx<'_>) -> State {
    let attempt = Attempt::new(spi, path, None, cx);
    let group = config.ike_suites[0].group;
    prepare(config, attempt, group, cx)
}

fn prepare(config: Arc<ConnectionConfig>, attempt: Attempt, group: Group, cx: &mut Cx<'_>) -> State {
    let private = PrivateValue::draw(group, &mut |out| cx.env.random(out));
    let serial = cx.compute(Work::Public(private));
    State::InitPreparing(Box::new(InitPreparing { config, attempt, serial }))
}

impl Attempt {
    fn new(spi: IkeSpi, path: Path, sent_by: Option<IpAddr>, cx: &mut Cx<'_>) -> Self {
        Self { spi, nonce: cx.nonce(), cookie: None, rounds: 0, hint: None, path, sent_by, mixes: false }
    }

    /// Where it is made.
    pub(crate) const fn path(&self) -> Path {
        self.path
    }
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
    let additional = config.offered_additional(attempt.mixes);
    let proposals = offer_ike(&config.ike_suites, additional, None);
    if additional.iter().any(Option::is_some) {
        payloads.push(Payload::Notify(Notify::new(NotifyType::INTERMEDIATE_EXCHANGE_SUPPORTED, Vec::new())));
    }
    payloads.push(Payload::SecurityAssociation(proposals));
    payloads
        .push(Payload::KeyExchange(KeyExchangeData { group: private.group().id(), public: public.clone() }));
    payloads.push(Payload::Nonce(attempt.nonce.clone()));
    let spis = (attempt.spi, IkeSpi::NONE);
    payloads.extend(nat_payloads(spis, local, remote, config.force_encapsulation));
    payloads
        .extend(config.ppk.as_ref().map(|_| Payload::Notify(Notify::new(NotifyType::USE_PPK, Vec::new()))));
    payloads.extend(config.authentication.certificate().map(|_| certificate::announcement()));
    if config.follow_redirects {
        payloads.push(attempt.sent_by.map_or_else(redirect::announcement, redirect::from));
    }
    if config.additional_on_request && !attempt.mixes {
        payloads.push(Payload::VendorId(MIXES_ON_REQUEST.to_vec()));
    }
    let header = header(spis, Role::Initiator, MessageKind::Request);
    let request = Message { header, payloads }.build().expect("our own IKE_SA_INIT fits a datagram");
    cx.transmit(local, remote, request.clone());
    let retransmission = match config.places.len() {
        0 | 1 => Retransmission::start(vec![request.clone()], cx.now, cx.settings),
        _ => Retransmission::limited(vec![request.clone()], cx.now, cx.settings, PLACE_PATIENCE),
    };
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
        if message.notify(NotifyType::OFFER_ADDITIONAL_KEY_EXCHANGES).is_some() {
            return self.on_wish_to_mix(cx);
        }
        if let Some(redirect) = Redirect::of(&message).filter(|_| self.config.follow_redirects) {
            return self.on_redirect(redirect, arrived, cx);
        }
        match message.error() {
            Some(notify) if notify.kind == NotifyType::INVALID_KE_PAYLOAD => {
                self.on_other_group(&notify.data, cx)
            }
            Some(notify) => self.remember(notify.kind, cx),
            None => self.on_answer(arrived, &message, cx),
        }
    }

    /// Somebody who saw our request sends us elsewhere (RFC 5685, 3).
    fn on_redirect(self: Box<Self>, redirect: Redirect, arrived: &Arrived<'_>, cx: &mut Cx<'_>) -> State {
        if !redirect.answers(&self.attempt.nonce) {
            cx.note_from(What::DropUnexpected, arrived.remote);
            return State::InitSent(self);
        }
        cx.ended(DownReason::Redirected, None, false);
        cx.effect(Effect::Redirected(self.config.id, redirect.to, arrived.remote.ip()));
        State::Gone
    }

    /// An error from somebody: a hint for the operator, no reason to stop (RFC 7296, 2.21.1).
    fn remember(mut self: Box<Self>, kind: NotifyType, cx: &mut Cx<'_>) -> State {
        self.attempt.hint = Some(kind);
        let error = IkeError::NoAnswer { stage: Stage::Init, hint: Some(kind) };
        let remote = self.attempt.path.remote;
        cx.refused(What::UnprovenError, remote, &[self.config.id], Evidence::Hint, &error);
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

    /// The peer is one of ours and can mix. Nobody vouches for that; an offer that it then passes over costs nothing but the round.
    fn on_wish_to_mix(mut self: Box<Self>, cx: &mut Cx<'_>) -> State {
        if !self.config.additional_on_request || self.attempt.mixes {
            cx.note(What::DropUnexpected);
            return State::InitSent(self);
        }
        self.attempt.mixes = true;
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
        let can_mix = message.notify(NotifyType::INTERMEDIATE_EXCHANGE_SUPPORTED).is_some();
        let offered = self.config.offered_additional(self.attempt.mixes);
        let choice = accept_ike_mixed(&self.config.ike_suites, offered, sa).ok();
        let choice = choice
            .filter(|choice| choice.additional.is_none() || can_mix)
            .filter(|choice| choice.suite.group.id() == ke.group && ke.group == self.private.group().id());
        let Some(choice) = choice.filter(|_| header.responder_spi != IkeSpi::NONE) else {
            cx.note_from(What::DropUnexpected, arrived.remote);
            return State::InitSent(self);
        };
        let spis = (self.attempt.spi, header.responder_spi);
        let path = detect_nat(message, spis, arrived, self.attempt.path, Role::Initiator, &self.config, cx);
        let path = if Mobility::is_offered(&self.config) { at_nat_port(path, message) } else { path };
        let serial = cx.compute(Work::Agree(self.private, ke.public.clone()));
        let ppk = self.config.ppk.is_some() && message.notify(NotifyType::USE_PPK).is_some();
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
            additional: choice.additional,
            ppk,
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
            intermediate: Vec::new(),
            ppk: self.ppk,
        };
        let spis = (self.sent.spi, self.responder_spi);
        let keys = IkeKeys::derive(self.suite, &shared, transcript.nonces(), spi_pair(spis));
        let secured = Secured::new(spis, Role::Initiator, keys, self.path, self.fragments);
        if let Some(method) = self.additional {
            return intermediate::begin(secured, self.sent.config, transcript, method, cx);
        }
        auth::begin(secured, self.sent.config, transcript, cx)
    }
}

/// Whoever may move begins at port 4500 where the peer can follow, so that a NAT on another path changes no port (RFC 4555, 3.3).
fn at_nat_port(mut path: Path, message: &Message) -> Path {
    if message.notify(NotifyType::NAT_DETECTION_SOURCE_IP).is_some() {
        path.local.set_port(NAT_PORT);
        path.remote.set_port(NAT_PORT);
    }
    path
}

fn failed(error: IkeError, cx: &mut Cx<'_>) -> State {
    cx.note_stage(What::ExchangeFailed, Stage::Init);
    cx.ended(DownReason::Error(error.clone()), Some(error), false);
    State::Gone
}
