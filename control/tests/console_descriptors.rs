//! The console when the system has no descriptor left for a newcomer. A test program of its own: the limit is the whole process's.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crossgate::console::server::Server;
use mio::{Events, Poll, Token};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::Value;

/// One turn of the control thread: what is ready, then what is due.
fn turn(server: &mut Server, poll: &mut Poll, at_most: Duration) -> usize {
    let mut events = Events::with_capacity(16);
    poll.poll(&mut events, Some(at_most)).expect("polling works");
    for event in &events {
        server.ready(event.token(), poll.registry(), |_, request| Ok(Value::String(request.method.clone())));
    }
    server.tick(poll.registry(), Instant::now());
    events.iter().count()
}

#[test]
fn without_descriptors_newcomers_wait_without_spinning_and_are_served_when_there_are_some() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("gw.sock");
    let mut poll = Poll::new().expect("a poll");
    let mut server = Server::bind(&path, poll.registry(), Token(16)).expect("a socket");
    let mut client = UnixStream::connect(&path).expect("the backlog takes it");
    client.set_nonblocking(true).expect("a socket can");
    client.write_all(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"status\"}\n").expect("the socket takes it");
    let mut answers = BufReader::new(client);

    // The lowest free number is the limit: nothing can be opened any more.
    let free = std::fs::File::open("/dev/null").expect("it is there").as_raw_fd();
    let before = getrlimit(Resource::Nofile);
    let limit = u64::try_from(free).expect("descriptors are not negative");
    setrlimit(Resource::Nofile, Rlimit { current: Some(limit), ..before }).expect("lower is allowed");
    let mut line = String::new();
    let mut reported = 0;
    let until = Instant::now() + Duration::from_millis(600);
    while Instant::now() < until {
        reported += turn(&mut server, &mut poll, Duration::from_millis(50));
        assert!(answers.read_line(&mut line).is_err(), "nobody can answer: {line}");
    }
    assert_eq!(reported, 1, "the listener is asked again by the clock, not in a loop");

    setrlimit(Resource::Nofile, before).expect("up to what it was is allowed");
    let deadline = Instant::now() + Duration::from_secs(10);
    while !answers.read_line(&mut line).is_ok_and(|read| read > 0) {
        assert!(Instant::now() < deadline, "the newcomer is not served");
        turn(&mut server, &mut poll, Duration::from_millis(50));
    }
    assert!(line.contains("\"result\":\"status\""), "{line}");
}
