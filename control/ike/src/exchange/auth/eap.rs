//! The responder of IKE_AUTH where the client logs in by EAP (RFC 7296, 2.16): our proof first, then the conversation, a round of IKE_AUTH for each of its packets, then AUTH of
//! both sides by the key that came of it.

use std::cell::Cell;
use std::net::IpAddr;
use std::sync::Arc;

use crossgate_eap::mschapv2::PasswordHash;
use crossgate_eap::{EapError, Means, Methods, RadiusQuestion, Server, Step as EapStep, User, Users};

use super::octets;
use super::responder::{AuthAwaited, Login};
use crate::auth::certificate::{self, Offer};
use crate::auth::{Authentication, EapAuthentication, Proof, UserTable, psk};
use crate::config::ConnectionConfig;
use crate::environment::Instant;
use crate::error::{IkeError, Stage};
use crate::established::Closing;
use crate::event::Role;
use crate::identity::Identity;
use crate::job::{JobResult, Outcome, Work};
use crate::lockout::Lockout;
use crate::notice::What;
use crate::sa::{Arrived, Cx, State};
use crate::secret::Secret;
use crate::secured::Received;
use crate::wire::{ExchangeType, Header, Message, MessageKind, NotifyType, Payload, PayloadType};

/// A person may have to type a password: so many times the patience with a half-open IKE SA.
const PATIENCE: u32 = 4;

/// Responder: the client is logging in.
#[derive(Debug)]
pub(crate) struct AuthLogin {
    pub(crate) awaited: AuthAwaited,
    config: Arc<ConnectionConfig>,
    by: Arc<EapAuthentication>,
    /// What the client began with: who it says it is, and what it wants.
    message: Message,
    server: Server,
    step: Step,
    /// Whether the client has to wait, whatever its password.
    is_locked: bool,
    pub(crate) expires_at: Instant,
}

/// How far it is.
#[derive(Debug)]
enum Step {
    /// Our proof is being signed; the first packet goes with it.
    Signing(u64, Vec<u8>),
    /// The client's next packet is due.
    Talking,
    /// TLS or a RADIUS server works on the client's last one.
    Judging(u64),
    /// The client is who it says; its AUTH by this key is due.
    Proven(Proven),
}

/// A client that has logged in.
#[derive(Debug)]
struct Proven {
    user: User,
    by: Means,
    msk: Secret<Vec<u8>>,
}

/// The users, but for one who has tried too many passwords from where the client is.
struct Unlocked<'a> {
    users: &'a UserTable,
    lockout: &'a Lockout,
    from: IpAddr,
    now: Instant,
    /// Whether one was asked for who has to wait.
    is_locked: Cell<bool>,
}

impl Users for Unlocked<'_> {
    fn password(&self, user: &str) -> Option<PasswordHash> {
        self.is_locked.set(self.lockout.holds(self.from, user, self.now));
        self.users.password(user).filter(|_| !self.is_locked.get())
    }
}

/// A client that says no more than who it is wants to log in; `serial` is that of our proof's signature.
pub(super) fn begin(
    awaited: AuthAwaited,
    config: Arc<ConnectionConfig>,
    message: Message,
    serial: u64,
    cx: &mut Cx<'_>,
) -> State {
    let Authentication::Eap(by) = &config.authentication else {
        return Box::new(awaited).refuse(IkeError::Reconfigured, cx);
    };
    let by = Arc::clone(by);
    let (server, first) = Server::begin(&mut |out| cx.env.random(out));
    let expires_at = cx.now + cx.settings.half_open_timeout * PATIENCE;
    let step = Step::Signing(serial, first);
    let is_locked = false;
    State::AuthLogin(Box::new(AuthLogin {
        awaited,
        config,
        by,
        message,
        server,
        step,
        is_locked,
        expires_at,
    }))
}

impl AuthLogin {
    /// The job under way.
    pub(crate) const fn serial(&self) -> Option<u64> {
        match self.step {
            Step::Signing(serial, _) | Step::Judging(serial) => Some(serial),
            Step::Talking | Step::Proven(_) => None,
        }
    }

    pub(crate) fn on_timeout(self: Box<Self>, cx: &mut Cx<'_>) -> State {
        if cx.now < self.expires_at {
            return State::AuthLogin(self);
        }
        match self.server.abandoned() {
            Some(error) => {
                cx.note(What::HalfOpenExpired);
                let error = self.explained(error, cx);
                self.awaited.tell(What::ExchangeFailed, &error, cx);
            }
            None => {
                self.awaited.tell(What::HalfOpenExpired, &IkeError::StoppedHalfWay(Stage::Login), cx);
            }
        }
        State::Gone
    }

