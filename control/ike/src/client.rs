//! Clients that get their address from us (RFC 7296, 2.19): many peers of one connection, each with a lease of its own.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use crate::config::ConnectionConfig;
use crate::environment::Instant;
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

/// A lease as it is kept for a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The connection of the clients.
    pub connection: ConnectionId,
    /// One of its pools' addresses.
    pub address: IpAddr,
    /// Whose it is; `None`: nobody's any more.
    pub user: Option<Identity>,
}

/// The addresses that clients have, and those that are kept for clients from before a restart, by connection.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    of: HashMap<ConnectionId, BTreeMap<IpAddr, Holder>>,
    last_ticket: u64,
    /// Until then nobody else gets what is kept. Afterwards, what nobody came back for is given away where nothing else is left.
    kept_until: Option<Instant>,
    /// What differs from what was told last.
    untold: BTreeSet<(ConnectionId, IpAddr)>,
}

/// Who has an address.
#[derive(Debug)]
struct Holder {
    user: Identity,
    /// Only the session with this number gives the address back. `None`: it is kept, and there is no session.
    ticket: Option<u64>,
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
    /// address of the earlier one, which is about to end, and whoever comes back after a restart that of the time before.
    pub(crate) fn take(
        &mut self,
        connection: ConnectionId,
        clients: &Clients,
        user: &Identity,
        is_ipv4: bool,
        wanted: Option<IpAddr>,
        now: Instant,
    ) -> Option<Leased> {
        let pools = || clients.pools.iter().filter(|pool| pool.first.is_ipv4() == is_ipv4);
        let is_ours = |address: &IpAddr| pools().any(|pool| pool.contains(*address));
        let taken = self.of.entry(connection).or_default();
        let of_family = || taken.iter().filter(|(address, _)| is_ours(address));
        let own = of_family().find(|(_, holder)| holder.user == *user);
        let sessions = of_family().filter(|(_, holder)| holder.ticket.is_some()).count();
        if own.is_none_or(|(_, holder)| holder.ticket.is_none()) && sessions >= clients.sessions_max {
            return None;
        }
        let own = own.map(|(address, _)| *address);
        let is_free = |address: &IpAddr| !taken.contains_key(address);
        let again = wanted.filter(|wanted| is_ours(wanted) && is_free(wanted));
        // A pool is looked through from its first address: as many steps as there are clients.
        let fresh = || pools().flat_map(Pool::addresses).find(is_free);
        let is_over = self.kept_until.is_none_or(|until| until <= now);
        let is_given_up = |holder: &Holder| holder.ticket.is_none() && is_over;
        let given_up = || of_family().find(|(_, holder)| is_given_up(holder)).map(|(address, _)| *address);
        let address = own.or(again).or_else(fresh).or_else(given_up)?;
        self.last_ticket += 1;
        let ticket = self.last_ticket;
        taken.insert(address, Holder { user: user.clone(), ticket: Some(ticket) });
        self.untold.insert((connection, address));
        Some(Leased { address, connection, ticket })
    }

    /// A session is over.
    pub(crate) fn give_back(&mut self, leased: Leased) {
        let Some(taken) = self.of.get_mut(&leased.connection) else { return };
        if taken.get(&leased.address).is_some_and(|holder| holder.ticket == Some(leased.ticket)) {
            taken.remove(&leased.address);
            self.untold.insert((leased.connection, leased.address));
        }
        if taken.is_empty() {
            self.of.remove(&leased.connection);
        }
    }

    /// Keeps the addresses that users had before a restart for them until `until`, as far as `clients` of the connection still have them.
    pub(crate) fn keep(
        &mut self,
        connection: ConnectionId,
        clients: Option<&Clients>,
        leases: impl IntoIterator<Item = (IpAddr, Identity)>,
        until: Instant,
    ) {
        self.kept_until = Some(until);
        let pools = clients.map_or(&[][..], |clients| clients.pools.as_slice());
        for (address, user) in leases {
            if pools.iter().any(|pool| pool.contains(address)) {
                let holder = Holder { user, ticket: None };
                self.of.entry(connection).or_default().entry(address).or_insert(holder);
            } else {
                self.untold.insert((connection, address));
            }
        }
    }

