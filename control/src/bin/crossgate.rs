//! The operator's client: asks a running gateway, tells it to follow a configuration, and checks configurations without one.
//!
//! One command, one answer, one exit status. What the gateway says is shown by `console::show`, or as it came (`--json`).

#[path = "crossgate/arguments.rs"]
mod arguments;
#[path = "crossgate/measure.rs"]
mod measure;
#[path = "crossgate/session.rs"]
mod session;
#[path = "crossgate/socket.rs"]
mod socket;
#[path = "crossgate/top.rs"]
mod top;

use std::collections::BTreeSet;
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use arguments::{Arguments, Command, Shell};
use clap::{CommandFactory as _, Parser as _};
use crossgate::console::client::{Client, ClientError};
use crossgate::console::protocol::code;
use crossgate::console::show;
use crossgate::console::table::Screen;
use crossgate_config::{Choice as _, Config, Environment, Finding, Severity};
use serde_json::json;
use session::Session;

/// How the command ends; `--help` tells what each number means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Good = 0,
    Bad = 1,
    Usage = 2,
    NoGateway = 3,
    Refused = 4,
    Differs = 5,
}

/// Why the command has no answer.
enum Failure {
    Client(ClientError),
    Output(io::Error),
    Usage { problem: String, remedy: String },
    Refused { problem: String, remedy: String },
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
        Failure::Refused { problem, remedy } => (problem.clone(), remedy.as_str(), Outcome::Bad),
        Failure::Client(error) => {
            let outcome = match error {
                ClientError::NoGateway { .. } | ClientError::Broken(_) => Outcome::NoGateway,
                ClientError::Refused(error) if error.code == code::UNKNOWN_NAME => Outcome::Usage,
                ClientError::Refused(error)
                    if matches!(error.code, code::REFUSED | code::NOT_UP | code::NO_COMMON_GROUND) =>
                {
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
        Command::Skus { measure, core } => return skus(*measure, *core, arguments.json),
        Command::Import { file } => return import(file, arguments.json),
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
    let client = Client::connect(&socket)?;
    match arguments.command {
        Command::Top { interval, count } => {
            let options =
                top::Options { interval: Duration::from_secs(interval), count, json: arguments.json };
            top::run(client, &socket, &options, screen().colour)
        }
        _ => Session { client, json: arguments.json, screen: screen() }.run(&arguments.command),
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

/// The built-in sizes, and what this machine does for each.
fn skus(measure: bool, core: Option<usize>, json: bool) -> Result<Outcome, Failure> {
    let table = crossgate_config::sku::TABLE;
    let of = |row: &crossgate_config::sku::Row| row.limits.bandwidth_mbit_per_s;
    let measured = if measure {
        if !json {
            let seconds = table.iter().map(of).collect::<BTreeSet<_>>().len() + 1;
            writeln!(io::stderr(), "Measuring; this takes {seconds} seconds.")?;
        }
        let limits = table.iter().map(of).chain([None]).collect();
        Some(measure::measure(core, &limits).map_err(|error| Failure::Refused {
            problem: format!("nothing could be measured: {error:#}"),
            remedy: "run it as root, on a core that this process may use (--core)".to_owned(),
        })?)
    } else {
        None
    };
    if json {
        let rows = table.iter().map(|row| {
            let mut row_shown = json!(row);
            if let Some(measured) = &measured {
                row_shown["measured_mbit_per_s"] = json!(measured.get(&of(row)));
            }
            row_shown
        });
        // What is measured is tunnels.
        let of_circuits = crossgate_config::CIRCUIT_SIZES.iter().filter(|_| measured.is_none()).map(|size| {
            let mut size_shown = json!(size);
            size_shown["type"] = json!(crossgate_config::GatewayType::ExpressRoute.word());
            size_shown
        });
        print(&format!("{}\n", rows.chain(of_circuits).collect::<serde_json::Value>()))?;
    } else {
        print(&show::skus(table, measured.as_ref(), screen()))?;
        print(&show::circuit_skus(screen()))?;
    }
    Ok(Outcome::Good)
}

/// Drafts a configuration; what is missing from it is told beside it.
fn import(file: &Path, json: bool) -> Result<Outcome, Failure> {
    let refused = |problem: String, remedy: &str| Failure::Refused { problem, remedy: remedy.to_owned() };
    let unreadable = |error: io::Error| {
        refused(format!("{} cannot be read: {error}", file.display()), "name a file that this user may read")
    };
    let limit = u64::try_from(crossgate_config::import::INPUT_MAX_BYTES).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    let open = std::fs::File::open(file).map_err(unreadable)?;
    open.take(limit + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    let text = String::from_utf8(bytes)
        .map_err(|_| refused(format!("{} is not UTF-8 text", file.display()), "save it as UTF-8"))?;
    let imported = crossgate_config::import::import(&text)
        .map_err(|error| refused(format!("{}: {error}", file.display()), ""))?;
    if json {
        print(&format!("{}\n", json!(imported)))?;
    } else {
        print(&imported.toml)?;
        io::stderr().lock().write_all(show::left_out(&imported.left_out).as_bytes())?;
    }
    Ok(Outcome::Good)
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
