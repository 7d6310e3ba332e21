//! The responder of main mode: refusals without state, algorithms, a secret, the peer's proof and ours (RFC 2409, 5).
//!
//! With a shared key the peer's proof is read under the key, so the key comes from the peer's address, not from its name (RFC 2409, 5.4): of connections with
//! peers from anywhere each key is tried.

use std::net::SocketAddr;
use std::sync::Arc;

use super::first::{candidates, choose, has_place, refuse, refuse_by_answer, refuse_stranger};
use super::tries::{Found, Tries};
use super::{Done, Transcript, clear, establish, isakmp, method, signature};
use crate::auth::AuthVerified;
use crate::config::{ConnectionConfig, Version};
use crate::connection::Evidence;
use crate::crypto::kex::PrivateValue;
use crate::crypto::keys::IkeSpis;
use crate::endpoint::Endpoint;
use crate::environment::{Environment, Instant};
use crate::error::{IkeError, Stage};
use crate::event::{ConnectionId, Encapsulation, IkeId, Path, Role};
use crate::identity::Identity;
use crate::job::{JobResult, Outcome, Work};
use crate::notice::What;
use crate::sa::{Arrived, Cx, IkeSa, State};
use crate::secret::Secret;
use crate::v1::keys::Keys;
use crate::v1::protect::{self, Abilities, Repeat};
use crate::v1::wire::{self, ExchangeType, Header, Message, Notify, NotifyType, Payload};
use crate::v1::{Phase, informational, nat};

/// Message 2 is out.
#[derive(Debug)]
pub(crate) struct Answered {
    open: Open,
}

/// What a responder keeps from message to message.
#[derive(Debug)]
pub(super) struct Open {
    candidates: Vec<ConnectionId>,
    pub(super) transcript: Transcript,
    abilities: Abilities,
    life: Option<std::time::Duration>,
    path: Path,
    /// The last message and our answer to it.
    last: Repeat,
    /// How long the peer has from its first message on.
    expires_at: Instant,
}

/// Public value and shared secret are being computed.
#[derive(Debug)]
pub(crate) struct Agreeing {
    open: Open,
    /// Message 3.
    received: Vec<u8>,
    pub(crate) serial: u64,
}

/// Message 4 is out.
#[derive(Debug)]
pub(crate) struct Awaiting {
    pub(super) open: Open,
    shared: Secret<Vec<u8>>,
    /// The keys that message 5 may be under.
    tries: Tries,
    /// Whether the operator has been told of a proof that cannot be read.
    is_told: bool,
}

/// A first message from a peer. For every refusal, no state is kept.
pub(crate) fn accept(
    endpoint: &mut Endpoint,
    arrived: &Arrived<'_>,
    now: Instant,
    env: &mut dyn Environment,
) {
    let message = Message::parse(arrived.bytes).ok().filter(|message| message.header.id == 0);
    let (Some(message), Some(sa_body)) = (message, Message::sa_body(arrived.bytes)) else {
        return endpoint.cx(now, env).note_from(What::DropMalformed, arrived.remote);
    };
    if endpoint.stopping {
        return endpoint.cx(now, env).note_from(What::DropStopping, arrived.remote);
    }
    let (candidates, others) = candidates(endpoint, arrived);
    if candidates.is_empty() {
        return refuse_stranger(&others, arrived, &message, &mut endpoint.cx(now, env));
    }
    if !has_place(endpoint, arrived, now, env) {
        return;
    }
    let mut cx = endpoint.cx(now, env);
    let Some((fitting, chosen)) = choose(&candidates, &message, &cx) else {
        let error = IkeError::NoProposalChosen(Stage::MainMode);
        cx.refused(What::ExchangeFailed, arrived.remote, &candidates, Evidence::Hint, &error);
        return refuse_by_answer(arrived, &message, NotifyType::NO_PROPOSAL_CHOSEN, &mut cx);
    };
    let id = IkeId(cx.shared.next_id());
    cx.ike = Some(id);
    cx.is_stranger = true;
    cx.note_from(What::Responding, arrived.remote);
    let cookies = IkeSpis { initiator: message.header.initiator, responder: cx.ike_spi() };
    let mut payloads = vec![Payload::SecurityAssociation(chosen.answer)];
    payloads.extend(nat::vendor_ids());
    let answer = clear((cookies.initiator, cookies.responder), payloads);
    cx.transmit(arrived.local, arrived.remote, answer.clone());
    let path = Path {
        local: arrived.local,
        remote: arrived.remote,
        encapsulation: Encapsulation::None,
        nat_before_us: false,
        nat_before_peer: false,
    };
    let transcript = Transcript {
        cookies,
        suite: chosen.suite,
        method: chosen.method,
        sa_body,
        public_initiator: Vec::new(),
        public_responder: Vec::new(),
        nonce_initiator: Vec::new(),
        nonce_responder: Vec::new(),
    };
    let open = Open {
        candidates: fitting,
        transcript,
        abilities: nat::abilities(&message.payloads),
        life: chosen.life,
        path,
        last: Repeat::new(arrived.bytes, answer),
        expires_at: now + cx.settings.half_open_timeout,
    };
    let first_message = Some((arrived.remote, cookies.initiator));
    let state = State::V1(Phase::Answered(Box::new(Answered { open })));
    let sa = IkeSa::new(id, cookies.responder, first_message, state, &cx);
    endpoint.register(sa);
}

