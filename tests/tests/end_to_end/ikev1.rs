//! IKEv1 with strongSwan: each side beginning, with perfect forward secrecy and without, pairs of prefixes one by one, rekeys of both phases under traffic, a peer
//! that dies, and what is refused, with its reason.

use std::path::Path;
use std::time::Duration;

use crossgate_tests::failure::Result;
use crossgate_tests::gateway::{Connection, Gateway, Plan, Reason, example_key};
use crossgate_tests::namespace::{Namespace, Stack};
use crossgate_tests::sites::{self, PeerSite, Site, Wan};
use crossgate_tests::strongswan::{Settings, StrongSwan};
use crossgate_tests::traffic::{Host, Stream, ping, ping_until_answered};

const ANSWERED: Duration = Duration::from_secs(20);

/// A connection of site 1 that speaks IKEv1, with one pair of prefixes.
fn plan(mode: &str) -> Plan {
    let mut plan = Plan::site(1).with_mode(mode);
    plan.connections[0].selectors = Some((vec!["10.1.0.0/16".to_owned()], vec!["10.2.0.0/16".to_owned()]));
    plan
}

/// The same in IKEv1.
fn v1(plan: Plan) -> Plan {
    let text = plan.text(Path::new("FOLDER")).replace("\nmode = ", "\nprotocol = \"IKEv1\"\nmode = ");
    Plan { instead: Some(text), ..plan }
}

fn settings() -> Settings {
    Settings {
        version: 1,
        ike: "aes256-sha256-ecp384".to_owned(),
        esp: "aes256gcm16-modp2048".to_owned(),
        local_prefixes: vec!["10.2.0.0/16".to_owned()],
        remote_prefixes: vec!["10.1.0.0/16".to_owned()],
        ..Settings::default()
    }
}

/// The tunnel comes up and carries a ping.
fn comes_up(plan: Plan, settings: &Settings) -> Result<()> {
    let (site, peer) = sites::with_peer()?;
    let (_strongswan, gateway) = sites::tunnel_with(&site, &peer, v1(plan), settings)?;
    let shown = gateway.connection("peer")?;
    assert!(
        shown["ike_suite"].as_str().is_some_and(|suite| suite.starts_with("IKEv1 AES_CBC_256/")),
        "{shown}"
    );
    gateway.stop()
}

#[test]
fn comes_up_whoever_begins_with_perfect_forward_secrecy_and_without() {
    for mode in ["InitiatorOnly", "ResponderOnly"] {
        for esp in ["aes256gcm16-modp2048", "aes256-sha256"] {
            comes_up(plan(mode), &Settings { esp: esp.to_owned(), ..settings() })
                .unwrap_or_else(|failure| panic!("{mode}, {esp}: {failure}"));
        }
    }
}

#[test]
fn old_algorithms_connect_where_the_policy_names_them() {
    let plan = plan("InitiatorOnly")
        .with_policy("ike_encryption", "\"AES256\"")
        .with_policy("ike_integrity", "\"SHA1\"")
        .with_policy("dh_group", "\"DHGroup2\"")
        .with_policy("ipsec_encryption", "\"AES128\"")
        .with_policy("ipsec_integrity", "\"SHA1\"")
        .with_policy("pfs_group", "\"None\"");
    let settings =
        Settings { ike: "aes256-sha1-modp1024".to_owned(), esp: "aes128-sha1".to_owned(), ..settings() };
    comes_up(plan, &settings).unwrap();
}

