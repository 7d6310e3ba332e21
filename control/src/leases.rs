//! Addresses of clients over a restart: what changes in the IKE core's leases goes into the store, by a thread of its own, so that no handshake waits for a disk.
//! What changes while a batch is written is the next batch: a rush of clients costs a few writes.
//!
//! Who is killed loses what was not on the disk yet, some milliseconds' worth. Nobody is harmed: the sessions are gone as well, and such a client gets an
//! address that is free. `gateway/leases.rs` feeds this and gives the core back what was kept.

use std::net::IpAddr;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, unbounded};
use crossgate_ike::environment::Instant;
use crossgate_ike::identity::Identity;

use crate::store::{LeaseChanges, Store, StoreError};

/// How long after a start nobody else gets an address that a client had before: clients notice a restart after some minutes, people later.
pub const GRACE: Duration = Duration::from_secs(3600);
/// How long after a write that failed the next one is tried.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// Has leases kept.
#[derive(Debug, Default)]
pub struct Keeper {
    /// What is not on its way to the disk.
    pending: LeaseChanges,
    writer: Option<Writer>,
    retry_at: Instant,
    /// Whether the last write failed: said once.
    fails: bool,
}

/// The thread that writes.
#[derive(Debug)]
struct Writer {
    batches: Sender<LeaseChanges>,
    answers: Receiver<Answer>,
    is_writing: bool,
    thread: JoinHandle<()>,
}

/// A batch that could not be written comes back.
type Answer = Result<(), (LeaseChanges, StoreError)>;

impl Keeper {
    /// Begins to write into `store`; without one, nothing is kept.
    #[must_use]
    pub fn start(store: Option<Store>) -> Self {
        let writer = store.and_then(|store| {
            let started = Writer::start(store);
            let untold = |error: std::io::Error| tracing::error!(%error, "no thread to keep clients' addresses for a restart");
            started.map_err(untold).ok()
        });
        Self { writer, ..Self::default() }
    }

    /// Whose an address of a connection is from now on; `None`: nobody's.
    pub fn put(&mut self, connection: String, address: IpAddr, user: Option<Identity>) {
        if self.writer.is_some() {
            self.pending.insert((connection, address), user);
        }
    }

    /// Has the next batch written, if the one before is.
    pub fn turn(&mut self, now: Instant) {
        let Some(writer) = &mut self.writer else { return };
        if let Ok(answer) = writer.answers.try_recv() {
            writer.is_writing = false;
            let failed = answer.err();
            let failed_before = std::mem::replace(&mut self.fails, failed.is_some());
            if let Some((batch, error)) = failed {
                self.retry_at = now + RETRY_AFTER;
                for (key, user) in batch {
                    self.pending.entry(key).or_insert(user);
                }
                if !failed_before {
                    tracing::error!("{NOT_KEPT}: {error}; {}", error.remedy());
                }
            }
        }
        if !writer.is_writing && !self.pending.is_empty() && self.retry_at <= now {
            writer.is_writing = writer.batches.send(std::mem::take(&mut self.pending)).is_ok();
        }
    }

    /// Waits until everything is written.
    pub fn finish(mut self) {
        let Some(Writer { batches, answers, thread, .. }) = self.writer.take() else { return };
        // Its only receiver lives as long as the thread; what a dead one left unwritten is told below.
        let is_sent = self.pending.is_empty() || batches.send(self.pending).is_ok();
        drop(batches);
        let is_ended = thread.join().is_ok();
        let failed = answers.try_iter().find_map(Result::err).map(|(_, error)| error);
        if let Some(error) = failed {
            tracing::error!("{NOT_KEPT}: {error}; {}", error.remedy());
        } else if !is_sent || !is_ended {
            tracing::error!("{NOT_KEPT}: the thread that writes has ended");
        }
    }
}

const NOT_KEPT: &str = "clients' addresses cannot be kept for a restart";

impl Writer {
    fn start(store: Store) -> std::io::Result<Self> {
        let ((batches, waiting), (answer, answers)) = (unbounded::<LeaseChanges>(), unbounded::<Answer>());
        let work = move || {
            for batch in waiting {
                let written = store.change_leases(&batch).map_err(|error| (batch, error));
                if answer.send(written).is_err() {
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name("leases".to_owned()).spawn(work)?;
        Ok(Self { batches, answers, is_writing: false, thread })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant as Clock;

    use super::*;

    fn user(number: u8) -> Option<Identity> {
        Some(Identity::KeyId(vec![number]))
    }

    #[test]
    fn whatever_was_put_is_in_the_store_at_the_end_in_its_last_state() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("gw.redb");
        let mut keeper = Keeper::start(Some(Store::open(&path).unwrap()));
        for round in 0..20 {
            for host in 0..50_u8 {
                let is_left = (round + host) % 2 == 0;
                keeper.put("clients".to_owned(), [10, 9, 0, host].into(), user(round).filter(|_| is_left));
                keeper.turn(Instant::default());
            }
        }
        keeper.finish();
        let leases = Store::open(&path).unwrap().leases().unwrap();
        assert_eq!(leases.len(), 25);
        for ((_, address), found) in leases {
            let IpAddr::V4(address) = address else { panic!("{address}") };
            assert!(address.octets()[3] % 2 == 1 && Some(found) == user(19), "{address}");
        }
    }

    #[test]
    fn it_reaches_the_disk_while_the_gateway_runs() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("gw.redb")).unwrap();
        let mut keeper = Keeper::start(Some(store.clone()));
        let until = Clock::now() + Duration::from_secs(30);
        for host in [1, 2] {
            keeper.put("clients".to_owned(), [10, 9, 0, host].into(), user(host));
            while store.leases().unwrap().len() < usize::from(host) {
                keeper.turn(Instant::default());
                assert!(Clock::now() < until, "it is not written");
            }
        }
        keeper.finish();
    }

    #[test]
    fn what_failed_is_tried_again_unless_something_later_took_its_place() {
        let ((batches, waiting), (answer, answers)) = (unbounded::<LeaseChanges>(), unbounded::<Answer>());
        let thread = thread::spawn(|| ());
        let writer = Writer { batches, answers, is_writing: false, thread };
        let mut keeper = Keeper { writer: Some(writer), ..Keeper::default() };
        let (one, two) =
            (("clients".to_owned(), [10, 9, 0, 1].into()), ("clients".to_owned(), [10, 9, 0, 2].into()));
        keeper.put(one.0.clone(), one.1, user(1));
        keeper.put(two.0.clone(), two.1, user(2));
        keeper.turn(Instant::default());
        let batch = waiting.try_recv().unwrap();
        keeper.put(two.0.clone(), two.1, None);
        keeper.turn(Instant::default());
        assert!(waiting.is_empty(), "one at a time");
        let full = redb::Error::Io(std::io::ErrorKind::StorageFull.into());
        answer.send(Err((batch, StoreError::Use(full)))).unwrap();
        keeper.turn(Instant::default());
        assert!(waiting.is_empty(), "not at once");
        keeper.turn(Instant::default() + RETRY_AFTER);
        assert_eq!(waiting.try_recv().unwrap(), LeaseChanges::from([(one, user(1)), (two, None)]));
    }
}
