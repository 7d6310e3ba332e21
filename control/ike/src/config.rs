//! What a connection is: whom to talk to, how to prove who we are, what to negotiate. Built by the control thread from the operator's resources, read by
//! every exchange. Checked here only for what the protocol cannot work without ([`ConnectionConfig::check`]); the operator's file is checked elsewhere.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use crossgate_pki::KeyKind;

use crate::auth::{Authentication, Ppk};
use crate::client::{Clients, Pool};
use crate::crypto::suite::{Esn, EspSuite, Group, IkeSuite};
use crate::endpoint::IKE_PORT;
use crate::event::{ConnectionId, Encapsulation, Path};
use crate::identity::Identity;
use crate::place::Place;
use crate::secret::Secret;
use crate::selector::TrafficSelector;

/// Everything about one connection (RFC 4301, 4.4.3: an entry of the peer authorization database with its policies).
#[derive(Clone, Debug)]
pub struct ConnectionConfig {
    /// The caller's number.
    pub id: ConnectionId,
    /// The operator's name, for logs.
    pub name: Arc<str>,
    /// Which IKE is spoken with it; the peer's messages of the other version are refused.
    pub version: Version,
    /// Our public address; IKE uses ports 500 and 4500 on it.
    pub local_address: IpAddr,
    /// Where the peer is, the first place before the others; empty accepts it from anywhere (then the connection cannot initiate).
    pub places: Vec<Place>,
    /// Who we say we are.
    pub local_id: Identity,
    /// Who the peer must prove to be; `None` accepts any identity that knows the key.
    pub remote_id: Option<Identity>,
    /// How both sides prove themselves.
    pub authentication: Authentication,
    /// A key besides, which keeps what is recorded today safe from quantum computers (RFC 8784).
    pub ppk: Option<Ppk>,
    /// Algorithms for the IKE SA, the most wanted first, at least one.
    pub ike_suites: Vec<IkeSuite>,
    /// Additional key exchanges for the IKE SA (RFC 9370), the most wanted first, at least one entry; `None` does without.
    pub additional: Vec<Option<Group>>,
    /// Whether they are offered to peers alone that ask for them, as Crossgate does: others may refuse a message that has them. Accepted from any peer.
    pub additional_on_request: bool,
    /// Policies for Child SAs, at least one; the first is negotiated within IKE_AUTH.
    pub children: Vec<ChildConfig>,
    /// Who begins.
    pub mode: Mode,
    /// Whether we begin only for traffic ([`Command::Trap`]), each time anew.
    ///
    /// [`Command::Trap`]: crate::Command::Trap
    pub on_traffic: bool,
    /// When SAs are replaced.
    pub ike_lifetime: Lifetime,
    /// How a dead peer is noticed.
    pub dpd: Dpd,
    /// Our other addresses, of any family: where MOBIKE finds the peer when a path dies.
    pub other_addresses: Vec<IpAddr>,
    /// Whether MOBIKE (RFC 4555) is spoken with a peer that does. We offer it where there is another path.
    pub mobike: bool,
    /// Whether a peer that sends us to another gateway (RFC 5685) is obeyed.
    pub follow_redirects: bool,
    /// Where peers are sent that follow redirects, instead of being served here.
    pub redirect_to: Option<Place>,
    /// Whether the first Child SA, too, is made by CREATE_CHILD_SA, with a key exchange of its own, where the peer can do without it in IKE_AUTH (RFC 6023).
    pub childless: bool,
    /// Whether tickets are asked for, given and taken (RFC 5723): a lost IKE SA is taken up again without a key exchange and a proof by key or certificate.
    pub resumption: bool,
    /// The peers are clients, each with an address that it gets from us; their part of `remote_selectors` is that address. `None`: there is one peer.
    pub clients: Option<Clients>,
    /// Whether the peer is asked for our addresses inside the tunnel, one of each family of the local selectors, whose place they take (RFC 7296, 2.19).
    pub request_addresses: bool,
    /// Always encapsulate ESP in UDP: what we send as NAT detection says that there is a NAT.
    pub force_encapsulation: bool,
}

/// A version of IKE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// RFC 2409: main mode and quick mode. One pair of selectors a policy, the first of each side; 32-bit sequence numbers; no additional key exchange, no PPK.
    V1,
    /// RFC 7296.
    V2,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1 => "IKEv1",
            Self::V2 => "IKEv2",
        })
    }
}

