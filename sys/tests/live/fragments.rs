//! Fragments: cut and collected again, in any order; and those that lie about their lengths.

use std::time::Duration;

use dpdk_sys::{
    Burst, FragmentError, MAX_FRAGMENTS, Mbuf, Mempool, Reassembler, Reassembly, ReassemblyOptions,
    fragment_ipv4, fragment_ipv6, tsc_cycles, tsc_hz,
};
use proptest::prelude::*;

use crate::environment::{eal, on_registered_thread, pool};

fn payload(bytes: u16) -> Vec<u8> {
    (0..bytes).map(|index| index.to_be_bytes()[1] ^ index.to_be_bytes()[0]).collect()
}

/// An IPv4 packet without checksum; `field` is the third word of the header: flags and offset.
fn ipv4(payload: &[u8], field: u16) -> Vec<u8> {
    let total = u16::try_from(20 + payload.len()).expect("small");
    let [total_high, total_low] = total.to_be_bytes();
    let [field_high, field_low] = field.to_be_bytes();
    let mut packet = vec![0x45, 0, total_high, total_low, 0x12, 0x34, field_high, field_low, 64, 17, 0, 0];
    packet.extend([192, 0, 2, 1, 192, 0, 2, 2]);
    packet.extend(payload);
    packet
}

fn ipv6(payload: &[u8], offset: u16, more: bool) -> Vec<u8> {
    let [length_high, length_low] = u16::try_from(8 + payload.len()).expect("small").to_be_bytes();
    let [field_high, field_low] = (offset | u16::from(more)).to_be_bytes();
    let mut packet = vec![0x60, 0, 0, 0, length_high, length_low, 44, 64];
    packet.extend([0x20; 32]);
    packet.extend([17, 0, field_high, field_low, 0, 0, 0, 9]);
    packet.extend(payload);
    packet
}

fn reassembler() -> Reassembler {
    let options = ReassemblyOptions { max_packets: 16, timeout: Duration::from_secs(1), numa_node: None };
    Reassembler::new(eal(), &options).expect("a table")
}

fn linear(packet: &Mbuf, pool: &Mempool) -> Vec<u8> {
    let mut whole = pool.take().expect("a packet");
    packet.linearize_into(&mut whole).expect("it fits");
    whole.data().to_vec()
}

fn header_sum(header: &[u8]) -> u32 {
    let sum: u32 = header.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    (sum & 0xffff) + (sum >> 16)
}

#[test]
fn fragments_of_an_ipv4_packet_make_it_again_in_any_order() {
    on_registered_thread(|| {
        let pool = pool("cut");
        let config = ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() };
        proptest!(config, |(bytes in 1..4000_u16, mtu in 600..1500_u16, turn in 0..8_usize)| {
            let packet = pool.take_copy(&ipv4(&payload(bytes), 0)).expect("a packet");
            let mut fragments = Burst::new();
            let count = fragment_ipv4(&packet, mtu, &pool, &mut fragments).expect("it can be cut");
            prop_assert_eq!(usize::from(count), fragments.len());
            for fragment in fragments.iter() {
                prop_assert!(fragment.is_contiguous() && fragment.len_bytes() <= mtu.into());
                prop_assert_eq!(header_sum(&fragment.data()[..20]), 0xffff, "a right checksum");
            }
            let alone = fragments.len() == 1;
            let too_many = fragments.len() > MAX_FRAGMENTS as usize;
            fragments.rotate_left(turn % usize::from(count));
            let mut table = reassembler();
            let mut whole = None;
            for mut fragment in fragments.drain() {
                fragment.prepend(14).expect("headroom").fill(0xee);
                if let Reassembly::Complete(packet) = table.feed_ipv4(fragment, 14, tsc_cycles()) {
                    prop_assert!(whole.replace(packet).is_none(), "once");
                }
            }
            if !alone && !too_many {
                let whole = whole.as_ref().expect("all fragments are there");
                prop_assert_eq!(&linear(whole, &pool)[14 + 20..], &payload(bytes)[..]);
                prop_assert_eq!(table.discarded(), 0);
            }
            drop((whole, table, packet));
            prop_assert_eq!(pool.in_use(), 0);
        });
    });
}

