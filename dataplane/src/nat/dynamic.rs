//! Packets of dynamic rules ([`Pool`]): other addresses and another port, by the session that they belong to. Of IPv4, TCP, UDP and ICMP echoes.
//!
//! A packet of an inside host begins a session, or is of one; its source becomes external. What the other side sends to an external address has to be the answer in a
//! session. Later fragments go the way of the first. An ICMP error belongs to the session of the packet that it quotes (RFC 5508, 4.2).
//!
//! The packet's other end may have a static rule; it is named by its address in the network, so that peers of two sites that have the same address are two.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::Nat;
use super::packet::{Head, Translated};
use super::pool::{Endpoint, Place, Pool, Seconds, Seen, Session};
use super::rewrite::{Covering, Rewrite, updated};
use crate::counter::Counter;
use crate::header::checksum::{Difference, update};
use crate::header::{Protocol, be16, ipv4};
use crate::sa::Direction;

/// Translates a packet that a dynamic rule is about; `None`: none is.
///
/// # Errors
/// The drop reason; then the packet is as it was.
pub(super) fn translate(
    packet: &mut [u8],
    nat: &Nat,
    direction: Direction,
    now_us: u64,
) -> Result<Option<Translated>, Counter> {
    let Some(head) = Head::of(packet) else { return Ok(None) };
    let (IpAddr::V4(source), IpAddr::V4(destination)) = (head.source, head.destination) else {
        return Ok(None);
    };
    let way = Way { nat, direction, now: Seconds::of_us(now_us) };
    if let Some(at) = head.quote_at(packet) {
        return way.error(packet, &head, (source, destination), at);
    }
    match (way.hiding(source), way.hidden(destination)) {
        (None, None) => Ok(None),
        // Nobody could have begun.
        (Some(_), Some(_)) => Err(Counter::NatNoSession),
        (Some(pool), None) => way.outward(packet, &head, (source, destination), pool).map(Some),
        (None, Some(pool)) => way.inward(packet, &head, (source, destination), pool).map(Some),
    }
}

/// A packet's way through the rules of a connection.
struct Way<'n> {
    nat: &'n Nat,
    direction: Direction,
    now: Seconds,
}

/// Which end of a packet is that of the host that is hidden.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Inside {
    Source,
    Destination,
}

/// What tells sessions apart, as it stands in a packet.
struct Ports {
    inside: u16,
    peer: u16,
    /// Where the inside's stands, and the checksum, in bytes of the upper layer.
    inside_at: usize,
    checksum_at: usize,
    /// TCP's flags.
    flags: u8,
    /// Of an ICMP echo: whether it is a request.
    is_request: Option<bool>,
}

impl Ports {
    fn of(protocol: Protocol, upper: &[u8], inside: Inside) -> Result<Self, Counter> {
        let word = |at: usize| {
            let word = upper.get(at..).and_then(|rest| rest.first_chunk::<2>());
            word.map(|word| u16::from_be_bytes(*word)).ok_or(Counter::NatUntranslatable)
        };
        let checksum_at = match protocol {
            Protocol::TCP => 16,
            Protocol::UDP => 6,
            Protocol::ICMP => {
                let is_request = match upper.first() {
                    Some(8) => true, // RFC 792
                    Some(0) => false,
                    _ => return Err(Counter::NatUntranslatable),
                };
                let is_request = Some(is_request);
                return Ok(Self {
                    inside: word(4)?,
                    peer: 0,
                    inside_at: 4,
                    checksum_at: 2,
                    flags: 0,
                    is_request,
                });
            }
            _ => return Err(Counter::NatUntranslatable),
        };
        let (inside, peer, inside_at) = match inside {
            Inside::Source => (word(0)?, word(2)?, 0),
            Inside::Destination => (word(2)?, word(0)?, 2),
        };
        let flags = if protocol == Protocol::TCP { upper.get(13).copied().unwrap_or(0) } else { 0 };
        Ok(Self { inside, peer, inside_at, checksum_at, flags, is_request: None })
    }
}

type Ends = (Ipv4Addr, Ipv4Addr);

