//! What `make interop` runs: the end-to-end tests, of which it makes `docs/interop.md`, a table of the peers that this machine has, what was tried with each, and
//! what came of it. Nothing in it is written by hand: tests write down whom they met ([`crossgate_tests::met`]), and what they are called is what they try.

use crossgate_tests::failure::{Result, Tried};
use crossgate_tests::met;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

/// The table, seen from the workspace's folder.
const TABLE: &str = "docs/interop.md";

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the tests whose names hold one of the arguments, or all; whether all passed.
fn run() -> Result<bool> {
    let folder = tempfile::tempdir().tried(|| "a folder for what the tests write down".to_owned())?;
    let file = folder.path().join("met");
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    // Those that need all that the machine can send come when the others are done.
    let parts: &[&[&str]] =
        if arguments.is_empty() { &[&["--skip", "bandwidth::"], &["bandwidth::"]] } else { &[&arguments] };
    let (mut outcomes, mut passed) = (BTreeMap::new(), true);
    for part in parts {
        passed &= run_part(part, &file, &mut outcomes)?;
    }
    let met = fs::read_to_string(&file).tried(|| file.display().to_string())?;
    fs::write(TABLE, table(&met, &outcomes)).tried(|| TABLE.to_owned())?;
    println!("written: {TABLE}");
    Ok(passed)
}

/// Runs some of the tests, which write down whom they met into `file`; whether all of these passed.
fn run_part(part: &[&str], file: &Path, outcomes: &mut BTreeMap<String, bool>) -> Result<bool> {
    let mut command = Command::new("cargo");
    // A test's name is that of its thread: of one thread alone it would not be.
    command.args(["test", "--workspace", "--no-fail-fast", "--test", "end_to_end", "--", "--test-threads=3"]);
    // Those with peers that this machine's Debian does not have, too.
    command.arg("--include-ignored");
    command.args(part).env(met::FILE, file).stdout(Stdio::piped());
    let mut tests = command.spawn().tried(|| "cargo test".to_owned())?;
    for line in tests.stdout.take().into_iter().flat_map(|output| BufReader::new(output).lines()) {
        let line = line.tried(|| "what cargo test says".to_owned())?;
        println!("{line}");
        if let Some((name, outcome)) = outcome(&line) {
            outcomes.insert(name, outcome);
        }
    }
    Ok(tests.wait().tried(|| "cargo test".to_owned())?.success())
}

/// The name of a test and whether it passed, from a line of the test program.
fn outcome(line: &str) -> Option<(String, bool)> {
    let (name, outcome) = line.strip_prefix("test ")?.split_once(" ... ")?;
    match outcome {
        "ok" => Some((name.to_owned(), true)),
        "FAILED" => Some((name.to_owned(), false)),
        _ => None,
    }
}

/// The whole page. A gateway of ours is a peer where a test has two of them.
fn table(met: &str, outcomes: &BTreeMap<String, bool>) -> String {
    let mut text = String::from(
        "# Who Crossgate was tried with\n\nMade by `make interop`, which runs the end-to-end tests with the peers of the machine and asks each for its version: each row is a test of \
         `tests/tests/end_to_end`, or a part of one. strongSwan runs in a network namespace with its own ESP (in UDP 4500), or in a guest under QEMU with the ESP of the Linux kernel (protocol 50); \
         Libreswan in the guest; a Crossgate in a namespace of its own. strongSwan 6 and the newest kernel are those of a Debian after the machine's, fetched and not installed.\n",
    );
    let rows = rows(met, outcomes);
    let peers: BTreeSet<(&str, &str)> = rows.keys().map(|(peer, version, ..)| (*peer, *version)).collect();
    for (peer, version) in peers {
        let _ = write!(
            text,
            "\n## {peer}: {version}\n\n| about | what was tried | result |\n| --- | --- | --- |\n"
        );
        for ((_, _, about, what), passed) in rows.iter().filter(|(row, _)| (row.0, row.1) == (peer, version))
        {
            let result = if *passed { "works" } else { "FAILED" };
            let _ = writeln!(text, "| {about} | {what} | {result} |");
        }
    }
    text
}

/// Peer, version, what it is about, what was tried; and whether it worked.
type Rows<'m> = BTreeMap<(&'m str, &'m str, String, String), bool>;

fn rows<'m>(met: &'m str, outcomes: &BTreeMap<String, bool>) -> Rows<'m> {
    let mut rows = Rows::new();
    let mut gateways: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for line in met.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [test, peer, version, case] = fields[..] else { continue };
        let Some(passed) = outcomes.get(test) else { continue };
        let (about, name) = test.rsplit_once("::").unwrap_or(("", test));
        let words = |name: &str| name.replace("::", ", ").replace('_', " ");
        let what = if case.is_empty() { words(name) } else { case.to_owned() };
        let is_ours = peer.starts_with("Crossgate in ");
        let is_peer = !is_ours || {
            let all = gateways.entry(test).or_default();
            all.insert(peer);
            all.len() == 2
        };
        if is_peer {
            let peer = if is_ours { "Crossgate" } else { peer };
            let version = version.trim_start_matches("crossgate ");
            rows.insert((peer, version, words(about), what), *passed);
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    const MET: &str = "a::one_test\tstrongSwan\t5.9\t\na::one_test\tCrossgate in x\tcrossgate 0.1\t\n\
                       b::two\tCrossgate in x\tcrossgate 0.1\t\nb::two\tCrossgate in y\tcrossgate 0.1\t\n\
                       c::parts\tLibreswan\t4\tIKEv1\nc::gone\tLibreswan\t4\t\n";

    #[test]
    fn each_peer_that_a_test_met_gets_a_row_and_our_gateway_where_there_are_two() {
        let outcomes = ["test a::one_test ... ok", "test b::two ... FAILED", "test c::parts ... ok"];
        let outcomes = outcomes.iter().filter_map(|line| outcome(line)).collect();
        let page = table(MET, &outcomes);
        let sections = "\n## Crossgate: 0.1\n\n| about | what was tried | result |\n| --- | --- | --- |\n| b | two | FAILED |\n\
                        \n## Libreswan: 4\n\n| about | what was tried | result |\n| --- | --- | --- |\n| c | IKEv1 | works |\n\
                        \n## strongSwan: 5.9\n\n| about | what was tried | result |\n| --- | --- | --- |\n| a | one test | works |\n";
        assert!(page.ends_with(sections), "{page}");
    }
}
