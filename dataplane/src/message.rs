//! Everything that the control thread and a worker say to each other, and the rings that carry it.
//!
//! Four rings per worker, bounded, one writer and one reader each:
//!
//! | ring | from, to | carries |
//! | --- | --- | --- |
//! | commands | control, worker | [`Command`] under a [`CommandId`]; applied in order, between two bursts |
//! | acknowledgements | worker, control | [`Acknowledgement`]: done, and what was [`Replaced`] |
//! | events | worker, control | [`Event`]: punted packets, lifetimes, neighbours |
//! | injections | control, worker | [`Inject`]: packets that control made, to be routed in the underlay |
//!
//! Rules that both sides keep:
//! - A worker applies commands in the order in which they were sent. A command has taken effect in *every* worker once
//!   every worker acknowledged it: "installed before the peer is told" waits for that.
//! - Whatever a command replaces comes back in its acknowledgement; the control thread drops it (and so zeroizes keys). A worker frees
//!   nothing.
//! - The acknowledgement ring is as long as the command ring and control sends only while it has room for the answer:
//!   [`ControlEnd::send`] counts what is unanswered, so that a worker never waits with an answer.
//! - Events may be lost when their ring is full; each loss is counted (`event_ring_full`, `punt_ring_full`, `punt_first_full`) and nothing depends on one
//!   event: limits can be read off the SAs' counts ([`OutboundSa::reached`], [`crate::sa::InboundStats::reached`]), neighbours are asked again, traps
//!   repeat.
//!
//! The usual orders: a tunnel appears in a [`Forwarding`] before its SAs are installed and disappears after they are removed. On a
//! rekey: new inbound to its home worker, then (all acknowledged) tell the peer, then the new outbound to all workers in place of the old,
//! and the old inbound is removed some seconds later.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crossbeam::queue::ArrayQueue;
use dpdk_sys::Mbuf;

use crate::forwarding::{Forwarding, InterfaceId, TunnelId};
use crate::header::ethernet::Mac;
use crate::pmtu::TooBig;
use crate::sa::{Direction, Expiry, InboundSa, OutboundSa};
use crate::spi::Spi;
use crate::worker::Histograms;

/// Number of a command, unique within a worker's life; the acknowledgement repeats it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CommandId(pub u64);

/// What the control thread tells a worker.
#[derive(Debug)]
pub enum Command {
    /// Use this snapshot from now on. To every worker. Comes back: [`Replaced::Forwarding`].
    SetForwarding(Arc<Forwarding>),
    /// Seal for the SA's tunnel with this SA from now on, instead of the one before, if any. To every worker, which then share its sequence
    /// numbers; or to one, which then has one of its own (RFC 9611).
    /// Comes back: [`Replaced::Outbound`] if there was one; [`Replaced::Refused`] if the tunnel's number is beyond the worker's table.
    InstallOutbound(Arc<OutboundSa>),
    /// Stop sealing for this tunnel, provided that its present SA has this SPI (so that a late removal does not hit the
    /// successor). To every worker. Comes back: [`Replaced::Outbound`], or [`Replaced::Nothing`].
    RemoveOutbound {
        /// The tunnel.
        tunnel: TunnelId,
        /// The peer's SPI of the SA to remove.
        spi: Spi,
    },
    /// Accept packets of this SA from now on. Only to its home worker, see [`Spi::bucket`] and [`crate::spi::Bucket::home`].
    /// Comes back: [`Replaced::Inbound`] with what the slot held before, [`Replaced::Refused`] if the slot is beyond the table.
    InstallInbound(Box<InboundSa>),
    /// Forget this inbound SA. Only to its home worker. Comes back: [`Replaced::Inbound`], or [`Replaced::Nothing`] if the slot holds another.
    RemoveInbound(Spi),
    /// The peer of this inbound SA now sends from another address or port, or begins or ends to send in UDP: stop reporting it as moved. To the home worker.
    SetRemote {
        /// Our SPI.
        spi: Spi,
        /// Where the peer's UDP-encapsulated packets come from now.
        remote: SocketAddr,
        /// Whether they come in UDP.
        in_udp: bool,
    },
    /// A neighbour that another worker learned. To every worker but the one whose event it was.
    LearnNeighbour(NeighbourEntry),
    /// Ask for this neighbour, whether it is known or not; its answer comes as [`Event::NeighbourLearned`]. To any one worker.
    Solicit {
        /// Where.
        interface: InterfaceId,
        /// Whom.
        address: IpAddr,
    },
    /// Put these empty histograms in the place of those that the worker fills. Comes back: [`Replaced::Histograms`], filled.
    TakeHistograms(Box<Histograms>),
    /// Does nothing but be acknowledged: everything sent before it has then been applied.
    Barrier,
}

