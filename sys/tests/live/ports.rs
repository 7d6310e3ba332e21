//! Ports, packets and bursts on a real environment: in-memory, null and pcap ports.

use crate::environment::{eal, on_registered_thread, pool};
use dpdk_sys::{
    Burst, Encapsulation, Error, Mbuf, Mempool, OuterFamily, Port, PortLimit, PortOptions, RingPort, SpiRule,
    Started, SteerError,
};

fn text(packet: &Mbuf) -> &str {
    std::str::from_utf8(packet.data()).expect("the tests send text")
}

#[test]
fn ring_port_carries_packets_both_ways_and_leaks_none() {
    on_registered_thread(|| {
        let pool = pool("ring");
        let mut ring = RingPort::new(eal(), 1, 64).expect("a ring port");
        let Started { mut rx, mut tx, report } =
            ring.port.start(&PortOptions::default(), &pool).expect("the port starts");
        assert_eq!((report.rx_queues, report.tx_queues), (1, 1), "{report:?}");
        for word in ["one", "two", "three"] {
            ring.wires[0].push(pool.take_copy(word.as_bytes()).expect("a packet")).ok().expect("room");
        }
        let mut burst = Burst::new();
        assert_eq!(rx[0].rx_burst(&mut burst), 3);
        assert!(
            burst.iter().all(|packet| packet.port_number() == ring.port.number() || packet.is_contiguous())
        );
        assert_eq!(burst.iter().map(text).collect::<Vec<_>>(), ["one", "two", "three"]);
        assert_eq!(tx[0].tx_burst(&mut burst), 3);
        assert!(burst.is_empty());
        assert_eq!(ring.wires[0].pull().as_ref().map(text), Some("one"));
        assert!(matches!(ring.port.stop(), Err(Error::QueuesInUse { queues: 2, .. })));
        drop((rx, tx));
        ring.port.stop().expect("all queues are back");
        drop(ring);
        assert_eq!(pool.in_use(), 0);
    });
}

#[test]
fn full_transmit_queue_leaves_the_rest_in_the_burst_in_order() {
    on_registered_thread(|| {
        let pool = pool("full");
        let mut ring = RingPort::new(eal(), 1, 4).expect("a ring port");
        let Started { rx, mut tx, .. } =
            ring.port.start(&PortOptions::default(), &pool).expect("the port starts");
        let mut burst = Burst::new();
        for word in ["a", "b", "c", "d", "e"] {
            burst.push(pool.take_copy(word.as_bytes()).expect("a packet")).ok().expect("room");
        }
        assert_eq!(tx[0].tx_burst(&mut burst), 3, "a ring of four holds three");
        assert_eq!(burst.iter().map(text).collect::<Vec<_>>(), ["d", "e"]);
        drop((burst, rx, tx, ring));
        assert_eq!(pool.in_use(), 0);
    });
}

#[test]
fn port_with_fewer_queues_says_so() {
    on_registered_thread(|| {
        let pool = pool("clamp");
        let mut ring = RingPort::new(eal(), 2, 64).expect("a ring port");
        let options = PortOptions { rx_queues: 2000, tx_queues: 2, ..PortOptions::default() };
        let started = ring.port.start(&options, &pool).expect("the port starts");
        assert!(
            started
                .report
                .limits
                .iter()
                .any(|limit| matches!(limit, PortLimit::RxQueues { asked: 2000, .. })),
            "{:?}",
            started.report
        );
        assert_eq!(started.rx.len(), usize::from(started.report.rx_queues));
    });
}

