//! IKEv2 (RFC 7296), sans-IO: no socket, clock, thread or source of randomness in here; all four are handed in.
//!
//! The modules stand in the order in which a message meets them.

#![forbid(unsafe_code)]

pub mod wire;

pub mod crypto;

pub mod nat;

pub mod cookie;

pub mod protect;

pub mod auth;

pub mod identity;

pub mod selector;

pub mod secret;
