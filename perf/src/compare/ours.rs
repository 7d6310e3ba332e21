//! Crossgate's worker on the ports that `ipsec-secgw` is measured on: packets from a file that DPDK's `net_pcap` repeats without end,
//! to `net_null`; or from a file that ends, to a file.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use crossgate_dataplane::counter::Counter;
use crossgate_dataplane::message::Command;
use dpdk_sys::{Burst, Port, PortOptions, RxQueue, TxQueue, tsc_cycles};

use crate::bed::stepped::Engine;
use crate::bed::{Bed, Direction, Plan, Site};
use crate::machine::report_precision;

/// How long a window is, and how many there are.
#[derive(Clone, Copy)]
pub(crate) struct Windows {
    pub(crate) count: usize,
    pub(crate) length: Duration,
}

/// Started ports: packets come from the first one and go to the second one.
struct Between {
    source: (RxQueue, TxQueue),
    sink: (RxQueue, TxQueue),
    _ports: [Port; 2],
}

impl Between {
    fn new(bed: &Bed, source: &str, sink: &str) -> Result<Self> {
        let start = |device: &str| -> Result<_> {
            let mut port = Port::attach(&bed.eal, device)?;
            let mut started =
                port.start(&PortOptions { offloads: false, ..PortOptions::default() }, &bed.pool)?;
            let rx = started.rx.pop().context("a port without a receive queue")?;
            let tx = started.tx.pop().context("a port without a transmit queue")?;
            Ok((port, (rx, tx)))
        };
        let (source, sink) = (start(source)?, start(sink)?);
        Ok(Self { source: source.1, sink: sink.1, _ports: [source.0, sink.0] })
    }

    fn endless(bed: &Bed, packets: &Path) -> Result<Self> {
        Self::new(bed, &format!("net_pcap0,rx_pcap={},infinite_rx=1", packets.display()), "net_null0,no-rx=1")
    }
}

/// A worker between such ports.
struct Gateway {
    engine: Engine,
    _ports: [Port; 2],
}

impl Gateway {
    fn new(bed: &Bed, plan: Plan, direction: Direction, between: Between) -> Result<Self> {
        let Between { source: (source_rx, source_tx), sink: (sink_rx, sink_tx), _ports } = between;
        // In the order of WAN and LAN.
        let (site, rx, tx) = match direction {
            Direction::Inbound => (Site(2), [source_rx, sink_rx], [source_tx, sink_tx]),
            Direction::Outbound | Direction::Both => (Site(1), [sink_rx, source_rx], [sink_tx, source_tx]),
        };
        Ok(Self { engine: Engine::new(bed, plan, site, rx.map(Some), tx.map(Some))?, _ports })
    }
}

/// Sends a file's packets through the worker once, to another file.
pub(crate) fn once(
    bed: &Bed,
    plan: Plan,
    direction: Direction,
    packets: usize,
    from: &Path,
    to: &Path,
) -> Result<()> {
    let (from, to) = (from.display(), to.display());
    let between =
        Between::new(bed, &format!("net_pcap0,rx_pcap={from}"), &format!("net_pcap1,tx_pcap={to}"))?;
    let mut gateway = Gateway::new(bed, plan, direction, between)?;
    let (packets, began) = (u64::try_from(packets)?, Instant::now());
    let engine = &mut gateway.engine;
    while engine.handle.counters.snapshot().get(Counter::RxPackets) < packets {
        engine.worker.step();
        ensure!(began.elapsed() < Duration::from_secs(10), "fewer than {packets} packets came");
    }
    match direction {
        Direction::Inbound => gateway.engine.check(0, packets),
        Direction::Outbound | Direction::Both => gateway.engine.check(packets, 0),
    }
}

/// TSC cycles a packet in each window, source and sink included.
///
/// The file's packets come again and again, so a replay window would refuse them: before each repetition the inbound SAs are
/// installed anew. Making them is not in the time, installing is.
pub(crate) fn measure(
    bed: &Bed,
    plan: Plan,
    direction: Direction,
    packets: usize,
    from: &Path,
    windows: Windows,
) -> Result<Vec<f64>> {
    let mut gateway = Gateway::new(bed, plan, direction, Between::endless(bed, from)?)?;
    let engine = &mut gateway.engine;
    // The ports have been polled while the worker was configured: begin with a whole round.
    let whole = u64::try_from(packets)?;
    while !engine.handle.counters.snapshot().get(Counter::RxPackets).is_multiple_of(whole) {
        engine.worker.step();
    }
    let done = match direction {
        Direction::Inbound => Counter::EspOpened,
        Direction::Outbound | Direction::Both => Counter::EspSealed,
    };
    let mut results = Vec::new();
    for number in 0..=windows.count {
        let (began, mut cycles, mut total) = (Instant::now(), 0, 0_u64);
        let before = engine.handle.counters.snapshot().get(done);
        while began.elapsed() < windows.length {
            if direction == Direction::Inbound {
                for sa in 0..plan.sas {
                    let command = Command::InstallInbound(Box::new(plan.inbound_sa(Site(2), sa, 0)?));
                    engine.handle.control.send(command).ok().context("the ring of commands is full")?;
                }
            }
            let (mut round, mut commands) = (0, engine.handle.control.unanswered());
            while round < packets {
                let step_began = tsc_cycles();
                let handled = engine.worker.step();
                cycles += tsc_cycles() - step_began;
                round += handled - commands;
                commands = 0;
            }
            ensure!(round == packets, "a burst reaches beyond the file's {packets} packets");
            while engine.handle.control.poll_acknowledgement().is_some() {}
            total += whole;
        }
        let through = engine.handle.counters.snapshot().get(done) - before;
        ensure!(through == total, "{through} of {total} packets came through");
        if number > 0 {
            results.push(report_precision(cycles) / report_precision(total));
        }
    }
    Ok(results)
}

/// TSC cycles a packet of source and sink alone, in each window.
pub(crate) fn floor(bed: &Bed, from: &Path, windows: Windows) -> Result<Vec<f64>> {
    let Between { source: (mut rx, _source_tx), sink: (_sink_rx, mut tx), _ports } =
        Between::endless(bed, from)?;
    let (mut burst, mut results) = (Burst::new(), Vec::new());
    for number in 0..=windows.count {
        let (began, cycles, mut total) = (Instant::now(), tsc_cycles(), 0_u64);
        while began.elapsed() < windows.length {
            for _ in 0..1000 {
                total += u64::from(rx.rx_burst(&mut burst));
                tx.tx_burst(&mut burst);
            }
        }
        if number > 0 {
            results.push(report_precision(tsc_cycles() - cycles) / report_precision(total));
        }
    }
    Ok(results)
}
