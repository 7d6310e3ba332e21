//! Azure Resource Manager templates: networks, VPN gateways, local network gateways and their connections, with parameters and variables in
//! simple cases. The facts are those of the resource types' API of 2024-05-01.

mod network;
mod rest;

use serde_json::Value;

use super::draft::{Connection, Draft, End, Gateway, Peer, plain, quoted, shown};
use super::expression::Scope;
use super::policy::{self, unresolved};
use super::{ImportError, Imported};
use crate::PeerAddress;

mod bgp;
mod circuit;
mod clients;
mod nat;

pub(super) fn import(text: &str) -> Result<Imported, ImportError> {
    let template: Value =
        serde_json::from_str(text).map_err(|error| ImportError::Unreadable(error.to_string()))?;
    let scope = Scope::of(&template);
    let mut resources = Vec::new();
    collect(&template, "", &mut resources);
    let mut draft = Draft::default();
    for resource in &resources {
        take(resource, &scope, &mut draft);
        let name = resource.value.get("name").and_then(|name| scope.text(name)).unwrap_or_default();
        rest::tell(resource, &name, &scope, &mut draft);
    }
    if draft.is_empty() {
        return Err(ImportError::NothingThere(
            "name a template with Microsoft.Network/virtualNetworkGateways, localNetworkGateways or connections",
        ));
    }
    Ok(draft.finish())
}

/// A resource with its full type.
struct Resource<'t> {
    kind: String,
    value: &'t Value,
}

/// The resources of a template, or of a resource, with their children. A list, or an object by symbolic name (language version 2.0). JSON has
/// at most 128 levels, so this ends.
fn collect<'t>(parent: &'t Value, parent_kind: &str, resources: &mut Vec<Resource<'t>>) {
    let children: Vec<&Value> = match parent.get("resources") {
        Some(Value::Array(list)) => list.iter().collect(),
        Some(Value::Object(named)) => named.values().collect(),
        _ => return,
    };
    for value in children {
        let own = value.get("type").and_then(Value::as_str).unwrap_or_default();
        // A child inside its parent has the last part of the type alone.
        let kind = if parent_kind.is_empty() { own.to_owned() } else { format!("{parent_kind}/{own}") };
        resources.push(Resource { kind: kind.clone(), value });
        collect(value, &kind, resources);
    }
}

fn take(resource: &Resource<'_>, scope: &Scope<'_>, draft: &mut Draft) {
    let Some(name) = resource.value.get("name").and_then(|name| scope.text(name)) else {
        let place = shown(&resource.kind);
        scope.see(resource.value);
        return draft.leave_out(
            place,
            "the resource has no name that is known here",
            "give its parameter a defaultValue",
        );
    };
    let nothing = Value::Null;
    let properties = resource.value.get("properties").unwrap_or(&nothing);
    let one = One { name: &name, properties, scope };
    match resource.kind.to_ascii_lowercase().as_str() {
        "microsoft.network/virtualnetworks" => one.network(resource.value.get("location"), draft),
        "microsoft.network/virtualnetworks/subnets" => one.subnet(draft),
        "microsoft.network/virtualnetworks/virtualnetworkpeerings" => one.peering_resource(draft),
        "microsoft.network/virtualnetworkgateways" => one.gateway(resource.value, draft),
        "microsoft.network/virtualnetworkgateways/natrules" => one.child_nat_rule(draft),
        "microsoft.network/localnetworkgateways" => one.peer(draft),
        "microsoft.network/connections" => one.connection(draft),
        "microsoft.network/expressroutecircuits" => one.circuit(draft),
        // Told with the ports: their addresses are known after the deployment only.
        "microsoft.network/publicipaddresses" => scope.see(resource.value),
        _ => {
            scope.see(resource.value);
            draft.leave_out(
                format!("{}[{}]", shown(&resource.kind), shown(&name)),
                "resources of this type have nothing like them here",
                "see whether the gateway needs it",
            );
        }
    }
}

/// One resource.
struct One<'t> {
    name: &'t str,
    properties: &'t Value,
    scope: &'t Scope<'t>,
}

