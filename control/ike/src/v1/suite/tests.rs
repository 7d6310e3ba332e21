use super::*;
use crate::crypto::kex::Group;
use crate::crypto::suite::EspSuite;

const HOUR: Duration = Duration::from_secs(3600);

fn cbc(bits: KeyBits, integrity: Integrity, group: Group) -> IkeSuite {
    IkeSuite { cipher: IkeCipher::AesCbc(bits, integrity), prf: integrity.prf(), group }
}

fn suites() -> Vec<IkeSuite> {
    let sha256 = Integrity::HmacSha2_256_128;
    vec![
        cbc(KeyBits::B256, sha256, Group::Ecp256),
        cbc(KeyBits::B128, Integrity::HmacSha1_96, Group::Modp1024),
        IkeSuite {
            cipher: IkeCipher::TripleDesCbc(Integrity::HmacMd5_96),
            prf: Prf::HmacMd5,
            group: Group::Modp2048,
        },
    ]
}

#[test]
fn what_is_offered_is_chosen_by_the_responders_order_and_accepted() {
    let day = Duration::from_secs(86_400);
    let offered = offer(&suites(), Method::SharedKey, day);
    let mut turned = suites();
    turned.reverse();
    let choice = choose(&turned, Method::SharedKey, &offered).unwrap();
    assert_eq!((choice.suite, choice.life), (turned[0], Some(day)), "four bytes hold a day");
    let accepted = accept(&suites(), Method::SharedKey, &choice.answer).unwrap();
    assert_eq!(accepted.suite, turned[0]);
    assert!(choose(&suites(), Method::RsaSignature, &offered).is_none(), "another method");
    assert!(accept(&suites(), Method::SharedKey, &offered).is_none(), "an answer leaves no choice");
    assert!(accept(&suites()[..1], Method::SharedKey, &choice.answer).is_none(), "not offered");
}

#[test]
fn phase_1_has_no_combined_mode_no_separate_prf_and_no_unregistered_group() {
    let gcm = IkeSuite {
        cipher: IkeCipher::AesGcm16(KeyBits::B256),
        prf: Prf::HmacSha2_256,
        group: Group::Modp2048,
    };
    let mixed = IkeSuite { prf: Prf::HmacSha2_384, ..suites()[0] };
    let curve = IkeSuite { group: Group::Curve25519, ..suites()[0] };
    let all = [gcm, mixed, curve];
    assert!(all.iter().all(|suite| !is_for_phase1(suite)));
    assert!(offer(&all, Method::SharedKey, HOUR).proposals[0].transforms.is_empty());
}

#[test]
fn a_transform_with_something_unknown_is_passed_over() {
    let mut offered = offer(&suites()[..1], Method::SharedKey, HOUR);
    offered.proposals[0].transforms[0].attributes.push(short(99, 1));
    assert!(choose(&suites(), Method::SharedKey, &offered).is_none());
    let mut lifeless = offer(&suites()[..1], Method::SharedKey, HOUR);
    lifeless.proposals[0].transforms[0].attributes.retain(|attribute| attribute.kind < phase1::LIFE_TYPE);
    assert!(choose(&suites(), Method::SharedKey, &lifeless).is_none(), "AES needs its key's length");
}

fn esp(suites: &[EspSuite], group: Option<Group>) -> EspOffer<'_> {
    EspOffer {
        suites,
        group,
        in_udp: false,
        life: HOUR,
        life_bytes: Some(102_400_000 * 1024),
        spi: 0x1234_5678,
    }
}

#[test]
fn esp_suites_survive_an_offer_and_its_answer() {
    let all = [
        EspSuite::AesGcm16(KeyBits::B256),
        EspSuite::AesCbc(KeyBits::B192, Integrity::HmacSha2_384_192),
        EspSuite::AesCbc(KeyBits::B128, Integrity::HmacSha1_96),
        EspSuite::TripleDesCbc(Integrity::HmacMd5_96),
        EspSuite::DesCbc(Integrity::HmacSha2_512_256),
        EspSuite::Null(Integrity::HmacSha2_256_128),
    ];
    for group in [None, Some(Group::Modp2048)] {
        for suite in all {
            let offer = EspOffer { life_bytes: None, ..esp(&all, group) };
            let offered = offer_esp(&offer);
            let choice = choose_esp(&[suite], &[group], false, &offered).unwrap();
            assert_eq!((choice.suite, choice.group, choice.spi), (suite, group, 0x1234_5678));
            assert_eq!(choice.life, Some(HOUR));
            assert_eq!(accept_esp(&offer, &choice.answer).unwrap().suite, suite);
        }
    }
}

#[test]
fn another_group_or_another_encapsulation_is_not_chosen() {
    let gcm = [EspSuite::AesGcm16(KeyBits::B256), EspSuite::ChaCha20Poly1305];
    let offered = offer_esp(&esp(&gcm, Some(Group::Modp2048)));
    assert_eq!(offered.proposals[0].transforms.len(), 1, "ChaCha20 has no number here");
    assert!(choose_esp(&gcm, &[None], false, &offered).is_none());
    assert!(choose_esp(&gcm, &[Some(Group::Modp2048)], true, &offered).is_none());
    let mut twice = offered.clone();
    twice.proposals.push(offered.proposals[0].clone());
    assert!(choose_esp(&gcm, &[Some(Group::Modp2048)], false, &twice).is_none(), "two that go together");
}
