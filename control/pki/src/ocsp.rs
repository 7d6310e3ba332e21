//! OCSP responses (RFC 6960): what a CA, or whom it named for that, said of a certificate, and until when that holds. A peer sends the one about its own certificate
//! with it (RFC 4806); nobody is asked here.
//!
//! Read by hand over `der`, since RustCrypto's `x509-ocsp` is still one for the versions before those that everything else here has.

use std::fmt;

use const_oid::ObjectIdentifier;
use der::asn1::{AnyRef, GeneralizedTime};
use der::{Decode as _, Encode as _, Reader as _, SliceReader, Tag, TagNumber, Tagged as _};
use spki::AlgorithmIdentifierRef;
use x509_cert::serial_number::SerialNumber;

use crate::algorithm::Digest;
use crate::certificate::{Certificate, Signed};
use crate::error::CertificateError;
use crate::name::DistinguishedName;
use crate::time::UnixTime;

/// id-pkix-ocsp-basic.
const BASIC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.1");
/// How far the responder's clock may be ahead of ours, in seconds.
const AHEAD_MAX_S: u64 = 300;
/// How long a response is good that does not say it, in seconds.
const UNLIMITED_MAX_S: u64 = 86_400;
/// Certificates of responders that are looked at in one response.
const RESPONDERS_MAX: usize = 4;

/// What is done about OCSP with a peer's certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OcspPolicy {
    /// No response is asked for, nor looked at.
    #[default]
    Off,
    /// Responses are asked for; whoever sends none is judged by revocation lists alone.
    Ask,
    /// A peer without a good response is refused.
    Require,
}

/// A response, read. Its signature is checked when a path is.
pub struct OcspResponse {
    der: Vec<u8>,
    signed: Signed,
    responder: Responder,
    answers: Vec<Answer>,
    /// Of whom the CA may have named to answer for it.
    certificates: Vec<Certificate>,
    /// A critical extension that nobody here knows.
    not_understood: Option<String>,
}

#[derive(PartialEq, Eq)]
enum Responder {
    Name(DistinguishedName),
    /// SHA-1 of the key.
    Key(Vec<u8>),
}

/// What is said of one certificate.
struct Answer {
    digest: Digest,
    issuer_name_hash: Vec<u8>,
    issuer_key_hash: Vec<u8>,
    serial: Vec<u8>,
    status: Status,
    this_update: UnixTime,
    next_update: Option<UnixTime>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Good,
    Revoked(UnixTime),
    Unknown,
}

