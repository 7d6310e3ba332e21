//! Two endpoints in virtual time, joined by a link that loses, reorders, repeats and delays from a seed. For tests, fuzzing and benchmarks; the data plane is a
//! model ([`plane::Plane`]) that refuses impossible orders. Nothing here reads a clock or the system's randomness: a seed is a run.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crossgate_eap::RadiusQuestion;

use crate::auth::Authentication;
use crate::config::{ChildConfig, ConnectionConfig, Dpd, EndpointConfig, EsnPolicy, Lifetime, Mode, Version};
use crate::crypto::kex::Group;
use crate::crypto::suite::{EspSuite, IkeCipher, IkeSuite, KeyBits, Prf};
use crate::endpoint::Endpoint;
use crate::environment::Instant;
use crate::error::IkeError;
use crate::event::{Command, ConnectionId, Event, IkeId, Input, Output, Resolution};
use crate::identity::Identity;
use crate::place::Place;
use crate::secret::Secret;
use crate::selector::TrafficSelector;

mod clock;
mod forge;
mod link;
mod outcome;
pub mod plane;
pub mod random;
mod run;

pub use clock::Clock;
pub use forge::Inside;
pub use link::Link;
use link::{Carried, Packet};
use plane::Plane;
use random::Random;

/// The one connection of a simulated pair.
pub const CONNECTION: ConnectionId = ConnectionId(1);
/// Lines of trace that are kept.
const TRACE_LINES: usize = 400;

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
    /// Addresses of its at which it hears nothing.
    pub silent: BTreeSet<IpAddr>,
    /// Its clock.
    pub clock: Clock,
    /// What it reported, in order, without notices.
    pub events: Vec<String>,
    /// Why something failed that no event tells of, and of which connection.
    pub told: Vec<(Option<ConnectionId>, IkeError)>,
    /// What its endpoint was made with.
    pub settings: EndpointConfig,
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
    /// Where names lead; one that is not here gets no answer at all.
    pub names: BTreeMap<String, Result<Vec<IpAddr>, String>>,
    /// Every question for a name, with its ticket, in order.
    pub asked: Vec<(ConnectionId, u64)>,
    /// Every question for a RADIUS server that is not answered, in order.
    pub radius: VecDeque<(IkeId, u64, RadiusQuestion)>,
    /// How many datagrams were sent to each address.
    pub called: BTreeMap<IpAddr, u64>,
    /// Public port of the NAT; changing it is a rebinding.
    pub nat_shift: u16,
    random: Random,
    flying: BTreeMap<(Instant, u64), Packet>,
    serial: u64,
    trace: VecDeque<String>,
}

/// Seeds for a test: `count` of them, as many as `CROSSGATE_SEEDS` says, or the one in `CROSSGATE_SEED`.
#[must_use]
pub fn seeds(count: u64) -> Vec<u64> {
    seeds_of(count, 1)
}

/// Seeds for a test whose runs are long (days of virtual time, signatures by the dozen): of `CROSSGATE_SEEDS` a hundredth.
#[must_use]
pub fn few_seeds(count: u64) -> Vec<u64> {
    seeds_of(count, 100)
}

fn seeds_of(count: u64, divisor: u64) -> Vec<u64> {
    let number = |name| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    match number("CROSSGATE_SEED") {
        Some(seed) => vec![seed],
        None => (0..number("CROSSGATE_SEEDS").map_or(count, |wanted| wanted.div_ceil(divisor))).collect(),
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
        version: Version::V2,
        name: Arc::from("simulated"),
        local_address: IpAddr::V4(address(index)),
        places: vec![Place::At(IpAddr::V4(address(1 - index)))],
        local_id: Identity::Ipv4(address(index)),
        remote_id: Some(Identity::Ipv4(address(1 - index))),
        authentication: Authentication::shared_key(b"a shared key of the simulation"),
        ike_suites: vec![IkeSuite {
            cipher: IkeCipher::AesGcm16(KeyBits::B256),
            prf: Prf::HmacSha2_256,
            group: Group::Curve25519,
        }],
        ppk: None,
        additional: vec![None],
        additional_on_request: false,
        children: vec![ChildConfig {
            name: Arc::from("any"),
            esp_suites: vec![EspSuite::AesGcm16(KeyBits::B256)],
            pfs_groups: Vec::new(),
            esn: EsnPolicy::Prefer,
            local_selectors: vec![prefix(index)],
            remote_selectors: vec![prefix(1 - index)],
            lifetime: Lifetime::of(Duration::from_secs(27_000)),
            resources: None,
            lifetime_bytes: None,
            lifetime_packets: None,
        }],
        mode: if index == 0 { Mode::Default } else { Mode::ResponderOnly },
        on_traffic: false,
        ike_lifetime: Lifetime::of(Duration::from_secs(28_800)),
        dpd: Dpd::of(Duration::from_secs(90)),
        other_addresses: Vec::new(),
        mobike: true,
        follow_redirects: true,
        redirect_to: None,
        childless: false,
        resumption: false,
        clients: None,
        request_addresses: false,
        force_encapsulation: false,
    }
}

