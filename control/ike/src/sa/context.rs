//! What a state may use besides itself ([`Cx`]), with the one door for everything that is worth a log line ([`Cx::note`]).

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crossgate_eap::RadiusQuestion;
use zeroize::Zeroizing;

use crate::auth::certificate::{self, Sign, Verify};
use crate::config::{ConnectionConfig, EndpointConfig};
use crate::connection::{Connection, Evidence};
use crate::effect::Effect;
use crate::endpoint::Shared;
use crate::environment::{Environment, Instant};
use crate::error::{IkeError, Stage};
use crate::event::{ChildId, ConnectionId, DownReason, Event, IkeId, Output, Spi, Transmit};
use crate::job::{Job, Work};
use crate::notice::{Notice, What};
use crate::resource::Share;
use crate::stranger;
use crate::wire::IkeSpi;

/// What a state may use besides itself.
pub(crate) struct Cx<'a> {
    pub(crate) now: Instant,
    pub(crate) env: &'a mut dyn Environment,
    pub(crate) settings: &'a EndpointConfig,
    pub(crate) connections: &'a BTreeMap<ConnectionId, Connection>,
    pub(crate) shared: &'a mut Shared,
    pub(crate) ike: Option<IkeId>,
    pub(crate) connection: Option<ConnectionId>,
    /// Whether it is about a peer that has not said yet who it is.
    pub(crate) is_stranger: bool,
}

