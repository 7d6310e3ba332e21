//! A gateway's size under overload, end to end: ten greedy tunnels share its bandwidth to a percent, and none starves another.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crossgate_tests::gateway::{Connection, Gateway, Plan};
use crossgate_tests::sites::{self, Site};
use crossgate_tests::traffic::{Host, Stream, ping_until_answered};
use crossgate_tests::wait::{Look, until};

const TUNNELS: u8 = 10;
/// The size. What is offered is twice as much, in datagrams of [`SIZE_BYTES`].
const MBIT_PER_S: u32 = 100;
const SIZE_BYTES: usize = 1372;
/// An inner packet: the datagram behind its headers.
const PACKET_BYTES: u64 = 1400;
/// How long is counted at once, and how often at most.
const WINDOW: Duration = Duration::from_secs(3);
const WINDOWS: usize = 20;

/// The gateway of site 1 or 2 with ten connections to the other one, each for a pair of prefixes: the peers are told apart by their names.
fn gateway(number: u8, size: &str) -> Plan {
    let other = 3 - number;
    let own = format!("10.{number}.0.0/16");
    let name = |site: u8, tunnel: u8| format!("site-{site}-{tunnel}.example.org");
    let connections = (1..=TUNNELS).map(|tunnel| Connection {
        name: format!("tunnel-{tunnel}"),
        prefixes: vec![format!("10.{other}.{tunnel}.0/24")],
        identities: Some((name(number, tunnel), name(other, tunnel))),
        mode: if number == 1 { "InitiatorOnly" } else { "ResponderOnly" }.to_owned(),
        ..Connection::to_site(other)
    });
    let lan = vec![format!("10.{number}.0.1/24")];
    let plan = Plan { space: vec![own], lan, connections: connections.collect(), ..Plan::site(number) };
    let routes = (1..=TUNNELS).fold(String::new(), |mut routes, tunnel| {
        let _ =
            write!(routes, "{{ prefix = \"10.{number}.{tunnel}.0/24\", next_hop = \"10.{number}.0.10\" }}, ");
        routes
    });
    let text = plan
        .text(Path::new("FOLDER"))
        .replace("port = \"lan\"\n", &format!("port = \"lan\"\nroutes = [{routes}]\n"))
        .replace("sku = \"VpnGw1\"", &format!("sku = \"custom\"\ncustom = {{ tunnels = {TUNNELS}{size} }}"));
    Plan { instead: Some(text), ..plan }
}

/// A host of a site with an address for each tunnel.
fn hosts(site: &Site, number: u8) -> Vec<Host<'_>> {
    // It asks for its router with an address that the router is a neighbour of, whatever the packet's is.
    site.host.set("ipv4/conf/all/arp_announce", "2").expect("the host takes settings");
    (1..=TUNNELS)
        .map(|tunnel| {
            let address = format!("10.{number}.{tunnel}.10");
            site.host.address("lo", &format!("{address}/32")).expect("the host takes addresses");
            Host::new(&site.host, &address)
        })
        .collect()
}

/// The parts of the size that each stream had in a window, in percent of it.
fn parts(streams: &[Stream]) -> Vec<f64> {
    let count = || streams.iter().map(Stream::received).collect::<Vec<_>>();
    let (before, begun) = (count(), Instant::now());
    std::thread::sleep(WINDOW); // time is what is measured
    let (after, elapsed) = (count(), begun.elapsed());
    let size = f64::from(MBIT_PER_S) * 1e6 / 8.0 * elapsed.as_secs_f64();
    let part = |(before, after): (&u64, &u64)| {
        let bytes = u32::try_from((after - before) * PACKET_BYTES).expect("less than 4 GB");
        100.0 * f64::from(bytes) / size
    };
    before.iter().zip(&after).map(part).collect()
}

/// The machine may be too busy to offer the load for a while, which only lowers what is counted; that is tried again. More than the size never passes.
#[test]
fn ten_greedy_tunnels_get_a_tenth_each_of_a_size_that_is_held_to_a_percent() {
    let (one, two) = sites::both_ours().unwrap();
    let size = format!(", bandwidth_mbit_per_s = {MBIT_PER_S}");
    let far = Gateway::start(&two.gateway, gateway(2, "")).unwrap();
    let near = Gateway::start(&one.gateway, gateway(1, &size)).unwrap();
    let (from, to) = (hosts(&one, 1), hosts(&two, 2));
    for (from, to) in from.iter().zip(&to) {
        ping_until_answered(*from, to.address, Duration::from_secs(40)).unwrap();
    }
    let greedy = MBIT_PER_S * 125_000 * 2 / 1400 / u32::from(TUNNELS);
    let streams: Vec<Stream> = from
        .iter()
        .zip(&to)
        .map(|(from, to)| Stream::start(*from, *to, greedy, SIZE_BYTES).unwrap())
        .collect();
    streams.iter().for_each(|stream| stream.flows(100).unwrap());

    let mut windows = 0;
    until("a window in which the load was there", WINDOW * 40, || {
        windows += 1;
        assert!(windows <= WINDOWS, "the load was never there");
        let parts = parts(&streams);
        let whole: f64 = parts.iter().sum();
        eprintln!("{whole:.2} %: {parts:.2?}");
        // Datagrams that waited in a queue when the window began are counted in it.
        assert!(whole < 103.0, "{whole:.2} % of the size: {parts:.2?}");
        let exact = (99.0..=101.0).contains(&whole) && parts.iter().all(|part| (9.0..=11.0).contains(part));
        Ok(Look::when(exact, || format!("{whole:.2} %: {parts:.2?}")))
    })
    .unwrap();
    assert!(near.counter("sku_bandwidth_outbound").unwrap() > 1000, "nothing had to be dropped");
    assert_eq!(far.counter("sku_bandwidth_inbound").unwrap(), 0);
    for stream in streams {
        let report = stream.stop().unwrap();
        assert_eq!((report.corrupted, report.duplicated), (0, 0), "{report:?}");
    }
    near.stop().unwrap();
    far.stop().unwrap();
}
