//! One tunnel through one worker and through two. Each worker has a core, and on that core a thread that makes its packets, runs the
//! worker over them and takes them away: no third thread competes for the two cores. Only the worker's own turns are timed.
//!
//! Outbound, each worker seals half of the flows with the one SA, as a network card spreads them. Inbound, each receives half of the packets,
//! and the worker that is not the SA's home does with them what the product does. The rate is that of the worker which needs longest.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use crossgate_dataplane::counter::{Counter, Counters, Kind};
use crossgate_dataplane::forwarding::PortIndex;
use crossgate_dataplane::message::Command;
use crossgate_dataplane::worker::{Idle, Part, Worker, WorkerHandle, WorkerSet};
use dpdk_sys::{Burst, Eal, Mempool, Port, PortOptions, RingPort, Wire, tsc_cycles};

use crate::bed::{Bed, Direction, LAN, Plan, Site, WAN};
use crate::engine::BURST_PACKETS;
use crate::machine::{Pin, report_precision};
use crate::spread::Spread;

/// In-memory ports' room, in packets.
const PORT_PACKETS: u32 = 1024;
/// Parts of a run, each of which gives one figure.
const WINDOWS: usize = 10;
/// Packets that may be between the two worker sets: less than a hand-over ring holds.
const UNDER_WAY: u64 = 128;

/// Workers of one gateway that threads step, each with its wires.
struct Set {
    workers: Vec<(Worker, [Wire; 2])>,
    handles: Vec<WorkerHandle>,
    _ports: [Port; 2],
}

/// What goes through them.
#[derive(Clone, Copy)]
pub(super) struct Traffic {
    pub(super) plan: Plan,
    /// Whose cycles are counted.
    pub(super) direction: Direction,
    pub(super) inner_bytes: u16,
}

/// Cycles per packet with one worker, and with two: of the slowest, over all packets.
pub(super) fn measure(bed: &Bed, traffic: Traffic, bursts: usize) -> Result<[Spread; 2]> {
    let (last, other) = (bed.worker_core, bed.other_core()?);
    let one = run(bed, traffic, bursts, &[last])?;
    Ok([one, run(bed, traffic, bursts, &[last, other])?])
}

fn run(bed: &Bed, traffic: Traffic, bursts: usize, cores: &[usize]) -> Result<Spread> {
    let plan = traffic.plan;
    let mut sealing = Set::new(bed, plan, Site(1), cores.len())?;
    let mut opening = Set::new(bed, plan, Site(2), cores.len())?;
    let barrier = Barrier::new(cores.len());
    let sealed = AtomicU64::new(0);
    let counters: Vec<_> = opening.handles.iter().map(|handle| Arc::clone(&handle.counters)).collect();
    // A thread that the kernel stopped between sealing and opening may find its packets left of the replay window: dropped, and done with.
    let opened = || {
        let done =
            |counters: &Counters| counters.read(Counter::EspOpened) + counters.snapshot().total(Kind::Drop);
        counters.iter().map(|counters| done(counters)).sum::<u64>()
    };
    let results = std::thread::scope(|scope| {
        let pairs = sealing.workers.iter_mut().zip(&mut opening.workers).zip(cores);
        let threads: Vec<_> = pairs
            .map(|((sealing, opening), &core)| {
                let (barrier, sealed, opened) = (&barrier, &sealed, &opened);
                let (eal, pool) = (&bed.eal, &bed.pool);
                scope.spawn(move || {
                    let lane = Lane { eal, pool, traffic, sealing, opening, sealed, opened };
                    barrier.wait();
                    lane.run(core, bursts)
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| anyhow!("a thread died"))?)
            .collect::<Result<Vec<_>>>()
    })?;
    // Window by window, the worker that took longest, for the packets of all.
    let packets = report_precision(u64::try_from(bursts / WINDOWS * BURST_PACKETS * cores.len())?);
    let slowest = (0..WINDOWS).map(|at| results.iter().map(|cycles| cycles[at]).max().unwrap_or(0));
    Spread::of(&slowest.map(|cycles| report_precision(cycles) / packets).collect::<Vec<_>>())
}

/// What one thread does.
struct Lane<'a, F> {
    eal: &'a Eal,
    pool: &'a Mempool,
    traffic: Traffic,
    sealing: &'a mut (Worker, [Wire; 2]),
    opening: &'a mut (Worker, [Wire; 2]),
    /// By all threads.
    sealed: &'a AtomicU64,
    opened: &'a F,
}

impl<F: Fn() -> u64> Lane<'_, F> {
    /// TSC cycles of the measured worker in each window.
    fn run(self, core: usize, bursts: usize) -> Result<Vec<u64>> {
        let _pin = Pin::to(core)?;
        let _registered = self.eal.register_thread()?;
        let Self {
            pool,
            traffic: Traffic { plan, direction, inner_bytes },
            sealing: (sealer, seal_wires),
            opening: (opener, open_wires),
            sealed,
            opened,
            ..
        } = self;
        let frame = plan.frame(Site(1), 0, inner_bytes)?;
        let mut windows = Vec::new();
        for number in 0..=WINDOWS {
            let mut cycles = 0;
            for _ in 0..bursts / WINDOWS {
                let mut burst = Burst::new();
                for _ in 0..BURST_PACKETS {
                    let packet = pool.take_copy(&frame).context("the pool is exhausted")?;
                    ensure!(burst.push(packet).is_ok(), "a burst is longer than DPDK's");
                }
                let outbound = pass(sealer, seal_wires, LAN, &mut burst);
                sealed.fetch_add(u64::try_from(burst.len())?, Ordering::Relaxed);
                burst.iter_mut().try_for_each(|packet| plan.arrive(packet.data_mut(), WAN))?;
                let mut inbound = pass(opener, open_wires, WAN, &mut burst);
                burst.clear();
                // The home worker must not be overrun, and has what was handed over to do as well.
                let patience = Instant::now();
                while sealed.load(Ordering::Relaxed).saturating_sub(opened()) > UNDER_WAY {
                    let (began, idle) = (tsc_cycles(), opener.step() == 0);
                    if !idle {
                        inbound += tsc_cycles() - began;
                    }
                    while open_wires[LAN].pull().is_some() {}
                    ensure!(
                        patience.elapsed() < Duration::from_secs(5),
                        "packets were lost between the workers"
                    );
                }
                cycles += if direction == Direction::Inbound { inbound } else { outbound };
            }
            if number > 0 {
                windows.push(cycles);
            }
        }
        // Until the other thread has also come to its end.
        let patience = Instant::now();
        while sealed.load(Ordering::Relaxed) > opened() && patience.elapsed() < Duration::from_millis(500) {
            opener.step();
            while open_wires[LAN].pull().is_some() {}
        }
        Ok(windows)
    }
}

