//! Main mode with RSA signatures: whoever begins, with intermediates, under loss, and each reason of failure.

use crossgate_pki::KeyKind;
use crossgate_pki::testing::{Issued, Template, key_pem};

use super::*;
use crate::sim::tests::certificates::{Given, given, name};

const RSA: KeyKind = KeyKind::Rsa { bits: 2048 };

fn by_certificate(index: usize, config: &mut ConnectionConfig, adjust: impl Fn(&mut Given)) {
    config.local_id = Identity::Fqdn(name(index));
    config.remote_id = Some(Identity::Fqdn(name(1 - index)));
    let mut given = given(index, RSA, Template::peer(&name(index)));
    adjust(&mut given);
    config.authentication = given.authentication();
}

#[test]
fn connects_whoever_begins_and_is_renewed() {
    for modes in [[Mode::Default, Mode::ResponderOnly], [Mode::ResponderOnly, Mode::Default]] {
        let mut pair = connected(1, Link::LAN, |index, config| {
            config.mode = modes[index];
            by_certificate(index, config, |_| {});
        });
        pair.assert_up(&format!("{modes:?}"));
        let initiator = usize::from(modes[0] == Mode::ResponderOnly);
        pair.command(initiator, Command::RekeyIke(CONNECTION));
        settle(&mut pair);
        pair.assert_up(&format!("{modes:?}, renewed"));
    }
}

#[test]
fn connects_under_loss_with_slow_maths() {
    for seed in seeds(20) {
        let mut pair = Pair::new(seed, Link::HOSTILE, &EndpointConfig::default());
        pair.compute = Duration::from_millis(30);
        for index in [1, 0] {
            let adjust = |index: usize, config: &mut ConnectionConfig| by_certificate(index, config, |_| {});
            pair.command(index, Command::Configure(config(index, adjust)));
        }
        pair.probing = true;
        pair.run_for(Duration::from_secs(200));
        pair.probing = false;
        settle(&mut pair);
        pair.assert_up(&format!("seed {seed}"));
    }
}

#[test]
fn an_unknown_authority_is_told_on_the_side_that_found_it() {
    let stranger = |given: &mut Given| {
        given.anchors =
            vec![Issued::root(&Template::authority("Stranger"), &key_pem(KeyKind::P256, 99)).certificate()];
    };
    for finder in [0, 1] {
        let pair = tried(|index, config| {
            by_certificate(index, config, |given| {
                if index == finder {
                    stranger(given);
                }
            });
        });
        let found = failure(&pair, finder).map(|error| error.to_string()).unwrap_or_default();
        assert!(found.contains("unknown CA"), "{finder}: {found}\n{}", pair.trace());
        assert_eq!(pair.live_ikes(), [0, 0], "{finder}\n{}", pair.trace());
    }
}

#[test]
fn a_key_that_is_not_rsa_is_no_configuration() {
    let mut config = *config(0, |_, _| {});
    config.authentication = given(0, KeyKind::P256, Template::peer(&name(0))).authentication();
    assert_eq!(config.check(), Err(crate::config::ConfigError::NotRsa));
}
