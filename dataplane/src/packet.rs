//! The per-packet record.
