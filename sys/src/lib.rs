//! DPDK bindings and the thin safe face over them.
