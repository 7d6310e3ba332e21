//! Connections between two virtual networks (`Vnet2Vnet`): what is behind the peer comes from the other network. `remote_gateway` names a gateway of this
//! file, or is the public address of one on another appliance, whose address space is learned when the tunnel is negotiated.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use toml::de::DeValue;

use super::{Around, Choice as _, Connection, ConnectionMode, ConnectionType};
use crate::document::Section;
use crate::gateway::{VirtualNetworkGateway, VpnType};
use crate::local_network_gateway::{LocalNetworkGateway, PeerAddress};
use crate::name::Name;
use crate::network::VirtualNetwork;
use crate::policy::agreement;
use crate::prefix::{StaticRoute, overlap, taken_by};
use crate::report::{Located, Place, Report};
use crate::selectors::SelectorPolicy;
use crate::shelf::Shelf;
use crate::transit;
use crate::value::{Value, Wrong};

/// The gateway at the other end of a connection between networks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RemoteGateway {
    /// One of this file.
    Named(Name),
    /// One of another appliance, by its public address.
    At(IpAddr),
}

/// Whom a connection leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remote {
    /// A local network gateway, by name.
    LocalNetworkGateway(Name),
    /// A gateway of another network.
    Gateway {
        /// Which.
        reference: RemoteGateway,
        /// The same as a peer. Without prefixes if they are learned.
        described: Arc<LocalNetworkGateway>,
    },
}

impl Value for RemoteGateway {
    fn read(value: &DeValue<'_>) -> Result<Self, Wrong> {
        IpAddr::read(value).map(Self::At).or_else(|_| Name::read(value).map(Self::Named))
    }
}

impl fmt::Display for RemoteGateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => name.fmt(f),
            Self::At(address) => address.fmt(f),
        }
    }
}

impl Connection {
    /// The local network gateway that it leads to; `None` between networks.
    #[must_use]
    pub fn local_network_gateway(&self) -> Option<&Name> {
        match &self.remote {
            Remote::LocalNetworkGateway(name) => Some(name),
            Remote::Gateway { .. } => None,
        }
    }

    /// The peer that it leads to, if that is among `peers` or of another network.
    pub(crate) fn peer<'a>(
        &'a self,
        peers: &'a BTreeMap<Name, LocalNetworkGateway>,
    ) -> Option<&'a LocalNetworkGateway> {
        match &self.remote {
            Remote::LocalNetworkGateway(name) => peers.get(name),
            Remote::Gateway { described, .. } => Some(described),
        }
    }

    /// The gateway of this file that it leads to.
    #[must_use]
    pub fn remote_gateway(&self) -> Option<&Name> {
        match &self.remote {
            Remote::Gateway { reference: RemoteGateway::Named(name), .. } => Some(name),
            _ => None,
        }
    }

    /// Whether what is behind the peer is learned when the tunnel is negotiated.
    #[must_use]
    pub fn learns_prefixes(&self) -> bool {
        matches!(&self.remote, Remote::Gateway { reference: RemoteGateway::At(_), .. })
    }

    /// The first of `routes` that is a default route, or one to half of everything, and takes what this connection has yet to learn that it leads to; `None` where our own
    /// selectors say what that is.
    pub(crate) fn taken_before_learnt(&self, routes: &[StaticRoute]) -> Option<IpNet> {
        let may_be_anywhere = |route: &IpNet| {
            let of_family = |prefix: &IpNet| prefix.addr().is_ipv4() == route.addr().is_ipv4();
            self.traffic_selectors.remote.iter().any(|prefix| prefix.prefix_len() == 0 && of_family(prefix))
        };
        let defaults = routes.iter().map(|route| route.prefix).filter(|prefix| prefix.prefix_len() <= 1);
        defaults.filter(|_| self.learns_prefixes()).find(may_be_anywhere)
    }

    /// What our selectors name behind a peer that tells more; nothing for other connections.
    pub(crate) fn named_prefixes(&self) -> impl Iterator<Item = IpNet> {
        let named = self.traffic_selectors.remote.iter().copied();
        named.filter(|prefix| self.learns_prefixes() && prefix.prefix_len() > 0)
    }

    /// Whether `other` is the same tunnel seen from its other end, on this appliance.
    #[must_use]
    pub fn is_counterpart(&self, other: &Self) -> bool {
        self.remote_gateway() == Some(&other.gateway) && other.remote_gateway() == Some(&self.gateway)
    }
}

