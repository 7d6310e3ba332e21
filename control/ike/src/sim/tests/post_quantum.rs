//! ML-KEM-768 beside a group, by IKE_INTERMEDIATE (RFC 9242, RFC 9370).

use super::*;

fn mixing(index: usize, config: &mut ConnectionConfig) {
    config.post_quantum = true;
    if index == 1 {
        config.mode = Mode::ResponderOnly;
    }
}

#[test]
fn two_sides_that_can_mix_ml_kem_into_their_keys_and_others_do_without() {
    for (can, expected) in [([true, true], 1), ([true, false], 0), ([false, true], 0), ([false, false], 0)] {
        let mut pair = Pair::connected(1, Link::LAN, |index, config| config.post_quantum = can[index]);
        pair.assert_up(&format!("{can:?}"));
        assert_eq!([0, 1].map(|index| pair.count(index, What::KeysMixed)), [expected; 2], "{can:?}");
        pair.command(1, Command::RekeyIke(CONNECTION));
        settle(&mut pair);
        pair.assert_up(&format!("{can:?}, rekeyed"));
        pair.command(0, Command::RekeyChild(child(&pair, 0)));
        settle(&mut pair);
        pair.assert_up(&format!("{can:?}, child rekeyed"));
        assert_eq!(pair.count(0, What::Established), 1, "{can:?}");
    }
}

#[test]
fn mixing_survives_loss_reordering_duplicates_fragments_and_slow_maths() {
    for seed in seeds(60) {
        let settings = EndpointConfig { fragment_bytes: 600, ..EndpointConfig::default() };
        let link = Link { loss: 0.15, mtu_bytes: 1400, ..Link::HOSTILE };
        let mut pair = Pair::new(seed, link, &settings);
        pair.compute = Duration::from_millis(seed % 3 * 30);
        for index in [1, 0] {
            let mut config = connection(index);
            mixing(index, &mut config);
            pair.command(index, Command::Configure(Box::new(config)));
        }
        pair.run_for(Duration::from_secs(200));
        pair.link = Link::LAN;
        settle(&mut pair);
        pair.assert_up(&format!("seed {seed}"));
        assert!(pair.count(0, What::KeysMixed) > 0 && pair.count(1, What::KeysMixed) > 0, "seed {seed}");
    }
}

#[test]
fn a_lost_answer_is_repeated_although_the_keys_have_changed_since() {
    let mut pair = Pair::new(1, Link::LAN, &EndpointConfig::default());
    for index in [1, 0] {
        let mut config = connection(index);
        mixing(index, &mut config);
        pair.command(index, Command::Configure(Box::new(config)));
    }
    // Both sides answer at once in virtual time: the answer to IKE_INTERMEDIATE is the first thing after the responder mixed.
    assert!(pair.run(|pair| pair.count(1, What::KeysMixed) == 1, pair.now + Duration::from_secs(5)));
    pair.flying.clear();
    settle(&mut pair);
    pair.assert_up("repeated");
    assert_eq!(
        (pair.count(1, What::AnswerRepeated), pair.count(0, What::Established)),
        (1, 1),
        "{}",
        pair.trace()
    );
}

#[test]
fn a_wrong_key_is_still_a_wrong_key() {
    let mut pair = Pair::new(1, Link::LAN, &EndpointConfig::default());
    for index in [1, 0] {
        let mut config = connection(index);
        mixing(index, &mut config);
        if index == 1 {
            config.authentication = Authentication::shared_key(b"another");
        }
        pair.command(index, Command::Configure(Box::new(config)));
    }
    pair.run_for(Duration::from_secs(5));
    assert_eq!(status(&pair, 0).failure.unwrap().error, IkeError::RefusedByPeer);
    assert_eq!(status(&pair, 1).failure.unwrap().error, IkeError::WrongKey);
    assert_eq!(pair.live_ikes(), [0, 0]);
}
