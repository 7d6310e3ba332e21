//! Every stage of the packet path.
