//! A private circuit alone, and beside a tunnel to the same branch, by the examples as they stand: the circuit comes first, the tunnel takes over when it dies and gives back
//! when it returns; on the public side there is never anything in clear, and on the circuit never anything that only the tunnel may carry.
//!
//! ```text
//!                       edge0 -- [ provider's edge 172.31.0.2 ] --+
//! host -- lan0 [ ours ]                                           +-- branch, 10.2.0.1, 10.7.0.1, 10.8.0.1
//!                       wan0 --- [ vpn router 192.0.2.2 ] --------+
//! ```

use crossgate_tests::capture::{Capture, Kind};
use crossgate_tests::failure::Result;
use crossgate_tests::gateway::{Gateway, Plan, example_key};
use crossgate_tests::namespace::{Namespace, Stack, cable};
use crossgate_tests::strongswan::{Settings, StrongSwan};
use crossgate_tests::traffic::{Host, MARK, Stream, ping, ping_until_answered};
use std::time::Duration;

const CIRCUIT: &str = "to-branch-by-circuit";
const TUNNEL: &str = "to-branch-by-tunnel";
const PATIENCE: Duration = Duration::from_secs(20);
const PER_S: u32 = 200;
/// What no packet of the lab has in it.
const NOTHING: &[u8] = b"no packet of the lab says this";
/// What a dead circuit may cost, in datagrams: it is noticed within 1.2 s on a machine that has time.
const LOST_MAX: u64 = 4 * PER_S as u64;

struct Lab {
    ours: Namespace,
    host: Namespace,
    edge: Namespace,
    vpn: Namespace,
    branch: Namespace,
}

impl Lab {
    fn new() -> Result<Self> {
        let ours = Namespace::new("headquarters", Stack::Dpdk)?;
        let host = Namespace::new("host", Stack::Kernel)?;
        cable((&ours, "lan0"), (&host, "lan"), 1500)?;
        host.address("lan", "10.1.0.10/24")?;
        host.route("default", "10.1.0.1")?;
        let branch = Namespace::new("branch", Stack::Kernel)?;
        for prefix in [2, 7, 8] {
            branch.address("lo", &format!("10.{prefix}.0.1/32"))?;
        }
        let router = |name: &str, ours_by: &str, address: &str, number: u8| -> Result<Namespace> {
            let router = Namespace::new(name, Stack::Kernel)?;
            cable((&ours, ours_by), (&router, "out"), 1500)?;
            router.address("out", address)?;
            cable((&router, "in"), (&branch, name), 1500)?;
            router.address("in", &format!("10.99.{number}.1/24"))?;
            branch.address(name, &format!("10.99.{number}.2/24"))?;
            for prefix in [2, 7, 8] {
                router.route(&format!("10.{prefix}.0.0/16"), &format!("10.99.{number}.2"))?;
            }
            router.set("ipv4/ip_forward", "1")?;
            Ok(router)
        };
        let edge = router("edge", "edge0", "172.31.0.2/30", 1)?;
        let vpn = router("vpn", "wan0", "192.0.2.2/24", 2)?;
        edge.route("10.1.0.0/16", "172.31.0.1")?;
        // strongSwan wants an address of its own in what it protects.
        vpn.address("lo", "10.2.255.1/32")?;
        vpn.address("lo", "10.8.255.1/32")?;
        Ok(Self { ours, host, edge, vpn, branch })
    }

    fn home(&self) -> Host<'_> {
        Host::new(&self.host, "10.1.0.10")
    }

    fn far(&self, prefix: u8) -> Host<'_> {
        Host::new(&self.branch, &format!("10.{prefix}.0.1"))
    }

    /// Has the provider's edge fall silent, though its link is there, or speak again.
    fn edge_speaks(&self, speaks: bool) -> Result<()> {
        let (forwards, arp) = if speaks { ("1", "on") } else { ("0", "off") };
        self.edge.set("ipv4/ip_forward", forwards)?;
        self.edge.ip(&format!("link set out arp {arp}")).map(drop)
    }

    /// Has the branch answer by way of a router.
    fn answer_by(&self, number: u8) -> Result<()> {
        self.branch.ip(&format!("route replace 10.1.0.0/16 via 10.99.{number}.1")).map(drop)
    }

    fn strongswan(&self) -> Result<StrongSwan<'_>> {
        let settings = Settings {
            local: "192.0.2.2".to_owned(),
            local_id: "192.0.2.2".to_owned(),
            shared_key: example_key(TUNNEL),
            local_prefixes: ["10.2.0.0/16", "10.8.0.0/16"].map(str::to_owned).to_vec(),
            remote_prefixes: vec!["10.1.0.0/16".to_owned()],
            ..Settings::default()
        };
        StrongSwan::start(&self.vpn, &settings)
    }
}

