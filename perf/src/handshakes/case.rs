//! What is negotiated, and the configuration of either side: a responder with a connection for each of many peers, and those peers, each with an address, a
//! network and an IKE SA of its own.

use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use crossgate_ike::auth::Authentication;
use crossgate_ike::auth::certificate::{CertificateAuthentication, RsaPadding};
use crossgate_ike::config::{ConnectionConfig, Dpd, Lifetime, Mode};
use crossgate_ike::crypto::suite::{Group, IkeCipher, IkeSuite, KeyBits, Prf};
use crossgate_ike::event::ConnectionId;
use crossgate_ike::identity::Identity;
use crossgate_ike::place::Place;
use crossgate_ike::selector::TrafficSelector;
use crossgate_ike::sim;
use crossgate_pki::testing::{Issued, Template, key_pem};
use crossgate_pki::{Credential, KeyKind, PrivateKey, TrustStore, UnixTime};

/// Where the responder is.
pub(super) const RESPONDER: Ipv4Addr = Ipv4Addr::new(10, 201, 0, 1);
/// All peers' addresses, and by whom the responder reaches them.
pub(super) const PEERS: &str = "10.200.0.0/16";
pub(super) const PEERS_ROUTER: &str = "10.201.0.2";
/// The networks behind responder and peers, in strongSwan's words; each peer has one address of them.
pub(super) const RESPONDER_NETWORK: &str = "192.168.0.0/24";
/// The responder's own address in there.
pub(super) const RESPONDER_INSIDE: &str = "192.168.0.1";
pub(super) const PEER_NETWORKS: &str = "172.16.0.0/12";
pub(super) const SHARED_KEY: &str = "a shared key of the benchmark";
/// Names in certificates.
pub(super) const NAMES: [&str; 2] = ["responder.example", "peer.example"];
/// Longer than any run: nothing is replaced or asked for meanwhile.
const LONG: Duration = Duration::from_secs(86_400);
/// Certificates are valid from 2020 to 2049.
const VALID: (UnixTime, UnixTime) = (UnixTime(1_577_836_800), UnixTime(2_493_072_000));

/// One measured kind of handshake.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Case {
    PskCurve25519,
    PskEcp256,
    EcdsaCurve25519,
    PskMlKem768,
}

impl Case {
    pub(super) const ALL: [Self; 4] =
        [Self::PskCurve25519, Self::PskEcp256, Self::EcdsaCurve25519, Self::PskMlKem768];

