//! Builds and checks a [`Forwarding`]. Called by the control thread only.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net};

use super::entry::{CircuitRoute, Entry, circuit_entries, kept_inside};
use super::group::{GROUP_MAX, Group, GroupId, Member};
use super::tunnel::{Order, Placed};
use super::{Forwarding, Interface, InterfaceId, NextHop, Route, Tunnel, TunnelId, Vrf, VrfId};
use crate::circuit::Circuit;
use crate::meter::Share;
use crate::route::{Prefix, Trie};
use crate::selector::index::Sides;

mod circuits;

/// Why a snapshot would contradict itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// two interfaces take the same frames
    #[error("interfaces {0:?} and {1:?} have the same port and VLAN: give one of them another VLAN")]
    SameFrames(InterfaceId, InterfaceId),
    /// a route or alternative names an interface that is not there
    #[error("no interface {0:?}")]
    NoInterface(InterfaceId),
    /// a route or alternative names a tunnel that is not there
    #[error("no tunnel {0:?}")]
    NoTunnel(TunnelId),
    /// a route names a group that is not there
    #[error("no group {0:?}")]
    NoGroup(GroupId),
    /// a group has no member, or too many
    #[error("{0:?} has {1} tunnels, not 1 to {GROUP_MAX}")]
    GroupSize(GroupId, usize),
    /// a route leads into another virtual network
    #[error("a route of {0:?} leads to {1:?} of another virtual network")]
    OtherNetwork(VrfId, NextHop),
    /// the alternative of a tunnel has to have a greater identifier
    #[error("{0:?} has {1:?} as its alternative, which does not come after it")]
    AlternativeOrder(TunnelId, TunnelId),
    /// a next hop has to be reached directly
    #[error("next hop {0} is not in a prefix of {1:?}: use an address of that network")]
    NextHopOffLink(IpAddr, InterfaceId),
}

/// Collects interfaces, tunnels and routes. The order of calls does not matter; of two routes with the same
/// prefix the later one wins, and configured routes win over the ones that follow from addresses, own addresses excepted.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    interfaces: BTreeMap<InterfaceId, Interface>,
    tunnels: BTreeMap<TunnelId, Tunnel>,
    groups: BTreeMap<GroupId, Vec<Member>>,
    routes: Vec<(VrfId, IpNet, NextHop)>,
    shares: BTreeMap<TunnelId, Arc<Share>>,
    circuits: BTreeMap<InterfaceId, Circuit>,
    circuit_routes: Vec<CircuitRoute>,
    spaces: Vec<(VrfId, IpNet)>,
    peerings: Vec<Peering>,
}

/// How far a network reaches into one that it is peered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// To that network's own addresses.
    Network,
    /// Also through its tunnels.
    Gateways,
}

/// One direction of a peering.
#[derive(Clone, Debug)]
struct Peering {
    vrf: VrfId,
    remote: VrfId,
    space: Vec<IpNet>,
    reach: Reach,
}

impl Peering {
    /// Whether a route of the remote network is one of the other network's too.
    fn gives(&self, entry: &Entry) -> bool {
        match entry.next_hop {
            NextHop::Tunnel(_) | NextHop::Group(_) => self.reach == Reach::Gateways,
            _ if entry.backing.is_some() => self.reach == Reach::Gateways,
            NextHop::Unreachable => false,
            _ => self.space.iter().any(|space| space.contains(&entry.prefix)),
        }
    }
}

impl Builder {
    /// Adds an interface (or replaces the one of that identifier), with the routes that follow from its addresses.
    pub fn interface(&mut self, id: InterfaceId, interface: Interface) -> &mut Self {
        self.interfaces.insert(id, interface);
        self
    }

    /// Adds a tunnel (or replaces the one of that identifier). It gets no packets without a route to it.
    pub fn tunnel(&mut self, id: TunnelId, tunnel: Tunnel) -> &mut Self {
        self.tunnels.insert(id, tunnel);
        self
    }

    /// Adds a group of tunnels (or replaces the one of that identifier), in one network all of them.
    pub fn group(&mut self, id: GroupId, members: Vec<Member>) -> &mut Self {
        self.groups.insert(id, members);
        self
    }

    /// Gives a tunnel a part in a limited bandwidth; the tunnels of one connection have one in common.
    pub fn share(&mut self, tunnel: TunnelId, share: Arc<Share>) -> &mut Self {
        self.shares.insert(tunnel, share);
        self
    }

