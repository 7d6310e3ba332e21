//! Libreswan with what `crossgate peer-config` writes for it, as it stands: both versions of IKE, whoever begins, pairs one by one, names and keys that need quoting,
//! rekeys from our side. And with certificates, for which nothing is written.

use crossgate_pki::testing::{Issued, Template, key_pem};
use crossgate_pki::{KeyKind, UnixTime};
use crossgate_tests::certificates::Certificates;
use crossgate_tests::failure::Result;
use crossgate_tests::gateway::{Gateway, Plan, example_key};
use crossgate_tests::libreswan::Libreswan;
use crossgate_tests::met;
use crossgate_tests::sites::Site;
use crossgate_tests::traffic::{ping, ping_until_answered};
use crossgate_tests::wait::{Look, until};
use std::net::{IpAddr, Ipv4Addr};

use super::{FAR, FAR_IPV6, PATIENCE, set_up};

const RSA: KeyKind = KeyKind::Rsa { bits: 2048 };

/// A host at the other side, of no prefix that anybody lists.
const ANYWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7));

/// What is tried, and how many Child SAs it makes.
struct Case {
    what: &'static str,
    plan: Plan,
    /// Libreswan's files, where no others are written.
    own: Option<String>,
    hosts: Vec<IpAddr>,
    children: usize,
}

fn case(what: &'static str, plan: Plan, hosts: &[IpAddr], children: usize) -> Case {
    Case { what, plan, own: None, hosts: hosts.to_vec(), children }
}

const OURS: &str = "gw.example.org";

/// Who is what: Libreswan's name for a certificate, the identity in it, and the word for how it signs.
const BY_RSA: [&str; 3] = ["by-rsa", "rsa.example.org", "rsa-sha2"];
const BY_ECDSA: [&str; 3] = ["by-ecdsa", "ecdsa.example.org", "ecdsa"];

/// The authority that both sides trust, from 2020 to 2033 the same.
fn root() -> Issued {
    Issued::root(&valid(Template::authority("Root")), &key_pem(KeyKind::P256, 1))
}

fn valid(template: Template) -> Template {
    template.valid(UnixTime(1_600_000_000), UnixTime(2_000_000_000))
}

/// A certificate of its. NSS wants no two with one number, which is that of the key.
fn certificates(identity: &str, kind: KeyKind, number: u8) -> Certificates {
    let root = root();
    let template = Template { serial: number, ..valid(Template::peer(identity)) };
    let own = root.issue(&template, &key_pem(kind, number));
    Certificates { own: own.pem(), key: own.key_pem, anchors: vec![root.pem()], ..Certificates::default() }
}

/// By certificates, with one pair of prefixes.
fn by_certificate(
    what: &'static str,
    protocol: &str,
    mode: &str,
    [name, identity, authby]: [&str; 3],
) -> Case {
    let is_v1 = protocol == "IKEv1";
    let (kind, number) = if name == BY_RSA[0] { (RSA, 2) } else { (KeyKind::P256, 3) };
    let mut plan = with(Plan::site(1).with_mode(mode), &format!("protocol = {protocol:?}"));
    let connection = &mut plan.connections[0];
    connection.certificates = Some(certificates(OURS, kind, number));
    connection.identities = Some((OURS.to_owned(), identity.to_owned()));
    connection.selectors = Some((vec!["10.1.0.0/16".to_owned()], vec!["10.2.0.0/16".to_owned()]));
    let (setup, ikev2) =
        if is_v1 { ("config setup\n    ikev1-policy=accept\n", "never") } else { ("", "insist") };
    let authby = if is_v1 { "rsasig" } else { authby };
    let auto = if mode == "ResponderOnly" { "start" } else { "add" };
    let own = format!(
        "# Save this part as /etc/ipsec.d/peer.conf:
{setup}conn peer
    ikev2={ikev2}
    authby={authby}
    left=192.0.2.2
    leftid=@{identity}
    leftcert={name}
    leftsendcert=always
    leftsubnet=10.2.0.0/16
    right=192.0.2.1
    rightid=@{OURS}
    rightsubnet=10.1.0.0/16
    ike=aes256-sha2_256-dh14
    esp=aes256-sha2_256
    pfs=yes
    auto={auto}
# Save this line as /etc/ipsec.d/peer.secrets (mode 600):
"
    );
    let plan = [
        ("ike_encryption", "AES256"),
        ("ike_integrity", "SHA256"),
        ("dh_group", "DHGroup14"),
        ("ipsec_encryption", "AES256"),
        ("ipsec_integrity", "SHA256"),
        ("pfs_group", "PFS14"),
    ]
    .into_iter()
    .fold(plan, |plan, (key, word)| plan.with_policy(key, &format!("{word:?}")));
    Case { own: Some(own), ..case(what, plan, &[FAR], 1) }
}

