//! What is seen of an IKE SA: where it talks, and its status for the operator.

use std::net::IpAddr;

use super::{IkeSa, State};
use crate::assigned::Assigned;
use crate::config::{ConnectionConfig, Version};
use crate::environment::Instant;
use crate::event::Path;
use crate::identity::Identity;
use crate::status::IkeStatus;
use crate::v1::Phase;
use crate::wire::{IkeSpi, Role};

impl IkeSa {
    /// Who the peer proved to be.
    pub(crate) fn peer(&self) -> Option<&Identity> {
        match &self.state {
            State::Established(state) => Some(&state.peer),
            _ => None,
        }
    }

    pub(crate) fn established_at(&self) -> Option<Instant> {
        match &self.state {
            State::Established(state) => Some(state.since),
            State::V1(phase) => phase.view().map(|view| view.since),
            _ => None,
        }
    }

    pub(crate) fn role(&self) -> Role {
        let of_state = match &self.state {
            State::Established(state) => Some(state.secured.role),
            State::V1(phase) => phase.view().map(|view| view.role),
            _ => None,
        };
        let of_first = if self.first_message.is_some() { Role::Responder } else { Role::Initiator };
        of_state.unwrap_or(of_first)
    }

    /// Whether it has a Child SA of that policy.
    pub(crate) fn serves(&self, policy: usize) -> bool {
        match &self.state {
            State::Established(state) => {
                state.children.iter().any(|child| child.policy == policy && child.is_live())
            }
            State::V1(phase) => phase.serves(policy),
            _ => false,
        }
    }

    /// Whether it is established and has something to do.
    pub(crate) fn has_tasks(&self) -> bool {
        matches!(&self.state, State::Established(state) if !state.tasks.is_empty())
    }

    /// SPIs of initiator and responder, once both are known.
    pub(crate) fn spis(&self) -> (IkeSpi, IkeSpi) {
        let of_v1 = match &self.state {
            State::V1(phase) => phase.spis(),
            _ => None,
        };
        of_v1.or(self.secured().map(|secured| secured.spis)).unwrap_or((self.local_spi, IkeSpi::NONE))
    }

    /// Whether the peer keeps of two IKE SAs that were made at once the one that we keep.
    pub(crate) fn knows_our_rule(&self) -> bool {
        match &self.state {
            State::V1(phase) => phase.view().is_some_and(|view| view.is_ours),
            _ => true,
        }
    }

    fn path(&self, config: &ConnectionConfig) -> Path {
        match &self.state {
            State::InitPreparing(state) => state.attempt.path(),
            State::InitSent(state) => state.attempt.path(),
            State::Resuming(state) => state.path,
            State::InitSharing(state) => state.path,
            State::V1(phase) => phase.path().unwrap_or_else(|| config.path()),
            _ => self.secured().map_or_else(|| config.path(), |secured| secured.path),
        }
    }

    /// Where the peer is.
    pub(crate) fn remote(&self, config: &ConnectionConfig) -> IpAddr {
        self.path(config).remote.ip()
    }

    /// Whether the peer, once proven, speaks MOBIKE as we do.
    pub(crate) fn moves(&self) -> bool {
        matches!(&self.state, State::Established(state) if state.mobility.is_some())
    }

    pub(crate) fn status(&self, config: &ConnectionConfig) -> IkeStatus {
        if let State::V1(phase) = &self.state {
            return self.status_of_v1(phase, config);
        }
        let secured = self.secured();
        let established = match &self.state {
            State::Established(state) => Some(state),
            _ => None,
        };
        IkeStatus {
            id: self.id,
            version: Version::V2,
            spis: self.spis(),
            role: self.role(),
            state: self.state.name(),
            path: self.path(config),
            suite: secured.map(|secured| secured.suite),
            additional: secured.and_then(|secured| secured.additional),
            ppk: secured.is_some_and(|secured| secured.ppk),
            peer: established.map(|state| state.peer.clone()),
            assigned: established.map(|state| state.assigned.clone()).unwrap_or_default(),
            since: established.map(|state| state.since),
            rekey_at: established.map(|state| state.rekey_at),
            children: established.map(|state| state.child_status()).unwrap_or_default(),
        }
    }
}

impl IkeSa {
    fn status_of_v1(&self, phase: &Phase, config: &ConnectionConfig) -> IkeStatus {
        let view = phase.view();
        IkeStatus {
            id: self.id,
            version: Version::V1,
            spis: self.spis(),
            role: self.role(),
            state: phase.name(),
            path: self.path(config),
            suite: view.as_ref().map(|view| view.suite),
            additional: None,
            ppk: false,
            peer: view.as_ref().map(|view| view.peer.clone()),
            assigned: Assigned::default(),
            since: view.as_ref().map(|view| view.since),
            rekey_at: view.as_ref().map(|view| view.rekey_at),
            children: view.map(|view| view.children).unwrap_or_default(),
        }
    }
}

impl State {
    const fn name(&self) -> &'static str {
        match self {
            Self::InitPreparing(_) | Self::InitSent(_) => "IKE_SA_INIT sent",
            Self::Resuming(_) => "IKE_SESSION_RESUME sent",
            Self::InitSharing(_) => "computing keys",
            Self::Intermediate(_) => "IKE_INTERMEDIATE sent",
            Self::AuthSigning(_) => "signing",
            Self::AuthSent(_) => "IKE_AUTH sent",
            Self::AuthVerifying(_) => "checking the peer's proof",
            Self::InitAnswering(_) | Self::AuthAwaited(_) | Self::AuthProving(_) => "half open",
            Self::AuthLogin(_) => "logging in",
            Self::Established(_) => "established",
            Self::Closing(_) => "closing",
            Self::V1(phase) => phase.name(),
            Self::Gone => "gone",
        }
    }
}
