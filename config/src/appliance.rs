//! The machine that a configuration describes: cores, memory, the operator's socket.

use std::path::PathBuf;

use crate::choice::Choice;
use crate::name::Name;

/// Number of a CPU core, as the kernel counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CoreId(pub u16);

/// What a worker does when there is nothing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Idle {
    /// Poll, then pause, then sleep shortly: for shared and small machines.
    Adaptive,
    /// Poll for ever: for dedicated cores.
    Poll,
}

impl Choice for Idle {
    const WORDS: &'static [(&'static str, Self)] = &[("adaptive", Self::Adaptive), ("poll", Self::Poll)];
}

/// Where DPDK takes its memory from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// Hugepages if there are enough, else ordinary pages, announced in the log.
    Auto,
    /// Hugepages or no start.
    Huge,
    /// Ordinary pages (`--no-huge`).
    NoHuge,
}

impl Choice for Memory {
    const WORDS: &'static [(&'static str, Self)] =
        &[("auto", Self::Auto), ("huge", Self::Huge), ("no-huge", Self::NoHuge)];
}

/// One gateway process on one machine. Nothing here can change without a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appliance {
    /// Name of this gateway process; prefix of its files.
    pub name: Name,
    /// One worker on each of these cores; at least one, each once.
    pub workers: Vec<CoreId>,
    /// The core of the control thread. May be a worker's core (a warning says so on machines with several cores).
    pub control_core: CoreId,
    /// How a worker idles.
    pub idle: Idle,
    /// Where packet memory comes from.
    pub memory: Memory,
    /// Packet memory, in MiB.
    pub memory_mib: u32,
    /// More arguments for DPDK's EAL, as they stand.
    pub eal: Vec<String>,
    /// The operator's socket; absolute.
    pub socket: PathBuf,
}
