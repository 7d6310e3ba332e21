use super::*;

#[test]
fn the_table_is_in_the_order_of_the_enum_with_unique_names() {
    for (index, row) in Counter::table().iter().enumerate() {
        assert_eq!(row.counter.index(), index, "{}", row.name);
        assert!(
            row.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        );
        assert!(row.meaning.ends_with('.'), "{}", row.name);
        assert!(Counter::table().iter().filter(|other| other.name == row.name).count() == 1, "{}", row.name);
    }
}

#[test]
fn stored_sums_add_up_and_the_local_starts_again() {
    let counters = Counters::new();
    let mut local = Local::new();
    let last = Counter::table().last().expect("not empty").counter;
    for _ in 0..2 {
        local.add(Counter::RxPackets, 3);
        local.count(last);
        local.store(&counters);
        assert_eq!(local.pending(Counter::RxPackets), 0);
    }
    local.store(&counters);
    assert_eq!((counters.read(Counter::RxPackets), counters.read(last)), (6, 2));
    let moved: Vec<_> = counters.snapshot().moved().map(|(row, value)| (row.counter, value)).collect();
    assert_eq!(moved, [(Counter::RxPackets, 6), (last, 2)]);
}

#[test]
fn a_packet_that_is_neither_sent_nor_dropped_shows_in_the_balance() {
    let counters = Counters::new();
    let mut local = Local::new();
    local.add(Counter::RxPackets, 5);
    local.add(Counter::TxPackets, 2);
    local.add(Counter::NoRoute, 2);
    local.add(Counter::RxBytes, 700);
    local.store(&counters);
    assert_eq!(counters.snapshot().balance(), 1);
}
