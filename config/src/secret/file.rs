//! A secret's file: regular, private, of root or of the user who reads it.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{self, Path, PathBuf};

use rustix::fs::{Mode, OFlags, open};
use zeroize::Zeroizing;

use super::Kind;
use crate::environment::Environment;
use crate::report::{Located, Report};

/// The file `name` as an absolute path; relative names begin at the directory of the configuration.
pub(crate) fn path(name: &str, configuration: &Path) -> PathBuf {
    let path = configuration.parent().unwrap_or(Path::new("")).join(name);
    path::absolute(&path).unwrap_or(path)
}

/// The bytes of the file `name`, which is relative to the configuration's directory; flaws are reported.
pub(super) fn read(
    name: &Located<String>,
    kind: &Kind,
    environment: &Environment<'_>,
    report: &mut Report<'_>,
) -> Option<Zeroizing<Vec<u8>>> {
    let directory = report.source.file.parent().unwrap_or(Path::new(""));
    let path = directory.join(&name.value);
    let shown = path.display();
    let unreadable =
        |error: io::Error| (format!("{shown} cannot be read: {error}"), kind.make_readable.to_owned());
    let result = open_without_waiting(&path).map_err(unreadable).and_then(|file| {
        judge(&file, &path, kind, environment)?;
        contents(file, kind.max_bytes).map_err(unreadable)
    });
    match result {
        Ok(bytes) => Some(bytes),
        Err((problem, remedy)) => {
            report.error(&name.place, problem, remedy);
            None
        }
    }
}

/// The bytes of a file that is no secret; a text that says why not.
pub(crate) fn read_regular(path: &Path, max_bytes: u64) -> Result<Vec<u8>, String> {
    let shown = path.display();
    let unreadable = |error: io::Error| format!("{shown} cannot be read: {error}");
    let file = open_without_waiting(path).map_err(unreadable)?;
    if !file.metadata().map_err(unreadable)?.is_file() {
        return Err(format!("{shown} is not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(max_bytes + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > max_bytes {
        return Err(format!("{shown} is larger than {} MiB", max_bytes >> 20));
    }
    Ok(bytes)
}

/// Opens without waiting for the other end of a FIFO.
fn open_without_waiting(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    Ok(File::from(open(path, flags, Mode::empty())?))
}

/// Judges the file that is open, so that nobody can swap it between the look and the reading.
fn judge(
    file: &File,
    path: &Path,
    kind: &Kind,
    environment: &Environment<'_>,
) -> Result<(), (String, String)> {
    let shown = path.display();
    let metadata = file
        .metadata()
        .map_err(|error| (format!("{shown} cannot be read: {error}"), kind.make_readable.to_owned()))?;
    if !metadata.is_file() {
        return Err((
            format!("{shown} is not a regular file"),
            "name a file that holds the secret on one line".into(),
        ));
    }
    let owner = metadata.uid();
    if owner != 0 && owner != environment.user_id {
        let problem =
            format!("{shown} belongs to user {owner}, who is neither root nor the user that reads it");
        return Err((
            problem,
            format!("chown root {shown}, and make a new secret if that user must not know it"),
        ));
    }
    if metadata.mode() & OTHERS != 0 {
        let problem = format!("{shown} is open to others (mode {:04o})", metadata.mode() & 0o7777);
        return Err((
            problem,
            format!("chmod 600 {shown}, and make a new secret if others may have read it"),
        ));
    }
    Ok(())
}

/// The beginning of the file, in one buffer that never moves (a moved one would leave a copy behind).
fn contents(file: File, max_bytes: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(max_bytes + 1));
    file.take(max_bytes as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Any right of group and world.
const OTHERS: u32 = 0o077;
