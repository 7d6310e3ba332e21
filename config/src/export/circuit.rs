//! Circuits, their gateways and connections, as settings.

use super::{Kind, Resource, Settings, interface_addresses, text, texts};
use crate::choice::Choice as _;
use crate::{
    CircuitSku, ConnectionType, ExpressRouteCircuit, ExpressRouteConnection, ExpressRouteGateway, GatewayType,
};

pub(super) fn resource(circuit: &ExpressRouteCircuit) -> Resource {
    let mut settings = Settings(Vec::new());
    settings.put("port", text(&circuit.port));
    if let Some(vlan) = circuit.vlan {
        settings.put("vlan", i64::from(vlan.get()));
    }
    settings.put("addresses", interface_addresses(&circuit.addresses));
    settings.put("next_hops", texts(&circuit.next_hops));
    settings.put("prefixes", texts(&circuit.prefixes));
    settings.of(Kind::ExpressRouteCircuit, &circuit.name)
}

pub(super) fn gateway(gateway: &ExpressRouteGateway) -> Resource {
    let mut settings = Settings(Vec::new());
    settings.put("virtual_network", text(&gateway.virtual_network));
    settings.put("type", GatewayType::ExpressRoute.word());
    settings.put("sku", gateway.sku.word());
    if gateway.sku == CircuitSku::ErGwScale {
        settings.put("scale_units", i64::from(gateway.scale_units));
    }
    settings.of(Kind::VirtualNetworkGateway, &gateway.name)
}

pub(super) fn connection(connection: &ExpressRouteConnection) -> Resource {
    let mut settings = Settings(Vec::new());
    settings.put("type", ConnectionType::ExpressRoute.word());
    settings.put("gateway", text(&connection.gateway));
    settings.put("express_route_circuit", text(&connection.circuit));
    settings.put("routing_weight", i64::from(connection.routing_weight));
    settings.of(Kind::Connection, &connection.name)
}
