//! Where packets go by a configuration: a model of its own.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::{Edit, Link, Translation, prefix, space};

/// Where a configuration has a packet of a network go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Way {
    /// Into a tunnel of one of these connections, or nowhere.
    Tunnels(BTreeSet<String>),
    /// The same, once a client has this address.
    Client(String),
    /// To the circuit while it is up, else into a tunnel of one of these connections, or nowhere.
    Circuit(BTreeSet<String>),
    /// In no tunnel.
    Other,
}

impl Edit {
    /// Where a packet of a host in `network` goes: by the longest prefix.
    pub(in super::super) fn way(&self, network: u8, to: Ipv4Addr) -> Way {
        let ways = self.ways(network);
        let fitting = ways.into_iter().filter(|(prefix, _)| prefix.contains(&to));
        fitting.max_by_key(|(prefix, _)| prefix.prefix_len()).map_or(Way::Other, |(_, way)| way)
    }

    /// Whether a packet of a host in `network` to there needs nothing but an SA to be sent to the peer, or to a host of the other network.
    pub(in super::super) fn arrives(&self, network: u8, to: Ipv4Addr) -> bool {
        // Hosts of the second network may be outside of what the first one's selectors say; addresses that no host has go nowhere.
        let Way::Tunnels(names) = self.way(network, to) else { return false };
        let is_between = names.iter().any(|name| name.starts_with('v'));
        self.has_gateway(network) && !names.contains("f") && (!is_between || to.octets()[2..] == [0, 7])
    }

    fn ways(&self, network: u8) -> Vec<(Ipv4Net, Way)> {
        let mut ways = self.ways_of_gateways(network);
        let whole = |network: u8| Ipv4Net::new_assert(Ipv4Addr::new(10, space(network), 0, 0), 16);
        let hosts = |network: u8| prefix(10, space(network), 0);
        ways.push((hosts(network), Way::Other));
        if network == 0 && self.static_route.is_some() {
            ways.push((Ipv4Net::new_assert(Ipv4Addr::new(10, 9, 0, 0), 16), Way::Other));
        }
        if network < 2 && self.second_network {
            match self.link {
                Link::None => {}
                Link::Peered => ways.push((hosts(1 - network), Way::Other)),
                Link::Transit => {
                    ways.push((hosts(1 - network), Way::Other));
                    if network == 1 {
                        ways.extend(self.ways_of_gateways(0));
                    }
                }
                Link::Tunnel => ways.push((whole(1 - network), tunnels([format!("v{network}")]))),
            }
        }
        ways
    }

    /// What is behind the gateways of a network.
    fn ways_of_gateways(&self, network: u8) -> Vec<(Ipv4Net, Way)> {
        let mut ways = Vec::new();
        for site in self.sites.iter().filter(|site| site.network == network) {
            let names = site.connections().map(|way| format!("c{way}"));
            let way = tunnels(names);
            let is_translated = site.nat == Translation::Static && self.has_rules();
            let known = |third| match is_translated {
                true => prefix(100, site.number + 64, third),
                false => site.prefix(third),
            };
            ways.extend((0..site.prefixes).map(|third| (known(third), way.clone())));
        }
        if let Some(twin) = self.twin.as_ref().filter(|_| network == 2) {
            ways.push((prefix(10, twin.site + 20, 0), tunnels([format!("t{}", twin.site)])));
        }
        if let Some(third) = self.pool(network) {
            ways.push((prefix(172, 16, third), Way::Client(format!("g{network}-clients"))));
        }
        if network == 0 {
            let forced = self.is_forced.then(|| "f".to_owned());
            ways.extend(forced.clone().map(|name| (Ipv4Net::default(), tunnels([name]))));
            let behind = |second, length| Ipv4Net::new_assert(Ipv4Addr::new(10, second, 0, 0), length);
            let line = Way::Circuit(forced.into_iter().collect());
            ways.extend(self.circuit.map(|_| (behind(8, 16), line.clone())));
            ways.extend(self.circuit.filter(|is_wide| *is_wide).map(|_| (behind(16, 12), line)));
        }
        ways
    }
}

fn tunnels(names: impl IntoIterator<Item = String>) -> Way {
    Way::Tunnels(names.into_iter().collect())
}
