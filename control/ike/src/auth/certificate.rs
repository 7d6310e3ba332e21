//! AUTH by signature with X.509 certificates (RFC 7296, 2.15, 3.6 to 3.8; RFC 7427; RFC 4754; RFC 8420): what is announced and asked for, how we sign, and
//! how a peer's proof is checked.
//!
//! Signing and checking take up to some milliseconds: IKE_AUTH packs them into a `Work` that leaves as a job. Paths, names and keys are the
//! business of `crossgate-pki`.

use std::mem::discriminant;
use std::sync::Arc;

use crossgate_pki::{
    CHAIN_MAX, Certificate, CertificateError, Credential, Digest, KeyKind, PublicKey, SignatureAlgorithm,
    TrustStore, UnixTime,
};
use zeroize::Zeroizing;

use super::{AuthVerified, Proof, ocsp};
use crate::error::IkeError;
use crate::identity::Identity;
use crate::wire::{
    AuthMethod, Authentication, CertEncoding, Certificate as CertificatePayload, CertificateRequest,
    HashAlgorithm, Message, Notify, NotifyType, Payload,
};

/// Hash algorithms that are announced (RFC 7427, 4; IDENTITY stands for Ed25519, RFC 8420, 2).
const HASHES: [HashAlgorithm; 4] =
    [HashAlgorithm::SHA2_256, HashAlgorithm::SHA2_384, HashAlgorithm::SHA2_512, HashAlgorithm::IDENTITY];
/// Most authorities that are named in one request: IKE_SA_INIT must fit a packet.
const AUTHORITIES_MAX: usize = 20;
const KEY_HASH_BYTES: usize = 20;

/// How one connection proves itself and whom it believes, by certificates.
#[derive(Debug, PartialEq, Eq)]
pub struct CertificateAuthentication {
    /// Our certificate, its intermediates and its private key.
    pub credential: Arc<Credential>,
    /// Whom we believe.
    pub trust: Arc<TrustStore>,
    /// How an RSA key signs for a peer that speaks RFC 7427.
    pub rsa_padding: RsaPadding,
    /// Whether RSA with SHA-1 is signed and accepted: for peers that know nothing but method 1 of RFC 7296.
    pub allow_sha1: bool,
}

/// Padding of RSA signatures. The peer's choice is not negotiated: RFC 7427 has every implementation accept both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RsaPadding {
    /// RSASSA-PSS.
    Pss,
    /// RSASSA-PKCS1-v1_5.
    Pkcs1,
}

/// How a proof is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    /// Method 14 (RFC 7427).
    Digital(SignatureAlgorithm),
    /// Method 1 (RFC 7296, 3.8).
    Rsa(Digest),
    /// Methods 9 to 11 (RFC 4754).
    Ecdsa(AuthMethod, Digest),
    /// RSA over a hash of IKEv1 (RFC 2409, 5.1).
    Bare,
}

/// What a peer's IKE_SA_INIT says about certificates.
#[derive(Debug, Default)]
pub(crate) struct Offer {
    /// The hashes that it accepts; `None` if it does not speak RFC 7427.
    hashes: Option<Vec<HashAlgorithm>>,
    /// The keys of the authorities that it trusts, as SHA-1 hashes; empty if it does not say.
    pub(crate) authorities: Vec<u8>,
    /// Whether it asks for OCSP responses about our certificates.
    pub(crate) wants_responses: bool,
}

/// One side's part of IKE_AUTH, to be done by the pool: a proof to check, one to make, or first the one and then, if it is right, the other.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) verify: Option<Verify>,
    pub(crate) sign: Option<Sign>,
}

/// What came of a [`Work`].
pub(crate) type Done = Result<(Option<AuthVerified>, Option<Proof>), IkeError>;

/// A peer's proof.
#[derive(Debug)]
pub(crate) struct Verify {
    by: Arc<CertificateAuthentication>,
    certificates: Vec<Vec<u8>>,
    /// OCSP responses.
    responses: Vec<Vec<u8>>,
    claimed: Identity,
    proof: Authentication,
    octets: Vec<u8>,
    /// Whether `octets` are a hash of IKEv1.
    is_bare: bool,
    now: UnixTime,
}

