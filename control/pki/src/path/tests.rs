//! Every kind of key along a path, and everything that can be wrong with one.

use x509_cert::ext::pkix::KeyUsages;
use zeroize::Zeroizing;

use super::*;
use crate::algorithm::{Digest, SignatureAlgorithm};
use crate::public_key::KeyKind;
use crate::subject::Subject;
use crate::testing::{Issued, NOW, Template, key_pem};

const P256: KeyKind = KeyKind::P256;
const KINDS: [KeyKind; 5] =
    [KeyKind::Rsa { bits: 2048 }, KeyKind::P256, KeyKind::P384, KeyKind::P521, KeyKind::Ed25519];

/// A root, an intermediate and a peer below it.
struct Chain {
    root: Issued,
    middle: Issued,
    peer: Issued,
}

impl Chain {
    fn new(root: &Template, middle: &Template, peer: &Template) -> Self {
        let root = Issued::root(root, &key_pem(P256, 1));
        let middle = root.issue(middle, &key_pem(P256, 2));
        let peer = middle.issue(peer, &key_pem(P256, 3));
        Self { root, middle, peer }
    }

    fn plain() -> Self {
        Self::new(
            &Template::authority("Root"),
            &Template::authority("Middle"),
            &Template::peer("peer.example"),
        )
    }

    fn verify(&self) -> Result<(), CertificateError> {
        self.verify_with(Vec::new())
    }

    fn verify_with(&self, lists: Vec<RevocationList>) -> Result<(), CertificateError> {
        let store = TrustStore::new(vec![self.root.certificate()], lists);
        store.verify(&self.peer.certificate(), &[self.middle.certificate()], NOW)
    }
}

fn with(peer: Template) -> Result<(), CertificateError> {
    Chain::new(&Template::authority("Root"), &Template::authority("Middle"), &peer).verify()
}

fn below(root: Template, middle: Template) -> Result<(), CertificateError> {
    Chain::new(&root, &middle, &Template::peer("peer.example")).verify()
}

fn peer() -> Template {
    Template::peer("peer.example")
}

#[test]
fn every_kind_of_key_signs_a_path_and_a_message() {
    for (index, kind) in (10..).zip(KINDS) {
        let root = Issued::root(&Template::authority("Root"), &key_pem(kind, index));
        let end = root.issue(&peer(), &key_pem(kind, index + 100));
        let store = TrustStore::new(vec![root.certificate()], Vec::new());
        assert_eq!(store.verify(&end.certificate(), &[], NOW), Ok(()), "{kind}");
        let key = crate::PrivateKey::from_pem(end.key_pem.as_bytes()).unwrap();
        let algorithms = [Digest::Sha256, Digest::Sha384, Digest::Sha512].into_iter().flat_map(|digest| {
            [
                SignatureAlgorithm::RsaPkcs1(digest),
                SignatureAlgorithm::pss(digest),
                SignatureAlgorithm::Ecdsa(digest),
            ]
        });
        let mut signed = 0;
        for algorithm in algorithms.chain([SignatureAlgorithm::Ed25519]) {
            let Ok(signature) = key.sign(algorithm, b"octets", Zeroizing::new([1; 32])) else { continue };
            signed += 1;
            let certificate = end.certificate();
            let public = certificate.public_key().unwrap();
            assert_eq!(public.verify(algorithm, b"octets", &signature), Ok(()), "{kind} {algorithm}");
            assert!(public.verify(algorithm, b"octet5", &signature).is_err(), "{kind} {algorithm}");
            let mut bent = signature.clone();
            *bent.last_mut().unwrap() ^= 1;
            assert!(public.verify(algorithm, b"octets", &bent).is_err(), "{kind} {algorithm}");
            let plain = algorithm.digest().and_then(|digest| key.sign_plain_ecdsa(digest, b"octets").ok());
            if let (Some(plain), Some(digest)) = (plain, algorithm.digest()) {
                assert_eq!(public.verify_plain_ecdsa(digest, b"octets", &plain), Ok(()), "{kind}");
            }
        }
        assert_eq!(
            signed,
            match kind {
                KeyKind::Rsa { .. } => 6,
                KeyKind::Ed25519 => 1,
                _ => 3,
            },
            "{kind}"
        );
    }
}

