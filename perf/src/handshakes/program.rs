//! A responder that runs: a process of its own on one core, ours or strongSwan's charon.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::case::Case;
use super::charon;

/// Longest that a program may take to start, or to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// Whose responder.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Program {
    Crossgate,
    StrongSwan,
}

/// Where it runs.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) namespace: &'a str,
    pub(super) core: usize,
}

/// One that runs.
pub(super) struct Running {
    child: Child,
    /// strongSwan's files.
    folder: Option<tempfile::TempDir>,
}

/// What a process has used so far.
#[derive(Clone, Copy)]
pub(super) struct Usage {
    pub(super) cpu_s: f64,
    pub(super) resident_bytes: f64,
}

impl Program {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Crossgate => "crossgate",
            Self::StrongSwan => "strongswan",
        }
    }

    /// Starts it; returns when it answers.
    pub(super) fn start(self, case: Case, peers: u32, place: Place<'_>) -> Result<Running> {
        match self {
            Self::Crossgate => {
                let mut command = place.command(&std::env::current_exe()?);
                command.args(["handshakes", "--respond", &case.to_string(), "--peers", &peers.to_string()]);
                let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
                let output = child.stdout.take().context("a process without output")?;
                let running = Running { child, folder: None };
                let mut line = String::new();
                BufReader::new(output).read_line(&mut line)?;
                ensure!(line.contains("ready"), "our responder did not start: {line}");
                Ok(running)
            }
            Self::StrongSwan => {
                let folder = tempfile::Builder::new().prefix("charon").tempdir()?;
                charon::write(folder.path(), case)?;
                let mut command = place.command(Path::new("charon-systemd"));
                command.env("STRONGSWAN_CONF", folder.path().join("strongswan.conf"));
                let out = std::fs::File::create(folder.path().join("out"))?;
                let child = command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out).spawn()?;
                let mut running = Running { child, folder: Some(folder) };
                running.load()?;
                Ok(running)
            }
        }
    }
}

impl Place<'_> {
    /// A command that stays there. Each of these programs becomes the next one: the process is that of the last.
    fn command(self, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", self.namespace, "taskset", "-c", &self.core.to_string()]).arg(program);
        command
    }
}

impl Running {
    /// CPU time of all its threads, and memory.
    pub(super) fn usage(&self) -> Result<Usage> {
        let folder = format!("/proc/{}", self.child.id());
        let stat = std::fs::read_to_string(format!("{folder}/stat")).context("the responder is gone")?;
        // Behind the name, which may hold anything: the fields from the third on.
        let fields = stat.rsplit_once(')').context("an odd /proc/PID/stat")?.1;
        let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
        let ticks: f64 = ticks.sum::<Result<_, _>>()?;
        let hz = u32::try_from(rustix::param::clock_ticks_per_second())?;
        let resident_bytes = crate::machine::resident_bytes_of(&folder)?;
        Ok(Usage { cpu_s: ticks / f64::from(hz), resident_bytes })
    }

    /// The end of its log, for a failure.
    pub(super) fn log(&self) -> String {
        let Some(folder) = &self.folder else { return String::new() };
        let texts = ["out", "log"].map(|name| std::fs::read_to_string(folder.path().join(name)));
        let lines: Vec<String> = texts
            .into_iter()
            .flatten()
            .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
            .collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// Waits until charon answers, and has it read its connection.
    fn load(&mut self) -> Result<()> {
        let folder = self.folder.as_ref().context("no folder")?.path().to_owned();
        let began = Instant::now();
        while let Err(error) = charon::ask(&folder, "--stats") {
            if let Some(status) = self.child.try_wait()? {
                bail!("charon ended with {status}\n{}", self.log());
            }
            ensure!(began.elapsed() < PATIENCE, "charon does not answer: {error:#}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        let loaded = charon::ask(&folder, "--load-all")?;
        ensure!(loaded.contains("loaded connection"), "charon did not take its configuration:\n{loaded}");
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It holds nothing that matters; ending it in its own way would delete thousands of SAs at peers that are gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
