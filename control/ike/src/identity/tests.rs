//! Identities from text and wire.