/// Whom the connection leads to, the same as a peer, and where the file says so.
pub(super) fn far_end(
    section: &mut Section<'_>,
    connection_type: ConnectionType,
    name: Option<&Located<Name>>,
    gateway: Option<&VirtualNetworkGateway>,
    around: &Around<'_>,
    report: &mut Report<'_>,
) -> (Option<Remote>, Option<Arc<LocalNetworkGateway>>, Option<Place>) {
    match connection_type {
        // Circuits are read elsewhere, and clients are made.
        ConnectionType::IPsec | ConnectionType::VpnClient | ConnectionType::ExpressRoute => {
            let reference = section.required::<Name>("local_network_gateway", "\"site-b\"", report);
            let peer = reference.as_ref().and_then(|name| around.peers.find(name, report));
            let remote = peer.map(|peer| Remote::LocalNetworkGateway(peer.name.clone()));
            (remote, peer.cloned().map(Arc::new), reference.map(|reference| reference.place))
        }
        ConnectionType::Vnet2Vnet => match remote(section, name, gateway, around, report) {
            Some(Located { value: (reference, described), place }) => {
                let described = Arc::new(described);
                let remote = Remote::Gateway { reference, described: Arc::clone(&described) };
                (Some(remote), Some(described), Some(place))
            }
            None => (None, None, None),
        },
    }
}

/// Reads `remote_gateway`, and describes it as a peer.
fn remote(
    section: &mut Section<'_>,
    name: Option<&Located<Name>>,
    gateway: Option<&VirtualNetworkGateway>,
    around: &Around<'_>,
    report: &mut Report<'_>,
) -> Option<Located<(RemoteGateway, LocalNetworkGateway)>> {
    let Located { value: reference, place } =
        section.required::<RemoteGateway>("remote_gateway", "\"gw-b\"", report)?;
    if let Some(own) = gateway.filter(|own| own.vpn_type == VpnType::PolicyBased) {
        route_based(own, &place, report);
    }
    let described = match &reference {
        RemoteGateway::At(address) => {
            let (name, address) = (name?.value.clone(), PeerAddress::At(*address));
            let (backup_addresses, prefixes) = (Vec::new(), Vec::new());
            LocalNetworkGateway { name, address, backup_addresses, prefixes, bgp: None }
        }
        RemoteGateway::Named(name) => {
            let found = Located { value: name.clone(), place: place.clone() };
            let other = around.gateways.find(&found, report)?;
            named(other, gateway?, around, &place, report)?
        }
    };
    Some(Located { value: (reference, described), place })
}

fn route_based(gateway: &VirtualNetworkGateway, place: &Place, report: &mut Report<'_>) {
    let problem =
        format!("the gateway \"{}\" is PolicyBased: both ends of Vnet2Vnet are RouteBased", gateway.name);
    report.error(place, problem, "take vpn_type = \"RouteBased\" for it, or type = \"IPsec\"");
}

fn named(
    other: &VirtualNetworkGateway,
    own: &VirtualNetworkGateway,
    around: &Around<'_>,
    place: &Place,
    report: &mut Report<'_>,
) -> Option<LocalNetworkGateway> {
    if other.name == own.name {
        let problem = format!("the gateway \"{}\" cannot be connected with itself", own.name);
        report.error(place, problem, "name the gateway of another network");
        return None;
    }
    if other.vpn_type == VpnType::PolicyBased {
        route_based(other, place, report);
    }
    // The first of a family, as the connection takes its own: seen from either end the same, whatever the order of the lists.
    let first = |gateway: &VirtualNetworkGateway, is_ipv4| {
        gateway.public_addresses.iter().copied().find(|address| address.is_ipv4() == is_ipv4)
    };
    let address =
        [true, false].into_iter().find_map(|is_ipv4| first(own, is_ipv4).and(first(other, is_ipv4)));
    let Some(address) = address else {
        let problem =
            format!("\"{}\" and \"{}\" have no public addresses of one family", own.name, other.name);
        report.error(place, problem, "give both gateways a public address of one family");
        return None;
    };
    let network = around.networks.sound().get(&other.virtual_network)?;
    let near = around.networks.sound().get(&own.virtual_network);
    check_clouds(near, network, place, report);
    let mut prefixes = network.address_space.clone();
    let spokes = transit::spokes(&network.name, around.networks.sound(), around.peerings.sound());
    let peered: Vec<&Name> = around
        .peerings
        .sound()
        .values()
        .filter(|peering| peering.virtual_network == own.virtual_network)
        .map(|peering| &peering.remote_virtual_network)
        .collect();
    // Our network reaches what it is peered with that way.
    let spokes = spokes.filter(|spoke| !peered.contains(&&spoke.name));
    prefixes.extend(spokes.flat_map(|spoke| &spoke.address_space));
    Some(LocalNetworkGateway {
        name: other.name.clone(),
        address: PeerAddress::At(address),
        backup_addresses: Vec::new(),
        prefixes,
        bgp: None,
    })
}

/// Reports a default route beside a connection that may lead anywhere and learns where to: what it has not learned yet would leave by that route, in clear.
pub(super) fn check_learning(
    network: &VirtualNetwork,
    connection: &Connection,
    place: &Place,
    report: &mut Report<'_>,
) {
    if let Some(route) = connection.taken_before_learnt(&network.routes) {
        let problem = format!(
            "what is behind the peer is known when the tunnel is up; until then packets for it would take the route to {route} of the network \"{}\", in clear",
            network.name
        );
        report.error(place, problem, NAME_WHAT_IS_THERE);
    }
    let taken =
        connection.named_prefixes().find_map(|named| Some((taken_by(named, &network.routes)?, named)));
    if let Some((route, named)) = taken {
        let problem = format!(
            "the route to {route} of the network \"{}\" would take packets for {named} past the tunnel, in clear",
            network.name
        );
        report.error(
            place,
            problem,
            "take the route out of the network, or the prefix out of remote of the traffic_selectors",
        );
    }
}

