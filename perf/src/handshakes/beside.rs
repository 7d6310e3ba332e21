//! Our responder and charon, one after the other on one core, driven by the same peers of ours from another.

use anyhow::{Context, Result, anyhow};

use super::case::Case;
use super::initiator::{self, Peers};
use super::program::{Place, Program};
use super::{HandshakeRow, charon, figures};
use crate::machine::Pin;

/// Handshakes of a rate; IKE SAs for the measure of memory.
const HANDSHAKES: u32 = 2_001;
const QUICK_HANDSHAKES: u32 = 401;
const MANY: u32 = 10_000;
const QUICK_MANY: u32 = 1_000;

/// What a run of one program showed.
#[derive(Clone, Copy)]
struct Figures {
    median: f64,
    best: f64,
    busy: f64,
    /// Handshakes for each second that it was.
    per_cpu_s: f64,
    bytes_per_ike_sa: f64,
}

/// Rows, and what could not be measured.
pub(super) fn measure(quick: bool, namespace: &str) -> Result<(Vec<HandshakeRow>, Vec<String>)> {
    let cores: Vec<_> = core_affinity::get_core_ids().context("which cores there are")?;
    let core = cores.iter().map(|core| core.id).max().context("no core at all")?;
    let place = Place { namespace, core };
    let own = cores.iter().map(|core| core.id).find(|other| *other != place.core);
    let own = own.context("this needs two cores: one for the peers, one for the responder")?;
    let _pin = Pin::to(own)?;
    let version = charon::version();
    let (mut rows, mut notes) = (Vec::new(), Vec::new());
    notes.extend(version.as_ref().err().map(|error| format!("strongswan: {error:#}")));
    let (few, many) = if quick { (QUICK_HANDSHAKES, QUICK_MANY) } else { (HANDSHAKES, MANY) };
    let cases = Case::ALL.map(|case| (case, few)).into_iter().chain([(Case::PskCurve25519, many)]);
    for (case, peers) in cases {
        let ours = Some(run(Program::Crossgate, case, peers, place)?);
        let theirs = match &version {
            Ok(version) if charon::knows(version, case) => run(Program::StrongSwan, case, peers, place)
                .inspect_err(|error| notes.push(format!("{error:#}")))
                .ok(),
            Ok(version) => {
                notes.push(format!("strongswan {version} has no {}: n/a", case.key_exchange()));
                None
            }
            Err(_) => None,
        };
        rows.push(row(Program::Crossgate, case, peers, ours, theirs));
        if version.is_ok() {
            rows.push(row(Program::StrongSwan, case, peers, theirs, None));
        }
    }
    Ok((rows, notes))
}

/// Has all peers connect to a program.
fn run(program: Program, case: Case, peers: u32, place: Place<'_>) -> Result<Figures> {
    let all = Peers::new(case, peers)?;
    let running = program.start(case, peers, place)?;
    let before = running.usage()?;
    let began = std::time::Instant::now();
    let done = all
        .connect()
        .map_err(|error| anyhow!("{} as responder, {case}: {error:#}\n{}", program.name(), running.log()))?;
    let seconds = began.elapsed().as_secs_f64();
    let after = running.usage()?;
    let (median, best) = figures(initiator::rates(&done))?;
    Ok(Figures {
        median,
        best,
        busy: (after.cpu_s - before.cpu_s) / seconds,
        per_cpu_s: f64::from(peers) / (after.cpu_s - before.cpu_s),
        bytes_per_ike_sa: (after.resident_bytes - before.resident_bytes) / f64::from(peers),
    })
}

fn row(
    program: Program,
    case: Case,
    peers: u32,
    own: Option<Figures>,
    peer: Option<Figures>,
) -> HandshakeRow {
    let both = own.zip(peer);
    HandshakeRow {
        ike_sas: Some(peers),
        handshakes_per_s: own.map(|own| own.median),
        best_handshakes_per_s: own.map(|own| own.best),
        times_strongswan: both.map(|(own, peer)| own.per_cpu_s / peer.per_cpu_s),
        handshakes_per_cpu_s: own.map(|own| own.per_cpu_s),
        responder_busy_percent: own.map(|own| 100.0 * own.busy),
        bytes_per_ike_sa: own.map(|own| own.bytes_per_ike_sa),
        memory_below_strongswan: both.map(|(own, peer)| peer.bytes_per_ike_sa / own.bytes_per_ike_sa),
        ..HandshakeRow::new(program.name(), case.authentication(), case.key_exchange(), "responder, one core")
    }
}
