//! Key material: zeroized on drop, printed as `Secret`, compared in constant time, neither `Clone` nor serialisable.
//!
//! Used by everything that derives, holds or hands on a key. What leaves the crate (keys for the workers, shared keys
//! from the configuration) is wrapped in the same type.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// A value that must not be printed, copied or left in memory.
pub struct Secret<T: Zeroize>(T);

impl<T: Zeroize> Secret<T> {
    /// Takes `value` over; the caller keeps no copy.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself, named so that every use stands out in a review.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize + AsRef<[u8]>> Secret<T> {
    /// Compares with `other` in time that depends on the lengths only.
    pub fn matches(&self, other: &[u8]) -> bool {
        self.0.as_ref().ct_eq(other).into()
    }
}

impl<T: Zeroize + AsRef<[u8]>> PartialEq for Secret<T> {
    fn eq(&self, other: &Self) -> bool {
        self.matches(other.0.as_ref())
    }
}

impl<T: Zeroize + AsRef<[u8]>> Eq for Secret<T> {}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl From<&[u8]> for Secret<Vec<u8>> {
    fn from(bytes: &[u8]) -> Self {
        // One exact allocation: a vector that grows leaves copies behind that nobody zeroizes.
        Self(bytes.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing_of_the_value() {
        assert_eq!(format!("{:?}", Secret::new(*b"hunter2")), "Secret");
    }

    #[test]
    fn equal_only_when_bytes_and_length_are() {
        let secret = Secret::new(vec![1u8, 2, 3]);
        assert!(secret.matches(&[1, 2, 3]));
        assert!(!secret.matches(&[1, 2, 4]));
        assert!(!secret.matches(&[1, 2]));
        assert_ne!(secret, Secret::from([1u8, 2].as_slice()));
    }
}
