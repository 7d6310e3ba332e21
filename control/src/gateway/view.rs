//! What the operator sees of the gateway: answers of the console's methods, made on request from the state of core, workers and ports.

use std::collections::{BTreeMap, BTreeSet};

use crossgate_config::{Choice, Connection as Configured, Start};
use crossgate_dataplane::spi::Spi;
use crossgate_ike::config::Version;
use crossgate_ike::environment::Instant;
use crossgate_ike::error::Reason;
use crossgate_ike::event::{ConnectionId, Encapsulation, Path, Role};
use crossgate_ike::identity::Identity;
use crossgate_ike::notice::What;
use crossgate_ike::status::{ChildStatus, ConnectionStatus, IkeStatus, Phase, PlaceStatus};

mod nat;
mod resources;
mod ways;

use super::Gateway;
use crate::console::protocol::{Connection, Counter, Failure, Place, Port, Sa, Status, Traffic, Worker};
use crate::fleet::Reader;
use crate::sad::Pair;

/// What a client logged in as.
fn user_name(peer: &Identity) -> String {
    match peer {
        Identity::KeyId(name) => String::from_utf8_lossy(name).into_owned(),
        other => other.to_string(),
    }
}

impl Gateway {
    /// The gateway as a whole.
    #[must_use]
    pub fn status(&self) -> Status {
        let up: BTreeSet<ConnectionId> = self
            .endpoint
            .status()
            .into_iter()
            .filter(|connection| connection.phase == Phase::Up)
            .map(|connection| connection.id)
            .collect();
        // Clients come and go as they please: that none is there is no fault.
        let lasting = || self.config.connections().values().filter(|connection| !connection.is_of_clients());
        let is_up = |connection: &&Configured| {
            self.identifiers.ends(connection.name.as_str()).all(|end| up.contains(&end))
        };
        let (buffers_in_use, buffers) = self.fleet.buffers();
        Status {
            name: self.config.appliance().name.to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            dpdk: dpdk_sys::version().to_owned(),
            pid: std::process::id(),
            uptime_s: self.clock.now().saturating_since(self.started).as_secs(),
            config_file: self.config_file.display().to_string(),
            config_file_differs: self.config_file_differs,
            applied_at: self.applied_at,
            memory: self.fleet.memory().to_string(),
            kernel: self.kernel.name().as_str().to_owned(),
            workers: self.fleet.workers().len(),
            connections_up: lasting().filter(is_up).count() + self.circuits.alive(),
            connections: lasting().count() + self.config.circuit_connections().len(),
            child_sas: self.sad.iter().filter(|(_, pair)| pair.sends).count(),
            dropped_packets: self.fleet.workers().iter().map(Reader::dropped_packets).sum(),
            buffers_in_use,
            buffers,
            open_commands: self.workers.open_commands(),
        }
    }

    /// Every connection, by name.
    #[must_use]
    pub fn connections(&self) -> Vec<Connection> {
        let status: BTreeMap<ConnectionId, ConnectionStatus> =
            self.endpoint.status().into_iter().map(|connection| (connection.id, connection)).collect();
        let flows = self.flows(&status);
        let view = |configured: &Configured| {
            let ends = self.identifiers.ends(configured.name.as_str());
            let views: Option<Vec<_>> =
                ends.map(|id| Some((id, self.connection(configured, id, status.get(&id)?)))).collect();
            ways::of_ends(configured, views?, &flows)
        };
        let circuits = self
            .config
            .circuits_in_use()
            .map(|(connection, circuit, network)| self.circuit_view(connection, circuit, network));
        let mut views: Vec<_> = self.config.connections().values().filter_map(view).chain(circuits).collect();
        views.sort_by(|one, other| one.name.cmp(&other.name));
        views
    }

