//! What the IKE core says, carried out: SAs to the workers, jobs to the pool, news to the log.

use std::net::{IpAddr, Ipv4Addr};

use crossgate_config::Connection;
use crossgate_dataplane::forwarding::{Forwarding, NextHop, TunnelId, VrfId};
use crossgate_dataplane::header::Protocol;
use crossgate_dataplane::selector::{AddressRange, Ports, Selectors, TrafficSelector};
use crossgate_ike::assigned::Assigned;
use crossgate_ike::environment::Instant;
use crossgate_ike::error::{IkeError, Stage};
use crossgate_ike::event::{
    ChildId, ChildSa, ConnectionId, Event, IkeId, IkeUp, Path, RemoveReason, Role, Spi as IkeSpi,
};
use crossgate_ike::notice::{Level, Notice, What};
use crossgate_ike::selector::{self, TrafficSelector as IkeSelector};

use crossgate_ike::Command;

use tracing::field;

use super::Gateway;
use crate::reconcile::forwarding::configured_selectors;
use crate::sad::{DataPolicy, spi};

/// Longest packet towards a peer whose route is not known yet, in bytes.
const PATH_MTU_UNKNOWN: u16 = 1500;
/// Replay window where the configuration is gone, in packets.
const REPLAY_WINDOW_DEFAULT: u16 = 1024;

impl Gateway {
    pub(super) fn on_ike_event(&mut self, event: Event) {
        match event {
            Event::Compute(job) => self.pool.submit(job),
            Event::Resolve { connection, ticket, name } => self.resolver.ask(connection, ticket, name),
            Event::AskRadius { ike, serial, question } => {
                self.radius.ask(ike, serial, *question, self.clock.now().since_epoch());
            }
            Event::InstallChild(child) => self.install_child(&child),
            Event::ActivateOutbound(child) => self.sad.activate(child, &mut self.workers),
            Event::RetireChild(child) => self.sad.retire(child, &mut self.workers),
            Event::RemoveChild { child, inbound_spi, reason } => {
                self.remove_child(child, inbound_spi, reason)
            }
            Event::MoveChild { child, path } => self.relocate(child, path),
            Event::IkeUp(up) => self.log_up(&up),
            Event::Assigned { connection, ike, assigned } => self.log_assigned(connection, ike, &assigned),
            Event::IkeDown { connection, ike, reason } => {
                let connection = self.name_of(connection);
                tracing::info!(connection, ike = ike.0, ?reason, "the IKE SA is gone");
            }
            Event::ChildFailed { connection, error, retry_at, .. }
            | Event::Failed { connection, error, retry_at } => self.log_failure(connection, &error, retry_at),
            Event::Notice(notice) => self.log_notice(&notice),
        }
    }

    fn install_child(&mut self, child: &ChildSa) {
        self.hide_behind_assigned(child);
        let selectors = selectors(child);
        let replaced = child.replaces.and_then(|old| self.sad.get(old)).map(|pair| pair.tunnel);
        let tunnel = self.tunnels.enter(child.connection, replaced, selectors);
        self.refresh_tunnel(child.connection, tunnel);
        let policy = self.data_policy(child);
        let connection = self.name_of(child.connection).to_owned();
        match self.sad.install(child, tunnel, self.kernel, policy, &mut self.workers) {
            Ok(_) => tracing::info!(
                connection,
                spi_in = %child.inbound.spi,
                spi_out = %child.outbound.spi,
                suite = %child.suite,
                esn = ?child.esn,
                encapsulation = ?child.path.encapsulation,
                rekey = child.replaces.is_some(),
                "installed a Child SA"
            ),
            Err(error) => {
                tracing::error!(connection, %error, "a negotiated Child SA cannot be installed");
                self.tunnels.leave(child.connection, tunnel);
                self.refresh_forwarding();
                // The core gives it up and says so with RemoveChild, which frees its SPI.
                self.command(Command::HardLifetime(child.inbound.spi));
            }
        }
    }

    /// Makes room for the sessions of a network that goes out with the address that the peer assigned, which is all that the Child SA has on our side.
    fn hide_behind_assigned(&mut self, child: &ChildSa) {
        let end = child.connection;
        let Some(configured) = self.configured(end).filter(|one| one.request_addresses) else { return };
        let in_use = self.tunnels.policy(end, &configured_selectors(configured));
        let is_used = |address: Ipv4Addr| {
            let mut locals = in_use.iter().flat_map(|(_, selectors)| &selectors.local);
            locals.any(|local| local.addresses == AddressRange::V4(address..=address))
        };
        for selector in &child.local_selectors {
            if let IpAddr::V4(address) = selector.addresses().first() {
                self.nat_pools.assign(end, address, is_used);
            }
        }
    }

