//! Whatever a file holds, it is answered with a configuration or with findings: never a panic, never silence.

use std::collections::BTreeSet;
use std::path::Path;

use crossgate_config::{Config, EXAMPLE, Environment, Findings, Severity, Source};
use proptest::prelude::*;
use zeroize::Zeroizing;

fn check(text: &str) -> Result<(), Findings> {
    let variable = |_: &str| Some(Zeroizing::new("q3G8vN1x+Zk0TtYw2bLr5HfPjC7sD9mA".to_owned()));
    let environment = Environment { cores: BTreeSet::from([0, 1]), user_id: 0, variable: &variable };
    let text_with_variable = text.replace("file = \"a-to-b.psk\"", "env = \"PSK\"");
    Config::parse(Source { file: Path::new("gw.toml"), text: &text_with_variable }, &environment).map(|_| ())
}

/// Findings that hold together: at least one error, each with a line of the file and a remedy.
fn assert_sound(text: &str, result: &Result<(), Findings>) {
    let Err(Findings(findings)) = result else { return };
    assert!(findings.iter().any(|finding| finding.severity == Severity::Error), "{text:?}");
    for finding in findings {
        assert!((1..=text.lines().count().max(1) + 1).contains(&finding.line), "{finding:?} of {text:?}");
        assert!(!finding.problem.is_empty() && !finding.remedy.is_empty(), "{finding:?}");
    }
}

/// Values that a key may meet.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        any::<bool>().prop_map(|flag| flag.to_string()),
        any::<f64>().prop_map(|number| format!("{number:?}")),
        "[a-z0-9./:@-]{0,24}".prop_map(|text| format!("{text:?}")),
        any::<std::net::IpAddr>().prop_map(|address| format!("\"{address}\"")),
        (any::<std::net::IpAddr>(), 0_u8..=129)
            .prop_map(|(address, length)| format!("\"{address}/{length}\"")),
        Just("[]".to_owned()),
        Just("{}".to_owned()),
        Just("[[[{ a = [1, 'x'] }]]]".to_owned()),
        Just("2024-02-30T00:00:00Z".to_owned()),
    ]
}

proptest! {
    #[test]
    fn random_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let text = String::from_utf8_lossy(&bytes);
        assert_sound(&text, &check(&text));
    }

    #[test]
    fn the_example_with_lines_lost_repeated_and_moved_is_answered(
        edits in prop::collection::vec((0_usize..200, 0_usize..200, 0_u8..3), 0..12),
    ) {
        let mut lines: Vec<&str> = EXAMPLE.lines().collect();
        for (from, to, kind) in edits {
            let (from, to) = (from % lines.len(), to % lines.len());
            match kind {
                0 => { lines.remove(from); }
                1 => lines.swap(from, to),
                _ => lines.insert(to, lines[from]),
            }
        }
        let text = lines.join("\n");
        assert_sound(&text, &check(&text));
    }

    #[test]
    fn the_example_with_other_values_is_answered(changes in prop::collection::vec((0_usize..200, value()), 1..8)) {
        let mut lines: Vec<String> = EXAMPLE.lines().map(str::to_owned).collect();
        for (at, value) in changes {
            let at = at % lines.len();
            if let Some((key, _)) = lines[at].clone().split_once(" = ") {
                lines[at] = format!("{key} = {value}");
            }
        }
        let text = lines.join("\n");
        assert_sound(&text, &check(&text));
    }

    #[test]
    fn each_byte_of_the_example_can_be_anything(at in 0_usize..6000, byte in any::<char>()) {
        let at = at % EXAMPLE.len();
        let text: String = EXAMPLE.char_indices().map(|(index, c)| if index == at { byte } else { c }).collect();
        assert_sound(&text, &check(&text));
    }
}

#[test]
fn deep_nesting_is_refused() {
    for text in [
        "[".repeat(100_000),
        format!("a = {}", "[".repeat(100_000)),
        format!("a{} = 1", ".a".repeat(10_000)),
        "a = { a = ".repeat(10_000),
    ] {
        assert!(check(&text).is_err());
    }
}

#[test]
fn an_unreadable_or_huge_file_is_refused() {
    let environment = Environment::of_process();
    let refused = |file: &Path| Config::read(file, &environment).unwrap_err().to_string();
    assert_eq!(
        refused(Path::new("/nonexistent/gw.toml")),
        "error: /nonexistent/gw.toml: the file cannot be read: No such file or directory (os error 2)\n  remedy: name a \
         file that this user may read"
    );
    assert_eq!(
        refused(Path::new("/dev/zero")),
        "error: /dev/zero: the file is larger than 8 MiB\n  remedy: name a configuration file"
    );
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, [0xff, 0xfe]).unwrap();
    assert!(refused(file.path()).contains("the file is not UTF-8 text"));
}

#[test]
fn the_example_is_accepted() {
    assert_eq!(check(EXAMPLE).map_err(|findings| findings.to_string()), Ok(()));
}
