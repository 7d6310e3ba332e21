//! DPDK's environment: started once in a process, with hugepages or, said aloud, without; threads that join it; the
//! time stamp counter. Everything else of this crate takes an [`Eal`] as proof that it runs.

mod memory;
mod thread;

use std::{
    ffi::{CString, c_char},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

pub use memory::{Memory, MemoryMode};
pub use thread::RegisteredThread;

use crate::{Errno, Error, ffi, mempool};

/// How much DPDK says on standard error and syslog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Only what stops it.
    Error,
    /// And what it works around.
    Warning,
    /// And what it does.
    Info,
    /// Everything.
    Debug,
}

/// How to start DPDK's environment.
#[derive(Clone, Debug)]
pub struct EalOptions {
    /// Where packets live.
    pub memory: Memory,
    /// How much memory to set aside at the start, for all pools and tables.
    pub memory_mib: u32,
    /// What tells this process from others of DPDK on the machine; letters, digits, `_` and `-`.
    pub file_prefix: String,
    /// DPDK's own messages.
    pub log_level: LogLevel,
    /// Further EAL arguments, passed on as they are and after ours, so that DPDK lets them win where it can.
    pub arguments: Vec<String>,
}

impl Default for EalOptions {
    fn default() -> Self {
        Self {
            memory: Memory::Auto,
            memory_mib: 256,
            file_prefix: format!("crossgate-{}", std::process::id()),
            log_level: LogLevel::Warning,
            arguments: Vec::new(),
        }
    }
}

/// The running environment. Clones are handles to the same one; ports, pools and tables hold one each.
#[derive(Clone)]
pub struct Eal(Arc<Running>);

struct Running {
    memory: MemoryMode,
}

static STARTED: AtomicBool = AtomicBool::new(false);

impl Eal {
    /// Starts DPDK on the calling thread, whose CPU affinity is as before afterwards. Log [`memory`](Self::memory):
    /// running without hugepages is never silent.
    ///
    /// # Errors
    /// A second call in this process, too few hugepages for [`Memory::Huge`], and what DPDK refuses. After DPDK itself
    /// refused, only a new process can try again.
    pub fn start(options: &EalOptions) -> Result<Self, Error> {
        let memory = memory::choose(options.memory, options.memory_mib)?;
        let arguments = arguments(options, &memory)?;
        if STARTED.swap(true, Ordering::SeqCst) {
            return Err(Error::EalAlreadyStarted);
        }
        let mut pointers: Vec<*mut c_char> = arguments.iter().map(|text| text.as_ptr().cast_mut()).collect();
        let count =
            i32::try_from(pointers.len()).map_err(|_| Error::Setting { what: "too many EAL arguments" })?;
        pointers.push(core::ptr::null_mut());
        let affinity = thread::Affinity::of_this_thread();
        // SAFETY: `count` C strings and a final null, alive across the call; the first call in this process (`STARTED`).
        let outcome = unsafe { ffi::rte_eal_init(count, pointers.as_mut_ptr()) };
        affinity.restore();
        // getopt and EAL may keep pointers into the arguments for as long as the process lives.
        core::mem::forget(arguments);
        core::mem::forget(pointers);
        if outcome < 0 {
            return Err(Error::EalStart { errno: Errno::last() });
        }
        Ok(Self(Arc::new(Running { memory })))
    }

    /// Where packets live, and why; a line for the log.
    pub fn memory(&self) -> &MemoryMode {
        &self.0.memory
    }

    /// Gives the calling thread an lcore id, so that it has its own cache in every pool; until the guard is dropped.
    /// Pin the thread first: the id remembers the NUMA node.
    ///
    /// # Errors
    /// All lcore ids are taken (128 in Debian's DPDK).
    pub fn register_thread(&self) -> Result<RegisteredThread, Error> {
        RegisteredThread::new(self)
    }

