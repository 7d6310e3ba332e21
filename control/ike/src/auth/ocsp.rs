//! OCSP responses in IKE_AUTH (RFC 4806): asked for by a CERTREQ payload, and sent as CERT payloads beside the certificates that they are about. What they say is the
//! business of `crossgate-pki`.

use crossgate_pki::{CHAIN_MAX, OcspPolicy, OcspResponse, TrustStore, UnixTime};

use super::CertificateAuthentication;
use crate::wire::{CertEncoding, Certificate, CertificateRequest, Message, Payload};

/// CERTREQ for a response about the peer's certificate, if one of `trusted` wants one. No responder is named: whoever the CA has named will do (RFC 4806, 3.1).
pub(crate) fn request<'a>(mut trusted: impl Iterator<Item = &'a TrustStore>) -> Option<Payload> {
    trusted.any(|trust| trust.ocsp() != OcspPolicy::Off).then(|| {
        let encoding = CertEncoding::OCSP_CONTENT;
        Payload::CertificateRequest(CertificateRequest { encoding, authorities: Vec::new() })
    })
}

/// Whether a peer asks for one.
pub(crate) fn is_requested(message: &Message) -> bool {
    let is_request = |payload: &Payload| matches!(payload, Payload::CertificateRequest(found) if found.encoding == CertEncoding::OCSP_CONTENT);
    message.payloads.iter().any(is_request)
}

/// CERT payloads with the responses about our certificates, for a peer that asked.
pub(crate) fn responses(
    by: &CertificateAuthentication,
    asked: bool,
    now: UnixTime,
) -> impl Iterator<Item = Payload> {
    let held = asked.then(|| by.credential.responses(now)).into_iter().flatten();
    held.map(|response| {
        let (encoding, data) = (CertEncoding::OCSP_CONTENT, response.der().to_vec());
        Payload::Certificate(Certificate { encoding, data })
    })
}

/// The responses that a message brings, as they came.
pub(crate) fn of(message: &Message) -> Vec<Vec<u8>> {
    let found = message.payloads.iter().filter_map(|payload| match payload {
        Payload::Certificate(found) if found.encoding == CertEncoding::OCSP_CONTENT => {
            Some(found.data.clone())
        }
        _ => None,
    });
    found.collect()
}

/// Reads what a peer sent. What is no answer (it cannot be read, the responder said "try later", there are too many) is left out, as if it had not come: where
/// a response is required, there is none then, else the lists decide.
pub(crate) fn read(trust: &TrustStore, sent: &[Vec<u8>]) -> Vec<OcspResponse> {
    if trust.ocsp() == OcspPolicy::Off {
        return Vec::new();
    }
    sent.iter().take(CHAIN_MAX).filter_map(|der| OcspResponse::from_der(der).ok()).collect()
}
