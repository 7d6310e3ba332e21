//! Two endpoints in virtual time, joined by a link that loses, reorders, repeats and delays from a seed. For tests, fuzzing and benchmarks; the data plane is a
//! model ([`plane::Plane`]) that refuses impossible orders. Nothing here reads a clock or the system's randomness: a seed is a run.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::config::{ChildConfig, ConnectionConfig, Dpd, EndpointConfig, EsnPolicy, Lifetime, Mode};
use crate::crypto::kex::Group;
use crate::crypto::suite::{EspSuite, IkeCipher, IkeSuite, KeyBits, Prf};
use crate::endpoint::Endpoint;
use crate::environment::Instant;
use crate::event::{Command, ConnectionId, Event, Input, Output, Spi};
use crate::identity::Identity;
use crate::job::JobResult;
use crate::notice::What;
use crate::secret::Secret;
use crate::selector::TrafficSelector;
use crate::status::Phase;

pub mod plane;
pub mod random;

use plane::Plane;
use random::Random;

/// The one connection of a simulated pair.
pub const CONNECTION: ConnectionId = ConnectionId(1);
/// With nothing under way and no timer nearer than this, a pair is idle: no retransmission waits longer.
const QUIET: Duration = Duration::from_secs(17);
/// Packets that follow each other on a tunnel after each IKE message or timer.
const PROBES: u32 = 8;
/// Lines of trace that are kept.
const TRACE_LINES: usize = 400;
/// Steps without progress in time after which a run is stuck.
const MAX_STEPS_AT_ONCE: u32 = 20_000;

/// What happens between the two.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// Probability that a datagram is lost.
    pub loss: f64,
    /// Probability that it is delayed by up to ten times the delay.
    pub reorder: f64,
    /// Probability that it comes twice.
    pub duplicate: f64,
    /// Time it takes.
    pub delay: Duration,
    /// Largest IP packet; larger ones are lost.
    pub mtu_bytes: usize,
    /// Whether the first side is behind a NAT.
    pub nat: bool,
}

impl Link {
    /// Nothing goes wrong.
    pub const LAN: Self = Self {
        loss: 0.0,
        reorder: 0.0,
        duplicate: 0.0,
        delay: Duration::from_millis(1),
        mtu_bytes: 1500,
        nat: false,
    };
    /// Everything goes wrong.
    pub const HOSTILE: Self =
        Self { loss: 0.2, reorder: 0.3, duplicate: 0.2, delay: Duration::from_millis(40), ..Self::LAN };
}

/// One endpoint with its data plane.
#[derive(Debug)]
pub struct Side {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// Its data plane.
    pub plane: Plane,
    /// Its address.
    pub address: IpAddr,
    /// Whether it is up; a dead side receives and sends nothing.
    pub alive: bool,
    /// What it reported, in order, without notices.
    pub events: Vec<String>,
}

#[derive(Debug)]
enum Carried {
    Ike(Vec<u8>),
    Esp(Spi, Vec<u8>),
    Computed(JobResult),
}

#[derive(Debug)]
struct Packet {
    to: usize,
    local: SocketAddr,
    remote: SocketAddr,
    carried: Carried,
}

/// Two endpoints and what is between them.
#[derive(Debug)]
pub struct Pair {
    /// Both.
    pub sides: [Side; 2],
    /// Between them.
    pub link: Link,
    /// Virtual time.
    pub now: Instant,
    /// Time that a key exchange takes on the pool; none means at once.
    pub compute: Duration,
    /// Whether each step sends a packet on every tunnel, to see whether one is lost.
    pub probing: bool,
    /// Probes that found their SA at the other side.
    pub delivered: u64,
    /// Probes that found none.
    pub lost: u64,
    probes_left: u32,
    /// Public port of the NAT; changing it is a rebinding.
    pub nat_shift: u16,
    random: Random,
    flying: BTreeMap<(Instant, u64), Packet>,
    serial: u64,
    trace: VecDeque<String>,
}

/// The public address of the first side when it is behind a NAT.
const NAT_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1));

/// Seeds for a test: `count` of them, or the one in `CROSSGATE_SEED`.
#[must_use]
pub fn seeds(count: u64) -> Vec<u64> {
    match std::env::var("CROSSGATE_SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => vec![seed],
        None => (0..count).collect(),
    }
}

