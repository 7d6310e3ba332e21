//! A gateway of one worker that runs when it is told to, between two in-memory ports (DPDK's ring driver); and the same ports
//! without a worker, which is what source and sink cost.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use crossgate_dataplane::counter::{Counter, Snapshot};
use crossgate_dataplane::forwarding::PortIndex;
use crossgate_dataplane::message::Command;
use crossgate_dataplane::worker::{Idle, Part, Worker, WorkerHandle, WorkerSet};
use dpdk_sys::{Burst, Port, PortOptions, RingPort, RxQueue, TxQueue, Wire, tsc_cycles};

use super::{Bed, LAN, Plan, Site, WAN};

const PORT_PACKETS: u32 = 512;
/// Commands sent before the worker has to answer: fewer than its ring holds.
const COMMANDS: usize = 512;

/// A gateway whose worker runs when it is told to.
pub(crate) struct Gateway {
    pub(crate) engine: Engine,
    wires: [Wire; 2],
    _ports: [Port; 2],
}

/// A worker without its ports, and the control thread's end of it.
pub(crate) struct Engine {
    pub(crate) worker: Worker,
    pub(crate) handle: WorkerHandle,
    plan: Plan,
    site: Site,
}

impl Engine {
    /// Makes a worker of these queues and tells it tables, SAs and neighbours.
    pub(crate) fn new(
        bed: &Bed,
        plan: Plan,
        site: Site,
        rx: [Option<RxQueue>; 2],
        tx: [Option<TxQueue>; 2],
    ) -> Result<Self> {
        let rx =
            rx.into_iter().zip(0..).filter_map(|(queue, port)| Some((PortIndex(port), queue?))).collect();
        let part =
            Part { core: None, rx, tx: tx.into(), pool: bed.pool.clone(), whole_pool: bed.pool.clone() };
        let mut made = WorkerSet::prepare(&bed.eal, &plan.launch(Idle::Poll), vec![part])?;
        let (worker, handle) = made.pop().context("no worker was made")?;
        let mut engine = Self { worker, handle, plan, site };
        // All of it before the worker's first turn if it is one SA each way: that turn may bring packets.
        let tables = std::iter::once(Ok(Command::SetForwarding(Arc::new(plan.forwarding(site)?))));
        let outbound = |sa| Ok(Command::InstallOutbound(Arc::new(plan.outbound_sa(site, sa, 0)?)));
        let inbound = |sa| Ok(Command::InstallInbound(Box::new(plan.inbound_sa(site, sa, 0)?)));
        let sas = (0..plan.sas).map(outbound).chain((0..plan.sas).map(inbound));
        engine.command(tables.chain(neighbours(plan, site)).chain(sas))?;
        Ok(engine)
    }

    /// Tells the worker its neighbours (again), so that none of them goes stale while packets are timed.
    pub(crate) fn refresh(&mut self) -> Result<()> {
        self.command(neighbours(self.plan, self.site))?;
        while self.handle.control.poll_event().is_some() {}
        Ok(())
    }

    pub(crate) fn plan(&self) -> Plan {
        self.plan
    }

    /// Sends commands and lets the worker answer all of them.
    pub(crate) fn command(&mut self, commands: impl IntoIterator<Item = Result<Command>>) -> Result<()> {
        for command in commands {
            self.handle.control.send(command?).ok().context("the ring of commands is full")?;
            if self.handle.control.unanswered() >= COMMANDS {
                self.answers()?;
            }
        }
        self.answers()
    }

    fn answers(&mut self) -> Result<()> {
        while self.handle.control.unanswered() > 0 {
            self.worker.step();
            self.handle.control.poll_acknowledgement().context("the worker did not answer")?;
            while self.handle.control.poll_acknowledgement().is_some() {}
        }
        Ok(())
    }