    /// Whom a connection's addresses are kept for is forgotten with it.
    pub(crate) fn forget(&mut self, connection: ConnectionId) {
        for address in self.of.remove(&connection).unwrap_or_default().into_keys() {
            self.untold.insert((connection, address));
        }
    }

    /// What is to be kept differently since the last call.
    pub(crate) fn take_changes(&mut self, now: Instant) -> Vec<Lease> {
        if self.kept_until.is_some_and(|until| until <= now) {
            // Another restart does not wait for those again.
            self.kept_until = None;
            let all =
                self.of.iter().flat_map(|(id, taken)| taken.iter().map(move |(at, who)| (*id, *at, who)));
            self.untold.extend(all.filter(|(.., who)| who.ticket.is_none()).map(|(id, at, _)| (id, at)));
        }
        // Nobody comes back as one who is unproven.
        let lasts = |holder: &&Holder| {
            (holder.ticket.is_some() || self.kept_until.is_some())
                && !matches!(holder.user, Identity::Claimed { .. })
        };
        let told = |(connection, address): (ConnectionId, IpAddr)| {
            let holder = self.of.get(&connection).and_then(|taken| taken.get(&address));
            Lease { connection, address, user: holder.filter(lasts).map(|holder| holder.user.clone()) }
        };
        std::mem::take(&mut self.untold).into_iter().map(told).collect()
    }

    /// The addresses that sessions of a connection have, and whose they are.
    pub(crate) fn of(&self, connection: ConnectionId) -> impl Iterator<Item = (IpAddr, &Identity)> {
        let taken = self.of.get(&connection).into_iter().flatten();
        let has_session = |(_, holder): &(&IpAddr, &Holder)| holder.ticket.is_some();
        taken.filter(has_session).map(|(address, holder)| (*address, &holder.user))
    }

    /// How many sessions have.
    pub(crate) fn len(&self) -> usize {
        let holders = self.of.values().flat_map(BTreeMap::values);
        holders.filter(|holder| holder.ticket.is_some()).count()
    }
}

