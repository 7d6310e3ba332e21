use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use serde_json::json;

use super::*;

fn sample(at: Instant, pid: u32, rounds: u64) -> Sample {
    let status = json!({
        "name": "gw-a", "version": "0.1.0", "dpdk": "22.11", "pid": pid, "uptime_s": 7260, "config_file": "f", "applied_at": 0,
        "memory": "huge", "kernel": "vaes256", "workers": 1, "connections_up": 1, "connections": 2, "child_sas": 1,
        "dropped_packets": 0, "buffers_in_use": 0, "buffers": 1, "open_commands": 0,
    });
    let connection = |name: &str, state: &str, failure: serde_json::Value| {
        json!({
            "name": name, "gateway": "gw", "virtual_network": "net", "peer": "site-b", "local": "192.0.2.1",
            "remote": "192.0.2.2", "mode": "Default", "state": state, "remote_prefixes": [], "failure": failure,
            "traffic": { "in_packets": 100 * rounds, "in_bytes": 125_000_000 * rounds, "out_packets": 2_000_000 * rounds, "out_bytes": 0 },
        })
    };
    let failure = json!({ "problem": "the peer does not answer", "remedy": "", "ago_s": 1, "retry_in_s": 5 });
    let connections =
        json!([connection("a-to-b", "up", serde_json::Value::Null), connection("a-to-c", "down", failure)]);
    let quantiles = json!({ "p50": 0, "p99": 0, "p999": 0, "max": 0 });
    let workers = json!([{
        "index": 0, "core": 1, "running": true, "kernel": "vaes256", "idle": "adaptive", "busy_percent": 0.0,
        "busy_cycles": 370 * rounds, "idle_cycles": 630 * rounds, "rx_packets": 10 * rounds, "tx_packets": 20 * rounds,
        "sealed_packets": 30 * rounds, "opened_packets": 40 * rounds, "dropped_packets": 5 * rounds,
        "burst_packets": quantiles, "residence_ns": quantiles,
    }]);
    let counter = |name: &str, drop: bool, total: u64| {
        json!({
            "group": "worker", "name": name, "unit": "packets", "drop": drop, "meaning": "m", "remedy": "do this",
            "total": total, "by_worker": [total],
        })
    };
    let counters = json!([
        counter("rx_packets", false, 10 * rounds),
        counter("drop_old", true, 9),
        counter("drop_moving", true, 5 * rounds),
        counter("drop_never", true, 0)
    ]);
    Sample {
        at,
        status: serde_json::from_value(status).unwrap(),
        connections: serde_json::from_value(connections).unwrap(),
        workers: serde_json::from_value(workers).unwrap(),
        counters: serde_json::from_value(counters).unwrap(),
    }
}

fn rates() -> Rates {
    let start = Instant::now();
    Rates::between(&sample(start, 1, 1), &sample(start + Duration::from_millis(500), 1, 2))
}

/// What a terminal of this size shows.
fn screen(width: u16, height: u16, rates: Option<&Rates>, view: &View) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, rates, view)).unwrap();
    let buffer = terminal.backend().buffer();
    let row = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
    (0..height).map(row).collect()
}

#[test]
fn rates_are_a_second_of_what_moved_between_the_samples() {
    let rates = rates();
    let connection = &rates.connections[0];
    assert_eq!((connection.in_bits_per_s, connection.in_packets_per_s), (2_000_000_000, 200));
    assert_eq!((connection.out_bits_per_s, connection.out_packets_per_s), (0, 4_000_000));
    let worker = &rates.workers[0];
    assert!((worker.busy_percent - 37.0).abs() < 1e-9, "{worker:?}");
    assert_eq!((worker.rx_packets_per_s, worker.dropped_packets_per_s), (20, 10));
    let drops: Vec<_> = rates.drops.iter().map(|drop| (drop.name.as_str(), drop.per_s, drop.total)).collect();
    assert_eq!(drops, [("drop_moving", 10, 10), ("drop_old", 0, 9)]);
}

#[test]
fn another_start_of_the_gateway_begins_at_0() {
    let start = Instant::now();
    let rates = Rates::between(&sample(start, 1, 1), &sample(start + Duration::from_secs(1), 2, 5));
    assert_eq!(rates.connections[0].in_bits_per_s, 0);
    assert!(rates.workers[0].busy_percent.abs() < f64::EPSILON);
}

#[test]
fn everything_is_readable_in_80_by_24() {
    let shown = screen(80, 24, Some(&rates()), &View::default());
    let expected = [
        "gw-a  running 2h 1m  1 of 2 connections up  in 4 Gbit/s  out 0 bit/s",
        "CONNECTION                  STATE        IN bit/s  IN pkt/s  OUT bit/s OUT pkt/s",
        "a-to-b                      up                2 G       200          0       4 M",
        "a-to-c                      down       the peer does not answer",
        "",
        "WORKER CORE  LOAD                   RX/s     TX/s  SEALED/s  OPENED/s DROPPED/s",
        "     0    1  [####      ]  37 %       20       40        60        80        10",
        "",
        "DROPS                           per s    TOTAL  WHAT TO DO",
        "drop_moving                        10       10  do this",
        "drop_old                            0        9  do this",
    ];
    assert_eq!(shown[..expected.len()], expected, "{shown:#?}");
    assert_eq!(shown[23], "q quit   up, down, page up, page down: connections");
}

#[test]
fn more_connections_than_lines_are_scrolled() {
    let mut rates = rates();
    let one = rates.connections[0].clone();
    rates.connections =
        (0..100).map(|number| ConnectionRates { name: format!("site-{number}"), ..one.clone() }).collect();
    let shown = screen(80, 24, Some(&rates), &View { first: 1000, ..View::default() });
    assert!(shown.iter().any(|line| line.starts_with("site-99 ")), "{shown:#?}");
    assert!(shown.iter().any(|line| line.starts_with("WORKER")), "{shown:#?}");
    assert!(shown.iter().any(|line| line.contains("drop_old")), "{shown:#?}");
    assert!(shown.iter().any(|line| line.ends_with(" to 100 of 100")), "{shown:#?}");
}

#[test]
fn no_size_of_the_terminal_is_too_small() {
    let rates = rates();
    let view = View { trouble: Some("the gateway does not answer".into()), ..View::default() };
    for (width, height) in [(1, 1), (1, 30), (30, 1), (20, 5), (200, 60)] {
        screen(width, height, Some(&rates), &view);
        screen(width, height, None, &View::default());
    }
    assert_eq!(screen(40, 5, Some(&rates), &view)[0], "the gateway does not answer");
}

#[test]
fn names_from_outside_cannot_steer_the_terminal() {
    let mut rates = rates();
    rates.connections[1].problem = Some("\u{1b}[2J".into());
    let shown = screen(80, 24, Some(&rates), &View::default());
    assert!(shown[3].contains("\\u{1b}[2J"), "{shown:#?}");
}
