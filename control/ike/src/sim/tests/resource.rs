//! Child SAs for each resource (RFC 9611): as many as the side with more of them has, beside the one for all; none where the other side knows nothing of it.

use std::num::NonZeroU16;

use super::*;
use crate::established::Task;
use crate::event::{ChildId, RemoveReason};
use crate::resource::{Share, fallback_for};
use crate::sa::State;
use crate::sim::plane::Installed;

fn with_resources(of: [u16; 2]) -> impl Fn(usize, &mut ConnectionConfig) {
    move |index, config| {
        for child in &mut config.children {
            child.resources = NonZeroU16::new(of[index]);
        }
    }
}

/// What is installed at a side and not retired, by resource.
fn live(pair: &Pair, index: usize) -> Vec<(Option<u16>, ChildId)> {
    let plane = &pair.sides[index].plane;
    let is_live = |installed: &&Installed| !installed.retired;
    let mut live: Vec<_> =
        plane.installed().filter(is_live).map(|installed| (installed.sa.resource, installed.sa.id)).collect();
    live.sort();
    live
}

fn numbers(pair: &Pair, index: usize) -> Vec<Option<u16>> {
    live(pair, index).into_iter().map(|(number, _)| number).collect()
}

/// The one for all, and one for each of `count` resources.
fn up_to(count: u16) -> Vec<Option<u16>> {
    std::iter::once(None).chain((0..count).map(Some)).collect()
}

/// Checks that each of a side's resources and the rest send, that the other side receives it under the same key, and that nothing leaked.
fn assert_each_sends(pair: &Pair, resources: [u16; 2], note: &str) {
    assert_eq!(pair.live_ikes(), [1, 1], "{note}\n{}", pair.trace());
    for index in [0, 1] {
        for wanted in up_to(resources[index]) {
            let sent = pair.sides[index].plane.sending().find(|sa| sa.resource == wanted);
            let sent = sent.unwrap_or_else(|| panic!("{index} lacks {wanted:?}, {note}\n{}", pair.trace()));
            let found = pair.sides[1 - index].plane.find(sent.outbound.spi);
            let is_same = found.is_some_and(|found| found.sa.inbound.key == sent.outbound.key);
            assert!(is_same, "{index} sends {wanted:?} into the void, {note}\n{}", pair.trace());
        }
        let plane = &pair.sides[index].plane;
        assert_eq!(plane.allocated(), plane.live().len(), "SPIs leaked, {note}\n{}", pair.trace());
    }
}

#[test]
fn each_resource_of_the_side_with_more_has_a_child_of_its_own_beside_the_one_for_all() {
    for (resources, expected) in
        [([2, 2], 2), ([4, 2], 4), ([2, 4], 4), ([1, 8], 8), ([8, 1], 8), ([1, 1], 0)]
    {
        for childless in [false, true] {
            let mut pair = Pair::connected(1, Link::LAN, |index, config| {
                with_resources(resources)(index, config);
                config.childless = childless;
            });
            settle(&mut pair);
            let note = format!("{resources:?}, childless {childless}");
            for index in [0, 1] {
                assert_eq!(numbers(&pair, index), up_to(expected), "{note}\n{}", pair.trace());
            }
            let own = resources.map(|count| if count > 1 { count } else { 0 });
            assert_each_sends(&pair, own, &note);
            assert!(status(&pair, 0).failure.is_none() && status(&pair, 1).failure.is_none(), "{note}");
        }
    }
}

#[test]
fn one_for_all_is_enough_for_a_peer_that_knows_of_no_resources() {
    for resources in [[4, 0], [0, 4]] {
        let mut pair = Pair::connected(1, Link::LAN, with_resources(resources));
        settle(&mut pair);
        pair.assert_up(&format!("{resources:?}"));
    }
}

#[test]
fn a_peer_with_many_resources_is_told_where_it_ends_and_asks_no_more() {
    let mut pair = Pair::connected(1, Link::LAN, with_resources([32, 1]));
    settle(&mut pair);
    for index in [0, 1] {
        assert_eq!(numbers(&pair, index), up_to(8), "{}", pair.trace());
    }
    assert_eq!(pair.count(0, What::NoMoreForResources), 1, "{}", pair.trace());
    assert_eq!(pair.count(1, What::ErrorAnswered), 1, "{}", pair.trace());
    assert!(status(&pair, 0).failure.is_none() && status(&pair, 1).failure.is_none());
    assert_each_sends(&pair, [8, 0], "as many as there may be");
}

