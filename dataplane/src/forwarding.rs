//! What every worker knows about the network and none of them changes: interfaces, virtual networks with their routes
//! and own addresses, tunnels with their selectors. One immutable value, built by the control thread with a
//! [`Builder`], swapped by a message between two bursts; the old one travels back and is dropped by the control thread.
//!
//! Identifiers are chosen by the control thread and mean the same thing from one snapshot to the next: what
//! workers keep between snapshots (neighbours, outbound SAs, path MTUs) is keyed by them. They should be small, since
//! tables are indexed by them. A lookup with an identifier that the snapshot does not know is `None`, never a panic.
//!
//! Not in here: SAs (`sa`), neighbours ([`crate::neighbour`]), the trie itself ([`crate::route`]).

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use ipnet::IpNet;

use crate::circuit::Circuit;
use crate::header::ethernet::Mac;
use crate::header::ndp;
use crate::header::vlan::VlanId;
use crate::meter::Share;
use crate::route::{Trie, key};
use group::Group;
use tunnel::Placed;

pub use builder::{BuildError, Builder, Reach};
pub use group::{GROUP_MAX, GroupId, Member};
pub use tunnel::{DontFragment, Entrance, MssClamp, Tunnel};

mod builder;
mod entry;
mod group;
mod tunnel;

/// A virtual network's routing table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VrfId(pub u16);

impl VrfId {
    /// The public side: WAN ports, outer packets, IKE.
    pub const UNDERLAY: Self = Self(0);
}

/// A port, or one VLAN of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterfaceId(pub u16);

/// One Child-SA policy of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TunnelId(pub u32);

/// Position of a port in the list of ports that every worker has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortIndex(pub u16);

/// A port, or one VLAN of it, in a virtual network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// The port.
    pub port: PortIndex,
    /// None for untagged frames.
    pub vlan: Option<VlanId>,
    /// The virtual network.
    pub vrf: VrfId,
    /// Our MAC address there.
    pub mac: Mac,
    /// Longest IP packet, in bytes, without Ethernet header and VLAN tag.
    pub mtu_bytes: u16,
    /// Our addresses, each with the length of the prefix that is reached directly. The IPv6 link-local address
    /// is not among them: see [`Interface::link_local`].
    pub addresses: Vec<IpNet>,
}

impl Interface {
    /// Our link-local address, from the MAC address (RFC 4291, appendix A).
    #[must_use]
    pub fn link_local(&self) -> Ipv6Addr {
        let [a, b, c, d, e, f] = self.mac.0;
        Ipv6Addr::from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f])
    }

    /// Whether the address is ours on this interface, link-local included.
    #[must_use]
    pub fn owns(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|own| own.addr() == address) || address == IpAddr::V6(self.link_local())
    }

    /// Whether frames to this MAC address are for us: our own, broadcast (ARP), all IPv6 nodes, and the groups in which
    /// others ask for our IPv6 addresses (RFC 4291, 2.8).
    #[must_use]
    pub fn listens_to(&self, destination: Mac) -> bool {
        let asks_for = |address: Ipv6Addr| destination == Mac::of_multicast_v6(ndp::solicited_node(address));
        if !destination.is_multicast() {
            return destination == self.mac;
        }
        destination == Mac::BROADCAST
            || destination == Mac::of_multicast_v6(ndp::ALL_NODES)
            || asks_for(self.link_local())
            || self.addresses.iter().any(|own| matches!(own.addr(), IpAddr::V6(own) if asks_for(own)))
    }

    /// Our address that shares a prefix with `peer`, else our first one of that family: the source of ARP requests,
    /// neighbour solicitations and ICMP errors. IPv6 falls back to (and towards link-local peers uses) the link-local
    /// address; an interface without an IPv4 address has none.
    #[must_use]
    pub fn source_towards(&self, peer: IpAddr) -> Option<IpAddr> {
        if is_link_local(peer) {
            return Some(self.link_local().into());
        }
        let family = || self.addresses.iter().filter(|own| own.addr().is_ipv4() == peer.is_ipv4());
        let shared = family().find(|own| own.contains(&peer)).or_else(|| family().next());
        match (shared, peer) {
            (Some(own), _) => Some(own.addr()),
            (None, IpAddr::V6(_)) => Some(self.link_local().into()),
            (None, IpAddr::V4(_)) => None,
        }
    }

    /// Whether the address lies in a prefix that this interface reaches directly (RFC 4861, 2.1 "on-link").
    #[must_use]
    pub fn is_on_link(&self, address: IpAddr) -> bool {
        is_link_local(address) || self.addresses.iter().any(|own| own.contains(&address))
    }
}

