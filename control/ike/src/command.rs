//! What the operator and the data plane want of the endpoint (RFC 7296 leaves it to us): start, stop, reset, replace, change.

use std::sync::Arc;

use crate::config::{ConfigError, ConnectionConfig};
use crate::connection::Connection;
use crate::endpoint::{Endpoint, Timer};
use crate::environment::{Environment, Instant};
use crate::event::{ChildId, Command, ConnectionId, DownReason, IkeId, Spi};
use crate::place::Search;
use crate::sa::{Cx, IkeSa};

impl Endpoint {
    pub(crate) fn on_command(
        &mut self,
        command: Command,
        now: Instant,
        env: &mut dyn Environment,
    ) -> Result<(), ConfigError> {
        match command {
            Command::Configure(config) => self.configure(*config, now, env)?,
            Command::Remove(id) => self.remove(id, now, env),
            Command::Initiate(id) => self.initiate(id, now, env),
            Command::Trap { connection: id, source, destination } => {
                let Some(connection) = self.connections.get_mut(&id) else { return Ok(()) };
                connection.trigger = Some((source, destination));
                // A peer that did not answer, or refused, is not called for every packet.
                if !connection.config.on_traffic || connection.retry_at.is_none() {
                    self.initiate(id, now, env);
                }
            }
            Command::Idle(id) => self.each_sa(id, now, env, |sa, cx| sa.close(DownReason::Idle, cx)),
            Command::Reset(id) => self.reset(id, now, env),
            Command::RekeyChild(child) => self.with_child(child, now, env, IkeSa::rekey_child),
            Command::RekeyIke(id) => self.each_sa(id, now, env, IkeSa::rekey_ike),
            Command::SoftLifetime(spi) => self.with_spi(spi, now, env, IkeSa::rekey_child),
            Command::HardLifetime(spi) => self.with_spi(spi, now, env, IkeSa::expire_child),
            Command::InboundActivity(spi) | Command::FirstInbound(spi) => {
                self.with_spi(spi, now, env, IkeSa::inbound_activity);
            }
            Command::InboundFrom(spi, remote) => {
                self.with_spi(spi, now, env, |sa, _, cx| sa.inbound_from(remote, cx));
            }
            Command::UnknownSa { local, remote, spi } => {
                self.tell_of_unknown_sa((local, remote), spi, now, env);
            }
            Command::Shutdown => self.shutdown(now, env),
        }
        Ok(())
    }

    fn configure(
        &mut self,
        config: ConnectionConfig,
        now: Instant,
        env: &mut dyn Environment,
    ) -> Result<(), ConfigError> {
        config.check()?;
        let id = config.id;
        if let Some(old) = self.connections.get(&id) {
            self.known.remove(&old.config);
        }
        self.known.add(&config);
        let epoch = self.shared.next_id();
        let Some(connection) = self.connections.get_mut(&id) else {
            let mut connection = Connection::new(config);
            connection.epoch = epoch;
            let wanted = connection.wanted;
            self.connections.insert(id, connection);
            if wanted {
                self.initiate(id, now, env);
            }
            return Ok(());
        };
        let is_there = connection.search.change(&connection.config.places, &config.places);
        let same = is_there && connection.config.same_ike(&config);
        // What traffic has begun is under way still.
        connection.wanted = config.begins_by_itself() || connection.wanted && config.mode.initiates();
        (connection.epoch, connection.ticket) = (epoch, None);
        connection.config = Arc::new(config);
        let config = Arc::clone(&connection.config);
        if same {
            self.each_sa(id, now, env, |sa, cx| sa.reconfigure(&config, cx));
            if !self.is_up_or_coming(id) && config.begins_by_itself() {
                self.initiate(id, now, env);
            }
        } else {
            self.reset(id, now, env);
        }
        Ok(())
    }

    fn remove(&mut self, id: ConnectionId, now: Instant, env: &mut dyn Environment) {
        self.close_all(id, now, env);
        if let Some(removed) = self.connections.remove(&id) {
            self.known.remove(&removed.config);
        }
        self.shared.leases.forget(id);
        self.set_timer(Timer::Connection(id), None);
    }

