//! `crossgate-perf kernels`: bursts of 32 equal packets through each engine, buffers warm. The engines take turns within a
//! case, so that a disturbance meets all of them; the minimum is the figure; median, spread and 99th percentile show the noise.

mod ipsec_mb;

use std::path::PathBuf;

use anyhow::{Result, ensure};
use crossgate_dataplane::gcm::{Kernel, Work};
use hdrhistogram::Histogram;
use serde::Serialize;

use crate::engine::{BURST_PACKETS, Engine, Packets};
use crate::machine::report_precision;
use crate::report::{Report, Row};
use ipsec_mb::IpsecMb;

/// Packet sizes: round ones, what ESP makes of 64 and 1400 bytes of inner packet, and a jumbo frame.
const SIZES: &[usize] = &[64, 68, 128, 256, 512, 1024, 1400, 1404, 8900];
const FEW_SIZES: &[usize] = &[64, 256, 1400];
/// Key lengths, each with its sizes: RFC 8221 has AES-192 as a MAY, few use it, and ring does not know it.
const KEYS: &[(usize, &[usize])] = &[(128, SIZES), (192, FEW_SIZES), (256, SIZES)];
const QUICK_KEYS: &[(usize, &[usize])] = &[(256, FEW_SIZES)];
/// Bursts between two changes of engine.
const TURN_BURSTS: usize = 50;

/// One engine in one case.
#[derive(Serialize)]
pub(crate) struct KernelRow {
    engine: &'static str,
    direction: Direction,
    key_bits: usize,
    payload_bytes: usize,
    burst: usize,
    sas: usize,
    cycles_per_packet: f64,
    median_cycles_per_packet: f64,
    /// Nine of ten bursts are at most so far above the least.
    spread_cycles_per_packet: f64,
    p99_cycles_per_packet: f64,
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
enum Direction {
    Seal,
    Open,
}

impl Direction {
    fn as_str(self) -> &'static str {
        match self {
            Self::Seal => "seal",
            Self::Open => "open",
        }
    }
}

/// One case, the same for all engines.
#[derive(Clone, Copy)]
struct Case {
    direction: Direction,
    key_bits: usize,
    payload_bytes: usize,
    sas: usize,
}

/// What takes turns in a case: an engine of this process, or libipsec-mb's program.
enum Contender {
    Here(Engine),
    IpsecMb(IpsecMb),
}

/// libipsec-mb's program, and the version that it says it is of.
struct Peer {
    program: PathBuf,
    version: String,
}

/// Packets of a case: as they were, sealed by the contender at hand, and those it works on.
struct Buffers {
    clear: Packets,
    sealed: Packets,
    packets: Packets,
}

/// Measures everything.
pub(crate) fn run(quick: bool) -> Result<Report<KernelRow>> {
    let (keys, turns) = if quick { (QUICK_KEYS, 4) } else { (KEYS, 20) };
    let (mut peer, mut notes) = match ipsec_mb::build() {
        Ok(program) => (Some(Peer { program, version: String::new() }), Vec::new()),
        Err(reason) => (None, vec![format!("no rows of ipsec-mb: {reason:#}")]),
    };
    if cfg!(not(feature = "aws-lc")) {
        notes.push("no rows of aws-lc-rs: built without --features aws-lc".to_owned());
    }
    let mut rows = Vec::new();
    for &(key_bits, sizes) in keys {
        for direction in [Direction::Seal, Direction::Open] {
            for sas in [1, BURST_PACKETS] {
                for &payload_bytes in sizes {
                    let case = Case { direction, key_bits, payload_bytes, sas };
                    rows.extend(case.measure(turns, peer.as_mut())?);
                }
            }
        }
    }
    let version = peer.map(|peer| ("ipsec-mb", peer.version));
    Ok(Report::new(rows)?.with_notes(notes).with_versions(version))
}

impl Case {
    fn engines(self) -> Result<Vec<Engine>> {
        let mut engines = Vec::new();
        for kernel in Kernel::available() {
            engines.push(Engine::ours(kernel, self.sas, self.key_bits)?);
        }
        engines.extend(Engine::libraries(self.sas, self.key_bits));
        for work in [Work::Rounds, Work::RoundsAndProducts] {
            engines.push(Engine::limit(Kernel::detect(), self.key_bits, work)?);
        }
        self.compare(&engines)?;
        Ok(engines)
    }

    /// Checks that all engines seal alike, before they are timed.
    fn compare(self, engines: &[Engine]) -> Result<()> {
        let mut first: Option<Packets> = None;
        for engine in engines.iter().filter(|engine| !matches!(engine, Engine::Limit(..))) {
            let mut packets = Packets::new(self.payload_bytes);
            engine.seal(&mut packets)?;
            let first = first.get_or_insert_with(|| packets.clone());
            ensure!(
                (0..BURST_PACKETS).all(|packet| packets.sealed(packet) == first.sealed(packet)),
                "{} seals {} bytes unlike {}",
                engine.name(),
                self.payload_bytes,
                Kernel::detect().name()
            );
        }
        Ok(())
    }

