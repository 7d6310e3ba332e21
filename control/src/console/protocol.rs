//! What the operator's client and the gateway say to each other over the Unix socket: JSON-RPC 2.0, one request and one answer a line.
//!
//! Server ([`crate::console::server`]) and client share these types: requests and methods here, what methods answer in `protocol/answer.rs` and `protocol/resource.rs`. Durations are in seconds, times of day in seconds since 1970 UTC,
//! SPIs and addresses are text as people write them. Fields are only ever added.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crossgate_config::Finding;

pub use answer::{
    Applied, Assigned, Connection, Counter, Failure, Log, LogLine, NatRule, NatSessions, Part, Past, Place,
    Planned, PlannedStep, Port, Quantiles, Sa, StageCycles, Status, Traffic, Tunnel, Usage, UsageRow, Worker,
    WorkerStages,
};
pub use resource::{Clients, LocalNetworkGateway, Peering, Route, VirtualNetwork, VirtualNetworkGateway};

mod answer;
mod resource;

/// Longest line either side accepts, in bytes, without the newline.
pub const LINE_MAX_BYTES: usize = 1 << 20;

/// A request. `id` is echoed; a request without one is a notification and gets no answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Always `"2.0"`.
    pub jsonrpc: String,
    /// Echoed in the answer: a number, a string or null.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Value>,
    /// One of [`Method`]'s names.
    pub method: String,
    /// The method's parameters by name.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub params: Value,
}

/// An answer: exactly one of `result` and `error`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// Always `"2.0"`.
    pub jsonrpc: String,
    /// That of the request; null if the request could not be read.
    pub id: Value,
    /// What the method returns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// Why it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorObject>,
}

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ErrorObject {
    /// One of the `code` constants.
    pub code: i32,
    /// For people, remedy included.
    pub message: String,
    /// [`Finding`]s, where a configuration was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Vec<Finding>>,
}

/// Numbers of errors: JSON-RPC's own, and ours from 1 on.
pub mod code {
    /// The line is no JSON.
    pub const PARSE: i32 = -32700;
    /// The JSON is no request.
    pub const INVALID_REQUEST: i32 = -32600;
    /// No such method.
    pub const NO_METHOD: i32 = -32601;
    /// The parameters are not the method's.
    pub const INVALID_PARAMS: i32 = -32602;
    /// No such connection, gateway or entry of the history.
    pub const UNKNOWN_NAME: i32 = 1;
    /// The configuration was refused; nothing has changed.
    pub const REFUSED: i32 = 2;
    /// The caller may look but not change.
    pub const FORBIDDEN: i32 = 3;
    /// The connection has no SA for that.
    pub const NOT_UP: i32 = 4;
    /// All places at the console are taken.
    pub const NO_PLACE: i32 = 5;
    /// The store of what survives a restart fails.
    pub const NO_STORE: i32 = 6;
    /// The other side's system lacks what the connection demands.
    pub const NO_COMMON_GROUND: i32 = 7;
}

/// A method with its parameters, as the server dispatches it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "method", content = "params", rename_all = "snake_case")]
pub enum Method {
    /// Answers [`Status`].
    Status,
    /// Answers a list of [`VirtualNetwork`].
    Networks,
    /// Answers a list of [`VirtualNetworkGateway`].
    Gateways,
    /// Answers a list of [`LocalNetworkGateway`].
    LocalNetworkGateways,
    /// Answers a list of [`Connection`].
    Connections,
    /// Answers a list of [`Sa`].
    Sas,
    /// Answers a list of [`Port`].
    Ports,
    /// Answers a list of [`Worker`].
    Workers,
    /// Answers a list of [`WorkerStages`]; has the workers measure their stages for ten seconds more.
    Stages,
    /// Answers a list of [`Counter`].
    Counters,
    /// Deletes a connection's SAs and brings it up anew. Answers null.
    Reset {
        /// Its name.
        connection: String,
    },
    /// Replaces a connection's Child SAs, or its IKE SA, by fresh ones. Answers null as soon as it is begun.
    Rekey {
        /// Its name.
        connection: String,
        /// Which SAs.
        what: Rekey,
    },
    /// Brings the gateway to the configuration of a file. Answers [`Applied`].
    Apply {
        /// Absolute path, as the gateway sees it.
        file: String,
    },
    /// Answers [`Planned`]: what applying a file would do.
    Diff {
        /// Absolute path, as the gateway sees it.
        file: String,
    },
    /// Answers the running configuration as TOML, a text.
    Export,
    /// Answers a list of [`Past`], the oldest first.
    History,
    /// Answers the TOML of one entry of the history, a text.
    Past {
        /// Its number.
        number: u64,
    },
    /// Brings the gateway to an entry of the history. Answers [`Applied`].
    Rollback {
        /// Its number; by default the one before the latest.
        #[serde(default)]
        number: Option<u64>,
    },
    /// Answers the configuration of a connection's other side, a text.
    PeerConfig {
        /// The connection's name.
        connection: String,
        /// The other side's system, by the word of [`crossgate_config::peer_config::System`].
        system: String,
        /// Whether the shared key is written out, for those who may change the gateway.
        #[serde(default)]
        with_key: bool,
    },
    /// Deletes the SAs of all connections of a gateway and brings them up anew. Answers the names of the connections.
    ResetGateway {
        /// Its name.
        gateway: String,
    },
    /// Answers [`Usage`]: what was used in a span of time.
    Usage {
        /// The span of each row.
        #[serde(default)]
        by: Period,
        /// First day or month, as `2026-11-24` or `2026-11`; by default this month.
        #[serde(default)]
        from: Option<String>,
        /// Last day or month; by default today.
        #[serde(default)]
        until: Option<String>,
        /// Rows that are left out at the beginning: those of the answers before this one.
        #[serde(default)]
        skip: usize,
    },
    /// Answers [`Log`]: lines after a number, the latest ones.
    Log {
        /// Only lines with greater numbers; 0 for all that are kept.
        after: u64,
        /// At most so many lines, the latest.
        lines: usize,
    },
}

/// What usage is summed over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// A calendar month, UTC.
    #[default]
    Month,
    /// A day, UTC.
    Day,
}

/// Which SAs to rekey.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rekey {
    /// The Child SAs.
    Child,
    /// The IKE SA.
    Ike,
}
