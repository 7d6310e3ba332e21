//! What translation makes of a packet is what a builder (`tests/packet.rs`) makes from scratch with the other addresses.

use proptest::prelude::*;

use super::*;
use crate::header::Protocol;
use packet::{Packet, upper};

pub(super) mod packet;

/// Of static rules time is no matter.
fn translate(packet: &mut [u8], nat: &Nat, direction: Direction) -> Result<bool, Counter> {
    super::translate(packet, nat, direction, 0).map(|translated| translated.has_changed)
}

fn net(text: &str) -> IpNet {
    text.parse().expect("a prefix")
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn mapping(internal: &str, external: &str) -> Mapping {
    Mapping::new(net(internal), net(external)).expect("of one family and length")
}

/// Our network and the peer's have the same prefixes.
fn nat() -> Nat {
    Nat {
        egress: vec![
            mapping("10.1.0.0/20", "100.64.16.0/20"),
            mapping("fd00:1::/56", "2001:db8:5:ff00::/56"),
        ],
        ingress: vec![mapping("10.1.0.0/20", "172.16.32.0/20"), mapping("fd00:1::/56", "2001:db8:6::/56")],
        ..Nat::default()
    }
}

/// The same the other way round: it takes back what [`nat`] did.
fn inverse() -> Nat {
    let turned = |rules: Vec<Mapping>| {
        rules.into_iter().map(|rule| Mapping { internal: rule.external, external: rule.internal }).collect()
    };
    let Nat { egress, ingress, .. } = nat();
    Nat { egress: turned(egress), ingress: turned(ingress), ..Nat::default() }
}

/// Hosts of our network and of the peer, each with its internal and its external address.
#[derive(Clone, Copy, Debug)]
struct Hosts {
    ours: (IpAddr, IpAddr),
    theirs: (IpAddr, IpAddr),
}

fn hosts() -> impl Strategy<Value = Hosts> {
    (any::<bool>(), 0..0x1000_u32, 0..0x1000_u32).prop_map(|(v6, our, their)| {
        let v4 = |base: &str, number: u32| match ip(base) {
            IpAddr::V4(base) => IpAddr::from(Ipv4Addr::from_bits(base.to_bits() | number)),
            IpAddr::V6(base) => Ipv6Addr::from_bits(base.to_bits() | u128::from(number) << 61 | 5).into(),
        };
        let (internal, ours, theirs) = match v6 {
            false => ("10.1.0.0", "100.64.16.0", "172.16.32.0"),
            true => ("fd00:1::", "2001:db8:5:ff00::", "2001:db8:6::"),
        };
        // Twelve bits of hosts in IPv4; in IPv6 eight of them above the interface identifier.
        let (our, their) = if v6 { (our & 0x7ff, their & 0x7ff) } else { (our, their) };
        Hosts { ours: (v4(internal, our), v4(ours, our)), theirs: (v4(internal, their), v4(theirs, their)) }
    })
}

/// A packet of ours to the peer as it is in the network; the same as it is in the tunnel.
fn crossing() -> impl Strategy<Value = (Hosts, Packet)> {
    let protocols = [
        Protocol::TCP,
        Protocol::UDP,
        Protocol::UDP_LITE,
        Protocol::DCCP,
        Protocol::ICMP,
        Protocol::SCTP,
        Protocol(253),
    ];
    let protocol = prop::sample::select(protocols.to_vec());
    let payload = prop::collection::vec(any::<u8>(), 0..60);
    let piece = prop::option::weighted(0.3, (0..4_usize, 1..6_usize));
    (hosts(), protocol, payload, prop::bool::weighted(0.2), piece).prop_map(
        |(hosts, protocol, payload, without_checksum, piece)| {
            let (source, destination) = (hosts.ours.0, hosts.theirs.1);
            let protocol = match protocol {
                Protocol::ICMP if source.is_ipv6() => Protocol::ICMPV6,
                protocol => protocol,
            };
            let upper = upper(protocol, &payload);
            (hosts, Packet { source, destination, protocol, upper, without_checksum, piece })
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, max_global_rejects: 100_000, ..ProptestConfig::default() })]

    /// Whatever protocol, length and fragment; a datagram without a checksum stays without.
    #[test]
    fn translated_packet_is_the_one_that_would_have_been_made_with_those_addresses((hosts, packet) in crossing()) {
        let before = packet.bytes();
        let mut bytes = before.clone();
        prop_assert_eq!(translate(&mut bytes, &nat(), Direction::Outbound), Ok(true));
        prop_assert_eq!(&bytes, &packet.between(hosts.ours.1, hosts.theirs.0).bytes());
        prop_assert_eq!(translate(&mut bytes, &inverse(), Direction::Outbound), Ok(true));
        prop_assert_eq!(&bytes, &before, "and back");
    }

    #[test]
    fn packet_out_of_the_tunnel_gets_the_addresses_of_the_network((hosts, packet) in crossing()) {
        let mut bytes = packet.between(hosts.theirs.0, hosts.ours.1).bytes();
        prop_assert_eq!(translate(&mut bytes, &nat(), Direction::Inbound), Ok(true));
        prop_assert_eq!(bytes, packet.between(hosts.theirs.1, hosts.ours.0).bytes());
    }

    /// An error about a packet of ours, out of the tunnel, and one about a packet of the peer's, into it; from a host or from a router
    /// that no rule names, with as much of the packet as the router liked to quote.
    #[test]
    fn icmp_error_quotes_the_packet_that_its_receiver_sent(
        (hosts, packet) in crossing(), units in 4..40_usize, from_router: bool, kind in 0..4_usize, inbound: bool,
    ) {
        let v4 = packet.source.is_ipv4();
        let kind = if v4 { [3, 11, 12, 4][kind] } else { [1, 2, 3, 4][kind] };
        let direction = if inbound { Direction::Inbound } else { Direction::Outbound };
        // The error's sender, and the packet that it is about, on this side and on that.
        let router = if v4 { ip("203.0.113.9") } else { ip("2001:db8:ffff::9") };
        let (near, far, near_packet, far_packet) = match direction {
            Direction::Inbound => (hosts.theirs.0, hosts.theirs.1, (hosts.ours.1, hosts.theirs.0), (hosts.ours.0, hosts.theirs.1)),
            Direction::Outbound => (hosts.ours.0, hosts.ours.1, (hosts.theirs.1, hosts.ours.0), (hosts.theirs.0, hosts.ours.1)),
        };
        let error = |sender: IpAddr, about: (IpAddr, IpAddr)| {
            let quoted = packet.between(about.0, about.1).bytes();
            let bytes = (if v4 { 20 } else { 48 } + units * 2).min(quoted.len());
            let mut upper = vec![kind, 0, 0, 0, 0, 0, 5, 0x14];
            upper.extend(&quoted[..bytes]);
            Packet {
                source: if from_router { router } else { sender },
                destination: about.0,
                protocol: if v4 { Protocol::ICMP } else { Protocol::ICMPV6 },
                upper,
                without_checksum: false,
                piece: None,
            }.bytes()
        };
        let mut bytes = error(near, near_packet);
        prop_assert_eq!(translate(&mut bytes, &nat(), direction), Ok(true));
        prop_assert_eq!(bytes, error(far, far_packet));
    }

    /// A receiver has to find out what the path damaged.
    #[test]
    fn wrong_checksum_stays_wrong((_, packet) in crossing(), damage in 1..=u16::MAX - 1) {
        let at = match packet.protocol {
            Protocol::TCP => 16,
            Protocol::ICMPV6 => 2,
            _ => 6,
        };
        let header_bytes = if packet.source.is_ipv4() { 20 } else { 40 };
        let covered = matches!(packet.protocol, Protocol::TCP | Protocol::DCCP | Protocol::ICMPV6);
        prop_assume!(covered && packet.piece.is_none());
        let mut bytes = packet.bytes();
        let at = header_bytes + at;
        let field = u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        bytes[at..at + 2].copy_from_slice(&(field ^ damage).to_be_bytes());
        let before = bytes.clone();
        translate(&mut bytes, &nat(), Direction::Outbound).expect("translated");
        let (source, destination) = (packet.source, packet.destination);
        let right = packet.between(
            nat().translated(Direction::Outbound, source, destination).expect("mapped").0,
            nat().translated(Direction::Outbound, source, destination).expect("mapped").1,
        );
        prop_assert_ne!(&bytes, &right.bytes());
        translate(&mut bytes, &inverse(), Direction::Outbound).expect("translated");
        let field = |bytes: &[u8]| u32::from(u16::from_be_bytes([bytes[at], bytes[at + 1]])) % 0xffff;
        prop_assert_eq!(field(&bytes), field(&before), "exactly as wrong");
    }

    /// The shortcut's writing is the general one.
    #[test]
    fn plain_packet_is_rewritten_as_any_other((hosts, packet) in crossing()) {
        prop_assume!(packet.piece.is_none());
        let mut bytes = packet.bytes();
        let to = (hosts.ours.1, hosts.theirs.0);
        let rewrite = Rewrite::new((packet.source, packet.destination), to).expect("other addresses");
        let total_bytes = u16::try_from(bytes.len()).expect("short");
        let is_icmp = matches!(packet.protocol, Protocol::ICMP | Protocol::ICMPV6);
        prop_assert_eq!(rewrite.takes(packet.protocol, total_bytes), !is_icmp);
        if !is_icmp {
            rewrite.write_plain(&mut bytes, packet.protocol);
            prop_assert_eq!(bytes, packet.between(to.0, to.1).bytes());
        }
    }

    #[test]
    fn any_bytes_are_translated_or_left_as_they_were(
        mut bytes in prop::collection::vec(any::<u8>(), 0..120), version in prop::sample::select(vec![4_u8, 6]), inbound: bool,
    ) {
        if let Some(first) = bytes.first_mut() {
            *first = version << 4 | *first & 15;
        }
        let before = bytes.clone();
        let direction = if inbound { Direction::Inbound } else { Direction::Outbound };
        if translate(&mut bytes, &nat(), direction) != Ok(true) {
            prop_assert_eq!(bytes, before);
        }
    }
}