    fn measure(self, turns: usize, peer: Option<&mut Peer>) -> Result<Vec<KernelRow>> {
        let mut contenders: Vec<_> = self.engines()?.into_iter().map(Contender::Here).collect();
        if let Some(peer) = peer {
            let started = IpsecMb::start(&peer.program, self)?;
            started.version().clone_into(&mut peer.version);
            contenders.push(Contender::IpsecMb(started));
        }
        let mut histograms = Vec::new();
        for _ in &contenders {
            histograms.push(Histogram::<u64>::new(3)?);
        }
        let new = || Packets::new(self.payload_bytes);
        let mut buffers = Buffers { clear: new(), sealed: new(), packets: new() };
        for _ in 0..turns {
            for (contender, histogram) in contenders.iter_mut().zip(&mut histograms) {
                for cycles in contender.turn(self.direction, &mut buffers)? {
                    histogram.record(cycles)?;
                }
            }
        }
        let rows = contenders.iter().zip(&histograms);
        Ok(rows.map(|(contender, histogram)| self.row(contender.name(), histogram)).collect())
    }

    fn row(self, engine: &'static str, histogram: &Histogram<u64>) -> KernelRow {
        let per_packet = |cycles| report_precision(cycles) / BURST_PACKETS as f64;
        KernelRow {
            engine,
            direction: self.direction,
            key_bits: self.key_bits,
            payload_bytes: self.payload_bytes,
            burst: BURST_PACKETS,
            sas: self.sas,
            cycles_per_packet: per_packet(histogram.min()),
            median_cycles_per_packet: per_packet(histogram.value_at_quantile(0.5)),
            spread_cycles_per_packet: per_packet(histogram.value_at_quantile(0.9) - histogram.min()),
            p99_cycles_per_packet: per_packet(histogram.value_at_quantile(0.99)),
        }
    }
}

impl Contender {
    /// The name in reports.
    fn name(&self) -> &'static str {
        match self {
            Self::Here(engine) => engine.name(),
            Self::IpsecMb(_) => "ipsec-mb",
        }
    }

    /// TSC cycles of each burst of a turn.
    fn turn(&mut self, direction: Direction, buffers: &mut Buffers) -> Result<Vec<u64>> {
        let engine = match self {
            Self::IpsecMb(started) => return started.bursts(TURN_BURSTS),
            Self::Here(engine) => engine,
        };
        let Buffers { clear, sealed, packets } = buffers;
        sealed.restore(clear);
        engine.seal(sealed)?;
        let burst = |_| match direction {
            Direction::Seal => engine.seal(packets),
            Direction::Open => {
                packets.restore(sealed);
                engine.open(packets)
            }
        };
        (0..TURN_BURSTS).map(burst).collect()
    }
}

impl Row for KernelRow {
    const HEADINGS: &'static [&'static str] = &[
        "engine",
        "direction",
        "key bits",
        "payload bytes",
        "SAs",
        "cycles/packet, min",
        "median",
        "spread",
        "p99",
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.engine.to_owned(),
            self.direction.as_str().to_owned(),
            self.key_bits.to_string(),
            self.payload_bytes.to_string(),
            self.sas.to_string(),
            format!("{:.1}", self.cycles_per_packet),
            format!("{:.1}", self.median_cycles_per_packet),
            format!("{:.1}", self.spread_cycles_per_packet),
            format!("{:.1}", self.p99_cycles_per_packet),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fields;

    #[test]
    fn rows_have_the_fields_that_readers_of_the_json_know() {
        let case = Case { direction: Direction::Seal, key_bits: 256, payload_bytes: 64, sas: 1 };
        let mut histogram = Histogram::new(3).expect("a histogram");
        for cycles in [3200, 3520, 6400] {
            histogram.record(cycles).expect("recorded");
        }
        let row = case.row("ring", &histogram);
        let expected = [
            "burst",
            "cycles_per_packet",
            "direction",
            "engine",
            "key_bits",
            "median_cycles_per_packet",
            "p99_cycles_per_packet",
            "payload_bytes",
            "sas",
            "spread_cycles_per_packet",
        ];
        assert_eq!(fields(&row), expected);
        let json = serde_json::to_value(row).expect("JSON");
        assert_eq!(json["direction"], "seal");
        assert_eq!(json["cycles_per_packet"], 100.0);
        assert!((99.0..101.0).contains(&json["spread_cycles_per_packet"].as_f64().expect("a figure")));
    }

    #[test]
    fn engines_have_the_names_that_readers_of_the_json_know() {
        let case = Case { direction: Direction::Seal, key_bits: 256, payload_bytes: 64, sas: 1 };
        let with_aws_lc = cfg!(feature = "aws-lc").then_some("aws-lc-rs");
        for (key_bits, some) in [(256, &["portable", "ring", "limit"][..]), (192, &["portable", "limit"])] {
            let engines = Case { key_bits, ..case }.engines().expect("engines");
            let names: Vec<_> = engines.iter().map(Engine::name).collect();
            for name in some.iter().copied().chain(with_aws_lc) {
                assert!(names.contains(&name), "{key_bits}: {name} is missing: {names:?}");
            }
        }
    }
}
