//! Keys against values computed with Python's `hmac` straight from the formulas of RFC 7296, 2.14 to 2.18, and RFC 5723, 5.1, and against a published case.

use hex_literal::hex;

use super::*;
use crate::crypto::suite::{Group, IkeCipher, Integrity, KeyBits};

const NONCES: Nonces<'static> = Nonces { initiator: &[1; 32], responder: &[2; 32] };
const SPIS: IkeSpis =
    IkeSpis { initiator: IkeSpi(0x0102_0304_0506_0708), responder: IkeSpi(0x1112_1314_1516_1718) };
const SUITE: IkeSuite = IkeSuite {
    cipher: IkeCipher::AesCbc(KeyBits::B256, Integrity::HmacSha2_256_128),
    prf: Prf::HmacSha2_256,
    group: Group::Curve25519,
};

fn shared() -> Secret<Vec<u8>> {
    Secret::new(vec![3; 32])
}

#[test]
fn seven_keys_in_the_order_of_the_rfc() {
    let keys = IkeKeys::derive(SUITE, &shared(), NONCES, SPIS);
    for (key, expected) in [
        (&keys.derive, hex!("22bd1a537eddef48580bcd36ff56826388b65de2e005a7a002649d04647620cd")),
        (&keys.initiator.integrity, hex!("02aa8944757e8ce73cca54cb2ae21c19a94a66da5f486003d12a79e676160d48")),
        (&keys.responder.integrity, hex!("4e0d4875de2b2b11d3f2d1979371c3035e7fd4a1155366795b53030b885cbdb9")),
        (
            &keys.initiator.encryption,
            hex!("cf7f76e0c669c7b6db89a91c7b5e23047be3bfb5158e78723e7aec76d3a88867"),
        ),
        (
            &keys.responder.encryption,
            hex!("2faed0a56b1142ca6d812193e6ea496d54bda329b3a22b9c70d4f809274d6e66"),
        ),
        (
            keys.prove(Role::Initiator),
            hex!("df754615455d5e4c7cf0908f6cbe9818aaad16957d5d6d95fc0355d54ab80366"),
        ),
        (
            keys.prove(Role::Responder),
            hex!("a310e866a20fa70167a394523cf4c093da9b705a8a76c1950ce2ff6618d92a4b"),
        ),
    ] {
        assert!(key.matches(&expected));
    }
}

#[test]
fn a_rekeyed_ike_sa_takes_its_seed_from_the_old_one() {
    let old = IkeKeys::derive(SUITE, &shared(), NONCES, SPIS);
    let new = old.rekey(SUITE, &shared(), NONCES, SPIS, None);
    let expected = hex!("1f0655b1eb4c2a6f3c1264e2ae7338797aff0067304430f7c9f602f85bb3848a");
    assert!(new.derive.matches(&expected));
}

#[test]
fn a_resumed_ike_sa_takes_its_seed_from_the_lost_one_and_both_nonces() {
    // RFC 5723, 5.1.
    let lost = IkeKeys::derive(SUITE, &shared(), NONCES, SPIS);
    let resumed = IkeKeys::resume(SUITE, &lost.derive, NONCES, SPIS);
    for (key, expected) in [
        (&resumed.derive, hex!("9c9ddc5b31dd300040046a79366e92567c523474b495943880bdd5dad24f1277")),
        (
            resumed.prove(Role::Responder),
            hex!("3dc2757dab6386e4d5763f8589daae444450f352ecb1e07aba613a8bee65ca3f"),
        ),
    ] {
        assert!(key.matches(&expected));
    }
}

#[test]
fn child_keys_with_and_without_forward_secrecy() {
    let ike = IkeKeys::derive(SUITE, &shared(), NONCES, SPIS);
    let esp = EspSuite::AesGcm16(KeyBits::B256);
    let keys = |shared| ChildKeys::derive(SUITE.prf, &ike.derive, esp, shared, NONCES);
    let plain = keys(None);
    assert!(
        plain
            .initiator
            .matches(&hex!("bfa2d3a232486e1e2e5a5e9b52c0c21f482420104e02f55f06e9757199a741b0fb65bb58"))
    );
    assert!(
        plain
            .responder
            .matches(&hex!("55df242e05730dae90d1748d3f1bd4521f78a4ae388a59f4e48a0600cf44998a8724e7c3"))
    );
    assert!(
        keys(Some(&shared()))
            .responder
            .matches(&hex!("79fba67cb26cd1132d853d284b54f7786784e51f1586d3d6b22e86491bcace6c26ff6fba"))
    );
}

