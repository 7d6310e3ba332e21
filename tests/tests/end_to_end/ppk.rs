//! Post-quantum pre-shared keys (RFC 8784) with strongSwan: each side beginning, rekeyed, and where one side has none or another.

use crossgate_tests::failure::Result;
use crossgate_tests::gateway::{Gateway, Plan, Ppk, Reason};
use crossgate_tests::sites;
use crossgate_tests::strongswan::{Settings, StrongSwan};
use crossgate_tests::traffic::ping_until_answered;
use crossgate_tests::wait::{Look, until};
use std::time::Duration;

const ANSWERED: Duration = Duration::from_secs(20);
const KEY: &str = "q3G8vN1x+Zk0TtYw2bLr5HfPjC7sD9mAuE4iRo6KyXg=";
const OTHER: &str = "Vb2mKq8Xw5Rz1Ny7Lc4Hg9Tp3Fd6JsAoUeWi0QxZyMr=";

fn plan(mode: &str, required: bool) -> Plan {
    let mut plan = Plan::site(1).with_mode(mode);
    plan.connections[0].ppk = Some(Ppk { id: "site-a.site-b".to_owned(), secret: KEY.to_owned(), required });
    plan
}

/// strongSwan with this key under that name.
fn settings(secret: &str, required: bool) -> Settings {
    let required = if required { "yes" } else { "no" };
    Settings {
        connection_extra: format!("ppk_id = site-a.site-b\n        ppk_required = {required}"),
        more_connections: format!(
            "}}\nsecrets {{\n    ppk-peer {{\n        id = site-a.site-b\n        secret = \"{secret}\"\n    }}"
        ),
        ..Settings::default()
    }
}

/// Waits until the IKE SA's keys are made with the key, or without, as both sides see it.
fn is_mixed(gateway: &Gateway<'_>, strongswan: &StrongSwan<'_>, expected: bool) -> Result<()> {
    until("both sides to agree on the key", ANSWERED, || {
        let suite = gateway.connection("peer")?["ike_suite"].as_str().unwrap_or_default().to_owned();
        let sas = strongswan.sas()?;
        let is_up = !suite.is_empty() && sas.contains("ESTABLISHED");
        let agree = suite.ends_with("+PPK") == expected && sas.contains("/PPK") == expected;
        Ok(Look::when(is_up && agree, || format!("{suite}\n{sas}")))
    })
}

#[test]
fn key_is_used_whoever_begins_and_stays_when_the_ike_sa_is_replaced() {
    for mode in ["InitiatorOnly", "ResponderOnly"] {
        let (site, peer) = sites::with_peer().unwrap();
        let strongswan = StrongSwan::start(&peer.gateway, &settings(KEY, true)).unwrap();
        let gateway = Gateway::start(&site.gateway, plan(mode, true)).unwrap();
        if mode == "ResponderOnly" {
            strongswan.initiate().unwrap();
        }
        gateway
            .is("peer", "up")
            .unwrap_or_else(|failure| panic!("{failure}\n{}\n{}", gateway.state(), strongswan.log()));
        is_mixed(&gateway, &strongswan, true).unwrap();
        ping_until_answered(site.ipv4(), peer.ipv4().address, ANSWERED).unwrap();
        strongswan.gets_another_ike_sa(|| gateway.rekey_ike("peer").map(drop)).unwrap();
        strongswan.rekey_child().unwrap();
        gateway.is("peer", "up").unwrap();
        let suite = gateway.connection("peer").unwrap()["ike_suite"].clone();
        assert!(suite.as_str().unwrap().ends_with("+PPK"), "{suite}");
        ping_until_answered(site.ipv4(), peer.ipv4().address, ANSWERED).unwrap();
        gateway.stop().unwrap();
    }
}

#[test]
fn peer_without_the_key_is_refused_unless_it_may_lack_it() {
    for mode in ["InitiatorOnly", "ResponderOnly"] {
        let (site, peer) = sites::with_peer().unwrap();
        let strongswan = StrongSwan::start(&peer.gateway, &Settings::default()).unwrap();
        let mut gateway = Gateway::start(&site.gateway, plan(mode, true)).unwrap();
        if mode == "ResponderOnly" {
            strongswan.try_initiate().unwrap();
        }
        let (problem, counter) = ("requires a post-quantum pre-shared key", "failed_ppk");
        gateway.tells("peer", &Reason { problem, counter, remedy: "required = false" }).unwrap();
        assert!(gateway.sas().unwrap().is_empty());
        gateway.reload(plan(mode, false)).unwrap();
        if mode == "ResponderOnly" {
            strongswan.initiate().unwrap();
        }
        gateway.is("peer", "up").unwrap();
        is_mixed(&gateway, &strongswan, false).unwrap();
        gateway.stop().unwrap();
    }
}

#[test]
fn another_key_of_the_same_name_is_told() {
    for (mode, problem) in [
        ("InitiatorOnly", "refused this side's identity, key or post-quantum"),
        ("ResponderOnly", "post-quantum pre-shared keys (PPK) differ"),
    ] {
        let (site, peer) = sites::with_peer().unwrap();
        let strongswan = StrongSwan::start(&peer.gateway, &settings(OTHER, true)).unwrap();
        let gateway = Gateway::start(&site.gateway, plan(mode, true)).unwrap();
        if mode == "ResponderOnly" {
            strongswan.try_initiate().unwrap();
        }
        gateway
            .tells("peer", &Reason { problem, counter: "failed_ppk", remedy: "on both sides" })
            .unwrap_or_else(|failure| panic!("{failure}\n{}\n{}", gateway.state(), strongswan.log()));
        assert!(gateway.sas().unwrap().is_empty());
        gateway.stop().unwrap();
    }
}
