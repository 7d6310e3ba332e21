//! Wall-clock time, as certificates have it.

use std::fmt;

use der::DateTime;

/// Seconds since 1970 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(pub u64);

impl fmt::Display for UnixTime {
    /// In ISO 8601, UTC.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::from_unix_duration(std::time::Duration::from_secs(self.0)) {
            Ok(at) => at.fmt(f),
            Err(_) => write!(f, "{} s after 1970", self.0),
        }
    }
}

impl From<x509_cert::time::Time> for UnixTime {
    fn from(time: x509_cert::time::Time) -> Self {
        Self(time.to_unix_duration().as_secs())
    }
}
