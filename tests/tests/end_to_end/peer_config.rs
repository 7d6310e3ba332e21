//! The other side's configuration that `crossgate peer-config` writes is started as it stands, and connects.

use crossgate_pki::KeyKind;
use crossgate_tests::certificates::Certificates;
use crossgate_tests::failure::Result;
use crossgate_tests::gateway::{Connection, Gateway, Plan, Ppk};
use crossgate_tests::sites;
use crossgate_tests::strongswan::{Settings, StrongSwan};
use crossgate_tests::traffic::{Host, ping, ping_until_answered};
use crossgate_tests::wait::{Look, until};
use std::path::Path;
use std::time::Duration;

use super::certificates::{self, RSA};

/// The other side of the connection "peer", with its key.
fn other_side(gateway: &Gateway<'_>, system: &str) -> String {
    other_side_of(gateway, "peer", system)
}

fn other_side_of(gateway: &Gateway<'_>, connection: &str, system: &str) -> String {
    let asked = ["peer-config", connection, "--for", system, "--with-key"];
    let written = gateway.client(&asked).expect("the client starts");
    assert!(written.status.success(), "{}", written.output);
    written.output
}

/// Starts strongSwan with what was written for it; both address families pass.
fn connects(plan: Plan) -> Result<()> {
    connects_with(plan, &["10.2.0.1", "fd00:2::1"])
}

/// The same with the peer's hosts that are to be reached.
fn connects_with(plan: Plan, hosts: &[&str]) -> Result<()> {
    connects_as(plan, hosts, None)
}

/// The same where the peer has certificates, in the files that are named.
fn connects_as(plan: Plan, hosts: &[&str], certificates: Option<Certificates>) -> Result<()> {
    let (site, peer) = sites::with_peer()?;
    // strongSwan installs nothing for a prefix in which its machine has no address.
    for host in hosts.iter().filter(|host| !["10.2.0.1", "fd00:2::1"].contains(host)) {
        peer.gateway.address("lo", &format!("{host}/32"))?;
    }
    let gateway = Gateway::start(&site.gateway, plan)?;
    let written = other_side(&gateway, "strongswan");
    let strongswan = StrongSwan::start(
        &peer.gateway,
        &Settings { instead: Some(written.clone()), certificates, ..Settings::default() },
    )?;
    for host in hosts {
        let far = Host::new(&peer.gateway, host);
        let near = if far.address.is_ipv4() { site.ipv4() } else { site.ipv6() };
        ping_until_answered(near, far.address, Duration::from_secs(20))?;
        ping(far, near.address, 10, 500, false)?.all_answered()?;
    }
    gateway.is("peer", "up")?;
    if written.contains("version = 1") {
        return gateway.stop();
    }
    strongswan.rekey_child()?;
    ping(site.ipv4(), peer.ipv4().address, 10, 500, false)?.all_answered()?;
    gateway.stop()
}

#[test]
fn strongswan_connects_to_a_gateway_that_waits_with_every_default() {
    connects(Plan::site(1).with_mode("ResponderOnly")).unwrap();
}

#[test]
fn strongswan_is_called_under_a_policy_of_its_own() {
    let plan = Plan::site(1)
        .with_mode("InitiatorOnly")
        .with_policy("ike_encryption", "\"AES256\"")
        .with_policy("ike_integrity", "\"SHA512\"")
        .with_policy("dh_group", "[\"Curve25519\", \"ECP256\"]")
        .with_policy("ipsec_encryption", "[\"GCMAES128\", \"GCMAES256\"]")
        .with_policy("pfs_group", "[\"ECP256\", \"None\"]");
    connects(plan).unwrap();
}

