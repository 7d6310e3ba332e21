//! What a dynamic rule makes of a packet is what a builder makes from scratch with the other addresses and the other port.

use proptest::prelude::*;

use super::*;
use crate::nat::tests::packet::{Packet, upper};
use crate::nat::{Mapping, translate};

const INSIDE: [u8; 4] = [10, 1, 0, 9];
const PEER: [u8; 4] = [10, 1, 0, 7];
/// The peer as the network knows it.
const PEER_HERE: [u8; 4] = [172, 16, 0, 7];
const EXTERNAL: [u8; 4] = [100, 64, 0, 1];
const NOW_US: u64 = 50_000_000;

/// Our hosts behind one address; the site has our prefix, and another one here.
fn nat() -> Nat {
    let net = |text: &str| text.parse().expect("a prefix");
    let pool = Pool::with_ports(net("10.1.0.0/24"), net("100.64.0.1/32"), 64, 3);
    let mapping = |internal: &str, external: &str| {
        Mapping::new(internal.parse().expect("a prefix"), external.parse().expect("a prefix"))
    };
    Nat {
        ingress: mapping("10.1.0.0/24", "172.16.0.0/24").into_iter().collect(),
        egress_pools: vec![Arc::new(pool)],
        ..Nat::default()
    }
}

/// A packet with these ports (of an echo: its identifier, and whether it is a request).
fn packet(protocol: Protocol, ends: ([u8; 4], [u8; 4]), ports: (u16, u16), payload: &[u8]) -> Packet {
    let mut upper = upper(protocol, payload);
    if protocol == Protocol::ICMP {
        upper[0] = u8::try_from(ports.1).expect("a type");
        upper[4..6].copy_from_slice(&ports.0.to_be_bytes());
    } else {
        upper[..2].copy_from_slice(&ports.0.to_be_bytes());
        upper[2..4].copy_from_slice(&ports.1.to_be_bytes());
    }
    let (source, destination) = (ends.0.into(), ends.1.into());
    Packet { source, destination, protocol, upper, without_checksum: false, piece: None }
}

fn outbound(bytes: &mut [u8], nat: &Nat) -> Result<Translated, Counter> {
    translate(bytes, nat, Direction::Outbound, NOW_US)
}

fn inbound(bytes: &mut [u8], nat: &Nat) -> Result<Translated, Counter> {
    translate(bytes, nat, Direction::Inbound, NOW_US)
}

/// The identification of a packet of the inside host that may be cut, beyond us.
fn id(nat: &Nat) -> u16 {
    7_u16.wrapping_add(nat.egress_pools[0].id_shift(INSIDE.into()))
}

const DONE: Result<Translated, Counter> = Ok(Translated { has_changed: true, is_dynamic: true });

/// Begins a session; returns its external port.
fn begin(nat: &Nat, protocol: Protocol) -> u16 {
    let ports = if protocol == Protocol::ICMP { (4000, 8) } else { (4000, 53) };
    let mut bytes = packet(protocol, (INSIDE, PEER_HERE), ports, &[1; 30]).bytes();
    assert_eq!(outbound(&mut bytes, nat), DONE);
    u16::from_be_bytes(if protocol == Protocol::ICMP {
        [bytes[24], bytes[25]]
    } else {
        [bytes[20], bytes[21]]
    })
}