/// A next hop's link address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NeighbourEntry {
    /// The interface that it is on.
    pub interface: InterfaceId,
    /// Its IP address.
    pub address: IpAddr,
    /// Its MAC address.
    pub mac: Mac,
}

/// A worker has applied a command.
#[derive(Debug)]
pub struct Acknowledgement {
    /// Which command.
    pub id: CommandId,
    /// What it replaced: to be dropped by the control thread.
    pub replaced: Replaced,
}

/// What a command took out of a worker.
#[derive(Debug)]
pub enum Replaced {
    /// Nothing was there.
    Nothing,
    /// The snapshot in use before.
    Forwarding(Arc<Forwarding>),
    /// The outbound SA in use before, or removed.
    Outbound(Arc<OutboundSa>),
    /// The inbound SA that was in the slot.
    Inbound(Box<InboundSa>),
    /// The histograms filled since the last ones.
    Histograms(Box<Histograms>),
    /// The command could not be carried out because its number is beyond the worker's tables, and changed nothing. Boxed
    /// contents are inside the command.
    Refused(Command),
}

/// What a worker tells the control thread unasked.
#[derive(Debug)]
pub enum Event {
    /// A packet for the control thread itself.
    Punted(Punt),
    /// An SA reached a limit. Each limit is told once per SA (by one worker, even where several share the SA).
    Expired {
        /// Which way the SA goes.
        direction: Direction,
        /// Its tunnel.
        tunnel: TunnelId,
        /// Our SPI (inbound) or the peer's (outbound).
        spi: Spi,
        /// Which limit.
        expiry: Expiry,
    },
    /// Traffic wants a tunnel that has no outbound SA: bring it up. At most one a second, tunnel and worker.
    NoSa {
        /// The tunnel.
        tunnel: TunnelId,
        /// Source of the packet that wanted it.
        source: IpAddr,
        /// Its destination.
        destination: IpAddr,
    },
    /// The first authentic packet of an inbound SA: the peer uses it, so its predecessor may go.
    FirstInbound {
        /// The tunnel.
        tunnel: TunnelId,
        /// Our SPI.
        spi: Spi,
    },
    /// An authentic, newest packet of a UDP-encapsulated SA came from another address or port than before: the peer's NAT
    /// changed its mind (RFC 7296, 2.23). Told again (at most once a second) until [`Command::SetRemote`].
    RemoteMoved {
        /// The tunnel.
        tunnel: TunnelId,
        /// Our SPI.
        spi: Spi,
        /// Where the packet came from.
        remote: SocketAddr,
    },
    /// An ESP packet for us named an SA that is not here: its sender has kept one that we lost. Unauthenticated, and told a few times a second at most.
    UnknownSpi {
        /// What it names.
        spi: Spi,
        /// Our address that it came to, and the port; 0 if it did not come in UDP.
        local: SocketAddr,
        /// The same of where it came from.
        remote: SocketAddr,
    },
    /// A neighbour answered or changed its MAC address: to be passed on to the other workers.
    NeighbourLearned(NeighbourEntry),
    /// A router on the path says that our ESP packets of this size do not fit (RFC 4301, 8.2.1). Unauthenticated: find the SA by
    /// `remote` and `spi`, check [`OutboundSa::sent_recently`], take [`crate::pmtu::path_mtu_after`], then [`OutboundSa::set_path_mtu_bytes`].
    PathTooBig(TooBig),
}

/// An IKE datagram for us.
pub struct Punt {
    /// The datagram's payload alone, without the non-ESP marker: [`Mbuf`]'s data is the IKE message.
    pub packet: Mbuf,
    /// The interface on which it arrived.
    pub interface: InterfaceId,
    /// Our address and port (500 or 4500).
    pub local: SocketAddr,
    /// The sender's.
    pub remote: SocketAddr,
}

impl Punt {
    /// Whether it begins an IKE SA: it names no SPI (IKEv1: cookie) of the responder, which is in the second eight bytes (RFC 7296, 3.1; RFC 2408, 3.1).
    pub(crate) fn is_first(&self) -> bool {
        self.packet.data().get(8..16).is_none_or(|spi| spi == [0; 8])
    }
}

/// A packet that the control thread made.
pub struct Inject {
    /// A whole IPv4 or IPv6 packet with valid lengths and checksums (its data begins with the IP header), in one segment, with
    /// headroom for an Ethernet header and a VLAN tag. Routed in the underlay VRF.
    pub packet: Mbuf,
}

impl std::fmt::Debug for Punt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Punt")
            .field("bytes", &self.packet.len_bytes())
            .field("interface", &self.interface)
            .field("local", &self.local)
            .field("remote", &self.remote)
            .finish()
    }
}

