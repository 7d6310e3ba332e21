//! The NAT rules of a connection: which there may be, and how both sides see each other through them.

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::{Choice as _, Connection, ConnectionType, Found};
use crate::document::Section;
use crate::local_network_gateway::LocalNetworkGateway;
use crate::name::Name;
use crate::nat_rule::{NatMode, NatRule, NatType};
use crate::network::VirtualNetwork;
use crate::prefix::overlap;
use crate::report::{Place, Report};
use crate::shelf::Shelf;

/// The NAT rules that a connection names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Nat {
    /// Those for the site's addresses; no two of them have internal prefixes that overlap.
    pub ingress: Vec<NatRule>,
    /// Those for the network's. The same holds.
    pub egress: Vec<NatRule>,
}

impl Nat {
    /// Whether nothing is translated.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ingress.is_empty() && self.egress.is_empty()
    }

    /// Whether the connection names a rule.
    #[must_use]
    pub fn names(&self, rule: &NatRule) -> bool {
        self.ingress.iter().chain(&self.egress).any(|named| named.name == rule.name)
    }

    /// Whether another connection names the same rules, in whatever order.
    pub(super) fn names_the_same_as(&self, other: &Self) -> bool {
        let names =
            |rules: &[NatRule]| rules.iter().map(|rule| rule.name.clone()).collect::<BTreeSet<Name>>();
        [(&self.ingress, &other.ingress), (&self.egress, &other.egress)]
            .into_iter()
            .all(|(own, others)| names(own) == names(others))
    }

    /// The prefixes of the site as the network knows them.
    #[must_use]
    pub fn site_prefixes(&self, prefixes: &[IpNet]) -> Vec<IpNet> {
        known_by(&self.ingress, prefixes)
    }

    /// The network's address space as the site knows it.
    #[must_use]
    pub fn network_prefixes(&self, address_space: &[IpNet]) -> Vec<IpNet> {
        known_by(&self.egress, address_space)
    }
}

fn known_by(rules: &[NatRule], prefixes: &[IpNet]) -> Vec<IpNet> {
    let external = |prefix: &IpNet| {
        let rule = rules.iter().find(|rule| rule.internal_mapping == *prefix);
        rule.map_or(*prefix, |rule| rule.external_mapping)
    };
    prefixes.iter().map(external).collect()
}

/// Reads `ingress_nat_rules` and `egress_nat_rules`. `None` if one of the rules that they name is not to be had.
pub(super) fn read(
    section: &mut Section<'_>,
    connection_type: ConnectionType,
    found: &Found<'_>,
    rules: &Shelf<NatRule>,
    report: &mut Report<'_>,
) -> Option<Nat> {
    let mut list = |key, mode, prefixes: Option<Prefixes<'_>>| {
        let place = section.place_of(key);
        let is_there = section.has(key);
        let Some(names) = section.list::<Name>(key, report) else { return (!is_there).then(Vec::new) };
        if connection_type != ConnectionType::IPsec && !names.is_empty() {
            let problem = format!("connections of type {} have no NAT rules", connection_type.word());
            report.error(&place, problem, "leave the list out, or take type = \"IPsec\"");
            return None;
        }
        let (mut taken, mut are_all_right): (Vec<NatRule>, bool) = (Vec::new(), true);
        for name in names {
            match rules.find(&name, report) {
                Some(rule) if is_right(rule, mode, &taken, found, prefixes.as_ref(), &name.place, report) => {
                    taken.push(rule.clone());
                }
                _ => are_all_right = false,
            }
        }
        are_all_right.then_some(taken)
    };
    let of_site = found.peer.map(|peer| Prefixes {
        owner: format!("local network gateway \"{}\"", peer.name),
        prefixes: &peer.prefixes,
    });
    let of_network = found.network.map(|network| Prefixes {
        owner: format!("network \"{}\"", network.name),
        prefixes: &network.address_space,
    });
    let ingress = list("ingress_nat_rules", NatMode::IngressSnat, of_site);
    let egress = list("egress_nat_rules", NatMode::EgressSnat, of_network);
    let nat = Nat { ingress: ingress?, egress: egress? };
    check_who_begins(&nat, &section.place_of("egress_nat_rules"), report);
    Some(nat)
}

/// Prefixes, and whose they are.
struct Prefixes<'a> {
    owner: String,
    prefixes: &'a [IpNet],
}

/// Reports a rule that a list of a connection cannot have.
fn is_right(
    rule: &NatRule,
    mode: NatMode,
    taken: &[NatRule],
    found: &Found<'_>,
    prefixes: Option<&Prefixes<'_>>,
    place: &Place,
    report: &mut Report<'_>,
) -> bool {
    if rule.mode != mode {
        let problem =
            format!("\"{}\" is a rule of mode {}, not {}", rule.name, rule.mode.word(), mode.word());
        let remedy = match rule.mode {
            NatMode::EgressSnat => "name it in egress_nat_rules",
            NatMode::IngressSnat => "name it in ingress_nat_rules",
        };
        report.error(place, problem, remedy);
        return false;
    }
    if let Some(gateway) = found.gateway.filter(|gateway| gateway.name != rule.gateway) {
        let problem = format!(
            "\"{}\" is a rule of the gateway \"{}\", not of \"{}\"",
            rule.name, rule.gateway, gateway.name
        );
        report.error(place, problem, "add a [[nat_rule]] to this gateway");
        return false;
    }
    let internal = rule.internal_mapping;
    if let Some(other) = taken.iter().find(|other| overlap(other.internal_mapping, internal)) {
        let problem = if other.name == rule.name {
            format!("\"{}\" is listed twice", rule.name)
        } else {
            format!(
                "{internal} of \"{}\" overlaps {} of \"{}\"",
                rule.name, other.internal_mapping, other.name
            )
        };
        report.error(place, problem, "leave one of them out");
        return false;
    }
    if let Some(other) = taken.iter().find(|other| mix_up(rule, other)) {
        let problem = format!(
            "\"{}\" and \"{}\" take addresses of each other's prefixes, and one of them is dynamic",
            rule.name, other.name
        );
        report.error(place, problem, "take an external_mapping that nobody around this gateway has");
        return false;
    }
    let Some(Prefixes { owner, prefixes }) = prefixes else { return true };
    if !prefixes.is_empty() && !prefixes.contains(&internal) {
        let listed: Vec<String> = prefixes.iter().map(ToString::to_string).collect();
        let problem = format!("{internal} of \"{}\" is no prefix of the {owner}", rule.name);
        let remedy = format!("a rule translates a whole prefix, one of {}", listed.join(", "));
        report.error(place, problem, remedy);
        return false;
    }
    true
}

