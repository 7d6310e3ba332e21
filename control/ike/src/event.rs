//! What goes into the endpoint and what comes out: commands, datagrams, events. This is the whole seam to the control thread.
//!
//! Order matters and is kept: [`Output`]s come out in the order in which they happened. A caller that programs a data plane holds back every
//! [`Output::Transmit`] until each [`Event::InstallChild`] and [`Event::ActivateOutbound`] that came out before it is carried out: that is what makes
//! a rekey lose no packet (the peer may send as soon as it reads the datagram).

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crossgate_eap::RadiusQuestion;

use crate::assigned::Assigned;
use crate::config::{ConnectionConfig, Version};
use crate::crypto::kex::Group;
use crate::crypto::suite::{Esn, EspSuite, IkeSuite};
use crate::environment::Instant;
use crate::error::IkeError;
use crate::identity::Identity;
use crate::job::{Job, JobResult};
use crate::notice::Notice;
use crate::secret::Secret;
use crate::selector::TrafficSelector;
use crate::wire::IkeSpi;
pub use crate::wire::Role;

/// A configured connection; the caller numbers them and never reuses a number for another connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u32);

/// One IKE SA of this endpoint, in the order of their creation; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IkeId(pub u64);

/// One pair of ESP SAs (inbound and outbound) that were negotiated together; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChildId(pub u64);

/// A security parameter index of ESP (RFC 4303, 2.1), in host order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Spi(pub u32);

impl fmt::Debug for Spi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl fmt::Display for Spi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// What the caller hands to [`crate::Endpoint::handle`].
#[derive(Debug)]
pub enum Input<'a> {
    /// A UDP datagram for `local` from `remote`. On [`crate::NAT_PORT`] the caller has taken the four zero bytes of the non-ESP marker off.
    Datagram {
        /// Our address and port that it was sent to.
        local: SocketAddr,
        /// Where it came from.
        remote: SocketAddr,
        /// The IKE message.
        bytes: &'a [u8],
    },
    /// Time has passed; due at [`crate::Endpoint::poll_timeout`], harmless at any other time.
    Timeout,
    /// The operator or the data plane wants something.
    Command(Command),
    /// A [`Job`] that left as [`Event::Compute`] is done.
    Computed(JobResult),
    /// A name that left as [`Event::Resolve`] was looked up.
    Resolved(Resolution),
}

/// What became of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// The connection.
    pub connection: ConnectionId,
    /// That of the event.
    pub ticket: u64,
    /// Where it leads, of both families; or why it leads nowhere.
    pub addresses: Result<Vec<IpAddr>, String>,
}

/// What the operator, the reconciler or the data plane wants.
#[derive(Debug)]
pub enum Command {
    /// Adds a connection, or brings the running one with that id to this configuration. Only what must change is torn down: names, lifetimes and DPD
    /// take effect in place, anything that was negotiated or authenticated makes a new IKE SA.
    Configure(Box<ConnectionConfig>),
    /// Forgets a connection; its IKE SA is deleted at the peer.
    Remove(ConnectionId),
    /// Brings the connection up, if it is not up or on its way (also for ResponderOnly: the operator said so; data without an SA may call this too).
    Initiate(ConnectionId),
    /// The data plane: a packet from `source` to `destination` found no SA. Brings the connection up like [`Command::Initiate`]; a peer that takes a single
    /// pair of addresses only (SINGLE_PAIR_REQUIRED, RFC 7296, 2.9) is asked for the pair of this packet.
    Trap {
        /// The connection whose policy covers the packet.
        connection: ConnectionId,
        /// Where the packet comes from.
        source: IpAddr,
        /// Where it wants to go.
        destination: IpAddr,
    },
    /// The data plane: no packet has gone through the connection for as long as it may be idle. Deletes its SAs; one that begins by itself is initiated anew.
    Idle(ConnectionId),
    /// Deletes the connection's SAs and, unless it is ResponderOnly or waits for traffic, initiates anew.
    Reset(ConnectionId),
    /// Replaces a Child SA by a fresh one.
    RekeyChild(ChildId),
    /// Replaces the connection's IKE SA by a fresh one; Child SAs move over.
    RekeyIke(ConnectionId),
    /// The data plane: the SA with this inbound SPI, or the outbound SA of the same pair, reached its soft limit in bytes or packets.
    SoftLifetime(Spi),
    /// The data plane: the pair with this inbound SPI reached its hard limit and no longer carries traffic.
    HardLifetime(Spi),
    /// The data plane: packets were authenticated on this inbound SPI since the last time it said so. Tell it at most once a second per SA;
    /// it is the proof of liveness that spares a DPD exchange (RFC 7296, 2.4). On a standby SA it also means [`Command::FirstInbound`].
    InboundActivity(Spi),
    /// The data plane: the first packet was authenticated on this inbound SPI; the peer uses the new SA, so may we.
    FirstInbound(Spi),
    /// The data plane: the newest packet on this inbound SPI, an authentic one, came from another address or port than what is sent goes to.
    InboundFrom(Spi, SocketAddr),
    /// The data plane: an ESP packet to `local` from `remote` (with the ports of IKE if it came without UDP) names an SA that is not there.
    UnknownSa {
        /// Where it came to.
        local: SocketAddr,
        /// Where it came from.
        remote: SocketAddr,
        /// What it names.
        spi: Spi,
    },
    /// Deletes every IKE SA at its peer and initiates nothing more. Done when [`crate::Endpoint::is_idle`], or when the caller loses patience.
    Shutdown,
}

