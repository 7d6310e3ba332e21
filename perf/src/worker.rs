//! `crossgate-perf worker`: what one worker does to a packet, all of it, in TSC cycles: receive, parse, route, selectors, SA, ESP,
//! AES-GCM, neighbour, send. IPv4 in IPv4 (RFC 4303, tunnel mode), ESN and replay window on, one SA, bursts of 32 UDP packets
//! whose bytes are in the cache, as a network card would place them.
//!
//! A burst goes through the sealing gateway, then (its sequence numbers are fresh) through the opening one, then through two
//! ports without a worker; that last cost, of source and sink, is taken off the other two. Kernels take turns within a size, so that a
//! disturbance meets all. `net_cycles_per_packet` is given as minimum and median; packets and bits per second follow from the median.

mod gateway;

use anyhow::{Context, Result, ensure};
use crossgate_dataplane::gcm::{Kernel, KernelName};
use crossgate_dataplane::header::Protocol;
use crossgate_dataplane::header::ethernet::{self, EtherType, Ethernet};
use crossgate_dataplane::header::ipv4::{self, Ipv4};
use crossgate_dataplane::header::udp::{self, Udp};
use dpdk_sys::{Burst, Eal, EalOptions, Mempool, MempoolOptions};
use hdrhistogram::Histogram;
use serde::Serialize;

use crate::engine::BURST_PACKETS;
use crate::machine::{self, report_precision};
use crate::report::{Report, Row};
use gateway::{Bypass, Gateway, LAN, OURS, Site, THEIRS, WAN};

/// Bytes of the inner IP packet.
const INNER_BYTES: [u16; 4] = [64, 256, 512, 1400];
const KEY: [u8; 32] = [0x5a; 32];
/// Bursts between two changes of kernel, and those that only warm up.
const TURN_BURSTS: u64 = 100;
const WARM_BURSTS: u64 = 10;
/// Hops of a packet before the first gateway; each takes one.
const TTL: u8 = 64;
const MEMORY_MIB: u32 = 192;

/// One direction of one kernel at one size.
#[derive(Serialize)]
pub(crate) struct WorkerRow {
    program: &'static str,
    direction: Direction,
    inner_bytes: u16,
    key_bits: usize,
    kernel: &'static str,
    sas: u32,
    workers: u32,
    net_cycles_per_packet: Spread,
    /// Already taken off.
    source_and_sink_cycles_per_packet: Spread,
    mpps: f64,
    gbit_per_s: f64,
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
enum Direction {
    Outbound,
    Inbound,
}

/// How far the bursts of a case lie apart.
#[derive(Clone, Copy, Serialize)]
struct Spread {
    min: f64,
    median: f64,
}

/// The two gateways of a kernel, how many packets went through them, and the times of the size at hand.
struct Contender {
    kernel: Kernel,
    gateways: [Gateway; 2],
    packets: u64,
    outbound: Histogram<u64>,
    inbound: Histogram<u64>,
}

/// Measures everything.
pub(crate) fn run(quick: bool) -> Result<Report<WorkerRow>> {
    let eal = Eal::start(&EalOptions { memory_mib: MEMORY_MIB, ..EalOptions::default() })?;
    eprintln!("packets live in {}", eal.memory());
    let _registered = eal.register_thread()?;
    let pool = Mempool::new(&eal, &MempoolOptions { packets: 2047, ..MempoolOptions::default() })?;
    let mut bypass = Bypass::new(&eal, &pool)?;
    let mut contenders = Vec::new();
    for kernel in kernels()? {
        contenders.push(Contender::new(&eal, &pool, kernel)?);
    }
    let tsc_hz = machine::tsc_hz();
    let turns = if quick { 20 } else { 200 };
    let mut rows = Vec::new();
    for inner_bytes in INNER_BYTES {
        let frame = frame(inner_bytes)?;
        let mut idle = Histogram::new(3)?;
        for _ in 0..turns {
            for contender in &mut contenders {
                contender.turn(&pool, &frame, &mut bypass, &mut idle)?;
            }
        }
        for contender in &mut contenders {
            rows.extend(contender.rows(inner_bytes, &idle, tsc_hz)?);
        }
    }
    Report::new(rows)
}

/// The base line (the `aes-gcm` crate) and the best that this CPU can run.
fn kernels() -> Result<Vec<Kernel>> {
    let (portable, best) = (Kernel::named(KernelName::Portable)?, Kernel::detect());
    Ok(if best == portable { vec![portable] } else { vec![portable, best] })
}

impl Contender {
    fn new(eal: &Eal, pool: &Mempool, kernel: Kernel) -> Result<Self> {
        let gateway = |site| Gateway::new(eal, pool, kernel, site, &KEY);
        Ok(Self {
            kernel,
            gateways: [gateway(Site(1))?, gateway(Site(2))?],
            packets: 0,
            outbound: Histogram::new(3)?,
            inbound: Histogram::new(3)?,
        })
    }