impl<'n> Way<'n> {
    /// The pool that hides a source.
    fn hiding(&self, source: Ipv4Addr) -> Option<&'n Arc<Pool>> {
        let (sources, _) = self.nat.pools(self.direction);
        sources.iter().find(|pool| pool.internal().contains(&source))
    }

    /// The pool behind whose addresses a destination is hidden.
    fn hidden(&self, destination: Ipv4Addr) -> Option<&'n Arc<Pool>> {
        let (_, destinations) = self.nat.pools(self.direction);
        destinations.iter().find(|pool| pool.external().contains(&destination))
    }

    /// Both ends as static rules have them on the other side.
    fn fixed(&self, (source, destination): Ends) -> Result<Ends, Counter> {
        match self.nat.translated(self.direction, source.into(), destination.into())? {
            (IpAddr::V4(source), IpAddr::V4(destination)) => Ok((source, destination)),
            _ => Err(Counter::NatUntranslatable),
        }
    }

    /// Which of an end's addresses is that in the network: before translation on the way into a tunnel, after it on the way out of one.
    fn in_network(&self, before: Ipv4Addr, after: Ipv4Addr) -> Ipv4Addr {
        match self.direction {
            Direction::Outbound => before,
            Direction::Inbound => after,
        }
    }

    fn outward(
        &self,
        packet: &mut [u8],
        head: &Head,
        (source, destination): Ends,
        pool: &Pool,
    ) -> Result<Translated, Counter> {
        let (_, peer) = self.fixed((source, destination))?;
        let known = self.in_network(destination, peer);
        let ends = |place| (pool.external_of(place).address, peer);
        let id_shift = pool.id_shift(source);
        if head.offset_bytes > 0 {
            let found = pool.of_fragment(fragment_id(packet), head.protocol, (source, destination), self.now);
            let (place, ..) = found
                .filter(|(_, inside, other)| inside.address == source && other.address == known)
                .ok_or(Counter::NatFragmentUnknown)?;
            return write(packet, head, &Change { ends: ends(place), port: None, id_shift });
        }
        let upper = packet.get(head.upper_at..).unwrap_or_default();
        let ports = Ports::of(head.protocol, upper, Inside::Source)?;
        // An answer to an echo that nobody could have sent.
        if ports.is_request == Some(false) {
            return Err(Counter::NatNoSession);
        }
        check(&ports, packet, head)?;
        let session = Session {
            protocol: head.protocol,
            inside: Endpoint { address: source, port: ports.inside },
            peer: Endpoint { address: known, port: ports.peer },
        };
        let seen = Seen { from_inside: true, flags: ports.flags };
        let place = pool.enter(session, seen, ports.flags & Seen::RST == 0, self.now)?;
        if head.is_followed {
            pool.note_fragments(fragment_id(packet), head.protocol, (source, destination), place, self.now);
        }
        let port = Some((&ports, pool.external_of(place).port));
        write(packet, head, &Change { ends: ends(place), port, id_shift })
    }

    fn inward(
        &self,
        packet: &mut [u8],
        head: &Head,
        (source, destination): Ends,
        pool: &Pool,
    ) -> Result<Translated, Counter> {
        let (peer, _) = self.fixed((source, destination))?;
        let known = self.in_network(source, peer);
        if head.offset_bytes > 0 {
            let found = pool.of_fragment(fragment_id(packet), head.protocol, (source, destination), self.now);
            let (_, inside, _) = found
                .filter(|(place, _, other)| {
                    pool.external_of(*place).address == destination && other.address == known
                })
                .ok_or(Counter::NatFragmentUnknown)?;
            return write(packet, head, &Change::of((peer, inside.address), None));
        }
        let upper = packet.get(head.upper_at..).unwrap_or_default();
        let ports = Ports::of(head.protocol, upper, Inside::Destination)?;
        if ports.is_request == Some(true) {
            return Err(Counter::NatNoSession);
        }
        check(&ports, packet, head)?;
        let external = Endpoint { address: destination, port: ports.inside };
        let other = Endpoint { address: known, port: ports.peer };
        let (place, inside) =
            pool.answered(head.protocol, external, other, self.now).ok_or(Counter::NatNoSession)?;
        pool.note(place, Seen { from_inside: false, flags: ports.flags }, self.now);
        if head.is_followed {
            pool.note_fragments(fragment_id(packet), head.protocol, (source, destination), place, self.now);
        }
        write(packet, head, &Change::of((peer, inside.address), Some((&ports, inside.port))))
    }

    /// An ICMP error, which quotes a packet that went the other way: what was its source there is a destination here.
    fn error(
        &self,
        packet: &mut [u8],
        head: &Head,
        (source, destination): Ends,
        at: usize,
    ) -> Result<Option<Translated>, Counter> {
        let quote = packet.get(at..).unwrap_or_default();
        let quoted = Head::of(quote).ok_or(Counter::NatUntranslatable)?;
        let (IpAddr::V4(quoted_source), IpAddr::V4(quoted_destination)) = (quoted.source, quoted.destination)
        else {
            return Err(Counter::NatUntranslatable);
        };
        let upper = quote.get(quoted.upper_at..).unwrap_or_default();
        let is_first = quoted.offset_bytes == 0;
        // On this way, where the quoted packet's source is a destination.
        let pools = (self.hidden(quoted_source), self.hiding(quoted_destination));
        let (ends, quoted_ends, ports, port, id_shift) = match pools {
            // Also by a hidden host, such as our own LAN address, about one that is not: the addresses are all that changes.
            (None, None) if self.hidden(destination).is_none() => return Ok(None),
            (Some(pool), None) if destination == quoted_source && is_first => {
                let (peer, _) = self.fixed((quoted_destination, quoted_source))?;
                let ports = Ports::of(quoted.protocol, upper, Inside::Source)?;
                let external = Endpoint { address: quoted_source, port: ports.inside };
                let other = Endpoint { address: self.in_network(quoted_destination, peer), port: ports.peer };
                let found = pool.answered(quoted.protocol, external, other, self.now);
                let (_, inside) = found.ok_or(Counter::NatNoSession)?;
                let (teller, _) = self.fixed((source, destination))?;
                let id_shift = pool.id_shift(inside.address).wrapping_neg();
                ((teller, inside.address), (inside.address, peer), ports, inside.port, id_shift)
            }
            (None, Some(pool)) if is_first => {
                let (_, peer) = self.fixed((quoted_destination, quoted_source))?;
                let ports = Ports::of(quoted.protocol, upper, Inside::Destination)?;
                let session = Session {
                    protocol: quoted.protocol,
                    inside: Endpoint { address: quoted_destination, port: ports.inside },
                    peer: Endpoint { address: self.in_network(quoted_source, peer), port: ports.peer },
                };
                let place: Place = pool.find(session, self.now).ok_or(Counter::NatNoSession)?;
                let external = pool.external_of(place);
                let ends = self.fixed((source, destination))?;
                (ends, (peer, external.address), ports, external.port, 0)
            }
            _ => return Err(Counter::NatNoSession),
        };
        let moved = match packet.get_mut(at..) {
            Some(quote) => {
                rewrite(quote, &quoted, &Change { ends: quoted_ends, port: Some((&ports, port)), id_shift })
            }
            None => Difference::default(),
        };
        let own = packet.get_mut(head.upper_at + 2..).and_then(|rest| rest.first_chunk_mut::<2>());
        if let Some(own) = own {
            *own = moved.apply(u16::from_be_bytes(*own)).to_be_bytes();
        }
        write(packet, head, &Change::of(ends, None)).map(Some)
    }
}

