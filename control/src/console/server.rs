//! The console's socket: accepts clients, takes lines apart, sends answers. Runs inside the control thread's reactor and never blocks it: a client
//! that sends garbage gets an error, one that sends no newline, reads nothing or is quiet for long is cut off, and none holds more than a bounded
//! buffer. Who gets a place is decided in `server/places.rs`.

mod places;

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mio::net::{UnixListener, UnixStream};
use mio::{Interest, Registry, Token};
use rustix::net::sockopt::socket_peercred;
use rustix::process::geteuid;
use serde_json::Value;

use super::protocol::{ErrorObject, LINE_MAX_BYTES, Request, Response, code};
use places::{Admission, admit};

/// A client that neither asks nor takes answers for so long is cut off.
const QUIET_MAX: Duration = Duration::from_secs(300);
/// How often quiet clients are looked for, and a listener that failed is asked again.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Newcomers in one turn.
const ACCEPTS_A_TURN: usize = 32;
/// How often a trouble of the listener is logged at most.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);
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

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// What it may do.
    pub access: Access,
    /// Its user's number, as the kernel tells it.
    pub user_id: u32,
}

struct Client {
    stream: UnixStream,
    caller: Caller,
    /// When it last asked something whole or took some of an answer.
    active_at: Instant,
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
    /// Newcomers may wait although the listener will not say so again.
    more_to_accept: bool,
    looked_at: Instant,
    complained_at: Option<Instant>,
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
            more_to_accept: false,
            looked_at: Instant::now(),
            complained_at: None,
        })
    }

    /// Handles readiness of the listener or of a client; `answer` answers one request. Tokens that are not the server's are ignored.
    pub fn ready(
        &mut self,
        token: Token,
        registry: &Registry,
        mut answer: impl FnMut(Caller, &Request) -> Result<Value, ErrorObject>,
    ) {
        if token == self.listener_token {
            return self.accept(registry, Instant::now());
        }
        let Some(client) = self.clients.get_mut(&token) else { return };
        if client.serve(&mut answer).is_err() || client.is_done() {
            return self.cut_off(token, registry);
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

    /// What is due by the clock: call it every turn. Cuts off clients that have been quiet for long, and takes newcomers that the listener has left
    /// waiting (there were too many for one turn, or the system had no descriptor for them).
    pub fn tick(&mut self, registry: &Registry, now: Instant) {
        if now.saturating_duration_since(self.looked_at) < LOOK_EVERY {
            return;
        }
        self.looked_at = now;
        let quiet = self.clients.iter().filter(|(_, client)| client.quiet_for(now) > QUIET_MAX);
        for token in quiet.map(|(token, _)| *token).collect::<Vec<_>>() {
            self.cut_off(token, registry);
        }
        if self.more_to_accept {
            self.accept(registry, now);
        }
    }

    /// Takes newcomers. The listener reports each readiness once, so whatever ends this early is remembered for [`Self::tick`].
    fn accept(&mut self, registry: &Registry, now: Instant) {
        self.more_to_accept = true;
        for _ in 0..ACCEPTS_A_TURN {
            match self.listener.accept() {
                Ok((stream, _)) => self.seat(stream, registry, now),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.more_to_accept = false;
                    return;
                }
                // The newcomer has gone again; the next one waits.
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted
                    ) => {}
                // No descriptors or no memory: those who wait are asked again later, not at once.
                Err(error) => {
                    return self.complain(now, &format!("a console client cannot be accepted: {error}"));
                }
            }
        }
    }

    /// Gives a newcomer a place, or tells it that there is none.
    fn seat(&mut self, mut stream: UnixStream, registry: &Registry, now: Instant) {
        let Ok(peer) = socket_peercred(&stream) else { return };
        let access = if peer.uid.is_root() || peer.uid == geteuid() { Access::Change } else { Access::Look };
        let seated =
            self.clients.iter().map(|(token, client)| (*token, client.caller.access, client.quiet_for(now)));
        match admit(access, seated) {
            Admission::Free => {}
            Admission::InPlaceOf(quietest) => self.cut_off(quietest, registry),
            Admission::Full => {
                self.complain(now, "turned a console client away: all places are taken");
                turn_away(&mut stream);
                return;
            }
        }
        let token = Token(self.next_token);
        self.next_token += 1;
        if registry.register(&mut stream, token, Interest::READABLE).is_ok() {
            let caller = Caller { access, user_id: peer.uid.as_raw() };
            let (input, output) = (Vec::new(), Vec::new());
            let client = Client { stream, caller, active_at: now, input, output, written: 0, hung_up: false };
            self.clients.insert(token, client);
        }
    }

    fn cut_off(&mut self, token: Token, registry: &Registry) {
        if let Some(mut client) = self.clients.remove(&token) {
            // The descriptor is closed right after; a failure to deregister cannot leave anything behind.
            drop(registry.deregister(&mut client.stream));
        }
    }

    fn complain(&mut self, now: Instant, trouble: &str) {
        if self.complained_at.is_none_or(|at| now.saturating_duration_since(at) >= COMPLAIN_EVERY) {
            self.complained_at = Some(now);
            tracing::warn!(clients = self.clients.len(), "{trouble}");
        }
    }
}

/// Says why there is no place. Whether the newcomer hears it is its own affair.
fn turn_away(stream: &mut UnixStream) {
    let message = "all places at the console are taken: close other clients, or try again".to_owned();
    let error = ErrorObject { code: code::NO_PLACE, message, data: None };
    let response = Response { jsonrpc: "2.0".to_owned(), id: Value::Null, result: None, error: Some(error) };
    let mut line = serde_json::to_vec(&response).expect("responses are maps with text keys");
    line.push(b'\n');
    drop(stream.write(&line));
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
        answer: &mut impl FnMut(Caller, &Request) -> Result<Value, ErrorObject>,
    ) -> io::Result<()> {
        self.flush()?;
        let mut chunks = 0;
        loop {
            while self.wants_input()
                && let Some(line) = self.next_line()
            {
                self.active_at = Instant::now();
                if let Some(response) = respond(self.caller, &line, answer) {
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
                Ok(written) => {
                    self.written += written;
                    self.active_at = Instant::now();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.output.clear();
        self.written = 0;
        Ok(())
    }

    fn quiet_for(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.active_at)
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
    caller: Caller,
    line: &[u8],
    answer: &mut impl FnMut(Caller, &Request) -> Result<Value, ErrorObject>,
) -> Option<Response> {
    let (id, outcome) = match read_request(line) {
        Ok(request) => {
            let outcome = answer(caller, &request);
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
