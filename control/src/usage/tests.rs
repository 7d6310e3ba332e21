use super::*;

fn at(ms: u64) -> Instant {
    Instant::from_epoch(Duration::from_secs(3600) + Duration::from_millis(ms))
}

fn one(id: u32, name: &str, sent_bytes: u64) -> Counted<'_> {
    Counted { gateway: "gw", name, sent_bytes: vec![(ConnectionId(id), sent_bytes)] }
}

fn amount(tally: &Tally, day: u32, connection: Option<&str>) -> (u64, u64) {
    let key = Key { day, gateway: "gw".to_owned(), connection: connection.map(str::to_owned) };
    tally.pending().get(&key).map_or((0, 0), |amount| (amount.ms, amount.egress_bytes))
}

#[test]
fn counts_that_grow_are_put_down_once() {
    let mut tally = Tally::new(at(0));
    tally.count(at(1000), 5, ["gw"], &[one(1, "a", 100), one(2, "b", 7)]);
    tally.count(at(1500), 5, ["gw"], &[one(1, "a", 100), one(2, "b", 9)]);
    assert_eq!(amount(&tally, 5, Some("a")), (1500, 100));
    assert_eq!(amount(&tally, 5, Some("b")), (1500, 9));
    assert_eq!(amount(&tally, 5, None), (1500, 109));
    tally.recorded(1);
    tally.count(at(1600), 6, ["gw"], &[one(1, "a", 130)]);
    assert_eq!(amount(&tally, 6, Some("a")), (100, 30));
    assert_eq!(amount(&tally, 6, None), (100, 30));
    assert_eq!(amount(&tally, 5, None), (0, 0), "it is on the disk");
}

#[test]
fn connection_that_comes_back_under_its_name_begins_at_nothing() {
    let mut tally = Tally::new(at(0));
    tally.count(at(10), 5, ["gw"], &[one(1, "a", 100)]);
    tally.count(at(20), 5, ["gw"], &[]);
    tally.count(at(30), 5, ["gw"], &[one(2, "a", 40)]);
    assert_eq!(amount(&tally, 5, Some("a")), (20, 140));
    assert_eq!(amount(&tally, 5, None), (30, 140));
}

#[test]
fn an_end_that_goes_takes_nothing_of_the_other_with_it() {
    let ends = |sent: &[(u32, u64)]| Counted {
        gateway: "gw",
        name: "a",
        sent_bytes: sent.iter().map(|&(id, bytes)| (ConnectionId(id), bytes)).collect(),
    };
    let mut tally = Tally::new(at(0));
    tally.count(at(10), 5, ["gw"], &[ends(&[(1, 100), (2, 1000)])]);
    tally.count(at(20), 5, ["gw"], &[ends(&[(1, 130)])]);
    assert_eq!(amount(&tally, 5, Some("a")), (20, 1130));
    tally.count(at(30), 5, ["gw"], &[ends(&[(1, 130), (3, 7)])]);
    assert_eq!(amount(&tally, 5, Some("a")), (30, 1137));
}

#[test]
fn amounts_are_due_at_their_interval() {
    let mut tally = Tally::new(at(0));
    assert!(!tally.is_due(at(9_999)));
    assert!(tally.is_due(at(10_000)));
    assert!(!tally.is_due(at(19_999)));
    assert!(tally.is_due(at(25_000)));
}

#[test]
fn parts_of_milliseconds_are_not_lost() {
    let mut tally = Tally::new(at(0));
    for turn in 1..=1000 {
        let now = Instant::from_epoch(Duration::from_secs(3600) + Duration::from_micros(turn * 1500));
        tally.count(now, 5, ["gw"], &[]);
    }
    assert_eq!(amount(&tally, 5, None), (1500, 0));
}

#[test]
fn rows_are_sums_of_disk_and_memory_by_period() {
    let key = |day, connection: Option<&str>| Key {
        day,
        gateway: "gw".to_owned(),
        connection: connection.map(str::to_owned),
    };
    let amount = |seconds: u64, egress_bytes| Amount { ms: seconds * 1000 + 600, egress_bytes };
    let stored = vec![(key(20_781, None), amount(10, 1)), (key(20_782, None), amount(20, 2))];
    let pending = [
        (key(20_782, None), amount(5, 4)),
        (key(20_782, Some("a")), amount(5, 4)),
        (key(20_783, None), amount(1, 1)),
    ];
    let told = |by| {
        let rows = rows(stored.clone(), &pending.clone().into(), &(20_781..=20_782), by);
        rows.into_iter()
            .map(|row| (row.period, row.connection, row.seconds, row.egress_bytes))
            .collect::<Vec<_>>()
    };
    let a = || Some("a".to_owned());
    assert_eq!(told(Period::Month), [("2026-11".to_owned(), None, 36, 7), ("2026-11".to_owned(), a(), 5, 4)]);
    assert_eq!(
        told(Period::Day),
        [
            ("2026-11-24".to_owned(), None, 10, 1),
            ("2026-11-25".to_owned(), None, 26, 6),
            ("2026-11-25".to_owned(), a(), 5, 4)
        ]
    );
}
