//! The operator's console: the protocol, the gateway's server and its methods, and what the client prints.

pub mod client;
pub mod journal;
pub mod methods;
pub mod protocol;
pub mod server;
pub mod show;
pub mod stages;
pub mod table;
pub mod top;
