//! Every finding by its exact text: each file of `tests/findings` is a list of changes to `base.toml` and what is said of
//! them.
//!
//! A case is a block: `# what is wrong`, then `replace: TEXT` with `by: TEXT` (several times, `\n` is a new line) or
//! `append: TEXT`, then the findings, or `accepted`. `CROSSGATE_BLESS=1 cargo test` writes what is said into the files, to
//! be read and judged before it is committed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where something is not as it expects"
)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use crossgate_config::{Config, Environment, Source};
use zeroize::Zeroizing;

const BASE: &str = include_str!("findings/base.toml");

/// What is said of a configuration on a machine with four cores and a few variables.
fn said_of(text: &str) -> String {
    said_on(BTreeSet::from([0, 1, 2, 3]), text)
}

/// What is said of a configuration on a machine with these cores and a few variables.
fn said_on(cores: BTreeSet<u16>, text: &str) -> String {
    let variable = |name: &str| {
        let value = match name {
            "PSK" => "q3G8vN1x+Zk0TtYw2bLr5HfPjC7sD9mA",
            "HYPHEN" => "q3G8vN1x-Zk0TtYw2bLr5HfPjC7sD9mA",
            "SHORT" => "Xk9mQ2vL7p",
            "LONG" => return Some(Zeroizing::new("Xk9mQ2vL7p".repeat(13))),
            "BLANK" => "Xk9mQ2vL7pR4wT8z B3nF",
            "PLACEHOLDER" => "changeme-changeme-changeme",
            "PATTERN" => "abcabcabcabcabcabcabcabcabc",
            _ => return None,
        };
        Some(Zeroizing::new(value.to_owned()))
    };
    let environment = Environment { cores, user_id: 0, variable: &variable };
    match Config::parse(Source { file: Path::new("gw.toml"), text }, &environment) {
        Err(findings) => format!("{findings}\n"),
        Ok(checked) if checked.warnings.is_empty() => "accepted\n".into(),
        Ok(checked) => checked.warnings.iter().fold(String::new(), |mut text, warning| {
            writeln!(text, "{warning}").unwrap();
            text
        }),
    }
}

/// A case: its heading and changes as they stand, the changed configuration, and what is expected.
struct Case<'t> {
    head: String,
    text: String,
    expected: String,
    title: &'t str,
}

fn case(block: &str) -> Case<'_> {
    let mut case = Case { head: String::new(), text: BASE.into(), expected: String::new(), title: "" };
    let mut replaced = None;
    for line in block.lines() {
        let words = |text: &str| text.replace("\\n", "\n");
        if let Some(title) = line.strip_prefix("# ") {
            case.title = title;
        } else if let Some(text) = line.strip_prefix("replace: ") {
            let text = words(text);
            assert_eq!(case.text.matches(&text).count(), 1, "{}: {text:?} is not there once", case.title);
            replaced = Some(text);
        } else if let Some(text) = line.strip_prefix("by:") {
            let from = replaced.take().expect("replace comes before by");
            case.text = case.text.replace(&from, words(text).strip_prefix(' ').unwrap_or_default());
        } else if let Some(text) = line.strip_prefix("append: ") {
            case.text.push_str(&words(text));
            case.text.push('\n');
        } else {
            writeln!(case.expected, "{line}").unwrap();
            continue;
        }
        writeln!(case.head, "{line}").unwrap();
    }
    case
}

/// Runs the cases of one file and shows all that differ.
fn run(name: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/findings").join(name);
    let blocks = std::fs::read_to_string(&file).unwrap();
    let (mut blessed, mut differing) = (String::new(), String::new());
    for case in blocks.trim().split("\n\n").map(case) {
        let said = said_of(&case.text);
        if said != case.expected {
            writeln!(differing, "{}:\nexpected\n{}said\n{said}", case.title, case.expected).unwrap();
        }
        let separator = if blessed.is_empty() { "" } else { "\n" };
        write!(blessed, "{separator}{}{said}", case.head).unwrap();
    }
    if std::env::var_os("CROSSGATE_BLESS").is_some() {
        std::fs::write(&file, blessed).unwrap();
    } else {
        assert!(differing.is_empty(), "{name}:\n{differing}");
    }
}

#[test]
fn flaws_of_the_file_itself_are_found() {
    run("document.txt");
}

#[test]
fn flaws_of_the_appliance_are_found() {
    run("appliance.txt");
}

#[test]
fn flaws_of_bgp_settings_are_found() {
    run("bgp.txt");
}

#[test]
fn flaws_of_regions_are_found() {
    run("region.txt");
}

#[test]
fn flaws_of_ports_are_found() {
    run("port.txt");
}

#[test]
fn flaws_of_networks_are_found() {
    run("network.txt");
}

/// As many prefixes as that, side by side, as the file lists them.
fn prefixes(first: u8, count: u16) -> String {
    let all: Vec<String> =
        (0..count).map(|number| format!("\"10.{first}.{}.{}/30\"", number / 64, number % 64 * 4)).collect();
    format!("[{}]", all.join(", "))
}

