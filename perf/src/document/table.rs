//! The page of tables, `results.md`.

use std::fmt::Write as _;

use super::{Results, model, number, stages, word};

/// Columns of a benchmark: key, heading, digits behind the point (none for words).
type Columns = &'static [(&'static str, &'static str, Option<usize>)];

const COMPARE: Columns = &[
    ("direction", "direction", None),
    ("traffic", "inner bytes", None),
    ("key_bits", "key bits", None),
    ("program", "program", None),
    ("engine", "engine", None),
    ("net_cycles_per_packet", "net cycles/packet, min", Some(0)),
    ("median_net_cycles_per_packet", "median", Some(0)),
    ("spread_cycles_per_packet", "spread", Some(0)),
    ("floor_cycles_per_packet", "source and sink", Some(0)),
    ("mpps", "Mpps", Some(2)),
    ("gbit_per_s", "Gbit/s", Some(2)),
];
const WORKER: Columns = &[
    ("direction", "direction", None),
    ("ip_version", "IP", None),
    ("traffic", "inner bytes", None),
    ("key_bits", "key bits", None),
    ("kernel", "kernel", None),
    ("net_cycles_per_packet", "net cycles/packet, min", Some(0)),
    ("median_net_cycles_per_packet", "median", Some(0)),
    ("spread_cycles_per_packet", "spread", Some(0)),
    ("mpps", "Mpps", Some(2)),
    ("gbit_per_s", "Gbit/s", Some(2)),
];
const KERNELS: Columns = &[
    ("direction", "direction", None),
    ("payload_bytes", "payload bytes", None),
    ("key_bits", "key bits", None),
    ("sas", "SAs", None),
    ("engine", "engine", None),
    ("cycles_per_packet", "cycles/packet, min", Some(1)),
    ("median_cycles_per_packet", "median", Some(1)),
    ("spread_cycles_per_packet", "spread", Some(1)),
    ("p99_cycles_per_packet", "p99", Some(1)),
];
const SCALE: Columns = &[
    ("direction", "direction", None),
    ("inner_bytes", "inner bytes", None),
    ("sas", "SAs each way", None),
    ("workers", "workers", None),
    ("net_cycles_per_packet", "net cycles/packet, min", Some(0)),
    ("median_net_cycles_per_packet", "median", Some(0)),
    ("throughput_ratio", "throughput against one", Some(2)),
    ("outbound_sa_bytes", "bytes an SA, out", Some(0)),
    ("inbound_sa_bytes", "in", Some(0)),
    ("install_outbound_s", "install out, s", Some(2)),
    ("install_inbound_s", "in, s", Some(2)),
    ("rekey_s", "rekey all, s", Some(2)),
    ("rekey_mpps", "at Mpps", Some(2)),
    ("rekey_lost_packets", "lost", None),
];
const LATENCY: Columns = &[
    ("direction", "direction", None),
    ("traffic", "inner bytes", None),
    ("idle", "idle", None),
    ("load_percent", "load, %", None),
    ("mpps", "Mpps", Some(2)),
    ("lost", "lost", None),
    ("repeated", "second try", None),
    ("p50_us", "p50 us", Some(1)),
    ("p99_us", "p99 us", Some(1)),
    ("p99_9_us", "p99.9 us", Some(1)),
    ("max_us", "max us", Some(1)),
    ("inside_p99_us", "inside p99 us", Some(1)),
];
const NDR: Columns = &[
    ("generator", "generator", None),
    ("direction", "direction", None),
    ("ip_version", "IP", None),
    ("traffic", "inner bytes", None),
    ("sas", "SAs", None),
    ("flows", "flows", None),
    ("mpps", "zero-loss Mpps", Some(2)),
    ("gbit_per_s", "Gbit/s", Some(2)),
    ("p50_us", "p50 us", Some(1)),
    ("mean_us", "mean us", Some(1)),
    ("p99_us", "p99 us", Some(1)),
    ("max_us", "max us", Some(1)),
];
const HANDSHAKES: Columns = &[
    ("program", "program", None),
    ("roles", "roles", None),
    ("authentication", "authentication", None),
    ("key_exchange", "key exchange", None),
    ("ike_sas", "IKE SAs up at the end", None),
    ("handshakes_per_s", "handshakes/s, median", Some(0)),
    ("best_handshakes_per_s", "best", Some(0)),
    ("handshakes_per_cpu_s", "handshakes a CPU second", Some(0)),
    ("times_strongswan", "times strongSwan", Some(1)),
    ("responder_busy_percent", "responder's core busy, %", Some(0)),
    ("bytes_per_ike_sa", "bytes an IKE SA", Some(0)),
    ("memory_below_strongswan", "times less than strongSwan", Some(1)),
];

