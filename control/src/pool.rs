//! Slow maths beside the control thread: Diffie-Hellman jobs of the IKE core run here, so that one handshake never delays the next
//! timer. Results come back in any order.

use std::thread::{self, JoinHandle};

use crossbeam::channel::{Receiver, Sender, unbounded};
use crossgate_ike::job::{Job, JobResult};

/// Threads that run jobs. Dropping the pool lets them finish what they hold and ends them.
pub struct Pool {
    jobs: Option<Sender<Job>>,
    results: Receiver<JobResult>,
    threads: Vec<JoinHandle<()>>,
}

impl Pool {
    /// Starts `threads` threads, at least one. `wake` is called after each result, from a pool thread.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(threads: usize, wake: impl Fn() + Clone + Send + 'static) -> std::io::Result<Self> {
        let (jobs, queue) = unbounded::<Job>();
        let (answer, results) = unbounded();
        let spawn = |index| {
            let (queue, answer, wake) = (queue.clone(), answer.clone(), wake.clone());
            thread::Builder::new().name(format!("pool-{index}")).spawn(move || {
                for job in queue {
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
        if jobs.send(job).is_err() {
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

impl Drop for Pool {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // A job that panicked has printed why; there is nothing left to do about it here.
            drop(thread.join());
        }
    }
}
