//! Extensions of IKEv2 with strongSwan that change where a tunnel goes and how it begins: redirect (RFC 5685) in both roles, and the first Child SA outside IKE_AUTH (RFC 6023).

use crossgate_tests::failure::Result;
use crossgate_tests::gateway::{Gateway, Plan};
use crossgate_tests::sites::{self, PeerSite, Site, Wan};
use crossgate_tests::strongswan::{Settings, StrongSwan};
use crossgate_tests::traffic::ping_until_answered;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(40);
const OURS: &str = "gw.example.net";
const THEIRS: &str = "peer.example.net";

/// A site of ours at 192.0.2.`number`.
fn site(wan: &Wan, number: u8) -> Result<Site> {
    let site = Site::new(1)?;
    wan.plug(number, &site.gateway, "wan")?;
    Ok(site)
}

fn settings(number: u8) -> Settings {
    Settings {
        local: format!("192.0.2.{number}"),
        local_id: THEIRS.to_owned(),
        remote_id: OURS.to_owned(),
        ..Settings::default()
    }
}

fn plan(number: u8, mode: &str, extra: &str) -> Plan {
    let mut plan = Plan::site(1);
    plan.name = format!("gw-{number}");
    plan.wan = vec![format!("192.0.2.{number}/24")];
    let connection = &mut plan.connections[0];
    connection.mode = mode.to_owned();
    connection.identities = Some((OURS.to_owned(), THEIRS.to_owned()));
    connection.extra = extra.to_owned();
    plan
}

#[test]
fn strongswan_goes_to_the_gateway_that_ours_sends_it_to() {
    let wan = Wan::new().unwrap();
    let (first, other) = (site(&wan, 1).unwrap(), site(&wan, 4).unwrap());
    let peer = PeerSite::on(&wan, 2).unwrap();
    let to = "redirect_to = \"192.0.2.4\"";
    let mut leaving = Gateway::start(&first.gateway, plan(1, "ResponderOnly", "")).unwrap();
    let taking = Gateway::start(&other.gateway, plan(4, "ResponderOnly", "")).unwrap();
    let strongswan = StrongSwan::start(&peer.gateway, &settings(2)).unwrap();
    strongswan.initiate().unwrap();
    leaving.is("peer", "up").unwrap();
    ping_until_answered(first.ipv4(), peer.ipv4().address, PATIENCE).unwrap();
    // A tunnel that is up.
    leaving.reload(plan(1, "ResponderOnly", to)).unwrap();
    taking.is("peer", "up").unwrap();
    leaving.is("peer", "down").unwrap();
    ping_until_answered(other.ipv4(), peer.ipv4().address, PATIENCE).unwrap();
    // One that calls.
    strongswan.terminate().unwrap();
    taking.is("peer", "down").unwrap();
    strongswan.initiate().unwrap();
    taking.is("peer", "up").unwrap();
    leaving.is("peer", "down").unwrap();
    leaving.says("sent a peer to another gateway").unwrap();
    leaving.stop().unwrap();
    taking.stop().unwrap();
}

#[test]
fn our_gateway_goes_where_strongswan_sends_it() {
    let wan = Wan::new().unwrap();
    let site = site(&wan, 1).unwrap();
    let [first, other] = [2, 3].map(|number| PeerSite::on(&wan, number).unwrap());
    let leaving = StrongSwan::start(&first.gateway, &settings(2)).unwrap();
    let taking = StrongSwan::start(&other.gateway, &settings(3)).unwrap();
    let gateway = Gateway::start(&site.gateway, plan(1, "InitiatorOnly", "")).unwrap();
    gateway.is("peer", "up").unwrap();
    ping_until_answered(site.ipv4(), first.ipv4().address, PATIENCE).unwrap();
    leaving.swanctl("--redirect --ike peer --gateway 192.0.2.3").unwrap();
    gateway.is_up_with("peer", "192.0.2.3").unwrap();
    ping_until_answered(site.ipv4(), other.ipv4().address, PATIENCE).unwrap();
    taking.is_up().unwrap();
    leaving.is_down().unwrap();
    gateway.stop().unwrap();
}

#[test]
fn first_child_sa_has_a_key_exchange_of_its_own_and_a_mismatch_is_told_at_once() {
    let (site, peer) = sites::with_peer().unwrap();
    let strongswan = StrongSwan::start(&peer.gateway, &Settings::default()).unwrap();
    let with = |group: &str| {
        let mut plan = Plan::site(1);
        plan.connections[0].policy =
            vec![("pfs_group", format!("{group:?}")), ("pfs_from_start", "true".to_owned())];
        plan
    };
    let mut gateway = Gateway::start(&site.gateway, with("ECP384")).unwrap();
    gateway.is("peer", "up").unwrap();
    ping_until_answered(site.ipv4(), peer.ipv4().address, PATIENCE).unwrap();
    strongswan.says("parsed CREATE_CHILD_SA request").unwrap();
    gateway.reload(with("PFS14")).unwrap();
    gateway.ask(&["reset", "peer"]).unwrap();
    gateway.fails_with("peer", "accepts none of the algorithms").unwrap();
    gateway.stop().unwrap();
}
