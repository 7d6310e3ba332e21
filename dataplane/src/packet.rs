//! What stages say to each other about a packet: one plain record for each state that a packet can be in, beside the mbuf that
//! it owns. A packet leaves the pipeline sent, punted, handed over, or by `discard`.

use std::net::{IpAddr, SocketAddr};

use arrayvec::ArrayVec;
use dpdk_sys::{BURST_PACKETS, Mbuf};

use crate::counter::{Counter, Local};
use crate::esp::Inner;
use crate::forwarding::{InterfaceId, TunnelId, VrfId};
use crate::header::ipv4::Ipv4View;
use crate::header::ipv6::Ipv6View;
use crate::header::{Protocol, be16, udp};
use crate::icmp::Delivery;
use crate::pmtu::Fit;
use crate::selector::Flow;
use crate::spi::SaSlot;

/// IP version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// Packets in one state, at most a burst of them.
pub(crate) type Batch<T> = ArrayVec<T, BURST_PACKETS>;

/// Where a clear packet came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// An interface, in a frame addressed this way.
    Interface(InterfaceId, Delivery),
    /// A tunnel: authentic, covered by its selectors, and from where its route leads.
    Tunnel(TunnelId),
    /// This worker or the control thread made it, in answer to what came on that interface, if any: no ICMP error may answer it, and
    /// its TTL is as it should leave.
    Ourselves(Option<InterfaceId>),
}

impl Origin {
    /// The link on which link-local addresses of the packet mean something (RFC 4007, 5).
    pub(crate) fn link(self) -> Option<InterfaceId> {
        match self {
            Self::Interface(link, _) => Some(link),
            Self::Tunnel(_) => None,
            Self::Ourselves(link) => link,
        }
    }
}

/// A clear packet to be routed. The mbuf's data is the IP packet, header checked, nothing before or behind it; if it lies in several segments, all headers are in the
/// first one.
pub(crate) struct Clear {
    pub(crate) mbuf: Mbuf,
    pub(crate) vrf: VrfId,
    pub(crate) origin: Origin,
    pub(crate) inner: Inner,
    pub(crate) flow: Flow,
}

/// A received ESP packet. What lies around it in the mbuf stays until it has been opened: places are offsets in the mbuf's data, in bytes.
pub(crate) struct Sealed {
    pub(crate) mbuf: Mbuf,
    /// The outer IP header.
    pub(crate) at: u16,
    /// The ESP header.
    pub(crate) esp_at: u16,
    /// The first byte behind the tag.
    pub(crate) end: u16,
    /// Whether a UDP header stands right before the ESP header.
    pub(crate) in_udp: bool,
    /// DSCP and ECN of the outer IP header.
    pub(crate) outer_class: u8,
}

impl Sealed {
    /// From the ESP header to the tag, if the packet lies in one segment; else nothing.
    #[inline]
    pub(crate) fn esp(&self) -> &[u8] {
        self.mbuf.data().get(usize::from(self.esp_at)..usize::from(self.end)).unwrap_or_default()
    }

    /// Source address and port, if it came in UDP.
    pub(crate) fn socket(&self) -> Option<SocketAddr> {
        if self.in_udp { self.ends().map(|(source, _)| source) } else { None }
    }

    /// Source and destination; the ports are 0 if it did not come in UDP.
    pub(crate) fn ends(&self) -> Option<(SocketAddr, SocketAddr)> {
        let data = self.mbuf.data().get(usize::from(self.at)..)?;
        let before = data.get(..usize::from(self.esp_at.checked_sub(self.at)?))?;
        let port = |at| {
            let udp = before.last_chunk::<{ udp::HEADER_BYTES }>().filter(|_| self.in_udp);
            udp.map_or(0, |udp| be16(udp, at))
        };
        let (source, destination): (IpAddr, IpAddr) = match data.first()? >> 4 {
            4 => {
                let view = Ipv4View::of_front(data, usize::MAX).ok()?;
                (view.source().into(), view.destination().into())
            }
            _ => {
                let address = |at: usize| data.get(at..)?.first_chunk::<16>().copied().map(IpAddr::from);
                (address(8)?, address(24)?)
            }
        };
        Some((SocketAddr::new(source, port(0)), SocketAddr::new(destination, port(2))))
    }
}

/// A received ESP packet whose SA is known and whose number is not old: to be opened.
pub(crate) struct Opening {
    pub(crate) packet: Sealed,
    pub(crate) slot: SaSlot,
    pub(crate) sequence: u64,
}

