//! The search with a running Pktgen-DPDK, through whatever gateways are between its ports.

use std::time::Duration;

use anyhow::{Result, bail, ensure};

use super::generator::Profile;
use super::pktgen::{Counts, Pktgen};
use super::{Found, NdrRow, Options, RESOLUTION, search};
use crate::bed::Direction;
use crate::bed::traffic::Traffic;

/// RFC 2544, 24.
const TRIAL: Duration = Duration::from_secs(60);
const QUICK_TRIAL: Duration = Duration::from_secs(2);
/// Of the port's rate: so slow that the gateways learn whom to send to without loss.
const SLOW_PERCENT: f64 = 0.1;
const SLOW_TRIAL: Duration = Duration::from_secs(2);
const SLOW_TRIALS: usize = 5;

/// Searches for each size; one that fails is a note.
pub(super) fn search(address: &str, quick: bool, options: &Options) -> Result<Found> {
    let mut pktgen = Pktgen::connect(address, options.send_port, options.receive_port)?;
    let version = pktgen.version()?;
    let length = options.trial_ms.map_or(if quick { QUICK_TRIAL } else { TRIAL }, Duration::from_millis);
    let mut found = Found::default();
    for traffic in options.sizes(quick) {
        // A mixture is a sequence of twelve packets there.
        let flows = if traffic == Traffic::Imix { 12 } else { options.flows };
        let profile = Profile { traffic, family: options.family(), flows };
        pktgen.load(profile)?;
        match one(&mut pktgen, length, options.trials) {
            Ok((percent, counts)) => found.rows.push(row(&version, profile, length, percent, counts)),
            Err(error) => {
                found.notes.push(format!("{version}, {} bytes, {flows} flows: {error:#}", traffic.name()));
            }
        }
    }
    ensure!(!found.rows.is_empty(), "{}", found.notes.join("\n"));
    Ok(found)
}

/// The zero-loss rate in percent of the port's, and the trial that confirmed it.
fn one(pktgen: &mut Pktgen, length: Duration, trials: u32) -> Result<(f64, Counts)> {
    let slow = slowly(pktgen)?;
    let mut best = None;
    let mut tried = |percent: f64| -> Result<Counts> {
        let mut counts = pktgen.trial(percent, length)?;
        for _ in 1..trials {
            if counts.lossless() {
                break;
            }
            counts = pktgen.trial(percent, length)?;
        }
        let Counts { sent, received, seconds, .. } = counts;
        eprintln!("{percent:.3} %: {sent} sent in {seconds:.2} s, {received} received");
        if counts.lossless() {
            best = Some((percent, counts));
        }
        Ok(counts)
    };
    // How far to search from: at what came through at the port's full rate, a tenth more.
    let flood = tried(100.0)?;
    if !flood.lossless() {
        let most = 1.1 * SLOW_PERCENT * flood.received_pps() / slow.sent_pps();
        search::highest(most.min(100.0), RESOLUTION, |percent| Ok(tried(percent)?.lossless()))?;
    }
    best.ok_or_else(|| {
        anyhow::anyhow!(
            "packets were lost at every rate, the highest of which was {:.0} a second",
            flood.sent_pps()
        )
    })
}

/// Sends slowly until nothing is lost: the gateways have learnt whom to send to.
fn slowly(pktgen: &mut Pktgen) -> Result<Counts> {
    let mut last = None;
    for _ in 0..SLOW_TRIALS {
        let counts = pktgen.trial(SLOW_PERCENT, SLOW_TRIAL)?;
        if counts.lossless() {
            return Ok(counts);
        }
        last = Some(counts);
    }
    match last {
        Some(Counts { sent: 0, .. }) => {
            bail!("Pktgen sends nothing: is its port up, and has it a core (-m)?")
        }
        Some(Counts { sent, received: 0, .. }) => bail!(
            "none of {sent} packets came back: is the tunnel up, is gateway_mac that of the gateway, and does someone answer for the far host?"
        ),
        Some(Counts { sent, received, .. }) => {
            bail!("only {received} of {sent} packets came back at {SLOW_PERCENT} % of the port's rate")
        }
        None => bail!("no trials"),
    }
}

fn row(version: &str, profile: Profile, length: Duration, percent: f64, counts: Counts) -> NdrRow {
    let Profile { traffic, family, flows } = profile;
    let inner_bytes = traffic.mean_bytes();
    let mpps = counts.sent_pps() / 1e6;
    NdrRow {
        program: "crossgate".to_owned(),
        generator: version.to_owned(),
        direction: Direction::Outbound,
        ip_version: family,
        traffic: traffic.name(),
        inner_bytes,
        key_bits: 256,
        sas: 1,
        flows,
        workers: 1,
        trial_ms: u64::try_from(length.as_millis()).unwrap_or(u64::MAX),
        mpps,
        gbit_per_s: mpps * f64::from(inner_bytes) * 8.0 / 1e3,
        percent: Some(percent),
        latency: None,
        probes: counts.latency.map(Into::into),
    }
}
