//! The operator's client: asks a running gateway, tells it to follow a configuration, and checks configurations without one.
//!
//! One command, one answer, one exit status. What the gateway says is shown by `console::show`, or as it came (`--json`).

#[path = "crossgate/arguments.rs"]
mod arguments;
#[path = "crossgate/socket.rs"]
mod socket;

use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use arguments::{Arguments, Command, Shell};
use clap::{CommandFactory as _, Parser as _};
use crossgate::console::client::{Client, ClientError, typed};
use crossgate::console::protocol::{Applied, Connection, Counter, Log, Method, Rekey, Sa, code};
use crossgate::console::show;
use crossgate::console::table::Screen;
use crossgate_config::{Config, Environment, Finding, Severity};
use serde_json::{Value, json};

/// How the command ends; `--help` tells what each number means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Good = 0,
    Bad = 1,
    Usage = 2,
    NoGateway = 3,
    Refused = 4,
}

/// Why the command has no answer.
enum Failure {
    Client(ClientError),
    Output(io::Error),
    Usage { problem: String, remedy: String },
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = run(&arguments).unwrap_or_else(|failure| complain(&failure));
    ExitCode::from(outcome as u8)
}

/// Tells the operator what went wrong, and how to go on.
fn complain(failure: &Failure) -> Outcome {
    let (problem, remedy, outcome) = match failure {
        // Whoever reads the output has seen enough.
        Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => return Outcome::Good,
        Failure::Output(error) => (format!("the output cannot be written: {error}"), "", Outcome::Refused),
        Failure::Usage { problem, remedy } => (problem.clone(), remedy.as_str(), Outcome::Usage),
        Failure::Client(error) => {
            let outcome = match error {
                ClientError::NoGateway { .. } | ClientError::Broken(_) => Outcome::NoGateway,
                ClientError::Refused(error) if error.code == code::UNKNOWN_NAME => Outcome::Usage,
                ClientError::Refused(error) if matches!(error.code, code::REFUSED | code::NOT_UP) => {
                    Outcome::Bad
                }
                ClientError::NotAllowed { .. } | ClientError::Garbage(_) | ClientError::Refused(_) => {
                    Outcome::Refused
                }
            };
            (error.to_string(), error.remedy(), outcome)
        }
    };
    let clean =
        |text: &str| text.lines().map(crossgate::console::table::clean).collect::<Vec<_>>().join("\n  ");
    let mut message = format!("crossgate: {}", clean(&problem));
    if !remedy.is_empty() {
        message.push_str("\n  remedy: ");
        message.push_str(remedy);
    }
    // Nothing can be done if even that cannot be written.
    let _ = writeln!(io::stderr(), "{message}");
    outcome
}

fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    match &arguments.command {
        Command::Check { file } => return check(file, arguments.json),
        Command::Completion { shell: Shell::Bash } => {
            let mut script = Vec::new();
            clap_complete::generate(
                clap_complete::Shell::Bash,
                &mut Arguments::command(),
                "crossgate",
                &mut script,
            );
            return print(&String::from_utf8_lossy(&script)).map(|()| Outcome::Good);
        }
        _ => {}
    }
    let socket = socket::find(arguments.socket.as_deref())?;
    let mut session = Session { client: Client::connect(&socket)?, json: arguments.json, screen: screen() };
    match &arguments.command {
        Command::Status => session.show(&Method::Status, show::status),
        Command::Connections => {
            session.show(&Method::Connections, |list: &Vec<_>, screen| show::connections(list, screen))
        }
        Command::Connection { name } => session.connection(name),
        Command::Sas => session.show(&Method::Sas, |list: &Vec<_>, screen| show::sas(list, screen)),
        Command::Ports => session.show(&Method::Ports, |list: &Vec<_>, screen| show::ports(list, screen)),
        Command::Workers => {
            session.show(&Method::Workers, |list: &Vec<_>, screen| show::workers(list, screen))
        }
        Command::Counters { all } => session.counters(*all),
        Command::Reset { connection } => {
            let connection = connection.clone();
            session.tell(
                &Method::Reset { connection },
                "It is brought up anew; watch it with: crossgate connections",
            )
        }
        Command::Rekey { connection, what } => {
            let what = if what.ike { Rekey::Ike } else { Rekey::Child };
            let connection = connection.clone();
            session
                .tell(&Method::Rekey { connection, what }, "The rekey has begun; see it with: crossgate sas")
        }
        Command::Apply { file } => session.apply(file),
        Command::Log { follow, lines } => session.log(*follow, *lines),
        Command::Check { .. } | Command::Completion { .. } => {
            unreachable!("answered above, without a gateway")
        }
    }
}

/// A gateway being asked.
struct Session {
    client: Client,
    json: bool,
    screen: Screen,
}

impl Session {
    /// Asks, and shows the answer.
    fn show<T: serde::de::DeserializeOwned>(
        &mut self,
        method: &Method,
        as_text: impl Fn(&T, Screen) -> String,
    ) -> Result<Outcome, Failure> {
        let answer = self.client.call(method)?;
        if self.json {
            print(&format!("{answer}\n"))?;
        } else {
            print(&as_text(&typed(&answer)?, self.screen))?;
        }
        Ok(Outcome::Good)
    }

