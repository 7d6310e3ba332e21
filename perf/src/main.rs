//! `crossgate-perf`: what the packet path costs, each figure beside its limit and its peers from the same run.

mod engine;
mod kernels;
mod machine;
mod report;

use clap::{Parser, Subcommand};

/// Benchmarks of Crossgate. Every subcommand prints a table for people, or JSON.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    benchmark: Benchmark,
    /// Write JSON instead of a table.
    #[arg(long, global = true)]
    json: bool,
    /// Fewer rounds and sizes: a rough answer within seconds.
    #[arg(long, global = true)]
    quick: bool,
}

#[derive(Subcommand)]
enum Benchmark {
    /// AES-GCM over bursts: our kernels, the measured limit and other libraries, in TSC cycles per packet.
    Kernels,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    match arguments.benchmark {
        Benchmark::Kernels => report::print(&kernels::run(arguments.quick)?, arguments.json),
    }
}