/// One policy for Child SAs (RFC 4301, 4.4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildConfig {
    /// The operator's name, for logs.
    pub name: Arc<str>,
    /// Algorithms for ESP, the most wanted first, at least one.
    pub esp_suites: Vec<EspSuite>,
    /// Groups for perfect forward secrecy in CREATE_CHILD_SA, the most wanted first; `None` allows to do without, and empty demands it.
    pub pfs_groups: Vec<Option<Group>>,
    /// Whether 64-bit sequence numbers are used.
    pub esn: EsnPolicy,
    /// What may be sent from here, at least one.
    pub local_selectors: Vec<TrafficSelector>,
    /// What may be sent to the peer, at least one.
    pub remote_selectors: Vec<TrafficSelector>,
    /// How many resources (workers) of ours may have a Child SA each beside the one for all, with a peer that can do that, too (RFC 9611). `None` says nothing of it.
    pub resources: Option<NonZeroU16>,
    /// When the pair is replaced by time.
    pub lifetime: Lifetime,
    /// Payload bytes in either direction after which the pair is replaced at the latest.
    pub lifetime_bytes: Option<u64>,
    /// Packets in either direction after which the pair is replaced at the latest.
    pub lifetime_packets: Option<u64>,
}

/// Which side begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Both may.
    Default,
    /// We do; the peer's attempts are refused.
    InitiatorOnly,
    /// The peer does.
    ResponderOnly,
}

impl Mode {
    /// Whether we begin by ourselves.
    #[must_use]
    pub const fn initiates(self) -> bool {
        !matches!(self, Self::ResponderOnly)
    }

    /// Whether we answer a peer that begins.
    #[must_use]
    pub const fn responds(self) -> bool {
        !matches!(self, Self::InitiatorOnly)
    }
}

/// What is offered and accepted for extended sequence numbers (RFC 7296, 3.3.2, transform type 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EsnPolicy {
    /// Both are fine, ESN is offered first.
    Prefer,
    /// Only ESN.
    Require,
    /// Only 32-bit numbers.
    Off,
}

impl EsnPolicy {
    /// The values in the order in which they are offered.
    #[must_use]
    pub const fn offered(self) -> &'static [Esn] {
        match self {
            Self::Prefer => &[Esn::On, Esn::Off],
            Self::Require => &[Esn::On],
            Self::Off => &[Esn::Off],
        }
    }
}

/// A life in time: hard end, and how long before it replacing begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lifetime {
    /// After this the SA is gone, replaced or not.
    pub hard: Duration,
    /// Replacing begins this long before the end.
    pub margin: Duration,
    /// A random part of this is subtracted as well, so that two peers with one configuration seldom collide.
    pub jitter: Duration,
}

impl Lifetime {
    /// A lifetime with a tenth as margin and another tenth as jitter.
    #[must_use]
    pub fn of(hard: Duration) -> Self {
        Self { hard, margin: hard / 10, jitter: hard / 10 }
    }

    /// How long after its creation to replace an SA; `random` picks the point within the jitter. At least half of the life is used.
    #[must_use]
    pub fn soft(&self, random: u32) -> Duration {
        let jitter = self.jitter.mul_f64(f64::from(random) / (f64::from(u32::MAX) + 1.0));
        self.hard.saturating_sub(self.margin).saturating_sub(jitter).max(self.hard / 2)
    }
}

/// Dead peer detection (RFC 7296, 2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Dpd {
    /// A peer that gave no sign of life for this long is asked.
    pub idle: Duration,
    /// A peer that does not answer for this long is dead.
    pub timeout: Duration,
}

impl Dpd {
    /// From the operator's one number: silence of a third is asked about, and the whole is the time to notice.
    #[must_use]
    pub fn of(timeout: Duration) -> Self {
        Self { idle: timeout / 3, timeout: timeout - timeout / 3 }
    }
}

