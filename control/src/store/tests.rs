use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::*;

fn entry(number: u64) -> Entry {
    let toml = format!("# {number}\n{}", "x".repeat(5000));
    Entry { at: number, user_id: 1000, occasion: Occasion::Apply, origin: "/etc/gw.toml".into(), toml }
}

#[test]
fn entries_survive_and_only_the_latest_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("below/gw.redb");
    for number in 1..=30 {
        let store = Store::open(&path).unwrap();
        assert_eq!(store.record(&entry(number)).unwrap(), number);
    }
    let entries = Store::open(&path).unwrap().entries().unwrap();
    let numbers: Vec<u64> = entries.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (11..=30).collect::<Vec<_>>());
    assert!(entries.iter().all(|(number, found)| *found == entry(*number)));
}

#[test]
fn what_is_applied_twice_in_a_row_is_one_entry() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&directory.path().join("gw.redb")).unwrap();
    assert_eq!([1, 1, 2, 2, 1].map(|number| store.record(&entry(number)).unwrap()), [1, 1, 2, 2, 3]);
}

#[test]
fn the_file_is_private_even_if_it_was_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("gw.redb");
    drop(Store::open(&path).unwrap());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    drop(Store::open(&path).unwrap());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_link_a_foreign_file_and_a_second_gateway_are_refused_with_a_remedy() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("gw.redb");
    let store = Store::open(&path).unwrap();
    let error = Store::open(&path).unwrap_err();
    assert!(error.remedy().contains("another gateway"), "{error}");
    drop(store);
    let link = directory.path().join("link.redb");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert!(Store::open(&link).is_err());
    let foreign = directory.path().join("notes.txt");
    fs::write(&foreign, "no database").unwrap();
    let error = Store::open(&foreign).unwrap_err();
    assert!(error.to_string().contains("notes.txt"), "{error}");
    assert_eq!(fs::read(&foreign).unwrap(), b"no database", "it is left as it was");
}

const VICTIM: &str = "CROSSGATE_TEST_STORE";

/// The process that is killed: records as fast as it can. Does nothing in an ordinary run of the tests.
#[test]
fn victim_records_until_it_is_killed() {
    let Some(path) = std::env::var_os(VICTIM) else { return };
    let store = Store::open(Path::new(&path)).unwrap();
    let next = store.entries().unwrap().last().map_or(1, |(number, _)| number + 1);
    for number in next.. {
        store.record(&entry(number)).unwrap();
    }
}

#[test]
fn killed_in_the_middle_it_holds_whole_entries_without_a_gap() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("gw.redb");
    let mut before = 0;
    for round in 0..8_u64 {
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::tests::victim_records_until_it_is_killed"])
            .env(VICTIM, &path)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // It has begun when the file grows beyond what the last round left; then a while that differs from round to round.
        let deadline = Instant::now() + Duration::from_secs(20);
        let modified = || fs::metadata(&path).and_then(|file| file.modified()).ok();
        let first = modified();
        while modified() == first {
            assert!(Instant::now() < deadline && victim.try_wait().unwrap().is_none(), "it does not write");
        }
        let kill_at = Instant::now() + Duration::from_micros(1700 * round * round);
        while Instant::now() < kill_at {
            std::hint::spin_loop();
        }
        victim.kill().unwrap();
        victim.wait().unwrap();
        let entries = Store::open(&path).unwrap().entries().unwrap();
        let numbers: Vec<u64> = entries.iter().map(|(number, _)| *number).collect();
        let last = numbers.last().copied().unwrap_or(0);
        assert!(last >= before, "entries are gone: {before} to {last}");
        let first = last.saturating_sub(ENTRIES_MAX as u64 - 1).max(1);
        assert_eq!(numbers, (first..=last).collect::<Vec<_>>());
        assert!(entries.iter().all(|(number, found)| *found == entry(*number)));
        before = last;
    }
    assert!(before > 0, "nothing was recorded in eight rounds");
}
