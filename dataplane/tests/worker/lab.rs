//! The bench of the worker tests: a gateway of one or more stepped workers between two in-memory ports, and packets to put
//! through it. It tests nothing itself.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use crossgate_dataplane::counter::{Counter, Snapshot};
use crossgate_dataplane::forwarding::{
    Builder, DontFragment, Forwarding, Interface, InterfaceId, MssClamp, NextHop, PortIndex, Tunnel,
    TunnelId, VrfId,
};
use crossgate_dataplane::gcm::Kernel;
use crossgate_dataplane::header::ethernet::Mac;
use crossgate_dataplane::message::{Command, Event, NeighbourEntry, Replaced, RingSizes};
use crossgate_dataplane::nat::Nat;
use crossgate_dataplane::sa::{InboundSa, OutboundSa};
use crossgate_dataplane::selector::{Selectors, TrafficSelector};
use crossgate_dataplane::spi::Spi;
use crossgate_dataplane::worker::{Idle, Launch, Part, Sizes, Worker, WorkerHandle, WorkerSet};
use dpdk_sys::{
    Eal, EalOptions, Mempool, MempoolOptions, Port, PortOptions, RegisteredThread, RingPort, Wire,
};

pub(crate) use frame::{across, echo, forwarded, frame, framed, packet, udp};
pub(crate) use sa::{
    Options, authentic, inbound, inbound_at, outbound, outbound_to, padded, pair, raw_spi, spi,
};

mod chain;
mod frame;
mod sa;

pub(crate) const WAN: usize = 0;
pub(crate) const LAN: usize = 1;
pub(crate) const SITE: VrfId = VrfId(1);
pub(crate) const TUNNEL: TunnelId = TunnelId(3);
pub(crate) const HOST: Mac = Mac([2, 0, 0, 0, 1, 1]);
pub(crate) const PEER: Mac = Mac([2, 0, 0, 0, 2, 2]);
pub(crate) const OURS: [Mac; 2] = [Mac([2, 0, 0, 0, 0, 0]), Mac([2, 0, 0, 0, 0, 1])];
pub(crate) const KEY: [u8; 32] = [0x5a; 32];
pub(crate) const SALT: [u8; 4] = [9, 8, 7, 6];

pub(crate) fn eal() -> &'static Eal {
    static EAL: OnceLock<Eal> = OnceLock::new();
    EAL.get_or_init(|| {
        Eal::start(&EalOptions { memory_mib: 192, ..EalOptions::default() }).expect("DPDK starts")
    })
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

pub(crate) fn net(text: &str) -> ipnet::IpNet {
    text.parse().expect("a prefix")
}

/// A site: `1` or `2`. Everything about the other one follows.
#[derive(Clone, Copy)]
pub(crate) struct Site(pub(crate) u8);

impl Site {
    pub(crate) fn other(self) -> Self {
        Self(3 - self.0)
    }

    pub(crate) fn public(self, v6: bool) -> IpAddr {
        if v6 { ip(&format!("2001:db8::{}", self.0)) } else { ip(&format!("192.0.2.{}", self.0)) }
    }

    pub(crate) fn own(self, v6: bool) -> IpAddr {
        if v6 { ip(&format!("fd00:{}::1", self.0)) } else { ip(&format!("10.{}.0.1", self.0)) }
    }

    pub(crate) fn host(self, v6: bool) -> IpAddr {
        if v6 { ip(&format!("fd00:{}::99", self.0)) } else { ip(&format!("10.{}.0.99", self.0)) }
    }

    pub(crate) fn prefixes(self) -> [ipnet::IpNet; 2] {
        [net(&format!("10.{}.0.0/16", self.0)), net(&format!("fd00:{}::/32", self.0))]
    }
}

/// A gateway to be made: all but the site can be left as usual.
pub(crate) struct Setup {
    pub(crate) site: Site,
    pub(crate) workers: u16,
    pub(crate) forwarding: Forwarding,
    pub(crate) launch: Launch,
    /// Whether its ports send packets of several segments.
    pub(crate) gathers: bool,
    pub(crate) edit: fn(&mut Vec<Part>),
}

impl Setup {
    pub(crate) fn of(site: Site) -> Self {
        Self { site, workers: 1, forwarding: forwarding(site), launch: launch(), gathers: true, edit: |_| {} }
    }

    pub(crate) fn build(self) -> Gateway {
        Gateway::make(self)
    }
}

pub(crate) struct Gateway {
    pub(crate) site: Site,
    pub(crate) workers: Vec<Worker>,
    pub(crate) handles: Vec<WorkerHandle>,
    pub(crate) wires: [Vec<Wire>; 2],
    pub(crate) pool: Mempool,
    pub(crate) now_us: u64,
    before: Snapshot,
    ports: Vec<Port>,
    _thread: RegisteredThread,
}

impl Gateway {
    pub(crate) fn new(site: Site, workers: u16) -> Self {
        Setup { workers, ..Setup::of(site) }.build()
    }

