//! Fragments on true mbufs: cut, collected in any order, made one segment; a flood leaves nothing behind.

use crossgate_dataplane::header::Protocol;
use crossgate_dataplane::header::ipv4::{Ipv4, Ipv4View};
use crossgate_dataplane::pmtu::one_segment;
use dpdk_sys::{
    Burst, Eal, EalOptions, Memory, Mempool, MempoolOptions, Reassembler, Reassembly, ReassemblyOptions,
    fragment_ipv4, tsc_cycles, tsc_hz,
};

fn packet(identification: u16) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..=u8::MAX).cycle().take(1500).collect();
    let header = Ipv4 {
        traffic_class: 0,
        total_bytes: 1500,
        identification,
        dont_fragment: false,
        ttl: 64,
        protocol: Protocol::ESP,
        source: [192, 0, 2, 1].into(),
        destination: [192, 0, 2, 2].into(),
    };
    header.write(bytes.first_chunk_mut().expect("long enough"));
    bytes
}

#[test]
fn fragments_become_the_packet_again_and_a_flood_of_them_leaks_nothing() {
    let options = EalOptions { memory: Memory::NoHuge, memory_mib: 64, ..EalOptions::default() };
    let eal = Eal::start(&options).expect("DPDK starts");
    let pool =
        Mempool::new(&eal, &MempoolOptions { packets: 1023, ..MempoolOptions::default() }).expect("a pool");
    let limits = ReassemblyOptions { max_packets: 16, ..ReassemblyOptions::default() };
    let mut table = Reassembler::new(&eal, &limits).expect("a table");

    let mut pieces = Burst::new();
    let original = pool.take_copy(&packet(1)).expect("room");
    assert_eq!(fragment_ipv4(&original, 600, &pool, &mut pieces), Ok(3));
    drop(original);
    let mut whole = None;
    while let Some(piece) = pieces.pop() {
        assert!(Ipv4View::new(piece.data()).is_ok_and(|view| view.is_fragment()), "each piece is valid");
        if let Reassembly::Complete(packet) = table.feed_ipv4(piece, 0, tsc_cycles()) {
            whole = Some(packet);
        }
    }
    let whole = one_segment(whole.expect("the last piece makes it whole"), &pool, &pool).ok().expect("room");
    assert!(Ipv4View::new(whole.data()).is_ok(), "header checksum right");
    assert!(whole.is_contiguous() && whole.data()[20..] == packet(1)[20..]);
    drop(whole);
    table.expire(tsc_cycles());
    assert_eq!(pool.in_use(), 0);

    for identification in 2..200 {
        let original = pool.take_copy(&packet(identification)).expect("a flood does not use the pool up");
        fragment_ipv4(&original, 600, &pool, &mut pieces).expect("room");
        let first = pieces.swap_remove(0).expect("three of them");
        pieces.clear();
        assert!(!matches!(table.feed_ipv4(first, 0, tsc_cycles()), Reassembly::Complete(_)));
    }
    assert!(pool.in_use() <= 16 && table.discarded() > 0, "{} kept", pool.in_use());
    table.expire(tsc_cycles() + 3 * tsc_hz(&eal));
    assert_eq!(pool.in_use(), 0, "all of them given up in time");
}
