//! Address translation of a connection, as cloud gateways' static rules have it: one prefix becomes another of the same length, host by host, without any state
//! ("basic NAT", RFC 2663, 4.1.1; prefix translation as in RFC 6296, but with checksums updated instead of kept by the choice of addresses).
//!
//! Every host has two addresses: its own (*internal*), and the one by which the other side knows it (*external*). Hosts of our network have their internal
//! address in the network and their external one in the tunnel ([`Nat::egress`]); hosts of the peer have their internal address in the tunnel and
//! their external one in the network ([`Nat::ingress`]). So a packet's source becomes external wherever it goes, and its destination internal.
//!
//! ```text
//!                   network                          tunnel
//! outbound    A internal -> B external  becomes  A external -> B internal     A: a host of ours, by an egress rule
//! inbound     B external -> A internal  was      B internal -> A external     B: a host of the peer, by an ingress rule
//! ```
//!
//! An address that no rule names stays as it is. One that is another host's address on the side that the packet comes from has no counterpart: the packet
//! is dropped (`nat_no_mapping`), since its answer could not come back.
//!
//! Dynamic rules hide many hosts behind few external addresses, by ports; their sessions are kept in a [`Pool`], and are begun by the hosts alone. Addresses do not decide
//! what becomes of such a packet, so the rules tell here no more than which prefix its address will be of (`nat/dynamic.rs` does the rest).
//!
//! `nat/packet.rs` changes packets; `nat/rewrite.rs` is the same for a flow's plain packets, worked out once.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net};

use crate::counter::Counter;
use crate::sa::Direction;
use crate::selector::Flow;

pub(crate) use packet::translate;
pub use pool::{POOL_ADDRESSES_MAX, Pool, Sweep, Usage};
pub(crate) use rewrite::Rewrite;

mod dynamic;
mod packet;
mod pool;
mod rewrite;

/// One static rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    internal: IpNet,
    external: IpNet,
}

impl Mapping {
    /// Maps the hosts of `internal` to those of `external`, in their order. `None` unless both are of one family and of one length.
    #[must_use]
    pub fn new(internal: IpNet, external: IpNet) -> Option<Self> {
        let is_same = internal.addr().is_ipv4() == external.addr().is_ipv4()
            && internal.prefix_len() == external.prefix_len();
        is_same.then(|| Self { internal: internal.trunc(), external: external.trunc() })
    }
}

/// The rules of one connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nat {
    /// For hosts of our network. No two internal prefixes overlap, and no two external ones.
    pub egress: Vec<Mapping>,
    /// For hosts of the peer. The same holds.
    pub ingress: Vec<Mapping>,
    /// Dynamic rules for hosts of our network. Their prefixes overlap neither each other nor those of `egress`.
    pub egress_pools: Vec<Arc<Pool>>,
    /// The same for hosts of the peer, and `ingress`.
    pub ingress_pools: Vec<Arc<Pool>>,
}