/// A connection between the two sides, as side `index` (0 or 1) sees it.
#[must_use]
pub fn connection(index: usize) -> ConnectionConfig {
    let address =
        |index: usize| if index == 0 { Ipv4Addr::new(192, 0, 2, 1) } else { Ipv4Addr::new(192, 0, 2, 2) };
    let site =
        |index: usize| if index == 0 { Ipv4Addr::new(10, 1, 0, 0) } else { Ipv4Addr::new(10, 2, 0, 0) };
    let prefix =
        |index| TrafficSelector::from_prefix(IpAddr::V4(site(index)), 16).expect("16 bits are a prefix");
    ConnectionConfig {
        id: CONNECTION,
        name: Arc::from("simulated"),
        local_address: IpAddr::V4(address(index)),
        remote_address: Some(IpAddr::V4(address(1 - index))),
        local_id: Identity::Ipv4(address(index)),
        remote_id: Some(Identity::Ipv4(address(1 - index))),
        psk: Arc::new(Secret::new(b"a shared key of the simulation".to_vec())),
        ike_suites: vec![IkeSuite {
            cipher: IkeCipher::AesGcm16(KeyBits::B256),
            prf: Prf::HmacSha2_256,
            group: Group::Curve25519,
        }],
        children: vec![ChildConfig {
            name: Arc::from("any"),
            esp_suites: vec![EspSuite::AesGcm16(KeyBits::B256)],
            pfs_groups: Vec::new(),
            esn: EsnPolicy::Prefer,
            local_selectors: vec![prefix(index)],
            remote_selectors: vec![prefix(1 - index)],
            lifetime: Lifetime::of(Duration::from_secs(27_000)),
            lifetime_bytes: None,
            lifetime_packets: None,
        }],
        mode: if index == 0 { Mode::Default } else { Mode::ResponderOnly },
        ike_lifetime: Lifetime::of(Duration::from_secs(28_800)),
        dpd: Dpd::of(Duration::from_secs(90)),
        force_encapsulation: false,
    }
}

impl Pair {
    /// Two endpoints without connections.
    #[must_use]
    pub fn new(seed: u64, link: Link, settings: &EndpointConfig) -> Self {
        let side = |index: u64| Side {
            endpoint: Endpoint::new(settings.clone()),
            plane: Plane::new(seed.wrapping_mul(2).wrapping_add(index)),
            address: connection(usize::from(index == 1)).local_address,
            alive: true,
            events: Vec::new(),
        };
        Self {
            sides: [side(0), side(1)],
            link,
            now: Instant::from_epoch(Duration::from_secs(1000)),
            compute: Duration::ZERO,
            probing: false,
            delivered: 0,
            lost: 0,
            probes_left: 0,
            nat_shift: 0,
            random: Random::new(seed ^ 0xface),
            flying: BTreeMap::new(),
            serial: 0,
            trace: VecDeque::new(),
        }
    }

    /// Two endpoints with the default connection, `adjust`ed per side, run until nothing more happens.
    #[must_use]
    pub fn connected(seed: u64, link: Link, adjust: impl Fn(usize, &mut ConnectionConfig)) -> Self {
        let mut pair = Self::new(seed, link, &EndpointConfig::default());
        for index in [1, 0] {
            let mut config = connection(index);
            adjust(index, &mut config);
            pair.command(index, Command::Configure(Box::new(config)));
        }
        pair.run_until_idle();
        pair
    }

    /// Hands a command to one side.
    ///
    /// # Panics
    /// When it is a configuration that cannot work.
    pub fn command(&mut self, index: usize, command: Command) {
        self.log(format!("{index} command {command:?}").chars().take(80).collect());
        self.input(index, Input::Command(command));
    }

    /// Hands the same command to both sides before either can tell the other.
    pub fn both(&mut self, command: impl Fn(&Self, usize) -> Command) {
        let commands = [command(self, 0), command(self, 1)];
        for (index, command) in commands.into_iter().enumerate() {
            self.command(index, command);
        }
    }

    /// Lets one side take an input and carries out what it says.
    ///
    /// # Panics
    /// When the input is a configuration that cannot work, or the output one that no data plane could carry out.
    pub fn input(&mut self, index: usize, input: Input<'_>) {
        let side = &mut self.sides[index];
        if !side.alive {
            return;
        }
        side.endpoint.handle(input, self.now, &mut side.plane).expect("simulated configurations work");
        while let Some(output) = self.sides[index].endpoint.poll_output() {
            match output {
                Output::Transmit(transmit) => {
                    self.fly(index, transmit.local, transmit.remote, &transmit.bytes);
                }
                Output::Event(event) => self.carry_out(index, event),
            }
        }
    }

