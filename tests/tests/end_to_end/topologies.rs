//! The examples in `config/examples`, run as they stand, with strongSwan as every other site.

use crossgate_tests::capture::{Capture, Kind};
use crossgate_tests::failure::Result;
use crossgate_tests::gateway::{Gateway, Plan, example_key};
use crossgate_tests::namespace::{Namespace, Stack, cable};
use crossgate_tests::sites::Wan;
use crossgate_tests::strongswan::{Settings, StrongSwan};
use crossgate_tests::traffic::{
    Host, MARK, Stream, bulk, is_told_of_closed_port, ping, ping_once, ping_until_answered,
};
use std::net::IpAddr;
use std::time::Duration;

/// How long a tunnel may take until it carries packets.
const PATIENCE: Duration = Duration::from_secs(20);

/// A host with a cable to the interface `device` of our gateway.
fn host(gateway: &Namespace, device: &str) -> Result<Namespace> {
    host_in(1, gateway, device)
}

/// The same in the network 10.`number`.0.0/16.
fn host_in(number: u8, gateway: &Namespace, device: &str) -> Result<Namespace> {
    let host = Namespace::new(&format!("host-{device}"), Stack::Kernel)?;
    cable((gateway, device), (&host, "lan"), 1500)?;
    host.address("lan", &format!("10.{number}.0.10/24"))?;
    host.route("default", &format!("10.{number}.0.1"))?;
    Ok(host)
}

/// A strongSwan's site: 192.0.2.`number` outside, `inside` on itself.
fn site(wan: &Wan, number: u8, inside: &str) -> Result<Namespace> {
    let site = Namespace::new(&format!("site-{number}"), Stack::Kernel)?;
    wan.plug(number, &site, "wan")?;
    site.address("wan", &format!("192.0.2.{number}/24"))?;
    site.address("lo", &format!("{inside}/32"))?;
    Ok(site)
}

/// What such a site tells its strongSwan, by the name of the connection at our gateway.
fn settings(connection: &str, number: u8, prefix: &str, remote_prefixes: &[&str]) -> Settings {
    Settings {
        local: format!("192.0.2.{number}"),
        local_id: format!("192.0.2.{number}"),
        shared_key: example_key(connection),
        local_prefixes: vec![prefix.to_owned()],
        remote_prefixes: remote_prefixes.iter().map(|&prefix| prefix.to_owned()).collect(),
        ..Settings::default()
    }
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("the addresses here are well formed")
}

#[test]
fn a_site_behind_a_router_is_reached_with_every_key_written_out() {
    let text = include_str!("../../../config/examples/site-to-site.toml");
    let wan = Wan::new().unwrap();
    let ours = Namespace::new("site-a", Stack::Dpdk).unwrap();
    wan.plug(1, &ours, "wan0").unwrap();
    let host = host(&ours, "lan0").unwrap();
    let gateway = Gateway::start(&ours, Plan::example(text, &["a-to-b"])).unwrap();
    // The router of the public side is the peer itself: its address is a hop away.
    let peer = site(&wan, 254, "10.2.0.1").unwrap();
    peer.address("lo", "198.51.100.2/32").unwrap();
    let settings = Settings {
        local: "198.51.100.2".to_owned(),
        local_id: "198.51.100.2".to_owned(),
        ..settings("a-to-b", 254, "10.2.0.0/16", &["10.1.0.0/16"])
    };
    let strongswan = StrongSwan::start(&peer, &settings).unwrap();
    gateway.is("a-to-b", "up").unwrap();
    let (home, far) = (Host::new(&host, "10.1.0.10"), Host::new(&peer, "10.2.0.1"));
    ping_until_answered(home, far.address, PATIENCE).unwrap();
    ping(far, home.address, 20, 900, false).unwrap().all_answered().unwrap();
    strongswan.rekey_child().unwrap();
    gateway.rekey_ike("a-to-b").unwrap();
    ping(home, far.address, 20, 900, false).unwrap().all_answered().unwrap();
    gateway.stop().unwrap();
}

