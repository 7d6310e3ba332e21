//! IKE_AUTH (RFC 7296, 1.2, 2.15, 2.21.2): who the peer is, and the first Child SA. An IKE SA without its Child SA is kept: the Child SA is asked for again later.

use std::sync::Arc;

use crate::auth::{AuthVerified, psk, signed_octets};
use crate::child::{Agreed, Keying, choose_policy};
use crate::config::ConnectionConfig;
use crate::crypto::suite::{accept_esp, choose_esp, esp_proposals};
use crate::effect::Effect;
use crate::environment::Instant;
use crate::error::{IkeError, Stage};
use crate::established::{Closing, Established, Task, error_payload};
use crate::event::{ConnectionId, DownReason, Event, IkeUp, OutboundUse, Role, Spi};
use crate::exchange::init::Transcript;
use crate::identity::Identity;
use crate::notice::What;
use crate::sa::{Arrived, Cx, State};
use crate::secured::{Received, Secured};
use crate::selector::TrafficSelector;
use crate::window::Due;
use crate::wire::{
    ExchangeType, Header, Identification, Message, MessageKind, Notify, NotifyType, Payload, PayloadType,
    ProtocolId, Selector,
};

/// Initiator: IKE_AUTH is out.
#[derive(Debug)]
pub(crate) struct AuthSent {
    pub(crate) secured: Secured,
    pub(crate) config: Arc<ConnectionConfig>,
    transcript: Transcript,
    spi: Spi,
}

/// Responder: IKE_SA_INIT is answered.
#[derive(Debug)]
pub(crate) struct AuthAwaited {
    pub(crate) secured: Secured,
    pub(crate) transcript: Transcript,
    /// Connections that the peer may be of.
    pub(crate) candidates: Vec<ConnectionId>,
    pub(crate) expires_at: Instant,
}

/// Initiator: sends IKE_AUTH.
pub(crate) fn begin(
    mut secured: Secured,
    config: Arc<ConnectionConfig>,
    transcript: Transcript,
    cx: &mut Cx<'_>,
) -> State {
    let spi = match cx.esp_spi(config.id) {
        Ok(spi) => spi,
        Err(error) => return failed(error, cx),
    };
    let id = config.local_id.to_wire();
    let signed = signed_octets(
        secured.prf(),
        &transcript.request,
        &transcript.nonce_responder,
        secured.keys.prove(Role::Initiator),
        &id,
    );
    let auth = psk::authenticate(secured.prf(), &config.psk, &signed);
    let mut payloads = vec![Payload::IdInitiator(id)];
    let alone = cx.connections.get(&config.id).is_none_or(|connection| connection.ikes.len() <= 1);
    if alone {
        payloads.push(Payload::Notify(Notify::new(NotifyType::INITIAL_CONTACT, Vec::new())));
    }
    if let Some(remote) = &config.remote_id {
        payloads.push(Payload::IdResponder(remote.to_wire()));
    }
    let child = &config.children[0];
    let proposals = esp_proposals(&child.esp_suites, &[], child.esn.offered(), spi.0);
    payloads.push(Payload::Authentication(auth));
    payloads.push(Payload::SecurityAssociation(proposals));
    payloads.push(Payload::TsInitiator(selectors(&child.local_selectors)));
    payloads.push(Payload::TsResponder(selectors(&child.remote_selectors)));
    secured.request(ExchangeType::IKE_AUTH, payloads, cx);
    State::AuthSent(Box::new(AuthSent { secured, config, transcript, spi }))
}

/// Selectors as a TS payload carries them.
pub(crate) fn selectors(of: &[TrafficSelector]) -> Vec<Selector> {
    of.iter().copied().map(Selector::Range).collect()
}

impl AuthSent {
    /// Gives back what it holds of the data plane.
    pub(crate) fn release(&self, cx: &mut Cx<'_>) {
        cx.env.release_spi(self.spi);
    }

