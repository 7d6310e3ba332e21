//! ICMP that the gateway itself sends: answers to echo requests for its own addresses, made in place, and errors towards a
//! sender (RFC 792, RFC 1812 4.3, RFC 4443), limited by a token bucket. Called by the pipeline, which finds the
//! source address, sends the packet like any other, and counts.
//!
//! What arrives about our own ESP packets is the business of [`crate::pmtu`].

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::counter::Counter;
use crate::header::icmp::{self, Icmp, IcmpView};
use crate::header::icmpv6::{self, Icmpv6, Icmpv6View};
use crate::header::ipv4::{self, Ipv4, Ipv4View};
use crate::header::ipv6::{self, Ipv6, Ipv6View};
use crate::header::{Protocol, be16, checksum};

pub use limit::TokenBucket;

mod limit;

/// TTL and hop limit of what we send.
pub const TTL: u8 = 64;
/// Longest IPv4 error (RFC 1812, 4.3.2.3), in bytes.
pub const ERROR_V4_BYTES: usize = 576;
/// Longest IPv6 error (RFC 4443, 2.4 (c)), in bytes.
pub const ERROR_V6_BYTES: usize = 1280;

/// Internetwork control: the DSCP of errors (RFC 1812, 4.3.2.5), as a traffic class.
const CONTROL: u8 = 0xc0;

/// How the frame of a packet was addressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// To one station, or out of a tunnel.
    Unicast,
    /// To a group or to all.
    Group,
}

/// Turns an IPv4 packet to one of our own addresses into the answer if it is an echo request; `Ok(false)` leaves other
/// ICMP as it is. The answer keeps length, data and traffic class (RFC 1122, 3.2.2.6). Call it for
/// packets without options, and only if the destination is a unicast address of ours.
///
/// # Errors
/// The drop reason: those of [`Ipv4View`], `Ipv4Options`, `IcmpMalformed` for a wrong ICMP length or checksum.
pub fn answer_echo_v4(packet: &mut [u8]) -> Result<bool, Counter> {
    let view = Ipv4View::with_checksum_known(packet)?;
    if view.header_bytes() != ipv4::HEADER_BYTES {
        return Err(Counter::Ipv4Options);
    }
    if view.protocol() != Protocol::ICMP || view.is_fragment() {
        return Ok(false);
    }
    let kind = IcmpView::new(view.payload())?.kind();
    if kind != icmp::Kind::ECHO_REQUEST {
        return Ok(false);
    }
    let answer = Ipv4 {
        traffic_class: view.traffic_class(),
        total_bytes: view.total_bytes(),
        identification: view.identification(),
        dont_fragment: view.dont_fragment(),
        ttl: TTL,
        protocol: Protocol::ICMP,
        source: view.destination(),
        destination: view.source(),
    };
    if let Some((head, message)) = packet.split_first_chunk_mut() {
        answer.write(head);
        set_kind(message, icmp::Kind::ECHO_REPLY.kind);
    }
    Ok(true)
}

/// Like [`answer_echo_v4`], for IPv6 (RFC 4443, 4.2). Requests to groups are left alone.
///
/// # Errors
/// The drop reason: those of [`Ipv6View`], `IcmpMalformed`.
pub fn answer_echo_v6(packet: &mut [u8]) -> Result<bool, Counter> {
    let view = Ipv6View::new(packet)?;
    let (source, destination) = (view.source(), view.destination());
    let has_extensions = view.header_bytes() != ipv6::HEADER_BYTES;
    if view.protocol() != Protocol::ICMPV6 || has_extensions || destination.is_multicast() {
        return Ok(false);
    }
    if Icmpv6View::new(view.payload(), source, destination)?.kind() != icmpv6::Kind::ECHO_REQUEST {
        return Ok(false);
    }
    let answer = Ipv6 {
        traffic_class: view.traffic_class(),
        flow_label: view.flow_label(),
        payload_bytes: view.payload_bytes(),
        next_header: Protocol::ICMPV6,
        hop_limit: TTL,
        source: destination,
        destination: source,
    };
    if let Some((head, message)) = packet.split_first_chunk_mut() {
        answer.write(head); // swapped addresses leave the sum over the pseudo header as it is
        set_kind(message, icmpv6::Kind::ECHO_REPLY.kind);
    }
    Ok(true)
}

/// Makes an echo request to a group one to `own`, an address of ours on the link of the group, so that the answer comes from there (RFC 4443,
/// 4.2). `false`: it has extension headers, and stays as it is. The checksum stays as right or wrong as it was.
pub fn ask_one_v6(packet: &mut [u8], own: Ipv6Addr) -> bool {
    let is_plain = Ipv6View::new(packet).is_ok_and(|view| view.header_bytes() == ipv6::HEADER_BYTES);
    let Some((destination, message)) =
        packet.get_mut(24..).and_then(|rest| rest.split_first_chunk_mut::<16>())
    else {
        return false;
    };
    let Some(sum) = message.get_mut(2..4).filter(|_| is_plain) else { return false };
    let own = own.octets();
    let words = destination.as_chunks::<2>().0.iter().zip(own.as_chunks::<2>().0);
    let updated = words.fold(be16(sum, 0), |updated, (old, new)| {
        checksum::update(updated, u16::from_be_bytes(*old), u16::from_be_bytes(*new))
    });
    sum.copy_from_slice(&updated.to_be_bytes());
    *destination = own;
    true
}

