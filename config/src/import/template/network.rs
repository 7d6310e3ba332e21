//! Networks of a template: address spaces, the gateway's subnet, peerings.

use serde_json::Value;

use super::{GATEWAY_SUBNET, One};
use crate::import::draft::{Draft, Network, Peering, plain, shown};
use crate::import::policy::unresolved;
use crate::region::Region;

impl One<'_> {
    pub(super) fn network(&self, location: Option<&Value>, draft: &mut Draft) {
        let name = draft.name("virtualNetworks", self.name);
        let place = format!("virtualNetworks[{}].properties.addressSpace", self.name);
        let space = self.get("addressSpace").and_then(|space| space.get("addressPrefixes"));
        let texts = self.texts(space, &place, draft);
        let address_space = draft.prefixes(&place, texts.iter().map(String::as_str));
        let region = location.and_then(|location| self.region(location, draft));
        let mut network = Network { name, region, address_space, gateway_subnet: None };
        for subnet in self.get("subnets").and_then(Value::as_array).into_iter().flatten() {
            let called = subnet.get("name").and_then(|name| self.scope.text(name));
            if called.is_some_and(|name| name == GATEWAY_SUBNET) {
                network.gateway_subnet = self.prefix_of(subnet.get("properties"), draft);
            }
        }
        let name = network.name.clone();
        draft.networks.push(network);
        for value in self.get("virtualNetworkPeerings").and_then(Value::as_array).into_iter().flatten() {
            let called = value.get("name").and_then(|name| self.scope.text(name)).unwrap_or_default();
            let nothing = Value::Null;
            let properties = value.get("properties").unwrap_or(&nothing);
            One { name: &called, properties, scope: self.scope }.peering(&name, draft);
        }
    }

    /// Where the cloud has it.
    fn region(&self, location: &Value, draft: &mut Draft) -> Option<Region> {
        let place = format!("virtualNetworks[{}].location", self.name);
        match self.scope.text(location).map(|text| (Region::new(&text), text)) {
            Some((Some(region), _)) => return Some(region),
            Some((None, text)) => {
                let problem = format!("{} is no name of a region", shown(&text));
                draft.leave_out(place, problem, "write region at the network, if it matters");
            }
            None => unresolved(&place, draft),
        }
        None
    }

    /// A peering as a resource of its own, `network/peering`; inside its network it may have its own name alone.
    pub(super) fn peering_resource(&self, draft: &mut Draft) {
        let (network, name) = self.name.rsplit_once('/').unwrap_or(("", self.name));
        let network = match (network, draft.networks.last()) {
            ("", Some(last)) => last.name.clone(),
            _ => plain(network),
        };
        One { name, properties: self.properties, scope: self.scope }.peering(&network, draft);
    }

    /// One direction of a peering that begins at `network`. Names are unique among all peerings here, in the cloud among those of a network.
    fn peering(&self, network: &str, draft: &mut Draft) {
        let place = format!("virtualNetworks[{network}].virtualNetworkPeerings[{}]", shown(self.name));
        let remote = self.get("remoteVirtualNetwork").and_then(|remote| remote.get("id"));
        let Some(remote) = remote.and_then(|id| self.scope.text(id)) else {
            self.scope.see(self.properties);
            return draft.leave_out(place, "the other network is not known", "write the peering by hand");
        };
        let remote = plain(remote.rsplit('/').next().unwrap_or_default());
        let own = plain(self.name);
        let is_taken = draft.peerings.iter().any(|other| other.name == own);
        let name = if is_taken { plain(&format!("{network}-{own}")) } else { own };
        draft.peerings.push(Peering {
            name,
            network: network.to_owned(),
            remote,
            allow_gateway_transit: self.flag("allowGatewayTransit"),
            use_remote_gateways: self.flag("useRemoteGateways"),
        });
        if self.get("allowVirtualNetworkAccess").is_some() && !self.flag("allowVirtualNetworkAccess") {
            draft.leave_out(
                format!("{place}.properties.allowVirtualNetworkAccess"),
                "a peering always lets the two networks reach each other",
                "leave the peering out",
            );
        }
        if self.flag("allowForwardedTraffic") {
            draft.leave_out(
                format!("{place}.properties.allowForwardedTraffic"),
                "what comes from elsewhere than the peered network is never let in",
                "sites behind its gateway take allow_gateway_transit and use_remote_gateways",
            );
        }
    }

    /// A subnet as a resource of its own, `network/GatewaySubnet`.
    pub(super) fn subnet(&self, draft: &mut Draft) {
        let (network, subnet) = self.name.rsplit_once('/').unwrap_or(("", self.name));
        if subnet != GATEWAY_SUBNET {
            self.scope.see(self.properties);
            return; // other subnets are inside the address space, which is all that is asked for here
        }
        let prefix = self.prefix_of(Some(self.properties), draft);
        let network = plain(network);
        let of_it = |one: &&mut Network| one.name == network || network == "unnamed";
        match draft.networks.iter_mut().rev().find(of_it) {
            Some(found) => found.gateway_subnet = prefix,
            None => draft.leave_out(
                self.name,
                "the subnet's network is not in the template",
                "add it to its network",
            ),
        }
    }

    fn prefix_of(&self, subnet: Option<&Value>, draft: &mut Draft) -> Option<ipnet::IpNet> {
        let properties = subnet?;
        let prefix = properties.get("addressPrefix").or_else(|| properties.get("addressPrefixes")?.get(0))?;
        let place = format!("subnets[{GATEWAY_SUBNET}].properties.addressPrefix");
        match self.scope.text(prefix) {
            Some(text) => draft.prefixes(&place, std::iter::once(text.as_str())).pop(),
            None => {
                unresolved(&place, draft);
                None
            }
        }
    }
}
