//! The other side's configuration for every system, word by word: each file of `tests/peer_config` is one, reviewed by a person.
//! `CROSSGATE_BLESS=1 cargo test` writes them anew, to be read and judged before they are committed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where something is not as it expects"
)]

use std::collections::BTreeSet;
use std::path::Path;

use crossgate_config::peer_config::{KeyText, PeerConfigError, System};
use crossgate_config::{Authentication, Choice, Config, Environment, Source};
use crossgate_pki::KeyKind;
use crossgate_pki::testing::{Issued, Template, key_pem};
use zeroize::Zeroizing;

const BASE: &str = include_str!("findings/base.toml");
const KEY: &str = "q3G8vN1x+Zk0TtYw2bLr5HfPjC7sD9mA";

fn config_with_key(text: &str, key: &'static str) -> Config {
    let variable = move |_: &str| Some(Zeroizing::new(key.to_owned()));
    let environment = Environment { cores: BTreeSet::from([0, 1]), user_id: 0, variable: &variable };
    match Config::parse(Source { file: Path::new("gw.toml"), text }, &environment) {
        Ok(checked) => checked.config,
        Err(findings) => panic!("{findings}"),
    }
}

/// The gateway's certificate, its authority, and the other side's certificate, in a folder of their own.
struct Files {
    folder: tempfile::TempDir,
    other: Issued,
    root: Issued,
}

impl Files {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = Issued::root(&Template::authority("Root"), &key_pem(KeyKind::P256, 1));
        let own = root.issue(&Template::peer("gw.example.net"), &key_pem(KeyKind::P256, 2));
        let other = root.issue(&Template::peer("branch.example.net"), &key_pem(KeyKind::P256, 3));
        let files = Self { folder, other, root };
        files.write("gw.pem", &own.pem());
        files.write("gw.key", &own.key_pem);
        files.write("ca.pem", &files.root.pem());
        files
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    }

    /// The configuration with certificates instead of the key, and more of the connection.
    fn config(&self, more: &str) -> Config {
        let text = routed()
            .replace("shared_key = { env = \"PSK\" }\n", &format!("{more}local_id = \"gw.example.net\"\n"))
            + "[connection.authentication]\ncertificate = \"gw.pem\"\nprivate_key = { file = \"gw.key\" }\n\
               trust_anchors = [\"ca.pem\"]\nallow_sha1 = true\n";
        let file = self.folder.path().join("gw.toml");
        std::fs::write(&file, text).unwrap();
        Config::read(&file, &Environment::of_process()).unwrap_or_else(|findings| panic!("{findings}")).config
    }
}

fn config(text: &str) -> Config {
    config_with_key(text, KEY)
}

fn written(config: &Config, system: System, key: KeyText) -> Result<String, PeerConfigError> {
    let connection = config.connections().values().next().expect("there is one");
    config.peer_config(connection, system, key)
}

/// Any-to-any with the policy that most people choose.
fn routed() -> String {
    format!(
        "{BASE}[connection.policy]\nike_encryption = \"GCMAES256\"\nike_integrity = \"SHA384\"\ndh_group = \"ECP384\"\n\
         ipsec_encryption = \"GCMAES256\"\npfs_group = \"ECP384\"\n"
    )
}

/// Two prefixes on each side, lists of algorithms, names, a peer that calls from anywhere.
fn by_policy() -> String {
    BASE.replace("\"198.51.100.2\"", "\"any\"")
        .replace("[\"10.1.0.0/16\", \"fd00:1::/48\"]", "[\"10.1.0.0/16\", \"10.9.0.0/24\"]")
        .replace("[\"10.2.0.0/16\", \"fd00:2::/48\"]", "[\"10.2.0.0/16\", \"10.22.0.0/16\"]")
        .replace("addresses = [\"10.1.0.1/24\", \"fd00:1::1/64\"]", "addresses = [\"10.1.0.1/24\"]")
        + "local_id = \"gw.example.net\"\nremote_id = \"branch@example.net\"\nmss_clamp = 1300\n\
           use_policy_based_traffic_selectors = true\n[connection.policy]\nike_encryption = [\"AES256\", \"GCMAES128\"]\n\
           ike_integrity = [\"SHA256\", \"SHA512\"]\ndh_group = [\"Curve25519\", \"ECP256\", \"DHGroup14\"]\n\
           ipsec_encryption = [\"GCMAES128\", \"GCMAES256\"]\npfs_group = [\"DHGroup14\", \"None\"]\nesn = \"Off\"\n"
            .replace("[\"DHGroup14\", \"None\"]", "[\"PFS14\", \"None\"]")
            .as_str()
}

