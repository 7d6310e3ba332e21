use std::io::{BufRead, BufReader};
use std::time::{Duration, Instant};

use mio::{Events, Poll};
use rustix::thread::{Uid, set_thread_uid};

use super::*;

struct Lab {
    server: Server,
    poll: Poll,
    _directory: tempfile::TempDir,
    path: PathBuf,
}

impl Lab {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let poll = Poll::new().unwrap();
        let server = Server::bind(&path, poll.registry(), Token(10)).unwrap();
        Self { server, poll, _directory: directory, path }
    }

    fn connect(&self) -> std::os::unix::net::UnixStream {
        let client = std::os::unix::net::UnixStream::connect(&self.path).unwrap();
        client.set_nonblocking(true).unwrap();
        client
    }

    /// Lets the server run until `done` says so; the answers echo the method's name.
    fn run_until(&mut self, mut done: impl FnMut(&Server) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        let mut events = Events::with_capacity(16);
        while !done(&self.server) {
            assert!(Instant::now() < deadline, "the server did not get there");
            self.poll.poll(&mut events, Some(Duration::from_millis(1))).unwrap();
            for event in &events {
                self.server.ready(event.token(), self.poll.registry(), |_, request| {
                    Ok(Value::String(request.method.clone()))
                });
            }
            if self.server.more_to_accept {
                self.server.tick(self.poll.registry(), Instant::now());
            }
        }
    }

    fn ask(&mut self, lines: &str) -> Vec<String> {
        let mut client = self.connect();
        client.write_all(lines.as_bytes()).unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        let mut seen = false;
        self.run_until(|server| {
            seen |= !server.clients.is_empty();
            seen && server.clients.is_empty()
        });
        BufReader::new(client).lines().map(Result::unwrap).collect()
    }
}

#[test]
fn each_line_gets_its_answer_in_order() {
    let answers = Lab::new().ask(concat!(
        r#"{"jsonrpc":"2.0","id":1,"method":"status"}"#,
        "\n",
        r#"{"jsonrpc":"2.0","method":"silent"}"#,
        "\n",
        r#"{"jsonrpc":"2.0","id":"x","method":"sas","params":{}}"#,
        "\n"
    ));
    assert_eq!(
        answers,
        [r#"{"jsonrpc":"2.0","id":1,"result":"status"}"#, r#"{"jsonrpc":"2.0","id":"x","result":"sas"}"#]
    );
}

#[test]
fn garbage_gets_an_error_and_the_next_line_is_served() {
    let deep = "[".repeat(100_000);
    let answers = Lab::new().ask(&format!(
        "\u{1}garbage\n{deep}\n{{\"id\":1}}\n{{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"a\"}}\n{{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"ok\"}}\n"
    ));
    let codes: Vec<_> = answers
        .iter()
        .map(|line| serde_json::from_str::<Response>(line).unwrap().error.map(|error| error.code))
        .collect();
    let (parse, invalid) = (Some(code::PARSE), Some(code::INVALID_REQUEST));
    assert_eq!(codes, [parse, parse, invalid, invalid, None]);
}

#[test]
fn a_client_without_newline_is_cut_off() {
    let mut lab = Lab::new();
    let mut client = lab.connect();
    let chunk = vec![b'x'; 64 << 10];
    let mut seen = false;
    lab.run_until(|server| {
        // The socket's buffer may be full for now, or closed at the end: both are what this test is about.
        drop(client.write(&chunk));
        seen |= !server.clients.is_empty();
        seen && server.clients.is_empty()
    });
}

#[test]
fn a_client_that_never_reads_is_not_served_without_bound() {
    let mut lab = Lab::new();
    let mut client = lab.connect();
    let method = "m".repeat(10_000);
    let line = format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"{method}\"}}\n").repeat(10);
    let mut stalled = 0;
    lab.run_until(|server| {
        stalled = if client.write(line.as_bytes()).is_err() { stalled + 1 } else { 0 };
        let unread =
            server.clients.values().map(|client| client.output.len() + client.input.len()).sum::<usize>();
        assert!(unread < 4 * UNREAD_MAX_BYTES, "{unread} bytes are held for it");
        stalled > 20
    });
    // Others are served meanwhile.
    let answers = lab.connect();
    let mut other = answers.try_clone().unwrap();
    other.write_all(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"status\"}\n").unwrap();
    let mut reader = BufReader::new(answers);
    let mut line = String::new();
    lab.run_until(|_| reader.read_line(&mut line).is_ok_and(|read| read > 0));
    assert!(line.contains("\"result\":\"status\""));
}

