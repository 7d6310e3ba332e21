//! Several tunnels to one site, as the operator sees them: what part of the flows each has, and the ends of a connection as one.

use std::collections::BTreeMap;

use crossgate_config::Connection as Configured;
use crossgate_ike::event::ConnectionId;
use crossgate_ike::status::ConnectionStatus;

use crate::console::protocol::{Connection, Part, Traffic, Tunnel};
use crate::gateway::Gateway;

/// Who shares the flows to a site with whom; nothing about connections that are alone.
#[derive(Default)]
pub(super) struct Flows {
    /// What part each end has, in percent.
    percent: BTreeMap<ConnectionId, f64>,
    /// The other connections to the site of each one.
    beside: BTreeMap<String, Vec<String>>,
}

impl Gateway {
    pub(super) fn flows(&self, status: &BTreeMap<ConnectionId, ConnectionStatus>) -> Flows {
        let sends = |id: ConnectionId| {
            let ikes = status.get(&id).into_iter().flat_map(|status| &status.ike_sas);
            ikes.flat_map(|ike| &ike.children).any(|child| child.sends)
        };
        let mut flows = Flows::default();
        for site in self.config.shared_sites() {
            let (mut ids, mut ways) = (Vec::new(), Vec::new());
            for connection in &site {
                let others = site.iter().filter(|other| other.name != connection.name);
                let beside = others.map(|other| other.name.to_string()).collect();
                flows.beside.insert(connection.name.to_string(), beside);
                for id in self.identifiers.ends(connection.name.as_str()) {
                    ids.push(id);
                    ways.push(Way { weight: connection.routing_weight.unwrap_or(1), is_up: sends(id) });
                }
            }
            flows.percent.extend(ids.into_iter().zip(flows_percent(&ways)));
        }
        flows
    }

    /// Our end of that number, while nothing is known of its tunnel.
    pub(super) fn local_of(&self, configured: &Configured, id: ConnectionId) -> String {
        let mut ends = self.identifiers.ends(configured.name.as_str()).zip(configured.local_ends());
        let end = ends.find(|(end, _)| *end == id);
        end.map_or(configured.local_address, |(_, end)| end.address).to_string()
    }
}

/// A connection, by what is seen of it at each of our ends.
pub(super) fn of_ends(
    configured: &Configured,
    ends: Vec<(ConnectionId, Connection)>,
    flows: &Flows,
) -> Option<Connection> {
    let percent = |id: &ConnectionId| flows.percent.get(id).copied();
    let beside = flows.beside.get(configured.name.as_str()).filter(|beside| !beside.is_empty());
    let part = configured.routing_weight.zip(beside).map(|(routing_weight, beside)| Part {
        routing_weight,
        beside: beside.clone(),
        flows_percent: ends.iter().filter_map(|(id, _)| percent(id)).sum(),
    });
    let tunnel = |(id, end): &(ConnectionId, Connection)| Tunnel {
        local: end.local.clone(),
        remote: end.remote.clone(),
        state: end.state.clone(),
        up_s: end.up_s,
        flows_percent: percent(id).unwrap_or_default(),
        traffic: end.traffic,
        problem: end.failure.as_ref().map(|failure| failure.problem.clone()),
    };
    let tunnels: Vec<Tunnel> = ends.iter().map(tunnel).collect();
    let merged = ends.into_iter().map(|(_, end)| end).reduce(merge)?;
    let tunnels = if tunnels.len() > 1 { tunnels } else { Vec::new() };
    Some(Connection { part, tunnels, ..merged })
}

/// Two ends of a connection as one: what they have together, and else what the first one has.
fn merge(one: Connection, other: Connection) -> Connection {
    Connection {
        state: merged_state(&one.state, &other.state).to_owned(),
        local: format!("{}, {}", one.local, other.local),
        up_s: one.up_s.max(other.up_s),
        peer_id: one.peer_id.or(other.peer_id),
        role: one.role.or(other.role),
        ike_suite: one.ike_suite.or(other.ike_suite),
        esp_suite: one.esp_suite.or(other.esp_suite),
        encapsulation: one.encapsulation.or(other.encapsulation),
        ike_rekey_in_s: one.ike_rekey_in_s.or(other.ike_rekey_in_s),
        assigned: [one.assigned, other.assigned].concat(),
        traffic: Traffic {
            in_packets: one.traffic.in_packets + other.traffic.in_packets,
            in_bytes: one.traffic.in_bytes + other.traffic.in_bytes,
            out_packets: one.traffic.out_packets + other.traffic.out_packets,
            out_bytes: one.traffic.out_bytes + other.traffic.out_bytes,
        },
        failure: one.failure.or(other.failure),
        ..one
    }
}

/// A connection is up when all of its tunnels are, and in part when some are.
fn merged_state<'s>(one: &'s str, other: &'s str) -> &'s str {
    match (one, other) {
        _ if one == other => one,
        ("up" | "partial", _) | (_, "up" | "partial") => "partial",
        _ => "connecting",
    }
}

/// One of several tunnels to a site.
struct Way {
    weight: u16,
    is_up: bool,
}

/// What part of the flows each way has: as the workers divide them (`forwarding/group.rs` of the data plane).
fn flows_percent(ways: &[Way]) -> Vec<f64> {
    let has_weight = ways.iter().any(|way| way.is_up && way.weight > 0);
    let counts = |way: &Way| match (way.is_up, has_weight) {
        (false, _) => 0.0,
        (true, true) => f64::from(way.weight),
        (true, false) => 1.0,
    };
    let sum: f64 = ways.iter().map(counts).sum();
    ways.iter().map(|way| if sum > 0.0 { 100.0 * counts(way) / sum } else { 0.0 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flows_are_those_of_the_ways_that_are_up_by_their_weights() {
        let parts = |ways: &[(u16, bool)]| {
            let ways: Vec<Way> = ways.iter().map(|&(weight, is_up)| Way { weight, is_up }).collect();
            flows_percent(&ways)
        };
        assert_eq!(parts(&[(30, true), (10, true)]), [75.0, 25.0]);
        assert_eq!(parts(&[(30, false), (10, true)]), [0.0, 100.0]);
        assert_eq!(parts(&[(30, true), (0, true)]), [100.0, 0.0]);
        assert_eq!(parts(&[(30, false), (0, true), (0, true)]), [0.0, 50.0, 50.0]);
        assert_eq!(parts(&[(30, false), (0, false)]), [0.0, 0.0]);
    }

    #[test]
    fn a_connection_with_one_tunnel_of_two_is_up_in_part() {
        for (one, other, merged) in [
            ("up", "up", "up"),
            ("up", "down", "partial"),
            ("connecting", "up", "partial"),
            ("down", "connecting", "connecting"),
            ("down", "down", "down"),
        ] {
            assert_eq!(merged_state(one, other), merged, "{one} and {other}");
        }
    }
}
