//! The responder of IKE_AUTH: finds the connection that the peer is of, checks it, then proves itself (RFC 7296, 1.2, 2.15, 2.21.2).

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crossgate_eap::{Means, user_of};

use super::eap::is_for_client;
use super::first_child::{agree_as_responder, is_asked_later};
use super::{eap, establish, in_force, install, octets, selectors};
use crate::auth::certificate::{self, Offer, Sign, Verify};
use crate::auth::ppk::{self, Use};
use crate::auth::{AuthVerified, Authentication, psk};
use crate::client;
use crate::config::ConnectionConfig;
use crate::connection::Evidence;
use crate::crash::{self, Token};
use crate::environment::Instant;
use crate::error::{IkeError, Stage};
use crate::established::{Closing, Task, error_payload};
use crate::event::{ConnectionId, Role};
use crate::exchange::configuration;
use crate::exchange::init::Transcript;
use crate::exchange::intermediate::Mixing;
use crate::exchange::resume::{self, Resumed};
use crate::identity::Identity;
use crate::job::{JobResult, Outcome};
use crate::mobility::{self, Mobility};
use crate::notice::What;
use crate::redirect;
use crate::sa::{Arrived, Cx, State};
use crate::secured::{Received, Secured};
use crate::wire::{
    AuthMethod, ExchangeType, Header, Message, MessageKind, Notify, NotifyType, Payload, PayloadType,
};

/// How long a peer that began without a Child SA has to ask for one.
const CHILDLESS_WAIT: Duration = Duration::from_secs(10);

/// Responder: IKE_SA_INIT is answered.
#[derive(Debug)]
pub(crate) struct AuthAwaited {
    pub(crate) secured: Secured,
    pub(crate) transcript: Transcript,
    /// Connections that the peer may be of.
    pub(crate) candidates: Vec<ConnectionId>,
    /// Whether an additional key exchange comes before.
    pub(crate) mixing: Mixing,
    pub(crate) expires_at: Instant,
    /// Where the peer began: it has got our answer there, which of the source of a later message nobody knows.
    pub(crate) called_from: IpAddr,
    /// The ticket that it began with, if any.
    pub(crate) resumed: Option<Resumed>,
}

/// Responder: the peer's proof is being checked, and ours signed.
#[derive(Debug)]
pub(crate) struct AuthProving {
    pub(crate) awaited: AuthAwaited,
    /// What the proofs are checked and signed under.
    config: Arc<ConnectionConfig>,
    message: Message,
    pub(crate) serial: u64,
}

/// How far the peer's proof is checked.
pub(super) enum Checked {
    /// It is right.
    Proven(AuthVerified, crate::wire::Authentication),
    /// The pool has to say, and makes ours.
    Open(Box<(Verify, Sign)>),
    /// The client logs in after our proof, which the pool makes.
    Login(Box<Sign>),
}

/// What makes an IKE SA established.
pub(super) struct Login {
    pub(super) proof: AuthVerified,
    /// Ours.
    pub(super) auth: crate::wire::Authentication,
    /// Which client it is; none for a peer that is what it calls itself.
    pub(super) user: Option<Identity>,
    /// What a client proved itself with.
    pub(super) by: Option<Means>,
    /// Whether EAP came before, so that both sides know us.
    pub(super) is_by_eap: bool,
}

impl AuthProving {
    pub(crate) fn on_computed(self: Box<Self>, result: JobResult, cx: &mut Cx<'_>) -> State {
        match result.outcome {
            Outcome::Proven(done) if result.serial == self.serial => match done {
                Ok((Some(proof), Some(ours))) => self.proven(proof, ours.auth, cx),
                Ok(_) => State::AuthProving(self),
                Err(error) => {
                    let is_mixed = self.awaited.mixes_ppk(&self.config, &self.message);
                    Box::new(self.awaited).refuse(ppk::explained(error, is_mixed), cx)
                }
            },
            _ => State::AuthProving(self),
        }
    }

    /// Both proofs are there. Until now the connection did not know of this IKE SA, so nothing was told of a change meanwhile.
    fn proven(
        self: Box<Self>,
        proof: AuthVerified,
        auth: crate::wire::Authentication,
        cx: &mut Cx<'_>,
    ) -> State {
        let Self { awaited, config, message, .. } = *self;
        let current = in_force(&config, cx)
            .filter(|current| current.mode.responds() && current.authentication == config.authentication);
        match current {
            Some(current) => {
                let path = proof.client().cloned();
                if current.clients.is_some() && path.is_none() {
                    return Box::new(awaited).refuse(IkeError::NotByEap, cx);
                }
                // A certificate is one client, whichever of its names it calls itself by and whether it comes by EAP.
                let user = path.as_ref().map(|path| user_of(path.end()).into_bytes()).map(Identity::KeyId);
                let login = Login { proof, auth, user, by: path.map(Means::Certificate), is_by_eap: false };
                Box::new(awaited).establish(login, current, &message, cx)
            }
            None => Box::new(awaited).refuse(IkeError::Reconfigured, cx),
        }
    }
}

