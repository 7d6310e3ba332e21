//! A gateway that has its address inside the tunnel from its peer: two cores, the one asks and the other assigns.

use super::*;
use crate::client::{Clients, Pool};

fn pool(first: &str, last: &str) -> Pool {
    Pool { first: first.parse().unwrap(), last: last.parse().unwrap() }
}

/// Side 0 asks, side 1 has these addresses to give.
fn asking(pools: &[Pool]) -> impl Fn(usize, &mut ConnectionConfig) {
    move |index, config| {
        let is_ipv6 = pools.iter().any(|pool| pool.first.is_ipv6());
        let any = [Some(TrafficSelector::any_ipv4()), is_ipv6.then(TrafficSelector::any_ipv6)];
        let any: Vec<TrafficSelector> = any.into_iter().flatten().collect();
        let child = &mut config.children[0];
        if index == 0 {
            (config.mode, config.request_addresses) = (Mode::InitiatorOnly, true);
            (child.local_selectors, child.remote_selectors) = (any.clone(), any);
        } else {
            let dns = vec!["10.2.0.53".parse().unwrap()];
            config.clients = Some(Clients { pools: pools.to_vec(), dns, sessions_max: 100 });
            child.remote_selectors = any;
            if is_ipv6 {
                child
                    .local_selectors
                    .push(TrafficSelector::from_prefix("fd02::".parse().unwrap(), 64).unwrap());
            }
        }
    }
}

fn of_one() -> [Pool; 1] {
    [pool("10.9.0.1", "10.9.0.9")]
}

fn configure(pair: &mut Pair, index: usize, adjust: impl Fn(usize, &mut ConnectionConfig)) {
    let mut config = connection(index);
    adjust(index, &mut config);
    pair.command(index, Command::Configure(Box::new(config)));
}

/// What side 0 may send: from where, to where.
fn selectors(pair: &Pair) -> Vec<String> {
    let of = |sa: &crate::event::ChildSa| format!("{:?} {:?}", sa.local_selectors, sa.remote_selectors);
    pair.sides[0].plane.sending().map(of).collect()
}

/// Our addresses and name servers, as the operator sees them.
fn assigned(pair: &Pair) -> Vec<String> {
    let of = |ike: &crate::status::IkeStatus| format!("{:?} {:?}", ike.assigned.addresses, ike.assigned.dns);
    status(pair, 0).ike_sas.iter().filter(|ike| ike.peer.is_some()).map(of).collect()
}

fn leases(pair: &Pair) -> usize {
    pair.sides[1].endpoint.census().leases
}

#[test]
fn the_assigned_address_is_all_there_is_on_our_side_and_stays_through_rekeys() {
    for seed in seeds(30) {
        let mut pair = Pair::connected(seed, Link::HOSTILE, asking(&of_one()));
        let is_so = |pair: &Pair, note: &str| {
            pair.assert_up(note);
            let seen = (selectors(pair), assigned(pair), leases(pair));
            let expected = ("[10.9.0.1/32] [10.2.0.0/16]".to_owned(), "[10.9.0.1] [10.2.0.53]".to_owned());
            assert_eq!(
                seen,
                (vec![expected.0], vec![expected.1], 1),
                "seed {seed}, {note}\n{}",
                pair.trace()
            );
        };
        is_so(&pair, "at first");
        for side in [0, 1] {
            pair.command(side, Command::RekeyIke(CONNECTION));
            settle(&mut pair);
            is_so(&pair, "after a rekey of the IKE SA");
            let child = child(&pair, side);
            pair.command(side, Command::RekeyChild(child));
            settle(&mut pair);
            is_so(&pair, "after a rekey of the Child SA");
        }
        pair.both(|_, _| Command::RekeyIke(CONNECTION));
        settle(&mut pair);
        is_so(&pair, "after both rekeyed the IKE SA at once");
        assert_eq!(pair.count(0, What::AddressAssigned), 1, "seed {seed}\n{}", pair.trace());
    }
}

#[test]
fn each_family_has_its_address() {
    let pools = [pool("10.9.0.1", "10.9.0.9"), pool("fd09::1", "fd09::9")];
    let pair = Pair::connected(1, Link::LAN, asking(&pools));
    assert_eq!(selectors(&pair), ["[10.9.0.1/32, fd09::1/128] [10.2.0.0/16, fd02::/64]"], "{}", pair.trace());
    assert_eq!(assigned(&pair), ["[10.9.0.1, fd09::1] [10.2.0.53]"]);
}

#[test]
fn the_first_child_may_come_after_the_address_and_goes_by_it() {
    let pair = Pair::connected(1, Link::LAN, |index, config| {
        asking(&of_one())(index, config);
        config.childless = true;
    });
    assert_eq!(selectors(&pair), ["[10.9.0.1/32] [10.2.0.0/16]"], "{}", pair.trace());
    assert_eq!(pair.count(1, What::Childless), 1, "{}", pair.trace());
}

