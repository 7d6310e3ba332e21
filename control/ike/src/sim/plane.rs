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
    sending: BTreeMap<(ConnectionId, usize), ChildId>,
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
                self.sending.insert((installed.sa.connection, installed.sa.policy), *child);
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
        if sa.outbound_use == OutboundUse::Now {
            self.sending.insert((sa.connection, sa.policy), sa.id);
        }
        assert!(
            self.installed.insert(sa.id, Installed { sa, retired: false }).is_none(),
            "ids are not reused"
        );
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

    /// The pair that a policy of a connection sends on.
    #[must_use]
    pub fn sends_on(&self, connection: ConnectionId, policy: usize) -> Option<&ChildSa> {
        self.sending.get(&(connection, policy)).and_then(|id| self.installed.get(id)).map(|i| &i.sa)
    }

    /// Every policy that sends, with the pair it sends on.
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

    fn allocate_spi(&mut self, _connection: ConnectionId) -> Option<Spi> {
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