    pub(crate) fn on_timeout(mut self: Box<Self>, cx: &mut Cx<'_>) -> State {
        if self.secured.resend_due(Stage::Auth, cx) == Due::GiveUp {
            self.release(cx);
            return failed(IkeError::NoAnswer { stage: Stage::Auth, hint: None }, cx);
        }
        State::AuthSent(self)
    }

    pub(crate) fn on_datagram(
        mut self: Box<Self>,
        arrived: &Arrived<'_>,
        header: &Header,
        cx: &mut Cx<'_>,
    ) -> State {
        if header.kind == MessageKind::Request || header.exchange != ExchangeType::IKE_AUTH {
            // A peer that is established already may ask at once; it will ask again.
            cx.note_from(What::DropUnexpected, arrived.remote);
            return State::AuthSent(self);
        }
        let message = match self.secured.receive(arrived, header, cx) {
            Received::Nothing => return State::AuthSent(self),
            Received::Malformed(malformed) => {
                self.release(cx);
                return failed(malformed.into(), cx);
            }
            Received::Message(message) => message,
        };
        self.secured.window.answered();
        match self.check(&message) {
            Ok((verified, peer)) => self.establish(verified, peer, &message, cx),
            Err(error) => self.give_up(error, &message, cx),
        }
    }

    fn check(&self, message: &Message) -> Result<(AuthVerified, Identity), IkeError> {
        let missing = |payload| IkeError::Missing { stage: Stage::Auth, payload };
        let Some(auth) = message.auth() else {
            let refused = message.error().map(|notify| IkeError::from_peer(Stage::Auth, notify.kind));
            return Err(refused.unwrap_or(missing(PayloadType::AUTH)));
        };
        let id = message.id_responder().ok_or(missing(PayloadType::IDR))?;
        let signed = signed_octets(
            self.secured.prf(),
            &self.transcript.answer,
            &self.transcript.nonce_initiator,
            self.secured.keys.prove(Role::Responder),
            id,
        );
        let verified =
            psk::verify(self.secured.prf(), &self.config.psk, &signed, auth).ok_or(IkeError::WrongKey)?;
        let found = Identity::from_wire(id);
        match &self.config.remote_id {
            Some(expected) if *expected != found => {
                Err(IkeError::WrongIdentity { found, expected: expected.clone() })
            }
            _ => Ok((verified, found)),
        }
    }

    /// The peer that sent AUTH takes the IKE SA for established: it must be told (RFC 7296, 2.21.2).
    fn give_up(self: Box<Self>, error: IkeError, message: &Message, cx: &mut Cx<'_>) -> State {
        self.release(cx);
        if message.auth().is_none() {
            return failed(error, cx);
        }
        cx.note_stage(What::ExchangeFailed, Stage::Auth);
        cx.ended(DownReason::Error(error.clone()), Some(error.clone()), false);
        State::Closing(Box::new(Closing::deleting(
            self.secured,
            cx.connection,
            vec![error_payload(&error)],
            cx,
        )))
    }

    fn establish(
        self: Box<Self>,
        proof: AuthVerified,
        peer: Identity,
        message: &Message,
        cx: &mut Cx<'_>,
    ) -> State {
        let Self { secured, config, transcript, spi } = *self;
        let mut state = establish(secured, config, peer, proof, false, cx);
        match agree_as_initiator(&state.config, spi, message) {
            Ok(agreed) => install(&mut state, agreed, &transcript, cx),
            Err(error) => {
                cx.env.release_spi(spi);
                state.child_failed(0, error, cx);
            }
        }
        for policy in 1..state.config.children.len() {
            state.want(Task::NewChild { policy });
        }
        Box::new(state).settle(cx)
    }
}

