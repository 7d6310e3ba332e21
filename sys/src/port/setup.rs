//! Starting a port: what was asked, clamped to what the device can do, and a report of the difference.

use core::fmt;
use std::sync::{Arc, PoisonError};

use crate::{
    Errno, Error, Port, ffi,
    mempool::Mempool,
    queue::{RxQueue, TxQueue},
};

/// What a port is asked to be.
#[derive(Clone, Debug)]
pub struct PortOptions {
    /// Receive queues, one for each worker that polls the port.
    pub rx_queues: u16,
    /// Transmit queues, one for each worker that sends on the port.
    pub tx_queues: u16,
    /// Packets that a receive queue holds for a worker that is late.
    pub rx_descriptors: u16,
    /// Packets that a transmit queue holds for a device that is late.
    pub tx_descriptors: u16,
    /// Largest IP packet.
    pub mtu_bytes: u16,
    /// Let the device check and fill checksums where it can, and gather packets of several segments.
    pub offloads: bool,
    /// Receive frames for any MAC address.
    pub promiscuous: bool,
    /// Receive frames for any multicast address: IPv6 neighbour discovery needs its groups.
    pub all_multicast: bool,
}

impl Default for PortOptions {
    fn default() -> Self {
        Self {
            rx_queues: 1,
            tx_queues: 1,
            rx_descriptors: 1024,
            tx_descriptors: 1024,
            mtu_bytes: 1500,
            offloads: true,
            promiscuous: false,
            all_multicast: true,
        }
    }
}

/// A port that runs: what it became, and its queues.
pub struct Started {
    /// What the port became, and what it lacks of what was asked.
    pub report: PortReport,
    /// Receive queues, in the order of their numbers.
    pub rx: Vec<RxQueue>,
    /// Transmit queues, in the order of their numbers.
    pub tx: Vec<TxQueue>,
}

/// What a started port is.
#[derive(Clone, Debug)]
pub struct PortReport {
    /// The driver's name.
    pub driver: Box<str>,
    /// NUMA node of the device, where it has one.
    pub numa_node: Option<u16>,
    /// Receive queues that run.
    pub rx_queues: u16,
    /// Transmit queues that run.
    pub tx_queues: u16,
    /// Packets that each receive queue holds.
    pub rx_descriptors: u16,
    /// Packets that each transmit queue holds.
    pub tx_descriptors: u16,
    /// Largest IP packet.
    pub mtu_bytes: u16,
    /// What the device does about checksums.
    pub offloads: PortOffloads,
    /// Whether ESP's SPI is part of what the device hashes to choose a queue.
    pub hashes_esp: bool,
    /// Where the port fell short of what was asked; each is a line for the log.
    pub limits: Vec<PortLimit>,
}

/// What the device does by itself; what it does not, software must.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortOffloads {
    /// Received IPv4 header checksums are checked.
    pub rx_ipv4: bool,
    /// Received TCP and UDP checksums are checked.
    pub rx_l4: bool,
    /// IPv4 header checksums are filled on request.
    pub tx_ipv4: bool,
    /// TCP and UDP checksums are filled on request.
    pub tx_l4: bool,
    /// Packets of so many segments can be sent: of one, at least.
    pub tx_segments: u16,
}

/// Something that was asked of a port and that it cannot do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortLimit {
    /// Fewer receive queues.
    RxQueues {
        /// What was asked for.
        asked: u16,
        /// What the device has.
        got: u16,
    },
    /// Fewer transmit queues.
    TxQueues {
        /// What was asked for.
        asked: u16,
        /// What the device has.
        got: u16,
    },
    /// Another MTU.
    MtuBytes {
        /// What was asked for.
        asked: u16,
        /// What the device can do.
        got: u16,
    },
    /// Several receive queues, but the driver's own rule says which packet goes where.
    NoRss,
    /// The device cannot change the kernel's or the hardware's MTU: set it there.
    MtuFixed,
    /// The device cannot be told to receive all frames (software ports often do anyway).
    NoPromiscuous,
    /// The device cannot be told to receive all multicast frames (software ports often do anyway).
    NoAllMulticast,
}

