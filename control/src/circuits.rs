//! Which private circuits are alive: those whose port has a link, and one of whose routers answers when it is asked for (ARP, neighbour discovery), each address
//! family by itself, as its prefixes are. The gateway asks every [`ASK_EVERY`] and tells what it hears; a change is a new snapshot of the workers (`reconcile/forwarding.rs`), and nothing else.
//!
//! A machine without clock and ports. Three questions without an answer end a router's life, three answers in a row bring it back, and twice as many after each
//! further loss within half a minute, so that one that comes and goes does not pull the traffic with it; the first time one answer does.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crossgate_config::{Config, ExpressRouteCircuit, Name};
use crossgate_dataplane::circuit::Circuit as Plane;
use crossgate_dataplane::forwarding::InterfaceId;
use crossgate_dataplane::sa::Direction;
use crossgate_ike::environment::Instant;
use crossgate_ike::event::ConnectionId;

use crate::console::protocol::Traffic;
use crate::identifiers::Identifiers;
use crate::meters::Meters;

/// How often a router is asked for.
pub const ASK_EVERY: Duration = Duration::from_millis(300);
/// Questions without an answer, and answers in a row, that decide.
const IN_A_ROW: u8 = 3;

/// Rounds of life (30 s) after which a loss counts as the first one.
const STEADY_ROUNDS: u8 = 100;
/// Answers that are asked for at most, of a router that comes and goes (14 s).
const NEEDED_MAX: u8 = 48;

/// The circuits in use, by connection.
#[derive(Debug, Clone, Default)]
pub struct Circuits {
    of: BTreeMap<Name, Circuit>,
    due: Option<Instant>,
    /// Numbers given so far.
    numbers: u32,
}

#[derive(Debug, Clone)]
struct Circuit {
    /// What usage knows it by: no later circuit of its name has it.
    number: ConnectionId,
    configured: ExpressRouteCircuit,
    interface: InterfaceId,
    has_link: bool,
    routers: Vec<Router>,
    plane: Plane,
    /// Since when any family is up.
    up_since: Option<Instant>,
    /// When the state changed.
    changed_at: Option<Instant>,
}

/// How much of a circuit is up: of the address families that its prefixes are of, those that have a router.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// None.
    Down,
    /// One of two.
    Partial,
    /// All.
    Up,
}

impl State {
    /// As the console says it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Partial => "partial",
            Self::Up => "up",
        }
    }
}

#[derive(Debug, Clone)]
struct Router {
    address: IpAddr,
    is_alive: bool,
    was_alive: bool,
    unanswered: u8,
    answers: u8,
    /// Whether it has answered in this round.
    has_answered: bool,
    /// Answers in a row that bring it back: more after each loss, as before once it has been alive for a while.
    needed: u8,
    /// Rounds since it came to life.
    steady: u8,
}

/// Somebody to be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    /// Where.
    pub interface: InterfaceId,
    /// Whom.
    pub address: IpAddr,
}

impl Circuits {
    /// Makes and forgets circuits as `config` wants them; one that is the same keeps its state.
    pub fn follow(&mut self, config: &Config, identifiers: &Identifiers, meters: &Meters) {
        let mut before = std::mem::take(&mut self.of);
        for (connection, configured, _) in config.circuits_in_use() {
            let Some(interface) = identifiers.circuit_interface(&connection.name) else { continue };
            let kept = before.remove(&connection.name).filter(|kept| {
                kept.configured.port == configured.port
                    && kept.configured.vlan == configured.vlan
                    && kept.interface == interface
            });
            let mut circuit = kept.unwrap_or_else(|| {
                self.numbers += 1;
                // From the other end than those of tunnels.
                Circuit::new(ConnectionId(u32::MAX - self.numbers), configured, interface)
            });
            circuit.follow(configured);
            circuit.plane.share = meters.share(&connection.name).map(Arc::clone);
            self.of.insert(connection.name.clone(), circuit);
        }
        self.due = (!self.of.is_empty()).then(|| self.due.unwrap_or_default());
    }

