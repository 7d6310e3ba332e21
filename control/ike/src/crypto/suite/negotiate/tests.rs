//! Offers, choices and answers, as two sides see them.

use super::super::{Integrity, KeyBits, Prf};
use super::*;

const GCM: IkeSuite =
    IkeSuite { cipher: IkeCipher::AesGcm16(KeyBits::B256), prf: Prf::HmacSha2_384, group: Group::Ecp384 };
const CBC: IkeSuite = IkeSuite {
    cipher: IkeCipher::AesCbc(KeyBits::B256, Integrity::HmacSha2_256_128),
    prf: Prf::HmacSha2_256,
    group: Group::Modp2048,
};

#[test]
fn combined_modes_and_others_are_offered_apart() {
    let small = IkeSuite { cipher: IkeCipher::AesGcm16(KeyBits::B128), ..GCM };
    let proposals = ike_proposals(&[GCM, CBC, small], None);
    assert_eq!(proposals.iter().map(|p| p.number).collect::<Vec<_>>(), [1, 2]);
    assert!(proposals[0].transforms.iter().all(|t| t.kind != TransformType::INTEG));
    assert_eq!(proposals[0].transforms.iter().filter(|t| t.kind == TransformType::ENCR).count(), 2);
}

#[test]
fn nothing_is_offered_that_is_not_in_the_list() {
    let other = IkeSuite { cipher: IkeCipher::AesGcm16(KeyBits::B128), group: Group::Ecp256, ..GCM };
    let proposals = ike_proposals(&[GCM, other], None);
    let mixed = IkeSuite { group: Group::Ecp256, ..GCM };
    assert!(choose_ike(&[mixed], &proposals, GroupId::ECP_256).is_none());
    assert!(choose_ike(&[other], &proposals, GroupId::ECP_256).is_some());
}

#[test]
fn the_responders_preference_wins_unless_it_costs_a_round_trip() {
    let offered = ike_proposals(&[CBC, GCM], None);
    let choose = |ke| choose_ike(&[GCM, CBC], &offered, ke).unwrap();
    assert_eq!(choose(GroupId::CURVE25519).suite, GCM);
    assert_eq!(choose(GroupId::MODP_2048).suite, CBC);
    assert_eq!(choose(GroupId::ECP_384).proposal.number, 2);
}

#[test]
fn an_answer_is_accepted_only_when_it_is_one_of_ours() {
    let spi = Some(IkeSpi(7));
    let choice = choose_ike(&[GCM], &ike_proposals(&[GCM, CBC], spi), GroupId::ECP_384).unwrap();
    assert_eq!(choice.spi, spi);
    let answer = [choice.proposal];
    assert_eq!(accept_ike(&[CBC, GCM], &answer).unwrap().suite, GCM);
    assert_eq!(accept_ike(&[CBC], &answer), Err(NotOurs::Suite));
    assert_eq!(accept_ike(&[GCM], &[]), Err(NotOurs::Proposals(0)));
    let open = IkeSuite { group: Group::Ecp256, ..GCM };
    assert_eq!(accept_ike(&[GCM, open], &ike_proposals(&[GCM, open], None)), Err(NotOurs::Suite));
}

#[test]
fn unknown_kinds_are_passed_over_unless_none_is_offered() {
    let mut offered = ike_proposals(&[GCM], None);
    offered[0].transforms.push(Transform::new(TransformType::ADDKE1, 36));
    assert!(choose_ike(&[GCM], &offered, GroupId::ECP_384).is_none());
    offered[0].transforms.push(Transform::new(TransformType::ADDKE1, 0));
    let choice = choose_ike(&[GCM], &offered, GroupId::ECP_384).unwrap();
    assert_eq!(choice.proposal.transforms.last(), Some(&Transform::new(TransformType::ADDKE1, 0)));
}

#[test]
fn esp_takes_suite_group_and_esn_of_both_sides() {
    let gcm = EspSuite::AesGcm16(KeyBits::B256);
    let both = [Esn::On, Esn::Off];
    let offered = esp_proposals(&[gcm], &[Some(Group::Ecp384)], &both, 0x1234);
    let choice =
        choose_esp(&[gcm], &[Some(Group::Ecp256), Some(Group::Ecp384)], &both, &offered, None).unwrap();
    assert_eq!((choice.esn, choice.group, choice.spi), (Esn::On, Some(Group::Ecp384), 0x1234));
    assert_eq!(
        accept_esp(&[gcm], &[Some(Group::Ecp384)], &both, std::slice::from_ref(&choice.proposal)),
        Ok(choice.clone())
    );
    assert!(choose_esp(&[gcm], &[], &both, &offered, None).is_none(), "a group we do not want");
    let plain = esp_proposals(&[gcm], &[], &[Esn::Off], 0x1234);
    assert!(
        choose_esp(&[gcm], &[Some(Group::Ecp384)], &both, &plain, None).is_none(),
        "a group we insist on"
    );
    assert!(choose_esp(&[gcm], &[], &[Esn::On], &plain, None).is_none());
    assert!(choose_esp(&[gcm], &[], &both, &esp_proposals(&[gcm], &[], &both, 255), None).is_none());
}

