//! A pool does what a table of sessions does that one thread keeps.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn net(text: &str) -> Ipv4Net {
    text.parse().expect("a prefix")
}

/// So many ports of one external address.
fn pool(ports: u32) -> Pool {
    Pool::with_ports(net("10.1.0.0/16"), net("100.64.0.1/32"), ports, 7)
}

fn at(s: u64) -> Seconds {
    Seconds::of_us(s * 1_000_000)
}

fn session(protocol: Protocol, port: u16) -> Session {
    Session {
        protocol,
        inside: Endpoint { address: [10, 1, 0, 9].into(), port },
        peer: Endpoint { address: [10, 2, 0, 1].into(), port: 443 },
    }
}

const FROM_INSIDE: Seen = Seen { from_inside: true, flags: 0 };

fn open(pool: &Pool, session: Session, now: Seconds) -> Result<Endpoint, Counter> {
    pool.enter(session, FROM_INSIDE, true, now).map(|place| pool.external_of(place))
}

/// How full it is.
fn usage(pool: &Pool, s: u64) -> Usage {
    pool.sweep(&mut Sweep::default(), usize::MAX, s * 1_000_000).expect("the whole pool")
}

#[test]
fn every_session_gets_a_port_of_its_own_until_there_is_none_and_each_comes_back_when_its_time_is_over() {
    let pool = pool(64);
    let mut ports = BTreeMap::new();
    for port in 0..64 {
        let external = open(&pool, session(Protocol::UDP, port), at(100)).expect("a port");
        assert_eq!(external.address, Ipv4Addr::new(100, 64, 0, 1));
        assert!(external.port >= 65472);
        assert_eq!(ports.insert(external.port, port), None, "given twice");
    }
    assert_eq!(open(&pool, session(Protocol::UDP, 64), at(100)), Err(Counter::NatPortsExhausted));
    let full = usage(&pool, 100);
    assert_eq!((full.sessions, full.udp, full.ports, full.begun, full.refused), (64, 64, 64, 64, 1));
    // All are answered. The first speaks on; the others are silent for five minutes.
    for port in 0..64 {
        let place = pool.find(session(Protocol::UDP, port), at(100)).expect("there");
        pool.note(place, Seen { from_inside: false, flags: 0 }, at(100));
    }
    open(&pool, session(Protocol::UDP, 0), at(350)).expect("its port");
    assert_eq!(open(&pool, session(Protocol::UDP, 64), at(399)), Err(Counter::NatPortsExhausted));
    open(&pool, session(Protocol::UDP, 64), at(400)).expect("that of another, which is over");
    assert_eq!(usage(&pool, 400).sessions, 2);
    for (port, inside) in ports.into_iter().filter(|(_, inside)| *inside > 0).take(3) {
        let external = Endpoint { address: [100, 64, 0, 1].into(), port };
        let peer = session(Protocol::UDP, inside).peer;
        let told = pool.answered(Protocol::UDP, external, peer, at(400)).map(|(_, inside)| inside.port);
        assert_ne!(told, Some(inside), "it is over");
    }
}

#[test]
fn only_the_peer_of_a_session_is_heard_and_only_the_inside_begins() {
    let pool = pool(64512);
    let udp = session(Protocol::UDP, 5000);
    assert_eq!(pool.enter(udp, FROM_INSIDE, false, at(5)), Err(Counter::NatNoSession));
    let external = open(&pool, udp, at(5)).expect("a port");
    let heard =
        |protocol, external, peer| pool.answered(protocol, external, peer, at(5)).map(|(_, inside)| inside);
    assert_eq!(heard(Protocol::UDP, external, udp.peer), Some(udp.inside));
    assert_eq!(heard(Protocol::TCP, external, udp.peer), None);
    assert_eq!(heard(Protocol::UDP, external, Endpoint { port: 444, ..udp.peer }), None);
    assert_eq!(heard(Protocol::UDP, external, Endpoint { address: [10, 2, 0, 2].into(), ..udp.peer }), None);
    assert_eq!(heard(Protocol::UDP, Endpoint { port: external.port ^ 1, ..external }, udp.peer), None);
    assert_eq!(heard(Protocol::UDP, Endpoint { port: 1023, ..external }, udp.peer), None);
    assert_eq!(
        heard(Protocol::UDP, Endpoint { address: [100, 64, 0, 2].into(), ..external }, udp.peer),
        None
    );
}