proptest! {
    #[test]
    fn question_and_answer_are_what_a_builder_makes_with_the_other_ends(
        kind in 0..3_usize,
        payload in prop::collection::vec(any::<u8>(), 0..60),
        without_checksum in any::<bool>(),
        port in any::<u16>(),
    ) {
        let nat = nat();
        let protocol = [Protocol::TCP, Protocol::UDP, Protocol::ICMP][kind];
        let (there, back) = if kind == 2 { (8, 0) } else { (53, 53) };
        let made = |ends, ports: (u16, u16)| {
            let packet = packet(protocol, ends, ports, &payload);
            Packet { without_checksum: without_checksum && kind == 1, ..packet }
        };
        let build = |ends, ports| made(ends, ports).bytes();
        let mut bytes = build((INSIDE, PEER_HERE), (port, there));
        prop_assert_eq!(outbound(&mut bytes, &nat), DONE);
        let at = if kind == 2 { 24 } else { 20 };
        let external = u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        prop_assert_eq!(&bytes, &made((EXTERNAL, PEER), (external, there)).identified(id(&nat)));

        let answer = |ends, port| if kind == 2 { build(ends, (port, back)) } else { build(ends, (back, port)) };
        let mut bytes = answer((PEER, EXTERNAL), external);
        prop_assert_eq!(inbound(&mut bytes, &nat), DONE);
        prop_assert_eq!(bytes, answer((PEER_HERE, INSIDE), port));
    }

    /// An ICMP error about either direction of a session, with as much of the packet as its sender quotes.
    #[test]
    fn an_error_reaches_whom_it_concerns_and_quotes_what_that_one_sent(
        kind in 0..3_usize,
        quoted_bytes in 28..70_usize,
        is_about_ours in any::<bool>(),
    ) {
        prop_assume!(quoted_bytes != 37); // half of a TCP checksum
        let nat = nat();
        let protocol = [Protocol::TCP, Protocol::UDP, Protocol::ICMP][kind];
        let external = begin(&nat, protocol);
        let ours = |ends, port| packet(protocol, ends, (port, if kind == 2 { 8 } else { 53 }), &[7; 30]);
        let theirs = |ends, port| match kind {
            2 => packet(protocol, ends, (port, 0), &[7; 30]),
            _ => packet(protocol, ends, (53, port), &[7; 30]),
        };
        let error_about = |ends: ([u8; 4], [u8; 4]), quoted: Vec<u8>| {
            let mut upper = vec![3, 1, 0, 0, 0, 0, 0, 0];
            upper.extend(quoted.into_iter().take(quoted_bytes));
            let (source, destination) = (ends.0.into(), ends.1.into());
            let (protocol, without_checksum, piece) = (Protocol::ICMP, false, None);
            Packet { source, destination, protocol, upper, without_checksum, piece }.bytes()
        };
        let error = |ends, quoted: Packet| error_about(ends, quoted.bytes());
        if is_about_ours {
            // A router of the site, which no rule names, says it.
            let router = [192, 168, 0, 1];
            let quoted = ours((EXTERNAL, PEER), external).identified(id(&nat));
            let mut bytes = error_about((router, EXTERNAL), quoted);
            prop_assert_eq!(inbound(&mut bytes, &nat), DONE);
            prop_assert_eq!(bytes, error((router, INSIDE), ours((INSIDE, PEER_HERE), 4000)));
        } else {
            let mut bytes = error((INSIDE, PEER_HERE), theirs((PEER_HERE, INSIDE), 4000));
            prop_assert_eq!(outbound(&mut bytes, &nat), DONE);
            prop_assert_eq!(bytes, error((EXTERNAL, PEER), theirs((PEER, EXTERNAL), external)));
        }
    }

    /// Nothing that comes in makes it fail, and what it refuses is as it was.
    #[test]
    fn refused_packets_stay_as_they_are(
        protocol in prop::sample::select(vec![1_u8, 6, 17, 47, 50, 51, 253]),
        to_pool in any::<bool>(),
        rest in prop::collection::vec(any::<u8>(), 0..80),
        piece in prop::sample::select(vec![0_u16, 0x2000, 0x2003, 5]),
    ) {
        let nat = nat();
        begin(&nat, Protocol::UDP);
        let total = u16::try_from(20 + rest.len()).expect("short").to_be_bytes();
        let piece = piece.to_be_bytes();
        let mut bytes = vec![0x45, 0, total[0], total[1], 0, 7, piece[0], piece[1], 61, protocol, 0, 0];
        bytes.extend(if to_pool { [PEER, EXTERNAL] } else { [INSIDE, PEER_HERE] }.concat());
        bytes.extend(rest);
        let before = bytes.clone();
        let direction = if to_pool { Direction::Inbound } else { Direction::Outbound };
        if translate(&mut bytes, &nat, direction, NOW_US).is_err() {
            prop_assert_eq!(bytes, before);
        }
    }
}

#[test]
fn nobody_reaches_a_hidden_host_unasked() {
    let nat = nat();
    let external = begin(&nat, Protocol::UDP);
    let refused = |ends, protocol, ports| inbound(&mut packet(protocol, ends, ports, &[]).bytes(), &nat);
    let no_session = Err(Counter::NatNoSession);
    assert_eq!(
        refused((PEER, EXTERNAL), Protocol::UDP, (54, external)),
        no_session,
        "another port of the peer"
    );
    assert_eq!(refused(([10, 1, 0, 8], EXTERNAL), Protocol::UDP, (53, external)), no_session, "another peer");
    assert_eq!(refused((PEER, EXTERNAL), Protocol::TCP, (53, external)), no_session, "another protocol");
    assert_eq!(refused((PEER, EXTERNAL), Protocol::ICMP, (external, 8)), no_session, "an echo request");
    assert_eq!(
        refused((PEER, INSIDE), Protocol::UDP, (53, 4000)),
        Err(Counter::NatNoMapping),
        "its own address"
    );
    let answer = packet(Protocol::ICMP, (INSIDE, PEER_HERE), (9, 0), &[]);
    assert_eq!(outbound(&mut answer.bytes(), &nat), no_session, "an answer that nobody asked for");
    let gre = packet(Protocol(47), (INSIDE, PEER_HERE), (0, 0), &[0; 8]);
    assert_eq!(
        outbound(&mut Packet { upper: vec![0; 8], ..gre }.bytes(), &nat),
        Err(Counter::NatUntranslatable)
    );
}

