//! What can go wrong between two peers: whose fault it is, what the peer is told, what the operator reads and must do.
//!
//! Every exchange returns [`IkeError`]; [`IkeError::notify`] is the one place that turns it into the NOTIFY for the peer (RFC 7296, 3.10.1), and
//! [`IkeError::remedy`] the one that tells the operator which side must change what.

use std::fmt;

use crossgate_eap::EapError;
use crossgate_pki::{CertificateError, KeyKind};
use thiserror::Error;

use crate::auth::PpkError;
use crate::config::Version;
use crate::identity::Identity;
use crate::wire::{ExchangeType, Malformed, NotifyType, PayloadType};

use hint::Hint;

mod hint;
mod meaning;
mod reason;
mod remedy;

pub use reason::Reason;

/// Who must act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Blame {
    /// The peer sent bytes that are no IKEv2 message.
    Malformed,
    /// The peer broke the protocol.
    PeerMisbehaved,
    /// Both sides are sane, but their configurations have nothing in common.
    NoCommonGround,
    /// A key, an identity or an address is wrong on one side.
    Misconfigured,
    /// A limit of this gateway or of the peer is reached.
    Exhausted,
    /// Nobody answers.
    Unreachable,
}

/// What was being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// IKE_SA_INIT.
    Init,
    /// IKE_INTERMEDIATE: an additional key exchange.
    Intermediate,
    /// IKE_AUTH.
    Auth,
    /// IKE_AUTH with EAP: a client logs in.
    Login,
    /// CREATE_CHILD_SA for a new Child SA.
    NewChild,
    /// CREATE_CHILD_SA that replaces a Child SA.
    RekeyChild,
    /// CREATE_CHILD_SA that replaces the IKE SA.
    RekeyIke,
    /// IKEv1: main mode.
    MainMode,
    /// IKEv1: quick mode for a new Child SA.
    QuickMode,
    /// IKEv1: quick mode that replaces a Child SA.
    QuickRekey,
    /// INFORMATIONAL: a delete.
    Delete,
    /// INFORMATIONAL: other addresses (MOBIKE).
    Move,
    /// INFORMATIONAL: dead peer detection.
    Liveness,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Init => "IKE_SA_INIT",
            Self::Intermediate => "IKE_INTERMEDIATE",
            Self::Auth => "IKE_AUTH",
            Self::Login => "IKE_AUTH (log-in)",
            Self::NewChild => "CREATE_CHILD_SA (new Child SA)",
            Self::RekeyChild => "CREATE_CHILD_SA (child rekey)",
            Self::RekeyIke => "CREATE_CHILD_SA (IKE rekey)",
            Self::MainMode => "main mode",
            Self::QuickMode => "quick mode",
            Self::QuickRekey => "quick mode (rekey)",
            Self::Delete => "INFORMATIONAL (delete)",
            Self::Move => "INFORMATIONAL (other addresses)",
            Self::Liveness => "INFORMATIONAL (liveness)",
        })
    }
}