    /// Sees to a new snapshot if a tunnel is not in the present one as it should be: most Child SAs are negotiated with the configured selectors and change nothing. One
    /// that comes or goes waits for the end of the turn; one whose number meant something else to the workers does not, for an SA follows.
    fn refresh_tunnel(&mut self, connection: ConnectionId, tunnel: TunnelId) {
        let Some(configured) = self.configured(connection) else { return };
        let wanted = self.tunnels.policy(connection, &configured_selectors(configured));
        let wanted = wanted.iter().find(|(id, _)| *id == tunnel).map(|(_, selectors)| selectors);
        match (wanted, self.forwarding.tunnel(tunnel).map(|found| &found.selectors)) {
            (wanted, present) if wanted == present => {}
            (Some(_), Some(_)) => self.refresh_forwarding(),
            _ => self.is_stale = true,
        }
    }

    /// A pair goes on under other outer addresses.
    pub(super) fn relocate(&mut self, child: ChildId, path: Path) {
        let Some(connection) = self.sad.get(child).map(|pair| pair.connection) else { return };
        let mtu_bytes = self.first_mtu_bytes(connection, &path);
        self.sad.relocate(child, path, mtu_bytes, &mut self.workers);
    }

    fn data_policy(&self, child: &ChildSa) -> DataPolicy {
        let window = self
            .configured(child.connection)
            .map_or(REPLAY_WINDOW_DEFAULT, |found| found.policy.replay_window_packets);
        let path_mtu_bytes = self.first_mtu_bytes(child.connection, &child.path);
        DataPolicy { replay_window_packets: window.into(), path_mtu_bytes }
    }

    fn configured(&self, connection: ConnectionId) -> Option<&Connection> {
        self.identifiers.connection_name(connection).and_then(|name| self.config.connections().get(name))
    }

    /// The longest outer packet that may be sent, in bytes, as long as no router on the way has said less.
    fn first_mtu_bytes(&self, connection: ConnectionId, path: &Path) -> u16 {
        let interface = interface_mtu_bytes(&self.forwarding, path.remote.ip());
        let configured = self.configured(connection).and_then(|connection| connection.mtu_bytes);
        configured.map_or(interface, |bytes| bytes.min(interface))
    }

    /// Ports, addresses, routes or `mtu_bytes` of connections may have changed: what fits into the tunnels follows.
    pub(crate) fn refresh_first_mtus(&mut self) {
        let mtus: Vec<_> = self
            .sad
            .iter()
            .map(|(child, pair)| (child, self.first_mtu_bytes(pair.connection, &pair.path)))
            .collect();
        self.sad.set_first_mtus(mtus);
    }

    fn remove_child(&mut self, child: ChildId, inbound_spi: IkeSpi, reason: RemoveReason) {
        let Some((pair, ticket)) = self.sad.remove(child, &mut self.workers) else {
            // It could not be installed, or went with its connection.
            if let Ok(spi) = spi(inbound_spi) {
                self.surroundings.release_after(self.workers.latest(), spi);
            }
            return;
        };
        let carried = self.carried.entry(pair.connection).or_default();
        carried.in_packets += pair.inbound.packets();
        carried.in_bytes += pair.inbound.bytes();
        carried.out_packets += pair.outbound.packets();
        carried.out_bytes += pair.outbound.bytes();
        self.surroundings.release_after(ticket, pair.inbound_spi);
        self.tunnels.leave(pair.connection, pair.tunnel);
        self.refresh_tunnel(pair.connection, pair.tunnel);
        let connection = self.name_of(pair.connection);
        tracing::info!(connection, spi_in = %inbound_spi, ?reason, "removed a Child SA");
    }

    /// Deletes a connection's SAs at its peer and takes every trace of them out of the workers, whether the peer answers or not: the numbers
    /// of its tunnels may be given to another connection at once. What they have carried is kept until [`Gateway::forget`].
    pub(crate) fn remove_connection(&mut self, connection: ConnectionId) {
        self.command(Command::Remove(connection));
        self.gather_leases();
        let left: Vec<_> = self
            .sad
            .iter()
            .filter(|(_, pair)| pair.connection == connection)
            .map(|(child, pair)| (child, IkeSpi(pair.inbound_spi.get())))
            .collect();
        for (child, spi) in left {
            self.remove_child(child, spi, RemoveReason::DeletedByUs);
        }
    }