#[test]
fn branch_is_reached_over_a_circuit_and_over_nothing_else() {
    let text = include_str!("../../../config/examples/circuit.toml");
    let lab = Lab::new().unwrap();
    lab.answer_by(1).unwrap();
    let mut gateway = Gateway::start(&lab.ours, Plan::example(text, &[])).unwrap();
    gateway.is(CIRCUIT, "up").unwrap();
    for prefix in [2, 7] {
        ping_until_answered(lab.home(), lab.far(prefix).address, PATIENCE).unwrap();
        ping(lab.far(prefix), lab.home().address, 20, 900, false).unwrap().all_answered().unwrap();
    }
    let stream = Stream::start(lab.home(), lab.far(2), 1000, 700).unwrap();
    stream.flows(500).unwrap();
    stream.stop().unwrap().whole().unwrap();
    let shown = gateway.client(&["connections"]).unwrap().output;
    assert!(shown.contains(CIRCUIT) && shown.contains("172.31.0.2"), "{shown}");
    let sent = gateway.connection(CIRCUIT).unwrap()["traffic"]["out_packets"].as_u64().unwrap();
    assert!(sent >= 540, "{sent}");
    let used = gateway.client(&["usage"]).unwrap().output;
    assert!(used.contains("gw-er") && used.contains(CIRCUIT), "{used}");

    // It has no tunnel: whoever asks for one is told so.
    for command in [
        &["reset", CIRCUIT][..],
        &["rekey", CIRCUIT, "--ike"],
        &["peer-config", CIRCUIT, "--for", "strongswan"],
    ] {
        let told = gateway.client(command).unwrap().output;
        assert!(told.contains("is of type ExpressRoute"), "{command:?}: {told}");
    }
    let told = gateway.client(&["reset", "--gateway", "gw-er"]).unwrap().output;
    assert!(told.contains("is of type ExpressRoute"), "{told}");

    // A router that falls silent ends it, though the link is there; nothing leaves then, and the sender is told.
    lab.edge_speaks(false).unwrap();
    gateway.is(CIRCUIT, "down").unwrap();
    gateway.fails_with(CIRCUIT, "no answer from 172.31.0.2").unwrap();
    ping(lab.home(), lab.far(2).address, 5, 64, false).unwrap().none_answered().unwrap();
    assert!(gateway.counter("circuit_down").unwrap() >= 5, "{}", gateway.state());
    lab.edge_speaks(true).unwrap();
    gateway.is(CIRCUIT, "up").unwrap();

    // While it is up, it moves to other addresses.
    let moved = text.replace("172.31.0.1/30", "172.31.0.5/30").replace("172.31.0.2", "172.31.0.6");
    lab.edge.address("out", "172.31.0.6/30").unwrap();
    lab.edge.ip("route replace 10.1.0.0/16 via 172.31.0.5").unwrap();
    gateway.reload(Plan::example(&moved, &[])).unwrap();
    gateway.is_up_with(CIRCUIT, "172.31.0.6").unwrap();
    ping_until_answered(lab.home(), lab.far(2).address, PATIENCE).unwrap();

    // Without a link it is down at once.
    lab.edge.ip("link set out down").unwrap();
    gateway.is(CIRCUIT, "down").unwrap();
    ping(lab.home(), lab.far(2).address, 5, 64, false).unwrap().none_answered().unwrap();
    assert!(gateway.counter("circuit_down").unwrap() >= 10, "{}", gateway.state());
    gateway.stop().unwrap();
}

