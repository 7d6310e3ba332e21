//! An outbound SA: what every worker reads to seal for it, and the few words that they share.
//!
//! The hot part is templated by the control thread and never changes; a new outer address is a new `OutboundSa` with the
//! same sequence (see [`OutboundSa::successor`]). The shared words have cache lines of their own: one atomic add per SA and
//! burst takes sequence numbers, another counts bytes. RFC 4303, 3.3; RFC 4106, 3 (the IV is the sequence number).

use std::net::IpAddr;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::time::Duration;

use crate::forwarding::TunnelId;
use crate::header::{Protocol, be16};
use crate::pmtu::Overhead;
use crate::sa::{Encapsulation, Endpoints, Esn, Expiry, Keys, Lifetime, SealKeys, Writers};
use crate::spi::Spi;
use crate::transform::Sealer;

/// What the outer header's DSCP becomes (RFC 4301, 5.1.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DscpPolicy {
    /// That of the inner header.
    Copy,
    /// Always this one (0 to 63; the upper two bits are ignored).
    Fixed(u8),
}

/// What the control thread says to make an outbound SA.
pub struct OutboundParameters {
    /// The tunnel (Child SA policy) whose packets it carries.
    pub tunnel: TunnelId,
    /// The peer's inbound SPI.
    pub spi: Spi,
    /// What seals its packets.
    pub keys: Keys<Sealer>,
    /// Outer addresses.
    pub endpoints: Endpoints,
    /// Plain or in UDP.
    pub encapsulation: Encapsulation,
    /// Width of sequence numbers.
    pub esn: Esn,
    /// The first sequence number to send; 1 for a new SA (RFC 4303, 3.3.3).
    pub first_sequence: NonZeroU64,
    /// Limits in packets and bytes.
    pub lifetime: Lifetime,
    /// Outer DSCP.
    pub dscp: DscpPolicy,
    /// Longest outer IP packet at first, in bytes: the MTU of the interface towards the peer.
    pub path_mtu_bytes: u16,
    /// Send a NAT keepalive when nothing was sent for this long (RFC 3948, 4); `None` unless we are behind a NAT.
    pub keepalive: Option<Duration>,
}

/// An outbound SA, shared by all workers of one set and the control thread. Never by two sets: a set of one worker takes sequence numbers
/// as their only writer.
#[repr(C)]
pub struct OutboundSa {
    pub(crate) hot: Hot,
    first_sequence: u64,
    /// 0: none.
    pub(crate) keepalive_ms: u32,
}

/// The last sequence number with ESN: far from 2^64, so that concurrent reservations beyond it cannot wrap around.
const LAST_SEQUENCE_ESN: u64 = 1 << 63;
/// The last one without (RFC 4303, 3.3.3).
const LAST_SEQUENCE_SHORT: u64 = u32::MAX as u64;

/// What counts as sent recently.
const RECENT_PACKETS: u64 = 1 << 22;

/// TTL and hop limit of outer headers.
const OUTER_HOP_LIMIT: u8 = 64;

/// Outer header template: IPv4 (20) or IPv6 (40), then UDP (8) if encapsulated, then SPI (4).
pub(crate) const TEMPLATE_BYTES: usize = 52;

/// What a worker reads per packet: two cache lines, key schedule apart.
#[repr(C, align(64))]
pub(crate) struct Hot {
    pub(crate) template: [u8; TEMPLATE_BYTES],
    pub(crate) template_bytes: u8,
    pub(crate) outer: Outer,
    pub(crate) esn: Esn,
    pub(crate) dscp: OuterDscp,
    /// Sum of the 16-bit words of an IPv4 template's header, for its checksum.
    pub(crate) sum: u32,
    pub(crate) keys: SealKeys,
    pub(crate) tunnel: TunnelId,
    /// The SPI as it is sent; it ends the template, too.
    pub(crate) spi: [u8; 4],
    soft_sequence: u64,
    last_sequence: u64,
    soft_bytes: u64,
    hard_bytes: u64,
    shared: Arc<Shared>,
}

const _: () = assert!(size_of::<Hot>() <= 128, "an SA's hot part is two cache lines");
const _: () = assert!(size_of::<OutboundSa>() == 192, "what is not hot has a third line");
const _: () = assert!(size_of::<Shared>() == 128, "two lines, which CPUs fetch as a pair");

/// How the outer traffic class comes from the inner one: bits that are taken over, and bits that are set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OuterDscp {
    pub(crate) kept: u8,
    pub(crate) set: u8,
}