impl Open {
    /// Says the same again if the same was asked again; whether that was so.
    fn is_repeat(&self, arrived: &Arrived<'_>, cx: &mut Cx<'_>) -> bool {
        let is_repeat = self.last.is_of(arrived.bytes);
        if is_repeat {
            cx.note(What::AnswerRepeated);
            cx.transmit(arrived.local, arrived.remote, self.last.answer.clone());
        }
        is_repeat
    }

    fn is_ours(&self, header: &Header) -> bool {
        let cookies = self.transcript.cookies;
        (header.initiator, header.responder) == (cookies.initiator, cookies.responder)
            && header.exchange == ExchangeType::MAIN_MODE
            && header.id == 0
    }
}

impl Open {
    /// There will be no next message, of the peer or of ours.
    pub(super) fn give_up(&self, what: What, error: &IkeError, cx: &mut Cx<'_>) -> Phase {
        cx.refused(what, self.path.remote, &self.candidates, Evidence::Hint, error);
        Phase::Gone
    }

    /// Nobody here is for that peer, or it is not who it says: it is told no more than that.
    pub(super) fn refuse(self, claim: Claim, error: IkeError, cx: &mut Cx<'_>) -> Phase {
        let Claim { config, keys, last_block, seen, .. } = claim;
        cx.refused(What::ExchangeFailed, seen.1, &[config.id], Evidence::Shown, &error);
        cx.note(What::ErrorAnswered);
        let Self { transcript, abilities, mut path, .. } = self;
        (path.local, path.remote) = seen;
        let isakmp = isakmp(&transcript, keys, Role::Responder, last_block, path, abilities);
        informational::notify(&isakmp, NotifyType::AUTHENTICATION_FAILED, Vec::new(), cx);
        Phase::Gone
    }

    /// Proves ourselves by message 6: the ISAKMP SA is up.
    pub(super) fn answer(
        self,
        claim: Claim,
        proof: AuthVerified,
        payloads: &[Payload],
        cx: &mut Cx<'_>,
    ) -> Phase {
        let Self { transcript, abilities, life, mut path, .. } = self;
        let Claim { config, keys, peer, last_block: mut iv, initial_contact, received, seen } = claim;
        (path.local, path.remote) = seen;
        let cookies = (transcript.cookies.initiator, transcript.cookies.responder);
        let header = super::header(cookies, ExchangeType::MAIN_MODE);
        let answer = protect::seal(transcript.suite.cipher, &keys.encrypt, &mut iv, header, payloads);
        cx.transmit(path.local, path.remote, answer.clone());
        let isakmp = isakmp(&transcript, keys, Role::Responder, iv, path, abilities);
        let done = Done { isakmp, config, peer, life, initial_contact, renews: None };
        let mut state = establish(done, proof, cx);
        state.keep_answer(0, Repeat::new(&received, answer), cx);
        state.want_missing_later(cx);
        Box::new(state).settle(cx)
    }
}

