//! Hugepages or not: looked at before `rte_eal_init`, because a start that fails cannot be repeated.

use std::{fmt, fs, ptr};

use crate::Error;

/// Where packets are to live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// In hugepages if there are enough, else in ordinary memory.
    Auto,
    /// In hugepages, or not at all.
    Huge,
    /// In ordinary memory: slower, and not for physical devices without an IOMMU.
    NoHuge,
}

/// Where packets live, and why. Its text is a line for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemoryMode {
    /// In hugepages, which no file names (`--in-memory`).
    Huge {
        /// Set aside at the start.
        memory_mib: u32,
    },
    /// In ordinary memory, as asked.
    NoHuge {
        /// All there is for pools and tables.
        memory_mib: u32,
    },
    /// In ordinary memory, because there are too few hugepages.
    Fallback {
        /// All there is for pools and tables.
        memory_mib: u32,
        /// Hugepages that could be mapped.
        free_mib: u64,
    },
}

impl MemoryMode {
    /// Whether packets are in ordinary memory although hugepages would have been taken: worth a warning.
    pub fn is_fallback(&self) -> bool {
        matches!(self, Self::Fallback { .. })
    }

    pub(super) fn argument(&self) -> &'static str {
        match self {
            Self::Huge { .. } => "--in-memory",
            Self::NoHuge { .. } | Self::Fallback { .. } => "--no-huge",
        }
    }
}

impl fmt::Display for MemoryMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Huge { memory_mib } => write!(f, "{memory_mib} MiB of hugepages"),
            Self::NoHuge { memory_mib } => {
                write!(f, "{memory_mib} MiB of ordinary memory (--no-huge), as configured")
            }
            Self::Fallback { memory_mib, free_mib } => write!(
                f,
                "{memory_mib} MiB of ordinary memory (--no-huge), because only {free_mib} MiB of hugepages are free: \
                 slower, and no use for physical devices; raise vm.nr_hugepages"
            ),
        }
    }
}

pub(super) fn choose(wanted: Memory, memory_mib: u32) -> Result<MemoryMode, Error> {
    if wanted == Memory::NoHuge {
        return Ok(MemoryMode::NoHuge { memory_mib });
    }
    let needed_mib = u64::from(memory_mib);
    let free_mib = free_hugepages_mib(needed_mib);
    match wanted {
        _ if free_mib >= needed_mib => Ok(MemoryMode::Huge { memory_mib }),
        Memory::Huge => Err(Error::Hugepages { needed_mib, free_mib }),
        Memory::Auto | Memory::NoHuge => Ok(MemoryMode::Fallback { memory_mib, free_mib }),
    }
}

/// Free hugepages of all sizes, as far as this process can really map `needed_mib` of them: a container may see the
/// machine's pages and not be allowed to take any.
fn free_hugepages_mib(needed_mib: u64) -> u64 {
    let mut free_mib = 0;
    for entry in fs::read_dir("/sys/kernel/mm/hugepages").into_iter().flatten().flatten() {
        let name = entry.file_name();
        let size_kib = name
            .to_str()
            .and_then(|name| name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse::<u64>().ok());
        let free = fs::read_to_string(entry.path().join("free_hugepages"));
        let free = free.ok().and_then(|text| text.trim().parse::<u64>().ok());
        if let (Some(size_kib), Some(free)) = (size_kib, free) {
            let size_mib = u64::max(size_kib / 1024, 1);
            let usable_mib = free * size_mib;
            let probe_mib = usable_mib.min(needed_mib).next_multiple_of(size_mib);
            if usable_mib > 0 && can_map(probe_mib, size_mib) {
                free_mib += usable_mib;
            }
        }
    }
    free_mib
}

/// Whether the kernel reserves `mib` of hugepages of `size_mib` for us.
fn can_map(mib: u64, size_mib: u64) -> bool {
    let Ok(bytes) = usize::try_from(mib << 20) else { return false };
    let log2_size = i32::try_from((size_mib << 20).ilog2()).unwrap_or(0);
    let flags =
        libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_HUGETLB | (log2_size << libc::MAP_HUGE_SHIFT);
    // SAFETY: a fresh anonymous mapping at an address of the kernel's choice touches nothing of ours.
    let address =
        unsafe { libc::mmap(ptr::null_mut(), bytes, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
    if address == libc::MAP_FAILED {
        return false;
    }
    // SAFETY: exactly the mapping made above, to which nothing refers.
    unsafe { libc::munmap(address, bytes) == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_few_hugepages_are_an_error_or_an_announced_fallback() {
        let everything_mib = u32::MAX;
        assert!(matches!(choose(Memory::Huge, everything_mib), Err(Error::Hugepages { .. })));
        let mode = choose(Memory::Auto, everything_mib).expect("ordinary memory is always there");
        assert!(mode.is_fallback());
        assert!(mode.to_string().contains("vm.nr_hugepages"), "{mode}");
    }

    #[test]
    fn ordinary_memory_on_request_is_no_fallback() {
        assert_eq!(choose(Memory::NoHuge, 64).expect("always"), MemoryMode::NoHuge { memory_mib: 64 });
    }
}
