//! ESP tunnel mode on bytes.
