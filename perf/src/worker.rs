//! `crossgate-perf worker`: what one worker does to a packet, all of it, in TSC cycles: receive, parse, route, selectors, SA, ESP,
//! AES-GCM, neighbour, send. ESP tunnel mode (RFC 4303), IPv4 in IPv4 or IPv6 in IPv6, ESN and replay window on, one SA each way, bursts
//! of 32 UDP packets whose bytes are in the cache, as a network card would place them.
//!
//! A burst goes through the sealing gateway, then (its sequence numbers are fresh) through the opening one, then through two
//! ports without a worker; that last cost, of source and sink, is taken off the other two. In a third pass one worker seals a burst
//! and opens another in the same turn. Kernels take turns within a size, so that a disturbance meets all.
//!
//! Stages are measured in turns of their own (`worker/stages.rs`), and so is what their counters cost.

mod stages;

use anyhow::{Context, Result, ensure};
use crossgate_dataplane::gcm::{Kernel, KernelName};
use crossgate_dataplane::transform::{Cipher, Integrity, Transform};
use crossgate_dataplane::worker::StageTurns;
use dpdk_sys::{Burst, Mempool};
use hdrhistogram::Histogram;
use serde::Serialize;

use crate::bed::stepped::{Bypass, Gateway};
use crate::bed::traffic::Traffic;
use crate::bed::{Bed, Direction, Family, LAN, Plan, Site, WAN};
use crate::engine::BURST_PACKETS;
use crate::machine::{self, Pin, packets_f64};
use crate::report::{Report, Row};
use crate::spread::Spread;
pub(crate) use stages::COUNTERS_ON;
use stages::{Laps, Stages};

/// Bursts between two changes of kernel, and those that only warm up.
const TURN_BURSTS: usize = 96;
const WARM_BURSTS: usize = 12;
const MEMORY_MIB: u32 = 192;
const POOL_PACKETS: u32 = 4095;
const DIRECTIONS: [Direction; 3] = [Direction::Outbound, Direction::Inbound, Direction::Both];

/// What to measure.
#[derive(clap::Args, Clone, Default)]
pub(crate) struct Options {
    /// Sizes of inner packets in bytes, from 64 to 1400, or 'imix'; default: 64, 128, 256, 512, 1024, 1400 and imix.
    #[arg(long, value_delimiter = ',', value_parser = Traffic::parse)]
    sizes: Vec<Traffic>,
    /// Measure the transforms other than AES-GCM, and AES-GCM beside them.
    #[arg(long)]
    transforms: bool,
    /// Show how many cycles each stage takes in every case; else the fastest kernel's at 64, 512 and 1400 bytes with AES-256.
    #[arg(long)]
    stages: bool,
}

/// One direction of one kernel at one size.
#[derive(Serialize)]
pub(crate) struct WorkerRow {
    program: &'static str,
    direction: Direction,
    ip_version: Family,
    traffic: String,
    inner_bytes: u16,
    key_bits: usize,
    kernel: &'static str,
    sas: u32,
    workers: u32,
    #[serde(flatten)]
    net: Spread,
    /// Already taken off.
    source_and_sink_cycles_per_packet: f64,
    mpps: f64,
    gbit_per_s: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    stages: Option<Stages>,
}

/// Packets to send, from either site.
struct Load {
    frames: [Vec<Vec<u8>>; 2],
}

/// The two gateways of a plan, what went through them, and the times of the size at hand.
struct Contender {
    plan: Plan,
    gateways: [Gateway; 2],
    sealed: [u64; 2],
    opened: u64,
    times: [Histogram<u64>; 3],
    idle: Histogram<u64>,
}

/// TSC cycles of one burst's passes: in each direction of [`DIRECTIONS`], by stage if those are measured, and of source and sink alone.
struct Passes {
    directions: [u64; 3],
    stages: [Laps; 3],
    nothing: u64,
}

/// Measures everything.
pub(crate) fn run(quick: bool, options: &Options) -> Result<Report<WorkerRow>> {
    let bed = Bed::start(MEMORY_MIB, POOL_PACKETS)?;
    let _pin = Pin::to(bed.worker_core)?;
    let mut bypass = Bypass::new(&bed)?;
    let sizes = match (options.sizes.is_empty(), quick) {
        (false, _) => options.sizes.clone(),
        (true, true) => Traffic::QUICK.to_vec(),
        (true, false) => Traffic::ALL.to_vec(),
    };
    let turns = if quick { 15 } else { 80 };
    let mut rows = Vec::new();
    let groups = if options.transforms { vec![transforms()] } else { groups(quick)? };
    for plans in groups {
        let mut contenders =
            plans.into_iter().map(|plan| Contender::new(&bed, plan)).collect::<Result<Vec<_>>>()?;
        for traffic in &sizes {
            let tsc_hz = machine::tsc_hz();
            for _ in 0..turns {
                for contender in &mut contenders {
                    let load = Load::new(contender.plan, *traffic)?;
                    contender.turn(&bed.pool, &load, &mut bypass)?;
                }
            }
            for contender in &mut contenders {
                let load = Load::new(contender.plan, *traffic)?;
                let stages = match options.stages || is_staged(contender.plan, *traffic) {
                    true => stages::measure(contender, turns, &bed.pool, &load, &mut bypass)?.map(Some),
                    false => [None; 3],
                };
                rows.extend(contender.rows(*traffic, tsc_hz, stages)?);
            }
        }
    }
    Report::new(rows)
}

