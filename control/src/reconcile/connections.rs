//! A configured connection as the IKE core wants it: the operator's words become suites, selectors and lifetimes.

use std::net::IpAddr;
use std::num::NonZeroU16;
use std::sync::Arc;

use crossgate_config::policy::algorithm::{
    DhGroup, IkeEncryption, IkeIntegrity, IpsecEncryption, IpsecIntegrity, PfsGroup, Prf as ConfigPrf,
};
use crossgate_config::policy::{AdditionalKeyExchange, Esn as ConfigEsn, IkeProposal, IpsecProposal, Policy};
use crossgate_config::{
    Authentication as ConfigAuthentication, Config, Connection, ConnectionMode, Identity as ConfigIdentity,
    LocalEnd, PeerAddress, Protocol, RadiusServer, RsaSignature, SelectorPolicy, Start, Users,
    VpnClientConfiguration,
};
use crossgate_eap::mschapv2::PasswordHash;
use crossgate_eap::{RadiusSecret, RadiusServer as EapRadiusServer, TlsSettings};
use crossgate_ike::auth::certificate::RsaPadding;
use crossgate_ike::auth::{Authentication, CertificateAuthentication, EapAuthentication, Ppk, UserTable};
use crossgate_ike::client::{Clients, Pool};
use crossgate_ike::config::{ChildConfig, ConnectionConfig, Dpd, EsnPolicy, Lifetime, Mode, Version};
use crossgate_ike::crypto::suite::{EspSuite, Group, IkeCipher, IkeSuite, Integrity, KeyBits, Prf};
use crossgate_ike::event::ConnectionId;
use crossgate_ike::identity::Identity;
use crossgate_ike::place::Place;
use crossgate_ike::secret::Secret;
use crossgate_ike::selector::TrafficSelector;
use crossgate_pki::TrustStore;
use ipnet::IpNet;

const BYTES_PER_KIB: u64 = 1024;

/// Translates one connection of `config`, as it is from one of our ends.
#[must_use]
pub fn translate(
    config: &Config,
    connection: &Connection,
    end: &LocalEnd,
    id: ConnectionId,
) -> ConnectionConfig {
    let policy = &connection.policy;
    ConnectionConfig {
        id,
        name: connection.name.as_str().into(),
        version: match connection.protocol {
            Protocol::IkeV1 => Version::V1,
            Protocol::IkeV2 => Version::V2,
        },
        local_address: end.address,
        places: config.peer_of(connection).places().filter_map(place).collect(),
        local_id: identity(&end.id),
        // Clients are who they log in as.
        remote_id: (!connection.is_of_clients()).then(|| identity(&connection.remote_id)),
        authentication: authentication(&connection.authentication),
        ppk: connection.ppk.as_ref().map(|ppk| Ppk {
            id: ppk.id.clone().into_bytes(),
            secret: Arc::new(Secret::from(ppk.secret.expose())),
            required: ppk.required,
        }),
        ike_suites: policy.ike.iter().flat_map(ike_suites).collect(),
        additional: additional(connection),
        additional_on_request: policy.additional_key_exchanges.contains(&AdditionalKeyExchange::Auto),
        children: children(config, connection),
        mode: mode(config, connection),
        on_traffic: connection.start == Start::OnTraffic,
        ike_lifetime: Lifetime::of(policy.ike_lifetime),
        dpd: Dpd::of(connection.dpd_timeout),
        other_addresses: other_addresses(config, connection),
        mobike: connection.mobike,
        follow_redirects: connection.follow_redirects,
        redirect_to: connection.redirect_to.as_ref().and_then(place),
        childless: connection.policy.pfs_from_start,
        resumption: connection.session_resumption,
        clients: clients(connection),
        request_addresses: connection.request_addresses,
        force_encapsulation: false,
    }
}

/// What the clients of a gateway get.
fn clients(connection: &Connection) -> Option<Clients> {
    let ConfigAuthentication::Login(clients) = &connection.authentication else { return None };
    Some(Clients {
        pools: clients.address_pool.iter().map(pool).collect(),
        dns: clients.dns_servers.clone(),
        sessions_max: usize::try_from(clients.sessions_max).unwrap_or(usize::MAX),
    })
}

/// A prefix without the addresses that mean something else: IPv4's first and last one, which some clients do not take, and IPv6's first one, any router's (RFC 4291, 2.6.1).
fn pool(prefix: &IpNet) -> Pool {
    match prefix {
        IpNet::V4(of) if of.prefix_len() < 31 => {
            let (first, last) = (u32::from(of.network()) + 1, u32::from(of.broadcast()) - 1);
            Pool { first: IpAddr::V4(first.into()), last: IpAddr::V4(last.into()) }
        }
        IpNet::V6(of) if of.prefix_len() < 127 => {
            let first = u128::from(of.network()) + 1;
            Pool { first: IpAddr::V6(first.into()), last: prefix.broadcast() }
        }
        _ => Pool { first: prefix.network(), last: prefix.broadcast() },
    }
}