#[test]
fn tunnel_takes_over_from_a_dead_circuit_and_gives_back() {
    let text = include_str!("../../../config/examples/coexistence.toml");
    let lab = Lab::new().unwrap();
    lab.answer_by(1).unwrap();
    let gateway = Gateway::start(&lab.ours, Plan::example(text, &[TUNNEL])).unwrap();
    let wire = Capture::start(&lab.vpn, "out", 200_000).unwrap();
    let circuit = Capture::start(&lab.edge, "out", 200_000).unwrap();
    let strongswan = lab.strongswan().unwrap();
    gateway.is(CIRCUIT, "up").unwrap();
    gateway.is(TUNNEL, "up").unwrap();
    let (home, far, alone) = (lab.home(), lab.far(2), lab.far(7));
    let sealed = || gateway.connection(TUNNEL).unwrap()["traffic"]["out_packets"].as_u64().unwrap();

    // Both are up: everything but what is behind the tunnel alone goes over the circuit.
    ping_until_answered(home, far.address, PATIENCE).unwrap();
    ping(home, far.address, 20, 900, false).unwrap().all_answered().unwrap();
    ping(home, alone.address, 20, 900, false).unwrap().all_answered().unwrap();
    assert_eq!(sealed(), 0);
    lab.branch.ip("route add 10.1.0.0/16 via 10.99.2.1 table 8").unwrap();
    lab.branch.ip("rule add from 10.8.0.1 table 8").unwrap();
    let private = lab.far(8);
    ping(home, private.address, 20, 900, false).unwrap().all_answered().unwrap();
    assert_eq!(sealed(), 20);

    // The circuit dies.
    let stream = Stream::start(home, far, PER_S, 300).unwrap();
    stream.flows(200).unwrap();
    lab.edge_speaks(false).unwrap();
    lab.answer_by(2).unwrap();
    gateway.is(CIRCUIT, "down").unwrap();
    stream.flows(200).unwrap();
    let report = stream.stop().unwrap();
    assert!(report.lost() > 0 && report.lost() < LOST_MAX, "{report:?}");
    assert!(sealed() >= 220, "{}", gateway.state());
    ping(home, far.address, 20, 900, false).unwrap().all_answered().unwrap();
    ping(home, alone.address, 5, 64, false).unwrap().none_answered().unwrap();
    assert!(gateway.counter("circuit_down").unwrap() >= 5, "{}", gateway.state());

    // It comes back: no datagram is lost by that, and the tunnel stays up.
    let stream = Stream::start(home, far, PER_S, 300).unwrap();
    stream.flows(100).unwrap();
    lab.edge_speaks(true).unwrap();
    gateway.is(CIRCUIT, "up").unwrap();
    let before = sealed();
    stream.flows(200).unwrap();
    stream.stop().unwrap().whole().unwrap();
    assert!(sealed() <= before + 20, "{} after {before}", sealed());
    lab.answer_by(1).unwrap();
    ping(home, far.address, 20, 900, false).unwrap().all_answered().unwrap();
    gateway.is(TUNNEL, "up").unwrap();

    // With neither nothing leaves.
    lab.edge_speaks(false).unwrap();
    gateway.is(CIRCUIT, "down").unwrap();
    strongswan.terminate().unwrap();
    drop(strongswan);
    let dropped = gateway.counter("tunnel_down").unwrap();
    ping(home, far.address, 5, 64, false).unwrap().none_answered().unwrap();
    assert!(gateway.counter("tunnel_down").unwrap() >= dropped + 5, "{}", gateway.state());
    let wire = wire.stop().unwrap();
    assert_eq!(wire.clear(MARK, &[home.address, far.address, private.address]), 0, "{}", wire.summary());
    let esp = wire.count(Kind::Esp) + wire.count(Kind::EspInUdp);
    assert!(esp >= 240, "{}", wire.summary());
    let circuit = circuit.stop().unwrap();
    assert_eq!(circuit.clear(NOTHING, &[private.address]), 0, "{}", circuit.summary());
    assert!(circuit.clear(NOTHING, &[far.address, alone.address]) >= 80, "{}", circuit.summary());
    gateway.stop().unwrap();
}