#[test]
fn a_second_gateway_does_not_take_the_socket_and_a_dead_ones_is_replaced() {
    let lab = Lab::new();
    let Err(error) = Server::bind(&lab.path, lab.poll.registry(), Token(99)) else {
        panic!("the socket was taken over")
    };
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    let stale = lab.path.with_extension("stale");
    drop(std::os::unix::net::UnixListener::bind(&stale).unwrap());
    Server::bind(&stale, lab.poll.registry(), Token(200)).unwrap();
    let mode = std::fs::metadata(&lab.path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, SOCKET_MODE);
}

#[test]
fn a_client_that_asks_without_end_leaves_the_thread_in_between() {
    let mut lab = Lab::new();
    let mut client = lab.connect();
    let line = "{\"jsonrpc\":\"2.0\",\"method\":\"x\"}\n";
    let asked = 100_000 / line.len();
    client.write_all(line.repeat(asked).as_bytes()).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    let (mut served, mut most) = (0, 0);
    let mut events = Events::with_capacity(16);
    while served < asked {
        assert!(Instant::now() < deadline, "{served} of {asked} were served");
        lab.poll.poll(&mut events, Some(Duration::from_millis(1))).unwrap();
        for event in &events {
            let before = served;
            lab.server.ready(event.token(), lab.poll.registry(), |_, _| {
                served += 1;
                Ok(Value::Null)
            });
            most = most.max(served - before);
        }
    }
    assert!(most <= CHUNKS_A_TURN * CHUNK_BYTES / line.len() + 1, "{most} in one turn");
}

/// `count` connections of user 65534 (nobody), who may look only. Needs root, as the end-to-end tests do.
fn strangers(lab: &Lab, count: usize) -> Vec<std::os::unix::net::UnixStream> {
    let directory = lab.path.parent().unwrap();
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::set_permissions(&lab.path, std::fs::Permissions::from_mode(0o666)).unwrap();
    let path = lab.path.clone();
    let connect = move || {
        // Linux gives each thread a user of its own; this one ends with the thread.
        set_thread_uid(Uid::from_raw(65534)).unwrap();
        (0..count).map(|_| std::os::unix::net::UnixStream::connect(&path).unwrap()).collect()
    };
    std::thread::spawn(connect).join().unwrap()
}

fn asks_status(client: &mut std::os::unix::net::UnixStream) {
    client.write_all(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"status\"}\n").unwrap();
}

#[test]
fn a_crowd_that_only_looks_does_not_lock_the_owner_out() {
    if !geteuid().is_root() {
        return;
    }
    let mut lab = Lab::new();
    let crowd = strangers(&lab, places::PLACES + 20);
    lab.run_until(|server| server.clients.len() == places::LOOK_PLACES && !server.more_to_accept);
    assert!(lab.server.clients.values().all(|client| client.caller.access == Access::Look));
    assert_eq!(lab.server.clients.values().next().unwrap().caller.user_id, 65534);
    let mut line = String::new();
    BufReader::new(crowd.last().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("all places at the console are taken"), "{line}");
    let mut owner = lab.connect();
    asks_status(&mut owner);
    let mut reader = BufReader::new(owner);
    let mut line = String::new();
    lab.run_until(|_| reader.read_line(&mut line).is_ok_and(|read| read > 0));
    assert!(line.contains("\"result\":\"status\""), "{line}");
}

#[test]
fn a_client_that_is_quiet_for_long_is_cut_off_and_one_that_asks_is_not() {
    let mut lab = Lab::new();
    let mut clients = [lab.connect(), lab.connect()];
    lab.run_until(|server| server.clients.len() == 2);
    let start = Instant::now();
    lab.server.clients.values_mut().for_each(|client| client.active_at = start - QUIET_MAX);
    asks_status(&mut clients[0]);
    lab.run_until(|server| server.clients.values().any(|client| client.active_at >= start));
    lab.server.tick(lab.poll.registry(), Instant::now() + LOOK_EVERY);
    let left: Vec<_> = lab.server.clients.values().map(|client| client.active_at >= start).collect();
    assert_eq!(left, [true]);
}
