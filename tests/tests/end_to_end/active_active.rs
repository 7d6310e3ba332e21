//! A gateway with two public addresses, by the example as it stands: one connection, a tunnel from each address, to one strongSwan.

use crossgate_tests::capture::Capture;
use crossgate_tests::failure::{Failure, Result};
use crossgate_tests::gateway::{Gateway, Plan, example_key};
use crossgate_tests::namespace::{Namespace, Stack, cable};
use crossgate_tests::sites::Wan;
use crossgate_tests::strongswan::{Settings, StrongSwan};
use crossgate_tests::traffic::{Host, MARK, Stream, ping, ping_until_answered};
use crossgate_tests::wait::{Look, until};
use std::time::Duration;

const EXAMPLE: &str = include_str!("../../../config/examples/active-active.toml");
const NAME: &str = "to-branch";
const PATIENCE: Duration = Duration::from_secs(40);
/// The branch's hosts.
const HOSTS: u8 = 40;

/// strongSwan's second connection, to the gateway's second address.
fn second() -> String {
    "second {
        version = 2
        mobike = no
        local_addrs = 192.0.2.2
        remote_addrs = 192.0.2.11
        proposals = aes256gcm16-prfsha384-ecp384
        local {
            auth = psk
            id = 192.0.2.2
        }
        remote {
            auth = psk
            id = 192.0.2.11
        }
        children {
            other {
                local_ts = 10.2.0.0/16
                remote_ts = 10.1.0.0/16
                esp_proposals = aes256gcm16-ecp384
            }
        }
    }
}
secrets {
    ike-second {
        id-1 = 192.0.2.2
        id-2 = 192.0.2.11
        secret = \"KEY\"
    }"
    .replace("KEY", &example_key(NAME))
}

fn settings() -> Settings {
    Settings {
        shared_key: example_key(NAME),
        local_prefixes: vec!["10.2.0.0/16".to_owned()],
        remote_prefixes: vec!["10.1.0.0/16".to_owned()],
        more_connections: second(),
        ..Settings::default()
    }
}

/// What each of the connection's tunnels has sent.
fn sent(gateway: &Gateway<'_>) -> Result<Vec<u64>> {
    let connection = gateway.connection(NAME)?;
    let tunnels = connection["tunnels"].as_array().cloned().unwrap_or_default();
    let sent = tunnels.iter().map(|tunnel| tunnel["traffic"]["out_packets"].as_u64().unwrap_or_default());
    Ok(sent.collect())
}

fn tunnels_are(gateway: &Gateway<'_>, states: [bool; 2]) -> Result<()> {
    until(&format!("tunnels to be up: {states:?}"), PATIENCE, || {
        let connection = gateway.connection(NAME)?;
        let is_up = |index: usize| connection["tunnels"][index]["state"] == "up";
        Ok(Look::when([is_up(0), is_up(1)] == states, || connection.to_string()))
    })
}

/// The SPIs of all tunnels.
fn spis(gateway: &Gateway<'_>) -> Result<Vec<String>> {
    Ok(gateway.sas()?.iter().map(|sa| sa["inbound_spi"].to_string()).collect())
}

fn are_others_than(gateway: &Gateway<'_>, before: &[String]) -> Result<()> {
    until("both tunnels to be others", PATIENCE, || {
        let now = spis(gateway)?;
        let done = now.len() == 2 && now.iter().all(|spi| !before.contains(spi));
        Ok(Look::when(done, || format!("{before:?}, then {now:?}")))
    })
}

