//! Rings to an SA's home worker.
