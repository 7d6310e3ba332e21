//! Entries of a routing table that is being built, and what becomes of the prefixes behind circuits: the one place where a circuit, a tunnel or neither is chosen.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::{InterfaceId, NextHop, VrfId};

/// A prefix with where it leads.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) prefix: IpNet,
    pub(super) next_hop: NextHop,
    /// For a prefix behind a circuit: all ways to it.
    pub(super) backing: Option<Arc<Backing>>,
}

/// The ways to a prefix behind a circuit, whether they are in use or not: packets may come by any of them.
#[derive(Debug, Default)]
pub(super) struct Backing {
    pub(super) circuits: Vec<InterfaceId>,
    /// Next hops into tunnels.
    pub(super) tunnels: Vec<NextHop>,
}

/// A prefix behind a circuit.
#[derive(Clone, Debug)]
pub(super) struct CircuitRoute {
    pub(super) vrf: VrfId,
    pub(super) prefix: IpNet,
    pub(super) on: InterfaceId,
    /// The neighbour on the circuit that leads there; `None` while the circuit is down.
    pub(super) next_hop: Option<IpAddr>,
}

impl Entry {
    pub(super) fn new(prefix: IpNet, next_hop: NextHop) -> Self {
        Self { prefix, next_hop, backing: None }
    }
}

/// What a network's circuits add to the `routes` that it has besides. An entry for each prefix, whether its circuits are up or not: nothing else than another circuit
/// or a tunnel takes it over, in particular no static route.
pub(super) fn circuit_entries(circuits: &[CircuitRoute], vrf: VrfId, routes: &[Entry]) -> Vec<Entry> {
    // Shorter prefixes first: what a prefix is a part of is known by then.
    let mut wanted: BTreeMap<(u8, IpNet), Vec<&CircuitRoute>> = BTreeMap::new();
    for route in circuits.iter().filter(|route| route.vrf == vrf) {
        wanted.entry((route.prefix.prefix_len(), route.prefix)).or_default().push(route);
    }
    if wanted.is_empty() {
        return Vec::new();
    }
    let mut tunnels: HashMap<IpNet, Vec<NextHop>> = HashMap::new();
    for entry in routes.iter().filter(|entry| entry.next_hop.is_tunnel()) {
        tunnels.entry(entry.prefix).or_default().push(entry.next_hop);
    }
    let mut entries: BTreeMap<IpNet, Entry> = BTreeMap::new();
    for ((_, prefix), ways) in wanted {
        let cover = cover(prefix, &entries, &tunnels);
        let alive = ways.iter().find_map(|way| Some(NextHop::Via(way.on, way.next_hop?)));
        let next_hop = alive.or(cover.as_ref().map(|(next_hop, _)| *next_hop));
        let mut backing = cover.map(|(_, backing)| backing).unwrap_or_default();
        backing.circuits.extend(ways.iter().map(|way| way.on));
        backing.circuits.sort_unstable();
        backing.circuits.dedup();
        let next_hop = next_hop.unwrap_or(NextHop::CircuitDown);
        entries.insert(prefix, Entry { prefix, next_hop, backing: Some(Arc::new(backing)) });
    }
    entries.into_values().collect()
}

/// Where packets to `prefix` go if no circuit of its own takes them, and by which ways they may come then: as those of the longest prefix that it is a part of, among those of
/// circuits and tunnels. A circuit's entry has taken the tunnels to its very prefix in.
fn cover(
    prefix: IpNet,
    circuits: &BTreeMap<IpNet, Entry>,
    tunnels: &HashMap<IpNet, Vec<NextHop>>,
) -> Option<(NextHop, Backing)> {
    let mut around = std::iter::successors(Some(prefix), IpNet::supernet);
    around.find_map(|around| {
        if let Some(backing) = circuits.get(&around).and_then(|entry| entry.backing.as_ref()) {
            let (circuits_of, tunnels) = (backing.circuits.clone(), backing.tunnels.clone());
            return Some((circuits[&around].next_hop, Backing { circuits: circuits_of, tunnels }));
        }
        let next_hops = tunnels.get(&around)?;
        // Of equal ones the last wins, as everywhere.
        Some((*next_hops.last()?, Backing { circuits: Vec::new(), tunnels: next_hops.clone() }))
    })
}

