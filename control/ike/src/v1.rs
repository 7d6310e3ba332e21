//! IKEv1 (RFC 2407, 2408, 2409) for peers that speak nothing else: main mode and quick mode, NAT traversal (RFC 3947), dead peer detection (RFC 3706). Aggressive mode
//! is refused: its answer would give a hash of the shared key to whoever asks.
//!
//! It shares with IKEv2 what does not depend on the version: `crypto`, connections, jobs, events, pairs of ESP SAs. What IKEv2 calls SPIs of an IKE SA are cookies here.
//! The endpoint finds the SA by them and calls `Phase`; the modules stand in the order in which a message meets them.

use std::time::Duration;

use crate::config::{ConnectionConfig, Version};
use crate::endpoint::Endpoint;
use crate::environment::{Environment, Instant};
use crate::error::{IkeError, Stage};
use crate::event::{ConnectionId, DownReason, IkeId, Path};
use crate::job::JobResult;
use crate::notice::What;
use crate::sa::{Arrived, Cx, IkeSa};
use crate::wire::{IkeSpi, Role};

pub mod wire;

mod protect;

mod suite;

mod keys;

mod nat;

mod main_mode;

mod established;

mod quick;

mod pair;

mod informational;

mod dpd;

mod closing;

mod view;

use closing::Closing;
pub(crate) use established::Established;
pub(crate) use main_mode::begin;
use main_mode::{Agreeing, Answered, Awaiting, Checking, Exchanging, Offered, Preparing, Proving};
use main_mode::{Sharing, Signing, Verifying};
pub(crate) use pair::Pair;
pub(crate) use suite::is_for_phase1;
use wire::ExchangeType;
pub(crate) use wire::Header;

/// How far an ISAKMP SA is.
#[derive(Debug)]
pub(crate) enum Phase {
    /// Initiator: message 1 is out.
    Offered(Box<Offered>),
    /// Initiator: the public value is being computed.
    Preparing(Box<Preparing>),
    /// Initiator: message 3 is out.
    Exchanging(Box<Exchanging>),
    /// Initiator: the shared secret is being computed.
    Sharing(Box<Sharing>),
    /// Initiator: our proof is being signed.
    Signing(Box<Signing>),
    /// Initiator: the peer's proof is being checked.
    Verifying(Box<Verifying>),
    /// Initiator: message 5 is out.
    Proving(Box<Proving>),
    /// Responder: message 2 is out.
    Answered(Box<Answered>),
    /// Responder: public value and shared secret are being computed.
    Agreeing(Box<Agreeing>),
    /// Responder: message 4 is out.
    Awaiting(Box<Awaiting>),
    /// Responder: the peer's proof is being checked, and ours signed.
    Checking(Box<Checking>),
    /// Both are who they say.
    Established(Box<Established>),
    /// It is over; the peer was told.
    Closing(Box<Closing>),
    /// Nothing is left.
    Gone,
}

impl Phase {
    pub(crate) fn on_datagram(self, arrived: &Arrived<'_>, header: &Header, cx: &mut Cx<'_>) -> Self {
        match self {
            Self::Offered(state) => state.on_datagram(arrived, header, cx),
            Self::Exchanging(state) => state.on_datagram(arrived, header, cx),
            Self::Proving(state) => state.on_datagram(arrived, header, cx),
            Self::Answered(state) => state.on_datagram(arrived, header, cx),
            Self::Awaiting(state) => state.on_datagram(arrived, header, cx),
            Self::Established(state) => state.on_datagram(arrived, header, cx),
            Self::Closing(state) => state.on_datagram(arrived, header, cx),
            // Something is being computed: the peer will ask again.
            state => {
                cx.note_from(What::DropUnexpected, arrived.remote);
                state
            }
        }
    }

    /// Somebody answers in IKEv2.
    pub(crate) fn on_other_version(mut self, arrived: &Arrived<'_>, cx: &mut Cx<'_>) -> Self {
        match &mut self {
            Self::Offered(state) if state.attempt.path.remote == arrived.remote => {
                state.attempt.remember(IkeError::OtherVersion(Version::V2), cx);
            }
            _ => cx.note_from(What::DropUnexpected, arrived.remote),
        }
        self
    }

