//! The responder of IKE_AUTH: finds the connection that the peer is of, checks it, then proves itself (RFC 7296, 1.2, 2.15, 2.21.2).

use std::sync::Arc;

use super::{establish, install, selectors};
use crate::auth::{AuthVerified, psk, signed_octets};
use crate::child::{Agreed, choose_policy};
use crate::config::ConnectionConfig;
use crate::crypto::suite::choose_esp;
use crate::effect::Effect;
use crate::environment::Instant;
use crate::error::{IkeError, Stage};
use crate::established::{Closing, Established, error_payload};
use crate::event::{ConnectionId, Event, OutboundUse, Role, Spi};
use crate::exchange::init::Transcript;
use crate::exchange::intermediate::Mixing;
use crate::identity::Identity;
use crate::notice::What;
use crate::sa::{Arrived, Cx, State};
use crate::secured::{Received, Secured};
use crate::wire::{
    ExchangeType, Header, Identification, Message, MessageKind, NotifyType, Payload, PayloadType, ProtocolId,
};

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
            &self.transcript.intermediate,
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
            &transcript.intermediate,
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
