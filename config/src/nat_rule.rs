//! NAT rules: prefixes of a network or of a site that the other side knows by others, so that both may have the same. A rule belongs to a
//! gateway; it does something on the connections that name it.
//!
//! Internal is what the hosts have themselves, external what the other side knows them by, whichever side they are on.

use std::collections::BTreeMap;

use ipnet::IpNet;

use crate::choice::Choice;
use crate::document::Section;
use crate::gateway::{VirtualNetworkGateway, VpnType};
use crate::name::Name;
use crate::network::VirtualNetwork;
use crate::prefix::overlap;
use crate::report::{Located, Place, Report};
use crate::shelf::Shelf;

/// Whose addresses a rule translates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NatMode {
    /// The network's: sources of what leaves, destinations of what arrives.
    EgressSnat,
    /// The site's: sources of what arrives, destinations of what leaves.
    IngressSnat,
}

impl Choice for NatMode {
    const WORDS: &'static [(&'static str, Self)] =
        &[("EgressSnat", Self::EgressSnat), ("IngressSnat", Self::IngressSnat)];
}

/// How a rule translates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NatType {
    /// Each address to one of its own, whoever begins.
    Static,
}

impl Choice for NatType {
    const WORDS: &'static [(&'static str, Self)] = &[("Static", Self::Static)];
    const REFUSED: &'static [(&'static str, &'static str, &'static str)] = &[(
        "Dynamic",
        "many addresses behind few, told apart by ports, are not supported by this version",
        "take \"Static\" with an external prefix of the same length",
    )];
}

/// A NAT rule of a gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatRule {
    /// Name, unique among NAT rules.
    pub name: Name,
    /// The gateway.
    pub gateway: Name,
    /// Whose addresses.
    pub mode: NatMode,
    /// How.
    pub nat_type: NatType,
    /// The prefix that the hosts have.
    pub internal_mapping: IpNet,
    /// The prefix by which the other side knows them: of the same family and length, and nobody else's around the gateway.
    pub external_mapping: IpNet,
}

/// Reads each `[[nat_rule]]`.
pub(crate) fn read(
    root: &mut Section<'_>,
    gateways: &Shelf<VirtualNetworkGateway>,
    networks: &Shelf<VirtualNetwork>,
    report: &mut Report<'_>,
) -> Shelf<NatRule> {
    let mut rules = Shelf::new("NAT rule");
    let mut counts: BTreeMap<Name, usize> = BTreeMap::new();
    for section in root.sections("nat_rule", report) {
        let Some(mut section) = section else {
            rules.put(None, None);
            continue;
        };
        let name = section.name("nat_rule", report);
        if let Some(name) = &name {
            rules.declare(name, report);
        }
        let gateway = section.required::<Name>("gateway", "\"gw\"", report);
        let gateway = gateway.and_then(|gateway| {
            let found = gateways.find(&gateway, report)?;
            check_ability(found, &gateway.place, report);
            count(&mut counts, found, &section.place, report);
            Some(found)
        });
        let mode = section.required::<NatMode>("mode", "\"IngressSnat\"", report);
        let nat_type =
            section.optional::<NatType>("type", report).map_or(NatType::Static, |found| found.value);
        let internal = section.required::<IpNet>("internal_mapping", "\"10.1.0.0/24\"", report);
        let external = section.required::<IpNet>("external_mapping", "\"100.64.1.0/24\"", report);
        let place =
            external.as_ref().map_or_else(|| section.place.clone(), |external| external.place.clone());
        let mappings = internal.zip(external).filter(|(internal, external)| fit(internal, external, report));
        section.finish(report);
        let made = name.as_ref().zip(gateway).zip(mode.zip(mappings));
        let rule = made.map(|((name, gateway), (mode, (internal, external)))| NatRule {
            name: name.value.clone(),
            gateway: gateway.name.clone(),
            mode: mode.value,
            nat_type,
            internal_mapping: internal.value,
            external_mapping: external.value,
        });
        if let Some(rule) = &rule {
            check_external(rule, gateway, networks, &rules, &place, report);
        }
        rules.put(name, rule);
    }
    rules
}

fn check_ability(gateway: &VirtualNetworkGateway, place: &Place, report: &mut Report<'_>) {
    if gateway.vpn_type == VpnType::PolicyBased {
        let problem = format!(
            "the gateway \"{}\" is PolicyBased: only RouteBased gateways have NAT rules",
            gateway.name
        );
        report.error(place, problem, "take vpn_type = \"RouteBased\" and sku = \"VpnGw2\" or larger for it");
    } else if !gateway.sku.has_nat(gateway.generation) {
        let problem = format!(
            "the gateway \"{}\" is of size {}, which has no NAT rules",
            gateway.name,
            gateway.sku.word()
        );
        report.error(place, problem, "take sku = \"VpnGw2\" or larger for it");
    }
}

/// Counts the rules of a gateway; the first one too many is reported.
fn count(
    counts: &mut BTreeMap<Name, usize>,
    gateway: &VirtualNetworkGateway,
    place: &Place,
    report: &mut Report<'_>,
) {
    let count = counts.entry(gateway.name.clone()).or_default();
    *count += 1;
    if *count == RULES_MAX + 1 {
        let problem = format!("\"{}\" has more than {RULES_MAX} NAT rules", gateway.name);
        report.error(
            place,
            problem,
            "join rules for prefixes that lie side by side, or take a second gateway",
        );
    }
}

/// Whether the one prefix can be mapped to the other, host by host.
fn fit(internal: &Located<IpNet>, external: &Located<IpNet>, report: &mut Report<'_>) -> bool {
    let (from, to) = (internal.value, external.value);
    if from.addr().is_ipv4() != to.addr().is_ipv4() {
        let problem = format!("{from} and {to} are of two address families");
        report.error(&external.place, problem, "take a prefix of the family of internal_mapping");
        return false;
    }
    if from.prefix_len() != to.prefix_len() {
        let problem =
            format!("{from} and {to} have two lengths: a static rule maps each address to one of its own");
        let remedy = format!("take a prefix of length /{}", from.prefix_len());
        report.error(&external.place, problem, remedy);
        return false;
    }
    if from.prefix_len() == 0 || from == to {
        let problem = format!("{from} cannot be mapped to {to}: nothing would change");
        report.error(&external.place, problem, "take the prefix of the hosts, and one that nobody has");
        return false;
    }
    true
}

/// External prefixes are nobody's: neither the network's nor another rule's.
fn check_external(
    rule: &NatRule,
    gateway: Option<&VirtualNetworkGateway>,
    networks: &Shelf<VirtualNetwork>,
    rules: &Shelf<NatRule>,
    place: &Place,
    report: &mut Report<'_>,
) {
    let external = rule.external_mapping;
    let network = gateway.and_then(|gateway| networks.sound().get(&gateway.virtual_network));
    let clash = network.and_then(|network| {
        let own = network.address_space.iter().find(|own| overlap(**own, external))?;
        Some((network, own))
    });
    if let Some((network, own)) = clash {
        let problem = format!("{external} overlaps {own} of the network \"{}\"", network.name);
        report.error(place, problem, FREE);
    }
    let others = rules.sound().values().filter(|other| other.gateway == rule.gateway);
    for other in others.filter(|other| overlap(other.external_mapping, external)) {
        let problem = format!("{external} overlaps {} of \"{}\"", other.external_mapping, other.name);
        report.error(place, problem, FREE);
    }
}

/// NAT rules of a gateway, ingress and egress together, as in Azure.
const RULES_MAX: usize = 500;
const FREE: &str = "take a prefix that nobody around this gateway has";