    pub(crate) fn on_timeout(self, cx: &mut Cx<'_>) -> Self {
        match self {
            Self::Offered(state) => state.on_timeout(cx),
            Self::Exchanging(state) => state.on_timeout(cx),
            Self::Proving(state) => state.on_timeout(cx),
            Self::Answered(state) if state.expires_at() <= cx.now => state.expire(cx),
            Self::Awaiting(state) if state.expires_at() <= cx.now => state.expire(cx),
            Self::Checking(state) if state.expires_at() <= cx.now => state.give_up(cx),
            Self::Established(state) => state.on_timeout(cx),
            Self::Closing(state) if state.until <= cx.now => Self::Gone,
            state => state,
        }
    }

    pub(crate) fn on_computed(self, result: JobResult, cx: &mut Cx<'_>) -> Self {
        match self {
            Self::Preparing(state) => state.on_computed(result, cx),
            Self::Sharing(state) => state.on_computed(result, cx),
            Self::Agreeing(state) => state.on_computed(result, cx),
            Self::Signing(state) => state.on_computed(result, cx),
            Self::Verifying(state) => state.on_computed(result, cx),
            Self::Checking(state) => state.on_computed(result, cx),
            Self::Established(state) => state.on_computed(result, cx),
            state => state,
        }
    }

    /// The job whose result it waits for; of several the oldest.
    pub(crate) fn job(&self) -> Option<u64> {
        match self {
            Self::Preparing(state) => Some(state.serial),
            Self::Sharing(state) => Some(state.serial),
            Self::Agreeing(state) => Some(state.serial),
            Self::Signing(state) => Some(state.serial),
            Self::Verifying(state) => Some(state.serial),
            Self::Checking(state) => Some(state.serial),
            Self::Established(state) => state.job(),
            _ => None,
        }
    }

    /// The result did not come.
    pub(crate) fn give_up_job(self, cx: &mut Cx<'_>) -> Self {
        match self {
            Self::Agreeing(state) => state.give_up(cx),
            Self::Checking(state) => state.give_up(cx),
            Self::Established(mut state) => {
                let error = IkeError::NoResult(Stage::QuickMode);
                cx.note_stage(What::ExchangeFailed, Stage::QuickMode);
                state.fate = Some(established::Fate::Close(DownReason::Error(error.clone()), Some(error)));
                state.settle(cx)
            }
            Self::Preparing(_) | Self::Sharing(_) | Self::Signing(_) | Self::Verifying(_) => {
                let error = IkeError::NoResult(Stage::MainMode);
                cx.note_stage(What::ExchangeFailed, Stage::MainMode);
                cx.ended(DownReason::Error(error.clone()), Some(error), false);
                Self::Gone
            }
            state => state,
        }
    }

    /// Lets an established one act.
    pub(crate) fn established(
        self,
        cx: &mut Cx<'_>,
        act: impl FnOnce(&mut Established, &mut Cx<'_>),
    ) -> Self {
        match self {
            Self::Established(mut state) => {
                act(&mut state, cx);
                state.settle(cx)
            }
            state => state,
        }
    }

    /// Deletes it at the peer, if the peer knows it, and forgets it.
    pub(crate) fn close(self, reason: DownReason, cx: &mut Cx<'_>) -> Self {
        match self {
            Self::Established(mut state) => {
                state.fate = Some(established::Fate::Close(reason, None));
                state.settle(cx)
            }
            state @ (Self::Closing(_) | Self::Gone) => state,
            _ => {
                cx.ended(DownReason::DeletedByUs, None, false);
                Self::Gone
            }
        }
    }

    /// Forgets an established one without a word.
    pub(crate) fn end(self, reason: DownReason, cx: &mut Cx<'_>) -> Self {
        match self {
            Self::Established(state) => state.gone(reason, None, cx),
            state => state,
        }
    }
}

impl Established {
    /// Lost against another ISAKMP SA with the same peer, which has its pairs by now.
    pub(crate) fn give_way(&mut self, cx: &mut Cx<'_>) {
        let linger = cx.settings.linger;
        let wait = match self.role() {
            Role::Initiator => linger,
            Role::Responder => established::PATIENCE + linger,
        };
        self.leave(wait, cx);
    }