/// What holds for every connection of an endpoint.
#[derive(Clone, Debug)]
pub struct EndpointConfig {
    /// Half-open IKE SAs (responder, not yet authenticated) from which on a cookie is demanded (RFC 7296, 2.6).
    pub cookie_threshold: usize,
    /// Half-open IKE SAs from one source (an IPv4 address, an IPv6 /64) from which on a cookie is demanded of it.
    pub cookie_threshold_per_source: usize,
    /// Half-open IKE SAs from which on new ones are refused.
    pub half_open_limit: usize,
    /// Half-open IKE SAs from one source from which on new ones of it are refused.
    pub half_open_limit_per_source: usize,
    /// How long a half-open IKE SA may take.
    pub half_open_timeout: Duration,
    /// Largest IP packet that carries an IKE message before it is fragmented (RFC 7383, 2.5.1), with IP and UDP headers.
    pub fragment_bytes: usize,
    /// First wait for an answer; doubled each time.
    pub retransmit_initial: Duration,
    /// Longest wait between two sendings.
    pub retransmit_maximum: Duration,
    /// Sendings of a request before the peer is given up, outside of DPD which has its own time.
    pub retransmit_tries: u32,
    /// How long the inbound SA of a replaced pair is kept for packets under way.
    pub linger: Duration,
    /// First wait before a failed connection is tried again; doubled each time.
    pub retry_initial: Duration,
    /// Longest such wait.
    pub retry_maximum: Duration,
    /// What tokens for quick crash detection are made of (RFC 6290, 5.1): random, and the same after a restart. `None` makes no tokens.
    pub crash_secret: Option<Arc<Secret<Vec<u8>>>>,
}

impl Default for EndpointConfig {
    fn default() -> Self {
        Self {
            cookie_threshold: 32,
            cookie_threshold_per_source: 4,
            half_open_limit: 2_000,
            half_open_limit_per_source: 32,
            half_open_timeout: Duration::from_secs(30),
            fragment_bytes: 1280,
            retransmit_initial: Duration::from_millis(1000),
            retransmit_maximum: Duration::from_secs(16),
            retransmit_tries: 6,
            linger: Duration::from_secs(5),
            retry_initial: Duration::from_secs(1),
            retry_maximum: Duration::from_secs(60),
            crash_secret: None,
        }
    }
}

/// Why a configuration cannot work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// An empty pre-shared key authenticates everybody.
    #[error("the shared key is empty: set a shared key on both sides")]
    EmptyPsk,
    /// An empty post-quantum pre-shared key adds nothing, and an empty name names none.
    #[error("the post-quantum pre-shared key or its name is empty: set the same on both sides")]
    EmptyPpk,
    /// Nothing to negotiate.
    #[error("no IKE algorithms: name at least one IKE policy")]
    NoIkeSuite,
    /// Nothing to protect.
    #[error("no Child SA policy, or one without selectors or ESP algorithms: name at least one")]
    NoChild,
    /// Cannot begin without an address.
    #[error("the peer's address is `any`, so this side cannot begin: set mode ResponderOnly or an address")]
    InitiatorWithoutAddress,
    /// IKEv1 has one hash for all, CBC modes and groups of its own registry.
    #[error(
        "no IKE algorithm of this connection is one of IKEv1: name AES256, AES192 or AES128 with SHA256, and a group other than Curve25519"
    )]
    NoV1Suite,
    /// Certificates of another kind are not for IKEv1.
    #[error("IKEv1 signs by RSA or ECDSA: take a certificate with such a key, a shared key, or IKEv2")]
    NoV1Signature,
    /// Who logs in begins.
    #[error("clients that log in (EAP) begin by themselves: set mode ResponderOnly")]
    EapInitiator,
    /// Addresses are asked for in IKEv2's first exchanges, by whoever begins.
    #[error("a peer is asked for addresses by IKEv2 and by the side that begins: set mode InitiatorOnly")]
    RequestedByResponder,
    /// An address of the other family can never be reached.
    #[error("local and remote address differ in family: use two IPv4 or two IPv6 addresses")]
    MixedFamilies,
}