/// Family and encapsulation in one: picks the function that writes outer headers, once per SA and burst.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outer {
    V4,
    V4Udp,
    V6,
    V6Udp,
}

fn keepalive_ms(keepalive: Option<Duration>) -> u32 {
    keepalive.map_or(0, |every| u32::try_from(every.as_millis()).unwrap_or(u32::MAX))
}

impl OutboundSa {
    /// Builds the SA with its outer header. Allocates: for the control thread.
    #[must_use]
    pub fn new(parameters: OutboundParameters) -> Self {
        let first = parameters.first_sequence.get();
        let space = match parameters.esn {
            Esn::On => LAST_SEQUENCE_ESN,
            Esn::Off => LAST_SEQUENCE_SHORT,
        };
        let Lifetime { soft, hard } = parameters.lifetime;
        let last_sequence = space.min((first - 1).saturating_add(hard.packets));
        // Whatever the lifetimes say, the control thread hears of the end of the sequence numbers an eighth before it.
        let soft_sequence = (space - space / 8).min((first - 1).saturating_add(soft.packets));
        let mut sa = Self {
            hot: Hot {
                template: [0; TEMPLATE_BYTES],
                template_bytes: 0,
                outer: Outer::V4,
                esn: parameters.esn,
                dscp: parameters.dscp.into(),
                sum: 0,
                keys: parameters.keys.into(),
                tunnel: parameters.tunnel,
                spi: parameters.spi.get().to_be_bytes(),
                soft_sequence,
                last_sequence,
                soft_bytes: soft.bytes,
                hard_bytes: hard.bytes,
                shared: Arc::new(Shared {
                    next_sequence: AtomicU64::new(first),
                    bytes: AtomicU64::new(0),
                    last_used_ms: AtomicU64::new(0),
                    path_mtu_bytes: AtomicU16::new(parameters.path_mtu_bytes),
                }),
            },
            first_sequence: first,
            keepalive_ms: keepalive_ms(parameters.keepalive),
        };
        sa.hot.write_template(parameters.spi, parameters.endpoints, parameters.encapsulation);
        sa
    }

    /// The same SA (key, sequence numbers, counts) under other outer addresses: the peer's NAT gave it another port, say.
    /// Install it in place of the old one. `keepalive` as in [`OutboundParameters`].
    #[must_use]
    pub fn successor(
        &self,
        endpoints: Endpoints,
        encapsulation: Encapsulation,
        keepalive: Option<Duration>,
    ) -> Self {
        let hot = &self.hot;
        let (keys, shared) = (hot.keys.clone(), Arc::clone(&hot.shared));
        let hot = Hot { keys, shared, ..*hot };
        let mut sa = Self { hot, keepalive_ms: keepalive_ms(keepalive), ..*self };
        sa.hot.write_template(self.spi(), endpoints, encapsulation);
        sa
    }

    /// The tunnel whose packets it carries.
    #[must_use]
    pub fn tunnel(&self) -> TunnelId {
        self.hot.tunnel
    }

    /// The peer's inbound SPI.
    #[must_use]
    pub fn spi(&self) -> Spi {
        self.hot.spi()
    }

    /// Packets sent so far.
    #[must_use]
    pub fn packets(&self) -> u64 {
        // Reservations beyond the end were refused, whatever they left in the counter.
        self.hot.shared.next_sequence.load(Ordering::Relaxed).min(self.hot.last_sequence + 1)
            - self.first_sequence
    }

