//! A peer that has several addresses, and names: who is called when nobody answers, and where the console says so.

use crossgate_tests::failure::{Result, ensure};
use crossgate_tests::gateway::{Gateway, Plan};
use crossgate_tests::sites::{PeerSite, Site, Wan};
use crossgate_tests::strongswan::{Settings, StrongSwan};
use crossgate_tests::traffic::ping_until_answered;
use crossgate_tests::wait::{Look, until};
use std::time::Duration;

/// Dead peer detection asks after 3 s and gives up after 6 more.
const DPD_S: u32 = 9;
const PATIENCE: Duration = Duration::from_secs(40);
const NAME: &str = "peer.example.net";
const OURS: &str = "192.0.2.1";

/// Our site, and two peers with the same network behind them: at 192.0.2.2 and 192.0.2.3.
fn lab() -> Result<(Wan, Site, [PeerSite; 2])> {
    let (wan, site) = (Wan::new()?, Site::new(1)?);
    wan.plug(1, &site.gateway, "wan")?;
    let peers = [PeerSite::on(&wan, 2)?, PeerSite::on(&wan, 3)?];
    Ok((wan, site, peers))
}

/// strongSwan at 192.0.2.`number`, called by one name wherever it is.
fn peer(site: &PeerSite, number: u8) -> Result<StrongSwan<'_>> {
    let settings =
        Settings { local: format!("192.0.2.{number}"), local_id: NAME.to_owned(), ..Settings::default() };
    StrongSwan::start(&site.gateway, &settings)
}

fn plan(address: &str, backups: &[&str]) -> Plan {
    let mut plan = Plan::site(1);
    let connection = &mut plan.connections[0];
    connection.peer = address.to_owned();
    connection.backups = backups.iter().map(|&backup| backup.to_owned()).collect();
    connection.identities = Some((OURS.to_owned(), NAME.to_owned()));
    connection.dpd_timeout_s = DPD_S;
    plan
}

/// Waits until the tunnel is up with the peer at this address, and carries a ping.
fn is_up_at(gateway: &Gateway<'_>, address: &str, site: &Site, peer: &PeerSite) -> Result<()> {
    gateway.is_up_with("peer", address)?;
    ping_until_answered(site.ipv4(), peer.ipv4().address, PATIENCE)
}

/// What the console says about one place.
fn told(gateway: &Gateway<'_>, index: usize) -> Result<(bool, String)> {
    let place = gateway.connection("peer")?["places"][index].clone();
    let problem = place["problem"].as_str().unwrap_or_default().to_owned();
    Ok((place["in_use"] == true, problem))
}

#[test]
fn backup_answers_where_the_first_is_silent_and_takes_over_from_one_that_dies() {
    let (_wan, site, [first, backup]) = lab().unwrap();
    let _at_backup = peer(&backup, 3).unwrap();
    let mut gateway = Gateway::start(&site.gateway, plan("192.0.2.2", &["192.0.2.3"])).unwrap();
    is_up_at(&gateway, "192.0.2.3", &site, &backup).unwrap();
    let (in_use, problem) = told(&gateway, 0).unwrap();
    assert!(!in_use && problem.contains("does not answer"), "{}", gateway.state());
    assert_eq!(told(&gateway, 1).unwrap(), (true, String::new()), "{}", gateway.state());
    let shown = gateway.client(&["connection", "peer"]).unwrap().output;
    assert!(shown.contains("192.0.2.2: ") && shown.contains("192.0.2.3 (in use)"), "{shown}");

    // Somebody is at the first place by now; a reset looks there first.
    let at_first = peer(&first, 2).unwrap();
    gateway.ask(&["reset", "peer"]).unwrap();
    is_up_at(&gateway, "192.0.2.2", &site, &first).unwrap();
    assert_eq!(told(&gateway, 0).unwrap(), (true, String::new()), "{}", gateway.state());
    // It dies without a word.
    drop(at_first);
    is_up_at(&gateway, "192.0.2.3", &site, &backup).unwrap();
    // Another list with the present place in it costs no tunnel.
    let spi = gateway.only_sa().unwrap()["inbound_spi"].clone();
    gateway.reload(plan("192.0.2.3", &["192.0.2.9"])).unwrap();
    until("the new list to be in use", PATIENCE, || {
        let (in_use, problem) = told(&gateway, 0)?;
        Ok(Look::when(in_use && problem.is_empty(), || problem.clone()))
    })
    .unwrap();
    assert_eq!(gateway.only_sa().unwrap()["inbound_spi"], spi, "{}", gateway.state());
    gateway.stop().unwrap();
}

#[test]
fn peer_is_called_where_its_name_leads_at_the_time() {
    let (_wan, site, [first, second]) = lab().unwrap();
    let leads_to = |address: &str| site.gateway.hosts(&format!("127.0.0.1 localhost\n{address} {NAME}\n"));
    leads_to("192.0.2.2").unwrap();
    let at_first = peer(&first, 2).unwrap();
    let mut by_name = plan(NAME, &[]);
    // The name is its identity, too.
    by_name.connections[0].identities = None;
    let gateway = Gateway::start(&site.gateway, by_name).unwrap();
    is_up_at(&gateway, "192.0.2.2", &site, &first).unwrap();
    assert_eq!(gateway.connection("peer").unwrap()["places"][0]["place"], NAME);

    // It moves.
    leads_to("192.0.2.3").unwrap();
    let _at_second = peer(&second, 3).unwrap();
    drop(at_first);
    is_up_at(&gateway, "192.0.2.3", &site, &second).unwrap();
    gateway.stop().unwrap();
}

#[test]
fn name_that_leads_nowhere_is_told_and_its_backup_called() {
    let (_wan, site, [_, backup]) = lab().unwrap();
    site.gateway.hosts("127.0.0.1 localhost\n2001:db8::2 peer.example.net\n").unwrap();
    let _at_backup = peer(&backup, 3).unwrap();
    let gateway = Gateway::start(&site.gateway, plan(NAME, &["192.0.2.3"])).unwrap();
    is_up_at(&gateway, "192.0.2.3", &site, &backup).unwrap();
    let (in_use, problem) = told(&gateway, 0).unwrap();
    ensure(!in_use && problem.contains(NAME) && problem.contains("leads to no address"), || gateway.state())
        .unwrap();
    assert!(gateway.log().contains("leads to no address"), "{}", gateway.state());
    gateway.stop().unwrap();
}
