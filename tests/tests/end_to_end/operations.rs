//! What an operator does with configurations of a gateway that runs: export, compare, go back; and what survives a restart.

use crossgate_tests::gateway::{Gateway, Plan};
use crossgate_tests::sites;
use serde_json::Value;
use std::path::PathBuf;

/// Writes `text` beside the gateway's own file.
fn beside(gateway: &Gateway<'_>, text: &str) -> PathBuf {
    let path = gateway.file().with_file_name("other.toml");
    std::fs::write(&path, text).expect("the gateway's folder can be written");
    path
}

#[test]
fn exported_configuration_is_accepted_and_changes_nothing() {
    let (site, _peer) = sites::with_peer().unwrap();
    let plan = Plan::site(1).with_policy("dh_group", "[\"ECP384\", \"Curve25519\"]");
    let gateway = Gateway::start(&site.gateway, plan).unwrap();
    let exported = gateway.client(&["export"]).unwrap();
    assert!(exported.status.success(), "{}", exported.output);
    assert!(!exported.output.contains(crossgate_tests::gateway::SHARED_KEY), "a secret is exported");
    let file = beside(&gateway, &exported.output);
    let file = file.to_str().unwrap();
    let checked = gateway.client(&["check", file]).unwrap();
    assert!(checked.status.success(), "{}", checked.output);
    let differs = gateway.client(&["diff", file]).unwrap();
    assert_eq!(differs.status.code(), Some(0), "{}", differs.output);
    let applied = gateway.ask(&["apply", file]).unwrap();
    assert_eq!(applied["changes"], Value::Array(Vec::new()), "{applied}");
    // The same configuration is one entry, whatever file it stands in.
    assert_eq!(gateway.ask(&["history"]).unwrap().as_array().unwrap().len(), 1);
}

#[test]
fn history_survives_a_kill_and_rollback_returns_to_what_was() {
    let (site, _peer) = sites::with_peer().unwrap();
    let mut gateway = Gateway::start(&site.gateway, Plan::site(1)).unwrap();
    let first = gateway.client(&["export"]).unwrap().output;
    let second = first.replace("dpd_timeout_s = 45", "dpd_timeout_s = 30");
    let file = beside(&gateway, &second);
    let path = file.to_str().unwrap();

    let differs = gateway.client(&["diff", path]).unwrap();
    assert_eq!(differs.status.code(), Some(5), "{}", differs.output);
    let told = "1. change connection peer\n     connection[peer].dpd_timeout_s: 45 -> 30\n";
    assert_eq!(differs.output, told);
    assert_eq!(gateway.client(&["export"]).unwrap().output, first, "a comparison changes nothing");

    let applied = gateway.ask(&["apply", path]).unwrap();
    assert_eq!(applied["entry"], 2, "{applied}");
    gateway.kill_and_restart().unwrap();
    // It read its own file again, which is the first configuration.
    let history = gateway.ask(&["history"]).unwrap();
    let told: Vec<_> = history.as_array().unwrap().iter().map(|entry| entry["occasion"].clone()).collect();
    assert_eq!(told, ["start", "apply", "start"], "{history}");
    assert_eq!(history[1]["user_id"], 0, "{history}");
    assert_eq!(history[1]["origin"], path, "{history}");
    assert_eq!(gateway.client(&["history", "2"]).unwrap().output, second);

    let back = gateway.ask(&["rollback"]).unwrap();
    assert_eq!(back["changes"], serde_json::json!(["changed connection peer"]), "{back}");
    assert_eq!(gateway.client(&["export"]).unwrap().output, second);
    let status = gateway.client(&["status"]).unwrap().output;
    assert!(status.contains("rolled back") && status.contains("differs from it"), "{status}");
    let back = gateway.ask(&["rollback", "1"]).unwrap();
    assert_eq!(back["entry"], 5, "{back}");
    assert_eq!(gateway.client(&["export"]).unwrap().output, first);

    let unknown = gateway.client(&["rollback", "77"]).unwrap();
    assert_eq!(unknown.status.code(), Some(2), "{}", unknown.output);
    gateway.must_run().unwrap();
    gateway.stop().unwrap();
}

