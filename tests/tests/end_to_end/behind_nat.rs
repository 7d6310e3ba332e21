//! A branch behind a NAT, with strongSwan: it has to begin, its tunnel carries traffic both ways, and goes on when the NAT gives it another port or address. No SA is made anew for that.

use crossgate_tests::capture::{Capture, Kind};
use crossgate_tests::failure::{Result, ensure};
use crossgate_tests::gateway::{Gateway, Plan};
use crossgate_tests::nat_router::{INSIDE, NatRouter};
use crossgate_tests::sites::{PeerSite, Site};
use crossgate_tests::strongswan::{Settings, StrongSwan};
use crossgate_tests::traffic::{ping, ping_until_answered};
use crossgate_tests::wait::{Look, until};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);
const NAME: &str = "branch.example.net";

fn plan(mode: &str) -> Plan {
    let mut plan = Plan::site(1).with_mode(mode);
    plan.connections[0].identities = Some(("192.0.2.1".to_owned(), NAME.to_owned()));
    plan
}

fn settings() -> Settings {
    Settings { local: INSIDE.to_owned(), local_id: NAME.to_owned(), ..Settings::default() }
}

/// Waits until both IKE and ESP of the tunnel go to this address and one of a thousand ports.
fn goes_to(gateway: &Gateway<'_>, address: &str, first_port: u16) -> Result<()> {
    until(&format!("the tunnel to go to {address} from port {first_port} on"), PATIENCE, || {
        let remote = gateway.connection("peer")?["remote"].as_str().unwrap_or_default().to_owned();
        let (at, port) = remote.rsplit_once(':').unwrap_or_default();
        let port = port.parse::<u16>().unwrap_or_default();
        let is_there = at == address && (first_port..first_port + 1000).contains(&port);
        Ok(Look::when(is_there, || remote.clone()))
    })
}

/// The branch is the first to say something again, as its NAT lets nothing in before.
fn carries(site: &Site, peer: &PeerSite) -> Result<()> {
    ping_until_answered(peer.ipv4(), site.ipv4().address, PATIENCE)?;
    ping(site.ipv4(), peer.ipv4().address, 10, 1000, false)?.all_answered()?;
    ping(peer.ipv4(), site.ipv4().address, 10, 100, false)?.all_answered()
}

/// The tunnel of a branch that begins; the NAT gives it other ports, and then another address.
fn follows(plan: Plan, settings: &Settings) -> Result<()> {
    let (site, peer) = (Site::new(1)?, PeerSite::new(2)?);
    let mut router = NatRouter::between(&peer, &site, "192.0.2.2/24", 20_000)?;
    let gateway = Gateway::start(&site.gateway, plan)?;
    let strongswan = StrongSwan::start(&peer.gateway, settings)?;
    strongswan.initiate()?;
    gateway.is("peer", "up")?;
    goes_to(&gateway, "192.0.2.2", 20_000)?;
    carries(&site, &peer)?;
    let sa = gateway.only_sa()?;
    ensure(sa["encapsulation"] == "udp", || sa.to_string())?;
    for (address, first_port) in [("192.0.2.2", 30_000), ("192.0.2.3", 40_000)] {
        let before = gateway.only_sa()?["inbound_spi"].clone();
        router.restart(&format!("{address}/24"), first_port)?;
        carries(&site, &peer)?;
        goes_to(&gateway, address, first_port)?;
        ensure(gateway.only_sa()?["inbound_spi"] == before, || gateway.state())?;
        // What this side asks finds its way, too.
        gateway.rekey_child("peer")?;
        strongswan.gets_another_ike_sa(|| gateway.rekey_ike("peer"))?;
        carries(&site, &peer)?;
    }
    gateway.stop()
}

#[test]
fn branch_behind_a_nat_must_begin() {
    let (site, peer) = (Site::new(1).unwrap(), PeerSite::new(2).unwrap());
    let router = NatRouter::between(&peer, &site, "192.0.2.2/24", 20_000).unwrap();
    let inside = Capture::start(&peer.gateway, "wan", 1000).unwrap();
    let outside = Capture::start(router.namespace(), "outside", 1000).unwrap();
    let strongswan = StrongSwan::start(&peer.gateway, &settings()).unwrap();
    let gateway = Gateway::start(&site.gateway, plan("Default")).unwrap();
    gateway.is("peer", "connecting").unwrap();
    until("our gateway to call more than once", PATIENCE, || {
        let sent = gateway.counter("retransmit")?;
        Ok(Look::when(sent > 1, || sent.to_string()))
    })
    .unwrap();
    let (inside, outside) = (inside.stop().unwrap(), outside.stop().unwrap());
    assert!(outside.count(Kind::Ike500) > 1, "{}", outside.summary());
    assert_eq!(inside.count(Kind::Ike500), 0, "{}", inside.summary());

    strongswan.initiate().unwrap();
    gateway.is("peer", "up").unwrap();
    goes_to(&gateway, "192.0.2.2", 20_000).unwrap();
    carries(&site, &peer).unwrap();
    gateway.stop().unwrap();
}

#[test]
fn tunnel_of_a_branch_follows_when_its_nat_maps_it_anew() {
    follows(plan("ResponderOnly"), &settings()).unwrap();
}

#[test]
fn tunnel_of_a_branch_in_ikev1_follows_its_nat() {
    let mut plan = plan("ResponderOnly");
    let connection = &mut plan.connections[0];
    connection.extra = "protocol = \"IKEv1\"".to_owned();
    connection.selectors = Some((vec!["10.1.0.0/16".to_owned()], vec!["10.2.0.0/16".to_owned()]));
    let settings = Settings {
        version: 1,
        ike: "aes256-sha256-ecp384".to_owned(),
        esp: "aes256gcm16-ecp384".to_owned(),
        local_prefixes: vec!["10.2.0.0/16".to_owned()],
        remote_prefixes: vec!["10.1.0.0/16".to_owned()],
        ..settings()
    };
    follows(plan, &settings).unwrap();
}
