//! What connections owe each other: room on their gateway, sites of their own, and peers that can be told apart.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::gateway::{VirtualNetworkGateway, VpnType};
use crate::identity::Identity;
use crate::local_network_gateway::LocalNetworkGateway;
use crate::name::Name;
use crate::nat_rule::{ADDRESS_PORTS, NatRule, PORTS_MAX};
use crate::report::{Place, Report};
use crate::selectors::TrafficSelectors;
use crate::shelf::Shelf;
use crate::transit::Stranger;

use super::Choice as _;
use super::protocol::Protocol;
use super::sites::Sites;

/// What the connections read so far use.
#[derive(Default)]
pub(super) struct Rules {
    /// Connections of each gateway.
    tunnels: BTreeMap<Name, u32>,
    /// Tunnels of the appliance.
    all: u32,
    /// Ports of the addresses that peers assign.
    assigned_ports: u64,
    /// What leads to which site.
    pub(super) sites: Sites,
    /// The connection of each peer: our address, the peer's, the peer's identity.
    peers: BTreeMap<(IpAddr, Option<IpAddr>, Identity), Name>,
    /// What their selectors name on our side that may be a site's behind another one.
    pub(super) strangers: Vec<Stranger>,
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

    /// Counts the tunnels of the appliance against what its tables are made for; the first connection too many is reported.
    pub(super) fn appliance(
        &mut self,
        name: &Name,
        tunnels: u32,
        max_tunnels: u32,
        place: &Place,
        report: &mut Report<'_>,
    ) {
        let had_room = self.all <= max_tunnels;
        self.all += tunnels;
        if had_room && self.all > max_tunnels {
            let problem =
                format!("\"{name}\" is too much for this appliance, made for max_tunnels = {max_tunnels}");
            report.error(place, problem, "raise max_tunnels of [appliance], or leave connections out");
        }
    }

    /// Counts the ports of the addresses that a peer assigns, one a tunnel, with those of dynamic NAT rules; the first too many are reported.
    pub(super) fn hidden_behind_one_address(
        &mut self,
        tunnels: u32,
        nat_rules: &Shelf<NatRule>,
        place: &Place,
        report: &mut Report<'_>,
    ) {
        let of_rules: u64 = nat_rules.sound().values().map(NatRule::ports).sum();
        let before = of_rules + self.assigned_ports;
        self.assigned_ports += u64::from(tunnels) * ADDRESS_PORTS;
        let after = of_rules + self.assigned_ports;
        if before <= PORTS_MAX && after > PORTS_MAX {
            let problem = format!(
                "with this one, the addresses that peers assign and dynamic NAT rules have {after} ports, of which the appliance keeps {PORTS_MAX} at most"
            );
            report.error(place, problem, "take fewer such connections, or fewer dynamic rules");
        }
    }

    /// Reports a peer that cannot be told from another one.
    pub(super) fn peers(
        &mut self,
        name: &Name,
        locals: &[IpAddr],
        peer: &LocalNetworkGateway,
        remote_id: &Identity,
        place: &Place,
        report: &mut Report<'_>,
    ) {
        // Who is known by a name may call from anywhere, too.
        let at = |local| peer.places().map(move |place| (local, place.address(), remote_id.clone()));
        let keys: Vec<_> = locals.iter().copied().flat_map(at).collect();
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

/// Tunnels of a connection towards one address: one for each policy of selectors, and in IKEv1 one for each pair of prefixes.
pub(super) fn tunnels_each(protocol: Protocol, selectors: Option<&TrafficSelectors>) -> u32 {
    let children = selectors.map_or(1, |selectors| match protocol {
        Protocol::IkeV1 => selectors.pairs(),
        Protocol::IkeV2 => selectors.policies().len(),
    });
    u32::try_from(children.max(1)).unwrap_or(u32::MAX)
}