    pub(crate) fn is_up_or_coming(&self, id: ConnectionId) -> bool {
        self.connections
            .get(&id)
            .is_some_and(|c| c.ikes.iter().any(|ike| self.sas.get(ike).is_some_and(|sa| !sa.is_closing())))
    }

    fn initiate(&mut self, id: ConnectionId, now: Instant, env: &mut dyn Environment) {
        if self.stopping || self.is_up_or_coming(id) {
            return;
        }
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.wanted = true;
        if connection.search.is_resolving() {
            return;
        }
        connection.retry_at = None;
        self.set_timer(Timer::Connection(id), None);
        self.call(id, now, env);
    }

    /// The wait before another attempt is over, or the one for a name.
    pub(crate) fn on_retry(&mut self, id: ConnectionId, now: Instant, env: &mut dyn Environment) {
        match self.connections.get(&id).and_then(|connection| connection.search.deadline()) {
            Some(until) if until <= now => return self.give_up_name(id, now, env),
            Some(until) => return self.set_timer(Timer::Connection(id), Some(until)),
            None => {}
        }
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.retry_at = None;
        if connection.wanted {
            self.initiate(id, now, env);
        }
    }

    fn reset(&mut self, id: ConnectionId, now: Instant, env: &mut dyn Environment) {
        self.close_all(id, now, env);
        self.apply_effects(now, env);
        let epoch = self.shared.next_id();
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.attempts = 0;
            // Whoever resets wants the peer to prove itself anew.
            (connection.epoch, connection.ticket) = (epoch, None);
            connection.search = Search::default();
            connection.wanted = connection.config.begins_by_itself();
            connection.retry_at = None;
            let wanted = connection.wanted;
            self.set_timer(Timer::Connection(id), None);
            if wanted {
                self.initiate(id, now, env);
            }
        }
    }

    fn close_all(&mut self, id: ConnectionId, now: Instant, env: &mut dyn Environment) {
        self.each_sa(id, now, env, |sa, cx| sa.close(DownReason::DeletedByUs, cx));
    }

    fn shutdown(&mut self, now: Instant, env: &mut dyn Environment) {
        self.stopping = true;
        let ids: Vec<ConnectionId> = self.connections.keys().copied().collect();
        for id in ids {
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.wanted = false;
                connection.retry_at = None;
            }
            self.set_timer(Timer::Connection(id), None);
            self.close_all(id, now, env);
        }
        let half_open: Vec<IkeId> = self.half_open.ikes().collect();
        for id in half_open {
            self.with_sa(id, now, env, |sa, cx| sa.close(DownReason::DeletedByUs, cx));
        }
    }

    fn each_sa(
        &mut self,
        id: ConnectionId,
        now: Instant,
        env: &mut dyn Environment,
        mut act: impl FnMut(&mut IkeSa, &mut Cx<'_>),
    ) {
        let ikes = self.connections.get(&id).map(|connection| connection.ikes.clone()).unwrap_or_default();
        for ike in ikes {
            self.with_sa(ike, now, env, &mut act);
        }
    }

    fn with_child(
        &mut self,
        child: ChildId,
        now: Instant,
        env: &mut dyn Environment,
        act: impl FnOnce(&mut IkeSa, ChildId, &mut Cx<'_>),
    ) {
        if let Some(ike) = self.owners.by_child.get(&child).copied() {
            self.with_sa(ike, now, env, |sa, cx| act(sa, child, cx));
        }
    }

    fn with_spi(
        &mut self,
        spi: Spi,
        now: Instant,
        env: &mut dyn Environment,
        act: impl FnOnce(&mut IkeSa, ChildId, &mut Cx<'_>),
    ) {
        if let Some(child) = self.owners.by_spi.get(&spi).copied() {
            self.with_child(child, now, env, act);
        }
    }
}
