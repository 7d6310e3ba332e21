//! What a snapshot is told of private circuits.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Builder, CircuitRoute, InterfaceId, VrfId};
use crate::circuit::Circuit;

impl Builder {
    /// Has an interface of a network lead to a circuit: packets leave there unencrypted, to the prefixes of its routes.
    pub fn circuit(&mut self, id: InterfaceId, circuit: Circuit) -> &mut Self {
        self.circuits.insert(id, circuit);
        self
    }

    /// Adds a prefix behind a circuit: by way of `next_hop` while that is alive, `None` while it is not. Of several circuits to one prefix the first that is alive
    /// has it, and any of them before a tunnel; while none is alive, what the prefix is a part of: another circuit's or a tunnel's prefix, whichever is the
    /// longest; else [`NextHop::CircuitDown`](crate::forwarding::NextHop::CircuitDown), and nothing else that may lead there.
    pub fn circuit_route(
        &mut self,
        vrf: VrfId,
        prefix: IpNet,
        on: InterfaceId,
        next_hop: Option<IpAddr>,
    ) -> &mut Self {
        self.circuit_routes.push(CircuitRoute { vrf, prefix: prefix.trunc(), on, next_hop });
        self
    }

    /// Keeps a prefix from being a part of a circuit's: what is in it goes where it would go without circuits.
    pub fn keep_inside(&mut self, vrf: VrfId, prefix: IpNet) -> &mut Self {
        self.spaces.push((vrf, prefix.trunc()));
        self
    }
}
