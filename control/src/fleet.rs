//! Ports and worker threads of one appliance: started from the configuration, read for the console, stopped at the end.

mod steer;
mod view;

use std::sync::Arc;

use crossgate_config::{
    AesGcm, Appliance, Config, CoreId, Device, Idle as ConfigIdle, Memory as ConfigMemory, Name,
};
use crossgate_dataplane::counter::{Counters, Kind, Snapshot};
use crossgate_dataplane::forwarding::PortIndex;
use crossgate_dataplane::gcm::{Kernel, KernelError, KernelName};
use crossgate_dataplane::header::ethernet::Mac;
use crossgate_dataplane::message::{ControlEnd, RingSizes};
use crossgate_dataplane::pmtu::FRAGMENTS_HELD_MAX;
use crossgate_dataplane::worker::{Idle, Launch, LaunchError, Part, Sizes, StageTurns, Stats, WorkerSet};
use dpdk_sys::{
    Eal, EalOptions, LogLevel, Memory, Mempool, MempoolOptions, Port, PortOptions, PortReport, Started,
    tsc_hz,
};

use crate::reconcile::PortFacts;
use crate::workers::Workers;
use steer::Steering;

/// Packets that a port's queue holds for a late worker.
const DESCRIPTORS: u16 = 1024;
/// Packets that each worker may have at hand: pool cache, bursts, packets that wait for neighbours, and fragments.
const PACKETS_A_WORKER: u32 = 1024 + FRAGMENTS_HELD_MAX;
/// Packets that each thread's pool cache holds.
const CACHE_PACKETS: u32 = 256;
/// What a packet needs besides its IP packet: Ethernet, VLAN, ESP with its padding and tag, UDP, an outer header.
const ROOM_BEYOND_MTU: u16 = 548;
/// Buffers for packets out of reassembly that came in more pieces than one buffer holds, and the room of each, in bytes: eight pieces of 1500.
const WHOLE_PACKETS: u32 = 1023;
const WHOLE_ROOM: u16 = 12_288;
/// Buffers for IKE datagrams on their way out.
const CONTROL_PACKETS: u32 = 1023;
/// Room of each of them, in bytes.
const CONTROL_ROOM: u16 = 4096;
/// Length of each ring between two workers, in packets.
const HANDOVER_PACKETS: usize = 1024;

