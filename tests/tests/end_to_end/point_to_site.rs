//! Clients with strongSwan: they log in by name and password (EAP-MSCHAPv2 after EAP-Identity), get an address of the pool and reach the network; several at once, and reasons that are told.

use crossgate_pki::testing::{Issued, Template, key_pem};
use crossgate_pki::{KeyKind, UnixTime};
use crossgate_tests::capture::{Capture, Kind};
use crossgate_tests::certificates::Certificates;
use crossgate_tests::failure::Result;
use crossgate_tests::gateway::{Gateway, Plan, Reason};
use crossgate_tests::namespace::{Namespace, Stack, cable};
use crossgate_tests::sites::{Site, Wan};
use crossgate_tests::strongswan::{Settings, StrongSwan};
use crossgate_tests::traffic::{Host, MARK, ping, ping_until_answered};
use crossgate_tests::wait::{Look, until};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

mod certificates;
mod radius;

const PATIENCE: Duration = Duration::from_secs(40);
const FRAMES_MAX: u32 = 10_000;
const OURS: &str = "gw.example.org";
const DAY: u64 = 86_400;
/// Who may log in.
const WHO: [&str; 3] = ["anna", "bert", "carl"];

fn valid(template: Template) -> Template {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is past 1970").as_secs();
    template.valid(UnixTime(now - 20 * DAY), UnixTime(now + 30 * DAY))
}

/// The authority, and the gateway's certificate.
pub(super) fn issued() -> (Issued, Issued) {
    let root = Issued::root(&valid(Template::authority("Root")), &key_pem(KeyKind::P256, 1));
    let own = root.issue(&valid(Template::peer(OURS)), &key_pem(KeyKind::P256, 2));
    (root, own)
}

/// A file of users whose password is "secret of" and the name.
fn users(names: &[&str]) -> String {
    names
        .iter()
        .fold("# who may log in\n".to_owned(), |text, name| text + &format!("{name}:secret of {name}\n"))
}

/// What the gateway proves itself with, and who may log in.
pub(super) fn files(own: &Issued, names: &[&str]) -> Vec<(&'static str, String)> {
    vec![("vpn.pem", own.pem()), ("vpn.key", own.key_pem.clone()), ("users", users(names))]
}

/// The example on the interfaces that a site of the lab has.
fn example(own: &Issued) -> Plan {
    let text = include_str!("../../../config/examples/clients.toml");
    let text = text.replace("iface=wan0", "iface=wan").replace("iface=lan0", "iface=lan");
    Plan { files: files(own, &WHO), ..Plan::example(&text, &[]) }
}

/// A gateway with room for two clients.
fn plan(own: &Issued) -> Plan {
    let mut plan = Plan::site(1);
    plan.connections.clear();
    plan.files = files(own, &WHO);
    plan.gateway_extra = password_clients("172.16.201.0/30");
    plan
}