#[test]
fn a_host_has_one_external_address_and_hosts_share_all_of_them() {
    let pool = Pool::new(net("10.1.0.0/16"), net("100.64.0.0/28"), 7).expect("not too large");
    let mut used = std::collections::BTreeSet::new();
    for host in 0..200 {
        let of_host = |port| {
            let inside = Endpoint { address: [10, 1, 0, host].into(), port };
            let begun = Session { inside, ..session(Protocol::TCP, 0) };
            open(&pool, begun, at(1)).expect("a port").address
        };
        let first = of_host(1);
        assert!((2..50).all(|port| of_host(port) == first), "host {host}");
        used.insert(first);
    }
    assert_eq!(used.len(), 16);
}

#[test]
fn a_tcp_session_is_kept_as_long_as_its_phase_says() {
    const ACK: u8 = 16;
    let pool = pool(64);
    let tcp = session(Protocol::TCP, 1);
    let place = pool.enter(tcp, Seen { from_inside: true, flags: Seen::SYN }, true, at(0)).expect("a port");
    let lives = |s| pool.find(tcp, at(s)).is_some();
    assert!(lives(239) && !lives(240), "nobody has answered");
    pool.note(place, Seen { from_inside: false, flags: Seen::SYN | ACK }, at(100));
    assert!(lives(7539) && !lives(7540));
    let inside =
        |flags, s| pool.enter(tcp, Seen { from_inside: true, flags }, false, at(s)).expect("its place");
    inside(ACK, 200);
    inside(Seen::FIN | ACK, 200);
    assert!(lives(439) && !lives(440), "one side is done");
    pool.note(place, Seen { from_inside: false, flags: Seen::FIN | ACK }, at(300));
    inside(ACK, 301);
    assert!(lives(540) && !lives(541), "both are");
    inside(Seen::SYN, 302);
    pool.note(place, Seen { from_inside: false, flags: Seen::SYN | ACK }, at(303));
    assert!(lives(7000), "the ports are used again");
    inside(Seen::FIN | ACK, 304);
    inside(Seen::SYN, 305);
    pool.note(place, Seen { from_inside: false, flags: Seen::SYN | ACK }, at(305));
    assert!(lives(7000), "and again, before the peer has ended it");
    pool.note(place, Seen { from_inside: false, flags: Seen::RST }, at(400));
    assert!(lives(639) && !lives(640), "broken off");
}

#[test]
fn who_calls_everybody_in_vain_keeps_nobody_from_beginning_and_nobody_s_session_ends_for_that() {
    let pool = pool(64);
    let answered = |port, s| {
        let place = pool.find(session(Protocol::UDP, port), at(s)).expect("there");
        pool.note(place, Seen { from_inside: false, flags: 0 }, at(s));
    };
    for port in 0..64 {
        open(&pool, session(Protocol::UDP, port), at(100 + u64::from(port / 32))).expect("a port");
    }
    (0..8).for_each(|port| answered(port, 101));
    // An answer may be under way still.
    assert_eq!(open(&pool, session(Protocol::UDP, 64), at(104)), Err(Counter::NatPortsExhausted));
    for port in 64..88 {
        open(&pool, session(Protocol::UDP, port), at(105)).expect("that of one which nobody has answered");
    }
    let lives = |port| pool.find(session(Protocol::UDP, port), at(105)).is_some();
    assert!((0..8).all(lives), "those that live");
    assert!(!(8..32).any(lives), "the oldest that nobody has answered");
    assert!((32..88).all(lives), "the others");
    assert_eq!(open(&pool, session(Protocol::UDP, 88), at(105)), Err(Counter::NatPortsExhausted));
}

