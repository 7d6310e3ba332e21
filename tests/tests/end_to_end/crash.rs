//! A gateway that is killed while a large change is applied comes back whole: with the old configuration or with the new one.

use std::time::{Duration, Instant};

use crossgate_tests::gateway::{Gateway, Plan, many, program};
use crossgate_tests::process::Process;
use crossgate_tests::sites;
use serde_json::Value;

/// Connections that a change brings.
const MANY: u32 = 300;

/// The history's entries by number, the oldest first.
fn history(gateway: &Gateway<'_>) -> Vec<(u64, String)> {
    let entries = gateway.ask(&["history"]).expect("the history is there");
    let numbers = entries.as_array().expect("a list").iter().filter_map(|entry| entry["number"].as_u64());
    let text =
        |number: u64| gateway.client(&["history", &number.to_string()]).expect("the client starts").output;
    numbers.map(|number| (number, text(number))).collect()
}

fn latest(gateway: &Gateway<'_>) -> u64 {
    history(gateway).last().expect("an entry").0
}

/// Begins to apply a file and waits for nothing.
fn begin(gateway: &Gateway<'_>, file: &str) -> Process {
    let mut client = std::process::Command::new(program("crossgate").expect("it is built"));
    client.arg("--socket").arg(gateway.socket()).args(["--json", "apply", file]);
    let log = gateway.file().with_file_name("applied");
    // It is appended to, and what the client before wrote is none of this one's answer.
    let _ = std::fs::remove_file(&log);
    Process::start("crossgate apply", &client, &log).expect("the client starts")
}

/// What the applying client was told, if it was told anything before the gateway was gone.
fn told(mut client: Process) -> Option<Value> {
    let status = client.end(rustix::process::Signal::TERM, Duration::from_secs(20)).expect("the client ends");
    status.success().then(|| serde_json::from_str(&client.log()).expect("the answer is JSON"))
}

/// Two meanings of "old or new" meet after a restart. What runs is what the gateway's own file says, whole. What was applied from elsewhere is in the
/// history, whole, or it is not there; it is there if the client was told that it is applied.
#[test]
fn gateway_killed_while_it_applies_a_large_change_has_the_old_or_the_new_configuration() {
    let (site, _peer) = sites::with_peer().unwrap();
    let mut plan = Plan::site(1);
    let folder = std::path::Path::new("FOLDER");
    let size = "sku = \"custom\"\ncustom = { tunnels = 400, bandwidth_mbit_per_s = 1000 }";
    let way = "name = \"wan\"\nroutes = [{ prefix = \"198.18.0.0/15\", next_hop = \"192.0.2.2\" }]";
    plan.instead = Some(plan.text(folder).replace("sku = \"VpnGw1\"", size).replace("name = \"wan\"", way));
    let mut gateway = Gateway::start(&site.gateway, plan.clone()).unwrap();
    let own_folder = gateway.file().parent().unwrap().to_owned();
    let old_text = plan.text(&own_folder);
    let new_text = old_text.clone() + &many(MANY, &own_folder, "");
    let other = gateway.file().with_file_name("other.toml");
    std::fs::write(&other, &new_text).unwrap();
    let other = other.to_str().unwrap();

    let old = gateway.client(&["export"]).unwrap().output;
    let begun = Instant::now();
    gateway.ask(&["apply", other]).unwrap();
    let whole = begun.elapsed();
    let new = gateway.client(&["export"]).unwrap().output;
    assert!(new.len() > old.len() * 10, "{new}");

    let mut seen = [0; 2];
    // Later and later, until it was too late twice.
    for part in 0..40 {
        if seen[1] == 2 {
            break;
        }
        // Each time from the old configuration, so that the history has a new entry if the other one is applied.
        gateway.ask(&["apply", gateway.file().to_str().unwrap()]).unwrap();
        assert_eq!(gateway.client(&["export"]).unwrap().output, old);
        let before = latest(&gateway);
        let client = begin(&gateway, other);
        std::thread::sleep(whole * part / 9); // the delay is what is tried here
        gateway.kill_and_restart().unwrap();
        let answer = told(client);
        assert_eq!(gateway.client(&["export"]).unwrap().output, old, "after {part}/9: the file says so");
        let after = history(&gateway);
        assert!(after.iter().all(|(_, text)| *text == old || *text == new), "after {part}/9: {after:?}");
        // The change, and the restart after it.
        let made: Vec<bool> =
            after.iter().filter(|(number, _)| *number > before).map(|(_, text)| *text == new).collect();
        let applied = !made.is_empty();
        assert!(!applied || made == [true, false], "after {part}/9: {made:?}");
        assert!(applied || answer.is_none(), "after {part}/9: told {answer:?} and not in the history");
        seen[usize::from(applied)] += 1;
    }
    assert!(
        seen.iter().all(|count| *count > 0),
        "killed both before and after the change was made: {seen:?}"
    );

    // From its own file the new configuration comes back by itself, whenever it was killed.
    for part in [1, 4, 7] {
        gateway.write_file(&old_text).unwrap();
        gateway.ask(&["apply", gateway.file().to_str().unwrap()]).unwrap();
        gateway.write_file(&new_text).unwrap();
        let client = begin(&gateway, gateway.file().to_str().unwrap());
        std::thread::sleep(whole * part / 9);
        gateway.kill_and_restart().unwrap();
        told(client);
        assert_eq!(gateway.client(&["export"]).unwrap().output, new, "after {part}/9");
        assert_eq!(gateway.ask(&["connections"]).unwrap().as_array().map(Vec::len), Some(MANY as usize + 1));
    }
    gateway.write_file(&old_text).unwrap();
    gateway.ask(&["apply", gateway.file().to_str().unwrap()]).unwrap();
    gateway.stop().unwrap();
}