    pub(crate) fn on_computed(self: Box<Self>, result: JobResult, cx: &mut Cx<'_>) -> State {
        match (self.serial(), result.outcome) {
            (Some(serial), Outcome::Proven(done)) if serial == result.serial => match done {
                Ok((_, Some(proof))) => self.signed(proof, cx),
                Ok((_, None)) => State::AuthLogin(self),
                Err(error) => Box::new(self.awaited).refuse(error, cx),
            },
            (Some(serial), Outcome::Tls(done)) if serial == result.serial => {
                self.judged(|server| server.on_computed(*done), cx)
            }
            (Some(serial), Outcome::Relayed(answer)) if serial == result.serial => {
                self.judged(|server| server.on_relayed(answer), cx)
            }
            _ => State::AuthLogin(self),
        }
    }

    /// Our proof is there, and goes out with the first question.
    fn signed(mut self: Box<Self>, proof: Proof, cx: &mut Cx<'_>) -> State {
        let Step::Signing(_, first) = std::mem::replace(&mut self.step, Step::Talking) else {
            return State::AuthLogin(self);
        };
        let mut payloads = vec![Payload::IdResponder(self.config.local_id.to_wire())];
        payloads.extend(certificate::chain(&self.by.own, &Offer::of(&self.message), cx.env.unix_time()));
        payloads.push(Payload::Authentication(proof.auth));
        payloads.push(Payload::Eap(first));
        self.awaited.secured.answer(ExchangeType::IKE_AUTH, payloads, cx);
        State::AuthLogin(self)
    }

    pub(crate) fn on_datagram(
        mut self: Box<Self>,
        arrived: &Arrived<'_>,
        header: &Header,
        cx: &mut Cx<'_>,
    ) -> State {
        let is_due = matches!(header.exchange, ExchangeType::IKE_AUTH | ExchangeType::INFORMATIONAL);
        if !is_due || header.kind == MessageKind::Response || self.serial().is_some() {
            cx.note_from(What::DropUnexpected, arrived.remote);
            return State::AuthLogin(self);
        }
        let message = match self.awaited.secured.receive(arrived, header, cx) {
            Received::Nothing => return State::AuthLogin(self),
            Received::Malformed(malformed) => return Box::new(self.awaited).refuse(malformed.into(), cx),
            Received::Message(message) => message,
        };
        if header.exchange == ExchangeType::INFORMATIONAL {
            return self.refused(&message, cx);
        }
        if let Some(kind) = message.unsupported_critical() {
            return Box::new(self.awaited).refuse(IkeError::UnsupportedCritical(kind), cx);
        }
        self.awaited.secured.path.local = arrived.local;
        self.awaited.secured.path.remote = arrived.remote;
        match std::mem::replace(&mut self.step, Step::Talking) {
            Step::Proven(proven) => self.check(proven, &message, cx),
            _ => self.talk(&message, cx),
        }
    }

    /// The client ends it instead of logging in: it does not believe our proof, or does not wait for the end after it was told that its password is wrong.
    fn refused(self: Box<Self>, message: &Message, cx: &mut Cx<'_>) -> State {
        let abandoned = self.server.abandoned().map(|error| self.explained(error, cx));
        let mut awaited = self.awaited;
        let error = match (abandoned, message.error().map(|notify| notify.kind)) {
            (Some(error), _) => error,
            (None, Some(NotifyType::AUTHENTICATION_FAILED)) => IkeError::CertificateRefused { trusted: true },
            (None, Some(notify)) => IkeError::Refused { stage: Stage::Auth, notify },
            (None, None) => IkeError::DeletedByPeer,
        };
        awaited.tell(What::ExchangeFailed, &error, cx);
        awaited.secured.answer(ExchangeType::INFORMATIONAL, Vec::new(), cx);
        State::Closing(Box::new(Closing::answered(awaited.secured, None, cx)))
    }

    /// The client's next packet.
    fn talk(mut self: Box<Self>, message: &Message, cx: &mut Cx<'_>) -> State {
        let Some(packet) = message.eap() else {
            let error = IkeError::Missing { stage: Stage::Auth, payload: PayloadType::EAP };
            return Box::new(self.awaited).refuse(error, cx);
        };
        let (by, from) = (Arc::clone(&self.by), self.awaited.called_from);
        let (now, lockout) = (cx.now, &cx.shared.lockout);
        let users = by.users.as_deref();
        let users = users.map(|users| Unlocked { users, lockout, from, now, is_locked: Cell::new(false) });
        let methods = Methods {
            tls: by.tls.as_deref(),
            users: users.as_ref().map(|users| users as &dyn Users),
            relay: by.radius.is_some(),
            now: cx.env.unix_time(),
        };
        let step = self.server.on_response(packet, &methods, &mut |out| cx.env.random(out));
        let is_locked = users.is_some_and(|users| users.is_locked.get());
        self.is_locked |= is_locked;
        if let (EapStep::Send(_), Some(EapError::WrongPassword(user) | EapError::UnknownUser(user))) =
            (&step, self.server.abandoned())
        {
            cx.note(if is_locked { What::LoginLocked } else { What::LoginFailed });
            // Whoever waits does not have to wait longer for having asked.
            if !is_locked {
                cx.shared.lockout.failed(from, &user, now);
            }
        }
        self.act(step, cx)
    }

