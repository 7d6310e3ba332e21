//! Two sites with the addresses of the network, by dynamic NAT rules, with strongSwan: each site behind one external address, or the network.

use crossgate_tests::capture::{Capture, Kind};
use crossgate_tests::failure::{Result, ensure};
use crossgate_tests::gateway::{Gateway, Plan, example_key};
use crossgate_tests::namespace::{Namespace, Stack, cable};
use crossgate_tests::sites::Wan;
use crossgate_tests::strongswan::{Settings, StrongSwan};
use crossgate_tests::traffic::{
    Host, MARK, Stream, bulk, is_told_of_closed_port, ping, ping_once, ping_until_answered,
};
use crossgate_tests::wait::{Look, until};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

/// The example of overlapping sites, in IPv4, whose sites are behind one address each.
fn hidden_sites() -> String {
    let mut text = include_str!("../../../config/examples/overlapping-sites.toml").to_owned();
    for third in [2, 3] {
        let fixed = format!(
            "type = \"Static\"\ninternal_mapping = \"10.1.0.0/24\"\nexternal_mapping = \"100.64.{third}.0/24\""
        );
        let hidden = format!(
            "type = \"Dynamic\"\ninternal_mapping = \"10.1.0.0/24\"\nexternal_mapping = \"100.64.{third}.1/32\""
        );
        assert!(text.contains(&fixed), "the example has changed");
        text = text.replace(&fixed, &hidden);
    }
    text
}

#[test]
fn hosts_of_overlapping_sites_reach_a_server_behind_one_address_each() {
    let wan = Wan::new().unwrap();
    let headquarters = Namespace::new("headquarters", Stack::Dpdk).unwrap();
    wan.plug(1, &headquarters, "wan0").unwrap();
    let server = Namespace::new("server", Stack::Kernel).unwrap();
    cable((&headquarters, "lan0"), (&server, "lan"), 1500).unwrap();
    server.address("lan", "10.1.0.10/24").unwrap();
    server.route("default", "10.1.0.1").unwrap();
    let gateway =
        Gateway::start(&headquarters, Plan::example(&hidden_sites(), &["to-north", "to-south"])).unwrap();

    let site = |number: u8| {
        let site = Namespace::new(&format!("site-{number}"), Stack::Kernel).unwrap();
        wan.plug(number, &site, "wan").unwrap();
        site.address("wan", &format!("192.0.2.{number}/24")).unwrap();
        for host in [10, 11] {
            site.address("lo", &format!("10.1.0.{host}/32")).unwrap();
        }
        site
    };
    let (north, south) = (site(2), site(3));
    let settings = |connection, number: u8| Settings {
        local: format!("192.0.2.{number}"),
        local_id: format!("192.0.2.{number}"),
        shared_key: example_key(connection),
        local_prefixes: vec!["10.1.0.0/24".to_owned()],
        remote_prefixes: vec!["100.64.1.0/24".to_owned()],
        ..Settings::default()
    };
    let _at_north = StrongSwan::start(&north, &settings("to-north", 2)).unwrap();
    let _at_south = StrongSwan::start(&south, &settings("to-south", 3)).unwrap();
    gateway.is("to-north", "up").unwrap();
    gateway.is("to-south", "up").unwrap();

    let server = Host::new(&server, "10.1.0.10").known_as("100.64.1.10");
    let hosts = [(&north, "10.1.0.10"), (&north, "10.1.0.11"), (&south, "10.1.0.10"), (&south, "10.1.0.11")];
    for (namespace, address) in hosts {
        let host = Host::new(namespace, address);
        ping_until_answered(host, server.known_as, PATIENCE).unwrap();
        ping(host, server.known_as, 10, 901, false).unwrap().all_answered().unwrap();
        // In fragments, which the kernel under an af_packet port may join: no longer than its frames then.
        ping(host, server.known_as, 5, 1700, false).unwrap().all_answered().unwrap();
        is_told_of_closed_port(host, server.known_as).unwrap();
        let stream = Stream::start(host, server, 1000, 701).unwrap();
        stream.flows(300).unwrap();
        stream.stop().unwrap().whole().unwrap();
        bulk(host, server, Duration::from_secs(1)).unwrap();
        assert_eq!(
            seen_as(host, server),
            if std::ptr::eq(namespace, &north) { "100.64.2.1" } else { "100.64.3.1" }
        );
    }
    // The server cannot begin.
    let external: IpAddr = "100.64.2.1".parse().unwrap();
    ping(server, external, 3, 56, false).unwrap().none_answered().unwrap();
    assert!(gateway.counter("nat_no_session").unwrap() >= 3);

    assert_eq!(gateway.counter("nat_ports_exhausted").unwrap(), 0);
    until("a session too many is counted", PATIENCE, || {
        begin_sessions(Host::new(&north, "10.1.0.10"), server);
        let refused = gateway.counter("nat_ports_exhausted")?;
        Ok(Look::when(refused > 0, || "none yet".to_owned()))
    })
    .unwrap();
    until("the rule is told to be full", PATIENCE, || {
        let connection = gateway.connection("to-north")?;
        let rules = connection["nat_rules"].as_array().cloned().unwrap_or_default();
        let sessions = rules.iter().find(|rule| rule["name"] == "north").map(|rule| rule["sessions"].clone());
        let number = |key: &str| sessions.as_ref().and_then(|sessions| sessions[key].as_u64()).unwrap_or(0);
        let is_full = number("ports") == 64_512 && number("udp") > 50_000 && number("refused") > 0;
        Ok(Look::when(is_full, || format!("{sessions:?}")))
    })
    .unwrap();
    // Whoever nobody answers gives way: the site's other host can begin all the same.
    ping_until_answered(Host::new(&north, "10.1.0.11"), server.known_as, PATIENCE).unwrap();
    // The other site has ports of its own.
    ping(Host::new(&south, "10.1.0.10"), server.known_as, 5, 56, false).unwrap().all_answered().unwrap();
    gateway.stop().unwrap();
}

