//! Packets and the size of the path. For packets into a tunnel: what fits ([`Overhead`], [`fit_v4`], [`fit_v6`]), TCP MSS
//! clamping ([`clamp_mss_v4`], [`clamp_mss_v6`]). For the tunnel's own packets: what routers say about their size
//! (`pmtu/learn.rs`, RFC 4301, 8.2). Cutting and collecting fragments is DPDK's `rte_ip_frag`, behind `dpdk_sys`.
//!
//! Called by the pipeline outbound between tunnel lookup and ESP, inbound before ESP. The path MTU itself
//! is kept with the outbound SA and set by the control thread.

use crate::header::checksum;
use crate::header::ipv4::{self, Ipv4View};
use crate::header::ipv6::{self, Ipv6View};
use crate::header::tcp::{self, TcpView};
use crate::header::{Protocol, be16, esp, udp};
use crate::transform::Shape;

pub use learn::{TooBig, path_mtu_after};
pub use reassembly::{FRAGMENTS_HELD_MAX, Reassemblers, one_segment};

mod learn;
pub(crate) mod reassembly;

/// What a tunnel's headers take from the path MTU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overhead {
    /// ESP in IPv4.
    Ipv4,
    /// ESP in UDP in IPv4 (RFC 3948).
    Ipv4Udp,
    /// ESP in IPv6.
    Ipv6,
    /// ESP in UDP in IPv6.
    Ipv6Udp,
}

impl Overhead {
    /// The longest inner packet whose ESP packet of this shape fits into `path_mtu_bytes`; 0 if none does. The inner
    /// packet, padding and trailer fill a multiple of the transform's block, of four bytes at least (RFC 4303, 2.4).
    #[must_use]
    pub const fn inner_mtu_bytes(self, shape: Shape, path_mtu_bytes: u16) -> u16 {
        let outer = match self {
            Self::Ipv4 => ipv4::HEADER_BYTES,
            Self::Ipv4Udp => ipv4::HEADER_BYTES + udp::HEADER_BYTES,
            Self::Ipv6 => ipv6::HEADER_BYTES,
            Self::Ipv6Udp => ipv6::HEADER_BYTES + udp::HEADER_BYTES,
        };
        let around = narrow(outer + shape.front_bytes() + shape.icv_bytes as usize);
        let sealed = path_mtu_bytes.saturating_sub(around) & !(shape.block_bytes as u16 - 1);
        sealed.saturating_sub(narrow(esp::TRAILER_BYTES))
    }
}

/// What to do with a packet that is to enter a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It fits as it is.
    Whole,
    /// Cut it into pieces of at most so many bytes first, with `dpdk_sys::fragment_ipv4`.
    FragmentInner(u16),
    /// Seal it whole and let the outer packet be cut: inner IPv6 must be able to carry 1280 bytes over every
    /// path (RFC 8200, 5), and inner IPv4 68.
    FragmentOuter,
    /// It fits, and lies in several buffers: seal it where it is.
    InSegments,
    /// Drop it and tell the sender this MTU, in bytes.
    TooBig(u16),
}

/// Decides for an inner IPv4 packet.
#[must_use]
pub fn fit_v4(total_bytes: u16, dont_fragment: bool, inner_mtu_bytes: u16) -> Fit {
    let mtu_bytes = inner_mtu_bytes.max(ipv4::MINIMUM_MTU_BYTES);
    match total_bytes {
        _ if total_bytes <= inner_mtu_bytes => Fit::Whole,
        _ if total_bytes <= mtu_bytes => Fit::FragmentOuter,
        _ if dont_fragment => Fit::TooBig(mtu_bytes),
        _ => Fit::FragmentInner(mtu_bytes),
    }
}

/// Decides for an inner IPv6 packet, which only its sender may fragment.
#[must_use]
pub fn fit_v6(total_bytes: usize, inner_mtu_bytes: u16) -> Fit {
    let mtu_bytes = inner_mtu_bytes.max(ipv6::MINIMUM_MTU_BYTES);
    match total_bytes {
        _ if total_bytes <= usize::from(inner_mtu_bytes) => Fit::Whole,
        _ if total_bytes <= usize::from(mtu_bytes) => Fit::FragmentOuter,
        _ => Fit::TooBig(mtu_bytes),
    }
}

/// The MSS for TCP over IPv4 that fits into an MTU without IP and TCP options (RFC 6691), in bytes.
#[must_use]
pub const fn mss_v4_bytes(mtu_bytes: u16) -> u16 {
    mtu_bytes.saturating_sub(narrow(ipv4::HEADER_BYTES + tcp::HEADER_BYTES))
}

/// Like [`mss_v4_bytes`], over IPv6.
#[must_use]
pub const fn mss_v6_bytes(mtu_bytes: u16) -> u16 {
    mtu_bytes.saturating_sub(narrow(ipv6::HEADER_BYTES + tcp::HEADER_BYTES))
}

/// Lowers the MSS option of a TCP SYN to `mss_bytes` if it is higher, and updates the TCP checksum. Returns whether it did.
/// Everything else (other protocols, later fragments, no option) stays as it is. `packet` begins with a valid IPv4 header, and with TCP's.
pub fn clamp_mss_v4(packet: &mut [u8], mss_bytes: u16) -> bool {
    let Ok(view) = Ipv4View::of_front(packet, usize::MAX) else { return false };
    if view.protocol() != Protocol::TCP || view.fragment_offset_bytes() != 0 {
        return false;
    }
    let at = view.header_bytes();
    clamp_mss(&mut packet[at..], mss_bytes)
}

/// Like [`clamp_mss_v4`], for IPv6.
pub fn clamp_mss_v6(packet: &mut [u8], mss_bytes: u16) -> bool {
    let Ok(view) = Ipv6View::of_front(packet, usize::MAX) else { return false };
    if view.protocol() != Protocol::TCP || view.fragment().is_some_and(|fragment| fragment.offset_bytes != 0)
    {
        return false;
    }
    let at = view.header_bytes();
    clamp_mss(&mut packet[at..], mss_bytes)
}

fn clamp_mss(segment: &mut [u8], mss_bytes: u16) -> bool {
    let Some(tcp) = TcpView::new(segment) else { return false };
    let Some((at, offered_bytes)) = tcp.mss() else { return false };
    if !tcp.is_syn() || offered_bytes <= mss_bytes {
        return false;
    }
    // At an odd place the value's two bytes lie in two words of the sum, swapped (RFC 1071, 2 (B)).
    let swap = |value: u16| if at % 2 == 0 { value } else { value.swap_bytes() };
    let updated = checksum::update(be16(segment, CHECKSUM_AT), swap(offered_bytes), swap(mss_bytes));
    segment[at..at + 2].copy_from_slice(&mss_bytes.to_be_bytes());
    segment[CHECKSUM_AT..CHECKSUM_AT + 2].copy_from_slice(&updated.to_be_bytes());
    true
}

/// The length of a few headers as what lengths on the wire are.
#[expect(clippy::cast_possible_truncation, reason = "a sum of header lengths, some dozens of bytes")]
const fn narrow(bytes: usize) -> u16 {
    bytes as u16
}

/// Where TCP's checksum stands in a segment.
const CHECKSUM_AT: usize = 16;

#[cfg(test)]
mod tests;
