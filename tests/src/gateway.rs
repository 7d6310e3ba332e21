//! Our gateway as an operator runs it: the program `crossgated` with a configuration file, in a namespace, on the veth
//! ends there; asked and told through the client `crossgate` and signals only.

mod clock;
mod plan;
mod reason;

pub use plan::{Connection, Driver, Plan, Ppk, SHARED_KEY, example_key, many};
pub use reason::Reason;

use crate::failure::{Failure, Result, Tried, ensure};
use crate::met;
use crate::namespace::Namespace;
use crate::process::{self, Ended, Process};
use crate::strongswan::tail;
use crate::wait::{Look, until};
use rustix::process::Signal;
use serde_json::Value;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// For a start (hugepages are cleared) or a few round trips, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(40);

/// A gateway that runs.
pub struct Gateway<'a> {
    namespace: &'a Namespace,
    plan: Plan,
    folder: tempfile::TempDir,
    process: Process,
}

impl<'a> Gateway<'a> {
    /// Starts one in `namespace`, whose interfaces are those that `plan` names; returns when its console answers.
    pub fn start(namespace: &'a Namespace, plan: Plan) -> Result<Self> {
        let folder =
            tempfile::Builder::new().prefix("gw").tempdir().tried(|| "a folder for a gateway".into())?;
        plan.write(folder.path(), folder.path())?;
        let process = Self::daemon(namespace, &plan, &folder)?;
        let mut gateway = Self { namespace, plan, folder, process };
        gateway.answers()?;
        met::peer(&format!("Crossgate in {}", namespace.name()), || {
            process::run(Command::new(program("crossgate")?).arg("--version"))
        })?;
        Ok(gateway)
    }

