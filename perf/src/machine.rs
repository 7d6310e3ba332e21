//! What the figures were made on: CPU, rate of the time stamp counter, versions.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

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

/// The calling thread on one core, until this is dropped.
pub(crate) struct Pin {
    before: CpuSet,
}

impl Pin {
    pub(crate) fn to(core: usize) -> Result<Self> {
        let before = sched_getaffinity(None)?;
        let mut only = CpuSet::new();
        only.set(core);
        sched_setaffinity(None, &only).with_context(|| format!("run on core {core}"))?;
        Ok(Self { before })
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        // It was allowed before; if it is no more, the thread stays where it is.
        let _ = sched_setaffinity(None, &self.before);
    }
}

/// Bytes of ordinary memory that this process occupies.
pub(crate) fn resident_bytes() -> Result<f64> {
    resident_bytes_of("/proc/self")
}

/// The same of the process with this folder in `/proc`.
pub(crate) fn resident_bytes_of(folder: &str) -> Result<f64> {
    let path = format!("{folder}/status");
    let text = std::fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let line = line.with_context(|| format!("no VmRSS in {path}"))?;
    let kib: f64 = line.split_whitespace().next().context("VmRSS is empty")?.parse()?;
    Ok(kib * 1024.0)
}

/// Processes that wanted to run, on average over the last 1, 5 and 15 minutes: how quiet the machine was.
pub(crate) fn load_average() -> Result<String> {
    let text = std::fs::read_to_string("/proc/loadavg").context("read /proc/loadavg")?;
    Ok(text.split_whitespace().take(3).collect::<Vec<_>>().join(" "))
}

/// Versions of what was measured and compared: those that this program was built with (`build.rs`), and those of this machine.
pub(crate) fn versions() -> BTreeMap<&'static str, String> {
    let built = [
        ("crossgate", env!("CARGO_PKG_VERSION")),
        ("aes-gcm", env!("VERSION_AES_GCM")),
        ("ring", env!("VERSION_RING")),
        ("aws-lc-rs", env!("VERSION_AWS_LC_RS")),
        ("rustc", env!("VERSION_RUSTC")),
    ];
    let mut versions: BTreeMap<_, _> = built.map(|(name, version)| (name, version.to_owned())).into();
    versions.insert("dpdk", dpdk_sys::version());
    versions
        .insert("flags", "release, thin LTO, SSE4.2 and POPCNT for all; kernels chosen by CPUID".to_owned());
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease");
    versions.extend(kernel.ok().map(|release| ("linux", release.trim().to_owned())));
    versions
}

/// Cycles as a fraction can be made of; exact below 2^53.
#[expect(clippy::cast_precision_loss, reason = "no measurement lasts 2^53 cycles, 40 days")]
pub(crate) fn report_precision(cycles: u64) -> f64 {
    cycles as f64
}

/// A number of packets as a fraction can be made of.
pub(crate) fn packets_f64(packets: usize) -> f64 {
    u32::try_from(packets).map_or(f64::INFINITY, f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_exact() {
        let versions = versions();
        for name in ["aes-gcm", "ring", "aws-lc-rs", "rustc", "dpdk"] {
            let numbers =
                versions[name].split(['.', ' ', '-', '+']).filter(|part| part.parse::<u32>().is_ok());
            assert!(numbers.count() >= 3, "{name} {}", versions[name]);
        }
    }
}