#[test]
fn a_child_is_replaced_for_its_resource_by_either_side() {
    for index in [0, 1] {
        for pfs in [Vec::new(), vec![Some(Group::Curve25519)]] {
            let mut pair = Pair::connected(1, Link::LAN, |index, config| {
                with_resources([3, 2])(index, config);
                config.children[0].pfs_groups.clone_from(&pfs);
            });
            settle(&mut pair);
            let before = [live(&pair, 0), live(&pair, 1)];
            pair.probing = true;
            for (number, id) in before[index].clone() {
                pair.command(index, Command::RekeyChild(id));
                settle(&mut pair);
                let after = live(&pair, index);
                assert!(!after.iter().any(|(_, other)| *other == id), "{number:?}\n{}", pair.trace());
            }
            for side in [0, 1] {
                assert_eq!(numbers(&pair, side), up_to(3), "{}", pair.trace());
                assert!(live(&pair, side).iter().all(|one| !before[side].contains(one)));
            }
            assert_each_sends(&pair, [3, 2], "replaced");
            assert_eq!(pair.lost, 0, "{}", pair.trace());
        }
    }
}

#[test]
fn what_the_peer_deletes_of_one_resource_leaves_the_rest_and_is_not_asked_for_again() {
    for index in [0, 1] {
        let mut pair = Pair::connected(1, Link::LAN, with_resources([2, 2]));
        settle(&mut pair);
        let id = live(&pair, index).into_iter().find(|(number, _)| *number == Some(1)).unwrap().1;
        let ike = status(&pair, index).ike_sas[0].id;
        let side = &mut pair.sides[index];
        side.endpoint.with_sa(ike, pair.now, &mut side.plane, |sa, cx| {
            let State::Established(state) = &mut sa.state else { panic!("established") };
            state.child_mut(id).unwrap().phase = crate::child::Phase::Deleting;
            state.want(Task::DeleteChild(id, RemoveReason::DeletedByUs));
            let _ = cx;
        });
        pair.input(index, Input::Timeout);
        settle(&mut pair);
        for side in [0, 1] {
            assert_eq!(numbers(&pair, side), up_to(1), "{}", pair.trace());
        }
        assert_each_sends(&pair, [1, 1], "one less");
    }
}

#[test]
fn what_expires_is_asked_for_again_be_it_for_one_resource_or_for_all() {
    for index in [0, 1] {
        for lost in up_to(2) {
            let mut pair = Pair::connected(1, Link::LAN, with_resources([2, 2]));
            settle(&mut pair);
            let spi = pair.sides[index].plane.sending().find(|sa| sa.resource == lost).unwrap().inbound.spi;
            pair.command(index, Command::HardLifetime(spi));
            settle(&mut pair);
            for side in [0, 1] {
                assert_eq!(numbers(&pair, side), up_to(2), "{lost:?}\n{}", pair.trace());
            }
            assert_each_sends(&pair, [2, 2], &format!("{lost:?}"));
        }
    }
}

#[test]
fn nothing_is_lost_while_resources_get_their_own() {
    for resources in [[4, 1], [1, 4], [3, 3]] {
        let mut pair = Pair::begun(1, Link::LAN, with_resources(resources));
        pair.probing = true;
        settle(&mut pair);
        assert_eq!(numbers(&pair, 0), up_to(resources[0].max(resources[1])), "{}", pair.trace());
        assert_eq!(pair.lost, 0, "{resources:?}\n{}", pair.trace());
    }
}

#[test]
fn who_answers_sends_in_the_end_though_it_hears_nothing() {
    let mut pair = Pair::begun(1, Link::LAN, with_resources([2, 2]));
    pair.run_for(Duration::from_secs(1));
    let sends = |pair: &Pair, index: usize| pair.sides[index].plane.sending().count();
    assert_eq!([sends(&pair, 0), sends(&pair, 1)], [3, 1], "{}", pair.trace());
    pair.run_for(Duration::from_secs(4));
    assert_eq!([sends(&pair, 0), sends(&pair, 1)], [3, 3], "{}", pair.trace());
}

#[test]
fn one_that_there_is_no_room_to_replace_is_given_up_for_the_one_for_all() {
    for full in [0, 1] {
        let mut pair = Pair::connected(1, Link::LAN, with_resources([2, 2]));
        settle(&mut pair);
        pair.probing = true;
        let id = live(&pair, 0).into_iter().find(|(number, _)| *number == Some(1)).unwrap().1;
        let plane = &mut pair.sides[full].plane;
        plane.capacity = plane.allocated();
        pair.command(0, Command::RekeyChild(id));
        settle(&mut pair);
        for side in [0, 1] {
            assert_eq!(numbers(&pair, side), up_to(1), "{full}\n{}", pair.trace());
        }
        assert_eq!(pair.count(0, What::NoMoreForResources), 1, "{}", pair.trace());
        assert!(status(&pair, 0).failure.is_none() && status(&pair, 1).failure.is_none());
        assert_eq!(pair.lost, 0, "{}", pair.trace());
    }
}