#[test]
fn without_a_free_address_nothing_is_up_until_there_is_one() {
    let full = |index: usize, config: &mut ConnectionConfig| {
        asking(&of_one())(index, config);
        config.clients.iter_mut().for_each(|clients| clients.sessions_max = 0);
    };
    let mut pair = Pair::new(1, Link::LAN, &EndpointConfig::default());
    [1, 0].into_iter().for_each(|index| configure(&mut pair, index, full));
    pair.run_for(Duration::from_secs(100));
    assert_eq!(status(&pair, 0).failure.unwrap().error, IkeError::AddressRefused, "{}", pair.trace());
    assert_eq!((pair.live_ikes()[0], pair.live_children()), (0, [0, 0]), "{}", pair.trace());
    assert!(pair.count(0, What::Initiating) > 2, "it is asked for again\n{}", pair.trace());
    configure(&mut pair, 1, asking(&of_one()));
    settle(&mut pair);
    pair.assert_up("with a free one");
    assert_eq!((selectors(&pair).len(), leases(&pair)), (1, 1));
}

#[test]
fn a_peer_that_assigns_nothing_carries_nothing() {
    let none = |index: usize, config: &mut ConnectionConfig| {
        asking(&of_one())(index, config);
        config.clients = None;
    };
    let mut pair = Pair::new(1, Link::LAN, &EndpointConfig::default());
    [1, 0].into_iter().for_each(|index| configure(&mut pair, index, none));
    pair.run_for(Duration::from_secs(100));
    assert_eq!(status(&pair, 0).failure.unwrap().error, IkeError::NotAssigned, "{}", pair.trace());
    assert_eq!((pair.live_children(), pair.sides[0].plane.allocated()), ([0, 0], 0), "{}", pair.trace());
    assert_eq!(pair.count(0, What::ChildUp), 0, "{}", pair.trace());
}

#[test]
fn a_peer_that_serves_clients_only_says_so_to_one_that_asks_for_no_address() {
    let mut pair = Pair::new(1, Link::LAN, &EndpointConfig::default());
    for index in [1, 0] {
        configure(&mut pair, index, |index, config| {
            asking(&of_one())(index, config);
            config.request_addresses = false;
        });
    }
    pair.run_for(Duration::from_secs(5));
    assert_eq!(status(&pair, 0).failure.unwrap().error, IkeError::AddressRequired, "{}", pair.trace());
    assert_eq!(pair.live_children(), [0, 0], "{}", pair.trace());
}

#[test]
fn the_address_of_the_last_time_is_asked_for_again_and_another_one_taken_where_that_is_gone() {
    let mut pair = Pair::connected(1, Link::LAN, asking(&[pool("10.9.0.5", "10.9.0.9")]));
    assert_eq!(selectors(&pair), ["[10.9.0.5/32] [10.2.0.0/16]"], "{}", pair.trace());
    for (first, last, expected) in [(1, 9, 5), (7, 9, 7)] {
        pair.restart(1);
        configure(&mut pair, 1, asking(&[pool(&format!("10.9.0.{first}"), &format!("10.9.0.{last}"))]));
        settle(&mut pair);
        pair.assert_up("after a restart");
        let host = format!("10.9.0.{expected}");
        assert_eq!(selectors(&pair), [format!("[{host}/32] [10.2.0.0/16]")], "{}", pair.trace());
        assert_eq!(assigned(&pair), [format!("[{host}] [10.2.0.53]")]);
    }
}

#[test]
fn a_change_of_the_connection_leaves_the_address_and_the_end_of_asking_ends_it() {
    let mut pair = Pair::connected(1, Link::LAN, asking(&of_one()));
    let child_before = child(&pair, 0);
    configure(&mut pair, 0, |index, config| {
        asking(&of_one())(index, config);
        config.dpd = Dpd::of(Duration::from_secs(60));
    });
    settle(&mut pair);
    assert_eq!(child(&pair, 0), child_before, "nothing of it is about the Child SA\n{}", pair.trace());
    for index in [1, 0] {
        configure(&mut pair, index, |index, config| {
            asking(&of_one())(index, config);
            config.children[0].esn = EsnPolicy::Off;
        });
    }
    settle(&mut pair);
    pair.assert_up("with another Child SA");
    assert_ne!(child(&pair, 0), child_before);
    assert_eq!(selectors(&pair), ["[10.9.0.1/32] [10.2.0.0/16]"], "{}", pair.trace());
    configure(&mut pair, 0, |index, config| {
        asking(&of_one())(index, config);
        config.request_addresses = false;
    });
    pair.run_for(Duration::from_secs(100));
    assert_eq!(
        (pair.live_children(), assigned(&pair)),
        ([0, 0], vec!["[] []".to_owned()]),
        "{}",
        pair.trace()
    );
}

#[test]
fn whoever_may_answer_cannot_ask() {
    let check = |edit: fn(&mut ConnectionConfig)| {
        let mut config = connection(0);
        asking(&of_one())(0, &mut config);
        edit(&mut config);
        config.check()
    };
    let refused = Err(crate::config::ConfigError::RequestedByResponder);
    assert_eq!(check(|_| {}), Ok(()));
    assert_eq!(check(|config| config.mode = Mode::Default), refused);
    assert_eq!(check(|config| config.mode = Mode::ResponderOnly), refused);
}
