//! RFC 4231, all cases but the truncated one (as the `cryptography` project's vector files have them); NIST CAVP cases of
//! the IKEv2 key derivation (as Mozilla's NSS tests quote them).

use hex_literal::hex;

use super::*;
use crate::crypto::keys::{IkeKeys, IkeSpis, Nonces};
use crate::crypto::suite::{Group, IkeCipher, IkeSuite, KeyBits};
use crate::wire::IkeSpi;

/// One case of RFC 4231, section 4: key, data, and the three outputs.
struct Case {
    key: &'static [u8],
    data: &'static [u8],
    sha256: [u8; 32],
    sha384: [u8; 48],
    sha512: [u8; 64],
}

const RFC_4231: [Case; 6] = [
    Case {
        key: &[0x0b; 20],
        data: b"Hi There",
        sha256: hex!("b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
        sha384: hex!(
            "afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59cfaea9ea9076ede7f4af152e8b2"
            "fa9cb6"
        ),
        sha512: hex!(
            "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cdedaa833b7d6b8a702038b274eae"
            "a3f4e4be9d914eeb61f1702e696c203a126854"
        ),
    },
    Case {
        key: &hex!("4a656665"),
        data: b"what do ya want for nothing?",
        sha256: hex!("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
        sha384: hex!(
            "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfa"
            "b21649"
        ),
        sha512: hex!(
            "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8"
            "f0e6fdcaeab1a34d4a6b4b636e070a38bce737"
        ),
    },
    Case {
        key: &[0xaa; 20],
        data: &[0xdd; 50],
        sha256: hex!("773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
        sha384: hex!(
            "88062608d3e6ad8a0aa2ace014c8a86f0aa635d947ac9febe83ef4e55966144b2a5ab39dc13814b94e3ab6e101"
            "a34f27"
        ),
        sha512: hex!(
            "fa73b0089d56a284efb0f0756c890be9b1b5dbdd8ee81a3655f83e33b2279d39bf3e848279a722c806b485a47e"
            "67c807b946a337bee8942674278859e13292fb"
        ),
    },
    Case {
        key: &hex!("0102030405060708090a0b0c0d0e0f10111213141516171819"),
        data: &[0xcd; 50],
        sha256: hex!("82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"),
        sha384: hex!(
            "3e8a69b7783c25851933ab6290af6ca77a9981480850009cc5577c6e1f573b4e6801dd23c4a7d679ccf8a386c6"
            "74cffb"
        ),
        sha512: hex!(
            "b0ba465637458c6990e5a8c5f61d4af7e576d97ff94b872de76f8050361ee3dba91ca5c11aa25eb4d679275cc5"
            "788063a5f19741120c4f2de2adebeb10a298dd"
        ),
    },
    Case {
        key: &[0xaa; 131],
        data: b"Test Using Larger Than Block-Size Key - Hash Key First",
        sha256: hex!("60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"),
        sha384: hex!(
            "4ece084485813e9088d2c63a041bc5b44f9ef1012a2b588f3cd11f05033ac4c60c2ef6ab4030fe8296248df163"
            "f44952"
        ),
        sha512: hex!(
            "80b24263c7c1a3ebb71493c1dd7be8b49b46d1f41b4aeec1121b013783f8f3526b56d037e05f2598bd0fd2215d"
            "6a1e5295e64f73f63f0aec8b915a985d786598"
        ),
    },
    Case {
        key: &[0xaa; 131],
        data: b"This is a test using a larger than block-size key and a larger than block-size \
            data. The key needs to be hashed before being used by the HMAC algorithm.",
        sha256: hex!("9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"),
        sha384: hex!(
            "6617178e941f020d351e2f254e8fd32c602420feb0b8fb9adccebb82461e99c5a678cc31e799176d3860e6110c"
            "46523e"
        ),
        sha512: hex!(
            "e37b6a775dc87dbaa4dfa9f96e5e3ffddebd71f8867289865df5a32d20cdc944b6022cac3c4982b10d5eeb55c3"
            "e4de15134676fb6de0446065c97440fa8c6a58"
        ),
    },
];

#[test]
fn hmac_cases_of_rfc_4231() {
    for (number, case) in RFC_4231.iter().enumerate() {
        let (start, end) = case.data.split_at(case.data.len() / 2);
        for (prf, expected) in [
            (Prf::HmacSha2_256, case.sha256.as_slice()),
            (Prf::HmacSha2_384, &case.sha384),
            (Prf::HmacSha2_512, &case.sha512),
        ] {
            assert!(prf.compute(case.key, &[case.data]).matches(expected), "{prf:?}, case {number}");
            assert!(
                prf.compute(case.key, &[start, end]).matches(expected),
                "{prf:?}, case {number} in two parts"
            );
        }
    }
}

/// One NIST case (SP 800-135, 4.1.2).
struct Ikev2 {
    prf: Prf,
    nonces: [[u8; 8]; 2],
    spis: [[u8; 8]; 2],
    shared: [u8; 32],
    shared_new: [u8; 32],
    skeyseed: &'static [u8],
    keys: [u8; 132],
    skeyseed_of_rekey: &'static [u8],
}

const NIST: [Ikev2; 3] = [
    Ikev2 {
        prf: Prf::HmacSha1,
        nonces: [hex!("32b50d5f4a3763f3"), hex!("9206a04b26564cb1")],
        spis: [hex!("34c9e7c188868785"), hex!("3ff77d760d2b2199")],
        shared: hex!("4b2c1f971981a8ad8d0abeafabf38cf75fc8349c148142465ed9c8b516b8be52"),
        shared_new: hex!("863f3c9d06efd39d2b907b97f8699e5dd5251ef64a2a176f36ee40c87d4f9330"),
        skeyseed: &hex!("a9a7b222b59f8f48645f28a1db5b5f5d7479cba7"),
        keys: hex!(
            "a14293677cc80ff8f9cc0eee30d895da9d8f405666e30ef0dfcb63c634a46002a2a63080e514a062768b76606f"
            "9fa5e992204fc5a670bde3f10d6b027113936a5c55b648a194ae587b0088d52204b702c979fa280870d2ed41ef"
            "a9c549fd11198af1670b143d384bd275c5f594cf266b05ebadca855e4249520a441a81157435a7a56cc4"
        ),
        skeyseed_of_rekey: &hex!("63e81194946ebd05df7df5ebf5d8750056bf1f1d"),
    },
    Ikev2 {
        prf: Prf::HmacSha2_256,
        nonces: [hex!("3f302be1abcb28e1"), hex!("8c332ee006064c9b")],
        spis: [hex!("40dac39e1e1a8640"), hex!("8619a1cf9a6e4c07")],
        shared: hex!("0f4d257d7a58fc4545c7d7a88119eee5d5c9690c5b4c989171d3abbfd99d1d29"),
        shared_new: hex!("25f3b12d6f282739256e39bf54eda53b60ffcf379bb7bcc90c27b4c4c578616c"),
        skeyseed: &hex!("5f00d1bd2c58ec224b1e6b71fa0f19a1faa7a193952c444411b47c1a9d8ba6fe"),
        keys: hex!(
            "0b137d669b0947d7d026d593f0305ad401ff0c471357d695778a9c7f4b4869ece98aca531188d16041b3bb936d"
            "2dbb3b4993a6e768a809160de45d0283f273a6cdf6854379e31be72b8d3d1fa990cf9c5b015ca9f918a7df6253"
            "c958114a09d4e1c19bdcd4db14b29d98db1a74ad405c588662c14a04d0d36aa4ab55e90f8986d12d4aad"
        ),
        skeyseed_of_rekey: &hex!("2d63f6debc92048b4fef3889c4c99ca67d6496e0fac14a2bca9a2d6566ff2398"),
    },
    Ikev2 {
        prf: Prf::HmacSha2_384,
        nonces: [hex!("fd1b572a8e735591"), hex!("6013b0ef88dacd3d")],
        spis: [hex!("2116ad07ce61f749"), hex!("24880e55f11a65b7")],
        shared: hex!("d3288cd87565101e88fe3bad918f31939d8dd26ff1071f8b2d7f447524e58d7c"),
        shared_new: hex!("3358f620539473aee8d07e779764c4c6a9aabddc79a28e136b3bac021dbde44a"),
        skeyseed: &hex!(
            "69fe7a1ac94adaeb711295f5fe004b1a8d6a0b65d05692758ce8ad2f7a45f59d7d0b596f51f7dfcf3330061888"
            "f6a94f"
        ),
        keys: hex!(
            "4f904c2025c90c817ea5ff9b662a6fdb445a73b57cdf09eacd379b95e1f03cacb04cd6deeda4f952191dd9bc1f"
            "7a9502471a648d74dc06d38112de48a42501f6b1a3ad55c2099cd9a648e5f17e5bf3e34bf9b5953decb768a34f"
            "875fe2b78dca0c2fcca81ec1a412006dfaed38fa06882e61f4c148105fb8e231fdb33c4d484c001721d4"
        ),
        skeyseed_of_rekey: &hex!(
            "e0548c1682e13bce454026b3b1bdf42985b24e4e7408095a7c529de38c3d1fcb04c9fe6868042a34c9614c6c99"
            "e3fcea"
        ),
    },
];

#[test]
fn ikev2_cases_of_nist() {
    for case in NIST {
        let ([ni, nr], [spi_i, spi_r]) = (case.nonces, case.spis);
        let skeyseed = case.prf.compute(&[ni, nr].concat(), &[&case.shared]);
        assert!(skeyseed.matches(case.skeyseed), "{:?}", case.prf);
        let keys = case.prf.plus(skeyseed.expose(), &[&ni, &nr, &spi_i, &spi_r], case.keys.len());
        assert!(keys.matches(&case.keys), "{:?}", case.prf);
        let sk_d = &keys.expose()[..case.prf.output_bytes()];
        let rekeyed = case.prf.compute(sk_d, &[&case.shared_new, &ni, &nr]);
        assert!(rekeyed.matches(case.skeyseed_of_rekey), "{:?}", case.prf);
    }
}

#[test]
fn ikev2_cases_of_nist_cut_into_keys() {
    for case in NIST {
        let ([ni, nr], [spi_i, spi_r]) = (case.nonces, case.spis);
        let cipher = IkeCipher::AesGcm16(KeyBits::B256);
        let suite = IkeSuite { cipher, prf: case.prf, group: Group::Curve25519 };
        let spis = IkeSpis {
            initiator: IkeSpi(u64::from_be_bytes(spi_i)),
            responder: IkeSpi(u64::from_be_bytes(spi_r)),
        };
        let shared = Secret::from(case.shared.as_slice());
        let keys = IkeKeys::derive(suite, &shared, Nonces { initiator: &ni, responder: &nr }, spis);
        let (sk_d, rest) = case.keys.split_at(case.prf.output_bytes());
        let (sk_ei, rest) = rest.split_at(cipher.encryption_key_bytes());
        let (sk_er, front_of_proofs) = rest.split_at(cipher.encryption_key_bytes());
        assert!(keys.derive.matches(sk_d), "{:?}", case.prf);
        assert!(keys.initiator.encryption.matches(sk_ei), "{:?}", case.prf);
        assert!(keys.responder.encryption.matches(sk_er), "{:?}", case.prf);
        let proofs = [&keys.prove_initiator.expose()[..], keys.prove_responder.expose()].concat();
        assert!(proofs.starts_with(front_of_proofs), "{:?}", case.prf);
    }
}
