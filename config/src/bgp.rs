//! BGP settings of gateways and of their peers: numbers and addresses that the cloud's rules allow. BGP itself is not spoken; whoever sets them is told so, and a connection that is
//! to use it is refused.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};

use crate::choice::Choice as _;
use crate::document::Section;
use crate::gateway::{VirtualNetworkGateway, VpnType};
use crate::local_network_gateway::{LocalNetworkGateway, PeerAddress};
use crate::network::VirtualNetwork;
use crate::prefix::within;
use crate::report::{Located, Place, Report};
use crate::sku::Sku;

/// The number of a gateway that sets none.
pub const DEFAULT_ASN: u32 = 65_515;

/// BGP settings of a gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BgpSettings {
    /// Its autonomous system.
    pub asn: u32,
    /// Its addresses for BGP, in the gateway subnet: one, or two of an active-active gateway; none if they are not said.
    pub peering_addresses: Vec<IpAddr>,
    /// Its link-local addresses for peers that have such ones (APIPA).
    pub custom_addresses: Vec<Ipv4Addr>,
    /// What is added to the weight of routes that it learns.
    pub peer_weight: u8,
}

/// BGP settings of a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerBgpSettings {
    /// Its autonomous system.
    pub asn: u32,
    /// Its address for BGP.
    pub peering_address: IpAddr,
    /// What is added to the weight of routes that are learned from it.
    pub peer_weight: u8,
}

/// Reads `bgp_settings` of a gateway of this kind and size, which may be active-active.
pub(crate) fn of_gateway(
    section: &mut Section<'_>,
    (vpn_type, sku, is_active_active): (VpnType, Sku, bool),
    network: Option<&VirtualNetwork>,
    report: &mut Report<'_>,
) -> Option<BgpSettings> {
    refuse(section, report);
    let mut settings = section.section(SETTINGS, report)?;
    let place = settings.place.clone();
    if vpn_type == VpnType::PolicyBased {
        report.error(
            &place,
            "a PolicyBased gateway has no BGP",
            "leave the table out, or take vpn_type = \"RouteBased\"",
        );
    } else if sku == Sku::Basic {
        let problem = format!("a gateway of size {} has no BGP", sku.word());
        report.error(&place, problem, "leave the table out, or take a larger sku");
    }
    let asn = asn(&mut settings, Some(DEFAULT_ASN), report);
    let list_place = settings.place_of("bgp_peering_addresses");
    let list = settings.list::<IpAddr>("bgp_peering_addresses", report).unwrap_or_default();
    let most = if is_active_active { 2 } else { 1 };
    if list.len() > most {
        let problem = format!("{} addresses for BGP are more than {most}", list.len());
        report.error(&list_place, problem, "give one, and a second one to an active-active gateway alone");
    }
    let subnet = network.and_then(|network| network.gateway_subnet);
    for Located { value, place } in &list {
        if subnet.is_some_and(|subnet| !subnet.contains(value)) {
            let remedy =
                "take an address of gateway_subnet; link-local ones stand in custom_bgp_ip_addresses";
            report.error(place, format!("{value} is not in the gateway subnet"), remedy);
        }
    }
    let custom_addresses = custom_addresses(&mut settings, report);
    let peer_weight = settings.integer("peer_weight", PEER_WEIGHT, 0, report);
    settings.finish(report);
    warn(&place, report);
    let peering_addresses = list.into_iter().map(|found| found.value).collect();
    Some(BgpSettings { asn: asn?, peering_addresses, custom_addresses, peer_weight })
}

/// Reads `bgp_settings` of a peer at `address` with these prefixes.
pub(crate) fn of_peer(
    section: &mut Section<'_>,
    address: Option<&PeerAddress>,
    prefixes: &[IpNet],
    report: &mut Report<'_>,
) -> Option<Located<PeerBgpSettings>> {
    let mut settings = section.section(SETTINGS, report)?;
    let place = settings.place.clone();
    let asn = asn(&mut settings, None, report);
    let peering = settings.required::<IpAddr>("bgp_peering_address", "\"10.2.255.1\"", report);
    let peer_weight = settings.integer("peer_weight", PEER_WEIGHT, 0, report);
    settings.finish(report);
    warn(&place, report);
    let Located { value: peering_address, place: address_place } = peering?;
    if address.and_then(PeerAddress::address) == Some(peering_address) {
        let problem = format!("{peering_address} is the peer's public address");
        report.error(
            &address_place,
            problem,
            "take another address of the peer for BGP, such as its loopback's",
        );
    }
    let is_listed = |prefix: &&IpNet| prefix.contains(&peering_address);
    if let Some(prefix) = prefixes.iter().find(is_listed).filter(|_| is_apipa(peering_address)) {
        let problem = format!("the link-local address {peering_address} is in the prefix {prefix}");
        report.error(&address_place, problem, "leave that prefix out: the gateway knows the way by itself");
    }
    Some(Located { value: PeerBgpSettings { asn: asn?, peering_address, peer_weight }, place: address_place })
}

