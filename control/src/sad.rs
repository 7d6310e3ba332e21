//! The security association database (RFC 4301, 4.4.2) as the control thread keeps it: every Child SA that the workers have, the handles to
//! read its counts, and the commands that install, activate, retire, move and remove it.
//!
//! The core says what to do ([`crossgate_ike::event::Event`]); this file translates it into worker commands in an order that loses no packet.
//! Keys pass through to the workers and are not kept.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use crossgate_dataplane::forwarding::TunnelId;
use crossgate_dataplane::gcm::{self, Kernel};
use crossgate_dataplane::message::Command;
use crossgate_dataplane::pmtu::{TooBig, path_mtu_after};
use crossgate_dataplane::sa::{
    DscpPolicy, Encapsulation, Endpoints, Esn, Expiry, InboundParameters, InboundSa, InboundStats, Lifetime,
    Limits, OutboundParameters, OutboundSa,
};
use crossgate_dataplane::spi::Spi;
use crossgate_ike::environment::Instant;
use crossgate_ike::event::{
    ChildId, ChildSa, ConnectionId, Encapsulation as IkeEncapsulation, OutboundUse, Path, Spi as IkeSpi,
    VolumeLimits,
};

use crate::workers::{Ticket, Workers};

use path::{Ends, Paths};
use seats::Seats;

mod keys;
mod path;
mod seats;

/// How often a NAT on our side is reminded of us (RFC 3948, 4).
const KEEPALIVE: Duration = Duration::from_secs(20);

/// What the data plane needs to know of a connection besides what was negotiated.
#[derive(Debug, Clone, Copy)]
pub struct DataPolicy {
    /// Replay window of inbound SAs, in packets.
    pub replay_window_packets: u32,
    /// Longest outer packet towards the peer, in bytes.
    pub path_mtu_bytes: u16,
}

/// An installed pair.
#[derive(Debug)]
pub struct Pair {
    /// Its connection.
    pub connection: ConnectionId,
    /// Its tunnel.
    pub tunnel: TunnelId,
    /// Our SPI.
    pub inbound_spi: Spi,
    /// Counts of the inbound SA.
    pub inbound: Arc<InboundStats>,
    /// The outbound SA with its counts.
    pub outbound: Arc<OutboundSa>,
    /// Where it talks.
    pub path: Path,
    /// The one worker that it is for (RFC 9611). One whose number no worker has only receives.
    pub resource: Option<u16>,
    /// Whether its outbound SA is the one that its tunnel uses, or that worker in it.
    pub sends: bool,
    seen_packets: u64,
    /// The limit that the core was told of.
    told: Option<Expiry>,
    /// Longest outer packet that the interface towards the peer and the configuration allow, in bytes.
    first_mtu_bytes: u16,
}

/// All pairs.
#[derive(Debug, Default)]
pub struct Sad {
    pairs: BTreeMap<ChildId, Pair>,
    by_inbound: HashMap<Spi, ChildId>,
    seats: Seats,
    paths: Paths,
}

/// Why a negotiated pair cannot be installed: a defect of ours, since only what the data plane has is negotiated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InstallError {
    /// The keying material is not as long as the suite's.
    #[error("the keying material has {0} bytes, which is not what the suite takes")]
    KeyLength(usize),
    /// One outer address is IPv4 and the other IPv6.
    #[error("the outer addresses differ in family")]
    Families,
    /// The number is reserved.
    #[error("SPI {0} is reserved")]
    ReservedSpi(IkeSpi),
}

impl Sad {
    /// Installs a pair: the inbound SA at its home; the outbound SA everywhere, if it is to be used at once.
    ///
    /// # Errors
    /// If the pair is not one of the data plane's; then nothing was installed.
    pub fn install(
        &mut self,
        child: &ChildSa,
        tunnel: TunnelId,
        kernel: Kernel,
        policy: DataPolicy,
        workers: &mut Workers,
    ) -> Result<Ticket, InstallError> {
        let path_mtu_bytes = self.paths.mtu_bytes(path::ends(&child.path), policy.path_mtu_bytes);
        let present = DataPolicy { path_mtu_bytes, ..policy };
        // Keys pass over the stack on their way into the two.
        let (inbound, outbound) = gcm::scrubbed(|| make(child, tunnel, kernel, present))?;
        let (inbound_spi, stats) = (inbound.spi(), inbound.stats());
        workers.at_home(inbound_spi, Command::InstallInbound(inbound));
        self.by_inbound.insert(inbound_spi, child.id);
        let connection = child.connection;
        let pair = Pair {
            connection,
            tunnel,
            inbound_spi,
            inbound: stats,
            outbound,
            path: child.path,
            resource: child.resource,
            sends: false,
            seen_packets: 0,
            told: None,
            first_mtu_bytes: policy.path_mtu_bytes,
        };
        self.pairs.insert(child.id, pair);
        self.seats.join(tunnel, child.id);
        if child.outbound_use == OutboundUse::Now {
            self.activate(child.id, workers);
        }
        Ok(workers.latest())
    }

