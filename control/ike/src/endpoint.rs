//! The endpoint: every connection and IKE SA of one gateway, and the way of an input to the SA it belongs to.
//!
//! Call [`Endpoint::handle`] with an input, then [`Endpoint::poll_output`] until it is empty, then [`Endpoint::poll_timeout`] for the next time to call
//! `handle` with [`Input::Timeout`]. Finding an SA is a hash look-up, its timer stands on a wheel with all others: thousands of SAs cost what one costs.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use crate::client::{Lease, Leases};
use crate::config::{ConfigError, EndpointConfig};
use crate::connection::Connection;
use crate::cookie::Cookies;
use crate::crash::Limits;
use crate::effect::Effect;
use crate::environment::{Environment, Instant};
use crate::error::{IkeError, Reason};
use crate::event::{ChildId, ConnectionId, Event, IkeId, Input, Output, RemoveReason, Spi};
use crate::exchange::{init, resume};
use crate::half_open::HalfOpen;
use crate::identity::Identity;
use crate::job::JobResult;
use crate::lockout::Lockout;
use crate::notice::What;
use crate::place::Known;
use crate::sa::{Arrived, Cx, IkeSa};
use crate::status::{Census, ConnectionStatus};
use crate::stranger::Strangers;
use crate::ticket::Tickets;
use crate::wheel::Wheel;
use crate::wire::{ExchangeType, Fault, Header, IkeSpi, MessageKind, Role};

/// UDP port of IKE (RFC 7296, 2).
pub const IKE_PORT: u16 = 500;
/// UDP port of IKE and ESP behind a NAT (RFC 3948). IKE messages carry four zero bytes in front there.
pub const NAT_PORT: u16 = 4500;

/// Where the version stands in the header of either (RFC 7296, 3.1; RFC 2408, 3.1).
const VERSION_AT: usize = 17;

/// How long a secret makes cookies; they are valid for as long again.
const COOKIE_LIFE: Duration = Duration::from_secs(60);

/// IKE for one gateway. See the module's text for the order of calls.
#[derive(Debug)]
pub struct Endpoint {
    pub(crate) settings: EndpointConfig,
    pub(crate) connections: BTreeMap<ConnectionId, Connection>,
    /// Those of them whose peer has a known address.
    pub(crate) known: Known,
    pub(crate) sas: HashMap<IkeId, Box<IkeSa>>,
    pub(crate) by_spi: HashMap<IkeSpi, IkeId>,
    /// Responder's SAs that are not authenticated yet.
    pub(crate) half_open: HalfOpen,
    pub(crate) owners: Owners,
    timers: Wheel<Timer>,
    pub(crate) lingering: HashMap<ChildId, (Spi, RemoveReason)>,
    pub(crate) cookies: Cookies,
    /// When the cookies' secret changes; none before the first flood.
    rotate_at: Option<Instant>,
    pub(crate) shared: Shared,
    /// What may be told without protection.
    pub(crate) limits: Limits,
    pub(crate) stopping: bool,
}

/// What every SA shares: outputs, counters, numbers.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) out: VecDeque<Output>,
    pub(crate) effects: VecDeque<Effect>,
    pub(crate) counts: HashMap<What, u64>,
    /// How often what failed for which kind of reason.
    reasons: HashMap<Reason, u64>,
    /// What those may cost who have not shown who they are.
    pub(crate) strangers: Strangers,
    pub(crate) last_id: u64,
    /// The addresses that clients have.
    pub(crate) leases: Leases,
    /// What peers may take their IKE SAs up again with.
    pub(crate) tickets: Tickets,
    /// Who has tried too many passwords.
    pub(crate) lockout: Lockout,
}

impl Shared {
    /// The next number for an IKE SA, a Child SA or a job.
    pub(crate) fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// Counts a failure by its reason, where it is told.
    pub(crate) fn count_failure(&mut self, error: &IkeError) {
        if let Some(reason) = error.reason() {
            *self.reasons.entry(reason).or_default() += 1;
        }
    }
}

/// Which IKE SA a Child SA belongs to, by either name.
#[derive(Debug, Default)]
pub(crate) struct Owners {
    pub(crate) by_child: HashMap<ChildId, IkeId>,
    pub(crate) by_spi: HashMap<Spi, ChildId>,
}

/// Whose time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Timer {
    Ike(IkeId),
    Connection(ConnectionId),
    Linger(ChildId),
}

impl Endpoint {
    /// An endpoint without connections.
    #[must_use]
    pub fn new(settings: EndpointConfig) -> Self {
        Self {
            settings,
            connections: BTreeMap::new(),
            known: Known::default(),
            sas: HashMap::new(),
            by_spi: HashMap::new(),
            half_open: HalfOpen::default(),
            owners: Owners::default(),
            timers: Wheel::default(),
            lingering: HashMap::new(),
            cookies: Cookies::default(),
            rotate_at: None,
            shared: Shared::default(),
            limits: Limits::of_endpoint(),
            stopping: false,
        }
    }

