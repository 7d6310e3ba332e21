//! An inbound SA: owned by its home worker, which alone moves the replay window (RFC 4303, 3.4).

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use crate::forwarding::TunnelId;
use crate::sa::{Encapsulation, Endpoints, Esn, Expiry, Keys, Lifetime, Limits, OpenKeys, ReplayWindow};
use crate::spi::Spi;
use crate::transform::Opener;

/// What the control thread says to make an inbound SA.
pub struct InboundParameters {
    /// The tunnel (Child SA policy) whose packets it carries: selectors and VRF are the tunnel's.
    pub tunnel: TunnelId,
    /// Our SPI, from [`crate::spi::SpiAllocator`].
    pub spi: Spi,
    /// What opens its packets.
    pub keys: Keys<Opener>,
    /// Outer addresses. The peer's is not enforced (authentic packets are authentic), but a change is reported.
    pub endpoints: Endpoints,
    /// Plain or in UDP; the other kind is dropped as `esp_wrong_encapsulation`.
    pub encapsulation: Encapsulation,
    /// Width of sequence numbers.
    pub esn: Esn,
    /// Width of the replay window in packets, brought into 32 to 4096. Take at least 1024 for peers that seal with several
    /// cores: their packets leave slightly out of order.
    pub replay_window_packets: u32,
    /// Limits in packets and bytes.
    pub lifetime: Lifetime,
}

/// What an inbound SA has counted; written by its home worker, read by the control thread, which keeps a clone of the `Arc`.
#[derive(Debug, Default)]
pub struct InboundStats {
    packets: AtomicU64,
    bytes: AtomicU64,
    last_used_ms: AtomicU64,
    replayed: AtomicU64,
    forged: AtomicU64,
    reached: AtomicU8,
}

/// An inbound SA. Two cache lines, key schedule and window bits apart.
#[repr(C, align(64))]
pub struct InboundSa {
    pub(crate) keys: OpenKeys,
    pub(crate) window: ReplayWindow,
    pub(crate) spi: Spi,
    pub(crate) tunnel: TunnelId,
    remote: u32, // fingerprint of the peer's address and port; 0 if changes do not matter
    pub(crate) esn: Esn,
    pub(crate) in_udp: bool,
    end_told: bool,
    moved_told_s: u32, // when a changed remote was last reported, in seconds of the workers' clock
    packets: u64,
    bytes: u64,
    soft: Limits,
    hard: Limits,
    stats: Arc<InboundStats>,
}

const _: () = assert!(
    size_of::<InboundSa>() <= 128,
    "an inbound SA's hot part is two cache lines, key schedule and window bits apart"
);

const _: () = assert!(size_of::<InboundStats>() <= 48, "counts are one line, with the two of their Arc");

impl InboundSa {
    /// Builds the SA. Allocates: for the control thread.
    #[must_use]
    pub fn new(parameters: InboundParameters) -> Self {
        let remote = match parameters.encapsulation {
            Encapsulation::Plain => 0,
            Encapsulation::Udp { remote_port, .. } => {
                fingerprint(SocketAddr::new(parameters.endpoints.remote(), remote_port))
            }
        };
        Self {
            keys: parameters.keys.into(),
            window: ReplayWindow::new(parameters.replay_window_packets),
            spi: parameters.spi,
            tunnel: parameters.tunnel,
            remote,
            esn: parameters.esn,
            in_udp: parameters.encapsulation != Encapsulation::Plain,
            end_told: false,
            moved_told_s: 0,
            packets: 0,
            bytes: 0,
            soft: parameters.lifetime.soft,
            hard: parameters.lifetime.hard,
            stats: Arc::default(),
        }
    }

    /// Our SPI.
    #[must_use]
    pub fn spi(&self) -> Spi {
        self.spi
    }

    /// The tunnel whose packets it carries.
    #[must_use]
    pub fn tunnel(&self) -> TunnelId {
        self.tunnel
    }

    /// Its counts: clone this before the SA goes to a worker.
    #[must_use]
    pub fn stats(&self) -> Arc<InboundStats> {
        Arc::clone(&self.stats)
    }

    /// Asks the CPU for what opening reads and writes besides this value: key, window, counts.
    #[inline]
    pub(crate) fn prefetch(&self) {
        self.keys.prefetch();
        self.window.prefetch();
        dpdk_sys::prefetch(&*self.stats);
    }

    /// Whether the hard lifetime is over.
    #[inline]
    pub(crate) fn is_expired(&self) -> bool {
        self.hard.reached(self.packets, self.bytes)
    }

    /// Whether the next so many packets bring nothing about that control is told of, and come from where others came from: then they may be counted
    /// together ([`InboundSa::add`]), but for [`InboundSa::is_near_the_end`]. `false` where that is not certain.
    #[inline]
    pub(crate) fn is_quiet_for(&self, packets: u64) -> bool {
        let (after, bytes) = (self.packets + packets, self.bytes.saturating_add(packets << 16)); // none is longer
        let is_far = !self.soft.reached(after, bytes) && !self.hard.reached(after, bytes);
        is_far && self.packets > 0 && self.remote == 0
    }

    /// Counts authentic packets of an SA that is quiet for them.
    #[inline]
    pub(crate) fn add(&mut self, packets: u64, bytes: u64) {
        self.packets += packets;
        self.bytes += bytes;
    }

