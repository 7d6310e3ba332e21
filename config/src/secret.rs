//! Pre-shared keys: read from a private file or the environment, kept in memory that is wiped, shown to nobody.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A pre-shared key. Wiped when dropped, printed as `SharedKey(..)`, compared in constant time (its length aside),
/// neither `Clone` nor serialisable.
pub struct SharedKey(Zeroizing<Vec<u8>>);

impl SharedKey {
    /// The key itself, for the authentication of IKE (RFC 7296, 2.15) and nothing else.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl PartialEq for SharedKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for SharedKey {}

impl fmt::Debug for SharedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedKey(..)")
    }
}