impl One<'_> {
    fn get(&self, key: &str) -> Option<&Value> {
        self.properties.get(key).filter(|value| !value.is_null())
    }

    fn text(&self, key: &str) -> Option<String> {
        self.scope.text(self.get(key)?)
    }

    fn flag(&self, key: &str) -> bool {
        self.text(key).is_some_and(|text| text.eq_ignore_ascii_case("true"))
    }

    /// The texts of a list; those without a value are told.
    fn texts(&self, list: Option<&Value>, place: &str, draft: &mut Draft) -> Vec<String> {
        let Some(list) = list else { return Vec::new() };
        let Some(Value::Array(items)) = self.scope.value(list) else {
            unresolved(place, draft);
            return Vec::new();
        };
        let mut texts = Vec::new();
        for item in &items {
            match self.scope.text(item) {
                Some(text) => texts.push(text),
                None => unresolved(place, draft),
            }
        }
        texts
    }

    /// Tells each of `keys` that is there and says something.
    fn leave_out(&self, kind: &str, keys: &[(&str, &str, &str)], draft: &mut Draft) {
        for (key, problem, remedy) in keys {
            let value = self.get(key);
            value.into_iter().for_each(|value| self.scope.see(value));
            let says = value.is_some_and(|value| match value {
                Value::Bool(flag) => *flag,
                Value::Array(list) => !list.is_empty(),
                Value::Number(number) => number.as_i64() != Some(0),
                _ => true,
            });
            if says {
                draft.leave_out(format!("{kind}[{}].properties.{key}", self.name), *problem, *remedy);
            }
        }
    }

    fn gateway(&self, resource: &Value, draft: &mut Draft) {
        let place = format!("virtualNetworkGateways[{}]", self.name);
        let kind = self.text("gatewayType").unwrap_or_else(|| "Vpn".to_owned());
        let is_of_circuits = kind.eq_ignore_ascii_case("ExpressRoute");
        if !is_of_circuits && !kind.eq_ignore_ascii_case("Vpn") {
            let problem = format!("gateways of type {} are not supported by this version", shown(&kind));
            self.scope.see(resource);
            return draft.leave_out(place, problem, "leave it where it is");
        }
        let configurations = self.get("ipConfigurations").and_then(Value::as_array);
        let subnet = configurations
            .and_then(|list| list.first())
            .and_then(|first| first.pointer("/properties/subnet/id"));
        let network = subnet.and_then(|id| self.scope.text(id)).and_then(|id| network_of(&id));
        let network = match network {
            Some(network) => plain(&network),
            None => {
                draft.leave_out(
                    format!("{place}.ipConfigurations"),
                    "the gateway's network is not known",
                    "name it in virtual_network",
                );
                draft.networks.first().map_or_else(|| "CHANGE".to_owned(), |network| network.name.clone())
            }
        };
        let sku = self.get("sku").or_else(|| resource.get("sku")).and_then(|sku| sku.get("name"));
        let sku = sku.and_then(|sku| self.scope.text(sku));
        // The tier is the size once more, and the rest says that there is a public address.
        for pointer in ["/sku/tier", "/ipConfigurations/0/name"] {
            self.see(pointer);
        }
        for key in ["publicIPAddress", "privateIPAllocationMethod"] {
            self.see(&format!("/ipConfigurations/0/properties/{key}"));
        }
        resource.pointer("/sku/tier").into_iter().for_each(|tier| self.scope.see(tier));
        if is_of_circuits {
            return self.circuit_gateway(network, sku, draft);
        }
        let name = draft.name("virtualNetworkGateways", self.name);
        let generation = self.text("vpnGatewayGeneration").filter(|word| word != "None");
        let vpn_type = self.text("vpnType");
        self.nat_rules(&name, draft);
        let is = |word: &Option<String>, other: &str| {
            word.as_ref().is_some_and(|word| word.eq_ignore_ascii_case(other))
        };
        // The cloud writes its own numbers for gateways, too, that can have no BGP.
        let is_small = is(&sku, "Basic") || is(&vpn_type, "PolicyBased");
        let bgp = if is_small {
            self.see("/bgpSettings");
            Vec::new()
        } else {
            self.bgp_of_gateway(&place, draft)
        };
        let clients = self.clients(!is_small, draft);
        draft.gateways.push(Gateway {
            name,
            network,
            vpn_type,
            sku,
            generation,
            public_address: None,
            bgp,
            clients,
        });
        self.leave_out("virtualNetworkGateways", GATEWAY_LEFT_OUT, draft);
    }

    fn peer(&self, draft: &mut Draft) {
        let name = draft.name("localNetworkGateways", self.name);
        let place = format!("localNetworkGateways[{}].properties", self.name);
        let space = self.get("localNetworkAddressSpace").and_then(|space| space.get("addressPrefixes"));
        let texts = self.texts(space, &format!("{place}.localNetworkAddressSpace"), draft);
        let prefixes = draft.prefixes(&place, texts.iter().map(String::as_str));
        let mut address =
            self.text("gatewayIpAddress").and_then(|text| text.parse().ok()).map(PeerAddress::At);
        if let Some(fqdn) = self.text("fqdn").filter(|_| address.is_none()) {
            address = PeerAddress::named(&fqdn);
            if address.is_none() {
                let problem = format!("{} is no name of a host", shown(&fqdn));
                draft.leave_out(format!("{place}.fqdn"), problem, "write the peer's address or name in");
            }
        } else if address.is_none() {
            draft.leave_out(
                format!("{place}.gatewayIpAddress"),
                "the peer's address is not known",
                "write it in",
            );
        }
        let bgp = self.bgp_of_peer(&place, draft);
        draft.peers.push(Peer { name, address, prefixes, bgp });
    }

    fn connection(&self, draft: &mut Draft) {
        let place = format!("connections[{}]", self.name);
        let kind = self.text("connectionType").unwrap_or_default();
        if kind.eq_ignore_ascii_case("ExpressRoute") {
            return self.circuit_connection(draft);
        }
        let between_networks = kind.eq_ignore_ascii_case("Vnet2Vnet");
        if !between_networks && !kind.eq_ignore_ascii_case("IPsec") {
            let problem = format!("connections of type {} are not supported by this version", shown(&kind));
            self.scope.see(self.properties);
            return draft.leave_out(
                place,
                problem,
                "take \"IPsec\" with a local network gateway that describes the other side",
            );
        }
        let end = |key: &str| {
            let id = self.get(key)?.get("id").and_then(|id| self.scope.text(id))?;
            Some(plain(id.rsplit('/').next().unwrap_or_default()))
        };
        let far = match between_networks {
            true => end("virtualNetworkGateway2").map(End::Gateway),
            false => end("localNetworkGateway2").map(End::Peer),
        };
        let (Some(gateway), Some(far)) = (end("virtualNetworkGateway1"), far) else {
            self.scope.see(self.properties);
            return draft.leave_out(
                place,
                "the ends of the connection are not known",
                "write the connection by hand",
            );
        };
        let name = draft.name("connections", self.name);
        let mut connection = Connection {
            name,
            gateway,
            end: far,
            settings: Vec::new(),
            policy: Vec::new(),
            selectors: Vec::new(),
        };
        self.settings(&place, &mut connection, draft);
        self.named_nat_rules(&mut connection, draft);
        self.selectors(&place, &mut connection, draft);
        let policies = self.get("ipsecPolicies").and_then(Value::as_array);
        if let Some(first) = policies.and_then(|policies| policies.first()) {
            let place = format!("{place}.properties.ipsecPolicies[0]");
            policy::take(first, &place, self.scope, &mut connection, draft);
        }
        self.see("/sharedKey");
        draft.leave_out(
            format!("{place}.properties.sharedKey"),
            "secrets are never taken over",
            format!("write the key of both sides: (umask 077; cat > {})", draft.key_file(&connection)),
        );
        draft.connections.push(connection);
        self.leave_out("connections", CONNECTION_LEFT_OUT, draft);
    }

    fn settings(&self, place: &str, connection: &mut Connection, draft: &mut Draft) {
        if self.text("connectionProtocol").is_some_and(|word| word.eq_ignore_ascii_case("IKEv1")) {
            connection.settings.push(("protocol", quoted("IKEv1")));
        }
        if let Some(mode) = self.text("connectionMode") {
            connection.settings.push(("mode", quoted(&mode)));
        }
        if self.get("dpdTimeoutSeconds").is_some() {
            match self.text("dpdTimeoutSeconds").and_then(|text| text.parse::<u32>().ok()) {
                Some(0) => {} // Azure's word for the default
                Some(seconds) => connection.settings.push(("dpd_timeout_s", seconds.to_string())),
                None => unresolved(&format!("{place}.properties.dpdTimeoutSeconds"), draft),
            }
        }
        let own = self
            .get("trafficSelectorPolicies")
            .and_then(Value::as_array)
            .is_some_and(|list| !list.is_empty());
        if self.flag("usePolicyBasedTrafficSelectors") && !own {
            connection.settings.push(("use_policy_based_traffic_selectors", "true".to_owned()));
        }
    }

    /// A policy of the template is one here: each of its local prefixes with each of its remote ones.
    fn selectors(&self, place: &str, connection: &mut Connection, draft: &mut Draft) {
        let Some(policies) = self.get("trafficSelectorPolicies").and_then(Value::as_array) else { return };
        let place = format!("{place}.properties.trafficSelectorPolicies");
        for policy in policies {
            let (mut locals, mut remotes) = (Vec::new(), Vec::new());
            for (key, into) in [("localAddressRanges", &mut locals), ("remoteAddressRanges", &mut remotes)] {
                let texts = self.texts(policy.get(key), &place, draft);
                for prefix in draft.prefixes(&place, texts.iter().map(String::as_str)) {
                    if !into.contains(&prefix) {
                        into.push(prefix);
                    }
                }
            }
            if !locals.is_empty() && !remotes.is_empty() {
                connection.selectors.push((locals, remotes));
            }
        }
    }
}

