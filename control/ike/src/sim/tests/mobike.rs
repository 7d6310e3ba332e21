//! MOBIKE (RFC 4555): an IKE SA and its Child SA go on under other addresses, whichever side's path dies.

use super::*;
use crate::event::Encapsulation;
use crate::place::Place;

const OURS: &str = "192.0.2.1";
const OUR_OTHER: &str = "192.0.2.11";
const THEIRS: &str = "192.0.2.2";
const THEIR_OTHER: &str = "192.0.2.12";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Both sides have a second address; side 0 begins and knows side 1's first one only.
fn pair(seed: u64, link: Link, adjust: impl Fn(usize, &mut ConnectionConfig)) -> Pair {
    Pair::connected(seed, link, |index, config| {
        config.other_addresses = vec![ip(if index == 0 { OUR_OTHER } else { THEIR_OTHER })];
        // Peers at addresses that move are known by their identity.
        if index == 1 {
            config.places = Vec::new();
        }
        adjust(index, config);
    })
}

fn path(pair: &Pair, index: usize) -> crate::event::Path {
    pair.sides[index].plane.sends_on(CONNECTION, 0).expect("connected").path
}

/// Both sides send between these two addresses, on the SAs that they had.
#[track_caller]
fn assert_between(pair: &Pair, ours: &str, theirs: &str, children: [crate::event::ChildId; 2]) {
    pair.assert_up("moved");
    let ends = |index: usize| (path(pair, index).local.ip(), path(pair, index).remote.ip());
    assert_eq!(ends(0), (ip(ours), ip(theirs)), "{}", pair.trace());
    assert_eq!(ends(1), (ip(theirs), ip(ours)), "{}", pair.trace());
    for index in [0, 1] {
        let ike = &status(pair, index).ike_sas[0];
        assert_eq!((ike.path.local.ip(), ike.path.remote.ip()), ends(index), "{}", pair.trace());
    }
    assert_eq!([child(pair, 0), child(pair, 1)], children, "an SA was replaced\n{}", pair.trace());
    assert_eq!(pair.count(0, What::Established), 1, "{}", pair.trace());
}

fn children(pair: &Pair) -> [crate::event::ChildId; 2] {
    [child(pair, 0), child(pair, 1)]
}

#[test]
fn tunnel_moves_to_another_address_of_either_side_without_another_sa() {
    let mut pair = pair(1, Link::LAN, |_, _| {});
    let before = children(&pair);
    assert_between(&pair, OURS, THEIRS, before);
    assert_eq!(path(&pair, 0).local.port(), crate::NAT_PORT, "whoever may move talks by port 4500");
    assert_eq!(path(&pair, 0).encapsulation, Encapsulation::None);
    pair.sides[1].silent = [ip(THEIRS)].into();
    pair.run_for(Duration::from_secs(150));
    assert_between(&pair, OURS, THEIR_OTHER, before);
    // Now the path of our own address, in the direction towards us alone.
    pair.sides[0].silent = [ip(OURS)].into();
    pair.run_for(Duration::from_secs(150));
    assert_between(&pair, OUR_OTHER, THEIR_OTHER, before);
    assert_eq!((pair.count(0, What::PathChanged), pair.count(1, What::PeerMoved)), (2, 2));
    // And both at once.
    pair.sides[0].silent = [ip(OUR_OTHER)].into();
    pair.sides[1].silent = [ip(THEIR_OTHER)].into();
    pair.run_for(Duration::from_secs(150));
    assert_between(&pair, OURS, THEIRS, before);
}

#[test]
fn moving_goes_on_after_the_ike_sa_was_rekeyed_from_either_side() {
    for rekeys in [0, 1] {
        let mut pair = pair(1, Link::LAN, |_, _| {});
        let before = children(&pair);
        pair.command(rekeys, Command::RekeyIke(CONNECTION));
        pair.run_until_idle();
        pair.sides[1].silent = [ip(THEIRS)].into();
        pair.run_for(Duration::from_secs(150));
        assert_between(&pair, OURS, THEIR_OTHER, before);
        pair.command(1 - rekeys, Command::RekeyIke(CONNECTION));
        pair.run_until_idle();
        pair.command(0, Command::RekeyChild(child(&pair, 0)));
        pair.run_until_idle();
        pair.sides[1].silent = [ip(THEIR_OTHER)].into();
        let renewed = children(&pair);
        assert_ne!(renewed, before);
        pair.run_for(Duration::from_secs(150));
        assert_between(&pair, OURS, THEIRS, renewed);
    }
}