#[test]
fn strongswan_connects_with_ciphers_that_need_integrity_beside_them() {
    let plan = Plan::site(1)
        .with_policy("ike_encryption", "[\"AES256\", \"AES128\"]")
        .with_policy("ike_integrity", "\"SHA256\"")
        .with_policy("ipsec_encryption", "[\"AES256\", \"AES128\"]")
        .with_policy("ipsec_integrity", "[\"SHA512\", \"SHA256\"]")
        .with_policy("pfs_group", "[\"PFS14\", \"None\"]");
    connects(plan).unwrap();
}

#[test]
fn strongswan_connects_with_certificates_whoever_begins() {
    for (kind, mode) in [(RSA, "ResponderOnly"), (KeyKind::P384, "InitiatorOnly")] {
        let (ours, theirs) = certificates::both(kind);
        let hosts = ["10.2.0.1", "fd00:2::1"];
        connects_as(certificates::plan(ours, mode), &hosts, Some(theirs))
            .unwrap_or_else(|failure| panic!("{mode}: {failure}"));
    }
}

/// Two prefixes on each side, as selectors.
fn two_a_side() -> Plan {
    let mut plan = Plan::site(1);
    plan.space = ["10.1.0.0/24", "10.1.255.0/24"].map(str::to_owned).to_vec();
    plan.lan = vec!["10.1.0.1/24".to_owned()];
    plan.connections[0].prefixes = ["10.2.0.0/24", "10.2.8.0/24"].map(str::to_owned).to_vec();
    plan
}

/// The plan with some of its words replaced.
fn changed(plan: Plan, changes: &[(&str, &str)]) -> Plan {
    let text = plan.text(Path::new("FOLDER"));
    let text = changes.iter().fold(text, |text, (from, to)| {
        assert!(text.contains(from), "no {from} in {text}");
        text.replace(from, to)
    });
    Plan { instead: Some(text), ..plan }
}

#[test]
fn strongswan_connects_with_two_prefixes_a_side_by_policy() {
    let flag = "type = \"IPsec\"\nuse_policy_based_traffic_selectors = true";
    let plan = changed(two_a_side(), &[("type = \"IPsec\"", flag)]);
    connects_with(plan, &["10.2.0.1", "10.2.8.1"]).unwrap();
}

#[test]
fn strongswan_connects_by_ikev1_with_a_child_for_each_pair() {
    let flags = "type = \"IPsec\"\nprotocol = \"IKEv1\"\nuse_policy_based_traffic_selectors = true";
    for mode in ["ResponderOnly", "InitiatorOnly"] {
        let plan = changed(two_a_side().with_mode(mode), &[("type = \"IPsec\"", flags)]);
        connects_with(plan, &["10.2.0.1", "10.2.8.1"]).unwrap_or_else(|failure| panic!("{mode}: {failure}"));
    }
}

#[test]
fn strongswan_connects_with_a_policy_based_gateway() {
    let plan = changed(
        two_a_side(),
        &[("\"RouteBased\"", "\"PolicyBased\""), ("\"VpnGw1\"", "\"Basic\""), ("dpd_timeout_s = 45\n", "")],
    );
    connects_with(plan, &["10.2.0.1", "10.2.8.1"]).unwrap();
}

#[test]
fn strongswan_calls_from_an_address_that_nobody_knows() {
    let mut plan = Plan::site(1).with_mode("ResponderOnly");
    "any".clone_into(&mut plan.connections[0].peer);
    plan.connections[0].identities = Some(("gw.example.org".to_owned(), "branch.example.org".to_owned()));
    connects(plan).unwrap();
}

#[test]
fn strongswan_connects_with_names_and_a_key_that_needs_quoting() {
    let mut plan = Plan::site(1);
    plan.connections[0].identities = Some(("gw.example.org".to_owned(), "keyid:branch-7".to_owned()));
    "0x#\"Rk4\\tZ8{wLp2}XsVb$Q9".clone_into(&mut plan.connections[0].shared_key);
    connects(plan).unwrap();
}

