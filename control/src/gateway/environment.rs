//! What the IKE core is handed: randomness of the operating system, inbound SPIs of the data plane, a secret that survives a restart.

use std::collections::VecDeque;
use std::num::NonZeroU8;
use std::sync::Arc;

use crossgate_dataplane::spi::{Spi, SpiAllocator};
use crossgate_ike::EndpointConfig;
use crossgate_ike::environment::Environment;
use crossgate_ike::event::{ConnectionId, Spi as IkeSpi};
use crossgate_ike::secret::Secret;
use crossgate_pki::UnixTime;
use zeroize::Zeroizing;

use crate::clock::unix_seconds;
use crate::store::{Store, StoreError};
use crate::workers::{Ticket, Workers};

/// Randomness and SPIs.
pub(super) struct Surroundings {
    spis: SpiAllocator,
    workers: NonZeroU8,
    /// SPIs of removed SAs, until the workers have acknowledged their removal.
    releasing: VecDeque<(Ticket, Spi)>,
}

impl Surroundings {
    pub(super) fn new(slots: u32, workers: NonZeroU8) -> Self {
        Self { spis: SpiAllocator::new(slots, fill), workers, releasing: VecDeque::new() }
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

    fn allocate_spi(&mut self, _: ConnectionId, resource: Option<u16>) -> Option<IkeSpi> {
        let spi = match resource {
            None => self.spis.allocate(),
            // Of what the peer has more of than we have workers, each worker receives its part.
            Some(number) => {
                let worker = u8::try_from(number % u16::from(self.workers.get())).unwrap_or(0);
                self.spis.allocate_for(worker, self.workers)
            }
        };
        spi.ok().map(|spi| IkeSpi(spi.get()))
    }

    fn release_spi(&mut self, spi: IkeSpi) {
        if let Some(spi) = Spi::new(spi.0) {
            self.spis.release(spi);
        }
    }
}

/// What holds for every connection. Without a store, tokens for quick crash detection are made of a secret that ends with this run: peers hear by them of
/// IKE SAs that are gone, but not of a restart.
pub(super) fn endpoint_settings(store: &Result<Store, StoreError>) -> EndpointConfig {
    let kept = store.as_ref().ok().map(|store| store.crash_secret(fill));
    let secret = match kept {
        Some(Ok(secret)) => secret,
        failed => {
            if let Some(Err(error)) = failed {
                tracing::error!("{error}: peers will notice a restart late; {}", error.remedy());
            }
            let mut secret = Zeroizing::new([0; 32]);
            fill(secret.as_mut_slice());
            secret
        }
    };
    EndpointConfig {
        crash_secret: Some(Arc::new(Secret::from(secret.as_slice()))),
        ..EndpointConfig::default()
    }
}

/// Keys made without randomness would be worse than no gateway.
pub(crate) fn fill(out: &mut [u8]) {
    getrandom::fill(out).expect("the operating system gives randomness");
}
