//! Algorithms: their names and numbers, how they are negotiated, and the maths.
//!
//! `exchange` negotiates with [`suite`], agrees on secrets with [`kex`] (on the caller's pool) and derives keys with
//! [`keys`]; [`crate::protect`] uses [`cipher`]. IKEv1 shares this folder with IKEv2.

pub mod suite;

pub mod kex;

pub mod prf;

pub mod keys;

pub mod cipher;
