//! Slow maths, packed so that a pool can do it: a [`Job`] leaves as [`crate::Event::Compute`], its [`JobResult`] comes back as
//! [`crate::Input::Computed`]. A job holds all it needs; running it has no effect but its result.

use crossgate_eap::{RadiusAnswer, RadiusError, TlsDone, TlsWork};

use crate::auth::certificate;
use crate::crypto::kex::{KexError, PrivateValue};
use crate::event::IkeId;
use crate::secret::Secret;

/// Work for the pool.
#[derive(Debug)]
pub struct Job {
    pub(crate) ike: IkeId,
    pub(crate) serial: u64,
    pub(crate) is_stranger: bool,
    pub(crate) work: Work,
}

/// What is to be computed.
#[derive(Debug)]
pub(crate) enum Work {
    /// The public value of a private one.
    Public(PrivateValue),
    /// The shared secret.
    Agree(PrivateValue, Vec<u8>),
    /// Both, as a responder needs them.
    Answer(PrivateValue, Vec<u8>),
    /// Proofs by certificate, the peer's and ours.
    Prove(Box<certificate::Work>),
    /// A step of TLS in a client's log-in (EAP-TLS).
    Tls(Box<TlsWork>),
}

/// What came of a [`Job`]; meaningful to the endpoint that made the job only.
#[derive(Debug)]
pub struct JobResult {
    pub(crate) ike: IkeId,
    pub(crate) serial: u64,
    pub(crate) outcome: Outcome,
}

/// A computed value.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The private value, given back, and its public one.
    Public(PrivateValue, Vec<u8>),
    /// The shared secret.
    Agreed(Result<Secret<Vec<u8>>, KexError>),
    /// Our public value and the shared secret.
    Answered(Result<(Vec<u8>, Secret<Vec<u8>>), KexError>),
    /// What was found of the peer's proof, and our own.
    Proven(certificate::Done),
    /// What came of the step of TLS.
    Tls(Box<TlsDone>),
    /// What a RADIUS server says.
    Relayed(Result<RadiusAnswer, RadiusError>),
}

impl JobResult {
    /// What came of the question that left with this number as [`crate::Event::AskRadius`].
    #[must_use]
    pub const fn relayed(ike: IkeId, serial: u64, answer: Result<RadiusAnswer, RadiusError>) -> Self {
        Self { ike, serial, outcome: Outcome::Relayed(answer) }
    }
}

impl Job {
    /// Whether it is for a peer that has not said yet who it is: it can wait for what established peers need.
    #[must_use]
    pub const fn is_for_stranger(&self) -> bool {
        self.is_stranger
    }

    /// Computes; takes between 0.05 and some tens of milliseconds, depending on the group or the kind of key.
    #[must_use]
    pub fn run(self) -> JobResult {
        let outcome = match self.work {
            Work::Public(private) => {
                let public = private.public_value();
                Outcome::Public(private, public)
            }
            Work::Agree(private, peer) => Outcome::Agreed(private.agree(&peer)),
            Work::Answer(private, peer) => Outcome::Answered(private.answer(&peer)),
            Work::Prove(work) => Outcome::Proven(work.run()),
            Work::Tls(work) => Outcome::Tls(Box::new(work.run())),
        };
        JobResult { ike: self.ike, serial: self.serial, outcome }
    }
}
