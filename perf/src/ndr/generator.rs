//! A generator of our own on two DPDK ports of this process, with gateways of other processes between them: hosts of site 1 behind the one port send to a host
//! of site 2 behind the other. Every packet says in its payload of which trial it is and when it left, so that what comes late counts for nobody. Whoever asks for
//! the MAC address of a host is answered, as hosts would.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use crossgate_dataplane::header::arp::{self, Arp, Operation};
use crossgate_dataplane::header::ethernet::{self, EtherType, Ethernet, EthernetView, Mac};
use crossgate_dataplane::header::ipv6::Ipv6View;
use crossgate_dataplane::header::ndp::{self, Advertisement, Message};
use dpdk_sys::{Burst, Eal, Mempool, MempoolOptions, Port, PortOptions, RxQueue, TxQueue, tsc_cycles};
use hdrhistogram::Histogram;

use crate::bed::frame::datagram;
use crate::bed::threaded::{Outcome, to_cycles};
use crate::bed::traffic::Traffic;
use crate::bed::{Family, Site};
use crate::machine::report_precision;

const POOL_PACKETS: u32 = 32_767;
/// Packets that a port holds each way.
const DESCRIPTORS: u16 = 4096;
/// Packets that leave at once, at most.
const BURST: u64 = 32;
/// How long after the last packet of a trial others still count.
const SETTLE: Duration = Duration::from_millis(50);
/// How long gateways may take to answer, and to learn whom to send to.
const PATIENCE: Duration = Duration::from_secs(10);
const ASK_AGAIN: Duration = Duration::from_millis(200);
/// Where the stamp begins, seen from the end of the headers: number of the trial, then TSC.
const UDP_BYTES: usize = 8;
const STAMP_BYTES: usize = 12;

/// Both ports.
pub(super) struct Generator {
    pool: Mempool,
    sides: [Side; 2],
    tsc_hz: f64,
    trials: u32,
}

/// A port, and the site that is behind the gateway there.
struct Side {
    site: Site,
    rx: RxQueue,
    tx: TxQueue,
    own: Mac,
    gateway: Mac,
    _port: Port,
}

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Profile {
    pub(super) traffic: Traffic,
    pub(super) family: Family,
    /// Hosts that send.
    pub(super) flows: u32,
}

impl Generator {
    /// Takes two ports, by DPDK's device strings, and finds the gateways behind them.
    pub(super) fn new(eal: &Eal, devices: &[String], tsc_hz: f64) -> Result<Self> {
        let [near, far] = devices else { bail!("two ports are needed: --device twice") };
        let pool = Mempool::new(eal, &MempoolOptions { packets: POOL_PACKETS, ..Default::default() })?;
        let sides = [Side::new(eal, &pool, near, Site(1))?, Side::new(eal, &pool, far, Site(2))?];
        Ok(Self { pool, sides, tsc_hz, trials: 0 })
    }

    pub(super) fn tsc_hz(&self) -> f64 {
        self.tsc_hz
    }

    /// Sends at a rate, from site 1 to site 2.
    pub(super) fn trial(&mut self, profile: Profile, pps: f64, length: Duration) -> Result<Outcome> {
        self.trials += 1;
        let frames = self.frames(profile)?;
        let mut frames = frames.iter().cycle();
        let mut receiving =
            Receiving { trial: self.trials, cycles: Histogram::new(3)?, received: 0, last: 0 };
        let stamp_at = stamp_at(profile.family);
        let began = tsc_cycles();
        let length = to_cycles(self.tsc_hz * length.as_secs_f64());
        let (mut now, mut offered) = (began, 0_u64);
        while now - began < length {
            let due = if pps.is_finite() {
                let all = to_cycles(report_precision(now - began) * pps / self.tsc_hz);
                all.saturating_sub(offered).min(BURST)
            } else {
                BURST
            };
            let mut burst = Burst::new();
            for _ in 0..due {
                let frame = frames.next().context("no frames")?;
                // Where the pool is empty, the port has them all: they are lost at its door.
                let Some(mut packet) = self.pool.take_copy(frame) else { continue };
                let stamp = &mut packet.data_mut()[stamp_at..stamp_at + STAMP_BYTES];
                stamp[..4].copy_from_slice(&self.trials.to_be_bytes());
                stamp[4..].copy_from_slice(&tsc_cycles().to_be_bytes());
                ensure!(burst.push(packet).is_ok(), "a burst is longer than DPDK's");
            }
            self.sides[0].tx.tx_burst(&mut burst);
            offered += due;
            self.receive(&mut receiving)?;
            now = tsc_cycles();
        }
        let sent_for = now - began;
        let settled = now + to_cycles(self.tsc_hz * SETTLE.as_secs_f64());
        while receiving.received < offered && tsc_cycles() < settled {
            self.receive(&mut receiving)?;
        }
        let per_second = |packets: u64, cycles: u64| {
            report_precision(packets) * self.tsc_hz / report_precision(cycles.max(1))
        };
        Ok(Outcome {
            offered,
            received: receiving.received,
            offered_pps: per_second(offered, sent_for),
            received_pps: per_second(receiving.received, receiving.last.saturating_sub(began)),
            cycles: receiving.cycles,
        })
    }

