//! What a configuration is checked against besides itself: the machine's cores, the user, the environment's variables.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::OnceLock;

use rustix::process::geteuid;
use rustix::thread::{CpuSet, sched_getaffinity};
use zeroize::Zeroizing;

/// The surroundings of a configuration. Tests make their own; programs take [`Environment::of_process`].
pub struct Environment<'a> {
    /// The cores that this process may run on.
    pub cores: BTreeSet<u16>,
    /// The user that reads secrets.
    pub user_id: u32,
    /// Reads a variable; `None` if it is not set or not text.
    pub variable: &'a dyn Fn(&str) -> Option<Zeroizing<String>>,
}

impl Environment<'static> {
    /// The surroundings of this process. Its cores are those that the first caller's thread may run on, whoever asks
    /// later: a control thread that has been pinned to its own core still judges the workers' cores by all of them.
    #[must_use]
    pub fn of_process() -> Self {
        static CORES: OnceLock<BTreeSet<u16>> = OnceLock::new();
        Self {
            cores: CORES.get_or_init(cores_of_thread).clone(),
            user_id: geteuid().as_raw(),
            variable: &|name| std::env::var(name).ok().map(Zeroizing::new),
        }
    }
}

fn cores_of_thread() -> BTreeSet<u16> {
    let affinity = sched_getaffinity(None).unwrap_or_else(|_| CpuSet::new());
    let cores = (0..=u16::MAX).take(CpuSet::MAX_CPU).filter(|core| affinity.is_set(usize::from(*core)));
    let mut cores: BTreeSet<u16> = cores.collect();
    if cores.is_empty() {
        cores.insert(0); // something runs this
    }
    cores
}

/// The text of a configuration with the place that it came from.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The file, as findings name it; relative paths inside it are relative to its directory.
    pub file: &'a Path,
    /// Its text.
    pub text: &'a str,
}

#[cfg(test)]
mod tests {
    use rustix::thread::sched_setaffinity;

    use super::*;

    #[test]
    fn a_pinned_thread_still_knows_all_cores() {
        let before = Environment::of_process().cores;
        let mut one = CpuSet::new();
        one.set(usize::from(*before.first().unwrap()));
        sched_setaffinity(None, &one).unwrap();
        assert_eq!(cores_of_thread().len(), 1);
        assert_eq!(Environment::of_process().cores, before);
    }
}
