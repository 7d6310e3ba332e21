//! Random configurations. `generate/text.rs` writes them, `generate/way.rs` says where packets go by them.

mod text;
mod way;

pub(super) use way::Way;

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use proptest::prelude::*;

/// A site: its prefixes are 10.(20 + number).0.0/24 and on.
#[derive(Debug, Clone)]
pub(super) struct Site {
    pub(super) number: u8,
    pub(super) network: u8,
    pub(super) prefixes: u8,
    dpd_timeout_s: u16,
    mode: &'static str,
    /// The `routing_weight` of a second connection to it (number + 100), and of its own, if there is one.
    second_weight: Option<u8>,
    nat: Translation,
    selectors: Selectors,
    /// Whether it speaks IKEv1.
    is_old: bool,
}

/// NAT rules of a site. Of meaning for sizes that have them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Translation {
    None,
    /// The network knows its prefixes by others, 100.(64 + number).0.0/24 and on.
    Static,
    /// It knows the network's hosts by one address.
    Dynamic,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Selectors {
    AnyToAny,
    PolicyBased,
    /// The lower half of the network.
    Own,
}

/// A network with the addresses of the first one and a site with the prefixes of the first one's.
#[derive(Debug, Clone)]
struct Twin {
    is_policy_based: bool,
    site: u8,
}

/// How the first two networks reach each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    None,
    Peered,
    /// The second has no gateway of its own, and uses that of the first.
    Transit,
    Tunnel,
}

/// A configuration of three networks at most.
#[derive(Debug, Clone)]
pub(super) struct Edit {
    second_network: bool,
    twin: Option<Twin>,
    link: Link,
    is_active_active: bool,
    /// Whether everything else leads from the first network to a site.
    is_forced: bool,
    sku: &'static str,
    static_route: Option<u8>,
    /// Where the addresses of each network's clients come from, 172.16.(10 * this + network).0/24; none without clients.
    pools: [Option<u8>; 2],
    /// A circuit of the first network, to 10.8.0.0/16 and, if it says so, 10.16.0.0/12, in which the sites' prefixes lie.
    circuit: Option<bool>,
    sites: Vec<Site>,
}

fn site() -> impl Strategy<Value = Site> {
    let mode = prop::sample::select(vec!["Default", "InitiatorOnly", "ResponderOnly"]);
    let nat = prop::sample::select(vec![Translation::None, Translation::Static, Translation::Dynamic]);
    let selectors = prop::sample::select(vec![Selectors::AnyToAny, Selectors::PolicyBased, Selectors::Own]);
    let settings = (9..12_u16, mode, nat, selectors, prop::bool::weighted(0.2));
    (0..5_u8, 0..2_u8, 1..4_u8, settings, prop::option::of(0..3_u8)).prop_map(
        |(number, network, prefixes, (dpd_timeout_s, mode, nat, selectors, is_old), second_weight)| Site {
            number,
            network,
            prefixes,
            dpd_timeout_s,
            mode,
            second_weight,
            nat,
            selectors,
            is_old,
        },
    )
}

pub(super) fn edit() -> impl Strategy<Value = Edit> {
    let sku = prop::sample::select(vec!["VpnGw1", "VpnGw2", "VpnGw3", "VpnGw2AZ"]);
    let link = prop::sample::select(vec![Link::None, Link::Peered, Link::Transit, Link::Tunnel]);
    let pool = || prop::option::of(0..3_u8);
    let twin = (any::<bool>(), 0..5_u8).prop_map(|(is_policy_based, site)| Twin { is_policy_based, site });
    let switches = (any::<bool>(), link, any::<bool>(), any::<bool>(), prop::option::of(twin));
    let routed = (prop::option::of(0..3_u8), (pool(), pool()), prop::option::of(any::<bool>()));
    (switches, routed, sku, prop::collection::vec(site(), 0..5)).prop_map(
        |(
            (second_network, link, is_active_active, is_forced, twin),
            (static_route, (first, second), circuit),
            sku,
            mut sites,
        )| {
            let link = if second_network { link } else { Link::None };
            let second_gateway = second_network && link != Link::Transit;
            sites.sort_by_key(|site| site.number);
            sites.dedup_by_key(|site| site.number);
            sites.retain(|site| site.network == 0 || second_gateway);
            let pools = [first, second.filter(|_| second_gateway)];
            Edit {
                second_network,
                twin,
                link,
                is_active_active,
                is_forced,
                sku,
                static_route,
                pools,
                circuit,
                sites,
            }
        },
    )
}

impl Site {
    /// The connections to it.
    fn connections(&self) -> impl Iterator<Item = u8> {
        let ways = 1 + u8::from(self.second_weight.is_some());
        let number = self.number;
        (0..ways).map(move |way| number + way * 100)
    }

    fn prefix(&self, third: u8) -> Ipv4Net {
        prefix(10, self.number + 20, third)
    }
}

fn prefix(first: u8, second: u8, third: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(first, second, third, 0), 24)
}

impl Edit {
    /// One network with a gateway, and nothing else.
    pub(super) fn nothing() -> Self {
        Self {
            second_network: false,
            twin: None,
            link: Link::None,
            is_active_active: false,
            is_forced: false,
            sku: "VpnGw1",
            static_route: None,
            pools: [None, None],
            circuit: None,
            sites: Vec::new(),
        }
    }

    pub(super) fn networks(&self) -> impl Iterator<Item = u8> {
        let others = [(1, self.second_network), (2, self.twin.is_some())];
        std::iter::once(0)
            .chain(others.into_iter().filter(|(_, is_there)| *is_there).map(|(number, _)| number))
    }

    fn has_gateway(&self, network: u8) -> bool {
        network != 1 || self.link != Link::Transit
    }

    /// The third part of the addresses of a network's clients.
    fn pool(&self, network: u8) -> Option<u8> {
        self.pools.get(usize::from(network)).copied().flatten().map(|pool| 10 * pool + network)
    }

    fn has_rules(&self) -> bool {
        self.sku != "VpnGw1"
    }
}

/// The second part of a network's addresses: the third network has the first one's.
pub(super) fn space(network: u8) -> u8 {
    network % 2
}

/// Addresses of everything that a configuration may name.
pub(super) fn addresses() -> impl Iterator<Item = Ipv4Addr> {
    let seconds = [0, 1, 8, 9, 18, 20, 21, 22, 23, 24, 25];
    let inside = seconds.into_iter().flat_map(|second| {
        [(0, 1), (0, 7), (1, 7), (2, 7), (3, 7)].map(|(third, last)| Ipv4Addr::new(10, second, third, last))
    });
    let known = (64..69).flat_map(|second| [0, 1, 2].map(|third| Ipv4Addr::new(100, second, third, 7)));
    let clients = [0, 1, 10, 11, 20, 21].map(|third| Ipv4Addr::new(172, 16, third, 7));
    inside.chain(known).chain(clients)
}
