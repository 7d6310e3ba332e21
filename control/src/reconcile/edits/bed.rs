//! A gateway as it is, but for its threads: the worker is stepped, and takes one command at a time. Between any two of them, hosts of every network send a packet to everywhere.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossgate_config::Name;
use crossgate_dataplane::counter::{Counter, Counters};
use crossgate_dataplane::forwarding::PortIndex;
use crossgate_dataplane::gcm::Kernel;
use crossgate_dataplane::header::ethernet::{EtherType, Mac};
use crossgate_dataplane::message::RingSizes;
use crossgate_dataplane::worker::{Idle, Launch, Part, Sizes, Worker, WorkerSet};
use dpdk_sys::{Eal, EalOptions, Mempool, MempoolOptions, PortOptions, RegisteredThread, RingPort, Wire};
use proptest::test_runner::TestCaseError;

use super::super::PortFacts;
use super::generate::{Edit, Way, addresses};
use super::peers::Peers;
use super::wire::{self, Left};
use super::{checked_of, config_of};
use crate::circuits::State;
use crate::console::journal::Journal;
use crate::datagram;
use crate::fleet::Fleet;
use crate::gateway::{Gateway, Parts};
use crate::pool::Pool;
use crate::resolver::Resolver;
use crate::store::Store;
use crate::workers::Workers;

/// Ports are numbered in the order of their names.
const LAN: usize = 0;
const WAN: usize = 1;
/// Networks of all configurations.
const NETWORKS: std::ops::Range<u8> = 0..3;
/// How long tunnels may take; real time, since key exchanges are real.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) struct Bed {
    gateway: Gateway,
    worker: Worker,
    counters: Arc<Counters>,
    peers: Peers,
    /// Whose each outbound SA is or was, by peer and SPI.
    known: BTreeMap<(IpAddr, u32), String>,
    running: Edit,
    macs: [Mac; 2],
    wires: [Vec<Wire>; 2],
    pool: Mempool,
    _store: tempfile::TempDir,
    _thread: RegisteredThread,
}

/// What became of a probe.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Nothing,
    /// Sealed for the peer of this connection.
    Sealed(String),
    /// Sealed for another network of this gateway, opened there, and delivered.
    Between,
    Clear,
}

/// Two configurations, and which one the worker has been seen to obey.
struct Change<'e> {
    edits: [&'e Edit; 2],
    in_force: usize,
}

impl Bed {
    pub(super) fn new() -> Self {
        let eal = Eal::start(&EalOptions { memory_mib: 192, ..EalOptions::default() }).expect("DPDK starts");
        let thread = eal.register_thread().expect("an lcore id");
        let pool = mempool(&eal, "packets", 2047);
        let (mut rx, mut tx, mut ports, mut facts) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let wires = [0_u8, 1].map(|number| {
            let mut ring = RingPort::new(&eal, 1, 512).expect("a port");
            let started = ring.port.start(&PortOptions::default(), &pool).expect("it starts");
            rx.extend(started.rx.into_iter().map(|queue| (PortIndex(number.into()), queue)));
            tx.extend(started.tx.into_iter().map(Some));
            // A port in memory has no address of its own that could send.
            facts.push(PortFacts { mac: Mac([2, 0, 0, 0, 0, number]), mtu_bytes: 1500 });
            let name = Name::new(["lan", "wan"][usize::from(number)]).expect("a name");
            ports.push((name, ring.port, started.report));
            ring.wires
        });
        let macs = [facts[0].mac, facts[1].mac];
        let kernel = Kernel::detect();
        let sizes = Sizes { inbound_sas: 1024, tunnels: 256, ..Sizes::default() };
        // A ring of one command: the next one is taken once this one has taken effect.
        let rings = RingSizes { commands: 1, ..RingSizes::default() };
        let launch = Launch { kernel, idle: Idle::Adaptive, sizes, rings, handover_packets: 64, seed: 1 };
        let part = |rx, tx| Part { core: None, rx, tx, pool: pool.clone(), whole_pool: pool.clone() };
        let made = WorkerSet::prepare(&eal, &launch, vec![part(rx, tx)]).expect("a worker");
        let (worker, handle) = made.into_iter().next().expect("one");
        let idle =
            WorkerSet::launch(&eal, &launch, vec![part(Vec::new(), vec![None, None])]).expect("a thread");
        let buffers = mempool(&eal, "control", 255);
        let place = tempfile::tempdir().expect("a directory");
        let nothing = Edit::nothing();
        let mut gateway = Gateway::new(Parts {
            config: config_of(&nothing),
            config_file: "test.toml".into(),
            fleet: Fleet::beside(idle, ports, pool.clone(), kernel, eal),
            workers: Workers::new(vec![handle.control]),
            facts,
            buffers,
            sa_slots: sizes.inbound_sas,
            kernel,
            pool: Pool::start(1, || {}).expect("a thread"),
            resolver: Resolver::new(|| {}),
            journal: Journal::default(),
            store: Store::open(&place.path().join("store.redb")),
        });
        gateway.start().expect("nothing can be applied");
        Self {
            gateway,
            worker,
            counters: handle.counters,
            peers: Peers::default(),
            known: BTreeMap::new(),
            running: nothing,
            macs,
            wires,
            pool,
            _store: place,
            _thread: thread,
        }
    }

