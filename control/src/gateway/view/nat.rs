//! The NAT rules of a connection, and how full those are that have sessions.

use crossgate_config::{Choice, Connection as Configured, NatRule as ConfiguredRule, NatType};

use super::Gateway;
use crate::console::protocol::{NatRule, NatSessions};

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
            sessions: usage.map(|usage| NatSessions {
                tcp: usage.tcp,
                udp: usage.udp,
                icmp: usage.icmp,
                ports: usage.ports,
                begun: usage.begun,
                refused: usage.refused,
            }),
        }
    }
}
