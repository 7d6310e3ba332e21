//! What it costs two workers to share: the operations of which the model of many workers is made (docs/benchmarks/model.md), and the two ways in which
//! packets of one inbound SA can be spread over them, with the functions that the workers use.
//!
//! - `opened at home`: a worker that is not the SA's home passes each packet over a ring; the home opens all of them and moves the window.
//! - `opened where it arrives`: it opens the burst itself and passes sequence numbers, a burst's at a time; the home moves the window and sends back which of
//!   them were new. Until then the worker holds the packets.

use std::hint::{black_box, spin_loop};
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Result, anyhow, ensure};
use crossbeam::queue::ArrayQueue;
use crossbeam::utils::CachePadded;
use crossgate_dataplane::gcm::Kernel;
use crossgate_dataplane::sa::ReplayWindow;
use dpdk_sys::tsc_cycles;
use serde::Serialize;

use crate::engine::{BURST_PACKETS, Engine, Packets};
use crate::machine::{Pin, report_precision};
use crate::spread::Spread;

/// As long as a worker's hand-over ring, and its window.
const RING_PACKETS: usize = 256;
const WINDOW_PACKETS: u32 = 1024;
/// Bursts whose verdict is awaited, at most.
const UNANSWERED: usize = 4;
/// Parts of a run, each of which gives one figure.
const WINDOWS: usize = 10;
const PAYLOADS: [usize; 2] = [64, 1400];

/// What a worker does, on its core.
type Work<'a> = Box<dyn FnOnce() -> Result<()> + Send + 'a>;

/// One operation.
#[derive(Clone, Serialize)]
pub(crate) struct SharingRow {
    program: &'static str,
    pub(crate) operation: &'static str,
    workers: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_bytes: Option<usize>,
    /// TSC cycles from one to the next, whoever does it; of spreading, a packet.
    cycles: f64,
    median_cycles: f64,
    spread_cycles: f64,
}

impl SharingRow {
    pub(super) fn cells(&self) -> Vec<String> {
        let figures =
            [self.cycles, self.median_cycles, self.spread_cycles].map(|cycles| format!("{cycles:.1}"));
        let bytes = self.payload_bytes.map_or_else(String::new, |bytes| bytes.to_string());
        [self.operation.to_owned(), bytes, String::new(), self.workers.to_string()]
            .into_iter()
            .chain(figures)
            .collect()
    }
}

/// All of them, on these two cores.
pub(super) fn measure(cores: [usize; 2], quick: bool) -> Result<Vec<SharingRow>> {
    let times = if quick { 20_000 } else { 200_000 };
    let mut rows = vec![
        row("atomic add", 1, None, windows(|| adds(&cores[..1], times))?)?,
        row("atomic add, contended", 2, None, windows(|| adds(&cores, times))?)?,
        row("cache line, to and fro, half", 2, None, windows(|| ping_pong(cores, times / 10))?)?,
        row("ring hop", 2, None, windows(|| hops(cores, times))?)?,
        row("replay window, check and accept", 1, None, windows(|| accepts(cores[0], times))?)?,
    ];
    for bytes in PAYLOADS {
        let bursts = times / 100;
        let payload = Some(bytes);
        rows.push(row("opened by one worker", 1, payload, windows(|| alone(cores[0], bytes, bursts))?)?);
        rows.push(row("opened at home", 2, payload, windows(|| at_home(cores, bytes, bursts))?)?);
        rows.push(row("opened where it arrives", 2, payload, windows(|| on_arrival(cores, bytes, bursts))?)?);
    }
    Ok(rows)
}

fn row(
    operation: &'static str,
    workers: u32,
    payload_bytes: Option<usize>,
    cycles: Vec<f64>,
) -> Result<SharingRow> {
    let Spread { min, median, spread } = Spread::of(&cycles)?;
    Ok(SharingRow {
        program: "crossgate",
        operation,
        workers,
        payload_bytes,
        cycles: min,
        median_cycles: median,
        spread_cycles: spread,
    })
}

fn windows(mut measure: impl FnMut() -> Result<f64>) -> Result<Vec<f64>> {
    (0..WINDOWS).map(|_| measure()).collect()
}

fn per(cycles: u64, count: usize) -> Result<f64> {
    Ok(report_precision(cycles) / report_precision(u64::try_from(count)?))
}

