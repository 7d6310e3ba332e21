//! Workers on in-memory ports: bytes on the wire, and the exact set of counters that moved. [`lab`] is the bench; each other file is a subject.

mod lab;

mod bandwidth;
mod circuits;
mod drops;
mod dynamic_nat;
mod errors;
mod esp_bytes;
mod exhaustion;
mod groups;
mod known_flows;
mod link_local;
mod local;
mod nat;
mod neighbours;
mod operations;
mod partial_bursts;
mod peering;
mod per_worker;
mod policy;
mod segments;
mod sequence;
mod size;
mod threads;
mod transforms;
mod tunnel;