#[test]
fn three_sites_reach_the_hub_and_through_it_each_other() {
    let text = include_str!("../../../config/examples/multi-site.toml");
    let wan = Wan::new().unwrap();
    let hub = Namespace::new("hub", Stack::Dpdk).unwrap();
    wan.plug(1, &hub, "wan0").unwrap();
    let host = host(&hub, "lan0").unwrap();
    let gateway = Gateway::start(&hub, Plan::example(text, &["to-north", "to-south", "to-harbour"])).unwrap();

    let north = site(&wan, 2, "10.2.0.1").unwrap();
    let south = site(&wan, 3, "10.3.0.1").unwrap();
    let harbour = site(&wan, 44, "10.4.0.1").unwrap();
    let all = ["10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16", "10.4.0.0/16"];
    let others = |own: &str| all.into_iter().filter(|prefix| *prefix != own).collect::<Vec<_>>();
    let of = |connection, number, own: &str| settings(connection, number, own, &others(own));
    let _at_north = StrongSwan::start(&north, &of("to-north", 2, "10.2.0.0/16")).unwrap();
    let at_south = StrongSwan::start(&south, &of("to-south", 3, "10.3.0.0/16")).unwrap();
    let by_name = Settings {
        local_id: "harbour.example.org".to_owned(),
        remote_id: "hub.example.org".to_owned(),
        ..of("to-harbour", 44, "10.4.0.0/16")
    };
    let at_harbour = StrongSwan::start(&harbour, &by_name).unwrap();
    // The others are called; this one has to call.
    at_harbour.initiate().unwrap();
    for connection in ["to-north", "to-south", "to-harbour"] {
        gateway.is(connection, "up").unwrap();
    }

    let home = Host::new(&host, "10.1.0.10");
    let sites =
        [Host::new(&north, "10.2.0.1"), Host::new(&south, "10.3.0.1"), Host::new(&harbour, "10.4.0.1")];
    for far in sites {
        ping_until_answered(home, far.address, PATIENCE).unwrap();
        ping(far, home.address, 20, 900, false).unwrap().all_answered().unwrap();
        for other in sites.into_iter().filter(|other| other.address != far.address) {
            ping(far, other.address, 20, 900, false).unwrap().all_answered().unwrap();
        }
    }
    // In transit a packet is opened and sealed again, with a connection's own keys on each side.
    let stream = Stream::start(sites[0], sites[1], 1000, 700).unwrap();
    stream.flows(500).unwrap();
    stream.stop().unwrap().whole().unwrap();

    // One site less is one site less: the others do not notice.
    let stream = Stream::start(sites[0], sites[2], 1000, 700).unwrap();
    stream.flows(200).unwrap();
    at_south.terminate().unwrap();
    stream.flows(200).unwrap();
    stream.stop().unwrap().whole().unwrap();
    gateway.stop().unwrap();
}

#[test]
fn sites_a_spoke_and_another_network_meet_at_one_hub() {
    let text = include_str!("../../../config/examples/hub.toml");
    let wan = Wan::new().unwrap();
    let ours = Namespace::new("hub", Stack::Dpdk).unwrap();
    wan.plug(1, &ours, "wan0").unwrap();
    let inside = [(1, "lan0"), (5, "lan1"), (6, "lan2")]
        .map(|(number, device)| host_in(number, &ours, device).unwrap());
    let plan = Plan::example(text, &["to-north", "to-south", "laboratory"]);
    let gateway = Gateway::start(&ours, plan).unwrap();
    let [hub, spoke, laboratory] =
        [(0, "10.1.0.10"), (1, "10.5.0.10"), (2, "10.6.0.10")].map(|(at, of)| Host::new(&inside[at], of));

    // Each site is told what `peer-config` names for it.
    let north = site(&wan, 2, "10.2.0.1").unwrap();
    let south = site(&wan, 3, "10.3.0.1").unwrap();
    let told = |connection: &str| -> Vec<String> {
        let said = gateway.client(&["peer-config", connection, "--for", "strongswan"]).unwrap().output;
        let line = said.lines().find_map(|line| line.trim().strip_prefix("remote_ts = "));
        line.unwrap_or_else(|| panic!("{said}")).split(',').map(str::to_owned).collect()
    };
    assert_eq!(told("to-north"), ["10.1.0.0/16", "10.5.0.0/16", "10.3.0.0/16"]);
    let of = |connection: &str, number, own: &str| Settings {
        remote_prefixes: told(connection),
        ..settings(connection, number, own, &[])
    };
    let _at_north = StrongSwan::start(&north, &of("to-north", 2, "10.2.0.0/16")).unwrap();
    let _at_south = StrongSwan::start(&south, &of("to-south", 3, "10.3.0.0/16")).unwrap();
    for connection in ["to-north", "to-south", "to-laboratory", "laboratory-to-hub"] {
        gateway.is(connection, "up").unwrap();
    }
    let (north, south) = (Host::new(&north, "10.2.0.1"), Host::new(&south, "10.3.0.1"));
    for (one, other) in [
        (hub, spoke),
        (hub, laboratory),
        (hub, north),
        (hub, south),
        (spoke, laboratory),
        (spoke, north),
        (spoke, south),
        (north, south),
    ] {
        ping_until_answered(one, other.address, PATIENCE).unwrap();
        ping(other, one.address, 10, 900, false).unwrap().all_answered().unwrap();
    }
    // What is behind another connection of the hub is no part of what the two networks tell each other.
    for site in [north, south] {
        ping(laboratory, site.address, 5, 64, false).unwrap().none_answered().unwrap();
    }
    let stream = Stream::start(spoke, laboratory, 1000, 700).unwrap();
    stream.flows(500).unwrap();
    gateway.ask(&["rekey", "to-laboratory"]).unwrap();
    stream.flows(500).unwrap();
    stream.stop().unwrap().whole().unwrap();
    gateway.stop().unwrap();
}