/// As for a stepped gateway: in by one port, a turn, out by the other. TSC cycles of the turn.
fn pass(worker: &mut Worker, wires: &mut [Wire; 2], from: usize, burst: &mut Burst) -> u64 {
    wires[from].push_burst(burst);
    let began = tsc_cycles();
    worker.step();
    let cycles = tsc_cycles() - began;
    wires[1 - from].pull_burst(burst);
    cycles
}

impl Set {
    fn new(bed: &Bed, plan: Plan, site: Site, workers: usize) -> Result<Self> {
        let queues = u16::try_from(workers)?;
        let start = || -> Result<_> {
            let mut ring = RingPort::new(&bed.eal, queues, PORT_PACKETS)?;
            let options = PortOptions { rx_queues: queues, tx_queues: queues, ..PortOptions::default() };
            let started = ring.port.start(&options, &bed.pool)?;
            Ok((ring.port, ring.wires, started.rx, started.tx))
        };
        let (wan, lan) = (start()?, start()?);
        let rx = wan.2.into_iter().zip(lan.2);
        let parts = rx.zip(wan.3.into_iter().zip(lan.3)).map(|((wan_rx, lan_rx), (wan_tx, lan_tx))| Part {
            core: None,
            rx: vec![(PortIndex(0), wan_rx), (PortIndex(1), lan_rx)],
            tx: vec![Some(wan_tx), Some(lan_tx)],
            pool: bed.pool.clone(),
            whole_pool: bed.pool.clone(),
        });
        let made = WorkerSet::prepare(&bed.eal, &plan.launch(Idle::Poll), parts.collect())?;
        let wires = wan.1.into_iter().zip(lan.1).map(|(wan, lan)| [wan, lan]);
        let (made, handles): (Vec<_>, Vec<_>) = made.into_iter().unzip();
        let workers = made.into_iter().zip(wires).collect();
        let mut set = Self { workers, handles, _ports: [wan.0, lan.0] };
        set.configure(plan, site)?;
        Ok(set)
    }

    /// Tables and the outbound SA to every worker, the inbound SA to its home, which is the first one.
    fn configure(&mut self, plan: Plan, site: Site) -> Result<()> {
        let (forwarding, outbound) =
            (Arc::new(plan.forwarding(site)?), Arc::new(plan.outbound_sa(site, 0, 0)?));
        for (number, ((worker, _), handle)) in self.workers.iter_mut().zip(&mut self.handles).enumerate() {
            let mut commands = vec![
                Command::SetForwarding(Arc::clone(&forwarding)),
                Command::InstallOutbound(Arc::clone(&outbound)),
            ];
            commands.extend(plan.neighbours(site).map(Command::LearnNeighbour));
            if number == 0 {
                commands.push(Command::InstallInbound(Box::new(plan.inbound_sa(site, 0, 0)?)));
            }
            for command in commands {
                handle.control.send(command).ok().context("the ring of commands is full")?;
            }
            worker.step();
            while handle.control.poll_acknowledgement().is_some() {}
            ensure!(handle.control.unanswered() == 0, "a worker did not answer");
        }
        Ok(())
    }
}
