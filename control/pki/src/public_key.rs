//! Public keys of certificates (RFC 5280, 4.1.2.7; RFC 3279, 5480, 8410), and whether a signature is theirs.

use std::fmt;

use const_oid::db::{rfc5912, rfc8410};
use der::Decode as _;
use rsa::traits::PublicKeyParts as _;
use sha2::Digest as _;
use signature::hazmat::PrehashVerifier as _;
use spki::SubjectPublicKeyInfoRef;
use thiserror::Error;

use crate::algorithm::{Digest, SignatureAlgorithm};

/// Shorter RSA keys are refused (RFC 8247, 4.1).
const RSA_BITS_MIN: usize = 2048;
/// Longer ones only keep the pool busy.
const RSA_BITS_MAX: usize = 8192;
/// The field of P-521.
const P521_BYTES: usize = 66;

/// A public key.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    key: Key,
    /// The `SubjectPublicKeyInfo`, as it came.
    info: Vec<u8>,
}

#[derive(Clone, PartialEq, Eq)]
enum Key {
    Rsa(Box<rsa::PublicKey>),
    P256(Box<p256::ecdsa::VerifyingKey>),
    P384(Box<p384::ecdsa::VerifyingKey>),
    P521(Box<p521::ecdsa::VerifyingKey>),
    Ed25519(Box<ed25519_dalek::VerifyingKey>),
}

/// What a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// RSA.
    Rsa {
        /// Bits of the modulus.
        bits: usize,
    },
    /// NIST P-256.
    P256,
    /// NIST P-384.
    P384,
    /// NIST P-521.
    P521,
    /// Ed25519.
    Ed25519,
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa { bits } => write!(f, "RSA with {bits} bits"),
            Self::P256 => f.write_str("ECDSA P-256"),
            Self::P384 => f.write_str("ECDSA P-384"),
            Self::P521 => f.write_str("ECDSA P-521"),
            Self::Ed25519 => f.write_str("Ed25519"),
        }
    }
}

/// Why a public key cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum KeyError {
    /// It is of another kind than RSA, ECDSA and Ed25519.
    #[error("keys of the kind {0} are not supported")]
    Unsupported(String),
    /// Too short, or too long to be checked in time.
    #[error("an RSA key of {bits} bits is not used: it takes {RSA_BITS_MIN} to {RSA_BITS_MAX}")]
    RsaBits {
        /// Bits of its modulus.
        bits: usize,
    },
    /// It cannot be read.
    #[error("the public key is broken")]
    Malformed,
}

/// Why a signature was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SignatureError {
    /// The key signs by another algorithm.
    #[error("the algorithm does not fit the key")]
    OtherAlgorithm,
    /// It is not this key's signature of this message.
    #[error("the signature is wrong")]
    Wrong,
}

impl PublicKey {
    /// Reads a `SubjectPublicKeyInfo`.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn from_der(info: &[u8]) -> Result<Self, KeyError> {
        let parsed = SubjectPublicKeyInfoRef::from_der(info).map_err(|_| KeyError::Malformed)?;
        let bits = parsed.subject_public_key.as_bytes().ok_or(KeyError::Malformed)?;
        let curve = || parsed.algorithm.parameters_oid().map_err(|_| KeyError::Malformed);
        let malformed = |_| KeyError::Malformed;
        let key = match parsed.algorithm.oid {
            rfc5912::RSA_ENCRYPTION | rfc5912::ID_RSASSA_PSS => rsa_key(bits)?,
            rfc5912::ID_EC_PUBLIC_KEY => match curve()? {
                rfc5912::SECP_256_R_1 => {
                    Key::P256(Box::new(p256::ecdsa::VerifyingKey::from_sec1_bytes(bits).map_err(malformed)?))
                }
                rfc5912::SECP_384_R_1 => {
                    Key::P384(Box::new(p384::ecdsa::VerifyingKey::from_sec1_bytes(bits).map_err(malformed)?))
                }
                rfc5912::SECP_521_R_1 => {
                    Key::P521(Box::new(p521::ecdsa::VerifyingKey::from_sec1_bytes(bits).map_err(malformed)?))
                }
                other => return Err(KeyError::Unsupported(format!("EC over {other}"))),
            },
            rfc8410::ID_ED_25519 => {
                let bytes = bits.try_into().map_err(|_| KeyError::Malformed)?;
                let key = ed25519_dalek::VerifyingKey::from_bytes(bytes).map_err(malformed)?;
                Key::Ed25519(Box::new(key))
            }
            other => return Err(KeyError::Unsupported(other.to_string())),
        };
        Ok(Self { key, info: info.to_vec() })
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> KeyKind {
        match &self.key {
            Key::Rsa(key) => KeyKind::Rsa { bits: rsa_bits(key) },
            Key::P256(_) => KeyKind::P256,
            Key::P384(_) => KeyKind::P384,
            Key::P521(_) => KeyKind::P521,
            Key::Ed25519(_) => KeyKind::Ed25519,
        }
    }

    /// SHA-1 over the `SubjectPublicKeyInfo`: how a CERTREQ payload names an authority (RFC 7296, 3.7).
    #[must_use]
    pub fn key_hash(&self) -> [u8; 20] {
        sha1::Sha1::digest(&self.info).into()
    }