/// Lines of the connection.
fn with(mut plan: Plan, lines: &str) -> Plan {
    lines.clone_into(&mut plan.connections[0].extra);
    plan
}

/// Three pairs of prefixes, as the example of a policy-based gateway has them.
fn policy_based(lines: &str) -> Plan {
    let text = include_str!("../../../../config/examples/policy-based.toml")
        .replace("iface=wan0", "iface=wan")
        .replace("iface=lan0", "iface=lan")
        .replace("type = \"IPsec\"", &format!("type = \"IPsec\"\n{lines}"));
    let mut plan = Plan::example(&text, &["peer"]);
    plan.connections[0].shared_key = example_key("peer");
    plan
}

/// Everything is behind the peer, which knows our hosts by other addresses.
fn everywhere() -> Plan {
    let mut plan = with(Plan::site(1).with_mode("InitiatorOnly"), "egress_nat_rules = [\"own\"]");
    plan.space = vec!["10.1.0.0/16".to_owned()];
    plan.lan = vec!["10.1.0.1/24".to_owned()];
    plan.connections[0].prefixes = vec!["0.0.0.0/0".to_owned()];
    "VpnGw2".clone_into(&mut plan.sku);
    plan.gateway_extra = "[[nat_rule]]\nname = \"own\"\ngateway = \"gw\"\nmode = \"EgressSnat\"\ninternal_mapping = \"10.1.0.0/16\"\n\
                          external_mapping = \"100.65.0.0/16\"\n"
        .to_owned();
    plan
}

fn cases() -> Vec<Case> {
    let both = &[FAR, FAR_IPV6];
    let three = [[10, 2, 0, 1], [10, 2, 1, 1], [10, 2, 2, 1]].map(IpAddr::from);
    let custom = Plan::site(1)
        .with_mode("ResponderOnly")
        .with_policy("ike_encryption", "[\"AES256\", \"AES128\"]")
        .with_policy("ike_integrity", "\"SHA256\"")
        .with_policy("dh_group", "[\"DHGroup2\", \"DHGroup14\"]")
        .with_policy("ipsec_encryption", "[\"AES256\", \"AES128\"]")
        .with_policy("ipsec_integrity", "[\"SHA512\", \"SHA256\"]")
        .with_policy("pfs_group", "[\"PFS14\", \"None\"]");
    let pairs = "use_policy_based_traffic_selectors = true";
    let mut named = with(Plan::site(1).with_mode("InitiatorOnly"), pairs);
    named.connections[0].identities = Some(("gw.example.org".to_owned(), "keyid:branch-7".to_owned()));
    "0x#\"Rk4\\tZ8{wLp2}XsVb$Q9".clone_into(&mut named.connections[0].shared_key);
    let first = |mode: &str, pfs: &str| {
        let mut plan = Plan::site(1).with_mode(mode).with_policy("pfs_group", pfs);
        plan.connections[0].selectors =
            Some((vec!["10.1.0.0/16".to_owned()], vec!["10.2.0.0/16".to_owned()]));
        with(plan, "protocol = \"IKEv1\"")
    };
    vec![
        case("NAT rules and the way to everywhere, Crossgate begins", everywhere(), &[FAR, ANYWHERE], 1),
        case("every default, Libreswan begins", Plan::site(1).with_mode("ResponderOnly"), both, 2),
        case("names and a key that need quoting, Crossgate begins", named, both, 2),
        case("a policy with AES-CBC and an old group, Libreswan begins", custom, both, 2),
        case(
            "IKEv1 with perfect forward secrecy, Libreswan begins",
            first("ResponderOnly", "\"PFS14\""),
            &[FAR],
            1,
        ),
        case(
            "IKEv1 without perfect forward secrecy, Crossgate begins",
            first("InitiatorOnly", "\"None\""),
            &[FAR],
            1,
        ),
        case(
            "IKEv1, a policy-based gateway with three pairs, Libreswan begins",
            policy_based("protocol = \"IKEv1\"\nstart = \"OnLoad\"\nmode = \"ResponderOnly\""),
            &three,
            3,
        ),
        case(
            "a policy-based gateway with three pairs, Crossgate begins",
            policy_based("protocol = \"IKEv2\"\nstart = \"OnLoad\"\nmode = \"InitiatorOnly\""),
            &three,
            3,
        ),
        by_certificate("RSA certificates, Libreswan begins", "IKEv2", "ResponderOnly", BY_RSA),
        by_certificate("ECDSA certificates, Crossgate begins", "IKEv2", "InitiatorOnly", BY_ECDSA),
        by_certificate("IKEv1 with RSA certificates, Crossgate begins", "IKEv1", "InitiatorOnly", BY_RSA),
    ]
}

