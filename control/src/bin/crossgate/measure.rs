//! What this machine does for a gateway of a size: a worker's whole way of a packet into a tunnel (route, bandwidth, ESP with AES-256-GCM, next hop)
//! between two ports in memory, for a second, with source and sink on the same core. For `crossgate skus --measure`.
//!
//! Beside a running gateway it is safe: it opens no port and takes no hugepages, and DPDK's files have this process's name. It does take the core.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use crossgate_dataplane::counter::Counter;
use crossgate_dataplane::forwarding::{
    DontFragment, Forwarding, Interface, InterfaceId, MssClamp, NextHop, PortIndex, Tunnel, TunnelId, VrfId,
};
use crossgate_dataplane::gcm::{Kernel, Key};
use crossgate_dataplane::header::Protocol;
use crossgate_dataplane::header::ethernet::{self, EtherType, Ethernet, Mac};
use crossgate_dataplane::header::ipv4::{self, Ipv4};
use crossgate_dataplane::message::{Command, NeighbourEntry, RingSizes};
use crossgate_dataplane::meter::{Meter, Share};
use crossgate_dataplane::nat::Nat;
use crossgate_dataplane::sa::{
    DscpPolicy, Encapsulation, Endpoints, Esn, Keys, Lifetime, OutboundParameters, OutboundSa,
};
use crossgate_dataplane::selector::{Selectors, TrafficSelector};
use crossgate_dataplane::spi::Spi;
use crossgate_dataplane::worker::{Idle, Launch, Part, Sizes, Worker, WorkerHandle, WorkerSet};
use dpdk_sys::{
    BURST_PACKETS, Burst, Eal, EalOptions, LogLevel, Memory, Mempool, MempoolOptions, Port, PortOptions,
    RegisteredThread, RingPort, Wire,
};
use ipnet::IpNet;

/// Inner packets, in bytes.
const PACKET_BYTES: u16 = 1400;
/// Not counted: a full bucket, cold caches.
const WARM_UP: Duration = Duration::from_millis(100);
const RUN: Duration = Duration::from_secs(1);
const MTU_BYTES: u16 = 1600;
const SITE: VrfId = VrfId(1);
const TUNNEL: TunnelId = TunnelId(0);
const OURS: [Mac; 2] = [Mac([2, 0, 0, 0, 0, 0]), Mac([2, 0, 0, 0, 0, 1])];
const THEIRS: Mac = Mac([2, 0, 0, 0, 2, 2]);

/// Measures each of these bandwidths (`None`: not limited) on `core`, or wherever this process runs. In Mbit of inner packets a second.
pub(crate) fn measure(
    core: Option<usize>,
    limits: &BTreeSet<Option<u32>>,
) -> Result<BTreeMap<Option<u32>, u64>> {
    if let Some(id) = core {
        let cores = core_affinity::get_core_ids().unwrap_or_default();
        let known = cores.into_iter().find(|known| known.id == id);
        if !known.is_some_and(core_affinity::set_for_current) {
            bail!("this process cannot run on core {id}");
        }
    }
    let mut bench = Bench::new()?;
    let mut measured = BTreeMap::new();
    for limit in limits {
        bench.limit(*limit)?;
        bench.run(WARM_UP)?;
        measured.insert(*limit, bench.run(RUN)?);
    }
    Ok(measured)
}

struct Bench {
    // Dropped in this order: the worker before its ports, those before DPDK.
    worker: Worker,
    handle: WorkerHandle,
    wires: Vec<Wire>,
    _ports: Vec<Port>,
    pool: Mempool,
    frame: Vec<u8>,
    _thread: RegisteredThread,
    _eal: Eal,
}

impl Bench {
    fn new() -> Result<Self> {
        let options = EalOptions {
            memory: Memory::NoHuge,
            memory_mib: 64,
            log_level: LogLevel::Error,
            ..EalOptions::default()
        };
        let eal = Eal::start(&options).context("DPDK does not start")?;
        let thread = eal.register_thread().context("no thread for DPDK")?;
        let options = MempoolOptions {
            name: "measure".to_owned(),
            packets: 2047,
            cache_packets: 128,
            room_bytes: 2048,
            ..MempoolOptions::default()
        };
        let pool = Mempool::new(&eal, &options).context("packet memory")?;
        let mut part =
            Part { core: None, rx: Vec::new(), tx: Vec::new(), pool: pool.clone(), whole_pool: pool.clone() };
        let (mut wires, mut ports) = (Vec::new(), Vec::new());
        for index in [PortIndex(0), PortIndex(1)] {
            let mut ring = RingPort::new(&eal, 1, 512).context("a port in memory")?;
            let mut started = ring.port.start(&PortOptions::default(), &pool).context("a port in memory")?;
            part.rx.extend(started.rx.pop().map(|queue| (index, queue)));
            part.tx.push(started.tx.pop());
            wires.extend(ring.wires.pop());
            ports.push(ring.port);
        }
        let launch = Launch {
            kernel: Kernel::detect(),
            idle: Idle::Poll,
            sizes: Sizes { inbound_sas: 16, tunnels: 1, ..Sizes::default() },
            rings: RingSizes::default(),
            handover_packets: 16,
            seed: 1,
        };
        let mut made = WorkerSet::prepare(&eal, &launch, vec![part]).context("a worker")?;
        let (worker, handle) = made.pop().context("a worker")?;
        let frame = frame();
        let mut bench =
            Self { worker, handle, wires, _ports: ports, pool, frame, _thread: thread, _eal: eal };
        bench.limit(None)?;
        bench.command(Command::InstallOutbound(Arc::new(sa(launch.kernel)?)))?;
        Ok(bench)
    }