#[test]
fn backup_place_is_where_the_tunnel_moves_to_and_shown_as_in_use() {
    let places = [Place::At(ip(THEIRS)), Place::At(ip(THEIR_OTHER))];
    let mut pair = pair(1, Link::LAN, |index, config| {
        if index == 0 {
            config.places = places.to_vec();
            config.other_addresses = Vec::new();
        }
    });
    let before = children(&pair);
    pair.sides[1].silent = [ip(THEIRS)].into();
    pair.run_for(Duration::from_secs(150));
    assert_between(&pair, OURS, THEIR_OTHER, before);
    let in_use: Vec<bool> = status(&pair, 0).places.iter().map(|place| place.in_use).collect();
    assert_eq!(in_use, [false, true]);
}

#[test]
fn one_that_does_not_speak_it_is_called_anew_and_ports_stay() {
    for without in [0, 1] {
        let mut pair = pair(1, Link::LAN, |index, config| {
            config.mobike = index != without;
            if index == 0 {
                config.places.push(Place::At(ip(THEIR_OTHER)));
            }
        });
        pair.assert_up("without MOBIKE");
        let port = if without == 0 { crate::IKE_PORT } else { crate::NAT_PORT };
        assert_eq!(path(&pair, 1).remote.port(), port);
        pair.sides[1].silent = [ip(THEIRS)].into();
        pair.run_for(Duration::from_secs(200));
        assert_eq!(pair.count(0, What::PathChanged), 0);
        // Whoever does not speak MOBIKE answers at the first address only: with nobody there, nothing is up.
        assert_eq!(pair.live_ikes()[0], usize::from(without == 0), "{}", pair.trace());
    }
}

#[test]
fn mapping_of_our_nat_that_changed_is_told_to_the_peer() {
    let mut pair = pair(1, Link { nat: true, ..Link::LAN }, |_, _| {});
    pair.assert_up("behind a NAT");
    let before = (children(&pair), path(&pair, 1).remote.port());
    // The first question learns how the peer sees us.
    pair.run_for(Duration::from_secs(60));
    pair.nat_shift = 7;
    pair.run_for(Duration::from_secs(120));
    pair.assert_up("after the NAT rebound");
    assert_eq!(path(&pair, 1).remote.port(), before.1 + 7, "{}", pair.trace());
    assert_eq!((children(&pair), pair.count(0, What::MappingChanged)), (before.0, 1));
    assert_eq!(path(&pair, 1).encapsulation, Encapsulation::Udp);
}

#[test]
fn rekeyed_ike_sa_finds_no_change_of_a_mapping_that_stays_and_finds_one_that_comes() {
    for rekeys in [0, 1] {
        let mut pair = pair(1, Link { nat: true, ..Link::LAN }, |_, _| {});
        pair.run_for(Duration::from_secs(60));
        pair.command(rekeys, Command::RekeyIke(CONNECTION));
        pair.run_for(Duration::from_secs(120));
        pair.assert_up("after the rekey");
        assert_eq!(pair.count(0, What::IkeRekeyed), 1, "{}", pair.trace());
        assert_eq!(pair.count(0, What::MappingChanged), 0, "{}", pair.trace());
        pair.nat_shift = 7;
        pair.run_for(Duration::from_secs(120));
        assert_eq!(pair.count(0, What::MappingChanged), 1, "{}", pair.trace());
        pair.assert_up("after the NAT rebound");
    }
}

#[test]
fn addresses_that_changed_are_told_and_used() {
    let mut pair = pair(1, Link::LAN, |_, _| {});
    let before = children(&pair);
    let third = "192.0.2.13";
    let changed = ConnectionConfig { other_addresses: vec![ip(third)], places: Vec::new(), ..connection(1) };
    pair.command(1, Command::Configure(Box::new(changed)));
    pair.run_until_idle();
    pair.sides[1].silent = [ip(THEIRS), ip(THEIR_OTHER)].into();
    pair.run_for(Duration::from_secs(150));
    assert_between(&pair, OURS, third, before);
}