    fn carry_out(&mut self, index: usize, event: Event) {
        let side = &mut self.sides[index];
        match event {
            Event::Compute(job) => {
                let result = job.run();
                if !self.compute.is_zero() {
                    let here = SocketAddr::new(side.address, 0);
                    let carried = Carried::Computed(result);
                    self.serial += 1;
                    let packet = Packet { to: index, local: here, remote: here, carried };
                    self.flying.insert((self.now + self.compute, self.serial), packet);
                    return;
                }
                side.endpoint
                    .handle(Input::Computed(result), self.now, &mut side.plane)
                    .expect("a result is no configuration");
            }
            Event::InstallChild(child) => {
                self.log(format!(
                    "{index} install {:?} in {} out {}",
                    child.id, child.inbound.spi, child.outbound.spi
                ));
                self.sides[index].plane.install(*child);
            }
            Event::Notice(notice) => self.log(format!("{index} {} {:?}", notice.what.name(), notice.ike)),
            mut event => {
                side.plane.apply(&mut event);
                let line = format!("{event:?}");
                self.sides[index].events.push(line.clone());
                self.log(format!("{index} {line}"));
            }
        }
    }

    fn fly(&mut self, from: usize, local: SocketAddr, remote: SocketAddr, message: &[u8]) {
        let bytes = message.len() + 32;
        let times = if self.random.chance(self.link.duplicate) { 2 } else { 1 };
        let (source, target) = self.translate(from, local, remote);
        for _ in 0..times {
            if self.random.chance(self.link.loss) || bytes > self.link.mtu_bytes {
                self.log(format!("{from} lost {bytes} bytes"));
                continue;
            }
            let mut delay = self.link.delay;
            if self.random.chance(self.link.reorder) {
                delay += self.link.delay.mul_f64(f64::from(self.random.below_u32(1000)) / 100.0);
            }
            self.serial += 1;
            let carried = Carried::Ike(message.to_vec());
            let packet = Packet { to: 1 - from, local: target, remote: source, carried };
            self.flying.insert((self.now + delay, self.serial), packet);
        }
    }

    /// Source and target as the receiver sees them.
    fn translate(&self, from: usize, local: SocketAddr, remote: SocketAddr) -> (SocketAddr, SocketAddr) {
        if !self.link.nat {
            return (local, remote);
        }
        let shift = 20_000 + self.nat_shift;
        if from == 0 {
            (SocketAddr::new(NAT_ADDRESS, local.port() + shift), remote)
        } else {
            let port = remote.port().checked_sub(shift).unwrap_or(remote.port());
            (local, SocketAddr::new(self.sides[0].address, port))
        }
    }

    /// The next thing that happens, if it does before `limit`.
    ///
    /// # Panics
    /// When time does not move any more.
    pub fn step(&mut self, limit: Instant) -> bool {
        let flying = self.flying.keys().next().map(|(at, _)| *at);
        let timers =
            self.sides.iter().filter(|side| side.alive).filter_map(|side| side.endpoint.poll_timeout());
        let Some(at) = flying.into_iter().chain(timers).min().filter(|at| *at <= limit) else { return false };
        self.now = self.now.max(at);
        let due =
            self.flying.first_entry().filter(|entry| entry.key().0 <= self.now).map(|entry| entry.remove());
        match due {
            Some(packet) => {
                // A probe's arrival sends another a few times only: between two IKE messages, not for ever.
                match packet.carried {
                    Carried::Ike(_) | Carried::Computed(_) => self.probes_left = PROBES,
                    Carried::Esp(..) => self.probes_left = self.probes_left.saturating_sub(1),
                }
                self.arrive(packet);
            }
            None => {
                self.probes_left = PROBES;
                for index in [0, 1] {
                    self.input(index, Input::Timeout);
                }
            }
        }
        if self.probing && self.probes_left > 0 {
            self.probe();
        }
        true
    }

    fn arrive(&mut self, packet: Packet) {
        let Packet { to, local, remote, carried } = packet;
        match carried {
            Carried::Computed(result) => self.input(to, Input::Computed(result)),
            Carried::Ike(bytes) => self.input(to, Input::Datagram { local, remote, bytes: &bytes }),
            Carried::Esp(spi, key) => {
                let side = &mut self.sides[to];
                if !side.alive {
                    return;
                }
                if side.plane.find(spi).is_some_and(|found| found.sa.inbound.key.matches(&key)) {
                    self.delivered += 1;
                    if self.sides[to].plane.hear(spi) {
                        self.input(to, Input::Command(Command::FirstInbound(spi)));
                    }
                } else {
                    self.lost += 1;
                    self.log(format!("{to} has no inbound SA {spi}"));
                }
            }
        }
    }

    fn probe(&mut self) {
        for from in [0, 1] {
            let sending: Vec<_> = self.sides[from]
                .plane
                .sending()
                .map(|sa| (sa.outbound.spi, sa.outbound.key.expose().clone(), sa.path))
                .collect();
            for (spi, key, path) in sending {
                // Probes that bounce probes would never end: only as many as there are IKE datagrams and timers.
                let at = (self.now + self.link.delay, u64::MAX - self.serial);
                self.serial += 1;
                let carried = Carried::Esp(spi, key);
                let packet = Packet { to: 1 - from, local: path.remote, remote: path.local, carried };
                if self.flying.values().filter(|p| matches!(p.carried, Carried::Esp(..))).count() < 4 {
                    self.flying.insert(at, packet);
                }
            }
        }
    }

