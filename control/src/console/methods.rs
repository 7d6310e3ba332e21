//! The console's methods: who may call what, and what each does with the gateway.

use std::path::Path;

use crossgate_config::peer_config::{KeyText, PeerConfigError, System};
use crossgate_config::{Choice as _, Config, Finding};
use crossgate_ike::Command;
use crossgate_ike::event::ConnectionId;
use serde::Serialize;
use serde_json::{Value, json};

use super::protocol::{Applied, ErrorObject, Method, Past, Planned, PlannedStep, Rekey, Request, code};
use super::server::{Access, Caller};
use crate::clock::unix_seconds;
use crate::gateway::Gateway;
use crate::reconcile::{ApplyError, Cause, Done, HistoryError, RollbackError, Step};
use crate::store::{Entry, Occasion};
use crate::usage::{day_of, days};

impl Gateway {
    /// Answers one request of a client with these rights.
    ///
    /// # Errors
    /// What the client is told instead of a result.
    pub fn answer(&mut self, caller: Caller, request: &Request) -> Result<Value, ErrorObject> {
        match method(request)? {
            Method::Status => result(&self.status()),
            Method::Networks => result(&self.virtual_networks()),
            Method::Gateways => result(&self.virtual_network_gateways()),
            Method::LocalNetworkGateways => result(&self.local_network_gateways()),
            Method::Connections => result(&self.connections()),
            Method::Sas => result(&self.sas()),
            Method::Ports => result(&self.ports()),
            Method::Workers => result(&self.worker_views()),
            Method::Stages => result(&self.stages()),
            Method::Counters => result(&self.counters()),
            Method::Log { after, lines } => result(&self.journal.read(after, lines.min(LOG_LINES_MAX))),
            Method::Reset { connection } => {
                may_change(caller)?;
                self.reset(&connection)
            }
            Method::Rekey { connection, what } => {
                may_change(caller)?;
                self.rekey(&connection, what)
            }
            Method::Apply { file } => {
                may_change(caller)?;
                let cause = Cause { user_id: caller.user_id, occasion: Occasion::Apply };
                self.apply_file(Path::new(&file), cause).map_or_else(|error| refused(&file, error), applied)
            }
            // It reads any file with the gateway's rights and tells what is wrong with it, so it is not for everybody.
            Method::Diff { file } => {
                may_change(caller)?;
                self.plan_file(Path::new(&file)).map_or_else(would_be_refused, planned)
            }
            Method::Export => result(&self.config.to_toml()),
            Method::History => self.history().map_err(no_history).and_then(|entries| result(&past(entries))),
            Method::Past { number } => self.past(number),
            Method::Rollback { number } => {
                may_change(caller)?;
                match self.roll_back(number, caller.user_id) {
                    Ok(done) => applied(done),
                    Err(RollbackError::Apply(error)) => refused("the history", error),
                    Err(RollbackError::History(error)) => Err(no_history(error)),
                }
            }
            Method::Usage { by, from, until, skip } => {
                let today = day_of(unix_seconds());
                let days = days(from.as_deref(), until.as_deref(), today).map_err(|message| ErrorObject {
                    code: code::INVALID_PARAMS,
                    message,
                    data: None,
                })?;
                self.usage(days, by, skip).map_err(no_history).and_then(|usage| result(&usage))
            }
            Method::PeerConfig { connection, system, with_key } => {
                if with_key {
                    may_change(caller)?;
                    tracing::info!(connection, user = caller.user_id, "the shared key is shown to a user");
                }
                let key_text = if with_key { KeyText::Written } else { KeyText::Placeholder };
                peer_config(&self.config, &connection, &system, key_text)
            }
            Method::ResetGateway { gateway } => {
                may_change(caller)?;
                self.reset_gateway(&gateway)
            }
        }
    }

    fn past(&self, number: u64) -> Result<Value, ErrorObject> {
        let entries = self.history().map_err(no_history)?;
        let found = entries.into_iter().find(|(found, _)| *found == number);
        let (_, entry) = found.ok_or_else(|| no_history(HistoryError::NoEntry(number)))?;
        result(&entry.toml)
    }

