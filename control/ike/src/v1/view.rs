//! What the endpoint and the operator see of an ISAKMP SA.

use super::Phase;
use super::protect::Isakmp;
use super::wire::{ExchangeType, PayloadType};
use crate::crypto::suite::IkeSuite;
use crate::environment::Instant;
use crate::event::{ConnectionId, Path};
use crate::identity::Identity;
use crate::status::ChildStatus;
use crate::wire::{IkeSpi, Role};

/// Facts about an established one.
pub(crate) struct View<'a> {
    pub(crate) suite: IkeSuite,
    pub(crate) role: Role,
    pub(crate) peer: &'a Identity,
    pub(crate) since: Instant,
    pub(crate) rekey_at: Instant,
    pub(crate) children: Vec<ChildStatus>,
    pub(crate) is_leaving: bool,
    /// Whether the peer resolves collisions as we do.
    pub(crate) is_ours: bool,
}

impl Phase {
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Offered(state) => state.attempt.deadline(),
            Self::Exchanging(state) => state.attempt.deadline(),
            Self::Proving(state) => state.attempt.deadline(),
            Self::Answered(state) => Some(state.expires_at()),
            Self::Awaiting(state) => Some(state.expires_at()),
            Self::Established(state) => state.deadline(),
            Self::Closing(state) => Some(state.until),
            Self::Checking(state) => Some(state.expires_at()),
            Self::Preparing(_)
            | Self::Sharing(_)
            | Self::Signing(_)
            | Self::Verifying(_)
            | Self::Agreeing(_)
            | Self::Gone => None,
        }
    }

    pub(crate) fn connection(&self) -> Option<ConnectionId> {
        match self {
            Self::Offered(state) => Some(state.attempt.config.id),
            Self::Preparing(state) => Some(state.attempt.config.id),
            Self::Exchanging(state) => Some(state.attempt.config.id),
            Self::Sharing(state) => Some(state.attempt.config.id),
            Self::Proving(state) => Some(state.attempt.config.id),
            Self::Signing(state) => Some(state.attempt.config.id),
            Self::Verifying(state) => Some(state.sent.attempt.config.id),
            Self::Established(state) => Some(state.config.id),
            Self::Closing(state) => state.connection,
            Self::Answered(_) | Self::Agreeing(_) | Self::Awaiting(_) | Self::Checking(_) | Self::Gone => {
                None
            }
        }
    }

    pub(crate) const fn is_half_open(&self) -> bool {
        matches!(self, Self::Answered(_) | Self::Agreeing(_) | Self::Awaiting(_) | Self::Checking(_))
    }

    pub(crate) const fn is_gone(&self) -> bool {
        matches!(self, Self::Gone)
    }

    pub(crate) const fn is_closing(&self) -> bool {
        matches!(self, Self::Closing(_) | Self::Gone)
    }

    /// Whether the peer cannot have taken it for established yet.
    pub(crate) const fn is_before_auth(&self) -> bool {
        matches!(
            self,
            Self::Offered(_) | Self::Preparing(_) | Self::Exchanging(_) | Self::Sharing(_) | Self::Signing(_)
        )
    }

    /// Whether it has a pair of that policy.
    pub(crate) fn serves(&self, policy: usize) -> bool {
        match self {
            Self::Established(state) => {
                state.pairs.iter().any(|pair| pair.child.policy == policy && pair.is_up())
            }
            _ => false,
        }
    }

    /// Any content as the first message of an exchange of phase 2 ([`crate::sim::Pair::say_v1`]), and where to.
    pub(crate) fn seal_content(
        &self,
        exchange: ExchangeType,
        id: u32,
        first: PayloadType,
        content: &[u8],
    ) -> Option<(Path, Vec<u8>)> {
        let isakmp = self.isakmp()?;
        Some((isakmp.path, isakmp.seal_content(exchange, id, first, content)?))
    }

    const fn isakmp(&self) -> Option<&Isakmp> {
        match self {
            Self::Established(state) => Some(&state.isakmp),
            _ => None,
        }
    }

    /// Cookies of initiator and responder, once both are known.
    pub(crate) fn spis(&self) -> Option<(IkeSpi, IkeSpi)> {
        match self {
            Self::Closing(state) => Some(state.spis()),
            other => other.isakmp().map(Isakmp::spis),
        }
    }

    pub(crate) fn path(&self) -> Option<Path> {
        match self {
            Self::Offered(state) => Some(state.attempt.path),
            Self::Preparing(state) => Some(state.attempt.path),
            Self::Exchanging(state) => Some(state.attempt.path),
            Self::Sharing(state) => Some(state.attempt.path),
            Self::Proving(state) => Some(state.attempt.path),
            Self::Signing(state) => Some(state.attempt.path),
            Self::Verifying(state) => Some(state.sent.attempt.path),
            other => other.isakmp().map(|isakmp| isakmp.path),
        }
    }

    pub(crate) fn view(&self) -> Option<View<'_>> {
        let Self::Established(state) = self else { return None };
        Some(View {
            suite: state.isakmp.suite,
            role: state.isakmp.role,
            peer: &state.peer,
            since: state.since,
            rekey_at: state.rekey_at,
            children: state.pair_status(),
            is_leaving: state.is_leaving(),
            is_ours: state.isakmp.abilities.ours,
        })
    }

    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Offered(_) => "main mode, message 1 sent",
            Self::Preparing(_) | Self::Sharing(_) => "computing keys",
            Self::Signing(_) => "signing",
            Self::Verifying(_) => "checking the peer's proof",
            Self::Exchanging(_) => "main mode, message 3 sent",
            Self::Proving(_) => "main mode, message 5 sent",
            Self::Answered(_) | Self::Agreeing(_) | Self::Awaiting(_) | Self::Checking(_) => "half open",
            Self::Established(_) => "established",
            Self::Closing(_) => "closing",
            Self::Gone => "gone",
        }
    }
}
