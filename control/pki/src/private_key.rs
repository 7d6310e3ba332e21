//! Private keys: read from PEM, zeroized by the crates that hold them, and what they sign.
//!
//! Signing draws no randomness of its own: ECDSA is deterministic (RFC 6979), Ed25519 is by design, and RSA's salt and blinding come from a
//! seed that the caller hands in.

use std::fmt;

use chacha20::ChaCha20Rng;
use chacha20::rand_core::SeedableRng as _;
use const_oid::ObjectIdentifier;
use const_oid::db::{rfc5912, rfc8410};
use der::Decode as _;
use pkcs8::{DecodePrivateKey as _, EncodePublicKey as _, PrivateKeyInfoRef};
use rsa::pkcs1::DecodeRsaPrivateKey as _;
use signature::Signer as _;
use signature::hazmat::PrehashSigner as _;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::algorithm::{Digest, SignatureAlgorithm};
use crate::pem;
use crate::public_key::{PublicKey, SignatureError, pkcs1_scheme, widened};

/// A private key. Zeroized on drop; printed as its kind alone.
pub struct PrivateKey {
    key: Key,
    public: PublicKey,
}

enum Key {
    Rsa(Box<rsa::PrivateKey>),
    P256(Box<p256::ecdsa::SigningKey>),
    P384(Box<p384::ecdsa::SigningKey>),
    P521(Box<p521::ecdsa::SigningKey>),
    Ed25519(Box<ed25519_dalek::SigningKey>),
}

/// Why a private key cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PrivateKeyError {
    /// No PEM block with a private key.
    #[error("the file holds no private key in PEM")]
    Missing,
    /// It is locked by a password.
    #[error("the private key is encrypted")]
    Encrypted,
    /// It is not of a kind that signs here.
    #[error("private keys of the kind {0} are not supported")]
    Unsupported(String),
    /// It cannot be read.
    #[error("the private key is broken")]
    Malformed,
    /// Its public half cannot be used.
    #[error(transparent)]
    Public(#[from] crate::public_key::KeyError),
}

impl PrivateKeyError {
    /// What to do about it.
    #[must_use]
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::Encrypted => {
                "take the password off: (umask 077; openssl pkey -in FILE -out NEW), and name NEW"
            }
            Self::Missing | Self::Malformed => {
                "name a file with -----BEGIN PRIVATE KEY----- (PKCS#8), as openssl genpkey writes it"
            }
            Self::Unsupported(_) | Self::Public(_) => {
                "make a key of ECDSA P-256, P-384 or P-521, Ed25519, or RSA with 2048 to 8192 bits, and have a certificate issued for it"
            }
        }
    }
}

impl PrivateKey {
    /// Reads the first private key of a PEM file: PKCS#8, or the older forms of RSA (PKCS#1) and EC (SEC 1).
    ///
    /// # Errors
    /// [`PrivateKeyError`].
    pub fn from_pem(text: &[u8]) -> Result<Self, PrivateKeyError> {
        for block in pem::blocks(text) {
            let block = block.map_err(|_| PrivateKeyError::Malformed)?;
            let key = match block.label {
                "PRIVATE KEY" => from_pkcs8(&block.der)?,
                "RSA PRIVATE KEY" => from_pkcs1(&block.der)?,
                "EC PRIVATE KEY" => from_sec1(&block.der)?,
                "ENCRYPTED PRIVATE KEY" => return Err(PrivateKeyError::Encrypted),
                _ => continue,
            };
            let info = key.public_info().ok_or(PrivateKeyError::Malformed)?;
            return Ok(Self { public: PublicKey::from_der(&info)?, key });
        }
        Err(PrivateKeyError::Missing)
    }

