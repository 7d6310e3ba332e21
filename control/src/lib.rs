//! The control thread and the two programs, `crossgated` and `crossgate`.
//!
//! The life of an IKE message: a worker punts the datagram over its ring; [`reactor`] takes a turn of [`gateway`], which hands it to the
//! sans-IO core (`crossgate-ike`); the core's jobs run in [`pool`]; negotiated SAs go through [`sad`] and [`workers`] to the data plane; when those
//! are acknowledged, the answer leaves through [`datagram`] and a worker.
//!
//! The life of a configuration: file, SIGHUP or console end in [`reconcile`], which compares it with what runs, gives names their numbers
//! ([`identifiers`]), and carries out the difference; [`store`] remembers it. [`console`] answers operators.

#![forbid(unsafe_code)]

pub mod circuits;
pub mod clock;
pub mod console;
pub mod datagram;
pub mod fleet;
pub mod gateway;
pub mod identifiers;
pub mod leases;
pub mod meters;
pub mod nat_pools;
pub mod pool;
pub mod radius;
pub mod reactor;
pub mod reconcile;
pub mod resolver;
pub mod sad;
pub mod store;
pub mod tunnels;
pub mod usage;
pub mod workers;
