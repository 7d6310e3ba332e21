//! Tunnels in a snapshot: which of them takes a packet of the network, and which packets may have come out of one.
//!
//! Selectors and routes look at a packet from two sides. Selectors were agreed upon with the peer and name addresses as they are in the tunnel; routes
//! are the network's and name them as they are there. Between the two stands the tunnel's address translation ([`crate::nat`]).

use std::net::IpAddr;

use super::group::{Group, GroupId, Preference};
use super::{Forwarding, NextHop, TunnelId, VrfId};
use crate::counter::Counter;
use crate::nat::Nat;
use crate::sa::Direction;
use crate::selector::index::{AddressIndex, MANY, Sides, common};
use crate::selector::{Flow, Selectors};

/// What happens with the "don't fragment" bit of the outer IPv4 header (RFC 4301, 8.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DontFragment {
    /// Outer as inner; set for inner IPv6.
    #[default]
    Copy,
    /// Always set.
    Set,
    /// Never set: outer packets may be fragmented on their way.
    Clear,
}

/// Upper bound that is put on the TCP MSS option of packets in both directions of a tunnel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MssClamp {
    /// What fits into the tunnel's path MTU.
    #[default]
    Auto,
    /// This many bytes, or what fits if that is less.
    Bytes(u16),
    /// Left alone.
    Off,
}

/// One Child-SA policy of one connection. Its current outbound SA is not here: workers keep it by [`TunnelId`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tunnel {
    /// The virtual network whose packets it carries.
    pub vrf: VrfId,
    /// Which packets it may carry, by their addresses in the tunnel.
    pub selectors: Selectors,
    /// Tried next for outbound packets that the selectors reject: the rest of an ordered policy (RFC 4301,
    /// 4.4.1) whose tunnels share a route. Always a greater identifier, so that the list ends.
    pub alternative: Option<TunnelId>,
    /// TCP MSS clamping.
    pub mss_clamp: MssClamp,
    /// The outer "don't fragment" bit.
    pub dont_fragment: DontFragment,
    /// Address translation, the same in all tunnels of a connection.
    pub nat: Nat,
}

/// A tunnel in its place.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) tunnel: Tunnel,
    /// The first tunnel of the ordered policy that it belongs to; its own number if it stands alone.
    pub(super) policy: TunnelId,
    /// Where it has many selectors.
    pub(super) sides: Option<Box<Sides>>,
    /// Where it is the first of many.
    pub(super) order: Option<Box<Order>>,
}

impl Placed {
    fn takes(&self, flow: &Flow) -> bool {
        match &self.sides {
            Some(sides) => sides.matches_outbound(&self.tunnel.selectors, flow),
            None => self.tunnel.selectors.matches_outbound(flow),
        }
    }
}

/// The tunnels of a long ordered policy, found by the addresses of a packet as it is in the tunnel.
#[derive(Debug)]
pub(super) struct Order {
    tunnels: Vec<TunnelId>,
    local: AddressIndex,
    remote: AddressIndex,
}

impl Order {
    /// `None`: there are so few tunnels that each can be asked.
    pub(super) fn of(tunnels: &[(TunnelId, &Selectors)]) -> Option<Box<Self>> {
        if tunnels.len() < MANY {
            return None;
        }
        let all = || tunnels.iter().enumerate();
        let local = all()
            .flat_map(|(at, (_, selectors))| selectors.local.iter().map(move |one| (at, &one.addresses)));
        let remote = all()
            .flat_map(|(at, (_, selectors))| selectors.remote.iter().map(move |one| (at, &one.addresses)));
        Some(Box::new(Self {
            tunnels: tunnels.iter().map(|(id, _)| *id).collect(),
            local: AddressIndex::new(tunnels.len(), local),
            remote: AddressIndex::new(tunnels.len(), remote),
        }))
    }

    /// Those that have both addresses, in the policy's order.
    fn of_flow<'o>(&'o self, flow: &Flow) -> impl Iterator<Item = TunnelId> + use<'o> {
        common(self.local.of(flow.source), self.remote.of(flow.destination)).map(|at| self.tunnels[at])
    }
}

/// The tunnel that takes a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entrance<'f> {
    /// Its number.
    pub id: TunnelId,
    /// The tunnel.
    pub tunnel: &'f Tunnel,
    /// The packet as it will be in the tunnel.
    pub flow: Flow,
}

impl Forwarding {
    /// A tunnel.
    #[must_use]
    pub fn tunnel(&self, id: TunnelId) -> Option<&Tunnel> {
        Some(&self.placed(id)?.tunnel)
    }

    fn placed(&self, id: TunnelId) -> Option<&Placed> {
        self.tunnels.get(usize::try_from(id.0).ok()?)?.as_ref()
    }

    /// Whether a tunnel carries packets of this network: its own, or one that uses the gateway of its own by a peering.
    #[must_use]
    #[inline]
    pub fn may_enter(&self, vrf: VrfId, tunnel: &Tunnel) -> bool {
        tunnel.vrf == vrf || self.transits.contains(&(vrf, tunnel.vrf))
    }