#[test]
fn nobody_else_moves_a_tunnel_by_repeating_an_answer() {
    let mut pair = pair(1, Link::LAN, |_, _| {});
    let before = children(&pair);
    pair.run_for(Duration::from_secs(40));
    // The peer's answers, from an address that nobody has named.
    let is_answer = |packet: &Packet| match &packet.carried {
        Carried::Ike(bytes) => packet.to == 0 && bytes[19] & 0x20 != 0,
        _ => false,
    };
    let mut repeated = 0;
    while repeated == 0 {
        if let Some((_, packet)) = pair.flying.iter_mut().find(|(_, packet)| is_answer(packet)) {
            packet.remote = "198.51.100.66:4500".parse().unwrap();
            repeated += 1;
        }
        assert!(pair.step(pair.now + Duration::from_secs(100)), "nobody asks\n{}", pair.trace());
    }
    pair.run_for(Duration::from_secs(100));
    assert_between(&pair, OURS, THEIRS, before);
    assert_eq!(pair.count(0, What::PathChanged), 0, "{}", pair.trace());
}

#[test]
fn tunnel_that_was_lost_is_begun_anew_between_the_addresses_that_live() {
    for moves in [true, false] {
        let mut pair = pair(1, Link::LAN, |index, config| {
            config.mobike = moves || index == 0;
            if index == 0 {
                config.places.push(Place::At(ip(THEIR_OTHER)));
            }
        });
        pair.sides[1].silent = [ip(THEIRS), ip(THEIR_OTHER)].into();
        pair.run_for(Duration::from_secs(150));
        assert_eq!(pair.live_ikes(), [0, 0], "{}", pair.trace());
        pair.sides[0].silent = [ip(OURS)].into();
        pair.sides[1].silent = [ip(THEIRS)].into();
        pair.run_for(Duration::from_secs(400));
        if moves {
            pair.assert_up("begun anew");
            let path = path(&pair, 0);
            assert_eq!(
                (path.local.ip(), path.remote.ip()),
                (ip(OUR_OTHER), ip(THEIR_OTHER)),
                "{}",
                pair.trace()
            );
        } else {
            // Who does not speak MOBIKE would not know us at another address, nor answers at one.
            assert_eq!(pair.live_ikes(), [0, 0], "{}", pair.trace());
        }
        pair.sides.iter_mut().for_each(|side| side.silent.clear());
        pair.run_for(Duration::from_secs(400));
        pair.assert_up("all addresses live");
    }
}

/// Whoever is silent for too long under loss is given up and called anew, so now and then the tunnel is another one; there always is one, between addresses that live.
#[test]
fn tunnel_outlives_each_path_under_loss() {
    let (mut kept, mut rounds) = (0, 0);
    for seed in seeds(30) {
        let mut pair = pair(seed, Link { loss: 0.15, reorder: 0.2, ..Link::LAN }, |index, config| {
            if index == 0 {
                config.places.push(Place::At(ip(THEIR_OTHER)));
            }
        });
        let both = [(OURS, OUR_OTHER), (THEIRS, THEIR_OTHER)];
        for round in 0..6 {
            let before = children(&pair);
            for (index, (first, other)) in both.into_iter().enumerate() {
                let dead = if (round >> index) & 1 == 0 { first } else { other };
                pair.sides[index].silent = [ip(dead)].into();
            }
            pair.run_for(Duration::from_secs(400));
            // Whoever was given up late is still being called.
            let is_up = |pair: &Pair| (pair.live_ikes(), pair.live_children()) == ([1, 1], [1, 1]);
            pair.run(is_up, pair.now + Duration::from_secs(1200));
            let note = format!("seed {seed}, round {round}");
            pair.assert_up(&note);
            let ends = |index: usize| (path(&pair, index).local.ip(), path(&pair, index).remote.ip());
            assert_eq!(ends(0), (ends(1).1, ends(1).0), "{note}\n{}", pair.trace());
            let is_dead = |index: usize, end: IpAddr| pair.sides[index].silent.contains(&end);
            assert!(!is_dead(0, ends(0).0) && !is_dead(1, ends(0).1), "{note}\n{}", pair.trace());
            kept += u32::from(children(&pair) == before);
            rounds += 1;
        }
    }
    assert!(kept * 10 >= rounds * 9, "{kept} of {rounds} rounds without another SA");
}