    /// Bytes of ESP payload (inner packet, padding, trailer) sent so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.hot.shared.bytes.load(Ordering::Relaxed)
    }

    /// When it last sent, in milliseconds of the workers' clock; 0 for never.
    #[must_use]
    pub fn last_used_ms(&self) -> u64 {
        self.hot.shared.last_used_ms.load(Ordering::Relaxed)
    }

    /// Longest outer IP packet that the path takes, in bytes.
    #[must_use]
    pub fn path_mtu_bytes(&self) -> u16 {
        self.hot.shared.path_mtu_bytes.load(Ordering::Relaxed)
    }

    /// Tells all workers of another path MTU. For the control thread, after [`crate::message::Event::PathTooBig`].
    pub fn set_path_mtu_bytes(&self, bytes: u16) {
        self.hot.shared.path_mtu_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Whether this SA sent the packet with these low 32 bits of its sequence number, among its last 2^22: those of some seconds, on the fastest
    /// path. What a router quotes has to be one of them (RFC 5927, 4.1, in the way of RFC 4301, 8.2.1).
    #[must_use]
    pub fn sent_recently(&self, sequence_low: u32) -> bool {
        let next = self.first_sequence + self.packets();
        let [.., a, b, c, d] = (next - 1).to_be_bytes();
        let behind = u64::from(u32::from_be_bytes([a, b, c, d]).wrapping_sub(sequence_low));
        behind < RECENT_PACKETS.min(self.packets())
    }

    /// Which limit the SA has reached by its counts: what [`crate::message::Event::Expired`] told, should that have been lost.
    #[must_use]
    pub fn reached(&self) -> Option<Expiry> {
        let (hot, bytes) = (&self.hot, self.bytes());
        let past = self.first_sequence + self.packets(); // first number not sent
        if past > hot.last_sequence {
            Some(hot.end())
        } else if bytes >= hot.hard_bytes {
            Some(Expiry::Hard)
        } else if past > hot.soft_sequence || bytes >= hot.soft_bytes {
            Some(Expiry::Soft)
        } else {
            None
        }
    }

    /// The longest inner packet that fits, in bytes.
    pub(crate) fn inner_mtu_bytes(&self) -> u16 {
        let overhead = match self.hot.outer {
            Outer::V4 => Overhead::Ipv4,
            Outer::V4Udp => Overhead::Ipv4Udp,
            Outer::V6 => Overhead::Ipv6,
            Outer::V6Udp => Overhead::Ipv6Udp,
        };
        overhead.inner_mtu_bytes(self.hot.keys.shape(), self.path_mtu_bytes())
    }

    /// Asks the CPU for what a burst changes and reads besides the hot part: shared words and key.
    #[inline]
    pub(crate) fn prefetch(&self) {
        dpdk_sys::prefetch(&*self.hot.shared);
        self.hot.keys.prefetch();
    }

    /// Why no further number is granted, once one was refused.
    #[cold]
    pub(crate) fn refusal(&self) -> Expiry {
        let is_used_up = self.hot.shared.bytes.load(Ordering::Relaxed) >= self.hot.hard_bytes;
        if is_used_up { Expiry::Hard } else { self.hot.end() }
    }

    /// Takes the next `packets` sequence numbers. One add, unless the SA is at its end.
    pub(crate) fn reserve(&self, packets: u32, writers: Writers) -> Grant {
        let (hot, shared) = (&self.hot, &*self.hot.shared);
        let next = shared.next_sequence.load(Ordering::Relaxed);
        let bytes_used_up = shared.bytes.load(Ordering::Relaxed) >= hot.hard_bytes;
        if next > hot.last_sequence || bytes_used_up {
            let refused = if bytes_used_up { Expiry::Hard } else { hot.end() };
            return Grant { first: next, granted: 0, reached: None, refused: Some(refused) };
        }
        let first = writers.add(&shared.next_sequence, u64::from(packets));
        let room = (hot.last_sequence + 1).saturating_sub(first);
        let granted = u32::try_from(room).unwrap_or(u32::MAX).min(packets);
        let past = first.saturating_add(u64::from(granted)); // first number not granted
        let reached = if granted > 0 && past > hot.last_sequence {
            Some(hot.end())
        } else if first <= hot.soft_sequence && past > hot.soft_sequence {
            Some(Expiry::Soft)
        } else {
            None
        };
        Grant { first, granted, reached, refused: (granted < packets).then(|| hot.end()) }
    }

    /// Counts what a burst sent. Says which limit it reached, to exactly one of several workers.
    pub(crate) fn account(&self, bytes: u64, now_ms: u64, writers: Writers) -> Option<Expiry> {
        let before = writers.add(&self.hot.shared.bytes, bytes);
        let after = before.saturating_add(bytes);
        if self.hot.shared.last_used_ms.load(Ordering::Relaxed) != now_ms {
            self.hot.shared.last_used_ms.store(now_ms, Ordering::Relaxed);
        }
        let crossed = |limit: u64| before < limit && after >= limit;
        if crossed(self.hot.hard_bytes) {
            Some(Expiry::Hard)
        } else if crossed(self.hot.soft_bytes) {
            Some(Expiry::Soft)
        } else {
            None
        }
    }

    /// Whether nothing was sent for so long that the NAT in front of us might forget (RFC 3948, 4).
    pub(crate) fn keepalive_is_due(&self, now_ms: u64) -> bool {
        let every_ms = u64::from(self.keepalive_ms);
        every_ms != 0 && now_ms.saturating_sub(self.last_used_ms()) >= every_ms
    }

    /// Notes a keepalive as use, so that the next one is a whole interval away.
    pub(crate) fn touch(&self, now_ms: u64) {
        self.hot.shared.last_used_ms.store(now_ms, Ordering::Relaxed);
    }
}

