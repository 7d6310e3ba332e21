//! `crossgate-perf ndr`: the highest rate at which no packet is lost, by the binary search of RFC 2544, 26.1, and the latency at that rate.
//!
//! Without `--pktgen`, generator and sink are a thread of this program on one core, the gateway's worker runs on another, and in-memory
//! ports of 2047 packets are between them. Inbound packets are sealed before each trial by another gateway. A trial in
//! which something was lost is repeated once, since on a machine that does other things too the loss may not be the gateway's.
//!
//! Then, where they are built, the same through two gateways in processes of their own (`ndr/gateways.rs`), by a generator that is a third DPDK process
//! (`ndr/generator.rs`). With `--device`, that generator alone, between whatever gateways run there.
//!
//! With `--pktgen`, a running Pktgen-DPDK loads our profiles, sends and counts; rates are in percent of its port's (`ndr/remote.rs`).

mod between;
mod gateways;
mod generator;
mod pktgen;
mod remote;
mod search;
mod searched;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use crossgate_dataplane::gcm::Kernel;
use crossgate_dataplane::worker::Idle;
use serde::{Deserialize, Serialize};

use crate::bed::traffic::Traffic;
use crate::bed::{Bed, Direction, Family, Plan};
use crate::document;
use crate::machine::report_precision;
use crate::report::{Report, Row};
use pktgen::ProbeLatency;
pub(crate) use searched::Searched;

/// How far below the limit a found rate may be, as a part of the greatest rate.
const RESOLUTION: f64 = 0.01;
const MEMORY_MIB: u32 = 192;
const POOL_PACKETS: u32 = 16_383;

/// What to search.
#[derive(clap::Args, Clone)]
pub(crate) struct Options {
    /// Sizes of inner packets in bytes, from 64 to 1400, or 'imix'; default: all of the benchmark.
    #[arg(long, value_delimiter = ',', value_parser = Traffic::parse)]
    sizes: Vec<Traffic>,
    /// Flows, each in an SA of its own.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    flows: u32,
    /// Search with IPv6 in IPv6.
    #[arg(long)]
    ipv6: bool,
    /// Milliseconds that each trial sends. RFC 2544 asks for 60 seconds; without --pktgen 200 are enough to fill every queue many times.
    #[arg(long)]
    trial_ms: Option<u64>,
    /// A running Pktgen-DPDK, as the address of its Lua socket (host:22022); see perf/pktgen/README.md.
    #[arg(long, value_name = "HOST:PORT")]
    pktgen: Option<String>,
    /// Pktgen's port that sends.
    #[arg(long, default_value_t = 0, requires = "pktgen")]
    send_port: u16,
    /// Pktgen's port that receives.
    #[arg(long, default_value_t = 1, requires = "pktgen")]
    receive_port: u16,
    /// How often Pktgen tries a rate at which packets are lost, before it is taken for too high. RFC 2544 knows one trial; a machine that does other things, too, may lose some now and then.
    #[arg(long, default_value_t = 1, requires = "pktgen", value_parser = clap::value_parser!(u32).range(1..=10))]
    trials: u32,
    /// Draw the rates, too: an SVG file.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Two DPDK devices of a generator in this process, with running gateways between them (perf/pktgen/README.md): the one at site 1, then the one at site 2.
    #[arg(long, value_name = "DEVICE", conflicts_with = "pktgen")]
    device: Vec<String>,
    /// For those devices: one flow and 10,000, IPv4 and IPv6.
    #[arg(long, requires = "device")]
    profiles: bool,
    /// Print what was found for the process that started this one.
    #[arg(long, hide = true, requires = "device")]
    found: bool,
}

impl Options {
    fn sizes(&self, quick: bool) -> Vec<Traffic> {
        match (self.sizes.is_empty(), quick) {
            (false, _) => self.sizes.clone(),
            (true, true) => Traffic::QUICK.to_vec(),
            (true, false) => Traffic::ALL.to_vec(),
        }
    }

    fn family(&self) -> Family {
        if self.ipv6 { Family::V6 } else { Family::V4 }
    }
}

/// Rows of a generator in a process of its own, and what was not found.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Found {
    rows: Vec<NdrRow>,
    notes: Vec<String>,
}

/// One search.
#[derive(Serialize, Deserialize)]
pub(crate) struct NdrRow {
    program: String,
    generator: String,
    direction: Direction,
    ip_version: Family,
    traffic: String,
    inner_bytes: u16,
    key_bits: usize,
    sas: u32,
    flows: u32,
    workers: u32,
    trial_ms: u64,
    /// The zero-loss rate.
    mpps: f64,
    gbit_per_s: f64,
    /// Of the port's rate; only Pktgen knows one.
    #[serde(skip_serializing_if = "Option::is_none")]
    percent: Option<f64>,
    #[serde(flatten)]
    latency: Option<Latency>,
    /// Of Pktgen's probes, which has no percentiles.
    #[serde(flatten)]
    probes: Option<Probes>,
}

/// From Pktgen's port to Pktgen's port, in microseconds.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Probes {
    min_us: f64,
    mean_us: f64,
    max_us: f64,
}

