//! Local network gateways: the peers and the prefixes behind them.

use std::net::IpAddr;

use ipnet::IpNet;
use toml::de::DeValue;

use crate::document::Section;
use crate::name::Name;
use crate::prefix::{is_link_local, without_overlaps};
use crate::report::Report;
use crate::shelf::Shelf;
use crate::value::{Value, Wrong, wrong_type};

/// Where a peer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PeerAddress {
    /// At this address, and nowhere else (until NAT moves its port).
    At(IpAddr),
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
    /// The prefixes behind it; at least one, and they do not overlap.
    pub prefixes: Vec<IpNet>,
}

impl Value for PeerAddress {
    fn read(value: &DeValue<'_>) -> Result<Self, Wrong> {
        let example = "\"192.0.2.2\", or \"any\" for a peer that calls from anywhere";
        let text = value.as_str().ok_or_else(|| wrong_type("an IP address", value, example))?;
        match (text, IpAddr::read(value)) {
            ("any", _) => Ok(Self::Any),
            (_, Ok(address)) if is_link_local(address) => Err(Wrong {
                problem: format!(
                    "{address} is a link-local address: tunnels end at addresses that are routed"
                ),
                remedy: format!("write it like {example}"),
            }),
            (_, Ok(address)) => Ok(Self::At(address)),
            (_, Err(wrong)) => {
                Err(Wrong { problem: wrong.problem, remedy: format!("write it like {example}") })
            }
        }
    }
}

/// Reads each `[[local_network_gateway]]`.
pub(crate) fn read(root: &mut Section<'_>, report: &mut Report<'_>) -> Shelf<LocalNetworkGateway> {
    let mut peers = Shelf::new("local network gateway");
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
        let place = section.place_of("prefixes");
        let prefixes = section.required_list("prefixes", "[\"10.2.0.0/16\"]", report).unwrap_or_default();
        if prefixes.len() > PREFIXES_MAX {
            let problem = format!("{} prefixes are more than {PREFIXES_MAX}", prefixes.len());
            report.error(&place, problem, "join prefixes that lie side by side");
        }
        let prefixes = without_overlaps(prefixes, report);
        section.finish(report);
        let peer = name.as_ref().zip(address).map(|(name, address)| {
            let (name, address) = (name.value.clone(), address.value);
            LocalNetworkGateway { name, address, prefixes }
        });
        peers.put(name, peer);
    }
    peers
}

/// Prefixes of one peer, as in Azure.
const PREFIXES_MAX: usize = 1000;
