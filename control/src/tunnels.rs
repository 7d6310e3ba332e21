//! Which tunnel carries which Child SA. A connection has one policy and usually one Child SA, which is the connection's tunnel; a peer that
//! negotiates several Child SAs under one policy (one per pair of subnets, say) gets a tunnel for each, tried in order (RFC 4301, 4.4.1).

use std::collections::{BTreeMap, BTreeSet};

use crossgate_dataplane::forwarding::TunnelId;
use crossgate_dataplane::selector::Selectors;
use crossgate_ike::event::ConnectionId;

/// One Child SA and its successors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lineage {
    /// Its number in the data plane.
    pub tunnel: TunnelId,
    /// What was negotiated.
    pub selectors: Selectors,
    /// Child SAs, old and new, that carry it at present.
    children: usize,
}

/// The tunnels of all connections.
#[derive(Debug, Clone, Default)]
pub struct Tunnels {
    of: BTreeMap<ConnectionId, Vec<Lineage>>,
    idle: BTreeMap<ConnectionId, TunnelId>,
    /// Numbers below `next` that nothing has.
    free: BTreeSet<TunnelId>,
    next: u32,
}

impl Tunnels {
    /// Makes room for a connection, which has a tunnel (that drops everything) before it has an SA.
    pub fn add(&mut self, connection: ConnectionId) {
        if !self.idle.contains_key(&connection) {
            let tunnel = self.take_number();
            self.idle.insert(connection, tunnel);
        }
    }

    /// Forgets a connection. Its SAs must be gone from the workers' snapshot and tables, or going in the same order of commands.
    pub fn remove(&mut self, connection: ConnectionId) {
        for lineage in self.of.remove(&connection).unwrap_or_default() {
            self.free.insert(lineage.tunnel);
        }
        if let Some(tunnel) = self.idle.remove(&connection) {
            self.free.insert(tunnel);
        }
    }

    /// The tunnel for a new Child SA: that of the one it replaces, else one with the same selectors, else a new one.
    pub fn enter(
        &mut self,
        connection: ConnectionId,
        replaces: Option<TunnelId>,
        selectors: Selectors,
    ) -> TunnelId {
        let lineages = self.of.entry(connection).or_default();
        let successor = lineages.iter().position(|lineage| Some(lineage.tunnel) == replaces);
        let position =
            successor.or_else(|| lineages.iter().position(|lineage| lineage.selectors == selectors));
        if let Some(lineage) = position.map(|position| &mut lineages[position]) {
            lineage.children += 1;
            lineage.selectors = selectors;
            return lineage.tunnel;
        }
        let first = lineages.is_empty();
        let tunnel = match self.idle.get(&connection) {
            Some(tunnel) if first => *tunnel,
            _ => self.take_number(),
        };
        let lineages = self.of.entry(connection).or_default();
        lineages.push(Lineage { tunnel, selectors, children: 1 });
        lineages.sort_by_key(|lineage| lineage.tunnel);
        tunnel
    }

    /// A Child SA of this tunnel is gone.
    pub fn leave(&mut self, connection: ConnectionId, tunnel: TunnelId) {
        let Some(lineages) = self.of.get_mut(&connection) else { return };
        let Some(position) = lineages.iter().position(|lineage| lineage.tunnel == tunnel) else { return };
        lineages[position].children -= 1;
        if lineages[position].children > 0 {
            return;
        }
        lineages.remove(position);
        if self.idle.get(&connection) != Some(&tunnel) {
            self.free.insert(tunnel);
        }
    }

    /// The tunnels of a connection in the order in which they are tried, with their selectors. Without any Child SA that is one tunnel that
    /// takes what `configured` says, so that traffic finds it, is dropped there and calls for an SA.
    #[must_use]
    pub fn policy(&self, connection: ConnectionId, configured: &Selectors) -> Vec<(TunnelId, Selectors)> {
        match self.of.get(&connection) {
            Some(lineages) if !lineages.is_empty() => {
                lineages.iter().map(|lineage| (lineage.tunnel, lineage.selectors.clone())).collect()
            }
            _ => self.idle.get(&connection).map(|tunnel| (*tunnel, configured.clone())).into_iter().collect(),
        }
    }

    /// The connection that a tunnel belongs to.
    #[must_use]
    pub fn connection(&self, tunnel: TunnelId) -> Option<ConnectionId> {
        let idle = self.idle.iter().find(|(_, number)| **number == tunnel).map(|(connection, _)| *connection);
        idle.or_else(|| {
            let mut owners = self.of.iter();
            owners
                .find(|(_, all)| all.iter().any(|lineage| lineage.tunnel == tunnel))
                .map(|(owner, _)| *owner)
        })
    }

    /// The lowest number that is free: those of a worker's table are few.
    fn take_number(&mut self) -> TunnelId {
        self.free.pop_first().unwrap_or_else(|| {
            self.next += 1;
            TunnelId(self.next - 1)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossgate_dataplane::selector::TrafficSelector;

    const A: ConnectionId = ConnectionId(1);

    fn selectors(remote: &str) -> Selectors {
        let side = |prefix: &str| vec![TrafficSelector::of_prefix(prefix.parse().unwrap())];
        Selectors { local: side("10.1.0.0/16"), remote: side(remote) }
    }

    #[test]
    fn a_successor_keeps_the_tunnel_and_a_stranger_gets_its_own() {
        let mut tunnels = Tunnels::default();
        tunnels.add(A);
        let first = tunnels.enter(A, None, selectors("10.2.0.0/16"));
        assert_eq!(tunnels.enter(A, Some(first), selectors("10.2.0.0/16")), first);
        let second = tunnels.enter(A, None, selectors("10.3.0.0/16"));
        assert!(second > first);
        assert_eq!(tunnels.policy(A, &Selectors::default()).len(), 2);
        tunnels.leave(A, first);
        assert_eq!(tunnels.policy(A, &Selectors::default()).len(), 2, "its successor still lives");
        tunnels.leave(A, first);
        assert_eq!(tunnels.policy(A, &Selectors::default()), [(second, selectors("10.3.0.0/16"))]);
        assert_eq!(tunnels.connection(first), Some(A), "the connection's own tunnel is kept for the next SA");
    }

    #[test]
    fn a_connection_without_sa_catches_its_traffic() {
        let mut tunnels = Tunnels::default();
        tunnels.add(A);
        let caught = tunnels.policy(A, &selectors("0.0.0.0/0"));
        assert_eq!(caught, [(TunnelId(0), selectors("0.0.0.0/0"))]);
        tunnels.remove(A);
        assert!(tunnels.policy(A, &selectors("0.0.0.0/0")).is_empty());
        assert_eq!(tunnels.connection(TunnelId(0)), None);
    }
}
