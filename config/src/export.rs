//! A configuration as the settings of its resources, and as TOML again. What is written is canonical: every value stands there, the defaults too,
//! and reading it gives an equal [`Config`]. Secrets appear by reference, never by value.
//!
//! `crossgate export`, the history and `difference` use it.

use std::fmt::{self, Write as _};
use std::path::PathBuf;

use toml::Value;

use crate::authentication::Authentication;
use crate::choice::Choice;
use crate::connection::{MssClamp, Protocol, Start};
use crate::policy::{IkeProposal, Policy};
use crate::port::Device;
use crate::prefix::{InterfaceAddress, StaticRoute};
use crate::secret::SecretReference;
use crate::{
    Appliance, Config, Connection, LocalNetworkGateway, Name, NatRule, Port, Remote, VirtualNetwork,
    VirtualNetworkPeering, VpnType,
};

mod circuit;
mod gateway;
mod selectors;

/// Kinds of resources, in the order in which a file names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `[appliance]`.
    Appliance,
    /// `[[port]]`.
    Port,
    /// `[[virtual_network]]`.
    VirtualNetwork,
    /// `[[express_route_circuit]]`.
    ExpressRouteCircuit,
    /// `[[virtual_network_gateway]]`.
    VirtualNetworkGateway,
    /// `[[nat_rule]]`.
    NatRule,
    /// `[[local_network_gateway]]`.
    LocalNetworkGateway,
    /// `[[connection]]`.
    Connection,
    /// `[[virtual_network_peering]]`.
    VirtualNetworkPeering,
}

impl Kind {
    /// The section's name in a file.
    #[must_use]
    pub fn section(self) -> &'static str {
        match self {
            Self::Appliance => "appliance",
            Self::Port => "port",
            Self::VirtualNetwork => "virtual_network",
            Self::ExpressRouteCircuit => "express_route_circuit",
            Self::VirtualNetworkGateway => "virtual_network_gateway",
            Self::NatRule => "nat_rule",
            Self::LocalNetworkGateway => "local_network_gateway",
            Self::Connection => "connection",
            Self::VirtualNetworkPeering => "virtual_network_peering",
        }
    }
}

/// One setting: its table inside the resource (`policy`), if it stands in one, its key and its value.
pub(crate) struct Setting {
    pub(crate) table: Option<&'static str>,
    pub(crate) key: &'static str,
    pub(crate) value: Value,
}

/// One resource as its settings.
pub(crate) struct Resource {
    pub(crate) kind: Kind,
    pub(crate) name: Name,
    pub(crate) settings: Vec<Setting>,
}

impl Config {
    /// The whole configuration as TOML, from which [`Config::parse`] makes an equal one.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        for (index, resource) in self.resources().iter().enumerate() {
            if index > 0 {
                text.push('\n');
            }
            let _ = write!(text, "{resource}"); // writing to a String cannot fail
        }
        text
    }

    /// Every resource, by kind and name.
    pub(crate) fn resources(&self) -> Vec<Resource> {
        let mut resources = vec![appliance(self.appliance())];
        resources.extend(self.ports().values().map(port));
        resources.extend(self.virtual_networks().values().map(network));
        resources.extend(self.circuits().values().map(circuit::resource));
        resources.extend(self.gateways().values().map(gateway::resource));
        resources.extend(self.circuit_gateways().values().map(circuit::gateway));
        resources.extend(self.nat_rules().values().map(nat_rule));
        // What stands for clients is part of their gateway.
        let is_named = |name: &Name| self.connections().get(name).is_none_or(|one| !one.is_of_clients());
        resources.extend(self.local_network_gateways().values().filter(|one| is_named(&one.name)).map(peer));
        let connections = self.connections().values().filter(|one| !one.is_of_clients());
        resources.extend(connections.map(|one| connection(self, one)));
        resources.extend(self.circuit_connections().values().map(circuit::connection));
        resources.extend(self.peerings().values().map(peering));
        resources
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let section = self.kind.section();
        match self.kind {
            Kind::Appliance => writeln!(f, "[{section}]")?,
            _ => writeln!(f, "[[{section}]]")?,
        }
        writeln!(f, "name = {}", text(&self.name))?;
        let mut table = None;
        for setting in &self.settings {
            if setting.table != table {
                table = setting.table;
                writeln!(f, "[{section}.{}]", table.unwrap_or_default())?;
            }
            writeln!(f, "{} = {}", setting.key, setting.value)?;
        }
        Ok(())
    }
}