    fn command(&mut self, command: Command) -> Result<()> {
        self.handle.control.send(command).ok().context("the worker's ring is full")?;
        self.worker.step();
        self.handle.control.poll_acknowledgement().context("the worker does not answer")?;
        Ok(())
    }

    /// Gives the tunnel's gateway this bandwidth, and the neighbour anew: it must not grow stale.
    fn limit(&mut self, mbit_per_s: Option<u32>) -> Result<()> {
        self.command(Command::SetForwarding(Arc::new(forwarding(mbit_per_s)?)))?;
        let (interface, address) = (InterfaceId(0), [192, 0, 2, 2].into());
        self.command(Command::LearnNeighbour(NeighbourEntry { interface, address, mac: THEIRS }))
    }

    /// What left in that time, in Mbit a second.
    fn run(&mut self, time: Duration) -> Result<u64> {
        let sealed = |handle: &WorkerHandle| handle.counters.read(Counter::EspSealedBytes);
        let (before, began) = (sealed(&self.handle), Instant::now());
        let mut burst = Burst::new();
        while began.elapsed() < time {
            for _ in 0..BURST_PACKETS {
                let packet = self.pool.take_copy(&self.frame).context("packet memory is used up")?;
                drop(burst.push(packet));
            }
            self.wires[1].push_burst(&mut burst);
            self.worker.step();
            self.wires[0].pull_burst(&mut burst);
            burst.clear();
        }
        let (bytes, elapsed) = (sealed(&self.handle) - before, began.elapsed());
        let mbit_per_s = u128::from(bytes) * 8 * 1000 / elapsed.as_nanos().max(1);
        if bytes == 0 {
            bail!("not one packet passed");
        }
        Ok(u64::try_from(mbit_per_s).unwrap_or(u64::MAX))
    }
}

fn sa(kernel: Kernel) -> Result<OutboundSa> {
    // Nobody opens what this key seals.
    Ok(OutboundSa::new(OutboundParameters {
        tunnel: TUNNEL,
        spi: Spi::new(1 << 8).context("an SPI")?,
        keys: Keys::AesGcm { key: Key::new(kernel, &[7; 32]).context("a key")?, salt: [7; 4] },
        endpoints: Endpoints::new([192, 0, 2, 1].into(), [192, 0, 2, 2].into()).context("two families")?,
        encapsulation: Encapsulation::Plain,
        esn: Esn::On,
        first_sequence: NonZeroU64::MIN,
        lifetime: Lifetime::UNLIMITED,
        dscp: DscpPolicy::Copy,
        path_mtu_bytes: MTU_BYTES,
        keepalive: None,
    }))
}

fn forwarding(mbit_per_s: Option<u32>) -> Result<Forwarding> {
    let interface = |port: u16, vrf, address: &str| -> Result<Interface> {
        let (mac, addresses) = (OURS[usize::from(port)], vec![address.parse()?]);
        Ok(Interface { port: PortIndex(port), vlan: None, vrf, mac, mtu_bytes: MTU_BYTES, addresses })
    };
    let any = vec![TrafficSelector::of_prefix("0.0.0.0/0".parse()?)];
    let tunnel = Tunnel {
        vrf: SITE,
        selectors: Selectors { local: any.clone(), remote: any },
        alternative: None,
        mss_clamp: MssClamp::Auto,
        dont_fragment: DontFragment::Copy,
        nat: Nat::default(),
    };
    let site: IpNet = "10.2.0.0/16".parse()?;
    let mut builder = Forwarding::builder();
    builder
        .interface(InterfaceId(0), interface(0, VrfId::UNDERLAY, "192.0.2.1/24")?)
        .interface(InterfaceId(1), interface(1, SITE, "10.1.0.1/24")?)
        .tunnel(TUNNEL, tunnel)
        .route(SITE, site, NextHop::Tunnel(TUNNEL));
    if let Some(rate) = mbit_per_s.and_then(|mbit| NonZeroU64::new(u64::from(mbit) * 125_000)) {
        builder.share(TUNNEL, Arc::new(Share::new(Arc::new(Meter::new(rate)))));
    }
    Ok(builder.build()?)
}

/// A packet of a host of ours to one of the site's.
fn frame() -> Vec<u8> {
    let mut bytes = vec![0x77; ethernet::HEADER_BYTES + usize::from(PACKET_BYTES)];
    let (link, packet) = bytes.split_at_mut(ethernet::HEADER_BYTES);
    if let (Some(link), Some(head)) =
        (link.first_chunk_mut(), packet.first_chunk_mut::<{ ipv4::HEADER_BYTES }>())
    {
        Ethernet { destination: OURS[1], source: THEIRS, ether_type: EtherType::IPV4 }.write(link);
        Ipv4 {
            traffic_class: 0,
            total_bytes: PACKET_BYTES,
            identification: 1,
            dont_fragment: true,
            ttl: 64,
            protocol: Protocol(253),
            source: [10, 1, 0, 9].into(),
            destination: [10, 2, 0, 9].into(),
        }
        .write(head);
    }
    bytes
}