#[test]
fn null_port_receives_and_swallows() {
    on_registered_thread(|| {
        let pool = pool("null");
        let mut port = Port::attach(eal(), "net_null0,size=64").expect("a null port");
        let Started { mut rx, mut tx, .. } =
            port.start(&PortOptions::default(), &pool).expect("the port starts");
        let mut burst = Burst::new();
        assert_eq!(usize::from(rx[0].rx_burst(&mut burst)), dpdk_sys::BURST_PACKETS);
        assert!(burst.iter().all(|packet| packet.len_bytes() == 64));
        assert_eq!(usize::from(tx[0].tx_burst(&mut burst)), dpdk_sys::BURST_PACKETS);
        assert_eq!(port.stats().expect("counters").tx_packets, 64);
        drop((rx, tx, port));
        assert_eq!(pool.in_use(), 0);
    });
}

#[test]
fn pcap_port_writes_what_was_sent() {
    on_registered_thread(|| {
        let pool = pool("pcap");
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("sent.pcap");
        let mut port =
            Port::attach(eal(), &format!("net_pcap0,tx_pcap={}", file.display())).expect("a pcap port");
        let Started { rx, mut tx, .. } = port.start(&PortOptions::default(), &pool).expect("the port starts");
        let mut burst = Burst::new();
        burst.push(pool.take_copy(&[0x5a; 60]).expect("a packet")).ok().expect("room");
        assert_eq!(tx[0].tx_burst(&mut burst), 1);
        drop((rx, tx, port));
        let written = std::fs::read(&file).expect("the capture");
        assert!(written.ends_with(&[0x5a; 60]), "{written:02x?}");
        assert_eq!(written.len(), 24 + 16 + 60);
        assert_eq!(pool.in_use(), 0);
    });
}

#[test]
fn unknown_device_is_an_error_that_names_it() {
    let error = Port::attach(eal(), "net_nothing0").err().expect("there is no such driver");
    assert!(error.to_string().contains("net_nothing0"), "{error}");
    assert!(matches!(error, Error::Device { .. }));
}

#[test]
fn second_start_is_refused() {
    let _first = eal();
    let again = dpdk_sys::Eal::start(&crate::environment::options());
    assert!(matches!(again, Err(Error::EalAlreadyStarted)));
}

#[test]
fn packets_of_a_dropped_pool_stay_valid() {
    on_registered_thread(|| {
        let pool: Mempool = pool("gone");
        let mut packet = pool.take_copy(b"still here").expect("a packet");
        drop(pool);
        packet.data_mut()[0] = b'S';
        assert_eq!(text(&packet), "Still here");
    });
}

#[test]
fn port_without_flow_rules_says_unsupported() {
    on_registered_thread(|| {
        let pool = pool("flow");
        let mut ring = RingPort::new(eal(), 2, 64).expect("a ring port");
        let options = PortOptions { rx_queues: 2, tx_queues: 2, ..PortOptions::default() };
        let _started = ring.port.start(&options, &pool).expect("the port starts");
        for (outer, encapsulation) in
            [(OuterFamily::Ipv4, Encapsulation::Plain), (OuterFamily::Ipv6, Encapsulation::Udp4500)]
        {
            let rule = SpiRule { spi: 0x100, spi_mask: 0xff00, outer, encapsulation, queue: 1 };
            let refused = ring.port.steer_spi(&rule);
            assert!(matches!(refused, Err(SteerError::Unsupported { .. })), "{refused:?}");
        }
    });
}

#[test]
fn stopped_port_starts_again() {
    on_registered_thread(|| {
        let pool = pool("again");
        let mut ring = RingPort::new(eal(), 1, 64).expect("a ring port");
        for round in 0..3_u8 {
            let Started { mut rx, tx, .. } = ring.port.start(&PortOptions::default(), &pool).expect("starts");
            assert!(matches!(ring.port.start(&PortOptions::default(), &pool), Err(Error::Setting { .. })));
            ring.wires[0].push(pool.take_copy(&[round]).expect("a packet")).ok().expect("room");
            let mut burst = Burst::new();
            assert_eq!(rx[0].rx_burst(&mut burst), 1);
            assert_eq!(burst[0].data(), [round]);
            drop((rx, tx));
            ring.port.stop().expect("all queues are back");
        }
        drop(ring);
        assert_eq!(pool.in_use(), 0);
    });
}