/// Reports what the settings of both sides of a connection may not be together.
pub(crate) fn check_pair(
    gateway: &VirtualNetworkGateway,
    network: Option<&VirtualNetwork>,
    peer: &LocalNetworkGateway,
    place: &Place,
    report: &mut Report<'_>,
) {
    let Some(bgp) = &peer.bgp else { return };
    let own = gateway.bgp.as_ref().map_or(DEFAULT_ASN, |own| own.asn);
    if own == bgp.asn {
        let problem =
            format!("the gateway \"{}\" and \"{}\" have the same ASN, {own}", gateway.name, peer.name);
        report.error(place, problem, "give the peer another asn, or the gateway");
    }
    let host = IpNet::from(bgp.peering_address);
    if let Some(network) = network.filter(|network| within(host, &network.address_space)) {
        let problem = format!(
            "the BGP address of \"{}\", {}, is inside the network \"{}\"",
            peer.name, bgp.peering_address, network.name
        );
        report.error(place, problem, "take an address of the peer's own, such as its loopback's");
    }
}

/// Refuses `enable_bgp = true`.
pub(crate) fn refuse(section: &mut Section<'_>, report: &mut Report<'_>) {
    let wanted = section.optional::<bool>("enable_bgp", report).filter(|wanted| wanted.value);
    if let Some(wanted) = wanted {
        report.error(
            &wanted.place,
            NOT_SPOKEN,
            "leave it out, and list what is behind each peer in its prefixes; bgp_settings may stay",
        );
    }
}

fn warn(place: &Place, report: &mut Report<'_>) {
    let problem =
        "BGP is not spoken by this version: these settings are checked and kept, and no route comes of them";
    report.warning(place, problem, LIST_PREFIXES);
}

/// Reads `asn`; a peer has no default, and may not have the gateways' own.
fn asn(settings: &mut Section<'_>, default: Option<u32>, report: &mut Report<'_>) -> Option<u32> {
    let found = match default {
        Some(default) if !settings.has("asn") => return Some(default),
        _ => settings.required::<u64>("asn", "65010", report)?,
    };
    let remedy = "take one of your own, or a private one: 64512 to 65514, 65521 to 65534";
    let Ok(asn) = u32::try_from(found.value) else {
        report.error(&found.place, format!("{} is no number of an autonomous system", found.value), remedy);
        return None;
    };
    if let Some(owner) = reserved(asn).filter(|_| default != Some(asn)) {
        report.error(&found.place, format!("the ASN {asn} is reserved by {owner}"), remedy);
        return None;
    }
    Some(asn)
}

/// Who keeps a number from others.
fn reserved(asn: u32) -> Option<&'static str> {
    match asn {
        8_074 | 8_075 | 12_076 | 65_515 | 65_517..=65_520 => Some("Azure"),
        0 | 23_456 | 64_496..=64_511 | 65_535..=65_551 | u32::MAX => Some("IANA"),
        _ => None,
    }
}

fn custom_addresses(settings: &mut Section<'_>, report: &mut Report<'_>) -> Vec<Ipv4Addr> {
    let place = settings.place_of("custom_bgp_ip_addresses");
    let list = settings.list::<Link>("custom_bgp_ip_addresses", report).unwrap_or_default();
    if list.len() > CUSTOM_MAX {
        let problem = format!("{} link-local addresses are more than {CUSTOM_MAX}", list.len());
        report.error(&place, problem, "leave out those that no peer uses");
    }
    list.into_iter().map(|found| found.value.0).collect()
}

/// A link-local address that a gateway may have.
struct Link(Ipv4Addr);

impl crate::value::Value for Link {
    fn read(value: &toml::de::DeValue<'_>) -> Result<Self, crate::value::Wrong> {
        let example = "\"169.254.21.2\"";
        let text = value.as_str();
        let text = text.ok_or_else(|| crate::value::wrong_type("an IPv4 address", value, example))?;
        let address =
            text.parse().ok().filter(|address| APIPA_OF_GATEWAYS.iter().any(|of| of.contains(address)));
        address.map(Self).ok_or_else(|| crate::value::Wrong {
            problem: format!("{text:?} is no link-local address that a gateway may have"),
            remedy: format!("take one of 169.254.21.0 to 169.254.22.255, such as {example}"),
        })
    }
}

/// Whether it is a link-local address (RFC 3927), which peers may have.
fn is_apipa(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(address) if address.is_link_local())
}

const SETTINGS: &str = "bgp_settings";
const NOT_SPOKEN: &str = "BGP is not spoken by this version";
const LIST_PREFIXES: &str = "list what is behind each peer in its prefixes";
const PEER_WEIGHT: std::ops::RangeInclusive<u8> = 0..=100;
/// Link-local addresses of a gateway.
const CUSTOM_MAX: usize = 32;
const APIPA_OF_GATEWAYS: [Ipv4Net; 2] = [
    Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 21, 0), 24),
    Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 22, 0), 24),
];