/// Why the data plane did not start.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// DPDK's environment.
    #[error("starting DPDK: {0}")]
    Eal(#[source] dpdk_sys::Error),
    /// Packet memory.
    #[error("packet memory: {0}; raise appliance.memory_mib")]
    Pool(#[source] dpdk_sys::Error),
    /// A port.
    #[error("port {name} ({device}): {error}")]
    Port {
        /// Its name.
        name: Name,
        /// What DPDK was told to open.
        device: String,
        /// What it said.
        #[source]
        error: dpdk_sys::Error,
    },
    /// A port on which some workers could not send.
    #[error(
        "port {name} ({device}): {queues} transmit queues for {workers} workers, of which each needs its own: name {queues} in \
         appliance.workers, or give the device more (net_af_packet: qpairs={workers}; net_af_xdp: queue_count={workers})"
    )]
    Queues {
        /// Its name.
        name: Name,
        /// What DPDK was told to open.
        device: String,
        /// The transmit queues that it has.
        queues: u16,
        /// The workers that were asked for.
        workers: u16,
    },
    /// What seals and opens packets.
    #[error("appliance.aes_gcm: {0}")]
    Kernel(#[from] KernelError),
    /// The workers' threads.
    #[error(transparent)]
    Workers(#[from] LaunchError),
}

/// A started port.
struct OpenPort {
    name: Name,
    port: Port,
    report: PortReport,
    steering: Steering,
}

/// What can be read of a worker at any time.
pub struct Reader {
    core: CoreId,
    counters: Arc<Counters>,
    stats: Arc<Stats>,
}

/// Everything that runs beside the control thread.
pub struct Fleet {
    // Dropped in this order: threads before ports, ports before DPDK.
    set: WorkerSet,
    readers: Vec<Reader>,
    ports: Vec<OpenPort>,
    pool: Mempool,
    kernel: Kernel,
    eal: Eal,
}

/// A launched fleet with what the gateway needs of it.
pub struct Launched {
    /// Ports and threads.
    pub fleet: Fleet,
    /// The workers' rings.
    pub workers: Workers,
    /// What the ports say of themselves, by position.
    pub facts: Vec<PortFacts>,
    /// Buffers for IKE datagrams.
    pub buffers: Mempool,
    /// Slots of every worker's table of inbound SAs.
    pub sa_slots: u32,
    /// The AES-GCM kernel in use.
    pub kernel: Kernel,
}

impl Fleet {
    /// Starts DPDK, the configuration's ports in the order of their names, and a worker on each configured core.
    ///
    /// # Errors
    /// [`FleetError`]; what was started is stopped again.
    pub fn launch(config: &Config) -> Result<Launched, FleetError> {
        let appliance = config.appliance();
        let kernel = kernel(appliance.aes_gcm)?;
        let eal = start_eal(appliance)?;
        let workers = u16::try_from(appliance.workers.len()).unwrap_or(u16::MAX);
        let pool = packet_pool(&eal, config, workers)?;
        let buffers = Mempool::new(
            &eal,
            &MempoolOptions {
                name: "control".to_owned(),
                packets: CONTROL_PACKETS,
                cache_packets: 0,
                room_bytes: CONTROL_ROOM,
                numa_node: None,
            },
        )
        .map_err(FleetError::Pool)?;
        let whole_pool = whole_pool(&eal, pool.room_bytes())?;
        let mut ports = Vec::new();
        let mut facts = Vec::new();
        let mut parts: Vec<Part> = appliance
            .workers
            .iter()
            .map(|core| Part {
                core: Some(core.0.into()),
                rx: Vec::new(),
                tx: Vec::new(),
                pool: pool.clone(),
                whole_pool: whole_pool.clone(),
            })
            .collect();
        for (index, port) in (0..).map(PortIndex).zip(config.ports().values()) {
            let (open, started, fact) = open_port(&eal, port, workers, &pool)?;
            deal(index, started, &mut parts);
            facts.push(fact);
            ports.push(open);
        }
        let tunnels = appliance.max_tunnels;
        // Rekeying needs the old SA beside the new one.
        let sizes = Sizes { inbound_sas: tunnels * 2, tunnels, ..Sizes::default() };
        let idle = match appliance.idle {
            ConfigIdle::Adaptive => Idle::Adaptive,
            ConfigIdle::Poll => Idle::Poll,
        };
        let launch = Launch {
            kernel,
            idle,
            sizes,
            rings: RingSizes::default(),
            handover_packets: HANDOVER_PACKETS,
            seed: seed(),
        };
        let mut set = WorkerSet::launch(&eal, &launch, parts)?;
        let (ends, readers) = take_ends(&mut set, &appliance.workers);
        tracing::info!(workers = readers.len(), aes_gcm = kernel.name().as_str(), "the workers run");
        let fleet = Self { set, readers, ports, pool, kernel, eal };
        let workers = Workers::new(ends);
        Ok(Launched { fleet, workers, facts, buffers, sa_slots: sizes.inbound_sas, kernel })
    }

    /// Where packet memory comes from.
    #[must_use]
    pub fn memory(&self) -> String {
        self.eal.memory().to_string()
    }

    /// Packet buffers in use, and all there are.
    #[must_use]
    pub fn buffers(&self) -> (u32, u32) {
        (self.pool.in_use(), self.pool.packets())
    }

    /// The workers, in their order.
    #[must_use]
    pub fn workers(&self) -> &[Reader] {
        &self.readers
    }

    /// Has every worker measure in these turns how many cycles its stages take.
    pub fn measure_stages(&self, turns: StageTurns) {
        self.readers.iter().for_each(|reader| reader.stats.measure_stages(turns));
    }

    /// The workers' clock, in microseconds; as fine as milliseconds.
    #[must_use]
    pub fn now_us(&self) -> u64 {
        self.set.now_ms().saturating_mul(1000)
    }

    /// Whether every worker's thread lives.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.set.check().is_ok()
    }

    /// Stops workers, then ports, then DPDK.
    pub fn stop(self) {
        let Self { set, ports, pool, eal, .. } = self;
        let (workers, handles) = set.stop();
        drop((workers, handles));
        drop(ports);
        if pool.in_use() > 0 {
            tracing::warn!(packets = pool.in_use(), "packets are left in use at the end");
        }
        drop(pool);
        if let Err(error) = eal.cleanup() {
            // The AF_XDP driver keeps packets when it closes; the process ends now anyway.
            tracing::debug!(%error, "DPDK did not clean up");
        }
    }
}

impl Reader {
    /// The worker's counters now.
    #[must_use]
    pub fn counters(&self) -> Snapshot {
        self.counters.snapshot()
    }

    /// Packets that the worker dropped since its start.
    #[must_use]
    pub fn dropped_packets(&self) -> u64 {
        self.counters().total(Kind::Drop)
    }
}

fn start_eal(appliance: &Appliance) -> Result<Eal, FleetError> {
    let memory = match appliance.memory {
        ConfigMemory::Auto => Memory::Auto,
        ConfigMemory::Huge => Memory::Huge,
        ConfigMemory::NoHuge => Memory::NoHuge,
    };
    let options = EalOptions {
        memory,
        memory_mib: appliance.memory_mib,
        file_prefix: format!(
            "crossgate-{}-{}",
            appliance.name.as_str().replace('.', "-"),
            std::process::id()
        ),
        log_level: LogLevel::Warning,
        arguments: appliance.eal.clone(),
    };
    let eal = Eal::start(&options).map_err(FleetError::Eal)?;
    if eal.memory().is_fallback() {
        tracing::warn!("packet memory: {}", eal.memory());
    } else {
        tracing::info!("packet memory: {}", eal.memory());
    }
    Ok(eal)
}