    /// The configuration it was last given.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Its operator's socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("console.sock")
    }

    /// Its configuration file.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("gateway.toml")
    }

    /// Asks it something through its client; the answer as JSON.
    pub fn ask(&self, arguments: &[&str]) -> Result<Value> {
        let ended = self.client(&[&["--json"], arguments].concat())?;
        let command = || format!("crossgate --json {}", arguments.join(" "));
        if !ended.status.success() {
            let status = ended.status.to_string();
            return Err(Failure::Command { command: command(), status, output: ended.output });
        }
        serde_json::from_str(&ended.output).tried(command)
    }

    /// Runs its client with arguments, whatever comes of it.
    pub fn client(&self, arguments: &[&str]) -> Result<Ended> {
        let mut command = Command::new(program("crossgate")?);
        command.arg("--socket").arg(self.socket()).args(arguments);
        process::finish(&mut command, PATIENCE)
    }

    /// One of its connections, as the console shows it.
    pub fn connection(&self, name: &str) -> Result<Value> {
        let all = self.ask(&["connections"])?;
        named(&all, name).cloned().ok_or_else(|| Failure::Untrue(format!("no connection {name} in {all}")))
    }

    /// Waits until a connection is in a state ("up", "connecting", "down").
    pub fn is(&self, name: &str, state: &str) -> Result<()> {
        until(&format!("connection {name} to be {state}"), PATIENCE, || {
            let all = self.ask(&["connections"])?;
            let found = named(&all, name).is_some_and(|connection| connection["state"] == state);
            Ok(Look::when(found, || all.to_string()))
        })
    }

    /// Waits until a connection is up with a peer at this address.
    pub fn is_up_with(&self, name: &str, address: &str) -> Result<()> {
        until(&format!("connection {name} to be up with {address}"), PATIENCE, || {
            let connection = self.connection(name)?;
            let remote = connection["remote"].as_str().unwrap_or_default();
            let is_there = remote.split(':').next() == Some(address) && connection["state"] == "up";
            Ok(Look::when(is_there, || connection.to_string()))
        })
    }

    /// Waits until the console gives `problem` (any case) as the reason why a connection failed.
    pub fn fails_with(&self, name: &str, problem: &str) -> Result<Value> {
        let problem = problem.to_lowercase();
        until(&format!("{name} to fail with {problem:?}"), PATIENCE, || {
            let connection = self.connection(name)?;
            let failure = connection["failure"].clone();
            let told = failure["problem"].as_str().is_some_and(|text| text.to_lowercase().contains(&problem));
            Ok(if told { Look::Holds(failure) } else { Look::NotYet(connection.to_string()) })
        })
    }

    /// The Child SAs of all connections.
    pub fn sas(&self) -> Result<Vec<Value>> {
        Ok(self.ask(&["sas"])?.as_array().cloned().unwrap_or_default())
    }

    /// Waits until there is one Child SA, which sends, and returns it.
    pub fn only_sa(&self) -> Result<Value> {
        until("one Child SA, which sends", PATIENCE, || {
            let sas = self.sas()?;
            Ok(match sas.as_slice() {
                [sa] if sa["state"] == "sends" => Look::Holds(sa.clone()),
                _ => Look::NotYet(format!("{sas:?}")),
            })
        })
    }

    /// Has a connection's Child SA rekeyed from our side; returns when a new one alone is there.
    pub fn rekey_child(&self, name: &str) -> Result<()> {
        let before = self.only_sa()?["inbound_spi"].clone();
        self.ask(&["rekey", name, "--child"])?;
        until("a Child SA with another SPI, alone", PATIENCE, || {
            let sas = self.sas()?;
            let done =
                matches!(sas.as_slice(), [sa] if sa["inbound_spi"] != before && sa["state"] == "sends");
            Ok(Look::when(done, || format!("{sas:?}")))
        })
    }

    /// Has a connection's IKE SA rekeyed from our side; its peer knows when that is done.
    pub fn rekey_ike(&self, name: &str) -> Result<()> {
        self.ask(&["rekey", name, "--ike"]).map(drop)
    }

    /// The total of a counter.
    pub fn counter(&self, name: &str) -> Result<u64> {
        let all = self.ask(&["counters", "--all"])?;
        let total = named(&all, name).and_then(|counter| counter["total"].as_u64());
        total.ok_or_else(|| Failure::Untrue(format!("no counter {name}")))
    }

    /// Its log so far, of all its starts.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Waits until its log holds `text` (any case).
    pub fn says(&self, text: &str) -> Result<()> {
        let text = text.to_lowercase();
        until(&format!("crossgated to log {text:?}"), PATIENCE, || {
            let log = self.log();
            Ok(Look::when(log.to_lowercase().contains(&text), || tail(&log, 20)))
        })
    }

    /// Fails, with its log, if the process has ended.
    pub fn must_run(&mut self) -> Result<()> {
        self.process.must_run()
    }

    /// Writes another configuration and sends SIGHUP; the caller waits for what shall change.
    pub fn reload(&mut self, plan: Plan) -> Result<()> {
        plan.write(self.folder.path(), self.folder.path())?;
        self.plan = plan;
        self.process.signal(Signal::HUP)
    }

    /// Writes any text as its configuration file, as an operator's slip would.
    pub fn write_file(&self, text: &str) -> Result<()> {
        std::fs::write(self.file(), text).tried(|| self.file().display().to_string())
    }

    /// Sends SIGHUP.
    pub fn hang_up(&self) -> Result<()> {
        self.process.signal(Signal::HUP)
    }

    /// Kills it (SIGKILL), so that its peer hears nothing, and starts it anew.
    pub fn kill_and_restart(&mut self) -> Result<()> {
        self.process.end(Signal::KILL, PATIENCE)?;
        self.process = Self::daemon(self.namespace, &self.plan, &self.folder)?;
        self.answers()
    }

    /// Ends it as an operator does, and starts it anew.
    pub fn stop_and_restart(&mut self) -> Result<()> {
        self.end()?;
        self.process = Self::daemon(self.namespace, &self.plan, &self.folder)?;
        self.answers()
    }

    /// Ends it as an operator does; fails unless it ends cleanly, with status 0 and without leaks in its log.
    pub fn stop(mut self) -> Result<()> {
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        let status = self.process.end(Signal::TERM, PATIENCE)?;
        ensure(status.success(), || format!("crossgated ended with {status}:\n{}", tail(&self.log(), 40)))?;
        ensure(!self.socket().exists(), || "crossgated left its socket behind".to_owned())
    }

    /// All there is to know about it, for whoever must find out what went wrong.
    #[must_use]
    pub fn state(&self) -> String {
        let mut text = String::new();
        for part in ["status", "connections", "sas", "ports", "workers", "counters"] {
            let told = self.client(&[part]).map_or_else(|error| error.to_string(), |ended| ended.output);
            let _ = writeln!(text, "== {}: crossgate {part}\n{}", self.plan.name, told.trim_end());
        }
        let log = self.log();
        let _ = writeln!(text, "== {}: the end of crossgated's log\n{}", self.plan.name, tail(&log, 60));
        text
    }

    fn daemon(namespace: &Namespace, plan: &Plan, folder: &tempfile::TempDir) -> Result<Process> {
        let mut command = namespace.command(&program("crossgated")?.display().to_string());
        command.arg(folder.path().join("gateway.toml")).env("NO_COLOR", "1");
        clock::hurry(&mut command, plan.clock_speed)?;
        Process::start(&plan.name, &command, &folder.path().join("log"))
    }

    fn answers(&mut self) -> Result<()> {
        until("crossgated's console to answer", PATIENCE, || {
            self.process.must_run()?;
            Ok(self
                .ask(&["status"])
                .map_or_else(|error| Look::NotYet(error.to_string()), |_| Look::Holds(())))
        })
    }
}

impl Drop for Gateway<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.state());
        }
    }
}

/// The entry of a list whose name is `name`.
fn named<'v>(list: &'v Value, name: &str) -> Option<&'v Value> {
    list.as_array()?.iter().find(|entry| entry["name"] == name)
}

/// One of the gateway's programs, as built beside this one.
pub fn program(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe().tried(|| "the path of this program".to_owned())?;
    let found = own.ancestors().skip(1).take(2).map(|folder| folder.join(name)).find(|path| path.is_file());
    found.ok_or_else(|| {
        let text = format!("{name} is not built: run 'cargo test --workspace --no-run' first");
        Failure::Untrue(text)
    })
}
