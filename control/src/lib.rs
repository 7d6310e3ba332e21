//! The control thread and the two programs, crossgated and crossgate.
