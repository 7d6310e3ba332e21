//! Names of peers, looked up beside the control thread by the system's resolver (`/etc/hosts`, DNS): it blocks for as long as a name server keeps silent. The IKE core
//! asks, and gives a late answer up by itself.

use std::net::{IpAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, unbounded};
use crossgate_ike::event::{ConnectionId, Resolution};

/// Names that are looked up at once: one whose server keeps silent must not hold up the others.
const THREADS: usize = 4;

/// Age at which nobody waits for an answer any more: the IKE core has given up. While name servers are silent, questions must not pile up before the next
/// ones.
const PATIENCE: Duration = Duration::from_secs(10);

/// A name to look up.
struct Question {
    connection: ConnectionId,
    ticket: u64,
    name: Arc<str>,
    asked: Instant,
}

/// Looks names up. Its threads begin with the first name, and end by themselves after the resolver is dropped.
pub struct Resolver {
    questions: Sender<Question>,
    waiting: Receiver<Question>,
    answer: Sender<Resolution>,
    answers: Receiver<Resolution>,
    threads: usize,
    wake: Arc<dyn Fn() + Send + Sync>,
}

impl Resolver {
    /// `wake` is called after each answer, from another thread.
    #[must_use]
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        let ((questions, waiting), (answer, answers)) = (unbounded(), unbounded());
        Self { questions, waiting, answer, answers, threads: 0, wake: Arc::new(wake) }
    }

    /// Looks `name` up for a connection.
    pub fn ask(&mut self, connection: ConnectionId, ticket: u64, name: Arc<str>) {
        if self.threads < THREADS {
            match self.start_thread() {
                Ok(()) => self.threads += 1,
                Err(error) => tracing::error!(%error, "no thread for looking names up"),
            }
        }
        if self.threads == 0 {
            let addresses = Err("the system gives no thread to ask with".to_owned());
            drop(self.answer.send(Resolution { connection, ticket, addresses }));
            return;
        }
        drop(self.questions.send(Question { connection, ticket, name, asked: Instant::now() }));
    }

    /// The next answer, if there is one.
    pub fn poll(&mut self) -> Option<Resolution> {
        self.answers.try_recv().ok()
    }

    fn start_thread(&self) -> std::io::Result<()> {
        let (waiting, answer, wake) = (self.waiting.clone(), self.answer.clone(), Arc::clone(&self.wake));
        let work = move || {
            for Question { connection, ticket, name, asked } in waiting {
                if asked.elapsed() > PATIENCE {
                    continue;
                }
                let addresses = look_up(&name);
                if answer.send(Resolution { connection, ticket, addresses }).is_err() {
                    return;
                }
                wake();
            }
        };
        // Nobody waits for its end: it may be in the middle of a long silence.
        thread::Builder::new().name("resolver".to_owned()).spawn(work).map(drop)
    }
}

/// Every address of a name, in the resolver's order.
fn look_up(name: &str) -> Result<Vec<IpAddr>, String> {
    let found = (name, 0).to_socket_addrs().map_err(|error| error.to_string())?;
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in found.map(|found| found.ip()) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn names_are_answered_with_their_ticket_and_the_loop_is_woken() {
        let (woken, wakes) = mpsc::channel();
        let mut resolver = Resolver::new(move || woken.send(()).expect("the test waits"));
        for ticket in 0..20 {
            resolver.ask(ConnectionId(7), ticket, Arc::from("localhost"));
        }
        let mut tickets = Vec::new();
        while tickets.len() < 20 {
            wakes.recv_timeout(Duration::from_secs(30)).expect("the system knows localhost");
            while let Some(answer) = resolver.poll() {
                let addresses = answer.addresses.expect("localhost has an address");
                assert!(addresses.iter().all(IpAddr::is_loopback) && !addresses.is_empty(), "{addresses:?}");
                assert_eq!(answer.connection, ConnectionId(7));
                tickets.push(answer.ticket);
            }
        }
        tickets.sort_unstable();
        assert_eq!(tickets, (0..20).collect::<Vec<_>>());
        assert_eq!(resolver.threads, THREADS);
    }

    #[test]
    fn a_name_that_is_none_has_a_reason() {
        let why = look_up("no name at all").unwrap_err();
        assert!(!why.is_empty());
    }
}