/// Where a packet goes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NextHop {
    /// No route: dropped, with an ICMP error to the sender.
    Unreachable,
    /// Dropped in silence: multicast, broadcast, reserved addresses, and what the operator blackholes.
    Blackhole,
    /// One of our own addresses in this virtual network, configured on that interface.
    Local(InterfaceId),
    /// The destination itself is the neighbour.
    Connected(InterfaceId),
    /// This neighbour on that interface.
    Via(InterfaceId, IpAddr),
    /// Into a tunnel, if its selectors agree: see [`Forwarding::tunnel_for`].
    Tunnel(TunnelId),
    /// Into one of several tunnels that lead to the same site, likewise.
    Group(GroupId),
    /// To a circuit that is down, where no tunnel leads: dropped, with an ICMP error to the sender.
    CircuitDown,
}

impl NextHop {
    /// Whether it leads into tunnels.
    #[must_use]
    pub const fn is_tunnel(self) -> bool {
        matches!(self, Self::Tunnel(_) | Self::Group(_))
    }
}

/// A virtual network's routes, one trie a family; leaves are indices into `routes`.
#[derive(Debug)]
struct Vrf {
    ipv4: Trie,
    ipv6: Trie,
    routes: Vec<Route>,
}

/// What the longest prefix that covers an address says.
#[derive(Debug)]
struct Route {
    next_hop: NextHop,
    /// Policies (by their first tunnels) out of which packets of these sources may come: those that any route of this very prefix leads to, also
    /// where another one of them won (RFC 3704, 2.3: feasible paths).
    policies: Vec<TunnelId>,
    /// Circuits out of which packets of these sources may come, whichever of them is in use, if any.
    circuits: Vec<InterfaceId>,
}

/// The snapshot.
#[derive(Debug)]
pub struct Forwarding {
    interfaces: Vec<Option<Interface>>,
    /// Per port, sorted by VLAN, untagged first.
    ports: Vec<Vec<(Option<VlanId>, InterfaceId)>>,
    vrfs: Vec<Option<Vrf>>,
    tunnels: Vec<Option<Placed>>,
    groups: Vec<Option<Group>>,
    /// By tunnel; empty where no gateway's bandwidth is limited.
    shares: Vec<Option<Arc<Share>>>,
    /// By interface; empty where there is no circuit.
    circuits: Vec<Option<Circuit>>,
    /// Networks whose packets may enter the tunnels of another one.
    transits: Vec<(VrfId, VrfId)>,
    /// Whether any tunnel translates addresses.
    translates: bool,
}

