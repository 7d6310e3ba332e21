//! The initiator of main mode: offers, agrees on a secret, proves itself, and checks the peer (RFC 2409, 5).

use std::sync::Arc;
use std::time::Duration;

use super::attempt::{Attempt, failed};
use super::{Done, Transcript, clear, establish, in_force, initial_contact, isakmp, method, signature};
use crate::auth::{AuthVerified, psk};
use crate::config::ConnectionConfig;
use crate::crypto::kex::PrivateValue;
use crate::crypto::keys::IkeSpis;
use crate::error::{IkeError, Stage};
use crate::event::{ConnectionId, DownReason, IkeId, Path, Role};
use crate::identity::Identity;
use crate::job::{JobResult, Outcome, Work};
use crate::notice::What;
use crate::sa::{Arrived, Cx, IkeSa, State};
use crate::secret::Secret;
use crate::v1::Phase;
use crate::v1::closing::Closing;
use crate::v1::keys::Keys;
use crate::v1::nat;
use crate::v1::protect::{self, Abilities, Isakmp};
use crate::v1::suite;
use crate::v1::wire::{self, ExchangeType, Header, Message, NotifyType, Payload, SecurityAssociation};
use crate::wire::IkeSpi;

/// Message 1 is out.
#[derive(Debug)]
pub(crate) struct Offered {
    pub(crate) attempt: Attempt,
    offer: SecurityAssociation,
    sa_body: Vec<u8>,
}

/// Algorithms are agreed on; our public value is being computed.
#[derive(Debug)]
pub(crate) struct Preparing {
    pub(crate) attempt: Attempt,
    chosen: Chosen,
    pub(crate) serial: u64,
}

/// What both sides have agreed on.
#[derive(Debug)]
pub(super) struct Chosen {
    pub(super) transcript: Transcript,
    pub(super) abilities: Abilities,
    pub(super) life: Option<Duration>,
}

/// Message 3 is out.
#[derive(Debug)]
pub(crate) struct Exchanging {
    pub(crate) attempt: Attempt,
    chosen: Chosen,
    private: PrivateValue,
}

/// The shared secret is being computed.
#[derive(Debug)]
pub(crate) struct Sharing {
    pub(crate) attempt: Attempt,
    chosen: Chosen,
    pub(crate) serial: u64,
}

/// Message 5 is out.
#[derive(Debug)]
pub(crate) struct Proving {
    pub(crate) attempt: Attempt,
    pub(super) chosen: Chosen,
    pub(super) keys: Keys,
    /// That of the peer's proof.
    iv: Vec<u8>,
}

/// Begins main mode on `path`, to replace `renews` or for the first time.
pub(crate) fn begin(
    config: Arc<ConnectionConfig>,
    path: Path,
    renews: Option<IkeId>,
    cx: &mut Cx<'_>,
) -> Box<IkeSa> {
    let id = IkeId(cx.shared.next_id());
    cx.ike = Some(id);
    cx.note_from(What::Initiating, path.remote);
    let cookie = cx.ike_spi();
    let offer = suite::offer(&config.ike_suites, method(&config), config.ike_lifetime.hard);
    let mut payloads = vec![Payload::SecurityAssociation(offer.clone())];
    payloads.extend(nat::vendor_ids());
    let datagram = clear((cookie, IkeSpi::NONE), payloads);
    let sa_body = Message::sa_body(&datagram).expect("our own message holds an SA payload");
    let mut attempt = Attempt { config, cookie, path, renews, hint: None, sending: None };
    attempt.send(datagram, cx);
    let state = Phase::Offered(Box::new(Offered { attempt, offer, sa_body }));
    IkeSa::new(id, cookie, None, State::V1(state), cx)
}

/// The peer is not the one whom we called, or did not prove to be.
pub(super) fn refused(isakmp: Isakmp, connection: ConnectionId, error: IkeError, cx: &mut Cx<'_>) -> Phase {
    cx.note_stage(What::ExchangeFailed, Stage::MainMode);
    cx.ended(DownReason::Error(error.clone()), Some(error), false);
    Phase::Closing(Box::new(Closing::deleting(isakmp, Some(connection), cx)))
}