/// A tunnel that is up, with a stream each way, of which nothing is lost.
fn under_traffic(work: impl FnOnce(&Gateway<'_>, &StrongSwan<'_>) -> Result<()>) -> Result<()> {
    let (site, peer) = sites::with_peer()?;
    let strongswan = StrongSwan::start(&peer.gateway, &settings())?;
    let gateway = Gateway::start(&site.gateway, v1(plan("Default")))?;
    gateway.is("peer", "up")?;
    ping_until_answered(site.ipv4(), peer.ipv4().address, ANSWERED)?;
    let streams = [
        Stream::start(site.ipv4(), peer.ipv4(), 1000, 700)?,
        Stream::start(peer.ipv4(), site.ipv4(), 1000, 700)?,
    ];
    let flow = |more| streams.iter().try_for_each(|stream| stream.flows(more));
    flow(300)?;
    let outcome = work(&gateway, &strongswan).and_then(|()| flow(3000));
    if let Err(failure) = outcome {
        eprintln!("{}\n{}", gateway.state(), strongswan.log());
        return Err(failure);
    }
    for stream in streams {
        stream.stop()?.whole()?;
    }
    gateway.stop()
}

#[test]
fn quick_mode_that_we_begin_under_traffic_loses_nothing() {
    under_traffic(|gateway, _| gateway.rekey_child("peer")).unwrap();
}

#[test]
fn quick_mode_that_strongswan_begins_under_traffic_loses_nothing() {
    under_traffic(|_, strongswan| strongswan.swanctl("--rekey --child net").map(drop)).unwrap();
}

#[test]
fn main_mode_that_we_begin_under_traffic_loses_nothing() {
    under_traffic(|gateway, strongswan| strongswan.gets_another_ike_sa(|| gateway.rekey_ike("peer")))
        .unwrap();
}

#[test]
fn main_mode_that_strongswan_begins_under_traffic_loses_nothing() {
    under_traffic(|_, strongswan| strongswan.swanctl("--rekey --ike peer").map(drop)).unwrap();
}

#[test]
fn each_pair_of_a_policy_based_gateway_gets_a_quick_mode_of_its_own_whoever_begins() {
    for mode in ["InitiatorOnly", "ResponderOnly"] {
        pairs(mode).unwrap_or_else(|failure| panic!("{mode}: {failure}"));
    }
}

fn pairs(mode: &str) -> Result<()> {
    let text = include_str!("../../../config/examples/policy-based.toml")
        .replace("iface=wan0", "iface=wan")
        .replace("iface=lan0", "iface=lan")
        .replace("type = \"IPsec\"", &format!("type = \"IPsec\"\nstart = \"OnLoad\"\nmode = {mode:?}"));
    let (site, peer) = sites::with_peer()?;
    for address in ["10.2.1.1", "10.2.2.1"] {
        peer.gateway.address("lo", &format!("{address}/32"))?;
    }
    let settings = Settings {
        esp: "aes256gcm16".to_owned(),
        shared_key: example_key("peer"),
        local_prefixes: vec!["10.2.0.0/24".to_owned()],
        more_children: vec![("second", "10.2.1.0/24"), ("third", "10.2.2.0/24")],
        ..settings()
    };
    let strongswan = StrongSwan::start(&peer.gateway, &settings)?;
    let gateway = Gateway::start(&site.gateway, Plan::example(&text, &["peer"]))?;
    if mode == "ResponderOnly" {
        strongswan.initiate()?;
        for child in ["second", "third"] {
            strongswan.swanctl(&format!("--initiate --child {child} --timeout 30"))?;
        }
    }
    let carries = |address: &str| {
        let host = Host::new(&peer.gateway, address);
        ping_until_answered(site.ipv4(), host.address, ANSWERED)?;
        ping(host, site.ipv4().address, 10, 900, false)?.all_answered()
    };
    let all = gateway
        .is("peer", "up")
        .and_then(|()| ["10.2.0.1", "10.2.1.1", "10.2.2.1"].into_iter().try_for_each(carries));
    if let Err(failure) = all {
        eprintln!("{}\n{}", gateway.state(), strongswan.log());
        return Err(failure);
    }
    assert_eq!(gateway.sas()?.len(), 3);
    gateway.stop()
}

