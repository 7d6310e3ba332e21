//! Each kind of key signs and is believed, by each method; what is wrong is told.

use crossgate_pki::testing::{Issued, NOW, Template, key_pem};
use crossgate_pki::{PrivateKey, Subject};

use super::*;

const KINDS: [KeyKind; 5] =
    [KeyKind::Rsa { bits: 2048 }, KeyKind::P256, KeyKind::P384, KeyKind::P521, KeyKind::Ed25519];
const ALL: &[HashAlgorithm] = &HASHES;

fn peer(kind: KeyKind) -> (Issued, Issued) {
    let root = Issued::root(&Template::authority("Root"), &key_pem(KeyKind::P256, 1));
    let end = root.issue(&Template::peer("peer.example"), &key_pem(kind, 2));
    (root, end)
}

fn authentication(
    kind: KeyKind,
    rsa_padding: RsaPadding,
    allow_sha1: bool,
) -> Arc<CertificateAuthentication> {
    let (root, end) = peer(kind);
    let key = PrivateKey::from_pem(end.key_pem.as_bytes()).unwrap();
    let credential = Arc::new(Credential::new(vec![end.certificate()], key).unwrap());
    let trust = Arc::new(TrustStore::new(vec![root.certificate()], Vec::new()));
    Arc::new(CertificateAuthentication { credential, trust, rsa_padding, allow_sha1 })
}

fn sign(
    by: &Arc<CertificateAuthentication>,
    hashes: Option<&[HashAlgorithm]>,
) -> Result<Authentication, IkeError> {
    let offer = Offer { hashes: hashes.map(<[_]>::to_vec), authorities: Vec::new(), wants_responses: false };
    Sign::prepare(by, &offer, b"octets".to_vec(), NOW, Zeroizing::new([3; 32]))?.run().map(|proof| proof.auth)
}

fn verify(by: &Arc<CertificateAuthentication>, proof: Authentication, claimed: &str) -> Result<(), IkeError> {
    let certificates = vec![by.credential.certificate().der().to_vec()];
    let claimed = claimed.parse().unwrap();
    let by = Arc::clone(by);
    Verify {
        by,
        certificates,
        responses: Vec::new(),
        claimed,
        proof,
        octets: b"octets".to_vec(),
        is_bare: false,
        now: NOW,
    }
    .run()
    .map(drop)
}

#[test]
fn each_key_signs_as_the_peer_can_check_it() {
    let cases: [(KeyKind, AuthMethod); 5] = [
        (KINDS[0], AuthMethod::RSA_SIGNATURE),
        (KINDS[1], AuthMethod::ECDSA_256),
        (KINDS[2], AuthMethod::ECDSA_384),
        (KINDS[3], AuthMethod::ECDSA_521),
        (KINDS[4], AuthMethod::DIGITAL_SIGNATURE),
    ];
    for (kind, old) in cases {
        let by = authentication(kind, RsaPadding::Pss, false);
        let new = sign(&by, Some(ALL)).unwrap();
        assert_eq!(new.method, AuthMethod::DIGITAL_SIGNATURE, "{kind}");
        assert_eq!(verify(&by, new, "peer.example"), Ok(()), "{kind}");
        let without = sign(&by, None);
        if kind == KeyKind::Ed25519 {
            assert_eq!(without, Err(IkeError::NoCommonSignature(kind)));
            continue;
        }
        let without = without.unwrap();
        assert_eq!(without.method, old, "{kind}");
        assert_eq!(verify(&by, without, "peer.example"), Ok(()), "{kind}");
        // Only what the peer announced.
        let only = sign(&by, Some(&[HashAlgorithm::SHA2_512])).unwrap();
        assert_eq!(split(&only.data).unwrap().0.digest(), Some(Digest::Sha512), "{kind}");
        let none = sign(&by, Some(&[HashAlgorithm::SHA1, HashAlgorithm::IDENTITY]));
        assert_eq!(none, Err(IkeError::NoCommonSignature(kind)));
    }
}

#[test]
fn padding_of_rsa_is_the_operators() {
    for (padding, algorithm) in [
        (RsaPadding::Pss, SignatureAlgorithm::pss(Digest::Sha256)),
        (RsaPadding::Pkcs1, SignatureAlgorithm::RsaPkcs1(Digest::Sha256)),
    ] {
        let by = authentication(KINDS[0], padding, false);
        let auth = sign(&by, Some(ALL)).unwrap();
        assert_eq!(split(&auth.data).unwrap().0, algorithm);
        assert_eq!(verify(&by, auth, "peer.example"), Ok(()));
    }
}

