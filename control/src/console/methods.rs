//! The console's methods: who may call what, and what each does with the gateway.

use std::path::Path;

use crossgate_ike::Command;
use serde::Serialize;
use serde_json::{Value, json};

use super::protocol::{Applied, ErrorObject, Method, Rekey, Request, code};
use super::server::Access;
use crate::gateway::Gateway;
use crate::reconcile::ApplyError;

impl Gateway {
    /// Answers one request of a client with these rights.
    ///
    /// # Errors
    /// What the client is told instead of a result.
    pub fn answer(&mut self, access: Access, request: &Request) -> Result<Value, ErrorObject> {
        match method(request)? {
            Method::Status => result(&self.status()),
            Method::Connections => result(&self.connections()),
            Method::Sas => result(&self.sas()),
            Method::Ports => result(&self.ports()),
            Method::Workers => result(&self.worker_views()),
            Method::Counters => result(&self.counters()),
            Method::Log { after, lines } => result(&self.journal.read(after, lines.min(LOG_LINES_MAX))),
            Method::Reset { connection } => {
                may_change(access)?;
                self.reset(&connection)
            }
            Method::Rekey { connection, what } => {
                may_change(access)?;
                self.rekey(&connection, what)
            }
            Method::Apply { file } => {
                may_change(access)?;
                self.apply_for_client(Path::new(&file))
            }
        }
    }

    fn reset(&mut self, name: &str) -> Result<Value, ErrorObject> {
        let id = self.identifiers.connection(name).ok_or_else(|| unknown(name))?;
        tracing::info!(connection = name, "reset by the operator");
        self.command(Command::Reset(id));
        Ok(Value::Null)
    }

    fn rekey(&mut self, name: &str, what: Rekey) -> Result<Value, ErrorObject> {
        let id = self.identifiers.connection(name).ok_or_else(|| unknown(name))?;
        let children: Vec<_> = self
            .sad
            .iter()
            .filter(|(_, pair)| pair.connection == id && pair.sends)
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
            Rekey::Ike => self.command(Command::RekeyIke(id)),
            Rekey::Child => children.into_iter().for_each(|child| self.command(Command::RekeyChild(child))),
        }
        Ok(Value::Null)
    }

    fn apply_for_client(&mut self, file: &Path) -> Result<Value, ErrorObject> {
        match self.apply_file(file) {
            Ok((changes, warnings)) => {
                result(&Applied { changes: changes.iter().map(ToString::to_string).collect(), warnings })
            }
            Err(error) => {
                tracing::warn!(file = %file.display(), %error, "a configuration was refused; nothing has changed");
                let message = format!("refused, nothing has changed: {error}");
                let data = if let ApplyError::Findings(findings) = error { Some(findings.0) } else { None };
                Err(ErrorObject { code: code::REFUSED, message, data })
            }
        }
    }
}

/// Most log lines in one answer.
const LOG_LINES_MAX: usize = 2000;

fn method(request: &Request) -> Result<Method, ErrorObject> {
    let known =
        ["status", "connections", "sas", "ports", "workers", "counters", "log", "reset", "rekey", "apply"];
    if !known.contains(&request.method.as_str()) {
        let message = format!("no method {:?}: there are {}", request.method, known.join(", "));
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

fn may_change(access: Access) -> Result<(), ErrorObject> {
    match access {
        Access::Change => Ok(()),
        Access::Look => Err(ErrorObject {
            code: code::FORBIDDEN,
            message: "this user may look but not change: run the command as root or as the gateway's user"
                .to_owned(),
            data: None,
        }),
    }
}

fn unknown(name: &str) -> ErrorObject {
    let message = format!("no connection {name:?}: `crossgate connections` lists them");
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
        assert_eq!(may_change(Access::Look).unwrap_err().code, code::FORBIDDEN);
        assert_eq!(may_change(Access::Change), Ok(()));
    }
}
