//! From a peer's certificate to a trust anchor (RFC 5280, 6.1), without policies; nameConstraints are refused, not processed.
//!
//! In two steps, so that a stranger costs next to nothing: [`TrustStore::paths`] looks for ways by names, dates and extensions, without computing anything
//! (`path/search.rs`); [`Paths::verify`] checks signatures and revocation lists along them, from the anchor down (`path/proof.rs`): what no anchor signed is
//! where it ends. Between the two, a caller asks whether the peer holds the key at all.

use std::collections::BTreeSet;

use crate::algorithm::Digest;
use crate::certificate::Certificate;
use crate::error::CertificateError;
use crate::ocsp::OcspPolicy;
use crate::public_key::PublicKey;
use crate::revocation::RevocationList;
use crate::time::UnixTime;

mod proof;
mod proven;
mod search;

pub use proof::Paths;
pub use proven::ProvenPath;

/// Most certificates that a peer may send.
pub const CHAIN_MAX: usize = 10;

/// Whom an operator trusts.
#[derive(Debug)]
pub struct TrustStore {
    anchors: Vec<Certificate>,
    revocations: Vec<RevocationList>,
    /// A hash of both: lists are long, and stores are compared for each of many sessions.
    contents: Vec<u8>,
    /// Of the anchors that are authorities; worked out once, for they go into every request.
    key_hashes: Vec<[u8; 20]>,
    ocsp: OcspPolicy,
    /// Certificates that an operator does not trust any more, whoever issued them, by their SHA-1 hashes.
    withdrawn: BTreeSet<[u8; 20]>,
    /// Whether its peers are clients that log in.
    is_of_clients: bool,
}

impl TrustStore {
    /// Certificates that are trusted by themselves, and lists of those that are not any more. CAs of which there is no list revoke nothing.
    #[must_use]
    pub fn new(anchors: Vec<Certificate>, revocations: Vec<RevocationList>) -> Self {
        let authorities = anchors.iter().filter(|anchor| anchor.is_authority());
        let keys = authorities.filter_map(|authority| authority.public_key().ok());
        let key_hashes = keys.map(PublicKey::key_hash).collect();
        let contents = contents(&anchors, &revocations);
        let (ocsp, withdrawn) = (OcspPolicy::Off, BTreeSet::new());
        Self { anchors, revocations, contents, key_hashes, ocsp, withdrawn, is_of_clients: false }
    }

    /// The same for clients that log in: a certificate that is for servers alone (extendedKeyUsage serverAuth) is not good enough.
    #[must_use]
    pub const fn of_clients(mut self) -> Self {
        self.is_of_clients = true;
        self
    }

    /// The same, with OCSP responses that come with a peer's certificate.
    #[must_use]
    pub const fn with_ocsp(mut self, ocsp: OcspPolicy) -> Self {
        self.ocsp = ocsp;
        self
    }

    /// What is done about OCSP responses.
    #[must_use]
    pub const fn ocsp(&self) -> OcspPolicy {
        self.ocsp
    }

    /// The same without the certificates of these thumbprints ([`Certificate::thumbprint`]), wherever they stand in a path.
    #[must_use]
    pub fn without(mut self, thumbprints: BTreeSet<[u8; 20]>) -> Self {
        self.withdrawn = thumbprints;
        self
    }

    /// Whether its peers are clients that log in.
    #[must_use]
    pub const fn is_of_clients(&self) -> bool {
        self.is_of_clients
    }

    /// The anchors.
    #[must_use]
    pub fn anchors(&self) -> &[Certificate] {
        &self.anchors
    }

    /// The lists.
    #[must_use]
    pub fn revocations(&self) -> &[RevocationList] {
        &self.revocations
    }

    /// SHA-1 hashes of the public keys of those anchors that are authorities: what a CERTREQ payload carries (RFC 7296, 3.7).
    #[must_use]
    pub fn key_hashes(&self) -> &[[u8; 20]] {
        &self.key_hashes
    }

    /// The ways that seem to lead from `end` over some of `intermediates` to anchors, and whether `end` may speak for an IKE peer: by all that can be seen
    /// without computing. A certificate that is an anchor itself is its own path.
    ///
    /// # Errors
    /// The most telling of the reasons why there is none.
    pub fn paths<'a>(
        &'a self,
        end: &'a Certificate,
        intermediates: &'a [Certificate],
        now: UnixTime,
    ) -> Result<Paths<'a>, CertificateError> {
        end.check_time(now)?;
        search::check_form(end)?;
        end.check_usage(self.is_of_clients)?;
        end.public_key()?;
        let found = if self.anchors.contains(end) {
            vec![vec![end]]
        } else {
            search::ways(self, end, intermediates, now)?
        };
        let found = self.without_withdrawn(found)?;
        Ok(Paths { store: self, found, now })
    }

    /// The ways that lead over no certificate that an operator has withdrawn.
    fn without_withdrawn<'a>(
        &self,
        mut found: Vec<Vec<&'a Certificate>>,
    ) -> Result<Vec<Vec<&'a Certificate>>, CertificateError> {
        if self.withdrawn.is_empty() {
            return Ok(found);
        }
        let mut reason = None;
        found.retain(|path| {
            let withdrawn = path
                .iter()
                .find(|certificate| certificate.thumbprints().any(|one| self.withdrawn.contains(&one)));
            reason = reason.take().or(withdrawn.map(|certificate| certificate.subject().clone()));
            withdrawn.is_none()
        });
        match reason {
            Some(subject) if found.is_empty() => Err(CertificateError::Withdrawn { subject }),
            _ => Ok(found),
        }
    }

    /// Whether a path leads from `end` over some of `intermediates` to an anchor, signatures and revocation lists included.
    ///
    /// # Errors
    /// The most telling of the reasons why none does.
    pub fn verify(
        &self,
        end: &Certificate,
        intermediates: &[Certificate],
        now: UnixTime,
    ) -> Result<(), CertificateError> {
        self.paths(end, intermediates, now)?.verify()
    }

    /// The same, and the path is kept, to be looked at again.
    ///
    /// # Errors
    /// The most telling of the reasons why none leads there.
    pub fn prove(
        &self,
        end: &Certificate,
        intermediates: &[Certificate],
        now: UnixTime,
    ) -> Result<ProvenPath, CertificateError> {
        self.paths(end, intermediates, now)?.prove_with_ocsp(&[])
    }
}

impl Default for TrustStore {
    /// Trusts nobody.
    fn default() -> Self {
        Self::new(Vec::new(), Vec::new())
    }
}

impl PartialEq for TrustStore {
    fn eq(&self, other: &Self) -> bool {
        self.contents == other.contents
            && self.ocsp == other.ocsp
            && self.withdrawn == other.withdrawn
            && self.is_of_clients == other.is_of_clients
    }
}

impl Eq for TrustStore {}

/// A hash over the bytes of all, and over where each begins.
fn contents(anchors: &[Certificate], lists: &[RevocationList]) -> Vec<u8> {
    let anchors = anchors.iter().map(|anchor| (b'a', anchor.der()));
    let lists = lists.iter().map(|list| (b'l', list.der()));
    let mut hashes = Vec::new();
    for (kind, der) in anchors.chain(lists) {
        hashes.push(kind);
        hashes.extend(Digest::Sha256.of(der));
    }
    Digest::Sha256.of(&hashes)
}

#[cfg(test)]
mod tests;
