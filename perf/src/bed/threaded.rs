//! A gateway whose worker runs on a core of its own, as in the product; the caller is generator, sink and control thread on another.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use crossgate_dataplane::counter::Snapshot;
use crossgate_dataplane::forwarding::PortIndex;
use crossgate_dataplane::message::{Acknowledgement, Command, Replaced};
use crossgate_dataplane::worker::{Histograms, Idle, Part, WorkerHandle, WorkerSet};
use dpdk_sys::{Burst, Port, Wire, tsc_cycles};
use hdrhistogram::Histogram;

use super::{Bed, Plan, Site, stepped};
use crate::machine::report_precision;

/// Packets that a port holds for its worker, as a network card's ring would.
const PORT_PACKETS: u32 = 2048;
/// Longest time that a worker may take to answer, or packets to come out.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long after the last packet of a trial others may still come out.
const DRAIN: Duration = Duration::from_millis(20);
/// Packets that the generator sends at once, at most.
const BURST: u64 = 32;

/// A gateway with its worker on the last core.
pub(crate) struct Running {
    pub(crate) set: WorkerSet,
    pub(crate) wires: [Wire; 2],
    pub(crate) plan: Plan,
    pub(crate) site: Site,
    _ports: [Port; 2],
}

impl Running {
    /// Starts it with tables and neighbours, without SAs.
    pub(crate) fn new(bed: &Bed, plan: Plan, site: Site, idle: Idle) -> Result<Self> {
        let [wan, lan] = [stepped::port(bed, PORT_PACKETS)?, stepped::port(bed, PORT_PACKETS)?];
        let part = Part {
            core: Some(bed.worker_core),
            rx: vec![(PortIndex(0), wan.rx), (PortIndex(1), lan.rx)],
            tx: vec![Some(wan.tx), Some(lan.tx)],
            pool: bed.pool.clone(),
            whole_pool: bed.pool.clone(),
        };
        let set = WorkerSet::launch(&bed.eal, &plan.launch(idle), vec![part])?;
        let mut running = Self { set, wires: [wan.wire, lan.wire], plan, site, _ports: [wan.port, lan.port] };
        running.command([Ok(Command::SetForwarding(Arc::new(plan.forwarding(site)?)))])?;
        running.refresh()?;
        Ok(running)
    }

    /// Makes and installs all SAs, outbound ones first; seconds that each kind took.
    pub(crate) fn install(&mut self) -> Result<[f64; 2]> {
        let (plan, site) = (self.plan, self.site);
        let began = Instant::now();
        self.command(
            (0..plan.sas).map(|sa| Ok(Command::InstallOutbound(Arc::new(plan.outbound_sa(site, sa, 0)?)))),
        )?;
        let outbound = began.elapsed().as_secs_f64();
        self.command(
            (0..plan.sas).map(|sa| Ok(Command::InstallInbound(Box::new(plan.inbound_sa(site, sa, 0)?)))),
        )?;
        Ok([outbound, began.elapsed().as_secs_f64() - outbound])
    }

    /// Tells the worker its neighbours (again), so that none of them goes stale while packets are timed.
    pub(crate) fn refresh(&mut self) -> Result<()> {
        let neighbours = self.plan.neighbours(self.site);
        self.command(neighbours.map(|entry| Ok(Command::LearnNeighbour(entry))))?;
        while self.handle().control.poll_event().is_some() {}
        Ok(())
    }

    /// Sends commands and waits until the worker has carried out all of them.
    pub(crate) fn command(&mut self, commands: impl IntoIterator<Item = Result<Command>>) -> Result<()> {
        for command in commands {
            let mut command = command?;
            while let Err(full) = self.handle().control.send(command) {
                command = full.0;
                self.acknowledgement()?;
            }
        }
        while self.handle().control.unanswered() > 0 {
            self.acknowledgement()?;
        }
        Ok(())
    }

    fn acknowledgement(&mut self) -> Result<Acknowledgement> {
        let began = Instant::now();
        loop {
            if let Some(answer) = self.handle().control.poll_acknowledgement() {
                return Ok(answer);
            }
            ensure!(began.elapsed() < PATIENCE, "the worker does not answer");
            std::hint::spin_loop();
        }
    }

