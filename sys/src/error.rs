//! What can go wrong between us and DPDK, in words that name the place and the remedy. Packet calls have no errors:
//! they say how many packets were moved.

use core::{ffi::CStr, fmt};

use crate::ffi;

/// An error of the environment, a port, a pool or a table.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// DPDK's environment can be started once in a process.
    #[error("DPDK's environment was already started in this process; pass the first `Eal` on instead")]
    EalAlreadyStarted,
    /// `rte_eal_init` refused.
    #[error("DPDK's environment does not start: {errno}; {}", errno.start_remedy())]
    EalStart {
        /// DPDK's reason.
        errno: Errno,
    },
    /// Ports, pools or packets still live, so that cleaning up would pull memory from under them.
    #[error("DPDK's environment is still in use: {handles} handles and {packets} packets; drop them first")]
    EalInUse {
        /// Live ports, pools, tables and registered threads.
        handles: usize,
        /// Packets that were not given back to their pools.
        packets: usize,
    },
    /// Hugepages were demanded, and there are too few.
    #[error(
        "{needed_mib} MiB of hugepages are needed and {free_mib} MiB are free; raise vm.nr_hugepages \
         (sysctl -w vm.nr_hugepages=N), or allow ordinary memory with memory = \"auto\""
    )]
    Hugepages {
        /// What was asked for, in MiB.
        needed_mib: u64,
        /// What can be mapped now, in MiB.
        free_mib: u64,
    },
    /// No lcore id is left for another thread.
    #[error(
        "the thread cannot be registered with DPDK: {errno}; run fewer workers, or pass --lcores with fewer"
    )]
    Thread {
        /// DPDK's reason.
        errno: Errno,
    },
    /// A name or argument that C cannot take.
    #[error("`{name}` contains a NUL byte or is too long for DPDK; choose a shorter name")]
    Name {
        /// The offending text.
        name: Box<str>,
    },
    /// A packet pool could not be made.
    #[error(
        "no packet pool `{name}` of {packets} packets: {errno}; raise memory_mib, or make the pool smaller"
    )]
    Pool {
        /// The pool's name.
        name: Box<str>,
        /// How many packets it was to hold.
        packets: u32,
        /// DPDK's reason.
        errno: Errno,
    },
    /// The pool's packets are too small for the port's frames.
    #[error(
        "frames of MTU {mtu_bytes} need a data room of {needed_bytes} bytes, the pool `{pool}` has {room_bytes}"
    )]
    DataRoom {
        /// The pool's name.
        pool: Box<str>,
        /// The port's MTU.
        mtu_bytes: u16,
        /// Smallest data room, headroom not counted.
        needed_bytes: u32,
        /// What the pool's packets have, headroom not counted.
        room_bytes: u32,
    },
    /// The device string led to no port.
    #[error("no port from device `{device}`: {errno}; {}", errno.device_remedy())]
    Device {
        /// The device string.
        device: Box<str>,
        /// DPDK's reason.
        errno: Errno,
    },
    /// A call on a port failed.
    #[error("port `{port}`: {call} failed: {errno}")]
    Port {
        /// The port's device string.
        port: Box<str>,
        /// DPDK's name of the call.
        call: &'static str,
        /// DPDK's reason.
        errno: Errno,
    },
    /// A port cannot stop while workers hold its queues.
    #[error("port `{port}` has {queues} queues in use; take them back from the workers first")]
    QueuesInUse {
        /// The port's device string.
        port: Box<str>,
        /// Queues that still have an owner.
        queues: usize,
    },
    /// A table of DPDK could not be made.
    #[error("no {what}: {errno}; raise memory_mib, or make the table smaller")]
    Table {
        /// What was to be made.
        what: &'static str,
        /// DPDK's reason.
        errno: Errno,
    },
    /// A setting that DPDK does not take.
    #[error("{what}")]
    Setting {
        /// The setting, and what it may be.
        what: &'static str,
    },
}

/// A system or DPDK error number; always positive.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Errno(i32);

impl Errno {
    /// From a return value (`-errno`) or a plain number.
    pub(crate) fn from_return(value: i32) -> Self {
        Self(value.saturating_abs())
    }

    /// The calling thread's `rte_errno`.
    pub(crate) fn last() -> Self {
        // SAFETY: reads a thread-local integer; there is nothing to uphold.
        Self::from_return(unsafe { ffi::shim_errno() })
    }

    /// The number, as in `errno.h`.
    pub fn code(self) -> i32 {
        self.0
    }

    /// Whether the callee lacks the function at all.
    pub(crate) fn is_unsupported(self) -> bool {
        matches!(self.0, libc::ENOTSUP | libc::ENOSYS | libc::ENOTTY)
    }

    fn start_remedy(self) -> &'static str {
        match self.0 {
            libc::EACCES | libc::EPERM => {
                "run as root, or give the process CAP_SYS_ADMIN, CAP_NET_ADMIN and CAP_IPC_LOCK"
            }
            libc::ENOMEM | libc::ENOSPC => "free hugepages or memory, or lower memory_mib",
            libc::EINVAL => "check the EAL arguments against `dpdk-testpmd --help`",
            libc::EALREADY => "a start that failed cannot be repeated: restart the process",
            libc::EPROTO | libc::ENODEV => "check that the device's kernel driver (vfio-pci) is bound",
            _ => "DPDK's own log above names the cause; set the log level to debug to see more",
        }
    }

    fn device_remedy(self) -> &'static str {
        match self.0 {
            libc::EACCES | libc::EPERM => "run as root, or give the process CAP_NET_ADMIN and CAP_NET_RAW",
            libc::ENODEV | libc::ENOENT => {
                "check that the device or kernel interface exists in this network namespace, that a PCI device is \
                 bound to vfio-pci, and that the driver's package (librte-net-*) is installed"
            }
            libc::EINVAL => "check the spelling and the arguments of the device string",
            _ => "DPDK's own log above names the cause",
        }
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // SAFETY: returns a NUL-terminated string for every number, valid until this thread's next call.
        let text = unsafe { CStr::from_ptr(ffi::rte_strerror(self.0)) };
        write!(f, "{} (errno {})", text.to_string_lossy(), self.0)
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Zero is success for the calls that are checked with it.
pub(crate) fn check(value: i32) -> Result<(), Errno> {
    if value == 0 { Ok(()) } else { Err(Errno::from_return(value)) }
}