#[test]
fn sha1_is_refused_by_name_unless_allowed() {
    let lax = authentication(KINDS[0], RsaPadding::Pss, true);
    let auth = sign(&lax, None).unwrap();
    assert_eq!(verify(&lax, auth.clone(), "peer.example"), Ok(()));
    let strict = authentication(KINDS[0], RsaPadding::Pss, false);
    assert_eq!(verify(&strict, auth, "peer.example"), Err(IkeError::WeakSignature));
    // By RFC 7427 the algorithm is named, and refused without a look at the signature.
    let identifier = SignatureAlgorithm::RsaPkcs1(Digest::Sha1).to_der();
    let length = u8::try_from(identifier.len()).unwrap();
    let data = [&[length][..], &identifier, &[1; 256]].concat();
    let named = Authentication { method: AuthMethod::DIGITAL_SIGNATURE, data };
    assert_eq!(verify(&strict, named.clone(), "peer.example"), Err(IkeError::WeakSignature));
    assert_eq!(verify(&lax, named, "peer.example"), Err(IkeError::WrongSignature));
}

#[test]
fn another_identity_key_or_message_is_not_believed() {
    let by = authentication(KeyKind::P256, RsaPadding::Pss, false);
    let auth = sign(&by, Some(ALL)).unwrap();
    for name in ["other.example", "keyid:peer.example", "192.0.2.1", "C=CH, O=Example, CN=other.example"] {
        let error = verify(&by, auth.clone(), name).unwrap_err();
        let IkeError::PeerCertificate(error) = error else { panic!("{error}") };
        assert!(
            matches!(&*error, CertificateError::WrongName { names, .. }
            if names.contains(&Subject::Dns("peer.example".into()))),
            "{error}"
        );
    }
    assert!(verify(&by, auth.clone(), "O=Example, CN=peer.example, C=CH").is_err());
    assert_eq!(verify(&by, auth.clone(), "C=CH, O=Example, CN=peer.example"), Ok(()));
    let stranger = authentication(KeyKind::P384, RsaPadding::Pss, false);
    let foreign = sign(&stranger, None).unwrap();
    assert_eq!(verify(&by, foreign, "peer.example"), Err(IkeError::WrongSignature));
    let mut bent = auth.clone();
    *bent.data.last_mut().unwrap() ^= 1;
    assert_eq!(verify(&by, bent, "peer.example"), Err(IkeError::WrongSignature));
    for length in 0..auth.data.len() {
        let cut = Authentication { data: auth.data[..length].to_vec(), ..auth.clone() };
        assert!(verify(&by, cut, "peer.example").is_err(), "{length}");
    }
    let null = Authentication { method: AuthMethod::NULL, ..auth };
    assert_eq!(verify(&by, null, "peer.example"), Err(IkeError::NotByCertificate));
}

/// What comes of a right signature and of a wrong one under `trusted`.
fn verdicts(by: &Arc<CertificateAuthentication>, trusted: TrustStore) -> [Result<(), IkeError>; 2] {
    let by = Arc::new(CertificateAuthentication {
        credential: Arc::clone(&by.credential),
        trust: Arc::new(trusted),
        rsa_padding: RsaPadding::Pss,
        allow_sha1: false,
    });
    let auth = sign(&by, Some(ALL)).unwrap();
    let mut bent = auth.clone();
    *bent.data.last_mut().unwrap() ^= 1;
    [verify(&by, auth, "peer.example"), verify(&by, bent, "peer.example")]
}

#[test]
fn names_come_before_the_proof_and_the_proof_before_the_path() {
    let by = authentication(KeyKind::P256, RsaPadding::Pss, false);
    let is_unknown = |outcome: &Result<(), IkeError>| {
        matches!(outcome, Err(IkeError::PeerCertificate(error))
            if matches!(**error, CertificateError::UnknownIssuer { .. }))
    };
    // Nobody here has the name of the certificate's issuer: its signatures are not looked at, be they right or wrong.
    let outcomes = verdicts(&by, TrustStore::default());
    assert!(outcomes.iter().all(is_unknown), "{outcomes:?}");
    // Somebody has, but did not issue it: whoever does not hold the key hears of that first.
    let twin = Issued::root(&Template::authority("Root"), &key_pem(KeyKind::P256, 9));
    let [right, wrong] = verdicts(&by, TrustStore::new(vec![twin.certificate()], Vec::new()));
    assert!(
        matches!(&right, Err(IkeError::PeerCertificate(error))
            if matches!(**error, CertificateError::BadSignature { .. })),
        "{right:?}"
    );
    assert_eq!(wrong, Err(IkeError::WrongSignature));
}

#[test]
fn own_certificate_out_of_date_is_not_used() {
    let by = authentication(KeyKind::P256, RsaPadding::Pss, false);
    let late = UnixTime(NOW.0 * 2);
    let error = Sign::prepare(&by, &Offer::default(), Vec::new(), late, Zeroizing::new([3; 32])).unwrap_err();
    assert!(matches!(error, IkeError::OwnCertificate(_)), "{error}");
    assert!(error.remedy().contains("here"), "{}", error.remedy());
}
