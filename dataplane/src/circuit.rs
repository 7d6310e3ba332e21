//! A private circuit as the workers see it: an interface of a network through which packets leave unencrypted, because policy says so for the prefixes
//! behind it. What a circuit carries shares its gateway's bandwidth ([`crate::meter`]) and is counted here, for usage.
//!
//! Which packets may go to a circuit and come from one is `pipeline/source.rs`; where they go when it is down is `forwarding/builder.rs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::meter::Share;
use crate::sa::Direction;

/// What all workers know of a circuit. The control thread keeps it from one snapshot to the next.
#[derive(Debug, Clone, Default)]
pub struct Circuit {
    /// Its part in its gateway's bandwidth; `None`: not limited.
    pub share: Option<Arc<Share>>,
    /// What it has carried.
    pub traffic: Arc<CircuitTraffic>,
}

/// IP packets that a circuit has carried, and their bytes.
#[derive(Debug, Default)]
#[repr(align(128))] // Written by all workers: nothing else may share its lines.
pub struct CircuitTraffic {
    inbound: Way,
    outbound: Way,
}

#[derive(Debug, Default)]
struct Way {
    packets: AtomicU64,
    bytes: AtomicU64,
}

impl CircuitTraffic {
    /// Packets and bytes of a direction.
    #[must_use]
    pub fn read(&self, direction: Direction) -> (u64, u64) {
        let way = self.way(direction);
        (way.packets.load(Ordering::Relaxed), way.bytes.load(Ordering::Relaxed))
    }

    fn way(&self, direction: Direction) -> &Way {
        match direction {
            Direction::Inbound => &self.inbound,
            Direction::Outbound => &self.outbound,
        }
    }
}

impl Circuit {
    /// Lets a packet of `bytes` bytes pass, at a time of the workers' clock in microseconds, and counts it. `false`: it exceeds the gateway's bandwidth.
    #[must_use]
    pub fn pass(&self, direction: Direction, bytes: u16, now_us: u64) -> bool {
        let bytes = u64::from(bytes);
        if let Some(share) = &self.share
            && !share.take_packet(direction, bytes, now_us)
        {
            return false;
        }
        let way = self.traffic.way(direction);
        way.packets.fetch_add(1, Ordering::Relaxed);
        way.bytes.fetch_add(bytes, Ordering::Relaxed);
        true
    }
}
