//! Post-quantum pre-shared keys (RFC 8784): who has one, who insists, and what is told where they differ.

use super::certificates::{given, name};
use super::*;
use crate::auth::{Ppk, PpkError};
use crate::secret::Secret;
use crossgate_pki::KeyKind;
use crossgate_pki::testing::Template;

/// Of each side, whether it has a key, and whether it insists.
const HAVING: [Option<bool>; 3] = [None, Some(false), Some(true)];

fn ppk(id: &str, secret: &str, required: bool) -> Ppk {
    Ppk { id: id.into(), secret: Arc::new(Secret::from(secret.as_bytes())), required }
}

/// Side 0 begins, side 1 answers; both by shared keys or by certificates.
fn configure(index: usize, config: &mut ConnectionConfig, by_certificate: bool, ppk: Option<Ppk>) {
    config.mode = if index == 0 { Mode::InitiatorOnly } else { Mode::ResponderOnly };
    config.ppk = ppk;
    if by_certificate {
        config.local_id = Identity::Fqdn(name(index));
        config.remote_id = Some(Identity::Fqdn(name(1 - index)));
        config.authentication = given(index, KeyKind::P256, Template::peer(&name(index))).authentication();
    }
}

fn pair(by_certificate: bool, ppks: [Option<Ppk>; 2]) -> Pair {
    let mut pair = Pair::new(1, Link::LAN, &EndpointConfig::default());
    for index in [1, 0] {
        let mut config = connection(index);
        configure(index, &mut config, by_certificate, ppks[index].clone());
        pair.command(index, Command::Configure(Box::new(config)));
    }
    pair.run_for(Duration::from_secs(5));
    pair
}

/// Whether the key is in the keys of each side's IKE SA.
fn mixed(pair: &Pair) -> [bool; 2] {
    [0, 1].map(|index| status(pair, index).ike_sas[0].ppk)
}

fn errors(pair: &Pair) -> [Option<IkeError>; 2] {
    [0, 1].map(|index| status(pair, index).failure.map(|failure| failure.error))
}

#[test]
fn a_key_that_both_have_is_used_and_one_that_is_missing_matters_to_who_insists() {
    for by_certificate in [false, true] {
        for (first, second) in HAVING.into_iter().flat_map(|first| HAVING.map(|second| (first, second))) {
            let of = |having: Option<bool>| having.map(|required| ppk("ab", "the same", required));
            let mut pair = pair(by_certificate, [of(first), of(second)]);
            let note = format!("certificates {by_certificate}, {first:?} and {second:?}");
            let both = first.is_some() && second.is_some();
            if !both && (first == Some(true) || second == Some(true)) {
                assert_eq!(pair.live_ikes(), [0, 0], "{note}\n{}", pair.trace());
                let insists = usize::from(second == Some(true));
                assert_eq!(errors(&pair)[insists], Some(PpkError::NotUsed.into()), "{note}");
                continue;
            }
            pair.assert_up(&note);
            assert_eq!(mixed(&pair), [both; 2], "{note}");
            pair.command(1, Command::RekeyIke(CONNECTION));
            settle(&mut pair);
            pair.assert_up(&format!("{note}, rekeyed"));
            assert_eq!(mixed(&pair), [both; 2], "{note}, rekeyed");
            pair.command(0, Command::RekeyChild(child(&pair, 0)));
            settle(&mut pair);
            pair.assert_up(&format!("{note}, child rekeyed"));
            assert_eq!(pair.count(0, What::Established), 1, "{note}\n{}", pair.trace());
        }
    }
}

#[test]
fn another_key_under_the_same_name_is_told_on_both_sides_and_nobody_falls_back() {
    for by_certificate in [false, true] {
        for required in [false, true] {
            let of = |secret: &str| Some(ppk("ab", secret, required));
            let pair = pair(by_certificate, [of("one"), of("another")]);
            let expected = [PpkError::Refused, PpkError::Differs].map(|error| Some(error.into()));
            assert_eq!(errors(&pair), expected, "{by_certificate}, {required}\n{}", pair.trace());
            assert_eq!(pair.live_ikes(), [0, 0], "{by_certificate}, {required}");
        }
    }
}

#[test]
fn a_key_of_another_name_is_done_without_unless_somebody_insists() {
    for by_certificate in [false, true] {
        for required in [[false, false], [true, false], [false, true], [true, true]] {
            let ppks = [ppk("ab", "one", required[0]), ppk("ba", "one", required[1])].map(Some);
            let pair = pair(by_certificate, ppks);
            let note = format!("{by_certificate}, {required:?}");
            if required == [false; 2] {
                pair.assert_up(&note);
                assert_eq!(mixed(&pair), [false; 2], "{note}");
                continue;
            }
            assert_eq!(pair.live_ikes(), [0, 0], "{note}\n{}", pair.trace());
            assert_eq!(errors(&pair)[1], Some(PpkError::Unknown("ab".into()).into()), "{note}");
        }
    }
}

#[test]
fn a_peer_that_insists_is_told_apart_from_one_with_the_wrong_key() {
    let mut pair = Pair::new(1, Link::LAN, &EndpointConfig::default());
    for index in [1, 0] {
        let mut config = connection(index);
        configure(index, &mut config, false, Some(ppk("ab", "the same", true)));
        if index == 1 {
            config.authentication = Authentication::shared_key(b"another");
        }
        pair.command(index, Command::Configure(Box::new(config)));
    }
    pair.run_for(Duration::from_secs(5));
    assert_eq!(errors(&pair), [PpkError::Refused, PpkError::Differs].map(|error| Some(error.into())));
    assert_eq!(pair.live_ikes(), [0, 0]);
}

#[test]
fn a_changed_key_ends_the_tunnel_that_had_the_old_one() {
    let of = |secret: &str| [0, 1].map(|_| Some(ppk("ab", secret, true)));
    let mut pair = pair(false, of("old"));
    pair.assert_up("old");
    let [first, second] = of("new");
    for (index, ppk) in [(1, second), (0, first)] {
        let mut config = connection(index);
        configure(index, &mut config, false, ppk);
        pair.command(index, Command::Configure(Box::new(config)));
    }
    settle(&mut pair);
    pair.assert_up("new");
    assert!(pair.count(0, What::Established) > 1, "{}", pair.trace());
    assert_eq!(mixed(&pair), [true; 2]);
}

#[test]
fn comes_up_over_a_hostile_link_beside_ml_kem() {
    for seed in seeds(30) {
        let mut pair = Pair::new(seed, Link::HOSTILE, &EndpointConfig::default());
        pair.compute = Duration::from_millis(seed % 3 * 30);
        for index in [1, 0] {
            let mut config = connection(index);
            configure(index, &mut config, seed % 2 == 0, Some(ppk("ab", "the same", seed % 4 > 1)));
            config.additional = vec![Some(Group::MlKem768), None];
            pair.command(index, Command::Configure(Box::new(config)));
        }
        pair.run_for(Duration::from_secs(200));
        pair.link = Link::LAN;
        settle(&mut pair);
        pair.assert_up(&format!("seed {seed}"));
        assert_eq!(mixed(&pair), [true; 2], "seed {seed}");
    }
}
