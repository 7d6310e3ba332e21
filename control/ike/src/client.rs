//! Clients that get their address from us (RFC 7296, 2.19): many peers of one connection, each with a lease of its own.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use crate::config::ConnectionConfig;
use crate::event::ConnectionId;
use crate::identity::Identity;
use crate::selector::TrafficSelector;

/// What clients of a connection get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clients {
    /// Where their addresses come from.
    pub pools: Vec<Pool>,
    /// Name servers that they are told.
    pub dns: Vec<IpAddr>,
    /// Most of them at once.
    pub sessions_max: usize,
}

/// Addresses in a row, first and last of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// The first.
    pub first: IpAddr,
    /// The last.
    pub last: IpAddr,
}

impl Pool {
    fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.first.is_ipv4()
            && (number(self.first)..=number(self.last)).contains(&number(address))
    }

    fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let is_ipv4 = self.first.is_ipv4();
        (number(self.first)..=number(self.last)).map(move |number| address(number, is_ipv4))
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => address.into(),
    }
}

fn address(number: u128, is_ipv4: bool) -> IpAddr {
    match u32::try_from(number) {
        Ok(number) if is_ipv4 => IpAddr::V4(Ipv4Addr::from(number)),
        _ => IpAddr::V6(Ipv6Addr::from(number)),
    }
}

/// The addresses that clients have, by connection.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    of: HashMap<ConnectionId, BTreeMap<IpAddr, Holder>>,
    last_ticket: u64,
}

/// Who has an address.
#[derive(Debug)]
struct Holder {
    user: Identity,
    /// Only the session with this number gives the address back.
    ticket: u64,
}

/// An address that a session has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leased {
    pub(crate) address: IpAddr,
    connection: ConnectionId,
    ticket: u64,
}

impl Leases {
    /// An address of a family for a user who would like to have `wanted` again; none if all are taken. A user has one session: whoever logs in anew takes over the
    /// address of the earlier one, which is about to end.
    pub(crate) fn take(
        &mut self,
        connection: ConnectionId,
        clients: &Clients,
        user: &Identity,
        is_ipv4: bool,
        wanted: Option<IpAddr>,
    ) -> Option<Leased> {
        let taken = self.of.entry(connection).or_default();
        let of_family = || taken.iter().filter(|(address, _)| address.is_ipv4() == is_ipv4);
        let own = of_family().find(|(_, holder)| holder.user == *user).map(|(address, _)| *address);
        if own.is_none() && of_family().count() >= clients.sessions_max {
            return None;
        }
        let pools = || clients.pools.iter().filter(|pool| pool.first.is_ipv4() == is_ipv4);
        let is_free = |address: &IpAddr| !taken.contains_key(address);
        let again = wanted.filter(|wanted| pools().any(|pool| pool.contains(*wanted)) && is_free(wanted));
        // A pool is looked through from its first address: as many steps as there are clients.
        let address =
            own.or(again).or_else(|| pools().flat_map(Pool::addresses).find(|address| is_free(address)))?;
        self.last_ticket += 1;
        let ticket = self.last_ticket;
        taken.insert(address, Holder { user: user.clone(), ticket });
        Some(Leased { address, connection, ticket })
    }

    /// A session is over.
    pub(crate) fn give_back(&mut self, leased: Leased) {
        let Some(taken) = self.of.get_mut(&leased.connection) else { return };
        if taken.get(&leased.address).is_some_and(|holder| holder.ticket == leased.ticket) {
            taken.remove(&leased.address);
        }
        if taken.is_empty() {
            self.of.remove(&leased.connection);
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.of.values().map(BTreeMap::len).sum()
    }
}

/// A connection as it is for the client that has these addresses: nothing else may come from it, and nothing else goes to it. A client without any gets nothing through.
pub(crate) fn narrowed(config: &Arc<ConnectionConfig>, lease: &[Leased]) -> Arc<ConnectionConfig> {
    if config.clients.is_none() {
        return Arc::clone(config);
    }
    let host = |leased: &Leased| {
        let bits = if leased.address.is_ipv4() { 32 } else { 128 };
        TrafficSelector::from_prefix(leased.address, bits).expect("a host is a prefix")
    };
    let mut own = ConnectionConfig::clone(config);
    for child in &mut own.children {
        child.remote_selectors = lease.iter().map(host).collect();
    }
    Arc::new(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OF: ConnectionId = ConnectionId(1);

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn clients(sessions_max: usize) -> Clients {
        let pools = [("10.9.0.1", "10.9.0.2"), ("10.9.1.9", "10.9.1.9"), ("fd00::5", "fd00::6")];
        let pools = pools.map(|(first, last)| Pool { first: ip(first), last: ip(last) });
        Clients { pools: pools.to_vec(), dns: Vec::new(), sessions_max }
    }

    fn take(leases: &mut Leases, user: &str, wanted: Option<IpAddr>) -> Option<Leased> {
        leases.take(OF, &clients(9), &Identity::Fqdn(user.to_owned()), true, wanted)
    }

    #[test]
    fn each_address_is_leased_once_until_it_comes_back() {
        let mut leases = Leases::default();
        let first = take(&mut leases, "a", None).unwrap();
        assert_eq!(first.address, ip("10.9.0.1"));
        assert_eq!(take(&mut leases, "b", Some(ip("10.9.1.9"))).unwrap().address, ip("10.9.1.9"));
        assert_eq!(
            take(&mut leases, "c", Some(ip("10.9.1.9"))).unwrap().address,
            ip("10.9.0.2"),
            "it is taken"
        );
        assert_eq!(take(&mut leases, "d", None), None);
        let user = Identity::Fqdn("d".to_owned());
        let other = leases.take(ConnectionId(2), &clients(9), &user, true, None).unwrap();
        assert_eq!(other.address, ip("10.9.0.1"), "another connection's");
        leases.give_back(first);
        assert_eq!(
            take(&mut leases, "d", Some(ip("192.0.2.1"))).unwrap().address,
            ip("10.9.0.1"),
            "not ours to give"
        );
        assert_eq!(leases.take(OF, &clients(9), &user, false, None).unwrap().address, ip("fd00::5"));
        assert_eq!(leases.len(), 5);
    }

    #[test]
    fn a_user_who_logs_in_anew_takes_the_address_along_and_the_earlier_session_gives_nothing_back() {
        let mut leases = Leases::default();
        let earlier = take(&mut leases, "a", None).unwrap();
        let later = take(&mut leases, "a", Some(ip("10.9.1.9"))).unwrap();
        assert_eq!((later.address, leases.len()), (earlier.address, 1));
        leases.give_back(earlier);
        assert_eq!(leases.len(), 1);
        assert_ne!(take(&mut leases, "b", None).unwrap().address, later.address, "it is in use");
        leases.give_back(later);
        assert_eq!(leases.len(), 1);
    }

    #[test]
    fn no_more_clients_than_the_size_allows() {
        let (mut leases, clients) = (Leases::default(), clients(2));
        let mut take = |user: u8| leases.take(OF, &clients, &Identity::KeyId(vec![user]), true, None);
        assert_eq!((0..5).filter_map(&mut take).count(), 2);
        assert!(take(0).is_some(), "one of those two");
    }
}