#[test]
fn nothing_of_a_tunnel_or_of_the_network_leaves_over_a_circuit_to_everywhere() {
    let text = include_str!("../../../config/examples/coexistence.toml").replacen(
        "prefixes = [\"10.2.0.0/16\", \"10.7.0.0/16\"]",
        "prefixes = [\"0.0.0.0/0\"]",
        1,
    );
    assert!(text.contains("\"0.0.0.0/0\"]"), "{text}");
    let lab = Lab::new().unwrap();
    lab.answer_by(1).unwrap();
    for (address, table) in [("10.2.0.1", 8), ("10.8.0.1", 8)] {
        lab.branch.ip(&format!("rule add from {address} table {table}")).unwrap();
    }
    lab.branch.ip("route add 10.1.0.0/16 via 10.99.2.1 table 8").unwrap();
    let gateway = Gateway::start(&lab.ours, Plan::example(&text, &[TUNNEL])).unwrap();
    let circuit = Capture::start(&lab.edge, "out", 200_000).unwrap();
    gateway.is(CIRCUIT, "up").unwrap();
    let (home, far, alone, private) = (lab.home(), lab.far(2), lab.far(7), lab.far(8));
    let nobody: std::net::IpAddr = "10.1.9.9".parse().unwrap();
    ping_until_answered(home, alone.address, PATIENCE).unwrap();
    let sealed = || gateway.connection(TUNNEL).unwrap()["traffic"]["out_packets"].as_u64().unwrap();
    let is_kept = || {
        for to in [far.address, private.address, nobody] {
            ping(home, to, 5, 64, false).unwrap().none_answered().unwrap();
        }
        ping(home, alone.address, 5, 64, false).unwrap().all_answered().unwrap();
    };

    is_kept();
    assert!(gateway.counter("tunnel_down").unwrap() >= 10, "{}", gateway.state());
    let strongswan = lab.strongswan().unwrap();
    gateway.is(TUNNEL, "up").unwrap();
    ping_until_answered(home, far.address, PATIENCE).unwrap();
    let before = sealed();
    for to in [far.address, private.address] {
        ping(home, to, 20, 900, false).unwrap().all_answered().unwrap();
    }
    assert!(sealed() >= before + 40, "{}", gateway.state());

    // With the circuit down, too; what it alone leads to is dropped.
    lab.edge_speaks(false).unwrap();
    gateway.is(CIRCUIT, "down").unwrap();
    ping(home, private.address, 5, 900, false).unwrap().all_answered().unwrap();
    ping(home, alone.address, 5, 64, false).unwrap().none_answered().unwrap();
    lab.edge_speaks(true).unwrap();
    gateway.is(CIRCUIT, "up").unwrap();

    // The tunnel goes while the circuit stays.
    strongswan.terminate().unwrap();
    drop(strongswan);
    ping_until_answered(home, alone.address, PATIENCE).unwrap();
    is_kept();
    let circuit = circuit.stop().unwrap();
    assert_eq!(circuit.clear(NOTHING, &[far.address, private.address, nobody]), 0, "{}", circuit.summary());
    assert!(circuit.clear(NOTHING, &[alone.address]) >= 20, "{}", circuit.summary());

    // Nor may anybody on the circuit pretend to be behind the tunnel, or in the network.
    lab.branch.ip("route replace 10.1.0.0/16 via 10.99.1.1 table 8").unwrap();
    let dropped = gateway.counter("clear_text").unwrap();
    ping(private, home.address, 5, 64, false).unwrap().none_answered().unwrap();
    assert!(gateway.counter("clear_text").unwrap() >= dropped + 5, "{}", gateway.state());
    lab.branch.address("lo", "10.1.9.9/32").unwrap();
    let dropped = gateway.counter("circuit_wrong_source").unwrap();
    ping(Host::new(&lab.branch, "10.1.9.9"), home.address, 5, 64, false).unwrap().none_answered().unwrap();
    assert!(gateway.counter("circuit_wrong_source").unwrap() >= dropped + 5, "{}", gateway.state());
    gateway.stop().unwrap();
}
