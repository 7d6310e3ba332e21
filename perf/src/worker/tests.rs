use super::*;
use crate::report::fields;

fn row(stages: Option<Stages>) -> WorkerRow {
    WorkerRow {
        program: "crossgate",
        direction: Direction::Outbound,
        ip_version: Family::V4,
        traffic: "64".to_owned(),
        inner_bytes: 64,
        key_bits: 256,
        kernel: "vaes256",
        sas: 1,
        workers: 1,
        net: Spread { min: 100.0, median: 110.0, spread: 10.0 },
        source_and_sink_cycles_per_packet: 30.0,
        mpps: 20.0,
        gbit_per_s: 10.0,
        stages,
    }
}

#[test]
fn rows_have_the_fields_that_readers_of_the_json_know() {
    let expected = [
        "direction",
        "gbit_per_s",
        "inner_bytes",
        "ip_version",
        "kernel",
        "key_bits",
        "median_net_cycles_per_packet",
        "mpps",
        "net_cycles_per_packet",
        "program",
        "sas",
        "source_and_sink_cycles_per_packet",
        "spread_cycles_per_packet",
        "traffic",
        "workers",
    ];
    assert_eq!(fields(&row(None)), expected);
}

#[test]
fn stages_are_of_the_fastest_kernel_with_aes_256_over_ipv4() {
    let best = Plan::single(Kernel::detect(), 256, Family::V4);
    let staged = |plan| Traffic::ALL.into_iter().filter(move |traffic| is_staged(plan, *traffic));
    assert!(staged(best).eq([64, 512, 1400].map(Traffic::Fixed)));
    for other in [Plan { key_bits: 128, ..best }, Plan { family: Family::V6, ..best }] {
        assert_eq!(staged(other).count(), 0);
    }
    let transforms = transforms();
    assert!(transforms.iter().skip(1).all(|plan| staged(*plan).count() == 0));
}