#[test]
fn a_dead_peer_is_noticed_and_reached_again() {
    let work = || -> Result<()> {
        let (site, peer) = sites::with_peer()?;
        let mut strongswan = StrongSwan::start(&peer.gateway, &settings())?;
        let mut plan = plan("Default");
        plan.connections[0].dpd_timeout_s = 9;
        let gateway = Gateway::start(&site.gateway, v1(plan))?;
        gateway.is("peer", "up")?;
        strongswan.kill_and_restart()?;
        gateway.says("the peer does not answer")?;
        gateway.is("peer", "up")?;
        ping_until_answered(site.ipv4(), peer.ipv4().address, ANSWERED)
    };
    work().unwrap();
}

#[test]
fn a_peer_that_ends_is_noticed_at_once() {
    let work = || -> Result<()> {
        let (site, peer) = sites::with_peer()?;
        let strongswan = StrongSwan::start(&peer.gateway, &settings())?;
        let gateway = Gateway::start(&site.gateway, v1(plan("ResponderOnly")))?;
        strongswan.initiate()?;
        gateway.is("peer", "up")?;
        strongswan.terminate()?;
        gateway.is("peer", "down")?;
        strongswan.initiate()?;
        gateway.is("peer", "up")?;
        gateway.stop()?;
        // Our end is told, too.
        strongswan.is_down()
    };
    work().unwrap();
}

/// What our side reports when `settings` and `plan` do not fit, whoever begins.
fn fails(plan: Plan, settings: &Settings, problem: &str, (counter, remedy): (&str, &str)) -> Result<()> {
    let responds = plan.connections[0].mode == "ResponderOnly";
    let (site, peer) = sites::with_peer()?;
    let strongswan = StrongSwan::start(&peer.gateway, settings)?;
    let gateway = Gateway::start(&site.gateway, plan)?;
    if responds {
        strongswan.try_initiate()?;
    }
    if let Err(failure) = gateway.tells("peer", &Reason { problem, counter, remedy }) {
        eprintln!("{}\n{}", gateway.state(), strongswan.log());
        return Err(failure);
    }
    Ok(())
}

#[test]
fn a_wrong_shared_key_is_told_whoever_begins() {
    let other = Settings { shared_key: "another-key-of-the-lab-1234567890".to_owned(), ..settings() };
    for mode in ["ResponderOnly", "InitiatorOnly"] {
        fails(v1(plan(mode)), &other, "the shared keys differ", ("failed_wrong_key", "on both sides"))
            .unwrap_or_else(|failure| panic!("{mode}: {failure}"));
    }
}

#[test]
fn no_common_algorithms_are_told_in_either_phase() {
    let ike = Settings { ike: "aes256-sha512-ecp521".to_owned(), ..settings() };
    let problem = "main mode: the peer offers no algorithms that this side accepts";
    fails(v1(plan("ResponderOnly")), &ike, problem, ("failed_ike_proposal", "on both sides")).unwrap();
    let esp = Settings { esp: "aes192gcm16-ecp521".to_owned(), ..settings() };
    let problem = "quick mode: the peer offers no algorithms that this side accepts";
    fails(v1(plan("ResponderOnly")), &esp, problem, ("failed_ipsec_proposal", "on both sides")).unwrap();
    let problem = "quick mode: the peer accepts none of the algorithms";
    fails(v1(plan("InitiatorOnly")), &esp, problem, ("failed_ipsec_proposal", "on both sides")).unwrap();
}

#[test]
fn other_selectors_are_told() {
    let other = Settings { local_prefixes: vec!["10.3.0.0/16".to_owned()], ..settings() };
    let problem = "traffic selectors have nothing in common";
    fails(v1(plan("ResponderOnly")), &other, problem, ("failed_selectors", "mirror each other")).unwrap();
}

#[test]
fn aggressive_mode_and_another_version_are_refused_by_name() {
    let aggressive = Settings {
        connection_extra: "aggressive = yes".to_owned(),
        daemon_extra: "i_dont_care_about_security_and_use_aggressive_mode_psk = yes".to_owned(),
        ..settings()
    };
    let main_mode = ("failed_aggressive_mode", "set the peer to main mode");
    fails(v1(plan("ResponderOnly")), &aggressive, "aggressive mode", main_mode).unwrap();
    let protocol = ("failed_other_version", "set protocol of the connection here");
    let problem = "the peer speaks IKEv1, but this connection does not";
    fails(plan("ResponderOnly"), &settings(), problem, protocol).unwrap();
    let v2 = Settings { version: 2, ..settings() };
    let problem = "the peer speaks IKEv2, but this connection does not";
    fails(v1(plan("ResponderOnly")), &v2, problem, protocol).unwrap();
}

