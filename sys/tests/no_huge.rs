//! An environment in ordinary memory, from start to cleanup; a process of its own, because DPDK starts once.

use dpdk_sys::{
    Burst, Eal, EalOptions, Error, Memory, MemoryMode, Mempool, MempoolOptions, PortOptions, RingPort,
    Started,
};

/// The CPUs of this thread, as the kernel prints them.
fn allowed_cpus() -> String {
    let status = std::fs::read_to_string("/proc/thread-self/status").expect("procfs");
    status.lines().find(|line| line.starts_with("Cpus_allowed_list")).expect("the kernel says it").into()
}

#[test]
fn runs_without_hugepages_and_cleans_up_only_when_nothing_is_left() {
    let before = allowed_cpus();
    let options = EalOptions { memory: Memory::NoHuge, memory_mib: 64, ..EalOptions::default() };
    let eal = Eal::start(&options).expect("DPDK starts");
    assert_eq!(allowed_cpus(), before, "the start narrows nothing");
    assert_eq!(eal.memory(), &MemoryMode::NoHuge { memory_mib: 64 });

    let pool =
        Mempool::new(&eal, &MempoolOptions { packets: 1023, ..MempoolOptions::default() }).expect("a pool");
    let mut ring = RingPort::new(&eal, 1, 64).expect("a ring port");
    let Started { mut rx, tx, .. } =
        ring.port.start(&PortOptions::default(), &pool).expect("the port starts");
    ring.wires[0].push(pool.take_copy(b"hello").expect("a packet")).ok().expect("room");
    let mut burst = Burst::new();
    assert_eq!(rx[0].rx_burst(&mut burst), 1);
    assert_eq!(burst[0].data(), b"hello");

    drop((rx, tx, ring));
    let refused = eal.clone().cleanup();
    assert!(matches!(refused, Err(Error::EalInUse { .. })), "{refused:?}");
    drop((burst, pool));
    eal.cleanup().expect("nothing is left");
}