    /// Its public half.
    #[must_use]
    pub const fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// Signs; 0.02 ms (Ed25519) to some 15 ms (RSA with 4096 bits). `seed` must be unpredictable and used once.
    ///
    /// # Errors
    /// [`SignatureError::OtherAlgorithm`] if the key signs by another algorithm or is too short for it.
    pub fn sign(
        &self,
        algorithm: SignatureAlgorithm,
        message: &[u8],
        seed: Zeroizing<[u8; 32]>,
    ) -> Result<Vec<u8>, SignatureError> {
        let other = |_| SignatureError::OtherAlgorithm;
        match (&self.key, algorithm) {
            (Key::Rsa(key), SignatureAlgorithm::RsaPkcs1(digest)) => {
                let mut random = ChaCha20Rng::from_seed(*seed);
                key.sign_with_rng(&mut random, pkcs1_scheme(digest), &digest.of(message))
                    .map_err(|_| SignatureError::OtherAlgorithm)
            }
            (Key::Rsa(key), SignatureAlgorithm::RsaPss { digest, salt_bytes }) => {
                sign_pss(key, digest, salt_bytes, message, &seed)
            }
            (Key::P256(key), SignatureAlgorithm::Ecdsa(digest)) => {
                let signature: p256::ecdsa::Signature =
                    key.sign_prehash(&digest.of(message)).map_err(other)?;
                Ok(signature.to_der().as_bytes().to_vec())
            }
            (Key::P384(key), SignatureAlgorithm::Ecdsa(digest)) => {
                let signature: p384::ecdsa::Signature =
                    key.sign_prehash(&digest.of(message)).map_err(other)?;
                Ok(signature.to_der().as_bytes().to_vec())
            }
            (Key::P521(key), SignatureAlgorithm::Ecdsa(digest)) => {
                let hashed = widened(&digest.of(message));
                let signature: p521::ecdsa::Signature = key.sign_prehash(&hashed).map_err(other)?;
                Ok(signature.to_der().as_bytes().to_vec())
            }
            (Key::Ed25519(key), SignatureAlgorithm::Ed25519) => Ok(key.sign(message).to_vec()),
            _ => Err(SignatureError::OtherAlgorithm),
        }
    }

    /// Signs a hash as IKEv1 does: by RSA, padded as PKCS#1 pads, but without the hash's name (RFC 2409, 5.1); by ECDSA in the form of RFC 4754.
    ///
    /// # Errors
    /// [`SignatureError::OtherAlgorithm`] if the key is of neither kind.
    pub fn sign_bare(&self, hash: &[u8], seed: Zeroizing<[u8; 32]>) -> Result<Vec<u8>, SignatureError> {
        let other = |_| SignatureError::OtherAlgorithm;
        match &self.key {
            Key::Rsa(key) => {
                let mut random = ChaCha20Rng::from_seed(*seed);
                key.sign_with_rng(&mut random, rsa::Pkcs1v15Sign::new_unprefixed(), hash)
                    .map_err(|_| SignatureError::OtherAlgorithm)
            }
            Key::P256(key) => {
                let signature: p256::ecdsa::Signature = key.sign_prehash(hash).map_err(other)?;
                Ok(signature.to_vec())
            }
            Key::P384(key) => {
                let signature: p384::ecdsa::Signature = key.sign_prehash(hash).map_err(other)?;
                Ok(signature.to_vec())
            }
            Key::P521(key) => {
                let signature: p521::ecdsa::Signature = key.sign_prehash(&widened(hash)).map_err(other)?;
                Ok(signature.to_vec())
            }
            Key::Ed25519(_) => Err(SignatureError::OtherAlgorithm),
        }
    }

    /// An ECDSA signature in the form of RFC 4754: both numbers, each as long as the curve's field.
    ///
    /// # Errors
    /// [`SignatureError::OtherAlgorithm`] if this is no ECDSA key.
    pub fn sign_plain_ecdsa(&self, digest: Digest, message: &[u8]) -> Result<Vec<u8>, SignatureError> {
        let seed = Zeroizing::new([0; 32]); // not used by ECDSA
        let der = self.sign(SignatureAlgorithm::Ecdsa(digest), message, seed)?;
        let plain = match &self.key {
            Key::P256(_) => p256::ecdsa::Signature::from_der(&der).map(|signature| signature.to_vec()),
            Key::P384(_) => p384::ecdsa::Signature::from_der(&der).map(|signature| signature.to_vec()),
            Key::P521(_) => p521::ecdsa::Signature::from_der(&der).map(|signature| signature.to_vec()),
            Key::Rsa(_) | Key::Ed25519(_) => return Err(SignatureError::OtherAlgorithm),
        };
        plain.map_err(|_| SignatureError::OtherAlgorithm)
    }
}