#[test]
fn intermediate_is_found_among_others_and_missed_by_name() {
    let chain = Chain::plain();
    assert_eq!(chain.verify(), Ok(()));
    let store = TrustStore::new(vec![chain.root.certificate()], Vec::new());
    let others = [chain.root.certificate(), chain.peer.certificate(), chain.middle.certificate()];
    assert_eq!(store.verify(&chain.peer.certificate(), &others, NOW), Ok(()));
    let missing = store.verify(&chain.peer.certificate(), &[], NOW).unwrap_err();
    assert!(
        matches!(&missing, CertificateError::UnknownIssuer { issuer, .. } if issuer.to_string().contains("Middle")),
        "{missing}"
    );
    let stranger = Issued::root(&Template::authority("Stranger"), &key_pem(P256, 9));
    let store = TrustStore::new(vec![stranger.certificate()], Vec::new());
    let unknown = store.verify(&chain.peer.certificate(), &[chain.middle.certificate()], NOW).unwrap_err();
    assert!(
        matches!(&unknown, CertificateError::UnknownIssuer { issuer, .. } if issuer.to_string().contains("Root")),
        "{unknown}"
    );
    // Several anchors, the right one last; a certificate that is trusted by itself.
    let store = TrustStore::new(vec![stranger.certificate(), chain.middle.certificate()], Vec::new());
    assert_eq!(store.verify(&chain.peer.certificate(), &[], NOW), Ok(()));
    let store = TrustStore::new(vec![chain.peer.certificate()], Vec::new());
    assert_eq!(store.verify(&chain.peer.certificate(), &[], NOW), Ok(()));
}

#[test]
fn time_counts_for_each_certificate_of_the_path() {
    let past = |template: Template| template.valid(UnixTime(NOW.0 - 20), UnixTime(NOW.0 - 10));
    let future = |template: Template| template.valid(UnixTime(NOW.0 + 10), UnixTime(NOW.0 + 20));
    let now = |template: Template| template.valid(NOW, NOW);
    let (root, middle) = (Template::authority("Root"), Template::authority("Middle"));
    assert!(matches!(with(past(peer())), Err(CertificateError::Expired { .. })));
    assert!(matches!(with(future(peer())), Err(CertificateError::NotYetValid { .. })));
    assert_eq!(with(now(peer())), Ok(()));
    assert!(matches!(below(root.clone(), past(middle.clone())), Err(CertificateError::Expired { .. })));
    assert!(matches!(below(past(root), middle), Err(CertificateError::Expired { .. })));
}

#[test]
fn only_a_ca_issues_and_only_as_deep_as_it_may() {
    let (root, middle) = (Template::authority("Root"), Template::authority("Middle"));
    let no_ca = Template { authority: None, ..middle.clone() };
    assert!(matches!(below(root.clone(), no_ca), Err(CertificateError::NotAnAuthority { .. })));
    let no_cert_sign = Template { key_usage: Some(KeyUsages::DigitalSignature), ..middle.clone() };
    assert!(matches!(below(root.clone(), no_cert_sign), Err(CertificateError::NotAnAuthority { .. })));
    let leaf_only = Template { authority: Some(Some(0)), ..root.clone() };
    assert!(matches!(below(leaf_only, middle.clone()), Err(CertificateError::PathTooLong { .. })));
    let one_below = Template { authority: Some(Some(1)), ..root.clone() };
    assert_eq!(below(one_below, Template { authority: Some(Some(0)), ..middle }), Ok(()));
}

#[test]
fn end_must_be_meant_for_ike() {
    let usage = Template { key_usage: Some(KeyUsages::KeyEncipherment), ..peer() };
    assert!(matches!(with(usage), Err(CertificateError::WrongUsage { extension: "keyUsage", .. })));
    assert_eq!(with(Template { key_usage: None, ..peer() }), Ok(()));
    let code_signing = const_oid::db::rfc5280::ID_KP_CODE_SIGNING;
    let usage = Template { extended_key_usage: Some(code_signing), ..peer() };
    assert!(matches!(with(usage), Err(CertificateError::WrongUsage { extension: "extendedKeyUsage", .. })));
    let server = Some(const_oid::db::rfc5280::ID_KP_SERVER_AUTH);
    assert_eq!(with(Template { extended_key_usage: server, ..peer() }), Ok(()));
    let critical = Template { unknown_critical: true, ..peer() };
    assert!(matches!(with(critical), Err(CertificateError::NotUnderstood { .. })));
}