#[test]
fn libreswan_connects_with_every_configuration_that_is_written_for_it() {
    let site = Site::new(1).unwrap();
    let libreswan = Libreswan::boot(&site.gateway, &["wan"]).unwrap();
    set_up(libreswan.guest()).unwrap();
    libreswan
        .guest()
        .run(
            "ip address add 10.2.1.1/32 dev lo; ip address add 10.2.2.1/32 dev lo; ip address add 198.51.100.7/32 dev lo
             ip route add default via 192.0.2.1; ip -6 route add fd00:1::/48 dev eth0",
        )
        .unwrap();
    libreswan.trusts(&root().pem()).unwrap();
    for ([name, identity, _], kind, number) in [(BY_RSA, RSA, 4), (BY_ECDSA, KeyKind::P256, 5)] {
        libreswan.keeps(name, &certificates(identity, kind, number)).unwrap();
    }
    for case in cases() {
        met::case(case.what);
        connects(&site, &libreswan, &case).unwrap_or_else(|failure| panic!("{}: {failure}", case.what));
    }
}

fn connects(site: &Site, libreswan: &Libreswan, case: &Case) -> Result<()> {
    let gateway = Gateway::start(&site.gateway, case.plan.clone())?;
    let written = match &case.own {
        Some(own) => own.clone(),
        None => {
            let told = gateway.client(&["peer-config", "peer", "--for", "libreswan", "--with-key"])?;
            assert!(told.status.success(), "{}", told.output);
            told.output
        }
    };
    libreswan.start(&written)?;
    if case.what.ends_with("Crossgate begins") {
        // It was called while it was not there yet, and is waited for longer each time.
        gateway.ask(&["reset", "peer"])?;
    }
    let carried = carries(site, &gateway, case);
    if carried.is_err() {
        eprintln!("{written}\n{}\n{}", gateway.state(), libreswan.log());
    }
    carried?;
    gateway.stop()
}

fn carries(site: &Site, gateway: &Gateway<'_>, case: &Case) -> Result<()> {
    let pass = || {
        case.hosts.iter().try_for_each(|far| {
            let near = if far.is_ipv4() { site.ipv4() } else { site.ipv6() };
            ping_until_answered(near, *far, PATIENCE)?;
            ping(near, *far, 5, 1000, false)?.all_answered()
        })
    };
    pass()?;
    let before = sending(gateway, case.children, &[])?;
    gateway.ask(&["rekey", "peer", "--child"])?;
    sending(gateway, case.children, &before)?;
    // In IKEv1 Libreswan sends a packet in clear, which is dropped, if it is just taking the old one down.
    pass().or_else(|_| pass())
}

/// Waits until there are `count` Child SAs, all of which send and none of which is among `old`; their SPIs.
fn sending(gateway: &Gateway<'_>, count: usize, old: &[String]) -> Result<Vec<String>> {
    until(&format!("{count} Child SAs that send"), PATIENCE, || {
        let sas = gateway.sas()?;
        let spis: Vec<String> = sas.iter().map(|sa| sa["inbound_spi"].to_string()).collect();
        let is_done = sas.len() == count
            && sas.iter().all(|sa| sa["state"] == "sends")
            && !spis.iter().any(|spi| old.contains(spi));
        Ok(if is_done { Look::Holds(spis) } else { Look::NotYet(format!("{sas:?}")) })
    })
}
