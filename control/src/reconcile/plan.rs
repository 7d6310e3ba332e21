//! What would be carried out, in its order, with the settings behind each step: for `crossgate diff`.

use crossgate_config::{Config, Difference, Kind, What};

use super::Change;

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What would be done.
    pub change: Change,
    /// Because of these settings, a line each.
    pub details: Vec<String>,
}

/// The steps from `running` to `wanted`; `changes` is their order.
pub(super) fn steps(running: &Config, wanted: &Config, changes: &[Change]) -> Vec<Step> {
    let differences = running.differences(wanted);
    let step = |change: &Change| {
        let behind = differences.iter().filter(|difference| match change {
            Change::Definitions => {
                is_definition(difference) && !is_shown(difference, changes, running, wanted)
            }
            change => is_behind(change, difference, running, wanted),
        });
        // That a connection comes or goes is what the step itself says.
        let is_told = |difference: &&Difference| {
            difference.kind != Kind::Connection
                || is_change(difference)
                || is_of_circuits(difference, running, wanted)
        };
        let told = behind.filter(is_told);
        let details = told.flat_map(lines).collect();
        Step { change: change.clone(), details }
    };
    changes.iter().map(step).collect()
}

/// Whether gateways, NAT rules or local network gateways differ behind none of `changes`.
pub(super) fn has_more_differences(running: &Config, wanted: &Config, changes: &[Change]) -> bool {
    let differences = running.differences(wanted);
    let mut definitions = differences.iter().filter(|difference| is_definition(difference));
    definitions.any(|difference| !is_shown(difference, changes, running, wanted))
}

fn is_definition(difference: &Difference) -> bool {
    matches!(difference.kind, Kind::VirtualNetworkGateway | Kind::NatRule | Kind::LocalNetworkGateway)
}

fn is_shown(difference: &Difference, changes: &[Change], running: &Config, wanted: &Config) -> bool {
    changes.iter().any(|change| is_behind(change, difference, running, wanted))
}

/// Whether `change` is made because of `difference`.
fn is_behind(change: &Change, difference: &Difference, running: &Config, wanted: &Config) -> bool {
    let (Change::Add(name) | Change::Change(name) | Change::Remove(name)) = change else {
        let below = matches!(
            difference.kind,
            Kind::Port | Kind::VirtualNetwork | Kind::VirtualNetworkPeering | Kind::ExpressRouteCircuit
        ) || is_of_circuits(difference, running, wanted);
        return *change == Change::Forwarding && below;
    };
    let connections = [running, wanted].into_iter().filter_map(|config| config.connections().get(name));
    let mut connections = connections.into_iter();
    match difference.kind {
        Kind::Connection => *name == difference.name,
        Kind::LocalNetworkGateway => {
            connections.any(|one| one.local_network_gateway() == Some(&difference.name))
        }
        Kind::NatRule => connections.any(|one| {
            one.nat.ingress.iter().chain(&one.nat.egress).any(|rule| rule.name == difference.name)
        }),
        // A gateway that moves to another network touches its connections: they begin anew. That of its clients is made of it.
        Kind::VirtualNetworkGateway => {
            let moved = matches!(change, Change::Add(_)) && running.connections().contains_key(name);
            connections.any(|one| one.gateway == difference.name && (moved || one.is_of_clients()))
        }
        Kind::Appliance
        | Kind::Port
        | Kind::VirtualNetwork
        | Kind::ExpressRouteCircuit
        | Kind::VirtualNetworkPeering => false,
    }
}

/// Whether it is a gateway or a connection of type `ExpressRoute`, in either configuration.
fn is_of_circuits(difference: &Difference, running: &Config, wanted: &Config) -> bool {
    [running, wanted].into_iter().any(|config| match difference.kind {
        Kind::VirtualNetworkGateway => config.circuit_gateways().contains_key(&difference.name),
        Kind::Connection => config.circuit_connections().contains_key(&difference.name),
        _ => false,
    })
}

fn is_change(difference: &Difference) -> bool {
    matches!(difference.what, What::Changed(_))
}

fn lines(difference: &Difference) -> Vec<String> {
    difference.to_string().lines().map(str::to_owned).collect()
}
