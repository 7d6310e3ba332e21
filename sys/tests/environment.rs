//! The one environment of a test process; also a (trivial) test of its own.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "a module of several test programs")]

use std::sync::OnceLock;

use dpdk_sys::{Eal, EalOptions, Mempool, MempoolOptions};

pub fn options() -> EalOptions {
    EalOptions { memory_mib: 64, ..EalOptions::default() }
}

/// Started once, on whichever test comes first.
pub fn eal() -> &'static Eal {
    static EAL: OnceLock<Eal> = OnceLock::new();
    EAL.get_or_init(|| Eal::start(&options()).expect("DPDK starts"))
}

pub fn pool(name: &str) -> Mempool {
    let options =
        MempoolOptions { name: name.into(), packets: 1023, cache_packets: 32, ..MempoolOptions::default() };
    Mempool::new(eal(), &options).expect("a pool")
}

/// As a worker does it: tests with a cache of their own in every pool.
pub fn on_registered_thread(test: impl FnOnce()) {
    let _registered = eal().register_thread().expect("an lcore id");
    test();
}
