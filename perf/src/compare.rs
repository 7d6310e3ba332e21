//! `crossgate-perf compare`: Crossgate's whole worker beside DPDK's `ipsec-secgw`, and VPP where there is one, in the same run, on the same core, between the
//! same virtual devices, with the same SAs and packets: ESP tunnel mode, IPv4 in IPv4, AES-GCM, one SA, 32-bit sequence numbers.
//!
//! The source is `net_pcap`, which copies the packets of a file again and again (in [`ROUND_PACKETS`]' multiples), the sink `net_null`.
//! What these two cost alone, `testpmd` says; it is taken off both programs' figures. `ipsec-secgw` runs without replay
//! protection, since the packets repeat; Crossgate keeps its window, and gets its inbound SA anew with each repetition.
//!
//! Every program is measured in the same number of windows of a second, after one that warms up: `ipsec-secgw` counts by the second.
//!
//! Before anything is timed, the output of every program is checked: sealed packets are opened with a third library (ring), opened ones
//! compared with those that were sealed.

mod oracle;
mod ours;
mod pcap;
mod secgw;
mod vpp;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use crossgate_dataplane::gcm::Kernel;
use crossgate_dataplane::sa::Esn;
use serde::Serialize;

use crate::bed::traffic::{ROUND_PACKETS, Traffic};
use crate::bed::{Bed, Direction, Family, Plan, Site, WAN};
use crate::machine::{self, Pin};
use crate::report::{Report, Row};
use crate::spread::Spread;
use ours::Windows;
use secgw::{Mode, Run, Secgw};
use vpp::Vpp;

/// Packets in a file: few enough for the cache, a multiple of every burst.
const PACKETS: usize = 4 * ROUND_PACKETS;
const MEMORY_MIB: u32 = 128;
const POOL_PACKETS: u32 = 8191;
/// The least and the greatest packet: what lies between is measured with fewer programs and keys.
const ENDS: [Traffic; 2] = [Traffic::Fixed(64), Traffic::Fixed(1400)];

/// What to compare.
#[derive(clap::Args, Clone)]
pub(crate) struct Options {
    /// Sizes of inner packets in bytes, from 64 to 1400, or 'imix'; default: 64, 512, 1400 and imix, AES-128 at 64 and 1400 only.
    #[arg(long, value_delimiter = ',', value_parser = Traffic::parse)]
    sizes: Vec<Traffic>,
    /// Key lengths in bits, at every size.
    #[arg(long, value_delimiter = ',', value_parser = clap::builder::PossibleValuesParser::new(["128", "256"]))]
    keys: Vec<String>,
    /// How ipsec-secgw does ESP, in every case; default: cpu-aesni-gcm, and the others beside it with AES-256 at 64 and 1400.
    #[arg(long, value_delimiter = ',')]
    engines: Vec<Mode>,
    /// The core that both programs run on, one after the other; default: the last one that this process may use.
    #[arg(long)]
    core: Option<usize>,
    /// Windows of a second in which each program is measured in each case, after one that warms up; default: 3, or 2 with --quick.
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..))]
    windows: Option<u8>,
}

/// One program in one case.
#[derive(Serialize)]
pub(crate) struct CompareRow {
    program: &'static str,
    /// What does ESP and AES-GCM in it.
    engine: String,
    direction: Direction,
    traffic: String,
    inner_bytes: u16,
    key_bits: usize,
    sas: u32,
    workers: u32,
    /// In how many windows it was measured, and how long each was.
    windows: usize,
    window_ms: u128,
    /// Source and sink taken off.
    #[serde(flatten)]
    net: Spread,
    /// Of source and sink; least.
    floor_cycles_per_packet: f64,
    /// The whole loop; median.
    total_cycles_per_packet: f64,
    mpps: f64,
    gbit_per_s: f64,
}

/// A size, and with which keys it is measured.
struct Selected {
    traffic: Traffic,
    keys: Vec<OfKey>,
}

/// What is measured with keys of one length beside Crossgate: ipsec-secgw's ways of doing ESP, and VPP or not.
#[derive(Debug, PartialEq)]
struct OfKey {
    bits: usize,
    engines: Vec<Mode>,
    vpp: bool,
}