/// Every cipher of Child SAs, in both kinds, and integrity algorithms beside them.
fn separate_integrity() -> String {
    format!(
        "{BASE}[connection.policy]\nike_encryption = \"AES256\"\nike_integrity = \"SHA256\"\ndh_group = \"DHGroup14\"\n\
         ipsec_encryption = [\"AES256\", \"GCMAES256\", \"AES128\", \"ChaCha20Poly1305\", \"DES3\", \"DES\", \"None\"]\n\
         ipsec_integrity = [\"SHA256\", \"SHA512\", \"SHA1\"]\npfs_group = [\"PFS14\", \"None\"]\n"
    )
}

/// Both sides have the same prefixes: the other side is to know ours by those of the egress rules.
fn translated() -> String {
    let rule = |name: &str, mode: &str, internal: &str, external: &str| {
        format!(
            "[[nat_rule]]\nname = \"{name}\"\ngateway = \"gw\"\nmode = \"{mode}\"\ninternal_mapping = \"{internal}\"\n\
             external_mapping = \"{external}\"\n"
        )
    };
    BASE.replace("sku = \"VpnGw1\"", "sku = \"VpnGw2\"")
        .replace("[\"10.2.0.0/16\", \"fd00:2::/48\"]", "[\"10.1.0.0/16\", \"fd00:1::/48\"]")
        + "ingress_nat_rules = [\"b\", \"b-v6\"]\negress_nat_rules = [\"own\", \"own-v6\"]\n"
        + &rule("own", "EgressSnat", "10.1.0.0/16", "100.65.0.0/16")
        + &rule("own-v6", "EgressSnat", "fd00:1::/48", "2001:db8:65::/48")
        + &rule("b", "IngressSnat", "10.1.0.0/16", "100.66.0.0/16")
        + &rule("b-v6", "IngressSnat", "fd00:1::/48", "2001:db8:66::/48")
}

/// Two pairs of prefixes in a version with a Child SA for each, old groups beside others, and a cipher that not everybody has.
fn by_ikev1() -> String {
    BASE.replace("[\"10.2.0.0/16\", \"fd00:2::/48\"]", "[\"10.2.0.0/16\", \"10.22.0.0/16\"]")
        + "protocol = \"IKEv1\"\nuse_policy_based_traffic_selectors = true\n[connection.policy]\nike_encryption = [\"AES256\", \"AES128\"]\n\
           ike_integrity = [\"SHA256\", \"SHA1\"]\ndh_group = [\"DHGroup2\", \"DHGroup14\", \"ECP256\"]\n\
           ipsec_encryption = [\"GCMAES256\", \"AES256\", \"AES128\"]\nipsec_integrity = [\"SHA256\", \"SHA1\"]\n\
           pfs_group = [\"ECP256\", \"PFS14\", \"None\"]\n"
}

/// A gateway with two addresses, each of which the other side has a tunnel to.
fn active_active() -> String {
    routed()
        .replace("[\"192.0.2.1/24\", \"2001:db8::1/64\"]", "[\"192.0.2.1/24\", \"192.0.2.7/24\"]")
        .replace(
            "public_addresses = [\"192.0.2.1\"]",
            "public_addresses = [\"192.0.2.1\", \"192.0.2.7\"]\nactive_active = true",
        )
}

/// A hub: a spoke uses its gateway; what the other side reaches of the sites is the first alone, since the second one's selectors name the hub, and the third is behind the
/// other side, too.
fn hub() -> String {
    let site = |number: u8, prefix: &str, more: &str| {
        format!(
            "[[local_network_gateway]]\nname = \"site-{number}\"\naddress = \"198.51.100.{number}\"\nprefixes = [\"{prefix}\"]\n\
             [[connection]]\nname = \"to-{number}\"\ngateway = \"gw\"\nlocal_network_gateway = \"site-{number}\"\n\
             shared_key = {{ env = \"PSK\" }}\n{more}"
        )
    };
    let own = "[connection.traffic_selectors]\nlocal = [\"10.1.0.0/16\"]\nremote = [\"10.5.0.0/16\"]\n";
    routed()
        + &site(4, "10.4.0.0/16", "")
        + &site(5, "10.5.0.0/16", own)
        + &site(6, "10.2.0.0/15", "")
        + &site(7, "0.0.0.0/0", "")
        + "[[virtual_network]]\nname = \"spoke\"\naddress_space = [\"10.9.0.0/16\"]\nport = \"lan\"\nvlan = 13\n\
           addresses = [\"10.9.0.1/24\"]\n\
           [[virtual_network_peering]]\nname = \"there\"\nvirtual_network = \"site-a\"\nremote_virtual_network = \"spoke\"\n\
           allow_gateway_transit = true\n\
           [[virtual_network_peering]]\nname = \"back\"\nvirtual_network = \"spoke\"\nremote_virtual_network = \"site-a\"\n\
           use_remote_gateways = true\n"
}

