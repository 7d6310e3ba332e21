//! What passes through a gateway besides its own network: the networks that use it by a peering (gateway transit), and the sites behind its other connections. One place says it for the
//! selectors of connections, for what leads from one network to another, and for what a peer is told of this side.

use std::collections::BTreeMap;

use ipnet::IpNet;

use crate::connection::Connection;
use crate::local_network_gateway::LocalNetworkGateway;
use crate::name::Name;
use crate::network::VirtualNetwork;
use crate::peering::VirtualNetworkPeering;
use crate::prefix::{overlap, within};
use crate::report::{Located, Report};
use crate::shelf::Shelf;
use crate::{Config, selectors};

/// The networks that use the gateway of the network `hub`.
pub(crate) fn spokes<'a>(
    hub: &'a Name,
    networks: &'a BTreeMap<Name, VirtualNetwork>,
    peerings: &'a BTreeMap<Name, VirtualNetworkPeering>,
) -> impl Iterator<Item = &'a VirtualNetwork> {
    let users =
        peerings.values().filter(move |one| one.use_remote_gateways && one.remote_virtual_network == *hub);
    users.filter_map(move |peering| networks.get(&peering.virtual_network))
}

/// The prefixes that a gateway of the network `hub` serves: the network's, and those of the networks that use the gateway.
pub(crate) fn served(
    hub: &VirtualNetwork,
    networks: &BTreeMap<Name, VirtualNetwork>,
    peerings: &BTreeMap<Name, VirtualNetworkPeering>,
) -> Vec<IpNet> {
    let spokes = spokes(&hub.name, networks, peerings);
    std::iter::once(hub).chain(spokes).flat_map(|network| network.address_space.iter().copied()).collect()
}

/// What is known to be behind a connection, as its network knows it. A default route says nothing of that.
pub(crate) fn behind<'a>(
    connection: &'a Connection,
    peer: &LocalNetworkGateway,
) -> impl Iterator<Item = IpNet> + use<'a> {
    let sites = connection.nat.site_prefixes(&peer.prefixes);
    sites.into_iter().chain(connection.named_prefixes()).filter(|prefix| prefix.prefix_len() > 0)
}

/// A prefix of a connection's own selectors that is not of what its gateway serves. It may be a site's behind another connection.
pub(crate) struct Stranger {
    pub(crate) connection: Option<Name>,
    pub(crate) gateway: Name,
    pub(crate) prefix: Located<IpNet>,
    /// Whose prefixes it is not within.
    pub(crate) served_name: &'static str,
}

/// Reports each prefix that no site of its gateway has, unless a connection that may lead to one is broken.
pub(crate) fn check_strangers(
    strangers: &[Stranger],
    connections: &Shelf<Connection>,
    peers: &Shelf<LocalNetworkGateway>,
    report: &mut Report<'_>,
) {
    for Stranger { connection, gateway, prefix: Located { value: prefix, place }, served_name } in strangers {
        let others = connections.sound().values();
        let others =
            others.filter(|other| other.gateway == *gateway && Some(&other.name) != connection.as_ref());
        let sites: Vec<IpNet> =
            others.filter_map(|other| Some(behind(other, other.peer(peers.sound())?))).flatten().collect();
        if connections.is_complete() && !within(*prefix, &sites) {
            let problem = format!(
                "{prefix} is not within {served_name}, nor behind another connection of \"{gateway}\""
            );
            report.error(place, problem, "take a part of that, or extend that");
        }
    }
}

impl Config {
    /// The prefixes that the gateway of `connection`, one of this configuration, serves, as the connection's peer knows them: its network's, and those of the networks that
    /// use it by a peering.
    ///
    /// # Panics
    /// If `connection` is of another configuration.
    #[must_use]
    pub(crate) fn prefixes_served(&self, connection: &Connection) -> Vec<IpNet> {
        let network = self.network_of(connection);
        connection.nat.network_prefixes(&served(network, &self.virtual_networks, &self.peerings))
    }

    /// The prefixes on our side that `connection`, one of this configuration, carries, as its peer knows them: those that its selectors name, and where these say
    /// everything, what its gateway serves and the sites that the peer reaches through it.
    ///
    /// # Panics
    /// If `connection` is of another configuration.
    #[must_use]
    pub fn prefixes_carried(&self, connection: &Connection) -> Vec<IpNet> {
        let mut all = self.prefixes_served(connection);
        all.extend(self.sites_reached(connection));
        selectors::named(&connection.traffic_selectors.local, &all)
    }

    /// What is behind the other connections of the gateway, as far as their selectors let this one's peer through. Nothing of what the peer has itself: its own way there is
    /// the shorter one.
    fn sites_reached(&self, connection: &Connection) -> Vec<IpNet> {
        let own: Vec<IpNet> =
            self.prefixes_behind(connection).into_iter().chain(connection.named_prefixes()).collect();
        let is_own = |site: IpNet| own.iter().any(|own| own.prefix_len() > 0 && overlap(*own, site));
        let others = self.connections.values().filter(|other| {
            // The far network of this appliance knows of no site here.
            other.gateway == connection.gateway
                && other.name != connection.name
                && other.remote_gateway().is_none()
        });
        let lets_through = |other: &Connection, site: IpNet| {
            let meet = |selectors: &[IpNet], prefix: IpNet| selectors.iter().any(|one| overlap(*one, prefix));
            let policies = other.traffic_selectors.policies();
            policies
                .iter()
                .any(|policy| own.iter().any(|own| meet(&policy.local, *own)) && meet(&policy.remote, site))
        };
        let mut reached: Vec<IpNet> = Vec::new();
        for other in others {
            let sites = behind(other, self.peer_of(other))
                .filter(|site| lets_through(other, *site) && !is_own(*site));
            reached.extend(sites);
        }
        largest(reached)
    }
}

/// Without those that are in another one.
fn largest(mut prefixes: Vec<IpNet>) -> Vec<IpNet> {
    prefixes.sort_by_key(|prefix| (prefix.prefix_len(), *prefix));
    let mut kept: Vec<IpNet> = Vec::new();
    for prefix in prefixes {
        if !within(prefix, &kept) {
            kept.push(prefix);
        }
    }
    kept.sort_unstable();
    kept
}