#[test]
fn hosts_keep_their_number_and_other_addresses_stay() {
    let nat = nat();
    let out = |source, destination| nat.translated(Direction::Outbound, ip(source), ip(destination));
    let both = |source, destination| Ok((ip(source), ip(destination)));
    assert_eq!(out("10.1.7.9", "172.16.33.5"), both("100.64.23.9", "10.1.1.5"));
    assert_eq!(out("192.168.0.1", "172.16.33.5"), both("192.168.0.1", "10.1.1.5"));
    assert_eq!(out("10.1.0.0", "172.16.47.255"), both("100.64.16.0", "10.1.15.255"), "ends of the prefixes");
    assert_eq!(out("fd00:1:0:7f::1", "2001:db8:6:ff::2"), both("2001:db8:5:ff7f::1", "fd00:1:0:ff::2"));
    // On its way out, a packet is of internal and for external addresses: the others have no counterpart.
    assert_eq!(out("100.64.23.9", "172.16.33.5"), Err(Counter::NatNoMapping));
    assert_eq!(out("10.1.7.9", "10.1.1.5"), Err(Counter::NatNoMapping));
    assert_eq!(
        Nat::default().translated(Direction::Inbound, ip("10.1.7.9"), ip("::1")),
        both("10.1.7.9", "::1")
    );
    assert!(Mapping::new(net("10.1.0.0/16"), net("10.2.0.0/17")).is_none(), "of two lengths");
    assert!(Mapping::new(net("10.0.0.0/8"), net("fd00::/8")).is_none(), "of two families");
}

