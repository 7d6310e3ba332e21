//! What connections owe each other: room on their gateway, routes of their own, and peers that can be told apart.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::gateway::{VirtualNetworkGateway, VpnType};
use crate::identity::Identity;
use crate::local_network_gateway::LocalNetworkGateway;
use crate::name::Name;
use crate::network::VirtualNetwork;
use crate::prefix::taken_by;
use crate::report::{Place, Report};

use super::Choice as _;
use super::nat::{Nat, Uses};

/// What the connections read so far use.
#[derive(Default)]
pub(super) struct Rules {
    /// Connections of each gateway.
    tunnels: BTreeMap<Name, u32>,
    /// The connection that each prefix, seen from a network, leads into.
    routes: BTreeMap<(Name, IpNet), Name>,
    /// The connection of each peer: our address, the peer's, the peer's identity.
    peers: BTreeMap<(IpAddr, Option<IpAddr>, Identity), Name>,
    /// NAT rules.
    pub(super) nat: Uses,
}

impl Rules {
    /// Counts the connections of a gateway against its limit; the first one too many is reported.
    pub(super) fn tunnels(
        &mut self,
        name: &Name,
        gateway: &VirtualNetworkGateway,
        place: &Place,
        report: &mut Report<'_>,
    ) {
        let count = self.tunnels.entry(gateway.name.clone()).or_default();
        *count += 1;
        let (limit, of) = match gateway.vpn_type {
            VpnType::PolicyBased => (1, "a policy-based gateway"),
            VpnType::RouteBased => (gateway.limits.tunnels, gateway.sku.word()),
        };
        if *count == limit + 1 {
            let problem = format!(
                "\"{name}\" is one connection too many for \"{}\": {of} has at most {limit}",
                gateway.name
            );
            report.error(place, problem, "take a larger sku (and RouteBased), or leave connections out");
        }
    }

    /// Reports prefixes of the peer, as the network knows them, that a static route of the network takes from the tunnel, or that lead into another connection
    /// already. A default route may contain the network's static routes; a longer prefix of another peer takes precedence over a shorter one.
    pub(super) fn routes(
        &mut self,
        name: &Name,
        network: &VirtualNetwork,
        peer: &LocalNetworkGateway,
        nat: &Nat,
        place: &Place,
        report: &mut Report<'_>,
    ) {
        for prefix in nat.site_prefixes(&peer.prefixes) {
            if let Some(route) = taken_by(prefix, &network.routes) {
                let problem = format!(
                    "the route to {route} of the network \"{}\" would take packets for {prefix} of \"{}\" past the tunnel, in clear",
                    network.name, peer.name
                );
                let remedy = "take the route out of the network, or the prefix (or that part of it) out of what is behind the peer";
                report.error(place, problem, remedy);
            }
            let key = (network.name.clone(), prefix);
            if let Some(other) = self.routes.get(&key) {
                let problem = format!("{prefix} leads into the connection \"{other}\" already");
                report.error(place, problem, "take the prefix out of one of the two local network gateways");
            } else {
                self.routes.insert(key, name.clone());
            }
        }
    }

    /// Reports a peer that cannot be told from another one.
    pub(super) fn peers(
        &mut self,
        name: &Name,
        local: IpAddr,
        peer: &LocalNetworkGateway,
        remote_id: &Identity,
        place: &Place,
        report: &mut Report<'_>,
    ) {
        // Who is known by a name may call from anywhere, too.
        let keys: Vec<_> = peer.places().map(|place| (local, place.address(), remote_id.clone())).collect();
        if let Some(other) = keys.iter().find_map(|key| self.peers.get(key)) {
            let problem = format!(
                "the peer cannot be told from that of \"{other}\": same addresses, same identity {remote_id}"
            );
            report.error(
                place,
                problem,
                "give each peer a remote_id of its own, or leave one connection out",
            );
        } else {
            self.peers.extend(keys.into_iter().map(|key| (key, name.clone())));
        }
    }
}