/// A case that all programs are measured in.
#[derive(Clone, Copy)]
struct Case<'a> {
    plan: Plan,
    engines: &'a [Mode],
    vpp: Option<&'a Vpp>,
    direction: Direction,
    traffic: Traffic,
    from: &'a Path,
    floor: f64,
    tsc_hz: f64,
}

/// Files of packets on their way: clear, as Crossgate sealed them, and what came out of whom.
struct Files {
    directory: tempfile::TempDir,
}

impl Files {
    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

/// Measures everything.
pub(crate) fn run(quick: bool, options: &Options) -> Result<Report<CompareRow>> {
    let bed = Bed::start(MEMORY_MIB, POOL_PACKETS)?;
    let core = options.core.unwrap_or(bed.worker_core);
    let files = Files { directory: tempfile::tempdir()? };
    let mut notes = Vec::new();
    let peer = match secgw::build() {
        Ok(program) => Some(Secgw::new(program, files.directory.path(), core)),
        Err(reason) => {
            notes.push(format!("no rows of ipsec-secgw: {reason:#}"));
            None
        }
    };
    let vpp = vpp::find(files.directory.path(), core)
        .inspect_err(|reason| notes.push(format!("no rows of vpp: {reason:#}")))
        .ok();
    let versions: Vec<_> = vpp.iter().map(|vpp| ("vpp", vpp.version.clone())).collect();
    let count = options.windows.unwrap_or(if quick { 2 } else { 3 });
    let windows = Windows { count: count.into(), length: Duration::from_secs(1) };
    let compared = Compared { bed, peer, vpp, files, core, windows };
    let selected = select(quick, options)?;
    let all: Vec<_> = selected.iter().flat_map(|size| &size.keys).collect();
    for key_bits in [128, 256] {
        // Whatever is measured at any size.
        let mut of_key = all.iter().filter(|of_key| of_key.bits == key_bits);
        let engines = Mode::ALL
            .into_iter()
            .filter(|mode| of_key.clone().any(|of_key| of_key.engines.contains(mode)))
            .collect();
        if of_key.clone().next().is_some() {
            let vpp = of_key.any(|of_key| of_key.vpp);
            compared.verify(plan(key_bits), &OfKey { bits: key_bits, engines, vpp })?;
        }
    }
    let mut rows = Vec::new();
    for size in &selected {
        rows.extend(compared.measure(size, &mut notes)?);
    }
    Ok(Report::new(rows)?.with_notes(notes).with_versions(versions))
}

fn plan(key_bits: usize) -> Plan {
    Plan { esn: Esn::Off, ..Plan::single(Kernel::detect(), key_bits, Family::V4) }
}

/// What to measure: whatever was asked for; else as much as the four minutes hold that `make bench` has for it.
fn select(quick: bool, options: &Options) -> Result<Vec<Selected>> {
    let sizes = match (options.sizes.is_empty(), quick) {
        (false, _) => options.sizes.clone(),
        (true, true) => ENDS.to_vec(),
        (true, false) => vec![ENDS[0], Traffic::Fixed(512), ENDS[1], Traffic::Imix],
    };
    let engines = |key_bits: usize, traffic| match options.engines.is_empty() {
        false => options.engines.clone(),
        true if quick || key_bits == 128 || !ENDS.contains(&traffic) => vec![Mode::CpuAesniGcm],
        true => Mode::ALL.to_vec(),
    };
    // Unless a case was asked for, VPP is in those that the plot shows the ends of.
    let everywhere = !options.sizes.is_empty() || !options.keys.is_empty();
    let vpp = |bits: usize, traffic| everywhere || bits == 256 && ENDS.contains(&traffic);
    let asked: Vec<usize> = options.keys.iter().map(|bits| bits.parse()).collect::<Result<_, _>>()?;
    let keys = |traffic| match asked.is_empty() {
        false => asked.clone(),
        true if quick || !ENDS.contains(&traffic) => vec![256],
        true => vec![256, 128],
    };
    let of_size = |traffic| Selected {
        traffic,
        keys: keys(traffic)
            .into_iter()
            .map(|bits| OfKey { bits, engines: engines(bits, traffic), vpp: vpp(bits, traffic) })
            .collect(),
    };
    Ok(sizes.into_iter().map(of_size).collect())
}

/// The programs, and what they need.
struct Compared {
    bed: Bed,
    peer: Option<Secgw>,
    vpp: Option<Vpp>,
    files: Files,
    core: usize,
    windows: Windows,
}

impl Compared {
    /// Makes the files of clear packets, and by Crossgate those of sealed ones.
    fn prepare(
        &self,
        plan: Plan,
        sizes: impl Fn(usize) -> u16,
        packets: usize,
    ) -> Result<(Vec<Vec<u8>>, PathBuf, PathBuf)> {
        let clear: Vec<_> =
            (0..packets).map(|number| plan.frame(Site(1), 0, sizes(number))).collect::<Result<_>>()?;
        let [clear_path, sealed_path, raw] =
            ["clear.pcap", "sealed.pcap", "raw.pcap"].map(|name| self.files.path(name));
        pcap::write(&clear_path, &clear)?;
        ours::once(&self.bed, plan, Direction::Outbound, packets, &clear_path, &raw)?;
        let mut sealed = pcap::read(&raw)?;
        oracle::check_sealed(&plan, &[0], &clear, &sealed).context("what Crossgate sealed")?;
        sealed.iter_mut().try_for_each(|frame| plan.arrive(frame, WAN))?;
        pcap::write(&sealed_path, &sealed)?;
        Ok((clear, clear_path, sealed_path))
    }