impl fmt::Display for PortLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RxQueues { asked, got } => write!(f, "{got} receive queues instead of {asked}"),
            Self::TxQueues { asked, got } => write!(f, "{got} transmit queues instead of {asked}"),
            Self::MtuBytes { asked, got } => write!(f, "MTU of {got} bytes instead of {asked}"),
            Self::NoRss => f.write_str("no RSS: the driver decides which queue a packet arrives at"),
            Self::MtuFixed => {
                f.write_str("the driver cannot set the MTU: set it on the underlying interface")
            }
            Self::NoPromiscuous => f.write_str(
                "the driver cannot switch promiscuous mode on: if frames do not arrive, switch it on at the underlying interface",
            ),
            Self::NoAllMulticast => f.write_str(
                "the driver cannot switch all-multicast on: if IPv6 neighbours do not find us, switch it on at the underlying interface",
            ),
        }
    }
}

/// Ethernet header and two VLAN tags: what a frame has besides its MTU.
const FRAME_OVERHEAD_BYTES: u32 = 14 + 2 * 4;

impl Port {
    /// Configures and starts the port, with all received packets from `pool`.
    ///
    /// # Errors
    /// The port runs already, the pool's packets are too small for the MTU, or the driver refuses.
    pub fn start(&mut self, options: &PortOptions, pool: &Mempool) -> Result<Started, Error> {
        if self.started {
            return Err(Error::Setting { what: "the port is started already; stop it first" });
        }
        let info =
            super::device_info(self.number()).map_err(|errno| self.failed("rte_eth_dev_info_get", errno))?;
        let mut report = self.plan(options, &info);
        let scatter = scatter(pool, report.mtu_bytes, &info)?;
        let configuration = self.configure(options, scatter, &info, &mut report)?;
        self.set_up_queues(&info, &configuration, &mut report, pool)?;
        self.set_mtu(&mut report)?;
        // SAFETY: the port is configured and all its queues are set up.
        let outcome = unsafe { ffi::rte_eth_dev_start(self.number()) };
        self.checked("rte_eth_dev_start", outcome)?;
        self.started = true;
        self.set_filters(options, &mut report)?;
        let rx = (0..report.rx_queues).map(|queue| RxQueue::new(Arc::clone(&self.attached), queue)).collect();
        let tx = (0..report.tx_queues)
            .map(|queue| TxQueue::new(Arc::clone(&self.attached), queue, report.offloads.tx_segments))
            .collect();
        Ok(Started { report, rx, tx })
    }

    fn failed(&self, call: &'static str, errno: Errno) -> Error {
        Error::Port { port: self.device().into(), call, errno }
    }

    /// What the device can do of `options`.
    fn plan(&self, options: &PortOptions, info: &ffi::rte_eth_dev_info) -> PortReport {
        let mut limits = Vec::new();
        let rx_queues = options.rx_queues.clamp(1, info.max_rx_queues.max(1));
        if rx_queues != options.rx_queues {
            limits.push(PortLimit::RxQueues { asked: options.rx_queues, got: rx_queues });
        }
        let tx_queues = options.tx_queues.clamp(1, info.max_tx_queues.max(1));
        if tx_queues != options.tx_queues {
            limits.push(PortLimit::TxQueues { asked: options.tx_queues, got: tx_queues });
        }
        let mtu_bytes = options.mtu_bytes.min(info.max_mtu).max(info.min_mtu);
        if mtu_bytes != options.mtu_bytes {
            limits.push(PortLimit::MtuBytes { asked: options.mtu_bytes, got: mtu_bytes });
        }
        PortReport {
            driver: self.driver_name(),
            numa_node: self.numa_node(),
            rx_queues,
            tx_queues,
            rx_descriptors: options.rx_descriptors,
            tx_descriptors: options.tx_descriptors,
            mtu_bytes,
            offloads: PortOffloads::of(0, 0, info),
            hashes_esp: false,
            limits,
        }
    }

