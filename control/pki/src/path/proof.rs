//! Signatures and revocation lists along the ways that `search.rs` found, from the anchor down: a certificate counts only once its issuer does, so that what a
//! peer made itself costs one wrong signature.

use super::TrustStore;
use crate::certificate::Certificate;
use crate::error::CertificateError;
use crate::time::UnixTime;

/// Most signatures that are checked for one peer: what it sends must not keep the pool busy.
const SIGNATURES_MAX: u32 = 32;
/// Most of them that may be wrong: two CAs of one name are a mistake, more are somebody's intent.
const WRONG_MAX: u32 = 4;

/// Ways from a peer's certificate to trust anchors, by names, dates and extensions: nothing is proven yet.
#[derive(Debug)]
#[must_use]
pub struct Paths<'a> {
    pub(super) store: &'a TrustStore,
    /// Each from the peer's certificate to an anchor, at least one.
    pub(super) found: Vec<Vec<&'a Certificate>>,
    pub(super) now: UnixTime,
}

/// What was checked so far.
pub(super) struct Proofs<'a> {
    store: &'a TrustStore,
    now: UnixTime,
    pub(super) signatures: u32,
    pub(super) wrong: u32,
    /// A certificate, its issuer, and what came of it: ways share links.
    links: Vec<(&'a Certificate, &'a Certificate, Result<(), CertificateError>)>,
}

impl<'a> Paths<'a> {
    /// Whether the signatures along one of the ways are right, and nothing on it is revoked; some signatures' time each.
    ///
    /// # Errors
    /// What is wrong with the first way.
    pub fn verify(&self) -> Result<(), CertificateError> {
        self.verify_with(&mut Proofs::new(self))
    }

    pub(super) fn verify_with(&self, proofs: &mut Proofs<'a>) -> Result<(), CertificateError> {
        let mut reason = Ok(());
        for path in &self.found {
            match proofs.descend(path) {
                Ok(()) => return Ok(()),
                Err(error) => reason = reason.and(Err(error)),
            }
        }
        reason
    }
}

impl<'a> Proofs<'a> {
    pub(super) const fn new(paths: &Paths<'a>) -> Self {
        Self { store: paths.store, now: paths.now, signatures: 0, wrong: 0, links: Vec::new() }
    }

    fn descend(&mut self, path: &[&'a Certificate]) -> Result<(), CertificateError> {
        path.windows(2).rev().try_for_each(|link| self.link(link[0], link[1]))
    }

    fn link(
        &mut self,
        certificate: &'a Certificate,
        issuer: &'a Certificate,
    ) -> Result<(), CertificateError> {
        let is_same = |one: &Certificate, other: &Certificate| std::ptr::eq(one, other);
        let known = self.links.iter().find(|(of, by, _)| is_same(of, certificate) && is_same(by, issuer));
        if let Some((_, _, outcome)) = known {
            return outcome.clone();
        }
        if self.signatures == SIGNATURES_MAX || self.wrong == WRONG_MAX {
            return Err(CertificateError::PathTooLong { subject: issuer.subject.clone() });
        }
        let outcome = self.check(certificate, issuer);
        self.links.push((certificate, issuer, outcome.clone()));
        outcome
    }

    /// Whether `issuer` issued `certificate`, and has not revoked it.
    fn check(&mut self, certificate: &Certificate, issuer: &Certificate) -> Result<(), CertificateError> {
        self.signatures += 1;
        if !certificate.signed.is_by(issuer.public_key()?) {
            self.wrong += 1;
            return Err(CertificateError::BadSignature {
                subject: certificate.subject.clone(),
                issuer: issuer.subject.clone(),
            });
        }
        let lists = self.store.revocations.iter().filter(|list| *list.issuer() == issuer.subject);
        // Of several lists of one CA (its key was changed, a file has an old one beside the new), one that is good decides; a revocation in any does.
        let mut outcome = Ok(());
        for (index, list) in lists.enumerate() {
            match list.check(certificate, issuer, self.now) {
                Err(revoked @ CertificateError::Revoked { .. }) => return Err(revoked),
                Ok(()) => outcome = Ok(()),
                Err(error) if index == 0 => outcome = Err(error),
                Err(_) => {}
            }
        }
        outcome
    }
}
