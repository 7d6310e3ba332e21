//! The model of many workers, `model.md`: what 16 and 64 of them can make of one tunnel, worked out of the operations that `scale` measured on two.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::{number, word};

/// Packets of a full burst.
const BURST: f64 = 32.0;
/// Bytes of the inner packets of which the page speaks.
const INNER_BYTES: f64 = 256.0;
const WORKERS: [f64; 5] = [1.0, 2.0, 4.0, 16.0, 64.0];

type Rows = [Map<String, Value>];

/// What was measured, in TSC cycles.
#[derive(Clone, Copy)]
struct Costs {
    /// Of a whole worker, a packet.
    outbound: f64,
    inbound: f64,
    /// From one atomic add to the next on a line that two workers want.
    add: f64,
    /// Of a line, from core to core.
    line: f64,
    /// Of a ring, for each of its entries.
    hop: f64,
    /// Of a window's check and update.
    accept: f64,
}

/// How many times one worker's rate so many workers reach with one tunnel.
struct Speedups {
    outbound: f64,
    at_home: f64,
    on_arrival: f64,
}

impl Costs {
    /// `None` where `scale` was not run whole.
    fn of(rows: &Rows) -> Option<Self> {
        let operation =
            |name: &str| number(rows.iter().find(|row| word(row, "operation") == name)?, "cycles");
        let worker = |direction: &str| {
            let row = rows.iter().find(|row| {
                word(row, "direction") == direction
                    && number(row, "inner_bytes") == Some(INNER_BYTES)
                    && number(row, "sas") == Some(1.0)
                    && number(row, "workers") == Some(1.0)
            });
            number(row?, "net_cycles_per_packet")
        };
        Some(Self {
            outbound: worker("outbound")?,
            inbound: worker("inbound")?,
            add: operation("atomic add, contended")?,
            line: operation("cache line, to and fro, half")?,
            hop: operation("ring hop")?,
            accept: operation("replay window, check and accept")?,
        })
    }

    fn speedups(self, workers: f64) -> Speedups {
        // Each burst takes one add on the tunnel's line, and the line serves one at a time.
        let (burst, service) = (BURST * self.outbound, self.add.max(self.line));
        let used = (workers - 1.0) * service / (burst + service);
        let wait = if used < 1.0 { service * (1.0 + used / (2.0 * (1.0 - used))) } else { f64::INFINITY };
        let free = if workers > 1.0 { workers * burst / (burst + wait) } else { 1.0 };
        let outbound = if wait.is_finite() { free.min(burst / service) } else { burst / service };
        // The home opens everything, and takes what others received off their rings.
        let others = (workers - 1.0) / workers;
        let at_home = self.inbound / (self.inbound + self.hop * others);
        // The home opens its share, and for the others' moves the window; a message a burst and its answer are two hops.
        let for_others = self.accept + 2.0 * self.hop / BURST;
        let on_arrival = workers * self.inbound / (self.inbound + (workers - 1.0) * for_others);
        Speedups { outbound, at_home, on_arrival }
    }
}

/// What sharing costs, as a table; empty where it was not measured.
pub(super) fn table(rows: &Rows) -> String {
    let operations: Vec<_> = rows.iter().filter(|row| row.contains_key("operation")).collect();
    if operations.is_empty() {
        return String::new();
    }
    let mut table = String::from(
        "### What sharing costs\n\nTSC cycles from one operation to the next, whoever of the workers does it; of packets opened, a packet. [model.md](model.md) makes use of it.\n\n\
         | operation | payload bytes | workers | cycles, min | median | spread |\n| --- | --- | --- | --- | --- | --- |\n",
    );
    for row in operations {
        let cycles =
            ["cycles", "median_cycles", "spread_cycles"].map(|key| number(row, key).unwrap_or_default());
        let _ = writeln!(
            table,
            "| {} | {} | {} | {:.1} | {:.1} | {:.1} |",
            word(row, "operation"),
            word(row, "payload_bytes"),
            word(row, "workers"),
            cycles[0],
            cycles[1],
            cycles[2]
        );
    }
    table
}

