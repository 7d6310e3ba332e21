//! Security associations as workers know them (RFC 4301, 4.4.2): what the control thread says to make one, and the
//! tables that a worker keeps them in.
//!
//! [`OutboundSa`] is shared by all workers (`Arc`): any of them seals for any SA. [`InboundSa`] has one owner, its home
//! worker (`Box`), for the replay window is not shared. Both are made, and after their removal dropped (which zeroizes the
//! key), by the control thread. `sa/outbound.rs` and `sa/inbound.rs` hold them, `sa/keys.rs` their keys, `sa/replay.rs` the window,
//! `sa/lifetime.rs` the limits.

mod inbound;
mod keys;
mod lifetime;
mod outbound;
mod replay;

pub use inbound::{InboundParameters, InboundSa, InboundStats};
pub use keys::Keys;
pub(crate) use keys::{OpenKeys, SealKeys};
pub use lifetime::{Expiry, Lifetime, Limits};
pub use outbound::{DscpPolicy, OutboundParameters, OutboundSa};
pub(crate) use outbound::{Hot, Outer, OuterDscp, TEMPLATE_BYTES};
pub use replay::{ReplayWindow, WINDOW_MAX_PACKETS, WINDOW_MIN_PACKETS};

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};

/// Whether sequence numbers have 64 bits (RFC 4303, 2.2.1) or 32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Esn {
    /// 64 bits, of which the low 32 are sent.
    On,
    /// 32 bits.
    Off,
}

/// How ESP packets travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encapsulation {
    /// IP protocol 50.
    Plain,
    /// In UDP (RFC 3948), from `local_port` to `remote_port`; usually 4500 to whatever the peer's NAT made of 4500.
    Udp {
        /// Our port.
        local_port: u16,
        /// The peer's port as we see it.
        remote_port: u16,
    },
}

/// The outer addresses, both of the same family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoints {
    /// IPv4 outside.
    V4 {
        /// Our address.
        local: Ipv4Addr,
        /// The peer's address as we see it.
        remote: Ipv4Addr,
    },
    /// IPv6 outside.
    V6 {
        /// Our address.
        local: Ipv6Addr,
        /// The peer's address as we see it.
        remote: Ipv6Addr,
    },
}

impl Endpoints {
    /// Both addresses, or `None` if their families differ.
    #[must_use]
    pub fn new(local: IpAddr, remote: IpAddr) -> Option<Self> {
        match (local, remote) {
            (IpAddr::V4(local), IpAddr::V4(remote)) => Some(Self::V4 { local, remote }),
            (IpAddr::V6(local), IpAddr::V6(remote)) => Some(Self::V6 { local, remote }),
            _ => None,
        }
    }

    /// Our address.
    #[must_use]
    pub fn local(&self) -> IpAddr {
        match *self {
            Self::V4 { local, .. } => local.into(),
            Self::V6 { local, .. } => local.into(),
        }
    }

    /// The peer's address.
    #[must_use]
    pub fn remote(&self) -> IpAddr {
        match *self {
            Self::V4 { remote, .. } => remote.into(),
            Self::V6 { remote, .. } => remote.into(),
        }
    }
}

/// Which way an SA carries traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the peer.
    Inbound,
    /// To the peer.
    Outbound,
}

/// How many workers there are to write the shared words. One alone need not lock the bus, which would wait for all stores under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writers {
    One,
    Many,
}

impl Writers {
    /// Adds, and returns what was there before.
    #[inline]
    pub(crate) fn add(self, cell: &AtomicU64, amount: u64) -> u64 {
        match self {
            Self::One => {
                let before = cell.load(Ordering::Relaxed);
                cell.store(before.wrapping_add(amount), Ordering::Relaxed);
                before
            }
            Self::Many => cell.fetch_add(amount, Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests;
