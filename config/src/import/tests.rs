use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use crossgate_pki::KeyKind;
use crossgate_pki::testing::{Issued, Template, key_pem};
use proptest::prelude::*;
use zeroize::Zeroizing;

use super::{ImportError, Imported, import};
use crate::{Config, Environment, Source};

const TEMPLATE: &str = include_str!("../../tests/import/site-to-site.json");
const NETWORKS: &str = include_str!("../../tests/import/networks.json");
const CIRCUITS: &str = include_str!("../../tests/import/circuits.json");
const CLASSIC: &str = include_str!("../../tests/import/classic.xml");

/// The draft and everything that is told, as a person reads it.
fn told(imported: &Imported) -> String {
    let mut text = imported.toml.clone();
    text.push_str("=====\n");
    for left in &imported.left_out {
        writeln!(text, "{}: {}\n  remedy: {}", left.place, left.problem, left.remedy).unwrap();
    }
    text
}

/// Compares with the reviewed file, or writes it (`CROSSGATE_BLESS=1`).
fn is_as_reviewed(name: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import").join(name);
    if std::env::var_os("CROSSGATE_BLESS").is_some() {
        std::fs::write(&file, text).unwrap();
    }
    assert_eq!(text, std::fs::read_to_string(&file).unwrap_or_default(), "{}", file.display());
}

/// What a check says of the draft once its keys are there, and the certificate of each gateway that has clients.
fn findings_of(imported: &Imported) -> String {
    let folder = tempfile::tempdir().unwrap();
    let root = Issued::root(&Template::authority("Root"), &key_pem(KeyKind::P256, 1));
    let own = root.issue(&Template::peer("vpn.example.net"), &key_pem(KeyKind::P256, 2));
    for line in imported.toml.lines() {
        let file = line.strip_prefix("certificate = \"").and_then(|rest| rest.split_once(".pem\""));
        let Some((name, _)) = file else { continue };
        for (end, text) in [("pem", own.pem()), ("key", own.key_pem.clone())] {
            let path = folder.path().join(format!("{name}.{end}"));
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        }
    }
    let variable = |_: &str| Some(Zeroizing::new("q3G8vN1x+Zk0TtYw2bLr5HfPjC7sD9mA".to_owned()));
    let user_id = std::fs::metadata(folder.path()).unwrap().uid();
    let environment = Environment { cores: BTreeSet::from([0, 1]), user_id, variable: &variable };
    let shared = ["shared_key", "secret"].into_iter();
    let keys = shared.fold(imported.toml.clone(), |text, key| {
        text.replace(&format!("{key} = {{ file = "), &format!("{key} = {{ env = "))
    });
    let source = Source { file: &folder.path().join("draft.toml"), text: &keys };
    Config::parse(source, &environment).err().map_or_else(String::new, |findings| findings.to_string())
}

#[test]
fn a_template_becomes_a_configuration_and_a_list_of_what_is_missing() {
    let imported = import(TEMPLATE).unwrap();
    is_as_reviewed("site-to-site.txt", &told(&imported));
    assert_eq!(findings_of(&imported), "");
    assert!(!imported.toml.contains("sharedKey"), "{}", imported.toml);
}

#[test]
fn connections_between_networks_and_peerings_are_taken_over() {
    let imported = import(NETWORKS).unwrap();
    is_as_reviewed("networks.txt", &told(&imported));
    assert_eq!(findings_of(&imported), "");
}

#[test]
fn circuits_with_their_gateways_and_connections_are_taken_over() {
    let imported = import(CIRCUITS).unwrap();
    is_as_reviewed("circuits.txt", &told(&imported));
    assert_eq!(findings_of(&imported), "");
    assert!(!imported.toml.contains("6d1a3d04"), "{}", imported.toml);
}

#[test]
fn clients_of_a_gateway_are_taken_over_but_for_secrets_and_what_there_is_not() {
    let imported = import(include_str!("../../tests/import/clients.json")).unwrap();
    is_as_reviewed("clients.txt", &told(&imported));
    assert_eq!(findings_of(&imported), "");
    for secret in ["never shown", "nor this"] {
        assert!(!told(&imported).contains(secret), "{secret}");
    }
}