/// A packet of ours with these bytes behind its IP header.
fn with_upper(v6: bool, protocol: Protocol, upper: &[u8]) -> Vec<u8> {
    let (source, destination) =
        if v6 { (ip("fd00:1::5"), ip("2001:db8:6::7")) } else { (ip("10.1.0.5"), ip("172.16.32.7")) };
    let plain = Packet {
        source,
        destination,
        protocol: Protocol(253),
        upper: upper.to_vec(),
        without_checksum: false,
        piece: None,
    };
    let mut bytes = plain.bytes();
    if v6 {
        bytes[6] = protocol.0;
    } else {
        bytes[9] = protocol.0;
    }
    bytes
}

#[test]
fn what_cannot_be_translated_is_refused_and_stays_as_it_was() {
    let tcp = upper(Protocol::TCP, &[]);
    let ah = [&[6, 4, 0, 0][..], &[0; 20], &tcp].concat();
    let routing = [&[6, 2, 4, 1][..], &[0; 20], &tcp].concat();
    let passed = [&[6, 2, 4, 0][..], &[0; 20], &tcp].concat();
    let cases: [(&str, bool, Protocol, &[u8]); 8] = [
        ("TCP that ends before its checksum", false, Protocol::TCP, &tcp[..17]),
        ("UDP that ends before its checksum", true, Protocol::UDP, &[0; 7]),
        ("AH over IPv4", false, Protocol::AH, &ah),
        ("AH over IPv6", true, Protocol::AH, &ah),
        ("a routing header that is not at its end", true, Protocol::ROUTING, &routing),
        ("an ICMP error without a packet", false, Protocol::ICMP, &[3, 1, 0, 0, 0, 0, 0, 0]),
        (
            "an ICMP error with half a header",
            false,
            Protocol::ICMP,
            &[&[11, 0, 0, 0, 0, 0, 0, 0][..], &[0x45; 19]].concat(),
        ),
        (
            "an ICMPv6 error with no IPv6 packet",
            true,
            Protocol::ICMPV6,
            &[&[1, 0, 0, 0, 0, 0, 0, 0][..], &[0x45; 60]].concat(),
        ),
    ];
    for (name, v6, protocol, upper) in cases {
        let before = with_upper(v6, protocol, upper);
        let mut bytes = before.clone();
        let refused = translate(&mut bytes, &nat(), Direction::Outbound);
        assert_eq!(refused, Err(Counter::NatUntranslatable), "{name}");
        assert_eq!(bytes, before, "{name}");
    }
    let mut bytes = with_upper(true, Protocol::ROUTING, &passed);
    assert_eq!(translate(&mut bytes, &nat(), Direction::Outbound), Ok(true), "a routing header at its end");
    // An error about a packet between strangers.
    let strangers = with_upper(false, Protocol::UDP, &[0; 8]);
    let mut about_strangers =
        with_upper(false, Protocol::ICMP, &[&[3, 1, 0, 0, 0, 0, 0, 0][..], &strangers].concat());
    let before = about_strangers.clone();
    let refused = translate(&mut about_strangers, &nat(), Direction::Outbound);
    assert_eq!(refused, Err(Counter::NatNoMapping), "it quotes a packet that never came this way");
    assert_eq!(about_strangers, before);
}

#[test]
fn packets_that_no_rule_names_stay_whatever_they_are() {
    let plain = Packet {
        source: ip("192.168.7.7"),
        destination: ip("192.168.8.8"),
        protocol: Protocol::AH,
        upper: vec![0; 30],
        without_checksum: false,
        piece: None,
    };
    let before = plain.bytes();
    let mut bytes = before.clone();
    assert_eq!(translate(&mut bytes, &nat(), Direction::Outbound), Ok(false));
    assert_eq!(bytes, before);
}