    /// Lets a network reach a remote one by that one's own routes within `space`; not by those that it has from other peerings, so that peerings are
    /// not transitive. The way back is another call.
    pub fn peer(&mut self, vrf: VrfId, remote: VrfId, space: &[IpNet], reach: Reach) -> &mut Self {
        self.peerings.push(Peering { vrf, remote, space: space.to_vec(), reach });
        self
    }

    /// Adds a route.
    pub fn route(&mut self, vrf: VrfId, prefix: IpNet, next_hop: NextHop) -> &mut Self {
        self.routes.push((vrf, prefix, next_hop));
        self
    }

    /// Checks everything and builds the tables.
    ///
    /// # Errors
    /// The first contradiction found.
    pub fn build(&self) -> Result<Forwarding, BuildError> {
        self.check()?;
        let mut interfaces = Vec::new();
        let mut ports: Vec<Vec<_>> = Vec::new();
        for (id, interface) in &self.interfaces {
            put(&mut interfaces, usize::from(id.0), interface.clone());
            let port = usize::from(interface.port.0);
            ports.resize(ports.len().max(port + 1), Vec::new());
            ports[port].push((interface.vlan, *id));
        }
        for of_port in &mut ports {
            of_port.sort_unstable();
            if let Some(same) = of_port.windows(2).find(|pair| pair[0].0 == pair[1].0) {
                return Err(BuildError::SameFrames(same[0].1, same[1].1));
            }
        }
        let policies = self.policies();
        let mut tunnels = Vec::new();
        for (id, tunnel) in &self.tunnels {
            let (sides, order) = (Sides::of(&tunnel.selectors), self.order(*id, policies[id]));
            let placed = Placed { tunnel: tunnel.clone(), policy: policies[id], sides, order };
            put(&mut tunnels, id.0 as usize, placed);
        }
        let mut groups = Vec::new();
        for (id, members) in &self.groups {
            put(&mut groups, id.0 as usize, Group { members: members.iter().copied().collect() });
        }
        let transits = self.peerings.iter().filter(|peering| peering.reach == Reach::Gateways);
        let transits = transits.map(|peering| (peering.vrf, peering.remote)).collect();
        let mut shares = Vec::new();
        for (id, share) in &self.shares {
            put(&mut shares, id.0 as usize, Arc::clone(share));
        }
        let mut circuits = Vec::new();
        for (id, circuit) in &self.circuits {
            put(&mut circuits, usize::from(id.0), circuit.clone());
        }
        let translates = self.tunnels.values().any(|tunnel| !tunnel.nat.is_empty());
        let vrfs = self.vrfs(&policies);
        Ok(Forwarding { interfaces, ports, vrfs, tunnels, groups, shares, circuits, transits, translates })
    }

    /// How the tunnels of a policy are found, kept by its first one.
    fn order(&self, id: TunnelId, policy: TunnelId) -> Option<Box<Order>> {
        if id != policy {
            return None;
        }
        let tunnel = |id| self.tunnels.get(&id).map(|tunnel| (id, tunnel));
        let all = std::iter::successors(tunnel(id), |(_, last)| tunnel(last.alternative?));
        let all: Vec<_> = all.map(|(id, tunnel)| (id, &tunnel.selectors)).collect();
        Order::of(&all)
    }

    /// The policy of each tunnel: the first of those that lead to it as their alternative.
    fn policies(&self) -> BTreeMap<TunnelId, TunnelId> {
        let mut policies = BTreeMap::new();
        for (id, tunnel) in &self.tunnels {
            // Alternatives have greater numbers, so that whoever leads here has been seen.
            let policy = *policies.entry(*id).or_insert(*id);
            if let Some(next) = tunnel.alternative {
                policies.entry(next).or_insert(policy);
            }
        }
        policies
    }

    fn check(&self) -> Result<(), BuildError> {
        for (id, tunnel) in &self.tunnels {
            let Some(next) = tunnel.alternative else { continue };
            let other = self.tunnels.get(&next).ok_or(BuildError::NoTunnel(next))?;
            if next <= *id {
                return Err(BuildError::AlternativeOrder(*id, next));
            }
            if other.vrf != tunnel.vrf {
                return Err(BuildError::OtherNetwork(tunnel.vrf, NextHop::Tunnel(next)));
            }
        }
        self.groups.iter().try_for_each(|(id, members)| self.check_group(*id, members))?;
        for id in self.circuits.keys() {
            self.interfaces.get(id).ok_or(BuildError::NoInterface(*id))?;
        }
        for CircuitRoute { vrf, on, next_hop, .. } in &self.circuit_routes {
            let next_hop = next_hop.map_or(NextHop::Connected(*on), |next_hop| NextHop::Via(*on, next_hop));
            self.check_route(*vrf, next_hop)?;
        }
        self.routes.iter().try_for_each(|(vrf, _, next_hop)| self.check_route(*vrf, *next_hop))
    }