    fn connection(&self, configured: &Configured, id: ConnectionId, status: &ConnectionStatus) -> Connection {
        let now = self.clock.now();
        let ike = status.ike_sas.iter().rev().find(|ike| ike.since.is_some());
        let child = ike.and_then(|ike| ike.children.iter().find(|child| child.sends));
        let peer = self.config.peer_of(configured);
        Connection {
            name: configured.name.to_string(),
            gateway: configured.gateway.to_string(),
            virtual_network: self.config.network_of(configured).name.to_string(),
            peer: peer.name.to_string(),
            local: ike.map_or_else(|| self.local_of(configured, id), |ike| ike.path.local.to_string()),
            remote: ike.map_or(peer.address.to_string(), |ike| ike.path.remote.to_string()),
            places: status.places.iter().map(|place| seen_place(place, now)).collect(),
            mode: configured.mode.word().to_owned(),
            state: match status.phase {
                Phase::Down if configured.start == Start::OnTraffic && status.failure.is_none() => "waiting",
                Phase::Down => "down",
                Phase::Connecting => "connecting",
                Phase::Partial => "partial",
                Phase::Up => "up",
            }
            .to_owned(),
            up_s: ike.and_then(|ike| ike.since).map(|since| now.saturating_since(since).as_secs()),
            peer_id: ike.and_then(|ike| ike.peer.as_ref()).map(ToString::to_string),
            role: ike.map(|ike| role(ike.role).to_owned()),
            ike_suite: ike.and_then(ike_algorithms),
            esp_suite: child.map(|child| child.suite.to_string()),
            encapsulation: ike.map(|ike| encapsulation_word(&ike.path).to_owned()),
            ike_rekey_in_s: ike.and_then(|ike| ike.rekey_at).map(|at| at.saturating_since(now).as_secs()),
            remote_prefixes: self
                .config
                .prefixes_behind(configured)
                .iter()
                .map(ToString::to_string)
                .collect(),
            tunnels: Vec::new(),
            part: None,
            nat_rules: self.nat_rules(configured),
            assigned: ike.and_then(|ike| self.assigned(id, ike)).into_iter().collect(),
            traffic: self.traffic_of(id),
            failure: status.failure.as_ref().map(|failure| Failure {
                problem: failure.error.to_string(),
                remedy: failure.error.remedy().to_owned(),
                ago_s: now.saturating_since(failure.at).as_secs(),
                retry_in_s: status.retry_at.map(|at| at.saturating_since(now).as_secs()),
            }),
        }
    }

    /// What a connection has carried, over SAs that are and SAs that were.
    fn traffic_of(&self, connection: ConnectionId) -> Traffic {
        let mut sum = self.carried.get(&connection).copied().unwrap_or_default();
        for (_, pair) in self.sad.iter().filter(|(_, pair)| pair.connection == connection) {
            let traffic = traffic(pair);
            sum.in_packets += traffic.in_packets;
            sum.in_bytes += traffic.in_bytes;
            sum.out_packets += traffic.out_packets;
            sum.out_bytes += traffic.out_bytes;
        }
        sum
    }

    /// Every Child SA that the workers have.
    #[must_use]
    pub fn sas(&self) -> Vec<Sa> {
        let now = self.clock.now();
        let mut sas = Vec::new();
        for connection in self.endpoint.status() {
            let configured = self.config.connections().get(&*connection.name);
            let is_of_clients = configured.is_some_and(Configured::is_of_clients);
            for ike in &connection.ike_sas {
                let user = ike.peer.as_ref().filter(|_| is_of_clients).map(user_name);
                for child in &ike.children {
                    let found = Spi::new(child.inbound_spi.0).and_then(|spi| self.sad.by_inbound(spi));
                    if let Some((_, pair)) = found {
                        sas.push(Sa { user: user.clone(), ..self.sa(&connection.name, child, pair, now) });
                    }
                }
            }
        }
        sas
    }

    fn sa(&self, connection: &str, child: &ChildStatus, pair: &Pair, now: Instant) -> Sa {
        let is_spare = pair.resource.is_some_and(|number| number >= self.workers.count().get().into());
        let state = match (pair.sends, self.sad.has_sender(pair.tunnel), pair.outbound.packets()) {
            (true, ..) if is_spare => "receives",
            (true, ..) => "sends",
            (false, true, 0) => "standby",
            _ => "receives",
        };
        Sa {
            connection: connection.to_owned(),
            user: None,
            tunnel: pair.tunnel.0,
            worker: pair.resource.filter(|_| !is_spare),
            state: state.to_owned(),
            inbound_spi: child.inbound_spi.to_string(),
            outbound_spi: child.outbound_spi.to_string(),
            suite: child.suite.to_string(),
            esn: child.esn == crossgate_ike::crypto::suite::Esn::On,
            encapsulation: encapsulation_word(&pair.path).to_owned(),
            local: pair.path.local.to_string(),
            remote: pair.path.remote.to_string(),
            local_selectors: child.local_selectors.iter().map(ToString::to_string).collect(),
            remote_selectors: child.remote_selectors.iter().map(ToString::to_string).collect(),
            age_s: child.age(now).as_secs(),
            rekey_in_s: child.rekey_at.saturating_since(now).as_secs(),
            expires_in_s: child.expires_at.saturating_since(now).as_secs(),
            read_at_us: u64::try_from(self.clock.now().since_epoch().as_micros()).unwrap_or(u64::MAX),
            traffic: traffic(pair),
            replayed: pair.inbound.replayed(),
            forged: pair.inbound.forged(),
            path_mtu_bytes: pair.outbound.path_mtu_bytes(),
        }
    }

