//! The sessions of dynamic NAT rules: one pool for as long as a rule is configured with the same prefixes for the same hosts. `reconcile` has them follow a configuration
//! and puts them into the workers' snapshot; whatever else changes, sessions go on. The gateway's turns have them swept a slice at a time.
//!
//! A network that goes out with the address that a peer assigns is hidden in the same way: one pool for as long as the peer assigns the same address.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use crossgate_config::{Config, Connection, Name, NatMode, NatRule, NatType};
use crossgate_dataplane::nat::{Mapping, Nat, Pool, Sweep, Usage};
use crossgate_dataplane::selector::{AddressRange, Selectors};
use crossgate_ike::event::ConnectionId;
use ipnet::{IpNet, Ipv4Net};

/// Places that are looked at in one turn: a fraction of a millisecond's work.
const SLICE_PLACES: usize = 8192;
/// How long a turn with a slice is followed by turns without.
const SLICE_EVERY_US: u64 = 10_000;
/// How long a pool is left alone after a sweep.
const SWEEP_EVERY_US: u64 = 2_000_000;

/// Every IPv4 host: what is hidden behind an address that a peer assigns.
const EVERY_HOST: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0);

/// The pools in use, by the names of their rules.
#[derive(Debug, Clone, Default)]
pub struct NatPools {
    of: BTreeMap<Name, (Hosts, Kept)>,
    /// Those of the addresses that peers assign, by the end of a connection that has them.
    assigned: BTreeMap<(ConnectionId, Ipv4Addr), Kept>,
    /// When the next slice is due.
    due_us: u64,
}

/// A pool, and what is known of it.
#[derive(Debug, Clone)]
struct Kept {
    pool: Arc<Pool>,
    /// When its next sweep is due; the one under way; what the last one has seen.
    due_us: u64,
    sweep: Sweep,
    usage: Usage,
}

/// Whom a rule hides: addresses alone do not tell, since many networks and sites have the same.
#[derive(Debug, Clone)]
struct Hosts {
    mode: NatMode,
    gateway: Name,
    network: Name,
    /// Of an ingress rule: the local network gateways, two where a site has two ways.
    sites: BTreeSet<Name>,
}

impl Hosts {
    /// Whether sessions of the one may go on as the other's.
    fn are(&self, other: &Self) -> bool {
        let is_of_the_same_site = match self.mode {
            NatMode::EgressSnat => true,
            NatMode::IngressSnat => !self.sites.is_disjoint(&other.sites),
        };
        let where_they_are = |hosts: &Self| (hosts.mode, hosts.gateway.clone(), hosts.network.clone());
        where_they_are(self) == where_they_are(other) && is_of_the_same_site
    }
}

impl NatPools {
    /// Those for `config`: the present ones of rules that stay the same, and new ones, which allocates.
    #[must_use]
    pub fn following(&self, config: &Config) -> Self {
        self.with(config, |rule| {
            let (internal, external) = prefixes(rule);
            made(internal, external)
        })
    }

    /// The same to look at: what is new allocates nothing to speak of, and no packet can use it.
    #[must_use]
    pub fn planned(&self, config: &Config) -> Self {
        self.with(config, |rule| {
            let (internal, external) = prefixes(rule);
            Arc::new(Pool::stand_in(internal, external))
        })
    }

    /// `new` makes the pool of a rule that has none.
    fn with(&self, config: &Config, new: impl Fn(&NatRule) -> Arc<Pool>) -> Self {
        let mut rules: BTreeMap<&Name, (&NatRule, Hosts)> = BTreeMap::new();
        for connection in config.connections().values() {
            for rule in connection.nat.ingress.iter().chain(&connection.nat.egress).filter(is_dynamic) {
                let (_, hosts) = rules.entry(&rule.name).or_insert_with(|| {
                    let network = config.network_of(connection).name.clone();
                    let gateway = rule.gateway.clone();
                    (rule, Hosts { mode: rule.mode, gateway, network, sites: BTreeSet::new() })
                });
                hosts.sites.extend(connection.local_network_gateway().cloned());
            }
        }
        let kept = |(name, (rule, hosts)): (&Name, (&NatRule, Hosts))| {
            let present = self.of.get(name).filter(|(present, kept)| {
                present.are(&hosts)
                    && IpNet::V4(kept.pool.internal()) == rule.internal_mapping
                    && IpNet::V4(kept.pool.external()) == rule.external_mapping
            });
            let kept = present.map_or_else(|| Kept::new(new(rule)), |(_, kept)| kept.clone());
            (name.clone(), (hosts, kept))
        };
        let assigned = self.assigned.clone();
        Self { of: rules.into_iter().map(kept).collect(), assigned, due_us: self.due_us }
    }

