//! What is behind the gateway of another appliance: what our own selectors name, and what was negotiated.

use std::collections::BTreeSet;

use crossgate_config::{Config, Connection, prefix_flaw};
use crossgate_dataplane::forwarding::TunnelId;
use crossgate_dataplane::selector::Selectors;
use ipnet::IpNet;

use super::forwarding::prefixes_of;

/// Most prefixes that are taken from what one peer says: they are looked through for every snapshot.
const NEGOTIATED_MAX: usize = 1024;

/// The prefixes that lead to a connection's peer.
///
/// What our selectors name leads there whatever the peer made of them, since it would leave by a shorter route otherwise; only what is ours or configured inside it
/// does not. Of what the peer says, nothing is taken that is ours or known to be elsewhere: by configuration, or because another such gateway, whose connection's name
/// comes first, says so too (`earlier`: what was found for those). The peer has proved who it is; what it may not do is to take the traffic of what is configured.
pub(super) fn prefixes(
    config: &Config,
    connection: &Connection,
    policy: &[(TunnelId, Selectors)],
    earlier: &[IpNet],
) -> Vec<IpNet> {
    let network = config.network_of(connection);
    let others: Vec<&Connection> = config
        .connections()
        .values()
        .filter(|other| other.name != connection.name && config.network_of(other).name == network.name)
        .collect();
    let peerings = config.peerings().values().filter(|peering| peering.virtual_network == network.name);
    let peered = peerings
        .flat_map(|peering| &config.virtual_networks()[&peering.remote_virtual_network].address_space);
    let configured: BTreeSet<IpNet> = others
        .iter()
        .flat_map(|other| config.prefixes_behind(other))
        .chain(network.address_space.iter().copied())
        .chain(peered.copied())
        .filter(|prefix| prefix.prefix_len() > 0)
        .collect();
    let is_sound = |prefix: &IpNet| prefix.prefix_len() > 0 && prefix_flaw(*prefix).is_none();

    let named = connection.traffic_selectors.remote.iter().copied().filter(is_sound);
    let named = named.flat_map(|prefix| {
        // A shorter prefix of somebody else's does not matter: the longest wins.
        let inside = configured.iter().chain(earlier).copied().filter(|other| prefix.contains(other));
        without(prefix, &inside.collect::<Vec<_>>())
    });

    let named_by_others = others
        .iter()
        .filter(|other| other.learns_prefixes())
        .flat_map(|other| &other.traffic_selectors.remote);
    let routed = network.routes.iter().map(|route| &route.prefix);
    let elsewhere = named_by_others.chain(routed).filter(|prefix| prefix.prefix_len() > 0);
    let taken: Vec<IpNet> = configured.iter().chain(elsewhere).chain(earlier).copied().collect();
    let ranges = policy.iter().flat_map(|(_, selectors)| &selectors.remote);
    let negotiated: Vec<IpNet> = ranges.flat_map(|selector| prefixes_of(&selector.addresses)).collect();
    let negotiated = IpNet::aggregate(&negotiated).into_iter().filter(is_sound);
    let negotiated = negotiated.flat_map(|prefix| without(prefix, &taken)).take(NEGOTIATED_MAX);
    named.chain(negotiated).collect::<BTreeSet<_>>().into_iter().collect()
}

/// The parts of a prefix in which none of the others is.
fn without(prefix: IpNet, others: &[IpNet]) -> Vec<IpNet> {
    if others.iter().any(|other| other.contains(&prefix)) {
        return Vec::new();
    }
    let inside: Vec<IpNet> = others.iter().copied().filter(|other| prefix.contains(other)).collect();
    if inside.is_empty() {
        return vec![prefix];
    }
    let halves =
        prefix.subnets(prefix.prefix_len() + 1).expect("what has another inside is no single address");
    halves.flat_map(|half| without(half, &inside)).collect()
}