/// The same example, where the network is behind one address, for both sites.
fn hidden_network() -> String {
    let text = include_str!("../../../config/examples/overlapping-sites.toml");
    let fixed = "type = \"Static\"\ninternal_mapping = \"10.1.0.0/24\"\nexternal_mapping = \"100.64.1.0/24\"";
    assert!(text.contains(fixed), "the example has changed");
    let hidden =
        "type = \"Dynamic\"\ninternal_mapping = \"10.1.0.0/24\"\nexternal_mapping = \"100.64.1.1/32\"";
    text.replace(fixed, hidden)
}

/// Site `number`: a host in the gateway's place, and one behind it whom packets of more than 1200 bytes do not reach.
fn site_with_narrow_link(wan: &Wan, number: u8) -> Result<(Namespace, Namespace)> {
    let site = Namespace::new(&format!("site-{number}"), Stack::Kernel)?;
    wan.plug(number, &site, "wan")?;
    site.address("wan", &format!("192.0.2.{number}/24"))?;
    site.set("ipv4/ip_forward", "1")?;
    // All hosts of the network have one address there, and each is to be told.
    site.set("ipv4/icmp_ratelimit", "0")?;
    let far = Namespace::new(&format!("far-{number}"), Stack::Kernel)?;
    cable((&site, "lan"), (&far, "lan"), 1200)?;
    site.address("lan", "10.1.0.10/24")?;
    far.address("lan", "10.1.0.20/24")?;
    far.route("default", "10.1.0.10")?;
    Ok((site, far))
}