/// Settings being collected.
struct Settings(Vec<Setting>);

impl Settings {
    fn put(&mut self, key: &'static str, value: impl Into<Value>) {
        self.0.push(Setting { table: None, key, value: value.into() });
    }

    fn put_in(&mut self, table: &'static str, key: &'static str, value: impl Into<Value>) {
        self.0.push(Setting { table: Some(table), key, value: value.into() });
    }

    fn of(self, kind: Kind, name: &Name) -> Resource {
        Resource { kind, name: name.clone(), settings: self.0 }
    }
}

fn appliance(appliance: &Appliance) -> Resource {
    let mut settings = Settings(Vec::new());
    let workers = appliance.workers.iter().map(|core| Value::from(i64::from(core.0)));
    settings.put("workers", workers.collect::<Vec<_>>());
    settings.put("control_core", i64::from(appliance.control_core.0));
    settings.put("idle", appliance.idle.word());
    settings.put("aes_gcm", appliance.aes_gcm.word());
    settings.put("memory", appliance.memory.word());
    settings.put("memory_mib", i64::from(appliance.memory_mib));
    settings.put("max_tunnels", i64::from(appliance.max_tunnels));
    settings.put("eal", appliance.eal.clone());
    settings.put("socket", text(appliance.socket.display()));
    settings.put("store", text(appliance.store.display()));
    settings.of(Kind::Appliance, &appliance.name)
}

fn port(port: &Port) -> Resource {
    let mut settings = Settings(Vec::new());
    let (Device::Pci(device) | Device::Virtual(device)) = &port.device;
    settings.put("device", device.as_str());
    settings.put("mtu_bytes", i64::from(port.mtu_bytes));
    if !port.addresses.is_empty() || !port.routes.is_empty() {
        settings.put("addresses", interface_addresses(&port.addresses));
        settings.put("routes", routes(&port.routes));
    }
    settings.of(Kind::Port, &port.name)
}

fn network(network: &VirtualNetwork) -> Resource {
    let mut settings = Settings(Vec::new());
    if let Some(region) = &network.region {
        settings.put("region", text(region));
    }
    settings.put("address_space", texts(&network.address_space));
    if let Some(subnet) = network.gateway_subnet {
        settings.put("gateway_subnet", text(subnet));
    }
    settings.put("port", text(&network.port));
    if let Some(vlan) = network.vlan {
        settings.put("vlan", i64::from(vlan.get()));
    }
    settings.put("addresses", interface_addresses(&network.addresses));
    settings.put("routes", routes(&network.routes));
    settings.of(Kind::VirtualNetwork, &network.name)
}

fn nat_rule(rule: &NatRule) -> Resource {
    let mut settings = Settings(Vec::new());
    settings.put("gateway", text(&rule.gateway));
    settings.put("mode", rule.mode.word());
    settings.put("type", rule.nat_type.word());
    settings.put("internal_mapping", text(rule.internal_mapping));
    settings.put("external_mapping", text(rule.external_mapping));
    settings.of(Kind::NatRule, &rule.name)
}

fn peer(peer: &LocalNetworkGateway) -> Resource {
    let mut settings = Settings(Vec::new());
    settings.put("address", text(&peer.address));
    if !peer.backup_addresses.is_empty() {
        settings.put("backup_addresses", texts(&peer.backup_addresses));
    }
    settings.put("prefixes", texts(&peer.prefixes));
    if let Some(bgp) = &peer.bgp {
        settings.put_in("bgp_settings", "asn", i64::from(bgp.asn));
        settings.put_in("bgp_settings", "bgp_peering_address", text(bgp.peering_address));
        settings.put_in("bgp_settings", "peer_weight", i64::from(bgp.peer_weight));
    }
    settings.of(Kind::LocalNetworkGateway, &peer.name)
}

