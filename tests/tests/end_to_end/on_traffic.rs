//! Connections that wait for traffic: no IKE without a packet, a tunnel with the first ones, and none any more when nobody has sent for `idle_timeout_s`.

use std::time::Duration;

use crossgate_tests::failure::Result;
use crossgate_tests::gateway::{Gateway, Plan, example_key};
use crossgate_tests::sites;
use crossgate_tests::strongswan::{Settings, StrongSwan};
use crossgate_tests::traffic::{ping, ping_until_answered};

const ANSWERED: Duration = Duration::from_secs(20);

/// Comes up for a packet, goes down idle, and once more.
fn comes_and_goes(plan: Plan, settings: &Settings, suite: &str) -> Result<()> {
    let (site, peer) = sites::with_peer()?;
    for address in ["10.2.1.1", "10.2.2.1"] {
        peer.gateway.address("lo", &format!("{address}/32"))?;
    }
    let strongswan = StrongSwan::start(&peer.gateway, settings)?;
    let gateway = Gateway::start(&site.gateway, plan)?;
    gateway.is("peer", "waiting")?;
    for round in 1..=2 {
        assert_eq!(gateway.counter("initiating")?, round - 1);
        let dropped = gateway.counter("tunnel_down")?;
        ping_until_answered(site.ipv4(), peer.ipv4().address, ANSWERED)?;
        assert!(gateway.counter("tunnel_down")? > dropped, "the first packets");
        gateway.is("peer", "up")?;
        ping(site.ipv4(), peer.ipv4().address, 10, 500, false)?.all_answered()?;
        let shown = gateway.connection("peer")?;
        assert!(shown["ike_suite"].as_str().is_some_and(|found| found.contains(suite)), "{shown}");
        assert_eq!(gateway.counter("initiating")?, round);
        gateway.is("peer", "waiting")?;
        strongswan.is_down()?;
    }
    gateway.says("no packet has gone through")?;
    gateway.stop()
}

#[test]
fn tunnel_comes_for_a_packet_and_goes_when_it_is_idle() {
    let mut plan = Plan::site(1);
    plan.connections[0].extra = "start = \"OnTraffic\"\nidle_timeout_s = 10".to_owned();
    comes_and_goes(plan, &Settings::default(), "AES_").unwrap();
}

/// A peer as it is set up for the cloud's policy-based gateway: IKEv1, group 2, SHA-1, no perfect forward secrecy.
#[test]
fn policy_based_gateway_is_as_the_clouds_and_its_tunnel_comes_and_goes() {
    let text = include_str!("../../../config/examples/policy-based.toml")
        .replace("iface=wan0", "iface=wan")
        .replace("iface=lan0", "iface=lan")
        .replace("type = \"IPsec\"", "type = \"IPsec\"\nidle_timeout_s = 10");
    let settings = Settings {
        version: 1,
        ike: "aes256-sha1-modp1024".to_owned(),
        esp: "aes256-sha1".to_owned(),
        shared_key: example_key("peer"),
        local_prefixes: vec!["10.2.0.0/24".to_owned()],
        remote_prefixes: vec!["10.1.0.0/16".to_owned()],
        more_children: vec![("second", "10.2.1.0/24"), ("third", "10.2.2.0/24")],
        ..Settings::default()
    };
    comes_and_goes(Plan::example(&text, &["peer"]), &settings, "MODP_1024").unwrap();
}