impl Answered {
    pub(crate) const fn expires_at(&self) -> Instant {
        self.open.expires_at
    }

    pub(crate) fn expire(&self, cx: &mut Cx<'_>) -> Phase {
        self.open.give_up(What::HalfOpenExpired, &IkeError::StoppedHalfWay(Stage::MainMode), cx)
    }

    pub(crate) fn on_datagram(
        self: Box<Self>,
        arrived: &Arrived<'_>,
        header: &Header,
        cx: &mut Cx<'_>,
    ) -> Phase {
        if self.open.is_repeat(arrived, cx) {
            return Phase::Answered(self);
        }
        let payloads = Message::parse(arrived.bytes).ok().filter(|_| self.open.is_ours(header));
        let payloads = payloads.map(|message| message.payloads).unwrap_or_default();
        let (Some(ke), Some(nonce)) = (wire::ke(&payloads), wire::nonce(&payloads)) else {
            cx.note_from(What::DropUnexpected, arrived.remote);
            return Phase::Answered(self);
        };
        let Self { mut open } = *self;
        if open.abilities.nat {
            let config = open.candidates.iter().find_map(|id| cx.connections.get(id));
            let config = config.map(|connection| Arc::clone(&connection.config));
            let seen = (open.transcript.prf(), open.transcript.cookies);
            if let Some(config) = config {
                open.path = nat::detect(&payloads, seen, arrived, open.path, Role::Responder, &config, cx);
            }
        }
        open.transcript.public_initiator.clone_from(ke);
        open.transcript.nonce_initiator.clone_from(nonce);
        open.transcript.nonce_responder = cx.nonce();
        let private = PrivateValue::draw(open.transcript.suite.group, &mut |out| cx.env.random(out));
        let serial = cx.compute(Work::Answer(private, ke.clone()));
        Phase::Agreeing(Box::new(Agreeing { open, received: arrived.bytes.to_vec(), serial }))
    }
}

impl Agreeing {
    /// The result did not come.
    pub(crate) fn give_up(&self, cx: &mut Cx<'_>) -> Phase {
        self.open.give_up(What::HalfOpenExpired, &IkeError::NoResult(Stage::MainMode), cx)
    }

    pub(crate) fn on_computed(self: Box<Self>, result: JobResult, cx: &mut Cx<'_>) -> Phase {
        let Outcome::Answered(answered) = result.outcome else { return Phase::Agreeing(self) };
        if result.serial != self.serial {
            return Phase::Agreeing(self);
        }
        let Ok((public, shared)) = answered else {
            return self.open.give_up(What::ExchangeFailed, &IkeError::BadPublicKey(Stage::MainMode), cx);
        };
        let Self { mut open, received, .. } = *self;
        open.transcript.public_responder.clone_from(&public);
        let Transcript { cookies, nonce_responder, .. } = &open.transcript;
        let mut payloads = vec![Payload::KeyExchange(public), Payload::Nonce(nonce_responder.clone())];
        if open.abilities.nat {
            let mut candidates = open.candidates.iter().filter_map(|id| cx.connections.get(id));
            let force = candidates.any(|candidate| candidate.config.force_encapsulation);
            payloads.extend(nat::payloads(open.transcript.prf(), *cookies, open.path, force));
        }
        let candidates = open.candidates.iter().filter_map(|id| cx.connections.get(id));
        payloads.extend(signature::requests(candidates.map(|candidate| candidate.config.as_ref())));
        let answer = clear((cookies.initiator, cookies.responder), payloads);
        cx.transmit(open.path.local, open.path.remote, answer.clone());
        cx.note_stage(What::KeysAgreed, Stage::MainMode);
        open.last = Repeat::new(&received, answer);
        Phase::Awaiting(Box::new(Awaiting { open, shared, tries: Tries::default(), is_told: false }))
    }
}

/// What a peer that could be read says of itself.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) config: Arc<ConnectionConfig>,
    pub(super) keys: Keys,
    pub(super) peer: Identity,
    last_block: Vec<u8>,
    initial_contact: bool,
    /// Message 5.
    received: Vec<u8>,
    /// Where to and where from: behind a NAT the peer has moved to port 4500.
    pub(super) seen: (SocketAddr, SocketAddr),
}

