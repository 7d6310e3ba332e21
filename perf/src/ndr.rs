//! `crossgate-perf ndr`: the highest rate at which no packet is lost, by the binary search of RFC 2544, 26.1, and the latency at that rate.
//!
//! Without `--pktgen`, generator and sink are a thread of this program on one core, the gateway's worker runs on another, and in-memory
//! ports of 2047 packets are between them. Inbound packets are sealed before each trial by another gateway. A trial in
//! which something was lost is repeated once, since on a machine that does other things too the loss may not be the gateway's.
//!
//! With `--pktgen`, a running Pktgen-DPDK sends and counts; rates are in percent of its port's.

mod pktgen;
mod search;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use crossgate_dataplane::gcm::Kernel;
use crossgate_dataplane::worker::Idle;
use serde::Serialize;

use crate::bed::stepped::Gateway;
use crate::bed::threaded::{Clear, Outcome, Running, Sealed, Trial};
use crate::bed::traffic::Traffic;
use crate::bed::{Bed, Direction, Family, LAN, Plan, Site, WAN};
use crate::machine::{self, Pin, report_precision};
use crate::report::{Report, Row};
use pktgen::{Pktgen, ProbeLatency};

/// How far below the limit a found rate may be, as a part of the greatest rate.
const RESOLUTION: f64 = 0.01;
/// Trials that confirm a rate: down to less than half of it.
const CONFIRMATIONS: usize = 8;
const MEMORY_MIB: u32 = 192;
const POOL_PACKETS: u32 = 16_383;

/// What to search.
#[derive(clap::Args, Clone, Default)]
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
    /// A running Pktgen-DPDK, as the address of its Lua socket (host:22022); load a profile of perf/pktgen there first.
    #[arg(long, value_name = "HOST:PORT")]
    pktgen: Option<String>,
    /// Pktgen's port that sends.
    #[arg(long, default_value_t = 0, requires = "pktgen")]
    send_port: u16,
    /// Pktgen's port that receives.
    #[arg(long, default_value_t = 1, requires = "pktgen")]
    receive_port: u16,
}

/// One search.
#[derive(Serialize)]
pub(crate) struct NdrRow {
    program: &'static str,
    generator: &'static str,
    direction: Direction,
    ip_version: Family,
    traffic: String,
    inner_bytes: u16,
    key_bits: usize,
    sas: u32,
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
#[derive(Clone, Copy, Serialize)]
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
#[derive(Clone, Copy, Serialize)]
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
pub(crate) fn run(quick: bool, options: &Options) -> Result<Report<NdrRow>> {
    if let Some(address) = &options.pktgen {
        let pktgen =
            Pktgen { address: address.clone(), send: options.send_port, receive: options.receive_port };
        return remote(&pktgen, options);
    }
    let sizes = match (options.sizes.is_empty(), quick) {
        (false, _) => options.sizes.clone(),
        (true, true) => Traffic::QUICK.to_vec(),
        (true, false) => Traffic::ALL.to_vec(),
    };
    let length = Duration::from_millis(options.trial_ms.unwrap_or(if quick { 100 } else { 200 }));
    let bed = Bed::start(MEMORY_MIB, POOL_PACKETS)?;
    let family = if options.ipv6 { Family::V6 } else { Family::V4 };
    let plan = Plan { sas: options.flows, ..Plan::single(Kernel::detect(), 256, family) };
    let mut rows = Vec::new();
    for direction in [Direction::Outbound, Direction::Inbound] {
        let mut searched = Searched::new(&bed, plan, direction, Idle::Poll)?;
        for traffic in &sizes {
            let (pps, outcome) = searched.search(*traffic, length)?;
            rows.push(searched.row(*traffic, length, pps, &outcome));
        }
    }
    Report::new(rows)
}

/// A gateway that is searched in one direction, and what sends to it.
pub(crate) struct Searched<'a> {
    bed: &'a Bed,
    plan: Plan,
    direction: Direction,
    pub(crate) gateway: Running,
    peer: Gateway,
    tsc_hz: f64,
    _pin: Pin,
}

impl<'a> Searched<'a> {
    pub(crate) fn new(bed: &'a Bed, plan: Plan, direction: Direction, idle: Idle) -> Result<Self> {
        let pin = Pin::to(bed.other_core()?)?;
        let (site, peer) = match direction {
            Direction::Inbound => (Site(2), Site(1)),
            Direction::Outbound | Direction::Both => (Site(1), Site(2)),
        };
        let mut gateway = Running::new(bed, plan, site, idle)?;
        gateway.install()?;
        let peer = Gateway::new(bed, plan, peer)?;
        Ok(Self { bed, plan, direction, gateway, peer, tsc_hz: machine::tsc_hz(), _pin: pin })
    }

    /// Sends at a rate.
    pub(crate) fn trial(&mut self, traffic: Traffic, pps: f64, length: Duration) -> Result<Outcome> {
        let trial = Trial { pps, length, tsc_hz: self.tsc_hz };
        let mut clear = Clear::new(self.plan, Site(1), traffic)?;
        if self.direction == Direction::Inbound {
            // As many as can be sent at an unlimited rate in that time: more than any worker opens.
            let packets = if pps.is_finite() { trial.packets() + 64 } else { self.flood_packets(length) };
            let mut sealed = Sealed::new(&mut self.peer, &mut clear, self.bed, packets)?;
            trial.run(&mut self.gateway, WAN, self.bed, &mut sealed)
        } else {
            trial.run(&mut self.gateway, LAN, self.bed, &mut clear)
        }
    }