impl OcspResponse {
    /// Reads a response that fills `der` to its end.
    ///
    /// # Errors
    /// [`CertificateError::Malformed`], also for one that says that the responder could not answer.
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        Self::read(der).map_err(|_| CertificateError::Malformed { what: "the OCSP response" })
    }

    fn read(der: &[u8]) -> der::Result<Self> {
        let [status, bytes] = parts(AnyRef::from_der(der)?)?[..] else { return Err(failed()) };
        if (status.tag(), status.value()) != (Tag::Enumerated, &[0]) {
            return Err(failed());
        }
        let [kind, content] = parts(explicit(bytes, 0)?.ok_or_else(failed)?)?[..] else {
            return Err(failed());
        };
        if kind.decode_as::<ObjectIdentifier>()? != BASIC || content.tag() != Tag::OctetString {
            return Err(failed());
        }
        let mut reader = SliceReader::new(content.value())?;
        let (signed, certificates) = reader.sequence(|body| {
            let signed = Signed::read_body(body)?;
            let certificates = match body.is_finished() {
                true => Vec::new(),
                false => parts(explicit(AnyRef::decode(body)?, 0)?.ok_or_else(failed)?)?,
            };
            Ok::<_, der::Error>((signed, certificates))
        })?;
        reader.finish()?;
        let certificates = certificates.into_iter().take(RESPONDERS_MAX);
        let certificates = certificates.filter_map(|any| Certificate::from_der(&any.to_der().ok()?).ok());
        let certificates = certificates.collect();
        let data = Data::read(&signed.content)?;
        let Data { responder, answers, not_understood } = data;
        Ok(Self { der: der.to_vec(), signed, responder, answers, certificates, not_understood })
    }

    /// Its bytes.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Whether it is about `certificate`, by serial number and by the issuer's name: the issuer's key is not known yet.
    #[must_use]
    pub fn is_about(&self, certificate: &Certificate) -> bool {
        self.answers.iter().any(|answer| answer.is_about(certificate))
    }

    /// Whether what it says of `certificate` holds by `now`, and is good.
    ///
    /// # Errors
    /// What else it says: [`CertificateError::Revoked`], [`CertificateError::UnknownStatus`], [`CertificateError::StaleStatus`].
    pub fn judge(&self, certificate: &Certificate, now: UnixTime) -> Result<(), CertificateError> {
        let answer = self.answers.iter().find(|answer| answer.is_about(certificate));
        answer.map_or_else(|| Err(unknown(certificate)), |answer| answer.judge(certificate, now))
    }

    /// What it says of `certificate`, which `issuer` issued; `None` if nothing. Fails closed. `signatures` counts those that are checked. `is_revoked` is asked about a
    /// responder that the issuer named.
    pub(crate) fn check(
        &self,
        certificate: &Certificate,
        issuer: &Certificate,
        now: UnixTime,
        signatures: &mut u32,
        is_revoked: impl Fn(&Certificate) -> Result<(), CertificateError>,
    ) -> Option<Result<(), CertificateError>> {
        let is_meant = |answer: &&Answer| answer.is_about(certificate) && answer.is_by(issuer);
        let answer = self.answers.iter().find(is_meant)?;
        let outcome = self.check_signature(certificate, issuer, now, signatures, is_revoked);
        Some(outcome.and_then(|()| answer.judge(certificate, now)))
    }

    /// Whether it is signed by `issuer`, or by whom that named for it (RFC 6960, 4.2.2.2).
    fn check_signature(
        &self,
        certificate: &Certificate,
        issuer: &Certificate,
        now: UnixTime,
        signatures: &mut u32,
        is_revoked: impl Fn(&Certificate) -> Result<(), CertificateError>,
    ) -> Result<(), CertificateError> {
        let forged = || CertificateError::ForgedStatus { subject: certificate.subject.clone() };
        if let Some(extension) = &self.not_understood {
            let (subject, extension) = (certificate.subject.clone(), extension.clone());
            return Err(CertificateError::NotUnderstood { subject, extension });
        }
        let is_sound =
            |signed: &Signed| signed.algorithm.as_ref().is_ok_and(|algorithm| !algorithm.is_weak());
        if !is_sound(&self.signed) {
            return Err(forged());
        }
        if self.responder.is(issuer) {
            *signatures += 1;
            return if self.signed.is_by(issuer.public_key()?) { Ok(()) } else { Err(forged()) };
        }
        let named = self.certificates.iter().find(|responder| {
            self.responder.is(responder)
                && responder.extensions.signs_ocsp
                && responder.extensions.signs
                && responder.extensions.not_understood.is_none()
                && responder.names_issuer(issuer)
                && is_sound(&responder.signed)
        });
        let responder = named.ok_or_else(forged)?;
        responder.check_time(now)?;
        *signatures += 2;
        if !responder.signed.is_by(issuer.public_key()?) || !self.signed.is_by(responder.public_key()?) {
            return Err(forged());
        }
        is_revoked(responder)
    }
}

impl Responder {
    fn is(&self, certificate: &Certificate) -> bool {
        match self {
            Self::Name(name) => *name == certificate.subject,
            Self::Key(hash) => key_hash(certificate, Digest::Sha1).as_ref() == Some(hash),
        }
    }
}

impl Answer {
    fn is_about(&self, certificate: &Certificate) -> bool {
        self.serial == certificate.serial && self.digest.of(certificate.issuer.der()) == self.issuer_name_hash
    }

    fn is_by(&self, issuer: &Certificate) -> bool {
        key_hash(issuer, self.digest).as_ref() == Some(&self.issuer_key_hash)
    }

    fn judge(&self, certificate: &Certificate, now: UnixTime) -> Result<(), CertificateError> {
        let subject = certificate.subject.clone();
        match self.status {
            // For good, however old the word is.
            Status::Revoked(at) => return Err(CertificateError::Revoked { subject, at }),
            Status::Unknown => return Err(unknown(certificate)),
            Status::Good => {}
        }
        let until = self.next_update.unwrap_or(UnixTime(self.this_update.0.saturating_add(UNLIMITED_MAX_S)));
        if now > until || self.this_update.0 > now.0.saturating_add(AHEAD_MAX_S) {
            return Err(CertificateError::StaleStatus { subject, from: self.this_update, to: until });
        }
        Ok(())
    }
}

fn unknown(certificate: &Certificate) -> CertificateError {
    CertificateError::UnknownStatus { subject: certificate.subject.clone() }
}

/// Of the bits of a certificate's key, without what says of which kind it is.
fn key_hash(certificate: &Certificate, digest: Digest) -> Option<Vec<u8>> {
    let info = certificate.public_key().ok()?.info();
    let parsed = spki::SubjectPublicKeyInfoRef::from_der(info).ok()?;
    Some(digest.of(parsed.subject_public_key.as_bytes()?))
}

/// `ResponseData`.
struct Data {
    responder: Responder,
    answers: Vec<Answer>,
    not_understood: Option<String>,
}

