//! Packets of several segments: made, read, grown, cut, pulled up, sent, received.

use dpdk_sys::{Burst, Error, Mbuf, Mempool, MempoolOptions, Port, PortOptions, RingPort, Started};

use crate::environment::{eal, on_registered_thread, pool};

fn chained(pool: &Mempool, parts: &[&[u8]]) -> Mbuf {
    let mut parts = parts.iter().map(|part| pool.take_copy(part).expect("a packet"));
    let mut packet = parts.next().expect("a part");
    parts.for_each(|part| packet.chain(part).ok().expect("few"));
    packet
}

fn bytes(packet: &Mbuf) -> Vec<u8> {
    packet.segments().collect::<Vec<_>>().concat()
}

#[test]
fn segments_are_one_packet_wherever_it_is_read() {
    on_registered_thread(|| {
        let pool = pool("segments");
        let mut packet = chained(&pool, &[b"one ", b"", b"two ", b"three"]);
        assert_eq!((packet.segment_count(), packet.len_bytes()), (4, 13));
        assert_eq!((packet.data(), packet.is_contiguous()), (&b"one "[..], false));
        for at in 0..=13 {
            for bytes in 0..=13 - at {
                let mut read = vec![0; bytes];
                packet.read(at, &mut read).expect("as many");
                assert_eq!(read, b"one two three"[at..at + bytes]);
            }
            assert!(packet.read(at, &mut [0; 14][at..]).is_none());
        }
        packet.segments_mut().for_each(|segment| segment.make_ascii_uppercase());
        assert_eq!(bytes(&packet), b"ONE TWO THREE");
        let mut whole = pool.take().expect("a packet");
        packet.linearize_into(&mut whole).expect("it fits");
        assert_eq!((whole.data(), whole.is_contiguous()), (&b"ONE TWO THREE"[..], true));
        drop((packet, whole));
        assert_eq!(pool.in_use(), 0);
    });
}

#[test]
fn packet_of_segments_grows_at_the_end_of_the_last() {
    on_registered_thread(|| {
        let pool = pool("grow");
        let mut packet = chained(&pool, &[b"one ", b"two "]);
        packet.append(5).expect("tailroom").copy_from_slice(b"three");
        packet.prepend(1).expect("headroom").copy_from_slice(b">");
        assert_eq!((bytes(&packet), packet.len_bytes()), (b">one two three".to_vec(), 14));
        assert_eq!(packet.tailroom_bytes(), pool.room_bytes() - 9);
        assert!(packet.append(pool.room_bytes() - 8).is_none());
        assert_eq!(packet.len_bytes(), 14, "what failed changed nothing");
    });
}

#[test]
fn segments_that_hold_nothing_after_a_cut_go_back_to_the_pool() {
    on_registered_thread(|| {
        let pool = pool("cut");
        for left in 0..=13_u16 {
            let mut packet = chained(&pool, &[b"one ", b"two ", b"", b"three"]);
            packet.trim(13 - left).expect("it has as many");
            assert_eq!(
                (bytes(&packet), packet.len_bytes()),
                (b"one two three"[..left.into()].to_vec(), left.into())
            );
            let needed = match left {
                0..=4 => 1_u16,
                5..=8 => 2,
                _ => 4,
            };
            assert_eq!((packet.segment_count(), pool.in_use()), (needed, needed.into()), "{left}");
            assert!(packet.trim(left + 1).is_none());
            drop(packet);
            assert_eq!(pool.in_use(), 0);
        }
    });
}

#[test]
fn front_is_pulled_into_the_first_segment() {
    on_registered_thread(|| {
        let pool = pool("pull");
        for (pulled, first, segments) in [
            (0, "one ", 4),
            (4, "one ", 4),
            (5, "one t", 3),
            (8, "one two ", 2),
            (9, "one two t", 2),
            (99, "one two three", 1),
        ] {
            let mut packet = chained(&pool, &[b"one ", b"", b"two ", b"three"]);
            packet.pull(pulled).expect("tailroom");
            assert_eq!((packet.data(), packet.segment_count()), (first.as_bytes(), segments), "{pulled}");
            assert_eq!((bytes(&packet), packet.len_bytes()), (b"one two three".to_vec(), 13));
            assert_eq!(pool.in_use(), u32::from(segments));
        }
        let mut full = pool.take().expect("a packet");
        full.append(pool.room_bytes()).expect("all of it");
        full.chain(pool.take_copy(b"more").expect("a packet")).ok().expect("few");
        assert!(full.pull(pool.room_bytes() + 1).is_none());
        assert_eq!((full.segment_count(), full.len_bytes()), (2, u32::from(pool.room_bytes()) + 4));
        full.pull(pool.room_bytes()).expect("it is there");
    });
}

#[test]
fn port_sends_as_many_segments_as_it_can_gather() {
    on_registered_thread(|| {
        let pool = pool("gather");
        for (offloads, at_least) in [(true, 2), (false, 1)] {
            let mut ring = RingPort::new(eal(), 1, 64).expect("a ring port");
            let options = PortOptions { offloads, ..PortOptions::default() };
            let Started { mut tx, report, .. } = ring.port.start(&options, &pool).expect("the port starts");
            assert_eq!(tx[0].segments_max(), report.offloads.tx_segments);
            assert!(tx[0].segments_max() >= at_least && (offloads || at_least == 1), "{report:?}");
            let mut burst = Burst::new();
            burst.push(chained(&pool, &[b"one ", b"two"])).ok().expect("room");
            assert_eq!(tx[0].tx_burst(&mut burst), 1);
            assert_eq!(ring.wires[0].pull().as_ref().map(bytes), Some(b"one two".to_vec()));
        }
    });
}

#[test]
fn small_packets_serve_a_large_mtu_where_the_port_spreads_frames() {
    on_registered_thread(|| {
        let options = MempoolOptions {
            name: "small".into(),
            packets: 127,
            cache_packets: 0,
            ..MempoolOptions::default()
        };
        let pool = Mempool::new(eal(), &options).expect("a pool");
        let options = PortOptions { mtu_bytes: 9000, ..PortOptions::default() };
        let mut ring = RingPort::new(eal(), 1, 64).expect("a ring port");
        ring.port.start(&options, &pool).expect("in-memory ports hand on whatever comes");
        let mut null = Port::attach(eal(), "net_null1,size=64").expect("a null port");
        assert!(matches!(null.start(&options, &pool), Err(Error::DataRoom { .. })));
    });
}
