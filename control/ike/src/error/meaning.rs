//! What an error means: who must act, what the peer is told, and what a peer's error is to us.

use super::{Blame, IkeError, Stage};
use crate::wire::NotifyType;

impl IkeError {
    /// Who must act.
    #[must_use]
    pub const fn blame(&self) -> Blame {
        match self {
            Self::Malformed(_) | Self::UnsupportedCritical(_) => Blame::Malformed,
            Self::Missing { .. }
            | Self::Unexpected(_)
            | Self::Misbehaved { .. }
            | Self::BadPublicKey(_)
            | Self::Refused { .. }
            | Self::RefusedV1 { .. }
            | Self::Collision
            | Self::ChildNotFound
            | Self::NothingToFollow
            | Self::DeletedByPeer
            | Self::PeerRestarted => Blame::PeerMisbehaved,
            Self::NoProposalChosen(_)
            | Self::NoProposalAccepted(_)
            | Self::GroupDispute(_)
            | Self::UnknownSignature(_)
            | Self::NoCommonSignature(_)
            | Self::NoCommonSelectors(_)
            | Self::SelectorsRefused(_) => Blame::NoCommonGround,
            Self::UnknownPeer(_)
            | Self::WrongIdentity { .. }
            | Self::Undecryptable(_)
            | Self::AggressiveMode
            | Self::OtherVersion(_)
            | Self::WrongKey
            | Self::OtherAuthMethod
            | Self::NotByCertificate
            | Self::PeerCertificate(_)
            | Self::OwnCertificate(_)
            | Self::WrongSignature
            | Self::WeakSignature
            | Self::CertificateRefused { .. }
            | Self::RefusedByPeer
            | Self::Ppk(_)
            | Self::Reconfigured
            | Self::Login(_)
            | Self::NotByEap
            | Self::LoginLocked(_)
            | Self::WrongLoginKey(_)
            | Self::NoAddressAsked
            | Self::NotAssigned
            | Self::AddressRequired => Blame::Misconfigured,
            Self::NoResult(_)
            | Self::NoFreeSpi
            | Self::NoFreeAddress
            | Self::AddressRefused
            | Self::TooManyChildren
            | Self::TooManyForTraffic
            | Self::Expired => Blame::Exhausted,
            Self::NoAnswer { hint: Some(NotifyType::NO_PROPOSAL_CHOSEN), .. } => Blame::NoCommonGround,
            Self::NoAnswer { .. } | Self::StoppedHalfWay(_) | Self::NameNotFound { .. } => Blame::Unreachable,
        }
    }

    /// Whether it comes and goes where both sides act at once: no reason to tell anybody.
    pub(crate) const fn is_passing(&self) -> bool {
        let is_of_both = matches!(self, Self::Collision | Self::ChildNotFound | Self::NothingToFollow);
        is_of_both || matches!(self, Self::Reconfigured | Self::TooManyForTraffic)
    }

    /// Whether it says why a connection does not come up, and not only that it went down or did not come up.
    pub(crate) const fn says_why(&self) -> bool {
        !self.is_passing()
            && !matches!(
                self,
                Self::NoAnswer { hint: None, .. }
                    | Self::StoppedHalfWay(_)
                    | Self::NoResult(_)
                    | Self::Expired
                    | Self::DeletedByPeer
                    | Self::PeerRestarted
            )
    }

    /// What the peer is told, if it must be told.
    #[must_use]
    pub const fn notify(&self) -> NotifyType {
        match self {
            Self::UnsupportedCritical(_) => NotifyType::UNSUPPORTED_CRITICAL_PAYLOAD,
            Self::AggressiveMode | Self::OtherVersion(_) => NotifyType::INVALID_MAJOR_VERSION,
            Self::NoProposalChosen(_) | Self::NoProposalAccepted(_) | Self::GroupDispute(_) => {
                NotifyType::NO_PROPOSAL_CHOSEN
            }
            Self::UnknownPeer(_)
            | Self::WrongIdentity { .. }
            | Self::Undecryptable(_)
            | Self::WrongKey
            | Self::OtherAuthMethod
            | Self::NotByCertificate
            | Self::PeerCertificate(_)
            | Self::OwnCertificate(_)
            | Self::WrongSignature
            | Self::WeakSignature
            | Self::UnknownSignature(_)
            | Self::NoCommonSignature(_)
            | Self::CertificateRefused { .. }
            | Self::RefusedByPeer
            | Self::Ppk(_)
            | Self::Login(_)
            | Self::NotByEap
            | Self::LoginLocked(_)
            | Self::WrongLoginKey(_) => NotifyType::AUTHENTICATION_FAILED,
            Self::NoAddressAsked => NotifyType::FAILED_CP_REQUIRED,
            Self::NoFreeAddress | Self::AddressRefused | Self::NotAssigned | Self::AddressRequired => {
                NotifyType::INTERNAL_ADDRESS_FAILURE
            }
            Self::NoCommonSelectors(_) | Self::SelectorsRefused(_) => NotifyType::TS_UNACCEPTABLE,
            Self::NoFreeSpi | Self::TooManyChildren => NotifyType::NO_ADDITIONAL_SAS,
            Self::TooManyForTraffic => NotifyType::TS_MAX_QUEUE,
            Self::Collision
            | Self::Reconfigured
            | Self::Expired
            | Self::NoAnswer { .. }
            | Self::StoppedHalfWay(_)
            | Self::NameNotFound { .. }
            | Self::NoResult(_)
            | Self::DeletedByPeer
            | Self::PeerRestarted => NotifyType::TEMPORARY_FAILURE,
            Self::ChildNotFound => NotifyType::CHILD_SA_NOT_FOUND,
            Self::NothingToFollow => NotifyType::STATE_NOT_FOUND,
            Self::Malformed(_)
            | Self::Missing { .. }
            | Self::Unexpected(_)
            | Self::Misbehaved { .. }
            | Self::BadPublicKey(_)
            | Self::RefusedV1 { .. }
            | Self::Refused { .. } => NotifyType::INVALID_SYNTAX,
        }
    }

    /// What a peer's authenticated error means, in an answer to `stage`.
    #[must_use]
    pub(crate) const fn from_peer(stage: Stage, notify: NotifyType) -> Self {
        match notify {
            NotifyType::NO_PROPOSAL_CHOSEN => Self::NoProposalAccepted(stage),
            NotifyType::AUTHENTICATION_FAILED => Self::RefusedByPeer,
            NotifyType::TS_UNACCEPTABLE => Self::SelectorsRefused(stage),
            NotifyType::INTERNAL_ADDRESS_FAILURE => Self::AddressRefused,
            NotifyType::FAILED_CP_REQUIRED => Self::AddressRequired,
            _ => Self::Refused { stage, notify },
        }
    }
}