impl AuthAwaited {
    pub(crate) fn on_timeout(self: Box<Self>, cx: &mut Cx<'_>) -> State {
        if cx.now < self.expires_at {
            return State::AuthAwaited(self);
        }
        let stage = if matches!(self.mixing, Mixing::Done) { Stage::Auth } else { Stage::Intermediate };
        self.tell(What::HalfOpenExpired, &IkeError::StoppedHalfWay(stage), cx);
        State::Gone
    }

    pub(crate) fn on_datagram(
        mut self: Box<Self>,
        arrived: &Arrived<'_>,
        header: &Header,
        cx: &mut Cx<'_>,
    ) -> State {
        if matches!(header.exchange, ExchangeType::IKE_SA_INIT | ExchangeType::IKE_SESSION_RESUME) {
            if arrived.bytes == self.transcript.request {
                cx.note(What::AnswerRepeated);
                cx.transmit(arrived.local, arrived.remote, self.transcript.answer.clone());
            }
            return State::AuthAwaited(self);
        }
        if !matches!(self.mixing, Mixing::Done) {
            return self.on_intermediate(arrived, header, cx);
        }
        if header.exchange == ExchangeType::IKE_INTERMEDIATE {
            // Nothing but a repeat, to be answered again.
            let _ = self.secured.receive(arrived, header, cx);
            return State::AuthAwaited(self);
        }
        if header.exchange != ExchangeType::IKE_AUTH || header.kind == MessageKind::Response {
            cx.note_from(What::DropUnexpected, arrived.remote);
            return State::AuthAwaited(self);
        }
        let result = match self.secured.receive(arrived, header, cx) {
            Received::Nothing => return State::AuthAwaited(self),
            Received::Malformed(malformed) => Err(malformed.into()),
            Received::Message(message) => self.check(arrived, &message, cx).map(|found| (found, message)),
        };
        // The initiator may have moved to port 4500; what authenticates says where it is now.
        self.secured.path.local = arrived.local;
        self.secured.path.remote = arrived.remote;
        match result {
            Ok(((Checked::Proven(proof, auth), config), message)) => {
                let login = Login { proof, auth, user: None, by: None, is_by_eap: false };
                self.establish(login, config, &message, cx)
            }
            Ok(((Checked::Login(sign), config), message)) => {
                let serial = cx.prove(None, Some(*sign));
                eap::begin(*self, config, message, serial, cx)
            }
            Ok(((Checked::Open(both), config), message)) => {
                let (verify, sign) = *both;
                let serial = cx.prove(Some(verify), Some(sign));
                State::AuthProving(Box::new(AuthProving { awaited: *self, config, message, serial }))
            }
            Err(error) => self.refuse(error, cx),
        }
    }

    pub(super) fn refuse(self: Box<Self>, error: IkeError, cx: &mut Cx<'_>) -> State {
        self.refuse_with(error, Vec::new(), cx)
    }

    /// The same, with what else the peer is told first.
    pub(super) fn refuse_with(
        mut self: Box<Self>,
        error: IkeError,
        mut payloads: Vec<Payload>,
        cx: &mut Cx<'_>,
    ) -> State {
        self.tell(What::ExchangeFailed, &error, cx);
        payloads.push(error_payload(&error));
        self.secured.answer(ExchangeType::IKE_AUTH, payloads, cx);
        State::Closing(Box::new(Closing::answered(self.secured, None, cx)))
    }

    /// Tells each connection that the peer may be of why there is no IKE SA.
    pub(crate) fn tell(&self, what: What, error: &IkeError, cx: &mut Cx<'_>) {
        let evidence = match (self.candidates.as_slice(), what) {
            ([_], What::ExchangeFailed) => Evidence::Shown,
            _ => Evidence::Hint,
        };
        cx.refused(what, self.secured.path.remote, &self.candidates, evidence, error);
    }

