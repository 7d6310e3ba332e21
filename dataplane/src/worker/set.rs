//! Several workers: made together (rings among them and to control), each on a thread of its own or stepped by the caller, and
//! stopped together, which gives the queues back.

use std::num::NonZeroU8;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use dpdk_sys::{Eal, Mempool, RxQueue, TxQueue};

use super::{Idle, Parts, Sizes, Stats, Worker};
use crate::counter::Counters;
use crate::forwarding::PortIndex;
use crate::gcm::Kernel;
use crate::handover;
use crate::message::{ControlEnd, RingSizes, channel};
use crate::pmtu::Reassemblers;
use crate::spi::{BUCKETS, Bucket, Spi};

/// Queues and place of one worker.
pub struct Part {
    /// The core to run on; `None` leaves that to the kernel.
    pub core: Option<usize>,
    /// Receive queues, each with its port's position in the snapshots.
    pub rx: Vec<(PortIndex, RxQueue)>,
    /// Transmit queues by port position; `None` where this worker has none.
    pub tx: Vec<Option<TxQueue>>,
    /// Where the worker takes packets that it makes itself.
    pub pool: Mempool,
    /// Where packets out of reassembly go: with room for the longest that is expected. May be the same pool.
    pub whole_pool: Mempool,
}

/// What all workers of a set have in common.
#[derive(Debug, Clone, Copy)]
pub struct Launch {
    /// AES-GCM kernel; keys should be laid out for the same.
    pub kernel: Kernel,
    /// What to do when idle.
    pub idle: Idle,
    /// Table sizes.
    pub sizes: Sizes,
    /// Ring lengths.
    pub rings: RingSizes,
    /// Length of each ring between two workers, in packets.
    pub handover_packets: usize,
    /// Random: hides hashes, spreads timers.
    pub seed: u64,
}

/// Why workers could not be started.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// None, or more than there are buckets in an SPI.
    #[error("{0} workers: at least 1 and at most {BUCKETS} are possible")]
    Workers(usize),
    /// No memory for reassembly.
    #[error("no memory for reassembling fragments: {0}")]
    Reassembly(#[from] dpdk_sys::Error),
    /// The kernel does not let the worker run on its core.
    #[error(
        "worker {worker} cannot run on core {core}: name a core that is online and that this process may use (`taskset -pc $$`, cgroup cpuset)"
    )]
    Core {
        /// The worker's number.
        worker: u8,
        /// The core that it was to be pinned to.
        core: usize,
    },
    /// No thread to be had.
    #[error("a worker's thread could not be started: {0}")]
    Thread(#[from] std::io::Error),
}

/// A worker's thread has ended although nobody stopped it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("worker {0} has died: its queues are no longer served, restart the gateway")]
pub struct WorkerGone(pub u8);

/// The control thread's handle to one worker.
pub struct WorkerHandle {
    /// Its number.
    pub number: u8,
    /// Commands, acknowledgements, events, injections.
    pub control: ControlEnd,
    /// Its counters.
    pub counters: Arc<Counters>,
    /// How busy it is.
    pub stats: Arc<Stats>,
}

/// Running workers.
pub struct WorkerSet {
    /// One handle for each, in the order of their parts.
    pub handles: Vec<WorkerHandle>,
    threads: Vec<JoinHandle<Worker>>,
    stop: Arc<AtomicBool>,
    epoch: Instant,
}

impl WorkerSet {
    /// Makes workers without starting them, for whoever wants to call [`Worker::step`].
    ///
    /// # Errors
    /// [`LaunchError::Workers`], [`LaunchError::Reassembly`].
    pub fn prepare(
        eal: &Eal,
        launch: &Launch,
        parts: Vec<Part>,
    ) -> Result<Vec<(Worker, WorkerHandle)>, LaunchError> {
        Ok(Self::make(eal, launch, parts, Instant::now())?
            .into_iter()
            .map(|(worker, handle, _)| (worker, handle))
            .collect())
    }

