//! `crossgate-perf handshakes`: whole IKEv2 handshakes (IKE_SA_INIT, IKE_AUTH, one pair of Child SAs; RFC 7296, 1.2) of an
//! initiator and a responder that talk to each other in memory, both on this one thread. A gateway does one side's half of it.
//!
//! The key exchanges take turns, so that a disturbance meets all of them, and each handshake is timed by itself, since it is
//! short beside a time slice of the kernel's; the median is the figure, the best one shows the noise. The simulator's own work (making both endpoints, its log) is in the time; sockets and
//! rings are not.

use std::time::Instant;

use anyhow::{Context, Result};
use crossgate_ike::crypto::suite::{Group, IkeCipher, IkeSuite, KeyBits, Prf};
use crossgate_ike::sim;
use serde::Serialize;

use crate::report::{Report, Row};

/// The key exchanges, in the words of the configuration.
const KEY_EXCHANGES: [(&str, Group); 4] = [
    ("Curve25519", Group::Curve25519),
    ("ECP256", Group::Ecp256),
    ("ECP384", Group::Ecp384),
    ("DHGroup14", Group::Modp2048),
];

/// One key exchange.
#[derive(Serialize)]
pub(crate) struct HandshakeRow {
    program: &'static str,
    authentication: &'static str,
    key_exchange: &'static str,
    encryption: &'static str,
    prf: &'static str,
    /// Which roles the one thread plays.
    roles: &'static str,
    /// Of the median handshake.
    handshakes_per_s: f64,
    /// Of the best one.
    best_handshakes_per_s: f64,
}

/// Measures everything.
pub(crate) fn run(quick: bool) -> Result<Report<HandshakeRow>> {
    let rounds = if quick { 200 } else { 1200 };
    let mut rates: Vec<(&str, Group, Vec<f64>)> =
        KEY_EXCHANGES.map(|(name, group)| (name, group, Vec::new())).into();
    for _ in 0..rounds {
        for (_, group, rates) in &mut rates {
            rates.push(rate(*group));
        }
    }
    let rows = rates.into_iter().map(|(name, _, rates)| row(name, rates)).collect::<Result<_>>()?;
    Report::new(rows)
}

/// One handshake, as a rate per second.
fn rate(group: Group) -> f64 {
    let suite = IkeSuite { cipher: IkeCipher::AesGcm16(KeyBits::B256), prf: Prf::HmacSha2_256, group };
    let start = Instant::now();
    sim::handshakes(1, suite);
    1.0 / start.elapsed().as_secs_f64()
}

fn row(key_exchange: &'static str, mut rates: Vec<f64>) -> Result<HandshakeRow> {
    rates.sort_unstable_by(f64::total_cmp);
    Ok(HandshakeRow {
        program: "crossgate",
        authentication: "psk",
        key_exchange,
        encryption: "AES-256-GCM",
        prf: "HMAC-SHA2-256",
        roles: "initiator and responder, one thread",
        handshakes_per_s: *rates.get(rates.len() / 2).context("no handshake was run")?,
        best_handshakes_per_s: *rates.last().context("no handshake was run")?,
    })
}

impl Row for HandshakeRow {
    const HEADINGS: &'static [&'static str] =
        &["authentication", "key exchange", "encryption", "PRF", "roles", "handshakes/s", "best"];

    fn cells(&self) -> Vec<String> {
        let mut cells = [self.authentication, self.key_exchange, self.encryption, self.prf, self.roles]
            .map(str::to_owned)
            .to_vec();
        cells.extend([self.handshakes_per_s, self.best_handshakes_per_s].map(|rate| format!("{rate:.0}")));
        cells
    }
}