    /// Forgets what a removed connection has carried, which is put down as used by then.
    pub(crate) fn forget(&mut self, connection: ConnectionId) {
        self.carried.remove(&connection);
    }

    fn log_up(&self, up: &IkeUp) {
        tracing::info!(
            connection = self.name_of(up.connection),
            ike = up.ike.0,
            peer = %up.peer,
            remote = %up.path.remote,
            version = %up.version,
            suite = %up.suite,
            additional = up.additional.map(field::display),
            ppk = up.ppk,
            role = if up.role == Role::Initiator { "initiator" } else { "responder" },
            rekey = up.replaces.is_some(),
            "the IKE SA is established"
        );
    }

    fn log_assigned(&self, connection: ConnectionId, ike: IkeId, assigned: &Assigned) {
        let Assigned { addresses, dns, subnets } = assigned;
        let connection = self.name_of(connection);
        tracing::info!(
            connection,
            ike = ike.0,
            ?addresses,
            ?dns,
            ?subnets,
            "the peer assigned this gateway its address inside the tunnel"
        );
    }

    fn log_failure(&self, connection: ConnectionId, error: &IkeError, retry_at: Option<Instant>) {
        let retry_in_s = retry_at.map(|at| at.saturating_since(self.clock.now()).as_secs());
        let connection = self.name_of(connection);
        tracing::warn!(connection, %error, remedy = error.remedy(), retry_in_s, "the connection failed");
    }

    /// Logs a notice that says why something failed of which no event tells: often of a peer that has not said who it is.
    fn log_reason(&self, notice: &Notice, error: &IkeError) {
        let connection = notice.connection.map(|id| self.name_of(id));
        let remote = notice.remote.map(field::display);
        let (text, remedy) = (notice.what.text(), error.remedy());
        match notice.what.level() {
            Level::Warn => tracing::warn!(connection, remote, %error, remedy, "{text}"),
            Level::Info => tracing::info!(connection, remote, %error, remedy, "{text}"),
            Level::Debug => tracing::debug!(connection, remote, %error, remedy, "{text}"),
        }
    }

    fn log_notice(&self, notice: &Notice) {
        // These come as events of their own, with all their facts.
        if matches!(
            notice.what,
            What::Established | What::AddressAssigned | What::ChildUp | What::ChildGone | What::IkeGone
        ) {
            return;
        }
        if let Some(error) = &notice.error {
            return self.log_reason(notice, error);
        }
        // Where an event follows with the reason, the exchange by itself is of no use.
        let has_reason = notice.what == What::ExchangeFailed
            && notice.connection.is_some()
            && notice.stage != Some(Stage::RekeyIke);
        let level = if has_reason { Level::Debug } else { notice.what.level() };
        let text = notice.what.text();
        let connection = notice.connection.map(|id| self.name_of(id));
        let (ike, remote, stage) = (
            notice.ike.map(|ike| ike.0),
            notice.remote.map(field::display),
            notice.stage.map(field::display),
        );
        match level {
            Level::Debug => tracing::debug!(connection, ike, remote, stage, "{text}"),
            Level::Info => tracing::info!(connection, ike, remote, stage, "{text}"),
            Level::Warn => tracing::warn!(connection, ike, remote, stage, "{text}"),
        }
    }
}

/// Negotiated selectors as the data plane matches them.
fn selectors(child: &ChildSa) -> Selectors {
    let side = |selectors: &[IkeSelector]| selectors.iter().map(translate).collect();
    Selectors { local: side(&child.local_selectors), remote: side(&child.remote_selectors) }
}

fn translate(selector: &IkeSelector) -> TrafficSelector {
    let addresses = match selector.addresses() {
        selector::AddressRange::V4 { first, last } => AddressRange::V4(first..=last),
        selector::AddressRange::V6 { first, last } => AddressRange::V6(first..=last),
    };
    let ports = match selector.ports() {
        selector::PortRange::ANY => Ports::Any,
        selector::PortRange::Span { first, last } => Ports::Range(first..=last),
        selector::PortRange::Opaque => Ports::Opaque,
    };
    let protocol = (selector.protocol() != 0).then(|| Protocol(selector.protocol()));
    TrafficSelector { addresses, protocol, ports }
}

/// What the interface towards a peer takes, in bytes.
fn interface_mtu_bytes(forwarding: &Forwarding, peer: IpAddr) -> u16 {
    let interface = match forwarding.route(VrfId::UNDERLAY, peer) {
        NextHop::Connected(interface) | NextHop::Via(interface, _) => forwarding.interface(interface),
        _ => None,
    };
    interface.map_or(PATH_MTU_UNKNOWN, |found| found.mtu_bytes)
}