    /// Counts an authentic packet. Says which limit this very packet reached.
    #[inline]
    pub(crate) fn account(&mut self, bytes: u64) -> Option<Expiry> {
        let (packets_before, bytes_before) = (self.packets, self.bytes);
        self.packets += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        let (soft, hard) = (self.soft.reached(self.packets, self.bytes), self.is_expired());
        if !soft && !hard {
            return None;
        }
        let reached = if hard && !self.hard.reached(packets_before, bytes_before) {
            Some(Expiry::Hard)
        } else if soft && !self.soft.reached(packets_before, bytes_before) {
            Some(Expiry::Soft)
        } else {
            None
        };
        if let Some(expiry) = reached {
            self.stats.note(expiry);
        }
        reached
    }

    /// Whether the newest packet, just accepted, is the first in the last eighth of 32-bit sequence numbers: the peer
    /// will run out of them.
    pub(crate) fn is_near_the_end(&mut self, is_newest: bool) -> bool {
        let near = self.esn == Esn::Off && is_newest && self.window.top() > NEAR_THE_END;
        let is_news = near && !std::mem::replace(&mut self.end_told, true);
        if is_news {
            self.stats.note(Expiry::Soft);
        }
        is_news
    }

    /// Whether that was the first authentic packet.
    pub(crate) fn is_first(&self) -> bool {
        self.packets == 1
    }

    /// Stores the counts for the control thread: once per burst.
    pub(crate) fn publish(&self, now_ms: u64) {
        self.stats.packets.store(self.packets, Ordering::Relaxed);
        self.stats.bytes.store(self.bytes, Ordering::Relaxed);
        self.stats.last_used_ms.store(now_ms, Ordering::Relaxed);
    }

    pub(crate) fn count_replayed(&self) {
        add(&self.stats.replayed, 1);
    }

    pub(crate) fn count_forged(&self) {
        add(&self.stats.forged, 1);
    }

    /// Whether an authentic newest packet came from elsewhere than before and that should be reported now.
    pub(crate) fn has_moved(&mut self, remote: SocketAddr, now_s: u32) -> bool {
        let moved = self.remote != 0 && self.remote != fingerprint(remote) && self.moved_told_s != now_s;
        if moved {
            self.moved_told_s = now_s;
        }
        moved
    }

    /// The peer's packets come from here now, in UDP or not.
    pub(crate) fn set_remote(&mut self, remote: SocketAddr, in_udp: bool) {
        self.in_udp = in_udp;
        self.remote = if in_udp { fingerprint(remote) } else { 0 };
    }
}

impl std::fmt::Debug for InboundSa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InboundSa")
            .field("spi", &self.spi)
            .field("tunnel", &self.tunnel)
            .field("top", &self.window.top())
            .finish_non_exhaustive()
    }
}

impl InboundStats {
    /// Authentic packets.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.packets.load(Ordering::Relaxed)
    }

    /// Bytes of ESP payload (inner packet, padding, trailer) of authentic packets.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// When the last authentic packet came, in milliseconds of the workers' clock; 0 for never.
    #[must_use]
    pub fn last_used_ms(&self) -> u64 {
        self.last_used_ms.load(Ordering::Relaxed)
    }

    /// Packets dropped because their number was seen before or left of the window.
    #[must_use]
    pub fn replayed(&self) -> u64 {
        self.replayed.load(Ordering::Relaxed)
    }

    /// Packets whose tag did not match.
    #[must_use]
    pub fn forged(&self) -> u64 {
        self.forged.load(Ordering::Relaxed)
    }
}

impl InboundStats {
    /// Which limit the SA has reached: what [`crate::message::Event::Expired`] told, should that have been lost.
    #[must_use]
    pub fn reached(&self) -> Option<Expiry> {
        match self.reached.load(Ordering::Relaxed) {
            0 => None,
            REACHED_SOFT => Some(Expiry::Soft),
            _ => Some(Expiry::Hard),
        }
    }

    /// Limits are reached in their order.
    fn note(&self, expiry: Expiry) {
        let value = if expiry == Expiry::Soft { REACHED_SOFT } else { REACHED_HARD };
        let before = self.reached.load(Ordering::Relaxed);
        self.reached.store(value.max(before), Ordering::Relaxed);
    }
}

const REACHED_SOFT: u8 = 1;
const REACHED_HARD: u8 = 2;

/// One writer: a load and a store do.
fn add(cell: &AtomicU64, amount: u64) {
    cell.store(cell.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
}

/// Seven eighths of the 32-bit sequence numbers.
const NEAR_THE_END: u64 = (1 << 32) / 8 * 7;

/// Thirty-two bits that tell one remote address and port from another, never 0. Only decides whether to look closer: FNV-1a.
fn fingerprint(remote: SocketAddr) -> u32 {
    let mut hash = 0x811c_9dc5_u32;
    let mut mix = |bytes: &[u8]| {
        for byte in bytes {
            hash = (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        }
    };
    match remote {
        SocketAddr::V4(remote) => mix(&remote.ip().octets()),
        SocketAddr::V6(remote) => mix(&remote.ip().octets()),
    }
    mix(&remote.port().to_be_bytes());
    hash.max(1)
}
