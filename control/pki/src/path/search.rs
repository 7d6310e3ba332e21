//! Ways from a certificate to trust anchors, by names, key identifiers, dates, extensions and algorithms: whatever needs no computation. Called by
//! [`TrustStore::paths`]; what is found is not proven.

use super::TrustStore;
use crate::certificate::Certificate;
use crate::error::CertificateError;
use crate::time::UnixTime;

/// Longest path, anchor and end included.
const DEPTH_MAX: usize = 8;
/// Most ways that are kept.
const PATHS_MAX: usize = 16;
/// Most links that are looked at: certificates that all name each other make more ways than anybody can walk.
const LINKS_MAX: u32 = 256;

/// A search under way.
struct Search<'a> {
    store: &'a TrustStore,
    intermediates: &'a [Certificate],
    now: UnixTime,
    links_left: u32,
    found: Vec<Vec<&'a Certificate>>,
}

/// The ways from `end` to an anchor, each with both; at least one.
///
/// # Errors
/// The most telling of the reasons why there is none.
pub(super) fn ways<'a>(
    store: &'a TrustStore,
    end: &'a Certificate,
    intermediates: &'a [Certificate],
    now: UnixTime,
) -> Result<Vec<Vec<&'a Certificate>>, CertificateError> {
    let mut search = Search { store, intermediates, now, links_left: LINKS_MAX, found: Vec::new() };
    search.climb(&mut vec![end])?;
    Ok(search.found)
}

/// What is wrong with a certificate by itself, wherever it stands in a path.
pub(super) fn check_form(certificate: &Certificate) -> Result<(), CertificateError> {
    match &certificate.extensions.not_understood {
        Some(extension) => Err(CertificateError::NotUnderstood {
            subject: certificate.subject.clone(),
            extension: extension.clone(),
        }),
        None => Ok(()),
    }
}

impl<'a> Search<'a> {
    /// From the last of `path` on towards anchors; an error if no way leads there.
    fn climb(&mut self, path: &mut Vec<&'a Certificate>) -> Result<(), CertificateError> {
        let last = *path.last().expect("a path has its end");
        let already = self.found.len();
        let mut reason = None;
        let (store, intermediates) = (self.store, self.intermediates);
        let anchors = store.anchors.iter().map(|anchor| (anchor, true));
        let others = intermediates.iter().map(|other| (other, false));
        for (issuer, is_anchor) in anchors.chain(others) {
            if self.found.len() == PATHS_MAX {
                return Ok(());
            }
            if !last.names_issuer(issuer) || path.contains(&issuer) {
                continue;
            }
            let outcome = self.check_link(path, issuer).and_then(|()| {
                path.push(issuer);
                let above = if is_anchor {
                    self.found.push(path.clone());
                    Ok(())
                } else {
                    self.climb(path)
                };
                path.pop();
                above
            });
            // What is wrong with a link that is there tells more than that one is not.
            if let Err(error) = outcome
                && (reason.is_none() || !matches!(error, CertificateError::UnknownIssuer { .. }))
            {
                reason = Some(error);
            }
        }
        if self.found.len() > already {
            return Ok(());
        }
        let unknown =
            || CertificateError::UnknownIssuer { subject: last.subject.clone(), issuer: last.issuer.clone() };
        Err(reason.unwrap_or_else(unknown))
    }

    /// Whether `issuer` may have issued the last of `path`.
    fn check_link(&mut self, path: &[&Certificate], issuer: &Certificate) -> Result<(), CertificateError> {
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
        if between > allowed || path.len() >= DEPTH_MAX || self.links_left == 0 {
            return Err(CertificateError::PathTooLong { subject: by });
        }
        self.links_left -= 1;
        match &last.signed.algorithm {
            Ok(algorithm) if algorithm.is_weak() => {
                return Err(CertificateError::WeakSignature { subject, algorithm: algorithm.to_string() });
            }
            Err(unknown) => return Err(CertificateError::Unusable { subject, why: unknown.to_string() }),
            Ok(_) => {}
        }
        issuer.public_key().map(drop)
    }
}
