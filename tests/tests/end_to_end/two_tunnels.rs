//! Two tunnels to one site, by the example as it stands: flows are spread, move when a router dies and come back with it, and none is ever in clear.
//!
//! ```text
//!                                     +-- router a 192.0.2.2 --+
//! host -- lan0 [ our gateway ] wan0 --+                        +-- branch, 10.2.0.1 and on
//!                                     +-- router b 192.0.2.3 --+
//! ```
//!
//! The branch answers by way of router b, whichever router has brought the packet.

use crossgate_tests::capture::Capture;
use crossgate_tests::failure::{Failure, Result};
use crossgate_tests::gateway::{Gateway, Plan, example_key};
use crossgate_tests::namespace::{Namespace, Stack, cable};
use crossgate_tests::sites::Wan;
use crossgate_tests::strongswan::{Settings, StrongSwan};
use crossgate_tests::traffic::{Host, MARK, Stream, ping, ping_until_answered};
use crossgate_tests::wait::{Look, until};
use std::time::Duration;

const EXAMPLE: &str = include_str!("../../../config/examples/two-tunnels.toml");
const WAYS: [&str; 2] = ["to-branch-a", "to-branch-b"];
/// The branch's hosts.
const HOSTS: u8 = 60;
/// More than the example's dead peer detection takes.
const PATIENCE: Duration = Duration::from_secs(40);
const PER_S: u32 = 200;
/// What a router's death may cost a flow, in datagrams: detection takes 9 s.
const LOST_MAX: u64 = 12 * PER_S as u64;

struct Lab {
    _wan: Wan,
    hub: Namespace,
    host: Namespace,
    routers: [Namespace; 2],
    branch: Namespace,
}

impl Lab {
    fn new() -> Result<Self> {
        let wan = Wan::new()?;
        let hub = Namespace::new("headquarters", Stack::Dpdk)?;
        wan.plug(1, &hub, "wan0")?;
        let host = Namespace::new("host", Stack::Kernel)?;
        cable((&hub, "lan0"), (&host, "lan"), 1500)?;
        host.address("lan", "10.1.0.10/24")?;
        host.route("default", "10.1.0.1")?;
        let branch = Namespace::new("branch", Stack::Kernel)?;
        for number in 1..=HOSTS {
            branch.address("lo", &format!("10.2.0.{number}/32"))?;
        }
        let router = |name: &str, number: u8| {
            let router = Namespace::new(&format!("router-{name}"), Stack::Kernel)?;
            wan.plug(number, &router, "wan")?;
            router.address("wan", &format!("192.0.2.{number}/24"))?;
            let link = format!("router-{name}");
            cable((&router, "lan"), (&branch, &link), 1500)?;
            router.address("lan", &format!("10.2.{number}.1/24"))?;
            branch.address(&link, &format!("10.2.{number}.2/24"))?;
            router.route("10.2.0.0/24", &format!("10.2.{number}.2"))?;
            router.set("ipv4/ip_forward", "1")?;
            Ok::<_, Failure>(router)
        };
        let routers = [router("a", 2)?, router("b", 3)?];
        branch.route("10.1.0.0/16", "10.2.3.1")?;
        Ok(Self { _wan: wan, hub, host, routers, branch })
    }