    /// TSC cycles until a single packet that arrives at the LAN port after a pause leaves by the WAN port.
    pub(crate) fn first_packet(&mut self, bed: &Bed, frame: &[u8], pause: Duration) -> Result<u64> {
        self.refresh()?;
        std::thread::sleep(pause);
        let packet = bed.pool.take_copy(frame).context("the pool is exhausted")?;
        let [wan, lan] = &mut self.wires;
        let began = tsc_cycles();
        ensure!(lan.push(packet).is_ok(), "an idle port is full");
        let patience = Instant::now();
        while wan.pull().is_none() {
            ensure!(patience.elapsed() < PATIENCE, "a single packet was lost");
            std::hint::spin_loop();
        }
        Ok(tsc_cycles() - began)
    }

    /// What the worker recorded since it was asked last.
    pub(crate) fn histograms(&mut self) -> Result<Box<Histograms>> {
        let sent = self.handle().control.send(Command::TakeHistograms(Box::default()));
        sent.ok().context("the ring of commands is full")?;
        match self.acknowledgement()?.replaced {
            Replaced::Histograms(histograms) => Ok(histograms),
            other => anyhow::bail!("histograms were asked for, {other:?} came"),
        }
    }

    pub(crate) fn handle(&mut self) -> &mut WorkerHandle {
        &mut self.set.handles[0]
    }

    pub(crate) fn counters(&self) -> Snapshot {
        self.set.handles[0].counters.snapshot()
    }
}

/// Where packets come from.
pub(crate) trait Source {
    /// The bytes of the next packet; none if there are no more.
    fn next(&mut self) -> Option<&[u8]>;
}

/// What became of a trial.
pub(crate) struct Outcome {
    /// That were to be sent; those that found no room in the port are lost.
    pub(crate) offered: u64,
    pub(crate) received: u64,
    /// Per second that were really offered.
    pub(crate) offered_pps: f64,
    /// Per second that came out.
    pub(crate) received_pps: f64,
    /// From a packet's arrival at the port until the sink has it, in TSC cycles; only of meaning if none was lost.
    pub(crate) cycles: Histogram<u64>,
}

impl Outcome {
    pub(crate) fn lost(&self) -> u64 {
        self.offered - self.received.min(self.offered)
    }
}

/// At which rate to send, for how long.
#[derive(Clone, Copy)]
pub(crate) struct Trial {
    /// Packets per second; infinite for as many as the port takes.
    pub(crate) pps: f64,
    pub(crate) length: Duration,
    pub(crate) tsc_hz: f64,
}

impl Trial {
    /// Packets that it offers.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a finite rate over seconds is far below 2^53"
    )]
    pub(crate) fn packets(self) -> u64 {
        (self.pps * self.length.as_secs_f64()) as u64
    }

    /// Sends packets to one port at this rate and takes what leaves by the other.
    pub(crate) fn run(
        self,
        gateway: &mut Running,
        from: usize,
        bed: &Bed,
        source: &mut dyn Source,
    ) -> Result<Outcome> {
        gateway.refresh()?;
        let [wan, lan] = &mut gateway.wires;
        let (into, out) = if from == super::WAN { (wan, lan) } else { (lan, wan) };
        let (mut cycles, mut under_way) = (Histogram::new(3)?, VecDeque::with_capacity(1 << 14));
        let (mut arrived, mut offered, mut received) = (Burst::new(), 0_u64, 0_u64);
        let cycles_a_packet = self.tsc_hz / self.pps;
        let began = tsc_cycles();
        let length = to_cycles(self.tsc_hz * self.length.as_secs_f64());
        let mut now = began;
        let mut last = began;
        while now - began < length {
            let due = if self.pps.is_finite() {
                to_cycles(report_precision(now - began) / cycles_a_packet).saturating_sub(offered).min(BURST)
            } else {
                BURST.min(u64::from(PORT_PACKETS / 2).saturating_sub(under_way.len().try_into()?))
            };
            if due > 0 {
                let mut burst = Burst::new();
                for _ in 0..due {
                    let Some(bytes) = source.next() else { break };
                    let packet = bed.pool.take_copy(bytes).context("the pool is exhausted")?;
                    ensure!(burst.push(packet).is_ok(), "a burst is longer than DPDK's");
                }
                offered += due;
                let at = tsc_cycles();
                let taken = into.push_burst(&mut burst);
                under_way.extend(std::iter::repeat_n(at, usize::try_from(taken)?));
            }
            received += take(out, &mut arrived, &mut under_way, &mut cycles, &mut last)?;
            now = tsc_cycles();
        }
        let sent_for = now - began;
        let deadline = now + to_cycles(self.tsc_hz * DRAIN.as_secs_f64());
        while !under_way.is_empty() && tsc_cycles() < deadline {
            received += take(out, &mut arrived, &mut under_way, &mut cycles, &mut last)?;
        }
        let per_second =
            |packets: u64, cycles: u64| report_precision(packets) * self.tsc_hz / report_precision(cycles);
        let received_for = (last - began).max(1);
        Ok(Outcome {
            offered,
            received,
            offered_pps: per_second(offered, sent_for),
            received_pps: per_second(received, received_for),
            cycles,
        })
    }
}