#[test]
fn a_pool_that_was_full_is_searched_no_further_than_one_that_never_was() {
    let pool = Pool::with_ports(net("10.0.0.0/8"), net("100.64.0.1/32"), 4096, 11);
    let fill = |s: u64| {
        let begin = |number: u32| {
            let [.., high, low] = number.to_be_bytes();
            let inside = Endpoint { address: [10, 0, high, low].into(), port: 4000 };
            open(&pool, Session { inside, ..session(Protocol::ICMP, 0) }, at(s))
        };
        (0..5000).filter(|number| begin(*number).is_ok()).count()
    };
    assert!(fill(1) > 4000);
    usage(&pool, 1);
    let far = pool.reach_rows();
    assert!(far > 16, "{far}");
    // Of those that are still there, each is found while a sweep goes on and after it.
    let late = session(Protocol::TCP, 9);
    let mut sweep = Sweep::default();
    assert_eq!(pool.sweep(&mut sweep, 2048, 90_000_000), None);
    let external = open(&pool, late, at(90)).expect("a port");
    assert!(pool.sweep(&mut sweep, 2048, 90_000_000).is_some());
    assert_eq!(open(&pool, late, at(90)), Ok(external));
    assert!(pool.reach_rows() < far, "{}", pool.reach_rows());
    assert_eq!(usage(&pool, 1000).sessions, 0);
    assert_eq!(pool.reach_rows(), 0);
    assert!(fill(1000) > 4000, "all ports are there again");
}

#[test]
fn workers_that_meet_the_same_sessions_at_once_agree_about_their_ports() {
    let pool = pool(4096);
    let begin = std::sync::Barrier::new(4);
    let found: Vec<Vec<Endpoint>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    begin.wait();
                    (0..2000)
                        .map(|port| open(&pool, session(Protocol::UDP, port), at(9)).expect("a port"))
                        .collect()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("it ends")).collect()
    });
    assert!(found.iter().all(|one| *one == found[0]));
    assert_eq!(usage(&pool, 9).sessions, 2000);
}

#[test]
fn nearly_all_ports_are_given_before_one_is_refused() {
    let pool = Pool::new(net("10.0.0.0/8"), net("100.64.0.1/32"), 11).expect("one address");
    let all = pool.ports();
    let mut refused_at = None;
    for number in 0..all {
        let [.., high, low_high, low] = u32::try_from(number).expect("few").to_be_bytes();
        let inside = Endpoint { address: [10, high, low_high, low].into(), port: 4000 };
        if open(&pool, Session { inside, ..session(Protocol::TCP, 0) }, at(1)).is_err() {
            refused_at = Some(number);
            break;
        }
    }
    let refused_at = refused_at.unwrap_or(all);
    assert!(refused_at * 100 >= all * 90, "{refused_at} of {all}");
}

#[test]
fn a_later_fragment_finds_its_session_for_half_a_minute() {
    let pool = pool(64);
    let udp = session(Protocol::UDP, 5);
    let place = pool.enter(udp, FROM_INSIDE, true, at(10)).expect("a port");
    let ends = (udp.inside.address, udp.peer.address);
    pool.note_fragments(77, Protocol::UDP, ends, place, at(10));
    let found = |id, s| pool.of_fragment(id, Protocol::UDP, ends, at(s));
    assert_eq!(found(77, 10), Some((place, udp.inside, udp.peer)));
    assert_eq!(found(77, 9), Some((place, udp.inside, udp.peer)), "by a clock that is a little late");
    assert_eq!((found(78, 10), found(77, 40)), (None, None));
}

proptest! {
    /// One host's sessions in a pool that holds them all, against a map.
    #[test]
    fn sessions_live_as_in_a_map(steps in prop::collection::vec((0..12_u16, 0..3_u8, any::<bool>(), 0..90_u64), 1..200)) {
        let pool = pool(128);
        let mut model: BTreeMap<(u16, u8), (Endpoint, u64)> = BTreeMap::new();
        let mut now_s = 1000;
        for (port, kind, is_answer, pause_s) in steps {
            now_s += pause_s;
            let protocol = [Protocol::TCP, Protocol::UDP, Protocol::ICMP][usize::from(kind)];
            let session = session(protocol, port);
            let patience_s = [240, 30, 60][usize::from(kind)];
            let known = model.get(&(port, kind)).copied().filter(|(_, used_s)| now_s - used_s < patience_s);
            if is_answer {
                let Some((external, _)) = model.get(&(port, kind)).copied() else { continue };
                let heard = pool.answered(protocol, external, session.peer, at(now_s));
                // The port of one that is over may be another's.
                let is_heard = heard.is_some_and(|(_, inside)| inside == session.inside);
                prop_assert_eq!(is_heard, known.is_some());
            } else {
                let external = open(&pool, session, at(now_s)).expect("there is room");
                if let Some((before, _)) = known {
                    prop_assert_eq!(external, before, "a session keeps its port");
                }
                model.insert((port, kind), (external, now_s));
            }
        }
    }
}