fn sign_pss(
    key: &rsa::PrivateKey,
    digest: Digest,
    salt_bytes: u8,
    message: &[u8],
    seed: &[u8; 32],
) -> Result<Vec<u8>, SignatureError> {
    let (hashed, salt) = (digest.of(message), usize::from(salt_bytes));
    let random = &mut ChaCha20Rng::from_seed(*seed);
    match digest {
        Digest::Sha1 => return Err(SignatureError::OtherAlgorithm),
        Digest::Sha256 => {
            key.sign_with_rng(random, rsa::Pss::<sha2::Sha256>::new_blinded_with_salt(salt), &hashed)
        }
        Digest::Sha384 => {
            key.sign_with_rng(random, rsa::Pss::<sha2::Sha384>::new_blinded_with_salt(salt), &hashed)
        }
        Digest::Sha512 => {
            key.sign_with_rng(random, rsa::Pss::<sha2::Sha512>::new_blinded_with_salt(salt), &hashed)
        }
    }
    .map_err(|_| SignatureError::OtherAlgorithm)
}

impl Key {
    fn public_info(&self) -> Option<Vec<u8>> {
        let document = match self {
            Self::Rsa(key) => key.to_public_key().to_public_key_der(),
            Self::P256(key) => p256::PublicKey::from(key.verifying_key()).to_public_key_der(),
            Self::P384(key) => p384::PublicKey::from(key.verifying_key()).to_public_key_der(),
            Self::P521(key) => p521::PublicKey::from(key.verifying_key()).to_public_key_der(),
            Self::Ed25519(key) => key.verifying_key().to_public_key_der(),
        };
        document.ok().map(|document| document.as_bytes().to_vec())
    }
}

fn malformed<E>(_: E) -> PrivateKeyError {
    PrivateKeyError::Malformed
}

fn from_pkcs8(der: &[u8]) -> Result<Key, PrivateKeyError> {
    let info = PrivateKeyInfoRef::from_der(der).map_err(malformed)?;
    match info.algorithm.oid {
        rfc5912::RSA_ENCRYPTION => from_pkcs1(info.private_key.as_bytes()),
        rfc5912::ID_EC_PUBLIC_KEY => match info.algorithm.parameters_oid().map_err(malformed)? {
            rfc5912::SECP_256_R_1 => {
                Ok(Key::P256(Box::new(p256::ecdsa::SigningKey::from_pkcs8_der(der).map_err(malformed)?)))
            }
            rfc5912::SECP_384_R_1 => {
                Ok(Key::P384(Box::new(p384::ecdsa::SigningKey::from_pkcs8_der(der).map_err(malformed)?)))
            }
            rfc5912::SECP_521_R_1 => {
                let key = p521::SecretKey::from_pkcs8_der(der).map_err(malformed)?;
                Ok(Key::P521(Box::new(p521::ecdsa::SigningKey::from(&key))))
            }
            other => Err(PrivateKeyError::Unsupported(format!("EC over {other}"))),
        },
        rfc8410::ID_ED_25519 => {
            Ok(Key::Ed25519(Box::new(ed25519_dalek::SigningKey::from_pkcs8_der(der).map_err(malformed)?)))
        }
        other => Err(PrivateKeyError::Unsupported(other.to_string())),
    }
}

fn from_pkcs1(der: &[u8]) -> Result<Key, PrivateKeyError> {
    rsa::PrivateKey::from_pkcs1_der(der).map(|key| Key::Rsa(Box::new(key))).map_err(malformed)
}

fn from_sec1(der: &[u8]) -> Result<Key, PrivateKeyError> {
    let parsed = sec1::EcPrivateKey::from_der(der).map_err(malformed)?;
    let curve: ObjectIdentifier = match parsed.parameters {
        Some(sec1::EcParameters::NamedCurve(curve)) => curve,
        None => return Err(PrivateKeyError::Malformed),
    };
    match curve {
        rfc5912::SECP_256_R_1 => {
            let key = p256::SecretKey::from_sec1_der(der).map_err(malformed)?;
            Ok(Key::P256(Box::new(p256::ecdsa::SigningKey::from(&key))))
        }
        rfc5912::SECP_384_R_1 => {
            let key = p384::SecretKey::from_sec1_der(der).map_err(malformed)?;
            Ok(Key::P384(Box::new(p384::ecdsa::SigningKey::from(&key))))
        }
        rfc5912::SECP_521_R_1 => {
            let key = p521::SecretKey::from_sec1_der(der).map_err(malformed)?;
            Ok(Key::P521(Box::new(p521::ecdsa::SigningKey::from(&key))))
        }
        other => Err(PrivateKeyError::Unsupported(format!("EC over {other}"))),
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({})", self.public.kind())
    }
}

impl PartialEq for PrivateKey {
    /// By the public halves: one public key has one private one.
    fn eq(&self, other: &Self) -> bool {
        self.public == other.public
    }
}

impl Eq for PrivateKey {}
