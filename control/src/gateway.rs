//! The gateway's state on the control thread, and one turn of its work: what workers say goes to the IKE core, what the core says goes to
//! the workers. The reactor calls [`Gateway::turn`]; the console and the reconciler change what it holds.
//!
//! The life of an IKE message: a worker punts the datagram (`gateway/worker_event.rs`), the core handles it, its outputs are carried out in their
//! order (`gateway/ike_output.rs`): SAs to the workers first, then, when those are acknowledged, the answer to the peer (`gateway/outbox.rs`).

mod circuits;
pub(crate) mod environment;
mod idle;
mod ike_output;
mod leases;
mod outbox;
mod stages;
mod usage;
mod view;
mod worker_event;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crossgate_config::Config;
use crossgate_dataplane::forwarding::{Forwarding, NextHop, VrfId};
use crossgate_dataplane::gcm::Kernel;
use crossgate_ike::environment::Instant;
use crossgate_ike::event::{ConnectionId, Input, Output};
use crossgate_ike::{Command, Endpoint, Transmit};
use dpdk_sys::Mempool;

use crate::circuits::Circuits;
use crate::clock::{Clock, unix_seconds};
use crate::console::journal::Journal;
use crate::console::protocol::Traffic;
use crate::fleet::Fleet;
use crate::identifiers::Identifiers;
use crate::leases::Keeper;
use crate::meters::Meters;
use crate::nat_pools::NatPools;
use crate::pool::Pool;
use crate::radius::RadiusPort;
use crate::reconcile::PortFacts;
use crate::reconcile::forwarding::{self, Lasting};
use crate::resolver::Resolver;
use crate::sad::Sad;
use crate::store::{Store, StoreError};
use crate::tunnels::Tunnels;
use crate::usage::Tally;
use crate::workers::{Ticket, Workers};

use environment::Surroundings;
use idle::Idle;
use outbox::Outbox;

/// How often the data plane's signs of life are passed on to the core.
const ACTIVITY_EVERY: Duration = Duration::from_secs(1);
/// Worker events handled in one turn, so that the console is served under load.
const EVENTS_A_TURN: usize = 512;

/// What a gateway is started with.
pub struct Parts {
    /// The checked configuration.
    pub config: Config,
    /// Where it came from; read again on SIGHUP.
    pub config_file: PathBuf,
    /// Ports and worker threads.
    pub fleet: Fleet,
    /// The workers' rings.
    pub workers: Workers,
    /// What the ports say of themselves, by their index.
    pub facts: Vec<PortFacts>,
    /// Buffers for IKE datagrams.
    pub buffers: Mempool,
    /// Slots of every worker's table of inbound SAs.
    pub sa_slots: u32,
    /// The kernel that the workers use: keys are expanded for it.
    pub kernel: Kernel,
    /// The slow maths' threads.
    pub pool: Pool,
    /// Who looks names up.
    pub resolver: Resolver,
    /// The kept log.
    pub journal: Journal,
    /// What survives a restart, or why there is nothing that could hold it.
    pub store: Result<Store, StoreError>,
}

/// One gateway.
pub struct Gateway {
    pub(crate) config: Config,
    pub(crate) config_file: PathBuf,
    /// Whether something else than that file runs, after a rollback.
    pub(crate) config_file_differs: bool,
    pub(crate) applied_at: u64,
    pub(crate) started: Instant,
    pub(crate) identifiers: Identifiers,
    pub(crate) tunnels: Tunnels,
    pub(crate) meters: Meters,
    pub(crate) circuits: Circuits,
    pub(crate) nat_pools: NatPools,
    pub(crate) facts: Vec<PortFacts>,
    pub(crate) forwarding: Arc<Forwarding>,
    /// Whether tunnels came or went that the workers' snapshot does not show yet.
    pub(crate) is_stale: bool,
    pub(crate) endpoint: Endpoint,
    pub(crate) sad: Sad,
    pub(crate) workers: Workers,
    pub(crate) fleet: Fleet,
    pub(crate) clock: Clock,
    pub(crate) buffers: Mempool,
    pub(crate) kernel: Kernel,
    pub(crate) journal: Journal,
    pub(crate) store: Result<Store, StoreError>,
    pub(crate) leases: Keeper,
    /// What SAs that are gone have carried.
    pub(crate) carried: BTreeMap<ConnectionId, Traffic>,
    usage: Tally,
    surroundings: Surroundings,
    outbox: Outbox,
    pool: Pool,
    resolver: Resolver,
    radius: RadiusPort,
    activity_at: Instant,
    idle: Idle,
    stages_until: Option<Instant>,
    last_barrier: Option<Ticket>,
}

