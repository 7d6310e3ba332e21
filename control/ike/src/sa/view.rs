//! What is seen of an IKE SA: where it talks, and its status for the operator.

use std::net::IpAddr;

use super::{IkeSa, State};
use crate::config::ConnectionConfig;
use crate::event::Path;
use crate::status::IkeStatus;

impl IkeSa {
    fn path(&self, config: &ConnectionConfig) -> Path {
        match &self.state {
            State::InitPreparing(state) => state.attempt.path(),
            State::InitSent(state) => state.attempt.path(),
            State::InitSharing(state) => state.path,
            _ => self.secured().map_or_else(|| config.path(), |secured| secured.path),
        }
    }

    /// Where the peer is.
    pub(crate) fn remote(&self, config: &ConnectionConfig) -> IpAddr {
        self.path(config).remote.ip()
    }

    pub(crate) fn status(&self, config: &ConnectionConfig) -> IkeStatus {
        let secured = self.secured();
        let established = match &self.state {
            State::Established(state) => Some(state),
            _ => None,
        };
        IkeStatus {
            id: self.id,
            spis: self.spis(),
            role: self.role(),
            state: self.state.name(),
            path: self.path(config),
            suite: secured.map(|secured| secured.suite),
            additional: secured.and_then(|secured| secured.additional),
            ppk: secured.is_some_and(|secured| secured.ppk),
            peer: established.map(|state| state.peer.clone()),
            since: established.map(|state| state.since),
            rekey_at: established.map(|state| state.rekey_at),
            children: established.map(|state| state.child_status()).unwrap_or_default(),
        }
    }
}

impl State {
    const fn name(&self) -> &'static str {
        match self {
            Self::InitPreparing(_) | Self::InitSent(_) => "IKE_SA_INIT sent",
            Self::InitSharing(_) => "computing keys",
            Self::Intermediate(_) => "IKE_INTERMEDIATE sent",
            Self::AuthSigning(_) => "signing",
            Self::AuthSent(_) => "IKE_AUTH sent",
            Self::AuthVerifying(_) => "checking the peer's proof",
            Self::InitAnswering(_) | Self::AuthAwaited(_) | Self::AuthProving(_) => "half open",
            Self::Established(_) => "established",
            Self::Closing(_) => "closing",
            Self::Gone => "gone",
        }
    }
}