/// Two policies: not every prefix goes with every other one.
fn policies() -> String {
    let policy = |local: &str, remote: &str| {
        format!("[[connection.traffic_selectors]]\nlocal = [{local}]\nremote = [{remote}]\n")
    };
    routed()
        + &policy("\"10.1.1.0/24\"", "\"10.2.1.0/24\"")
        + &policy("\"10.1.2.0/24\", \"10.1.3.0/24\"", "\"10.2.2.0/24\"")
}

#[test]
fn every_system_gets_its_words() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peer_config");
    let bless = std::env::var_os("CROSSGATE_BLESS").is_some();
    let cases = [
        ("routed", routed()),
        ("by-policy", by_policy()),
        ("separate-integrity", separate_integrity()),
        ("translated", translated()),
        ("active-active", active_active()),
        ("ikev1", by_ikev1()),
        ("hub", hub()),
    ];
    for (case, text) in cases {
        let config = config(&text);
        for (word, system) in System::WORDS {
            let file = folder.join(format!("{case}.{word}.txt"));
            let said = written(&config, *system, KeyText::Written)
                .unwrap_or_else(|error| format!("refused: {error}\n"));
            if bless {
                std::fs::write(&file, &said).unwrap();
            }
            let expected = std::fs::read_to_string(&file).unwrap_or_default();
            assert_eq!(said, expected, "{}", file.display());
        }
    }
}

#[test]
fn every_system_gets_its_words_for_certificates() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peer_config");
    let bless = std::env::var_os("CROSSGATE_BLESS").is_some();
    let config = Files::new().config("remote_id = \"branch.example.net\"\n");
    for (word, system) in System::WORDS {
        let file = folder.join(format!("certificates.{word}.txt"));
        let said = written(&config, *system, KeyText::Placeholder).unwrap();
        if bless {
            std::fs::write(&file, &said).unwrap();
        }
        assert_eq!(said, std::fs::read_to_string(&file).unwrap_or_default(), "{}", file.display());
    }
}

#[test]
fn a_crossgate_accepts_what_is_written_for_it_with_certificates() {
    let files = Files::new();
    let said = written(
        &files.config("remote_id = \"branch.example.net\"\n"),
        System::Crossgate,
        KeyText::Placeholder,
    )
    .unwrap();
    files.write("a-to-b.pem", &files.other.pem());
    files.write("a-to-b.key", &files.other.key_pem);
    files.write("a-to-b-ca.pem", &files.root.pem());
    files.write("other.toml", &said);
    let there = Config::read(&files.folder.path().join("other.toml"), &Environment::of_process());
    let there = there.unwrap_or_else(|findings| panic!("{findings}\nin\n{said}")).config;
    let Authentication::Certificate(own) = &there.connections()["a-to-b"].authentication else {
        panic!("{said}")
    };
    assert!(own.allow_sha1 && own.trust.anchors().len() == 1, "{said}");
}

#[test]
fn a_peer_that_is_called_as_its_certificate_is_written_where_there_are_words_for_that() {
    let config = Files::new().config("remote_id = \"C=CH, O=Example, CN=branch.example.net\"\n");
    for (system, id) in [(System::StrongSwan, "id = "), (System::Libreswan, "leftid=")] {
        let said = written(&config, system, KeyText::Placeholder).unwrap();
        assert!(said.contains(&format!("{id}\"C=CH, O=Example, CN=branch.example.net\"")), "{said}");
    }
    let refused = written(&config, System::CiscoIos, KeyText::Placeholder).unwrap_err();
    assert!(matches!(refused, PeerConfigError::Identity { .. }), "{refused}");
}

