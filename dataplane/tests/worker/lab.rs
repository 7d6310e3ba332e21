//! The bench of the worker tests: a gateway of one or more stepped workers between two in-memory ports, and packets to put
//! through it. A module of the test programs beside it; alone, it tests nothing.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "a module of several test programs")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU64;
use std::sync::{Arc, OnceLock};

use crossgate_dataplane::counter::{Counter, Snapshot};
use crossgate_dataplane::forwarding::{
    DontFragment, Forwarding, Interface, InterfaceId, MssClamp, NextHop, PortIndex, Tunnel, TunnelId, VrfId,
};
use crossgate_dataplane::gcm::{Kernel, Key};
use crossgate_dataplane::header::Protocol;
use crossgate_dataplane::header::ethernet::{EtherType, Ethernet, Mac};
use crossgate_dataplane::header::ipv4::Ipv4;
use crossgate_dataplane::header::ipv6::Ipv6;
use crossgate_dataplane::message::{Command, Event, NeighbourEntry, Replaced, RingSizes};
use crossgate_dataplane::sa::{
    DscpPolicy, Encapsulation, Endpoints, Esn, InboundParameters, InboundSa, Lifetime, OutboundParameters,
    OutboundSa,
};
use crossgate_dataplane::selector::{Selectors, TrafficSelector};
use crossgate_dataplane::spi::Spi;
use crossgate_dataplane::worker::{Idle, Launch, Part, Sizes, Worker, WorkerHandle, WorkerSet};
use dpdk_sys::{
    Eal, EalOptions, Mempool, MempoolOptions, Port, PortOptions, RegisteredThread, RingPort, Wire,
};

pub const WAN: usize = 0;
pub const LAN: usize = 1;
pub const SITE: VrfId = VrfId(1);
pub const TUNNEL: TunnelId = TunnelId(3);
pub const HOST: Mac = Mac([2, 0, 0, 0, 1, 1]);
pub const PEER: Mac = Mac([2, 0, 0, 0, 2, 2]);
pub const OURS: [Mac; 2] = [Mac([2, 0, 0, 0, 0, 0]), Mac([2, 0, 0, 0, 0, 1])];
pub const KEY: [u8; 32] = [0x5a; 32];
pub const SALT: [u8; 4] = [9, 8, 7, 6];

pub fn eal() -> &'static Eal {
    static EAL: OnceLock<Eal> = OnceLock::new();
    EAL.get_or_init(|| {
        Eal::start(&EalOptions { memory_mib: 192, ..EalOptions::default() }).expect("DPDK starts")
    })
}

pub fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn net(text: &str) -> ipnet::IpNet {
    text.parse().expect("a prefix")
}

/// A site: `1` or `2`. Everything about the other one follows.
#[derive(Clone, Copy)]
pub struct Site(pub u8);

impl Site {
    pub fn other(self) -> Self {
        Self(3 - self.0)
    }

    pub fn public(self, v6: bool) -> IpAddr {
        if v6 { ip(&format!("2001:db8::{}", self.0)) } else { ip(&format!("192.0.2.{}", self.0)) }
    }

    pub fn own(self, v6: bool) -> IpAddr {
        if v6 { ip(&format!("fd00:{}::1", self.0)) } else { ip(&format!("10.{}.0.1", self.0)) }
    }

    pub fn host(self, v6: bool) -> IpAddr {
        if v6 { ip(&format!("fd00:{}::99", self.0)) } else { ip(&format!("10.{}.0.99", self.0)) }
    }

    fn prefixes(self) -> [ipnet::IpNet; 2] {
        [net(&format!("10.{}.0.0/16", self.0)), net(&format!("fd00:{}::/32", self.0))]
    }
}

pub struct Gateway {
    pub site: Site,
    pub workers: Vec<Worker>,
    pub handles: Vec<WorkerHandle>,
    pub wires: [Vec<Wire>; 2],
    pub pool: Mempool,
    pub now_us: u64,
    before: Snapshot,
    ports: Vec<Port>,
    _thread: RegisteredThread,
}

impl Gateway {
    pub fn new(site: Site, workers: u16) -> Self {
        let (parts, ports, wires, pool) = parts(workers);
        let thread = eal().register_thread().expect("an lcore id");
        let made = WorkerSet::prepare(eal(), &launch(), parts).expect("workers");
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
        gateway.configure();
        gateway
    }