impl Forwarding {
    /// A snapshot without interfaces and routes; what a worker starts with.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            interfaces: Vec::new(),
            ports: Vec::new(),
            vrfs: Vec::new(),
            tunnels: Vec::new(),
            groups: Vec::new(),
            shares: Vec::new(),
            circuits: Vec::new(),
            transits: Vec::new(),
            translates: false,
        }
    }

    /// Starts a snapshot.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The interface on which a frame arrived.
    #[must_use]
    pub fn interface_at(&self, port: PortIndex, vlan: Option<VlanId>) -> Option<InterfaceId> {
        let of_port = self.ports.get(usize::from(port.0))?;
        let at = of_port.binary_search_by_key(&vlan, |(vlan, _)| *vlan).ok()?;
        Some(of_port[at].1)
    }

    /// An interface.
    #[must_use]
    pub fn interface(&self, id: InterfaceId) -> Option<&Interface> {
        self.interfaces.get(usize::from(id.0))?.as_ref()
    }

    /// All interfaces, in the order of their identifiers.
    pub fn interfaces(&self) -> impl Iterator<Item = (InterfaceId, &Interface)> {
        (0..).map(InterfaceId).zip(&self.interfaces).filter_map(|(id, i)| Some((id, i.as_ref()?)))
    }

    /// Where a packet for `destination` goes in a virtual network; unreachable where the network is unknown.
    /// Link-local destinations belong to a link and not to a network: see [`Forwarding::route_from`].
    #[must_use]
    pub fn route(&self, vrf: VrfId, destination: IpAddr) -> NextHop {
        self.longest(vrf, destination).map_or(NextHop::Unreachable, |route| route.next_hop)
    }

    fn longest(&self, vrf: VrfId, address: IpAddr) -> Option<&Route> {
        let vrf = self.vrfs.get(usize::from(vrf.0))?.as_ref()?;
        let trie = if address.is_ipv4() { &vrf.ipv4 } else { &vrf.ipv6 };
        vrf.routes.get(trie.lookup(key(address)) as usize)
    }

    /// The network that a next hop is of: the one that the packet came from, unless a peering gave the route. `None`: nowhere.
    #[must_use]
    pub fn network_of(&self, next_hop: NextHop) -> Option<VrfId> {
        match next_hop {
            NextHop::Local(id) | NextHop::Connected(id) | NextHop::Via(id, _) => {
                Some(self.interface(id)?.vrf)
            }
            NextHop::Tunnel(id) => Some(self.tunnel(id)?.vrf),
            NextHop::Group(id) => Some(self.tunnel(self.group(id)?.members.first()?.tunnel)?.vrf),
            NextHop::Blackhole | NextHop::Unreachable | NextHop::CircuitDown => None,
        }
    }

    /// Like [`Forwarding::route`], for a packet that arrived on, or was made for, an interface: link-local
    /// destinations are ours or stay on that link.
    #[must_use]
    pub fn route_from(&self, arrived: InterfaceId, destination: IpAddr) -> NextHop {
        let Some(interface) = self.interface(arrived) else { return NextHop::Unreachable };
        if !is_link_local(destination) {
            return self.route(interface.vrf, destination);
        }
        if interface.owns(destination) { NextHop::Local(arrived) } else { NextHop::Connected(arrived) }
    }

    /// Whether any tunnel has a part in a limited bandwidth.
    #[must_use]
    #[inline]
    pub fn is_metered(&self) -> bool {
        !self.shares.is_empty()
    }

    /// Whether any tunnel translates addresses.
    #[must_use]
    #[inline]
    pub fn translates(&self) -> bool {
        self.translates
    }

    /// A tunnel's part in its gateway's bandwidth; `None`: not limited.
    #[must_use]
    #[inline]
    pub fn share(&self, id: TunnelId) -> Option<&Share> {
        self.shares.get(usize::try_from(id.0).ok()?)?.as_deref()
    }

    /// Whether any interface leads to a circuit.
    #[must_use]
    #[inline]
    pub fn has_circuits(&self) -> bool {
        !self.circuits.is_empty()
    }

    /// The circuit that an interface leads to.
    #[must_use]
    #[inline]
    pub fn circuit(&self, id: InterfaceId) -> Option<&Circuit> {
        self.circuits.get(usize::from(id.0))?.as_ref()
    }

    /// Where a packet to this address would go in a network, and the circuits out of which packets from it may come.
    #[must_use]
    pub fn origin_of(&self, vrf: VrfId, source: IpAddr) -> (NextHop, &[InterfaceId]) {
        match self.longest(vrf, source) {
            Some(route) => (route.next_hop, &route.circuits),
            None => (NextHop::Unreachable, &[]),
        }
    }

    /// Memory of all routing tables, in bytes.
    #[must_use]
    pub fn routes_bytes(&self) -> usize {
        self.vrfs.iter().flatten().map(|vrf| vrf.ipv4.memory_bytes() + vrf.ipv6.memory_bytes()).sum()
    }
}

/// Whether an address means something on one link only (fe80::/10, IPv4 has no scope that a router must know).
pub(crate) fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

#[cfg(test)]
mod tests;
