//! Local network gateways: the peers and the prefixes behind them.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use toml::de::DeValue;

use crate::bgp::{self, PeerBgpSettings};
use crate::document::Section;
use crate::identity::Identity;
use crate::name::Name;
use crate::prefix::{is_link_local, without_overlaps};
use crate::report::{Located, Report};
use crate::shelf::Shelf;
use crate::value::{Value, Wrong, wrong_type};

/// Where a peer is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PeerAddress {
    /// At this address, and nowhere else (until NAT moves its port).
    At(IpAddr),
    /// Where this name leads, whenever it is called; in lower case, without a dot at the end. It may call from anywhere.
    Named(String),
    /// Anywhere (`"any"`): it must call us, and is known by its identity.
    Any,
}

/// A peer and the networks behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalNetworkGateway {
    /// Name, unique among local network gateways.
    pub name: Name,
    /// Where it is.
    pub address: PeerAddress,
    /// Where it is called when nobody answers there, in this order; never "any", and the addresses among them of one family with the first.
    pub backup_addresses: Vec<PeerAddress>,
    /// The prefixes behind it; at least one, and they do not overlap.
    pub prefixes: Vec<IpNet>,
    /// Its settings for BGP, which is not spoken.
    pub bgp: Option<PeerBgpSettings>,
}

impl LocalNetworkGateway {
    /// Where it is called, the first place before its backups.
    pub fn places(&self) -> impl Iterator<Item = &PeerAddress> {
        std::iter::once(&self.address).chain(&self.backup_addresses)
    }

    /// The addresses among them.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.places().filter_map(PeerAddress::address)
    }
}

impl PeerAddress {
    /// A name that means the same on every machine: at least two labels, the last of which is no number. `None` if `text` is none.
    #[must_use]
    pub fn named(text: &str) -> Option<Self> {
        let Some(Identity::Fqdn(name)) = Identity::parse(text) else { return None };
        let (_, last) = name.rsplit_once('.')?;
        last.chars().any(|c| !c.is_ascii_digit()).then_some(Self::Named(name))
    }

    /// The address, if it is one.
    #[must_use]
    pub const fn address(&self) -> Option<IpAddr> {
        match self {
            Self::At(address) => Some(*address),
            Self::Named(_) | Self::Any => None,
        }
    }
}

/// As a configuration would write it.
impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(address) => address.fmt(f),
            Self::Named(name) => f.write_str(name),
            Self::Any => f.write_str("any"),
        }
    }
}

impl Value for PeerAddress {
    fn read(value: &DeValue<'_>) -> Result<Self, Wrong> {
        let example = "\"192.0.2.2\" or \"gw.example.net\", or \"any\" for a peer that calls from anywhere";
        let wrong = |problem| Wrong { problem, remedy: format!("write it like {example}") };
        let text = value.as_str().ok_or_else(|| wrong_type("an IP address or a name", value, example))?;
        match (text, IpAddr::read(value)) {
            ("any", _) => Ok(Self::Any),
            (_, Ok(address)) if is_link_local(address) => Err(wrong(format!(
                "{address} is a link-local address: tunnels end at addresses that are routed"
            ))),
            (_, Ok(address)) => Ok(Self::At(address)),
            (_, Err(flaw)) if text.parse::<IpAddr>().is_ok() => Err(wrong(flaw.problem)),
            _ => Self::named(text)
                .ok_or_else(|| wrong(format!("{text:?} is neither an IP address nor a whole name"))),
        }
    }
}

/// Reads each `[[local_network_gateway]]`.
pub(crate) fn read(root: &mut Section<'_>, report: &mut Report<'_>) -> Shelf<LocalNetworkGateway> {
    let mut peers = Shelf::new("local network gateway");
    let mut speakers: BTreeMap<IpAddr, usize> = BTreeMap::new();
    for section in root.sections("local_network_gateway", report) {
        let Some(mut section) = section else {
            peers.put(None, None);
            continue;
        };
        let name = section.name("local_network_gateway", report);
        if let Some(name) = &name {
            peers.declare(name, report);
        }
        let address = section.required::<PeerAddress>("address", "\"192.0.2.2\"", report);
        let backup_addresses = backup_addresses(&mut section, address.as_ref(), report);
        let place = section.place_of("prefixes");
        let prefixes = section.required_list("prefixes", "[\"10.2.0.0/16\"]", report).unwrap_or_default();
        if prefixes.len() > PREFIXES_MAX {
            let problem = format!("{} prefixes are more than {PREFIXES_MAX}", prefixes.len());
            report.error(&place, problem, "join prefixes that lie side by side");
        }
        let prefixes = without_overlaps(prefixes, report);
        let bgp = bgp::of_peer(&mut section, address.as_ref().map(|found| &found.value), &prefixes, report);
        let bgp = bgp.map(|Located { value, place }| {
            if let Some(line) = speakers.insert(value.peering_address, place.line) {
                let problem = format!(
                    "{} is the BGP address of the peer on line {line} already",
                    value.peering_address
                );
                report.error(&place, problem, "give each peer an address of its own for BGP");
            }
            value
        });
        section.finish(report);
        let peer = name.as_ref().zip(address).map(|(name, address)| {
            let (name, address) = (name.value.clone(), address.value);
            LocalNetworkGateway { name, address, backup_addresses, prefixes, bgp }
        });
        peers.put(name, peer);
    }
    peers
}

/// Reads the other places of a peer that is at `first` else.
fn backup_addresses(
    section: &mut Section<'_>,
    first: Option<&Located<PeerAddress>>,
    report: &mut Report<'_>,
) -> Vec<PeerAddress> {
    let list_place = section.place_of("backup_addresses");
    let list = section.list::<PeerAddress>("backup_addresses", report).unwrap_or_default();
    if !list.is_empty() && first.is_some_and(|first| first.value == PeerAddress::Any) {
        let problem = "a peer that calls from anywhere is never called, here or there";
        report.error(&list_place, problem, "give its address, or leave backup_addresses out");
    }
    if list.len() > BACKUPS_MAX {
        let problem = format!("{} places are more than {BACKUPS_MAX}", list.len());
        report.error(&list_place, problem, "keep those that the peer is most likely to be at");
    }
    let mut places: Vec<PeerAddress> = first.map(|first| first.value.clone()).into_iter().collect();
    let own = places.len();
    for Located { value, place } in list {
        let other_family = places
            .iter()
            .filter_map(PeerAddress::address)
            .find(|other| value.address().is_some_and(|address| address.is_ipv4() != other.is_ipv4()));
        if value == PeerAddress::Any {
            report.error(&place, "nobody can be called at \"any\"", "write an address or a name");
        } else if places.contains(&value) {
            let problem = format!("\"{value}\" is a place of this peer already");
            report.error(&place, problem, "leave it out here");
        } else if let Some(other) = other_family {
            let problem = format!("{value} and {other} are of two address families");
            let remedy = "take addresses of one family: our end of the tunnel has one address";
            report.error(&place, problem, remedy);
        } else {
            places.push(value);
        }
    }
    places.split_off(own)
}

/// Other places of one peer: each costs some seconds when nobody answers anywhere.
const BACKUPS_MAX: usize = 7;
/// Prefixes of one peer, as in Azure.
const PREFIXES_MAX: usize = 1000;
