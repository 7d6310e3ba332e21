//! DPDK bindings and the thin safe face over them, in the order in which one meets them: start the environment
//! ([`Eal`]), make packets ([`Mempool`]), find and start a port ([`Port`]), then move bursts of owned packets
//! ([`Burst`], [`Mbuf`]) between its queues ([`RxQueue`], [`TxQueue`]).
//!
//! All `unsafe` about DPDK is here, and the raw bindings stay private. A packet has one owner at any time: a caller's
//! [`Mbuf`] or [`Burst`], a queue of a port, or a table that collects fragments.

mod burst;
mod eal;
mod error;
mod ffi;
mod flow;
mod frag;
mod huge;
mod layout;
mod mbuf;
mod mempool;
mod port;
mod prefetch;
mod queue;
mod ring_port;

pub use burst::{BURST_PACKETS, Burst, Drain};
pub use eal::{Eal, EalOptions, LogLevel, Memory, MemoryMode, RegisteredThread, tsc_cycles, tsc_hz, version};
pub use error::{Errno, Error};
pub use flow::{Encapsulation, OuterFamily, SpiRule, SteerError};
pub use frag::{
    FragmentError, MAX_FRAGMENTS, Reassembler, Reassembly, ReassemblyOptions, fragment_ipv4, fragment_ipv6,
};
pub use huge::prefer_huge_pages;
pub use mbuf::{Checksum, ChecksumRequest, HEADROOM_BYTES, Mbuf};
pub use mempool::{Mempool, MempoolOptions};
pub use port::{Link, Mac, Port, PortLimit, PortOffloads, PortOptions, PortReport, PortStats, Started};
pub use prefetch::prefetch;
pub use queue::{RxQueue, TxQueue};
pub use ring_port::{RingPort, Wire};