    fn reset_gateway(&mut self, name: &str) -> Result<Value, ErrorObject> {
        if self.config.circuit_gateways().contains_key(name) {
            let message =
                format!("gateway {name} is of type ExpressRoute: it has no tunnel that could be reset");
            return Err(ErrorObject { code: code::UNKNOWN_NAME, message, data: None });
        }
        if !self.config.gateways().contains_key(name) {
            let names: Vec<&str> = self.config.gateways().keys().map(|name| name.as_str()).collect();
            let message = format!("no gateway {name:?}: there are {}", names.join(", "));
            return Err(ErrorObject { code: code::UNKNOWN_NAME, message, data: None });
        }
        let of_gateway = self.config.connections().values().filter(|one| one.gateway.as_str() == name);
        let names: Vec<String> = of_gateway.map(|connection| connection.name.to_string()).collect();
        for connection in &names {
            self.reset(connection)?;
        }
        result(&names)
    }

    /// The numbers of a connection, one for each of our ends.
    fn ends(&self, name: &str) -> Result<Vec<ConnectionId>, ErrorObject> {
        let ends: Vec<_> = self.identifiers.ends(name).collect();
        if ends.is_empty() { Err(unknown(&self.config, name)) } else { Ok(ends) }
    }

    fn reset(&mut self, name: &str) -> Result<Value, ErrorObject> {
        let ends = self.ends(name)?;
        tracing::info!(connection = name, "reset by the operator");
        ends.into_iter().for_each(|id| self.command(Command::Reset(id)));
        Ok(Value::Null)
    }

    fn rekey(&mut self, name: &str, what: Rekey) -> Result<Value, ErrorObject> {
        let ends = self.ends(name)?;
        let children: Vec<_> = self
            .sad
            .iter()
            .filter(|(_, pair)| ends.contains(&pair.connection))
            // One that only receives is for a worker of the peer's, or the core leaves it alone.
            .filter(|(_, pair)| pair.sends || pair.resource.is_some())
            .map(|(child, _)| child)
            .collect();
        if children.is_empty() {
            let message = format!(
                "connection {name} is not up: see `crossgate connections`, or bring it up with `crossgate reset {name}`"
            );
            return Err(ErrorObject { code: code::NOT_UP, message, data: None });
        }
        tracing::info!(connection = name, ?what, "rekeyed by the operator");
        match what {
            Rekey::Ike => ends.into_iter().for_each(|id| self.command(Command::RekeyIke(id))),
            Rekey::Child => children.into_iter().for_each(|child| self.command(Command::RekeyChild(child))),
        }
        Ok(Value::Null)
    }
}

fn peer_config(config: &Config, name: &str, system: &str, key: KeyText) -> Result<Value, ErrorObject> {
    let connection = config.connections().get(name).ok_or_else(|| unknown(config, name))?;
    let (_, system) = System::WORDS.iter().find(|(word, _)| *word == system).ok_or_else(|| {
        let words: Vec<&str> = System::WORDS.iter().map(|(word, _)| *word).collect();
        let message = format!("no system {system:?}: there are {}", words.join(", "));
        ErrorObject { code: code::INVALID_PARAMS, message, data: None }
    })?;
    let written = config.peer_config(connection, *system, key);
    let refused = |error: PeerConfigError| ErrorObject {
        code: code::NO_COMMON_GROUND,
        message: error.to_string(),
        data: None,
    };
    result(&written.map_err(refused)?)
}

fn applied(done: Done) -> Result<Value, ErrorObject> {
    let trouble = done.entry.as_ref().err().map(ToString::to_string);
    let changes = done.changes.iter().map(ToString::to_string).collect();
    result(&Applied { changes, warnings: done.warnings, entry: done.entry.ok(), trouble })
}

fn planned((steps, warnings): (Vec<Step>, Vec<Finding>)) -> Result<Value, ErrorObject> {
    let step = |step: Step| PlannedStep { change: step.change.planned(), details: step.details };
    result(&Planned { steps: steps.into_iter().map(step).collect(), warnings })
}

fn past(entries: Vec<(u64, Entry)>) -> Vec<Past> {
    let last = entries.last().map(|(number, _)| *number);
    let word = |occasion: Occasion| match occasion {
        Occasion::Start => "start",
        Occasion::Reload => "reload",
        Occasion::Apply => "apply",
        Occasion::Rollback => "rollback",
    };
    let past = |(number, entry): (u64, Entry)| Past {
        number,
        at: entry.at,
        user_id: entry.user_id,
        occasion: word(entry.occasion).to_owned(),
        origin: entry.origin,
        latest: Some(number) == last,
    };
    entries.into_iter().map(past).collect()
}

