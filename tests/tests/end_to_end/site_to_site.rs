//! Our gateway and strongSwan: the tunnel comes up whoever begins, with each cipher and for each family, carries
//! pings and verified traffic, and nothing of it is in the clear outside.

use crossgate_tests::capture::{Capture, Kind};
use crossgate_tests::failure::{Result, ensure};
use crossgate_tests::gateway::{Gateway, Plan};
use crossgate_tests::sites::{self, PeerSite, Site};
use crossgate_tests::strongswan::{Settings, StrongSwan};
use crossgate_tests::traffic::{Host, MARK, Stream, bulk, ping, ping_until_answered};
use std::time::Duration;

/// Pings, a stream each way and a bulk transfer each way between two hosts, while the wire is watched.
fn exchange(site: &Site, near: Host<'_>, far: Host<'_>) -> Result<()> {
    let wire = Capture::start(&site.gateway, "wan", 100_000)?;
    ping_until_answered(near, far.address, Duration::from_secs(20))?;
    ping(near, far.address, 20, 64, false)?.all_answered()?;
    ping(far, near.address, 20, 1200, false)?.all_answered()?;
    let there = Stream::start(near, far, 1000, 1000)?;
    let back = Stream::start(far, near, 1000, 1000)?;
    there.flows(500)?;
    back.flows(500)?;
    there.stop()?.whole()?;
    back.stop()?.whole()?;
    bulk(near, far, Duration::from_millis(500))?;
    bulk(far, near, Duration::from_millis(500))?;
    let wire = wire.stop()?;
    ensure(wire.count(Kind::EspInUdp) > 1000, || format!("too little ESP on the wire: {}", wire.summary()))?;
    let clear = wire.clear(MARK, &[near.address, far.address]);
    ensure(clear == 0, || format!("{clear} frames in the clear: {}", wire.summary()))
}

/// Both families through a tunnel that is up.
fn both_families(site: &Site, peer: &PeerSite) -> Result<()> {
    exchange(site, site.ipv4(), peer.ipv4())?;
    exchange(site, site.ipv6(), peer.ipv6())
}

#[test]
fn tunnel_that_we_begin_carries_ipv4_and_ipv6_under_aes_256() {
    let (site, peer) = sites::with_peer().unwrap();
    let strongswan = StrongSwan::start(&peer.gateway, &Settings::default()).unwrap();
    let plan = Plan::site(1)
        .with_mode("InitiatorOnly")
        .with_policy("ike_encryption", "\"GCMAES256\"")
        .with_policy("ipsec_encryption", "\"GCMAES256\"");
    let gateway = Gateway::start(&site.gateway, plan).unwrap();
    gateway.is("peer", "up").unwrap();
    strongswan.is_up().unwrap();
    both_families(&site, &peer).unwrap();

    let connection = gateway.connection("peer").unwrap();
    assert_eq!(connection["role"], "initiator", "{connection}");
    assert_eq!(connection["encapsulation"], "udp", "{connection}");
    assert!(connection["traffic"]["in_bytes"].as_u64().unwrap() > 1_000_000, "{connection}");
    let sas = strongswan.sas().unwrap();
    assert!(sas.contains("ESP:AES_GCM_16-256"), "{sas}");
    gateway.stop().unwrap();
    strongswan.is_down().unwrap();
}

#[test]
fn tunnel_that_strongswan_begins_carries_ipv4_and_ipv6_under_aes_128() {
    let (site, peer) = sites::with_peer().unwrap();
    let plan = Plan::site(1)
        .with_mode("ResponderOnly")
        .with_policy("ike_encryption", "\"GCMAES128\"")
        .with_policy("ike_integrity", "\"SHA256\"")
        .with_policy("dh_group", "\"Curve25519\"")
        .with_policy("ipsec_encryption", "\"GCMAES128\"")
        .with_policy("pfs_group", "\"Curve25519\"");
    let gateway = Gateway::start(&site.gateway, plan).unwrap();
    let settings = Settings {
        ike: "aes128gcm16-prfsha256-x25519".to_owned(),
        esp: "aes128gcm16-x25519".to_owned(),
        ..Settings::default()
    };
    let strongswan = StrongSwan::start(&peer.gateway, &settings).unwrap();
    strongswan.initiate().unwrap();
    gateway.is("peer", "up").unwrap();
    both_families(&site, &peer).unwrap();

    let connection = gateway.connection("peer").unwrap();
    assert_eq!(connection["role"], "responder", "{connection}");
    let sas = strongswan.sas().unwrap();
    assert!(sas.contains("ESP:AES_GCM_16-128"), "{sas}");
    strongswan.terminate().unwrap();
    gateway.is("peer", "down").unwrap();
    ping(site.ipv4(), peer.ipv4().address, 3, 64, false).unwrap().none_answered().unwrap();
    gateway.stop().unwrap();
}

