//! A gateway's clock that runs faster than everybody else's, by libfaketime: it is the control thread's, which counts how long peers take. Workers count by the processor's own.

use crate::failure::{Failure, Result, Tried};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where Debian keeps libraries, in a folder for each architecture.
const LIBRARIES: &str = "/usr/lib";
const LIBRARY: &str = "faketime/libfaketimeMT.so.1";

/// Has the program that `command` starts see time pass `speed` times as fast.
pub(super) fn hurry(command: &mut Command, speed: u32) -> Result<()> {
    if speed > 1 {
        command.env("LD_PRELOAD", library()?).env("FAKETIME", format!("+0 x{speed}"));
    }
    Ok(())
}

fn library() -> Result<PathBuf> {
    let folders = Path::new(LIBRARIES).read_dir().tried(|| LIBRARIES.to_owned())?;
    let found = folders.flatten().map(|folder| folder.path().join(LIBRARY)).find(|path| path.is_file());
    let source = std::io::ErrorKind::NotFound.into();
    found.ok_or_else(|| Failure::Missing { program: "libfaketime".to_owned(), source })
}
