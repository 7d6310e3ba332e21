//! Why a client did not log in: what an operator reads.

use crossgate_pki::CertificateError;
use thiserror::Error;

use crate::radius::RadiusError;

/// Why a client did not log in.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EapError {
    /// The packet cannot be read, or is not the one that is due.
    #[error("the client sent an EAP packet that does not belong here")]
    Unexpected,
    /// The name is no text, or too long.
    #[error("the client's name cannot be read")]
    BadName,
    /// The name is nobody's.
    #[error("there is no user {0:?}")]
    UnknownUser(String),
    /// The password is wrong.
    #[error("the password of the user {0:?} is wrong")]
    WrongPassword(String),
    /// The client takes none of our methods.
    #[error("the client takes no method that is offered here ({0})")]
    NoCommonMethod(String),
    /// The client went away instead of proving itself.
    #[error("the client ended the log-in before it proved who it is")]
    GivenUp,
    /// The client did not accept our proof.
    #[error("the client does not accept this gateway's proof for the user {0:?}")]
    RefusedByClient(String),
    /// A client's certificate is not good enough.
    #[error("the certificate of the client that calls itself {identity:?} is not accepted: {error}")]
    ClientCertificate {
        /// Who it says it is.
        identity: String,
        /// Why.
        error: Box<CertificateError>,
    },
    /// TLS failed for another reason.
    #[error("TLS with the client failed: {0}")]
    Tls(String),
    /// A RADIUS server does not let the client in.
    #[error("the RADIUS server refuses the client that calls itself {identity:?}{}", Said(.message))]
    RefusedByServer {
        /// Who it says it is.
        identity: String,
        /// What the server says to people.
        message: String,
    },
    /// No RADIUS server says anything.
    #[error(transparent)]
    Radius(#[from] RadiusError),
    /// A RADIUS server says what cannot be.
    #[error("the RADIUS server sent an EAP packet that is no request or success")]
    BadRelay,
    /// The client ended TLS with an alert.
    #[error("the client refused TLS with the alert {0}")]
    TlsRefused(String),
}

/// What a server says to people, where it does.
struct Said<'a>(&'a str);

impl std::fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, ": {}", self.0) }
    }
}
