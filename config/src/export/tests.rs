use std::collections::BTreeSet;
use std::path::Path;

use proptest::prelude::*;
use zeroize::Zeroizing;

use crate::difference::What;
use crate::{Config, Environment, Findings, Source};

const BASE: &str = include_str!("../../tests/findings/base.toml");

fn read(text: &str) -> Result<Config, Findings> {
    let variable = |name: &str| {
        let key =
            if name == "OTHER" { "Zt8Lq2wXv5Rk9Nd3Hy7Mb4Pc" } else { "q3G8vN1x+Zk0TtYw2bLr5HfPjC7sD9mA" };
        Some(Zeroizing::new(key.to_owned()))
    };
    let environment = Environment { cores: BTreeSet::from([0, 1, 2, 3]), user_id: 0, variable: &variable };
    Config::parse(Source { file: Path::new("gw.toml"), text }, &environment).map(|checked| checked.config)
}

fn config(text: &str) -> Config {
    read(text).unwrap_or_else(|findings| panic!("{findings}\nof\n{text}"))
}

#[test]
fn what_is_exported_reads_as_the_same_configuration() {
    let exported = config(BASE).to_toml();
    assert_eq!(config(&exported), config(BASE), "{exported}");
    assert_eq!(config(&exported).to_toml(), exported);
    assert!(exported.contains("shared_key = { env = \"PSK\" }"), "{exported}");
    assert!(!exported.contains("q3G8"), "no secret is exported: {exported}");
}

#[test]
fn regions_and_bgp_settings_are_exported_and_differ() {
    let changed = BASE
        .replace("name = \"site-a\"\n", "name = \"site-a\"\nregion = \"West Europe\"\n")
        .replace(
            "public_addresses = [\"192.0.2.1\"]",
            "public_addresses = [\"192.0.2.1\"]\n[virtual_network_gateway.bgp_settings]\nasn = 65010\nbgp_peering_addresses = [\"10.1.255.30\"]\ncustom_bgp_ip_addresses = [\"169.254.21.2\"]\npeer_weight = 5",
        )
        .replace(
            "prefixes = [\"10.2.0.0/16\", \"fd00:2::/48\"]",
            "prefixes = [\"10.2.0.0/16\", \"fd00:2::/48\"]\n[local_network_gateway.bgp_settings]\nasn = 65020\nbgp_peering_address = \"10.2.255.1\"",
        );
    let exported = config(&changed).to_toml();
    assert_eq!(config(&exported), config(&changed), "{exported}");
    let told = config(BASE).differences(&config(&changed));
    let told: Vec<String> = told.iter().map(ToString::to_string).collect();
    for expected in ["region: (default) -> \"westeurope\"", "bgp_settings.asn: (default) -> 65020"] {
        assert!(told.concat().contains(expected), "{told:?}");
    }
}

#[test]
fn circuits_are_exported_and_a_difference_of_theirs_is_told() {
    for text in [include_str!("../../examples/circuit.toml"), include_str!("../../examples/coexistence.toml")]
    {
        let text = text.replace("{ file = \"to-branch-by-tunnel.psk\" }", "{ env = \"PSK\" }");
        let text = text.replace("ErGw1AZ\"", "ErGwScale\"\nscale_units = 3");
        let text = text.replace("port = \"edge\"\n", "port = \"edge\"\nvlan = 100\n");
        let first = config(&text);
        let exported = first.to_toml();
        assert_eq!(config(&exported), first, "{exported}");
        let second =
            config(&text.replace("scale_units = 3", "scale_units = 4").replace("10.7.0.0/16", "10.9.0.0/16"));
        let told: Vec<String> = first.differences(&second).iter().map(ToString::to_string).collect();
        let expected = [
            "express_route_circuit[line].prefixes: [\"10.2.0.0/16\", \"10.7.0.0/16\"] -> [\"10.2.0.0/16\", \"10.9.0.0/16\"]",
            "virtual_network_gateway[gw-er].scale_units: 3 -> 4",
        ];
        assert_eq!(told, expected);
    }
}

