//! IKE_INTERMEDIATE with an additional key exchange (RFC 9242; RFC 9370, 2.2.2), in both roles: between IKE_SA_INIT and IKE_AUTH, ML-KEM is mixed into
//! the keys, so that whoever records the handshake today gains nothing from a quantum computer later.
//!
//! When the IKE SA is rekeyed, `followup.rs` does the same for its successor.

use std::sync::Arc;

use crate::config::ConnectionConfig;
use crate::crypto::kex::{Group, PrivateValue};
use crate::environment::Instant;
use crate::error::{IkeError, Stage};
use crate::established::{Closing, error_payload};
use crate::event::{DownReason, Role};
use crate::exchange::auth::{self, AuthAwaited};
use crate::exchange::init::Transcript;
use crate::job::{JobResult, Outcome, Work};
use crate::notice::What;
use crate::sa::{Arrived, Cx, State};
use crate::secret::Secret;
use crate::secured::{Received, Secured};
use crate::window::Due;
use crate::wire::{ExchangeType, Header, KeyExchangeData, Message, MessageKind, Payload, PayloadType};

const EXCHANGE: ExchangeType = ExchangeType::IKE_INTERMEDIATE;

/// Initiator: the additional key exchange is under way.
#[derive(Debug)]
pub(crate) struct Intermediate {
    pub(crate) secured: Secured,
    pub(crate) config: Arc<ConnectionConfig>,
    transcript: Transcript,
    method: Group,
    step: Step,
}

#[derive(Debug)]
enum Step {
    /// Our value is being computed.
    Preparing(u64),
    /// It is out; with it, what it adds to AUTH.
    Sent(PrivateValue, Secret<Vec<u8>>),
    /// The secret is being computed; what both messages add to AUTH.
    Sharing(u64, Secret<Vec<u8>>, Secret<Vec<u8>>),
}

/// Responder: how far the additional key exchange is.
#[derive(Debug)]
pub(crate) enum Mixing {
    /// The initiator's value for this method is awaited.
    Awaited(Group),
    /// The answer is being computed; what the request adds to AUTH.
    Computing(Group, u64, Secret<Vec<u8>>),
    /// There is none, or it is done.
    Done,
}

/// Initiator: begins the additional key exchange.
pub(crate) fn begin(
    secured: Secured,
    config: Arc<ConnectionConfig>,
    transcript: Transcript,
    method: Group,
    cx: &mut Cx<'_>,
) -> State {
    let private = PrivateValue::draw(method, &mut |out| cx.env.random(out));
    let step = Step::Preparing(cx.compute(Work::Public(private)));
    State::Intermediate(Box::new(Intermediate { secured, config, transcript, method, step }))
}

/// A message with our value, and what it adds to AUTH.
fn value(
    secured: &Secured,
    kind: MessageKind,
    method: Group,
    public: Vec<u8>,
) -> (Vec<Payload>, Secret<Vec<u8>>) {
    let payloads = vec![Payload::KeyExchange(KeyExchangeData { group: method.id(), public })];
    let message = Message { header: secured.header(EXCHANGE, kind), payloads };
    let octets = secured.intermediate_octets(secured.role, &message);
    (message.payloads, octets)
}

/// What both sides sign besides: the octets of both messages, and the message ID of IKE_AUTH.
fn signed(ours: &Secret<Vec<u8>>, theirs: &Secret<Vec<u8>>, auth_id: u32) -> Vec<u8> {
    [ours.expose().as_slice(), theirs.expose(), &auth_id.to_be_bytes()].concat()
}

impl Mixing {
    /// The job that computes the answer.
    pub(crate) const fn job(&self) -> Option<u64> {
        match self {
            Self::Computing(_, serial, _) => Some(*serial),
            Self::Awaited(_) | Self::Done => None,
        }
    }
}

