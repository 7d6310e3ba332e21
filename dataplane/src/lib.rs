//! The packet path of Crossgate, a software VPN gateway on DPDK.
//!
//! A worker ([`worker`]) is one pinned thread that owns its queues and tables. It takes a burst of frames, and every stage of the
//! [`pipeline`] handles the whole burst before the next begins; what a stage has to say to the next lies in a plain
//! record beside each mbuf ([`packet`]).
//!
//! - Outbound: receive, parse ([`header`]), route ([`forwarding`], [`route`]), traffic selectors ([`selector`]), addresses ([`nat`]), path MTU ([`pmtu`]), the SA and its sequence
//!   numbers ([`sa`]), ESP headers ([`esp`]), AES-GCM over the burst ([`gcm`]) or another transform ([`transform`]), next hop ([`neighbour`]), send.
//! - Inbound: receive, parse, SPI ([`spi`]), home worker ([`handover`]), replay window, AES-GCM over the burst, window again, ESP headers off, selectors,
//!   addresses, route, next hop, send.
//! - Everything else: IKE goes to the control thread, ARP and neighbour discovery ([`neighbour`]) and ICMP ([`icmp`]) are answered,
//!   the rest is dropped under a named [`counter`].
//!
//! The control thread and a worker talk by [`message`]s over rings, and by nothing else but counters.

#![forbid(unsafe_code)]

pub mod worker;

pub mod pipeline;

pub mod packet;

pub mod header;

pub mod forwarding;

mod flow;

pub mod route;

pub mod selector;

pub mod nat;

pub mod spi;

pub mod handover;

pub mod sa;

pub mod esp;

pub use crossgate_gcm as gcm;

pub mod transform;

pub mod meter;

pub mod circuit;

pub mod neighbour;

pub mod icmp;

pub mod pmtu;

pub mod message;

pub mod counter;
