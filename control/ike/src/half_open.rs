//! IKE SAs that a peer began and nobody has authenticated yet: found by what a repeated IKE_SA_INIT shows, counted by where they come from, so that one source cannot
//! take the places of all (RFC 7296, 2.6; RFC 8019, 4.2). Owned by the endpoint; `exchange/init/responder.rs` asks.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use crate::config::Version;
use crate::event::IkeId;
use crate::wire::IkeSpi;

/// What a first message shows: where it came from, and the SPI of its initiator.
pub(crate) type FirstMessage = (SocketAddr, IkeSpi);

/// The half-open IKE SAs of an endpoint.
#[derive(Debug, Default)]
pub(crate) struct HalfOpen {
    sas: HashMap<FirstMessage, (IkeId, Version)>,
    /// IKEv1 has no cookies that prove where a message came from: what is forged there must not count against an IKEv2 peer.
    sources: HashMap<(IpAddr, Version), usize>,
}

impl HalfOpen {
    pub(crate) fn insert(&mut self, first: FirstMessage, version: Version, ike: IkeId) {
        if self.sas.insert(first, (ike, version)).is_none() {
            *self.sources.entry((source(first.0.ip()), version)).or_default() += 1;
        }
    }

    /// Does nothing if it is not there.
    pub(crate) fn remove(&mut self, first: &FirstMessage) {
        let Some((_, version)) = self.sas.remove(first) else { return };
        let key = (source(first.0.ip()), version);
        if let Some(count) = self.sources.get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                self.sources.remove(&key);
            }
        }
    }

    pub(crate) fn get(&self, first: &FirstMessage) -> Option<IkeId> {
        self.sas.get(first).map(|(ike, _)| *ike)
    }

    pub(crate) fn len(&self) -> usize {
        self.sas.len()
    }

    /// How many of a version come from where `address` is.
    pub(crate) fn from(&self, address: IpAddr, version: Version) -> usize {
        self.sources.get(&(source(address), version)).copied().unwrap_or(0)
    }

    /// Sources that have any, each counted once for each version.
    pub(crate) fn sources(&self) -> usize {
        self.sources.len()
    }

    pub(crate) fn ikes(&self) -> impl Iterator<Item = IkeId> + '_ {
        self.sas.values().map(|(ike, _)| *ike)
    }
}

/// What counts as one source: an IPv4 address, or the /64 of an IPv6 address, all of which one host may use.
pub(crate) fn source(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (!0 << 64))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_ipv4_addresses_and_ipv6_subnets_and_are_forgotten_with_their_last() {
        let mut table = HalfOpen::default();
        let first = |address: &str, spi| (SocketAddr::new(address.parse().unwrap(), 500), IkeSpi(spi));
        let all = [
            first("192.0.2.1", 1),
            first("192.0.2.1", 2),
            first("192.0.2.2", 1),
            first("2001:db8::1", 1),
            first("2001:db8::2:0:0:2", 1),
            first("2001:db8:0:1::1", 1),
        ];
        for (number, message) in (1..).zip(all) {
            table.insert(message, Version::V2, IkeId(number));
            table.insert(message, Version::V2, IkeId(number));
        }
        let from = |table: &HalfOpen, address: &str| table.from(address.parse().unwrap(), Version::V2);
        assert_eq!((table.len(), table.sources()), (6, 4));
        assert_eq!((from(&table, "192.0.2.1"), from(&table, "2001:db8::99")), (2, 2));
        table.insert(first("192.0.2.1", 3), Version::V1, IkeId(9));
        assert_eq!((table.len(), from(&table, "192.0.2.1")), (7, 2), "each version has places of its own");
        table.remove(&first("192.0.2.1", 3));
        for message in all {
            table.remove(&message);
            table.remove(&message);
        }
        assert_eq!((table.len(), table.sources(), from(&table, "192.0.2.1")), (0, 0, 0));
    }
}
