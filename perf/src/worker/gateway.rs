//! What `worker` measures: a gateway of one stepped worker between two in-memory ports (DPDK's ring driver), with one tunnel and
//! one SA each way; and the same ports without a worker, which is what source and sink cost.

use std::net::IpAddr;
use std::num::NonZeroU64;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use crossgate_dataplane::counter::{Counter, Snapshot};
use crossgate_dataplane::forwarding::{
    DontFragment, Forwarding, Interface, InterfaceId, MssClamp, NextHop, PortIndex, Tunnel, TunnelId, VrfId,
};
use crossgate_dataplane::gcm::{Kernel, Key};
use crossgate_dataplane::header::ethernet::Mac;
use crossgate_dataplane::message::{Command, NeighbourEntry, RingSizes};
use crossgate_dataplane::sa::{
    DscpPolicy, Encapsulation, Endpoints, Esn, InboundParameters, InboundSa, Lifetime, OutboundParameters,
    OutboundSa,
};
use crossgate_dataplane::selector::{Selectors, TrafficSelector};
use crossgate_dataplane::spi::Spi;
use crossgate_dataplane::worker::{Idle, Launch, Part, Sizes, Worker, WorkerHandle, WorkerSet};
use dpdk_sys::{Burst, Eal, Mempool, Port, PortOptions, RingPort, RxQueue, TxQueue, Wire, tsc_cycles};

/// The public side, as a position of ports and wires.
pub(super) const WAN: usize = 0;
/// The site's side.
pub(super) const LAN: usize = 1;
/// Our MAC addresses, by port.
pub(super) const OURS: [Mac; 2] = [Mac([2, 0, 0, 0, 0, 0]), Mac([2, 0, 0, 0, 0, 1])];
/// Those of the peer and of the host, by port.
pub(super) const THEIRS: [Mac; 2] = [Mac([2, 0, 0, 0, 2, 2]), Mac([2, 0, 0, 0, 1, 1])];
/// The default of the configuration.
const REPLAY_WINDOW_PACKETS: u32 = 1024;
const PORT_PACKETS: u32 = 512;
const SITE: VrfId = VrfId(1);
const TUNNEL: TunnelId = TunnelId(1);
const SALT: [u8; 4] = [9, 8, 7, 6];

/// One of the two sites: 1 or 2.
#[derive(Clone, Copy)]
pub(super) struct Site(pub(super) u8);

impl Site {
    pub(super) fn other(self) -> Self {
        Self(3 - self.0)
    }

    fn public(self) -> IpAddr {
        [192, 0, 2, self.0].into()
    }

    fn own(self) -> IpAddr {
        [10, self.0, 0, 1].into()
    }

    pub(super) fn host(self) -> [u8; 4] {
        [10, self.0, 0, 99]
    }

    fn prefix(self) -> Result<ipnet::IpNet> {
        Ok(ipnet::IpNet::new([10, self.0, 0, 0].into(), 16)?)
    }

    /// The SPI that this site receives on: its number is the slot.
    fn spi(self) -> Result<Spi> {
        Spi::new(u32::from(self.0) << 8 | 7).context("an SPI that is reserved")
    }

    fn endpoints(self) -> Result<Endpoints> {
        Endpoints::new(self.public(), self.other().public()).context("two address families")
    }
}

/// A gateway whose worker runs when it is told to.
pub(super) struct Gateway {
    worker: Worker,
    handle: WorkerHandle,
    wires: [Wire; 2],
    _ports: [Port; 2],
}

impl Gateway {
    pub(super) fn new(eal: &Eal, pool: &Mempool, kernel: Kernel, site: Site, raw_key: &[u8]) -> Result<Self> {
        let [(wan, wan_rx, wan_tx), (lan, lan_rx, lan_tx)] = [port(eal, pool)?, port(eal, pool)?];
        let part = Part {
            core: None,
            rx: vec![(PortIndex(0), wan_rx), (PortIndex(1), lan_rx)],
            tx: vec![Some(wan_tx), Some(lan_tx)],
            pool: pool.clone(),
            whole_pool: pool.clone(),
        };
        let launch = Launch {
            kernel,
            idle: Idle::Poll,
            sizes: Sizes::default(),
            rings: RingSizes::default(),
            handover_packets: 256,
            seed: 1,
        };
        let mut made = WorkerSet::prepare(eal, &launch, vec![part])?;
        let (worker, handle) = made.pop().context("no worker was made")?;
        let [wan_wire, lan_wire] = [wan.1, lan.1];
        let mut gateway = Self { worker, handle, wires: [wan_wire, lan_wire], _ports: [wan.0, lan.0] };
        gateway.configure(kernel, site, raw_key)?;
        Ok(gateway)
    }

    fn configure(&mut self, kernel: Kernel, site: Site, raw_key: &[u8]) -> Result<()> {
        self.command(Command::SetForwarding(Arc::new(forwarding(site)?)))?;
        let outbound = OutboundSa::new(OutboundParameters {
            tunnel: TUNNEL,
            spi: site.other().spi()?,
            key: Key::new(kernel, raw_key)?,
            salt: SALT,
            endpoints: site.endpoints()?,
            encapsulation: Encapsulation::Plain,
            esn: Esn::On,
            first_sequence: NonZeroU64::MIN,
            lifetime: Lifetime::UNLIMITED,
            dscp: DscpPolicy::Copy,
            path_mtu_bytes: 1500,
            keepalive: None,
        });
        self.command(Command::InstallOutbound(Arc::new(outbound)))?;
        let inbound = InboundSa::new(InboundParameters {
            tunnel: TUNNEL,
            spi: site.spi()?,
            key: Key::new(kernel, raw_key)?,
            salt: SALT,
            endpoints: site.endpoints()?,
            encapsulation: Encapsulation::Plain,
            esn: Esn::On,
            replay_window_packets: REPLAY_WINDOW_PACKETS,
            lifetime: Lifetime::UNLIMITED,
        });
        self.command(Command::InstallInbound(Box::new(inbound)))?;
        self.refresh(site)
    }