/// A case of NIST CAVP (SP 800-135, 4.1.2), as OpenSSL's `evpkdf_ikev2.txt` has it: the beginning of KEYMAT.
#[test]
fn child_keys_of_nist_with_and_without_forward_secrecy() {
    let nonces = Nonces { initiator: &hex!("3651fef5c9c35e93"), responder: &hex!("c09a8b90a3f04d59") };
    let derive = hex!("462b9dd525d4fd71169174272779e704baf62c6231779ae9efe8c58b21916b42");
    let shared = hex!(
        "52f00ab174c25d5b7139ae5ff4e8e9eddee5992d2e36adf8a559ffd90dab1442e4fbe429d320c0f33552a17d1557fa41"
        "ea70e8fb916c4fa27ed52b5f8ebd8461afa78f1159159a64055ac5f6319e29c28eae58cbc6847770f32c3fed1d047504"
        "84f854790f95e9ec01bc5bc461f24966462e359511329305038e94deb6dd42c2"
    );
    let esp = EspSuite::AesCbc(KeyBits::B256, Integrity::HmacSha2_512_256);
    let derive = Secret::from(derive.as_slice());
    let keys = |shared| ChildKeys::derive(Prf::HmacSha2_256, &derive, esp, shared, nonces);
    let without = hex!(
        "23647677e7d403fa1e3006f19840aee18ad9fecc4215814c4131bdeba98433d8b0e31bfbbddf822abcce5e06486aa388"
        "022b75e27e1e68aa5983028b65282c730c5d49ef7606770376cfdec41f7cc435d816029989bc353d3b67b9fd1168ddcb"
        "8978850da9b752aee6a30d0086d2c4d74ec0e03648a0dad334faf5fe88084e67b0f3e8fee8b5e1bd3850db540f1fb8cf"
        "fe23c9e92cda209373f354880c246c753e2a0eca9cb73b9910a8531c4010e6768fa29f909e60af777fed6e739c3cfda0"
    );
    let with = hex!(
        "6a919387a5fa2835fe8a8237e4a14845bd2b9930db87eff7adf268f62186004902dba9aa942d0259a0edc4120b932a50"
        "3865b57ba8fb88117ef5df7b26799cd8ba37aa5438108cb1a4fe117907c9d0597b708c3f11151fefd624d2317202b7c8"
        "1430600e6fcbb6e1a8df2b4861ef2363d53de1be69057b0cf6634a7e7bfa97b3c2810623e2bd6757738777177036e9c3"
        "a39794456954bd41fc444a12507ab9cac69a0540d13c29db8510f566a691691baa2d9569dacc990d56a454bb444bcbbe"
    );
    let shared = Secret::from(shared.as_slice());
    for (keys, expected) in [(keys(None), without), (keys(Some(&shared)), with)] {
        assert!(keys.initiator.matches(&expected[..96]) && keys.responder.matches(&expected[96..]));
    }
}

#[test]
fn the_integrity_key_of_esp_follows_the_ciphers_in_each_direction() {
    let ike = IkeKeys::derive(SUITE, &shared(), NONCES, SPIS);
    let keys = |esp| ChildKeys::derive(SUITE.prf, &ike.derive, esp, None, NONCES);
    let esp = EspSuite::AesCbc(KeyBits::B128, Integrity::HmacSha1_96);
    assert_eq!((esp.encryption_key_bytes(), esp.key_bytes()), (16, 36));
    // As long as AES-GCM-256 with its salt, hence cut at the same places.
    let same = keys(EspSuite::AesGcm16(KeyBits::B256));
    assert!(keys(esp).initiator == same.initiator && keys(esp).responder == same.responder);
    assert_eq!(EspSuite::Null(Integrity::HmacMd5_96).encryption_key_bytes(), 0);
    assert_eq!(EspSuite::ChaCha20Poly1305.key_bytes(), 36);
    assert_eq!(EspSuite::TripleDesCbc(Integrity::HmacSha2_256_128).key_bytes(), 24 + 32);
}
