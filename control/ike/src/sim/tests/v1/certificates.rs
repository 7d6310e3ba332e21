//! Main mode with signatures by RSA and ECDSA: whoever begins, with intermediates, under loss, and each reason of failure.

use crossgate_pki::KeyKind;
use crossgate_pki::testing::{Issued, Template, key_pem};

use super::*;
use crate::sim::tests::certificates::{Given, given, name};

const RSA: KeyKind = KeyKind::Rsa { bits: 2048 };

fn by_certificate(index: usize, config: &mut ConnectionConfig, adjust: impl Fn(&mut Given)) {
    by_key(RSA, index, config, adjust);
}

fn by_key(kind: KeyKind, index: usize, config: &mut ConnectionConfig, adjust: impl Fn(&mut Given)) {
    config.local_id = Identity::Fqdn(name(index));
    config.remote_id = Some(Identity::Fqdn(name(1 - index)));
    let mut given = given(index, kind, Template::peer(&name(index)));
    adjust(&mut given);
    config.authentication = given.authentication();
}

#[test]
fn connects_whoever_begins_and_is_renewed() {
    // The hash of the signature is another one than the negotiated (SHA-256) with two of the curves.
    for kind in [RSA, KeyKind::P256, KeyKind::P384, KeyKind::P521] {
        for modes in [[Mode::Default, Mode::ResponderOnly], [Mode::ResponderOnly, Mode::Default]] {
            let note = format!("{kind}, {modes:?}");
            let mut pair = connected(1, Link::LAN, |index, config| {
                config.mode = modes[index];
                by_key(kind, index, config, |_| {});
            });
            pair.assert_up(&note);
            let initiator = usize::from(modes[0] == Mode::ResponderOnly);
            pair.command(initiator, Command::RekeyIke(CONNECTION));
            settle(&mut pair);
            pair.assert_up(&format!("{note}, renewed"));
        }
    }
}

#[test]
fn keys_of_two_kinds_have_no_signature_in_common() {
    for kinds in [[KeyKind::P256, KeyKind::P384], [RSA, KeyKind::P256], [KeyKind::P521, RSA]] {
        let pair = tried(|index, config| by_key(kinds[index], index, config, |_| {}));
        assert_eq!(pair.live_ikes(), [0, 0], "{kinds:?}\n{}", pair.trace());
        let found = failure(&pair, 1).map(|error| error.to_string()).unwrap_or_default();
        assert!(found.contains("offers no algorithms"), "{kinds:?}: {found}\n{}", pair.trace());
    }
}

#[test]
fn connects_under_loss_with_slow_maths() {
    for seed in few_seeds(20) {
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
fn a_key_by_which_ikev1_does_not_sign_is_no_configuration() {
    let mut config = *config(0, |_, _| {});
    config.authentication = given(0, KeyKind::Ed25519, Template::peer(&name(0))).authentication();
    assert_eq!(config.check(), Err(crate::config::ConfigError::NoV1Signature));
}
