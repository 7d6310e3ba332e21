//! `crossgate-perf kernels`: bursts of 32 equal packets through each engine, buffers warm. The engines take turns within a
//! case, so that a disturbance meets all of them; the minimum is the figure, median and 99th percentile show the noise.

use anyhow::Result;
use crossgate_dataplane::gcm::{Kernel, Work};
use hdrhistogram::Histogram;
use serde::Serialize;

use crate::engine::{BURST_PACKETS, Engine, Packets};
use crate::machine::report_precision;
use crate::report::{Report, Row};

/// Packet sizes: round ones, what ESP makes of 64 and 1400 bytes of inner packet, and a jumbo frame.
const SIZES: &[usize] = &[64, 68, 128, 256, 512, 1024, 1400, 1404, 8900];
const QUICK_SIZES: &[usize] = &[64, 256, 1400];
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
    p99_cycles_per_packet: f64,
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
enum Direction {
    Seal,
    Open,
}

/// One case, the same for all engines.
#[derive(Clone, Copy)]
struct Case {
    direction: Direction,
    key_bits: usize,
    payload_bytes: usize,
    sas: usize,
}

/// Measures everything.
pub(crate) fn run(quick: bool) -> Result<Report<KernelRow>> {
    let (sizes, key_lengths, turns): (_, &[usize], _) =
        if quick { (QUICK_SIZES, &[256], 4) } else { (SIZES, &[128, 256], 20) };
    let mut rows = Vec::new();
    for &key_bits in key_lengths {
        for direction in [Direction::Seal, Direction::Open] {
            for sas in [1, BURST_PACKETS] {
                for &payload_bytes in sizes {
                    let case = Case { direction, key_bits, payload_bytes, sas };
                    rows.extend(case.measure(turns)?);
                }
            }
        }
    }
    Report::new(rows)
}

impl Case {
    fn engines(self) -> Result<Vec<Engine>> {
        let mut engines = Vec::new();
        for kernel in Kernel::available() {
            engines.push(Engine::ours(kernel, self.sas, self.key_bits)?);
        }
        engines.push(Engine::ring(self.sas, self.key_bits)?);
        for work in [Work::Rounds, Work::RoundsAndProducts] {
            engines.push(Engine::limit(Kernel::detect(), self.key_bits, work)?);
        }
        Ok(engines)
    }

    fn measure(self, turns: usize) -> Result<Vec<KernelRow>> {
        let mut engines = Vec::new();
        for engine in self.engines()? {
            engines.push((engine, Histogram::<u64>::new(3)?));
        }
        let clear = Packets::new(self.payload_bytes);
        let mut sealed = Packets::new(self.payload_bytes);
        let mut packets = Packets::new(self.payload_bytes);
        for _ in 0..turns {
            for (engine, histogram) in &mut engines {
                sealed.restore(&clear);
                engine.seal(&mut sealed)?;
                for _ in 0..TURN_BURSTS {
                    let cycles = match self.direction {
                        Direction::Seal => engine.seal(&mut packets)?,
                        Direction::Open => {
                            packets.restore(&sealed);
                            engine.open(&mut packets)?
                        }
                    };
                    histogram.record(cycles)?;
                }
            }
        }
        Ok(engines.iter().map(|(engine, histogram)| self.row(engine, histogram)).collect())
    }

    fn row(self, engine: &Engine, histogram: &Histogram<u64>) -> KernelRow {
        let per_packet = |cycles| report_precision(cycles) / BURST_PACKETS as f64;
        KernelRow {
            engine: engine.name(),
            direction: self.direction,
            key_bits: self.key_bits,
            payload_bytes: self.payload_bytes,
            burst: BURST_PACKETS,
            sas: self.sas,
            cycles_per_packet: per_packet(histogram.min()),
            median_cycles_per_packet: per_packet(histogram.value_at_quantile(0.5)),
            p99_cycles_per_packet: per_packet(histogram.value_at_quantile(0.99)),
        }
    }
}

impl Row for KernelRow {
    const HEADINGS: &'static [&'static str] =
        &["engine", "direction", "key bits", "payload bytes", "SAs", "cycles/packet", "median", "p99"];

    fn cells(&self) -> Vec<String> {
        let direction = match self.direction {
            Direction::Seal => "seal",
            Direction::Open => "open",
        };
        vec![
            self.engine.to_owned(),
            direction.to_owned(),
            self.key_bits.to_string(),
            self.payload_bytes.to_string(),
            self.sas.to_string(),
            format!("{:.1}", self.cycles_per_packet),
            format!("{:.1}", self.median_cycles_per_packet),
            format!("{:.1}", self.p99_cycles_per_packet),
        ]
    }
}
