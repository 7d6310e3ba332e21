//! What the figures were made on: CPU, rate of the time stamp counter, versions.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// The CPU's name, from `/proc/cpuinfo`.
pub(crate) fn cpu() -> Result<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").context("read /proc/cpuinfo")?;
    let name = text.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown");
    Ok(name.trim_start_matches([' ', '\t', ':']).to_owned())
}

/// Ticks of the time stamp counter per second, measured against the clock for a tenth of a second.
pub(crate) fn tsc_hz() -> f64 {
    let (start, cycles) = (Instant::now(), dpdk_sys::tsc_cycles());
    while start.elapsed() < Duration::from_millis(100) {
        std::hint::spin_loop();
    }
    let cycles = dpdk_sys::tsc_cycles() - cycles;
    report_precision(cycles) / start.elapsed().as_secs_f64()
}

/// Versions of what was measured and compared.
pub(crate) fn versions() -> BTreeMap<&'static str, String> {
    let crates = [("crossgate", env!("CARGO_PKG_VERSION")), ("aes-gcm", "0.11"), ("ring", "0.17")];
    let mut versions: BTreeMap<_, _> = crates.map(|(name, version)| (name, version.to_owned())).into();
    versions.insert("dpdk", dpdk_sys::version());
    versions
}

/// Cycles as a fraction can be made of; exact below 2^53.
#[expect(clippy::cast_precision_loss, reason = "no measurement lasts 2^53 cycles, 40 days")]
pub(crate) fn report_precision(cycles: u64) -> f64 {
    cycles as f64
}