/// Why an exchange, an SA or a connection failed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum IkeError {
    /// The message cannot be read.
    #[error("the peer sent a message that cannot be read: {0}")]
    Malformed(#[from] Malformed),
    /// A critical payload of an unknown type (RFC 7296, 2.5).
    #[error("the peer sent a critical payload that is unknown here: {0}")]
    UnsupportedCritical(PayloadType),
    /// A payload that the exchange needs.
    #[error("{stage}: the peer's message lacks its {payload} payload")]
    Missing {
        /// The exchange.
        stage: Stage,
        /// The payload.
        payload: PayloadType,
    },
    /// An exchange that does not belong where it came.
    #[error("the peer began {0} where it must not")]
    Unexpected(ExchangeType),
    /// The peer chose what was not offered, or sent a value that a careful peer never sends.
    #[error("{stage}: the peer {what}")]
    Misbehaved {
        /// The exchange.
        stage: Stage,
        /// What it did.
        what: &'static str,
    },
    /// The peer's key exchange value is no valid public key (RFC 6989).
    #[error("{0}: the peer's public key is invalid")]
    BadPublicKey(Stage),
    /// No proposal of the peer matches our policy.
    #[error("{0}: the peer offers no algorithms that this side accepts")]
    NoProposalChosen(Stage),
    /// The peer accepts none of our proposals.
    #[error("{0}: the peer accepts none of the algorithms that this side offers (NO_PROPOSAL_CHOSEN)")]
    NoProposalAccepted(Stage),
    /// Each side insists on another group.
    #[error("{0}: no agreement on a Diffie-Hellman group after several tries (INVALID_KE_PAYLOAD)")]
    GroupDispute(Stage),
    /// No connection is configured for this peer.
    #[error("no connection here answers to the peer that calls itself {0}")]
    UnknownPeer(Identity),
    /// The peer proved to be somebody, but not the one whom we called.
    #[error("the peer says that it is {found}, expected {expected}")]
    WrongIdentity {
        /// Who it says it is.
        found: Identity,
        /// Who it should be.
        expected: Identity,
    },
    /// The peer's AUTH payload does not verify.
    #[error("the peer's proof of identity is wrong: the shared keys differ")]
    WrongKey,
    /// The peer wants another method than a pre-shared key.
    #[error("the peer authenticates by another method than a shared key")]
    OtherAuthMethod,
    /// The peer does not prove itself by a certificate.
    #[error("the peer authenticates by another method than a certificate")]
    NotByCertificate,
    /// The peer's certificate is not accepted.
    #[error("the peer's certificate is refused: {0}")]
    PeerCertificate(Box<CertificateError>),
    /// Our certificate is of no use.
    #[error("this gateway's certificate cannot be used: {0}")]
    OwnCertificate(Box<CertificateError>),
    /// The peer's certificate is fine, but the AUTH payload is not by its key.
    #[error("the peer's proof of identity is wrong: its signature is not by the key of its certificate")]
    WrongSignature,
    /// The peer signs with SHA-1.
    #[error("the peer signs its proof of identity with SHA-1, which is broken")]
    WeakSignature,
    /// The peer signs by an algorithm that is not spoken here.
    #[error("the peer signs its proof of identity by an algorithm that is unknown here: {0}")]
    UnknownSignature(String),
    /// The peer accepts no signature that our key can make (RFC 7427, 4).
    #[error("the peer accepts no signature that this gateway's key makes ({0})")]
    NoCommonSignature(KeyKind),
    /// The peer did not accept our certificate.
    #[error("the peer refused this side's identity or certificate (AUTHENTICATION_FAILED){}", if *.trusted { "" } else { ": it asked for certificates of other CAs" })]
    CertificateRefused {
        /// Whether it asked for certificates of one of our CAs, or did not say.
        trusted: bool,
    },
    /// The peer did not accept our AUTH payload.
    #[error("the peer refused this side's identity or shared key (AUTHENTICATION_FAILED)")]
    RefusedByPeer,
    /// A post-quantum pre-shared key is missing or wrong.
    #[error(transparent)]
    Ppk(#[from] PpkError),
    /// No selectors in common, found by us.
    #[error("{0}: the peer's traffic selectors have nothing in common with this side's")]
    NoCommonSelectors(Stage),
    /// No selectors in common, found by the peer.
    #[error("{0}: the peer accepts none of this side's traffic selectors (TS_UNACCEPTABLE)")]
    SelectorsRefused(Stage),
    /// The peer answered with another error.
    #[error("{stage}: the peer answered {notify}")]
    Refused {
        /// The exchange.
        stage: Stage,
        /// Its error.
        notify: NotifyType,
    },
    /// The peer answered with another error, in IKEv1.
    #[error("{stage}: the peer answered {notify}")]
    RefusedV1 {
        /// The exchange.
        stage: Stage,
        /// Its error.
        notify: crate::v1::wire::NotifyType,
    },
    /// What the peer encrypts under the shared key is nothing under ours (IKEv1: the keys of main mode come from it).
    #[error("{0}: what the peer sends cannot be decrypted: the shared keys differ")]
    Undecryptable(Stage),
    /// The peer asks for IKEv1 aggressive mode.
    #[error(
        "the peer asks for IKEv1 aggressive mode, which would give it a hash of the shared key to guess from: refused"
    )]
    AggressiveMode,
    /// The peer speaks the version named, the connection another.
    #[error("the peer speaks {0}, but this connection does not")]
    OtherVersion(Version),
    /// Nobody answered; an unauthenticated error may have come meanwhile.
    #[error("{stage}: the peer does not answer{}", Hint(*hint))]
    NoAnswer {
        /// The exchange.
        stage: Stage,
        /// The last unauthenticated error seen: a hint, not a proof (RFC 7296, 2.21).
        hint: Option<NotifyType>,
    },
    /// The peer began, and its next message did not come.
    #[error("{0}: the peer began an IKE SA and stopped half way: its next message did not come")]
    StoppedHalfWay(Stage),
    /// The peer's name leads nowhere.
    #[error("the peer's name {name} leads to no address: {why}")]
    NameNotFound {
        /// The name.
        name: String,
        /// Why.
        why: String,
    },
    /// The pool did not finish what the exchange needs.
    #[error("{0}: this gateway's own computation took too long")]
    NoResult(Stage),
    /// The data plane has no free SPI.
    #[error("no free inbound SPI: the table of Child SAs is full")]
    NoFreeSpi,
    /// The peer has more Child SAs under one policy than make sense.
    #[error("the peer has too many Child SAs")]
    TooManyChildren,
    /// TS_MAX_QUEUE (RFC 9611): for other selectors there may be room.
    #[error("no more Child SAs for single resources of this traffic")]
    TooManyForTraffic,
    /// A lifetime ended before a successor was made.
    #[error("the lifetime ended before a successor could be negotiated")]
    Expired,
    /// What a proof was checked under does not hold any more.
    #[error("the connection was changed while the peer proved its identity")]
    Reconfigured,
    /// A client did not log in.
    #[error("a client did not log in: {0}")]
    Login(#[from] EapError),
    /// A client does not log in by EAP.
    #[error("the client proves itself by a method that clients have not here")]
    NotByEap,
    /// Somebody tries passwords.
    #[error("too many wrong passwords for the user {0:?} from that address: log-ins wait for some minutes")]
    LoginLocked(String),
    /// Somebody else logged in in the place of a client.
    #[error("the user {0:?} logged in, but the proof by the log-in's key is wrong: somebody is between")]
    WrongLoginKey(String),
    /// A client wants no address.
    #[error("the client asks for no address (Configuration payload)")]
    NoAddressAsked,
    /// Each is taken.
    #[error("no address is left for another client")]
    NoFreeAddress,
    /// The peer has no address for us.
    #[error("the peer has no address for this gateway (INTERNAL_ADDRESS_FAILURE)")]
    AddressRefused,
    /// The peer took us for somebody who needs no address.
    #[error("the peer assigned this gateway no address, which was asked for (Configuration payload)")]
    NotAssigned,
    /// The peer serves only those that ask for an address.
    #[error("the peer wants to be asked for an address (FAILED_CP_REQUIRED)")]
    AddressRequired,
    /// We are in the middle of something that the request collides with (RFC 7296, 2.25).
    #[error("busy with an exchange that this request collides with")]
    Collision,
    /// The Child SA that the peer wants to rekey is not there (RFC 7296, 2.25.1).
    #[error("the peer wants to rekey a Child SA that is not there")]
    ChildNotFound,
    /// The peer continues a rekey that was given up here (RFC 9370, 2.2.4).
    #[error("the peer follows up a rekey that is not under way")]
    NothingToFollow,
    /// The peer deleted the IKE SA.
    #[error("the peer deleted the IKE SA")]
    DeletedByPeer,
    /// The peer does not have the IKE SA any more, and proved it (RFC 6290).
    #[error("the peer has lost the IKE SA, as after a restart")]
    PeerRestarted,
}
