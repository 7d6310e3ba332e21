//! The control thread's loop: console, signals and the gateway's turns. It sleeps until one of them needs it; rings have no file descriptor, so it
//! looks at them at least once a millisecond.

use std::io::{self, Read};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::time::{Duration, Instant};

use mio::net::UnixStream;
use mio::{Events, Interest, Poll, Token, Waker};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level::pipe;

use crate::console::server::Server;
use crate::gateway::Gateway;
use crate::reconcile::{Cause, log_findings, own_user};
use crate::store::Occasion;

const WAKER: Token = Token(0);
const HANGUP: Token = Token(1);
const TERMINATE: Token = Token(2);
const CONSOLE: Token = Token(16);

/// Longest sleep: how late a punted packet may be noticed.
const RINGS_EVERY: Duration = Duration::from_millis(1);
/// The same while workers owe an answer.
const ANSWERS_EVERY: Duration = Duration::from_micros(50);
/// How long peers may take to answer our DELETE at the end.
const FAREWELL: Duration = Duration::from_secs(2);

/// What the loop waits on.
pub struct Reactor {
    poll: Poll,
    hangup: UnixStream,
    terminate: UnixStream,
}

/// Why the gateway ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// SIGINT or SIGTERM.
    Asked,
    /// A thread is gone, which never happens by itself.
    ThreadDied,
}

impl Reactor {
    /// Takes over SIGHUP, SIGINT and SIGTERM.
    ///
    /// # Errors
    /// If the system gives no descriptors.
    pub fn new() -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut hangup = signal_stream(&[SIGHUP])?;
        let mut terminate = signal_stream(&[SIGINT, SIGTERM])?;
        poll.registry().register(&mut hangup, HANGUP, Interest::READABLE)?;
        poll.registry().register(&mut terminate, TERMINATE, Interest::READABLE)?;
        Ok(Self { poll, hangup, terminate })
    }

    /// Wakes the loop from another thread.
    ///
    /// # Errors
    /// If the system gives no descriptor. Once a reactor only.
    pub fn waker(&self) -> io::Result<Waker> {
        Waker::new(self.poll.registry(), WAKER)
    }

    /// Listens for the console on `socket`.
    ///
    /// # Errors
    /// See [`Server::bind`].
    pub fn console(&self, socket: &std::path::Path) -> io::Result<Server> {
        Server::bind(socket, self.poll.registry(), CONSOLE)
    }

    /// Runs the gateway until it is asked to end, then deletes its SAs at their peers.
    ///
    /// # Errors
    /// If the system's readiness call fails, which leaves nothing to wait on.
    pub fn run(&mut self, gateway: &mut Gateway, console: &mut Server) -> io::Result<End> {
        let mut events = Events::with_capacity(64);
        let mut farewell: Option<Instant> = None;
        loop {
            let busy = gateway.turn();
            if !gateway.threads_run() {
                return Ok(End::ThreadDied);
            }
            if farewell.is_some_and(|until| gateway.is_shut_down() || Instant::now() > until) {
                return Ok(End::Asked);
            }
            let sleep = match (busy, gateway.is_waiting()) {
                (true, _) => Duration::ZERO,
                (false, true) => ANSWERS_EVERY,
                (false, false) => gateway.idle_for().min(RINGS_EVERY),
            };
            match self.poll.poll(&mut events, Some(sleep)) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            for event in &events {
                match event.token() {
                    WAKER => {}
                    HANGUP => {
                        drain(&mut self.hangup);
                        reload(gateway);
                    }
                    TERMINATE => {
                        drain(&mut self.terminate);
                        if farewell.is_none() {
                            gateway.shut_down();
                            farewell = Some(Instant::now() + FAREWELL);
                        }
                    }
                    token => console.ready(token, self.poll.registry(), |caller, request| {
                        gateway.answer(caller, request)
                    }),
                }
            }
            console.tick(self.poll.registry(), Instant::now());
        }
    }
}

/// Reads the file again. A bad file changes nothing.
fn reload(gateway: &mut Gateway) {
    let file = gateway.config_file.clone();
    let cause = Cause { user_id: own_user(), occasion: Occasion::Reload };
    match gateway.apply_file(&file, cause) {
        Ok(done) => {
            log_findings(&done.warnings);
            tracing::info!(file = %file.display(), changes = done.changes.len(), "read the configuration again");
        }
        Err(error) => error.log(&file),
    }
}

fn signal_stream(signals: &[i32]) -> io::Result<UnixStream> {
    let (read, write) = StdUnixStream::pair()?;
    read.set_nonblocking(true)?;
    for signal in signals {
        pipe::register(*signal, write.try_clone()?)?;
    }
    Ok(UnixStream::from_std(read))
}

fn drain(stream: &mut UnixStream) {
    let mut bytes = [0; 64];
    while matches!(stream.read(&mut bytes), Ok(read) if read > 0) {}
}
