//! Two of our gateways: plain ESP (there is no NAT), extended sequence numbers, IPv6 outside, a lifetime in bytes, and ML-KEM.

use crossgate_tests::capture::{Capture, Kind};
use crossgate_tests::failure::{Result, ensure};
use crossgate_tests::gateway::{Driver, Gateway, Plan};
use crossgate_tests::sites::{self, Site};
use crossgate_tests::strongswan::{Settings, StrongSwan};
use crossgate_tests::traffic::{Host, MARK, Stream, bulk, ping, ping_until_answered};
use crossgate_tests::wait::{Look, until};
use serde_json::Value;
use std::time::Duration;

/// Traffic of both families, both ways.
fn exchange(one: &Site, two: &Site) -> Result<()> {
    for (near, far) in [(one.ipv4(), two.ipv4()), (two.ipv6(), one.ipv6())] {
        ping_until_answered(near, far.address, Duration::from_secs(20))?;
        ping(near, far.address, 20, 900, false)?.all_answered()?;
        let stream = Stream::start(near, far, 1000, 1200)?;
        stream.flows(500)?;
        stream.stop()?.whole()?;
        bulk(near, far, Duration::from_millis(500))?;
    }
    Ok(())
}

/// The same, all of it as ESP of protocol 50 outside.
fn exchange_by_esp(one: &Site, two: &Site) -> Result<()> {
    let wire = Capture::start(&one.gateway, "wan", 100_000)?;
    exchange(one, two)?;
    let wire = wire.stop()?;
    let clear = wire.clear(MARK, &[one.ipv4(), one.ipv6(), two.ipv4(), two.ipv6()].map(|host| host.address));
    let holds = wire.count(Kind::Esp) > 1000 && wire.count(Kind::EspInUdp) == 0 && clear == 0;
    ensure(holds, || format!("not all of it was ESP: {clear} clear, {}", wire.summary()))
}

#[test]
fn two_gateways_use_plain_esp_with_extended_sequence_numbers() {
    let (one, two) = sites::both_ours().unwrap();
    // The second one by another AES-GCM kernel than the first.
    let plan = Plan { aes_gcm: "portable", ..Plan::site(2).with_policy("esn", "\"Require\"") };
    let second = Gateway::start(&two.gateway, plan).unwrap();
    let first = Gateway::start(&one.gateway, Plan::site(1).with_policy("esn", "\"Require\"")).unwrap();
    first.is("peer", "up").unwrap();
    second.is("peer", "up").unwrap();
    let kernel = |gateway: &Gateway| gateway.ask(&["workers"]).unwrap()[0]["kernel"].clone();
    assert_eq!(kernel(&second), "portable");
    assert_ne!(kernel(&first), "portable");
    exchange_by_esp(&one, &two).unwrap();
    let sa = first.only_sa().unwrap();
    assert_eq!(sa["esn"], true, "{sa}");
    assert_eq!(sa["forged"], 0, "{sa}");
    first.stop().unwrap();
    // It calls at once, and the one that ends does not answer.
    second.is("peer", "connecting").unwrap();
    second.stop().unwrap();
}

#[test]
fn two_workers_share_a_tunnel_where_each_has_its_queues() {
    let (one, two) = sites::both_ours().unwrap();
    let second = Gateway::start(&two.gateway, Plan::site(2)).unwrap();
    let with_two = |arguments: &str| {
        let mut plan = Plan { device_arguments: arguments.to_owned(), ..two_workers(1) };
        plan.connections[0].extra = "per_resource_child_sas = false".to_owned();
        plan
    };
    // A packet that one worker opens must not depend on the other to leave: that is refused, and not found out later.
    let refused = Gateway::start(&one.gateway, with_two("")).err().map(|error| error.to_string());
    assert!(refused.as_ref().is_some_and(|text| text.contains("qpairs=2")), "{refused:?}");

    let first = Gateway::start(&one.gateway, with_two(",qpairs=2")).unwrap();
    first.is("peer", "up").unwrap();
    exchange_by_esp(&one, &two).unwrap();
    first.only_sa().unwrap();
    for counter in ["tx_no_queue", "esp_too_old", "esp_replayed", "esp_auth_failed"] {
        assert_eq!(first.counter(counter).unwrap(), 0, "{counter}: {}", first.state());
        assert_eq!(second.counter(counter).unwrap(), 0, "{counter}: {}", second.state());
    }
    first.stop().unwrap();
    second.stop().unwrap();
}

/// A gateway of two workers, each with its queues.
fn two_workers(number: u8) -> Plan {
    Plan { worker_cores: vec![0, 1], device_arguments: ",qpairs=2".to_owned(), ..Plan::site(number) }
}