fn agree_as_initiator(config: &ConnectionConfig, spi: Spi, message: &Message) -> Result<Agreed, IkeError> {
    let stage = Stage::Auth;
    let Some(sa) = message.sa() else {
        let missing = IkeError::Missing { stage, payload: PayloadType::SA };
        return Err(message.error().map_or(missing, |notify| IkeError::from_peer(stage, notify.kind)));
    };
    let child = &config.children[0];
    let choice = accept_esp(&child.esp_suites, &[], child.esn.offered(), sa)
        .map_err(|_| IkeError::Misbehaved { stage, what: "chose ESP algorithms that were not offered" })?;
    Agreed::from_answer(stage, &choice, spi, (0, child), message)
}

fn install(state: &mut Established, agreed: Agreed, transcript: &Transcript, cx: &mut Cx<'_>) {
    let keying = Keying {
        prf: state.secured.prf(),
        sk_d: state.secured.sk_d(),
        shared: None,
        nonces: transcript.nonces(),
    };
    let child = agreed.install(&state.config, state.secured.path, &keying, cx);
    state.children.push(child);
}

/// The transition to an authenticated IKE SA, in both roles; needs the proof.
fn establish(
    secured: Secured,
    config: Arc<ConnectionConfig>,
    peer: Identity,
    _proof: AuthVerified,
    initial_contact: bool,
    cx: &mut Cx<'_>,
) -> Established {
    let connection = config.id;
    cx.connection = Some(connection);
    cx.note(What::Established);
    let ike = cx.ike_id();
    cx.event(Event::IkeUp(Box::new(IkeUp {
        connection,
        ike,
        spis: secured.spis,
        role: secured.role,
        path: secured.path,
        suite: secured.suite,
        peer: peer.clone(),
        replaces: None,
    })));
    cx.effect(Effect::Established { ike, connection, initial_contact });
    Established::new(secured, config, peer, cx)
}

fn failed(error: IkeError, cx: &mut Cx<'_>) -> State {
    cx.note_stage(What::ExchangeFailed, Stage::Auth);
    cx.ended(DownReason::Error(error.clone()), Some(error), false);
    State::Gone
}

impl AuthAwaited {
    pub(crate) fn on_timeout(self: Box<Self>, cx: &mut Cx<'_>) -> State {
        if cx.now < self.expires_at {
            return State::AuthAwaited(self);
        }
        cx.note(What::HalfOpenExpired);
        State::Gone
    }

    pub(crate) fn on_datagram(
        mut self: Box<Self>,
        arrived: &Arrived<'_>,
        header: &Header,
        cx: &mut Cx<'_>,
    ) -> State {
        if header.exchange == ExchangeType::IKE_SA_INIT {
            if arrived.bytes == self.transcript.request {
                cx.note(What::AnswerRepeated);
                cx.transmit(arrived.local, arrived.remote, self.transcript.answer.clone());
            }
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
            Ok(((proof, config, id), message)) => self.establish(proof, config, &id, &message, cx),
            Err(error) => self.refuse(error, cx),
        }
    }

    fn refuse(mut self: Box<Self>, error: IkeError, cx: &mut Cx<'_>) -> State {
        cx.note_stage(What::ExchangeFailed, Stage::Auth);
        for candidate in &self.candidates {
            cx.effect(Effect::Hint(*candidate, error.clone()));
        }
        if let [only] = self.candidates.as_slice() {
            cx.event(Event::Failed { connection: *only, error: error.clone(), retry_at: None });
        }
        self.secured.answer(ExchangeType::IKE_AUTH, vec![error_payload(&error)], cx);
        State::Closing(Box::new(Closing::answered(self.secured, None, cx)))
    }