impl Cx<'_> {
    /// The one door: counts and emits what happened to this SA.
    pub(crate) fn note(&mut self, what: What) {
        self.record(self.notice(what));
    }

    /// The same, about an exchange.
    pub(crate) fn note_stage(&mut self, what: What, stage: Stage) {
        self.record(Notice { stage: Some(stage), ..self.notice(what) });
    }

    /// The same, about a Child SA.
    pub(crate) fn note_child(&mut self, what: What, child: ChildId) {
        self.record(Notice { child: Some(child), ..self.notice(what) });
    }

    /// The same, about somebody out there.
    pub(crate) fn note_from(&mut self, what: What, remote: SocketAddr) {
        self.record(Notice { remote: Some(remote), ..self.notice(what) });
    }

    /// Somebody at `remote` that has not proven who it is gets no IKE SA, or somebody says that it does not give us one: why, for the log, the counters and each
    /// connection that it may be of.
    pub(crate) fn refused(
        &mut self,
        what: What,
        remote: SocketAddr,
        candidates: &[ConnectionId],
        evidence: Evidence,
        error: &IkeError,
    ) {
        let connection = match candidates {
            [only] => Some(*only).filter(|id| self.connections.contains_key(id)),
            _ => self.connection,
        };
        for candidate in candidates {
            self.effect(Effect::Told(*candidate, error.clone(), evidence));
        }
        let (remote, error) = (Some(remote), Some(Box::new(error.clone())));
        self.record(Notice { connection, remote, error, ..self.notice(what) });
    }

    const fn notice(&self, what: What) -> Notice {
        let (connection, ike) = (self.connection, self.ike);
        Notice { what, connection, ike, child: None, remote: None, stage: None, error: None }
    }

    fn record(&mut self, notice: Notice) {
        let what = notice.what;
        *self.shared.counts.entry(what).or_default() += 1;
        if let Some(error) = &notice.error {
            self.shared.count_failure(error);
        }
        let is_by_stranger = self.connection.is_none() || what == What::UnprovenError;
        if is_by_stranger
            && stranger::is_by_strangers(what)
            && !self.shared.strangers.may_be_told(what, self.ike.is_some(), self.now)
        {
            *self.shared.counts.entry(What::NoticesWithheld).or_default() += 1;
            return;
        }
        self.event(Event::Notice(notice));
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.shared.out.push_back(Output::Event(event));
    }

    pub(crate) fn effect(&mut self, effect: Effect) {
        self.shared.effects.push_back(effect);
    }

    pub(crate) fn transmit(&mut self, local: SocketAddr, remote: SocketAddr, bytes: Vec<u8>) {
        self.shared.out.push_back(Output::Transmit(Transmit { local, remote, bytes }));
    }

    pub(crate) fn ike_id(&self) -> IkeId {
        self.ike.expect("a context of an SA has its id")
    }

    /// This SA is over.
    pub(crate) fn ended(&mut self, reason: DownReason, error: Option<IkeError>, proven: bool) {
        self.note(What::IkeGone);
        if let Some(error) = &error {
            self.shared.count_failure(error);
        }
        let (ike, connection) = (self.ike_id(), self.connection);
        self.effect(Effect::Ended { ike, connection, reason, error, proven });
    }

    /// A Child SA of this connection could not be made or replaced, by whoever asked for it.
    pub(crate) fn child_failed(
        &mut self,
        connection: ConnectionId,
        error: IkeError,
        retry_at: Option<Instant>,
    ) {
        self.shared.count_failure(&error);
        self.effect(Effect::ChildFailed(connection, error.clone()));
        self.event(Event::ChildFailed { connection, error, retry_at });
    }

    /// Whether this is the only IKE SA that we have, or are making, between these two identities: INITIAL_CONTACT makes the peer forget all others (RFC 7296, 2.4),
    /// those of another connection included, like the second one of an active-active gateway.
    pub(crate) fn is_only_contact(&self, config: &ConnectionConfig) -> bool {
        let is_alike = |other: &ConnectionConfig| {
            other.id != config.id && other.local_id == config.local_id && other.remote_id == config.remote_id
        };
        self.connections.get(&config.id).is_none_or(|own| own.ikes.len() <= 1)
            && !self.connections.values().any(|other| !other.ikes.is_empty() && is_alike(&other.config))
    }

    /// Hands slow maths to the caller; the serial number comes back with its result.
    pub(crate) fn compute(&mut self, work: Work) -> u64 {
        let serial = self.shared.next_id();
        let (ike, is_stranger) = (self.ike_id(), self.is_stranger);
        self.event(Event::Compute(Job { ike, serial, is_stranger, work }));
        serial
    }

    /// Hands a question for a RADIUS server to the caller; the serial number comes back with the answer.
    pub(crate) fn ask_radius(&mut self, question: RadiusQuestion) -> u64 {
        let serial = self.shared.next_id();
        let ike = self.ike_id();
        self.event(Event::AskRadius { ike, serial, question: Box::new(question) });
        serial
    }

    /// A fresh nonce (RFC 7296, 2.10): at least half the size of the largest PRF key.
    pub(crate) fn nonce(&mut self) -> Vec<u8> {
        let mut nonce = vec![0; 32];
        self.env.random(&mut nonce);
        nonce
    }

    /// Hands proofs by certificate to the caller.
    pub(crate) fn prove(&mut self, verify: Option<Verify>, sign: Option<Sign>) -> u64 {
        self.compute(Work::Prove(Box::new(certificate::Work { verify, sign })))
    }

    /// A seed for one signature.
    pub(crate) fn seed(&mut self) -> Zeroizing<[u8; 32]> {
        let mut seed = Zeroizing::new([0; 32]);
        self.env.random(seed.as_mut_slice());
        seed
    }

    /// A fresh SPI for an IKE SA; 64 random bits do not meet by chance.
    pub(crate) fn ike_spi(&mut self) -> IkeSpi {
        loop {
            let mut bytes = [0; 8];
            self.env.random(&mut bytes);
            let spi = IkeSpi(u64::from_be_bytes(bytes));
            if spi != IkeSpi::NONE {
                return spi;
            }
        }
    }

    /// A random number over the whole range.
    pub(crate) fn random_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.env.random(&mut bytes);
        u32::from_be_bytes(bytes)
    }

    /// An inbound SPI for a Child SA.
    ///
    /// # Errors
    /// [`IkeError::NoFreeSpi`].
    pub(crate) fn esp_spi(&mut self, connection: ConnectionId) -> Result<Spi, IkeError> {
        self.env.allocate_spi(connection, None).ok_or(IkeError::NoFreeSpi)
    }

    /// The same for a share of the resources.
    ///
    /// # Errors
    /// [`IkeError::NoFreeSpi`]; for a single resource [`IkeError::TooManyForTraffic`], for there may be room for others.
    pub(crate) fn esp_spi_for(&mut self, connection: ConnectionId, share: Share) -> Result<Spi, IkeError> {
        match share.number() {
            None => self.esp_spi(connection),
            Some(number) => {
                self.env.allocate_spi(connection, Some(number)).ok_or(IkeError::TooManyForTraffic)
            }
        }
    }
}
