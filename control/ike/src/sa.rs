//! One IKE SA: its states, the way of a message to the state that handles it, and (in `sa/context.rs`) what a state may use. RFC 7296, 2.
//!
//! A state is a struct with what exists then; each exchange's file holds the states of both roles. A message that does not authenticate gives the state back
//! as it was. Called by the endpoint alone.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::config::{ConnectionConfig, Version};
use crate::environment::Instant;
use crate::established::{Closing, Established, Estate};
use crate::event::{ChildId, ConnectionId, DownReason, IkeId};
use crate::exchange::auth::{AuthAwaited, AuthLogin, AuthProving, AuthSent, AuthSigning, AuthVerifying};
use crate::exchange::init::{InitAnswering, InitPreparing, InitSent, InitSharing};
use crate::exchange::intermediate::Intermediate;
use crate::exchange::resume::Resuming;
use crate::half_open::FirstMessage;
use crate::job::JobResult;
use crate::notice::What;
use crate::secured::Secured;
use crate::v1::{self, Phase};
use crate::wire::{Header, IkeSpi, Role};

mod context;
mod view;
mod waiting;

pub(crate) use context::Cx;
use waiting::Awaited;

/// One IKE SA.
#[derive(Debug)]
pub(crate) struct IkeSa {
    pub(crate) id: IkeId,
    /// The SPI that we chose.
    pub(crate) local_spi: IkeSpi,
    /// If we answer: where the first message came from, and the SPI in it.
    pub(crate) first_message: Option<FirstMessage>,
    pub(crate) state: State,
    /// What the state waits for of the pool.
    awaited: Option<Awaited>,
}

/// How far it is.
#[derive(Debug)]
pub(crate) enum State {
    /// Initiator: a key pair is being computed.
    InitPreparing(Box<InitPreparing>),
    /// Initiator: IKE_SA_INIT is out.
    InitSent(Box<InitSent>),
    /// Initiator: a ticket is out.
    Resuming(Box<Resuming>),
    /// Initiator: the shared secret is being computed.
    InitSharing(Box<InitSharing>),
    /// Initiator: an additional key exchange is under way.
    Intermediate(Box<Intermediate>),
    /// Initiator: our proof is being signed.
    AuthSigning(Box<AuthSigning>),
    /// Initiator: IKE_AUTH is out.
    AuthSent(Box<AuthSent>),
    /// Initiator: the peer's proof is being checked.
    AuthVerifying(Box<AuthVerifying>),
    /// Responder: the answer to IKE_SA_INIT is being computed.
    InitAnswering(Box<InitAnswering>),
    /// Responder: IKE_SA_INIT is answered.
    AuthAwaited(Box<AuthAwaited>),
    /// Responder: the peer's proof is being checked, and ours signed.
    AuthProving(Box<AuthProving>),
    /// Responder: the client is logging in.
    AuthLogin(Box<AuthLogin>),
    /// Both are who they say.
    Established(Box<Established>),
    /// It is over; what is left is to tell the peer and to answer its repeats.
    Closing(Box<Closing>),
    /// IKEv1, however far.
    V1(Phase),
    /// Nothing is left.
    Gone,
}

/// A datagram as it came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrived<'a> {
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    pub(crate) bytes: &'a [u8],
}

impl IkeSa {
    /// One that begins in `state`.
    pub(crate) fn new(
        id: IkeId,
        local_spi: IkeSpi,
        first_message: Option<FirstMessage>,
        state: State,
        cx: &Cx<'_>,
    ) -> Box<Self> {
        let mut sa = Self { id, local_spi, first_message, state, awaited: None };
        sa.note_awaited(cx);
        Box::new(sa)
    }

    pub(crate) fn on_datagram(&mut self, arrived: &Arrived<'_>, header: &Header, cx: &mut Cx<'_>) {
        self.step(cx, |state, cx| match state {
            State::InitSent(state) => state.on_datagram(arrived, cx),
            State::Resuming(state) => state.on_datagram(arrived, cx),
            State::Intermediate(state) => state.on_datagram(arrived, header, cx),
            State::AuthSent(state) => state.on_datagram(arrived, header, cx),
            State::AuthAwaited(state) => state.on_datagram(arrived, header, cx),
            State::AuthLogin(state) => state.on_datagram(arrived, header, cx),
            State::Established(state) => state.on_datagram(arrived, header, cx),
            State::Closing(state) => state.on_datagram(arrived, header, cx),
            State::V1(phase) => State::V1(phase.on_other_version(arrived, cx)),
            // Something is being computed: the peer will ask again.
            state => {
                cx.note_from(What::DropUnexpected, arrived.remote);
                state
            }
        });
    }