impl Awaiting {
    pub(crate) const fn expires_at(&self) -> Instant {
        self.open.expires_at
    }

    pub(crate) fn expire(&self, cx: &mut Cx<'_>) -> Phase {
        if self.is_told {
            // Of what it sent instead.
            cx.note(What::HalfOpenExpired);
            return Phase::Gone;
        }
        self.open.give_up(What::HalfOpenExpired, &IkeError::StoppedHalfWay(Stage::MainMode), cx)
    }

    pub(crate) fn on_datagram(
        mut self: Box<Self>,
        arrived: &Arrived<'_>,
        header: &Header,
        cx: &mut Cx<'_>,
    ) -> Phase {
        if self.open.is_repeat(arrived, cx) {
            return Phase::Awaiting(self);
        }
        if !self.open.is_ours(header) || !header.is_encrypted {
            cx.note_from(What::DropUnexpected, arrived.remote);
            return Phase::Awaiting(self);
        }
        let configs = self.configs(cx);
        let Self { open, shared, tries, .. } = &mut *self;
        let Some(found) = tries.read(configs, &open.transcript, shared, arrived.bytes) else {
            return self.unreadable(arrived, cx);
        };
        let Found { config, keys, opened, proof, id, is_meant } = found;
        let peer = Identity::from_wire(&id);
        let has_contact = |notify: &Notify| notify.kind == NotifyType::INITIAL_CONTACT;
        let claim = Claim {
            config,
            keys,
            peer,
            last_block: opened.last_block.clone(),
            initial_contact: wire::notifies(opened.payloads()).any(has_contact),
            received: arrived.bytes.to_vec(),
            seen: (arrived.local, arrived.remote),
        };
        match proof {
            _ if !is_meant => {
                let error = IkeError::UnknownPeer(claim.peer.clone());
                self.open.refuse(claim, error, cx)
            }
            Some(proof) => {
                let id = claim.config.local_id.to_wire();
                let hash = self.open.transcript.proof(Role::Responder, &claim.keys.prove, &id.body());
                let payloads = vec![Payload::Identification(id), Payload::Hash(hash.expose().clone())];
                self.open.answer(claim, proof, &payloads, cx)
            }
            None => signature::check(self, claim, &id, &opened, cx),
        }
    }

    fn configs(&self, cx: &Cx<'_>) -> Vec<Arc<ConnectionConfig>> {
        let found = self.open.candidates.iter().filter_map(|id| cx.connections.get(id));
        let Transcript { suite, method: agreed, .. } = &self.open.transcript;
        let speaks = |config: &Arc<ConnectionConfig>| {
            config.version == Version::V1 && method(config) == *agreed && config.ike_suites.contains(suite)
        };
        found.map(|connection| Arc::clone(&connection.config)).filter(speaks).collect()
    }

    /// A proof that no key of ours reads. Anybody could have sent one, but each costs a decryption for every key: after some of them the peer has to begin anew.
    fn unreadable(mut self: Box<Self>, arrived: &Arrived<'_>, cx: &mut Cx<'_>) -> Phase {
        self.tell(arrived, cx);
        if self.tries.are_over() {
            cx.note_from(What::HalfOpenGivenUp, arrived.remote);
            return Phase::Gone;
        }
        Phase::Awaiting(self)
    }

    /// Says so, once.
    fn tell(&mut self, arrived: &Arrived<'_>, cx: &mut Cx<'_>) {
        cx.note_from(What::DropUnauthentic, arrived.remote);
        if std::mem::replace(&mut self.is_told, true) {
            return;
        }
        let error = IkeError::Undecryptable(Stage::MainMode);
        cx.refused(What::ExchangeFailed, arrived.remote, &self.open.candidates, Evidence::Hint, &error);
        let Transcript { cookies, .. } = self.open.transcript;
        let header = Header {
            exchange: ExchangeType::INFORMATIONAL,
            ..super::header((cookies.initiator, cookies.responder), ExchangeType::INFORMATIONAL)
        };
        refuse(arrived, &Message { header, payloads: Vec::new() }, NotifyType::PAYLOAD_MALFORMED, cx);
    }
}
