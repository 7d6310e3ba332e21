//! Workers on in-memory ports: bytes on the wire, and the exact set of counters that moved. [`lab`] is the bench; each other file is a subject.

mod lab;

mod errors;
mod esp_bytes;
mod local;
mod policy;
mod size;
mod threads;
mod tunnel;