    /// Tells it something that has no answer.
    fn tell(&mut self, method: &Method, done: &str) -> Result<Outcome, Failure> {
        let answer = self.client.call(method)?;
        print(&if self.json { format!("{answer}\n") } else { format!("{done}\n") })?;
        Ok(Outcome::Good)
    }

    fn connection(&mut self, name: &str) -> Result<Outcome, Failure> {
        let answer = self.client.call(&Method::Connections)?;
        let all: Vec<Connection> = typed(&answer)?;
        let Some(index) = all.iter().position(|connection| connection.name == name) else {
            let names: Vec<&str> = all.iter().map(|connection| connection.name.as_str()).collect();
            let problem = format!("the gateway has no connection \"{name}\"");
            let remedy = match names.is_empty() {
                true => "apply a configuration that has it".to_owned(),
                false => format!("name one of: {}", names.join(", ")),
            };
            return Err(Failure::Usage { problem, remedy });
        };
        let answer_sas = self.client.call(&Method::Sas)?;
        let mut sas: Vec<Sa> = typed(&answer_sas)?;
        sas.retain(|sa| sa.connection == name);
        if self.json {
            let mut shown = answer[index].clone();
            let own = |sa: &&Value| sa["connection"] == name;
            shown["sas"] = answer_sas.as_array().into_iter().flatten().filter(own).cloned().collect();
            print(&format!("{shown}\n"))?;
        } else {
            print(&show::connection(&all[index], &sas, self.screen))?;
        }
        Ok(if all[index].state == "up" { Outcome::Good } else { Outcome::Bad })
    }

    /// Those that have moved, or all.
    fn counters(&mut self, all: bool) -> Result<Outcome, Failure> {
        let answer = self.client.call(&Method::Counters)?;
        let counters: Vec<Counter> = typed(&answer)?;
        let shown = |counter: &&Counter| all || counter.total > 0;
        if self.json {
            let shown: Vec<&Counter> = counters.iter().filter(shown).collect();
            print(&format!("{}\n", json!(shown)))?;
        } else {
            print(&show::counters(counters.iter().filter(shown), self.screen))?;
        }
        Ok(Outcome::Good)
    }

    fn apply(&mut self, file: &Path) -> Result<Outcome, Failure> {
        let file = std::path::absolute(file)?;
        let Some(file) = file.to_str().map(str::to_owned) else {
            let problem = format!("the path {} is not UTF-8", file.display());
            return Err(Failure::Usage { problem, remedy: "rename the file".into() });
        };
        match self.client.call(&Method::Apply { file }) {
            Ok(answer) if self.json => print(&format!("{answer}\n"))?,
            Ok(answer) => print(&show::applied(&typed::<Applied>(&answer)?))?,
            Err(ClientError::Refused(error)) if error.code == code::REFUSED && error.data.is_some() => {
                let findings = error.data.unwrap_or_default();
                print_findings(&findings, self.json)?;
                if !self.json {
                    print("Nothing has changed in the gateway.\n")?;
                }
                return Ok(Outcome::Bad);
            }
            Err(error) => return Err(error.into()),
        }
        Ok(Outcome::Good)
    }

    /// The latest lines of the log, and then those that follow.
    fn log(&mut self, follow: bool, lines: usize) -> Result<Outcome, Failure> {
        let mut log = self.log_after(0, lines)?;
        loop {
            for line in &log.lines {
                print(&if self.json { format!("{}\n", json!(line)) } else { show::log_line(line) })?;
            }
            if !follow {
                return Ok(Outcome::Good);
            }
            std::thread::sleep(FOLLOW_EVERY);
            let after = log.last;
            log = self.log_after(after, FOLLOW_LINES)?;
            let missed = log.lines.first().map_or(0, |line| line.number.saturating_sub(after + 1));
            if missed > 0 {
                writeln!(io::stderr(), "crossgate: {missed} lines of the log came too fast to be shown")?;
            }
        }
    }

    fn log_after(&mut self, after: u64, lines: usize) -> Result<Log, ClientError> {
        typed(&self.client.call(&Method::Log { after, lines })?)
    }
}

/// Checks a file by this machine, as the gateway would.
fn check(file: &Path, json: bool) -> Result<Outcome, Failure> {
    let findings = match Config::read(file, &Environment::of_process()) {
        Ok(checked) => checked.warnings,
        Err(findings) => findings.0,
    };
    print_findings(&findings, json)?;
    let refused = findings.iter().any(|finding| finding.severity == Severity::Error);
    Ok(if refused { Outcome::Bad } else { Outcome::Good })
}

fn print_findings(findings: &[Finding], json: bool) -> Result<(), Failure> {
    print(&if json { format!("{}\n", json!(findings)) } else { show::findings(findings) })
}

fn print(text: &str) -> Result<(), Failure> {
    let mut output = io::stdout().lock();
    output.write_all(text.as_bytes())?;
    Ok(output.flush()?)
}

/// The terminal, if there is one. `NO_COLOR` is respected.
fn screen() -> Screen {
    let terminal = io::stdout().is_terminal();
    let width = comfy_table::Table::new().width().filter(|_| terminal);
    let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    Screen { width, colour }
}

/// How often a followed log is asked for.
const FOLLOW_EVERY: Duration = Duration::from_millis(300);
/// More than is logged between two questions.
const FOLLOW_LINES: usize = 1000;