    /// Takes an input. Datagrams that mean nothing are counted and change nothing; a [`Input::Timeout`] before its time does nothing.
    ///
    /// # Errors
    /// Only for [`crate::Command::Configure`]: what is wrong with the configuration, which then changes nothing.
    pub fn handle(
        &mut self,
        input: Input<'_>,
        now: Instant,
        env: &mut dyn Environment,
    ) -> Result<(), ConfigError> {
        match input {
            Input::Datagram { local, remote, bytes } => {
                self.on_datagram(&Arrived { local, remote, bytes }, now, env)
            }
            Input::Timeout => {}
            Input::Command(command) => self.on_command(command, now, env)?,
            Input::Computed(result) => self.on_computed(result, now, env),
            Input::Resolved(resolution) => self.on_resolved(resolution, now, env),
        }
        self.apply_effects(now, env);
        self.run_timers(now, env);
        Ok(())
    }

    /// The next output, in the order in which things happened.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.shared.out.pop_front()
    }

    /// When to call [`Self::handle`] with [`Input::Timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.first()
    }

    /// Whether no SA is left but those that only repeat their last answer: after [`crate::Command::Shutdown`], the moment to stop.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.sas.values().all(|sa| sa.is_told()) && self.lingering.is_empty() && self.shared.out.is_empty()
    }

    /// How often each thing of the catalogue happened.
    pub fn counters(&self) -> impl Iterator<Item = (What, u64)> + '_ {
        What::ALL.iter().map(|what| (*what, self.shared.counts.get(what).copied().unwrap_or(0)))
    }

    /// How often something failed for each kind of reason.
    pub fn failures(&self) -> impl Iterator<Item = (Reason, u64)> + '_ {
        Reason::ALL.iter().map(|reason| (*reason, self.shared.reasons.get(reason).copied().unwrap_or(0)))
    }

    /// Every connection with its SAs, in the order of their numbers.
    #[must_use]
    pub fn status(&self) -> Vec<ConnectionStatus> {
        self.connections.values().map(|connection| connection.status(&self.sas)).collect()
    }

    /// Keeps addresses for the users who had them before a restart: nobody else gets them until `until`, nor afterwards while another one is free. What the
    /// connection has no pool for any more is told by [`Self::lease_changes`].
    pub fn keep_leases(
        &mut self,
        connection: ConnectionId,
        leases: impl IntoIterator<Item = (IpAddr, Identity)>,
        until: Instant,
    ) {
        let config = self.connections.get(&connection).map(|connection| &connection.config);
        let clients = config.and_then(|config| config.clients.as_ref());
        self.shared.leases.keep(connection, clients, leases, until);
    }

    /// The addresses that clients of a connection have, and whose they are.
    pub fn leases(&self, connection: ConnectionId) -> impl Iterator<Item = (IpAddr, &Identity)> {
        self.shared.leases.of(connection)
    }

    /// Which addresses are to be kept for whom, as far as that has changed since the last call. Sessions that end by [`crate::Command::Shutdown`] keep theirs.
    #[must_use]
    pub fn lease_changes(&mut self, now: Instant) -> Vec<Lease> {
        if self.stopping { Vec::new() } else { self.shared.leases.take_changes(now) }
    }

    /// How much this endpoint holds, table by table.
    #[must_use]
    pub fn census(&self) -> Census {
        Census {
            connections: self.connections.len(),
            ike_sas: self.sas.len(),
            ike_spis: self.by_spi.len(),
            half_open: (self.half_open.len(), self.half_open.sources()),
            waiting: self.sas.values().filter(|sa| sa.is_waiting()).count(),
            attached: self.connections.values().map(|connection| connection.ikes.len()).sum(),
            children: (self.owners.by_child.len(), self.owners.by_spi.len()),
            lingering: self.lingering.len(),
            leases: self.shared.leases.len(),
            used_tickets: self.shared.tickets.used(),
            timers: self.timers.len(),
        }
    }

    /// IKE SAs that have not authenticated their peer, where this side answers.
    #[must_use]
    pub fn half_open(&self) -> usize {
        self.half_open.len()
    }

    fn on_datagram(&mut self, arrived: &Arrived<'_>, now: Instant, env: &mut dyn Environment) {
        if arrived.bytes.get(VERSION_AT).is_some_and(|version| version >> 4 == 1) {
            return self.on_v1_datagram(arrived, now, env);
        }
        let header = match Header::parse(arrived.bytes) {
            Ok(header) => header,
            Err(malformed) => {
                let mut cx = self.cx(now, env);
                cx.note_from(What::DropMalformed, arrived.remote);
                if let Fault::Version { .. } = malformed.fault {
                    init::refuse_version(arrived, &mut cx);
                }
                return;
            }
        };
        let is_resumption = header.exchange == ExchangeType::IKE_SESSION_RESUME;
        let first = (is_resumption || header.exchange == ExchangeType::IKE_SA_INIT)
            && header.kind == MessageKind::Request;
        if first && header.sender == Role::Initiator && header.responder_spi == IkeSpi::NONE {
            match self.half_open.get(&(arrived.remote, header.initiator_spi)) {
                Some(id) => self.with_sa(id, now, env, |sa, cx| sa.on_datagram(arrived, &header, cx)),
                None if is_resumption => resume::accept(self, arrived, now, env),
                None => init::accept(self, arrived, now, env),
            }
            return;
        }
        let ours = match header.sender {
            Role::Initiator => header.responder_spi,
            Role::Responder => header.initiator_spi,
        };
        match self.by_spi.get(&ours) {
            Some(id) => self.with_sa(*id, now, env, |sa, cx| sa.on_datagram(arrived, &header, cx)),
            None => self.on_unknown_spi(arrived, &header, now, env),
        }
    }

    fn on_computed(&mut self, result: JobResult, now: Instant, env: &mut dyn Environment) {
        let ike = result.ike;
        self.with_sa(ike, now, env, |sa, cx| sa.on_computed(result, cx));
    }

    fn run_timers(&mut self, now: Instant, env: &mut dyn Environment) {
        // Only what is due on entry: an SA that asks for the same moment again waits for the next call.
        for timer in self.timers.take_due(now) {
            self.set_timer(timer, None);
            match timer {
                Timer::Ike(id) => self.with_sa(id, now, env, IkeSa::on_timeout),
                Timer::Connection(id) => self.on_retry(id, now, env),
                Timer::Linger(child) => {
                    if let Some((inbound_spi, reason)) = self.lingering.remove(&child) {
                        self.shared.out.push_back(Output::Event(Event::RemoveChild {
                            child,
                            inbound_spi,
                            reason,
                        }));
                        self.cx(now, env).note_child(What::ChildGone, child);
                    }
                }
            }
            self.apply_effects(now, env);
        }
    }

    /// Sets or clears one timer.
    pub(crate) fn set_timer(&mut self, timer: Timer, at: Option<Instant>) {
        self.timers.set(timer, at);
    }

    /// Takes a new cookie secret when the old one is a minute old.
    pub(crate) fn rotate_cookies(&mut self, now: Instant, env: &mut dyn Environment) {
        if self.rotate_at.is_none_or(|at| at <= now) {
            self.cookies.rotate(&mut |out| env.random(out));
            self.rotate_at = Some(now + COOKIE_LIFE);
        }
    }

    /// What an SA may use besides itself.
    pub(crate) fn cx<'a>(&'a mut self, now: Instant, env: &'a mut dyn Environment) -> Cx<'a> {
        Cx {
            now,
            env,
            settings: &self.settings,
            connections: &self.connections,
            shared: &mut self.shared,
            ike: None,
            connection: None,
            is_stranger: false,
        }
    }

    /// Lets an SA act, then brings its timer and the tables up to date. Does nothing if it is gone.
    pub(crate) fn with_sa(
        &mut self,
        id: IkeId,
        now: Instant,
        env: &mut dyn Environment,
        act: impl FnOnce(&mut IkeSa, &mut Cx<'_>),
    ) {
        let Some(mut sa) = self.sas.remove(&id) else { return };
        let mut cx = self.cx(now, env);
        cx.ike = Some(id);
        cx.connection = sa.connection();
        cx.is_stranger = sa.is_half_open();
        act(&mut sa, &mut cx);
        self.put_back(sa);
    }

    /// Files an SA that acted, or is new.
    pub(crate) fn put_back(&mut self, sa: Box<IkeSa>) {
        let id = sa.id;
        if !sa.is_half_open()
            && let Some(first) = sa.first_message
        {
            self.half_open.remove(&first);
        }
        if sa.is_gone() {
            self.by_spi.remove(&sa.local_spi);
            self.set_timer(Timer::Ike(id), None);
            return;
        }
        self.set_timer(Timer::Ike(id), sa.deadline());
        self.sas.insert(id, sa);
    }

    /// Files a new SA under its SPI and, if we answer, under its first message.
    pub(crate) fn register(&mut self, sa: Box<IkeSa>) {
        self.by_spi.insert(sa.local_spi, sa.id);
        if let Some(first) = sa.first_message {
            self.half_open.insert(first, sa.version(), sa.id);
        }
        self.put_back(sa);
    }
}