    /// Runs for some time.
    ///
    /// # Panics
    /// When time does not move any more.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        self.run(|_| false, end);
        self.now = end;
    }

    /// Runs until nothing is under way and nothing happens soon, at most for an hour.
    ///
    /// # Panics
    /// When it does not come to rest.
    pub fn run_until_idle(&mut self) {
        let end = self.now + Duration::from_secs(3600);
        self.run(Self::is_idle, end);
        assert!(self.is_idle(), "the pair does not come to rest\n{}", self.trace());
    }

    /// Runs until `done` or until `end`; whether it was done.
    ///
    /// # Panics
    /// When time does not move any more.
    pub fn run(&mut self, done: impl Fn(&Self) -> bool, end: Instant) -> bool {
        let (mut last, mut steps) = (self.now, 0);
        while !done(self) {
            if !self.step(end) {
                return done(self);
            }
            steps = if self.now == last { steps + 1 } else { 0 };
            last = self.now;
            assert!(steps < MAX_STEPS_AT_ONCE, "stuck at {last:?}\n{}", self.trace());
        }
        true
    }

    fn is_idle(&self) -> bool {
        let quiet = |at: Instant| at > self.now + QUIET;
        !self.flying.values().any(|packet| matches!(packet.carried, Carried::Ike(_) | Carried::Computed(_)))
            && self.sides.iter().filter(|s| s.alive).all(|s| s.endpoint.poll_timeout().is_none_or(quiet))
    }

    /// Pairs of SAs that are installed and not retired, per side.
    #[must_use]
    pub fn live_children(&self) -> [usize; 2] {
        [self.sides[0].plane.live().len(), self.sides[1].plane.live().len()]
    }

    /// IKE SAs with a proven peer, per side.
    #[must_use]
    pub fn live_ikes(&self) -> [usize; 2] {
        let count = |side: &Side| {
            let status = side.endpoint.status();
            status.iter().flat_map(|c| &c.ike_sas).filter(|ike| ike.peer.is_some()).count()
        };
        [count(&self.sides[0]), count(&self.sides[1])]
    }

    /// How often something of the catalogue happened at a side.
    #[must_use]
    pub fn count(&self, index: usize, what: What) -> u64 {
        self.sides[index].endpoint.counters().find(|(name, _)| *name == what).map_or(0, |(_, count)| count)
    }

    /// Checks that both sides are up with one IKE SA and one pair each, that what one sends the other receives under the same key, and that no SPI leaked.
    ///
    /// # Panics
    /// With the trace, when something of that is not so.
    pub fn assert_up(&self, note: &str) {
        assert_eq!(self.live_ikes(), [1, 1], "IKE SAs, {note}\n{}", self.trace());
        assert_eq!(self.live_children(), [1, 1], "Child SAs, {note}\n{}", self.trace());
        for index in [0, 1] {
            let sent = self.sides[index].plane.sends_on(CONNECTION, 0);
            let sent =
                sent.unwrap_or_else(|| panic!("side {index} sends on nothing, {note}\n{}", self.trace()));
            let found = self.sides[1 - index].plane.find(sent.outbound.spi);
            let found =
                found.unwrap_or_else(|| panic!("side {index} sends into the void, {note}\n{}", self.trace()));
            assert!(
                found.sa.inbound.key == sent.outbound.key && found.sa.esn == sent.esn,
                "keys differ, {note}"
            );
            assert_eq!(
                self.sides[index].plane.allocated(),
                1,
                "SPIs leaked at {index}, {note}\n{}",
                self.trace()
            );
            assert_eq!(self.sides[index].endpoint.status()[0].phase, Phase::Up, "{note}");
        }
    }

    fn log(&mut self, line: String) {
        if self.trace.len() == TRACE_LINES {
            self.trace.pop_front();
        }
        self.trace.push_back(format!("{:?} {line}", self.now));
    }

    /// What happened last, a line each.
    #[must_use]
    pub fn trace(&self) -> String {
        Vec::from(self.trace.clone()).join("\n")
    }
}

/// Runs `count` whole handshakes (IKE_SA_INIT, IKE_AUTH, one Child SA) in memory, one after the other; the caller takes the time.
///
/// # Panics
/// When one does not come up.
pub fn handshakes(count: u64, suite: IkeSuite) {
    for seed in 0..count {
        let pair = Pair::connected(seed, Link::LAN, |_, config| config.ike_suites = vec![suite]);
        assert_eq!(pair.live_children(), [1, 1], "handshake {seed} failed");
    }
}

#[cfg(test)]
mod tests;
