//! The console's socket: accepts clients, takes lines apart, sends answers. Runs inside the control thread's reactor and never blocks it: a client
//! that sends garbage gets an error, one that sends no newline or reads nothing is cut off, and none holds more than a bounded buffer.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use mio::net::{UnixListener, UnixStream};
use mio::{Interest, Registry, Token};
use rustix::net::sockopt::socket_peercred;
use rustix::process::geteuid;
use serde_json::Value;

use super::protocol::{ErrorObject, LINE_MAX_BYTES, Request, Response, code};

/// Most clients at once; more are turned away.
const CLIENTS_MAX: usize = 64;
/// A client whose unread answers exceed this is not read from until it has taken them.
const UNREAD_MAX_BYTES: usize = 1 << 20;
/// Reads of one client in one turn, of [`CHUNK_BYTES`] each: then the gateway's own work is due, and the other clients'.
const CHUNKS_A_TURN: usize = 4;
const CHUNK_BYTES: usize = 16 << 10;
/// Root and the gateway's user own the socket; its group may look.
const SOCKET_MODE: u32 = 0o660;

/// What a client may do, by its user (`SO_PEERCRED`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Ask.
    Look,
    /// Ask and change: root, and the user that the gateway runs as.
    Change,
}

struct Client {
    stream: UnixStream,
    access: Access,
    input: Vec<u8>,
    output: Vec<u8>,
    written: usize,
    hung_up: bool,
}

/// The listening socket with its clients.
pub struct Server {
    listener: UnixListener,
    path: PathBuf,
    clients: HashMap<Token, Client>,
    listener_token: Token,
    next_token: usize,
}

impl Server {
    /// Listens on `path`. `first_token` and the numbers above are the server's.
    ///
    /// # Errors
    /// If another gateway listens there, or the socket cannot be made.
    pub fn bind(path: &Path, registry: &Registry, first_token: Token) -> io::Result<Self> {
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        remove_stale(path)?;
        let mut listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(SOCKET_MODE))?;
        registry.register(&mut listener, first_token, Interest::READABLE)?;
        let next_token = first_token.0 + 1;
        Ok(Self {
            listener,
            path: path.to_owned(),
            clients: HashMap::new(),
            listener_token: first_token,
            next_token,
        })
    }

    /// Handles readiness of the listener or of a client; `answer` answers one request. Tokens that are not the server's are ignored.
    pub fn ready(
        &mut self,
        token: Token,
        registry: &Registry,
        mut answer: impl FnMut(Access, &Request) -> Result<Value, ErrorObject>,
    ) {
        if token == self.listener_token {
            return self.accept(registry);
        }
        let Some(client) = self.clients.get_mut(&token) else { return };
        if client.serve(&mut answer).is_err() || client.is_done() {
            if let Some(mut client) = self.clients.remove(&token) {
                // The descriptor is closed right after; a failure to deregister cannot leave anything behind.
                drop(registry.deregister(&mut client.stream));
            }
            return;
        }
        let interest = match (client.wants_input(), client.has_output()) {
            (_, false) => Interest::READABLE,
            (true, true) => Interest::READABLE | Interest::WRITABLE,
            (false, true) => Interest::WRITABLE,
        };
        if registry.reregister(&mut client.stream, token, interest).is_err() {
            self.clients.remove(&token);
        }
    }

    fn accept(&mut self, registry: &Registry) {
        while let Ok((mut stream, _)) = self.listener.accept() {
            if self.clients.len() >= CLIENTS_MAX {
                tracing::warn!(clients = CLIENTS_MAX, "turned a console client away: too many at once");
                continue;
            }
            let Ok(peer) = socket_peercred(&stream) else { continue };
            let access =
                if peer.uid.is_root() || peer.uid == geteuid() { Access::Change } else { Access::Look };
            let token = Token(self.next_token);
            self.next_token += 1;
            if registry.register(&mut stream, token, Interest::READABLE).is_ok() {
                let client = Client {
                    stream,
                    access,
                    input: Vec::new(),
                    output: Vec::new(),
                    written: 0,
                    hung_up: false,
                };
                self.clients.insert(token, client);
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Gone already if the directory was removed; then there is nothing to clean up.
        drop(std::fs::remove_file(&self.path));
    }
}

/// Removes a socket that nobody listens on any more (the gateway was killed).
fn remove_stale(path: &Path) -> io::Result<()> {
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "another gateway listens there")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
        Err(error) => Err(error),
    }
}

impl Client {
    fn serve(
        &mut self,
        answer: &mut impl FnMut(Access, &Request) -> Result<Value, ErrorObject>,
    ) -> io::Result<()> {
        self.flush()?;
        let mut chunks = 0;
        loop {
            while self.wants_input()
                && let Some(line) = self.next_line()
            {
                if let Some(response) = respond(self.access, &line, answer) {
                    serde_json::to_writer(&mut self.output, &response)?;
                    self.output.push(b'\n');
                }
            }
            self.flush()?;
            // What is left to read wakes us again: registering anew reports it.
            if !self.wants_input() || self.hung_up || chunks == CHUNKS_A_TURN {
                return Ok(());
            }
            chunks += 1;
            if self.input.len() > LINE_MAX_BYTES {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "line too long"));
            }
            let mut chunk = [0; CHUNK_BYTES];
            match self.stream.read(&mut chunk) {
                Ok(0) => self.hung_up = true,
                Ok(read) => self.input.extend_from_slice(&chunk[..read]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn next_line(&mut self) -> Option<Vec<u8>> {
        let end = self.input.iter().position(|byte| *byte == b'\n')?;
        let rest = self.input.split_off(end + 1);
        let mut line = std::mem::replace(&mut self.input, rest);
        line.pop();
        Some(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.has_output() {
            match self.stream.write(&self.output[self.written..]) {
                Ok(written) => self.written += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.output.clear();
        self.written = 0;
        Ok(())
    }

    fn has_output(&self) -> bool {
        self.written < self.output.len()
    }

    fn wants_input(&self) -> bool {
        self.output.len() - self.written < UNREAD_MAX_BYTES
    }

    fn is_done(&self) -> bool {
        self.hung_up && !self.has_output()
    }
}

/// The answer to one line; none for a notification.
fn respond(
    access: Access,
    line: &[u8],
    answer: &mut impl FnMut(Access, &Request) -> Result<Value, ErrorObject>,
) -> Option<Response> {
    let (id, outcome) = match read_request(line) {
        Ok(request) => {
            let outcome = answer(access, &request);
            (request.id?, outcome)
        }
        Err(error) => (Value::Null, Err(error)),
    };
    let (result, error) = match outcome {
        Ok(result) => (Some(result), None),
        Err(error) => (None, Some(error)),
    };
    Some(Response { jsonrpc: "2.0".to_owned(), id, result, error })
}

fn read_request(line: &[u8]) -> Result<Request, ErrorObject> {
    let error = |code, message: String| ErrorObject { code, message, data: None };
    let value: Value = serde_json::from_slice(line).map_err(|why| {
        error(code::PARSE, format!("not JSON ({why}): send one JSON-RPC 2.0 request a line"))
    })?;
    let request: Request = serde_json::from_value(value).map_err(|why| {
        error(
            code::INVALID_REQUEST,
            format!("not a request ({why}): it needs jsonrpc, id, method and params"),
        )
    })?;
    if request.jsonrpc != "2.0" {
        return Err(error(code::INVALID_REQUEST, "jsonrpc is not \"2.0\"".to_owned()));
    }
    Ok(request)
}

#[cfg(test)]
mod tests;
