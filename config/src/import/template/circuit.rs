//! Private circuits of a template, their gateways and connections. What is behind a circuit is told by BGP there, and by the configuration here: it is left open.

use ipnet::IpNet;
use serde_json::Value;

use super::One;
use crate::import::draft::{Circuit, CircuitConnection, CircuitGateway, Draft, plain};

impl One<'_> {
    pub(super) fn circuit(&self, draft: &mut Draft) {
        let name = draft.name("expressRouteCircuits", self.name);
        let place = format!("expressRouteCircuits[{}].properties", self.name);
        let peerings = self.get("peerings").and_then(Value::as_array);
        let private = peerings.into_iter().flatten().find_map(|peering| {
            let properties = peering.get("properties")?;
            let kind = self.scope.text(properties.get("peeringType")?)?;
            kind.eq_ignore_ascii_case("AzurePrivatePeering").then_some(properties)
        });
        let text = |key: &str| self.scope.text(private?.get(key)?);
        let vlan = text("vlanId").and_then(|id| id.parse::<u16>().ok());
        let link = text("primaryPeerAddressPrefix").and_then(|prefix| prefix.parse::<IpNet>().ok());
        if link.is_none() {
            let problem = "the link of its private peering is not known";
            draft.leave_out(
                format!("{place}.peerings"),
                problem,
                "set addresses and next_hops of the circuit",
            );
        }
        if let Some(secondary) = private.and_then(|peering| peering.get("secondaryPeerAddressPrefix")) {
            self.scope.see(secondary);
            let problem = "one link is taken over, the primary one";
            let remedy = "add the address and the router of the secondary one to the circuit, if they are on the same VLAN";
            draft.leave_out(format!("{place}.peerings.secondaryPeerAddressPrefix"), problem, remedy);
        }
        let problem = "what is behind a circuit is told by BGP there, and by the configuration here";
        draft.leave_out(place, problem, "list it in prefixes of the circuit");
        draft.circuits.push(Circuit { name, vlan, link });
    }

    pub(super) fn circuit_gateway(&self, network: String, sku: Option<String>, draft: &mut Draft) {
        let name = draft.name("virtualNetworkGateways", self.name);
        let bounds = self.get("autoScaleConfiguration").and_then(|scale| scale.get("bounds"));
        let scale_units = bounds.and_then(|bounds| self.scope.text(bounds.get("max")?));
        let scale_units = scale_units.and_then(|text| text.parse::<u32>().ok());
        draft.circuit_gateways.push(CircuitGateway { name, network, sku, scale_units });
    }

    pub(super) fn circuit_connection(&self, draft: &mut Draft) {
        let place = format!("connections[{}]", self.name);
        let end = |key: &str| {
            let id = self.get(key)?.get("id").and_then(|id| self.scope.text(id))?;
            Some(plain(id.rsplit('/').next().unwrap_or_default()))
        };
        let (Some(gateway), Some(circuit)) = (end("virtualNetworkGateway1"), end("peer")) else {
            let problem = "the gateway or the circuit of the connection is not known";
            return draft.leave_out(place, problem, "write the connection by hand");
        };
        let name = draft.name("connections", self.name);
        if let Some(key) = self.get("authorizationKey") {
            self.scope.see(key);
            let problem = "circuits are configured here, not bought: nobody has to authorize";
            draft.leave_out(format!("{place}.properties.authorizationKey"), problem, "leave it out");
        }
        let routing_weight = self.text("routingWeight").and_then(|text| text.parse::<u32>().ok());
        draft.circuit_connections.push(CircuitConnection { name, gateway, circuit, routing_weight });
        let around = "packets pass through the gateway always";
        let keys = ["expressRouteGatewayBypass", "enablePrivateLinkFastPath"]
            .map(|key| (key, around, "leave it out"));
        self.leave_out("connections", &keys, draft);
    }
}
