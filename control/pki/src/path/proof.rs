//! Signatures and revocation lists along the ways that `search.rs` found, from the anchor down: a certificate counts only once its issuer does, so that what a
//! peer made itself costs one wrong signature.

use super::{ProvenPath, TrustStore};
use crate::certificate::Certificate;
use crate::error::CertificateError;
use crate::ocsp::{OcspPolicy, OcspResponse};
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
    responses: &'a [OcspResponse],
    now: UnixTime,
    pub(super) signatures: u32,
    pub(super) wrong: u32,
    /// A certificate, its issuer, and what came of it: ways share links.
    links: Vec<(&'a Certificate, &'a Certificate, Result<(), CertificateError>)>,
    /// What responses said of certificates.
    said: Vec<(&'a Certificate, Result<(), CertificateError>)>,
}

impl<'a> Paths<'a> {
    /// Whether the signatures along one of the ways are right, and nothing on it is revoked; some signatures' time each.
    ///
    /// # Errors
    /// What is wrong with the first way.
    pub fn verify(&self) -> Result<(), CertificateError> {
        self.verify_with_ocsp(&[])
    }

    /// The same, with the OCSP responses that the peer sent.
    ///
    /// # Errors
    /// What is wrong with the first way.
    pub fn verify_with_ocsp(&self, responses: &[OcspResponse]) -> Result<(), CertificateError> {
        self.find(&mut self.proofs(responses)).map(drop)
    }

    /// The same, and the way is kept, to be looked at again.
    ///
    /// # Errors
    /// What is wrong with the first way.
    pub fn prove_with_ocsp(&self, responses: &[OcspResponse]) -> Result<ProvenPath, CertificateError> {
        self.find(&mut self.proofs(responses)).map(ProvenPath::of)
    }

    fn proofs<'b>(&'b self, responses: &'b [OcspResponse]) -> Proofs<'b> {
        let mut proofs = Proofs::new(self);
        proofs.responses = if self.store.ocsp == OcspPolicy::Off { &[] } else { responses };
        proofs
    }

    pub(super) fn find<'b>(
        &'b self,
        proofs: &mut Proofs<'b>,
    ) -> Result<&'b [&'b Certificate], CertificateError> {
        let mut reason = None;
        for path in &self.found {
            match proofs.descend(path) {
                Ok(()) => return Ok(path),
                Err(error) => reason = reason.or(Some(error)),
            }
        }
        Err(reason.unwrap_or(CertificateError::None))
    }
}

impl<'a> Proofs<'a> {
    pub(super) const fn new(paths: &Paths<'a>) -> Self {
        let (store, now) = (paths.store, paths.now);
        Self { store, responses: &[], now, signatures: 0, wrong: 0, links: Vec::new(), said: Vec::new() }
    }

    fn descend(&mut self, path: &[&'a Certificate]) -> Result<(), CertificateError> {
        path.windows(2).rev().try_for_each(|link| self.link(link[0], link[1]))?;
        match path {
            [end, _, ..] if self.store.ocsp == OcspPolicy::Require => self.require(end),
            _ => Ok(()),
        }
    }

    /// Whether there was a good response about the peer's own certificate. A certificate that is an anchor itself is revoked by nobody, and needs none.
    fn require(&self, end: &Certificate) -> Result<(), CertificateError> {
        let about = self.said.iter().find(|(certificate, _)| std::ptr::eq(*certificate, end));
        let missing = || Err(CertificateError::NoStatus { subject: end.subject.clone() });
        about.map_or_else(missing, |(_, said)| said.clone())
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
        if self.signatures >= SIGNATURES_MAX || self.wrong >= WRONG_MAX {
            return Err(CertificateError::PathTooLong { subject: issuer.subject.clone() });
        }
        let outcome = self.check(certificate, issuer);
        self.links.push((certificate, issuer, outcome.clone()));
        outcome
    }

    /// Whether `issuer` issued `certificate`, and has not revoked it.
    fn check(&mut self, certificate: &'a Certificate, issuer: &Certificate) -> Result<(), CertificateError> {
        self.signatures += 1;
        if !certificate.signed.is_by(issuer.public_key()?) {
            self.wrong += 1;
            return Err(CertificateError::BadSignature {
                subject: certificate.subject.clone(),
                issuer: issuer.subject.clone(),
            });
        }
        let responses = self.by_responses(certificate, issuer);
        self.said.extend(responses.clone().map(|said| (certificate, said)));
        match (responses, by_lists(self.store, certificate, issuer, self.now)) {
            (Some(Err(revoked @ CertificateError::Revoked { .. })), _)
            | (_, Some(Err(revoked @ CertificateError::Revoked { .. }))) => Err(revoked),
            // One that is good decides: a list may be older than a response, and a response may be none of the issuer's.
            (Some(Ok(())), _) | (_, Some(Ok(()))) | (None, None) => Ok(()),
            (Some(Err(error)), _) | (None, Some(Err(error))) => Err(error),
        }
    }

    /// What the peer's OCSP responses say; `None` if nothing. A revocation in any of them decides, else one that is good.
    fn by_responses(
        &mut self,
        certificate: &Certificate,
        issuer: &Certificate,
    ) -> Option<Result<(), CertificateError>> {
        let mut all = None;
        for response in self.responses {
            if self.signatures >= SIGNATURES_MAX {
                return Some(Err(CertificateError::PathTooLong { subject: issuer.subject.clone() }));
            }
            let mut signatures = 0;
            let is_revoked =
                |responder: &Certificate| by_lists(self.store, responder, issuer, self.now).unwrap_or(Ok(()));
            let said = response.check(certificate, issuer, self.now, &mut signatures, is_revoked);
            self.signatures += signatures;
            let Some(said) = said else { continue };
            if matches!(said, Err(CertificateError::Revoked { .. })) {
                return Some(said);
            }
            if all.is_none() || said.is_ok() {
                all = Some(said);
            }
        }
        all
    }
}

/// What the lists of the issuer say; `None` without any. Of several lists of one CA (its key was changed, a file has an old one beside the new), one that is good
/// decides; a revocation in any does.
pub(super) fn by_lists(
    store: &TrustStore,
    certificate: &Certificate,
    issuer: &Certificate,
    now: UnixTime,
) -> Option<Result<(), CertificateError>> {
    let mut all = None;
    for list in store.revocations.iter().filter(|list| *list.issuer() == issuer.subject) {
        match list.check(certificate, issuer, now) {
            Err(revoked @ CertificateError::Revoked { .. }) => return Some(Err(revoked)),
            said if all.is_none() || said.is_ok() => all = Some(said),
            Err(_) | Ok(()) => {}
        }
    }
    all
}