/// How a default route gets along with prefixes that are learned.
pub(crate) const NAME_WHAT_IS_THERE: &str = "name the other network's prefixes in remote of the connection's traffic_selectors (nothing else may then travel), or take the route out";

/// Networks of the same region or of different ones are connected, but not of clouds that are kept apart.
fn check_clouds(near: Option<&VirtualNetwork>, far: &VirtualNetwork, place: &Place, report: &mut Report<'_>) {
    let Some(near) = near else { return };
    let (Some(own), Some(other)) = (&near.region, &far.region) else { return };
    if own.cloud() != other.cloud() {
        let problem = format!(
            "the network \"{}\" is in {} ({own}), and \"{}\" in {} ({other}): such clouds are not connected",
            near.name,
            own.cloud(),
            far.name,
            other.cloud()
        );
        report.error(place, problem, "connect networks of one cloud, or take type = \"IPsec\"");
    }
}

/// Reports connections between networks of this file of which only one end is there, and ends that cannot agree: who begins, and how they prove
/// themselves.
pub(super) fn check_pairs(
    connections: &Shelf<Connection>,
    places: &[(Name, Place)],
    report: &mut Report<'_>,
) {
    for (name, place) in places {
        let Some(one) = connections.sound().get(name) else { continue };
        let Some(far) = one.remote_gateway() else { continue };
        let other = connections.sound().values().find(|other| one.is_counterpart(other));
        match other {
            // Each pair once.
            Some(other) if other.name < one.name => check_ends(one, other, place, report),
            None if connections.is_complete() => {
                let problem = format!("there is no connection from \"{far}\" back to \"{}\"", one.gateway);
                let remedy = format!(
                    "add a [[connection]] of type \"Vnet2Vnet\" with gateway = \"{far}\" and remote_gateway = \"{}\"",
                    one.gateway
                );
                report.error(place, problem, remedy);
            }
            _ => {}
        }
    }
}

fn check_ends(one: &Connection, other: &Connection, place: &Place, report: &mut Report<'_>) {
    match (one.authentication.shared_key(), other.authentication.shared_key()) {
        (Some(key), Some(others)) if key != others => {
            let problem = format!("the shared key is not that of \"{}\", the other end", other.name);
            report.error(place, problem, "refer to the same key at both ends");
        }
        (None, Some(_)) | (Some(_), None) => {
            let problem =
                format!("one of this connection and \"{}\", its other end, has a shared key", other.name);
            report.error(place, problem, "take a shared key at both ends, or certificates at both");
        }
        _ => {}
    }
    let ppk = |connection: &Connection| {
        connection.ppk.as_ref().map(|ppk| (ppk.id.clone(), Arc::clone(&ppk.secret)))
    };
    if ppk(one) != ppk(other) {
        let problem = format!("the PPK is not that of \"{}\", the other end", other.name);
        report.error(place, problem, "give [connection.ppk] of both ends the same id and secret");
    }
    if one.protocol != other.protocol {
        let problem = format!("\"{}\", the other end, speaks {}", other.name, other.protocol.word());
        report.error(place, problem, "write the same protocol at both ends, or leave it out at both");
    }
    check_policies(one, other, place, report);
    if one.mode == other.mode && one.mode != ConnectionMode::Default {
        let problem = format!("\"{}\", the other end, has the same mode: {}", other.name, one.mode.word());
        report.error(place, problem, "leave mode out at one end or at both");
    }
}

/// Two policies, and two selectors, that have nothing in common make no tunnel; a group alone is missed at the first rekey.
fn check_policies(one: &Connection, other: &Connection, place: &Place, report: &mut Report<'_>) {
    let differing = agreement::differing(&one.policy, &other.policy);
    if !differing.is_empty() {
        let keys = differing.join(", ");
        let problem = format!(
            "the policy and that of \"{}\", the other end, have nothing in common in {keys}",
            other.name
        );
        report.error(
            place,
            problem,
            "write the same [connection.policy] at both ends, or leave it out at both",
        );
    }
    let meet =
        |near: &[IpNet], far: &[IpNet]| near.iter().any(|one| far.iter().any(|other| overlap(*one, *other)));
    let (own, others) = (one.traffic_selectors.policies(), other.traffic_selectors.policies());
    let agree = |own: &SelectorPolicy, other: &SelectorPolicy| {
        meet(&own.local, &other.remote) && meet(&own.remote, &other.local)
    };
    if !own.iter().any(|own| others.iter().any(|other| agree(own, other))) {
        let problem =
            format!("the traffic_selectors leave nothing of those of \"{}\", the other end", other.name);
        report.error(
            place,
            problem,
            "let local of either end and remote of the other name the same prefixes",
        );
    }
}
