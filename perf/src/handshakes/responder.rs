//! Our responder as a process of its own: one control thread with the IKE core, and a pool of one thread for its jobs, as in the gateway. It ends when its
//! standard input does.

use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, atomic};
use std::thread;

use anyhow::{Context, Result};
use crossgate_ike::config::EndpointConfig;
use crossgate_ike::event::{Command, Event, Input, Output};
use crossgate_ike::job::{Job, JobResult};
use crossgate_ike::{Endpoint, IKE_PORT};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use super::case::{Case, RESPONDER, proof};
use super::core::{Books, DATAGRAM_BYTES, Sockets};

/// Longest sleep of the control thread.
const TICK: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// Answers as many peers as there are, until nobody wants it any more.
pub(super) fn run(case: Case, peers: u32) -> Result<()> {
    let mut responder = Responder::new(case, peers)?;
    println!("ready at {RESPONDER}:{IKE_PORT}");
    std::io::stdout().flush()?;
    let ended = Arc::new(atomic::AtomicBool::new(false));
    let told = Arc::clone(&ended);
    thread::spawn(move || {
        let _ = std::io::stdin().read(&mut [0]);
        told.store(true, atomic::Ordering::Relaxed);
    });
    while !ended.load(atomic::Ordering::Relaxed) {
        responder.turn()?;
    }
    Ok(())
}

struct Responder {
    endpoint: Endpoint,
    books: Books,
    sockets: Sockets,
    jobs: Sender<Job>,
    results: Receiver<JobResult>,
    wake: Arc<rustix::fd::OwnedFd>,
    buffer: Vec<u8>,
}

impl Responder {
    fn new(case: Case, peers: u32) -> Result<Self> {
        let (mut endpoint, mut books) = (Endpoint::new(EndpointConfig::default()), Books::new());
        let proof = proof(case, 0)?;
        for peer in 0..peers {
            let configure = Command::Configure(Box::new(case.responder(peer, &proof)?));
            endpoint.handle(Input::Command(configure), books.now(), &mut books)?;
        }
        let wake = Arc::new(eventfd(0, EventfdFlags::NONBLOCK).context("a descriptor to wake by")?);
        let (jobs, results) = pool(Arc::clone(&wake))?;
        let sockets = Sockets::bind(RESPONDER)?;
        Ok(Self { endpoint, books, sockets, jobs, results, wake, buffer: vec![0; DATAGRAM_BYTES] })
    }

    /// Everything that is there to do, then a sleep until there is more.
    fn turn(&mut self) -> Result<()> {
        while let Some((local, remote, bytes)) = self.sockets.receive(&mut self.buffer)? {
            let input = Input::Datagram { local, remote, bytes };
            self.endpoint.handle(input, self.books.now(), &mut self.books)?;
            self.carry_out()?;
        }
        while let Ok(result) = self.results.try_recv() {
            self.endpoint.handle(Input::Computed(result), self.books.now(), &mut self.books)?;
            self.carry_out()?;
        }
        let now = self.books.now();
        if self.endpoint.poll_timeout().is_some_and(|at| at <= now) {
            self.endpoint.handle(Input::Timeout, now, &mut self.books)?;
            self.carry_out()?;
        }
        let fds = [self.sockets.plain.as_fd(), self.sockets.marked.as_fd(), self.wake.as_fd()];
        let mut fds = fds.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
        poll(&mut fds, Some(&TICK)).or_else(|error| match error {
            rustix::io::Errno::INTR => Ok(0),
            error => Err(error),
        })?;
        // Empty where it was not the pool that woke us.
        let _ = rustix::io::read(&*self.wake, &mut [0; 8]);
        Ok(())
    }

    fn carry_out(&mut self) -> Result<()> {
        while let Some(output) = self.endpoint.poll_output() {
            match output {
                Output::Transmit(transmit) => self.sockets.send(&transmit)?,
                Output::Event(Event::Compute(job)) => self.jobs.send(job).context("the pool is gone")?,
                Output::Event(Event::InstallChild(child)) => {
                    self.books.children.insert(child.id, child);
                }
                Output::Event(Event::RemoveChild { child, .. }) => {
                    self.books.children.remove(&child);
                }
                Output::Event(_) => {}
            }
        }
        Ok(())
    }
}

/// A thread that runs jobs.
fn pool(wake: Arc<rustix::fd::OwnedFd>) -> Result<(Sender<Job>, Receiver<JobResult>)> {
    let (jobs, queue) = mpsc::channel::<Job>();
    let (answer, results) = mpsc::channel();
    thread::Builder::new().name("pool-0".to_owned()).spawn(move || {
        for job in queue {
            if answer.send(job.run()).is_err() || rustix::io::write(&*wake, &1_u64.to_ne_bytes()).is_err() {
                return;
            }
        }
    })?;
    Ok((jobs, results))
}