    fn check_group(&self, id: GroupId, members: &[Member]) -> Result<(), BuildError> {
        if members.is_empty() || members.len() > GROUP_MAX {
            return Err(BuildError::GroupSize(id, members.len()));
        }
        let vrf_of = |member: &Member| {
            let tunnel = self.tunnels.get(&member.tunnel);
            tunnel.map(|tunnel| tunnel.vrf).ok_or(BuildError::NoTunnel(member.tunnel))
        };
        let vrf = vrf_of(&members[0])?;
        members.iter().try_for_each(|member| match vrf_of(member)? == vrf {
            true => Ok(()),
            false => Err(BuildError::OtherNetwork(vrf, NextHop::Tunnel(member.tunnel))),
        })
    }

    /// The first tunnels of the policies that a route leads to.
    fn led_to(&self, next_hop: NextHop) -> Vec<TunnelId> {
        match next_hop {
            NextHop::Tunnel(id) => vec![id],
            NextHop::Group(id) => self.groups[&id].iter().map(|member| member.tunnel).collect(),
            _ => Vec::new(),
        }
    }

    fn check_route(&self, vrf: VrfId, next_hop: NextHop) -> Result<(), BuildError> {
        let owner = match next_hop {
            NextHop::Unreachable | NextHop::Blackhole | NextHop::CircuitDown => return Ok(()),
            NextHop::Local(id) | NextHop::Connected(id) | NextHop::Via(id, _) => {
                let interface = self.interfaces.get(&id).ok_or(BuildError::NoInterface(id))?;
                if let NextHop::Via(_, address) = next_hop
                    && !interface.is_on_link(address)
                {
                    return Err(BuildError::NextHopOffLink(address, id));
                }
                interface.vrf
            }
            NextHop::Tunnel(id) => self.tunnels.get(&id).ok_or(BuildError::NoTunnel(id))?.vrf,
            NextHop::Group(id) => {
                let members = self.groups.get(&id).ok_or(BuildError::NoGroup(id))?;
                self.tunnels[&members[0].tunnel].vrf // checked before
            }
        };
        if owner == vrf { Ok(()) } else { Err(BuildError::OtherNetwork(vrf, next_hop)) }
    }

    fn vrfs(&self, policies: &BTreeMap<TunnelId, TunnelId>) -> Vec<Option<Vrf>> {
        let mut by_vrf: BTreeMap<VrfId, Vec<Entry>> = BTreeMap::new();
        let of_interfaces = self.interfaces.values().map(|interface| interface.vrf);
        for vrf in of_interfaces.chain(self.tunnels.values().map(|tunnel| tunnel.vrf)) {
            by_vrf.entry(vrf).or_default();
        }
        // Later ones win: reserved prefixes, then what follows from addresses, then configured routes, then circuits, then ourselves.
        for routes in by_vrf.values_mut() {
            routes.extend(RESERVED.iter().map(|prefix| Entry::new(parse(prefix), NextHop::Blackhole)));
        }
        for (id, interface) in &self.interfaces {
            let routes = by_vrf.entry(interface.vrf).or_default();
            let connected = |own: &IpNet| Entry::new(own.trunc(), NextHop::Connected(*id));
            routes.extend(interface.addresses.iter().map(connected));
        }
        for (vrf, prefix, next_hop) in &self.routes {
            by_vrf.entry(*vrf).or_default().push(Entry::new(prefix.trunc(), *next_hop));
        }
        for (vrf, routes) in &mut by_vrf {
            let of_circuits = circuit_entries(&self.circuit_routes, *vrf, routes);
            routes.extend(of_circuits);
        }
        for (id, interface) in &self.interfaces {
            let routes = by_vrf.entry(interface.vrf).or_default();
            routes.extend(interface.addresses.iter().filter_map(broadcast_of));
            let local = |own: &IpNet| Entry::new(own.addr().into(), NextHop::Local(*id));
            routes.extend(interface.addresses.iter().map(local));
        }
        self.peered(&mut by_vrf);
        for (vrf, routes) in &mut by_vrf {
            let spaces = self.spaces.iter().filter(|(of, _)| of == vrf);
            let kept = kept_inside(spaces.map(|(_, space)| *space), routes);
            routes.extend(kept);
        }
        let mut vrfs = Vec::new();
        for (id, routes) in by_vrf {
            put(&mut vrfs, usize::from(id.0), self.table(&routes, policies));
        }
        vrfs
    }