/// What keeps `spaces` from being parts of circuits' prefixes, given all `routes` of a network: for each that would be, the way that it has without circuits, or none.
pub(super) fn kept_inside(spaces: impl Iterator<Item = IpNet>, routes: &[Entry]) -> Vec<Entry> {
    let mut spaces = spaces.peekable();
    if spaces.peek().is_none() {
        return Vec::new();
    }
    let of_circuits: HashSet<IpNet> =
        routes.iter().filter(|entry| entry.backing.is_some()).map(|entry| entry.prefix).collect();
    let others: HashMap<IpNet, NextHop> = routes
        .iter()
        .filter(|entry| entry.backing.is_none())
        .map(|entry| (entry.prefix, entry.next_hop))
        .collect();
    let entry = |space: IpNet| {
        let mut around = std::iter::successors(Some(space), IpNet::supernet);
        let longest = around.find(|around| of_circuits.contains(around) || others.contains_key(around))?;
        if longest == space || !of_circuits.contains(&longest) {
            return None;
        }
        let mut around = std::iter::successors(Some(longest), IpNet::supernet);
        let next_hop = around.find_map(|around| others.get(&around).copied());
        Some(Entry::new(space, next_hop.unwrap_or(NextHop::Unreachable)))
    };
    spaces.filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forwarding::TunnelId;

    const VRF: VrfId = VrfId(1);
    const LAN: InterfaceId = InterfaceId(1);

    fn net(text: &str) -> IpNet {
        text.parse().expect("a prefix")
    }

    fn circuit(number: u16, prefix: &str, is_up: bool) -> CircuitRoute {
        let next_hop = is_up.then(|| [172, 31, 0, 2].into());
        CircuitRoute { vrf: VRF, prefix: net(prefix), on: InterfaceId(number), next_hop }
    }

    fn via(number: u16) -> NextHop {
        NextHop::Via(InterfaceId(number), [172, 31, 0, 2].into())
    }

    fn tunnel(number: u32, prefix: &str) -> Entry {
        Entry::new(net(prefix), NextHop::Tunnel(TunnelId(number)))
    }

    /// Where a prefix leads, and the numbers of the circuits and tunnels out of which packets may come.
    fn way(entries: &[Entry], prefix: &str) -> (NextHop, Vec<u16>, Vec<NextHop>) {
        let entry = entries.iter().find(|entry| entry.prefix == net(prefix)).expect("an entry");
        let backing = entry.backing.as_ref().expect("it is of a circuit");
        let circuits = backing.circuits.iter().map(|on| on.0).collect();
        (entry.next_hop, circuits, backing.tunnels.clone())
    }

    #[test]
    fn a_dead_circuit_leaves_its_prefix_to_the_longest_one_around_it() {
        let routes = [tunnel(1, "10.0.0.0/8"), tunnel(2, "10.2.0.0/15"), tunnel(3, "10.2.0.0/15")];
        let circuits = [
            circuit(5, "10.2.0.0/16", false),
            circuit(6, "10.0.0.0/12", true),
            circuit(7, "10.2.7.0/24", false),
        ];
        let entries = circuit_entries(&circuits, VRF, &routes);
        let (second, third) = (NextHop::Tunnel(TunnelId(2)), NextHop::Tunnel(TunnelId(3)));
        assert_eq!(
            way(&entries, "10.2.0.0/16"),
            (third, vec![5], vec![second, third]),
            "a tunnel nearer than a circuit"
        );
        assert_eq!(
            way(&entries, "10.2.7.0/24"),
            (third, vec![5, 7], vec![second, third]),
            "through a dead circuit's"
        );
        assert_eq!(way(&entries, "10.0.0.0/12"), (via(6), vec![6], vec![NextHop::Tunnel(TunnelId(1))]));
        let alone = circuit_entries(
            &[circuit(5, "10.9.0.0/16", false)],
            VRF,
            &[Entry::new(net("0.0.0.0/0"), NextHop::Connected(LAN))],
        );
        assert_eq!(
            way(&alone, "10.9.0.0/16"),
            (NextHop::CircuitDown, vec![5], vec![]),
            "no other route takes it over"
        );
    }

    #[test]
    fn of_several_circuits_the_first_that_is_alive_has_the_prefix() {
        let circuits = |first, second| [circuit(5, "10.2.0.0/16", first), circuit(6, "10.2.0.0/16", second)];
        for (first, second, expected) in [
            (true, true, via(5)),
            (false, true, via(6)),
            (true, false, via(5)),
            (false, false, NextHop::CircuitDown),
        ] {
            let entries = circuit_entries(&circuits(first, second), VRF, &[]);
            assert_eq!(way(&entries, "10.2.0.0/16"), (expected, vec![5, 6], vec![]));
        }
    }

    #[test]
    fn as_many_prefixes_as_the_largest_gateway_has_are_placed_beside_very_many_tunnels() {
        let prefix = |number: u32| format!("10.{}.{}.{}/32", number >> 16, (number >> 8) & 255, number & 255);
        let circuits: Vec<_> = (0..9500).map(|number| circuit(5, &prefix(number * 20), false)).collect();
        let routes: Vec<_> = (0..200_000).map(|number| tunnel(number, &prefix(number))).collect();
        let begun = std::time::Instant::now();
        let entries = circuit_entries(&circuits, VRF, &routes);
        // Each with each takes several times as long.
        assert!(begun.elapsed() < std::time::Duration::from_secs(3), "{:?}", begun.elapsed());
        assert!(entries.len() == 9500 && entries.iter().all(|entry| entry.next_hop.is_tunnel()));
    }

    #[test]
    fn what_is_kept_inside_goes_where_it_goes_without_circuits() {
        let mut routes =
            vec![Entry::new(net("10.0.0.0/8"), NextHop::Connected(LAN)), tunnel(1, "10.2.0.0/16")];
        routes.extend(circuit_entries(
            &[circuit(5, "0.0.0.0/0", true), circuit(5, "10.2.0.0/15", true)],
            VRF,
            &routes,
        ));
        let spaces = ["10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16", "192.168.0.0/16"];
        let kept = kept_inside(spaces.iter().map(|space| net(space)), &routes);
        let kept: Vec<_> = kept.iter().map(|entry| (entry.prefix.to_string(), entry.next_hop)).collect();
        let expected = [("10.3.0.0/16", NextHop::Connected(LAN)), ("192.168.0.0/16", NextHop::Unreachable)];
        assert_eq!(kept, expected.map(|(prefix, next_hop)| (prefix.to_owned(), next_hop)));
    }
}
