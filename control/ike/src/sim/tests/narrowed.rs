//! A peer that takes a part of a policy into each Child SA, as Libreswan does: every pair of selectors has one, and has one again after whatever happens.

use super::*;
use crate::event::ChildId;

const PAIRS: u8 = 3;

fn subnet(second: u8, third: u8) -> TrafficSelector {
    TrafficSelector::from_prefix(IpAddr::V4(Ipv4Addr::new(10, second, third, 0)), 24).unwrap()
}

/// Side 0 has a policy for each of [`PAIRS`] pairs and takes one into a Child SA; side 1 has one policy for all of them.
fn pair_by_pair(index: usize, config: &mut ConnectionConfig) {
    let child = config.children[0].clone();
    config.mode = if index == 0 { Mode::ResponderOnly } else { Mode::InitiatorOnly };
    if index == 0 {
        config.children = vec![child; PAIRS.into()];
        for (third, child) in (0..).zip(&mut config.children) {
            child.local_selectors = vec![subnet(1, third)];
        }
    } else {
        config.children[0].remote_selectors = (0..PAIRS).map(|third| subnet(1, third)).collect();
    }
}

/// The Child SA that side 1 sends on to the subnet with this number.
fn to(pair: &Pair, third: u8) -> Option<ChildId> {
    let plane = &pair.sides[1].plane;
    plane.sending().find(|sa| sa.remote_selectors == [subnet(1, third)]).map(|sa| sa.id)
}

/// Checks that each pair has one Child SA, which both sides send on.
fn assert_whole(pair: &Pair, note: &str) {
    let pairs = usize::from(PAIRS);
    assert_eq!(pair.live_children(), [pairs, pairs], "{note}\n{}", pair.trace());
    for third in 0..PAIRS {
        assert!(to(pair, third).is_some(), "{note}: nothing to {third}\n{}", pair.trace());
        let back = pair.sides[0].plane.sends_on(CONNECTION, third.into());
        assert!(back.is_some(), "{note}: nothing from {third}\n{}", pair.trace());
    }
    for side in &pair.sides {
        assert_eq!(side.plane.allocated(), pairs, "{note}: SPIs leaked\n{}", pair.trace());
    }
}

#[test]
fn a_pair_whose_child_is_lost_gets_another_one_while_others_live() {
    for third in 0..PAIRS {
        let mut pair = Pair::connected(1, Link::LAN, pair_by_pair);
        settle(&mut pair);
        assert_whole(&pair, "at first");
        let before = to(&pair, third);
        let expired = pair.sides[1].plane.sending().find(|sa| Some(sa.id) == before).unwrap().inbound.spi;
        pair.command(1, Command::HardLifetime(expired));
        settle(&mut pair);
        assert_whole(&pair, "expired");
        let between = to(&pair, third);
        assert_ne!(between, before);
        // The peer deletes it, and leaves it to us to ask again.
        let mut config = connection(0);
        pair_by_pair(0, &mut config);
        config.children[usize::from(third)].esn = EsnPolicy::Off;
        pair.command(0, Command::Configure(Box::new(config)));
        settle(&mut pair);
        assert_whole(&pair, "deleted");
        assert_ne!(to(&pair, third), between);
        assert_eq!(pair.count(1, What::Established), 1, "{}", pair.trace());
    }
}

#[test]
fn all_pairs_that_are_lost_at_once_get_others() {
    let mut pair = Pair::connected(1, Link::LAN, pair_by_pair);
    settle(&mut pair);
    let rest = censuses(&pair);
    let spis: Vec<_> = pair.sides[1].plane.sending().map(|sa| sa.inbound.spi).collect();
    for spi in spis {
        pair.command(1, Command::HardLifetime(spi));
    }
    settle(&mut pair);
    assert_whole(&pair, "expired");
    assert_eq!(censuses(&pair), rest, "{}", pair.trace());
}

#[test]
fn each_pair_is_sent_on_for_itself_whatever_comes_in_on_the_others() {
    let mut pair = Pair::connected(1, Link::LAN, pair_by_pair);
    settle(&mut pair);
    assert_whole(&pair, "at first");
    let switched = |pair: &Pair| {
        let events = pair.sides.iter().flat_map(|side| &side.events);
        events.filter(|event| event.contains("ActivateOutbound")).count()
    };
    let before = switched(&pair);
    for _ in 0..5 {
        for index in [0, 1] {
            let spis: Vec<_> = pair.sides[index].plane.sending().map(|sa| sa.inbound.spi).collect();
            for spi in spis {
                pair.command(index, Command::InboundActivity(spi));
            }
        }
    }
    assert_eq!(switched(&pair), before, "{}", pair.trace());
    for third in 0..PAIRS {
        let old = to(&pair, third).unwrap();
        let peers = pair.sides[0].plane.sends_on(CONNECTION, third.into()).unwrap().id;
        pair.command(0, Command::RekeyChild(peers));
        settle(&mut pair);
        assert_whole(&pair, "replaced by the peer");
        assert_ne!(to(&pair, third), Some(old));
    }
}

#[test]
fn a_pair_that_both_ask_for_at_once_has_one_child_in_the_end() {
    for seed in seeds(200) {
        let mut pair = Pair::connected(seed, Link::LAN, |index, config| {
            pair_by_pair(index, config);
            config.mode = Mode::Default;
            for child in &mut config.children {
                child.pfs_groups = vec![Some(Group::Curve25519)];
            }
        });
        let rest = rest(&mut pair);
        assert_whole(&pair, &format!("seed {seed}, at first"));
        if seed % 3 == 2 {
            pair.link = Link::HOSTILE;
        }
        pair.compute = Duration::from_millis(seed % 7 * 5);
        for index in [0, 1] {
            let spis: Vec<_> = pair.sides[index].plane.sending().map(|sa| sa.inbound.spi).collect();
            for spi in spis {
                pair.command(index, Command::HardLifetime(spi));
                pair.run_for(Duration::from_millis(seed % 5));
            }
        }
        pair.run_for(Duration::from_secs(60));
        pair.link = Link::LAN;
        settle(&mut pair);
        assert_whole(&pair, &format!("seed {seed}"));
        assert_eq!(censuses(&pair), rest, "seed {seed}\n{}", pair.trace());
    }
}

#[test]
fn what_was_left_out_is_asked_for_by_the_winner_of_an_ike_rekey_collision() {
    for seed in seeds(60) {
        let mut pair = Pair::new(seed, Link::LAN, &EndpointConfig::default());
        for index in [1, 0] {
            let mut config = connection(index);
            pair_by_pair(index, &mut config);
            pair.command(index, Command::Configure(Box::new(config)));
        }
        pair.run(|pair| pair.live_children()[1] > 0, pair.now + Duration::from_secs(10));
        pair.compute = Duration::from_millis(seed % 4 * 5);
        pair.run_for(Duration::from_millis(seed % 9));
        pair.both(|_, _| Command::RekeyIke(CONNECTION));
        settle(&mut pair);
        assert_whole(&pair, &format!("seed {seed}"));
        assert_eq!(pair.live_ikes(), [1, 1], "seed {seed}\n{}", pair.trace());
    }
}