/// One pool for all ports: enough packets that full queues of every port leave some for the workers.
fn packet_pool(eal: &Eal, config: &Config, workers: u16) -> Result<Mempool, FleetError> {
    let ports = u32::try_from(config.ports().len()).unwrap_or(u32::MAX);
    let in_queues = ports.saturating_mul(u32::from(workers)).saturating_mul(2 * u32::from(DESCRIPTORS));
    let wanted = in_queues.saturating_add(u32::from(workers).saturating_mul(PACKETS_A_WORKER));
    let mtu = config.ports().values().map(|port| port.mtu_bytes).max().unwrap_or(1500);
    let options = MempoolOptions {
        name: "packets".to_owned(),
        packets: wanted.saturating_add(1).next_power_of_two() - 1,
        cache_packets: CACHE_PACKETS,
        room_bytes: mtu.saturating_add(ROOM_BEYOND_MTU),
        numa_node: None,
    };
    Mempool::new(eal, &options).map_err(FleetError::Pool)
}

fn kernel(wanted: AesGcm) -> Result<Kernel, KernelError> {
    match wanted {
        AesGcm::Auto => Ok(Kernel::detect()),
        AesGcm::Vaes512 => Kernel::named(KernelName::Vaes512),
        AesGcm::Vaes256 => Kernel::named(KernelName::Vaes256),
        AesGcm::AesNi => Kernel::named(KernelName::Aesni),
        AesGcm::Portable => Kernel::named(KernelName::Portable),
    }
}

/// One pool for packets out of reassembly: a packet may be as long as one that came whole, at least.
fn whole_pool(eal: &Eal, packet_room_bytes: u16) -> Result<Mempool, FleetError> {
    let options = MempoolOptions {
        name: "whole".to_owned(),
        packets: WHOLE_PACKETS,
        cache_packets: 0,
        room_bytes: WHOLE_ROOM.max(packet_room_bytes),
        numa_node: None,
    };
    Mempool::new(eal, &options).map_err(FleetError::Pool)
}

fn open_port(
    eal: &Eal,
    wanted: &crossgate_config::Port,
    workers: u16,
    pool: &Mempool,
) -> Result<(OpenPort, Started, PortFacts), FleetError> {
    let device = device(&wanted.device).to_owned();
    let failed = |error| FleetError::Port { name: wanted.name.clone(), device: device.clone(), error };
    let mut port = Port::attach(eal, &device).map_err(failed)?;
    let options = PortOptions {
        rx_queues: workers,
        tx_queues: workers,
        rx_descriptors: DESCRIPTORS,
        tx_descriptors: DESCRIPTORS,
        mtu_bytes: wanted.mtu_bytes,
        ..PortOptions::default()
    };
    let started = port.start(&options, pool).map_err(failed)?;
    let report = started.report.clone();
    if report.tx_queues < workers {
        let (name, queues) = (wanted.name.clone(), report.tx_queues);
        return Err(FleetError::Queues { name, device, queues, workers });
    }
    for limit in &report.limits {
        tracing::info!(port = %wanted.name, "{limit}");
    }
    let steering = steer::steer(&mut port, report.rx_queues, workers);
    let mac = Mac(port.mac().map_err(failed)?.0);
    let fact = PortFacts { mac, mtu_bytes: report.mtu_bytes.min(wanted.mtu_bytes) };
    tracing::info!(
        port = %wanted.name,
        device,
        driver = %report.driver,
        queues = report.rx_queues,
        mtu_bytes = fact.mtu_bytes,
        "the port runs"
    );
    Ok((OpenPort { name: wanted.name.clone(), port, report, steering }, started, fact))
}

/// Gives queue i of a port to worker i; workers beyond the port's queues get none.
fn deal(index: PortIndex, started: Started, parts: &mut [Part]) {
    let (mut rx, mut tx) = (started.rx.into_iter(), started.tx.into_iter());
    for part in parts {
        part.rx.extend(rx.next().map(|queue| (index, queue)));
        part.tx.push(tx.next());
    }
}

fn take_ends(set: &mut WorkerSet, cores: &[CoreId]) -> (Vec<ControlEnd>, Vec<Reader>) {
    let handles = std::mem::take(&mut set.handles);
    handles
        .into_iter()
        .zip(cores)
        .map(|(handle, core)| {
            (handle.control, Reader { core: *core, counters: handle.counters, stats: handle.stats })
        })
        .unzip()
}

fn device(device: &Device) -> &str {
    match device {
        Device::Pci(text) | Device::Virtual(text) => text,
    }
}

fn seed() -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("the operating system gives randomness");
    u64::from_ne_bytes(bytes)
}

/// Cycles a second, for reports.
fn cycles_per_second(eal: &Eal) -> u64 {
    tsc_hz(eal).max(1)
}