#[test]
fn each_policy_of_selectors_is_a_child_of_its_own() {
    let config = config(&policies());
    let said = written(&config, System::StrongSwan, KeyText::Written).unwrap();
    for (name, local, remote) in
        [("net", "10.2.1.0/24", "10.1.1.0/24"), ("net-2", "10.2.2.0/24", "10.1.2.0/24,10.1.3.0/24")]
    {
        let sides = format!("                local_ts = {local}\n                remote_ts = {remote}\n");
        assert!(said.contains(&format!("            {name} {{\n{sides}")), "{said}");
    }
    let said = written(&config, System::Libreswan, KeyText::Written).unwrap();
    assert_eq!(said.matches("leftsubnet=").count(), 3, "{said}");
}

#[test]
fn without_being_asked_no_system_gets_the_key() {
    let config = config(&routed());
    for (word, system) in System::WORDS {
        let said = written(&config, *system, KeyText::Placeholder).unwrap();
        assert!(!said.contains(KEY), "{word}");
        assert!(said.matches("REPLACE-WITH-THE-SHARED-KEY").count() >= 2, "{word}: {said}");
    }
}

#[test]
fn a_crossgate_accepts_what_is_written_for_it() {
    let directory = tempfile::tempdir().unwrap();
    let custom = BASE.replace("sku = \"VpnGw1\"", "sku = \"custom\"").replace(
        "public_addresses = [\"192.0.2.1\"]",
        "public_addresses = [\"192.0.2.1\"]\n[virtual_network_gateway.custom]\ntunnels = 5",
    );
    let policy_based = BASE.replace("sku = \"VpnGw1\"", "vpn_type = \"PolicyBased\"");
    for text in [
        routed(),
        by_policy(),
        separate_integrity(),
        BASE.to_owned(),
        custom,
        policy_based,
        translated(),
        hub(),
        policies(),
    ] {
        let said = written(&config(&text), System::Crossgate, KeyText::Written).unwrap();
        let file = directory.path().join("gw.toml");
        let key = directory.path().join("a-to-b.psk");
        std::fs::write(&key, KEY).unwrap();
        std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        std::fs::write(&file, &said).unwrap();
        let checked = Config::read(&file, &Environment::of_process());
        let checked = checked.unwrap_or_else(|findings| panic!("{findings}\nin\n{said}"));
        let there = checked.config.connections().values().next().unwrap().clone();
        let here = config(&text).connections().values().next().unwrap().clone();
        assert_eq!((&there.local_id, &there.remote_id), (&here.remote_id, &here.local_id));
        assert_eq!(there.policy, here.policy);
        let turned = there.traffic_selectors.policies().into_iter().map(|one| (one.remote, one.local));
        let own = here.traffic_selectors.policies().into_iter().map(|one| (one.local, one.remote));
        assert!(turned.eq(own), "in\n{said}");
        assert_eq!(there.authentication, here.authentication);
    }
}

#[test]
fn a_crossgate_has_two_ways_to_a_gateway_with_two_addresses() {
    let said = written(&config(&active_active()), System::Crossgate, KeyText::Written).unwrap();
    let there = config(&said.replace("{ file = \"a-to-b.psk\" }", "{ env = \"PSK\" }"));
    let sites = there.shared_sites();
    let ids: Vec<String> = sites[0].iter().map(|way| way.remote_id.to_string()).collect();
    assert_eq!((sites.len(), ids), (1, vec!["192.0.2.1".to_owned(), "192.0.2.7".to_owned()]), "{said}");
}

#[test]
fn keys_of_a_connection_called_second_keep_its_name() {
    let text = active_active().replace("name = \"a-to-b\"", "name = \"b-second\"");
    let said = written(&config(&text), System::Crossgate, KeyText::Written).unwrap();
    assert_eq!(said.matches("shared_key = { file = \"b-second.psk\" }").count(), 2, "{said}");
    assert!(said.contains("> b-second.psk)") && said.contains("name = \"b-second-second\""), "{said}");
}

#[test]
fn who_finds_a_tunnel_by_prefixes_alone_gets_no_second_one() {
    let by_policy = active_active().replace(
        "local_network_gateway = \"site-b\"",
        "local_network_gateway = \"site-b\"\nuse_policy_based_traffic_selectors = true",
    );
    for (text, system) in [
        (active_active(), System::Libreswan),
        (by_policy.clone(), System::CiscoIos),
        (by_policy.clone(), System::VyOs),
    ] {
        let refused = written(&config(&text), system, KeyText::Written).unwrap_err();
        assert!(matches!(refused, PeerConfigError::SecondTunnel { .. }), "{refused}");
    }
    written(&config(&by_policy), System::JuniperSrx, KeyText::Written).unwrap();
}

