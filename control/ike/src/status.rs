//! What the operator sees of connections and SAs: plain copies, made on request by [`crate::Endpoint::status`].

use std::sync::Arc;
use std::time::Duration;

use crate::assigned::Assigned;
use crate::config::Version;
use crate::crypto::suite::{Esn, EspSuite, Group, IkeSuite};
use crate::environment::Instant;
use crate::error::IkeError;
use crate::event::{ChildId, ConnectionId, IkeId, Path, Role, Spi};
use crate::identity::Identity;
use crate::place::Place;
use crate::selector::TrafficSelector;
use crate::wire::IkeSpi;

/// How much an endpoint holds: what has come to rest under one configuration holds the same again and again, or something leaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Census {
    /// Connections that are configured.
    pub connections: usize,
    /// IKE SAs in any state.
    pub ike_sas: usize,
    /// SPIs of ours by which IKE SAs are found.
    pub ike_spis: usize,
    /// Half-open IKE SAs, and sources that have any.
    pub half_open: (usize, usize),
    /// IKE SAs that wait for a result of the pool.
    pub waiting: usize,
    /// IKE SAs that connections know of.
    pub attached: usize,
    /// Child SAs by which their IKE SA is found, by number and by SPI.
    pub children: (usize, usize),
    /// Replaced Child SAs that still receive.
    pub lingering: usize,
    /// Addresses that clients have.
    pub leases: usize,
    /// Tickets that are remembered as used.
    pub used_tickets: usize,
    /// Timers that are set.
    pub timers: usize,
}

/// One connection.
#[derive(Clone, Debug)]
pub struct ConnectionStatus {
    /// Its number.
    pub id: ConnectionId,
    /// The operator's name.
    pub name: Arc<str>,
    /// In one word.
    pub phase: Phase,
    /// Its last failure; kept until the connection is up again.
    pub failure: Option<Failure>,
    /// When it is tried again.
    pub retry_at: Option<Instant>,
    /// Where its peer is looked for, in the order of the configuration.
    pub places: Vec<PlaceStatus>,
    /// Its IKE SAs.
    pub ike_sas: Vec<IkeStatus>,
}

/// One place where a peer is looked for.
#[derive(Clone, Debug)]
pub struct PlaceStatus {
    /// The place.
    pub place: Place,
    /// Whether there is an IKE SA, or one on its way there.
    pub in_use: bool,
    /// Why nobody answered there, until somebody does.
    pub failure: Option<Failure>,
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Nothing is under way; a responder waits for its peer.
    Down,
    /// Negotiating.
    Connecting,
    /// The IKE SA is up, but not every policy has a Child SA.
    Partial,
    /// The IKE SA is up and every policy has a Child SA.
    Up,
}

/// Why a connection or one of its Child SAs failed last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Whose fault, what and the remedy.
    pub error: IkeError,
    /// When.
    pub at: Instant,
}

/// One IKE SA.
#[derive(Clone, Debug)]
pub struct IkeStatus {
    /// The IKE SA.
    pub id: IkeId,
    /// Which IKE it speaks.
    pub version: Version,
    /// SPIs (in IKEv1 cookies) of initiator and responder; the latter is 0 until the peer has answered.
    pub spis: (IkeSpi, IkeSpi),
    /// Who began it.
    pub role: Role,
    /// The state's name.
    pub state: &'static str,
    /// Where it talks.
    pub path: Path,
    /// What was negotiated, once it was.
    pub suite: Option<IkeSuite>,
    /// The additional key exchange that is in its keys (RFC 9370).
    pub additional: Option<Group>,
    /// Whether a post-quantum pre-shared key is in them (RFC 8784).
    pub ppk: bool,
    /// Who the peer is, once proven.
    pub peer: Option<Identity>,
    /// What the peer assigned to us.
    pub assigned: Assigned,
    /// When it was established.
    pub since: Option<Instant>,
    /// When it will be replaced.
    pub rekey_at: Option<Instant>,
    /// Its Child SAs.
    pub children: Vec<ChildStatus>,
}

/// One Child SA.
#[derive(Clone, Debug)]
pub struct ChildStatus {
    /// The pair.
    pub id: ChildId,
    /// Index of its policy.
    pub policy: usize,
    /// The policy's name.
    pub name: Arc<str>,
    /// Our SPI.
    pub inbound_spi: Spi,
    /// The peer's SPI.
    pub outbound_spi: Spi,
    /// Algorithms.
    pub suite: EspSuite,
    /// 64-bit sequence numbers or not.
    pub esn: Esn,
    /// Behind us.
    pub local_selectors: Vec<TrafficSelector>,
    /// Behind the peer.
    pub remote_selectors: Vec<TrafficSelector>,
    /// When it was installed.
    pub since: Instant,
    /// When it will be replaced.
    pub rekey_at: Instant,
    /// When it ends, replaced or not.
    pub expires_at: Instant,
    /// Whether we send on it.
    pub sends: bool,
    /// The one resource of ours that it is for (RFC 9611).
    pub resource: Option<u16>,
}

impl ChildStatus {
    /// How long it has lived.
    #[must_use]
    pub fn age(&self, now: Instant) -> Duration {
        now.saturating_since(self.since)
    }
}
