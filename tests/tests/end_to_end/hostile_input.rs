//! Bad input from every side: none of it stops the gateway, disturbs the tunnel or holds a packet buffer for ever.

use crossgate_tests::capture::{Capture, Kind};
use crossgate_tests::failure::Result;
use crossgate_tests::garbage::{Flood, frames, mutations, send};
use crossgate_tests::gateway::{Gateway, Plan};
use crossgate_tests::namespace::Namespace;
use crossgate_tests::random::Random;
use crossgate_tests::sites;
use crossgate_tests::strongswan::{Settings, StrongSwan};
use crossgate_tests::traffic::{Stream, ping, ping_until_answered};
use crossgate_tests::wait::{Look, until};
use std::io::{Read, Write};
use std::net::UdpSocket;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// The seed of everything random here.
const SEED: u64 = 20;

fn buffers_in_use(gateway: &Gateway<'_>) -> Result<u64> {
    Ok(gateway.ask(&["status"])?["buffers_in_use"].as_u64().unwrap_or(u64::MAX))
}

/// Random datagrams to the IKE ports, from a socket in `namespace`.
fn datagrams(namespace: &Namespace, mut random: Random, count: usize) -> Result<()> {
    namespace.within(move || {
        let socket = UdpSocket::bind("192.0.2.2:0").expect("the peer has this address");
        for number in 0..count {
            let length = random.below(1400);
            let mut bytes = random.bytes(length);
            if let (Some(marker), true) = (bytes.get_mut(..4), number % 4 == 0) {
                marker.fill(0);
            }
            let port = if number % 2 == 0 { 4500 } else { 500 };
            // A full queue at the sender loses some of it, which is no matter.
            let _ = socket.send_to(&bytes, ("192.0.2.1", port));
        }
    })
}

#[test]
fn garbage_on_every_port_disturbs_nothing() {
    let (site, peer) = sites::with_peer().unwrap();
    let wire = Capture::start(&peer.gateway, "wan", 10_000).unwrap();
    let strongswan = StrongSwan::start(&peer.gateway, &Settings::default()).unwrap();
    let mut gateway = Gateway::start(&site.gateway, Plan::site(1).with_mode("ResponderOnly")).unwrap();
    strongswan.initiate().unwrap();
    gateway.is("peer", "up").unwrap();
    ping_until_answered(site.ipv4(), peer.ipv4().address, Duration::from_secs(20)).unwrap();
    ping(peer.ipv4(), site.ipv4().address, 20, 300, false).unwrap().all_answered().unwrap();
    let wire = wire.stop().unwrap();
    let real: Vec<Vec<u8>> = [Kind::Ike500, Kind::Ike4500, Kind::EspInUdp]
        .into_iter()
        .flat_map(|kind| wire.frames(kind))
        .collect();
    assert!(real.len() > 20, "{}", wire.summary());
    let (spi, idle) = (gateway.only_sa().unwrap()["inbound_spi"].clone(), buffers_in_use(&gateway).unwrap());
    let dropped = || gateway.ask(&["status"]).map(|status| status["dropped_packets"].as_u64().unwrap_or(0));
    let dropped_before = dropped().unwrap();

    let mut random = Random(SEED);
    let (wan, lan) = (site.gateway.mac("wan").unwrap(), site.gateway.mac("lan").unwrap());
    send(&peer.gateway, "wan", frames(&mut random, wan, 3000)).unwrap();
    send(&site.host, "lan", frames(&mut random, lan, 3000)).unwrap();
    send(&peer.gateway, "wan", mutations(&mut random, &real, 6000)).unwrap();
    datagrams(&peer.gateway, Random(SEED), 3000).unwrap();

    until("the garbage to be counted as dropped", Duration::from_secs(20), || {
        let dropped = dropped()? - dropped_before;
        Ok(Look::when(dropped > 5000, || format!("{dropped} dropped")))
    })
    .unwrap();
    ping(site.ipv4(), peer.ipv4().address, 20, 300, false).unwrap().all_answered().unwrap();
    assert_eq!(gateway.only_sa().unwrap()["inbound_spi"], spi, "the tunnel was replaced");
    // Fragments wait for their rest for a while; then all buffers are back.
    until("all packet buffers to be back", Duration::from_secs(60), || {
        let now = buffers_in_use(&gateway)?;
        Ok(Look::when(now <= idle + 64, || format!("{now} in use, {idle} before")))
    })
    .unwrap();
    gateway.must_run().unwrap();
    gateway.stop().unwrap();
}

