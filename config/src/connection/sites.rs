//! Which connection leads to which site. A prefix leads into one connection, unless several are ways to one site: then they lead to the same prefixes, and each
//! says by its `routing_weight` what part of the flows is its own. So a prefix that is listed twice by mistake stays an error.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use ipnet::IpNet;

use super::{Choice as _, ConnectionType, Nat};
use crate::document::Section;
use crate::local_network_gateway::LocalNetworkGateway;
use crate::name::Name;
use crate::network::VirtualNetwork;
use crate::prefix::taken_by;
use crate::report::{Place, Report};

/// A connection as a way to a site.
pub(super) struct Way<'a> {
    pub(super) connection: &'a Name,
    pub(super) connection_type: ConnectionType,
    pub(super) peer: &'a LocalNetworkGateway,
    pub(super) nat: &'a Nat,
    pub(super) routing_weight: Option<u16>,
}

/// The sites that the connections read so far lead to.
#[derive(Default)]
pub(super) struct Sites {
    sites: Vec<Site>,
    /// By network and prefix, as the network knows it, the position of its site.
    of: BTreeMap<(Name, IpNet), usize>,
}

/// A site, by the first connection to it.
struct Site {
    connection: Name,
    connection_type: ConnectionType,
    connections: usize,
    prefixes: BTreeSet<IpNet>,
    nat: Nat,
    is_shared: bool,
}

/// Reads `routing_weight`.
pub(super) fn routing_weight(
    section: &mut Section<'_>,
    connection_type: ConnectionType,
    report: &mut Report<'_>,
) -> Option<u16> {
    let is_there = section.has("routing_weight");
    let place = section.place_of("routing_weight");
    let weight = section.integer("routing_weight", WEIGHTS, *WEIGHTS.start(), report);
    if is_there && connection_type != ConnectionType::IPsec {
        let problem = format!("a connection of type {} has no routing_weight", connection_type.word());
        report.error(&place, problem, "leave it out: one connection leads from a network to another");
        return None;
    }
    is_there.then_some(weight)
}

impl Sites {
    /// Takes a connection's way to its site. Reports prefixes that a static route of the network takes from the tunnel (a default route may contain
    /// those), and prefixes that lead elsewhere already; a longer prefix of another site takes precedence over a shorter one.
    pub(super) fn lead(
        &mut self,
        network: &VirtualNetwork,
        way: &Way<'_>,
        place: &Place,
        report: &mut Report<'_>,
    ) {
        let prefixes: BTreeSet<IpNet> = way.nat.site_prefixes(&way.peer.prefixes).into_iter().collect();
        for prefix in &prefixes {
            if let Some(route) = taken_by(*prefix, &network.routes) {
                let problem = format!(
                    "the route to {route} of the network \"{}\" would take packets for {prefix} of \"{}\" past the tunnel, in clear",
                    network.name, way.peer.name
                );
                let remedy = "take the route out of the network, or the prefix (or that part of it) out of what is behind the peer";
                report.error(place, problem, remedy);
            }
        }
        let key = |prefix: &IpNet| (network.name.clone(), *prefix);
        let taken = prefixes.iter().find_map(|prefix| Some((*prefix, *self.of.get(&key(prefix))?)));
        if let Some((prefix, at)) = taken {
            let site = &mut self.sites[at];
            site.connections += 1;
            if let Err((problem, remedy)) = site.takes(way, &prefixes, prefix) {
                report.error(place, problem, remedy);
            }
            if site.prefixes == prefixes {
                return;
            }
        }
        for prefix in &prefixes {
            self.of.entry(key(prefix)).or_insert(self.sites.len());
        }
        self.sites.push(Site {
            connection: way.connection.clone(),
            connection_type: way.connection_type,
            connections: 1,
            prefixes,
            nat: way.nat.clone(),
            is_shared: way.routing_weight.is_some(),
        });
    }
}

impl Site {
    /// Whether another connection, which leads to `prefix` too, may be a way to this site.
    ///
    /// # Errors
    /// Problem and remedy.
    fn takes(
        &self,
        way: &Way<'_>,
        prefixes: &BTreeSet<IpNet>,
        prefix: IpNet,
    ) -> Result<(), (String, String)> {
        let other = &self.connection;
        let already = format!("{prefix} leads into the connection \"{other}\" already");
        let take_out = "take the prefix out of one of the two local network gateways";
        if [self.connection_type, way.connection_type] != [ConnectionType::IPsec; 2] {
            return Err((already, take_out.to_owned()));
        }
        if !(self.is_shared && way.routing_weight.is_some()) {
            let remedy = format!(
                "{take_out}, or give both connections a routing_weight if they are two ways to one site"
            );
            return Err((already, remedy));
        }
        if let Some(more) = self.prefixes.symmetric_difference(prefixes).next() {
            let problem = format!("{already}, and {more} into one of the two only");
            let remedy = format!("list the same prefixes at both ways to one site, or {take_out}");
            return Err((problem, remedy));
        }
        if !self.nat.names_the_same_as(way.nat) {
            let problem = format!("\"{other}\" leads to the same site by other NAT rules");
            return Err((problem, "name the same rules in both connections".to_owned()));
        }
        if self.connections > WAYS_MAX {
            let problem = format!(
                "\"{}\" is one way too many to the site of \"{other}\": there are {WAYS_MAX} at most",
                way.connection
            );
            return Err((problem, "leave connections out".to_owned()));
        }
        Ok(())
    }
}

/// Azure's bounds of routingWeight.
const WEIGHTS: RangeInclusive<u16> = 0..=32_000;
/// Connections to one site.
const WAYS_MAX: usize = 8;