/// IPv4 alone, which is what rules and prefixes of these tests are of.
fn ipv4_alone() -> Plan {
    Plan {
        space: vec!["10.1.0.0/16".to_owned()],
        lan: vec!["10.1.0.1/24".to_owned()],
        sku: "VpnGw2".to_owned(),
        connections: Vec::new(),
        ..Plan::site(1)
    }
}

/// A connection to 192.0.2.`number` with these prefixes behind it.
fn to(name: &str, number: u8, prefixes: &[&str]) -> Connection {
    Connection {
        name: name.to_owned(),
        prefixes: prefixes.iter().map(|&prefix| prefix.to_owned()).collect(),
        ..Connection::to_site(number)
    }
}

#[test]
fn one_strongswan_has_connections_with_nat_rules_with_a_post_quantum_key_and_with_selectors() {
    let (site, peer) = sites::with_peer().unwrap();
    for (device, address) in [
        ("wan", "192.0.2.3/24"),
        ("wan", "192.0.2.4/24"),
        ("lo", "10.1.7.1/32"),
        ("lo", "10.3.0.1/32"),
        ("lo", "10.4.0.1/32"),
        ("lo", "10.5.0.1/32"),
    ] {
        peer.gateway.address(device, address).unwrap();
    }
    let rule = |name: &str, mode: &str, external: &str| {
        format!(
            "[[nat_rule]]\nname = \"{name}\"\ngateway = \"gw\"\nmode = \"{mode}\"\ninternal_mapping = \"10.1.0.0/16\"\n\
             external_mapping = \"{external}\"\n"
        )
    };
    let mut plan = ipv4_alone();
    plan.gateway_extra =
        rule("own", "EgressSnat", "100.65.0.0/16") + &rule("far", "IngressSnat", "100.66.0.0/16");
    let mut translated = to("translated", 2, &["10.1.0.0/16"]);
    translated.extra = "ingress_nat_rules = [\"far\"]\negress_nat_rules = [\"own\"]".to_owned();
    let mut with_key = to("with-key", 3, &["10.3.0.0/16"]);
    with_key.ppk = Some(Ppk {
        id: "site-a.site-b".to_owned(),
        secret: "q3G8vN1x+Zk0TtYw2bLr5HfPjC7sD9mAuE4iRo6KyXg=".to_owned(),
        required: true,
    });
    let mut selected = to("selected", 4, &["10.4.0.0/24", "10.5.0.0/24"]);
    selected.selectors = Some((
        vec!["10.1.0.0/24".to_owned(), "10.1.8.0/24".to_owned()],
        vec!["10.4.0.0/24".to_owned(), "10.5.0.0/24".to_owned()],
    ));
    plan.connections = vec![translated, with_key, selected];
    let gateway = Gateway::start(&site.gateway, plan).unwrap();
    let written =
        ["translated", "with-key", "selected"].map(|name| other_side_of(&gateway, name, "strongswan"));
    let settings = Settings { instead: Some(written.concat()), ..Settings::default() };
    let _strongswan = StrongSwan::start(&peer.gateway, &settings).unwrap();
    let home = site.ipv4();
    // Each host with the address that our network knows it by, and what it knows our host by.
    for (host, known, home_there) in [
        ("10.1.7.1", "100.66.7.1", "100.65.0.10"),
        ("10.3.0.1", "10.3.0.1", "10.1.0.10"),
        ("10.4.0.1", "10.4.0.1", "10.1.0.10"),
        ("10.5.0.1", "10.5.0.1", "10.1.0.10"),
    ] {
        let far = Host::new(&peer.gateway, host);
        ping_until_answered(home, known.parse().unwrap(), Duration::from_secs(20)).unwrap();
        ping(far, home_there.parse().unwrap(), 5, 500, false).unwrap().all_answered().unwrap();
    }
    let suite = gateway.connection("with-key").unwrap()["ike_suite"].clone();
    assert!(suite.as_str().is_some_and(|suite| suite.ends_with("+PPK")), "{suite}");
    gateway.stop().unwrap();
}