    fn configure(
        &self,
        options: &PortOptions,
        scatter: u64,
        info: &ffi::rte_eth_dev_info,
        report: &mut PortReport,
    ) -> Result<ffi::rte_eth_conf, Error> {
        // SAFETY: plain data, for which all zeroes is DPDK's default.
        let mut wanted: ffi::rte_eth_conf = unsafe { core::mem::zeroed() };
        wanted.rxmode.mtu = report.mtu_bytes.into();
        wanted.rxmode.offloads = scatter;
        if options.offloads {
            wanted.rxmode.offloads |= info.rx_offload_capa & RX_OFFLOADS;
            wanted.txmode.offloads = info.tx_offload_capa & TX_OFFLOADS;
        }
        let hash = info.flow_type_rss_offloads & RSS_HASH;
        if report.rx_queues > 1 && hash != 0 {
            wanted.rxmode.mq_mode = ffi::RTE_ETH_MQ_RX_RSS;
            wanted.rx_adv_conf.rss_conf.rss_hf = hash;
        }
        let configure = |wanted: &ffi::rte_eth_conf| {
            // SAFETY: the port is stopped (`started` is false); DPDK checks and copies the configuration.
            unsafe { ffi::rte_eth_dev_configure(self.number(), report.rx_queues, report.tx_queues, wanted) }
        };
        let mut outcome = configure(&wanted);
        if outcome != 0 && wanted.rxmode.mq_mode == ffi::RTE_ETH_MQ_RX_RSS {
            wanted.rxmode.mq_mode = 0;
            wanted.rx_adv_conf.rss_conf.rss_hf = 0;
            outcome = configure(&wanted);
        }
        self.checked("rte_eth_dev_configure", outcome)?;
        if report.rx_queues > 1 && wanted.rx_adv_conf.rss_conf.rss_hf == 0 {
            report.limits.push(PortLimit::NoRss);
        }
        report.hashes_esp = wanted.rx_adv_conf.rss_conf.rss_hf & ffi::SHIM_RSS_ESP != 0;
        report.offloads = PortOffloads::of(wanted.rxmode.offloads, wanted.txmode.offloads, info);
        Ok(wanted)
    }

    fn set_up_queues(
        &self,
        info: &ffi::rte_eth_dev_info,
        configuration: &ffi::rte_eth_conf,
        report: &mut PortReport,
        pool: &Mempool,
    ) -> Result<(), Error> {
        let id = self.number();
        // SAFETY: the port is configured; DPDK corrects the two numbers in place.
        let outcome = unsafe {
            ffi::rte_eth_dev_adjust_nb_rx_tx_desc(
                id,
                &raw mut report.rx_descriptors,
                &raw mut report.tx_descriptors,
            )
        };
        self.checked("rte_eth_dev_adjust_nb_rx_tx_desc", outcome)?;
        // The driver takes packets from now on until the port is closed.
        self.attached.pools.lock().unwrap_or_else(PoisonError::into_inner).push(pool.clone());
        let node = report.numa_node.map_or(u32::MAX, u32::from); // SOCKET_ID_ANY is -1
        let mut rx = info.default_rxconf;
        rx.offloads = configuration.rxmode.offloads;
        for queue in 0..report.rx_queues {
            // SAFETY: the port is configured with this many queues and is stopped; the pool is kept alive above.
            let outcome = unsafe {
                ffi::rte_eth_rx_queue_setup(
                    id,
                    queue,
                    report.rx_descriptors,
                    node,
                    &raw const rx,
                    pool.as_ptr(),
                )
            };
            self.checked("rte_eth_rx_queue_setup", outcome)?;
        }
        let mut tx = info.default_txconf;
        tx.offloads = configuration.txmode.offloads;
        for queue in 0..report.tx_queues {
            // SAFETY: as above.
            let outcome =
                unsafe { ffi::rte_eth_tx_queue_setup(id, queue, report.tx_descriptors, node, &raw const tx) };
            self.checked("rte_eth_tx_queue_setup", outcome)?;
        }
        Ok(())
    }

    fn set_mtu(&self, report: &mut PortReport) -> Result<(), Error> {
        // SAFETY: the port exists and is configured; DPDK checks the value.
        let outcome = unsafe { ffi::rte_eth_dev_set_mtu(self.number(), report.mtu_bytes) };
        self.unless_unsupported("rte_eth_dev_set_mtu", outcome, PortLimit::MtuFixed, report)
    }

