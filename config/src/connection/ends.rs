//! The two ends of a connection: where our end is, and how both call themselves.

use std::net::IpAddr;

use super::{Connection, ConnectionType, Found, Remote, RemoteGateway, rules};
use crate::authentication::{self, Authentication};
use crate::document::Section;
use crate::identity::Identity;
use crate::local_network_gateway::{LocalNetworkGateway, PeerAddress};
use crate::port::Port;
use crate::report::{Place, Report};
use crate::shelf::Shelf;

/// One of our ends of a connection: a tunnel begins at each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalEnd {
    /// A public address of the gateway.
    pub address: IpAddr,
    /// How we call ourselves there.
    pub id: Identity,
}

impl Connection {
    /// Tunnels that it takes of the appliance's.
    pub(crate) fn tunnels(&self) -> u32 {
        let ways = 1 + u32::from(self.second_address.is_some());
        ways * rules::tunnels_each(self.protocol, Some(&self.traffic_selectors))
    }

    /// Our ends: one, or two at an active-active gateway. Whoever calls himself by his address does so at each, if no certificate binds him to one.
    pub fn local_ends(&self) -> impl Iterator<Item = LocalEnd> {
        let may_change = matches!(self.authentication, Authentication::SharedKey(_));
        let is_address = may_change && self.local_id == Identity::from(self.local_address);
        std::iter::once(self.local_address).chain(self.second_address).map(move |address| {
            let id = if is_address { Identity::from(address) } else { self.local_id.clone() };
            LocalEnd { address, id }
        })
    }
}

/// Our second end, at an active-active gateway: its second public address of the family of the first.
pub(super) fn second_address(
    connection_type: ConnectionType,
    found: &Found<'_>,
    local: Option<IpAddr>,
) -> Option<IpAddr> {
    let gateway = found.gateway.filter(|gateway| gateway.active_active)?;
    if connection_type != ConnectionType::IPsec {
        return None;
    }
    let family = gateway
        .public_addresses
        .iter()
        .filter(|address| address.is_ipv4() == local.is_some_and(|local| local.is_ipv4()));
    family.copied().nth(1).filter(|_| local.is_some())
}

/// Our end: the gateway's first public address of the family of the peer's. The underlay has to lead to the peer.
pub(super) fn local_address(
    found: &Found<'_>,
    place: Option<&Place>,
    remote: Option<&Remote>,
    ports: &Shelf<Port>,
    report: &mut Report<'_>,
) -> Option<IpAddr> {
    let (gateway, peer, place) = (found.gateway?, found.peer?, place?);
    let is_here = matches!(remote, Some(Remote::Gateway { reference: RemoteGateway::Named(_), .. }));
    // A name may lead to either family: ours decides.
    let Some(remote) = peer.addresses().next() else { return gateway.public_addresses.first().copied() };
    let local = gateway.public_addresses.iter().find(|local| local.is_ipv4() == remote.is_ipv4()).copied();
    if local.is_none() && !gateway.public_addresses.is_empty() {
        let problem =
            format!("the gateway \"{}\" has no public address of the family of {remote}", gateway.name);
        report.error(place, problem, "add one to public_addresses, or take another address of the peer");
    } else if ports.is_complete() && !is_here {
        peer.addresses().for_each(|remote| reachable(remote, place, ports, report));
    }
    local
}

fn reachable(remote: IpAddr, place: &Place, ports: &Shelf<Port>, report: &mut Report<'_>) {
    let ports = || ports.sound().values();
    if ports().flat_map(|port| &port.addresses).any(|own| own.address == remote) {
        let remedy = "name the peer's address in its local network gateway";
        report.error(place, format!("{remote} is an address of this gateway itself"), remedy);
    } else if !ports().any(|port| {
        port.addresses.iter().any(|own| own.network.contains(&remote))
            || port.routes.iter().any(|route| route.prefix.contains(&remote))
    }) {
        let remedy = "add a route to it, or a default route, to the port of the public side";
        report.error(place, format!("no port leads to the peer's address {remote}"), remedy);
    }
}

/// How both sides call themselves: as the file says, else by our certificate's subject, else by their addresses or names.
pub(super) fn identities(
    section: &mut Section<'_>,
    local: Option<IpAddr>,
    peer: Option<&LocalNetworkGateway>,
    authentication: Option<&Authentication>,
    report: &mut Report<'_>,
) -> (Option<Identity>, Option<Identity>) {
    let nameless = peer.filter(|_| !section.has("remote_id")).and_then(|peer| match peer.address {
        PeerAddress::Any => Some((peer, "may call from anywhere")),
        PeerAddress::At(_) if !peer.backup_addresses.is_empty() => Some((peer, "has several addresses")),
        _ => None,
    });
    if let Some((peer, why)) = nameless {
        let problem = format!("the key remote_id is missing: \"{}\" {why}", peer.name);
        report.error(
            &section.place_of("remote_id"),
            problem,
            "add remote_id, the identity that the peer sends",
        );
    }
    let local_id = section.optional::<Identity>("local_id", report);
    let remote_id = section.optional::<Identity>("remote_id", report).map(|found| found.value);
    let remote = peer.and_then(|peer| match &peer.address {
        PeerAddress::At(address) => Some(Identity::from(*address)),
        PeerAddress::Named(name) => Some(Identity::Fqdn(name.clone())),
        PeerAddress::Any => None,
    });
    let local_id = authentication::local_identity(
        authentication,
        local_id,
        local.map(Identity::from),
        &section.place,
        report,
    );
    (local_id, remote_id.or(remote))
}
