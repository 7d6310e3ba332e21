//! The operator's side of the console: one request and one answer a line over the gateway's Unix socket.
//!
//! `crossgate` calls it. Nothing that comes back is trusted: lines are bounded, and JSON is read by serde_json, which ends
//! at 128 levels of nesting.

use std::io::{self, BufRead, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::protocol::{ErrorObject, Method, Response};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens at the socket.
    #[error("no gateway answers at {}: {source}", path.display())]
    NoGateway {
        /// The socket.
        path: PathBuf,
        /// What the kernel says.
        source: io::Error,
    },
    /// The socket is not for this user.
    #[error("this user may not ask the gateway at {}", path.display())]
    NotAllowed {
        /// The socket.
        path: PathBuf,
    },
    /// The gateway went away, or says nothing for a long time.
    #[error("the gateway does not answer: {0}")]
    Broken(#[from] io::Error),
    /// What came is no answer.
    #[error("what answers is no gateway of this version: {0}")]
    Garbage(String),
    /// The gateway answers that it will not.
    #[error("{}", .0.message)]
    Refused(ErrorObject),
}

impl ClientError {
    /// What to do about it; empty where the gateway's own words hold it.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::NoGateway { .. } => "start it with: crossgated FILE, or name its socket with --socket",
            Self::NotAllowed { .. } => "ask as root, or as the user that runs the gateway",
            Self::Broken(_) => "look at its log and whether it runs; then ask again",
            Self::Garbage(_) => {
                "take the crossgate and the crossgated of one version, and the gateway's own socket"
            }
            Self::Refused(_) => "",
        }
    }
}

/// A connection to a gateway.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<UnixStream>,
    last_id: u64,
}

impl Client {
    /// Connects to the socket at `path`.
    ///
    /// # Errors
    /// [`ClientError::NoGateway`] and [`ClientError::NotAllowed`].
    pub fn connect(path: &Path) -> Result<Self, ClientError> {
        let stream = UnixStream::connect(path).map_err(|source| match source.kind() {
            io::ErrorKind::PermissionDenied => ClientError::NotAllowed { path: path.to_owned() },
            _ => ClientError::NoGateway { path: path.to_owned(), source },
        })?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream: BufReader::new(stream), last_id: 0 })
    }

    /// Calls a method and waits for its answer.
    ///
    /// # Errors
    /// All but the two of [`Self::connect`].
    pub fn call(&mut self, method: &Method) -> Result<Value, ClientError> {
        self.last_id += 1;
        let sent = self.stream.get_mut().write_all(&request(method, self.last_id));
        // A gateway without a place for us says so and hangs up, perhaps before it has our request.
        let line = match (read_line(&mut self.stream, ANSWER_MAX_BYTES), sent) {
            (Ok(line), _) => line,
            (Err(_), Err(error)) => return Err(error.into()),
            (Err(error), Ok(())) => return Err(error),
        };
        result(&line, self.last_id)
    }
}

/// Reads a method's answer as its type.
///
/// # Errors
/// [`ClientError::Garbage`] if it is something else.
pub fn typed<T: DeserializeOwned>(answer: &Value) -> Result<T, ClientError> {
    T::deserialize(answer).map_err(|error| ClientError::Garbage(error.to_string()))
}

/// The request's line, newline included.
fn request(method: &Method, id: u64) -> Vec<u8> {
    let mut request = serde_json::to_value(method).expect("methods are plain data");
    request["jsonrpc"] = "2.0".into();
    request["id"] = id.into();
    let mut line = request.to_string().into_bytes();
    line.push(b'\n');
    line
}

/// One line without its newline.
fn read_line(stream: &mut dyn BufRead, max_bytes: u64) -> Result<Vec<u8>, ClientError> {
    let mut line = Vec::new();
    stream.take(max_bytes + 1).read_until(b'\n', &mut line)?;
    if line.pop_if(|last| *last == b'\n').is_some() {
        return Ok(line);
    }
    if u64::try_from(line.len()).unwrap_or(u64::MAX) > max_bytes {
        return Err(ClientError::Garbage(format!("its answer is longer than {max_bytes} bytes")));
    }
    Err(io::Error::from(io::ErrorKind::UnexpectedEof).into())
}

/// The result in an answer to the request `id`.
fn result(line: &[u8], id: u64) -> Result<Value, ClientError> {
    let garbage = |what: &str| ClientError::Garbage(what.to_owned());
    let answer: Value =
        serde_json::from_slice(line).map_err(|error| ClientError::Garbage(error.to_string()))?;
    let has_result = answer.get("result").is_some(); // serde takes `"result": null` for none
    let answer: Response = typed(&answer)?;
    if answer.jsonrpc != "2.0" {
        return Err(garbage("its answer is not of JSON-RPC 2.0"));
    }
    match (answer.error, has_result) {
        (Some(error), false) => Err(ClientError::Refused(error)),
        _ if answer.id != id => Err(garbage("its answer is to another question")),
        (None, true) => Ok(answer.result.unwrap_or(Value::Null)),
        (None, false) => Err(garbage("its answer holds neither result nor error")),
        (Some(_), true) => Err(garbage("its answer holds both result and error")),
    }
}

/// Applying a large configuration takes the gateway a while; everything else is done at once.
const PATIENCE: Duration = Duration::from_secs(60);
/// The answer about every SA of a large gateway. The limit keeps a stranger at the socket from filling our memory.
const ANSWER_MAX_BYTES: u64 = 256 << 20;

#[cfg(test)]
mod tests;