#[test]
fn strongswan_is_the_way_to_everywhere_from_both_addresses_of_a_gateway() {
    let (site, peer) = sites::with_peer().unwrap();
    peer.gateway.address("lo", "198.51.100.7/32").unwrap();
    let plan = Plan {
        wan: vec!["192.0.2.1/24".to_owned(), "192.0.2.9/24".to_owned()],
        gateway_extra: "active_active = true\n".to_owned(),
        connections: vec![to("peer", 2, &["0.0.0.0/0"])],
        ..ipv4_alone()
    };
    let gateway = Gateway::start(&site.gateway, plan).unwrap();
    let written = other_side(&gateway, "strongswan");
    let settings = Settings { instead: Some(written), ..Settings::default() };
    let strongswan = StrongSwan::start(&peer.gateway, &settings).unwrap();
    until("a tunnel from each address", Duration::from_secs(20), || {
        let sas = strongswan.sas()?;
        let is_there = |address: &str| sas.contains(&format!("remote '{address}'"));
        let both = is_there("192.0.2.1") && is_there("192.0.2.9") && strongswan.children()? >= 2;
        Ok(Look::when(both, || sas))
    })
    .unwrap();
    for far in ["10.2.0.1", "198.51.100.7"] {
        ping_until_answered(site.ipv4(), far.parse().unwrap(), Duration::from_secs(20)).unwrap();
        ping(Host::new(&peer.gateway, far), site.ipv4().address, 5, 500, false)
            .unwrap()
            .all_answered()
            .unwrap();
    }
    gateway.stop().unwrap();
}

#[test]
fn another_crossgate_connects() {
    let (one, two) = sites::both_ours().unwrap();
    let first = Gateway::start(&one.gateway, Plan::site(1).with_mode("ResponderOnly")).unwrap();
    // Its own files, where the lab looks for them; everything else stands as it was written.
    let written = other_side(&first, "crossgate").replacen(
        "[appliance]\n",
        "[appliance]\nsocket = \"FOLDER/console.sock\"\nstore = \"FOLDER/store.redb\"\n",
        1,
    );
    let second = Gateway::start(&two.gateway, Plan { instead: Some(written), ..Plan::site(2) }).unwrap();
    first.is("peer", "up").unwrap();
    second.is("peer", "up").unwrap();
    for (near, far) in [(one.ipv4(), two.ipv4()), (two.ipv6(), one.ipv6())] {
        ping_until_answered(near, far.address, Duration::from_secs(20)).unwrap();
        ping(near, far.address, 10, 500, false).unwrap().all_answered().unwrap();
    }
    second.stop().unwrap();
    first.stop().unwrap();
}

#[test]
fn key_is_written_only_when_asked_for_and_unknown_words_are_refused() {
    let (site, _peer) = sites::with_peer().unwrap();
    let gateway = Gateway::start(&site.gateway, Plan::site(1)).unwrap();
    let written = gateway.client(&["peer-config", "peer", "--for", "strongswan"]).unwrap();
    assert!(written.status.success(), "{}", written.output);
    assert!(!written.output.contains(crossgate_tests::gateway::SHARED_KEY), "{}", written.output);
    assert!(written.output.contains("REPLACE-WITH-THE-SHARED-KEY"), "{}", written.output);
    for wrong in
        [&["peer-config", "nobody", "--for", "strongswan"][..], &["peer-config", "peer", "--for", "abacus"]]
    {
        let refused = gateway.client(wrong).unwrap();
        assert_eq!(refused.status.code(), Some(2), "{}", refused.output);
    }
    let unknown = gateway.client(&["reset", "--gateway", "nobody"]).unwrap();
    assert_eq!(unknown.status.code(), Some(2), "{}", unknown.output);
    assert!(unknown.output.contains("\"gw\"") || unknown.output.contains(" gw"), "{}", unknown.output);
}
