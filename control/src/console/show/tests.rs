use crossgate_config::{Finding, Severity};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::*;
use crate::console::protocol::{Applied, Past, Planned, PlannedStep};

const PLAIN: Screen = Screen { width: None, colour: false };

fn made<T: DeserializeOwned>(value: serde_json::Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn a_connection(state: &str, failure: serde_json::Value) -> Connection {
    made(json!({
        "name": "a-to-b", "gateway": "gw", "virtual_network": "site-a", "peer": "site-b", "local": "192.0.2.1:500",
        "remote": "198.51.100.2:500", "mode": "Default", "state": state, "up_s": if state == "up" { json!(3700) } else { json!(null) },
        "peer_id": "198.51.100.2", "role": "initiator", "ike_suite": "GCMAES256 SHA384 ECP384", "esp_suite": "GCMAES256",
        "encapsulation": "esp", "ike_rekey_in_s": 25000, "remote_prefixes": ["10.2.0.0/16", "fd00:2::/48"],
        "traffic": { "in_packets": 12, "in_bytes": 2048, "out_packets": 2_500_000, "out_bytes": 3_000_000_000_u64 },
        "failure": failure,
    }))
}

fn an_sa() -> Sa {
    made(json!({
        "connection": "a-to-b", "tunnel": 0, "state": "sends", "inbound_spi": "0x1000", "outbound_spi": "0xc0ffee01",
        "suite": "GCMAES256", "esn": true, "encapsulation": "esp", "local": "192.0.2.1", "remote": "198.51.100.2",
        "local_selectors": ["10.1.0.0/16"], "remote_selectors": ["10.2.0.0/16"], "age_s": 60, "rekey_in_s": 26000,
        "expires_in_s": 27000, "traffic": { "in_packets": 1, "in_bytes": 84, "out_packets": 1, "out_bytes": 84 },
        "replayed": 0, "forged": 3, "path_mtu_bytes": 1500,
    }))
}

#[test]
fn connections_are_told_with_why_one_is_not_up() {
    let failure = json!({ "problem": "the peer refused our key", "remedy": "compare the keys of both sides", "ago_s": 5, "retry_in_s": 10 });
    let all = [a_connection("up", json!(null)), a_connection("down", failure)];
    assert_eq!(
        connections(&all, PLAIN),
        "\
CONNECTION  STATE  FOR    PEER    REMOTE               IN      OUT  WHY NOT
a-to-b      up     1h 1m  site-b  198.51.100.2:500  2 KiB  2.7 GiB
a-to-b      down          site-b  198.51.100.2:500  2 KiB  2.7 GiB  the peer refused our key
"
    );
    assert_eq!(connections(&[], PLAIN), "No connection is configured.\n");
}

#[test]
fn one_connection_is_told_in_full() {
    let failure =
        json!({ "problem": "no answer", "remedy": "look at the peer", "ago_s": 5, "retry_in_s": 10 });
    assert_eq!(
        connection(&a_connection("connecting", failure), &[an_sa()], PLAIN),
        "\
Connection       a-to-b
State            connecting
Gateway          gw of site-a
Peer             site-b
Addresses        192.0.2.1:500 to 198.51.100.2:500
Mode             Default
Behind the peer  10.2.0.0/16, fd00:2::/48
Received         2 KiB in 12 packets
Sent             2.7 GiB in 2.5 M packets
Peer's identity  198.51.100.2
We are           initiator
IKE algorithms   GCMAES256 SHA384 ECP384
ESP algorithms   GCMAES256
Encapsulation    esp
IKE rekey in     6h 56m
Failed           no answer (5s ago, tried again in 10s)
Remedy           look at the peer

CONNECTION  STATE  SPI IN  SPI OUT     ALGORITHMS     OVER    AGE  REKEY IN    IN   OUT  REPLAYED  FORGED  SELECTORS
a-to-b      sends  0x1000  0xc0ffee01  GCMAES256 ESN  esp   1m 0s    7h 13m  84 B  84 B         0       3  10.1.0.0/16 = 10.2.0.0/16
"
    );
    assert_eq!(sas(&[], PLAIN), "There is no Child SA.\n");
}

#[test]
fn nat_rules_of_a_connection_are_told() {
    let mut one = a_connection("up", json!(null));
    one.nat_rules = made(json!([
        { "name": "own", "mode": "EgressSnat", "internal_mapping": "10.1.0.0/24", "external_mapping": "100.64.1.0/24" },
        { "name": "b", "mode": "IngressSnat", "internal_mapping": "10.1.0.0/24", "external_mapping": "100.64.2.0/24" },
    ]));
    let told = connection(&one, &[], PLAIN);
    for line in [
        "NAT rule         own: EgressSnat, 10.1.0.0/24 as 100.64.1.0/24\n",
        "NAT rule         b: IngressSnat, 10.1.0.0/24 as 100.64.2.0/24\n",
    ] {
        assert!(told.contains(line), "{told}");
    }
}

#[test]
fn what_the_peer_assigned_is_told_with_the_sessions_behind_it() {
    let mut one = a_connection("up", json!(null));
    one.assigned = made(json!([{
        "addresses": ["10.9.0.1"], "dns_servers": ["10.2.0.53"], "subnets": ["10.2.0.0/16"],
        "sessions": { "tcp": 2, "udp": 1, "icmp": 0, "ports": 64512, "begun": 9, "refused": 0 },
    }]));
    let line = "Goes out as      10.9.0.1 by ports: 3 of 64512 in use (2 TCP, 1 UDP, 0 ICMP); name servers 10.2.0.53; subnets 10.2.0.0/16\n";
    let told = connection(&one, &[], PLAIN);
    assert!(told.contains(line), "{told}");
}

#[test]
fn the_gateway_is_told_as_a_whole() {
    let whole: Status = made(json!({
        "name": "gw-a", "version": "0.1.0", "dpdk": "22.11.9", "pid": 42, "uptime_s": 90, "config_file": "/etc/crossgate/gw.toml",
        "applied_at": 1_700_000_000, "memory": "hugepages, 256 MiB", "kernel": "vaes256", "workers": 2, "connections_up": 1,
        "connections": 2, "child_sas": 1, "dropped_packets": 7, "buffers_in_use": 512, "buffers": 8192, "open_commands": 3,
    }));
    assert_eq!(
        status(&whole, PLAIN),
        "\
Gateway          gw-a
Program          crossgated 0.1.0, process 42, DPDK 22.11.9
Running for      1m 30s
Configuration    /etc/crossgate/gw.toml, applied 2023-11-14T22:13:20.000Z
Connections      1 of 2 up
Child SAs        1
Workers          2, AES-GCM by vaes256
Memory           hugepages, 256 MiB
Packet buffers   512 of 8192 in use
Dropped packets  7
Open commands    3
"
    );
}

#[test]
fn ports_and_workers_are_told_a_line_each() {
    let port = |link_up: bool| -> Port {
        made(json!({
            "name": "wan", "device": "net_af_packet0,iface=wan0", "driver": "net_af_packet", "mac": "02:00:00:00:00:01",
            "link_up": link_up, "speed_mbit_per_s": 10_000, "mtu_bytes": 1500, "queues": 1, "esp_steering": "none", "networks": ["underlay"],
            "addresses": ["192.0.2.1/24"], "rx_packets": 10, "rx_bytes": 1024, "rx_missed": 2, "rx_errors": 1,
            "tx_packets": 5, "tx_bytes": 512, "tx_errors": 1,
        }))
    };
    assert_eq!(
        ports(&[port(true), port(false)], PLAIN),
        "\
PORT  LINK       NETWORKS  ADDRESSES     MAC                 MTU  QUEUES  ESP BY          IN        OUT  MISSED  ERRORS  DRIVER
wan   10 Gbit/s  underlay  192.0.2.1/24  02:00:00:00:00:01  1500       1  none    10 / 1 KiB  5 / 512 B       2       2  net_af_packet
wan   down       underlay  192.0.2.1/24  02:00:00:00:00:01  1500       1  none    10 / 1 KiB  5 / 512 B       2       2  net_af_packet
"
    );
    let worker: Worker = made(json!({
        "index": 0, "core": 1, "running": true, "kernel": "vaes256", "idle": "adaptive", "busy_percent": 12.345,
        "rx_packets": 1, "tx_packets": 2, "sealed_packets": 3, "opened_packets": 4, "dropped_packets": 5,
        "burst_packets": { "p50": 1, "p99": 32, "p999": 32, "max": 32 },
        "residence_ns": { "p50": 1500, "p99": 20_000, "p999": 40_000, "max": 90_000 },
    }));
    assert_eq!(
        workers(&[worker], PLAIN),
        "\
WORKER  CORE  STATE  IDLE        BUSY  RECEIVED  SENT  SEALED  OPENED  DROPPED  BURST 50/99/MAX  µs A BURST 50/99/MAX  AES-GCM
     0     1  runs   adaptive  12.3 %         1     2       3       4        5          1/32/32         1.5/20.0/90.0  vaes256
"
    );
}

#[test]
fn stages_are_told_a_worker_a_line() {
    use crate::console::stages::{StageShare, StageShares};
    let stage = |name: &str, percent: f64| StageShare {
        name: name.to_owned(),
        percent,
        cycles_per_packet: percent * 2.0,
    };
    let worker = |index, packets, percents: [f64; 2]| StageShares {
        index,
        core: 1,
        packets,
        cycles_per_packet: 200.0,
        stages: vec![stage("receive", percents[0]), stage("encrypt", percents[1])],
    };
    assert_eq!(
        stages(&[worker(0, 1200, [25.2, 74.8]), worker(1, 0, [0.0, 0.0])], PLAIN),
        "\
WORKER  CORE  PACKETS  RECEIVE  ENCRYPT  CYCLES A PACKET
     0     1     1200       50      150              200
     1     1        0        -        -                -
"
    );
    assert_eq!(stages(&[], PLAIN), "No worker.\n");
}

#[test]
fn counters_are_told_with_meaning_and_remedy() {
    let counter = |name: &str, total: u64| Counter {
        group: "worker".into(),
        name: name.into(),
        unit: "packets".into(),
        drop: true,
        meaning: "no route".into(),
        remedy: "add one".into(),
        total,
        by_worker: vec![total],
    };
    assert_eq!(
        counters(&[counter("no_route", 3), counter("runt", 0)], PLAIN),
        "\
GROUP   COUNTER   TOTAL  UNIT     MEANING   REMEDY
worker  no_route      3  packets  no route  add one
worker  runt          0  packets  no route
"
    );
    assert_eq!(counters(&[], PLAIN), "No counter has moved.\n");
}

#[test]
fn changes_findings_and_log_lines_are_told() {
    let warning = Finding {
        severity: Severity::Warning,
        file: "gw.toml".into(),
        line: 3,
        key: "appliance".into(),
        problem: "p".into(),
        remedy: "r".into(),
    };
    let error = Finding { severity: Severity::Error, ..warning.clone() };
    assert_eq!(applied(&Applied::default()), "Nothing differs from what runs.\n");
    let change = Applied {
        changes: vec!["connection a-to-b: added".into()],
        warnings: vec![warning.clone()],
        ..Applied::default()
    };
    assert_eq!(applied(&change), "warning: gw.toml:3: appliance: p\n  remedy: r\nconnection a-to-b: added\n");
    assert_eq!(findings(&[]), "The configuration is accepted.\n");
    assert!(
        findings(std::slice::from_ref(&warning))
            .ends_with("The configuration is accepted, with 1 warning.\n")
    );
    assert!(findings(&[error.clone(), error.clone()]).ends_with("The configuration is refused: 2 errors.\n"));
    assert!(findings(&[error, warning]).ends_with("The configuration is refused: 1 error, 1 warning.\n"));
    let line =
        LogLine { number: 1, at_ms: 1_700_000_000_123, level: "INFO".into(), text: "up \u{1b}[31m".into() };
    assert_eq!(log_line(&line), "2023-11-14T22:13:20.123Z INFO  up \\u{1b}[31m\n");
    let never = LogLine { at_ms: u64::MAX, ..line };
    assert!(log_line(&never).starts_with("9999-12-31T23:59:59.999Z"));
}

#[test]
fn a_plan_is_told_in_its_order_with_what_is_behind_each_step() {
    assert_eq!(planned(&Planned::default()), "Nothing differs from what runs.\n");
    let step = |change: &str, details: &[&str]| PlannedStep {
        change: change.into(),
        details: details.iter().map(|detail| (*detail).to_owned()).collect(),
    };
    let steps = vec![
        step("removed connection a", &[]),
        step("changed connection b", &["connection[b].mode: 1 -> 2"]),
    ];
    assert_eq!(
        planned(&Planned { steps, warnings: Vec::new() }),
        "1. removed connection a\n2. changed connection b\n     connection[b].mode: 1 -> 2\n"
    );
}

#[test]
fn the_history_shows_the_latest_first_and_who_applied_it() {
    let entry = |number, latest| Past {
        number,
        at: 1_700_000_000 + number,
        user_id: 7,
        occasion: "apply".into(),
        origin: "/etc/gw.toml".into(),
        latest,
    };
    let name = |user_id: u32| format!("user{user_id}");
    assert_eq!(
        history(&[entry(4, false), entry(5, true)], &name, PLAIN),
        "\
NUMBER  APPLIED                   BY     HOW    FROM
   * 5  2023-11-14T22:13:25.000Z  user7  apply  /etc/gw.toml
     4  2023-11-14T22:13:24.000Z  user7  apply  /etc/gw.toml
"
    );
    assert_eq!(history(&[], &name, PLAIN), "The history is empty.\n");
}

#[test]
fn the_sizes_fit_a_terminal_of_80_columns() {
    let shown = skus(crossgate_config::sku::TABLE, None, Screen { width: Some(80), colour: false });
    assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
    assert!(
        shown.contains("\nVpnGw3           2         30   128   1000    2500  1500  yes  yes   yes\n"),
        "{shown}"
    );
}

#[test]
fn places_of_a_peer_are_told_a_line_each() {
    let place = |place: &str, in_use, problem: Option<&str>| -> Place {
        made(json!({ "place": place, "in_use": in_use, "problem": problem, "ago_s": problem.map(|_| 75) }))
    };
    let mut seen = a_connection("up", json!(null));
    let lines = |seen: &Connection| -> Vec<String> {
        let shown = connection(seen, &[], PLAIN);
        let all = shown.lines().map(str::to_owned);
        all.skip_while(|line| !line.starts_with("Mode"))
            .skip(1)
            .take_while(|line| !line.starts_with("Behind"))
            .collect()
    };
    seen.places = vec![place("198.51.100.2", true, None)];
    assert!(lines(&seen).is_empty(), "its address says it all");
    seen.places = vec![
        place("gw.example.net", false, Some("IKE_SA_INIT: the peer does not answer")),
        place("198.51.100.2", true, None),
    ];
    assert_eq!(
        lines(&seen),
        [
            "Looked for at    gw.example.net: IKE_SA_INIT: the peer does not answer (1m 15s ago)",
            "                 198.51.100.2 (in use)",
        ]
    );
}