    /// Sends packets of all sizes through every program, both ways, and checks what comes out.
    fn verify(&self, plan: Plan, of_key: &OfKey) -> Result<()> {
        let sizes = |number: usize| Traffic::ALL[number % Traffic::ALL.len()].bytes_of(number);
        let (clear, clear_path, sealed_path) = self.prepare(plan, sizes, PACKETS)?;
        let out = self.files.path("out.pcap");
        ours::once(&self.bed, plan, Direction::Inbound, PACKETS, &sealed_path, &out)?;
        oracle::check_opened(&plan, &clear, &pcap::read(&out)?).context("what Crossgate opened")?;
        if let Some(vpp) = self.vpp.as_ref().filter(|_| of_key.vpp) {
            vpp.once(plan, Direction::Outbound, &clear_path, PACKETS, &out)?;
            oracle::check_sealed(&plan, &[0], &clear, &pcap::read(&out)?).context("what vpp sealed")?;
            vpp.once(plan, Direction::Inbound, &sealed_path, PACKETS, &out)?;
            oracle::check_opened(&plan, &clear, &pcap::read(&out)?).context("what vpp opened")?;
        }
        let Some(peer) = &self.peer else { return Ok(()) };
        for &mode in &of_key.engines {
            let words = format!("of ipsec-secgw, {}, {} bits", mode.name(), plan.key_bits);
            let run = Run { plan, mode, direction: Direction::Outbound, from: &clear_path, packets: PACKETS };
            peer.once(&run, &out).with_context(|| format!("output {words}"))?;
            oracle::check_sealed(&plan, &[0], &clear, &pcap::read(&out)?)
                .with_context(|| format!("sealed packets {words}"))?;
            peer.once(&Run { direction: Direction::Inbound, from: &sealed_path, ..run }, &out)
                .with_context(|| format!("output {words}"))?;
            oracle::check_opened(&plan, &clear, &pcap::read(&out)?)
                .with_context(|| format!("opened packets {words}"))?;
        }
        Ok(())
    }

    /// All programs and key lengths of one size, both ways.
    fn measure(&self, size: &Selected, notes: &mut Vec<String>) -> Result<Vec<CompareRow>> {
        let (mut rows, mut floors) = (Vec::new(), [None; 2]);
        let traffic = size.traffic;
        for OfKey { bits, engines, vpp } in &size.keys {
            let (plan, vpp) = (plan(*bits), self.vpp.as_ref().filter(|_| *vpp));
            let (_, clear, sealed) = self.prepare(plan, |number| traffic.bytes_of(number), PACKETS)?;
            let ways = [(Direction::Outbound, &clear), (Direction::Inbound, &sealed)];
            for ((direction, from), floor) in ways.into_iter().zip(&mut floors) {
                let tsc_hz = machine::tsc_hz();
                // It does not depend on the key.
                let floor = match floor {
                    Some(floor) => *floor,
                    None => *floor.insert(Spread::of(&self.floor(from, tsc_hz, notes)?)?.min),
                };
                self.case(&Case { plan, engines, vpp, direction, traffic, from, floor, tsc_hz }, &mut rows)?;
            }
        }
        Ok(rows)
    }