/// A clear packet on its way into a tunnel. What lies around it in the mbuf goes when ESP comes.
pub(crate) struct Entering {
    pub(crate) mbuf: Mbuf,
    pub(crate) tunnel: TunnelId,
    /// Where the packet begins in the mbuf's data, and its length, in bytes.
    pub(crate) at: u16,
    pub(crate) bytes: u16,
    /// With the outer header's DF bit in the place of its own.
    pub(crate) inner: Inner,
    /// [`Fit::Whole`], [`Fit::InSegments`], or [`Fit::FragmentOuter`].
    pub(crate) fit: Fit,
    /// Whether it is a frame by now, with the link header in front.
    pub(crate) framed: bool,
}

impl Entering {
    /// All that is in the mbuf. A packet that is too long is refused by the seal stage.
    pub(crate) fn whole(mbuf: Mbuf, tunnel: TunnelId, inner: Inner, fit: Fit) -> Self {
        let bytes = u16::try_from(mbuf.len_bytes()).unwrap_or(u16::MAX);
        Self { mbuf, tunnel, at: 0, bytes, inner, fit, framed: false }
    }
}

/// A whole IP packet that is to leave on an interface.
pub(crate) struct Leaving {
    pub(crate) mbuf: Mbuf,
    pub(crate) interface: InterfaceId,
    pub(crate) next_hop: IpAddr,
}

/// Drops a packet under a reason: counter and drop are this one call.
pub(crate) fn discard(mbuf: Mbuf, reason: Counter, counters: &mut Local) {
    debug_assert!(reason.is_drop(), "{reason:?} is no drop reason");
    counters.count(reason);
    drop(mbuf);
}

/// Puts a packet on a stage's list. The worker takes in no more than the lists hold; were that ever wrong, it would cost this packet
/// rather than the worker's thread.
pub(crate) fn put<T: Into<Mbuf>>(list: &mut Batch<T>, packet: T, counters: &mut Local) {
    if let Err(full) = list.try_push(packet) {
        discard(full.element().into(), Counter::StageFull, counters);
    }
}

impl From<Clear> for Mbuf {
    fn from(packet: Clear) -> Self {
        packet.mbuf
    }
}

impl From<Sealed> for Mbuf {
    fn from(packet: Sealed) -> Self {
        packet.mbuf
    }
}

impl From<Opening> for Mbuf {
    fn from(packet: Opening) -> Self {
        packet.packet.mbuf
    }
}

impl From<Entering> for Mbuf {
    fn from(packet: Entering) -> Self {
        packet.mbuf
    }
}

impl From<Leaving> for Mbuf {
    fn from(packet: Leaving) -> Self {
        packet.mbuf
    }
}

/// What selectors and outer headers want to know of an IPv4 packet.
pub(crate) fn describe_v4(view: &Ipv4View<'_>) -> (Inner, Flow) {
    let has_payload_start = view.fragment_offset_bytes() == 0;
    let (source_port, destination_port) = ports(view.protocol(), view.payload(), has_payload_start);
    let inner = Inner {
        family: Family::V4,
        traffic_class: view.traffic_class(),
        dont_fragment: view.dont_fragment(),
    };
    let flow = Flow {
        source: view.source().into(),
        destination: view.destination().into(),
        protocol: view.protocol(),
        source_port,
        destination_port,
    };
    (inner, flow)
}

/// Like [`describe_v4`], for IPv6.
pub(crate) fn describe_v6(view: &Ipv6View<'_>) -> (Inner, Flow) {
    let has_payload_start = view.fragment().is_none_or(|fragment| fragment.offset_bytes == 0);
    let (source_port, destination_port) = ports(view.protocol(), view.payload(), has_payload_start);
    let inner = Inner { family: Family::V6, traffic_class: view.traffic_class(), dont_fragment: true };
    let flow = Flow {
        source: view.source().into(),
        destination: view.destination().into(),
        protocol: view.protocol(),
        source_port,
        destination_port,
    };
    (inner, flow)
}

/// Ports, or ICMP type and code in the place of both (RFC 4301, 4.4.1.1).
fn ports(protocol: Protocol, payload: &[u8], has_payload_start: bool) -> (Option<u16>, Option<u16>) {
    let word = |at: usize| (has_payload_start && payload.len() >= at + 2).then(|| be16(payload, at));
    match protocol {
        Protocol::ICMP | Protocol::ICMPV6 => (word(0), word(0)),
        _ if protocol.has_ports() => (word(0), word(2)),
        _ => (None, None),
    }
}