    /// Which connection the peer is of, and its proof.
    fn check(
        &self,
        arrived: &Arrived<'_>,
        message: &Message,
        cx: &Cx<'_>,
    ) -> Result<(AuthVerified, Arc<ConnectionConfig>, Identification), IkeError> {
        let missing = |payload| IkeError::Missing { stage: Stage::Auth, payload };
        if let Some(kind) = message.unsupported_critical() {
            return Err(IkeError::UnsupportedCritical(kind));
        }
        let id = message.id_initiator().ok_or(missing(PayloadType::IDI))?;
        let peer = Identity::from_wire(id);
        let asked = message.id_responder().map(Identity::from_wire);
        let (local, remote) = (arrived.local.ip(), arrived.remote.ip());
        let config = self
            .candidates
            .iter()
            .filter_map(|candidate| cx.connections.get(candidate))
            .filter(|connection| connection.may_answer(local, remote))
            .map(|connection| &connection.config)
            .filter(|config| config.remote_id.as_ref().is_none_or(|expected| *expected == peer))
            .filter(|config| asked.as_ref().is_none_or(|asked| *asked == config.local_id))
            .min_by_key(|config| config.remote_id.is_none())
            .ok_or(IkeError::UnknownPeer(peer))?;
        let auth = message.auth().ok_or(IkeError::OtherAuthMethod)?;
        if auth.method != crate::wire::AuthMethod::SHARED_KEY_MIC {
            return Err(IkeError::OtherAuthMethod);
        }
        let signed = signed_octets(
            self.secured.prf(),
            &self.transcript.request,
            &self.transcript.nonce_responder,
            self.secured.keys.prove(Role::Initiator),
            id,
        );
        let proof = psk::verify(self.secured.prf(), &config.psk, &signed, auth).ok_or(IkeError::WrongKey)?;
        Ok((proof, Arc::clone(config), id.clone()))
    }

    fn establish(
        self: Box<Self>,
        proof: AuthVerified,
        config: Arc<ConnectionConfig>,
        id: &Identification,
        message: &Message,
        cx: &mut Cx<'_>,
    ) -> State {
        let Self { secured, transcript, .. } = *self;
        let peer = Identity::from_wire(id);
        let initial_contact = message.notify(NotifyType::INITIAL_CONTACT).is_some();
        let mut state = establish(secured, config, peer, proof, initial_contact, cx);
        let ours = state.config.local_id.to_wire();
        let signed = signed_octets(
            state.secured.prf(),
            &transcript.answer,
            &transcript.nonce_initiator,
            state.secured.keys.prove(Role::Responder),
            &ours,
        );
        let auth = psk::authenticate(state.secured.prf(), &state.config.psk, &signed);
        let mut payloads = vec![Payload::IdResponder(ours), Payload::Authentication(auth)];
        match agree_as_responder(&state, message, cx) {
            Ok((agreed, proposal)) => {
                payloads.push(Payload::SecurityAssociation(vec![proposal]));
                payloads.push(Payload::TsInitiator(selectors(&agreed.remote)));
                payloads.push(Payload::TsResponder(selectors(&agreed.local)));
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

fn agree_as_responder(
    state: &Established,
    message: &Message,
    cx: &mut Cx<'_>,
) -> Result<(Agreed, crate::wire::Proposal), IkeError> {
    let stage = Stage::Auth;
    let sa = message.sa().ok_or(IkeError::Missing { stage, payload: PayloadType::SA })?;
    let (policy, local, remote) = choose_policy(stage, &state.config, None, message, |_| false)?;
    let child = &state.config.children[policy];
    let choice = choose_esp(&child.esp_suites, &[], child.esn.offered(), sa, None)
        .ok_or(IkeError::NoProposalChosen(stage))?;
    let inbound = cx.esp_spi(state.config.id)?;
    let mut proposal = choice.proposal.clone();
    proposal.spi = inbound.0.to_be_bytes().to_vec();
    debug_assert_eq!(proposal.protocol, ProtocolId::ESP, "only ESP is chosen");
    let agreed = Agreed {
        policy,
        role: Role::Responder,
        inbound,
        outbound: Spi(choice.spi),
        suite: choice.suite,
        esn: choice.esn,
        local,
        remote,
        replaces: None,
        outbound_use: OutboundUse::Now,
    };
    Ok((agreed, proposal))
}
