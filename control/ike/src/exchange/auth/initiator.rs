//! The initiator of IKE_AUTH: proves itself first, then checks the peer (RFC 7296, 1.2, 2.15).

use std::sync::Arc;

use super::first_child::{begin_child, is_childless};
use super::{establish, in_force, octets, selectors};
use crate::auth::certificate::{self, Sign, Verify};
use crate::auth::{AuthVerified, Authentication, Ppk, PpkError, Proof, ocsp, ppk, psk};
use crate::config::ConnectionConfig;
use crate::crash::{self, Token};
use crate::crypto::suite::esp_proposals;
use crate::effect::Effect;
use crate::error::{IkeError, Stage};
use crate::established::{Closing, Task, error_payload};
use crate::event::{DownReason, Role, Spi};
use crate::exchange::configuration::asked;
use crate::exchange::init::Transcript;
use crate::exchange::resume;
use crate::identity::Identity;
use crate::job::{JobResult, Outcome};
use crate::mobility::{self, Mobility};
use crate::notice::What;
use crate::redirect::Redirect;
use crate::resource::Share;
use crate::sa::{Arrived, Cx, State};
use crate::secured::{Received, Secured};
use crate::window::Due;
use crate::wire::{ExchangeType, Header, Message, MessageKind, Notify, NotifyType, Payload, PayloadType};

/// Initiator: IKE_AUTH is out.
#[derive(Debug)]
pub(crate) struct AuthSent {
    pub(crate) secured: Secured,
    /// What was asked for.
    pub(crate) config: Arc<ConnectionConfig>,
    pub(super) transcript: Transcript,
    /// For the first Child SA; none if that is asked for later (RFC 6023).
    pub(super) spi: Option<Spi>,
    /// Who the peer was before this IKE SA was resumed, if it was (RFC 5723).
    pub(super) resumed: Option<Identity>,
}

/// Initiator: our proof is being signed.
#[derive(Debug)]
pub(crate) struct AuthSigning {
    pub(crate) unsent: AuthSent,
    pub(crate) serial: u64,
}

/// Initiator: the peer's proof is being checked.
#[derive(Debug)]
pub(crate) struct AuthVerifying {
    pub(crate) sent: AuthSent,
    /// What it is checked under.
    config: Arc<ConnectionConfig>,
    peer: Identity,
    message: Message,
    pub(crate) serial: u64,
}

/// How far the peer's proof is checked.
enum Checked {
    /// It is right.
    Proven(AuthVerified, Identity),
    /// The pool has to say.
    Open(Verify, Identity),
}

/// Initiator: proves itself and sends IKE_AUTH.
pub(crate) fn begin(
    secured: Secured,
    config: Arc<ConnectionConfig>,
    transcript: Transcript,
    cx: &mut Cx<'_>,
) -> State {
    let config = current(config, cx);
    if config.ppk.as_ref().is_some_and(|ppk| ppk.required) && !transcript.ppk {
        return failed(PpkError::NotUsed.into(), cx);
    }
    let spi = match (!is_childless(&config, &transcript)).then(|| cx.esp_spi(config.id)).transpose() {
        Ok(spi) => spi,
        Err(error) => return failed(error, cx),
    };
    let id = config.local_id.to_wire();
    let unsent = AuthSent { secured, config, transcript, spi, resumed: None };
    let to_sign = |ppk| octets(&unsent.secured, &unsent.transcript, Role::Initiator, &id, ppk);
    let signed = to_sign(unsent.ppk());
    // A peer that may do without is given the choice.
    let without_ppk = unsent.ppk().filter(|ppk| !ppk.required).map(|_| to_sign(None));
    match &unsent.config.authentication {
        Authentication::SharedKey(key) => {
            let auth = |octets: &[u8]| psk::authenticate(unsent.secured.prf(), key, octets);
            let without_ppk = without_ppk.map(|octets| auth(&octets).data);
            let proof = Proof { auth: auth(&signed), without_ppk };
            unsent.send(proof, cx)
        }
        // A client that logs in begins by itself; what is configured so answers only.
        Authentication::Eap(_) => {
            unsent.release(cx);
            failed(IkeError::NotByEap, cx)
        }
        Authentication::Certificate(by) => {
            let offer = certificate::Offer::of_bytes(&unsent.transcript.answer);
            match Sign::prepare(by, &offer, signed, cx.env.unix_time(), cx.seed()) {
                Ok(mut sign) => {
                    if let Some(octets) = without_ppk {
                        sign = sign.and_without_ppk(octets, cx.seed());
                    }
                    let serial = cx.prove(None, Some(sign));
                    State::AuthSigning(Box::new(AuthSigning { unsent, serial }))
                }
                Err(error) => {
                    unsent.release(cx);
                    failed(error, cx)
                }
            }
        }
    }
}

/// What `config` has become. The connection is there, and stands for the same IKE SA: else it would have closed this one.
pub(super) fn current(config: Arc<ConnectionConfig>, cx: &Cx<'_>) -> Arc<ConnectionConfig> {
    in_force(&config, cx).unwrap_or(config)
}

