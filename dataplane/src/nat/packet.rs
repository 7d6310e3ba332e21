//! Any packet with other addresses: headers, the upper layer's checksum, and what an ICMP error quotes (RFC 5508, 4.2), all of it or nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::rewrite::{Covering, Rewrite, checksum_at};
use super::{Nat, dynamic};
use crate::counter::Counter;
use crate::header::{Protocol, be16, icmp, ipv4, ipv6};
use crate::sa::Direction;

/// What became of a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Translated {
    /// Whether anything changed.
    pub(crate) has_changed: bool,
    /// Whether a dynamic rule did it: what was known of its addresses and ports is not true any more.
    pub(crate) is_dynamic: bool,
}

/// Gives a packet, which begins with a sound IP header, the addresses that it has on the other side, at this time in microseconds.
///
/// An ICMP error quotes a packet that went the other way: what was its source there is a destination here. Its headers are changed too, with
/// their checksums as far as they are quoted, and the message's own checksum in step.
///
/// # Errors
/// The drop reason: `NatNoMapping`, `NatUntranslatable`, and of dynamic rules `NatNoSession`, `NatPortsExhausted`, `NatFragmentUnknown`; then the packet is as it was.
pub(crate) fn translate(
    packet: &mut [u8],
    nat: &Nat,
    direction: Direction,
    now_us: u64,
) -> Result<Translated, Counter> {
    if nat.has_pools()
        && let Some(translated) = dynamic::translate(packet, nat, direction, now_us)?
    {
        return Ok(translated);
    }
    let has_changed = by_static_rules(packet, nat, direction)?;
    Ok(Translated { has_changed, is_dynamic: false })
}

fn by_static_rules(packet: &mut [u8], nat: &Nat, direction: Direction) -> Result<bool, Counter> {
    let head = Head::of(packet).ok_or(Counter::NatUntranslatable)?;
    let ends = nat.translated(direction, head.source, head.destination)?;
    let whole = head.change(packet.len(), ends, Extent::Whole)?;
    let quote = match head.quote_at(packet) {
        Some(at) => {
            let bytes = packet.get(at..).unwrap_or_default();
            Some((at, quoted(bytes, head.source.is_ipv4(), nat, direction)?))
        }
        None => None,
    };
    let mut has_changed = false;
    if let Some((at, Some(change))) = &quote
        && let Some(bytes) = packet.get_mut(*at..)
    {
        let moved = change.rewrite.write(bytes, change.covering);
        let own = packet.get_mut(head.upper_at + 2..).and_then(|rest| rest.first_chunk_mut::<2>());
        if let Some(own) = own {
            *own = moved.apply(u16::from_be_bytes(*own)).to_be_bytes();
        }
        has_changed = true;
    }
    if let Some(change) = &whole {
        change.rewrite.write(packet, change.covering);
        has_changed = true;
    }
    Ok(has_changed)
}

/// What an ICMP error quotes becomes what its receiver sent.
fn quoted(bytes: &[u8], is_ipv4: bool, nat: &Nat, direction: Direction) -> Result<Option<Change>, Counter> {
    let head = Head::of(bytes).filter(|head| head.source.is_ipv4() == is_ipv4);
    let head = head.ok_or(Counter::NatUntranslatable)?;
    let (destination, source) = nat.translated(direction, head.destination, head.source)?;
    head.change(bytes.len(), (source, destination), Extent::Front)
}

/// What is to be written into a packet.
struct Change {
    rewrite: Rewrite,
    covering: Option<Covering>,
}

/// How much there is of a packet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    Whole,
    /// As much as somebody quoted.
    Front,
}