#[test]
fn a_connection_has_a_tunnel_from_each_address_and_each_takes_over_from_the_other() {
    let wan = Wan::new().unwrap();
    let hub = Namespace::new("headquarters", Stack::Dpdk).unwrap();
    wan.plug(1, &hub, "wan0").unwrap();
    let host = Namespace::new("host", Stack::Kernel).unwrap();
    cable((&hub, "lan0"), (&host, "lan"), 1500).unwrap();
    host.address("lan", "10.1.0.10/24").unwrap();
    host.route("default", "10.1.0.1").unwrap();
    let branch = Namespace::new("branch", Stack::Kernel).unwrap();
    wan.plug(2, &branch, "wan").unwrap();
    branch.address("wan", "192.0.2.2/24").unwrap();
    for number in 1..=HOSTS {
        branch.address("lo", &format!("10.2.0.{number}/32")).unwrap();
    }
    let home = Host::new(&host, "10.1.0.10");
    let far = |number: u8| Host::new(&branch, &format!("10.2.0.{number}"));

    let mut gateway = Gateway::start(&hub, Plan::example(EXAMPLE, &[NAME])).unwrap();
    let wire = Capture::start(&hub, "wan0", 200_000).unwrap();
    let peer = StrongSwan::start(&branch, &settings()).unwrap();
    gateway.is(NAME, "up").unwrap();
    tunnels_are(&gateway, [true, true]).unwrap();
    let connection = gateway.connection(NAME).unwrap();
    let local = |index: usize| connection["tunnels"][index]["local"].as_str().unwrap_or_default().to_owned();
    assert!(local(0).starts_with("192.0.2.1:") && local(1).starts_with("192.0.2.11:"), "{connection}");
    let shown = gateway.client(&["connection", NAME]).unwrap().output;
    assert_eq!(shown.matches("50 % of the flows").count(), 2, "{shown}");

    // Half of the flows each.
    ping_until_answered(home, far(1).address, PATIENCE).unwrap();
    let way = |number: u8| -> Result<usize> {
        let before = sent(&gateway)?;
        ping_until_answered(home, far(number).address, PATIENCE)?;
        let after = sent(&gateway)?;
        let moved: Vec<u64> = after.iter().zip(&before).map(|(after, before)| after - before).collect();
        match moved.as_slice() {
            [one, 0] if *one > 0 => Ok(0),
            [0, other] if *other > 0 => Ok(1),
            _ => Err(Failure::Untrue(format!("host {number}: not one tunnel alone: {moved:?}"))),
        }
    };
    let ways: Vec<usize> = (1..=HOSTS).map(|number| way(number).unwrap()).collect();
    let by_second = ways.iter().filter(|way| **way == 1).count();
    assert!((8..=32).contains(&by_second), "half of 40: {ways:?}");

    // One tunnel goes: its flows take the other.
    let first_by_second = (1..).zip(&ways).find(|(_, way)| **way == 1).unwrap().0;
    let stream = Stream::start(home, far(first_by_second), 200, 300).unwrap();
    stream.flows(100).unwrap();
    peer.swanctl("--terminate --ike second --timeout 20").unwrap();
    stream.flows(200).unwrap();
    let report = stream.stop().unwrap();
    assert!(report.lost() <= 50, "a quarter of a second at most: {report:?}");
    // It is made anew by our side, and has its flows again.
    tunnels_are(&gateway, [true, true]).unwrap();
    for (number, wanted) in (1..).zip(&ways) {
        assert_eq!(way(number).unwrap(), *wanted, "host {number}");
    }

    // A rekey is for both, and costs no datagram; so is a reset.
    let before = spis(&gateway).unwrap();
    assert_eq!(before.len(), 2, "{}", gateway.state());
    let stream = Stream::start(home, far(first_by_second), 200, 300).unwrap();
    stream.flows(100).unwrap();
    gateway.ask(&["rekey", NAME]).unwrap();
    are_others_than(&gateway, &before).unwrap();
    stream.flows(100).unwrap();
    stream.stop().unwrap().whole().unwrap();
    let before = spis(&gateway).unwrap();
    gateway.ask(&["reset", NAME]).unwrap();
    are_others_than(&gateway, &before).unwrap();
    tunnels_are(&gateway, [true, true]).unwrap();

    // The second address is taken out: the first one's tunnel stays as it is, and has all flows.
    let before = spis(&gateway).unwrap();
    gateway.reload(Plan::example(&EXAMPLE.replace("active_active = true", ""), &[NAME])).unwrap();
    until("the second tunnel to be gone", PATIENCE, || {
        let now = spis(&gateway)?;
        Ok(Look::when(now.len() == 1 && before.contains(&now[0]), || format!("{before:?}, then {now:?}")))
    })
    .unwrap();
    for number in 1..=HOSTS {
        ping_until_answered(home, far(number).address, PATIENCE).unwrap();
    }

    // With no tunnel up there is no way at all, from either address.
    gateway.reload(Plan::example(EXAMPLE, &[NAME])).unwrap();
    tunnels_are(&gateway, [true, true]).unwrap();
    drop(peer);
    tunnels_are(&gateway, [false, false]).unwrap();
    let dropped = gateway.counter("tunnel_down").unwrap();
    ping(home, far(first_by_second).address, 5, 64, false).unwrap().none_answered().unwrap();
    assert!(gateway.counter("tunnel_down").unwrap() >= dropped + 5, "{}", gateway.state());
    let wire = wire.stop().unwrap();
    let inner: Vec<_> = (1..=HOSTS).map(|number| far(number).address).chain([home.address]).collect();
    assert_eq!(wire.clear(MARK, &inner), 0, "{}", wire.summary());
    gateway.stop().unwrap();
}
