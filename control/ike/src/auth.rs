//! Who the peer is: what AUTH covers (RFC 7296, 2.15), and the proof that it was checked.
//!
//! IKE_AUTH computes its own AUTH and checks the peer's here, by the method that the connection asks for.

use std::sync::Arc;

use crate::crypto::prf::Prf;
use crate::error::IkeError;
use crate::secret::Secret;
use crate::wire::Identification;

pub mod certificate;
pub mod eap;
pub(crate) mod ocsp;
pub mod ppk;
pub mod psk;

pub use certificate::CertificateAuthentication;
pub use eap::{EapAuthentication, UserTable};
pub use ppk::{Ppk, PpkError};

/// How the two sides of a connection prove themselves: both in the same way, or clients in one of theirs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// By a pre-shared key, never empty (RFC 7296, 2.15).
    SharedKey(Arc<Secret<Vec<u8>>>),
    /// By signature, with X.509 certificates.
    Certificate(Arc<CertificateAuthentication>),
    /// We by a certificate, the peer by EAP or a certificate; it begins.
    Eap(Arc<EapAuthentication>),
}

impl Authentication {
    /// A pre-shared key.
    #[must_use]
    pub fn shared_key(key: &[u8]) -> Self {
        Self::SharedKey(Arc::new(Secret::from(key)))
    }

    /// Whether an IKE SA that was authenticated under `self` still stands under `other`. New certificates, anchors and CRLs count from the next
    /// IKE_AUTH on: renewing a certificate must not cost a tunnel. That SHA-1 does not do any more is another matter; that it does costs nothing.
    pub(crate) fn is_same_proof(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::SharedKey(one), Self::SharedKey(other)) => one == other,
            (Self::Certificate(one), Self::Certificate(other)) => !one.allow_sha1 || other.allow_sha1,
            (Self::Eap(_), Self::Eap(_)) => true,
            _ => false,
        }
    }

    /// What it means that a peer does not take this side's proof. `trusted`: whether it asked for certificates of one of our CAs, or did not say; `ppk`: whether a
    /// post-quantum pre-shared key is in the proof.
    pub(crate) fn refusal(&self, trusted: bool, ppk: bool) -> IkeError {
        match (self, ppk) {
            (Self::SharedKey(_), false) => IkeError::RefusedByPeer,
            (Self::Certificate(_) | Self::Eap(_), ppk) if !ppk || !trusted => {
                IkeError::CertificateRefused { trusted }
            }
            _ => PpkError::Refused.into(),
        }
    }

    /// The certificates, if the peer may prove itself by one in AUTH.
    pub(crate) fn certificate(&self) -> Option<&Arc<CertificateAuthentication>> {
        match self {
            Self::Certificate(by) => Some(by),
            Self::Eap(by) => by.tls.as_ref().map(|_| &by.own),
            Self::SharedKey(_) => None,
        }
    }
}

/// How we prove ourselves to a peer.
#[derive(Debug)]
pub(crate) struct Proof {
    /// The AUTH payload.
    pub(crate) auth: crate::wire::Authentication,
    /// What its data would be without a PPK, for a peer that may have none (NO_PPK_AUTH, RFC 8784, 3).
    pub(crate) without_ppk: Option<Vec<u8>>,
}

/// Proof that a peer's AUTH payload was checked; only the check makes one, and an SA is not established without.
#[derive(Debug)]
#[must_use]
pub struct AuthVerified {
    /// The path of the certificate that a client proved itself with.
    client: Option<crossgate_pki::ProvenPath>,
}

impl AuthVerified {
    /// A proof without a client's certificate.
    const fn plain() -> Self {
        Self { client: None }
    }

    /// The path of the certificate that a client proved itself with.
    pub(crate) const fn client(&self) -> Option<&crossgate_pki::ProvenPath> {
        self.client.as_ref()
    }
}

/// What one side signs: its own first message, the other's nonce, and prf(SK_p, its identification) (RFC 7296, 2.15).
///
/// `intermediate` is what IKE_INTERMEDIATE exchanges add, nothing without them (RFC 9242, 3.3.2). `message` is the IKE_SA_INIT message that this side sent, as it was on the wire and without a non-ESP marker; of
/// several (cookies, another group) the last. `sk_p` and `id` are this side's; the identification as it was sent.
pub fn signed_octets(
    prf: Prf,
    message: &[u8],
    nonce_of_other: &[u8],
    sk_p: &Secret<Vec<u8>>,
    id: &Identification,
    intermediate: &[u8],
) -> Vec<u8> {
    let maced_id = prf.compute(sk_p.expose(), &[&id.body()]);
    [message, nonce_of_other, maced_id.expose(), intermediate].concat()
}
