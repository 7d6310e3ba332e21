//! A path that was proven once, kept for as long as somebody is let in because of it: whether it still leads to what an operator trusts is told by thumbprints, dates, serial numbers
//! and names. No certificate's signature is checked again, so that a changed trust store is held against thousands of sessions at once.

use std::sync::Arc;

use super::{TrustStore, proof};
use crate::certificate::Certificate;
use crate::error::CertificateError;
use crate::ocsp::OcspPolicy;
use crate::time::UnixTime;

/// A path whose signatures were found right, from a peer's certificate to an anchor.
#[derive(Clone, Debug)]
pub struct ProvenPath(Arc<[Link]>);

/// A certificate of the path.
#[derive(Debug)]
struct Link {
    certificate: Certificate,
    /// Its thumbprint, and those of its other forms.
    thumbprints: Vec<[u8; 20]>,
}

impl ProvenPath {
    /// Of the certificates of a path that was just proven, at least one.
    pub(super) fn of(path: &[&Certificate]) -> Self {
        let link = |certificate: &&Certificate| Link {
            certificate: Certificate::from_der(certificate.der()).expect("it was read before"),
            thumbprints: certificate.thumbprints().collect(),
        };
        Self(path.iter().map(link).collect())
    }

    /// The peer's own certificate.
    ///
    /// # Panics
    /// Never: a path has its end.
    #[must_use]
    pub fn end(&self) -> &Certificate {
        &self.0.first().expect("a path has its end").certificate
    }

    /// The last second in which all of its certificates are valid.
    #[must_use]
    pub fn not_after(&self) -> UnixTime {
        self.certificates().map(Certificate::not_after).min().unwrap_or(UnixTime(0))
    }

    /// Whether all of its certificates are valid at this time.
    ///
    /// # Errors
    /// [`CertificateError::NotYetValid`], [`CertificateError::Expired`] of the first that is not.
    pub fn check_time(&self, now: UnixTime) -> Result<(), CertificateError> {
        self.certificates().try_for_each(|certificate| certificate.check_time(now))
    }

    fn certificates(&self) -> impl Iterator<Item = &Certificate> {
        self.0.iter().map(|link| &link.certificate)
    }
}

impl TrustStore {
    /// Whether a path that was proven under another store is good under this one. Computes nothing but what a revocation list takes, once for each list.
    ///
    /// # Errors
    /// Why it is not: [`CertificateError::UnknownIssuer`] if its anchor is gone, and all that can be wrong with the certificates on it.
    pub fn check_again(&self, path: &ProvenPath, now: UnixTime) -> Result<(), CertificateError> {
        let end = path.end();
        end.check_usage(self.is_of_clients)?;
        let links = self.anchored(path).ok_or_else(|| CertificateError::UnknownIssuer {
            subject: end.subject.clone(),
            issuer: end.issuer.clone(),
        })?;
        for Link { certificate, thumbprints } in links {
            certificate.check_time(now)?;
            if thumbprints.iter().any(|one| self.withdrawn.contains(one)) {
                return Err(CertificateError::Withdrawn { subject: certificate.subject.clone() });
            }
        }
        for pair in links.windows(2) {
            proof::by_lists(self, &pair[0].certificate, &pair[1].certificate, now).unwrap_or(Ok(()))?;
        }
        // What was said of it at the time is not kept.
        if self.ocsp == OcspPolicy::Require && links.len() > 1 {
            return Err(CertificateError::NoStatus { subject: end.subject.clone() });
        }
        Ok(())
    }

    /// The part of the path up to the first of its certificates that is an anchor here. An authority whose certificate was renewed, with the same name and key, is the same.
    fn anchored<'p>(&self, path: &'p ProvenPath) -> Option<&'p [Link]> {
        let at = path.0.iter().enumerate().position(|(index, link)| {
            self.anchors.contains(&link.certificate)
                || index > 0 && self.anchors.iter().any(|anchor| is_renewed(&link.certificate, anchor, index))
        })?;
        path.0.get(..=at)
    }
}

/// Whether `renewed` stands for `old`, an authority that stands at this place of a path, counted from its end.
fn is_renewed(old: &Certificate, renewed: &Certificate, place: usize) -> bool {
    let key = |certificate: &Certificate| certificate.public_key().ok().map(|key| key.info().to_vec());
    let allowed = renewed.extensions.path_length.map_or(usize::MAX, usize::from);
    renewed.subject == old.subject
        && renewed.extensions.is_authority
        && renewed.extensions.signs_certificates
        && renewed.extensions.not_understood.is_none()
        && place <= allowed.saturating_add(1)
        && key(old).is_some_and(|old| key(renewed) == Some(old))
}

#[cfg(test)]
mod tests;
