//! What an operator does about an error: one line each, which says which side must change what.

use crossgate_eap::{EapError, RadiusError};
use crossgate_pki::{CertificateError, Side};

use super::{IkeError, Stage};
use crate::v1::wire::NotifyType as NotifyV1;
use crate::wire::NotifyType;

impl IkeError {
    /// Which side must change what.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Malformed(_)
            | Self::UnsupportedCritical(_)
            | Self::Missing { .. }
            | Self::Unexpected(_) => {
                "check that the peer speaks IKEv2 (RFC 7296); if it does, report the message to its maker"
            }
            Self::Misbehaved { .. } | Self::BadPublicKey(_) => {
                "the peer breaks RFC 7296: update its software, or report it to its maker"
            }
            Self::NoProposalChosen(Stage::Init | Stage::RekeyIke | Stage::MainMode) => {
                "make ike_encryption, ike_integrity and dh_group of the connection's policy equal on both sides"
            }
            Self::NoProposalAccepted(Stage::Init | Stage::RekeyIke | Stage::MainMode) => {
                "the peer's IKE policy differs: make its IKE encryption, integrity/PRF and DH group equal to ike_encryption, ike_integrity and dh_group here"
            }
            Self::NoProposalChosen(_) | Self::NoProposalAccepted(_) => {
                "make ipsec_encryption, ipsec_integrity, pfs_group and esn of the connection's policy equal on both sides"
            }
            Self::GroupDispute(_) => "make dh_group and pfs_group equal on both sides",
            Self::UnknownPeer(_) => {
                "set remote_id of the connection here to the peer's identity, or the peer's local identity to the remote_id here"
            }
            Self::WrongIdentity { .. } => "make remote_id here equal to the identity that the peer sends",
            Self::WrongKey | Self::Undecryptable(_) => "set the same shared_key on both sides",
            Self::AggressiveMode => "set the peer to main mode",
            Self::OtherVersion(_) => {
                "set protocol of the connection here to the version that the peer speaks, or the peer to that of the connection"
            }
            Self::RefusedV1 {
                notify: NotifyV1::INVALID_ID_INFORMATION,
                stage: Stage::QuickMode | Stage::QuickRekey,
            } => {
                "make the prefixes mirror each other: what is local on one side (address_space, traffic_selectors.local) must be remote on the other, pair by pair"
            }
            Self::RefusedV1 { .. } => "look into the peer's log for the reason of its refusal",
            Self::OtherAuthMethod => {
                "set the peer to authenticate with a shared key (PSK) in both directions, or set authentication here"
            }
            Self::NotByCertificate => {
                "set the peer to authenticate with a certificate in both directions, or set shared_key here"
            }
            Self::PeerCertificate(error) => error.remedy(Side::Peer),
            Self::OwnCertificate(error) => error.remedy(Side::Ours),
            Self::WrongSignature => "check that the peer's private key belongs to its certificate",
            Self::WeakSignature => {
                "let the peer speak RFC 7427 (digital signatures with SHA2), or take an ECDSA certificate there; allow_sha1 here accepts SHA-1"
            }
            Self::UnknownSignature(_) => {
                "let the peer sign by RSA, ECDSA or Ed25519 with SHA2-256, SHA2-384 or SHA2-512"
            }
            Self::NoCommonSignature(_) => {
                "let the peer accept SHA2 signatures of that kind, or take a certificate here with a key that it accepts (ECDSA P-256 or RSA)"
            }
            Self::CertificateRefused { trusted: false } => {
                "add the CA of this gateway's certificate to those that the peer trusts, or take a certificate of a CA that the peer asks for"
            }
            Self::CertificateRefused { trusted: true } => {
                "check that the peer trusts the CA of this gateway's certificate, that local_id is what the peer expects, and that the certificate names it; the peer's log tells which"
            }
            Self::RefusedByPeer => {
                "set the same shared_key on both sides, and check that the peer expects local_id as this side's identity; the peer's log tells which"
            }
            Self::Ppk(error) => error.remedy(),
            Self::NoCommonSelectors(_) | Self::SelectorsRefused(_) => {
                "make the prefixes mirror each other: what is local on one side (address_space, traffic_selectors.local) must be remote on the other"
            }
            Self::Refused { .. } => "look into the peer's log for the reason of its refusal",
            Self::NoAnswer { stage: Stage::MainMode, hint: Some(NotifyType::NO_PROPOSAL_CHOSEN) } => {
                "the peer seems to have another IKE policy, another version of IKE, or no connection for this address: compare both configurations"
            }
            Self::NoAnswer { hint: Some(NotifyType::NO_PROPOSAL_CHOSEN), .. } => {
                "the peer seems to have another IKE policy, or no connection for this address: compare both configurations; an old peer may need additional_key_exchange = \"None\" here"
            }
            Self::NoAnswer { stage: Stage::Auth, .. } => {
                "on the way let UDP 4500 and IP fragments pass in both directions, as UDP 500 does; at the peer: look into its log, it may drop requests that it cannot authenticate"
            }
            Self::NoAnswer { .. } => {
                "check the peer's address, that it runs, and that UDP 500 and 4500 pass in both directions"
            }
            Self::StoppedHalfWay(Stage::Login) => {
                "at the client: finish the log-in, or let it trust this gateway's certificate; the client's log tells which"
            }
            Self::StoppedHalfWay(Stage::Intermediate) => {
                "at the peer: look into its log for why it does not go on; on the way let UDP 500 and 4500 and IP fragments pass in both directions, or set additional_key_exchange = \"None\" here"
            }
            Self::StoppedHalfWay(_) => {
                "at the peer: look into its log for why it does not go on (it may not have got the answer, or lack its own key or certificate); on the way let UDP 500 and 4500 and IP fragments pass in both directions"
            }
            Self::NameNotFound { .. } => {
                "check the name in the local network gateway, and that this machine's resolver (/etc/resolv.conf, /etc/hosts) knows it"
            }
            Self::NoResult(_) => {
                "this gateway has more handshakes than its cores can do: give it more of them, or let fewer peers begin at once"
            }
            Self::NoFreeSpi => {
                "the gateway's table of Child SAs is full: raise max_tunnels of [appliance] and restart, or remove connections"
            }
            Self::TooManyChildren => {
                "the peer makes Child SAs without deleting old ones: update or restart it"
            }
            Self::TooManyForTraffic => {
                "none needed: the peer uses the Child SA that it has for all resources"
            }
            Self::Expired => {
                "the peer did not answer rekeying in time: look into its log, or lengthen sa_lifetime_s"
            }
            Self::Collision | Self::ChildNotFound | Self::NothingToFollow => {
                "none needed: both sides rekeyed at once, it is tried again"
            }
            Self::Reconfigured => "none needed: the peer tries again, under what is configured now",
            Self::PeerRestarted => {
                "none needed: it is connected anew; look into the peer's log if it restarts often"
            }
            Self::DeletedByPeer => "look into the peer's log for why it deleted the SA",
            Self::Login(EapError::UnknownUser(_) | EapError::BadName) => {
                "add the user to the file of users here, or correct the name at the client"
            }
            Self::Login(EapError::WrongPassword(_) | EapError::RefusedByClient(_)) => {
                "correct the password at the client, or in the file of users here"
            }
            Self::Login(EapError::ClientCertificate { error, .. }) => client_certificate(error),
            Self::Login(EapError::TlsRefused(_)) => {
                "give the client the CA of this gateway's certificate, and let it expect server_name; the client's log tells which"
            }
            Self::Login(EapError::Tls(_)) => {
                "let the client speak TLS 1.2 or 1.3 with ECDHE and AES-GCM or ChaCha20, and check that its private key belongs to its certificate"
            }
            Self::Login(EapError::RefusedByServer { .. }) => {
                "look into the RADIUS server's log for why it refuses the client"
            }
            Self::Login(EapError::Radius(error)) => radius(error),
            Self::Login(_) | Self::NotByEap => {
                "let the client log in as vpn_authentication_types says: EAP-MSCHAPv2 (user name and password) for Password, EAP-TLS or IKEv2 with a certificate for Certificate"
            }
            Self::LoginLocked(_) => {
                "correct the password at the client and wait five minutes; if nobody knows of it, somebody tries passwords from there"
            }
            Self::WrongLoginKey(_) => {
                "check that the client checks this gateway's certificate and name: its log-in was passed on by somebody"
            }
            Self::NoAddressAsked => "let the client ask for an address (a virtual IP, mode config)",
            Self::AddressRefused => {
                "at the peer: enlarge its pool of addresses, or give this gateway's identity an address; its log tells which"
            }
            Self::NotAssigned => {
                "at the peer: give this connection a pool of addresses (virtual IPs, mode config); or take request_addresses out here"
            }
            Self::AddressRequired => {
                "set request_addresses = true here; or at the peer: take its pool of addresses from this connection"
            }
            Self::NoFreeAddress => "enlarge vpn_client_address_pool, or take a larger sku",
        }
    }
}