    /// The NAT rules of a connection that is configured, for the data plane.
    #[must_use]
    pub fn rules(&self, connection: &Connection) -> Nat {
        let mapping = |rule: &NatRule| {
            Mapping::new(rule.internal_mapping, rule.external_mapping)
                .expect("the mappings of a checked rule are of one family and length")
        };
        let mappings = |rules: &[NatRule]| {
            rules.iter().filter(|rule| rule.nat_type == NatType::Static).map(mapping).collect()
        };
        // Without its pool, a rule would let the hosts' own addresses out.
        let pool = |rule: &NatRule| {
            Arc::clone(self.of(&rule.name).expect("each dynamic rule that a connection names has a pool"))
        };
        let pools = |rules: &[NatRule]| rules.iter().filter(is_dynamic).map(pool).collect();
        let rules = &connection.nat;
        Nat {
            egress: mappings(&rules.egress),
            ingress: mappings(&rules.ingress),
            egress_pools: pools(&rules.egress),
            ingress_pools: pools(&rules.ingress),
        }
    }

    /// The rules of a connection's end for one of its tunnels: where that is for an address that the peer assigned, all that goes in is hidden behind it.
    #[must_use]
    pub fn of_tunnel(&self, rules: &Nat, end: ConnectionId, selectors: &Selectors) -> Nat {
        let host = |range: &AddressRange| match range {
            AddressRange::V4(range) if range.start() == range.end() => Some(*range.start()),
            _ => None,
        };
        let hosts = selectors.local.iter().filter_map(|selector| host(&selector.addresses));
        let mut nat = rules.clone();
        let hidden = hosts.filter_map(|host| self.assigned.get(&(end, host)));
        // A selector for each protocol names its host again.
        for kept in hidden {
            if !nat.egress_pools.contains(&kept.pool) {
                nat.egress_pools.push(Arc::clone(&kept.pool));
            }
        }
        nat
    }

    /// Makes room for the sessions behind an address that a peer assigned, unless there is some: those that are under way go on. The end's other addresses that no
    /// tunnel has any more (`is_used`) are given up.
    pub fn assign(&mut self, end: ConnectionId, address: Ipv4Addr, is_used: impl Fn(Ipv4Addr) -> bool) {
        self.assigned.retain(|(of, other), _| *of != end || *other == address || is_used(*other));
        let new = || Kept::new(made(EVERY_HOST, address.into()));
        self.assigned.entry((end, address)).or_insert_with(new);
    }

    /// Gives up what peers assigned to ends that ask for nothing any more.
    pub fn retain_assigned(&mut self, asks: impl Fn(ConnectionId) -> bool) {
        self.assigned.retain(|(end, _), _| asks(*end));
    }

    /// How full the pool behind an address that a peer assigned was when it was last swept, some seconds ago. Costs nothing.
    #[must_use]
    pub fn usage_of_assigned(&self, end: ConnectionId, address: Ipv4Addr) -> Option<Usage> {
        self.assigned.get(&(end, address)).map(Kept::usage)
    }

    /// That of a dynamic rule which some connection names.
    #[must_use]
    pub fn of(&self, rule: &Name) -> Option<&Arc<Pool>> {
        self.of.get(rule).map(|(_, kept)| &kept.pool)
    }

    /// How full a rule's pool was when it was last swept, some seconds ago. Costs nothing.
    #[must_use]
    pub fn usage(&self, rule: &Name) -> Option<Usage> {
        self.of.get(rule).map(|(_, kept)| kept.usage())
    }

    /// Sweeps a slice of the pool that has waited for the longest, if it is time, at that time of the workers' clock in microseconds: gives back what sessions have held
    /// that are over.
    pub fn sweep_some(&mut self, now_us: u64) {
        if now_us < self.due_us {
            return;
        }
        let all = self.of.values_mut().map(|(_, kept)| kept).chain(self.assigned.values_mut());
        let longest = all.min_by_key(|kept| kept.due_us);
        let Some(kept) = longest.filter(|kept| kept.due_us <= now_us) else { return };
        if let Some(usage) = kept.pool.sweep(&mut kept.sweep, SLICE_PLACES, now_us) {
            kept.usage = usage;
            kept.due_us = now_us.saturating_add(SWEEP_EVERY_US);
        }
        self.due_us = now_us.saturating_add(SLICE_EVERY_US);
    }
}

impl Kept {
    fn new(pool: Arc<Pool>) -> Self {
        Self { pool, due_us: 0, sweep: Sweep::default(), usage: Usage::default() }
    }

    fn usage(&self) -> Usage {
        self.pool.counted(self.usage)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "for filters of iterators over references")]
fn is_dynamic(rule: &&NatRule) -> bool {
    rule.nat_type == NatType::Dynamic
}

fn prefixes(rule: &NatRule) -> (Ipv4Net, Ipv4Net) {
    match (rule.internal_mapping, rule.external_mapping) {
        (IpNet::V4(internal), IpNet::V4(external)) => (internal, external),
        _ => unreachable!("a checked dynamic rule is for IPv4"),
    }
}

fn made(internal: Ipv4Net, external: Ipv4Net) -> Arc<Pool> {
    let mut seed = [0; 8];
    getrandom::fill(&mut seed).expect("the operating system gives randomness");
    let pool = Pool::new(internal, external, u64::from_ne_bytes(seed));
    Arc::new(pool.expect("neither a checked dynamic rule nor a peer has more external addresses than a pool"))
}

#[cfg(test)]
mod tests;
