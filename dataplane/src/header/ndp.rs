//! Neighbour solicitations and advertisements (RFC 4861, 4.3, 4.4 and the validity rules of 7.1), with the rules for
//! duplicate address detection (RFC 4862, 5.4). Router discovery and redirects are not ours.

use std::net::Ipv6Addr;

use super::Protocol;
use super::ethernet::Mac;
use super::icmpv6::{self, Icmpv6, Icmpv6View, Kind};
use super::ipv6::{self, Ipv6, Ipv6View};
use crate::counter::Counter;

/// Hop limit of every neighbour discovery packet: proof that no router forwarded it (RFC 4861, 3.1).
pub const HOP_LIMIT: u8 = 255;
/// Length of the IPv6 packets that [`Solicitation`] and [`Advertisement`] write, in bytes.
pub const PACKET_BYTES: usize = ipv6::HEADER_BYTES + icmpv6::HEADER_BYTES + BODY_BYTES;
/// `ff02::1`.
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// Target address and one link-layer address option.
const BODY_BYTES: usize = 24;
const OPTION_SOURCE_MAC: u8 = 1;
const OPTION_TARGET_MAC: u8 = 2;
const FLAG_ROUTER: u32 = 1 << 31;
const FLAG_SOLICITED: u32 = 1 << 30;
const FLAG_OVERRIDE: u32 = 1 << 29;

/// The multicast group to which questions about an address go (RFC 4291, 2.7.1).
#[must_use]
pub fn solicited_node(target: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = target.octets();
    Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c])
}

/// Who has `target`?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Solicitation {
    /// Who asks; unspecified for a sender that probes whether `target` is free (RFC 4862, 5.4.2).
    pub source: Ipv6Addr,
    /// To whom the packet is: the solicited-node group, or the target itself for a reachability probe.
    pub destination: Ipv6Addr,
    /// The address asked for.
    pub target: Ipv6Addr,
    /// Who asks; never there if `source` is unspecified.
    pub source_mac: Option<Mac>,
}

/// `target` is at this MAC address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advertisement {
    /// Who answers.
    pub source: Ipv6Addr,
    /// To whom; all nodes if nobody, or an unspecified sender, asked.
    pub destination: Ipv6Addr,
    /// The address spoken of.
    pub target: Ipv6Addr,
    /// Its MAC address; may be missing from an answer to a unicast question.
    pub target_mac: Option<Mac>,
    /// The sender is a router.
    pub router: bool,
    /// Answers a solicitation: proof that the way to the sender works.
    pub solicited: bool,
    /// Replaces a MAC address known so far.
    pub overrides: bool,
}

/// A message that passed every rule of RFC 4861, 7.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// A question.
    Solicitation(Solicitation),
    /// An answer.
    Advertisement(Advertisement),
}

impl Message {
    /// Reads and validates. `Ok(None)` is ICMPv6 of another type (echo, router discovery).
    ///
    /// # Errors
    /// The drop reason: `IcmpMalformed` for a wrong checksum or length, `NdMalformed` for what RFC 4861, 7.1.1 and
    /// 7.1.2 say to discard.
    pub fn new(packet: &Ipv6View<'_>) -> Result<Option<Self>, Counter> {
        let (source, destination) = (packet.source(), packet.destination());
        let icmp = Icmpv6View::new(packet.payload(), source, destination)?;
        let is_solicitation = match icmp.kind().kind {
            kind if kind == Kind::NEIGHBOUR_SOLICITATION.kind => true,
            kind if kind == Kind::NEIGHBOUR_ADVERTISEMENT.kind => false,
            _ => return Ok(None),
        };
        if packet.hop_limit() != HOP_LIMIT || icmp.kind().code != 0 || packet.fragment().is_some() {
            return Err(Counter::NdMalformed); // fragments: RFC 6980, 5
        }
        let (target, options) = icmp.payload().split_first_chunk::<16>().ok_or(Counter::NdMalformed)?;
        let target = Ipv6Addr::from(*target);
        if target.is_multicast() || target.is_unspecified() || source.is_multicast() {
            return Err(Counter::NdMalformed);
        }
        let (source_mac, target_mac) = options_of(options).ok_or(Counter::NdMalformed)?;
        if is_solicitation {
            let probes = source.is_unspecified();
            if probes && (destination != solicited_node(target) || source_mac.is_some()) {
                return Err(Counter::NdMalformed);
            }
            return Ok(Some(Self::Solicitation(Solicitation { source, destination, target, source_mac })));
        }
        let flag = |bit| icmp.word() & bit != 0;
        let (router, solicited, overrides) = (flag(FLAG_ROUTER), flag(FLAG_SOLICITED), flag(FLAG_OVERRIDE));
        if solicited && destination.is_multicast() {
            return Err(Counter::NdMalformed);
        }
        let advertisement =
            Advertisement { source, destination, target, target_mac, router, solicited, overrides };
        Ok(Some(Self::Advertisement(advertisement)))
    }
}