/// The base with so many prefixes in the network and behind the peer, and more at its end.
fn with_prefixes(network: u16, peer: u16, more: &str) -> String {
    let space = format!("address_space = {}\n", prefixes(1, network));
    BASE.replace("address_space = [\"10.1.0.0/16\", \"fd00:1::/48\"]", &space)
        .replace("gateway_subnet = \"10.1.255.0/27\"", "gateway_subnet = \"10.1.0.0/30\"")
        .replace("addresses = [\"10.1.0.1/24\", \"fd00:1::1/64\"]", "addresses = [\"10.1.0.1/30\"]")
        .replace(
            "prefixes = [\"10.2.0.0/16\", \"fd00:2::/48\"]",
            &format!("prefixes = {}", prefixes(2, peer)),
        )
        + more
}

#[test]
fn more_prefixes_than_there_may_be_are_found() {
    let too_many = |said: &str| said.lines().filter(|line| line.contains(" more than ")).count();
    assert_eq!(too_many(&said_of(&with_prefixes(600, 1000, ""))), 0);
    let said = said_of(&with_prefixes(601, 1001, ""));
    for words in [
        "virtual_network[site-a].address_space: 601 prefixes are more than 600",
        "local_network_gateway[site-b].prefixes: 1001 prefixes are more than 1000",
    ] {
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn more_nat_rules_than_a_gateway_may_have_are_found() {
    let rules = |count: u16| {
        let rule = |number: u16| {
            let prefix = format!("{}.{}.0/24", number / 250, number % 250);
            format!(
                "[[nat_rule]]\nname = \"r{number}\"\ngateway = \"gw\"\nmode = \"IngressSnat\"\n\
                 internal_mapping = \"10.1{prefix}\"\nexternal_mapping = \"100.7{prefix}\"\n"
            )
        };
        let large = BASE.replace("sku = \"VpnGw1\"", "sku = \"VpnGw2\"");
        said_of(&(large + &(0..count).map(rule).collect::<String>()))
    };
    // That no connection names them is a warning.
    assert!(!rules(500).contains("error: "));
    let said = rules(501);
    assert!(said.contains("nat_rule[r500]: \"gw\" has more than 500 NAT rules"), "{said}");
}

#[test]
fn more_workers_than_share_the_work_and_cores_beyond_what_the_kernel_names_are_found() {
    let with_workers = |workers: &[u16]| BASE.replace("workers = [1]", &format!("workers = {workers:?}"));
    let large: BTreeSet<u16> = (0..2000).collect();
    let workers: Vec<u16> = (1..66).collect();
    assert_eq!(said_on(large.clone(), &with_workers(&workers[..64])), "accepted\n");
    let said = said_on(large.clone(), &with_workers(&workers));
    assert!(said.contains("appliance.workers: 65 workers are more than 64"), "{said}");
    let said = said_on(large, &with_workers(&[1023, 1024]));
    assert!(said.contains("appliance.workers[1]: this process has no core 1024"), "{said}");
}

#[test]
fn more_selectors_than_a_tunnel_can_have_are_found() {
    let by_policy = "use_policy_based_traffic_selectors = true\n";
    let pairs = "101 pairs of prefixes are more than 100";
    assert!(!said_of(&with_prefixes(1, 100, by_policy)).contains("more than"));
    let said = said_of(&with_prefixes(1, 101, by_policy));
    assert!(
        said.contains(&format!("connection[a-to-b].use_policy_based_traffic_selectors: {pairs}")),
        "{said}"
    );
    let policy_based = with_prefixes(1, 101, "").replace("sku = \"VpnGw1\"", "vpn_type = \"PolicyBased\"");
    let said = said_of(&policy_based);
    assert!(said.contains(&format!("connection[a-to-b]: {pairs}")), "{said}");

    let learned = "[[connection]]\nname = \"there\"\ntype = \"Vnet2Vnet\"\ngateway = \"gw\"\n\
                   remote_gateway = \"198.51.100.9\"\nshared_key = { env = \"PSK\" }\n";
    assert!(!said_of(&with_prefixes(255, 1, learned)).contains("more than"));
    let said = said_of(&with_prefixes(256, 1, learned));
    assert!(
        said.contains("connection[there]: 256 prefixes on one side are more than a tunnel can name, 255"),
        "{said}"
    );
}

#[test]
fn flaws_of_gateways_are_found() {
    run("gateway.txt");
}

#[test]
fn flaws_of_circuits_are_found() {
    run("circuit.txt");
}

#[test]
fn more_routes_and_circuits_than_a_size_has_room_for_are_found() {
    let circuit = |number: u8, count: u16| {
        format!(
            "[[express_route_circuit]]\nname = \"line-{number}\"\nport = \"lan\"\nvlan = {}\n\
             addresses = [\"172.31.{number}.1/30\"]\nnext_hops = [\"172.31.{number}.2\"]\nprefixes = {}\n\
             [[connection]]\nname = \"to-{number}\"\ntype = \"ExpressRoute\"\ngateway = \"er\"\n\
             express_route_circuit = \"line-{number}\"\n",
            100 + u16::from(number),
            prefixes(20 + number, count)
        )
    };
    let with = |sku: &str, circuits: u8, each: u16| {
        let gateway = format!(
            "[[virtual_network_gateway]]\nname = \"er\"\nvirtual_network = \"site-a\"\ntype = \"ExpressRoute\"\nsku = \"{sku}\"\n"
        );
        said_of(
            &((0..circuits).fold(format!("{BASE}{gateway}"), |text, number| text + &circuit(number, each))),
        )
    };
    assert_eq!(with("Standard", 4, 1000), "accepted\n");
    let said = with("Standard", 4, 1001);
    assert!(
        said.contains("there are 4004 prefixes behind the circuits of \"er\": Standard has at most 4000"),
        "{said}"
    );
    assert_eq!(with("HighPerformance", 4, 1001), "accepted\n");
    assert_eq!(with("ErGw3AZ", 15, 1), "accepted\n");
    let said = with("ErGw3AZ", 17, 1);
    assert!(said.contains("10.1.255.0/27 of \"site-a\" is too small for 16 circuits"), "{said}");
    assert!(said.contains("\"er\" has more than 16 circuits"), "{said}");
}

#[test]
fn flaws_of_nat_rules_are_found() {
    run("nat_rule.txt");
}

/// The base with so many dynamic rules of 16 external addresses, whose ports are a little less than the 32nd part of all.
fn with_dynamic_rules(count: u8) -> String {
    (0..count).fold(BASE.replace("VpnGw1", "VpnGw2"), |mut text, number| {
        writeln!(
            text,
            "[[nat_rule]]\nname = \"hidden-{number}\"\ngateway = \"gw\"\nmode = \"EgressSnat\"\ntype = \"Dynamic\"\n\
             internal_mapping = \"10.1.0.0/16\"\nexternal_mapping = \"100.64.{number}.0/28\""
        )
        .unwrap();
        text
    })
}

#[test]
fn more_ports_of_dynamic_rules_than_there_is_memory_for_are_found() {
    let too_many = "dynamic NAT rules have 34062336 ports, of which the appliance keeps 33554432 at most";
    assert!(!said_of(&with_dynamic_rules(32)).contains("error"));
    let said = said_of(&with_dynamic_rules(34));
    assert!(said.contains(&format!("nat_rule[hidden-32]: with this one, {too_many}")), "{said}");
    assert_eq!(said.lines().filter(|line| line.contains("error")).count(), 1, "told once: {said}");
}

#[test]
fn flaws_of_peers_are_found() {
    run("local_network_gateway.txt");
}

#[test]
fn flaws_of_connections_are_found() {
    run("connection.txt");
}

#[test]
fn flaws_of_peerings_are_found() {
    run("peering.txt");
}

#[test]
fn flaws_of_connections_between_networks_are_found() {
    run("vnet.txt");
}

#[test]
fn flaws_of_policies_are_found() {
    run("policy.txt");
}

#[test]
fn flaws_of_secrets_are_found() {
    run("secret.txt");
}

/// Each of the six with its line; the second name and the second tunnel too many are told where they stand.
#[test]
fn six_kinds_of_flaws_are_told_together() {
    let text = include_str!("findings/bad-input.toml");
    let folder = tempfile::tempdir().unwrap();
    let (file, key) = (folder.path().join("bad-input.toml"), folder.path().join("peer.psk"));
    std::fs::write(&file, text).unwrap();
    std::fs::write(&key, "q3G8vN1x+Zk0TtYw2bLr5HfPjC7sD9mA").unwrap();
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let findings = Config::read(&file, &Environment::of_process()).unwrap_err().0;
    let line = |needle: &str, nth: usize| {
        let found = text.lines().enumerate().filter(|(_, line)| *line == needle).nth(nth);
        found.map_or_else(|| panic!("no {needle}"), |(index, _)| index + 1)
    };
    let told: Vec<(usize, String)> = findings
        .iter()
        .map(|finding| (finding.line, format!("{}: {}", finding.key, finding.problem)))
        .collect();
    let expected = [
        (line("name = \"site-c\"", 1), "the local network gateway \"site-c\" exists already, on line"),
        (line("local_network_gateway = \"site-b\"", 0), "10.1.8.0/24 of \"site-b\" overlaps 10.1.0.0/16"),
        (line("name = \"to-c\"", 0) - 1, "is one connection too many for \"gw\": custom has at most 1"),
        (line("shared_key = { file = \"missing.psk\" }", 0), "missing.psk"),
        (line("local_network_gateway = \"site-d\"", 0), "there is no local network gateway \"site-d\""),
        (line("name = \"1-to-2\"", 0) - 1, "use each other's gateways in a circle: spoke-1, spoke-2"),
    ];
    for (line, problem) in expected {
        assert!(
            told.iter().any(|(at, said)| *at == line && said.contains(problem)),
            "{line}: {problem} in {told:#?}"
        );
    }
    assert!(findings.iter().all(|finding| !finding.remedy.is_empty() && finding.file == file));
    assert_eq!(told.len(), expected.len(), "{told:#?}");
}