    pub(crate) fn with(site: Site, workers: u16, forwarding: Forwarding) -> Self {
        Setup { workers, forwarding, ..Setup::of(site) }.build()
    }

    fn make(setup: Setup) -> Self {
        let Setup { site, workers, forwarding, launch, gathers, edit } = setup;
        let (mut parts, ports, wires, pool) = parts(workers, gathers);
        edit(&mut parts);
        let thread = eal().register_thread().expect("an lcore id");
        let made = WorkerSet::prepare(eal(), &launch, parts).expect("workers");
        let (workers, handles) = made.into_iter().unzip();
        let mut gateway = Self {
            site,
            workers,
            handles,
            wires,
            pool,
            now_us: 1_000_000,
            before: Snapshot::zero(),
            ports,
            _thread: thread,
        };
        gateway.configure(forwarding);
        gateway
    }

    fn configure(&mut self, forwarding: Forwarding) {
        let forwarding = Arc::new(forwarding);
        for worker in 0..self.workers.len() {
            self.command(worker, Command::SetForwarding(Arc::clone(&forwarding)));
            for v6 in [false, true] {
                for (interface, address, mac) in [
                    (InterfaceId(0), self.site.other().public(v6), PEER),
                    (InterfaceId(1), self.site.host(v6), HOST),
                ] {
                    self.command(worker, Command::LearnNeighbour(NeighbourEntry { interface, address, mac }));
                }
            }
        }
        self.moved();
    }

    pub(crate) fn command(&mut self, worker: usize, command: Command) -> Replaced {
        let id = self.handles[worker].control.send(command).expect("room");
        self.workers[worker].step_at(self.now_us);
        let answer = self.handles[worker].control.poll_acknowledgement().expect("an answer");
        assert_eq!(answer.id, id);
        answer.replaced
    }

    pub(crate) fn install(&mut self, outbound: OutboundSa, inbound: InboundSa) {
        let outbound = Arc::new(outbound);
        for worker in 0..self.workers.len() {
            self.command(worker, Command::InstallOutbound(Arc::clone(&outbound)));
        }
        let home = self.home(inbound.spi());
        self.command(home, Command::InstallInbound(Box::new(inbound)));
    }

    pub(crate) fn home(&self, spi: Spi) -> usize {
        let workers = u8::try_from(self.workers.len()).expect("few").try_into().expect("some");
        spi.bucket().home(workers).into()
    }

    pub(crate) fn arrive(&mut self, port: usize, frame: &[u8]) {
        self.arrive_at(port, 0, frame);
    }

    pub(crate) fn arrive_at(&mut self, port: usize, queue: usize, frame: &[u8]) {
        let packet = self.pool.take_copy(frame).expect("a packet");
        self.wires[port][queue].push(packet).ok().expect("room");
    }

    /// Steps all workers until nothing is left to do.
    pub(crate) fn run(&mut self) {
        for _ in 0..64 {
            self.now_us += 10;
            let now_us = self.now_us;
            if self.workers.iter_mut().map(|worker| worker.step_at(now_us)).sum::<usize>() == 0 {
                return;
            }
        }
        panic!("the workers never come to rest");
    }

    /// What left by a port, on any queue.
    pub(crate) fn sent(&mut self, port: usize) -> Vec<Vec<u8>> {
        self.wires[port]
            .iter_mut()
            .flat_map(|wire| std::iter::from_fn(|| wire.pull()).collect::<Vec<_>>())
            .map(|packet| packet.segments().collect::<Vec<_>>().concat())
            .collect()
    }

    pub(crate) fn events(&mut self) -> Vec<Event> {
        self.handles
            .iter_mut()
            .flat_map(|h| std::iter::from_fn(|| h.control.poll_event()).collect::<Vec<_>>())
            .collect()
    }

    pub(crate) fn counters(&self) -> Snapshot {
        let mut sum = Snapshot::zero();
        self.handles.iter().for_each(|handle| sum.add(&handle.counters.snapshot()));
        sum
    }

    /// The counters of drops that moved since the last call.
    pub(crate) fn drops(&mut self) -> Vec<(Counter, u64)> {
        self.moved().into_iter().filter(|(counter, _)| counter.is_drop()).collect()
    }

    /// Lets a packet arrive twice (a stranger, then a known flow); what left by each port.
    pub(crate) fn pass(&mut self, port: usize, arrives: &[u8]) -> [Vec<Vec<u8>>; 2] {
        self.arrive(port, arrives);
        self.arrive(port, arrives);
        self.run();
        [self.sent(WAN), self.sent(LAN)]
    }

    /// The counters that moved since the last call, without bytes.
    pub(crate) fn moved(&mut self) -> Vec<(Counter, u64)> {
        let now = self.counters();
        let since = now.since(&self.before);
        self.before = now;
        since
            .moved()
            .filter(|(row, _)| !row.name.ends_with("_bytes"))
            .map(|(row, n)| (row.counter, n))
            .collect()
    }

