//! Signature algorithms: their DER identifiers, as certificates (RFC 5280, 4.1.1.2) and AUTH payloads (RFC 7427, 3 and appendix A) carry them.

use std::fmt;

use const_oid::ObjectIdentifier;
use const_oid::db::{rfc5912, rfc8410};
use der::asn1::AnyRef;
use der::{Decode as _, Encode as _};
use rsa::pkcs1::{RsaPssParamsOwned, RsaPssParamsRef};
use sha2::Digest as _;
use spki::AlgorithmIdentifierRef;

/// A hash function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Digest {
    /// SHA-1: broken; known so that it can be named, and for peers that know nothing else if the operator allows it.
    Sha1,
    /// SHA2-256.
    Sha256,
    /// SHA2-384.
    Sha384,
    /// SHA2-512.
    Sha512,
}

impl Digest {
    /// The hash of `message`.
    #[must_use]
    pub fn of(self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha1 => sha1::Sha1::digest(message).to_vec(),
            Self::Sha256 => sha2::Sha256::digest(message).to_vec(),
            Self::Sha384 => sha2::Sha384::digest(message).to_vec(),
            Self::Sha512 => sha2::Sha512::digest(message).to_vec(),
        }
    }

    const fn bytes(self) -> u8 {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    const fn oid(self) -> ObjectIdentifier {
        match self {
            Self::Sha1 => rfc5912::ID_SHA_1,
            Self::Sha256 => rfc5912::ID_SHA_256,
            Self::Sha384 => rfc5912::ID_SHA_384,
            Self::Sha512 => rfc5912::ID_SHA_512,
        }
    }

    pub(crate) fn from_oid(oid: ObjectIdentifier) -> Option<Self> {
        [Self::Sha1, Self::Sha256, Self::Sha384, Self::Sha512].into_iter().find(|digest| digest.oid() == oid)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sha1 => "SHA-1",
            Self::Sha256 => "SHA2-256",
            Self::Sha384 => "SHA2-384",
            Self::Sha512 => "SHA2-512",
        })
    }
}

/// How a signature is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SignatureAlgorithm {
    /// RSASSA-PKCS1-v1_5 (RFC 8017, 8.2).
    RsaPkcs1(Digest),
    /// RSASSA-PSS (RFC 8017, 8.1), MGF1 with the same hash.
    RsaPss {
        /// The hash.
        digest: Digest,
        /// Length of the salt.
        salt_bytes: u8,
    },
    /// ECDSA; the curve is the key's. Signatures are DER (RFC 3279, 2.2.3).
    Ecdsa(Digest),
    /// Ed25519 (RFC 8032), not prehashed.
    Ed25519,
}

/// An identifier of an algorithm that is not spoken here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature algorithm {0} is not supported")]
pub struct UnknownAlgorithm(pub String);

impl SignatureAlgorithm {
    /// RSASSA-PSS with a salt as long as the hash.
    #[must_use]
    pub const fn pss(digest: Digest) -> Self {
        Self::RsaPss { digest, salt_bytes: digest.bytes() }
    }

    /// The hash that it signs; `None` for Ed25519, which signs the message.
    #[must_use]
    pub const fn digest(self) -> Option<Digest> {
        match self {
            Self::RsaPkcs1(digest) | Self::RsaPss { digest, .. } | Self::Ecdsa(digest) => Some(digest),
            Self::Ed25519 => None,
        }
    }

    /// Whether it rests on a broken hash.
    #[must_use]
    pub fn is_weak(self) -> bool {
        self.digest() == Some(Digest::Sha1)
    }

    /// The `AlgorithmIdentifier`.
    ///
    /// # Panics
    /// Never: each of them is a few bytes.
    #[must_use]
    pub fn to_der(self) -> Vec<u8> {
        let encoded = match self {
            Self::RsaPss { digest: Digest::Sha1, salt_bytes } => pss_der::<sha1::Sha1>(salt_bytes),
            Self::RsaPss { digest: Digest::Sha256, salt_bytes } => pss_der::<sha2::Sha256>(salt_bytes),
            Self::RsaPss { digest: Digest::Sha384, salt_bytes } => pss_der::<sha2::Sha384>(salt_bytes),
            Self::RsaPss { digest: Digest::Sha512, salt_bytes } => pss_der::<sha2::Sha512>(salt_bytes),
            Self::RsaPkcs1(digest) => plain_der(rsa_oid(digest), Some(AnyRef::NULL)),
            Self::Ecdsa(digest) => plain_der(ecdsa_oid(digest), None),
            Self::Ed25519 => plain_der(rfc8410::ID_ED_25519, None),
        };
        encoded.expect("an algorithm identifier of a few bytes is DER")
    }

    /// Reads an `AlgorithmIdentifier` that fills `der` to its end.
    ///
    /// # Errors
    /// [`UnknownAlgorithm`], also for parameters that no algorithm here has.
    pub fn from_der(der: &[u8]) -> Result<Self, UnknownAlgorithm> {
        let identifier = AlgorithmIdentifierRef::from_der(der)
            .map_err(|_| UnknownAlgorithm("with an identifier that is not DER".to_owned()))?;
        Self::from_identifier(identifier)
    }

