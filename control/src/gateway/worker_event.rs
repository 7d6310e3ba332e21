//! What workers tell, and what becomes of it.

use crossgate_config::ConnectionMode;
use crossgate_dataplane::message::{Command as ToWorker, Event, NeighbourEntry, Punt};
use crossgate_dataplane::pmtu::{TooBig, path_mtu_after};
use crossgate_dataplane::sa::{Direction, Expiry};
use crossgate_ike::Command;
use crossgate_ike::event::{ConnectionId, Input, Path, Spi as IkeSpi};

use super::Gateway;
use crate::sad::Pair;
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
                let Some(spi) = pair.map(|(_, pair)| IkeSpi(pair.inbound_spi.get())) else { return };
                self.command(match expiry {
                    Expiry::Soft => Command::SoftLifetime(spi),
                    Expiry::Hard | Expiry::Sequence => Command::HardLifetime(spi),
                });
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
                let Some((child, pair)) = self.sad.by_inbound(spi) else { return };
                // RFC 7296, 2.23: only a peer behind a NAT is followed, and not by a side that is behind one itself.
                if pair.path.nat_before_peer && !pair.path.nat_before_us {
                    let path = Path { remote, ..pair.path };
                    let connection = self.name_of(pair.connection);
                    tracing::info!(connection, %remote, "the peer's ESP comes from elsewhere: following it");
                    self.sad.relocate(child, path, &mut self.workers);
                }
            }
            Event::NeighbourLearned(entry) => self.on_neighbour(worker, entry),
            Event::PathTooBig(message) => self.on_path_too_big(&message),
        }
    }

    /// Whether a connection is one that this side may begin.
    fn may_begin(&self, id: ConnectionId) -> bool {
        let name = self.identifiers.connection_name(id);
        let configured = name.and_then(|name| self.config.connections().get(name));
        configured.is_some_and(|connection| connection.mode != ConnectionMode::ResponderOnly)
    }

    fn on_punt(&mut self, punt: &Punt) {
        let (local, remote) = (punt.local, punt.remote);
        self.tell_core(Input::Datagram { local, remote, bytes: punt.packet.data() });
    }

    fn on_neighbour(&mut self, worker: WorkerId, entry: NeighbourEntry) {
        self.workers.at_others(worker, || ToWorker::LearnNeighbour(entry));
    }

    /// An ICMP error about one of our ESP packets: believed only within bounds, and only downwards (RFC 4301, 8.2.1).
    fn on_path_too_big(&mut self, message: &TooBig) {
        let ours =
            |pair: &Pair| (pair.path.local.ip(), pair.path.remote.ip()) == (message.local, message.remote);
        let Some((_, pair)) = self.sad.by_outbound(message.spi, ours) else { return };
        if let Some(mtu_bytes) = path_mtu_after(message, pair.outbound.path_mtu_bytes()) {
            let connection = self.name_of(pair.connection);
            tracing::info!(connection, mtu_bytes, "the path to the peer takes only smaller packets");
            pair.outbound.set_path_mtu_bytes(mtu_bytes);
        }
    }

    /// Tells the core which SAs received since the last time.
    pub(super) fn pass_on_activity(&mut self) {
        for spi in self.sad.active_since_last_asked() {
            self.command(Command::InboundActivity(IkeSpi(spi.get())));
        }
    }
}