/// Runs the work of each worker on its core at the same time; TSC cycles until the last one has ended.
fn together(workers: Vec<(usize, Work<'_>)>) -> Result<u64> {
    let barrier = Barrier::new(workers.len());
    let times = std::thread::scope(|scope| {
        let threads: Vec<_> = workers
            .into_iter()
            .map(|(core, work)| {
                let barrier = &barrier;
                scope.spawn(move || -> Result<[u64; 2]> {
                    let _pin = Pin::to(core)?;
                    barrier.wait();
                    let began = tsc_cycles();
                    work()?;
                    Ok([began, tsc_cycles()])
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| anyhow!("a thread died"))?)
            .collect::<Result<Vec<_>>>()
    })?;
    let first = times.iter().map(|[began, _]| *began).min().unwrap_or(0);
    Ok(times.iter().map(|[_, ended]| *ended).max().unwrap_or(0) - first)
}

fn adds(cores: &[usize], times: usize) -> Result<f64> {
    let counter = CachePadded::new(AtomicU64::new(0));
    let work = || -> Work<'_> {
        Box::new(|| {
            (0..times).for_each(|_| {
                black_box(counter.fetch_add(1, Ordering::Relaxed));
            });
            Ok(())
        })
    };
    per(together(cores.iter().map(|core| (*core, work())).collect())?, times * cores.len())
}

fn ping_pong(cores: [usize; 2], times: usize) -> Result<f64> {
    let line = CachePadded::new(AtomicU64::new(0));
    let rounds = u64::try_from(times)?;
    let side = |parity: u64| -> Work<'_> {
        let line = &line;
        Box::new(move || {
            for round in 0..rounds {
                let turn = 2 * round + parity;
                while line.load(Ordering::Acquire) != turn {
                    spin_loop();
                }
                line.store(turn + 1, Ordering::Release);
            }
            Ok(())
        })
    };
    per(together(vec![(cores[0], side(0)), (cores[1], side(1))])?, 2 * times)
}

fn hops(cores: [usize; 2], times: usize) -> Result<f64> {
    let ring = ArrayQueue::new(RING_PACKETS);
    let cycles = together(vec![
        (
            cores[0],
            Box::new(|| {
                (0..times).for_each(|number| push(&ring, number));
                Ok(())
            }),
        ),
        (
            cores[1],
            Box::new(|| {
                (0..times).for_each(|_| {
                    black_box(pop(&ring));
                });
                Ok(())
            }),
        ),
    ])?;
    per(cycles, times)
}

fn push<T>(ring: &ArrayQueue<T>, mut item: T) {
    while let Err(back) = ring.push(item) {
        item = back;
        spin_loop();
    }
}

fn pop<T>(ring: &ArrayQueue<T>) -> T {
    loop {
        // As the workers do: an empty pop ends in a fence.
        if !ring.is_empty()
            && let Some(item) = ring.pop()
        {
            return item;
        }
        spin_loop();
    }
}

fn accepts(core: usize, times: usize) -> Result<f64> {
    let cycles = together(vec![(
        core,
        Box::new(|| {
            let mut window = ReplayWindow::new(WINDOW_PACKETS);
            let all = (1..=u64::try_from(times)?)
                .all(|number| window.check(number).is_ok() && window.accept(number).is_ok());
            ensure!(all, "a number came twice");
            Ok(())
        }),
    )])?;
    per(cycles, times)
}

/// A worker's way of opening, and packets to open.
struct Opener {
    engine: Engine,
    sealed: Packets,
    packets: Packets,
}

impl Opener {
    fn new(payload_bytes: usize) -> Result<Self> {
        let engine = Engine::ours(Kernel::detect(), 1, 256)?;
        let mut sealed = Packets::new(payload_bytes);
        engine.seal(&mut sealed)?;
        Ok(Self { engine, packets: sealed.clone(), sealed })
    }

    /// A burst arrives and is opened.
    fn open(&mut self) -> Result<()> {
        self.packets.restore(&self.sealed);
        self.engine.open(&mut self.packets).map(drop)
    }
}

/// Numbers of a burst, from the order in which the peer sent.
fn numbers(next: &AtomicU64) -> std::ops::Range<u64> {
    let packets = BURST_PACKETS as u64;
    let first = 1 + next.fetch_add(packets, Ordering::Relaxed);
    first..first + packets
}

/// Which of them are new, a bit each.
fn accept(window: &mut ReplayWindow, numbers: std::ops::Range<u64>) -> u64 {
    numbers.fold(0, |verdicts, number| verdicts << 1 | u64::from(window.accept(number).is_ok()))
}

fn alone(core: usize, payload_bytes: usize, bursts: usize) -> Result<f64> {
    let (mut opener, next) = (Opener::new(payload_bytes)?, AtomicU64::new(0));
    let cycles = together(vec![(
        core,
        Box::new(|| {
            let mut window = ReplayWindow::new(WINDOW_PACKETS);
            for _ in 0..bursts {
                let numbers = numbers(&next);
                black_box(numbers.clone().all(|number| window.check(number).is_ok()));
                opener.open()?;
                black_box(accept(&mut window, numbers));
            }
            Ok(())
        }),
    )])?;
    per(cycles, bursts * BURST_PACKETS)
}

fn at_home(cores: [usize; 2], payload_bytes: usize, bursts: usize) -> Result<f64> {
    let (mut home, mut foreign, away) =
        (Opener::new(payload_bytes)?, Opener::new(payload_bytes)?, Opener::new(payload_bytes)?);
    let next = AtomicU64::new(0);
    let (ring, spent) = (ArrayQueue::new(RING_PACKETS), ArrayQueue::new(2 * RING_PACKETS));
    (0..RING_PACKETS + BURST_PACKETS).for_each(|_| push(&spent, vec![0; away.sealed.buffer_bytes()]));
    let cycles = together(vec![
        (
            cores[0],
            Box::new(|| {
                let mut window = ReplayWindow::new(WINDOW_PACKETS);
                let mut round = |opener: &mut Opener, arrive: bool| -> Result<()> {
                    let numbers = numbers(&next);
                    black_box(numbers.clone().all(|number| window.check(number).is_ok()));
                    if arrive {
                        opener.open()?
                    } else {
                        opener.engine.open(&mut opener.packets).map(drop)?
                    }
                    black_box(accept(&mut window, numbers));
                    Ok(())
                };
                for _ in 0..bursts {
                    round(&mut home, true)?;
                    for at in 0..BURST_PACKETS {
                        push(&spent, foreign.packets.exchange(at, pop(&ring)));
                    }
                    round(&mut foreign, false)?;
                }
                Ok(())
            }),
        ),
        (
            cores[1],
            Box::new(|| {
                for number in 0..bursts * BURST_PACKETS {
                    let mut packet: Vec<u8> = pop(&spent);
                    packet.copy_from_slice(away.sealed.buffer(number % BURST_PACKETS));
                    push(&ring, packet);
                }
                Ok(())
            }),
        ),
    ])?;
    per(cycles, 2 * bursts * BURST_PACKETS)
}

fn on_arrival(cores: [usize; 2], payload_bytes: usize, bursts: usize) -> Result<f64> {
    let (mut home, mut away) = (Opener::new(payload_bytes)?, Opener::new(payload_bytes)?);
    let next = AtomicU64::new(0);
    let (asked, answered) = (ArrayQueue::new(2 * UNANSWERED), ArrayQueue::new(2 * UNANSWERED));
    let cycles = together(vec![
        (
            cores[0],
            Box::new(|| {
                let mut window = ReplayWindow::new(WINDOW_PACKETS);
                let (mut own, mut others) = (0, 0);
                while own < bursts || others < bursts {
                    if own < bursts {
                        let numbers = numbers(&next);
                        black_box(numbers.clone().all(|number| window.check(number).is_ok()));
                        home.open()?;
                        black_box(accept(&mut window, numbers));
                        own += 1;
                    }
                    while !asked.is_empty()
                        && let Some(numbers) = asked.pop()
                    {
                        push(&answered, accept(&mut window, numbers));
                        others += 1;
                    }
                }
                Ok(())
            }),
        ),
        (
            cores[1],
            Box::new(|| {
                let mut unanswered = 0;
                for _ in 0..bursts {
                    let numbers = numbers(&next);
                    away.open()?;
                    push(&asked, numbers);
                    unanswered += 1;
                    while unanswered == UNANSWERED || (unanswered > 0 && !answered.is_empty()) {
                        black_box(pop(&answered));
                        unanswered -= 1;
                    }
                }
                (0..unanswered).for_each(|_| {
                    black_box(pop(&answered));
                });
                Ok(())
            }),
        ),
    ])?;
    per(cycles, 2 * bursts * BURST_PACKETS)
}