    /// When it is time to [ask](Self::ask) again; `None` without circuits.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Looks at links and at what was not answered, and tells whom to ask; also whether a circuit has gone down by that. Nothing before it is due.
    pub fn ask(&mut self, now: Instant, has_link: impl Fn(&Name) -> bool) -> (Vec<Question>, bool) {
        if self.due.is_none_or(|due| due > now) {
            return (Vec::new(), false);
        }
        self.due = Some(now + ASK_EVERY);
        let (mut questions, mut changed) = (Vec::new(), false);
        for (name, circuit) in &mut self.of {
            let before = circuit.state();
            circuit.has_link = has_link(&circuit.configured.port);
            for router in &mut circuit.routers {
                changed |= router.let_pass(circuit.has_link);
                let (interface, address) = (circuit.interface, router.address);
                questions.push(Question { interface, address });
            }
            circuit.note(name, before, now);
        }
        (questions, changed)
    }

    /// Takes in that a neighbour gave a sign of life; whether a router has come to life by that.
    pub fn hear(&mut self, interface: InterfaceId, address: IpAddr, now: Instant) -> bool {
        let mut changed = false;
        for (name, circuit) in self.of.iter_mut().filter(|(_, circuit)| circuit.interface == interface) {
            let before = circuit.state();
            for router in circuit.routers.iter_mut().filter(|router| router.address == address) {
                changed |= router.hear(circuit.has_link);
            }
            circuit.note(name, before, now);
        }
        changed
    }

    /// The router of a family through which a connection's circuit is used; `None` while it is down.
    #[must_use]
    pub fn next_hop(&self, connection: &Name, ipv4: bool) -> Option<IpAddr> {
        self.of.get(connection)?.router(ipv4)
    }

    /// What the workers need of a connection's circuit.
    #[must_use]
    pub fn plane(&self, connection: &Name) -> Plane {
        self.of.get(connection).map(|circuit| circuit.plane.clone()).unwrap_or_default()
    }

    /// What a connection's circuit has carried.
    #[must_use]
    pub fn traffic(&self, connection: &Name) -> Traffic {
        let Some(circuit) = self.of.get(connection) else { return Traffic::default() };
        let (in_packets, in_bytes) = circuit.plane.traffic.read(Direction::Inbound);
        let (out_packets, out_bytes) = circuit.plane.traffic.read(Direction::Outbound);
        Traffic { in_packets, in_bytes, out_packets, out_bytes }
    }

    /// The bytes that a connection's circuit has sent, under a number that no later one of its name has.
    #[must_use]
    pub fn sent_bytes(&self, connection: &Name) -> Option<(ConnectionId, u64)> {
        let circuit = self.of.get(connection)?;
        Some((circuit.number, circuit.plane.traffic.read(Direction::Outbound).1))
    }

    /// How much of a connection's circuit is up.
    #[must_use]
    pub fn state(&self, connection: &Name) -> State {
        self.of.get(connection).map_or(State::Down, Circuit::state)
    }

    /// Since when a circuit is up, or a part of it; `None` while it is down.
    #[must_use]
    pub fn up_since(&self, connection: &Name) -> Option<Instant> {
        self.of.get(connection)?.up_since
    }

    /// Why a circuit, or a part of it, is down, and since when, if it was up before; `None` while it is up.
    #[must_use]
    pub fn problem(&self, connection: &Name) -> Option<(String, Option<Instant>)> {
        let circuit = self.of.get(connection).filter(|circuit| circuit.state() != State::Up)?;
        Some((circuit.problem(), circuit.changed_at))
    }

    /// How many circuits are up as a whole.
    #[must_use]
    pub fn alive(&self) -> usize {
        self.of.values().filter(|circuit| circuit.state() == State::Up).count()
    }
}

impl Circuit {
    fn new(number: ConnectionId, configured: &ExpressRouteCircuit, interface: InterfaceId) -> Self {
        let routers = configured.next_hops.iter().map(|address| Router::new(*address)).collect();
        let (configured, plane) = (configured.clone(), Plane::default());
        let (up_since, changed_at) = (None, None);
        Self { number, configured, interface, has_link: true, routers, plane, up_since, changed_at }
    }

