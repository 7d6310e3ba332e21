//! What one SA's acting means for the rest of the endpoint: new SAs, ended ones, two with the same peer. SAs leave [`Effect`]s, the endpoint carries
//! them out here after each input, so that an SA never reaches into another one.
//!
//! Two IKE SAs of one connection (RFC 7296, 2.4 and 2.8): if both began within [`SIMULTANEOUS`], both peers initiated at once; both know the SPIs of both SAs, so
//! both keep the one with the higher pair of SPIs, and the initiator of the other one deletes it. Otherwise the newer one is what the peer wants now: after
//! INITIAL_CONTACT the older one is forgotten, without it it is deleted in good order.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::config::Version;
use crate::connection::Evidence;
use crate::endpoint::{Endpoint, Timer};
use crate::environment::{Environment, Instant};
use crate::error::IkeError;
use crate::established::Estate;
use crate::event::{ChildId, ConnectionId, DownReason, Event, IkeId, Output, Path, RemoveReason, Spi};
use crate::notice::What;
use crate::place::{Next, Place};
use crate::sa::IkeSa;
use crate::status::Failure;
use crate::ticket::Held;
use crate::v1::{self, Pair};

/// Two IKE SAs whose establishment lies closer together were begun by both peers at once.
const SIMULTANEOUS: Duration = Duration::from_secs(10);

/// What an SA asks of the endpoint.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Rekeying made a new IKE SA.
    Adopt(Box<IkeSa>, ConnectionId),
    /// This IKE SA authenticated its peer.
    Established { ike: IkeId, connection: ConnectionId, initial_contact: bool },
    /// This IKE SA is over.
    Ended {
        ike: IkeId,
        connection: Option<ConnectionId>,
        reason: DownReason,
        error: Option<IkeError>,
        proven: bool,
    },
    /// A Child SA belongs to this IKE SA from now on.
    Owned(ChildId, Spi, IkeId),
    /// A Child SA is no longer negotiated about; it is removed after a while.
    Linger(ChildId, Spi, RemoveReason),
    /// A Child SA is gone at once.
    Dropped(ChildId, Spi),
    /// The winner of a collision takes the Child SAs.
    Inherit { heir: IkeId, from: IkeId, estate: Estate },
    /// The IKE SA that lost a collision; its initiator deletes it, we only wait for that.
    Lost(IkeId),
    /// A Child SA failed while its IKE SA lives.
    ChildFailed(ConnectionId, IkeError),
    /// Somebody who may be this connection's peer did not come up, or says why it will not: for the operator, as long as the connection is not up.
    Told(ConnectionId, IkeError, Evidence),
    /// The policies of this connection that lost their Child SA with its IKE SA get that of another one.
    Reactivate(ConnectionId),
    /// Pairs of an ISAKMP SA (IKEv1) that another one has taken over from.
    GivePairs { heir: IkeId, pairs: Vec<Pair> },
    /// An ISAKMP SA (IKEv1) is due for replacement by another main mode.
    Renew { connection: ConnectionId, ike: IkeId, path: Path },
    /// An IKE SA of this connection is due for replacement: its peer is looked for at its first place again.
    ReturnToFirst(ConnectionId),
    /// This connection's peer assigned these addresses to us.
    Assigned(ConnectionId, Vec<IpAddr>),
    /// This connection's peer gave a ticket, or did not take the one that it was shown.
    Ticket(ConnectionId, Box<Held>),
    /// An IKE SA of this connection talks to its peer at this address from now on.
    Moved(ConnectionId, IpAddr),
    /// This connection's peer at this address says that it is to be looked for elsewhere.
    Redirected(ConnectionId, Place, IpAddr),
}

