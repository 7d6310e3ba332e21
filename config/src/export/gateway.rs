//! A gateway with its size and what it has for clients, as settings.

use toml::Value;

use super::{Kind, Resource, Settings, reference, text, texts};
use crate::choice::Choice as _;
use crate::vpn_client::{VpnAuthenticationType, VpnClientConfiguration, VpnClientProtocol};
use crate::{GatewayType, RadiusServer, RootCertificate, RootSource, Sku, VirtualNetworkGateway};

pub(super) fn resource(gateway: &VirtualNetworkGateway) -> Resource {
    let mut settings = Settings(Vec::new());
    settings.put("virtual_network", text(&gateway.virtual_network));
    settings.put("type", GatewayType::Vpn.word());
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
    if let Some(bgp) = &gateway.bgp {
        settings.put_in("bgp_settings", "asn", i64::from(bgp.asn));
        if !bgp.peering_addresses.is_empty() {
            settings.put_in("bgp_settings", "bgp_peering_addresses", texts(&bgp.peering_addresses));
        }
        if !bgp.custom_addresses.is_empty() {
            settings.put_in("bgp_settings", "custom_bgp_ip_addresses", texts(&bgp.custom_addresses));
        }
        settings.put_in("bgp_settings", "peer_weight", i64::from(bgp.peer_weight));
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
    let types = [
        clients.certificates.as_ref().map(|_| VpnAuthenticationType::Certificate),
        clients.users.as_ref().map(|_| VpnAuthenticationType::Password),
        clients.radius.as_ref().map(|_| VpnAuthenticationType::Radius),
    ];
    let types = types.into_iter().flatten().map(|kind| Value::from(kind.word()));
    put("vpn_authentication_types", types.collect::<Vec<_>>().into());
    put("certificate", text(clients.certificate.display()));
    put("private_key", reference(&clients.private_key));
    put("server_name", text(&clients.server_name));
    if let Some(users) = &clients.users {
        put("users", reference(users.reference()));
    }
    if let Some(servers) = &clients.radius {
        put("radius_servers", servers.iter().map(radius_server).collect::<Vec<_>>().into());
    }
    if let Some(certificates) = &clients.certificates {
        put("vpn_client_root_certificates", certificates.roots.iter().map(root).collect::<Vec<_>>().into());
        if !certificates.revoked.is_empty() {
            let revoked = certificates.revoked.iter().map(|revoked| {
                table([("name", revoked.name.as_str()), ("thumbprint", revoked.thumbprint.as_str())])
            });
            put("vpn_client_revoked_certificates", revoked.collect::<Vec<_>>().into());
        }
        if !certificates.crls.is_empty() {
            let paths: Vec<_> = certificates.crls.iter().map(|path| path.display()).collect();
            put("crls", texts(&paths).into());
        }
    }
    if !clients.dns_servers.is_empty() {
        put("dns_servers", texts(&clients.dns_servers).into());
    }
}

fn radius_server(server: &RadiusServer) -> Value {
    let entries = [
        ("address", text(server.address.ip())),
        ("port", Value::from(i64::from(server.address.port()))),
        ("score", Value::from(i64::from(server.score))),
        ("secret", reference(server.secret.reference())),
    ];
    Value::Table(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

fn root(root: &RootCertificate) -> Value {
    let (key, source) = match &root.source {
        RootSource::Data(data) => ("public_cert_data", data.clone()),
        RootSource::File(path) => ("file", path.display().to_string()),
    };
    table([("name", root.name.as_str()), (key, source.as_str())])
}

fn table<const N: usize>(entries: [(&str, &str); N]) -> Value {
    Value::Table(entries.into_iter().map(|(key, value)| (key.to_owned(), Value::from(value))).collect())
}