#[test]
fn fragments_go_the_way_of_the_first_and_nowhere_without_it() {
    let nat = nat();
    let external = begin(&nat, Protocol::UDP);
    let piece = |ends, ports, first, units| {
        Packet { piece: Some((first, units)), ..packet(Protocol::UDP, ends, ports, &[3; 64]) }.bytes()
    };
    let unknown = Err(Counter::NatFragmentUnknown);
    assert_eq!(outbound(&mut piece((INSIDE, PEER_HERE), (4000, 53), 4, 9), &nat), unknown);
    assert_eq!(inbound(&mut piece((PEER, EXTERNAL), (53, external), 4, 9), &nat), unknown);
    for (first, units) in [(0, 4), (4, 3), (7, 9)] {
        let mut bytes = piece((INSIDE, PEER_HERE), (4000, 53), first, units);
        assert_eq!(outbound(&mut bytes, &nat), DONE);
        let there = Packet {
            piece: Some((first, units)),
            ..packet(Protocol::UDP, (EXTERNAL, PEER), (external, 53), &[3; 64])
        };
        assert_eq!(bytes, there.identified(id(&nat)));
        let mut bytes = piece((PEER, EXTERNAL), (53, external), first, units);
        assert_eq!(inbound(&mut bytes, &nat), DONE);
        assert_eq!(bytes, piece((PEER_HERE, INSIDE), (53, 4000), first, units));
    }
}

#[test]
fn more_sessions_than_ports_are_refused_by_name() {
    let nat = nat();
    for port in 0..64 {
        assert_eq!(
            outbound(&mut packet(Protocol::UDP, (INSIDE, PEER_HERE), (port, 53), &[]).bytes(), &nat),
            DONE
        );
    }
    let one_more = packet(Protocol::UDP, (INSIDE, PEER_HERE), (64, 53), &[]).bytes();
    assert_eq!(outbound(&mut one_more.clone(), &nat), Err(Counter::NatPortsExhausted));
    let later_us = NOW_US + 301_000_000;
    assert_eq!(translate(&mut one_more.clone(), &nat, Direction::Outbound, later_us), DONE);
}

#[test]
fn fragments_of_two_hosts_are_not_taken_for_pieces_of_one_packet() {
    let nat = nat();
    let sent = |host: [u8; 4]| {
        let whole = packet(Protocol::UDP, (host, PEER_HERE), (4000, 53), &[3; 64]);
        let mut bytes = Packet { piece: Some((0, 4)), ..whole }.bytes();
        assert_eq!(outbound(&mut bytes, &nat), DONE);
        (bytes[12..16].to_vec(), u16::from_be_bytes([bytes[4], bytes[5]]))
    };
    let (first, second) = (sent(INSIDE), sent([10, 1, 0, 10]));
    assert_eq!(first.0, second.0, "behind one address");
    assert_ne!(first.1, second.1);
    // Where nobody cuts, nothing has to be told apart.
    let mut whole = packet(Protocol::UDP, (INSIDE, PEER_HERE), (4000, 53), &[3; 64]).bytes();
    whole[6] = 0x40;
    crate::header::ipv4::write_checksum(&mut whole[..20]);
    assert_eq!(outbound(&mut whole, &nat), DONE);
    assert_eq!(whole[4..6], [0, 7]);
}

/// As our own LAN address is, in a network of which another prefix is not hidden.
#[test]
fn a_hidden_host_tells_of_one_that_is_not_by_its_external_address() {
    let nat = nat();
    let (router, beside) = ([10, 1, 0, 1], [10, 9, 0, 5]);
    let external = nat.egress_pools[0].address_of(router.into()).octets();
    let error = |ends: ([u8; 4], [u8; 4]), about: ([u8; 4], [u8; 4])| {
        let mut upper = vec![3, 4, 0, 0, 0, 0, 5, 0x14];
        upper.extend(packet(Protocol::UDP, about, (53, 4000), &[7; 8]).bytes());
        let (source, destination, protocol) = (ends.0.into(), ends.1.into(), Protocol::ICMP);
        Packet { source, destination, protocol, upper, without_checksum: false, piece: None }.bytes()
    };
    let mut bytes = error((router, PEER_HERE), (PEER_HERE, beside));
    let translated = outbound(&mut bytes, &nat);
    assert_eq!(translated, Ok(Translated { has_changed: true, is_dynamic: false }));
    assert_eq!(bytes, error((external, PEER), (PEER, beside)));
}

#[test]
fn selectors_are_asked_about_the_address_that_a_host_gets() {
    let net = |text: &str| text.parse().expect("a prefix");
    let pool = Arc::new(Pool::with_ports(net("10.1.0.0/24"), net("100.64.0.0/28"), 64, 3));
    let nat = Nat { egress_pools: vec![pool], ..Nat::default() };
    let mut externals = std::collections::BTreeSet::new();
    for host in 0..64 {
        let inside = [10, 1, 0, host];
        let told = nat.translated(Direction::Outbound, inside.into(), PEER.into()).expect("told").0;
        let mut bytes = packet(Protocol::UDP, (inside, PEER), (4000, 53), &[]).bytes();
        assert_eq!(outbound(&mut bytes, &nat), DONE);
        assert_eq!(told, IpAddr::from([bytes[12], bytes[13], bytes[14], bytes[15]]));
        externals.insert(told);
    }
    assert!(externals.len() > 8);
}
