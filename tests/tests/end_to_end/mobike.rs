//! Tunnels that move to another address (MOBIKE, RFC 4555) with strongSwan: its address changes, or the path to the one that we use dies. No IKE SA is made anew.

use crossgate_tests::failure::Result;
use crossgate_tests::gateway::{Gateway, Plan};
use crossgate_tests::namespace::{Namespace, Stack, cable};
use crossgate_tests::sites::{self, PeerSite, Site};
use crossgate_tests::strongswan::{Settings, StrongSwan};
use crossgate_tests::traffic::ping_until_answered;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(40);
const FIRST: &str = "192.0.2.2";
const OTHER: &str = "192.0.2.22";
const NAME: &str = "peer.example.net";

/// Our site, and a peer that may lose its first address and keep the others.
fn lab() -> Result<(Site, PeerSite)> {
    let (site, peer) = sites::with_peer()?;
    peer.gateway.set("ipv4/conf/all/promote_secondaries", "1")?;
    Ok((site, peer))
}

fn settings(mobike: &str) -> Settings {
    Settings {
        local: "%any".to_owned(),
        local_id: NAME.to_owned(),
        connection_extra: format!("mobike = {mobike}"),
        ..Settings::default()
    }
}

fn plan(mode: &str, backups: &[&str]) -> Plan {
    let mut plan = Plan::site(1);
    let connection = &mut plan.connections[0];
    connection.mode = mode.to_owned();
    connection.backups = backups.iter().map(|&backup| backup.to_owned()).collect();
    connection.identities = Some(("192.0.2.1".to_owned(), NAME.to_owned()));
    connection.dpd_timeout_s = 9;
    plan
}

/// What is between two gateways of ours: somebody who answers ARP for both sides and knows the way to each address, or a hole.
fn between(one: &Site, two: &Site) -> Result<Namespace> {
    let between = Namespace::new("between", Stack::Kernel)?;
    for (side, site) in [("one", one), ("two", two)] {
        cable((&site.gateway, "wan"), (&between, side), 1500)?;
        between.set(&format!("ipv4/conf/{side}/proxy_arp"), "1")?;
        between.set(&format!("ipv4/neigh/{side}/proxy_delay"), "0")?;
        between.address(side, "192.0.2.254/32")?;
    }
    between.set("ipv4/ip_forward", "1")?;
    for (address, side) in [("192.0.2.1", "one"), (FIRST, "two"), (OTHER, "two")] {
        between.ip(&format!("route add {address}/32 dev {side}"))?;
    }
    Ok(between)
}

/// How often an IKE SA came up.
fn established(gateway: &Gateway<'_>) -> usize {
    gateway.log().matches("the IKE SA is established").count()
}

#[test]
fn tunnel_of_a_peer_whose_address_changes_goes_on() {
    let (site, peer) = lab().unwrap();
    let gateway = Gateway::start(&site.gateway, plan("ResponderOnly", &[])).unwrap();
    let strongswan = StrongSwan::start(&peer.gateway, &settings("yes")).unwrap();
    strongswan.initiate().unwrap();
    gateway.is_up_with("peer", FIRST).unwrap();
    ping_until_answered(site.ipv4(), peer.ipv4().address, PATIENCE).unwrap();

    peer.gateway.address("wan", &format!("{OTHER}/24")).unwrap();
    peer.gateway.ip(&format!("address del {FIRST}/24 dev wan")).unwrap();
    gateway.is_up_with("peer", OTHER).unwrap();
    ping_until_answered(site.ipv4(), peer.ipv4().address, PATIENCE).unwrap();
    ping_until_answered(peer.ipv4(), site.ipv4().address, PATIENCE).unwrap();
    // And back.
    peer.gateway.address("wan", &format!("{FIRST}/24")).unwrap();
    peer.gateway.ip(&format!("address del {OTHER}/24 dev wan")).unwrap();
    gateway.is_up_with("peer", FIRST).unwrap();
    ping_until_answered(site.ipv4(), peer.ipv4().address, PATIENCE).unwrap();
    assert_eq!(established(&gateway), 1, "{}", gateway.state());
    gateway.says("the peer's address changed: following it").unwrap();
    gateway.stop().unwrap();
}

#[test]
fn tunnel_moves_to_the_peers_other_address_when_the_first_dies() {
    let (site, peer) = lab().unwrap();
    peer.gateway.address("wan", &format!("{OTHER}/24")).unwrap();
    let _strongswan = StrongSwan::start(&peer.gateway, &settings("yes")).unwrap();
    let gateway = Gateway::start(&site.gateway, plan("InitiatorOnly", &[OTHER])).unwrap();
    gateway.is("peer", "up").unwrap();
    gateway.is_up_with("peer", FIRST).unwrap();
    ping_until_answered(site.ipv4(), peer.ipv4().address, PATIENCE).unwrap();

    peer.gateway.ip(&format!("address del {FIRST}/24 dev wan")).unwrap();
    gateway.is_up_with("peer", OTHER).unwrap();
    ping_until_answered(site.ipv4(), peer.ipv4().address, PATIENCE).unwrap();
    let place = gateway.connection("peer").unwrap()["places"][1].clone();
    assert_eq!(place["in_use"], true, "{}", gateway.state());
    assert_eq!(established(&gateway), 1, "{}", gateway.state());
    gateway.stop().unwrap();
}

#[test]
fn two_gateways_of_ours_move_and_lose_no_sa() {
    let (one, two) = (Site::new(1).unwrap(), Site::new(2).unwrap());
    let between = between(&one, &two).unwrap();
    let mut waiting = Plan::site(2);
    waiting.wan.push(format!("{OTHER}/24"));
    waiting.connections[0].mode = "ResponderOnly".to_owned();
    waiting.connections[0].identities = Some((NAME.to_owned(), "192.0.2.1".to_owned()));
    let waiting = Gateway::start(&two.gateway, waiting).unwrap();
    let calling = Gateway::start(&one.gateway, plan("InitiatorOnly", &[OTHER])).unwrap();
    calling.is("peer", "up").unwrap();
    calling.is_up_with("peer", FIRST).unwrap();
    ping_until_answered(one.ipv4(), two.ipv4().address, PATIENCE).unwrap();
    let spis = || {
        let sas = [&calling, &waiting].map(|gateway| gateway.only_sa().unwrap()["inbound_spi"].clone());
        sas.map(|spi| spi.to_string())
    };
    let before = spis();

    between.ip(&format!("route replace blackhole {FIRST}/32")).unwrap();
    calling.is_up_with("peer", OTHER).unwrap();
    ping_until_answered(one.ipv4(), two.ipv4().address, PATIENCE).unwrap();
    assert_eq!(spis(), before, "{}{}", calling.state(), waiting.state());
    assert_eq!((established(&calling), established(&waiting)), (1, 1), "{}", calling.state());
    calling.stop().unwrap();
    waiting.stop().unwrap();
}
