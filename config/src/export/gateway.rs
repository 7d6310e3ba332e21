//! A gateway with its size and what it has for clients, as settings.

use toml::Value;

use super::{Kind, Resource, Settings, reference, text, texts};
use crate::choice::Choice as _;
use crate::vpn_client::{VpnAuthenticationType, VpnClientConfiguration, VpnClientProtocol};
use crate::{Sku, VirtualNetworkGateway};

pub(super) fn resource(gateway: &VirtualNetworkGateway) -> Resource {
    let mut settings = Settings(Vec::new());
    settings.put("virtual_network", text(&gateway.virtual_network));
    settings.put("type", gateway.gateway_type.word());
    settings.put("vpn_type", gateway.vpn_type.word());
    settings.put("sku", gateway.sku.word());
    if gateway.sku != Sku::Custom {
        settings.put("generation", gateway.generation.word());
    }
    settings.put("public_addresses", texts(&gateway.public_addresses));
    if gateway.active_active {
        settings.put("active_active", true);
    }
    if gateway.sku == Sku::Custom {
        let limits = gateway.limits;
        let mut put = |key, number: u32| settings.put_in("custom", key, i64::from(number));
        put("tunnels", limits.tunnels);
        put("sstp_sessions", limits.sstp_sessions);
        put("ikev2_sessions", limits.ikev2_sessions);
        if let Some(bandwidth) = limits.bandwidth_mbit_per_s {
            put("bandwidth_mbit_per_s", bandwidth);
        }
    }
    if let Some(clients) = &gateway.vpn_client {
        self::clients(clients, &mut settings);
    }
    settings.of(Kind::VirtualNetworkGateway, &gateway.name)
}

fn clients(clients: &VpnClientConfiguration, settings: &mut Settings) {
    let mut put = |key, value: Value| settings.put_in("vpn_client_configuration", key, value);
    put("vpn_client_address_pool", texts(&clients.address_pool).into());
    put("vpn_client_protocols", vec![Value::from(VpnClientProtocol::IkeV2.word())].into());
    put("vpn_authentication_types", vec![Value::from(VpnAuthenticationType::Password.word())].into());
    put("certificate", text(clients.certificate.display()));
    put("private_key", reference(&clients.private_key));
    put("server_name", text(&clients.server_name));
    put("users", reference(clients.users.reference()));
    if !clients.dns_servers.is_empty() {
        put("dns_servers", texts(&clients.dns_servers).into());
    }
}
