//! The safe face on a running DPDK: one process, one environment, one test after the other or side by side.

mod bursts;
mod chains;
mod environment;
mod fragments;
mod kernel;
mod packets;
mod ports;
