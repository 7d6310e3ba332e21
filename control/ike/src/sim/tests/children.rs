//! Several Child SAs under one connection, and both sides asking for one at once.

use super::*;

#[test]
fn two_policies_have_a_child_each_and_replace_them_one_by_one() {
    let mut pair = Pair::connected(1, Link::LAN, second_policy);
    pair.assert_up_with(2, "two policies");
    let before = [0, 1].map(|policy| pair.sides[0].plane.sends_on(CONNECTION, policy).unwrap().id);
    pair.command(0, Command::RekeyChild(before[1]));
    pair.run_for(Duration::from_secs(30));
    pair.run_until_idle();
    pair.assert_up_with(2, "one replaced");
    let after = [0, 1].map(|policy| pair.sides[0].plane.sends_on(CONNECTION, policy).unwrap().id);
    assert!(before[0] == after[0] && before[1] != after[1], "{before:?} {after:?}");
    pair.command(1, Command::RekeyIke(CONNECTION));
    settle(&mut pair);
    pair.assert_up_with(2, "moved to another IKE SA");
}

#[test]
fn a_peer_asks_pair_by_pair_for_all_pairs_of_our_policy_and_replaces_each() {
    const PAIRS: usize = 12;
    let prefix = |second: u8, third, bits| {
        TrafficSelector::from_prefix(IpAddr::V4(Ipv4Addr::new(10, second, third, 0)), bits).unwrap()
    };
    let mut pair = Pair::connected(1, Link::LAN, |index, config| {
        let child = config.children[0].clone();
        let subnet = |third| if index == 0 { prefix(1, third, 24) } else { prefix(2, third, 24) };
        if index == 0 {
            config.mode = Mode::InitiatorOnly;
            config.children = vec![child; PAIRS];
            for (third, child) in (0..).zip(&mut config.children) {
                child.local_selectors = vec![subnet(third)];
            }
        } else {
            let theirs = (0..).take(PAIRS).map(|third| prefix(1, third, 24));
            config.children[0].remote_selectors = theirs.collect();
        }
    });
    settle(&mut pair);
    assert_eq!(pair.live_children(), [PAIRS, PAIRS], "{}", pair.trace());
    let before = pair.sides[0].plane.sends_on(CONNECTION, PAIRS - 1).unwrap().id;
    for policy in 0..PAIRS {
        let id = pair.sides[0].plane.sends_on(CONNECTION, policy).unwrap().id;
        pair.command(0, Command::RekeyChild(id));
    }
    settle(&mut pair);
    assert_eq!(pair.live_children(), [PAIRS, PAIRS], "replaced\n{}", pair.trace());
    assert_ne!(pair.sides[0].plane.sends_on(CONNECTION, PAIRS - 1).unwrap().id, before);
    assert_eq!(pair.count(1, What::ErrorAnswered), 0, "{}", pair.trace());
}

#[test]
fn what_a_peer_leaves_out_of_a_child_is_asked_for_pair_by_pair_and_each_is_replaced_by_its_like() {
    const PAIRS: usize = 3;
    let prefix = |second: u8, third| {
        TrafficSelector::from_prefix(IpAddr::V4(Ipv4Addr::new(10, second, third, 0)), 24).unwrap()
    };
    // One side has a policy for each pair and takes one into a Child SA, as Libreswan does; it lacks the last one.
    let mut pair = Pair::connected(1, Link::LAN, |index, config| {
        let child = config.children[0].clone();
        if index == 0 {
            config.mode = Mode::ResponderOnly;
            config.children = vec![child; PAIRS];
            for (third, child) in (0..).zip(&mut config.children) {
                child.local_selectors = vec![prefix(1, third)];
            }
        } else {
            config.mode = Mode::InitiatorOnly;
            config.children[0].remote_selectors = (0..4).map(|third| prefix(1, third)).collect();
        }
    });
    settle(&mut pair);
    assert_eq!(pair.live_children(), [PAIRS, PAIRS], "{}", pair.trace());
    assert!(status(&pair, 1).failure.is_none(), "what the peer lacks is no failure");
    let ids = |pair: &Pair| -> Vec<crate::event::ChildId> {
        status(pair, 1).ike_sas.iter().flat_map(|ike| &ike.children).map(|child| child.id).collect()
    };
    let before = ids(&pair);
    for id in &before {
        pair.command(1, Command::RekeyChild(*id));
    }
    settle(&mut pair);
    assert_eq!(pair.live_children(), [PAIRS, PAIRS], "replaced\n{}", pair.trace());
    assert!(ids(&pair).iter().all(|id| !before.contains(id)), "{}", pair.trace());
    for policy in 0..PAIRS {
        assert!(pair.sides[0].plane.sends_on(CONNECTION, policy).is_some(), "{policy}\n{}", pair.trace());
    }
}