    /// Changes how much DPDK says.
    pub fn set_log_level(&self, level: LogLevel) {
        // SAFETY: sets an integer.
        unsafe { ffi::rte_log_set_global_level(level.number()) }
    }

    /// Stops the environment and gives its memory back. Without this, the end of the process does.
    ///
    /// # Errors
    /// Ports, pools, tables, threads or packets are still there; the environment keeps running until the process ends.
    pub fn cleanup(self) -> Result<(), Error> {
        let packets = mempool::retired_in_use();
        match Arc::try_unwrap(self.0) {
            Ok(_) if packets == 0 => {
                mempool::forget_retired();
                // SAFETY: this was the last handle, so nothing of DPDK is left but retired pools without packets.
                crate::error::check(unsafe { ffi::rte_eal_cleanup() })
                    .map_err(|errno| Error::EalStart { errno })
            }
            Ok(_) => Err(Error::EalInUse { handles: 0, packets }),
            Err(shared) => Err(Error::EalInUse { handles: Arc::strong_count(&shared) - 1, packets }),
        }
    }
}

impl LogLevel {
    fn number(self) -> u32 {
        // rte_log.h: syslog's numbers plus one.
        match self {
            Self::Error => 4,
            Self::Warning => 5,
            Self::Info => 7,
            Self::Debug => 8,
        }
    }
}

/// The DPDK that this was built with, such as `22.11.11`.
#[must_use]
pub fn version() -> String {
    format!("{}.{:02}.{}", ffi::RTE_VER_YEAR, ffi::RTE_VER_MONTH, ffi::RTE_VER_MINOR)
}

/// The time stamp counter, in cycles.
#[inline]
pub fn tsc_cycles() -> u64 {
    // SAFETY: reads a register.
    unsafe { ffi::rte_rdtsc() }
}

/// How many cycles of [`tsc_cycles`] a second has; measured when the environment starts.
pub fn tsc_hz(_eal: &Eal) -> u64 {
    // SAFETY: reads an integer that `rte_eal_init` set.
    unsafe { ffi::rte_get_tsc_hz() }
}

/// Our arguments, then the caller's.
fn arguments(options: &EalOptions, memory: &MemoryMode) -> Result<Vec<CString>, Error> {
    let mut arguments = vec![String::from("crossgate"), format!("--file-prefix={}", options.file_prefix)];
    let given = |names: &[&str]| {
        options.arguments.iter().any(|argument| names.iter().any(|name| argument.starts_with(name)))
    };
    if !given(&["-l", "-c", "--lcores"]) {
        // One lcore, this thread; workers register themselves. Its CPUs are those that the thread may use anyway.
        arguments.push(format!("--lcores=0@({})", thread::Affinity::of_this_thread().list()));
    }
    if !given(&["-m", "--socket-mem", "--numa-mem"]) {
        arguments.extend([String::from("-m"), options.memory_mib.to_string()]);
    }
    if !given(&["--in-memory", "--no-huge", "--huge-dir"]) {
        arguments.push(String::from(memory.argument()));
    }
    if memory.argument() == "--no-huge" {
        // No files for secondary processes; `--in-memory` says so by itself.
        arguments.push(String::from("--no-shconf"));
    }
    if !given(&["-a", "--allow", "-b", "--block", "--no-pci"]) {
        // A list of allowed devices that names none: EAL would otherwise take every device that a driver of its own
        // knows, the machine's own network card included. `Port::attach` adds the ones that are wanted.
        arguments.push(String::from("--allow=ffff:ff:1f.7"));
    }
    if !given(&["--telemetry"]) {
        arguments.push(String::from("--no-telemetry"));
    }
    if !given(&["--log-level"]) {
        arguments.push(format!("--log-level={}", options.log_level.number()));
    }
    arguments.extend(options.arguments.iter().cloned());
    arguments
        .into_iter()
        .map(|argument| CString::new(argument.as_str()).map_err(|_| Error::Name { name: argument.into() }))
        .collect()
}
