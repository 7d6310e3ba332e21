//! `crossgate-perf`: what the packet path and IKE cost, each figure beside its limit or base line from the same run.

#![forbid(unsafe_code)]

mod engine;
mod handshakes;
mod kernels;
mod machine;
mod report;
mod worker;

use anyhow::Result;
use clap::{Parser, Subcommand};
use serde::Serialize;

use report::Report;

/// Benchmarks of Crossgate. Every subcommand prints a table for people, or JSON; without one, all of them run, each as with --quick.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    benchmark: Option<Benchmark>,
    /// Write JSON instead of a table.
    #[arg(long, global = true)]
    json: bool,
    /// Fewer rounds and cases: a rough answer within seconds.
    #[arg(long, global = true)]
    quick: bool,
}

#[derive(Clone, Copy, Subcommand)]
enum Benchmark {
    /// AES-GCM over bursts: our kernels, the measured limit and other libraries, in TSC cycles per packet.
    Kernels,
    /// A whole worker between in-memory ports, outbound and inbound, in TSC cycles per packet without source and sink (root).
    Worker,
    /// IKEv2 handshakes per second, initiator and responder in memory on one thread.
    Handshakes,
}

/// All benchmarks in one JSON document.
#[derive(Serialize)]
struct All {
    kernels: Report<kernels::KernelRow>,
    worker: Report<worker::WorkerRow>,
    handshakes: Report<handshakes::HandshakeRow>,
}

fn main() -> Result<()> {
    let Arguments { benchmark, json, quick } = Arguments::parse();
    match benchmark {
        Some(Benchmark::Kernels) => report::print(&kernels::run(quick)?, json),
        Some(Benchmark::Worker) => report::print(&worker::run(quick)?, json),
        Some(Benchmark::Handshakes) => report::print(&handshakes::run(quick)?, json),
        None if json => report::print_json(&All {
            kernels: kernels::run(true)?,
            worker: worker::run(true)?,
            handshakes: handshakes::run(true)?,
        }),
        None => all(),
    }
}

/// Runs everything roughly; each table is printed as soon as it is there.
fn all() -> Result<()> {
    println!("AES-GCM over bursts of 32 packets, TSC cycles per packet");
    report::print(&kernels::run(true)?, false)?;
    println!("\nA whole worker, ESP tunnel mode, net TSC cycles per packet");
    report::print(&worker::run(true)?, false)?;
    println!("\nIKEv2 handshakes per second, both sides on one thread");
    report::print(&handshakes::run(true)?, false)
}