#[test]
fn a_peer_without_perfect_forward_secrecy_is_taken_where_it_is_optional() {
    let (suites, esn) = ([EspSuite::AesGcm16(KeyBits::B256)], [Esn::Off]);
    let (optional, demanded) = ([Some(Group::Ecp384), None], [Some(Group::Ecp384)]);
    let offered = esp_proposals(&suites, &optional, &esn, 0x1234);
    let has_group = |p: &Proposal| p.transforms.iter().any(|t| t.kind == TransformType::DH);
    assert_eq!(offered.iter().map(|p| (p.number, has_group(p))).collect::<Vec<_>>(), [(1, true), (2, false)]);
    for (theirs, ke, group) in [
        (&demanded[..], Some(GroupId::ECP_384), Some(Group::Ecp384)),
        (&[], None, None),
        (&optional, Some(GroupId::ECP_384), Some(Group::Ecp384)),
    ] {
        let choice = choose_esp(&suites, theirs, &esn, &offered, ke).unwrap();
        assert_eq!(choice.group, group, "they choose");
        assert_eq!(accept_esp(&suites, &optional, &esn, &[choice.proposal]).unwrap().group, group);
        let choice =
            choose_esp(&suites, &optional, &esn, &esp_proposals(&suites, theirs, &esn, 0x1234), ke).unwrap();
        assert_eq!(choice.group, group, "we choose");
    }
    let reversed = esp_proposals(&suites, &[None, Some(Group::Ecp384)], &esn, 0x1234);
    assert_eq!(reversed.iter().map(has_group).collect::<Vec<_>>(), [false, true], "by preference");
    let plain = [choose_esp(&suites, &[], &esn, &offered, None).unwrap().proposal];
    assert!(accept_esp(&suites, &demanded, &esn, &plain).is_err(), "not where it is demanded");
}

#[test]
fn esp_suites_with_and_without_integrity_are_offered_apart() {
    let sha1 = EspSuite::AesCbc(KeyBits::B256, Integrity::HmacSha1_96);
    let sha2 = EspSuite::AesCbc(KeyBits::B128, Integrity::HmacSha2_256_128);
    let preference = [
        EspSuite::AesGcm16(KeyBits::B256),
        EspSuite::ChaCha20Poly1305,
        sha1,
        sha2,
        EspSuite::Null(Integrity::HmacSha1_96),
    ];
    let offered = esp_proposals(&preference, &[Some(Group::Ecp256)], &[Esn::Off], 0x1234);
    let count = |proposal: &Proposal, kind| proposal.transforms.iter().filter(|t| t.kind == kind).count();
    let shape: Vec<_> = offered
        .iter()
        .map(|p| (p.number, count(p, TransformType::ENCR), count(p, TransformType::INTEG)))
        .collect();
    assert_eq!(shape, [(1, 2, 0), (2, 2, 1), (3, 1, 1)]);
    for suite in preference {
        let choice = choose_esp(&[suite], &[Some(Group::Ecp256)], &[Esn::Off], &offered, None).unwrap();
        assert_eq!(
            accept_esp(&preference, &[Some(Group::Ecp256)], &[Esn::Off], &[choice.proposal]).unwrap().suite,
            suite
        );
    }
    let mixed = EspSuite::AesCbc(KeyBits::B256, Integrity::HmacSha2_256_128);
    assert!(
        choose_esp(&[mixed], &[Some(Group::Ecp256)], &[Esn::Off], &offered, None).is_none(),
        "not offered together"
    );
}

#[test]
fn an_additional_key_exchange_is_offered_first_and_only_taken_by_those_who_know_it() {
    let wanted = [Some(Group::MlKem768), Some(Group::MlKem1024), None];
    let offered = offer_ike(&[GCM, CBC], &wanted, None);
    assert_eq!(offered.iter().map(|proposal| proposal.number).collect::<Vec<_>>(), [1, 2, 3, 4]);
    let ke = GroupId::ECP_384;
    let plain = choose_ike(&[GCM], &offered, ke).unwrap();
    assert_eq!(plain.proposal.number, 3, "a peer that does not know the kind passes over the first two");
    let reply = std::slice::from_ref(&plain.proposal);
    assert_eq!(accept_ike_mixed(&[GCM, CBC], &wanted, reply).unwrap().additional, None);
    assert!(accept_ike_mixed(&[GCM, CBC], &wanted[..2], reply).is_err(), "not without, if it must be");
    for method in [Group::MlKem768, Group::MlKem1024] {
        let choice = choose_ike_mixed(&[GCM], &[Some(method)], &offered, ke).unwrap();
        assert_eq!((choice.suite, choice.additional, choice.proposal.number), (GCM, Some(method), 1));
    }
    assert!(choose_ike_mixed(&[GCM], &[Some(Group::MlKem512)], &offered, ke).is_none());
    let mixed = choose_ike_mixed(&[GCM], &wanted, &offered, ke).unwrap();
    let accepted = accept_ike_mixed(&[CBC, GCM], &wanted, std::slice::from_ref(&mixed.proposal)).unwrap();
    assert_eq!((accepted.suite, accepted.additional), (GCM, Some(Group::MlKem768)));
    let both = [mixed.proposal.clone(), offered[0].clone()];
    assert!(accept_ike_mixed(&[GCM], &wanted, &both[1..]).is_err(), "two methods are no choice");
    assert!(accept_ike(&[CBC, GCM], &[mixed.proposal]).is_err(), "not what was chosen");
    let plain = ike_proposals(&[GCM], None);
    assert!(choose_ike_mixed(&[GCM], &wanted[..2], &plain, ke).is_none());
    assert_eq!(choose_ike_mixed(&[GCM], &wanted, &plain, ke).unwrap().additional, None);
}
