//! NAT rules of a template: inside their gateway or as resources of their own, and by id in connections.

use serde_json::Value;

use super::super::draft::{Connection, Draft, NatRule, plain, quoted, shown};
use super::super::policy::unresolved;
use super::One;

impl One<'_> {
    /// Those inside a gateway.
    pub(super) fn nat_rules(&self, gateway: &str, draft: &mut Draft) {
        for value in self.get("natRules").and_then(Value::as_array).into_iter().flatten() {
            let nothing = Value::Null;
            let properties = value.get("properties").unwrap_or(&nothing);
            match value.get("name").and_then(|name| self.scope.text(name)) {
                Some(name) => {
                    One { name: &name, properties, scope: self.scope }.nat_rule(&name, gateway, draft)
                }
                None => unresolved(&format!("virtualNetworkGateways[{}].natRules", self.name), draft),
            }
        }
    }

    /// One as a resource of its own, `gateway/rule`; or inside its gateway, which has been read by then, without that one's name.
    pub(super) fn child_nat_rule(&self, draft: &mut Draft) {
        let last = draft.gateways.last().map(|gateway| gateway.name.clone()).unwrap_or_default();
        match self.name.rsplit_once('/') {
            Some((gateway, rule)) => self.nat_rule(rule, &plain(gateway), draft),
            None => self.nat_rule(self.name, &last, draft),
        }
    }

    fn nat_rule(&self, name: &str, gateway: &str, draft: &mut Draft) {
        let place = format!("natRules[{}]", shown(name));
        let name = draft.name("natRules", name);
        if draft.nat_rules.iter().any(|rule| rule.name == name) {
            let problem = "there is a rule of this name already, of this gateway or of another one";
            return draft.leave_out(place, problem, "give it a name of its own, here and in its connections");
        }
        let mut settings = vec![("gateway", format!("\"{gateway}\""))];
        for (key, ours) in [("mode", "mode"), ("type", "type")] {
            if let Some(word) = self.text(key) {
                settings.push((ours, quoted(&word)));
            }
        }
        for (key, ours) in
            [("internalMappings", "internal_mapping"), ("externalMappings", "external_mapping")]
        {
            if let Some(prefix) = self.mapping(key, &format!("{place}.{key}"), draft) {
                settings.push((ours, format!("\"{prefix}\"")));
            }
        }
        self.see("/ipConfigurationId");
        if self.get("ipConfigurationId").is_some_and(|id| id != "") {
            let problem = "rules hold for a gateway as a whole, which uses its first address";
            let remedy = "leave out what the rule of the other address repeats";
            draft.leave_out(format!("{place}.ipConfigurationId"), problem, remedy);
        }
        draft.nat_rules.push(NatRule { name, settings });
    }

    /// The one prefix of a side.
    fn mapping(&self, key: &str, place: &str, draft: &mut Draft) -> Option<ipnet::IpNet> {
        let mappings = self.get(key).and_then(Value::as_array)?;
        if mappings.len() > 1 {
            draft.leave_out(place, "a rule has one prefix", "add a rule for each of the others");
        }
        let first = mappings.first()?;
        first.get("portRange").into_iter().for_each(|range| self.scope.see(range));
        if first.get("portRange").is_some_and(|range| !range.is_null() && range != "") {
            let problem = "ports are not translated by this version";
            draft.leave_out(place, problem, "see whether the rule works without its port range");
        }
        let Some(text) = first.get("addressSpace").and_then(|space| self.scope.text(space)) else {
            unresolved(place, draft);
            return None;
        };
        draft.prefixes(place, std::iter::once(text.as_str())).pop()
    }

    /// Those that a connection names.
    pub(super) fn named_nat_rules(&self, connection: &mut Connection, draft: &mut Draft) {
        for (key, ours) in [("ingressNatRules", "ingress_nat_rules"), ("egressNatRules", "egress_nat_rules")]
        {
            let mut names = Vec::new();
            for rule in self.get(key).and_then(Value::as_array).into_iter().flatten() {
                match rule.get("id").and_then(|id| self.scope.text(id)) {
                    Some(id) => {
                        names.push(format!("\"{}\"", plain(id.rsplit('/').next().unwrap_or_default())));
                    }
                    None => unresolved(&format!("connections[{}].properties.{key}", self.name), draft),
                }
            }
            if !names.is_empty() {
                connection.settings.push((ours, format!("[{}]", names.join(", "))));
            }
        }
    }
}
