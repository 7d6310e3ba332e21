//! A changed configuration while traffic flows: only the difference is carried out, and a bad file changes nothing.

use crossgate_tests::gateway::{Connection, Gateway, Plan, many};
use crossgate_tests::sites;
use crossgate_tests::strongswan::{Settings, StrongSwan};
use crossgate_tests::traffic::{Stream, ping, ping_until_answered};
use crossgate_tests::wait::{Look, until};
use std::time::{Duration, Instant};

#[test]
fn another_connection_comes_and_goes_and_the_first_one_loses_nothing() {
    let (site, peer) = sites::with_peer().unwrap();
    let (strongswan, mut gateway) = sites::tunnel(&site, &peer).unwrap();
    let spi = gateway.only_sa().unwrap()["inbound_spi"].clone();
    let there = Stream::start(site.ipv4(), peer.ipv4(), 1000, 700).unwrap();
    let back = Stream::start(peer.ipv4(), site.ipv4(), 1000, 700).unwrap();
    there.flows(200).unwrap();

    let (before, mut plan) = (gateway.plan().clone(), gateway.plan().clone());
    let third =
        Connection { name: "third".to_owned(), mode: "ResponderOnly".to_owned(), ..Connection::to_site(3) };
    plan.connections.push(third);
    gateway.reload(plan).unwrap();
    gateway.is("third", "down").unwrap();
    there.flows(200).unwrap();
    gateway.reload(before).unwrap();
    until("the connection third to be gone", Duration::from_secs(20), || {
        let all = gateway.ask(&["connections"])?;
        Ok(Look::when(all.as_array().is_some_and(|all| all.len() == 1), || all.to_string()))
    })
    .unwrap();
    back.flows(200).unwrap();
    there.stop().unwrap().whole().unwrap();
    back.stop().unwrap().whole().unwrap();
    assert_eq!(gateway.only_sa().unwrap()["inbound_spi"], spi, "the tunnel was replaced for no reason");
    strongswan.is_up().unwrap();
}

#[test]
fn thousand_connections_come_change_and_go_and_another_loses_nothing() {
    let (site, peer) = sites::with_peer().unwrap();
    let (_strongswan, gateway) = sites::tunnel(&site, &peer).unwrap();
    let spi = gateway.only_sa().unwrap()["inbound_spi"].clone();
    let file = gateway.file();
    let folder = file.parent().unwrap();
    let size = "sku = \"custom\"\ncustom = { tunnels = 1001, bandwidth_mbit_per_s = 1000 }";
    let way = "name = \"wan\"\nroutes = [{ prefix = \"198.18.0.0/15\", next_hop = \"192.0.2.2\" }]";
    let few = gateway.plan().text(folder).replace("sku = \"VpnGw1\"", size).replace("name = \"wan\"", way);
    let apply = |text: &str| {
        gateway.write_file(text).unwrap();
        let applied = gateway.ask(&["apply", file.to_str().unwrap()]).unwrap();
        applied["changes"].as_array().map_or(0, Vec::len)
    };
    apply(&few);

    let there = Stream::start(site.ipv4(), peer.ipv4(), 500, 700).unwrap();
    let back = Stream::start(peer.ipv4(), site.ipv4(), 500, 700).unwrap();
    there.flows(100).unwrap();
    let (many, others) = (many(1000, folder, ""), many(1000, folder, "dpd_timeout_s = 60\n"));
    let begun = Instant::now();
    assert!(apply(&(few.clone() + &many)) >= 1000);
    let taken = begun.elapsed();
    assert!(taken < Duration::from_secs(10), "1,000 connections took {taken:?}");
    assert_eq!(gateway.ask(&["connections"]).unwrap().as_array().map(Vec::len), Some(1001));
    there.flows(100).unwrap();
    assert_eq!(apply(&(few.clone() + &others)), 1000);
    back.flows(100).unwrap();
    assert!(apply(&few) >= 1000);
    there.flows(100).unwrap();
    there.stop().unwrap().whole().unwrap();
    back.stop().unwrap().whole().unwrap();
    assert_eq!(gateway.only_sa().unwrap()["inbound_spi"], spi, "the tunnel was replaced for no reason");
    gateway.stop().unwrap();
}

#[test]
fn bad_file_changes_nothing_and_every_fault_in_it_is_told() {
    let (site, peer) = sites::with_peer().unwrap();
    let (_strongswan, gateway) = sites::tunnel(&site, &peer).unwrap();
    let spi = gateway.only_sa().unwrap()["inbound_spi"].clone();
    let stream = Stream::start(site.ipv4(), peer.ipv4(), 500, 700).unwrap();

    let sound = std::fs::read_to_string(gateway.file()).unwrap();
    let bad =
        sound.replace("sku = \"VpnGw1\"", "sku = \"Gigantic\"").replace("mode = \"Default\"", "moode = 3");
    gateway.write_file(&bad).unwrap();
    gateway.hang_up().unwrap();
    gateway.says("Gigantic").unwrap();
    let file = gateway.file();
    let file = file.to_str().unwrap();
    for command in ["check", "apply"] {
        let ended = gateway.client(&[command, file]).unwrap();
        assert!(!ended.status.success(), "{command}: {}", ended.output);
        for word in ["Gigantic", "moode", "gateway.toml:", "VpnGw1"] {
            assert!(ended.output.contains(word), "{command} does not name {word}: {}", ended.output);
        }
    }
    stream.flows(200).unwrap();
    stream.stop().unwrap().whole().unwrap();
    assert_eq!(gateway.only_sa().unwrap()["inbound_spi"], spi);

    gateway.write_file(&sound).unwrap();
    let applied = gateway.ask(&["apply", file]).unwrap();
    assert_eq!(applied["changes"].as_array().map(Vec::len), Some(0), "{applied}");
}

