//! Point-to-site of a gateway, as far as it is IKEv2: clients log in with a password or a certificate and get an address out of a pool. In the cloud's words
//! (`vpnClientConfiguration`), with a proof of the gateway's own.
//!
//! A gateway with clients has one more connection, which the file does not name: to a peer that calls from anywhere, behind which the pool is.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crossgate_pki::{Credential, Subject};
use ipnet::IpNet;

use crate::authentication::{self, Authentication};
use crate::choice::Choice;
use crate::connection::{Connection, ConnectionMode, ConnectionType, MssClamp, Nat, Protocol, Remote, Start};
use crate::document::Section;
use crate::environment::Environment;
use crate::gateway::{VirtualNetworkGateway, VpnType};
use crate::identity::Identity;
use crate::local_network_gateway::{LocalNetworkGateway, PeerAddress};
use crate::name::Name;
use crate::network::VirtualNetwork;
use crate::peering::VirtualNetworkPeering;
use crate::policy::Policy;
use crate::prefix::{overlap, taken_by, without_overlaps};
use crate::report::{Located, Place, Report};
use crate::secret::SecretReference;
use crate::selectors::TrafficSelectors;
use crate::shelf::Shelf;
use crate::sku::Sku;
use crate::transit;

mod certificates;
mod radius;
mod users;

pub use certificates::{ClientCertificates, RevokedCertificate, RootCertificate, RootSource};
pub use radius::RadiusServer;
pub use users::Users;

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
    /// By a certificate (EAP-TLS, or in IKEv2 itself).
    Certificate,
    /// As a RADIUS server says (any method of EAP that makes a key).
    Radius,
}

impl Choice for VpnAuthenticationType {
    const WORDS: &'static [(&'static str, Self)] =
        &[("Certificate", Self::Certificate), ("Password", Self::Password), ("Radius", Self::Radius)];
    const REFUSED: &'static [(&'static str, &'static str, &'static str)] = &[(
        "AAD",
        "logging in at a cloud's directory is not supported",
        "take \"Certificate\", \"Radius\", or \"Password\" with a file of users",
    )];
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
    /// Who may log in by password; `None` if nobody may.
    pub users: Option<Arc<Users>>,
    /// Whose certificates may log in; `None` if nobody's may.
    pub certificates: Option<ClientCertificates>,
    /// The servers that know the clients, the one that is asked first before the others; `None` if none is asked.
    pub radius: Option<Vec<RadiusServer>>,
    /// Name servers that clients are told.
    pub dns_servers: Vec<IpAddr>,
    /// Most clients at once, by the gateway's size.
    pub sessions_max: u32,
    /// Where the certificate comes from; absolute.
    pub certificate: PathBuf,
    /// Where its private key is kept.
    pub private_key: SecretReference,
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
    let types = authentication_types(&mut section, report);
    let own = authentication::own_certificate(&mut section, environment, report);
    let server_name = section.optional::<Identity>("server_name", report);
    let users = if types.contains(&VpnAuthenticationType::Password) {
        Some(users::read(&mut section, environment, report))
    } else {
        unused(&mut section, &["users"], "\"Password\"", report)
    };
    let certificates = if types.contains(&VpnAuthenticationType::Certificate) {
        Some(certificates::read(&mut section, report))
    } else {
        unused(&mut section, &certificates::KEYS, "\"Certificate\"", report)
    };
    let radius = if types.contains(&VpnAuthenticationType::Radius) {
        Some(radius::read(&mut section, environment, report))
    } else {
        unused(&mut section, &[radius::KEY], "\"Radius\"", report)
    };
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
        users: read_if_named(users)?.map(Arc::new),
        certificates: read_if_named(certificates)?,
        radius: read_if_named(radius)?,
        dns_servers: dns_servers.into_iter().map(|server| server.value).collect(),
        sessions_max,
        certificate: own.certificate,
        private_key: own.private_key,
    })
}

/// How clients may prove themselves; without a word, by password.
fn authentication_types(section: &mut Section<'_>, report: &mut Report<'_>) -> Vec<VpnAuthenticationType> {
    if !section.has("vpn_authentication_types") {
        return vec![VpnAuthenticationType::Password];
    }
    let example = "[\"Certificate\"]";
    let place = section.place_of("vpn_authentication_types");
    let types = section.required_list::<VpnAuthenticationType>("vpn_authentication_types", example, report);
    let types: Vec<_> = types.unwrap_or_default().into_iter().map(|found| found.value).collect();
    if types.contains(&VpnAuthenticationType::Radius) && types.contains(&VpnAuthenticationType::Password) {
        let problem = "passwords are either for the RADIUS server to judge or for this gateway";
        report.error(&place, problem, "leave \"Password\" or \"Radius\" out");
    }
    types
}