#[test]
fn the_reason_why_a_peer_is_refused_a_child_is_told() {
    let mut pair = Pair::new(1, Link::LAN, &EndpointConfig::default());
    for index in [1, 0] {
        let mut config = connection(index);
        if index == 0 {
            second_policy(index, &mut config);
        }
        pair.command(index, Command::Configure(Box::new(config)));
    }
    pair.run_for(Duration::from_secs(5));
    assert_eq!((pair.live_ikes(), pair.live_children()), ([1, 1], [1, 1]), "{}", pair.trace());
    let failure = status(&pair, 1).failure.expect("the second Child SA was refused").error;
    assert_eq!(failure, IkeError::NoCommonSelectors(crate::error::Stage::NewChild));
    let told = pair.sides[1].events.iter().filter(|event| event.contains("ChildFailed")).count();
    assert!(told > 0, "{}", pair.trace());
}

#[test]
fn a_second_connection_between_the_same_identities_does_not_end_the_first_one() {
    let mut pair = Pair::connected(1, Link::LAN, |_, config| {
        config.local_id = Identity::Fqdn("gw.example.net".into());
        config.remote_id = Some(Identity::Fqdn("gw.example.net".into()));
    });
    let before = pair.count(1, What::InitialContact);
    let mut second = connection(0);
    second.id = ConnectionId(CONNECTION.0 + 1);
    second.local_id = Identity::Fqdn("gw.example.net".into());
    second.remote_id = Some(Identity::Fqdn("gw.example.net".into()));
    pair.command(0, Command::Configure(Box::new(second)));
    pair.run_for(Duration::from_secs(5));
    assert!(pair.count(0, What::Established) > 1, "{}", pair.trace());
    assert_eq!(pair.count(1, What::InitialContact), before, "{}", pair.trace());
}

#[test]
fn a_new_child_that_both_ask_for_at_once_is_made_once() {
    for seed in seeds(100) {
        let mut pair = Pair::connected(seed, Link::LAN, |index, config| {
            second_policy(index, config);
            config.mode = Mode::Default;
        });
        let rest = rest(&mut pair);
        if seed % 2 == 1 {
            pair.link = Link::HOSTILE;
        }
        pair.compute = Duration::from_millis(seed % 4 * 10);
        pair.both(|pair, index| {
            Command::HardLifetime(pair.sides[index].plane.sends_on(CONNECTION, 1).unwrap().inbound.spi)
        });
        pair.run_for(Duration::from_secs(60));
        pair.link = Link::LAN;
        settle(&mut pair);
        pair.assert_up_with(2, &format!("seed {seed}"));
        assert_eq!(censuses(&pair), rest, "seed {seed}\n{}", pair.trace());
    }
}

#[test]
fn a_peer_whose_table_is_full_is_asked_again_and_the_ike_sa_stays() {
    let mut pair = Pair::new(1, Link::LAN, &EndpointConfig::default());
    pair.sides[1].plane.capacity = 1;
    for index in [1, 0] {
        let mut config = connection(index);
        second_policy(index, &mut config);
        pair.command(index, Command::Configure(Box::new(config)));
    }
    pair.run_for(Duration::from_secs(5));
    assert_eq!((pair.live_ikes(), pair.live_children()), ([1, 1], [1, 1]), "{}", pair.trace());
    let failure = status(&pair, 0).failure.expect("the second Child SA failed").error;
    let told = IkeError::Refused {
        stage: crate::error::Stage::NewChild,
        notify: crate::wire::NotifyType::NO_ADDITIONAL_SAS,
    };
    assert_eq!(failure, told);
    assert_eq!(pair.sides[0].plane.allocated(), 1, "the refused SPI is free again");
    pair.sides[1].plane.capacity = 10;
    settle(&mut pair);
    pair.assert_up_with(2, "room again");
    assert_eq!(pair.count(0, What::Established), 1);
}

#[test]
fn first_child_may_have_a_key_exchange_of_its_own() {
    use crate::crypto::kex::Group;
    for responder_takes_none in [false, true] {
        let mut pair = Pair::new(1, Link::LAN, &EndpointConfig::default());
        for index in [1, 0] {
            let mut config = connection(index);
            second_policy(index, &mut config);
            config.childless = index == 0;
            for child in &mut config.children {
                let other = responder_takes_none && index == 1;
                child.pfs_groups = vec![Some(if other { Group::Ecp384 } else { Group::Ecp256 })];
            }
            pair.command(index, Command::Configure(Box::new(config)));
        }
        pair.run_for(Duration::from_secs(3));
        assert_eq!(pair.count(1, What::Childless), 1, "{}", pair.trace());
        if responder_takes_none {
            // What would break the first rekey is told at once.
            assert_eq!((pair.live_ikes(), pair.live_children()), ([1, 1], [0, 0]), "{}", pair.trace());
            assert!(status(&pair, 0).failure.is_some());
            continue;
        }
        pair.assert_up_with(2, "childless");
        pair.command(0, Command::RekeyIke(CONNECTION));
        settle(&mut pair);
        pair.assert_up_with(2, "rekeyed");
    }
}
