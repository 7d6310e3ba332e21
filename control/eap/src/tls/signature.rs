//! Keys and signatures of TLS by `crossgate-pki`: the gateway's private key stays where it is zeroized, and a client's key is the one that its certificate was checked with.

use std::sync::Arc;

use crossgate_pki::{Credential, Digest, KeyKind, PublicKey, SignatureAlgorithm};
use rustls::crypto::CryptoProvider;
use rustls::sign::{Signer, SigningKey};
use rustls::{Error, SignatureScheme};
use zeroize::Zeroizing;

/// The schemes that are spoken, the most wanted first (RFC 8446, 4.2.3).
pub(super) const SCHEMES: [(SignatureScheme, SignatureAlgorithm); 10] = [
    (SignatureScheme::ECDSA_NISTP256_SHA256, SignatureAlgorithm::Ecdsa(Digest::Sha256)),
    (SignatureScheme::ECDSA_NISTP384_SHA384, SignatureAlgorithm::Ecdsa(Digest::Sha384)),
    (SignatureScheme::ECDSA_NISTP521_SHA512, SignatureAlgorithm::Ecdsa(Digest::Sha512)),
    (SignatureScheme::ED25519, SignatureAlgorithm::Ed25519),
    (SignatureScheme::RSA_PSS_SHA256, SignatureAlgorithm::pss(Digest::Sha256)),
    (SignatureScheme::RSA_PSS_SHA384, SignatureAlgorithm::pss(Digest::Sha384)),
    (SignatureScheme::RSA_PSS_SHA512, SignatureAlgorithm::pss(Digest::Sha512)),
    (SignatureScheme::RSA_PKCS1_SHA256, SignatureAlgorithm::RsaPkcs1(Digest::Sha256)),
    (SignatureScheme::RSA_PKCS1_SHA384, SignatureAlgorithm::RsaPkcs1(Digest::Sha384)),
    (SignatureScheme::RSA_PKCS1_SHA512, SignatureAlgorithm::RsaPkcs1(Digest::Sha512)),
];

/// Whether a key signs by a scheme; in TLS 1.3 that names the curve (RFC 8446, 4.2.3), and earlier peers lose nothing by it.
fn is_for(kind: KeyKind, scheme: SignatureScheme) -> bool {
    match scheme {
        SignatureScheme::ECDSA_NISTP256_SHA256 => kind == KeyKind::P256,
        SignatureScheme::ECDSA_NISTP384_SHA384 => kind == KeyKind::P384,
        SignatureScheme::ECDSA_NISTP521_SHA512 => kind == KeyKind::P521,
        SignatureScheme::ED25519 => kind == KeyKind::Ed25519,
        _ => matches!(kind, KeyKind::Rsa { .. }),
    }
}

/// Whether `signature` is that key's.
pub(super) fn is_by(key: &PublicKey, scheme: SignatureScheme, message: &[u8], signature: &[u8]) -> bool {
    let known = SCHEMES.iter().find(|(known, _)| *known == scheme && is_for(key.kind(), scheme));
    known.is_some_and(|(_, algorithm)| key.verify(*algorithm, message, signature).is_ok())
}

/// The gateway's key.
#[derive(Clone, Debug)]
pub(super) struct OwnKey {
    pub(super) credential: Arc<Credential>,
    /// Where the seeds of signatures come from.
    pub(super) provider: Arc<CryptoProvider>,
}

/// It with a scheme.
#[derive(Debug)]
struct OwnSigner {
    key: OwnKey,
    scheme: SignatureScheme,
    algorithm: SignatureAlgorithm,
}

impl SigningKey for OwnKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let kind = self.credential.key().public_key().kind();
        let fits = |(scheme, _): &&(SignatureScheme, SignatureAlgorithm)| {
            offered.contains(scheme) && is_for(kind, *scheme)
        };
        let (scheme, algorithm) = SCHEMES.iter().find(fits)?;
        Some(Box::new(OwnSigner { key: self.clone(), scheme: *scheme, algorithm: *algorithm }))
    }

    fn algorithm(&self) -> rustls::SignatureAlgorithm {
        match self.credential.key().public_key().kind() {
            KeyKind::Rsa { .. } => rustls::SignatureAlgorithm::RSA,
            KeyKind::P256 | KeyKind::P384 | KeyKind::P521 => rustls::SignatureAlgorithm::ECDSA,
            KeyKind::Ed25519 => rustls::SignatureAlgorithm::ED25519,
        }
    }
}

impl Signer for OwnSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let mut seed = Zeroizing::new([0; 32]);
        self.key.provider.secure_random.fill(seed.as_mut_slice())?;
        let signed = self.key.credential.key().sign(self.algorithm, message, seed);
        signed.map_err(|error| Error::General(error.to_string()))
    }

    fn scheme(&self) -> SignatureScheme {
        self.scheme
    }
}