fn connection(config: &Config, connection: &Connection) -> Resource {
    let mut settings = Settings(Vec::new());
    settings.put("type", connection.connection_type.word());
    settings.put("gateway", text(&connection.gateway));
    match &connection.remote {
        Remote::LocalNetworkGateway(name) => settings.put("local_network_gateway", text(name)),
        Remote::Gateway { reference, .. } => settings.put("remote_gateway", text(reference)),
    }
    let gateway = config.gateway_of(connection);
    let is_policy_based = gateway.vpn_type == VpnType::PolicyBased;
    if is_policy_based || connection.protocol == Protocol::IkeV1 {
        settings.put("protocol", connection.protocol.word());
    }
    authentication(&connection.authentication, &mut settings);
    if let Some(ppk) = &connection.ppk {
        settings.put_in("ppk", "id", text(&ppk.id));
        settings.put_in("ppk", "secret", reference(ppk.secret.reference()));
        settings.put_in("ppk", "required", ppk.required);
    }
    settings.put("local_id", text(&connection.local_id));
    settings.put("remote_id", text(&connection.remote_id));
    settings.put("mode", connection.mode.word());
    if is_policy_based || connection.start == Start::OnTraffic {
        settings.put("start", connection.start.word());
    }
    if let Some(after) = connection.idle_timeout {
        settings.put("idle_timeout_s", seconds(after));
    }
    if !is_policy_based {
        settings.put("dpd_timeout_s", seconds(connection.dpd_timeout));
    }
    settings.put("mobike", connection.mobike);
    if connection.session_resumption {
        settings.put("session_resumption", true);
    }
    if connection.protocol == Protocol::IkeV2 && !connection.per_resource_child_sas {
        settings.put("per_resource_child_sas", false);
    }
    if connection.request_addresses {
        settings.put("request_addresses", true);
    }
    settings.put("follow_redirects", connection.follow_redirects);
    if let Some(to) = &connection.redirect_to {
        settings.put("redirect_to", text(to));
    }
    if let Some(bytes) = connection.mtu_bytes {
        settings.put("mtu_bytes", i64::from(bytes));
    }
    match connection.mss_clamp {
        MssClamp::Auto => settings.put("mss_clamp", "auto"),
        MssClamp::Off => settings.put("mss_clamp", "off"),
        MssClamp::Bytes(bytes) => settings.put("mss_clamp", i64::from(bytes)),
    }
    if let Some(weight) = connection.routing_weight {
        settings.put("routing_weight", i64::from(weight));
    }
    for (key, rules) in
        [("ingress_nat_rules", &connection.nat.ingress), ("egress_nat_rules", &connection.nat.egress)]
    {
        if !rules.is_empty() {
            settings.put(key, texts(&rules.iter().map(|rule| &rule.name).collect::<Vec<_>>()));
        }
    }
    selectors::put(config, connection, &mut settings);
    // A gateway that takes no policy has the default, which is not written.
    if connection.policy != Policy::on(gateway, connection.protocol) {
        policy(&connection.policy, &mut settings);
    }
    // Tables come after the plain keys, else TOML would take those for the table's.
    settings.0.sort_by_key(|setting| setting.table);
    settings.of(Kind::Connection, &connection.name)
}