    fn set_filters(&self, options: &PortOptions, report: &mut PortReport) -> Result<(), Error> {
        let id = self.number();
        // SAFETY: the port exists; all four calls only set a mode.
        let (promiscuous, all_multicast) = unsafe {
            let promiscuous = match options.promiscuous {
                true => ffi::rte_eth_promiscuous_enable(id),
                false => ffi::rte_eth_promiscuous_disable(id),
            };
            let all_multicast = match options.all_multicast {
                true => ffi::rte_eth_allmulticast_enable(id),
                false => ffi::rte_eth_allmulticast_disable(id),
            };
            (promiscuous, all_multicast)
        };
        if options.promiscuous {
            self.unless_unsupported(
                "rte_eth_promiscuous_enable",
                promiscuous,
                PortLimit::NoPromiscuous,
                report,
            )?;
        }
        if options.all_multicast {
            let limit = PortLimit::NoAllMulticast;
            self.unless_unsupported("rte_eth_allmulticast_enable", all_multicast, limit, report)?;
        }
        Ok(())
    }

    /// A function that the driver lacks is a limit, not an error.
    fn unless_unsupported(
        &self,
        call: &'static str,
        outcome: i32,
        limit: PortLimit,
        report: &mut PortReport,
    ) -> Result<(), Error> {
        if outcome != 0 && Errno::from_return(outcome).is_unsupported() {
            report.limits.push(limit);
            return Ok(());
        }
        self.checked(call, outcome)
    }
}

/// The offload that the port needs for frames that are longer than the pool's packets: it spreads them over several.
fn scatter(pool: &Mempool, mtu_bytes: u16, info: &ffi::rte_eth_dev_info) -> Result<u64, Error> {
    let needed_bytes = u32::from(mtu_bytes) + FRAME_OVERHEAD_BYTES;
    let room_bytes = u32::from(pool.room_bytes());
    if room_bytes >= needed_bytes {
        return Ok(0);
    }
    match info.rx_offload_capa & ffi::SHIM_RX_OFFLOAD_SCATTER {
        0 => Err(Error::DataRoom { pool: pool.name().into(), mtu_bytes, needed_bytes, room_bytes }),
        scatter => Ok(scatter),
    }
}

impl PortOffloads {
    /// By the offloads that are switched on.
    fn of(rx: u64, tx: u64, info: &ffi::rte_eth_dev_info) -> Self {
        let rx_has = |flags: u64| rx & flags == flags;
        let tx_has = |flags: u64| tx & flags == flags;
        Self {
            rx_ipv4: rx_has(ffi::SHIM_RX_OFFLOAD_IPV4_CKSUM),
            rx_l4: rx_has(ffi::SHIM_RX_OFFLOAD_UDP_CKSUM | ffi::SHIM_RX_OFFLOAD_TCP_CKSUM),
            tx_ipv4: tx_has(ffi::SHIM_TX_OFFLOAD_IPV4_CKSUM),
            tx_l4: tx_has(ffi::SHIM_TX_OFFLOAD_UDP_CKSUM | ffi::SHIM_TX_OFFLOAD_TCP_CKSUM),
            tx_segments: match info.tx_desc_lim.nb_mtu_seg_max {
                _ if !tx_has(ffi::SHIM_TX_OFFLOAD_MULTI_SEGS) => 1,
                0 => u16::MAX, // the driver knows no limit
                most => most,
            },
        }
    }
}

const RX_OFFLOADS: u64 =
    ffi::SHIM_RX_OFFLOAD_IPV4_CKSUM | ffi::SHIM_RX_OFFLOAD_UDP_CKSUM | ffi::SHIM_RX_OFFLOAD_TCP_CKSUM;
const TX_OFFLOADS: u64 = ffi::SHIM_TX_OFFLOAD_IPV4_CKSUM
    | ffi::SHIM_TX_OFFLOAD_UDP_CKSUM
    | ffi::SHIM_TX_OFFLOAD_TCP_CKSUM
    | ffi::SHIM_TX_OFFLOAD_MULTI_SEGS;
const RSS_HASH: u64 = ffi::SHIM_RSS_IP | ffi::SHIM_RSS_TCP | ffi::SHIM_RSS_UDP | ffi::SHIM_RSS_ESP;
