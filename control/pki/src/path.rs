//! From a peer's certificate to a trust anchor (RFC 5280, 6.1), without policies; nameConstraints are refused, not processed.

use crate::certificate::Certificate;
use crate::error::CertificateError;
use crate::public_key::PublicKey;
use crate::revocation::RevocationList;
use crate::time::UnixTime;

/// Most certificates that a peer may send.
pub const CHAIN_MAX: usize = 10;
/// Longest path, anchor and end included.
const DEPTH_MAX: usize = 8;
/// Most signatures that are checked for one peer: what it sends must not keep the pool busy.
const SIGNATURES_MAX: u32 = 32;

/// Whom an operator trusts.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct TrustStore {
    anchors: Vec<Certificate>,
    revocations: Vec<RevocationList>,
    /// Of the anchors that are authorities; worked out once, for they go into every request.
    key_hashes: Vec<[u8; 20]>,
}

/// A search under way.
struct Search<'a> {
    store: &'a TrustStore,
    intermediates: &'a [Certificate],
    now: UnixTime,
    signatures_left: u32,
}

impl TrustStore {
    /// Certificates that are trusted by themselves, and lists of those that are not any more. CAs of which there is no list revoke nothing.
    #[must_use]
    pub fn new(anchors: Vec<Certificate>, revocations: Vec<RevocationList>) -> Self {
        let authorities = anchors.iter().filter(|anchor| anchor.is_authority());
        let keys = authorities.filter_map(|authority| authority.public_key().ok());
        let key_hashes = keys.map(PublicKey::key_hash).collect();
        Self { anchors, revocations, key_hashes }
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

    /// Whether a path leads from `end` over some of `intermediates` to an anchor, and `end` may speak for an IKE peer. A certificate that is an anchor
    /// itself is its own path.
    ///
    /// # Errors
    /// The most telling of the reasons why none does.
    pub fn verify(
        &self,
        end: &Certificate,
        intermediates: &[Certificate],
        now: UnixTime,
    ) -> Result<(), CertificateError> {
        end.check_time(now)?;
        check_form(end)?;
        end.check_usage()?;
        end.public_key()?;
        if self.anchors.contains(end) {
            return Ok(());
        }
        let mut search = Search { store: self, intermediates, now, signatures_left: SIGNATURES_MAX };
        search.climb(&mut vec![end])
    }
}

/// What is wrong with a certificate by itself, wherever it stands in a path.
fn check_form(certificate: &Certificate) -> Result<(), CertificateError> {
    let subject = || certificate.subject.clone();
    match &certificate.extensions.not_understood {
        Some(extension) => {
            Err(CertificateError::NotUnderstood { subject: subject(), extension: extension.clone() })
        }
        None => Ok(()),
    }
}

impl<'a> Search<'a> {
    /// From the last of `path` on towards an anchor.
    fn climb(&mut self, path: &mut Vec<&'a Certificate>) -> Result<(), CertificateError> {
        let last = *path.last().expect("a path has its end");
        let unknown =
            CertificateError::UnknownIssuer { subject: last.subject.clone(), issuer: last.issuer.clone() };
        let store = self.store;
        let mut reason = None;
        let anchors = store.anchors.iter().map(|anchor| (anchor, true));
        let others = self.intermediates.iter().map(|other| (other, false));
        for (issuer, is_anchor) in anchors.chain(others) {
            if !last.names_issuer(issuer) || path.contains(&issuer) {
                continue;
            }
            let outcome = self.link(path, issuer).and_then(|()| {
                if is_anchor {
                    return Ok(());
                }
                path.push(issuer);
                let above = self.climb(path);
                path.pop();
                above
            });
            match outcome {
                Ok(()) => return Ok(()),
                // What is wrong with a link that is there tells more than that one is not.
                Err(error)
                    if reason.is_none() || !matches!(error, CertificateError::UnknownIssuer { .. }) =>
                {
                    reason = Some(error);
                }
                Err(_) => {}
            }
        }
        Err(reason.unwrap_or(unknown))
    }

    /// Whether `issuer` may have issued the last of `path`, and did.
    fn link(&mut self, path: &[&Certificate], issuer: &Certificate) -> Result<(), CertificateError> {
        let last = path.last().expect("a path has its end");
        let (subject, by) = (last.subject.clone(), issuer.subject.clone());
        issuer.check_time(self.now)?;
        check_form(issuer)?;
        if !issuer.extensions.is_authority || !issuer.extensions.signs_certificates {
            return Err(CertificateError::NotAnAuthority { subject: by });
        }
        // Authorities between the issuer and the end; those that issued themselves a new certificate do not count (RFC 5280, 6.1.4 (l)).
        let between = path.iter().skip(1).filter(|authority| !authority.is_self_issued()).count();
        let allowed = issuer.extensions.path_length.map_or(DEPTH_MAX, usize::from);
        if between > allowed || path.len() >= DEPTH_MAX || self.signatures_left == 0 {
            return Err(CertificateError::PathTooLong { subject: by });
        }
        match &last.signed.algorithm {
            Ok(algorithm) if algorithm.is_weak() => {
                return Err(CertificateError::WeakSignature { subject, algorithm: algorithm.to_string() });
            }
            Err(unknown) => return Err(CertificateError::Unusable { subject, why: unknown.to_string() }),
            Ok(_) => {}
        }
        self.signatures_left -= 1;
        if !last.signed.is_by(issuer.public_key()?) {
            return Err(CertificateError::BadSignature { subject, issuer: by });
        }
        let lists = self.store.revocations.iter().filter(|list| *list.issuer() == issuer.subject);
        // Of several lists of one CA (its key was changed, a file has an old one beside the new), one that is good decides; a revocation in any does.
        let mut outcome = Ok(());
        for (index, list) in lists.enumerate() {
            match list.check(last, issuer, self.now) {
                Err(revoked @ CertificateError::Revoked { .. }) => return Err(revoked),
                Ok(()) => outcome = Ok(()),
                Err(error) if index == 0 => outcome = Err(error),
                Err(_) => {}
            }
        }
        outcome
    }
}

#[cfg(test)]
mod tests;