/// The part of a gateway for clients that log in by password and get an address of `pool`.
pub(super) fn password_clients(pool: &str) -> String {
    format!(
        "[virtual_network_gateway.vpn_client_configuration]
vpn_client_address_pool = [\"{pool}\"]
vpn_client_protocols = [\"IkeV2\"]
vpn_authentication_types = [\"Password\"]
certificate = \"FOLDER/vpn.pem\"
private_key = {{ file = \"FOLDER/vpn.key\" }}
users = {{ file = \"FOLDER/users\" }}
dns_servers = [\"10.1.0.53\"]
"
    )
}

/// A client's configuration, with what its part and its secrets say.
fn connection(local: &str, secrets: &str) -> String {
    format!(
        "connections {{
    peer {{
        version = 2
        local_addrs = %any
        remote_addrs = 192.0.2.1
        vips = 0.0.0.0
        proposals = aes256gcm16-prfsha384-ecp384
        local {{
            {local}
        }}
        remote {{
            auth = pubkey
            id = {OURS}
        }}
        children {{
            net {{
                remote_ts = 10.0.0.0/8, 172.16.201.0/24
                esp_proposals = aes256gcm16-ecp384
            }}
        }}
    }}
}}
secrets {{
    {secrets}
}}
"
    )
}

/// A client of this name with this password.
pub(super) fn client<'a>(
    place: &'a Namespace,
    root: &Issued,
    user: &str,
    password: &str,
) -> Result<StrongSwan<'a>> {
    let text = connection(
        &format!("auth = eap-mschapv2\nid = {user}@laptop.example\neap_id = {user}"),
        &format!("eap-user {{\nid = {user}\nsecret = \"{password}\"\n}}"),
    );
    // It has no certificate of its own to show; whom it trusts is what counts.
    let certificates = Certificates {
        own: root.pem(),
        key: root.key_pem.clone(),
        anchors: vec![root.pem()],
        ..Certificates::default()
    };
    let settings = Settings { instead: Some(text), certificates: Some(certificates), ..Settings::default() };
    StrongSwan::start(place, &settings)
}

pub(super) fn place(wan: &Wan, number: u8) -> Result<Namespace> {
    let place = Namespace::new(&format!("client-{number}"), Stack::Kernel)?;
    wan.plug(number, &place, "wan")?;
    place.address("wan", &format!("192.0.2.{number}/24"))?;
    Ok(place)
}

/// Who is logged in, with which address, as the console says.
fn users_of(gateway: &Gateway<'_>) -> Result<Vec<String>> {
    let word = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let user =
        |sa: &serde_json::Value| format!("{} at {}", word(&sa["user"]), word(&sa["remote_selectors"][0]));
    let mut users: Vec<String> = gateway.sas()?.iter().map(user).collect();
    users.sort();
    Ok(users)
}

/// Waits until so many clients are up.
fn has_clients(gateway: &Gateway<'_>, count: usize) -> Result<()> {
    until(&format!("{count} clients"), PATIENCE, || {
        let sas = gateway.sas()?;
        Ok(Look::when(sas.len() == count, || format!("{sas:?}")))
    })
}

#[test]
fn clients_log_in_get_addresses_and_reach_the_network_and_each_other() {
    let (wan, site) = (Wan::new().unwrap(), Site::new(1).unwrap());
    wan.plug(1, &site.gateway, "wan").unwrap();
    let places = [5, 6, 7].map(|number| place(&wan, number).unwrap());
    let [at_anna, at_bert, at_carl] = &places;
    let (root, own) = issued();
    let gateway = Gateway::start(&site.gateway, plan(&own)).unwrap();
    let wire = Capture::start(at_anna, "wan", FRAMES_MAX).unwrap();
    let anna = client(at_anna, &root, "anna", "secret of anna").unwrap();
    anna.initiate().unwrap();
    has_clients(&gateway, 1).unwrap();
    let (inside, anna_at) = (site.ipv4(), Host::new(at_anna, "172.16.201.1"));
    reach_each_other(anna_at, inside).unwrap();

    let bert = client(at_bert, &root, "bert", "secret of bert").unwrap();
    bert.initiate().unwrap();
    has_clients(&gateway, 2).unwrap();
    let bert_at = Host::new(at_bert, "172.16.201.2");
    reach_each_other(bert_at, inside).unwrap();
    reach_each_other(anna_at, bert_at).unwrap();
    assert_eq!(users_of(&gateway).unwrap(), ["anna at 172.16.201.1/32", "bert at 172.16.201.2/32"]);
    let wire = wire.stop().unwrap();
    let clear = wire.clear(MARK, &[anna_at.address, bert_at.address, inside.address]);
    let sealed = wire.count(Kind::Esp) + wire.count(Kind::EspInUdp);
    assert!(clear == 0 && sealed > 40, "{}", wire.summary());
    // There is no address for a third one, which is told so and takes nothing from the others.
    let carl = client(at_carl, &root, "carl", "secret of carl").unwrap();
    assert!(carl.initiate().is_err(), "{}", gateway.state());
    gateway.fails_with("gw-clients", "no address is left").unwrap();
    carl.says("INTERNAL_ADDRESS_FAILURE").unwrap();
    carl.terminate().unwrap();
    // Rekeys of both kinds from both sides leave each with its own.
    anna.rekey_ike().unwrap();
    anna.rekey_child().unwrap();
    bert.gets_another_ike_sa(|| gateway.rekey_ike("gw-clients")).unwrap();
    reach_each_other(anna_at, inside).unwrap();
    reach_each_other(anna_at, bert_at).unwrap();
    // Who leaves gives the address back to the next one, and the other one stays.
    anna.terminate().unwrap();
    has_clients(&gateway, 1).unwrap();
    carl.initiate().unwrap();
    has_clients(&gateway, 2).unwrap();
    let carl_at = Host::new(at_carl, "172.16.201.1");
    reach_each_other(carl_at, inside).unwrap();
    reach_each_other(bert_at, carl_at).unwrap();
    gateway.stop().unwrap();
}

/// Both ways, with long packets and with short ones.
fn reach_each_other(one: Host<'_>, other: Host<'_>) -> Result<()> {
    ping_until_answered(one, other.address, PATIENCE)?;
    ping(one, other.address, 5, 1_300, false)?.all_answered()?;
    ping(other, one.address, 5, 100, false)?.all_answered()
}

/// Two networks beside the one of the gateway, on the interfaces "spoke" and "other". Both are peered with it, the first alone uses its gateway.
fn peered() -> String {
    let network = |number: u8, name: &str, back: &str| {
        format!(
            "
[[port]]
name = \"{name}\"
device = \"net_af_packet{number},iface={name},blocksz=4096,framesz=2048,framecnt=4096,qdisc_bypass=0\"
[[virtual_network]]
name = \"{name}\"
address_space = [\"10.{number}.0.0/16\"]
port = \"{name}\"
addresses = [\"10.{number}.0.1/24\"]
[[virtual_network_peering]]
name = \"to-{name}\"
virtual_network = \"site\"
remote_virtual_network = \"{name}\"
allow_gateway_transit = true
[[virtual_network_peering]]
name = \"from-{name}\"
virtual_network = \"{name}\"
remote_virtual_network = \"site\"
{back}
"
        )
    };
    network(5, "spoke", "use_remote_gateways = true") + &network(6, "other", "")
}

#[test]
fn a_client_reaches_the_network_that_uses_the_gateway_and_not_one_that_is_merely_peered() {
    let (wan, site) = (Wan::new().unwrap(), Site::new(1).unwrap());
    wan.plug(1, &site.gateway, "wan").unwrap();
    let hosts = [(5, "spoke"), (6, "other")].map(|(number, name)| {
        let host = Namespace::new(name, Stack::Kernel).unwrap();
        cable((&site.gateway, name), (&host, "lan"), 1500).unwrap();
        host.address("lan", &format!("10.{number}.0.10/24")).unwrap();
        host.route("default", &format!("10.{number}.0.1")).unwrap();
        host
    });
    let [spoke, other] = [(0, "10.5.0.10"), (1, "10.6.0.10")].map(|(at, of)| Host::new(&hosts[at], of));
    let place = place(&wan, 5).unwrap();
    let (root, own) = issued();
    let mut plan = plan(&own);
    plan.gateway_extra += &peered();
    let gateway = Gateway::start(&site.gateway, plan).unwrap();
    let anna = client(&place, &root, "anna", "secret of anna").unwrap();
    anna.initiate().unwrap();
    has_clients(&gateway, 1).unwrap();
    // It asked for more, and what it was given is where it sends.
    anna.has("remote 10.1.0.0/16 10.5.0.0/16 172.16.201.0/30").unwrap();
    let anna_at = Host::new(&place, "172.16.201.1");
    reach_each_other(anna_at, site.ipv4()).unwrap();
    reach_each_other(anna_at, spoke).unwrap();
    ping(spoke, site.ipv4().address, 5, 100, false).unwrap().all_answered().unwrap();
    ping(other, site.ipv4().address, 5, 100, false).unwrap().all_answered().unwrap();
    ping(other, anna_at.address, 5, 100, false).unwrap().none_answered().unwrap();
    gateway.stop().unwrap();
}

#[test]
fn a_client_of_the_example_gets_an_address_and_reaches_the_network() {
    let (wan, site) = (Wan::new().unwrap(), Site::new(1).unwrap());
    wan.plug(1, &site.gateway, "wan").unwrap();
    let place = place(&wan, 5).unwrap();
    let (root, own) = issued();
    let gateway = Gateway::start(&site.gateway, example(&own)).unwrap();
    let anna = client(&place, &root, "anna", "secret of anna").unwrap();
    anna.initiate().unwrap();
    has_clients(&gateway, 1).unwrap();
    assert_eq!(users_of(&gateway).unwrap(), ["anna at 172.16.201.1/32"]);
    reach_each_other(Host::new(&place, "172.16.201.1"), site.ipv4()).unwrap();
    gateway.stop().unwrap();
}

#[test]
fn who_may_not_log_in_is_refused_with_the_reason_and_who_may_not_any_more_is_cut_off() {
    let (wan, site) = (Wan::new().unwrap(), Site::new(1).unwrap());
    wan.plug(1, &site.gateway, "wan").unwrap();
    let place = place(&wan, 5).unwrap();
    let (root, own) = issued();
    let mut gateway = Gateway::start(&site.gateway, plan(&own)).unwrap();
    let counter = "failed_wrong_password";
    for (user, password, problem, remedy) in [
        (
            "anna",
            "another secret",
            "the password of the user \"anna\" is wrong",
            "at the client, or in the file of users here",
        ),
        ("dora", "secret of dora", "there is no user \"dora\"", "here, or correct the name at the client"),
    ] {
        let refused = client(&place, &root, user, password).unwrap();
        assert!(refused.initiate().is_err(), "{}", gateway.state());
        gateway.tells("gw-clients", &Reason { problem, counter, remedy }).unwrap();
        assert!(gateway.sas().unwrap().is_empty(), "{}", gateway.state());
    }
    // A client that does not know the authority of the gateway's certificate shows nobody its password.
    let stranger = Issued::root(&valid(Template::authority("Other")), &key_pem(KeyKind::P256, 3));
    let suspicious = client(&place, &stranger, "anna", "secret of anna").unwrap();
    assert!(suspicious.initiate().is_err(), "{}", gateway.state());
    let problem = "the peer refused this side's identity or certificate";
    let (counter, remedy) =
        ("failed_certificate_refused", "check that the peer trusts the CA of this gateway");
    gateway.tells("gw-clients", &Reason { problem, counter, remedy }).unwrap();
    drop(suspicious);

    let anna = client(&place, &root, "anna", "secret of anna").unwrap();
    anna.initiate().unwrap();
    has_clients(&gateway, 1).unwrap();
    let mut fewer = plan(&own);
    fewer.files.retain(|(name, _)| *name != "users");
    fewer.files.push(("users", users(&["bert"])));
    gateway.reload(fewer).unwrap();
    has_clients(&gateway, 0).unwrap();
    anna.is_down().unwrap();
    gateway.stop().unwrap();
}

#[test]
fn clients_have_the_same_addresses_after_the_gateway_was_stopped_and_after_it_was_killed() {
    let (wan, site) = (Wan::new().unwrap(), Site::new(1).unwrap());
    wan.plug(1, &site.gateway, "wan").unwrap();
    let places = [5, 6].map(|number| place(&wan, number).unwrap());
    let (root, own) = issued();
    let mut gateway = Gateway::start(&site.gateway, plan(&own)).unwrap();
    let mut clients = [("anna", &places[0]), ("bert", &places[1])].map(|(user, place)| {
        let client = client(place, &root, user, &format!("secret of {user}")).unwrap();
        client.initiate().unwrap();
        client
    });
    has_clients(&gateway, 2).unwrap();
    let had = ["anna at 172.16.201.1/32", "bert at 172.16.201.2/32"];
    assert_eq!(users_of(&gateway).unwrap(), had);
    let sessions = gateway.ask(&["gateways"]).unwrap()[0]["clients"]["sessions"].clone();
    assert_eq!(sessions, 2);
    for restart in [Gateway::stop_and_restart, Gateway::kill_and_restart] {
        restart(&mut gateway).unwrap();
        // In the other order, and without anything that a client would remember.
        for client in clients.iter_mut().rev() {
            client.kill_and_restart().unwrap();
            client.initiate().unwrap();
        }
        has_clients(&gateway, 2).unwrap();
        assert_eq!(users_of(&gateway).unwrap(), had, "{}", gateway.state());
        reach_each_other(Host::new(&places[1], "172.16.201.2"), site.ipv4()).unwrap();
    }
    gateway.stop().unwrap();
}
