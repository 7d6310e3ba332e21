//! Responses that OpenSSL made (`vectors/`, of November 2026, for a hundred years), and what may be wrong with one.

use super::*;
use crate::path::TrustStore;
use crate::public_key::KeyKind;
use crate::revocation::RevocationList;
use crate::testing::{Issued, NOW, OcspTemplate, Template, key_pem};

/// A day after the vectors were made.
const THEN: UnixTime = UnixTime(1_795_917_724 + 80_000);

fn certificate(der: &[u8]) -> Certificate {
    Certificate::from_der(der).unwrap()
}

fn of_openssl(end: &[u8], response: &[u8], now: UnixTime) -> Result<(), CertificateError> {
    let store = TrustStore::new(vec![certificate(include_bytes!("vectors/ca.cert.der"))], Vec::new());
    let response = OcspResponse::from_der(response).unwrap();
    let end = certificate(end);
    assert!(response.is_about(&end));
    store.with_ocsp(OcspPolicy::Require).paths(&end, &[], now)?.verify_with_ocsp(&[response])
}

#[test]
fn what_openssl_answers_is_understood() {
    let good = include_bytes!("vectors/good.cert.der");
    for response in [
        &include_bytes!("vectors/delegated_good.der")[..],
        include_bytes!("vectors/delegated_good_sha256_by_key.der"),
        include_bytes!("vectors/issuer_good.der"),
        include_bytes!("vectors/without_next_update.der"),
    ] {
        assert_eq!(of_openssl(good, response, THEN), Ok(()));
    }
    let revoked = of_openssl(
        include_bytes!("vectors/revoked.cert.der"),
        include_bytes!("vectors/delegated_revoked.der"),
        THEN,
    );
    let at_new_year = UnixTime(1_767_225_600);
    assert!(matches!(revoked, Err(CertificateError::Revoked { at, .. }) if at == at_new_year), "{revoked:?}");
    let unknown = of_openssl(
        include_bytes!("vectors/unknown.cert.der"),
        include_bytes!("vectors/delegated_unknown.der"),
        THEN,
    );
    assert!(matches!(unknown, Err(CertificateError::UnknownStatus { .. })), "{unknown:?}");
    let forged = of_openssl(good, include_bytes!("vectors/undelegated_good.der"), THEN);
    assert!(matches!(forged, Err(CertificateError::ForgedStatus { .. })), "{forged:?}");
}

#[test]
fn a_response_holds_until_its_next_update_or_for_a_day() {
    let good = include_bytes!("vectors/good.cert.der");
    let made = 1_795_917_724;
    for (response, at, is_good) in [
        (&include_bytes!("vectors/delegated_good.der")[..], made + 1_000_000, true),
        (include_bytes!("vectors/delegated_good.der"), made - 200, true),
        (include_bytes!("vectors/delegated_good.der"), made - 400, false),
        (include_bytes!("vectors/without_next_update.der"), made + 86_000, true),
        (include_bytes!("vectors/without_next_update.der"), made + 87_000, false),
    ] {
        let response = OcspResponse::from_der(response).unwrap();
        let judged = response.judge(&certificate(good), UnixTime(at));
        let is_stale = matches!(judged, Err(CertificateError::StaleStatus { .. }));
        assert_eq!((judged.is_ok(), is_stale), (is_good, !is_good), "{at} {judged:?}");
    }
}

const P256: KeyKind = KeyKind::P256;

/// A root, and a peer below it.
fn pair() -> (Issued, Issued) {
    let root = Issued::root(&Template::authority("Root"), &key_pem(P256, 1));
    let peer = root.issue(&Template::peer("peer.example"), &key_pem(P256, 2));
    (root, peer)
}

fn responder(usage: Option<&str>) -> Template {
    let extended_key_usage = usage.map(|usage| ObjectIdentifier::new(usage).unwrap());
    Template { extended_key_usage, serial: 9, ..Template::peer("ocsp.example") }
}

const SIGNING: &str = "1.3.6.1.5.5.7.3.9";

fn verified(
    (root, peer): (&Issued, &Issued),
    policy: OcspPolicy,
    lists: Vec<Vec<u8>>,
    responses: &[Vec<u8>],
) -> Result<(), CertificateError> {
    let lists = lists.iter().map(|list| RevocationList::from_der(list).unwrap()).collect();
    let store = TrustStore::new(vec![root.certificate()], lists).with_ocsp(policy);
    let responses: Vec<_> = responses.iter().map(|der| OcspResponse::from_der(der).unwrap()).collect();
    store.paths(&peer.certificate(), &[], NOW)?.verify_with_ocsp(&responses)
}