/// The gateway's other public addresses of the family that the connection speaks, at none of which it has a tunnel: where one may move by MOBIKE.
pub(super) fn other_addresses(config: &Config, connection: &Connection) -> Vec<IpAddr> {
    let own = connection.local_address;
    let of_gateway =
        config.gateways().get(&connection.gateway).map_or(&[][..], |gateway| &gateway.public_addresses);
    let has_tunnel = |other: &IpAddr| connection.local_ends().any(|end| end.address == *other);
    of_gateway
        .iter()
        .copied()
        .filter(|other| !has_tunnel(other) && other.is_ipv4() == own.is_ipv4())
        .collect()
}

/// None for "any".
fn place(address: &PeerAddress) -> Option<Place> {
    match address {
        PeerAddress::At(address) => Some(Place::At(*address)),
        PeerAddress::Named(name) => Some(Place::Named(name.as_str().into())),
        PeerAddress::Any => None,
    }
}

fn authentication(configured: &ConfigAuthentication) -> Authentication {
    match configured {
        ConfigAuthentication::SharedKey(key) => Authentication::shared_key(key.expose()),
        ConfigAuthentication::Login(clients) => Authentication::Eap(Arc::new(EapAuthentication {
            own: Arc::new(CertificateAuthentication {
                credential: Arc::clone(&clients.credential),
                trust: trusted(clients),
                rsa_padding: RsaPadding::Pss,
                allow_sha1: false,
            }),
            users: clients.users.as_ref().map(|users| Arc::new(user_table(users))),
            tls: clients.certificates.as_ref().map(|certificates| {
                Arc::new(TlsSettings::new(Arc::clone(&clients.credential), Arc::clone(&certificates.trust)))
            }),
            radius: clients.radius.as_ref().map(|servers| servers.iter().map(radius_server).collect()),
        })),
        ConfigAuthentication::Certificate(certificates) => {
            Authentication::Certificate(Arc::new(CertificateAuthentication {
                credential: Arc::clone(&certificates.credential),
                trust: Arc::clone(&certificates.trust),
                rsa_padding: match certificates.rsa_signature {
                    RsaSignature::Pss => RsaPadding::Pss,
                    RsaSignature::Pkcs1 => RsaPadding::Pkcs1,
                },
                allow_sha1: certificates.allow_sha1,
            }))
        }
    }
}

/// Whose certificates clients may have.
fn trusted(clients: &VpnClientConfiguration) -> Arc<TrustStore> {
    clients.certificates.as_ref().map_or_else(Arc::default, |certificates| Arc::clone(&certificates.trust))
}

fn radius_server(server: &RadiusServer) -> EapRadiusServer {
    EapRadiusServer { address: server.address, secret: RadiusSecret::new(server.secret.expose()) }
}

fn user_table(users: &Users) -> UserTable {
    UserTable::new(users.expose().map(|(name, password)| (name.to_owned(), PasswordHash::of(password))))
}

/// Who begins. Of a tunnel whose two ends are here one begins and the other answers: two calls at once would make two tunnels. Where neither says who,
/// it is the connection whose name comes first.
#[must_use]
pub fn mode(config: &Config, connection: &Connection) -> Mode {
    let own = connection.mode;
    let other_end = connection
        .remote_gateway()
        .and_then(|_| config.connections().values().find(|other| connection.is_counterpart(other)));
    match (own, other_end.map(|other| (other.mode, &other.name))) {
        (ConnectionMode::InitiatorOnly, _) => Mode::InitiatorOnly,
        (ConnectionMode::ResponderOnly, _) => Mode::ResponderOnly,
        (ConnectionMode::Default, Some((ConnectionMode::InitiatorOnly, _))) => Mode::ResponderOnly,
        (ConnectionMode::Default, Some((ConnectionMode::ResponderOnly, _))) => Mode::InitiatorOnly,
        (ConnectionMode::Default, Some((ConnectionMode::Default, other))) if connection.name < *other => {
            Mode::InitiatorOnly
        }
        (ConnectionMode::Default, Some(_)) => Mode::ResponderOnly,
        (ConnectionMode::Default, None) if config.peer_of(connection).address == PeerAddress::Any => {
            Mode::ResponderOnly
        }
        (ConnectionMode::Default, None) => Mode::Default,
    }
}