impl std::fmt::Debug for Inject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inject").field("bytes", &self.packet.len_bytes()).finish()
    }
}

/// Lengths of a worker's rings, in messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RingSizes {
    /// Commands, and acknowledgements.
    pub commands: usize,
    /// Events.
    pub events: usize,
    /// Injections.
    pub injections: usize,
}

impl Default for RingSizes {
    fn default() -> Self {
        Self { commands: 1024, events: 1024, injections: 512 }
    }
}

struct Rings {
    commands: ArrayQueue<(CommandId, Command)>,
    acknowledgements: ArrayQueue<Acknowledgement>,
    events: ArrayQueue<Event>,
    injections: ArrayQueue<Inject>,
}

/// The control thread's end of a worker's rings.
pub struct ControlEnd {
    rings: Arc<Rings>,
    next_id: u64,
    unanswered: usize,
}

/// The worker's end. One for each worker; not to be shared.
pub(crate) struct WorkerEnd {
    rings: Arc<Rings>,
}

/// The ring was full; here is the message back. Commands: poll acknowledgements, then try again.
#[derive(Debug)]
pub struct Full<T>(pub T);

/// Makes the rings of one worker. Sizes of 0 count as 1.
pub(crate) fn channel(sizes: RingSizes) -> (ControlEnd, WorkerEnd) {
    let rings = Arc::new(Rings {
        commands: ArrayQueue::new(sizes.commands.max(1)),
        acknowledgements: ArrayQueue::new(sizes.commands.max(1)),
        events: ArrayQueue::new(sizes.events.max(1)),
        injections: ArrayQueue::new(sizes.injections.max(1)),
    });
    (ControlEnd { rings: Arc::clone(&rings), next_id: 1, unanswered: 0 }, WorkerEnd { rings })
}

impl ControlEnd {
    /// Sends a command.
    ///
    /// # Errors
    /// [`Full`] with the command if as many commands as the ring is long wait for their acknowledgement.
    pub fn send(&mut self, command: Command) -> Result<CommandId, Full<Command>> {
        if self.unanswered == self.rings.acknowledgements.capacity() {
            return Err(Full(command));
        }
        let id = CommandId(self.next_id);
        self.rings.commands.push((id, command)).map_err(|(_, command)| Full(command))?;
        self.next_id += 1;
        self.unanswered += 1;
        Ok(id)
    }

    /// The next acknowledgement, if there is one; in the order of the commands.
    pub fn poll_acknowledgement(&mut self) -> Option<Acknowledgement> {
        let acknowledgement = self.rings.acknowledgements.pop()?;
        self.unanswered -= 1;
        Some(acknowledgement)
    }

    /// Commands sent and not yet acknowledged.
    #[must_use]
    pub fn unanswered(&self) -> usize {
        self.unanswered
    }

    /// The next event, if there is one.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.rings.events.pop()
    }

    /// Hands a packet to the worker for sending.
    ///
    /// # Errors
    /// [`Full`] with the packet if the ring is full.
    pub fn inject(&mut self, inject: Inject) -> Result<(), Full<Inject>> {
        self.rings.injections.push(inject).map_err(Full)
    }
}

impl WorkerEnd {
    pub(crate) fn next_command(&mut self) -> Option<(CommandId, Command)> {
        // Cheaper than an empty `pop`, which ends in a fence.
        if self.rings.commands.is_empty() { None } else { self.rings.commands.pop() }
    }

    /// Never fails: control keeps count of what is unanswered. If it did not, the acknowledgement would be dropped here rather than
    /// stop the worker.
    pub(crate) fn acknowledge(&mut self, acknowledgement: Acknowledgement) {
        let pushed = self.rings.acknowledgements.push(acknowledgement);
        debug_assert!(pushed.is_ok(), "more acknowledgements than commands");
    }

    /// First messages, which anybody can send from any address, leave half of the ring to IKE SAs that there are; all datagrams leave a sixteenth of it to events
    /// that only the worker itself can cause.
    pub(crate) fn tell(&mut self, event: Event) -> Result<(), Full<Event>> {
        let events = &self.rings.events;
        let left_free = match &event {
            Event::Punted(punt) if punt.is_first() => events.capacity() / 2,
            Event::Punted(_) => events.capacity() / 16,
            _ => 0,
        };
        if events.len() + left_free >= events.capacity() {
            return Err(Full(event));
        }
        self.rings.events.push(event).map_err(Full)
    }

    pub(crate) fn next_injection(&mut self) -> Option<Inject> {
        if self.rings.injections.is_empty() { None } else { self.rings.injections.pop() }
    }
}
