//! IKEv2 (RFC 7296) and IKEv1 (RFC 2409), sans-IO: no socket, clock, thread or source of randomness in here; all four are handed in.
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

pub mod client;

pub mod assigned;

pub mod config;

pub mod environment;

pub mod error;

pub mod event;

pub mod job;

pub mod notice;

pub mod place;

pub mod sim;

pub mod status;

pub mod v1;

mod allowance;
mod child;
mod closing;
mod command;
mod connection;
mod crash;
mod effect;
mod endpoint;
mod established;
mod exchange;
mod half_open;
mod lockout;
mod mobility;
mod redirect;
mod rekey;
mod resource;
mod sa;
mod secured;
mod stranger;
mod ticket;
mod wheel;
mod window;

pub use config::{ConnectionConfig, EndpointConfig};
pub use endpoint::{Endpoint, IKE_PORT, NAT_PORT};
pub use environment::{Environment, Instant};
pub use event::{Command, Event, Input, Output, Transmit};