/// Whether stages belong to the report.
fn is_staged(plan: Plan, traffic: Traffic) -> bool {
    let is_best = plan.kernel == Kernel::detect() && plan.transform.is_none();
    let sizes = [64, 512, 1400].map(Traffic::Fixed);
    is_best && plan.key_bits == 256 && plan.family == Family::V4 && sizes.contains(&traffic)
}

/// Plans that take turns: with AES-256 and IPv4, the base line (the `aes-gcm` crate) beside the best kernel that this CPU can run.
fn groups(quick: bool) -> Result<Vec<Vec<Plan>>> {
    let (portable, best) = (Kernel::named(KernelName::Portable)?, Kernel::detect());
    let mut first = vec![Plan::single(best, 256, Family::V4)];
    if best != portable {
        first.push(Plan::single(portable, 256, Family::V4));
    }
    if quick {
        return Ok(vec![first]);
    }
    Ok(vec![first, vec![Plan::single(best, 128, Family::V4), Plan::single(best, 256, Family::V6)]])
}

/// AES-GCM and, in turn with it, what peers without it use.
fn transforms() -> Vec<Plan> {
    use Transform::{ChaCha20Poly1305, Separate};
    let gcm = Plan::single(Kernel::detect(), 256, Family::V4);
    let others = [
        ("chacha20-poly1305", 256, ChaCha20Poly1305),
        ("aes-cbc hmac-sha1", 128, Separate(Cipher::AesCbc128, Integrity::HmacSha1_96)),
        ("aes-cbc hmac-sha256", 256, Separate(Cipher::AesCbc256, Integrity::HmacSha2_256_128)),
        ("aes-cbc hmac-sha512", 256, Separate(Cipher::AesCbc256, Integrity::HmacSha2_512_256)),
        ("null hmac-sha256", 0, Separate(Cipher::Null, Integrity::HmacSha2_256_128)),
        ("3des-cbc hmac-sha1", 168, Separate(Cipher::TripleDesCbc, Integrity::HmacSha1_96)),
    ];
    let other = |(name, key_bits, transform)| Plan { key_bits, transform: Some((name, transform)), ..gcm };
    [gcm].into_iter().chain(others.map(other)).collect()
}

impl Load {
    fn new(plan: Plan, traffic: Traffic) -> Result<Self> {
        let frames =
            |site| (0..12).map(|number| plan.frame(site, 0, traffic.bytes_of(number))).collect::<Result<_>>();
        Ok(Self { frames: [frames(Site(1))?, frames(Site(2))?] })
    }

    /// The so-manieth burst of a site.
    fn burst(&self, pool: &Mempool, site: Site, number: usize) -> Result<Burst> {
        let frames = &self.frames[usize::from(site.0) - 1];
        let mut burst = Burst::new();
        for at in number * BURST_PACKETS..(number + 1) * BURST_PACKETS {
            let packet = pool.take_copy(&frames[at % frames.len()]).context("the pool is exhausted")?;
            ensure!(burst.push(packet).is_ok(), "a burst is longer than DPDK's");
        }
        Ok(burst)
    }
}

impl Contender {
    fn new(bed: &Bed, plan: Plan) -> Result<Self> {
        let histogram = || Histogram::new(3);
        Ok(Self {
            plan,
            gateways: [Gateway::new(bed, plan, Site(1))?, Gateway::new(bed, plan, Site(2))?],
            sealed: [0; 2],
            opened: 0,
            times: [histogram()?, histogram()?, histogram()?],
            idle: histogram()?,
        })
    }

    /// Measures stages, or does not any more.
    fn measure_stages(&self, turns: StageTurns) {
        self.gateways.iter().for_each(|gateway| gateway.engine.handle.stats.measure_stages(turns));
    }

    /// Some bursts all the way, in each direction; the first ones are not recorded.
    fn turn(&mut self, pool: &Mempool, load: &Load, bypass: &mut Bypass) -> Result<()> {
        self.refresh()?;
        for number in 0..WARM_BURSTS + TURN_BURSTS {
            let passes = self.burst(pool, load, bypass, number)?;
            if number >= WARM_BURSTS {
                for (histogram, cycles) in self.times.iter_mut().zip(passes.directions) {
                    histogram.record(cycles)?;
                }
                self.idle.record(passes.nothing)?;
            }
        }
        self.check()
    }

    fn refresh(&mut self) -> Result<()> {
        self.gateways.iter_mut().try_for_each(|gateway| gateway.engine.refresh())
    }

