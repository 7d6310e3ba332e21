//! `crossgate-perf handshakes`: whole IKEv2 handshakes (IKE_SA_INIT, IKE_AUTH, one pair of Child SAs; RFC 7296, 1.2) per second.
//!
//! - A responder on one core, our control thread with a pool of one thread and then strongSwan's charon, driven by the same peers of ours on another core
//!   (`handshakes/beside.rs`), over UDP between two network namespaces: rate, how busy the responder's core was, memory of an IKE SA. Neither side has a
//!   data plane to tell, but charon, which keeps SAs for its own ESP.
//! - Initiator and responder in memory on one thread (`handshakes/in_memory.rs`).

mod beside;
mod case;
mod charon;
mod core;
mod in_memory;
mod initiator;
mod program;
mod responder;

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use crossgate_tests::namespace::{Namespace, Stack, cable};
use serde::{Deserialize, Serialize};

use crate::report::{Report, Row};
use case::{Case, PEERS, PEERS_ROUTER, RESPONDER, RESPONDER_INSIDE};

/// Which part of the benchmark a process is; people need none of this.
#[derive(clap::Args, Clone, Default)]
pub(crate) struct Options {
    /// In the peers' namespace already: measure responders in the one of this name side by side.
    #[arg(long, hide = true)]
    beside: Option<String>,
    /// Be the responder.
    #[arg(long, hide = true, requires = "peers")]
    respond: Option<Case>,
    /// Of so many peers.
    #[arg(long, hide = true)]
    peers: Option<u32>,
}

/// One kind of handshake with one program.
#[derive(Serialize, Deserialize)]
pub(crate) struct HandshakeRow {
    program: String,
    authentication: String,
    key_exchange: String,
    encryption: String,
    prf: String,
    /// Which roles the program plays, and on what.
    roles: String,
    /// IKE SAs that are up at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    ike_sas: Option<u32>,
    /// Of the median handshake, or window of them; none where the program cannot do it.
    handshakes_per_s: Option<f64>,
    /// Of the best one.
    best_handshakes_per_s: Option<f64>,
    /// For each second of CPU time that the responder took: what its core can do where the peers were slower.
    #[serde(skip_serializing_if = "Option::is_none")]
    handshakes_per_cpu_s: Option<f64>,
    /// By CPU time.
    #[serde(skip_serializing_if = "Option::is_none")]
    times_strongswan: Option<f64>,
    /// Of its core; if it is below 100, the peers were what is slow.
    #[serde(skip_serializing_if = "Option::is_none")]
    responder_busy_percent: Option<f64>,
    /// What the process occupies more after the handshakes, for each IKE SA with its Child SA.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_per_ike_sa: Option<f64>,
    /// So many times less than strongSwan takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_below_strongswan: Option<f64>,
}

impl HandshakeRow {
    fn new(program: &str, authentication: &str, key_exchange: &str, roles: &str) -> Self {
        Self {
            program: program.to_owned(),
            authentication: authentication.to_owned(),
            key_exchange: key_exchange.to_owned(),
            encryption: "AES-256-GCM".to_owned(),
            prf: "HMAC-SHA2-256".to_owned(),
            roles: roles.to_owned(),
            ike_sas: None,
            handshakes_per_s: None,
            best_handshakes_per_s: None,
            handshakes_per_cpu_s: None,
            times_strongswan: None,
            responder_busy_percent: None,
            bytes_per_ike_sa: None,
            memory_below_strongswan: None,
        }
    }
}

/// Measures everything, or does what this process is for; nothing to print then.
pub(crate) fn run(quick: bool, options: &Options) -> Result<Option<Report<HandshakeRow>>> {
    if let Some((case, peers)) = options.respond.zip(options.peers) {
        responder::run(case, peers)?;
        return Ok(None);
    }
    if let Some(namespace) = &options.beside {
        println!("{}", serde_json::to_string(&beside::measure(quick, namespace)?)?);
        return Ok(None);
    }
    let (mut rows, notes) = in_namespaces(quick)
        .unwrap_or_else(|error| (Vec::new(), vec![format!("side by side with strongSwan: {error:#}")]));
    rows.extend(in_memory::measure(quick)?);
    let report = Report::new(rows)?.with_notes(notes);
    let version = charon::version().ok().map(|version| ("strongswan", version));
    Ok(Some(report.with_versions(version)))
}