impl From<ProbeLatency> for Probes {
    fn from(probes: ProbeLatency) -> Self {
        let ProbeLatency { min_ns, mean_ns, max_ns } = probes;
        let [min_us, mean_us, max_us] = [min_ns, mean_ns, max_ns].map(|ns| report_precision(ns) / 1e3);
        Self { min_us, mean_us, max_us }
    }
}

/// From a packet's arrival at a port of the gateway until the sink has it, in microseconds.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Latency {
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p99_9_us: f64,
    pub(crate) max_us: f64,
}

impl Latency {
    pub(crate) fn of_cycles(cycles: &hdrhistogram::Histogram<u64>, tsc_hz: f64) -> Self {
        let us = |cycles: u64| report_precision(cycles) * 1e6 / tsc_hz;
        Self {
            p50_us: us(cycles.value_at_quantile(0.5)),
            p99_us: us(cycles.value_at_quantile(0.99)),
            p99_9_us: us(cycles.value_at_quantile(0.999)),
            max_us: us(cycles.max()),
        }
    }

    /// Median, 99th and 99.9th percentile, greatest.
    pub(crate) fn cells(self) -> [String; 4] {
        [self.p50_us, self.p99_us, self.p99_9_us, self.max_us].map(|us| format!("{us:.1}"))
    }
}

/// Searches.
pub(crate) fn run(quick: bool, options: &Options) -> Result<Option<Report<NdrRow>>> {
    let found = if !options.device.is_empty() {
        between::search(quick, options)?
    } else if let Some(address) = &options.pktgen {
        remote::search(address, quick, options)?
    } else {
        ourselves(quick, options)?
    };
    if options.found {
        println!("{}", serde_json::to_string(&found)?);
        return Ok(None);
    }
    if let Some(file) = &options.plot {
        document::plot_ndr(file, &found.rows)?;
    }
    Ok(Some(Report::new(found.rows)?.with_notes(found.notes)))
}

/// In memory, and through two gateways of our own.
fn ourselves(quick: bool, options: &Options) -> Result<Found> {
    let length = Duration::from_millis(options.trial_ms.unwrap_or(if quick { 100 } else { 200 }));
    let bed = Bed::start(MEMORY_MIB, POOL_PACKETS)?;
    let plan = Plan { sas: options.flows, ..Plan::single(Kernel::detect(), 256, options.family()) };
    let mut rows = Vec::new();
    for direction in [Direction::Outbound, Direction::Inbound] {
        let mut searched = Searched::new(&bed, plan, direction, Idle::Poll)?;
        for traffic in options.sizes(quick) {
            let (pps, outcome) = searched.search(traffic, length)?;
            rows.push(searched.row(traffic, length, pps, &outcome));
        }
    }
    let through = through_gateways(quick, options).unwrap_or_else(|error| Found {
        notes: vec![format!("no rows of a generator in a process of its own: {error:#}")],
        ..Found::default()
    });
    rows.extend(through.rows);
    Ok(Found { rows, notes: through.notes })
}

/// The same through two gateways in processes of their own, if they are built.
fn through_gateways(quick: bool, options: &Options) -> Result<Found> {
    ensure!(gateways::is_here(), "crossgated is not beside this program: cargo build --release -p crossgate");
    let mut arguments = Vec::new();
    if quick {
        arguments.push("--quick".to_owned());
    } else if options.sizes.is_empty() {
        arguments.push("--profiles".to_owned());
    }
    if !options.sizes.is_empty() {
        let sizes: Vec<_> = options.sizes.iter().map(|traffic| traffic.name()).collect();
        arguments.extend(["--sizes".to_owned(), sizes.join(",")]);
        arguments.extend(["--flows".to_owned(), options.flows.to_string()]);
        arguments.extend(options.ipv6.then(|| "--ipv6".to_owned()));
    }
    if let Some(length) = options.trial_ms {
        arguments.extend(["--trial-ms".to_owned(), length.to_string()]);
    }
    gateways::search(&arguments)
}

impl Row for NdrRow {
    const HEADINGS: &'static [&'static str] = &[
        "generator",
        "direction",
        "IP",
        "inner bytes",
        "SAs",
        "flows",
        "zero-loss Mpps",
        "Gbit/s",
        "p50 us",
        "p99 us",
        "p99.9 us",
        "max us",
    ];

    fn cells(&self) -> Vec<String> {
        let mut cells = vec![
            self.generator.clone(),
            self.direction.as_str().to_owned(),
            self.ip_version.number().to_string(),
            self.traffic.clone(),
            self.sas.to_string(),
            self.flows.to_string(),
            format!("{:.2}", self.mpps),
            format!("{:.2}", self.gbit_per_s),
        ];
        cells.extend(match self.probes {
            Some(Probes { min_us, mean_us, max_us }) => [
                format!("min {min_us:.1}"),
                format!("mean {mean_us:.1}"),
                String::new(),
                format!("{max_us:.1}"),
            ],
            None => self.latency.map_or_else(Default::default, Latency::cells),
        });
        cells
    }
}