/// Keys that mean nothing without a kind of authentication.
fn unused<T>(
    section: &mut Section<'_>,
    keys: &[&'static str],
    kind: &str,
    report: &mut Report<'_>,
) -> Option<T> {
    for &key in keys {
        if section.has(key) {
            let problem = format!("{key} means nothing where clients do not log in by {kind}");
            let remedy = format!("add {kind} to vpn_authentication_types, or take {key} out");
            report.error(&section.place_of(key), problem, remedy);
        }
        section.skip(key);
    }
    None
}

/// What was not to be read is not there; what could not be read was reported.
fn read_if_named<T>(read: Option<Option<T>>) -> Option<Option<T>> {
    match read {
        Some(read) => read.map(Some),
        None => Some(None),
    }
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

/// Puts what stands for the clients of each gateway among peers and connections.
pub(crate) fn stand_in(
    gateways: &Shelf<VirtualNetworkGateway>,
    (networks, peerings): (&Shelf<VirtualNetwork>, &Shelf<VirtualNetworkPeering>),
    max_tunnels: u32,
    (peers, connections): (&mut Shelf<LocalNetworkGateway>, &mut Shelf<Connection>),
    report: &mut Report<'_>,
) {
    let of_sites: u32 = connections.sound().values().map(Connection::tunnels).sum();
    let mut left = max_tunnels.saturating_sub(of_sites);
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
        let most = most(clients);
        if most > left {
            let problem = format!(
                "its {most} clients are too many for this appliance, made for max_tunnels = {max_tunnels}, of which {left} are left"
            );
            let remedy = "raise max_tunnels of [appliance], or take a smaller vpn_client_address_pool or sku";
            report.error(&place, problem, remedy);
        }
        left = left.saturating_sub(most);
        let name = Located { value: name, place };
        peers.declare(&name, report);
        connections.declare(&name, report);
        let served = transit::served(network, networks.sound(), peerings.sound());
        let connection = connection(&name.value, gateway, clients, &served, *address);
        let peer = LocalNetworkGateway {
            name: name.value.clone(),
            address: PeerAddress::Any,
            backup_addresses: Vec::new(),
            prefixes: clients.address_pool.clone(),
            bgp: None,
        };
        peers.put(Some(name.clone()), Some(peer));
        connections.put(Some(name), Some(connection));
    }
}

/// Most clients at once: each has a tunnel, whether it has an address of one family or of both.
fn most(clients: &VpnClientConfiguration) -> u32 {
    let size = |prefix: &IpNet| 1_u32.checked_shl(u32::from(prefix.max_prefix_len() - prefix.prefix_len()));
    let all = |is_ipv4: bool| {
        let of_family =
            clients.address_pool.iter().filter(|prefix| matches!(prefix, IpNet::V4(_)) == is_ipv4);
        of_family.fold(0_u32, |all, prefix| all.saturating_add(size(prefix).unwrap_or(u32::MAX)))
    };
    all(true).max(all(false)).min(clients.sessions_max)
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

/// The connection of a gateway's clients, who reach what the gateway serves.
fn connection(
    name: &Name,
    gateway: &VirtualNetworkGateway,
    clients: &VpnClientConfiguration,
    served: &[IpNet],
    address: IpAddr,
) -> Connection {
    let is_ipv4 = |prefix: &IpNet| matches!(prefix, IpNet::V4(_));
    let has = |of: &[IpNet], ipv4: bool| of.iter().any(|prefix| is_ipv4(prefix) == ipv4);
    // Each family is on both sides or on none. Clients reach each other, too.
    let of_clients = |prefix: &&IpNet| has(&clients.address_pool, is_ipv4(prefix));
    let local = served.iter().filter(of_clients).chain(&clients.address_pool);
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
        start: Start::OnLoad,
        idle_timeout: None,
        dpd_timeout: Duration::from_secs(DPD_TIMEOUT_S),
        mobike: true,
        session_resumption: false,
        per_resource_child_sas: false,
        request_addresses: false,
        follow_redirects: false,
        redirect_to: None,
        mtu_bytes: None,
        mss_clamp: MssClamp::Auto,
        policy: Policy::default(),
        traffic_selectors: TrafficSelectors::each_with_each(
            local.copied().collect(),
            clients.address_pool.clone(),
        ),
        nat: Nat::default(),
        routing_weight: None,
    }
}

/// As for other connections.
const DPD_TIMEOUT_S: u64 = 45;