    /// Whether any route of a network to the prefix of this source leads to the tunnel's policy.
    #[must_use]
    pub fn is_feasible(&self, id: TunnelId, vrf: VrfId, source: IpAddr) -> bool {
        let (placed, route) = (self.placed(id), self.longest(vrf, source));
        placed.zip(route).is_some_and(|(placed, route)| route.policies.contains(&placed.policy))
    }

    pub(super) fn group(&self, id: GroupId) -> Option<&Group> {
        self.groups.get(usize::try_from(id.0).ok()?)?.as_ref()
    }

    /// The tunnels that a route into tunnels leads to, in the order in which a flow tries them: of a group the member first that the flow prefers, each with
    /// its alternatives after it. Of a long policy only those that have the flow's addresses.
    pub fn candidates(&self, routed: NextHop, flow: &Flow) -> impl Iterator<Item = (TunnelId, &Tunnel)> {
        let firsts = match routed {
            NextHop::Tunnel(id) => Preference::from_iter([id]),
            NextHop::Group(id) => self.group(id).map_or_else(Preference::new, |group| group.preference(flow)),
            _ => Preference::new(),
        };
        let numbered = |id| Some((id, self.tunnel(id)?));
        firsts.into_iter().flat_map(move |first| {
            let order = self.placed(first).and_then(|placed| {
                let order = placed.order.as_ref()?;
                // The rules are those of the connection: what one of its tunnels cannot translate, none can, and the first tells.
                let in_tunnel = placed.tunnel.nat.flow(Direction::Outbound, flow).ok()?;
                Some(order.of_flow(&in_tunnel))
            });
            let chain = if order.is_none() { numbered(first) } else { None };
            let chain = std::iter::successors(chain, move |(_, tunnel)| numbered(tunnel.alternative?));
            chain.chain(order.into_iter().flatten().filter_map(numbered))
        })
    }

    /// Whether a tunnel's selectors take an outbound packet, described as it is in the tunnel.
    #[must_use]
    pub fn takes(&self, id: TunnelId, flow: &Flow) -> bool {
        self.placed(id).is_some_and(|placed| placed.takes(flow))
    }

    /// The first of the [candidates](Self::candidates) whose selectors take an outbound packet and that is up. Where
    /// none of them is up, the first whose selectors take it: to be dropped there, and to ask for an SA.
    ///
    /// Passing over a tunnel without an SA opens no hole: what takes the packet instead has agreed to carry it, and leads to the same site. An alternative is of the
    /// same policy, and so of the same peer and connection; it matters after a change of selectors, where the tunnel of the old Child SA lasts until its last packets
    /// have come in. Another member of a group is there for that.
    ///
    /// # Errors
    /// The drop reason: `SelectorOutbound`, `NatNoMapping`.
    pub fn tunnel_for(
        &self,
        routed: NextHop,
        flow: &Flow,
        is_up: impl Fn(TunnelId) -> bool,
    ) -> Result<Entrance<'_>, Counter> {
        let mut first = None;
        for (id, tunnel) in self.candidates(routed, flow) {
            let flow = tunnel.nat.flow(Direction::Outbound, flow)?;
            if self.takes(id, &flow) {
                let entrance = Entrance { id, tunnel, flow };
                if is_up(id) {
                    return Ok(entrance);
                }
                first = first.or(Some(entrance));
            }
        }
        first.ok_or(Counter::SelectorOutbound)
    }

    /// The tunnel that an authentic packet came out of, and the packet as it will be in the network, if it may have come that way: the tunnel's
    /// selectors cover it (RFC 4301, 5.2, step 4), and its source is not to be found elsewhere. Selectors of a routed tunnel cover any pair of
    /// addresses; without the second check a peer could speak for our own network, or for another peer's.
    ///
    /// The source's longest prefix has to lead to the tunnel's policy; of several equal prefixes any may (the peer may be reached through
    /// several connections, whichever of them is used the other way). A source without a route speaks for nobody that we know: selectors
    /// that name it decide; selectors that name everything do not, but for ICMP errors, since routers on the peer's side often have
    /// addresses that nobody routes, and path MTU discovery depends on what they say.
    ///
    /// # Errors
    /// The drop reason: `EspSelectorMismatch`, `EspWrongSource`, `NatNoMapping`.
    pub fn tunnel_of_inbound(&self, id: TunnelId, flow: &Flow) -> Result<(&Tunnel, Flow), Counter> {
        let Placed { tunnel, policy, sides, .. } = self.placed(id).ok_or(Counter::EspSelectorMismatch)?;
        let selector = match sides {
            Some(sides) => sides.match_inbound(&tunnel.selectors, flow),
            None => tunnel.selectors.match_inbound(flow),
        };
        let Some(selector) = selector else { return Err(Counter::EspSelectorMismatch) };
        let flow = tunnel.nat.flow(Direction::Inbound, flow)?;
        let (next_hop, policies) = match self.longest(tunnel.vrf, flow.source) {
            Some(route) => (route.next_hop, route.policies.as_slice()),
            None => (NextHop::Unreachable, [].as_slice()),
        };
        let is_theirs = policies.contains(policy);
        let is_nobodys = next_hop == NextHop::Unreachable;
        if is_theirs || (is_nobodys && (!selector.addresses.is_everything() || flow.is_icmp_error())) {
            Ok((tunnel, flow))
        } else {
            Err(Counter::EspWrongSource)
        }
    }
}
