//! What the IKE core is handed: randomness of the operating system and inbound SPIs of the data plane.

use std::collections::VecDeque;

use crossgate_dataplane::spi::{Spi, SpiAllocator};
use crossgate_ike::environment::Environment;
use crossgate_ike::event::{ConnectionId, Spi as IkeSpi};
use crossgate_pki::UnixTime;

use crate::clock::unix_seconds;
use crate::workers::{Ticket, Workers};

/// Randomness and SPIs.
pub(super) struct Surroundings {
    spis: SpiAllocator,
    /// SPIs of removed SAs, until the workers have acknowledged their removal.
    releasing: VecDeque<(Ticket, Spi)>,
}

impl Surroundings {
    pub(super) fn new(slots: u32) -> Self {
        Self { spis: SpiAllocator::new(slots, fill), releasing: VecDeque::new() }
    }

    /// Frees an SPI when everything up to `ticket` has been applied.
    pub(super) fn release_after(&mut self, ticket: Ticket, spi: Spi) {
        self.releasing.push_back((ticket, spi));
    }

    pub(super) fn release_applied(&mut self, workers: &Workers) {
        while let Some((ticket, spi)) = self.releasing.front()
            && workers.is_applied(*ticket)
        {
            self.spis.release(*spi);
            self.releasing.pop_front();
        }
    }
}

impl Environment for Surroundings {
    fn random(&mut self, out: &mut [u8]) {
        fill(out);
    }

    fn unix_time(&self) -> UnixTime {
        UnixTime(unix_seconds())
    }

    fn allocate_spi(&mut self, _: ConnectionId) -> Option<IkeSpi> {
        self.spis.allocate().ok().map(|spi| IkeSpi(spi.get()))
    }

    fn release_spi(&mut self, spi: IkeSpi) {
        if let Some(spi) = Spi::new(spi.0) {
            self.spis.release(spi);
        }
    }
}

/// Keys made without randomness would be worse than no gateway.
fn fill(out: &mut [u8]) {
    getrandom::fill(out).expect("the operating system gives randomness");
}