/// The same of RADIUS.
const fn radius(error: &RadiusError) -> &'static str {
    match error {
        RadiusError::Silent(_) => {
            "check the server's address and that it runs, that it knows this gateway's address as a client (it answers nobody else), and that the secret is the same on both sides (it says nothing to a wrong one)"
        }
        RadiusError::WrongSecret(_) => {
            "set the same secret here and for this gateway at the RADIUS server, and let it sign its answers (Message-Authenticator)"
        }
        RadiusError::Incomplete { .. } => {
            "let the RADIUS server log clients in by an EAP method that makes keys: EAP-TLS or EAP-MSCHAPv2"
        }
        RadiusError::Busy(_) => "give the gateway a faster RADIUS server, or one more",
        RadiusError::None => "name a server in radius_servers",
    }
}

/// The same of a client's certificate, in the words of the settings for clients.
const fn client_certificate(error: &CertificateError) -> &'static str {
    match error {
        CertificateError::UnknownIssuer { .. } => {
            "add that CA's certificate to vpn_client_root_certificates if you trust it, let the client send its intermediate certificates, or give the client a certificate of a CA that is named there"
        }
        CertificateError::WrongName { .. } => {
            "let the client call itself as its certificate does (common name, e-mail address or DNS name), or have one issued with that name"
        }
        other => other.remedy(Side::Peer),
    }
}