    pub(crate) fn on_v1_datagram(&mut self, arrived: &Arrived<'_>, header: &v1::Header, cx: &mut Cx<'_>) {
        self.step(cx, |state, cx| match state {
            State::V1(phase) => State::V1(phase.on_datagram(arrived, header, cx)),
            state => {
                cx.note_from(What::DropUnexpected, arrived.remote);
                state
            }
        });
    }

    pub(crate) fn on_timeout(&mut self, cx: &mut Cx<'_>) {
        if self.is_overdue(cx.now) {
            return self.step(cx, State::give_up_job);
        }
        self.step(cx, |state, cx| match state {
            State::InitSent(state) => state.on_timeout(cx),
            State::Resuming(state) => state.on_timeout(cx),
            State::Intermediate(state) => state.on_timeout(cx),
            State::AuthSent(state) => state.on_timeout(cx),
            State::AuthAwaited(state) => state.on_timeout(cx),
            State::AuthLogin(state) => state.on_timeout(cx),
            State::Established(state) => state.on_timeout(cx),
            State::Closing(state) => state.on_timeout(cx),
            State::V1(phase) => State::V1(phase.on_timeout(cx)),
            state => state,
        });
    }

    pub(crate) fn on_computed(&mut self, result: JobResult, cx: &mut Cx<'_>) {
        self.step(cx, |state, cx| match state {
            State::InitPreparing(state) => state.on_computed(result, cx),
            State::InitSharing(state) => state.on_computed(result, cx),
            State::InitAnswering(state) => state.on_computed(result, cx),
            State::Intermediate(state) => state.on_computed(result, cx),
            State::AuthAwaited(state) => state.on_computed(result, cx),
            State::AuthSigning(state) => state.on_computed(result, cx),
            State::AuthVerifying(state) => state.on_computed(result, cx),
            State::AuthProving(state) => state.on_computed(result, cx),
            State::AuthLogin(state) => state.on_computed(result, cx),
            State::Established(state) => state.on_computed(result, cx),
            State::V1(phase) => State::V1(phase.on_computed(result, cx)),
            other => other,
        });
    }

