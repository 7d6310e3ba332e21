//! IKEv2, sans-IO.
