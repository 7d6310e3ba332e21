//! One certificate (RFC 5280, 4): read once, kept with what is asked of it.

use std::fmt;

use der::{Decode as _, Encode as _, Reader as _, SliceReader};

use crate::algorithm::{Digest, SignatureAlgorithm, UnknownAlgorithm};
use crate::error::CertificateError;
use crate::extension::Extensions;
use crate::name::DistinguishedName;
use crate::public_key::{KeyError, PublicKey};
use crate::subject::Subject;
use crate::time::UnixTime;
use crate::twin;

/// A certificate.
pub struct Certificate {
    pub(crate) der: Vec<u8>,
    pub(crate) signed: Signed,
    pub(crate) serial: Vec<u8>,
    pub(crate) issuer: DistinguishedName,
    pub(crate) subject: DistinguishedName,
    pub(crate) not_before: UnixTime,
    pub(crate) not_after: UnixTime,
    pub(crate) key: Result<PublicKey, KeyError>,
    pub(crate) extensions: Extensions,
}

/// What an issuer signed, and its signature.
pub(crate) struct Signed {
    pub(crate) content: Vec<u8>,
    pub(crate) algorithm: Result<SignatureAlgorithm, UnknownAlgorithm>,
    pub(crate) signature: Vec<u8>,
}

#[cfg(test)]
thread_local! {
    /// Signatures that this thread checked, for tests of what something costs.
    pub(crate) static CHECKED: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
}

impl Signed {
    /// Reads the frame that certificates and CRLs share: content, algorithm, signature.
    pub(crate) fn read(der: &[u8]) -> der::Result<Self> {
        let mut reader = SliceReader::new(der)?;
        let signed = reader.sequence(Self::read_body)?;
        reader.finish()?;
        Ok(signed)
    }

    /// The same from within the frame.
    pub(crate) fn read_body(body: &mut SliceReader<'_>) -> der::Result<Self> {
        let content = body.tlv_bytes()?.to_vec();
        let identifier = spki::AlgorithmIdentifierRef::decode(body)?;
        let signature = der::asn1::BitString::decode(body)?;
        let signature = signature.as_bytes().ok_or(der::ErrorKind::Failed)?.to_vec();
        Ok(Self { content, algorithm: SignatureAlgorithm::from_identifier(identifier), signature })
    }

    pub(crate) fn is_by(&self, key: &PublicKey) -> bool {
        #[cfg(test)]
        CHECKED.set(CHECKED.get() + 1);
        let Ok(algorithm) = self.algorithm else { return false };
        key.verify(algorithm, &self.content, &self.signature).is_ok()
    }
}

