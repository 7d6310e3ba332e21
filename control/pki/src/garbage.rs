//! Certificates, CRLs, keys and algorithm identifiers with bytes that were changed: each is refused or read, what was read can be asked everything, and
//! nothing panics. `CROSSGATE_SEEDS=1000000` tries that many; `tests/fuzz/certificate.rs` does the same without an end.

use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng as _, SeedableRng as _};

use crate::testing::{Issued, NOW, Template, key_pem};
use crate::{
    Certificate, DistinguishedName, KeyKind, PrivateKey, PublicKey, RevocationList, SignatureAlgorithm,
    TrustStore, read_certificates, read_revocation_lists,
};

/// Changes some bytes, cuts, repeats or drops a piece.
fn changed(bytes: &[u8], random: &mut ChaCha20Rng) -> Vec<u8> {
    let mut draw =
        |below: usize| usize::try_from(random.next_u64() % u64::try_from(below.max(1)).unwrap()).unwrap();
    let mut bytes = bytes.to_vec();
    for _ in 0..=draw(4) {
        let (at, length) = (draw(bytes.len()), draw(9));
        let end = (at + length).min(bytes.len());
        match draw(8) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..end)),
            2 => {
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            // The ends of lengths and numbers.
            3 if at < bytes.len() => bytes[at] = [0, 1, 0x7f, 0x80, 0x81, 0x82, 0x84, 0xff][draw(8)],
            _ if at < bytes.len() => bytes[at] ^= 1 << draw(8),
            _ => {}
        }
    }
    bytes
}

fn ask_certificate(der: &[u8], root: &Issued, end: &Certificate) {
    let Ok(certificate) = Certificate::from_der(der) else { return };
    assert!(certificate.names().iter().all(|name| certificate.is_for(name)), "it is for whom it names");
    let again = || Certificate::from_der(der).unwrap();
    let told = |outcome: Result<(), crate::CertificateError>| outcome.map_err(|error| error.to_string());
    for store in [
        TrustStore::new(vec![root.certificate()], Vec::new()),
        TrustStore::new(vec![again()], Vec::new()),
        TrustStore::new(vec![root.certificate(), again()], Vec::new()),
    ] {
        let _ = told(store.verify(&certificate, &[again(), root.certificate()], NOW));
        let _ = told(store.verify(end, &[again(), root.certificate()], NOW));
        let _ = store.key_hashes();
    }
    let _ = (format!("{certificate:?}"), read_certificates(der));
}

#[test]
fn changed_bytes_are_refused_or_read_and_never_panic() {
    let count = std::env::var("CROSSGATE_SEEDS").ok().and_then(|count| count.parse().ok()).unwrap_or(3000);
    let root = Issued::root(&Template::authority("Root"), &key_pem(KeyKind::P256, 1));
    let middle = root.issue(&Template::authority("Middle"), &key_pem(KeyKind::P384, 2));
    let kinds = [KeyKind::Rsa { bits: 2048 }, KeyKind::P256, KeyKind::P384, KeyKind::P521, KeyKind::Ed25519];
    let ends = kinds.map(|kind| middle.issue(&Template::peer("gw.example.org"), &key_pem(kind, 3)));
    let list = middle.revocation_list(&[1, 2, 3], NOW);
    let algorithms = ends.each_ref().map(|end| {
        match PrivateKey::from_pem(end.key_pem.as_bytes()).unwrap().public_key().kind() {
            KeyKind::Rsa { .. } => SignatureAlgorithm::pss(crate::Digest::Sha256),
            KeyKind::Ed25519 => SignatureAlgorithm::Ed25519,
            _ => SignatureAlgorithm::Ecdsa(crate::Digest::Sha384),
        }
    });
    let mut random = ChaCha20Rng::from_seed([9; 32]);
    for seed in 0..count {
        let (end, algorithm) = (&ends[seed % 5], algorithms[seed % 5].to_der());
        let certificate = end.certificate();
        let der =
            [certificate.der(), middle.certificate().der(), root.certificate().der()][seed / 5 % 3].to_vec();
        ask_certificate(&changed(&der, &mut random), &root, &certificate);
        let list = changed(&list, &mut random);
        if let Ok(list) = RevocationList::from_der(&list) {
            let store = TrustStore::new(vec![root.certificate()], vec![list]);
            let _ = store.verify(&certificate, &[middle.certificate()], NOW);
        }
        let _ = read_revocation_lists(&list);
        let _ = SignatureAlgorithm::from_der(&changed(&algorithm, &mut random));
        let key = certificate.public_key().unwrap();
        if let Ok(key) = PublicKey::from_der(&changed(key.info(), &mut random)) {
            let _ = key.verify(
                algorithms[seed % 5],
                b"message",
                &changed(&[0x30, 6, 2, 1, 1, 2, 1, 1], &mut random),
            );
            let _ =
                key.verify_plain_ecdsa(crate::Digest::Sha256, b"message", &changed(&[1; 64], &mut random));
        }
        let _ = PrivateKey::from_pem(&changed(end.key_pem.as_bytes(), &mut random));
        let name = changed(certificate.subject().der(), &mut random);
        if let Ok(name) = DistinguishedName::from_der(&name) {
            let _ = name.to_string();
        }
    }
}
