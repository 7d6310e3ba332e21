//! Whether a packet may have the source that it has, as far as the network that it is in and the one that it goes to can tell (RFC 4301, 5.2;
//! RFC 3704, 2.3). Asked by the route stage, for every packet that is not ours; what comes out of a tunnel has been checked against the tunnel's own network
//! by then ([`Forwarding::tunnel_of_inbound`]).

use std::net::IpAddr;

use crate::counter::Counter;
use crate::forwarding::{Forwarding, NextHop, VrfId};
use crate::packet::Origin;
use crate::selector::Flow;

/// What came in clear text may pretend neither to be out of a tunnel nor to be of a network that is peered with its own.
pub(super) fn check_clear(forwarding: &Forwarding, vrf: VrfId, source: IpAddr) -> Result<(), Counter> {
    match forwarding.route(vrf, source) {
        from if from.is_tunnel() => Err(Counter::ClearText),
        from if forwarding.network_of(from).is_some_and(|from| from != vrf) => {
            Err(Counter::PeeringWrongSource)
        }
        _ => Ok(()),
    }
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
    let theirs = forwarding.route(to, flow.source);
    match (origin, theirs) {
        (Origin::Ourselves(_), _) => Ok(()),
        (Origin::Tunnel(tunnel), theirs) if theirs.is_tunnel() => {
            let is_same = forwarding.is_feasible(tunnel, to, flow.source);
            if is_same { Ok(()) } else { Err(Counter::EspWrongSource) }
        }
        (Origin::Interface(..), theirs) if theirs.is_tunnel() => Err(Counter::ClearText),
        (Origin::Tunnel(_), NextHop::Via(..)) if flow.is_icmp_error() => Ok(()),
        _ if forwarding.network_of(theirs).is_some_and(|of| of != vrf) => Err(Counter::PeeringWrongSource),
        _ => Ok(()),
    }
}