#[test]
fn networks_with_the_same_addresses_never_mix() {
    let text = include_str!("../../../config/examples/shared-appliance.toml");
    let wan = Wan::new().unwrap();
    let shared = Namespace::new("shared", Stack::Dpdk).unwrap();
    wan.plug(1, &shared, "wan0").unwrap();
    let blue = host(&shared, "lan0").unwrap();
    let green = host(&shared, "lan1").unwrap();
    let gateway =
        Gateway::start(&shared, Plan::example(text, &["blue-to-branch", "green-to-branch"])).unwrap();

    // Each branch has a host that the other has not.
    let blue_branch = site(&wan, 2, "10.2.0.1").unwrap();
    let green_branch = site(&wan, 3, "10.2.0.1").unwrap();
    blue_branch.address("lo", "10.2.0.22/32").unwrap();
    green_branch.address("lo", "10.2.0.33/32").unwrap();
    let _at_blue =
        StrongSwan::start(&blue_branch, &settings("blue-to-branch", 2, "10.2.0.0/16", &["10.1.0.0/16"]))
            .unwrap();
    let of_green = Settings {
        remote: "192.0.2.11".to_owned(),
        remote_id: "192.0.2.11".to_owned(),
        ..settings("green-to-branch", 3, "10.2.0.0/16", &["10.1.0.0/16"])
    };
    let _at_green = StrongSwan::start(&green_branch, &of_green).unwrap();
    gateway.is("blue-to-branch", "up").unwrap();
    gateway.is("green-to-branch", "up").unwrap();

    let (blue, green) = (Host::new(&blue, "10.1.0.10"), Host::new(&green, "10.1.0.10"));
    ping_until_answered(blue, address("10.2.0.22"), PATIENCE).unwrap();
    ping_until_answered(green, address("10.2.0.33"), PATIENCE).unwrap();
    ping(blue, address("10.2.0.33"), 5, 64, false).unwrap().none_answered().unwrap();
    ping(green, address("10.2.0.22"), 5, 64, false).unwrap().none_answered().unwrap();
    // From and to the same addresses at the same time.
    let one = Stream::start(blue, Host::new(&blue_branch, "10.2.0.1"), 1000, 700).unwrap();
    let other = Stream::start(green, Host::new(&green_branch, "10.2.0.1"), 1000, 700).unwrap();
    one.flows(500).unwrap();
    other.flows(500).unwrap();
    one.stop().unwrap().whole().unwrap();
    other.stop().unwrap().whole().unwrap();
    gateway.stop().unwrap();
}