    /// Some bursts all the way; the first ones are not recorded.
    fn turn(
        &mut self,
        pool: &Mempool,
        frame: &[u8],
        bypass: &mut Bypass,
        idle: &mut Histogram<u64>,
    ) -> Result<()> {
        let [one, two] = &mut self.gateways;
        one.refresh(Site(1))?;
        two.refresh(Site(2))?;
        for number in 0..WARM_BURSTS + TURN_BURSTS {
            let mut burst = Burst::new();
            for _ in 0..BURST_PACKETS {
                let packet = pool.take_copy(frame).context("the pool is exhausted")?;
                ensure!(burst.push(packet).is_ok(), "a burst is longer than DPDK's");
            }
            let outbound = one.pass(LAN, &mut burst);
            let head = &Ethernet { destination: OURS[WAN], source: THEIRS[WAN], ether_type: EtherType::IPV4 };
            burst.iter_mut().try_for_each(|packet| address(packet.data_mut(), head))?;
            let inbound = two.pass(WAN, &mut burst);
            ensure!(burst.len() == BURST_PACKETS, "{} of {BURST_PACKETS} packets arrived", burst.len());
            if number == 0 {
                arrived(frame, burst.first().context("no packet")?.data())?;
            }
            let nothing = bypass.pass(&mut burst);
            if number >= WARM_BURSTS {
                self.outbound.record(outbound)?;
                self.inbound.record(inbound)?;
                idle.record(nothing)?;
            }
            self.packets += u64::try_from(BURST_PACKETS)?;
        }
        one.check(self.packets, 0)?;
        two.check(0, self.packets)
    }

    /// Both directions' rows; the times begin anew.
    fn rows(&mut self, inner_bytes: u16, idle: &Histogram<u64>, tsc_hz: f64) -> Result<[WorkerRow; 2]> {
        let (kernel, source_and_sink) = (self.kernel.name().as_str(), Spread::of(idle));
        let row = |direction, total: &mut Histogram<u64>| {
            let net = Spread::of(total).minus(source_and_sink);
            total.reset();
            let mpps = tsc_hz / net.median / 1e6;
            WorkerRow {
                program: "crossgate",
                direction,
                inner_bytes,
                key_bits: KEY.len() * 8,
                kernel,
                sas: 1,
                workers: 1,
                net_cycles_per_packet: net,
                source_and_sink_cycles_per_packet: source_and_sink,
                mpps,
                gbit_per_s: mpps * f64::from(inner_bytes) * 8.0 / 1e3,
            }
        };
        ensure!(!self.outbound.is_empty() && !self.inbound.is_empty(), "nothing was measured");
        Ok([row(Direction::Outbound, &mut self.outbound), row(Direction::Inbound, &mut self.inbound)])
    }
}

impl Spread {
    /// Per packet.
    fn of(bursts: &Histogram<u64>) -> Self {
        let per_packet = |cycles| report_precision(cycles) / BURST_PACKETS as f64;
        Self { min: per_packet(bursts.min()), median: per_packet(bursts.value_at_quantile(0.5)) }
    }

    fn minus(self, other: Self) -> Self {
        Self { min: self.min - other.min, median: self.median - other.median }
    }
}

/// A frame of site 1's host to site 2's, with an inner packet of that many bytes.
fn frame(inner_bytes: u16) -> Result<Vec<u8>> {
    let mut bytes = vec![0x77; ethernet::HEADER_BYTES + usize::from(inner_bytes)];
    address(
        &mut bytes,
        &Ethernet { destination: OURS[LAN], source: THEIRS[LAN], ether_type: EtherType::IPV4 },
    )?;
    let (head, payload) = bytes[ethernet::HEADER_BYTES..].split_first_chunk_mut().context("a runt")?;
    Ipv4 {
        traffic_class: 0,
        total_bytes: inner_bytes,
        identification: 1,
        dont_fragment: true,
        ttl: TTL,
        protocol: Protocol::UDP,
        source: Site(1).host().into(),
        destination: Site(2).host().into(),
    }
    .write(head);
    let length_bytes = inner_bytes - u16::try_from(ipv4::HEADER_BYTES)?;
    let head: &mut [u8; udp::HEADER_BYTES] = payload.first_chunk_mut().context("a runt")?;
    Udp { source_port: 5001, destination_port: 5001, length_bytes }.write(head);
    Ok(bytes)
}

/// Writes the link header.
fn address(frame: &mut [u8], head: &Ethernet) -> Result<()> {
    head.write(frame.first_chunk_mut().context("a frame without a header")?);
    Ok(())
}

/// Checks that what came out is what went in, two hops later.
fn arrived(sent: &[u8], received: &[u8]) -> Result<()> {
    let mut expected = sent.to_vec();
    address(
        &mut expected,
        &Ethernet { destination: THEIRS[LAN], source: OURS[LAN], ether_type: EtherType::IPV4 },
    )?;
    let head = expected[ethernet::HEADER_BYTES..].first_chunk_mut().context("a runt")?;
    ipv4::decrement_ttl(head);
    ipv4::decrement_ttl(head);
    ensure!(received == expected, "a packet changed on its way");
    Ok(())
}

impl Row for WorkerRow {
    const HEADINGS: &'static [&'static str] = &[
        "direction",
        "inner bytes",
        "key bits",
        "kernel",
        "net cycles/packet, min",
        "median",
        "source and sink",
        "Mpps",
        "Gbit/s",
    ];

    fn cells(&self) -> Vec<String> {
        let direction = match self.direction {
            Direction::Outbound => "outbound",
            Direction::Inbound => "inbound",
        };
        vec![
            direction.to_owned(),
            self.inner_bytes.to_string(),
            self.key_bits.to_string(),
            self.kernel.to_owned(),
            format!("{:.0}", self.net_cycles_per_packet.min),
            format!("{:.0}", self.net_cycles_per_packet.median),
            format!("{:.0}", self.source_and_sink_cycles_per_packet.median),
            format!("{:.2}", self.mpps),
            format!("{:.2}", self.gbit_per_s),
        ]
    }
}