    /// TLS or a RADIUS server is through with the client's last packet.
    fn judged(mut self: Box<Self>, go_on: impl FnOnce(&mut Server) -> EapStep, cx: &mut Cx<'_>) -> State {
        self.step = Step::Talking;
        let step = go_on(&mut self.server);
        self.act(step, cx)
    }

    /// Carries out what the log-in wants.
    fn act(mut self: Box<Self>, step: EapStep, cx: &mut Cx<'_>) -> State {
        let packet = match step {
            EapStep::Send(packet) => packet,
            EapStep::Compute(work) => {
                self.step = Step::Judging(cx.compute(Work::Tls(work)));
                return State::AuthLogin(self);
            }
            EapStep::Relay { identity, packet, thread } => {
                let question = RadiusQuestion {
                    servers: self.by.radius.clone().unwrap_or_else(|| Arc::from([])),
                    identity,
                    packet,
                    thread,
                    gateway: Arc::clone(&self.config.name),
                    client: self.awaited.secured.path.remote.ip(),
                };
                self.step = Step::Judging(cx.ask_radius(question));
                return State::AuthLogin(self);
            }
            EapStep::Success { packet, user, by, msk } => {
                if let User::Known(name) = &user {
                    cx.shared.lockout.succeeded(self.awaited.called_from, name);
                }
                self.step = Step::Proven(Proven { user, by, msk: Secret::from(msk.expose()) });
                packet
            }
            EapStep::Failure { packet, error } => {
                let error = self.explained(error, cx);
                return Box::new(self.awaited).refuse_with(error, vec![Payload::Eap(packet)], cx);
            }
        };
        self.awaited.secured.answer(ExchangeType::IKE_AUTH, vec![Payload::Eap(packet)], cx);
        State::AuthLogin(self)
    }

    /// What the operator reads of a log-in that came to nothing.
    fn explained(&self, error: EapError, cx: &mut Cx<'_>) -> IkeError {
        match error {
            EapError::WrongPassword(user) | EapError::UnknownUser(user) if self.is_locked => {
                IkeError::LoginLocked(user)
            }
            EapError::WrongPassword(_) | EapError::UnknownUser(_) => error.into(),
            other => {
                cx.note(What::LoginFailed);
                other.into()
            }
        }
    }

    /// The client's AUTH: it must have the key that came of its log-in, so that nobody else logged in in its place.
    fn check(self: Box<Self>, Proven { user, by, msk }: Proven, message: &Message, cx: &mut Cx<'_>) -> State {
        let Self { awaited, config, message: first, .. } = *self;
        let Some(auth) = message.auth() else {
            let error = IkeError::Missing { stage: Stage::Auth, payload: PayloadType::AUTH };
            return Box::new(awaited).refuse(error, cx);
        };
        let Some(id) = first.id_initiator() else {
            let error = IkeError::Missing { stage: Stage::Auth, payload: PayloadType::IDI };
            return Box::new(awaited).refuse(error, cx);
        };
        let prf = awaited.secured.prf();
        let signed = octets(&awaited.secured, &awaited.transcript, Role::Initiator, id, None);
        let Some(proof) = psk::verify(prf, &msk, &signed, auth) else {
            return Box::new(awaited).refuse(IkeError::WrongLoginKey(user.to_string()), cx);
        };
        let current = super::in_force(&config, cx)
            .filter(|current| current.mode.responds() && current.authentication == config.authentication);
        let Some(config) = current else {
            return Box::new(awaited).refuse(IkeError::Reconfigured, cx);
        };
        let own_id = config.local_id.to_wire();
        let to_sign = octets(&awaited.secured, &awaited.transcript, Role::Responder, &own_id, None);
        let auth = psk::authenticate(prf, &msk, &to_sign);
        let user = match user {
            User::Known(name) => Identity::KeyId(name.into_bytes()),
            User::Claimed(name) => Identity::Claimed { name: name.into(), session: cx.ike_id().0 },
        };
        let login = Login { proof, auth, user: Some(user), by: Some(by), is_by_eap: true };
        Box::new(awaited).establish(login, config, &first, cx)
    }
}

/// Whether a connection takes clients that prove themselves in this way: by signature or not.
pub(super) fn is_for_client(config: &ConnectionConfig, by_signature: Option<bool>) -> bool {
    config.clients.is_some() && by_signature == Some(true) && config.authentication.certificate().is_some()
}
