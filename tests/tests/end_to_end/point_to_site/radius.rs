//! Clients whose passwords and certificates a RADIUS server judges (FreeRADIUS), and what is said when it refuses, keeps silent or has another secret.

use crossgate_pki::Subject;
use crossgate_tests::namespace::cable;
use crossgate_tests::radius::{FreeRadius, Radius};

use super::*;

const SECRET: &str = "q3G8vN1xZk0TtYw2bLr5HfPjC7sD9mA";
const SERVER: &str = "172.31.0.2";
/// Nobody is there.
const SILENT: &str = "172.31.0.3";

/// A gateway that asks these servers, the first one first, with this secret.
fn plan_of(own: &Issued, servers: &[&str], secret: &str) -> Plan {
    let mut plan = plan(own);
    plan.files.retain(|(name, _)| *name != "users");
    plan.files.push(("radius.secret", secret.to_owned()));
    let server = |(at, address): (usize, &&str)| {
        format!(
            "{{ address = \"{address}\", score = {}, secret = {{ file = \"FOLDER/radius.secret\" }} }}",
            30 - at
        )
    };
    let servers = servers.iter().enumerate().map(server).collect::<Vec<_>>().join(", ");
    let words = "vpn_authentication_types = [\"Password\"]";
    let radius = format!("vpn_authentication_types = [\"Radius\"]\nradius_servers = [{servers}]");
    plan.gateway_extra =
        plan.gateway_extra.replace(words, &radius).replace("users = { file = \"FOLDER/users\" }\n", "");
    plan
}

#[test]
fn a_radius_server_judges_passwords_and_certificates_and_its_silence_is_told() {
    let (wan, site) = (Wan::new().unwrap(), Site::new(1).unwrap());
    wan.plug(1, &site.gateway, "wan").unwrap();
    let place = place(&wan, 5).unwrap();
    let server = Namespace::new("radius", Stack::Kernel).unwrap();
    cable((&site.gateway, "office"), (&server, "office"), 1500).unwrap();
    site.gateway.address("office", "172.31.0.1/24").unwrap();
    server.address("office", "172.31.0.2/24").unwrap();
    let (root, own) = issued();
    let clients = Issued::root(&valid(Template::authority("Clients")), &key_pem(KeyKind::P256, 11));
    let of_server = root.issue(&valid(Template::peer(OURS)), &key_pem(KeyKind::P256, 14));
    let radius = Radius {
        gateway: "172.31.0.1",
        secret: SECRET,
        users: &[("anna", "secret of anna")],
        certificates: [&of_server.pem(), &of_server.key_pem, &clients.pem()],
    };
    let server = FreeRadius::start(&server, &radius).unwrap();
    let mut gateway = Gateway::start(&site.gateway, plan_of(&own, &[SILENT, SERVER], SECRET)).unwrap();
    // The first server keeps silent, the second one answers.
    let anna = client(&place, &root, "anna", "secret of anna").unwrap();
    anna.initiate().unwrap_or_else(|error| panic!("{error}\n{}\n{}", gateway.state(), server.log()));
    has_clients(&gateway, 1).unwrap();
    reach_each_other(Host::new(&place, "172.16.201.1"), site.ipv4()).unwrap();
    assert_eq!(users_of(&gateway).unwrap(), ["anna at 172.16.201.1/32"]);
    anna.terminate().unwrap();
    has_clients(&gateway, 0).unwrap();
    drop(anna);
    let refused = client(&place, &root, "anna", "another secret").unwrap();
    assert!(refused.initiate().is_err(), "{}", gateway.state());
    gateway
        .fails_with("gw-clients", "the RADIUS server refuses the client that calls itself \"anna\"")
        .unwrap();
    gateway.says("the RADIUS server refuses the client").unwrap();
    drop(refused);

    let mut template = valid(Template::peer("bert@example.org"));
    template.names = vec![Subject::Email("bert@example.org".to_owned())];
    let bert = clients.issue(&template, &key_pem(KeyKind::P256, 25));
    let bert = certificates::bearer(&place, &root, &bert, ("bert@example.org", "eap-tls", "1.2")).unwrap();
    bert.initiate().unwrap_or_else(|error| panic!("{error}\n{}\n{}", gateway.state(), server.log()));
    has_clients(&gateway, 1).unwrap();
    reach_each_other(Host::new(&place, "172.16.201.1"), site.ipv4()).unwrap();
    bert.terminate().unwrap();
    drop(bert);

    // A server says nothing to a wrong secret.
    gateway.reload(plan_of(&own, &[SERVER], "wQ7dR2kXz9LmB4vT8nYc6HsJ1pGf3aE")).unwrap();
    let unheard = client(&place, &root, "anna", "secret of anna").unwrap();
    assert!(unheard.initiate().is_err(), "{}", gateway.state());
    gateway.fails_with("gw-clients", "no RADIUS server answers").unwrap();
    gateway.says("no RADIUS server answers").unwrap();
    gateway.stop().unwrap();
}
