//! Rekeying under traffic, begun by either side: not one datagram is lost, changed or doubled.

use crossgate_tests::failure::Result;
use crossgate_tests::gateway::{Gateway, Plan};
use crossgate_tests::sites::{self, PeerSite, Site};
use crossgate_tests::strongswan::{Settings, StrongSwan};
use crossgate_tests::traffic::{Stream, ping_until_answered};
use std::time::Duration;

/// Datagrams a second each way while keys change.
const RATE: u32 = 1000;

/// A tunnel that is up, with a stream each way.
fn under_traffic(work: impl FnOnce(&Gateway<'_>, &StrongSwan<'_>) -> Result<()>) -> Result<()> {
    let (site, peer) = sites::with_peer()?;
    let strongswan = StrongSwan::start(&peer.gateway, &Settings::default())?;
    let gateway = Gateway::start(&site.gateway, Plan::site(1))?;
    gateway.is("peer", "up")?;
    let outcome = streams(&site, &peer, &gateway, &strongswan, work);
    if outcome.is_err() {
        eprintln!("{}", gateway.state());
    }
    outcome
}

fn streams(
    site: &Site,
    peer: &PeerSite,
    gateway: &Gateway<'_>,
    strongswan: &StrongSwan<'_>,
    work: impl FnOnce(&Gateway<'_>, &StrongSwan<'_>) -> Result<()>,
) -> Result<()> {
    ping_until_answered(site.ipv4(), peer.ipv4().address, Duration::from_secs(20))?;
    ping_until_answered(site.ipv6(), peer.ipv6().address, Duration::from_secs(20))?;
    let streams = [
        Stream::start(site.ipv4(), peer.ipv4(), RATE, 700)?,
        Stream::start(peer.ipv4(), site.ipv4(), RATE, 700)?,
        Stream::start(site.ipv6(), peer.ipv6(), RATE / 4, 1200)?,
    ];
    flow(&streams)?;
    work(gateway, strongswan)?;
    flow(&streams)?;
    let reports = streams.map(Stream::stop);
    for report in reports {
        report?.whole()?;
    }
    strongswan.is_up()?;
    gateway.only_sa().map(drop)
}

fn flow(streams: &[Stream]) -> Result<()> {
    streams.iter().try_for_each(|stream| stream.flows(300))
}

#[test]
fn child_rekey_that_we_begin_loses_nothing() {
    under_traffic(|gateway, _| gateway.rekey_child("peer")).unwrap();
}

#[test]
fn child_rekey_that_strongswan_begins_loses_nothing() {
    under_traffic(|_, strongswan| strongswan.rekey_child()).unwrap();
}

#[test]
fn ike_rekey_that_we_begin_loses_nothing() {
    under_traffic(|gateway, strongswan| strongswan.gets_another_ike_sa(|| gateway.rekey_ike("peer")))
        .unwrap();
}

#[test]
fn ike_rekey_that_strongswan_begins_loses_nothing() {
    under_traffic(|_, strongswan| strongswan.rekey_ike()).unwrap();
}

#[test]
fn many_rekeys_of_all_kinds_in_a_row_lose_nothing() {
    under_traffic(|gateway, strongswan| {
        for _ in 0..3 {
            gateway.rekey_child("peer")?;
            strongswan.rekey_child()?;
            strongswan.rekey_ike()?;
            strongswan.gets_another_ike_sa(|| gateway.rekey_ike("peer"))?;
        }
        Ok(())
    })
    .unwrap();
}

/// The first Child SA needs no group, so that it comes up; what is wrong shows with the first rekey, and leaves the tunnel as it is.
#[test]
fn groups_for_perfect_forward_secrecy_that_differ_are_told_by_the_rekey_and_the_tunnel_stays() {
    let (site, peer) = sites::with_peer().unwrap();
    let settings = Settings { esp: "aes256gcm16-ecp256".to_owned(), ..Settings::default() };
    let plan = Plan::site(1).with_policy("pfs_group", "\"ECP384\"");
    let (_strongswan, gateway) = sites::tunnel_with(&site, &peer, plan, &settings).unwrap();
    let spi = gateway.only_sa().unwrap()["inbound_spi"].clone();
    gateway.ask(&["rekey", "peer", "--child"]).unwrap();
    gateway.fails_with("peer", "the peer accepts none of the algorithms").unwrap();
    assert_eq!(gateway.only_sa().unwrap()["inbound_spi"], spi, "{}", gateway.state());
    ping_until_answered(site.ipv4(), peer.ipv4().address, Duration::from_secs(20)).unwrap();
    gateway.stop().unwrap();
}