    /// How the sides prove themselves, in tables.
    pub(super) const fn authentication(self) -> &'static str {
        match self {
            Self::PskCurve25519 | Self::PskEcp256 | Self::PskMlKem768 => "psk",
            Self::EcdsaCurve25519 => "ecdsa-p256",
        }
    }

    /// The key exchange, in the words of the configuration.
    pub(super) const fn key_exchange(self) -> &'static str {
        match self {
            Self::PskCurve25519 | Self::EcdsaCurve25519 => "Curve25519",
            Self::PskEcp256 => "ECP256",
            Self::PskMlKem768 => "Curve25519 + MLKEM768",
        }
    }

    /// strongSwan's proposal for the same.
    pub(super) const fn proposal(self) -> &'static str {
        match self {
            Self::PskCurve25519 | Self::EcdsaCurve25519 => "aes256gcm16-prfsha256-x25519",
            Self::PskEcp256 => "aes256gcm16-prfsha256-ecp256",
            Self::PskMlKem768 => "aes256gcm16-prfsha256-x25519-ke1_mlkem768",
        }
    }

    pub(super) const fn has_certificates(self) -> bool {
        matches!(self, Self::EcdsaCurve25519)
    }

    /// The responder's connection with a peer.
    pub(super) fn responder(self, peer: u32, proof: &Authentication) -> Result<ConnectionConfig> {
        Ok(ConnectionConfig {
            local_address: IpAddr::V4(RESPONDER),
            places: vec![Place::At(IpAddr::V4(address(peer)))],
            local_id: self.identity(0, RESPONDER),
            remote_id: Some(self.identity(1, address(peer))),
            mode: Mode::ResponderOnly,
            ..self.connection(peer, proof, false)?
        })
    }

    /// A peer's connection with the responder. ESP goes in UDP, as strongSwan's own ESP wants it.
    pub(super) fn peer(self, peer: u32, proof: &Authentication) -> Result<ConnectionConfig> {
        Ok(ConnectionConfig {
            local_address: IpAddr::V4(address(peer)),
            places: vec![Place::At(IpAddr::V4(RESPONDER))],
            local_id: self.identity(1, address(peer)),
            remote_id: Some(self.identity(0, RESPONDER)),
            mode: Mode::InitiatorOnly,
            force_encapsulation: true,
            ..self.connection(peer, proof, true)?
        })
    }

    fn identity(self, side: usize, address: Ipv4Addr) -> Identity {
        if self.has_certificates() { Identity::Fqdn(NAMES[side].to_owned()) } else { Identity::Ipv4(address) }
    }

    fn connection(self, peer: u32, proof: &Authentication, is_peer: bool) -> Result<ConnectionConfig> {
        let group = match self {
            Self::PskEcp256 => Group::Ecp256,
            Self::PskCurve25519 | Self::EcdsaCurve25519 | Self::PskMlKem768 => Group::Curve25519,
        };
        let mut config = sim::connection(usize::from(!is_peer));
        config.id = ConnectionId(peer);
        config.name = Arc::from(format!("peer-{peer}"));
        config.authentication = proof.clone();
        let cipher = IkeCipher::AesGcm16(KeyBits::B256);
        config.ike_suites = vec![IkeSuite { cipher, prf: Prf::HmacSha2_256, group }];
        config.additional = vec![(self == Self::PskMlKem768).then_some(Group::MlKem768)];
        config.mobike = false;
        config.ike_lifetime = Lifetime::of(LONG);
        config.dpd = Dpd::of(LONG);
        let selector = |prefix: &str| {
            let (address, bits) = prefix.split_once('/').context("a prefix")?;
            TrafficSelector::from_prefix(address.parse()?, bits.parse()?).context("a prefix")
        };
        let near = vec![selector(RESPONDER_NETWORK)?];
        let far = vec![selector(&format!("{}/32", network(peer)))?];
        let child = config.children.first_mut().context("a connection without a Child SA")?;
        child.lifetime = Lifetime::of(LONG);
        (child.local_selectors, child.remote_selectors) = if is_peer { (far, near) } else { (near, far) };
        Ok(config)
    }
}

impl FromStr for Case {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|case| case.to_string() == text);
        known.ok_or_else(|| format!("'{text}' is no kind of handshake"))
    }
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.authentication(), self.key_exchange())
    }
}

/// A peer's address.
pub(super) fn address(peer: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(Ipv4Addr::new(10, 200, 0, 16).to_bits() + peer)
}

/// The address that it protects.
fn network(peer: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(Ipv4Addr::new(172, 16, 0, 16).to_bits() + peer)
}

/// Root, responder's and peer's certificates: ECDSA with P-256.
pub(super) struct Certificates {
    pub(super) root: Issued,
    pub(super) ends: [Issued; 2],
}

impl Certificates {
    pub(super) fn new() -> Self {
        let authority = Template::authority("Benchmark Root").valid(VALID.0, VALID.1);
        let root = Issued::root(&authority, &key_pem(KeyKind::P256, 1));
        let end = |name: &str, seed| {
            root.issue(&Template::peer(name).valid(VALID.0, VALID.1), &key_pem(KeyKind::P256, seed))
        };
        let ends = [end(NAMES[0], 2), end(NAMES[1], 3)];
        Self { root, ends }
    }

    /// How a side (the responder is 0) proves itself.
    fn proof(&self, side: usize) -> Result<Authentication> {
        let own = &self.ends[side];
        let key = PrivateKey::from_pem(own.key_pem.as_bytes())?;
        Ok(Authentication::Certificate(Arc::new(CertificateAuthentication {
            credential: Arc::new(Credential::new(vec![own.certificate()], key)?),
            trust: Arc::new(TrustStore::new(vec![self.root.certificate()], Vec::new())),
            rsa_padding: RsaPadding::Pss,
            allow_sha1: false,
        })))
    }
}

/// How a side (the responder is 0) proves itself in a case.
pub(super) fn proof(case: Case, side: usize) -> Result<Authentication> {
    if case.has_certificates() {
        Certificates::new().proof(side)
    } else {
        Ok(Authentication::shared_key(SHARED_KEY.as_bytes()))
    }
}
