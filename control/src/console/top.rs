//! `crossgate top`: what the gateway does right now. Two samples of its answers make rates ([`Rates`]), which are drawn on a terminal
//! ([`draw()`]) or printed as JSON. The client's loop (`bin/crossgate/top.rs`) takes the samples.

mod draw;

use std::time::Instant;

use serde::Serialize;

use super::client::{Client, ClientError, typed};
use super::protocol::{Connection, Counter, Method, Status, Traffic, Worker};

pub use draw::{View, draw};

/// The gateway's answers at one moment.
#[derive(Debug, Clone)]
pub struct Sample {
    /// When they came.
    pub at: Instant,
    /// The gateway as a whole.
    pub status: Status,
    /// Every connection.
    pub connections: Vec<Connection>,
    /// Every worker.
    pub workers: Vec<Worker>,
    /// Every counter.
    pub counters: Vec<Counter>,
}

impl Sample {
    /// Asks the gateway.
    ///
    /// # Errors
    /// Those of [`Client::call`].
    pub fn take(client: &mut Client) -> Result<Self, ClientError> {
        let status = typed(&client.call(&Method::Status)?)?;
        let connections = typed(&client.call(&Method::Connections)?)?;
        let workers = typed(&client.call(&Method::Workers)?)?;
        let counters = typed(&client.call(&Method::Counters)?)?;
        Ok(Self { at: Instant::now(), status, connections, workers, counters })
    }
}

/// What happened a second between two samples.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rates {
    /// The appliance's name.
    pub name: String,
    /// Since the gateway was started.
    pub uptime_s: u64,
    /// Between the samples.
    pub interval_ms: u64,
    /// Connections, by name.
    pub connections: Vec<ConnectionRates>,
    /// Workers, by number.
    pub workers: Vec<WorkerRates>,
    /// Drops that have ever happened: the fastest first, then the most.
    pub drops: Vec<DropRate>,
}

/// One connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConnectionRates {
    /// Its name.
    pub name: String,
    /// `up`, `partial`, `connecting` or `down`.
    pub state: String,
    /// The peer's name.
    pub peer: String,
    /// From the peer.
    pub in_bits_per_s: u64,
    /// From the peer.
    pub in_packets_per_s: u64,
    /// To the peer.
    pub out_bits_per_s: u64,
    /// To the peer.
    pub out_packets_per_s: u64,
    /// Why it is not up.
    pub problem: Option<String>,
}

/// One worker.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WorkerRates {
    /// Its number.
    pub index: usize,
    /// Its core.
    pub core: u16,
    /// Whether its thread runs.
    pub running: bool,
    /// Share of cycles spent on packets, in percent.
    pub busy_percent: f64,
    /// Packets received.
    pub rx_packets_per_s: u64,
    /// Packets sent.
    pub tx_packets_per_s: u64,
    /// Packets sealed.
    pub sealed_packets_per_s: u64,
    /// Packets opened.
    pub opened_packets_per_s: u64,
    /// Packets dropped.
    pub dropped_packets_per_s: u64,
}

/// One reason for drops.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DropRate {
    /// The counter's name.
    pub name: String,
    /// How many.
    pub per_s: u64,
    /// Since the gateway was started.
    pub total: u64,
    /// What to do about it.
    pub remedy: String,
}

impl Rates {
    /// The rates from `before` to `after`. What was not there before (another start of the gateway, a new connection) begins at 0 a second.
    #[must_use]
    pub fn between(before: &Sample, after: &Sample) -> Self {
        let interval = after.at.saturating_duration_since(before.at);
        let interval_ms = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX).max(1);
        let rate = Rate { interval_ms, same_run: before.status.pid == after.status.pid };
        let connection = |now: &Connection| {
            let then = before.connections.iter().find(|then| then.name == now.name);
            let then = then.map_or(now.traffic, |then| then.traffic);
            rate.connection(now, then)
        };
        let worker = |now: &Worker| {
            rate.worker(now, before.workers.iter().find(|then| then.index == now.index).unwrap_or(now))
        };
        let drop_of = |now: &Counter| {
            let same = |then: &&Counter| then.name == now.name && then.group == now.group;
            let then = before.counters.iter().find(same).map_or(now.total, |then| then.total);
            let (name, remedy) = (now.name.clone(), now.remedy.clone());
            DropRate { name, per_s: rate.of(then, now.total), total: now.total, remedy }
        };
        let dropped = after.counters.iter().filter(|counter| counter.drop && counter.total > 0);
        let mut drops: Vec<DropRate> = dropped.map(drop_of).collect();
        drops.sort_by_key(|drop| std::cmp::Reverse((drop.per_s, drop.total)));
        Self {
            name: after.status.name.clone(),
            uptime_s: after.status.uptime_s,
            interval_ms,
            connections: after.connections.iter().map(connection).collect(),
            workers: after.workers.iter().map(worker).collect(),
            drops,
        }
    }
}

/// How counts become rates.
struct Rate {
    interval_ms: u64,
    same_run: bool,
}

impl Rate {
    /// A second, rounded; 0 where the count began anew.
    fn of(&self, then: u64, now: u64) -> u64 {
        let moved = if self.same_run { now.saturating_sub(then) } else { 0 };
        let rounded =
            (u128::from(moved) * 1000 + u128::from(self.interval_ms) / 2) / u128::from(self.interval_ms);
        u64::try_from(rounded).unwrap_or(u64::MAX)
    }

    fn connection(&self, now: &Connection, then: Traffic) -> ConnectionRates {
        let traffic = &now.traffic;
        ConnectionRates {
            name: now.name.clone(),
            state: now.state.clone(),
            peer: now.peer.clone(),
            in_bits_per_s: self.of(then.in_bytes, traffic.in_bytes).saturating_mul(8),
            in_packets_per_s: self.of(then.in_packets, traffic.in_packets),
            out_bits_per_s: self.of(then.out_bytes, traffic.out_bytes).saturating_mul(8),
            out_packets_per_s: self.of(then.out_packets, traffic.out_packets),
            problem: now.failure.as_ref().map(|failure| failure.problem.clone()),
        }
    }

    fn worker(&self, now: &Worker, then: &Worker) -> WorkerRates {
        let busy = now.busy_cycles.saturating_sub(then.busy_cycles);
        let all = busy.saturating_add(now.idle_cycles.saturating_sub(then.idle_cycles));
        WorkerRates {
            index: now.index,
            core: now.core,
            running: now.running,
            busy_percent: if self.same_run { share_percent(busy, all) } else { 0.0 },
            rx_packets_per_s: self.of(then.rx_packets, now.rx_packets),
            tx_packets_per_s: self.of(then.tx_packets, now.tx_packets),
            sealed_packets_per_s: self.of(then.sealed_packets, now.sealed_packets),
            opened_packets_per_s: self.of(then.opened_packets, now.opened_packets),
            dropped_packets_per_s: self.of(then.dropped_packets, now.dropped_packets),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share for people: 53 bits of a cycle count are plenty")]
fn share_percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 }
}

#[cfg(test)]
mod tests;