    /// Which connection the peer is of, and its proof. Whatever is wrong once that is known is of that connection alone.
    fn check(
        &mut self,
        arrived: &Arrived<'_>,
        message: &Message,
        cx: &mut Cx<'_>,
    ) -> Result<(Checked, Arc<ConnectionConfig>), IkeError> {
        let missing = |payload| IkeError::Missing { stage: Stage::Auth, payload };
        if let Some(kind) = message.unsupported_critical() {
            return Err(IkeError::UnsupportedCritical(kind));
        }
        let id = message.id_initiator().ok_or(missing(PayloadType::IDI))?;
        let peer = Identity::from_wire(id);
        if let Some(resumed) = &self.resumed {
            return self.check_resumed(resumed, arrived, message, cx);
        }
        let config = self.choose(arrived, message, &peer, cx)?;
        self.candidates = vec![config.id];
        let not_so = match config.authentication {
            Authentication::SharedKey(_) => IkeError::OtherAuthMethod,
            Authentication::Certificate(_) => IkeError::NotByCertificate,
            Authentication::Eap(_) => IkeError::NotByEap,
        };
        if let Authentication::Eap(by) = &config.authentication
            && message.auth().is_none()
        {
            let own_id = config.local_id.to_wire();
            let to_sign = octets(&self.secured, &self.transcript, Role::Responder, &own_id, None);
            let offer = Offer::of_bytes(&self.transcript.request);
            let (now, seed) = (cx.env.unix_time(), cx.seed());
            let sign = Sign::prepare(&by.own, &offer, to_sign, now, seed)?;
            return Ok((Checked::Login(Box::new(sign)), config));
        }
        let mut auth = message.auth().ok_or(not_so)?.clone();
        let ppk = match ppk::of_request(config.ppk.as_ref(), self.transcript.ppk, message)? {
            Use::Mixed(ppk) => Some(ppk),
            Use::Without => None,
            Use::Instead(without) => {
                auth.data = without.to_vec();
                None
            }
        };
        let own_id = config.local_id.to_wire();
        let signed = octets(&self.secured, &self.transcript, Role::Initiator, id, ppk);
        let to_sign = octets(&self.secured, &self.transcript, Role::Responder, &own_id, ppk);
        let checked = match &config.authentication {
            Authentication::SharedKey(_) if auth.method != AuthMethod::SHARED_KEY_MIC => {
                return Err(IkeError::OtherAuthMethod);
            }
            Authentication::SharedKey(key) => {
                let prf = self.secured.prf();
                let proof = psk::verify(prf, key, &signed, &auth)
                    .ok_or_else(|| ppk::explained(IkeError::WrongKey, ppk.is_some()))?;
                Checked::Proven(proof, psk::authenticate(prf, key, &to_sign))
            }
            Authentication::Eap(_) if !certificate::is_signature(auth.method) => {
                return Err(IkeError::NotByEap);
            }
            Authentication::Eap(_) | Authentication::Certificate(_) => {
                let by = config.authentication.certificate().ok_or(IkeError::NotByEap)?;
                let (now, seed) = (cx.env.unix_time(), cx.seed());
                let verify = Verify::prepare(by, message, &auth, peer, signed, now)?;
                let offer = Offer::of_bytes(&self.transcript.request);
                Checked::Open(Box::new((verify, Sign::prepare(by, &offer, to_sign, now, seed)?)))
            }
        };
        Ok((checked, config))
    }

    /// Whether the proofs are made with a PPK.
    fn mixes_ppk(&self, config: &ConnectionConfig, message: &Message) -> bool {
        let used = ppk::of_request(config.ppk.as_ref(), self.transcript.ppk, message);
        matches!(used, Ok(Use::Mixed(_)))
    }

    /// The connection that answers to the peer's identity, by the way in which the peer proves it where there are several.
    fn choose(
        &self,
        arrived: &Arrived<'_>,
        message: &Message,
        peer: &Identity,
        cx: &Cx<'_>,
    ) -> Result<Arc<ConnectionConfig>, IkeError> {
        let asked = message.id_responder().map(Identity::from_wire);
        let (local, remote) = (arrived.local.ip(), arrived.remote.ip());
        let way = message.auth().map(|auth| certificate::is_signature(auth.method));
        let is_alone = self
            .candidates
            .iter()
            .filter_map(|candidate| cx.connections.get(candidate))
            .all(|connection| connection.config.clients.is_some());
        let fitting = self
            .candidates
            .iter()
            .filter_map(|candidate| cx.connections.get(candidate))
            .filter(|connection| connection.may_answer(local, remote))
            .map(|connection| &connection.config)
            .filter(|config| config.remote_id.as_ref().is_none_or(|expected| expected == peer))
            // Not every site with a name that nobody knows is a client.
            .filter(|config| {
                is_alone || way.is_none() || config.clients.is_none() || is_for_client(config, way)
            })
            .filter(|config| asked.as_ref().is_none_or(|asked| *asked == config.local_id));
        let other_way = |config: &ConnectionConfig| match config.authentication {
            Authentication::SharedKey(_) => way != Some(false),
            Authentication::Certificate(_) => way != Some(true),
            Authentication::Eap(_) => way.is_some() && !is_for_client(config, way),
        };
        // All had what was agreed on when the peer began.
        let Secured { suite, additional, .. } = &self.secured;
        let changed = |config: &ConnectionConfig| {
            !config.ike_suites.contains(suite) || !config.additional.contains(additional)
        };
        let rank =
            |config: &ConnectionConfig| (changed(config), other_way(config), config.remote_id.is_none());
        let config = fitting.min_by_key(|config| rank(config)).ok_or(IkeError::UnknownPeer(peer.clone()))?;
        if changed(config) { Err(IkeError::Reconfigured) } else { Ok(Arc::clone(config)) }
    }

