//! What becomes of a flow, as far as addresses alone decide that: asked for its first packet, of the same functions as the general stages.

use std::net::IpAddr;

use super::super::receive::{addresses_v4, addresses_v6};
use super::super::route;
use crate::flow::Way;
use crate::forwarding::{Forwarding, InterfaceId, NextHop, TunnelId, VrfId};
use crate::header::Protocol;
use crate::icmp::Delivery;
use crate::packet::Origin;
use crate::sa::Direction;
use crate::selector::Flow;

/// What addresses alone decide about a plain packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Not they alone, or to drop it.
    General,
    /// It is for us, in the underlay.
    Ours,
    /// It goes into this tunnel, whatever its protocol and ports.
    Enter(TunnelId),
    /// It goes to this neighbour.
    Forward(InterfaceId, IpAddr),
}

pub(super) fn decide(
    way: Way,
    source: IpAddr,
    destination: IpAddr,
    forwarding: &Forwarding,
    is_up: impl Fn(TunnelId) -> bool,
) -> Decision {
    // Protocol and ports do not matter where selectors are asked that look at addresses only, and ICMP errors may only do more.
    let protocol = Protocol::UDP;
    let flow = Flow { source, destination, protocol, source_port: None, destination_port: None };
    if !may_be_forwarded(source, destination) {
        return Decision::General;
    }
    let (vrf, origin, flow) = match way {
        Way::Interface(id) => match forwarding.interface(id) {
            Some(interface) if interface.vrf == VrfId::UNDERLAY => {
                return match forwarding.route_from(id, destination) {
                    NextHop::Local(_) => Decision::Ours,
                    _ => Decision::General,
                };
            }
            Some(interface) => (interface.vrf, Origin::Interface(id, Delivery::Unicast), flow),
            None => return Decision::General,
        },
        Way::Tunnel(id) => match forwarding.tunnel_of_inbound(id, &flow) {
            Ok((tunnel, inside))
                if tunnel.selectors.look_at_addresses_only()
                    && !tunnel.nat.is_dynamic(Direction::Inbound, source, destination) =>
            {
                (tunnel.vrf, Origin::Tunnel(id), inside)
            }
            _ => return Decision::General,
        },
    };
    match route::next_hop(forwarding, vrf, origin, &flow) {
        Ok(NextHop::Connected(interface)) => Decision::Forward(interface, flow.destination),
        Ok(NextHop::Via(interface, next_hop)) => Decision::Forward(interface, next_hop),
        Ok(routed) if routed.is_tunnel() => enter(routed, vrf, &flow, forwarding, is_up),
        _ => Decision::General,
    }
}

/// The tunnel that takes the flow, provided that all asked before it and itself look at addresses only, and that one is up.
fn enter(
    routed: NextHop,
    vrf: VrfId,
    flow: &Flow,
    forwarding: &Forwarding,
    is_up: impl Fn(TunnelId) -> bool,
) -> Decision {
    for (id, tunnel) in forwarding.candidates(routed, flow) {
        if !tunnel.selectors.look_at_addresses_only() {
            return Decision::General;
        }
        if tunnel.nat.is_dynamic(Direction::Outbound, flow.source, flow.destination) {
            return Decision::General;
        }
        let Ok(in_tunnel) = tunnel.nat.flow(Direction::Outbound, flow) else { return Decision::General };
        if forwarding.takes(id, &in_tunnel) && is_up(id) {
            return if forwarding.may_enter(vrf, tunnel) { Decision::Enter(id) } else { Decision::General };
        }
    }
    Decision::General
}

fn may_be_forwarded(source: IpAddr, destination: IpAddr) -> bool {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => addresses_v4(source, destination).is_ok(),
        (IpAddr::V6(source), IpAddr::V6(destination)) => addresses_v6(source, destination).is_ok(),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