impl Pair {
    /// Two endpoints without connections.
    #[must_use]
    pub fn new(seed: u64, link: Link, settings: &EndpointConfig) -> Self {
        let side = |index: u8| {
            let crash_secret = Some(Arc::new(Secret::from([index; 32].as_slice())));
            let settings = EndpointConfig { crash_secret, ..settings.clone() };
            Side {
                endpoint: Endpoint::new(settings.clone()),
                plane: Plane::new(seed.wrapping_mul(2).wrapping_add(index.into())),
                address: connection(usize::from(index)).local_address,
                alive: true,
                silent: BTreeSet::new(),
                clock: Clock::default(),
                events: Vec::new(),
                told: Vec::new(),
                settings,
            }
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
            names: BTreeMap::new(),
            asked: Vec::new(),
            radius: VecDeque::new(),
            called: BTreeMap::new(),
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
        let mut pair = Self::configured(seed, link, adjust);
        pair.run_until_idle();
        pair
    }

    /// The same as soon as both sides send.
    ///
    /// # Panics
    /// When that takes longer than a minute.
    #[must_use]
    pub fn begun(seed: u64, link: Link, adjust: impl Fn(usize, &mut ConnectionConfig)) -> Self {
        let mut pair = Self::configured(seed, link, adjust);
        let both_send = |pair: &Self| pair.sides.iter().all(|side| side.plane.sending().next().is_some());
        assert!(pair.run(both_send, pair.now + Duration::from_secs(60)), "{}", pair.trace());
        pair
    }

    fn configured(seed: u64, link: Link, adjust: impl Fn(usize, &mut ConnectionConfig)) -> Self {
        let mut pair = Self::new(seed, link, &EndpointConfig::default());
        for index in [1, 0] {
            let mut config = connection(index);
            adjust(index, &mut config);
            pair.command(index, Command::Configure(Box::new(config)));
        }
        pair
    }

    /// One side crashes, and is there again at once: without any SA or connection, and with the secret that it had.
    pub fn restart(&mut self, index: usize) {
        self.log(format!("{index} restarts"));
        let side = &mut self.sides[index];
        side.endpoint = Endpoint::new(side.settings.clone());
        self.serial += 1;
        side.plane = Plane::new(self.serial ^ 0xdead);
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
        let now = side.clock.shows(self.now);
        side.endpoint.handle(input, now, &mut side.plane).expect("simulated configurations work");
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
        let now = side.clock.shows(self.now);
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
                    .handle(Input::Computed(result), now, &mut side.plane)
                    .expect("a result is no configuration");
            }
            Event::InstallChild(child) => {
                self.log(format!(
                    "{index} install {:?} in {} out {}",
                    child.id, child.inbound.spi, child.outbound.spi
                ));
                self.sides[index].plane.install(*child);
            }
            Event::Resolve { connection, ticket, name } => {
                self.asked.push((connection, ticket));
                if let Some(addresses) = self.names.get(&*name).cloned() {
                    let resolution = Resolution { connection, ticket, addresses };
                    side.endpoint
                        .handle(Input::Resolved(resolution), now, &mut side.plane)
                        .expect("an address is no configuration");
                }
            }
            Event::AskRadius { ike, serial, question } => self.radius.push_back((ike, serial, *question)),
            Event::Notice(notice) => {
                self.log(format!("{index} {} {:?}", notice.what.name(), notice.ike));
                self.sides[index].told.extend(notice.error.map(|error| (notice.connection, *error)));
            }
            mut event => {
                side.plane.apply(&mut event);
                let line = format!("{event:?}");
                self.sides[index].events.push(line.clone());
                self.log(format!("{index} {line}"));
            }
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