/// A tunnel with the given IKE proposal, in our words and in strongSwan's.
fn comes_up_with(policy: &[(&'static str, &str)], ike: &str) -> Result<()> {
    let (site, peer) = sites::with_peer()?;
    let strongswan =
        StrongSwan::start(&peer.gateway, &Settings { ike: ike.to_owned(), ..Settings::default() })?;
    let mut plan = Plan::site(1).with_mode("InitiatorOnly");
    for (key, value) in policy {
        plan = plan.with_policy(key, value);
    }
    let gateway = Gateway::start(&site.gateway, plan)?;
    gateway.is("peer", "up")?;
    strongswan.is_up()?;
    ping_until_answered(site.ipv4(), peer.ipv4().address, Duration::from_secs(20))?;
    gateway.stop()
}

#[test]
fn ike_sa_may_use_cbc_with_hmac_and_a_modp_group() {
    let policy =
        [("ike_encryption", "\"AES256\""), ("ike_integrity", "\"SHA256\""), ("dh_group", "\"DHGroup14\"")];
    comes_up_with(&policy, "aes256-sha256-modp2048").unwrap();
}

#[test]
fn wrong_guess_of_the_group_is_mended() {
    let policy = [("dh_group", "[\"ECP256\", \"ECP521\"]")];
    comes_up_with(&policy, "aes256gcm16-prfsha384-ecp521").unwrap();
}

#[test]
fn peer_is_known_by_its_name_where_its_address_is_not() {
    let (site, peer) = sites::with_peer().unwrap();
    let mut plan = Plan::site(1).with_mode("ResponderOnly");
    plan.connections[0].peer = "any".to_owned();
    plan.connections[0].identities = Some(("gw.example.org".to_owned(), "branch@example.org".to_owned()));
    let gateway = Gateway::start(&site.gateway, plan).unwrap();
    let settings = Settings {
        local_id: "branch@example.org".to_owned(),
        remote_id: "gw.example.org".to_owned(),
        ..Settings::default()
    };
    let strongswan = StrongSwan::start(&peer.gateway, &settings).unwrap();
    strongswan.initiate().unwrap();
    gateway.is("peer", "up").unwrap();
    ping_until_answered(site.ipv4(), peer.ipv4().address, Duration::from_secs(20)).unwrap();
    let connection = gateway.connection("peer").unwrap();
    assert!(connection["peer_id"].as_str().unwrap().contains("branch@example.org"), "{connection}");
}

#[test]
fn only_what_the_selectors_allow_travels() {
    let (site, peer) = sites::with_peer().unwrap();
    let settings = Settings {
        local_prefixes: vec!["10.2.0.0/24".to_owned()],
        remote_prefixes: vec!["10.1.0.0/24".to_owned()],
        ..Settings::default()
    };
    let strongswan = StrongSwan::start(&peer.gateway, &settings).unwrap();
    let mut plan = Plan::site(1);
    plan.connections[0].selectors = Some((vec!["10.1.0.0/16".to_owned()], vec!["10.2.0.0/16".to_owned()]));
    let gateway = Gateway::start(&site.gateway, plan).unwrap();
    gateway.is("peer", "up").unwrap();
    strongswan.is_up().unwrap();
    ping_until_answered(site.ipv4(), peer.ipv4().address, Duration::from_secs(20)).unwrap();
    let sa = gateway.only_sa().unwrap();
    assert!(sa["remote_selectors"].to_string().contains("10.2.0.0/24"), "{sa}");

    // A second host of site 2, inside the prefix but outside the narrowed selectors.
    peer.gateway.address("lo", "10.2.7.1/32").unwrap();
    let wire = Capture::start(&site.gateway, "wan", 1000).unwrap();
    let outside = Host::new(&peer.gateway, "10.2.7.1");
    ping(site.ipv4(), outside.address, 5, 64, false).unwrap().none_answered().unwrap();
    let wire = wire.stop().unwrap();
    assert_eq!(wire.clear(MARK, &[site.ipv4().address, outside.address]), 0, "{}", wire.summary());
    assert_eq!(wire.count(Kind::EspInUdp), 0, "{}", wire.summary());
}

#[test]
fn peer_may_authenticate_without_a_child_sa_and_ask_for_it_then() {
    let (site, peer) = sites::with_peer().unwrap();
    let settings = Settings { connection_extra: "childless = force".to_owned(), ..Settings::default() };
    let strongswan = StrongSwan::start(&peer.gateway, &settings).unwrap();
    let gateway = Gateway::start(&site.gateway, Plan::site(1).with_mode("ResponderOnly")).unwrap();
    strongswan.initiate().unwrap();
    gateway.is("peer", "up").unwrap();
    gateway.says("authenticated without asking for a Child SA").unwrap();
    assert!(strongswan.log().contains("generating CREATE_CHILD_SA request"), "{}", strongswan.log());
    both_families(&site, &peer).unwrap();
    gateway.stop().unwrap();
}
