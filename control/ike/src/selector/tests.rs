//! Narrowing and ranges.