#[test]
fn forged_and_weak_signatures_are_told_apart() {
    let chain = Chain::plain();
    // Another CA with the same name.
    let twin = Issued::root(&Template::authority("Middle"), &key_pem(P256, 77));
    let store = TrustStore::new(vec![twin.certificate()], Vec::new());
    let forged = store.verify(&chain.peer.certificate(), &[], NOW);
    assert!(matches!(forged, Err(CertificateError::BadSignature { .. })), "{forged:?}");
    let sha1 = Template { algorithm: Some(SignatureAlgorithm::Ecdsa(Digest::Sha1)), ..peer() };
    assert!(matches!(with(sha1), Err(CertificateError::WeakSignature { .. })));
    // A bit of the content that changes nothing else: the serial number.
    let mut der = chain.peer.der.clone();
    let at = der.windows(5).position(|bytes| bytes == [0xa0, 3, 2, 1, 2]).unwrap() + 7;
    der[at] ^= 2;
    let bent = Certificate::from_der(&der).unwrap();
    let store = TrustStore::new(vec![chain.root.certificate()], Vec::new());
    let bent = store.verify(&bent, &[chain.middle.certificate()], NOW);
    assert!(matches!(bent, Err(CertificateError::BadSignature { .. })), "{bent:?}");
}

#[test]
fn revocation_lists_revoke_and_fail_closed() {
    let chain = Chain::plain();
    let later = UnixTime(NOW.0 + 1000);
    let list = |der: Vec<u8>| RevocationList::from_der(&der).unwrap();
    assert_eq!(chain.verify_with(vec![list(chain.middle.revocation_list(&[], later))]), Ok(()));
    assert_eq!(chain.verify_with(vec![list(chain.middle.revocation_list(&[2, 3], later))]), Ok(()));
    let revoked = chain.verify_with(vec![list(chain.middle.revocation_list(&[9, 1], later))]);
    assert!(matches!(revoked, Err(CertificateError::Revoked { .. })), "{revoked:?}");
    let middle = chain.verify_with(vec![list(chain.root.revocation_list(&[1], later))]);
    assert!(matches!(middle, Err(CertificateError::Revoked { .. })), "{middle:?}");
    let stale = chain.verify_with(vec![list(chain.middle.revocation_list(&[], UnixTime(NOW.0 - 1)))]);
    assert!(matches!(stale, Err(CertificateError::StaleRevocations { .. })), "{stale:?}");
    let twin = Issued::root(&Template::authority("Middle"), &key_pem(P256, 77));
    let forged = chain.verify_with(vec![list(twin.revocation_list(&[], later))]);
    assert!(matches!(forged, Err(CertificateError::ForgedRevocations { .. })), "{forged:?}");
    // A new list beside an old one.
    let both = vec![
        list(chain.middle.revocation_list(&[], later)),
        list(chain.middle.revocation_list(&[], UnixTime(NOW.0 - 1))),
    ];
    assert_eq!(chain.verify_with(both), Ok(()));
}

#[test]
fn loops_and_floods_of_certificates_end() {
    // Cross-certified authorities with one name and key: the search must not run in circles.
    let root = Issued::root(&Template::authority("Loop"), &key_pem(P256, 1));
    let intermediates: Vec<Certificate> = (0..10)
        .map(|serial| {
            root.issue(&Template { serial, ..Template::authority("Loop") }, &key_pem(P256, 1)).certificate()
        })
        .collect();
    let end = root.issue(&peer(), &key_pem(P256, 3)).certificate();
    let store = TrustStore::default();
    let error = store.verify(&end, &intermediates, NOW).unwrap_err();
    assert!(matches!(error, CertificateError::PathTooLong { .. }), "{error}");
}

#[test]
fn files_hold_several_certificates_and_text() {
    let chain = Chain::plain();
    let file = format!("subject=a comment\n{}\nanother\n{}", chain.peer.pem(), chain.middle.pem());
    let read = crate::read_certificates(file.as_bytes()).unwrap();
    assert_eq!(read, [chain.peer.certificate(), chain.middle.certificate()]);
    assert_eq!(crate::read_certificates(&chain.peer.der).unwrap(), [chain.peer.certificate()]);
    let with_key = format!("{}{}", chain.peer.pem(), chain.peer.key_pem);
    assert_eq!(crate::read_certificates(with_key.as_bytes()), Err(crate::ReadError::PrivateKey));
    let cut = &chain.peer.pem()[..200];
    assert_eq!(crate::read_certificates(cut.as_bytes()), Err(crate::ReadError::Pem(1)));
    assert!(matches!(crate::read_certificates(b"nothing"), Err(crate::ReadError::Nothing(_))));
    assert!(matches!(
        crate::PrivateKey::from_pem(chain.peer.pem().as_bytes()),
        Err(crate::PrivateKeyError::Missing)
    ));
}

