//! Point-to-site of a gateway, as far as it is IKEv2: clients log in with a name and a password and get an address out of a pool. In the cloud's words
//! (`vpnClientConfiguration`), with a proof of the gateway's own.
//!
//! A gateway with clients has one more connection, which the file does not name: to a peer that calls from anywhere, behind which the pool is.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crossgate_pki::{Credential, Subject};
use ipnet::IpNet;
use zeroize::Zeroizing;

use crate::authentication::{self, Authentication};
use crate::choice::Choice;
use crate::connection::{Connection, ConnectionMode, ConnectionType, MssClamp, Nat, Protocol, Remote};
use crate::document::Section;
use crate::environment::Environment;
use crate::gateway::{VirtualNetworkGateway, VpnType};
use crate::identity::Identity;
use crate::local_network_gateway::{LocalNetworkGateway, PeerAddress};
use crate::name::Name;
use crate::network::VirtualNetwork;
use crate::policy::Policy;
use crate::prefix::{overlap, taken_by, without_overlaps};
use crate::report::{Located, Place, Report};
use crate::secret::{self, SecretReference};
use crate::selectors::TrafficSelectors;
use crate::shelf::Shelf;
use crate::sku::Sku;

/// What clients speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VpnClientProtocol {
    /// IKEv2.
    IkeV2,
}

impl Choice for VpnClientProtocol {
    const WORDS: &'static [(&'static str, Self)] = &[("IkeV2", Self::IkeV2)];
    const REFUSED: &'static [(&'static str, &'static str, &'static str)] = &[
        ("SSTP", "clients over SSTP are not supported by this version", "take \"IkeV2\""),
        ("OpenVPN", "OpenVPN is not supported", "take \"IkeV2\""),
    ];
}

/// How clients prove themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VpnAuthenticationType {
    /// By name and password (EAP-MSCHAPv2).
    Password,
}

impl Choice for VpnAuthenticationType {
    const WORDS: &'static [(&'static str, Self)] = &[("Password", Self::Password)];
    const REFUSED: &'static [(&'static str, &'static str, &'static str)] = &[
        (
            "Certificate",
            "certificates of clients are not supported by this version",
            "take \"Password\" with a file of users",
        ),
        ("Radius", "RADIUS is not supported by this version", "take \"Password\" with a file of users"),
        (
            "AAD",
            "logging in at a cloud's directory is not supported",
            "take \"Password\" with a file of users",
        ),
    ];
}

/// A gateway's point-to-site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VpnClientConfiguration {
    /// Where the clients' addresses come from; they overlap neither the network nor each other.
    pub address_pool: Vec<IpNet>,
    /// What the gateway proves itself with.
    pub credential: Arc<Credential>,
    /// Who the gateway says it is: a name of that certificate.
    pub server_name: Identity,
    /// Who may log in.
    pub users: Arc<Users>,
    /// Name servers that clients are told.
    pub dns_servers: Vec<IpAddr>,
    /// Most clients at once, by the gateway's size.
    pub sessions_max: u32,
    /// Where the certificate comes from; absolute.
    pub certificate: PathBuf,
    /// Where its private key is kept.
    pub private_key: SecretReference,
}

/// Names and passwords. Wiped when dropped, shown to nobody.
#[derive(PartialEq, Eq)]
pub struct Users {
    entries: Vec<(String, Zeroizing<String>)>,
    reference: SecretReference,
}

impl std::fmt::Debug for Users {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Users({})", self.entries.len())
    }
}

impl Users {
    /// Each name with its password.
    pub fn expose(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().map(|(name, password)| (name.as_str(), password.as_str()))
    }

    /// Where they were read from.
    #[must_use]
    pub fn reference(&self) -> &SecretReference {
        &self.reference
    }
}