#[test]
fn a_connection_that_is_up_turns_from_ikev2_to_ikev1_and_back_by_apply() {
    let work = || -> Result<()> {
        let (site, peer) = sites::with_peer()?;
        // No version in particular: it follows the side that begins.
        let either = Settings {
            version: 0,
            ike: "aes256-sha256-ecp384,aes256-sha256-prfsha256-ecp384".to_owned(),
            ..settings()
        };
        let plan = || {
            plan("InitiatorOnly")
                .with_policy("ike_encryption", "\"AES256\"")
                .with_policy("ike_integrity", "\"SHA256\"")
                .with_policy("dh_group", "\"ECP384\"")
        };
        let (strongswan, mut gateway) = sites::tunnel_with(&site, &peer, plan(), &either)?;
        for (next, version) in [(v1(plan()), "IKEv1"), (plan(), "IKEv2")] {
            gateway.reload(next)?;
            strongswan.has(&format!("ESTABLISHED, {version}"))?;
            gateway.is("peer", "up")?;
            strongswan.is_up()?;
            ping_until_answered(site.ipv4(), peer.ipv4().address, ANSWERED)?;
            assert_eq!(gateway.sas()?.len(), 1, "{}", gateway.state());
        }
        gateway.stop()
    };
    work().unwrap();
}

#[test]
fn what_comes_out_of_an_ikev1_tunnel_goes_into_an_ikev2_one_and_back() {
    let (wan, site) = (Wan::new().unwrap(), Site::new(1).unwrap());
    wan.plug(1, &site.gateway, "wan").unwrap();
    let old = PeerSite::on(&wan, 2).unwrap();
    let new = Namespace::new("peer-3", Stack::Kernel).unwrap();
    wan.plug(3, &new, "wan").unwrap();
    new.address("wan", "192.0.2.3/24").unwrap();
    new.address("lo", "10.3.0.1/32").unwrap();
    let prefix = |site: u8| vec![format!("10.{site}.0.0/16")];
    let to = |site: u8, name: &str, extra: &str| Connection {
        name: name.to_owned(),
        prefixes: prefix(site),
        selectors: Some((prefix(5 - site), prefix(site))),
        extra: extra.to_owned(),
        mode: "ResponderOnly".to_owned(),
        ..Connection::to_site(site)
    };
    let connections = vec![to(2, "old", "protocol = \"IKEv1\""), to(3, "new", "")];
    let plan = Plan { space: prefix(1), lan: vec!["10.1.0.1/24".to_owned()], connections, ..Plan::site(1) };
    let gateway = Gateway::start(&site.gateway, plan).unwrap();
    let by_v1 = Settings { remote_prefixes: prefix(3), ..settings() };
    let by_v2 = Settings {
        local: "192.0.2.3".to_owned(),
        local_id: "192.0.2.3".to_owned(),
        local_prefixes: prefix(3),
        remote_prefixes: prefix(2),
        ..Settings::default()
    };
    let first = StrongSwan::start(&old.gateway, &by_v1).unwrap();
    first.initiate().unwrap();
    let second = StrongSwan::start(&new, &by_v2).unwrap();
    second.initiate().unwrap();
    let (old, new) = (old.ipv4(), Host::new(&new, "10.3.0.1"));
    ping_until_answered(old, new.address, ANSWERED).unwrap();
    ping(old, new.address, 10, 1000, false).unwrap().all_answered().unwrap();
    ping(new, old.address, 10, 100, false).unwrap().all_answered().unwrap();
    gateway.stop().unwrap();
}
