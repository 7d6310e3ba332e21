//! Certificate revocation lists (RFC 5280, 5): complete ones of one CA, read from a file.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5912;
use der::Decode as _;
use x509_cert::crl::CertificateList;

use crate::certificate::{Certificate, Signed};
use crate::error::CertificateError;
use crate::name::DistinguishedName;
use crate::public_key::PublicKey;
use crate::time::UnixTime;

/// Extensions of a list that change nothing for a complete one.
const HARMLESS: &[ObjectIdentifier] = &[rfc5912::ID_CE_CRL_NUMBER, rfc5912::ID_CE_AUTHORITY_KEY_IDENTIFIER];

/// A CRL.
pub struct RevocationList {
    der: Vec<u8>,
    signed: Signed,
    issuer: DistinguishedName,
    next_update: Option<UnixTime>,
    /// Serial numbers, and since when they are revoked.
    revoked: BTreeMap<Vec<u8>, UnixTime>,
    /// Whether the key with this `SubjectPublicKeyInfo` signed it, of the first that was asked about: as a rule there is one.
    signed_by: OnceLock<(Vec<u8>, bool)>,
}

impl RevocationList {
    /// Reads a CRL that fills `der` to its end. Its signature is checked when a path is.
    ///
    /// # Errors
    /// [`CertificateError::Malformed`], or [`CertificateError::NotUnderstood`] for a list that is not complete (delta and indirect lists).
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        let malformed = |_| CertificateError::Malformed { what: "the revocation list" };
        let signed = Signed::read(der).map_err(malformed)?;
        let list = CertificateList::<x509_cert::certificate::Rfc5280>::from_der(der)
            .map_err(malformed)?
            .tbs_cert_list;
        let issuer = DistinguishedName::new(&list.issuer)
            .map_err(|_| CertificateError::Malformed { what: "the revocation list" })?;
        let entries = list.revoked_certificates.unwrap_or_default();
        let of_list = list.crl_extensions.iter().flatten();
        let of_entries = entries.iter().flat_map(|entry| entry.crl_entry_extensions.iter().flatten());
        let mut critical = of_list.chain(of_entries).filter(|extension| extension.critical);
        if let Some(unknown) = critical.find(|extension| !HARMLESS.contains(&extension.extn_id)) {
            return Err(CertificateError::NotUnderstood {
                subject: issuer,
                extension: unknown.extn_id.to_string(),
            });
        }
        let entry = |entry: &x509_cert::crl::RevokedCert| {
            (entry.serial_number.as_bytes().to_vec(), entry.revocation_date.into())
        };
        Ok(Self {
            der: der.to_vec(),
            signed,
            issuer,
            next_update: list.next_update.map(Into::into),
            revoked: entries.iter().map(entry).collect(),
            signed_by: OnceLock::new(),
        })
    }

    /// The CA.
    #[must_use]
    pub const fn issuer(&self) -> &DistinguishedName {
        &self.issuer
    }

    /// Its bytes.
    pub(crate) fn der(&self) -> &[u8] {
        &self.der
    }

    /// Whether this key signed it.
    fn is_by(&self, key: &PublicKey) -> bool {
        let (first, is_by) = self.signed_by.get_or_init(|| (key.info().to_vec(), self.signed.is_by(key)));
        if first == key.info() { *is_by } else { self.signed.is_by(key) }
    }

    /// When the CA issues the next one: this one is of no use afterwards.
    #[must_use]
    pub const fn next_update(&self) -> Option<UnixTime> {
        self.next_update
    }

    /// Whether `certificate`, which `issuer` issued, is not in it. A list that is out of date or not the issuer's says no, too: fail closed.
    pub(crate) fn check(
        &self,
        certificate: &Certificate,
        issuer: &Certificate,
        now: UnixTime,
    ) -> Result<(), CertificateError> {
        if let Some(at) = self.revoked.get(&certificate.serial) {
            return Err(CertificateError::Revoked { subject: certificate.subject.clone(), at: *at });
        }
        let sound = self.signed.algorithm.as_ref().is_ok_and(|algorithm| !algorithm.is_weak());
        if !issuer.extensions.signs_revocations || !sound || !self.is_by(issuer.public_key()?) {
            return Err(CertificateError::ForgedRevocations { issuer: self.issuer.clone() });
        }
        match self.next_update {
            Some(at) if at < now => {
                Err(CertificateError::StaleRevocations { issuer: self.issuer.clone(), at })
            }
            _ => Ok(()),
        }
    }
}

impl PartialEq for RevocationList {
    fn eq(&self, other: &Self) -> bool {
        self.der == other.der
    }
}

impl Eq for RevocationList {}

impl fmt::Debug for RevocationList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RevocationList({}, {} entries)", self.issuer, self.revoked.len())
    }
}