    /// All programs in one case, in the same windows.
    fn case(&self, case: &Case<'_>, rows: &mut Vec<CompareRow>) -> Result<()> {
        let Case { plan, direction, from, .. } = *case;
        let cycles = {
            let _pin = Pin::to(self.core)?;
            ours::measure(&self.bed, plan, direction, PACKETS, from, self.windows)?
        };
        rows.push(case.row("crossgate", plan.kernel.name().as_str(), &cycles, self.windows)?);
        if let Some(vpp) = case.vpp {
            let windows = (self.windows.count, self.windows.length);
            let vpp::Measured { engine, total, floor } =
                vpp.measure(plan, direction, from, windows, case.tsc_hz)?;
            rows.push(Case { floor, ..*case }.row("vpp", &engine, &total, self.windows)?);
        }
        let Some(peer) = &self.peer else { return Ok(()) };
        for &mode in case.engines {
            let rates =
                peer.measure(&Run { plan, mode, direction, from, packets: PACKETS }, self.windows.count)?;
            let cycles: Vec<_> = rates.iter().map(|rate| case.tsc_hz / rate).collect();
            rows.push(case.row("ipsec-secgw", mode.name(), &cycles, self.windows)?);
        }
        Ok(())
    }

    /// TSC cycles a packet of source and sink: by testpmd, or by a loop of our own where there is none.
    fn floor(&self, from: &Path, tsc_hz: f64, notes: &mut Vec<String>) -> Result<Vec<f64>> {
        if let Some(peer) = &self.peer {
            match peer.testpmd(from, self.windows.count) {
                Ok(rates) => return Ok(rates.iter().map(|rate| tsc_hz / rate).collect()),
                Err(reason) => {
                    let note = format!("floor by a loop of our own, no testpmd: {reason:#}");
                    if !notes.contains(&note) {
                        notes.push(note);
                    }
                }
            }
        }
        let _pin = Pin::to(self.core)?;
        ours::floor(&self.bed, from, self.windows)
    }
}

impl Case<'_> {
    fn row(
        &self,
        program: &'static str,
        engine: &str,
        cycles: &[f64],
        windows: Windows,
    ) -> Result<CompareRow> {
        ensure!(cycles.len() == windows.count, "{} windows instead of {}", cycles.len(), windows.count);
        let total = Spread::of(cycles)?;
        let net = total.minus(self.floor);
        let (mpps, gbit_per_s) = net.rates(self.tsc_hz, self.traffic.mean_bytes());
        let (way, size) = (self.direction.as_str(), self.traffic.name());
        eprintln!(
            "{program} {engine}, {way}, {size} bytes, {} bits: {:.0} net cycles",
            self.plan.key_bits, net.min
        );
        Ok(CompareRow {
            program,
            engine: engine.to_owned(),
            direction: self.direction,
            traffic: self.traffic.name(),
            inner_bytes: self.traffic.mean_bytes(),
            key_bits: self.plan.key_bits,
            sas: self.plan.sas,
            workers: 1,
            windows: windows.count,
            window_ms: windows.length.as_millis(),
            net,
            floor_cycles_per_packet: self.floor,
            total_cycles_per_packet: total.median,
            mpps,
            gbit_per_s,
        })
    }
}

impl Row for CompareRow {
    const HEADINGS: &'static [&'static str] = &[
        "program",
        "engine",
        "direction",
        "inner bytes",
        "key bits",
        "net cycles/packet, min",
        "median",
        "spread",
        "source and sink",
        "Mpps",
        "Gbit/s",
    ];

    fn cells(&self) -> Vec<String> {
        let [min, median, spread] = self.net.cells();
        vec![
            self.program.to_owned(),
            self.engine.clone(),
            self.direction.as_str().to_owned(),
            self.traffic.clone(),
            self.key_bits.to_string(),
            min,
            median,
            spread,
            format!("{:.0}", self.floor_cycles_per_packet),
            format!("{:.2}", self.mpps),
            format!("{:.2}", self.gbit_per_s),
        ]
    }
}

#[cfg(test)]
mod tests;
