//! What workers tell, and what becomes of it.

use std::net::SocketAddr;

use crossgate_dataplane::message::{Command as ToWorker, Event, NeighbourEntry, Punt};
use crossgate_dataplane::pmtu::TooBig;
use crossgate_dataplane::sa::{Direction, Expiry};
use crossgate_dataplane::spi::Spi;
use crossgate_ike::config::Mode;
use crossgate_ike::event::{ConnectionId, Input, Spi as IkeSpi};
use crossgate_ike::{Command, IKE_PORT};

use super::Gateway;
use crate::reconcile::connections::mode;
use crate::workers::WorkerId;

impl Gateway {
    pub(super) fn on_worker_event(&mut self, worker: WorkerId, event: Event) {
        match event {
            Event::Punted(punt) => self.on_punt(&punt),
            Event::Expired { direction, tunnel, spi, expiry } => {
                let pair = match direction {
                    Direction::Inbound => self.sad.by_inbound(spi),
                    Direction::Outbound => self.sad.by_outbound(spi, |pair| pair.tunnel == tunnel),
                };
                let Some((child, spi)) = pair.map(|(child, pair)| (child, pair.inbound_spi)) else { return };
                self.sad.note_told(child, expiry);
                self.tell_of_limit(spi, expiry);
            }
            Event::NoSa { tunnel, source, destination } => {
                // A connection that only answers waits for its peer, whatever traffic would like.
                if let Some(connection) = self.tunnels.connection(tunnel).filter(|id| self.may_begin(*id)) {
                    tracing::debug!(connection = self.name_of(connection), %source, %destination, "traffic asks for an SA");
                    self.command(Command::Trap { connection, source, destination });
                }
            }
            Event::FirstInbound { spi, .. } => self.command(Command::FirstInbound(IkeSpi(spi.get()))),
            Event::RemoteMoved { spi, remote, .. } => {
                self.command(Command::InboundFrom(IkeSpi(spi.get()), remote));
            }
            Event::UnknownSpi { spi, local, remote } => {
                // Outside UDP there are no ports: IKE's are where the peer hears.
                let at =
                    |end: SocketAddr| if end.port() == 0 { SocketAddr::new(end.ip(), IKE_PORT) } else { end };
                let (local, remote, spi) = (at(local), at(remote), IkeSpi(spi.get()));
                self.command(Command::UnknownSa { local, remote, spi });
            }
            Event::NeighbourLearned(entry) => self.on_neighbour(worker, entry),
            Event::PathTooBig(message) => self.on_path_too_big(&message),
        }
    }

    /// Whether a connection is one that this side may begin.
    fn may_begin(&self, id: ConnectionId) -> bool {
        let name = self.identifiers.connection_name(id);
        let configured = name.and_then(|name| self.config.connections().get(name));
        configured.is_some_and(|connection| mode(&self.config, connection) != Mode::ResponderOnly)
    }

    fn on_punt(&mut self, punt: &Punt) {
        let (local, remote) = (punt.local, punt.remote);
        self.tell_core(Input::Datagram { local, remote, bytes: punt.packet.data() });
    }

    fn on_neighbour(&mut self, worker: WorkerId, entry: NeighbourEntry) {
        self.workers.at_others(worker, || ToWorker::LearnNeighbour(entry));
        // Of many routers that answer at once, one snapshot tells.
        self.is_stale |= self.circuits.hear(entry.interface, entry.address, self.clock.now());
    }

    fn tell_of_limit(&mut self, inbound: Spi, expiry: Expiry) {
        let spi = IkeSpi(inbound.get());
        self.command(match expiry {
            Expiry::Soft => Command::SoftLifetime(spi),
            Expiry::Hard | Expiry::Sequence => Command::HardLifetime(spi),
        });
    }

    /// An ICMP error about one of our ESP packets (RFC 4301, 8.2.1).
    fn on_path_too_big(&mut self, message: &TooBig) {
        if let Some((connection, mtu_bytes)) = self.sad.learn_path_mtu(message, self.clock.now()) {
            let connection = self.name_of(connection);
            tracing::info!(connection, mtu_bytes, "the path to the peer takes only smaller packets");
        }
    }

    /// What has to be looked at now and then: signs of life for the core, limits whose event was lost, path MTUs that have become old.
    pub(super) fn look_at_sas(&mut self) {
        self.pass_on_activity();
        self.end_idle();
        for (spi, expiry) in self.sad.untold_limits() {
            self.tell_of_limit(spi, expiry);
        }
        self.sad.age_path_mtus(self.clock.now());
    }

    /// Tells the core which SAs received since the last time.
    fn pass_on_activity(&mut self) {
        for spi in self.sad.active_since_last_asked() {
            self.command(Command::InboundActivity(IkeSpi(spi.get())));
        }
    }
}