    /// Tells the worker its neighbours (again), so that none of them goes stale while packets are timed.
    pub(super) fn refresh(&mut self, site: Site) -> Result<()> {
        let addresses = [site.other().public(), site.host().into()];
        for ((interface, address), mac) in
            [InterfaceId(0), InterfaceId(1)].into_iter().zip(addresses).zip(THEIRS)
        {
            self.command(Command::LearnNeighbour(NeighbourEntry { interface, address, mac }))?;
        }
        while self.handle.control.poll_event().is_some() {}
        Ok(())
    }

    fn command(&mut self, command: Command) -> Result<()> {
        self.handle.control.send(command).ok().context("the ring of commands is full")?;
        self.worker.step();
        self.handle.control.poll_acknowledgement().context("the worker did not answer")?;
        Ok(())
    }

    /// Lets `burst` arrive at port `from`, runs the worker once and takes what left by the other port. TSC cycles.
    pub(super) fn pass(&mut self, from: usize, burst: &mut Burst) -> u64 {
        let began = tsc_cycles();
        self.wires[from].push_burst(burst);
        self.worker.step();
        self.wires[1 - from].pull_burst(burst);
        tsc_cycles() - began
    }

    /// Checks that every packet was sealed or opened, and none dropped or left inside.
    pub(super) fn check(&self, sealed: u64, opened: u64) -> Result<()> {
        let counters: Snapshot = self.handle.counters.snapshot();
        ensure!(
            counters.get(Counter::EspSealed) == sealed
                && counters.get(Counter::EspOpened) == opened
                && counters.get(Counter::TxPackets) == sealed + opened
                && counters.balance() == 0,
            "{sealed} packets to seal and {opened} to open, but {:?}",
            counters.moved().map(|(row, count)| (row.name, count)).collect::<Vec<_>>()
        );
        Ok(())
    }
}

/// Source and sink: the same two ports, and nothing between them.
pub(super) struct Bypass {
    rx: RxQueue,
    tx: TxQueue,
    wires: [Wire; 2],
    inside: Burst,
    _others: (TxQueue, RxQueue),
    _ports: [Port; 2],
}

impl Bypass {
    pub(super) fn new(eal: &Eal, pool: &Mempool) -> Result<Self> {
        let [(first, rx, spare_tx), (second, spare_rx, tx)] = [port(eal, pool)?, port(eal, pool)?];
        Ok(Self {
            rx,
            tx,
            wires: [first.1, second.1],
            inside: Burst::new(),
            _others: (spare_tx, spare_rx),
            _ports: [first.0, second.0],
        })
    }

    /// What [`Gateway::pass`] does, but for the worker. TSC cycles.
    pub(super) fn pass(&mut self, burst: &mut Burst) -> u64 {
        let began = tsc_cycles();
        self.wires[0].push_burst(burst);
        self.rx.rx_burst(&mut self.inside);
        self.tx.tx_burst(&mut self.inside);
        self.wires[1].pull_burst(burst);
        tsc_cycles() - began
    }
}

/// A started port with its one wire and its queues.
fn port(eal: &Eal, pool: &Mempool) -> Result<((Port, Wire), RxQueue, TxQueue)> {
    let mut ring = RingPort::new(eal, 1, PORT_PACKETS)?;
    let mut started = ring.port.start(&PortOptions::default(), pool)?;
    let wire = ring.wires.pop().context("a port without a wire")?;
    let rx = started.rx.pop().context("a port without a receive queue")?;
    let tx = started.tx.pop().context("a port without a transmit queue")?;
    Ok(((ring.port, wire), rx, tx))
}

fn forwarding(site: Site) -> Result<Forwarding> {
    let interface = |port: usize, vrf, address: IpAddr| -> Result<Interface> {
        Ok(Interface {
            port: PortIndex(u16::try_from(port)?),
            vlan: None,
            vrf,
            mac: OURS[port],
            mtu_bytes: 1500,
            addresses: vec![ipnet::IpNet::new(address, 24)?],
        })
    };
    let selector = |site: Site| -> Result<_> { Ok(vec![TrafficSelector::of_prefix(site.prefix()?)]) };
    let tunnel = Tunnel {
        vrf: SITE,
        selectors: Selectors { local: selector(site)?, remote: selector(site.other())? },
        alternative: None,
        mss_clamp: MssClamp::Auto,
        dont_fragment: DontFragment::Copy,
    };
    let mut builder = Forwarding::builder();
    builder
        .interface(InterfaceId(0), interface(WAN, VrfId::UNDERLAY, site.public())?)
        .interface(InterfaceId(1), interface(LAN, SITE, site.own())?)
        .tunnel(TUNNEL, tunnel)
        .route(SITE, site.other().prefix()?, NextHop::Tunnel(TUNNEL));
    Ok(builder.build()?)
}