/// A proof of ours.
#[derive(Debug)]
pub(crate) struct Sign {
    by: Arc<CertificateAuthentication>,
    scheme: Scheme,
    octets: Vec<u8>,
    seed: Zeroizing<[u8; 32]>,
    /// What is signed besides, for a peer that may have no PPK, and the seed of that signature.
    without_ppk: Option<(Vec<u8>, Zeroizing<[u8; 32]>)>,
}

/// SIGNATURE_HASH_ALGORITHMS.
pub(crate) fn announcement() -> Payload {
    let data = HASHES.iter().flat_map(|hash| hash.0.to_be_bytes()).collect();
    Payload::Notify(Notify::new(NotifyType::SIGNATURE_HASH_ALGORITHMS, data))
}

/// CERTREQ for the authorities that one of `trusted` believes; `None` without any.
pub(crate) fn request<'a>(trusted: impl Iterator<Item = &'a TrustStore>) -> Option<Payload> {
    let mut authorities: Vec<[u8; KEY_HASH_BYTES]> = Vec::new();
    for hash in trusted.flat_map(TrustStore::key_hashes) {
        if authorities.len() == AUTHORITIES_MAX {
            break;
        }
        if !authorities.contains(hash) {
            authorities.push(*hash);
        }
    }
    (!authorities.is_empty()).then(|| {
        Payload::CertificateRequest(CertificateRequest {
            encoding: CertEncoding::X509_SIGNATURE,
            authorities: authorities.concat(),
        })
    })
}

/// CERT payloads for a peer that offered `offer`: own certificate first (RFC 7296, 3.6), then what OCSP says of it, if the peer asks.
pub(crate) fn chain<'a>(
    by: &'a CertificateAuthentication,
    offer: &Offer,
    now: UnixTime,
) -> impl Iterator<Item = Payload> + use<'a> {
    let certificates = by.credential.chain_for(&offer.authorities).into_iter().map(|certificate| {
        Payload::Certificate(CertificatePayload {
            encoding: CertEncoding::X509_SIGNATURE,
            data: certificate.der().to_vec(),
        })
    });
    certificates.chain(ocsp::responses(by, offer.wants_responses, now))
}

/// The certificates that a peer sent.
pub(crate) fn sent(message: &Message) -> impl Iterator<Item = &[u8]> {
    message.payloads.iter().filter_map(|payload| match payload {
        Payload::Certificate(certificate) if certificate.encoding == CertEncoding::X509_SIGNATURE => {
            Some(certificate.data.as_slice())
        }
        _ => None,
    })
}

/// Whether a peer that asked for certificates of `authorities` may trust ours, as far as can be seen here.
pub(crate) fn may_be_trusted(by: &CertificateAuthentication, authorities: &[u8]) -> bool {
    let mut known =
        by.credential.issuers(by.trust.anchors()).filter_map(|issuer| issuer.public_key().ok()).peekable();
    let asked = authorities.as_chunks::<KEY_HASH_BYTES>().0;
    asked.is_empty() || known.peek().is_none() || known.any(|key| asked.contains(&key.key_hash()))
}

impl Offer {
    /// From a message as it came; that it can be read was seen before.
    pub(crate) fn of_bytes(message: &[u8]) -> Self {
        Message::parse(message).map_or_else(|_| Self::default(), |message| Self::of(&message))
    }

    /// From a message.
    pub(crate) fn of(message: &Message) -> Self {
        let hashes = message.notify(NotifyType::SIGNATURE_HASH_ALGORITHMS).map(|notify| {
            notify.data.as_chunks().0.iter().map(|bytes| HashAlgorithm(u16::from_be_bytes(*bytes))).collect()
        });
        let asked = message.payloads.iter().filter_map(|payload| match payload {
            Payload::CertificateRequest(request) if request.encoding == CertEncoding::X509_SIGNATURE => {
                Some(request.authorities.as_slice())
            }
            _ => None,
        });
        let (authorities, wants_responses) =
            (asked.collect::<Vec<_>>().concat(), ocsp::is_requested(message));
        Self { hashes, authorities, wants_responses }
    }
}