impl Intermediate {
    /// The job under way.
    pub(crate) const fn job(&self) -> Option<u64> {
        match &self.step {
            Step::Preparing(serial) | Step::Sharing(serial, ..) => Some(*serial),
            Step::Sent(..) => None,
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.secured.window.deadline()
    }

    pub(crate) fn on_timeout(mut self: Box<Self>, cx: &mut Cx<'_>) -> State {
        if self.secured.resend_due(Stage::Intermediate, cx) == Due::GiveUp {
            return failed(IkeError::NoAnswer { stage: Stage::Intermediate, hint: None }, cx);
        }
        State::Intermediate(self)
    }

    pub(crate) fn on_computed(mut self: Box<Self>, result: JobResult, cx: &mut Cx<'_>) -> State {
        match (self.step, result.outcome) {
            (Step::Preparing(serial), Outcome::Public(private, public)) if serial == result.serial => {
                let (payloads, octets) = value(&self.secured, MessageKind::Request, self.method, public);
                self.secured.request(EXCHANGE, payloads, cx);
                self.step = Step::Sent(private, octets);
                State::Intermediate(self)
            }
            (Step::Sharing(serial, request, answer), Outcome::Agreed(shared)) if serial == result.serial => {
                let Ok(shared) = shared else {
                    return failed(IkeError::BadPublicKey(Stage::Intermediate), cx);
                };
                let Self { mut secured, config, mut transcript, method, .. } = *self;
                secured.mix(method, &shared, transcript.nonces());
                cx.note_stage(What::KeysMixed, Stage::Intermediate);
                transcript.intermediate = signed(&request, &answer, secured.window.next_id());
                auth::begin(secured, config, transcript, cx)
            }
            (step, _) => {
                self.step = step;
                State::Intermediate(self)
            }
        }
    }

    pub(crate) fn on_datagram(
        mut self: Box<Self>,
        arrived: &Arrived<'_>,
        header: &Header,
        cx: &mut Cx<'_>,
    ) -> State {
        if header.kind == MessageKind::Request || header.exchange != EXCHANGE {
            cx.note_from(What::DropUnexpected, arrived.remote);
            return State::Intermediate(self);
        }
        let message = match self.secured.receive(arrived, header, cx) {
            Received::Nothing => return State::Intermediate(self),
            Received::Malformed(malformed) => return failed(malformed.into(), cx),
            Received::Message(message) => message,
        };
        self.secured.window.answered();
        let stage = Stage::Intermediate;
        if let Some(notify) = message.error() {
            return failed(IkeError::from_peer(stage, notify.kind), cx);
        }
        let Some(ke) = message.ke().filter(|ke| ke.group == self.method.id()) else {
            return failed(IkeError::Missing { stage, payload: PayloadType::KE }, cx);
        };
        let Step::Sent(private, request) = self.step else { return State::Intermediate(self) };
        let answer = self.secured.intermediate_octets(Role::Responder, &message);
        let serial = cx.compute(Work::Agree(private, ke.public.clone()));
        self.step = Step::Sharing(serial, request, answer);
        State::Intermediate(self)
    }
}

fn failed(error: IkeError, cx: &mut Cx<'_>) -> State {
    cx.note_stage(What::ExchangeFailed, Stage::Intermediate);
    cx.ended(DownReason::Error(error.clone()), Some(error), false);
    State::Gone
}

impl AuthAwaited {
    /// The initiator's value.
    pub(crate) fn on_intermediate(
        mut self: Box<Self>,
        arrived: &Arrived<'_>,
        header: &Header,
        cx: &mut Cx<'_>,
    ) -> State {
        let is_due = header.exchange == EXCHANGE && header.kind == MessageKind::Request;
        let method = match self.mixing {
            Mixing::Awaited(method) if is_due => method,
            _ => {
                cx.note_from(What::DropUnexpected, arrived.remote);
                return State::AuthAwaited(self);
            }
        };
        let result = match self.secured.receive(arrived, header, cx) {
            Received::Nothing => return State::AuthAwaited(self),
            Received::Malformed(malformed) => Err(malformed.into()),
            Received::Message(message) => Ok(message),
        };
        // The initiator may have moved to port 4500.
        self.secured.path.local = arrived.local;
        self.secured.path.remote = arrived.remote;
        let missing = IkeError::Missing { stage: Stage::Intermediate, payload: PayloadType::KE };
        let wanted = result.and_then(|message| {
            let ke = message.ke().filter(|ke| ke.group == method.id()).cloned();
            Ok((ke.ok_or(missing)?, message))
        });
        match wanted {
            Ok((ke, message)) => {
                let octets = self.secured.intermediate_octets(Role::Initiator, &message);
                let private = PrivateValue::draw(method, &mut |out| cx.env.random(out));
                let serial = cx.compute(Work::Answer(private, ke.public));
                self.mixing = Mixing::Computing(method, serial, octets);
                State::AuthAwaited(self)
            }
            Err(error) => self.refuse_mixing(&error, cx),
        }
    }

    /// Our answer is computed.
    pub(crate) fn on_computed(mut self: Box<Self>, result: JobResult, cx: &mut Cx<'_>) -> State {
        let mixing = std::mem::replace(&mut self.mixing, Mixing::Done);
        match (mixing, result.outcome) {
            (Mixing::Computing(method, serial, request), Outcome::Answered(answered))
                if serial == result.serial =>
            {
                let Ok((public, shared)) = answered else {
                    return self.refuse_mixing(&IkeError::BadPublicKey(Stage::Intermediate), cx);
                };
                let (payloads, answer) = value(&self.secured, MessageKind::Response, method, public);
                self.secured.answer(EXCHANGE, payloads, cx);
                self.secured.mix(method, &shared, self.transcript.nonces());
                cx.note_stage(What::KeysMixed, Stage::Intermediate);
                self.transcript.intermediate = signed(&request, &answer, self.secured.window.expected());
            }
            (mixing, _) => self.mixing = mixing,
        }
        State::AuthAwaited(self)
    }

    fn refuse_mixing(mut self: Box<Self>, error: &IkeError, cx: &mut Cx<'_>) -> State {
        self.tell(What::ExchangeFailed, error, cx);
        self.secured.answer(EXCHANGE, vec![error_payload(error)], cx);
        State::Closing(Box::new(Closing::answered(self.secured, None, cx)))
    }
}