    /// Ends the gateway: every packet is accounted for, and back in the pool.
    pub(crate) fn finish(mut self) {
        let waiting: usize = self.workers.iter().map(Worker::waiting_packets).sum();
        let balance = self.counters().balance();
        assert_eq!(
            balance,
            i64::try_from(waiting).expect("few"),
            "{:?}",
            self.counters().moved().collect::<Vec<_>>()
        );
        drop(self.events());
        for worker in self.workers.drain(..) {
            drop(worker.into_queues());
        }
        drop(std::mem::take(&mut self.handles));
        for port in &mut self.ports {
            port.stop().expect("all queues are back");
        }
        for wire in self.wires.iter_mut().flatten() {
            while wire.pull().is_some() {}
        }
        assert_eq!(self.pool.in_use(), 0, "leaked packets");
    }
}

/// Queues of two ports for each worker, and their far ends.
pub(crate) fn parts(workers: u16, gathers: bool) -> (Vec<Part>, Vec<Port>, [Vec<Wire>; 2], Mempool) {
    let options = MempoolOptions {
        name: "lab".into(),
        packets: 1023,
        cache_packets: 32,
        room_bytes: 4096,
        ..MempoolOptions::default()
    };
    let pool = Mempool::new(eal(), &options).expect("a pool");
    let options = MempoolOptions { packets: 15, cache_packets: 0, room_bytes: 4500, ..options };
    let whole_pool = Mempool::new(eal(), &options).expect("a pool");
    let mut parts: Vec<Part> = (0..workers)
        .map(|_| Part {
            core: None,
            rx: Vec::new(),
            tx: Vec::new(),
            pool: pool.clone(),
            whole_pool: whole_pool.clone(),
        })
        .collect();
    let mut ports = Vec::new();
    let wires = [0, 1].map(|number| {
        let mut ring = RingPort::new(eal(), workers, 512).expect("a ring port");
        let options = PortOptions {
            rx_queues: workers,
            tx_queues: workers,
            offloads: gathers,
            ..PortOptions::default()
        };
        let started = ring.port.start(&options, &pool).expect("the port starts");
        for ((part, rx), tx) in parts.iter_mut().zip(started.rx).zip(started.tx) {
            part.rx.push((PortIndex(number), rx));
            part.tx.push(Some(tx));
        }
        ports.push(ring.port);
        ring.wires
    });
    (parts, ports, wires, pool)
}

pub(crate) fn launch() -> Launch {
    Launch {
        kernel: Kernel::detect(),
        idle: Idle::Adaptive,
        sizes: Sizes { inbound_sas: 256, tunnels: 8, ..Sizes::default() },
        rings: RingSizes::default(),
        handover_packets: 256,
        seed: 1,
    }
}

pub(crate) fn forwarding(site: Site) -> Forwarding {
    builder(site).build().expect("consistent")
}

/// The usual interfaces, tunnel and routes: to be added to.
pub(crate) fn builder(site: Site) -> Builder {
    builder_with_mtu(site, 1500)
}

/// The same with another MTU on both sides.
pub(crate) fn builder_with_mtu(site: Site, mtu_bytes: u16) -> Builder {
    let other = site.other();
    let interface = |port, vrf, mac, addresses| Interface {
        port: PortIndex(port),
        vlan: None,
        vrf,
        mac,
        mtu_bytes,
        addresses,
    };
    let with = |address: IpAddr, length| ipnet::IpNet::new(address, length).expect("a length");
    let mut builder = Forwarding::builder();
    let wan = vec![with(site.public(false), 24), with(site.public(true), 64)];
    let lan = vec![with(site.own(false), 24), with(site.own(true), 64)];
    builder
        .interface(InterfaceId(0), interface(0, VrfId::UNDERLAY, OURS[WAN], wan))
        .interface(InterfaceId(1), interface(1, SITE, OURS[LAN], lan))
        .tunnel(TUNNEL, tunnel(site));
    for prefix in other.prefixes() {
        builder.route(SITE, prefix, NextHop::Tunnel(TUNNEL));
    }
    builder
}

pub(crate) fn tunnel(site: Site) -> Tunnel {
    let selectors = |site: Site| site.prefixes().map(TrafficSelector::of_prefix).to_vec();
    Tunnel {
        vrf: SITE,
        selectors: Selectors { local: selectors(site), remote: selectors(site.other()) },
        alternative: None,
        mss_clamp: MssClamp::Auto,
        dont_fragment: DontFragment::Copy,
        nat: Nat::default(),
    }
}

/// Puts a packet of a host through its gateway and the other one; returns what the other host gets.
pub(crate) fn cross(from: &mut Gateway, to: &mut Gateway, clear: &[u8]) -> Vec<Vec<u8>> {
    from.arrive(LAN, &frame(OURS[LAN], HOST, clear));
    from.run();
    for esp in from.sent(WAN) {
        to.arrive(WAN, &forwarded(esp));
    }
    to.run();
    to.sent(LAN).into_iter().map(|mut sent| sent.split_off(14)).collect()
}