    fn flood_packets(&self, length: Duration) -> u64 {
        Trial { pps: self.tsc_hz / 100.0, length, tsc_hz: self.tsc_hz }.packets()
    }

    /// The zero-loss rate in packets per second, and the trial that confirmed it.
    pub(crate) fn search(&mut self, traffic: Traffic, length: Duration) -> Result<(f64, Outcome)> {
        let flood = self.trial(traffic, f64::INFINITY, length / 4)?;
        ensure!(flood.received > 0, "nothing came through; dropped: {:?}", self.drops());
        let (most, mut best) = (flood.received_pps * 1.1, None);
        search::highest(most, RESOLUTION, |pps| {
            for _ in 0..2 {
                let outcome = self.trial(traffic, pps, length)?;
                // A generator that lagged behind has not tried this rate.
                if outcome.lost() == 0 && outcome.offered_pps > 0.99 * pps {
                    best = Some((pps, outcome));
                    return Ok(true);
                }
            }
            Ok(false)
        })?;
        best.with_context(|| format!("packets were lost at every rate; dropped: {:?}", self.drops()))
    }

    /// The rate up to `pps` that is without loss for all of `length`: after a loss the next trial is a tenth slower. `false`: the last one lost, too.
    pub(crate) fn confirm(
        &mut self,
        traffic: Traffic,
        mut pps: f64,
        length: Duration,
    ) -> Result<(f64, bool)> {
        for _ in 0..CONFIRMATIONS {
            if self.trial(traffic, pps, length)?.lost() == 0 {
                return Ok((pps, true));
            }
            pps *= 0.9;
        }
        Ok((pps, false))
    }

    fn drops(&self) -> Vec<(&'static str, u64)> {
        let counters = self.gateway.counters();
        counters
            .moved()
            .filter(|(row, _)| row.counter.is_drop())
            .map(|(row, count)| (row.name, count))
            .collect()
    }

    pub(crate) fn tsc_hz(&self) -> f64 {
        self.tsc_hz
    }

    fn row(&self, traffic: Traffic, length: Duration, pps: f64, outcome: &Outcome) -> NdrRow {
        NdrRow {
            program: "crossgate",
            generator: "own thread",
            direction: self.direction,
            ip_version: self.plan.family,
            traffic: traffic.name(),
            inner_bytes: traffic.mean_bytes(),
            key_bits: self.plan.key_bits,
            sas: self.plan.sas,
            workers: 1,
            trial_ms: u64::try_from(length.as_millis()).unwrap_or(u64::MAX),
            mpps: pps / 1e6,
            gbit_per_s: pps * f64::from(traffic.mean_bytes()) * 8.0 / 1e9,
            percent: None,
            latency: Some(Latency::of_cycles(&outcome.cycles, self.tsc_hz)),
            probes: None,
        }
    }
}

/// Searches with a Pktgen that has loaded its profile; sizes, flows and addresses are the profile's.
fn remote(pktgen: &Pktgen, options: &Options) -> Result<Report<NdrRow>> {
    ensure!(options.sizes.len() <= 1, "one size at a time: a profile in Pktgen has one");
    let length = Duration::from_millis(options.trial_ms.unwrap_or(60_000));
    let mut best = None;
    let percent = search::highest(100.0, RESOLUTION, |percent| {
        let counts = pktgen.trial(percent, length)?;
        let passed = counts.received >= counts.sent;
        eprintln!("{percent:.2} %: {} sent, {} received", counts.sent, counts.received);
        if passed {
            best = Some(counts);
        }
        Ok(passed)
    })?;
    let counts = best.context("packets were lost at every rate")?;
    let traffic = options.sizes.first().copied();
    let mpps = report_precision(counts.sent) / length.as_secs_f64() / 1e6;
    let inner_bytes = traffic.map_or(0, Traffic::mean_bytes);
    Report::new(vec![NdrRow {
        program: "crossgate",
        generator: "Pktgen-DPDK",
        direction: Direction::Outbound,
        ip_version: if options.ipv6 { Family::V6 } else { Family::V4 },
        traffic: traffic.map_or_else(|| "profile".to_owned(), Traffic::name),
        inner_bytes,
        key_bits: 256,
        sas: options.flows,
        workers: 1,
        trial_ms: u64::try_from(length.as_millis())?,
        mpps,
        gbit_per_s: mpps * f64::from(inner_bytes) * 8.0 / 1e3,
        percent: Some(percent),
        latency: None,
        probes: counts.latency.map(Probes::from),
    }])
}

impl Row for NdrRow {
    const HEADINGS: &'static [&'static str] = &[
        "generator",
        "direction",
        "IP",
        "inner bytes",
        "SAs",
        "zero-loss Mpps",
        "Gbit/s",
        "p50 us",
        "p99 us",
        "p99.9 us",
        "max us",
    ];

    fn cells(&self) -> Vec<String> {
        let mut cells = vec![
            self.generator.to_owned(),
            self.direction.as_str().to_owned(),
            self.ip_version.number().to_string(),
            self.traffic.clone(),
            self.sas.to_string(),
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
