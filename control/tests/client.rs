//! The operator's client as a script sees it: exit status and what is on which output. What needs no gateway is tested here;
//! the end-to-end tests ask real ones.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn client(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crossgate"));
    command.args(arguments).env_remove("CROSSGATE_SOCKET").env("PSK", "q3G8vN1x+Zk0TtYw2bLr5HfPjC7sD9mA");
    command
}

/// Exit status, output and errors.
fn told(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

fn run(arguments: &[&str]) -> (i32, String, String) {
    told(&client(arguments).output().expect("the client starts"))
}

fn temporary() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

/// The example with its key from the environment, and with the cores that the machine surely has.
fn example(directory: &Path, change: impl Fn(String) -> String) -> String {
    let text = crossgate_config::EXAMPLE.replace("{ file = \"a-to-b.psk\" }", "{ env = \"PSK\" }");
    let text = text.replace("workers = [0]\n", "").replace("control_core = 0\n", "");
    let file = directory.join("gw.toml");
    std::fs::write(&file, change(text)).expect("a temporary file can be written");
    file.to_str().expect("temporary paths are text").to_owned()
}

#[test]
fn check_accepts_the_example_without_a_gateway() {
    let directory = temporary();
    let file = example(directory.path(), |text| text);
    assert_eq!(run(&["check", &file]), (0, "The configuration is accepted.\n".into(), String::new()));
    assert_eq!(run(&["--json", "check", &file]), (0, "[]\n".into(), String::new()));
}

#[test]
fn check_prints_every_finding_and_fails() {
    let directory = temporary();
    let file = example(directory.path(), |text| {
        text.replace("dh_group = \"ECP384\"", "dh_group = \"DHGroup2\"").replace("vpn_type", "vpntype")
    });
    let (status, shown, errors) = run(&["check", &file]);
    assert_eq!((status, errors.as_str()), (1, ""));
    assert!(shown.contains("virtual_network_gateway[gw].vpntype: there is no such key"), "{shown}");
    assert!(shown.contains("connection[a-to-b].policy.dh_group: DHGroup2 is weak"), "{shown}");
    assert!(shown.ends_with("The configuration is refused: 1 error, 1 warning.\n"), "{shown}");
    let (status, shown, _) = run(&["check", "--json", &file]);
    let findings: Vec<crossgate_config::Finding> = serde_json::from_str(&shown).expect("findings as JSON");
    assert_eq!((status, findings.len()), (1, 2));
    let (status, shown, _) = run(&["check", "/nonexistent/gw.toml"]);
    assert_eq!(status, 1);
    assert!(shown.contains("cannot be read"), "{shown}");
}

#[test]
fn skus_are_listed_without_a_gateway() {
    let (status, shown, errors) = run(&["skus"]);
    assert_eq!((status, errors.as_str()), (0, ""));
    assert!(shown.lines().any(|line| line.starts_with("VpnGw5") && line.contains(" 10000 ")), "{shown}");
    let (_, shown, _) = run(&["--json", "skus"]);
    let rows: serde_json::Value = serde_json::from_str(&shown).expect("rows as JSON");
    assert_eq!(rows[0]["sku"], "Basic", "{rows}");
    assert_eq!(rows[3]["ikev2_sessions"], 250, "{rows}");
}

#[test]
fn sizes_are_measured_within_their_bandwidth() {
    let (status, shown, errors) = run(&["--json", "skus", "--measure"]);
    assert_eq!(status, 0, "{errors}");
    let rows: serde_json::Value = serde_json::from_str(&shown).expect("rows as JSON");
    for row in rows.as_array().expect("a list") {
        let number = |key: &str| row[key].as_u64().expect("a number");
        let (here, promised) = (number("measured_mbit_per_s"), number("bandwidth_mbit_per_s"));
        // This machine may be slower, and is never faster than that.
        assert!(here > 0 && here <= promised + promised / 100 + 1, "{row}");
    }
    let (status, _, errors) = run(&["skus", "--measure", "--core", "4095"]);
    assert_eq!(status, 1);
    assert!(errors.contains("core 4095") && errors.contains("--core"), "{errors}");
}

#[test]
fn import_drafts_a_configuration_and_tells_what_is_missing_beside_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/tests/import");
    for file in ["site-to-site.json", "classic.xml"] {
        let file = folder.join(file);
        let file = file.to_str().expect("the path is text");
        let (status, draft, told) = run(&["import", file]);
        assert_eq!(status, 0, "{told}");
        assert!(draft.contains("[[virtual_network_gateway]]"), "{draft}");
        assert!(told.starts_with("Not taken over, or to be seen to:\n"), "{told}");
        let (_, shown, told) = run(&["--json", "import", file]);
        let answer: serde_json::Value = serde_json::from_str(&shown).expect("a draft as JSON");
        assert_eq!((answer["toml"].as_str(), told.as_str()), (Some(draft.as_str()), ""));
        assert!(answer["left_out"].as_array().is_some_and(|list| list.len() > 3), "{answer}");
    }
    let directory = temporary();
    let garbage = directory.path().join("garbage");
    std::fs::write(&garbage, b"\xff\xfe").expect("a temporary file can be written");
    for (file, problem) in
        [(garbage.to_str().expect("text"), "not UTF-8"), ("/nonexistent", "cannot be read")]
    {
        let (status, draft, told) = run(&["import", file]);
        assert_eq!((status, draft.as_str()), (1, ""), "{told}");
        assert!(told.contains(problem), "{told}");
    }
}