    /// Sends on a pair; what its tunnel, or its worker in it, sent on before is replaced.
    pub fn activate(&mut self, child: ChildId, workers: &mut Workers) {
        let Some((tunnel, resource)) = self.pairs.get(&child).map(|pair| (pair.tunnel, pair.resource)) else {
            return;
        };
        for other in self.seats.pairs(tunnel) {
            if let Some(pair) = self.pairs.get_mut(other).filter(|pair| pair.resource == resource) {
                pair.sends = *other == child;
            }
        }
        self.seats.settle(tunnel, &self.pairs, workers);
    }

    /// Sends nothing more on a pair. Its successor has usually taken its place already; then this changes nothing, even if a peer that
    /// started anew gave the successor the same SPI.
    pub fn retire(&mut self, child: ChildId, workers: &mut Workers) {
        if let Some(pair) = self.pairs.get_mut(&child)
            && std::mem::take(&mut pair.sends)
        {
            let tunnel = pair.tunnel;
            self.seats.settle(tunnel, &self.pairs, workers);
        }
    }

    /// Takes a pair out of all workers. The inbound SPI may be given away again when the ticket is applied.
    pub fn remove(&mut self, child: ChildId, workers: &mut Workers) -> Option<(Pair, Ticket)> {
        let pair = self.pairs.remove(&child)?;
        self.by_inbound.remove(&pair.inbound_spi);
        if pair.sends {
            self.seats.settle(pair.tunnel, &self.pairs, workers);
        }
        self.seats.leave(pair.tunnel, child);
        let ticket = workers.at_home(pair.inbound_spi, Command::RemoveInbound(pair.inbound_spi));
        Some((pair, ticket))
    }

    /// The peer is elsewhere now, or we are: the same SA goes on under other outer addresses, in UDP or not. `first_mtu_bytes`: the longest outer packet that the
    /// interface towards the peer takes.
    pub fn relocate(&mut self, child: ChildId, path: Path, first_mtu_bytes: u16, workers: &mut Workers) {
        let Some(pair) = self.pairs.get_mut(&child) else { return };
        let Some(endpoints) = Endpoints::new(path.local.ip(), path.remote.ip()) else { return };
        pair.path = path;
        let successor = pair.outbound.successor(endpoints, encapsulation(&path), keepalive(&path));
        successor.set_path_mtu_bytes(self.paths.mtu_bytes(path::ends(&path), first_mtu_bytes));
        pair.first_mtu_bytes = first_mtu_bytes;
        pair.outbound = Arc::new(successor);
        self.seats.renew(child, pair, workers);
        let in_udp = path.encapsulation == IkeEncapsulation::Udp;
        let moved = Command::SetRemote { spi: pair.inbound_spi, remote: path.remote, in_udp };
        workers.at_home(pair.inbound_spi, moved);
    }

    /// A pair.
    #[must_use]
    pub fn get(&self, child: ChildId) -> Option<&Pair> {
        self.pairs.get(&child)
    }

    /// The pair with this inbound SPI.
    #[must_use]
    pub fn by_inbound(&self, spi: Spi) -> Option<(ChildId, &Pair)> {
        let child = *self.by_inbound.get(&spi)?;
        Some((child, self.pairs.get(&child)?))
    }

    /// The pair whose outbound SA has this SPI, which is unique only together with the tunnel or the peer.
    #[must_use]
    pub fn by_outbound(&self, spi: Spi, belongs: impl Fn(&Pair) -> bool) -> Option<(ChildId, &Pair)> {
        let mut pairs = self.pairs.iter();
        pairs
            .find(|(_, pair)| pair.outbound.spi() == spi && belongs(pair))
            .map(|(child, pair)| (*child, pair))
    }

    /// Whether some pair of this tunnel is sent on.
    #[must_use]
    pub fn has_sender(&self, tunnel: TunnelId) -> bool {
        let mut pairs = self.seats.pairs(tunnel).iter().filter_map(|child| self.pairs.get(child));
        pairs.any(|pair| pair.sends)
    }

    /// All pairs in the order of their making.
    pub fn iter(&self) -> impl Iterator<Item = (ChildId, &Pair)> {
        self.pairs.iter().map(|(child, pair)| (*child, pair))
    }

    /// A router says that one of our packets was too big: believed if a pair did send that packet not long ago, within bounds, and only downwards. Returns
    /// the connection and the new path MTU in bytes, if that changed anything.
    pub fn learn_path_mtu(&mut self, message: &TooBig, now: Instant) -> Option<(ConnectionId, u16)> {
        let path = (message.local, message.remote);
        let is_ours =
            |pair: &Pair| path::ends(&pair.path) == path && pair.outbound.sent_recently(message.sequence_low);
        let (_, pair) = self.by_outbound(message.spi, is_ours)?;
        let connection = pair.connection;
        let mtu_bytes = path_mtu_after(message, pair.outbound.path_mtu_bytes())?;
        self.paths.learn(path, mtu_bytes, now);
        self.apply_path_mtu(path);
        Some((connection, mtu_bytes))
    }