/// What comes out of [`crate::Endpoint::poll_output`].
#[derive(Debug)]
pub enum Output {
    /// Send this datagram.
    Transmit(Transmit),
    /// Carry this out.
    Event(Event),
}

/// An IKE message to send.
#[derive(Clone, PartialEq, Eq)]
pub struct Transmit {
    /// From where; if its port is [`crate::NAT_PORT`], the caller puts four zero bytes (non-ESP marker, RFC 3948, 2.2) in front.
    pub local: SocketAddr,
    /// Whereto.
    pub remote: SocketAddr,
    /// The IKE message.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for Transmit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {} ({} bytes)", self.local, self.remote, self.bytes.len())
    }
}

/// What happened, and what the caller must do about it.
#[derive(Debug)]
pub enum Event {
    /// Run this on the pool and hand the result back as [`Input::Computed`].
    Compute(Job),
    /// Look this name up, and hand its addresses back as [`Input::Resolved`]. After ten seconds nobody waits for them any more.
    Resolve {
        /// The connection whose peer has the name.
        connection: ConnectionId,
        /// To be given back.
        ticket: u64,
        /// The name.
        name: Arc<str>,
    },
    /// Ask a RADIUS server about a client that logs in, and hand what it says back as [`Input::Computed`] with [`JobResult::relayed`].
    AskRadius {
        /// The client's IKE SA.
        ike: IkeId,
        /// To be given back; never used again.
        serial: u64,
        /// What to ask.
        question: Box<RadiusQuestion>,
    },
    /// Install both SAs of this pair on the workers, then let later transmits go.
    InstallChild(Box<ChildSa>),
    /// From now on send on this pair's outbound SA (it was installed with [`OutboundUse::Standby`]); the pair that it replaces becomes inbound only.
    ActivateOutbound(ChildId),
    /// Send nothing more on this pair, keep receiving on it: its successor is in use and packets may still be under way.
    RetireChild(ChildId),
    /// Remove both SAs of this pair; its inbound SPI is free again once the workers have acknowledged.
    RemoveChild {
        /// The pair.
        child: ChildId,
        /// Its inbound SPI, which the caller frees.
        inbound_spi: Spi,
        /// Why, for the operator.
        reason: RemoveReason,
    },
    /// The peer's address or port changed (a NAT rebound, RFC 7296, 2.23): send this pair's ESP there.
    MoveChild {
        /// The pair.
        child: ChildId,
        /// The new path.
        path: Path,
    },
    /// An IKE SA is established and authenticated.
    IkeUp(Box<IkeUp>),
    /// A peer assigned us our addresses inside the tunnel. What is negotiated over this IKE SA and its successors has no others on our side.
    Assigned {
        /// The connection.
        connection: ConnectionId,
        /// The IKE SA.
        ike: IkeId,
        /// What it assigned.
        assigned: Box<Assigned>,
    },
    /// An IKE SA is gone. Its Child SAs, if it still had some, were removed before.
    IkeDown {
        /// The connection.
        connection: ConnectionId,
        /// The IKE SA.
        ike: IkeId,
        /// Why.
        reason: DownReason,
    },
    /// A Child SA could not be made or replaced, while the IKE SA lives on.
    ChildFailed {
        /// The connection.
        connection: ConnectionId,
        /// Whose fault, what and the remedy.
        error: IkeError,
        /// When it is tried again, if it is.
        retry_at: Option<Instant>,
    },
    /// The connection could not be brought up, or broke.
    Failed {
        /// The connection.
        connection: ConnectionId,
        /// Whose fault, what and the remedy.
        error: IkeError,
        /// When it is tried again, if it is.
        retry_at: Option<Instant>,
    },
    /// For log and counters: something of the catalogue in `notice.rs` happened.
    Notice(Notice),
}

/// Facts about an IKE SA that was just established.
#[derive(Clone, Debug)]
pub struct IkeUp {
    /// The connection.
    pub connection: ConnectionId,
    /// The IKE SA.
    pub ike: IkeId,
    /// Which IKE it speaks.
    pub version: Version,
    /// SPIs of initiator and responder; cookies in IKEv1.
    pub spis: (IkeSpi, IkeSpi),
    /// Who began it.
    pub role: Role,
    /// Where it talks.
    pub path: Path,
    /// The negotiated algorithms.
    pub suite: IkeSuite,
    /// The additional key exchange that is in its keys (RFC 9370).
    pub additional: Option<Group>,
    /// Whether a post-quantum pre-shared key is in them (RFC 8784).
    pub ppk: bool,
    /// Who the peer proved to be.
    pub peer: Identity,
    /// The IKE SA that it replaces by rekeying.
    pub replaces: Option<IkeId>,
}

