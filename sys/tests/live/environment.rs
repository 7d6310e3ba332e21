//! What the tests share: the one environment of the process, pools, registered threads.

use std::sync::OnceLock;

use dpdk_sys::{Eal, EalOptions, Mempool, MempoolOptions};

pub(crate) fn options() -> EalOptions {
    EalOptions { memory_mib: 64, ..EalOptions::default() }
}

/// Started once, by whichever test comes first.
pub(crate) fn eal() -> &'static Eal {
    static EAL: OnceLock<Eal> = OnceLock::new();
    EAL.get_or_init(|| Eal::start(&options()).expect("DPDK starts"))
}

pub(crate) fn pool(name: &str) -> Mempool {
    let options = MempoolOptions {
        name: name.into(),
        packets: 1023,
        cache_packets: 32,
        room_bytes: 4096,
        numa_node: None,
    };
    Mempool::new(eal(), &options).expect("a pool")
}

/// As a worker does it: with a cache of its own in every pool.
pub(crate) fn on_registered_thread(test: impl FnOnce()) {
    let _registered = eal().register_thread().expect("an lcore id");
    test();
}

/// For ports that fill their receive queues at the start (tap), and that share whole pages with the kernel (af_xdp).
pub(crate) fn device_pool(name: &str) -> Mempool {
    let options = MempoolOptions {
        name: name.into(),
        packets: 4095,
        cache_packets: 32,
        room_bytes: 2048,
        numa_node: None,
    };
    Mempool::new(eal(), &options).expect("a pool")
}
