//! The search with a generator of our own on two ports of this process, through gateways that other processes are.

use std::time::Duration;

use anyhow::{Result, ensure};
use dpdk_sys::{Eal, EalOptions};

use super::generator::{Generator, Profile};
use super::{Found, Latency, MEMORY_MIB, NdrRow, Options, search};
use crate::bed::threaded::Outcome;
use crate::bed::{Direction, Family};
use crate::machine;

/// Flows and versions of IP of a full run.
const FLOWS: [u32; 2] = [1, 10_000];
/// How far below the limit a found rate may be, as a part of the greatest rate; and how long a trial is: there are many profiles.
const RESOLUTION: f64 = 0.02;
const TRIAL_MS: u64 = 100;
/// Gateways of other processes share cores with this one: a rate counts if it was without loss in one of so many trials.
const TRIALS: usize = 3;

/// Searches for each profile; one that fails is a note.
pub(super) fn search(quick: bool, options: &Options) -> Result<Found> {
    let eal = Eal::start(&EalOptions { memory_mib: MEMORY_MIB, ..EalOptions::default() })?;
    let _registered = eal.register_thread()?;
    let mut generator = Generator::new(&eal, &options.device, machine::tsc_hz())?;
    let length = Duration::from_millis(options.trial_ms.unwrap_or(TRIAL_MS));
    let mut found = Found::default();
    for profile in profiles(quick, options) {
        match one(&mut generator, profile, length) {
            Ok((pps, outcome)) => found.rows.push(row(profile, length, pps, &outcome, generator.tsc_hz())),
            Err(error) => found.notes.push(format!(
                "through two gateways, {} bytes, {} flows, IPv{}: {error:#}",
                profile.traffic.name(),
                profile.flows,
                profile.family.number()
            )),
        }
    }
    Ok(found)
}

/// What to send.
fn profiles(quick: bool, options: &Options) -> Vec<Profile> {
    let sizes = options.sizes(quick);
    let (families, flows) = if options.profiles {
        (vec![Family::V4, Family::V6], FLOWS.to_vec())
    } else {
        (vec![options.family()], vec![options.flows])
    };
    let mut profiles = Vec::new();
    for family in families {
        for &flows in &flows {
            profiles.extend(sizes.iter().map(|&traffic| Profile { traffic, family, flows }));
        }
    }
    profiles
}

/// The zero-loss rate of a profile in packets per second, and the trial that confirmed it.
fn one(generator: &mut Generator, profile: Profile, length: Duration) -> Result<(f64, Outcome)> {
    generator.warm_up(profile)?;
    let flood = generator.trial(profile, f64::INFINITY, length / 2)?;
    ensure!(flood.received > 0, "nothing came through");
    let mut best = None;
    search::highest(flood.received_pps * 1.1, RESOLUTION, |pps| {
        for _ in 0..TRIALS {
            let outcome = generator.trial(profile, pps, length)?;
            // A generator that lagged behind has not tried this rate.
            if outcome.lost() == 0 && outcome.offered_pps > 0.98 * pps {
                best = Some((pps, outcome));
                return Ok(true);
            }
        }
        Ok(false)
    })?;
    best.ok_or_else(|| {
        anyhow::anyhow!(
            "packets were lost at every rate, the highest of which was {:.0} a second",
            flood.received_pps
        )
    })
}

fn row(profile: Profile, length: Duration, pps: f64, outcome: &Outcome, tsc_hz: f64) -> NdrRow {
    let inner_bytes = profile.traffic.mean_bytes();
    NdrRow {
        program: "crossgate".to_owned(),
        generator: "own process, two gateways".to_owned(),
        direction: Direction::Outbound,
        ip_version: profile.family,
        traffic: profile.traffic.name(),
        inner_bytes,
        key_bits: 256,
        sas: 1,
        flows: profile.flows,
        workers: 1,
        trial_ms: u64::try_from(length.as_millis()).unwrap_or(u64::MAX),
        mpps: pps / 1e6,
        gbit_per_s: pps * f64::from(inner_bytes) * 8.0 / 1e9,
        percent: None,
        latency: Some(Latency::of_cycles(&outcome.cycles, tsc_hz)),
        probes: None,
    }
}
