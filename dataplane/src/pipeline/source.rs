//! Whether a packet may have the source that it has, as far as the network that it is in and the one that it goes to can tell (RFC 4301, 5.2;
//! RFC 3704, 2.3). Asked by the route stage, for every packet that is not ours; what comes out of a tunnel has been checked against the tunnel's own network
//! by then ([`Forwarding::tunnel_of_inbound`]).

use crate::counter::Counter;
use crate::forwarding::{Forwarding, InterfaceId, NextHop, VrfId, is_link_local};
use crate::packet::Origin;
use crate::selector::Flow;

/// What came in clear text may pretend neither to be out of a tunnel nor to be of a network that is peered with its own.
pub(super) fn check_clear(
    forwarding: &Forwarding,
    vrf: VrfId,
    on: InterfaceId,
    flow: &Flow,
) -> Result<(), Counter> {
    if forwarding.has_circuits() {
        return check_beside_circuits(forwarding, vrf, on, flow);
    }
    check_network(forwarding, vrf, forwarding.route(vrf, flow.source))
}

/// `from` is where the source is found.
fn check_network(forwarding: &Forwarding, vrf: VrfId, from: NextHop) -> Result<(), Counter> {
    match from {
        from if from.is_tunnel() => Err(Counter::ClearText),
        from if forwarding.network_of(from).is_some_and(|from| from != vrf) => {
            Err(Counter::PeeringWrongSource)
        }
        _ => Ok(()),
    }
}

/// The same where there are circuits: what comes from one is of what is behind it, whether the circuit or a tunnel is in use the other way, or of its own link;
/// routers beyond it whose addresses nobody routes may send ICMP errors. Nothing else may pretend to come from there.
fn check_beside_circuits(
    forwarding: &Forwarding,
    vrf: VrfId,
    on: InterfaceId,
    flow: &Flow,
) -> Result<(), Counter> {
    if is_link_local(flow.source) {
        return Ok(());
    }
    let (from, circuits) = forwarding.origin_of(vrf, flow.source);
    if forwarding.circuit(on).is_none() {
        return match from {
            from if circuits.is_empty() && !is_circuit(forwarding, from) => {
                check_network(forwarding, vrf, from)
            }
            from if from.is_tunnel() => Err(Counter::ClearText),
            _ => Err(Counter::CircuitWrongSource),
        };
    }
    match from {
        _ if circuits.contains(&on) => Ok(()),
        NextHop::Connected(link) if link == on => Ok(()),
        from if from.is_tunnel() => Err(Counter::ClearText),
        NextHop::Unreachable if flow.is_icmp_error() => Ok(()),
        _ => Err(Counter::CircuitWrongSource),
    }
}

/// What came out of a tunnel never goes on to a circuit, in clear, whether that is up or not; nor does what came from a circuit go anywhere but into the network.
pub(super) fn check_transit(forwarding: &Forwarding, origin: Origin, next: NextHop) -> Result<(), Counter> {
    let to_circuit = next == NextHop::CircuitDown || is_circuit(forwarding, next);
    let is_transit = match origin {
        Origin::Tunnel(_) => to_circuit,
        Origin::Interface(on, _) => forwarding.circuit(on).is_some() && (to_circuit || next.is_tunnel()),
        Origin::Ourselves(_) => false,
    };
    if is_transit { Err(Counter::CircuitTransit) } else { Ok(()) }
}

/// Whether it is a neighbour on a circuit.
fn is_circuit(forwarding: &Forwarding, next: NextHop) -> bool {
    matches!(next, NextHop::Connected(on) | NextHop::Via(on, _) if forwarding.circuit(on).is_some())
}

/// What goes from one network (`vrf`) to another by a peering has to be of the first one there, too: routes that a peering does not tell are known to
/// the other network only, and its hosts, its tunnels' peers and those of further peerings are nobody else's to speak for.
///
/// A source without a route there speaks for nobody that it knows. So does an ICMP error out of a tunnel whose source would be found by way of a
/// router: routers beyond the tunnel often have addresses that nobody routes, and path MTU discovery depends on what they say.
pub(super) fn check_crossing(
    forwarding: &Forwarding,
    vrf: VrfId,
    to: VrfId,
    origin: Origin,
    flow: &Flow,
) -> Result<(), Counter> {
    let (theirs, circuits) = forwarding.origin_of(to, flow.source);
    match (origin, theirs) {
        (Origin::Ourselves(_), _) => Ok(()),
        (Origin::Tunnel(tunnel), theirs) if theirs.is_tunnel() => {
            let is_same = forwarding.is_feasible(tunnel, to, flow.source);
            if is_same { Ok(()) } else { Err(Counter::EspWrongSource) }
        }
        (Origin::Interface(on, _), _) if circuits.contains(&on) => Ok(()),
        (Origin::Interface(on, _), _) if forwarding.circuit(on).is_some() => match theirs {
            NextHop::Unreachable if flow.is_icmp_error() => Ok(()),
            _ => Err(Counter::CircuitWrongSource),
        },
        (Origin::Tunnel(tunnel), _) if forwarding.is_feasible(tunnel, to, flow.source) => Ok(()),
        (Origin::Interface(..), theirs) if theirs.is_tunnel() => Err(Counter::ClearText),
        (_, theirs) if !circuits.is_empty() && !theirs.is_tunnel() => Err(Counter::CircuitWrongSource),
        (Origin::Tunnel(_), NextHop::Via(..)) if flow.is_icmp_error() => Ok(()),
        _ if forwarding.network_of(theirs).is_some_and(|of| of != vrf) => Err(Counter::PeeringWrongSource),
        _ => Ok(()),
    }
}