fn authentication(authentication: &Authentication, settings: &mut Settings) {
    let certificates = match authentication {
        Authentication::SharedKey(key) => return settings.put("shared_key", reference(key.reference())),
        Authentication::Certificate(certificates) => certificates,
        Authentication::Login(_) => return,
    };
    let paths = |paths: &[PathBuf]| texts(&paths.iter().map(|path| path.display()).collect::<Vec<_>>());
    let files = &certificates.files;
    let mut put = |key, value: Value| settings.put_in("authentication", key, value);
    put("certificate", text(files.certificate.display()));
    put("private_key", reference(&files.private_key));
    put("trust_anchors", paths(&files.trust_anchors).into());
    if !files.crls.is_empty() {
        put("crls", paths(&files.crls).into());
    }
    if !files.ocsp_responses.is_empty() {
        put("ocsp_responses", paths(&files.ocsp_responses).into());
    }
    put("ocsp", certificates.trust.ocsp().word().into());
    put("rsa_signature", certificates.rsa_signature.word().into());
    if certificates.allow_sha1 {
        put("allow_sha1", true.into());
    }
}

fn peering(peering: &VirtualNetworkPeering) -> Resource {
    let mut settings = Settings(Vec::new());
    settings.put("virtual_network", text(&peering.virtual_network));
    settings.put("remote_virtual_network", text(&peering.remote_virtual_network));
    settings.put("allow_gateway_transit", peering.allow_gateway_transit);
    settings.put("use_remote_gateways", peering.use_remote_gateways);
    settings.of(Kind::VirtualNetworkPeering, &peering.name)
}

fn policy(policy: &Policy, settings: &mut Settings) {
    let mut put = |key, value: Value| settings.put_in("policy", key, value);
    let first = |proposals: &[IkeProposal]| proposals.first().cloned();
    if let Some(proposal) = first(&policy.ike) {
        put(
            "ike_encryption",
            words(policy.ike.iter().flat_map(|proposal| proposal.encryption.iter().copied())),
        );
        put("ike_integrity", words(proposal.prf.iter().map(|prf| prf.integrity())));
        put("dh_group", words(proposal.dh_groups.iter().copied()));
    }
    put("ipsec_encryption", words(policy.ipsec.encryption.iter().copied()));
    if !policy.ipsec.integrity.is_empty() {
        put("ipsec_integrity", words(policy.ipsec.integrity.iter().copied()));
    }
    put("pfs_group", words(policy.ipsec.pfs_groups.iter().copied()));
    put("pfs_from_start", policy.pfs_from_start.into());
    put("additional_key_exchange", words(policy.additional_key_exchanges.iter().copied()));
    put("sa_lifetime_s", seconds(policy.sa_lifetime));
    put("sa_data_size_kib", integer(policy.sa_data_size_kib));
    put("ike_lifetime_s", seconds(policy.ike_lifetime));
    put("esn", policy.ipsec.esn.word().into());
    put("replay_window_packets", i64::from(policy.replay_window_packets).into());
}

fn reference(reference: &SecretReference) -> Value {
    let (key, value) = match reference {
        SecretReference::File(path) => ("file", path.display().to_string()),
        SecretReference::Environment(name) => ("env", name.clone()),
    };
    Value::Table(toml::Table::from_iter([(key.to_owned(), Value::String(value))]))
}

fn interface_addresses(addresses: &[InterfaceAddress]) -> Vec<String> {
    addresses.iter().map(|own| format!("{}/{}", own.address, own.network.prefix_len())).collect()
}

fn routes(routes: &[StaticRoute]) -> Vec<Value> {
    let route = |route: &StaticRoute| {
        let entries = [("prefix", text(route.prefix)), ("next_hop", text(route.next_hop))];
        Value::Table(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    };
    routes.iter().map(route).collect()
}

fn words<T: Choice>(values: impl Iterator<Item = T>) -> Value {
    Value::Array(values.map(|value| Value::from(value.word())).collect())
}

fn text(value: impl fmt::Display) -> Value {
    Value::String(value.to_string())
}

fn texts(values: &[impl fmt::Display]) -> Vec<Value> {
    values.iter().map(text).collect()
}

fn seconds(duration: std::time::Duration) -> Value {
    integer(duration.as_secs())
}

/// What was read from TOML fits into its integers again.
fn integer(number: u64) -> Value {
    Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests;