#[test]
fn what_a_system_cannot_be_is_refused_with_the_way_out() {
    let only_curve = routed().replace("dh_group = \"ECP384\"", "dh_group = \"Curve25519\"");
    let error = written(&config(&only_curve), System::CiscoIos, KeyText::Written).unwrap_err().to_string();
    assert_eq!(
        error,
        "cisco-ios has none of the dh_group of this connection: add ECP384 or DHGroup14 to its policy"
    );
    for (word, system) in [("ChaCha20Poly1305", System::CiscoIos), ("ChaCha20Poly1305", System::JuniperSrx)] {
        let lacking =
            routed().replace("ipsec_encryption = \"GCMAES256\"", &format!("ipsec_encryption = \"{word}\""));
        let error = written(&config(&lacking), system, KeyText::Written).unwrap_err().to_string();
        assert!(error.contains("none of the ipsec_encryption of this connection: add GCMAES256"), "{error}");
    }
    let bytes = format!("{BASE}remote_id = \"keyid:0x00ff\"\n");
    for system in [System::CiscoIos, System::JuniperSrx, System::VyOs, System::Libreswan] {
        let error = written(&config(&bytes), system, KeyText::Written).unwrap_err().to_string();
        assert!(error.contains("no identity like keyid:0x00ff"), "{error}");
    }
    let quoted = config_with_key(BASE, "q3G8vN1x'Zk0\"TtYw2bLr5?HfPjC7sD9mA");
    for system in [System::CiscoIos, System::JuniperSrx, System::VyOs] {
        let error = written(&quoted, system, KeyText::Written).unwrap_err().to_string();
        assert!(error.contains("give both sides a key without it"), "{error}");
    }
    for system in [System::StrongSwan, System::Libreswan] {
        let said = written(&quoted, system, KeyText::Written).unwrap();
        assert!(said.contains(" 0x7133473876") && !said.contains("\"0x"), "{said}");
    }
}

#[test]
fn libreswan_is_told_to_take_its_own_pair_of_everything_or_the_connection_to_name_pairs() {
    let narrows = |text: &str| -> Result<bool, PeerConfigError> {
        let said = written(&config(text), System::Libreswan, KeyText::Written)?;
        Ok(said.contains("    narrowing=yes\n"))
    };
    let mode = |mode: &str| format!("{BASE}mode = {mode:?}\n");
    let refused = Err(PeerConfigError::AnyToAny { system: "libreswan" });
    let one = |text: &str| text.replace("[\"10.2.0.0/16\", \"fd00:2::/48\"]", "[\"10.2.0.0/16\"]");
    assert_eq!(narrows(BASE), Ok(true));
    assert_eq!(narrows(&one(&mode("InitiatorOnly"))), Ok(true));
    assert_eq!(narrows(&mode("InitiatorOnly")), refused);
    assert_eq!(narrows(&mode("ResponderOnly")), Ok(false));
    let pairs = mode("InitiatorOnly") + "use_policy_based_traffic_selectors = true\n";
    assert_eq!(narrows(&pairs), Ok(false));
    for system in [System::Libreswan, System::StrongSwan] {
        let first = |mode: &str| format!("{BASE}mode = {mode:?}\nprotocol = \"IKEv1\"\n");
        let error = written(&config(&first("Default")), system, KeyText::Written).unwrap_err();
        assert!(error.to_string().contains("add use_policy_based_traffic_selectors = true"), "{error}");
        written(&config(&first("ResponderOnly")), system, KeyText::Written).unwrap();
    }
}

#[test]
fn libreswan_gets_no_algorithm_that_it_would_refuse_the_connection_for() {
    let old = routed().replace("dh_group = \"ECP384\"", "dh_group = [\"DHGroup2\", \"DHGroup14\"]");
    let said = written(&config(&old), System::Libreswan, KeyText::Written).unwrap();
    assert!(said.contains("-dh14\n") && !said.contains("-dh2\n"), "{said}");
    for (key, line) in [("dh_group", "dh_group = \"DHGroup24\""), ("pfs_group", "pfs_group = \"PFS24\"")] {
        let text = routed().replace(&format!("{key} = \"ECP384\""), line);
        let error = written(&config(&text), System::Libreswan, KeyText::Written).unwrap_err().to_string();
        assert!(error.contains(key), "{error}");
    }
}