    /// Applies a configuration, with probes at every step, and waits for its tunnels to carry what they are for.
    pub(super) fn apply(&mut self, wanted: &Edit) -> Result<(), TestCaseError> {
        let before = std::mem::replace(&mut self.running, wanted.clone());
        let checked = checked_of(wanted);
        let applied = self.gateway.apply(&checked, Path::new("test.toml"));
        applied.map_err(|error| TestCaseError::fail(error.to_string()))?;
        let mut change = Change { edits: [&before, wanted], in_force: 0 };
        self.probe_all(&mut change)?;
        while self.gateway.workers.open_commands() > 0 {
            self.gateway.workers.poll();
            self.probe_all(&mut change)?;
        }
        self.peers.follow(&checked.config, self.gateway.clock.now());
        let mut change = Change { edits: [wanted, wanted], in_force: 0 };
        self.settle(&mut change)
    }

    /// Turns the wheels until every protected packet gets through.
    fn settle(&mut self, change: &mut Change<'_>) -> Result<(), TestCaseError> {
        let deadline = Instant::now() + PATIENCE;
        let mut next = probes().cycle();
        loop {
            self.gateway.turn();
            self.pump();
            let now = self.gateway.clock.now();
            let sent = self.peers.turn(now);
            for transmit in &sent {
                let packet = datagram::packet(
                    &self.gateway.buffers,
                    1,
                    transmit.local,
                    transmit.remote,
                    &transmit.bytes,
                );
                let packet = packet.expect("room").data().to_vec();
                self.push(WAN, &wire::frame(self.macs[WAN], None, EtherType::IPV4, &packet));
            }
            // A handshake has steps, too.
            for (network, to) in next.by_ref().take(4) {
                self.probe(network, to, change)?;
            }
            let is_quiet = sent.is_empty() && !self.gateway.is_waiting();
            if !is_quiet || !self.is_up() {
                std::thread::yield_now();
                if Instant::now() < deadline {
                    continue;
                }
            }
            let lost = self.probe_all(change)?;
            if lost.is_empty() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let (ours, theirs) = (self.gateway.endpoint.status(), self.peers.status());
                return Err(TestCaseError::fail(format!("nothing arrives of {lost:?}\n{ours:?}\n{theirs}")));
            }
        }
    }

    /// Whether each circuit is up, and each connection has SAs but for those of clients.
    fn is_up(&self) -> bool {
        let gateway = &self.gateway;
        if gateway.config.circuit_connections().keys().any(|name| gateway.circuits.state(name) != State::Up) {
            return false;
        }
        let wanted = gateway.config.connections().values().filter(|connection| !connection.is_of_clients());
        let mut ends = wanted.flat_map(|connection| gateway.identifiers.ends(connection.name.as_str()));
        ends.all(|id| {
            let mut pairs = gateway.sad.iter().filter(|(_, pair)| pair.connection == id);
            pairs.any(|(_, pair)| gateway.sad.has_sender(pair.tunnel))
        })
    }

    /// A packet of each network to everywhere; which of those that should arrive did not.
    fn probe_all(&mut self, change: &mut Change<'_>) -> Result<Vec<(u8, Ipv4Addr)>, TestCaseError> {
        let mut lost = Vec::new();
        for (network, to) in probes() {
            let outcome = self.probe(network, to, change)?;
            let is_wanted = change.edits[1].networks().any(|there| there == network)
                && change.edits[1].arrives(network, to);
            if is_wanted && outcome == Outcome::Nothing {
                lost.push((network, to));
            }
        }
        Ok(lost)
    }

    fn probe(
        &mut self,
        network: u8,
        to: Ipv4Addr,
        change: &mut Change<'_>,
    ) -> Result<Outcome, TestCaseError> {
        self.note_sas();
        let sealed = self.counters.read(Counter::EspSealed);
        self.push(LAN, &wire::probe(self.macs[LAN], network, to));
        let left = self.pump();
        let is_sealed = self.counters.read(Counter::EspSealed) > sealed;
        let mut outcome = Outcome::Nothing;
        for left in left {
            let (of, found) = match left {
                Left::Esp { to: peer, spi } => {
                    let name = self.known.get(&(peer, spi));
                    let name = name.cloned().unwrap_or_else(|| format!("nobody: {spi:08x} of {peer}"));
                    ((network, to), Outcome::Sealed(name))
                }
                Left::Clear { network, to } if is_sealed => ((network, to), Outcome::Between),
                Left::Clear { network, to } => ((network, to), Outcome::Clear),
                _ => continue,
            };
            change.judge(of, &found)?;
            outcome = found;
        }
        change.judge((network, to), &outcome)?;
        Ok(outcome)
    }

    /// Remembers whose SAs there are.
    fn note_sas(&mut self) {
        for (_, pair) in self.gateway.sad.iter() {
            let key = (pair.path.remote.ip(), pair.outbound.spi().get());
            let Some(name) = self.gateway.identifiers.connection_name(pair.connection) else { continue };
            self.known.entry(key).or_insert_with(|| name.to_string());
        }
    }

    fn push(&mut self, port: usize, frame: &[u8]) {
        let packet = self.pool.take_copy(frame).expect("a packet");
        self.wires[port][0].push(packet).ok().expect("room");
    }

    /// Steps the worker until it has nothing to do. Neighbours answer, peers hear; what else left comes back.
    fn pump(&mut self) -> Vec<Left> {
        let mut all = Vec::new();
        for _ in 0..64 {
            let handled = self.worker.step();
            let frames: Vec<(usize, Vec<u8>)> = [LAN, WAN]
                .into_iter()
                .flat_map(|port| {
                    let wire = &mut self.wires[port][0];
                    std::iter::from_fn(|| wire.pull())
                        .map(move |packet| (port, packet.data().to_vec()))
                        .collect::<Vec<_>>()
                })
                .collect();
            if handled == 0 && frames.is_empty() {
                return all;
            }
            for (port, frame) in frames {
                match wire::read(&frame) {
                    Left::Answer(answer) => self.push(port, &answer),
                    Left::Ike { local, remote, bytes } => {
                        self.peers.hear(local, remote, &bytes, self.gateway.clock.now());
                    }
                    left => all.push(left),
                }
            }
        }
        panic!("the worker never comes to rest");
    }

    /// Ends workers before ports.
    pub(super) fn finish(self) {
        drop(self.worker.into_queues());
        self.gateway.stop();
    }
}