    pub(super) fn establish(
        self: Box<Self>,
        login: Login,
        config: Arc<ConnectionConfig>,
        message: &Message,
        cx: &mut Cx<'_>,
    ) -> State {
        let is_mixed = self.mixes_ppk(&config, message);
        let Self { mut secured, transcript, resumed, .. } = *self;
        if let Some(ppk) = config.ppk.as_ref().filter(|_| is_mixed) {
            secured.mix_ppk(&ppk.secret);
        }
        let Some(id) = message.id_initiator() else { return State::Gone };
        let Login { proof, auth, user, by, is_by_eap } = login;
        // Who logged in, whatever the client says besides.
        let peer = user.unwrap_or_else(|| Identity::from_wire(id));
        let initial_contact = message.notify(NotifyType::INITIAL_CONTACT).is_some();
        // A client has nothing before it has an address.
        let own = client::narrowed(&config, &[]);
        let mut state = establish(secured, own, peer, proof, initial_contact, cx);
        state.login = by;
        if let Some(by) = state.config.authentication.certificate() {
            state.trusts_us = certificate::may_be_trusted(by, &Offer::of(message).authorities);
        }
        state.watch_login(cx);
        state.token = Token::of(message);
        if let Some(resumed) = &resumed {
            state.tickets_until = Some(resumed.expires_at);
            cx.note(What::Resumed);
        }
        state.is_redirectable = redirect::is_followed(&transcript.request);
        if state.is_redirectable && state.config.redirect_to.is_some() {
            // Its first message left open which connection it is of.
            state.want(Task::Redirect);
        }
        state.mobility = Mobility::of_peer(message, state.config.mobike, false, &state.secured.path);
        let mut payloads = Vec::new();
        // After a log-in the client knows who we are.
        if !is_by_eap {
            payloads.push(Payload::IdResponder(state.config.local_id.to_wire()));
        }
        let is_by_certificate = !is_by_eap && resumed.is_none();
        if let Some(by) = state.config.authentication.certificate().filter(|_| is_by_certificate) {
            payloads.extend(certificate::chain(by, &Offer::of(message), cx.env.unix_time()));
        }
        payloads.push(Payload::Authentication(auth));
        if is_mixed {
            payloads.push(Payload::Notify(Notify::new(NotifyType::PPK_IDENTITY, Vec::new())));
        }
        payloads.extend(crash::token_for(cx.settings, state.secured.spis));
        payloads.extend(resume::issue(&state, message, cx));
        if state.mobility.is_some() {
            payloads.extend(mobility::announcement(&state.config, state.secured.path.local.ip()));
        }
        if let Some(clients) = &config.clients {
            match configuration::lease(&mut state, (&config, clients), message, cx) {
                Ok(reply) => payloads.push(reply),
                Err(error) => {
                    payloads.push(error_payload(&error));
                    state.child_failed(0, error, cx);
                    state.secured.answer(ExchangeType::IKE_AUTH, payloads, cx);
                    return Box::new(state).settle(cx);
                }
            }
        }
        if is_asked_later(message) {
            // The peer asks for its Child SAs by CREATE_CHILD_SA, the first one, too; should it not, we do.
            cx.note(What::Childless);
            let missing = if state.config.mode.initiates() { state.config.children.len() } else { 0 };
            for policy in 0..missing {
                state.want_later(Task::NewChild { policy }, CHILDLESS_WAIT, cx);
            }
            state.secured.answer(ExchangeType::IKE_AUTH, payloads, cx);
            return Box::new(state).settle(cx);
        }
        match agree_as_responder(&state, message, cx) {
            Ok((agreed, proposal)) => {
                payloads.push(Payload::SecurityAssociation(vec![proposal]));
                payloads.push(Payload::TsInitiator(selectors(&agreed.remote)));
                payloads.push(Payload::TsResponder(selectors(&agreed.local)));
                payloads.extend(agreed.share.payload());
                install(&mut state, agreed, &transcript, cx);
            }
            Err(error) => {
                payloads.push(error_payload(&error));
                state.child_failed(0, error, cx);
            }
        }
        state.secured.answer(ExchangeType::IKE_AUTH, payloads, cx);
        Box::new(state).settle(cx)
    }
}