    /// Takes another configuration of the same link over; a router that is still there keeps its state.
    fn follow(&mut self, configured: &ExpressRouteCircuit) {
        let mut before = std::mem::take(&mut self.routers);
        let mut router = |address: &IpAddr| {
            let kept = before.iter().position(|router| router.address == *address);
            kept.map_or_else(|| Router::new(*address), |at| before.swap_remove(at))
        };
        self.routers = configured.next_hops.iter().map(&mut router).collect();
        self.configured = configured.clone();
        self.up_since = self.up_since.filter(|_| self.state() != State::Down);
    }

    /// The first router of a family that is alive.
    fn router(&self, ipv4: bool) -> Option<IpAddr> {
        let mut alive =
            self.routers.iter().filter(|router| router.is_alive && router.address.is_ipv4() == ipv4);
        alive.next().map(|router| router.address)
    }

    /// Whether each family of its prefixes is up, IPv4 first; `None` where it has no prefix of a family.
    fn families(&self) -> [(bool, Option<bool>); 2] {
        [true, false].map(|ipv4| {
            let has_prefix = self.configured.prefixes.iter().any(|prefix| prefix.addr().is_ipv4() == ipv4);
            (ipv4, has_prefix.then(|| self.router(ipv4).is_some()))
        })
    }

    fn state(&self) -> State {
        let is = |up: bool| self.families().iter().any(|(_, family)| *family == Some(up));
        match (is(true), is(false)) {
            (true, false) => State::Up,
            (true, true) => State::Partial,
            (false, _) => State::Down,
        }
    }

    /// Logs a change.
    fn note(&mut self, name: &Name, before: State, now: Instant) {
        let after = self.state();
        if before == after {
            return;
        }
        self.changed_at = Some(now);
        self.up_since =
            self.up_since.filter(|_| after != State::Down).or((after != State::Down).then_some(now));
        let circuit = &self.configured.name;
        match after {
            State::Up => tracing::info!(connection = %name, %circuit, "the circuit is up"),
            State::Partial => {
                tracing::warn!(connection = %name, %circuit, "a part of the circuit is down: {}", self.problem())
            }
            State::Down => {
                tracing::warn!(connection = %name, %circuit, "the circuit is down: {}", self.problem())
            }
        }
    }

    fn problem(&self) -> String {
        if !self.has_link {
            return format!("the port {} has no link", self.configured.port);
        }
        let is_down = |ipv4: bool| self.families().contains(&(ipv4, Some(false)));
        let silent = self.routers.iter().filter(|router| is_down(router.address.is_ipv4()));
        let silent: Vec<String> = silent.map(|router| router.address.to_string()).collect();
        format!("no answer from {}", silent.join(", "))
    }
}

impl Router {
    fn new(address: IpAddr) -> Self {
        Self {
            address,
            is_alive: false,
            was_alive: false,
            unanswered: 0,
            answers: 0,
            has_answered: false,
            needed: IN_A_ROW,
            steady: 0,
        }
    }

    /// A question's time has passed. Whether that ends its life.
    fn let_pass(&mut self, has_link: bool) -> bool {
        self.has_answered = false;
        if self.is_alive {
            self.steady = self.steady.saturating_add(1);
            if self.steady >= STEADY_ROUNDS {
                self.needed = IN_A_ROW;
            }
        }
        if self.unanswered > 0 {
            self.answers = 0;
        }
        let is_lost = !has_link || self.unanswered >= IN_A_ROW;
        self.unanswered = self.unanswered.saturating_add(1);
        let is_over = is_lost && std::mem::take(&mut self.is_alive);
        if is_over {
            self.answers = 0;
            // A loss long after the last one leaves it at the least.
            if self.steady < STEADY_ROUNDS {
                self.needed = self.needed.saturating_mul(2).min(NEEDED_MAX);
            }
        }
        is_over
    }

    /// It answered. Whether that brings it to life.
    fn hear(&mut self, has_link: bool) -> bool {
        self.unanswered = 0;
        // However often it speaks in a round.
        if !std::mem::replace(&mut self.has_answered, true) {
            self.answers = self.answers.saturating_add(1);
        }
        let is_enough = !self.was_alive || self.answers >= self.needed;
        if self.is_alive || !has_link || !is_enough {
            return false;
        }
        self.is_alive = true;
        self.was_alive = true;
        self.steady = 0;
        true
    }
}

#[cfg(test)]
mod tests;