impl Offered {
    pub(crate) fn on_timeout(mut self: Box<Self>, cx: &mut Cx<'_>) -> Phase {
        if self.attempt.resend(cx) { Phase::Offered(self) } else { self.attempt.give_up(cx) }
    }

    pub(crate) fn on_datagram(
        mut self: Box<Self>,
        arrived: &Arrived<'_>,
        header: &Header,
        cx: &mut Cx<'_>,
    ) -> Phase {
        let Some(payloads) = self.attempt.answer(arrived, header, cx) else { return Phase::Offered(self) };
        let config = &self.attempt.config;
        let chosen = wire::sa(&payloads).and_then(|sa| suite::accept(&config.ike_suites, method(config), sa));
        let Some(chosen) = chosen.filter(|chosen| was_offered(&self.offer, &chosen.answer)) else {
            cx.note_from(What::DropUnexpected, arrived.remote);
            return Phase::Offered(self);
        };
        let Self { mut attempt, sa_body, .. } = *self;
        attempt.sending = None;
        let private = PrivateValue::draw(chosen.suite.group, &mut |out| cx.env.random(out));
        let serial = cx.compute(Work::Public(private));
        let transcript = Transcript {
            cookies: IkeSpis { initiator: attempt.cookie, responder: header.responder },
            suite: chosen.suite,
            method: chosen.method,
            sa_body,
            public_initiator: Vec::new(),
            public_responder: Vec::new(),
            nonce_initiator: cx.nonce(),
            nonce_responder: Vec::new(),
        };
        let chosen = Chosen { transcript, abilities: nat::abilities(&payloads), life: chosen.life };
        Phase::Preparing(Box::new(Preparing { attempt, chosen, serial }))
    }
}

/// Whether the answer is one of the transforms that were offered: a longer list of suites than fits the offer may hold more.
fn was_offered(offer: &SecurityAssociation, answer: &SecurityAssociation) -> bool {
    let transform = |sa: &SecurityAssociation| sa.proposals.first().map(|p| p.transforms.clone());
    let (offered, answered) = (transform(offer).unwrap_or_default(), transform(answer).unwrap_or_default());
    // Lives and numbers may be the responder's own.
    let is_same = |one: &wire::Transform, other: &wire::Transform| {
        let of = |t: &wire::Transform| {
            t.attributes.iter().filter(|a| a.kind < 11 || a.kind > 12).cloned().collect::<Vec<_>>()
        };
        let (one, other) = (of(one), of(other));
        one.len() == other.len() && one.iter().all(|attribute| other.contains(attribute))
    };
    answered.first().is_some_and(|answer| offered.iter().any(|offer| is_same(offer, answer)))
}

impl Preparing {
    pub(crate) fn on_computed(self: Box<Self>, result: JobResult, cx: &mut Cx<'_>) -> Phase {
        match result.outcome {
            Outcome::Public(private, public) if result.serial == self.serial => {
                let Self { mut attempt, mut chosen, .. } = *self;
                chosen.transcript.public_initiator = public;
                let Transcript { cookies, public_initiator, nonce_initiator, .. } = &chosen.transcript;
                let mut payloads = vec![
                    Payload::KeyExchange(public_initiator.clone()),
                    Payload::Nonce(nonce_initiator.clone()),
                ];
                if chosen.abilities.nat {
                    let force = attempt.config.force_encapsulation;
                    payloads.extend(nat::payloads(chosen.transcript.prf(), *cookies, attempt.path, force));
                }
                let datagram = clear((cookies.initiator, cookies.responder), payloads);
                attempt.send(datagram, cx);
                Phase::Exchanging(Box::new(Exchanging { attempt, chosen, private }))
            }
            _ => Phase::Preparing(self),
        }
    }
}

impl Exchanging {
    pub(crate) fn on_timeout(mut self: Box<Self>, cx: &mut Cx<'_>) -> Phase {
        if self.attempt.resend(cx) { Phase::Exchanging(self) } else { self.attempt.give_up(cx) }
    }