impl AuthSigning {
    pub(crate) fn on_computed(self: Box<Self>, result: JobResult, cx: &mut Cx<'_>) -> State {
        match result.outcome {
            Outcome::Proven(done) if result.serial == self.serial => match done {
                Ok((_, Some(proof))) => self.signed(proof, cx),
                Ok((_, None)) => State::AuthSigning(self),
                Err(error) => {
                    self.unsent.release(cx);
                    failed(error, cx)
                }
            },
            _ => State::AuthSigning(self),
        }
    }

    /// Our proof is there; by a certificate that was replaced meanwhile, it is made anew.
    fn signed(self: Box<Self>, proof: Proof, cx: &mut Cx<'_>) -> State {
        let mut unsent = self.unsent;
        let config = current(Arc::clone(&unsent.config), cx);
        if config.authentication != unsent.config.authentication {
            unsent.release(cx);
            return begin(unsent.secured, config, unsent.transcript, cx);
        }
        unsent.config = config;
        unsent.send(proof, cx)
    }
}

impl AuthVerifying {
    /// The check came to no result.
    pub(crate) fn give_up(self: Box<Self>, error: IkeError, cx: &mut Cx<'_>) -> State {
        Box::new(self.sent).give_up(error, &self.message, cx)
    }

    pub(crate) fn on_computed(self: Box<Self>, result: JobResult, cx: &mut Cx<'_>) -> State {
        match result.outcome {
            Outcome::Proven(_) if result.serial == self.serial && self.is_outdated(cx) => {
                Box::new(self.sent).on_answer(self.message, cx)
            }
            Outcome::Proven(done) if result.serial == self.serial => match done {
                Ok((Some(proof), _)) => Box::new(self.sent).establish(proof, self.peer, &self.message, cx),
                Ok((None, _)) => State::AuthVerifying(self),
                Err(error) => {
                    let is_mixed = matches!(ppk::of_answer(self.sent.ppk(), &self.message), Ok(Some(_)));
                    self.give_up(ppk::explained(error, is_mixed), cx)
                }
            },
            _ => State::AuthVerifying(self),
        }
    }

    /// Whether other authorities count by now.
    fn is_outdated(&self, cx: &Cx<'_>) -> bool {
        current(Arc::clone(&self.config), cx).authentication != self.config.authentication
    }
}

impl AuthSent {
    /// The PPK that our proof is made with.
    fn ppk(&self) -> Option<&Ppk> {
        self.config.ppk.as_ref().filter(|_| self.transcript.ppk)
    }

    pub(super) fn send(mut self, proof: Proof, cx: &mut Cx<'_>) -> State {
        let config = &self.config;
        let mut payloads = vec![Payload::IdInitiator(config.local_id.to_wire())];
        if let Some(by) = config.authentication.certificate().filter(|_| self.resumed.is_none()) {
            let offer = certificate::Offer::of_bytes(&self.transcript.answer);
            payloads.extend(certificate::chain(by, &offer, cx.env.unix_time()));
            payloads.extend(certificate::request([by.trust.as_ref()].into_iter()));
            payloads.extend(ocsp::request([by.trust.as_ref()].into_iter()));
        }
        if cx.is_only_contact(config) {
            payloads.push(Payload::Notify(Notify::new(NotifyType::INITIAL_CONTACT, Vec::new())));
        }
        if let Some(remote) = &config.remote_id {
            payloads.push(Payload::IdResponder(remote.to_wire()));
        }
        payloads.push(Payload::Authentication(proof.auth));
        payloads.extend(self.ppk().map(Ppk::identity));
        let without = |data| Payload::Notify(Notify::new(NotifyType::NO_PPK_AUTH, data));
        payloads.extend(proof.without_ppk.map(without));
        payloads.extend(asked::request(config, cx));
        if let Some(spi) = self.spi {
            let child = &config.children[0];
            let proposals = esp_proposals(&child.esp_suites, &[], child.esn.offered(), spi.0);
            payloads.push(Payload::SecurityAssociation(proposals));
            payloads.push(Payload::TsInitiator(selectors(&child.local_selectors)));
            payloads.push(Payload::TsResponder(selectors(&child.remote_selectors)));
            payloads.extend(child.resources.and_then(|_| Share::Fallback.payload()));
        }
        payloads.extend(crash::token_for(cx.settings, self.secured.spis));
        payloads.extend(resume::request(config));
        if Mobility::is_offered(config) {
            payloads.extend(mobility::announcement(config, self.secured.path.local.ip()));
        }
        self.secured.request(ExchangeType::IKE_AUTH, payloads, cx);
        State::AuthSent(Box::new(self))
    }

    /// Gives back what it holds of the data plane.
    pub(crate) fn release(&self, cx: &mut Cx<'_>) {
        if let Some(spi) = self.spi {
            cx.env.release_spi(spi);
        }
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
        self.on_answer(message, cx)
    }

