//! A network that goes out with the address that its peer assigns (`request_addresses`): strongSwan with a pool, as `crossgate peer-config` writes it.

use crossgate_tests::capture::{Capture, Kind};
use crossgate_tests::failure::Result;
use crossgate_tests::gateway::{Gateway, Plan};
use crossgate_tests::sites;
use crossgate_tests::strongswan::{Settings, StrongSwan};
use crossgate_tests::traffic::{Host, MARK, Stream, bulk, ping, ping_until_answered};
use crossgate_tests::wait::{Look, until};
use std::net::IpAddr;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(40);

fn plan(asks: bool) -> Plan {
    let mut plan = Plan::site(1);
    let connection = &mut plan.connections[0];
    connection.prefixes = vec!["10.2.0.0/16".to_owned()];
    connection.extra = format!("request_addresses = {asks}");
    plan
}

/// What strongSwan is to be, as written for the connection.
fn other_side(gateway: &Gateway<'_>) -> String {
    let asked = ["peer-config", "peer", "--for", "strongswan", "--with-key"];
    let written = gateway.client(&asked).expect("the client starts");
    assert!(written.status.success(), "{}", written.output);
    written.output
}

fn settings(text: &str) -> Settings {
    Settings { instead: Some(text.to_owned()), ..Settings::default() }
}

/// Waits until the connection is up with this address, which is all that its Child SA has on our side.
fn goes_out_as(gateway: &Gateway<'_>, address: &str) -> Result<()> {
    until(&format!("the network to go out as {address}"), PATIENCE, || {
        let (connection, sas) = (gateway.connection("peer")?, gateway.sas()?);
        let is_so = connection["state"] == "up"
            && connection["assigned"][0]["addresses"] == serde_json::json!([address])
            && sas.iter().all(|sa| sa["local_selectors"] == serde_json::json!([format!("{address}/32")]));
        Ok(Look::when(is_so, || format!("{connection}\n{sas:?}")))
    })
}

#[test]
fn a_network_goes_out_with_the_address_that_strongswan_assigns_and_follows_it_to_another() {
    let (site, peer) = sites::with_peer().unwrap();
    site.host.address("lan", "10.1.0.11/24").unwrap();
    let gateway = Gateway::start(&site.gateway, plan(true)).unwrap();
    let written = other_side(&gateway);
    let pool = "addrs = 172.31.0.0/16";
    assert!(written.contains(pool), "{written}");
    let told = written.replace(pool, &format!("{pool}\ndns = 10.2.0.53\nsubnet = 10.2.0.0/16"));
    let mut strongswan = StrongSwan::start(&peer.gateway, &settings(&told)).unwrap();
    goes_out_as(&gateway, "172.31.0.1").unwrap();
    let connection = gateway.connection("peer").unwrap();
    let assigned = &connection["assigned"][0];
    assert_eq!(assigned["dns_servers"], serde_json::json!(["10.2.0.53"]), "{connection}");
    assert_eq!(assigned["subnets"], serde_json::json!(["10.2.0.0/16"]), "{connection}");
    assert_eq!(connection["mode"], "InitiatorOnly", "{connection}");
    gateway.says("the peer assigned this gateway its address").unwrap();

    // Two hosts of the network, told apart by ports; nothing of them is in the clear.
    let wire = Capture::start(&site.gateway, "wan", 20_000).unwrap();
    let (far, hosts) = (peer.ipv4(), [site.ipv4(), Host::new(&site.host, "10.1.0.11")]);
    for host in hosts {
        ping_until_answered(host, far.address, PATIENCE).unwrap();
        ping(host, far.address, 10, 1_300, false).unwrap().all_answered().unwrap();
        bulk(host, far, Duration::from_millis(300)).unwrap();
    }
    let own = hosts.map(|host| host.address);
    let wire = wire.stop().unwrap();
    let sealed = wire.count(Kind::EspInUdp);
    assert!(wire.clear(MARK, &own) == 0 && sealed > 40, "{}", wire.summary());
    // Only this side begins.
    let ours: IpAddr = "172.31.0.1".parse().unwrap();
    ping(far, ours, 3, 56, false).unwrap().none_answered().unwrap();
    assert!(gateway.counter("nat_no_session").unwrap() >= 3, "{}", gateway.state());
    assert_eq!(gateway.counter("address_assigned").unwrap(), 1);

    // A session goes on through rekeys of either kind, and with the address that a new tunnel gets again.
    let stream = Stream::start(site.ipv4(), far, 500, 400).unwrap();
    stream.flows(200).unwrap();
    gateway.rekey_child("peer").unwrap();
    strongswan.gets_another_ike_sa(|| gateway.rekey_ike("peer")).unwrap();
    stream.flows(200).unwrap();
    stream.stop().unwrap().whole().unwrap();
    goes_out_as(&gateway, "172.31.0.1").unwrap();

    // Another pool, and a peer that would take more of this side than it has assigned.
    let elsewhere = [
        ("172.31.0.0/16", "10.254.0.9/32"),
        ("remote_ts = dynamic", "remote_ts = 10.254.0.0/24"),
        ("pools = peer", "pools = other"),
        ("pools {\n    peer {", "pools {\n    other {"),
    ];
    let elsewhere = elsewhere.into_iter().fold(told, |text, (from, to)| text.replace(from, to));
    strongswan.reconfigure(&settings(&elsewhere)).unwrap();
    gateway.ask(&["reset", "peer"]).unwrap();
    goes_out_as(&gateway, "10.254.0.9").unwrap();
    for host in hosts {
        ping_until_answered(host, far.address, PATIENCE).unwrap();
        ping(host, far.address, 5, 600, false).unwrap().all_answered().unwrap();
    }
    gateway.stop().unwrap();
}

#[test]
fn a_peer_without_an_address_for_us_and_one_that_wants_to_be_asked_are_told_with_the_remedy() {
    let (site, peer) = sites::with_peer().unwrap();
    let mut gateway = Gateway::start(&site.gateway, plan(true)).unwrap();
    let written = other_side(&gateway);
    let without = written.replace("        pools = peer\n", "");
    assert!(without.len() < written.len(), "{written}");
    let mut strongswan = StrongSwan::start(&peer.gateway, &settings(&without)).unwrap();
    gateway
        .fails_with("peer", "the peer has no address for this gateway (INTERNAL_ADDRESS_FAILURE)")
        .unwrap();
    assert!(gateway.counter("failed_not_assigned").unwrap() > 0, "{}", gateway.state());
    assert!(gateway.sas().unwrap().is_empty(), "{}", gateway.state());
    strongswan.reconfigure(&settings(&written)).unwrap();
    goes_out_as(&gateway, "172.31.0.1").unwrap();
    ping_until_answered(site.ipv4(), peer.ipv4().address, PATIENCE).unwrap();
    gateway.reload(plan(false)).unwrap();
    gateway.fails_with("peer", "the peer wants to be asked for an address").unwrap();
    gateway.stop().unwrap();
}