impl Sign {
    /// Prepares our proof over `octets` for a peer that offered `offer`.
    ///
    /// # Errors
    /// [`IkeError::OwnCertificate`] if ours is out of date, [`IkeError::NoCommonSignature`] if the peer takes no signature of our key.
    pub(crate) fn prepare(
        by: &Arc<CertificateAuthentication>,
        offer: &Offer,
        octets: Vec<u8>,
        now: UnixTime,
        seed: Zeroizing<[u8; 32]>,
    ) -> Result<Self, IkeError> {
        let own = by.credential.certificate();
        own.check_time(now).map_err(|error| IkeError::OwnCertificate(Box::new(error)))?;
        let kind = by.credential.key().public_key().kind();
        let scheme = choose(kind, offer.hashes.as_deref(), by).ok_or(IkeError::NoCommonSignature(kind))?;
        Ok(Self { by: Arc::clone(by), scheme, octets, seed, without_ppk: None })
    }

    /// Prepares our signature of IKEv1 over `hash`.
    ///
    /// # Errors
    /// [`IkeError::OwnCertificate`] if ours is out of date.
    pub(crate) fn of_hash(
        by: &Arc<CertificateAuthentication>,
        hash: Vec<u8>,
        now: UnixTime,
        seed: Zeroizing<[u8; 32]>,
    ) -> Result<Self, IkeError> {
        let own = by.credential.certificate();
        own.check_time(now).map_err(|error| IkeError::OwnCertificate(Box::new(error)))?;
        Ok(Self { by: Arc::clone(by), scheme: Scheme::Bare, octets: hash, seed, without_ppk: None })
    }

    /// The same, and over `octets` for a peer that may have no PPK.
    pub(crate) fn and_without_ppk(mut self, octets: Vec<u8>, seed: Zeroizing<[u8; 32]>) -> Self {
        self.without_ppk = Some((octets, seed));
        self
    }

    fn run(self) -> Result<Proof, IkeError> {
        let Self { by, scheme, octets, seed, without_ppk } = self;
        let auth = Self::signature(&by, scheme, &octets, seed)?;
        let without = without_ppk.map(|(octets, seed)| Self::signature(&by, scheme, &octets, seed));
        Ok(Proof { auth, without_ppk: without.transpose()?.map(|auth| auth.data) })
    }

    fn signature(
        by: &CertificateAuthentication,
        scheme: Scheme,
        octets: &[u8],
        seed: Zeroizing<[u8; 32]>,
    ) -> Result<Authentication, IkeError> {
        let key = by.credential.key();
        let kind = key.public_key().kind();
        let failed = |_| IkeError::NoCommonSignature(kind);
        let (method, data) = match scheme {
            Scheme::Rsa(digest) => {
                let algorithm = SignatureAlgorithm::RsaPkcs1(digest);
                (AuthMethod::RSA_SIGNATURE, key.sign(algorithm, octets, seed).map_err(failed)?)
            }
            Scheme::Bare => (AuthMethod::RSA_SIGNATURE, key.sign_bare(octets, seed).map_err(failed)?),
            Scheme::Ecdsa(method, digest) => (method, key.sign_plain_ecdsa(digest, octets).map_err(failed)?),
            Scheme::Digital(algorithm) => {
                let signature = key.sign(algorithm, octets, seed).map_err(failed)?;
                let identifier = algorithm.to_der();
                let length = u8::try_from(identifier.len()).expect("an identifier is shorter than 256 bytes");
                (AuthMethod::DIGITAL_SIGNATURE, [&[length][..], &identifier, &signature].concat())
            }
        };
        Ok(Authentication { method, data })
    }
}