/// Lines to append to the connection: each either nothing or a setting.
fn settings() -> impl Strategy<Value = String> {
    let one = |options: &'static [&'static str]| proptest::sample::select(options);
    let plain = (
        one(&[
            "",
            "mode = \"InitiatorOnly\"",
            "mode = \"ResponderOnly\"\nidle_timeout_s = 600",
            "start = \"OnTraffic\"",
            "start = \"OnTraffic\"\nidle_timeout_s = 10",
        ]),
        one(&["", "dpd_timeout_s = 9", "dpd_timeout_s = 3600"]),
        one(&["", "mss_clamp = \"off\"", "mss_clamp = 1350"]),
        one(&["", "routing_weight = 0", "routing_weight = 32000"]),
        one(&[
            "",
            "mobike = false",
            "follow_redirects = false\nmobike = true",
            "session_resumption = true",
            "per_resource_child_sas = false",
        ]),
        one(&["", "redirect_to = \"gw2.example.net\"", "redirect_to = \"198.51.100.9\""]),
        one(&[
            "",
            "local_id = \"keyid:0x00ff\"",
            "local_id = \"gw \u{e9}\"",
            "remote_id = \"b@example.net\"",
        ]),
    );
    let policy = (
        one(&["", "ike_encryption = [\"AES256\", \"GCMAES128\"]", "ike_encryption = \"GCMAES256\""]),
        one(&["", "ike_integrity = [\"SHA512\", \"SHA256\"]", "ike_integrity = \"GCMAES256\""]),
        one(&["", "dh_group = [\"ECP521\", \"DHGroup15\"]"]),
        one(&[
            "",
            "ipsec_encryption = [\"GCMAES192\", \"GCMAES128\"]",
            "ipsec_encryption = [\"AES192\", \"GCMAES128\", \"ChaCha20Poly1305\"]",
            "ipsec_encryption = [\"GCMAES256\", \"AES256\"]\nipsec_integrity = [\"GCMAES256\", \"SHA512\"]",
            "ipsec_encryption = [\"None\", \"DES3\", \"DES\"]\nipsec_integrity = [\"SHA1\", \"MD5\"]",
        ]),
        one(&["", "pfs_group = \"None\"", "pfs_group = [\"PFS2048\", \"None\"]"]),
        one(&[
            "",
            "pfs_from_start = true",
            "esn = \"Off\"",
            "replay_window_packets = 4096",
            "sa_data_size_kib = 1099511627776",
        ]),
    );
    let selectors = one(&[
        "",
        "[connection.traffic_selectors]\nlocal = [\"10.1.0.0/16\"]\nremote = [\"10.2.3.0/24\"]",
        "[[connection.traffic_selectors]]\nlocal = [\"10.1.1.0/24\"]\nremote = [\"10.2.1.0/24\"]\n[[connection.traffic_selectors]]\nlocal = [\"10.1.2.0/24\"]\nremote = [\"10.2.2.0/24\"]",
        "[connection.traffic_selectors]\nlocal = [\"10.1.0.0/16\", \"fd00:1::/48\"]\nremote = [\"10.2.0.0/16\", \"fd00:2::/48\"]",
        "[connection.traffic_selectors]\nlocal = [\"0.0.0.0/0\", \"::/0\"]\nremote = [\"0.0.0.0/0\", \"::/0\"]",
    ]);
    (plain, policy, selectors).prop_map(|((a, b, c, d, e, f, g), policy, selectors)| {
        let plain = [a, b, c, d, e, f, g].join("\n");
        let policy = <[&str; 6]>::from(policy).join("\n");
        format!("{plain}\n[connection.policy]\n{policy}\n{selectors}\n")
    })
}

proptest! {
    #[test]
    fn every_accepted_connection_survives_its_export(settings in settings()) {
        if let Ok(read_once) = read(&format!("{BASE}{settings}")) {
            let exported = read_once.to_toml();
            prop_assert_eq!(config(&exported), read_once, "{}", exported);
        }
    }
}

#[test]
fn networks_ports_and_gateways_survive_their_export() {
    for (from, to) in [
        (
            "port = \"lan\"",
            "port = \"lan\"\nvlan = 17\nroutes = [{ prefix = \"10.1.8.0/24\", next_hop = \"10.1.0.9\" }]",
        ),
        ("sku = \"VpnGw1\"", "sku = \"VpnGw3AZ\"\ngeneration = \"Generation2\""),
        (
            "public_addresses = [\"192.0.2.1\"]",
            "public_addresses = [\"192.0.2.1\"]\n[virtual_network_gateway.custom]\ntunnels = 7\nbandwidth_mbit_per_s = 100",
        ),
        ("sku = \"VpnGw1\"", "vpn_type = \"PolicyBased\"\nsku = \"Basic\""),
        ("address = \"198.51.100.2\"", "address = \"192.0.2.77\""),
        ("public_addresses = [\"192.0.2.1\"]", "public_addresses = [\"2001:db8::1\", \"192.0.2.1\"]"),
        (
            "control_core = 0",
            "control_core = 3\nidle = \"poll\"\neal = [\"--iova-mode=va\", \"-d\\\"x\\\\\"]",
        ),
    ] {
        assert!(BASE.contains(from));
        let base = if to.contains("custom") { BASE.replace("VpnGw1", "custom") } else { BASE.to_owned() };
        let changed = config(&base.replace(from, to));
        let exported = changed.to_toml();
        assert_eq!(config(&exported), changed, "{exported}");
    }
}

