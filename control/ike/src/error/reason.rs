//! The kinds of reasons for which something fails between two peers: one counter each, with one meaning and one remedy for all of a kind. What a single failure was,
//! and what to do about it, [`IkeError`] says.

use crossgate_eap::EapError;
use crossgate_pki::CertificateError;

use super::{IkeError, Stage};
use crate::wire::NotifyType;

macro_rules! reasons {
    ($($name:ident $meaning:literal $remedy:literal;)+) => {
        /// A kind of reason.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason { $(#[doc = $meaning] $name),+ }

        impl Reason {
            /// Every kind, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The name in counters.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),+ }
            }

            /// One line for people.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $meaning),+ }
            }

            /// Which side must change what.
            #[must_use]
            pub const fn remedy(self) -> &'static str {
                match self { $(Self::$name => $remedy),+ }
            }
        }
    };
}

reasons! {
    Protocol
        "the peer broke the protocol: its message could not be read, lacked what belongs into it, or held a public key that is none"
        "at the peer: update its software, or report it to its maker";
    IkeProposal
        "one side offered no algorithms for the IKE SA that the other accepts"
        "make ike_encryption, ike_integrity and dh_group equal on both sides; at the peer: give it a connection for this address";
    IpsecProposal
        "one side offered no algorithms for the Child SA that the other accepts"
        "make ipsec_encryption, ipsec_integrity, pfs_group and esn equal on both sides";
    Group
        "no agreement on a Diffie-Hellman group"
        "make dh_group and pfs_group equal on both sides";
    Identity
        "a peer called itself what no connection here expects"
        "here: set remote_id to the peer's identity; or at the peer: set its local identity to the remote_id here";
    WrongKey
        "the shared keys differ"
        "set the same shared_key on both sides";
    OtherMethod
        "the peer proved itself by another method than the connection's"
        "at the peer: authenticate as this side does (shared key, certificate or log-in); or change authentication here";
    CertificateExpired
        "the peer's certificate is not valid at this time"
        "at the peer: renew its certificate; here: check the clock";
    CertificateRevoked
        "the peer's certificate was revoked"
        "at the peer: have a new certificate issued, if it is still trusted";
    CertificateUnknownIssuer
        "the peer's certificate is of a CA that is not trusted here"
        "here: add the CA to trust_anchors; or at the peer: send the intermediate certificates, or take one of a trusted CA";
    CertificateWrongName
        "the peer's certificate does not name the identity that the peer has"
        "at the peer: have the certificate issued with that name, or send another identity";
    CertificateUnusable
        "the peer's certificate is not good enough, or there was none"
        "at the peer: take another certificate; crossgate connection NAME says what is wrong with this one";
    RevocationUnknown
        "whether the peer's certificate is revoked could not be told: the list or the OCSP response is old, forged or missing"
        "here: get current lists into the files that crls names; at the peer: get a current OCSP response";
    OwnCertificate
        "this gateway's certificate cannot be used"
        "here: renew or replace the certificate";
    Signature
        "a signature of the peer was wrong, or one side makes none that the other accepts"
        "at the peer: check that the private key belongs to the certificate, and that it signs with SHA2 and accepts that; or take another kind of certificate here";
    CertificateRefused
        "the peer refused this side's certificate or identity"
        "at the peer: trust the CA of this gateway's certificate, and expect local_id; its log tells which";
    KeyRefused
        "the peer refused this side's shared key or identity"
        "set the same shared_key on both sides; at the peer: expect local_id; its log tells which";
    Ppk
        "a post-quantum pre-shared key was missing, unknown, wrong or refused"
        "give both sides the same ppk, or let it be absent (required = false here)";
    Selectors
        "the traffic selectors of the two sides had nothing in common"
        "make the prefixes mirror each other: what is local on one side must be remote on the other";
    RefusedByPeer
        "the peer answered with an error of another kind"
        "at the peer: look into its log for the reason of its refusal";
    AggressiveMode
        "the peer asked for IKEv1 aggressive mode"
        "at the peer: set main mode";
    OtherVersion
        "the peer speaks another version of IKE than the connection"
        "here: set protocol to the version that the peer speaks; or set the peer to that of the connection";
    NoAnswer
        "the peer did not answer"
        "at the peer: check that it runs and has this address; on the way let UDP 500 and 4500 pass in both directions";
    StoppedHalfWay
        "a peer began an IKE SA and did not go on"
        "at the peer: look into its log; on the way let UDP 500 and 4500 and IP fragments pass in both directions";
    NameNotFound
        "the peer's name led to no address"
        "here: check the name in the local network gateway, and this machine's resolver";
    NoResult
        "this gateway's own computation took too long"
        "here: give the gateway more cores, or let fewer peers begin at once";
    TableFull
        "the table of Child SAs was full"
        "here: raise max_tunnels of [appliance] and restart, or remove connections";
    TooManyChildren
        "the peer had too many Child SAs"
        "at the peer: update or restart it, it makes Child SAs without deleting old ones";
    NoFreeAddress
        "no address was left for another client"
        "here: enlarge vpn_client_address_pool, or take a larger sku";
    NotAssigned
        "the peer assigned this gateway no address inside the tunnel, or wanted to be asked for one"
        "at the peer: give it a pool with a free address for this gateway; here: request_addresses = true asks for one, and only where the peer assigns any";
    Expired
        "a lifetime ended before a successor was made"
        "at the peer: look into its log for why it does not rekey; or lengthen sa_lifetime_s here";
    EndedByPeer
        "the peer deleted the IKE SA, or lost it, as after a restart"
        "none needed after a restart; at the peer: look into its log for why";
    WrongPassword
        "a client's user name or password was wrong, or the client did not take this side's proof of it, or had to wait after too many wrong ones"
        "at the client: correct name or password, and wait five minutes where it is locked out; or correct the file of users here";
    ClientCertificate
        "a client's certificate was not accepted"
        "at the client: take a certificate of a CA that vpn_client_root_certificates names here";
    LoginRefused
        "a RADIUS server refused a client, or could not be asked"
        "at the RADIUS server: look into its log; here: check radius_servers and the secret";
    LoginFailed
        "a client did not log in for another reason, or asked for no address"
        "at the client: take a method that vpn_authentication_types names here, check and trust this gateway's certificate, and ask for an address";
}

