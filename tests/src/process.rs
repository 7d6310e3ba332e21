//! Programs that the lab runs: short ones to their end under a deadline, long ones until they are stopped. None
//! outlives the lab: a long one is killed when its value is dropped, and by the kernel if the whole lab is killed.

use crate::failure::{Failure, Result, Tried};
use crate::wait::{Look, until};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::io::{ErrorKind, Read, Seek};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// Long enough for any short command on a machine that is busy compiling.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a short command ended.
pub struct Ended {
    /// Its exit status.
    pub status: ExitStatus,
    /// What it wrote, both outputs in order.
    pub output: String,
}

/// Runs a command to its end; a status other than 0 is a failure. Returns what it wrote.
pub fn run(command: &mut Command) -> Result<String> {
    let ended = finish(command, PATIENCE)?;
    if ended.status.success() {
        return Ok(ended.output);
    }
    Err(Failure::Command { command: line(command), status: ended.status.to_string(), output: ended.output })
}

/// Runs a command to its end, whatever its status, for at most `limit`.
pub fn finish(command: &mut Command, limit: Duration) -> Result<Ended> {
    let mut file = tempfile::tempfile().tried(|| "temporary file for a command's output".to_owned())?;
    let mut child = spawn(command, &file)?;
    let status = until(&format!("the end of: {}", line(command)), limit, || {
        let status = child.try_wait().tried(|| line(command))?;
        Ok(status.map_or_else(|| Look::NotYet("it still runs".to_owned()), Look::Holds))
    });
    if status.is_err() {
        let _ = child.kill();
        let _ = child.wait();
    }
    let mut bytes = Vec::new();
    file.rewind().and_then(|()| file.read_to_end(&mut bytes)).tried(|| line(command))?;
    Ok(Ended { status: status?, output: String::from_utf8_lossy(&bytes).into_owned() })
}

/// A program that runs until it is stopped; both its outputs go to one file.
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`, which writes to `log` (appended, so that a restart keeps what came before).
    pub fn start(name: &str, command: &Command, log: &Path) -> Result<Self> {
        let file =
            File::options().create(true).append(true).open(log).tried(|| format!("{}", log.display()))?;
        let mut guarded = Command::new("setpriv");
        guarded.args(["--pdeathsig", "KILL", "--"]).arg(command.get_program()).args(command.get_args());
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => guarded.env(key, value),
                None => guarded.env_remove(key),
            };
        }
        // A Ctrl-C at the demo's terminal is the demo's to handle, not its children's.
        guarded.process_group(0);
        Ok(Self { name: name.to_owned(), child: spawn(&mut guarded, &file)?, log: log.to_owned() })
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has written so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read(&self.log).map_or_else(
            |error| format!("({}: {error})", self.log.display()),
            |bytes| String::from_utf8_lossy(&bytes).into_owned(),
        )
    }

    /// Its exit status, if it has ended.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().tried(|| self.name.clone())
    }

    /// Fails, with its log, if it has ended.
    pub fn must_run(&mut self) -> Result<()> {
        match self.ended()? {
            None => Ok(()),
            Some(status) => Err(Failure::Command {
                command: self.name.clone(),
                status: status.to_string(),
                output: self.log(),
            }),
        }
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(Pid::from_child(&self.child), signal)
            .tried(|| format!("signal {signal:?} to {}", self.name))
    }

    /// Sends a signal and waits for the end.
    pub fn end(&mut self, signal: Signal, limit: Duration) -> Result<ExitStatus> {
        if let Some(status) = self.ended()? {
            return Ok(status);
        }
        self.signal(signal)?;
        until(&format!("the end of {} after {signal:?}", self.name), limit, || {
            Ok(self.ended()?.map_or_else(|| Look::NotYet("it still runs".to_owned()), Look::Holds))
        })
    }

    /// Sends SIGTERM and waits; fails, with its log, unless it ends with status 0 or by that signal.
    pub fn stop(&mut self, limit: Duration) -> Result<()> {
        let status = self.end(Signal::TERM, limit)?;
        if status.success() || status.signal() == Some(Signal::TERM.as_raw()) {
            return Ok(());
        }
        Err(Failure::Command { command: self.name.clone(), status: status.to_string(), output: self.log() })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The command as a person would type it.
#[must_use]
pub fn line(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    line
}

fn spawn(command: &mut Command, output: &File) -> Result<Child> {
    let copy = || output.try_clone().tried(|| "copy of a file handle".to_owned());
    command.stdin(Stdio::null()).stdout(copy()?).stderr(copy()?).spawn().map_err(|source| {
        let program = command.get_program().to_string_lossy().into_owned();
        match source.kind() {
            ErrorKind::NotFound => Failure::Missing { program, source },
            _ => Failure::Io { what: program, source },
        }
    })
}