#[test]
fn certificate_is_for_its_subject_and_each_alternative_name_only() {
    let named = |name: &str| Subject::Name(name.parse().unwrap());
    let alternatives = [
        Subject::Dns("gw.example".into()),
        Subject::Email("ops@example.org".into()),
        Subject::Address("192.0.2.7".parse().unwrap()),
        Subject::Address("2001:db8::7".parse().unwrap()),
        named("C=CH, O=Example, CN=Other name"),
    ];
    let template = Template { names: alternatives.to_vec(), ..Template::peer("peer.example") };
    let certificate = Issued::root(&template, &key_pem(P256, 1)).certificate();
    let subject = Subject::Name(template.subject.parse().unwrap());
    for name in alternatives.iter().chain([&subject]) {
        assert!(certificate.is_for(name), "{name}");
    }
    let strangers = [
        Subject::Dns("peer.example".into()),
        Subject::Email("gw.example".into()),
        Subject::Address("192.0.2.8".parse().unwrap()),
        named("C=CH, O=Example, CN=Other"),
    ];
    for name in &strangers {
        assert!(!certificate.is_for(name), "{name}");
    }
}

#[test]
fn chain_is_sent_up_to_what_the_peer_trusts() {
    let chain = Chain::plain();
    let key = || crate::PrivateKey::from_pem(chain.peer.key_pem.as_bytes()).unwrap();
    let all = || vec![chain.peer.certificate(), chain.root.certificate(), chain.middle.certificate()];
    let credential = crate::Credential::new(all(), key()).unwrap();
    let sent = |authorities: &[u8]| credential.chain_for(authorities).len();
    let hash = |issued: &Issued| issued.certificate().public_key().unwrap().key_hash();
    assert_eq!(sent(&hash(&chain.root)), 2);
    assert_eq!(sent(&hash(&chain.middle)), 1);
    assert_eq!(sent(&[]), 2);
    let other = crate::Credential::new(vec![chain.middle.certificate()], key());
    assert!(matches!(other, Err(crate::CredentialError::OtherKey(_))), "{other:?}");
}

#[test]
fn authorities_are_asked_for_and_pinned_peers_are_not() {
    let chain = Chain::plain();
    let anchors = [&chain.peer, &chain.root, &chain.middle].map(Issued::certificate);
    let hashes = anchors.each_ref().map(|anchor| anchor.public_key().unwrap().key_hash());
    assert_eq!(TrustStore::new(anchors.into(), Vec::new()).key_hashes(), &hashes[1..]);
    assert!(TrustStore::default().key_hashes().is_empty());
}

/// What comes of `end`, and how many signatures were checked for it.
fn counted(
    store: &TrustStore,
    end: &Certificate,
    intermediates: &[Certificate],
) -> (Result<(), CertificateError>, u32) {
    let paths = match store.paths(end, intermediates, NOW) {
        Ok(paths) => paths,
        Err(error) => return (Err(error), 0),
    };
    let mut proofs = proof::Proofs::new(&paths);
    (paths.find(&mut proofs).map(drop), proofs.signatures)
}