#[test]
fn packets_that_must_not_be_cut_or_lie_are_refused() {
    on_registered_thread(|| {
        let pool = pool("refuse");
        let mut out = Burst::new();
        let mut cut = |bytes: &[u8], mtu| {
            fragment_ipv4(&pool.take_copy(bytes).expect("a packet"), mtu, &pool, &mut out)
        };
        assert_eq!(cut(&ipv4(&payload(2000), 0x4000), 1500), Err(FragmentError::DontFragment));
        assert_eq!(
            cut(&ipv4(&payload(2000), 0)[..1000], 500),
            Err(FragmentError::Malformed),
            "shorter than it says"
        );
        assert_eq!(cut(&[0x45; 10], 500), Err(FragmentError::Malformed), "half a header");
        assert_eq!(cut(&ipv4(&payload(100), 0), 20), Err(FragmentError::Malformed), "no room for payload");
        assert_eq!(cut(&ipv4(&payload(3000), 0), 28), Err(FragmentError::NoRoom), "more than a burst");
        drop(out);
        assert_eq!(pool.in_use(), 0);
    });
}

#[test]
fn ipv6_fragments_make_the_packet_again() {
    on_registered_thread(|| {
        let pool = pool("six");
        let mut table = reassembler();
        let data = payload(2000);
        let second = pool.take_copy(&ipv6(&data[1200..], 1200, false)).expect("a packet");
        assert!(matches!(table.feed_ipv6(second, 0, 40, tsc_cycles()), Reassembly::Pending));
        let first = pool.take_copy(&ipv6(&data[..1200], 0, true)).expect("a packet");
        let Reassembly::Complete(whole) = table.feed_ipv6(first, 0, 40, tsc_cycles()) else {
            panic!("both fragments are there")
        };
        let bytes = linear(&whole, &pool);
        assert_eq!(bytes[6], 17, "the fragment header is gone");
        assert_eq!(&bytes[40..], &data[..]);
        assert_eq!(usize::from(u16::from_be_bytes([bytes[4], bytes[5]])), data.len());
        drop((whole, table));
        assert_eq!(pool.in_use(), 0);
    });
}

#[test]
fn ipv6_packet_is_cut_at_its_source_and_becomes_the_same_again() {
    on_registered_thread(|| {
        let pool = pool("cut-six");
        for (bytes, mtu) in [(1300_u16, 1280_u16), (3000, 1280), (3000, 1400), (1240, 1280), (1, 1500)] {
            let mut whole = ipv6(&payload(bytes), 0, false);
            whole.drain(40..48); // without a fragment header
            whole[6] = 17;
            whole[4..6].copy_from_slice(&bytes.to_be_bytes());
            let mut packet = pool.take_copy(&whole).expect("a packet");
            let mut out = Burst::new();
            let count = fragment_ipv6(&mut packet, mtu, 0x0102_0304, &pool, &mut out).expect("it can be cut");
            assert_eq!(usize::from(count), out.len());
            let mut table = reassembler();
            let mut again = None;
            for mut fragment in out.drain() {
                assert!(fragment.is_contiguous() && fragment.len_bytes() <= mtu.into());
                assert_eq!(fragment.data()[44..48], [1, 2, 3, 4], "the identification");
                fragment.prepend(18).expect("headroom").fill(0xee);
                if let Reassembly::Complete(packet) = table.feed_ipv6(fragment, 18, 40, tsc_cycles()) {
                    again = Some(linear(&packet, &pool)[18..].to_vec());
                }
            }
            if count > 1 {
                assert_eq!(again.as_ref(), Some(&whole), "{bytes} bytes");
            }
            drop((packet, table));
            assert_eq!(pool.in_use(), 0);
        }
    });
}