impl Change<'_> {
    /// A configuration that was followed by the other is not obeyed again.
    fn judge(&mut self, (network, to): (u8, Ipv4Addr), outcome: &Outcome) -> Result<(), TestCaseError> {
        let obeyed = (self.in_force..2).find(|at| allows(self.edits[*at], network, to, outcome));
        self.in_force = obeyed.ok_or_else(|| {
            let ways = self.edits.map(|edit| edit.way(network, to));
            TestCaseError::fail(format!(
                "{outcome:?} of n{network} to {to}, which may go {ways:?}, {}",
                self.in_force
            ))
        })?;
        Ok(())
    }
}

/// Whether a configuration lets this become of a packet.
fn allows(edit: &Edit, network: u8, to: Ipv4Addr, outcome: &Outcome) -> bool {
    if !edit.networks().any(|there| there == network) {
        return *outcome == Outcome::Nothing;
    }
    match (edit.way(network, to), outcome) {
        (_, Outcome::Nothing) | (Way::Other | Way::Circuit(_), Outcome::Clear) => true,
        (Way::Tunnels(names), found) if names.iter().all(|name| name.starts_with('v')) => match found {
            Outcome::Between => true,
            // The other network's gateway opens it, and sends it on as one of its own network's.
            Outcome::Sealed(_) => allows(edit, 1 - network, to, found),
            _ => false,
        },
        (Way::Tunnels(names) | Way::Circuit(names), Outcome::Sealed(name)) => names.contains(name),
        _ => false,
    }
}

fn probes() -> impl Iterator<Item = (u8, Ipv4Addr)> + Clone {
    let all: Vec<_> = NETWORKS.flat_map(|network| addresses().map(move |to| (network, to))).collect();
    all.into_iter()
}

fn mempool(eal: &Eal, name: &str, packets: u32) -> Mempool {
    let name = name.to_owned();
    let options =
        MempoolOptions { name, packets, cache_packets: 0, room_bytes: 4096, ..MempoolOptions::default() };
    Mempool::new(eal, &options).expect("a pool")
}
