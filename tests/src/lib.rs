//! The lab: real peers, namespaces and traffic for the end-to-end tests in `tests/tests/` and for the demo
//! (`crossgate-demo`, what `make run` starts). Nothing here is a stand-in: gateways are processes, cables are veth
//! pairs, peers are strongSwan, Libreswan and Linux' own ESP, and what was on the wire is what tcpdump saw.
//!
//! - [`gateway`]: ours, as an operator runs it; [`sites`]: the standard network around it
//! - [`namespace`]: hosts and cables; [`nat_router`]: what stands between a branch and its provider; [`guest`]: a Linux of its own under QEMU
//! - [`strongswan`], [`libreswan`]: the peers; [`radius`]: who knows a gateway's clients; [`met`]: who met whom
//! - `newer`: programs and a kernel that this machine's Debian does not have yet
//! - [`traffic`]: pings, a stream and bulk transfers that know what was lost or changed; [`capture`]: the wire;
//!   [`garbage`]: what a gateway must bear, from a seed ([`random`])
//! - [`process`], [`wait`], [`failure`]: how programs run, how one waits, and what is said when it was in vain
//!
//! All of it needs root and leaves nothing behind.

#![forbid(unsafe_code)]

pub mod capture;
pub mod certificates;
pub mod failure;
pub mod garbage;
pub mod gateway;
pub mod guest;
pub mod libreswan;
pub mod met;
pub mod namespace;
pub mod nat_router;
mod newer;
pub mod process;
pub mod radius;
pub mod random;
pub mod sites;
mod store;
pub mod strongswan;
pub mod traffic;
pub mod wait;
