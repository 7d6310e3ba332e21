//! The machine that a configuration describes: cores, memory, the operator's socket.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use crate::choice::Choice;
use crate::document::Section;
use crate::environment::Environment;
use crate::name::Name;
use crate::report::{Located, Report};

/// Number of a CPU core, as the kernel counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CoreId(pub u16);

/// What a worker does when there is nothing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Idle {
    /// Poll, then pause, then sleep shortly: for shared and small machines.
    Adaptive,
    /// Poll for ever: for dedicated cores.
    Poll,
}

impl Choice for Idle {
    const WORDS: &'static [(&'static str, Self)] = &[("adaptive", Self::Adaptive), ("poll", Self::Poll)];
}

/// Where DPDK takes its memory from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// Hugepages if there are enough, else ordinary pages, announced in the log.
    Auto,
    /// Hugepages or no start.
    Huge,
    /// Ordinary pages (`--no-huge`).
    NoHuge,
}

impl Choice for Memory {
    const WORDS: &'static [(&'static str, Self)] =
        &[("auto", Self::Auto), ("huge", Self::Huge), ("no-huge", Self::NoHuge)];
}

/// What seals and opens AES-GCM packets. Whether a CPU has what a kernel needs shows where the gateway starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AesGcm {
    /// The fastest that the CPU has.
    Auto,
    /// AVX-512 with VAES.
    Vaes512,
    /// AVX2 with VAES.
    Vaes256,
    /// AES-NI.
    AesNi,
    /// Whatever the CPU has; slow: for comparisons.
    Portable,
}

impl Choice for AesGcm {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("auto", Self::Auto),
        ("vaes512", Self::Vaes512),
        ("vaes256", Self::Vaes256),
        ("aesni", Self::AesNi),
        ("portable", Self::Portable),
    ];
}

/// One gateway process on one machine. Nothing here can change without a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appliance {
    /// Name of this gateway process; prefix of its files.
    pub name: Name,
    /// One worker on each of these cores; at least one, each once.
    pub workers: Vec<CoreId>,
    /// The core of the control thread. May be a worker's core (a warning says so on machines with several cores).
    pub control_core: CoreId,
    /// How a worker idles.
    pub idle: Idle,
    /// What workers seal and open AES-GCM packets with.
    pub aes_gcm: AesGcm,
    /// Where packet memory comes from.
    pub memory: Memory,
    /// Packet memory, in MiB.
    pub memory_mib: u32,
    /// Tunnels that the workers' tables have room for: one for each connection, two on an active-active gateway, and one more for each further Child SA of a connection.
    pub max_tunnels: u32,
    /// More arguments for DPDK's EAL, as they stand.
    pub eal: Vec<String>,
    /// The operator's socket; absolute.
    pub socket: PathBuf,
    /// The database of what survives a restart; absolute.
    pub store: PathBuf,
}

/// Reads `[appliance]`, and judges it by the machine at hand.
pub(crate) fn read(
    root: &mut Section<'_>,
    environment: &Environment<'_>,
    report: &mut Report<'_>,
) -> Option<Appliance> {
    if !root.has("appliance") {
        let remedy = "add a section [appliance] with a name";
        report.error(&root.place_of("appliance"), "the section is missing", remedy);
    }
    let mut section = root.section("appliance", report)?;
    let name = section.required::<Name>("name", "\"gw-a\"", report);
    let (control_core, workers) = cores(&mut section, environment, report);
    let idle = section.optional("idle", report).map_or(Idle::Adaptive, |idle| idle.value);
    let aes_gcm = section.optional("aes_gcm", report).map_or(AesGcm::Auto, |aes_gcm| aes_gcm.value);
    let memory = section.optional("memory", report).map_or(Memory::Auto, |memory| memory.value);
    let memory_mib = section.integer("memory_mib", MEMORY_MIB, MEMORY_MIB_DEFAULT, report);
    let max_tunnels = section.integer("max_tunnels", MAX_TUNNELS, MAX_TUNNELS_DEFAULT, report);
    let eal = eal_arguments(&mut section, report);
    let socket = socket(&mut section, report);
    let store = store(&mut section, report);
    section.finish(report);
    let name = name?.value;
    let socket = socket.unwrap_or_else(|| PathBuf::from(format!("/run/crossgate/{name}.sock")));
    let store = store.unwrap_or_else(|| PathBuf::from(format!("/var/lib/crossgate/{name}.redb")));
    Some(Appliance {
        name,
        workers,
        control_core,
        idle,
        aes_gcm,
        memory,
        memory_mib,
        max_tunnels,
        eal,
        socket,
        store,
    })
}

