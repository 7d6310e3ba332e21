//! Peers that are written in C, built on this machine by a script of `perf/peers/` into a folder beside that of this program. Script and source are
//! part of this program, so that the program is enough.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Runs a script, with `source` on its standard input; the path that it prints. `Err`: why that is not possible, in the script's words.
pub(crate) fn build(script: &str, name: &str, source: &str) -> Result<PathBuf> {
    let own = std::env::current_exe().context("find this program")?;
    let directory =
        own.parent().and_then(Path::parent).context("this program is in no folder")?.join("peers");
    let mut child = Command::new("bash")
        .args(["-c", script, name])
        .arg(&directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("run bash")?;
    // A script that wants no source may be gone before it is written.
    let written = child.stdin.take().map_or(Ok(()), |mut input| input.write_all(source.as_bytes()));
    let built = child.wait_with_output()?;
    if !built.status.success() {
        bail!("{}", String::from_utf8_lossy(&built.stderr).trim());
    }
    if !source.is_empty() {
        written.context("hand over the source")?;
    }
    Ok(PathBuf::from(String::from_utf8(built.stdout)?.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_gets_folder_and_source_and_names_the_program() {
        let path = build("echo \"$1/$(cat)\"", "build-it", "made-of-this").expect("built");
        assert!(path.ends_with("peers/made-of-this"), "{}", path.display());
    }

    #[test]
    fn why_a_script_fails_is_told_in_its_words() {
        let error = build("echo 'install libthis-dev' >&2; exit 1", "build-it", "").expect_err("it fails");
        assert_eq!(error.to_string(), "install libthis-dev");
    }
}