#[test]
fn many_hosts_behind_one_address_reach_two_sites_that_have_the_same_addresses() {
    let wan = Wan::new().unwrap();
    let headquarters = Namespace::new("headquarters", Stack::Dpdk).unwrap();
    wan.plug(1, &headquarters, "wan0").unwrap();
    let office = Namespace::new("office", Stack::Kernel).unwrap();
    cable((&headquarters, "lan0"), (&office, "lan"), 1500).unwrap();
    let addresses: Vec<String> = (10..20).map(|host| format!("10.1.0.{host}")).collect();
    for address in &addresses {
        office.address("lan", &format!("{address}/24")).unwrap();
    }
    office.route("default", "10.1.0.1").unwrap();
    let plan = Plan::example(&hidden_network(), &["to-north", "to-south"]);
    let gateway = Gateway::start(&headquarters, plan).unwrap();
    let ((north, far_north), (south, _far_south)) =
        (site_with_narrow_link(&wan, 2).unwrap(), site_with_narrow_link(&wan, 3).unwrap());
    let wire = Capture::start(&headquarters, "wan0", 400_000).unwrap();
    let settings = |connection, number: u8| Settings {
        local: format!("192.0.2.{number}"),
        local_id: format!("192.0.2.{number}"),
        shared_key: example_key(connection),
        local_prefixes: vec!["10.1.0.0/24".to_owned()],
        remote_prefixes: vec!["100.64.1.1/32".to_owned()],
        ..Settings::default()
    };
    let peer_at_north = StrongSwan::start(&north, &settings("to-north", 2)).unwrap();
    let _at_south = StrongSwan::start(&south, &settings("to-south", 3)).unwrap();
    gateway.is("to-north", "up").unwrap();
    gateway.is("to-south", "up").unwrap();

    let at_north = Host::new(&north, "10.1.0.10").known_as("100.64.2.10");
    let at_south = Host::new(&south, "10.1.0.10").known_as("100.64.3.10");
    let hosts: Vec<Host<'_>> = addresses.iter().map(|address| Host::new(&office, address)).collect();
    for server in [at_north, at_south] {
        ping_until_answered(hosts[0], server.known_as, PATIENCE).unwrap();
        for host in &hosts {
            ping(*host, server.known_as, 5, 901, false).unwrap().all_answered().unwrap();
            ping(*host, server.known_as, 5, 1700, false).unwrap().all_answered().unwrap();
            is_told_of_closed_port(*host, server.known_as).unwrap();
            assert_eq!(seen_as(*host, server), "100.64.1.1");
        }
        bulk(hosts[1], server, Duration::from_secs(1)).unwrap();
    }
    let stream = Stream::start(hosts[1], at_north, 1000, 701).unwrap();
    stream.flows(300).unwrap();
    stream.stop().unwrap().whole().unwrap();
    finds_the_path_s_mtu(hosts[2], Host::new(&far_north, "10.1.0.20").known_as("100.64.2.20")).unwrap();
    // The gateway is a hop, and its own words reach a site from the address that the hosts have.
    let said = ping_once(hosts[3], at_south.known_as, 1, 56).unwrap();
    assert!(said.contains("From 10.1.0.1"), "{said}");
    // Nobody there can begin.
    let external: IpAddr = "100.64.1.1".parse().unwrap();
    ping(at_north, external, 3, 56, false).unwrap().none_answered().unwrap();
    assert!(gateway.counter("nat_no_session").unwrap() >= 3);
    for drops in ["nat_ports_exhausted", "nat_untranslatable", "nat_fragment_unknown", "nat_no_mapping"] {
        assert_eq!(gateway.counter(drops).unwrap(), 0, "{drops}");
    }
    // One tunnel goes: what was for it goes nowhere.
    drop(peer_at_north);
    ping(hosts[0], at_south.known_as, 5, 56, false).unwrap().all_answered().unwrap();
    ping(hosts[0], at_north.known_as, 5, 56, false).unwrap();
    let recording = wire.stop().unwrap();
    let inner: Vec<IpAddr> = ["100.64.1.1", "100.64.2.10", "100.64.3.10", "100.64.2.20", "10.1.0.20"]
        .iter()
        .map(|address| address.parse().unwrap())
        .chain(hosts.iter().map(|host| host.address))
        .collect();
    assert_eq!(recording.clear(MARK, &inner), 0, "{}", recording.summary());
    assert!(recording.count(Kind::EspInUdp) > 1000, "{}", recording.summary());
    gateway.stop().unwrap();
}

/// A router beyond the tunnel says what its narrow link takes; the host learns it, and what is as long as that arrives.
fn finds_the_path_s_mtu(host: Host<'_>, far: Host<'_>) -> Result<()> {
    ping_until_answered(host, far.known_as, PATIENCE)?;
    let said = ping_once(host, far.known_as, 64, 1300)?.to_lowercase();
    ensure(said.contains("mtu") && said.contains("1200"), || said)?;
    let route = host.namespace.ip(&format!("route get {} from {}", far.known_as, host.address))?;
    ensure(route.contains("mtu 1200"), || route)?;
    ping(host, far.known_as, 5, 1172, true)?.all_answered()
}

/// By which address the server sees a host.
fn seen_as(host: Host<'_>, server: Host<'_>) -> String {
    let (at, to) = (SocketAddr::new(server.address, 7007), SocketAddr::new(server.known_as, 7007));
    let socket = server
        .namespace
        .within(move || UdpSocket::bind(at))
        .expect("a thread in the namespace")
        .expect("the socket works");
    socket.set_read_timeout(Some(Duration::from_secs(10))).expect("the socket works");
    let from = SocketAddr::new(host.address, 0);
    host.namespace
        .within(move || UdpSocket::bind(from)?.send_to(b"who am I", to))
        .expect("a thread in the namespace")
        .expect("the socket works");
    let (_, seen) = socket.recv_from(&mut [0; 16]).expect("the socket works");
    seen.ip().to_string()
}

/// Datagrams from two ports to 60,000 ports each: a session each, and more than one address has ports.
fn begin_sessions(host: Host<'_>, server: Host<'_>) {
    let (from, to) = (SocketAddr::new(host.address, 0), server.known_as);
    let sent = host.namespace.within(move || {
        for _ in 0..2 {
            let socket = UdpSocket::bind(from)?;
            for port in 2000..62_000 {
                socket.send_to(b"one more", SocketAddr::new(to, port))?;
            }
        }
        std::io::Result::Ok(())
    });
    sent.expect("a thread in the namespace").expect("the socket works");
}