/// `.../virtualNetworks/NAME/subnets/GatewaySubnet`, or the id that `resourceId` makes (`Microsoft.Network/virtualNetworks/subnets/NAME/GatewaySubnet`).
fn network_of(id: &str) -> Option<String> {
    let parts: Vec<&str> = id.split('/').collect();
    let subnet = parts.iter().rposition(|part| *part == GATEWAY_SUBNET)?;
    let before = parts.get(subnet.checked_sub(1)?)?;
    let network =
        if before.eq_ignore_ascii_case("subnets") { parts.get(subnet.checked_sub(2)?)? } else { before };
    Some((*network).to_owned())
}

const GATEWAY_SUBNET: &str = "GatewaySubnet";
const NOT_SPOKEN: &str = "BGP is not spoken by this version";
const NOT_YET: &str = "this version has nothing like it";
const GATEWAY_LEFT_OUT: &[(&str, &str, &str)] = &[
    (
        "activeActive",
        "its addresses are known after the deployment only",
        "add the second one to public_addresses, and active_active = true",
    ),
    ("enableBgp", NOT_SPOKEN, "list the peers' prefixes"),
    ("gatewayDefaultSite", NOT_YET, "add 0.0.0.0/0 to the prefixes of that local network gateway"),
    ("customRoutes", NOT_YET, "clients are told of what the gateway serves, and of nothing else"),
    ("enableBgpRouteTranslationForNat", NOT_SPOKEN, "list the peers' prefixes"),
    (
        "disableIPSecReplayProtection",
        "the replay check is never off here",
        "widen replay_window_packets if packets arrive out of order",
    ),
    ("enablePrivateIpAddress", NOT_YET, "see whether the gateway needs it"),
];
const CONNECTION_LEFT_OUT: &[(&str, &str, &str)] = &[
    ("enableBgp", NOT_SPOKEN, "list the peer's prefixes"),
    ("gatewayCustomBgpIpAddresses", NOT_SPOKEN, "list the peer's prefixes"),
    ("useLocalAzureIpAddress", NOT_YET, "see whether the connection needs it"),
    (
        "routingWeight",
        "it means nothing for tunnels there, and divides flows among several connections to one site here",
        "add routing_weight to connections that lead to the same prefixes",
    ),
];
