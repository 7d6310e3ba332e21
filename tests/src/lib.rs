//! The lab of namespaces and real peers, and the end-to-end tests.