    pub(crate) fn from_identifier(identifier: AlgorithmIdentifierRef<'_>) -> Result<Self, UnknownAlgorithm> {
        let unknown = || UnknownAlgorithm(identifier.oid.to_string());
        let AlgorithmIdentifierRef { oid, parameters } = identifier;
        if oid == rfc5912::ID_RSASSA_PSS {
            return from_pss(parameters.ok_or_else(unknown)?).ok_or_else(unknown);
        }
        let digests = [Digest::Sha1, Digest::Sha256, Digest::Sha384, Digest::Sha512];
        let is_null = parameters.is_none_or(|parameters| parameters == AnyRef::NULL);
        let found = digests
            .into_iter()
            .find_map(|digest| {
                (rsa_oid(digest) == oid && is_null)
                    .then_some(Self::RsaPkcs1(digest))
                    .or((ecdsa_oid(digest) == oid && parameters.is_none()).then_some(Self::Ecdsa(digest)))
            })
            .or((oid == rfc8410::ID_ED_25519 && parameters.is_none()).then_some(Self::Ed25519));
        found.ok_or_else(unknown)
    }
}

fn plain_der(oid: ObjectIdentifier, parameters: Option<AnyRef<'_>>) -> der::Result<Vec<u8>> {
    AlgorithmIdentifierRef { oid, parameters }.to_der()
}

fn pss_der<D: const_oid::AssociatedOid>(salt_bytes: u8) -> der::Result<Vec<u8>> {
    let parameters = RsaPssParamsRef::new::<D>(salt_bytes).to_der()?;
    plain_der(rfc5912::ID_RSASSA_PSS, Some(AnyRef::from_der(&parameters)?))
}

fn from_pss(parameters: AnyRef<'_>) -> Option<SignatureAlgorithm> {
    let encoded = parameters.to_der().ok()?;
    let parameters = RsaPssParamsOwned::from_der(&encoded).ok()?;
    let digest = Digest::from_oid(parameters.hash.oid)?;
    let of_mask = parameters.mask_gen.parameters.and_then(|mask| Digest::from_oid(mask.oid))?;
    (parameters.mask_gen.oid == rfc5912::ID_MGF_1 && of_mask == digest)
        .then_some(SignatureAlgorithm::RsaPss { digest, salt_bytes: parameters.salt_len })
}

const fn rsa_oid(digest: Digest) -> ObjectIdentifier {
    match digest {
        Digest::Sha1 => rfc5912::SHA_1_WITH_RSA_ENCRYPTION,
        Digest::Sha256 => rfc5912::SHA_256_WITH_RSA_ENCRYPTION,
        Digest::Sha384 => rfc5912::SHA_384_WITH_RSA_ENCRYPTION,
        Digest::Sha512 => rfc5912::SHA_512_WITH_RSA_ENCRYPTION,
    }
}

const fn ecdsa_oid(digest: Digest) -> ObjectIdentifier {
    match digest {
        Digest::Sha1 => ObjectIdentifier::new_unwrap("1.2.840.10045.4.1"),
        Digest::Sha256 => rfc5912::ECDSA_WITH_SHA_256,
        Digest::Sha384 => rfc5912::ECDSA_WITH_SHA_384,
        Digest::Sha512 => rfc5912::ECDSA_WITH_SHA_512,
    }
}

impl fmt::Display for SignatureAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RsaPkcs1(digest) => write!(f, "RSA PKCS#1 with {digest}"),
            Self::RsaPss { digest, .. } => write!(f, "RSA PSS with {digest}"),
            Self::Ecdsa(digest) => write!(f, "ECDSA with {digest}"),
            Self::Ed25519 => f.write_str("Ed25519"),
        }
    }
}

#[cfg(test)]
mod tests {
    use hex_literal::hex;

    use super::*;

    #[test]
    fn identifiers_are_those_of_rfc_7427_appendix_a() {
        let known: [(SignatureAlgorithm, &[u8]); 6] = [
            (SignatureAlgorithm::RsaPkcs1(Digest::Sha256), &hex!("300d06092a864886f70d01010b0500")),
            (SignatureAlgorithm::RsaPkcs1(Digest::Sha512), &hex!("300d06092a864886f70d01010d0500")),
            (SignatureAlgorithm::Ecdsa(Digest::Sha256), &hex!("300a06082a8648ce3d040302")),
            (SignatureAlgorithm::Ecdsa(Digest::Sha512), &hex!("300a06082a8648ce3d040304")),
            (
                SignatureAlgorithm::pss(Digest::Sha256),
                &hex!(
                    "304106092a864886f70d01010a3034a00f300d06096086480165030402010500a11c301a06092a864886f70d010108"
                    "300d06096086480165030402010500a203020120"
                ),
            ),
            (SignatureAlgorithm::Ed25519, &hex!("300506032b6570")),
        ];
        for (algorithm, der) in known {
            assert_eq!(algorithm.to_der(), der, "{algorithm}");
            assert_eq!(SignatureAlgorithm::from_der(der), Ok(algorithm));
        }
    }

    #[test]
    fn what_is_not_spoken_is_named() {
        // dsa-with-sha256, PSS without parameters (SHA-1 by default), and bytes that are no DER.
        assert!(SignatureAlgorithm::from_der(&hex!("300b0609608648016503040302")).is_err());
        assert!(SignatureAlgorithm::from_der(&hex!("300b06092a864886f70d01010a")).is_err());
        let error = SignatureAlgorithm::from_der(b"junk").unwrap_err();
        assert!(error.to_string().contains("not DER"), "{error}");
    }
}
