//! What goes wrong between two gateways, and that our side says why, keeps running and comes back.

use crossgate_tests::failure::Result;
use crossgate_tests::gateway::{Gateway, Plan, Reason};
use crossgate_tests::sites::{self, PeerSite};
use crossgate_tests::strongswan::{Settings, StrongSwan};
use crossgate_tests::traffic::{Stream, ping_until_answered};
use std::time::Duration;

/// How long until the sites reach each other again after one end was killed.
const COMES_BACK: Duration = Duration::from_secs(60);

/// With each side as initiator: console, log and a counter tell the reason (as initiator and as responder), and the tunnel stays down.
fn is_told(plan: &Plan, settings: &Settings, reasons: [Reason<'_>; 2]) -> Result<()> {
    for (mode, reason) in [("InitiatorOnly", reasons[0]), ("ResponderOnly", reasons[1])] {
        let (site, peer) = sites::with_peer()?;
        let strongswan = StrongSwan::start(&peer.gateway, settings)?;
        let gateway = Gateway::start(&site.gateway, plan.clone().with_mode(mode))?;
        if mode == "ResponderOnly" {
            strongswan.try_initiate()?;
        }
        if let Err(failure) = gateway.tells("peer", &reason) {
            eprintln!("{mode}:\n{}\n{}", gateway.state(), strongswan.log());
            return Err(failure);
        }
        assert_ne!(gateway.connection("peer")?["state"], "up", "{mode}");
        assert!(gateway.sas()?.is_empty(), "{mode}");
    }
    Ok(())
}

#[test]
fn wrong_pre_shared_key_is_told() {
    let settings = Settings { shared_key: "Another.key.8zK4_qLm3Vw".to_owned(), ..Settings::default() };
    let refused = Reason {
        problem: "refused this side's identity or shared key",
        counter: "failed_key_refused",
        remedy: "on both sides",
    };
    let found =
        Reason { problem: "the shared keys differ", counter: "failed_wrong_key", remedy: "on both sides" };
    is_told(&Plan::site(1), &settings, [refused, found]).unwrap();
}

#[test]
fn no_common_ike_proposal_is_told() {
    let plan =
        Plan::site(1).with_policy("ike_encryption", "\"GCMAES256\"").with_policy("dh_group", "\"ECP384\"");
    let settings = Settings { ike: "aes128gcm16-prfsha256-x25519".to_owned(), ..Settings::default() };
    let refused = Reason {
        problem: "NO_PROPOSAL_CHOSEN",
        counter: "failed_ike_proposal",
        remedy: "compare both configurations",
    };
    let found = Reason { problem: "no algorithms", counter: "failed_ike_proposal", remedy: "on both sides" };
    is_told(&plan, &settings, [refused, found]).unwrap();
}

#[test]
fn no_common_esp_proposal_is_told() {
    let plan = Plan::site(1).with_policy("ipsec_encryption", "\"GCMAES256\"");
    let settings = Settings { esp: "aes128gcm16-ecp384".to_owned(), ..Settings::default() };
    let of = |problem, counter| Reason { problem, counter, remedy: "on both sides" };
    let refused = of("NO_PROPOSAL_CHOSEN", "failed_ipsec_proposal");
    is_told(&plan, &settings, [refused, of("no algorithms", "failed_ipsec_proposal")]).unwrap();
}

#[test]
fn selectors_without_overlap_are_told() {
    let mut plan = Plan::site(1);
    plan.connections[0].selectors = Some((vec!["10.1.0.0/16".to_owned()], vec!["10.2.0.0/16".to_owned()]));
    let settings = Settings {
        local_prefixes: vec!["10.2.0.0/16".to_owned()],
        remote_prefixes: vec!["10.77.0.0/16".to_owned()],
        ..Settings::default()
    };
    let of = |counter| Reason { problem: "selector", counter, remedy: "mirror each other" };
    is_told(&plan, &settings, [of("failed_selectors"), of("failed_selectors")]).unwrap();
}

#[test]
fn unknown_identity_is_told() {
    let mut plan = Plan::site(1);
    plan.connections[0].identities = Some(("192.0.2.1".to_owned(), "somebody.example.org".to_owned()));
    let refused = Reason { problem: "identity", counter: "failed_key_refused", remedy: "the peer expects" };
    let found = Reason { problem: "calls itself", counter: "failed_identity", remedy: "remote_id" };
    is_told(&plan, &Settings::default(), [refused, found]).unwrap();
}

/// A firewall at the peer lets nothing of UDP 4500 pass: IKE_SA_INIT gets through and IKE_AUTH does not.
fn block_ike_auth(peer: &PeerSite) -> Result<()> {
    peer.gateway.run("nft add table ip firewall")?;
    for hook in ["input", "output"] {
        let chain = format!("ip firewall {hook}");
        peer.gateway.run(&format!("nft add chain {chain} {{ type filter hook {hook} priority 0 ; }}"))?;
        peer.gateway.run(&format!("nft add rule {chain} udp dport 4500 drop"))?;
    }
    Ok(())
}

#[test]
fn peer_that_stops_half_way_is_told() {
    let silent = Reason {
        problem: "IKE_AUTH: the peer does not answer",
        counter: "failed_no_answer",
        remedy: "at the peer: look into its log",
    };
    let stopped = Reason {
        problem: "IKE_AUTH: the peer began an IKE SA and stopped half way",
        counter: "failed_stopped_half_way",
        remedy: "at the peer: look into its log",
    };
    for (mode, reason) in [("InitiatorOnly", silent), ("ResponderOnly", stopped)] {
        let (site, peer) = sites::with_peer().unwrap();
        block_ike_auth(&peer).unwrap();
        let strongswan = StrongSwan::start(&peer.gateway, &Settings::default()).unwrap();
        let plan = Plan { clock_speed: 10, ..Plan::site(1).with_mode(mode) };
        let gateway = Gateway::start(&site.gateway, plan).unwrap();
        if mode == "ResponderOnly" {
            strongswan.try_initiate().unwrap();
        }
        gateway.tells("peer", &reason).unwrap();
        assert!(gateway.sas().unwrap().is_empty(), "{mode}");
        gateway.stop().unwrap();
    }
}

#[test]
fn peer_that_is_killed_and_calls_anew_replaces_its_old_tunnel() {
    let (site, peer) = sites::with_peer().unwrap();
    let gateway = Gateway::start(&site.gateway, Plan::site(1).with_mode("ResponderOnly")).unwrap();
    let mut strongswan = StrongSwan::start(&peer.gateway, &Settings::default()).unwrap();
    strongswan.initiate().unwrap();
    gateway.is("peer", "up").unwrap();
    let before = gateway.only_sa().unwrap()["inbound_spi"].clone();

    strongswan.kill_and_restart().unwrap();
    strongswan.initiate().unwrap();
    ping_until_answered(site.ipv4(), peer.ipv4().address, COMES_BACK).unwrap();
    let after = gateway.only_sa().unwrap();
    assert_ne!(after["inbound_spi"], before, "{after}");
    strongswan.is_up().unwrap();
}

#[test]
fn dead_peer_is_noticed_and_called_again() {
    let (site, peer) = sites::with_peer().unwrap();
    let mut strongswan = StrongSwan::start(&peer.gateway, &Settings::default()).unwrap();
    let mut plan = Plan::site(1);
    plan.connections[0].dpd_timeout_s = 9;
    let gateway = Gateway::start(&site.gateway, plan).unwrap();
    gateway.is("peer", "up").unwrap();
    ping_until_answered(site.ipv4(), peer.ipv4().address, COMES_BACK).unwrap();

    // It comes back without any memory of the tunnel, and does not call by itself.
    strongswan.kill_and_restart().unwrap();
    let stream = Stream::start(site.ipv4(), peer.ipv4(), 100, 200).unwrap();
    ping_until_answered(site.ipv4(), peer.ipv4().address, COMES_BACK).unwrap();
    stream.flows(50).unwrap();
    stream.stop().unwrap();
    strongswan.is_up().unwrap();
    gateway.only_sa().unwrap();
}

#[test]
fn our_gateway_comes_back_after_it_was_killed() {
    let (site, peer) = sites::with_peer().unwrap();
    let strongswan = StrongSwan::start(&peer.gateway, &Settings::default()).unwrap();
    let mut gateway = Gateway::start(&site.gateway, Plan::site(1)).unwrap();
    gateway.is("peer", "up").unwrap();
    ping_until_answered(site.ipv4(), peer.ipv4().address, COMES_BACK).unwrap();

    let stream = Stream::start(peer.ipv4(), site.ipv4(), 200, 500).unwrap();
    stream.flows(50).unwrap();
    gateway.kill_and_restart().unwrap();
    gateway.is("peer", "up").unwrap();
    stream.flows(50).unwrap();
    let report = stream.stop().unwrap();
    assert_eq!((report.corrupted, report.duplicated), (0, 0), "{report:?}");
    // Its first message says that it remembers nothing (INITIAL_CONTACT), so no dead SA stays at the peer.
    strongswan.is_up().unwrap();
    gateway.stop().unwrap();
}