    pub(crate) fn on_datagram(
        mut self: Box<Self>,
        arrived: &Arrived<'_>,
        header: &Header,
        cx: &mut Cx<'_>,
    ) -> Phase {
        let cookies = self.chosen.transcript.cookies;
        let payloads = self.attempt.answer(arrived, header, cx);
        let is_ours = header.responder == cookies.responder;
        let (Some(payloads), true) = (payloads, is_ours) else { return Phase::Exchanging(self) };
        // A repeat of message 2 holds neither.
        let (Some(ke), Some(nonce)) = (wire::ke(&payloads), wire::nonce(&payloads)) else {
            cx.note_from(What::DropUnexpected, arrived.remote);
            return Phase::Exchanging(self);
        };
        let Self { mut attempt, mut chosen, private } = *self;
        attempt.sending = None;
        if chosen.abilities.nat {
            let (prf, path, config) = (chosen.transcript.prf(), attempt.path, &attempt.config);
            attempt.path = nat::detect(&payloads, (prf, cookies), arrived, path, Role::Initiator, config, cx);
        }
        chosen.transcript.public_responder.clone_from(ke);
        chosen.transcript.nonce_responder.clone_from(nonce);
        let serial = cx.compute(Work::Agree(private, ke.clone()));
        Phase::Sharing(Box::new(Sharing { attempt, chosen, serial }))
    }
}

impl Sharing {
    pub(crate) fn on_computed(self: Box<Self>, result: JobResult, cx: &mut Cx<'_>) -> Phase {
        let Outcome::Agreed(shared) = result.outcome else { return Phase::Sharing(self) };
        if result.serial != self.serial {
            return Phase::Sharing(self);
        }
        let Ok(shared) = shared else { return failed(IkeError::BadPublicKey(Stage::MainMode), cx) };
        cx.note_stage(What::KeysAgreed, Stage::MainMode);
        self.prove(&shared, cx)
    }

    fn prove(self: Box<Self>, shared: &Secret<Vec<u8>>, cx: &mut Cx<'_>) -> Phase {
        let Self { mut attempt, chosen, .. } = *self;
        let Some(config) = in_force(&attempt.config, cx) else { return failed(IkeError::Reconfigured, cx) };
        attempt.config = config;
        let transcript = &chosen.transcript;
        let prove = transcript.prove(shared, &attempt.config);
        let keys = Keys::derive(transcript.suite, prove, transcript.agreed(shared));
        let id = attempt.config.local_id.to_wire();
        let hash = transcript.proof(Role::Initiator, &keys.prove, &id.body());
        if let Some(by) = attempt.config.authentication.certificate() {
            let by = Arc::clone(by);
            return signature::sign(attempt, chosen, keys, &by, hash.expose().clone(), cx);
        }
        let payloads = vec![Payload::Identification(id), Payload::Hash(hash.expose().clone())];
        send_proof(attempt, chosen, keys, payloads, cx)
    }
}

/// Sends message 5.
pub(super) fn send_proof(
    mut attempt: Attempt,
    chosen: Chosen,
    keys: Keys,
    mut payloads: Vec<Payload>,
    cx: &mut Cx<'_>,
) -> Phase {
    let transcript = &chosen.transcript;
    if cx.is_only_contact(&attempt.config) {
        payloads.push(initial_contact(transcript.cookies));
    }
    let mut iv = transcript.iv();
    let cookies = (transcript.cookies.initiator, transcript.cookies.responder);
    let header = super::header(cookies, ExchangeType::MAIN_MODE);
    let datagram = protect::seal(transcript.suite.cipher, &keys.encrypt, &mut iv, header, &payloads);
    attempt.send(datagram, cx);
    Phase::Proving(Box::new(Proving { attempt, chosen, keys, iv }))
}

impl Proving {
    pub(crate) fn on_timeout(mut self: Box<Self>, cx: &mut Cx<'_>) -> Phase {
        if self.attempt.resend(cx) { Phase::Proving(self) } else { self.attempt.give_up(cx) }
    }