    /// strongSwan on router 0 or 1.
    fn peer(&self, index: usize) -> Result<StrongSwan<'_>> {
        let address = ["192.0.2.2", "192.0.2.3"][index];
        let settings = Settings {
            local: address.to_owned(),
            local_id: address.to_owned(),
            shared_key: example_key(WAYS[index]),
            local_prefixes: vec!["10.2.0.0/16".to_owned()],
            remote_prefixes: vec!["10.1.0.0/16".to_owned()],
            ..Settings::default()
        };
        StrongSwan::start(&self.routers[index], &settings)
    }

    fn home(&self) -> Host<'_> {
        Host::new(&self.host, "10.1.0.10")
    }

    fn far(&self, number: u8) -> Host<'_> {
        Host::new(&self.branch, &format!("10.2.0.{number}"))
    }

    /// The way that pings to a host of the branch take, which are answered.
    fn way_to(&self, gateway: &Gateway<'_>, number: u8) -> Result<usize> {
        let before = sent(gateway)?;
        ping_until_answered(self.home(), self.far(number).address, PATIENCE)?;
        let now = sent(gateway)?;
        match [now[0] - before[0], now[1] - before[1]] {
            [a, 0] if a > 0 => Ok(0),
            [0, b] if b > 0 => Ok(1),
            moved => Err(Failure::Untrue(format!("host {number}: not one way alone: {moved:?}"))),
        }
    }
}

/// The packets that each way has carried to the branch.
fn sent(gateway: &Gateway<'_>) -> Result<[u64; 2]> {
    let of = |way| Ok(gateway.connection(way)?["traffic"]["out_packets"].as_u64().unwrap_or_default());
    Ok([of(WAYS[0])?, of(WAYS[1])?])
}

/// Waits until the console says that the ways have these parts of the flows, in percent.
fn parts_are(gateway: &Gateway<'_>, wanted: [u64; 2]) -> Result<()> {
    until(&format!("parts of {wanted:?} percent"), PATIENCE, || {
        let part = |way| {
            let connection = gateway.connection(way)?;
            let percent = connection["part"]["flows_percent"].as_f64();
            percent.ok_or_else(|| Failure::Untrue(format!("no part: {connection}")))
        };
        let parts = [part(WAYS[0])?, part(WAYS[1])?].map(|percent| format!("{percent:.0}"));
        Ok(Look::when(parts == wanted.map(|percent| percent.to_string()), || format!("{parts:?}")))
    })
}

#[test]
fn flows_are_spread_over_both_routers_and_each_takes_over_from_the_other() {
    let lab = Lab::new().unwrap();
    let (home, inner) = (lab.home(), [lab.home().address, lab.far(1).address]);
    let gateway = Gateway::start(&lab.hub, Plan::example(EXAMPLE, &WAYS)).unwrap();
    let wire = Capture::start(&lab.hub, "wan0", 200_000).unwrap();
    let at_a = lab.peer(0).unwrap();
    let at_b = lab.peer(1).unwrap();
    WAYS.iter().for_each(|way| gateway.is(way, "up").unwrap());
    parts_are(&gateway, [67, 33]).unwrap();
    let shown = gateway.client(&["connections"]).unwrap().output;
    assert!(shown.contains("FLOWS") && shown.contains("67 %"), "{shown}");
    let shown = gateway.client(&["connection", WAYS[1]]).unwrap().output;
    assert!(shown.contains("33 % of those to the site, by weight 10 beside to-branch-a"), "{shown}");

    // Spread, by the weights.
    ping_until_answered(home, lab.far(1).address, PATIENCE).unwrap();
    let ways: Vec<usize> = (1..=HOSTS).map(|host| lab.way_to(&gateway, host).unwrap()).collect();
    let by_b = ways.iter().filter(|way| **way == 1).count();
    assert!((8..=32).contains(&by_b), "20 of 60 are wanted by b: {ways:?}");
    let host_by = |wanted: usize| (1..).zip(&ways).find(|(_, way)| **way == wanted).unwrap().0;
    let (by_a, by_b) = (host_by(0), host_by(1));

    // Router a dies without a word: what it had moves when that is noticed, what b has does not notice.
    let moving = Stream::start(home, lab.far(by_a), PER_S, 300).unwrap();
    let staying = Stream::start(home, lab.far(by_b), PER_S, 300).unwrap();
    moving.flows(200).unwrap();
    staying.flows(200).unwrap();
    drop(at_a);
    parts_are(&gateway, [0, 100]).unwrap();
    moving.flows(200).unwrap();
    let report = moving.stop().unwrap();
    assert!(report.lost() > 0 && report.lost() < LOST_MAX, "{report:?}");
    staying.stop().unwrap().whole().unwrap();
    for host in 1..=HOSTS {
        assert_eq!(lab.way_to(&gateway, host).unwrap(), 1, "host {host}");
    }

    // It comes back, and has its flows again; none loses a datagram by that.
    let moving = Stream::start(home, lab.far(by_a), PER_S, 300).unwrap();
    moving.flows(100).unwrap();
    let at_a = lab.peer(0).unwrap();
    gateway.is(WAYS[0], "up").unwrap();
    parts_are(&gateway, [67, 33]).unwrap();
    moving.flows(200).unwrap();
    moving.stop().unwrap().whole().unwrap();
    for (host, way) in (1..).zip(&ways) {
        assert_eq!(lab.way_to(&gateway, host).unwrap(), *way, "host {host}");
    }

    // With neither there is no way at all.
    drop((at_a, at_b));
    parts_are(&gateway, [0, 0]).unwrap();
    let dropped = gateway.counter("tunnel_down").unwrap();
    for host in [by_a, by_b] {
        ping(home, lab.far(host).address, 5, 64, false).unwrap().none_answered().unwrap();
    }
    assert!(gateway.counter("tunnel_down").unwrap() >= dropped + 10, "{}", gateway.state());
    let wire = wire.stop().unwrap();
    assert_eq!(wire.clear(MARK, &inner), 0, "{}", wire.summary());
    gateway.stop().unwrap();
}