/// Waits until the Child SAs that send are those of both workers and the one for all, none of them among `old`; their inbound SPIs.
fn each_has_its_own(gateway: &Gateway<'_>, old: &[Value]) -> Result<Vec<Value>> {
    until("a Child SA for each of two workers beside the one for all", Duration::from_secs(30), || {
        let sas = gateway.sas()?;
        let mut workers: Vec<_> = sas.iter().map(|sa| sa["worker"].as_u64()).collect();
        workers.sort_unstable();
        let are_new = sas.iter().all(|sa| sa["state"] == "sends" && !old.contains(&sa["inbound_spi"]));
        Ok(if are_new && workers == [None, Some(0), Some(1)] {
            Look::Holds(sas.iter().map(|sa| sa["inbound_spi"].clone()).collect())
        } else {
            Look::NotYet(format!("{sas:?}"))
        })
    })
}

/// Sends by ever other ports until each worker of a gateway has sealed and opened on the Child SA of its own.
fn each_uses_its_own(gateway: &Gateway<'_>, near: Host<'_>, far: Host<'_>) -> Result<()> {
    until("traffic on the Child SA of each worker", Duration::from_secs(60), || {
        bulk(near, far, Duration::from_millis(100))?;
        let sas = gateway.sas()?;
        let moved = |worker: u64, way: &str| {
            let own = sas.iter().find(|sa| sa["worker"] == worker);
            own.and_then(|sa| sa["traffic"][way].as_u64()).is_some_and(|packets| packets > 0)
        };
        let all = [0, 1].iter().all(|worker| moved(*worker, "out_packets") && moved(*worker, "in_packets"));
        Ok(Look::when(all, || format!("{sas:?}")))
    })
}

fn nothing_went_wrong(gateway: &Gateway<'_>) -> Result<()> {
    for counter in ["esp_too_old", "esp_replayed", "esp_auth_failed", "esp_unknown_spi", "tunnel_down"] {
        let count = gateway.counter(counter)?;
        ensure(count == 0, || format!("{counter} {count}: {}", gateway.state()))?;
    }
    Ok(())
}

#[test]
fn each_worker_of_two_gateways_seals_with_a_child_sa_of_its_own() {
    let (one, two) = sites::both_ours().unwrap();
    let second = Gateway::start(&two.gateway, two_workers(2)).unwrap();
    let first = Gateway::start(&one.gateway, two_workers(1)).unwrap();
    first.is("peer", "up").unwrap();
    let before = [&first, &second].map(|gateway| each_has_its_own(gateway, &[]).unwrap());
    exchange_by_esp(&one, &two).unwrap();
    each_uses_its_own(&first, one.ipv4(), two.ipv4()).unwrap();
    each_uses_its_own(&second, two.ipv4(), one.ipv4()).unwrap();
    // All are replaced under traffic of more than one flow, and each keeps its worker.
    let streams = [
        Stream::start(one.ipv4(), two.ipv4(), 500, 700).unwrap(),
        Stream::start(two.ipv4(), one.ipv4(), 500, 700).unwrap(),
        Stream::start(one.ipv6(), two.ipv6(), 250, 1200).unwrap(),
        Stream::start(two.ipv6(), one.ipv6(), 250, 1200).unwrap(),
    ];
    streams.iter().for_each(|stream| stream.flows(300).unwrap());
    first.ask(&["rekey", "peer", "--child"]).unwrap();
    let after = [(&first, &before[0]), (&second, &before[1])]
        .map(|(gateway, old)| each_has_its_own(gateway, old).unwrap());
    second.ask(&["rekey", "peer", "--child"]).unwrap();
    each_has_its_own(&second, &after[1]).unwrap();
    each_has_its_own(&first, &after[0]).unwrap();
    streams.iter().for_each(|stream| stream.flows(300).unwrap());
    for report in streams.map(Stream::stop) {
        report.unwrap().whole().unwrap();
    }
    each_uses_its_own(&first, one.ipv4(), two.ipv4()).unwrap();
    [&first, &second].into_iter().for_each(|gateway| nothing_went_wrong(gateway).unwrap());
    first.stop().unwrap();
    second.stop().unwrap();
}

