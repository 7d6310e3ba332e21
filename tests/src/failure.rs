//! What can go wrong in the lab, said so that the reader of a failed test needs no second run.
//! Everything in this crate returns it; tests unwrap it, the demo prints it.

use std::io;
use std::time::Duration;

/// A step of the lab that did not work, with what was asked and what was seen.
#[derive(thiserror::Error)]
pub enum Failure {
    /// The lab makes namespaces and opens raw sockets.
    #[error(
        "the lab makes network namespaces, which needs root: run it as root (for example: sudo make test)"
    )]
    NotRoot,
    /// A program that the lab needs is not there.
    #[error("{program} is not installed: run 'make install-deps' ({source})")]
    Missing {
        /// The program's name.
        program: String,
        /// The system's answer.
        source: io::Error,
    },
    /// A command ended with a status other than 0.
    #[error("{command}\nended with {status}:\n{output}")]
    Command {
        /// The command line.
        command: String,
        /// Its exit status in words.
        status: String,
        /// What it wrote to both outputs.
        output: String,
    },
    /// A condition did not come true in time.
    #[error("waited {} s in vain for {what}; last seen: {seen}", waited.as_secs_f32())]
    Deadline {
        /// The condition.
        what: String,
        /// For how long.
        waited: Duration,
        /// What was the case instead.
        seen: String,
    },
    /// The system refused a file, socket or thread.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// The system's answer.
        source: io::Error,
    },
    /// Something that must hold did not.
    #[error("{0}")]
    Untrue(String),
}

/// The lab's result.
pub type Result<T> = std::result::Result<T, Failure>;

/// `Failure` reads the same in a test's unwrap as in the demo.
impl std::fmt::Debug for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// Gives a system error the words of what was tried.
pub trait Tried<T> {
    /// Wraps the error, if there is one, in [`Failure::Io`].
    fn tried(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<io::Error>> Tried<T> for std::result::Result<T, E> {
    fn tried(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| Failure::Io { what: what(), source: source.into() })
    }
}

/// Fails with `what` unless `holds`.
pub fn ensure(holds: bool, what: impl FnOnce() -> String) -> Result<()> {
    if holds { Ok(()) } else { Err(Failure::Untrue(what())) }
}