/// The page; `None` where its numbers were not measured.
pub(super) fn page(rows: &Rows, tsc_hz: f64) -> Option<String> {
    let costs = Costs::of(rows)?;
    let opened = |way: &str, bytes: f64| {
        let row = rows
            .iter()
            .find(|row| word(row, "operation") == way && number(row, "payload_bytes") == Some(bytes));
        row.and_then(|row| number(row, "cycles"))
            .map_or_else(|| "-".to_owned(), |cycles| format!("{cycles:.0}"))
    };
    let Costs { outbound, inbound, add, line, hop, accept } = costs;
    let mut page = format!(
        "# One tunnel on many workers: the model

Written by `crossgate-perf report` from the rows of `scale`; every number below is measured there or worked out of those. Cycles are those of the TSC ({:.2} GHz), the
least of ten windows, on two cores. Packets have 256 bytes inside, bursts are full.

| measured | cycles |
| --- | --- |
| a worker, outbound, a packet | {outbound:.0} |
| a worker, inbound, a packet | {inbound:.0} |
| an atomic add on a line that another worker wants, too | {add:.1} |
| a cache line from core to core | {line:.1} |
| a hop over a ring, an entry | {hop:.1} |
| the replay window: check and accept, a packet | {accept:.1} |

## What is shared

| direction | shared by workers | how often |
| --- | --- | --- |
| outbound | the SA's sequence number, bytes and path MTU: one line, written | once a burst and SA |
| outbound | hot part and key of the SA: 14 lines, read only | each packet touches 10 of them, in every worker's own cache |
| inbound, at another worker than the home | a ring's entry (the packet's record, 1 line) and the packet's first lines, which change cores | once a packet |
| inbound | the replay window: the home's own | not shared |
| both | a gateway's token bucket, where its size limits it: one line, written | once a run of packets |
| both | forwarding snapshot, neighbours: read only | not written while packets flow |

A packet of 256 bytes touches 4 lines of payload and 12 of its SA outbound (README.md, \"Memory of an SA\"), and one more for its buffer's header at either end.

## How it scales

Outbound, each burst of W workers waits for the tunnel's line: the line serves one add at a time, in the time measured for two; the wait beyond that is that of a queue with
constant service. Inbound, packets that arrive at another worker are either *opened at home* (each one hop; the home opens all of them) or *opened where they arrive* (the home moves the window;
one message a burst and its answer). Times one worker's rate:

| workers | outbound | inbound, opened at home | inbound, opened where it arrives | a Child SA for each worker (RFC 9611) |
| --- | --- | --- | --- | --- |
",
        tsc_hz / 1e9
    );
    for workers in WORKERS {
        let Speedups { outbound, at_home, on_arrival } = costs.speedups(workers);
        let _ = writeln!(
            page,
            "| {workers:.0} | {outbound:.1} | {at_home:.2} | {on_arrival:.1} | {workers:.0} |"
        );
    }
    let _ = write!(
        page,
        "
What the model leaves out: more sockets than one, whose lines take longer; memory bandwidth; and queues of network cards that are not filled evenly.

## Opened at home, or where it arrives

Measured on two workers, half of the packets arriving at each, with the functions that the workers use for cipher and window (cycles a packet, the pipeline's other stages left out):

| payload bytes | one worker | opened at home | opened where it arrives |
| --- | --- | --- | --- |
"
    );
    for bytes in [64.0, 1400.0] {
        let [one, home, arrival] = ["opened by one worker", "opened at home", "opened where it arrives"]
            .map(|way| opened(way, bytes));
        let _ = writeln!(page, "| {bytes:.0} | {one} | {home} | {arrival} |");
    }
    let _ = write!(
        page,
        "
{} Opening at home keeps the window with one owner, needs no answer and lets no packet wait, but one core opens the whole tunnel. Crossgate opens at home, and
avoids the hop where it can: a port that can steer by SPI brings ESP to its home, and between two peers that both know RFC 9611 each worker has a Child SA of its own. \
Opening where it arrives would pay for a single fat inbound tunnel through a port that cannot steer; it costs a wait of two hops for each burst, and a place where packets wait.
",
        verdict(rows)
    );
    Some(page)
}

/// Which way was faster, in words.
fn verdict(rows: &Rows) -> String {
    let cycles = |way: &str, bytes: f64| {
        let row = rows
            .iter()
            .find(|row| word(row, "operation") == way && number(row, "payload_bytes") == Some(bytes));
        row.and_then(|row| number(row, "cycles"))
    };
    let words = |bytes: f64| {
        let (home, arrival) = (cycles("opened at home", bytes)?, cycles("opened where it arrives", bytes)?);
        Some(format!("{:.2} times as fast at {bytes:.0} bytes", home / arrival))
    };
    match (words(64.0), words(1400.0)) {
        (Some(short), Some(long)) => format!("Opening where it arrives was {short} and {long}."),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COSTS: Costs =
        Costs { outbound: 200.0, inbound: 240.0, add: 50.0, line: 100.0, hop: 40.0, accept: 10.0 };

    #[test]
    fn one_worker_is_one_worker_and_the_line_is_the_limit() {
        let one = COSTS.speedups(1.0);
        assert_eq!((one.outbound, one.at_home, one.on_arrival), (1.0, 1.0, 1.0));
        let two = COSTS.speedups(2.0);
        assert!((1.9..2.0).contains(&two.outbound), "{}", two.outbound);
        // 6400 cycles a burst, 100 for the line.
        assert_eq!(COSTS.speedups(1000.0).outbound, 64.0);
    }

    #[test]
    fn opening_where_it_arrives_ends_at_what_the_window_costs() {
        // 12.5 cycles at home for each packet of others.
        assert!((COSTS.speedups(64.0).on_arrival - 64.0 * 240.0 / (240.0 + 63.0 * 12.5)).abs() < 1e-9);
        assert!(COSTS.speedups(64.0).at_home < 1.0);
    }

    #[test]
    fn page_has_the_measured_numbers_or_is_not_written() {
        let mut rows: Vec<Map<String, Value>> = serde_json::from_value(serde_json::json!([
            { "direction": "outbound", "inner_bytes": 64, "sas": 1, "workers": 1, "net_cycles_per_packet": 151.0 },
            { "direction": "outbound", "inner_bytes": 256, "sas": 1, "workers": 1, "net_cycles_per_packet": 201.0 },
            { "direction": "inbound", "inner_bytes": 256, "sas": 1, "workers": 1, "net_cycles_per_packet": 242.0 },
            { "operation": "atomic add, contended", "workers": 2, "cycles": 51.5 },
            { "operation": "cache line, to and fro, half", "workers": 2, "cycles": 101.0 },
            { "operation": "ring hop", "workers": 2, "cycles": 41.0 },
            { "operation": "replay window, check and accept", "workers": 1, "cycles": 9.0 } ]))
        .expect("rows");
        let page = page(&rows, 2e9).expect("all were measured");
        for part in ["| 201 |", "| 51.5 |", "| 64 |"] {
            assert!(page.contains(part), "{part} is not in {page}");
        }
        assert!(table(&rows).contains("| ring hop |  | 2 | 41.0 |"));
        rows.pop();
        assert!(super::page(&rows, 2e9).is_none());
    }
}
