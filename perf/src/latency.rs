//! `crossgate-perf latency`: how long a packet is in the gateway, from the moment it lies in a receive queue until it lies in a
//! transmit queue and the sink takes it, by size and load; and the first packet after a pause, which finds the worker asleep.
//!
//! The worker runs on the last core, generator and sink on another, in-memory ports between them. Load is a part of the zero-loss
//! rate, which is searched first with short trials and then confirmed, or lowered, by trials as long as those that are measured. A case in which packets
//! were lost all the same is repeated once. Packets come evenly spaced; a worker keeps their order, so each is told by its place. The generator's own turn (well below a
//! microsecond) is in the time, and so is whatever the machine does to either thread.

use std::time::Duration;

use anyhow::Result;
use crossgate_dataplane::gcm::Kernel;
use crossgate_dataplane::worker::Idle;
use hdrhistogram::Histogram;
use serde::Serialize;

use crate::bed::traffic::Traffic;
use crate::bed::{Bed, Direction, Family, Plan, Site};
use crate::ndr::{Latency, Searched};
use crate::report::{Report, Row};

const LOADS_PERCENT: [u32; 3] = [10, 50, 90];
const MEMORY_MIB: u32 = 192;
const POOL_PACKETS: u32 = 16_383;
/// Pauses before a first packet.
const PAUSE: Duration = Duration::from_millis(5);

/// One size and load.
#[derive(Serialize)]
pub(crate) struct LatencyRow {
    program: &'static str,
    direction: Direction,
    traffic: String,
    inner_bytes: u16,
    key_bits: usize,
    sas: u32,
    workers: u32,
    /// What the worker does when there is nothing to do.
    idle: &'static str,
    /// Of the zero-loss rate; 0 for single packets after a pause.
    load_percent: u32,
    mpps: f64,
    packets: u64,
    lost: u64,
    /// Whether it is the second try, since the first one lost packets.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    repeated: bool,
    #[serde(flatten)]
    latency: Latency,
    /// The worker's own measure: from a burst's receipt until it is handed to the transmit queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    inside_p99_us: Option<f64>,
}

/// Measures everything.
pub(crate) fn run(quick: bool) -> Result<Report<LatencyRow>> {
    let bed = Bed::start(MEMORY_MIB, POOL_PACKETS)?;
    let plan = Plan::single(Kernel::detect(), 256, Family::V4);
    let sizes: &[Traffic] = if quick {
        &[Traffic::Fixed(64), Traffic::Imix]
    } else {
        &[Traffic::Fixed(64), Traffic::Fixed(512), Traffic::Fixed(1400), Traffic::Imix]
    };
    let length = Duration::from_millis(if quick { 300 } else { 1000 });
    let (mut rows, mut notes) = (Vec::new(), Vec::new());
    for direction in [Direction::Outbound, Direction::Inbound] {
        let mut searched = Searched::new(&bed, plan, direction, Idle::Poll)?;
        for &traffic in sizes {
            let (found, _) = searched.search(traffic, Duration::from_millis(100))?;
            let (most, is_confirmed) = searched.confirm(traffic, found, length)?;
            if !is_confirmed {
                let (way, size, ms) = (direction.as_str(), traffic.name(), length.as_millis());
                notes.push(format!(
                    "{way}, {size} bytes: no rate was without loss for {ms} ms; loads are parts of {:.2} Mpps, {:.0} % of what \
                     trials of 100 ms found",
                    most / 1e6,
                    100.0 * most / found
                ));
            }
            for percent in LOADS_PERCENT {
                let case = Case { plan, direction, traffic, idle: "poll", load_percent: percent };
                let mut row = case.loaded(&mut searched, most, length)?;
                if row.lost > 0 {
                    row = LatencyRow { repeated: true, ..case.loaded(&mut searched, most, length)? };
                }
                rows.push(row);
            }
        }
    }
    for idle in [(Idle::Poll, "poll"), (Idle::Adaptive, "adaptive")] {
        rows.push(after_pauses(&bed, plan, idle, if quick { 100 } else { 400 })?);
    }
    Ok(Report::new(rows)?.with_notes(notes))
}

/// One size and load, before it is measured.
#[derive(Clone, Copy)]
struct Case {
    plan: Plan,
    direction: Direction,
    traffic: Traffic,
    idle: &'static str,
    load_percent: u32,
}

impl Case {
    /// At its part of `most` packets per second.
    fn loaded(self, searched: &mut Searched<'_>, most: f64, length: Duration) -> Result<LatencyRow> {
        let pps = most * f64::from(self.load_percent) / 100.0;
        searched.gateway.histograms()?;
        let outcome = searched.trial(self.traffic, pps, length)?;
        let inside = searched.gateway.histograms()?;
        let inside = Latency::of_cycles(&inside.residence_cycles, searched.tsc_hz());
        Ok(LatencyRow {
            mpps: outcome.offered_pps / 1e6,
            packets: outcome.received,
            lost: outcome.lost(),
            inside_p99_us: Some(inside.p99_us),
            ..self.row(Latency::of_cycles(&outcome.cycles, searched.tsc_hz()))
        })
    }

    fn row(self, latency: Latency) -> LatencyRow {
        LatencyRow {
            program: "crossgate",
            direction: self.direction,
            traffic: self.traffic.name(),
            inner_bytes: self.traffic.mean_bytes(),
            key_bits: self.plan.key_bits,
            sas: self.plan.sas,
            workers: 1,
            idle: self.idle,
            load_percent: self.load_percent,
            mpps: 0.0,
            packets: 0,
            lost: 0,
            repeated: false,
            latency,
            inside_p99_us: None,
        }
    }
}

/// Single packets, each after a pause.
fn after_pauses(
    bed: &Bed,
    plan: Plan,
    (idle, name): (Idle, &'static str),
    packets: u64,
) -> Result<LatencyRow> {
    let mut searched = Searched::new(bed, plan, Direction::Outbound, idle)?;
    let traffic = Traffic::Fixed(64);
    let frame = plan.frame(Site(1), 0, traffic.bytes_of(0))?;
    let mut cycles: Histogram<u64> = Histogram::new(3)?;
    for _ in 0..packets {
        cycles.record(searched.gateway.first_packet(bed, &frame, PAUSE)?)?;
    }
    let case = Case { plan, direction: Direction::Outbound, traffic, idle: name, load_percent: 0 };
    Ok(LatencyRow { packets, ..case.row(Latency::of_cycles(&cycles, searched.tsc_hz())) })
}

impl Row for LatencyRow {
    const HEADINGS: &'static [&'static str] = &[
        "direction",
        "inner bytes",
        "idle",
        "load %",
        "Mpps",
        "packets",
        "lost",
        "p50 us",
        "p99 us",
        "p99.9 us",
        "max us",
        "inside p99 us",
    ];

    fn cells(&self) -> Vec<String> {
        let mut cells = vec![
            self.direction.as_str().to_owned(),
            self.traffic.clone(),
            self.idle.to_owned(),
            if self.load_percent == 0 { "after a pause".to_owned() } else { self.load_percent.to_string() },
            format!("{:.2}", self.mpps),
            self.packets.to_string(),
            format!("{}{}", self.lost, if self.repeated { ", second try" } else { "" }),
        ];
        cells.extend(self.latency.cells());
        cells.push(self.inside_p99_us.map_or_else(String::new, |us| format!("{us:.1}")));
        cells
    }
}
