//! Post-quantum pre-shared keys of connections: what is read, what is said of what does not fit, and what differs.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it expects")]

use std::collections::BTreeSet;
use std::path::Path;

use crossgate_config::{Config, EXAMPLE, Environment, Findings, Source};
use zeroize::Zeroizing;

const KEY: &str = "q3G8vN1x+Zk0TtYw2bLr5HfPjC7sD9mAuE4iRo6KyXg=";
const OTHER: &str = "Vb2mKq8Xw5Rz1Ny7Lc4Hg9Tp3Fd6JsAoUeWi0QxZyMr=";

/// The example with a table `[connection.ppk]` of these lines, and warnings.
fn read(lines: &str, key: &str) -> Result<(Config, Vec<String>), Findings> {
    let variable = |name: &str| {
        let known = if name == "PPK" { key } else { "q3G8vN1xZk0TtYw2bLr5HfPjC7sD9mA" };
        Some(Zeroizing::new(known.to_owned()))
    };
    let environment = Environment { cores: BTreeSet::from([0]), user_id: 0, variable: &variable };
    let example = EXAMPLE.replace("{ file = \"a-to-b.psk\" }", "{ env = \"PSK\" }");
    let text = format!("{example}\n[connection.ppk]\n{lines}\n");
    let checked = Config::parse(Source { file: Path::new("gw.toml"), text: &text }, &environment)?;
    let warnings = checked.warnings.iter().map(|found| format!("{}: {}", found.key, found.problem)).collect();
    Ok((checked.config, warnings))
}

const SOUND: &str = "id = \"a.b\"\nsecret = { env = \"PPK\" }";

fn said(lines: &str, key: &str) -> String {
    let findings = read(lines, key).unwrap_err().0;
    assert_eq!(findings.len(), 1, "{findings:?}");
    let found = &findings[0];
    format!("{}: {}; {}", found.key.replace("connection[a-to-b].", ""), found.problem, found.remedy)
}

#[test]
fn a_key_is_required_of_the_peer_unless_the_file_says_otherwise() {
    let (config, warnings) = read(SOUND, KEY).unwrap();
    assert_eq!(warnings, Vec::<String>::new());
    let ppk = config.connections()["a-to-b"].ppk.as_ref().unwrap();
    assert_eq!((ppk.id.as_str(), ppk.secret.expose(), ppk.required), ("a.b", KEY.as_bytes(), true));
    assert!(!format!("{config:?}").contains(KEY));
    let (config, _) = read(&format!("{SOUND}\nrequired = false"), KEY).unwrap();
    assert!(!config.connections()["a-to-b"].ppk.as_ref().unwrap().required);
}

#[test]
fn what_is_no_key_or_name_is_told_with_what_to_write() {
    for (lines, key, expected) in [
        ("secret = { env = \"PPK\" }", KEY, "ppk.id"),
        ("id = \"\"\nsecret = { env = \"PPK\" }", KEY, "ppk.id: \"\" is no name"),
        ("id = \"a b\"\nsecret = { env = \"PPK\" }", KEY, "ppk.id"),
        ("id = \"a\"\nsecret = \"in the open\"", KEY, "write secret = { file"),
        (SOUND, "short", "too few"),
        ("id = \"a\"\nsecret = { env = \"PPK\" }\nneeded = true", KEY, "ppk.needed"),
    ] {
        let said = said(lines, key);
        assert!(said.contains(expected), "{lines}: {said}");
    }
    let missing = read("id = \"a\"", KEY).unwrap_err().0;
    assert!(missing.iter().any(|found| found.remedy.contains("write secret = { file")), "{missing:?}");
}

#[test]
fn a_key_below_256_bits_is_warned_of() {
    let (_, warnings) = read(SOUND, &KEY[..32]).unwrap();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("256 bits"), "{warnings:?}");
}

#[test]
fn another_key_at_the_same_place_is_a_difference_and_what_is_exported_is_read_again() {
    let (one, other) = (read(SOUND, KEY).unwrap().0, read(SOUND, OTHER).unwrap().0);
    let told: Vec<String> = one.differences(&other).iter().map(ToString::to_string).collect();
    assert_eq!(told, ["connection[a-to-b].ppk.secret: (what was there) -> (other contents)"]);
    let optional = read(&format!("{SOUND}\nrequired = false"), KEY).unwrap().0;
    let told: Vec<String> = one.differences(&optional).iter().map(ToString::to_string).collect();
    assert_eq!(told, ["connection[a-to-b].ppk.required: true -> false"]);
    assert_eq!(one.differences(&read(SOUND, KEY).unwrap().0), Vec::new());
}