    /// The `SubjectPublicKeyInfo`.
    #[must_use]
    pub fn info(&self) -> &[u8] {
        &self.info
    }

    /// Whether `signature` is this key's over `message`; 0.05 to 1 ms.
    ///
    /// # Errors
    /// [`SignatureError`].
    pub fn verify(
        &self,
        algorithm: SignatureAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureError> {
        match (&self.key, algorithm) {
            (Key::Rsa(key), SignatureAlgorithm::RsaPkcs1(digest)) => {
                verify_pkcs1(key, digest, message, signature)
            }
            (Key::Rsa(key), SignatureAlgorithm::RsaPss { digest, salt_bytes }) => {
                verify_pss(key, digest, salt_bytes, message, signature)
            }
            (Key::P256(key), SignatureAlgorithm::Ecdsa(digest)) => {
                verify_p256(key, digest, message, signature)
            }
            (Key::P384(key), SignatureAlgorithm::Ecdsa(digest)) => {
                let signature = p384::ecdsa::Signature::from_der(signature).map_err(wrong)?;
                key.verify_prehash(&digest.of(message), &signature).map_err(wrong)
            }
            (Key::P521(key), SignatureAlgorithm::Ecdsa(digest)) => {
                let signature = p521::ecdsa::Signature::from_der(signature).map_err(wrong)?;
                key.verify_prehash(&widened(&digest.of(message)), &signature).map_err(wrong)
            }
            (Key::Ed25519(key), SignatureAlgorithm::Ed25519) => {
                let signature = ed25519_dalek::Signature::from_slice(signature).map_err(wrong)?;
                key.verify_strict(message, &signature).map_err(wrong)
            }
            _ => Err(SignatureError::OtherAlgorithm),
        }
    }

    /// The hash by which `signature` is this RSA key's over `message` with the padding of PKCS#1 v1.5 (RFC 8017, 8.2.2), where nothing but the signature itself
    /// says which: one computation, whatever the hash.
    ///
    /// # Errors
    /// [`SignatureError`].
    pub fn verify_rsa_pkcs1(&self, message: &[u8], signature: &[u8]) -> Result<Digest, SignatureError> {
        let Key::Rsa(key) = &self.key else { return Err(SignatureError::OtherAlgorithm) };
        if signature.len() != key.size() {
            return Err(SignatureError::Wrong);
        }
        let value = rsa::BoxedUint::from_be_slice(signature, key.n_bits_precision()).map_err(wrong)?;
        if value >= *key.n().as_ref() {
            return Err(SignatureError::Wrong);
        }
        let encoded = rsa::hazmat::rsa_encrypt(&**key, &value).map_err(wrong)?.to_be_bytes();
        // As wide as the modulus; the library's numbers are as wide as its words.
        let encoded = encoded.get(encoded.len() - signature.len()..).ok_or(SignatureError::Wrong)?;
        let mut digests = [Digest::Sha256, Digest::Sha384, Digest::Sha512, Digest::Sha1].into_iter();
        digests
            .find(|digest| pkcs1_encoded(*digest, message, signature.len()) == encoded)
            .ok_or(SignatureError::Wrong)
    }

    /// Whether a signature of IKEv1 over a hash is this key's: RSA, padded as PKCS#1 pads, without the hash's name (RFC 2409, 5.1), or ECDSA in the form of RFC 4754.
    ///
    /// # Errors
    /// [`SignatureError`].
    pub fn verify_bare(&self, hash: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
        match &self.key {
            Key::Rsa(key) => key.verify(rsa::Pkcs1v15Sign::new_unprefixed(), hash, signature).map_err(wrong),
            Key::P256(key) => {
                let signature = p256::ecdsa::Signature::from_slice(signature).map_err(wrong)?;
                key.verify_prehash(hash, &signature).map_err(wrong)
            }
            Key::P384(key) => {
                let signature = p384::ecdsa::Signature::from_slice(signature).map_err(wrong)?;
                key.verify_prehash(hash, &signature).map_err(wrong)
            }
            Key::P521(key) => {
                let signature = p521::ecdsa::Signature::from_slice(signature).map_err(wrong)?;
                key.verify_prehash(&widened(hash), &signature).map_err(wrong)
            }
            Key::Ed25519(_) => Err(SignatureError::OtherAlgorithm),
        }
    }

    /// Whether an ECDSA signature is this key's, in the form of RFC 4754: both numbers, each as long as the curve's field.
    ///
    /// # Errors
    /// [`SignatureError`].
    pub fn verify_plain_ecdsa(
        &self,
        digest: Digest,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureError> {
        let der = match &self.key {
            Key::P256(_) => {
                p256::ecdsa::Signature::from_slice(signature).map_err(wrong)?.to_der().as_bytes().to_vec()
            }
            Key::P384(_) => {
                p384::ecdsa::Signature::from_slice(signature).map_err(wrong)?.to_der().as_bytes().to_vec()
            }
            Key::P521(_) => {
                p521::ecdsa::Signature::from_slice(signature).map_err(wrong)?.to_der().as_bytes().to_vec()
            }
            Key::Rsa(_) | Key::Ed25519(_) => return Err(SignatureError::OtherAlgorithm),
        };
        self.verify(SignatureAlgorithm::Ecdsa(digest), message, &der)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.kind())
    }
}

fn rsa_key(bits: &[u8]) -> Result<Key, KeyError> {
    let parsed = rsa::pkcs1::RsaPublicKeyRef::from_der(bits).map_err(|_| KeyError::Malformed)?;
    let modulus = parsed.modulus.as_bytes();
    let unused = modulus.first().map_or(0, |first| first.leading_zeros());
    let length = 8 * modulus.len() - usize::try_from(unused).unwrap_or(0);
    if !(RSA_BITS_MIN..=RSA_BITS_MAX).contains(&length) {
        return Err(KeyError::RsaBits { bits: length });
    }
    let key = rsa::PublicKey::new_with_size_limits(
        rsa::BoxedUint::from_be_slice_vartime(modulus),
        rsa::BoxedUint::from_be_slice_vartime(parsed.public_exponent.as_bytes()),
        RSA_BITS_MIN..=RSA_BITS_MAX,
    );
    key.map(|key| Key::Rsa(Box::new(key))).map_err(|_| KeyError::Malformed)
}

fn rsa_bits(key: &rsa::PublicKey) -> usize {
    usize::try_from(key.n().bit_width()).unwrap_or(usize::MAX)
}

fn verify_pkcs1(
    key: &rsa::PublicKey,
    digest: Digest,
    message: &[u8],
    signature: &[u8],
) -> Result<(), SignatureError> {
    key.verify(pkcs1_scheme(digest), &digest.of(message), signature).map_err(wrong)
}

/// What an RSA signature with PKCS#1 v1.5 padding covers (RFC 8017, 9.2), for a modulus of `bytes`: a key here has room for any of the hashes.
fn pkcs1_encoded(digest: Digest, message: &[u8], bytes: usize) -> Vec<u8> {
    let (prefix, hash) = (pkcs1_scheme(digest).prefix, digest.of(message));
    let padding = vec![0xff; bytes.saturating_sub(3 + prefix.len() + hash.len())];
    [&[0, 1][..], &padding, &[0], &prefix, &hash].concat()
}

pub(crate) fn pkcs1_scheme(digest: Digest) -> rsa::Pkcs1v15Sign {
    match digest {
        Digest::Sha1 => rsa::Pkcs1v15Sign::new::<sha1::Sha1>(),
        Digest::Sha256 => rsa::Pkcs1v15Sign::new::<sha2::Sha256>(),
        Digest::Sha384 => rsa::Pkcs1v15Sign::new::<sha2::Sha384>(),
        Digest::Sha512 => rsa::Pkcs1v15Sign::new::<sha2::Sha512>(),
    }
}

fn verify_pss(
    key: &rsa::PublicKey,
    digest: Digest,
    salt_bytes: u8,
    message: &[u8],
    signature: &[u8],
) -> Result<(), SignatureError> {
    let (hashed, salt) = (digest.of(message), usize::from(salt_bytes));
    match digest {
        Digest::Sha1 => key.verify(rsa::Pss::<sha1::Sha1>::new_with_salt(salt), &hashed, signature),
        Digest::Sha256 => key.verify(rsa::Pss::<sha2::Sha256>::new_with_salt(salt), &hashed, signature),
        Digest::Sha384 => key.verify(rsa::Pss::<sha2::Sha384>::new_with_salt(salt), &hashed, signature),
        Digest::Sha512 => key.verify(rsa::Pss::<sha2::Sha512>::new_with_salt(salt), &hashed, signature),
    }
    .map_err(wrong)
}

/// `ring` where it can: six times faster than the portable code, and the most frequent of all signatures.
fn verify_p256(
    key: &p256::ecdsa::VerifyingKey,
    digest: Digest,
    message: &[u8],
    signature: &[u8],
) -> Result<(), SignatureError> {
    let by_ring: &dyn ring::signature::VerificationAlgorithm = match digest {
        Digest::Sha256 => &ring::signature::ECDSA_P256_SHA256_ASN1,
        Digest::Sha384 => &ring::signature::ECDSA_P256_SHA384_ASN1,
        Digest::Sha1 | Digest::Sha512 => {
            let signature = p256::ecdsa::Signature::from_der(signature).map_err(wrong)?;
            return key.verify_prehash(&digest.of(message), &signature).map_err(wrong);
        }
    };
    let point = key.to_sec1_point(false);
    ring::signature::UnparsedPublicKey::new(by_ring, point.as_bytes())
        .verify(message, signature)
        .map_err(|_| SignatureError::Wrong)
}

/// A hash with zeros in front, as long as the field of P-521: the library refuses hashes of less than half of it.
pub(crate) fn widened(hash: &[u8]) -> [u8; P521_BYTES] {
    let mut wide = [0; P521_BYTES];
    wide[P521_BYTES - hash.len()..].copy_from_slice(hash);
    wide
}

fn wrong<E>(_: E) -> SignatureError {
    SignatureError::Wrong
}