/// A network of another appliance, and one of the same.
#[test]
fn a_crossgate_accepts_the_other_end_of_a_connection_between_networks() {
    let base = BASE.replace(
        "local_network_gateway = \"site-b\"",
        "type = \"Vnet2Vnet\"\nremote_gateway = \"198.51.100.2\"",
    );
    let here = config(&base);
    let said = written(&here, System::Crossgate, KeyText::Written).unwrap();
    for line in
        ["type = \"Vnet2Vnet\"", "remote_gateway = \"192.0.2.1\"", "# CHANGE: the prefixes of its network"]
    {
        assert!(said.contains(line), "{line} in\n{said}");
    }
    let there = config(&said.replace("{ file = \"a-to-b.psk\" }", "{ env = \"PSK\" }"));
    let end = there.connections().values().next().unwrap();
    let begin = here.connections().values().next().unwrap();
    assert_eq!((&end.local_id, &end.remote_id), (&begin.remote_id, &begin.local_id));
    assert!(end.learns_prefixes());
    let refused = written(&here, System::StrongSwan, KeyText::Written).unwrap_err().to_string();
    assert!(refused.contains("write it for crossgate"), "{refused}");
}

#[test]
fn a_post_quantum_key_is_written_for_who_has_words_for_it() {
    let text = routed().replace(
        "[connection.policy]",
        "[connection.ppk]\nid = \"a.b\"\nsecret = { env = \"PPK\" }\nrequired = false\n[connection.policy]",
    );
    let config = config(&text);
    let said = written(&config, System::StrongSwan, KeyText::Written).unwrap();
    for line in ["ppk_id = \"@#612e62\"", "ppk_required = no", "        id = \"@#612e62\""] {
        assert!(said.contains(line), "{line} in\n{said}");
    }
    assert_eq!(said.matches(KEY).count(), 2, "{said}");
    let said = written(&config, System::StrongSwan, KeyText::Placeholder).unwrap();
    assert!(!said.contains(KEY) && said.contains("REPLACE-WITH-THE-POST-QUANTUM-KEY"), "{said}");
    let said = written(&config, System::Crossgate, KeyText::Written).unwrap();
    assert!(said.contains(&format!("printf '%s' '{KEY}' > a-to-b.ppk")), "{said}");
    assert!(
        said.contains(
            "[connection.ppk]\nid = \"a.b\"\nsecret = { file = \"a-to-b.ppk\" }\nrequired = false\n"
        ),
        "{said}"
    );
    let refused = written(&config, System::CiscoIos, KeyText::Written).unwrap_err();
    assert_eq!(refused, PeerConfigError::Ppk { system: "cisco-ios" });
}

#[test]
fn peer_of_a_tunnel_that_goes_when_it_is_idle_begins_on_traffic_too() {
    let key = "shared_key = { env = \"PSK\" }\n";
    let on_traffic = format!("{key}start = \"OnTraffic\"\nidle_timeout_s = 300\n");
    let words = [
        (System::StrongSwan, "start_action = trap\n"),
        (System::Libreswan, "auto=route\n"),
        (System::JuniperSrx, "establish-tunnels on-traffic\n"),
        (System::Crossgate, "start = \"OnTraffic\"\n"),
    ];
    for (system, expected) in words {
        let said = |text: &str| written(&config(text), system, KeyText::Placeholder).unwrap();
        let waiting = said(&routed().replace(key, &on_traffic));
        assert!(waiting.contains(expected), "{waiting}");
        assert!(!said(&routed()).contains(expected), "{waiting}");
    }
}

#[test]
fn a_strongswan_that_assigns_our_address_has_a_pool_and_no_other_system_is_written() {
    let ipv4 = routed().replace("[\"10.2.0.0/16\", \"fd00:2::/48\"]", "[\"10.2.0.0/16\"]");
    let text = ipv4.replace("name = \"a-to-b\"", "name = \"a-to-b\"\nrequest_addresses = true");
    let said = written(&config(&text), System::StrongSwan, KeyText::Written).unwrap();
    for line in [
        "        pools = a-to-b\n",
        "                local_ts = 10.2.0.0/16\n                remote_ts = dynamic\n",
        "                start_action = none\n",
        "\npools {\n    a-to-b {\n        addrs = 172.31.0.0/16\n    }\n}\n",
    ] {
        assert!(said.contains(line), "{line}\nin\n{said}");
    }
    for (word, system) in System::WORDS.iter().filter(|(_, system)| *system != System::StrongSwan) {
        let error = written(&config(&text), *system, KeyText::Written).unwrap_err();
        assert_eq!(error, PeerConfigError::Assigns { system: word });
    }
}