#[test]
fn a_classic_configuration_becomes_a_configuration_and_a_list_of_what_is_missing() {
    let imported = import(CLASSIC).unwrap();
    is_as_reviewed("classic.txt", &told(&imported));
    assert_eq!(findings_of(&imported), "");
}

#[test]
fn two_classic_networks_that_are_sites_of_each_other_come_over_and_a_check_says_what_is_wrong_with_that() {
    // The addresses are those that a draft has until somebody changes them.
    let (one, two) = ("203.0.113.10", "203.0.113.11");
    let site = |number: u8, address: &str| {
        format!(
            "<LocalNetworkSite name=\"Site{number}\"><AddressSpace><AddressPrefix>10.{number}.0.0/16</AddressPrefix></AddressSpace>\
             <VPNGatewayAddress>{address}</VPNGatewayAddress></LocalNetworkSite>"
        )
    };
    let network = |number: u8, far: u8| {
        format!(
            "<VirtualNetworkSite name=\"VNet{number}\"><AddressSpace><AddressPrefix>10.{number}.0.0/16</AddressPrefix></AddressSpace>\
             <Subnets><Subnet name=\"GatewaySubnet\"><AddressPrefix>10.{number}.255.0/27</AddressPrefix></Subnet></Subnets>\
             <Gateway><ConnectionsToLocalNetwork><LocalNetworkSiteRef name=\"Site{far}\"><Connection type=\"IPsec\" />\
             </LocalNetworkSiteRef></ConnectionsToLocalNetwork></Gateway></VirtualNetworkSite>"
        )
    };
    let text = format!(
        "<NetworkConfiguration><VirtualNetworkConfiguration><LocalNetworkSites>{}{}</LocalNetworkSites>\
         <VirtualNetworkSites>{}{}</VirtualNetworkSites></VirtualNetworkConfiguration></NetworkConfiguration>",
        site(1, one),
        site(2, two),
        network(1, 2),
        network(2, 1)
    );
    let imported = import(&text).unwrap();
    assert_eq!(imported.toml.matches("type = \"IPsec\"").count(), 2, "{}", imported.toml);
    let found = findings_of(&imported);
    for address in [one, two] {
        assert!(found.contains(&format!("{address} is an address of this gateway itself")), "{found}");
    }
}

#[test]
fn what_a_template_has_is_taken_over_or_told() {
    let text = include_str!("../../tests/import/everything.json");
    let imported = import(text).unwrap();
    is_as_reviewed("everything.txt", &told(&imported));
    assert_eq!(findings_of(&imported), "");
    for secret in ["never shown", "nor this"] {
        assert!(!told(&imported).contains(secret), "{secret}");
    }
    // A property that nobody has heard of is told wherever it stands, or the whole that it is part of.
    let template: serde_json::Value = serde_json::from_str(text).unwrap();
    let mut objects = Vec::new();
    for (number, resource) in template["resources"].as_array().unwrap().iter().enumerate() {
        let kind = resource["type"].as_str().unwrap().rsplit('/').next().unwrap();
        let name = resource["name"].as_str().unwrap().replace('/', "-");
        objects_of(resource, &format!("/resources/{number}"), &format!("{kind}[{name}]"), &mut objects);
    }
    assert!(objects.len() > 60, "{}", objects.len());
    // What there is about public addresses is told with the ports.
    for (pointer, place) in objects.iter().filter(|(_, place)| !place.contains("publicIPAddress")) {
        let mut extended = template.clone();
        let object = extended.pointer_mut(pointer).and_then(serde_json::Value::as_object_mut).unwrap();
        object.insert("unheardOf".to_owned(), "x".into());
        let told = import(&extended.to_string()).unwrap().left_out;
        let place = format!("{place}.unheardOf");
        assert!(told.iter().any(|left| place.starts_with(&left.place)), "{place}");
    }
}

