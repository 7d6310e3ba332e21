//! Threads: the affinity that `rte_eal_init` must not change, and lcore ids for ordinary Rust threads.

use core::{marker::PhantomData, mem};

use crate::{Errno, Error, eal::Eal, ffi};

/// The CPUs on which a thread may run.
pub(super) struct Affinity(libc::cpu_set_t);

impl Affinity {
    pub(super) fn of_this_thread() -> Self {
        // SAFETY: all zeroes is the empty set.
        let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
        // SAFETY: 0 is the calling thread, and the kernel writes at most the size given.
        unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) };
        Self(set)
    }

    pub(super) fn restore(&self) {
        // SAFETY: 0 is the calling thread, and the kernel reads at most the size given. A set that the kernel gave us
        // can only be refused if all its CPUs went away; then the kernel's own choice is right.
        unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const self.0) };
    }

    /// The numbers, separated by commas, as EAL reads them.
    pub(super) fn list(&self) -> String {
        let limit = usize::try_from(libc::CPU_SETSIZE).unwrap_or(0);
        // SAFETY: the numbers are below CPU_SETSIZE, the size of the set.
        let cpus = (0..limit).filter(|&cpu| unsafe { libc::CPU_ISSET(cpu, &self.0) });
        cpus.map(|cpu| cpu.to_string()).collect::<Vec<_>>().join(",")
    }
}

/// The calling thread's membership in DPDK's environment, until this is dropped; it cannot leave the thread.
pub struct RegisteredThread {
    lcore: u32,
    registered_here: bool,
    _eal: Eal,
    _this_thread: PhantomData<*const ()>,
}

impl RegisteredThread {
    pub(super) fn new(eal: &Eal) -> Result<Self, Error> {
        // SAFETY: reads a thread-local integer.
        let before = unsafe { ffi::rte_lcore_id() };
        let registered_here = before == u32::MAX;
        // SAFETY: the environment is up (`eal`), and this thread has no lcore id yet.
        if registered_here && unsafe { ffi::rte_thread_register() } != 0 {
            return Err(Error::Thread { errno: Errno::last() });
        }
        // SAFETY: reads a thread-local integer.
        let lcore = unsafe { ffi::rte_lcore_id() };
        Ok(Self { lcore, registered_here, _eal: eal.clone(), _this_thread: PhantomData })
    }

    /// The lcore id, which tells this thread's cache in every pool.
    pub fn lcore(&self) -> u32 {
        self.lcore
    }
}

impl Drop for RegisteredThread {
    fn drop(&mut self) {
        if self.registered_here {
            // SAFETY: this thread (the guard is not `Send`) was registered by us and is no lcore of EAL's own.
            unsafe { ffi::rte_thread_unregister() }
        }
    }
}
