//! Why a certificate is not accepted: what the operator reads, and which side must change what.

use thiserror::Error;

use crate::name::DistinguishedName;
use crate::subject::Subject;
use crate::time::UnixTime;

/// Whose certificate it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// This gateway's.
    Ours,
    /// The peer's.
    Peer,
}

/// Why a certificate, a CRL or the path to a trust anchor is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CertificateError {
    /// Not DER, or not a certificate or CRL.
    #[error("{what} cannot be read")]
    Malformed {
        /// What was to be read.
        what: &'static str,
    },
    /// notAfter is past.
    #[error("the certificate of {subject} expired at {at}")]
    Expired {
        /// Whose.
        subject: DistinguishedName,
        /// notAfter.
        at: UnixTime,
    },
    /// notBefore is to come.
    #[error("the certificate of {subject} is not valid before {at}, and now is {now}")]
    NotYetValid {
        /// Whose.
        subject: DistinguishedName,
        /// notBefore.
        at: UnixTime,
        /// The time by our clock.
        now: UnixTime,
    },
    /// It stands in its issuer's CRL.
    #[error("the certificate of {subject} was revoked by its issuer at {at}")]
    Revoked {
        /// Whose.
        subject: DistinguishedName,
        /// Since when.
        at: UnixTime,
    },
    /// An operator does not trust it any more.
    #[error("the certificate of {subject} was revoked here, by its thumbprint")]
    Withdrawn {
        /// Whose.
        subject: DistinguishedName,
    },
    /// No path leads to a trust anchor.
    #[error(
        "the certificate of {subject} was issued by {issuer}, which is an unknown CA: no path leads to a trust anchor"
    )]
    UnknownIssuer {
        /// The last certificate that was found.
        subject: DistinguishedName,
        /// Who is not there.
        issuer: DistinguishedName,
    },
    /// It calls itself as a trusted certificate's subject does, but is not signed with that key.
    #[error("the signature of the certificate of {subject} is wrong: {issuer} did not issue it")]
    BadSignature {
        /// Whose.
        subject: DistinguishedName,
        /// By whom it claims to be issued.
        issuer: DistinguishedName,
    },
    /// SHA-1.
    #[error("the certificate of {subject} is signed by {algorithm}, which is broken")]
    WeakSignature {
        /// Whose.
        subject: DistinguishedName,
        /// The algorithm's name.
        algorithm: String,
    },
    /// An algorithm or a key that is not supported, or a key that is too short.
    #[error("the certificate of {subject} cannot be used: {why}")]
    Unusable {
        /// Whose.
        subject: DistinguishedName,
        /// Algorithm or key.
        why: String,
    },
    /// basicConstraints or keyUsage forbids to issue certificates.
    #[error("{subject} issued a certificate, but is no CA (basicConstraints, keyUsage keyCertSign)")]
    NotAnAuthority {
        /// Whose.
        subject: DistinguishedName,
    },
    /// pathLenConstraint.
    #[error("the path below the CA {subject} is longer than it allows (pathLenConstraint)")]
    PathTooLong {
        /// Whose.
        subject: DistinguishedName,
    },
    /// keyUsage or extendedKeyUsage.
    #[error("the certificate of {subject} is not meant for this: its {extension} allows neither {allows}")]
    WrongUsage {
        /// Whose.
        subject: DistinguishedName,
        /// Which extension.
        extension: &'static str,
        /// What it would have to allow.
        allows: &'static str,
    },
    /// A critical extension.
    #[error("the certificate of {subject} has an extension that is not understood here: {extension}")]
    NotUnderstood {
        /// Whose.
        subject: DistinguishedName,
        /// Its name or number.
        extension: String,
    },
    /// The CRL is out of date.
    #[error("the revocation list of {issuer} is out of date since {at}")]
    StaleRevocations {
        /// The CA.
        issuer: DistinguishedName,
        /// nextUpdate.
        at: UnixTime,
    },
    /// The CRL is not signed by its issuer.
    #[error("the revocation list of {issuer} is not signed by that CA, or by a weak algorithm")]
    ForgedRevocations {
        /// The CA.
        issuer: DistinguishedName,
    },
    /// OCSP: the response is too old, or from the future.
    #[error("the OCSP response for {subject} holds from {from} to {to} only")]
    StaleStatus {
        /// Whose certificate it is about.
        subject: DistinguishedName,
        /// thisUpdate.
        from: UnixTime,
        /// nextUpdate, or a day later.
        to: UnixTime,
    },
    /// OCSP: whoever signed the response may not.
    #[error(
        "the OCSP response for {subject} is signed neither by its issuer nor by whom that named for it (OCSPSigning)"
    )]
    ForgedStatus {
        /// Whose certificate it is about.
        subject: DistinguishedName,
    },
    /// OCSP: the responder says nothing of the certificate.
    #[error("the OCSP responder does not know the certificate of {subject}")]
    UnknownStatus {
        /// Whose certificate it is about.
        subject: DistinguishedName,
    },
    /// OCSP: no response, where one is required.
    #[error("the peer sent no OCSP response for the certificate of {subject}")]
    NoStatus {
        /// Whose certificate it is about.
        subject: DistinguishedName,
    },
    /// The identity is none of the certificate's names.
    #[error("the certificate is not for {claimed}: its names are {}", Listed(.names))]
    WrongName {
        /// Who the peer says it is.
        claimed: String,
        /// Whom the certificate names.
        names: Vec<Subject>,
    },
    /// More certificates than anybody needs.
    #[error("the peer sent too many certificates")]
    TooMany,
    /// None at all.
    #[error("the peer sent no certificate")]
    None,
}

