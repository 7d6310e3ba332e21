//! Two endpoints that speak IKEv1: each role, with perfect forward secrecy and without, behind a NAT, under loss, rekeyed, deleted; and what is refused.

use super::*;
use crate::config::Version;
use crate::crypto::suite::Integrity;
use crate::error::Stage;

mod certificates;
mod faults;
mod load;
mod rekey;

/// The default connection in IKEv1.
pub(super) fn v1(config: &mut ConnectionConfig) {
    config.version = Version::V1;
    let sha256 = Integrity::HmacSha2_256_128;
    config.ike_suites = vec![IkeSuite {
        cipher: IkeCipher::AesCbc(KeyBits::B256, sha256),
        prf: sha256.prf(),
        group: Group::Ecp256,
    }];
}

fn connected(seed: u64, link: Link, adjust: impl Fn(usize, &mut ConnectionConfig)) -> Pair {
    Pair::connected(seed, link, |index, config| {
        v1(config);
        adjust(index, config);
    })
}

/// One side as it is configured by [`connected`].
pub(super) fn config(index: usize, adjust: impl Fn(usize, &mut ConnectionConfig)) -> Box<ConnectionConfig> {
    let mut config = connection(index);
    v1(&mut config);
    adjust(index, &mut config);
    Box::new(config)
}

/// The second side does not know where the first one is.
fn behind_nat(index: usize, config: &mut ConnectionConfig) {
    if index == 1 {
        config.places.clear();
    }
}

/// Runs a pair that does not come to rest, since something is tried again and again.
fn tried(adjust: impl Fn(usize, &mut ConnectionConfig)) -> Pair {
    let mut pair = Pair::new(1, Link::LAN, &EndpointConfig::default());
    for index in [1, 0] {
        pair.command(index, Command::Configure(config(index, &adjust)));
    }
    pair.run_for(Duration::from_secs(45));
    pair
}

/// The failure that side `index` reports.
fn failure(pair: &Pair, index: usize) -> Option<IkeError> {
    status(pair, index).failure.map(|failure| failure.error)
}

#[test]
fn comes_up_whoever_begins() {
    for modes in [
        [Mode::Default, Mode::ResponderOnly],
        [Mode::ResponderOnly, Mode::InitiatorOnly],
        [Mode::InitiatorOnly, Mode::Default],
    ] {
        let pair = connected(1, Link::LAN, |index, config| config.mode = modes[index]);
        pair.assert_up(&format!("{modes:?}"));
        let ike = &status(&pair, 0).ike_sas[0];
        assert_eq!((ike.version, ike.state), (Version::V1, "established"));
    }
}

#[test]
fn every_phase_1_suite_connects() {
    for integrity in [
        Integrity::HmacMd5_96,
        Integrity::HmacSha1_96,
        Integrity::HmacSha2_256_128,
        Integrity::HmacSha2_384_192,
        Integrity::HmacSha2_512_256,
    ] {
        for cipher in [
            IkeCipher::AesCbc(KeyBits::B128, integrity),
            IkeCipher::AesCbc(KeyBits::B192, integrity),
            IkeCipher::AesCbc(KeyBits::B256, integrity),
            IkeCipher::TripleDesCbc(integrity),
            IkeCipher::DesCbc(integrity),
        ] {
            let suite = IkeSuite { cipher, prf: integrity.prf(), group: Group::Ecp256 };
            connected(1, Link::LAN, |_, config| config.ike_suites = vec![suite])
                .assert_up(&suite.to_string());
        }
    }
}

#[test]
fn every_group_connects_and_gives_perfect_forward_secrecy() {
    let groups = Group::ALL.into_iter().filter(|group| *group != Group::Curve25519);
    for group in groups {
        let pair = connected(1, Link::LAN, |_, config| {
            config.ike_suites[0].group = group;
            config.children[0].pfs_groups = vec![Some(group)];
        });
        pair.assert_up(&group.to_string());
    }
}

#[test]
fn optional_groups_are_tried_until_one_is_common() {
    let pair = connected(1, Link::LAN, |index, config| {
        let none_last = vec![Some(Group::Ecp384), Some(Group::Modp2048), None];
        config.children[0].pfs_groups = if index == 0 { none_last } else { Vec::new() };
    });
    pair.assert_up("without, in the end");
    let pair = tried(|index, config| {
        let own = if index == 0 { Group::Ecp384 } else { Group::Modp2048 };
        config.children[0].pfs_groups = vec![Some(own)];
    });
    assert_eq!(pair.live_ikes(), [1, 1]);
    assert_eq!(failure(&pair, 0), Some(IkeError::NoProposalAccepted(Stage::QuickMode)), "{}", pair.trace());
    assert_eq!(failure(&pair, 1), Some(IkeError::NoProposalChosen(Stage::QuickMode)));
}