#[test]
fn only_the_issuer_and_whom_it_named_answer() {
    let (root, peer) = pair();
    let other = Issued::root(&Template::authority("Other"), &key_pem(P256, 5));
    let by = |signer: &Issued| root.ocsp_response(signer, &OcspTemplate::good(1));
    let ask = |response: Vec<u8>| verified((&root, &peer), OcspPolicy::Ask, Vec::new(), &[response]);
    assert_eq!(ask(by(&root)), Ok(()));
    assert_eq!(ask(by(&root.issue(&responder(Some(SIGNING)), &key_pem(P256, 6)))), Ok(()));
    for (signer, why) in [
        (root.issue(&responder(None), &key_pem(P256, 6)), "not named for it"),
        (root.issue(&responder(Some("1.3.6.1.5.5.7.3.1")), &key_pem(P256, 6)), "named for something else"),
        (other.issue(&responder(Some(SIGNING)), &key_pem(P256, 6)), "named by somebody else"),
        (Issued::root(&Template::authority("Root"), &key_pem(P256, 7)), "of the same name"),
        (Issued::root(&Template::peer("peer.example"), &key_pem(P256, 2)), "the peer itself"),
    ] {
        let outcome = ask(by(&signer));
        assert!(matches!(outcome, Err(CertificateError::ForgedStatus { .. })), "{why}: {outcome:?}");
    }
    let expired = Template { not_after: UnixTime(NOW.0 - 5), ..responder(Some(SIGNING)) };
    let outcome = ask(by(&root.issue(&expired, &key_pem(P256, 6))));
    assert!(matches!(outcome, Err(CertificateError::Expired { .. })), "{outcome:?}");
    // Of the certificate that comes along.
    let mut changed = by(&root.issue(&responder(Some(SIGNING)), &key_pem(P256, 6)));
    let last = changed.len() - 1;
    changed[last] ^= 1;
    let outcome = ask(changed);
    assert!(matches!(outcome, Err(CertificateError::ForgedStatus { .. })), "{outcome:?}");
}

#[test]
fn a_responder_that_is_revoked_itself_says_nothing() {
    let (root, peer) = pair();
    let response =
        root.ocsp_response(&root.issue(&responder(Some(SIGNING)), &key_pem(P256, 6)), &OcspTemplate::good(1));
    // The list is about the responder only, number 9.
    let list = root.revocation_list(&[9], UnixTime(NOW.0 + 10));
    let outcome = verified((&root, &peer), OcspPolicy::Require, vec![list], &[response]);
    assert!(matches!(outcome, Err(CertificateError::Revoked { .. })), "{outcome:?}");
}

#[test]
fn revoked_is_refused_whoever_says_so_and_a_good_list_covers_for_a_bad_response() {
    let (root, peer) = pair();
    let good = root.ocsp_response(&root, &OcspTemplate::good(1));
    let revoked = root.ocsp_response(&root, &OcspTemplate { revoked: true, ..OcspTemplate::good(1) });
    let stale = OcspTemplate { next_update: UnixTime(NOW.0 - 10), ..OcspTemplate::good(1) };
    let stale = root.ocsp_response(&root, &stale);
    let unknown = root.ocsp_response(&root, &OcspTemplate { unknown: true, ..OcspTemplate::good(1) });
    let of_another = root.ocsp_response(&root, &OcspTemplate::good(2));
    let free = root.revocation_list(&[7], UnixTime(NOW.0 + 10));
    let full = root.revocation_list(&[1], UnixTime(NOW.0 + 10));
    let old = root.revocation_list(&[7], UnixTime(NOW.0 - 10));
    let ask = |policy, lists: &[&Vec<u8>], responses: &[&Vec<u8>]| {
        let owned = |all: &[&Vec<u8>]| all.iter().map(|one| (*one).clone()).collect::<Vec<_>>();
        verified((&root, &peer), policy, owned(lists), &owned(responses))
    };
    let is_revoked = |outcome| matches!(outcome, Err(CertificateError::Revoked { .. }));
    for policy in [OcspPolicy::Ask, OcspPolicy::Require] {
        assert!(is_revoked(ask(policy, &[], &[&revoked])));
        assert!(is_revoked(ask(policy, &[&free], &[&good, &revoked])));
        assert!(is_revoked(ask(policy, &[&full], &[&good])), "{policy:?}");
        assert_eq!(ask(policy, &[&old], &[&good]), Ok(()), "the response is newer than the list");
        let outcome = ask(policy, &[], &[&stale]);
        assert!(matches!(outcome, Err(CertificateError::StaleStatus { .. })), "{outcome:?}");
        let outcome = ask(policy, &[], &[&unknown]);
        assert!(matches!(outcome, Err(CertificateError::UnknownStatus { .. })), "{outcome:?}");
    }
    assert_eq!(ask(OcspPolicy::Ask, &[&free], &[&stale]), Ok(()), "the list decides");
    assert_eq!(ask(OcspPolicy::Ask, &[], &[]), Ok(()));
    assert_eq!(ask(OcspPolicy::Ask, &[], &[&of_another]), Ok(()), "it is about somebody else");
    assert_eq!(ask(OcspPolicy::Off, &[], &[&revoked]), Ok(()), "nobody looks");
    for responses in [&[][..], &[&of_another], &[&stale]] {
        let outcome = ask(OcspPolicy::Require, &[&free], responses);
        assert!(outcome.is_err(), "{outcome:?}");
    }
}

#[test]
fn a_critical_extension_that_nobody_knows_is_refused() {
    let (root, peer) = pair();
    for template in [
        OcspTemplate { critical: true, ..OcspTemplate::good(1) },
        OcspTemplate { critical_of_answer: true, ..OcspTemplate::good(1) },
    ] {
        let response = root.ocsp_response(&root, &template);
        let outcome = verified((&root, &peer), OcspPolicy::Ask, Vec::new(), &[response]);
        assert!(matches!(outcome, Err(CertificateError::NotUnderstood { .. })), "{outcome:?}");
    }
}

#[test]
fn what_is_no_response_is_refused() {
    let whole = include_bytes!("vectors/delegated_good.der");
    for length in 0..whole.len() {
        assert!(OcspResponse::from_der(&whole[..length]).is_err(), "{length}");
    }
    // tryLater, which is not signed.
    assert!(OcspResponse::from_der(&[0x30, 3, 0x0a, 1, 3]).is_err());
    assert!(OcspResponse::from_der(&[&whole[..], &[0]].concat()).is_err());
}