#[test]
fn wrong_usage_ends_with_2() {
    for arguments in [
        &[][..],
        &["frob"],
        &["connection"],
        &["rekey", "a", "--ike", "--child"],
        &["log", "-n", "many"],
        &["reset"],
        &["reset", "a", "--gateway", "gw"],
        &["peer-config", "a"],
        &["top", "--interval", "0"],
        &["rollback", "latest"],
    ] {
        let (status, output, errors) = run(arguments);
        assert_eq!((status, output.as_str()), (2, ""), "{arguments:?}");
        assert!(errors.contains("Usage: crossgate") || errors.contains("For more information"), "{errors}");
    }
}

#[test]
fn no_gateway_ends_with_3_and_the_way_out() {
    let directory = temporary();
    let socket = directory.path().join("gw.sock");
    let socket = socket.to_str().expect("temporary paths are text");
    let (status, output, errors) = run(&["--socket", socket, "status"]);
    assert_eq!((status, output.as_str()), (3, ""));
    assert_eq!(
        errors,
        format!(
            "crossgate: no gateway answers at {socket}: No such file or directory (os error 2)\n  remedy: start it \
             with: crossgated FILE, or name its socket with --socket\n"
        )
    );
    // A socket that a dead gateway left behind.
    drop(UnixListener::bind(socket).expect("a socket"));
    let left_behind = client(&["sas"]).env("CROSSGATE_SOCKET", socket).output().expect("the client starts");
    assert_eq!(told(&left_behind).0, 3);
}

#[test]
fn who_says_nothing_or_nonsense_at_the_socket_is_no_gateway() {
    for (said, status) in
        [(&b""[..], 3), (b"220 mail.example.net ESMTP\r\n", 4), (b"{\"jsonrpc\":\"2.0\"}\n", 4)]
    {
        let directory = temporary();
        let socket = directory.path().join("gw.sock");
        let listener = UnixListener::bind(&socket).expect("a socket");
        let child = client(&["--socket", socket.to_str().expect("temporary paths are text"), "status"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the client starts");
        let (mut stream, _) = listener.accept().expect("the client connects");
        let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
        reader.read_until(b'\n', &mut Vec::new()).expect("a request");
        stream.write_all(said).expect("the client reads");
        drop((stream, reader));
        let (code, output, errors) = told(&child.wait_with_output().expect("the client ends"));
        assert_eq!((code, output.as_str()), (status, ""), "{errors}");
        assert!(errors.contains("remedy: "), "{errors}");
    }
}

#[test]
fn the_completion_is_bash_that_knows_every_command() {
    let (status, script, errors) = run(&["completion", "bash"]);
    assert_eq!((status, errors.as_str()), (0, ""));
    for word in [
        "status",
        "connections",
        "apply",
        "check",
        "rekey",
        "top",
        "diff",
        "export",
        "history",
        "rollback",
        "skus",
        "import",
        "peer-config",
        "juniper-srx",
        "--gateway",
        "--with-key",
        "--socket",
        "--json",
    ] {
        assert!(script.contains(word), "{word}");
    }
    let mut bash = Command::new("bash").arg("-n").stdin(Stdio::piped()).spawn().expect("bash is there");
    bash.stdin.take().expect("piped").write_all(script.as_bytes()).expect("bash reads");
    assert!(bash.wait().expect("bash ends").success(), "bash finds no fault in it");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let mut command = client(&["completion", "bash"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the client starts");
    drop(child.stdout.take());
    let (status, _, errors) = told(&child.wait_with_output().expect("the client ends"));
    assert_eq!((status, errors.as_str()), (0, ""));
}
