//! Which peer each test met, and in which version: written down where the program `crossgate-interop` asks for it, which makes a table of it. Else nothing
//! is written, and no peer is asked for its version.

use crate::failure::{Result, Tried};
use std::cell::RefCell;
use std::fs::OpenOptions;
use std::io::Write as _;

/// The variable with the file to write to.
pub const FILE: &str = "CROSSGATE_PEERS_MET";

thread_local! {
    static CASE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Names what this test tries from now on, where it tries several things in turn.
pub fn case(name: &str) {
    CASE.with(|case| name.clone_into(&mut case.borrow_mut()));
}

/// Writes down that this test has a peer called `name`; `version` asks it for its version.
pub(crate) fn peer(name: &str, version: impl FnOnce() -> Result<String>) -> Result<()> {
    let Some(file) = std::env::var_os(FILE) else { return Ok(()) };
    let version = version()?;
    let thread = std::thread::current();
    let case = CASE.with(|case| case.borrow().clone());
    let line = format!("{}\t{name}\t{}\t{case}\n", thread.name().unwrap_or_default(), version.trim());
    let what = || file.to_string_lossy().into_owned();
    OpenOptions::new()
        .append(true)
        .create(true)
        .open(&file)
        .tried(what)?
        .write_all(line.as_bytes())
        .tried(what)
}