#[test]
fn ipv6_packets_that_lie_or_find_no_room_are_refused() {
    on_registered_thread(|| {
        let pool = pool("refuse-six");
        let mut out = Burst::new();
        let mut cut = |bytes: &[u8], mtu| {
            let mut packet = pool.take_copy(bytes).expect("a packet");
            fragment_ipv6(&mut packet, mtu, 1, &pool, &mut out)
        };
        let long = ipv6(&payload(2000), 0, false);
        assert_eq!(cut(&long, 1279), Err(FragmentError::Malformed), "below what IPv6 asks of a link");
        assert_eq!(cut(&long[..1000], 1280), Err(FragmentError::Malformed), "shorter than it says");
        assert_eq!(cut(&long[..30], 1280), Err(FragmentError::Malformed), "half a header");
        assert_eq!(cut(&ipv4(&payload(2000), 0), 1280), Err(FragmentError::Malformed), "another family");
        assert_eq!(cut(&long, u16::MAX), Err(FragmentError::NoRoom), "more than a buffer holds");
        while out.push(pool.take().expect("a packet")).is_ok() {}
        let full = out.len();
        let mut packet = pool.take_copy(&long).expect("a packet");
        assert_eq!(fragment_ipv6(&mut packet, 1280, 1, &pool, &mut out), Err(FragmentError::NoRoom));
        assert_eq!(out.len(), full, "nothing was added");
        drop((out, packet));
        assert_eq!(pool.in_use(), 0);
    });
}

#[test]
fn fragments_that_lie_are_malformed_and_stay_the_callers() {
    on_registered_thread(|| {
        let pool = pool("lies");
        let mut table = reassembler();
        let long = ipv4(&payload(64), 0x2000);
        let cases_v4: [Vec<u8>; 5] = [
            long[..40].to_vec(),        // longer than the data
            ipv4(&payload(64), 0x1fff), // ends beyond 65535 bytes
            ipv4(&payload(63), 0x2000), // not the last, and not a multiple of eight
            ipv4(&[], 0x2000),          // empty
            long[..12].to_vec(),        // half a header
        ];
        for bytes in &cases_v4 {
            let packet = pool.take_copy(bytes).expect("a packet");
            assert!(matches!(table.feed_ipv4(packet, 0, 1), Reassembly::Malformed(_)), "{bytes:02x?}");
        }
        let long = ipv6(&payload(64), 0, true);
        let cases_v6: [Vec<u8>; 4] = [
            long[..60].to_vec(),
            ipv6(&payload(64), 0xfff8, false),
            ipv6(&payload(63), 0, true),
            long[..44].to_vec(),
        ];
        for bytes in &cases_v6 {
            let packet = pool.take_copy(bytes).expect("a packet");
            assert!(matches!(table.feed_ipv6(packet, 0, 40, 1), Reassembly::Malformed(_)), "{bytes:02x?}");
        }
        drop(table);
        assert_eq!(pool.in_use(), 0);
    });
}

#[test]
fn random_bytes_never_harm_the_table() {
    on_registered_thread(|| {
        let pool = pool("random");
        let table = std::cell::RefCell::new(reassembler());
        let config = ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() };
        proptest!(config, |(mut bytes in prop::collection::vec(any::<u8>(), 0..120), l2 in 0..20_u16, l3 in 0..80_u16)| {
            if let Some(byte) = bytes.get_mut(usize::from(l2)) {
                *byte = if l3 % 2 == 0 { 0x45 } else { 0x60 };
            }
            if let Some(length) = bytes.get_mut(usize::from(l2) + 2..usize::from(l2) + 6) {
                length[0] = 0;
                length[2] = 0;
            }
            let feed = |six: bool| {
                let packet = pool.take_copy(&bytes).expect("a packet");
                match six {
                    true => drop(table.borrow_mut().feed_ipv6(packet, l2, l3, tsc_cycles())),
                    false => drop(table.borrow_mut().feed_ipv4(packet, l2, tsc_cycles())),
                }
            };
            feed(false);
            feed(true);
        });
        drop(table);
        assert_eq!(pool.in_use(), 0);
    });
}

#[test]
fn incomplete_packet_expires_and_is_counted() {
    on_registered_thread(|| {
        let pool = pool("late");
        let mut table = reassembler();
        let now = tsc_cycles();
        let first = pool.take_copy(&ipv4(&payload(64), 0x2000)).expect("a packet");
        assert!(matches!(table.feed_ipv4(first, 0, now), Reassembly::Pending));
        table.expire(now + tsc_hz(eal()) / 2);
        assert_eq!((table.discarded(), pool.in_use()), (0, 1));
        table.expire(now + tsc_hz(eal()) * 2);
        assert_eq!((table.discarded(), pool.in_use()), (1, 0));
    });
}
