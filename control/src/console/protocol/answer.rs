//! What the console's methods answer: one plain record for each thing that an operator asks about. Filled in by the gateway's views
//! (`gateway/view.rs`, `fleet/view.rs`, the console's methods), shown by the client.

use serde::{Deserialize, Serialize};

use crossgate_config::Finding;

/// The gateway as a whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The appliance's name.
    pub name: String,
    /// Version of the program.
    pub version: String,
    /// Version of DPDK.
    pub dpdk: String,
    /// Process number.
    pub pid: u32,
    /// Since it was started.
    pub uptime_s: u64,
    /// The file that it runs.
    pub config_file: String,
    /// Whether something else than that file runs, after a rollback.
    #[serde(default)]
    pub config_file_differs: bool,
    /// When what runs was applied.
    pub applied_at: u64,
    /// Where packet memory comes from.
    pub memory: String,
    /// Which AES-GCM kernel seals and opens.
    pub kernel: String,
    /// Workers.
    pub workers: usize,
    /// Connections that are up, with all of their tunnels; those of clients do not count.
    pub connections_up: usize,
    /// All connections but those of clients.
    pub connections: usize,
    /// Child SAs that traffic is sent on.
    pub child_sas: usize,
    /// Packets dropped by all workers since the start.
    pub dropped_packets: u64,
    /// Packet buffers in use.
    pub buffers_in_use: u32,
    /// All packet buffers.
    pub buffers: u32,
    /// Commands that workers have not acknowledged yet.
    pub open_commands: usize,
}

/// One connection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Connection {
    /// Its name.
    pub name: String,
    /// Its gateway.
    pub gateway: String,
    /// The virtual network behind it.
    pub virtual_network: String,
    /// The local network gateway: the peer's name.
    pub peer: String,
    /// Our address, with the port once it is known.
    pub local: String,
    /// The peer's address; its name while it is not up, or "any".
    pub remote: String,
    /// Where the peer is looked for, in this order; empty for "any".
    #[serde(default)]
    pub places: Vec<Place>,
    /// `Default`, `InitiatorOnly` or `ResponderOnly`.
    pub mode: String,
    /// `up`, `partial`, `connecting`, `down`, or `waiting` for traffic.
    pub state: String,
    /// Since the IKE SA is up.
    pub up_s: Option<u64>,
    /// Who the peer proved to be.
    pub peer_id: Option<String>,
    /// Who began the IKE SA: `initiator` (we) or `responder`.
    pub role: Option<String>,
    /// Algorithms of the IKE SA.
    pub ike_suite: Option<String>,
    /// Algorithms of the Child SA that is sent on.
    pub esp_suite: Option<String>,
    /// `esp` or `udp`.
    pub encapsulation: Option<String>,
    /// Until the IKE SA is rekeyed.
    pub ike_rekey_in_s: Option<u64>,
    /// Prefixes behind the peer, as the network knows them.
    pub remote_prefixes: Vec<String>,
    /// Its tunnels, where it has one from each of an active-active gateway's addresses.
    #[serde(default)]
    pub tunnels: Vec<Tunnel>,
    /// Its part of the flows to its site, if other connections lead there, too.
    #[serde(default)]
    pub part: Option<Part>,
    /// Its NAT rules.
    #[serde(default)]
    pub nat_rules: Vec<NatRule>,
    /// What the peer assigned to this side, where it was asked for an address; of an active-active gateway to each end.
    #[serde(default)]
    pub assigned: Vec<Assigned>,
    /// Over all its SAs since it is configured.
    pub traffic: Traffic,
    /// Why it failed last, until it is up again.
    pub failure: Option<Failure>,
}

/// One of a connection's tunnels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tunnel {
    /// Our address, with the port once it is known.
    pub local: String,
    /// The peer's address; its name while it is not up, or "any".
    pub remote: String,
    /// `up`, `partial`, `connecting`, `down`, or `waiting` for traffic.
    pub state: String,
    /// Since its IKE SA is up.
    pub up_s: Option<u64>,
    /// What part of the flows to the site it has now.
    pub flows_percent: f64,
    /// Over all its SAs since it is configured.
    pub traffic: Traffic,
    /// Why it failed last, until it is up again.
    pub problem: Option<String>,
}

/// A connection as one of several to its site.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Its `routing_weight`.
    pub routing_weight: u16,
    /// The other connections to the site.
    pub beside: Vec<String>,
    /// What part of the flows to the site it has now, by the weights of those that are up.
    pub flows_percent: f64,
}

/// A NAT rule of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NatRule {
    /// Its name.
    pub name: String,
    /// `EgressSnat` (the network's addresses) or `IngressSnat` (the site's).
    pub mode: String,
    /// The prefix that the hosts have.
    pub internal_mapping: String,
    /// The prefix by which the other side knows them.
    pub external_mapping: String,
    /// Of a dynamic rule: how many of its ports are in use.
    #[serde(default)]
    pub sessions: Option<NatSessions>,
}

