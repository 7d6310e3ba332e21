//! Slow maths beside the control thread: the IKE core's jobs run here, so that one handshake never delays the next timer. What established peers need goes
//! before what strangers ask for: a flood of handshakes delays no rekey. Results come back in any order.

use std::thread::{self, JoinHandle};

use crossbeam::channel::{Receiver, Sender, select, unbounded};
use crossgate_ike::job::{Job, JobResult};

/// Threads that run jobs. Dropping the pool lets them finish what they hold and ends them.
pub struct Pool {
    jobs: Option<Queues<Sender<Job>>>,
    results: Receiver<JobResult>,
    threads: Vec<JoinHandle<()>>,
}

/// Both ways into the pool, or both ends of them.
#[derive(Clone)]
struct Queues<T> {
    /// For peers that are known.
    established: T,
    /// For peers that have not said yet who they are.
    strangers: T,
}

impl Pool {
    /// Starts `threads` threads, at least one. `wake` is called after each result, from a pool thread.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(threads: usize, wake: impl Fn() + Clone + Send + 'static) -> std::io::Result<Self> {
        let (known, strange) = (unbounded(), unbounded());
        let jobs = Queues { established: known.0, strangers: strange.0 };
        let queues = Queues { established: known.1, strangers: strange.1 };
        let (answer, results) = unbounded();
        let spawn = |index| {
            let (queues, answer, wake) = (queues.clone(), answer.clone(), wake.clone());
            thread::Builder::new().name(format!("pool-{index}")).spawn(move || {
                while let Some(job) = queues.next() {
                    if answer.send(job.run()).is_err() {
                        return;
                    }
                    wake();
                }
            })
        };
        let threads = (0..threads.max(1)).map(spawn).collect::<Result<_, _>>()?;
        Ok(Self { jobs: Some(jobs), results, threads })
    }

    /// Queues a job.
    pub fn submit(&mut self, job: Job) {
        let jobs = self.jobs.as_ref().expect("the queue is open until the pool is dropped");
        let queue = if job.is_for_stranger() { &jobs.strangers } else { &jobs.established };
        if queue.send(job).is_err() {
            tracing::error!("no thread is left for the maths of handshakes");
        }
    }

    /// The next result, if one is ready.
    pub fn poll(&mut self) -> Option<JobResult> {
        self.results.try_recv().ok()
    }

    /// Whether every thread lives. One that panicked has printed why; handshakes would wait for it for ever.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.threads.iter().all(|thread| !thread.is_finished())
    }
}

impl Queues<Receiver<Job>> {
    /// Waits for the next job; `None` when both are closed and empty.
    fn next(&self) -> Option<Job> {
        if let Ok(job) = self.established.try_recv() {
            return Some(job);
        }
        select! {
            recv(self.established) -> job => job.ok().or_else(|| self.strangers.recv().ok()),
            recv(self.strangers) -> job => job.ok().or_else(|| self.established.recv().ok()),
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // A job that panicked has printed why; there is nothing left to do about it here.
            drop(thread.join());
        }
    }
}

#[cfg(test)]
mod tests {
    use crossgate_ike::config::EndpointConfig;
    use crossgate_ike::sim::plane::Plane;
    use crossgate_ike::sim::{self, CONNECTION};
    use crossgate_ike::{Command, Endpoint, Event, Input, Instant, Output};

    use super::*;

    /// A job that `index` of a simulated pair has for the pool when it gets `input`.
    fn job(index: usize, input: impl FnOnce(&mut Endpoint, &mut Plane)) -> Job {
        let (mut endpoint, mut plane) = (Endpoint::new(EndpointConfig::default()), Plane::new(7));
        let configure = Input::Command(Command::Configure(Box::new(sim::connection(index))));
        endpoint.handle(configure, NOW, &mut plane).unwrap();
        input(&mut endpoint, &mut plane);
        loop {
            if let Output::Event(Event::Compute(job)) = endpoint.poll_output().expect("there is a job") {
                return job;
            }
        }
    }

    const NOW: Instant = Instant::from_epoch(std::time::Duration::from_secs(1));

    /// The first message of a peer.
    fn first_message() -> Vec<u8> {
        let (mut endpoint, mut plane) = (Endpoint::new(EndpointConfig::default()), Plane::new(8));
        let configure = Input::Command(Command::Configure(Box::new(sim::connection(0))));
        endpoint.handle(configure, NOW, &mut plane).unwrap();
        loop {
            match endpoint.poll_output().expect("an initiator begins") {
                Output::Event(Event::Compute(job)) => {
                    endpoint.handle(Input::Computed(job.run()), NOW, &mut plane).unwrap();
                }
                Output::Transmit(transmit) => return transmit.bytes,
                Output::Event(_) => {}
            }
        }
    }

    #[test]
    fn jobs_of_established_peers_go_before_those_of_strangers_and_none_is_lost() {
        let bytes = first_message();
        let of_stranger = || {
            job(1, |endpoint, plane| {
                let (local, remote) = ("192.0.2.2:500".parse().unwrap(), "192.0.2.1:500".parse().unwrap());
                endpoint.handle(Input::Datagram { local, remote, bytes: &bytes }, NOW, plane).unwrap();
            })
        };
        let own = job(0, |endpoint, plane| {
            endpoint.handle(Input::Command(Command::Initiate(CONNECTION)), NOW, plane).unwrap();
        });
        assert!(of_stranger().is_for_stranger() && !own.is_for_stranger());
        let (strangers, known) = (unbounded(), unbounded());
        for _ in 0..20 {
            strangers.0.send(of_stranger()).unwrap();
        }
        known.0.send(own).unwrap();
        let queues = Queues { established: known.1, strangers: strangers.1 };
        drop((known.0, strangers.0));
        let order: Vec<bool> =
            std::iter::from_fn(|| queues.next()).map(|job| job.is_for_stranger()).collect();
        assert_eq!(order.iter().position(|stranger| !stranger), Some(0), "{order:?}");
        assert_eq!(order.len(), 21);

        let mut pool = Pool::start(2, || ()).unwrap();
        for _ in 0..20 {
            pool.submit(of_stranger());
        }
        let results = pool.results.clone();
        drop(pool);
        assert_eq!(results.iter().count(), 20, "what was queued is finished");
    }
}
