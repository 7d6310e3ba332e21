//! libipsec-mb as an engine: a small C program (`perf/peers/ipsec-mb.c`) that does so many bursts of a case whenever it is told to, since this crate has no
//! `unsafe`. What it seals is compared with what our kernel seals before anything is timed.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use crossgate_dataplane::gcm::Kernel;

use super::Case;
use crate::engine::{BURST_PACKETS, Engine, Packets};
use crate::peers;

const BUILD: &str = include_str!("../../peers/build-ipsec-mb");
const SOURCE: &str = include_str!("../../peers/ipsec-mb.c");

/// The program, for one case.
pub(super) struct IpsecMb {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    version: String,
}

/// Builds the program. `Err`: why that is not possible.
pub(super) fn build() -> Result<PathBuf> {
    peers::build(BUILD, "build-ipsec-mb", SOURCE)
}

impl IpsecMb {
    /// Starts it and checks what it seals.
    pub(super) fn start(program: &Path, case: Case) -> Result<Self> {
        let words = [case.direction.as_str().to_owned(), case.key_bits.to_string()];
        let mut child = Command::new(program)
            .args(words)
            .args([case.payload_bytes.to_string(), case.sas.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        let (input, output) = child.stdin.take().zip(child.stdout.take()).context("no pipes")?;
        let mut started = Self { child, input, output: BufReader::new(output), version: String::new() };
        started.version = started.line("version ")?;
        let sealed = started.line("packet ")?;
        ensure!(sealed == our_packet(case)?, "libipsec-mb seals otherwise than Crossgate");
        Ok(started)
    }

    /// Version of the library and the instruction set that it chose.
    pub(super) fn version(&self) -> &str {
        &self.version
    }

    /// TSC cycles of each of so many bursts.
    pub(super) fn bursts(&mut self, count: usize) -> Result<Vec<u64>> {
        writeln!(self.input, "{count}").context("libipsec-mb's program is gone")?;
        let line = self.line("")?;
        let cycles: Vec<u64> = line.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        ensure!(cycles.len() == count, "{} bursts instead of {count}", cycles.len());
        Ok(cycles)
    }

    /// The next line, which begins so; what follows.
    fn line(&mut self, begin: &str) -> Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        match line.trim_end().strip_prefix(begin) {
            Some(rest) if !line.is_empty() => Ok(rest.to_owned()),
            _ => bail!("libipsec-mb's program said '{}'", line.trim_end()),
        }
    }
}

impl Drop for IpsecMb {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The last packet of the case's burst as our kernel seals it, in hexadecimal.
fn our_packet(case: Case) -> Result<String> {
    let mut packets = Packets::new(case.payload_bytes);
    Engine::ours(Kernel::detect(), case.sas, case.key_bits)?.seal(&mut packets)?;
    Ok(packets.sealed(BURST_PACKETS - 1).iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::super::Direction;
    use super::*;

    #[test]
    fn it_seals_and_opens_what_we_do_where_the_library_is_installed() {
        let program = match build() {
            Ok(program) => program,
            Err(reason) if reason.to_string().contains("libipsec-mb-dev") => return,
            Err(reason) => panic!("{reason:#}"),
        };
        for direction in [Direction::Seal, Direction::Open] {
            for (key_bits, sas, payload_bytes) in
                [(128, 32, 64), (192, 32, 64), (256, 1, 1400), (256, 32, 0), (128, 1, 8900)]
            {
                let case = Case { direction, key_bits, payload_bytes, sas };
                let mut started = IpsecMb::start(&program, case).expect("it seals as we do");
                assert_eq!(started.bursts(3).expect("three bursts").len(), 3);
                assert!(started.version().starts_with("1."), "{}", started.version());
            }
        }
    }
}
