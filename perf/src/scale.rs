//! `crossgate-perf scale`: what many tunnels cost, and what a second worker brings.
//!
//! - Packets of 64 and of 256 bytes over 1 to 100,000 SAs each way in random order, through a stepped worker (`scale/many.rs`): cycles, against one SA.
//! - Memory of an SA, from what the process occupies; time to install all SAs in a worker that runs on its own core; time to rekey all of them while
//!   traffic flows, and what was lost meanwhile (`scale/lifecycle.rs`).
//! - One tunnel's packets through two workers against one (`scale/workers.rs`), and what the two share costs (`scale/sharing.rs`).

mod lifecycle;
mod many;
mod sharing;
mod workers;

use anyhow::Result;
use crossgate_dataplane::gcm::Kernel;
use serde::Serialize;

use crate::bed::{Bed, Direction, Family, Plan};
use crate::machine;
use crate::report::{Report, Row};
use crate::spread::Spread;
use lifecycle::Lifecycle;
use sharing::SharingRow;
use workers::Traffic;

/// Bytes of the inner packets.
const SIZES: [u16; 2] = [64, 256];
const MEMORY_MIB: u32 = 128;
const POOL_PACKETS: u32 = 16_383;
const DIRECTIONS: [Direction; 2] = [Direction::Outbound, Direction::Inbound];
const SAS: [u32; 4] = [1, 100, 10_000, 100_000];
const QUICK_SAS: [u32; 3] = [1, 100, 10_000];
/// From so many SAs on, memory and times say something.
const LIFECYCLE_SAS: u32 = 10_000;

/// A row of either kind.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum ScaleRow {
    Throughput(ThroughputRow),
    Sharing(SharingRow),
}

/// One direction of one number of SAs or workers.
#[derive(Serialize)]
pub(crate) struct ThroughputRow {
    program: &'static str,
    direction: Direction,
    inner_bytes: u16,
    key_bits: usize,
    sas: u32,
    workers: u32,
    #[serde(flatten)]
    net: Spread,
    mpps: f64,
    gbit_per_s: f64,
    /// Throughput against one SA and one worker, with packets of the same size.
    throughput_ratio: f64,
    /// Of so many SAs, whatever the packets; measured once.
    #[serde(flatten)]
    lifecycle: Option<Lifecycle>,
}

/// Measures everything.
pub(crate) fn run(quick: bool) -> Result<Report<ScaleRow>> {
    let bed = Bed::start(MEMORY_MIB, POOL_PACKETS)?;
    let plan = |sas| Plan { sas, ..Plan::single(Kernel::detect(), 256, Family::V4) };
    let numbers: &[u32] = if quick { &QUICK_SAS } else { &SAS };
    let windows = if quick { 40 } else { 200 };
    let (mut rows, mut notes, mut singles) = (Vec::new(), Vec::new(), [None; SIZES.len()]);
    for &sas in numbers {
        // First, for what has been freed before would not be counted as growth.
        let lifecycle = if sas >= LIFECYCLE_SAS { Some(lifecycle::measure(&bed, plan(sas))?) } else { None };
        notes.extend(lifecycle.and_then(|lifecycle| lifecycle.loss(sas)));
        for (inner_bytes, single) in SIZES.into_iter().zip(&mut singles) {
            let measured = many::measure(&bed, plan(sas), inner_bytes, windows)?;
            let base = *single.get_or_insert(measured);
            for ((direction, net), base) in DIRECTIONS.into_iter().zip(measured).zip(base) {
                let traffic = Traffic { plan: plan(sas), direction, inner_bytes };
                rows.push(row(traffic, 1, net, base.median / net.median, lifecycle));
            }
        }
    }
    for (inner_bytes, direction) in SIZES.into_iter().flat_map(|bytes| DIRECTIONS.map(|way| (bytes, way))) {
        let traffic = Traffic { plan: plan(1), direction, inner_bytes };
        match workers::measure(&bed, traffic, if quick { 4000 } else { 20_000 }) {
            Ok([one, two]) => {
                rows.push(row(traffic, 1, one, 1.0, None));
                rows.push(row(traffic, 2, two, one.median / two.median, None));
            }
            Err(reason) => {
                notes.push(format!("two workers: {reason:#}"));
                break;
            }
        }
    }
    match bed.other_core().and_then(|other| sharing::measure([bed.worker_core, other], quick)) {
        Ok(operations) => rows.extend(operations.into_iter().map(ScaleRow::Sharing)),
        Err(reason) => notes.push(format!("what sharing costs: {reason:#}")),
    }
    Ok(Report::new(rows)?.with_notes(notes))
}

fn row(
    traffic: Traffic,
    workers: u32,
    net: Spread,
    throughput_ratio: f64,
    lifecycle: Option<Lifecycle>,
) -> ScaleRow {
    let Traffic { plan, direction, inner_bytes } = traffic;
    let (mpps, gbit_per_s) = net.rates(machine::tsc_hz(), inner_bytes);
    ScaleRow::Throughput(ThroughputRow {
        program: "crossgate",
        direction,
        inner_bytes,
        key_bits: plan.key_bits,
        sas: plan.sas,
        workers,
        net,
        mpps,
        gbit_per_s,
        throughput_ratio,
        lifecycle,
    })
}

impl Row for ScaleRow {
    const HEADINGS: &'static [&'static str] = &[
        "direction",
        "inner bytes",
        "SAs each way",
        "workers",
        "net cycles/packet, min",
        "median",
        "spread",
        "Mpps",
        "Gbit/s",
        "throughput against one",
        "bytes an SA, out",
        "in",
        "install all, s",
        "rekey all, s",
        "at Mpps",
        "lost",
    ];

    fn cells(&self) -> Vec<String> {
        match self {
            Self::Throughput(row) => row.cells(),
            Self::Sharing(row) => row.cells(),
        }
    }
}

impl ThroughputRow {
    fn cells(&self) -> Vec<String> {
        let [min, median, spread] = self.net.cells();
        let mut cells = vec![
            self.direction.as_str().to_owned(),
            self.inner_bytes.to_string(),
            self.sas.to_string(),
            self.workers.to_string(),
            min,
            median,
            spread,
            format!("{:.2}", self.mpps),
            format!("{:.2}", self.gbit_per_s),
            format!("{:.0} %", 100.0 * self.throughput_ratio),
        ];
        cells.extend(self.lifecycle.map_or_else(Default::default, Lifecycle::cells));
        cells
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fields;

    #[test]
    fn rows_have_the_fields_that_readers_of_the_json_know() {
        let net = Spread { min: 100.0, median: 110.0, spread: 10.0 };
        let plan = Plan::single(Kernel::detect(), 256, Family::V4);
        let row = row(Traffic { plan, direction: Direction::Inbound, inner_bytes: 64 }, 1, net, 1.0, None);
        let expected = [
            "direction",
            "gbit_per_s",
            "inner_bytes",
            "key_bits",
            "median_net_cycles_per_packet",
            "mpps",
            "net_cycles_per_packet",
            "program",
            "sas",
            "spread_cycles_per_packet",
            "throughput_ratio",
            "workers",
        ];
        assert_eq!(fields(&row), expected);
        assert_eq!(serde_json::to_value(row).expect("JSON")["program"], "crossgate");
    }
}