impl ConnectionConfig {
    /// Checks what the protocol cannot do without.
    ///
    /// # Errors
    /// The first thing that is missing or contradicts.
    pub fn check(&self) -> Result<(), ConfigError> {
        if matches!(&self.authentication, Authentication::SharedKey(key) if key.expose().is_empty()) {
            return Err(ConfigError::EmptyPsk);
        }
        if self.ppk.as_ref().is_some_and(|ppk| ppk.id.is_empty() || ppk.secret.expose().is_empty()) {
            return Err(ConfigError::EmptyPpk);
        }
        if self.ike_suites.is_empty() || self.additional.is_empty() {
            return Err(ConfigError::NoIkeSuite);
        }
        if self.version == Version::V1 {
            if !self.ike_suites.iter().any(crate::v1::is_for_phase1) {
                return Err(ConfigError::NoV1Suite);
            }
            // Nobody logs in by IKEv1.
            let is_taken = match &self.authentication {
                Authentication::SharedKey(_) => true,
                Authentication::Certificate(by) => {
                    by.credential.key().public_key().kind() != KeyKind::Ed25519
                }
                Authentication::Eap(_) => false,
            };
            if !is_taken {
                return Err(ConfigError::NoV1Signature);
            }
        }
        let usable = |c: &ChildConfig| {
            !c.esp_suites.is_empty() && !c.local_selectors.is_empty() && !c.remote_selectors.is_empty()
        };
        if self.children.is_empty() || !self.children.iter().all(usable) {
            return Err(ConfigError::NoChild);
        }
        if self.places.is_empty() && self.mode != Mode::ResponderOnly {
            return Err(ConfigError::InitiatorWithoutAddress);
        }
        if matches!(self.authentication, Authentication::Eap(_)) && self.mode != Mode::ResponderOnly {
            return Err(ConfigError::EapInitiator);
        }
        if self.request_addresses && (self.mode.responds() || self.version == Version::V1) {
            return Err(ConfigError::RequestedByResponder);
        }
        let is_other_family = |place: &Place| matches!(place, Place::At(remote) if remote.is_ipv4() != self.local_address.is_ipv4());
        if self.places.iter().any(is_other_family) { Err(ConfigError::MixedFamilies) } else { Ok(()) }
    }

    /// Whether we begin as soon as it is configured, and again after each end.
    pub(crate) const fn begins_by_itself(&self) -> bool {
        self.mode.initiates() && !self.on_traffic
    }

    /// Our addresses between which a tunnel with a peer that speaks MOBIKE may choose, [`Self::local_address`] first.
    pub(crate) fn own_addresses(&self) -> impl Iterator<Item = IpAddr> {
        let moves = self.mobike && self.version == Version::V2;
        let others = self.other_addresses.iter().filter(move |_| moves).copied();
        let is_ipv4 = self.local_address.is_ipv4();
        std::iter::once(self.local_address).chain(others.filter(move |other| other.is_ipv4() == is_ipv4))
    }

    /// Where an IKE SA between these two begins, before anything is known about NATs.
    #[must_use]
    pub(crate) fn path_between(local: IpAddr, remote: IpAddr) -> Path {
        Path {
            local: SocketAddr::new(local, IKE_PORT),
            remote: SocketAddr::new(remote, IKE_PORT),
            encapsulation: Encapsulation::None,
            nat_before_us: false,
            nat_before_peer: false,
        }
    }

    /// The same with a peer at the first of its places; one that is not known is shown as the unspecified address.
    #[must_use]
    pub(crate) fn path(&self) -> Path {
        let unknown = match self.local_address {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let remote = match self.places.first() {
            Some(Place::At(address)) => *address,
            Some(Place::Named(_)) | None => unknown,
        };
        Self::path_between(self.local_address, remote)
    }

    /// The additional key exchanges that are offered to a peer that `can` do them for certain, or else may not know what they are.
    pub(crate) fn offered_additional(&self, can: bool) -> &[Option<Group>] {
        if self.additional_on_request && !can { &[None] } else { &self.additional }
    }

    /// The addresses of clients, if it is for clients.
    fn pools(&self) -> Option<&[Pool]> {
        self.clients.as_ref().map(|clients| clients.pools.as_slice())
    }

    /// Whether an IKE SA negotiated under `self` still stands under `other`: same peer, proof, algorithms. Child policies are compared one by one, and
    /// where the peer may be is for its connection to judge. Of clients, the pools count: how many there may be and what they are told is for those to come.
    #[must_use]
    pub(crate) fn same_ike(&self, other: &Self) -> bool {
        self.version == other.version
            && self.local_address == other.local_address
            && self.local_id == other.local_id
            && self.remote_id == other.remote_id
            && self.authentication.is_same_proof(&other.authentication)
            && self.ppk == other.ppk
            && self.ike_suites == other.ike_suites
            && self.additional == other.additional
            && self.additional_on_request == other.additional_on_request
            && self.pools() == other.pools()
            && self.request_addresses == other.request_addresses
            && self.force_encapsulation == other.force_encapsulation
    }
}

impl ChildConfig {
    /// Whether a Child SA negotiated under `self` still stands under `other`: same algorithms and selectors, whatever the lifetimes.
    #[must_use]
    pub(crate) fn same_child(&self, other: &Self) -> bool {
        self.esp_suites == other.esp_suites
            && self.pfs_groups == other.pfs_groups
            && self.esn == other.esn
            && self.local_selectors == other.local_selectors
            && self.remote_selectors == other.remote_selectors
            && self.resources == other.resources
    }
}
