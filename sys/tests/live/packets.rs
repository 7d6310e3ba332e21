//! One packet: lengths, room in front and behind, segments, pools.

use dpdk_sys::{Burst, Checksum, ChecksumRequest, HEADROOM_BYTES, Mempool, MempoolOptions};

use crate::environment::{eal, on_registered_thread, pool};

#[test]
fn packet_grows_and_shrinks_at_both_ends_within_its_room() {
    on_registered_thread(|| {
        let pool = pool("room");
        let mut packet = pool.take_copy(b"middle").expect("a packet");
        packet.prepend(3).expect("headroom").copy_from_slice(b"at ");
        packet.append(4).expect("tailroom").copy_from_slice(b" end");
        assert_eq!((packet.data(), packet.len_bytes()), (&b"at middle end"[..], 13));
        packet.adjust(3).expect("it has three");
        packet.trim(4).expect("it has four");
        assert_eq!(packet.data(), b"middle");
        assert_eq!(packet.headroom_bytes(), HEADROOM_BYTES);
        assert_eq!(packet.tailroom_bytes(), pool.room_bytes() - 6);
        assert!(packet.prepend(HEADROOM_BYTES + 1).is_none());
        assert!(packet.append(pool.room_bytes() - 5).is_none());
        assert!(packet.adjust(7).is_none());
        assert!(packet.trim(7).is_none());
        assert_eq!(packet.data(), b"middle", "what failed changed nothing");
        assert!(packet.prepend(HEADROOM_BYTES).is_some());
        assert!(packet.append(pool.room_bytes() - 6).is_some());
        assert_eq!(packet.len_bytes(), u32::from(pool.room_bytes() + HEADROOM_BYTES));
        drop(packet);
        assert_eq!(pool.in_use(), 0);
    });
}

#[test]
fn both_ends_move_at_once_or_not_at_all() {
    on_registered_thread(|| {
        let pool = pool("both-ends");
        let room = HEADROOM_BYTES + pool.room_bytes();
        let mut packet = pool.take_copy(b"middle").expect("a packet");
        let all = packet.reframe(-3, 13).expect("room on both sides");
        all[..3].copy_from_slice(b"at ");
        all[9..].copy_from_slice(b" end");
        assert_eq!((packet.data(), packet.len_bytes()), (&b"at middle end"[..], 13));
        assert!(packet.reframe(3, 6).is_some_and(|middle| middle == b"middle"));
        let front = i32::from(HEADROOM_BYTES);
        assert!(packet.reframe(-front - 1, 6).is_none());
        assert!(packet.reframe(-front, room + 1).is_none());
        assert!(packet.reframe(0, u16::MAX).is_none());
        assert!(packet.reframe(i32::MAX, u16::MAX).is_none());
        assert_eq!((packet.data(), packet.len_bytes()), (&b"middle"[..], 6), "what failed changed nothing");
        assert_eq!(packet.reframe(-front, room).map(|all| all.len()), Some(room.into()));
    });
}

#[test]
fn pool_gives_what_it_has_and_then_none() {
    on_registered_thread(|| {
        let options =
            MempoolOptions { name: "few".into(), packets: 63, cache_packets: 0, ..MempoolOptions::default() };
        let pool = Mempool::new(eal(), &options).expect("a pool");
        let mut burst = Burst::new();
        assert!(!pool.fill(&mut burst, 64), "more than there are");
        assert!(burst.is_empty());
        assert!(pool.fill(&mut burst, 63));
        assert!(pool.take().is_none());
        assert_eq!((pool.in_use(), pool.available()), (63, 0));
        burst.truncate(10);
        assert_eq!((pool.in_use(), pool.available()), (10, 53));
        drop(burst);
        assert_eq!(pool.in_use(), 0);
    });
}

#[test]
fn packets_come_back_from_another_thread() {
    on_registered_thread(|| {
        let pool = pool("travel");
        let mut burst = Burst::new();
        assert!(pool.fill(&mut burst, 64));
        std::thread::spawn(move || drop(burst)).join().expect("no panic");
        assert_eq!(pool.in_use(), 0);
    });
}

#[test]
fn header_lengths_beyond_the_descriptor_are_refused() {
    on_registered_thread(|| {
        let pool = pool("offload");
        let mut packet = pool.take_copy(&[0; 64]).expect("a packet");
        assert_eq!((packet.ip_checksum(), packet.l4_checksum()), (Checksum::Unknown, Checksum::Unknown));
        assert!(packet.request_checksum(ChecksumRequest::Ipv4, 128, 20).is_none());
        assert!(packet.request_checksum(ChecksumRequest::Ipv6Udp, 14, 512).is_none());
        assert!(packet.request_checksum(ChecksumRequest::Ipv4Tcp, 14, 60).is_some());
    });
}
