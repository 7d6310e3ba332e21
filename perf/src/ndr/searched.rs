//! A worker on a core of its own, searched by a generator that is a thread of this program on another.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use crossgate_dataplane::worker::Idle;

use super::{Latency, NdrRow, RESOLUTION, search};
use crate::bed::stepped::Gateway;
use crate::bed::threaded::{Clear, Outcome, Running, Sealed, Trial};
use crate::bed::traffic::Traffic;
use crate::bed::{Bed, Direction, LAN, Plan, Site, WAN};
use crate::machine::{self, Pin};

/// Trials that confirm a rate: down to less than half of it.
const CONFIRMATIONS: usize = 8;

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

    pub(super) fn row(&self, traffic: Traffic, length: Duration, pps: f64, outcome: &Outcome) -> NdrRow {
        NdrRow {
            program: "crossgate".to_owned(),
            generator: "own thread".to_owned(),
            direction: self.direction,
            ip_version: self.plan.family,
            traffic: traffic.name(),
            inner_bytes: traffic.mean_bytes(),
            key_bits: self.plan.key_bits,
            sas: self.plan.sas,
            flows: self.plan.sas,
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
