//! The exchanges of IKEv2 (RFC 7296, 1.2 to 1.4), a file each, with the states and steps of both roles side by side.

pub(crate) mod auth;
pub(crate) mod configuration;
pub(crate) mod create_child;
pub(crate) mod followup;
pub(crate) mod informational;
pub(crate) mod init;
pub(crate) mod intermediate;
pub(crate) mod mobike;
pub(crate) mod rekey_ike;
pub(crate) mod resume;
