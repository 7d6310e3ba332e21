//! This gateway's own certificate with its intermediates, and the private key that belongs to it.

use thiserror::Error;

use crate::certificate::Certificate;
use crate::error::CertificateError;
use crate::ocsp::OcspResponse;
use crate::path::CHAIN_MAX;
use crate::private_key::PrivateKey;
use crate::time::UnixTime;

/// What this gateway proves its identity with.
#[derive(Debug, PartialEq, Eq)]
pub struct Credential {
    chain: Vec<Certificate>,
    key: PrivateKey,
    responses: Vec<OcspResponse>,
}

/// Why a certificate and a key do not make a credential.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CredentialError {
    /// No certificate.
    #[error("there is no certificate")]
    Empty,
    /// More than a peer takes.
    #[error("there are more than {CHAIN_MAX} certificates")]
    TooMany,
    /// The first certificate is for another key.
    #[error("the private key does not belong to the first certificate, that of {0}")]
    OtherKey(String),
    /// The certificate cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

impl Credential {
    /// Own certificate first, then its intermediates in any order.
    ///
    /// # Errors
    /// [`CredentialError`].
    pub fn new(chain: Vec<Certificate>, key: PrivateKey) -> Result<Self, CredentialError> {
        let own = chain.first().ok_or(CredentialError::Empty)?;
        if chain.len() > CHAIN_MAX {
            return Err(CredentialError::TooMany);
        }
        if own.public_key()? != key.public_key() {
            return Err(CredentialError::OtherKey(own.subject().to_string()));
        }
        own.check_usage(false)?;
        Ok(Self { chain, key, responses: Vec::new() })
    }

    /// With OCSP responses about its certificates, to be sent along to whoever asks.
    #[must_use]
    pub fn with_responses(mut self, responses: Vec<OcspResponse>) -> Self {
        self.responses = responses;
        self
    }

    /// The OCSP responses that hold by `now`: those that a certificate is revoked as well, which a peer has to hear of, and none that says nothing any more.
    pub fn responses(&self, now: UnixTime) -> impl Iterator<Item = &OcspResponse> {
        let holds = move |response: &OcspResponse| {
            let mut said = self.chain.iter().map(|certificate| response.judge(certificate, now));
            said.any(|said| matches!(said, Ok(()) | Err(CertificateError::Revoked { .. })))
        };
        self.responses.iter().filter(move |response| holds(response))
    }

    /// Own certificate first, then its intermediates.
    #[must_use]
    pub fn chain(&self) -> &[Certificate] {
        &self.chain
    }

    /// Own certificate.
    ///
    /// # Panics
    /// Never: there is one.
    #[must_use]
    pub fn certificate(&self) -> &Certificate {
        &self.chain[0]
    }

    /// The private key.
    #[must_use]
    pub const fn key(&self) -> &PrivateKey {
        &self.key
    }

    /// The issuers of the chain's certificates that are known: those in the chain itself and among `anchors`.
    pub fn issuers<'a>(&'a self, anchors: &'a [Certificate]) -> impl Iterator<Item = &'a Certificate> {
        let issued =
            |issuer: &&Certificate| self.chain.iter().any(|certificate| certificate.names_issuer(issuer));
        self.chain.iter().chain(anchors).filter(issued)
    }

    /// What to send to a peer that trusts the authorities with these keys (SHA-1 hashes, 20 bytes each; RFC 7296, 3.7): own certificate and its
    /// intermediates, up to the one that such an authority issued. Without a known authority all of them, except those that issued themselves.
    #[must_use]
    pub fn chain_for(&self, authorities: &[u8]) -> Vec<&Certificate> {
        let trusted = |certificate: &Certificate| {
            certificate
                .public_key()
                .is_ok_and(|key| authorities.as_chunks::<20>().0.contains(&key.key_hash()))
        };
        let mut sent = vec![self.certificate()];
        while let Some(issuer) = self.chain.iter().find(|other| sent[sent.len() - 1].names_issuer(other)) {
            if trusted(issuer) || issuer.is_self_issued() || sent.contains(&issuer) {
                break;
            }
            sent.push(issuer);
        }
        sent
    }
}
