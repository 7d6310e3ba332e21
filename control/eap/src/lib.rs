//! EAP as a server (RFC 3748), sans-IO: no socket or clock in here. For IKEv2 (RFC 7296, 2.16).
//!
//! [`Server::begin`] makes the first request; each answer of the client goes into [`Server::on_response`], which says what to do next ([`Step`]). Whoever carries the packets
//! repeats them: here each comes once. A conversation is the client's identity, then one method; a client that would rather take another one says so (Nak).
//!
//! Randomness is handed in, with one exception: TLS draws its own, in work that the caller has done beside its loop ([`TlsWork`]).

#![forbid(unsafe_code)]

pub mod mschapv2;
pub mod packet;

mod error;
mod outcome;
mod radius;
mod server;
mod tls;

pub use error::EapError;
pub use outcome::{Means, Msk, User};
pub use radius::{
    Radius, RadiusAnswer, RadiusError, RadiusOutput, RadiusQuestion, RadiusSecret, RadiusServer, Thread,
};
pub use server::{Methods, Server, Step, Users};
pub use tls::{TlsDone, TlsSettings, TlsWork, user_of};
