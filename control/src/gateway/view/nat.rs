//! The NAT rules of a connection and what its peer assigned, and how full those are that have sessions.

use std::net::IpAddr;

use crossgate_config::{Choice, Connection as Configured, NatRule as ConfiguredRule, NatType};
use crossgate_dataplane::nat::Usage;
use crossgate_ike::event::ConnectionId;
use crossgate_ike::status::IkeStatus;

use super::Gateway;
use crate::console::protocol::{Assigned, NatRule, NatSessions};

impl Gateway {
    pub(super) fn nat_rules(&self, connection: &Configured) -> Vec<NatRule> {
        let rules = connection.nat.egress.iter().chain(&connection.nat.ingress);
        rules.map(|rule| self.nat_rule(rule)).collect()
    }

    pub(super) fn nat_rule(&self, rule: &ConfiguredRule) -> NatRule {
        let is_dynamic = rule.nat_type == NatType::Dynamic;
        let usage = if is_dynamic { self.nat_pools.usage(&rule.name) } else { None };
        NatRule {
            name: rule.name.to_string(),
            mode: rule.mode.word().to_owned(),
            internal_mapping: rule.internal_mapping.to_string(),
            external_mapping: rule.external_mapping.to_string(),
            sessions: usage.map(|usage| sessions(&usage)),
        }
    }

    /// What the peer of an IKE SA assigned to our end of a connection, if anything.
    pub(super) fn assigned(&self, end: ConnectionId, ike: &IkeStatus) -> Option<Assigned> {
        let assigned = &ike.assigned;
        let ipv4 = assigned.addresses.iter().find_map(|address| match address {
            IpAddr::V4(address) => Some(*address),
            IpAddr::V6(_) => None,
        });
        let usage = ipv4.and_then(|address| self.nat_pools.usage_of_assigned(end, address));
        (!assigned.addresses.is_empty()).then(|| Assigned {
            addresses: assigned.addresses.iter().map(ToString::to_string).collect(),
            dns_servers: assigned.dns.iter().map(ToString::to_string).collect(),
            subnets: assigned.subnets.iter().map(ToString::to_string).collect(),
            sessions: usage.map(|usage| sessions(&usage)),
        })
    }
}

fn sessions(usage: &Usage) -> NatSessions {
    let Usage { tcp, udp, icmp, ports, begun, refused, .. } = *usage;
    NatSessions { tcp, udp, icmp, ports, begun, refused }
}