impl Certificate {
    /// Reads a certificate that fills `der` to its end. Whether it may be used is for [`crate::TrustStore::verify`] to say.
    ///
    /// # Errors
    /// [`CertificateError::Malformed`].
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        Self::read(der).map_err(|_| CertificateError::Malformed { what: "the certificate" })
    }

    fn read(der: &[u8]) -> der::Result<Self> {
        let signed = Signed::read(der)?;
        let parsed = x509_cert::Certificate::from_der(der)?;
        let content = parsed.tbs_certificate();
        // The algorithm is there twice; what is signed must say the same (RFC 5280, 4.1.1.2).
        if content.signature() != parsed.signature_algorithm() {
            return Err(der::ErrorKind::Failed.into());
        }
        let failed = |_| der::Error::from(der::ErrorKind::Failed);
        let info = content.subject_public_key_info().to_der()?;
        Ok(Self {
            der: der.to_vec(),
            signed,
            serial: content.serial_number().as_bytes().to_vec(),
            issuer: DistinguishedName::new(content.issuer()).map_err(failed)?,
            subject: DistinguishedName::new(content.subject()).map_err(failed)?,
            not_before: content.validity().not_before.into(),
            not_after: content.validity().not_after.into(),
            key: PublicKey::from_der(&info),
            extensions: Extensions::read(content.extensions().map_or(&[][..], |all| all.as_slice()))?,
        })
    }

    /// Its bytes.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The SHA-1 hash of its bytes, by which operators call it.
    ///
    /// # Panics
    /// Never: the hash is that long.
    #[must_use]
    pub fn thumbprint(&self) -> [u8; 20] {
        Digest::Sha1.of(&self.der).try_into().expect("SHA-1 has 20 bytes")
    }

    /// Its thumbprint, and those of the other forms that its holder can give it (`twin.rs`).
    pub(crate) fn thumbprints(&self) -> impl Iterator<Item = [u8; 20]> {
        let others = twin::of(&self.der).into_iter().filter_map(|der| Digest::Sha1.of(&der).try_into().ok());
        std::iter::once(self.thumbprint()).chain(others)
    }

    /// Whom it is for.
    #[must_use]
    pub const fn subject(&self) -> &DistinguishedName {
        &self.subject
    }

    /// Who issued it.
    #[must_use]
    pub const fn issuer(&self) -> &DistinguishedName {
        &self.issuer
    }

    /// The last second of its life.
    #[must_use]
    pub const fn not_after(&self) -> UnixTime {
        self.not_after
    }

    /// Whether it is an authority's.
    #[must_use]
    pub const fn is_authority(&self) -> bool {
        self.extensions.is_authority
    }

    /// Whether it was issued by its own subject.
    #[must_use]
    pub fn is_self_issued(&self) -> bool {
        self.issuer == self.subject
    }

    /// Everything that it names: its subject, unless that is empty, then its alternative names.
    #[must_use]
    pub fn names(&self) -> Vec<Subject> {
        let subject = (!self.subject.is_empty()).then(|| Subject::Name(self.subject.clone()));
        subject.into_iter().chain(self.extensions.alternative_names.iter().cloned()).collect()
    }

    /// Whether it vouches for `name`.
    #[must_use]
    pub fn is_for(&self, name: &Subject) -> bool {
        self.names().iter().any(|own| own.is_same(name))
    }

    /// Its key.
    ///
    /// # Errors
    /// [`CertificateError::Unusable`] if the key is of an unknown kind, weak or broken.
    pub fn public_key(&self) -> Result<&PublicKey, CertificateError> {
        self.key.as_ref().map_err(|error| CertificateError::Unusable {
            subject: self.subject.clone(),
            why: error.to_string(),
        })
    }

    /// Whether `now` is within its life.
    ///
    /// # Errors
    /// [`CertificateError::NotYetValid`], [`CertificateError::Expired`].
    pub fn check_time(&self, now: UnixTime) -> Result<(), CertificateError> {
        let subject = || self.subject.clone();
        if now < self.not_before {
            return Err(CertificateError::NotYetValid { subject: subject(), at: self.not_before, now });
        }
        if now > self.not_after {
            return Err(CertificateError::Expired { subject: subject(), at: self.not_after });
        }
        Ok(())
    }

    /// Whether its extensions let it speak for an IKE peer (RFC 4945, 5.1.3.2 and 5.1.3.12), or for a client that logs in: what is for servers alone is none of a client's.
    ///
    /// # Errors
    /// [`CertificateError::WrongUsage`].
    pub fn check_usage(&self, is_client: bool) -> Result<(), CertificateError> {
        let wrong = |extension, allows| CertificateError::WrongUsage {
            subject: self.subject.clone(),
            extension,
            allows,
        };
        if !self.extensions.signs {
            return Err(wrong("keyUsage", "digitalSignature nor nonRepudiation"));
        }
        if is_client && !self.extensions.serves_clients {
            return Err(wrong("extendedKeyUsage", "clientAuth nor ipsecIKE"));
        }
        if !self.extensions.serves_ike {
            return Err(wrong("extendedKeyUsage", "ipsecIKE nor serverAuth nor clientAuth"));
        }
        Ok(())
    }

    /// Whether `issuer` may be the one who issued this, by name and key identifier; the signature decides.
    pub(crate) fn names_issuer(&self, issuer: &Self) -> bool {
        let keys_differ = match (&self.extensions.authority_key, &issuer.extensions.subject_key) {
            (Some(wanted), Some(had)) => wanted != had,
            _ => false,
        };
        self.issuer == issuer.subject && !keys_differ
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.der == other.der
    }
}

impl Eq for Certificate {}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({}, by {})", self.subject, self.issuer)
    }
}