    fn configure(&mut self) {
        let forwarding = Arc::new(forwarding(self.site));
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

    pub fn command(&mut self, worker: usize, command: Command) -> Replaced {
        let id = self.handles[worker].control.send(command).expect("room");
        self.workers[worker].step_at(self.now_us);
        let answer = self.handles[worker].control.poll_acknowledgement().expect("an answer");
        assert_eq!(answer.id, id);
        answer.replaced
    }

    pub fn install(&mut self, outbound: OutboundSa, inbound: InboundSa) {
        let outbound = Arc::new(outbound);
        for worker in 0..self.workers.len() {
            self.command(worker, Command::InstallOutbound(Arc::clone(&outbound)));
        }
        let home = self.home(inbound.spi());
        self.command(home, Command::InstallInbound(Box::new(inbound)));
    }

    pub fn home(&self, spi: Spi) -> usize {
        let workers = u8::try_from(self.workers.len()).expect("few").try_into().expect("some");
        spi.bucket().home(workers).into()
    }

    pub fn arrive(&mut self, port: usize, frame: &[u8]) {
        self.arrive_at(port, 0, frame);
    }

    pub fn arrive_at(&mut self, port: usize, queue: usize, frame: &[u8]) {
        let packet = self.pool.take_copy(frame).expect("a packet");
        self.wires[port][queue].push(packet).ok().expect("room");
    }

    /// Steps all workers until nothing is left to do.
    pub fn run(&mut self) {
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
    pub fn sent(&mut self, port: usize) -> Vec<Vec<u8>> {
        self.wires[port]
            .iter_mut()
            .flat_map(|wire| std::iter::from_fn(|| wire.pull()).collect::<Vec<_>>())
            .map(|packet| packet.data().to_vec())
            .collect()
    }

    pub fn events(&mut self) -> Vec<Event> {
        self.handles
            .iter_mut()
            .flat_map(|h| std::iter::from_fn(|| h.control.poll_event()).collect::<Vec<_>>())
            .collect()
    }

    pub fn counters(&self) -> Snapshot {
        let mut sum = Snapshot::zero();
        self.handles.iter().for_each(|handle| sum.add(&handle.counters.snapshot()));
        sum
    }

    /// The counters that moved since the last call, without bytes.
    pub fn moved(&mut self) -> Vec<(Counter, u64)> {
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
    pub fn finish(mut self) {
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
pub fn parts(workers: u16) -> (Vec<Part>, Vec<Port>, [Vec<Wire>; 2], Mempool) {
    let options = MempoolOptions {
        name: "lab".into(),
        packets: 1023,
        cache_packets: 32,
        room_bytes: 4096,
        ..MempoolOptions::default()
    };
    let pool = Mempool::new(eal(), &options).expect("a pool");
    let mut parts: Vec<Part> = (0..workers)
        .map(|_| Part {
            core: None,
            rx: Vec::new(),
            tx: Vec::new(),
            pool: pool.clone(),
            whole_pool: pool.clone(),
        })
        .collect();
    let mut ports = Vec::new();
    let wires = [0, 1].map(|number| {
        let mut ring = RingPort::new(eal(), workers, 512).expect("a ring port");
        let options = PortOptions { rx_queues: workers, tx_queues: workers, ..PortOptions::default() };
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

pub fn launch() -> Launch {
    Launch {
        kernel: Kernel::detect(),
        idle: Idle::Adaptive,
        sizes: Sizes { inbound_sas: 256, tunnels: 8, ..Sizes::default() },
        rings: RingSizes::default(),
        handover_packets: 256,
        seed: 1,
    }
}

pub fn forwarding(site: Site) -> Forwarding {
    let other = site.other();
    let interface = |port, vrf, mac, addresses| Interface {
        port: PortIndex(port),
        vlan: None,
        vrf,
        mac,
        mtu_bytes: 1500,
        addresses,
    };
    let with = |address: IpAddr, length| ipnet::IpNet::new(address, length).expect("a length");
    let selectors = |site: Site| site.prefixes().map(TrafficSelector::of_prefix).to_vec();
    let mut builder = Forwarding::builder();
    let wan = vec![with(site.public(false), 24), with(site.public(true), 64)];
    let lan = vec![with(site.own(false), 24), with(site.own(true), 64)];
    builder
        .interface(InterfaceId(0), interface(0, VrfId::UNDERLAY, OURS[WAN], wan))
        .interface(InterfaceId(1), interface(1, SITE, OURS[LAN], lan))
        .tunnel(
            TUNNEL,
            Tunnel {
                vrf: SITE,
                selectors: Selectors { local: selectors(site), remote: selectors(other) },
                alternative: None,
                mss_clamp: MssClamp::Auto,
                dont_fragment: DontFragment::Copy,
            },
        );
    for prefix in other.prefixes() {
        builder.route(SITE, prefix, NextHop::Tunnel(TUNNEL));
    }
    builder.build().expect("consistent")
}

#[derive(Clone, Copy)]
pub struct Options {
    pub outer_v6: bool,
    pub in_udp: bool,
    pub esn: Esn,
    pub key_bytes: usize,
    pub first: u64,
    pub lifetime: Lifetime,
    pub window: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            outer_v6: false,
            in_udp: false,
            esn: Esn::On,
            key_bytes: 32,
            first: 1,
            lifetime: Lifetime::UNLIMITED,
            window: 64,
        }
    }
}

/// The SPI that a site chose: slot 1 for site 1, slot 2 for site 2, in a bucket that says who is home.
pub fn spi(site: Site, bucket: u32) -> Spi {
    Spi::new(bucket << 26 | u32::from(site.0) << 8 | 7).expect("not reserved")
}

fn encapsulation(options: &Options) -> Encapsulation {
    if options.in_udp {
        Encapsulation::Udp { local_port: 4500, remote_port: 4500 }
    } else {
        Encapsulation::Plain
    }
}

/// An SPI of worker 0 with this slot.
pub fn raw_spi(slot: u32) -> Spi {
    Spi::new(slot << 8 | 7).expect("not reserved")
}

pub fn outbound(site: Site, options: &Options, bucket: u32) -> OutboundSa {
    outbound_to(site, options, spi(site.other(), bucket))
}

pub fn outbound_to(site: Site, options: &Options, spi: Spi) -> OutboundSa {
    let other = site.other();
    OutboundSa::new(OutboundParameters {
        tunnel: TUNNEL,
        spi,
        key: Key::new(Kernel::detect(), &KEY[..options.key_bytes]).expect("a length"),
        salt: SALT,
        endpoints: Endpoints::new(site.public(options.outer_v6), other.public(options.outer_v6))
            .expect("one family"),
        encapsulation: encapsulation(options),
        esn: options.esn,
        first_sequence: NonZeroU64::new(options.first).expect("not zero"),
        lifetime: options.lifetime,
        dscp: DscpPolicy::Copy,
        path_mtu_bytes: 1500,
        keepalive: None,
    })
}

pub fn inbound(site: Site, options: &Options, bucket: u32) -> InboundSa {
    inbound_at(site, options, spi(site, bucket))
}

pub fn inbound_at(site: Site, options: &Options, spi: Spi) -> InboundSa {
    let other = site.other();
    InboundSa::new(InboundParameters {
        tunnel: TUNNEL,
        spi,
        key: Key::new(Kernel::detect(), &KEY[..options.key_bytes]).expect("a length"),
        salt: SALT,
        endpoints: Endpoints::new(site.public(options.outer_v6), other.public(options.outer_v6))
            .expect("one family"),
        encapsulation: encapsulation(options),
        esn: options.esn,
        replay_window_packets: options.window,
        lifetime: options.lifetime,
    })
}

/// Two gateways with SAs between them.
pub fn pair(options: &Options) -> [Gateway; 2] {
    [Site(1), Site(2)].map(|site| {
        let mut gateway = Gateway::new(site, 1);
        gateway.install(outbound(site, options, 0), inbound(site, options, 0));
        gateway
    })
}

pub fn frame(to: Mac, from: Mac, packet: &[u8]) -> Vec<u8> {
    let ether_type =
        if packet.first().is_some_and(|first| first >> 4 == 6) { EtherType::IPV6 } else { EtherType::IPV4 };
    framed(to, from, ether_type, packet)
}

pub fn framed(to: Mac, from: Mac, ether_type: EtherType, packet: &[u8]) -> Vec<u8> {
    let mut head = [0; 14];
    Ethernet { destination: to, source: from, ether_type }.write(&mut head);
    [&head, packet].concat()
}

/// A whole IP packet with a payload of that protocol.
pub fn packet(source: IpAddr, destination: IpAddr, protocol: Protocol, hops: u8, payload: &[u8]) -> Vec<u8> {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => v4(source, destination, protocol, hops, payload),
        (IpAddr::V6(source), IpAddr::V6(destination)) => v6(source, destination, protocol, hops, payload),
        _ => panic!("one family"),
    }
}

fn v4(source: Ipv4Addr, destination: Ipv4Addr, protocol: Protocol, ttl: u8, payload: &[u8]) -> Vec<u8> {
    let mut head = [0; 20];
    let total_bytes = u16::try_from(20 + payload.len()).expect("short");
    Ipv4 {
        traffic_class: 0,
        total_bytes,
        identification: 1,
        dont_fragment: true,
        ttl,
        protocol,
        source,
        destination,
    }
    .write(&mut head);
    [&head, payload].concat()
}

fn v6(
    source: Ipv6Addr,
    destination: Ipv6Addr,
    next_header: Protocol,
    hop_limit: u8,
    payload: &[u8],
) -> Vec<u8> {
    let mut head = [0; 40];
    let payload_bytes = u16::try_from(payload.len()).expect("short");
    Ipv6 { traffic_class: 0, flow_label: 0, payload_bytes, next_header, hop_limit, source, destination }
        .write(&mut head);
    [&head, payload].concat()
}

/// A packet of a host of `site` to one of the other, with a payload that tells its number.
pub fn across(site: Site, v6: bool, hops: u8, number: u8, bytes: usize) -> Vec<u8> {
    packet(site.host(v6), site.other().host(v6), Protocol(253), hops, &vec![number; bytes])
}
