//! `request_addresses`: the peer assigns us an address inside the tunnel (the Configuration payload, RFC 7296, 2.19), and the network goes out with it.

use super::{ConnectionMode, ConnectionType, Found, Nat};
use crate::choice::Choice as _;
use crate::connection::Protocol;
use crate::document::Section;
use crate::gateway::VpnType;
use crate::local_network_gateway::PeerAddress;
use crate::nat_rule::NatType;
use crate::report::{Located, Place, Report};
use crate::selectors::TrafficSelectors;

/// Where the file says that addresses are asked for, if it does.
pub(super) fn read(section: &mut Section<'_>, report: &mut Report<'_>) -> Option<Place> {
    let Located { value, place } = section.optional::<bool>("request_addresses", report)?;
    value.then_some(place)
}

/// Only who begins can ask.
pub(super) fn mode(configured: ConnectionMode, requested: Option<&Place>) -> ConnectionMode {
    match (configured, requested) {
        (ConnectionMode::Default, Some(_)) => ConnectionMode::InitiatorOnly,
        (mode, _) => mode,
    }
}

/// What of a connection has to go together with an address of the peer's.
pub(super) struct Settings<'a> {
    pub(super) connection_type: ConnectionType,
    pub(super) protocol: Protocol,
    pub(super) mode: ConnectionMode,
    pub(super) found: &'a Found<'a>,
    pub(super) nat: Option<&'a Nat>,
    pub(super) selectors: Option<&'a TrafficSelectors>,
}

/// Reports what does not.
pub(super) fn check(place: &Place, settings: &Settings<'_>, report: &mut Report<'_>) {
    let Settings { connection_type, protocol, mode, found, nat, selectors } = *settings;
    if connection_type != ConnectionType::IPsec {
        let problem = format!(
            "a connection of type {} asks for no address: its peer has none to assign",
            connection_type.word()
        );
        return report.error(place, problem, "leave it out, or take type = \"IPsec\"");
    }
    if let Some(gateway) = found.gateway.filter(|gateway| gateway.vpn_type == VpnType::PolicyBased) {
        let problem = format!(
            "the gateway \"{}\" is PolicyBased: its selectors are the prefixes of both sides, not what a peer assigns",
            gateway.name
        );
        return report.error(place, problem, "leave it out, or take vpn_type = \"RouteBased\"");
    }
    if protocol == Protocol::IkeV1 {
        let problem = "IKEv1 has no such request here";
        report.error(place, problem, "leave it out, or take protocol = \"IKEv2\"");
    }
    if mode == ConnectionMode::ResponderOnly {
        let problem = "only the side that begins can ask for an address, and this side never begins";
        report.error(place, problem, "leave mode out");
    }
    if let Some(peer) = found.peer.filter(|peer| peer.address == PeerAddress::Any) {
        let problem = format!("\"{}\" has no address that could be called to ask for one", peer.name);
        report.error(place, problem, "give its address, or leave request_addresses out");
    }
    let locals = selectors.map_or(&[][..], |selectors| &selectors.local);
    if locals.iter().any(|local| local.prefix_len() > 0) {
        let problem = "the peer says what travels on this side: the address that it assigns";
        let remedy = "leave the connection's traffic selectors out, or take local = [\"0.0.0.0/0\"]";
        report.error(place, problem, remedy);
    }
    if nat.is_some_and(|nat| !nat.egress.is_empty()) {
        let problem =
            "the network goes out with the address that the peer assigns, not with those of egress NAT rules";
        report.error(place, problem, "leave egress_nat_rules out");
    }
    let dynamic = nat.and_then(|nat| nat.ingress.iter().find(|rule| rule.nat_type == NatType::Dynamic));
    if let Some(rule) = dynamic {
        let problem = format!(
            "the dynamic rule \"{}\" hides the hosts of the site, and the peer's address those of the network: neither could begin a session",
            rule.name
        );
        report.error(place, problem, "take a static rule for the site");
    }
    let prefixes = found.peer.map_or(&[][..], |peer| &peer.prefixes);
    if let Some(prefix) = prefixes.iter().chain(locals).find(|prefix| prefix.addr().is_ipv6()) {
        let problem = format!(
            "{prefix} cannot be reached from behind one address: only hosts with IPv4 are told apart by ports"
        );
        let remedy = "take the IPv6 prefixes out of the local network gateway and of the selectors";
        report.error(place, problem, remedy);
    }
}