/// Reads `vpn_client_configuration` of a gateway.
pub(crate) fn read(
    section: &mut Section<'_>,
    (vpn_type, sku, sessions_max): (VpnType, Sku, u32),
    network: Option<&VirtualNetwork>,
    environment: &Environment<'_>,
    report: &mut Report<'_>,
) -> Option<VpnClientConfiguration> {
    if !section.has("vpn_client_configuration") {
        return None;
    }
    let place = section.place_of("vpn_client_configuration");
    let mut section = section.section("vpn_client_configuration", report)?;
    if vpn_type == VpnType::PolicyBased || sku == Sku::Basic {
        let problem = "gateways that are PolicyBased or of size Basic have no clients over IKEv2";
        report.error(
            &place,
            problem,
            "take vpn_type = \"RouteBased\" and a larger sku, or leave the clients out",
        );
    }
    let pool = section.required_list::<IpNet>("vpn_client_address_pool", "[\"172.16.201.0/24\"]", report);
    let pool_place = section.place_of("vpn_client_address_pool");
    section.list::<VpnClientProtocol>("vpn_client_protocols", report);
    section.list::<VpnAuthenticationType>("vpn_authentication_types", report);
    let own = authentication::own_certificate(&mut section, environment, report);
    let server_name = section.optional::<Identity>("server_name", report);
    let users = users(&mut section, environment, report);
    let dns_servers: Vec<Located<IpAddr>> = section.list("dns_servers", report).unwrap_or_default();
    let name_place = section.place.clone();
    section.finish(report);
    let address_pool = without_overlaps(pool?, report);
    if let Some(network) = network {
        check_pool(&address_pool, network, &pool_place, report);
    }
    let own = own?;
    let dns_name = if server_name.is_none() { dns_name(&own.credential) } else { None };
    let server_name = dns_name
        .or_else(|| authentication::certified_name(&own.credential, server_name, &name_place, report));
    Some(VpnClientConfiguration {
        address_pool,
        credential: own.credential,
        server_name: server_name?,
        users: Arc::new(users?),
        dns_servers: dns_servers.into_iter().map(|server| server.value).collect(),
        sessions_max,
        certificate: own.certificate,
        private_key: own.private_key,
    })
}

/// What clients know a gateway by: the first DNS name of its certificate that is one host's.
fn dns_name(credential: &Credential) -> Option<Identity> {
    let names = credential.certificate().names();
    let mut hosts = names.iter().filter(|name| matches!(name, Subject::Dns(host) if !host.contains('*')));
    hosts.next().map(Identity::from_subject)
}

/// The clients are not in the network, speak what it speaks, and no static route takes what is for them.
fn check_pool(pool: &[IpNet], network: &VirtualNetwork, place: &Place, report: &mut Report<'_>) {
    let is_ipv4 = |prefix: &IpNet| matches!(prefix, IpNet::V4(_));
    let take_another = "take a range that nobody else has, such as \"172.16.201.0/24\"";
    for prefix in pool {
        if let Some(own) = network.address_space.iter().find(|own| overlap(**own, *prefix)) {
            let problem = format!("{prefix} overlaps {own} of the network \"{}\"", network.name);
            report.error(place, problem, take_another);
        }
        if !network.address_space.iter().any(|own| is_ipv4(own) == is_ipv4(prefix)) {
            let problem =
                format!("the network \"{}\" has no address of the family of {prefix}", network.name);
            report.error(place, problem, "leave the range out, or give the network a range of that family");
        }
        if let Some(route) = taken_by(*prefix, &network.routes) {
            let problem = format!(
                "the route to {route} of the network \"{}\" would take packets for clients of {prefix} past the tunnels, in clear",
                network.name
            );
            report.error(place, problem, "take the route out of the network, or take another range");
        }
    }
}

/// A private file with a line `NAME:PASSWORD` for each user; empty lines and those that begin with # do not count.
fn users(section: &mut Section<'_>, environment: &Environment<'_>, report: &mut Report<'_>) -> Option<Users> {
    let found = secret::read_users(section, "users", environment, report)?;
    let Ok(text) = std::str::from_utf8(&found.value) else {
        report.error(&found.place, "the file of users is not UTF-8 text", "save it as UTF-8");
        return None;
    };
    let mut entries: Vec<(String, Zeroizing<String>)> = Vec::new();
    let mut names = BTreeSet::new();
    for (number, line) in text.lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line_number = number + 1;
        let parts = line.split_once(':').filter(|(name, _)| !name.is_empty() && !name.contains(['\\', ' ']));
        let Some((name, password)) = parts else {
            let problem = format!("line {line_number} of the file of users is no NAME:PASSWORD");
            report.error(
                &found.place,
                problem,
                "write one user on each line, the name without blanks and backslashes",
            );
            return None;
        };
        if !names.insert(name) {
            let problem = format!("line {line_number} of the file of users names {name:?} again");
            report.error(&found.place, problem, "leave one of the two out");
            return None;
        }
        if password.chars().count() < PASSWORD_MIN {
            let problem = format!(
                "the password on line {line_number} of the file of users has fewer than {PASSWORD_MIN} characters"
            );
            report.error(
                &found.place,
                problem,
                "take a longer one: whoever records a log-in may try passwords against it",
            );
            return None;
        }
        entries.push((name.to_owned(), Zeroizing::new(password.to_owned())));
    }
    Some(Users { entries, reference: found.reference })
}