/// First messages a millisecond: more than the control thread answers.
const FLOOD: u32 = 40;

#[test]
fn flood_of_first_messages_stops_no_rekey_and_costs_no_packet() {
    let (site, peer) = sites::with_peer().unwrap();
    let mut plan = Plan::site(1).with_mode("ResponderOnly");
    plan.connections[0].peer = "any".to_owned();
    plan.connections[0].identities = Some(("gw.example.org".to_owned(), "branch@example.org".to_owned()));
    let settings = Settings {
        local_id: "branch@example.org".to_owned(),
        remote_id: "gw.example.org".to_owned(),
        ..Settings::default()
    };
    let wire = Capture::start(&peer.gateway, "wan", 10_000).unwrap();
    let (strongswan, gateway) = sites::tunnel_with(&site, &peer, plan, &settings).unwrap();
    let first = wire.stop().unwrap().frames(Kind::Ike500).remove(0);
    let streams = [
        Stream::start(site.ipv4(), peer.ipv4(), 500, 700).unwrap(),
        Stream::start(peer.ipv4(), site.ipv4(), 500, 700).unwrap(),
    ];
    let flood = Flood::start(&peer.gateway, "wan", first, FLOOD, Random(SEED));
    until("first messages to fill their half of the ring", Duration::from_secs(60), || {
        let dropped = gateway.counter("punt_first_full")?;
        Ok(Look::when(dropped > 0, || format!("{dropped} dropped")))
    })
    .unwrap();
    for _ in 0..3 {
        gateway.rekey_child("peer").unwrap();
        strongswan.rekey_child().unwrap();
        strongswan.rekey_ike().unwrap();
        strongswan.gets_another_ike_sa(|| gateway.rekey_ike("peer")).unwrap();
    }
    let sent = flood.stop().unwrap();
    for stream in streams {
        stream.flows(100).unwrap();
        stream.stop().unwrap().whole().unwrap_or_else(|failure| panic!("{failure}\n{}", gateway.state()));
    }
    let [asked, dropped, lost] =
        ["cookie_demanded", "punt_first_full", "punt_ring_full"].map(|name| gateway.counter(name).unwrap());
    assert!(
        asked > 0 && lost == 0,
        "of {sent}: {asked} asked for a cookie, {dropped} dropped, {lost} of peers"
    );
    gateway.only_sa().unwrap();
    gateway.stop().unwrap();
}

#[test]
fn console_clients_that_misbehave_harm_nobody() {
    let (site, _peer) = sites::with_peer().unwrap();
    let mut gateway = Gateway::start(&site.gateway, Plan::site(1).with_mode("ResponderOnly")).unwrap();
    let connect = || UnixStream::connect(gateway.socket()).unwrap();
    let mut random = Random(SEED);

    // Noise, with newlines now and then: each line gets an error, or the connection ends.
    for _ in 0..20 {
        let mut client = connect();
        let mut noise = random.bytes(4000);
        noise.push(b'\n');
        let _ = client.write_all(&noise);
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let answered = client.read(&mut [0; 1000]);
        assert!(answered.is_ok(), "neither answered nor hung up on: {answered:?}");
    }
    // A line without an end.
    let mut endless = connect();
    endless.set_write_timeout(Some(Duration::from_secs(10))).unwrap();
    let refused = (0..4096).any(|_| endless.write_all(&[b'x'; 4096]).is_err());
    assert!(refused, "16 MiB without a newline were taken");
    // One that asks and asks and never reads.
    let mut deaf = connect();
    deaf.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    let question = b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"counters\"}\n";
    let stuck = (0..100_000).any(|_| deaf.write_all(question).is_err());
    assert!(stuck, "answers to 100,000 questions were kept for a client that never reads");
    // Many that say nothing, held open while somebody else wants to know something.
    let idle: Vec<UnixStream> = (0..20).map(|_| connect()).collect();
    let status = gateway.ask(&["status"]).unwrap();
    assert_eq!(status["name"], "gw-1", "{status}");
    drop(idle);
    gateway.must_run().unwrap();
    gateway.stop().unwrap();
}
