//! What a log-in leaves: who the client is, what it proved itself with, and a key.

use crossgate_pki::ProvenPath;
use zeroize::Zeroizing;

use crate::mschapv2::MSK_BYTES;

/// The key that a log-in leaves to both sides (MSK, RFC 3748, 7.10): wiped in the end, never shown.
#[derive(Clone)]
pub struct Msk(Zeroizing<[u8; MSK_BYTES]>);

impl Msk {
    /// Of its bytes.
    #[must_use]
    pub const fn new(bytes: Zeroizing<[u8; MSK_BYTES]>) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        self.0.as_slice()
    }
}

impl std::fmt::Debug for Msk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Msk")
    }
}

/// What a client proved itself with.
#[derive(Clone, Debug)]
pub enum Means {
    /// The password of a user.
    Password,
    /// A certificate, with the path from it to the authority that is trusted.
    Certificate(ProvenPath),
    /// Whatever a RADIUS server asked for.
    Radius,
}

/// Who a client is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum User {
    /// This is what it has proven, or what the server that judged it calls it.
    Known(String),
    /// It may log in, and this is what it called itself before it proved anything: nobody vouches for the name.
    Claimed(String),
}

impl std::fmt::Display for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Known(name) => f.write_str(name),
            Self::Claimed(name) => write!(f, "unproven:{name}"),
        }
    }
}