impl std::fmt::Debug for OutboundSa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OutboundSa")
            .field("spi", &self.spi())
            .field("tunnel", &self.tunnel())
            .field("packets", &self.packets())
            .field("bytes", &self.bytes())
            .finish_non_exhaustive()
    }
}

impl Hot {
    /// What stands behind the last sequence number: a lifetime in packets, or the end of the number space.
    fn end(&self) -> Expiry {
        if self.last_sequence == LAST_SEQUENCE_SHORT || self.last_sequence == LAST_SEQUENCE_ESN {
            Expiry::Sequence
        } else {
            Expiry::Hard
        }
    }

    /// Where the ESP header begins in an outer packet.
    #[inline]
    pub(crate) fn esp_at(&self) -> u16 {
        match self.outer {
            Outer::V4 => 20,
            Outer::V4Udp => 28,
            Outer::V6 => 40,
            Outer::V6Udp => 48,
        }
    }

    /// Whether a UDP header stands before it.
    pub(crate) fn is_in_udp(&self) -> bool {
        matches!(self.outer, Outer::V4Udp | Outer::V6Udp)
    }

    fn spi(&self) -> Spi {
        Spi::new(u32::from_be_bytes(self.spi)).expect("written from an Spi")
    }

    /// The outer destination, from the template.
    pub(crate) fn remote(&self) -> IpAddr {
        let template = &self.template;
        match self.outer {
            Outer::V4 | Outer::V4Udp => {
                IpAddr::from([template[16], template[17], template[18], template[19]])
            }
            Outer::V6 | Outer::V6Udp => {
                IpAddr::from(std::array::from_fn::<u8, 16, _>(|at| template[24 + at]))
            }
        }
    }

    /// Everything of the outer headers that does not change from packet to packet; lengths, identification, traffic class and checksums
    /// are zero.
    fn write_template(&mut self, spi: Spi, endpoints: Endpoints, encapsulation: Encapsulation) {
        let protocol = match encapsulation {
            Encapsulation::Plain => Protocol::ESP,
            Encapsulation::Udp { .. } => Protocol::UDP,
        };
        let mut template = Vec::with_capacity(TEMPLATE_BYTES);
        match endpoints {
            Endpoints::V4 { local, remote } => {
                template.extend([0x45, 0, 0, 0, 0, 0, 0, 0, OUTER_HOP_LIMIT, protocol.0, 0, 0]);
                template.extend(local.octets());
                template.extend(remote.octets());
            }
            Endpoints::V6 { local, remote } => {
                template.extend([0x60, 0, 0, 0, 0, 0, protocol.0, OUTER_HOP_LIMIT]);
                template.extend(local.octets());
                template.extend(remote.octets());
            }
        }
        self.outer = match (endpoints, encapsulation) {
            (Endpoints::V4 { .. }, Encapsulation::Plain) => Outer::V4,
            (Endpoints::V4 { .. }, Encapsulation::Udp { .. }) => Outer::V4Udp,
            (Endpoints::V6 { .. }, Encapsulation::Plain) => Outer::V6,
            (Endpoints::V6 { .. }, Encapsulation::Udp { .. }) => Outer::V6Udp,
        };
        if let Encapsulation::Udp { local_port, remote_port } = encapsulation {
            template.extend(local_port.to_be_bytes());
            template.extend(remote_port.to_be_bytes());
            template.extend([0; 4]);
        }
        template.extend(spi.get().to_be_bytes());
        self.template[..template.len()].copy_from_slice(&template);
        self.template_bytes = template.len().to_le_bytes()[0]; // at most 52
        let words = self.template[..20].chunks_exact(2).map(|word| u32::from(be16(word, 0)));
        self.sum = words.sum();
    }
}

/// What workers write: lines that nobody reads who does not write them too.
#[repr(C, align(128))]
struct Shared {
    next_sequence: AtomicU64,
    bytes: AtomicU64,
    last_used_ms: AtomicU64,
    path_mtu_bytes: AtomicU16,
}

/// Sequence numbers taken for a burst: `granted` of them from `first` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grant {
    /// The first number.
    pub(crate) first: u64,
    /// How many; fewer than asked for when a limit was reached.
    pub(crate) granted: u32,
    /// A limit that this very grant reached: to be reported once, by whoever got it.
    pub(crate) reached: Option<Expiry>,
    /// Why fewer were granted than asked for.
    pub(crate) refused: Option<Expiry>,
}