    /// Checks that every packet was sealed or opened, and none dropped or left inside.
    pub(crate) fn check(&self, sealed: u64, opened: u64) -> Result<()> {
        let counters: Snapshot = self.handle.counters.snapshot();
        ensure!(
            counters.get(Counter::EspSealed) == sealed
                && counters.get(Counter::EspOpened) == opened
                && counters.get(Counter::TxPackets) == sealed + opened
                && counters.balance() == 0,
            "{sealed} packets to seal and {opened} to open, but {:?}",
            counters.moved().map(|(row, count)| (row.name, count)).collect::<Vec<_>>()
        );
        Ok(())
    }
}

fn neighbours(plan: Plan, site: Site) -> impl Iterator<Item = Result<Command>> {
    plan.neighbours(site).into_iter().map(|entry| Ok(Command::LearnNeighbour(entry)))
}

impl Gateway {
    pub(crate) fn new(bed: &Bed, plan: Plan, site: Site) -> Result<Self> {
        let [wan, lan] = [port(bed, PORT_PACKETS)?, port(bed, PORT_PACKETS)?];
        let engine =
            Engine::new(bed, plan, site, [Some(wan.rx), Some(lan.rx)], [Some(wan.tx), Some(lan.tx)])?;
        Ok(Self { engine, wires: [wan.wire, lan.wire], _ports: [wan.port, lan.port] })
    }

    /// Lets `burst` arrive at port `from`, runs the worker once and takes what left by the other port. TSC cycles.
    pub(crate) fn pass(&mut self, from: usize, burst: &mut Burst) -> u64 {
        let began = tsc_cycles();
        self.wires[from].push_burst(burst);
        self.engine.worker.step();
        self.wires[1 - from].pull_burst(burst);
        tsc_cycles() - began
    }

    /// Lets both bursts arrive, the first one at the LAN port and the second one at the WAN port, runs the worker once and takes what left:
    /// sealed packets are in `outbound` then, opened ones in `inbound`. TSC cycles.
    pub(crate) fn pass_both(&mut self, outbound: &mut Burst, inbound: &mut Burst) -> u64 {
        let began = tsc_cycles();
        self.wires[LAN].push_burst(outbound);
        self.wires[WAN].push_burst(inbound);
        self.engine.worker.step();
        self.wires[WAN].pull_burst(outbound);
        self.wires[LAN].pull_burst(inbound);
        tsc_cycles() - began
    }
}

/// Source and sink: the same two ports, and nothing between them.
pub(crate) struct Bypass {
    rx: RxQueue,
    tx: TxQueue,
    wires: [Wire; 2],
    inside: Burst,
    _others: (TxQueue, RxQueue),
    _ports: [Port; 2],
}

impl Bypass {
    pub(crate) fn new(bed: &Bed) -> Result<Self> {
        let [first, second] = [port(bed, PORT_PACKETS)?, port(bed, PORT_PACKETS)?];
        Ok(Self {
            rx: first.rx,
            tx: second.tx,
            wires: [first.wire, second.wire],
            inside: Burst::new(),
            _others: (first.tx, second.rx),
            _ports: [first.port, second.port],
        })
    }

    /// What [`Gateway::pass`] does, but for the worker. TSC cycles.
    pub(crate) fn pass(&mut self, burst: &mut Burst) -> u64 {
        let began = tsc_cycles();
        self.wires[0].push_burst(burst);
        self.rx.rx_burst(&mut self.inside);
        self.tx.tx_burst(&mut self.inside);
        self.wires[1].pull_burst(burst);
        tsc_cycles() - began
    }
}

/// A started in-memory port with one queue each way.
pub(crate) struct InMemory {
    pub(crate) port: Port,
    pub(crate) wire: Wire,
    pub(crate) rx: RxQueue,
    pub(crate) tx: TxQueue,
}

/// Makes one that holds so many packets (a power of two) less one each way.
pub(crate) fn port(bed: &Bed, packets: u32) -> Result<InMemory> {
    let mut ring = RingPort::new(&bed.eal, 1, packets)?;
    let mut started = ring.port.start(&PortOptions::default(), &bed.pool)?;
    let wire = ring.wires.pop().context("a port without a wire")?;
    let rx = started.rx.pop().context("a port without a receive queue")?;
    let tx = started.tx.pop().context("a port without a transmit queue")?;
    Ok(InMemory { port: ring.port, wire, rx, tx })
}