/// A policy for each of the configuration's; in IKEv1, which negotiates one pair at a time, one for each pair.
fn children(config: &Config, connection: &Connection) -> Vec<ChildConfig> {
    let workers = u16::try_from(config.appliance().workers.len()).ok().and_then(NonZeroU16::new);
    let resources = workers.filter(|_| connection.per_resource_child_sas);
    let of = |policy| ChildConfig { resources, ..child(connection, policy) };
    let policies: Vec<ChildConfig> = connection.traffic_selectors.policies().iter().map(of).collect();
    match connection.protocol {
        Protocol::IkeV2 => policies,
        Protocol::IkeV1 => policies.iter().flat_map(pairs).collect(),
    }
}

fn pairs(whole: &ChildConfig) -> Vec<ChildConfig> {
    let is_ipv4 = |selector: &TrafficSelector| selector.addresses().first().is_ipv4();
    let pairs = whole.local_selectors.iter().flat_map(|local| {
        let remotes = whole.remote_selectors.iter().filter(move |remote| is_ipv4(remote) == is_ipv4(local));
        remotes.map(move |remote| (*local, *remote))
    });
    let of_pair = |(local, remote)| ChildConfig {
        local_selectors: vec![local],
        remote_selectors: vec![remote],
        esn: EsnPolicy::Off,
        ..whole.clone()
    };
    pairs.map(of_pair).collect()
}

fn child(connection: &Connection, selected: &SelectorPolicy) -> ChildConfig {
    let policy = &connection.policy;
    ChildConfig {
        name: connection.name.as_str().into(),
        esp_suites: esp_suites(&policy.ipsec),
        pfs_groups: pfs_groups(policy),
        resources: None,
        esn: match policy.ipsec.esn {
            ConfigEsn::Prefer => EsnPolicy::Prefer,
            ConfigEsn::Require => EsnPolicy::Require,
            ConfigEsn::Off => EsnPolicy::Off,
        },
        local_selectors: selectors(&selected.local),
        remote_selectors: selectors(&selected.remote),
        lifetime: Lifetime::of(policy.sa_lifetime),
        lifetime_bytes: Some(policy.sa_data_size_kib.saturating_mul(BYTES_PER_KIB)),
        lifetime_packets: None,
    }
}

fn selectors(prefixes: &[IpNet]) -> Vec<TrafficSelector> {
    let all_of = |prefix: &IpNet| {
        TrafficSelector::from_prefix(prefix.addr(), prefix.prefix_len())
            .expect("the length is that of a prefix")
    };
    prefixes.iter().map(all_of).collect()
}

/// IKEv1 has none.
fn additional(connection: &Connection) -> Vec<Option<Group>> {
    let group = |method: &AdditionalKeyExchange| match method {
        AdditionalKeyExchange::MlKem512 => Some(Group::MlKem512),
        AdditionalKeyExchange::MlKem768 => Some(Group::MlKem768),
        AdditionalKeyExchange::MlKem1024 => Some(Group::MlKem1024),
        AdditionalKeyExchange::None | AdditionalKeyExchange::Auto => None,
    };
    let methods = connection.policy.additional_key_exchanges.iter().flat_map(AdditionalKeyExchange::methods);
    match connection.protocol {
        Protocol::IkeV1 => vec![None],
        Protocol::IkeV2 => methods.map(group).collect(),
    }
}

/// Every combination of a proposal, the most wanted first: ciphers before PRFs before groups.
fn ike_suites(proposal: &IkeProposal) -> Vec<IkeSuite> {
    let mut suites = Vec::new();
    for encryption in &proposal.encryption {
        for cipher in ciphers(*encryption, &proposal.integrity) {
            for prf in &proposal.prf {
                let prf = match prf {
                    ConfigPrf::HmacSha256 => Prf::HmacSha2_256,
                    ConfigPrf::HmacSha384 => Prf::HmacSha2_384,
                    ConfigPrf::HmacSha512 => Prf::HmacSha2_512,
                    ConfigPrf::HmacSha1 => Prf::HmacSha1,
                    ConfigPrf::HmacMd5 => Prf::HmacMd5,
                };
                suites.extend(proposal.dh_groups.iter().map(|dh| IkeSuite {
                    cipher,
                    prf,
                    group: group(*dh),
                }));
            }
        }
    }
    suites
}

fn ciphers(encryption: IkeEncryption, integrity: &[IkeIntegrity]) -> Vec<IkeCipher> {
    let with = |cipher: &dyn Fn(Integrity) -> IkeCipher| {
        integrity.iter().map(|integrity| cipher(self::integrity(*integrity))).collect()
    };
    let cbc = |bits: KeyBits| with(&|integrity| IkeCipher::AesCbc(bits, integrity));
    match encryption {
        IkeEncryption::TripleDes => with(&IkeCipher::TripleDesCbc),
        IkeEncryption::Des => with(&IkeCipher::DesCbc),
        IkeEncryption::GcmAes192 => vec![IkeCipher::AesGcm16(KeyBits::B192)],
        IkeEncryption::GcmAes128 => vec![IkeCipher::AesGcm16(KeyBits::B128)],
        IkeEncryption::GcmAes256 => vec![IkeCipher::AesGcm16(KeyBits::B256)],
        IkeEncryption::Aes128 => cbc(KeyBits::B128),
        IkeEncryption::Aes192 => cbc(KeyBits::B192),
        IkeEncryption::Aes256 => cbc(KeyBits::B256),
    }
}