/// A connection as it is for the client that has these addresses: nothing else may come from it, and nothing else goes to it. A client without any gets nothing through.
pub(crate) fn narrowed(config: &Arc<ConnectionConfig>, lease: &[Leased]) -> Arc<ConnectionConfig> {
    if config.clients.is_none() {
        return Arc::clone(config);
    }
    let mut own = ConnectionConfig::clone(config);
    for child in &mut own.children {
        child.remote_selectors = lease.iter().map(|leased| TrafficSelector::host(leased.address)).collect();
    }
    Arc::new(own)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const OF: ConnectionId = ConnectionId(1);
    const NOW: Instant = Instant::from_epoch(Duration::from_secs(100));

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn clients(sessions_max: usize) -> Clients {
        let pools = [("10.9.0.1", "10.9.0.2"), ("10.9.1.9", "10.9.1.9"), ("fd00::5", "fd00::6")];
        let pools = pools.map(|(first, last)| Pool { first: ip(first), last: ip(last) });
        Clients { pools: pools.to_vec(), dns: Vec::new(), sessions_max }
    }

    fn take(leases: &mut Leases, user: &str, wanted: Option<IpAddr>) -> Option<Leased> {
        leases.take(OF, &clients(9), &user_of(user), true, wanted, NOW)
    }

    fn user_of(name: &str) -> Identity {
        Identity::Fqdn(name.to_owned())
    }

    fn after(seconds: u64) -> Instant {
        NOW + Duration::from_secs(seconds)
    }

    /// What is to be kept, a word each.
    fn changes(leases: &mut Leases, now: Instant) -> Vec<String> {
        let user = |lease: &Lease| lease.user.as_ref().map_or("nobody".to_owned(), ToString::to_string);
        let word = |lease: Lease| format!("{} {}", lease.address, user(&lease));
        leases.take_changes(now).into_iter().map(word).collect()
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
        let user = user_of("d");
        let other = leases.take(ConnectionId(2), &clients(9), &user, true, None, NOW).unwrap();
        assert_eq!(other.address, ip("10.9.0.1"), "another connection's");
        leases.give_back(first);
        assert_eq!(
            take(&mut leases, "d", Some(ip("192.0.2.1"))).unwrap().address,
            ip("10.9.0.1"),
            "not ours to give"
        );
        assert_eq!(leases.take(OF, &clients(9), &user, false, None, NOW).unwrap().address, ip("fd00::5"));
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
        let mut take = |user: u8| leases.take(OF, &clients, &Identity::KeyId(vec![user]), true, None, NOW);
        assert_eq!((0..5).filter_map(&mut take).count(), 2);
        assert!(take(0).is_some(), "one of those two");
    }

    #[test]
    fn after_a_restart_users_get_what_they_had_and_others_get_it_last_and_late() {
        let mut leases = Leases::default();
        let of = [("10.9.0.1", "a"), ("10.9.0.2", "b"), ("10.8.0.1", "c")];
        let of = of.map(|(address, user)| (ip(address), user_of(user)));
        leases.keep(OF, Some(&clients(9)), of, after(60));
        assert_eq!(changes(&mut leases, NOW), ["10.8.0.1 nobody"], "it is in no pool any more");
        assert_eq!(leases.len(), 0, "there is no session");
        assert_eq!(take(&mut leases, "d", Some(ip("10.9.0.2"))).unwrap().address, ip("10.9.1.9"));
        assert_eq!(take(&mut leases, "e", None), None, "the others may come back");
        assert_eq!(take(&mut leases, "b", None).unwrap().address, ip("10.9.0.2"));
        assert_eq!(changes(&mut leases, after(59)), ["10.9.0.2 b", "10.9.1.9 d"]);
        assert_eq!(changes(&mut leases, after(60)), ["10.9.0.1 nobody"], "not for another restart");
        let mut late = |user: &str| {
            let taken = leases.take(OF, &clients(9), &user_of(user), true, None, after(60));
            taken.map(|leased| leased.address)
        };
        assert_eq!((late("e"), late("a")), (Some(ip("10.9.0.1")), None), "no other one was left");
    }

    #[test]
    fn late_user_gets_what_he_had_if_it_was_not_needed() {
        let mut leases = Leases::default();
        leases.keep(OF, Some(&clients(9)), [(ip("10.9.0.1"), user_of("a"))], NOW);
        assert_eq!(take(&mut leases, "b", None).unwrap().address, ip("10.9.0.2"));
        assert_eq!(take(&mut leases, "a", None).unwrap().address, ip("10.9.0.1"));
    }

    #[test]
    fn what_comes_and_goes_is_told_once_and_only_of_users_that_can_come_back() {
        let mut leases = Leases::default();
        let a = take(&mut leases, "a", None).unwrap();
        let nobody = Identity::Claimed { name: "x".into(), session: 1 };
        leases.take(OF, &clients(9), &nobody, true, None, NOW).unwrap();
        assert_eq!(changes(&mut leases, NOW), ["10.9.0.1 a", "10.9.0.2 nobody"]);
        assert!(changes(&mut leases, NOW).is_empty());
        leases.give_back(a);
        assert_eq!(changes(&mut leases, NOW), ["10.9.0.1 nobody"]);
        leases.forget(OF);
        assert_eq!((changes(&mut leases, NOW), leases.len()), (vec!["10.9.0.2 nobody".to_owned()], 0));
    }
}