/// Whether an address would be a hidden host's by the one rule, and one that others know a host by, by the other. Where both are static, that is no matter: on either side of the tunnel it is
/// one of the two.
fn mix_up(one: &NatRule, other: &NatRule) -> bool {
    let is_dynamic = [one, other].iter().any(|rule| rule.nat_type == NatType::Dynamic);
    let meet = |from: &NatRule, to: &NatRule| overlap(from.internal_mapping, to.external_mapping);
    is_dynamic && (meet(one, other) || meet(other, one))
}

/// Reports dynamic rules for both ends: each lets the other's hosts begin nothing.
fn check_who_begins(nat: &Nat, place: &Place, report: &mut Report<'_>) {
    let dynamic = |rules: &'_ [NatRule]| {
        rules.iter().find(|rule| rule.nat_type == NatType::Dynamic).map(|rule| rule.name.clone())
    };
    if let Some((ours, theirs)) = dynamic(&nat.egress).zip(dynamic(&nat.ingress)) {
        let problem = format!(
            "the dynamic rules \"{ours}\" and \"{theirs}\" hide the hosts of both sides, of which neither could begin a session with the other"
        );
        report.error(place, problem, "take a static rule for the side that is to be reached");
    }
}

/// Reports prefixes of the peer and of the network that cannot be told apart, on either side. A default route may contain the network; a longer prefix
/// takes precedence over it. Where the network is hidden behind an address that the peer assigns, the site does not know its prefixes.
pub(super) fn check_overlaps(
    network: &VirtualNetwork,
    peer: &LocalNetworkGateway,
    connection_type: ConnectionType,
    (nat, is_hidden): (&Nat, bool),
    place: &Place,
    report: &mut Report<'_>,
) {
    let clash = |site: &[IpNet], own: &[IpNet]| {
        let site = site.iter().filter(|prefix| prefix.prefix_len() > 0);
        let mut pairs = site.flat_map(|site| own.iter().map(move |own| (*site, *own)));
        pairs.find(|(site, own)| overlap(*site, *own))
    };
    let told = |(site, own): (IpNet, IpNet), through: &str| {
        format!("{site} of \"{}\" overlaps {own} of the network \"{}\"{through}", peer.name, network.name)
    };
    if let Some(pair) = clash(&nat.site_prefixes(&peer.prefixes), &network.address_space) {
        let remedy = match connection_type {
            ConnectionType::Vnet2Vnet => {
                "list only what is behind the peer; both sides need addresses of their own"
            }
            ConnectionType::IPsec if nat.is_empty() => {
                "list only what is behind the peer; both sides need addresses of their own, or a NAT rule each"
            }
            ConnectionType::IPsec | ConnectionType::VpnClient | ConnectionType::ExpressRoute => {
                "add an ingress NAT rule for the site's prefix"
            }
        };
        report.error(place, told(pair, ""), remedy);
    } else if let Some(pair) =
        clash(&peer.prefixes, &nat.network_prefixes(&network.address_space)).filter(|_| !is_hidden)
    {
        let remedy = "add an egress NAT rule for the network's prefix";
        report.error(place, told(pair, " in the site, which could not answer"), remedy);
    }
}

/// Reports external prefixes that are a site's, and warns of rules that no connection names.
pub(crate) fn check_rules(
    connections: &Shelf<Connection>,
    peers: &Shelf<LocalNetworkGateway>,
    rules: &Shelf<NatRule>,
    report: &mut Report<'_>,
) {
    let sound = || connections.sound().values();
    // Each connection with its peer, and the site's prefixes as the network knows them.
    let sites: Vec<_> = sound()
        .filter_map(|connection| {
            let peer = connection.peer(peers.sound())?;
            Some((connection, peer, connection.nat.site_prefixes(&peer.prefixes)))
        })
        .collect();
    for (name, line) in rules.declared() {
        let Some(rule) = rules.sound().get(name) else { continue };
        let place = Place { line, key: format!("nat_rule[{name}]") };
        if connections.is_complete() && !sound().any(|connection| connection.nat.names(rule)) {
            report.warning(
                &place,
                "no connection names this rule",
                "add it to a connection's list, or leave it out",
            );
        }
        for (connection, peer, seen) in sites.iter().filter(|(one, ..)| one.gateway == rule.gateway) {
            let is_its_own = |prefix: &IpNet| *prefix == rule.external_mapping && connection.nat.names(rule);
            let mut others = seen.iter().filter(|prefix| prefix.prefix_len() > 0 && !is_its_own(prefix));
            if let Some(prefix) = others.find(|prefix| overlap(**prefix, rule.external_mapping)) {
                let problem = format!("{} overlaps {prefix} of \"{}\"", rule.external_mapping, peer.name);
                report.error(&place, problem, "take a prefix that nobody around this gateway has");
            }
        }
    }
}
