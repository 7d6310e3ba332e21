//! Secrets from files: who may own them, who may read them, what they may be.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where something is not as it expects"
)]

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::Path;

use crossgate_config::{Authentication, Config, EXAMPLE, Environment, Finding, Source};

const KEY: &str = "q3G8vN1x+Zk0TtYw2bLr5HfPjC7sD9mA";

/// Checks the example beside the files of `directory`, as `user_id` would.
fn check_as(directory: &Path, user_id: u32) -> Result<Config, Vec<Finding>> {
    let environment = Environment { cores: BTreeSet::from([0]), user_id, variable: &|_| None };
    let file = directory.join("gw.toml");
    let checked =
        Config::parse(Source { file: &file, text: EXAMPLE }, &environment).map_err(|findings| findings.0)?;
    assert_eq!(checked.warnings, []);
    Ok(checked.config)
}

fn check(directory: &Path) -> Result<Config, Vec<Finding>> {
    check_as(directory, fs::metadata(directory).unwrap().uid())
}

fn with_key(key: &[u8], mode: u32) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a-to-b.psk");
    fs::write(&file, key).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
    directory
}

/// The only finding, with the directory's name out of the way.
fn only_finding(result: Result<Config, Vec<Finding>>, directory: &Path) -> (String, String) {
    let findings = result.unwrap_err();
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0].key, "connection[a-to-b].shared_key.file");
    let text = |text: &str| text.replace(directory.to_str().unwrap(), "DIR");
    (text(&findings[0].problem), text(&findings[0].remedy))
}

#[test]
fn the_example_is_accepted_with_a_private_key_beside_it() {
    for ending in ["", "\n", "\r\n"] {
        let directory = with_key(format!("{KEY}{ending}").as_bytes(), 0o600);
        let config = check(directory.path()).unwrap();
        let Authentication::SharedKey(key) = &config.connections()["a-to-b"].authentication else {
            panic!("the example has a shared key")
        };
        assert_eq!(key.expose(), KEY.as_bytes());
        assert_eq!(config.network_of(&config.connections()["a-to-b"]).name.as_str(), "site-a");
        assert_eq!(config.peer_of(&config.connections()["a-to-b"]).name.as_str(), "site-b");
        assert_eq!(config.underlay_ports().map(|port| port.name.as_str()).collect::<Vec<_>>(), ["wan"]);
    }
}

#[test]
fn a_key_that_group_or_world_can_touch_is_refused() {
    for mode in [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o666] {
        let directory = with_key(KEY.as_bytes(), mode);
        let (problem, remedy) = only_finding(check(directory.path()), directory.path());
        assert_eq!(problem, format!("DIR/a-to-b.psk is open to others (mode {mode:04o})"));
        assert_eq!(remedy, "chmod 600 DIR/a-to-b.psk, and make a new secret if others may have read it");
    }
}

#[test]
fn a_key_of_another_user_is_refused() {
    let directory = with_key(KEY.as_bytes(), 0o600);
    let file = directory.path().join("a-to-b.psk");
    let own = fs::metadata(&file).unwrap().uid();
    // Root can give the file away; anybody else plays the other user.
    let (owner, reader) = if own == 0 { (65534, 0) } else { (own, own + 1) };
    chown(&file, Some(owner), None).unwrap();
    let (problem, remedy) = only_finding(check_as(directory.path(), reader), directory.path());
    assert_eq!(
        problem,
        format!("DIR/a-to-b.psk belongs to user {owner}, who is neither root nor the user that reads it")
    );
    assert_eq!(remedy, "chown root DIR/a-to-b.psk, and make a new secret if that user must not know it");
    assert!(check_as(directory.path(), owner).is_ok(), "its owner may read it");
}

#[test]
fn what_is_no_regular_file_is_refused_without_waiting() {
    let make_fifo = |file: &Path| {
        rustix::fs::mkfifoat(rustix::fs::CWD, file, rustix::fs::Mode::RWXU).unwrap();
    };
    let make_directory = |file: &Path| fs::create_dir(file).unwrap();
    for make in [&make_fifo as &dyn Fn(&Path), &make_directory] {
        let directory = tempfile::tempdir().unwrap();
        make(&directory.path().join("a-to-b.psk"));
        let (problem, _) = only_finding(check(directory.path()), directory.path());
        assert_eq!(problem, "DIR/a-to-b.psk is not a regular file");
    }
}

#[test]
fn a_link_is_judged_by_what_it_leads_to() {
    let elsewhere = with_key(KEY.as_bytes(), 0o644);
    let directory = tempfile::tempdir().unwrap();
    symlink(elsewhere.path().join("a-to-b.psk"), directory.path().join("a-to-b.psk")).unwrap();
    let (problem, _) = only_finding(check(directory.path()), directory.path());
    assert_eq!(problem, "DIR/a-to-b.psk is open to others (mode 0644)");
}

#[test]
fn a_missing_key_is_found_with_the_way_to_make_one() {
    let directory = tempfile::tempdir().unwrap();
    let (problem, remedy) = only_finding(check(directory.path()), directory.path());
    assert_eq!(problem, "DIR/a-to-b.psk cannot be read: No such file or directory (os error 2)");
    assert_eq!(
        remedy,
        "make the file with: (umask 077; openssl rand -base64 32 > FILE), as the user that runs the gateway"
    );
}

#[test]
fn bytes_that_are_no_key_are_refused() {
    for key in [&[0_u8; 64][..], &[0xff; 40], b"", &[b'a'; 4096], b"two lines of a key\nand another one"] {
        let directory = with_key(key, 0o600);
        only_finding(check(directory.path()), directory.path());
    }
}

#[test]
fn keys_are_compared_and_never_shown() {
    let one = with_key(KEY.as_bytes(), 0o600);
    let same = with_key(format!("{KEY}\n").as_bytes(), 0o600);
    let other = with_key(b"Xk9mQ2vL7pR4wT8zB3nFq3G8", 0o600);
    let [one, same, other] = [one, same, other].map(|directory| check(directory.path()).unwrap());
    assert_eq!(one, same);
    assert_ne!(one, other);
    assert!(!format!("{one:?}").contains(KEY));
    assert!(format!("{one:?}").contains("SharedKey(..)"));
}
