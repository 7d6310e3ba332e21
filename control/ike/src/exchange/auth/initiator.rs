//! The initiator of IKE_AUTH: proves itself first, then checks the peer (RFC 7296, 1.2, 2.15).

use std::sync::Arc;

use super::{establish, install, selectors};
use crate::auth::{AuthVerified, psk, signed_octets};
use crate::child::{Agreed, Offer};
use crate::config::ConnectionConfig;
use crate::crypto::suite::{accept_esp, esp_proposals};
use crate::error::{IkeError, Stage};
use crate::established::{Closing, Task, error_payload};
use crate::event::{DownReason, Role, Spi};
use crate::exchange::init::Transcript;
use crate::identity::Identity;
use crate::notice::What;
use crate::sa::{Arrived, Cx, State};
use crate::secured::{Received, Secured};
use crate::window::Due;
use crate::wire::{ExchangeType, Header, Message, MessageKind, Notify, NotifyType, Payload, PayloadType};

/// Initiator: IKE_AUTH is out.
#[derive(Debug)]
pub(crate) struct AuthSent {
    pub(crate) secured: Secured,
    pub(crate) config: Arc<ConnectionConfig>,
    transcript: Transcript,
    spi: Spi,
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
        &transcript.intermediate,
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
            &self.transcript.intermediate,
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
                // Without an SA payload the peer made no pair.
                if message.sa().is_some() {
                    state.want(Task::Disown(spi));
                } else {
                    cx.env.release_spi(spi);
                }
                if message.notify(NotifyType::SINGLE_PAIR_REQUIRED).is_some() {
                    cx.note_stage(What::SinglePair, Stage::Auth);
                    state.single_pairs.insert(0);
                    state.want(Task::NewChild { policy: 0 });
                } else {
                    state.child_failed(0, error, cx);
                }
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
    Agreed::from_answer(stage, &choice, spi, 0, &Offer::whole(child), message)
}

fn failed(error: IkeError, cx: &mut Cx<'_>) -> State {
    cx.note_stage(What::ExchangeFailed, Stage::Auth);
    cx.ended(DownReason::Error(error.clone()), Some(error), false);
    State::Gone
}