fn integrity(integrity: IkeIntegrity) -> Integrity {
    match integrity {
        IkeIntegrity::Sha1 => Integrity::HmacSha1_96,
        IkeIntegrity::Md5 => Integrity::HmacMd5_96,
        IkeIntegrity::Sha256 => Integrity::HmacSha2_256_128,
        IkeIntegrity::Sha384 => Integrity::HmacSha2_384_192,
        IkeIntegrity::Sha512 => Integrity::HmacSha2_512_256,
    }
}

/// Every combination of a proposal, the most wanted first: ciphers before integrity algorithms.
fn esp_suites(proposal: &IpsecProposal) -> Vec<EspSuite> {
    let with = |suite: &dyn Fn(Integrity) -> EspSuite| {
        proposal.integrity.iter().map(|integrity| suite(esp_integrity(*integrity))).collect()
    };
    let cbc = |bits: KeyBits| with(&|integrity| EspSuite::AesCbc(bits, integrity));
    let suites = |encryption: &IpsecEncryption| match encryption {
        IpsecEncryption::GcmAes128 => vec![EspSuite::AesGcm16(KeyBits::B128)],
        IpsecEncryption::GcmAes192 => vec![EspSuite::AesGcm16(KeyBits::B192)],
        IpsecEncryption::GcmAes256 => vec![EspSuite::AesGcm16(KeyBits::B256)],
        IpsecEncryption::ChaCha20Poly1305 => vec![EspSuite::ChaCha20Poly1305],
        IpsecEncryption::Aes128 => cbc(KeyBits::B128),
        IpsecEncryption::Aes192 => cbc(KeyBits::B192),
        IpsecEncryption::Aes256 => cbc(KeyBits::B256),
        IpsecEncryption::TripleDes => with(&EspSuite::TripleDesCbc),
        IpsecEncryption::Des => with(&EspSuite::DesCbc),
        IpsecEncryption::Null => with(&EspSuite::Null),
    };
    proposal.encryption.iter().flat_map(suites).collect()
}

fn esp_integrity(integrity: IpsecIntegrity) -> Integrity {
    match integrity {
        IpsecIntegrity::Sha256 => Integrity::HmacSha2_256_128,
        IpsecIntegrity::Sha384 => Integrity::HmacSha2_384_192,
        IpsecIntegrity::Sha512 => Integrity::HmacSha2_512_256,
        IpsecIntegrity::Sha1 => Integrity::HmacSha1_96,
        IpsecIntegrity::Md5 => Integrity::HmacMd5_96,
    }
}

/// The groups that are offered when a Child SA is made by CREATE_CHILD_SA; `None` allows to do without.
fn pfs_groups(policy: &Policy) -> Vec<Option<Group>> {
    let of = |pfs: &PfsGroup| match pfs {
        PfsGroup::None => None,
        PfsGroup::Group(dh) => Some(group(*dh)),
    };
    policy.ipsec.pfs_groups.iter().map(of).collect()
}

fn group(dh: DhGroup) -> Group {
    match dh {
        DhGroup::Modp768 => Group::Modp768,
        DhGroup::Modp1024 => Group::Modp1024,
        DhGroup::Modp1536 => Group::Modp1536,
        DhGroup::Modp2048Subgroup256 => Group::Modp2048Subgroup256,
        DhGroup::Modp2048 => Group::Modp2048,
        DhGroup::Modp3072 => Group::Modp3072,
        DhGroup::Modp4096 => Group::Modp4096,
        DhGroup::Ecp256 => Group::Ecp256,
        DhGroup::Ecp384 => Group::Ecp384,
        DhGroup::Ecp521 => Group::Ecp521,
        DhGroup::Curve25519 => Group::Curve25519,
    }
}

fn identity(identity: &ConfigIdentity) -> Identity {
    match identity {
        ConfigIdentity::Ipv4(address) => Identity::Ipv4(*address),
        ConfigIdentity::Ipv6(address) => Identity::Ipv6(*address),
        ConfigIdentity::Fqdn(name) => Identity::Fqdn(name.clone()),
        ConfigIdentity::Email(name) => Identity::Email(name.clone()),
        ConfigIdentity::Name(name) => Identity::Name(name.clone()),
        ConfigIdentity::KeyId(bytes) => Identity::KeyId(bytes.clone()),
    }
}