#[test]
fn a_tunnel_that_is_deleted_or_taken_out_leaves_its_flows_to_the_other() {
    let lab = Lab::new().unwrap();
    let mut gateway = Gateway::start(&lab.hub, Plan::example(EXAMPLE, &WAYS)).unwrap();
    let (_at_a, at_b) = (lab.peer(0).unwrap(), lab.peer(1).unwrap());
    WAYS.iter().for_each(|way| gateway.is(way, "up").unwrap());
    ping_until_answered(lab.home(), lab.far(1).address, PATIENCE).unwrap();
    let by_b = (1..=HOSTS).find(|host| lab.way_to(&gateway, *host).unwrap() == 1).unwrap();

    // The peer deletes it: the next packet takes the other way.
    let stream = Stream::start(lab.home(), lab.far(by_b), PER_S, 300).unwrap();
    stream.flows(100).unwrap();
    at_b.terminate().unwrap();
    stream.flows(300).unwrap();
    let report = stream.stop().unwrap();
    assert!(report.lost() <= u64::from(PER_S) / 4, "a quarter of a second at most: {report:?}");
    // Our side makes it anew by itself.
    parts_are(&gateway, [67, 33]).unwrap();

    // The operator takes it out.
    let stream = Stream::start(lab.home(), lab.far(by_b), PER_S, 300).unwrap();
    stream.flows(100).unwrap();
    let before = gateway.connection(WAYS[0]).unwrap();
    let (head, tail) = EXAMPLE.split_once("[[connection]]\nname = \"to-branch-b\"").unwrap();
    assert!(!tail.contains("[["), "the connection is the last thing in the file");
    gateway.reload(Plan::example(head, &WAYS)).unwrap();
    until("the connection to be gone", PATIENCE, || {
        let all = gateway.ask(&["connections"])?;
        Ok(Look::when(all.as_array().is_some_and(|all| all.len() == 1), || all.to_string()))
    })
    .unwrap();
    stream.flows(300).unwrap();
    let report = stream.stop().unwrap();
    assert!(report.lost() <= u64::from(PER_S) / 4, "a quarter of a second at most: {report:?}");
    let after = gateway.connection(WAYS[0]).unwrap();
    assert!(after["part"].is_null() && before["up_s"].as_u64() <= after["up_s"].as_u64(), "{after}");
    at_b.is_down().unwrap();
    gateway.stop().unwrap();
}