impl Nat {
    /// Whether nothing is translated.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.egress.is_empty() && self.ingress.is_empty() && !self.has_pools()
    }

    /// Whether there is a dynamic rule.
    #[must_use]
    #[inline]
    pub fn has_pools(&self) -> bool {
        !self.egress_pools.is_empty() || !self.ingress_pools.is_empty()
    }

    /// Whether a dynamic rule is about packets between these addresses, so that more than the addresses has to be looked at.
    #[must_use]
    pub fn is_dynamic(&self, direction: Direction, source: IpAddr, destination: IpAddr) -> bool {
        let (sources, destinations) = self.pools(direction);
        sources.iter().any(|pool| has(pool.internal(), source))
            || destinations.iter().any(|pool| has(pool.external(), destination))
    }

    /// The dynamic rules for sources, and those for destinations.
    fn pools(&self, direction: Direction) -> (&[Arc<Pool>], &[Arc<Pool>]) {
        match direction {
            Direction::Outbound => (&self.egress_pools, &self.ingress_pools),
            Direction::Inbound => (&self.ingress_pools, &self.egress_pools),
        }
    }

    /// A packet's source and destination on the other side: in the tunnel (outbound), or in the network (inbound). By a dynamic rule a source is the
    /// external address of that host, and a destination stays what it is.
    ///
    /// # Errors
    /// The drop reason: `NatNoMapping`.
    pub fn translated(
        &self,
        direction: Direction,
        source: IpAddr,
        destination: IpAddr,
    ) -> Result<(IpAddr, IpAddr), Counter> {
        let (sources, destinations) = match direction {
            Direction::Outbound => (&self.egress, &self.ingress),
            Direction::Inbound => (&self.ingress, &self.egress),
        };
        let (hiding, hidden) = self.pools(direction);
        let external = match hidden_by(hiding, source) {
            Some(external) => external,
            None if hiding.iter().any(|pool| has(pool.external(), source)) => {
                return Err(Counter::NatNoMapping);
            }
            None => exchanged(source, sources, |rule| (rule.internal, rule.external))?,
        };
        let internal = match hidden.iter().find(|pool| has(pool.external(), destination)) {
            Some(_) => destination,
            None if hidden.iter().any(|pool| has(pool.internal(), destination)) => {
                return Err(Counter::NatNoMapping);
            }
            None => exchanged(destination, destinations, |rule| (rule.external, rule.internal))?,
        };
        Ok((external, internal))
    }

    /// The same for what selectors look at. Which of the peer's hosts a packet to a hidden one is for, its session says, later; until then the first address
    /// of theirs stands for them.
    ///
    /// # Errors
    /// The drop reason: `NatNoMapping`.
    #[inline]
    pub fn flow(&self, direction: Direction, flow: &Flow) -> Result<Flow, Counter> {
        if self.is_empty() {
            return Ok(*flow);
        }
        let (source, destination) = self.translated(direction, flow.source, flow.destination)?;
        let hidden = match direction {
            Direction::Outbound => self.ingress_pools.iter().find(|pool| has(pool.external(), destination)),
            Direction::Inbound => None,
        };
        let destination = hidden.map_or(destination, |pool| pool.internal().network().into());
        Ok(Flow { source, destination, ..*flow })
    }
}

/// The external address of a host that one of the pools hides.
fn hidden_by(pools: &[Arc<Pool>], source: IpAddr) -> Option<IpAddr> {
    let IpAddr::V4(source) = source else { return None };
    let pool = pools.iter().find(|pool| pool.internal().contains(&source))?;
    Some(pool.address_of(source).into())
}

fn has(prefix: Ipv4Net, address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(address) if prefix.contains(&address))
}

/// An address by the rule that has it; `prefixes` says from which of a rule's prefixes to which.
fn exchanged(
    address: IpAddr,
    rules: &[Mapping],
    prefixes: impl Fn(&Mapping) -> (IpNet, IpNet),
) -> Result<IpAddr, Counter> {
    let all = || rules.iter().map(&prefixes);
    match all().find(|(from, _)| from.contains(&address)) {
        Some((_, to)) => Ok(host_of(address, to)),
        None if all().any(|(_, to)| to.contains(&address)) => Err(Counter::NatNoMapping),
        None => Ok(address),
    }
}

/// The host of `prefix` that has the same number as `address` in its own prefix of that length.
fn host_of(address: IpAddr, prefix: IpNet) -> IpAddr {
    match (address, prefix) {
        (IpAddr::V4(address), IpNet::V4(prefix)) => {
            let host = address.to_bits() & prefix.hostmask().to_bits();
            Ipv4Addr::from_bits(prefix.network().to_bits() | host).into()
        }
        (IpAddr::V6(address), IpNet::V6(prefix)) => {
            let host = address.to_bits() & prefix.hostmask().to_bits();
            Ipv6Addr::from_bits(prefix.network().to_bits() | host).into()
        }
        _ => address, // of another family than the rule, which therefore does not have it
    }
}

#[cfg(test)]
mod tests;