/// What a peer assigned to one of our ends (RFC 7296, 2.19).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assigned {
    /// Our addresses inside the tunnel, with which the network goes out.
    pub addresses: Vec<String>,
    /// Name servers behind the peer.
    pub dns_servers: Vec<String>,
    /// Prefixes that the peer says are behind it.
    pub subnets: Vec<String>,
    /// How many ports of the address are in use.
    pub sessions: Option<NatSessions>,
}

/// The sessions of a dynamic NAT rule, or behind an address that a peer assigned. Each has an external port of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NatSessions {
    /// TCP's at present.
    pub tcp: u64,
    /// UDP's at present.
    pub udp: u64,
    /// Of ICMP echoes at present.
    pub icmp: u64,
    /// Ports that there are, of all external addresses together.
    pub ports: u64,
    /// Sessions since the rule is in use.
    pub begun: u64,
    /// Packets of new sessions that found no port.
    pub refused: u64,
}

/// A place where a peer is looked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// An address or a name.
    pub place: String,
    /// Whether it is the one in use, or called now.
    pub in_use: bool,
    /// Why nobody answered there last, until somebody does.
    pub problem: Option<String>,
    /// How long ago that was.
    pub ago_s: Option<u64>,
}

/// Packets and bytes of inner packets with ESP's padding.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// From the peer.
    pub in_packets: u64,
    /// From the peer.
    pub in_bytes: u64,
    /// To the peer.
    pub out_packets: u64,
    /// To the peer.
    pub out_bytes: u64,
}

/// Why a connection failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// What went wrong.
    pub problem: String,
    /// Which side must change what.
    pub remedy: String,
    /// How long ago.
    pub ago_s: u64,
    /// When it is tried again, if it is.
    pub retry_in_s: Option<u64>,
}

/// One Child SA: a pair of ESP SAs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sa {
    /// Its connection.
    pub connection: String,
    /// The user whose it is, where it is a client's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The tunnel's number in the data plane.
    pub tunnel: u32,
    /// The one worker that seals with it (RFC 9611), from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<u16>,
    /// `sends` (in use), `standby` (its successor is being made ready) or `receives` (retired).
    pub state: String,
    /// Our SPI.
    pub inbound_spi: String,
    /// The peer's SPI.
    pub outbound_spi: String,
    /// Algorithms.
    pub suite: String,
    /// Whether sequence numbers have 64 bits.
    pub esn: bool,
    /// `esp`, or `udp` with both ports.
    pub encapsulation: String,
    /// Our outer address.
    pub local: String,
    /// The peer's outer address.
    pub remote: String,
    /// What may travel, on our side.
    pub local_selectors: Vec<String>,
    /// What may travel, on the peer's side.
    pub remote_selectors: Vec<String>,
    /// Its age.
    pub age_s: u64,
    /// Until it is rekeyed.
    pub rekey_in_s: u64,
    /// Until it ends.
    pub expires_in_s: u64,
    /// Its counts.
    pub traffic: Traffic,
    /// When they were read, in microseconds of the gateway's clock: two readings make a rate, however late an answer comes.
    #[serde(default)]
    pub read_at_us: u64,
    /// Packets dropped as replays.
    pub replayed: u64,
    /// Packets dropped because their tag was wrong.
    pub forged: u64,
    /// Longest outer packet towards the peer.
    pub path_mtu_bytes: u16,
}

/// One port.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// The device that DPDK was told to open.
    pub device: String,
    /// DPDK's driver.
    pub driver: String,
    /// Its MAC address.
    pub mac: String,
    /// Whether the link is up.
    pub link_up: bool,
    /// Speed, if the port knows it.
    pub speed_mbit_per_s: Option<u32>,
    /// Longest IP packet.
    pub mtu_bytes: u16,
    /// Queues in each direction.
    pub queues: u16,
    /// Who brings ESP packets to their SA's home worker: `device` (by rules on the SPI), `workers`, or `none` with a single worker.
    pub esp_steering: String,
    /// `underlay`, or the virtual networks on it.
    pub networks: Vec<String>,
    /// Our addresses there.
    pub addresses: Vec<String>,
    /// Received.
    pub rx_packets: u64,
    /// Received.
    pub rx_bytes: u64,
    /// Lost by the port because no worker took them in time.
    pub rx_missed: u64,
    /// Received with an error, or without a buffer.
    pub rx_errors: u64,
    /// Sent.
    pub tx_packets: u64,
    /// Sent.
    pub tx_bytes: u64,
    /// Not sent.
    pub tx_errors: u64,
}

