//! Benchmarks of the packet path and of IKE.
