//! A gateway that is killed and started anew: its peer notices at once, by its token, and not by dead peer detection.

use crossgate_tests::gateway::{Gateway, Plan};
use crossgate_tests::sites;
use crossgate_tests::strongswan::{Settings, StrongSwan};
use crossgate_tests::traffic::{Stream, ping_until_answered};
use std::time::{Duration, Instant};

/// For the first packet, on a machine that is busy.
const ANSWERED: Duration = Duration::from_secs(20);
/// Dead peer detection would ask after a third of it.
const DPD_S: u32 = 900;
/// From the moment at which the killed gateway answers its operator again. A handshake takes some milliseconds; the rest is for a machine that is busy.
const NOTICED: Duration = Duration::from_secs(5);

#[test]
fn peer_notices_at_once_that_our_gateway_was_killed() {
    let (one, two) = sites::both_ours().unwrap();
    let plan = |number, mode| {
        let mut plan = Plan::site(number).with_mode(mode);
        plan.connections[0].dpd_timeout_s = DPD_S;
        plan
    };
    // The one that is killed waits for its peer afterwards: the peer has to notice by itself.
    let mut second = Gateway::start(&two.gateway, plan(2, "ResponderOnly")).unwrap();
    let first = Gateway::start(&one.gateway, plan(1, "Default")).unwrap();
    first.is("peer", "up").unwrap();
    ping_until_answered(one.ipv4(), two.ipv4().address, ANSWERED).unwrap();

    let stream = Stream::start(one.ipv4(), two.ipv4(), 100, 200).unwrap();
    stream.flows(50).unwrap();
    // Twice: the secret is the one of the first start, and also after the IKE SA was replaced.
    for times in [1, 2] {
        second.kill_and_restart().unwrap();
        let back = Instant::now();
        stream.flows(20).unwrap();
        let taken = back.elapsed();
        let state = || format!("{taken:?}\n{}\n{}", first.state(), second.state());
        assert!(taken < NOTICED, "{}", state());
        assert_eq!(first.log().matches("proved that it has lost the IKE SA").count(), times, "{}", state());
        assert_eq!(second.log().matches("an IKE SA that is not here").count(), times, "{}", state());
        first.rekey_ike("peer").unwrap();
        second.says("replaced by a fresh one").unwrap();
        stream.flows(20).unwrap();
    }
    stream.stop().unwrap();
    first.only_sa().unwrap();
    first.stop().unwrap();
    second.stop().unwrap();
}

#[test]
fn strongswan_is_not_upset_by_tokens() {
    let (site, peer) = sites::with_peer().unwrap();
    // It knows no tokens: it goes on to ask, gives up after some seconds, and calls again.
    let settings =
        Settings { dpd_delay_s: 2, child_extra: "dpd_action = restart".to_owned(), ..Settings::default() };
    let strongswan = StrongSwan::start(&peer.gateway, &settings).unwrap();
    let mut gateway = Gateway::start(&site.gateway, Plan::site(1).with_mode("ResponderOnly")).unwrap();
    strongswan.initiate().unwrap();
    gateway.is("peer", "up").unwrap();
    ping_until_answered(peer.ipv4(), site.ipv4().address, ANSWERED).unwrap();
    gateway.rekey_ike("peer").unwrap();
    gateway.says("replaced by a fresh one").unwrap();
    strongswan.is_up().unwrap();

    let stream = Stream::start(peer.ipv4(), site.ipv4(), 50, 200).unwrap();
    gateway.kill_and_restart().unwrap();
    gateway.says("an IKE SA that is not here").unwrap();
    gateway.is("peer", "up").unwrap();
    stream.flows(20).unwrap();
    stream.stop().unwrap();
    strongswan.is_up().unwrap();
    gateway.stop().unwrap();
}