    /// Sends slowly until packets come through: the gateways have learnt whom to send to.
    pub(super) fn warm_up(&mut self, profile: Profile) -> Result<()> {
        let began = Instant::now();
        loop {
            let outcome = self.trial(profile, 2000.0, Duration::from_millis(100))?;
            if outcome.received > 0 && outcome.lost() == 0 {
                return Ok(());
            }
            ensure!(
                began.elapsed() < PATIENCE,
                "{} of {} packets came through the gateways",
                outcome.received,
                outcome.offered
            );
        }
    }

    /// A frame of each flow, or of as many as there are sizes.
    fn frames(&self, profile: Profile) -> Result<Vec<Vec<u8>>> {
        let Profile { traffic, family, flows } = profile;
        let head = Ethernet {
            destination: self.sides[0].gateway,
            source: self.sides[0].own,
            ether_type: family.ether_type(),
        };
        let count = if traffic == Traffic::Imix { flows.max(1).next_multiple_of(12) } else { flows };
        (0..count)
            .map(|number| {
                let source = host(family, 1, number % flows);
                let bytes = traffic.bytes_of(usize::try_from(number)?);
                let mut frame = datagram(source, host(family, 2, 0), bytes)?;
                head.write(frame.first_chunk_mut().context("a runt")?);
                Ok(frame)
            })
            .collect()
    }

    /// Takes what arrived at either port.
    fn receive(&mut self, receiving: &mut Receiving) -> Result<()> {
        for side in &mut self.sides {
            let mut burst = Burst::new();
            side.rx.rx_burst(&mut burst);
            for packet in burst.iter() {
                match receiving.take(packet.data(), side.site)? {
                    Taken::Counted => {}
                    Taken::Other => side.answer(packet.data(), &self.pool)?,
                }
            }
        }
        Ok(())
    }
}

/// What became of a packet.
enum Taken {
    Counted,
    Other,
}

/// What arrived of a trial.
struct Receiving {
    trial: u32,
    cycles: Histogram<u64>,
    received: u64,
    last: u64,
}

impl Receiving {
    fn take(&mut self, frame: &[u8], at: Site) -> Result<Taken> {
        let Ok(view) = EthernetView::new(frame) else { return Ok(Taken::Other) };
        let family = match view.ether_type() {
            EtherType::IPV4 => Family::V4,
            EtherType::IPV6 => Family::V6,
            _ => return Ok(Taken::Other),
        };
        let begin = stamp_at(family);
        let Some(stamp) = frame.get(begin..begin + STAMP_BYTES) else { return Ok(Taken::Other) };
        // The inner packet's last bytes of source and of UDP: only site 1's hosts send what is counted, and only at site 2.
        if at.0 != 2 || stamp[..4] != self.trial.to_be_bytes() {
            return Ok(Taken::Other);
        }
        let sent = stamp[4..].first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        self.last = tsc_cycles();
        self.cycles.record(self.last.saturating_sub(sent))?;
        self.received += 1;
        Ok(Taken::Counted)
    }
}

impl Side {
    fn new(eal: &Eal, pool: &Mempool, device: &str, site: Site) -> Result<Self> {
        let mut port = Port::attach(eal, device).with_context(|| format!("take the port {device}"))?;
        let options = PortOptions {
            rx_descriptors: DESCRIPTORS,
            tx_descriptors: DESCRIPTORS,
            offloads: false,
            promiscuous: true,
            ..PortOptions::default()
        };
        let mut started = port.start(&options, pool).with_context(|| format!("start the port {device}"))?;
        let rx = started.rx.pop().context("a port without a receive queue")?;
        let tx = started.tx.pop().context("a port without a transmit queue")?;
        let own = Mac(port.mac()?.0);
        let mut side = Self { site, rx, tx, own, gateway: Mac([0xff; 6]), _port: port };
        side.find_gateway(pool).with_context(|| format!("find the gateway at {device}"))?;
        Ok(side)
    }