    fn step(&mut self, cx: &mut Cx<'_>, act: impl FnOnce(State, &mut Cx<'_>) -> State) {
        let state = std::mem::replace(&mut self.state, State::Gone);
        self.state = act(state, cx);
        self.note_awaited(cx);
    }

    pub(crate) fn established(&mut self, cx: &mut Cx<'_>, act: impl FnOnce(&mut Established, &mut Cx<'_>)) {
        self.step(cx, |state, cx| match state {
            State::Established(mut state) => {
                act(&mut state, cx);
                state.settle(cx)
            }
            other => other,
        });
    }

    pub(crate) fn v1_established(
        &mut self,
        cx: &mut Cx<'_>,
        act: impl FnOnce(&mut v1::Established, &mut Cx<'_>),
    ) {
        self.step(cx, |state, cx| match state {
            State::V1(phase) => State::V1(phase.established(cx, act)),
            other => other,
        });
    }

    /// Replaces a Child SA, if nothing of the kind is under way.
    pub(crate) fn rekey_child(&mut self, child: ChildId, cx: &mut Cx<'_>) {
        self.v1_established(cx, |state, _| state.want_rekey(child));
        self.established(cx, |state, _| state.want_child_rekey(child));
    }

    /// Replaces the IKE SA.
    pub(crate) fn rekey_ike(&mut self, cx: &mut Cx<'_>) {
        self.v1_established(cx, v1::Established::renew_now);
        self.established(cx, |state, _| state.want_ike_rekey());
    }

    /// A Child SA reached its end.
    pub(crate) fn expire_child(&mut self, child: ChildId, cx: &mut Cx<'_>) {
        self.v1_established(cx, |state, cx| state.expire(child, cx));
        self.established(cx, |state, cx| state.expire_child(child, cx));
    }

    /// The peer sent on a Child SA.
    pub(crate) fn inbound_activity(&mut self, child: ChildId, cx: &mut Cx<'_>) {
        self.v1_established(cx, |state, cx| state.inbound_activity(child, cx));
        self.established(cx, |state, cx| state.inbound_activity(child, cx));
    }

    /// The peer sent on a Child SA, from elsewhere.
    pub(crate) fn inbound_from(&mut self, remote: SocketAddr, cx: &mut Cx<'_>) {
        self.v1_established(cx, |state, cx| state.follow_esp(remote, cx));
        self.established(cx, |state, cx| state.follow_esp(remote, cx));
    }

    /// The configuration changed where nothing negotiated depends on it, or where only some Child SAs do.
    pub(crate) fn reconfigure(&mut self, config: &Arc<ConnectionConfig>, cx: &mut Cx<'_>) {
        self.v1_established(cx, |state, cx| state.reconfigure(config, cx));
        self.established(cx, |state, cx| state.reconfigure(config, cx));
    }

    /// Takes Child SAs over from the IKE SA that this one replaces, with the addresses that the client has.
    pub(crate) fn inherit(&mut self, from: IkeId, estate: Estate, cx: &mut Cx<'_>) {
        self.established(cx, |state, cx| state.inherit(from, estate, cx));
    }

    /// Lost a collision: its initiator, the peer, deletes it.
    pub(crate) fn await_delete(&mut self, cx: &mut Cx<'_>) {
        self.established(cx, |state, cx| state.await_delete(cx));
    }

    /// Lost against another IKE SA with the same peer that was made at the same time.
    pub(crate) fn lose_duplicate(&mut self, cx: &mut Cx<'_>) {
        cx.note(What::Duplicate);
        self.v1_established(cx, v1::Established::give_way);
        self.established(cx, |state, cx| match state.secured.role {
            // Not before the other one carries the traffic: by its timer, later within the same input.
            Role::Initiator => state.leaving_at = Some(cx.now),
            Role::Responder => state.await_delete(cx),
        });
    }

    /// The peer made a newer one; in IKEv1 either side may have, as `role` says.
    pub(crate) fn close_superseded(&mut self, role: Role, cx: &mut Cx<'_>) {
        if let State::V1(_) = self.state {
            return self.v1_established(cx, |state, cx| state.give_way_to(role, cx));
        }
        cx.note(What::Duplicate);
        self.established(cx, |state, cx| state.close_after_linger(cx));
    }

    /// Starts sending on this SA's Child SA of a policy.
    pub(crate) fn activate_policy(&mut self, policy: usize, cx: &mut Cx<'_>) {
        self.v1_established(cx, |state, cx| state.activate_policy(policy, cx));
        self.established(cx, |state, cx| state.activate_policy(policy, cx));
    }

    /// Deletes it at the peer, if the peer knows it, and forgets it.
    pub(crate) fn close(&mut self, reason: DownReason, cx: &mut Cx<'_>) {
        match &self.state {
            State::Established(_) => self.established(cx, |state, cx| state.close(reason, cx)),
            State::Closing(_) | State::Gone => {}
            State::V1(_) => self.step(cx, |state, cx| match state {
                State::V1(phase) => State::V1(phase.close(reason, cx)),
                other => other,
            }),
            _ => self.abandon(cx),
        }
    }

    /// Forgets it without a word: the peer has not authenticated us yet.
    pub(crate) fn abandon(&mut self, cx: &mut Cx<'_>) {
        self.step(cx, |state, cx| {
            match state {
                State::AuthSigning(state) => state.unsent.release(cx),
                State::AuthSent(state) => state.release(cx),
                State::AuthVerifying(state) => state.sent.release(cx),
                _ => {}
            }
            cx.ended(DownReason::DeletedByUs, None, false);
            State::Gone
        });
    }

    /// Forgets an established one without a word: the peer has forgotten it, too.
    pub(crate) fn end(&mut self, reason: DownReason, cx: &mut Cx<'_>) {
        self.step(cx, |state, cx| match state {
            State::Established(state) => state.gone(reason, None, cx),
            State::V1(phase) => State::V1(phase.end(reason, cx)),
            other => other,
        });
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        let of_state = match &self.state {
            State::InitSent(state) => Some(state.deadline()),
            State::Resuming(state) => Some(state.deadline()),
            State::Intermediate(state) => state.deadline(),
            State::AuthSent(state) => state.secured.window.deadline(),
            State::AuthAwaited(state) => Some(state.expires_at),
            State::AuthLogin(state) => Some(state.expires_at),
            State::Established(state) => state.deadline(),
            State::Closing(state) => Some(state.deadline()),
            State::V1(phase) => phase.deadline(),
            _ => None,
        };
        of_state.into_iter().chain(self.awaited.map(|awaited| awaited.until)).min()
    }

    pub(crate) fn connection(&self) -> Option<ConnectionId> {
        match &self.state {
            State::InitPreparing(state) => Some(state.config.id),
            State::InitSent(state) => Some(state.config.id),
            State::Resuming(state) => Some(state.config.id),
            State::InitSharing(state) => Some(state.sent.config.id),
            State::Intermediate(state) => Some(state.config.id),
            State::AuthSigning(state) => Some(state.unsent.config.id),
            State::AuthSent(state) => Some(state.config.id),
            State::AuthVerifying(state) => Some(state.sent.config.id),
            State::Established(state) => Some(state.config.id),
            State::Closing(state) => state.connection,
            State::V1(phase) => phase.connection(),
            State::InitAnswering(_)
            | State::AuthAwaited(_)
            | State::AuthProving(_)
            | State::AuthLogin(_)
            | State::Gone => None,
        }
    }

    pub(crate) const fn is_half_open(&self) -> bool {
        match &self.state {
            State::V1(phase) => phase.is_half_open(),
            State::InitAnswering(_) | State::AuthAwaited(_) | State::AuthProving(_) | State::AuthLogin(_) => {
                true
            }
            _ => false,
        }
    }

    pub(crate) const fn version(&self) -> Version {
        if matches!(self.state, State::V1(_)) { Version::V1 } else { Version::V2 }
    }

    pub(crate) const fn is_gone(&self) -> bool {
        match &self.state {
            State::V1(phase) => phase.is_gone(),
            state => matches!(state, State::Gone),
        }
    }

    pub(crate) const fn is_closing(&self) -> bool {
        match &self.state {
            State::V1(phase) => phase.is_closing(),
            state => matches!(state, State::Closing(_) | State::Gone),
        }
    }

    /// Whether it is over and the peer knows, as far as it will.
    pub(crate) fn is_told(&self) -> bool {
        match &self.state {
            State::Closing(closing) => !closing.is_deleting(),
            State::V1(phase) => phase.is_closing(),
            _ => false,
        }
    }

    /// Whether another IKE SA of the connection is to carry the traffic.
    pub(crate) fn is_leaving(&self) -> bool {
        match &self.state {
            State::Established(state) => state.is_leaving(),
            State::V1(phase) => phase.view().is_none_or(|view| view.is_leaving),
            _ => true,
        }
    }

    /// Whether its peer proved who it is, and it is not over.
    pub(crate) fn is_up(&self) -> bool {
        self.established_at().is_some() && !self.is_closing()
    }

    pub(crate) const fn is_before_auth(&self) -> bool {
        match &self.state {
            State::V1(phase) => phase.is_before_auth(),
            State::InitPreparing(_)
            | State::InitSent(_)
            | State::Resuming(_)
            | State::InitSharing(_)
            | State::Intermediate(_)
            | State::AuthSigning(_) => true,
            _ => false,
        }
    }

    pub(crate) fn secured(&self) -> Option<&Secured> {
        match &self.state {
            State::Intermediate(state) => Some(&state.secured),
            State::AuthSigning(state) => Some(&state.unsent.secured),
            State::AuthSent(state) => Some(&state.secured),
            State::AuthVerifying(state) => Some(&state.sent.secured),
            State::AuthAwaited(state) => Some(&state.secured),
            State::AuthProving(state) => Some(&state.awaited.secured),
            State::AuthLogin(state) => Some(&state.awaited.secured),
            State::Established(state) => Some(&state.secured),
            State::Closing(state) => Some(&state.secured),
            _ => None,
        }
    }
}
