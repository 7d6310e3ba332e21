//! A connection that waits for traffic: no IKE before there is some, an end when there is none any more, and no call for every packet when the peer is not there.

use super::v1::v1;
use super::*;
use crate::place::Place;

fn on_traffic(index: usize, config: &mut ConnectionConfig) {
    config.on_traffic = index == 0;
}

/// Side 0 waits for traffic, side 1 for side 0.
fn waiting(adjust: impl Fn(&mut ConnectionConfig)) -> Pair {
    Pair::connected(1, Link::LAN, |index, config| {
        adjust(config);
        on_traffic(index, config);
    })
}

/// A packet of side 0's site for that of side 1.
fn packet(pair: &mut Pair) {
    let [source, destination] = [[10, 1, 0, 5], [10, 2, 0, 5]].map(IpAddr::from);
    pair.command(0, Command::Trap { connection: CONNECTION, source, destination });
}

/// A packet each second for some time.
fn packets(pair: &mut Pair, seconds: u64) {
    for _ in 0..seconds {
        packet(pair);
        pair.run_for(Duration::from_secs(1));
    }
}

fn assert_rests(pair: &mut Pair, calls: u64, note: &str) {
    pair.run_for(Duration::from_secs(400));
    assert_eq!((pair.live_ikes(), pair.live_children()), ([0, 0], [0, 0]), "{note}\n{}", pair.trace());
    assert_eq!(pair.count(0, What::Initiating), calls, "{note}\n{}", pair.trace());
    let (status, census) = (status(pair, 0), pair.sides[0].endpoint.census());
    assert_eq!((status.phase, status.retry_at), (crate::status::Phase::Down, None), "{note}");
    assert_eq!((census.ike_sas, census.timers), (0, 0), "{note}\n{}", pair.trace());
}

#[test]
fn nothing_is_said_until_there_is_traffic_and_nothing_after_it() {
    for version in [Version::V2, Version::V1] {
        let note = version.to_string();
        let mut pair = waiting(|config| {
            if version == Version::V1 {
                v1(config)
            }
        });
        assert_rests(&mut pair, 0, &note);
        assert!(pair.called.is_empty(), "{note}: {:?}", pair.called);
        for round in 1..=3 {
            packets(&mut pair, 3);
            pair.assert_up(&note);
            pair.run_for(Duration::from_secs(400));
            pair.assert_up(&note);
            pair.command(0, Command::Idle(CONNECTION));
            assert_rests(&mut pair, round, &note);
            assert!(pair.sides[0].events.iter().any(|event| event.contains("reason: Idle")), "{note}");
            assert_eq!(status(&pair, 0).failure, None, "{note}");
        }
    }
}

#[test]
fn whatever_ends_it_the_next_packet_brings_it_up_again() {
    type End = (&'static str, fn(&mut Pair));
    let ends: [End; 4] = [
        ("reset here", |pair| pair.command(0, Command::Reset(CONNECTION))),
        ("reset there", |pair| pair.command(1, Command::Reset(CONNECTION))),
        ("idle there", |pair| pair.command(1, Command::Idle(CONNECTION))),
        ("dead peer", |pair| {
            pair.sides[1].alive = false;
            pair.run_for(Duration::from_secs(400));
            pair.sides[1].alive = true;
            pair.run_for(Duration::from_secs(400));
        }),
    ];
    for (note, end) in ends {
        let mut pair = waiting(|_| {});
        packets(&mut pair, 1);
        pair.assert_up(note);
        let before = pair.count(0, What::Initiating);
        end(&mut pair);
        assert_rests(&mut pair, before, note);
        packets(&mut pair, 3);
        pair.assert_up(note);
    }
}

#[test]
fn peer_that_is_not_there_is_not_called_for_every_packet() {
    let mut pair = waiting(|_| {});
    pair.sides[1].alive = false;
    packets(&mut pair, 600);
    // A call takes half a minute, and the waits between them grow to a minute.
    let calls = pair.count(0, What::Initiating);
    assert!((5..=20).contains(&calls), "{calls} calls\n{}", pair.trace());
    assert!(status(&pair, 0).failure.is_some());
    assert_rests(&mut pair, calls, "without traffic");
    pair.sides[1].alive = true;
    packets(&mut pair, 3);
    pair.assert_up("the peer is back");
}

#[test]
fn one_packet_has_the_peer_called_at_all_its_places() {
    let silent: IpAddr = "192.0.2.77".parse().unwrap();
    let mut pair = waiting(|config| {
        if config.mode.initiates() {
            config.places.insert(0, Place::At(silent));
        }
    });
    packet(&mut pair);
    pair.run_for(Duration::from_secs(30));
    pair.assert_up("at its second place");
    assert!(pair.called.contains_key(&silent));
}

#[test]
fn change_of_the_configuration_decides_whether_it_comes_up_by_itself() {
    let mut pair = waiting(|_| {});
    let configure = |pair: &mut Pair, on_traffic| {
        pair.command(0, Command::Configure(Box::new(ConnectionConfig { on_traffic, ..connection(0) })));
        pair.run_for(Duration::from_secs(5));
    };
    configure(&mut pair, false);
    pair.assert_up("by itself");
    // What is up stays.
    configure(&mut pair, true);
    pair.assert_up("it was up");
    assert_eq!(pair.count(0, What::Initiating), 1, "{}", pair.trace());
    pair.command(0, Command::Idle(CONNECTION));
    assert_rests(&mut pair, 1, "idle");
    configure(&mut pair, false);
    pair.assert_up("by itself again");
    // Of one that is to be up, the end is not for long.
    pair.command(0, Command::Idle(CONNECTION));
    settle(&mut pair);
    pair.assert_up("idle, but to be up");
}

#[test]
fn side_that_waits_for_traffic_answers_a_peer_that_begins() {
    let mut pair = Pair::connected(1, Link::LAN, |index, config| {
        (config.mode, config.on_traffic) = (Mode::Default, index == 1);
    });
    pair.assert_up("called");
    // Traffic of both sides at once, each of which waits for it.
    let mut pair_of_both = Pair::connected(1, Link::LAN, |_, config| {
        (config.mode, config.on_traffic) = (Mode::Default, true);
    });
    for pair in [&mut pair, &mut pair_of_both] {
        pair.both(|_, index| {
            let [source, destination] = [index, 1 - index].map(|side| connection(side).local_address);
            Command::Trap { connection: CONNECTION, source, destination }
        });
        settle(pair);
        pair.assert_up("traffic of both sides");
    }
}
