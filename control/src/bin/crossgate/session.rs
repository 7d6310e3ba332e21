//! Commands that ask or tell a running gateway: one request, one answer, one exit status.

use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use crossgate::console::client::{Client, ClientError, typed};
use crossgate::console::protocol::{
    Applied, Connection, Counter, Log, Method, Period, Planned, Rekey, Sa, Usage, VirtualNetworkGateway, code,
};
use crossgate::console::table::Screen;
use crossgate::console::{show, stages};
use serde_json::{Value, json};

use crate::arguments::{By, Command, ResetWhat};
use crate::{Failure, Outcome, print, print_findings};

/// A gateway being asked.
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) json: bool,
    pub(crate) screen: Screen,
}

impl Session {
    /// Carries out one command.
    pub(crate) fn run(mut self, command: &Command) -> Result<Outcome, Failure> {
        match command {
            Command::Status => self.show(&Method::Status, show::status),
            Command::Networks => {
                self.show(&Method::Networks, |list: &Vec<_>, screen| show::networks(list, screen))
            }
            Command::Gateways => {
                self.show(&Method::Gateways, |list: &Vec<_>, screen| show::gateways(list, screen))
            }
            Command::Gateway { name } => self.gateway(name),
            Command::LocalNetworkGateways => {
                let method = Method::LocalNetworkGateways;
                self.show(&method, |list: &Vec<_>, screen| show::local_network_gateways(list, screen))
            }
            Command::Connections => {
                self.show(&Method::Connections, |list: &Vec<_>, screen| show::connections(list, screen))
            }
            Command::Connection { name } => self.connection(name),
            Command::Sas => self.show(&Method::Sas, |list: &Vec<_>, screen| show::sas(list, screen)),
            Command::Ports => self.show(&Method::Ports, |list: &Vec<_>, screen| show::ports(list, screen)),
            Command::Workers { stages: true } => self.stages(),
            Command::Workers { stages: false } => {
                self.show(&Method::Workers, |list: &Vec<_>, screen| show::workers(list, screen))
            }
            Command::Counters { all } => self.counters(*all),
            Command::Reset { what } => self.reset(what),
            Command::Rekey { connection, what } => {
                let what = if what.ike { Rekey::Ike } else { Rekey::Child };
                let connection = connection.clone();
                let done = "The rekey has begun; see it with: crossgate sas";
                self.tell(&Method::Rekey { connection, what }, done)
            }
            Command::Apply { file } => {
                let method = Method::Apply { file: absolute(file)? };
                self.change(&method, "Nothing has changed in the gateway.\n")
            }
            Command::Diff { file } => self.diff(file),
            Command::Export => self.show(&Method::Export, |toml: &String, _| toml.clone()),
            Command::History { number: None } => {
                self.show(&Method::History, |list: &Vec<_>, screen| show::history(list, &user_name, screen))
            }
            Command::History { number: Some(number) } => {
                self.show(&Method::Past { number: *number }, |toml: &String, _| toml.clone())
            }
            Command::Rollback { number } => {
                let method = Method::Rollback { number: *number };
                let outcome = self.change(&method, "Nothing has changed in the gateway.\n")?;
                if outcome == Outcome::Good && !self.json {
                    print("The configuration file is as it was; to keep this: crossgate export > FILE\n")?;
                }
                Ok(outcome)
            }
            Command::Usage { by, from, until, csv } => {
                let by = match by {
                    By::Month => Period::Month,
                    By::Day => Period::Day,
                };
                self.usage(by, from.as_ref(), until.as_ref(), *csv)
            }
            Command::PeerConfig { connection, system, with_key } => {
                let (connection, system, with_key) = (connection.clone(), system.clone(), *with_key);
                let method = Method::PeerConfig { connection, system, with_key };
                self.show(&method, |text: &String, _| text.clone())
            }
            Command::Log { follow, lines } => self.log(*follow, *lines),
            Command::Top { .. }
            | Command::Check { .. }
            | Command::Skus { .. }
            | Command::Import { .. }
            | Command::Completion { .. } => {
                unreachable!("carried out elsewhere")
            }
        }
    }

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
        let index = position("connection", name, all.iter().map(|connection| connection.name.as_str()))?;
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