/// What translation looks at in a packet or in its front.
pub(super) struct Head {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) protocol: Protocol,
    /// Where the upper layer begins, in bytes; or goes on, in a later fragment.
    pub(super) upper_at: usize,
    /// How much of the upper layer earlier fragments have, in bytes, and whether more follow.
    pub(super) offset_bytes: usize,
    pub(super) is_followed: bool,
    /// Whether nobody can have cut it or will, so that its identification means nothing (RFC 6864, 4).
    pub(super) is_atomic: bool,
    /// Whether something vouches for the addresses that cannot be changed in step.
    is_bound: bool,
}

impl Head {
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        match bytes.first()? >> 4 {
            4 => {
                let head: &[u8; ipv4::HEADER_BYTES] = bytes.first_chunk()?;
                let [.., a, b, c, d, e, f, g, h] = *head;
                let (upper_at, protocol) = (usize::from(head[0] & 15) * 4, Protocol(head[9]));
                (upper_at >= ipv4::HEADER_BYTES).then(|| Self {
                    source: Ipv4Addr::new(a, b, c, d).into(),
                    destination: Ipv4Addr::new(e, f, g, h).into(),
                    protocol,
                    upper_at,
                    offset_bytes: usize::from(be16(head, 6) & FRAGMENT_OFFSET) * 8,
                    is_followed: be16(head, 6) & MORE_FRAGMENTS != 0,
                    is_atomic: be16(head, 6) & !RESERVED == ipv4::DONT_FRAGMENT,
                    is_bound: protocol == Protocol::AH,
                })
            }
            6 => {
                let head: &[u8; ipv6::HEADER_BYTES] = bytes.first_chunk()?;
                let upper = ipv6::upper_of(bytes, Protocol(head[6]))?;
                let address = |at: usize| Ipv6Addr::from(std::array::from_fn::<u8, 16, _>(|i| head[at + i]));
                Some(Self {
                    source: address(8).into(),
                    destination: address(24).into(),
                    protocol: upper.protocol,
                    upper_at: upper.at,
                    offset_bytes: upper.fragment.map_or(0, |fragment| fragment.offset_bytes.into()),
                    is_followed: upper.fragment.is_some_and(|fragment| fragment.more),
                    is_atomic: upper.fragment.is_none(),
                    is_bound: upper.has_bound_addresses,
                })
            }
            _ => None,
        }
    }

    /// What gives a packet of so many bytes the addresses `to`; `None` if it has them.
    fn change(&self, bytes: usize, to: (IpAddr, IpAddr), extent: Extent) -> Result<Option<Change>, Counter> {
        let Some(rewrite) = Rewrite::new((self.source, self.destination), to) else { return Ok(None) };
        if self.is_bound {
            return Err(Counter::NatUntranslatable);
        }
        // TCP's may be in a later fragment, where the first has no more than eight bytes; it is in one alone, for all begin at multiples of eight.
        let at = checksum_at(self.protocol).and_then(|at| at.checked_sub(self.offset_bytes));
        let at = at.map(|at| self.upper_at + at);
        let is_there = at.is_none_or(|at| at + 2 <= bytes);
        if !is_there && !self.is_followed && extent == Extent::Whole {
            return Err(Counter::NatUntranslatable);
        }
        let protocol = self.protocol;
        let covering = at.filter(|_| is_there).map(|at| Covering { at, protocol });
        Ok(Some(Change { rewrite, covering }))
    }

    /// Where the packet begins that an ICMP error quotes, in bytes.
    pub(super) fn quote_at(&self, packet: &[u8]) -> Option<usize> {
        let kind = *packet.get(self.upper_at).filter(|_| self.offset_bytes == 0)?;
        let is_error = match self.protocol {
            Protocol::ICMP => matches!(kind, 3 | 4 | 5 | 11 | 12), // RFC 792
            Protocol::ICMPV6 => matches!(kind, 1..=4),             // RFC 4443, 3
            _ => false,
        };
        is_error.then_some(self.upper_at + icmp::HEADER_BYTES)
    }
}

const FRAGMENT_OFFSET: u16 = 0x1fff;
const MORE_FRAGMENTS: u16 = 0x2000;
const RESERVED: u16 = 0x8000;