#[test]
fn what_needs_a_restart_is_told_beforehand_and_in_the_same_words() {
    let (site, _peer) = sites::with_peer().unwrap();
    let gateway = Gateway::start(&site.gateway, Plan::site(1)).unwrap();
    let first = gateway.client(&["export"]).unwrap().output;
    let second = first
        .replace("idle = \"adaptive\"", "idle = \"poll\"")
        .replace("iface=lan", "iface=other")
        .replace("mtu_bytes = 1500", "mtu_bytes = 2000")
        .replace("dpd_timeout_s = 45", "dpd_timeout_s = 30");
    let file = beside(&gateway, &second);
    let file = file.to_str().unwrap();
    let told = gateway.client(&["diff", file]).unwrap();
    assert_eq!(told.status.code(), Some(1), "{}", told.output);
    let refused: Vec<&str> = told.output.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(refused.len(), 4, "{}", told.output);
    for (place, key) in [
        ("appliance.idle", "idle"),
        ("port[lan].device", "device"),
        ("port[lan].mtu_bytes", "mtu_bytes"),
        ("port[wan].mtu_bytes", "mtu_bytes"),
    ] {
        let here = refused.iter().find(|line| line.contains(&format!(": {place}: ")));
        let line = here.and_then(|here| here.strip_prefix(&format!("error: {file}:"))?.split(':').next());
        let line: usize = line.expect("it has a place").parse().expect("a line");
        let there = second.lines().nth(line - 1).expect("a line of the file");
        assert!(there.starts_with(key), "{place} is not in line {line}: {}", told.output);
    }
    let applied = gateway.client(&["apply", file]).unwrap();
    assert_eq!(applied.status.code(), Some(1), "{}", applied.output);
    assert_eq!(applied.output, format!("{}Nothing has changed in the gateway.\n", told.output));
    assert_eq!(gateway.client(&["export"]).unwrap().output, first);
    let remedy = "restart crossgated with this file";
    let refused = gateway.log().lines().filter(|line| line.contains(remedy)).count();
    assert_eq!(refused, 4, "a line each, and only for the attempt to apply it:\n{}", gateway.log());
}

#[test]
fn rollback_to_a_configuration_whose_secret_is_gone_changes_nothing() {
    let (site, _peer) = sites::with_peer().unwrap();
    let gateway = Gateway::start(&site.gateway, Plan::site(1)).unwrap();
    let first = gateway.client(&["export"]).unwrap().output;
    let key = gateway.file().with_file_name("peer.psk");
    let moved = key.with_file_name("moved.psk");
    std::fs::copy(&key, &moved).unwrap();
    let second = first.replace("/peer.psk", "/moved.psk").replace("dpd_timeout_s = 45", "dpd_timeout_s = 30");
    let file = beside(&gateway, &second);
    gateway.ask(&["apply", file.to_str().unwrap()]).unwrap();
    std::fs::remove_file(&key).unwrap();
    let refused = gateway.client(&["rollback"]).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{}", refused.output);
    assert!(
        refused.output.contains("peer.psk") && refused.output.contains("Nothing has changed"),
        "{}",
        refused.output
    );
    assert_eq!(gateway.client(&["export"]).unwrap().output, second);
}

#[test]
fn live_view_as_json_counts_what_passes() {
    use crossgate_tests::traffic::Stream;
    let (site, peer) = sites::with_peer().unwrap();
    let (_strongswan, gateway) = sites::tunnel(&site, &peer).unwrap();
    let stream = Stream::start(site.ipv4(), peer.ipv4(), 500, 700).unwrap();
    stream.flows(200).unwrap();
    let rates = gateway.ask(&["top", "-n", "1"]).unwrap();
    let stages = gateway.ask(&["workers", "--stages"]).unwrap();
    stream.stop().unwrap().whole().unwrap();
    let out = rates["connections"][0]["out_packets_per_s"].as_u64().unwrap();
    assert!((400..=600).contains(&out), "500 packets a second are sent: {rates}");
    let bits = rates["connections"][0]["out_bits_per_s"].as_u64().unwrap();
    assert!((400 * 700 * 8..=600 * 900 * 8).contains(&bits), "{rates}");
    assert!(rates["workers"][0]["sealed_packets_per_s"].as_u64().unwrap() >= 400, "{rates}");
    let sealed =
        stages[0]["stages"].as_array().unwrap().iter().find(|stage| stage["name"] == "encrypt").unwrap();
    assert!(
        sealed["percent"].as_f64().unwrap() > 0.0,
        "packets are encrypted while stages are measured: {stages}"
    );
    let sum: f64 =
        stages[0]["stages"].as_array().unwrap().iter().map(|stage| stage["percent"].as_f64().unwrap()).sum();
    assert!((99.0..101.0).contains(&sum), "{sum} percent: {stages}");
    // Without a terminal there is no picture.
    assert_eq!(gateway.client(&["top"]).unwrap().status.code(), Some(2));

    let reset = gateway.ask(&["reset", "--gateway", "gw"]).unwrap();
    assert_eq!(reset, serde_json::json!(["peer"]));
    gateway.is("peer", "up").unwrap();
}
