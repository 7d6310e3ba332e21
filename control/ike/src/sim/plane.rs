//! A data plane that only keeps the books: which SAs are installed, which one each tunnel sends on, which SPIs are taken. It refuses what a real one
//! could not carry out, so that every simulation is also a test of the events' order.

use std::collections::{BTreeMap, BTreeSet};

use crate::environment::Environment;
use crate::event::{ChildId, ChildSa, ConnectionId, Event, OutboundUse, Spi};

use super::random::Random;

/// What is installed on one side.
#[derive(Debug)]
pub struct Plane {
    random: Random,
    allocated: BTreeSet<Spi>,
    installed: BTreeMap<ChildId, Installed>,
    /// Which pair each tunnel sends on.
    sending: BTreeMap<u64, ChildId>,
    tunnels: u64,
    heard: BTreeSet<Spi>,
    /// SPIs at once; beyond it the table is full.
    pub capacity: usize,
    /// The time of day; it stands still.
    pub unix_time: crossgate_pki::UnixTime,
}

/// A pair that is installed.
#[derive(Debug)]
pub struct Installed {
    /// As it was described.
    pub sa: ChildSa,
    /// It only receives.
    pub retired: bool,
    /// Its tunnel: that of the pair it replaces or that is for the same traffic, if there is one.
    tunnel: u64,
}

impl Plane {
    /// An empty one, whose randomness comes from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            allocated: BTreeSet::new(),
            installed: BTreeMap::new(),
            sending: BTreeMap::new(),
            tunnels: 0,
            heard: BTreeSet::new(),
            capacity: 10_000,
            unix_time: crossgate_pki::UnixTime(2_000_000_000),
        }
    }

    /// Carries an event out.
    ///
    /// # Panics
    /// When a real data plane could not.
    pub fn apply(&mut self, event: &mut Event) {
        match event {
            Event::ActivateOutbound(child) => {
                let installed = self.installed.get_mut(child).expect("only an installed pair is activated");
                assert!(!installed.retired, "a retired pair is not activated");
                self.sending.insert(installed.tunnel, *child);
            }
            Event::RetireChild(child) => {
                let installed = self.installed.get_mut(child).expect("only an installed pair retires");
                installed.retired = true;
                self.sending.retain(|_, sending| sending != child);
            }
            Event::RemoveChild { child, inbound_spi, .. } => {
                let removed = self.installed.remove(child).expect("only an installed pair is removed");
                assert_eq!(
                    removed.sa.inbound.spi, *inbound_spi,
                    "removed under the SPI it was installed with"
                );
                assert!(self.allocated.remove(inbound_spi), "its SPI was allocated");
                self.heard.remove(inbound_spi);
                self.sending.retain(|_, sending| sending != child);
            }
            Event::MoveChild { child, path } => {
                self.installed.get_mut(child).expect("only an installed pair moves").sa.path = *path;
            }
            _ => {}
        }
    }

    /// Installs a pair.
    ///
    /// # Panics
    /// When its SPI was not allocated or is installed already.
    pub fn install(&mut self, sa: ChildSa) {
        assert!(self.allocated.contains(&sa.inbound.spi), "an SPI is allocated before it is installed");
        assert!(self.find(sa.inbound.spi).is_none(), "an SPI is installed once");
        let tunnel = self.tunnel_for(&sa);
        if sa.outbound_use == OutboundUse::Now {
            self.sending.insert(tunnel, sa.id);
        }
        let installed = Installed { sa, retired: false, tunnel };
        assert!(self.installed.insert(installed.sa.id, installed).is_none(), "ids are not reused");
    }

    fn tunnel_for(&mut self, sa: &ChildSa) -> u64 {
        let replaced = sa.replaces.and_then(|old| self.installed.get(&old));
        let traffic = |sa: &ChildSa| {
            let selectors = (sa.local_selectors.clone(), sa.remote_selectors.clone());
            (sa.connection, sa.policy, selectors, sa.resource)
        };
        let alike = || self.installed.values().find(|installed| traffic(&installed.sa) == traffic(sa));
        replaced.or_else(alike).map(|found| found.tunnel).unwrap_or_else(|| {
            self.tunnels += 1;
            self.tunnels
        })
    }

    /// The pair with this inbound SPI.
    #[must_use]
    pub fn find(&self, spi: Spi) -> Option<&Installed> {
        self.installed.values().find(|installed| installed.sa.inbound.spi == spi)
    }

    /// Notes a packet on this SPI; whether it was the first.
    pub(super) fn hear(&mut self, spi: Spi) -> bool {
        self.heard.insert(spi)
    }

    /// The pair that a policy of a connection sends on; of several tunnels of one policy (or resources of a tunnel), that of the first.
    #[must_use]
    pub fn sends_on(&self, connection: ConnectionId, policy: usize) -> Option<&ChildSa> {
        self.sending().find(|sa| (sa.connection, sa.policy) == (connection, policy))
    }

    /// The pair that each tunnel sends on.
    pub fn sending(&self) -> impl Iterator<Item = &ChildSa> {
        self.sending.values().filter_map(|id| self.installed.get(id)).map(|installed| &installed.sa)
    }

    /// Pairs that are installed and not retired.
    #[must_use]
    pub fn live(&self) -> Vec<ChildId> {
        self.installed.iter().filter(|(_, i)| !i.retired).map(|(id, _)| *id).collect()
    }

    /// Every installed pair.
    pub fn installed(&self) -> impl Iterator<Item = &Installed> {
        self.installed.values()
    }

    /// SPIs that are taken.
    #[must_use]
    pub fn allocated(&self) -> usize {
        self.allocated.len()
    }
}

impl Environment for Plane {
    fn random(&mut self, out: &mut [u8]) {
        self.random.fill(out);
    }

    fn unix_time(&self) -> crossgate_pki::UnixTime {
        self.unix_time
    }

    fn allocate_spi(&mut self, _: ConnectionId, _: Option<u16>) -> Option<Spi> {
        if self.allocated.len() >= self.capacity {
            return None;
        }
        loop {
            let spi = Spi(self.random.below_u32(u32::MAX - 256) + 256);
            if self.allocated.insert(spi) {
                return Some(spi);
            }
        }
    }

    fn release_spi(&mut self, spi: Spi) {
        assert!(self.find(spi).is_none(), "an installed SPI is given back by its removal alone");
        assert!(self.allocated.remove(&spi), "only an allocated SPI is given back");
    }
}
