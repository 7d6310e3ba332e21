//! Clients of a gateway: what is read, what is said of what does not fit, and what differs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where something is not as it expects"
)]

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use crossgate_config::{Authentication, Config, EXAMPLE, Environment, Finding, Source};
use crossgate_pki::KeyKind;
use crossgate_pki::testing::{Issued, Template, key_pem};
use zeroize::Zeroizing;

const CLIENTS: &str = "
[virtual_network_gateway.vpn_client_configuration]
vpn_client_address_pool = [\"172.16.201.0/24\"]
vpn_client_protocols = [\"IkeV2\"]
vpn_authentication_types = [\"Password\"]
certificate = \"vpn.pem\"
private_key = { file = \"vpn.key\" }
users = { file = \"users\" }
dns_servers = [\"10.1.0.53\"]
";
const USERS: &str = "# staff\n\nanna:secret of anna\nbert:with: a colon\n";

/// A directory with everything that [`CLIENTS`] names.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        let root = Issued::root(&Template::authority("Root"), &key_pem(KeyKind::P256, 1));
        let own = root.issue(&Template::peer("vpn.example.net"), &key_pem(KeyKind::P256, 2));
        files.write("vpn.pem", &own.pem());
        files.write("vpn.key", &own.key_pem);
        files.write("users", USERS);
        files
    }

    /// Reads the example with these lines in the place of what is said about passwords.
    fn read_with(&self, lines: &str) -> Result<Config, Vec<Finding>> {
        let password = "vpn_authentication_types = [\"Password\"]";
        self.read(&[(password, lines), ("users = { file = \"users\" }\n", "")])
    }

    /// What is said of them.
    fn said_of(&self, lines: &str) -> String {
        let findings = self.read_with(lines).unwrap_err();
        findings.iter().map(|found| format!("{}: {}; {}\n", found.key, found.problem, found.remedy)).collect()
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.0.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    }

    /// Reads the example with changes, and clients at the end.
    fn read(&self, changes: &[(&str, &str)]) -> Result<Config, Vec<Finding>> {
        let mut text = EXAMPLE.replace("{ file = \"a-to-b.psk\" }", "{ env = \"PSK\" }") + CLIENTS;
        for (from, to) in changes {
            assert!(text.contains(from), "{from}");
            text = text.replace(from, to);
        }
        self.parse(&text)
    }

    fn parse(&self, text: &str) -> Result<Config, Vec<Finding>> {
        let user_id = fs::metadata(self.0.path()).unwrap().uid();
        let variable = |_: &str| Some(Zeroizing::new("q3G8vN1xZk0TtYw2bLr5HfPjC7sD9mA".to_owned()));
        let environment = Environment { cores: BTreeSet::from([0]), user_id, variable: &variable };
        let file = self.0.path().join("gw.toml");
        let checked = Config::parse(Source { file: &file, text }, &environment).map_err(|found| found.0)?;
        Ok(checked.config)
    }

    /// What is said of these changes: key, problem and remedy of each finding.
    fn said(&self, changes: &[(&str, &str)]) -> String {
        let findings = self.read(changes).unwrap_err();
        let lines =
            findings.iter().map(|found| format!("{}: {}; {}", found.key, found.problem, found.remedy));
        lines.collect::<Vec<_>>().join("\n")
    }
}

#[test]
fn clients_are_one_more_connection_that_reaches_the_network_and_the_other_clients() {
    let config = Files::new().read(&[]).unwrap();
    let connection = &config.connections()["gw-clients"];
    assert!(connection.is_of_clients() && !config.connections()["a-to-b"].is_of_clients());
    let texts = |prefixes: &[ipnet::IpNet]| prefixes.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(texts(&connection.traffic_selectors.local), ["10.1.0.0/16", "172.16.201.0/24"]);
    assert_eq!(texts(&connection.traffic_selectors.remote), ["172.16.201.0/24"]);
    let Authentication::Login(clients) = &connection.authentication else { panic!("a log-in") };
    let users: Vec<_> = clients.users.as_ref().unwrap().expose().collect();
    assert_eq!(users, [("anna", "secret of anna"), ("bert", "with: a colon")]);
    assert_eq!((clients.server_name.to_string().as_str(), clients.sessions_max), ("vpn.example.net", 250));
    assert!(!format!("{config:?}").contains("secret of anna"));
}

/// A network that is peered with the gateway's; `back` is said of its way there.
fn spoke(more: &str, back: &str) -> String {
    format!(
        "dns_servers = [\"10.1.0.53\"]\n[[virtual_network]]\nname = \"spoke\"\naddress_space = [\"10.3.0.0/16\", \"fd00:3::/48\"]\n\
         port = \"lan\"\nvlan = 13\naddresses = [\"10.3.0.1/24\"]\n{more}\
         [[virtual_network_peering]]\nname = \"there\"\nvirtual_network = \"site-a\"\nremote_virtual_network = \"spoke\"\n\
         allow_gateway_transit = true\n\
         [[virtual_network_peering]]\nname = \"back\"\nvirtual_network = \"spoke\"\nremote_virtual_network = \"site-a\"\n{back}\n"
    )
}

#[test]
fn clients_reach_the_networks_that_use_the_gateway_and_no_other_peered_one() {
    let files = Files::new();
    let dns = "dns_servers = [\"10.1.0.53\"]\n";
    let reached = |back: &str| -> Vec<String> {
        let config = files.read(&[(dns, &spoke("", back))]).unwrap();
        let connection = &config.connections()["gw-clients"];
        connection.traffic_selectors.local.iter().map(ToString::to_string).collect()
    };
    let own = ["10.1.0.0/16", "172.16.201.0/24"];
    assert_eq!(reached(""), own);
    assert_eq!(reached("use_remote_gateways = true"), [own[0], "10.3.0.0/16", own[1]]);
    let with = |more: &str, pool: &str| {
        let spoke = spoke(more, "use_remote_gateways = true");
        files.said(&[(dns, &spoke), ("[\"172.16.201.0/24\"]", &format!("[\"{pool}\"]"))])
    };
    let said = with("", "10.3.8.0/24");
    assert!(said.contains("10.3.0.0/16 of \"spoke\" overlaps 10.3.8.0/24 of \"gw-clients\""), "{said}");
    let route = "routes = [{ prefix = \"172.16.201.0/24\", next_hop = \"10.3.0.9\" }]\n";
    let said = with(route, "172.16.201.0/24");
    assert!(said.contains("would take packets for 172.16.201.0/24 of \"gw-clients\" elsewhere"), "{said}");
}

#[test]
fn what_does_not_fit_is_told_with_what_to_do() {
    let files = Files::new();
    let pool = "vpn_client_address_pool = [\"172.16.201.0/24\"]";
    let with_pool = |prefix: &str| format!("vpn_client_address_pool = [\"{prefix}\"]");
    for (from, to, expected) in [
        (
            pool,
            with_pool("10.1.8.0/24").as_str(),
            "10.1.8.0/24 overlaps 10.1.0.0/16 of the network \"site-a\"",
        ),
        (pool, &with_pool("10.2.8.0/24"), "10.2.8.0/24 overlap 10.2.0.0/16 behind the connection \"a-to-b\""),
        (pool, "", "vpn_client_address_pool"),
        ("max_tunnels = 8192", "max_tunnels = 250", "its 250 clients are too many for this appliance"),
        ("\"IkeV2\"", "\"SSTP\"", "clients over SSTP are not supported"),
        ("\"Password\"", "\"AAD\"", "logging in at a cloud's directory is not supported"),
        ("\"Password\"", "\"Radius\"", "clients log in by RADIUS, and there are 0 servers"),
        ("\"Password\"", "\"Certificate\"", "clients log in by certificate, but no authority issues any"),
        (
            "\"Password\"",
            "\"Certificate\"",
            "users means nothing where clients do not log in by \"Password\"",
        ),
        ("\"Password\"", "\"Password\", \"Radius\"", "passwords are either for the RADIUS server to judge"),
        ("sku = \"VpnGw1\"", "sku = \"Basic\"", "have no clients over IKEv2"),
        ("\"RouteBased\"", "\"PolicyBased\"", "gateways that are PolicyBased or of size Basic"),
        (
            "routes = []",
            "routes = [{ prefix = \"172.16.201.128/25\", next_hop = \"10.1.0.9\" }]",
            "past the tunnels, in clear",
        ),
        (
            "address_space = [\"10.1.0.0/16\", \"fd00:1::/48\"]",
            "address_space = [\"fd00:1::/48\"]",
            "has no address of the family of 172.16.201.0/24",
        ),
        ("name = \"a-to-b\"", "name = \"gw-clients\"", "is taken or too long"),
        ("users = { file = \"users\" }", "users = \"anna:secret of anna\"", "users = { file = \"FILE\" }"),
        ("dns_servers", "dns_server", "dns_server"),
    ] {
        let said = files.said(&[(from, to)]);
        assert!(said.contains(expected), "{to}: {said}");
        assert!(!said.contains("secret of anna"), "{said}");
    }
}

#[test]
fn clients_are_offered_what_a_connection_without_a_policy_offers() {
    let files = Files::new();
    let (before, rest) = EXAMPLE.split_once("[connection.policy]").unwrap();
    let (_, after) = rest.split_once("[connection.traffic_selectors]").unwrap();
    let text = format!("{before}[connection.traffic_selectors]{after}{CLIENTS}");
    let config = files.parse(&text.replace("{ file = \"a-to-b.psk\" }", "{ env = \"PSK\" }")).unwrap();
    let policy = |name: &str| &config.connections()[name].policy;
    assert_eq!(policy("gw-clients"), policy("a-to-b"));
}

#[test]
fn a_slip_in_the_file_of_users_is_told_by_its_line_and_shows_no_password() {
    let files = Files::new();
    for (text, expected) in [
        ("anna:secret of anna\nbert secret of bert\n", "line 2 of the file of users is no NAME:PASSWORD"),
        (":secret of anna\n", "line 1"),
        ("anna smith:secret of anna\n", "without blanks and backslashes"),
        ("anna:secret of anna\nanna:secret of bert\n", "line 2 of the file of users names \"anna\" again"),
        ("anna:secret\n", "fewer than 8 characters"),
    ] {
        files.write("users", text);
        let said = files.said(&[]);
        assert!(said.contains(expected) && !said.contains("secret"), "{text}: {said}");
    }
}

#[test]
fn other_users_at_the_same_place_are_a_difference_and_what_is_exported_is_read_again() {
    let files = Files::new();
    let one = files.read(&[]).unwrap();
    let exported = one.to_toml();
    assert!(!exported.contains("secret of anna") && !exported.contains("gw-clients"), "{exported}");
    assert_eq!(files.parse(&exported).unwrap(), one, "{exported}");
    files.write("users", "bert:another secret\n");
    let other = files.read(&[]).unwrap();
    let told: Vec<String> = one.differences(&other).iter().map(ToString::to_string).collect();
    let key = "virtual_network_gateway[gw].vpn_client_configuration.users";
    assert_eq!(told, [format!("{key}: (what was there) -> (other contents)")]);
}

/// What a client's configuration comes to.
fn clients(config: &Config) -> &crossgate_config::VpnClientConfiguration {
    config.gateways()["gw"].vpn_client.as_ref().unwrap()
}

#[test]
fn certificates_of_clients_are_believed_by_their_authorities_but_for_the_revoked() {
    let files = Files::new();
    let root = Issued::root(&Template::authority("Clients"), &key_pem(KeyKind::P256, 5));
    let end = root.issue(&Template::peer("anna"), &key_pem(KeyKind::P256, 6));
    files.write("clients.pem", &root.pem());
    let body: String = root.pem().lines().filter(|line| !line.starts_with('-')).collect();
    let lines = |roots: &str, revoked: &str| {
        format!(
            "vpn_authentication_types = [\"Certificate\"]
vpn_client_root_certificates = [{roots}]
vpn_client_revoked_certificates = [{revoked}]"
        )
    };
    let by_file = "{ name = \"Clients\", file = \"clients.pem\" }";
    let by_data = format!("{{ name = \"Clients\", public_cert_data = \"{body}\" }}");
    for roots in [by_file, &by_data] {
        let config = files.read_with(&lines(roots, "")).unwrap();
        let certificates = clients(&config).certificates.as_ref().unwrap();
        let verdict = certificates.trust.verify(&end.certificate(), &[], crossgate_pki::testing::NOW);
        assert_eq!(verdict, Ok(()));
        let server = root.issue(&Template::peer("intranet").for_servers(), &key_pem(KeyKind::P256, 6));
        let verdict = certificates.trust.verify(&server.certificate(), &[], crossgate_pki::testing::NOW);
        assert!(verdict.unwrap_err().to_string().contains("clientAuth"), "a server's is no client's");
        assert!(clients(&config).users.is_none());
        assert_eq!(files.parse(&config.to_toml()).unwrap(), config, "{}", config.to_toml());
    }
    let thumbprint: Vec<String> =
        end.certificate().thumbprint().iter().map(|byte| format!("{byte:02x}")).collect();
    for written in [thumbprint.concat(), thumbprint.join(":").to_uppercase()] {
        let revoked = format!("{{ name = \"lost\", thumbprint = \"{written}\" }}");
        let config = files.read_with(&lines(by_file, &revoked)).unwrap();
        let certificates = clients(&config).certificates.as_ref().unwrap();
        let verdict = certificates.trust.verify(&end.certificate(), &[], crossgate_pki::testing::NOW);
        assert!(verdict.unwrap_err().to_string().contains("by its thumbprint"));
        assert_eq!(files.parse(&config.to_toml()).unwrap(), config, "{}", config.to_toml());
    }
    files.write("end.pem", &end.pem());
    for (roots, revoked, expected) in [
        ("{ name = \"a\", file = \"end.pem\" }", "", "is no authority's"),
        ("{ name = \"a\" }", "", "has either public_cert_data or a file"),
        ("{ name = \"a\", public_cert_data = \"MIIB\" }", "", "public_cert_data is no certificate"),
        (by_file, "{ name = \"lost\", thumbprint = \"12\" }", "is no thumbprint"),
    ] {
        let said = files.said_of(&lines(roots, revoked));
        assert!(said.contains(expected), "{said}");
    }
    // Another authority in the same file is a difference.
    let one = files.read_with(&lines(by_file, "")).unwrap();
    files.write(
        "clients.pem",
        &Issued::root(&Template::authority("Others"), &key_pem(KeyKind::P256, 7)).pem(),
    );
    let other = files.read_with(&lines(by_file, "")).unwrap();
    let told: Vec<String> = one.differences(&other).iter().map(ToString::to_string).collect();
    assert!(told.concat().contains("vpn_client_root_certificates: (what was there)"), "{told:?}");
}

#[test]
fn radius_servers_stand_in_the_order_of_their_scores() {
    let files = Files::new();
    files.write("radius.secret", "q3G8vN1xZk0TtYw2bLr5HfPjC7sD9mA");
    let lines =
        |servers: &str| format!("vpn_authentication_types = [\"Radius\"]\nradius_servers = [{servers}]");
    let secret = "secret = { file = \"radius.secret\" }";
    let two = format!(
        "{{ address = \"10.1.0.5\", score = 5, {secret} }}, {{ address = \"fd00::5\", port = 1645, {secret} }}"
    );
    let config = files.read_with(&lines(&two)).unwrap();
    let servers: Vec<String> =
        clients(&config).radius.iter().flatten().map(|server| server.address.to_string()).collect();
    assert_eq!(servers, ["[fd00::5]:1645", "10.1.0.5:1812"]);
    let exported = config.to_toml();
    assert!(!exported.contains("q3G8vN1xZk0"), "{exported}");
    assert_eq!(files.parse(&exported).unwrap(), config, "{exported}");
    let same = format!("{{ address = \"10.1.0.5\", {secret} }}, {{ address = \"10.1.0.5\", {secret} }}");
    for (servers, expected) in [
        (same.as_str(), "is there twice"),
        (
            "{ address = \"10.1.0.5\", secret = \"q3G8vN1xZk0\" }",
            "a secret stands in the configuration itself",
        ),
        ("{ address = \"10.1.0.5\" }", "the key secret is missing"),
        ("{ address = \"radius\", secret = { env = \"PSK\" } }", "address"),
    ] {
        let said = files.said_of(&lines(servers));
        assert!(said.contains(expected) && !said.contains("q3G8vN1xZk0"), "{said}");
    }
}

#[test]
fn addresses_of_clients_are_not_behind_a_circuit_nor_on_its_link() {
    let files = Files::new();
    let circuit = |address: &str, router: &str, prefix: &str| {
        format!(
            "dns_servers = [\"10.1.0.53\"]\n[[port]]\nname = \"edge\"\ndevice = \"net_null9\"\n\
             [[express_route_circuit]]\nname = \"line\"\nport = \"edge\"\naddresses = [\"{address}\"]\n\
             next_hops = [\"{router}\"]\nprefixes = [\"{prefix}\"]\n\
             [[virtual_network_gateway]]\nname = \"er\"\nvirtual_network = \"site-a\"\ntype = \"ExpressRoute\"\n\
             [[connection]]\nname = \"by-line\"\ntype = \"ExpressRoute\"\ngateway = \"er\"\nexpress_route_circuit = \"line\"\n"
        )
    };
    let dns = "dns_servers = [\"10.1.0.53\"]\n";
    for prefix in ["172.16.201.0/24", "172.16.201.64/26", "172.16.0.0/12"] {
        let said = files.said(&[(dns, &circuit("192.168.9.1/30", "192.168.9.2", prefix))]);
        let expected =
            format!("{prefix} of the circuit \"line\" overlaps 172.16.201.0/24 behind \"gw-clients\"");
        assert!(said.contains(&expected), "{said}");
    }
    let said = files.said(&[(dns, &circuit("172.16.201.1/30", "172.16.201.2", "10.7.0.0/16"))]);
    assert!(said.contains("172.16.201.0/30 of the circuit \"line\" overlaps 172.16.201.0/24"), "{said}");
    for prefix in ["0.0.0.0/0", "10.7.0.0/16"] {
        files.read(&[(dns, &circuit("192.168.9.1/30", "192.168.9.2", prefix))]).unwrap();
    }
}
