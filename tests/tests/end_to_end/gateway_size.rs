//! What a gateway's size allows, while traffic flows; and what it has used.

use crossgate_tests::gateway::Gateway;
use crossgate_tests::sites;
use crossgate_tests::traffic::Stream;
use crossgate_tests::wait::{Look, until};
use serde_json::Value;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Applies the gateway's file with another bandwidth.
fn resize(gateway: &Gateway<'_>, mbit_per_s: u32) {
    let text = gateway.plan().text(gateway.file().parent().expect("a file in a folder"));
    let size = format!("sku = \"custom\"\ncustom = {{ tunnels = 1, bandwidth_mbit_per_s = {mbit_per_s} }}");
    gateway.write_file(&text.replace("sku = \"VpnGw1\"", &size)).expect("the folder can be written");
    let file = gateway.file();
    let applied = gateway.ask(&["apply", file.to_str().expect("text")]).expect("it is applied");
    assert_eq!(applied["changes"].as_array().map(Vec::len), Some(1), "{applied}");
}

#[test]
fn size_limits_the_gateway_and_a_resize_under_traffic_keeps_the_tunnel() {
    let (site, peer) = sites::with_peer().unwrap();
    let (_strongswan, gateway) = sites::tunnel(&site, &peer).unwrap();
    let spi = gateway.only_sa().unwrap()["inbound_spi"].clone();
    // 1000 packets of 1028 bytes a second are 8.2 Mbit/s.
    let stream = Stream::start(site.ipv4(), peer.ipv4(), 1000, 1000).unwrap();
    stream.flows(500).unwrap();
    assert_eq!(gateway.counter("sku_bandwidth_outbound").unwrap(), 0, "the default size has room for it");

    resize(&gateway, 2);
    let (before, began) = (stream.received(), Instant::now());
    let goal = stream.sent() + 3000;
    until("three seconds of the stream", Duration::from_secs(60), || {
        Ok(Look::when(stream.sent() >= goal, || format!("{} sent", stream.sent())))
    })
    .unwrap();
    let (received, elapsed) = (stream.received() - before, began.elapsed());
    // What was on its way at the beginning, and what the bucket holds, come on top.
    let most = u128::from(2_000_000_u32 / 8) * elapsed.as_millis() / 1000 + 100_000;
    assert!(u128::from(received) * 1028 <= most, "{received} packets in {elapsed:?}");
    assert!(u128::from(received) * 1028 >= most / 3, "{received} packets in {elapsed:?}");
    assert!(gateway.counter("sku_bandwidth_outbound").unwrap() > 1000);

    resize(&gateway, 1000);
    stream.flows(100).unwrap();
    let dropped = gateway.counter("sku_bandwidth_outbound").unwrap();
    stream.flows(1000).unwrap();
    assert_eq!(
        gateway.counter("sku_bandwidth_outbound").unwrap(),
        dropped,
        "the larger size has room for it"
    );
    stream.stop().unwrap();
    assert_eq!(gateway.only_sa().unwrap()["inbound_spi"], spi, "the tunnel was replaced");
    assert_eq!(gateway.counter("tunnel_down").unwrap(), 0);
}

/// What a connection, or its gateway, has used this month: bytes and seconds.
fn used(usage: &Value, connection: Option<&str>) -> (u64, u64) {
    let rows = usage["rows"].as_array().expect("rows");
    let row = rows.iter().find(|row| row["gateway"] == "gw" && row["connection"].as_str() == connection);
    let row = row.unwrap_or_else(|| panic!("no row of {connection:?}: {usage}"));
    let number = |key: &str| row[key].as_u64().expect("a number");
    (number("egress_bytes"), number("seconds"))
}

#[test]
fn usage_counts_each_byte_once_over_rekeys_and_survives_a_kill() {
    let (site, peer) = sites::with_peer().unwrap();
    let (_strongswan, mut gateway) = sites::tunnel(&site, &peer).unwrap();
    let stream = Stream::start(site.ipv4(), peer.ipv4(), 500, 700).unwrap();
    for _ in 0..2 {
        stream.flows(200).unwrap();
        assert!(used(&gateway.ask(&["usage"]).unwrap(), Some("peer")).0 > 0);
        gateway.rekey_child("peer").unwrap();
    }
    stream.flows(200).unwrap();
    stream.stop().unwrap().whole().unwrap();
    let sent = gateway.connection("peer").unwrap()["traffic"]["out_bytes"].as_u64().unwrap();
    let usage = gateway.ask(&["usage"]).unwrap();
    let (bytes, seconds) = used(&usage, Some("peer"));
    assert_eq!(
        (bytes, used(&usage, None).0),
        (sent, sent),
        "each byte once, and the gateway's are its connections'"
    );
    assert!(bytes >= 600 * 728, "{usage}");

    let then = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    until("usage to be on the disk", Duration::from_secs(30), || {
        let at = gateway.ask(&["usage"])?["recorded_at"].as_u64().unwrap_or(0);
        Ok(Look::when(at > then, || format!("last at {at}, now {then}")))
    })
    .unwrap();
    gateway.kill_and_restart().unwrap();
    let again = gateway.ask(&["usage"]).unwrap();
    let (bytes_again, seconds_again) = used(&again, Some("peer"));
    assert_eq!(bytes_again, bytes, "{again}");
    assert!(seconds_again > seconds, "{seconds} s before the kill: {again}");
    let csv = gateway.client(&["usage", "--csv", "--by", "day"]).unwrap().output;
    let rows: Vec<&str> = csv.lines().collect();
    assert_eq!(rows[0], "period,gateway,connection,hours,egress_bytes");
    assert!(rows[2].contains(",gw,peer,0.") && rows[2].ends_with(&format!(",{bytes}")), "{csv}");
    let wrong = gateway.client(&["usage", "--from", "yesterday"]).unwrap();
    assert!(!wrong.status.success() && wrong.output.contains("2026-11-24"), "{}", wrong.output);
    gateway.stop().unwrap();
}
