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
    /// Many addresses behind few, told apart by ports; only the side of the hosts begins.
    Dynamic,
}

impl Choice for NatType {
    const WORDS: &'static [(&'static str, Self)] = &[("Static", Self::Static), ("Dynamic", Self::Dynamic)];
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
    /// The prefix by which the other side knows them: of the same family, and of the same length in a static rule; nobody else's around the gateway.
    pub external_mapping: IpNet,
}

impl NatRule {
    /// Ports of a dynamic rule, of all its external addresses together; each may have a session, which takes 16 bytes. 0 for a static one.
    #[must_use]
    pub fn ports(&self) -> u64 {
        match self.nat_type {
            NatType::Static => 0,
            NatType::Dynamic => addresses(self.external_mapping) * ports_each(self.external_mapping),
        }
    }
}

/// Addresses of an IPv4 prefix.
fn addresses(prefix: IpNet) -> u64 {
    1 << prefix.max_prefix_len().saturating_sub(prefix.prefix_len()).min(32)
}

/// Ports of each external address of a dynamic rule: all that are given away, or a part of those of the rule.
fn ports_each(external: IpNet) -> u64 {
    (RULE_PORTS_MAX / addresses(external)).min(ADDRESS_PORTS)
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
        let mappings = internal.zip(external).filter(|(internal, external)| {
            fit(internal, external, report)
                && match nat_type {
                    NatType::Static => fit_host_by_host(internal, external, report),
                    NatType::Dynamic => fit_behind(internal, external, report),
                }
        });
        let section_place = section.place.clone();
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
            check_memory(rule, &rules, &section_place, report);
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

/// Reports the dynamic rule with which the appliance would have to keep too many sessions.
fn check_memory(rule: &NatRule, rules: &Shelf<NatRule>, place: &Place, report: &mut Report<'_>) {
    let before: u64 = rules.sound().values().map(NatRule::ports).sum();
    let after = before + rule.ports();
    if before <= PORTS_MAX && after > PORTS_MAX {
        let problem = format!(
            "with this one, dynamic NAT rules have {after} ports, of which the appliance keeps {PORTS_MAX} at most"
        );
        report.error(place, problem, "take fewer external addresses, or fewer dynamic rules");
    }
}

/// Whether the one prefix can be mapped to the other at all.
fn fit(internal: &Located<IpNet>, external: &Located<IpNet>, report: &mut Report<'_>) -> bool {
    let (from, to) = (internal.value, external.value);
    if from.addr().is_ipv4() != to.addr().is_ipv4() {
        let problem = format!("{from} and {to} are of two address families");
        report.error(&external.place, problem, "take a prefix of the family of internal_mapping");
        return false;
    }
    if from.prefix_len() == 0 || from == to {
        let problem = format!("{from} cannot be mapped to {to}: nothing would change");
        report.error(&external.place, problem, "take the prefix of the hosts, and one that nobody has");
        return false;
    }
    true
}

/// Whether each host has an address of its own.
fn fit_host_by_host(internal: &Located<IpNet>, external: &Located<IpNet>, report: &mut Report<'_>) -> bool {
    let (from, to) = (internal.value, external.value);
    if from.prefix_len() != to.prefix_len() {
        let problem =
            format!("{from} and {to} have two lengths: a static rule maps each address to one of its own");
        let remedy = format!(
            "take a prefix of length /{}, or type = \"Dynamic\" to hide many hosts behind few addresses",
            from.prefix_len()
        );
        report.error(&external.place, problem, remedy);
        return false;
    }
    true
}

/// Whether the hosts can be hidden behind the external addresses.
fn fit_behind(internal: &Located<IpNet>, external: &Located<IpNet>, report: &mut Report<'_>) -> bool {
    let (from, to) = (internal.value, external.value);
    let (problem, remedy) = if !from.addr().is_ipv4() {
        let remedy = "take type = \"Static\" with an external prefix of the same length";
        (format!("a dynamic rule is for IPv4, not for {from}"), remedy.to_owned())
    } else if to.prefix_len() < from.prefix_len() {
        let remedy = format!("take a prefix of length /{} or longer", from.prefix_len());
        (format!("{to} is larger than {from}, which it is to hide"), remedy)
    } else if to.prefix_len() < DYNAMIC_PREFIX_MIN {
        let problem = format!("{to} has more addresses than a dynamic rule can use");
        (problem, format!("take a prefix of length /{DYNAMIC_PREFIX_MIN} or longer"))
    } else if overlap(from, to) {
        (format!("{to} is a part of {from}, which it is to hide"), FREE.to_owned())
    } else {
        warn_of_few_ports(external, report);
        return true;
    };
    report.error(&external.place, problem, remedy);
    false
}

/// Warns where external addresses are so many that a host gets less than all ports of its own one.
fn warn_of_few_ports(external: &Located<IpNet>, report: &mut Report<'_>) {
    let ports = ports_each(external.value);
    if ports < ADDRESS_PORTS {
        let (addresses, to) = (addresses(external.value), external.value);
        let problem = format!(
            "{to} has {addresses} addresses, and so {ports} ports each: all sessions of a host have to do with those of one address"
        );
        let remedy = "take a prefix of length /28 or longer, whose addresses have 64512 ports each";
        report.warning(&external.place, problem, remedy);
    }
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
/// 4,096 external addresses.
const DYNAMIC_PREFIX_MIN: u8 = 20;
/// Ports of an external address that are given away: those from 1024 on.
pub(crate) const ADDRESS_PORTS: u64 = 64_512;
/// Ports of a rule: 17 MB.
const RULE_PORTS_MAX: u64 = 1 << 20;
/// Ports of all rules of the appliance: 537 MB.
pub(crate) const PORTS_MAX: u64 = 1 << 25;
const FREE: &str = "take a prefix that nobody around this gateway has";
