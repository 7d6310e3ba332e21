//! Initiator and responder talk to each other in memory, both on this one thread. A gateway does one side's half of it.
//!
//! The key exchanges take turns, so that a disturbance meets all of them, and each handshake is timed by itself, since it is short beside a time slice of
//! the kernel's; the median is the figure, the best one shows the noise. The simulator's own work (making both endpoints, its log) is in the time; sockets
//! and rings are not.

use std::time::Instant;

use anyhow::Result;
use crossgate_ike::crypto::suite::{Group, IkeCipher, IkeSuite, KeyBits, Prf};
use crossgate_ike::sim;

use super::{HandshakeRow, figures};

/// The key exchanges, in the words of the configuration.
const KEY_EXCHANGES: [(&str, Group); 4] = [
    ("Curve25519", Group::Curve25519),
    ("ECP256", Group::Ecp256),
    ("ECP384", Group::Ecp384),
    ("DHGroup14", Group::Modp2048),
];

/// A row for each of them.
pub(super) fn measure(quick: bool) -> Result<Vec<HandshakeRow>> {
    let rounds = if quick { 200 } else { 1200 };
    let mut rates: Vec<(&str, Group, Vec<f64>)> =
        KEY_EXCHANGES.map(|(name, group)| (name, group, Vec::new())).into();
    for _ in 0..rounds {
        for (_, group, rates) in &mut rates {
            rates.push(rate(*group));
        }
    }
    let row = |(name, _, rates): (_, _, Vec<f64>)| {
        let (median, best) = figures(rates)?;
        Ok(HandshakeRow {
            handshakes_per_s: Some(median),
            best_handshakes_per_s: Some(best),
            ..HandshakeRow::new("crossgate", "psk", name, "initiator and responder, one thread")
        })
    };
    rates.into_iter().map(row).collect()
}

/// One handshake, as a rate per second.
fn rate(group: Group) -> f64 {
    let suite = IkeSuite { cipher: IkeCipher::AesGcm16(KeyBits::B256), prf: Prf::HmacSha2_256, group };
    let start = Instant::now();
    sim::handshakes(1, suite);
    1.0 / start.elapsed().as_secs_f64()
}