    fn gateway(&mut self, name: &str) -> Result<Outcome, Failure> {
        let answer = self.client.call(&Method::Gateways)?;
        let all: Vec<VirtualNetworkGateway> = typed(&answer)?;
        let index = position("gateway", name, all.iter().map(|gateway| gateway.name.as_str()))?;
        let gateway = &all[index];
        if self.json {
            print(&format!("{}\n", answer[index]))?;
        } else {
            let mut connections: Vec<Connection> = typed(&self.client.call(&Method::Connections)?)?;
            connections.retain(|connection| connection.gateway == name);
            print(&show::gateway(gateway, &connections, self.screen))?;
        }
        let is_up = gateway.connections_up == gateway.connections.len();
        Ok(if is_up { Outcome::Good } else { Outcome::Bad })
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

    /// What the workers' stages take, over some time.
    fn stages(&mut self) -> Result<Outcome, Failure> {
        let before: Vec<_> = typed(&self.client.call(&Method::Stages)?)?;
        std::thread::sleep(STAGES_FOR);
        let shares = stages::shares(&before, &typed::<Vec<_>>(&self.client.call(&Method::Stages)?)?);
        print(&if self.json { format!("{}\n", json!(shares)) } else { show::stages(&shares, self.screen) })?;
        Ok(Outcome::Good)
    }

    /// All rows, over as many answers as they take.
    fn usage(
        &mut self,
        by: Period,
        from: Option<&String>,
        until: Option<&String>,
        csv: bool,
    ) -> Result<Outcome, Failure> {
        let mut usage = Usage { rows: Vec::new(), more: true, recorded_at: 0 };
        while usage.more {
            let (from, until, skip) = (from.cloned(), until.cloned(), usage.rows.len());
            let next: Usage = typed(&self.client.call(&Method::Usage { by, from, until, skip })?)?;
            usage.more = next.more;
            usage.recorded_at = next.recorded_at;
            usage.rows.extend(next.rows);
        }
        print(&match (csv, self.json) {
            (true, _) => show::usage_csv(&usage),
            (false, true) => format!("{}\n", json!(usage)),
            (false, false) => show::usage(&usage, self.screen),
        })?;
        Ok(Outcome::Good)
    }

    fn reset(&mut self, what: &ResetWhat) -> Result<Outcome, Failure> {
        match what {
            ResetWhat { connection: Some(connection), .. } => {
                let connection = connection.clone();
                let done = "It is brought up anew; watch it with: crossgate connections";
                self.tell(&Method::Reset { connection }, done)
            }
            ResetWhat { gateway, .. } => {
                let gateway = gateway.clone().unwrap_or_default();
                self.show(&Method::ResetGateway { gateway }, |names: &Vec<String>, _| match names.len() {
                    0 => "The gateway has no connection.\n".to_owned(),
                    _ => format!("Brought up anew: {}\n", names.join(", ")),
                })
            }
        }
    }

    /// Has the gateway follow another configuration.
    fn change(&mut self, method: &Method, unchanged: &str) -> Result<Outcome, Failure> {
        match self.client.call(method) {
            Ok(answer) if self.json => print(&format!("{answer}\n"))?,
            Ok(answer) => print(&show::applied(&typed::<Applied>(&answer)?))?,
            Err(error) => return self.refused(error, unchanged),
        }
        Ok(Outcome::Good)
    }

    fn diff(&mut self, file: &Path) -> Result<Outcome, Failure> {
        let answer = match self.client.call(&Method::Diff { file: absolute(file)? }) {
            Ok(answer) => answer,
            Err(error) => return self.refused(error, ""),
        };
        let planned: Planned = typed(&answer)?;
        print(&if self.json { format!("{answer}\n") } else { show::planned(&planned) })?;
        Ok(if planned.steps.is_empty() { Outcome::Good } else { Outcome::Differs })
    }

    /// Shows the findings of a configuration that was refused; any other error is the caller's.
    fn refused(&self, error: ClientError, unchanged: &str) -> Result<Outcome, Failure> {
        match error {
            ClientError::Refused(error) if error.code == code::REFUSED && error.data.is_some() => {
                print_findings(&error.data.unwrap_or_default(), self.json)?;
                if !self.json {
                    print(unchanged)?;
                }
                Ok(Outcome::Bad)
            }
            error => Err(error.into()),
        }
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

/// The place of `name` among the `names` of a kind of resource.
fn position<'n>(kind: &str, name: &str, names: impl Iterator<Item = &'n str>) -> Result<usize, Failure> {
    let names: Vec<&str> = names.collect();
    names.iter().position(|known| *known == name).ok_or_else(|| {
        let problem = format!("the gateway has no {kind} \"{name}\"");
        let remedy = match names.is_empty() {
            true => "apply a configuration that has it".to_owned(),
            false => format!("name one of: {}", names.join(", ")),
        };
        Failure::Usage { problem, remedy }
    })
}

/// The path as the gateway sees it.
fn absolute(file: &Path) -> Result<String, Failure> {
    let file = std::path::absolute(file)?;
    file.to_str().map(str::to_owned).ok_or_else(|| {
        let problem = format!("the path {} is not UTF-8", file.display());
        Failure::Usage { problem, remedy: "rename the file".into() }
    })
}

/// The user's name on this machine, else its number.
fn user_name(user_id: u32) -> String {
    let known = nix::unistd::User::from_uid(user_id.into()).ok().flatten();
    known.map_or_else(|| user_id.to_string(), |user| user.name)
}

/// How long stages are measured.
const STAGES_FOR: Duration = Duration::from_secs(1);
/// How often a followed log is asked for.
const FOLLOW_EVERY: Duration = Duration::from_millis(300);
/// More than is logged between two questions.
const FOLLOW_LINES: usize = 1000;