    /// Adds what networks have from peerings, in front: what is a network's own comes later and wins.
    fn peered(&self, by_vrf: &mut BTreeMap<VrfId, Vec<Entry>>) {
        let given: Vec<(VrfId, Vec<_>)> = self
            .peerings
            .iter()
            .map(|peering| {
                let remote = by_vrf.get(&peering.remote).into_iter().flatten();
                (peering.vrf, remote.filter(|entry| peering.gives(entry)).cloned().collect())
            })
            .collect();
        for (vrf, mut routes) in given {
            let own = by_vrf.entry(vrf).or_default();
            routes.append(own);
            *own = routes;
        }
    }

    fn table(&self, routes: &[Entry], policies: &BTreeMap<TunnelId, TunnelId>) -> Vrf {
        let first_tunnels = |next_hop: NextHop| -> Vec<TunnelId> {
            self.led_to(next_hop).iter().map(|tunnel| policies[tunnel]).collect()
        };
        let mut feasible: HashMap<IpNet, Vec<TunnelId>> = HashMap::new();
        for Entry { prefix, next_hop, .. } in routes {
            if next_hop.is_tunnel() {
                let of_prefix = feasible.entry(*prefix).or_default();
                of_prefix.extend(first_tunnels(*next_hop));
                of_prefix.sort_unstable();
                of_prefix.dedup();
            }
        }
        let mut distinct =
            vec![Route { next_hop: NextHop::Unreachable, policies: Vec::new(), circuits: Vec::new() }];
        let mut known = HashMap::from([((NextHop::Unreachable, Vec::new(), Vec::new()), 0)]);
        let (mut ipv4, mut ipv6) = (Vec::new(), Vec::new());
        for Entry { prefix, next_hop, backing } in routes {
            // Where something else than a tunnel won, no tunnel may speak for the prefix; a circuit leaves it to both.
            let (policies, circuits) = match backing {
                Some(backing) => {
                    let mut of_tunnels: Vec<_> =
                        backing.tunnels.iter().flat_map(|next_hop| first_tunnels(*next_hop)).collect();
                    of_tunnels.sort_unstable();
                    of_tunnels.dedup();
                    (of_tunnels, backing.circuits.clone())
                }
                None if next_hop.is_tunnel() => {
                    (feasible.get(prefix).cloned().unwrap_or_default(), Vec::new())
                }
                None => (Vec::new(), Vec::new()),
            };
            let leaf = *known.entry((*next_hop, policies, circuits)).or_insert_with_key(
                |(next_hop, policies, circuits)| {
                    let (policies, circuits) = (policies.clone(), circuits.clone());
                    distinct.push(Route { next_hop: *next_hop, policies, circuits });
                    u32::try_from(distinct.len() - 1).expect("fewer than 2^32 routes")
                },
            );
            let family = if prefix.addr().is_ipv4() { &mut ipv4 } else { &mut ipv6 };
            family.push((Prefix::from(*prefix), leaf));
        }
        Vrf { ipv4: Trie::build(0, ipv4), ipv6: Trie::build(0, ipv6), routes: distinct }
    }
}

/// The all-ones address of an IPv4 subnet: never forwarded (RFC 2644).
fn broadcast_of(own: &IpNet) -> Option<Entry> {
    match own {
        IpNet::V4(own) if own.prefix_len() < 31 => {
            Some(Entry::new(Ipv4Net::from(own.broadcast()).into(), NextHop::Blackhole))
        }
        _ => None,
    }
}

fn put<T>(table: &mut Vec<Option<T>>, at: usize, value: T) {
    if table.len() <= at {
        table.resize_with(at + 1, || None);
    }
    table[at] = Some(value);
}

fn parse(prefix: &str) -> IpNet {
    prefix.parse().expect("the constant prefixes are valid")
}

/// Never forwarded: "this network", loopback, multicast, reserved and broadcast (RFC 1812, 5.3.7; RFC 6890).
const RESERVED: [&str; 8] =
    ["0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/4", "240.0.0.0/4", "::/128", "::1/128", "fe80::/10", "ff00::/8"];
