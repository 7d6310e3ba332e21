//! What is between two simulated endpoints: losses, delays, repeats, a NAT; and the packets under way.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::Pair;
use crate::event::{Command, Input, Spi};
use crate::job::JobResult;

/// What happens between the two.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// Probability that a datagram is lost.
    pub loss: f64,
    /// Probability that it is delayed by up to ten times the delay.
    pub reorder: f64,
    /// Probability that it comes twice.
    pub duplicate: f64,
    /// Time it takes.
    pub delay: Duration,
    /// Largest IP packet; larger ones are lost.
    pub mtu_bytes: usize,
    /// Whether the first side is behind a NAT.
    pub nat: bool,
}

impl Link {
    /// Nothing goes wrong.
    pub const LAN: Self = Self {
        loss: 0.0,
        reorder: 0.0,
        duplicate: 0.0,
        delay: Duration::from_millis(1),
        mtu_bytes: 1500,
        nat: false,
    };
    /// Everything goes wrong.
    pub const HOSTILE: Self =
        Self { loss: 0.2, reorder: 0.3, duplicate: 0.2, delay: Duration::from_millis(40), ..Self::LAN };
}

#[derive(Debug)]
pub(super) enum Carried {
    Ike(Vec<u8>),
    Esp(Spi, Vec<u8>),
    Computed(JobResult),
}

#[derive(Debug)]
pub(super) struct Packet {
    pub(super) to: usize,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    pub(super) carried: Carried,
}

/// The public address of the first side when it is behind a NAT.
const NAT_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1));

impl Pair {
    pub(super) fn fly(&mut self, from: usize, local: SocketAddr, remote: SocketAddr, message: &[u8]) {
        let bytes = message.len() + 32;
        *self.called.entry(remote.ip()).or_default() += 1;
        let times = if self.random.chance(self.link.duplicate) { 2 } else { 1 };
        let (source, target) = self.translate(from, local, remote);
        for _ in 0..times {
            let is_silent = self.sides[1 - from].silent.contains(&target.ip());
            if self.random.chance(self.link.loss) || bytes > self.link.mtu_bytes || is_silent {
                self.log(format!("{from} lost {bytes} bytes"));
                continue;
            }
            let mut delay = self.link.delay;
            if self.random.chance(self.link.reorder) {
                delay += self.link.delay.mul_f64(f64::from(self.random.below_u32(1000)) / 100.0);
            }
            self.serial += 1;
            let carried = Carried::Ike(message.to_vec());
            let packet = Packet { to: 1 - from, local: target, remote: source, carried };
            self.flying.insert((self.now + delay, self.serial), packet);
        }
    }

    /// Source and target as the receiver sees them.
    fn translate(&self, from: usize, local: SocketAddr, remote: SocketAddr) -> (SocketAddr, SocketAddr) {
        if !self.link.nat {
            return (local, remote);
        }
        let shift = 20_000 + self.nat_shift;
        if from == 0 {
            (SocketAddr::new(NAT_ADDRESS, local.port() + shift), remote)
        } else {
            let port = remote.port().checked_sub(shift).unwrap_or(remote.port());
            (local, SocketAddr::new(self.sides[0].address, port))
        }
    }

    pub(super) fn arrive(&mut self, packet: Packet) {
        let Packet { to, local, remote, carried } = packet;
        match carried {
            Carried::Computed(result) => self.input(to, Input::Computed(result)),
            Carried::Ike(bytes) => self.input(to, Input::Datagram { local, remote, bytes: &bytes }),
            Carried::Esp(spi, key) => {
                let side = &mut self.sides[to];
                if !side.alive {
                    return;
                }
                if side.plane.find(spi).is_some_and(|found| found.sa.inbound.key.matches(&key)) {
                    self.delivered += 1;
                    if self.sides[to].plane.hear(spi) {
                        self.input(to, Input::Command(Command::FirstInbound(spi)));
                    }
                } else {
                    self.lost += 1;
                    self.log(format!("{to} has no inbound SA {spi}"));
                    self.input(to, Input::Command(Command::UnknownSa { local, remote, spi }));
                }
            }
        }
    }

    pub(super) fn probe(&mut self) {
        for from in [0, 1] {
            let sending: Vec<_> = self.sides[from]
                .plane
                .sending()
                .map(|sa| (sa.outbound.spi, sa.outbound.key.expose().clone(), sa.path))
                .collect();
            for (spi, key, path) in sending {
                // Probes that bounce probes would never end: only as many as there are IKE datagrams and timers.
                let at = (self.now + self.link.delay, u64::MAX - self.serial);
                self.serial += 1;
                let carried = Carried::Esp(spi, key);
                let packet = Packet { to: 1 - from, local: path.remote, remote: path.local, carried };
                if self.flying.values().filter(|p| matches!(p.carried, Carried::Esp(..))).count() < 4 {
                    self.flying.insert(at, packet);
                }
            }
        }
    }
}