impl Endpoint {
    pub(crate) fn apply_effects(&mut self, now: Instant, env: &mut dyn Environment) {
        while let Some(effect) = self.shared.effects.pop_front() {
            match effect {
                Effect::Adopt(sa, connection) => {
                    // One that lost a collision is only there to be deleted: it is nobody's hope, and nobody would detach it.
                    let is_hope = !sa.is_closing();
                    if let Some(connection) = self.connections.get_mut(&connection).filter(|_| is_hope) {
                        connection.ikes.push(sa.id);
                    }
                    self.register(sa);
                }
                Effect::Established { ike, connection, initial_contact } => {
                    self.on_established(ike, connection, initial_contact, now, env);
                }
                Effect::Ended { ike, connection, reason, error, proven } => {
                    self.on_ended(ike, connection, (reason, error, proven), now, env);
                }
                Effect::Owned(child, spi, ike) => {
                    self.owners.by_child.insert(child, ike);
                    self.owners.by_spi.insert(spi, child);
                }
                Effect::Linger(child, spi, reason) => {
                    self.disown(child, spi);
                    self.lingering.insert(child, (spi, reason));
                    let linger = self.settings.linger;
                    self.set_timer(Timer::Linger(child), Some(now + linger));
                }
                Effect::Dropped(child, spi) => self.disown(child, spi),
                Effect::Inherit { heir, from, estate } => self.on_inherit(heir, from, estate, now, env),
                Effect::Lost(ike) => self.with_sa(ike, now, env, IkeSa::await_delete),
                Effect::ChildFailed(connection, error) => {
                    if let Some(connection) = self.connections.get_mut(&connection) {
                        connection.failed(error, now, Evidence::Proven);
                    }
                }
                Effect::Told(connection, error, evidence) => self.on_told(connection, error, evidence, now),
                Effect::Reactivate(connection) => self.reactivate(connection, now, env),
                Effect::GivePairs { heir, pairs } => self.give_pairs(heir, pairs, now, env),
                Effect::Renew { connection, ike, path } => {
                    self.renew_v1(connection, ike, path, now, env);
                }
                Effect::ReturnToFirst(connection) => self.return_to_first(connection, now, env),
                Effect::Redirected(connection, to, from) => {
                    self.on_redirected(connection, to, from, now, env);
                }
                Effect::Ticket(connection, held) => {
                    if let Some(connection) = self.connections.get_mut(&connection)
                        && connection.epoch == held.epoch
                    {
                        connection.ticket = Some(held);
                    }
                }
                Effect::Assigned(connection, addresses) => {
                    if let Some(connection) = self.connections.get_mut(&connection) {
                        connection.assigned = addresses;
                    }
                }
                Effect::Moved(connection, remote) => {
                    if let Some(connection) = self.connections.get_mut(&connection) {
                        connection.search.moved(remote, &connection.config.places);
                    }
                }
            }
        }
    }

    fn on_inherit(
        &mut self,
        heir: IkeId,
        from: IkeId,
        estate: Estate,
        now: Instant,
        env: &mut dyn Environment,
    ) {
        if self.sas.get(&heir).is_some_and(|sa| sa.established_at().is_some()) {
            return self.with_sa(heir, now, env, |sa, cx| sa.inherit(from, estate, cx));
        }
        // The heir was closed within the same input, or died before: nobody is left to delete them.
        for leased in estate.lease {
            self.shared.leases.give_back(leased);
        }
        let mut cx = self.cx(now, env);
        for child in estate.children {
            child.let_go(RemoveReason::IkeSaGone, &mut cx);
        }
    }

    /// What strangers say is no failure of a connection that is up; of one with many peers, whoever got so far as to be refused by name is one of them.
    fn on_told(&mut self, id: ConnectionId, error: IkeError, evidence: Evidence, now: Instant) {
        let Some(entry) = self.connections.get_mut(&id) else { return };
        let is_up = |ike: &IkeId| self.sas.get(ike).is_some_and(|sa| sa.is_up());
        let counts = entry.config.clients.is_some() && evidence != Evidence::Hint;
        if counts || !entry.ikes.iter().any(is_up) {
            entry.failed(error, now, evidence);
        }
    }

    fn disown(&mut self, child: ChildId, spi: Spi) {
        self.owners.by_child.remove(&child);
        self.owners.by_spi.remove(&spi);
    }

    fn on_established(
        &mut self,
        ike: IkeId,
        connection: ConnectionId,
        initial_contact: bool,
        now: Instant,
        env: &mut dyn Environment,
    ) {
        let Some(entry) = self.connections.get_mut(&connection) else { return };
        entry.attempts = 0;
        entry.failure = None;
        entry.retry_at = None;
        if let Some(sa) = self.sas.get(&ike) {
            let config = Arc::clone(&entry.config);
            entry.search.found(ike, sa.remote(&config), sa.moves(), &config.places);
        }
        if !entry.ikes.contains(&ike) {
            entry.ikes.push(ike);
        }
        self.set_timer(Timer::Connection(connection), None);
        let others: Vec<IkeId> = self.others(connection, ike);
        for other in others {
            self.settle_duplicate(ike, other, initial_contact, now, env);
        }
        self.reactivate(connection, now, env);
        // Only now it is clear which pairs an ISAKMP SA has taken over.
        self.with_sa(ike, now, env, |sa, cx| sa.v1_established(cx, v1::Established::want_missing_of_new));
    }

    /// The other IKE SAs with the same peer: of a connection that many clients share, those of the same client.
    fn others(&self, connection: ConnectionId, ike: IkeId) -> Vec<IkeId> {
        let Some(entry) = self.connections.get(&connection) else { return Vec::new() };
        let peer = |ike: &IkeId| self.sas.get(ike).and_then(|sa| sa.peer());
        let own = peer(&ike);
        let is_same = |other: &IkeId| entry.config.clients.is_none() || peer(other) == own;
        entry.ikes.iter().copied().filter(|other| *other != ike && is_same(other)).collect()
    }