    /// Every counter: the workers' table, then the IKE core's catalogue.
    #[must_use]
    pub fn counters(&self) -> Vec<Counter> {
        let workers: Vec<_> = self.fleet.workers().iter().map(Reader::counters).collect();
        let rows = crossgate_dataplane::counter::Counter::table().iter().map(|row| {
            let by_worker: Vec<u64> = workers.iter().map(|worker| worker.get(row.counter)).collect();
            Counter {
                group: "worker".to_owned(),
                name: row.name.to_owned(),
                unit: format!("{:?}", row.unit).to_lowercase(),
                drop: row.counter.is_drop(),
                meaning: row.meaning.to_owned(),
                remedy: row.remedy.to_owned(),
                total: by_worker.iter().sum(),
                by_worker,
            }
        });
        let happened = self.endpoint.counters().map(|(what, total)| ike_counter(what, total));
        rows.chain(happened).chain(self.endpoint.failures().map(failure_counter)).collect()
    }

    /// Every port, by name.
    #[must_use]
    pub fn ports(&self) -> Vec<Port> {
        self.fleet.ports(&self.config)
    }

    /// Every worker, by number.
    #[must_use]
    pub fn worker_views(&self) -> Vec<Worker> {
        self.fleet.worker_views(&self.config, self.workers.histograms())
    }
}

fn ike_counter(what: What, total: u64) -> Counter {
    let name = what.name();
    Counter {
        group: "ike".to_owned(),
        name: snake_case(name),
        unit: "events".to_owned(),
        drop: name.starts_with("Drop"),
        meaning: what.text().to_owned(),
        remedy: what.remedy().to_owned(),
        total,
        by_worker: Vec::new(),
    }
}

/// How often something failed for one kind of reason.
fn failure_counter((reason, total): (Reason, u64)) -> Counter {
    Counter {
        group: "ike".to_owned(),
        name: format!("failed_{}", snake_case(reason.name())),
        unit: "failures".to_owned(),
        drop: false,
        meaning: reason.text().to_owned(),
        remedy: reason.remedy().to_owned(),
        total,
        by_worker: Vec::new(),
    }
}

fn snake_case(name: &str) -> String {
    let mut out = String::new();
    for character in name.chars() {
        if character.is_ascii_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(character.to_ascii_lowercase());
    }
    out
}

fn traffic(pair: &Pair) -> Traffic {
    Traffic {
        in_packets: pair.inbound.packets(),
        in_bytes: pair.inbound.bytes(),
        out_packets: pair.outbound.packets(),
        out_bytes: pair.outbound.bytes(),
    }
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Initiator => "initiator",
        Role::Responder => "responder",
    }
}

fn encapsulation_word(path: &Path) -> &'static str {
    match path.encapsulation {
        Encapsulation::None => "esp",
        Encapsulation::Udp => "udp",
    }
}

/// The negotiated algorithms, with the version if it is not IKEv2, and with the additional key exchange and the post-quantum pre-shared key if there is one.
fn ike_algorithms(ike: &IkeStatus) -> Option<String> {
    let suite = ike.suite?;
    let additional = ike.additional.map(|method| format!("+{method}")).unwrap_or_default();
    let ppk = if ike.ppk { "+PPK" } else { "" };
    let version = if ike.version == Version::V1 { "IKEv1 " } else { "" };
    Some(format!("{version}{suite}{additional}{ppk}"))
}

fn seen_place(place: &PlaceStatus, now: Instant) -> Place {
    Place {
        place: place.place.to_string(),
        in_use: place.in_use,
        problem: place.failure.as_ref().map(|failure| failure.error.to_string()),
        ago_s: place.failure.as_ref().map(|failure| now.saturating_since(failure.at).as_secs()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_of_a_failure_has_a_row_for_operators() {
        let guide = include_str!("../../../docs/troubleshooting.md");
        for reason in Reason::ALL {
            let counter = format!("`{}`", failure_counter((*reason, 0)).name);
            assert!(guide.contains(&counter), "docs/troubleshooting.md does not tell {counter}");
        }
    }
}
