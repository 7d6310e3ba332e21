//! `crossgate-perf`: what the packet path and IKE cost, each figure beside its limit or base line from the same run.

#![forbid(unsafe_code)]

mod bed;
mod compare;
mod document;
mod engine;
mod handshakes;
mod kernels;
mod latency;
mod machine;
mod ndr;
mod peers;
mod report;
mod scale;
mod spread;
mod worker;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Benchmarks of Crossgate: cycles, rates, latency and memory of the packet path, each beside a peer, a base line or a limit from the same run; and
/// IKE handshakes. Every one prints a table for people, or JSON. Those that move packets need root for DPDK; they send nothing out of the machine.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    benchmark: Benchmark,
    /// Write JSON instead of a table.
    #[arg(long, global = true)]
    json: bool,
    /// Fewer rounds and cases: a rough answer within seconds.
    #[arg(long, global = true)]
    quick: bool,
}

#[derive(Clone, Subcommand)]
enum Benchmark {
    /// AES-GCM over bursts: our kernels, the measured limit and other libraries, in TSC cycles per packet.
    Kernels,
    /// A whole worker between in-memory ports: outbound, inbound and both, in TSC cycles per packet without source and sink (root).
    Worker(worker::Options),
    /// A whole worker beside DPDK's ipsec-secgw, on the same virtual devices, with the same SAs and packets (root).
    Compare(compare::Options),
    /// Many tunnels: throughput, memory, time to install and to rekey all; and one tunnel through two workers (root, two cores).
    Scale,
    /// How long packets are in the gateway, by size and load; the first packet after a pause (root, two cores).
    Latency,
    /// The highest rate without loss (RFC 2544), by a generator of our own or a running Pktgen-DPDK (root, two cores).
    Ndr(ndr::Options),
    /// IKEv2 handshakes per second: our responder beside strongSwan's charon, with the same peers (root, two cores), and both roles on one thread.
    Handshakes(handshakes::Options),
    /// Run all of the others, each as a process of its own, and write JSON, a Markdown page and SVG plots into a folder (root).
    Report(document::Options),
}

fn main() -> Result<()> {
    let Arguments { benchmark, json, quick } = Arguments::parse();
    match benchmark {
        Benchmark::Kernels => report::print(&kernels::run(quick)?, json),
        Benchmark::Worker(options) => report::print(&worker::run(quick, &options)?, json),
        Benchmark::Compare(options) => report::print(&compare::run(quick, &options)?, json),
        Benchmark::Scale => report::print(&scale::run(quick)?, json),
        Benchmark::Latency => report::print(&latency::run(quick)?, json),
        Benchmark::Ndr(options) => {
            ndr::run(quick, &options)?.map_or(Ok(()), |report| report::print(&report, json))
        }
        Benchmark::Handshakes(options) => {
            handshakes::run(quick, &options)?.map_or(Ok(()), |report| report::print(&report, json))
        }
        Benchmark::Report(options) => document::run(quick, json, &options),
    }
}