impl Data {
    fn read(content: &[u8]) -> der::Result<Self> {
        let all = parts(AnyRef::from_der(content)?)?;
        // The version, which is the default one.
        let rest = if is_context(all.first().copied(), 0) { &all[1..] } else { &all[..] };
        let [responder, produced, answers, extensions @ ..] = rest else { return Err(failed()) };
        produced.decode_as::<GeneralizedTime>()?;
        let responder = match (explicit(*responder, 1)?, explicit(*responder, 2)?) {
            (Some(name), _) => {
                Responder::Name(DistinguishedName::from_der(&name.to_der()?).map_err(|_| failed())?)
            }
            (_, Some(key)) if key.tag() == Tag::OctetString => Responder::Key(key.value().to_vec()),
            _ => return Err(failed()),
        };
        let (answers, mut critical): (Vec<_>, Vec<_>) =
            parts(*answers)?.into_iter().map(answer).collect::<der::Result<Vec<_>>>()?.into_iter().unzip();
        critical.push(unknown_critical(extensions, 1)?);
        Ok(Self { responder, answers, not_understood: critical.into_iter().flatten().next() })
    }
}

/// `SingleResponse`, and a critical extension of it.
fn answer(any: AnyRef<'_>) -> der::Result<(Answer, Option<String>)> {
    let all = parts(any)?;
    let [id, status, this_update, rest @ ..] = &all[..] else { return Err(failed()) };
    let [algorithm, name, key, serial] = parts(*id)?[..] else { return Err(failed()) };
    let algorithm = AlgorithmIdentifierRef::from_der(&algorithm.to_der()?)?.oid;
    let serial: SerialNumber = serial.decode_as()?;
    let (next_update, extensions) = match rest {
        [next, extensions @ ..] if is_context(Some(*next), 0) => (explicit(*next, 0)?, extensions),
        extensions => (None, extensions),
    };
    let time = |any: AnyRef<'_>| {
        any.decode_as::<GeneralizedTime>().map(|at| UnixTime(at.to_unix_duration().as_secs()))
    };
    let status = match status.tag() {
        Tag::ContextSpecific { number: TagNumber(0), .. } => Status::Good,
        Tag::ContextSpecific { number: TagNumber(1), constructed: true } => {
            let mut reader = SliceReader::new(status.value())?;
            Status::Revoked(time(AnyRef::decode(&mut reader)?)?)
        }
        Tag::ContextSpecific { number: TagNumber(2), .. } => Status::Unknown,
        _ => return Err(failed()),
    };
    let answer = Answer {
        digest: Digest::from_oid(algorithm).ok_or_else(failed)?,
        issuer_name_hash: name.value().to_vec(),
        issuer_key_hash: key.value().to_vec(),
        serial: serial.as_bytes().to_vec(),
        status,
        this_update: time(*this_update)?,
        next_update: next_update.map(time).transpose()?,
    };
    Ok((answer, unknown_critical(extensions, 1)?))
}

/// A critical extension: none is known here. `rest` is what may hold them, under the tag `number`.
fn unknown_critical(rest: &[AnyRef<'_>], number: u32) -> der::Result<Option<String>> {
    let [tagged] = rest else { return if rest.is_empty() { Ok(None) } else { Err(failed()) } };
    for extension in parts(explicit(*tagged, number)?.ok_or_else(failed)?)? {
        let fields = parts(extension)?;
        let [oid, critical, ..] = &fields[..] else { return Err(failed()) };
        if critical.tag() == Tag::Boolean && critical.value() != [0] {
            return oid.decode_as::<ObjectIdentifier>().map(|oid| Some(oid.to_string()));
        }
    }
    Ok(None)
}

/// The elements of a SEQUENCE.
pub(crate) fn parts(any: AnyRef<'_>) -> der::Result<Vec<AnyRef<'_>>> {
    any.tag().assert_eq(Tag::Sequence)?;
    let mut reader = SliceReader::new(any.value())?;
    let mut parts = Vec::new();
    while !reader.is_finished() {
        parts.push(AnyRef::decode(&mut reader)?);
    }
    Ok(parts)
}

fn is_context(any: Option<AnyRef<'_>>, wanted: u32) -> bool {
    any.is_some_and(|any| {
        matches!(any.tag(), Tag::ContextSpecific { number: TagNumber(number), constructed: true } if number == wanted)
    })
}

/// What is under an explicit tag; `None` under another one.
fn explicit(any: AnyRef<'_>, number: u32) -> der::Result<Option<AnyRef<'_>>> {
    is_context(Some(any), number).then(|| AnyRef::from_der(any.value())).transpose()
}

fn failed() -> der::Error {
    der::ErrorKind::Failed.into()
}

impl PartialEq for OcspResponse {
    fn eq(&self, other: &Self) -> bool {
        self.der == other.der
    }
}

impl Eq for OcspResponse {}

impl fmt::Debug for OcspResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OcspResponse({} answers)", self.answers.len())
    }
}

#[cfg(test)]
mod tests;