/// The control thread's core and the workers', by default the machine's first core and the next one.
fn cores(
    section: &mut Section<'_>,
    environment: &Environment<'_>,
    report: &mut Report<'_>,
) -> (CoreId, Vec<CoreId>) {
    let first = environment.cores.first().copied().unwrap_or(0);
    let given = section.optional::<u64>("control_core", report);
    let control = given.and_then(|core| core_at_hand(&core, environment, report)).unwrap_or(CoreId(first));
    let place = section.place_of("workers");
    let Some(given) = section.list::<u64>("workers", report) else {
        let other = environment.cores.iter().copied().find(|core| *core != control.0);
        return (control, vec![CoreId(other.unwrap_or(control.0))]);
    };
    let mut workers: Vec<CoreId> = Vec::with_capacity(given.len());
    if given.is_empty() {
        report.error(&place, "there is no worker", "name at least one core, like workers = [1]");
    }
    for number in given {
        let Some(core) = core_at_hand(&number, environment, report) else { continue };
        if workers.contains(&core) {
            report.error(
                &number.place,
                format!("core {} has a worker already", core.0),
                "name each core once",
            );
            continue;
        }
        if core == control && environment.cores.len() > 1 {
            let problem = format!("core {} is shared by a worker and the control thread", core.0);
            report.warning(&number.place, problem, "give control_core a core of its own");
        }
        workers.push(core);
    }
    if workers.len() > WORKERS_MAX {
        let problem = format!("{} workers are more than {WORKERS_MAX}", workers.len());
        report.error(&place, problem, "leave cores out: more do not share one tunnel's work");
    }
    (control, workers)
}

fn core_at_hand(
    number: &Located<u64>,
    environment: &Environment<'_>,
    report: &mut Report<'_>,
) -> Option<CoreId> {
    let usable = || environment.cores.iter().filter(|core| **core < CORE_END);
    let core = usable().copied().find(|core| u64::from(*core) == number.value);
    if core.is_none() {
        let cores: Vec<String> = usable().map(u16::to_string).collect();
        let problem = format!("this process has no core {}", number.value);
        report.error(&number.place, problem, format!("take one of its cores: {}", cores.join(", ")));
    }
    core.map(CoreId)
}

/// EAL's arguments, less those that would say a second time what another key says.
fn eal_arguments(section: &mut Section<'_>, report: &mut Report<'_>) -> Vec<String> {
    let arguments = section.list::<String>("eal", report).unwrap_or_default();
    for Located { value, place } in &arguments {
        let option = value.split_once('=').map_or(value.as_str(), |(option, _)| option);
        if let Some((_, key)) = EAL_TAKEN.iter().find(|(taken, _)| *taken == option) {
            report.error(
                place,
                format!("{option} is set from the key {key}"),
                format!("take it out and use {key}"),
            );
        }
        if value.contains('\0') {
            report.error(place, "the argument holds a zero byte", "take the zero byte out");
        }
    }
    arguments.into_iter().map(|argument| argument.value).collect()
}

fn store(section: &mut Section<'_>, report: &mut Report<'_>) -> Option<PathBuf> {
    let Located { value, place } = section.optional::<String>("store", report)?;
    if !value.starts_with('/') || value.ends_with('/') || value.contains('\0') {
        let remedy = "take an absolute path, like \"/var/lib/crossgate/gw-a.redb\"";
        report.error(&place, format!("{value:?} is not the absolute path of a file"), remedy);
        return None;
    }
    Some(PathBuf::from(value))
}

fn socket(section: &mut Section<'_>, report: &mut Report<'_>) -> Option<PathBuf> {
    let Located { value, place } = section.optional::<String>("socket", report)?;
    let remedy = "take an absolute path of at most 107 bytes, like \"/run/crossgate/gw-a.sock\"";
    if !value.starts_with('/') || value.ends_with('/') {
        report.error(&place, format!("{value:?} is not the absolute path of a file"), remedy);
        return None;
    }
    if value.len() > SOCKET_PATH_MAX_BYTES || value.contains('\0') {
        report.error(&place, "the path cannot be that of a Unix socket", remedy);
        return None;
    }
    Some(PathBuf::from(value))
}

const MEMORY_MIB: RangeInclusive<u32> = 64..=1_048_576;
const MEMORY_MIB_DEFAULT: u32 = 256;

/// Twice as many inbound SAs, for those that are being replaced, are all that an SPI can number.
const MAX_TUNNELS: RangeInclusive<u32> = 1..=131_072;
/// Of an appliance whose file does not say `max_tunnels`.
pub(crate) const MAX_TUNNELS_DEFAULT: u32 = 8192;
/// As many as there are buckets of SPIs to share out.
const WORKERS_MAX: usize = 64;
/// A set of cores ends here, as the kernel's interface has it.
const CORE_END: u16 = 1024;

/// `sun_path` of unix(7), less the zero at its end.
const SOCKET_PATH_MAX_BYTES: usize = 107;

/// EAL's options that are set from other keys.
const EAL_TAKEN: &[(&str, &str)] = &[
    ("-l", "workers"),
    ("-c", "workers"),
    ("--lcores", "workers"),
    ("--main-lcore", "control_core"),
    ("-m", "memory_mib"),
    ("--no-huge", "memory"),
    ("-a", "device of [[port]]"),
    ("--allow", "device of [[port]]"),
    ("--vdev", "device of [[port]]"),
];
