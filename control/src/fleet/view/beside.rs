//! A fleet for tests that step a worker of their own.

use crossgate_config::Name;
use crossgate_dataplane::gcm::Kernel;
use crossgate_dataplane::worker::WorkerSet;
use dpdk_sys::{Eal, Mempool, Port, PortReport};

use super::{Fleet, OpenPort};
use crate::fleet::steer;

impl Fleet {
    /// Started ports, in their order, and a set of workers that have nothing to do with them.
    pub(crate) fn beside(
        set: WorkerSet,
        ports: Vec<(Name, Port, PortReport)>,
        pool: Mempool,
        kernel: Kernel,
        eal: Eal,
    ) -> Self {
        let open = |(name, mut port, report): (Name, Port, PortReport)| {
            let steering = steer::steer(&mut port, report.rx_queues, 1);
            OpenPort { name, port, report, steering }
        };
        let ports = ports.into_iter().map(open).collect();
        Self { set, readers: Vec::new(), ports, pool, kernel, eal }
    }
}