#[test]
fn sites_with_the_same_addresses_reach_each_other_by_others() {
    let text = include_str!("../../../config/examples/overlapping-sites.toml");
    let wan = Wan::new().unwrap();
    let headquarters = Namespace::new("headquarters", Stack::Dpdk).unwrap();
    wan.plug(1, &headquarters, "wan0").unwrap();
    let host = host(&headquarters, "lan0").unwrap();
    host.address("lan", "fd00:1::10/64").unwrap();
    host.route("default", "fd00:1::1").unwrap();
    let plan = Plan::example(text, &["to-north", "to-south"]);
    let gateway = Gateway::start(&headquarters, plan).unwrap();

    let branches = [site(&wan, 2, "10.1.0.10").unwrap(), site(&wan, 3, "10.1.0.10").unwrap()];
    let of = |connection, number, other| Settings {
        local_prefixes: vec!["10.1.0.0/24".to_owned(), "fd00:1::/64".to_owned()],
        remote_prefixes: ["1", other]
            .iter()
            .flat_map(|third| [format!("100.64.{third}.0/24"), format!("fd64:{third}::/64")])
            .collect(),
        ..settings(connection, number, "", &[])
    };
    for branch in &branches {
        branch.address("lo", "fd00:1::10/128").unwrap();
    }
    let [north, south] = &branches;
    let _at_north = StrongSwan::start(north, &of("to-north", 2, "3")).unwrap();
    let _at_south = StrongSwan::start(south, &of("to-south", 3, "2")).unwrap();
    gateway.is("to-north", "up").unwrap();
    gateway.is("to-south", "up").unwrap();

    let all = |address: &str, known: fn(u8) -> String| {
        [(1, &host), (2, north), (3, south)]
            .map(|(third, namespace)| Host::new(namespace, address).known_as(&known(third)))
    };
    let by_family = [
        all("10.1.0.10", |third| format!("100.64.{third}.10")),
        all("fd00:1::10", |third| format!("fd64:{third}::10")),
    ];
    for hosts in by_family {
        for from in hosts {
            for to in hosts.into_iter().filter(|to| to.known_as != from.known_as) {
                ping_until_answered(from, to.known_as, PATIENCE).unwrap();
                ping(from, to.known_as, 10, 901, false).unwrap().all_answered().unwrap();
                is_told_of_closed_port(from, to.known_as).unwrap();
            }
        }
        let [home, north, south] = hosts;
        for (from, to) in [(home, north), (north, home), (north, south)] {
            let stream = Stream::start(from, to, 1000, 701).unwrap();
            stream.flows(300).unwrap();
            stream.stop().unwrap().whole().unwrap();
        }
        bulk(home, south, Duration::from_secs(2)).unwrap();
        bulk(south, home, Duration::from_secs(2)).unwrap();
        gateway_is_a_hop_as_each_side_knows_it(home, north).unwrap();
    }

    let connection = gateway.connection("to-north").unwrap();
    assert_eq!(connection["nat_rules"].as_array().map(Vec::len), Some(4), "{connection}");
    assert_eq!(connection["remote_prefixes"][0], "100.64.2.0/24", "{connection}");
    assert!(gateway.counter("nat_translated").unwrap() > 2000);
    for drops in ["nat_no_mapping", "nat_untranslatable"] {
        assert_eq!(gateway.counter(drops).unwrap(), 0, "{drops}");
    }
    gateway.stop().unwrap();
}

/// What the gateway itself says about packets: that their hops are used up, or that they are too big.
fn gateway_is_a_hop_as_each_side_knows_it(home: Host<'_>, far: Host<'_>) -> Result<()> {
    let (own, external) = match home.address {
        IpAddr::V4(_) => ("10.1.0.1", "100.64.1.1"),
        IpAddr::V6(_) => ("fd00:1::1", "fd64:1::1"),
    };
    for (from, to, gateway) in [(home, far, own), (far, home, external)] {
        let said = ping_once(from, to.known_as, 1, 56)?.to_lowercase();
        assert!(said.contains(&format!("from {gateway}")), "{said}");
        assert!(said.contains("time to live exceeded") || said.contains("hop limit"), "{said}");
    }
    let said = ping_once(home, far.known_as, 64, 1440)?.to_lowercase();
    assert!(said.contains(&format!("from {own}")) && said.contains("mtu"), "{said}");
    Ok(())
}

#[test]
fn everything_goes_through_the_tunnel_or_nowhere() {
    let text = include_str!("../../../config/examples/forced-tunnelling.toml");
    let wan = Wan::new().unwrap();
    let branch = Namespace::new("branch", Stack::Dpdk).unwrap();
    wan.plug(1, &branch, "wan0").unwrap();
    let host = host(&branch, "lan0").unwrap();
    let gateway = Gateway::start(&branch, Plan::example(text, &["to-headquarters"])).unwrap();
    let headquarters = site(&wan, 2, "10.2.0.1").unwrap();
    // A host of the Internet, behind headquarters.
    headquarters.address("lo", "198.51.100.80/32").unwrap();
    let home = Host::new(&host, "10.1.0.10");
    let internet = Host::new(&headquarters, "198.51.100.80");

    // The router of the public side knows the way too: it must not be asked, with a tunnel or without.
    headquarters.address("wan", "192.0.2.254/24").unwrap();
    headquarters.set("ipv4/ip_forward", "1").unwrap();
    let wire = Capture::start(&headquarters, "wan", 10_000).unwrap();
    ping(home, internet.address, 5, 64, false).unwrap().none_answered().unwrap();
    let _strongswan =
        StrongSwan::start(&headquarters, &settings("to-headquarters", 2, "0.0.0.0/0", &["10.1.0.0/16"]))
            .unwrap();
    gateway.is("to-headquarters", "up").unwrap();
    ping_until_answered(home, internet.address, PATIENCE).unwrap();
    ping(home, internet.address, 20, 900, false).unwrap().all_answered().unwrap();
    let wire = wire.stop().unwrap();
    assert_eq!(wire.clear(MARK, &[home.address, internet.address]), 0, "{}", wire.summary());
    assert!(wire.count(Kind::EspInUdp) >= 40, "{}", wire.summary());
    gateway.stop().unwrap();
}