    /// The same, where whoever made the other one deletes this one.
    pub(crate) fn give_way_to(&mut self, role_of_other: Role, cx: &mut Cx<'_>) {
        let wait = match role_of_other {
            Role::Initiator => cx.settings.linger,
            Role::Responder => established::PATIENCE,
        };
        self.leave(wait.max(Duration::from_secs(1)), cx);
    }
}

impl Endpoint {
    /// A datagram whose version says IKEv1.
    pub(crate) fn on_v1_datagram(&mut self, arrived: &Arrived<'_>, now: Instant, env: &mut dyn Environment) {
        let Ok(header) = Header::parse(arrived.bytes) else {
            return self.cx(now, env).note_from(What::DropMalformed, arrived.remote);
        };
        if header.responder == IkeSpi::NONE && header.exchange != ExchangeType::INFORMATIONAL {
            return match header.exchange {
                ExchangeType::MAIN_MODE => match self.half_open.get(&(arrived.remote, header.initiator)) {
                    Some(id) => self.with_sa(id, now, env, |sa, cx| sa.on_v1_datagram(arrived, &header, cx)),
                    None => main_mode::accept(self, arrived, now, env),
                },
                ExchangeType::AGGRESSIVE_MODE => main_mode::refuse_aggressive(self, arrived, now, env),
                _ => self.cx(now, env).note_from(What::DropUnexpected, arrived.remote),
            };
        }
        let found = [header.responder, header.initiator].iter().find_map(|cookie| self.by_spi.get(cookie));
        match found.copied() {
            Some(id) => self.with_sa(id, now, env, |sa, cx| sa.on_v1_datagram(arrived, &header, cx)),
            None => self.cx(now, env).note_from(What::DropUnknownSpi, arrived.remote),
        }
    }

    /// An ISAKMP SA is to be replaced by another main mode, on the path that it has.
    pub(crate) fn renew_v1(
        &mut self,
        connection: ConnectionId,
        ike: IkeId,
        path: Path,
        now: Instant,
        env: &mut dyn Environment,
    ) {
        let Some(entry) = self.connections.get(&connection) else { return };
        let is_coming = entry.ikes.iter().any(|other| *other > ike);
        if self.stopping || is_coming || !entry.ikes.contains(&ike) {
            return;
        }
        let config: std::sync::Arc<ConnectionConfig> = std::sync::Arc::clone(&entry.config);
        let mut cx = self.cx(now, env);
        cx.connection = Some(connection);
        let sa = begin(config, path, Some(ike), &mut cx);
        if let Some(entry) = self.connections.get_mut(&connection) {
            entry.ikes.push(sa.id);
        }
        self.register(sa);
    }

    /// Moves the pairs of an ISAKMP SA to the one that takes over.
    pub(crate) fn move_pairs(&mut self, from: IkeId, to: IkeId, now: Instant, env: &mut dyn Environment) {
        let mut pairs = Vec::new();
        self.with_sa(from, now, env, |sa, cx| {
            sa.v1_established(cx, |state, cx| {
                cx.note(What::IkeRekeyed);
                pairs = state.give_pairs(to);
            });
        });
        self.give_pairs(to, pairs, now, env);
    }

    pub(crate) fn give_pairs(
        &mut self,
        heir: IkeId,
        pairs: Vec<Pair>,
        now: Instant,
        env: &mut dyn Environment,
    ) {
        let mut left = Some(pairs);
        self.with_sa(heir, now, env, |sa: &mut IkeSa, cx| {
            sa.v1_established(cx, |state, cx| state.take_pairs(left.take().unwrap_or_default(), cx));
        });
        // The heir is gone already: nobody is left to delete them.
        let mut cx = self.cx(now, env);
        for pair in left.unwrap_or_default() {
            pair.child.let_go(crate::event::RemoveReason::IkeSaGone, &mut cx);
        }
    }
}