    /// `new` was just established, `other` is another IKE SA of the same connection.
    fn settle_duplicate(
        &mut self,
        new: IkeId,
        other: IkeId,
        initial_contact: bool,
        now: Instant,
        env: &mut dyn Environment,
    ) {
        let (Some(fresh), Some(old)) = (self.sas.get(&new), self.sas.get(&other)) else { return };
        if old.is_closing() {
            return;
        }
        let Some(since) = old.established_at() else {
            // Our own attempt, overtaken by the peer's; once AUTH is out the peer may be establishing it, and the rule below decides later.
            if old.is_before_auth() {
                self.with_sa(other, now, env, IkeSa::abandon);
            }
            return;
        };
        // After a crash within that time both are the peer's; then they are not simultaneous.
        // In IKEv1 it has given its pairs away: taking others' now, it would hand them on for ever.
        let is_over = old.version() == Version::V1 && old.is_leaving();
        let is_simultaneous =
            !is_over && now.saturating_since(since) < SIMULTANEOUS && fresh.role() != old.role();
        let role = fresh.role();
        if is_simultaneous && fresh.knows_our_rule() {
            let (loser, winner) = if fresh.spis() < old.spis() { (new, other) } else { (other, new) };
            self.move_pairs(loser, winner, now, env);
            self.with_sa(loser, now, env, IkeSa::lose_duplicate);
        } else if initial_contact && !is_simultaneous {
            self.with_sa(other, now, env, |sa, cx| {
                cx.note(What::InitialContact);
                sa.end(DownReason::Superseded, cx);
            });
        } else if !is_over {
            self.move_pairs(other, new, now, env);
            self.with_sa(other, now, env, |sa, cx| sa.close_superseded(role, cx));
        }
    }

    /// Lets every policy send on a Child SA of an IKE SA that stays.
    fn reactivate(&mut self, connection: ConnectionId, now: Instant, env: &mut dyn Environment) {
        let Some(entry) = self.connections.get(&connection) else { return };
        let ikes = entry.ikes.clone();
        for policy in 0..entry.config.children.len() {
            let staying = ikes.iter().filter(|ike| self.sas.get(ike).is_some_and(|sa| !sa.is_leaving()));
            let Some(best) = staying.filter(|ike| self.sas[ike].serves(policy)).max().copied() else {
                continue;
            };
            self.with_sa(best, now, env, |sa, cx| sa.activate_policy(policy, cx));
        }
        // One that took over without any Child SA has only what it was handed to do, and nothing else may ever wake it.
        for ike in ikes {
            if self.sas.get(&ike).is_some_and(|sa| sa.has_tasks()) {
                self.with_sa(ike, now, env, |sa, cx| sa.established(cx, |_, _| {}));
            }
        }
    }

    fn on_ended(
        &mut self,
        ike: IkeId,
        connection: Option<ConnectionId>,
        (reason, error, proven): (DownReason, Option<IkeError>, bool),
        now: Instant,
        env: &mut dyn Environment,
    ) {
        let Some(id) = connection else { return };
        let settings = self.settings.clone();
        let Some(entry) = self.connections.get_mut(&id) else {
            if proven {
                self.shared.out.push_back(Output::Event(Event::IkeDown { connection: id, ike, reason }));
            }
            return;
        };
        entry.ikes.retain(|other| *other != ike);
        // What ended for another reason than silence, or goes on elsewhere, is not to be taken up again.
        if proven && !matches!(reason, DownReason::PeerDead | DownReason::Superseded | DownReason::Rekeyed) {
            entry.ticket = None;
        }
        let alone = entry.ikes.is_empty();
        let unanswered = error.clone().filter(|error| matches!(error, IkeError::NoAnswer { .. }));
        let failure = unanswered.map(|error| Failure { error, at: now });
        let next = match (failure, alone) {
            (Some(failure), true) => entry.search.unanswered(ike, &entry.config, failure),
            (Some(failure), false) => {
                entry.search.note_unanswered_call(ike, failure);
                Next::Later
            }
            (None, _) => {
                entry.search.forget_call(ike);
                if alone && !proven {
                    entry.search.begin_again();
                }
                let at_once = reason == DownReason::PeerRestarted && entry.may_renew_at_once(now);
                if at_once { Next::AtOnce } else { Next::Later }
            }
        };
        let (mut retry_at, mut timer) = (None, None);
        if alone && entry.wanted && !self.stopping {
            entry.plan_call(next, &settings, now, env);
            retry_at = entry.next_call();
            timer = entry.retry_at;
        }
        // A call elsewhere that comes to nothing is no failure of a connection that is up.
        if let Some(error) = error.as_ref().filter(|_| alone || proven) {
            entry.failed(error.clone(), now, if proven { Evidence::Proven } else { Evidence::Shown });
        }
        if timer.is_some() {
            self.set_timer(Timer::Connection(id), timer);
        }
        if proven {
            self.shared.out.push_back(Output::Event(Event::IkeDown { connection: id, ike, reason }));
            if !alone {
                self.shared.effects.push_back(Effect::Reactivate(id));
            }
        }
        if let Some(error) = error {
            self.shared.out.push_back(Output::Event(Event::Failed { connection: id, error, retry_at }));
        }
    }
}