/// The strongest of our ways to sign that the peer takes.
fn choose(kind: KeyKind, hashes: Option<&[HashAlgorithm]>, by: &CertificateAuthentication) -> Option<Scheme> {
    let Some(hashes) = hashes else {
        return match kind {
            KeyKind::Rsa { .. } if by.allow_sha1 => Some(Scheme::Rsa(Digest::Sha1)),
            KeyKind::Rsa { .. } => Some(Scheme::Rsa(Digest::Sha256)),
            KeyKind::P256 => Some(Scheme::Ecdsa(AuthMethod::ECDSA_256, Digest::Sha256)),
            KeyKind::P384 => Some(Scheme::Ecdsa(AuthMethod::ECDSA_384, Digest::Sha384)),
            KeyKind::P521 => Some(Scheme::Ecdsa(AuthMethod::ECDSA_521, Digest::Sha512)),
            KeyKind::Ed25519 => None,
        };
    };
    let (a, b, c) = (
        (HashAlgorithm::SHA2_256, Digest::Sha256),
        (HashAlgorithm::SHA2_384, Digest::Sha384),
        (HashAlgorithm::SHA2_512, Digest::Sha512),
    );
    // As strong as the key first.
    let wanted = match kind {
        KeyKind::Rsa { .. } | KeyKind::P256 => [a, b, c],
        KeyKind::P384 => [b, c, a],
        KeyKind::P521 => [c, b, a],
        KeyKind::Ed25519 => {
            return hashes
                .contains(&HashAlgorithm::IDENTITY)
                .then_some(Scheme::Digital(SignatureAlgorithm::Ed25519));
        }
    };
    let (_, digest) = wanted.into_iter().find(|(hash, _)| hashes.contains(hash))?;
    Some(Scheme::Digital(match (kind, by.rsa_padding) {
        (KeyKind::Rsa { .. }, RsaPadding::Pss) => SignatureAlgorithm::pss(digest),
        (KeyKind::Rsa { .. }, RsaPadding::Pkcs1) => SignatureAlgorithm::RsaPkcs1(digest),
        _ => SignatureAlgorithm::Ecdsa(digest),
    }))
}

impl Verify {
    /// Prepares the check of what `message` brings: its CERT payloads and its AUTH payload, for a peer that calls itself `claimed`.
    ///
    /// # Errors
    /// [`IkeError::NotByCertificate`] for an AUTH payload of another kind.
    pub(crate) fn prepare(
        by: &Arc<CertificateAuthentication>,
        message: &Message,
        proof: &Authentication,
        claimed: Identity,
        octets: Vec<u8>,
        now: UnixTime,
    ) -> Result<Self, IkeError> {
        if !is_signature(proof.method) {
            return Err(IkeError::NotByCertificate);
        }
        let certificates = sent(message).map(<[u8]>::to_vec).collect();
        let responses = ocsp::of(message);
        let proof = proof.clone();
        Ok(Self { by: Arc::clone(by), certificates, responses, claimed, proof, octets, is_bare: false, now })
    }

    /// Prepares the check of a signature of IKEv1 over `hash` with the certificates that came beside it.
    pub(crate) fn of_hash(
        by: &Arc<CertificateAuthentication>,
        certificates: Vec<Vec<u8>>,
        signature: Vec<u8>,
        claimed: Identity,
        hash: Vec<u8>,
        now: UnixTime,
    ) -> Self {
        let proof = Authentication { method: AuthMethod::RSA_SIGNATURE, data: signature };
        let (by, responses) = (Arc::clone(by), Vec::new());
        Self { by, certificates, responses, claimed, proof, octets: hash, is_bare: true, now }
    }

