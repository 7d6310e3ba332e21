//! Certificates of the other side: which files it needs, by which names the texts call them, and what has to be in them.

use std::fmt::{self, Write as _};

use crossgate_pki::KeyKind;

use super::{Far, PeerConfigError};
use crate::authentication::{Authentication, Certificates};

impl<'a> Far<'a> {
    /// What this side proves itself with, where that is no shared key.
    pub(super) fn certificates(&self) -> Option<&'a Certificates> {
        match &self.connection.authentication {
            Authentication::Certificate(certificates) => Some(certificates),
            Authentication::SharedKey(_) | Authentication::Login(_) => None,
        }
    }

    /// The other side's files: its certificate, the private key of that, and the authority of ours.
    pub(super) fn certificate_files(&self) -> [String; 3] {
        [".pem", ".key", "-ca.pem"].map(|end| format!("{}{end}", self.key_name))
    }

    /// The kind of key that our certificate has, for systems without Ed25519; `None` if it is no certificate.
    pub(super) fn rsa_or_ecdsa(&self, system: &'static str) -> Result<Option<KeyKind>, PeerConfigError> {
        match self.certificates().map(|own| own.credential.key().public_key().kind()) {
            Some(kind @ KeyKind::Ed25519) => {
                Err(PeerConfigError::CertificateKey { system, takes: "RSA or ECDSA", kind })
            }
            kind => Ok(kind),
        }
    }

    /// Says what the files are, behind the system's sign for comments.
    pub(super) fn tell_certificates(&self, sign: &str, out: &mut String) -> fmt::Result {
        let Some(own) = self.certificates() else { return Ok(()) };
        let [certificate, key, authority] = self.certificate_files();
        let issuer = own.credential.chain().last().map(|last| last.issuer().to_string()).unwrap_or_default();
        let trusted: Vec<String> =
            own.trust.anchors().iter().map(|one| format!("\"{}\"", one.subject())).collect();
        writeln!(out, "{sign} Both sides prove themselves by certificates. This side needs three files:")?;
        writeln!(
            out,
            "{sign}   {certificate}: its certificate, for the name {}, from an authority that the gateway trusts:",
            self.local_id
        )?;
        writeln!(out, "{sign}     {}", trusted.join(", "))?;
        writeln!(out, "{sign}   {key}: the private key of that, which nobody else reads")?;
        writeln!(out, "{sign}   {authority}: the authority of the gateway's certificate, \"{issuer}\"")
    }
}