/// Refuses a packet whose checksum is not there to be changed.
fn check(ports: &Ports, packet: &[u8], head: &Head) -> Result<(), Counter> {
    if head.upper_at + ports.checksum_at + 2 > packet.len() {
        return Err(Counter::NatUntranslatable);
    }
    Ok(())
}

/// Identification of an IPv4 packet.
fn fragment_id(packet: &[u8]) -> u16 {
    packet.first_chunk::<{ ipv4::HEADER_BYTES }>().map_or(0, |head| be16(head, 4))
}

/// Changes a whole packet. Cannot fail any more, but for what its type says.
fn write(packet: &mut [u8], head: &Head, change: &Change<'_>) -> Result<Translated, Counter> {
    rewrite(packet, head, change);
    Ok(Translated { has_changed: true, is_dynamic: true })
}

/// What a packet gets.
struct Change<'p> {
    ends: Ends,
    /// The inside's. In a later fragment there is neither port nor checksum.
    port: Option<(&'p Ports, u16)>,
    /// By how much its identification moves, if that means anything.
    id_shift: u16,
}

impl<'p> Change<'p> {
    /// The identification stays.
    fn of(ends: Ends, port: Option<(&'p Ports, u16)>) -> Self {
        Self { ends, port, id_shift: 0 }
    }
}

/// New addresses and a new port for a packet or the front of one; tells how much that moves a checksum over all of it.
fn rewrite(packet: &mut [u8], head: &Head, change: &Change<'_>) -> Difference {
    let Change { ends: (source, destination), port, id_shift } = *change;
    let protocol = head.protocol;
    let has_pseudo_header = matches!(protocol, Protocol::TCP | Protocol::UDP);
    let at = port.map(|(ports, _)| head.upper_at + ports.checksum_at);
    let at = at.filter(|at| at + 2 <= packet.len());
    let covering = at.filter(|_| has_pseudo_header).map(|at| Covering { at, protocol });
    let addresses = Rewrite::new((head.source, head.destination), (source.into(), destination.into()));
    let mut moved = addresses.map_or(Difference::default(), |addresses| addresses.write(packet, covering));
    if id_shift != 0 && !head.is_atomic {
        moved = moved.and(shift_id(packet, id_shift));
    }
    let Some((ports, new)) = port else { return moved };
    let field = |packet: &mut [u8], at: usize, change: &dyn Fn(u16) -> u16| {
        let Some(field) = packet.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<2>()) else {
            return (0, 0);
        };
        let old = u16::from_be_bytes(*field);
        let new = change(old);
        *field = new.to_be_bytes();
        (old, new)
    };
    let (old, _) = field(packet, head.upper_at + ports.inside_at, &|_| new);
    moved = moved.word(old, new);
    if let Some(at) = at {
        let of_port = Difference::default().word(old, new);
        let (before, after) = field(packet, at, &|checksum| updated(of_port, protocol, checksum));
        moved = moved.word(before, after);
    }
    moved
}

/// Moves the identification of an IPv4 packet; tells how much that moves a checksum over all of it.
fn shift_id(packet: &mut [u8], id_shift: u16) -> Difference {
    let Some(head) = packet.first_chunk_mut::<{ ipv4::HEADER_BYTES }>() else { return Difference::default() };
    let (old, checksum) = (be16(head, 4), be16(head, 10));
    let new = old.wrapping_add(id_shift);
    let updated = update(checksum, old, new);
    head[4..6].copy_from_slice(&new.to_be_bytes());
    head[10..12].copy_from_slice(&updated.to_be_bytes());
    Difference::default().word(old, new).word(checksum, updated)
}

#[cfg(test)]
mod tests;
