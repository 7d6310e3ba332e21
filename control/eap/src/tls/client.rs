//! Whether a client's certificate is believed, and who the client is by it. The path is checked by `crossgate-pki`, like that of any other peer: TLS does not decide whom to trust.

use std::sync::Arc;

use crossgate_pki::{CHAIN_MAX, Certificate, CertificateError, ProvenPath, Subject, TrustStore, UnixTime};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::CertificateDer;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, OtherError, PeerMisbehaved, SignatureScheme};

use super::ClientPath;
use super::signature::{SCHEMES, is_by};

/// Checks the certificate of one client.
#[derive(Debug)]
pub(super) struct Verifier {
    trust: Arc<TrustStore>,
    /// The names of the authorities, so that a client with several certificates takes the right one.
    authorities: Arc<[DistinguishedName]>,
    /// Where the path of the certificate goes.
    path: ClientPath,
}

impl Verifier {
    pub(super) const fn new(
        trust: Arc<TrustStore>,
        authorities: Arc<[DistinguishedName]>,
        path: ClientPath,
    ) -> Self {
        Self { trust, authorities, path }
    }

    fn check(&self, chain: &[&CertificateDer<'_>], now: UnixTime) -> Result<ProvenPath, CertificateError> {
        if chain.len() > CHAIN_MAX {
            return Err(CertificateError::TooMany);
        }
        let chain = chain.iter().map(|der| Certificate::from_der(der)).collect::<Result<Vec<_>, _>>()?;
        let (end, intermediates) = chain.split_first().ok_or(CertificateError::None)?;
        self.trust.prove(end, intermediates, now)
    }
}

/// Why a certificate was not believed, if that is what TLS failed for.
pub(super) fn reason(error: &Error) -> Option<CertificateError> {
    match error {
        Error::NoCertificatesPresented => Some(CertificateError::None),
        Error::InvalidCertificate(rustls::CertificateError::Other(OtherError(why))) => {
            why.downcast_ref().cloned()
        }
        _ => None,
    }
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.authorities
    }

    fn verify_client_cert(
        &self,
        end: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: rustls::pki_types::UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let chain: Vec<_> = std::iter::once(end).chain(intermediates).collect();
        let refused =
            |error| Error::InvalidCertificate(rustls::CertificateError::Other(OtherError(Arc::new(error))));
        let path = self.check(&chain, UnixTime(now.as_secs())).map_err(refused)?;
        // TLS asks once in a handshake, and there is no other.
        self.path.set(path).map_err(|_| Error::General("a second certificate".to_owned()))?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let bad = || Error::InvalidCertificate(rustls::CertificateError::BadSignature);
        let certificate = Certificate::from_der(certificate).map_err(|_| bad())?;
        let key = certificate.public_key().map_err(|_| bad())?;
        if is_by(key, signed.scheme, message, signed.signature()) {
            Ok(HandshakeSignatureValid::assertion())
        } else {
            Err(bad())
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        // RSA with PKCS#1 is for certificates only (RFC 8446, 4.4.3).
        if matches!(
            signed.scheme,
            SignatureScheme::RSA_PKCS1_SHA256
                | SignatureScheme::RSA_PKCS1_SHA384
                | SignatureScheme::RSA_PKCS1_SHA512
        ) {
            return Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into());
        }
        self.verify_tls12_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SCHEMES.iter().map(|(scheme, _)| *scheme).collect()
    }
}

/// Who a client is by its certificate: its first e-mail address, else its subject's common name, else its first DNS name, else its whole subject. One certificate, one name,
/// whatever the client calls itself and however it proves that the certificate is its own. What is compared without case is in lower case here.
#[must_use]
pub fn user_of(certificate: &Certificate) -> String {
    let names = certificate.names();
    let first = |fits: fn(&Subject) -> bool| {
        names.iter().find(|name| fits(name)).map(|name| name.plain().to_string())
    };
    let email = first(|name| matches!(name, Subject::Email(_)));
    let common = || certificate.subject().common_names().next().map(ToOwned::to_owned);
    let dns = || first(|name| matches!(name, Subject::Dns(_)));
    let user = email.or_else(common).or_else(dns);
    user.unwrap_or_else(|| certificate.subject().to_string())
}

/// Whether a client that calls itself so (EAP-Identity) is whom its certificate names. One that keeps its name to itself (RFC 7542, 2.4; RFC 9190, 2.1.8), and one that
/// names its machine as Windows does, is, too.
pub(super) fn is_named(certificate: &Certificate, identity: &str) -> bool {
    let plain = identity.rsplit('\\').next().unwrap_or_default();
    let plain = plain.strip_prefix("host/").unwrap_or(plain);
    if plain.is_empty() || plain.starts_with('@') {
        return true;
    }
    let names = certificate.names();
    let has = |wanted: &Subject| names.iter().any(|name| name.is_same(wanted));
    has(&Subject::Email(plain.to_owned()))
        || has(&Subject::Dns(plain.to_owned()))
        || plain.parse().is_ok_and(|name| has(&Subject::Name(name)))
        || certificate.subject().common_names().any(|name| name.eq_ignore_ascii_case(plain))
}