#[test]
fn workers_get_their_own_under_traffic_whoever_has_more_of_them() {
    let (one, two) = sites::both_ours().unwrap();
    let second = Gateway::start(&two.gateway, Plan::site(2)).unwrap();
    let first = Gateway::start(&one.gateway, two_workers(1)).unwrap();
    first.is("peer", "up").unwrap();
    ping_until_answered(one.ipv4(), two.ipv4().address, Duration::from_secs(20)).unwrap();
    let streams = [
        Stream::start(one.ipv4(), two.ipv4(), 500, 700).unwrap(),
        Stream::start(two.ipv4(), one.ipv4(), 500, 700).unwrap(),
    ];
    streams.iter().for_each(|stream| stream.flows(300).unwrap());
    // Made anew while there is traffic: those of workers follow the one for all.
    let old = each_has_its_own(&first, &[]).unwrap();
    second.ask(&["rekey", "peer", "--child"]).unwrap();
    each_has_its_own(&first, &old).unwrap();
    streams.iter().for_each(|stream| stream.flows(300).unwrap());
    for report in streams.map(Stream::stop) {
        report.unwrap().whole().unwrap();
    }
    // The other one binds one of them to its only worker, and only receives on the rest.
    until("the side with one worker to send on its own", Duration::from_secs(20), || {
        let sas = second.sas()?;
        let own = sas.iter().filter(|sa| sa["worker"] == 0 && sa["state"] == "sends").count();
        let spare = sas.iter().filter(|sa| sa["worker"].is_null() && sa["state"] == "receives").count();
        Ok(Look::when((sas.len(), own, spare) == (3, 1, 1), || format!("{sas:?}")))
    })
    .unwrap();
    [&first, &second].into_iter().for_each(|gateway| nothing_went_wrong(gateway).unwrap());
    first.stop().unwrap();
    second.stop().unwrap();
}

#[test]
fn strongswan_that_knows_nothing_of_workers_gets_the_one_for_all() {
    let (site, peer) = sites::with_peer().unwrap();
    let strongswan = StrongSwan::start(&peer.gateway, &Settings::default()).unwrap();
    let gateway = Gateway::start(&site.gateway, two_workers(1)).unwrap();
    gateway.is("peer", "up").unwrap();
    ping_until_answered(site.ipv4(), peer.ipv4().address, Duration::from_secs(20)).unwrap();
    gateway.rekey_child("peer").unwrap();
    strongswan.rekey_child().unwrap();
    let sa = gateway.only_sa().unwrap();
    assert_eq!(sa["worker"], Value::Null, "{sa}");
    ping(site.ipv4(), peer.ipv4().address, 20, 900, false).unwrap().all_answered().unwrap();
    assert_eq!(gateway.connection("peer").unwrap()["failure"], Value::Null);
    gateway.stop().unwrap();
}

#[test]
fn tunnel_over_ipv6_carries_both_families() {
    let (one, two) = sites::both_ours().unwrap();
    let over_ipv6 = |number: u8| {
        let mut plan = Plan::site(number);
        plan.wan = vec![format!("2001:db8::{number}/64")];
        plan.connections[0].peer = format!("2001:db8::{}", 3 - number);
        plan
    };
    let second = Gateway::start(&two.gateway, over_ipv6(2)).unwrap();
    let first = Gateway::start(&one.gateway, over_ipv6(1)).unwrap();
    first.is("peer", "up").unwrap();
    second.is("peer", "up").unwrap();
    exchange_by_esp(&one, &two).unwrap();
}

#[test]
fn af_xdp_ports_carry_a_tunnel() {
    let (one, two) = sites::both_ours().unwrap();
    let second = Gateway::start(&two.gateway, Plan { driver: Driver::AfXdp, ..Plan::site(2) }).unwrap();
    let first = Gateway::start(&one.gateway, Plan { driver: Driver::AfXdp, ..Plan::site(1) }).unwrap();
    first.is("peer", "up").unwrap();
    second.is("peer", "up").unwrap();
    // Nothing but the ports sees what passes an AF_XDP socket, so there is no capture: the SA's own counts tell.
    exchange(&one, &two).unwrap();
    let sa = first.only_sa().unwrap();
    assert_eq!((&sa["encapsulation"], &sa["forged"]), (&"esp".into(), &0.into()), "{sa}");
    assert!(sa["traffic"]["in_packets"].as_u64().unwrap() > 1000, "{sa}");
}

#[test]
fn child_sa_is_replaced_before_its_bytes_are_used_up() {
    let (one, two) = sites::both_ours().unwrap();
    let second = Gateway::start(&two.gateway, Plan::site(2).with_mode("ResponderOnly")).unwrap();
    // 2 MiB: a little more than the stream carries in two seconds.
    let plan = Plan::site(1).with_policy("sa_data_size_kib", "2048");
    let first = Gateway::start(&one.gateway, plan).unwrap();
    first.is("peer", "up").unwrap();
    ping_until_answered(one.ipv4(), two.ipv4().address, Duration::from_secs(20)).unwrap();
    let spi = first.only_sa().unwrap()["inbound_spi"].clone();
    let stream = Stream::start(one.ipv4(), two.ipv4(), 1000, 1000).unwrap();
    until("two Child SAs to have replaced each other", Duration::from_secs(30), || {
        stream.flows(200)?;
        let sas = first.sas()?;
        let replaced = stream.received() > 4200 && sas.iter().all(|sa| sa["inbound_spi"] != spi);
        Ok(Look::when(replaced, || format!("{sas:?}")))
    })
    .unwrap();
    stream.stop().unwrap().whole().unwrap();
    second.only_sa().unwrap();
}

