//! EAP as a server (RFC 3748), sans-IO: no socket, clock or source of randomness in here. For IKEv2 (RFC 7296, 2.16).
//!
//! [`Server::begin`] makes the first request; each answer of the client goes into [`Server::on_response`], which says what to do next ([`Step`]). Whoever carries the packets
//! repeats them: here each comes once. A conversation is the client's identity, then one method; a client that would rather take another one says so (Nak).

#![forbid(unsafe_code)]

pub mod mschapv2;
pub mod packet;

mod server;

pub use server::{EapError, Msk, Server, Step, Users};
