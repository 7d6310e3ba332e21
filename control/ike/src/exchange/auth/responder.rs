//! The responder of IKE_AUTH: finds the connection that the peer is of, checks it, then proves itself (RFC 7296, 1.2, 2.15, 2.21.2).

use std::sync::Arc;
use std::time::Duration;

use super::{establish, in_force, install, octets, selectors};
use crate::auth::certificate::{self, Offer, Sign, Verify};
use crate::auth::ppk::{self, Use};
use crate::auth::{AuthVerified, Authentication, psk};
use crate::child::{Agreed, choose_policy};
use crate::config::ConnectionConfig;
use crate::crash::{self, Token};
use crate::crypto::suite::choose_esp;
use crate::effect::Effect;
use crate::environment::Instant;
use crate::error::{IkeError, Stage};
use crate::established::{Closing, Established, Task, error_payload};
use crate::event::{ConnectionId, Event, OutboundUse, Role, Spi};
use crate::exchange::init::Transcript;
use crate::exchange::intermediate::Mixing;
use crate::identity::Identity;
use crate::job::{JobResult, Outcome};
use crate::mobility::{self, Mobility};
use crate::notice::What;
use crate::redirect;
use crate::sa::{Arrived, Cx, State};
use crate::secured::{Received, Secured};
use crate::wire::{
    AuthMethod, ExchangeType, Header, Message, MessageKind, Notify, NotifyType, Payload, PayloadType,
    ProtocolId,
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
enum Checked {
    /// It is right.
    Proven(AuthVerified, crate::wire::Authentication),
    /// The pool has to say, and makes ours.
    Open(Box<(Verify, Sign)>),
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
        let Self { mut awaited, config, message, .. } = *self;
        let current = in_force(&config, cx)
            .filter(|current| current.mode.responds() && current.authentication == config.authentication);
        match current {
            Some(current) => Box::new(awaited).establish(proof, auth, current, &message, cx),
            None => {
                awaited.candidates = vec![config.id];
                Box::new(awaited).refuse(IkeError::Reconfigured, cx)
            }
        }
    }
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
                self.establish(proof, auth, config, &message, cx)
            }
            Ok(((Checked::Open(both), config), message)) => {
                let (verify, sign) = *both;
                let serial = cx.prove(Some(verify), Some(sign));
                State::AuthProving(Box::new(AuthProving { awaited: *self, config, message, serial }))
            }
            Err(error) => self.refuse(error, cx),
        }
    }

    fn refuse(mut self: Box<Self>, error: IkeError, cx: &mut Cx<'_>) -> State {
        cx.note_stage(What::ExchangeFailed, Stage::Auth);
        for candidate in &self.candidates {
            cx.effect(Effect::Hint(*candidate, error.clone()));
        }
        if let [only] = self.candidates.as_slice()
            && cx.connections.contains_key(only)
        {
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
        cx: &mut Cx<'_>,
    ) -> Result<(Checked, Arc<ConnectionConfig>), IkeError> {
        let missing = |payload| IkeError::Missing { stage: Stage::Auth, payload };
        if let Some(kind) = message.unsupported_critical() {
            return Err(IkeError::UnsupportedCritical(kind));
        }
        let id = message.id_initiator().ok_or(missing(PayloadType::IDI))?;
        let peer = Identity::from_wire(id);
        let config = self.choose(arrived, message, &peer, cx)?;
        let not_so = match config.authentication {
            Authentication::SharedKey(_) => IkeError::OtherAuthMethod,
            Authentication::Certificate(_) => IkeError::NotByCertificate,
        };
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
            Authentication::Certificate(by) => {
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
        let by_signature = message.auth().is_some_and(|auth| certificate::is_signature(auth.method));
        let fitting = self
            .candidates
            .iter()
            .filter_map(|candidate| cx.connections.get(candidate))
            .filter(|connection| connection.may_answer(local, remote))
            .map(|connection| &connection.config)
            .filter(|config| config.remote_id.as_ref().is_none_or(|expected| expected == peer))
            .filter(|config| asked.as_ref().is_none_or(|asked| *asked == config.local_id));
        let other_way =
            |config: &ConnectionConfig| config.authentication.certificate().is_some() != by_signature;
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

    fn establish(
        self: Box<Self>,
        proof: AuthVerified,
        auth: crate::wire::Authentication,
        config: Arc<ConnectionConfig>,
        message: &Message,
        cx: &mut Cx<'_>,
    ) -> State {
        let is_mixed = self.mixes_ppk(&config, message);
        let Self { mut secured, transcript, .. } = *self;
        if let Some(ppk) = config.ppk.as_ref().filter(|_| is_mixed) {
            secured.mix_ppk(&ppk.secret);
        }
        let Some(id) = message.id_initiator() else { return State::Gone };
        let peer = Identity::from_wire(id);
        let initial_contact = message.notify(NotifyType::INITIAL_CONTACT).is_some();
        let mut state = establish(secured, config, peer, proof, initial_contact, cx);
        state.token = Token::of(message);
        state.is_redirectable = redirect::is_followed(&transcript.request);
        if state.is_redirectable && state.config.redirect_to.is_some() {
            // Its first message left open which connection it is of.
            state.want(Task::Redirect);
        }
        state.mobility = Mobility::of_peer(message, state.config.mobike, false, &state.secured.path);
        let mut payloads = vec![Payload::IdResponder(state.config.local_id.to_wire())];
        if let Some(by) = state.config.authentication.certificate() {
            payloads.extend(certificate::chain(by, &Offer::of(message).authorities));
        }
        payloads.push(Payload::Authentication(auth));
        if is_mixed {
            payloads.push(Payload::Notify(Notify::new(NotifyType::PPK_IDENTITY, Vec::new())));
        }
        payloads.extend(crash::token_for(cx.settings, state.secured.spis));
        if state.mobility.is_some() {
            payloads.extend(mobility::announcement(&state.config, state.secured.path.local.ip()));
        }
        if is_childless(message) {
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

/// Whether the peer wants no Child SA for now: none of the payloads for one is there (RFC 6023, 4).
fn is_childless(message: &Message) -> bool {
    let of_child = |payload: &Payload| {
        matches!(payload, Payload::SecurityAssociation(_) | Payload::TsInitiator(_) | Payload::TsResponder(_))
    };
    !message.payloads.iter().any(of_child)
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