/// Runs this program again in a network namespace, with a veth to another one for the responders: nothing leaves them, and no port is taken.
fn in_namespaces(quick: bool) -> Result<(Vec<HandshakeRow>, Vec<String>)> {
    let place = |label| Namespace::new(label, Stack::Kernel);
    let (peers, responder) = (place("peers")?, place("responder")?);
    cable((&peers, "wire"), (&responder, "wire"), 1500)?;
    peers.address("wire", &format!("{PEERS_ROUTER}/24"))?;
    responder.address("wire", &format!("{RESPONDER}/24"))?;
    // charon's userspace ESP makes a route for each SA, and fails where it has no address of its own that it protects.
    responder.address("lo", &format!("{RESPONDER_INSIDE}/32"))?;
    // Whatever is in there is an address of its own.
    peers.ip(&format!("route add local {PEERS} dev lo"))?;
    responder.route(PEERS, PEERS_ROUTER)?;
    let own = std::env::current_exe()?;
    let mut command = peers.command(own.to_str().context("the path of this program is no text")?);
    command.args(["handshakes", "--beside", responder.name()]);
    if quick {
        command.arg("--quick");
    }
    let done = command.stdout(Stdio::piped()).spawn()?.wait_with_output()?;
    ensure!(done.status.success(), "it failed (it needs two cores), see above");
    serde_json::from_slice(&done.stdout).context("it printed no result")
}

/// Median and best of some rates.
fn figures(mut rates: Vec<f64>) -> Result<(f64, f64)> {
    rates.sort_unstable_by(f64::total_cmp);
    let median = rates.get(rates.len() / 2).context("no handshake was run")?;
    Ok((*median, *rates.last().context("no handshake was run")?))
}

impl Row for HandshakeRow {
    const HEADINGS: &'static [&'static str] = &[
        "program",
        "authentication",
        "key exchange",
        "roles",
        "IKE SAs",
        "handshakes/s",
        "best",
        "a CPU second",
        "times strongSwan",
        "busy, %",
        "bytes an IKE SA",
        "times less",
    ];

    fn cells(&self) -> Vec<String> {
        let mut cells =
            [&self.program, &self.authentication, &self.key_exchange, &self.roles].map(Clone::clone).to_vec();
        cells.push(self.ike_sas.map_or_else(String::new, |sas| sas.to_string()));
        cells.push(self.handshakes_per_s.map_or_else(|| "n/a".to_owned(), |rate| format!("{rate:.0}")));
        let figures = [
            (self.best_handshakes_per_s, 0),
            (self.handshakes_per_cpu_s, 0),
            (self.times_strongswan, 1),
            (self.responder_busy_percent, 0),
            (self.bytes_per_ike_sa, 0),
            (self.memory_below_strongswan, 1),
        ];
        cells.extend(
            figures.map(|(figure, digits)| {
                figure.map_or_else(String::new, |figure| format!("{figure:.digits$}"))
            }),
        );
        cells
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fields;

    #[test]
    fn rows_have_the_fields_that_readers_of_the_json_know() {
        let row = HandshakeRow::new("strongswan", "psk", "Curve25519", "responder");
        let fields = fields(&row);
        for known in ["program", "authentication", "key_exchange", "handshakes_per_s"] {
            assert!(fields.iter().any(|field| field == known), "{known} is missing in {fields:?}");
        }
        assert_eq!(row.cells().len(), HandshakeRow::HEADINGS.len());
        assert_eq!(row.cells()[5], "n/a");
    }
}