fn refused(file: &str, error: ApplyError) -> Result<Value, ErrorObject> {
    error.log(Path::new(file));
    not_taken(&error, "refused, nothing has changed")
}

/// Like [`refused`], where nothing was to be changed.
fn would_be_refused(error: ApplyError) -> Result<Value, ErrorObject> {
    not_taken(&error, "this would be refused")
}

fn not_taken(error: &ApplyError, what: &str) -> Result<Value, ErrorObject> {
    let message = format!("{what}: {error}");
    let findings = error.findings();
    let data = (!findings.is_empty()).then(|| findings.to_vec());
    Err(ErrorObject { code: code::REFUSED, message, data })
}

fn no_history(error: HistoryError) -> ErrorObject {
    let code = match error {
        HistoryError::NoEntry(_) | HistoryError::NothingBefore => code::UNKNOWN_NAME,
        HistoryError::NoStore { .. } | HistoryError::Store(_) => code::NO_STORE,
    };
    ErrorObject { code, message: error.to_string(), data: None }
}

const METHODS: &[&str] = &[
    "status",
    "networks",
    "gateways",
    "local_network_gateways",
    "connections",
    "sas",
    "ports",
    "workers",
    "stages",
    "counters",
    "log",
    "reset",
    "reset_gateway",
    "rekey",
    "apply",
    "diff",
    "export",
    "history",
    "past",
    "usage",
    "peer_config",
    "rollback",
];
/// Most log lines in one answer.
const LOG_LINES_MAX: usize = 2000;

fn method(request: &Request) -> Result<Method, ErrorObject> {
    if !METHODS.contains(&request.method.as_str()) {
        let message = format!("no method {:?}: there are {}", request.method, METHODS.join(", "));
        return Err(ErrorObject { code: code::NO_METHOD, message, data: None });
    }
    // Methods without parameters take none, an empty object or null.
    let tagged = match &request.params {
        Value::Null => json!({ "method": request.method }),
        Value::Object(params) if params.is_empty() => json!({ "method": request.method }),
        params => json!({ "method": request.method, "params": params }),
    };
    serde_json::from_value(tagged).map_err(|why| {
        let message = format!("parameters of {}: {why}", request.method);
        ErrorObject { code: code::INVALID_PARAMS, message, data: None }
    })
}

fn may_change(caller: Caller) -> Result<(), ErrorObject> {
    match caller.access {
        Access::Change => Ok(()),
        Access::Look => Err(ErrorObject {
            code: code::FORBIDDEN,
            message: "this user may look but not change: run the command as root or as the gateway's user"
                .to_owned(),
            data: None,
        }),
    }
}

/// No tunnel has this name.
fn unknown(config: &Config, name: &str) -> ErrorObject {
    let message = match config.circuit_connections().contains_key(name) {
        true => format!("connection {name} is of type ExpressRoute: it has no tunnel, no SA and no peer"),
        false => format!("no connection {name:?}: `crossgate connections` lists them"),
    };
    ErrorObject { code: code::UNKNOWN_NAME, message, data: None }
}

fn result(value: &impl Serialize) -> Result<Value, ErrorObject> {
    Ok(serde_json::to_value(value).expect("answers are maps with text keys"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(name: &str, params: Value) -> Request {
        Request { jsonrpc: "2.0".to_owned(), id: None, method: name.to_owned(), params }
    }

    #[test]
    fn methods_are_read_with_their_parameters() {
        assert_eq!(method(&request("status", Value::Null)), Ok(Method::Status));
        assert_eq!(method(&request("status", json!({}))), Ok(Method::Status));
        let rekey = method(&request("rekey", json!({ "connection": "a", "what": "ike" })));
        assert_eq!(rekey, Ok(Method::Rekey { connection: "a".to_owned(), what: Rekey::Ike }));
    }

    #[test]
    fn unknown_methods_and_wrong_parameters_say_what_is_wrong() {
        assert_eq!(method(&request("reboot", Value::Null)).unwrap_err().code, code::NO_METHOD);
        for params in [Value::Null, json!({}), json!([]), json!({ "connection": 1 })] {
            assert_eq!(method(&request("reset", params)).unwrap_err().code, code::INVALID_PARAMS);
        }
    }

    #[test]
    fn only_owners_change() {
        let may = |access| may_change(Caller { access, user_id: 1000 });
        assert_eq!(may(Access::Look).unwrap_err().code, code::FORBIDDEN);
        assert_eq!(may(Access::Change), Ok(()));
    }
}