/// Source and target link-layer addresses; unknown options are skipped, none if one has length zero or is cut short.
fn options_of(mut options: &[u8]) -> Option<(Option<Mac>, Option<Mac>)> {
    let (mut source, mut target) = (None, None);
    while !options.is_empty() {
        let length = usize::from(*options.get(1)?) * 8;
        let (option, rest) = options.split_at_checked(length)?;
        match *option {
            [] => return None,
            [OPTION_SOURCE_MAC, 1, a, b, c, d, e, f] => source = Some(Mac([a, b, c, d, e, f])),
            [OPTION_TARGET_MAC, 1, a, b, c, d, e, f] => target = Some(Mac([a, b, c, d, e, f])),
            _ => {}
        }
        options = rest;
    }
    let unusable = |mac: Option<Mac>| mac.is_some_and(|mac| !mac.is_unicast());
    (!unusable(source) && !unusable(target)).then_some((source, target))
}

impl Solicitation {
    /// Fills an IPv6 packet and returns its length in bytes, which is shorter without a MAC address.
    pub fn write(&self, out: &mut [u8; PACKET_BYTES]) -> usize {
        let option = self.source_mac.map(|mac| (OPTION_SOURCE_MAC, mac));
        let icmp = Icmpv6 { kind: Kind::NEIGHBOUR_SOLICITATION, word: 0 };
        write(out, self.source, self.destination, icmp, self.target, option)
    }
}

impl Advertisement {
    /// Fills an IPv6 packet and returns its length in bytes, which is shorter without a MAC address.
    pub fn write(&self, out: &mut [u8; PACKET_BYTES]) -> usize {
        let flag = |on: bool, bit: u32| if on { bit } else { 0 };
        let word = flag(self.router, FLAG_ROUTER)
            | flag(self.solicited, FLAG_SOLICITED)
            | flag(self.overrides, FLAG_OVERRIDE);
        let option = self.target_mac.map(|mac| (OPTION_TARGET_MAC, mac));
        let icmp = Icmpv6 { kind: Kind::NEIGHBOUR_ADVERTISEMENT, word };
        write(out, self.source, self.destination, icmp, self.target, option)
    }
}

fn write(
    out: &mut [u8; PACKET_BYTES],
    source: Ipv6Addr,
    destination: Ipv6Addr,
    icmp: Icmpv6,
    target: Ipv6Addr,
    option: Option<(u8, Mac)>,
) -> usize {
    let mut body = [0; BODY_BYTES];
    body[..16].copy_from_slice(&target.octets());
    let body_bytes = match option {
        Some((kind, mac)) => {
            body[16..18].copy_from_slice(&[kind, 1]);
            body[18..].copy_from_slice(&mac.0);
            BODY_BYTES
        }
        None => 16,
    };
    let mut head = [0; ipv6::HEADER_BYTES];
    let header = Ipv6 {
        traffic_class: 0xc0, // CS6, as other routers mark what keeps the network alive (RFC 4594, 3.2)
        flow_label: 0,
        payload_bytes: if option.is_some() { 32 } else { 24 },
        next_header: Protocol::ICMPV6,
        hop_limit: HOP_LIMIT,
        source,
        destination,
    };
    header.write(&mut head);
    let mut icmp_head = [0; icmpv6::HEADER_BYTES];
    icmp.write(&mut icmp_head, &body[..body_bytes], source, destination);
    out[..40].copy_from_slice(&head);
    out[40..48].copy_from_slice(&icmp_head);
    out[48..].copy_from_slice(&body);
    48 + body_bytes
}