    /// Asks for the MAC address of 10.N.0.1 until it is told.
    fn find_gateway(&mut self, pool: &Mempool) -> Result<()> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let question = Arp {
                operation: Operation::Request,
                sender_mac: self.own,
                sender: ipv4_host(self.site.0, 0),
                target_mac: Mac([0; 6]),
                target: Ipv4Addr::new(10, self.site.0, 0, 1),
            };
            self.send_arp(question, Mac([0xff; 6]), pool)?;
            let asked = Instant::now();
            while asked.elapsed() < ASK_AGAIN {
                let mut burst = Burst::new();
                self.rx.rx_burst(&mut burst);
                for packet in burst.iter() {
                    let answer = EthernetView::new(packet.data())
                        .ok()
                        .filter(|view| view.ether_type() == EtherType::ARP);
                    let answer = answer.and_then(|view| Arp::new(view.payload()).ok());
                    match answer {
                        Some(Arp { operation: Operation::Reply, sender, sender_mac, .. })
                            if sender == question.target =>
                        {
                            self.gateway = sender_mac;
                            return Ok(());
                        }
                        _ => self.answer(packet.data(), pool)?,
                    }
                }
            }
        }
        bail!("10.{}.0.1 does not answer: start the gateways first (perf/pktgen/README.md)", self.site.0)
    }

    /// Tells a gateway that a host is here, if it asks for one.
    fn answer(&mut self, frame: &[u8], pool: &Mempool) -> Result<()> {
        let Ok(view) = EthernetView::new(frame) else { return Ok(()) };
        match view.ether_type() {
            EtherType::ARP => {
                let Ok(Arp { operation: Operation::Request, sender_mac, sender, target, .. }) =
                    Arp::new(view.payload())
                else {
                    return Ok(());
                };
                if target == sender || target == Ipv4Addr::new(10, self.site.0, 0, 1) {
                    return Ok(());
                }
                let reply = Arp {
                    operation: Operation::Reply,
                    sender_mac: self.own,
                    sender: target,
                    target_mac: sender_mac,
                    target: sender,
                };
                self.send_arp(reply, sender_mac, pool)
            }
            EtherType::IPV6 => {
                let message = Ipv6View::new(view.payload()).ok().map(|packet| Message::new(&packet));
                let Some(Ok(Some(Message::Solicitation(question)))) = message else { return Ok(()) };
                let Some(mac) = question.source_mac else { return Ok(()) };
                let mut bytes = vec![0; ethernet::HEADER_BYTES + ndp::PACKET_BYTES];
                let answer = Advertisement {
                    source: question.target,
                    destination: question.source,
                    target: question.target,
                    target_mac: Some(self.own),
                    router: false,
                    solicited: true,
                    overrides: true,
                };
                let out = bytes[ethernet::HEADER_BYTES..].first_chunk_mut().context("a runt")?;
                let length = answer.write(out);
                bytes.truncate(ethernet::HEADER_BYTES + length);
                self.send(bytes, mac, EtherType::IPV6, pool)
            }
            _ => Ok(()),
        }
    }

    fn send_arp(&mut self, message: Arp, to: Mac, pool: &Mempool) -> Result<()> {
        let mut bytes = vec![0; ethernet::HEADER_BYTES + arp::PACKET_BYTES];
        message.write(bytes[ethernet::HEADER_BYTES..].first_chunk_mut().context("a runt")?);
        self.send(bytes, to, EtherType::ARP, pool)
    }

    fn send(&mut self, mut bytes: Vec<u8>, to: Mac, ether_type: EtherType, pool: &Mempool) -> Result<()> {
        let head = Ethernet { destination: to, source: self.own, ether_type };
        head.write(bytes.first_chunk_mut().context("a runt")?);
        let packet = pool.take_copy(&bytes).context("the pool is exhausted")?;
        let mut burst = Burst::new();
        ensure!(burst.push(packet).is_ok(), "a burst of one");
        self.tx.tx_burst(&mut burst);
        Ok(())
    }
}

/// Where the stamp begins in a frame.
fn stamp_at(family: Family) -> usize {
    let header = if family == Family::V4 { 20 } else { 40 };
    ethernet::HEADER_BYTES + header + UDP_BYTES
}

/// A host of a site.
fn host(family: Family, site: u8, number: u32) -> IpAddr {
    match family {
        Family::V4 => ipv4_host(site, number).into(),
        Family::V6 => {
            let base = Ipv6Addr::new(0xfd00, u16::from(site), 0, 0, 0, 0, 1, 0);
            Ipv6Addr::from_bits(base.to_bits() + u128::from(number)).into()
        }
    }
}

fn ipv4_host(site: u8, number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(Ipv4Addr::new(10, site, 1, 1).to_bits() + number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_packets_of_the_trial_count_and_only_at_the_far_side() {
        let stamped = |trial: u32, family| {
            let mut frame = datagram(host(family, 1, 3), host(family, 2, 0), 64).expect("a frame");
            let head =
                Ethernet { destination: Mac([2; 6]), source: Mac([4; 6]), ether_type: family.ether_type() };
            head.write(frame.first_chunk_mut().expect("a header"));
            let at = stamp_at(family);
            frame[at..at + 4].copy_from_slice(&trial.to_be_bytes());
            frame[at + 4..at + STAMP_BYTES].copy_from_slice(&tsc_cycles().to_be_bytes());
            frame
        };
        let cycles = Histogram::new(3).expect("a histogram");
        let mut receiving = Receiving { trial: 7, cycles, received: 0, last: 0 };
        for family in [Family::V4, Family::V6] {
            for (trial, site) in [(7, 2), (6, 2), (7, 1)] {
                receiving.take(&stamped(trial, family), Site(site)).expect("taken");
            }
        }
        receiving.take(&[0; 20], Site(2)).expect("a runt is no packet of ours");
        assert_eq!(receiving.received, 2);
    }

    #[test]
    fn hosts_lie_in_their_site() {
        assert_eq!(host(Family::V4, 2, 10_000).to_string(), "10.2.40.17");
        assert_eq!(host(Family::V6, 1, 9_999).to_string(), "fd00:1::1:270f");
    }
}
