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
    let environment = Environment { cores: BTreeSet::from([0, 1, 2, 3]), user_id: 0, variable: &variable };
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
fn flaws_of_ports_are_found() {
    run("port.txt");
}

#[test]
fn flaws_of_networks_are_found() {
    run("network.txt");
}

#[test]
fn flaws_of_gateways_are_found() {
    run("gateway.txt");
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
