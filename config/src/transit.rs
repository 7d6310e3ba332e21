//! What passes through a gateway besides its own network: the networks that use it by a peering (gateway transit), and the sites behind its other connections. One place says it for the
//! selectors of connections, for what leads from one network to another, and for what a peer is told of this side.

use std::collections::BTreeMap;

use ipnet::IpNet;

use crate::Config;
use crate::connection::Connection;
use crate::local_network_gateway::LocalNetworkGateway;
use crate::name::Name;
use crate::network::VirtualNetwork;
use crate::peering::VirtualNetworkPeering;
use crate::prefix::within;
use crate::report::{Located, Report};
use crate::shelf::Shelf;

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
}