#[test]
fn stranger_costs_no_signature_and_forger_a_few() {
    let real = Chain::plain();
    let store = TrustStore::new(vec![real.root.certificate()], Vec::new());
    let middle = || vec![real.middle.certificate()];
    assert_eq!(counted(&store, &real.peer.certificate(), &middle()), (Ok(()), 2));
    // The same intermediate over and over is the same link twice at most.
    let many: Vec<Certificate> = [middle(), middle(), middle()].into_iter().flatten().collect();
    assert_eq!(counted(&store, &real.peer.certificate(), &many), (Ok(()), 2));

    let stranger = Issued::root(&Template::authority("Stranger"), &key_pem(P256, 50));
    let below = stranger.issue(&Template::authority("Below"), &key_pem(P256, 51));
    let end = below.issue(&peer(), &key_pem(P256, 52)).certificate();
    let (outcome, signatures) = counted(&store, &end, &[below.certificate(), stranger.certificate()]);
    assert!(
        matches!(&outcome, Err(CertificateError::UnknownIssuer { issuer, .. }) if issuer.to_string().contains("Stranger")),
        "{outcome:?}"
    );
    assert_eq!(signatures, 0);

    // A CA that calls itself as ours does, with good signatures below it: the first link says no.
    let twin = Issued::root(&Template::authority("Root"), &key_pem(P256, 60));
    let below = twin.issue(&Template::authority("Middle"), &key_pem(P256, 61));
    let end = below.issue(&peer(), &key_pem(P256, 62)).certificate();
    let (outcome, signatures) = counted(&store, &end, &[below.certificate()]);
    assert!(
        matches!(&outcome, Err(CertificateError::BadSignature { issuer, .. }) if issuer.to_string().contains("Root")),
        "{outcome:?}"
    );
    assert_eq!(signatures, 1);
    let many: Vec<Certificate> = (1..=10)
        .map(|serial| {
            twin.issue(&Template { serial, ..Template::authority("Middle") }, &key_pem(P256, 61))
                .certificate()
        })
        .collect();
    let (outcome, signatures) = counted(&store, &end, &many);
    assert!(matches!(&outcome, Err(CertificateError::BadSignature { .. })), "{outcome:?}");
    assert_eq!(signatures, 4);
}

#[test]
fn flood_that_names_an_anchor_costs_a_few_signatures() {
    let root = Issued::root(&Template::authority("Loop"), &key_pem(P256, 1));
    let intermediates: Vec<Certificate> = (1..=10)
        .map(|serial| {
            root.issue(&Template { serial, ..Template::authority("Loop") }, &key_pem(P256, 1)).certificate()
        })
        .collect();
    let end = root.issue(&peer(), &key_pem(P256, 3)).certificate();
    let anchor = Issued::root(&Template::authority("Loop"), &key_pem(P256, 99)).certificate();
    let (outcome, signatures) = counted(&TrustStore::new(vec![anchor], Vec::new()), &end, &intermediates);
    assert!(matches!(&outcome, Err(CertificateError::BadSignature { .. })), "{outcome:?}");
    assert!(signatures <= 4, "{signatures}");
}

#[test]
fn rsa_signature_names_its_hash() {
    let root = Issued::root(&peer(), &key_pem(KeyKind::Rsa { bits: 2048 }, 1));
    let key = crate::PrivateKey::from_pem(root.key_pem.as_bytes()).unwrap();
    let public = root.certificate().public_key().unwrap().clone();
    for digest in [Digest::Sha1, Digest::Sha256, Digest::Sha384, Digest::Sha512] {
        let algorithm = SignatureAlgorithm::RsaPkcs1(digest);
        let signature = key.sign(algorithm, b"octets", Zeroizing::new([1; 32])).unwrap();
        assert_eq!(public.verify_rsa_pkcs1(b"octets", &signature), Ok(digest));
        assert!(public.verify_rsa_pkcs1(b"octet5", &signature).is_err());
        for at in [0, 100, 255] {
            let mut bent = signature.clone();
            bent[at] ^= 1;
            assert!(public.verify_rsa_pkcs1(b"octets", &bent).is_err(), "{digest} {at}");
        }
        assert!(public.verify_rsa_pkcs1(b"octets", &signature[1..]).is_err());
        assert!(public.verify_rsa_pkcs1(b"octets", &[&[0], &signature[..]].concat()).is_err());
        assert!(public.verify_rsa_pkcs1(b"octets", &[0xff; 256]).is_err());
    }
    let padded_otherwise =
        key.sign(SignatureAlgorithm::pss(Digest::Sha256), b"octets", Zeroizing::new([1; 32]));
    assert!(public.verify_rsa_pkcs1(b"octets", &padded_otherwise.unwrap()).is_err());
    let other = Issued::root(&peer(), &key_pem(P256, 1)).certificate();
    let outcome = other.public_key().unwrap().verify_rsa_pkcs1(b"octets", &[1; 256]);
    assert_eq!(outcome, Err(crate::SignatureError::OtherAlgorithm));
}