    /// One burst through everything.
    fn burst(&mut self, pool: &Mempool, load: &Load, bypass: &mut Bypass, number: usize) -> Result<Passes> {
        let mut burst = load.burst(pool, Site(1), number)?;
        let before = self.gateways.each_ref().map(stages::so_far);
        let outbound = self.seal(&mut burst)?;
        let inbound = self.gateways[1].pass(WAN, &mut burst);
        let after = self.gateways.each_ref().map(stages::so_far);
        self.arrived(load, number, &burst)?;
        let nothing = bypass.pass(&mut burst);
        drop(burst);
        let mut burst = load.burst(pool, Site(1), number)?;
        self.seal(&mut burst)?;
        let mut back = load.burst(pool, Site(2), number)?;
        let both = self.gateways[1].pass_both(&mut back, &mut burst);
        self.arrived(load, number, &burst)?;
        ensure!(back.len() == BURST_PACKETS, "{} of {BURST_PACKETS} packets were sealed", back.len());
        self.sealed[1] += packets(back.len());
        let last = stages::so_far(&self.gateways[1]);
        let stages = [(before[0], after[0]), (before[1], after[1]), (after[1], last)];
        Ok(Passes {
            directions: [outbound, inbound, both],
            stages: stages.map(|(before, after)| stages::between(before, after)),
            nothing,
        })
    }

    fn check(&self) -> Result<()> {
        self.gateways[0].engine.check(self.sealed[0], 0)?;
        self.gateways[1].engine.check(self.sealed[1], self.opened)
    }

    /// Lets the first gateway seal a burst, and makes it one that arrives at the second. TSC cycles of the first.
    fn seal(&mut self, burst: &mut Burst) -> Result<u64> {
        let cycles = self.gateways[0].pass(LAN, burst);
        self.sealed[0] += packets(burst.len());
        burst.iter_mut().try_for_each(|packet| self.plan.arrive(packet.data_mut(), WAN))?;
        Ok(cycles)
    }

    fn arrived(&mut self, load: &Load, number: usize, burst: &Burst) -> Result<()> {
        ensure!(burst.len() == BURST_PACKETS, "{} of {BURST_PACKETS} packets arrived", burst.len());
        self.opened += packets(burst.len());
        if number == 0 {
            for (sent, received) in load.frames[0].iter().zip(burst.iter()) {
                self.plan.check_arrived(sent, received.data())?;
            }
        }
        Ok(())
    }

    /// All directions' rows; the times begin anew.
    fn rows(&mut self, traffic: Traffic, tsc_hz: f64, stages: [Option<Stages>; 3]) -> Result<Vec<WorkerRow>> {
        let burst = packets_f64(BURST_PACKETS);
        let source_and_sink = Spread::of_bursts(&self.idle, burst).median;
        self.idle.reset();
        let mut rows = Vec::new();
        for ((direction, total), stages) in DIRECTIONS.into_iter().zip(&mut self.times).zip(stages) {
            ensure!(!total.is_empty(), "nothing was measured");
            let net = Spread::of_bursts(total, bursts_of(direction) * burst).minus(source_and_sink);
            total.reset();
            let (mpps, gbit_per_s) = net.rates(tsc_hz, traffic.mean_bytes());
            rows.push(WorkerRow {
                program: "crossgate",
                direction,
                ip_version: self.plan.family,
                traffic: traffic.name(),
                inner_bytes: traffic.mean_bytes(),
                key_bits: self.plan.key_bits,
                kernel: self.plan.transform.map_or(self.plan.kernel.name().as_str(), |(name, _)| name),
                sas: self.plan.sas,
                workers: 1,
                net,
                source_and_sink_cycles_per_packet: source_and_sink,
                mpps,
                gbit_per_s,
                stages,
            });
        }
        Ok(rows)
    }
}

/// Bursts that the worker handles in a turn.
fn bursts_of(direction: Direction) -> f64 {
    if direction == Direction::Both { 2.0 } else { 1.0 }
}

/// As many as the counters count.
fn packets(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

impl Row for WorkerRow {
    const HEADINGS: &'static [&'static str] = &[
        "direction",
        "IP",
        "inner bytes",
        "key bits",
        "kernel",
        "net cycles/packet, min",
        "median",
        "spread",
        "source and sink",
        "Mpps",
        "Gbit/s",
        "by stage",
    ];

    fn cells(&self) -> Vec<String> {
        let [min, median, spread] = self.net.cells();
        vec![
            self.direction.as_str().to_owned(),
            self.ip_version.number().to_string(),
            self.traffic.clone(),
            self.key_bits.to_string(),
            self.kernel.to_owned(),
            min,
            median,
            spread,
            format!("{:.0}", self.source_and_sink_cycles_per_packet),
            format!("{:.2}", self.mpps),
            format!("{:.2}", self.gbit_per_s),
            self.stages.map_or_else(String::new, |stages| stages.to_string()),
        ]
    }
}

#[cfg(test)]
mod tests;