    pub(crate) fn on_datagram(
        mut self: Box<Self>,
        arrived: &Arrived<'_>,
        header: &Header,
        cx: &mut Cx<'_>,
    ) -> Phase {
        let cookies = self.chosen.transcript.cookies;
        if (header.initiator, header.responder) != (cookies.initiator, cookies.responder) {
            cx.note_from(What::DropUnexpected, arrived.remote);
            return Phase::Proving(self);
        }
        if !header.is_encrypted {
            // Message 4 again, or an error in the clear.
            self.attempt.answer(arrived, header, cx);
            return Phase::Proving(self);
        }
        match header.exchange {
            ExchangeType::MAIN_MODE if header.id == 0 => self.on_proof(arrived, cx),
            ExchangeType::INFORMATIONAL if header.id != 0 => self.on_informational(arrived, header, cx),
            _ => {
                cx.note_from(What::DropUnexpected, arrived.remote);
                Phase::Proving(self)
            }
        }
    }

    /// An error under the keys of both sides is the peer's word.
    fn on_informational(
        mut self: Box<Self>,
        arrived: &Arrived<'_>,
        header: &Header,
        cx: &mut Cx<'_>,
    ) -> Phase {
        let Transcript { suite, .. } = self.chosen.transcript;
        let id = header.id.to_be_bytes();
        let iv = crate::v1::keys::iv(suite, &[&self.iv, &id]);
        let opened = protect::open(suite.cipher, &self.keys.encrypt, &iv, arrived.bytes);
        let Some(opened) = opened.filter(|o| o.has_hash(suite.prf, &self.keys.authenticate, &[&id])) else {
            self.attempt.remember(IkeError::Undecryptable(Stage::MainMode), cx);
            return Phase::Proving(self);
        };
        let error = wire::notifies(opened.payloads()).find(|notify| notify.kind.is_error());
        match error.map(|notify| notify.kind) {
            Some(NotifyType::AUTHENTICATION_FAILED) => {
                failed(self.attempt.config.authentication.refusal(true, false), cx)
            }
            Some(notify) => failed(IkeError::RefusedV1 { stage: Stage::MainMode, notify }, cx),
            None => {
                cx.note_from(What::DropUnexpected, arrived.remote);
                Phase::Proving(self)
            }
        }
    }

    fn on_proof(mut self: Box<Self>, arrived: &Arrived<'_>, cx: &mut Cx<'_>) -> Phase {
        let transcript = &self.chosen.transcript;
        let opened = protect::open(transcript.suite.cipher, &self.keys.encrypt, &self.iv, arrived.bytes);
        let Some(opened) = opened else {
            self.attempt.remember(IkeError::Undecryptable(Stage::MainMode), cx);
            return Phase::Proving(self);
        };
        let id = wire::ids(opened.payloads()).next();
        if let (Some(by), Some(id)) = (self.attempt.config.authentication.certificate(), id) {
            let (by, id) = (Arc::clone(by), id.clone());
            return signature::verify(*self, &by, &id, &opened, cx);
        }
        let proof = id.and_then(|id| {
            let expected = transcript.proof(Role::Responder, &self.keys.prove, &id.body());
            psk::verify_hash(&expected, wire::hash(opened.payloads())?)
        });
        let (Some(id), Some(proof)) = (id, proof) else {
            self.attempt.remember(IkeError::WrongKey, cx);
            return Phase::Proving(self);
        };
        let peer = Identity::from_wire(id);
        self.establish(peer, proof, opened.last_block, cx)
    }

    /// The peer has proven to be `peer`: is that whom we called?
    pub(super) fn establish(
        self,
        peer: Identity,
        proof: AuthVerified,
        last_block: Vec<u8>,
        cx: &mut Cx<'_>,
    ) -> Phase {
        let Self { attempt, chosen, keys, .. } = self;
        let (path, abilities) = (attempt.path, chosen.abilities);
        let isakmp = isakmp(&chosen.transcript, keys, Role::Initiator, last_block, path, abilities);
        // From here on the peer holds it for established.
        let Some(config) = in_force(&attempt.config, cx) else {
            return refused(isakmp, attempt.config.id, IkeError::Reconfigured, cx);
        };
        if let Some(expected) = config.remote_id.clone().filter(|expected| *expected != peer) {
            return refused(isakmp, config.id, IkeError::WrongIdentity { found: peer, expected }, cx);
        }
        let done =
            Done { isakmp, config, peer, life: chosen.life, initial_contact: false, renews: attempt.renews };
        Box::new(establish(done, proof, cx)).settle(cx)
    }
}