/// Takes what came out; a worker keeps the order of one tunnel's packets, so that the oldest one comes first.
fn take(
    out: &mut Wire,
    arrived: &mut Burst,
    under_way: &mut VecDeque<u64>,
    cycles: &mut Histogram<u64>,
    last: &mut u64,
) -> Result<u64> {
    let got = u64::from(out.pull_burst(arrived));
    if got > 0 {
        let now = tsc_cycles();
        *last = now;
        for sent in under_way.drain(..arrived.len().min(under_way.len())) {
            cycles.record(now.saturating_sub(sent))?;
        }
        arrived.clear();
    }
    Ok(got)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "cycles of some seconds, or packets of them"
)]
pub(crate) fn to_cycles(amount: f64) -> u64 {
    amount as u64
}

/// Clear packets of one size or a mixture, of one flow for each SA in turn.
pub(crate) struct Clear {
    frames: Vec<Vec<u8>>,
    next: usize,
}

impl Clear {
    pub(crate) fn new(plan: Plan, site: Site, traffic: super::traffic::Traffic) -> Result<Self> {
        // A multiple of both the sizes' and the SAs' period.
        let count = 12 * plan.sas;
        let frame = |number: u32| {
            plan.frame(site, number % plan.sas, traffic.bytes_of(usize::try_from(number / plan.sas)?))
        };
        Ok(Self { frames: (0..count).map(frame).collect::<Result<_>>()?, next: 0 })
    }
}

impl Source for Clear {
    fn next(&mut self) -> Option<&[u8]> {
        let at = self.next;
        self.next = (at + 1) % self.frames.len();
        Some(&self.frames[at])
    }
}

/// Packets that another gateway sealed beforehand, each to be sent once.
#[derive(Default)]
pub(crate) struct Sealed {
    bytes: Vec<u8>,
    ends: VecDeque<usize>,
    at: usize,
}

impl Sealed {
    /// Lets `peer` seal so many packets.
    pub(crate) fn new(
        peer: &mut stepped::Gateway,
        clear: &mut Clear,
        bed: &Bed,
        packets: u64,
    ) -> Result<Self> {
        peer.engine.refresh()?;
        let mut sealed = Self::default();
        let mut left = packets;
        while left > 0 {
            let mut burst = Burst::new();
            for _ in 0..left.min(BURST) {
                let packet = clear
                    .next()
                    .and_then(|bytes| bed.pool.take_copy(bytes))
                    .context("the pool is exhausted")?;
                ensure!(burst.push(packet).is_ok(), "a burst is longer than DPDK's");
            }
            let wanted = burst.len();
            peer.pass(super::LAN, &mut burst);
            ensure!(burst.len() == wanted, "{} of {wanted} packets were sealed", burst.len());
            for packet in burst.iter_mut() {
                peer.engine.plan().arrive(packet.data_mut(), super::WAN)?;
                sealed.bytes.extend_from_slice(packet.data());
                sealed.ends.push_back(sealed.bytes.len());
            }
            left -= left.min(BURST);
        }
        Ok(sealed)
    }
}

impl Source for Sealed {
    fn next(&mut self) -> Option<&[u8]> {
        let end = self.ends.pop_front()?;
        let begin = std::mem::replace(&mut self.at, end);
        Some(&self.bytes[begin..end])
    }
}