    /// Checks the peer's proof by what counts now.
    pub(crate) fn on_answer(self: Box<Self>, message: Message, cx: &mut Cx<'_>) -> State {
        let config = current(Arc::clone(&self.config), cx);
        match self.check(&message, &config, cx) {
            Ok(Checked::Proven(verified, peer)) => self.establish(verified, peer, &message, cx),
            Ok(Checked::Open(verify, peer)) => {
                let serial = cx.prove(Some(verify), None);
                State::AuthVerifying(Box::new(AuthVerifying { sent: *self, config, peer, message, serial }))
            }
            Err(error) => self.give_up(error, &message, cx),
        }
    }

    fn check(&self, message: &Message, config: &ConnectionConfig, cx: &Cx<'_>) -> Result<Checked, IkeError> {
        let missing = |payload| IkeError::Missing { stage: Stage::Auth, payload };
        let Some(auth) = message.auth() else {
            let refused = message.error().map(|notify| IkeError::from_peer(Stage::Auth, notify.kind));
            return Err(self.refusal(refused.unwrap_or(missing(PayloadType::AUTH))));
        };
        let id = message.id_responder().ok_or(missing(PayloadType::IDR))?;
        let ppk = ppk::of_answer(self.ppk(), message)?;
        let signed = octets(&self.secured, &self.transcript, Role::Responder, id, ppk);
        let found = Identity::from_wire(id);
        let fits = |found| match &config.remote_id {
            Some(expected) if *expected != found => {
                Err(IkeError::WrongIdentity { found, expected: expected.clone() })
            }
            _ => Ok(found),
        };
        if let Some(peer) = &self.resumed {
            return Ok(Checked::Proven(self.check_resumed(peer, &found, (id, auth))?, found));
        }
        match &config.authentication {
            Authentication::SharedKey(key) => {
                let proof = psk::verify(self.secured.prf(), key, &signed, auth)
                    .ok_or_else(|| ppk::explained(IkeError::WrongKey, ppk.is_some()))?;
                Ok(Checked::Proven(proof, fits(found)?))
            }
            Authentication::Eap(_) => Err(IkeError::NotByEap),
            Authentication::Certificate(by) => {
                let found = fits(found)?;
                let now = cx.env.unix_time();
                Ok(Checked::Open(Verify::prepare(by, message, auth, found.clone(), signed, now)?, found))
            }
        }
    }

    /// What a refusal of the peer means under this connection's authentication.
    fn refusal(&self, error: IkeError) -> IkeError {
        if error != IkeError::RefusedByPeer {
            return error;
        }
        let authentication = &self.config.authentication;
        let asked = certificate::Offer::of_bytes(&self.transcript.answer).authorities;
        let trusted = authentication.certificate().is_none_or(|by| certificate::may_be_trusted(by, &asked));
        authentication.refusal(trusted, self.ppk().is_some())
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

    /// The peer proved itself, let us prove ourselves first, and sends us elsewhere (RFC 5685, 6): it takes the IKE SA for established, and made no Child SA.
    fn on_redirect(self: Box<Self>, _proof: AuthVerified, redirect: Redirect, cx: &mut Cx<'_>) -> State {
        self.release(cx);
        cx.ended(DownReason::Redirected, None, false);
        cx.effect(Effect::Redirected(self.config.id, redirect.to, self.secured.path.remote.ip()));
        State::Closing(Box::new(Closing::deleting(self.secured, cx.connection, Vec::new(), cx)))
    }

    fn establish(
        self: Box<Self>,
        proof: AuthVerified,
        peer: Identity,
        message: &Message,
        cx: &mut Cx<'_>,
    ) -> State {
        // Before anything takes the IKE SA for one that stays.
        if let Some(redirect) = Redirect::of(message).filter(|_| self.config.follow_redirects) {
            return self.on_redirect(proof, redirect, cx);
        }
        let assigned = match asked::reply(&self.config, message) {
            Ok(assigned) => assigned,
            Err(error) => return self.give_up(error, message, cx),
        };
        let used = ppk::of_answer(self.ppk(), message).ok().flatten().map(|ppk| Arc::clone(&ppk.secret));
        let Self { mut secured, config, transcript, spi, resumed } = *self;
        if let Some(secret) = used {
            secured.mix_ppk(&secret);
        }
        let current = current(Arc::clone(&config), cx);
        let mut state = establish(secured, Arc::clone(&config), peer, proof, false, cx);
        asked::take(&mut state, assigned, cx);
        state.token = Token::of(message);
        if resumed.is_some() {
            cx.note(What::Resumed);
        }
        resume::keep(&mut state, message, cx);
        let is_offered = Mobility::is_offered(&state.config);
        state.mobility = Mobility::of_peer(message, is_offered, true, &state.secured.path);
        if let Some(spi) = spi {
            begin_child(&mut state, (spi, &config), &transcript, message, cx);
        } else {
            state.want(Task::NewChild { policy: 0 });
        }
        if !Arc::ptr_eq(&config, &current) {
            state.reconfigure(&current, cx);
        }
        for policy in 1..state.config.children.len() {
            state.want(Task::NewChild { policy });
        }
        Box::new(state).settle(cx)
    }
}

pub(super) fn failed(error: IkeError, cx: &mut Cx<'_>) -> State {
    cx.note_stage(What::ExchangeFailed, Stage::Auth);
    cx.ended(DownReason::Error(error.clone()), Some(error), false);
    State::Gone
}
