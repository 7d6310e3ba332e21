use super::*;
use crate::report::fields;

fn options(sizes: &[Traffic], keys: &[&str], engines: &[Mode]) -> Options {
    let keys = keys.iter().map(|bits| (*bits).to_owned()).collect();
    Options { sizes: sizes.to_vec(), keys, engines: engines.to_vec(), core: None, windows: None }
}

/// Measurements of programs, each in a direction: what the time goes on.
fn programs(selected: &[Selected]) -> usize {
    selected
        .iter()
        .flat_map(|size| &size.keys)
        .map(|of_key| 2 * (1 + of_key.engines.len() + usize::from(of_key.vpp)))
        .sum()
}

#[test]
fn a_full_run_has_every_engine_at_both_ends_and_fits_its_four_minutes() {
    let selected = select(false, &options(&[], &[], &[])).expect("selected");
    for size in selected.iter().filter(|size| ENDS.contains(&size.traffic)) {
        let keys = [
            OfKey { bits: 256, engines: Mode::ALL.to_vec(), vpp: true },
            OfKey { bits: 128, engines: vec![Mode::CpuAesniGcm], vpp: false },
        ];
        assert_eq!(size.keys, keys);
    }
    assert!(selected.iter().any(|size| size.traffic == Traffic::Imix));
    // With three windows, one to warm up and its start, a program takes some five seconds.
    assert!(programs(&selected) * 5 < 4 * 60 - 40, "{} measurements", programs(&selected));
}

#[test]
fn whatever_is_asked_for_is_measured_in_every_combination() {
    let asked = options(&[Traffic::Fixed(512)], &["128"], &Mode::ALL);
    for quick in [false, true] {
        let selected = select(quick, &asked).expect("selected");
        assert_eq!(selected.len(), 1);
        assert_eq!(selected[0].traffic, Traffic::Fixed(512));
        assert_eq!(selected[0].keys, [OfKey { bits: 128, engines: Mode::ALL.to_vec(), vpp: true }]);
    }
}

#[test]
fn rows_have_the_fields_that_readers_of_the_json_know() {
    let windows = Windows { count: 2, length: Duration::from_secs(1) };
    let case = Case {
        plan: plan(256),
        engines: &[],
        vpp: None,
        direction: Direction::Outbound,
        traffic: Traffic::Fixed(64),
        from: Path::new("/"),
        floor: 40.0,
        tsc_hz: 1e9,
    };
    let row = case.row("crossgate", "vaes256", &[200.0, 210.0], windows).expect("two windows");
    let expected = [
        "direction",
        "engine",
        "floor_cycles_per_packet",
        "gbit_per_s",
        "inner_bytes",
        "key_bits",
        "median_net_cycles_per_packet",
        "mpps",
        "net_cycles_per_packet",
        "program",
        "sas",
        "spread_cycles_per_packet",
        "total_cycles_per_packet",
        "traffic",
        "window_ms",
        "windows",
        "workers",
    ];
    assert_eq!(fields(&row), expected);
    let json = serde_json::to_value(row).expect("JSON");
    for (field, value) in [("program", "crossgate"), ("direction", "outbound")] {
        assert_eq!(json[field], value);
    }
    assert!(case.row("crossgate", "vaes256", &[200.0], windows).is_err(), "a window is missing");
}
