//! The other sides: an IKE core for each site, with the configuration that is written for it.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use crossgate_config::Config;
use crossgate_config::peer_config::{KeyText, System};
use crossgate_ike::config::ConnectionConfig;
use crossgate_ike::environment::{Environment, Instant};
use crossgate_ike::event::{ConnectionId, Spi};
use crossgate_ike::{Command, Endpoint, EndpointConfig, Event, Input, Output, Transmit};
use crossgate_pki::UnixTime;

use super::super::connections;
use crate::clock::unix_seconds;
use crate::gateway::environment::fill;

/// All of them, by address.
#[derive(Default)]
pub(super) struct Peers(BTreeMap<IpAddr, Peer>);

struct Peer {
    endpoint: Endpoint,
    surroundings: Surroundings,
    /// What each connection is configured as.
    connections: BTreeMap<String, (ConnectionId, String)>,
    last: u32,
}

/// SPIs in their order.
struct Surroundings(u32);

impl Environment for Surroundings {
    fn random(&mut self, out: &mut [u8]) {
        fill(out);
    }

    fn unix_time(&self) -> UnixTime {
        UnixTime(unix_seconds())
    }

    fn allocate_spi(&mut self, _: ConnectionId, _: Option<u16>) -> Option<Spi> {
        self.0 += 1;
        Some(Spi(self.0))
    }

    fn release_spi(&mut self, _: Spi) {}
}

impl Peers {
    /// Brings them to what the gateway's configuration says of them.
    pub(super) fn follow(&mut self, config: &Config, now: Instant) {
        let mut wanted = wanted(config);
        self.0.retain(|address, _| wanted.contains_key(address));
        for (address, connections) in &mut wanted {
            let peer = self.0.entry(*address).or_insert_with(Peer::new);
            peer.follow(std::mem::take(connections), now);
        }
    }

    /// Hands a datagram to whom it is for.
    pub(super) fn hear(&mut self, local: SocketAddr, remote: SocketAddr, bytes: &[u8], now: Instant) {
        if let Some(peer) = self.0.get_mut(&local.ip()) {
            peer.handle(Input::Datagram { local, remote, bytes }, now);
        }
    }

    /// Everything that is due; what they send.
    pub(super) fn turn(&mut self, now: Instant) -> Vec<Transmit> {
        self.0.values_mut().flat_map(|peer| peer.turn(now)).collect()
    }

    pub(super) fn status(&self) -> String {
        let all = self.0.iter().map(|(address, peer)| format!("{address}: {:?}\n", peer.endpoint.status()));
        all.collect()
    }
}

/// What each other side is to have, by name.
fn wanted(config: &Config) -> BTreeMap<IpAddr, BTreeMap<String, ConnectionConfig>> {
    let mut wanted: BTreeMap<IpAddr, BTreeMap<String, ConnectionConfig>> = BTreeMap::new();
    for connection in config.connections().values() {
        if connection.is_of_clients() || connection.remote_gateway().is_some() {
            continue;
        }
        let written = config
            .peer_config(connection, System::Crossgate, KeyText::Written)
            .expect("a Crossgate can be the other side");
        let with_key = |line: &str| match line.starts_with("shared_key") {
            true => "shared_key = { env = \"KEY\" }\n".to_owned(),
            false => format!("{line}\n"),
        };
        let theirs = super::config(&written.lines().map(with_key).collect::<String>());
        for theirs_to_us in theirs.connections().values() {
            for end in theirs_to_us.local_ends() {
                let translated = connections::translate(&theirs, theirs_to_us, &end, ConnectionId(0));
                let of_address = wanted.entry(end.address).or_default();
                of_address.insert(theirs_to_us.name.to_string(), translated);
            }
        }
    }
    wanted
}

impl Peer {
    fn new() -> Self {
        let endpoint = Endpoint::new(EndpointConfig::default());
        Self { endpoint, surroundings: Surroundings(0x1000), connections: BTreeMap::new(), last: 0 }
    }

    fn follow(&mut self, wanted: BTreeMap<String, ConnectionConfig>, now: Instant) {
        let gone: Vec<String> =
            self.connections.keys().filter(|name| !wanted.contains_key(*name)).cloned().collect();
        for name in gone {
            let (id, _) = self.connections.remove(&name).expect("it is there");
            self.handle(Input::Command(Command::Remove(id)), now);
        }
        for (name, mut connection) in wanted {
            let said = format!("{connection:?}");
            let fresh = ConnectionId(self.last + 1);
            let (id, present) = self.connections.entry(name).or_insert((fresh, String::new()));
            if *present == said {
                continue;
            }
            self.last = self.last.max(id.0);
            (*present, connection.id) = (said, *id);
            self.handle(Input::Command(Command::Configure(Box::new(connection))), now);
        }
    }

    fn handle(&mut self, input: Input<'_>, now: Instant) {
        self.endpoint.handle(input, now, &mut self.surroundings).expect("the configuration is checked");
    }

    fn turn(&mut self, now: Instant) -> Vec<Transmit> {
        if self.endpoint.poll_timeout().is_some_and(|at| at <= now) {
            self.handle(Input::Timeout, now);
        }
        let mut sent = Vec::new();
        while let Some(output) = self.endpoint.poll_output() {
            match output {
                Output::Transmit(transmit) => sent.push(transmit),
                Output::Event(Event::Compute(job)) => self.handle(Input::Computed(job.run()), now),
                Output::Event(_) => {}
            }
        }
        sent
    }
}