/// Every object of a resource, by its pointer and as people read where it is.
fn objects_of(value: &serde_json::Value, pointer: &str, place: &str, all: &mut Vec<(String, String)>) {
    match value {
        serde_json::Value::Object(entries) => {
            all.push((pointer.to_owned(), place.to_owned()));
            for (key, value) in entries {
                objects_of(value, &format!("{pointer}/{key}"), &format!("{place}.{key}"), all);
            }
        }
        serde_json::Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                objects_of(value, &format!("{pointer}/{index}"), &format!("{place}[{index}]"), all);
            }
        }
        _ => {}
    }
}

#[test]
fn what_a_classic_configuration_has_is_taken_over_or_told() {
    let imported = import(include_str!("../../tests/import/classic-everything.xml")).unwrap();
    is_as_reviewed("classic-everything.txt", &told(&imported));
    assert_eq!(findings_of(&imported), "");
}

#[test]
fn what_is_neither_is_refused_with_what_is_wanted() {
    for text in
        ["", "hello", "{", "[1, 2]", "{\"resources\": []}", "<a/>", "<NetworkConfiguration/>", "\u{0}"]
    {
        let error = import(text).unwrap_err();
        assert!(
            matches!(error, ImportError::Unreadable(_) | ImportError::NothingThere(_)),
            "{text:?}: {error}"
        );
    }
    assert_eq!(import(&" ".repeat(super::INPUT_MAX_BYTES + 1)), Err(ImportError::TooLarge));
}

#[test]
fn input_that_is_made_to_run_away_ends() {
    let deep_json = "[".repeat(200_000);
    assert!(import(&deep_json).is_err());
    let deep_xml = format!("{}{}", "<a>".repeat(20_000), "</a>".repeat(20_000));
    assert!(import(&deep_xml).is_err());
    let entities = "<!DOCTYPE a [<!ENTITY b \"xxxxxxxx\"><!ENTITY c \"&b;&b;&b;&b;\">]><a>&c;</a>";
    assert!(import(entities).is_err());
    // Variables that double each other, and one that means itself.
    let mut variables = String::new();
    for number in 1..40 {
        let before = number - 1;
        write!(variables, "\"v{number}\": \"[concat(variables('v{before}'), variables('v{before}'))]\", ")
            .unwrap();
    }
    let text = format!(
        "{{ \"variables\": {{ \"v0\": \"xxxxxxxx\", {variables} \"self\": \"[variables('self')]\" }}, \"resources\": [\
         {{ \"type\": \"Microsoft.Network/localNetworkGateways\", \"name\": \"[variables('v39')]\", \"properties\": {{}} }},\
         {{ \"type\": \"Microsoft.Network/localNetworkGateways\", \"name\": \"[variables('self')]\", \"properties\": {{}} }},\
         {{ \"type\": \"Microsoft.Network/localNetworkGateways\", \"name\": \"b\", \"properties\": {{}} }} ] }}"
    );
    let imported = import(&text).unwrap();
    assert_eq!(imported.left_out.iter().filter(|left| left.problem.contains("no name")).count(), 2);
}

#[test]
fn hostile_names_stay_names() {
    let text = "{ \"resources\": [ { \"type\": \"Microsoft.Network/localNetworkGateways\", \"name\": \"x\\\"]\\n[appliance]\\nname = \\\"y\", \
                \"properties\": { \"gatewayIpAddress\": \"192.0.2.1\" } } ] }";
    let imported = import(text).unwrap();
    assert_eq!(imported.toml.matches("[appliance]").count(), 1, "{}", imported.toml);
    assert!(toml::from_str::<toml::Table>(&imported.toml).is_ok(), "{}", imported.toml);
}

proptest! {
    #[test]
    fn damaged_input_never_panics_and_what_comes_out_is_toml(
        classic in any::<bool>(), at in any::<prop::sample::Index>(), cut in 0_usize..40, put in "[\\[\\]{}<>'\",(a-z0)&;]{0,6}",
    ) {
        let text = if classic { CLASSIC } else { TEMPLATE };
        let at = at.index(text.len());
        let end = (at + cut).min(text.len());
        if text.is_char_boundary(at) && text.is_char_boundary(end) {
            let damaged = format!("{}{put}{}", &text[..at], &text[end..]);
            if let Ok(imported) = import(&damaged) {
                prop_assert!(toml::from_str::<toml::Table>(&imported.toml).is_ok(), "{}", imported.toml);
            }
        }
    }
}
