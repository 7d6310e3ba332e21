//! Rekeys of either phase from either side: nothing is lost, and in the end there is one of each.

use super::*;

#[test]
fn a_pair_is_replaced_without_loss_whoever_begins() {
    for side in [0, 1] {
        for groups in [Vec::new(), vec![Some(Group::Ecp256)]] {
            let mut pair = connected(1, Link::LAN, |_, config| {
                config.mode = Mode::Default;
                config.children[0].pfs_groups.clone_from(&groups);
            });
            let (rest, before) = (rest(&mut pair), child(&pair, 0));
            pair.probing = true;
            pair.command(side, Command::RekeyChild(child(&pair, side)));
            pair.run_for(Duration::from_secs(60));
            pair.probing = false;
            settle(&mut pair);
            pair.assert_up(&format!("rekeyed by {side}"));
            assert_ne!(child(&pair, 0), before);
            assert!(
                pair.delivered > 10 && pair.lost == 0,
                "{} lost of {}\n{}",
                pair.lost,
                pair.delivered,
                pair.trace()
            );
            assert_eq!(censuses(&pair), rest, "{}", pair.trace());
        }
    }
}

#[test]
fn the_isakmp_sa_is_replaced_and_the_pairs_move_whoever_begins() {
    for side in [0, 1] {
        for nat in [false, true] {
            let mut pair = connected(1, Link { nat, ..Link::LAN }, |index, config| {
                config.mode = Mode::Default;
                if nat && index == 1 {
                    config.mode = Mode::ResponderOnly;
                    config.places.clear();
                }
            });
            let (rest, before) = (rest(&mut pair), child(&pair, 0));
            let spis = status(&pair, 0).ike_sas[0].spis;
            pair.probing = true;
            pair.command(side, Command::RekeyIke(CONNECTION));
            pair.run_for(Duration::from_secs(60));
            pair.probing = false;
            settle(&mut pair);
            let note = format!("by {side}, NAT {nat}");
            pair.assert_up(&note);
            assert_ne!(status(&pair, 0).ike_sas[0].spis, spis, "{note}");
            assert_eq!(child(&pair, 0), before, "the pair stays, {note}");
            assert!(pair.delivered > 10 && pair.lost == 0, "{note}, {} lost\n{}", pair.lost, pair.trace());
            assert_eq!(censuses(&pair), rest, "{note}\n{}", pair.trace());
            // What moved is still replaced and deleted in good order.
            pair.command(1 - side, Command::RekeyChild(child(&pair, 1 - side)));
            settle(&mut pair);
            pair.assert_up(&note);
            assert_ne!(child(&pair, 0), before, "{note}");
        }
    }
}

#[test]
fn both_at_once_end_with_one_of_each() {
    for seed in seeds(100) {
        let mut pair = connected(seed, Link::LAN, |_, config| config.mode = Mode::Default);
        let rest = rest(&mut pair);
        pair.compute = Duration::from_millis(seed % 4 * 7);
        pair.probing = true;
        if seed % 2 == 0 {
            pair.both(|_, _| Command::RekeyIke(CONNECTION));
        } else {
            pair.both(|pair, index| Command::RekeyChild(child(pair, index)));
        }
        pair.run_for(Duration::from_secs(60));
        pair.probing = false;
        settle(&mut pair);
        pair.assert_up(&format!("seed {seed}"));
        assert_eq!(pair.lost, 0, "seed {seed}\n{}", pair.trace());
        assert_eq!(censuses(&pair), rest, "seed {seed}\n{}", pair.trace());
    }
}

#[test]
fn two_that_begin_at_once_end_with_one_of_each() {
    for seed in seeds(50) {
        let mut pair = Pair::new(seed, Link::LAN, &EndpointConfig::default());
        pair.compute = Duration::from_millis(seed % 4 * 7);
        for index in [1, 0] {
            pair.command(index, Command::Configure(config(index, |_, config| config.mode = Mode::Default)));
        }
        settle(&mut pair);
        pair.assert_up(&format!("seed {seed}"));
    }
}

#[test]
fn a_week_of_lifetimes_leaves_one_of_each() {
    for seed in few_seeds(10) {
        let mut pair = connected(seed, Link::HOSTILE, |_, config| {
            config.mode = Mode::Default;
            config.ike_lifetime = Lifetime::of(Duration::from_secs(3600));
            config.children[0].lifetime = Lifetime::of(Duration::from_secs(900));
        });
        pair.run_for(Duration::from_secs(7 * 86_400 / 10));
        pair.link = Link::LAN;
        settle(&mut pair);
        pair.assert_up(&format!("seed {seed}"));
        assert!(pair.count(0, What::IkeRekeyed) > 3, "{}", pair.count(0, What::IkeRekeyed));
    }
}

#[test]
fn the_shorter_life_of_the_two_counts() {
    let mut pair = connected(1, Link::LAN, |index, config| {
        let life = if index == 0 { 600 } else { 7200 };
        config.ike_lifetime = Lifetime::of(Duration::from_secs(life));
        config.children[0].lifetime = Lifetime::of(Duration::from_secs(life));
    });
    pair.run_until_idle();
    let ike = status(&pair, 1).ike_sas.remove(0);
    let wait = |at: crate::Instant| at.saturating_since(pair.now);
    assert!(ike.rekey_at.map(wait).unwrap() < Duration::from_secs(600), "{ike:?}");
    assert!(wait(ike.children[0].expires_at) <= Duration::from_secs(600), "{ike:?}");
}

#[test]
fn a_side_that_only_answers_renews_phase_1_when_the_peer_does_not() {
    for nat in [false, true] {
        let mut pair = connected(1, Link { nat, ..Link::LAN }, |index, config| {
            config.ike_lifetime = Lifetime::of(Duration::from_secs(3600));
            if nat {
                behind_nat(index, config);
            }
        });
        let (spis, before) = (status(&pair, 1).ike_sas[0].spis, child(&pair, 0));
        for sa in pair.sides[0].endpoint.sas.values_mut() {
            if let crate::sa::State::V1(crate::v1::Phase::Established(state)) = &mut sa.state {
                state.rekey_at = state.rekey_at + Duration::from_secs(86_400);
            }
        }
        pair.probing = true;
        pair.run_for(Duration::from_secs(3700));
        pair.probing = false;
        let note = format!("NAT {nat}");
        pair.assert_up(&note);
        assert_ne!(status(&pair, 1).ike_sas[0].spis, spis, "{note}");
        assert_eq!(child(&pair, 0), before, "the pair stays, {note}");
        assert_eq!(pair.lost, 0, "{note}\n{}", pair.trace());
    }
}