struct Listed<'a>(&'a [Subject]);

impl std::fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, name) in self.0.iter().take(8).enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            name.fmt(f)?;
        }
        Ok(())
    }
}

impl CertificateError {
    /// Which side must change what.
    #[must_use]
    pub const fn remedy(&self, whose: Side) -> &'static str {
        match (self, whose) {
            (Self::Malformed { .. }, Side::Peer) => {
                "give the peer an X.509 certificate that is DER throughout (RFC 5280)"
            }
            (Self::Malformed { .. }, Side::Ours) => {
                "name a file with X.509 certificates or CRLs, in PEM or DER"
            }
            (Self::Expired { .. }, Side::Peer) => {
                "renew the certificate at the peer (or the CA's, if it is a CA's), and check this gateway's clock"
            }
            (Self::Expired { .. }, Side::Ours) => {
                "renew the certificate here, and apply the configuration again"
            }
            (Self::NotYetValid { .. }, _) => "check the clocks of this gateway and of the CA",
            (Self::Revoked { .. }, Side::Peer) => {
                "the CA has withdrawn the peer's certificate: have a new one issued for the peer if it is still trusted"
            }
            (Self::Revoked { .. }, Side::Ours) => {
                "the CA has withdrawn this gateway's certificate: have a new one issued"
            }
            (Self::Withdrawn { .. }, _) => {
                "have a new certificate issued, or take the thumbprint out of vpn_client_revoked_certificates here if it is trusted again"
            }
            (Self::UnknownIssuer { .. }, Side::Peer) => {
                "add that CA's certificate to trust_anchors here if you trust it, let the peer send its intermediate certificates, or give the peer a certificate of a CA that is trusted here"
            }
            (Self::UnknownIssuer { .. }, Side::Ours) => {
                "put the intermediate certificates behind this gateway's own in the certificate file"
            }
            (Self::BadSignature { .. }, _) => {
                "another CA has the same name: compare the CA's certificate in trust_anchors with the one that issued the peer's certificate"
            }
            (Self::WeakSignature { .. }, _) => "have the certificate issued anew with SHA2-256 or better",
            (Self::Unusable { .. }, _) => {
                "have a certificate issued for a key of ECDSA P-256, P-384 or P-521, Ed25519, or RSA with 2048 to 8192 bits, signed with SHA2"
            }
            (Self::NotAnAuthority { .. } | Self::PathTooLong { .. }, _) => {
                "have the certificate issued by a CA that may issue it"
            }
            (Self::WrongUsage { .. }, _) => {
                "have the certificate issued with keyUsage digitalSignature, and with no extendedKeyUsage or one of ipsecIKE, clientAuth and, but for clients that log in, serverAuth"
            }
            (Self::NotUnderstood { .. }, _) => "have the certificate issued without that extension",
            (Self::StaleRevocations { .. }, _) => {
                "get the CA's current list into the file that crls names here, and apply the configuration again"
            }
            (Self::ForgedRevocations { .. }, _) => {
                "get the list from the CA anew, into the file that crls names here"
            }
            (Self::StaleStatus { .. }, Side::Ours) => {
                "get a current response from the CA's responder into a file that ocsp_responses names, and apply the configuration again"
            }
            (Self::StaleStatus { .. }, Side::Peer) => {
                "let the peer get a current response from the CA's responder, and check the clocks of this gateway and of the responder"
            }
            (Self::ForgedStatus { .. }, _) => {
                "have the responder's certificate issued by the CA itself with extendedKeyUsage OCSPSigning, and let it come with the response"
            }
            (Self::UnknownStatus { .. }, _) => {
                "ask the CA's responder whether it knows the certificate, and get another response"
            }
            (Self::NoStatus { .. }, _) => {
                "let the peer send an OCSP response (RFC 4806; strongSwan 5.9.14 and later, Crossgate: ocsp_responses), or take ocsp = \"Ask\" here"
            }
            (Self::WrongName { .. }, Side::Peer) => {
                "set the peer's local identity, and remote_id here, to a name of the peer's certificate, or have one issued with that identity as subjectAltName"
            }
            (Self::WrongName { .. }, Side::Ours) => {
                "set local_id to a name of the certificate, or have one issued with local_id as subjectAltName"
            }
            (Self::TooMany, _) => "let the peer send its own certificate and its intermediates only",
            (Self::None, _) => "let the peer send its certificate (strongSwan: send_cert = always)",
        }
    }
}