    fn run(&self) -> Result<AuthVerified, IkeError> {
        let refused = |error| IkeError::PeerCertificate(Box::new(error));
        if self.certificates.len() > CHAIN_MAX {
            return Err(refused(CertificateError::TooMany));
        }
        let sent = self.certificates.iter().map(|der| Certificate::from_der(der));
        let sent = sent.collect::<Result<Vec<_>, _>>().map_err(refused)?;
        let named = self.claimed.subject();
        let is_for = |certificate: &&Certificate| named.as_ref().is_some_and(|name| certificate.is_for(name));
        // A peer need not send a certificate that is known here.
        let known = || self.by.trust.anchors().iter().find(|anchor| !anchor.is_authority() && is_for(anchor));
        let end = sent.first().or_else(known).ok_or(refused(CertificateError::None))?;
        if !is_for(&end) {
            let (claimed, names) = (self.claimed.to_string(), end.names());
            return Err(refused(CertificateError::WrongName { claimed, names }));
        }
        // The cheapest first: whose certificate names none of our authorities costs no signature, who does not hold the key costs one, and who made the
        // certificate himself hardly more.
        let paths = self.by.trust.paths(end, &sent, self.now).map_err(refused)?;
        self.check_proof(end.public_key().map_err(refused)?)?;
        let responses = ocsp::read(&self.by.trust, &self.responses);
        if self.by.trust.is_of_clients() {
            let client = Some(paths.prove_with_ocsp(&responses).map_err(refused)?);
            return Ok(AuthVerified { client });
        }
        paths.verify_with_ocsp(&responses).map_err(refused)?;
        Ok(AuthVerified::plain())
    }

    fn check_proof(&self, key: &PublicKey) -> Result<(), IkeError> {
        let (data, octets) = (&self.proof.data, &self.octets);
        let wrong = |_| IkeError::WrongSignature;
        if self.is_bare {
            // Both sides sign by what was negotiated, which is for a key of our kind.
            let own = self.by.credential.key().public_key().kind();
            if discriminant(&key.kind()) != discriminant(&own) {
                return Err(IkeError::WrongSignature);
            }
            key.verify_bare(octets, data).map_err(wrong)?;
            return Ok(());
        }
        match self.proof.method {
            AuthMethod::DIGITAL_SIGNATURE => {
                let (algorithm, signature) = split(data)?;
                self.check_digest(algorithm.digest())?;
                key.verify(algorithm, octets, signature).map_err(wrong)?;
            }
            AuthMethod::RSA_SIGNATURE => {
                let digest = key.verify_rsa_pkcs1(octets, data).map_err(wrong)?;
                self.check_digest(Some(digest))?;
            }
            method => {
                let (kind, digest) = match method {
                    AuthMethod::ECDSA_256 => (KeyKind::P256, Digest::Sha256),
                    AuthMethod::ECDSA_384 => (KeyKind::P384, Digest::Sha384),
                    AuthMethod::ECDSA_521 => (KeyKind::P521, Digest::Sha512),
                    _ => return Err(IkeError::NotByCertificate),
                };
                if key.kind() != kind {
                    return Err(IkeError::WrongSignature);
                }
                key.verify_plain_ecdsa(digest, octets, data).map_err(wrong)?;
            }
        }
        Ok(())
    }

    /// SHA-1 only where the operator allows it.
    fn check_digest(&self, digest: Option<Digest>) -> Result<(), IkeError> {
        if digest == Some(Digest::Sha1) && !self.by.allow_sha1 {
            Err(IkeError::WeakSignature)
        } else {
            Ok(())
        }
    }
}

/// Algorithm and signature of an AUTH payload of method 14 (RFC 7427, 3).
fn split(data: &[u8]) -> Result<(SignatureAlgorithm, &[u8]), IkeError> {
    let parts = data.split_first().and_then(|(length, rest)| rest.split_at_checked(usize::from(*length)));
    let (identifier, signature) = parts.ok_or(IkeError::WrongSignature)?;
    let algorithm =
        SignatureAlgorithm::from_der(identifier).map_err(|unknown| IkeError::UnknownSignature(unknown.0))?;
    Ok((algorithm, signature))
}

/// Whether a method is one that certificates are used with.
pub(crate) fn is_signature(method: AuthMethod) -> bool {
    matches!(
        method,
        AuthMethod::RSA_SIGNATURE
            | AuthMethod::ECDSA_256
            | AuthMethod::ECDSA_384
            | AuthMethod::ECDSA_521
            | AuthMethod::DIGITAL_SIGNATURE
    )
}

impl Work {
    /// Does it; nothing is signed for a peer whose proof is wrong.
    pub(crate) fn run(self) -> Done {
        let verified = self.verify.map(|verify| verify.run()).transpose()?;
        let signed = self.sign.map(Sign::run).transpose()?;
        Ok((verified, signed))
    }
}

#[cfg(test)]
mod tests;