#[test]
fn two_gateways_mix_ml_kem_into_their_keys_and_again_when_they_rekey() {
    let (one, two) = sites::both_ours().unwrap();
    // As they do without being told to.
    let second = Gateway::start(&two.gateway, Plan::site(2).with_mode("ResponderOnly")).unwrap();
    let first = Gateway::start(&one.gateway, Plan::site(1)).unwrap();
    let both = [&first, &second];
    for gateway in both {
        gateway.is("peer", "up").unwrap();
    }
    exchange_by_esp(&one, &two).unwrap();
    let mixed_by = |times: usize, method: &str| {
        for gateway in both {
            let ready = until("the keys to be mixed", Duration::from_secs(20), || {
                let count = gateway.log().matches("come from ML-KEM").count();
                let suite = gateway.connection("peer")?["ike_suite"].as_str().unwrap_or_default().to_owned();
                Ok(Look::when(count == times && suite.ends_with(method), || {
                    format!("{count} times, {suite}")
                }))
            });
            ready.unwrap_or_else(|failure| panic!("{failure}\n{}", gateway.state()));
        }
    };
    mixed_by(1, "+ML_KEM_768");
    for (times, gateway) in [(2, &first), (3, &second)] {
        gateway.rekey_ike("peer").unwrap();
        mixed_by(times, "+ML_KEM_768");
    }
    exchange_by_esp(&one, &two).unwrap();
    first.stop().unwrap();
    second.stop().unwrap();
}

#[test]
fn each_strength_of_ml_kem_is_mixed_with_the_group_that_the_policy_names() {
    let (one, two) = sites::both_ours().unwrap();
    let plan = |number, group: &str, method: &str| {
        Plan::site(number)
            .with_mode(if number == 1 { "InitiatorOnly" } else { "ResponderOnly" })
            .with_policy("dh_group", &format!("{group:?}"))
            .with_policy("additional_key_exchange", &format!("{method:?}"))
    };
    let mut second = Gateway::start(&two.gateway, plan(2, "ECP384", "None")).unwrap();
    let mut first = Gateway::start(&one.gateway, plan(1, "ECP384", "None")).unwrap();
    for (group, method, shown) in [
        ("ECP256", "MLKEM512", "/ECP_256+ML_KEM_512"),
        ("ECP384", "MLKEM768", "/ECP_384+ML_KEM_768"),
        ("ECP521", "MLKEM1024", "/ECP_521+ML_KEM_1024"),
        ("Curve25519", "MLKEM1024", "/CURVE25519+ML_KEM_1024"),
    ] {
        for (gateway, number) in [(&mut second, 2), (&mut first, 1)] {
            gateway.reload(plan(number, group, method)).unwrap();
        }
        for gateway in [&first, &second] {
            until(&format!("connection peer to be up with {shown}"), Duration::from_secs(20), || {
                let told = gateway.client(&["connection", "peer"])?.output;
                Ok(Look::when(told.contains(shown), || told.clone()))
            })
            .unwrap_or_else(|failure| panic!("{failure}\n{}\n{}", first.state(), second.state()));
        }
        ping_until_answered(one.ipv4(), two.ipv4().address, Duration::from_secs(20)).unwrap();
        second.rekey_child("peer").unwrap();
        ping(two.ipv4(), one.ipv4().address, 5, 900, false).unwrap().all_answered().unwrap();
    }
    first.stop().unwrap();
    second.stop().unwrap();
}

#[test]
fn a_gateway_that_does_without_ml_kem_connects_and_one_that_insists_does_not() {
    let (one, two) = sites::both_ours().unwrap();
    let with = |number, word: &str| {
        let mut plan = Plan::site(number).with_policy("additional_key_exchange", word);
        plan.connections[0].mode = if number == 1 { "InitiatorOnly" } else { "ResponderOnly" }.to_owned();
        plan
    };
    let second = Gateway::start(&two.gateway, with(2, "\"None\"")).unwrap();
    let mut first = Gateway::start(&one.gateway, with(1, "[\"MLKEM1024\", \"None\"]")).unwrap();
    first.is("peer", "up").unwrap();
    assert!(!first.log().contains("ML-KEM"), "{}", first.state());
    first.reload(with(1, "\"MLKEM1024\"")).unwrap();
    first.fails_with("peer", "NO_PROPOSAL_CHOSEN").unwrap();
    first.stop().unwrap();
    second.stop().unwrap();
}