#[test]
fn flaws_of_every_kind_are_told_together_and_nothing_is_applied() {
    let (site, _peer) = sites::with_peer().unwrap();
    let gateway = Gateway::start(&site.gateway, Plan::site(1)).unwrap();
    let before = gateway.client(&["export"]).unwrap().output;
    let file = gateway.file().with_file_name("bad-input.toml");
    std::fs::write(&file, include_str!("../../../config/tests/findings/bad-input.toml")).unwrap();
    let file = file.to_str().unwrap();
    for command in ["check", "diff", "apply"] {
        let ended = gateway.client(&[command, file]).unwrap();
        assert_eq!(ended.status.code(), Some(1), "{command}: {}", ended.output);
        for word in [
            "\"site-c\" exists already",
            "10.1.8.0/24 of \"site-b\" overlaps 10.1.0.0/16",
            "one connection too many for \"gw\"",
            "missing.psk",
            "no local network gateway \"site-d\"",
            "in a circle: spoke-1, spoke-2",
        ] {
            let told =
                ended.output.lines().any(|line| line.contains(word) && line.contains("bad-input.toml:"));
            assert!(told, "{command} does not tell {word} with its line: {}", ended.output);
        }
    }
    assert_eq!(gateway.client(&["export"]).unwrap().output, before);
    assert_eq!(gateway.ask(&["history"]).unwrap().as_array().map(Vec::len), Some(1));
}

#[test]
fn mtu_of_a_port_and_of_a_connection_is_lowered_and_raised_again_while_traffic_flows() {
    let (site, peer) = sites::with_peer().unwrap();
    let (_strongswan, mut gateway) = sites::tunnel(&site, &peer).unwrap();
    let spi = gateway.only_sa().unwrap()["inbound_spi"].clone();
    let stream = Stream::start(site.ipv4(), peer.ipv4(), 500, 700).unwrap();
    // 1350 bytes of payload make 1378, which is too much for a tunnel over 1400 and not for one over 1500.
    let whole = || ping(site.ipv4(), peer.ipv4().address, 3, 1350, true).unwrap();
    whole().all_answered().unwrap();

    let with_port = |wan_mtu_bytes| Plan { wan_mtu_bytes, ..Plan::site(1) };
    let mut with_connection = Plan::site(1);
    with_connection.connections[0].extra += "mtu_bytes = 1390\n";
    for (plan, mtu_bytes, fits) in [
        (with_port(1400), 1400, false),
        (with_port(1500), 1500, true),
        (with_connection, 1390, false),
        (with_port(1500), 1500, true),
    ] {
        let too_big = gateway.counter("too_big").unwrap();
        gateway.reload(plan).unwrap();
        until("the SA to follow", Duration::from_secs(20), || {
            let sa = gateway.only_sa()?;
            Ok(Look::when(sa["path_mtu_bytes"] == mtu_bytes, || sa.to_string()))
        })
        .unwrap();
        // The host forgets what it was told of the path before.
        site.host.ip("route flush cache").unwrap();
        until("the workers to follow as well", Duration::from_secs(20), || {
            let pings = whole();
            Ok(Look::when((pings.answered > 0) == fits, || format!("{pings:?}")))
        })
        .unwrap();
        match fits {
            true => whole().all_answered().unwrap(),
            false => whole().none_answered().unwrap(),
        }
        assert_eq!(gateway.counter("too_big").unwrap() > too_big, !fits);
        stream.flows(200).unwrap();
    }
    stream.stop().unwrap().whole().unwrap();
    assert_eq!(gateway.only_sa().unwrap()["inbound_spi"], spi, "the tunnel was replaced for no reason");
}

#[test]
fn connection_that_is_taken_out_is_closed_and_comes_back_with_its_new_key() {
    let (site, peer) = sites::with_peer().unwrap();
    let key = "Quite.new_Rk4tZ8wLp2XsVb";
    let strongswan = StrongSwan::start(&peer.gateway, &Settings::default()).unwrap();
    let mut gateway = Gateway::start(&site.gateway, Plan::site(1)).unwrap();
    gateway.is("peer", "up").unwrap();
    strongswan.is_up().unwrap();

    gateway.reload(Plan { connections: Vec::new(), ..Plan::site(1) }).unwrap();
    strongswan.is_down().unwrap();
    drop(strongswan);

    let settings = Settings { shared_key: key.to_owned(), ..Settings::default() };
    let _strongswan = StrongSwan::start(&peer.gateway, &settings).unwrap();
    let mut plan = Plan::site(1);
    key.clone_into(&mut plan.connections[0].shared_key);
    gateway.reload(plan).unwrap();
    gateway.is("peer", "up").unwrap();
    ping_until_answered(site.ipv4(), peer.ipv4().address, Duration::from_secs(20)).unwrap();
    gateway.stop().unwrap();
}
