//! A newer Debian than this machine's, for peers that it lacks: its strongSwan with all that this needs as a root of its own, and its kernel. Fetched once
//! (`tests/setup/install newer`) and kept; nothing of it is installed.

use crate::failure::{Result, ensure};
use crate::{process, store};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// For 130 MB and the lists of packages, on a slow line.
const FETCH: Duration = Duration::from_secs(900);

/// Where the root is in a guest that has [`layer`].
pub(crate) const IN_GUEST: &str = "/newer";
/// What runs a program of it there.
pub(crate) const PREFIX: &str = "chroot /newer";
/// Where its programs find the folder that [`command`] names.
pub(crate) const SHARED: &str = "/tmp";

/// A folder to be laid over a guest's root, with the root of the newer Debian in it.
pub(crate) fn layer() -> Result<PathBuf> {
    Ok(fetched()?.join("layer"))
}

/// Its kernel's packages, unpacked.
pub(crate) fn kernel() -> Result<PathBuf> {
    Ok(fetched()?.join("kernel"))
}

/// A command that runs `program` of it, with this machine's devices, processes and network, and `folder` as [`SHARED`]: nobody else sees what is
/// mounted for that.
pub(crate) fn command(folder: &Path, program: &str) -> Result<Command> {
    let root = layer()?.join(IN_GUEST.trim_start_matches('/'));
    let script = "set -e
        root=$1 shared=$2
        shift 2
        for place in proc sys dev; do mount --rbind /$place $root/$place; done
        mount --bind $shared $root/tmp
        exec chroot $root \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script, "sh"]).arg(root).arg(folder).arg(program);
    Ok(command)
}

fn fetched() -> Result<PathBuf> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = store::folder()?.join("newer");
    if !folder.exists() {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("setup/install");
        let ended = process::finish(Command::new(script).arg("newer").arg(&folder), FETCH)?;
        ensure(ended.status.success(), || ended.output)?;
    }
    Ok(folder)
}
