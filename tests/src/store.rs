//! What the lab fetches once and keeps in the build's target folder: packages that are unpacked and not installed.

use crate::failure::{Result, Tried};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Where it is.
pub(crate) fn folder() -> Result<PathBuf> {
    let program = std::env::current_exe().tried(|| "the path of this program".to_owned())?;
    let target = program.ancestors().find(|folder| folder.join("CACHEDIR.TAG").exists());
    let folder =
        target.map_or_else(|| std::env::temp_dir().join("crossgate-lab"), |target| target.join("lab"));
    fs::create_dir_all(&folder).tried(|| folder.display().to_string())?;
    Ok(folder)
}

/// A place beside `folder` to work in, and a name in it for what will be [kept](keep).
pub(crate) fn draft(folder: &Path) -> Result<(TempDir, PathBuf)> {
    let parent = folder.parent().unwrap_or(folder);
    let place = tempfile::Builder::new()
        .prefix("draft-")
        .tempdir_in(parent)
        .tried(|| parent.display().to_string())?;
    let new = place.path().join("new");
    Ok((place, new))
}

/// Makes `new` the folder, all or nothing.
pub(crate) fn keep(new: &Path, folder: &Path) -> Result<()> {
    match fs::rename(new, folder) {
        // Another test was first.
        Err(_) if folder.exists() => Ok(()),
        renamed => renamed.tried(|| folder.display().to_string()),
    }
}