    /// Makes workers and starts a thread for each, pinned to its core.
    ///
    /// # Errors
    /// [`LaunchError`]; workers already started are stopped again.
    pub fn launch(eal: &Eal, launch: &Launch, parts: Vec<Part>) -> Result<Self, LaunchError> {
        let epoch = Instant::now();
        let made = Self::make(eal, launch, parts, epoch)?;
        let stop = Arc::new(AtomicBool::new(false));
        let mut set = Self { handles: Vec::new(), threads: Vec::new(), stop, epoch };
        for (worker, handle, core) in made {
            let (stop, eal, idle) = (Arc::clone(&set.stop), eal.clone(), launch.idle);
            let thread = std::thread::Builder::new().name(format!("worker-{}", handle.number));
            let (tell, told) = std::sync::mpsc::sync_channel(1);
            set.threads.push(thread.spawn(move || {
                let is_pinned = core.is_none_or(pin);
                if tell.send(is_pinned).is_err() || !is_pinned {
                    return worker; // the launch fails
                }
                worker.run(&eal, idle, &stop)
            })?);
            if let (Some(core), Ok(false) | Err(_)) = (core, told.recv()) {
                return Err(LaunchError::Core { worker: handle.number, core });
            }
            set.handles.push(handle);
        }
        Ok(set)
    }

    fn make(
        eal: &Eal,
        launch: &Launch,
        parts: Vec<Part>,
        epoch: Instant,
    ) -> Result<Vec<(Worker, WorkerHandle, Option<usize>)>, LaunchError> {
        let wrong = LaunchError::Workers(parts.len());
        let count =
            u8::try_from(parts.len()).ok().and_then(NonZeroU8::new).filter(|count| count.get() <= BUCKETS);
        let Some(workers) = count else { return Err(wrong) };
        let handovers = handover::rings(workers.get(), launch.handover_packets);
        parts
            .into_iter()
            .zip(handovers)
            .zip(0_u8..)
            .map(|((part, handover), number)| {
                let (control, end) = channel(launch.rings);
                let (counters, stats) = (Arc::new(Counters::new()), Arc::new(Stats::default()));
                let worker = Worker::new(Parts {
                    rx: part.rx,
                    tx: part.tx,
                    pool: part.pool,
                    whole_pool: part.whole_pool,
                    reassemblers: Reassemblers::new(eal)?,
                    end,
                    handover,
                    workers,
                    kernel: launch.kernel,
                    sizes: launch.sizes,
                    seed: launch.seed.wrapping_add(u64::from(number)),
                    counters: Arc::clone(&counters),
                    stats: Arc::clone(&stats),
                    epoch,
                });
                Ok((worker, WorkerHandle { number, control, counters, stats }, part.core))
            })
            .collect()
    }

    /// Number of the worker that is home to an inbound SPI.
    #[must_use]
    pub fn home(&self, spi: Spi) -> u8 {
        let bucket: Bucket = spi.bucket();
        u8::try_from(self.handles.len())
            .ok()
            .and_then(NonZeroU8::new)
            .map_or(0, |workers| bucket.home(workers))
    }

    /// The workers' clock now, in milliseconds: what `last_used_ms` of an SA is to be compared with.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Whether all threads live.
    ///
    /// # Errors
    /// [`WorkerGone`] with the first that does not.
    pub fn check(&self) -> Result<(), WorkerGone> {
        match self.threads.iter().zip(0_u8..).find(|(thread, _)| thread.is_finished()) {
            Some((_, number)) => Err(WorkerGone(number)),
            None => Ok(()),
        }
    }

    /// Stops all workers and gives them back, so that the caller can take their queues ([`Worker::into_queues`]) and drop the rest. The handles
    /// stay, with what is still in their rings.
    ///
    /// # Errors
    /// [`WorkerGone`] for each that died; its queues are lost.
    pub fn stop(mut self) -> (Vec<Result<Worker, WorkerGone>>, Vec<WorkerHandle>) {
        self.stop.store(true, Ordering::Relaxed);
        let handles = std::mem::take(&mut self.handles);
        let workers = std::mem::take(&mut self.threads)
            .into_iter()
            .zip(0_u8..)
            .map(|(thread, number)| thread.join().map_err(|_| WorkerGone(number)))
            .collect();
        (workers, handles)
    }
}

/// Binds this thread to a core; `false` if the kernel does not let it. A set of cores, as the kernel's interface has it, ends at 1024.
fn pin(id: usize) -> bool {
    id < 1024 && core_affinity::set_for_current(core_affinity::CoreId { id })
}

impl Drop for WorkerSet {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}