impl Gateway {
    /// A gateway without connections: apply the configuration next ([`Gateway::start`]).
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let clock = Clock::start();
        let now = clock.now();
        Self {
            config: parts.config,
            config_file: parts.config_file,
            config_file_differs: false,
            applied_at: unix_seconds(),
            started: now,
            identifiers: Identifiers::default(),
            tunnels: Tunnels::default(),
            meters: Meters::default(),
            circuits: Circuits::default(),
            nat_pools: NatPools::default(),
            facts: parts.facts,
            forwarding: Arc::new(Forwarding::empty()),
            is_stale: false,
            endpoint: Endpoint::new(environment::endpoint_settings(&parts.store)),
            sad: Sad::default(),
            surroundings: Surroundings::new(parts.sa_slots, parts.workers.count()),
            workers: parts.workers,
            fleet: parts.fleet,
            clock,
            buffers: parts.buffers,
            kernel: parts.kernel,
            journal: parts.journal,
            leases: Keeper::start(parts.store.as_ref().ok().cloned()),
            store: parts.store,
            carried: BTreeMap::new(),
            usage: Tally::new(now),
            outbox: Outbox::default(),
            pool: parts.pool,
            resolver: parts.resolver,
            radius: RadiusPort::default(),
            activity_at: now + ACTIVITY_EVERY,
            idle: Idle::default(),
            stages_until: None,
            last_barrier: None,
        }
    }

    /// One turn: everything that has come in is handled, everything that may go out goes out. Returns whether there was anything to do.
    pub fn turn(&mut self) -> bool {
        let mut busy = self.workers.poll();
        self.surroundings.release_applied(&self.workers);
        for _ in 0..EVENTS_A_TURN {
            let Some((worker, event)) = self.workers.next_event() else { break };
            busy = true;
            self.on_worker_event(worker, event);
        }
        while let Some(result) = self.pool.poll() {
            busy = true;
            self.tell_core(Input::Computed(result));
        }
        while let Some(resolution) = self.resolver.poll() {
            busy = true;
            self.tell_core(Input::Resolved(resolution));
        }
        let now = self.clock.now();
        while let Some(result) = self.radius.poll(now.since_epoch()) {
            busy = true;
            self.tell_core(Input::Computed(result));
        }
        if self.endpoint.poll_timeout().is_some_and(|at| at <= now) {
            self.tell_core(Input::Timeout);
        }
        busy |= self.tend_circuits(now);
        if self.activity_at <= now {
            self.activity_at = now + ACTIVITY_EVERY;
            self.look_at_sas();
            self.keep_usage();
            self.workers.take_histograms();
            self.end_stages(now);
        }
        self.nat_pools.sweep_some(self.fleet.now_us());
        self.gather_leases();
        self.leases.turn(now);
        self.refresh_if_stale();
        let forwarding = &self.forwarding;
        let is_own = |ip| matches!(forwarding.route(VrfId::UNDERLAY, ip), NextHop::Local(_));
        busy |= self.outbox.flush(&self.buffers, &mut self.workers, is_own);
        for Transmit { local, remote, bytes } in self.outbox.take_looped() {
            self.tell_core(Input::Datagram { local: remote, remote: local, bytes: &bytes });
        }
        busy
    }

    /// How long nothing is due by itself.
    #[must_use]
    pub fn idle_for(&self) -> Duration {
        let now = self.clock.now();
        let due = self.circuits.due().map_or(self.activity_at, |at| at.min(self.activity_at));
        let due = self.endpoint.poll_timeout().map_or(due, |at| at.min(due));
        due.saturating_since(now)
    }

    /// Whether a change is still on its way to the workers: then look again soon.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.workers.open_commands() > 0 || !self.outbox.is_empty()
    }

    /// Deletes every SA at its peer and initiates nothing more.
    pub fn shut_down(&mut self) {
        tracing::info!("shutting down: deleting every SA at its peer");
        // From here on clients leave without giving their addresses up.
        self.gather_leases();
        self.command(Command::Shutdown);
    }

    /// Whether the shutdown is complete.
    #[must_use]
    pub fn is_shut_down(&mut self) -> bool {
        // SAs that only linger for packets under way need no farewell.
        let told = self.endpoint.status().iter().all(|connection| connection.ike_sas.is_empty());
        if !told || !self.outbox.is_empty() {
            return false;
        }
        // The last datagrams are in a worker's ring: it answers a later command after it has sent them.
        let barrier = *self.last_barrier.get_or_insert_with(|| self.workers.barrier());
        self.workers.is_applied(barrier)
    }

    /// Whether every thread still runs: the workers and the pool.
    #[must_use]
    pub fn threads_run(&self) -> bool {
        self.fleet.is_running() && self.pool.is_running()
    }

    /// Ends workers and ports. What was in them is freed.
    pub fn stop(mut self) {
        self.record_usage();
        self.leases.finish();
        self.fleet.stop();
    }

    /// Gives the core an input that cannot fail and carries out what it answers.
    pub(crate) fn tell_core(&mut self, input: Input<'_>) {
        let outcome = self.endpoint.handle(input, self.clock.now(), &mut self.surroundings);
        debug_assert!(outcome.is_ok(), "only a new configuration can be refused");
        self.drain_core();
    }

    /// Gives the core a command that cannot fail.
    pub(crate) fn command(&mut self, command: Command) {
        self.tell_core(Input::Command(command));
    }

    /// Carries out the core's outputs in their order.
    pub(crate) fn drain_core(&mut self) {
        while let Some(output) = self.endpoint.poll_output() {
            match output {
                // A peer hears of its SA only after its tunnel is in the snapshot.
                Output::Transmit(transmit) if self.is_stale => self.outbox.hold(transmit),
                Output::Transmit(transmit) => self.outbox.put(self.workers.latest(), transmit),
                Output::Event(event) => self.on_ike_event(event),
            }
        }
    }

    /// Rebuilds the snapshot once for all tunnels that came and went in this turn: it holds every one of thousands of clients.
    fn refresh_if_stale(&mut self) {
        if self.is_stale {
            self.refresh_forwarding();
        }
    }

    /// Rebuilds the snapshot from the present configuration and tunnels, and gives it to the workers.
    pub(crate) fn refresh_forwarding(&mut self) {
        self.follow_clients();
        let lasting = Lasting { meters: &self.meters, nat_pools: &self.nat_pools, circuits: &self.circuits };
        match forwarding::build(&self.config, &self.identifiers, &self.tunnels, lasting, &self.facts) {
            Ok(built) => {
                self.forwarding = Arc::new(built);
                self.workers.set_forwarding(&self.forwarding);
            }
            // The configuration was applied with the same resources, so this is a defect; what runs goes on.
            Err(error) => {
                tracing::error!(%error, "the forwarding tables cannot be built; the present ones stay")
            }
        }
        self.is_stale = false;
        self.outbox.release(self.workers.latest());
    }

    pub(crate) fn name_of(&self, connection: ConnectionId) -> &str {
        self.identifiers.connection_name(connection).map_or("(removed)", |name| name.as_str())
    }
}