#[test]
fn behind_a_nat_it_moves_to_port_4500_and_encapsulates() {
    let pair = connected(1, Link { nat: true, ..Link::LAN }, behind_nat);
    pair.assert_up("behind a NAT");
    let paths = [0, 1].map(|index| status(&pair, index).ike_sas[0].path);
    assert_eq!((paths[0].local.port(), paths[0].remote.port()), (4500, 4500));
    assert_eq!(paths[1].remote.port(), 24_500, "as the NAT translates it");
    assert!(paths[0].nat_before_us && paths[1].nat_before_peer && !paths[0].nat_before_peer);
    for index in [0, 1] {
        let sent = pair.sides[index].plane.sends_on(CONNECTION, 0).unwrap().path;
        assert_eq!(sent.encapsulation, crate::event::Encapsulation::Udp);
    }
}

#[test]
fn a_rebound_nat_is_followed() {
    let mut pair = connected(1, Link { nat: true, ..Link::LAN }, behind_nat);
    pair.nat_shift = 7;
    pair.run_for(Duration::from_secs(200));
    pair.assert_up("rebound");
    assert_eq!(status(&pair, 1).ike_sas[0].path.remote.port(), 24_507);
    assert!(pair.count(1, What::PeerMoved) > 0);
    // And when only ESP says so.
    let spi = pair.sides[1].plane.sends_on(CONNECTION, 0).unwrap().inbound.spi;
    let moved = std::net::SocketAddr::new(status(&pair, 1).ike_sas[0].path.remote.ip(), 24_508);
    pair.command(1, Command::InboundFrom(spi, moved));
    let paths = [status(&pair, 1).ike_sas[0].path, pair.sides[1].plane.sends_on(CONNECTION, 0).unwrap().path];
    assert_eq!(paths.map(|path| path.remote), [moved; 2]);
}

#[test]
fn forced_encapsulation_on_either_side_puts_esp_into_udp_on_both() {
    for forcing in [[true, false], [false, true]] {
        let pair = connected(1, Link::LAN, |index, config| config.force_encapsulation = forcing[index]);
        pair.assert_up("forced");
        for index in [0, 1] {
            let path = pair.sides[index].plane.sends_on(CONNECTION, 0).unwrap().path;
            assert_eq!((path.local.port(), path.remote.port()), (4500, 4500), "side {index}, {forcing:?}");
        }
    }
}

#[test]
fn each_policy_gets_a_pair_of_its_own() {
    let mut pair = connected(1, Link::LAN, second_policy);
    pair.assert_up_with(2, "two policies");
    pair.command(1, Command::RekeyChild(child(&pair, 1)));
    settle(&mut pair);
    pair.assert_up_with(2, "one of them rekeyed");
}

#[test]
fn a_policy_that_the_initiator_does_not_ask_for_is_asked_for_by_the_other_side() {
    let mut pair = tried(|index, config| {
        config.mode = Mode::Default;
        if index == 1 {
            second_policy(index, config);
        }
    });
    // The first side does not know that policy, and says so; the second one goes on asking.
    assert!(matches!(
        failure(&pair, 1),
        Some(IkeError::RefusedV1 {
            stage: Stage::QuickMode,
            notify: crate::v1::wire::NotifyType::INVALID_ID_INFORMATION
        })
    ));
    pair.command(
        0,
        Command::Configure(config(0, |index, config| {
            config.mode = Mode::Default;
            second_policy(index, config);
        })),
    );
    settle(&mut pair);
    pair.assert_up_with(2, "both know it");
}

#[test]
fn connects_under_loss_reordering_and_repeats() {
    for seed in seeds(300) {
        let mut pair = Pair::new(seed, Link::HOSTILE, &EndpointConfig::default());
        pair.compute = Duration::from_millis(seed % 3 * 40);
        let adjust = |index: usize, config: &mut ConnectionConfig| {
            config.mode = if seed % 2 == 0 || index == 0 { Mode::Default } else { Mode::ResponderOnly };
            if seed % 5 < 2 {
                config.children[0].pfs_groups = vec![Some(Group::Ecp256)];
            }
        };
        for index in [1, 0] {
            pair.command(index, Command::Configure(config(index, adjust)));
        }
        pair.probing = true;
        pair.run_for(Duration::from_secs(300));
        pair.probing = false;
        settle(&mut pair);
        pair.assert_up(&format!("seed {seed}"));
    }
}
