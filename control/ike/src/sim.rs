//! Two endpoints in virtual time.
pub mod plane;
pub mod random;