/// Addresses of an IKE SA and its ESP (outer header, RFC 7296, 2.23).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Path {
    /// Our address and IKE port.
    pub local: SocketAddr,
    /// The peer's address and IKE port, as seen from here.
    pub remote: SocketAddr,
    /// Whether ESP travels inside UDP between these two ports.
    pub encapsulation: Encapsulation,
    /// Whether a NAT stands before us, so that we must send keepalives (RFC 3948, 4).
    pub nat_before_us: bool,
    /// Whether a NAT stands before the peer, so that we follow it when its mapping changes.
    pub nat_before_peer: bool,
}

/// How ESP travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encapsulation {
    /// IP protocol 50.
    None,
    /// In UDP between the ports of the [`Path`] (RFC 3948).
    Udp,
}

/// When the outbound SA of a new pair is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OutboundUse {
    /// At once: the peer has installed its inbound SA.
    Now,
    /// Not before [`Event::ActivateOutbound`]: the pair that it replaces carries on.
    Standby,
}

/// A pair of ESP SAs to install (RFC 4301, 4.4.2).
#[derive(Debug)]
pub struct ChildSa {
    /// The pair.
    pub id: ChildId,
    /// Its connection.
    pub connection: ConnectionId,
    /// Index of its policy in [`ConnectionConfig::children`].
    pub policy: usize,
    /// The pair that it replaces.
    pub replaces: Option<ChildId>,
    /// The one resource of ours that it is for (RFC 9611): with as many resources as [`crate::config::ChildConfig::resources`] says, numbers from there on only receive.
    /// `None`: it is for all that have none of their own.
    pub resource: Option<u16>,
    /// Who began the exchange.
    pub role: Role,
    /// Algorithms.
    pub suite: EspSuite,
    /// 64-bit sequence numbers or not.
    pub esn: Esn,
    /// We receive with it; the SPI is ours.
    pub inbound: EspHalf,
    /// We send with it; the SPI is the peer's.
    pub outbound: EspHalf,
    /// When to begin to send.
    pub outbound_use: OutboundUse,
    /// What we may send from, and receive for.
    pub local_selectors: Vec<TrafficSelector>,
    /// What we may send to, and receive from.
    pub remote_selectors: Vec<TrafficSelector>,
    /// Outer addresses, and UDP ports if encapsulated.
    pub path: Path,
    /// Limits the data plane must watch; time is watched by the core.
    pub limits: VolumeLimits,
}

/// One direction of a pair.
#[derive(Debug)]
pub struct EspHalf {
    /// SPI on the wire.
    pub spi: Spi,
    /// Keying material as RFC 7296, 2.17 (and RFC 2409, 5.5) cut it: encryption key followed by the salt (RFC 4106, 8.1) for AEADs.
    pub key: Secret<Vec<u8>>,
}

/// Limits in volume, per direction. At the soft one send [`Command::SoftLifetime`], at the hard one stop and send [`Command::HardLifetime`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VolumeLimits {
    /// Payload bytes (before ESP) after which to rekey; jitter is already in it.
    pub soft_bytes: u64,
    /// Payload bytes after which to stop.
    pub hard_bytes: u64,
    /// Packets after which to rekey; below 2^32 without ESN.
    pub soft_packets: u64,
    /// Packets after which to stop.
    pub hard_packets: u64,
}

/// Why a pair was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RemoveReason {
    /// Its successor is in use.
    Replaced,
    /// The peer deleted it.
    DeletedByPeer,
    /// We deleted it: operator, configuration or shutdown.
    DeletedByUs,
    /// It lost a collision of two rekeys (RFC 7296, 2.8.1).
    LostCollision,
    /// Its hard lifetime ended before it was replaced.
    Expired,
    /// Its IKE SA is gone.
    IkeSaGone,
}

/// Why an IKE SA is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DownReason {
    /// It was replaced by rekeying.
    Rekeyed,
    /// The peer deleted it.
    DeletedByPeer,
    /// The operator reset or removed the connection, or its configuration changed.
    DeletedByUs,
    /// No packet had gone through it for as long as it may be idle.
    Idle,
    /// The peer did not answer.
    PeerDead,
    /// The peer proved that it has lost the IKE SA (RFC 6290).
    PeerRestarted,
    /// The peer started anew and said so (INITIAL_CONTACT, RFC 7296, 2.4), or a newer IKE SA with the same peer took over.
    Superseded,
    /// It reached its hard lifetime.
    Expired,
    /// The peer sent us to another gateway (RFC 5685).
    Redirected,
    /// An exchange went wrong beyond repair.
    Error(IkeError),
}