    /// Tries longer packets again where a router's word has become old.
    pub fn age_path_mtus(&mut self, now: Instant) {
        for path in self.paths.expire(now) {
            self.apply_path_mtu(path);
        }
    }

    /// Sets the longest outer packets, in bytes, that these pairs may send at first.
    pub fn set_first_mtus(&mut self, mtus: Vec<(ChildId, u16)>) {
        for (child, mtu_bytes) in mtus {
            let Some(pair) = self.pairs.get_mut(&child) else { continue };
            pair.first_mtu_bytes = mtu_bytes;
            let ends = path::ends(&pair.path);
            pair.outbound.set_path_mtu_bytes(self.paths.mtu_bytes(ends, pair.first_mtu_bytes));
        }
    }

    fn apply_path_mtu(&mut self, path: Ends) {
        for pair in self.pairs.values().filter(|pair| path::ends(&pair.path) == path) {
            pair.outbound.set_path_mtu_bytes(self.paths.mtu_bytes(path, pair.first_mtu_bytes));
        }
    }

    /// The core hears of this limit now.
    pub fn note_told(&mut self, child: ChildId, expiry: Expiry) {
        if let Some(pair) = self.pairs.get_mut(&child)
            && severity(Some(expiry)) > severity(pair.told)
        {
            pair.told = Some(expiry);
        }
    }

    /// Limits that were reached and that the core has not heard of, because the workers' event was lost; by inbound SPI. They count as told from now on.
    pub fn untold_limits(&mut self) -> Vec<(Spi, Expiry)> {
        let mut untold = Vec::new();
        for pair in self.pairs.values_mut() {
            let reached = [pair.inbound.reached(), pair.outbound.reached()].into_iter().flatten();
            let Some(worst) = reached.max_by_key(|expiry| severity(Some(*expiry))) else { continue };
            if severity(Some(worst)) > severity(pair.told) {
                pair.told = Some(worst);
                untold.push((pair.inbound_spi, worst));
            }
        }
        untold
    }

    /// Inbound SPIs that received since the last call: signs of life.
    pub fn active_since_last_asked(&mut self) -> Vec<Spi> {
        let mut active = Vec::new();
        for pair in self.pairs.values_mut() {
            let packets = pair.inbound.packets();
            if packets != pair.seen_packets {
                pair.seen_packets = packets;
                active.push(pair.inbound_spi);
            }
        }
        active
    }
}

/// A limit that stops traffic is news after one that does not.
fn severity(expiry: Option<Expiry>) -> u8 {
    match expiry {
        None => 0,
        Some(Expiry::Soft) => 1,
        Some(Expiry::Hard | Expiry::Sequence) => 2,
    }
}

/// The core's SPI as the data plane's.
///
/// # Errors
/// [`InstallError::ReservedSpi`] for 0 to 255.
pub fn spi(spi: IkeSpi) -> Result<Spi, InstallError> {
    Spi::new(spi.0).ok_or(InstallError::ReservedSpi(spi))
}

/// Both SAs of a pair.
fn make(
    child: &ChildSa,
    tunnel: TunnelId,
    kernel: Kernel,
    policy: DataPolicy,
) -> Result<(Box<InboundSa>, Arc<OutboundSa>), InstallError> {
    let endpoints =
        Endpoints::new(child.path.local.ip(), child.path.remote.ip()).ok_or(InstallError::Families)?;
    let encapsulation = encapsulation(&child.path);
    let lifetime = lifetime(child.limits);
    let esn = if child.esn == crossgate_ike::crypto::suite::Esn::On { Esn::On } else { Esn::Off };
    let inbound = Box::new(InboundSa::new(InboundParameters {
        tunnel,
        spi: spi(child.inbound.spi)?,
        keys: keys::inbound(child.suite, kernel, &child.inbound)?,
        endpoints,
        encapsulation,
        esn,
        replay_window_packets: policy.replay_window_packets,
        lifetime,
    }));
    let outbound = Arc::new(OutboundSa::new(OutboundParameters {
        tunnel,
        spi: spi(child.outbound.spi)?,
        keys: keys::outbound(child.suite, kernel, &child.outbound)?,
        endpoints,
        encapsulation,
        esn,
        first_sequence: NonZeroU64::MIN,
        lifetime,
        dscp: DscpPolicy::Copy,
        path_mtu_bytes: policy.path_mtu_bytes,
        keepalive: keepalive(&child.path),
    }));
    Ok((inbound, outbound))
}

fn keepalive(path: &Path) -> Option<Duration> {
    path.nat_before_us.then_some(KEEPALIVE)
}

fn encapsulation(path: &Path) -> Encapsulation {
    match path.encapsulation {
        IkeEncapsulation::None => Encapsulation::Plain,
        IkeEncapsulation::Udp => {
            Encapsulation::Udp { local_port: path.local.port(), remote_port: path.remote.port() }
        }
    }
}

fn lifetime(limits: VolumeLimits) -> Lifetime {
    Lifetime {
        soft: Limits { packets: limits.soft_packets, bytes: limits.soft_bytes },
        hard: Limits { packets: limits.hard_packets, bytes: limits.hard_bytes },
    }
}