#[test]
fn a_request_may_name_more_than_the_one_for_all_carries_but_not_less() {
    use crate::wire::{ExchangeType, Header, IkeSpi, Message, MessageId, MessageKind, Payload};
    let mut pair = Pair::connected(1, Link::LAN, with_resources([1, 1]));
    let prefix = |text: &str, bits| TrafficSelector::from_prefix(text.parse().unwrap(), bits).unwrap();
    let (ours, theirs) = (prefix("10.2.0.0", 16), prefix("10.1.0.0", 16));
    let all = prefix("0.0.0.0", 0);
    let (from, to) = (prefix("10.1.3.4", 32), prefix("10.2.5.6", 32));
    let cases = [
        (vec![ours], vec![theirs], true),
        (vec![to, ours], vec![from, theirs], true),
        (vec![all], vec![all], true),
        (vec![to], vec![from, theirs], false),
        (vec![ours], vec![prefix("10.9.0.0", 16)], false),
    ];
    let ike = status(&pair, 1).ike_sas[0].id;
    let side = &mut pair.sides[1];
    side.endpoint.with_sa(ike, pair.now, &mut side.plane, |sa, _| {
        let State::Established(state) = &mut sa.state else { panic!("established") };
        for (local, remote, is_meant) in cases {
            for is_said in [true, false] {
                let header = Header {
                    initiator_spi: IkeSpi(1),
                    responder_spi: IkeSpi(2),
                    exchange: ExchangeType::CREATE_CHILD_SA,
                    sender: crate::wire::Role::Initiator,
                    kind: MessageKind::Request,
                    id: MessageId(2),
                };
                let mut payloads = vec![
                    Payload::TsInitiator(crate::exchange::auth::selectors(&remote)),
                    Payload::TsResponder(crate::exchange::auth::selectors(&local)),
                ];
                payloads.extend(Share::Own(0).payload().filter(|_| is_said));
                let message = Message { header, payloads };
                let found = fallback_for(state, &message).is_some();
                assert_eq!(found, is_meant && is_said, "{local:?} {remote:?}");
            }
        }
    });
}

#[test]
fn both_at_once_over_a_bad_link_end_with_one_for_each_resource() {
    for seed in seeds(150) {
        let resources = [2 + u16::try_from(seed % 3).unwrap(), 2 + u16::try_from(seed / 3 % 3).unwrap()];
        let mut pair = Pair::new(seed, Link::HOSTILE, &EndpointConfig::default());
        pair.compute = Duration::from_millis(seed % 5 * 10);
        let config = |index| {
            let mut config = connection(index);
            with_resources(resources)(index, &mut config);
            config.mode = Mode::Default;
            if seed % 2 == 1 {
                config.children[0].pfs_groups = vec![Some(Group::Curve25519)];
            }
            config
        };
        for index in [0, 1] {
            pair.command(index, Command::Configure(Box::new(config(index))));
        }
        pair.run_for(Duration::from_secs(20));
        let mut random = Random::new(seed);
        for _ in 0..8 {
            let index = random.index(2);
            let live = live(&pair, index);
            if live.is_empty() {
                continue;
            }
            let (_, id) = live[random.index(live.len())];
            let spi = pair.sides[index].plane.installed().find(|one| one.sa.id == id).unwrap().sa.inbound.spi;
            let command = match random.index(5) {
                0 | 1 => Command::RekeyChild(id),
                2 => Command::RekeyIke(CONNECTION),
                3 => Command::HardLifetime(spi),
                _ => Command::InboundActivity(spi),
            };
            pair.command(index, command);
            pair.run_for(Duration::from_millis(random.below(3000)));
        }
        pair.link = Link::LAN;
        // Begun anew, for what a peer deletes is not asked for again.
        pair.command(0, Command::Reset(CONNECTION));
        settle(&mut pair);
        settle(&mut pair);
        let note = format!("seed {seed}, {resources:?}");
        assert_each_sends(&pair, resources, &note);
        let most = usize::from(resources[0] + resources[1]);
        for index in [0, 1] {
            assert!(numbers(&pair, index).len() <= 1 + most, "{note}\n{}", pair.trace());
        }
    }
}