/// Replaces the type of a message and updates the checksum.
fn set_kind(message: &mut [u8], kind: u8) {
    let Some(head) = message.first_chunk_mut::<4>() else { return };
    let updated = checksum::update(be16(head, 2), be16(head, 0), u16::from_be_bytes([kind, head[1]]));
    head[0] = kind;
    head[2..].copy_from_slice(&updated.to_be_bytes());
}

/// Writes the IPv4 packet that tells the sender of `offending` what became of it, and returns its length in bytes.
/// `source` is our address towards the sender. None where an error is forbidden (RFC 1812, 4.3.2.7): about errors,
/// fragments other than the first, broadcasts and multicasts, and to senders that are no single host.
///
/// `offending` begins with a valid IPv4 header and is quoted as far as it is here and 576 bytes allow.
#[must_use]
pub fn error_v4(
    offending: &[u8],
    delivery: Delivery,
    error: Icmp,
    source: Ipv4Addr,
    out: &mut [u8; ERROR_V4_BYTES],
) -> Option<usize> {
    let view = Ipv4View::of_front(offending, usize::MAX).ok()?;
    let to_group = view.destination().is_multicast() || view.destination().is_broadcast();
    if delivery == Delivery::Group || to_group || !is_host_v4(view.source()) {
        return None;
    }
    if view.fragment_offset_bytes() != 0 {
        return None;
    }
    if view.protocol() == Protocol::ICMP {
        let [kind, code, ..] = *view.payload() else { return None };
        if (icmp::Kind { kind, code }).is_error() {
            return None;
        }
    }
    let (head, message) = out.split_first_chunk_mut()?;
    let (icmp_head, quote) = message.split_first_chunk_mut()?;
    let quoted = view.packet().len().min(quote.len());
    quote[..quoted].copy_from_slice(&view.packet()[..quoted]);
    error.write(icmp_head, &quote[..quoted]);
    let total = ipv4::HEADER_BYTES + icmp::HEADER_BYTES + quoted;
    let header = Ipv4 {
        traffic_class: CONTROL,
        total_bytes: u16::try_from(total).ok()?,
        identification: 0,
        dont_fragment: true, // atomic: the identification means nothing (RFC 6864, 4.1)
        ttl: TTL,
        protocol: Protocol::ICMP,
        source,
        destination: view.source(),
    };
    header.write(head);
    Some(total)
}

/// Like [`error_v4`], for IPv6 (RFC 4443, 2.4 (e)). "Packet too big" may answer a multicast; fragments other than the first are
/// never answered, since nobody can tell whether they are of an error.
#[must_use]
pub fn error_v6(
    offending: &[u8],
    delivery: Delivery,
    error: Icmpv6,
    source: Ipv6Addr,
    out: &mut [u8; ERROR_V6_BYTES],
) -> Option<usize> {
    let view = Ipv6View::of_front(offending, usize::MAX).ok()?;
    let to_group = delivery == Delivery::Group || view.destination().is_multicast();
    let from_host =
        !(view.source().is_unspecified() || view.source().is_multicast() || view.source().is_loopback());
    if !from_host || (to_group && error.kind != icmpv6::Kind::PACKET_TOO_BIG) {
        return None;
    }
    if view.fragment().is_some_and(|fragment| fragment.offset_bytes != 0) {
        return None;
    }
    if view.protocol() == Protocol::ICMPV6 {
        let [kind, code, ..] = *view.payload() else { return None };
        let kind = icmpv6::Kind { kind, code };
        if kind.is_error() || kind.is_neighbour_discovery() {
            return None;
        }
    }
    let (head, message) = out.split_first_chunk_mut()?;
    let (icmp_head, quote) = message.split_first_chunk_mut()?;
    let quoted = view.packet().len().min(quote.len());
    quote[..quoted].copy_from_slice(&view.packet()[..quoted]);
    error.write(icmp_head, &quote[..quoted], source, view.source());
    let payload = icmpv6::HEADER_BYTES + quoted;
    let header = Ipv6 {
        traffic_class: CONTROL,
        flow_label: 0,
        payload_bytes: u16::try_from(payload).ok()?,
        next_header: Protocol::ICMPV6,
        hop_limit: TTL,
        source,
        destination: view.source(),
    };
    header.write(head);
    Some(ipv6::HEADER_BYTES + payload)
}

/// Whether an address can be that of one host (RFC 1122, 3.2.1.3).
fn is_host_v4(address: Ipv4Addr) -> bool {
    !(address.is_multicast()
        || address.is_loopback()
        || address.octets()[0] == 0
        || address.octets()[0] >= 240)
}

#[cfg(test)]
mod tests;