/// One worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Worker {
    /// Its number.
    pub index: usize,
    /// Its core.
    pub core: u16,
    /// Whether its thread runs.
    pub running: bool,
    /// Which AES-GCM kernel it uses.
    pub kernel: String,
    /// `adaptive` or `poll`.
    pub idle: String,
    /// Share of cycles spent on packets since the start, in percent.
    pub busy_percent: f64,
    /// Cycles spent on packets since the start.
    #[serde(default)]
    pub busy_cycles: u64,
    /// Cycles spent waiting for packets since the start.
    #[serde(default)]
    pub idle_cycles: u64,
    /// Packets received.
    pub rx_packets: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Packets sealed.
    pub sealed_packets: u64,
    /// Packets opened.
    pub opened_packets: u64,
    /// Packets dropped.
    pub dropped_packets: u64,
    /// Packets a burst, median and 99th percentile of bursts that had any.
    pub burst_packets: Quantiles,
    /// From receive to transmit, in nanoseconds a burst.
    pub residence_ns: Quantiles,
}

/// What a worker's stages have taken. Two of these, one after the other, say what they take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerStages {
    /// The worker's number.
    pub index: usize,
    /// Its core.
    pub core: u16,
    /// Cycles spent on packets since the start, in all turns.
    pub busy_cycles: u64,
    /// Packets received since the start.
    pub packets: u64,
    /// In the order of a packet.
    pub stages: Vec<StageCycles>,
}

/// One stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageCycles {
    /// Its name.
    pub name: String,
    /// Cycles in those turns in which it was measured, since the start.
    pub cycles: u64,
}

/// Points of a distribution.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quantiles {
    /// Median.
    pub p50: u64,
    /// 99th percentile.
    pub p99: u64,
    /// 99.9th percentile.
    pub p999: u64,
    /// Greatest.
    pub max: u64,
}

/// One counter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counter {
    /// `worker` or `ike`.
    pub group: String,
    /// Its name.
    pub name: String,
    /// `packets`, `bytes` or `events`.
    pub unit: String,
    /// Whether it counts drops.
    pub drop: bool,
    /// What it means when it moves.
    pub meaning: String,
    /// What to do about it; empty where nothing is wrong.
    pub remedy: String,
    /// Over all workers.
    pub total: u64,
    /// By worker; empty for the control thread's own.
    pub by_worker: Vec<u64>,
}

/// What applying a configuration changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// One line a change, in the order in which they were carried out; empty if nothing differed.
    pub changes: Vec<String>,
    /// Warnings of the configuration.
    pub warnings: Vec<Finding>,
    /// Number of its entry in the history.
    #[serde(default)]
    pub entry: Option<u64>,
    /// Why it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// What applying a configuration would change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// In the order in which they would be carried out; empty if nothing differs.
    pub steps: Vec<PlannedStep>,
    /// Warnings of the configuration.
    pub warnings: Vec<Finding>,
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedStep {
    /// What would be done.
    pub change: String,
    /// The settings that differ, a line each.
    pub details: Vec<String>,
}

/// A configuration that was applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Past {
    /// Its number.
    pub number: u64,
    /// When, in seconds since 1970 UTC.
    pub at: u64,
    /// The user who asked for it.
    pub user_id: u32,
    /// `start`, `reload`, `apply` or `rollback`.
    pub occasion: String,
    /// Where it came from: a file, or an entry of the history.
    pub origin: String,
    /// Whether it is the latest.
    pub latest: bool,
}

/// Lines of the gateway's log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    /// Oldest first.
    pub lines: Vec<LogLine>,
    /// Number of the latest line, to ask for what follows.
    pub last: u64,
}

/// One line of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Its number, from 1.
    pub number: u64,
    /// When, in milliseconds since 1970 UTC.
    pub at_ms: u64,
    /// `ERROR`, `WARN`, `INFO`, `DEBUG` or `TRACE`.
    pub level: String,
    /// The text with its fields.
    pub text: String,
}

/// What was used, or some rows of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// By period, gateway and connection.
    pub rows: Vec<UsageRow>,
    /// Whether there are more rows than fit into an answer: ask for them with `skip`.
    pub more: bool,
    /// When it was last put onto the disk; 0 for not since the start. What was used since then is in the rows too.
    pub recorded_at: u64,
}

/// What a gateway or a connection has used in a period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageRow {
    /// A month (`2026-11`) or a day (`2026-11-24`), UTC.
    pub period: String,
    /// The gateway's name.
    pub gateway: String,
    /// The connection's name; null for the gateway itself, with what all its connections sent.
    pub connection: Option<String>,
    /// For how long it was configured and ran.
    pub seconds: u64,
    /// Bytes sent into tunnels.
    pub egress_bytes: u64,
}