fn columns(benchmark: &str) -> (&'static str, Columns) {
    match benchmark {
        "compare" => ("Crossgate beside ipsec-secgw and VPP", COMPARE),
        "worker" => ("A worker", WORKER),
        "kernels" => ("AES-GCM alone", KERNELS),
        "scale" => ("Many tunnels, two workers", SCALE),
        "latency" => ("Latency", LATENCY),
        "ndr" => ("Zero-loss rate", NDR),
        _ => ("IKE handshakes", HANDSHAKES),
    }
}

/// The page: what everything was measured on, then a table for each benchmark.
pub(super) fn page(all: &[(&str, Results)], document: &Results) -> String {
    let mut page = String::from(
        "# Results\n\nMade by `crossgate-perf report`; [README.md](README.md) says how to read them.\n\n",
    );
    let versions: Vec<_> =
        document.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
    // Writing to a string does not fail.
    let _ = writeln!(
        page,
        "CPU: {}, TSC {:.3} GHz. {}.\n",
        document.cpu,
        document.tsc_hz / 1e9,
        versions.join(", ")
    );
    for (name, results) in all {
        let (title, columns) = columns(name);
        let _ = writeln!(page, "## {title} (`crossgate-perf {name}`)\n");
        if results.seconds > 0.0 {
            let _ = write!(page, "Took {:.0} s. ", results.seconds);
        }
        if !results.load_average.is_empty() {
            let _ = writeln!(page, "Load average at the end: {}.\n", results.load_average);
        }
        for note in &results.notes {
            let _ = writeln!(page, "{note}\n");
        }
        page.push_str(&table(results, columns));
        page.push('\n');
        if *name == "scale" {
            let _ = writeln!(page, "{}", model::table(&results.rows));
        }
        if *name == "worker" {
            let _ = writeln!(page, "{}", stages::table(&results.rows));
        }
    }
    page
}

fn table(results: &Results, columns: Columns) -> String {
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let mut table = line(columns.iter().map(|(_, heading, _)| (*heading).to_owned()).collect());
    table.push_str(&line(columns.iter().map(|_| "---".to_owned()).collect()));
    // Those have a table of their own.
    for row in results.rows.iter().filter(|row| !row.contains_key("operation")) {
        table.push_str(&line(
            columns
                .iter()
                .map(|(key, _, digits)| match (digits, number(row, key)) {
                    (Some(digits), Some(figure)) => format!("{figure:.digits$}"),
                    _ => word(row, key),
                })
                .collect(),
        ));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_a_line_and_what_it_lacks_is_empty() {
        let json = r#"{ "cpu": "c", "tsc_hz": 1e9, "versions": { "dpdk": "22.11" }, "rows": [
            { "direction": "outbound", "inner_bytes": 64, "sas": 1, "workers": 1, "net_cycles_per_packet": 99.6, "throughput_ratio": 1.0 },
            { "direction": "inbound", "sas": 100000, "rekey_lost_packets": 0 } ] }"#;
        let results: Results = serde_json::from_str(json).expect("results");
        let page = page(&[("scale", results.clone())], &results);
        let lines: Vec<_> = page.lines().filter(|line| line.starts_with('|')).collect();
        assert_eq!(lines.len(), 4, "{page}");
        assert_eq!(lines[2], "| outbound | 64 | 1 | 1 | 100 |  | 1.00 |  |  |  |  |  |  |  |");
        assert_eq!(lines[3], "| inbound |  | 100000 |  |  |  |  |  |  |  |  |  |  | 0 |");
        assert!(page.contains("dpdk 22.11"));
    }
}