#[test]
fn asking_for_an_address_survives_its_export_with_the_mode_that_it_asks_for() {
    let text = BASE.replace("[\"10.2.0.0/16\", \"fd00:2::/48\"]", "[\"10.2.0.0/16\"]");
    let asking = format!("{text}request_addresses = true\n");
    let exported = config(&asking).to_toml();
    assert_eq!(config(&exported), config(&asking), "{exported}");
    assert_eq!(
        differences(&text, &asking),
        "connection[a-to-b].mode: \"Default\" -> \"InitiatorOnly\"\nconnection[a-to-b].request_addresses: (default) -> true"
    );
}

const RULES: &str = "ingress_nat_rules = [\"b\"]\negress_nat_rules = [\"own\"]\n[connection.traffic_selectors]\nlocal = [\"100.65.7.0/24\"]\n\
     remote = [\"10.2.0.0/16\"]\n[[nat_rule]]\nname = \"own\"\ngateway = \"gw\"\nmode = \"EgressSnat\"\n\
     internal_mapping = \"10.1.0.0/16\"\nexternal_mapping = \"100.65.0.0/16\"\n[[nat_rule]]\nname = \"b\"\ngateway = \"gw\"\n\
     mode = \"IngressSnat\"\ninternal_mapping = \"10.2.0.0/16\"\nexternal_mapping = \"100.66.0.0/16\"\n";

#[test]
fn nat_rules_survive_their_export_and_differ_by_setting() {
    let text = BASE.replace("VpnGw1", "VpnGw2") + RULES;
    let exported = config(&text).to_toml();
    assert_eq!(config(&exported), config(&text), "{exported}");
    assert!(exported.contains("type = \"Static\"\ninternal_mapping = \"10.1.0.0/16\"\n"), "{exported}");
    assert_eq!(
        differences(&text, &text.replace("100.66.0.0/16", "100.67.0.0/16")),
        "nat_rule[b].external_mapping: \"100.66.0.0/16\" -> \"100.67.0.0/16\""
    );
    assert_eq!(
        differences(&text, &text.replace("ingress_nat_rules = [\"b\"]\n", "")),
        "connection[a-to-b].ingress_nat_rules: [\"b\"] -> (default)"
    );
}

fn differences(from: &str, to: &str) -> String {
    let found = config(from).differences(&config(to));
    found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn differences_name_each_setting_with_both_values() {
    assert_eq!(differences(BASE, BASE), "");
    let second = BASE
        .replace("workers = [1]", "workers = [1, 2]")
        .replace("\"10.2.0.0/16\", ", "")
        .replace("shared_key =", "dpd_timeout_s = 30\nshared_key =");
    assert_eq!(
        differences(BASE, &second),
        "appliance.workers: [1] -> [1, 2]\n\
         local_network_gateway[site-b].prefixes: [\"10.2.0.0/16\", \"fd00:2::/48\"] -> [\"fd00:2::/48\"]\n\
         connection[a-to-b].dpd_timeout_s: 45 -> 30"
    );
}

#[test]
fn another_policy_is_told_against_the_default() {
    let second = format!("{BASE}[connection.policy]\ndh_group = \"ECP384\"\n");
    let told = differences(BASE, &second);
    assert!(told.contains("connection[a-to-b].policy.dh_group: (default) -> [\"ECP384\"]"), "{told}");
}

#[test]
fn a_resource_that_comes_or_goes_is_told_as_a_whole() {
    let (without, _) = BASE.split_once("[[connection]]").unwrap();
    assert_eq!(differences(BASE, without), "connection[a-to-b]: gone");
    let found = config(without).differences(&config(BASE));
    assert_eq!(found[0].what, What::Added);
}

#[test]
fn another_key_is_told_without_the_key() {
    let told = differences(BASE, &BASE.replace("\"PSK\"", "\"OTHER\""));
    assert_eq!(told, "connection[a-to-b].shared_key: { env = \"PSK\" } -> { env = \"OTHER\" }");
}