impl IkeError {
    /// Of which kind it is; none where both sides acted at once, or the connection was changed meanwhile: nothing has to be done about that.
    #[must_use]
    pub const fn reason(&self) -> Option<Reason> {
        Some(match self {
            Self::Malformed(_)
            | Self::UnsupportedCritical(_)
            | Self::Missing { .. }
            | Self::Unexpected(_)
            | Self::Misbehaved { .. }
            | Self::BadPublicKey(_) => Reason::Protocol,
            Self::NoProposalChosen(stage) | Self::NoProposalAccepted(stage) => of_proposal(*stage),
            Self::GroupDispute(_) => Reason::Group,
            Self::UnknownPeer(_) | Self::WrongIdentity { .. } => Reason::Identity,
            Self::WrongKey | Self::Undecryptable(_) => Reason::WrongKey,
            Self::OtherAuthMethod | Self::NotByCertificate | Self::NotByEap => Reason::OtherMethod,
            Self::PeerCertificate(error) => of_certificate(error),
            Self::OwnCertificate(_) => Reason::OwnCertificate,
            Self::WrongSignature
            | Self::WeakSignature
            | Self::UnknownSignature(_)
            | Self::NoCommonSignature(_) => Reason::Signature,
            Self::CertificateRefused { .. } => Reason::CertificateRefused,
            Self::RefusedByPeer => Reason::KeyRefused,
            Self::Ppk(_) => Reason::Ppk,
            Self::NoCommonSelectors(_) | Self::SelectorsRefused(_) => Reason::Selectors,
            Self::Refused { .. } | Self::RefusedV1 { .. } => Reason::RefusedByPeer,
            Self::AggressiveMode => Reason::AggressiveMode,
            Self::OtherVersion(_) => Reason::OtherVersion,
            Self::NoAnswer { hint: Some(NotifyType::NO_PROPOSAL_CHOSEN), .. } => Reason::IkeProposal,
            Self::NoAnswer { .. } => Reason::NoAnswer,
            Self::StoppedHalfWay(_) => Reason::StoppedHalfWay,
            Self::NameNotFound { .. } => Reason::NameNotFound,
            Self::NoResult(_) => Reason::NoResult,
            Self::NoFreeSpi => Reason::TableFull,
            Self::TooManyChildren => Reason::TooManyChildren,
            Self::NoFreeAddress => Reason::NoFreeAddress,
            Self::AddressRefused | Self::NotAssigned | Self::AddressRequired => Reason::NotAssigned,
            Self::Expired => Reason::Expired,
            Self::DeletedByPeer | Self::PeerRestarted => Reason::EndedByPeer,
            Self::Login(error) => of_login(error),
            Self::LoginLocked(_) => Reason::WrongPassword,
            Self::WrongLoginKey(_) | Self::NoAddressAsked => Reason::LoginFailed,
            Self::Reconfigured
            | Self::Collision
            | Self::ChildNotFound
            | Self::NothingToFollow
            | Self::TooManyForTraffic => return None,
        })
    }
}

/// Whose algorithms an exchange is about.
const fn of_proposal(stage: Stage) -> Reason {
    match stage {
        Stage::Init | Stage::RekeyIke | Stage::MainMode => Reason::IkeProposal,
        _ => Reason::IpsecProposal,
    }
}

const fn of_certificate(error: &CertificateError) -> Reason {
    match error {
        CertificateError::Expired { .. } | CertificateError::NotYetValid { .. } => Reason::CertificateExpired,
        CertificateError::Revoked { .. } | CertificateError::Withdrawn { .. } => Reason::CertificateRevoked,
        CertificateError::UnknownIssuer { .. } | CertificateError::BadSignature { .. } => {
            Reason::CertificateUnknownIssuer
        }
        CertificateError::WrongName { .. } => Reason::CertificateWrongName,
        CertificateError::StaleRevocations { .. }
        | CertificateError::ForgedRevocations { .. }
        | CertificateError::StaleStatus { .. }
        | CertificateError::ForgedStatus { .. }
        | CertificateError::UnknownStatus { .. }
        | CertificateError::NoStatus { .. } => Reason::RevocationUnknown,
        _ => Reason::CertificateUnusable,
    }
}

const fn of_login(error: &EapError) -> Reason {
    match error {
        EapError::BadName
        | EapError::UnknownUser(_)
        | EapError::WrongPassword(_)
        | EapError::RefusedByClient(_) => Reason::WrongPassword,
        EapError::ClientCertificate { .. } => Reason::ClientCertificate,
        EapError::RefusedByServer { .. } | EapError::Radius(_) | EapError::BadRelay => Reason::LoginRefused,
        _ => Reason::LoginFailed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_remedy_names_a_side() {
        let sides = ["here", "at the", "both sides", "mirror each other"];
        for reason in Reason::ALL {
            let remedy = reason.remedy();
            assert!(sides.iter().any(|side| remedy.contains(side)), "{reason:?}: {remedy}");
        }
    }
}