/// Puts what stands for the clients of each gateway among peers and connections.
pub(crate) fn stand_in(
    gateways: &Shelf<VirtualNetworkGateway>,
    networks: &Shelf<VirtualNetwork>,
    peers: &mut Shelf<LocalNetworkGateway>,
    connections: &mut Shelf<Connection>,
    report: &mut Report<'_>,
) {
    for (gateway, line) in gateways.declared() {
        let Some(gateway) = gateways.sound().get(gateway) else { continue };
        let (Some(clients), Some(network), Some(address)) = (
            &gateway.vpn_client,
            networks.sound().get(&gateway.virtual_network),
            gateway.public_addresses.first(),
        ) else {
            continue;
        };
        let place = Place { line, key: format!("virtual_network_gateway[{}]", gateway.name) };
        let is_taken = |name: &Name| {
            peers.declared().any(|(other, _)| other == name)
                || connections.declared().any(|(other, _)| other == name)
        };
        let Some(name) = Name::new(&format!("{}-clients", gateway.name)).filter(|name| !is_taken(name))
        else {
            let problem =
                "the name of its clients' connection, the gateway's with \"-clients\", is taken or too long";
            report.error(&place, problem, "give the gateway, or the connection of that name, another name");
            continue;
        };
        check_sites(clients, gateway, gateways, peers, connections, &place, report);
        let name = Located { value: name, place };
        peers.declare(&name, report);
        connections.declare(&name, report);
        let connection = connection(&name.value, gateway, clients, network, *address);
        let peer = LocalNetworkGateway {
            name: name.value.clone(),
            address: PeerAddress::Any,
            backup_addresses: Vec::new(),
            prefixes: clients.address_pool.clone(),
        };
        peers.put(Some(name.clone()), Some(peer));
        connections.put(Some(name), Some(connection));
    }
}

/// The clients are at no site that the network reaches; a default route leads to no site of its own.
fn check_sites(
    clients: &VpnClientConfiguration,
    gateway: &VirtualNetworkGateway,
    gateways: &Shelf<VirtualNetworkGateway>,
    peers: &Shelf<LocalNetworkGateway>,
    connections: &Shelf<Connection>,
    place: &Place,
    report: &mut Report<'_>,
) {
    let is_around = |connection: &&Connection| {
        let of = gateways.sound().get(&connection.gateway);
        of.is_some_and(|other| other.virtual_network == gateway.virtual_network)
    };
    for connection in connections.sound().values().filter(is_around) {
        let peer = match &connection.remote {
            Remote::LocalNetworkGateway(peer) => peers.sound().get(peer),
            Remote::Gateway { described, .. } => Some(&**described),
        };
        let prefixes = peer.map(|peer| connection.nat.site_prefixes(&peer.prefixes)).unwrap_or_default();
        let clash = prefixes.iter().filter(|prefix| prefix.prefix_len() > 0).find_map(|prefix| {
            let pool = clients.address_pool.iter().find(|pool| overlap(**pool, *prefix))?;
            Some((pool, prefix))
        });
        if let Some((pool, prefix)) = clash {
            let problem = format!(
                "the clients' addresses {pool} overlap {prefix} behind the connection \"{}\"",
                connection.name
            );
            report.error(place, problem, "take a vpn_client_address_pool that nobody else has");
        }
    }
}

/// The connection of a gateway's clients.
fn connection(
    name: &Name,
    gateway: &VirtualNetworkGateway,
    clients: &VpnClientConfiguration,
    network: &VirtualNetwork,
    address: IpAddr,
) -> Connection {
    let is_ipv4 = |prefix: &IpNet| matches!(prefix, IpNet::V4(_));
    let has = |of: &[IpNet], ipv4: bool| of.iter().any(|prefix| is_ipv4(prefix) == ipv4);
    // Each family is on both sides or on none. Clients reach each other, too.
    let of_clients = |prefix: &&IpNet| has(&clients.address_pool, is_ipv4(prefix));
    let local = network.address_space.iter().filter(of_clients).chain(&clients.address_pool);
    Connection {
        name: name.clone(),
        connection_type: ConnectionType::VpnClient,
        gateway: gateway.name.clone(),
        remote: Remote::LocalNetworkGateway(name.clone()),
        local_address: address,
        second_address: None,
        protocol: Protocol::IkeV2,
        authentication: Authentication::Login(clients.clone()),
        ppk: None,
        local_id: clients.server_name.clone(),
        remote_id: Identity::KeyId(b"clients".to_vec()),
        mode: ConnectionMode::ResponderOnly,
        dpd_timeout: Duration::from_secs(DPD_TIMEOUT_S),
        mobike: true,
        session_resumption: false,
        follow_redirects: false,
        redirect_to: None,
        mtu_bytes: None,
        mss_clamp: MssClamp::Auto,
        policy: Policy::default(),
        traffic_selectors: TrafficSelectors {
            local: local.copied().collect(),
            remote: clients.address_pool.clone(),
        },
        nat: Nat::default(),
        routing_weight: None,
    }
}

/// Shorter passwords are found by trying.
const PASSWORD_MIN: usize = 8;
/// As for other connections.
const DPD_TIMEOUT_S: u64 = 45;
